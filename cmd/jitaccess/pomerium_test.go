package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"jitaccess/internal/config"
	"jitaccess/internal/sandbox/google"
	"jitaccess/internal/sandbox/pomerium"
)

// cluster is the whole service as production wires it, behind a Pomerium on loopback, with
// nothing of Google's. Only the addresses are others than the example's.
type cluster struct {
	t           *testing.T
	zero        *pomerium.Zero
	api, proxy  *httptest.Server
	service     gate
	environment map[string]string
	log         *lockedBuffer
	ahead       atomic.Int64
	stop        context.CancelFunc
	folder      string
}

func (p *cluster) now() time.Time { return time.Now().Add(time.Duration(p.ahead.Load())) }

func newCluster(t *testing.T, environment map[string]string) *cluster {
	t.Helper()
	p := &cluster{t: t, log: &lockedBuffer{}, folder: t.TempDir(), stop: func() {}}
	t.Chdir(p.folder) // where the database is when nothing says where
	var err error
	if p.zero, err = pomerium.New(pomerium.Options{Now: p.now}); err != nil {
		t.Fatal(err)
	}
	p.api = httptest.NewServer(p.zero.API())
	t.Cleanup(p.api.Close)
	p.proxy = httptest.NewUnstartedServer(nil)
	host, _, _ := net.SplitHostPort(p.proxy.Listener.Addr().String())
	p.proxy.Config.Handler = p.zero.Proxy(&p.service, host)
	p.proxy.Start()
	t.Cleanup(p.proxy.Close)
	p.environment = map[string]string{"API_USER_TOKEN": p.zero.RefreshToken(), "CLUSTER_ID": p.zero.Cluster(), "ORGANIZATION_ID": p.zero.Organization(),
		"JWKS_ENDPOINT": p.proxy.URL + pomerium.KeysPath, "JITACCESS_POMERIUM_ENDPOINT": p.api.URL, "OTEL_EXPORTER_OTLP_ENDPOINT": everyTrace().url}
	t.Cleanup(func() { everyTrace().judge(t) })
	maps.Copy(p.environment, environment)
	p.restart(nil)
	t.Cleanup(func() { p.stop() })
	return p
}

// restart starts the service anew, with changes.
func (p *cluster) restart(change map[string]string) {
	p.t.Helper()
	p.stop()
	maps.Copy(p.environment, change)
	c, err := config.Read(func(name string) string { return p.environment[name] })
	if err != nil {
		p.t.Fatal(err)
	}
	var ctx context.Context
	ctx, p.stop = context.WithCancel(context.Background())
	s, err := start(ctx, c, nil, clock{now: p.now, sleep: func(ctx context.Context, d time.Duration) error { return sleep(ctx, d/20) }}, p.log)
	if err != nil {
		p.t.Fatal(err)
	}
	p.service.open(s)
	cancel := p.stop
	p.stop = func() {
		cancel()
		s.observing.end(context.Background())
	}
}

// as sends a request through the proxy as somebody, as a browser does: a form where there is
// one, the JSON interface below /api/. path is sent as it is.
func (p *cluster) as(email, method, path string, form url.Values) answer {
	p.t.Helper()
	p.ahead.Add(int64(time.Second)) // nobody is too fast
	connection, err := net.Dial("tcp", p.proxy.Listener.Addr().String())
	if err != nil {
		p.t.Fatal(err)
	}
	defer connection.Close()
	body, kind := form.Encode(), "application/x-www-form-urlencoded"
	extra := "Sec-Fetch-Site: same-origin\r\n"
	if strings.Contains(path, "/api/") {
		plain := map[string]string{}
		for name := range form {
			plain[name] = form.Get(name)
		}
		text, _ := json.Marshal(plain)
		body, kind, extra = string(text), "application/json", "X-JITACCESS: 1\r\n"
	}
	fmt.Fprintf(connection, "%s %s HTTP/1.1\r\nHost: %s\r\nCookie: sandbox_person=%s@example.com\r\nContent-Type: %s\r\nContent-Length: %d\r\n%s"+
		"Connection: close\r\n\r\n%s", method, path, p.proxy.Listener.Addr(), email, kind, len(body), extra, body)
	response, err := http.ReadResponse(bufio.NewReader(connection), nil)
	if err != nil {
		p.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	a := answer{status: response.StatusCode, location: response.Header.Get("Location"), header: response.Header, body: string(text)}
	if strings.HasPrefix(response.Header.Get("Content-Type"), "application/json") {
		if err := json.Unmarshal(text, &a); err != nil {
			p.t.Errorf("the answer is not JSON: %s", text)
		}
	}
	return a
}

// People of the sandbox: ana asks, ben is a colleague, carla and deniz administer.
const ana, ben, carla, deniz = "ana.weber", "ben.okafor", "carla.rossi", "deniz.kaya"

const examplePage = "/access/pomerium/jit-example"

// ask makes a request as somebody, and returns its number.
func (p *cluster) ask(email string, reviewers ...string) string {
	p.t.Helper()
	form := p.as(email, "GET", examplePage+"?entitlement=pomerium/jit-example:roles/access", nil).expect(p.t, 200)
	id := regexp.MustCompile(`name="id" value="([^"]+)"`).FindStringSubmatch(form.body)
	asked := p.as(email, "POST", examplePage, url.Values{"id": {id[1]}, "entitlement": {"pomerium/jit-example:roles/access"},
		"justification": {"case 42"}, "minutes": {"60"}, "reviewer": reviewers}).expect(p.t, 303)
	return strings.TrimPrefix(asked.location, "/review?activation=")
}

// approve is how the page approves at a door, without its second step.
func (p *cluster) approve(email, door, id string) answer {
	p.t.Helper()
	return p.as(email, "POST", door+"/review?activation="+id, url.Values{"verdict": {"approve"}, "confirmed": {"1"}})
}

// passes is whether Pomerium lets somebody pass the demonstration's route.
func (p *cluster) passes(email string) bool {
	p.t.Helper()
	return p.as(email, "GET", pomerium.DemoPath, nil).status == 200
}

// The seed's story with its four variables alone: somebody asks, an administrator approves,
// rejects with a reason, and revokes; access is seen to come and go, and ends by itself.
func TestPomerium_TheExampleWithItsFourVariables(t *testing.T) {
	p := newCluster(t, nil)
	p.as(ana, "GET", "/", nil).expect(t, 200, "jit-example")
	p.as(ana, "GET", examplePage, nil).expect(t, 200, "1 approval")
	if p.passes(ana) {
		t.Fatal("ana passes before anybody approved")
	}
	id := p.ask(ana)
	p.as(ana, "GET", "/review?activation="+id, nil).expect(t, 200, "/admin/review?activation="+id)
	p.as(carla, "GET", "/admin", nil).expect(t, 200, "ana.weber@example.com", "case 42", "/admin/requests/"+id, "Nobody is named who approves")
	p.as(carla, "GET", "/admin/review?activation="+id, nil).expect(t, 200, `action="/admin/review?activation=`)
	if a := p.approve(carla, "/admin", id); a.status != 303 || a.location != "/admin/review?activation="+id {
		t.Fatalf("%d %s: %s", a.status, a.location, a.body)
	}
	if !p.passes(ana) || p.passes(ben) {
		t.Fatalf("after the approval: %s", p.zero.PPL("jit-example"))
	}
	page := p.as(deniz, "GET", "/admin", nil).expect(t, 200, "Revoke", "ana.weber@example.com")
	grant := regexp.MustCompile(`action="/admin/requests/([^"/]+)/end"`).FindStringSubmatch(page.body)
	p.as(deniz, "POST", "/admin/requests/"+grant[1]+"/end", url.Values{"resource": {"pomerium/jit-example"}, "principal": {"ana.weber@example.com"}}).
		expect(t, 200, "ended")
	if p.passes(ana) {
		t.Fatalf("after it was revoked: %s", p.zero.PPL("jit-example"))
	}

	id = p.ask(ben)
	p.as(carla, "POST", "/admin/review?activation="+id, url.Values{"verdict": {"deny"}}).expect(t, 400)
	if a := p.as(carla, "POST", "/admin/review?activation="+id, url.Values{"verdict": {"deny"}, "comment": {"not on Fridays"}}); a.status != 303 {
		t.Fatal(a.status, a.body)
	}
	p.as(ben, "GET", "/requests/"+id, nil).expect(t, 200, "not on Fridays")
	p.approve(deniz, "/admin", id).expect(t, 409)

	id = p.ask(ana)
	p.approve(carla, "/admin", id).expect(t, 303)
	p.ahead.Add(int64(59 * time.Minute))
	if !p.passes(ana) {
		t.Error("it ends early")
	}
	p.ahead.Add(int64(time.Minute))
	if p.passes(ana) {
		t.Error("it does not end by itself")
	}
}

// What holds of Google Cloud alone is not said of Pomerium: that a change takes minutes, that a
// policy shows reasons to whoever reads it, that what there is are projects.
func TestPomerium_PagesSayNothingOfGoogle(t *testing.T) {
	p := newCluster(t, nil)
	look := func(email, path string) {
		t.Helper()
		text := regexp.MustCompile(`<[^>]*>`).ReplaceAllString(p.as(email, "GET", path, nil).expect(t, 200).body, "")
		for _, foreign := range []string{"roject", "to seven minutes", "can read the policy", "shown as ?", "Google", "Identity-Aware"} {
			if strings.Contains(text, foreign) {
				t.Errorf("%s says %q", path, foreign)
			}
		}
		if found := regexp.MustCompile(`.{0,40}\b[Rr]oles?\b[^/].{0,40}`).FindString(text); found != "" {
			t.Errorf("%s says %q", path, found)
		}
	}
	look(ana, "/?q=nothing")
	look(ana, examplePage+"?entitlement=pomerium/jit-example:roles/access")
	id := p.ask(ana)
	look(carla, "/admin/requests/"+id)
	for _, list := range []string{"/", "/requests", "/history", "/reviews"} {
		look(ana, list)
	}
	look(carla, "/admin")
	for _, list := range []string{"/requests", "/admin", "/history?resource=jit-example"} {
		if page := p.as(ana, "GET", list, nil); list != "/admin" && !strings.Contains(page.body, "Access by policy jit-example") || strings.Contains(page.body, "roles/access") {
			t.Errorf("%s: %s", list, page.body)
		}
	}
	for _, nowhere := range []string{"/access/projects/acme", "/access/pomerium/J", "/access/pomerium/other", "/?projectId=acme"} {
		page := p.as(ana, "GET", nowhere, nil)
		if page.status != 404 && page.location == "" || strings.Contains(page.body, "roject ID") || strings.Contains(page.body, "a project") {
			t.Errorf("%s: %d %s", nowhere, page.status, page.body)
		}
	}
	none := p.as(ana, "POST", examplePage, url.Values{"justification": {"x"}, "minutes": {"60"}})
	if none.status != 400 || regexp.MustCompile(`[Rr]oles? |roject`).MatchString(none.body) {
		t.Errorf("%d %s", none.status, none.body)
	}
	p.approve(carla, "/admin", id).expect(t, 303)
	look(ana, examplePage)
	look(ana, "/requests/"+id)
	ended := p.as(ana, "POST", "/requests/"+id+"/end", url.Values{"resource": {"pomerium/jit-example"}}).expect(t, 200)
	if strings.Contains(ended.body, "seven minutes") {
		t.Error("after the end the page speaks of minutes")
	}
}

// What decides is refused everywhere but at the page, whatever the address could be read as;
// pages and interface alike, and never for the requester.
func TestPomerium_ThePathIsTheGuard(t *testing.T) {
	p := newCluster(t, nil)
	id := p.ask(ana)
	verdict := url.Values{"verdict": {"approve"}, "confirmed": {"1"}}
	reject := url.Values{"verdict": {"deny"}, "comment": {"no"}}
	for _, c := range []struct {
		by, path string
		form     url.Values
		code     string // of the refusal; empty: the proxy or the router refuses
	}{
		{carla, "/review?activation=" + id, verdict, "decide-at-admin"},
		{carla, "/review?activation=" + id, reject, "decide-at-admin"},
		{ben, "/review?activation=" + id, verdict, "decide-at-admin"},
		{ben, "/api/activation-request?activation=" + id, nil, "decide-at-admin"},
		{ben, "/api/activation-request/deny?activation=" + id, url.Values{"comment": {"no"}}, "decide-at-admin"},
		{ben, "/admin/review?activation=" + id, verdict, ""},
		{ben, "/%61dmin/review?activation=" + id, verdict, ""},
		{ben, "/%2561dmin/review?activation=" + id, verdict, ""},
		{ben, "/%2Fadmin/review?activation=" + id, verdict, ""},
		{ben, "//admin/review?activation=" + id, verdict, ""},
		{ben, "/./admin/review?activation=" + id, verdict, ""},
		{ben, "/x/../admin/review?activation=" + id, verdict, ""},
		{ben, "/Admin/review?activation=" + id, verdict, ""},
		{ben, "/%61dmin/api/activation-request?activation=" + id, nil, ""},
		{ben, "/review/../admin/review?activation=" + id, verdict, ""},
		{ben, "/review?activation=" + id + "&x=/admin/review", verdict, "decide-at-admin"},
		{carla, "/admin/../review?activation=" + id, verdict, ""},
		{carla, "/admin/./review?activation=" + id, verdict, ""},
		{carla, "/admin//review?activation=" + id, verdict, ""},
		{carla, "/admin/%72eview?activation=" + id, verdict, ""},
	} {
		a := p.as(c.by, "POST", c.path, c.form)
		if a.status < 400 || c.code != "" && a.status != 403 {
			t.Errorf("%s by %s: %d", c.path, c.by, a.status)
		}
		if c.code != "" && a.Code != c.code && !strings.Contains(a.body, "on the administration page alone") {
			t.Errorf("%s by %s: %s", c.path, c.by, a.body)
		}
		if p.passes(ana) {
			t.Fatalf("%s by %s let ana in", c.path, c.by)
		}
	}
	p.as(carla, "POST", "/admin/api/activation-request?activation="+id, nil).expect(t, 200, "ACTIVE")
	if !p.passes(ana) {
		t.Fatal("the interface at the page does not approve")
	}
	end := url.Values{"resource": {"pomerium/jit-example"}, "principal": {"ana.weber@example.com"}}
	for _, path := range []string{"/requests/" + id + "/end", "/api/requests/" + id + "/end"} {
		for _, by := range []string{ben, carla} {
			if a := p.as(by, "POST", path, end); a.status != 403 || !p.passes(ana) {
				t.Errorf("%s by %s: %d %s", path, by, a.status, a.body)
			}
		}
	}
	p.as(deniz, "POST", "/admin/api/requests/"+id+"/end", end).expect(t, 200, "ENDED")
	if p.passes(ana) {
		t.Error("the interface at the page does not end it")
	}
	own := p.ask(carla)
	p.approve(carla, "/admin", own).expect(t, 403, "your own")
	p.approve(deniz, "/admin", own).expect(t, 303)
}

// ADMINS and a policy file name who approves, and then every door is the same.
func TestPomerium_NamedApproversAtEveryDoor(t *testing.T) {
	p := newCluster(t, map[string]string{"ADMINS": "user:deniz.kaya@example.com"})
	id := p.ask(ana)
	p.as(deniz, "GET", "/", nil).expect(t, 200, "ana.weber@example.com")
	p.approve(carla, "/admin", id).expect(t, 403)
	p.approve(deniz, "", id).expect(t, 303)
	if !p.passes(ana) {
		t.Fatal("the admin approved, and ana does not pass")
	}
	file := filepath.Join(p.folder, "policy.yaml")
	if err := os.WriteFile(file, []byte(`version: 1
entitlements:
  - resource: pomerium/jit-example
    role: roles/access
    title: The demonstration
    requesters: ["domain:example.com"]
rules:
  - name: leads
    match: {resource: ["pomerium/jit-example"]}
    terms: {approvals: [{count: 1, from: ["user:carla.rossi@example.com"]}], max_duration: 30m}
`), 0o600); err != nil {
		t.Fatal(err)
	}
	p.restart(map[string]string{"ADMINS": "", "POLICY": file})
	p.as(ben, "GET", examplePage, nil).expect(t, 200, "The demonstration")
	if page := p.as(deniz, "GET", "/admin", nil).expect(t, 200); strings.Contains(page.body, "Nobody is named") {
		t.Error("the page says that nobody is named")
	}
}

// Several policies of the cluster have each their requesters, approvers and longest time by
// the policy file, and two have to approve where it says so.
func TestPomerium_SeveralPoliciesByThePolicyFile(t *testing.T) {
	p := newCluster(t, nil)
	file := filepath.Join(p.folder, "policy.yaml")
	if err := os.WriteFile(file, []byte(`version: 1
entitlements:
  - {resource: pomerium/jit-example, role: roles/access, title: The demonstration, requesters: ["domain:example.com"]}
  - {resource: pomerium/production, role: roles/access, title: Production, requesters: ["user:ana.weber@example.com"]}
rules:
  - name: two leads
    match: {resource: ["pomerium/jit-example"]}
    terms: {approvals: [{count: 2, from: ["user:carla.rossi@example.com", "user:deniz.kaya@example.com"]}], max_duration: 60m}
  - name: the owner
    match: {resource: ["pomerium/production"]}
    terms: {approvals: [{count: 1, from: ["user:deniz.kaya@example.com"]}], max_duration: 30m}
`), 0o600); err != nil {
		t.Fatal(err)
	}
	p.restart(map[string]string{"POLICY": file})
	id := p.ask(ana)
	p.approve(ben, "/admin", id).expect(t, 403)
	p.approve(carla, "", id).expect(t, 303)
	if p.passes(ana) {
		t.Fatal("one approval of two, and ana passes")
	}
	p.approve(deniz, "/admin", id).expect(t, 303)
	if !p.passes(ana) {
		t.Fatal("two have approved, and ana does not pass")
	}

	const production = "/access/pomerium/production"
	ask := func(minutes string) answer {
		page := p.as(ana, "GET", production+"?entitlement=pomerium/production:roles/access", nil).expect(t, 200, "Production")
		number := regexp.MustCompile(`name="id" value="([^"]+)"`).FindStringSubmatch(page.body)
		return p.as(ana, "POST", production, url.Values{"id": {number[1]}, "entitlement": {"pomerium/production:roles/access"},
			"justification": {"case 43"}, "minutes": {minutes}})
	}
	ask("60").expect(t, 400)
	p.as(ben, "GET", production+"?entitlement=pomerium/production:roles/access", nil).expect(t, 403)
	asked := ask("30").expect(t, 303)
	id = strings.TrimPrefix(asked.location, "/review?activation=")
	p.approve(carla, "/admin", id).expect(t, 403)
	p.approve(deniz, "", id).expect(t, 303)
	if rules := p.zero.PPL("production"); !strings.Contains(rules, "ana.weber@example.com") || strings.Contains(rules, "ben") {
		t.Errorf("production: %s", rules)
	}
}

// Nothing but Pomerium is called: not the metadata server, not one of Google's hosts.
func TestPomerium_NobodyElseIsCalled(t *testing.T) {
	var mu sync.Mutex
	dialled := map[string]bool{}
	transport := http.DefaultTransport.(*http.Transport)
	before := transport.DialContext
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		mu.Lock()
		dialled[address] = true
		mu.Unlock()
		return before(ctx, network, address)
	}
	t.Cleanup(func() { transport.DialContext = before; transport.CloseIdleConnections() })
	metadata := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the metadata server is asked") }))
	t.Cleanup(metadata.Close)
	t.Setenv("GCE_METADATA_HOST", metadata.Listener.Addr().String())
	p := newCluster(t, map[string]string{"GCE_METADATA_HOST": metadata.Listener.Addr().String(), "GOOGLE_CLOUD_PROJECT": "acme"})
	id := p.ask(ana)
	p.approve(carla, "/admin", id).expect(t, 303)
	p.as(carla, "GET", "/health/ready", nil).expect(t, 200)
	mu.Lock()
	defer mu.Unlock()
	delete(dialled, strings.TrimPrefix(everyTrace().url, "http://")) // where the tests' traces go
	got := slices.Sorted(maps.Keys(dialled))
	want := slices.Sorted(slices.Values([]string{p.api.Listener.Addr().String(), p.proxy.Listener.Addr().String()}))
	if !slices.Equal(got, want) {
		t.Errorf("dialled %v, want %v alone", got, want)
	}
	for _, text := range []string{"Pomerium Zero", `"identity":"pomerium"`, `"ledger":"true"`, "jitaccess.db.key", "nobody is named who approves"} {
		if !strings.Contains(p.log.String(), text) {
			t.Errorf("the log at start has no %s: %s", text, p.log)
		}
	}
	for _, name := range []string{"jitaccess.db", "jitaccess.db.key"} {
		if info, err := os.Stat(filepath.Join(p.folder, name)); err != nil || strings.HasSuffix(name, ".key") && info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What Pomerium's example left is taken over: who waits is shown and can be decided, with a
// reason and by a link of its own, who has access keeps it and can lose it, and what others
// wrote stays.
func TestPomerium_TakesOverFromTheExample(t *testing.T) {
	p := newCluster(t, nil)
	const foreign = `{"allow":{"and":[{"domain":{"is":"partner.example"}}]}}`
	_, err := p.zero.AddPolicy("jit-example", `[`+foreign+`,{"allow":{"and":[{"email":"ana.weber@example.com"},{"reject":true}]}},`+
		`{"allow":{"and":[{"email":"ben.okafor@example.com"},{"date":{"before":"`+p.now().Add(50*time.Minute).UTC().Format(time.RFC3339)+`"}}]}}]`)
	if err != nil {
		t.Fatal(err)
	}
	page := p.as(carla, "GET", "/admin", nil).expect(t, 200, "ana.weber@example.com", "takes no reason", "ben.okafor@example.com")
	id := regexp.MustCompile(`/admin/requests/(mpa-[A-Za-z0-9_-]+)"`).FindStringSubmatch(page.body)[1]
	p.as(carla, "GET", "/admin/review?activation="+id, nil).expect(t, 200, "Approve", "1 hour")
	p.approve(ben, "", id).expect(t, 403)
	p.approve(carla, "/admin", id).expect(t, 303)
	if !p.passes(ana) || !p.passes(ben) || !strings.Contains(p.zero.PPL("jit-example"), foreign) {
		t.Fatal(p.zero.PPL("jit-example"))
	}
	page = p.as(carla, "GET", "/admin", nil).expect(t, 200, "Nothing waits for you")
	for _, grant := range regexp.MustCompile(`action="/admin/requests/([^"/]+)/end">\s*<input[^>]*><input[^>]*value="(ben[^"]*)"`).FindAllStringSubmatch(page.body, -1) {
		p.as(deniz, "POST", "/admin/requests/"+grant[1]+"/end", url.Values{"resource": {"pomerium/jit-example"}, "principal": {grant[2]}}).expect(t, 200)
	}
	if !p.passes(ana) || p.passes(ben) || !strings.Contains(p.zero.PPL("jit-example"), foreign) {
		t.Fatal(p.zero.PPL("jit-example"))
	}
}

// doctor sees whether the deployment has what it needs, and changes nothing.
func TestPomerium_Doctor(t *testing.T) {
	p := newCluster(t, nil)
	examined := func(change map[string]string) (string, int) {
		var out strings.Builder
		environment := maps.Clone(p.environment)
		maps.Copy(environment, change)
		code := examine(t.Context(), func(name string) string { return environment[name] }, recipients{}, nil, &out)
		return out.String(), code
	}
	expect := func(what, got string, texts ...string) {
		t.Helper()
		for _, text := range texts {
			if !strings.Contains(got, text) {
				t.Errorf("%s: no %q in\n%s", what, text, got)
			}
		}
	}
	got, code := examined(nil)
	expect("fine", got, "ok       pomerium: the API answers", "jit-example is not there yet", "no change waits", "warning  administration: nobody is named",
		"ok       ledger: ", "jitaccess.db.key", "warning  ledger: SIGNING_KEY is not set")
	if code != exitOK || p.zero.PPL("jit-example") != "" {
		t.Errorf("exits with %d, and wrote %s", code, p.zero.PPL("jit-example"))
	}
	p.zero.ApplyByHand(true)
	if _, err := p.zero.AddPolicy("jit-example", "[]"); err != nil {
		t.Fatal(err)
	}
	got, _ = examined(map[string]string{"ADMINS": "user:deniz.kaya@example.com"})
	expect("attached to nothing", got, "warning  pomerium: the policy jit-example is attached to no route", "warning  pomerium: changes wait to be applied",
		"POMERIUM_APPLY_CHANGESETS=true", "ok       administration: ADMINS")
	if _, err := p.zero.AddPolicy("jit-example", "[]"); err != nil {
		t.Fatal(err)
	}
	got, code = examined(nil)
	expect("two of one name", got, "broken   pomerium: 2 policies are called jit-example")
	if code != exitFailure {
		t.Error("what is broken does not count")
	}
	got, code = examined(map[string]string{"API_USER_TOKEN": "hunter2"})
	expect("another token", got, "broken   pomerium: ", "make a new API user token")
	if strings.Contains(got, "reaches") || strings.Contains(got, "CLUSTER_ID") {
		t.Error("what is not the matter is said too", got)
	}
	got, _ = examined(map[string]string{"ORGANIZATION_ID": "0123456789abcdef01234567"})
	expect("another organization", got, "broken   pomerium: ", "compare ORGANIZATION_ID and CLUSTER_ID")
	got, _ = examined(map[string]string{"JITACCESS_POMERIUM_ENDPOINT": "http://127.0.0.1:1"})
	expect("nobody answers", got, "broken   pomerium: ", "see that this machine reaches")
	if code != exitFailure || strings.Contains(got, "hunter2") {
		t.Error(got)
	}
	got, _ = examined(map[string]string{"DATABASE_URL": "sqlite:" + filepath.Join(p.folder, "other.db")})
	expect("no database yet", got, "other.db is not there yet")
	if _, err := os.Stat(filepath.Join(p.folder, "other.db")); err == nil {
		t.Error("doctor makes a database")
	}
	got, _ = examined(map[string]string{"DATABASE_URL": "postgres://127.0.0.1:1/x", "SIGNING_KEY": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="})
	expect("no database", got, "broken   ledger: requests cannot be remembered")
	if err := os.Chmod(filepath.Join(p.folder, "jitaccess.db.key"), 0o644); err != nil {
		t.Fatal(err)
	}
	got, _ = examined(nil)
	expect("a key that others can read", got, "broken   ledger: ", "can be read by others")
	got, _ = examined(map[string]string{"CLUSTER_ID": ""})
	expect("a fault of the settings", got, "broken   settings: CLUSTER_ID is not set")
}

// What needs Google Cloud says so, and nothing panics.
func TestPomerium_CommandsThatNeedGoogle(t *testing.T) {
	p := newCluster(t, nil)
	p.stop()
	env := func(name string) string { return p.environment[name] }
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"eligible"}, exitFailure, "needs Google Cloud"},
		{[]string{"sweep"}, exitOK, "finished 0"},
		{[]string{"reconcile"}, exitOK, "0 differences"},
		{[]string{"ledger", "verify"}, exitOK, "fine"},
	} {
		var out, wrong strings.Builder
		code := run(t.Context(), c.args, env, &out, &wrong)
		if code != c.code || !strings.Contains(out.String()+wrong.String(), c.says) {
			t.Errorf("%v: %d, %s%s", c.args, code, out.String(), wrong.String())
		}
	}
}

// Google Cloud and Pomerium in one service: each works while the other is down, and says so;
// Google's peers decide at every door, and Pomerium's approvers are its own.
func TestPomerium_BesideGoogle(t *testing.T) {
	zero, err := pomerium.New(pomerium.Options{})
	if err != nil {
		t.Fatal(err)
	}
	api := httptest.NewServer(zero.API())
	t.Cleanup(api.Close)
	w := newWorld(t, surroundings{})
	environment := onDisk(w, filepath.Join(t.TempDir(), "jitaccess.db"))
	maps.Copy(environment, map[string]string{"API_USER_TOKEN": zero.RefreshToken(), "CLUSTER_ID": zero.Cluster(), "ORGANIZATION_ID": zero.Organization(),
		"JITACCESS_POMERIUM_ENDPOINT": api.URL, "ADMINS": "user:" + bob})
	w.restart(environment)
	const toPomerium = "pomerium/jit-example:roles/access"
	w.page(alice, "/").expect(t, 200, "jit-example", project)
	ask := func(on, entitlement string, reviewers ...string) string {
		t.Helper()
		form := w.page(alice, "/access/"+on+"?entitlement="+url.QueryEscape(entitlement)).expect(t, 200)
		asked := w.form(alice, "/access/"+on, url.Values{"id": {regexp.MustCompile(`name="id" value="([^"]+)"`).FindStringSubmatch(form.body)[1]}, "entitlement": {entitlement}, "justification": {"case 42"},
			"minutes": {"60"}, "reviewer": reviewers})
		return regexp.MustCompile(`activation=(mpa-[A-Za-z0-9_-]+)`).FindStringSubmatch(asked.location + asked.body)[1]
	}
	approve := func(by, id string) answer {
		return w.form(by, "/review?activation="+id, url.Values{"verdict": {"approve"}})
	}

	w.cloud.Faults().Add(google.Fault{Status: 503})
	w.pass(time.Minute)
	w.page(alice, "/").expect(t, 200, "jit-example", "Please note")
	id := ask("pomerium/jit-example", toPomerium)
	approve(carol, id).expect(t, 403)
	approve(bob, id).expect(t, 200, "could not be told by mail") // the password of the mail account is kept at Google
	if !strings.Contains(zero.PPL("jit-example"), alice) {
		t.Fatal(zero.PPL("jit-example"))
	}
	w.page(bob, "/admin").expect(t, 200, alice, "Revoke")
	w.reset()

	zero.Fail(pomerium.Fault{Status: 503})
	w.page(alice, "/").expect(t, 200, project)
	w.page(alice, examplePage).expect(t, 503)
	w.page(bob, "/admin").expect(t, 200, "Please note")
	id = ask("projects/"+project, peerID, bob)
	approve(bob, id).expect(t, 303)
	if w.live(id) != 1 {
		t.Error("Google's peer approved, and nothing was granted")
	}
	zero.Mend()
	w.page(carol, "/admin").expect(t, 200, "Nobody has access that you could end")
	w.api(carol, "/health/ready", nil).expect(t, 200)
}

// All that is wrong is told at once, on lines of their own, and nothing is started.
func TestPomerium_StartFaultsAtOnce(t *testing.T) {
	environment := map[string]string{"API_USER_TOKEN": "hunter2", "ORGANIZATION_ID": "a/b", "JWKS_ENDPOINT": "ftp://x", "NOTIFICATION_TOPIC": "jit",
		"ADMINS": "group:ops@example.com", "POLICY": "projects/p/secrets/s/versions/1", "PORT": "x"}
	var out, wrong strings.Builder
	code := run(t.Context(), nil, func(name string) string { return environment[name] }, &out, &wrong)
	if code != exitUsage || strings.Contains(wrong.String(), "hunter2") {
		t.Errorf("%d: %s", code, wrong.String())
	}
	for _, name := range []string{"CLUSTER_ID", "ORGANIZATION_ID", "JWKS_ENDPOINT", "NOTIFICATION_TOPIC", "ADMINS", "POLICY", "PORT"} {
		if !strings.Contains(wrong.String(), "\n"+name+" is ") {
			t.Errorf("nothing of %s in\n%s", name, wrong.String())
		}
	}
}

// While a policy file cannot be read nobody knows whom it names: nobody decides, and the page
// is no door.
func TestPomerium_APolicyThatCannotBeReadLeavesNobodyToThePage(t *testing.T) {
	live := &livePolicy{}
	if unnamed(live)() {
		t.Error("it names nobody before it was read")
	}
	if !unnamed(policyOf(&config.Config{Requests: config.Requests{JustificationPattern: regexp.MustCompile("")}}))() {
		t.Error("without a file somebody is named")
	}
}
