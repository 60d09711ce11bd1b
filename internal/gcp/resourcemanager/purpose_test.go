package resourcemanager_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/gcp/resourcemanager"
)

// overheard notes what calls are for, and for whom.
type overheard struct {
	http.RoundTripper
	mu  sync.Mutex
	all []string
}

func (o *overheard) RoundTrip(r *http.Request) (*http.Response, error) {
	purpose, by := access.PurposeOf(r.Context())
	_, method, _ := strings.Cut(r.URL.Path[strings.LastIndex(r.URL.Path, "/"):], ":")
	o.mu.Lock()
	o.all = append(o.all, method+" "+[]string{"page", "action", "end"}[purpose]+" "+string(by))
	o.mu.Unlock()
	return o.RoundTripper.RoundTrip(r)
}

// What waits for a write of somebody else's is not done in their name, nor for their
// purpose: quotas keep a part for ending access, and each person has a part of their own.
func TestWhatWaitsForAWriteKeepsItsPurposeAndItsPerson(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGoogle(t)
		for who, id := range map[access.Principal]string{"alice@example.com": idA, "ann@example.com": "mpa-0000000000000009"} {
			stands := grantTo(who, id, "roles/a")
			if _, err := granterOf(g).Grant(t.Context(), stands, query(stands), fine); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Minute)
		o := &overheard{RoundTripper: &delayed{g, 100 * time.Millisecond}}
		granter := resourcemanager.NewGranter(clientOf(o), standings{})
		var all sync.WaitGroup
		submit := func(by access.Principal, act func(ctx context.Context)) {
			all.Go(func() { act(access.WithPerson(t.Context(), by)) })
			synctest.Wait()
		}
		grant := func(id string) func(context.Context) {
			return func(ctx context.Context) {
				granted := grantTo("eve@example.com", id, "roles/c")
				if _, err := granter.Grant(ctx, granted, query(granted), fine); err != nil {
					t.Error(err)
				}
			}
		}
		end := func(who access.Principal, id string) func(context.Context) {
			return func(ctx context.Context) {
				if _, err := granter.End(ctx, access.Ending{RequestID: id, Principal: who, Resource: shop, At: time.Now()}); err != nil {
					t.Error(err)
				}
			}
		}
		submit("eve@example.com", grant("mpa-0000000000000001"))
		submit("alice@example.com", end("alice@example.com", idA))
		all.Wait()
		want := []string{"getIamPolicy action eve@example.com", "setIamPolicy action eve@example.com",
			"getIamPolicy end alice@example.com", "setIamPolicy end alice@example.com"}
		if !slices.Equal(o.all, want) {
			t.Errorf("one after the other:\n%q, want\n%q", o.all, want)
		}

		// What is for several people is on nobody's account alone.
		o.all = nil
		submit("eve@example.com", grant("mpa-0000000000000002"))
		submit("eve@example.com", grant("mpa-0000000000000003"))
		submit("ann@example.com", end("ann@example.com", "mpa-0000000000000009"))
		all.Wait()
		want = []string{"getIamPolicy action eve@example.com", "setIamPolicy action eve@example.com", "getIamPolicy end ", "setIamPolicy end "}
		if !slices.Equal(o.all, want) {
			t.Errorf("together:\n%q, want\n%q", o.all, want)
		}
	})
}
