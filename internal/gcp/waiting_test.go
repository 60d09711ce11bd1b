package gcp

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"
)

// A token server that hangs is waited for once, by all who need a token together; each
// waits no longer than they have time.
func TestWhoWaitsForATokenWaitsOnceAndNoLongerThanTheyHaveTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fetched, hung := 0, errors.New("hangs")
		s := &tokens{now: time.Now, fetch: tokenSource(func() (*oauth2.Token, error) {
			fetched++
			time.Sleep(5 * time.Second)
			if fetched == 1 {
				return nil, hung
			}
			return &oauth2.Token{AccessToken: "second"}, nil
		})}
		hurried, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begun := time.Now()
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				if _, err := s.current(t.Context()); !errors.Is(err, hung) || time.Since(begun) != 5*time.Second {
					t.Errorf("%v after %v", err, time.Since(begun))
				}
			})
		}
		all.Go(func() {
			if _, err := s.current(hurried); !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) != time.Second {
				t.Errorf("who has a second: %v after %v", err, time.Since(begun))
			}
		})
		all.Wait()
		if fetched != 1 {
			t.Errorf("asked %d times", fetched)
		}
		// So it is with one that Google does not take.
		dead := &oauth2.Token{AccessToken: "first"}
		s.last, begun = dead, time.Now()
		for range 8 {
			all.Go(func() {
				if fresh := s.after(t.Context(), dead); fresh == nil || fresh.AccessToken != "second" {
					t.Errorf("got %v", fresh)
				}
			})
		}
		all.Wait()
		if token, err := s.current(t.Context()); err != nil || token.AccessToken != "second" || fetched != 2 {
			t.Errorf("%v, %v, asked %d times", token, err, fetched)
		}
	})
}
