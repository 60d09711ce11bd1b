package server_test

import (
	"bytes"
	"net/http"
	"testing"

	"jitaccess/internal/access"
	"jitaccess/internal/passkey"
	"jitaccess/internal/passkey/passkeytest"
)

// "signed" says that a passkey has signed this, and not that something lies there that
// could be a signature.
func TestWhatIsCalledSignedIsVerified(t *testing.T) {
	key := passkeytest.New(t, "https://access.example.com", "access.example.com")
	for what, c := range map[string]struct {
		change func(*access.Request)
		want   bool
	}{
		"signed":     {func(*access.Request) {}, true},
		"by nothing": {func(q *access.Request) { q.Decisions[0].Evidence = nil }, false},
		"with something": {func(q *access.Request) {
			q.Decisions[0].Evidence = &access.Assertion{}
		}, false},
		"of another":        {func(q *access.Request) { q.Decisions[0].By = ana }, false},
		"of something else": {func(q *access.Request) { q.Justification += "!" }, false},
		"with another key": {func(q *access.Request) {
			q.Decisions[0].Evidence.PublicKey = passkeytest.New(t, "https://access.example.com", "access.example.com").PublicKey()
		}, false},
	} {
		t.Run(what, func(t *testing.T) {
			a := newAsked()
			h, _ := applications(t, a, nil)
			p := programOf(t, h)
			id := p.reads(p.ask(deploy), http.StatusAccepted)["id"].(string)
			q := a.becomes(id, access.Active, ben)
			a.mu.Lock()
			d := &q.Decisions[0]
			d.Digest = q.Digest()
			s := passkey.Statement{Purpose: passkey.Approval, Person: ben, Request: d.Digest, Nonce: bytes.Repeat([]byte{1}, 32), At: a.clock}
			d.Evidence = key.Sign(s)
			d.Evidence.PublicKey, d.Evidence.RelyingParty = key.PublicKey(), "access.example.com"
			c.change(&q)
			a.requests[id] = q
			a.mu.Unlock()
			got := p.reads(p.send("GET", "/v1/approvals/"+id, "", ""), http.StatusOK)
			if got["decisions"].([]any)[0].(map[string]any)["signed"] != c.want {
				t.Errorf("%v", got["decisions"])
			}
			if said := p.verifies(got["access_token"].(string))["approval"].(map[string]any)["signed"]; said != c.want {
				t.Errorf("the token says signed: %v", said)
			}
		})
	}
}

// A denial that somebody with the database could have made up is not told as one that happened.
func TestWhatIsUnattestedSaysSoToApplications(t *testing.T) {
	a := newAsked()
	h, _ := applications(t, a, nil)
	p := programOf(t, h)
	id := p.reads(p.ask(deploy), http.StatusAccepted)["id"].(string)
	q := a.becomes(id, access.Denied, ben)
	a.mu.Lock()
	q.Unattested = true
	a.requests[id] = q
	a.mu.Unlock()
	got := p.reads(p.send("GET", "/v1/approvals/"+id, "", ""), http.StatusOK)
	warnings := got["warnings"].([]any)
	if len(warnings) != 1 || warnings[0].(map[string]any)["code"] != string(access.CodeUnattested) {
		t.Errorf("%v", got)
	}
}
