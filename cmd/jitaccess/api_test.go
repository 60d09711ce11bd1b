package main

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
)

// TestInterfaceOf1x: every route that the pages of JIT Access 1.x call, in their
// order, with the members that they read.
func TestInterfaceOf1x(t *testing.T) {
	w := newWorld(t, surroundings{})
	var ref string
	for _, step := range []struct {
		route string
		do    func() answer
		has   []string
	}{
		{"alive", func() answer { return w.send("", w.request("GET", "/health/alive", nil)) }, []string{`"healthy":true`, `"details"`}},
		{"ready", func() answer { return w.send("", w.request("GET", "/health/ready", nil)) }, []string{`"healthy":true`}},
		{"policy", func() answer { return w.api(alice, "/api/policy", nil) },
			[]string{`"justificationHint"`, `"signedInUser":{"email":"alice@example.com"}`, `"applicationVersion"`, `"defaultActivationTimeout":60`, `"maxActivationTimeout":120`}},
		{"projects", func() answer { return w.api(alice, "/api/projects", nil) }, []string{`"projects":[`, `"shop-orders-prod"`, `"example.com:intranet"`}},
		{"roles", func() answer { return w.api(alice, "/api/projects/"+project+"/roles", nil) },
			[]string{`"warnings":[`, `"id":"` + selfID + `"`, `"activationType":"JIT"`, `"activationType":"MPA"`, `"status":"INACTIVE"`, `"status":"ACTIVE"`, `"validUntil":null`, `"resourceCondition":null`}},
		{"peers", func() answer { return w.api(alice, "/api/projects/"+project+"/peers?id="+url.QueryEscape(peerID), nil) }, []string{`"peers":[{"email":"bob@example.com"}]`}},
		{"self-activate", func() answer { return w.api(alice, selfURL, selfBody(nil)) },
			[]string{`"beneficiary":{"email":"alice@example.com"}`, `"isBeneficiary":true`, `"activationId":"jit-`, `"status":"ACTIVE"`, `"projectId":"` + project, `"startTime":`, `"endTime":`}},
		{"request", func() answer {
			a := w.api(alice, askURL, askBody(nil))
			if u, err := url.Parse(a.ReviewURL); err == nil {
				ref = u.Query().Get("activation")
			}
			return a
		}, []string{`"reviewers":[{"email":"bob@example.com"}]`, `"activationId":"mpa-`, `"status":"ACTIVATION_PENDING"`}},
		{"activation-request", func() answer { return w.api(bob, decideURL(ref), nil) }, []string{`"isBeneficiary":false`, `"isReviewer":true`, `"justification":"Node 7 hangs"`}},
		{"activation-request, approved", func() answer { return w.api(bob, decideURL(ref), dict{}) }, []string{`"status":"ACTIVE"`}},
		{"and again", func() answer { return w.api(bob, decideURL(ref), dict{}) }, []string{`"status":"ACTIVE"`}},
		{"a domain-scoped project", func() answer { return w.api(alice, "/api/projects/example.com:intranet/roles", nil) }, []string{`"id":"example.com:intranet:roles/storage.admin"`}},
	} {
		a := step.do()
		if a.expect(t, 200, step.has...); t.Failed() {
			t.Fatalf("at %s", step.route)
		}
	}
	links := 0
	for _, m := range w.mail.Messages() {
		if strings.Contains(m.Data, "bob@example.com") {
			links++
		}
		if !m.TLS {
			t.Error("a mail went in clear text")
		}
	}
	if links != 2 {
		t.Errorf("%d mails: one asks, one tells", links)
	}
}

// TestChangesComeFromOurOwnPages: a form of another site, and a call that a browser
// could be made to send, change nothing.
func TestChangesComeFromOurOwnPages(t *testing.T) {
	w := newWorld(t, surroundings{})
	before, _ := w.cloud.Policy("projects/" + project)
	form := activateForm(w.formID(access.Self)).Encode()
	for rule, header := range map[string]map[string]string{
		"no origin":             {},
		"another origin":        {"Origin": "https://evil.example"},
		"a null origin":         {"Origin": "null"},
		"another site":          {"Sec-Fetch-Site": "cross-site"},
		"a neighbour":           {"Sec-Fetch-Site": "same-site"},
		"our host in the wrong": {"Origin": "https://evil.example/" + w.public},
	} {
		w.pass(10 * time.Second)
		r := w.request("POST", "/access/projects/"+project, strings.NewReader(form))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		for k, v := range header {
			r.Header.Set(k, v)
		}
		if a := w.send(alice, r); a.status != 403 {
			t.Errorf("%s: %d", rule, a.status)
		}
	}
	r := w.request("POST", selfURL, strings.NewReader(encoded(t, selfBody(nil))))
	r.Header.Set("Content-Type", "application/json")
	w.send(alice, r).expect(t, 400, "missing-header")
	if after, _ := w.cloud.Policy("projects/" + project); string(after) != string(before) {
		t.Error("the policy changed")
	}
}
