package provider_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/gcp/gcptest"
	"jitaccess/internal/gcp/provider"
)

// tree answers a search for folders: 1 in the organization 1, 2 in 1, 3 in 2, 4 in another
// organization, 5 in what nobody sees, 6 that is being deleted.
const tree = `{"folders":[{"name":"folders/1","displayName":"One","parent":"organizations/1","state":"ACTIVE"},
	{"name":"folders/2","displayName":"Two","parent":"folders/1","state":"ACTIVE"},
	{"name":"folders/3","displayName":"Three","parent":"folders/2"},{"name":"folders/4","parent":"organizations/2"},
	{"name":"folders/5","displayName":"Five","parent":"folders/50"},{"name":"folders/6","parent":"organizations/1","state":"DELETE_REQUESTED"},
	{"name":"folders/7","parent":"folders/8"},{"name":"folders/8","parent":"folders/7"}, {"name":"folders/../9"}, {}]}`

// Those that are named are offered as far as they are found and lie in the scope; of every other it
// is said why not, and the projects are listed all the same.
func TestWhatIsNamedIsOffered(t *testing.T) {
	for _, c := range []struct {
		name, scope, named string
		instead            map[string]http.HandlerFunc
		want, warns        string
		searches           int
	}{
		{"nothing", "organizations/1", "", nil, "", "", 0},
		{"in the organization", "organizations/1", "folders/1 folders/3", nil, "folders/1=One folders/3=Three", "", 1},
		{"the organization", "organizations/1", "organizations/1", nil, "organizations/1=example.com", "", 0},
		{"another organization", "organizations/1", "organizations/2 folders/4", nil, "", "named-outside organizations/2, named-outside folders/4", 1},
		{"the folder that is the scope, and below it", "folders/2", "folders/2 folders/3", nil, "folders/2=Two folders/3=Three", "", 1},
		{"above the scope, and beside it", "folders/2", "folders/1 folders/4 organizations/1", nil, "",
			"named-outside folders/1, named-outside folders/4, named-outside organizations/1", 1},
		{"the scope is a project", "projects/p-1", "folders/1 organizations/1", nil, "", "named-outside folders/1, named-outside organizations/1", 0},
		{"nobody sees what it lies in", "organizations/1", "folders/5", nil, "folders/5=Five", "", 1},
		{"in a circle", "organizations/1", "folders/7", nil, "folders/7=", "", 1},
		{"nowhere", "organizations/1", "folders/1 folders/99", nil, "folders/1=One", "named-unseen folders/99", 1},
		{"being deleted", "organizations/1", "folders/6", nil, "", "named-leaving folders/6", 1},
		{"the organization may not be seen", "organizations/1", "folders/1 organizations/1",
			map[string]http.HandlerFunc{"/v3/organizations/1": gcptest.Refuse(403, "forbidden")}, "folders/1=One", "named-unseen organizations/1", 1},
		{"an answer about another organization", "organizations/1", "folders/1 organizations/1",
			map[string]http.HandlerFunc{"/v3/organizations/1": text(`{"name":"organizations/3"}`)}, "folders/1=One", "upstream-failed ", 1},
		{"the search is out of order", "organizations/1", "folders/1 organizations/1",
			map[string]http.HandlerFunc{"/v3/folders:search": gcptest.Refuse(400, "badRequest")}, "organizations/1=example.com", "call-refused ", 1},
		{"no folder may be seen", "organizations/1", "folders/1", map[string]http.HandlerFunc{"/v3/folders:search": text(`{}`)}, "", "named-unseen folders/1", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := gcptest.Start(t, func(w http.ResponseWriter, r *http.Request) {
				answers := map[string]http.HandlerFunc{"/v3/folders:search": text(tree),
					"/v3/organizations/1": text(`{"name":"organizations/1","displayName":"example.com","state":"ACTIVE"}`),
					"/v3/projects:search": text(`{"projects":[{"projectId":"shop-1"}]}`)}
				for path, answer := range c.instead {
					answers[path] = answer
				}
				if answer := answers[r.URL.Path]; answer != nil {
					answer(w, r)
					return
				}
				gcptest.Refuse(404, "notFound")(w, r)
			})
			made, err := provider.New(provider.Config{Platform: g.Platform, Scope: c.scope, CustomerID: "C1", Now: time.Now,
				Sleep: func(context.Context, time.Duration) error { return context.Canceled }})
			if err != nil {
				t.Fatal(err)
			}
			google := made.Naming(func() (all []access.Resource) {
				for _, r := range strings.Fields(c.named) {
					all = append(all, access.Resource(r))
				}
				return all
			})
			if title := google.Title("folders/1"); title != "" || g.Calls("/v3/folders:search") != 0 {
				t.Errorf("called %q before anything was listed", title)
			}
			for range 2 { // the second time of what was found the first
				all, warnings, err := google.Resources(t.Context(), "ana@example.com")
				var got, warns []string
				for _, i := range all {
					if i.Resource.HoldsOthers() {
						got = append(got, string(i.Resource)+"="+google.Title(i.Resource)) // without another search
					}
				}
				for _, w := range warnings {
					warns = append(warns, string(w.Code)+" "+w.Args["resource"])
				}
				if err != nil || strings.Join(got, " ") != c.want || strings.Join(warns, ", ") != c.warns || len(all) != len(got)+1 {
					t.Errorf("%v, warns %q, %v, want %s, %s", all, warns, err, c.want, c.warns)
				}
				if !slices.IsSortedFunc(all, func(a, b access.ResourceInfo) int { return strings.Compare(string(a.Resource), string(b.Resource)) }) {
					t.Errorf("in no order: %v", all)
				}
			}
			if n := g.Calls("/v3/folders:search"); len(c.instead) == 0 && n != c.searches {
				t.Errorf("%d searches", n)
			}
			if all, _, err := made.Resources(t.Context(), "ana@example.com"); err != nil || len(all) != 1 {
				t.Errorf("without names: %v, %v", all, err)
			}
		})
	}
}

func text(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Write([]byte(body))
	}
}
