package pomerium_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/pomerium"
	sandbox "jitaccess/internal/sandbox/pomerium"
)

// What becomes of a grant when something goes wrong with the write: the rule stands once, or
// the error says what is known.
func TestAGrantWhenTheWriteGoesWrong(t *testing.T) {
	const put, policies = http.MethodPut, "/organizations/"
	for name, c := range map[string]struct {
		faults []sandbox.Fault
		// code is that of the error; empty is none. stands is whether the rule does.
		code   access.Code
		kind   access.Kind
		stands bool
		puts   int
	}{
		"the answer is lost":            {faults: []sandbox.Fault{{Method: put, Times: 1, Lose: true}}, stands: true, puts: 1},
		"the answer is cut off":         {faults: []sandbox.Fault{{Method: put, Times: 1, Cut: true}}, stands: true, puts: 1},
		"the answer is no JSON":         {faults: []sandbox.Fault{{Method: put, Times: 1, Body: "<html>"}}, stands: true, puts: 1},
		"it fails over there":           {faults: []sandbox.Fault{{Method: put, Times: 1, Status: 500}}, stands: true, puts: 2},
		"it fails over there, always":   {faults: []sandbox.Fault{{Method: put, Status: 500}}, code: access.CodeUnknownOutcome, kind: access.TimedOut, puts: 4},
		"a conflict":                    {faults: []sandbox.Fault{{Method: put, Times: 1, Status: 409}}, stands: true, puts: 2},
		"conflicts without end":         {faults: []sandbox.Fault{{Method: put, Status: 409}}, code: access.CodeConflict, kind: access.Conflict, puts: 4},
		"too many calls":                {faults: []sandbox.Fault{{Method: put, Times: 1, Status: 429, RetryAfter: "2"}}, stands: true, puts: 2},
		"too many calls, for a while":   {faults: []sandbox.Fault{{Method: put, Times: 1, Status: 429, RetryAfter: "60"}}, code: access.CodeQuota, kind: access.TooMany, puts: 1},
		"too many calls, for longer":    {faults: []sandbox.Fault{{Method: put, Times: 1, Status: 429, RetryAfter: "10"}}, code: access.CodeQuota, kind: access.TooMany, puts: 1},
		"another policy is answered":    {faults: []sandbox.Fault{{Method: "GET", Path: policies + "ORG/policies/", Body: `{"id":"another","name":"jit-example","ppl":[]}`}}, code: access.CodeUpstreamFailed, kind: access.Upstream},
		"the content is refused":        {faults: []sandbox.Fault{{Method: put, Status: 400}}, code: access.CodePlatformRefused, kind: access.Unprocessable, puts: 1},
		"the user may not":              {faults: []sandbox.Fault{{Method: put, Status: 403}}, code: access.CodeServiceNotAllowed, kind: access.Upstream, puts: 1},
		"a token that is not taken":     {faults: []sandbox.Fault{{Method: put, Times: 1, Status: 401}}, stands: true, puts: 2},
		"no token is taken":             {faults: []sandbox.Fault{{Method: put, Status: 401}}, code: access.CodeCallRefused, kind: access.Upstream, puts: 2},
		"reading fails for a moment":    {faults: []sandbox.Fault{{Method: "GET", Times: 2, Status: 503}}, stands: true, puts: 1},
		"nothing can be read":           {faults: []sandbox.Fault{{Method: "GET", Status: 503}}, code: access.CodeUpstreamFailed, kind: access.Unavailable},
		"nothing can be read, in time":  {faults: []sandbox.Fault{{Method: "GET", Status: 504}}, code: access.CodeUpstreamTimeout, kind: access.TimedOut},
		"the list is none":              {faults: []sandbox.Fault{{Method: "GET", Path: policies, Body: `{"a":1}`}}, code: access.CodeUpstreamFailed, kind: access.Upstream},
		"the list is nonsense":          {faults: []sandbox.Fault{{Method: "GET", Path: policies, Body: `[null, 17, {"name":"jit-example"}]`}}, code: access.CodeUpstreamFailed, kind: access.Upstream},
		"it cannot be made":             {faults: []sandbox.Fault{{Method: "POST", Path: policies, Status: 403}}, code: access.CodeServiceNotAllowed, kind: access.Upstream},
		"it was made, nobody says so":   {faults: []sandbox.Fault{{Method: "POST", Path: policies, Times: 1, Lose: true}}, stands: true, puts: 1},
		"the token is none":             {faults: []sandbox.Fault{{Path: "/token", Body: `{}`}}, code: access.CodeUpstreamFailed, kind: access.Upstream},
		"the token is not given":        {faults: []sandbox.Fault{{Path: "/token", Status: 401}}, code: access.CodeCallRefused, kind: access.Upstream},
		"the token lives for nothing":   {faults: []sandbox.Fault{{Path: "/token", Body: `{"expiresInSeconds":"0","idToken":"x"}`}}, code: access.CodeUpstreamFailed, kind: access.Upstream},
		"the token lives for ever":      {faults: []sandbox.Fault{{Path: "/token", Body: `{"expiresInSeconds":"soon","idToken":"x"}`}}, code: access.CodeUpstreamFailed, kind: access.Upstream},
		"the token has a line break":    {faults: []sandbox.Fault{{Path: "/token", Body: `{"expiresInSeconds":"60","idToken":"a\r\nb"}`}}, code: access.CodeUpstreamFailed, kind: access.Upstream},
		"lost, and nothing can be read": {faults: []sandbox.Fault{{Method: put, Times: 1, Lose: true}, {Method: "GET", Path: "gone"}}, stands: true, puts: 1},
	} {
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			w := newWorld(t)
			for _, f := range c.faults {
				f.Path = strings.ReplaceAll(f.Path, "ORG", w.zero.Organization())
				w.zero.Fail(f)
			}
			p := w.provider()
			g := w.approved(ana, 1, w.now(), time.Hour)
			outcomes, err := p.Grant(t.Context(), g, query(ana), agree)
			if e := access.AsError(err); codeOf(err) != c.code || e != nil && e.Kind != c.kind {
				t.Errorf("%v, %v", outcomes, err)
			}
			if err == nil && outcomes[0].Result != access.Granted {
				t.Errorf("%+v", outcomes)
			}
			if stands := slices.Equal(w.rules("jit-example"), []string{rule(ana, g.Window.End)}); stands != c.stands {
				t.Errorf("the policy is %s", w.zero.PPL("jit-example"))
			}
			if n := count(w.zero.Sent(), put, ""); n != c.puts {
				t.Errorf("%d writes", n)
			}
			// Once it is mended the same grant stands, once.
			w.zero.Mend()
			w.pass(5 * time.Minute)
			w.grant(w.provider(), g)
			w.wants(rule(ana, g.Window.End))
		})
	}
}

// What was written and cannot be read afterwards is not known to stand.
func TestAWriteThatCannotBeReadBackIsUnknown(t *testing.T) {
	w := newWorld(t)
	p := w.provider()
	w.zero.Fail(sandbox.Fault{Method: http.MethodPut, Times: 1, Then: func() { w.zero.Fail(sandbox.Fault{Method: "GET", Status: 500}) }})
	_, err := p.Grant(t.Context(), w.approved(ana, 1, w.now(), time.Hour), query(ana), agree)
	if e := access.AsError(err); e == nil || e.Code != access.CodeUnknownOutcome || !e.MayPass() {
		t.Error(err)
	}
}

// Somebody else's write that comes between ours and the look is answered by writing again;
// what theirs brought stays.
func TestWhatIsLostToSomebodyElseIsWrittenAgain(t *testing.T) {
	w := newWorld(t)
	p := w.provider()
	g := w.approved(ana, 1, w.now(), time.Hour)
	foreign := `{"allow":{"or":[{"domain":"example.com"}]}}`
	w.zero.Fail(sandbox.Fault{Method: http.MethodPut, Times: 1, Then: func() {
		if err := w.zero.Edit("jit-example", func(string) string { return "[" + foreign + "]" }); err != nil {
			t.Error(err)
		}
	}})
	w.grant(p, g)
	w.wants(foreign, rule(ana, g.Window.End))
	if n := count(w.zero.Sent(), http.MethodPut, ""); n != 2 {
		t.Errorf("%d writes", n)
	}
}

// It is not written for ever against somebody who takes it away each time.
func TestWhatIsLostEachTimeIsReported(t *testing.T) {
	w := newWorld(t)
	p := w.provider()
	checks := 0
	w.zero.Fail(sandbox.Fault{Method: http.MethodPut, Then: func() { _ = w.zero.Edit("jit-example", func(string) string { return "[]" }) }})
	_, err := p.Grant(t.Context(), w.approved(ana, 1, w.now(), time.Hour), query(ana), func(access.Standing) error { checks++; return nil })
	if n := count(w.zero.Sent(), http.MethodPut, ""); codeOf(err) != access.CodeUnknownOutcome || n != 4 || checks != 5 {
		t.Errorf("%d writes, %d checks, %v", n, checks, err)
	}
	// Whoever is not eligible any more gets nothing by a second write.
	w.zero.Mend()
	w.zero.Fail(sandbox.Fault{Method: http.MethodPut, Times: 1, Then: func() { _ = w.zero.Edit("jit-example", func(string) string { return "[]" }) }})
	again := false
	_, err = p.Grant(t.Context(), w.approved(ben, 2, w.now(), time.Hour), query(ben), func(access.Standing) error {
		if again {
			return &access.Error{Kind: access.NotAllowed, Code: access.CodeRequesterLost}
		}
		again = true
		return nil
	})
	if codeOf(err) != access.CodeRequesterLost {
		t.Error(err)
	}
	w.wants()
}

// A write of which nobody knows may still come: whoever is not eligible any more meanwhile is
// not told that nothing was granted.
func TestWhatMayStillComeIsNotRefused(t *testing.T) {
	w := newWorld(t)
	w.zero.Fail(sandbox.Fault{Method: http.MethodPut, Times: 1, Status: 500})
	checks := 0
	_, err := w.provider().Grant(t.Context(), w.approved(ana, 1, w.now(), time.Hour), query(ana), func(access.Standing) error {
		if checks++; checks > 1 {
			return &access.Error{Kind: access.NotAllowed, Code: access.CodeRequesterLost}
		}
		return nil
	})
	if codeOf(err) != access.CodeUnknownOutcome || checks != 2 {
		t.Errorf("%d checks, %v", checks, err)
	}
}

// An end is as sure as a grant.
func TestAnEndWhenTheWriteGoesWrong(t *testing.T) {
	for name, f := range map[string]sandbox.Fault{
		"lost":     {Method: http.MethodPut, Times: 1, Lose: true},
		"failed":   {Method: http.MethodPut, Times: 1, Status: 502},
		"conflict": {Method: http.MethodPut, Times: 2, Status: 409},
	} {
		w := newWorld(t)
		p := w.provider()
		g := w.approved(ana, 1, w.now(), time.Hour)
		w.grant(p, g)
		w.zero.Fail(f)
		if outcomes, err := w.end(p, g); err != nil || len(outcomes) != 1 || outcomes[0].Result != access.Removed {
			t.Errorf("%s: %v, %v", name, outcomes, err)
		}
		w.wants()
	}
	w := newWorld(t)
	if outcomes, err := w.end(w.provider(), w.approved(ana, 1, w.now(), time.Hour)); err != nil || outcomes != nil {
		t.Errorf("without a policy: %v, %v", outcomes, err)
	}
}

// Fault 7 of the example: of two policies of one name neither is taken; by its id the right
// one is. One that was found keeps its id, whatever it is called later.
func TestTwoPoliciesOfOneName(t *testing.T) {
	w := newWorld(t)
	first, err := w.zero.AddPolicy("jit-example", "[]")
	if err != nil {
		t.Fatal(err)
	}
	p := w.provider()
	g := w.approved(ana, 1, w.now(), time.Hour)
	w.grant(p, g)
	second, err := w.zero.AddPolicy("jit-example", "[]")
	if err != nil {
		t.Fatal(err)
	}
	w.grant(p, w.approved(ben, 2, w.now(), time.Hour)) // its id is known
	other := w.provider()
	_, err = other.Grant(t.Context(), g, query(ana), agree)
	e := access.AsError(err)
	if e == nil || e.Code != access.CodePolicyAmbiguous || e.Args["ids"] != first+", "+second || e.Args["resource"] != string(example) {
		t.Errorf("%v", err)
	}
	if _, err := other.Standing(t.Context(), query(ana)); codeOf(err) != access.CodePolicyAmbiguous {
		t.Error(err)
	}
	w.config.PolicyIDs = map[string]string{"jit-example": first}
	if o := w.grant(w.provider(), g); o.Result != access.AlreadyGranted {
		t.Errorf("%+v", o)
	}
	// One that is named by its id and gone is not replaced by another.
	w.zero.Delete("jit-example")
	if _, err := w.provider().Grant(t.Context(), g, query(ana), agree); codeOf(err) != access.CodeUnknownResource {
		t.Error(err)
	}
}

// A policy that is named by its id is that of no other resource: who may ask for the one, by its
// name, must not get the other.
func TestAPolicyThatIsNamedByItsIDIsNoOther(t *testing.T) {
	w := newWorld(t)
	production, err := w.zero.AddPolicy("jit-example", "["+rule(ben, w.now().Add(time.Hour))+"]")
	if err != nil {
		t.Fatal(err)
	}
	w.config.PolicyIDs = map[string]string{"production": production}
	p := w.provider()
	if s := w.standing(p, query(ben)); len(s.Activations) > 0 {
		t.Errorf("stands on the other: %+v", s.Activations)
	}
	w.grant(p, w.approved(ana, 1, w.now(), time.Hour))
	for _, sent := range w.zero.Sent() {
		if sent.Method == http.MethodPut && strings.HasSuffix(sent.Target, "/"+production) {
			t.Errorf("the other policy was written: %s", sent.Body)
		}
	}
	// Whoever examines them sees each once, whatever it is called.
	w.config.Entitlements = func() []pomerium.Entitlement {
		return []pomerium.Entitlement{{ID: id}, {ID: access.EntitlementID{Resource: "pomerium/production", Role: pomerium.RoleAccess}},
			{ID: access.EntitlementID{Resource: "pomerium/gone", Role: pomerium.RoleAccess}}}
	}
	w.config.PolicyIDs["gone"] = "gone-1"
	policies, _, err := w.provider().Examine(t.Context())
	if err != nil || len(policies) != 3 || policies[0].Count != 1 || policies[1].Count != 1 || policies[2].Count != 0 {
		t.Errorf("%+v, %v", policies, err)
	}
	w.config.PolicyIDs = map[string]string{"production": production, "staging": production}
	if _, err := pomerium.New(w.config); err == nil {
		t.Error("one policy under two names")
	}
}

// A policy that was taken away is looked for, and made, anew.
func TestAPolicyThatIsGoneIsMadeAnew(t *testing.T) {
	w := newWorld(t)
	p := w.provider()
	g := w.approved(ana, 1, w.now(), time.Hour)
	w.grant(p, g)
	w.zero.Delete("jit-example")
	if s := w.standing(p, query(ana)); len(s.Activations) > 0 {
		t.Errorf("stands %+v", s.Activations)
	}
	w.grant(p, g)
	w.wants(rule(ana, g.Window.End))
}

func TestAPolicyThatIsNotUnderstoodIsNotWritten(t *testing.T) {
	w := newWorld(t)
	if _, err := w.zero.AddPolicy("jit-example", `"allow: ..."`); err != nil {
		t.Fatal(err)
	}
	p := w.provider()
	g := w.approved(ana, 1, w.now(), time.Hour)
	if _, err := p.Grant(t.Context(), g, query(ana), agree); codeOf(err) != access.CodePolicyForm {
		t.Error(err)
	}
	if _, err := w.end(p, g); codeOf(err) != access.CodePolicyForm {
		t.Error(err)
	}
	if n := count(w.zero.Sent(), http.MethodPut, ""); n > 0 {
		t.Errorf("%d writes", n)
	}
	if s := w.standing(p, query(ana)); len(s.Warnings) != 1 || s.Warnings[0].Code != access.CodePolicyForm {
		t.Errorf("warns %v", s.Warnings)
	}
}

// Fault 8 of the example: what waits in a changeset does not hold, and it says so.
func TestWhatWaitsInAChangesetIsSaid(t *testing.T) {
	w := newWorld(t)
	w.zero.ApplyByHand(true)
	p := w.provider()
	g := w.approved(ana, 1, w.now(), time.Hour)
	o := w.grant(p, g)
	waiting := w.zero.Changesets()
	if o.Result != access.Granted || o.Waits == nil || o.Waits.Code != access.CodeChangesetPending || o.Waits.Args["changesets"] != waiting[0].ID {
		t.Errorf("%+v", o)
	}
	if o := w.grant(p, g); o.Waits == nil {
		t.Errorf("again: %+v", o)
	}
	outcomes, err := w.end(p, g)
	if err != nil || len(outcomes) != 1 || outcomes[0].Waits == nil {
		t.Errorf("%+v, %v", outcomes, err)
	}
	w.zero.Apply()
	if o := w.grant(p, w.approved(ben, 2, w.now(), time.Hour)); o.Waits == nil {
		t.Error("a new one does not wait")
	}

	w.config.ApplyChangesets = true
	if o := w.grant(w.provider(), w.approved(eve, 3, w.now(), time.Hour)); o.Waits != nil {
		t.Errorf("%+v", o)
	}
	for _, c := range w.zero.Changesets() {
		if c.Status != "applied" {
			t.Errorf("%+v", c)
		}
	}
}

// A grant stands when its changeset cannot be looked for or applied, with a warning.
func TestAChangesetThatCannotBeSeenOrAppliedIsAWarning(t *testing.T) {
	for name, c := range map[string]struct {
		fault sandbox.Fault
		apply bool
		want  access.Code
	}{
		"not seen":     {sandbox.Fault{Method: "GET", Path: "/organizations/ORG/changesets", Status: 403}, false, access.CodeChangesetUnknown},
		"nonsense":     {sandbox.Fault{Method: "GET", Path: "/organizations/ORG/changesets", Body: `{"error":"x"}`}, false, access.CodeChangesetUnknown},
		"not applied":  {sandbox.Fault{Method: "POST", Path: "/organizations/ORG/changesets", Status: 500}, true, access.CodeChangesetPending},
		"may not":      {sandbox.Fault{Method: "POST", Path: "/organizations/ORG/changesets", Status: 403}, true, access.CodeChangesetPending},
		"lost, stands": {sandbox.Fault{Method: "POST", Path: "/organizations/ORG/changesets", Lose: true}, true, ""},
	} {
		w := newWorld(t)
		w.zero.ApplyByHand(true)
		c.fault.Path = strings.ReplaceAll(c.fault.Path, "ORG", w.zero.Organization())
		w.zero.Fail(c.fault)
		w.config.ApplyChangesets = c.apply
		o := w.grant(w.provider(), w.approved(ana, 1, w.now(), time.Hour))
		if o.Result != access.Granted || (o.Waits == nil) != (c.want == "") || o.Waits != nil && o.Waits.Code != c.want {
			t.Errorf("%s: %+v", name, o)
		}
	}
}

// The token is got once for all who need it, a minute before its end, and again when the API
// does not take it; a failure is not remembered (fault 3 of the example).
func TestTokens(t *testing.T) {
	w := newWorld(t)
	if _, err := w.zero.AddPolicy("jit-example", "[]"); err != nil {
		t.Fatal(err)
	}
	p := w.provider()
	look := func() {
		t.Helper()
		w.standing(p, query(ana))
	}
	w.zero.Fail(sandbox.Fault{Path: "/token", Times: 1, Status: 500})
	if _, err := p.Standing(t.Context(), query(ana)); err == nil {
		// A failure that may pass is tried again, and then no error.
		t.Log("tried again")
	}
	var wg sync.WaitGroup
	w.zero.ExpireTokens()
	p = w.provider()
	w.zero.Sent()
	for range 20 {
		wg.Go(look)
	}
	wg.Wait()
	if n := count(w.zero.Sent(), "POST", "/token"); n != 1 {
		t.Errorf("%d tokens", n)
	}
	w.pass(58 * time.Minute)
	if look(); count(w.zero.Sent(), "POST", "/token") != 0 {
		t.Error("a new one though the old is good")
	}
	w.pass(time.Minute + time.Second)
	if look(); count(w.zero.Sent(), "POST", "/token") != 1 {
		t.Error("no new one in the last minute")
	}
	w.zero.ExpireTokens()
	look()
	sent := w.zero.Sent()
	if count(sent, "POST", "/token") != 1 || !slices.ContainsFunc(sent, func(e sandbox.Exchange) bool { return e.Status == 401 }) {
		t.Errorf("%+v", sent)
	}
}

// Whoever gives up leaves the call for the token to the others.
func TestWhoGivesUpTakesNothingFromTheOthers(t *testing.T) {
	var asked atomic.Int32
	gone := make(chan struct{})
	api := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/token") {
			asked.Add(1)
			<-gone
			fmt.Fprint(rw, `{"expiresInSeconds":"3600","idToken":"t"}`)
			return
		}
		fmt.Fprint(rw, `[]`)
	}))
	defer api.Close()
	w := newWorld(t)
	w.config.Endpoint = api.URL
	p := w.provider()
	first, leave := context.WithCancel(t.Context())
	left := make(chan error)
	go func() {
		_, err := p.End(first, access.Ending{RequestID: "mpa-0000000000000000", Principal: ana, Resource: "pomerium/other"})
		left <- err
	}()
	for asked.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	done := make(chan error)
	go func() {
		_, err := p.Grant(t.Context(), w.approved(ana, 1, w.now(), time.Hour), query(ana), agree)
		done <- err
	}()
	leave()
	if err := <-left; err == nil {
		t.Error("the first has an answer")
	}
	close(gone)
	if err := <-done; codeOf(err) != access.CodeUpstreamFailed || asked.Load() != 1 { // the policy cannot be made there
		t.Errorf("%v after %d tokens", err, asked.Load())
	}
}

// What the API or a proxy says is never taken for more than it is, and no secret is in what is
// said of it.
func TestNoSecretIsInAnError(t *testing.T) {
	w := newWorld(t)
	w.zero.Fail(sandbox.Fault{Path: "/token", Status: 400, Body: "bad token " + w.zero.RefreshToken()})
	_, err := w.provider().Standing(t.Context(), query(ana))
	if err == nil || strings.Contains(err.Error(), w.zero.RefreshToken()) {
		t.Error(err)
	}
}

// A token goes nowhere else, whatever the answer says.
func TestRedirectsAreNotFollowed(t *testing.T) {
	followed := false
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { followed = true }))
	defer elsewhere.Close()
	api := httptest.NewServer(http.RedirectHandler(elsewhere.URL, http.StatusTemporaryRedirect))
	defer api.Close()
	w := newWorld(t)
	w.config.Endpoint = api.URL
	if _, err := w.provider().Standing(t.Context(), query(ana)); err == nil || followed {
		t.Errorf("followed: %v, %v", followed, err)
	}
}

// A policy that has grown is read and written whole.
func TestTenThousandRules(t *testing.T) {
	w := newWorld(t)
	var rules []string
	for i := range 10_000 {
		rules = append(rules, fmt.Sprintf(`{"allow":{"or":[{"claim/groups":"g%d"},{"email":{"is":"p%d@example.com"}}]}}`, i, i))
	}
	if _, err := w.zero.AddPolicy("jit-example", "["+strings.Join(rules, ",")+"]"); err != nil {
		t.Fatal(err)
	}
	g := w.approved(ana, 1, w.now(), time.Hour)
	w.grant(w.provider(), g)
	if got := w.rules("jit-example"); !slices.Equal(got, append(rules, rule(ana, g.Window.End))) {
		t.Errorf("%d rules", len(got))
	}
}

// An answer that is longer than any is none, though what is read of it would be one.
func TestAnswersAreBounded(t *testing.T) {
	api := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/token") {
			fmt.Fprint(rw, `{"expiresInSeconds":"3600","idToken":"t"}`)
			return
		}
		fmt.Fprint(rw, "[]")
		for range 33 {
			fmt.Fprint(rw, strings.Repeat(" ", 1<<20))
		}
	}))
	defer api.Close()
	w := newWorld(t)
	w.config.Endpoint = api.URL
	if _, err := w.provider().Standing(t.Context(), query(ana)); codeOf(err) != access.CodeUpstreamFailed {
		t.Error(err)
	}
}

// Nobody gets at the API while it wants to be left alone.
func TestItIsLeftAloneAsItWants(t *testing.T) {
	w := newWorld(t)
	p := w.provider()
	w.standing(p, query(ana))
	w.zero.Sent()
	w.zero.Fail(sandbox.Fault{Times: 1, Status: 429, RetryAfter: "30"})
	for range 5 {
		if _, err := p.Standing(t.Context(), query(ana)); codeOf(err) != access.CodeQuota {
			t.Error(err)
		}
	}
	if sent := w.zero.Sent(); len(sent) != 1 {
		t.Errorf("%d calls", len(sent))
	}
	w.pass(31 * time.Second)
	w.standing(p, query(ana))
}
