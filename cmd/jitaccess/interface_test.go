package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// Point 3: the HTTP interface of JIT Access 1.8, line by line (section 2 of its
// description). Where it answers 403 to everything, the status says what happened.
func TestTheInterfaceOfJITAccess1(t *testing.T) {
	w := newWorld(t, surroundings{})
	const (
		sql    = project + ":roles/cloudsql.admin"
		vm     = project + ":roles/compute.instanceAdmin.v1"
		at     = "/api/projects/" + project
		self   = at + "/roles/self-activate"
		ask    = at + "/roles/request"
		peers  = at + "/peers"
		body   = `{"entitlementIds":["` + sql + `"],"justification":"line by line","activationTimeout":5}`
		peered = `{"entitlementId":"` + vm + `","peers":["bob@example.com"],"justification":"line by line","activationTimeout":5}`
	)
	asked := w.call("alice", "POST", ask, peered, "X-JITACCESS", "1", "Content-Type", "application/json").expect(t, 200)
	link, err := url.Parse(asked.ReviewURL)
	if err != nil {
		t.Fatal(err)
	}
	token := link.Query().Get("activation")
	inspect := "/api/activation-request?activation=" + token
	replaced := func(body, old, new string) string {
		if !strings.Contains(body, old) {
			t.Fatalf("%q is not in %s", old, body)
		}
		return strings.Replace(body, old, new, 1)
	}
	long := strings.Repeat("x", 251)

	// What is refused before anybody's eligibility matters is sent by others, as the
	// service slows down a person who sends much.
	for _, c := range []struct {
		line, person, method, path, body string
		// header is X-JITACCESS; content is the content type.
		header, content string
		status          int
		says            string
	}{
		// 2.1 generic.
		{"the header is needed, on GET too", "alice", "GET", "/api/policy", "", "", "", 400, "X-JITACCESS"},
		{"it must be exactly 1", "alice", "GET", "/api/policy", "", "true", "", 400, "missing-header"},
		{"… not 01", "alice", "GET", "/api/policy", "", "01", "", 400, "missing-header"},
		{"… not 1, 1", "alice", "GET", "/api/policy", "", "1, 1", "", 400, "missing-header"},
		{"unknown fields are ignored", "alice", "POST", self, replaced(body, "{", `{"unknown":{"a":[null]},`), "1", "application/json", 200, "ACTIVE"},
		{"a number as text", "alice", "POST", self, replaced(body, ":5", `:" 6 "`), "1", "application/json", 200, "ACTIVE"},
		{"a number with a fraction", "alice", "POST", self, replaced(body, ":5", `:7.9`), "1", "application/json", 200, "ACTIVE"},
		{"a number with an exponent", "alice", "POST", self, replaced(body, ":5", `:1e1`), "1", "application/json", 200, "ACTIVE"},
		{"a number that is none", "alice", "POST", self, replaced(body, ":5", `:"soon"`), "1", "application/json", 400, "bad-input"},
		{"a number that is a truth", "alice", "POST", self, replaced(body, ":5", `:true`), "1", "application/json", 400, "bad-input"},
		{"a number that is not finite", "alice", "POST", self, replaced(body, ":5", `:"NaN"`), "1", "application/json", 400, "bad-input"},
		{"null for a number", "alice", "POST", self, replaced(body, ":5", `:null`), "1", "application/json", 400, "bad-duration"},
		{"malformed JSON", "alice", "POST", self, `{"`, "1", "application/json", 400, "bad-input"},
		{"another content type", "alice", "POST", self, body, "1", "text/plain", 415, "application/json"},
		{"a content type with a character set", "alice", "POST", self, replaced(body, ":5", ":8"), "1", "application/json;charset=UTF-8", 200, "ACTIVE"},
		{"a method that is none", "alice", "PUT", self, body, "1", "application/json", 405, "method"},
		{"no such path", "alice", "GET", "/api/everything", "", "1", "", 404, "not-found"},

		// 2.2 routes.
		{"1 /api/ is for front ends of 1.0", "alice", "GET", "/api/", "", "1", "", 404, "earlier version"},
		{"{scopeType} is projects", "alice", "GET", "/api/folders", "", "1", "", 404, "not-found"},
		{"{scopeType} is projects, below too", "alice", "GET", "/api/folders/1/roles", "", "1", "", 404, "not-found"},
		{"4 blank project", "alice", "GET", "/api/projects/%20/roles", "", "1", "", 400, "bad-resource"},
		{"4 no such project", "alice", "GET", "/api/projects/no-such-project/roles", "", "1", "", 404, "unknown-resource"},
		{"5 id missing", "alice", "GET", peers, "", "1", "", 400, "bad-entitlement"},
		{"5 id blank", "alice", "GET", peers + "?id=%20", "", "1", "", 400, "bad-entitlement"},
		{"5 id unparsable", "alice", "GET", peers + "?id=x", "", "1", "", 400, "bad-entitlement"},
		{"5 id with a condition that is none", "alice", "GET", peers + "?id=" + vm + ":KCg=", "", "1", "", 400, "bad-entitlement"},
		{"5 id of another project", "alice", "GET", peers + "?id=other:roles/browser", "", "1", "", 400, "other-resource"},
		{"5 not eligible", "frank", "GET", peers + "?id=" + vm, "", "1", "", 403, "not-eligible"},
		{"5 deprecated ?role= with an id", "alice", "GET", peers + "?role=" + vm, "", "1", "", 200, `{"peers":[{"email":"bob@example.com"}]`},
		{"5 deprecated ?role= with the role of 1.7", "alice", "GET", peers + "?role=roles/compute.instanceAdmin.v1", "", "1", "", 200, `{"peers":[{"email":"bob@example.com"}]`},
		{"6.1 project", "erin", "POST", "/api/projects/%20/roles/self-activate", body, "1", "application/json", 400, "project"},
		{"6.2 no id", "erin", "POST", self, `{"entitlementIds":[],"justification":"x","activationTimeout":5}`, "1", "application/json", 400, "at least one of what there is"},
		{"6.2 null for ids", "erin", "POST", self, `{"entitlementIds":null,"justification":"x","activationTimeout":5}`, "1", "application/json", 400, "at least one of what there is"},
		{"6.2 null for a body", "erin", "POST", self, `null`, "1", "application/json", 400, "bad-input"},
		{"6.3 blank justification", "erin", "POST", self, replaced(body, "line by line", "  "), "1", "application/json", 400, "no-justification"},
		{"6.3 null justification", "erin", "POST", self, replaced(body, `"line by line"`, "null"), "1", "application/json", 400, "no-justification"},
		{"6.4 long justification", "erin", "POST", self, replaced(body, "line by line", long), "1", "application/json", 400, "long-justification"},
		{"6.5 id that is none", "erin", "POST", self, replaced(body, sql, "x"), "1", "application/json", 400, "bad-entitlement"},
		{"6.6 duplicates are merged", "alice", "POST", self, replaced(replaced(body, `["`, `["`+sql+`","`), ":5", ":9"), "1", "application/json", 200, "ACTIVE"},
		{"6.6 ids of other projects (1.x dropped them silently)", "erin", "POST", self, replaced(body, `["`, `["other:roles/browser","`), "1", "application/json", 400, "other-resource"},
		{"6.7 too many", "erin", "POST", self, replaced(body, `"`+sql+`"`, manyIDs(11)), "1", "application/json", 400, "too-many-roles"},
		{"6.8 no time", "erin", "POST", self, replaced(body, ":5", ":0"), "1", "application/json", 400, "bad-duration"},
		{"6.8 less than no time", "erin", "POST", self, replaced(body, ":5", ":-5"), "1", "application/json", 400, "bad-duration"},
		{"6.10 more than the maximum", "erin", "POST", self, replaced(body, ":5", ":121"), "1", "application/json", 400, "bad-duration"},
		{"6.11 not held", "frank", "POST", self, body, "1", "application/json", 403, "not-eligible"},
		{"6.11 held with peer approval only", "alice", "POST", self, replaced(body, sql, vm), "1", "application/json", 403, "needs-approval"},
		{"6 as 1.7 named it", "alice", "POST", self, `{"roles":["roles/cloudsql.admin"],"justification":"as 1.7","activationTimeout":10}`, "1", "application/json", 200, "ACTIVE"},
		{"7 no body", "carol", "POST", ask, "", "1", "application/json", 400, "bad-input"},
		{"7 no id", "carol", "POST", ask, `{"peers":["bob@example.com"],"justification":"x","activationTimeout":5}`, "1", "application/json", 400, "no-entitlement"},
		{"7 too few peers", "carol", "POST", ask, replaced(peered, `"bob@example.com"`, ""), "1", "application/json", 400, "few-reviewers"},
		{"7 null for peers", "carol", "POST", ask, replaced(peered, `["bob@example.com"]`, "null"), "1", "application/json", 400, "few-reviewers"},
		{"7 too many peers", "carol", "POST", ask, replaced(peered, `"bob@example.com"`, manyPeers(11)), "1", "application/json", 400, "many-reviewers"},
		{"7 blank justification", "carol", "POST", ask, replaced(peered, "line by line", " "), "1", "application/json", 400, "no-justification"},
		{"7 another project", "carol", "POST", ask, replaced(peered, vm, "other:roles/browser"), "1", "application/json", 400, "other-resource"},
		{"7 no time", "carol", "POST", ask, replaced(peered, ":5", ":0"), "1", "application/json", 400, "bad-duration"},
		{"7 not eligible", "frank", "POST", ask, peered, "1", "application/json", 403, "not-eligible"},
		{"7 a reviewer who is not", "alice", "POST", ask, replaced(peered, "bob@", "frank@"), "1", "application/json", 403, "frank@example.com"},
		{"7 oneself (1.x let that pass)", "alice", "POST", ask, replaced(peered, "bob@", "alice@"), "1", "application/json", 400, "self-reviewer"},
		{"7 peers are folded and merged", "alice", "POST", ask, replaced(peered, `"bob@example.com"`, `"BOB@example.com","bob@Example.com"`), "1", "application/json", 200, `"reviewers":[{"email":"bob@example.com"}]`},
		{"7 as 1.7 named it", "alice", "POST", ask, `{"role":"roles/compute.instanceAdmin.v1","peers":["bob@example.com"],"justification":"as 1.7","activationTimeout":5}`, "1", "application/json", 200, "ACTIVATION_PENDING"},
		{"8 no token", "alice", "GET", "/api/activation-request", "", "1", "", 400, "bad-link"},
		{"8 blank token", "alice", "GET", "/api/activation-request?activation=", "", "1", "", 400, "bad-link"},
		{"8 not a token", "alice", "GET", "/api/activation-request?activation=x", "", "1", "", 404, "bad-link"},
		{"8 a raw JWT", "alice", "GET", "/api/activation-request?activation=ey" + strings.ReplaceAll(strings.ReplaceAll(token, "~~", ".ey"), "~", "."), "", "1", "", 404, "bad-link"},
		{"8 neither beneficiary nor reviewer", "frank", "GET", inspect, "", "1", "", 403, "not-involved"},
		{"8 the beneficiary", "alice", "GET", inspect, "", "1", "", 200, `"isBeneficiary":true,"isReviewer":false`},
		{"8 a reviewer", "bob", "GET", inspect, "", "1", "", 200, `"isBeneficiary":false,"isReviewer":true`},
		{"9 no token", "bob", "POST", "/api/activation-request", "", "1", "", 400, "bad-link"},
		{"9 the beneficiary", "alice", "POST", inspect, "", "1", "", 403, "own-request"},
		{"9 not a reviewer", "frank", "POST", inspect, "", "1", "", 403, "not-involved"},
		{"9 without the header", "bob", "POST", inspect, "", "", "", 400, "missing-header"},
		{"9 the body is ignored, whatever it is", "bob", "POST", inspect, "\x00{not JSON", "1", "image/png", 200, `"status":"ACTIVE"`},
		{"9 without body and type, and again", "bob", "POST", inspect, "", "1", "", 200, `"status":"ACTIVE"`},
		{"8 afterwards (1.x said pending for ever)", "alice", "GET", inspect, "", "1", "", 200, `"status":"ACTIVE"`},
		{"10 alive", "", "GET", "/health/alive", "", "", "", 200, `{"healthy":true,"details":{}}`},
		{"10 ready", "", "GET", "/health/ready", "", "", "", 200, `"healthy":true`},
	} {
		t.Run(c.line, func(t *testing.T) {
			var headers []string
			if c.header != "" {
				headers = append(headers, "X-JITACCESS", c.header)
			}
			if c.content != "" {
				headers = append(headers, "Content-Type", c.content)
			}
			a := w.call(c.person, c.method, c.path, c.body, headers...).expect(t, c.status, c.says)
			if !strings.HasPrefix(a.header.Get("Content-Type"), "application/json") {
				t.Errorf("not JSON but %q", a.header.Get("Content-Type"))
			}
			if !strings.Contains(a.header.Get("Cache-Control"), "no-") {
				t.Error("may be cached")
			}
			if a.header.Get("Access-Control-Allow-Origin") != "" {
				t.Error("has CORS headers")
			}
			var refusal map[string]any
			if err := json.Unmarshal([]byte(a.body), &refusal); err != nil || a.status != 200 && (refusal["message"] == "" || refusal["code"] == "" || refusal["incident"] == "") {
				t.Errorf("a refusal without message, code or incident: %s", a.body)
			}
		})
	}
}

func manyIDs(n int) string {
	var ids []string
	for i := range n {
		ids = append(ids, fmt.Sprintf(`"%s:roles/many%d"`, project, i))
	}
	return strings.Join(ids, ",")
}

func manyPeers(n int) string {
	var peers []string
	for i := range n {
		peers = append(peers, fmt.Sprintf(`"peer%d@example.com"`, i))
	}
	return strings.Join(peers, ",")
}

// The shapes of the answers: which members there are, null ones too, of which type,
// and in which order lists are.
func TestTheShapesOfJITAccess1(t *testing.T) {
	w := newWorld(t, surroundings{})
	at := "/api/projects/" + project
	members := func(what string, o any, want ...string) map[string]any {
		t.Helper()
		m, ok := o.(map[string]any)
		for _, name := range want {
			if _, there := m[name]; !ok || !there {
				t.Errorf("%s has no member %s: %v", what, name, o)
			}
		}
		return m
	}
	read := func(a answer) map[string]any {
		t.Helper()
		var m map[string]any
		if err := json.Unmarshal([]byte(a.expect(t, 200).body), &m); err != nil {
			t.Fatal(err)
		}
		return m
	}
	epoch := func(v any) {
		t.Helper()
		if n, ok := v.(float64); !ok || n < 1.7e9 || n > 1e11 || n != float64(int64(n)) {
			t.Errorf("%v is not in seconds since the epoch", v)
		}
	}

	policy := members("policy", read(w.api("alice", "/api/policy", nil)), "justificationHint", "signedInUser", "applicationVersion", "defaultActivationTimeout", "maxActivationTimeout")
	if u := members("user", policy["signedInUser"], "email"); u["email"] != "alice@example.com" || policy["defaultActivationTimeout"] != 60.0 || policy["maxActivationTimeout"] != 120.0 {
		t.Errorf("policy %v", policy)
	}
	var projects struct{ Projects []string }
	if err := json.Unmarshal([]byte(w.api("frank", "/api/projects", nil).expect(t, 200).body), &projects); err != nil || len(projects.Projects) < 10 ||
		!slices.IsSorted(projects.Projects) || len(slices.Compact(slices.Clone(projects.Projects))) != len(projects.Projects) {
		t.Errorf("projects %v, %v", projects, err)
	}

	granted := read(w.api("alice", at+"/roles/self-activate", dict{"entitlementIds": []string{project + ":roles/logging.privateLogViewer", project + ":roles/cloudsql.admin"}, "justification": "shapes", "activationTimeout": 5}))
	members("activation", granted, "beneficiary", "reviewers", "isBeneficiary", "isReviewer", "justification", "entitlements")
	if len(granted["reviewers"].([]any)) != 0 || granted["isReviewer"] != false || granted["isBeneficiary"] != true {
		t.Errorf("self-activation %v", granted)
	}
	id := ""
	for _, e := range granted["entitlements"].([]any) {
		m := members("activated entitlement", e, "activationId", "projectId", "id", "name", "resourceCondition", "status", "startTime", "endTime")
		epoch(m["startTime"])
		epoch(m["endTime"])
		if m["endTime"].(float64)-m["startTime"].(float64) != 300 || m["projectId"] != project || m["resourceCondition"] != nil || id != "" && m["activationId"] != id {
			t.Errorf("entitlement %v", m)
		}
		if id = m["activationId"].(string); !strings.HasPrefix(id, "jit-") {
			t.Errorf("id %s", id)
		}
	}

	roles := read(w.api("alice", at+"/roles", nil))
	members("roles", roles, "warnings", "entitlements")
	var ids []string
	kinds := map[string]bool{}
	for _, e := range roles["entitlements"].([]any) {
		m := members("role", e, "id", "name", "resourceCondition", "activationType", "status", "validUntil")
		ids = append(ids, m["id"].(string))
		kinds[m["activationType"].(string)+" "+m["status"].(string)] = true
		if m["status"] == "ACTIVE" {
			epoch(m["validUntil"])
		} else if m["validUntil"] != nil {
			t.Errorf("role %v", m)
		}
		if condition, _ := m["resourceCondition"].(string); (condition == "") != (strings.Count(m["id"].(string), ":") == 1) {
			t.Errorf("role %v", m)
		}
	}
	if !slices.IsSorted(ids) || !kinds["JIT ACTIVE"] || !kinds["JIT INACTIVE"] || !kinds["MPA INACTIVE"] || !kinds["MPA ACTIVE"] {
		t.Errorf("roles %v, %v", ids, kinds)
	}

	w.add("projects/"+project, eligibleBinding("roles/browser", "has({}.multiPartyApprovalConstraint)", "frank", "bob", "alice", "erin", "carol"))
	offered := w.api("alice", at+"/peers?id="+project+":roles/browser", nil).expect(t, 200)
	var addresses []string
	for _, p := range offered.Peers {
		addresses = append(addresses, p.Email)
	}
	if !slices.Equal(addresses, []string{"bob@example.com", "carol@example.com", "erin@example.com", "frank@example.com"}) {
		t.Errorf("peers %v are not sorted, or hold the caller", addresses)
	}
	pending := read(w.api("alice", at+"/roles/request", dict{"entitlementId": project + ":roles/browser", "peers": []string{"frank@example.com", "bob@example.com"}, "justification": "shapes", "activationTimeout": 5}))
	if e := pending["entitlements"].([]any); len(e) != 1 || e[0].(map[string]any)["status"] != "ACTIVATION_PENDING" || !strings.HasPrefix(e[0].(map[string]any)["activationId"].(string), "mpa-") {
		t.Errorf("pending %v", pending)
	}
	answer := w.call("alice", "GET", "/", "")
	if answer.status != http.StatusOK {
		t.Errorf("the page: %d", answer.status)
	}
}
