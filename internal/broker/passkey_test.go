package broker_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"slices"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/broker/brokertest"
	"jitaccess/internal/passkey"
	"jitaccess/internal/passkey/passkeytest"
)

const keyOrigin, keyParty = "https://jit.example.com", "jit.example.com"

// present is somebody who has just signed in.
func present(w *world, p access.Principal) access.Caller {
	c := caller(p)
	c.Asserted = w.Clock
	return c
}

// signing is a pending request of ana's whose terms demand a signature, and ben with a key
// that dan has approved a day ago.
func signing(t *testing.T, change func(*world, *access.Terms)) (*world, *broker.Broker, broker.Asked, *passkeytest.Authenticator) {
	t.Helper()
	w := newWorld(t)
	w.Forgets, w.Origin, w.Signatures = false, keyOrigin, &brokertest.Signatures{}
	w.Policy = changed(w, func(terms *access.Terms) {
		if terms.Signature = len(terms.Requirements) > 0; change != nil {
			change(w, terms)
		}
	})
	b := w.Broker()
	key := passkeytest.New(t, keyOrigin, keyParty)
	enrol(t, w, b, ben, key)
	if _, err := b.ApprovePasskey(t.Context(), caller(dan), ben, access.CredentialID(key.Credential)); err != nil {
		t.Fatal(err)
	}
	w.Clock = w.Clock.Add(24 * time.Hour)
	asked, err := b.Ask(t.Context(), caller(ana), ask())
	if err != nil {
		t.Fatal(err)
	}
	w.Forget()
	return w, b, asked, key
}

func enrol(t *testing.T, w *world, b *broker.Broker, p access.Principal, key *passkeytest.Authenticator) {
	t.Helper()
	list, err := b.PasskeyList(t.Context(), caller(p))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.Enrol(t.Context(), present(w, p), "Laptop", key.Create(list.Enrolment.Statement)); err != nil {
		t.Fatal(err)
	}
}

// challenge is what somebody is given to sign.
func challenge(t *testing.T, b *broker.Broker, p access.Principal, ref string, atMost time.Duration) broker.Ceremony {
	t.Helper()
	v, err := b.Show(t.Context(), caller(p), ref, "")
	if err != nil || !v.Signature {
		t.Fatalf("%+v, %v", v.WhyNot, err)
	}
	c, err := b.Signing(t.Context(), caller(p), v, atMost)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestASignedApprovalGrantsAndKeepsWhatWasSigned(t *testing.T) {
	w, b, asked, key := signing(t, nil)
	c := challenge(t, b, ben, asked.Ref, 0)
	if len(c.Credentials) != 1 || !bytes.Equal(c.Credentials[0], key.Credential) || c.RelyingParty != keyParty {
		t.Errorf("%+v", c)
	}
	done, err := b.Decide(t.Context(), caller(ben), broker.Decide{Ref: asked.Ref, Verdict: access.Approve, Signed: key.Sign(c.Statement)})
	if err != nil || done.State != access.Active || len(w.Activations) != 1 {
		t.Fatalf("%+v, %v", done, err)
	}
	d := done.Request.Decisions[0]
	if d.Evidence == nil || passkey.Verify(*d.Evidence, passkey.Of(d)) != nil || !bytes.Equal(d.Evidence.PublicKey, key.PublicKey()) || d.Evidence.RelyingParty != keyParty {
		t.Errorf("the evidence is %+v", d.Evidence)
	}
	// The same again is the same answer, and no second signature.
	if again, err := b.Decide(t.Context(), caller(ben), broker.Decide{Ref: asked.Ref, Verdict: access.Approve}); err != nil || again.State != access.Active {
		t.Errorf("%+v, %v", again, err)
	}
	list, err := b.PasskeyList(t.Context(), caller(ben))
	if err != nil || len(list.Own) != 1 || !list.Own[0].Used.Equal(w.Clock) || len(w.Signatures.Uses) != 1 {
		t.Errorf("%+v, %v", list.Own, err)
	}
}

func TestDenyingTakesNoSignature(t *testing.T) {
	_, b, asked, _ := signing(t, nil)
	view, err := b.Show(t.Context(), caller(cho), asked.Ref, "")
	if err != nil || !view.CanDecide || view.NoKey == nil || view.NoKey.Code != access.CodeNoPasskey {
		t.Errorf("%+v, %v", view.NoKey, err)
	}
	if done, err := b.Decide(t.Context(), caller(cho), broker.Decide{Ref: asked.Ref, Verdict: access.Deny, Comment: "no"}); err != nil || done.State != access.Denied {
		t.Errorf("%+v, %v", done, err)
	}
}

func TestKeysOfOtherAlgorithmsSign(t *testing.T) {
	_, private, _ := ed25519.GenerateKey(rand.Reader)
	long, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string]*passkeytest.Authenticator{"EdDSA": passkeytest.With(t, private, keyOrigin, keyParty),
		"RS256": passkeytest.With(t, long, keyOrigin, keyParty)} {
		w, b, asked, _ := signing(t, nil)
		enrol(t, w, b, ben, key)
		if _, err := b.ApprovePasskey(t.Context(), caller(dan), ben, access.CredentialID(key.Credential)); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Decide(t.Context(), caller(ben), broker.Decide{Ref: asked.Ref, Verdict: access.Approve,
			Signed: key.Sign(challenge(t, b, ben, asked.Ref, 0).Statement)}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Each of these is refused, and nothing is granted.
func TestWhatIsNoSignatureOverThisApproval(t *testing.T) {
	type scene struct {
		w     *world
		b     *broker.Broker
		asked broker.Asked
		key   *passkeytest.Authenticator
		d     *broker.Decide
	}
	sign := func(s scene) {
		s.d.Signed = s.key.Sign(challenge(s.w.T.(*testing.T), s.b, ben, s.asked.Ref, 0).Statement)
	}
	change := func(alter func(s scene)) func(*testing.T, scene) {
		return func(t *testing.T, s scene) { alter(s); sign(s) }
	}
	for _, c := range []struct {
		what string
		code access.Code
		do   func(*testing.T, scene)
	}{
		{"nothing is signed", access.CodeSignatureMissing, func(*testing.T, scene) {}},
		{"another site", access.CodeSignatureInvalid, change(func(s scene) { s.key.Origin = "https://jit.example.com.evil.example" })},
		{"another host of the site", access.CodeSignatureInvalid, change(func(s scene) { s.key.Origin = "https://evil.jit.example.com" })},
		{"without encryption", access.CodeSignatureInvalid, change(func(s scene) { s.key.Origin = "http://jit.example.com" })},
		{"another relying party", access.CodeSignatureInvalid, change(func(s scene) { s.key.RelyingParty = "example.com" })},
		{"within a page of another site", access.CodeSignatureInvalid, change(func(s scene) {
			s.key.Client = func(said map[string]any) { said["crossOrigin"] = true }
		})},
		{"a key that is made", access.CodeSignatureInvalid, change(func(s scene) {
			s.key.Client = func(said map[string]any) { said["type"] = "webauthn.create" }
		})},
		{"another challenge", access.CodeSignatureInvalid, change(func(s scene) {
			s.key.Client = func(said map[string]any) { said["challenge"] = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" }
		})},
		{"no user verification", access.CodeSignatureInvalid, change(func(s scene) { s.key.Unverified = true })},
		{"nobody there", access.CodeSignatureInvalid, change(func(s scene) { s.key.Absent = true })},
		{"another length than is approved", access.CodeSignatureInvalid, func(t *testing.T, s scene) {
			s.d.Signed = s.key.Sign(challenge(t, s.b, ben, s.asked.Ref, 5*time.Minute).Statement)
		}},
		{"a nonce of our own", access.CodeSignatureInvalid, func(t *testing.T, s scene) {
			statement := challenge(t, s.b, ben, s.asked.Ref, 0).Statement
			statement.Nonce = bytes.Repeat([]byte{1}, 32)
			s.d.Signed = s.key.Sign(statement)
		}},
		{"a time of our own", access.CodeSignatureInvalid, func(t *testing.T, s scene) {
			statement := challenge(t, s.b, ben, s.asked.Ref, 0).Statement
			statement.At = statement.At.Add(time.Second)
			s.d.Signed = s.key.Sign(statement)
		}},
		{"six minutes later", access.CodeSignatureInvalid, func(t *testing.T, s scene) { sign(s); s.w.Clock = s.w.Clock.Add(6 * time.Minute) }},
		{"a signature that is cut off", access.CodeSignatureInvalid, func(t *testing.T, s scene) { sign(s); s.d.Signed.Signature = s.d.Signed.Signature[:9] }},
		{"authenticator data that is cut off", access.CodeSignatureInvalid, func(t *testing.T, s scene) {
			sign(s)
			s.d.Signed.AuthenticatorData = s.d.Signed.AuthenticatorData[:36]
		}},
		{"authenticator data that was changed", access.CodeSignatureInvalid, func(t *testing.T, s scene) { sign(s); s.d.Signed.AuthenticatorData[36]++ }},
		{"client data that is no JSON", access.CodeSignatureInvalid, func(t *testing.T, s scene) { sign(s); s.d.Signed.ClientData = []byte("{") }},
		{"the approval of another request", access.CodeSignatureInvalid, func(t *testing.T, s scene) {
			other := ask()
			other.Justification = "case 43"
			asked, err := s.b.Ask(t.Context(), caller(ana), other)
			if err != nil {
				t.Fatal(err)
			}
			s.d.Signed = s.key.Sign(challenge(t, s.b, ben, asked.Ref, 0).Statement)
		}},
		{"a key of somebody else", access.CodeSignatureInvalid, func(t *testing.T, s scene) {
			other := passkeytest.New(t, keyOrigin, keyParty)
			enrol(t, s.w, s.b, cho, other)
			if _, err := s.b.ApprovePasskey(t.Context(), caller(dan), cho, access.CredentialID(other.Credential)); err != nil {
				t.Fatal(err)
			}
			s.d.Signed = other.Sign(challenge(t, s.b, ben, s.asked.Ref, 0).Statement)
		}},
		{"a key of somebody else, as one's own", access.CodeSignatureInvalid, func(t *testing.T, s scene) {
			other := passkeytest.New(t, keyOrigin, keyParty)
			other.Credential = s.key.Credential
			s.d.Signed = other.Sign(challenge(t, s.b, ben, s.asked.Ref, 0).Statement)
		}},
		{"a key that was removed", access.CodeNoPasskey, func(t *testing.T, s scene) {
			sign(s)
			if _, err := s.b.RemovePasskey(t.Context(), caller(dan), ben, access.CredentialID(s.key.Credential)); err != nil {
				t.Fatal(err)
			}
		}},
		{"a key that nobody has approved", access.CodeSignatureInvalid, func(t *testing.T, s scene) {
			other := passkeytest.New(t, keyOrigin, keyParty)
			enrol(t, s.w, s.b, ben, other)
			s.d.Signed = other.Sign(challenge(t, s.b, ben, s.asked.Ref, 0).Statement)
		}},
		{"a key for another address of the service", access.CodeNoPasskey, func(t *testing.T, s scene) {
			sign(s)
			for i := range s.w.Signatures.All {
				s.w.Signatures.All[i].Body = bytes.ReplaceAll(s.w.Signatures.All[i].Body, []byte(keyParty), []byte("old.example.com"))
			}
		}},
	} {
		t.Run(c.what, func(t *testing.T) {
			w, b, asked, key := signing(t, nil)
			w.T = t
			d := broker.Decide{Ref: asked.Ref, Verdict: access.Approve}
			c.do(t, scene{w, b, asked, key, &d})
			_, err := b.Decide(t.Context(), caller(ben), d)
			is(t, err, access.NotAllowed, c.code)
			if len(w.Activations) != 0 || slices.ContainsFunc(w.Journal, func(e access.Event) bool { return e.Action == access.RequestApproved }) {
				t.Errorf("granted %v: %s", w.Activations, w.Actions())
			}
		})
	}
}

// Somebody else who sends what ben has signed approves nothing.
func TestASignatureIsOfOnePerson(t *testing.T) {
	w, b, asked, key := signing(t, nil)
	other := passkeytest.New(t, keyOrigin, keyParty)
	enrol(t, w, b, cho, other)
	if _, err := b.ApprovePasskey(t.Context(), caller(dan), cho, access.CredentialID(other.Credential)); err != nil {
		t.Fatal(err)
	}
	signed := key.Sign(challenge(t, b, ben, asked.Ref, 0).Statement)
	_, err := b.Decide(t.Context(), caller(cho), broker.Decide{Ref: asked.Ref, Verdict: access.Approve, Signed: signed})
	is(t, err, access.NotAllowed, access.CodeSignatureInvalid)
}

// A counter that goes back, or stands still, is that of a copy; one that is always 0 counts
// nothing.
func TestACounterGoesForward(t *testing.T) {
	for name, c := range map[string]struct {
		first, second uint32
		good          bool
	}{"forward": {7, 8, true}, "back": {7, 3, false}, "the same": {7, 6, false}, "to nothing": {7, 0, false}, "always 0": {0, 0, true}} {
		w, b, asked, key := signing(t, twoSign)
		key.Counter = c.first
		if _, err := b.Decide(t.Context(), caller(ben), broker.Decide{Ref: asked.Ref, Verdict: access.Approve,
			Signed: key.Sign(challenge(t, b, ben, asked.Ref, 0).Statement)}); err != nil {
			t.Fatal(name, err)
		}
		other := ask()
		other.Justification = "case 43"
		second, err := b.Ask(t.Context(), caller(ana), other)
		if err != nil {
			t.Fatal(err)
		}
		if key.Counter = c.second; name == "the same" {
			key.Counter = c.first // it is raised by one
			w.Signatures.Uses[0].Counter = c.first + 1
		}
		_, err = b.Decide(t.Context(), caller(ben), broker.Decide{Ref: second.Ref, Verdict: access.Approve,
			Signed: key.Sign(challenge(t, b, ben, second.Ref, 0).Statement)})
		if own := access.AsError(err); (own == nil) != c.good || own != nil && own.Code != access.CodeSignatureInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// twoSign takes two approvals.
func twoSign(_ *world, terms *access.Terms) {
	if len(terms.Requirements) > 0 {
		terms.Requirements = []access.Requirement{{Count: 2, From: []string{access.FromPeers}}}
	}
}

func TestTermsOfKeys(t *testing.T) {
	for name, c := range map[string]struct {
		terms access.KeyTerms
		// when is how long after its enrolment the key signs; approved whether it was.
		when             time.Duration
		approved, synced bool
		code             access.Code
	}{
		"approved":                           {access.KeyTerms{}, 0, true, false, ""},
		"not approved":                       {access.KeyTerms{}, 0, false, false, access.CodePasskeyUnapproved},
		"not approved, and need not be":      {access.KeyTerms{SelfEnrolled: true}, 0, false, false, ""},
		"a moment ago":                       {access.KeyTerms{Age: 24 * time.Hour}, 24*time.Hour - time.Second, true, false, access.CodePasskeyYoung},
		"long ago":                           {access.KeyTerms{Age: 24 * time.Hour}, 24 * time.Hour, true, false, ""},
		"on several devices":                 {access.KeyTerms{DeviceBound: true}, 0, true, true, access.CodePasskeySynced},
		"on several devices, as may be":      {access.KeyTerms{}, 0, true, true, ""},
		"on one device":                      {access.KeyTerms{DeviceBound: true}, 0, true, false, ""},
		"not approved and on several, young": {access.KeyTerms{Age: time.Hour, DeviceBound: true}, 0, false, true, access.CodePasskeyUnapproved},
	} {
		w, b, asked, _ := signing(t, func(_ *world, terms *access.Terms) { terms.Keys = c.terms })
		key := passkeytest.New(t, keyOrigin, keyParty)
		key.Synced = c.synced
		enrol(t, w, b, cho, key)
		if c.approved {
			if _, err := b.ApprovePasskey(t.Context(), caller(dan), cho, access.CredentialID(key.Credential)); err != nil {
				t.Fatal(err)
			}
		}
		if w.Clock = w.Clock.Add(c.when); c.when > 0 { // the request of then has lapsed
			again, err := b.Ask(t.Context(), caller(ana), ask())
			if err != nil {
				t.Fatal(err)
			}
			asked = again
		}
		view, err := b.Show(t.Context(), caller(cho), asked.Ref, "")
		if err != nil || (view.NoKey == nil) != (c.code == "") || view.NoKey != nil && view.NoKey.Code != c.code {
			t.Errorf("%s: shown %v, %v", name, view.NoKey, err)
			continue
		}
		var signed *access.Assertion
		if c.code == "" {
			signed = key.Sign(challenge(t, b, cho, asked.Ref, 0).Statement)
		}
		_, err = b.Decide(t.Context(), caller(cho), broker.Decide{Ref: asked.Ref, Verdict: access.Approve, Signed: signed})
		if own := access.AsError(err); (own == nil) != (c.code == "") || own != nil && own.Code != c.code {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A key that says of itself that it is on one device when it is enrolled, and otherwise when
// it signs, is believed in what it has signed.
func TestAKeyThatTurnsOutToBeSynced(t *testing.T) {
	_, b, asked, key := signing(t, func(_ *world, terms *access.Terms) { terms.Keys.DeviceBound = true })
	key.Synced = true
	_, err := b.Decide(t.Context(), caller(ben), broker.Decide{Ref: asked.Ref, Verdict: access.Approve, Signed: key.Sign(challenge(t, b, ben, asked.Ref, 0).Statement)})
	is(t, err, access.NotAllowed, access.CodeSignatureInvalid)
}

// What was signed counts while the key does: it is taken back before the last approval.
func TestAnApprovalCountsWhileItsKeyDoes(t *testing.T) {
	w, b, asked, key := signing(t, twoSign)
	other := passkeytest.New(t, keyOrigin, keyParty)
	enrol(t, w, b, cho, other)
	if _, err := b.ApprovePasskey(t.Context(), caller(dan), cho, access.CredentialID(other.Credential)); err != nil {
		t.Fatal(err)
	}
	decide := func(p access.Principal, key *passkeytest.Authenticator) broker.Decided {
		d, err := b.Decide(t.Context(), caller(p), broker.Decide{Ref: asked.Ref, Verdict: access.Approve, Signed: key.Sign(challenge(t, b, p, asked.Ref, 0).Statement)})
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	decide(ben, key)
	if _, err := b.RemovePasskey(t.Context(), caller(ben), ben, access.CredentialID(key.Credential)); err != nil {
		t.Fatal(err)
	}
	if d := decide(cho, other); d.State != access.Pending || len(w.Activations) != 0 {
		t.Errorf("%s, granted %v", d.State, w.Activations)
	}
}

// An approval that was recorded without a signature, however that came, is none.
func TestARowIsNoSignature(t *testing.T) {
	w, b, asked, key := signing(t, twoSign)
	signed := key.Sign(challenge(t, b, ben, asked.Ref, 0).Statement)
	if _, err := b.Decide(t.Context(), caller(ben), broker.Decide{Ref: asked.Ref, Verdict: access.Approve, Signed: signed}); err != nil {
		t.Fatal(err)
	}
	other := passkeytest.New(t, keyOrigin, keyParty)
	enrol(t, w, b, cho, other)
	if _, err := b.ApprovePasskey(t.Context(), caller(dan), cho, access.CredentialID(other.Credential)); err != nil {
		t.Fatal(err)
	}
	for ref, r := range w.Requests {
		for i := range r.Decisions {
			evidence := *r.Decisions[i].Evidence
			evidence.Signature = append([]byte{0}, evidence.Signature...)
			r.Decisions[i].Evidence = &evidence
		}
		w.Requests[ref] = r
	}
	d, err := b.Decide(t.Context(), caller(cho), broker.Decide{Ref: asked.Ref, Verdict: access.Approve, Signed: other.Sign(challenge(t, b, cho, asked.Ref, 0).Statement)})
	if err != nil || d.State != access.Pending || len(w.Activations) != 0 {
		t.Errorf("%s, %v, granted %v", d.State, err, w.Activations)
	}
}

func TestEnrolling(t *testing.T) {
	for _, c := range []struct {
		what string
		kind access.Kind
		code access.Code
		do   func(w *world, caller *access.Caller, name *string, made *passkey.Creation, key *passkeytest.Authenticator, s passkey.Statement)
	}{
		{"signed in long ago", access.NotAllowed, access.CodeSignInAgain, func(w *world, c *access.Caller, _ *string, _ *passkey.Creation, _ *passkeytest.Authenticator, _ passkey.Statement) {
			c.Asserted = w.Clock.Add(-time.Hour)
		}},
		{"signed in nobody knows when", access.NotAllowed, access.CodeSignInAgain, func(_ *world, c *access.Caller, _ *string, _ *passkey.Creation, _ *passkeytest.Authenticator, _ passkey.Statement) {
			c.Asserted = time.Time{}
		}},
		{"nothing was made", access.NotAllowed, access.CodePasskeyNotMade, func(_ *world, _ *access.Caller, _ *string, made *passkey.Creation, _ *passkeytest.Authenticator, _ passkey.Statement) {
			*made = passkey.Creation{}
		}},
		{"no name", access.Invalid, access.CodePasskeyName, func(_ *world, _ *access.Caller, name *string, _ *passkey.Creation, _ *passkeytest.Authenticator, _ passkey.Statement) {
			*name = " "
		}},
		{"a name that cannot be seen", access.Invalid, access.CodePasskeyName, func(_ *world, _ *access.Caller, name *string, _ *passkey.Creation, _ *passkeytest.Authenticator, _ passkey.Statement) {
			*name = "a\u202eb"
		}},
		{"another site", access.Invalid, access.CodeSignatureInvalid, func(_ *world, _ *access.Caller, _ *string, made *passkey.Creation, key *passkeytest.Authenticator, s passkey.Statement) {
			key.Origin = "https://evil.example"
			*made = key.Create(s)
		}},
		{"no user verification", access.Invalid, access.CodeSignatureInvalid, func(_ *world, _ *access.Caller, _ *string, made *passkey.Creation, key *passkeytest.Authenticator, s passkey.Statement) {
			key.Unverified = true
			*made = key.Create(s)
		}},
		{"a signature in its place", access.Invalid, access.CodeSignatureInvalid, func(_ *world, _ *access.Caller, _ *string, made *passkey.Creation, key *passkeytest.Authenticator, s passkey.Statement) {
			signed := key.Sign(s)
			made.ClientData, made.AuthenticatorData = signed.ClientData, signed.AuthenticatorData
		}},
		{"for another person", access.Invalid, access.CodeSignatureInvalid, func(_ *world, c *access.Caller, _ *string, _ *passkey.Creation, _ *passkeytest.Authenticator, _ passkey.Statement) {
			c.Principal = cho
		}},
		{"too late", access.Invalid, access.CodeSignatureInvalid, func(w *world, c *access.Caller, _ *string, _ *passkey.Creation, _ *passkeytest.Authenticator, _ passkey.Statement) {
			w.Clock = w.Clock.Add(6 * time.Minute)
			c.Asserted = w.Clock
		}},
		{"another credential", access.Invalid, access.CodeSignatureInvalid, func(_ *world, _ *access.Caller, _ *string, made *passkey.Creation, _ *passkeytest.Authenticator, _ passkey.Statement) {
			made.Credential = []byte("another")
		}},
		{"no key", access.Invalid, access.CodeSignatureInvalid, func(_ *world, _ *access.Caller, _ *string, made *passkey.Creation, _ *passkeytest.Authenticator, _ passkey.Statement) {
			made.PublicKey = []byte("x")
		}},
		{"a short key", access.Invalid, access.CodeSignatureInvalid, func(w *world, _ *access.Caller, _ *string, made *passkey.Creation, _ *passkeytest.Authenticator, s passkey.Statement) {
			t := w.T.(testing.TB)
			short, err := rsa.GenerateKey(rand.Reader, 1024)
			if err != nil {
				t.Fatal(err)
			}
			*made = passkeytest.With(t, short, keyOrigin, keyParty).Create(s)
		}},
		{"authenticator data that is cut off", access.Invalid, access.CodeSignatureInvalid, func(_ *world, _ *access.Caller, _ *string, made *passkey.Creation, _ *passkeytest.Authenticator, _ passkey.Statement) {
			made.AuthenticatorData = made.AuthenticatorData[:54]
		}},
		{"one of somebody else's", access.Conflict, access.CodePasskeyKnown, func(w *world, _ *access.Caller, _ *string, made *passkey.Creation, key *passkeytest.Authenticator, s passkey.Statement) {
			for _, d := range w.Signatures.All {
				keys, err := passkey.Keys([]access.Deed{d})
				if err == nil && len(keys) == 1 {
					key.Credential = keys[0].Credential
				}
			}
			*made = key.Create(s)
		}},
	} {
		t.Run(c.what, func(t *testing.T) {
			w, b, _, _ := signing(t, nil)
			w.T = t
			before := len(w.Signatures.All)
			list, err := b.PasskeyList(t.Context(), caller(ana))
			if err != nil {
				t.Fatal(err)
			}
			key, who, name := passkeytest.New(t, keyOrigin, keyParty), present(w, ana), "Laptop"
			made := key.Create(list.Enrolment.Statement)
			c.do(w, &who, &name, &made, key, list.Enrolment.Statement)
			_, _, err = b.Enrol(t.Context(), who, name, made)
			is(t, err, c.kind, c.code)
			if len(w.Signatures.All) != before || w.Journal[len(w.Journal)-1].Action != access.ActionRefused {
				t.Errorf("%d deeds, %s", len(w.Signatures.All), w.Actions())
			}
		})
	}
}

func TestWhoApprovesAndRemovesPasskeys(t *testing.T) {
	w, b, _, key := signing(t, nil)
	id := access.CredentialID(key.Credential)
	other := passkeytest.New(t, keyOrigin, keyParty)
	enrol(t, w, b, dan, other)
	mine := access.CredentialID(other.Credential)
	w.Forget()

	_, err := b.ApprovePasskey(t.Context(), caller(dan), dan, mine) // an administrator, and its holder
	is(t, err, access.NotAllowed, access.CodeOwnPasskey)
	_, err = b.ApprovePasskey(t.Context(), caller(cho), dan, mine)
	is(t, err, access.NotAllowed, access.CodeNotAdmin)
	_, err = b.RemovePasskey(t.Context(), caller(cho), ben, id)
	is(t, err, access.NotAllowed, access.CodeNotAdmin)
	_, err = b.ApprovePasskey(t.Context(), caller(dan), cho, id) // of whom it is not
	is(t, err, access.NotFound, access.CodeUnknownPasskey)
	if w.Actions() == "" || slices.ContainsFunc(w.Journal, func(e access.Event) bool { return e.Action != access.ActionRefused }) {
		t.Errorf("%s", w.Actions())
	}

	list, err := b.PasskeyList(t.Context(), caller(cho))
	if err != nil || list.Admin || len(list.Own)+len(list.Others) != 0 {
		t.Errorf("somebody sees %+v, %v", list, err)
	}
	list, err = b.PasskeyList(t.Context(), caller(dan))
	if err != nil || !list.Admin || len(list.Own) != 1 || len(list.Others) != 1 || list.Others[0].ApprovedBy != dan {
		t.Errorf("an administrator sees %+v, %v", list, err)
	}
	if _, err := b.RemovePasskey(t.Context(), caller(ben), ben, id); err != nil {
		t.Fatal(err)
	}
	_, err = b.ApprovePasskey(t.Context(), caller(dan), ben, id) // nothing brings it back
	is(t, err, access.NotFound, access.CodeUnknownPasskey)
	if list, err = b.PasskeyList(t.Context(), caller(ben)); err != nil || len(list.Own) != 0 {
		t.Errorf("%+v, %v", list, err)
	}
	if last := w.Journal[len(w.Journal)-2]; last.Action != access.PasskeyRemoved || last.Passkey != id || last.Request.Principal != ben {
		t.Errorf("%+v", last)
	}
}

// Who holds a key hears of all that happens to it, those who may approve it that it waits, and
// auditors who approved it.
func TestWhoHearsOfPasskeys(t *testing.T) {
	w, _, _, _ := signing(t, nil)
	w.Admins = []string{"user:" + string(dan), "user:" + string(eve), "group:leads@example.com", "claim:admins"}
	w.Auditors = []string{"user:auditor@example.com", "serviceAccount:robot@p.iam.gserviceaccount.com", "group:audit@example.com"}
	w.Policy = people{w.Policy, [][]access.Principal{{cho, eve}}}
	b, key := w.Broker(), passkeytest.New(t, keyOrigin, keyParty)
	w.Forget()
	enrol(t, w, b, cho, key)
	id, enrolled := access.CredentialID(key.Credential), w.Clock
	w.Clock = w.Clock.Add(time.Hour)
	if warnings, err := b.ApprovePasskey(t.Context(), caller(dan), cho, id); err != nil || len(warnings) != 0 {
		t.Fatal(warnings, err)
	}
	if _, err := b.ApprovePasskey(t.Context(), caller(dan), cho, id); err != nil { // nobody hears of it again
		t.Fatal(err)
	}
	if _, err := b.RemovePasskey(t.Context(), caller(dan), cho, id); err != nil {
		t.Fatal(err)
	}
	if len(w.Told) != 3 || len(w.Signatures.Notices) < 3 {
		t.Fatalf("told %+v", w.Told)
	}
	for i, want := range []struct {
		kind   access.NoticeKind
		to, cc []access.Principal
	}{
		{access.NoticePasskeyAdded, []access.Principal{cho, dan, "leads@example.com"}, nil}, // eve is cho
		{access.NoticePasskeyApproved, []access.Principal{cho}, []access.Principal{"auditor@example.com", "audit@example.com"}},
		{access.NoticePasskeyRemoved, []access.Principal{cho}, nil},
	} {
		n := w.Told[i]
		if n.Kind != want.kind || !slices.Equal(n.To, want.to) || !slices.Equal(n.CC, want.cc) || n.Request.Principal != cho || n.ReviewURL != keyOrigin+"/passkeys" ||
			n.Passkey.ID() != id || n.Passkey.Name != "Laptop" || !n.Passkey.Enrolled.Equal(enrolled) {
			t.Errorf("%d: %+v", i, n)
		}
	}
	if n := w.Told[2].Passkey; n.ApprovedBy != dan || n.RemovedBy != dan || !n.Removed.Equal(w.Clock) {
		t.Errorf("%+v", n)
	}
}

// What could not be recorded, nobody is told; what nobody could be told is done, and a warning.
func TestThatNobodyHeardOfAPasskeyIsAWarning(t *testing.T) {
	w, b, _, key := signing(t, nil)
	w.Undelivered = access.Receipts{{To: ben, Channel: "mail", Err: errors.New("550")}}
	w.Signatures.Err = &access.Error{Kind: access.Unavailable, Code: access.CodeLedgerUnavailable}
	if _, err := b.RemovePasskey(t.Context(), caller(ben), ben, access.CredentialID(key.Credential)); err == nil || len(w.Told) != 0 {
		t.Errorf("%v, told %+v", err, w.Told)
	}
	w.Signatures.Err = nil
	warnings, err := b.RemovePasskey(t.Context(), caller(ben), ben, access.CredentialID(key.Credential))
	if err != nil || len(warnings) != 1 || warnings[0].Code != access.CodeNotDelivered || warnings[0].Args["recipient"] != string(ben) {
		t.Errorf("%v, %v", warnings, err)
	}
	if last := w.Journal[len(w.Journal)-1]; last.Action != access.NoticeFailed || last.Request.Principal != ben {
		t.Errorf("%+v", last)
	}
}

// An administrator who is the holder by another address is the holder.
func TestOnesOtherAddressApprovesNoPasskey(t *testing.T) {
	w, _, _, _ := signing(t, nil)
	w.Policy = people{w.Policy, [][]access.Principal{{dan, cho}}}
	b := w.Broker()
	key := passkeytest.New(t, keyOrigin, keyParty)
	enrol(t, w, b, cho, key)
	_, err := b.ApprovePasskey(t.Context(), caller(dan), cho, access.CredentialID(key.Credential))
	is(t, err, access.NotAllowed, access.CodeOwnPasskey)
}

// people is a policy that knows of several addresses of one human.
type people struct {
	broker.Policy
	all [][]access.Principal
}

func (p people) Accounts(one access.Principal) []access.Principal {
	for _, accounts := range p.all {
		if slices.Contains(accounts, one) {
			return accounts
		}
	}
	return []access.Principal{one}
}

// Where nobody can sign, what takes a signature cannot be had, and is not had without.
func TestWithoutPasskeysWhatTakesASignatureIsRefused(t *testing.T) {
	for what, change := range map[string]func(*world){
		"no place for keys":  func(w *world) { w.Signatures = nil },
		"no address":         func(w *world) { w.Origin = "" },
		"nothing remembered": func(w *world) { w.Forgets = true },
	} {
		w, _, _, _ := signing(t, nil)
		change(w)
		b := w.Broker()
		_, err := b.Ask(t.Context(), caller(ana), ask())
		if own := access.AsError(err); own == nil || own.Code != access.CodeTermUnsupported {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// What cannot be read, or recorded, is an error; it is never a key, and never none.
func TestPasskeysInTrouble(t *testing.T) {
	w, b, asked, key := signing(t, nil)
	signed := key.Sign(challenge(t, b, ben, asked.Ref, 0).Statement)
	down := &access.Error{Kind: access.Unavailable, Code: access.CodeLedgerUnavailable}
	w.Signatures.Err = down
	_, err := b.Decide(t.Context(), caller(ben), broker.Decide{Ref: asked.Ref, Verdict: access.Approve, Signed: signed})
	is(t, err, access.Unavailable, access.CodeLedgerUnavailable)
	_, err = b.PasskeyList(t.Context(), caller(ben))
	is(t, err, access.Unavailable, access.CodeLedgerUnavailable)
	w.Signatures.Err = nil

	w.JournalErr = map[access.Action]error{access.PasskeyRemoved: errors.New("closed")}
	_, err = b.RemovePasskey(t.Context(), caller(ben), ben, access.CredentialID(key.Credential))
	is(t, err, access.Unavailable, access.CodeJournalUnavailable)
	if _, err = b.Decide(t.Context(), caller(ben), broker.Decide{Ref: asked.Ref, Verdict: access.Approve, Signed: signed}); err != nil {
		t.Errorf("what was not recorded was done: %v", err)
	}
}

// A colleague who enrols key after key is stopped; what they removed a day ago counts no more.
func TestPasskeysOfOnePersonAreBounded(t *testing.T) {
	w, b, _, key := signing(t, nil)
	add := func(p access.Principal) error {
		list, err := b.PasskeyList(t.Context(), caller(p))
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = b.Enrol(t.Context(), present(w, p), "Laptop", passkeytest.New(t, keyOrigin, keyParty).Create(list.Enrolment.Statement))
		return err
	}
	for range broker.MaxPasskeys - 1 { // ben has one
		if err := add(ben); err != nil {
			t.Fatal(err)
		}
	}
	before := len(w.Journal)
	is(t, add(ben), access.Conflict, access.CodeTooManyPasskeys)
	// Nothing says that it was enrolled, not even that it was about to be.
	if did := w.Journal[before:]; len(did) != 1 || did[0].Action != access.ActionRefused || did[0].Trying != access.PasskeyEnrolled {
		t.Errorf("%+v", did)
	}
	if err := add(cho); err != nil {
		t.Errorf("somebody else: %v", err)
	}
	// What was removed leaves room once a day has passed since it was enrolled: that of ben's
	// from yesterday at once, the others tomorrow.
	remove := func(id string) {
		if _, err := b.RemovePasskey(t.Context(), caller(ben), ben, id); err != nil {
			t.Fatal(err)
		}
	}
	remove(access.CredentialID(key.Credential))
	if err := add(ben); err != nil {
		t.Errorf("in place of one of yesterday: %v", err)
	}
	list, err := b.PasskeyList(t.Context(), caller(ben))
	if err != nil || len(list.Own) != broker.MaxPasskeys {
		t.Fatal(len(list.Own), err)
	}
	remove(list.Own[0].ID())
	is(t, add(ben), access.Conflict, access.CodeTooManyPasskeys)
	w.Clock = w.Clock.Add(24 * time.Hour)
	if err := add(ben); err != nil {
		t.Errorf("a day later: %v", err)
	}
}

// Two browsers that enrol at the same time have room for one key.
func TestTheBoundOfPasskeysHoldsForTwoAtOnce(t *testing.T) {
	w, b, _, _ := signing(t, nil)
	for range broker.MaxPasskeys - 2 {
		enrol(t, w, b, ben, passkeytest.New(t, keyOrigin, keyParty))
	}
	list, err := b.PasskeyList(t.Context(), caller(ben))
	if err != nil {
		t.Fatal(err)
	}
	other := passkeytest.New(t, keyOrigin, keyParty).Create(list.Enrolment.Statement)
	w.Signatures.Meanwhile = func() {
		if _, _, err := b.Enrol(t.Context(), present(w, ben), "Other", other); err != nil {
			t.Error(err)
		}
	}
	_, _, err = b.Enrol(t.Context(), present(w, ben), "Laptop", passkeytest.New(t, keyOrigin, keyParty).Create(list.Enrolment.Statement))
	is(t, err, access.Conflict, access.CodeTooManyPasskeys)
}

// An administrator's page asks for the last use of their own keys alone, and one page of one
// person is one reading more for each of ten keys at most.
func TestNobodyIsShownWhenKeysOfOthersWereUsed(t *testing.T) {
	w, b, asked, key := signing(t, nil)
	if _, err := b.Decide(t.Context(), caller(ben), broker.Decide{Ref: asked.Ref, Verdict: access.Approve,
		Signed: key.Sign(challenge(t, b, ben, asked.Ref, 0).Statement)}); err != nil {
		t.Fatal(err)
	}
	enrol(t, w, b, dan, passkeytest.New(t, keyOrigin, keyParty))
	before := w.Signatures.UseReads
	list, err := b.PasskeyList(t.Context(), caller(dan))
	if err != nil || len(list.Own) != 1 || len(list.Others) != 1 || !list.Others[0].Used.IsZero() || w.Signatures.UseReads != before+1 {
		t.Errorf("%+v, %v, %d readings", list, err, w.Signatures.UseReads-before)
	}
}

// Somebody whose deeds are not what was recorded cannot sign, nor enrol; everybody else can, and
// administrators are told whose they are.
func TestOneDamagedChainOfPasskeysStopsNobodyElse(t *testing.T) {
	w, b, asked, key := signing(t, nil)
	w.Signatures.Damaged = string(cho)
	w.Clock = w.Clock.Add(time.Minute)
	if err := b.DamagedPasskeys(t.Context()); len(access.DamagesOf(err)) != 1 || access.DamagesOf(err)[0].Of != string(cho) {
		t.Errorf("%v", err)
	}
	list, err := b.PasskeyList(t.Context(), caller(dan))
	if err != nil || len(list.Damaged) != 1 || list.Damaged[0].Of != string(cho) || len(list.Others) != 1 {
		t.Errorf("%+v, %v", list, err)
	}
	if list, err = b.PasskeyList(t.Context(), caller(ben)); err != nil || len(list.Damaged) != 0 || len(list.Own) != 1 {
		t.Errorf("%+v, %v", list, err)
	}
	if list, err = b.PasskeyList(t.Context(), caller(cho)); err != nil || len(list.Damaged) != 1 || len(list.Own) != 0 {
		t.Errorf("%+v, %v", list, err)
	}
	other := passkeytest.New(t, keyOrigin, keyParty)
	if _, _, err := b.Enrol(t.Context(), present(w, cho), "Laptop", other.Create(list.Enrolment.Statement)); codeOf(err) != access.CodeDeedsDamaged {
		t.Errorf("enrolled: %v", err)
	}
	if _, err := b.Decide(t.Context(), caller(cho), broker.Decide{Ref: asked.Ref, Verdict: access.Approve, Signed: key.Sign(list.Enrolment.Statement)}); codeOf(err) != access.CodeDeedsDamaged {
		t.Errorf("signed: %v", err)
	}
	enrol(t, w, b, dan, passkeytest.New(t, keyOrigin, keyParty))
	c := challenge(t, b, ben, asked.Ref, 0)
	if done, err := b.Decide(t.Context(), caller(ben), broker.Decide{Ref: asked.Ref, Verdict: access.Approve, Signed: key.Sign(c.Statement)}); err != nil ||
		done.State != access.Active {
		t.Errorf("%+v, %v", done.State, err)
	}
}

// What everybody has done is read at most once in KeysLife, whoever enrols or looks.
func TestEnrollingReadsEverybodysDeedsOnceInAWhile(t *testing.T) {
	w, b, _, _ := signing(t, nil)
	for _, p := range []access.Principal{dan, dan, ben} {
		if _, err := b.PasskeyList(t.Context(), caller(p)); err != nil {
			t.Fatal(err)
		}
	}
	w.Signatures.Read = nil
	list, err := b.PasskeyList(t.Context(), caller(cho))
	if err != nil {
		t.Fatal(err)
	}
	key := passkeytest.New(t, keyOrigin, keyParty)
	if _, _, err := b.Enrol(t.Context(), present(w, cho), "Laptop", key.Create(list.Enrolment.Statement)); err != nil {
		t.Fatal(err)
	}
	for _, of := range w.Signatures.Read {
		if of != string(cho) {
			t.Errorf("those of %q were read", of)
		}
	}
}
