package google

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Quota is how often some methods may be called in a time by everything that runs
// in one project.
type Quota struct {
	// Service is the API's name, such as cloudresourcemanager.googleapis.com.
	Service string `json:"service"`
	// Name is the limit's, such as ReadRequestsPerMinutePerProject, and Title what
	// people are told.
	Name  string `json:"name"`
	Title string `json:"title"`
	// Metric is what is counted, without the service, and MetricTitle its title.
	Metric      string `json:"metric"`
	MetricTitle string `json:"metricTitle"`
	// Value is how much of it there is in each Per.
	Value int           `json:"value"`
	Per   time.Duration `json:"per"`
	// Methods are what counts, by method and template as in Calls.
	Methods []string `json:"methods"`
	// Kilobytes counts thousands of bytes that are sent, each request rounded up,
	// instead of requests.
	Kilobytes bool `json:"kilobytes,omitempty"`
	// RetryAfter is the value of that header in a refusal, in whole seconds; 0 sends
	// none, as is so of all that Documented has.
	RetryAfter time.Duration `json:"retryAfter,omitempty"`
}

// Documented are the quotas that Google's documentation states for what is here, with
// the values that a project has before it asks for more. Of quotas by the second and
// by the minute only the latter are here, as Google's refusals name no other. Names
// that no refusal was found to show are built like those of their neighbours.
func Documented() []Quota {
	each := func(before, after string) (all []string) {
		for _, kind := range []string{"projects", "folders", "organizations"} {
			all = append(all, before+kind+"/{id}"+after)
		}
		return all
	}
	get := func(from ...[]route) (all []string) {
		for _, r := range slices.Concat(from...) {
			if r.method == http.MethodGet {
				all = append(all, r.method+" "+r.template)
			}
		}
		return all
	}
	perMinute := func(service, name, metric, title string, value int, methods ...string) Quota {
		return Quota{Service: service, Name: name, Title: title + " per minute", Metric: metric, MetricTitle: title,
			Value: value, Per: time.Minute, Methods: methods}
	}
	const admin, iam, credentials = "admin.googleapis.com", "iam.googleapis.com", "iamcredentials.googleapis.com"
	const secrets, topics = "secretmanager.googleapis.com", "pubsub.googleapis.com"
	const account, topic = "/v1/projects/-/serviceAccounts/{account}", "/v1/projects/{project}/topics/{topic}"
	analyses := perMinute(assetService, "analyzeIamPolicyQpmPerProject", "analyze_iam_policy_requests", "AnalyzeIamPolicy Requests", 100,
		each("GET /v1/", ":analyzeIamPolicy")...)
	analysesADay := analyses
	analysesADay.Name, analysesADay.Title = "analyzeIamPolicyQpdPerProject", "AnalyzeIamPolicy Requests per day"
	analysesADay.Value, analysesADay.Per = 1000, 24*time.Hour
	throughput := perMinute(topics, "regionalPublisherPerMinutePerProject", "regionalpublisher", "Regional publisher throughput, kB",
		3_000_000, "POST "+topic+":publish")
	throughput.Kilobytes = true
	return []Quota{
		// https://cloud.google.com/resource-manager/docs/limits
		perMinute(resourceManager, "ProjectV3SearchRequestsPerMinutePerProject", "project_v3_search_requests", "Project V3 search requests", 240,
			"GET /v3/projects:search", "GET /v3/folders:search"),
		perMinute(resourceManager, "ProjectV3GetRequestsPerMinutePerProject", "project_v3_get_requests", "Project V3 get requests", 600,
			"GET /v3/projects/{id}"),
		perMinute(resourceManager, "ReadRequestsPerMinutePerProject", "read_requests", "Read requests", 600, slices.Concat(
			each("POST /v3/", ":getIamPolicy"), each("POST /v3/", ":testIamPermissions"),
			[]string{"GET /v3/folders/{id}", "GET /v3/organizations/{id}"})...),
		perMinute(resourceManager, "WriteRequestsPerMinutePerProject", "write_requests", "Write requests", 600,
			each("POST /v3/", ":setIamPolicy")...),
		// https://cloud.google.com/asset-inventory/docs/quota. Organizations without
		// Security Command Center have 20 analyses a day.
		perMinute(assetService, "batchGetEffectiveIamPoliciesQpmPerProject", "batch_get_effective_iam_policies_requests",
			"BatchGetEffectiveIamPolicies Requests", 100, each("GET /v1/", "/effectiveIamPolicies:batchGet")...),
		perMinute(assetService, "SearchAllIamPoliciesPerMinutePerProject", "search_all_iam_policies_requests", "SearchAllIamPolicies requests", 400,
			each("GET /v1/", ":searchAllIamPolicies")...),
		analyses, analysesADay,
		// https://developers.google.com/workspace/admin/directory/v1/limits: by user,
		// of which the service is one.
		perMinute(admin, "QueriesPerMinutePerUser", "queries", "Queries", 2400, get(directoryRoutes[:4])...),
		// https://cloud.google.com/iam/quotas
		perMinute(iam, "ReadRequestsPerMinutePerProject", "read_requests", "Read requests", 6000,
			append(get(roleRoutes, accountRoutes), "POST /v1/roles:queryGrantableRoles")...),
		perMinute(credentials, "SignRequestsPerMinutePerProject", "sign_requests", "Requests to sign a JWT or blob", 60_000,
			"POST "+account+":signJwt"),
		perMinute(credentials, "GenerateRequestsPerMinutePerProject", "generate_requests", "Requests to generate credentials", 60_000,
			"POST "+account+":generateAccessToken"),
		// https://cloud.google.com/secret-manager/quotas
		perMinute(secrets, "AccessRequestsPerMinutePerProject", "access_requests", "Access requests", 90_000, get(secretRoutes)...),
		// https://cloud.google.com/pubsub/quotas; the throughput is that of a small
		// region.
		perMinute(topics, "administratorOperationsPerMinutePerProject", "administrator", "Administrator operations", 6000,
			"POST "+topic+":testIamPermissions"),
		throughput,
	}
}

// QuotaUse is what was used of a quota.
type QuotaUse struct {
	Quota
	// Used is what was used in the time that runs, Most what was in any.
	Used int `json:"used"`
	Most int `json:"most"`
	// Total is what was used and Refused how many calls were refused, since the
	// quotas were set.
	Total   int `json:"total"`
	Refused int `json:"refused"`
}

// Quotas refuses what exceeds a quota. A new Cloud has none. The time of a quota
// begins with the first call after the last one has ended; a call that is refused
// uses nothing. Both are chosen here: Google says of neither how it is.
type Quotas struct {
	cloud *Cloud

	mu    sync.Mutex
	armed []*armedQuota
	first []Quota
}

type armedQuota struct {
	QuotaUse
	ends time.Time
}

// Set replaces all quotas, and forgets what was used of them; none is no quota.
func (q *Quotas) Set(quotas ...Quota) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.armed = nil
	for _, quota := range quotas {
		q.armed = append(q.armed, &armedQuota{QuotaUse: QuotaUse{Quota: quota}})
	}
}

// Spend uses up what is left of a quota, from now on for its whole time. It fails
// when there is none of that name, of any service.
func (q *Quotas) Spend(name string) error {
	now := q.cloud.now()
	q.mu.Lock()
	defer q.mu.Unlock()
	found := false
	for _, a := range q.armed {
		if a.Name == name {
			found, a.Used, a.ends = true, a.Value, now.Add(a.Per)
		}
	}
	if !found {
		return fmt.Errorf("there is no quota %q", name)
	}
	return nil
}

// Uses is what was used of every quota, in the order in which they were set.
func (q *Quotas) Uses() []QuotaUse {
	q.mu.Lock()
	defer q.mu.Unlock()
	all := []QuotaUse{}
	for _, a := range q.armed {
		all = append(all, a.QuotaUse)
	}
	return all
}

// take counts a call of a route, or returns the quota that refuses it; nil is none.
// A call that several quotas count is counted in all or in none.
func (q *Quotas) take(method string, bytes int) *Quota {
	now := q.cloud.now()
	q.mu.Lock()
	defer q.mu.Unlock()
	var counting []*armedQuota
	for _, a := range q.armed {
		if !slices.Contains(a.Methods, method) {
			continue
		}
		if !now.Before(a.ends) {
			a.Used, a.ends = 0, now.Add(a.Per)
		}
		if a.Used+a.cost(bytes) > a.Value {
			a.Refused++
			return &a.Quota
		}
		counting = append(counting, a)
	}
	for _, a := range counting {
		a.Used += a.cost(bytes)
		a.Total += a.cost(bytes)
		a.Most = max(a.Most, a.Used)
	}
	return nil
}

func (q Quota) cost(bytes int) int {
	if q.Kilobytes {
		return max(1, (bytes+999)/1000)
	}
	return 1
}

// refusal is how Google words that a quota is spent. The APIs of Workspace answer 403,
// https://developers.google.com/workspace/admin/directory/v1/limits.
func (q Quota) refusal(project string) *apiError {
	e := failure(http.StatusTooManyRequests,
		"Quota exceeded for quota metric '%s' and limit '%s' of service '%s' for consumer 'project_number:%s'.",
		q.MetricTitle, q.Title, q.Service, project)
	if q.Service == "admin.googleapis.com" {
		e.code, e.reason, e.domain = http.StatusForbidden, "userRateLimitExceeded", "usageLimits"
	}
	e.retryAfter = q.RetryAfter
	e.info = errorInfo("RATE_LIMIT_EXCEEDED", "googleapis.com", map[string]any{
		"consumer": "projects/" + project, "quota_limit": q.Name, "quota_limit_value": fmt.Sprint(q.Value), "quota_location": "global",
		"quota_metric": q.Service + "/" + q.Metric, "service": q.Service,
	})
	e.help = map[string]any{"@type": "type.googleapis.com/google.rpc.Help", "links": []any{map[string]any{
		"description": "Request a higher quota limit.", "url": "https://cloud.google.com/docs/quota#requesting_higher_quota"}}}
	return e
}

// controlQuotas is the control API's part.
func (c *Cloud) controlQuotas(handle func(string, func(*http.Request) (any, error))) {
	handle("GET /control/quotas", func(*http.Request) (any, error) { return c.quotas.Uses(), nil })
	// Documented ones, with other values for those that are named.
	handle("POST /control/quotas", func(r *http.Request) (any, error) {
		var b struct {
			Values map[string]int `json:"values"`
		}
		if err := decode(r, &b); err != nil {
			return nil, err
		}
		quotas := Documented()
		for name, value := range b.Values {
			at := slices.IndexFunc(quotas, func(q Quota) bool { return q.Name == name })
			if at < 0 {
				return nil, fmt.Errorf("there is no quota %q", name)
			}
			quotas[at].Value = value
		}
		c.quotas.Set(quotas...)
		return nil, nil
	})
	handle("DELETE /control/quotas", func(*http.Request) (any, error) { c.quotas.Set(); return nil, nil })
	handle("POST /control/quotas/spend", func(r *http.Request) (any, error) {
		var b struct {
			Value string `json:"value"`
		}
		if err := decode(r, &b); err != nil {
			return nil, err
		}
		return nil, c.quotas.Spend(b.Value)
	})
}
