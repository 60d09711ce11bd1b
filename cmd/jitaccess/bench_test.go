package main

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"jitaccess/internal/sandbox/google"
)

// The benchmarks of the whole service against the sandbox's Google; those of one
// package are in it. `make bench` runs all and writes docs/performance.md.

const (
	// largeProject is the one whose policy is as full as Google allows.
	largeProject = "shop-frontend-prod"
	colleagues   = 150
)

func colleague(i int) string { return fmt.Sprintf("colleague-%03d@example.com", i%colleagues) }

// measured is the service without mail, before a Google with more people in one of
// its groups, and a project with a large policy.
func measured(b *testing.B, wrap func(http.Handler) http.Handler) *world {
	b.Helper()
	return newWorld(b, surroundings{measured: true, wrap: wrap, options: google.Options{PageSize: 500},
		environment: map[string]string{"SMTP_SENDER_ADDRESS": ""}, organization: func(o *google.Organization) {
			for i := range colleagues {
				o.People = append(o.People, google.Person{Email: colleague(i), Subject: fmt.Sprintf("accounts.google.com:%021d", i)})
				o.Groups[0].Members = append(o.Groups[0].Members, colleague(i))
			}
			group := "group:" + o.Groups[0].Email
			for i := range o.Projects {
				switch p := &o.Projects[i]; p.ID {
				case largeProject:
					p.Policy.Bindings = largePolicy(time.Now(), group)
				case project:
					p.Policy.Bindings[0].Members = append(p.Policy.Bindings[0].Members, group)
				}
			}
		}})
}

// largePolicy has 300 bindings that name 1,500 members, as many as a policy may: 60
// eligibilities (half of them the group's, every third with a resource condition),
// 120 activations of one person each (most are over, some are the colleagues', every
// tenth has a resource condition), and 120 bindings of others.
func largePolicy(now time.Time, group string) []google.Binding {
	people := func(binding, n int) (members []string) {
		for i := range n {
			members = append(members, fmt.Sprintf("user:first.last-%d-%d@example.com", binding, i))
		}
		return members
	}
	var bindings []google.Binding
	members := 0
	for i := range 300 {
		bound := google.Binding{Role: fmt.Sprintf("roles/service%d.admin", i)}
		switch {
		case i%5 == 0:
			bound.Members = people(i, 8)
			expression := "has({}.multiPartyApprovalConstraint)"
			if i%2 == 0 {
				bound.Members[0] = group
				expression = "has({}.jitAccessConstraint)"
			}
			if i%3 == 0 {
				expression += fmt.Sprintf(` && resource.name.startsWith("projects/_/buckets/team-%d-")`, i)
			}
			bound.Condition = &google.Condition{Title: "Eligible for JIT access", Expression: expression}
		case i%5 < 3:
			start := now.Add(-time.Duration(i) * 5 * time.Minute).UTC().Truncate(time.Second)
			bound.Members = []string{"user:" + colleague(i)}
			window := fmt.Sprintf(`(request.time >= timestamp("%s") && request.time < timestamp("%s"))`,
				start.Format(time.RFC3339), start.Add(time.Hour).Format(time.RFC3339))
			if i%10 == 1 {
				window = fmt.Sprintf(`(%s) && (resource.name.startsWith("projects/_/buckets/team-%d-"))`, window, i)
			}
			bound.Condition = &google.Condition{Title: "JIT access activation", Expression: window,
				Description: fmt.Sprintf("Approved by bob@example.com, justification: incident %d, orders are stuck [mpa-%016d]", i, i)}
		default:
			bound.Members = people(i, 7+i%5-3)
		}
		members += len(bound.Members)
		bindings = append(bindings, bound)
	}
	last := &bindings[len(bindings)-1]
	last.Members = append(last.Members, people(300, 1500-members)...)
	return bindings
}

// samples are what was measured in each round, by unit.
type samples map[string][]float64

func (s samples) add(unit string, value float64) { s[unit] = append(s[unit], value) }

func (s samples) since(unit string, begin time.Time) {
	s.add(unit, float64(time.Since(begin))/float64(time.Millisecond))
}

// report gives the median of every unit to the benchmark.
func (s samples) report(b *testing.B) {
	for unit, values := range s {
		slices.Sort(values)
		b.ReportMetric(values[len(values)/2], unit)
	}
}

// replay answers every question with what was answered the first time, at once, so
// that what a page takes is time of our own.
type replay struct {
	google  http.Handler
	mu      sync.Mutex
	answers map[string]*httptest.ResponseRecorder
	// rewritten, when set, is the text of which every answer holds another number in
	// place of its last digits: a policy that somebody has changed.
	rewritten []byte
	round     int
}

func (p *replay) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	// A token that lacks a scope gets another answer.
	key := strings.Join([]string{r.Method, r.URL.String(), r.Header.Get("Authorization"), string(body)}, " ")
	p.mu.Lock()
	answer := p.answers[key]
	if answer == nil {
		r.Body = io.NopCloser(bytes.NewReader(body))
		answer = httptest.NewRecorder()
		p.google.ServeHTTP(answer, r)
		p.answers[key] = answer
	}
	content := answer.Body.Bytes()
	if p.rewritten != nil {
		p.round++
		other := fmt.Appendf(nil, "%s%0*d", p.rewritten[:len(p.rewritten)-6], 6, p.round%1e6)
		content = bytes.Replace(content, p.rewritten, other, 1)
	}
	p.mu.Unlock()
	for name, values := range answer.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(answer.Code)
	w.Write(content)
}

func replayed(google http.Handler) http.Handler {
	return &replay{google: google, answers: map[string]*httptest.ResponseRecorder{}}
}

// BenchmarkRolesPage is all that the page of a project with a large policy takes,
// from the request to the answer, with a Google that takes no time; that it is asked
// over the network counts.
func BenchmarkRolesPage(b *testing.B) {
	const path = "/access/projects/" + largeProject
	var google *replay
	w := measured(b, func(h http.Handler) http.Handler {
		google = replayed(h).(*replay)
		return google
	})
	for i := range colleagues {
		w.inside(w.as(colleague(i), "GET", path, ""))
	}
	s := samples{}
	b.Run("next", func(b *testing.B) {
		s := samples{}
		for i := 0; b.Loop(); i++ {
			r := w.as(colleague(i), "GET", path, "")
			begin := time.Now()
			page := w.inside(r)
			s.since("ms-median", begin)
			if n := bytes.Count(page, []byte(`name="entitlement"`)); n < 30 {
				b.Fatalf("%d roles\n%.500s", n, page)
			}
		}
		b.ReportMetric(slices.Min(s["ms-median"]), "ms-least")
		s.report(b)
	})
	// Since the page before, one binding of the policy has changed.
	b.Run("changed", func(b *testing.B) {
		google.mu.Lock()
		google.rewritten = []byte("incident 1, orders are stuck [mpa-0000000000000001]")
		google.rewritten = google.rewritten[:len(google.rewritten)-1]
		google.mu.Unlock()
		s := samples{}
		for i := 0; b.Loop(); i++ {
			r := w.as(colleague(i), "GET", path, "")
			begin := time.Now()
			page := w.inside(r)
			s.since("ms-median", begin)
			if n := bytes.Count(page, []byte(`name="entitlement"`)); n < 30 {
				b.Fatalf("%d roles\n%.500s", n, page)
			}
		}
		b.ReportMetric(slices.Min(s["ms-median"]), "ms-least")
		s.report(b)
		google.mu.Lock()
		google.rewritten = nil
		google.mu.Unlock()
	})
	// Under as many rules as a file may have, of which the last decides.
	b.Run("ruled", func(b *testing.B) {
		policy := filepath.Join(b.TempDir(), "policy.yaml")
		if err := os.WriteFile(policy, []byte(thousandRules()), 0o600); err != nil {
			b.Fatal(err)
		}
		w.restart(map[string]string{"POLICY": policy})
		s := samples{}
		for i := 0; b.Loop(); i++ {
			r := w.as(colleague(i), "GET", path, "")
			begin := time.Now()
			page := w.inside(r)
			s.since("ms-median", begin)
			if n := bytes.Count(page, []byte(`“rest”`)); n < 30 {
				b.Fatalf("%d roles\n%.500s", n, page)
			}
		}
		s.report(b)
		w.restart(map[string]string{"POLICY": ""})
	})
	// The first page after a start fetches keys, tokens, inventory and roles, too.
	b.Run("first", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			w.HangUp() // of thousands of services, whose connections would be too many
			w.restart(nil)
			r := w.as(colleague(0), "GET", path, "")
			b.StartTimer()
			begin := time.Now()
			w.inside(r)
			s.since("ms-median", begin)
		}
		s.report(b)
	})
}

// thousandRules are rules of teams, folders, groups and hours, none of which is about the
// large project but the last.
func thousandRules() string {
	text := "version: 1\nrules:\n"
	for i := range 999 {
		text += fmt.Sprintf("  - {name: team %d, match: {resource: [projects/team-%d-*, folders/%d/**], role: [roles/*.admin, \"!roles/owner\"], "+
			"requester: [\"!group:team-%d@example.com\"], hours: {days: [mon-fri], from: \"07:00\", to: \"19:00\", zone: Europe/Berlin}}, "+
			"terms: {max_duration: 1h}}\n", i, i, i+1, i)
	}
	return text + "  - {name: rest, terms: {max_duration: 1h}}\n"
}

// latencies are how long Google takes for each call. The faster it is, the fewer
// edits of a policy meet, and share a write.
var latencies = []time.Duration{0, 100 * time.Millisecond}

// BenchmarkActivations is 50 people who activate a role on one project at once.
func BenchmarkActivations(b *testing.B) {
	const people = 50
	w := measured(b, nil)
	cloud := w.cloud
	for _, latency := range latencies {
		b.Run("google="+latency.String(), func(b *testing.B) {
			s := samples{}
			for b.Loop() {
				b.StopTimer()
				cloud.Faults().Reset()
				// A new one each time: people may not go on as fast as this.
				w.restart(nil)
				before := foreign(b, cloud)
				cloud.Calls().Reset()
				cloud.Faults().Add(google.Fault{Latency: latency})
				var requests []*http.Request
				for i := range people {
					requests = append(requests, w.as(colleague(i), "POST", selfURL, `{"entitlementIds":["`+selfID+
						`"],"justification":"Everybody at once","activationTimeout":15}`))
				}
				b.StartTimer()
				begin := time.Now()
				var all sync.WaitGroup
				for _, r := range requests {
					all.Go(func() { w.inside(r) })
				}
				all.Wait()
				s.since("ms-median", begin)
				if !slices.Equal(foreign(b, cloud), before) {
					b.Fatal("the bindings of others have changed")
				}
				if n := active(b, cloud); n != people {
					b.Fatalf("%d were granted", n)
				}
				s.add("writes", float64(cloud.Calls().Count("POST /v3/projects/{id}:setIamPolicy")))
				s.add("reads", float64(cloud.Calls().Count("POST /v3/projects/{id}:getIamPolicy")))
			}
			b.ReportMetric(slices.Max(s["writes"]), "writes-most")
			s.report(b)
		})
	}
}

// bindings are those of the project, raw.
func bindings(b *testing.B, cloud *google.Cloud) []string {
	b.Helper()
	raw, err := cloud.Policy("projects/" + project)
	if err != nil {
		b.Fatal(err)
	}
	var policy struct{ Bindings []json.RawMessage }
	if err := json.Unmarshal(raw, &policy); err != nil {
		b.Fatal(err)
	}
	var texts []string
	for _, binding := range policy.Bindings {
		texts = append(texts, string(binding))
	}
	return texts
}

func isOurs(binding string) bool {
	return strings.Contains(binding, `"title": "JIT access activation"`)
}

func foreign(b *testing.B, cloud *google.Cloud) []string {
	return slices.DeleteFunc(bindings(b, cloud), isOurs)
}

// active counts the grants of the benchmark.
func active(b *testing.B, cloud *google.Cloud) int {
	return len(slices.DeleteFunc(bindings(b, cloud), func(binding string) bool {
		return !isOurs(binding) || !strings.Contains(binding, "Everybody at once")
	}))
}

// BenchmarkApproval is an approval of a role that a folder gives, by a colleague who
// has it from a group, with a Google that takes a while for each call. Their
// quotient is how many calls wait for one another.
func BenchmarkApproval(b *testing.B) {
	const latency = 50 * time.Millisecond
	w := measured(b, nil)
	cloud := w.cloud
	s := samples{}
	approve := func(i int) {
		b.StopTimer()
		defer b.StartTimer()
		requester, reviewer := colleague(2*i), colleague(2*i+1)
		var asked struct{ ReviewURL string }
		if err := json.Unmarshal(w.inside(w.as(requester, "POST", askURL, encoded(b, askBody(dict{"peers": []string{reviewer}})))), &asked); err != nil {
			b.Fatal(err)
		}
		link, err := url.Parse(asked.ReviewURL)
		if err != nil || link.Query().Get("activation") == "" {
			b.Fatalf("the link %q: %v", asked.ReviewURL, err)
		}
		approval := w.as(reviewer, "POST", "/api/activation-request?"+link.RawQuery, "")
		cloud.Calls().Reset()
		cloud.Faults().Add(google.Fault{Latency: latency})
		b.StartTimer()
		begin := time.Now()
		w.inside(approval)
		s.since("ms-median", begin)
		b.StopTimer()
		for call, n := range cloud.Calls().All() {
			s.add(cmp.Or(approvalCalls[call], "other-calls"), float64(n))
		}
		cloud.Faults().Reset()
	}
	approve(0) // the first one fetches the keys
	clear(s)
	for i := 1; b.Loop(); i++ {
		approve(i)
	}
	for _, unit := range approvalCalls {
		if len(s[unit]) == 0 {
			s.add(unit, 0)
		}
	}
	if len(s["other-calls"]) == 0 {
		s.add("other-calls", 0)
	}
	s.report(b)
}

// BenchmarkActivation is that of a role by somebody who has it from the folder, alone, with
// the same Google.
func BenchmarkActivation(b *testing.B) {
	const latency = 50 * time.Millisecond
	w := newWorld(b, surroundings{measured: true, options: google.Options{PageSize: 500},
		environment: map[string]string{"SMTP_SENDER_ADDRESS": ""}, organization: func(o *google.Organization) {
			for i := range colleagues {
				o.People = append(o.People, google.Person{Email: colleague(i), Subject: fmt.Sprintf("accounts.google.com:%021d", i)})
				o.Groups[0].Members = append(o.Groups[0].Members, colleague(i))
			}
			parent := o.Projects[slices.IndexFunc(o.Projects, func(p google.Project) bool { return p.ID == project })].Parent
			for i := range o.Folders {
				if f := &o.Folders[i]; "folders/"+f.ID == parent {
					f.Policy.Bindings = append(f.Policy.Bindings, google.Binding{Role: "roles/pubsub.editor", Members: []string{"group:" + o.Groups[0].Email},
						Condition: &google.Condition{Title: "Eligible", Expression: "has({}.jitAccessConstraint)"}})
				}
			}
		}})
	s := samples{}
	activate := func(i int) {
		b.StopTimer()
		w.inside(w.as(colleague(i), "GET", projectURL+"/roles", ""))
		body := encoded(b, selfBody(dict{"entitlementIds": []string{project + ":roles/pubsub.editor"}}))
		activation := w.as(colleague(i), "POST", selfURL, body)
		w.cloud.Calls().Reset()
		w.cloud.Faults().Add(google.Fault{Latency: latency})
		b.StartTimer()
		begin := time.Now()
		w.inside(activation)
		s.since("ms-median", begin)
		b.StopTimer()
		s.add("folder-reads", float64(w.cloud.Calls().Count("POST /v3/folders/{id}:getIamPolicy")))
		s.add("writes", float64(w.cloud.Calls().Count("POST /v3/projects/{id}:setIamPolicy")))
		w.cloud.Faults().Reset()
		b.StartTimer()
	}
	activate(0)
	clear(s)
	for i := 1; b.Loop(); i++ {
		activate(i)
	}
	s.report(b)
}

// approvalCalls are the units in which an approval's calls are counted.
var approvalCalls = map[string]string{
	"POST /v3/projects/{id}:setIamPolicy":                      "writes",
	"POST /v3/projects/{id}:getIamPolicy":                      "project-reads",
	"POST /v3/folders/{id}:getIamPolicy":                       "folder-reads",
	"GET /v1/organizations/{id}/effectiveIamPolicies:batchGet": "inventory-reads",
	"GET /admin/directory/v1/groups":                           "group-look-ups",
}

// BenchmarkForeignIDs is the page of a project asked for with an address full of
// entitlement ids that nobody holds: many short ones, and few as long as an address
// lets them be.
func BenchmarkForeignIDs(b *testing.B) {
	const path, full = "/access/projects/" + project + "?", 16<<10 - 100
	w := measured(b, replayed)
	for name, condition := range map[string]string{"many": `a.b%d == "x"`, "long": `a.b%d == "x"` + strings.Repeat(` || resource.name == "x"`, 35)} {
		b.Run(name, func(b *testing.B) {
			query := ""
			for i := 0; ; i++ {
				id := project + ":roles/x.y:" + base64.StdEncoding.EncodeToString(fmt.Appendf(nil, condition, i))
				if more := "entitlement=" + url.QueryEscape(id) + "&"; len(query)+len(more) < full {
					query += more
					continue
				}
				break
			}
			s := samples{}
			for i := 0; b.Loop(); i++ {
				r, answer := w.as(colleague(i), "GET", path+query, ""), httptest.NewRecorder()
				begin := time.Now()
				w.service.ServeHTTP(answer, r)
				s.since("ms-median", begin)
				if answer.Code < 400 || answer.Code == http.StatusTooManyRequests {
					b.Fatalf("%d\n%.500s", answer.Code, answer.Body)
				}
			}
			s.report(b)
		})
	}
}

// BenchmarkRefused is a request of somebody who asks too fast, through everything that
// a request goes through in this process: by the page, by the interface for scripts, and
// by a browser that loads what another site embeds.
func BenchmarkRefused(b *testing.B) {
	w := measured(b, replayed)
	for name, how := range map[string]struct {
		path   string
		status int
		header []string
	}{
		"page":     {"/access/projects/" + project, http.StatusTooManyRequests, []string{"Sec-Fetch-Site", "same-origin"}},
		"script":   {projectURL + "/roles", http.StatusTooManyRequests, nil},
		"embedded": {"/access/projects/" + project, http.StatusForbidden, []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Dest", "image"}},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			s, assertion := samples{}, w.assertion(colleague(0))
			for b.Loop() {
				r, answer := httptest.NewRequest("GET", how.path, nil), httptest.NewRecorder()
				r.Header.Set("X-Goog-Iap-Jwt-Assertion", assertion)
				r.Header.Set("X-JITACCESS", "1")
				for i := 0; i < len(how.header); i += 2 {
					r.Header.Set(how.header[i], how.header[i+1])
				}
				begin := time.Now()
				w.service.ServeHTTP(answer, r)
				// Until the burst is used up, and for 20 in a second then, there is an answer.
				if answer.Code == how.status {
					s.add("us-median", float64(time.Since(begin))/float64(time.Microsecond))
				} else if answer.Code != http.StatusOK {
					b.Fatalf("%d\n%.500s", answer.Code, answer.Body)
				}
			}
			b.ReportMetric(slices.Min(s["us-median"]), "us-least")
			s.report(b)
		})
	}
}
