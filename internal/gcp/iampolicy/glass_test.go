package iampolicy_test

import (
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/gcp/iampolicy"
)

func glass(id string, start, end time.Time) access.Grant {
	return access.Grant{RequestID: id, Principal: "alice@example.com", Resource: shop, Justification: "down", BreakGlass: true,
		Window: access.Window{Start: start, End: end}}
}

// A broken glass is no self-approval: what covers it does not take its place, ended early
// it stays as a record, and it stays for as long as a form or a link would, so that a
// ledger that was out of reach finds it.
func TestABrokenGlassIsNoSelfApproval(t *testing.T) {
	first := glass("brk-0000000000000001", at("10:00"), at("11:00"))
	p, outcome := mustParse(t, policy()).Grant(first, runAdmin, at("10:00"))
	if outcome.Result != access.Granted {
		t.Fatal(outcome.Err)
	}
	self := access.Grant{RequestID: "jit-0000000000000002", Principal: "alice@example.com", Resource: shop, Justification: "x",
		Window: access.Window{Start: at("10:00"), End: at("12:00")}}
	covered, outcome := p.Grant(self, runAdmin, at("10:10"))
	if found, _ := covered.Activations(shop); outcome.Result != access.Granted || len(found) != 2 || !found[0].BreakGlass || found[1].BreakGlass {
		t.Errorf("covered: %+v", found)
	}
	// Others that end later leave it alone, as do all writes within six hours.
	for _, c := range []struct {
		now  string
		want bool
	}{{"10:30", true}, {"12:02", true}, {"16:00", true}, {"16:02", false}} {
		ended, _ := p.End(access.Ending{RequestID: first.RequestID, Principal: first.Principal, Resource: shop, At: at("10:20")}, runAdmin, at("10:20"))
		now := at(c.now)
		next, outcome := ended.Grant(access.Grant{RequestID: "jit-0000000000000003", Principal: "alice@example.com", Resource: shop, Justification: "x",
			Window: access.Window{Start: now, End: now.Add(time.Minute)}}, runAdmin, now)
		found, _ := next.Activations(shop)
		stands := len(found) == 2 && found[0].BreakGlass && found[0].Window.End.Equal(at("10:20"))
		if outcome.Result != access.Granted || stands != c.want {
			t.Errorf("at %s: %+v", c.now, found)
		}
	}
	// One of six hours stays for as long as its form could be sent.
	long, _ := mustParse(t, policy()).Grant(glass("brk-0000000000000004", at("10:00"), at("16:00")), runAdmin, at("10:00"))
	for _, c := range []struct {
		now  string
		want int
	}{{"16:30", 2}, {"17:02", 1}} {
		next, _ := long.Grant(approved(1, at(c.now)), runAdmin, at(c.now))
		if found, _ := next.Activations(shop); len(found) != c.want {
			t.Errorf("at %s: %+v", c.now, found)
		}
	}
}

// What is granted is what stands there: a binding that says something else is not it.
func TestABindingSaysThatTheGlassWasBroken(t *testing.T) {
	text, err := iampolicy.Describe(glass("brk-0000000000000001", at("10:00"), at("11:00")), iampolicy.MaxDescription)
	if err != nil || text != "Break glass, justification: down [brk-0000000000000001]" {
		t.Errorf("%q, %v", text, err)
	}
	if got := find(t, "Break glass, justification: x"); !got.BreakGlass || access.KindOfID(got.RequestID) != access.BreakGlass {
		t.Errorf("without an id: %+v", got)
	}
}
