package resourcemanager_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"jitaccess/internal/access"
	"jitaccess/internal/gcp/resourcemanager"
)

// The same over a real connection, which really breaks.
func TestGrantOverHTTP(t *testing.T) {
	g := newGoogle(t, foreign)
	g.onRead = first(1, fault{status: 503})
	g.onWrite = first(1, fault{reset: true, after: true})
	grant := grantTo("alice@example.com", idA, "roles/run.admin")
	outcomes, err := resourcemanager.NewGranter(serve(t, g), standings{}).Grant(t.Context(), grant, query(grant), fine)
	if err != nil || results(outcomes) != "granted" || g.ofRequest(idA) != 1 || g.writes != 1 {
		t.Errorf("%s, %v, %d writes", results(outcomes), err, g.writes)
	}
}

func TestGetIamPolicyTellsUnknownFromNotAllowed(t *testing.T) {
	denied := fault{status: 403, body: problem(403, "PERMISSION_DENIED", "denied on resource (or it may not exist)")}
	tests := map[string]struct {
		get  *fault
		want access.Code
		args access.Args
	}{
		"the project is there": {nil, access.CodeServiceNotAllowed, access.Args{"permission": "resourcemanager.projects.getIamPolicy",
			"resource": "projects/shop", "account": "jit@ops.iam.gserviceaccount.com"}},
		"the project is hidden or not there": {&fault{status: 403}, access.CodeUnknownResource, access.Args{"resource": "projects/shop"}},
		"the project is not there":           {&fault{status: 404}, access.CodeUnknownResource, access.Args{"resource": "projects/shop"}},
		"nobody can tell": {&fault{status: 500}, access.CodeServiceNotAllowed, access.Args{"permission": "resourcemanager.projects.getIamPolicy",
			"resource": "projects/shop", "account": "jit@ops.iam.gserviceaccount.com"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			g := newGoogle(t)
			g.onRead, g.onGet = always(denied), tt.get
			_, err := clientOf(g).GetIamPolicy(t.Context(), shop, time.Time{})
			if e := access.AsError(err); e.Code != tt.want || !cmp.Equal(e.Args, tt.args) || g.gets != 1 || g.reads != 1 {
				t.Errorf("%v, %d gets", err, g.gets)
			}
		})
	}
}

func TestGetIamPolicyOfFoldersAndOrganizations(t *testing.T) {
	for _, r := range []access.Resource{"folders/12", "organizations/34", "projects/example.com:shop"} {
		t.Run(string(r), func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
				if q.URL.Path != "/v3/"+string(r)+":getIamPolicy" || q.Header.Get("Content-Type") != "application/json" {
					http.Error(w, "no", http.StatusForbidden)
					return
				}
				fmt.Fprint(w, `{"etag":"e"}`)
			}))
			defer server.Close()
			c := resourcemanager.New(resourcemanager.Config{HTTP: server.Client(), Endpoint: server.URL, Now: time.Now, Sleep: sleep})
			p, err := c.GetIamPolicy(t.Context(), r, time.Time{})
			if err != nil || p.Etag() != "e" {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestNoCallForAResourceThatIsNone(t *testing.T) {
	for _, r := range []access.Resource{"", "projects/", "projects/../folders/1", "projects/a/b", "folders/x", "projects/a?b", "pomerium/x", "projects/a#", "projects/A"} {
		g := newGoogle(t)
		if _, err := clientOf(g).GetIamPolicy(t.Context(), r, time.Time{}); codeOf(err) != access.CodeBadResource || g.reads != 0 {
			t.Errorf("%q: %v, %d calls", r, err, g.reads)
		}
	}
}

func TestGrantOfAnotherResourceIsRefused(t *testing.T) {
	g := newGoogle(t)
	for name, change := range map[string]func(*access.Grant, *access.StandingQuery){
		"nothing":                      func(g *access.Grant, _ *access.StandingQuery) { g.Entitlements = nil },
		"an entitlement of another":    func(g *access.Grant, _ *access.StandingQuery) { g.Entitlements[0].Resource = "projects/other" },
		"a query about something else": func(_ *access.Grant, q *access.StandingQuery) { q.Resource = "projects/other" },
	} {
		grant := grantTo("alice@example.com", idA, "roles/a")
		q := query(grant)
		change(&grant, &q)
		if _, err := granterOf(g).Grant(t.Context(), grant, q, fine); codeOf(err) != access.CodeInternal || g.reads+g.writes != 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestThreat33 is the table of what Google's errors mean.
func TestThreat33_ErrorsAreMapped(t *testing.T) {
	permission := access.Args{"permission": "resourcemanager.projects.setIamPolicy", "resource": "projects/shop", "account": "jit@ops.iam.gserviceaccount.com"}
	withViolation := access.Args{"violation": "aB-3_x"}
	for k, v := range permission {
		withViolation[k] = v
	}
	tests := map[string]struct {
		status int
		body   string
		kind   access.Kind
		code   access.Code
		args   access.Args
	}{
		"role not supported": {400, problem(400, "INVALID_ARGUMENT", "Role roles/run.admin is not supported for this resource."),
			access.Unprocessable, access.CodeRoleNotGrantable, access.Args{"role": "roles/run.admin", "resource": "projects/shop"}},
		"role does not exist": {400, problem(400, "INVALID_ARGUMENT", "Role (roles/run.admin) does not exist in the resource's hierarchy."),
			access.Unprocessable, access.CodeRoleNotGrantable, access.Args{"role": "roles/run.admin", "resource": "projects/shop"}},
		"unknown person": {400, problem(400, "INVALID_ARGUMENT", "User alice@example.com does not exist."),
			access.Unprocessable, access.CodeMemberUnknown, access.Args{"principal": "alice@example.com"}},
		"full": {400, problem(400, "INVALID_ARGUMENT", "The number of members in the policy (1,501) is larger than the maximum allowed size 1,500."),
			access.Unprocessable, access.CodePolicyFull, access.Args{"count": "1,501", "max": "1,500", "resource": "projects/shop"}},
		"anything else, quoted": {400, problem(400, "INVALID_ARGUMENT", "a\nb\u202e \"c\""),
			access.Unprocessable, access.CodePlatformRefused, access.Args{"reason": `"a\nb\u202e \"c\"" (roles/run.admin)`}},
		"anything else, cut short": {400, strings.Repeat("x", 9999),
			access.Unprocessable, access.CodePlatformRefused, access.Args{"reason": `"` + strings.Repeat("x", 300) + `…" (roles/run.admin)`}},
		"not allowed": {403, problem(403, "PERMISSION_DENIED", "no"), access.Upstream, access.CodeServiceNotAllowed, permission},
		"VPC Service Controls": {403, problem(403, "PERMISSION_DENIED", "Request is prohibited by organization's policy. vpcServiceControlsUniqueIdentifier: aB-3_x"),
			access.Upstream, access.CodeServiceNotAllowed, withViolation},
		"VPC Service Controls, in the details": {403, `{"error":{"message":"prohibited","details":[{"@type":"type.googleapis.com/google.rpc.PreconditionFailure","violations":[{"type":"VPC_SERVICE_CONTROLS","description":"aB-3_x"}]}]}}`,
			access.Upstream, access.CodeServiceNotAllowed, withViolation},
		"gone":            {404, "", access.NotFound, access.CodeUnknownResource, access.Args{"resource": "projects/shop"}},
		"unauthenticated": {401, "", access.Upstream, access.CodeUpstreamFailed, access.Args{"service": "Resource Manager"}},
		"a teapot":        {418, "", access.Upstream, access.CodeUpstreamFailed, access.Args{"service": "Resource Manager"}},
		"quota":           {429, "", access.TooMany, access.CodeQuota, access.Args{"service": "Resource Manager"}},
		"conflict":        {409, "", access.Conflict, access.CodeConflict, access.Args{"resource": "projects/shop"}},
		"failed":          {500, "", access.Upstream, access.CodeUpstreamFailed, access.Args{"service": "Resource Manager"}},
		"unavailable":     {503, "", access.Unavailable, access.CodeUpstreamFailed, access.Args{"service": "Resource Manager"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGoogle(t)
				g.onWrite = always(fault{status: tt.status, body: tt.body})
				grant := grantTo("alice@example.com", idA, "roles/run.admin")
				_, err := granterOf(g).Grant(t.Context(), grant, query(grant), fine)
				e := access.AsError(err)
				if e.Kind != tt.kind || e.Code != tt.code || e.Err == nil {
					t.Errorf("got %v", err)
				}
				if diff := cmp.Diff(tt.args, e.Args); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

// A refusal about something else in the policy is told in Google's words, and blames
// neither the address nor the role of whoever asked. The texts are as in public reports.
func TestARefusalAboutSomethingElseBlamesNobodyHere(t *testing.T) {
	for text, reason := range map[string]string{
		"Service account old-batch@shop.iam.gserviceaccount.com does not exist.":                                                                    "",
		"The member principalSet://iam.googleapis.com/pool/alice@example.com is of an unknown type. Please set a valid type prefix for the member.": "",
		"Role (projects/shop/roles/gone) does not exist in the resource's hierarchy.":                                                               "",
		"Role roles/run.developer is not supported for this resource.":                                                                              "",
		"Role roles/run.administrator is not supported for this resource.":                                                                          "",
		"User x+alice@example.com does not exist.":                                                                                                  "",
		"User malice@example.com does not exist.":                                                                                                   "",
		"Principal deleted:user:alice@example.com?uid=123 does not exist.":                                                                          "",
		"The member group:alice@example.com does not exist.":                                                                                        "",
		"The member serviceAccount:alice@example.com does not exist.":                                                                               "",
		"User alice@example.com.mail.example does not exist.":                                                                                       "",
		"The email address is not associated with an account.":                                                                                      "",
		// What names ours is told of ours.
		"User Alice@Example.com does not exist.":                                     "alice@example.com",
		"Principal user:alice@example.com does not exist":                            "alice@example.com",
		"The member 'alice@example.com' is of an unknown type.":                      "alice@example.com",
		"Role roles/run.admin is not supported for this resource.":                   "roles/run.admin",
		"Role (roles/run.admin) does not exist in the resource's hierarchy.":         "roles/run.admin",
		"The role name must be in the form; role roles/run.admin cannot be granted.": "roles/run.admin",
	} {
		synctest.Test(t, func(t *testing.T) {
			g := newGoogle(t, foreign)
			granter := granterOf(g)
			grant := grantTo("alice@example.com", idA, "roles/run.admin", "roles/run.viewer")
			if _, err := granter.Grant(t.Context(), grant, query(grant), fine); err != nil {
				t.Fatal(err)
			}
			g.onWrite = always(fault{status: 400, body: problem(400, "INVALID_ARGUMENT", text)})
			again := grantTo("alice@example.com", idB, "roles/run.admin", "roles/run.viewer")
			_, err := granter.Grant(t.Context(), again, query(again), fine)
			e := access.AsError(err)
			if told := e.Args["principal"] + e.Args["role"]; told != reason {
				t.Errorf("%s\n\tblames %q, want %q: %v", text, told, reason, e)
			}
			if reason == "" && (e.Code != access.CodePlatformRefused || e.Args["reason"] != strconv.Quote(text)) {
				t.Errorf("%s\n\tis told as %v", text, e)
			}
			// Who ends access grants nothing, so that nothing cannot be granted.
			time.Sleep(time.Minute)
			_, err = granter.End(t.Context(), access.Ending{RequestID: idA, Principal: "alice@example.com", Resource: shop, At: time.Now()})
			if e := access.AsError(err); e.Code != access.CodePlatformRefused || e.Args["reason"] != strconv.Quote(text) {
				t.Errorf("%s\n\tis told to whoever ends access as %v", text, e)
			}
		})
	}
}

func TestARefusalMentionsTheDeletedAccount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGoogle(t, `{"role":"roles/x","members":["deleted:user:alice@example.com?uid=1"]}`)
		g.onWrite = always(fault{status: 400, body: problem(400, "INVALID_ARGUMENT", "Invalid argument.")})
		grant := grantTo("alice@example.com", idA, "roles/run.admin")
		_, err := granterOf(g).Grant(t.Context(), grant, query(grant), fine)
		if reason := access.AsError(err).Args["reason"]; !strings.Contains(reason, "deleted:user:alice@example.com") {
			t.Errorf("reason %q", reason)
		}
	})
}

func TestSearchProjects(t *testing.T) {
	page := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v3/projects:search" || r.URL.Query().Get("query") != "labels.jit=on&x" {
			t.Errorf("called %s", r.URL)
		}
		switch page++; page {
		case 1:
			http.Error(w, "busy", http.StatusServiceUnavailable)
		case 2:
			fmt.Fprint(w, `{"projects":[{"projectId":"shop","displayName":"The Shop","state":"ACTIVE"},{"projectId":"gone","state":"DELETE_REQUESTED"}],"nextPageToken":"t2"}`)
		case 3: // a short page is not the last one
			if r.URL.Query().Get("pageToken") != "t2" {
				t.Errorf("token %q", r.URL.Query().Get("pageToken"))
			}
			fmt.Fprint(w, `{"nextPageToken":"t3"}`)
		default:
			fmt.Fprint(w, `{"projects":[{"projectId":"example.com:old"},{"projectId":"../evil"},{"projectId":"shop"}]}`)
		}
	}))
	defer server.Close()
	c := resourcemanager.New(resourcemanager.Config{HTTP: server.Client(), Endpoint: server.URL, Now: time.Now,
		Sleep: func(context.Context, time.Duration) error { return nil }})
	got, err := c.SearchProjects(t.Context(), "labels.jit=on&x")
	want := []access.ResourceInfo{{Resource: "projects/example.com:old"}, {Resource: "projects/shop", Title: "The Shop"}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v, %s", err, diff)
	}
}

// A query that Google does not understand is its operator's to correct.
func TestSearchProjectsSaysThatTheQueryIsRefused(t *testing.T) {
	for query, want := range map[string]access.Code{"parent:folders/1 AND": access.CodeQueryRefused, "": access.CodeCallRefused} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.Error(w, problem(400, "INVALID_ARGUMENT", "Invalid query string."), http.StatusBadRequest)
		}))
		defer server.Close()
		c := resourcemanager.New(resourcemanager.Config{HTTP: server.Client(), Endpoint: server.URL, Now: time.Now})
		_, err := c.SearchProjects(t.Context(), query)
		e := access.AsError(err)
		if e.Kind != access.Unprocessable || e.Code != want || e.Args["reason"] != `"Invalid query string."` || e.Args["query"] != query {
			t.Errorf("%q: %v", query, err)
		}
	}
	// A policy is not a query, and reading it changes nothing.
	g := newGoogle(t)
	g.onRead = always(fault{status: 400})
	if _, err := clientOf(g).GetIamPolicy(t.Context(), shop, time.Time{}); codeOf(err) != access.CodeCallRefused {
		t.Errorf("a policy: %v", err)
	}
}

func TestSearchProjectsEndsWhereTheServerDoesNot(t *testing.T) {
	calls := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls++
		fmt.Fprint(w, `{"nextPageToken":"again"}`)
	}))
	defer server.Close()
	c := resourcemanager.New(resourcemanager.Config{HTTP: server.Client(), Endpoint: server.URL, Now: time.Now, Sleep: sleep})
	if _, err := c.SearchProjects(t.Context(), ""); codeOf(err) != access.CodeUpstreamFailed || calls > 3 {
		t.Errorf("%v after %d calls", err, calls)
	}
}

func TestRetriesAreSpreadAndBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var waits []time.Duration
		random := 0.0
		g := newGoogle(t)
		g.onRead = always(fault{status: 503})
		c := resourcemanager.New(resourcemanager.Config{HTTP: &http.Client{Transport: g}, Endpoint: "http://127.0.0.1:1", Now: time.Now,
			Random: func() float64 { random += 0.25; return random - float64(int(random)) },
			Sleep: func(_ context.Context, d time.Duration) error {
				waits = append(waits, d)
				if len(waits) == 8 {
					return errors.New("the caller has left")
				}
				return nil
			}})
		if _, err := c.GetIamPolicy(t.Context(), shop, time.Time{}); codeOf(err) != access.CodeUpstreamFailed {
			t.Error(err)
		}
		want := []time.Duration{75, 200, 500, 400, 1200, 2000, 2500, 1000}
		for i := range want {
			want[i] *= time.Millisecond
		}
		if diff := cmp.Diff(want, waits); diff != "" {
			t.Error(diff)
		}
	})
}
