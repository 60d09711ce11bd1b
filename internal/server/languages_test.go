package server_test

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"jitaccess/internal/server"
	"jitaccess/internal/server/storybook"
	"jitaccess/internal/words"
)

// languageOf is the language of a page, as it says itself.
func languageOf(page string) string {
	_, after, _ := strings.Cut(page, `<html lang="`)
	tag, _, _ := strings.Cut(after, `"`)
	return tag
}

// What a person chose comes before what their browser prefers, and what there is none of does not count.
func TestPagesAreInTheLanguageOfTheirReader(t *testing.T) {
	h, _ := serve(t, newCanned(t), nil)
	const name = "__Host-language="
	for _, c := range []struct{ cookie, accepts, want string }{
		{"", "", "en"}, {"", "de-CH,de;q=0.9", "de"}, {"", "ja-JP", "ja"}, {"", "fr", "en"}, {"", "*", "en"}, {"", strings.Repeat("x", 4096), "en"},
		{name + "ja", "", "ja"}, {name + "ja", "de", "ja"}, {name + "en", "de", "en"}, {name + "fr", "de", "de"}, {name + "../de", "", "en"},
		{name, "de", "de"}, {name + `"de"`, "", "de"}, {name + "fr; " + name + "ja", "", "ja"}, {"language=ja", "", "en"},
	} {
		r := request("GET", "/")
		r.Header.Set("Cookie", c.cookie)
		r.Header.Set("Accept-Language", c.accepts)
		w := do(h, r)
		if got := languageOf(w.Body.String()); got != c.want || w.Header().Get("Content-Language") != c.want || w.Code != 200 {
			t.Errorf("%q, %.50q: %d in %q", c.cookie, c.accepts, w.Code, got)
		}
	}
}

// Two fields say the same as one with a comma (RFC 9110, 5.3).
func TestHeadersOfALanguageAddUp(t *testing.T) {
	h, _ := serve(t, newCanned(t), nil)
	r := request("GET", "/")
	r.Header["Accept-Language"] = []string{"fr", "ja;q=0.5, de;q=0.7"}
	if got := languageOf(do(h, r).Body.String()); got != "de" {
		t.Error(got)
	}
}

// Whatever keeps an answer for others must not give it to those of another language.
func TestAnswersSayThatTheyVaryByLanguage(t *testing.T) {
	h, _ := serve(t, newCanned(t), nil)
	for _, path := range []string{"/", "/nowhere", "/api/projects", "/access/projects/x", "/history.csv"} {
		if got := do(h, request("GET", path)).Header().Values("Vary"); strings.Join(got, ", ") != "Accept-Language, Cookie" {
			t.Errorf("%s varies by %q", path, got)
		}
	}
	if got := do(h, request("GET", "/assets/style.css")).Header().Get("Vary"); strings.Contains(got, "Cookie") {
		t.Errorf("the style sheet varies by %q", got)
	}
}

// Choosing sets the cookie and nothing else, and leads back to where one was: to a path of ours.
func TestChoosingALanguage(t *testing.T) {
	const kept = "__Host-language=ja; Path=/; Max-Age=31536000; HttpOnly; Secure; SameSite=Lax"
	for name, c := range map[string]struct{ body, from, cookie, to string }{
		"from a request":        {"language=ja", "https://access.example.com/review?activation=A~~B&x=%2F", kept, "/review?activation=A~~B&x=%2F"},
		"from home":             {"language=ja", "https://access.example.com/", kept, "/"},
		"from nowhere":          {"language=ja", "", kept, "/"},
		"no language":           {"language=xx", "https://access.example.com/passkeys", "", "/passkeys"},
		"a path":                {"language=../ja", "", "", "/"},
		"nothing":               {"", "", "", "/"},
		"a header":              {"language=ja%0d%0aSet-Cookie:+a=b", "", "", "/"},
		"an address elsewhere":  {"language=ja", "https://evil.example/passkeys?a=b", kept, "/passkeys?a=b"},
		"a host for a path":     {"language=ja", "https://access.example.com//evil.example/", kept, "/"},
		"a backslash":           {"language=ja", `https://access.example.com/\evil.example/`, kept, "/"},
		"what is only sent to":  {"language=ja", "https://access.example.com/requests/mpa-AQEBAQEBAQEBAQEB/withdraw", kept, "/"},
		"what is not there":     {"language=ja", "https://access.example.com/nowhere", kept, "/"},
		"no address":            {"language=ja", "%zz", kept, "/"},
		"another scheme":        {"language=ja", "javascript:alert(1)", kept, "/"},
		"itself":                {"language=ja", "https://access.example.com/language", kept, "/"},
		"a query that misleads": {"language=ja", "https://access.example.com/?//evil.example", kept, "/?//evil.example"},
	} {
		h, _ := serve(t, newCanned(t), nil)
		r, _ := http.NewRequest("POST", "/language", strings.NewReader(c.body))
		r.Header = request("POST", "/language").Header
		r.Header.Set("Referer", c.from)
		w := do(h, r)
		if got := w.Header().Get("Set-Cookie"); w.Code != http.StatusSeeOther || got != c.cookie || w.Header().Get("Location") != c.to {
			t.Errorf("%s: %d, %q, to %q", name, w.Code, got, w.Header().Get("Location"))
		}
	}
}

func TestALanguageIsChosenOnOurPagesAlone(t *testing.T) {
	h, _ := serve(t, newCanned(t), nil)
	for name, c := range map[string]struct {
		change func(*http.Request)
		status int
	}{
		"another site": {func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }, 403},
		"no browser":   {func(r *http.Request) { r.Header.Del("Sec-Fetch-Site") }, 403},
		"nobody":       {func(r *http.Request) { r.Header.Del(personHeader) }, 401},
		"a GET":        {func(r *http.Request) { r.Method = "GET" }, 405},
		"no form":      {func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }, 415},
	} {
		r := request("POST", "/language")
		c.change(r)
		if w := do(h, r); w.Code != c.status || w.Header().Get("Set-Cookie") != "" {
			t.Errorf("%s: %d %q", name, w.Code, w.Header().Get("Set-Cookie"))
		}
	}
}

// Where the address is not certainly https the cookie is plain, or browsers would not keep it.
func TestTheCookieOfALanguageWithoutTLS(t *testing.T) {
	h, _ := serve(t, newCanned(t), func(c *server.Config) { c.PublicURL = "http://127.0.0.1:8080" })
	r := request("POST", "/language")
	r.Body = http.NoBody
	r, _ = http.NewRequest("POST", "/language", strings.NewReader("language=de"))
	r.Header = request("POST", "/language").Header
	if got := do(h, r).Header().Get("Set-Cookie"); got != "language=de; Path=/; Max-Age=31536000; HttpOnly; SameSite=Lax" {
		t.Error(got)
	}
	r = request("GET", "/")
	r.Header.Set("Cookie", "language=de")
	if got := languageOf(do(h, r).Body.String()); got != "de" {
		t.Error(got)
	}
}

// The foot of a page offers every language in its own name, and says which one it is in. Who is
// not signed in cannot choose.
func TestTheFootOffersLanguages(t *testing.T) {
	h, _ := serve(t, newCanned(t), nil)
	r := request("GET", "/")
	r.Header.Set("Accept-Language", "de")
	page := do(h, r).Body.String()
	for _, c := range words.Choices() {
		want := `<button id="language-` + c.Tag + `" name="language" value="` + c.Tag + `" lang="` + c.Tag + `">` + c.Name + `</button>`
		if c.Tag == "de" {
			want = `<span lang="de" aria-current="true">Deutsch</span>`
		}
		if !strings.Contains(page, want) {
			t.Errorf("lacks %s", want)
		}
	}
	r = request("GET", "/")
	r.Header.Del(personHeader)
	if page := do(h, r).Body.String(); strings.Contains(page, "language-de") {
		t.Error("a stranger is offered languages")
	}
}

// Programs that ask for no language get English; code is the same in every one.
func TestTheJSONInterfaceIsEnglishUnlessAsked(t *testing.T) {
	h, _ := serve(t, newCanned(t), nil)
	for accepts, want := range map[string]string{"": `"message":"There is nothing`, "*": `"message":"There is nothing`, "de": `"message":"Unter dieser Adresse`} {
		r := request("GET", "/api/nowhere")
		r.Header.Set("Accept-Language", accepts)
		if body := do(h, r).Body.String(); !strings.Contains(body, want) || !strings.Contains(body, `"code":"not-found"`) {
			t.Errorf("%q: %s", accepts, body)
		}
	}
}

// whole are the pages that are kept whole in each language: what comes first, what is filled in,
// what is decided.
var whole = map[string]bool{"home-lists": true, "ask-peer": true, "request-review": true}

// TestPagesSpeakEveryLanguage renders every page in every state in every language: nothing is
// left in braces, no key is shown, and what a translation says is marked up as the English.
// Three are compared with testdata/story/TAG-NAME.html.
func TestPagesSpeakEveryLanguage(t *testing.T) {
	for _, s := range storybook.Stories() {
		t.Run(s.Name, func(t *testing.T) {
			for _, choice := range words.Choices()[1:] {
				c := canned{State: s.State()}
				h, _ := serve(t, c, func(sc *server.Config) {
					sc.Language = words.Tagged(choice.Tag)
					c.Configure(sc)
				})
				w := do(h, s.HTTPRequest())
				page := w.Body.String()
				if w.Code != s.Code || languageOf(page) != choice.Tag {
					t.Fatalf("%d, want %d, in %q: %s", w.Code, s.Code, languageOf(page), page)
				}
				_, shown, _ := strings.Cut(page, "<title>")
				shown = titles.Replace(code.ReplaceAllString(shown, " "))
				for _, text := range tag.Split(shown, -1) {
					if unfilled.MatchString(text) || strings.Contains(text, "&lt;code&gt;") {
						t.Errorf("%s: %q is not filled in", choice.Tag, text)
					}
				}
				if whole[s.Name] {
					compare(t, filepath.Join("testdata", "story", choice.Tag+"-"+s.Name+".html"), w.Body.Bytes())
				}
			}
		})
	}
}
