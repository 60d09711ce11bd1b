package main

import (
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"jitaccess/internal/server/storybook"
)

// Whoever writes a policy sees in the sandbox what it does to people.
func TestSandboxWithAPolicy(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policy.yaml")
	if err := os.WriteFile(path, []byte("version: 1\nrules: [{name: frozen, refuse: Ask who is on call.}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	origin := startSandboxWith(t, path, nil)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := http.Client{Jar: jar}
	form := url.Values{"email": {"alice@example.com"}, "return": {"/access/projects/" + project}}
	signIn, err := http.NewRequestWithContext(t.Context(), "POST", origin+"/sandbox/sign-in", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	signIn.Header = http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Origin": {origin}}
	response, err := client.Do(signIn)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if page, err := io.ReadAll(response.Body); err != nil || !strings.Contains(string(page), "Ask who is on call.") {
		t.Errorf("%v: %s", err, page)
	}
}

// Every page in every state is there to be looked at, by whoever comes.
func TestSandboxHasAStorybook(t *testing.T) {
	origin := startSandboxWith(t, "", nil)
	for path, want := range map[string]string{
		"/sandbox/storybook":                "<h1>Storybook</h1>",
		storybook.Path + "/ja/review-own":   `<html lang="ja">`,
		storybook.Path + "/assets/form.js":  "// The request form",
		storybook.Path + "/en/none":         "404",
		storybook.Path + "/en/review-own?a": `<html lang="en">`,
	} {
		response, err := http.Get(origin + path)
		if err != nil {
			t.Fatal(err)
		}
		page, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || !strings.Contains(string(page), want) {
			t.Errorf("%s: %v: %.300s", path, err, page)
		}
	}
}

// One with a fault does not start it, and the fault is told with its place.
func TestSandboxWithAPolicyThatHasAFault(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policy.yaml")
	if err := os.WriteFile(path, []byte("version: 1\nrules: [{name: frozen}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var told strings.Builder
	code := runSandbox(t.Context(), []string{"--address", "localhost:0", "--policy", path}, func(string) string { return "" }, io.Discard, &told)
	if code != exitFailure || !strings.Contains(told.String(), "2:9: a rule needs one of terms and refuse") {
		t.Errorf("%d: %s", code, told.String())
	}
}

// A port that is taken is said to be, with what to do.
func TestSandboxWhereThePortIsTaken(t *testing.T) {
	taken, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, port, _ := net.SplitHostPort(taken.Addr().String())
	for _, c := range []struct{ option, address, next string }{
		{"--address", "localhost:" + port, "--address localhost:"}, {"--address", "127.0.0.1:" + port, "make run ADDRESS="}, {"--google", "127.0.0.1:" + port, "--google 127.0.0.1:"},
	} {
		var told strings.Builder
		if code := runSandbox(t.Context(), []string{c.option, c.address}, func(string) string { return "" }, io.Discard, &told); code != exitFailure || !strings.Contains(told.String(), c.next) {
			t.Errorf("%s %s: %d: %s", c.option, c.address, code, told.String())
		}
	}
}
