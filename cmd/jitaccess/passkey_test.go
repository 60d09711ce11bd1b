package main

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"
)

const signedPolicy = `version: 1
rules:
  - name: machines are signed for
    match: {resource: [projects/shop-*-prod], role: [roles/compute.instanceAdmin.v1]}
    terms: {approvals: 1, signature: true}
`

// authenticator gives the browser one that verifies its user, or does not, and returns how
// to change that.
func (b *browser) authenticator() (id webauthn.AuthenticatorID) {
	b.t.Helper()
	_, err := chromedp.Run(b.ctx, func(ctx context.Context, _ *chromedp.Target) (chromedp.Void, error) {
		if _, err := chromedp.Call(ctx, webauthn.Enable, webauthn.EnableParams{}); err != nil {
			return chromedp.Void{}, err
		}
		added, err := chromedp.Call(ctx, webauthn.AddVirtualAuthenticator, webauthn.AddVirtualAuthenticatorParams{
			Options: &webauthn.VirtualAuthenticatorOptions{Protocol: "ctap2", Transport: "internal", HasResidentKey: true,
				HasUserVerification: true, IsUserVerified: true, AutomaticPresenceSimulation: true}})
		if err == nil {
			id = added.AuthenticatorID
		}
		return chromedp.Void{}, err
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return id
}

// TestPasskeyStory plays the whole way in a browser with an authenticator: a key is added,
// signs nothing until an administrator has approved it, then a role of Google is had by an
// approval that it signs, which the ledger proves without the service.
func TestPasskeyStory(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	policy := filepath.Join(t.TempDir(), "policy.yaml")
	if err := os.WriteFile(policy, []byte(signedPolicy), 0o600); err != nil {
		t.Fatal(err)
	}
	origin := startSandboxWith(t, policy, nil)
	b := openBrowser(t, origin, true)
	b.authenticator()

	b.be("Alice Moreau")
	b.open("/access/projects/" + project)
	b.tick("roles/compute.instanceAdmin.v1")
	b.opens()
	b.fill("justification", "Node 7 hangs")
	b.press("Request access")
	link := b.value("location.href")

	b.be("Bob Tanaka")
	b.open(link)
	b.sees("Approvals are signed here, and you have no passkey for it.", "Deny")
	b.open("/passkeys")
	if _, err := chromedp.RunResponse(b.ctx, chromedp.SendKeys("#name", "Laptop\r")); err != nil { // by keyboard alone
		t.Fatal(err)
	}
	b.sees("waits for an administrator", "Laptop", "Never used")
	b.open(link)
	b.sees("no administrator has approved your passkey")

	plain := openBrowser(t, origin, false)
	plain.be("Bob Tanaka")
	plain.open("/passkeys")
	plain.sees("Laptop", "Passkeys need scripts, which are switched off in this browser.")
	plain.fill("name", "Phone")
	plain.press("Add passkey")
	plain.sees("No passkey was added", "in a browser with scripts")

	b.be("Alice Moreau")
	b.open(link)
	b.sees("(no passkey yet that counts here)")
	b.looks("request that nobody can sign")

	b.be("Erin Silva")
	b.open("/passkeys")
	b.sees("Laptop", "bob@example.com")
	b.looks("passkeys of others")
	b.press("Approve")

	b.be("Bob Tanaka")
	b.open(link)
	b.press("Approve")
	b.sees("Approve this?", "What you sign")
	b.looks("what is signed")
	b.tick("I have read above")
	b.press("Sign and approve")
	b.open("/sandbox/policy?resource=projects/" + project)
	b.sees("Approved by bob@example.com, justification: Node 7 hangs")
	b.open("/passkeys")
	b.sees("approved", "Last used")
	b.looks("passkeys")

	found, err := filepath.Glob(filepath.Join(os.TempDir(), "jitaccess-*", "jitaccess.db"))
	if err != nil || len(found) != 1 {
		t.Fatal(found, err)
	}
	env := func(name string) string { return map[string]string{"DATABASE_URL": "sqlite:" + found[0]}[name] }
	if code, out, errs := ledgerRun(env, "", "verify"); code != exitOK || !strings.Contains(out, "2 deeds, 1 approval signed with a passkey; fine") {
		t.Errorf("%d, %s%s", code, out, errs)
	}
	_, export, _ := ledgerRun(env, "", "export")
	file := filepath.Join(t.TempDir(), "export")
	if err := os.WriteFile(file, []byte(export), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := asDocumented(t, export); !strings.Contains(out, "bob@example.com "+b.origin+" signed ") || !strings.HasSuffix(out, " true\n") {
		t.Errorf("the program of docs/signatures.md says %s", out)
	}
	verifiedByOpenSSL(t, export)
	if code, out, errs := ledgerRun(env, "", "verify", "--export", file); code != exitOK || !strings.Contains(out, "1 approval signed with a passkey; self-attested") {
		t.Errorf("%d, %s%s", code, out, errs)
	}
}

// asDocumented is what the program in docs/signatures.md says of an export.
func asDocumented(t *testing.T, export string) string {
	t.Helper()
	page, err := os.ReadFile("../../docs/signatures.md")
	if err != nil {
		t.Fatal(err)
	}
	_, program, _ := strings.Cut(string(page), "```go\n")
	program, _, _ = strings.Cut(program, "```")
	file := filepath.Join(t.TempDir(), "main.go")
	if err := os.WriteFile(file, []byte(program), 0o600); err != nil {
		t.Fatal(err)
	}
	run := exec.CommandContext(t.Context(), "go", "run", file)
	run.Stdin = strings.NewReader(export)
	out, err := run.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}

// verifiedByOpenSSL follows docs/signatures.md with what an export has of the one approval in
// it that is signed.
func verifiedByOpenSSL(t *testing.T, export string) {
	t.Helper()
	type evidence struct {
		PublicKey         []byte `json:"public_key"`
		AuthenticatorData []byte `json:"authenticator_data"`
		ClientData        []byte `json:"client_data"`
		Signature         []byte
	}
	var found *evidence
	for line := range strings.Lines(export) {
		var l struct{ Parts []struct{ Content []byte } }
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatal(err)
		}
		var content struct{ Decision struct{ Evidence *evidence } }
		if len(l.Parts) > 0 && json.Unmarshal(l.Parts[0].Content, &content) == nil && content.Decision.Evidence != nil {
			found = content.Decision.Evidence
		}
	}
	if found == nil {
		t.Fatal("no signature was exported")
	}
	dir := t.TempDir()
	for name, part := range map[string][]byte{"public_key": found.PublicKey, "authenticator_data": found.AuthenticatorData,
		"client_data": found.ClientData, "signature": found.Signature} {
		if err := os.WriteFile(filepath.Join(dir, name), part, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	page, err := os.ReadFile("../../docs/signatures.md")
	if err != nil {
		t.Fatal(err)
	}
	_, commands, _ := strings.Cut(string(page), "```\nopenssl")
	commands, _, _ = strings.Cut(commands, "```")
	run := exec.CommandContext(t.Context(), "sh", "-ec", "openssl"+commands)
	run.Dir = dir
	if out, err := run.CombinedOutput(); err != nil || !strings.Contains(string(out), "Verified OK") {
		t.Errorf("%v\n%s", err, out)
	}
}
