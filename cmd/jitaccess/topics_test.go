package main

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// Point 10: topics and explicit reviewers, wherever a condition says so.
func TestTopicsAndReviewers(t *testing.T) {
	s := deploy(t)
	const (
		resource = "projects/" + project
		role     = "roles/pubsub.editor"
		id       = project + ":" + role
		where    = ` && resource.name.startsWith("projects/_/topics/orders")`
	)
	s.add(resource,
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
		for _, p := range s.api(person, "/api/projects/"+project+"/peers?id="+id, nil).want(t, 200).Peers {
			all = append(all, strings.TrimSuffix(p.Email, stackDomain))
		}
		return strings.Join(all, " ")
	}
	ask := func(person string, reviewer string) said {
		return s.api(person, "/api/projects/"+project+"/roles/request", object{"entitlementId": id, "peers": []string{reviewer + stackDomain}, "justification": "topics", "activationTimeout": 5})
	}
	// External and of a topic: its reviewers, and those of all topics; no peer.
	if got := peers("frank"); got != "carol erin" {
		t.Errorf("frank may ask %s", got)
	}
	// Held under two topics: the reviewers of both.
	if got := peers("alice"); got != "bob carol erin" {
		t.Errorf("alice may ask %s", got)
	}
	ask("frank", "bob").want(t, http.StatusForbidden, "reviewer-not-eligible")
	ask("frank", "alice").want(t, http.StatusForbidden, "reviewer-not-eligible")
	ask("frank", "dan.o'brien").want(t, http.StatusForbidden, "reviewer-not-eligible")
	// Who may only review is offered nothing and may request nothing; who may only
	// request sees it as 1.x's pages know it.
	if text := s.api("carol", "/api/projects/"+project+"/roles", nil).want(t, 200).text; strings.Contains(text, role) {
		t.Errorf("carol is offered it: %s", text)
	}
	ask("carol", "erin").want(t, http.StatusForbidden, "not-eligible")
	s.api("frank", "/api/projects/"+project+"/roles", nil).want(t, 200, `"id":"`+id+`","name":"`+role+`","resourceCondition":null,"activationType":"MPA"`)
	s.send("alice", "GET", "/access/"+resource, "").want(t, 200, "Topic net, dba")
	s.send("frank", "GET", "/access/"+resource, "").want(t, 200, "Topic dba")

	asked := ask("frank", "carol").want(t, 200)
	link, err := url.Parse(asked.ReviewURL)
	if err != nil {
		t.Fatal(err)
	}
	at := "/api/activation-request?activation=" + link.Query().Get("activation")
	s.api("bob", at, object{}).want(t, http.StatusForbidden)
	// Carol reviews another topic by now, and then her own again.
	topic := func(from, to string) {
		s.bind(resource, func(bindings []boundTo) []boundTo {
			for _, b := range bindings {
				if b.Condition != nil && b.Condition.Expression == from && b.Members[0] == "user:carol"+stackDomain {
					b.Condition.Expression = to
				}
			}
			return bindings
		})
	}
	topic("has({}.reviewerPrivilege.dba)", "has({}.reviewerPrivilege.sec)")
	s.api("carol", at, object{}).want(t, http.StatusForbidden, "not-reviewer")
	topic("has({}.reviewerPrivilege.sec)", "has({}.reviewerPrivilege.dba)")
	s.api("carol", at, object{}).want(t, 200, `"status":"ACTIVE"`)
	if bound := s.described(resource, "Approved by carol@example.com, justification: topics"); len(bound) != 1 || strings.Contains(bound[0].Condition.Expression, "has(") {
		t.Errorf("wrote %+v", bound)
	}
}

// Point 14: a requester may ask more people while nobody has decided. The second
// link is the same request with the same clock, and the first stays good.
func TestMoreReviewersForAPendingRequest(t *testing.T) {
	s := deploy(t)
	const (
		resource = "projects/" + project
		id       = project + ":roles/browser"
	)
	s.add(resource, eligibleBinding("roles/browser", "has({}.multiPartyApprovalConstraint)", "alice", "bob", "carol", "erin"))
	// Everybody who can be asked is chosen beforehand, up to the maximum.
	form := s.send("alice", "GET", "/access/"+resource+"?entitlement="+id, "").want(t, 200).text
	if n := strings.Count(form, `@example.com" checked>`); n != 3 {
		t.Errorf("%d of 3 are chosen:\n%s", n, form)
	}
	asked := s.api("alice", "/api/projects/"+project+"/roles/request", object{"entitlementId": id, "peers": []string{"bob@example.com"}, "justification": "more", "activationTimeout": 5}).want(t, 200)
	query := func(link string) string {
		u, err := url.Parse(link)
		if err != nil {
			t.Fatal(err)
		}
		return "?activation=" + u.Query().Get("activation")
	}
	first := query(asked.ReviewURL)
	before := s.verifyAs1x(rawToken(first))

	s.send("alice", "GET", "/review"+first, "").want(t, 200, "Ask more people")
	s.send("alice", "GET", "/review/reviewers"+first, "").want(t, 200, `value="carol@example.com"`, `value="erin@example.com"`)
	s.send("bob", "GET", "/review/reviewers"+first, "").want(t, http.StatusForbidden)
	post := func(person string, f url.Values) said {
		return s.send(person, "POST", "/review/reviewers"+first, f.Encode(), "Content-Type", "application/x-www-form-urlencoded", "Origin", s.front)
	}
	post("alice", url.Values{}).want(t, 400, "Nobody new")
	post("alice", url.Values{"reviewer": {"frank@example.com"}}).want(t, http.StatusForbidden, "frank@example.com")
	post("bob", url.Values{"reviewer": {"carol@example.com"}}).want(t, http.StatusForbidden)
	done := post("alice", url.Values{"reviewer": {"carol@example.com"}}).want(t, http.StatusSeeOther)
	second := "?" + strings.SplitN(done.header.Get("Location"), "?", 2)[1]

	after := s.verifyAs1x(rawToken(second))
	for _, claim := range []string{"jti", "iat", "exp", "start", "end", "beneficiary", "entitlement", "justification", "duration"} {
		if before[claim] != after[claim] {
			t.Errorf("%s is %v, was %v", claim, after[claim], before[claim])
		}
	}
	if got := toJSON(t, after["reviewers"]); got != "[\"bob@example.com\",\"carol@example.com\"]\n" {
		t.Errorf("reviewers %s", got)
	}
	// Only who is new got a mail.
	for person, mails := range map[string]int{"alice": 1, "bob": 1, "carol": 1, "erin": 0} {
		if n := strings.Count(s.send(person, "GET", "/sandbox/mailbox", "").text, `href="/sandbox/mailbox/`); n != mails {
			t.Errorf("%s has %d mails, want %d", person, n, mails)
		}
	}
	s.send("carol", "GET", "/review"+first, "").want(t, http.StatusForbidden)
	s.send("bob", "GET", "/review"+first, "").want(t, 200, "Approve")
	s.send("bob", "GET", "/review"+second, "").want(t, 200, "Approve")
	s.api("carol", "/api/activation-request"+second, object{}).want(t, 200, "ACTIVE")
	// By either link it is one grant.
	s.api("bob", "/api/activation-request"+first, object{}).want(t, http.StatusConflict, "already-approved")
	if bound := s.described(resource, "justification: more"); len(bound) != 1 {
		t.Errorf("wrote %+v", bound)
	}
	post("alice", url.Values{"reviewer": {"erin@example.com"}}).want(t, http.StatusConflict)
}

func rawToken(query string) string {
	ref, _ := url.QueryUnescape(strings.TrimPrefix(query, "?activation="))
	return "ey" + strings.ReplaceAll(strings.ReplaceAll(ref, "~~", ".ey"), "~", ".")
}
