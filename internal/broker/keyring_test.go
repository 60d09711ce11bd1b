package broker_test

import (
	"maps"
	"slices"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/passkey/passkeytest"
)

// keyless are those of ana's reviewers whom a page marks, on each page that has them.
func keyless(t *testing.T, b *broker.Broker, ref string) []access.Principal {
	t.Helper()
	all, err := b.Reviewers(t.Context(), caller(ana), admin)
	if err != nil || len(all.Warnings) > 0 {
		t.Fatal(all.Warnings, err)
	}
	c, err := b.Choose(t.Context(), caller(ana), shop, admin)
	if err != nil || !slices.Equal(c.Keyless, all.Keyless) {
		t.Errorf("the form has %v, not %v: %v", c.Keyless, all.Keyless, err)
	}
	v, err := b.Show(t.Context(), caller(ana), ref, "")
	if err != nil {
		t.Fatal(err)
	}
	asked := slices.DeleteFunc(slices.Clone(all.Keyless), func(p access.Principal) bool { return !slices.Contains(v.Request.Reviewers, p) })
	if !slices.Equal(v.Keyless, asked) || !slices.Equal(b.Keyless(t.Context(), v.Request), asked) {
		t.Errorf("the request has %v, not %v", v.Keyless, asked)
	}
	more, err := b.MoreReviewers(t.Context(), caller(ana), ref)
	if err != nil || !slices.Equal(more.Keyless, all.Keyless) || !slices.Equal(more.AskedKeyless, asked) {
		t.Errorf("asking more has %v and %v, not %v: %v", more.Keyless, more.AskedKeyless, all.Keyless, err)
	}
	return all.Keyless
}

// Who could not sign yet is marked wherever reviewers are chosen or were asked, without a call
// of the provider or the directory more, and without reading all deeds for each page.
func TestWhoHasNoKeyIsMarked(t *testing.T) {
	w, b, asked, _ := signing(t, nil)
	w.Signatures.Reads = 0
	if got := keyless(t, b, asked.Ref); !slices.Equal(got, []access.Principal{cho}) {
		t.Errorf("%v", got)
	}
	if w.Signatures.Reads != 1 {
		t.Errorf("deeds were read %d times", w.Signatures.Reads)
	}
	unsigned, b, asked, _ := signing(t, func(_ *world, terms *access.Terms) { terms.Signature = false })
	unsigned.Signatures.Reads = 0
	if got := keyless(t, b, asked.Ref); len(got) != 0 || unsigned.Signatures.Reads != 0 {
		t.Errorf("where nothing is signed: %v, deeds were read %d times", got, unsigned.Signatures.Reads)
	}
	if !maps.Equal(w.Calls, unsigned.Calls) {
		t.Errorf("calls %v, and without signatures %v", w.Calls, unsigned.Calls)
	}
}

// A key that waits for an administrator, or is younger than the terms say, does not count yet.
func TestAKeyThatDoesNotCountYetIsNone(t *testing.T) {
	w, b, asked, _ := signing(t, func(_ *world, terms *access.Terms) { terms.Keys.Age = time.Hour })
	key := passkeytest.New(t, keyOrigin, keyParty)
	enrol(t, w, b, cho, key)
	if got := keyless(t, b, asked.Ref); !slices.Equal(got, []access.Principal{cho}) {
		t.Errorf("not approved: %v", got)
	}
	if _, err := b.ApprovePasskey(t.Context(), caller(dan), cho, access.CredentialID(key.Credential)); err != nil {
		t.Fatal(err)
	}
	if got := keyless(t, b, asked.Ref); !slices.Equal(got, []access.Principal{cho}) {
		t.Errorf("young: %v", got)
	}
	if w.Clock = w.Clock.Add(59 * time.Minute); len(keyless(t, b, asked.Ref)) != 1 {
		t.Error("younger than an hour")
	}
	w.Clock = w.Clock.Add(2 * time.Minute)
	again, err := b.Ask(t.Context(), caller(ana), ask())
	if err != nil {
		t.Fatal(err)
	}
	if got := keyless(t, b, again.Ref); len(got) != 0 {
		t.Errorf("an hour old: %v", got)
	}
}

// What an instance did to keys itself its pages know at once; what another one did within
// KeysLife.
func TestPagesKnowOfKeysSoonEnough(t *testing.T) {
	w, b, asked, key := signing(t, nil)
	other := w.Broker()
	for _, each := range []*broker.Broker{b, other} {
		if got := keyless(t, each, asked.Ref); !slices.Equal(got, []access.Principal{cho}) {
			t.Errorf("%v", got)
		}
	}
	if _, err := b.RemovePasskey(t.Context(), caller(ben), ben, access.CredentialID(key.Credential)); err != nil {
		t.Fatal(err)
	}
	both := []access.Principal{ben, cho}
	if got := keyless(t, b, asked.Ref); !slices.Equal(got, both) {
		t.Errorf("where it was removed: %v", got)
	}
	if w.Clock = w.Clock.Add(broker.KeysLife - time.Second); len(keyless(t, other, asked.Ref)) != 1 {
		t.Error("it was read again before its time")
	}
	if w.Clock = w.Clock.Add(time.Second); !slices.Equal(keyless(t, other, asked.Ref), both) {
		t.Error("it is remembered for longer than it may be")
	}
}

// What was read while this instance changed it is not remembered.
func TestWhatWasReadMeanwhileIsNotRemembered(t *testing.T) {
	w, b, asked, key := signing(t, nil)
	w.Signatures.Meanwhile = func() {
		if _, err := b.RemovePasskey(t.Context(), caller(ben), ben, access.CredentialID(key.Credential)); err != nil {
			t.Error(err)
		}
	}
	if _, err := b.Reviewers(t.Context(), caller(ana), admin); err != nil {
		t.Fatal(err)
	}
	if got := keyless(t, b, asked.Ref); !slices.Equal(got, []access.Principal{ben, cho}) {
		t.Errorf("%v", got)
	}
}

// Nothing is decided by what is remembered of keys, and nobody is told that they have none.
func TestNothingIsDecidedByRememberedKeys(t *testing.T) {
	w, b, asked, key := signing(t, nil)
	other := w.Broker()
	signed := key.Sign(challenge(t, b, ben, asked.Ref, 0).Statement) // b has read the keys now
	if _, err := other.RemovePasskey(t.Context(), caller(ben), ben, access.CredentialID(key.Credential)); err != nil {
		t.Fatal(err)
	}
	_, err := b.Decide(t.Context(), caller(ben), broker.Decide{Ref: asked.Ref, Verdict: access.Approve, Signed: signed})
	is(t, err, access.NotAllowed, access.CodeNoPasskey)
	if len(w.Activations) != 0 {
		t.Errorf("granted %v", w.Activations)
	}

	w.Clock = w.Clock.Add(broker.KeysLife)
	if got := keyless(t, b, asked.Ref); len(got) != 2 {
		t.Errorf("%v", got)
	}
	another := passkeytest.New(t, keyOrigin, keyParty)
	enrol(t, w, other, ben, another)
	if _, err := other.ApprovePasskey(t.Context(), caller(dan), ben, access.CredentialID(another.Credential)); err != nil {
		t.Fatal(err)
	}
	v, err := b.Show(t.Context(), caller(ben), asked.Ref, "")
	if err != nil || v.NoKey != nil {
		t.Errorf("told that they have none: %v, %v", v.NoKey, err)
	}
	if _, err := b.Signing(t.Context(), caller(ben), v, 0); err != nil {
		t.Error(err)
	}
}

// While keys cannot be read nobody is marked, and the page says so; what is remembered serves
// until its time.
func TestThatKeysCannotBeReadMarksNobody(t *testing.T) {
	w, b, asked, _ := signing(t, nil)
	w.Signatures.Err = &access.Error{Kind: access.Unavailable, Code: access.CodeLedgerUnavailable}
	c, err := b.Choose(t.Context(), caller(ana), shop, admin)
	if err != nil || len(c.Keyless) != 0 || len(c.Reviewers) != 2 || len(c.Warnings) != 1 || c.Warnings[0].Code != access.CodeLedgerUnavailable {
		t.Errorf("%+v, %v", c, err)
	}
	w.Signatures.Err = nil
	keyless(t, b, asked.Ref)
	w.Signatures.Err = &access.Error{Kind: access.Unavailable, Code: access.CodeLedgerUnavailable}
	if got := keyless(t, b, asked.Ref); !slices.Equal(got, []access.Principal{cho}) {
		t.Errorf("%v", got)
	}
}
