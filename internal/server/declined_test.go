package server_test

import (
	"html"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
)

// The page of a request says who has declined it, also to whom it was sent afterwards, and
// on a link that does not ask them.
func TestThePageSaysWhoDeclined(t *testing.T) {
	w := newWorld(t)
	caller := func(p access.Principal) access.Caller { return access.Caller{Principal: p} }
	asked, err := w.Broker.Ask(t.Context(), caller(ana), broker.Ask{Resource: orders, Entitlements: []access.EntitlementID{security},
		Justification: "case 4711", Duration: time.Hour, Reviewers: []string{string(ben)}, Origin: "https://access.example.com"})
	if err != nil {
		t.Fatal(err)
	}
	added, err := w.Broker.AddReviewers(t.Context(), caller(ana), broker.AddReviewers{Ref: asked.Ref, Reviewers: []string{string(carl)},
		Origin: "https://access.example.com"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Broker.Decide(t.Context(), caller(carl), broker.Decide{Ref: added.Ref, Verdict: access.Deny, Comment: "use staging"}); err != nil {
		t.Fatal(err)
	}
	h, _ := serve(t, w, nil)
	for _, ref := range []string{asked.Ref, added.Ref} {
		r := request("GET", "/review?activation="+ref)
		r.Header.Set(personHeader, string(ben))
		page := html.UnescapeString(do(h, r).Body.String())
		_, of, _ := strings.Cut(page, `<span class="address">`+string(carl)+`</span>`)
		if said, _, _ := strings.Cut(of, "</li>"); !strings.Contains(said, "Declined") || !strings.Contains(said, "use staging") {
			t.Errorf("%s says of carl %q", ref, said)
		}
	}
}

// A grant that JIT Access 1.8.1 made of a link, with a reason that ends like an id, is
// ended by what it bears.
func TestEndNowOfAReasonThatEndsLikeAnID(t *testing.T) {
	w := newWorld(t)
	q := access.Request{ID: "mpa-AQEBAQEBAQEBAQEB", Kind: access.Peers, State: access.Pending, Principal: ana, Resource: orders,
		Entitlements: []access.EntitlementID{security}, Justification: "as [mpa-CCCCCCCCCCCCCCCC]", Duration: time.Hour,
		Reviewers: []access.Principal{ben}, Created: noon, Expires: noon.Add(time.Hour)}
	w.Requests["ref-1"] = q
	w.Activations = []access.Activation{{RequestID: "mpa-CCCCCCCCCCCCCCCC", Principal: ana, Entitlement: security, Justification: "as",
		Window: access.Window{Start: noon, End: noon.Add(time.Hour)}, Approvers: []access.Principal{ben}}}
	h, _ := serve(t, w, nil)
	r := request("GET", "/review?activation=ref-1")
	r.Header.Set(personHeader, string(ana))
	if page := do(h, r).Body.String(); !strings.Contains(page, `action="/requests/mpa-CCCCCCCCCCCCCCCC/end"`) {
		t.Errorf("ends something else: %s", page)
	}
}
