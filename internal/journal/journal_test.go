package journal_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/journal"
)

var _ broker.Journal = (*journal.Journal)(nil)

var (
	at  = time.Date(2024, 8, 22, 1, 40, 0, 0, time.UTC)
	ana = access.Caller{Principal: "ana@example.com", Subject: "accounts.google.com:1", Device: "laptop-1",
		AccessLevels: []string{"accessPolicies/1/accessLevels/office", "accessPolicies/1/accessLevels/managed"}, Method: "iap"}
	boris = access.Caller{Principal: "boris@example.com", Subject: "accounts.google.com:2", Method: "iap"}
)

func request() access.Request {
	return access.Request{
		ID:        "mpa-AAAAAAAAAAAAAAAA",
		Principal: "ana@example.com",
		Resource:  "projects/shop-prod",
		Entitlements: []access.EntitlementID{
			{Resource: "projects/shop-prod", Role: "roles/compute.admin"},
			{Resource: "projects/shop-prod", Role: "roles/storage.admin", Condition: `resource.name == "x"`},
		},
		Justification: "Bug 4711",
		Duration:      time.Hour,
		Reviewers:     []access.Principal{"boris@example.com", "chen@example.com"},
	}
}

var window = access.Window{Start: at, End: at.Add(time.Hour + 5*time.Second)}

// The labels that every event of request() by ana or boris has.
const (
	byAna    = `"device_access_levels":"accessPolicies/1/accessLevels/office, accessPolicies/1/accessLevels/managed","device_id":"laptop-1",`
	byBoris  = `"device_access_levels":"","device_id":"",`
	roles    = `"entitlements":"[iam] roles/compute.admin on shop-prod, [iam] roles/storage.admin on shop-prod (condition: resource.name == \"x\")",`
	place    = `"project":"shop-prod","project_id":"shop-prod","resource":"//cloudresourcemanager.googleapis.com/projects/shop-prod",`
	both     = `"reviewers":"boris@example.com, chen@example.com","role":"roles/compute.admin, roles/storage.admin",`
	quoted   = `\"[iam] roles/compute.admin on shop-prod, [iam] roles/storage.admin on shop-prod (condition: resource.name == \\\"x\\\")\"`
	userAna  = `"user":"ana@example.com","user_id":"accounts.google.com:1"}}`
	userB    = `"user":"boris@example.com","user_id":"accounts.google.com:2"}}`
	activity = `"activation_end":"2024-08-22T02:40:05Z","activation_id":"mpa-AAAAAAAAAAAAAAAA","activation_start":"2024-08-22T01:40Z",`
	timeAt   = `"time":"2024-08-22T01:40:00Z",`
)

func TestEveryEventHasItsLine(t *testing.T) {
	refused := []access.Outcome{
		{Entitlement: request().Entitlements[0], Result: access.Granted, Window: window},
		{Entitlement: request().Entitlements[1], Result: access.Refused, Err: &access.Error{Kind: access.Unprocessable, Code: access.CodeRoleNotGrantable}},
	}
	self := request()
	self.ID, self.Reviewers = "jit-AAAAAAAAAAAAAAAA", nil
	glass := self
	glass.ID, glass.Kind = "brk-AAAAAAAAAAAAAAAA", access.BreakGlass
	for _, test := range []struct {
		name  string
		event access.Event
		want  string
	}{
		{
			"a request is made",
			access.Event{Action: access.RequestMade, At: at, Caller: ana, Request: request()},
			`{"severity":"INFO","message":"User \"ana@example.com\" requested ` + quoted + ` for 60 minutes, asking boris@example.com, chen@example.com",` + timeAt +
				`"logging.googleapis.com/labels":{"activation_id":"mpa-AAAAAAAAAAAAAAAA","beneficiary":"ana@example.com",` + byAna + `"duration_minutes":"60",` + roles +
				`"event":"api.requestRole","justification":"Bug 4711","method":"iap",` + place + both + userAna,
		},
		{
			"the requester asks more people",
			access.Event{Action: access.ReviewersAdded, At: at, Caller: ana, Request: request()},
			`{"severity":"INFO","message":"User \"ana@example.com\" asked more people to approve ` + quoted + `; asked are now boris@example.com, chen@example.com",` + timeAt +
				`"logging.googleapis.com/labels":{"activation_id":"mpa-AAAAAAAAAAAAAAAA","beneficiary":"ana@example.com",` + byAna + `"duration_minutes":"60",` + roles +
				`"event":"api.addReviewers","justification":"Bug 4711","method":"iap",` + place + both + userAna,
		},
		{
			"somebody activates on their own",
			access.Event{Action: access.SelfApproved, At: at, Caller: ana, Request: self, Window: window},
			`{"severity":"INFO","message":"User \"ana@example.com\" activates ` + quoted + ` for 60 minutes without others",` + timeAt +
				`"logging.googleapis.com/labels":{"activation_end":"2024-08-22T02:40:05Z","activation_id":"jit-AAAAAAAAAAAAAAAA","activation_start":"2024-08-22T01:40Z",` +
				`"beneficiary":"ana@example.com",` + byAna + `"duration_minutes":"60",` + roles +
				`"event":"api.approveRequest","justification":"Bug 4711","method":"iap",` + place + `"role":"roles/compute.admin, roles/storage.admin",` + userAna,
		},
		{
			"somebody breaks the glass",
			access.Event{Action: access.GlassBroken, At: at, Caller: ana, Request: glass, Window: window},
			`{"severity":"ALERT","message":"User \"ana@example.com\" breaks the glass: ` + quoted + ` for 60 minutes without approval",` + timeAt +
				`"logging.googleapis.com/labels":{"activation_end":"2024-08-22T02:40:05Z","activation_id":"brk-AAAAAAAAAAAAAAAA","activation_start":"2024-08-22T01:40Z",` +
				`"beneficiary":"ana@example.com",` + byAna + `"duration_minutes":"60",` + roles +
				`"event":"api.breakGlass","justification":"Bug 4711","method":"iap",` + place + `"role":"roles/compute.admin, roles/storage.admin",` + userAna,
		},
		{
			"a broken glass is reviewed",
			access.Event{Action: access.GlassReviewed, At: at, Caller: boris, Request: glass,
				Decision: access.Decision{By: "boris@example.com", Comment: "it was needed", Digest: "d1"}},
			`{"severity":"INFO","message":"User \"boris@example.com\" reviewed that \"ana@example.com\" broke the glass for ` + quoted + `",` + timeAt +
				`"logging.googleapis.com/labels":{"activation_id":"brk-AAAAAAAAAAAAAAAA","beneficiary":"ana@example.com","comment":"it was needed",` + byBoris +
				`"digest":"d1","duration_minutes":"60",` + roles + `"event":"api.reviewGlass","justification":"Bug 4711","method":"iap",` + place +
				`"role":"roles/compute.admin, roles/storage.admin",` + userB,
		},
		{
			"breaking the glass is refused",
			access.Event{Action: access.ActionRefused, Trying: access.GlassBroken, At: at, Caller: ana, Request: access.Request{Resource: "projects/shop-prod"},
				Err: &access.Error{Kind: access.NotAllowed, Code: access.CodeNoBreakGlass}},
			`{"severity":"ERROR","message":"User \"ana@example.com\" was refused (broken glass) for request \"\": not allowed: no-break-glass",` + timeAt +
				`"logging.googleapis.com/labels":{` + byAna + `"error":"AccessDeniedException","error_code":"no-break-glass","event":"api.breakGlass","method":"iap",` + place + userAna,
		},
		{
			"a reviewer approves",
			access.Event{Action: access.RequestApproved, At: at, Caller: boris, Request: request(), Window: window,
				Decision: access.Decision{Verdict: access.Approve, By: "boris@example.com", Comment: "go", Digest: "d1"}},
			`{"severity":"INFO","message":"User \"boris@example.com\" approved ` + quoted + ` for \"ana@example.com\", for 60 minutes",` + timeAt +
				`"logging.googleapis.com/labels":{` + activity + `"beneficiary":"ana@example.com","comment":"go",` + byBoris + `"digest":"d1","duration_minutes":"60",` + roles +
				`"event":"api.approveRequest","justification":"Bug 4711","method":"iap",` + place + both + userB,
		},
		{
			"a second approval arrives at the same moment",
			access.Event{Action: access.GrantWritten, At: at, Caller: boris, Request: request(), Window: window, Outcomes: []access.Outcome{
				{Entitlement: request().Entitlements[0], Result: access.AlreadyGranted, Window: window}, {Entitlement: request().Entitlements[1], Result: access.AlreadyGranted, Window: window}}},
			`{"severity":"INFO","message":"User \"boris@example.com\" wrote nothing: ` + quoted + ` for \"ana@example.com\" had been granted already",` + timeAt +
				`"logging.googleapis.com/labels":{` + activity + `"beneficiary":"ana@example.com",` + byBoris + `"duration_minutes":"60",` + roles +
				`"event":"api.activateRole","justification":"Bug 4711","method":"iap","outcomes":"roles/compute.admin: already granted, roles/storage.admin: already granted",` + place + both + userB,
		},
		{
			"a reviewer denies",
			access.Event{Action: access.RequestDenied, At: at, Caller: boris, Request: request(),
				Decision: access.Decision{Verdict: access.Deny, By: "boris@example.com", Comment: "use staging", Digest: "d1"}},
			`{"severity":"INFO","message":"User \"boris@example.com\" denied ` + quoted + ` for \"ana@example.com\"",` + timeAt +
				`"logging.googleapis.com/labels":{"activation_id":"mpa-AAAAAAAAAAAAAAAA","beneficiary":"ana@example.com","comment":"use staging",` + byBoris +
				`"digest":"d1","duration_minutes":"60",` + roles + `"event":"api.denyRequest","justification":"Bug 4711","method":"iap",` + place + both + userB,
		},
		{
			"a grant is written, but for one role",
			access.Event{Action: access.GrantWritten, At: at, Caller: boris, Request: request(), Window: window, Outcomes: refused},
			`{"severity":"INFO","message":"User \"boris@example.com\" activated ` + quoted + ` for \"ana@example.com\", for 60 minutes, but for 1 of 2 roles",` + timeAt +
				`"logging.googleapis.com/labels":{` + activity + `"beneficiary":"ana@example.com",` + byBoris + `"duration_minutes":"60",` + roles +
				`"event":"api.activateRole","justification":"Bug 4711","method":"iap","outcomes":"roles/compute.admin: granted, roles/storage.admin: refused (role-not-grantable)",` +
				place + both + userB,
		},
		{
			"a grant fails",
			access.Event{Action: access.GrantFailed, At: at, Caller: boris, Request: request(), Window: window,
				Err: &access.Error{Kind: access.TooMany, Code: access.CodeQuota, Args: access.Args{"service": "Resource Manager"}, Err: errors.New("429")}},
			`{"severity":"ERROR","message":"User \"boris@example.com\" failed to activate ` + quoted + ` for \"ana@example.com\": too many: quota service=\"Resource Manager\": 429",` + timeAt +
				`"logging.googleapis.com/labels":{` + activity + `"beneficiary":"ana@example.com",` + byBoris + `"duration_minutes":"60",` + roles +
				`"error":"QuotaExceededException","error_code":"quota","event":"api.activateRole","justification":"Bug 4711","method":"iap",` + place + both + userB,
		},
		{
			"somebody ends a grant",
			access.Event{Action: access.EndAsked, At: at, Caller: ana, Request: access.Request{ID: "mpa-AAAAAAAAAAAAAAAA", Principal: "ana@example.com", Resource: "projects/shop-prod"}},
			`{"severity":"INFO","message":"User \"ana@example.com\" ends request \"mpa-AAAAAAAAAAAAAAAA\" of \"ana@example.com\"",` + timeAt +
				`"logging.googleapis.com/labels":{"activation_id":"mpa-AAAAAAAAAAAAAAAA","beneficiary":"ana@example.com",` + byAna +
				`"event":"api.requestEnd","method":"iap",` + place + userAna,
		},
		{
			"a grant has ended",
			access.Event{Action: access.GrantEnded, At: at, Caller: ana, Request: access.Request{ID: "mpa-AAAAAAAAAAAAAAAA", Principal: "ana@example.com", Resource: "folders/7"},
				Outcomes: []access.Outcome{{Entitlement: request().Entitlements[0], Result: access.Removed}}},
			`{"severity":"INFO","message":"User \"ana@example.com\" ended request \"mpa-AAAAAAAAAAAAAAAA\" of \"ana@example.com\"",` + timeAt +
				`"logging.googleapis.com/labels":{"activation_id":"mpa-AAAAAAAAAAAAAAAA","beneficiary":"ana@example.com",` + byAna +
				`"event":"api.endActivation","method":"iap","outcomes":"roles/compute.admin: ended","resource":"//cloudresourcemanager.googleapis.com/folders/7",` + userAna,
		},
		{
			"an ending fails",
			access.Event{Action: access.EndFailed, At: at, Caller: access.Caller{Method: "system"}, Request: access.Request{ID: "mpa-AAAAAAAAAAAAAAAA", Principal: "ana@example.com"},
				Err: context.DeadlineExceeded},
			`{"severity":"ERROR","message":"The service failed to end request \"mpa-AAAAAAAAAAAAAAAA\" of \"ana@example.com\": context deadline exceeded",` + timeAt +
				`"logging.googleapis.com/labels":{"activation_id":"mpa-AAAAAAAAAAAAAAAA","beneficiary":"ana@example.com","error":"deadline","error_code":"deadline",` +
				`"event":"api.endActivation","method":"system"}}`,
		},
		{
			"an activation is refused",
			access.Event{Action: access.ActionRefused, Trying: access.SelfApproved, At: at, Caller: ana, Request: access.Request{Resource: "projects/shop-prod"},
				Err: &access.Error{Kind: access.NotAllowed, Code: access.CodeNotEligible}},
			`{"severity":"ERROR","message":"User \"ana@example.com\" was refused (self-approved) for request \"\": not allowed: not-eligible",` + timeAt +
				`"logging.googleapis.com/labels":{` + byAna + `"error":"AccessDeniedException","error_code":"not-eligible","event":"api.activateRole","method":"iap",` + place + userAna,
		},
		{
			"a link is refused",
			access.Event{Action: access.ActionRefused, Trying: access.RequestApproved, At: at, Caller: boris, Err: &access.Error{Kind: access.NotFound, Code: access.CodeBadLink}},
			`{"severity":"ERROR","message":"User \"boris@example.com\" was refused (approved) for request \"\": not found: bad-link",` + timeAt +
				`"logging.googleapis.com/labels":{` + byBoris + `"error":"VerificationException","error_code":"bad-link","event":"api.activateRole","method":"iap",` + userB,
		},
		{
			"somebody could not be told",
			access.Event{Action: access.NoticeFailed, At: at, Caller: ana, Request: access.Request{ID: "mpa-AAAAAAAAAAAAAAAA", Principal: "ana@example.com"}, Err: errors.New("mail: 550")},
			`{"severity":"WARNING","message":"Not everybody could be told of request \"mpa-AAAAAAAAAAAAAAAA\" for \"ana@example.com\": mail: 550",` + timeAt +
				`"logging.googleapis.com/labels":{"activation_id":"mpa-AAAAAAAAAAAAAAAA","beneficiary":"ana@example.com",` + byAna +
				`"error":"NotificationException","error_code":"internal","event":"api.notify","method":"iap",` + userAna,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			var out bytes.Buffer
			if err := journal.New(&out, "jit-host").Record(t.Context(), test.event); err != nil {
				t.Fatal(err)
			}
			if got := strings.TrimSuffix(out.String(), "\n"); got != test.want {
				t.Errorf("got\n%s\nwant\n%s", got, test.want)
			}
		})
	}
}

func TestTheDocumentNamesEveryEvent(t *testing.T) {
	document, err := os.ReadFile("../../docs/log.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, action := range []access.Action{access.RequestMade, access.ReviewersAdded, access.SelfApproved, access.RequestApproved, access.RequestDenied, access.GrantWritten,
		access.GrantFailed, access.EndAsked, access.GrantEnded, access.EndFailed, access.ActionRefused, access.NoticeFailed,
		access.RequestWithdrawn, access.Reminded, access.Escalated, access.RequestLapsed, access.GrantExpired} {
		line := record(t, access.Event{Action: action})
		event := line.Labels["event"]
		if event == "api."+string(action) && line.Severity == "ERROR" {
			t.Errorf("%q has no line of its own", action)
		}
		if !strings.Contains(string(document), "`"+event+"`") {
			t.Errorf("docs/log.md does not name %q, the event of %q", event, action)
		}
	}
}

// What time brings about is no error, and says who was told.
func TestLinesOfWhatTimeBringsAbout(t *testing.T) {
	r := request()
	r.Terms.Escalations = []access.Escalation{{To: []string{"user:a@example.com"}}, {To: []string{"group:leads@example.com", "user:b@example.com"}}}
	r.Escalated = 1
	system := access.Caller{Method: access.MethodSystem}
	e := record(t, access.Event{Action: access.Escalated, At: at, Caller: system, Request: r})
	if e.Severity != "INFO" || e.Labels["event"] != "api.escalate" || e.Labels["escalated_to"] != "group:leads@example.com, user:b@example.com" ||
		!strings.HasPrefix(e.Message, "The service tells others that ") {
		t.Errorf("%+v", e)
	}
	for _, action := range []access.Action{access.Reminded, access.RequestLapsed, access.GrantExpired} {
		if e := record(t, access.Event{Action: action, At: at, Caller: system, Request: r}); e.Severity != "INFO" || e.Labels["escalated_to"] != "" {
			t.Errorf("%+v", e)
		}
	}
}

// entry is a line as Cloud Logging reads it.
type entry struct {
	Severity string            `json:"severity"`
	Message  string            `json:"message"`
	Labels   map[string]string `json:"logging.googleapis.com/labels"`
	Trace    string            `json:"logging.googleapis.com/trace"`
}

func read(t *testing.T, out []byte) entry {
	t.Helper()
	if bytes.Count(out, []byte("\n")) != 1 || !bytes.HasSuffix(out, []byte("\n")) {
		t.Fatalf("not one line: %q", out)
	}
	var e entry
	if err := json.Unmarshal(out, &e); err != nil {
		t.Fatalf("%v: %q", err, out)
	}
	return e
}

func record(t *testing.T, e access.Event) entry {
	t.Helper()
	var out bytes.Buffer
	if err := journal.New(&out, "jit-host").Record(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	return read(t, out.Bytes())
}

func TestThreat17_HostileTextStaysOnOneLineAndKeepsItsMeaning(t *testing.T) {
	for _, text := range []string{
		"a\nb", "a\r\n{\"severity\":\"INFO\"}", "\x00\x1b[2J\x7f", "\u202egnp.exe", "\u2028\u2029\u0085", "\U000E0041 tag", `"}}`, "😀 ünï",
	} {
		r := request()
		r.Justification = text
		var out bytes.Buffer
		if err := journal.New(&out, "").Record(t.Context(), access.Event{Action: access.RequestMade, Caller: ana, Request: r}); err != nil {
			t.Fatal(err)
		}
		if got := read(t, out.Bytes()).Labels["justification"]; got != text {
			t.Errorf("justification %q became %q", text, got)
		}
		if strings.ContainsAny(strings.TrimSuffix(out.String(), "\n"), "\n\r\x00\x1b\x7f\u0085\u2028\u2029\u202e\U000E0041") {
			t.Errorf("raw control or format characters in %q", out.String())
		}
	}
}

func TestThreat17_NoSecretReachesTheLog(t *testing.T) {
	const canary = "CANARYcanary0123456789"
	for _, text := range []string{
		"Get \"https://jit.example.com/review?activation=" + canary + "\": EOF",
		"POST https://admin:" + canary + "@proxy.example.com/x failed",
		"GET /review?activation=" + canary,
		"Authorization: Bearer " + canary,
		"sent AUTH PLAIN " + canary + "==",
		"password=" + canary + ", host=x",
		`{"signedJwt": "` + canary + `"}`,
		`{"access_token":"` + canary + `","n":1}`,
		"token eyJhbGciOiJSUzI1NiJ9." + canary + "." + canary + " is bad",
		"link JhbGciOiJSUzI1NiJ9~~" + canary + "~" + canary,
		"ya29." + canary,
		"-----BEGIN PRIVATE KEY-----\n" + canary + "\n-----END PRIVATE KEY-----",
		"https://x.example.com/#access_token=" + canary,
	} {
		var out bytes.Buffer
		j := journal.New(&out, "jit-host")
		err := errors.New(text)
		if e := j.Record(t.Context(), access.Event{Action: access.GrantFailed, Caller: ana, Request: request(),
			Err: &access.Error{Kind: access.Upstream, Code: access.CodeUpstreamFailed, Err: err}}); e != nil {
			t.Fatal(e)
		}
		logger := slog.New(j.Handler(slog.LevelInfo)).With("before", text)
		logger.Warn(text, "error", err, slog.Group("in", "side", text))
		if strings.Contains(out.String(), canary) {
			t.Errorf("%q is logged as\n%s", text, out.String())
		}
	}
}

func TestTheScrubberLeavesOrdinaryErrorsAlone(t *testing.T) {
	for _, text := range []string{
		"googleapi: Error 409: There were concurrent policy changes, conflict",
		"dial tcp 127.0.0.1:587: connect: connection refused",
		"https://cloudresourcemanager.googleapis.com/v3/projects/shop-prod:setIamPolicy answered 500",
		"mpa-AAAAAAAAAAAAAAAA of ana@example.com for roles/compute.admin",
	} {
		e := record(t, access.Event{Action: access.NoticeFailed, Err: errors.New(text)})
		if !strings.HasSuffix(e.Message, ": "+text) {
			t.Errorf("%q became %q", text, e.Message)
		}
	}
}

func TestAJustificationIsEvidenceAndIsNotScrubbed(t *testing.T) {
	r := request()
	r.Justification = "see https://bugs.example.com/show?id=4711"
	if got := record(t, access.Event{Action: access.RequestMade, Request: r}).Labels["justification"]; got != r.Justification {
		t.Errorf("justification became %q", got)
	}
}

func TestALineHasALargestSize(t *testing.T) {
	long := strings.Repeat("€", 1<<20)
	r := request()
	r.Justification = long
	var out bytes.Buffer
	if err := journal.New(&out, "").Record(t.Context(), access.Event{Action: access.GrantFailed, Request: r, Err: errors.New(long)}); err != nil {
		t.Fatal(err)
	}
	e := read(t, out.Bytes())
	if out.Len() > 32<<10 || !strings.HasSuffix(e.Message, "…") || !utf8.ValidString(e.Message) {
		t.Errorf("%d bytes, message ends in %q", out.Len(), e.Message[max(0, len(e.Message)-10):])
	}
}

type failing struct{ n int }

func (f failing) Write([]byte) (int, error) {
	if f.n < 0 {
		return 0, errors.New("disk full")
	}
	return f.n, nil
}

func TestAnEventThatCannotBeWrittenIsAnError(t *testing.T) {
	for _, w := range []io.Writer{failing{-1}, failing{3}} {
		err := journal.New(w, "").Record(t.Context(), access.Event{Action: access.SelfApproved})
		var e *access.Error
		if !errors.As(err, &e) || e.Code != access.CodeJournalUnavailable {
			t.Errorf("%v: error is %v", w, err)
		}
	}
}

func TestLinesOfManyAtOnceStayWhole(t *testing.T) {
	var out bytes.Buffer
	j := journal.New(&out, "")
	logger := slog.New(j.Handler(slog.LevelInfo))
	var group sync.WaitGroup
	for range 50 {
		group.Go(func() {
			_ = j.Record(t.Context(), access.Event{Action: access.RequestMade, Caller: ana, Request: request()})
		})
		group.Go(func() { logger.Info("something", "event", "runtime.startup") })
	}
	group.Wait()
	lines := strings.SplitAfter(out.String(), "\n")
	for _, l := range lines[:len(lines)-1] {
		read(t, []byte(l))
	}
	if len(lines)-1 != 100 {
		t.Errorf("%d lines, want 100", len(lines)-1)
	}
}

func TestOrdinaryLogLinesHaveTheSameForm(t *testing.T) {
	var out bytes.Buffer
	j := journal.New(&out, "jit-host")
	logger := slog.New(j.Handler(slog.LevelDebug)).With("event", "runtime.startup").WithGroup("host").With("name", "x")
	for _, test := range []struct {
		level    slog.Level
		severity string
	}{
		{slog.LevelDebug, "DEBUG"}, {slog.LevelInfo, "INFO"}, {slog.LevelWarn, "WARNING"}, {slog.LevelError, "ERROR"}, {slog.LevelError + 4, "CRITICAL"},
	} {
		out.Reset()
		logger.Log(journal.WithIncident(t.Context(), "i-1"), test.level, "started", "port", 8080, slog.Group("", "a", true), slog.Attr{}, "at", at)
		e := read(t, out.Bytes())
		want := map[string]string{"event": "runtime.startup", "host.name": "x", "host.port": "8080", "host.a": "true", "host.at": "2024-08-22T01:40:00Z"}
		if test.level >= slog.LevelWarn {
			want["incident"] = "i-1"
		}
		if e.Severity != test.severity || e.Message != "started" || !equal(e.Labels, want) {
			t.Errorf("%v: %+v", test.level, e)
		}
	}
	out.Reset()
	slog.New(j.Handler(slog.LevelInfo)).Debug("not this")
	if out.Len() != 0 {
		t.Error("a line below the level was written")
	}
}

// The labels that say which error it was are those of events.
func TestOrdinaryLogLinesNameErrorsAsEventsDo(t *testing.T) {
	for _, test := range []struct {
		err                 error
		name, code, message string
	}{
		{&access.Error{Kind: access.NotAllowed, Code: access.CodeNotInvolved}, "AccessDeniedException", "not-involved", "refused: not allowed: not-involved"},
		{fmt.Errorf("opening: %w", &access.Error{Kind: access.Gone, Code: access.CodeLinkExpired, Err: errors.New("https://x.example.com/?activation=CANARYcanary")}),
			"VerificationException", "link-expired", "refused: opening: gone: link-expired: https://x.example.com/?[redacted]"},
		{&access.Error{Kind: access.TooMany, Code: access.CodeQuota}, "QuotaExceededException", "quota", "refused: too many: quota"},
		{&access.Error{Kind: access.NotFound, Code: access.CodeUnknownResource}, "unknown-resource", "unknown-resource", "refused: not found: unknown-resource"},
		{errors.New("password=CANARY"), "password=[redacted]", "", "refused"},
	} {
		var out bytes.Buffer
		slog.New(journal.New(&out, "").Handler(slog.LevelInfo)).Error("refused", "error", test.err)
		e := read(t, out.Bytes())
		if e.Labels["error"] != test.name || e.Labels["error_code"] != test.code || e.Message != test.message {
			t.Errorf("%v is logged as %s", test.err, out.String())
		}
	}
}

func TestAnIncidentIsOfWarningsAndErrors(t *testing.T) {
	for action, marked := range map[access.Action]bool{access.GrantWritten: false, access.RequestMade: false, access.NoticeFailed: true,
		access.ActionRefused: true, access.GrantFailed: true} {
		var out bytes.Buffer
		if err := journal.New(&out, "").Record(journal.WithIncident(t.Context(), "i-1"), access.Event{Action: action}); err != nil {
			t.Fatal(err)
		}
		if got := read(t, out.Bytes()).Labels["incident"]; (got == "i-1") != marked {
			t.Errorf("%s: incident %q", action, got)
		}
	}
}

func equal(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for k, v := range a {
		if b[k] != v {
			return false
		}
	}
	return true
}

func TestTraceIsInTheFormThatCloudLoggingCorrelates(t *testing.T) {
	const id = "0123456789abcdef0123456789abcdef"
	const want = "projects/jit-host/traces/" + id
	for _, test := range []struct{ header, value, want string }{
		{"X-Cloud-Trace-Context", id + "/12345;o=1", want},
		{"X-Cloud-Trace-Context", strings.ToUpper(id), want},
		{"X-Cloud-Trace-Context", id + "/1", want},
		{"Traceparent", "00-" + id + "-0123456789abcdef-01", want},
		{"X-Cloud-Trace-Context", "", ""},
		{"X-Cloud-Trace-Context", "00000000000000000000000000000000/1", ""},
		{"X-Cloud-Trace-Context", id + "/1;o=1\",\"x\":\"", ""},
		{"X-Cloud-Trace-Context", id + "0/1", ""},
		{"X-Cloud-Trace-Context", "../../etc/passwd", ""},
		{"Traceparent", "00-" + id, ""},
		{"Traceparent", "00-" + strings.Repeat("0", 32) + "-0123456789abcdef-01", ""},
	} {
		var out bytes.Buffer
		j := journal.New(&out, "jit-host")
		handler := journal.Trace(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			_ = j.Record(r.Context(), access.Event{Action: access.SelfApproved})
		}))
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set(test.header, test.value)
		handler.ServeHTTP(httptest.NewRecorder(), r)
		if got := read(t, out.Bytes()).Trace; got != test.want {
			t.Errorf("%s: %q gave %q, want %q", test.header, test.value, got, test.want)
		}
	}
}

func FuzzOneEventIsOneLine(f *testing.F) {
	f.Add("Bug 4711", "mail: 550 no")
	f.Add("a\r\n\u202e\xff", "Bearer \xc3\x28")
	f.Fuzz(func(t *testing.T, justification, cause string) {
		r := request()
		r.Justification = justification
		e := record(t, access.Event{Action: access.GrantFailed, Caller: ana, Request: r, Err: errors.New(cause)})
		if len(justification) < 1000 && e.Labels["justification"] != strings.ToValidUTF8(justification, "\uFFFD") && utf8.ValidString(justification) && justification != "" {
			t.Errorf("justification %q became %q", justification, e.Labels["justification"])
		}
	})
}

func FuzzTraceHeader(f *testing.F) {
	f.Add("0123456789abcdef0123456789abcdef/12345;o=1", "")
	f.Add("", "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01")
	f.Fuzz(func(t *testing.T, cloud, parent string) {
		var out bytes.Buffer
		j := journal.New(&out, "p")
		r := httptest.NewRequest("GET", "/", nil)
		r.Header = http.Header{"X-Cloud-Trace-Context": {cloud}, "Traceparent": {parent}}
		journal.Trace(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			_ = j.Record(r.Context(), access.Event{Action: access.SelfApproved})
		})).ServeHTTP(httptest.NewRecorder(), r)
		if trace := read(t, out.Bytes()).Trace; trace != "" && (len(trace) != len("projects/p/traces/")+32 || strings.Trim(trace[18:], "0123456789abcdef") != "") {
			t.Errorf("trace %q", trace)
		}
	})
}

// What is no resource of Google Cloud's is not named as if it were, and where nobody is asked
// by name the line says so.
func TestARequestElsewhereThanAtGoogle(t *testing.T) {
	e := record(t, access.Event{Action: access.RequestMade, Caller: access.Caller{Principal: "ana@example.com", Method: "pomerium"},
		Request: access.Request{ID: "mpa-AAAAAAAAAAAAAAAA", Kind: access.Peers, Principal: "ana@example.com", Resource: "pomerium/jit-example",
			Entitlements: []access.EntitlementID{{Resource: "pomerium/jit-example", Role: "roles/access"}}, Duration: time.Hour}})
	if e.Labels["resource"] != "pomerium/jit-example" || e.Labels["entitlements"] != "roles/access on pomerium/jit-example" ||
		!strings.Contains(e.Message, "asking nobody by name") {
		t.Errorf("%+v", e)
	}
}
