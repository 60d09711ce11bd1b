package server_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
)

// stuck is a broker whose answers wait for release. It counts who is served.
type stuck struct {
	*world
	mu      sync.Mutex
	served  map[access.Principal]int
	release chan struct{}
}

func (s *stuck) wait(c access.Caller) {
	s.mu.Lock()
	s.served[c.Principal]++
	s.mu.Unlock()
	<-s.release
}

func (s *stuck) Offer(ctx context.Context, c access.Caller, on access.Resource) (broker.Offer, error) {
	s.wait(c)
	return s.world.Offer(ctx, c, on)
}

func (s *stuck) End(context.Context, access.Caller, access.Resource, string, access.Principal) (broker.Ended, error) {
	panic("the end has been reached")
}

// One person who opens many pages at once has a few of them served; the others wait,
// and are refused with words when that takes long. Nobody else waits, nor do the
// changes of the same person, and a request that fails gives its place back.
func TestOnePersonHoldsAFewRequestsInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &stuck{world: newWorld(t), served: map[access.Principal]int{}, release: make(chan struct{})}
		h, _ := serve(t, b, nil)
		open := func(who access.Principal, pages int) []*httptest.ResponseRecorder {
			answers := make([]*httptest.ResponseRecorder, pages)
			for i := range answers {
				answers[i] = httptest.NewRecorder()
				r := request("GET", "/access/projects/acme-orders-prod")
				r.Header.Set(personHeader, string(who))
				go h.ServeHTTP(answers[i], r)
			}
			return answers
		}
		codes := func(answers []*httptest.ResponseRecorder) map[int]int {
			codes := map[int]int{}
			for _, a := range answers {
				codes[a.Code]++
			}
			return codes
		}
		anas := open(ana, 80)
		synctest.Wait()
		if b.served[ana] != 8 {
			t.Errorf("%d are served at once", b.served[ana])
		}
		bens := open(ben, 2)
		synctest.Wait()
		if b.served[ben] != 2 {
			t.Error("somebody else waits")
		}
		for range 20 {
			r := request("POST", "/requests/jit-AAAAAAAAAAAAAAAA/end")
			r.Body = http.NoBody
			if got := do(h, r).Code; got != http.StatusBadRequest {
				t.Fatalf("a change of the same person: %d", got)
			}
		}
		// One of those who wait takes the place of one that is done, within their patience.
		b.release <- struct{}{}
		synctest.Wait()
		if b.served[ana]+b.served[ben] != 11 {
			t.Errorf("%d are served, and 2 of somebody else, after one is done", b.served[ana])
		}
		waited := make(chan struct{})
		go func() {
			defer close(waited)
			if got := do(h, request("GET", "/")).Code; got != http.StatusTooManyRequests {
				t.Errorf("who waits too long: %d", got)
			}
		}()
		<-waited // the clock of this test goes on when all wait
		synctest.Wait()
		var refused *httptest.ResponseRecorder
		for _, a := range anas {
			if a.Code == http.StatusTooManyRequests {
				refused = a
			}
		}
		if refused == nil || refused.Header().Get("Retry-After") == "" || len(refused.Body.String()) < 100 {
			t.Errorf("the refusal: %+v", refused)
		}
		close(b.release)
		synctest.Wait()
		if got := codes(anas); got[200] < 8 || got[200] > 9 || got[200]+got[429] != 80 {
			t.Errorf("%v", got)
		}
		if got := codes(bens); got[200] != 2 {
			t.Errorf("somebody else's: %v", got)
		}
		for range 10 {
			if got := do(h, request("GET", "/")).Code; got != http.StatusOK {
				t.Fatalf("afterwards: %d", got)
			}
		}
	})
}

// The places of pages that wait are for these alone.
func TestOtherPagesDoNotWaitForChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &stuck{world: newWorld(t), served: map[access.Principal]int{}, release: make(chan struct{})}
		h, _ := serve(t, b, nil)
		for i := range 40 {
			go do(h, request("GET", "/access/projects/acme-orders-prod"+[]string{"", "?wait=1"}[i%2]))
		}
		synctest.Wait()
		if b.served[ana] != 8 {
			t.Errorf("%d are served at once", b.served[ana])
		}
		close(b.release)
	})
}

func TestARequestThatFailsGivesItsPlaceBack(t *testing.T) {
	h, _ := serve(t, &stuck{world: newWorld(t)}, nil)
	for i := range 10 {
		form := "resource=projects/acme-orders-prod"
		r := httptest.NewRequest("POST", "/requests/jit-AAAAAAAAAAAAAAAA/end", strings.NewReader(form))
		r.Header = request("POST", "/").Header
		r.Host = "access.example.com"
		if got := do(h, r).Code; got != http.StatusInternalServerError {
			t.Fatalf("the %dth: %d", i+1, got)
		}
	}
}
