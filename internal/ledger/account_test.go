package ledger_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/jose"
	"jitaccess/internal/ledger"
	"jitaccess/internal/ledger/relational"
	"jitaccess/internal/token/tokentest"
)

const account = "jitaccess@shop.iam.gserviceaccount.com"

// google signs for the account, publishes its keys, and counts.
type google struct {
	*tokentest.Signer
	now   time.Time
	keys  func(context.Context) ([]byte, error)
	sign  func(claims []byte) (string, error)
	signs int
	used  []string
}

func newGoogle(t *testing.T) *google {
	s, err := tokentest.New()
	if err != nil {
		t.Fatal(err)
	}
	return &google{Signer: s, keys: s.KeySet, now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
}

func (g *google) SignJWT(ctx context.Context, claims []byte) (string, error) {
	g.signs++
	if g.sign != nil {
		return g.sign(claims)
	}
	// Where the claims say nothing of their end, Google says when that is.
	var all map[string]any
	if err := json.Unmarshal(claims, &all); err != nil {
		return "", err
	}
	if _, ends := all["exp"]; !ends {
		all["exp"] = g.now.Add(time.Hour).Unix()
		claims, _ = json.Marshal(all)
	}
	return g.Signer.SignJWT(ctx, claims)
}

func (g *google) clock() time.Time { return g.now }

// account is the signer of an instance that has just started: nothing is cached.
func (g *google) account() *ledger.Account {
	return ledger.NewAccount(ledger.AccountConfig{ServiceAccount: account, Signer: g, Now: g.clock,
		Keys:      jose.NewKeySet(func(ctx context.Context) ([]byte, error) { return g.keys(ctx) }, g.clock),
		FirstUsed: func(f string) { g.used = append(g.used, f) }})
}

func TestTheAccountSignsADigestOfTheText(t *testing.T) {
	g := newGoogle(t)
	a := g.account()
	text := []byte(strings.Repeat("text ", 5000)) // longer than any token
	s, err := a.Sign(t.Context(), text)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Sign(t.Context(), []byte("more")); err != nil || len(g.used) != 1 || g.used[0] != s.Key || g.signs != 2 {
		t.Errorf("%v; used %v, %d calls", err, g.used, g.signs)
	}
	if err := g.account().Verify(t.Context(), text, s); err != nil {
		t.Errorf("by another instance: %v", err)
	}
	for what, change := range map[string]func(s *ledger.Signature, text *[]byte){
		"another text":        func(_ *ledger.Signature, text *[]byte) { *text = []byte("other") },
		"another fingerprint": func(s *ledger.Signature, _ *[]byte) { s.Key = strings.Repeat("0", 64) },
		"another key beside":  func(s *ledger.Signature, _ *[]byte) { s.Public = append(bytes.Clone(s.Public), 0) },
		"a changed byte":      func(s *ledger.Signature, _ *[]byte) { s.Bytes = bytes.Clone(s.Bytes); s.Bytes[len(s.Bytes)/2] ^= 1 },
		"nothing":             func(s *ledger.Signature, _ *[]byte) { s.Bytes = nil },
	} {
		other, of := s, text
		change(&other, &of)
		if err := g.account().Verify(t.Context(), of, other); err == nil || ledger.IsForeign(err) {
			t.Errorf("%s: %v", what, err)
		}
	}
	// What the signing service signs is verified: it may have signed something else.
	g.sign = func([]byte) (string, error) {
		return g.Signer.SignJWT(t.Context(), []byte(`{"iss":"`+account+`","iat":1,"purpose":"ledger","digest":"`+ledger.TextDigest([]byte("other"))+`"}`))
	}
	if _, err := a.Sign(t.Context(), text); access.AsError(err) == nil || access.AsError(err).Kind != access.Unavailable {
		t.Errorf("something else was signed: %v", err)
	}
	g.sign = nil
	// A token for anything else, by the same account, approves nothing.
	end := g.now.Add(ledger.AccountLife).Unix()
	for what, claims := range map[string]map[string]any{
		"an activation token": {"iss": account, "iat": g.now.Unix(), "exp": end, "purpose": "activation", "digest": ledger.TextDigest(text)},
		"one member more":     {"iss": account, "iat": g.now.Unix(), "exp": end, "purpose": "ledger", "digest": ledger.TextDigest(text), "aud": account},
		"another end":         {"iss": account, "iat": g.now.Unix(), "exp": end + 1, "purpose": "ledger", "digest": ledger.TextDigest(text)},
		"no end":              {"iss": account, "iat": g.now.Unix(), "purpose": "ledger", "digest": ledger.TextDigest(text)},
		"no time":             {"iss": account, "iat": "now", "exp": end, "purpose": "ledger", "digest": ledger.TextDigest(text)},
		"another issuer":      {"iss": "x" + account, "iat": g.now.Unix(), "exp": end, "purpose": "ledger", "digest": ledger.TextDigest(text)},
	} {
		encoded, _ := json.Marshal(claims)
		jwt, err := g.Signer.SignJWT(t.Context(), encoded)
		if err != nil {
			t.Fatal(err)
		}
		other := s
		other.Bytes = []byte(jwt)
		if err := g.account().Verify(t.Context(), text, other); err == nil || ledger.IsForeign(err) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// What Google has signed six hours ago is read, and nothing comes of it; so is what was
// signed with a key that it publishes no more. That its keys cannot be had says nothing.
func TestWhatTheAccountSignedIsGoodForSixHours(t *testing.T) {
	g := newGoogle(t)
	text := []byte("text")
	s, err := g.account().Sign(t.Context(), text)
	if err != nil {
		t.Fatal(err)
	}
	g.now = g.now.Add(ledger.AccountLife - time.Second)
	if err := g.account().Verify(t.Context(), text, s); err != nil {
		t.Errorf("before: %v", err)
	}
	g.now = g.now.Add(time.Second)
	if err := g.account().Verify(t.Context(), text, s); !ledger.IsForeign(err) {
		t.Errorf("after six hours: %v", err)
	}
	g.now = g.now.Add(-time.Hour)
	g.keys = func(context.Context) ([]byte, error) { return nil, errors.New("down") }
	if err := g.account().Verify(t.Context(), text, s); access.AsError(err).Kind != access.Unavailable {
		t.Errorf("without the key server: %v", err)
	}
	if _, err := g.account().Sign(t.Context(), text); access.AsError(err).Kind != access.Unavailable {
		t.Errorf("signed without the key server: %v", err)
	}
	g.keys = newGoogle(t).KeySet
	if err := g.account().Verify(t.Context(), text, s); !ledger.IsForeign(err) {
		t.Errorf("a key that was changed: %v", err)
	}
	if _, err := g.account().Sign(t.Context(), text); err == nil {
		t.Error("a signature that does not verify was recorded")
	}
	if err := g.account().Verify(t.Context(), text, ledger.Signature{Algorithm: "Ed25519"}); !ledger.IsForeign(err) {
		t.Errorf("by a key of before: %v", err)
	}
}

func TestALedgerThatTheAccountSigns(t *testing.T) {
	g := newGoogle(t)
	home, err := relational.SQLite(t.TempDir() + "/jitaccess.db")
	if err != nil {
		t.Fatal(err)
	}
	defer home.Close()
	if err := home.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	store := func() *ledger.Store {
		return ledger.New(ledger.Config{Home: home, Signer: g.account(), Now: g.clock, Random: rand.Reader})
	}
	r := access.Request{ID: "mpa-0000000000000001", Kind: access.Peers, Principal: "ana@example.com", Resource: "projects/shop",
		Entitlements: []access.EntitlementID{{Resource: "projects/shop", Role: "roles/viewer"}}, Justification: "case", Duration: time.Hour,
		Reviewers: []access.Principal{"ben@example.com"}, Created: g.now, Expires: g.now.Add(6 * time.Hour)}
	if _, err := store().Commit(t.Context(), access.Event{Action: access.RequestMade, At: g.now, Request: r,
		Caller: access.Caller{Principal: r.Principal}}, nil); err != nil {
		t.Fatal(err)
	}
	if r, err = store().Open(t.Context(), r.ID); err != nil {
		t.Fatal(err)
	}
	g.now = g.now.Add(time.Hour)
	approval := access.Event{Action: access.RequestApproved, At: g.now, Request: r, Caller: access.Caller{Principal: "ben@example.com"},
		Decision: access.Decision{Verdict: access.Approve, By: "ben@example.com", At: g.now, Digest: r.Digest()}, Window: r.WindowAt(g.now)}
	g.signs = 0
	g.sign = func([]byte) (string, error) {
		return "", &access.Error{Kind: access.Upstream, Code: access.CodeSigningNotAllowed}
	}
	if _, err := store().Commit(t.Context(), approval, nil); access.AsError(err) == nil || access.AsError(err).Code != access.CodeSigningNotAllowed {
		t.Errorf("not signed: %v", err)
	}
	g.sign = nil
	if _, err := store().Commit(t.Context(), approval, nil); err != nil {
		t.Fatal(err)
	}
	if g.signs != 2 {
		t.Errorf("%d calls to sign two attempts", g.signs)
	}
	if r, err := store().Open(t.Context(), r.ID); err != nil || r.State != access.Approved {
		t.Fatalf("%+v, %v", r, err)
	}
	// Another that nobody decided lapses when its signature does, and that is recorded.
	undecided := r
	undecided.ID, undecided.Version, undecided.State, undecided.Expires = "mpa-0000000000000002", 0, access.Unmade, g.now.Add(ledger.AccountLife)
	undecided.Created, undecided.Decisions = g.now, nil
	asked := access.Event{Action: access.RequestMade, At: g.now, Request: undecided, Caller: access.Caller{Principal: r.Principal}}
	if _, err := store().Commit(t.Context(), asked, nil); err != nil {
		t.Fatal(err)
	}
	later := g.now
	g.now = later.Add(ledger.AccountLife)
	if undecided, err = store().Open(t.Context(), undecided.ID); err != nil || undecided.StateAt(g.now) != access.Lapsed {
		t.Fatalf("%+v, %v", undecided, err)
	}
	lapsed := access.Event{Action: access.RequestLapsed, At: g.now, Request: undecided, Caller: access.Caller{Method: access.MethodSystem}}
	if _, err := store().Commit(t.Context(), lapsed, nil); err != nil {
		t.Error(err)
	}
	if r, err := store().Open(t.Context(), undecided.ID); err != nil || r.State != access.Lapsed || !r.Unattested || r.UnknownKey {
		t.Errorf("%+v, %v", r, err)
	}
	g.now = later
	// The request is six hours old, the approval five: nothing is written any more.
	g.now = g.now.Add(5 * time.Hour)
	if _, err := store().Open(t.Context(), r.ID); access.AsError(err) == nil || access.AsError(err).Code != access.CodeLedgerDamaged {
		t.Errorf("after six hours: %v", err)
	}

	// Elsewhere: an export alone, with the key server gone.
	var export bytes.Buffer
	if err := ledger.ExportLines(t.Context(), home, &export); err != nil {
		t.Fatal(err)
	}
	text := export.String()
	for what, c := range map[string]struct {
		text           string
		fingerprints   []string
		self, findings int
	}{
		"fine":          {text, g.used, 0, 0},
		"self-attested": {text, nil, 3, 0},
		"by another":    {text, []string{strings.Repeat("0", 64)}, 3, 0},
		"changed":       {strings.Replace(text, `"action":"approved"`, `"action":"denied"`, 1), g.used, 0, 1},
	} {
		elsewhere, err := ledger.ReadExport(strings.NewReader(c.text))
		if err != nil {
			t.Fatal(err)
		}
		report, err := ledger.Verify(t.Context(), elsewhere, ledger.Fingerprints(c.fingerprints))
		if err != nil || report.SelfAttested != c.self || len(report.Findings) != c.findings {
			t.Errorf("%s: %+v, %v", what, report, err)
		}
	}
}

// Who signs by the account has a round a week all the same, as long as the account publishes the key.
// Without the key it begins anew; what cannot be verified now says neither.
func TestANoteIsOursAsLongAsItsKeyIsPublished(t *testing.T) {
	g := newGoogle(t)
	home, err := relational.SQLite(filepath.Join(t.TempDir(), "jitaccess.db"))
	if err == nil {
		err = home.Migrate(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { home.Close() })
	store := func() *ledger.Store {
		return ledger.New(ledger.Config{Home: home, Signer: g.account(), Now: g.clock, Random: rand.Reader})
	}
	kept := access.Reconciliation{Step: 3, At: g.now, Round: access.Round{Began: g.now, Ended: g.now}}
	g.sign = func([]byte) (string, error) {
		return "", &access.Error{Kind: access.Upstream, Code: access.CodeSigningNotAllowed}
	}
	err = store().KeepReconciliation(t.Context(), kept)
	if !errors.Is(err, access.ErrNotSigned) || access.AsError(err).Code != access.CodeSigningNotAllowed {
		t.Errorf("nothing can sign: %v", err)
	}
	g.sign = nil
	if err := store().KeepReconciliation(t.Context(), kept); err != nil {
		t.Fatal(err)
	}
	other, err := tokentest.New()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what  string
		later time.Duration
		keys  func(context.Context) ([]byte, error)
		step  int
		code  access.Code
	}{
		{"at once", 0, g.Signer.KeySet, 3, ""},
		{"a week later", 7 * 24 * time.Hour, g.Signer.KeySet, 3, ""},
		{"the key is gone", 7 * 24 * time.Hour, other.KeySet, 0, access.CodeLedgerDamaged},
		{"the keys cannot be read", 0, func(context.Context) ([]byte, error) { return nil, errors.New("no route to host") }, 0,
			access.CodeUpstreamFailed},
	} {
		g.keys, g.now = c.keys, kept.At.Add(c.later)
		r, err := store().Reconciliation(t.Context())
		if r.Step != c.step || (err == nil) != (c.code == "") || err != nil && access.AsError(err).Code != c.code {
			t.Errorf("%s: step %d, %v", c.what, r.Step, err)
		}
	}
}
