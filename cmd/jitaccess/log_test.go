package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"mime/quotedprintable"
	netmail "net/mail"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"jitaccess/internal/sandbox/google"
)

// entry is a line of the log.
type entry struct {
	Severity string            `json:"severity"`
	Message  string            `json:"message"`
	Labels   map[string]string `json:"logging.googleapis.com/labels"`
	Trace    string            `json:"logging.googleapis.com/trace"`
}

// lines are those of a trace; empty is all.
func (w *world) lines(trace string) (found []entry) {
	w.t.Helper()
	for line := range strings.Lines(w.log.String()) {
		var e entry
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			w.t.Fatalf("%v: %s", err, line)
		}
		if trace == "" || strings.HasSuffix(e.Trace, trace) {
			found = append(found, e)
		}
	}
	return found
}

// traced calls the JSON interface and returns the answer and the trace of what it
// logged.
func (w *world) traced(email, method, path, body string) (said dict, trace string) {
	w.t.Helper()
	w.traces++
	trace = fmt.Sprintf("%032x", w.traces)
	a := w.call(email, method, path, body, "X-JITACCESS", "1", "Content-Type", "application/json", "X-Cloud-Trace-Context", trace+"/1;o=1")
	if err := json.Unmarshal([]byte(a.body), &said); err != nil {
		w.t.Fatalf("%s %s: %v: %s", method, path, err, a.body)
	}
	return said, trace
}

const (
	topicName = "jitaccess-notifications"
	orders    = "/api/projects/" + project
	sqlAdmin  = project + ":roles/cloudsql.admin"
	instances = project + ":roles/compute.instanceAdmin.v1"
	askBob    = `{"entitlementId":"` + instances + `","peers":["bob@example.com"],"justification":"Node 7 hangs","activationTimeout":30}`
	activate  = `{"entitlementIds":["` + sqlAdmin + `"],"justification":"Restore the backup","activationTimeout":5}`
)

// link asks bob to review a request of alice's and returns its reference and id.
func (w *world) link() (ref, id, trace string) {
	w.t.Helper()
	answer, trace := w.traced("alice", "POST", orders+"/roles/request", askBob)
	review, _ := answer["reviewUrl"].(string)
	u, err := url.Parse(review)
	if err != nil || u.Query().Get("activation") == "" {
		w.t.Fatalf("no link: %v", answer)
	}
	item := answer["entitlements"].([]any)[0].(map[string]any)
	return u.Query().Get("activation"), item["activationId"].(string), trace
}

// TestThreat17_TheLog plays everything that is logged, one call after another. Each
// has exactly its lines, in 1.x's words, and no secret stands in any (point 9). The
// first line says what runs (point 1).
func TestThreat17_TheLog(t *testing.T) {
	w := newWorld(t, surroundings{environment: map[string]string{"NOTIFICATION_TOPIC": topicName}})
	const authenticated = "iap.authenticate INFO"
	// expect compares the events of a call, and returns its lines. labels are what
	// the last of them must have.
	expect := func(trace string, want []string, labels map[string]string) {
		t.Helper()
		lines := w.lines(trace)
		var got []string
		for _, e := range lines {
			got = append(got, e.Labels["event"]+" "+e.Severity)
			if e.Trace != "projects/"+w.cloud.ProjectID()+"/traces/"+trace {
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
	_, trace := w.traced("alice", "GET", "/api/policy", "")
	expect(trace, nil, nil)
	_, trace = w.traced("alice", "GET", "/api/projects", "")
	expect(trace, []string{"api.listProjects INFO"}, nil)
	_, trace = w.traced("alice", "GET", orders+"/roles", "")
	expect(trace, nil, nil)
	_, trace = w.traced("alice", "GET", "/api/projects/no-such-project/roles", "")
	expect(trace, []string{"api.listEligibleRoles ERROR"}, map[string]string{"project": "no-such-project"})
	_, trace = w.traced("frank", "GET", orders+"/peers?id="+url.QueryEscape(instances), "")
	expect(trace, []string{"api.listPeers ERROR"}, place(map[string]string{"role": "roles/compute.instanceAdmin.v1", "error": "AccessDeniedException"}))

	// Alone.
	answer, trace := w.traced("alice", "POST", orders+"/roles/self-activate", activate)
	expect(trace, []string{"api.approveRequest INFO", "api.activateRole INFO"}, place(map[string]string{"role": "roles/cloudsql.admin",
		"entitlements": "[iam] roles/cloudsql.admin on " + project, "justification": "Restore the backup"}))
	own := answer["entitlements"].([]any)[0].(map[string]any)["activationId"].(string)
	_, trace = w.traced("frank", "POST", orders+"/roles/self-activate", activate)
	expect(trace, []string{"api.activateRole ERROR", "http.refuse WARNING"}, place(denied))
	for _, line := range w.lines(trace)[1:] {
		if line.Labels["incident"] != w.lines(trace)[1].Labels["incident"] {
			t.Errorf("one refusal has two incidents: %v", w.lines(trace))
		}
	}
	for _, name := range []string{"activation_id", "activation_start", "activation_end", "entitlements", "justification"} {
		if w.lines(trace)[1].Labels[name] == "" {
			t.Errorf("a failed activation lacks %s", name)
		}
	}

	// With a peer.
	ref, id, trace := w.link()
	expect(trace, []string{"api.requestRole INFO"}, place(map[string]string{"activation_id": id, "reviewers": "bob@example.com"}))
	_, trace = w.traced("alice", "POST", orders+"/roles/request", strings.Replace(askBob, "bob", "frank", 1))
	expect(trace, []string{"api.requestRole ERROR", "http.refuse WARNING"}, denied)
	at := "/api/activation-request?activation=" + url.QueryEscape(ref)
	_, trace = w.traced("bob", "GET", at, "")
	expect(trace, nil, nil)
	_, trace = w.traced("frank", "GET", at, "")
	expect(trace, []string{"api.getActivationRequest ERROR"}, denied)
	_, trace = w.traced("bob", "GET", at+"x", "")
	expect(trace, []string{"api.getActivationRequest ERROR"}, unverified)
	_, trace = w.traced("bob", "POST", at+"x", "")
	expect(trace, []string{"api.activateRole ERROR", "http.refuse INFO"}, unverified)
	_, trace = w.traced("frank", "POST", at, "")
	expect(trace, []string{"api.activateRole ERROR", "http.refuse WARNING"}, denied)
	deny := strings.Replace(at, "?", "/deny?", 1)
	_, trace = w.traced("bob", "POST", deny, `{"comment":""}`)
	expect(trace, []string{"api.denyRequest ERROR", "http.refuse INFO"}, nil)
	_, trace = w.traced("bob", "POST", deny, `{"comment":"Use staging"}`)
	expect(trace, []string{"api.denyRequest INFO"}, map[string]string{"comment": "Use staging"})
	_, trace = w.traced("bob", "POST", at, "")
	expect(trace, []string{"api.approveRequest INFO", "api.activateRole INFO"}, place(map[string]string{"user": "bob@example.com", "beneficiary": "alice@example.com"}))

	// Ending.
	ending := `{"resource":"projects/` + project + `"}`
	_, trace = w.traced("frank", "POST", "/api/requests/"+own+"/end", ending)
	expect(trace, []string{"api.endActivation ERROR", "http.refuse INFO"}, nil)
	_, trace = w.traced("alice", "POST", "/api/requests/"+own+"/end", ending)
	expect(trace, []string{"api.requestEnd INFO", "api.endActivation INFO"}, nil)

	// What fails around us.
	faults := w.cloud.Faults()
	faults.Add(google.Fault{Path: "/v3/projects/{id}:setIamPolicy", Status: 403, Message: "no, see https://x.example.com/?token=CANARY-QUERY"})
	_, trace = w.traced("alice", "POST", orders+"/roles/self-activate", activate)
	expect(trace, []string{"api.approveRequest INFO", "api.activateRole ERROR", "http.refuse ERROR"}, place(nil))
	faults.Clear()
	faults.Add(google.Fault{Path: "/v1/projects/{project}/topics/{topic}:publish", Status: 403, Message: "Bearer CANARY-BEARER"})
	answer, trace = w.traced("alice", "POST", orders+"/roles/self-activate", activate)
	expect(trace, []string{"api.approveRequest INFO", "api.activateRole INFO", "api.notify WARNING"}, map[string]string{"error": "NotificationException"})
	if warnings, _ := answer["warnings"].([]any); len(warnings) != 1 {
		t.Errorf("what could not be published is told as %v", answer["warnings"])
	}
	faults.Clear()

	// Nobody, and somebody with an assertion of their own making.
	assertion := "eyJhbGciOiJFUzI1NiJ9." + base64.RawURLEncoding.EncodeToString([]byte(`{"email":"alice@example.com"}`)) + ".CANARYCANARY"
	for _, header := range []string{"", assertion} {
		before := len(w.lines(""))
		w.call("", "GET", reviewPath(ref), "", "X-Goog-Iap-Jwt-Assertion", header)
		if got := w.lines("")[before:]; len(got) != 1 || got[0].Labels["event"] != "iap.authenticate" || got[0].Severity != "ERROR" {
			t.Errorf("assertion %.5q: %v", header, got)
		}
	}

	first := w.lines("")[0]
	for name, want := range map[string]string{"event": "runtime.startup", "channels": "mail, pubsub", "mail_login": "password", "ledger": "false", "catalog": "AssetInventory",
		"project": w.cloud.ProjectID(), "project_number": w.cloud.ProjectNumber(), "service_account": w.cloud.ServiceAccount(),
		"scope": w.cloud.OrganizationID(), "identity": "iap", "version": version} {
		if first.Labels[name] != want || first.Severity != "INFO" {
			t.Errorf("the start-up line has %s=%q, want %q", name, first.Labels[name], want)
		}
	}
	w.documented()
	w.lacks(ref, "ey"+strings.ReplaceAll(strings.ReplaceAll(ref, "~~", ".ey"), "~", "."), assertion, smtpPassword, "CANARY", "activation=", "Bearer ey")
}

// documented is whether every event that has been logged stands in docs/log.md.
func (w *world) documented() {
	w.t.Helper()
	page, err := os.ReadFile("../../docs/log.md")
	if err != nil {
		w.t.Fatal(err)
	}
	missing := map[string]bool{}
	for _, e := range w.lines("") {
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
		w.t.Errorf("docs/log.md lacks %q", slices.Sorted(maps.Keys(missing)))
	}
}

// lacks is whether no part of a secret is in the log: neither the whole nor, of long
// ones, the middle.
func (w *world) lacks(secrets ...string) {
	w.t.Helper()
	log := w.log.String()
	for _, secret := range secrets {
		if n := len(secret); n > 60 {
			secret = secret[n/2-15 : n/2+15]
		}
		if strings.Contains(log, secret) {
			at := strings.Index(log, secret)
			w.t.Errorf("%q is in the log: …%s…", secret, log[max(0, at-200):min(len(log), at+200)])
		}
	}
}

// A log-in that the mail server refuses tells nobody the password.
func TestThreat17_ARefusedLogInShowsNoPassword(t *testing.T) {
	const canary = "canary-4711-hunter2"
	w := newWorld(t, surroundings{environment: map[string]string{"SMTP_SECRET": "", "SMTP_PASSWORD": canary}})
	_, _, trace := w.link()
	if last := w.lines(trace); last[len(last)-1].Labels["event"] != "api.notify" || last[len(last)-1].Labels["error"] != "NotificationException" {
		t.Errorf("logged %v", last)
	}
	if first := w.lines("")[0]; first.Labels["channels"] != "mail" {
		t.Errorf("channels %q", first.Labels["channels"])
	}
	w.lacks(canary, base64.StdEncoding.EncodeToString([]byte(canary)),
		base64.StdEncoding.EncodeToString([]byte("\x00"+w.Environment["SMTP_USERNAME"]+"\x00"+canary)))
}

// Point 8: Pub/Sub alone makes requests to reviewers possible, and nothing says mail.
func TestPubSubAlone(t *testing.T) {
	w := newWorld(t, surroundings{environment: map[string]string{"SMTP_SENDER_ADDRESS": "", "NOTIFICATION_TOPIC": topicName}})
	answer, _ := w.traced("alice", "POST", orders+"/roles/request", askBob)
	if warnings, _ := answer["warnings"].([]any); len(warnings) != 0 || answer["reviewUrl"] == nil {
		t.Errorf("answered %v", answer)
	}
	topic := "projects/" + w.cloud.ProjectID() + "/topics/" + topicName
	if got := w.cloud.Published(topic); len(got) != 1 || !bytes.Contains(got[0].Data, []byte(`"RequestActivation"`)) {
		t.Errorf("published %v", got)
	}
	started := w.lines("")
	if !slices.ContainsFunc(started, func(e entry) bool { return e.Labels["channels"] == "pubsub" }) ||
		!slices.ContainsFunc(started, func(e entry) bool {
			return e.Severity == "WARNING" && strings.Contains(e.Message, "SMTP_SENDER_ADDRESS")
		}) {
		t.Errorf("started with %v", started)
	}
}

// The table of docs/notifications.md is what happens. Mail goes where
// SMTP_ADDRESS_MAPPING says, with times of NOTIFICATION_TIMEZONE and the return
// path of SMTP_OPTIONS (point 7); Pub/Sub gets its messages (point 8).
func TestWhoHearsWhat(t *testing.T) {
	w := newWorld(t, surroundings{environment: map[string]string{
		"NOTIFICATION_TOPIC":    topicName,
		"SMTP_OPTIONS":          "mail.smtp.from=bounces@example.com, mail.smtp.timeout=8000, mail.smtp.auth.mechanisms=PLAIN",
		"NOTIFICATION_TIMEZONE": "Australia/Melbourne",
		"SMTP_ADDRESS_MAPPING":  `user.email.extract("{name}@example.com") + "@mail.example.com"`,
	}})
	page, err := os.ReadFile("../../docs/notifications.md")
	if err != nil {
		t.Fatal(err)
	}
	topic := "projects/" + w.cloud.ProjectID() + "/topics/" + topicName
	mails, messages := 0, 0
	row := func(what, kind string) {
		t.Helper()
		hears, says := []string{what, "–", "–", kind}, []string{kind, "–", "–"}
		if sent := w.mail.Messages(); len(sent) > mails {
			m, err := netmail.ReadMessage(strings.NewReader(sent[mails].Data))
			if err != nil {
				t.Fatal(err)
			}
			if sent[mails].From != "bounces@example.com" {
				t.Errorf("the return path is %s", sent[mails].From)
			}
			mails = len(sent)
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
		if published := w.cloud.Published(topic); len(published) > messages {
			var m struct{ Type string }
			if err := json.Unmarshal(published[messages].Data, &m); err != nil {
				t.Fatal(err)
			}
			messages = len(published)
			says[2] = "`" + m.Type + "`"
		}
		tables := [][]string{hears, says}
		if kind == "happened" {
			tables = tables[:1] // Nobody is told anything.
		}
		for _, cells := range tables {
			if want := "| " + strings.Join(cells, " | ") + " |"; !strings.Contains(string(page), want) {
				t.Errorf("docs/notifications.md lacks the row\n%s", want)
			}
		}
	}
	ref, id, _ := w.link()
	row("somebody asks reviewers", "review")
	at := "?activation=" + url.QueryEscape(ref)
	w.traced("bob", "POST", "/api/activation-request/deny"+at, `{"comment":"Use staging"}`)
	row("a reviewer denies or declines", "denied")
	w.traced("bob", "POST", "/api/activation-request"+at, "")
	row("a reviewer approves", "approved")
	w.traced("alice", "POST", orders+"/roles/self-activate", activate)
	row("somebody activates without others", "self-approved")
	w.traced("alice", "POST", "/api/requests/"+id+"/end", `{"resource":"projects/`+project+`"}`)
	row("its holder ends access early", "happened")
	if mails != 3 || messages != 3 {
		t.Errorf("%d mails and %d messages", mails, messages)
	}
}
