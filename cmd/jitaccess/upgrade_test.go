package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/config"
	"jitaccess/internal/gcp/iamcredentials"
	"jitaccess/internal/token"
)

// environmentOf1x is an environment block as people have it for JIT Access 1.8, with
// what its reading rules allow. The service is put in its place with PUBLIC_URL.
var environmentOf1x = map[string]string{
	"RESOURCE_CATALOG":                 "assetinventory",
	"ELEVATION_DURATION":               " 120 ",
	"ACTIVATION_REQUEST_TIMEOUT":       "+60",
	"ACTIVATION_REQUEST_MAX_REVIEWERS": "",
	"ACTIVATION_REQUEST_MAX_ROLES":     "010",
	"AVAILABLE_PROJECTS_QUERY":         "state:ACTIVE labels.env:prod",
	"JUSTIFICATION_PATTERN":            "(?:BUG|CASE)-\\d+ .*",
	"JUSTIFICATION_HINT":               "Bug or case number, and why",
	"NOTIFICATION_TIMEZONE":            "Australia/Melbourne",
	"SMTP_ENABLE_STARTTLS":             "TRUE",
	"SMTP_SENDER_NAME":                 "JIT Access",
	"BACKEND_CONNECT_TIMEOUT":          "10",
}

// TestUpgradeInPlaceOf1x (points 1 and 13) puts the service where JIT Access 1.8 was: its environment
// starts, doctor finds nothing broken, its grants are active and its links work.
func TestUpgradeInPlaceOf1x(t *testing.T) {
	s, env := besides(t, environmentOf1x)
	ctx := context.Background()
	var said bytes.Buffer
	c, err := config.Read(env)
	if err != nil {
		t.Fatal(err)
	}
	handler, err := start(ctx, c, s.MailRoots(), wallClock, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(handler) }()
	t.Cleanup(func() { s.Close(); <-ended })
	if code := examine(ctx, env, "", s.MailRoots(), &said); code != exitOK {
		t.Errorf("doctor exits with %d:\n%s", code, said.String())
	}

	call := func(person, method, path string) (int, map[string]any) {
		t.Helper()
		r, err := http.NewRequest(method, s.URL()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-JITACCESS", "1")
		r.AddCookie(&http.Cookie{Name: "sandbox_person", Value: person})
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		var body map[string]any
		if err := json.NewDecoder(response.Body).Decode(&body); err != nil {
			t.Fatalf("%s: %s %v", path, response.Status, err)
		}
		return response.StatusCode, body
	}
	status := map[string]string{}
	_, roles := call("alice@example.com", "GET", "/api/projects/shop-orders-prod/roles")
	for _, e := range roles["entitlements"].([]any) {
		role := e.(map[string]any)
		status[role["name"].(string)] = role["status"].(string)
	}
	if status["roles/secretmanager.admin"] != "ACTIVE" || status["roles/cloudsql.admin"] != "INACTIVE" {
		t.Errorf("what 1.x granted is shown as %v", status)
	}

	link := linkOf1x(t, c, s.Cloud().ServiceAccount())
	if code, body := call("bob@example.com", "GET", "/api/activation-request?activation="+link); code != http.StatusOK || body["justification"] != "BUG-7 node hangs" {
		t.Fatalf("the link of 1.x opens with %d %v", code, body)
	}
	if code, body := call("bob@example.com", "POST", "/api/activation-request?activation="+link); code != http.StatusOK {
		t.Fatalf("the link of 1.x is approved with %d %v", code, body)
	}
	policy, err := s.Cloud().Policy("projects/shop-orders-prod")
	if err != nil || !strings.Contains(string(policy), "Approved by bob@example.com, justification: BUG-7 node hangs") {
		t.Errorf("%v: the policy is\n%s", err, policy)
	}
}

// linkOf1x signs the claims of a request as JIT Access 1.8 does.
func linkOf1x(t *testing.T, c *config.Config, account string) string {
	t.Helper()
	platform, err := locate(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := iamcredentials.New(context.Background(), platform)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().Unix()
	payload, err := json.Marshal(map[string]any{
		"iss": account, "aud": account, "iat": now, "exp": now + 3600, "jti": "mpa-ab+/ab+/ab+/ab+/", "beneficiary": "alice@example.com",
		"reviewers": []string{"bob@example.com"}, "entitlement": "shop-orders-prod:roles/compute.instanceAdmin.v1", "justification": "BUG-7 node hangs",
		"start": now, "end": now + 1800,
	})
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.SignJWT(context.Background(), payload)
	if err != nil {
		t.Fatal(err)
	}
	link, err := token.EncodeLink(signed)
	if err != nil {
		t.Fatal(err)
	}
	return link
}

// TestUpgradeGuideBeginsWithTheExceptions (point 13): who reads no further has read these.
func TestUpgradeGuideBeginsWithTheExceptions(t *testing.T) {
	guide := document(t, "upgrade.md")
	first := strings.Join(strings.SplitN(guide, "\n", 11)[:10], "\n")
	for _, exception := range []string{"PUBLIC_URL", "JUSTIFICATION_PATTERN", "RE2", "SMTP_ENABLE_STARTTLS"} {
		if !strings.Contains(first, exception) {
			t.Errorf("the first lines do not name %s:\n%s", exception, first)
		}
	}
	if _, end, _ := strings.Cut(guide, "### 6. Take 1.x away"); !strings.Contains(end, "gcloud app versions delete") || strings.Count(guide, "### 6. Take 1.x away") != 2 {
		t.Error("the guide does not end, on both platforms, with every 1.x version taken away")
	}
}

// TestDocumentedCommandLines (point 13): each command line of ours that a document tells to
// run is understood. What fails then is only the configuration, which is not whole.
func TestDocumentedCommandLines(t *testing.T) {
	found := 0
	for _, name := range []string{"docs/upgrade.md", "docs/emergency.md", "deploy/setup.md"} {
		text := document(t, "../"+name)
		var lines [][]string
		for _, m := range regexp.MustCompile(`--args (\S+)`).FindAllStringSubmatch(text, -1) {
			lines = append(lines, strings.Split(m[1], ","))
		}
		for _, m := range regexp.MustCompile("(?m)(?:bin/|`)jitaccess ((?:doctor|eligible)[^|`\n]*)").FindAllStringSubmatch(text, -1) {
			lines = append(lines, strings.Fields(m[1]))
		}
		for _, args := range lines {
			found++
			for i := range args {
				args[i] = strings.NewReplacer("SOME_PROJECT", "some-project").Replace(args[i])
			}
			var out, faults bytes.Buffer
			run(context.Background(), args, func(name string) string { return map[string]string{"RESOURCE_CATALOG": "AssetInventory"}[name] }, &out, &faults)
			if said := out.String() + faults.String(); !strings.Contains(said, "RESOURCE_CUSTOMER_ID is not set") {
				t.Errorf("%s: %q: %s", name, args, said)
			}
		}
	}
	if found < 8 {
		t.Errorf("only %d command lines", found)
	}
}

func document(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
