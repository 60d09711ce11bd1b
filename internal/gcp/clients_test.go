package gcp_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	admin "google.golang.org/api/admin/directory/v1"
	"google.golang.org/api/cloudasset/v1"
	"google.golang.org/api/iam/v1"
	"google.golang.org/api/iamcredentials/v1"
	"google.golang.org/api/option"
	"google.golang.org/api/parametermanager/v1"
	pubsubclient "google.golang.org/api/pubsub/v1"
	secretmanagerclient "google.golang.org/api/secretmanager/v1"

	"jitaccess/internal/access"
	"jitaccess/internal/gcp"
	"jitaccess/internal/gcp/assetinventory"
	"jitaccess/internal/gcp/directory"
	"jitaccess/internal/gcp/gcptest"
	ourcredentials "jitaccess/internal/gcp/iamcredentials"
	ourparameters "jitaccess/internal/gcp/parametermanager"
	"jitaccess/internal/gcp/policyanalyzer"
	"jitaccess/internal/gcp/pubsub"
	"jitaccess/internal/gcp/roles"
	"jitaccess/internal/gcp/secretmanager"
)

// sent is one call as it arrives.
type sent struct {
	line  string // method and path, as they are escaped
	query url.Values
	body  any
}

// silent is a directory in which nobody is in a group: a catalog asks while it looks elsewhere, and
// its call would arrive among those of another row.
type silent struct{ *directory.Directory }

func (silent) Groups(context.Context, access.Principal, time.Time) ([]string, *access.Error, error) {
	return nil, nil, nil
}

// recorder answers every call with an empty object and remembers it.
func recorder(t *testing.T) (*gcp.Platform, []option.ClientOption, func(method string) []sent) {
	t.Helper()
	var mu sync.Mutex
	var all []sent
	handler := func(w http.ResponseWriter, r *http.Request) {
		s := sent{line: r.Method + " " + r.URL.EscapedPath(), query: r.URL.Query()}
		if content, _ := io.ReadAll(r.Body); len(content) > 0 {
			if err := json.NewDecoder(bytes.NewReader(content)).Decode(&s.body); err != nil {
				t.Errorf("%s: %v", s.line, err)
			}
		}
		mu.Lock()
		all = append(all, s)
		mu.Unlock()
		gcptest.Answer(w, map[string]any{})
	}
	google := gcptest.StartAt(t, func() time.Time { return at }, handler)
	server := httptest.NewServer(http.HandlerFunc(handler))
	t.Cleanup(server.Close)
	take := func(part string) (found []sent) {
		mu.Lock()
		defer mu.Unlock()
		for _, s := range all {
			if strings.Contains(s.line, part) {
				found = append(found, s)
			}
		}
		all = nil
		return found
	}
	return google.Platform, []option.ClientOption{option.WithEndpoint(server.URL), option.WithHTTPClient(server.Client())}, take
}

var at = time.Date(2026, 3, 2, 9, 30, 0, 0, time.UTC)

// TestCallsAreThoseOfGooglesClients: what the product asks for is what Google's own client of
// the API sends for it, to the byte of the path, every parameter and the body.
func TestCallsAreThoseOfGooglesClients(t *testing.T) {
	const (
		scope     = "organizations/1"
		project   = access.Resource("projects/shop")
		person    = access.Principal("o+brien@example.com")
		secret    = "projects/acme/secrets/mail/versions/1"
		parameter = "projects/acme/locations/global/parameters/policy/versions/1"
		account   = "projects/-/serviceAccounts/" + gcptest.Account
	)
	p, options, take := recorder(t)
	ctx := t.Context()
	policies := (&gcptest.Google{Platform: p}).Policies(func() time.Time { return at })
	groups := directory.New(p, "C0123", time.Now)
	inventory := assetinventory.New(assetinventory.Config{Platform: p, Scope: scope, Policies: policies, Directory: silent{groups},
		SearchProjects: policies.SearchProjects, Now: func() time.Time { return at }})
	analyzer := policyanalyzer.New(policyanalyzer.Config{Platform: p, Scope: scope, Policies: policies, SearchProjects: policies.SearchProjects,
		ExecutionTimeout: 20 * time.Second, Now: func() time.Time { return at }})
	topic, err := pubsub.New(p, "projects/acme/topics/jit")
	if err != nil {
		t.Fatal(err)
	}
	made := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	assets, err := cloudasset.NewService(ctx, options...)
	made(err)
	people, err := admin.NewService(ctx, options...)
	made(err)
	credentials, err := iamcredentials.NewService(ctx, options...)
	made(err)
	parameters, err := parametermanager.NewService(ctx, options...)
	made(err)
	secrets, err := secretmanagerclient.NewService(ctx, options...)
	made(err)
	messages, err := pubsubclient.NewService(ctx, options...)
	made(err)
	described, err := iam.NewService(ctx, options...)
	made(err)
	role := func(name access.Role) func() {
		return func() { roles.New(p, time.Now).Role(ctx, project, name) }
	}
	analyze := func() *cloudasset.V1AnalyzeIamPolicyCall {
		return assets.V1.AnalyzeIamPolicy(scope).AnalysisQueryConditionContextAccessTime(at.Format(time.RFC3339Nano)).ExecutionTimeout("20s")
	}
	for name, c := range map[string]struct {
		part         string
		ours, theirs func()
	}{
		"batchGet": {":batchGet", func() {
			inventory.Standing(ctx, access.StandingQuery{Resource: project, Principals: []access.Principal{person}})
		}, func() { assets.EffectiveIamPolicies.BatchGet(scope).Names(project.FullName()).Do() }},
		"searchAllIamPolicies": {":searchAllIamPolicies", func() { inventory.Named(ctx, person) }, func() {
			assets.V1.SearchAllIamPolicies(scope).AssetTypes("cloudresourcemanager.googleapis.com/Project",
				"cloudresourcemanager.googleapis.com/Folder", "cloudresourcemanager.googleapis.com/Organization").
				Query(`policy:"` + string(person) + `"`).PageSize(500).Do()
		}},
		"analyzeIamPolicy, what a person holds": {":analyzeIamPolicy", func() {
			analyzer.Standing(ctx, access.StandingQuery{Resource: project, Principals: []access.Principal{person}})
		}, func() {
			analyze().AnalysisQueryIdentitySelectorIdentity("user:" + string(person)).
				AnalysisQueryResourceSelectorFullResourceName(project.FullName()).Do()
		}},
		"analyzeIamPolicy, what a person may see": {":analyzeIamPolicy", func() { analyzer.Resources(ctx, person) }, func() {
			analyze().AnalysisQueryIdentitySelectorIdentity("user:" + string(person)).AnalysisQueryOptionsExpandResources(true).
				AnalysisQueryAccessSelectorPermissions("resourcemanager.projects.get").Do()
		}},
		"groups.list": {"/groups", func() { groups.Groups(ctx, "a+b@example.com", time.Time{}) }, func() {
			people.Groups.List().Customer("C0123").Query("memberKey=a+b@example.com").Fields("groups(email)", "nextPageToken").MaxResults(200).Do()
		}},
		"groups.list, of an address with an apostrophe": {"/groups", func() { groups.Groups(ctx, "o'brien@example.com", time.Time{}) }, func() {
			people.Groups.List().UserKey("o'brien@example.com").Fields("groups(email)", "nextPageToken").MaxResults(200).Do()
		}},
		"members.list": {"/members", func() { groups.Members(ctx, "o'ps+all@example.com", time.Time{}) }, func() {
			people.Members.List("o'ps+all@example.com").Fields("members(email,type,status)", "nextPageToken").MaxResults(200).Do()
		}},
		"signJwt": {":signJwt", func() { ourcredentials.New(p).SignJWT(ctx, []byte(`{"a":"<&>"}`)) }, func() {
			credentials.Projects.ServiceAccounts.SignJwt(account, &iamcredentials.SignJwtRequest{Payload: `{"a":"<&>"}`}).Do()
		}},
		"generateAccessToken": {":generateAccessToken", func() { p.DatabaseToken(ctx) }, func() {
			credentials.Projects.ServiceAccounts.GenerateAccessToken(account, &iamcredentials.GenerateAccessTokenRequest{
				Scope: []string{"https://www.googleapis.com/auth/sqlservice.login"}, Lifetime: "3600s"}).Do()
		}},
		"versions.access": {":access", func() { secretmanager.New(p).Access(ctx, secret) }, func() {
			secrets.Projects.Secrets.Versions.Access(secret).Do()
		}},
		"parameters": {"/parameters/", func() { ourparameters.Get(ctx, p, parameter) }, func() {
			parameters.Projects.Locations.Parameters.Versions.Get(parameter).Do()
		}},
		"publish": {":publish", func() { topic.Notify(ctx, access.Notice{Kind: access.NoticeSelfApproved}) }, func() {
			data := "eyJ0eXBlIjoiQWN0aXZhdGlvblNlbGZBcHByb3ZlZCIsImF0dHJpYnV0ZXMiOnsiYmVuZWZpY2lhcnkiOiIiLCJqdXN0aWZpY2F0aW9uIjoiIiwicHJvamVjdF9pZCI6IiIsInJvbGUiOiIifX0="
			messages.Projects.Topics.Publish("projects/acme/topics/jit", &pubsubclient.PublishRequest{
				Messages: []*pubsubclient.PubsubMessage{{Data: data}}}).Do()
		}},
		"a role":                    {"/roles/", role("roles/viewer"), func() { described.Roles.Get("roles/viewer").Do() }},
		"a role of a project":       {"/roles/", role("projects/p/roles/a.b"), func() { described.Projects.Roles.Get("projects/p/roles/a.b").Do() }},
		"a role of an organization": {"/roles/", role("organizations/1/roles/a"), func() { described.Organizations.Roles.Get("organizations/1/roles/a").Do() }},
	} {
		t.Run(name, func(t *testing.T) {
			take("")
			c.ours()
			ours := take(c.part)
			c.theirs()
			theirs := take(c.part)
			if len(ours) != 1 || len(theirs) != 1 || !reflect.DeepEqual(ours, theirs) {
				t.Errorf("sent\n%+v, Google's client sends\n%+v", ours, theirs)
			}
		})
	}
}

// TestAnAnswerIsWhatWasAskedFor: whatever else comes is an error, once or repeated, and
// never an empty answer.
func TestAnAnswerIsWhatWasAskedFor(t *testing.T) {
	type answer struct {
		Name  string `json:"name"`
		Count int    `json:"count"`
	}
	write := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status); io.WriteString(w, body) }
	}
	for rule, c := range map[string]struct {
		handler http.HandlerFunc
		status  int // that the error tells
		text    string
		calls   int
	}{
		"an answer":                 {write(200, `{"name":"a","count":2,"other":[{"x":1}]}`), 0, "", 1},
		"no JSON":                   {write(200, `<html>Sign in</html>`), 0, "makes no sense", 1},
		"nothing":                   {write(200, ``), 0, "makes no sense", 1},
		"only its beginning":        {write(200, `{"name":"a","count":`), 0, "makes no sense", 1},
		"two":                       {write(200, `{"name":"a","count":2}{"name":"b"}`), 0, "makes no sense", 1},
		"null":                      {write(200, " null\n"), 0, "is null", 1},
		"a list":                    {write(200, `[{"name":"a","count":2}]`), 0, "makes no sense", 1},
		"a field of another type":   {write(200, `{"name":["a"],"count":2}`), 0, "makes no sense", 1},
		"a number that is none":     {write(200, `{"name":"a","count":"2"}`), 0, "makes no sense", 1},
		"longer than may be":        {write(200, `{"name":"`+strings.Repeat("a", 1<<10)+`"}`), 0, "more than 1024 bytes", 1},
		"204":                       {write(204, ``), 204, "", 1},
		"another success":           {write(202, `{"name":"a","count":2}`), 202, "", 1},
		"a redirect":                {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) }, http.StatusFound, "", 1},
		"HTML that says 502":        {write(502, `<html><b>502.</b> That’s an error.</html>`), 502, "502.", 2},
		"an error of another shape": {write(400, `{"error":"invalid_grant"}`), 400, "invalid_grant", 1},
		"an error that is a list":   {write(400, `[{"error":{"message":"no"}}]`), 400, "no", 1},
		"another code in the body":  {write(403, `{"error":{"code":200,"message":"no"}}`), 403, "no", 1},
		"a code of another type":    {write(403, `{"error":{"code":"x","message":"no","details":"y"}}`), 403, "no", 1},
		"a connection that breaks":  {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 0, "EOF", 2},
		"an answer that breaks off ": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "99")
			io.WriteString(w, `{"na`)
		}, 0, "EOF", 2},
	} {
		t.Run(rule, func(t *testing.T) {
			google := gcptest.Start(t, c.handler)
			got, err := gcp.Ask[answer](context.Background(), google.Platform.API("any", google.Platform.Client, 1<<10), "/v1/any", nil, nil)
			status, text := gcp.Answer(err)
			if status != c.status || !strings.Contains(text, c.text) || google.Calls("") != c.calls {
				t.Errorf("%d %q after %d calls", status, text, google.Calls(""))
			}
			if wanted := c.status == 0 && c.text == ""; wanted != (err == nil) || wanted && got != (answer{"a", 2}) {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}
