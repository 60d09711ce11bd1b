package pubsub_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/gcp/gcptest"
	"jitaccess/internal/gcp/pubsub"
)

var _ broker.Notifier = (*pubsub.Publisher)(nil)

var at = time.Date(2024, 8, 22, 1, 40, 0, 0, time.UTC)

func notice(kind access.NoticeKind, ids ...access.EntitlementID) access.Notice {
	if ids == nil {
		ids = []access.EntitlementID{{Resource: "projects/shop-prod", Role: "roles/compute.admin", Condition: `resource.name == "a"`}}
	}
	return access.Notice{
		Kind: kind,
		Request: access.Request{
			ID: "mpa-AAAAAAAAAAAAAAAA", Principal: "ana@example.com", Resource: "projects/shop-prod", Entitlements: ids,
			Justification: `Bug <4711> "ü" & 😀`, Reviewers: []access.Principal{"boris@example.com", "chen@example.com"},
			Duration: time.Hour, Expires: at.Add(30 * time.Minute),
		},
		To:        []access.Principal{"boris@example.com", "chen@example.com"},
		Decision:  access.Decision{Verdict: access.Approve, By: "boris@example.com", Comment: "go"},
		Window:    access.Window{Start: at, End: at.Add(time.Hour)},
		ReviewURL: "https://jit.example.com/?activation=A~~B~C&projectId=shop-prod",
		BaseURL:   "https://jit.example.com/",
	}
}

// published sends a notice and returns what arrived at which path.
func published(t *testing.T, topic string, n access.Notice) (path string, data map[string]any) {
	t.Helper()
	p := publisher(t, topic, func(w http.ResponseWriter, r *http.Request) {
		var body struct {
			Messages []map[string]any `json:"messages"`
		}
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil || len(body.Messages) != 1 || len(body.Messages[0]) != 1 {
			t.Errorf("not one message with nothing but data: %v, %v", body, err)
			return
		}
		text, err := base64.StdEncoding.DecodeString(body.Messages[0]["data"].(string))
		if err == nil {
			err = json.Unmarshal(text, &data)
		}
		if err != nil {
			t.Error(err)
		}
		path = r.Method + " " + r.URL.Path
		gcptest.Answer(w, map[string]any{"messageIds": []string{"1"}})
	})
	receipts := p.Notify(t.Context(), n)
	if len(receipts) != 1 || receipts[0] != (access.Receipt{Channel: "pubsub", Ref: "1"}) {
		t.Fatal(receipts)
	}
	return path, data
}

func publisher(t *testing.T, topic string, handler http.HandlerFunc) *pubsub.Publisher {
	t.Helper()
	p, err := pubsub.New(gcptest.Start(t, handler).Platform, topic)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Point 8: the keys and JSON types that listeners of JIT Access 1.x know: no more, no less.
func TestMessagesAreThoseOfThePredecessor(t *testing.T) {
	const justification = `Bug <4711> "ü" & 😀`
	for _, c := range []struct {
		name string
		n    access.Notice
		want map[string]any
	}{
		{"a request to reviewers", notice(access.NoticeReview), map[string]any{"type": "RequestActivation", "attributes": map[string]any{
			"beneficiary": "ana@example.com", "project_id": "shop-prod", "role": "roles/compute.admin", "resource_condition": `resource.name == "a"`,
			"start_time": "2024-08-22T01:40:00Z", "end_time": "2024-08-22T02:40:00Z", "justification": justification,
			"reviewers": []any{"boris@example.com", "chen@example.com"}, "base_url": "https://jit.example.com/",
			"request_expiry_time": "2024-08-22T02:10:00Z", "action_url": "https://jit.example.com/?activation=A~~B~C&projectId=shop-prod",
		}}},
		{"an approval", notice(access.NoticeApproved), map[string]any{"type": "ActivationApproved", "attributes": map[string]any{
			"beneficiary": "ana@example.com", "project_id": "shop-prod", "role": "roles/compute.admin", "resource_condition": `resource.name == "a"`,
			"start_time": "2024-08-22T01:40:00Z", "end_time": "2024-08-22T02:40:00Z", "justification": justification,
			"reviewers": []any{"boris@example.com", "chen@example.com"}, "base_url": "https://jit.example.com/", "approver": "boris@example.com",
		}}},
		{"a broken glass, which is new", func() access.Notice {
			n := notice(access.NoticeGlass)
			n.Request.Reviewers = nil
			return n
		}(), map[string]any{"type": "ActivationGlassBroken", "attributes": map[string]any{
			"beneficiary": "ana@example.com", "project_id": "shop-prod", "role": "roles/compute.admin", "resource_condition": `resource.name == "a"`,
			"start_time": "2024-08-22T01:40:00Z", "end_time": "2024-08-22T02:40:00Z", "justification": justification,
			"reviewers": []any{}, "base_url": "https://jit.example.com/", "action_url": "https://jit.example.com/?activation=A~~B~C&projectId=shop-prod",
		}}},
		{"an activation without others, of several roles", notice(access.NoticeSelfApproved,
			access.EntitlementID{Resource: "projects/shop-prod", Role: "roles/a"}, access.EntitlementID{Resource: "projects/shop-prod", Role: "roles/b", Condition: "c"}),
			map[string]any{"type": "ActivationSelfApproved", "attributes": map[string]any{
				"beneficiary": "ana@example.com", "project_id": "shop-prod", "role": "roles/a, roles/b",
				"start_time": "2024-08-22T01:40:00Z", "end_time": "2024-08-22T02:40:00Z", "justification": justification,
			}}},
		{"no resource condition and no origin", func() access.Notice {
			n := notice(access.NoticeApproved, access.EntitlementID{Resource: "projects/example.com:shop", Role: "roles/a"})
			n.Request.Resource, n.Request.Reviewers, n.BaseURL = "projects/example.com:shop", nil, ""
			return n
		}(), map[string]any{"type": "ActivationApproved", "attributes": map[string]any{
			"beneficiary": "ana@example.com", "project_id": "example.com:shop", "role": "roles/a", "resource_condition": "",
			"start_time": "2024-08-22T01:40:00Z", "end_time": "2024-08-22T02:40:00Z", "justification": justification,
			"reviewers": []any{}, "base_url": "", "approver": "boris@example.com",
		}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, got := published(t, "jit", c.n)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// What time brings about: no window that nobody has looked up, and no link for who may not
// open the request.
func TestRemindersArePublished(t *testing.T) {
	const link = "https://jit.example.com/?activation=A~~B~C&projectId=shop-prod"
	attributes := func(more map[string]any) map[string]any {
		all := map[string]any{"beneficiary": "ana@example.com", "project_id": "shop-prod", "role": "roles/compute.admin",
			"resource_condition": `resource.name == "a"`, "justification": "Bug <4711> \"ü\" & 😀",
			"reviewers": []any{"boris@example.com", "chen@example.com"}, "base_url": "https://jit.example.com/"}
		maps.Copy(all, more)
		return all
	}
	for kind, want := range map[access.NoticeKind]map[string]any{
		access.NoticeReminder: {"type": "RequestReminder", "attributes": attributes(map[string]any{
			"request_expiry_time": "2024-08-22T02:10:00Z", "action_url": link})},
		access.NoticeEscalated: {"type": "RequestEscalated", "attributes": attributes(map[string]any{
			"request_expiry_time": "2024-08-22T02:10:00Z", "escalated_to": []any{"leads@example.com"}})},
		access.NoticeEnding: {"type": "ActivationEnding", "attributes": attributes(map[string]any{
			"start_time": "2024-08-22T01:40:00Z", "end_time": "2024-08-22T02:40:00Z", "action_url": link})},
	} {
		n := notice(kind)
		if kind == access.NoticeEscalated {
			n.To = []access.Principal{"leads@example.com"}
		}
		if kind != access.NoticeEnding {
			n.Window = access.Window{}
		}
		_, got := published(t, "jit", n)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", kind, diff)
		}
	}
}

func TestTopicIsShortOrFull(t *testing.T) {
	for topic, want := range map[string]string{
		"jit":                                   "POST /v1/projects/" + gcptest.Project + "/topics/jit:publish",
		"jit.access-events_1~+":                 "",
		"projects/other-1/topics/jit":           "POST /v1/projects/other-1/topics/jit:publish",
		"projects/example.com:other/topics/jit": "POST /v1/projects/example.com:other/topics/jit:publish",
	} {
		if got, _ := published(t, topic, notice(access.NoticeSelfApproved)); want != "" && got != want {
			t.Errorf("%s is published at %s", topic, got)
		}
	}
	g := gcptest.Start(t, gcptest.Refuse(500, "no"))
	for _, topic := range []string{
		"ab", "1jit", "-jit", "jit topic", "jit/../x", "..", "jit?x=y", "jit#x", "jit%2Fx", "jit:publish", "jit\n", "jït", strings.Repeat("a", 256),
		"projects/p/topics/", "projects/p/topics/ab", "projects/p/subscriptions/jit", "/projects/p/topics/jit", "projects/../topics/jit",
		"projects/p/topics/jit/x", "projects/P/topics/jit", "//pubsub.googleapis.com/projects/p/topics/jit", "topics/jit",
	} {
		if _, err := pubsub.New(g.Platform, topic); err == nil {
			t.Errorf("%q is accepted", topic)
		}
	}
}

func TestNothingIsPublishedWithoutATopicOrForADenial(t *testing.T) {
	g := gcptest.Start(t, gcptest.Refuse(500, "no"))
	for topic, n := range map[string]access.Notice{"": notice(access.NoticeReview), "jit": notice(access.NoticeDenied)} {
		p, err := pubsub.New(g.Platform, topic)
		if err != nil {
			t.Fatal(err)
		}
		if failed := p.Notify(t.Context(), n).Failed(); failed != nil || (len(p.Channels()) > 0) != (topic != "") {
			t.Errorf("topic %q: enabled %t, %v", topic, len(p.Channels()) > 0, failed)
		}
	}
	if n := g.Calls(""); n != 0 {
		t.Errorf("%d calls", n)
	}
}

func TestPublishingThatFails(t *testing.T) {
	for _, c := range []struct {
		status, calls int
		code          access.Code
	}{
		{403, 1, access.CodeServiceNotAllowed},
		{429, 1, access.CodeQuota}, // and all others as in package gcp
	} {
		t.Run(fmt.Sprint(c.status), func(t *testing.T) {
			g := gcptest.Start(t, gcptest.Refuse(c.status, "no"))
			p, err := pubsub.New(g.Platform, "jit")
			if err != nil {
				t.Fatal(err)
			}
			n := notice(access.NoticeReview)
			failed := p.Notify(t.Context(), n).Failed()
			if len(failed) != 1 || failed[0].Channel != "pubsub" || failed[0].To != "" || access.AsError(failed[0].Err).Code != c.code {
				t.Fatalf("got %v", failed)
			}
			if text := failed[0].Err.Error(); strings.Contains(text, "A~~B~C") || strings.Contains(text, "Bug") {
				t.Errorf("the error holds what was to be published: %s", text)
			}
			if n := g.Calls(":publish"); n != c.calls {
				t.Errorf("%d calls, want %d", n, c.calls)
			}
		})
	}
}

// An answer that names no message is no success.
func TestAnswerWithoutAMessageID(t *testing.T) {
	for _, body := range []string{`{}`, `{"messageIds":[]}`, `{"messageIds":["1","2"]}`, `<html>`, ``} {
		p := publisher(t, "jit", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, body) })
		if failed := p.Notify(t.Context(), notice(access.NoticeReview)).Failed(); len(failed) != 1 {
			t.Errorf("%q: %v", body, failed)
		}
	}
}

func TestNothingIsPublishedAfterTheDeadline(t *testing.T) {
	g := gcptest.Start(t, gcptest.Refuse(503, "no"))
	p, err := pubsub.New(g.Platform, "jit")
	if err != nil {
		t.Fatal(err)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if failed := p.Notify(over, notice(access.NoticeReview)).Failed(); len(failed) != 1 || access.AsError(failed[0].Err).Kind != access.TimedOut {
		t.Errorf("got %v", failed)
	}
	if n := g.Calls(":publish"); n != 0 {
		t.Errorf("%d calls", n)
	}
}
