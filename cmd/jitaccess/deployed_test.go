package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/sandbox"
)

// deployed is the whole service behind the sandbox's sign-in, and the Google Cloud
// under it, reached as anybody with a token reaches it. It takes part in no package
// of the product, so it can stand for JIT Access 1.x too.
type deployed struct {
	t      *testing.T
	front  string // the service, as people reach it
	google string
	log    *lockedBuffer
}

const (
	stackAccount = "jitaccess@example-jitaccess.iam.gserviceaccount.com"
	stackDomain  = "@example.com"
)

// deploy runs `jitaccess sandbox`.
func deploy(t *testing.T) *deployed {
	s := &deployed{t: t, log: &lockedBuffer{}}
	s.front = startSandbox(t, s.log)
	s.google = "http://" + os.Getenv("GCE_METADATA_HOST")
	return s
}

// deployWith runs `jitaccess serve` with further settings, and without mail.
func deployWith(t *testing.T, settings map[string]string) *deployed {
	ctx, stop := context.WithCancel(context.Background())
	t.Cleanup(stop)
	around, err := sandbox.Start(ctx, sandbox.Options{Address: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	s := &deployed{t: t, front: around.URL(), log: &lockedBuffer{}}
	environment := around.Environment()
	s.google = environment["JITACCESS_GOOGLE_ENDPOINT"]
	t.Setenv("GCE_METADATA_HOST", environment["GCE_METADATA_HOST"])
	delete(environment, "SMTP_SENDER_ADDRESS")
	environment["PORT"] = freePort(t)
	maps.Copy(environment, settings)
	done := make(chan struct{}, 2)
	go func() {
		run(ctx, nil, func(name string) string { return environment[name] }, s.log, s.log)
		done <- struct{}{}
	}()
	service := &url.URL{Scheme: "http", Host: "127.0.0.1:" + environment["PORT"]}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(service); r.Out.Host = r.In.Host }}
	go func() { around.Serve(proxy); done <- struct{}{} }()
	t.Cleanup(func() { stop(); <-done; <-done })
	// It answers that it is starting before it knows who it is.
	for deadline := time.Now().Add(30 * time.Second); ; runtime.Gosched() {
		if status, body := get(t, service.String()+"/health/ready"); status == http.StatusOK {
			return s
		} else if time.Now().After(deadline) {
			t.Fatalf("not ready: %d %s", status, body)
		}
	}
}

// said is an answer of the JSON interface.
type said struct {
	status int
	text   string
	header http.Header
	apiSaid
}

type apiSaid struct {
	Message, Code, ReviewURL, Justification string
	Warnings                                []string
	IsBeneficiary, IsReviewer               bool
	Reviewers, Peers                        []struct{ Email string }
	Entitlements                            []struct {
		ActivationID, ID, Name, Status, ActivationType string
		ResourceCondition                              *string
		StartTime, EndTime                             int64
		ValidUntil                                     *int64
	}
}

// send asks the service as a person; an empty name is nobody.
func (s *deployed) send(person, method, path, body string, headers ...string) said {
	s.t.Helper()
	r, err := http.NewRequest(method, s.front+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	if person != "" {
		r.AddCookie(&http.Cookie{Name: "sandbox_person", Value: person + stackDomain})
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	answer, err := (&http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}).Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	a := said{status: answer.StatusCode, text: string(text), header: answer.Header}
	if strings.HasPrefix(answer.Header.Get("Content-Type"), "application/json") {
		if err := json.Unmarshal(text, &a.apiSaid); err != nil {
			s.t.Fatalf("%s: %v", text, err)
		}
	}
	return a
}

// api calls the JSON interface; a nil body is a GET.
func (s *deployed) api(person, path string, body any) said {
	s.t.Helper()
	if body == nil {
		return s.send(person, "GET", path, "", "X-JITACCESS", "1")
	}
	return s.send(person, "POST", path, toJSON(s.t, body), "X-JITACCESS", "1", "Content-Type", "application/json")
}

func (a said) want(t *testing.T, status int, texts ...string) said {
	t.Helper()
	if a.status != status {
		t.Fatalf("status %d, want %d: %s", a.status, status, a.text)
	}
	for _, text := range texts {
		if !strings.Contains(a.text, text) {
			t.Errorf("does not say %s:\n%s", text, a.text)
		}
	}
	return a
}

type object = map[string]any

func toJSON(t *testing.T, v any) string {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func decodeInto(t *testing.T, r io.Reader, into any) {
	t.Helper()
	if err := json.NewDecoder(r).Decode(into); err != nil {
		t.Fatal(err)
	}
}

// call calls Google as somebody with a token.
func (s *deployed) call(as, path string, body any) object {
	s.t.Helper()
	token := s.post("/control/tokens", "", object{"email": as, "scopes": []string{"https://www.googleapis.com/auth/cloud-platform"}})["accessToken"].(string)
	return s.post(path, token, body)
}

func (s *deployed) post(path, token string, body any) object {
	s.t.Helper()
	r, err := http.NewRequest("POST", s.google+path, strings.NewReader(toJSON(s.t, body)))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	var o object
	if err != nil || answer.StatusCode != http.StatusOK || json.Unmarshal(text, &o) != nil {
		s.t.Fatalf("%s: %s %s %v", path, answer.Status, text, err)
	}
	return o
}

// boundTo is a binding of a policy.
type boundTo struct {
	Role      string          `json:"role"`
	Members   []string        `json:"members"`
	Condition *boundCondition `json:"condition,omitempty"`
}

type boundCondition struct {
	Title       string `json:"title"`
	Description string `json:"description,omitempty"`
	Expression  string `json:"expression"`
}

func (s *deployed) policy(resource string) (etag string, bindings []boundTo) {
	s.t.Helper()
	p := s.call("erin"+stackDomain, "/v3/"+resource+":getIamPolicy", object{"options": object{"requestedPolicyVersion": 3}})
	if err := json.Unmarshal([]byte(toJSON(s.t, p["bindings"])), &bindings); err != nil {
		s.t.Fatal(err)
	}
	return p["etag"].(string), bindings
}

// bind changes the bindings of a policy, as an administrator does.
func (s *deployed) bind(resource string, edit func([]boundTo) []boundTo) {
	s.t.Helper()
	etag, bindings := s.policy(resource)
	s.call("erin"+stackDomain, "/v3/"+resource+":setIamPolicy", object{"policy": object{"version": 3, "etag": etag, "bindings": edit(bindings)}})
}

func (s *deployed) add(resource string, more ...boundTo) {
	s.t.Helper()
	s.bind(resource, func(b []boundTo) []boundTo { return append(b, more...) })
}

// eligible is a binding that makes people eligible.
func eligibleBinding(role, expression string, people ...string) boundTo {
	b := boundTo{Role: role, Condition: &boundCondition{Title: "eligible", Expression: expression}}
	for _, p := range people {
		b.Members = append(b.Members, "user:"+p+stackDomain)
	}
	return b
}

// described are the bindings whose description contains text.
func (s *deployed) described(resource, text string) []boundTo {
	s.t.Helper()
	_, bindings := s.policy(resource)
	return slices.DeleteFunc(bindings, func(b boundTo) bool { return b.Condition == nil || !strings.Contains(b.Condition.Description, text) })
}
