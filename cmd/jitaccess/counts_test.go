package main

import (
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"jitaccess/internal/sandbox/google"
)

// Calls as google.Calls names them.
const (
	readPolicy  = "POST /v3/projects/{id}:getIamPolicy"
	writePolicy = "POST /v3/projects/{id}:setIamPolicy"
	readFolder  = "POST /v3/folders/{id}:getIamPolicy"
	readRoot    = "POST /v3/organizations/{id}:getIamPolicy"
	batchGet    = "GET /v1/organizations/{id}/effectiveIamPolicies:batchGet"
	groupsOf    = "GET /admin/directory/v1/groups"
	membersOf   = "GET /admin/directory/v1/groups/{group}/members"
	signJwt     = "POST /v1/projects/-/serviceAccounts/{account}:signJwt"
	searchIDs   = "GET /v3/projects:search"
)

// tenReviewers lets ten more people review what Alice may request.
func tenReviewers(o *google.Organization) {
	for i := range 10 {
		p := person(i)
		o.People = append(o.People, p)
		for g := range o.Groups {
			if o.Groups[g].Email == "sre@example.com" {
				o.Groups[g].Members = append(o.Groups[g].Members, p.Email)
			}
		}
	}
}

// TestCallsPerAction (point 11): what an action may cost, on a service that remembers nothing
// of the project.
func TestCallsPerAction(t *testing.T) {
	w := newWorld(t, surroundings{organization: tenReviewers})
	var reviewers []string
	for i := range 10 {
		reviewers = append(reviewers, person(i).Email)
	}
	var ref string
	look := map[string]int{batchGet: 1, readPolicy: 1, readFolder: 0, readRoot: 0, writePolicy: 0}
	tests := []struct {
		action string
		do     func() answer
		want   map[string]int
	}{
		{"the list of projects: all pages, once", func() answer { return w.api(alice, "/api/projects", nil) }, map[string]int{searchIDs: 3, batchGet: 0}},
		{"opening a project", func() answer { return w.page(alice, "/access/projects/"+project) }, and(look, groupsOf, 1)},
		{"its roles", func() answer { return w.api(alice, "/api/projects/"+project+"/roles", nil) }, and(look, groupsOf, 1)},
		{"peers, of a group in three pages", func() answer {
			return w.api(alice, "/api/projects/"+project+"/peers?id="+url.QueryEscape(peerID), nil)
		}, and(look, membersOf, 3)},
		{"self-activation", func() answer { return w.api(alice, selfURL, selfBody(nil)) },
			map[string]int{batchGet: 1, readPolicy: 1, writePolicy: 1, readFolder: 0, readRoot: 0, groupsOf: 1}},
		{"a request to ten reviewers", func() answer {
			a := w.api(alice, askURL, askBody(dict{"peers": reviewers}))
			if u, err := url.Parse(a.ReviewURL); err == nil {
				ref = u.Query().Get("activation")
			}
			return a
		}, and(and(look, groupsOf, 11), signJwt, 1)},
		{"looking at a request", func() answer { return w.page(reviewers[3], reviewPath(ref)) }, and(look, groupsOf, 2)},
		{"an approval", func() answer { return w.api(reviewers[3], decideURL(ref), dict{}) },
			map[string]int{batchGet: 1, readPolicy: 1, writePolicy: 1, readFolder: 1, readRoot: 0, groupsOf: 2, signJwt: 0}},
		{"the same approval again", func() answer { return w.api(reviewers[3], decideURL(ref), dict{}) },
			map[string]int{batchGet: 1, readPolicy: 1, writePolicy: 0, readFolder: 1, readRoot: 0}},
	}
	// The first look-up of groups finds out by whose token it has to be made.
	w.page(frank, "/access/projects/"+project).expect(t, 200)
	for _, test := range tests {
		w.pass(10 * time.Minute)
		w.cloud.Calls().Reset()
		test.do().expect(t, 200)
		for call, n := range test.want {
			if got := w.cloud.Calls().Count(call); got != n {
				t.Errorf("%s: %d calls of %s, want %d; all: %v", test.action, got, call, n, w.cloud.Calls().All())
			}
		}
	}
}

func and(m map[string]int, key string, n int) map[string]int {
	more := map[string]int{key: n}
	for k, v := range m {
		more[k] = v
	}
	return more
}

// TestFiftyActivationsAtOnceAllSucceed: with fewer writes than people, and without a
// byte of anybody else's changed.
func TestFiftyActivationsAtOnceAllSucceed(t *testing.T) {
	const people = 50
	w := newWorld(t, surroundings{organization: func(o *google.Organization) {
		var members []string
		for i := range people {
			o.People = append(o.People, person(i))
			members = append(members, "user:"+person(i).Email)
		}
		for i := range o.Projects {
			if o.Projects[i].ID == project {
				o.Projects[i].Policy.Bindings = append(o.Projects[i].Policy.Bindings, google.Binding{Role: "roles/run.admin", Members: members,
					Condition: &google.Condition{Title: "Eligible for JIT access", Expression: "has({}.jitAccessConstraint)"}})
			}
		}
	}})
	before := w.foreign("projects/" + project)
	w.cloud.Calls().Reset()
	ids := make([]string, people)
	var all sync.WaitGroup
	for i := range people {
		all.Go(func() {
			a := w.api(person(i).Email, selfURL, selfBody(dict{"entitlementIds": []string{project + ":roles/run.admin"}, "justification": fmt.Sprintf("Case %d", i)}))
			if a.status != 200 {
				t.Errorf("answered %d: %s", a.status, a.body)
			}
			if len(a.Entitlements) == 1 && a.Entitlements[0].Status == "ACTIVE" {
				ids[i] = a.Entitlements[0].ActivationID
			}
		})
	}
	all.Wait()
	for i, id := range ids {
		if id == "" || w.granted(id) != 1 {
			t.Errorf("person %d: %d bindings of %q", i, w.granted(id), id)
		}
		if !w.cloud.Allowed("user:"+person(i).Email, "roles/run.admin", "projects/"+project, time.Now().Add(time.Minute)) {
			t.Errorf("person %d has no access", i)
		}
	}
	if n := w.cloud.Calls().Count(writePolicy); n >= people || n < people/10 {
		t.Errorf("%d writes", n)
	} else {
		t.Logf("%d people, %d writes", people, n)
	}
	if after := w.foreign("projects/" + project); after != before {
		t.Errorf("foreign content changed:\n%s\n%s", before, after)
	}
	if strings.Contains(w.log.String(), "panic") {
		t.Error("a panic")
	}
}
