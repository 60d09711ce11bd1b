package server_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/server"
	"jitaccess/internal/server/storybook"
)

// approved has ana's request approved by ben, for so many minutes at most; 0 says nothing.
func approvedRequest(t *testing.T, h http.Handler, why, body string) string {
	t.Helper()
	id := someRequest(t, h, why)
	if code, text := asAPI(h, ben, "POST", "/api/activation-request?activation="+id, body); code != 200 {
		t.Fatal(code, text)
	}
	return id
}

func TestMoreTimeIsAskedForByTheInterface(t *testing.T) {
	w, h := withLedger(t)
	id := approvedRequest(t, h, "case 1", "{}")
	extend := func(who access.Principal, id, body string) (int, string) {
		return asAPI(h, who, "POST", "/api/requests/"+id+"/extend", body)
	}
	for what, c := range map[string]struct {
		who  access.Principal
		id   string
		body string
		code int
		text string
	}{
		"who approved it":            {ben, id, `{"minutes":15}`, 403, `"code":"not-involved"`},
		"an administrator":           {carl, id, `{"minutes":15}`, 403, `"code":"not-involved"`},
		"no body":                    {ana, id, ``, 400, ``},
		"another number":             {ana, "mpa-AAAAAAAAAAAAAAAA", `{"minutes":15}`, 404, `"code":"bad-link"`},
		"no number":                  {ana, "x", `{"minutes":15}`, 404, `"code":"bad-link"`},
		"for no time":                {ana, id, `{"minutes":0}`, 400, `"code":"bad-duration"`},
		"for too long":               {ana, id, `{"minutes":100000}`, 400, `"field":"minutes"`},
		"of somebody who may not":    {ana, id, `{"minutes":15,"peers":["eve.ruiz@example.com"]}`, 403, `"code":"reviewer-not-eligible"`},
		"by a form that is not hers": {ana, id, `{"minutes":15,"id":"mpa-AAAAAAAAAAAAAAAA"}`, 400, `"code":"bad-request-id"`},
	} {
		if code, text := extend(c.who, c.id, c.body); code != c.code || !strings.Contains(text, c.text) {
			t.Errorf("%s: %d %s; want %d %s", what, code, text, c.code, c.text)
		}
	}
	code, text := extend(ana, id, `{"minutes":15}`)
	var answer struct {
		Justification string
		Reviewers     []struct{ Email string }
		Entitlements  []struct {
			ActivationID, Status string
			StartTime, EndTime   int64
		}
	}
	if err := json.Unmarshal([]byte(text), &answer); err != nil || code != 200 || answer.Justification != "case 1" || len(answer.Reviewers) != 1 ||
		answer.Reviewers[0].Email != string(ben) || answer.Entitlements[0].Status != "ACTIVATION_PENDING" ||
		answer.Entitlements[0].EndTime-answer.Entitlements[0].StartTime != 15*60 || answer.Entitlements[0].StartTime != w.Activations[0].Window.End.Unix() {
		t.Fatal(code, text, err)
	}
	if code, text := extend(ana, id, `{"minutes":15}`); code != 409 || !strings.Contains(text, `"code":"already-extended"`) {
		t.Errorf("a second one: %d %s", code, text)
	}
	// The page of that leads to the one that there is.
	page := asPage(h, ana, "/requests/"+id+"/extend", nil)
	if link := `href="/requests/` + answer.Entitlements[0].ActivationID + `"`; page.Code != 409 || !strings.Contains(page.Body.String(), link) {
		t.Errorf("%d, without %s: %s", page.Code, link, said(page.Body.String()))
	}
	if code, text := asAPI(h, ben, "POST", "/api/activation-request?activation="+answer.Entitlements[0].ActivationID, "{}"); code != 200 || len(w.Activations) != 2 ||
		!w.Activations[1].Window.Start.Equal(w.Activations[0].Window.End) {
		t.Errorf("%d %s, %v", code, text, w.Activations)
	}
}

// Where nobody says whom to ask, and nobody who was asked before can approve, everybody who can is asked: of a grant that was
// found, nobody had been.
func TestWhoIsAskedForMoreTime(t *testing.T) {
	for what, c := range map[string]struct {
		// then comes before more time is asked for; body is how.
		then func(*world)
		// found is that nobody here had made the grant; typed is that a rule has the addresses of approvers typed.
		found, typed bool
		body         string
		asked        []string
		code         int
		text         string
	}{
		"who was asked before":                   {body: `{"minutes":15}`, asked: []string{"ben"}},
		"who was may no longer":                  {then: func(w *world) { w.Holdings[ben] = nil }, body: `{"minutes":15}`, asked: []string{"carl"}},
		"nobody was":                             {found: true, body: `{"minutes":15,"justification":"case 10"}`, asked: []string{"ben", "carl"}},
		"nobody was, and somebody is named":      {found: true, body: `{"minutes":15,"justification":"case 10","peers":["carl.mendes@example.com"]}`, asked: []string{"carl"}},
		"nobody was, for the reason that it has": {found: true, body: `{"minutes":15}`, asked: []string{"ben", "carl"}},
		"who was and is in no list":              {typed: true, body: `{"minutes":15}`, asked: []string{"ben"}},
		"nobody was, and nobody is in a list":    {typed: true, found: true, body: `{"minutes":15}`, code: 400, text: `Choose at least 1`},
	} {
		w, h := withLedger(t, func(config *server.Config) {
			if c.typed {
				config.Broker.(*world).Ruled("version: 1\nrules: [{name: typed, terms: {approvals: [{count: 1, from: [\"domain:example.com\"]}]}}]")
			}
		})
		id := "mpa-0000000000000009"
		if c.found {
			w.Listed = []access.ResourceInfo{{Resource: orders}}
			w.Activations = []access.Activation{{RequestID: id, Principal: ana, Entitlement: security, Justification: "case 9",
				Window: access.Window{Start: w.Clock.Add(-time.Minute), End: w.Clock.Add(time.Hour)}}}
			if done, err := w.World.World.Broker().Survey(t.Context(), broker.SurveyCount); err != nil || done.TakenIn != 1 {
				t.Fatalf("%s: %+v, %v", what, done, err)
			}
		} else {
			id = approvedRequest(t, h, "case 1", "{}")
		}
		if c.then != nil {
			c.then(w)
		}
		code, text := asAPI(h, ana, "POST", "/api/requests/"+id+"/extend", c.body)
		if code != max(c.code, 200) || !strings.Contains(text, c.text) {
			t.Errorf("%s: %d %s", what, code, text)
		}
		var answer struct{ Reviewers []struct{ Email string } }
		if err := json.Unmarshal([]byte(text), &answer); err != nil {
			t.Fatal(err)
		}
		var asked []string
		for _, r := range answer.Reviewers {
			name, _, _ := strings.Cut(r.Email, ".")
			asked = append(asked, name)
		}
		if !slices.Equal(asked, c.asked) {
			t.Errorf("%s: %q are asked: %s", what, asked, text)
		}
	}
}

// sendForm sends a form of ours as somebody.
func sendForm(h http.Handler, who access.Principal, target string, fields url.Values) *httptest.ResponseRecorder {
	r := httptest.NewRequest("POST", target, strings.NewReader(fields.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	r.Header.Set(personHeader, string(who))
	return do(h, r)
}

// The form pressed twice is one request; and what is wrong is shown with what was typed.
func TestMoreTimeIsAskedForByAForm(t *testing.T) {
	w, h := withLedger(t)
	id := approvedRequest(t, h, "case 1", "{}")
	number, err := access.NewForm(w.Random, access.Peers, ana, w.Clock)
	if err != nil {
		t.Fatal(err)
	}
	if home := asPage(h, ana, "/", nil).Body.String(); !strings.Contains(home, "/requests/"+id+"/extend\"") {
		t.Errorf("%s", said(home))
	}
	fields := url.Values{"id": {number}, "minutes": {"15"}, "justification": {"it goes on"}, "reviewer": {string(ben)}}
	wrong := url.Values{"id": {number}, "minutes": {"9999"}, "justification": {"it goes on"}, "reviewer": {string(ben)}}
	if page := sendForm(h, ana, "/requests/"+id+"/extend", wrong); page.Code != 400 || !strings.Contains(page.Body.String(), "it goes on") || !strings.Contains(page.Body.String(), number) {
		t.Errorf("%d %s", page.Code, page.Body)
	}
	var where string
	for range 2 {
		page := sendForm(h, ana, "/requests/"+id+"/extend", fields)
		if to := page.Header().Get("Location"); page.Code != http.StatusSeeOther || to == "" || where != "" && to != where {
			t.Fatalf("%d %q, before %q: %s", page.Code, to, where, page.Body)
		}
		where = page.Header().Get("Location")
	}
	if code, text := asAPI(h, ana, "GET", "/api/requests?view=mine&state=pending", ""); code != 200 || strings.Count(text, `"activationId"`) != 1 {
		t.Errorf("%d %s", code, text)
	}
	if page := sendForm(h, ben, "/requests/"+id+"/extend", fields); page.Code != 403 {
		t.Errorf("somebody else: %d", page.Code)
	}
	// The start page offers no second extension, which would be refused.
	if home := asPage(h, ana, "/", nil).Body.String(); strings.Contains(home, "/extend\"") || !strings.Contains(home, "/requests/"+id) {
		t.Errorf("%s", said(home))
	}
}

func TestApprovingForLessByInterfaceAndForm(t *testing.T) {
	w, h := withLedger(t)
	for body, c := range map[string]struct {
		code    int
		minutes int
	}{
		``: {200, 30}, `{}`: {200, 30}, `{"minutes":null}`: {200, 30}, `not JSON, as 1.x may send`: {200, 30},
		`{"minutes":10}`: {200, 10}, `{"minutes":30}`: {200, 30}, `{"minutes":1}`: {200, 1},
		`{"minutes":31}`: {400, 0}, `{"minutes":0}`: {400, 0}, `{"minutes":-5}`: {400, 0}, `{"minutes":1.5}`: {400, 0}, `{"minutes":"ten"}`: {400, 0},
		// What limits it cannot be read.
		`{"minutes":10} x`: {400, 0}, `{"minutes":10,}`: {400, 0}, `{"minutes":10`: {400, 0}, ` {"minutes":10,"signature":"x"}`: {400, 0}, `[{"minutes":10}]`: {200, 30},
		`{"minutes":1e9}`: {400, 0}, `{"minutes":[10]}`: {400, 0}, `{"minute":10}`: {400, 0}, `{"activationTimeout":10}`: {400, 0},
		`{"minutes":99999999999999999999}`: {400, 0},
	} {
		w.Activations = nil
		id := someRequest(t, h, "case "+strings.Map(func(r rune) rune {
			if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
				return r
			}
			return 'x'
		}, body))
		code, text := asAPI(h, ben, "POST", "/api/activation-request?activation="+id, body)
		if code != c.code || (len(w.Activations) == 1) != (c.minutes > 0) || c.minutes > 0 && w.Activations[0].Window.Length() != time.Duration(c.minutes)*time.Minute {
			t.Errorf("%s: %d %s, granted %v", body, code, text, w.Activations)
		}
	}
	w.Activations = nil
	id := someRequest(t, h, "by a form")
	if page := sendForm(h, ben, "/review?activation="+id, url.Values{"verdict": {"approve"}, "confirmed": {"1"}, "minutes": {"15"}}); page.Code != http.StatusSeeOther ||
		len(w.Activations) != 1 || w.Activations[0].Window.Length() != 15*time.Minute {
		t.Errorf("%d %s, granted %v", page.Code, page.Body, w.Activations)
	}
}

// What is recorded and not written yet is no failure, on the page and by the interface.
func TestWhatWaitsForThePlatformSaysSo(t *testing.T) {
	w, h := withLedger(t)
	w.GrantErr = &access.Error{Kind: access.Unavailable, Code: access.CodeUpstreamFailed, Args: access.Args{"service": "Google Cloud"}}
	id := someRequest(t, h, "case 1")
	if code, text := asAPI(h, ben, "POST", "/api/activation-request?activation="+id, "{}"); code != 200 || !strings.Contains(text, `"status":"ACTIVATION_PENDING"`) ||
		!strings.Contains(text, "not granted yet") {
		t.Errorf("%d %s", code, text)
	}
	second := someRequest(t, h, "case 2")
	if page := sendForm(h, ben, "/review?activation="+second, url.Values{"verdict": {"approve"}, "confirmed": {"1"}}); page.Code != 200 ||
		!strings.Contains(page.Body.String(), "Recorded, and not granted yet") {
		t.Errorf("%d %s", page.Code, page.Body)
	}
	code, text := asAPI(h, ana, "POST", "/api/projects/acme-orders-prod/roles/self-activate",
		`{"role":"`+string(admin.Role)+`","justification":"case 3","activationTimeout":30}`)
	if code != 200 || !strings.Contains(text, `"status":"ACTIVATION_PENDING"`) || !strings.Contains(text, "not granted yet") {
		t.Errorf("%d %s", code, text)
	}
	// Who approved it calls it off, twice.
	for range 2 {
		if code, text := asAPI(h, ben, "POST", "/api/requests/"+id+"/end", `{"resource":"projects/acme-orders-prod"}`); code != 200 {
			t.Errorf("%d %s", code, text)
		}
	}
	w.GrantErr = &access.Error{Kind: access.Unprocessable, Code: access.CodeRoleNotGrantable, Args: access.Args{"role": string(security.Role)}}
	third := someRequest(t, h, "case 4")
	if code, text := asAPI(h, ben, "POST", "/api/activation-request?activation="+third, "{}"); code != 422 || !strings.Contains(text, string(security.Role)) {
		t.Errorf("refused for good: %d %s", code, text)
	}
}

// Where nobody decides an extension, none is awaited; and it does not begin now.
func TestAnExtensionWithoutApprovalSaysSo(t *testing.T) {
	for kind, says := range map[access.RequestKind][2]string{
		access.Self:  {`aria-describedby="guard">Extend</button>`, "whatever is decided"},
		access.Peers: {"Until then nothing changes, whatever is decided.", `data-guard aria-describedby="guard"`},
	} {
		c := newCanned(t)
		storybook.Ledgered(c.State)
		c.State.Extension.Kind = kind
		h, _ := serve(t, c, nil)
		page := do(h, request("GET", "/requests/mpa-AgICAgICAgICAgIC/extend")).Body.String()
		if !strings.Contains(page, says[0]) || strings.Contains(page, says[1]) || strings.Contains(page, "Activate now") {
			t.Errorf("%s: %s", kind, page)
		}
	}
}
