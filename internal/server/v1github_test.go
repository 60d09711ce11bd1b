package server_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/server"
)

// hub is a GitHub whose deliveries are a word: what is signed, pings, and what is asked for.
type hub struct {
	refused []string
	decided []access.State
	fails   error
}

func (h *hub) Read(_ context.Context, application string, _ http.Header, body []byte) (broker.AskFor, bool, error) {
	word, template, _ := strings.Cut(string(body), " ")
	switch {
	case word != "signed":
		return broker.AskFor{}, false, &access.Error{Kind: access.Unauthenticated, Code: access.CodeBadDelivery, Err: errors.New("of another body")}
	case template == "":
		return broker.AskFor{}, false, nil
	}
	return broker.AskFor{Key: "github:1", Sent: access.Sent{Application: application, Template: template, Subject: "mona", Callback: "https://api.github.com/x"}}, true, nil
}

func (h *hub) Refused(_ context.Context, ask broker.AskFor, reason string) error {
	h.refused = append(h.refused, ask.Callback+" "+reason)
	return h.fails
}

func (h *hub) Decided(_ context.Context, r access.Request) error {
	h.decided = append(h.decided, r.State)
	return h.fails
}

// withHub is an interface at which GitHub asks.
func withHub(t *testing.T, a *asked) (*hub, http.Handler, *logBuffer) {
	t.Helper()
	g := &hub{}
	h, log := applications(t, a, func(c *server.Config) { c.Applications.GitHub = g })
	return g, h, log
}

func deliver(h http.Handler, path, body string) (int, string) {
	r := request("POST", path)
	r.Body = io.NopCloser(strings.NewReader(body))
	r.ContentLength = int64(len(body))
	w := do(h, r)
	return w.Code, w.Body.String()
}

// What GitHub sends is asked for, once, and what was decided is told again. Its answer has no
// token, since others than the application see it.
func TestADeliveryOfGitHub(t *testing.T) {
	a := newAsked()
	g, h, _ := withHub(t, a)
	status, body := deliver(h, "/v1/github/deployer", "signed deploy")
	if status != http.StatusAccepted || !strings.Contains(body, `"status":"pending"`) || !strings.Contains(body, `"url":"https://`) {
		t.Fatal(status, body)
	}
	if a.last.Application != "deployer" || a.last.Subject != "mona" || a.last.Origin == "" {
		t.Errorf("%+v", a.last)
	}
	if status, _ := deliver(h, "/v1/github/deployer", "signed deploy"); status != http.StatusAccepted || len(a.requests) != 1 || len(g.decided) != 0 {
		t.Error("again:", status, len(a.requests), g.decided)
	}
	a.becomes(access.AskedID("deployer", "github:1"), access.Active, ben)
	status, body = deliver(h, "/v1/github/deployer", "signed deploy")
	if status != http.StatusAccepted || strings.Contains(body, "token") || !strings.Contains(body, `"status":"approved"`) || len(g.decided) != 1 {
		t.Error("decided:", status, body, g.decided)
	}
	if status, _ := deliver(h, "/v1/github/deployer", "signed"); status != http.StatusNoContent {
		t.Error("a ping:", status)
	}
	if g.refused != nil {
		t.Error("GitHub is told of a refusal:", g.refused)
	}
	g.fails = &access.Error{Kind: access.Upstream, Code: access.CodeNotCalledBack, Err: errors.New("502")}
	if status, body := deliver(h, "/v1/github/deployer", "signed deploy"); status != http.StatusBadGateway {
		t.Error("it is not said that GitHub could not be told:", status, body)
	}
}

// Who waits at GitHub sees none of our answers: whatever keeps a deployment from being asked for
// rejects it, and only what is asked for already is left alone.
func TestADeliveryThatCannotBeAskedFor(t *testing.T) {
	for _, c := range []struct {
		fails   error
		status  int
		rejects bool
	}{
		{&access.Error{Kind: access.Invalid, Code: access.CodeUnknownTemplate}, 400, true},
		{&access.Error{Kind: access.NotAllowed, Code: access.CodeUnlinkedSubject}, 403, true},
		{&access.Error{Kind: access.NotFound, Code: access.CodeUnknownApplication}, 404, true},
		{&access.Error{Kind: access.Unavailable, Code: access.CodeLedgerUnavailable}, 503, true},
		{errors.New("broken"), 500, true},
		{&access.Error{Kind: access.Conflict, Code: access.CodeKeyReused}, 409, false},
	} {
		a := newAsked()
		g, h, _ := withHub(t, a)
		a.fails = c.fails
		status, _ := deliver(h, "/v1/github/deployer", "signed deploy")
		if status != c.status || (len(g.refused) == 1) != c.rejects || c.rejects && !strings.HasPrefix(g.refused[0], "https://api.github.com/x ") {
			t.Errorf("%v: %d, %q", c.fails, status, g.refused)
		}
	}
	a := newAsked()
	g, h, log := withHub(t, a)
	a.fails, g.fails = errors.New("broken"), errors.New("unreachable")
	if deliver(h, "/v1/github/deployer", "signed deploy"); !strings.Contains(log.String(), "cancel its run at GitHub") {
		t.Errorf("nobody hears that it waits for ever:\n%s", log)
	}
}

// A flood of deliveries is slowed down, and what is left out is rejected.
func TestDeliveriesArePaced(t *testing.T) {
	a := newAsked()
	g, h, _ := withHub(t, a)
	status := 0
	for range 2000 {
		if status, _ = deliver(h, "/v1/github/deployer", "signed deploy"); status != http.StatusAccepted {
			break
		}
	}
	if status != http.StatusTooManyRequests || len(g.refused) != 1 {
		t.Error(status, g.refused)
	}
	if status, _ := deliver(h, "/v1/github/other", "signed deploy"); status != http.StatusAccepted {
		t.Error("another application is slowed down too:", status)
	}
}

// Nobody is let in who has signed nothing, and is told nothing; the log is.
func TestADeliveryThatIsNotSigned(t *testing.T) {
	a := newAsked()
	g, h, log := withHub(t, a)
	status, body := deliver(h, "/v1/github/deployer", "forged deploy")
	if status != http.StatusUnauthorized || strings.Contains(body, "another body") || len(a.requests) > 0 || g.refused != nil {
		t.Error(status, body, g.refused)
	}
	if !strings.Contains(log.String(), "application.authenticate") || !strings.Contains(log.String(), "of another body") {
		t.Errorf("the log does not say why:\n%s", log)
	}
	for path, want := range map[string]int{"/v1/github/": 404, "/v1/github/a/b": 404} {
		if status, _ := deliver(h, path, "signed deploy"); status != want {
			t.Errorf("%s: %d", path, status)
		}
	}
	for size, want := range map[int]int{100 << 10: 202, 2 << 20: 413} {
		if status, _ := deliver(h, "/v1/github/deployer", "signed deploy"+strings.Repeat(" ", size)); status != want {
			t.Errorf("%d bytes: %d, want %d", size, status, want)
		}
	}
	if status, _ := deliver(h, "/v1/approvals", strings.Repeat(" ", 100<<10)); status != 413 {
		t.Error("elsewhere as much may be sent:", status)
	}
}
