package relational_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/ledger"
	"jitaccess/internal/passkey"
	"jitaccess/internal/passkey/passkeytest"
)

const signedOrigin, signedParty = "https://jit.example.com", "jit.example.com"

// signedScene is a request of ana's whose approval ben signs with a key of his, which is the last
// thing that happens. Change it before it is recorded: the service's own key signs the chain then,
// so that what is found is found in the evidence.
type signedScene struct {
	t        *testing.T
	c        *clock
	s        *ledger.Store
	key      *passkeytest.Authenticator
	request  access.Request
	decision access.Decision
	// others are keys of others', and of ben's that count less.
	other, young, unapproved, removed *passkeytest.Authenticator
}

// happens records what somebody does to passkeys of a person.
func (s *signedScene) happens(of, by access.Principal, body []byte) {
	s.t.Helper()
	before := must(s.s.Deeds(s.t.Context(), access.DeedPasskeys, string(of)))(s.t)
	d := access.Deed{Kind: access.DeedPasskeys, Of: string(of), Number: len(before) + 1, At: s.c.Now(), By: by, Body: body}
	if err := s.s.Append(s.t.Context(), d); err != nil {
		s.t.Fatal(err)
	}
}

// enrol adds a key, and does to it what else there is to do.
func (s *signedScene) enrol(of access.Principal, key *passkeytest.Authenticator, then ...string) {
	s.t.Helper()
	k := access.Passkey{Of: of, Credential: key.Credential, Name: "Laptop", PublicKey: key.PublicKey(), RelyingParty: key.RelyingParty}
	s.happens(of, of, passkey.Enrolled(k))
	if slices.Contains(then, "approved") {
		s.happens(of, "dan@example.com", passkey.ApprovedOf(k))
	}
	if slices.Contains(then, "removed") {
		s.happens(of, of, passkey.RemovedOf(k))
	}
}

// must is the value of a call that fails the test.
func must[T any](value T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

// sign has the decision signed, as it is, by a key.
func (s *signedScene) sign(key *passkeytest.Authenticator) {
	said := passkey.Statement{Purpose: passkey.Approval, Person: s.decision.By, Request: s.decision.Digest, Duration: s.decision.Duration,
		Nonce: bytes.Repeat([]byte{7}, 32), At: s.c.Now()}
	made := key.Sign(said)
	made.PublicKey, made.RelyingParty = key.PublicKey(), key.RelyingParty
	s.decision.Evidence = made
}

// Each part of what somebody has signed is verified again, years later: one that is otherwise is
// found, whoever recorded it.
func TestEvidenceThatIsOtherwiseIsFound(t *testing.T) {
	evidence := func(change func(*access.Assertion)) func(*signedScene) {
		return func(s *signedScene) { change(s.decision.Evidence) }
	}
	for what, test := range map[string]struct {
		change func(*signedScene)
		want   string
	}{
		"as it was":                       {func(*signedScene) {}, ""},
		"another signature":               {evidence(func(a *access.Assertion) { a.Signature[len(a.Signature)-1]++ }), "the signature is not of this key"},
		"no signature":                    {evidence(func(a *access.Assertion) { a.Signature = nil }), "the signature is not of this key"},
		"another counter":                 {evidence(func(a *access.Assertion) { a.AuthenticatorData[36]++ }), "the signature is not of this key"},
		"the user is not verified":        {evidence(func(a *access.Assertion) { a.AuthenticatorData[32] &^= 4 }), "the user was not verified"},
		"nobody is there":                 {evidence(func(a *access.Assertion) { a.AuthenticatorData[32] &^= 1 }), "nobody was there"},
		"another relying party":           {evidence(func(a *access.Assertion) { a.AuthenticatorData[0]++ }), "it is for another relying party"},
		"authenticator data is cut off":   {evidence(func(a *access.Assertion) { a.AuthenticatorData = a.AuthenticatorData[:30] }), "the authenticator data is cut off"},
		"another name of a relying party": {evidence(func(a *access.Assertion) { a.RelyingParty = "evil.example" }), "it was made at"},
		"another page": {evidence(func(a *access.Assertion) {
			a.ClientData = bytes.Replace(a.ClientData, []byte("https://jit"), []byte("https://git"), 1)
		}), "it was made at"},
		"more in the client data": {evidence(func(a *access.Assertion) { a.ClientData = append(a.ClientData, ' ') }), "the signature is not of this key"},
		"another kind": {evidence(func(a *access.Assertion) {
			a.ClientData = bytes.Replace(a.ClientData, []byte("webauthn.get"), []byte("webauthn.create"), 1)
		}), `it is "webauthn.create"`},
		"no client data":     {evidence(func(a *access.Assertion) { a.ClientData = nil }), "the client data cannot be read"},
		"another nonce":      {evidence(func(a *access.Assertion) { a.Nonce = bytes.Repeat([]byte{8}, 32) }), "it is of another challenge"},
		"another time":       {evidence(func(a *access.Assertion) { a.At = a.At.Add(time.Second) }), "it is of another challenge"},
		"another key":        {func(s *signedScene) { s.decision.Evidence.PublicKey = s.other.PublicKey() }, "the signature is not of this key"},
		"no key":             {evidence(func(a *access.Assertion) { a.PublicKey = []byte("x") }), "the key cannot be read"},
		"another credential": {func(s *signedScene) { s.decision.Evidence.Credential = s.other.Credential }, "its key was not one of the approver's"},
		"another person":     {func(s *signedScene) { s.decision.By = "cho@example.com" }, "it is of another challenge"},
		"another length":     {func(s *signedScene) { s.decision.Duration = time.Minute }, "it is of another challenge"},
		"over another request": {func(s *signedScene) {
			of := s.decision.Digest
			s.decision.Digest = strings.Repeat("0", 64)
			s.sign(s.key)
			s.decision.Digest = of
		}, "it is of another challenge"},
		"another person's key": {func(s *signedScene) { s.sign(s.other) }, "its key was not one of the approver's"},
		"another person's deed": {func(s *signedScene) {
			s.decision.By = "eve@example.com"
			s.sign(s.other)
		}, "its key was not one of the approver's"},
		"a key that was never enrolled": {func(s *signedScene) { s.sign(passkeytest.New(s.t, signedOrigin, signedParty)) }, "its key was not one of the approver's"},
		"a key that was enrolled later": {func(s *signedScene) {
			late := passkeytest.New(s.t, signedOrigin, signedParty)
			s.sign(late)
			s.c.now = s.c.now.Add(time.Hour)
			s.enrol("ben@example.com", late, "approved")
		}, "its key was not one of the approver's"},
		"a key that was removed before": {func(s *signedScene) { s.sign(s.removed) }, "its key was not one of the approver's"},
		"a key that nobody approved":    {func(s *signedScene) { s.sign(s.unapproved) }, "not one that the terms demand"},
		"a key that was approved later": {func(s *signedScene) {
			s.sign(s.unapproved)
			s.c.now = s.c.now.Add(time.Hour)
			s.happens("ben@example.com", "dan@example.com", passkey.ApprovedOf(access.Passkey{Credential: s.unapproved.Credential}))
		}, "not one that the terms demand"},
		"a key that is too young": {func(s *signedScene) { s.sign(s.young) }, "not one that the terms demand"},
		"a key that was removed since": {func(s *signedScene) {
			s.c.now = s.c.now.Add(time.Hour)
			s.happens("ben@example.com", "ben@example.com", passkey.RemovedOf(access.Passkey{Credential: s.key.Credential}))
		}, ""},
		"nothing is signed": {func(s *signedScene) { s.decision.Evidence = nil }, "is not signed, and its terms demand that"},
		"nothing is signed, nor need be": {func(s *signedScene) {
			s.request.Terms.Signature = false
			s.decision.Evidence, s.decision.Digest = nil, s.request.Digest()
		}, ""},
	} {
		t.Run(what, func(t *testing.T) {
			c, home := newClock(), sqlite(t)
			s := &signedScene{t: t, c: c, s: store(t, home, c)}
			for _, key := range []**passkeytest.Authenticator{&s.key, &s.other, &s.young, &s.unapproved, &s.removed} {
				*key = passkeytest.New(t, signedOrigin, signedParty)
				(*key).Counter = 1
			}
			s.enrol("ben@example.com", s.key, "approved")
			s.enrol("ben@example.com", s.unapproved)
			s.enrol("ben@example.com", s.removed, "approved", "removed")
			s.enrol("cho@example.com", s.other, "approved")
			c.now = c.now.Add(24 * time.Hour)
			s.enrol("ben@example.com", s.young, "approved")
			c.now = c.now.Add(time.Second)
			s.request = access.Request{ID: "mpa-0000000000000001", Kind: access.Peers, Principal: "ana@example.com", Resource: "projects/shop",
				Entitlements: []access.EntitlementID{{Resource: "projects/shop", Role: "roles/viewer"}}, Justification: "case 42", Duration: time.Hour,
				Reviewers: []access.Principal{"ben@example.com", "cho@example.com", "eve@example.com"}, Created: c.Now(), Expires: c.Now().Add(12 * time.Hour),
				Terms: access.Terms{MaxDuration: 2 * time.Hour, Requirements: []access.Requirement{{Count: 1, From: []string{access.FromPeers}}}, Signature: true,
					Keys: access.KeyTerms{Age: time.Hour}}}
			s.decision = access.Decision{Verdict: access.Approve, By: "ben@example.com", At: c.Now(), Digest: s.request.Digest()}
			s.sign(s.key)
			test.change(s)
			request, decision := s.request, s.decision
			made := access.Event{Action: access.RequestMade, At: request.Created, Request: request, Caller: access.Caller{Principal: request.Principal}}
			_, err := s.s.Commit(t.Context(), made, nil)
			if err != nil {
				t.Fatal(err)
			}
			request = must(s.s.Open(t.Context(), request.ID))(t)
			approved := access.Event{Action: access.RequestApproved, At: decision.At, Request: request, Decision: decision, Requirements: request.Terms.Requirements,
				Window: access.Window{Start: decision.At, End: decision.At.Add(request.Approved(decision))}, Caller: access.Caller{Principal: decision.By}}
			if _, err := s.s.Commit(t.Context(), approved, nil); err != nil {
				t.Fatal(err)
			}
			report := must(ledger.Verify(t.Context(), home, keys(t, secret)))(t)
			found := access.Each(report.Findings, func(f ledger.Finding) string { return f.ID + ": " + f.What })
			if test.want == "" && len(found) > 0 || test.want != "" && (len(found) != 1 || !strings.Contains(found[0], test.want) || !strings.HasPrefix(found[0], request.ID)) {
				t.Errorf("found %q, want %q", found, test.want)
			}
			if signed := map[bool]int{true: 1}[decision.Evidence != nil]; report.Signed != signed {
				t.Errorf("%d were signed", report.Signed)
			}
		})
	}
}
