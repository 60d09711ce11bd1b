package main

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"jitaccess/internal/sandbox/google"
)

// limitTo lets the service account change only some roles, as an administrator may.
func (w *world) limitTo(roles ...string) {
	w.t.Helper()
	w.bind("organizations/482093157016", func(bindings []google.Binding) []google.Binding {
		for i, b := range bindings {
			if b.Role == "roles/resourcemanager.projectIamAdmin" {
				bindings[i].Condition = &google.Condition{Title: "limited",
					Expression: `api.getAttribute("iam.googleapis.com/modifiedGrantsByRole", []).hasOnly(["` + strings.Join(roles, `", "`) + `"])`}
			}
		}
		return bindings
	})
}

// writes counts the writes of policies since the last call.
func (w *world) writes() int {
	w.t.Helper()
	total := 0
	for call, n := range w.cloud.Calls().All() {
		if strings.Contains(call, ":setIamPolicy") {
			total += n
		}
	}
	w.cloud.Calls().Reset()
	return total
}

// Point 6: several roles at once, alone and with approval: one write; where Google
// refuses a role, the answer says which and why.
func TestSeveralRolesAtOnce(t *testing.T) {
	w := newWorld(t, surroundings{})
	const (
		resource = "projects/" + project
		admin    = "roles/compute.instanceAdmin.v1"
		editor   = "roles/pubsub.editor"
		browser  = "roles/browser"
		sql      = "roles/cloudsql.admin"
		logs     = "roles/logging.privateLogViewer"
	)
	peers := "has({}.multiPartyApprovalConstraint)"
	w.add(resource, eligibleBinding(editor, peers, "alice", "bob", "carol"), eligibleBinding(browser, peers, "alice", "bob", "erin"))
	ids := func(roles ...string) (all []string) {
		for _, r := range roles {
			all = append(all, project+":"+r)
		}
		return all
	}
	request := func(reason string, roles ...string) answer {
		return w.api("alice", "/api/projects/"+project+"/roles/request", dict{"entitlementIds": ids(roles...), "peers": []string{"bob@example.com"}, "justification": reason, "activationTimeout": 30})
	}
	open := func(a answer) string {
		link, err := url.Parse(a.ReviewURL)
		if err != nil {
			t.Fatal(err)
		}
		return "?activation=" + link.Query().Get("activation")
	}

	t.Run("alone: one write", func(t *testing.T) {
		w.writes()
		done := w.api("alice", "/api/projects/"+project+"/roles/self-activate", dict{"entitlementIds": ids(sql, logs), "justification": "both, alone", "activationTimeout": 5}).expect(t, 200)
		if n := w.writes(); n != 1 || len(done.Entitlements) != 2 || len(w.described(resource, "both, alone")) != 2 {
			t.Errorf("%d writes, %s", n, done.body)
		}
	})
	t.Run("only people who may review all of them are offered", func(t *testing.T) {
		peers := w.api("alice", "/api/projects/"+project+"/peers?id="+ids(editor)[0]+"&id="+ids(browser)[0], nil).expect(t, 200)
		if len(peers.Peers) != 1 || peers.Peers[0].Email != "bob@example.com" {
			t.Errorf("peers %v", peers.Peers)
		}
		page := w.call("alice", "GET", "/access/projects/"+project+"?entitlement="+ids(editor)[0]+"&entitlement="+ids(browser)[0], "").expect(t, 200, `name="reviewer" value="bob@example.com" checked`).body
		if strings.Count(page, `name="reviewer"`) != 1 {
			t.Error("offers somebody who may review only one of them")
		}
	})
	t.Run("a reviewer of one of them is refused", func(t *testing.T) {
		w.api("alice", "/api/projects/"+project+"/roles/request", dict{"entitlementIds": ids(editor, browser), "peers": []string{"bob@example.com", "carol@example.com"},
			"justification": "x", "activationTimeout": 30}).expect(t, http.StatusForbidden, "carol@example.com", browser)
	})
	t.Run("not mixed with what needs no approval", func(t *testing.T) {
		w.call("alice", "GET", "/access/projects/"+project+"?entitlement="+ids(editor)[0]+"&entitlement="+ids(sql)[0], "").expect(t, 400, "nor together with what needs none")
		w.api("alice", "/api/projects/"+project+"/roles/self-activate", dict{"entitlementIds": ids(sql, editor), "justification": "x", "activationTimeout": 5}).expect(t, 403, "needs-approval")
	})
	t.Run("approved: one write, one id", func(t *testing.T) {
		asked := request("all three", admin, editor, browser).expect(t, 200, "ACTIVATION_PENDING")
		w.writes()
		done := w.api("bob", "/api/activation-request"+open(asked), dict{}).expect(t, 200)
		bound := w.described(resource, "Approved by bob@example.com, justification: all three ["+asked.Entitlements[0].ActivationID+"]")
		if n := w.writes(); n != 1 || len(bound) != 3 || len(done.Entitlements) != 3 {
			t.Errorf("%d writes, %d bindings, %s", n, len(bound), done.body)
		}
	})
	// The service account may change some of the roles only.
	w.limitTo(admin, sql)
	t.Run("alone, one refused: the page says which and why", func(t *testing.T) {
		form := url.Values{"entitlement": ids(sql, logs), "justification": {"page, in part"}, "minutes": {"5"}}
		page := w.call("alice", "POST", "/access/projects/"+project, form.Encode(), "Content-Type", "application/x-www-form-urlencoded", "Origin", w.public)
		page.expect(t, 200, "granted in part", logs, "Not done: This service is not permitted to do that")
		if len(w.described(resource, "page, in part")) != 1 {
			t.Error("what was allowed was not granted")
		}
	})
	t.Run("approved, some refused: answer and mail say which and why", func(t *testing.T) {
		asked := request("in part", admin, editor, browser).expect(t, 200)
		done := w.api("bob", "/api/activation-request"+open(asked), dict{}).expect(t, 200)
		if len(w.described(resource, "justification: in part")) != 1 {
			t.Error("what was allowed was not granted")
		}
		for _, e := range done.Entitlements {
			if want := map[bool]string{true: "ACTIVE", false: "INACTIVE"}[e.Name == admin]; e.Status != want {
				t.Errorf("%s is %s, want %s", e.Name, e.Status, want)
			}
		}
		for _, role := range []string{editor, browser} {
			if text := strings.Join(done.Warnings, "\n"); !strings.Contains(text, role+": This service is not permitted") {
				t.Errorf("warnings do not name %s:\n%s", role, text)
			}
		}
		if len(done.Warnings) != 2 {
			t.Errorf("warnings %q", done.Warnings)
		}
		sent := w.mail.Messages()
		mail := strings.ReplaceAll(sent[len(sent)-1].Data, "=\r\n", "")
		for _, text := range []string{"Not granted", editor + ": This service is not permitted to do that",
			browser + ": This service is not permitted to do that"} {
			if !strings.Contains(mail, text) {
				t.Errorf("the mail does not say %q:\n%s", text, mail)
			}
		}
	})
	t.Run("all refused: nothing was granted, and it is an error", func(t *testing.T) {
		asked := request("nothing", editor, browser).expect(t, 200)
		w.api("bob", "/api/activation-request"+open(asked), dict{}).expect(t, http.StatusBadGateway, "service-not-allowed", "setIamPolicy")
		if len(w.described(resource, "justification: nothing")) != 0 {
			t.Error("something was granted")
		}
	})
}

// Point 14: where VPC Service Controls stop Google's API, page and answer show the
// identifier under which an administrator finds out why.
func TestARefusalByVPCServiceControls(t *testing.T) {
	w := newWorld(t, surroundings{})
	fault := func(path, id string) {
		w.cloud.Faults().Add(google.Fault{Path: path, Times: 1, Status: 403, Message: "Request is prohibited by organization's policy. vpcServiceControlsUniqueIdentifier: " + id})
	}
	fault("/v3/projects/{id}:getIamPolicy", "read-AAbb_11")
	w.call("alice", "GET", "/access/projects/"+project, "").expect(t, http.StatusBadGateway, "VPC Service Controls", "read-AAbb_11")
	fault("/v3/projects/{id}:setIamPolicy", "write-AAbb_22")
	w.api("alice", "/api/projects/"+project+"/roles/self-activate", dict{"entitlementIds": []string{project + ":roles/cloudsql.admin"}, "justification": "x", "activationTimeout": 5}).
		expect(t, http.StatusBadGateway, "VPC Service Controls", "write-AAbb_22")
	fault("/v1/organizations", "inventory-33")
	w.api("dan.o'brien", "/api/projects/shop-payments-prod/roles", nil).expect(t, http.StatusBadGateway, "inventory-33")
}
