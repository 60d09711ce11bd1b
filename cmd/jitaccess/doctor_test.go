package main

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"strings"
	"testing"
	"unicode"
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
			if code := examine(context.Background(), asService(w.env(test.change), "jitaccess"), "", w.mail.Roots, &out); code != test.code {
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
	examine(context.Background(), w.env(nil), "", w.mail.Roots, &out)
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
	if code := examine(context.Background(), w.env(nil), alice, w.mail.Roots, &out); code != exitOK {
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
	if code := examine(context.Background(), func(name string) string { return env[name] }, "", nil, &out); code != exitFailure {
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
