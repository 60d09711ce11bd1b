package google_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	crm1 "google.golang.org/api/cloudresourcemanager/v1"
	crm "google.golang.org/api/cloudresourcemanager/v3"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/option"

	"jitaccess/internal/sandbox/google"
)

// start is the time at which every test begins.
var start = time.Date(2026, 3, 2, 9, 30, 0, 0, time.UTC)

// fixture is a running cloud and a client's way to it.
type fixture struct {
	*google.Cloud
	t   *testing.T
	url string
	// offset moves the cloud's clock from start.
	offset atomic.Int64
}

func newFixture(t *testing.T, change ...func(*google.Options)) *fixture {
	t.Helper()
	f := &fixture{t: t}
	o := google.Options{Now: func() time.Time { return start.Add(time.Duration(f.offset.Load())) }}
	for _, c := range change {
		c(&o)
	}
	cloud, err := google.New(o)
	if err != nil {
		t.Fatal(err)
	}
	f.Cloud = cloud
	server := httptest.NewServer(cloud.Handler())
	t.Cleanup(server.Close)
	f.url = server.URL
	return f
}

// metadataToken asks the metadata server as a client library does.
func (f *fixture) metadataToken() string {
	f.t.Helper()
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	status, body := f.get("/computeMetadata/v1/instance/service-accounts/default/token", "Metadata-Flavor", "Google")
	if err := json.Unmarshal([]byte(body), &answer); status != 200 || err != nil {
		f.t.Fatalf("token: %d %s", status, body)
	}
	return answer.AccessToken
}

// as makes the options of a client library that calls with a token.
func (f *fixture) as(token string) []option.ClientOption {
	return []option.ClientOption{option.WithEndpoint(f.url), option.WithHTTPClient(&http.Client{Transport: bearer(token)})}
}

// service are the options of the service account.
func (f *fixture) service() []option.ClientOption { return f.as(f.metadataToken()) }

// person are the options of somebody else.
func (f *fixture) person(email string, scopes ...string) []option.ClientOption {
	f.t.Helper()
	token, err := f.IssueToken(email, scopes...)
	if err != nil {
		f.t.Fatal(err)
	}
	return f.as(token)
}

type bearer string

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+string(b))
	return http.DefaultTransport.RoundTrip(r)
}

func (f *fixture) get(path string, headers ...string) (int, string) {
	return f.do("GET", path, "", headers...)
}

func (f *fixture) do(method, path, body string, headers ...string) (int, string) {
	f.t.Helper()
	r, err := http.NewRequestWithContext(f.t.Context(), method, f.url+path, strings.NewReader(body))
	if err != nil {
		f.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		f.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

func resourceManager(t *testing.T, options []option.ClientOption) *crm.Service {
	t.Helper()
	s, err := crm.NewService(context.Background(), options...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func resourceManager1(t *testing.T, options []option.ClientOption) *crm1.Service {
	t.Helper()
	s, err := crm1.NewService(context.Background(), options...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// read is the read of a read-modify-write.
func read(t *testing.T, s *crm.Service, project string) *crm.Policy {
	t.Helper()
	p, err := s.Projects.GetIamPolicy(project, &crm.GetIamPolicyRequest{Options: &crm.GetPolicyOptions{RequestedPolicyVersion: 3}}).Do()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// refused checks the code and a part of the text of an error of a client library.
func refused(t *testing.T, err error, code int, words string) {
	t.Helper()
	var e *googleapi.Error
	if !errors.As(err, &e) || e.Code != code || !strings.Contains(e.Message, words) {
		t.Errorf("got %v, want %d with %q", err, code, words)
	}
}

const orders = "projects/shop-orders-prod"

// call asks a cloud that wants no credentials, without a network.
func call(cloud *google.Cloud, method, path, body string) int {
	w := httptest.NewRecorder()
	cloud.Handler().ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(body)))
	return w.Code
}
