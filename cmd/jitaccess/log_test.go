package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"mime/quotedprintable"
	"net/http"
	"net/http/httptest"
	netmail "net/mail"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"jitaccess/internal/config"
	"jitaccess/internal/sandbox"
	"jitaccess/internal/sandbox/google"
)

// stack is the service, wired as in production, in the sandbox's surroundings, and
// its log.
type stack struct {
	t       *testing.T
	sandbox *sandbox.Sandbox
	env     map[string]string
	handler http.Handler
	log     lockedBuffer
	traces  int
}

// startStack starts it with a changed environment.
func startStack(t *testing.T, change func(env map[string]string)) *stack {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	s := &stack{t: t}
	var err error
	if s.sandbox, err = sandbox.Start(ctx, sandbox.Options{Address: "localhost:0"}); err != nil {
		t.Fatal(err)
	}
	s.env = s.sandbox.Environment()
	change(s.env)
	t.Setenv("GCE_METADATA_HOST", s.env["GCE_METADATA_HOST"])
	c, err := config.Read(func(name string) string { return s.env[name] })
	if err != nil {
		t.Fatal(err)
	}
	if s.handler, err = start(ctx, c, s.sandbox.MailRoots(), wallClock, &s.log); err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.sandbox.Serve(s.handler) }()
	t.Cleanup(func() {
		cancel()
		s.sandbox.Close()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return s
}

// entry is a line of the log.
type entry struct {
	Severity string            `json:"severity"`
	Message  string            `json:"message"`
	Labels   map[string]string `json:"logging.googleapis.com/labels"`
	Trace    string            `json:"logging.googleapis.com/trace"`
}

// lines are those of a trace; empty is all.
func (s *stack) lines(trace string) (found []entry) {
	s.t.Helper()
	for line := range strings.Lines(s.log.String()) {
		var e entry
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			s.t.Fatalf("%v: %s", err, line)
		}
		if trace == "" || strings.HasSuffix(e.Trace, trace) {
			found = append(found, e)
		}
	}
	return found
}

// call calls the JSON interface as one of the sandbox's people and returns the
// answer and the trace of what it logged.
func (s *stack) call(person, method, path, body string) (answer map[string]any, trace string) {
	s.t.Helper()
	s.traces++
	trace = fmt.Sprintf("%032x", s.traces)
	r, err := http.NewRequest(method, s.sandbox.URL()+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("X-JITACCESS", "1")
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Cloud-Trace-Context", trace+"/1;o=1")
	r.AddCookie(&http.Cookie{Name: "sandbox_person", Value: person + "@example.com"})
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		s.t.Fatalf("%s %s: %v: %s", method, path, err, text)
	}
	return answer, trace
}

// smtpPassword reads the sandbox's password as the service does.
func (s *stack) smtpPassword() string {
	s.t.Helper()
	cloud := s.sandbox.Cloud()
	token, err := cloud.IssueToken(cloud.ServiceAccount())
	if err != nil {
		s.t.Fatal(err)
	}
	r, err := http.NewRequest("GET", s.env["JITACCESS_GOOGLE_ENDPOINT"]+"/v1/"+s.env["SMTP_SECRET"]+":access", nil)
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	var answer struct {
		Payload struct{ Data []byte }
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil || len(answer.Payload.Data) == 0 {
		s.t.Fatalf("%v, %+v", err, answer)
	}
	return strings.TrimSpace(string(answer.Payload.Data))
}

const (
	orders    = "/api/projects/" + project
	sqlAdmin  = project + ":roles/cloudsql.admin"
	instances = project + ":roles/compute.instanceAdmin.v1"
	askBob    = `{"entitlementId":"` + instances + `","peers":["bob@example.com"],"justification":"Node 7 hangs","activationTimeout":30}`
	activate  = `{"entitlementIds":["` + sqlAdmin + `"],"justification":"Restore the backup","activationTimeout":5}`
)

// link asks bob to review a request of alice's and returns its reference and id.
func (s *stack) link() (ref, id, trace string) {
	s.t.Helper()
	answer, trace := s.call("alice", "POST", orders+"/roles/request", askBob)
	review, _ := answer["reviewUrl"].(string)
	u, err := url.Parse(review)
	if err != nil || u.Query().Get("activation") == "" {
		s.t.Fatalf("no link: %v", answer)
	}
	item := answer["entitlements"].([]any)[0].(map[string]any)
	return u.Query().Get("activation"), item["activationId"].(string), trace
}

// TestThreat17_TheLog plays everything that is logged, one call after another. Each
// has exactly its lines, in 1.x's words, and no secret stands in any.
func TestThreat17_TheLog(t *testing.T) {
	s := startStack(t, func(map[string]string) {})
	const authenticated = "iap.authenticate INFO"
	// expect compares the events of a call, and returns its lines. labels are what
	// the last of them must have.
	expect := func(trace string, want []string, labels map[string]string) {
		t.Helper()
		lines := s.lines(trace)
		var got []string
		for _, e := range lines {
			got = append(got, e.Labels["event"]+" "+e.Severity)
			if e.Trace != "projects/"+s.sandbox.Cloud().ProjectID()+"/traces/"+trace {
				t.Errorf("trace %q", e.Trace)
			}
			if e.Severity == "ERROR" && (e.Labels["incident"] == "" || e.Labels["error"] == "" || e.Labels["error_code"] == "") {
				t.Errorf("an error without incident, error or error_code: %v", e)
			}
			if e.Labels["user"] == "" || e.Labels["user_id"] == "" || e.Labels["method"] != "iap" {
				t.Errorf("a line without the labels of the user: %v", e)
			}
		}
		if want = append([]string{authenticated}, want...); !slices.Equal(got, want) {
			t.Errorf("logged %q, want %q", got, want)
		}
		for name, value := range labels {
			found := slices.ContainsFunc(lines, func(e entry) bool { return e.Labels[name] == value })
			if !found {
				t.Errorf("no line has %s=%q: %v", name, value, lines)
			}
		}
	}
	place := func(more map[string]string) map[string]string {
		all := map[string]string{"project": project, "project_id": project, "resource": "//cloudresourcemanager.googleapis.com/projects/" + project}
		maps.Copy(all, more)
		return all
	}
	denied := map[string]string{"error": "AccessDeniedException"}
	unverified := map[string]string{"error": "VerificationException"}

	// Reading.
	_, trace := s.call("alice", "GET", "/api/policy", "")
	expect(trace, nil, nil)
	_, trace = s.call("alice", "GET", "/api/projects", "")
	expect(trace, []string{"api.listProjects INFO"}, nil)
	_, trace = s.call("alice", "GET", orders+"/roles", "")
	expect(trace, nil, nil)
	_, trace = s.call("alice", "GET", "/api/projects/no-such-project/roles", "")
	expect(trace, []string{"api.listEligibleRoles ERROR"}, map[string]string{"project": "no-such-project"})
	_, trace = s.call("frank", "GET", orders+"/peers?id="+url.QueryEscape(instances), "")
	expect(trace, []string{"api.listPeers ERROR"}, place(map[string]string{"role": "roles/compute.instanceAdmin.v1", "error": "AccessDeniedException"}))

	// Alone.
	answer, trace := s.call("alice", "POST", orders+"/roles/self-activate", activate)
	expect(trace, []string{"api.approveRequest INFO", "api.activateRole INFO"}, place(map[string]string{"role": "roles/cloudsql.admin",
		"entitlements": "[iam] roles/cloudsql.admin on " + project, "justification": "Restore the backup"}))
	own := answer["entitlements"].([]any)[0].(map[string]any)["activationId"].(string)
	_, trace = s.call("frank", "POST", orders+"/roles/self-activate", activate)
	expect(trace, []string{"api.activateRole ERROR", "http.refuse WARNING"}, place(denied))
	for _, line := range s.lines(trace)[1:] {
		if line.Labels["incident"] != s.lines(trace)[1].Labels["incident"] {
			t.Errorf("one refusal has two incidents: %v", s.lines(trace))
		}
	}
	for _, name := range []string{"activation_id", "activation_start", "activation_end", "entitlements", "justification"} {
		if s.lines(trace)[1].Labels[name] == "" {
			t.Errorf("a failed activation lacks %s", name)
		}
	}

	// With a peer.
	ref, id, trace := s.link()
	expect(trace, []string{"api.requestRole INFO"}, place(map[string]string{"activation_id": id, "reviewers": "bob@example.com"}))
	_, trace = s.call("alice", "POST", orders+"/roles/request", strings.Replace(askBob, "bob", "frank", 1))
	expect(trace, []string{"api.requestRole ERROR", "http.refuse WARNING"}, denied)
	at := "/api/activation-request?activation=" + url.QueryEscape(ref)
	_, trace = s.call("bob", "GET", at, "")
	expect(trace, nil, nil)
	_, trace = s.call("frank", "GET", at, "")
	expect(trace, []string{"api.getActivationRequest ERROR"}, denied)
	_, trace = s.call("bob", "GET", at+"x", "")
	expect(trace, []string{"api.getActivationRequest ERROR"}, unverified)
	_, trace = s.call("bob", "POST", at+"x", "")
	expect(trace, []string{"api.activateRole ERROR", "http.refuse INFO"}, unverified)
	_, trace = s.call("frank", "POST", at, "")
	expect(trace, []string{"api.activateRole ERROR", "http.refuse WARNING"}, denied)
	deny := strings.Replace(at, "?", "/deny?", 1)
	_, trace = s.call("bob", "POST", deny, `{"comment":""}`)
	expect(trace, []string{"api.denyRequest ERROR", "http.refuse INFO"}, nil)
	_, trace = s.call("bob", "POST", deny, `{"comment":"Use staging"}`)
	expect(trace, []string{"api.denyRequest INFO"}, map[string]string{"comment": "Use staging"})
	_, trace = s.call("bob", "POST", at, "")
	expect(trace, []string{"api.approveRequest INFO", "api.activateRole INFO"}, place(map[string]string{"user": "bob@example.com", "beneficiary": "alice@example.com"}))

	// Ending.
	ending := `{"resource":"projects/` + project + `"}`
	_, trace = s.call("frank", "POST", "/api/requests/"+own+"/end", ending)
	expect(trace, []string{"api.endActivation ERROR", "http.refuse INFO"}, nil)
	_, trace = s.call("alice", "POST", "/api/requests/"+own+"/end", ending)
	expect(trace, []string{"api.requestEnd INFO", "api.endActivation INFO"}, nil)

	// What fails around us.
	faults := s.sandbox.Cloud().Faults()
	faults.Add(google.Fault{Path: "/v3/projects/{id}:setIamPolicy", Status: 403, Message: "no, see https://x.example.com/?token=CANARY-QUERY"})
	_, trace = s.call("alice", "POST", orders+"/roles/self-activate", activate)
	expect(trace, []string{"api.approveRequest INFO", "api.activateRole ERROR", "http.refuse ERROR"}, place(nil))
	faults.Clear()
	faults.Add(google.Fault{Path: "/v1/projects/{project}/topics/{topic}:publish", Status: 403, Message: "Bearer CANARY-BEARER"})
	answer, trace = s.call("alice", "POST", orders+"/roles/self-activate", activate)
	expect(trace, []string{"api.approveRequest INFO", "api.activateRole INFO", "api.notify WARNING"}, map[string]string{"error": "NotificationException"})
	if warnings, _ := answer["warnings"].([]any); len(warnings) != 1 {
		t.Errorf("what could not be published is told as %v", answer["warnings"])
	}
	faults.Clear()

	// Nobody, and somebody with an assertion of their own making.
	assertion := "eyJhbGciOiJFUzI1NiJ9." + base64.RawURLEncoding.EncodeToString([]byte(`{"email":"alice@example.com"}`)) + ".CANARYCANARY"
	for _, header := range []string{"", assertion} {
		before := len(s.lines(""))
		r := httptest.NewRequest("GET", "/review?activation="+url.QueryEscape(ref), nil)
		if header != "" {
			r.Header.Set("X-Goog-Iap-Jwt-Assertion", header)
		}
		s.handler.ServeHTTP(httptest.NewRecorder(), r)
		if got := s.lines("")[before:]; len(got) != 1 || got[0].Labels["event"] != "iap.authenticate" || got[0].Severity != "ERROR" {
			t.Errorf("assertion %.5q: %v", header, got)
		}
	}

	first := s.lines("")[0]
	for name, want := range map[string]string{"event": "runtime.startup", "channels": "mail, pubsub", "ledger": "false", "catalog": "AssetInventory",
		"project": s.sandbox.Cloud().ProjectID(), "project_number": s.sandbox.Cloud().ProjectNumber(), "service_account": s.sandbox.Cloud().ServiceAccount(),
		"scope": s.sandbox.Cloud().OrganizationID(), "identity": "iap", "version": version} {
		if first.Labels[name] != want || first.Severity != "INFO" {
			t.Errorf("the start-up line has %s=%q, want %q", name, first.Labels[name], want)
		}
	}
	s.documented()
	s.lacks(ref, "ey"+strings.ReplaceAll(strings.ReplaceAll(ref, "~~", ".ey"), "~", "."), assertion, s.smtpPassword(), "CANARY", "activation=", "Bearer ey")
}

// documented is whether every event that has been logged stands in docs/log.md.
func (s *stack) documented() {
	s.t.Helper()
	page, err := os.ReadFile("../../docs/log.md")
	if err != nil {
		s.t.Fatal(err)
	}
	missing := map[string]bool{}
	for _, e := range s.lines("") {
		wanted := []string{"| `" + e.Labels["event"] + "` | " + e.Severity + " |"}
		for name := range e.Labels {
			wanted = append(wanted, "`"+name+"`")
		}
		for _, text := range wanted {
			if !strings.Contains(string(page), text) {
				missing[text] = true
			}
		}
	}
	if len(missing) > 0 {
		s.t.Errorf("docs/log.md lacks %q", slices.Sorted(maps.Keys(missing)))
	}
}

// lacks is whether no part of a secret is in the log: neither the whole nor, of long
// ones, the middle.
func (s *stack) lacks(secrets ...string) {
	s.t.Helper()
	log := s.log.String()
	for _, secret := range secrets {
		if n := len(secret); n > 60 {
			secret = secret[n/2-15 : n/2+15]
		}
		if strings.Contains(log, secret) {
			at := strings.Index(log, secret)
			s.t.Errorf("%q is in the log: …%s…", secret, log[max(0, at-200):min(len(log), at+200)])
		}
	}
}

// A log-in that the mail server refuses tells nobody the password.
func TestThreat17_ARefusedLogInShowsNoPassword(t *testing.T) {
	const canary = "canary-4711-hunter2"
	s := startStack(t, func(env map[string]string) {
		delete(env, "SMTP_SECRET")
		delete(env, "NOTIFICATION_TOPIC")
		env["SMTP_PASSWORD"] = canary
	})
	_, _, trace := s.link()
	if last := s.lines(trace); last[len(last)-1].Labels["event"] != "api.notify" || last[len(last)-1].Labels["error"] != "NotificationException" {
		t.Errorf("logged %v", last)
	}
	if first := s.lines("")[0]; first.Labels["channels"] != "mail" {
		t.Errorf("channels %q", first.Labels["channels"])
	}
	s.lacks(canary, base64.StdEncoding.EncodeToString([]byte(canary)),
		base64.StdEncoding.EncodeToString([]byte("\x00"+s.env["SMTP_USERNAME"]+"\x00"+canary)))
}

// Pub/Sub alone makes requests to reviewers possible, and nothing says mail.
func TestPubSubAlone(t *testing.T) {
	s := startStack(t, func(env map[string]string) { delete(env, "SMTP_SENDER_ADDRESS") })
	answer, _ := s.call("alice", "POST", orders+"/roles/request", askBob)
	if warnings, _ := answer["warnings"].([]any); len(warnings) != 0 || answer["reviewUrl"] == nil {
		t.Errorf("answered %v", answer)
	}
	topic := "projects/" + s.sandbox.Cloud().ProjectID() + "/topics/" + s.env["NOTIFICATION_TOPIC"]
	if got := s.sandbox.Cloud().Published(topic); len(got) != 1 || !bytes.Contains(got[0].Data, []byte(`"RequestActivation"`)) {
		t.Errorf("published %v", got)
	}
	started := s.lines("")
	if !slices.ContainsFunc(started, func(e entry) bool { return e.Labels["channels"] == "pubsub" }) ||
		!slices.ContainsFunc(started, func(e entry) bool {
			return e.Severity == "WARNING" && strings.Contains(e.Message, "SMTP_SENDER_ADDRESS")
		}) {
		t.Errorf("started with %v", started)
	}
}

// The table of docs/notifications.md is what happens. Mail goes where
// SMTP_ADDRESS_MAPPING says, with times of NOTIFICATION_TIMEZONE and the return
// path of SMTP_OPTIONS.
func TestWhoHearsWhat(t *testing.T) {
	s := startStack(t, func(env map[string]string) {
		env["SMTP_OPTIONS"] = "mail.smtp.from=bounces@example.com, mail.smtp.timeout=8000, mail.smtp.auth.mechanisms=PLAIN"
		env["NOTIFICATION_TIMEZONE"] = "Australia/Melbourne"
		env["SMTP_ADDRESS_MAPPING"] = `user.email.extract("{name}@example.com") + "@mail.example.com"`
	})
	page, err := os.ReadFile("../../docs/notifications.md")
	if err != nil {
		t.Fatal(err)
	}
	topic := "projects/" + s.sandbox.Cloud().ProjectID() + "/topics/" + s.env["NOTIFICATION_TOPIC"]
	mails, messages := 0, 0
	row := func(what, kind string) {
		t.Helper()
		hears, says := []string{what, "–", "–", kind}, []string{kind, "–", "–"}
		inbox := s.sandbox.Mailbox().Inbox("alice@mail.example.com")
		if len(inbox) > mails {
			mails = len(inbox)
			m, err := netmail.ReadMessage(bytes.NewReader(inbox[0].Raw))
			if err != nil {
				t.Fatal(err)
			}
			if inbox[0].From != "bounces@example.com" {
				t.Errorf("the return path is %s", inbox[0].From)
			}
			body, err := io.ReadAll(quotedprintable.NewReader(m.Body))
			if err != nil {
				t.Fatal(err)
			}
			if zone := regexp.MustCompile(`[A-Z][a-z]{2}, \d{1,2} [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d \+1[01]00`); kind != "denied" && !zone.Match(body) {
				t.Errorf("%s: no time in the zone of Melbourne in\n%s", what, body)
			}
			who := strings.NewReplacer("<alice@mail.example.com>", "the requester", "<bob@mail.example.com>", "every reviewer",
				"alice@example.com", "REQUESTER", project, "PROJECT")
			hears[1], hears[2], says[1] = who.Replace(m.Header.Get("To")), who.Replace(m.Header.Get("Cc")), who.Replace(m.Header.Get("Subject"))
		}
		if published := s.sandbox.Cloud().Published(topic); len(published) > messages {
			var m struct{ Type string }
			if err := json.Unmarshal(published[messages].Data, &m); err != nil {
				t.Fatal(err)
			}
			messages = len(published)
			says[2] = "`" + m.Type + "`"
		}
		tables := [][]string{hears, says}
		if kind == "–" {
			tables = tables[:1] // Nobody is told anything.
		}
		for _, cells := range tables {
			if want := "| " + strings.Join(cells, " | ") + " |"; !strings.Contains(string(page), want) {
				t.Errorf("docs/notifications.md lacks the row\n%s", want)
			}
		}
	}
	ref, id, _ := s.link()
	row("somebody asks reviewers", "review")
	at := "?activation=" + url.QueryEscape(ref)
	s.call("bob", "POST", "/api/activation-request/deny"+at, `{"comment":"Use staging"}`)
	row("a reviewer denies or declines", "denied")
	s.call("bob", "POST", "/api/activation-request"+at, "")
	row("a reviewer approves", "approved")
	s.call("alice", "POST", orders+"/roles/self-activate", activate)
	row("somebody activates without others", "self-approved")
	s.call("alice", "POST", "/api/requests/"+id+"/end", `{"resource":"projects/`+project+`"}`)
	row("somebody ends access early", "–")
	if mails != 3 || messages != 3 {
		t.Errorf("%d mails and %d messages", mails, messages)
	}
}
