package server_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"

	"jitaccess/internal/server/storybook"
)

// loads are the tags by which a page makes a browser fetch or run something, and what they
// fetch. What a style sheet fetches is not among them: ours fetches nothing.
var (
	loads   = regexp.MustCompile(`<(?:link|script|img|iframe|object|embed|source|video|audio|track|base|svg|image|use)\b[^>]*>`)
	address = regexp.MustCompile(`\b(?:href|src|srcset|data|poster)="([^"]*)"`)
	version = regexp.MustCompile(`(/assets/[a-z]+\.[a-z]+)\?v=[0-9a-f]{16}"`)
)

// ofNoVersion is a page that does not change with its assets.
func ofNoVersion(page []byte) []byte { return version.ReplaceAll(page, []byte(`$1"`)) }

// loadedBy are the addresses of what a page loads, each once, as a browser fetches them.
func loadedBy(page string) (all []string) {
	for _, tag := range loads.FindAllString(page, -1) {
		if found := address.FindStringSubmatch(tag); found != nil && !slices.Contains(all, found[1]) {
			all = append(all, found[1])
		}
	}
	return all
}

// checkLoads makes sure that a page loads nothing from elsewhere, nothing that is asked for twice,
// and that no script is in the way of its first paint.
func checkLoads(t *testing.T, h http.Handler, page string) {
	t.Helper()
	for _, tag := range loads.FindAllString(page, -1) {
		if strings.HasPrefix(tag, "<script") && (!strings.Contains(tag, ` src="`) || !strings.Contains(tag, " defer")) {
			t.Errorf("%s is in the way of the first paint", tag)
		}
	}
	for _, what := range loadedBy(page) {
		if !version.MatchString(what + `"`) {
			t.Errorf("%s is not of ours, in a version", what)
			continue
		}
		if answer := do(h, request("GET", what)); answer.Code != 200 || !strings.Contains(answer.Header().Get("Cache-Control"), "immutable") {
			t.Errorf("%s: %d %q", what, answer.Code, answer.Header().Get("Cache-Control"))
		} else if body := answer.Body.String(); strings.HasSuffix(strings.Split(what, "?")[0], ".css") && (strings.Contains(body, "url(") || strings.Contains(body, "@import")) {
			t.Errorf("%s fetches more", what)
		}
	}
	if strings.Contains(page, " style=\"") || regexp.MustCompile(`<[^>]* on[a-z]+="`).MatchString(page) || strings.Contains(page, "<style") {
		t.Error("style or script is in the page itself, where the policy forbids it")
	}
}

// weigh is how many bytes a browser that keeps nothing yet receives for a page alone, and for it
// with all that it loads, when it takes that encoding: the bodies as they are sent.
func weigh(t testing.TB, h http.Handler, r *http.Request, encoding string) (page, all int) {
	t.Helper()
	s := httptest.NewServer(h)
	defer s.Close()
	fetch := func(r *http.Request) string {
		r.RequestURI, r.URL.Scheme, r.URL.Host = "", "http", s.Listener.Addr().String()
		r.Header.Set("Accept-Encoding", encoding) // what was asked for here is not decoded
		answer, err := s.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		all += len(body)
		return string(body)
	}
	text := fetch(r)
	page = all
	for _, what := range loadedBy(text) {
		fetch(request("GET", what))
	}
	return page, all
}

// weighed are the pages in the state in which they are seen most, and the longest ones; home is
// that of a thousand projects.
var weighed = []string{"home", "choose", "choose-hundred", "ask-peer", "ask-fifty", "request-own", "request-everything", "review-pending", "more", "extend",
	"list-mine", "list-reviews", "list-history", "month", "passkeys-admin", "notifications-all", "apps", "app", "app-template", "error-404"}

// BenchmarkWeight counts what a browser receives for pages, in thousands of bytes. It takes no
// time that matters, and no round counts more than another.
func BenchmarkWeight(b *testing.B) {
	pages := map[string]storybook.Story{}
	for _, s := range storybook.Stories() {
		pages[s.Name] = s
	}
	for b.Loop() {
	}
	for _, name := range weighed {
		s, ok := pages[name]
		if !ok {
			b.Fatalf("there is no story %s", name)
		}
		c := canned{State: s.State()}
		h, _ := serve(b, c, c.Configure)
		if name == "home" {
			h = home(b)
		}
		page, plain := weigh(b, h, s.HTTPRequest(), "identity")
		_, packed := weigh(b, h, s.HTTPRequest(), "gzip")
		for unit, bytes := range map[string]int{"page": page, "plain": plain, "gzip": packed} {
			b.ReportMetric(float64(bytes)/1000, "KB-"+unit+"-"+name)
		}
	}
}

// Pages of many are no longer than this, in bytes, with the longest names and with usual ones; what
// there are many of is said in numbers.
func TestPagesOfManyAreBounded(t *testing.T) {
	most := map[string]struct {
		bytes int
		says  []string
	}{
		"choose-hundred":     {108_000, nil},
		"choose-many":        {62_000, []string{"39 more to choose from"}},
		"choose-many-chosen": {64_000, []string{`<details class="fold" open>`}},
		"ask-fifty":          {30_000, nil},
		"ask-many":           {20_000, nil},
		"more-many":          {9_000, []string{"42 more people asked"}},
		"request-many":       {17_000, []string{"42 more people asked", "reviewer.of.many.ad@example.com and 46 others"}},
		"request-own-many":   {17_000, []string{"42 more people asked"}},
		"home-many":          {33_000, []string{"There is more than is shown here. <a href=\"/requests\">All your requests</a>", "There is more than is shown here. <a href=\"/reviews\">"}},
	}
	for _, s := range storybook.Stories() {
		want, ok := most[s.Name]
		if !ok {
			continue
		}
		delete(most, s.Name)
		c := canned{State: s.State()}
		h, _ := serve(t, c, c.Configure)
		page := do(h, s.HTTPRequest()).Body.String()
		if len(page) > want.bytes {
			t.Errorf("%s is of %d bytes, more than %d", s.Name, len(page), want.bytes)
		}
		for _, text := range want.says {
			if !strings.Contains(page, text) {
				t.Errorf("%s does not say %q", s.Name, text)
			}
		}
	}
	if len(most) > 0 {
		t.Errorf("there are no stories %v", most)
	}
}
