package notice_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/notice"
	"jitaccess/internal/words"
)

var at = time.Date(2026, 3, 2, 9, 30, 0, 0, time.UTC)

// asked is a notice that asks ben to decide a request of ana.
func asked() access.Notice {
	return access.Notice{
		Kind: access.NoticeReview,
		Request: access.Request{ID: "mpa-AAAAAAAAAAAAAAAA", Principal: "ana@example.com", Resource: "projects/shop", Duration: time.Hour,
			Entitlements: []access.EntitlementID{{Resource: "projects/shop", Role: "roles/viewer"},
				{Resource: "projects/shop", Role: "roles/editor"}},
			Justification: "Bug 4711", Reviewers: []access.Principal{"ben@example.com"}, Created: at, Expires: at.Add(time.Hour)},
		To: []access.Principal{"ben@example.com"}, ReviewURL: "https://jit.example.com/review?activation=A", BaseURL: "https://jit.example.com/",
	}
}

func approvedInPart(refused ...*access.Error) access.Notice {
	n := asked()
	n.Kind, n.Window = access.NoticeApproved, access.Window{Start: at, End: at.Add(time.Hour)}
	n.Decision = access.Decision{Verdict: access.Approve, By: "ben@example.com", At: at}
	for _, err := range refused {
		n.Outcomes = append(n.Outcomes, access.Outcome{Entitlement: n.Request.Entitlements[1], Result: access.Refused, Err: err})
	}
	return n
}

func writer(provider string) notice.Writer {
	return notice.Writer{Language: words.English(), Provider: func(access.Resource) string { return provider }}
}

// Nobody is told to wait for what holds at once.
func TestNoDelayIsToldWhereThereIsNone(t *testing.T) {
	w := writer("Pomerium")
	w.Immediate = func(on access.Resource) bool { return on == "projects/shop" }
	facts, err := w.Write(approvedInPart())
	if err != nil || len(facts.Notes) != 1 || facts.Notes[0] != "The access ends by itself." {
		t.Errorf("%q, %v", facts.Notes, err)
	}
	ended := approvedInPart()
	ended.Kind, ended.By = access.NoticeEnded, "erin@example.com"
	if facts, err = w.Write(ended); err != nil || len(facts.Notes) != 0 {
		t.Errorf("%q, %v", facts.Notes, err)
	}
}

// Where it is not known who ended access, nobody is said to have.
func TestNobodyIsSaidToHaveEndedWhatIsNotKnown(t *testing.T) {
	ended := approvedInPart()
	ended.Kind, ended.By = access.NoticeEnded, ""
	facts, err := writer("Google Cloud").Write(ended)
	named := slices.ContainsFunc(facts.Rows, func(r notice.Row) bool { return r.Label == "Ended by" })
	if err != nil || named || !strings.HasSuffix(facts.Intro, "was ended before its end. By whom is not known here.") {
		t.Errorf("%q, %+v, %v", facts.Intro, facts.Rows, err)
	}
}

// A role that could not be granted is told in the words of a refusal anywhere else, and
// the provider by its name.
func TestWhatWasNotGrantedIsToldInTheSameWordsAsAnywhere(t *testing.T) {
	for _, err := range []*access.Error{
		{Kind: access.Unprocessable, Code: access.CodeRoleNotGrantable, Args: access.Args{"role": "roles/editor", "resource": "projects/shop"}},
		{Kind: access.Unprocessable, Code: access.CodeConditionTooLong, Args: access.Args{"count": "13", "max": "12"}},
		{Kind: access.Unprocessable, Code: access.CodePlatformRefused, Args: access.Args{"reason": `"no"`, "violation": "AAbb"}},
		{Kind: access.Internal, Code: access.CodeInternal},
		nil,
	} {
		facts, failure := writer("Pomerium").Write(approvedInPart(err))
		if failure != nil {
			t.Fatal(failure)
		}
		want := "roles/editor was refused."
		if err != nil {
			want = "roles/editor: " + words.English().Refusal(err, "Pomerium").Text
		}
		row := facts.Rows[0]
		if len(row.Details) != 1 || row.Details[0] != want || row.Value != "Pomerium refused a part of it; the rest was granted." {
			t.Errorf("%+v, want %q", row, want)
		}
		if !strings.HasPrefix(facts.Notes[0], "Pomerium usually takes") ||
			facts.Heading != "Access approved, granted in part" || facts.By != "ben@example.com" {
			t.Errorf("%+v", facts)
		}
	}
	facts, _ := writer("").Write(approvedInPart())
	if facts.Rows[0].Label == "Not granted" || !strings.HasPrefix(facts.Notes[0], "the provider usually") {
		t.Errorf("%+v", facts)
	}
}

func TestWhatMustReachNeitherHeaderNorLinkIsRefused(t *testing.T) {
	for name, change := range map[string]func(*access.Notice){
		"no request id":          func(n *access.Notice) { n.Request.ID = "mpa-1\r\nBcc: x@example.com" },
		"no principal":           func(n *access.Notice) { n.Request.Principal = "" },
		"a principal of a kind":  func(n *access.Notice) { n.Request.Principal = "user:ana@example.com" },
		"a principal not folded": func(n *access.Notice) { n.Request.Principal = "Ana@example.com" },
		"no resource":            func(n *access.Notice) { n.Request.Resource = "projects/../x" },
		"a script for a link":    func(n *access.Notice) { n.ReviewURL = "javascript:alert(1)" },
		"a link in the clear":    func(n *access.Notice) { n.ReviewURL = "http://jit.example.com/" },
		"a link with a password": func(n *access.Notice) { n.BaseURL = "https://a:b@jit.example.com/" },
		"a link without a host":  func(n *access.Notice) { n.BaseURL = "https:///review" },
		"what nobody is told":    func(n *access.Notice) { n.Kind = access.NoticeChanged },
		"a kind that is no kind": func(n *access.Notice) { n.Kind = "" },
	} {
		n := asked()
		change(&n)
		if facts, err := writer("Google").Write(n); err == nil {
			t.Errorf("%s: %+v", name, facts)
		}
	}
	for _, link := range []string{"", "http://127.0.0.1:8080/review", "http://localhost/"} {
		n := asked()
		n.ReviewURL = link
		if facts, err := writer("Google").Write(n); err != nil || facts.URL != link {
			t.Errorf("%q: %v", link, err)
		}
	}
}

// What people and administrators of roles write is shown as far as it can be of use, and
// pushes nothing else off the screen.
func TestTextsOfOthersAreBounded(t *testing.T) {
	n := asked()
	long := strings.Repeat("word ", 2000)
	n.Request.Justification = long
	n.Roles = []access.RoleInfo{{Role: "roles/viewer", Title: long, Description: long, ChangesPermissions: access.No}}
	facts, err := writer("Google").Write(n)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range facts.Rows {
		for _, text := range append([]string{row.Value}, row.Details...) {
			if len([]rune(text)) > 501 {
				t.Errorf("%s has %d characters", row.Label, len([]rune(text)))
			}
		}
	}
}

// A role that nobody could look at may change permissions, and is told so.
func TestThreat20_ARoleThatNobodyKnowsMayChangePermissions(t *testing.T) {
	for answer, want := range map[access.Answer]string{
		access.Yes:     words.English().Text("notice.role.changes-permissions"),
		access.Unknown: words.English().Text("notice.role.may-change-permissions"),
		access.No:      "",
	} {
		n := asked()
		n.Roles = []access.RoleInfo{{Role: "roles/viewer", Title: "Viewer", ChangesPermissions: answer}}
		n.Request.Entitlements = n.Request.Entitlements[:1]
		facts, err := writer("Google").Write(n)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, row := range facts.Rows {
			for _, text := range row.Details {
				if strings.Contains(text, "permissions") {
					got = text
				}
			}
		}
		if got != want {
			t.Errorf("%v: %q, want %q", answer, got, want)
		}
	}
}

// Who is asked after others have declined reads who did, and why.
func TestDeclinesStandBeforeTheRequest(t *testing.T) {
	n := asked()
	n.Declined = []access.Decision{{Verdict: access.Deny, By: "cho@example.com", Comment: "use\u202e staging"}}
	facts, err := writer("").Write(n)
	if err != nil || len(facts.Rows) < 2 || facts.Rows[0].Label != "Declined by" || facts.Rows[0].Value != "cho@example.com" ||
		facts.Rows[1].Value != "use[U+202E] staging" {
		t.Errorf("%+v, %v", facts.Rows, err)
	}
}
