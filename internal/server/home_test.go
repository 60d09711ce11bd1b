package server_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/server/storybook"
)

// many are a thousand projects.
func many() (all []access.ResourceInfo) {
	for i := range 1000 {
		all = append(all, access.ResourceInfo{Resource: access.Resource(fmt.Sprintf("projects/acme-project-with-a-long-id-%03d", i)), Title: fmt.Sprintf("Team %03d, production", i)})
	}
	return all
}

// home is the start page of who sees a thousand projects, 80 of them listed, and may have much.
func home(t testing.TB) http.Handler {
	c := newCanned(t)
	storybook.Searched(c.State)
	c.State.Resources = many()
	for range 200 {
		c.State.Named.Eligible = append(c.State.Named.Eligible, access.EntitlementID{Resource: c.State.Resources[3].Resource, Role: "roles/iam.securityAdmin"})
	}
	h, _ := serve(t, c, nil)
	return h
}

// The start page of a thousand projects and all that it loads are less than 60 KB, also for who
// takes nothing compressed.
func TestTheStartPageStaysSmall(t *testing.T) {
	for encoding, most := range map[string]int{"identity": 60_000, "gzip": 36_000} {
		if page, all := weigh(t, home(t), request("GET", "/"), encoding); page < 10_000 || all < page+5_000 || all > most {
			t.Errorf("%s: %d bytes, of which the page has %d", encoding, all, page)
		}
	}
}

// Those that the start page does not list are found by typing.
func TestWhatTheStartPageDoesNotListIsFound(t *testing.T) {
	h := home(t)
	for typed, want := range map[string]string{"id-997": "acme-project-with-a-long-id-997", "team 998": "acme-project-with-a-long-id-998", "SECURITYADMIN": "acme-project-with-a-long-id-003"} {
		a := do(h, request("GET", "/?list=1&q="+strings.ReplaceAll(typed, " ", "+")))
		if a.Code != 200 || !strings.Contains(a.Body.String(), `href="/access/projects/`+want+`"`) || strings.Count(a.Body.String(), "/access/projects/acme-project") != 1 {
			t.Errorf("%s: %d %s", typed, a.Code, a.Body)
		}
	}
}

// What was asked for often and last comes first; what others than people asked, and what was
// taken in an emergency, is no habit.
func TestRecentComesFirst(t *testing.T) {
	c := newCanned(t)
	storybook.Ledgered(c.State)
	at := func(id access.EntitlementID) access.Request {
		q := c.View.Request
		q.Entitlements, q.Resource = []access.EntitlementID{id}, id.Resource
		return q
	}
	glass, program := at(security), at(security)
	glass.Kind, program.Asking = access.BreakGlass, access.Asking{Application: "deployer"}
	elsewhere := security
	elsewhere.Resource = "projects/acme-orders-test"
	c.Listed = map[string][]access.Request{broker.ViewMine: {glass, program, at(viewer), at(admin), at(admin), at(elsewhere)}}
	h, _ := serve(t, c, nil)
	page := do(h, request("GET", "/")).Body.String()
	var order []string
	for _, part := range strings.Split(page, `<li class="recent"><a href="`)[1:] {
		address, _, _ := strings.Cut(part, `"`)
		order = append(order, address)
	}
	want := []string{"instanceAdmin", "objectViewer", "acme-orders-test"}
	if len(order) != len(want) {
		t.Fatalf("%q", order)
	}
	for i, part := range want {
		if !strings.Contains(order[i], part) {
			t.Errorf("%d is %s, want %s", i, order[i], part)
		}
		if a := do(h, request("GET", strings.ReplaceAll(order[i], "&amp;", "&"))); part != "acme-orders-test" && (a.Code != 200 || !strings.Contains(a.Body.String(), `class="ask"`)) {
			t.Errorf("%s: %d", order[i], a.Code)
		}
	}
	if strings.Contains(page, "recent.js") {
		t.Error("the browser keeps what the ledger has")
	}
}

// hanging answers no search.
type hanging struct{ *canned }

func (h hanging) Named(ctx context.Context, _ access.Caller) (access.Named, bool, []*access.Error) {
	return access.Named{}, true, []*access.Error{{Kind: access.TimedOut, Code: access.CodeUpstreamTimeout, Args: access.Args{"service": "Cloud Asset Inventory"}}}
}

// What could not be searched hides nothing else, and is said.
func TestWhatCouldNotBeSearchedHidesNothing(t *testing.T) {
	h, _ := serve(t, hanging{newCanned(t)}, nil)
	page := do(h, request("GET", "/")).Body.String()
	for _, want := range []string{"It could not be looked up now. Cloud Asset Inventory did not answer in time.", "Orders, production", "this service keeps no list of requests"} {
		if !strings.Contains(page, want) {
			t.Errorf("lacks %s", want)
		}
	}
}
