package server_test

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"jitaccess/internal/chromiumtest"
	"jitaccess/internal/server"
	"jitaccess/internal/server/storybook"
	"jitaccess/internal/words"
)

// stage serves one story at a time to a browser, at a path that is its name, in the language that
// the query asks for. What its page asks for besides is answered to the same person.
type stage struct {
	t        *testing.T
	tab      context.Context
	origin   string
	mu       sync.Mutex
	handlers map[string]http.Handler
	story    storybook.Story
}

// newStage is one for a tab.
func newStage(t *testing.T, tab context.Context) *stage {
	s := &stage{t: t, tab: tab}
	chromiumtest.InstallAxe(t, s.tab)
	chromiumtest.At(t, s.tab, storybook.Noon)
	front := httptest.NewServer(s)
	t.Cleanup(func() {
		front.CloseClientConnections() // of pages that wait
		front.Close()
	})
	s.origin = front.URL
	return s
}

func (s *stage) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	h, now := s.handlers[cmp.Or(r.URL.Query().Get("in"), "en")], s.story
	s.mu.Unlock()
	if r.URL.Path == "/"+now.Name {
		said := do(h, now.HTTPRequest())
		for name, values := range said.Header() {
			w.Header()[name] = values
		}
		w.Header().Del("Refresh")         // it is this page that is looked at
		_, _ = w.Write(said.Body.Bytes()) // a page of an error is read as any other
		return
	}
	// Nothing happens while a page is looked at: whoever waits for it waits until it is left.
	if r.URL.Query().Has("wait") {
		<-r.Context().Done()
		return
	}
	r.Header.Set(storybook.PersonHeader, string(now.Person))
	h.ServeHTTP(w, r)
}

// open shows a story, and fails unless its page is there whole.
func (s *stage) open(each storybook.Story) {
	s.t.Helper()
	handlers := map[string]http.Handler{}
	for _, choice := range words.Choices() {
		c := canned{State: each.State()}
		handlers[choice.Tag], _ = serve(s.t, c, func(sc *server.Config) {
			sc.Language = words.Tagged(choice.Tag)
			c.Configure(sc)
		})
	}
	s.mu.Lock()
	s.handlers, s.story = handlers, each
	s.mu.Unlock()
	if err := chromedp.Do(s.tab, chromedp.Navigate(s.origin+"/"+each.Name)); err != nil {
		s.t.Fatal(err)
	}
	const whole = `[location.pathname, document.documentElement.lang, document.querySelectorAll("main h1").length,
		getComputedStyle(document.querySelector("main")).maxWidth !== "none", typeof window.jitaccess].join(" ")`
	if got, want := s.value(whole), "/"+each.Name+" en 1 true object"; got != want {
		s.t.Fatalf("the page is not there: %q, want %q", got, want)
	}
}

func (s *stage) value(script string) string {
	s.t.Helper()
	v, err := chromedp.Run(s.tab, chromedp.Evaluate[string](script, chromedp.EvalAwaitPromise))
	if err != nil {
		s.t.Fatal(err)
	}
	return v
}

// all is every rule of axe-core but those of WCAG's level AAA, that of target sizes, which
// axe-core has switched off, included. hidden-content finds no fault: it says what was not looked
// at, which is shown before it is judged here.
var all = chromiumtest.Rules{Tags: strings.Fields("wcag2a wcag2aa wcag21a wcag21aa wcag22aa best-practice experimental"),
	Besides: []string{"target-size"}, Without: []string{"hidden-content"}}

// colours is what depends on the scheme, and worded what depends on the language.
var (
	colours = chromiumtest.Rules{IDs: []string{"color-contrast"}}
	worded  = chromiumtest.Rules{IDs: strings.Fields(`button-name document-title duplicate-id-aria empty-heading heading-order html-has-lang html-lang-valid
		label label-content-name-mismatch landmark-unique link-name page-has-heading-one region select-name summary-name
		svg-img-alt target-size valid-lang`)}
)

// schemes are the ways in which an English page is looked at. What stands where does not depend on
// its colours.
var schemes = []struct {
	name     string
	features []string
	rules    chromiumtest.Rules
}{
	{"light", []string{"prefers-color-scheme", "light"}, all},
	{"dark", []string{"prefers-color-scheme", "dark"}, colours},
	{"more contrast", []string{"prefers-contrast", "more"}, colours},
}

// repeating are stories in which one thing stands there a hundred times, in colours that others
// have, too. They are looked at in light, and in English.
var repeating = []string{"choose-hundred", "ask-fifty", "request-long"}

// unfold shows what waits to be opened, and what script shows when something happens.
const unfold = `for (const e of document.querySelectorAll("details")) e.open = true;
	for (const e of document.querySelectorAll("main [hidden]")) e.hidden = false; ""`

// translate puts the page in another language in its place, as it is without script.
const translate = `(async () => {
	const answer = await fetch(location.pathname + "?in=" + %q);
	const page = new DOMParser().parseFromString(await answer.text(), "text/html").documentElement;
	document.documentElement.lang = page.lang;
	document.title = page.querySelector("title").textContent;
	document.body.replaceWith(page.querySelector("body"));
	return document.documentElement.lang;
})()`

// looked is what axe-core cannot decide, at which somebody has looked.
var looked = []struct{ rule, says, seen string }{
	{"color-contrast", "too short to determine", "the scale of a month has numbers of one digit"},
	{"color-contrast", "contains an image node", "the scale of a month is a part of a picture; " +
		"TestColoursAreLegibleInBothSchemes holds its colour against the ground"},
}

// seen is that somebody has looked at all of what axe-core cannot decide there.
func seen(f chromiumtest.Finding) bool {
	for _, n := range f.Nodes {
		if !slices.ContainsFunc(looked, func(l struct{ rule, says, seen string }) bool {
			return l.rule == f.Rule && strings.Contains(n.Summary, l.says)
		}) {
			return false
		}
	}
	return true
}

// read are the stories whose pages are read as a screen reader does, from testdata/read: one of
// each page, and of each situation in which another thing matters.
var read = strings.Fields(`home home-standing home-lists home-no-such-project home-nothing choose choose-done choose-nothing-chosen choose-ruled choose-for-nobody
	ask-peer ask-self ask-wrong ask-ruled ask-glass ask-glass-wrong ask-filled more list-mine list-history list-history-search list-reviews month
	request-own request-own-waits request-review request-everything request-active request-glass review-pending review-confirm review-sign review-own
	review-cannot review-application result-in-part result-declined extend-wrong admin apps app app-waits app-confirm app-created app-template-wrong
	notifications-all notifications-tested passkeys passkeys-admin error-410 login-out login-kept program program-let`)

// TestAccessibility shows every page in every state in a browser. Of what axe-core can find there
// is nothing, and what a screen reader is told of the pages in read is as in testdata/read; run
// with -update after a change, and read it aloud.
func TestAccessibility(t *testing.T) {
	stages := make(chan *stage, 2)
	first := newStage(t, chromiumtest.OpenFor(t, 10*time.Minute))
	second, closeTab := chromedp.NewContext(first.tab)
	t.Cleanup(closeTab)
	stages <- first
	stages <- newStage(t, second)
	for _, each := range storybook.Stories() {
		t.Run(each.Name, func(t *testing.T) {
			t.Parallel()
			s := <-stages
			defer func() { stages <- s }()
			s.t = t
			chromiumtest.Prefers(t, s.tab)
			chromiumtest.Size(t, s.tab, 1280, 800)
			s.open(each)
			if slices.Contains(read, each.Name) {
				compare(t, filepath.Join("testdata", "read", each.Name+".txt"), []byte(s.value("document.title")+"\n"+chromiumtest.Tree(t, s.tab, "main")))
				if each.Name == "home-lists" {
					compare(t, filepath.Join("testdata", "read", "frame.txt"), []byte(chromiumtest.Tree(t, s.tab, "body")))
				}
			}
			if *update {
				return
			}
			s.value(unfold)
			for _, scheme := range schemes {
				chromiumtest.Prefers(t, s.tab, scheme.features...)
				s.judge(scheme.name, scheme.rules)
				if slices.Contains(repeating, each.Name) {
					return
				}
			}
			chromiumtest.Size(t, s.tab, 390, 740)
			for _, choice := range words.Choices()[1:] {
				if got := s.value(fmt.Sprintf(translate, choice.Tag)); got != choice.Tag {
					t.Fatalf("the page is in %q, not in %q", got, choice.Tag)
				}
				s.judge(choice.Tag, worded)
			}
		})
	}
}

// judge is that axe-core has looked at the page, and found nothing.
func (s *stage) judge(way string, rules chromiumtest.Rules) {
	s.t.Helper()
	a := chromiumtest.Axe(s.t, s.tab, rules)
	if least := map[bool]int{true: 1, false: 20}[len(rules.IDs) > 0]; a.Path != "/"+s.story.Name || len(a.Passed) < least {
		s.t.Fatalf("%s: axe-core has looked at nothing: %s, %v", way, a.Path, a.Passed)
	}
	for _, f := range a.Violations {
		s.t.Errorf("%s: %s", way, f)
	}
	for _, f := range a.Incomplete {
		if !seen(f) {
			s.t.Errorf("%s: undecided, somebody must look: %s", way, f)
		}
	}
}

// TestAxeFindsWhatIsPlanted: one who looks and never finds anything may not have looked.
func TestAxeFindsWhatIsPlanted(t *testing.T) {
	s := newStage(t, chromiumtest.Open(t))
	at := slices.IndexFunc(storybook.Stories(), func(each storybook.Story) bool { return each.Name == "ask-peer" })
	for _, planted := range []struct{ rule, script string }{
		{"label", `document.querySelector("label[for=minutes]").remove()`},
		{"color-contrast", `document.querySelector("h1").style.color = getComputedStyle(document.body).backgroundColor`},
		{"heading-order", `document.querySelector("h2").outerHTML = "<h4>What</h4>"`},
		{"page-has-heading-one", `document.querySelector("h1").remove()`},
		{"landmark-one-main", `document.querySelector("main").outerHTML = document.querySelector("main").innerHTML`},
		{"target-size", `for (const name of "ab") {
			const small = document.createElement("button");
			small.textContent = name;
			small.style.cssText = "display: inline-block; width: 9px; height: 9px; min-height: 0; padding: 0";
			document.querySelector("main").append(small);
		}`},
		{"html-has-lang", `document.documentElement.removeAttribute("lang")`},
		{"aria-valid-attr-value", `document.querySelector("#justification").setAttribute("aria-describedby", "nowhere")`},
	} {
		t.Run(planted.rule, func(t *testing.T) {
			s.t = t
			s.open(storybook.Stories()[at])
			s.value(planted.script + `; ""`)
			a := chromiumtest.Axe(t, s.tab, all)
			if !slices.ContainsFunc(slices.Concat(a.Violations, a.Incomplete), func(f chromiumtest.Finding) bool { return f.Rule == planted.rule }) {
				t.Errorf("found nothing of it, but %v", a.Violations)
			}
		})
	}
}
