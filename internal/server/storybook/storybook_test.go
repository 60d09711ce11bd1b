package storybook_test

import (
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"jitaccess/internal/server"
	"jitaccess/internal/server/storybook"
	"jitaccess/internal/words"
)

func get(method, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	storybook.Handler().ServeHTTP(w, httptest.NewRequest(method, path, nil))
	return w
}

// The list leads to every story, in every language.
func TestTheListLeadsToEveryStory(t *testing.T) {
	for _, language := range words.Choices() {
		page := get("GET", storybook.Path+"/"+language.Tag+"/").Body.String()
		for _, s := range storybook.Stories() {
			if strings.Count(page, `href="`+storybook.Path+"/"+language.Tag+"/"+s.Name+`"`) != 1 {
				t.Errorf("%s: no link, or several, to %s", language.Tag, s.Name)
			}
		}
	}
	if page := get("GET", storybook.Path+"/").Body.String(); page != get("GET", storybook.Path+"/en/").Body.String() {
		t.Error("the list is not that of English")
	}
}

// A story is shown as the server tells it to a test, with the assets of this server, and may do
// nothing: no forms, no storage, no cookies, no calls, no way to the visitor's session.
func TestAStoryIsShownAsItIsAndDoesNothing(t *testing.T) {
	for _, language := range words.Choices() {
		for _, s := range storybook.Stories() {
			if language.Tag != "en" && !strings.HasPrefix(s.Name, "home") {
				continue // TestPagesSpeakEveryLanguage has them all
			}
			w := get("GET", storybook.Path+"/"+language.Tag+"/"+s.Name)
			if w.Code != s.Code {
				t.Errorf("%s: %d", s.Name, w.Code)
			}
			policies := w.Header().Values("Content-Security-Policy")
			if len(policies) != 2 || !strings.HasPrefix(policies[0], "default-src 'none'") ||
				policies[1] != "sandbox allow-scripts; connect-src 'none'; form-action 'none'" {
				t.Errorf("%s: %q", s.Name, policies)
			}
			for _, acting := range []string{"Set-Cookie", "Location", "Clear-Site-Data", "Refresh", "Strict-Transport-Security"} {
				if w.Header().Get(acting) != "" {
					t.Errorf("%s sends %s", s.Name, acting)
				}
			}
			if strings.Contains(w.Body.String(), `"/assets/`) {
				t.Errorf("%s asks the service for assets", s.Name)
			}
			if strings.Contains(s.Name, "-") {
				continue // one state of each page is enough for what follows
			}
			state := s.State()
			c := storybook.Config(storybook.Canned{State: state})
			c.Language = words.Tagged(language.Tag)
			state.Configure(&c)
			h, err := server.New(c)
			if err != nil {
				t.Fatal(err)
			}
			want := httptest.NewRecorder()
			h.ServeHTTP(want, s.HTTPRequest())
			if strings.ReplaceAll(w.Body.String(), storybook.Path+"/assets/", "/assets/") != want.Body.String() {
				t.Errorf("%s in %s is not as the service has it:\n%s", s.Name, language.Tag, w.Body)
			}
		}
	}
}

func TestTheStorybookHasNothingElse(t *testing.T) {
	for request, want := range map[string]int{
		"GET /assets/style.css": 200, "GET /assets/none.css": 404, "GET /assets/..%2Ftemplates%2Fhome.html": 404,
		"GET /fr/": 404, "GET /fr/home": 404, "GET /en/none": 404, "GET /en/home/": 404, "GET /..": 307, "GET /en": 307,
		"POST /en/home": 405, "POST /": 405, "HEAD /en/home": 200,
	} {
		method, path, _ := strings.Cut(request, " ")
		if got := get(method, storybook.Path+path).Code; got != want {
			t.Errorf("%s: %d, want %d", request, got, want)
		}
	}
}

func TestStoriesHaveNamesOfTheirOwn(t *testing.T) {
	known := map[string]bool{}
	for _, s := range storybook.Stories() {
		if known[s.Name] {
			t.Errorf("two are called %s", s.Name)
		}
		known[s.Name] = true
	}
}

// The policy of a story is the one that operators find beside the documents.
func TestThePolicyOfAStoryIsAnExample(t *testing.T) {
	own, err := os.ReadFile("start-up.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if example, err := os.ReadFile("../../../examples/policy/start-up.yaml"); err != nil || string(own) != string(example) {
		t.Error("start-up.yaml is not that of examples/policy:", err)
	}
}
