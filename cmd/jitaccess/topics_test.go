package main

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"jitaccess/internal/sandbox/google"
)

// Point 10: topics and explicit reviewers, wherever a condition says so.
func TestTopicsAndReviewers(t *testing.T) {
	w := newWorld(t, surroundings{})
	const (
		resource = "projects/" + project
		role     = "roles/pubsub.editor"
		id       = project + ":" + role
		where    = ` && resource.name.startsWith("projects/_/topics/orders")`
	)
	w.add(resource,
		eligibleBinding(role, "has({}.externalApprovalConstraint.dba)", "alice", "frank"),
		eligibleBinding(role, "has({}.multiPartyApprovalConstraint.net)", "alice"),
		eligibleBinding(role, "has({}.reviewerPrivilege.dba)", "carol"),
		eligibleBinding(role, "has({}.reviewerPrivilege.security)", "dan.o'brien"),
		eligibleBinding(role, "has({}.reviewerPrivilege)", "erin"),
		eligibleBinding(role, "has({}.multiPartyApprovalConstraint.net)", "bob"),
		eligibleBinding(role, "has({}.reviewerPrivilege.dba)"+where, "bob"),
		eligibleBinding("roles/browser", "has({}.reviewerPrivilege)", "bob"))
	peers := func(person string) string {
		var all []string
		for _, p := range w.api(person, "/api/projects/"+project+"/peers?id="+id, nil).expect(t, 200).Peers {
			all = append(all, strings.TrimSuffix(p.Email, "@example.com"))
		}
		return strings.Join(all, " ")
	}
	ask := func(person string, reviewer string) answer {
		return w.api(person, "/api/projects/"+project+"/roles/request", dict{"entitlementId": id, "peers": []string{reviewer + "@example.com"}, "justification": "topics", "activationTimeout": 5})
	}
	// External and of a topic: its reviewers, and those of all topics; no peer.
	if got := peers("frank"); got != "carol erin" {
		t.Errorf("frank may ask %s", got)
	}
	// Held under two topics: the reviewers of both.
	if got := peers("alice"); got != "bob carol erin" {
		t.Errorf("alice may ask %s", got)
	}
	ask("frank", "bob").expect(t, http.StatusForbidden, "reviewer-not-eligible")
	ask("frank", "alice").expect(t, http.StatusForbidden, "reviewer-not-eligible")
	ask("frank", "dan.o'brien").expect(t, http.StatusForbidden, "reviewer-not-eligible")
	// Who may only review is offered nothing and may request nothing; who may only
	// request sees it as 1.x's pages know it.
	if text := w.api("carol", "/api/projects/"+project+"/roles", nil).expect(t, 200).body; strings.Contains(text, role) {
		t.Errorf("carol is offered it: %s", text)
	}
	ask("carol", "erin").expect(t, http.StatusForbidden, "not-eligible")
	w.api("frank", "/api/projects/"+project+"/roles", nil).expect(t, 200, `"id":"`+id+`","name":"`+role+`","resourceCondition":null,"activationType":"MPA"`)
	w.call("alice", "GET", "/access/"+resource, "").expect(t, 200, "Topic net, dba")
	w.call("frank", "GET", "/access/"+resource, "").expect(t, 200, "Topic dba")

	asked := ask("frank", "carol").expect(t, 200)
	link, err := url.Parse(asked.ReviewURL)
	if err != nil {
		t.Fatal(err)
	}
	at := "/api/activation-request?activation=" + link.Query().Get("activation")
	w.api("bob", at, dict{}).expect(t, http.StatusForbidden)
	// Carol reviews another topic by now, and then her own again.
	topic := func(from, to string) {
		w.bind(resource, func(bindings []google.Binding) []google.Binding {
			for _, b := range bindings {
				if b.Condition != nil && b.Condition.Expression == from && b.Members[0] == "user:carol"+"@example.com" {
					b.Condition.Expression = to
				}
			}
			return bindings
		})
	}
	topic("has({}.reviewerPrivilege.dba)", "has({}.reviewerPrivilege.sec)")
	w.api("carol", at, dict{}).expect(t, http.StatusForbidden, "reviewer-lost")
	topic("has({}.reviewerPrivilege.sec)", "has({}.reviewerPrivilege.dba)")
	w.api("carol", at, dict{}).expect(t, 200, `"status":"ACTIVE"`)
	if bound := w.described(resource, "Approved by carol@example.com, justification: topics"); len(bound) != 1 || strings.Contains(bound[0].Condition.Expression, "has(") {
		t.Errorf("wrote %+v", bound)
	}
}

// Point 14: a requester may ask more people while nobody has decided. The second
// link is the same request with the same clock, and the first stays good.
func TestMoreReviewersForAPendingRequest(t *testing.T) {
	w := newWorld(t, surroundings{})
	const (
		resource = "projects/" + project
		id       = project + ":roles/browser"
	)
	w.add(resource, eligibleBinding("roles/browser", "has({}.multiPartyApprovalConstraint)", "alice", "bob", "carol", "erin"))
	// Everybody who can be asked is chosen beforehand, up to the maximum.
	form := w.call("alice", "GET", "/access/"+resource+"?entitlement="+id, "").expect(t, 200).body
	if n := strings.Count(form, `@example.com" checked>`); n != 3 {
		t.Errorf("%d of 3 are chosen:\n%s", n, form)
	}
	asked := w.api("alice", "/api/projects/"+project+"/roles/request", dict{"entitlementId": id, "peers": []string{"bob@example.com"}, "justification": "more", "activationTimeout": 5}).expect(t, 200)
	query := func(link string) string {
		u, err := url.Parse(link)
		if err != nil {
			t.Fatal(err)
		}
		return "?activation=" + u.Query().Get("activation")
	}
	first := query(asked.ReviewURL)
	before := w.verifyAs1x(rawToken(first))

	w.call("alice", "GET", "/review"+first, "").expect(t, 200, "Ask more people")
	w.call("alice", "GET", "/review/reviewers"+first, "").expect(t, 200, `value="carol@example.com"`, `value="erin@example.com"`)
	w.call("bob", "GET", "/review/reviewers"+first, "").expect(t, http.StatusForbidden)
	post := func(person string, f url.Values) answer {
		return w.call(person, "POST", "/review/reviewers"+first, f.Encode(), "Content-Type", "application/x-www-form-urlencoded", "Origin", w.public)
	}
	post("alice", url.Values{}).expect(t, 400, "Nobody new")
	post("alice", url.Values{"reviewer": {"frank@example.com"}}).expect(t, http.StatusForbidden, "frank@example.com")
	post("bob", url.Values{"reviewer": {"carol@example.com"}}).expect(t, http.StatusForbidden)
	done := post("alice", url.Values{"reviewer": {"carol@example.com"}}).expect(t, http.StatusSeeOther)
	second := "?" + strings.SplitN(done.location, "?", 2)[1]

	after := w.verifyAs1x(rawToken(second))
	for _, claim := range []string{"jti", "iat", "exp", "start", "end", "beneficiary", "entitlement", "justification", "duration"} {
		if before[claim] != after[claim] {
			t.Errorf("%s is %v, was %v", claim, after[claim], before[claim])
		}
	}
	if got := encoded(t, after["reviewers"]); got != "[\"bob@example.com\",\"carol@example.com\"]" {
		t.Errorf("reviewers %s", got)
	}
	// Only who is new got a mail.
	for person, mails := range map[string]int{"alice": 1, "bob": 1, "carol": 1, "erin": 0} {
		n := 0
		for _, m := range w.mail.Messages() {
			n += strings.Count(strings.Join(m.To, " "), person+"@example.com")
		}
		if n != mails {
			t.Errorf("%s has %d mails, want %d", person, n, mails)
		}
	}
	w.call("carol", "GET", "/review"+first, "").expect(t, http.StatusForbidden)
	w.call("bob", "GET", "/review"+first, "").expect(t, 200, "Approve")
	w.call("bob", "GET", "/review"+second, "").expect(t, 200, "Approve")
	w.api("carol", "/api/activation-request"+second, dict{}).expect(t, 200, "ACTIVE")
	// By either link it is one grant.
	w.api("bob", "/api/activation-request"+first, dict{}).expect(t, http.StatusConflict, "already-approved")
	if bound := w.described(resource, "justification: more"); len(bound) != 1 {
		t.Errorf("wrote %+v", bound)
	}
	post("alice", url.Values{"reviewer": {"erin@example.com"}}).expect(t, http.StatusConflict)
}

func rawToken(query string) string {
	ref, _ := url.QueryUnescape(strings.TrimPrefix(query, "?activation="))
	return "ey" + strings.ReplaceAll(strings.ReplaceAll(ref, "~~", ".ey"), "~", ".")
}
