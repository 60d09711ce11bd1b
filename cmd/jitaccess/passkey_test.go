package main

import (
	"context"
	"os"
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
	b := openBrowser(t, startSandboxWith(t, policy, nil), true)
	b.authenticator()

	b.be("Alice Moreau")
	b.open("/access/projects/" + project)
	b.tick("roles/compute.instanceAdmin.v1")
	b.press("Continue")
	b.fill("justification", "Node 7 hangs")
	b.press("Request access")
	link := b.value("location.href")

	b.be("Bob Tanaka")
	b.open(link)
	b.sees("Approvals are signed here, and you have no passkey for it.", "Deny")
	b.open("/passkeys")
	b.fill("name", "Laptop")
	b.press("Add passkey")
	b.sees("waits for an administrator", "Laptop", "Never used")
	b.open(link)
	b.sees("no administrator has approved your passkey")

	b.be("Erin Silva")
	b.open("/passkeys")
	b.sees("Laptop", "bob@example.com")
	b.press("Approve")

	b.be("Bob Tanaka")
	b.open(link)
	b.press("Approve")
	b.sees("Approve this?", "What you sign")
	b.tick("I have read above")
	b.press("Sign and approve")
	b.open("/sandbox/policy?resource=projects/" + project)
	b.sees("Approved by bob@example.com, justification: Node 7 hangs")
	b.open("/passkeys")
	b.sees("approved", "Last used")

	found, err := filepath.Glob(filepath.Join(os.TempDir(), "jitaccess-*", "jitaccess.db"))
	if err != nil || len(found) != 1 {
		t.Fatal(found, err)
	}
	env := func(name string) string { return map[string]string{"DATABASE_URL": "sqlite:" + found[0]}[name] }
	if code, out, errs := ledgerRun(env, "", "verify"); code != exitOK || !strings.Contains(out, "2 deeds, 1 approvals signed with a passkey; fine") {
		t.Errorf("%d, %s%s", code, out, errs)
	}
	_, export, _ := ledgerRun(env, "", "export")
	file := filepath.Join(t.TempDir(), "export")
	if err := os.WriteFile(file, []byte(export), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out, errs := ledgerRun(env, "", "verify", "--export", file); code != exitOK || !strings.Contains(out, "1 approvals signed with a passkey; self-attested") {
		t.Errorf("%d, %s%s", code, out, errs)
	}
}
