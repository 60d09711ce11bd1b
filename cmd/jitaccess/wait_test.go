package main

import (
	"bufio"
	"bytes"
	"context"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/sandbox"
)

// The tour of the README has a shell that waits in the sandbox, and goes on once Bob agrees, or
// stops once he does not.
func TestTheExampleWaitsInTheSandbox(t *testing.T) {
	dir := t.TempDir()
	key, file := filepath.Join(dir, "deployer.key"), filepath.Join(dir, "policy.yaml")
	for path, text := range map[string][]byte{key: []byte(deployKey), file: bytes.ReplaceAll(sandbox.Terms, []byte("/tmp/deployer.key"), []byte(key))} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	origin := startSandboxWith(t, file, nil)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := http.Client{Jar: jar}
	post := func(to string, form url.Values) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), "POST", to, strings.NewReader(form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		r.Header = http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Origin": {origin}}
		response, err := browser.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		if response.StatusCode >= 400 {
			t.Fatal(to, response.StatusCode)
		}
	}
	post(origin+"/sandbox/sign-in", url.Values{"email": {bob}, "return": {"/"}})
	post(origin+"/sandbox/clock", url.Values{"step": {"1d"}, "return": {"/"}}) // the script is not in the sandbox: its clock stays
	for verdict, want := range map[string]string{"approve": "approved; the access token of alice@example.com: ey", "deny": ""} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // else it would wait for an hour
		defer cancel()
		command := exec.CommandContext(ctx, "sh", "../../examples/applications/wait.sh", origin)
		command.Env = append(os.Environ(), "APP_KEY="+deployKey)
		var said strings.Builder
		command.Stderr = &said
		output, err := command.StdoutPipe()
		if err == nil {
			err = command.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(output)
		lines.Scan()
		page, waits := strings.CutPrefix(lines.Text(), "waiting for somebody to decide: ")
		if !waits {
			command.Wait()
			t.Fatalf("%s\n%s", lines.Text(), said.String())
		}
		post(page, url.Values{"verdict": {verdict}, "confirmed": {"true"}, "comment": {"as the test wants"}})
		lines.Scan()
		if ended := command.Wait(); !strings.HasPrefix(lines.Text(), want) || (ended == nil) != (want != "") || want == "" && !strings.Contains(said.String(), "not approved: denied") {
			t.Errorf("%s: %q, %v\n%s", verdict, lines.Text(), ended, said.String())
		}
	}
}
