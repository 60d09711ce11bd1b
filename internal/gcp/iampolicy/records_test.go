package iampolicy_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/gcp/iampolicy"
)

// approved is a grant of one minute, by a link that is good for an hour.
func approved(i int, now time.Time) access.Grant {
	return access.Grant{RequestID: fmt.Sprintf("mpa-%016d", i), Principal: "alice@example.com", Resource: shop, Justification: "x",
		Approvers: []access.Principal{"bob@example.com"}, Window: access.Window{Start: now, End: now.Add(time.Minute)}, LinkEnds: now.Add(time.Hour)}
}

// TestRecordsDoNotLockOut: twenty short grants that were approved within an hour are in
// the way for as long as their links live, which the refusal says, and no longer.
func TestRecordsDoNotLockOut(t *testing.T) {
	p := mustParse(t, policy())
	now := at("12:00")
	for i := range iampolicy.MaxSameRole {
		next, outcome := p.Grant(approved(i, now), runAdmin, now)
		if outcome.Result != access.Granted {
			t.Fatalf("grant %d: %v", i, outcome.Err)
		}
		p, now = next, now.Add(2*time.Minute)
	}
	_, outcome := p.Grant(approved(20, now), runAdmin, now)
	if e := outcome.Err; e == nil || e.Code != access.CodeTooManyRecords || e.Args["until"] != "2026-03-02T13:01:01Z" {
		t.Fatalf("with twenty records: %v", e)
	}
	then := at("13:01").Add(time.Second)
	next, outcome := p.Grant(approved(20, then), runAdmin, then)
	if outcome.Result != access.Granted {
		t.Fatalf("when the first link is dead: %v", outcome.Err)
	}
	if found, _ := next.Activations(shop); len(found) != iampolicy.MaxSameRole || found[0].RequestID != approved(1, now).RequestID || found[0].Justification != "x" {
		t.Errorf("left are %d, the first %+v", len(found), found[0])
	}
}

// A record of which a living link may be in need is never cleared, whatever is granted
// and ended, and whoever writes what into a justification.
func TestNoRecordIsClearedWhileItsLinkLives(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 11))
		p := mustParse(t, policy())
		now := at("00:00")
		lives := map[string]time.Time{}
		for i := range 40 {
			now = now.Add(time.Duration(r.IntN(30*60)) * time.Second)
			g := approved(i, now)
			g.Justification = []string{"x", "x [link 2026-03-02T00:00Z]", "[link 2020-01-01T00:00Z]", strings.Repeat("y", 250)}[r.IntN(4)]
			g.LinkEnds = now.Add(time.Duration(r.IntN(6*3600)) * time.Second)
			if r.IntN(4) == 0 {
				g.LinkEnds = time.Time{}
			}
			next, outcome := p.Grant(g, runAdmin, now)
			if outcome.Result == access.Granted {
				p = next
				if lives[g.RequestID] = g.LinkEnds; g.LinkEnds.IsZero() {
					lives[g.RequestID] = now.Add(access.LinkLife)
				}
			} else if outcome.Err.Code != access.CodeTooManyRecords {
				t.Fatalf("seed %d: %v", seed, outcome.Err)
			}
			if r.IntN(2) == 0 {
				p, _ = p.End(access.Ending{RequestID: g.RequestID, Principal: g.Principal, Resource: shop, At: now}, runAdmin, now)
			}
			p = mustParse(t, strings.TrimSuffix(strings.TrimPrefix(mustBody(t, p), `{"policy":`), "}"))
			found, _ := p.Activations(shop)
			kept := map[string]bool{}
			for _, a := range found {
				kept[a.RequestID] = true
			}
			for id, until := range lives {
				if !kept[id] && !now.After(until) {
					t.Fatalf("seed %d, at %s: the record of %s is gone, its link is good until %s", seed, now, id, until)
				}
			}
		}
	}
}

// What a link's end is written as is read as that, and is left out where it does not fit
// or says nothing.
func TestTheEndOfTheLinkIsInTheDescription(t *testing.T) {
	g := approved(1, at("12:00"))
	for rule, c := range map[string]struct {
		change func(*access.Grant)
		want   string
	}{
		"an hour":               {func(*access.Grant) {}, "x [link 2026-03-02T13:00Z] [mpa-"},
		"rounded up":            {func(g *access.Grant) { g.LinkEnds = g.LinkEnds.Add(time.Nanosecond) }, "x [link 2026-03-02T13:01Z] [mpa-"},
		"not known":             {func(g *access.Grant) { g.LinkEnds = time.Time{} }, "x [mpa-"},
		"as late as any":        {func(g *access.Grant) { g.LinkEnds = g.Window.Start.Add(access.LinkLife) }, "x [mpa-"},
		"self-approved":         {func(g *access.Grant) { g.Approvers = nil }, "x [mpa-"},
		"said by the requester": {func(g *access.Grant) { g.Justification = "x [link 2026-03-02T12:00Z]"; g.LinkEnds = time.Time{} }, "x (link 2026-03-02T12:00Z) [mpa-"},
	} {
		g := g
		c.change(&g)
		if text, err := iampolicy.Describe(g, iampolicy.MaxDescription); err != nil || !strings.Contains(text, c.want) {
			t.Errorf("%s: %q, %v", rule, text, err)
		}
	}
}
