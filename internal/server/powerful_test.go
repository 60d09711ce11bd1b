package server_test

import (
	"html"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/broker/brokertest"
	"jitaccess/internal/server/storybook"
)

// Whoever approves reads that a role can change permissions, or that this is not known, and never the one for the other.
func TestAnApproverReadsWhatIsKnownOfARole(t *testing.T) {
	const known, unknown = "can change permissions, and so give", "It is not known whether this can change permissions"
	const again, perhaps = "It can change permissions, so you will be asked once more.", "It is not known whether it can change permissions, so"
	no, yes := access.RoleInfo{ChangesPermissions: access.No}, access.RoleInfo{ChangesPermissions: access.Yes}
	for _, x := range []struct {
		what                string
		first, second       access.RoleInfo
		opened, confirmed   string
		unopened, unclaimed string
	}{
		{"known of one", no, yes, again, known, perhaps, unknown},
		{"known of the other", yes, no, again, known, perhaps, unknown},
		{"known of one and unknown of the other", yes, access.RoleInfo{}, again, known, perhaps, unknown},
		{"unknown of one and known of the other", access.RoleInfo{}, yes, again, known, perhaps, unknown},
		{"unknown", no, access.RoleInfo{}, perhaps, unknown, again, known},
		{"unknown of both", access.RoleInfo{}, access.RoleInfo{}, perhaps, unknown, again, known},
		{"neither can", no, no, "Grants", "Approve this?", "once more", "change permissions"},
	} {
		t.Run(x.what, func(t *testing.T) {
			w := newWorld(t)
			w.Titles = maps.Clone(w.Titles)
			x.first.Title, x.second.Title = "First", "Second"
			w.Titles[security.Role], w.Titles[storybook.Viewer.Role] = x.first, x.second
			for _, p := range []access.Principal{ana, ben} {
				w.Holdings[p] = []access.Entitlement{brokertest.Peer(security), brokertest.Peer(storybook.Viewer)}
			}
			asked, err := w.Broker.Ask(t.Context(), access.Caller{Principal: ana}, broker.Ask{Resource: orders,
				Entitlements: []access.EntitlementID{security, storybook.Viewer}, Justification: "case 4711", Duration: time.Hour,
				Reviewers: []string{string(ben)}, Origin: "https://access.example.com"})
			if err != nil {
				t.Fatal(err)
			}
			h, _ := serve(t, w, nil)
			opened := request("GET", "/review?activation="+asked.Ref)
			confirmed := httptest.NewRequest("POST", "/review?activation="+asked.Ref, strings.NewReader("verdict=approve"))
			confirmed.Header = request("POST", "/").Header
			confirmed.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			page := func(r *http.Request) string {
				r.Host = "access.example.com"
				r.Header.Set(personHeader, string(ben))
				return html.UnescapeString(do(h, r).Body.String())
			}
			for _, one := range []struct {
				page, says, silent string
			}{{page(opened), x.opened, x.unopened}, {page(confirmed), x.confirmed, x.unclaimed}} {
				if !strings.Contains(one.page, one.says) || strings.Contains(one.page, one.silent) {
					t.Errorf("does not say %q, or says %q:\n%s", one.says, one.silent, one.page)
				}
			}
		})
	}
}
