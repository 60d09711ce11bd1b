package channel_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"jitaccess/internal/broker"
	"jitaccess/internal/channel/googlechat"
	"jitaccess/internal/channel/slack"
	"jitaccess/internal/outbound"
)

// Who has set no bound in time does not want to wait: what a service wants is in the error, for
// whoever tells again.
func TestARestIsNoWait(t *testing.T) {
	calls := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls++
		w.Header().Set("Retry-After", "31536000")
		w.WriteHeader(http.StatusTooManyRequests)
	}))
	defer s.Close()
	w := newWorld(t)
	config := w.config(kept("xoxb-x"))
	config.Endpoint, config.Client = s.URL, outbound.Client("test", s.Client().Transport)
	c := slack.New(config, "#access")
	failed := c.Notify(context.Background(), asked(ben)).Failed()
	if len(failed) == 0 || len(w.slept) > 0 {
		t.Errorf("%v, slept for %v", failed, w.slept)
	}
	for _, f := range failed {
		resting, ok := errors.AsType[broker.Resting](f.Err)
		if !ok || !resting.RestsUntil().Equal(noon.Add(10*time.Minute)) {
			t.Errorf("%v", f.Err)
		}
	}
	before := calls
	if c.Notify(within(t), asked(ben)); calls != before {
		t.Error("asked while it rests")
	}
}

// What is not sent, since there is no time to wait for a turn, takes no turn from anybody.
func TestATurnThatNobodyUsesIsTheNexts(t *testing.T) {
	for _, name := range []string{"googlechat", "slack"} {
		w := newWorld(t)
		// Others wait at the same time: the clock stands.
		still := func(context.Context, time.Duration) error { return nil }
		var c told
		if name == "slack" {
			config := w.config(kept("xoxb-CANARY-1"))
			config.Sleep = still
			c = slack.New(config, "#access")
		} else {
			config := w.config(kept("https://chat.googleapis.com/v1/spaces/AAAA/messages?key=CANARY-key&token=CANARY-space"))
			config.Sleep = still
			c = googlechat.New(config)
		}
		tell := func(i int) bool {
			n := asked()
			n.ID, n.Request.ID = fmt.Sprint("N", i), fmt.Sprintf("mpa-%016d", i)
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			return len(c.Notify(ctx, n).Failed()) == 0
		}
		sent := 0
		for i := range 100 {
			if tell(i) {
				sent++
			}
		}
		w.mu.Lock()
		w.at = w.at.Add(10 * time.Second)
		w.mu.Unlock()
		if sent == 0 || sent == 100 || !tell(100) {
			t.Errorf("%s: sent %d of 100, and none ten seconds later", name, sent)
		}
	}
}
