package server_test

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"jitaccess/internal/access"
	"jitaccess/internal/server"
)

// lines are what has been logged.
func lines(t *testing.T, log *logBuffer) (all []map[string]any) {
	t.Helper()
	for line := range strings.Lines(log.String()) {
		var l map[string]any
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatal(err)
		}
		all = append(all, l)
	}
	return all
}

// What only reads is told to the log as JIT Access 1.x did: projects always, the
// rest when it fails; and who asked, with every request.
func TestReadsAreLogged(t *testing.T) {
	const (
		p      = "acme-orders-prod"
		place  = "project=acme-orders-prod project_id=acme-orders-prod resource=//cloudresourcemanager.googleapis.com/projects/acme-orders-prod"
		script = "/api"
	)
	failing := &access.Error{Kind: access.NotAllowed, Code: access.CodeNotInvolved}
	for _, c := range []struct {
		request string
		fails   string
		level   string
		event   string
		labels  string // NAME=VALUE, separated by spaces
	}{
		{"GET " + script + "/projects", "", "INFO", "api.listProjects", "count=3"},
		{"GET /", "", "INFO", "api.listProjects", "count=3"},
		{"GET " + script + "/projects", "Resources", "ERROR", "api.listProjects", ""},
		{"GET /", "Resources", "ERROR", "api.listProjects", ""},
		{"GET " + script + "/projects/" + p + "/roles", "Offer", "ERROR", "api.listEligibleRoles", place},
		{"GET /access/projects/" + p, "Offer", "ERROR", "api.listEligibleRoles", place},
		{"GET " + script + "/projects/" + p + "/peers?id=" + p + ":roles/iam.securityAdmin", "Reviewers", "ERROR", "api.listPeers", place + " role=roles/iam.securityAdmin"},
		{"GET " + script + "/projects/" + p + "/peers?role=" + p + ":roles/iam.securityAdmin", "Reviewers", "ERROR", "api.listPeers", place + " role=roles/iam.securityAdmin"},
		{"GET " + script + "/projects/" + p + "/peers?id=nothing", "", "ERROR", "api.listPeers", place},
		{"GET " + script + "/projects/..%2F..%2Fx/roles", "", "ERROR", "api.listEligibleRoles", ""},
		{"GET " + script + "/activation-request?activation=SECRET", "Show", "ERROR", "api.getActivationRequest", ""},
		{"GET /review?activation=SECRET", "Show", "ERROR", "api.getActivationRequest", ""},
		{"HEAD /review?activation=SECRET", "Show", "ERROR", "api.getActivationRequest", ""},
		{"GET /nothing?token=SECRET", "", "INFO", "http.refuse", ""},
		{"POST " + script + "/activation-request?activation=SECRET", "Decide", "WARN", "http.refuse", ""},
	} {
		t.Run(c.request+" "+c.fails, func(t *testing.T) {
			f := newWorld(t)
			if c.fails != "" {
				f.fails[c.fails] = failing
			}
			h, log := serve(t, f, nil)
			method, path, _ := strings.Cut(c.request, " ")
			r := request(method, path)
			w := do(h, r)
			all := lines(t, log)
			if len(all) != 2 {
				t.Fatalf("%d lines, want one for who asked and one for what: %v", len(all), all)
			}
			if all[0]["event"] != "iap.authenticate" || all[0]["level"] != "INFO" || all[0]["user"] != string(ana) || all[0]["user_id"] != "accounts.google.com:"+string(ana) {
				t.Errorf("who asked is told as %v", all[0])
			}
			got := all[1]
			if got["event"] != c.event || got["level"] != c.level || got["user"] != string(ana) || got["user_id"] == nil ||
				got["device_id"] == nil || got["device_access_levels"] == nil || got["method"] != "iap" {
				t.Errorf("what is told as %v, want %s of level %s", got, c.event, c.level)
			}
			for label := range strings.FieldsSeq(c.labels) {
				name, value, _ := strings.Cut(label, "=")
				if text, _ := json.Marshal(got[name]); strings.Trim(string(text), `"`) != value {
					t.Errorf("%s is %s, want %s", name, text, value)
				}
			}
			if c.level != "INFO" || c.event == "http.refuse" {
				if incident, _ := got["incident"].(string); incident == "" || method != "HEAD" && !strings.Contains(w.Body.String(), incident) {
					t.Errorf("the incident %q is not the one that was shown", incident)
				}
			}
			if strings.Contains(log.String(), "SECRET") {
				t.Errorf("the query is logged: %s", log)
			}
		})
	}
}

// Whoever could not be identified is an error of iap.authenticate, whatever the
// cause; a refusal by a guard is none of what was asked for.
func TestRefusalsOfIdentityAreLogged(t *testing.T) {
	for name, err := range map[string]error{
		"nobody":         &access.Error{Kind: access.Unauthenticated, Code: access.CodeNoIdentity},
		"a bad one":      errors.New("signature"),
		"keys not there": &access.Error{Kind: access.Unavailable, Code: access.CodeUpstreamFailed},
	} {
		h, log := serve(t, newWorld(t), func(c *server.Config) {
			c.Identify = func(*http.Request) (access.Caller, error) { return access.Caller{}, err }
		})
		do(h, request("GET", "/api/projects"))
		if all := lines(t, log); len(all) != 1 || all[0]["event"] != "iap.authenticate" || all[0]["level"] != "ERROR" || all[0]["user"] != nil {
			t.Errorf("%s: %v", name, all)
		}
	}
	h, log := serve(t, newWorld(t), nil)
	r := request("GET", "/api/projects")
	r.Header.Del("X-JITACCESS")
	do(h, r)
	if all := lines(t, log); len(all) != 2 || all[1]["event"] != "http.refuse" {
		t.Errorf("a missing header: %v", all)
	}
}

func TestHealthIsLoggedWhenItFails(t *testing.T) {
	h, log := serve(t, newWorld(t), func(c *server.Config) {
		c.Ready = func(context.Context) map[string]error {
			return map[string]error{"Good": nil, "Bad": errors.New("no answer")}
		}
	})
	do(h, request("GET", "/health/alive"))
	do(h, request("GET", "/health/ready"))
	if all := lines(t, log); len(all) != 1 || all[0]["event"] != "api.checkHealth" || all[0]["level"] != "WARN" || all[0]["dependency"] != "Bad" {
		t.Errorf("%v", all)
	}
}

// Everything that is logged on the way of a request carries the id that its refusal
// shows.
func TestIncidentIsKnownBeforeTheBrokerIsAsked(t *testing.T) {
	type key struct{}
	var marked []string
	b := &incidentBroker{world: newWorld(t), seen: func(ctx context.Context) {
		id, _ := ctx.Value(key{}).(string)
		marked = append(marked, id)
	}}
	h, _ := serve(t, b, func(c *server.Config) {
		c.Random = rand.NewChaCha8([32]byte{7})
		c.Incident = func(ctx context.Context, id string) context.Context { return context.WithValue(ctx, key{}, id) }
	})
	shown := regexp.MustCompile(`"incident":"([0-9A-Z]{4}-[0-9A-Z]{4})"`)
	for range 2 {
		r := request("GET", "/api/projects")
		found := shown.FindStringSubmatch(do(h, r).Body.String())
		if found == nil || found[1] != marked[len(marked)-1] {
			t.Errorf("shown %v, marked %v", found, marked)
		}
	}
	if len(marked) != 2 || marked[0] == marked[1] {
		t.Errorf("two requests have the ids %v", marked)
	}
}

// incidentBroker sees the context of a call and refuses it.
type incidentBroker struct {
	*world
	seen func(context.Context)
}

func (b *incidentBroker) Resources(ctx context.Context, _ access.Caller) ([]access.ResourceInfo, []*access.Error, error) {
	b.seen(ctx)
	return nil, nil, &access.Error{Kind: access.Upstream, Code: access.CodeUpstreamFailed}
}

// Each refusal carries an incident id, and the log has its cause under it.
func TestIncidentLeadsToTheCause(t *testing.T) {
	f := newWorld(t)
	f.fails["Offer"] = &access.Error{Kind: access.Upstream, Code: access.CodeUpstreamFailed, Err: os.ErrPermission}
	h, log := serve(t, f, nil)
	w := do(h, request("GET", "/access/projects/acme-orders-prod"))
	id := regexp.MustCompile(`Incident <code>([0-9A-Z]{4}-[0-9A-Z]{4})</code>`).FindStringSubmatch(w.Body.String())
	if id == nil || !strings.Contains(log.String(), `"incident":"`+id[1]+`"`) || !strings.Contains(log.String(), "permission denied") {
		t.Fatalf("incident %v; log %s", id, log)
	}
	if strings.Contains(w.Body.String(), "permission denied") {
		t.Error("the cause is shown")
	}
}
