package notice_test

import (
	"fmt"
	"strings"
	"testing"

	"jitaccess/internal/access"
)

// Where reasons are left out, nothing is told that people wrote, that an application sent, or that
// a mail says, in any kind of notice.
func TestWithoutReasonsNothingThatWasWrittenIsTold(t *testing.T) {
	const leak = "LEAK"
	for _, unlinked := range []bool{true, false} {
		for _, k := range []access.NoticeKind{access.NoticeReview, access.NoticeApproved, access.NoticeDenied, access.NoticeWithdrawn, access.NoticeEnded,
			access.NoticeBounced, access.NoticeGlass, access.NoticeGlassReviewed, access.NoticeReminder, access.NoticeEscalated, access.NoticeEnding,
			access.NoticeSelfApproved, access.NoticeHappened, access.NoticePasskeyAdded, access.NoticePasskeyApproved, access.NoticePasskeyRemoved} {
			n := asked()
			n.Kind, n.Did, n.By = k, access.GrantEnded, "erin@example.com"
			n.Decision = access.Decision{By: "ben@example.com", Comment: leak, At: at}
			n.Declined = []access.Decision{{By: "cho@example.com", Comment: leak}}
			n.Request.Justification = leak
			n.Request.Asking = access.Asking{Application: "deployer", Template: "deploy", Title: leak, Subject: leak, Unlinked: unlinked,
				Data: []access.Datum{{Label: leak, Value: leak}}, Claims: []access.Datum{{Label: leak, Value: leak}}}
			n.Bounce = access.Bounce{To: "leak@example.com", Status: "5.7.1", Text: leak, Meaning: leak, Remedy: leak}
			n.Passkey = access.Passkey{Of: n.Request.Principal, Name: leak, Enrolled: at}
			for _, hidden := range []bool{true, false} {
				w := writer("Google Cloud")
				w.Reasonless = hidden
				facts, err := w.Write(n)
				if err != nil {
					t.Fatal(k, err)
				}
				if told := fmt.Sprint(facts); hidden && strings.Contains(strings.ToUpper(told), leak) {
					t.Errorf("%s, unlinked %t: %s", k, unlinked, told)
				} else if !hidden && !strings.Contains(told, leak) {
					t.Errorf("%s, unlinked %t: the test leaks nothing: %s", k, unlinked, told)
				}
			}
		}
	}
}

// Nobody is who did it where anybody may have written that a mail came back: what it takes to tell of
// it is on nobody's account.
func TestABounceIsOnNobodysAccount(t *testing.T) {
	n := asked()
	n.Kind, n.Bounce = access.NoticeBounced, access.Bounce{To: "ben@example.com"}
	if facts, err := writer("").Write(n); err != nil || facts.By != "" {
		t.Errorf("%q, %v", facts.By, err)
	}
}
