package broker_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/broker/brokertest"
	"jitaccess/internal/ledger"
	"jitaccess/internal/policy"
)

var eve, fay = access.Principal("eve@example.com"), access.Principal("fay@example.com")

// withGlass is a world with a ledger, where ana is on call and may break the glass for an
// hour, security looks at it, which is eve, and fay audits.
func withGlass(t *testing.T) (*world, *ledger.Store, *broker.Broker) {
	t.Helper()
	w, store := withLedger(t)
	glassPolicy(w)
	return w, store, w.Broker()
}

func glassPolicy(w *world) {
	w.Settings.Justification = regexp.MustCompile(`case \d+`)
	w.Settings.MaxDuration = 4 * time.Hour
	w.Auditors = []string{"user:" + string(fay), "serviceAccount:robot@shop.iam.gserviceaccount.com"}
	w.GroupsOf = map[access.Principal][]string{ana: {"oncall@example.com"}, eve: {"security@example.com"}}
	w.Policy = changed(w, func(t *access.Terms) {
		if t.Approvals() > 0 {
			t.Rule, t.Policy, t.BreakGlass = "production", "digest", true
			t.Glass = access.GlassTerms{Who: []string{"group:oncall@example.com"}, MaxDuration: time.Hour,
				ReviewBy: []string{"group:security@example.com"}}
		}
	})
}

// emergency is ana's form in order; tests change what they are about.
func emergency() broker.Ask {
	return broker.Ask{Kind: access.BreakGlass, Resource: shop, Entitlements: []access.EntitlementID{admin}, Justification: "everything is down",
		Duration: time.Hour, Origin: "https://jit.example.com", Host: "jit.example.com"}
}

func TestTheGlassIsBrokenAtOnce(t *testing.T) {
	w, store, b := withGlass(t)
	asked, err := b.Ask(t.Context(), caller(ana), emergency())
	if err != nil || len(asked.Warnings) != 0 || len(asked.Outcomes) != 1 || asked.Window.Length() != time.Hour {
		t.Fatalf("%+v, %v", asked, err)
	}
	if kind := access.KindOfID(asked.Request.ID); kind != access.BreakGlass || asked.Ref != "" {
		t.Errorf("%q is of a %s", asked.Request.ID, kind)
	}
	if len(w.Activations) != 1 || !w.Activations[0].BreakGlass || len(w.Activations[0].Approvers) != 0 || w.Activations[0].RequestID != asked.Request.ID {
		t.Errorf("granted %+v", w.Activations)
	}
	if w.Actions() != "broken glass, granted" {
		t.Errorf("journal %s", w.Actions())
	}
	r, err := store.Open(t.Context(), asked.Request.ID)
	if err != nil || r.State != access.Active || !r.Unreviewed() || r.Terms.Rule != "production" {
		t.Errorf("%+v, %v", r, err)
	}
	if got, want := heard(w), "broken-glass to [ben@example.com cho@example.com fay@example.com security@example.com] copy []"; got != want ||
		len(w.Told) != 1 {
		t.Errorf("told %s, want %s", got, want)
	}
	n := w.Told[0]
	if n.ReviewURL != "https://jit.example.com/review?activation="+r.ID || n.Window != asked.Window || n.Request.Justification != "everything is down" {
		t.Errorf("told %+v", n)
	}
}

// Everything that must hold, each missing once: nothing is granted, nobody is told.
func TestTheGlassHolds(t *testing.T) {
	down := &access.Error{Kind: access.Unavailable, Code: access.CodeGroupUnreadable}
	terms := func(change func(*access.Terms)) func(*world, *broker.Ask) {
		return func(w *world, _ *broker.Ask) {
			before := w.Policy
			w.Policy = rules(func(s access.Subject) (access.Terms, error) {
				t, _, err := before.Terms(s)
				change(&t)
				return t, err
			})
		}
	}
	for _, c := range []struct {
		rule   string
		change func(*world, *broker.Ask)
		kind   access.Kind
		code   access.Code
	}{
		{"not one of who", func(w *world, _ *broker.Ask) { w.GroupsOf = nil }, access.NotAllowed, access.CodeNoBreakGlass},
		{"one of who, and not eligible", func(w *world, _ *broker.Ask) { w.Holdings[ana] = nil }, access.NotAllowed, access.CodeNotEligible},
		{"the Directory does not answer", func(w *world, _ *broker.Ask) { w.DirectoryErr = down }, access.Unavailable, access.CodeGroupUnreadable},
		{"the rule lets nobody", terms(func(t *access.Terms) { t.BreakGlass = false }), access.NotAllowed, access.CodeNoBreakGlass},
		{"no approval is skipped", terms(func(t *access.Terms) { t.Requirements = nil }), access.NotAllowed, access.CodeNoBreakGlass},
		{"for longer than the glass", func(_ *world, a *broker.Ask) { a.Duration = 61 * time.Minute }, access.Invalid, access.CodeBadDuration},
		{"for later", func(w *world, a *broker.Ask) { a.Start = w.Clock.Add(time.Hour) }, access.Invalid, access.CodeStartsAtOnce},
		{"without a reason", func(_ *world, a *broker.Ask) { a.Justification = " " }, access.Invalid, access.CodeNoJustification},
		{"a reason with invisible characters", func(_ *world, a *broker.Ask) { a.Justification = "a\u202eb" }, access.Invalid,
			access.CodeUnsafeJustification},
		{"a reason that is too long", func(_ *world, a *broker.Ask) { a.Justification = strings.Repeat("a", 251) }, access.Invalid,
			access.CodeLongJustification},
		{"asking reviewers", func(_ *world, a *broker.Ask) {
			a.Form, a.Reviewers = formOf(ana, access.BreakGlass), []string{string(ben)}
		}, access.Invalid, access.CodeBadRequestID},
		{"somebody else's form", func(_ *world, a *broker.Ask) { a.Form = formOf(ben, access.BreakGlass) }, access.Invalid, access.CodeBadRequestID},
		{"an old form", func(w *world, a *broker.Ask) {
			a.Form = formOf(ana, access.BreakGlass)
			w.Clock = w.Clock.Add(61 * time.Minute)
		}, access.Gone, access.CodeOldForm},
		{"what nobody else need approve", func(_ *world, a *broker.Ask) { a.Entitlements = []access.EntitlementID{viewer} }, access.NotAllowed,
			access.CodeNotEligible},
		{"several roles, of which one is not in it", func(_ *world, a *broker.Ask) {
			a.Entitlements = []access.EntitlementID{admin, narrow}
		}, access.NotAllowed, access.CodeNotEligible},
		{"there is no channel", func(w *world, _ *broker.Ask) { w.Silent = true }, access.Unprocessable, access.CodeGlassUntold},
		{"the journal fails", func(w *world, _ *broker.Ask) { w.JournalErr[access.GlassBroken] = errDiskFull }, access.Unavailable,
			access.CodeJournalUnavailable},
		{"no longer eligible when it is written", func(w *world, _ *broker.Ask) {
			w.BeforeGrant = func() { w.Mu.Lock(); w.Holdings[ana] = nil; w.Mu.Unlock() }
		}, access.NotAllowed, access.CodeNotEligible},
		{"without a ledger", func(w *world, _ *broker.Ask) { w.Ledger = nil }, access.Unprocessable, access.CodeTermUnsupported},
	} {
		t.Run(c.rule, func(t *testing.T) {
			w, _, _ := withGlass(t)
			a := emergency()
			c.change(w, &a)
			_, err := w.Broker().Ask(t.Context(), caller(ana), a)
			is(t, err, c.kind, c.code)
			if len(w.Activations) != 0 {
				t.Errorf("granted %v", w.Activations)
			}
			if told := len(w.Told); told != 0 && w.BeforeGrant == nil {
				t.Errorf("told %v", w.Told)
			}
			if c.code == access.CodeJournalUnavailable {
				return
			}
			last := w.Journal[len(w.Journal)-1]
			if !(last.Action == access.ActionRefused && last.Trying == access.RequestMade && c.rule == "somebody else's form" ||
				last.Action == access.ActionRefused && last.Trying == access.GlassBroken ||
				last.Action == access.GrantFailed && w.BeforeGrant != nil) {
				t.Errorf("journal %s, trying %s", w.Actions(), last.Trying)
			}
		})
	}
}

// The pattern of the settings and those of the rule are not asked for in an emergency.
func TestTheGlassNeedsAReasonAndNoPattern(t *testing.T) {
	w, _, b := withGlass(t)
	a := ask()
	a.Justification = "everything is down"
	_, err := b.Ask(t.Context(), caller(ana), a)
	is(t, err, access.Invalid, access.CodeJustificationRule)
	if _, err := b.Ask(t.Context(), caller(ana), emergency()); err != nil || len(w.Activations) != 1 {
		t.Errorf("%v; granted %v", err, w.Activations)
	}
}

// Who may break the glass is named in person, by a group or by a domain.
func TestWhoMayBreakTheGlass(t *testing.T) {
	for who, may := range map[string]bool{"user:ana@example.com": true, "domain:example.com": true, "group:oncall@example.com": true,
		"user:ben@example.com": false, "domain:other.test": false, "group:leads@example.com": false, "user:na@example.com": false} {
		w, _, _ := withGlass(t)
		before := w.Policy
		w.Policy = rules(func(s access.Subject) (access.Terms, error) {
			t, _, err := before.Terms(s)
			t.Glass.Who = []string{who}
			return t, err
		})
		choice, err := w.Broker().Choose(t.Context(), caller(ana), shop, admin)
		if err != nil || (choice.GlassForm != "") != may || may && access.KindOfID(choice.GlassForm) != access.BreakGlass {
			t.Errorf("%s: form %q, %v", who, choice.GlassForm, err)
		}
		if _, err = w.Broker().Ask(t.Context(), caller(ana), emergency()); (err == nil) != may || (len(w.Activations) == 1) != may {
			t.Errorf("%s: %v, granted %v", who, err, w.Activations)
		}
	}
}

// That it is not known who is on call is a warning beside the form.
func TestAFormSaysThatItIsNotKnownWhoMayBreakTheGlass(t *testing.T) {
	w, _, b := withGlass(t)
	w.DirectoryErr = &access.Error{Kind: access.Unavailable, Code: access.CodeGroupUnreadable}
	choice, err := b.Choose(t.Context(), caller(ana), shop, admin)
	if err != nil || choice.GlassForm != "" || len(choice.Warnings) != 1 || choice.Warnings[0].Code != access.CodeGroupUnreadable {
		t.Errorf("%+v, %v", choice, err)
	}
}

// Sent twice it is one, also to another instance.
func TestAGlassThatIsSentTwiceIsOne(t *testing.T) {
	w, _, b := withGlass(t)
	a := emergency()
	a.Form = formOf(ana, access.BreakGlass)
	for _, b := range []*broker.Broker{b, b, w.Broker()} {
		asked, err := b.Ask(t.Context(), caller(ana), a)
		if err != nil || len(asked.Warnings) != 0 {
			t.Fatalf("%+v, %v", asked, err)
		}
	}
	if len(w.Activations) != 1 || len(w.Told) != 1 {
		t.Errorf("granted %v, told %d times", w.Activations, len(w.Told))
	}
}

// What nobody could be told of is not granted, and nobody is told of it later.
func TestNobodyHearsNothingIsGranted(t *testing.T) {
	w, store, b := withGlass(t)
	w.Undelivered = access.Receipts{{To: ben, Channel: "mail", Err: errors.New("550")}, {Channel: "pubsub", Err: errors.New("503")}}
	asked, err := b.Ask(t.Context(), caller(ana), emergency())
	is(t, err, access.Unprocessable, access.CodeGlassUntold)
	if len(w.Activations) != 0 || w.Actions() != "broken glass, grant failed" || state(t, store, asked.Request.ID) != access.Failed {
		t.Errorf("granted %v, journal %s", w.Activations, w.Actions())
	}
	w.Undelivered, w.Told = nil, nil
	w.Clock = w.Clock.Add(10 * time.Minute)
	if done := swept(t, b); done != (broker.Swept{}) || len(w.Told) != 0 {
		t.Errorf("later: %+v, told %v", done, w.Told)
	}
	// It came to nothing, so another needs no review first.
	if _, err := b.Ask(t.Context(), caller(ana), emergency()); err != nil || len(w.Activations) != 1 {
		t.Errorf("%v; granted %v", err, w.Activations)
	}
}

// One who was told is enough; the others are warnings, and told later.
func TestOneWhoHearsOfABrokenGlassIsEnough(t *testing.T) {
	w, _, b := withGlass(t)
	w.Undelivered = access.Receipts{{To: ben, Channel: "mail", Err: errors.New("550")}, {To: eve, Channel: "mail", Ref: "1"}}
	asked, err := b.Ask(t.Context(), caller(ana), emergency())
	if err != nil || len(asked.Warnings) != 1 || asked.Warnings[0].Code != access.CodeNotDelivered || len(w.Activations) != 1 {
		t.Fatalf("%+v, %v", asked, err)
	}
	w.Undelivered, w.Told = nil, nil
	w.Clock = w.Clock.Add(2 * time.Minute)
	if done := swept(t, b); done.Told != 1 || len(w.Told) != 1 {
		t.Errorf("%+v, told %v", done, w.Told)
	}
}

// What only a channel took that nobody learns of whether it shows it, is told to whom it concerns most.
func TestABrokenGlassThatPerhapsNobodySawIsAWarning(t *testing.T) {
	teams, chat := access.Channel{Name: "teams", Unseen: true}, access.Channel{Name: "googlechat"}
	bounced := access.Receipt{To: ben, Channel: "mail", Err: errors.New("550")}
	for _, c := range []struct {
		name     string
		receipts access.Receipts
		warned   bool
	}{
		{"Teams alone", access.Receipts{bounced, {Channel: "teams"}}, true},
		{"a chat as well", access.Receipts{bounced, {Channel: "teams"}, {Channel: "googlechat"}}, false},
		{"a mail as well", access.Receipts{bounced, {Channel: "teams"}, {To: eve, Channel: "mail"}}, false},
		{"a chat that failed", access.Receipts{bounced, {Channel: "teams"}, {Channel: "googlechat", Err: errors.New("503")}}, true},
	} {
		w, _, b := withGlass(t)
		w.Also, w.Undelivered = []access.Channel{teams, chat}, c.receipts
		asked, err := b.Ask(t.Context(), caller(ana), emergency())
		at := slices.IndexFunc(asked.Warnings, func(e *access.Error) bool { return e.Code == access.CodeGlassUnseen })
		if err != nil || (at >= 0) != c.warned || at >= 0 && asked.Warnings[at].Args["channel"] != "teams" || len(w.Activations) != 1 {
			t.Errorf("%s: %v, %v", c.name, asked.Warnings, err)
		}
	}
}

// People whose holdings cannot be read keep nobody from breaking the glass.
func TestPeersWhoAreNotKnownAreAWarning(t *testing.T) {
	w, _, _ := withGlass(t)
	b := w.BrokerOf(broker.Registration{Provider: noReviewers{w}, Name: "Google Cloud", Kinds: w.Registration().Kinds})
	asked, err := b.Ask(t.Context(), caller(ana), emergency())
	if err != nil || len(asked.Warnings) != 1 || asked.Warnings[0].Code != access.CodeQuota || len(w.Activations) != 1 {
		t.Fatalf("%+v, %v", asked, err)
	}
	if got, want := heard(w), "broken-glass to [fay@example.com security@example.com] copy []"; got != want {
		t.Errorf("told %s", got)
	}
}

// noReviewers is a catalog that cannot say who may review.
type noReviewers struct{ *world }

func (n noReviewers) Standing(ctx context.Context, q access.StandingQuery) (access.Standing, error) {
	if len(q.ReviewersOf) > 0 {
		return access.Standing{}, &access.Error{Kind: access.TooMany, Code: access.CodeQuota}
	}
	return n.world.Standing(ctx, q)
}

// A person has no second for the same role before the first is reviewed: not by another
// form, condition or address, and not at the same time.
func TestOneUnreviewedGlassForARole(t *testing.T) {
	other := access.EntitlementID{Resource: shop, Role: "roles/run.admin"}
	twice := func(t *testing.T, second func(*world, *broker.Ask) access.Principal) (*world, error) {
		w, _, _ := withGlass(t)
		w.Holdings[ana] = append(w.Holdings[ana], brokertest.Peer(other), brokertest.Peer(narrow))
		w.Holdings[dan] = w.Holdings[ana]
		w.GroupsOf[dan] = w.GroupsOf[ana]
		w.Policy = human{w.Policy}
		if _, err := w.Broker().Ask(t.Context(), caller(ana), emergency()); err != nil {
			t.Fatal(err)
		}
		w.Clock = w.Clock.Add(3 * time.Hour) // it is over
		a := emergency()
		_, err := w.Broker().Ask(t.Context(), caller(second(w, &a)), a)
		return w, err
	}
	for what, second := range map[string]func(*world, *broker.Ask) access.Principal{
		"the same": func(*world, *broker.Ask) access.Principal { return ana },
		"with a condition": func(_ *world, a *broker.Ask) access.Principal {
			a.Entitlements = []access.EntitlementID{narrow}
			return ana
		},
		"beside another": func(_ *world, a *broker.Ask) access.Principal {
			a.Entitlements = append(a.Entitlements, other)
			return ana
		},
		"by another address": func(*world, *broker.Ask) access.Principal { return dan },
	} {
		t.Run(what, func(t *testing.T) {
			_, err := twice(t, second)
			is(t, err, access.Conflict, access.CodeGlassUnreviewed)
		})
	}
	for what, second := range map[string]func(*world, *broker.Ask) access.Principal{
		"another role": func(_ *world, a *broker.Ask) access.Principal {
			a.Entitlements = []access.EntitlementID{other}
			return ana
		},
		"another human": func(w *world, _ *broker.Ask) access.Principal {
			w.GroupsOf[ben] = w.GroupsOf[ana]
			return ben
		},
		"a reviewed one": func(w *world, _ *broker.Ask) access.Principal {
			all, _, err := w.Broker().History(t.Context(), caller(eve), broker.ViewReviews, access.Listing{})
			if err != nil || len(all.Requests) != 1 {
				t.Fatal(all, err)
			}
			if _, _, err := w.Broker().ReviewGlass(t.Context(), caller(eve), all.Requests[0].ID, "fine", ""); err != nil {
				t.Fatal(err)
			}
			return ana
		},
	} {
		t.Run(what, func(t *testing.T) {
			if _, err := twice(t, second); err != nil {
				t.Error(err)
			}
		})
	}
	t.Run("at the same time", func(t *testing.T) {
		w, _, _ := withGlass(t)
		var others []error
		w.Ledger = meanwhile{w.Ledger.(broker.Memory), func() { // between the look and the record
			w.Ledger = w.Ledger.(meanwhile).Memory
			_, err := w.Broker().Ask(t.Context(), caller(ana), emergency())
			others = append(others, err)
		}}
		b := w.Broker()
		_, err := b.Ask(t.Context(), caller(ana), emergency())
		is(t, err, access.Conflict, access.CodeGlassUnreviewed)
		if len(others) != 1 || others[0] != nil || len(w.Activations) != 1 {
			t.Errorf("%v; granted %v", others, w.Activations)
		}
	})
}

// human knows that dan is ana.
type human struct{ broker.Policy }

func (human) Accounts(p access.Principal) []access.Principal {
	if p == dan || p == ana {
		return []access.Principal{ana, dan}
	}
	return []access.Principal{p}
}

// meanwhile is a ledger to which something else happens before the first event.
type meanwhile struct {
	broker.Memory
	happens func()
}

func (m meanwhile) Commit(ctx context.Context, e access.Event, notices []access.Notice) (string, error) {
	if e.Action == access.GlassBroken {
		m.happens()
	}
	return m.Memory.Commit(ctx, e, notices)
}

// broken is a world in which ana has broken the glass.
func broken(t *testing.T) (*world, *broker.Broker, string) {
	t.Helper()
	w, _, b := withGlass(t)
	asked, err := b.Ask(t.Context(), caller(ana), emergency())
	if err != nil {
		t.Fatal(err)
	}
	w.Forget()
	return w, b, asked.Request.ID
}

func TestABrokenGlassIsReviewed(t *testing.T) {
	w, b, id := broken(t)
	w.Clock = w.Clock.Add(time.Minute)
	r, warnings, err := b.ReviewGlass(t.Context(), caller(eve), id, " It was needed. ", "https://jit.example.com")
	if err != nil || len(warnings) != 0 || r.Review.By != eve || r.Review.Comment != "It was needed." || !r.Review.At.Equal(w.Clock) || r.Unreviewed() {
		t.Fatalf("%+v, %v, %v", r.Review, warnings, err)
	}
	if heard(w) != "glass-reviewed to [ana@example.com] copy []" || w.Actions() != "reviewed" || w.Told[0].Decision.Comment != "It was needed." {
		t.Errorf("told %s, journal %s", heard(w), w.Actions())
	}
	// The same person again is the same, and tells nobody.
	if again, _, err := b.ReviewGlass(t.Context(), caller(eve), id, "more", ""); err != nil || again.Review.Comment != r.Review.Comment || len(w.Told) != 1 {
		t.Errorf("%+v, %v", again, err)
	}
	w.GroupsOf[ben] = w.GroupsOf[eve]
	_, _, err = b.ReviewGlass(t.Context(), caller(ben), id, "me too", "")
	is(t, err, access.Conflict, access.CodeReviewed)
	if got, _, err := b.Timeline(t.Context(), caller(ana), id); err != nil || !reflect.DeepEqual(got.Review, r.Review) || got.State != access.Active {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestWhoReviewsABrokenGlass(t *testing.T) {
	down := &access.Error{Kind: access.Unavailable, Code: access.CodeGroupUnreadable}
	for _, c := range []struct {
		rule    string
		who     access.Principal
		change  func(*world, *string)
		comment string
		kind    access.Kind
		code    access.Code
	}{
		{"not who breaks it", ana, func(w *world, _ *string) { w.GroupsOf[ana] = []string{"security@example.com"} }, "fine", access.NotAllowed,
			access.CodeOwnRequest},
		{"not by another address of theirs", dan, func(w *world, _ *string) {
			w.GroupsOf[dan], w.Policy = []string{"security@example.com"}, human{w.Policy}
		}, "fine", access.NotAllowed, access.CodeOwnRequest},
		{"not a peer", ben, nil, "fine", access.NotAllowed, access.CodeNoReview},
		{"not an auditor", fay, nil, "fine", access.NotAllowed, access.CodeNoReview},
		{"not an administrator", dan, nil, "fine", access.NotAllowed, access.CodeNoReview},
		{"who has left the group", eve, func(w *world, _ *string) { w.GroupsOf[eve] = nil }, "fine", access.NotAllowed, access.CodeNoReview},
		{"while the Directory is down", eve, func(w *world, _ *string) { w.DirectoryErr = down }, "fine", access.Unavailable, access.CodeGroupUnreadable},
		{"not without a word", eve, nil, " ", access.Invalid, access.CodeNoComment},
		{"not on two lines", eve, nil, "a\nb", access.Invalid, access.CodeUnsafeComment},
		{"nothing that is not known", eve, func(_ *world, id *string) { *id = "brk-AAAAAAAAAAAAAAAA" }, "fine", access.NotFound, access.CodeBadLink},
		{"no other request", eve, func(w *world, id *string) {
			a := ask()
			asked, err := w.Broker().Ask(t.Context(), caller(ana), a)
			if err != nil {
				t.Fatal(err)
			}
			*id = asked.Request.ID
		}, "fine", access.NotAllowed, access.CodeNoReview},
	} {
		t.Run(c.rule, func(t *testing.T) {
			w, _, id := broken(t)
			was := id
			if c.change != nil {
				c.change(w, &id)
			}
			_, _, err := w.Broker().ReviewGlass(t.Context(), caller(c.who), id, c.comment, "")
			is(t, err, c.kind, c.code)
			if r, err := w.Ledger.Open(t.Context(), was); err != nil || !r.Unreviewed() {
				t.Errorf("%+v, %v", r, err)
			}
			if last := w.Journal[len(w.Journal)-1]; last.Action != access.ActionRefused || last.Trying != access.GlassReviewed {
				t.Errorf("journal %s", w.Actions())
			}
		})
	}
}

// Without a ledger there is none to review.
func TestReviewsNeedALedger(t *testing.T) {
	_, _, err := newWorld(t).Broker().ReviewGlass(t.Context(), caller(eve), "brk-AAAAAAAAAAAAAAAA", "fine", "")
	is(t, err, access.NotFound, access.CodeNeedsLedger)
}

// endless is a ledger with a broken glass on every page of those that wait, without end.
type endless struct {
	broker.Memory
	glass access.Request
	lists int
}

func (e *endless) List(ctx context.Context, l access.Listing) (access.Listed, error) {
	if !l.Unreviewed {
		return e.Memory.List(ctx, l)
	}
	e.lists++
	return access.Listed{Requests: []access.Request{e.glass, e.glass}, Next: "more"}, nil
}

// Who wants a few of what waits has the newest, and not all that was ever left is read.
func TestAFewBrokenGlassesAreFoundWithoutReadingAll(t *testing.T) {
	w, b, id := broken(t)
	glass, _, err := b.Timeline(t.Context(), caller(eve), id)
	if err != nil {
		t.Fatal(err)
	}
	for p, want := range map[access.Principal]struct{ glasses, lists int }{eve: {3, 2}, ben: {0, 10}} {
		ledger := &endless{Memory: w.Ledger.(broker.Memory), glass: glass}
		w.Ledger = ledger
		listed, _, err := w.Broker().History(t.Context(), caller(p), broker.ViewReviews, access.Listing{Max: 3})
		if err != nil || len(listed.Requests) != want.glasses || ledger.lists != want.lists {
			t.Errorf("%s: %d, after %d lists, %v", p, len(listed.Requests), ledger.lists, err)
		}
		w.Ledger = ledger.Memory
	}
}

// It waits for those who may review it, and for nobody else, until somebody has; and they
// and auditors see it.
func TestABrokenGlassWaitsForItsReviewers(t *testing.T) {
	w, b, id := broken(t)
	a := ask()
	a.Reviewers = []string{string(ben), string(eve)}
	w.Holdings[eve] = w.Holdings[ben]
	a.Justification = "case 43"
	asked, err := b.Ask(t.Context(), caller(ana), a)
	if err != nil {
		t.Fatal(err)
	}
	waiting := func(p access.Principal) (ids []string) {
		t.Helper()
		listed, _, err := b.History(t.Context(), caller(p), broker.ViewReviews, access.Listing{})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range listed.Requests {
			ids = append(ids, r.ID)
		}
		return ids
	}
	w.Clock = w.Clock.Add(30 * time.Minute)
	for p, want := range map[access.Principal][]string{eve: {id, asked.Request.ID}, ben: {asked.Request.ID}, ana: nil, fay: nil, cho: nil} {
		if got := waiting(p); !slices.Equal(got, want) {
			t.Errorf("for %s waits %v, want %v", p, got, want)
		}
	}
	for p, may := range map[access.Principal]bool{ana: true, eve: true, fay: true, ben: false, cho: false, dan: false} {
		if _, _, err := b.Timeline(t.Context(), caller(p), id); (err == nil) != may {
			t.Errorf("timeline for %s: %v", p, err)
		}
	}
	for p, can := range map[access.Principal]bool{ana: false, eve: true} {
		if v, err := b.Show(t.Context(), caller(p), id, ""); err != nil || v.CanReview != can || v.CanDecide {
			t.Errorf("shown to %s: %+v, %v", p, v, err)
		}
	}
	w.Clock = w.Clock.Add(10 * time.Hour) // long over, it still waits
	swept(t, b)
	if got := waiting(eve); !slices.Equal(got, []string{id}) {
		t.Errorf("later: %v", got)
	}
	if _, _, err := b.ReviewGlass(t.Context(), caller(eve), id, "fine", ""); err != nil {
		t.Fatal(err)
	}
	if got := waiting(eve); got != nil {
		t.Errorf("reviewed, and still waits: %v", got)
	}
	if v, err := b.Show(t.Context(), caller(eve), id, ""); err != nil || v.CanReview {
		t.Errorf("%+v, %v", v, err)
	}
	// A list that cannot say what waits says that.
	w.DirectoryErr = &access.Error{Kind: access.Unavailable, Code: access.CodeGroupUnreadable}
	if _, err := w.Broker().Ask(t.Context(), caller(ana), emergency()); err == nil {
		t.Error("broken without the Directory")
	}
}

// One that was found later, without its terms, is reviewed by whom the terms name now, and
// counts as unreviewed until then.
func TestABrokenGlassThatWasTakenInIsReviewed(t *testing.T) {
	w, _, b := withGlass(t)
	found := access.Request{ID: "brk-0000000000000001", Kind: access.BreakGlass, Principal: ana, Resource: shop,
		Entitlements: []access.EntitlementID{admin}, Justification: "down", Duration: time.Hour, Created: w.Clock.Add(-time.Minute), Expires: w.Clock.Add(time.Hour)}
	e := access.Event{Action: access.GrantTakenIn, At: w.Clock, Caller: access.Caller{Method: access.MethodSystem}, Request: found,
		Window: access.Window{Start: found.Created, End: found.Created.Add(time.Hour)}}
	if _, err := w.Ledger.Commit(t.Context(), e, nil); err != nil {
		t.Fatal(err)
	}
	_, err := b.Ask(t.Context(), caller(ana), emergency())
	is(t, err, access.Conflict, access.CodeGlassUnreviewed)
	for p, waits := range map[access.Principal]int{eve: 1, ben: 0, ana: 0} {
		if listed, warnings, err := b.History(t.Context(), caller(p), broker.ViewReviews, access.Listing{}); err != nil || len(warnings) != 0 || len(listed.Requests) != waits {
			t.Errorf("for %s: %+v, %v, %v", p, listed, warnings, err)
		}
	}
	_, _, err = b.ReviewGlass(t.Context(), caller(ben), found.ID, "fine", "")
	is(t, err, access.NotAllowed, access.CodeNoReview)
	if r, _, err := b.ReviewGlass(t.Context(), caller(eve), found.ID, "fine", ""); err != nil || r.Unreviewed() {
		t.Errorf("%+v, %v", r, err)
	}
}

// Ended early it stays so: by its form and by any that was opened before.
func TestABrokenGlassThatWasEndedStaysSo(t *testing.T) {
	w, _, b := withGlass(t)
	a := emergency()
	a.Form = formOf(ana, access.BreakGlass)
	asked, err := b.Ask(t.Context(), caller(ana), a)
	if err != nil {
		t.Fatal(err)
	}
	w.Clock = w.Clock.Add(time.Minute)
	if _, err := b.End(t.Context(), caller(ana), shop, asked.Request.ID, ""); err != nil {
		t.Fatal(err)
	}
	if len(w.Activations) != 1 || !w.Activations[0].BreakGlass || w.Activations[0].Window.Contains(w.Clock) {
		t.Fatalf("stands %+v", w.Activations)
	}
	for _, again := range []*broker.Broker{b, w.Broker()} {
		if _, err := again.Ask(t.Context(), caller(ana), a); err == nil {
			t.Error("it is there again")
		}
	}
	if _, _, err := b.ReviewGlass(t.Context(), caller(eve), asked.Request.ID, "fine", ""); err != nil {
		t.Fatal(err)
	}
	other := emergency()
	other.Form = formOf(ana, access.BreakGlass) // opened at dawn, as the first
	_, err = b.Ask(t.Context(), caller(ana), other)
	is(t, err, access.Gone, access.CodeOldForm)
	if len(w.Activations) != 1 || w.Activations[0].Window.Contains(w.Clock) {
		t.Errorf("stands %+v", w.Activations)
	}
}

// A process that ended over it: the sweep writes what would be allowed today.
func TestASweepWritesABrokenGlass(t *testing.T) {
	for what, c := range map[string]struct {
		change  func(*world)
		granted int
	}{
		"as it was":            {nil, 1},
		"no longer on call":    {func(w *world) { w.GroupsOf[ana] = nil }, 0},
		"no longer eligible":   {func(w *world) { w.Holdings[ana] = nil }, 0},
		"the rule has changed": {func(w *world) { w.Policy = policy.New(w.Settings) }, 0},
		"too late":             {func(w *world) { w.Clock = w.Clock.Add(11 * time.Minute) }, 0},
	} {
		t.Run(what, func(t *testing.T) {
			w, _, _ := withGlass(t)
			w.GrantErr = &access.Error{Kind: access.Unavailable, Code: access.CodeUpstreamFailed}
			if asked, err := w.Broker().Ask(t.Context(), caller(ana), emergency()); err != nil || len(asked.Outcomes) > 0 {
				t.Fatalf("%+v, %v", asked, err)
			}
			w.GrantErr = nil
			w.Clock = w.Clock.Add(time.Minute)
			if c.change != nil {
				c.change(w)
			}
			if swept(t, w.Broker()); len(w.Activations) != c.granted || c.granted > 0 && !w.Activations[0].BreakGlass {
				t.Errorf("granted %+v, journal %s", w.Activations, w.Actions())
			}
		})
	}
}

// Personal data of what nobody has reviewed is kept until somebody has.
func TestAnUnreviewedGlassIsNotErased(t *testing.T) {
	w, home := withHome(t)
	glassPolicy(w)
	b := w.Broker()
	asked, err := b.Ask(t.Context(), caller(ana), emergency())
	if err != nil {
		t.Fatal(err)
	}
	id := asked.Request.ID
	w.Clock = w.Clock.Add(1000 * time.Hour)
	for _, reviewed := range []bool{false, true} {
		done, err := ledger.Retain(t.Context(), home, keys(t), w.Clock, w.Clock)
		if want := (ledger.Erased{Requests: 1}); err != nil || reviewed && done != want || !reviewed && done != (ledger.Erased{Kept: 1}) {
			t.Errorf("reviewed %v: %+v, %v", reviewed, done, err)
		}
		if _, _, err := b.ReviewGlass(t.Context(), caller(eve), id, "fine", ""); (err != nil) != reviewed {
			t.Errorf("reviewed %v: %v", reviewed, err)
		}
	}
	// Erased, it hinders nobody.
	if _, err := b.Ask(t.Context(), caller(ana), emergency()); err != nil {
		t.Error(fmt.Errorf("after it was erased: %w", err))
	}
}
