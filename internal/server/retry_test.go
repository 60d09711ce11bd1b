package server_test

import (
	"strings"
	"testing"

	"jitaccess/internal/access"
	"jitaccess/internal/server/storybook"
)

// What was sent and failed for a while is offered to be sent again in its place, whole, and what
// had been confirmed is confirmed anew. Nothing else is.
func TestWhatFailedIsTriedAgainInItsPlace(t *testing.T) {
	const review = "/review?activation=REF"
	fails := error(&access.Error{Kind: access.TimedOut, Code: access.CodeUpstreamTimeout, Args: access.Args{"service": "Resource Manager"}})
	page := func(request string, err error, code int) string {
		t.Helper()
		c := newCanned(t)
		c.Err = err
		h, _ := serve(t, c, nil)
		w := do(h, storybook.Story{Request: request, Person: ben}.HTTPRequest())
		if w.Code != code {
			t.Fatalf("%d: %s", w.Code, w.Body)
		}
		return string(ownPart(t, w.Body.String()))
	}
	denied := page("POST "+review+" verdict=deny&comment=Drain+%3Cit%3E+first&digest=d", fails, 504)
	for _, want := range []string{`<form method="post">`, `name="comment" value="Drain &lt;it&gt; first"`, `name="verdict" value="deny"`, `name="digest" value="d"`, "Try again"} {
		if !strings.Contains(denied, want) {
			t.Errorf("lacks %s:\n%s", want, denied)
		}
	}
	if got := page("POST "+review+" verdict=approve&confirmed=1", fails, 504); strings.Contains(got, "confirmed") || !strings.Contains(got, "Try again") {
		t.Errorf("is confirmed by nobody:\n%s", got)
	}
	if got := page("GET "+review, fails, 504); !strings.Contains(got, `href="">Try again`) || strings.Contains(got, "<form") {
		t.Errorf("a page:\n%s", got)
	}
	refused := error(&access.Error{Kind: access.NotAllowed, Code: access.CodeNotInvolved})
	if got := page("POST "+review+" verdict=deny&comment=x", refused, 403); strings.Contains(got, "Try again") {
		t.Errorf("what is refused:\n%s", got)
	}
}
