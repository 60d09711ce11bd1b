package iampolicy_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/eligibility"
	"jitaccess/internal/gcp/condition"
	"jitaccess/internal/gcp/iampolicy"
)

// Threat 35: grants that overlap, follow each other, are sent again or are ended, of
// one person or of several. What people have is what each accepted grant gave, no more
// and no less; a request gives its window once, whatever window it is sent with again;
// and nobody holds more bindings of a role than IAM takes.
func TestThreat35_StackingGivesWhatWasGrantedAndNoMore(t *testing.T) {
	for seed := range uint64(8) {
		w := &world{Rand: rand.New(rand.NewPCG(seed, 35))}
		p := mustParse(t, `{"version":3,"etag":"e","bindings":[]}`)
		var given []access.Window
		type key struct {
			request string
			who     access.Principal
			what    access.EntitlementID
		}
		var keys []key
		now := at("00:00")
		for step := range 60 {
			now = now.Add(time.Duration(w.IntN(4)) * time.Minute)
			g := access.Grant{RequestID: fmt.Sprintf("jit-%016d", w.IntN(50)), Principal: pick[access.Principal](w, "alice@example.com", "bob@example.com"),
				Resource: shop, Justification: "x"}
			g.Window.Start = now.Add(time.Duration(w.IntN(3)*w.IntN(30)) * time.Minute)
			g.Window.End = g.Window.Start.Add(time.Duration(5*(1+w.IntN(24))) * time.Minute)
			if w.IntN(3) == 0 {
				g.RequestID, g.Approvers = "mpa"+g.RequestID[3:], []access.Principal{"carol@example.com"}
			}
			id := access.EntitlementID{Resource: shop, Role: "roles/run.admin", Condition: pick(w, "", `resource.name == "a"`)}
			k := key{g.RequestID, g.Principal, id}
			last := -1 // of what this very request has given
			for i := range keys {
				if keys[i] == k {
					last = i
				}
			}
			next, outcome := p.Grant(g, id, now)
			what := fmt.Sprintf("seed %d, step %d, %v %v at %s", seed, step, k, g.Window, now)
			switch outcome.Result {
			case access.Granted:
				if last >= 0 && len(g.Approvers) > 0 {
					t.Errorf("%s: one approval has given %v and this", what, given[last])
				}
				for i := range given { // what it wholly covers becomes part of it
					if keys[i].who == k.who && keys[i].what == k.what && strings.HasPrefix(keys[i].request, "jit-") &&
						given[i].End.After(now) && !given[i].End.After(g.Window.End) && (given[i].Start.Before(now) && !now.Before(g.Window.Start) || !given[i].Start.Before(g.Window.Start)) {
						given[i] = access.Window{}
					}
				}
				keys, given, last = append(keys, k), append(given, g.Window), len(given)
			case access.AlreadyGranted:
				if next != p || last < 0 || outcome.Window != given[last] {
					t.Errorf("%s: sent again it is %v", what, outcome.Window)
				}
			default:
				if outcome.Err.Code != access.CodeTooManyGrants && outcome.Err.Code != access.CodeTooManyRecords {
					t.Errorf("%s: %v", what, outcome.Err)
				}
			}
			p = next
			if w.IntN(6) == 0 && last >= 0 && given[last].End.After(now) {
				p, _ = p.End(access.Ending{RequestID: g.RequestID, Principal: g.Principal, Resource: shop, At: now}, id, now)
				if given[last].End = now; given[last].Start.After(now) {
					given[last].End = given[last].Start
				}
			}
			want := map[moment]bool{}
			for i, window := range given {
				for m := now; m.Before(window.End); m = m.Add(5 * time.Minute) {
					if window.Contains(m) {
						want[moment{keys[i].who, keys[i].what, m}] = true
					}
				}
			}
			if got := reach(p, now); !maps.Equal(got, want) {
				t.Fatalf("%s: %d moments, want %d", what, len(got), len(want))
			}
			held := map[string]int{}
			for _, b := range p.Bindings() {
				if held[b.Members[0]]++; held[b.Members[0]] > iampolicy.MaxSameRole {
					t.Fatalf("%s: %d bindings of a role", what, held[b.Members[0]])
				}
			}
		}
	}
}

// Threat 42, of somebody who decides what stands in a resource condition: a grant makes
// nobody eligible, now or once it is over, however the condition hides a marker.
func TestThreat42_AGrantMakesNobodyEligible(t *testing.T) {
	markers := []string{`has({}.jitAccessConstraint)`, `has({}.multiPartyApprovalConstraint.dba)`, `has({}.reviewerPrivilege)`, `HAS({}.ExternalApprovalConstraint)`}
	disguises := []string{`%s`, `(%s)`, `((%s))`, `(%s) && a`, `a && (%s)`, `a && (b && %s)`, `(%s && a) || b`, `"%s" == a`, `!(%s)`, "a // )) && %s", "(%s\n// x\n)",
		`%s || true`, `a ? %s : b`, `(a) && (%s)`, `a) && %s && (a`, `[%s][0]`, "(%s) //"}
	written := 0
	for _, marker := range markers {
		for _, disguise := range disguises {
			text := fmt.Sprintf(disguise, marker)
			for _, approvers := range [][]access.Principal{nil, {"carol@example.com"}} {
				g := grantC()
				g.Approvers = approvers
				p := mustParse(t, policy())
				next, outcome := p.Grant(g, access.EntitlementID{Resource: shop, Role: "roles/run.admin", Condition: text}, at("12:00"))
				if outcome.Result == access.Refused {
					continue
				}
				written++
				if ended, _ := next.End(access.Ending{RequestID: g.RequestID, Principal: g.Principal, Resource: shop, At: at("12:01")}, outcome.Entitlement, at("12:01")); ended != next {
					next = ended
				}
				for _, b := range next.Bindings() {
					if e, err := condition.ParseEligibility(b.Condition.Expression); e.Kind != eligibility.None || err != nil {
						t.Errorf("%q was written as %q: %+v, %v", text, b.Condition.Expression, e, err)
					}
				}
			}
		}
	}
	if written < 50 {
		t.Errorf("only %d were written", written)
	}
}
