package main

import (
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/broker"
	"jitaccess/internal/sandbox/chat"
)

// Secrets of the chats here.
const (
	slackToken    = "xoxb-CANARY-slack-0000"
	chatWebhook   = "https://chat.googleapis.com/v1/spaces/AAAA/messages?key=CANARY-key&token=CANARY-token"
	teamsWorkflow = "/workflows/w1/triggers/manual/paths/invoke?api-version=2016-06-01&sig=CANARY-signature"
)

// withChats is a world with Slack, Google Chat and Teams, and a ledger if there is to be one.
func withChats(t *testing.T, remembers bool, environment map[string]string) (*world, *chat.Chats) {
	t.Helper()
	chats := chat.New(chat.Options{Now: time.Now, People: []string{alice, bob, carol}, Channels: []string{"access", "ops"},
		SlackToken: slackToken, SpaceKey: "CANARY-token", WorkflowSignature: "CANARY-signature",
		WebhookKey: []byte(strings.Repeat("w", 32))})
	server := httptest.NewServer(chats.Handler())
	t.Cleanup(server.Close)
	w := newWorld(t, surroundings{})
	env := map[string]string{"SLACK_TOKEN": slackToken, "SLACK_CHANNEL": "#access", "GOOGLE_CHAT_WEBHOOK": chatWebhook,
		"TEAMS_WEBHOOK": server.URL + teamsWorkflow, "JITACCESS_CHAT_ENDPOINT": server.URL, "ADMINS": "user:" + bob}
	if remembers {
		for name, value := range onDisk(w, filepath.Join(t.TempDir(), "jitaccess.db")) {
			env[name] = value
		}
	}
	for name, value := range environment {
		env[name] = value
	}
	w.restart(env)
	return w, chats
}

// shown are the messages in a place, as SERVICE: TITLE, the newest first.
func shown(c *chat.Chats, place string) (titles []string) {
	for _, m := range c.Messages() {
		if m.Place == place {
			titles = append(titles, m.Service+": "+m.Title)
		}
	}
	return titles
}

// A request and its decision are told in each chat: in Slack the messages change, in Google
// Chat the decision follows in the thread, in Teams it is another card. Nobody reads a secret.
func TestChatsTellOfARequestAndItsDecision(t *testing.T) {
	w, chats := withChats(t, true, nil)
	ref, _ := w.ask()
	for place, want := range map[string][]string{
		bob:               {"Slack: Request for access"},
		"#access":         {"Slack: Request for access"},
		"AAAA":            {"Google Chat: Request for access"},
		"Access requests": {"Microsoft Teams: Request for access"},
		alice:             nil,
	} {
		if got := shown(chats, place); !slices.Equal(got, want) {
			t.Errorf("asked, %s: %q, want %q", place, got, want)
		}
	}
	for _, m := range chats.Messages() {
		if len(m.Links) != 1 || !strings.HasPrefix(m.Links[0].URL, w.public+"/") {
			t.Errorf("%s leads to %v", m.Service, m.Links)
		}
	}
	w.api(bob, decideURL(ref), dict{}).expect(t, 200)
	for place, want := range map[string][]string{
		bob:               {"Slack: Access approved"},
		alice:             {"Slack: Access approved"},
		"#access":         {"Slack: Access approved"},
		"AAAA":            {"Google Chat: Access approved", "Google Chat: Request for access"},
		"Access requests": {"Microsoft Teams: Access approved", "Microsoft Teams: Request for access"},
	} {
		if got := shown(chats, place); !slices.Equal(got, want) {
			t.Errorf("approved, %s: %q, want %q", place, got, want)
		}
	}
	var threads []string
	for _, m := range chats.Messages() {
		if m.Service == "Google Chat" {
			threads = append(threads, m.Thread)
		}
	}
	if len(slices.Compact(threads)) != 1 {
		t.Errorf("Google Chat has threads %q", threads)
	}
	page := w.page(bob, "/notifications").expect(t, 200)
	says(t, page, "Slack", "Google Chat", "Microsoft Teams", "Accepted by the workflow is not shown", "accepted Request for review")
	if text := page.body + w.log.String(); strings.Contains(text, "CANARY") {
		t.Errorf("a secret is told:\n%s", text)
	}
}

// swept begins the service of a world again, without a sweeper of its own, and returns what
// sweeps.
func (w *world) swept(t *testing.T) func() {
	t.Helper()
	w.setup.byHand = true
	w.restart(nil)
	s := w.running()
	return func() {
		t.Helper()
		if _, err := s.broker.Sweep(t.Context(), broker.SweepCount); err != nil {
			t.Fatal(err)
		}
	}
}

// A chat that is down is a warning of the action and, with a ledger, told again by the sweep: that
// chat alone, once. Without a ledger it is a warning alone.
func TestAChatThatIsDownIsToldLater(t *testing.T) {
	down := chat.Fault{Status: 503, Body: "busy"}
	paths := []string{"/api/chat.postMessage", "/v1/spaces/AAAA/messages", "/workflows/w1/triggers/manual/paths/invoke"}
	for _, remembers := range []bool{true, false} {
		w, chats := withChats(t, remembers, nil)
		sweep := w.swept(t)
		for _, path := range paths {
			chats.Fail(path, down, down)
		}
		a := w.api(alice, askURL, askBody(nil)).expect(t, 200, "bob@example.com could not be told by Slack", "Slack could not be told",
			"Google Chat could not be told", "Microsoft Teams could not be told")
		if len(chats.Messages()) != 0 || len(w.mail.Messages()) != 1 || strings.Contains(a.body, "busy") {
			t.Fatalf("%d messages, %d mails: %s", len(chats.Messages()), len(w.mail.Messages()), a.body)
		}
		want := 0
		if remembers {
			w.pass(10 * time.Minute)
			sweep()
			w.pass(10 * time.Minute)
			sweep()
			want = 4
		}
		if got := chats.Messages(); len(got) != want || len(w.mail.Messages()) != 1 {
			t.Errorf("remembers %t: %d messages, %d mails", remembers, len(got), len(w.mail.Messages()))
		}
		if strings.Contains(w.log.String(), "CANARY") {
			t.Errorf("a secret is in the log:\n%s", w.log)
		}
	}
}

// In the middle of a decision one chat hangs back: the others are told, the message in Slack changes
// later, and none is sent twice.
func TestADecisionIsToldLaterWhereAChatWasDown(t *testing.T) {
	w, chats := withChats(t, true, nil)
	sweep := w.swept(t)
	ref, _ := w.ask()
	chats.Fail("/api/chat.update", chat.Fault{Status: 200, Body: `{"ok":false,"error":"ratelimited"}`}, chat.Fault{Status: 500}, chat.Fault{Status: 500})
	w.api(bob, decideURL(ref), dict{}).expect(t, 200)
	w.pass(10 * time.Minute)
	sweep()
	for place, want := range map[string]string{bob: "Slack: Access approved", alice: "Slack: Access approved", "#access": "Slack: Access approved",
		"AAAA": "Google Chat: Access approved, Google Chat: Request for access", "Access requests": "Microsoft Teams: Access approved, Microsoft Teams: Request for access"} {
		if got := strings.Join(shown(chats, place), ", "); got != want {
			t.Errorf("%s: %s, want %s", place, got, want)
		}
	}
	// What nobody gets mail of changes it, too.
	w.pass(4 * time.Hour)
	sweep()
	sweep()
	if got := shown(chats, "#access"); !slices.Equal(got, []string{"Slack: Access is over"}) {
		t.Errorf("over: %q", got)
	}
}

// Without a ledger there are no messages to change: what comes next is sent.
func TestWithoutALedgerChatsAreToldAnew(t *testing.T) {
	w, chats := withChats(t, false, nil)
	ref, _ := w.ask()
	w.api(bob, decideURL(ref), dict{}).expect(t, 200)
	if got := shown(chats, "#access"); !slices.Equal(got, []string{"Slack: Access approved", "Slack: Request for access"}) {
		t.Errorf("%q", got)
	}
	if !strings.Contains(w.log.String(), "without DATABASE_URL nothing is told again that a chat did not take") {
		t.Error("the operator is not told")
	}
}

// The button of each chat tells in it.
func TestChatsAreTriedFromThePage(t *testing.T) {
	w, chats := withChats(t, false, nil)
	for channel, said := range map[string]string{"slack": "Slack took the test message.", "googlechat": "Google Chat took the test message.",
		"teams": "The workflow accepted the test message. Accepted is not shown."} {
		says(t, w.form(bob, "/notifications", url.Values{"channel": {channel}}).expect(t, 200), said)
	}
	if n := len(chats.Messages()); n != 4 { // in Slack to bob, and in the channel
		t.Errorf("%d messages", n)
	}
	chats.SetSlackToken("xoxb-another")
	page := w.form(bob, "/notifications", url.Values{"channel": {"slack"}}).expect(t, 200)
	says(t, page, "Not every step of the test worked.", "failed token", "The token in SLACK_TOKEN is none of Slack's.")
	if strings.Contains(page.body+w.log.String(), "CANARY") {
		t.Error("a secret is told")
	}
}
