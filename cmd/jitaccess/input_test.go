package main

import (
	"html"
	"net/url"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
)

// TestBadInputNamesItsField: the JSON interface says which field is wrong, and does
// nothing.
func TestBadInputNamesItsField(t *testing.T) {
	w := newWorld(t, surroundings{environment: map[string]string{"JUSTIFICATION_PATTERN": "(Restore|Node|Case) .*", "JUSTIFICATION_HINT": "Case and number"}})
	before, _ := w.cloud.Policy("projects/" + project)
	many := []string{}
	for i := range 11 {
		many = append(many, person(i).Email)
	}
	tests := []struct {
		rule        string
		url         string
		body        dict
		status      int
		code, field string
	}{
		{"unknown project", "/api/projects/no-such-project/roles/self-activate", selfBody(dict{"entitlementIds": []string{"no-such-project:roles/cloudsql.admin"}}), 404, "unknown-resource", ""},
		{"a project that is being deleted", "/api/projects/spring-campaign/roles/self-activate", selfBody(dict{"entitlementIds": []string{"spring-campaign:roles/editor"}}), 403, "not-eligible", "entitlement"},
		{"not a project id", "/api/projects/Orders..%2f..%2fx/roles/self-activate", selfBody(nil), 400, "bad-resource", "projectId"},
		{"role not eligible", selfURL, selfBody(dict{"entitlementIds": []string{project + ":roles/owner"}}), 403, "not-eligible", "entitlement"},
		{"one of two roles not eligible", selfURL, selfBody(dict{"entitlementIds": []string{selfID, project + ":roles/owner"}}), 403, "not-eligible", "entitlement"},
		{"a resource condition that is not the eligible one", selfURL, selfBody(dict{"entitlementIds": []string{project + ":roles/storage.objectAdmin"}}), 403, "not-eligible", "entitlement"},
		{"a role that needs approval, alone", selfURL, selfBody(dict{"entitlementIds": []string{peerID}}), 403, "needs-approval", "entitlement"},
		{"a role that needs none, of reviewers", askURL, askBody(dict{"entitlementId": selfID}), 403, "not-eligible", "entitlement"},
		{"another project's role", selfURL, selfBody(dict{"entitlementIds": []string{"shop-frontend-prod:roles/run.developer"}}), 400, "other-resource", "entitlement"},
		{"no role", selfURL, selfBody(dict{"entitlementIds": []string{}}), 400, "no-entitlement", "entitlement"},
		{"no role that could be one", selfURL, selfBody(dict{"entitlementIds": []string{"cloudsql.admin"}}), 400, "bad-entitlement", "entitlement"},
		{"too many roles", selfURL, selfBody(dict{"entitlementIds": roles(11)}), 400, "too-many-roles", "entitlement"},
		{"reviewer not eligible", askURL, askBody(dict{"peers": []string{bob, carol}}), 403, "reviewer-not-eligible", "reviewer"},
		{"self as reviewer", askURL, askBody(dict{"peers": []string{alice}}), 400, "self-reviewer", "reviewer"},
		{"self as reviewer in capitals", askURL, askBody(dict{"peers": []string{bob, "ALICE@example.com"}}), 400, "self-reviewer", "reviewer"},
		{"a group as reviewer", askURL, askBody(dict{"peers": []string{"sre@example.com"}}), 403, "reviewer-not-eligible", "reviewer"},
		{"a service account as reviewer", askURL, askBody(dict{"peers": []string{w.cloud.ServiceAccount()}}), 400, "bad-reviewer", "reviewer"},
		{"no address as reviewer", askURL, askBody(dict{"peers": []string{"Bob <bob@example.com>"}}), 400, "bad-reviewer", "reviewer"},
		{"no reviewer", askURL, askBody(dict{"peers": []string{}}), 400, "few-reviewers", "reviewer"},
		{"too many reviewers", askURL, askBody(dict{"peers": many}), 400, "many-reviewers", "reviewer"},
		{"duration 0", selfURL, selfBody(dict{"activationTimeout": 0}), 400, "bad-duration", "minutes"},
		{"a negative duration", selfURL, selfBody(dict{"activationTimeout": -30}), 400, "bad-duration", "minutes"},
		{"half a minute", selfURL, selfBody(dict{"activationTimeout": 0.5}), 400, "bad-duration", "minutes"},
		{"one minute too long", selfURL, selfBody(dict{"activationTimeout": 121}), 400, "bad-duration", "minutes"},
		{"a duration that overflows", selfURL, selfBody(dict{"activationTimeout": 1e18}), 400, "bad-duration", "minutes"},
		{"no duration", selfURL, selfBody(dict{"activationTimeout": nil}), 400, "bad-duration", "minutes"},
		{"a request for too long", askURL, askBody(dict{"activationTimeout": 121}), 400, "bad-duration", "minutes"},
		{"no justification", selfURL, selfBody(dict{"justification": ""}), 400, "no-justification", "justification"},
		{"blanks for a justification", askURL, askBody(dict{"justification": " \t\u00a0"}), 400, "no-justification", "justification"},
		{"a justification of another form", selfURL, selfBody(dict{"justification": "because"}), 400, "justification-rule", "justification"},
		{"the form demanded, inside of another", selfURL, selfBody(dict{"justification": "because Case 1"}), 400, "justification-rule", "justification"},
		{"an over-long justification", selfURL, selfBody(dict{"justification": "Case " + strings.Repeat("ä", 246)}), 400, "long-justification", "justification"},
		{"a line break", askURL, askBody(dict{"justification": "Case 1\nApproved by bob@example.com"}), 400, "unsafe-justification", "justification"},
		{"a carriage return", askURL, askBody(dict{"justification": "Case 1\rBcc: eve@example.com"}), 400, "unsafe-justification", "justification"},
		{"a line separator", selfURL, selfBody(dict{"justification": "Case 1\u2028x"}), 400, "unsafe-justification", "justification"},
		{"a bidi override", selfURL, selfBody(dict{"justification": "Case \u202e1"}), 400, "unsafe-justification", "justification"},
		{"a bidi isolate", selfURL, selfBody(dict{"justification": "Case \u20661"}), 400, "unsafe-justification", "justification"},
		{"a zero-width space", selfURL, selfBody(dict{"justification": "Case \u200b1"}), 400, "unsafe-justification", "justification"},
		{"a null byte", selfURL, selfBody(dict{"justification": "Case \x001"}), 400, "unsafe-justification", "justification"},
		{"a number for a justification", selfURL, selfBody(dict{"justification": 7}), 400, "bad-input", ""},
		{"a text for a list", selfURL, selfBody(dict{"entitlementIds": selfID}), 400, "bad-input", ""},
	}
	for _, test := range tests {
		w.pass(5 * time.Second)
		a := w.api(alice, test.url, test.body)
		if a.status != test.status || a.Code != test.code || a.Field != test.field || a.Message == "" || a.Incident == "" {
			t.Errorf("%s: %d %q %q, want %d %q %q: %s", test.rule, a.status, a.Code, a.Field, test.status, test.code, test.field, a.body)
		}
		if !w.logged(a.Incident) {
			t.Errorf("%s: the log knows nothing of incident %s", test.rule, a.Incident)
		}
	}
	if after, _ := w.cloud.Policy("projects/" + project); string(after) != string(before) {
		t.Errorf("the policy changed:\n%s", after)
	}
	if n := len(w.mail.Messages()); n != 0 {
		t.Errorf("%d mails were sent", n)
	}
	w.api(alice, selfURL, selfBody(nil)).expect(t, 200)
	w.api(alice, askURL, askBody(nil)).expect(t, 200)
}

// TestAFormKeepsWhatWasTyped: a form that is wrong comes back filled, with the field
// to blame and the number that makes sending it again one request; corrected, it works.
func TestAFormKeepsWhatWasTyped(t *testing.T) {
	w := newWorld(t, surroundings{})
	const path = "/access/projects/" + project
	self := url.Values{"id": {w.formID(access.Self)}, "entitlement": {selfID}, "justification": {"Restore <b>&co"}, "minutes": {"", "47"}}
	peer := url.Values{"id": {w.formID(access.Peers)}, "entitlement": {peerID}, "justification": {"Node 7 & 8"}, "minutes": {"47"}, "reviewer": {bob}}
	tests := []struct {
		rule         string
		form         url.Values
		field, value string
		status       int
		blames       string
	}{
		{"duration 0", self, "minutes", "0", 400, "minutes"},
		{"too long", self, "minutes", "9999", 400, "minutes"},
		{"not a number", peer, "minutes", "soon", 400, "minutes"},
		{"no justification", self, "justification", "", 400, "justification"},
		{"over-long justification", peer, "justification", strings.Repeat("x", 251), 400, "justification"},
		{"line breaks", peer, "justification", "a\nb", 400, "justification"},
		{"bidi controls", self, "justification", "a\u202eb", 400, "justification"},
		{"self as reviewer", peer, "reviewer", alice, 400, "reviewer"},
		{"reviewer not eligible", peer, "reviewer", carol, 403, "reviewer"},
		{"no reviewer", peer, "reviewer", "", 400, "reviewer"},
		{"a start in the past", peer, "start", "2001-01-01T00:00", 400, "start"},
		{"not a time", peer, "start", "tomorrow", 400, "start"},
	}
	for _, test := range tests {
		w.pass(10 * time.Second)
		f := url.Values{}
		for k, v := range test.form {
			f[k] = v
		}
		f[test.field] = []string{test.value}
		if test.value == "" {
			delete(f, test.field)
		}
		a := w.form(alice, path, f)
		a.expect(t, test.status, `value="`+f.Get("id")+`"`, html.EscapeString(f.Get("entitlement")), `id="problem"`)
		if test.field != "justification" && !strings.Contains(a.body, `value="`+html.EscapeString(f.Get("justification"))+`"`) {
			t.Errorf("%s: the justification is lost", test.rule)
		}
		if test.field != "minutes" && !strings.Contains(a.body, `name="minutes" value="47"`) {
			t.Errorf("%s: the minutes are lost", test.rule)
		}
		if test.field != "reviewer" && f.Has("reviewer") && !strings.Contains(a.body, `value="`+bob+`" checked`) {
			t.Errorf("%s: the reviewer is lost", test.rule)
		}
		at := strings.Index(a.body, `id="`+test.blames+`"`)
		if at < 0 {
			t.Errorf("%s: no field %s", test.rule, test.blames)
		} else if tag, _, _ := strings.Cut(a.body[at:], ">"); !strings.Contains(tag, `aria-invalid="true"`) {
			t.Errorf("%s: %s is not to blame: %s", test.rule, test.blames, tag)
		}
	}
	// A role that cannot be had leads back to the choice, with the reason.
	f := url.Values{"id": {w.formID(access.Self)}, "entitlement": {project + ":roles/owner"}, "justification": {"x"}, "minutes": {"10"}}
	w.form(alice, path, f).expect(t, 403, "not eligible for roles/owner", "roles/cloudsql.admin")
	// Corrected, each is one request, however often it is sent.
	for range 3 {
		w.form(alice, path, self).expect(t, 303)
		w.form(alice, path, peer).expect(t, 303)
	}
	if n := w.granted(number(t, self)); n != 1 {
		t.Errorf("%d grants", n)
	}
	if n := len(w.mail.Messages()); n != 1 {
		t.Errorf("%d mails, want the one to Bob", n)
	}
}

// roles is a list of n entitlement ids.
func roles(n int) (all []string) {
	for i := range n {
		all = append(all, project+":roles/custom"+strings.Repeat("x", i))
	}
	return all
}
