package main

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"jitaccess/internal/config"
	"jitaccess/internal/gcp"
	"jitaccess/internal/gcp/condition"
	"jitaccess/internal/gcp/quota"
	"jitaccess/internal/mail/smtptest"
	"jitaccess/internal/sandbox/google"
	"jitaccess/internal/sandbox/sandboxtest"
)

// world is the whole service as production wires it, before a Google Cloud and a
// mail server on loopback. There is one at a time; see sandboxtest.
type world struct {
	t testing.TB
	*sandboxtest.Surroundings
	cloud *google.Cloud
	mail  *smtptest.Server
	log   *lockedBuffer
	// traces counts the calls whose lines in the log are looked for.
	traces int
	// ahead is how far the service's clock is ahead of everybody else's, or of all but
	// Google's.
	ahead atomic.Int64
	setup surroundings
	// service answers at url, or in this process; public is what it takes for its
	// address, and google where Google answers.
	service gate
	stop    context.CancelFunc
	// flush hands on what was traced.
	flush               func()
	url, public, google string
	// sent counts what send sends, and attended has, by its number, what the service does for it.
	sent     atomic.Int64
	attended sync.Map
}

const smtpPassword = "correct horse"

// surroundings say how a world differs from an ordinary one.
type surroundings struct {
	organization func(*google.Organization)
	options      google.Options
	wrap         func(http.Handler) http.Handler
	mail         smtptest.Options
	environment  map[string]string
	// inStep has Google's clock go with the service's.
	inStep bool
	// patience is how long the service waits for one answer of Google's; 0 is as
	// configured.
	patience time.Duration
	// byHand: nothing is done from time to time but what the test does. Otherwise a sweep comes
	// in between on a machine that is slow.
	byHand bool
	// measured is for what takes time: no network before the service, no log, and no
	// shorter waits.
	measured bool
}

func newWorld(t testing.TB, s surroundings) *world {
	t.Helper()
	w := &world{t: t, log: &lockedBuffer{}, setup: s}
	if s.inStep {
		s.options.Now = w.now
	}
	s.mail.Password = smtpPassword
	w.Surroundings = sandboxtest.Start(t, sandboxtest.Options{Organization: s.organization, Google: s.options, Wrap: s.wrap, Mail: s.mail})
	w.cloud, w.mail, w.google = w.Cloud, w.Mail, w.Google
	w.cloud.Faults().ReplaceWholePolicy(true)
	server := httptest.NewUnstartedServer(nil)
	server.Config = newHTTPServer(w.attend(&w.service))
	server.Start()
	t.Cleanup(server.Close)
	w.url = server.URL
	w.public = strings.Replace(w.url, "127.0.0.1", "localhost", 1)
	w.Environment["PUBLIC_URL"] = w.public
	if !s.measured {
		w.Environment["OTEL_EXPORTER_OTLP_ENDPOINT"] = everyTrace().url
		t.Cleanup(func() { everyTrace().judge(t) })
	}
	if s.measured {
		w.Environment["GOOGLE_QUOTAS"] = unlimited()
	}
	w.stop = func() {}
	t.Cleanup(func() { w.stop() })
	w.restart(s.environment)
	return w
}

// unlimited lets more pages be opened in a minute than people open.
func unlimited() string {
	var all []string
	for _, q := range quota.All() {
		if q.PerMinute > 0 {
			all = append(all, q.Name+"=1000000000")
		}
	}
	return strings.Join(all, ",")
}

// restart changes the service's environment and has it forget everything.
func (w *world) restart(change map[string]string) {
	w.t.Helper()
	maps.Copy(w.Environment, change)
	c, err := config.Read(w.Env(nil))
	if err != nil {
		w.t.Fatal(err)
	}
	if w.setup.patience != 0 {
		c.Google.ReadTimeout = w.setup.patience
	}
	w.stop()
	var ctx context.Context
	ctx, w.stop = context.WithCancel(context.Background())
	k, log := clock{now: w.now, sleep: func(ctx context.Context, d time.Duration) error { return sleep(ctx, d/20) }}, io.Writer(w.log)
	if w.setup.measured {
		k.sleep, log = sleep, io.Discard
	}
	begin := start
	if w.setup.byHand {
		begin = built
	}
	s, err := begin(ctx, c, w.mail.Roots, k, log)
	if err != nil {
		w.t.Fatal(err)
	}
	w.service.open(s)
	cancel := w.stop
	w.stop = func() {
		cancel()
		s.observing.end(context.Background())
	}
	w.flush = func() { s.observing.flush(context.Background()) }
}

// built is start, without what is done from time to time.
func built(ctx context.Context, c *config.Config, roots *x509.CertPool, k clock, out io.Writer) (*service, error) {
	platform, err := gcp.Connect(ctx, googleOptions(c, k))
	if err != nil {
		return nil, err
	}
	return build(ctx, c, platform, roots, k, out)
}

// running is the service as it runs now.
func (w *world) running() *service { return (*w.service.handler.Load()).(*service) }

// env is the service's environment with changes.
func (w *world) env(change map[string]string) func(string) string { return w.Env(change) }

// now is how late it is for the service.
func (w *world) now() time.Time { return time.Now().Add(time.Duration(w.ahead.Load())) }

// pass lets time pass for the service.
func (w *world) pass(d time.Duration) { w.ahead.Add(int64(d)) }

// reset undoes what was done to Google, and lets so much time pass that pages forget
// it and nobody is too fast.
func (w *world) reset() {
	w.cloud.Faults().Reset()
	w.cloud.Faults().ReplaceWholePolicy(true)
	w.pass(time.Minute)
}

// assertion is what Identity-Aware Proxy says of a person.
func (w *world) assertion(email string, edits ...func(map[string]any)) string {
	w.t.Helper()
	audience := "/projects/" + w.cloud.ProjectNumber() + "/locations/" + w.cloud.Region() + "/services/jitaccess"
	ahead := int64(time.Duration(w.ahead.Load()) / time.Second)
	if w.setup.inStep {
		ahead = 0
	}
	inStep := func(claims map[string]any) {
		claims["iat"], claims["exp"] = claims["iat"].(int64)+ahead, claims["exp"].(int64)+ahead
	}
	signed, err := w.cloud.SignIAPAssertion(email, "accounts.google.com:"+email, audience,
		append([]func(map[string]any){inStep}, edits...)...)
	if err != nil {
		w.t.Fatal(err)
	}
	return signed
}

// answer is what the service said.
type answer struct {
	status   int
	location string
	header   http.Header
	body     string
	// The JSON interface's answer and refusal.
	Message, Code, Field, Incident, ReviewURL string
	Warnings                                  []string
	Entitlements                              []struct {
		ActivationID, ID, Name, Status, ActivationType string
		StartTime, EndTime                             int64
		ValidUntil                                     *int64
	}
	Projects []string
	Peers    []struct{ Email string }
}

// numberHeader has the number of a request that send sent. The service does not see it.
const numberHeader = "X-Test-Number"

// attend notes for how long the service is busy with what send sent.
func (w *world) attend(service http.Handler) http.Handler {
	return http.HandlerFunc(func(answer http.ResponseWriter, r *http.Request) {
		number, _ := strconv.ParseInt(r.Header.Get(numberHeader), 10, 64)
		r.Header.Del(numberHeader)
		if step, is := w.attended.Load(number); is {
			step.(*sync.WaitGroup).Add(1)
			defer step.(*sync.WaitGroup).Done()
		}
		service.ServeHTTP(answer, r)
	})
}

// send sends a request as a person, whose address may be without its domain, or as
// nobody, and returns when the service has answered and done the step of the sweep behind its
// answer. The context bounds the wait for the answer.
func (w *world) send(email string, r *http.Request) answer {
	if email != "" && !strings.Contains(email, "@") {
		email += "@example.com"
	}
	if email != "" {
		r.Header.Set("X-Goog-Iap-Jwt-Assertion", w.assertion(email))
	}
	number, step := w.sent.Add(1), new(sync.WaitGroup)
	w.attended.Store(number, step)
	defer w.attended.Delete(number)
	r.Header.Set(numberHeader, strconv.FormatInt(number, 10))
	response, err := client.Do(r)
	if err != nil {
		return answer{body: err.Error()}
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return answer{body: err.Error()}
	}
	step.Wait()
	a := answer{status: response.StatusCode, location: response.Header.Get("Location"), header: response.Header, body: string(body)}
	if strings.HasPrefix(response.Header.Get("Content-Type"), "application/json") {
		if err := json.Unmarshal(body, &a); err != nil {
			w.t.Errorf("the answer is not JSON: %s", body)
		}
	}
	return a
}

// as is a request of a person as Identity-Aware Proxy passes it on, and to the JSON
// interface as scripts send it.
func (w *world) as(email, method, to, body string) *http.Request {
	w.t.Helper()
	r, err := http.NewRequest(method, to, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("X-Goog-Iap-Jwt-Assertion", w.assertion(email))
	if strings.HasPrefix(r.URL.Path, "/api/") {
		r.Header.Set("X-JITACCESS", "1")
		r.Header.Set("Content-Type", "application/json")
	}
	return r
}

// inside answers a request in this process, without a network; it must be 200.
func (w *world) inside(r *http.Request) []byte {
	w.t.Helper()
	recorder := httptest.NewRecorder()
	w.service.ServeHTTP(recorder, r)
	if recorder.Code != http.StatusOK {
		w.t.Errorf("%s %s: %d\n%.500s", r.Method, r.URL, recorder.Code, recorder.Body)
	}
	return recorder.Body.Bytes()
}

// ok is the body of the JSON interface's answer, or of a page; it must be 200.
func (w *world) ok(email, path string, body any) string {
	w.t.Helper()
	return w.api(email, path, body).expect(w.t, http.StatusOK).body
}

// client waits as long as Google's front ends do, and follows nothing.
var client = &http.Client{
	Timeout:       30 * time.Second,
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

func (w *world) request(method, path string, body io.Reader) *http.Request {
	r, err := http.NewRequest(method, w.url+path, body)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// call sends a request of any kind.
func (w *world) call(email, method, path, body string, headers ...string) answer {
	r := w.request(method, path, strings.NewReader(body))
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return w.send(email, r)
}

// api calls the JSON interface; a nil body is a GET.
func (w *world) api(email, path string, body any) answer {
	if body == nil {
		return w.call(email, "GET", path, "", "X-JITACCESS", "1")
	}
	return w.call(email, "POST", path, encoded(w.t, body), "X-JITACCESS", "1", "Content-Type", "application/json")
}

// page opens a page.
func (w *world) page(email, path string) answer {
	return w.send(email, w.request("GET", path, nil))
}

// form sends a form as the pages' scripts do: an approval is confirmed.
func (w *world) form(email, path string, f url.Values) answer {
	if f.Get("verdict") == "approve" {
		f.Set("confirmed", "1")
	}
	return w.call(email, "POST", path, f.Encode(), "Content-Type", "application/x-www-form-urlencoded", "Origin", w.public)
}

const (
	alice   = "alice@example.com"
	bob     = "bob@example.com"
	carol   = "carol@example.com"
	frank   = "frank@example.com"
	selfID  = project + ":roles/cloudsql.admin"
	peerID  = project + ":roles/compute.instanceAdmin.v1"
	selfURL = "/api/projects/" + project + "/roles/self-activate"
	askURL  = "/api/projects/" + project + "/roles/request"
)

// dict is a JSON object.
type dict = map[string]any

func selfBody(edits dict) dict {
	return with(dict{"entitlementIds": []string{selfID}, "justification": "Restore the backup", "activationTimeout": 30}, edits)
}

func askBody(edits dict) dict {
	return with(dict{"entitlementId": peerID, "peers": []string{bob}, "justification": "Node 7 hangs", "activationTimeout": 30}, edits)
}

func with(d, edits dict) dict {
	for k, v := range edits {
		d[k] = v
	}
	return d
}

// ask makes Alice's request to Bob and returns its link's path and its id.
func (w *world) ask() (ref, id string) {
	w.t.Helper()
	a := w.api(alice, askURL, askBody(nil))
	if a.status != 200 || a.ReviewURL == "" {
		w.t.Fatalf("request: %d %s", a.status, a.body)
	}
	return refOf(w.t, a), a.Entitlements[0].ActivationID
}

// refOf is the reference of a request in the link to it.
func refOf(t testing.TB, asked answer) string {
	t.Helper()
	u, err := url.Parse(asked.ReviewURL)
	if err != nil {
		t.Fatal(err)
	}
	return u.Query().Get("activation")
}

func reviewPath(ref string) string { return "/review?activation=" + url.QueryEscape(ref) }
func decideURL(ref string) string {
	return "/api/activation-request?activation=" + url.QueryEscape(ref)
}

// policy is a resource's policy as Google has it.
func (w *world) policy(resource string) google.Policy {
	w.t.Helper()
	text, err := w.cloud.Policy(resource)
	if err != nil {
		w.t.Fatal(err)
	}
	var p google.Policy
	if err := json.Unmarshal(text, &p); err != nil {
		w.t.Fatal(err)
	}
	return p
}

// bind changes the bindings of a policy, as an administrator does.
func (w *world) bind(resource string, edit func([]google.Binding) []google.Binding) {
	w.t.Helper()
	p := w.policy(resource)
	p.Version, p.Bindings = 3, edit(p.Bindings)
	w.post("erin@example.com", "/v3/"+resource+":setIamPolicy", dict{"policy": p}, nil)
}

func (w *world) add(resource string, more ...google.Binding) {
	w.t.Helper()
	w.bind(resource, func(b []google.Binding) []google.Binding { return append(b, more...) })
}

// eligibleBinding makes people eligible.
func eligibleBinding(role, expression string, people ...string) google.Binding {
	b := google.Binding{Role: role, Condition: &google.Condition{Title: "eligible", Expression: expression}}
	for _, p := range people {
		b.Members = append(b.Members, "user:"+p+"@example.com")
	}
	return b
}

// described are the bindings whose description contains text.
func (w *world) described(resource, text string) []google.Binding {
	w.t.Helper()
	return slices.DeleteFunc(w.policy(resource).Bindings, func(b google.Binding) bool {
		return b.Condition == nil || !strings.Contains(b.Condition.Description, text)
	})
}

// granted counts the bindings of the project that carry an id.
func (w *world) granted(id string) int { return len(w.described("projects/"+project, "["+id+"]")) }

// live counts those that are not over.
func (w *world) live(id string) int { return w.liveOn("projects/"+project, id) }

// liveOn counts those of any resource.
func (w *world) liveOn(resource, id string) (n int) {
	w.t.Helper()
	for _, b := range w.described(resource, "["+id+"]") {
		if window, _, ok, _ := condition.ParseActivation(b.Condition.Expression); ok && window.End.After(w.now()) {
			n++
		}
	}
	return n
}

// foreign is everything in a resource's policy but activations, as JSON: what no write
// of ours may change.
func (w *world) foreign(resource string) string {
	w.t.Helper()
	p := w.policy(resource)
	var kept []google.Binding
	for _, b := range p.Bindings {
		if b.Condition == nil || b.Condition.Title != "JIT access activation" {
			kept = append(kept, b)
		}
	}
	text, err := json.Marshal(dict{"bindings": kept, "auditConfigs": p.AuditConfigs})
	if err != nil {
		w.t.Fatal(err)
	}
	return string(text)
}

// logged is whether the log has a line with all the texts.
func (w *world) logged(texts ...string) bool {
	for line := range strings.Lines(w.log.String()) {
		has := true
		for _, text := range texts {
			has = has && strings.Contains(line, text)
		}
		if has {
			return true
		}
	}
	return false
}

// expect ends the test if the answer is another.
func (a answer) expect(t testing.TB, status int, texts ...string) answer {
	t.Helper()
	if a.status != status {
		t.Fatalf("answered %d, want %d: %s", a.status, status, a.body)
	}
	for _, text := range texts {
		if !strings.Contains(a.body, text) {
			t.Errorf("does not say %q: %s", text, a.body)
		}
	}
	return a
}

func person(i int) google.Person {
	email := fmt.Sprintf("person%02d@example.com", i)
	return google.Person{Name: "Person", Email: email, Subject: "accounts.google.com:" + email}
}

// signAsAccount has Google sign claims with the service account's key, as anybody
// may who can act as it.
func (w *world) signAsAccount(claims string) string {
	w.t.Helper()
	var signed struct{ SignedJwt string }
	w.post(w.cloud.ServiceAccount(), "/v1/projects/-/serviceAccounts/"+w.cloud.ServiceAccount()+":signJwt", dict{"payload": claims}, &signed)
	return signed.SignedJwt
}

// post calls Google as somebody. into may be nil.
func (w *world) post(as, path string, body, into any) {
	w.t.Helper()
	token, err := w.cloud.IssueToken(as)
	if err != nil {
		w.t.Fatal(err)
	}
	r, err := http.NewRequest("POST", w.google+path, strings.NewReader(encoded(w.t, body)))
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	response, err := client.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK || into != nil && json.Unmarshal(text, into) != nil {
		w.t.Fatalf("%s: %s %s, %v", path, response.Status, text, err)
	}
}

func encoded(t testing.TB, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
