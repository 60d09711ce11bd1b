package main

import (
	"bytes"
	"encoding/base64"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"jitaccess/internal/sandbox/chat"
)

// listensIn are the settings by which the program hears that listens.
func listensIn(w *world) map[string]string {
	return map[string]string{"WEBHOOK_URL": w.Environment["JITACCESS_CHAT_ENDPOINT"] + "/program", "WEBHOOK_SECRET": programKey}
}

const programKey = "whsec_d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3c="

// doctor says of each channel what is wrong with it and what to do, sends nothing unless it is asked to, and
// refuses what the service refuses.
func TestDoctorLooksAtChannels(t *testing.T) {
	const workflow, methods = "/workflows/w1/triggers/manual/paths/invoke", "/api/"
	denied := chat.Fault{Status: 200, Body: `{"ok":false,"error":"missing_scope","needed":"chat:write"}`}
	for _, c := range []struct {
		name   string
		change map[string]string
		path   string
		fault  chat.Fault
		to     recipients
		says   []string
		sent   int
	}{
		{"all is well", nil, "", chat.Fault{}, recipients{}, []string{"ok       slack: token: it is that of the app", "ok       googlechat: secret:", "ok       teams: secret:",
			"ok       webhook: secret: where to could be read: 127.0.0.1"}, 0},
		{"a test message by each", nil, "", chat.Fault{}, recipients{messages: bob}, []string{"ok       slack: direct message: Slack took one to bob@example.com",
			"ok       slack: channel: Slack took one to #access", "ok       googlechat: message:", "ok       teams: accepted: the workflow took it, which is not yet that Teams shows it",
			"ok       webhook: message: 127.0.0.1"}, 5},
		{"a wrong token", map[string]string{"SLACK_TOKEN": "xoxb-another"}, "", chat.Fault{}, recipients{}, []string{"broken   slack: ", "The token in SLACK_TOKEN is none of Slack's."}, 0},
		{"an unknown channel", map[string]string{"SLACK_CHANNEL": "#nowhere"}, "", chat.Fault{}, recipients{messages: bob},
			[]string{"broken   slack: channel: ", "channel_not_found", "/invite"}, 4},
		{"a scope that is missing", nil, methods + "chat.postMessage", denied, recipients{messages: bob}, []string{"broken   slack: direct message: ", "The app lacks a permission."}, 3},
		{"a workflow that is gone", nil, workflow, chat.Fault{Status: 404}, recipients{messages: bob}, []string{"broken   teams: message: ", "turned off, or was removed"}, 4},
		{"a space that does not let it", nil, "/v1/spaces/AAAA/messages", chat.Fault{Status: 403, Body: `{"error":{"status":"PERMISSION_DENIED"}}`}, recipients{messages: bob},
			[]string{"broken   googlechat: message: ", "may not post in the space"}, 4},
		{"a program that takes no signature", nil, "/program", chat.Fault{Status: 401}, recipients{messages: bob}, []string{"broken   webhook: message: ", "does not take the signature"}, 4},
		{"a dead URL", map[string]string{"WEBHOOK_URL": "http://127.0.0.1:1/CANARY"}, "", chat.Fault{}, recipients{messages: bob},
			[]string{"broken   webhook: message: ", "Nothing takes connections at 127.0.0.1:1"}, 4},
		{"keys for other addresses", map[string]string{"WEBHOOK_SECRET": programKey + "," + programKey}, "", chat.Fault{}, recipients{},
			[]string{"broken   channels: ", "1 address, and keys for 2"}, 0},
		{"a webhook that is none", map[string]string{"GOOGLE_CHAT_WEBHOOK": "https://chat.googleapis.com/v1/spaces/AAAA/other?key=CANARY&token=CANARY"}, "", chat.Fault{}, recipients{},
			[]string{"broken   channels: ", "no address of a webhook of a space"}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, chats := withChats(t, false, nil)
			env := listensIn(w)
			maps.Copy(env, c.change)
			if c.path != "" {
				chats.Fail(c.path, c.fault)
			}
			var out bytes.Buffer
			code := examine(t.Context(), w.env(env), c.to, w.mail.Roots, &out)
			for _, text := range c.says {
				if !strings.Contains(out.String(), text) {
					t.Errorf("does not say %q:\n%s", text, out.String())
				}
			}
			if broken := strings.Contains(c.says[0], "broken"); len(chats.Messages()) != c.sent || (code == exitFailure) != broken || strings.Contains(out.String(), "CANARY") {
				t.Errorf("sent %d, code %d:\n%s", len(chats.Messages()), code, out.String())
			}
		})
	}
}

// The page shows who listens, and which of them wants no more, by their hosts alone; its button tells in
// the program.
func TestWebhooksOnThePage(t *testing.T) {
	gone := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusGone) }))
	t.Cleanup(gone.Close)
	key := "whsec_" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat("k", 32)))
	w, chats := withChats(t, false, nil)
	env := listensIn(w)
	env["WEBHOOK_URL"], env["WEBHOOK_SECRET"] = env["WEBHOOK_URL"]+","+gone.URL+"/CANARY", env["WEBHOOK_SECRET"]+","+key
	w.restart(env)
	page := w.form(bob, "/notifications", url.Values{"channel": {"webhook"}}).expect(t, 200)
	says(t, page, "Not every step of the test worked.", "nobody wants to hear anything there any more", "answered 410 and gets no more", "Webhooks")
	var got []string
	for _, m := range chats.Messages() {
		got = append(got, m.Service+": "+m.Title)
	}
	if strings.Join(got, ", ") != "Webhook: test" || strings.Contains(page.body+w.log.String(), "CANARY") || strings.Contains(page.body, key) {
		t.Errorf("%q, or a secret is told:\n%s", got, page.body)
	}
}
