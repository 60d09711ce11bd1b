package policyanalyzer

import (
	"context"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/gcp/standing"
	"jitaccess/internal/lookup"
)

// TestAnalysesAreBoundedInBytes: what many large analyses and lists take is counted, and
// the oldest go.
func TestAnalysesAreBoundedInBytes(t *testing.T) {
	long := strings.Repeat("x", maxBytes/4)
	analyses := lookup.New(time.Now, 100, time.Minute, func(context.Context, string) (analysis, error) {
		return analysis{found: []found{{people: []string{long}}}}, nil
	}).Within(maxBytes, analysis.size)
	lists := lookup.New(time.Now, 100, time.Minute, func(context.Context, string) ([]access.ResourceInfo, error) {
		return []access.ResourceInfo{{Title: long}}, nil
	}).Within(maxBytes, standing.ListBytes)
	for _, key := range []string{"a", "b", "c", "d"} {
		analyses.Get(t.Context(), key, time.Now())
		lists.Get(t.Context(), key, time.Now())
	}
	if _, _, ok := analyses.Last("a", time.Hour); ok {
		t.Error("the oldest analysis is kept")
	}
	if _, _, ok := analyses.Last("d", time.Hour); !ok {
		t.Error("the newest analysis is not kept")
	}
	if _, _, ok := lists.Last("a", time.Hour); ok {
		t.Error("the oldest list is kept")
	}
}
