package soak_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"jitaccess/internal/sandbox/google"
)

// watched is Google, with an eye on every write of a policy.
type watched struct {
	*google.Cloud
	size    google.Size
	address string
	phase   *atomic.Pointer[string]
	wrongs  *wrongs
	// refusedAt is when a quota last refused a call, in Unix nanoseconds.
	refusedAt atomic.Int64

	mu sync.Mutex
	// policies are those that were written to, as they are now, by resource; first is
	// what they were.
	policies, first map[string][]google.Binding
	requests        map[string]*request
}

// request is what somebody asked for, by the reason, which is different for each.
type request struct {
	reason, person, role, project string
	minutes                       int
	// self: nobody need approve. sent is when it was sent, for those; approvers are
	// who has sent an approval, and endSent is whether anybody may have ended it.
	self, sent bool
	approvers  map[string]bool
	endSent    bool
	// made is how many grants were made of it, ended ones included.
	made int
}

func newWatched(size google.Size, phase *atomic.Pointer[string], w *wrongs) *watched {
	return &watched{size: size, phase: phase, wrongs: w, policies: map[string][]google.Binding{}, first: map[string][]google.Binding{},
		requests: map[string]*request{}}
}

// startGoogle serves an organization in this process.
func startGoogle(t *testing.T, size google.Size, latency time.Duration, phase *atomic.Pointer[string], w *wrongs) *watched {
	t.Helper()
	g := newWatched(size, phase, w)
	var err error
	if g.Cloud, err = google.New(google.Options{Organization: google.Generated(time.Now(), size), PageSize: 500,
		Quotas: google.Documented(), Latency: latency}); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(g.watch(g.Cloud.Handler()))
	t.Cleanup(server.Close)
	g.address = server.Listener.Addr().String()
	return g
}

// watch looks at every write, one after the other for each resource, as Google too
// writes one after the other.
func (g *watched) watch(next http.Handler) http.Handler {
	var writing sync.Map
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		resource, isWrite := strings.CutSuffix(r.URL.Path, ":setIamPolicy")
		resource = strings.TrimPrefix(resource, "/v3/")
		if !isWrite {
			next.ServeHTTP(&status{w, g}, r)
			return
		}
		lock, _ := writing.LoadOrStore(resource, &sync.Mutex{})
		lock.(*sync.Mutex).Lock()
		defer lock.(*sync.Mutex).Unlock()
		before := g.bindings(resource)
		next.ServeHTTP(&status{w, g}, r)
		g.written(resource, before, g.bindings(resource))
	})
}

// status notes refusals by quota.
type status struct {
	http.ResponseWriter
	g *watched
}

func (s *status) WriteHeader(code int) {
	if code == http.StatusTooManyRequests {
		s.g.refusedAt.Store(time.Now().UnixNano())
	}
	s.ResponseWriter.WriteHeader(code)
}

// quotaSpent is whether a quota refused something within its time before an instant.
func (g *watched) quotaSpent(before time.Time) bool {
	return time.Unix(0, g.refusedAt.Load()).After(before.Add(-time.Minute))
}

func (g *watched) bindings(resource string) []google.Binding {
	var p google.Policy
	if text, err := g.Policy(resource); err != nil || json.Unmarshal(text, &p) != nil {
		return nil
	}
	return p.Bindings
}

func (g *watched) wrong(k kind, format string, args ...any) {
	g.wrongs.add(*g.phase.Load(), k, format, args...)
}

// grant is one member of a binding.
type grant struct{ role, member, title, description, expression string }

func grants(bindings []google.Binding) (all []grant) {
	for _, b := range bindings {
		for _, m := range b.Members {
			g := grant{role: b.Role, member: m}
			if c := b.Condition; c != nil {
				g.title, g.description, g.expression = c.Title, c.Description, c.Expression
			}
			all = append(all, g)
		}
	}
	return all
}

// without is the grants that are in a and not in b.
func without(a, b []grant) (left []grant) {
	b = slices.Clone(b)
	for _, g := range a {
		if at := slices.Index(b, g); at >= 0 {
			b = slices.Delete(b, at, at+1)
		} else {
			left = append(left, g)
		}
	}
	return left
}

const title = "JIT access activation"

var (
	described = regexp.MustCompile(`^(Self-approved|Approved by ([^,]+(?:, [^,]+)*)), justification: (soak-[a-z0-9-]+) \[([A-Za-z0-9_-]+)\]$`)
	windowed  = regexp.MustCompile(`^\(request\.time >= timestamp\("([^"]+)"\) && request\.time < timestamp\("([^"]+)"\)\)$`)
)

// window is when a grant of ours counts.
func (g grant) window() (start, end time.Time, ok bool) {
	m := windowed.FindStringSubmatch(g.expression)
	if m == nil {
		return start, end, false
	}
	start, err := time.Parse(time.RFC3339, m[1])
	if err == nil {
		end, err = time.Parse(time.RFC3339, m[2])
	}
	return start, end, err == nil
}

// ask notes that something is about to be asked for.
func (g *watched) ask(q *request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	q.approvers = map[string]bool{}
	g.requests[q.reason] = q
}

// may notes what is about to be done with a request.
func (g *watched) may(change func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	change()
}

// written judges a write by what was asked, approved and ended before it.
func (g *watched) written(resource string, before, after []google.Binding) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.first[resource] == nil {
		g.first[resource] = before
	}
	g.policies[resource] = after
	project, ofProject := strings.CutPrefix(resource, "projects/")
	was, is := grants(before), grants(after)
	for _, n := range without(is, was) {
		m := described.FindStringSubmatch(n.description)
		if n.title != title || m == nil || !ofProject {
			g.wrong(otherGrant, "%s: %+v", resource, n)
			continue
		}
		q := g.requests[m[3]]
		start, end, ok := n.window()
		switch {
		case q == nil, n.member != "user:"+q.person, n.role != q.role, project != q.project:
			g.wrong(otherGrant, "%s: %+v, asked was for %+v", resource, n, q)
		case !ok, end.Sub(start) > time.Duration(q.minutes)*time.Minute, time.Until(start).Abs() > 2*time.Minute:
			g.wrong(otherGrant, "%s: at another time: %+v, asked was for %+v", resource, n, q)
		case q.self && (m[1] != "Self-approved" || !q.sent):
			g.wrong(unapproved, "%s: %+v, asked was for %+v", resource, n, q)
		case !q.self && (m[2] == "" || slices.ContainsFunc(strings.Split(m[2], ", "), func(a string) bool { return !q.approvers[a] })):
			g.wrong(unapproved, "%s: %+v, approvals were sent by %v", resource, n, q.approvers)
		case end.After(time.Now()):
			q.made++
		}
	}
	for _, o := range without(was, is) {
		m := described.FindStringSubmatch(o.description)
		if o.title != title || m == nil || g.requests[m[3]] == nil {
			g.wrong(foreign, "%s: gone is %+v", resource, o)
			continue
		}
		if _, end, ok := o.window(); !g.requests[m[3]].endSent && (!ok || end.After(time.Now())) {
			g.wrong(missing, "%s: gone is %+v, which nobody ended", resource, o)
		}
	}
}

// live is whether a request's grant stands, and counts now.
func (g *watched) live(q *request) bool {
	return slices.ContainsFunc(grants(g.bindings("projects/"+q.project)), func(n grant) bool {
		m := described.FindStringSubmatch(n.description)
		_, end, ok := n.window()
		return m != nil && m[3] == q.reason && n.title == title && ok && end.After(time.Now().Add(time.Second))
	})
}

// made is how many grants that count were made of a request.
func (g *watched) made(q *request) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return q.made
}

// foreignKept makes sure that all that is not ours is as it was.
func (g *watched) foreignKept() {
	g.mu.Lock()
	defer g.mu.Unlock()
	others := func(bindings []google.Binding) []grant {
		return slices.DeleteFunc(grants(bindings), func(n grant) bool { return n.title == title })
	}
	for resource, now := range g.policies {
		was, is := others(g.first[resource]), others(now)
		if gone, new := without(was, is), without(is, was); len(gone)+len(new) > 0 {
			g.wrong(foreign, "%s: gone %+v, new %+v", resource, gone, new)
		}
	}
}
