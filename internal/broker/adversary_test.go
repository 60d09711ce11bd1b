package broker_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/broker/brokertest"
	"jitaccess/internal/ledger"
	"jitaccess/internal/ledger/relational"
	"jitaccess/internal/passkey/passkeytest"
)

// withDatabase is a world with a ledger, of which each call makes another instance, and somebody who may write everything in the database.
func withDatabase(t *testing.T) (*world, func() *ledger.Store, func(statement string, args ...any)) {
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
	w := newWorld(t)
	instance := func() *ledger.Store {
		s := ledger.New(ledger.Config{Home: home, Signer: keys(t), Now: func() time.Time { return w.Clock }, Random: rand.Reader})
		w.Ledger = s
		return s
	}
	instance()
	return w, instance, func(statement string, args ...any) {
		t.Helper()
		if _, err := raw.Exec(statement, args...); err != nil {
			t.Fatal(err)
		}
	}
}

// A glass that was broken, and ended, while the database was away waits for its review too.
func TestABrokenGlassThatIsOverIsTakenIn(t *testing.T) {
	for what, change := range map[string]func(*world, *access.Activation){
		"over":        func(w *world, a *access.Activation) { a.Window.End = w.Clock.Add(-time.Minute) },
		"ended early": func(w *world, a *access.Activation) { a.Window.End = a.Window.Start.Add(time.Minute) },
	} {
		t.Run(what, func(t *testing.T) {
			w, store, b := withGlass(t)
			w.Listed = []access.ResourceInfo{{Resource: shop}}
			found := standingGrant(w, "brk-0000000000000001", ana, admin)
			found.BreakGlass = true
			change(w, &found)
			other := found // of another kind it is nothing
			other.RequestID, other.BreakGlass = "mpa-0000000000000002", false
			w.Activations = []access.Activation{found, other}
			for _, again := range []int{1, 0} {
				if done := surveyed(t, w.Broker()); done.TakenIn != again || len(done.Doubts) != 0 {
					t.Errorf("%+v", done)
				}
			}
			if r, err := store.Open(t.Context(), found.RequestID); err != nil || !r.Unreviewed() || r.StateAt(w.Clock) != access.Expired {
				t.Errorf("%+v, %v", r, err)
			}
			if swept(t, b); state(t, store, found.RequestID) != access.Expired {
				t.Errorf("swept, it is %s", state(t, store, found.RequestID))
			}
			listed, _, err := b.History(t.Context(), caller(eve), broker.ViewReviews, access.Listing{})
			if err != nil || len(listed.Requests) != 1 {
				t.Errorf("%+v, %v", listed, err)
			}
			w.Activations = nil
			_, err = b.Ask(t.Context(), caller(ana), emergency())
			is(t, err, access.Conflict, access.CodeGlassUnreviewed)
		})
	}
}

// What was had in an emergency is not gone on with: whoever needs more asks for it.
func TestABrokenGlassIsNotExtended(t *testing.T) {
	w, _, b := withGlass(t)
	asked, err := b.Ask(t.Context(), caller(ana), emergency())
	if err != nil {
		t.Fatal(err)
	}
	w.Clock = w.Clock.Add(time.Minute)
	id := asked.Request.ID
	_, err = b.Extension(t.Context(), caller(ana), id)
	is(t, err, access.Conflict, access.CodeNotExtendable)
	_, err = b.Ask(t.Context(), caller(ana), more(t, w, id, access.Peers))
	is(t, err, access.Conflict, access.CodeNotExtendable)
	if v, err := b.Show(t.Context(), caller(ana), id, ""); err != nil || v.CanExtend {
		t.Errorf("%v, %v", v.CanExtend, err)
	}
}

// Who may write the database cuts off what came after an approval, and an approver says
// yes again, long after an administrator ended it: what the policy keeps of it is gone by then.
func TestWhatWasEndedIsNotApprovedAgainAfterARollback(t *testing.T) {
	w, instance, exec := withDatabase(t)
	w.Settings.MaxDuration = 24 * time.Hour
	b := w.Broker()
	a := ask()
	a.Duration = 12 * time.Hour
	asked, err := b.Ask(t.Context(), caller(ana), a)
	if err == nil {
		_, err = approve(t, b, ben, asked.Ref)
	}
	if err == nil {
		w.Clock = w.Clock.Add(time.Minute)
		_, err = b.End(t.Context(), caller(dan), shop, asked.Ref, ana)
	}
	if err != nil {
		t.Fatal(err)
	}
	exec("DELETE FROM events WHERE request_id = ? AND version > 2", asked.Ref)
	w.Clock, w.Activations = w.Clock.Add(8*time.Hour), nil
	// Another instance, which has only the database.
	store := instance()
	if got := state(t, store, asked.Ref); got != access.Approved {
		t.Fatalf("rolled back it is %s", got)
	}
	if _, err := approve(t, w.Broker(), ben, asked.Ref); err == nil || len(w.Activations) != 0 {
		t.Errorf("%v, %+v", err, w.Activations)
	}
}

// withoutOne is a ledger that does not take in one grant.
type withoutOne struct {
	broker.Memory
	id string
}

func (r withoutOne) Commit(ctx context.Context, e access.Event, notices []access.Notice) (string, error) {
	if e.Request.ID == r.id {
		return "", &access.Error{Kind: access.Internal, Code: access.CodeInternal}
	}
	return r.Memory.Commit(ctx, e, notices)
}

// Somebody who may write the policy of one project: one binding of theirs hides no other,
// and keeps no other project from being looked at.
func TestOneGrantThatCannotBeTakenInHidesNoOther(t *testing.T) {
	for _, refused := range []bool{false, true} {
		w, store := withLedger(t)
		w.Listed = []access.ResourceInfo{{Resource: shop}}
		odd := standingGrant(w, "jit-0000000000000001", ana, admin)
		odd.Window.End = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) // which JSON cannot say
		w.Activations = []access.Activation{odd, standingGrant(w, "jit-0000000000000002", "mallory@example.com", admin)}
		want := broker.Surveyed{Looked: 1, TakenIn: 2}
		if refused {
			w.Ledger, want = withoutOne{store, odd.RequestID}, broker.Surveyed{Looked: 1, TakenIn: 1, Unread: 1}
		}
		done := surveyed(t, w.Broker())
		if (done.Cause != nil) != refused {
			t.Errorf("refused %v: the cause is %v", refused, done.Cause)
		}
		if done.Cause = nil; !reflect.DeepEqual(done, want) {
			t.Errorf("refused %v: %+v", refused, done)
		}
	}
}

// A binding that begins in a thousand years does not make the ledger look new for ever.
func TestAGrantOfTheFutureIsNotTheNewestRequest(t *testing.T) {
	w, store := withLedger(t)
	w.Listed = []access.ResourceInfo{{Resource: shop}}
	odd := standingGrant(w, "jit-0000000000000001", ana, admin)
	odd.Window.Start, odd.Window.End = w.Clock.AddDate(1000, 0, 0), w.Clock.AddDate(1000, 0, 1)
	w.Activations = []access.Activation{odd}
	surveyed(t, w.Broker())
	if r, err := store.Open(t.Context(), odd.RequestID); err != nil || r.Created.After(w.Clock) || r.Window != odd.Window {
		t.Errorf("%+v, %v", r, err)
	}
}

// Who may write the database says that a grant failed which stands: it is told of, and
// waits for its review, as one that was found.
func TestAGrantThatStandsHasNotFailed(t *testing.T) {
	w, store, b := withGlass(t)
	w.Listed = []access.ResourceInfo{{Resource: shop}}
	w.GrantErr = &access.Error{Kind: access.Unprocessable, Code: access.CodeNotGranted}
	asked, err := b.Ask(t.Context(), caller(ana), emergency())
	if err == nil || state(t, store, asked.Request.ID) != access.Failed {
		t.Fatalf("%+v, %v", asked, err)
	}
	r := asked.Request
	w.Activations = []access.Activation{{RequestID: r.ID, Principal: ana, Entitlement: admin, Window: r.Window, BreakGlass: true}}
	w.Clock, w.GrantErr = w.Clock.Add(time.Minute), nil
	for _, want := range []int{1, 0} {
		if done := surveyed(t, w.Broker()); done.TakenIn != want {
			t.Errorf("%+v", done)
		}
	}
	listed, _, err := b.History(t.Context(), caller(eve), broker.ViewReviews, access.Listing{})
	if err != nil || len(listed.Requests) != 1 || listed.Requests[0].TakenIn.IsZero() || listed.Requests[0].ID == r.ID {
		t.Errorf("%+v, %v", listed, err)
	}
}

// What cannot be opened, or is due by its row alone, keeps nobody else waiting.
func TestWhatCannotBeSweptHoldsNothingUp(t *testing.T) {
	for what, spoil := range map[string]func(exec func(string, ...any), id string){
		"damaged": func(exec func(string, ...any), id string) { exec("DELETE FROM parts WHERE request_id = ?", id) },
		"due by its row alone": func(exec func(string, ...any), id string) {
			exec("UPDATE requests SET due = 1 WHERE id = ?", id)
		},
		"a row of nothing": func(exec func(string, ...any), id string) {
			exec("DELETE FROM events WHERE request_id = ?", id)
		},
		"never written": func(exec func(string, ...any), id string) {
			exec("UPDATE requests SET version = 9 WHERE id = ?", id)
		},
	} {
		t.Run(what, func(t *testing.T) {
			w, instance, exec := withDatabase(t)
			b := w.Broker()
			for range 2*broker.SweepCount + 1 {
				asked, err := b.Ask(t.Context(), caller(ana), ask())
				if err != nil {
					t.Fatal(err)
				}
				if what == "due by its row alone" { // otherwise it is due
					if _, _, err := b.Withdraw(t.Context(), caller(ana), asked.Ref, ""); err != nil {
						t.Fatal(err)
					}
				}
				spoil(exec, asked.Ref)
			}
			w.Clock = w.Clock.Add(time.Minute)
			good, err := b.Ask(t.Context(), caller(ana), ask())
			if err != nil {
				t.Fatal(err)
			}
			w.Clock = w.Clock.Add(2 * time.Hour)
			sweeps := 1
			if what == "never written" { // which may pass
				sweeps = 3
			}
			for range sweeps {
				swept(t, b)
			}
			if got := state(t, instance(), good.Ref); got != access.Lapsed {
				t.Errorf("%s", got)
			}
		})
	}
}

// Who may write the database writes to nobody in the name of the service.
func TestWhatIsInTheOutboxIsOfARequest(t *testing.T) {
	for what, c := range map[string]struct {
		spoil string
		told  int
	}{
		"as it was":          {"UPDATE outbox SET due = 1", 1},
		"another reason":     {"UPDATE outbox SET notice = REPLACE(notice, 'case 42', 'log in at evil.example')", 0},
		"of another person":  {"UPDATE outbox SET notice = REPLACE(notice, 'ana@', 'ceo@')", 0},
		"of another role":    {"UPDATE outbox SET notice = REPLACE(notice, 'compute.admin', 'owner')", 0},
		"another link":       {"UPDATE outbox SET notice = REPLACE(notice, 'jit.example.com', 'evil.example')", 1},
		"of no request":      {"UPDATE outbox SET notice = REPLACE(notice, 'mpa-', 'jit-')", 0},
		"of what is damaged": {"UPDATE events SET body = 'x'", 0},
	} {
		t.Run(what, func(t *testing.T) {
			w, _, exec := withDatabase(t)
			w.Origin, w.Undelivered = "https://jit.example.com", access.Receipts{{To: ben, Channel: "mail", Err: errors.New("down")}}
			asked, err := w.Broker().Ask(t.Context(), caller(ana), ask())
			if err != nil {
				t.Fatal(err)
			}
			w.Undelivered, w.Told = nil, nil
			exec(c.spoil)
			w.Clock = w.Clock.Add(2 * time.Minute)
			swept(t, w.Broker())
			if len(w.Told) != c.told || c.told > 0 && (w.Told[0].ReviewURL != asked.ReviewURL || w.Told[0].BaseURL != "https://jit.example.com/") {
				t.Errorf("told %+v", w.Told)
			}
			w.Told, w.Clock = nil, w.Clock.Add(20*time.Minute)
			swept(t, w.Broker())
			for _, n := range w.Told {
				if n.Kind == access.NoticeReview {
					t.Error("told again")
				}
			}
		})
	}
}

// The same of passkeys: what is in the outbox is told while it has happened to the key.
func TestWhatIsInTheOutboxOfAPasskeyHasHappenedToIt(t *testing.T) {
	for what, c := range map[string]struct {
		spoil string
		told  int
	}{
		"as it was":               {"UPDATE outbox SET due = 1", 3},
		"another name":            {"UPDATE outbox SET notice = REPLACE(notice, 'Laptop', 'log in at evil.example')", 0},
		"of another person":       {"UPDATE outbox SET notice = REPLACE(notice, '\"of\":\"ben@', '\"of\":\"cho@')", 0},
		"of somebody else":        {"UPDATE outbox SET notice = REPLACE(notice, '\"principal\":\"ben@', '\"principal\":\"cho@')", 0},
		"of another credential":   {"UPDATE outbox SET notice = REPLACE(notice, '\"credential\":\"', '\"credential\":\"AAAA')", 0},
		"of another time":         {"UPDATE outbox SET notice = REPLACE(notice, '\"enrolled\":\"20', '\"enrolled\":\"19')", 0},
		"approved by another":     {"UPDATE outbox SET notice = REPLACE(notice, '\"approved_by\":\"dan@', '\"approved_by\":\"ceo@')", 2},
		"removed by another":      {"UPDATE outbox SET notice = REPLACE(notice, '\"removed_by\":\"ben@', '\"removed_by\":\"ceo@')", 2},
		"removed that was added":  {"UPDATE outbox SET notice = REPLACE(notice, 'passkey-added', 'passkey-removed')", 2},
		"approved that was added": {"UPDATE outbox SET notice = REPLACE(notice, 'passkey-added', 'passkey-approved')", 2},
		"another link":            {"UPDATE outbox SET notice = REPLACE(notice, 'jit.example.com/', 'evil.example/')", 3},
		"of what is damaged":      {"UPDATE notes SET body = 'x'", 0},
	} {
		t.Run(what, func(t *testing.T) {
			w, _, exec := withDatabase(t)
			w.Origin, w.Signatures, w.Undelivered = keyOrigin, &brokertest.Signatures{}, access.Receipts{{To: ben, Channel: "mail", Err: errors.New("down")}}
			b, key := w.Broker(), passkeytest.New(t, keyOrigin, keyParty)
			enrol(t, w, b, ben, key)
			id := access.CredentialID(key.Credential)
			if warnings, err := b.ApprovePasskey(t.Context(), caller(dan), ben, id); err != nil || len(warnings) != 1 || warnings[0].Code != access.CodeNotDelivered {
				t.Fatal(warnings, err)
			}
			if _, err := b.RemovePasskey(t.Context(), caller(ben), ben, id); err != nil {
				t.Fatal(err)
			}
			w.Undelivered, w.Told = nil, nil
			exec(c.spoil)
			w.Clock = w.Clock.Add(2 * time.Minute)
			swept(t, w.Broker())
			if len(w.Told) != c.told {
				t.Errorf("told %+v", w.Told)
			}
			for _, n := range w.Told {
				if n.ReviewURL != keyOrigin+"/passkeys" || n.BaseURL != keyOrigin+"/" || n.ID == "" {
					t.Errorf("told %+v", n)
				}
			}
			w.Told, w.Clock = nil, w.Clock.Add(time.Hour)
			if swept(t, w.Broker()); len(w.Told) != 0 {
				t.Errorf("told again %+v", w.Told)
			}
		})
	}
}

// What the platform does not answer for now keeps nothing else waiting, either.
func TestASweepGoesOnWhereItCouldNotDoAll(t *testing.T) {
	w, instance, _ := withDatabase(t)
	b := w.Broker()
	w.GrantErr = &access.Error{Kind: access.Unavailable, Code: access.CodeUpstreamFailed}
	for range broker.SweepCount + 1 {
		asked, err := b.Ask(t.Context(), caller(ana), ask())
		if err == nil {
			_, err = approve(t, b, ben, asked.Ref)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	good, err := b.Ask(t.Context(), caller(ana), ask())
	if err != nil {
		t.Fatal(err)
	}
	w.Clock, w.AgainErr = w.Clock.Add(2*time.Hour), w.GrantErr
	if done := swept(t, b); done != (broker.Swept{Left: broker.SweepCount, More: true}) {
		t.Errorf("%+v", done)
	}
	if done := swept(t, b); done != (broker.Swept{Left: 1, Over: 1}) || state(t, instance(), good.Ref) != access.Lapsed {
		t.Errorf("%+v", done)
	}
	if done := swept(t, b); done.Left != broker.SweepCount { // from the beginning
		t.Errorf("%+v", done)
	}
}
