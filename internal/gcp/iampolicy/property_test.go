package iampolicy_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/gcp/iampolicy"
)

// world makes up policies and edits from a seed.
type world struct {
	*rand.Rand
	foreign map[string]bool // raw bindings that are not ours
	ids     []string
	count   int
}

func pick[T any](w *world, from ...T) T { return from[w.IntN(len(from))] }

func (w *world) person() access.Principal {
	return pick[access.Principal](w, "alice@example.com", "bob@example.com", "o'neil@example.com")
}

func (w *world) entitlement() access.EntitlementID {
	return access.EntitlementID{Resource: shop, Role: pick[access.Role](w, "roles/run.admin", "roles/run.viewer", "projects/shop/roles/deploy"),
		Condition: pick(w, "", "", `resource.name == "a"`)}
}

func (w *world) window() access.Window {
	start := at("00:00").Add(time.Duration(w.IntN(20*60)) * time.Minute)
	return access.Window{Start: start, End: start.Add(time.Duration(w.IntN(180)) * time.Minute)}
}

func (w *world) description() string {
	w.count++
	id := fmt.Sprintf("%s-%016d", pick(w, "jit", "mpa", "brk"), w.count)
	w.ids = append(w.ids, id)
	return pick(w, "Self-approved, justification: x", "Approved by bob@example.com, justification: x", "Break glass, justification: x", "by hand", "") + pick(w, "", " ["+id+"]", " ["+id+"]")
}

// binding is a raw binding of a random sort, with odd spaces and unknown fields.
func (w *world) binding() string {
	id, window := w.entitlement(), w.window()
	text := expression(window.Start, window.End, id.Condition)
	mark := fmt.Sprintf(`"n%d" : [%d,  1.0e%d]`, w.IntN(9), w.IntN(9), w.IntN(999))
	members := []string{"user:" + string(w.person())}
	title := iampolicy.Title
	ours := true
	switch w.IntN(10) {
	case 0:
		members = append(members, pick(w, "group:a@example.com", "deleted:user:alice@example.com?uid=1", "user:zoe@example.com"))
	case 1:
		members, ours = []string{pick(w, "group:a@example.com", "deleted:user:alice@example.com?uid=1", "serviceAccount:x@p.iam.gserviceaccount.com")}, false
		ours = strings.HasPrefix(members[0], "deleted:") // cleared when over
	case 2:
		title, ours = pick(w, "", "temporary", "jit access activation"), false
	case 3:
		text, ours = pick(w, `has({}.jitAccessConstraint)`, "has({}.multiPartyApprovalConstraint) && "+text, `true`, `request.time < timestamp("2020-01-01T00:00:00Z")`, "(("), false
	case 4:
		raw := fmt.Sprintf(`{ %s,"members":["user:%s","allUsers"] ,"role":"%s"}`, mark, w.person(), id.Role)
		w.foreign[raw] = true
		return raw
	}
	raw := strings.Replace(binding(string(id.Role), title, w.description(), text, members...), `"note"`, mark+` ,  "note"`, 1)
	if !ours {
		w.foreign[raw] = true
	}
	return raw
}

// moment is a person having an entitlement at a time.
type moment struct {
	who  access.Principal
	what access.EntitlementID
	when time.Time
}

// reach is who has what of ours in moments from now on.
func reach(p *iampolicy.Policy, now time.Time) map[moment]bool {
	moments := map[moment]bool{}
	activations, _ := p.Activations(shop)
	for _, a := range activations {
		for m := now; m.Before(a.Window.End); m = m.Add(5 * time.Minute) {
			if a.Window.Contains(m) {
				moments[moment{a.Principal, a.Entitlement, m}] = true
			}
		}
	}
	return moments
}

// Whatever is granted and ended, in whatever policy: the bindings of others keep
// their bytes and their order, and nobody else's access changes.
func TestThreat34_EditsLeaveForeignBindingsAlone(t *testing.T) {
	for seed := range uint64(60) {
		w := &world{Rand: rand.New(rand.NewPCG(seed, 34)), foreign: map[string]bool{}}
		var bindings []string
		for range w.IntN(25) {
			bindings = append(bindings, w.binding())
		}
		const rest = `"auditConfigs":[ {"service" : "allServices"} ], "x":{"y":[1 , 2]}`
		p := mustParse(t, `{"version":1,"etag":"e", "bindings":[ `+strings.Join(bindings, " ,\n ")+` ],`+rest+` }`)
		for step := range 8 {
			now := at("00:00").Add(time.Duration(w.IntN(22*60)) * time.Minute)
			before := reach(p, now)
			who := w.person()
			what, next := w.edit(t, p, who, now)
			if got, want := w.onlyForeign(t, next), w.onlyForeign(t, p); !slices.Equal(got, want) {
				t.Fatalf("seed %d, step %d, %s:\n got %q\nwant %q", seed, step, what, got, want)
			}
			if body := mustBody(t, next); !strings.HasSuffix(body, `"auditConfigs":[ {"service" : "allServices"} ],"x":{"y":[1 , 2]}}}`) {
				t.Fatalf("seed %d, step %d, %s: %s", seed, step, what, body)
			}
			after := reach(next, now)
			for m := range before {
				if !after[m] && !(strings.HasPrefix(what, "end") && m.who == who) {
					t.Fatalf("seed %d, step %d, %s: lost %v", seed, step, what, m)
				}
			}
			for m := range after {
				if !before[m] && !(strings.HasPrefix(what, "grant") && m.who == who) {
					t.Fatalf("seed %d, step %d, %s: gained %v", seed, step, what, m)
				}
			}
			p = mustParse(t, strings.TrimSuffix(strings.TrimPrefix(mustBody(t, next), `{"policy":`), "}")) // as Google gives it back
		}
	}
}

// edit makes a random edit for a person.
func (w *world) edit(t *testing.T, p *iampolicy.Policy, who access.Principal, now time.Time) (string, *iampolicy.Policy) {
	if w.IntN(3) == 0 {
		activations, _ := p.Activations(shop)
		for _, i := range w.Perm(len(activations)) {
			if a := activations[i]; a.Principal == who {
				next, outcome := p.End(access.Ending{RequestID: a.RequestID, Principal: who, Resource: shop, At: now}, a.Entitlement, now)
				if outcome.Result != access.Removed {
					t.Fatalf("ending %+v: %+v", a, outcome)
				}
				return fmt.Sprintf("end %s of %s at %s", a.RequestID, who, now), next
			}
		}
	}
	g := access.Grant{RequestID: fmt.Sprintf("jit-%016d", w.IntN(1e9)), Principal: who, Resource: shop, Justification: "x",
		Window: access.Window{Start: now, End: now.Add(time.Duration(1+w.IntN(90)) * time.Minute)}}
	switch w.IntN(4) {
	case 0:
		g.RequestID, g.BreakGlass = "brk"+g.RequestID[3:], true
	case 1, 2:
		g.RequestID, g.Approvers = "mpa"+g.RequestID[3:], []access.Principal{"carol@example.com"}
	}
	if len(w.ids) > 0 && w.IntN(4) == 0 {
		g.RequestID = pick(w, w.ids...)
	}
	id := w.entitlement()
	next, outcome := p.Grant(g, id, now)
	if outcome.Result == access.Refused {
		t.Fatalf("granting %+v: %v", g, outcome.Err)
	}
	if outcome.Result == access.AlreadyGranted && next != p {
		t.Fatalf("granting %+v again changed the policy", g)
	}
	return fmt.Sprintf("grant %s of %s to %s at %s", g.RequestID, id, who, now), next
}

// onlyForeign are the raw bindings of others in order.
func (w *world) onlyForeign(t *testing.T, p *iampolicy.Policy) []string {
	return slices.DeleteFunc(raw(t, p), func(b string) bool { return !w.foreign[b] })
}
