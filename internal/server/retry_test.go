package server_test

import (
	"strings"
	"testing"

	"jitaccess/internal/access"
)

// What was sent and failed for a while is offered to be sent again in its place, whole, and what
// had been confirmed is confirmed anew. Nothing else is.
func TestWhatFailedIsTriedAgainInItsPlace(t *testing.T) {
	const review = "/review?activation=REF"
	fails := failing(access.TimedOut, access.CodeUpstreamTimeout, access.Args{"service": "Resource Manager"})
	page := func(s story) string {
		t.Helper()
		c := newCanned(t)
		s.set(c)
		h, _ := serve(t, c, nil)
		w := do(h, storyRequest(s))
		if w.Code != s.code {
			t.Fatalf("%d: %s", w.Code, w.Body)
		}
		return string(ownPart(t, w.Body.String()))
	}
	denied := page(story{set: fails, request: "POST " + review + " verdict=deny&comment=Drain+%3Cit%3E+first&digest=d", person: ben, code: 504})
	for _, want := range []string{`<form method="post">`, `name="comment" value="Drain &lt;it&gt; first"`, `name="verdict" value="deny"`, `name="digest" value="d"`, "Try again"} {
		if !strings.Contains(denied, want) {
			t.Errorf("lacks %s:\n%s", want, denied)
		}
	}
	if got := page(story{set: fails, request: "POST " + review + " verdict=approve&confirmed=1", person: ben, code: 504}); strings.Contains(got, "confirmed") || !strings.Contains(got, "Try again") {
		t.Errorf("is confirmed by nobody:\n%s", got)
	}
	if got := page(story{set: fails, request: "GET " + review, person: ben, code: 504}); !strings.Contains(got, `href="">Try again`) || strings.Contains(got, "<form") {
		t.Errorf("a page:\n%s", got)
	}
	refused := failing(access.NotAllowed, access.CodeNotInvolved, nil)
	if got := page(story{set: refused, request: "POST " + review + " verdict=deny&comment=x", person: ben, code: 403}); strings.Contains(got, "Try again") {
		t.Errorf("what is refused:\n%s", got)
	}
}
