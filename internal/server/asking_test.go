package server_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"jitaccess/internal/access"
	"jitaccess/internal/server/storybook"
)

// Whatever an identity provider says, nobody signs in as what stands for somebody whom nobody
// knows.
func TestNobodySignsInAsWhomNobodyKnows(t *testing.T) {
	h, _ := serve(t, newCanned(t), nil)
	for p, want := range map[access.Principal]int{ana: http.StatusOK, access.Spelled("deployer", "ana"): http.StatusUnauthorized} {
		r := request("GET", "/")
		r.Header.Set(personHeader, string(p))
		if w := do(h, r); w.Code != want {
			t.Errorf("%s: %d", p, w.Code)
		}
	}
}

// A rule that leaves out every channel that reaches people leaves telling them to who asks, and
// no page says that they got a mail.
func TestWhoIsToldByNothingIsNotSaidToBe(t *testing.T) {
	for _, c := range []struct {
		notify []string
		only   bool
		told   bool
	}{{nil, false, true}, {[]string{"pubsub"}, false, true}, {[]string{"mail"}, true, true}, {[]string{"pubsub"}, true, false}} {
		w := newCanned(t)
		storybook.Ledgered(w.State)
		all := storybook.Stories()
		named := func(name string) storybook.Story {
			return all[slices.IndexFunc(all, func(s storybook.Story) bool { return s.Name == name })]
		}
		own := named("request-own-waits")
		own.Set(w.State)
		terms := []*access.Terms{&w.View.Request.Terms}
		for i := range w.State.Offer.Roles {
			terms = append(terms, &w.State.Offer.Roles[i].Terms)
		}
		for _, t := range terms {
			t.Notify, t.NotifyOnly = c.notify, c.only
		}
		h, _ := serve(t, w, w.Configure)
		for what, r := range map[string]*http.Request{"the form": named("ask-peer").HTTPRequest(), "the request": own.HTTPRequest()} {
			page := do(h, r).Body.String()
			if strings.Contains(page, "mail with a link") != c.told || strings.Contains(page, "By its rule nobody") == c.told {
				t.Errorf("notify %v, only %v: %s says: %s", c.notify, c.only, what, said(page))
			}
		}
	}
}
