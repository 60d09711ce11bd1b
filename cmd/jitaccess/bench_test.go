package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"jitaccess/internal/config"
	"jitaccess/internal/sandbox/google"
)

// The benchmarks of the whole service against the sandbox's Google; those of one
// package are in it. `make bench` runs all and writes docs/performance.md.

const (
	// largeProject is the one whose policy is as full as Google allows.
	largeProject = "shop-frontend-prod"
	colleagues   = 150
	// serviceName is what Cloud Run calls the service.
	serviceName = "jitaccess"
)

func colleague(i int) string { return fmt.Sprintf("colleague-%03d@example.com", i%colleagues) }

// measuredGoogle is a Google Cloud on loopback: the believable organization, with
// more people in one of its groups, and a project with a large policy.
func measuredGoogle(b *testing.B, wrap func(http.Handler) http.Handler) (*google.Cloud, string) {
	b.Helper()
	now := time.Now()
	o := google.Believable(now)
	for i := range colleagues {
		o.People = append(o.People, google.Person{Email: colleague(i), Subject: fmt.Sprintf("accounts.google.com:%021d", i)})
		o.Groups[0].Members = append(o.Groups[0].Members, colleague(i))
	}
	group := "group:" + o.Groups[0].Email
	for i := range o.Projects {
		switch p := &o.Projects[i]; p.ID {
		case largeProject:
			p.Policy.Bindings = largePolicy(now, group)
		case project:
			p.Policy.Bindings[0].Members = append(p.Policy.Bindings[0].Members, group)
		}
	}
	cloud, err := google.New(google.Options{Organization: o, PageSize: 500})
	if err != nil {
		b.Fatal(err)
	}
	server := httptest.NewServer(wrap(cloud.Handler()))
	b.Cleanup(server.Close)
	return cloud, server.Listener.Addr().String()
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

// measuredEnvironment is that of the service on Cloud Run.
func measuredEnvironment(cloud *google.Cloud, address string) map[string]string {
	return map[string]string{
		"K_SERVICE":                 serviceName,
		"GCE_METADATA_HOST":         address,
		"JITACCESS_GOOGLE_ENDPOINT": "http://" + address,
		"PUBLIC_URL":                "https://access.example.com",
		"RESOURCE_CATALOG":          "AssetInventory",
		"RESOURCE_SCOPE":            cloud.OrganizationID(),
		"RESOURCE_CUSTOMER_ID":      cloud.CustomerID(),
	}
}

// measuredService builds the service as serve does, without a listener.
func measuredService(b *testing.B, cloud *google.Cloud, address string) http.Handler {
	b.Helper()
	environment := measuredEnvironment(cloud, address)
	b.Setenv("GCE_METADATA_HOST", address)
	c, err := config.Read(func(name string) string { return environment[name] })
	if err != nil {
		b.Fatal(err)
	}
	handler, err := start(context.Background(), c, nil, wallClock, io.Discard)
	if err != nil {
		b.Fatal(err)
	}
	return handler
}

// visitors send requests as IAP passes them on. A person has one assertion.
type visitors struct {
	cloud      *google.Cloud
	assertions sync.Map
}

func (v *visitors) request(b *testing.B, method, to, email, body string) *http.Request {
	b.Helper()
	assertion, known := v.assertions.Load(email)
	if !known {
		audience := "/projects/" + v.cloud.ProjectNumber() + "/locations/" + v.cloud.Region() + "/services/" + serviceName
		signed, err := v.cloud.SignIAPAssertion(email, "accounts.google.com:"+email, audience)
		if err != nil {
			b.Fatal(err)
		}
		assertion, _ = v.assertions.LoadOrStore(email, signed)
	}
	r, err := http.NewRequest(method, to, strings.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	r.Header.Set("X-Goog-Iap-Jwt-Assertion", assertion.(string))
	if strings.HasPrefix(r.URL.Path, "/api/") {
		r.Header.Set("X-JITACCESS", "1")
		r.Header.Set("Content-Type", "application/json")
	}
	return r
}

// ask is a request to a service in this process; its answer must be 200.
func (v *visitors) ask(b *testing.B, service http.Handler, method, path, email, body string) []byte {
	b.Helper()
	answer := httptest.NewRecorder()
	service.ServeHTTP(answer, v.request(b, method, path, email, body))
	if answer.Code != http.StatusOK {
		b.Errorf("%s %s: %d\n%.500s", method, path, answer.Code, answer.Body)
	}
	return answer.Body.Bytes()
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
	p.mu.Unlock()
	for name, values := range answer.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(answer.Code)
	w.Write(answer.Body.Bytes())
}

func replayed(google http.Handler) http.Handler {
	return &replay{google: google, answers: map[string]*httptest.ResponseRecorder{}}
}

func unchanged(h http.Handler) http.Handler { return h }

// BenchmarkRolesPage is all that the page of a project with a large policy takes,
// from the request to the answer, with a Google that takes no time; that it is asked
// over the network counts.
func BenchmarkRolesPage(b *testing.B) {
	const path = "/access/projects/" + largeProject
	cloud, address := measuredGoogle(b, replayed)
	v := &visitors{cloud: cloud}
	warm := measuredService(b, cloud, address)
	for i := range colleagues {
		v.ask(b, warm, "GET", path, colleague(i), "")
	}
	s := samples{}
	b.Run("next", func(b *testing.B) {
		s := samples{}
		for i := 0; b.Loop(); i++ {
			r := v.request(b, "GET", path, colleague(i), "")
			begin := time.Now()
			answer := httptest.NewRecorder()
			warm.ServeHTTP(answer, r)
			s.since("ms-median", begin)
			if n := bytes.Count(answer.Body.Bytes(), []byte(`name="entitlement"`)); answer.Code != http.StatusOK || n < 30 {
				b.Fatalf("%d, with %d roles\n%.500s", answer.Code, n, answer.Body)
			}
		}
		b.ReportMetric(slices.Min(s["ms-median"]), "ms-least")
		s.report(b)
	})
	// The first page after a start fetches keys, tokens, inventory and roles, too.
	b.Run("first", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			cold := measuredService(b, cloud, address)
			b.StartTimer()
			begin := time.Now()
			v.ask(b, cold, "GET", path, colleague(0), "")
			s.since("ms-median", begin)
		}
		s.report(b)
	})
}

// latencies are how long Google takes for each call. The faster it is, the fewer
// edits of a policy meet, and share a write.
var latencies = []time.Duration{0, 100 * time.Millisecond}

// BenchmarkActivations is 50 people who activate a role on one project at once.
func BenchmarkActivations(b *testing.B) {
	const people = 50
	cloud, address := measuredGoogle(b, unchanged)
	v := &visitors{cloud: cloud}
	for _, latency := range latencies {
		b.Run("google="+latency.String(), func(b *testing.B) {
			s := samples{}
			for b.Loop() {
				b.StopTimer()
				cloud.Faults().Reset()
				// A new one each time: people may not go on as fast as this.
				service := measuredService(b, cloud, address)
				before := foreign(b, cloud)
				cloud.Faults().Add(google.Fault{Latency: latency})
				b.StartTimer()
				begin := time.Now()
				var all sync.WaitGroup
				for i := range people {
					all.Go(func() {
						v.ask(b, service, "POST", "/api/projects/"+project+"/roles/self-activate", colleague(i), `{"entitlementIds":["`+project+
							`:roles/cloudsql.admin"],"justification":"Everybody at once","activationTimeout":15}`)
					})
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
	cloud, address := measuredGoogle(b, unchanged)
	v := &visitors{cloud: cloud}
	service := measuredService(b, cloud, address)
	s := samples{}
	approve := func(i int) {
		b.StopTimer()
		defer b.StartTimer()
		requester, reviewer := colleague(2*i), colleague(2*i+1)
		var asked struct{ ReviewURL string }
		if err := json.Unmarshal(v.ask(b, service, "POST", "/api/projects/"+project+"/roles/request", requester, `{"entitlementId":"`+project+
			`:roles/compute.instanceAdmin.v1","peers":["`+reviewer+`"],"justification":"Node 7 hangs","activationTimeout":15}`), &asked); err != nil {
			b.Fatal(err)
		}
		link, err := url.Parse(asked.ReviewURL)
		if err != nil || link.Query().Get("activation") == "" {
			b.Fatalf("the link %q: %v", asked.ReviewURL, err)
		}
		cloud.Calls().Reset()
		cloud.Faults().Add(google.Fault{Latency: latency})
		b.StartTimer()
		begin := time.Now()
		v.ask(b, service, "POST", "/api/activation-request?"+link.RawQuery, reviewer, "")
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

// approvalCalls are the units in which an approval's calls are counted.
var approvalCalls = map[string]string{
	"POST /v3/projects/{id}:setIamPolicy":                      "writes",
	"POST /v3/projects/{id}:getIamPolicy":                      "project-reads",
	"POST /v3/folders/{id}:getIamPolicy":                       "folder-reads",
	"GET /v1/organizations/{id}/effectiveIamPolicies:batchGet": "inventory-reads",
	"GET /admin/directory/v1/groups":                           "group-look-ups",
}
