package resourcemanager_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/gcp/resourcemanager"
)

var _ broker.Granter = (*resourcemanager.Granter)(nil)

const (
	idA = "mpa-AAAAAAAAAAAAAAAA"
	idB = "mpa-BBBBBBBBBBBBBBBB"

	foreign = `{"role":"roles/owner", "members":[ "user:root@example.com" ],"x":1.0}`
)

func TestGrantIsOneReadAndOneWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGoogle(t, foreign)
		grant := grantTo("alice@example.com", idA, "roles/run.admin", "roles/run.viewer")
		checks := 0
		outcomes, err := granterOf(g).Grant(t.Context(), grant, query(grant), func(s access.Standing) error {
			checks++
			return nil
		})
		if err != nil || results(outcomes) != "granted, granted" || outcomes[0].Window != grant.Window {
			t.Fatalf("%+v, %v", outcomes, err)
		}
		if g.reads != 1 || g.writes != 1 || checks != 1 || string(g.bindings[0]) != foreign || len(g.bindings) != 3 {
			t.Errorf("%d reads, %d writes, %d checks, %s", g.reads, g.writes, checks, g.bindings)
		}
		if want := "Approved by bob@example.com, justification: because [" + idA + "]"; g.reasons[0] != want {
			t.Errorf("reason %q", g.reasons[0])
		}
		outcomes, err = granterOf(g).Grant(t.Context(), grant, query(grant), fine)
		if err != nil || results(outcomes) != "already granted, already granted" || g.writes != 1 {
			t.Errorf("again: %+v, %v, %d writes", outcomes, err, g.writes)
		}
	})
}

func TestEndIsOneReadAndOneWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGoogle(t, foreign)
		granter := granterOf(g)
		grant := grantTo("alice@example.com", idA, "roles/run.admin", "roles/run.viewer")
		if _, err := granter.Grant(t.Context(), grant, query(grant), fine); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		ending := access.Ending{RequestID: idA, Principal: "alice@example.com", Resource: shop, At: time.Now()}
		for _, writes := range []int{2, 2} { // the second time there is nothing to write
			outcomes, err := granter.End(t.Context(), ending)
			if err != nil || results(outcomes) != "ended, ended" || outcomes[1].Window.Length() != 10*time.Minute || g.writes != writes {
				t.Errorf("%+v, %v, %d writes", outcomes, err, g.writes)
			}
		}
		ending.Principal = "bob@example.com"
		if outcomes, err := granter.End(t.Context(), ending); err != nil || outcomes != nil {
			t.Errorf("of somebody who has none: %+v, %v", outcomes, err)
		}
	})
}

// TestFailures: what becomes of one grant when Google fails.
func TestFailures(t *testing.T) {
	unavailable := fault{status: 503, body: problem(503, "UNAVAILABLE", "try again")}
	internal := fault{status: 500, body: problem(500, "INTERNAL", "oops")}
	tests := map[string]struct {
		read, write func(int, string) *fault
		want        string // results, or the code of the error
		stands      int
	}{
		"read: 503 twice":              {first(2, unavailable), nil, "granted", 1},
		"read: 429 once":               {first(1, fault{status: 429, body: problem(429, "RESOURCE_EXHAUSTED", "slow")}), nil, "granted", 1},
		"read: 429 twice":              {first(2, fault{status: 429, body: problem(429, "RESOURCE_EXHAUSTED", "slow")}), nil, "quota", 0},
		"read: reset once":             {first(1, fault{reset: true}), nil, "granted", 1},
		"read: hangs once":             {first(1, fault{hang: true}), nil, "granted", 1},
		"read: 503 for ever":           {always(unavailable), nil, "upstream-failed", 0},
		"read: 429 for ever":           {always(fault{status: 429}), nil, "quota", 0},
		"read: hangs for ever":         {always(fault{hang: true}), nil, "upstream-timeout", 0},
		"read: reset for ever":         {always(fault{reset: true}), nil, "upstream-failed", 0},
		"read: not JSON":               {always(fault{status: 200, body: "<html>"}), nil, "upstream-failed", 0},
		"read: no etag":                {always(fault{status: 200, body: `{"version":3}`}), nil, "upstream-failed", 0},
		"read: 401":                    {always(fault{status: 401, body: "token"}), nil, "upstream-failed", 0},
		"read: 404":                    {always(fault{status: 404}), nil, "unknown-resource", 0},
		"write: no etag, and nothing":  {nil, first(1, fault{status: 200, body: "{}"}), "granted", 1},
		"write: 409 three times":       {nil, first(3, fault{status: 409}), "granted", 1},
		"write: 412 once":              {nil, first(1, fault{status: 412}), "granted", 1},
		"write: ABORTED by the name":   {nil, first(1, fault{status: 400, body: problem(400, "ABORTED", "concurrent")}), "granted", 1},
		"write: 409 for ever":          {nil, always(fault{status: 409}), "conflict", 0},
		"write: 429 once":              {nil, first(1, fault{status: 429}), "granted", 1},
		"write: 429 for ever":          {nil, always(fault{status: 429}), "quota", 0},
		"write: 500 once":              {nil, first(1, internal), "granted", 1},
		"write: 503 twice":             {nil, first(2, unavailable), "granted", 1},
		"write: 503 for ever":          {nil, always(unavailable), "upstream-failed", 0},
		"write: reset once":            {nil, first(1, fault{reset: true}), "granted", 1},
		"write: hangs once":            {nil, first(1, fault{hang: true}), "granted", 1},
		"write: hangs for ever":        {nil, always(fault{hang: true}), "unknown-outcome", 0},
		"write: reset for ever":        {nil, always(fault{reset: true}), "unknown-outcome", 0},
		"written, then 500":            {nil, first(1, fault{status: 500, after: true}), "granted", 1},
		"written, then 504":            {nil, first(1, fault{status: 504, after: true}), "granted", 1},
		"written, then reset":          {nil, first(1, fault{reset: true, after: true}), "granted", 1},
		"written, then time-out":       {nil, first(1, fault{hang: true, after: true}), "granted", 1},
		"written, then not a policy":   {nil, first(1, fault{status: 200, body: "<html>", after: true}), "granted", 1},
		"not written, and not JSON":    {nil, first(1, fault{status: 200, body: "<html>"}), "granted", 1},
		"not written, and redirected":  {nil, first(1, fault{status: 304}), "granted", 1},
		"written late, by a time-out":  {nil, first(1, fault{hang: true, late: 50 * time.Millisecond}), "granted", 1},
		"written and unreadable after": {failAfter(1, unavailable), first(1, fault{reset: true, after: true}), "unknown-outcome", 1},
		"unsure and unreadable after":  {failAfter(1, unavailable), first(1, fault{hang: true}), "unknown-outcome", 0},
		"write: 403":                   {nil, always(fault{status: 403, body: problem(403, "PERMISSION_DENIED", "no")}), "service-not-allowed", 0},
		"write: 404":                   {nil, always(fault{status: 404}), "unknown-resource", 0},
		"write: 400 about the role": {nil, always(fault{status: 400, body: problem(400, "INVALID_ARGUMENT",
			"Role roles/run.admin is not supported for this resource.")}), "role-not-grantable", 0},
		"write: 400 about the person": {nil, always(fault{status: 400, body: problem(400, "INVALID_ARGUMENT",
			"User alice@example.com does not exist.")}), "member-unknown", 0},
		"write: 400 about something": {nil, always(fault{status: 400, body: problem(400, "FAILED_PRECONDITION",
			"One or more users named in the policy do not belong to a permitted customer.")}), "platform-refused", 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGoogle(t, foreign)
				g.onRead, g.onWrite = tt.read, tt.write
				grant := grantTo("alice@example.com", idA, "roles/run.admin")
				begun := time.Now()
				outcomes, err := granterOf(g).Grant(t.Context(), grant, query(grant), func(s access.Standing) error {
					if slices.ContainsFunc(s.Activations, func(a access.Activation) bool { return a.RequestID == idA }) {
						return errors.New("check was asked about what this very call has written")
					}
					return nil
				})
				got := string(codeOf(err))
				if err == nil {
					got = results(outcomes)
				}
				if got != tt.want {
					t.Errorf("got %s, want %s (%v)", got, tt.want, err)
				}
				if took := time.Since(begun); took > 25*time.Second {
					t.Errorf("took %s", took)
				}
				time.Sleep(time.Minute) // whatever was late has arrived
				if n := g.ofRequest(idA); n != tt.stands || n > 1 {
					t.Errorf("%d bindings stand, want %d", n, tt.stands)
				}
				if string(g.bindings[0]) != foreign {
					t.Errorf("the foreign binding is %s", g.bindings[0])
				}
			})
		})
	}
}

func failAfter(n int, f fault) func(int, string) *fault {
	return func(i int, _ string) *fault {
		if i > n {
			return &f
		}
		return nil
	}
}

// A write whose answer was lost and that arrives between two of our attempts is
// found, and not written again.
func TestThreat30_ALateWriteIsNotMadeTwice(t *testing.T) {
	for late := 50 * time.Millisecond; late < 3*time.Second; late += 150 * time.Millisecond {
		synctest.Test(t, func(t *testing.T) {
			g := newGoogle(t)
			g.onWrite = first(2, fault{hang: true, late: late})
			grant := grantTo("alice@example.com", idA, "roles/run.admin")
			outcomes, err := granterOf(g).Grant(t.Context(), grant, query(grant), fine)
			time.Sleep(time.Minute)
			if n := g.ofRequest(idA); err != nil && codeOf(err) != access.CodeUnknownOutcome || err == nil && results(outcomes) != "granted" || n != 1 {
				t.Errorf("late by %s: %s, %v, %d stand", late, results(outcomes), err, n)
			}
		})
	}
}

// Each attempt is decided anew, on the policy that is written over.
func TestThreat30_CheckRunsOnEveryPolicyThatIsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGoogle(t, foreign)
		g.onWrite = func(n int, _ string) *fault {
			if n == 1 {
				g.change(`{"role":"roles/x","members":["user:zoe@example.com"]}`)
			}
			return nil
		}
		refused := &access.Error{Kind: access.NotAllowed, Code: access.CodeRequesterLost}
		checks := 0
		grant := grantTo("alice@example.com", idA, "roles/run.admin")
		_, err := granterOf(g).Grant(t.Context(), grant, query(grant), func(access.Standing) error {
			if checks++; checks == 2 {
				return refused
			}
			return nil
		})
		if !errors.Is(err, refused) || checks != 2 || g.writes != 1 || g.made != 0 || g.ofRequest(idA) != 0 {
			t.Errorf("%v, %d checks, %d writes, %d made", err, checks, g.writes, g.made)
		}
	})
}

func TestNothingIsWrittenWithoutAnswersToTheQuery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGoogle(t)
		grant := grantTo("alice@example.com", idA, "roles/run.admin")
		_, err := resourcemanager.NewGranter(clientOf(g), noStandings{}).Grant(t.Context(), grant, query(grant), fine)
		if codeOf(err) != access.CodeUpstreamFailed || g.reads+g.writes != 0 {
			t.Errorf("%v, %d calls", err, g.reads+g.writes)
		}
	})
}

func TestThreat05_ParallelIdenticalApprovalsMakeOneBinding(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGoogle(t, foreign)
		var granters []*resourcemanager.Granter
		for i := range 3 { // instances
			tr := &delayed{g, time.Duration(50+i) * time.Millisecond}
			granters = append(granters, resourcemanager.NewGranter(clientOf(tr), standings{}))
		}
		grant := grantTo("alice@example.com", idA, "roles/run.admin")
		var wg sync.WaitGroup
		var mu sync.Mutex
		count := map[string]int{}
		for i := range 60 {
			wg.Go(func() {
				outcomes, err := granters[i%3].Grant(t.Context(), grant, query(grant), fine)
				mu.Lock()
				defer mu.Unlock()
				count[fmt.Sprint(results(outcomes), err)]++
			})
		}
		wg.Wait()
		if g.ofRequest(idA) != 1 || count["granted<nil>"] != 1 || count["already granted<nil>"] != 59 {
			t.Errorf("%d bindings, %v", g.ofRequest(idA), count)
		}
	})
}

func TestFiftyActivationsAtOnceShareWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		others := []string{foreign, `{"role":"roles/viewer","members":["group:all@example.com"] }`}
		g := newGoogle(t, others...)
		tr := &delayed{g, 200 * time.Millisecond}
		granter := resourcemanager.NewGranter(clientOf(tr), standings{})
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				id := fmt.Sprintf("mpa-%016d", i)
				grant := grantTo(access.Principal(fmt.Sprintf("user%d@example.com", i)), id, "roles/run.admin")
				outcomes, err := granter.Grant(t.Context(), grant, query(grant), fine)
				if err != nil || results(outcomes) != "granted" || g.ofRequest(id) != 1 {
					t.Errorf("%s: %s, %v", id, results(outcomes), err)
				}
			})
		}
		wg.Wait()
		if g.writes < 5 || g.writes > 6 || g.reads != g.writes {
			t.Errorf("%d writes, %d reads", g.writes, g.reads)
		}
		for i, b := range others {
			if string(g.bindings[i]) != b {
				t.Errorf("changed %s", g.bindings[i])
			}
		}
		for _, reason := range g.reasons {
			if len(reason) > 1024 || strings.ContainsFunc(reason, func(r rune) bool { return r < ' ' || r > '~' }) {
				t.Errorf("reason %q", reason)
			}
		}
		if n := strings.Count(g.reasons[1], "; "); n != 9 {
			t.Errorf("the second reason is of %d edits: %s", n+1, g.reasons[1])
		}
	})
}

// delayed takes its time.
type delayed struct {
	*google
	d time.Duration
}

func (d *delayed) RoundTrip(r *http.Request) (*http.Response, error) {
	time.Sleep(d.d)
	return d.google.RoundTrip(r)
}
