package main

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// A program that listens hears of everything, verifies it with the library of Standard Webhooks,
// and hears it again, by the same id, when it was out of order.
func TestAProgramListens(t *testing.T) {
	secret := "whsec_" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat("w", 32)))
	heard := make(chan [2]string, 10)
	next := func(t *testing.T, want string) string {
		t.Helper()
		select {
		case got := <-heard:
			if got[0] != want {
				t.Errorf("it hears %s, want %s", got[0], want)
			}
			return got[1]
		case <-time.After(time.Minute):
			t.Fatalf("it does not hear %s", want)
			return ""
		}
	}
	var down atomic.Bool
	var request atomic.Value
	listener := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		verifier, err := standardwebhooks.NewWebhook(secret)
		if err != nil || verifier.Verify(body, r.Header) != nil {
			t.Errorf("%v; not verified: %s", err, body)
		}
		var m struct {
			Type string
			Data struct{ ID, Requester, URL string }
		}
		if err := json.Unmarshal(body, &m); err != nil || m.Data.Requester != alice || m.Data.ID == "" {
			t.Errorf("%v: %s", err, body)
		}
		if strings.Contains(string(body), "why it is needed") {
			t.Errorf("the reason is told: %s", body)
		}
		request.Store(m.Data.ID)
		if down.Load() {
			m.Type += " while it is out of order"
			w.WriteHeader(http.StatusBadGateway)
		}
		heard <- [2]string{m.Type, r.Header.Get("Webhook-Id")}
	}))
	t.Cleanup(listener.Close)
	w := newWorld(t, surroundings{environment: map[string]string{"DATABASE_URL": "sqlite:" + filepath.Join(t.TempDir(), "jitaccess.db"), "SIGNING_KEY": crashKey,
		"WEBHOOK_URL": listener.URL + "/hook", "WEBHOOK_SECRET": secret, "K_SERVICE": "", "IAP_AUDIENCE": "/projects/264853019977/locations/europe-west1/services/jitaccess"}})
	const role = "roles/browser"
	w.add("projects/"+project, eligibleBinding(role, "has({}.multiPartyApprovalConstraint)", "alice", "bob"))
	asked := w.api("alice", "/api/projects/"+project+"/roles/request", dict{"entitlementId": project + ":" + role, "peers": []string{bob},
		"justification": "why it is needed", "activationTimeout": 5}).expect(t, 200)
	link, err := url.Parse(asked.ReviewURL)
	if err != nil {
		t.Fatal(err)
	}
	at := "/api/activation-request?activation=" + link.Query().Get("activation")
	next(t, "request.made")
	down.Store(true)
	w.api("bob", at, dict{}).expect(t, 200, `"status":"ACTIVE"`) // nothing waits for who does not listen
	missed := next(t, "request.granted while it is out of order")
	down.Store(false)
	w.pass(2 * time.Minute)
	w.api("alice", "/api/projects", nil).expect(t, 200) // whoever comes sweeps
	if again := next(t, "request.granted"); again != missed {
		t.Errorf("it was sent as %s, and again as %s", missed, again)
	}
	w.api("alice", "/api/requests/"+request.Load().(string)+"/end", dict{"resource": "projects/" + project}).expect(t, 200)
	next(t, "grant.ended")
}
