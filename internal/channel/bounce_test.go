package channel_test

import (
	"strings"
	"testing"

	"jitaccess/internal/access"
)

// bounce is that a mail says that one about the request came back. Whoever has seen ours can have
// written it.
func bounce(n access.Notice) access.Notice {
	n.ID, n.Did, n.Kind, n.To, n.CC = "N-bounced", access.MailBounced, access.NoticeBounced, []access.Principal{ana}, []access.Principal{carl}
	n.Bounce = access.Bounce{To: "somebody.else@example.com", Status: "5.7.1", Text: "Approved by phone, see https://evil.example/login"}
	return n
}

// What a stranger can write changes nothing that was sent, and is told to the requester alone: in
// Slack as an answer to what they have, or by a message of their own; nowhere where others read along.
func TestABounceChangesNoMessage(t *testing.T) {
	n := asked(ben, carl)
	for name, test := range map[string]struct {
		before []access.Notice
		want   string
	}{
		"while it waits": {nil, "#access: Request for access; ana@example.com: A mail came back; ben@example.com: Request for access; " +
			"carl@example.com: Request for access"},
		"when it was denied": {[]access.Notice{after(n, access.RequestDenied, access.NoticeDenied)},
			"#access: Request denied; ana@example.com: A mail came back (in the thread); ana@example.com: Request denied; ben@example.com: Request denied; " +
				"carl@example.com: Request denied"},
	} {
		w := newWorld(t)
		c := w.slack()
		told := tell(t, c, n, nil)
		for _, next := range test.before {
			told = tell(t, c, next, told)
		}
		told = tell(t, c, bounce(n), told)
		if got := w.titles(); got != test.want {
			t.Errorf("%s:\n%s, want\n%s", name, got, test.want)
		}
		for _, m := range w.Messages() {
			if m.Place != string(ana) && strings.Contains(string(m.Raw), "phone") {
				t.Errorf("%s: at %s: %s", name, m.Place, m.Raw)
			}
		}
		// What becomes of the request changes the messages all the same.
		tell(t, c, after(n, access.RequestWithdrawn, access.NoticeWithdrawn), told)
		if got := w.titles(); strings.Count(got, "Request withdrawn") < 3 {
			t.Errorf("%s, then: %s", name, got)
		}
	}
	for _, k := range kinds {
		if k.name == "slack" {
			continue
		}
		w := newWorld(t)
		c := k.make(w)
		told := tell(t, c, n, nil)
		if tell(t, c, bounce(n), told); len(w.Messages()) != 1 {
			t.Errorf("%s: %s", k.name, w.titles())
		}
	}
}
