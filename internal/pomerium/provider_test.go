package pomerium_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/pomerium"
	sandbox "jitaccess/internal/sandbox/pomerium"
)

// What is sent is what the unchanged example was seen to send, in its order, and the look
// before and after a write on top.
func TestWhatIsSentIsWhatTheExampleSends(t *testing.T) {
	w := newWorld(t)
	p := w.provider()
	w.grant(p, w.approved("req@example.com", 1, w.now(), time.Hour))
	sent := w.zero.Sent()
	token := sent[1].Authorization
	if !strings.HasPrefix(token, "Bearer ") {
		t.Errorf("authorized by %q", token)
	}
	policies := "/api/v0/organizations/" + w.zero.Organization() + "/policies"
	fields := func(ppl string) string {
		return `{"description":"Example policy demonstrating Just-In-Time access","enforced":false,"explanation":"","name":"jit-example","namespaceId":"` +
			w.zero.Cluster() + `","ppl":` + ppl + `,"remediation":""}`
	}
	one := policies + "/" + strings.TrimPrefix(sent[4].Target, policies+"/")
	const of = "application/json"
	want := []sandbox.Exchange{
		{Method: "POST", Target: "/api/v0/token", ContentType: of, Body: `{"refreshToken":"` + w.zero.RefreshToken() + `"}`, Status: 200},
		{Method: "GET", Target: policies + "?namespaceId=" + w.zero.Cluster(), Authorization: token, Status: 200},
		{Method: "POST", Target: policies, Authorization: token, ContentType: of, Body: fields("{}"), Status: 201},
		{Method: "GET", Target: policies + "?namespaceId=" + w.zero.Cluster(), Authorization: token, Status: 200},
		{Method: "GET", Target: one, Authorization: token, Status: 200},
		{Method: "PUT", Target: one, Authorization: token, ContentType: of,
			Body: fields(`[{"allow":{"and":[{"email":"req@example.com"},{"date":{"before":"2026-11-22T01:02:03Z"}}]}}]`), Status: 200},
		{Method: "GET", Target: one, Authorization: token, Status: 200},
		{Method: "GET", Target: "/api/v0/organizations/" + w.zero.Organization() + "/changesets?clusterId=" + w.zero.Cluster() + "&status=pending",
			Authorization: token, Status: 200},
	}
	for i := range max(len(sent), len(want)) {
		if i >= len(sent) || i >= len(want) || sent[i] != want[i] {
			t.Fatalf("call %d: sent\n%+v\nwant\n%+v", i, at(sent, i), at(want, i))
		}
	}
}

func at[T any](all []T, i int) any {
	if i < len(all) {
		return all[i]
	}
	return "nothing"
}

func TestAGrantComesAndGoes(t *testing.T) {
	w := newWorld(t)
	p := w.provider()
	g := w.approved(ana, 1, w.now(), time.Hour)
	if o := w.grant(p, g); o.Result != access.Granted || o.Window != g.Window || o.Entitlement != id || o.Waits != nil {
		t.Errorf("%+v", o)
	}
	w.wants(rule(ana, g.Window.End))
	if o := w.grant(p, g); o.Result != access.AlreadyGranted || o.Window != g.Window {
		t.Errorf("again: %+v", o)
	}
	s := w.standing(p, query(ana))
	want := access.Activation{RequestID: g.RequestID, Principal: ana, Entitlement: id, Window: g.Window, Justification: "case 4711"}
	if len(s.Activations) != 1 || s.Activations[0].RequestID != want.RequestID || s.Activations[0].Window != want.Window ||
		s.Activations[0].Derived || !slices.Equal(s.Activations[0].Approvers, g.Approvers) {
		t.Errorf("stands %+v", s.Activations)
	}
	w.pass(10 * time.Minute)
	outcomes, err := w.end(p, g)
	if err != nil || len(outcomes) != 1 || outcomes[0].Result != access.Removed || !outcomes[0].Window.End.Equal(w.now()) {
		t.Errorf("%+v, %v", outcomes, err)
	}
	w.wants()
	if outcomes, err := w.end(p, g); err != nil || len(outcomes) > 0 {
		t.Errorf("again: %+v, %v", outcomes, err)
	}
	if s := w.standing(p, query(ana)); len(s.Activations) > 0 {
		t.Errorf("stands %+v", s.Activations)
	}
}

func TestALaterStartIsWritten(t *testing.T) {
	w := newWorld(t)
	p := w.provider()
	g := w.approved(ana, 1, w.now().Add(10*time.Minute), time.Hour)
	effects, err := p.Preview(g)
	if err != nil || len(effects) != 1 || !strings.Contains(effects[0].Text, `"after": "2026-11-22T00:12:03Z"`) {
		t.Errorf("previews %+v, %v", effects, err)
	}
	w.grant(p, g)
	w.wants(`{"allow":{"and":[{"email":"ana@example.com"},{"date":{"after":"2026-11-22T00:12:03Z","before":"2026-11-22T01:12:03Z"}}]}}`)
	w.pass(20 * time.Minute)
	if o := w.grant(p, g); o.Result != access.AlreadyGranted {
		t.Errorf("again, once it has begun: %+v", o)
	}
	if s := w.standing(p, query(ana)); len(s.Activations) != 1 || s.Activations[0].RequestID != g.RequestID {
		t.Errorf("stands %+v", s.Activations)
	}
}

// Fault 5 of the example: a new request shortens nothing; nor does a new grant, or its end.
func TestALiveGrantIsNeverShortened(t *testing.T) {
	w := newWorld(t)
	p := w.provider()
	long, short := w.approved(ana, 1, w.now(), 8*time.Hour), w.approved(ana, 2, w.now(), time.Hour)
	w.grant(p, long)
	w.grant(p, short)
	w.wants(rule(ana, long.Window.End), rule(ana, short.Window.End))
	if outcomes, err := w.end(p, short); err != nil || len(outcomes) != 1 {
		t.Fatal(outcomes, err)
	}
	w.wants(rule(ana, long.Window.End))
}

// Two requests of one person that end in the same second rest on one rule, and it goes with
// the last of them.
func TestWhatTwoRequestsRestOnStaysForTheOther(t *testing.T) {
	w := newWorld(t)
	p := w.provider()
	one, two := w.approved(ana, 1, w.now(), time.Hour), w.approved(ana, 2, w.now(), time.Hour)
	w.grant(p, one)
	if o := w.grant(p, two); o.Result != access.AlreadyGranted {
		t.Errorf("%+v", o)
	}
	if s := w.standing(p, query(ana)); len(s.Activations) != 2 {
		t.Errorf("stands %+v", s.Activations)
	}
	if outcomes, err := w.end(p, one); err != nil || len(outcomes) != 1 {
		t.Fatal(outcomes, err)
	}
	w.state(one.RequestID, access.Ended)
	w.wants(rule(ana, one.Window.End))
	if s := w.standing(p, query(ana)); len(s.Activations) != 1 || s.Activations[0].RequestID != two.RequestID {
		t.Errorf("stands %+v", s.Activations)
	}
	if outcomes, err := w.end(p, two); err != nil || len(outcomes) != 1 {
		t.Fatal(outcomes, err)
	}
	w.wants()
}

// A grant that is to begin keeps nobody in who was taken out: access of now rests on nothing
// that begins later, even if both end in the same second.
func TestWhatBeginsLaterKeepsNothingAlive(t *testing.T) {
	w := newWorld(t)
	p := w.provider()
	active := w.approved(ana, 1, w.now(), 2*time.Hour)
	later := w.approved(ana, 2, w.now().Add(time.Hour), time.Hour)
	w.grant(p, active)
	if o := w.grant(p, later); o.Result != access.Granted {
		t.Errorf("%+v", o)
	}
	if len(w.rules("jit-example")) != 2 {
		t.Fatal(w.rules("jit-example"))
	}
	if outcomes, err := w.end(p, active); err != nil || len(outcomes) != 1 {
		t.Fatal(outcomes, err)
	}
	if left := w.rules("jit-example"); len(left) != 1 || !strings.Contains(left[0], "after") {
		t.Errorf("left %q", left)
	}
}

// A request that came to nothing keeps no rule either.
func TestWhatFailedKeepsNothingAlive(t *testing.T) {
	w := newWorld(t)
	p := w.provider()
	one, two := w.approved(ana, 1, w.now(), time.Hour), w.approved(ana, 2, w.now(), time.Hour)
	w.state(two.RequestID, access.Failed)
	w.grant(p, one)
	if outcomes, err := w.end(p, one); err != nil || len(outcomes) != 1 {
		t.Fatal(outcomes, err)
	}
	w.wants()
}

// What was ended and stands again, by somebody's hand, is shown as of that request: it lives
// again, which reconcile tells.
func TestWhatWasEndedAndStandsIsThatRequests(t *testing.T) {
	w := newWorld(t)
	p := w.provider()
	g := w.approved(ana, 1, w.now(), time.Hour)
	w.state(g.RequestID, access.Ended)
	if _, err := w.zero.AddPolicy("jit-example", "["+rule(ana, g.Window.End)+"]"); err != nil {
		t.Fatal(err)
	}
	if s := w.standing(p, query(ana)); len(s.Activations) != 1 || s.Activations[0].RequestID != g.RequestID {
		t.Errorf("stands %+v", s.Activations)
	}
	if outcomes, err := w.end(p, g); err != nil || len(outcomes) != 1 {
		t.Fatal(outcomes, err)
	}
	w.wants()
}

// The example's entries are taken over: who was granted something holds it, under an id that
// is always the same, and it can be ended; who waits is a request for an hour.
func TestTheExamplesEntriesAreTakenOver(t *testing.T) {
	w := newWorld(t)
	p := w.provider()
	end := w.now().Add(40 * time.Minute)
	waits := `{"allow":{"and":[{"email":"ben@example.com"},{"reject":true}]}}`
	if _, err := w.zero.AddPolicy("jit-example", "["+rule(ana, end)+","+waits+"]"); err != nil {
		t.Fatal(err)
	}
	s := w.standing(p, query(ana))
	if len(s.Activations) != 1 {
		t.Fatalf("stands %+v", s.Activations)
	}
	a := s.Activations[0]
	if !a.Derived || a.Principal != ana || a.Entitlement != id || a.Window != (access.Window{Start: end.Add(-time.Hour), End: end}) {
		t.Errorf("stands %+v", a)
	}
	if again := w.standing(w.provider(), query(ana)).Activations; again[0].RequestID != a.RequestID {
		t.Errorf("once %s, then %s", a.RequestID, again[0].RequestID)
	}
	if _, err := access.ParseRequestID(a.RequestID); err != nil {
		t.Error(err)
	}
	waiting, warnings := p.Waiting(t.Context())
	if len(waiting) != 1 || len(warnings) > 0 {
		t.Fatalf("%+v, %v", waiting, warnings)
	}
	r := waiting[0]
	if r.Principal != ben || r.Duration != time.Hour || r.Kind != access.Peers || r.Resource != example || !slices.Equal(r.Entitlements, []access.EntitlementID{id}) ||
		access.CheckJustification(r.Justification) != nil || !r.Expires.After(w.now()) {
		t.Errorf("waits %+v", r)
	}
	w.pass(time.Minute)
	if again, _ := p.Waiting(t.Context()); again[0].ID != r.ID || again[0].Digest() != r.Digest() {
		t.Errorf("read again it is another request: %+v", again[0])
	}
	// What ana has stays while ben's is granted; what waited of ben goes.
	g := access.Grant{RequestID: r.ID, Principal: ben, Resource: example, Entitlements: r.Entitlements,
		Window: access.Window{Start: w.now().Truncate(time.Second), End: w.now().Truncate(time.Second).Add(time.Hour)}}
	w.grant(p, g)
	w.wants(rule(ana, end), rule(ben, g.Window.End))
	if outcomes, err := p.End(t.Context(), access.Ending{RequestID: a.RequestID, Principal: ana, Resource: example, At: w.now()}); err != nil || len(outcomes) != 1 {
		t.Errorf("%+v, %v", outcomes, err)
	}
	w.wants(rule(ben, g.Window.End))
}

// Of a rule that is longer than anything the example grants, all that is known is that it can
// be no older than its policy.
func TestAGrantWrittenByHandBeginsWithItsPolicy(t *testing.T) {
	w := newWorld(t)
	p := w.provider()
	created, end := w.now(), w.now().Add(100*24*time.Hour)
	if _, err := w.zero.AddPolicy("jit-example", rule(ana, end)); err != nil { // a single rule
		t.Fatal(err)
	}
	w.pass(time.Hour)
	s := w.standing(p, query(ana))
	if len(s.Activations) != 1 || s.Activations[0].Window != (access.Window{Start: created, End: end}) {
		t.Errorf("stands %+v", s.Activations)
	}
}

func TestEverybodyMayAskForTheExamplesPolicyByDefault(t *testing.T) {
	w := newWorld(t)
	p := w.provider()
	for _, who := range []access.Principal{ana, "somebody@elsewhere.test", ""} {
		infos, warnings, err := p.Resources(t.Context(), who)
		if err != nil || len(warnings) > 0 || len(infos) != 1 || infos[0].Resource != example {
			t.Errorf("%s: %v, %v, %v", who, infos, warnings, err)
		}
	}
	q := query(ana)
	q.Principals, q.ReviewersOf = []access.Principal{ana, ben}, []access.EntitlementID{id}
	s := w.standing(p, q)
	for _, who := range q.Principals {
		if h := s.Holding(who, id); !h.PeerApproval || h.SelfApproval || !h.MayReview {
			t.Errorf("%s holds %+v", who, h)
		}
	}
	if got := s.Reviewers[id]; !slices.Equal(got, q.Principals) {
		t.Errorf("reviewers %v", got)
	}
	if _, err := p.Standing(t.Context(), access.StandingQuery{Resource: "pomerium/other"}); codeOf(err) != access.CodeUnknownResource {
		t.Errorf("another policy: %v", err)
	}
	if count(w.zero.Sent(), "POST", "/policies") > 0 {
		t.Error("a look makes a policy")
	}
}

// directory knows groups.
type directory struct {
	groups map[string][]access.Principal
	err    error
}

func (d directory) MemberOf(_ context.Context, p access.Principal, groups []string, _ time.Time) (bool, *access.Error, error) {
	return slices.ContainsFunc(groups, func(g string) bool { return slices.Contains(d.groups[g], p) }), nil, d.err
}

func (d directory) PeopleIn(_ context.Context, group string, _ time.Time) ([]access.Principal, *access.Error, error) {
	return d.groups[group], nil, d.err
}

func TestThePolicyFileSaysWhoMayAsk(t *testing.T) {
	w := newWorld(t)
	wiki := access.EntitlementID{Resource: "pomerium/wiki", Role: "roles/edit"}
	entitlements := []pomerium.Entitlement{
		{ID: wiki, Title: "Edit the wiki", Requesters: []string{"group:Writers@example.com", "user:ana@example.com"}},
		{ID: access.EntitlementID{Resource: "pomerium/grafana", Role: "roles/access"}, Requesters: []string{"domain:example.com"}},
	}
	groups := directory{groups: map[string][]access.Principal{"writers@example.com": {ben}}}
	w.config.Entitlements, w.config.Directory = func() []pomerium.Entitlement { return entitlements }, &groups
	p := w.provider()
	infos, _, err := p.Resources(t.Context(), "x@elsewhere.test")
	if err != nil || len(infos) != 1 || infos[0] != (access.ResourceInfo{Resource: "pomerium/wiki", Title: "Edit the wiki"}) {
		t.Errorf("%v, %v", infos, err) // they may be in the group
	}
	if infos, _, _ := p.Resources(t.Context(), ana); len(infos) != 2 {
		t.Errorf("ana may choose %v", infos)
	}
	q := access.StandingQuery{Resource: "pomerium/wiki", Principals: []access.Principal{ana, ben, eve}, ReviewersOf: []access.EntitlementID{wiki}}
	s := w.standing(p, q)
	for who, holds := range map[access.Principal]bool{ana: true, ben: true, eve: false} {
		if s.Holding(who, wiki).MayRequest() != holds {
			t.Errorf("%s holds %+v", who, s.Holdings[who])
		}
	}
	if got := s.Reviewers[wiki]; !slices.Equal(got, []access.Principal{ana, ben}) {
		t.Errorf("reviewers %v", got)
	}
	everybody := w.standing(p, access.StandingQuery{Resource: "pomerium/wiki", Everybody: true})
	if len(everybody.Holdings) != 2 || len(everybody.Holdings[ben]) != 1 {
		t.Errorf("everybody: %v", everybody.Holdings)
	}
	if _, err := p.Standing(t.Context(), query(ana)); codeOf(err) != access.CodeUnknownResource {
		t.Errorf("the default beside a file: %v", err)
	}
	// A directory that is down is no refusal.
	groups.err = &access.Error{Kind: access.Unavailable, Code: access.CodeUpstreamFailed}
	if s := w.standing(p, q); s.NotHeld(&access.Error{Code: access.CodeNotEligible}).Code != access.CodeUpstreamFailed {
		t.Errorf("warns %v", s.Warnings)
	}
}

func TestEveryPolicyIsOnesOwn(t *testing.T) {
	w := newWorld(t)
	w.config.Entitlements = func() []pomerium.Entitlement {
		return []pomerium.Entitlement{{ID: access.EntitlementID{Resource: "pomerium/wiki", Role: "roles/access"}}, {ID: id}}
	}
	p := w.provider()
	g := w.approved(ana, 1, w.now(), time.Hour)
	g.Resource, g.Entitlements = "pomerium/wiki", []access.EntitlementID{{Resource: "pomerium/wiki", Role: "roles/access"}}
	if _, err := p.Grant(t.Context(), g, access.StandingQuery{Resource: "pomerium/wiki", Principals: []access.Principal{ana}}, agree); err != nil {
		t.Fatal(err)
	}
	if got := w.rules("wiki"); !slices.Equal(got, []string{rule(ana, g.Window.End)}) || w.zero.PPL("jit-example") != "" {
		t.Errorf("wiki %q, jit-example %q", got, w.zero.PPL("jit-example"))
	}
}

// The check is made on the policy that is about to be written, before every write, and what it
// refuses is not written.
func TestWhatTheCheckRefusesIsNotWritten(t *testing.T) {
	w := newWorld(t)
	p := w.provider()
	no := &access.Error{Kind: access.NotAllowed, Code: access.CodeRequesterLost}
	g := w.approved(ana, 1, w.now(), time.Hour)
	if outcomes, err := p.Grant(t.Context(), g, query(ana), func(s access.Standing) error {
		if s.Resource != example || !s.Holding(ana, id).PeerApproval {
			t.Errorf("checked with %+v", s)
		}
		return no
	}); codeOf(err) != access.CodeRequesterLost || outcomes != nil {
		t.Errorf("%v, %v", outcomes, err)
	}
	w.wants()
}

func TestAGrantThatIsNoneIsRefused(t *testing.T) {
	w := newWorld(t)
	p := w.provider()
	good := w.approved(ana, 1, w.now(), time.Hour)
	for name, spoil := range map[string]func(*access.Grant){
		"no entitlement": func(g *access.Grant) { g.Entitlements = nil },
		"of another resource": func(g *access.Grant) {
			g.Entitlements = []access.EntitlementID{{Resource: "pomerium/x", Role: "roles/access"}}
		},
		"of another provider":  func(g *access.Grant) { g.Resource = "projects/p" },
		"of nobody":            func(g *access.Grant) { g.Principal = "" },
		"not a person":         func(g *access.Grant) { g.Principal = `x"},{"accept":true}` },
		"of capitals":          func(g *access.Grant) { g.Principal = "Ana@example.com" },
		"without a window":     func(g *access.Grant) { g.Window = access.Window{} },
		"with none left":       func(g *access.Grant) { g.Window.End = g.Window.Start },
		"with a window before": func(g *access.Grant) { g.Window.Start, g.Window.End = w.now().Add(-time.Hour), w.now() },
	} {
		g := good
		spoil(&g)
		if outcomes, err := p.Grant(t.Context(), g, query(ana), agree); err == nil {
			t.Errorf("%s: %v", name, outcomes)
		}
	}
	w.wants()
	if _, err := p.Canonical(access.EntitlementID{Resource: example, Role: pomerium.RoleAccess, Condition: "true"}); err == nil {
		t.Error("a condition is taken")
	}
}

func TestItNeedsWhatItNeeds(t *testing.T) {
	w := newWorld(t)
	for name, spoil := range map[string]func(*pomerium.Config){
		"a ledger":          func(c *pomerium.Config) { c.List = nil },
		"a token":           func(c *pomerium.Config) { c.RefreshToken = "" },
		"an organization":   func(c *pomerium.Config) { c.Organization = "a/b" },
		"a cluster":         func(c *pomerium.Config) { c.Cluster = "" },
		"ids that are some": func(c *pomerium.Config) { c.PolicyIDs = map[string]string{"x": "../y"} },
	} {
		c := w.config
		spoil(&c)
		if _, err := pomerium.New(c); err == nil {
			t.Errorf("is made without %s", name)
		}
	}
}

// Names of policies guard addresses and have one spelling.
func TestKindsOfResources(t *testing.T) {
	for name, is := range map[string]bool{"jit-example": true, "a.b_c": true, "-x": true, "": false, "A": false, "a/b": false, ".": false, "a b": false} {
		if got := pomerium.Kinds[0].Has(access.Resource("pomerium/" + name)); got != is {
			t.Errorf("%q: %v", name, got)
		}
	}
}

// While the ledger is out of reach what stands is shown, with a warning, and nothing is taken
// for ended that may not be.
func TestWithoutTheLedger(t *testing.T) {
	w := newWorld(t)
	p := w.provider()
	g := w.approved(ana, 1, w.now(), time.Hour)
	w.grant(p, g)
	w.listErr = &access.Error{Kind: access.Unavailable, Code: access.CodeLedgerUnavailable}
	s := w.standing(p, query(ana))
	if len(s.Activations) != 1 || !s.Activations[0].Derived || len(s.Warnings) != 1 || s.Warnings[0].Code != access.CodeLedgerUnavailable {
		t.Errorf("%+v", s)
	}
	if outcomes, err := w.end(p, g); codeOf(err) != access.CodeLedgerUnavailable {
		t.Errorf("%v, %v", outcomes, err)
	}
	w.wants(rule(ana, g.Window.End))
	// What is shown can be ended as it is shown.
	if outcomes, err := p.End(t.Context(), access.Ending{RequestID: s.Activations[0].RequestID, Principal: ana, Resource: example, At: w.now()}); err != nil || len(outcomes) != 1 {
		t.Errorf("%v, %v", outcomes, err)
	}
	w.wants()
}

// Fault 1 of the example: concurrent writes lose nothing, of one process or of several
// through a lease.
func TestConcurrentWritesLoseNothing(t *testing.T) {
	w := newWorld(t)
	var held sync.Map
	w.config.Lease = func(ctx context.Context, name string, life time.Duration) (func(context.Context) error, error) {
		one, _ := held.LoadOrStore(name, make(chan struct{}, 1))
		select {
		case one.(chan struct{}) <- struct{}{}:
			return func(context.Context) error { <-one.(chan struct{}); return nil }, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	instances := []*pomerium.Provider{w.provider(), w.provider()}
	var grants []access.Grant
	var want []string
	for i := range 16 {
		g := w.approved(access.Principal(fmt.Sprintf("p%d@example.com", i)), byte(i+1), w.now(), time.Hour)
		grants, want = append(grants, g), append(want, rule(g.Principal, g.Window.End))
	}
	var wg sync.WaitGroup
	for i, g := range grants {
		wg.Go(func() {
			if _, err := instances[i%2].Grant(t.Context(), g, query(g.Principal), agree); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	got := w.rules("jit-example")
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%q\nwant %q", got, want)
	}
	if n := count(w.zero.Sent(), "POST", "/policies"); n != 1 {
		t.Errorf("%d policies were made", n)
	}
}

// Within a process it takes no lease.
func TestConcurrentWritesOfOneProcessLoseNothing(t *testing.T) {
	w := newWorld(t)
	p := w.provider()
	var wg sync.WaitGroup
	for i := range 8 {
		g := w.approved(access.Principal(fmt.Sprintf("p%d@example.com", i)), byte(i+1), w.now(), time.Hour)
		wg.Go(func() {
			if _, err := p.Grant(t.Context(), g, query(g.Principal), agree); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if sent := w.zero.Sent(); len(w.rules("jit-example")) != 8 || count(sent, "PUT", "") != 8 || count(sent, "POST", "/policies") != 1 {
		t.Errorf("%d rules, %d writes", len(w.rules("jit-example")), count(sent, "PUT", ""))
	}
}

// The number alone ends nothing: it is anybody's to send.
func TestAnEndIsOfThePersonsAlone(t *testing.T) {
	w := newWorld(t)
	p := w.provider()
	g := w.approved(ana, 1, w.now(), time.Hour)
	w.grant(p, g)
	other := g
	other.Principal = ben
	if outcomes, err := w.end(p, other); err != nil || len(outcomes) > 0 {
		t.Errorf("%v, %v", outcomes, err)
	}
	w.wants(rule(ana, g.Window.End))
}

func TestALeaseThatCannotBeHadIsNoWrite(t *testing.T) {
	w := newWorld(t)
	w.config.Lease = func(context.Context, string, time.Duration) (func(context.Context) error, error) {
		return nil, &access.Error{Kind: access.Unavailable, Code: access.CodeLedgerUnavailable}
	}
	p := w.provider()
	if _, err := p.Grant(t.Context(), w.approved(ana, 1, w.now(), time.Hour), query(ana), agree); codeOf(err) != access.CodeLedgerUnavailable {
		t.Error(err)
	}
	if sent := w.zero.Sent(); len(sent) > 0 {
		t.Errorf("sent %+v", sent)
	}
	// What ends is not kept from ending by that.
	g := w.approved(ben, 3, w.now(), time.Hour)
	if _, err := w.zero.AddPolicy("jit-example", "["+rule(ben, g.Window.End)+"]"); err != nil {
		t.Fatal(err)
	}
	if outcomes, err := w.end(p, g); err != nil || len(outcomes) != 1 {
		t.Error(outcomes, err)
	}
	w.wants()
	// The lock within the process is free again.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Grant(ctx, w.approved(ana, 2, w.now(), time.Hour), query(ana), agree); err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

// Whoever opens an id that is none has looked what waits, of all policies: on pages that is
// what was read a moment ago, and one person does not spend the calls of others.
func TestWhatWaitsIsNotReadAnewForEachPage(t *testing.T) {
	for purpose, anew := range map[access.Purpose]bool{access.ForPage: false, access.ForAction: true} {
		w := newWorld(t)
		p := w.provider()
		if _, err := w.zero.AddPolicy("jit-example", `[{"allow":{"and":[{"email":"ben@example.com"},{"reject":true}]}}]`); err != nil {
			t.Fatal(err)
		}
		ctx := access.WithPurpose(t.Context(), purpose)
		if waiting, warnings := p.Waiting(ctx); len(waiting) != 1 || len(warnings) > 0 {
			t.Fatalf("%+v, %v", waiting, warnings)
		}
		w.zero.Sent()
		for range 10 {
			w.pass(time.Second)
			if waiting, _ := p.Waiting(ctx); len(waiting) != 1 {
				t.Errorf("%+v", waiting)
			}
		}
		if reads := len(w.zero.Sent()); (reads >= 10) != anew || !anew && reads > 0 {
			t.Errorf("purpose %v: %d calls", purpose, reads)
		}
	}
}
