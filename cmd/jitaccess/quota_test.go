package main

import (
	"bytes"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"jitaccess/internal/sandbox/google"
)

// spend spends one of Google's quotas for its whole time.
func (w *world) spend(name string) {
	w.t.Helper()
	w.cloud.Quotas().Set(google.Documented()...)
	if err := w.cloud.Quotas().Spend(name); err != nil {
		w.t.Fatal(err)
	}
}

// lookUps are the calls so far, without tokens, keys and descriptions of roles.
func (w *world) lookUps() (n int) {
	for method, count := range w.cloud.Calls().All() {
		if !strings.Contains(method, "/computeMetadata/") && !strings.Contains(method, "jwk") && !strings.Contains(method, "/roles/") {
			n += count
		}
	}
	return n
}

// TestSpentQuotaPagesCostOneCallAtMost: they show what is remembered, with a warning, and
// otherwise say what to do; 110 of them at once do not keep the quota spent.
func TestSpentQuotaPagesCostOneCallAtMost(t *testing.T) {
	const path = "/access/projects/" + project
	w := newWorld(t, surroundings{inStep: true})
	w.page(alice, path).expect(t, http.StatusOK)
	w.spend("ReadRequestsPerMinutePerProject")
	before := w.lookUps()
	w.page(alice, path).expect(t, http.StatusOK, "is busy; this is what it said")
	if n := w.lookUps() - before; n != 1 {
		t.Errorf("the first page made %d calls", n)
	}
	before = w.lookUps()
	var all sync.WaitGroup
	for range 15 {
		all.Go(func() { w.page(alice, path) })
	}
	all.Wait()
	if n := w.lookUps() - before; n != 0 {
		t.Errorf("15 more made %d calls", n)
	}
	// Nothing is remembered for ever.
	w.pass(6 * time.Minute)
	w.spend("ReadRequestsPerMinutePerProject")
	w.page(alice, path).expect(t, http.StatusTooManyRequests, "Try again in a minute")
}

// TestSpentQuotaOfTheDirectoryLeavesApproving: who is eligible through a group, and was
// minutes ago, can be approved; later the refusal says that nobody knows, and not that
// they are not eligible.
func TestSpentQuotaOfTheDirectoryLeavesApproving(t *testing.T) {
	for _, action := range actions {
		if action.name != "approve" {
			continue
		}
		for _, c := range []struct {
			age  time.Duration
			made int
		}{{4 * time.Minute, 1}, {6 * time.Minute, 0}} {
			w := newWorld(t, surroundings{inStep: true})
			do, made := action.begin(w)
			w.pass(c.age)
			w.spend("QueriesPerMinutePerUser")
			a := do()
			if n := made(); n != c.made || c.made == 0 && a.status != http.StatusTooManyRequests {
				t.Errorf("after %v: %d made, %d %.2000s", c.age, n, a.status, a.body)
			}
		}
	}
}

// BenchmarkSpentQuotaPage is the page of a project with a large policy while Google refuses
// to read policies: it shows what is remembered.
func BenchmarkSpentQuotaPage(b *testing.B) {
	const path = "/access/projects/" + largeProject
	w := measured(b, nil)
	for i := range colleagues {
		w.inside(w.as(colleague(i), "GET", path, ""))
	}
	w.spend("ReadRequestsPerMinutePerProject")
	s := samples{}
	for i := 0; b.Loop(); i++ {
		r, before := w.as(colleague(i), "GET", path, ""), w.lookUps()
		begin := time.Now()
		page := w.inside(r)
		s.since("ms-median", begin)
		if s.add("calls", float64(w.lookUps()-before)); !bytes.Contains(page, []byte("is busy; this is what it said")) {
			b.Fatalf("%.500s", page)
		}
	}
	b.ReportMetric(slices.Max(s["ms-median"]), "ms-most")
	b.ReportMetric(slices.Max(s["calls"]), "calls-most")
	s.report(b)
}
