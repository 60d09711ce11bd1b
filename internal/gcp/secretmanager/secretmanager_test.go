package secretmanager_test

import (
	"encoding/base64"
	"fmt"
	"hash/crc32"
	"net/http"
	"strings"
	"testing"

	"jitaccess/internal/access"
	"jitaccess/internal/gcp/gcptest"
	"jitaccess/internal/gcp/resourcename"
	"jitaccess/internal/gcp/secretmanager"
)

const path = "projects/jit-access/secrets/smtp/versions/latest"

func secrets(t *testing.T, handler http.HandlerFunc) (*secretmanager.Secrets, *gcptest.Google) {
	t.Helper()
	g := gcptest.Start(t, handler)
	s := secretmanager.New(g.Platform)
	return s, g
}

func value(secret string, crc any) http.HandlerFunc {
	payload := map[string]any{"data": base64.StdEncoding.EncodeToString([]byte(secret))}
	if crc != nil {
		payload["dataCrc32c"] = crc
	}
	return func(w http.ResponseWriter, r *http.Request) {
		gcptest.Answer(w, map[string]any{"name": path, "payload": payload})
	}
}

func checksum(s string) string {
	return fmt.Sprint(crc32.Checksum([]byte(s), crc32.MakeTable(crc32.Castagnoli)))
}

func TestValueIsReturnedByteForByte(t *testing.T) {
	for _, secret := range []string{"hunter2", "hunter2\n", "", "\x00\xff"} {
		for _, crc := range []any{nil, checksum(secret)} {
			s, g := secrets(t, value(secret, crc))
			got, err := s.Access(t.Context(), path)
			if err != nil || string(got) != secret {
				t.Errorf("%q: %q, %v", secret, got, err)
			}
			if n := g.Calls("GET /v1/" + path + ":access?alt=json&prettyPrint=false"); n != 1 {
				t.Errorf("%d calls", n)
			}
		}
	}
}

func TestDamagedSecretIsRefusedWithoutShowingIt(t *testing.T) {
	s, _ := secrets(t, value("hunter2", "1"))
	got, err := s.Access(t.Context(), path)
	if e := access.AsError(err); got != nil || e == nil || e.Kind != access.Upstream || strings.Contains(e.Error(), "hunter2") {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestOnlyVersionsOfSecretsAreAskedFor(t *testing.T) {
	s, g := secrets(t, value("x", nil))
	for _, bad := range []string{"", "smtp", "projects/p/secrets/s", "projects/p/secrets/s/versions/", "projects/p/secrets/s/versions/1/x",
		"projects/../secrets/s/versions/1", "projects/p/secrets/../versions/1", "projects/p/secrets/s/versions/..", "projects/p/secrets/s/versions/1:destroy",
		"projects/p/secrets/s/versions/1?x=1", "projects/p/secrets/s/versions/1#", "/projects/p/secrets/s/versions/1", "projects/p/secrets/s/versions/1\n",
		"projects/p/secrets/s%2f/versions/1", "projects/..:p/secrets/s/versions/1"} {
		if _, err := s.Access(t.Context(), bad); access.AsError(err).Kind != access.Invalid {
			t.Errorf("%q: %v", bad, err)
		}
	}
	for _, good := range []string{path, "projects/example.com:p/secrets/S_1-x/versions/12", "projects/123/secrets/s/versions/current"} {
		if !resourcename.IsSecretVersion(good) {
			t.Errorf("%q is refused", good)
		}
	}
	if g.Calls("") != 0 {
		t.Error("a bad name was sent")
	}
}

// A version that was destroyed or disabled is told from what else Google refuses.
func TestVersionThatCannotBeUsed(t *testing.T) {
	for text, want := range map[string]string{
		"Secret Version [projects/1/secrets/s/versions/4] is in DESTROYED state.":                                   "destroyed",
		"Secret Version [projects/1/secrets/s/versions/4] is in DISABLED state.":                                    "disabled",
		"Secret Version [projects/1/secrets/" + strings.Repeat("s", 255) + "/versions/4] is in DISABLED state.":     "disabled",
		"Secret Version [projects/1/secrets/s/versions/4] cannot be decrypted: the Cloud KMS key is not enabled.":   "",
		"The provided Secret Version name [x] does not match the expected format [projects/*/secrets/*/versions/*]": "",
	} {
		s, _ := secrets(t, gcptest.Refuse(400, text))
		_, err := s.Access(t.Context(), path)
		e := access.AsError(err)
		if e.Kind != access.Unprocessable || (e.Code == access.CodeSecretUnusable) != (want != "") || e.Args["state"] != want {
			t.Errorf("%s: %v", text, err)
		}
		if want != "" && !strings.HasPrefix(path, e.Args["secret"]+"/versions/") {
			t.Errorf("names %v", e.Args)
		}
	}
	s, _ := secrets(t, gcptest.Refuse(403, "who knows what is in DISABLED state"))
	if _, err := s.Access(t.Context(), path); access.AsError(err).Code != access.CodeServiceNotAllowed {
		t.Errorf("a refusal of the account: %v", err)
	}
}

func TestSecretThatCannotBeHad(t *testing.T) {
	for _, c := range []struct {
		status, calls int
		kind          access.Kind
		code          access.Code
	}{
		{400, 1, access.Unprocessable, access.CodeCallRefused},
		{403, 1, access.Upstream, access.CodeServiceNotAllowed},
		{429, 1, access.TooMany, access.CodeQuota}, // and all others as in package gcp
	} {
		t.Run(fmt.Sprint(c.status), func(t *testing.T) {
			s, g := secrets(t, gcptest.Refuse(c.status, "no"))
			_, err := s.Access(t.Context(), path)
			e := access.AsError(err)
			if e == nil || e.Kind != c.kind || e.Code != c.code {
				t.Fatalf("got %v", err)
			}
			if c.code == access.CodeServiceNotAllowed && (e.Args["permission"] != "secretmanager.versions.access" || e.Args["resource"] != path) {
				t.Errorf("names %v", e.Args)
			}
			if n := g.Calls(""); n != c.calls {
				t.Errorf("%d calls, want %d", n, c.calls)
			}
		})
	}
	for _, body := range []string{`{}`, `<html>`} {
		s, _ := secrets(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, body) })
		if _, err := s.Access(t.Context(), path); err == nil {
			t.Errorf("%q is a secret", body)
		}
	}
}
