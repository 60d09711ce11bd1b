package standing_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"jitaccess/internal/access"
)

// What lies above a project is read from the parents of each: what the source lists are
// the nodes that have a policy, and a folder without one is not among them. Where a parent
// cannot be read it is not known, whatever the source lists.
func TestWhatLiesAbove(t *testing.T) {
	const sub = access.Resource("folders/8")
	deep := map[access.Resource]access.Resource{shop: "folders/1"}
	for i := range 20 {
		deep[access.Resource(fmt.Sprintf("folders/%d", i+1))] = access.Resource(fmt.Sprintf("folders/%d", i+2))
	}
	for _, c := range []struct {
		name  string
		world *world
		want  []access.Resource
		code  access.Code // why there may be more
	}{
		{"two nodes", &world{}, []access.Resource{folder, org}, ""},
		{"a folder without a policy, which the source does not list", &world{above: policies{org: nil},
			tree: map[access.Resource]access.Resource{shop: sub, sub: folder, folder: org}}, []access.Resource{sub, folder, org}, ""},
		{"what has moved since the source looked", &world{above: policies{folder: nil, org: nil},
			tree: map[access.Resource]access.Resource{shop: sub, sub: org}}, []access.Resource{sub, org}, ""},
		{"in no organization", &world{tree: map[access.Resource]access.Resource{}}, nil, ""},
		{"a folder that may not be read", &world{above: policies{org: nil}, treeFails: map[access.Resource]int{folder: 403}},
			[]access.Resource{folder, org}, access.CodeServiceNotAllowed},
		{"a project that may not be read", &world{above: policies{folder: nil, org: nil}, treeFails: map[access.Resource]int{shop: 403}},
			[]access.Resource{folder, org}, access.CodeServiceNotAllowed},
		{"a failure that passes", &world{treeFails: map[access.Resource]int{shop: 503}}, nil, access.CodeUpstreamFailed},
		{"a spent quota", &world{treeFails: map[access.Resource]int{folder: 429}}, []access.Resource{folder}, access.CodeQuota},
		{"folders that never end", &world{tree: deep}, nil, access.CodeUpstreamFailed},
		{"a folder in itself", &world{tree: map[access.Resource]access.Resource{shop: folder, folder: folder}}, nil, access.CodeUpstreamFailed},
	} {
		for _, since := range []time.Time{{}, time.Date(2026, 3, 2, 9, 30, 0, 0, time.UTC)} {
			w := c.world
			w.live = policies{shop: nil}
			q := access.StandingQuery{Resource: shop, Principals: []access.Principal{ana}, Above: true, Since: since}
			s, err := w.catalog().Standing(t.Context(), q)
			if err != nil || s.AboveKnown != (c.code == "") || (s.AboveErr != nil) != (c.code != "") || s.AboveErr != nil && s.AboveErr.Code != c.code {
				t.Errorf("%s: known %v, %v, %v", c.name, s.AboveKnown, s.AboveErr, err)
			}
			if c.want != nil && !slices.Equal(s.Above, c.want) || len(s.Above) > 13 {
				t.Errorf("%s: %v", c.name, s.Above)
			}
		}
	}
}

// Nobody asks for parents unless a rule is about them, and of one page or action once.
func TestParentsAreAskedForOnDemand(t *testing.T) {
	w := &world{live: policies{shop: nil}}
	k := w.catalog()
	q := access.StandingQuery{Resource: shop, Principals: []access.Principal{ana}}
	look := func() access.Standing {
		t.Helper()
		w.asked = nil
		s, err := k.Standing(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	if s := look(); w.questions() != "projects/shop source" || s.AboveKnown {
		t.Errorf("%s; known %v", w.questions(), s.AboveKnown)
	}
	q.Above = true
	if look(); w.questions() != "folders/7^ organizations/1^ projects/shop projects/shop^ source" {
		t.Error(w.questions())
	}
	if look(); w.questions() != "projects/shop source" {
		t.Errorf("again within 30 seconds: %s", w.questions())
	}
	w.now = w.now.Add(31 * time.Second)
	if look(); w.questions() != "folders/7^ organizations/1^ projects/shop projects/shop^ source" {
		t.Errorf("later: %s", w.questions())
	}
	w.now = w.now.Add(time.Second)
	q.Since = w.now
	if look(); w.questions() != "folders/7^ organizations/1^ projects/shop projects/shop^ source" {
		t.Errorf("for an action: %s", w.questions())
	}
}
