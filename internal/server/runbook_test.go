package server_test

import (
	"html"
	"net/url"
	"strings"
	"testing"

	"jitaccess/internal/access"
)

// A link in a runbook fills the form in, where it can be read and changed, and does nothing by
// itself.
func TestAnAddressFillsInTheFormAndNoMore(t *testing.T) {
	w := newWorld(t)
	h, _ := serve(t, w, nil)
	open := func(q url.Values) (code int, page string) {
		a := do(h, request("GET", "/access/projects/acme-orders-prod?"+q.Encode()))
		return a.Code, a.Body.String()
	}
	for rule, c := range map[string]struct {
		q    url.Values
		code int
		// has and lacks are parts of the page, as sent.
		has, lacks []string
	}{
		"a role alone": {url.Values{"role": {"roles/iam.securityAdmin"}}, 200,
			[]string{`name="entitlement" value="acme-orders-prod:roles/iam.securityAdmin"`, "Filled in from the address", "Request access"}, []string{`value="" checked`}},
		"for others to approve, which a press for another page sends neither": {url.Values{"role": {"roles/iam.securityAdmin"}, "reason": {"RB-7"}}, 200,
			[]string{`data-guard aria-describedby="guard-asking">Request access`, `<noscript><label class="confirm"><input type="checkbox" required>`, `id="guard-asking"`}, nil},
		"from no address, for others to approve": {url.Values{"entitlement": {"acme-orders-prod:roles/iam.securityAdmin"}}, 200,
			[]string{"Request access"}, []string{`data-guard aria-describedby="guard-asking"`, "<noscript>"}},
		"with a reason and a length": {url.Values{"role": {"roles/compute.instanceAdmin.v1"}, "reason": {"RB-7"}, "minutes": {"15"}}, 200,
			[]string{`name="justification" value="RB-7"`, `value="15" checked`, "Activate now", `<noscript><label class="confirm"><input type="checkbox" required>`}, nil},
		"a length between": {url.Values{"role": {"roles/compute.instanceAdmin.v1"}, "minutes": {"17"}}, 200, []string{`name="minutes" value="17"`}, nil},
		"a length too long": {url.Values{"role": {"roles/compute.instanceAdmin.v1"}, "minutes": {"9000"}}, 200,
			[]string{"The address names 9000 minutes; 120 is the most here."}, []string{`value="9000"`}},
		"no length": {url.Values{"role": {"roles/compute.instanceAdmin.v1"}, "minutes": {"-1e9<b>"}}, 200, nil, []string{"1e9"}},
		"a role with a condition, which is the only one": {url.Values{"role": {"roles/storage.objectViewer"}}, 200,
			[]string{html.EscapeString("acme-orders-prod:roles/storage.objectViewer:cmVz")}, nil},
		"two roles": {url.Values{"role": {"roles/compute.instanceAdmin.v1", "roles/storage.objectViewer"}}, 200, nil, nil},
		"an unknown role": {url.Values{"role": {"roles/no.such"}, "reason": {"RB-7"}, "minutes": {"15"}}, 403,
			[]string{`id="problem"`, "You are not eligible for roles/no.such", `name="reason" value="RB-7"`, `name="minutes" value="15"`}, []string{`class="ask"`}},
		"no role":          {url.Values{"role": {`"><script>alert(1)</script>`}}, 400, []string{`id="problem"`}, []string{"<script>alert", `class="ask"`}},
		"a thousand roles": {url.Values{"role": strings.Fields(strings.Repeat("roles/compute.instanceAdmin.v1 ", 300))}, 400, []string{`id="problem"`}, nil},
		"text of another": {url.Values{"role": {"roles/compute.instanceAdmin.v1"}, "reason": {"a\u202eb\n<script>alert(1)</script>"}}, 200,
			[]string{`value="a[U&#43;202E]b &lt;script&gt;alert(1)&lt;/script&gt;"`}, []string{"<script>alert", "\u202e"}},
		"a long text": {url.Values{"role": {"roles/compute.instanceAdmin.v1"}, "reason": {strings.Repeat("é", 2000)}}, 200,
			[]string{`value="` + strings.Repeat("é", access.MaxJustification) + `"`}, nil},
		"a reason alone waits for a choice": {url.Values{"reason": {"RB-7"}}, 200, []string{`name="reason" value="RB-7"`, "Choose what you need"}, []string{`class="ask"`}},
	} {
		t.Run(rule, func(t *testing.T) {
			code, page := open(c.q)
			if code != c.code {
				t.Errorf("%d, want %d", code, c.code)
			}
			for _, part := range c.has {
				if !strings.Contains(page, part) {
					t.Errorf("lacks %s", part)
				}
			}
			for _, part := range c.lacks {
				if strings.Contains(page, part) {
					t.Errorf("has %s", part)
				}
			}
		})
	}
	if w.changes != 0 {
		t.Error("something was done")
	}
	// What was filled in and is refused keeps what was typed, not what the address has.
	r := request("POST", "/access/projects/acme-orders-prod?role=roles/iam.securityAdmin&reason=RB-7")
	if page := do(h, r).Body.String(); strings.Contains(page, "RB-7") {
		t.Error("a form that was sent is filled in from its address")
	}
}
