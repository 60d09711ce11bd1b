package main

import (
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

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
		SlackToken: slackToken, SpaceKey: "CANARY-token", WorkflowSignature: "CANARY-signature"})
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
