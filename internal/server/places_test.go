package server

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"jitaccess/internal/access"
)

// The places to wait are everybody's: few people who take all give way, each as long as
// they hold more than who comes, and nobody else loses one.
func TestFewPeopleDoNotKeepAllPlacesToWait(t *testing.T) {
	p := newPlaces(200)
	gone := map[access.Principal][]<-chan struct{}{}
	var leaves []func()
	take := func(who access.Principal) bool {
		place := make(chan struct{})
		leave := p.take(who, func() { close(place) })
		if leave == nil {
			return false
		}
		gone[who] = append(gone[who], place)
		leaves = append(leaves, leave)
		return true
	}
	held := func(who access.Principal) (n int) {
		for _, place := range gone[who] {
			select {
			case <-place:
			default:
				n++
			}
		}
		return n
	}
	person := func(i int) access.Principal { return access.Principal(fmt.Sprintf("p%d@example.com", i)) }
	for i := range 200 {
		if !take(person(i / 6)) {
			t.Fatalf("place %d", i)
		}
	}
	// Whoever comes has one; and more until they hold as many as others.
	if !take("ana") || !take("ben") || held("ana") != 1 {
		t.Error("34 people keep all places")
	}
	for range 10 {
		take("ana")
	}
	if n := held("ana"); n != 5 && n != 6 {
		t.Errorf("ana holds %d", n)
	}
	for i := range 300 {
		take(access.Principal(fmt.Sprintf("q%d@example.com", i)))
	}
	all := 0
	for who := range gone {
		n := held(who)
		if all += n; n > 1 && held("ben") == 0 {
			t.Errorf("%s holds %d, and ben none", who, n)
		}
	}
	if all != 200 || p.taken != 200 {
		t.Errorf("%d places are held, and %d counted", all, p.taken)
	}
	if take("somebody") {
		t.Error("a place is taken from who holds one")
	}
	for _, leave := range leaves {
		leave()
		leave()
	}
	if p.taken != 0 || len(p.of) != 0 {
		t.Errorf("%d places are taken when all have left", p.taken)
	}
}

// Who loses the place is told at once that nothing has changed.
func TestWhoLosesThePlaceWaitsNoLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{Config: Config{After: func(time.Duration) <-chan time.Time { return nil }}}
		gone := make(chan struct{})
		close(gone)
		if s.pause(t.Context(), gone) {
			t.Error("it goes on waiting")
		}
	})
}
