package channel_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/callback"
	"jitaccess/internal/channel"
	"jitaccess/internal/channel/teams"
	"jitaccess/internal/sandbox/chat"
)

// Each chat tells the same notices; testdata/told.txt has how they look.
func TestEachChatTellsTheSame(t *testing.T) {
	var all strings.Builder
	for _, k := range kinds {
		for _, n := range everything() {
			w := newWorld(t)
			for _, r := range k.make(w).Notify(within(t), n) {
				if r.Err != nil {
					t.Errorf("%s, %s %s: %v", k.name, n.Kind, n.Did, r.Err)
				}
			}
			fmt.Fprintf(&all, "%s, %s (%s):\n", k.name, n.Kind, n.Did)
			messages := w.Messages()
			slices.SortStableFunc(messages, func(a, b chat.Message) int { return strings.Compare(a.Place, b.Place) })
			for _, m := range messages {
				all.WriteString(text(m) + "\n")
			}
			if personal := channel.Personal(n); len(messages) == 0 && (!personal || k.name == "slack") || personal && k.name != "slack" && len(messages) > 0 {
				t.Errorf("%s, %s: %d messages", k.name, n.Kind, len(messages))
			}
			for _, run := range w.Runs() {
				if run.Fault != "" {
					t.Errorf("%s, %s: the workflow fails: %s", k.name, n.Kind, run.Fault)
				}
			}
		}
	}
	compare(t, "testdata/told.txt", all.String())
}

// hostile are texts that a chat could take for something else than text.
var hostile = []string{
	"<!channel> <!here> <!everyone>", "<@U00000002> <#C00000001|x>", "<https://evil.example|the request>", "</at> <at>Everybody</at>",
	"[the request](https://evil.example)", "*bold* _it_ ~no~ `code` :tada:", "<users/all> <users/1>", "<b>x</b><a href=\"https://evil.example\">here</a>",
	"&lt;!channel&gt; &amp;", "\u202egnp.exe\u2066 \u200b\u00ad", "line one\nReason: approved\r\nApproved by: root@example.com", "{{DATE(2026-01-01)}} ${x} @{triggerBody()}",
	"\"}],\"text\":\"<!channel>\"", strings.Repeat("W", 10_000), strings.Repeat("<&>", 3_400), strings.Repeat("\U0001f468\u200d\U0001f469", 2_000), "\xff\xfe not UTF-8 \x00\x1b[31m",
}

// Whatever people write, and roles are called, is text, all the same in what notifications show; and
// everything that is sent fits, with the link in it.
func TestHostileTextIsText(t *testing.T) {
	for _, k := range kinds {
		var all strings.Builder
		for _, said := range hostile {
			w := newWorld(t)
			n := after(asked(ben), access.RequestDenied, access.NoticeDenied)
			n.Request.Justification, n.Decision.Comment = said, said
			n.Roles = []access.RoleInfo{{Title: said, Description: said}}
			n.Declined = []access.Decision{{By: carl, Comment: said}}
			n.Request.Terms.Rule = said
			for _, r := range k.make(w).Notify(within(t), n) {
				if r.Err != nil {
					t.Errorf("%s, %.40q: %v", k.name, said, r.Err)
				}
			}
			for _, m := range w.Messages() {
				checkSent(t, k.name, m.Raw)
				if len(m.Links) != 1 || m.Links[0].URL != n.ReviewURL {
					t.Errorf("%s, %.40q leads to %v", k.name, said, m.Links)
				}
				if strings.Contains(m.Notification, "evil") || strings.Contains(m.Notification, "!channel") {
					t.Errorf("%s, %.40q: notified of %q", k.name, said, m.Notification)
				}
			}
			fmt.Fprintf(&all, "%.60q:\n%s\n", said, text(w.Messages()[0]))
		}
		compare(t, "testdata/hostile-"+k.name+".txt", all.String())
	}
}

// checkSent looks at the notation of what was sent, as each chat documents it.
func checkSent(t *testing.T, name string, raw json.RawMessage) {
	t.Helper()
	var sent any
	if err := json.Unmarshal(raw, &sent); err != nil {
		t.Fatalf("%s: no JSON: %v", name, err)
	}
	walk(sent, "", func(key string, object map[string]any, s string) {
		switch {
		case strings.ContainsAny(s, "\u202e\u2066\u200b\u00ad\x00\x1b"):
			t.Errorf("%s sends what is unseen: %.60q", name, s)
		case name == "slack" && key == "text" && object["type"] == nil && strings.ContainsAny(s, "<>"):
			t.Errorf("what notifications show has marks: %q", s)
		case name == "slack" && object["type"] == "mrkdwn" && key == "text" && s != "<https://jit.example.com/review?activation=A|See the request>":
			t.Errorf("more than the link is marked up: %q", s)
		case name == "googlechat" && key == "text" && strings.ContainsAny(s, "<>"):
			t.Errorf("a text of a card has marks: %.60q", s)
		case name == "teams" && key == "text" && object["type"] != "TextRun":
			t.Errorf("a text is no run: %.60q", s)
		}
	})
}

// walk calls do for every text of a JSON value, with its key and the object that it is in.
func walk(v any, key string, do func(key string, object map[string]any, s string)) {
	switch v := v.(type) {
	case map[string]any:
		for key, each := range v {
			if s, ok := each.(string); ok {
				do(key, v, s)
			}
			walk(each, key, do)
		}
	case []any:
		for _, each := range v {
			walk(each, key, do)
		}
	}
}

// As much as can be asked for at once fits in each, and what does not is left to the page.
func TestLongNoticesFit(t *testing.T) {
	for _, k := range kinds {
		w := newWorld(t)
		n := asked(ben)
		n.Request.Justification = strings.Repeat("Ä<&", 4000)
		n.Request.Entitlements, n.Roles = nil, nil
		for i := range 20 {
			n.Request.Entitlements = append(n.Request.Entitlements, access.EntitlementID{Resource: "projects/shop",
				Role: access.Role(fmt.Sprintf("roles/r%d", i)), Condition: strings.Repeat("<resource.name> ", 130)})
			n.Roles = append(n.Roles, access.RoleInfo{Title: strings.Repeat("T", 300), Description: strings.Repeat("\U0001f600", 600)})
		}
		for _, r := range k.make(w).Notify(within(t), n) {
			if r.Err != nil {
				t.Errorf("%s: %v", k.name, r.Err)
			}
		}
		for _, m := range w.Messages() {
			limit := map[string]int{"slack": 13_000, "googlechat": 32_000, "teams": 28 << 10}[k.name]
			if len(m.Links) != 1 || len(m.Raw) > limit {
				t.Errorf("%s: %d bytes, links %v", k.name, len(m.Raw), m.Links)
			}
		}
		for _, run := range w.Runs() {
			if run.Fault != "" {
				t.Errorf("%s: the workflow fails: %s", k.name, run.Fault)
			}
		}
	}
}

// With CHANNELS_SHOW_REASON=false nothing that people wrote is in a chat.
func TestTheReasonCanBeLeftOut(t *testing.T) {
	for _, k := range kinds {
		for _, hidden := range []bool{false, true} {
			w := newWorld(t)
			w.reasonless = hidden
			n := after(asked(ben), access.RequestDenied, access.NoticeDenied)
			k.make(w).Notify(within(t), n)
			for _, m := range w.Messages() {
				for _, wrote := range []string{"case 4711", "read-only role"} {
					if strings.Contains(string(m.Raw), wrote) == hidden {
						t.Errorf("%s, left out %t: %s", k.name, hidden, m.Raw)
					}
				}
			}
		}
	}
	w := newWorld(t)
	w.reasonless = true
	n := asked(ben)
	n.Request.Asking = access.Asking{Application: "deployer", Template: "deploy", Title: "WROTE title", Subject: string(ana),
		Data: []access.Datum{{Label: "WROTE label", Value: "WROTE value"}}}
	n.Request.Justification = "WROTE title"
	w.teams().Notify(within(t), n)
	if raw := string(w.Messages()[0].Raw); strings.Contains(raw, "WROTE") || !strings.Contains(raw, "deployer") {
		t.Errorf("what an application sent: %s", raw)
	}
}

// Threats: whatever answers, it is explained, bounded, and no secret is told: neither in errors, nor
// on the page.
func TestRefusalsAreExplainedAndTellNoSecret(t *testing.T) {
	// Each repeats what it was sent.
	const echo = "ECHO"
	echoes := map[string]string{"slack": "xoxb-CANARY-1", "googlechat": "CANARY-space, /v1/spaces/AAAA/messages?key=CANARY-key&token=CANARY-space",
		"teams": "CANARY-signature https://prod-1.logic.azure.com" + workflow + "?api-version=2016-06-01&sig=CANARY-signature"}
	huge := strings.Repeat("x", 1<<20)
	for _, test := range []struct {
		name  string
		fault chat.Fault
		code  map[string]string // by the chat; "" is any
		says  string
	}{
		{"HTML", chat.Fault{Status: 200, Body: "<html><title>Captive portal</title>" + echo}, map[string]string{"": "unreadable"}, "is none of those that it documents"},
		{"HTML of a refusal", chat.Fault{Status: 403, Body: "<html>" + echo}, map[string]string{"": "403"}, ""},
		{"a huge answer", chat.Fault{Status: 200, Body: huge}, map[string]string{"": "too long"}, "is none of those"},
		{"a redirect", chat.Fault{Status: 302, Header: map[string]string{"Location": "http://127.0.0.1:1/?" + echo}}, map[string]string{"": "redirected"}, "not followed"},
		{"a fault of its own", chat.Fault{Status: 503, Body: echo}, map[string]string{"": "5xx"}, "fault of its own"},
		{"gone", chat.Fault{Status: 404, Body: `{"error":{"code":404,"status":"NOT_FOUND","message":"` + echo + `"}}`},
			map[string]string{"slack": "404", "googlechat": "NOT_FOUND", "teams": "404"}, ""},
		{"an error at 200, as Slack has it", chat.Fault{Status: 200, Body: `{"ok":false,"error":"not_in_channel","note":"` + echo + `"}`},
			map[string]string{"slack": "not_in_channel", "googlechat": "unreadable"}, ""},
		{"an error at 200, as Google has it", chat.Fault{Status: 200, Body: `{"error":{"code":403,"status":"PERMISSION_DENIED","message":"` + echo + `"}}`},
			map[string]string{"slack": "unreadable", "googlechat": "PERMISSION_DENIED"}, ""},
		{"an error at 200, as Teams had it", chat.Fault{Status: 200, Body: "Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error 400 " + echo},
			map[string]string{"teams": "delivery failed"}, ""},
		{"a workflow that is off", chat.Fault{Status: 400, Body: `{"error":{"code":"WorkflowTriggerIsNotEnabled","message":"` + echo + `"}}`},
			map[string]string{"teams": "WorkflowTriggerIsNotEnabled"}, "turned off"},
		{"numbers for texts", chat.Fault{Status: 200, Body: `{"ok":1,"name":7,"error":9}`}, map[string]string{"slack": "unreadable", "googlechat": "unreadable"}, ""},
		{"an answer of nothing", chat.Fault{Status: 200, Body: `{}`}, map[string]string{"slack": "unreadable", "googlechat": "unreadable"}, ""},
		{"null", chat.Fault{Status: 200, Body: `null`}, map[string]string{"slack": "unreadable", "googlechat": "unreadable"}, ""},
		{"control characters", chat.Fault{Status: 400, Body: "\x1b[31m\u202e" + echo}, map[string]string{"": "400"}, ""},
	} {
		for _, k := range kinds {
			want, ok := test.code[k.name]
			if !ok {
				if want, ok = test.code[""]; !ok {
					continue
				}
			}
			w := newWorld(t)
			c := k.make(w)
			fault := test.fault
			fault.Body = strings.ReplaceAll(fault.Body, echo, echoes[k.name])
			w.Fail(k.path, fault, fault, fault)
			failed := c.Notify(within(t), asked(ben)).Failed()
			if len(failed) == 0 {
				t.Errorf("%s, %s: taken for a success", k.name, test.name)
				continue
			}
			err := failed[0].Err
			var f *channel.Fault
			if !errors.As(err, &f) || f.Code != want || f.Meaning == "" || f.Remedy == "" || !strings.Contains(f.Meaning, test.says) {
				t.Errorf("%s, %s: %#v", k.name, test.name, f)
			}
			attempt := c.Recent()[0].Failure
			secretless(t, k.name+", "+test.name, err.Error(), fmt.Sprintf("%+v", f), attempt.What, attempt.Meaning, attempt.Remedy)
			if len(err.Error()) > 1200 || strings.ContainsAny(err.Error(), "\x1b\u202e") {
				t.Errorf("%s, %s: %q", k.name, test.name, err)
			}
			steps := c.Test(within(t), ben)
			for _, s := range steps {
				secretless(t, "a test", fmt.Sprintf("%+v", s))
			}
			if k.name != "slack" && steps[len(steps)-1].Failure == nil { // of which a direct message is tried first
				t.Errorf("%s, %s: the test went well", k.name, test.name)
			}
		}
	}
}

// Too many: what the service says is waited for, in the time that there is; without a word of it,
// longer each time; and what cannot be waited for fails at once, for all until then.
func TestTooManyMessagesWaitAsTheyAreTold(t *testing.T) {
	for _, k := range kinds {
		for _, test := range []struct {
			name   string
			faults []chat.Fault
			slept  []time.Duration
			fails  bool
		}{
			{"for two seconds", []chat.Fault{{Status: 429, Header: map[string]string{"Retry-After": "2"}, Body: "slow"}}, []time.Duration{2 * time.Second}, false},
			{"for it does not say", []chat.Fault{{Status: 429}, {Status: 429}}, []time.Duration{time.Second, 2 * time.Second}, false},
			{"for a date", []chat.Fault{{Status: 429, Header: map[string]string{"Retry-After": "Fri, 27 Nov 2026 12:00:00 GMT"}}}, []time.Duration{time.Second}, false},
			{"for minus one", []chat.Fault{{Status: 429, Header: map[string]string{"Retry-After": "-1"}}}, []time.Duration{time.Second}, false},
			{"for an hour", []chat.Fault{{Status: 429, Header: map[string]string{"Retry-After": "3600"}}}, nil, true},
			{"for ever", []chat.Fault{{Status: 429}, {Status: 429}, {Status: 429}}, []time.Duration{time.Second, 2 * time.Second}, true},
		} {
			w := newWorld(t)
			w.place = ""
			c := k.make(w)
			w.Fail(k.path, test.faults...)
			failed := c.Notify(within(t), asked(ben)).Failed()
			if (len(failed) > 0) != test.fails || !slices.Equal(w.slept, test.slept) {
				t.Errorf("%s, %s: slept %v, failed %v", k.name, test.name, w.slept, failed)
			}
			if test.fails && channel.CodeOf(failed[0].Err) != channel.TooMany {
				t.Errorf("%s, %s: %v", k.name, test.name, failed)
			}
			if test.name == "for an hour" {
				before := len(w.Messages())
				next := asked(ben)
				next.ID = "N2"
				if len(c.Notify(within(t), next).Failed()) == 0 || len(w.Messages()) != before {
					t.Errorf("%s is asked again before it may be", k.name)
				}
			}
		}
	}
}

// A server that hangs takes no more time than there is, and none of the others'.
func TestAServerThatHangsIsLeft(t *testing.T) {
	free := make(chan struct{})
	hanging := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		select {
		case <-free:
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(hanging.Close)
	t.Cleanup(func() { close(free) })
	for _, k := range kinds {
		w := newWorld(t)
		w.server = hanging
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		failed := k.make(w).Notify(ctx, asked(ben)).Failed()
		if len(failed) == 0 || channel.CodeOf(failed[0].Err) != "timed out" {
			t.Errorf("%s: %v", k.name, failed)
		}
		secretless(t, k.name, fmt.Sprint(failed))
		if strings.Contains(failed[0].Err.Error(), hanging.URL) {
			t.Errorf("%s tells the address: %v", k.name, failed[0].Err)
		}
	}
}

// DNS that changes to an address of this machine, or of its network, changes nothing: it is the
// very connection that is looked at.
func TestNothingIsSentToAddressesThatAreNotPublic(t *testing.T) {
	w := newWorld(t)
	c := teams.New(channel.Config{Read: kept(strings.Replace(w.server.URL, "http:", "https:", 1) + workflow + "?sig=CANARY-signature"), Writer: w.writer(),
		Client: callback.NewClient(nil, callback.Reach{}), Now: w.now, Sleep: w.sleep})
	failed := c.Notify(within(t), asked(ben)).Failed()
	if len(failed) != 1 || channel.CodeOf(failed[0].Err) != "not public" || len(w.Messages()) != 0 {
		t.Errorf("%v", failed)
	}
	secretless(t, "teams", failed[0].Err.Error())
}

// A secret that cannot be read, or is no address, is the fault of the setting, and told nowhere.
func TestSecretsThatAreNone(t *testing.T) {
	for _, text := range []string{"CANARY", "http://CANARY.example.com/hook?sig=x", "https://user:CANARY@example.com/", "ftp://CANARY", "https://", "", "https://%zz/CANARY"} {
		w := newWorld(t)
		c := teams.New(channel.Config{Read: kept(text), Writer: w.writer(), Client: w.server.Client(), Now: w.now, Sleep: w.sleep})
		err := c.Notify(within(t), asked(ben))[0].Err
		if channel.CodeOf(err) != channel.Secret {
			t.Errorf("%q: %v", text, err)
		}
		secretless(t, text, err.Error())
	}
	w := newWorld(t)
	c := teams.New(channel.Config{Read: func(context.Context) (string, error) { return "", errors.New("permission denied on version 3") }, Writer: w.writer(),
		Client: w.server.Client(), Now: w.now, Sleep: w.sleep})
	if err := c.Probe(t.Context(), func(string, string) {}); channel.CodeOf(err) != channel.Secret || !strings.Contains(err.Error(), "permission denied on version 3") {
		t.Errorf("%v", err)
	}
}

// What is sent to see that a channel works says so, and each step is told.
func TestATestMessageIsOne(t *testing.T) {
	for _, k := range kinds {
		w := newWorld(t)
		c := k.make(w)
		var steps []string
		for _, s := range c.Test(within(t), ben) {
			if s.Failure != nil {
				t.Errorf("%s: %+v", k.name, s.Failure)
			}
			steps = append(steps, s.Name)
		}
		want := map[string]string{"slack": "secret, token, person, direct message, channel", "googlechat": "secret, message", "teams": "secret, accepted"}[k.name]
		if got := strings.Join(steps, ", "); got != want {
			t.Errorf("%s: %s, want %s", k.name, got, want)
		}
		for _, m := range w.Messages() {
			if m.Title != "Test message" || len(m.Links) != 0 {
				t.Errorf("%s: %+v", k.name, m)
			}
		}
		if recent := c.Recent(); len(recent) != 1 || recent[0].Kind != "test" || recent[0].Failure != nil {
			t.Errorf("%s: %+v", k.name, recent)
		}
	}
}
