package iampolicy_test

import (
	"bytes"
	"slices"
	"testing"

	"jitaccess/internal/access"
	"jitaccess/internal/gcp/iampolicy"
)

// A grant whose resource condition ends it is shown to that end, and ends then, whoever
// wrote it: earlier versions, and JIT Access 1.x, wrote a longer window.
func TestAGrantEndsWithItsOwnCondition(t *testing.T) {
	const ends = `request.time < timestamp("2026-03-02T12:30:00Z")`
	for window, want := range map[string]string{"13:00": "12:30", "12:30": "12:30", "12:10": "12:10"} {
		p := mustParse(t, policy(binding("roles/run.admin", iampolicy.Title, peer, expression(at("12:00"), at(window), ends), alice)))
		found, warnings := p.Activations(shop)
		if len(found) != 1 || len(warnings) > 0 || !found[0].Window.End.Equal(at(want)) || !found[0].Until.Equal(at("12:30")) ||
			found[0].Entitlement.Condition != ends {
			t.Errorf("%s: %+v, %v", window, found, warnings)
			continue
		}
		// Ending finds it, and says the end that it has.
		_, outcome := p.End(access.Ending{RequestID: found[0].RequestID, Principal: "alice@example.com", Resource: shop, At: at("12:45")}, found[0].Entitlement, at("12:45"))
		if outcome.Result != access.Removed || outcome.Window.End.After(at("12:30")) {
			t.Errorf("%s: ending it: %+v", window, outcome)
		}
		g := access.Grant{RequestID: found[0].RequestID, Principal: "alice@example.com", Resource: shop, Entitlements: []access.EntitlementID{found[0].Entitlement},
			Window: found[0].Window, Justification: "x", Approvers: found[0].Approvers}
		if _, outcome := p.Grant(g, found[0].Entitlement, at("12:05")); outcome.Result != access.AlreadyGranted || outcome.Window != found[0].Window {
			t.Errorf("%s: granting it again: %+v", window, outcome)
		}
	}
}

// A policy read after another says what it says, and keeps nothing of the other.
func TestReparseIsParse(t *testing.T) {
	a := binding("roles/a", iampolicy.Title, self, expression(at("12:00"), at("13:00"), ""), alice)
	b := binding("roles/b", "any", "", "has({}.jitAccessConstraint)", alice, "domain:example.com")
	c := binding("roles/c", "any", "", `resource.name == "c"`, alice)
	changed := binding("roles/b", "any", "", "has({}.multiPartyApprovalConstraint)", "user:bob@example.com")
	for _, next := range [][]string{{a, b, c}, {b, c}, {a, c}, {c, b, a}, {a, changed, c}, {a, a, b, b, c}, {changed}, {}} {
		before := []byte(policy(a, b, c))
		p := mustParse(t, string(before))
		q, err := p.Reparse([]byte(policy(next...)))
		if err != nil {
			t.Fatal(err)
		}
		copy(before, bytes.Repeat([]byte{'x'}, len(before)))
		fresh := mustParse(t, policy(next...))
		if got, want := mustBody(t, q), mustBody(t, fresh); got != want {
			t.Errorf("%s, want %s", got, want)
		}
		gotRows, gotWrong := q.Eligible(shop, shop, false)
		wantRows, wantWrong := fresh.Eligible(shop, shop, false)
		if len(gotRows) != len(wantRows) || len(gotWrong) != len(wantWrong) {
			t.Errorf("%d rows and %d that are wrong, want %d and %d", len(gotRows), len(gotWrong), len(wantRows), len(wantWrong))
		}
		for i := range min(len(gotRows), len(wantRows)) {
			if gotRows[i].ID != wantRows[i].ID || gotRows[i].Kind != wantRows[i].Kind || !slices.Equal(gotRows[i].Members, wantRows[i].Members) {
				t.Errorf("row %d is %+v, want %+v", i, gotRows[i], wantRows[i])
			}
		}
		got, _ := q.Activations(shop)
		want, _ := fresh.Activations(shop)
		if len(got) != len(want) {
			t.Errorf("%d activations, want %d", len(got), len(want))
		}
	}
	if _, err := mustParse(t, policy(a)).Reparse([]byte(`{"bindings":[{"role":1}]}`)); err == nil {
		t.Error("what is no policy is read after one that is")
	}
}
