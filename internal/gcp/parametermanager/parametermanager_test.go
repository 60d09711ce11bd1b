package parametermanager_test

import (
	"encoding/base64"
	"fmt"
	"hash/crc32"
	"net/http"
	"strings"
	"testing"

	"jitaccess/internal/access"
	"jitaccess/internal/gcp/gcptest"
	"jitaccess/internal/gcp/parametermanager"
)

const path = "projects/jit-access/locations/europe-west3/parameters/policy/versions/v7"

func checksum(text string) string {
	return fmt.Sprint(crc32.Checksum([]byte(text), crc32.MakeTable(crc32.Castagnoli)))
}

// answer is what Google answers for a version with the text.
func answer(text, crc string, more map[string]any) http.HandlerFunc {
	payload := map[string]any{"data": base64.StdEncoding.EncodeToString([]byte(text))}
	if crc != "" {
		payload["dataCrc32c"] = crc
	}
	return func(w http.ResponseWriter, r *http.Request) {
		if more == nil {
			more = map[string]any{"name": path, "payload": payload}
		}
		gcptest.Answer(w, more)
	}
}

func TestTextIsReturnedByteForByte(t *testing.T) {
	large := strings.Repeat("# 1 MiB\n", 1<<17)
	for _, text := range []string{"version: 1\n", "", "\x00\xff", large, `__REF__("//secretmanager.googleapis.com/projects/1/secrets/s/versions/1")`} {
		for _, crc := range []string{"", checksum(text)} {
			g := gcptest.Start(t, answer(text, crc, nil))
			got, err := parametermanager.Get(t.Context(), g.Platform, path)
			if err != nil || string(got) != text {
				t.Errorf("%.40q: %.40q, %v", text, got, err)
			}
			if n := g.Calls("GET /v1/" + path + "?alt=json&prettyPrint=false"); n != 1 {
				t.Errorf("%d calls", n)
			}
		}
	}
}

func TestWhatCannotBeReadIsRefused(t *testing.T) {
	for _, c := range []struct {
		name    string
		handler http.HandlerFunc
		kind    access.Kind
		code    access.Code
	}{
		{"damaged on its way", answer("version: 1\n", "1", nil), access.Upstream, access.CodeUpstreamFailed},
		{"disabled: answered without a payload", answer("", "", map[string]any{"name": path, "disabled": true}), access.Unprocessable, access.CodeSecretUnusable},
		{"no payload", answer("", "", map[string]any{"name": path}), access.Upstream, access.CodeUpstreamFailed},
		{"no Base64", answer("", "", map[string]any{"payload": map[string]any{"data": "%"}}), access.Upstream, access.CodeUpstreamFailed},
		{"refused", gcptest.Refuse(403, "no"), access.Upstream, access.CodeServiceNotAllowed},
		{"not there", gcptest.Refuse(404, "no"), access.NotFound, access.CodeUnknownResource},
		{"too many", gcptest.Refuse(429, "no"), access.TooMany, access.CodeQuota},
	} {
		g := gcptest.Start(t, c.handler)
		got, err := parametermanager.Get(t.Context(), g.Platform, path)
		if e := access.AsError(err); got != nil || e == nil || e.Kind != c.kind || e.Code != c.code {
			t.Errorf("%s: %q, %v", c.name, got, err)
		}
		if e := access.AsError(err); c.code == access.CodeServiceNotAllowed &&
			(e.Args["permission"] != "parametermanager.parameterVersions.get" || e.Args["resource"] != path) {
			t.Errorf("names %v", e.Args)
		}
	}
}

func TestOnlyVersionsOfParametersAreAskedFor(t *testing.T) {
	g := gcptest.Start(t, answer("x", "", nil))
	for _, bad := range []string{"", path + ":render", path + "/x", path + "?view=FULL", strings.Replace(path, "europe-west3", "evil.example", 1),
		"projects/p/secrets/s/versions/1", strings.Replace(path, "policy", "..", 1), strings.Replace(path, "policy", "a%2fb", 1)} {
		if _, err := parametermanager.Get(t.Context(), g.Platform, bad); access.AsError(err) == nil || access.AsError(err).Kind != access.Invalid {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if g.Calls("") != 0 {
		t.Error("a bad name was sent")
	}
}
