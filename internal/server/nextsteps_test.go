package server_test

import (
	"context"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/server/storybook"
)

// pageOf is the page of a request in a state, as somebody sees it.
func pageOf(t *testing.T, who access.Principal, set func(*canned)) string {
	t.Helper()
	c := newCanned(t)
	set(c)
	h, _ := serve(t, c, nil)
	w := asPage(h, who, "/requests/mpa-AQEBAQEBAQEBAQEB", nil)
	if w.Code != 200 {
		t.Fatalf("%d: %s", w.Code, w.Body)
	}
	checkMarkup(t, w.Body.String())
	return w.Body.String()
}

var tags = regexp.MustCompile(`<[^>]*>`)

// readable is the text of a page, without its markup.
func readable(page string) string {
	return strings.Join(strings.Fields(tags.ReplaceAllString(page, " ")), " ")
}

// TestWhoWaitsIsToldWhatToDo: who has not answered, when they are reminded, whom it is told then,
// until when it can be decided, and a message to pass on.
func TestWhoWaitsIsToldWhatToDo(t *testing.T) {
	waits := func(change func(*canned)) func(*canned) {
		return func(c *canned) {
			storybook.Ledgered(c.State)
			storybook.Own(&c.View)
			c.View.Request.Terms.Escalations = []access.Escalation{{After: 20 * time.Minute, To: []string{"group:leads@example.com"}}}
			if change != nil {
				change(c)
			}
		}
	}
	for name, one := range map[string]struct {
		change     func(*canned)
		want, lack []string
	}{
		"as a rule": {nil, []string{"Copy message", "Why: case 4711: the checkout’s service account lost a role", "Not answered yet: ben.okafor@example.com.",
			"They are reminded 12:26 UTC", "If it still waits 12:16 UTC (in 16 minutes) , it is told to: members of leads@example.com.",
			"It can be decided until 12:56 UTC", "Ask more people"}, []string{"Break the glass", "Approve<"}},
		"where the rule lets them break the glass": {func(c *canned) { c.View.CanBreak = true }, []string{"It cannot wait? Break the glass"}, nil},
		"reminded": {func(c *canned) { c.View.Request.Reminded = noon.Add(-time.Minute) },
			[]string{"They were reminded 11:59 UTC"}, []string{"They are reminded"}},
		"nothing is remembered": {func(c *canned) { c.View.Forgets = true }, []string{"It can be decided until"},
			[]string{"reminded", "it is told to"}},
		"nobody is told": {func(c *canned) { c.Silent = true }, []string{"It can be decided until"}, []string{"reminded", "it is told to"}},
		"no address of its own": {func(c *canned) { c.View.ReviewURL = "" }, []string{"It can be decided until"},
			[]string{"Copy message", "Ask more people"}},
		"many were asked": {func(c *canned) {
			for i := range 50 {
				c.View.Request.Reviewers = append(c.View.Request.Reviewers, access.Principal(fmt.Sprintf("r%d@example.com", i)))
			}
		}, []string{"51 people have not answered yet.", "44 more people asked"}, nil},
		"decided": {func(c *canned) { c.View.State = access.Denied }, nil, []string{"If nobody answers", "Copy message"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := readable(pageOf(t, ana, waits(one.change)))
			for _, text := range one.want {
				if !strings.Contains(got, text) {
					t.Errorf("does not say %q:\n%s", text, got)
				}
			}
			for _, text := range one.lack {
				if strings.Contains(got, text) {
					t.Errorf("says %q:\n%s", text, got)
				}
			}
		})
	}
	if got := readable(pageOf(t, ben, func(c *canned) { storybook.Ledgered(c.State) })); strings.Contains(got, "If nobody answers") || strings.Contains(got, "Copy message") {
		t.Errorf("a reviewer is told what to do while they do not answer:\n%s", got)
	}
}

// TestWhoWasGrantedSomethingIsToldHowToGoOn: since when it works, until when, where, and how to
// see it; only to whom it is for, and only while it is.
func TestWhoWasGrantedSomethingIsToldHowToGoOn(t *testing.T) {
	active := func(change func(*canned)) func(*canned) {
		return func(c *canned) {
			storybook.Ledgered(c.State)
			storybook.Own(&c.View)
			c.View.State, c.View.Window = access.Active, access.Window{Start: noon.Add(-time.Minute), End: noon.Add(time.Hour)}
			if change != nil {
				change(c)
			}
		}
	}
	page := pageOf(t, ana, active(nil))
	for _, text := range []string{`Works by <time class="clock" datetime="2026-11-22T12:06:00Z">12:06 UTC</time>`, "13:00 UTC",
		`href="https://console.cloud.google.com/home/dashboard?project=acme-orders-prod"`, "gcloud projects get-iam-policy acme-orders-prod",
		"Copy command"} {
		if !strings.Contains(page, text) {
			t.Errorf("does not say %q", text)
		}
	}
	for name, one := range map[string]struct {
		change     func(*canned)
		want, lack string
	}{
		"written later": {func(c *canned) {
			c.View.Events = append(c.View.Events, storybook.Happened(access.GrantWritten, "", 4*time.Minute))
		}, "Works by 12:07 UTC", ""},
		"works since":      {func(c *canned) { c.View.Window.Start = noon.Add(-8 * time.Minute) }, "Works until 13:00 UTC", "Works by"},
		"over before that": {func(c *canned) { c.View.Window.End = noon.Add(2 * time.Minute) }, "Works until 12:02 UTC", "Works by"},
		"begins later":     {func(c *canned) { c.View.Window.Start = noon.Add(time.Minute) }, "", "Works"},
		"ended":            {func(c *canned) { c.View.State = access.Ended }, "", "Works"},
		"of somebody else": {func(c *canned) { c.View.IsPrincipal = false }, "", "Works"},
		"of a provider that says neither": {func(c *canned) {
			c.View.Request.Resource = "rooms/lab"
			c.View.Request.Entitlements = []access.EntitlementID{{Resource: "rooms/lab", Role: "roles/key"}}
		}, "Works until 13:00 UTC", "Copy command"},
	} {
		t.Run(name, func(t *testing.T) {
			got := readable(pageOf(t, ana, active(one.change)))
			if !strings.Contains(got, one.want) || one.lack != "" && strings.Contains(got, one.lack) {
				t.Errorf("want %q, not %q:\n%s", one.want, one.lack, got)
			}
		})
	}
}

// TestWhatIsChosenToDenyIsAskedWhy: the reason is asked for once Deny was chosen, and it stays
// open when it was not said.
func TestWhatIsChosenToDenyIsAskedWhy(t *testing.T) {
	if page := pageOf(t, ben, func(c *canned) { storybook.Ledgered(c.State) }); !strings.Contains(page, `<details class="deny">`) {
		t.Errorf("the reason is asked for at once:\n%s", page)
	}
	c := newCanned(t)
	storybook.Ledgered(c.State)
	c.Err = nil
	h, _ := serve(t, &refusing{c, &access.Error{Kind: access.Invalid, Code: access.CodeNoComment, Field: access.FieldComment}}, nil)
	w := asPage(h, ben, "/review?activation=mpa-AQEBAQEBAQEBAQEB", url.Values{"verdict": {"deny"}})
	if w.Code != 400 || !strings.Contains(w.Body.String(), `<details class="deny" open>`) {
		t.Errorf("%d: %s", w.Code, w.Body)
	}
}

// TestLongHistoriesAreFolded: of 200 events the newest are shown at once, and none is lost.
func TestLongHistoriesAreFolded(t *testing.T) {
	for _, n := range []int{0, 1, 21, 22, 200} {
		page := pageOf(t, eve, func(c *canned) {
			storybook.Ledgered(c.State)
			c.View.Events = nil
			for i := range n {
				c.View.Events = append(c.View.Events, storybook.Happened(access.ReviewersAdded, ana, time.Duration(i)*time.Second))
			}
		})
		if got := strings.Count(page, "asked more people"); got != n {
			t.Errorf("of %d events %d are shown", n, got)
		}
		if folded := strings.Contains(page, "earlier event"); folded != (n > 21) {
			t.Errorf("of %d events some are folded: %t", n, folded)
		}
	}
}

// TestStackedMarksAreKeptInTheirLine: what would cover the lines around is marked, and nothing else.
func TestStackedMarksAreKeptInTheirLine(t *testing.T) {
	zalgo := "Z" + strings.Repeat("\u0301", 4) + "go"
	page := pageOf(t, ben, func(c *canned) {
		storybook.Ledgered(c.State)
		c.View.Request.Justification = "tiếng Việt שָׁלוֹם <b>" + zalgo + "</b> e\u0301\u0302\u0303 now"
	})
	if want := `tiếng Việt שָׁלוֹם <span class="stacked">&lt;b&gt;` + zalgo + "&lt;/b&gt; </span>e\u0301\u0302\u0303 now"; !strings.Contains(page, want) {
		t.Errorf("lacks %s:\n%s", want, page)
	}
}

// TestLookAlikesAreMarked in words beside what was written.
func TestLookAlikesAreMarked(t *testing.T) {
	page := pageOf(t, ben, func(c *canned) {
		storybook.Ledgered(c.State)
		c.View.Request.Justification = "on \u0430cme-orders-prod"
	})
	if want := "“\u0430cme-orders-prod” mixes Latin letters with Cyrillic ones"; !strings.Contains(page, want) {
		t.Errorf("lacks %s", want)
	}
	if strings.Contains(pageOf(t, ben, func(c *canned) { storybook.Ledgered(c.State) }), "mixes Latin letters") {
		t.Error("marks what is in order")
	}
}

// TestBeforeIsToldInNumbers, and nothing is told where it is not known.
func TestBeforeIsToldInNumbers(t *testing.T) {
	for want, past := range map[string]*access.Past{
		"3 times in 90 days on this project, last on 12 Nov 2026; 1 denied": {Had: 3, Denied: 1, Last: noon.AddDate(0, 0, -10)},
		"1 time in 90 days on this project, last on 12 Nov 2026":            {Had: 1, Last: noon.AddDate(0, 0, -10)},
		"Never in 90 days on this project; 2 denied":                        {Denied: 2},
		"Never in 90 days on this project":                                  {},
		"":                                                                  nil,
	} {
		page := pageOf(t, ben, func(c *canned) { storybook.Ledgered(c.State); c.View.Past = past })
		_, got, _ := strings.Cut(page, `id="before">`)
		if got, _, _ = strings.Cut(got, "<"); got != want {
			t.Errorf("says %q, want %q", got, want)
		}
	}
}

// refusing is a broker that decides nothing.
type refusing struct {
	*canned
	why error
}

func (b *refusing) Decide(context.Context, access.Caller, broker.Decide) (broker.Decided, error) {
	return broker.Decided{}, b.why
}

// TestAPageSaysAThingOnce: the delay of the provider beside End now, and Deny on one button alone
// once its form is open; where how far a moment is is hidden, in print, so is the space before it.
func TestAPageSaysAThingOnce(t *testing.T) {
	for can, want := range map[bool]string{true: "Ending early is not instant", false: "takes two to seven minutes to apply a change."} {
		page := pageOf(t, ana, func(c *canned) {
			storybook.Ledgered(c.State)
			c.View.State, c.View.Window = access.Active, access.Window{Start: noon.Add(-time.Minute), End: noon.Add(time.Hour)}
			c.View.CanEnd = can
		})
		if strings.Count(page, "two to seven minutes") != 1 || !strings.Contains(page, want) || strings.Contains(page, `</time> <span class="relative">`) {
			t.Errorf("can be ended %t: %s", can, page)
		}
	}
	if page := pageOf(t, ben, func(c *canned) { storybook.Ledgered(c.State) }); !strings.Contains(page, `<span class="closed">Deny</span><span class="opened">Back</span>`) {
		t.Error(page)
	}
}
