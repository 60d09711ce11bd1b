package lookup

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"jitaccess/internal/access"
)

func TestSharedAnswersAreBounded(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	calls := 0
	s := New(func() time.Time { return now }, 3, time.Minute, func(_ context.Context, key string) (string, error) {
		calls++
		if key == "bad" {
			return "", errors.New("bad")
		}
		return key, nil
	})
	for i := range 10 {
		now = now.Add(time.Second)
		if v, err := s.Get(t.Context(), strconv.Itoa(i), now.Add(-time.Hour)); v != strconv.Itoa(i) || err != nil {
			t.Errorf("got %q, %v", v, err)
		}
		if len(s.kept) > 3 {
			t.Fatalf("keeps %d", len(s.kept))
		}
	}
	// The oldest went first.
	for key, known := range map[string]bool{"6": false, "7": true, "8": true, "9": true} {
		if _, _, ok := s.Last(key, time.Hour); ok != known {
			t.Errorf("%s is kept: %v", key, ok)
		}
	}
	if _, err := s.Get(t.Context(), "bad", now.Add(-time.Hour)); err == nil {
		t.Error("no error")
	}
	if _, _, ok := s.Last("bad", time.Hour); ok || len(s.kept) != 3 {
		t.Error("a failure was kept")
	}
	calls = 0
	s.Get(t.Context(), "9", now)
	if s.Get(t.Context(), "9", now.Add(-time.Nanosecond)); calls != 1 {
		t.Errorf("%d calls", calls)
	}
}

// The questions of one action share an answer; what was asked before it does not
// count.
func TestAnActionAsksOnce(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	calls := 0
	s := New(func() time.Time { return now }, 3, time.Minute, func(context.Context, string) (int, error) { calls++; return calls, nil })
	s.Get(t.Context(), "x", now)
	begun := now
	for range 3 {
		now = now.Add(time.Second)
		if v, err := s.Get(t.Context(), "x", begun); v != 2 || err != nil {
			t.Errorf("got %d, %v", v, err)
		}
	}
	if v, _ := s.Get(t.Context(), "x", now); v != 3 {
		t.Errorf("the next action got %d", v)
	}
}

// between is a context that does something when it is first asked who and what for.
type between struct {
	context.Context
	once sync.Once
	do   func()
}

func (b *between) Value(key any) any { b.once.Do(b.do); return b.Context.Value(key) }

// A call that ends while somebody comes to join it is not made again.
func TestACallThatEndsMeanwhileIsShared(t *testing.T) {
	calls, noon := 0, time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	s := New(func() time.Time { return noon }, 3, time.Minute, func(context.Context, string) (int, error) { calls++; return 7, nil })
	begun := noon.Add(-time.Second)
	late := &between{Context: t.Context(), do: func() { s.Get(t.Context(), "x", begun) }}
	if v, err := s.Get(late, "x", begun); v != 7 || err != nil || calls != 1 {
		t.Errorf("got %d, %v, with %d calls", v, err, calls)
	}
}

func TestEqualQuestionsAtTheSameTimeShareOneCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release, calls := make(chan struct{}), 0
		s := New(time.Now, 3, time.Minute, func(context.Context, string) (int, error) {
			calls++
			<-release
			return 7, nil
		})
		begun := time.Now()
		first, giveUp := context.WithCancel(t.Context())
		gaveUp := make(chan error, 1)
		go func() {
			_, err := s.Get(first, "x", begun)
			gaveUp <- err
		}()
		synctest.Wait()
		var others sync.WaitGroup
		for range 20 {
			others.Go(func() {
				if v, err := s.Get(t.Context(), "x", begun); v != 7 || err != nil {
					t.Errorf("got %d, %v", v, err)
				}
			})
		}
		synctest.Wait() // until all wait
		giveUp()
		if err := <-gaveUp; !errors.Is(err, context.Canceled) {
			t.Errorf("who gave up got %v", err)
		}
		close(release)
		others.Wait()
		if calls != 1 {
			t.Errorf("%d calls", calls)
		}
	})
}

// Threats, row 40: what a service answers is judged by code that may stumble over
// it, in a goroutine that nobody else guards.
func TestThreat40_AMisshapenAnswerIsAnError(t *testing.T) {
	type answer struct{ text string }
	var misshapen *answer
	s := New(time.Now, 3, time.Minute, func(context.Context, string) (string, error) { return misshapen.text, nil })
	for range 2 { // the second is not kept waiting by the first
		if v, err := s.Get(t.Context(), "x", time.Now()); v != "" || err == nil {
			t.Errorf("got %q, %v", v, err)
		}
	}
	if _, _, ok := s.Last("x", time.Hour); ok || len(s.running) != 0 {
		t.Error("it is kept, or under way for ever")
	}
}

// Threats, row 6: a call that began before an action may answer what was true then.
func TestThreat06_AnOlderCallIsNotJoined(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	var mu sync.Mutex
	calls := 0
	release, asked := make(chan struct{}), make(chan struct{})
	s := New(func() time.Time { mu.Lock(); defer mu.Unlock(); return now }, 3, time.Minute, func(context.Context, string) (int, error) {
		mu.Lock()
		calls++
		mine := calls
		mu.Unlock()
		if mine == 1 {
			close(asked)
			<-release
		}
		return mine, nil
	})
	begun, first := now, make(chan int)
	go func() { v, _ := s.Get(t.Context(), "x", begun); first <- v }()
	<-asked
	mu.Lock()
	now = now.Add(time.Second)
	action := now
	mu.Unlock()
	if v, err := s.Get(t.Context(), "x", action); v != 2 || err != nil {
		t.Errorf("the action got %d, %v", v, err)
	}
	close(release)
	if v := <-first; v != 1 {
		t.Errorf("who asked before got %d", v)
	}
	// The call that began first ended last; its answer does not take the other's place.
	if v, at, ok := s.Last("x", time.Hour); v != 2 || !at.Equal(action) || !ok {
		t.Errorf("kept is %d of %s", v, at)
	}
}

// TestNothingIsKeptLongerThanItMayBeUsed: whether or not anybody asks again.
func TestNothingIsKeptLongerThanItMayBeUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(time.Now, 10, time.Minute, func(_ context.Context, key string) (string, error) { return key, nil })
		if _, err := c.Get(t.Context(), "a", time.Time{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(MaxAge / 2)
		if _, err := c.Get(t.Context(), "b", time.Time{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(MaxAge/2 + time.Second)
		synctest.Wait()
		c.mu.Lock()
		if len(c.kept) != 1 || c.kept["b"].value != "b" {
			t.Errorf("kept %v", c.kept)
		}
		c.mu.Unlock()
		time.Sleep(MaxAge)
		synctest.Wait()
		c.mu.Lock()
		defer c.mu.Unlock()
		if len(c.kept) != 0 || c.held != 0 || c.sweeping {
			t.Errorf("kept %v, %d bytes, sweeping %v", c.kept, c.held, c.sweeping)
		}
	})
}

// TestBytesAreBounded: the oldest make room, and what is larger than all of it is not
// kept, and takes no room from others.
func TestBytesAreBounded(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	sizes := map[string]int{"a": 40, "b": 40, "c": 40, "d": 200}
	c := New(func() time.Time { return now }, 10, time.Minute, func(_ context.Context, key string) (int, error) { return sizes[key], nil }).
		Within(100, func(n int) int { return n })
	for _, key := range []string{"a", "b", "a", "c", "d"} {
		now = now.Add(time.Second)
		if n, err := c.Get(t.Context(), key, now); err != nil || n != sizes[key] {
			t.Errorf("%s: %d, %v", key, n, err)
		}
		total := 0
		for k := range c.kept {
			total += len(k) + sizes[k]
		}
		if total != c.held || total > 100 {
			t.Errorf("after %s: %d bytes, counted %d", key, total, c.held)
		}
	}
	for key, why := range map[string]string{"b": "the oldest", "d": "what is larger than all"} {
		if _, _, ok := c.Last(key, time.Minute); ok {
			t.Error("kept", why)
		}
	}
	for _, key := range []string{"a", "c"} {
		if _, _, ok := c.Last(key, time.Minute); !ok {
			t.Errorf("%s has made room for what is not kept", key)
		}
	}
}

// TestActionsDoNotJoinCallsOfPages, which may be refused what they may have; pages join
// those of actions.
func TestActionsDoNotJoinCallsOfPages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		c := New(time.Now, 10, time.Minute, func(ctx context.Context, _ string) (access.Purpose, error) {
			calls.Add(1)
			time.Sleep(time.Second)
			p, _ := access.PurposeOf(ctx)
			return p, nil
		})
		began := time.Now()
		var all sync.WaitGroup
		for _, p := range []access.Purpose{access.ForPage, access.ForEnd, access.ForAction, access.ForPage} {
			all.Go(func() {
				if by, err := c.Get(access.WithPurpose(t.Context(), p), "k", began); err != nil || by < p {
					t.Errorf("for %d by a call for %d, %v", p, by, err)
				}
			})
			synctest.Wait()
		}
		all.Wait()
		if calls.Load() != 2 {
			t.Errorf("%d calls", calls.Load())
		}
	})
}

// One person who has spent their part of a quota is refused; those who wait for the same
// answer ask in their own name, all with one call.
func TestNobodyIsRefusedForTheOneWhoAskedFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int32
		inner := New(time.Now, 3, time.Minute, func(ctx context.Context, key string) (access.Principal, error) {
			calls.Add(1)
			time.Sleep(time.Second)
			_, by := access.PurposeOf(ctx)
			if by == "spent@example.com" {
				access.SpentOwnPart(ctx)
				return "", errors.New("not asked")
			}
			return by, nil
		})
		// One look-up is often part of another.
		s := New(time.Now, 3, time.Minute, func(ctx context.Context, key string) (access.Principal, error) {
			return inner.Get(ctx, key, time.Now())
		})
		got := make([]access.Principal, 4)
		errs := make([]error, 4)
		var wg sync.WaitGroup
		for i, p := range []access.Principal{"spent@example.com", "a@example.com", "b@example.com", "spent@example.com"} {
			began := time.Now()
			wg.Go(func() { got[i], errs[i] = s.Get(access.WithPerson(t.Context(), p), "k", began.Add(-time.Nanosecond)) })
			synctest.Wait()
		}
		wg.Wait()
		if errs[0] == nil || errs[3] == nil {
			t.Errorf("who has spent their part gets %q, %v and %q, %v", got[0], errs[0], got[3], errs[3])
		}
		if errs[1] != nil || errs[2] != nil || got[1] != got[2] || calls.Load() != 2 {
			t.Errorf("the others get %q, %v and %q, %v, with %d calls", got[1], errs[1], got[2], errs[2], calls.Load())
		}
	})
}
