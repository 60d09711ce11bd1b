package server_test

import (
	"flag"
	"html/template"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"jitaccess/internal/access"
	"jitaccess/internal/server/storybook"
	"jitaccess/web"
)

var (
	update          = flag.Bool("update", false, "write the golden pages anew")
	storybookFolder = flag.String("storybook", "", "write every page in every state to this `folder`, to be opened in a browser")
	// storybookLanguage is empty for English.
	storybookLanguage = flag.String("language", "", "the `tag` of the language in which to write them")
)

// canned is the broker of a story.
type canned = storybook.Canned

// newCanned is that of a believable state, which tests change.
func newCanned(testing.TB) *canned { return &canned{State: storybook.New()} }

// TestStorybook renders every page in every state and compares what is the page's own
// with testdata/story, where frame.html is one whole page. Run with -update after a
// change, and look at what changed; with -storybook FOLDER to see it.
func TestStorybook(t *testing.T) {
	var names []string
	for _, s := range storybook.Stories() {
		names = append(names, s.Name)
		t.Run(s.Name, func(t *testing.T) {
			c := canned{State: s.State()}
			h, _ := serve(t, c, c.Configure)
			if *storybookLanguage != "" { // to be looked at; TestPagesSpeakEveryLanguage compares
				r := s.HTTPRequest()
				r.Header.Set("Accept-Language", *storybookLanguage)
				writeStory(t, s.Name, do(h, r).Body.String())
				return
			}
			w := do(h, s.HTTPRequest())
			if w.Code != s.Code {
				t.Fatalf("%d, want %d: %s", w.Code, s.Code, w.Body)
			}
			checkMarkup(t, w.Body.String())
			checkLoads(t, h, w.Body.String())
			checkFrame(t, w.Body.String(), s.Person, c.Account != nil, c.State.Remembers)
			compare(t, filepath.Join("testdata", "story", s.Name+".html"), ownPart(t, w.Body.String()))
			if s.Name == "home" {
				compare(t, filepath.Join("testdata", "story", "frame.html"), w.Body.Bytes())
			}
			writeStory(t, s.Name, w.Body.String())
		})
	}
	if *storybookFolder != "" {
		writeStorybook(t, names)
	}
}

// writeStory writes a page into the folder that is to be opened in a browser, if there is one.
func writeStory(t *testing.T, name, page string) {
	t.Helper()
	if *storybookFolder != "" {
		writeFile(t, filepath.Join(*storybookFolder, name+".html"), []byte(strings.ReplaceAll(page, `"/assets/`, `"assets/`)))
	}
}

// ownPart is what a page puts into the frame: its title, its scripts and <main>.
func ownPart(t *testing.T, page string) []byte {
	t.Helper()
	title, afterTitle := between(t, page, "<title>", "</title>")
	main, _ := between(t, afterTitle, "<main", "</main>")
	_, afterFrame := between(t, afterTitle, `<script src="/assets/page.js`, "</script>")
	scripts, _, _ := strings.Cut(afterFrame, "</head>")
	return []byte(title + scripts + main + "\n")
}

// between returns the text from the first begin to the first end, both included, and
// what follows.
func between(t *testing.T, text, begin, end string) (found, rest string) {
	t.Helper()
	_, rest, begins := strings.Cut(text, begin)
	found, rest, ends := strings.Cut(rest, end)
	if !begins || !ends {
		t.Fatalf("lacks %s…%s", begin, end)
	}
	return begin + found + end, rest
}

// checkFrame checks what of the frame differs between people: who is signed in, and
// the way to the notifications, where there is one for them.
func checkFrame(t *testing.T, page string, person access.Principal, account, remembers bool) {
	t.Helper()
	who := `<p class="who quiet">Not signed in</p>`
	if person != "" {
		who = `<p class="who"><span class="quiet">Signed in as</span> <span class="address">` + string(person) + `</span></p>`
	}
	if !strings.Contains(page, who) {
		t.Errorf("lacks %s", who)
	}
	if leads := strings.Contains(page, `<a href="/history">History</a></nav>`); leads != remembers {
		t.Errorf("leads to the history: %t", leads)
	}
	if leads := strings.Contains(page, ` · <a href="/notifications">Notifications</a>`); leads != account {
		t.Errorf("leads to the notifications: %t", leads)
	}
}

func compare(t *testing.T, golden string, got []byte) {
	t.Helper()
	got = ofNoVersion(got)
	if *update {
		writeFile(t, golden, got)
		return
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(string(got), "\n")); diff != "" {
		t.Errorf("the page has changed (run with -update if that is meant):\n%s", diff)
	}
}

// checkMarkup keeps what accessibility needs and a template can lose.
func checkMarkup(t *testing.T, page string) {
	t.Helper()
	for _, want := range []string{`<html lang="en">`, `<main id="main"`, `<header`, `<footer>`, `class="skip" href="#main"`, `name="viewport"`} {
		if !strings.Contains(page, want) {
			t.Errorf("lacks %s", want)
		}
	}
	if n := strings.Count(page, "<h1"); n != 1 {
		t.Errorf("%d main headings", n)
	}
	if strings.Count(page, " autofocus") > 1 {
		t.Error("two things want the focus")
	}
	if strings.Contains(page, "ZgotmplZ") || strings.Contains(page, "<no value>") {
		t.Error("a template could not fill something in")
	}
	ids := map[string]bool{}
	for _, part := range strings.Split(page, ` id="`)[1:] {
		id, _, _ := strings.Cut(part, `"`)
		if ids[id] {
			t.Errorf("id %s is there twice", id)
		}
		ids[id] = true
	}
	for _, attribute := range []string{` for="`, ` aria-labelledby="`, ` aria-describedby="`, ` href="#`} {
		for _, part := range strings.Split(page, attribute)[1:] {
			targets, _, _ := strings.Cut(part, `"`)
			for _, target := range strings.Fields(targets) {
				if !ids[target] {
					t.Errorf("%s%s leads nowhere", attribute, target)
				}
			}
		}
	}
}

func writeFile(t *testing.T, name string, content []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, content, 0o644); err != nil {
		t.Fatal(err)
	}
}

// writeStorybook adds the assets and a list of the pages.
func writeStorybook(t *testing.T, names []string) {
	entries, err := fs.ReadDir(web.Files, "assets")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		b, err := fs.ReadFile(web.Files, "assets/"+e.Name())
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, filepath.Join(*storybookFolder, "assets", e.Name()), b)
	}
	var list strings.Builder
	index := template.Must(template.New("").Parse(`<!doctype html><html lang="en"><title>Storybook</title><ul>{{range .}}<li><a href="{{.}}.html">{{.}}</a></li>{{end}}</ul>`))
	if err := index.Execute(&list, names); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(*storybookFolder, "index.html"), []byte(list.String()))
}

// The list of projects has the shape of JIT Access 1.x, and says what else there is, and what it may
// lack, only when there is something.
func TestListOfProjectsSaysWhatItMayLack(t *testing.T) {
	c := newCanned(t)
	h, _ := serve(t, c, nil)
	list := func() string { return strings.TrimSpace(do(h, request("GET", "/api/projects")).Body.String()) }
	const projects = `"projects":["acme-orders-prod","acme-orders-test","example.com:legacy-crm"]`
	if got := list(); got != "{"+projects+"}" {
		t.Errorf("got %s", got)
	}
	c.State.Resources = append(c.State.Resources, access.ResourceInfo{Resource: "rooms/lab"},
		access.ResourceInfo{Resource: "folders/77"}, access.ResourceInfo{Resource: "folders/77"})
	c.Unlisted = []*access.Error{storybook.Warn(access.CodeUpstreamTimeout, access.Args{"service": "Rooms"})}
	if got := list(); got != "{"+projects+`,"others":["folders/77","rooms/lab"],"warnings":["Rooms did not answer in time."]}` {
		t.Errorf("got %s", got)
	}
}
