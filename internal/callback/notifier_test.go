package callback_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/application"
	"jitaccess/internal/broker"
	"jitaccess/internal/callback"
)

var _ broker.Notifier = callback.Notifier{}

// people are told by mail.
type people struct{ told []access.NoticeKind }

func (p *people) Channels() []access.Channel { return nil }
func (p *people) Notify(_ context.Context, n access.Notice) access.Receipts {
	p.told = append(p.told, n.Kind)
	return nil
}

type registry struct {
	all []application.Application
	err error
}

func (r registry) Applications(context.Context) ([]application.Application, error) {
	return r.all, r.err
}

func changed(url string) access.Notice {
	return access.Notice{ID: "n1", Kind: access.NoticeChanged,
		Request: access.Request{ID: "mpa-1", State: access.Active, Asking: access.Asking{Application: "deployer", Callback: url}}}
}

func TestWhoIsTold(t *testing.T) {
	var bodies []string
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		bodies = append(bodies, string(body))
	}))
	t.Cleanup(server.Close)
	host := strings.TrimPrefix(server.URL, "http://")
	deployer := application.Application{Name: "deployer", CallbackHosts: []string{host}, Keys: application.Known(application.Key{ID: "1", Secret: newest})}
	mail := &people{}
	n := callback.Notifier{People: mail, Registry: registry{all: []application.Application{deployer}}, Local: true,
		Sender: callback.Sender{Client: callback.NewClient(nil, callback.Reach{Loopback: true}), Now: func() time.Time { return time.Unix(1795881214, 0) }}}
	if failed := n.Notify(t.Context(), changed(server.URL+"/done")).Failed(); failed != nil {
		t.Fatal(failed)
	}
	var got map[string]any
	if len(bodies) != 1 || json.Unmarshal([]byte(bodies[0]), &got) != nil || got["type"] != "approval.approved" ||
		!strings.Contains(bodies[0], `"id":"mpa-1"`) || !strings.Contains(bodies[0], `"status":"approved"`) {
		t.Errorf("%q", bodies)
	}
	// Who is told otherwise is not called, and neither is who is while nobody knows which it is.
	other := n
	for name, c := range map[string]struct {
		other bool
		err   error
		calls int
	}{"told otherwise": {true, nil, 0}, "not told otherwise": {true, errors.New("502"), 0}, "not known": {false, errors.New("down"), 0}, "told like this": {false, nil, 1}} {
		bodies = bodies[:1]
		other.Others = func(_ context.Context, r access.Request) (bool, error) {
			if r.ID != "mpa-1" {
				t.Errorf("told of %q", r.ID)
			}
			return c.other, c.err
		}
		if failed := other.Notify(t.Context(), changed(server.URL+"/done")).Failed(); (failed != nil) != (c.err != nil) || len(bodies) != 1+c.calls {
			t.Errorf("%s: %v, %d calls", name, failed, len(bodies)-1)
		}
	}
	bodies = bodies[:1]
	n.Notify(t.Context(), access.Notice{Kind: access.NoticeApproved})
	if len(mail.told) != 1 || mail.told[0] != access.NoticeApproved || len(bodies) != 1 {
		t.Errorf("people are told %v", mail.told)
	}
	// What is named, and where the service is, counts when it is sent, not when it was asked for.
	elsewhere, unread, local := deployer, deployer, n
	elsewhere.CallbackHosts = []string{"deploy.example.com"}
	unread.Keys = func(context.Context) ([]application.Key, error) { return nil, errors.New("sealed with another key") }
	local.Local = false
	for name, n := range map[string]callback.Notifier{
		"the host is not named any more": {People: mail, Registry: registry{all: []application.Application{elsewhere}}, Local: true, Sender: n.Sender},
		"its key cannot be read":         {People: mail, Registry: registry{all: []application.Application{unread}}, Local: true, Sender: n.Sender},
		"there is no such application":   {People: mail, Registry: registry{}, Local: true, Sender: n.Sender},
		"they are not known":             {People: mail, Registry: registry{err: errors.New("down")}, Local: true, Sender: n.Sender},
		"the service is elsewhere":       local,
	} {
		if len(n.Notify(t.Context(), changed(server.URL+"/done")).Failed()) != 1 {
			t.Errorf("%s: told", name)
		}
	}
	if len(bodies) != 1 || len(mail.told) != 1 {
		t.Errorf("%q, %v", bodies, mail.told)
	}
}
