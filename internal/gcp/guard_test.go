package gcp_test

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/gcp"
	"jitaccess/internal/gcp/gcptest"
)

const batchGet = "/v1/organizations/1/effectiveIamPolicies:batchGet"

// asked makes one call for a purpose, and returns what it failed with.
func asked(ctx context.Context, p *gcp.Platform, path string) *access.Error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, p.Endpoint("cloudasset")+path, nil)
	if err != nil {
		panic(err)
	}
	_, err = gcp.Exchange(p.Client, r, 1<<20)
	return gcp.Failure(err, gcp.Call{Service: "Cloud Asset Inventory"})
}

// TestSpentQuotaIsLeftAlone: after Google has called it spent, pages are answered at once
// and in its words, without a call; actions and other quotas go on.
func TestSpentQuotaIsLeftAlone(t *testing.T) {
	for name, refusal := range map[string]http.HandlerFunc{
		"429":                        gcptest.Refuse(429, "rateLimitExceeded"),
		"403, as Workspace words it": gcptest.Refuse(403, "userRateLimitExceeded"),
	} {
		t.Run(name, func(t *testing.T) {
			gcptest.StartMetadata(t)
			g := startGoogle(t, refusal)
			p := connect(t, g.URL)
			for i := range 50 {
				e := asked(t.Context(), p, batchGet)
				if e == nil || e.Kind != access.TooMany || e.Code != access.CodeQuota {
					t.Fatalf("%d: %v", i, e)
				}
				if said := strings.Contains(e.Error(), "answered"); said != (i == 0) {
					t.Errorf("%d: Google did not say that: %v", i, e)
				}
			}
			if n := g.at(batchGet); n != 1 {
				t.Errorf("%d calls for 50 pages", n)
			}
			for range 50 {
				asked(access.WithPurpose(t.Context(), access.ForEnd), p, batchGet)
			}
			if n := g.at(batchGet); n != 1+10 {
				t.Errorf("%d calls after 50 that end access", n)
			}
			if asked(t.Context(), p, "/v1/organizations/1:analyzeIamPolicy"); g.at(":analyzeIamPolicy") != 1 {
				t.Error("another quota was left alone too")
			}
		})
	}
}

func TestOtherRefusalsSpendNoQuota(t *testing.T) {
	gcptest.StartMetadata(t)
	for _, status := range []int{400, 401, 403, 404, 409, 500, 503} {
		g := startGoogle(t, gcptest.Refuse(status, "forbidden"))
		p := connect(t, g.URL)
		for range 5 {
			if e := asked(t.Context(), p, batchGet); e == nil || e.Code == access.CodeQuota {
				t.Errorf("%d: %v", status, e)
			}
		}
		if n := g.at(batchGet); n != 5 {
			t.Errorf("%d: %d calls of 5", status, n)
		}
	}
}

// TestBodyOfARefusalIsWhole: that it was looked at changes nothing.
func TestBodyOfARefusalIsWhole(t *testing.T) {
	gcptest.StartMetadata(t)
	long := strings.Repeat("x", 200<<10)
	g := startGoogle(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(403)
		w.Write([]byte(long))
	})
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, g.URL+batchGet, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = gcp.Exchange(connect(t, g.URL).Client, r, 1<<20)
	if _, text := gcp.Answer(err); text != long {
		t.Errorf("%d bytes of %d", len(text), len(long))
	}
}

// TestRetryAfterIsKept, in both forms of the header.
func TestRetryAfterIsKept(t *testing.T) {
	gcptest.StartMetadata(t)
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, header := range []string{"30", now.Add(30 * time.Second).Format(http.TimeFormat)} {
		var at atomic.Int64
		g := startGoogle(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After", header)
			gcptest.Refuse(429, "x")(w, r)
		})
		p, err := gcp.Connect(t.Context(), gcp.Options{Hosted: true, Endpoint: g.URL, Retry: gcptest.NoWait,
			Now: func() time.Time { return now.Add(time.Duration(at.Load())) }})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct{ second, calls int }{{0, 1}, {29, 1}, {30, 2}} {
			at.Store(int64(time.Duration(c.second) * time.Second))
			if asked(t.Context(), p, batchGet); g.at(batchGet) != c.calls {
				t.Errorf("%s, after %d s: %d calls, want %d", header, c.second, g.at(batchGet), c.calls)
			}
		}
	}
}

// TestSpentQuotaIsTriedOnceMoreForActionsAlone, and not when Google asks for longer than
// an action has.
func TestSpentQuotaIsTriedOnceMoreForActionsAlone(t *testing.T) {
	for rule, c := range map[string]struct {
		purpose access.Purpose
		header  http.Header
		left    time.Duration
		calls   int
	}{
		"a page":                          {access.ForPage, nil, 0, 1},
		"a page, and Google says when":    {access.ForPage, http.Header{"Retry-After": {"1"}}, 0, 1},
		"an action":                       {access.ForAction, nil, 0, 2},
		"an action, and Google says when": {access.ForAction, http.Header{"Retry-After": {"3"}}, 25 * time.Second, 2},
		"an end":                          {access.ForEnd, http.Header{"Retry-After": {"nonsense"}}, 0, 2},
		"later than an action waits":      {access.ForEnd, http.Header{"Retry-After": {"6"}}, 25 * time.Second, 1},
		"too little is left":              {access.ForAction, http.Header{"Retry-After": {"3"}}, 5 * time.Second, 1},
		"it was not asked":                {access.ForAction, http.Header{"X-Jitaccess-Not-Asked": {"x"}}, 0, 1},
	} {
		t.Run(rule, func(t *testing.T) {
			ctx := access.WithPurpose(t.Context(), c.purpose)
			if c.left > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, c.left)
				defer cancel()
			}
			calls := 0
			_, err := gcp.Read(ctx, gcptest.NoWait, func(context.Context) (int, error) {
				calls++
				return 0, &gcp.StatusError{Code: 429, Header: c.header}
			})
			if calls != c.calls || err == nil {
				t.Errorf("%d calls, %v; want %d", calls, err, c.calls)
			}
		})
	}
}
