package assetinventory_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/gcp/assetinventory"
	"jitaccess/internal/gcp/directory"
	"jitaccess/internal/gcp/gcptest"
)

var _ broker.Catalog = (*assetinventory.Catalog)(nil)

const (
	self, peers, org, folder, shop, ana, ben = gcptest.Self, gcptest.Peers, gcptest.Org, gcptest.Folder, gcptest.Shop, gcptest.Ana, gcptest.Ben
)

var binding, parse = gcptest.Binding, gcptest.Parse

// world is a Google Cloud of one project in one folder in one organization.
type world struct {
	*gcptest.Google
	catalog *assetinventory.Catalog

	mu sync.Mutex
	// live are the policies as they are, inventory as they were. A resource without
	// a live policy may not be read.
	live, inventory map[string][]map[string]any
	groups, members map[string][]string
	// instead replaces the answer to calls whose URL contains the key.
	instead map[string]http.HandlerFunc
	now     time.Time
	// size is how many items a page of the directory has.
	size int
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{
		live:      map[string][]map[string]any{shop: {}, folder: {}, org: {}},
		inventory: map[string][]map[string]any{shop: {}, folder: {}, org: {}},
		groups:    map[string][]string{}, members: map[string][]string{},
		instead: map[string]http.HandlerFunc{},
		now:     time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), size: 200,
	}
	w.Google = gcptest.Start(t, w.serve)
	d := directory.New(w.Platform, "C0123", w.clock)
	w.catalog = assetinventory.New(assetinventory.Config{Platform: w.Platform, Scope: org, Policies: w.Policies(w.clock), Directory: d,
		SearchProjects: w.search, Now: w.clock})
	return w
}

func (w *world) clock() time.Time { w.mu.Lock(); defer w.mu.Unlock(); return w.now }

func (w *world) pass(d time.Duration) { w.mu.Lock(); defer w.mu.Unlock(); w.now = w.now.Add(d) }

// both sets a policy as it is and as the inventory has it.
func (w *world) both(resource string, bindings ...map[string]any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.live[resource], w.inventory[resource] = bindings, bindings
}

// set changes the world, a moment after whatever was asked before.
func (w *world) set(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
	w.now = w.now.Add(time.Millisecond)
}

func (w *world) serve(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	for part, handler := range w.instead {
		if strings.Contains(r.URL.RequestURI(), part) {
			w.mu.Unlock()
			handler(rw, r)
			return
		}
	}
	defer w.mu.Unlock()
	path := r.URL.Path
	switch {
	case path == "/v1/"+org+"/effectiveIamPolicies:batchGet":
		w.batchGet(rw, r)
	case gcptest.ServePolicy(rw, r, w.live):
	case path == "/v3/"+shop:
		gcptest.Answer(rw, map[string]any{"projectId": "shop", "parent": folder})
	case path == "/v3/"+folder:
		gcptest.Answer(rw, map[string]any{"parent": org})
	case path == "/admin/directory/v1/groups":
		var found []map[string]string
		for _, g := range w.groups[strings.TrimPrefix(r.URL.Query().Get("query"), "memberKey=")] {
			found = append(found, map[string]string{"email": g})
		}
		gcptest.Answer(rw, map[string]any{"groups": found})
	case strings.HasSuffix(path, "/members"):
		w.listMembers(rw, r)
	default:
		gcptest.Refuse(404, "notFound")(rw, r)
	}
}

func (w *world) batchGet(rw http.ResponseWriter, r *http.Request) {
	name := r.URL.Query().Get("names")
	tree := []string{shop, folder, org}
	at := slices.Index(tree, strings.TrimPrefix(name, "//cloudresourcemanager.googleapis.com/"))
	if at < 0 {
		gcptest.Refuse(404, "notFound")(rw, r)
		return
	}
	var policies []map[string]any
	for _, resource := range tree[at:] {
		if bindings, ok := w.inventory[resource]; ok {
			policies = append(policies, map[string]any{"attachedResource": "//cloudresourcemanager.googleapis.com/" + resource,
				"policy": map[string]any{"bindings": bindings}})
		}
	}
	gcptest.Answer(rw, map[string]any{"policyResults": []any{map[string]any{"fullResourceName": name, "policies": policies}}})
}

func (w *world) listMembers(rw http.ResponseWriter, r *http.Request) {
	group := strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, "/admin/directory/v1/groups/"), "/members")
	members, ok := w.members[group]
	if !ok {
		gcptest.Refuse(404, "notFound")(rw, r)
		return
	}
	from, _ := strconv.Atoi(r.URL.Query().Get("pageToken"))
	to := min(from+w.size, len(members))
	found := []map[string]string{}
	for _, m := range members[from:to] {
		found = append(found, map[string]string{"email": m, "type": "USER", "status": "ACTIVE"})
	}
	body := map[string]any{"members": found}
	if to < len(members) {
		body["nextPageToken"] = strconv.Itoa(to)
	}
	gcptest.Answer(rw, body)
}

func (w *world) search(_ context.Context, query string) ([]access.ResourceInfo, error) {
	switch query {
	case "state:ACTIVE":
		return []access.ResourceInfo{{Resource: "projects/shop", Title: "Shop"}, {Resource: "projects/billing"}}, nil
	}
	return nil, &access.Error{Kind: access.Unavailable, Code: access.CodeUpstreamFailed, Err: errors.New(query)}
}

func (w *world) standing(t testing.TB, q access.StandingQuery) access.Standing {
	t.Helper()
	q.Resource = shop
	s, err := w.catalog.Standing(context.Background(), q)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// held writes what p holds on one line, for comparison.
func held(s access.Standing, p access.Principal) string {
	var parts []string
	for _, e := range s.Holdings[p] {
		part := strings.TrimPrefix(e.ID.String(), "shop:")
		for name, is := range map[string]bool{"?": e.Unconfirmed} {
			if is {
				part += name
			}
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, " ")
}

func codes(s access.Standing) string { return gcptest.Codes(s.Warnings) }

// expect compares counted calls.
func (w *world) expect(t testing.TB, calls map[string]int) {
	t.Helper()
	for part, want := range calls {
		if got := w.Calls(part); got != want {
			t.Errorf("%d calls of %s, want %d", got, part, want)
		}
	}
}

func email(i int) string { return fmt.Sprintf("p%d@example.com", i) }
