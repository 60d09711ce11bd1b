package load_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
)

var historyCount = flag.Int("histories", 80, "how many requests are decided by three instances at the same time, and their histories checked")

// call is what somebody does with a request.
type call struct {
	id   string
	what string // ask, approve, deny, withdraw, show
	by   access.Principal
	// needs is how many approvals the request takes.
	needs int
}

// answer is what they heard: a state, or the code of a refusal.
type answer struct {
	state access.State
	// approved are who had approved, where that was shown.
	approved people
	refused  access.Code
}

// people are those who may approve, a bit each.
type people uint8

func of(p access.Principal) people { return 1 << slices.Index(approvers, p) }

func (p people) count() (n int) {
	for ; p > 0; p >>= 1 {
		n += int(p & 1)
	}
	return n
}

// request is one as the model has it.
type request struct {
	state    access.State
	approved people
	denied   access.Principal
}

// step is the model: what a request may answer when calls come one after the other. That
// somebody else was quicker changes nothing, and is judged by conflicts.
func step(r request, c call, a answer) (bool, request) {
	refusals := map[access.State]access.Code{access.Active: access.CodeAlreadyApproved, access.Denied: access.CodeAlreadyDenied,
		access.Withdrawn: access.CodeWithdrawn}
	refused := a == answer{refused: refusals[r.state]} && r.state != access.Pending
	is := func(s access.State) bool { return a == answer{state: s} }
	switch {
	case a.refused == access.CodeConflict:
		return r.state != access.Unmade, r
	case c.what == "ask" && r.state == access.Unmade:
		return is(access.Pending), request{state: access.Pending}
	case c.what == "ask": // the same form, sent again
		return is(access.Pending), r
	case r.state == access.Unmade:
		return false, r
	case c.what == "show":
		return a == answer{state: r.state, approved: r.approved}, r
	case c.what == "withdraw" && (r.state == access.Pending || r.state == access.Withdrawn):
		return is(access.Withdrawn), request{state: access.Withdrawn, approved: r.approved}
	case c.what == "approve" && r.state == access.Pending:
		r.approved |= of(c.by)
		if r.approved.count() >= c.needs {
			r.state = access.Active
		}
		return is(r.state), r
	case c.what == "approve" && r.state == access.Active && r.approved&of(c.by) != 0:
		return is(access.Active), r
	case c.what == "deny" && r.state == access.Pending:
		return is(access.Denied), request{state: access.Denied, approved: r.approved, denied: c.by}
	case c.what == "deny" && r.denied == c.by:
		return is(access.Denied), r
	}
	return refused, r
}

var model = porcupine.Model{
	Partition: func(history []porcupine.Operation) (parts [][]porcupine.Operation) {
		at := map[string]int{}
		for _, o := range history {
			id := o.Input.(call).id
			if _, known := at[id]; !known {
				at[id], parts = len(parts), append(parts, nil)
			}
			parts[at[id]] = append(parts[at[id]], o)
		}
		return parts
	},
	Init: func() any { return request{} },
	Step: func(state, input, output any) (bool, any) {
		return step(state.(request), input.(call), output.(answer))
	},
	DescribeOperation: func(input, output any) string {
		c, a := input.(call), output.(answer)
		return fmt.Sprintf("%s %ss (needs %d): %s %s %03b", c.by, c.what, c.needs, a.state, a.refused, a.approved)
	},
}

// clients record what they do with some instances, and when.
type clients struct {
	all     []instance
	began   time.Time
	mu      sync.Mutex
	history []porcupine.Operation
}

// do makes a call to one of the instances and records it. It returns the request's id, and
// why it was refused; the error is one that no correct service gives here.
func (h *clients) do(ctx context.Context, at int, c call, form string, n int) (string, access.Code, error) {
	i, begin := h.all[at], time.Since(h.began)
	var a answer
	var err error
	switch c.what {
	case "ask":
		var asked broker.Asked
		asked, err = i.Ask(ctx, caller(c.by), ask(form, n, roleOf(c.needs)))
		// It was made, whatever has become of it since it was sent before.
		c.id, a = asked.Request.ID, answer{state: access.Pending}
	case "show":
		var v broker.View
		if v, err = i.Show(ctx, caller(c.by), c.id, ""); err == nil {
			// What is remembered: over it the page lays what the platform holds by then.
			if a.state = v.Request.State; a.state == access.Approved {
				a.state = access.Active
			}
			for _, p := range v.Request.ApprovedBy() {
				a.approved |= of(p)
			}
		}
	case "withdraw":
		var r access.Request
		r, _, err = i.Withdraw(ctx, caller(c.by), c.id, origin)
		a.state = r.State
	default:
		d := broker.Decide{Ref: c.id, Verdict: access.Approve, Origin: origin}
		if c.what == "deny" {
			d.Verdict, d.Comment = access.Deny, "not now"
		}
		var decided broker.Decided
		decided, err = i.Decide(ctx, caller(c.by), d)
		a.state = decided.State
	}
	if err != nil {
		a = answer{refused: codeOf(err)}
	}
	end := time.Since(h.began)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.history = append(h.history, porcupine.Operation{ClientId: at, Input: c, Output: a, Call: int64(begin), Return: int64(end)})
	if kind := access.AsError(err); kind != nil && kind.Kind != access.Conflict && kind.Kind != access.Gone {
		return c.id, a.refused, err
	}
	return c.id, a.refused, nil
}

func roleOf(needs int) access.Role { return map[int]access.Role{1: ofOne, 2: ofTwo}[needs] }

// request is one that is made twice at once by the same form, and then decided by several
// people at once who hear of one another through the database alone.
func (h *clients) request(ctx context.Context, n int) error {
	random := rand.New(rand.NewPCG(20260301, uint64(n)))
	needs := 1 + random.IntN(2)
	form, err := h.all[0].NewForm(caller(ana), access.Peers)
	if err != nil {
		return err
	}
	var asking sync.WaitGroup
	var errs [2]error
	var ids [2]string
	for i := range errs {
		asking.Go(func() {
			ids[i], _, errs[i] = h.do(ctx, (n+i)%len(h.all), call{what: "ask", by: ana, needs: needs}, form, n)
		})
	}
	asking.Wait()
	if err := errors.Join(errs[:]...); err != nil || ids[0] != ids[1] {
		return fmt.Errorf("%v: %w", ids, err)
	}
	id := ids[0]
	what := func() call {
		c := call{id: id, needs: needs, what: "approve", by: approvers[random.IntN(len(approvers))]}
		switch r := random.IntN(20); {
		case r < 2:
			c.what = "deny"
		case r < 3:
			c.what, c.by = "withdraw", ana
		case r < 7:
			c.what, c.by = "show", ana
		}
		return c
	}
	var deciding sync.WaitGroup
	var failed [5]error
	for i := range failed {
		calls, at := []call{what(), what()}, random.IntN(len(h.all))
		deciding.Go(func() {
			for _, c := range calls {
				for range 3 { // after a conflict they press again
					_, code, err := h.do(ctx, at, c, "", n)
					if failed[i] = errors.Join(failed[i], err); code != access.CodeConflict {
						break
					}
				}
			}
		})
	}
	deciding.Wait()
	return errors.Join(failed[:]...)
}

// conflicts are the calls that were told that somebody else was quicker while nobody was:
// none of the others changed the request at that time.
func conflicts(history []porcupine.Operation) (groundless []porcupine.Operation) {
	changes := map[string][]porcupine.Operation{}
	for _, o := range history {
		if c := o.Input.(call); c.what != "show" && o.Output.(answer).refused == "" {
			changes[c.id] = append(changes[c.id], o)
		}
	}
	for _, o := range history {
		if o.Output.(answer).refused == access.CodeConflict && !slices.ContainsFunc(changes[o.Input.(call).id], func(c porcupine.Operation) bool {
			return c.Call <= o.Return && o.Call <= c.Return
		}) {
			groundless = append(groundless, o)
		}
	}
	return groundless
}

// checked fails the test where a history is not one of the model's.
func (h *clients) checked(t *testing.T) {
	t.Helper()
	for _, part := range model.Partition(h.history) {
		if porcupine.CheckOperations(model, part) {
			continue
		}
		slices.SortFunc(part, func(a, b porcupine.Operation) int { return int(a.Call - b.Call) })
		text := ""
		for _, o := range part {
			text += fmt.Sprintf("\n%v to %v on %d: %s", time.Duration(o.Call), time.Duration(o.Return), o.ClientId, model.DescribeOperation(o.Input, o.Output))
		}
		t.Errorf("no order of these calls has these answers:%s", text)
		return
	}
	for _, o := range conflicts(h.history) {
		t.Errorf("nobody was quicker: %s", model.DescribeOperation(o.Input, o.Output))
	}
}

// run decides requests with three instances at the same time. The error is of what no
// correct service does.
func (h *clients) run(t *testing.T, requests, atATime int) error {
	t.Helper()
	h.began = time.Now()
	err := inParallel(requests, atATime, func(i int) error { return h.request(t.Context(), i) })
	took := time.Since(h.began)
	answers := map[answer]int{}
	for _, o := range h.history {
		a := o.Output.(answer)
		a.approved = 0
		answers[a]++
	}
	t.Logf("%d calls about %d requests in %v, %.0f a second: %v", len(h.history), requests, took.Round(time.Second/10),
		float64(len(h.history))/took.Seconds(), answers)
	return err
}

// TestHistoriesAreLinearizable has three instances on one PostgreSQL asked, approved, denied,
// withdrawn and looked at by several people at the same time. There is an order of the calls
// in which one instance alone would have given these answers, each between its call and
// its return; so nothing that was answered is lost, and nothing that is read is old.
func TestHistoriesAreLinearizable(t *testing.T) {
	p := newPlatform()
	p.once = true
	three, home, drop := p.instances(t, "PostgreSQL", 3)
	defer drop()
	h := &clients{all: three}
	if err := h.run(t, *historyCount, 6); err != nil {
		t.Error(err)
	}
	h.checked(t)
	verified(t, home, *historyCount)
	for id, n := range p.writes {
		if r, err := three[0].store.Open(t.Context(), id); n != 1 || err != nil || r.State != access.Active {
			t.Errorf("%s was written %d times, and is %v, %v", id, n, r.State, err)
		}
	}
}

// forgetful is a store that does not look at which version something was decided: what a
// ledger without compare-and-swap would be.
type forgetful struct{ broker.Memory }

func (f forgetful) Commit(ctx context.Context, e access.Event, notices []access.Notice) (string, error) {
	for {
		if e.Request.Version == 0 || !e.Action.IsIntent() {
			return f.Memory.Commit(ctx, e, notices)
		}
		stands, err := f.Open(ctx, e.Request.ID)
		if err != nil {
			return "", err
		}
		e.Request.Version = stands.Version
		ref, err := f.Memory.Commit(ctx, e, notices)
		if again, opened := f.Open(ctx, e.Request.ID); codeOf(err) != access.CodeConflict || opened != nil || again.Version == stands.Version {
			return ref, err // it may not follow
		}
	}
}

// TestTheCheckFindsWhatIsDecidedOnAnOldVersion: without compare-and-swap no order of the
// calls explains the answers.
func TestTheCheckFindsWhatIsDecidedOnAnOldVersion(t *testing.T) {
	p := newPlatform()
	p.once = true
	three, _, drop := p.instances(t, "PostgreSQL", 3)
	defer drop()
	for i := range three {
		three[i] = p.instance(forgetful{three[i].store})
	}
	h := &clients{all: three}
	// One that decides again and again may not be done in time: that proves nothing.
	if err := h.run(t, 60, 6); err != nil {
		t.Log(err)
	}
	late := func(o porcupine.Operation) bool { return o.Output.(answer).refused == access.CodeLedgerUnavailable }
	if !slices.ContainsFunc(model.Partition(h.history), func(part []porcupine.Operation) bool {
		return !slices.ContainsFunc(part, late) && !porcupine.CheckOperations(model, part)
	}) {
		t.Error("it was not found")
	}
}
