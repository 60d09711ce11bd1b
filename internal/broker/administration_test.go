package broker_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/broker/brokertest"
)

// unlisted is a broker over rooms, of which nobody is named who approves unless named says so.
func unlisted(t *testing.T, admins []string, named bool) (*world, *brokertest.Rooms, *broker.Broker) {
	t.Helper()
	w, _ := withLedger(t)
	w.Admins, w.Origin = admins, "https://jit.example.com"
	rooms := &brokertest.Rooms{People: []access.Principal{ana, ben, cho}}
	return w, rooms, w.BrokerOf(w.Registration(), broker.Registration{Provider: rooms, Name: "Rooms", Kinds: brokertest.RoomKinds,
		Unnamed: func() bool { return !named }})
}

func askForLab(reviewers ...string) broker.Ask {
	a := ask()
	a.Kind, a.Resource, a.Entitlements, a.Reviewers = access.Peers, lab, []access.EntitlementID{labKey}, reviewers
	return a
}

func at(p access.Principal) access.Caller {
	c := caller(p)
	c.AtAdmin = true
	return c
}

// Who decides and ends where nothing but the path is known of who approves, and through which
// door; what a policy file or ADMINS says is the same at every door.
func TestWhoDecidesWhereNobodyIsNamed(t *testing.T) {
	admins := []string{"user:dan@example.com"}
	type act struct {
		do   string // "approve", "deny", "end", "show"
		by   access.Caller
		want string // a state, "shown", or the code of the refusal
	}
	for _, c := range []struct {
		rule   string
		admins []string
		named  bool
		asks   []string
		asked  string // the code of the refusal
		acts   []act
	}{
		{"whoever is at the page approves, and ends", nil, false, nil, "",
			[]act{{"show", at(eve), "shown"}, {"approve", at(eve), "active"}, {"end", at(eve), "ended"}}},
		{"another there ends it too", nil, false, nil, "", []act{{"approve", at(eve), "active"}, {"end", at(fay), "ended"}}},
		{"denies", nil, false, nil, "", []act{{"deny", at(eve), "denied"}, {"approve", at(fay), "already-denied"}}},
		{"nobody elsewhere", nil, false, nil, "", []act{{"show", caller(eve), "decide-at-admin"}, {"approve", caller(eve), "decide-at-admin"},
			{"deny", caller(eve), "decide-at-admin"}, {"approve", at(eve), "active"}, {"end", caller(eve), "decide-at-admin"},
			{"end", caller(fay), "decide-at-admin"}}},
		{"not a colleague who could ask for the same", nil, false, nil, "", []act{{"approve", caller(ben), "decide-at-admin"}}},
		{"never the requester", nil, false, nil, "", []act{{"approve", at(ana), "own-request"}, {"deny", at(ana), "own-request"}}},
		{"who has it ends it anywhere", nil, false, nil, "", []act{{"approve", at(eve), "active"}, {"end", caller(ana), "ended"}}},
		{"nobody is asked by name", nil, false, []string{"ben@example.com"}, "reviewer-not-eligible", nil},

		{"admins, at every door", admins, false, nil, "", []act{{"show", caller(dan), "shown"}, {"approve", caller(dan), "active"}, {"end", caller(dan), "ended"}}},
		{"and at the page", admins, false, []string{"dan@example.com"}, "", []act{{"approve", at(dan), "active"}, {"end", at(dan), "ended"}}},
		{"nobody else at the page", admins, false, nil, "", []act{{"show", at(eve), "not-involved"}, {"approve", at(eve), "not-involved"},
			{"approve", caller(dan), "active"}, {"end", at(eve), "no-grant"}}},
		{"no peer is asked", admins, false, []string{"ben@example.com"}, "reviewer-not-eligible", nil},
		{"an admin asks another", []string{"user:dan@example.com", "user:ana@example.com"}, false, nil, "",
			[]act{{"approve", caller(ana), "own-request"}, {"approve", caller(dan), "active"}}},

		{"a file that names people, at every door", nil, true, []string{"ben@example.com"}, "",
			[]act{{"approve", at(eve), "not-involved"}, {"approve", caller(ben), "active"}, {"end", at(eve), "no-grant"}, {"end", caller(ben), "ended"}}},
		{"of peers somebody is asked", nil, true, nil, "few-reviewers", nil},
	} {
		t.Run(c.rule, func(t *testing.T) {
			_, rooms, b := unlisted(t, c.admins, c.named)
			asked, err := b.Ask(t.Context(), caller(ana), askForLab(c.asks...))
			if got := string(codeOf(err)); got != c.asked {
				t.Fatalf("asking: %q, %v; want %q", got, err, c.asked)
			}
			page := err == nil && strings.HasPrefix(asked.ReviewURL, "https://jit.example.com/admin/review?")
			if want := c.asked == "" && c.admins == nil && !c.named; page != want {
				t.Errorf("the link is %q", asked.ReviewURL)
			}
			for i, a := range c.acts {
				var err error
				got := "shown"
				d := broker.Decide{Ref: asked.Ref, Verdict: access.Verdict(a.do)}
				switch a.do {
				case "show":
					var v broker.View
					if v, err = b.Show(t.Context(), a.by, asked.Ref, ""); err == nil && !v.CanDecide {
						t.Errorf("shown, and not to be decided: %v", v.WhyNot)
					}
				case "end":
					_, err = b.End(t.Context(), a.by, lab, asked.Request.ID, "")
					got = "ended"
				default:
					if d.Verdict == access.Deny {
						d.Comment = "not now"
					}
					var decided broker.Decided
					decided, err = b.Decide(t.Context(), a.by, d)
					got = string(decided.State)
				}
				if err != nil {
					got = string(codeOf(err))
				}
				if got != a.want {
					t.Fatalf("%d, %s by %s: %q, %v; want %q", i+1, a.do, a.by.Principal, got, err, a.want)
				}
				stands := len(rooms.Open) > 0
				if wants := slices.ContainsFunc(c.acts[:i+1], func(a act) bool { return a.want == "active" }); stands != wants {
					t.Fatalf("%d: %v stands", i+1, rooms.Open)
				}
			}
		})
	}
}

// What an instance that ended had not written is written by a sweep, which is at no page.
func TestWhatWasApprovedAtThePageIsWrittenLater(t *testing.T) {
	w, rooms, b := unlisted(t, nil, false)
	if _, err := b.Sweep(t.Context(), broker.SweepCount); err != nil {
		t.Fatal(err)
	}
	a := askForLab()
	a.Start = w.Clock.Add(time.Hour)
	asked, err := b.Ask(t.Context(), caller(ana), a)
	if err != nil {
		t.Fatal(err)
	}
	decided, err := b.Decide(t.Context(), at(eve), broker.Decide{Ref: asked.Ref, Verdict: access.Approve})
	if err != nil || decided.State != access.Scheduled || len(rooms.Open) != 0 {
		t.Fatalf("%s, %v, %v", decided.State, rooms.Open, err)
	}
	w.Clock = w.Clock.Add(50 * time.Minute)
	if done, err := b.Sweep(t.Context(), broker.SweepCount); err != nil || done.Finished != 1 || len(rooms.Open) != 1 {
		t.Fatalf("%+v, %v, %v", done, rooms.Open, err)
	}
}

// What the page lists is what its visitor may decide and end, and nothing to others.
func TestAdministrationListsWhatMayBeDone(t *testing.T) {
	for _, c := range []struct {
		rule            string
		admins          []string
		named           bool
		by              access.Caller
		waiting, active int
		guarded         bool
	}{
		{"at the page, all", nil, false, at(eve), 1, 1, true},
		{"elsewhere nothing", nil, false, caller(eve), 0, 0, true},
		{"an admin, all", []string{"user:dan@example.com"}, false, caller(dan), 1, 1, false},
		{"another at the page nothing", []string{"user:dan@example.com"}, false, at(eve), 0, 0, false},
		{"who was asked, what waits for them and what they approved", nil, true, caller(ben), 1, 1, false},
		{"who was not asked nothing", nil, true, at(cho), 0, 0, false},
	} {
		t.Run(c.rule, func(t *testing.T) {
			w, rooms, b := unlisted(t, c.admins, c.named)
			var asks []string
			if c.named {
				asks = []string{"ben@example.com"}
			}
			for _, p := range []access.Principal{ana, fay} {
				rooms.People = append(rooms.People, p)
				if _, err := b.Ask(t.Context(), caller(p), askForLab(asks...)); err != nil {
					t.Fatal(err)
				}
			}
			approver := map[bool]access.Caller{true: caller(ben), false: at(dan)}[c.named]
			all, err := b.Administration(t.Context(), approver)
			if err != nil || len(all.Waiting) != 2 {
				t.Fatalf("%+v, %v", all, err)
			}
			if _, err := b.Decide(t.Context(), approver, broker.Decide{Ref: all.Waiting[0].ID, Verdict: access.Approve}); err != nil {
				t.Fatal(err)
			}
			rooms.Open = append(rooms.Open, access.Activation{RequestID: "over", Principal: cho, Entitlement: labKey, Approvers: []access.Principal{ben},
				Window: access.Window{Start: w.Clock.Add(-time.Hour), End: w.Clock}})
			found, err := b.Administration(t.Context(), c.by)
			if err != nil || len(found.Waiting) != c.waiting || len(found.Active) != c.active || found.Guarded != c.guarded {
				t.Errorf("%d wait, %d are active, guarded %v, %v", len(found.Waiting), len(found.Active), found.Guarded, err)
			}
		})
	}
}
