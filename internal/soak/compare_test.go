package soak_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestWhatTheHostileOneDoesToOthersIsJudged: of the medians, of each step too, and of how
// many are answered at all.
func TestWhatTheHostileOneDoesToOthersIsJudged(t *testing.T) {
	const fast, doubled, slower = 10 * time.Millisecond, 20 * time.Millisecond, 21 * time.Millisecond
	type answers map[step]time.Duration
	for name, rule := range map[string]struct {
		without, with       answers
		numWithout, numWith int
		want                []kind
	}{
		"as before":             {answers{openHome: fast}, answers{openHome: fast}, 100, 100, nil},
		"doubled, and no more":  {answers{openHome: fast}, answers{openHome: doubled}, 100, 100, nil},
		"more than doubled":     {answers{openHome: fast}, answers{openHome: slower}, 100, 100, []kind{slow}},
		"one step of several":   {answers{openHome: fast, sendEnd: fast, sendAsk: fast}, answers{openHome: fast, sendEnd: slower, sendAsk: fast}, 100, 100, []kind{slow}},
		"half of the answers":   {answers{openHome: fast}, answers{openHome: fast}, 100, 50, nil},
		"fewer than half":       {answers{openHome: fast}, answers{openHome: fast}, 100, 49, []kind{starved}},
		"none":                  {answers{openHome: fast}, nil, 100, 0, []kind{starved}},
		"nothing to compare to": {nil, nil, 0, 0, []kind{starved}},
	} {
		w := &town{watched: &watched{}, latencies: map[string]map[step][]time.Duration{}}
		for s, took := range rule.without {
			for range rule.numWithout {
				w.answered(controlPhase, s, took)
			}
		}
		for s, took := range rule.with {
			for range rule.numWith {
				w.answered(hostilePhase, s, took)
			}
		}
		w.compareMedians()
		var got []kind
		for key := range w.wrongs.seen {
			got = append(got, key.kind)
		}
		if !slices.Equal(got, rule.want) {
			t.Errorf("%s: %q, want %q", name, got, rule.want)
		}
	}
}

// TestLikeIsComparedWithLike: that people come to slower steps is not slower, and that they
// come to faster ones hides nothing.
func TestLikeIsComparedWithLike(t *testing.T) {
	const page, action = 10 * time.Millisecond, 50 * time.Millisecond
	type count map[step]struct {
		n    int
		took time.Duration
	}
	for name, rule := range map[string]struct {
		without, with count
		want          time.Duration
	}{
		"the same":                  {count{openHome: {60, page}, sendAsk: {40, action}}, count{openHome: {60, page}, sendAsk: {40, action}}, page},
		"more of the slow ones":     {count{openHome: {60, page}, sendAsk: {40, action}}, count{openHome: {20, page}, sendAsk: {80, action}}, page},
		"more of the fast ones":     {count{openHome: {40, page}, sendAsk: {60, action}}, count{openHome: {90, page}, sendAsk: {10, 5 * action}}, 5 * action},
		"one for many":              {count{openHome: {60, page}, sendAsk: {40, action}}, count{openHome: {1, 3 * page}, sendAsk: {80, action}}, 3 * page},
		"nobody gets there":         {count{openHome: {60, page}, sendAsk: {40, action}}, count{sendAsk: {80, action}}, never},
		"few do not get there":      {count{openHome: {90, page}, sendAsk: {10, action}}, count{openHome: {90, page}}, page},
		"what was not there before": {count{openHome: {90, page}}, count{openHome: {9, page}, sendAsk: {900, action}}, page},
		"of two the later":          {count{openHome: {1, page}, sendAsk: {1, action}}, count{openHome: {1, page}, sendAsk: {1, action}}, action},
		"none":                      {nil, nil, never},
	} {
		phases := [2]map[step][]time.Duration{{}, {}}
		for i, counts := range []count{rule.without, rule.with} {
			for s, of := range counts {
				phases[i][s] = slices.Repeat([]time.Duration{of.took}, of.n)
			}
		}
		if got := medianInMix(phases[0], phases[1]); got != rule.want {
			t.Errorf("%s: %v, want %v", name, got, rule.want)
		}
		if same := medianInMix(phases[0], phases[0]); len(rule.without) > 0 && same != median((&town{latencies: map[string]map[step][]time.Duration{"": phases[0]}}).pooled("")) {
			t.Errorf("%s: the median of the same is %v", name, same)
		}
	}
}

// TestTheReportSaysWhatKeptTheMemory: without a cgroup nothing was proved of one.
func TestTheReportSaysWhatKeptTheMemory(t *testing.T) {
	s := &service{unconfined: errors.New("read-only file system")}
	if got := s.limit(); !strings.Contains(got, "no cgroup was to be had (read-only file system)") || !strings.Contains(got, "GOMEMLIMIT") {
		t.Error(got)
	}
	s.confined = &confinement{dir: t.TempDir()}
	if got := s.limit(); !strings.Contains(got, "a cgroup of 256 MiB") {
		t.Error(got)
	}
}
