package main

import (
	"bufio"
	"crypto/rand"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/chromedp/chromedp"

	"jitaccess/internal/oauth/oauthtest"
	"jitaccess/internal/porttest"
)

// startApache runs Apache with testdata/apache.conf until the test ends.
func startApache(t *testing.T, port, issuer, service string) {
	t.Helper()
	path, err := exec.LookPath("apache2")
	if err != nil {
		t.Fatal("Apache is missing; `make test` installs it")
	}
	text, err := os.ReadFile("testdata/apache.conf")
	if err != nil {
		t.Fatal(err)
	}
	folder, user := t.TempDir(), ""
	if os.Geteuid() == 0 {
		user = "User www-data\nGroup www-data"
	}
	file := filepath.Join(folder, "apache.conf")
	filled := strings.NewReplacer("{folder}", folder, "{port}", port, "{user}", user, "{issuer}", issuer, "{secret}", oauthtest.Secret,
		"{passphrase}", rand.Text(), "{service}", service).Replace(string(text))
	if err := os.WriteFile(file, []byte(filled), 0o600); err != nil {
		t.Fatal(err)
	}
	command := exec.Command(path, "-f", file, "-DFOREGROUND")
	said, err := command.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	ready, done := make(chan bool, 1), make(chan struct{})
	go func() {
		defer close(done)
		defer close(ready)
		for lines := bufio.NewScanner(said); lines.Scan(); {
			all.WriteString(lines.Text() + "\n")
			if strings.Contains(lines.Text(), "resuming normal operations") {
				ready <- true
			}
		}
	}()
	t.Cleanup(func() {
		command.Process.Signal(syscall.SIGTERM)
		<-done
		if err := command.Wait(); err != nil || t.Failed() {
			t.Logf("Apache: %v\n%s", err, all.String())
		}
	})
	if !<-ready {
		t.Fatal("Apache did not start")
	}
}

// A proxy that people really put in front of such a service: Apache signs Alice in at an
// OpenID provider and passes the provider's ID token on, which is what the service believes.
func TestBehindApache(t *testing.T) {
	port := porttest.Free(t)
	front := "http://localhost:" + port
	issuer := oauthtest.StartOpenID(t, false, front+"/signed-in")
	w := newWorld(t, surroundings{environment: map[string]string{"IDENTITY": "jwt", "IDENTITY_HEADER": "X-Id-Token", "IDENTITY_ISSUER": issuer,
		"IDENTITY_AUDIENCE": oauthtest.Client, "PUBLIC_URL": front}})
	startApache(t, port, issuer, w.url)

	b := openBrowser(t, front, true)
	b.open("/access/projects/" + project)
	b.do(chromedp.SendKeys(`input[name=login]`, alice), chromedp.SendKeys(`input[name=password]`, "any"))
	b.press("Sign-in")
	b.press("Continue")
	b.sees("Signed in as " + alice)
	b.tick("roles/cloudsql.admin")
	b.opens()
	b.fill("justification", "Restoring behind Apache")
	b.press("Activate now")
	b.sees("Access granted")
	if n := len(w.described("projects/"+project, "Restoring behind Apache")); n != 1 || !w.logged("jwt.authenticate", alice) {
		t.Errorf("%d grants; log: %s", n, w.log)
	}
	// Around Apache, and with a header of one's own, nobody is anybody.
	w.call("", "GET", "/", "", "X-Id-Token", "a.b.c").expect(t, 401)
	w.call("", "GET", "/", "", "OIDC_CLAIM_email", alice, "X-Forwarded-User", alice).expect(t, 401)
}
