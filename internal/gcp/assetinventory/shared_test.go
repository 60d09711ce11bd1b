package assetinventory

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"time"
)

func TestSharedAnswersAreBounded(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	calls := 0
	s := newShared(func() time.Time { return now }, 3, time.Minute, func(_ context.Context, key string) (string, error) {
		calls++
		if key == "bad" {
			return "", errors.New("bad")
		}
		return key, nil
	})
	for i := range 10 {
		now = now.Add(time.Second)
		if v, at, err := s.get(t.Context(), strconv.Itoa(i), now.Add(-time.Hour)); v != strconv.Itoa(i) || at != now || err != nil {
			t.Errorf("got %q, %s, %v", v, at, err)
		}
		if len(s.kept) > 3 {
			t.Fatalf("keeps %d", len(s.kept))
		}
	}
	// The oldest went first.
	for key, known := range map[string]bool{"6": false, "7": true, "8": true, "9": true} {
		if _, _, ok := s.last(key, time.Hour); ok != known {
			t.Errorf("%s is kept: %v", key, ok)
		}
	}
	if _, _, err := s.get(t.Context(), "bad", now.Add(-time.Hour)); err == nil {
		t.Error("no error")
	}
	if _, _, ok := s.last("bad", time.Hour); ok || len(s.kept) != 3 {
		t.Error("a failure was kept")
	}
	calls = 0
	s.get(t.Context(), "9", now)
	if s.get(t.Context(), "9", now.Add(-time.Nanosecond)); calls != 1 {
		t.Errorf("%d calls", calls)
	}
}

func TestThreat40_AMisshapenAnswerIsAnError(t *testing.T) {
	s := newShared(time.Now, 3, time.Minute, func(context.Context, string) (string, error) {
		var answer *struct{ text string }
		return answer.text, nil
	})
	if _, _, err := s.get(t.Context(), "key", time.Now()); err == nil {
		t.Error("no error")
	}
}
