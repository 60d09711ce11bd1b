package server_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"jitaccess/internal/access"
	"jitaccess/internal/server"
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
		ledgered(w)
		all := stories()
		named := func(name string) story {
			return all[slices.IndexFunc(all, func(s story) bool { return s.name == name })]
		}
		own := named("request-own-waits")
		own.set(w)
		terms := []*access.Terms{&w.view.Request.Terms}
		for i := range w.offer.Roles {
			terms = append(terms, &w.offer.Roles[i].Terms)
		}
		for _, t := range terms {
			t.Notify, t.NotifyOnly = c.notify, c.only
		}
		h, _ := serve(t, w, func(sc *server.Config) { w.configure(t)(sc) })
		for what, r := range map[string]*http.Request{"the form": storyRequest(named("ask-peer")), "the request": storyRequest(own)} {
			page := do(h, r).Body.String()
			if strings.Contains(page, "mail with a link") != c.told || strings.Contains(page, "By its rule nobody") == c.told {
				t.Errorf("notify %v, only %v: %s says: %s", c.notify, c.only, what, said(page))
			}
		}
	}
}
