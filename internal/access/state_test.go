package access_test

import (
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
)

var (
	passing = &access.Error{Kind: access.Unavailable, Code: access.CodeUpstreamFailed}
	forGood = &access.Error{Kind: access.Unprocessable, Code: access.CodeRoleNotGrantable}
)

// events in brief, as the table below spells them.
func event(r access.Request, word string) access.Event {
	e := access.Event{Request: r, At: r.Created}
	decide := func(by access.Principal, verdict access.Verdict) {
		e.Action = map[access.Verdict]access.Action{access.Approve: access.RequestApproved, access.Deny: access.RequestDenied}[verdict]
		e.Decision = access.Decision{By: by, Verdict: verdict, Digest: r.Digest()}
	}
	who, what, _ := strings.Cut(word, ":")
	switch what {
	case "made":
		e.Action = access.RequestMade
	case "self":
		e.Action, e.Window = access.SelfApproved, r.WindowAt(r.Created)
	case "added":
		e.Action = access.ReviewersAdded
	case "approves":
		decide(access.Principal(who+"@example.com"), access.Approve)
	case "completes":
		decide(access.Principal(who+"@example.com"), access.Approve)
		e.Window = r.WindowAt(r.Created)
	case "denies":
		decide(access.Principal(who+"@example.com"), access.Deny)
	case "granted":
		e.Action, e.Window = access.GrantWritten, r.WindowAt(r.Created)
	case "delayed":
		e.Action, e.Err = access.GrantFailed, passing
	case "failed":
		e.Action, e.Err = access.GrantFailed, forGood
	case "ends":
		e.Action = access.EndAsked
	case "ended":
		e.Action = access.GrantEnded
	case "endfails":
		e.Action, e.Err = access.EndFailed, passing
	case "refused":
		e.Action, e.Trying = access.ActionRefused, access.RequestApproved
	case "untold":
		e.Action = access.NoticeFailed
	case "later": // the last approval, of what begins in an hour
		decide(access.Principal(who+"@example.com"), access.Approve)
		e.Window = r.WindowAt(r.Created.Add(time.Hour))
	case "withdraws":
		e.Action = access.RequestWithdrawn
	case "breaks":
		e.Action, e.Window, e.Request.Kind = access.GlassBroken, r.WindowAt(r.Created), access.BreakGlass
	case "reviews":
		e.Action = access.GlassReviewed
		e.Decision = access.Decision{By: access.Principal(who + "@example.com"), At: r.Created, Comment: "was needed"}
	case "reminded":
		e.Action = access.Reminded
	case "escalated":
		e.Action = access.Escalated
	case "bounced":
		e.Action, e.Bounce.To = access.MailBounced, access.Principal(who+"@example.com")
	case "lapsed":
		e.Action = access.RequestLapsed
	case "expired":
		e.Action = access.GrantExpired
	}
	return e
}

// fold applies events to nothing and returns the first that may not follow.
func fold(r access.Request, words string) (access.Request, string, error) {
	var now access.Request
	for _, word := range strings.Fields(words) {
		next, err := now.Apply(event(r, word))
		if err != nil {
			return now, word, err
		}
		now = next
	}
	return now, "", nil
}

func TestARequestIsTheFoldOfItsEvents(t *testing.T) {
	for _, c := range []struct {
		rule, events string
		want         access.State
		// stops is the event that may not follow.
		stops string
	}{
		{"made", ":made", access.Pending, ""},
		{"asked of more people", ":made :added", access.Pending, ""},
		{"approved by one of two", ":made ben:approves", access.Pending, ""},
		{"approved by both", ":made ben:approves cho:completes", access.Approved, ""},
		{"granted", ":made ben:completes :granted", access.Active, ""},
		{"ended early", ":made ben:completes :granted :ends :ended", access.Ended, ""},
		{"an end that failed", ":made ben:completes :granted :ends :endfails", access.Active, ""},
		{"ended twice", ":made ben:completes :granted :ends :ended :ends :ended", access.Ended, ""},
		{"alone", ":self :granted", access.Active, ""},
		{"a failure that may pass", ":self :delayed", access.Approved, ""},
		{"and passed", ":self :delayed :granted", access.Active, ""},
		{"a failure for good", ":self :failed", access.Failed, ""},
		{"denied", ":made ben:denies", access.Denied, ""},
		{"denied by one who thinks better of it", ":made ben:approves ben:denies", access.Denied, ""},
		{"denied after one approval", ":made ben:approves cho:denies", access.Denied, ""},
		{"refusals and notices change nothing", ":made :refused :untold ben:completes :refused :granted :untold", access.Active, ""},
		{"a mail that came back changes nothing", ":made ben:bounced ben:approves ben:bounced cho:completes cho:bounced :granted :bounced", access.Active, ""},
		{"nor after a denial", ":made ben:denies ben:bounced", access.Denied, ""},
		{"a mail that came back of nothing", "ben:bounced", access.Unmade, "ben:bounced"},
		{"an outcome that is told late", ":made ben:completes :ends :ended :granted", access.Ended, ""},

		{"withdrawn", ":made :withdraws", access.Withdrawn, ""},
		{"withdrawn after one approval", ":made ben:approves :withdraws", access.Withdrawn, ""},
		{"told again while it waits", ":made :reminded :escalated :escalated ben:completes", access.Approved, ""},
		{"told again before the end", ":made ben:completes :granted :reminded", access.Active, ""},
		{"nobody decided", ":made :reminded :lapsed", access.Lapsed, ""},
		{"over", ":made ben:completes :granted :expired", access.Expired, ""},
		{"begins later", ":made ben:later", access.Scheduled, ""},
		{"began later", ":made ben:later :granted", access.Active, ""},
		{"begins later, and cannot be written now", ":made ben:later :delayed", access.Scheduled, ""},
		{"begins later, and is refused", ":made ben:later :failed", access.Failed, ""},
		{"called off before it begins", ":made ben:later :ends :ended", access.Ended, ""},
		{"a broken glass", ":breaks :granted", access.Active, ""},
		{"and reviewed while it is active", ":breaks :granted eve:reviews :ends :ended", access.Ended, ""},
		{"and reviewed after its end", ":breaks :granted :expired eve:reviews", access.Expired, ""},
		{"and reviewed though it came to nothing", ":breaks :failed eve:reviews", access.Failed, ""},

		{"a glass reviewed twice", ":breaks :granted eve:reviews ben:reviews", access.Active, "ben:reviews"},
		{"a glass reviewed by who broke it", ":breaks :granted ana:reviews", access.Active, "ana:reviews"},
		{"a review of what was approved", ":made ben:completes :granted eve:reviews", access.Active, "eve:reviews"},
		{"a glass that is broken while others decide", ":made :breaks", access.Pending, ":breaks"},
		{"withdrawn after the decision", ":made ben:completes :withdraws", access.Approved, ":withdraws"},
		{"withdrawn after a denial", ":made ben:denies :withdraws", access.Denied, ":withdraws"},
		{"approved after it was withdrawn", ":made :withdraws ben:completes", access.Withdrawn, "ben:completes"},
		{"denied after it was withdrawn", ":made :withdraws ben:denies", access.Withdrawn, "ben:denies"},
		{"granted after it was withdrawn", ":made ben:approves :withdraws :granted", access.Withdrawn, ":granted"},
		{"approved after it lapsed", ":made :lapsed ben:completes", access.Lapsed, "ben:completes"},
		{"lapsed after the decision", ":made ben:completes :lapsed", access.Approved, ":lapsed"},
		{"told again after the decision", ":made ben:denies :reminded", access.Denied, ":reminded"},
		{"granted after it was called off", ":made ben:later :ends :ended :granted", access.Ended, ""},
		{"approved again while it is scheduled", ":made ben:later cho:completes", access.Scheduled, "cho:completes"},
		{"over before it was granted", ":made ben:completes :expired", access.Approved, ":expired"},

		{"made twice", ":made :made", access.Pending, ":made"},
		{"activated twice", ":self :self", access.Approved, ":self"},
		{"approved before it is made", "ben:approves", access.Unmade, "ben:approves"},
		{"granted before it is approved", ":made :granted", access.Pending, ":granted"},
		{"granted before it is made", ":granted", access.Unmade, ":granted"},
		{"approved after a denial", ":made ben:denies cho:completes", access.Denied, "cho:completes"},
		{"granted after a denial", ":made ben:denies :granted", access.Denied, ":granted"},
		{"denied after the last approval", ":made ben:completes cho:denies", access.Approved, "cho:denies"},
		{"approved after the end", ":made ben:completes :granted :ends :ended cho:completes", access.Ended, "cho:completes"},
		{"approved after it failed", ":made ben:completes :failed cho:completes", access.Failed, "cho:completes"},
		{"one person twice", ":made ben:approves ben:completes", access.Pending, "ben:completes"},
		{"one person who denies twice", ":made ben:denies ben:denies", access.Denied, "ben:denies"},
		{"its principal", ":made ana:completes", access.Pending, "ana:completes"},
		{"somebody who was not asked", ":made dan:completes", access.Pending, "dan:completes"},
		{"more people after the decision", ":made ben:completes :added", access.Approved, ":added"},
		{"ended before it is approved", ":made :ends", access.Pending, ":ends"},
	} {
		t.Run(c.rule, func(t *testing.T) {
			got, stopped, err := fold(request(), c.events)
			if got.State != c.want || stopped != c.stops || (err != nil) != (c.stops != "") {
				t.Errorf("%q, stopped by %q (%v); want %q, %q", got.State, stopped, err, c.want, c.stops)
			}
			if e := access.AsError(err); e != nil && e.Kind != access.Conflict && e.Kind != access.NotAllowed {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestApplyRemembersWhatWasToldAndReviewed(t *testing.T) {
	r, _, err := fold(request(), ":made :reminded :escalated :escalated")
	if err != nil || !r.Reminded.Equal(r.Created) || r.Escalated != 2 {
		t.Errorf("%+v, %v", r, err)
	}
	glass, _, err := fold(request(), ":breaks :granted eve:reviews")
	if err != nil || glass.Review.By != "eve@example.com" || glass.Review.Comment != "was needed" || glass.Window.IsZero() {
		t.Errorf("%+v, %v", glass, err)
	}
	made, _, err := fold(glass, ":made")
	if err != nil || !made.Review.At.IsZero() || made.Escalated != 0 {
		t.Errorf("%+v, %v: a new request has no past", made, err)
	}
}

// A mail may say of everybody once that one to them came back, and of so many.
func TestABounceIsNewsOnce(t *testing.T) {
	r, _, err := fold(request(), ":made ben:bounced")
	if err != nil || r.Version != 2 || r.Bounces(access.Bounce{To: "ben@example.com"}) || !r.Bounces(access.Bounce{To: "cho@example.com"}) {
		t.Errorf("%+v, %v", r, err)
	}
	for len(r.Bounced) < access.MaxBounced {
		if r, err = r.Apply(event(r, strings.Repeat("x", len(r.Bounced))+"y:bounced")); err != nil {
			t.Fatal(err)
		}
	}
	if r.Bounces(access.Bounce{To: "cho@example.com"}) {
		t.Error("there is no end of them")
	}
	other := event(r, "cho:bounced")
	other.Request.ID = "mpa-9999999999999999"
	if _, err := r.Apply(other); err == nil {
		t.Error("that of another request is taken")
	}
}

// Whoever approves may allow less than was asked, and the least of all counts.
func TestApprovedForLess(t *testing.T) {
	less := func(by access.Principal, verdict access.Verdict, d time.Duration) access.Decision {
		return access.Decision{By: by, Verdict: verdict, Duration: d}
	}
	for _, c := range []struct {
		rule      string
		decisions []access.Decision
		want      time.Duration
	}{
		{"as asked", nil, time.Hour},
		{"by one of two", []access.Decision{less("b", access.Approve, 0), less("c", access.Approve, 20*time.Minute)}, 20 * time.Minute},
		{"by both", []access.Decision{less("b", access.Approve, 10*time.Minute), less("c", access.Approve, 20*time.Minute)}, 10 * time.Minute},
		{"never more", []access.Decision{less("b", access.Approve, 9*time.Hour)}, time.Hour},
		{"a denial says nothing of it", []access.Decision{less("b", access.Deny, time.Minute)}, time.Hour},
		{"less than nothing is nothing said", []access.Decision{less("b", access.Approve, -time.Minute)}, time.Hour},
	} {
		r := request()
		r.Duration, r.Decisions = time.Hour, c.decisions
		if got := r.Approved(); got != c.want {
			t.Errorf("%s: %v, want %v", c.rule, got, c.want)
		}
	}
}

func TestApplyKeepsWhatWasAskedAndCounts(t *testing.T) {
	r := request()
	r.State, r.Version, r.Decisions, r.Window = access.Active, 9, decided("eve+"), r.WindowAt(r.Created)
	made, _, err := fold(r, ":made")
	if err != nil || made.Version != 1 || made.Decisions != nil || !made.Window.IsZero() || made.FullDigest() != request().FullDigest() {
		t.Errorf("%+v, %v: a new request has no past", made, err)
	}
	two, err := made.Apply(event(request(), "ben:approves"))
	if err != nil || two.Version != 2 || len(two.Decisions) != 1 || len(made.Decisions) != 0 {
		t.Errorf("%+v, %v", two, err)
	}
	other := event(request(), "cho:completes")
	other.Request.ID = "mpa-AAAAAAAAAAAAAAAB"
	if _, err := two.Apply(other); err == nil {
		t.Error("applies to another request")
	}
	other = event(request(), "cho:completes")
	other.Decision.Digest = "of something else"
	if _, err := two.Apply(other); err == nil {
		t.Error("applies to something else than was shown")
	}
	more := event(request(), ":added")
	more.Request.Reviewers = append(more.Request.Reviewers, "dan@example.com")
	more.Request.Justification, more.Request.Duration = "another", 5*time.Hour
	three, err := two.Apply(more)
	if err != nil || len(three.Reviewers) != 3 || three.Digest() != made.Digest() || len(three.Decisions) != 1 {
		t.Errorf("%+v, %v: only who is asked changes", three, err)
	}
	if same, err := three.Apply(event(request(), ":refused")); err != nil || same.Version != three.Version {
		t.Errorf("%+v, %v", same, err)
	}
}

// Time alone moves what is remembered too, and the provider knows best.
func TestStateFollowsTheClockAndTheProvider(t *testing.T) {
	r := request()
	w := r.WindowAt(r.Created)
	early := access.Window{Start: w.Start, End: w.Start.Add(time.Minute)}
	held := func(w access.Window) []access.Activation { return []access.Activation{{Window: w}} }
	before, after := w.Start.Add(30*time.Minute), w.End
	for _, c := range []struct {
		rule, events string
		held         []access.Activation
		now          time.Time
		want         access.State
	}{
		{"open", ":made", nil, before, access.Pending},
		{"too late to decide", ":made", nil, r.Expires, access.Lapsed},
		{"denied stays denied", ":made ben:denies", nil, r.Expires, access.Denied},
		{"granted by somebody who remembers nothing", ":made", held(w), before, access.Active},
		{"and over", ":made", held(w), after, access.Expired},
		{"and ended", ":made", held(early), before, access.Ended},
		{"ended before it began", ":made", held(access.Window{Start: after, End: after}), before, access.Ended},
		{"approved, not written", ":made ben:completes", nil, before, access.Approved},
		{"approved, not written in time", ":made ben:completes", nil, after, access.Failed},
		{"approved, and the outcome never recorded", ":made ben:completes", held(w), before, access.Active},
		{"granted", ":made ben:completes :granted", held(w), before, access.Active},
		{"granted, and taken away by hand", ":made ben:completes :granted", nil, before, access.Ended},
		{"granted, and cleared", ":made ben:completes :granted", nil, after, access.Expired},
		{"ended, says the memory, and one role goes on", ":made ben:completes :granted :ends :ended", held(w), before, access.Active},
	} {
		t.Run(c.rule, func(t *testing.T) {
			r, _, err := fold(request(), c.events)
			if err != nil {
				t.Fatal(err)
			}
			if got := r.StateWith(c.held, c.now); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

// FuzzApply plays events in any order: what is not approved is never granted, what
// was denied stays so, and nobody counts twice.
func FuzzApply(f *testing.F) {
	words := strings.Fields(":made :self :added ben:approves ben:completes cho:completes ana:completes cho:denies :granted :delayed :failed :ends :ended :endfails :refused ben:later :withdraws :breaks eve:reviews :reminded :lapsed :expired")
	f.Add([]byte{0, 3, 5, 8, 11, 12})
	f.Add([]byte{1, 9, 8, 12, 8})
	f.Add([]byte{0, 7, 5, 8})
	f.Fuzz(func(t *testing.T, script []byte) {
		var r access.Request
		approved, denied := false, false
		for _, b := range script[:min(len(script), 40)] {
			word := words[int(b)%len(words)]
			next, err := r.Apply(event(request(), word))
			if err != nil {
				if next.State != r.State || next.Version != r.Version || next.ID != r.ID {
					t.Fatalf("%s changed %q and failed: %v", word, r.State, err)
				}
				continue
			}
			r = next
			approved = approved || word == ":self" || word == ":breaks" || word == "ben:later" || strings.HasSuffix(word, ":completes")
			denied = denied || word == "cho:denies" || word == ":withdraws" || word == ":lapsed"
			if (r.State == access.Active || r.State == access.Scheduled || r.State == access.Expired || r.State == access.Approved || r.State == access.Ended) && (!approved || denied) {
				t.Fatalf("%v: %q", script, r.State)
			}
			seen := map[access.Principal]bool{}
			for _, d := range r.Decisions {
				if d.Verdict == access.Approve && seen[d.By] || d.By == r.Principal {
					t.Fatalf("%v: %v", script, r.Decisions)
				}
				seen[d.By] = true
			}
		}
	})
}

// The table says one thing: of an event in a state no two rows hold.
func TestTransitionsAreOneEach(t *testing.T) {
	for _, word := range strings.Fields(":made :self :added ben:approves ben:completes ben:later cho:denies :granted :delayed :failed :ends :ended :endfails :withdraws :breaks eve:reviews :reminded :escalated :lapsed :expired") {
		seen := map[access.State]access.State{}
		e := event(request(), word)
		for _, row := range access.Transitions {
			later := e.Window.Start.After(e.At.Add(access.LeadTime))
			holds := map[access.Guard]bool{access.Always: true, access.Completes: !e.Window.IsZero() && !later, access.Later: later, access.Incomplete: e.Window.IsZero(),
				access.Passing: e.Err == passing, access.ForGood: e.Err == forGood}
			if row.On != e.Action || !holds[row.If] {
				continue
			}
			if to, twice := seen[row.From]; twice {
				t.Errorf("%s in %q leads to %q and %q", word, row.From, to, row.To)
			}
			seen[row.From] = row.To
		}
		if len(seen) == 0 {
			t.Errorf("%s leads nowhere", word)
		}
	}
}

// A link of ours that JIT Access 1.8.1 approved leaves a grant without our id, with
// the window that the link says.
func TestWhatJITAccess1ApprovedIsOfTheRequest(t *testing.T) {
	r := request()
	r.Entitlements = r.Entitlements[:1]
	there := access.Activation{RequestID: "mpa-derived", Derived: true, Principal: r.Principal, Entitlement: r.Entitlements[0],
		Window: r.WindowAt(r.Created), Approvers: []access.Principal{"ben@example.com"}}
	for _, c := range []struct {
		rule   string
		change func(*access.Activation, *access.Request)
		of     bool
	}{
		{"person, role, condition and window are the same", nil, true},
		{"the window of a later start", func(a *access.Activation, r *access.Request) {
			r.Start = r.Created.Add(2 * time.Hour)
			a.Window = access.Window{Start: r.Start, End: r.Start.Add(r.Duration)}
		}, true},
		{"the window of a request that 1.x made", func(a *access.Activation, r *access.Request) {
			r.Fixed = access.Window{Start: r.Created.Add(time.Second), End: r.Created.Add(30 * time.Minute)}
			a.Window = r.Fixed
		}, true},
		{"ended early", func(a *access.Activation, _ *access.Request) { a.Window.End = a.Window.Start }, true},
		{"of another request of ours that was ended, at the same start", func(a *access.Activation, _ *access.Request) {
			a.RequestID, a.Derived, a.Window.End = "mpa-AAAAAAAAAAAAAAAB", false, a.Window.Start
		}, false},
		{"of a justification that ends like an id", func(a *access.Activation, r *access.Request) {
			a.RequestID, a.Derived, a.Justification, r.Justification = "mpa-AAAAAAAAAAAAAAAB", false, "x", "x [mpa-AAAAAAAAAAAAAAAB]"
		}, true},
		{"of another request of ours, which the justification names", func(a *access.Activation, r *access.Request) {
			a.RequestID, a.Derived, a.Justification, r.Justification = "mpa-AAAAAAAAAAAAAAAB", false, "y", "x [mpa-AAAAAAAAAAAAAAAB]"
		}, false},
		{"a longer window", func(a *access.Activation, _ *access.Request) { a.Window.End = a.Window.End.Add(time.Second) }, false},
		{"a window from another moment", func(a *access.Activation, _ *access.Request) { a.Window.Start = a.Window.Start.Add(time.Second) }, false},
		{"another person", func(a *access.Activation, _ *access.Request) { a.Principal = "dan@example.com" }, false},
		{"another role", func(a *access.Activation, _ *access.Request) { a.Entitlement.Role = "roles/z" }, false},
		{"another condition", func(a *access.Activation, _ *access.Request) { a.Entitlement.Condition = "b" }, false},
		{"activated without others", func(a *access.Activation, _ *access.Request) { a.Approvers = nil }, false},
		{"of another request of ours", func(a *access.Activation, _ *access.Request) { a.RequestID, a.Derived = "mpa-AAAAAAAAAAAAAAAB", false }, false},
		{"a link of several roles, which 1.8.1 refuses", func(_ *access.Activation, r *access.Request) {
			r.Entitlements = append(r.Entitlements, access.EntitlementID{Resource: "projects/p", Role: "roles/y"})
		}, false},
	} {
		t.Run(c.rule, func(t *testing.T) {
			a, r := there, r
			if c.change != nil {
				c.change(&a, &r)
			}
			if got := (access.Standing{Activations: []access.Activation{a}}).OfRequest(r); (len(got) == 1) != c.of {
				t.Errorf("%+v of %+v: %v", a, r, got)
			}
		})
	}
}

// A broken glass waits for its review from when it is broken, whatever becomes of it, but
// for what came to nothing.
func TestWhatWaitsForAReview(t *testing.T) {
	for events, want := range map[string]bool{
		":made": false, ":made ben:completes :granted": false, ":self :granted": false,
		":breaks": true, ":breaks :granted": true, ":breaks :granted :expired": true, ":breaks :granted :ends :ended": true, ":breaks :delayed": true,
		":breaks :failed": false, ":breaks :failed :granted": true, ":breaks :granted eve:reviews": false, ":breaks eve:reviews :granted": false,
	} {
		r, stopped, err := fold(request(), events)
		if err != nil || r.Unreviewed() != want {
			t.Errorf("%s: %v, want %v (%s, %v)", events, r.Unreviewed(), want, stopped, err)
		}
	}
	if (access.Request{Kind: access.BreakGlass}).Unreviewed() {
		t.Error("what was not made waits for a review")
	}
}

// Being at the administration page counts where it approves, and where others are named it
// does not.
func TestWhoIsAtTheAdministrationPageIsInvolved(t *testing.T) {
	page := access.Requirement{Count: 1, From: []string{access.FromAdminPage}}
	people := access.Requirement{Count: 1, From: []string{access.FromPeers}}
	for name, c := range map[string]struct {
		requirements []access.Requirement
		who          access.Principal
		as           []string
		want         access.Code
	}{
		"at the page, which approves":           {[]access.Requirement{page}, "eve@example.com", []string{access.FromAdminPage}, ""},
		"at the page, and it is their own":      {[]access.Requirement{page}, "ana@example.com", []string{access.FromAdminPage}, access.CodeOwnRequest},
		"elsewhere, where the page approves":    {[]access.Requirement{page}, "eve@example.com", nil, access.CodeDecideAtAdmin},
		"at the page, where others are named":   {[]access.Requirement{people}, "eve@example.com", []string{access.FromAdminPage}, access.CodeNotInvolved},
		"at the page, and named as one of them": {[]access.Requirement{people}, "ben@example.com", []string{access.FromAdminPage}, ""},
	} {
		r := access.Request{Principal: "ana@example.com", Reviewers: []access.Principal{"ben@example.com"}, Terms: access.Terms{Requirements: c.requirements}}
		err := r.Involves(c.who, c.as...)
		var code access.Code
		if err != nil {
			code = access.AsError(err).Code
		}
		if code != c.want {
			t.Errorf("%s: %q, want %q", name, code, c.want)
		}
	}
}
