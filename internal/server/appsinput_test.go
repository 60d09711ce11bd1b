package server_test

import (
	"context"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/application/managed"
	"jitaccess/internal/server/storybook"
)

// agreed are apps with one application, whose template both administrators want; number is that
// of its last deed.
func agreed(t *testing.T) (a *apps, number string) {
	a = newApps(t)
	a.create()
	a.must(http.StatusOK, a.template(carl, 1))
	a.must(http.StatusOK, a.send(dora, "POST", "/apps/deployer", "number", "2", "do", "agree", "confirmed", "1"))
	return a, "3"
}

// fields of a form, with changes; one that is "-" is left out.
func fields(base []string, change ...string) []string {
	all := append([]string{}, base...)
	for i := 0; i < len(change); i += 2 {
		at := -1
		for j := 0; j < len(all); j += 2 {
			if all[j] == change[i] {
				at = j
			}
		}
		switch {
		case at < 0:
			all = append(all, change[i], change[i+1])
		case change[i+1] == "-":
			all = append(all[:at], all[at+2:]...)
		default:
			all[at+1] = change[i+1]
		}
	}
	return all
}

// Whatever a form has that it cannot have is refused, and nothing is done; what was typed stands
// in the form again where there is one.
func TestBadInputToFormsOfApplications(t *testing.T) {
	a, number := agreed(t)
	app := []string{"name", "other", "uri", "https://other.example.com", "hosts", "other.example.com"}
	template := []string{"number", number, "new", "1", "key", "other", "name", "Other", "title", "Other {version}", "type", "approve", "data", "version | Version",
		"claims", "ticket", "approvers", "user:ben@example.com", "approvals", "1", "max", "120", "default", "30", "life", "60", "metadata", "team = shop", "active", "1"}
	change := []string{"number", number, "do", "settings", "uri", "https://deploy.example.com", "hosts", ""}
	long := strings.Repeat("a", 70000)
	for path, bad := range map[string]struct {
		base    []string
		changes [][]string
	}{
		"/apps": {app, [][]string{{"name", ""}, {"name", "-"}, {"name", "Other"}, {"name", "a/b"}, {"name", "<b>x</b>"}, {"name", strings.Repeat("a", 41)}, {"name", "\u202ea"},
			{"uri", ""}, {"uri", "-"}, {"uri", "other.example.com"}, {"uri", "http://other.example.com"}, {"uri", "javascript:alert(1)"}, {"uri", "https://me@other.example.com"},
			{"uri", "https://deploy.example.com"}, {"uri", "https://other.example.com/?a"}, {"uri", "https://" + strings.Repeat("a", 300)},
			{"hosts", "https://other.example.com"}, {"hosts", "*.example.com"}, {"hosts", "other.example.com/x"}, {"hosts", "a b"}, {"more", "1"}, {"uri", long}}},
		"/apps/deployer": {change, [][]string{{"uri", ""}, {"uri", "http://deploy.example.com"}, {"hosts", "<b>"}, {"number", "-"}, {"number", "x"}, {"number", "99999999999999999999"},
			{"do", ""}, {"do", "-"}, {"do", "delete"}, {"more", "1"}, {"data.version", "v1"}, {"key", long}}},
		"/apps/deployer/template": {template, [][]string{{"number", ""}, {"new", "2"}, {"key", ""}, {"key", "A"}, {"key", "a/b"}, {"key", "production-deploy"}, {"key", strings.Repeat("a", 64)},
			{"name", ""}, {"name", "\u202eName"}, {"name", strings.Repeat("a", 101)}, {"title", ""}, {"title", "{none}"}, {"title", "a\nb"}, {"title", strings.Repeat("a", 251)},
			{"type", ""}, {"type", "-"}, {"type", "sign"}, {"data", "1x"}, {"data", "version\nversion"}, {"data", "version | l | ("}, {"data", "version | l | ((a{100}){100}){100}"},
			{"data", "version | l | " + strings.Repeat("a", 501)}, {"data", "version |" + strings.Repeat("l", 61)}, {"data", strings.Repeat("v", 41)},
			{"claims", "a\na"}, {"claims", strings.Repeat("a", 101)}, {"approvers", ""}, {"approvers", "ben"}, {"approvers", "domain:example.com"}, {"approvers", "user:Ben@example.com"},
			{"approvers", "user:ben@example.com\nuser:ben@example.com"}, {"approvals", "0"}, {"approvals", "-1"}, {"approvals", "x"}, {"approvals", "2"}, {"approvals", "21"},
			{"max", "0"}, {"max", "-5"}, {"max", "x"}, {"max", "525601"}, {"default", "0"}, {"default", "121"}, {"default", "x"}, {"life", "0"}, {"life", "x"},
			{"metadata", "team"}, {"metadata", "= x"}, {"metadata", "team = " + strings.Repeat("a", 201)}, {"unlinked", "yes"}, {"active", "on"}, {"more", "1"}}},
		"/apps/deployer/trial": {[]string{"id", strings.Repeat("0", 24), "template", "production-deploy", "data.version", "v1"},
			[][]string{{"id", "-"}, {"id", "0"}, {"id", strings.Repeat("z", 24)}, {"number", "1"}, {"more", "1"}}},
	} {
		for _, edit := range bad.changes {
			got := a.send(carl, "POST", path, fields(bad.base, edit...)...)
			what := fmt.Sprintf("%s with %.60q", path, edit)
			want := http.StatusBadRequest
			if len(edit[1]) == len(long) {
				want = http.StatusRequestEntityTooLarge
			}
			if got.Code != want {
				t.Errorf("%s: %d, want %d", what, got.Code, want)
			}
			if body := got.Body.String(); strings.Contains(body, "<b>x</b>") || strings.Contains(body, "\u202e") && edit[0] == "" {
				t.Errorf("%s: it is shown as it is", what)
			}
			if strings.Contains(got.Body.String(), `id="key" type="text" value="`) && path != "/apps/deployer/template" {
				t.Errorf("%s: a key is shown", what)
			}
			a.clock = a.clock.Add(time.Minute)
		}
		twice := a.send(carl, "POST", path, append(fields(bad.base), bad.base[0], bad.base[1])...)
		if twice.Code != http.StatusBadRequest {
			t.Errorf("%s with %s twice: %d", path, bad.base[0], twice.Code)
		}
	}
	if len(a.deeds.All) != 3 || len(a.asked) != 0 {
		t.Errorf("there are %d deeds, and %d trial requests", len(a.deeds.All), len(a.asked))
	}
	page := a.must(http.StatusBadRequest, a.send(carl, "POST", "/apps/deployer", fields(change, "uri", "http://typed.example")...))
	if !strings.Contains(page, `value="http://typed.example"`) {
		t.Error("what was typed is lost")
	}
}

// In which state what cannot be done: its status, and that nothing is.
func TestWhatCannotBeDoneToAnApplication(t *testing.T) {
	a, number := agreed(t)
	key := keyID(t, a.deeds)
	post := func(who access.Principal, path string, form ...string) func() *httptest.ResponseRecorder {
		return func() *httptest.ResponseRecorder { return a.send(who, "POST", path, form...) }
	}
	refused := func(name string, status int, try func() *httptest.ResponseRecorder) {
		t.Helper()
		before := len(a.deeds.All)
		if got := try(); got.Code != status {
			t.Errorf("%s: %d, want %d: %s", name, got.Code, status, said(got.Body.String()))
		}
		if len(a.deeds.All) != before {
			t.Errorf("%s: it is done", name)
		}
	}
	refused("agreeing to what nobody proposed", 409, post(dora, "/apps/deployer", "number", number, "do", "agree"))
	refused("dropping what nobody proposed", 409, post(dora, "/apps/deployer", "number", number, "do", "drop"))
	refused("a stale form", 409, post(carl, "/apps/deployer", "number", "2", "do", "off"))
	refused("a stale template", 409, post(carl, "/apps/deployer/template", "number", "2", "key", "production-deploy", "name", "Deploy", "title", "Deploy", "type", "approve",
		"approvers", "user:ben@example.com", "approvals", "1", "max", "120", "default", "30", "life", "60"))
	refused("a number of the future", 409, post(carl, "/apps/deployer", "number", "4", "do", "off"))
	refused("an unknown application", 404, post(carl, "/apps/none", "number", "1", "do", "off"))
	refused("an unknown template", 404, post(carl, "/apps/deployer", "number", number, "do", "template-off", "key", "none"))
	refused("an unknown key", 404, post(carl, "/apps/deployer", "number", number, "do", "give-up", "key", "none"))
	refused("by nobody", 401, post("", "/apps/deployer", "number", number, "do", "off"))
	refused("by somebody else", 403, post(ana, "/apps/deployer", "number", number, "do", "off"))
	for header, value := range map[string]string{"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"} {
		refused("from another site", 403, func() *httptest.ResponseRecorder {
			r := request("POST", "/apps/deployer")
			r.Body = io.NopCloser(strings.NewReader("number=" + number + "&do=off"))
			r.Header.Set(personHeader, string(carl))
			r.Header.Del("Sec-Fetch-Site")
			r.Header.Set(header, value)
			return do(a, r)
		})
	}
	refused("as JSON", 415, func() *httptest.ResponseRecorder {
		r := request("POST", "/apps/deployer")
		r.Body = io.NopCloser(strings.NewReader(`{"number":"` + number + `","do":"off"}`))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set(personHeader, string(carl))
		return do(a, r)
	})
	refused("by GET", 200, func() *httptest.ResponseRecorder {
		return a.send(carl, "GET", "/apps/deployer?number="+number+"&do=off")
	})

	a.must(200, a.send(carl, "POST", "/apps/deployer", "number", number, "do", "rotate"))
	refused("agreeing to one's own", 403, post(carl, "/apps/deployer", "number", "4", "do", "agree"))
	refused("agreeing to another than was seen", 409, post(dora, "/apps/deployer", "number", "3", "do", "agree"))
	refused("another change beside it", 409, post(dora, "/apps/deployer", "number", "4", "do", "rotate"))
	// Two at once: the one who is later finds another application than they have seen.
	a.must(200, a.send(dora, "POST", "/apps/deployer", "number", "4", "do", "off"))
	refused("agreeing to what was dropped by it", 409, post(dora, "/apps/deployer", "number", "4", "do", "agree"))
	refused("a form of before", 409, post(carl, "/apps/deployer", "number", "4", "do", "give-up", "key", key))
	// Of another that is there too.
	a.must(200, a.send(carl, "POST", "/apps", "name", "other", "uri", "https://other.example.com"))
	refused("the URI of another", 400, post(carl, "/apps/other", "number", "1", "do", "settings", "uri", "https://deploy.example.com", "hosts", ""))
	refused("the key of another", 404, post(carl, "/apps/other", "number", "1", "do", "give-up", "key", key))
}

// Whoever agrees has seen all that is otherwise then: what it was, and what it would be.
func TestAChangeThatWaitsIsShownWhole(t *testing.T) {
	for _, edit := range [][]string{{"name", "Other name"}, {"title", "Other title"}, {"type", "sign_and_approve"}, {"data", "version | Build | x+"}, {"claims", "otherclaim"},
		{"approvers", "user:eva.sand@example.com"}, {"max", "77"}, {"default", "17"}, {"life", "27"}, {"metadata", "other = data"}, {"unlinked", "1"}, {"active", "-"}} {
		a, number := agreed(t)
		form := fields([]string{"number", number, "key", "production-deploy", "name", "Production deploy", "title", "Deploy {version}", "type", "approve",
			"data", "version | Version | ^v[0-9.]+$", "approvers", "user:ben@example.com", "approvals", "1", "max", "120", "default", "30", "life", "60",
			"metadata", "team = shop", "active", "1"}, edit...)
		a.must(200, a.send(carl, "POST", "/apps/deployer/template", form...))
		page := a.must(200, a.send(dora, "GET", "/apps/deployer"))
		_, list, waits := strings.Cut(page, `<dl class="changes">`)
		list, _, _ = strings.Cut(html.UnescapeString(list), "</dl>")
		want := map[string]string{"type": "yes", "unlinked": "yes"}[edit[0]]
		if want == "" {
			want = edit[1]
		}
		if edit[0] == "active" { // which only takes away
			want = ""
		}
		if waits != (want != "") || !strings.Contains(list, "<ins>"+want+"</ins>") && want != "" {
			t.Errorf("%s: %s", edit, list)
		}
	}
	a, number := agreed(t)
	a.must(200, a.send(carl, "POST", "/apps/deployer", "number", number, "do", "settings", "uri", "https://other.example.com", "hosts", "evil.example"))
	page := a.must(200, a.send(dora, "GET", "/apps/deployer"))
	for _, want := range []string{"<del>https://deploy.example.com</del> <ins>https://other.example.com</ins>", "<del>deploy.example.com</del> <ins>evil.example</ins>"} {
		if !strings.Contains(page, want) {
			t.Errorf("%s is not in %s", want, said(page))
		}
	}
}

// Names and titles are texts, whatever is in them.
func TestMarkupInNamesOfApplications(t *testing.T) {
	a, number := agreed(t)
	const markup = `<script>alert(1)</script>"'`
	a.must(200, a.send(carl, "POST", "/apps/deployer/template", "number", number, "key", "production-deploy", "name", markup, "title", markup, "type", "approve",
		"data", "version | "+markup, "approvers", "user:ben@example.com", "approvals", "1", "max", "120", "default", "30", "life", "60", "metadata", markup+" = "+markup, "active", "1"))
	for _, who := range []access.Principal{carl, dora} {
		for _, agree := range []bool{false, true} {
			if agree && who == dora {
				n, _ := strconv.Atoi(number)
				a.must(200, a.send(dora, "POST", "/apps/deployer", "number", strconv.Itoa(n+1), "do", "agree", "confirmed", "1"))
			}
			for _, path := range []string{"/apps", "/apps/deployer", "/apps/deployer/template?key=production-deploy"} {
				if page := a.must(200, a.send(who, "GET", path)); strings.Contains(page, "<script>alert") || strings.Contains(page, `value="<`) {
					t.Errorf("%s: %s", path, said(page))
				}
			}
		}
	}
	if app, err := a.registry.Show(context.Background(), access.Caller{Principal: carl}, "deployer"); err != nil || app.Templates[0].Name != markup {
		t.Errorf("%+v, %v", app, err)
	}
}

// keyID is the id of the first key.
func keyID(t *testing.T, d *storybook.Deeds) string {
	t.Helper()
	_, rest, _ := strings.Cut(string(d.All[0].Body), `"id":"`)
	id, _, found := strings.Cut(rest, `"`)
	if !found {
		t.Fatal("no key")
	}
	return id
}

var _ managed.Deeds = (*storybook.Deeds)(nil)
