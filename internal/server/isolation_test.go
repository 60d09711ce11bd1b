package server_test

import (
	"net/http"
	"testing"

	"jitaccess/internal/access"
	"jitaccess/internal/server"
	"jitaccess/internal/server/storybook"
)

// What a page of another site makes a browser fetch finds nothing out, neither who is
// signed in nor what they have; a link leads here all the same.
func TestOtherSitesEmbedNothing(t *testing.T) {
	for name, c := range map[string]struct {
		site, mode, dest, purpose string
		passes                    bool
	}{
		"a program or an old browser":          {passes: true},
		"typed, or a bookmark":                 {"none", "navigate", "document", "", true},
		"our own link":                         {"same-origin", "navigate", "document", "", true},
		"our own script":                       {"same-origin", "cors", "empty", "", true},
		"a link in a web mail, IAP's return":   {"cross-site", "navigate", "document", "", true},
		"a link of a neighbour":                {"same-site", "navigate", "document", "", true},
		"an image":                             {"cross-site", "no-cors", "image", "", false},
		"a neighbour's image":                  {"same-site", "no-cors", "image", "", false},
		"a script":                             {"cross-site", "no-cors", "script", "", false},
		"a fetch":                              {"cross-site", "cors", "empty", "", false},
		"a fetch that says it navigates":       {"cross-site", "navigate", "empty", "", false},
		"a frame":                              {"cross-site", "navigate", "iframe", "", false},
		"an object":                            {"cross-site", "navigate", "object", "", false},
		"an embedded document":                 {"cross-site", "navigate", "embed", "", false},
		"a document that is not navigated to":  {"cross-site", "no-cors", "document", "", false},
		"in advance":                           {"cross-site", "navigate", "document", "prefetch", false},
		"in advance, rendered":                 {"cross-site", "navigate", "document", "prefetch;prerender", false},
		"a prefetch":                           {"cross-site", "no-cors", "empty", "prefetch", false},
		"our own prefetch":                     {"same-origin", "no-cors", "empty", "prefetch", true},
		"a site that no browser speaks of yet": {"other-site", "no-cors", "image", "", false},
		"in other letters":                     {"Cross-Site", "no-cors", "image", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			asked := false
			h, _ := serve(t, newWorld(t), func(c *server.Config) {
				c.Identify = func(r *http.Request) (access.Caller, error) { asked = true; return storybook.Identify(r) }
			})
			routes(t, h, func(method, route, path string) {
				if open[route] {
					return
				}
				for _, method := range map[string][]string{http.MethodGet: {"GET", "HEAD"}, http.MethodPost: {"POST"}}[method] {
					asked = false
					r := request(method, path)
					for header, value := range map[string]string{"Site": c.site, "Mode": c.mode, "Dest": c.dest} {
						r.Header.Del("Sec-Fetch-" + header)
						if value != "" {
							r.Header.Set("Sec-Fetch-"+header, value)
						}
					}
					if c.purpose != "" {
						r.Header.Set("Sec-Purpose", c.purpose)
					}
					w := do(h, r)
					// A form is never led here by others.
					passes := c.passes && (method != http.MethodPost || c.site == "" || c.site == "none" || c.site == "same-origin")
					if asked != passes || !passes && w.Code != http.StatusForbidden {
						t.Errorf("%s %s: %d, identity was asked: %t", method, route, w.Code, asked)
					}
				}
			})
		})
	}
	h, _ := serve(t, newWorld(t), nil)
	for _, path := range []string{"/nowhere", "/api/nowhere"} {
		r := request("GET", path)
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		if got := do(h, r).Code; got != http.StatusForbidden {
			t.Errorf("%s: %d", path, got)
		}
	}
	for path, want := range map[string]int{"/assets/icon.svg": 200, "/health/alive": 200} {
		r := request("GET", path)
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		if got := do(h, r).Code; got != want {
			t.Errorf("%s: %d, and it is open to everybody", path, got)
		}
	}
}
