package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"jitaccess/internal/access"
	"jitaccess/internal/ledger"
	"jitaccess/internal/ledger/relational"
	"jitaccess/internal/passkey"
)

// TestDoctor (point 12) is the command with the service's own wiring; package doctor has a
// test for each of its checks.
func TestDoctor(t *testing.T) {
	away := map[string]string{"PUBLIC_URL": "http://127.0.0.1:1"}
	with := func(more map[string]string) map[string]string {
		m := maps.Clone(away)
		maps.Copy(m, more)
		return m
	}
	for _, test := range []struct {
		name   string
		change map[string]string
		revoke string
		code   int
		says   []string
	}{
		{"warnings do not fail", away, "", exitOK, []string{"ok       signing: ", "warning  public address: ", "warning  eligibility: a binding of roles/pubsub.editor", "ok       mail: 127.0.0.1:"}},
		{"what is broken does", away, "resourcemanager.projects.setIamPolicy", exitFailure, []string{"broken   grants: ", "run: gcloud organizations add-iam-policy-binding"}},
		{"a Cloud Run job names its service", with(map[string]string{"K_SERVICE": ""}), "", exitOK, []string{"/projects/264853019977/locations/europe-west1/services/jitaccess"}},
		{"a catalog that needs no directory", with(map[string]string{"RESOURCE_CATALOG": "PolicyAnalyzer", "RESOURCE_CUSTOMER_ID": ""}), "", exitOK, []string{"unseen   groups: not looked up: RESOURCE_CUSTOMER_ID is not set", "people are eligible in the"}},

		// The three exceptions of an upgrade from JIT Access 1.x.
		{"a domain of one's own", map[string]string{"PUBLIC_URL": "", "IAP_BACKEND_SERVICE_ID": "77"}, "", exitFailure, []string{"broken   public address: PUBLIC_URL is not set"}},
		{"a pattern that RE2 cannot read", with(map[string]string{"JUSTIFICATION_PATTERN": "(?<!x)BUG-\\d++"}), "", exitFailure, []string{"broken   settings: JUSTIFICATION_PATTERN is "}},
		{"clear-text mail", with(map[string]string{"SMTP_HOST": "mail.example.com", "SMTP_ENABLE_STARTTLS": "false"}), "", exitFailure, []string{"broken   settings: SMTP_ENABLE_STARTTLS is "}},

		{"several faults, a line each", with(map[string]string{"SMTP_PORT": "25x", "RESOURCE_SCOPE": "everything"}), "", exitFailure, []string{"broken   settings: SMTP_PORT is ", "broken   settings: RESOURCE_SCOPE is "}},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, surroundings{})
			if test.revoke != "" {
				w.cloud.Faults().RevokePermission(test.revoke)
			}
			var out bytes.Buffer
			if code := examine(context.Background(), asService(w.env(test.change), "jitaccess"), recipients{}, w.mail.Roots, &out); code != test.code {
				t.Errorf("exit status %d, want %d", code, test.code)
			}
			for _, text := range test.says {
				if !strings.Contains(out.String(), text) {
					t.Errorf("does not say %q:\n%s", text, out.String())
				}
			}
		})
	}
}

// A variable that was meant for the service and misses it by a letter is told, at
// start and by doctor, without its value.
func TestAMisspelledVariableIsAWarning(t *testing.T) {
	w := newWorld(t, surroundings{})
	t.Setenv("SMTP_SENDER_ADRESS", "canary-4711")
	var out bytes.Buffer
	examine(context.Background(), w.env(nil), recipients{}, w.mail.Roots, &out)
	if want := "warning  settings: SMTP_SENDER_ADRESS is set, and no such variable is read; is SMTP_SENDER_ADDRESS meant?"; !strings.Contains(out.String(), want) {
		t.Errorf("does not say %q:\n%s", want, out.String())
	}
	if strings.Contains(out.String(), "canary-4711") {
		t.Errorf("says the value:\n%s", out.String())
	}
}

func TestDoctorSendsATestMail(t *testing.T) {
	w := newWorld(t, surroundings{environment: map[string]string{"NOTIFICATION_TOPIC": "jitaccess-notifications"}})
	var out bytes.Buffer
	if code := examine(context.Background(), w.env(nil), recipients{mail: alice}, w.mail.Roots, &out); code != exitOK {
		t.Errorf("exit status %d:\n%s", code, out.String())
	}
	for _, step := range []string{"secret: ", "resolve: 127.0.0.1 is an address", "connect: to ", "TLS: version 1.3 with a certificate for this host (for ", "log-in: as ", "accepted: the server took a mail to alice@example.com and said "} {
		if !strings.Contains(out.String(), step) {
			t.Errorf("does not report %q:\n%s", step, out.String())
		}
	}
	if sent := w.mail.Messages(); len(sent) != 1 || !slices.Equal(sent[0].To, []string{alice}) || !strings.Contains(sent[0].Data, "Subject: Test mail") {
		t.Errorf("%v arrived", sent)
	}
}

func TestDoctorWithoutMetadataServer(t *testing.T) {
	t.Setenv("GCE_METADATA_HOST", "127.0.0.1:1")
	env := map[string]string{"K_SERVICE": "jitaccess", "RESOURCE_CATALOG": "AssetInventory", "RESOURCE_CUSTOMER_ID": "C1", "GCE_METADATA_HOST": "127.0.0.1:1"}
	var out bytes.Buffer
	if code := examine(context.Background(), func(name string) string { return env[name] }, recipients{}, nil, &out); code != exitFailure {
		t.Errorf("exit status %d", code)
	}
	if !strings.HasPrefix(out.String(), "broken   identity: ") || !strings.Contains(out.String(), "--impersonate-service-account") {
		t.Errorf("says\n%s", out.String())
	}
}

// An address that is none, such as a variable of a script that is not set, is refused
// before anything is looked at, and is not shown as it is.
func TestThreat12_TheTestMailGoesToAnAddress(t *testing.T) {
	for _, args := range [][]string{
		{"--send-test-mail", ""}, {"--send-test-mail="}, {"-send-test-mail", "ana"}, {"--send-test-mail", "ana@example.com\r\nBcc: eve@evil.example"},
		{"--send-test-mail", "ana@example.com,eve@evil.example"}, {"--send-test-mail", "Ana <ana@example.com>"}, {"--send-test-mail", "\x1b[2J@example.com"},
		{"--send-test-mail", "ana@example.com", "eve@evil.example"}, {"--send-test-mail", "ana@example.com", "--send-test-mail", ""}, {"--send-test-mail"},
		{"--send-test-mail", "", "--send-test-mail", "ana@example.com"},
	} {
		var stdout, stderr bytes.Buffer
		read := func(string) string { t.Errorf("%q: reads settings", args); return "" }
		if code := runDoctor(t.Context(), args, read, &stdout, &stderr); code != exitUsage || stdout.Len() > 0 {
			t.Errorf("%q: %d, %s", args, code, &stdout)
		}
		if text := stderr.String(); text == "" || strings.ContainsFunc(text, func(r rune) bool { return r != '\n' && r != '\t' && !unicode.IsPrint(r) }) {
			t.Errorf("%q: says %q", args, text)
		}
	}
}

// TestDoctorSaysWhoCannotSign: it counts who has no passkey, of the people and groups whom the
// rules of the policy name, and what a change of PUBLIC_URL has made useless.
func TestDoctorSaysWhoCannotSign(t *testing.T) {
	w := newWorld(t, surroundings{})
	dir := t.TempDir()
	file, secret := filepath.Join(dir, "policy.yaml"), []byte("with a key of thirty-two bytes!!")
	if err := os.WriteFile(file, []byte(`version: 1
rules:
  - name: production
    match: {role: [roles/a]}
    terms: {approvals: [{count: 1, from: [peers, "user:zoe@example.com", "user:bob@example.com", "group:nobody@example.com"]}], signature: true}
`), 0o600); err != nil {
		t.Fatal(err)
	}
	env := w.env(map[string]string{"POLICY": file, "DATABASE_URL": "sqlite:" + filepath.Join(dir, "jitaccess.db"), "SIGNING_KEY": crashKey, "K_SERVICE": "", "IAP_AUDIENCE": "/projects/1/x"})
	home, err := relational.SQLite(filepath.Join(dir, "jitaccess.db"))
	if err == nil {
		err = home.Migrate(t.Context())
	}
	keys, failed := ledger.NewKeys(secret)
	if err != nil || failed != nil {
		t.Fatal(err, failed)
	}
	store := ledger.New(ledger.Config{Home: home, Signer: keys, Now: time.Now, Random: rand.Reader})
	record := func(of access.Principal, number int, by access.Principal, body []byte) {
		t.Helper()
		if err := store.Append(t.Context(), access.Deed{Kind: access.DeedPasskeys, Of: string(of), Number: number, By: by, Body: body}); err != nil {
			t.Fatal(err)
		}
	}
	here := access.Passkey{Of: "bob@example.com", Credential: []byte("1"), Name: "here", RelyingParty: "localhost"}
	gone := access.Passkey{Of: "zoe@example.com", Credential: []byte("2"), Name: "gone", RelyingParty: "old.example.com"}
	record(here.Of, 1, here.Of, passkey.Enrolled(here))
	record(here.Of, 2, "erin@example.com", passkey.ApprovedOf(here))
	record(gone.Of, 1, gone.Of, passkey.Enrolled(gone))
	record(gone.Of, 2, "erin@example.com", passkey.ApprovedOf(gone))
	home.Close()
	var out bytes.Buffer
	examine(t.Context(), env, recipients{}, w.mail.Roots, &out)
	for _, text := range []string{
		"warning  passkeys: passkeys that were made for old.example.com sign nothing any more, since PUBLIC_URL is at localhost: 1, of zoe@example.com; set PUBLIC_URL back to https://old.example.com",
		"ok       passkeys: 1 was made for localhost, of which 0 wait for an administrator",
		`warning  passkeys: rule "production" has approvals signed, and not everybody who may give them has a passkey that counts; without one (1 of 2): zoe@example.com; not counted: group:nobody@example.com, peers;`,
	} {
		if !strings.Contains(out.String(), text) {
			t.Errorf("does not say %q:\n%s", text, out.String())
		}
	}
}
