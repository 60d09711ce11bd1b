package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/ledger"
	"jitaccess/internal/ledger/relational"
	"jitaccess/internal/policy"
	"jitaccess/internal/server"
)

// instance is the policy of one process, which reads text.
type instance struct {
	*livePolicy
	text       string
	unreadable error
	log        bytes.Buffer
}

func (i *instance) rule(t *testing.T) string {
	terms, _, err := i.Terms(access.Subject{Principal: "ana@example.com", Entitlement: access.EntitlementID{Resource: "projects/p", Role: "roles/r"},
		Kind: access.Peers, At: time.Now()})
	if err != nil && access.AsError(err).Code != access.CodePolicyUnreadable {
		t.Fatal(err)
	}
	return terms.Rule
}

// organization is instances of one service with one ledger.
type organization struct {
	t    *testing.T
	home *relational.Database
	now  time.Time
}

func newOrganization(t *testing.T) *organization {
	home, err := relational.SQLite(filepath.Join(t.TempDir(), "jitaccess.db"))
	if err == nil {
		err = home.Migrate(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { home.Close() })
	return &organization{t, home, time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
}

func (o *organization) keeper(key byte) *ledger.Store {
	keys, err := ledger.NewKeys(bytes.Repeat([]byte{key}, 32))
	if err != nil {
		o.t.Fatal(err)
	}
	return ledger.New(ledger.Config{Home: o.home, Signer: keys, Now: func() time.Time { return o.now }, Random: rand.Reader})
}

// start starts an instance, a minute after the last one.
func (o *organization) start(text string, unreadable error, pinned bool) *instance {
	o.now = o.now.Add(time.Minute)
	settings := policy.Settings{MaxDuration: 2 * time.Hour, MaxReviewers: 5, RequestTimeout: time.Hour, Justification: regexp.MustCompile(`.*`)}
	i := &instance{text: text, unreadable: unreadable}
	i.livePolicy = &livePolicy{base: policy.New(settings), deployment: policy.Deployment{Settings: &settings}, now: func() time.Time { return o.now },
		log: slog.New(slog.NewTextHandler(&i.log, nil)), keeper: o.keeper(1), pinned: pinned,
		read: func(context.Context) ([]byte, error) { return []byte(i.text), i.unreadable }}
	i.look(o.t.Context())
	return i
}

func (o *organization) kept() (texts []string) {
	notes, err := o.home.Notes(o.t.Context(), "policy", 100)
	if err != nil {
		o.t.Fatal(err)
	}
	for _, n := range notes {
		texts = append(texts, string(n.Body))
	}
	return texts
}

const (
	firstPolicy  = "version: 1\nrules: [{name: first, terms: {max_duration: 1h}}]\n"
	secondPolicy = "version: 1\nrules: [{name: second, terms: {max_duration: 1h}}]\n"
	thirdPolicy  = "version: 1\nrules: [{name: mallory, terms: {max_duration: 1h}}]\n"
)

var errDenied = errors.New("denied")

// The text of what decided is kept, and serves after a restart when POLICY cannot be read,
// or has a fault.
func TestThePolicyThatWasTakenLastServesAfterARestart(t *testing.T) {
	o := newOrganization(t)
	if i := o.start("", errDenied, false); i.rule(t) != "" || !errors.Is(i.current(), server.ErrNotReady) {
		t.Errorf("nothing was ever taken: %q, %v", i.rule(t), i.current())
	}
	first := o.start(firstPolicy, nil, false)
	first.look(t.Context())
	o.start(firstPolicy, nil, false)
	if got := o.kept(); len(got) != 1 || got[0] != firstPolicy {
		t.Errorf("kept %q", got)
	}
	o.start(secondPolicy, nil, false)
	for what, i := range map[string]*instance{"unreadable": o.start("", errDenied, false), "a fault": o.start("version: 1\nrules: 7\n", nil, false)} {
		if i.rule(t) != "second" || i.current() == nil || errors.Is(i.current(), server.ErrNotReady) ||
			!strings.Contains(i.log.String(), "taken last serves") {
			t.Errorf("%s: %q, %v, %s", what, i.rule(t), i.current(), i.log.String())
		}
		i.text, i.unreadable = firstPolicy, nil
		if i.look(t.Context()); i.rule(t) != "first" || i.current() != nil {
			t.Errorf("%s, and then not: %q, %v", what, i.rule(t), i.current())
		}
		o.start(secondPolicy, nil, false)
	}
	// Somebody who may write the database and has no key.
	if _, err := o.keeper(66).KeepPolicy(t.Context(), []byte(thirdPolicy)); err != nil {
		t.Fatal(err)
	}
	if i := o.start("", errDenied, false); i.rule(t) != "second" {
		t.Errorf("a policy that nobody here has signed: %q", i.rule(t))
	}
	notes, err := o.home.Notes(t.Context(), "policy", 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range notes {
		if string(n.Body) == firstPolicy { // under the signature of another
			n.ID, n.Made, n.Body = "copied", o.now.Add(time.Hour), []byte(thirdPolicy)
			if err := o.home.Keep(t.Context(), n); err != nil {
				t.Fatal(err)
			}
			break
		}
	}
	if i := o.start("", errDenied, false); i.rule(t) != "second" {
		t.Errorf("another text under a signature: %q", i.rule(t))
	}
	report, err := ledger.Verify(t.Context(), o.home, ledger.Fingerprints(nil))
	if err != nil || len(report.Findings) != 1 || report.Findings[0].ID != "copied" || report.Policies < 4 || report.SelfAttested != report.Policies-1 {
		t.Errorf("%+v, %v", report, err)
	}
	var export bytes.Buffer
	if err := ledger.ExportLines(t.Context(), o.home, &export); err != nil {
		t.Fatal(err)
	}
	elsewhere, err := ledger.ReadExport(&export)
	if err != nil {
		t.Fatal(err)
	}
	again, err := ledger.Verify(t.Context(), elsewhere, ledger.Fingerprints(nil))
	if err != nil || again.Policies != report.Policies || len(again.Findings) != 1 || again.SelfAttested != report.SelfAttested {
		t.Errorf("of the export %+v, %v; of the database %+v", again, err, report)
	}
}

// An instance whose policy is older than one that another has taken reads it again before
// it decides, and decides nothing while it cannot.
func TestNoInstanceDecidesByAnOlderPolicy(t *testing.T) {
	o := newOrganization(t)
	a, b := o.start(firstPolicy, nil, false), o.start(firstPolicy, nil, false)
	renew := func(i *instance, rule string, refused bool) {
		t.Helper()
		err := i.Renew(t.Context())
		if (err != nil) != refused || refused && access.AsError(err).Kind != access.Unavailable || i.rule(t) != rule {
			t.Errorf("%q, %v; want %q, refused %v", i.rule(t), err, rule, refused)
		}
	}
	renew(b, "first", false)
	o.now = o.now.Add(time.Minute)
	a.text = secondPolicy
	a.look(t.Context())
	b.unreadable = errDenied
	renew(b, "first", true)
	b.text, b.unreadable = secondPolicy, nil
	renew(b, "second", false)
	renew(a, "second", false)
	// Put back: what is read now is what holds, whatever was seen.
	o.now = o.now.Add(time.Minute)
	a.text, b.text = firstPolicy, firstPolicy
	b.look(t.Context())
	renew(a, "first", false)
	renew(b, "first", false)
	if got := o.kept(); len(got) != 3 {
		t.Errorf("kept %q", got)
	}

	// What came with a deployment stays as it was: the last one that was started decides.
	old, young := o.start(firstPolicy, nil, true), o.start(secondPolicy, nil, true)
	renew(young, "second", false)
	renew(old, "first", true)
	old.look(t.Context())
	renew(old, "first", true)
	back := o.start(firstPolicy, nil, true)
	renew(back, "first", false)
	renew(young, "second", true)

	// While the ledger is out of reach what was taken holds.
	o.home.Close()
	renew(young, "second", false)
	young.look(t.Context())
	if young.current() != nil {
		t.Error(young.current())
	}
}

// The text by which something was decided is shown, by the digest that a request and its page
// name; a text that nobody here has signed is not.
func TestThePolicyThatDecidedIsShown(t *testing.T) {
	o := newOrganization(t)
	first := o.start(firstPolicy, nil, false)
	o.start(secondPolicy, nil, false)
	o.now = o.now.Add(time.Hour)
	if _, err := o.keeper(66).KeepPolicy(t.Context(), []byte(thirdPolicy)); err != nil {
		t.Fatal(err)
	}
	keys, err := ledger.NewKeys(bytes.Repeat([]byte{1}, 32))
	if err != nil {
		t.Fatal(err)
	}
	show := func(digest string) (int, string, error) {
		var out bytes.Buffer
		l := ledgerCommand{remembered: remembered{home: o.home}, signer: keys, stdout: &out, digest: digest}
		code, err := l.policies(t.Context())
		return code, out.String(), err
	}
	digest := first.digest()
	for _, given := range []string{digest, digest[:12]} {
		if code, out, err := show(given); code != exitOK || out != firstPolicy || err != nil {
			t.Errorf("%s: %d %q %v", given, code, out, err)
		}
	}
	code, out, err := show("")
	if lines := strings.Split(strings.TrimSpace(out), "\n"); code != exitOK || err != nil || len(lines) != 2 ||
		!strings.Contains(lines[1], "2026-03-01T12:01:00Z "+digest) || strings.Contains(out, digestOf(thirdPolicy)) {
		t.Errorf("%d %v\n%s", code, err, out)
	}
	for _, none := range []string{digestOf(thirdPolicy), "0"} {
		if code, out, err := show(none); code != exitFailure || out != "" || err == nil {
			t.Errorf("%s: %d %q %v", none, code, out, err)
		}
	}
}

func digestOf(policy string) string { return ledger.KeptPolicy{Text: []byte(policy)}.Digest() }
