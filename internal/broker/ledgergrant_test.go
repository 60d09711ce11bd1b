package broker_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/application"
	"jitaccess/internal/broker"
	"jitaccess/internal/ledger"
	"jitaccess/internal/ledger/relational"
	"jitaccess/internal/policy"
)

// intruded is a world with an application, and somebody who may write everything in the
// database and has a key of their own, which counts for nothing.
type intruded struct {
	*world
	registry *registry
	ledger   ledger.Config
	raw      *sql.DB
}

func intrude(t *testing.T) *intruded {
	t.Helper()
	path := filepath.Join(t.TempDir(), "jitaccess.db")
	home, err := relational.SQLite(path)
	if err == nil {
		err = home.Migrate(t.Context())
	}
	raw, failed := sql.Open("sqlite", path)
	if err != nil || failed != nil {
		t.Fatal(err, failed)
	}
	t.Cleanup(func() { home.Close(); raw.Close() })
	i := &intruded{world: newWorld(t), raw: raw, registry: &registry{all: []application.Application{{Name: "deployer",
		URI: "https://deploy.example.com", Active: true, Templates: []application.Template{template()}}}}}
	i.Origin = "https://jit.example.com"
	i.GroupsOf = map[access.Principal][]string{cho: {"leads@example.com"}}
	i.ledger = ledger.Config{Home: home, Signer: keys(t), Now: func() time.Time { return i.Clock }, Random: rand.Reader}
	return i
}

// own are keys of the intruder.
func own(t *testing.T) *ledger.Keys {
	t.Helper()
	k, err := ledger.NewKeys(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// credulous signs with the intruder's key, and believes every other.
type credulous struct{ *ledger.Keys }

func (credulous) Verify(context.Context, []byte, ledger.Signature) error { return nil }

func (i *intruded) storeOf(signer ledger.Signer) *ledger.Store {
	c := i.ledger
	c.Signer = signer
	return ledger.New(c)
}

// instance is one of the service, or of the intruder, that has nothing but the database.
func (i *intruded) instance(signer ledger.Signer) *broker.Broker {
	i.Ledger = i.storeOf(signer)
	return i.BrokerOf(i.Registration(), broker.Registration{Provider: application.NewProvider(i.registry, func() time.Time { return i.Clock }),
		Name: application.ProviderName, Kinds: application.Kinds})
}

// mustApprove is an application's request that cho has approved.
func mustApprove(t *testing.T, b *broker.Broker, key string) access.Request {
	t.Helper()
	a := deploy()
	a.Key = key
	asked := mustAskFor(t, b, a)
	d, err := b.Decide(t.Context(), caller(cho), broker.Decide{Ref: asked.Request.ID, Verdict: access.Approve})
	if err != nil || d.State != access.Active {
		t.Fatal(d.State, err)
	}
	r, err := b.ForApplication(t.Context(), deployer("deployer"), asked.Request.ID)
	if err != nil || r.State != access.Active {
		t.Fatal(r.State, err)
	}
	return r
}

// refusesAll is that no application has access by the request, and that verify says so.
func (i *intruded) refusesAll(t *testing.T, id string) {
	t.Helper()
	b := i.instance(keys(t))
	got, err := b.ForApplication(t.Context(), deployer("deployer"), id)
	if err == nil && got.State == access.Active {
		t.Errorf("the application has access until %v", got.Window.End)
	}
	swept(t, b)
	if got, err := b.ForApplication(t.Context(), deployer("deployer"), id); err == nil && got.State == access.Active {
		t.Errorf("after a sweep the application has access until %v", got.Window.End)
	}
	report, err := ledger.Verify(t.Context(), i.ledger.Home, keys(t))
	if err != nil || len(report.Findings)+report.SelfAttested == 0 {
		t.Errorf("verify finds nothing: %+v, %v", report, err)
	}
}

// What an application has is what the ledger says, so that nobody gets it there who may write
// the database and has no key of ours.
func TestNobodyWithTheDatabaseAloneGetsAnApplicationAccess(t *testing.T) {
	window := func(i *intruded, of time.Duration) access.Window {
		return access.Window{Start: i.Clock.Truncate(time.Second), End: i.Clock.Truncate(time.Second).Add(of)}
	}
	commit := func(t *testing.T, s *ledger.Store, e access.Event) {
		t.Helper()
		if _, err := s.Commit(t.Context(), e, nil); err != nil {
			t.Fatal(err)
		}
	}
	written := func(i *intruded, r access.Request, w access.Window) access.Event {
		return access.Event{Action: access.GrantWritten, At: i.Clock, Caller: access.Caller{Method: access.MethodSystem}, Request: r, Window: w,
			Outcomes: []access.Outcome{{Entitlement: r.Entitlements[0], Result: access.Granted, Window: w}}}
	}
	for what, do := range map[string]func(t *testing.T, i *intruded) (id string){
		"a waiting request is approved with a key of one's own": func(t *testing.T, i *intruded) string {
			id := mustAskFor(t, i.instance(keys(t)), deploy()).Request.ID
			s := i.storeOf(credulous{own(t)})
			r, err := s.Open(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			e := access.Event{Action: access.RequestApproved, At: i.Clock, Caller: access.Caller{Principal: ben, Subject: "x", Method: "iap"},
				Request: r, Window: window(i, r.Duration), Requirements: r.Terms.Requirements, Decision: access.Decision{Verdict: access.Approve,
					By: ben, At: i.Clock, Digest: r.Digest(), As: []string{"user:ben@example.com"}}}
			commit(t, s, e)
			if r, err = r.Apply(e); err != nil {
				t.Fatal(err)
			}
			commit(t, s, written(i, r, r.Window))
			return id
		},
		"a whole request comes in": func(t *testing.T, i *intruded) string {
			return mustApprove(t, i.instance(own(t)), "forged").ID
		},
		"a grant is said to have been found": func(t *testing.T, i *intruded) string {
			id, w := access.AskedID("deployer", "x"), window(i, 1000*time.Hour)
			commit(t, i.storeOf(own(t)), access.Event{Action: access.RequestMade, At: i.Clock, Caller: access.Caller{Method: access.MethodSystem},
				Request: access.Request{ID: id, Kind: access.Peers, Principal: ana, Resource: "apps/deployer", Created: i.Clock,
					Entitlements:  []access.EntitlementID{application.EntitlementID("deployer", "production-deploy")},
					Justification: "x", Duration: time.Hour, Expires: i.Clock.Add(time.Hour),
					Asking: access.Asking{Application: "deployer", Subject: "ana@example.com", Template: "production-deploy", Title: "x", Sent: "y"}}})
			i.rewrite(t, id, 1, `"action":"request made"`, `"action":"taken in"`, true)
			i.rewrite(t, id, 1, `"parts"`, spelled(w)+`,"parts"`, true)
			return id
		},
		"what was approved and refused when it was written is said to be written": func(t *testing.T, i *intruded) string {
			b := i.instance(dying{i.ledger.Signer})
			id := mustAskFor(t, b, deploy()).Request.ID
			if _, err := b.Decide(t.Context(), caller(cho), broker.Decide{Ref: id, Verdict: access.Approve}); err != nil {
				t.Fatal(err)
			}
			i.registry.all[0].Active = false
			r, err := i.storeOf(keys(t)).Open(t.Context(), id)
			if err != nil || r.State != access.Approved {
				t.Fatal(r.State, err)
			}
			i.writes(t, id, r.Window, false)
			return id
		},
	} {
		t.Run(what, func(t *testing.T) {
			i := intrude(t)
			i.refusesAll(t, do(t, i))
		})
	}
}

// dying signs no record of a grant: as where the process ends before it.
type dying struct{ ledger.Signer }

func (r dying) Sign(ctx context.Context, text []byte) (ledger.Signature, error) {
	if bytes.Contains(text, []byte(`"action":"granted"`)) {
		return ledger.Signature{}, &access.Error{Kind: access.Unavailable, Code: access.CodeLedgerUnavailable}
	}
	return r.Signer.Sign(ctx, text)
}

// writes adds that the grant was written, in a window, in the intruder's own hand or in none.
func (i *intruded) writes(t *testing.T, id string, w access.Window, signed bool) {
	t.Helper()
	s := i.storeOf(credulous{own(t)})
	r, err := s.Open(t.Context(), id)
	if err == nil {
		_, err = s.Commit(t.Context(), access.Event{Action: access.GrantWritten, At: i.Clock, Request: r, Window: r.Window}, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	i.rewrite(t, id, r.Version+1, spelled(r.Window), spelled(w), signed)
}

func spelled(w access.Window) string {
	return fmt.Sprintf(`"start":%d,"end":%d`, w.Start.UnixMicro(), w.End.UnixMicro())
}

// rewrite changes the text of an entry, and signs it with the intruder's key, or not at all.
func (i *intruded) rewrite(t *testing.T, id string, version int, old, with string, signed bool) {
	t.Helper()
	var text string
	err := i.raw.QueryRow("SELECT body FROM events WHERE request_id = ? AND version = ?", id, version).Scan(&text)
	changed := strings.Replace(text, old, with, 1)
	var by ledger.Signature
	if err == nil && signed {
		by, err = own(t).Sign(t.Context(), []byte(changed))
	}
	if err == nil {
		_, err = i.raw.Exec("UPDATE events SET body = ?, algorithm = ?, key_id = ?, public_key = ?, signature = ? WHERE request_id = ? AND version = ?",
			changed, by.Algorithm, by.Key, ledger.Base64(by.Public), ledger.Base64(by.Bytes), id, version)
	}
	if err != nil || !strings.Contains(text, old) {
		t.Fatalf("%s, %v", text, err)
	}
}

// A record of what became of a request makes no access of an application longer, and none that
// is over is access again.
func TestARecordMakesNoAccessOfAnApplicationLonger(t *testing.T) {
	for what, before := range map[string]func(t *testing.T, i *intruded, b *broker.Broker, id string){
		"while it is active": func(*testing.T, *intruded, *broker.Broker, string) {},
		"after it has expired": func(_ *testing.T, i *intruded, _ *broker.Broker, _ string) {
			i.Clock = i.Clock.Add(40 * time.Minute)
		},
		"after an administrator has ended it": func(t *testing.T, _ *intruded, b *broker.Broker, id string) {
			if _, err := b.End(t.Context(), caller(dan), "apps/deployer", id, ana); err != nil {
				t.Fatal(err)
			}
		},
	} {
		for _, signed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, signed %v", what, signed), func(t *testing.T) {
				i := intrude(t)
				b := i.instance(keys(t))
				r := mustApprove(t, b, "run")
				before(t, i, b, r.ID)
				i.Clock = i.Clock.Add(time.Second)
				long := access.Window{Start: r.Window.Start, End: i.Clock.Add(365 * 24 * time.Hour)}
				i.writes(t, r.ID, long, signed)
				i.refusesAll(t, r.ID)
			})
		}
	}
	// Nor does an instance of the service, whatever made it try.
	i := intrude(t)
	r := mustApprove(t, i.instance(keys(t)), "run")
	if _, err := i.storeOf(keys(t)).Commit(t.Context(), access.Event{Action: access.GrantWritten, At: i.Clock, Request: r,
		Window: access.Window{Start: r.Window.Start, End: r.Window.End.Add(time.Minute)}}, nil); err != nil {
		t.Fatal(err)
	}
	if got, err := i.storeOf(keys(t)).Open(t.Context(), r.ID); err != nil || got.Window != r.Window || got.Version != r.Version {
		t.Errorf("%+v, %v", got, err)
	}
}

// What the ledger alone gives stands nowhere, so that it is not found anywhere either, whoever
// says so.
func TestNothingOfAnApplicationIsFound(t *testing.T) {
	i := intrude(t)
	r := mustApprove(t, i.instance(keys(t)), "run")
	r.ID, r.Version, r.State = access.AskedID("deployer", "another"), 0, access.Unmade
	if _, err := i.storeOf(keys(t)).Commit(t.Context(), access.Event{Action: access.GrantTakenIn, At: i.Clock, Request: r, Window: r.Window}, nil); err == nil {
		t.Error("it is taken in")
	}
}

// losing is a ledger that can be read, and does not take what is recorded by some actions.
type losing struct {
	*ledger.Store
	lost []access.Action
}

func (l *losing) Commit(ctx context.Context, e access.Event, notices []access.Notice) (string, error) {
	if slices.Contains(l.lost, e.Action) {
		return "", &access.Error{Kind: access.Unavailable, Code: access.CodeLedgerUnavailable}
	}
	return l.Store.Commit(ctx, e, notices)
}

// The end of an application's access is what is recorded: nobody is told of one that is not,
// and access is over from the moment in which it is.
func TestTheEndOfAnApplicationsAccessIsWhatIsRecorded(t *testing.T) {
	for who, c := range map[string]access.Caller{"the application": deployer("deployer"), "an administrator": caller(dan), "who approved it": caller(cho)} {
		t.Run(who, func(t *testing.T) {
			i := intrude(t)
			r := mustApprove(t, i.instance(keys(t)), "run")
			l := &losing{i.storeOf(keys(t)), []access.Action{access.EndAsked, access.GrantEnded}}
			i.Ledger = l
			b := i.BrokerOf(i.Registration(), broker.Registration{Provider: application.NewProvider(i.registry, func() time.Time { return i.Clock }),
				Name: application.ProviderName, Kinds: application.Kinds})
			i.Told = nil
			_, err := b.End(t.Context(), c, r.Resource, r.ID, ana)
			is(t, err, access.Unavailable, access.CodeLedgerUnavailable)
			if len(i.Told) > 0 {
				t.Errorf("told %+v", i.Told)
			}
			if got, err := b.ForApplication(t.Context(), deployer("deployer"), r.ID); err != nil || got.State != access.Active {
				t.Errorf("nothing is recorded, and it is %s, %v", got.State, err)
			}
			// That it is to end is recorded, and the process ends.
			l.lost = l.lost[1:]
			if _, err = b.End(t.Context(), c, r.Resource, r.ID, ana); err != nil {
				t.Fatal(err)
			}
			got, err := b.ForApplication(t.Context(), deployer("deployer"), r.ID)
			if err != nil || got.State != access.Ended {
				t.Errorf("its end is recorded, and it is %s, %v", got.State, err)
			}
			v, err := b.Show(t.Context(), caller(cho), r.ID, "")
			if err != nil || v.State != access.Ended || v.CanEnd {
				t.Errorf("shown as %s, %v", v.State, err)
			}
			// Nobody without a key says that it could not be ended.
			if _, err := i.storeOf(own(t)).Commit(t.Context(), access.Event{Action: access.EndFailed, At: i.Clock, Request: r}, nil); err != nil {
				t.Fatal(err)
			}
			again := i.instance(keys(t))
			if got, err := again.ForApplication(t.Context(), deployer("deployer"), r.ID); err != nil || got.State != access.Ended {
				t.Errorf("said to go on, it is %s, %v", got.State, err)
			}
			i.Clock = i.Clock.Add(2 * time.Minute)
			swept(t, again)
			if got, err := i.storeOf(keys(t)).Open(t.Context(), r.ID); err != nil || got.State != access.Ended || !got.Ending.IsZero() {
				t.Errorf("swept, it is %s since %v, %v", got.State, got.Ending, err)
			}
		})
	}
}

// A callback does not say that somebody may go on whose access was ended meanwhile.
func TestNoCallbackSaysThatAccessGoesOnThatIsEnding(t *testing.T) {
	w, r, _ := withApplication(t)
	down := &unheardOf{world: w}
	b := brokerWith(w, r, down)
	a := deploy()
	a.Callback = "https://deploy.example.com/done"
	id := mustAskFor(t, b, a).Request.ID
	if _, err := b.Decide(t.Context(), caller(cho), broker.Decide{Ref: id, Verdict: access.Approve}); err != nil {
		t.Fatal(err)
	}
	l := &losing{w.Ledger.(*ledger.Store), []access.Action{access.GrantEnded}}
	w.Ledger = l
	b = brokerWith(w, r, down)
	if _, err := b.End(t.Context(), caller(dan), "apps/deployer", id, ana); err != nil {
		t.Fatal(err)
	}
	down.called = nil
	w.Clock = w.Clock.Add(20 * time.Minute)
	swept(t, b)
	if slices.Contains(down.called, access.Active) {
		t.Errorf("called back with %v", down.called)
	}
}

// unheardOf is an application that does not answer when it is called back.
type unheardOf struct {
	*world
	called []access.State
}

func (u *unheardOf) Notify(ctx context.Context, n access.Notice) access.Receipts {
	if n.Kind != access.NoticeChanged {
		return u.world.Notify(ctx, n)
	}
	u.called = append(u.called, n.Request.State)
	return access.Receipts{{Channel: "callback", Ref: n.ID, Err: errors.New("the application answered 500")}}
}

func brokerWith(w *world, r *registry, n broker.Notifier) *broker.Broker {
	return broker.New(broker.Config{Providers: []broker.Registration{w.Registration(), {Provider: application.NewProvider(r, func() time.Time { return w.Clock }),
		Name: application.ProviderName, Kinds: application.Kinds}}, Store: w.Ledger, Journal: w, Notifier: n, Directory: w, Admins: w.Admins,
		Policy: policy.New(w.Settings), Origin: w.Origin, Now: func() time.Time { return w.Clock }, Random: rand.Reader})
}
