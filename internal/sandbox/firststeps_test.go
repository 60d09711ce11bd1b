package sandbox_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/sandbox"
	"jitaccess/internal/sandbox/google"
)

func fields(values ...string) string {
	v := url.Values{}
	for i := 0; i < len(values); i += 2 {
		v.Set(values[i], values[i+1])
	}
	return v.Encode()
}

func TestTheClockGoesForward(t *testing.T) {
	s := start(t, http.NotFound)
	c := browser(t)
	for _, step := range []struct {
		step string
		by   time.Duration
	}{{"15m", 15 * time.Minute}, {"1h", time.Hour}, {"1d", 24 * time.Hour}} {
		before := s.Clock().Ahead()
		response, page := do(t, c, "POST", s.URL()+"/sandbox/clock", fields("step", step.step, "return", "/sandbox/"), "Content-Type", form, "Origin", s.URL())
		if got := s.Clock().Ahead() - before; response.StatusCode != http.StatusOK || got != step.by {
			t.Errorf("%s: %d, by %v", step.step, response.StatusCode, got)
		}
		if !strings.Contains(page, "ahead of the real time") {
			t.Errorf("%s: the page does not say how far it is ahead", step.step)
		}
	}
}

// The clock moves to where a condition ends next, and what Google says goes by it.
func TestTheClockGoesToTheNextEnd(t *testing.T) {
	s := start(t, http.NotFound)
	a, _ := people(t, s)
	resource, role := "projects/"+s.Cloud().ProjectID(), "roles/storage.objectViewer"
	end := s.Clock().Now().Add(20 * time.Minute).UTC().Truncate(time.Second)
	err := s.Cloud().SetPolicy(resource, google.Policy{Bindings: []google.Binding{{Role: role, Members: []string{"user:" + a.Email},
		Condition: &google.Condition{Title: "soon over", Expression: `request.time < timestamp("` + end.Format(time.RFC3339) + `")`}}}})
	if err != nil {
		t.Fatal(err)
	}
	has := func() bool { return s.Cloud().Allowed("user:"+a.Email, role, resource, s.Clock().Now()) }
	if !has() {
		t.Fatal("it is not there yet")
	}
	c := browser(t)
	do(t, c, "POST", s.URL()+"/sandbox/clock", fields("step", "end"), "Content-Type", form, "Origin", s.URL())
	if now := s.Clock().Now(); now.Before(end) || now.After(end.Add(time.Minute)) || has() {
		t.Errorf("it is %v, the end is %v, and it is held: %v", now, end, has())
	}
}

func TestTheClockRefuses(t *testing.T) {
	s := start(t, http.NotFound)
	c := browser(t)
	here := []string{"Content-Type", form, "Origin", s.URL()}
	year := s.Clock().Now().AddDate(3, 0, 0).UTC().Format(time.RFC3339)
	for name, at := range map[string]struct {
		body   string
		header []string
		want   int
	}{
		"nothing":                {"", here, http.StatusBadRequest},
		"nonsense":               {fields("step", "<b>"), here, http.StatusBadRequest},
		"backwards":              {fields("step", "-1h"), here, http.StatusBadRequest},
		"a huge step":            {fields("step", "999999h"), here, http.StatusBadRequest},
		"until nonsense":         {fields("step", "until", "until", "tomorrow"), here, http.StatusBadRequest},
		"until what is over":     {fields("step", "until", "until", "2001-01-01T00:00:00Z"), here, http.StatusConflict},
		"until years later":      {fields("step", "until", "until", year), here, http.StatusConflict},
		"until the end of time":  {fields("step", "until", "until", "9999-12-31T23:59:59Z"), here, http.StatusConflict},
		"another site":           {fields("step", "1h"), []string{"Content-Type", form, "Origin", "http://example.net"}, http.StatusForbidden},
		"another port":           {fields("step", "1h"), []string{"Content-Type", form, "Origin", "http://localhost:1"}, http.StatusForbidden},
		"cross-site":             {fields("step", "1h"), []string{"Content-Type", form, "Sec-Fetch-Site", "cross-site"}, http.StatusForbidden},
		"no word of where from":  {fields("step", "1h"), []string{"Content-Type", form}, http.StatusForbidden},
		"a body without an end":  {"return=" + strings.Repeat("x", 1<<20) + "&step=1h", here, http.StatusBadRequest},
		"a body of another kind": {`{"step":"1h"}`, []string{"Content-Type", "application/json", "Origin", s.URL()}, http.StatusBadRequest},
	} {
		response, _ := do(t, c, "POST", s.URL()+"/sandbox/clock", at.body, at.header...)
		if response.StatusCode != at.want || s.Clock().Ahead() != 0 {
			t.Errorf("%s: %d, want %d, and it is %v ahead", name, response.StatusCode, at.want, s.Clock().Ahead())
		}
	}
	for _, method := range []string{"GET", "HEAD", "PUT"} {
		if response, _ := do(t, c, method, s.URL()+"/sandbox/clock?step=1h", "", "Origin", s.URL()); response.StatusCode < 400 || s.Clock().Ahead() != 0 {
			t.Errorf("%s: %d, and it is %v ahead", method, response.StatusCode, s.Clock().Ahead())
		}
	}
}

// The form leads back, and nowhere else than on this origin.
func TestTheClockLeadsBack(t *testing.T) {
	s := start(t, echo)
	c := browser(t)
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	for back, want := range map[string]string{"/requests?q=1": "/requests?q=1", "https://example.net/": "/", "//example.net/": "/", `/\example.net`: "/"} {
		response, _ := do(t, c, "POST", s.URL()+"/sandbox/clock", fields("step", "15m", "return", back), "Content-Type", form, "Origin", s.URL())
		if got := response.Header.Get("Location"); response.StatusCode != http.StatusSeeOther || got != want {
			t.Errorf("%q: %d to %q", back, response.StatusCode, got)
		}
	}
}

// change replaces a policy past the service.
func change(t *testing.T, s *sandbox.Sandbox, resource string, bindings ...google.Binding) {
	t.Helper()
	if err := s.Cloud().SetPolicy(resource, google.Policy{Bindings: bindings}); err != nil {
		t.Fatal(err)
	}
}

var tags = regexp.MustCompile(`<[^>]*>`)

// diffOf is the first diff of a page as text, a line for each.
func diffOf(t *testing.T, page string) string {
	t.Helper()
	_, page, found := strings.Cut(page, `<pre class="diff"`)
	_, page, _ = strings.Cut(page, ">")
	page, _, ends := strings.Cut(page, "</pre>")
	if !found || !ends {
		t.Fatal("there is no diff")
	}
	for _, end := range []string{"</ins>", "</del>", "</span>"} {
		page = strings.ReplaceAll(page, end, "\n")
	}
	return tags.ReplaceAllString(page, "")
}

// What changed says for each line by a sign and a word whether it was added or removed; the last
// change comes first.
func TestThePolicyPageSaysWhatChanged(t *testing.T) {
	s := start(t, http.NotFound)
	a, b := people(t, s)
	resource := "projects/" + s.Cloud().ProjectID()
	one := google.Binding{Role: "roles/browser", Members: []string{"group:nobody@example.com"}}
	grant := func(end string) google.Binding {
		return google.Binding{Role: "roles/run.admin", Members: []string{"user:" + a.Email},
			Condition: &google.Condition{Title: "t", Expression: `request.time < timestamp("` + end + `")`}}
	}
	change(t, s, resource, one)
	change(t, s, resource, one, grant("2100-01-01T00:00:00Z"))
	change(t, s, resource, grant("2000-01-01T00:00:00Z"), one)
	c := browser(t)
	_, page := signIn(t, c, s, b.Email, "/sandbox/policy?resource="+resource)
	if got := strings.Count(page, `<section class="change"`); got != 3 {
		t.Errorf("%d changes", got)
	}
	for _, want := range []string{"1 line added, 1 removed", "By somebody past the service"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	_, changes, _ := strings.Cut(page, "<h2>What changed</h2>")
	got := diffOf(t, changes)
	for _, want := range []string{
		"-removed:     &#34;expression&#34;: &#34;request.time &lt; timestamp(\\&#34;2100-01-01T00:00:00Z\\&#34;)&#34;\n",
		"+added:     &#34;expression&#34;: &#34;request.time &lt; timestamp(\\&#34;2000-01-01T00:00:00Z\\&#34;)&#34;\n",
		"     &#34;title&#34;: &#34;t&#34;,\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("lacks %q:\n%s", want, got)
		}
	}
	if strings.Contains(got, "roles/browser") {
		t.Errorf("what moved within the policy is shown as changed:\n%s", got)
	}
}

// Markup in names is text.
func TestMarkupInAPolicyIsText(t *testing.T) {
	s := start(t, http.NotFound)
	a, _ := people(t, s)
	resource := "projects/" + s.Cloud().ProjectID()
	change(t, s, resource, google.Binding{Role: "roles/<script>alert(1)</script>", Members: []string{`user:"><img src=x>@example.com`},
		Condition: &google.Condition{Title: "</pre><h1>", Expression: `request.time < timestamp("2100-01-01T00:00:00Z")`}})
	c := browser(t)
	for _, path := range []string{"/sandbox/policy?whole=1&resource=" + resource, "/sandbox/"} {
		_, page := signIn(t, c, s, a.Email, path)
		for _, bad := range []string{"<script", "<img src=x", "</pre><h1>"} {
			if strings.Contains(page, bad) {
				t.Errorf("%s: %s", path, bad)
			}
		}
		if !strings.Contains(page, "&lt;script&gt;alert(1)") {
			t.Errorf("%s does not show it", path)
		}
	}
}

// A policy of tens of thousands of lines makes no page of that length.
func TestALargeChangeIsShownShort(t *testing.T) {
	s := start(t, http.NotFound)
	a, _ := people(t, s)
	resource := "projects/" + s.Cloud().ProjectID()
	large := func(prefix string) (all []google.Binding) {
		for i := range 3000 {
			n := prefix + strconv.Itoa(i)
			all = append(all, google.Binding{Role: "roles/" + n, Members: []string{"user:" + n + "@example.com"},
				Condition: &google.Condition{Title: n, Expression: "true"}})
		}
		return append(all, google.Binding{Role: "roles/many", Members: strings.Fields(strings.Repeat(prefix+"@example.com ", 10_000))})
	}
	change(t, s, resource, large("a")...)
	change(t, s, resource, large("b")...)
	c := browser(t)
	_, page := signIn(t, c, s, a.Email, "/sandbox/policy?resource="+resource)
	if len(page) > 200_000 {
		t.Errorf("%d bytes", len(page))
	}
	if !strings.Contains(page, "more lines, ") {
		t.Error("it does not say that lines were left out")
	}
}

// The bar tells of changes until one has looked at them, in this browser.
func TestTheBarTellsOfChanges(t *testing.T) {
	s := start(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<!doctype html><body>")
	})
	a, _ := people(t, s)
	resource := "projects/" + s.Cloud().ProjectID()
	one, other := browser(t), browser(t)
	bar := func(c *http.Client) string {
		t.Helper()
		_, page := signIn(t, c, s, a.Email, "/")
		return page
	}
	if page := bar(one); strings.Contains(page, "sandbox-news") {
		t.Error("nothing has changed, and the bar tells of it")
	}
	change(t, s, resource, google.Binding{Role: "roles/browser", Members: []string{"user:" + a.Email}})
	change(t, s, resource)
	if page := bar(one); !strings.Contains(page, "2 changes of the IAM policy") || !strings.Contains(page, "<i>removed: </i>") {
		t.Errorf("two have: %s", page)
	}
	do(t, one, "GET", s.URL()+"/sandbox/policy?resource="+resource, "")
	if page := bar(one); strings.Contains(page, "of the IAM policy") || !strings.Contains(page, "Last change") {
		t.Errorf("one has looked: %s", page)
	}
	if page := bar(other); !strings.Contains(page, "2 changes of the IAM policy") {
		t.Error("another browser has not looked, and is told nothing")
	}
	for _, nonsense := range []string{"x", "-1", "99999999999999999999", ""} {
		_, page := do(t, browser(t), "GET", s.URL()+"/", "", "Cookie", "sandbox_person="+a.Email+"; sandbox_seen="+nonsense)
		if !strings.Contains(page, "2 changes of the IAM policy") {
			t.Errorf("%q counts as having looked", nonsense)
		}
	}
}

// tell posts a webhook as the service does.
func tell(t *testing.T, s *sandbox.Sandbox, id string, told map[string]any) {
	t.Helper()
	body, err := json.Marshal(told)
	if err != nil {
		t.Fatal(err)
	}
	environment := s.Environment()
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(environment["WEBHOOK_SECRET"], "whsec_"))
	if err != nil {
		t.Fatal(err)
	}
	at := strconv.FormatInt(s.Clock().Now().Unix(), 10)
	signature := hmac.New(sha256.New, key)
	signature.Write([]byte(id + "." + at + "." + string(body)))
	r, err := http.NewRequestWithContext(t.Context(), "POST", environment["WEBHOOK_URL"], bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header = http.Header{"Content-Type": {"application/json"}, "Webhook-Id": {id}, "Webhook-Timestamp": {at},
		"Webhook-Signature": {"v1," + base64.StdEncoding.EncodeToString(signature.Sum(nil))}}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusNoContent {
		t.Fatal(response.Status)
	}
}

// The first steps are marked by what has happened to requests of Alice, whoever did it, and by
// nothing that was only looked at.
func TestTheFirstStepsGoByWhatHappened(t *testing.T) {
	s := start(t, http.NotFound)
	c := browser(t)
	n := 0
	happens := func(kind, id, requester string) {
		n++
		tell(t, s, strconv.Itoa(n), map[string]any{"type": kind, "timestamp": s.Clock().Now(), "data": map[string]any{
			"id": id, "requester": requester, "url": s.URL() + "/review?activation=" + id, "end": s.Clock().Now().Add(time.Hour)}})
	}
	const alice = "alice@example.com"
	steps := func(want string) string {
		t.Helper()
		_, page := do(t, c, "GET", s.URL()+"/sandbox/", "")
		var got []string
		for _, li := range regexp.MustCompile(`<li( class="done")?>\n<h2>`).FindAllStringSubmatch(page, -1) {
			got = append(got, map[bool]string{true: "done", false: "open"}[li[1] != ""])
		}
		if strings.Join(got, " ") != want {
			t.Errorf("the steps are %q, want %q", got, want)
		}
		return page
	}
	page := steps("open open open")
	if !strings.Contains(page, `class="next" name="return" value="/access/projects/shop-orders-prod?`) {
		t.Error("the first step does not lead to the form")
	}
	for range 3 { // looking is not doing
		signIn(t, c, s, alice, "/access/projects/shop-orders-prod")
	}
	happens("request.made", "x", "bob@example.com")
	happens("request.granted", "self", alice)
	steps("open open open")
	happens("request.made", "one", alice)
	if page := steps("done open open"); !strings.Contains(page, `class="next" name="return" value="/review?activation=one"`) {
		t.Error("the second step does not lead to the request")
	}
	happens("request.granted", "x", "bob@example.com")
	steps("done open open")
	happens("request.denied", "one", alice)
	if page := steps("open open open"); !strings.Contains(page, "Ask once more") || strings.Contains(page, "activation=one") {
		t.Error("it does not say that the request came to nothing")
	}
	happens("request.made", "two", alice)
	happens("request.granted", "two", alice)
	if page := steps("done done open"); !strings.Contains(page, `id="story-end" class="next"`) {
		t.Error("the third step does not lead to the end")
	}
	happens("grant.ended", "two", alice)
	steps("done done done")
	happens("request.made", "three", alice) // what was seen stays seen
	steps("done done done")
}
