package server_test

import (
	"encoding/json"
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/broker/brokertest"
)

const emergencyRule = `version: 1
rules: [{name: production, terms: {break_glass:
  {who: ["group:oncall@example.com"], max_duration: 1h, review_by: ["user:carl.mendes@example.com"]}}}]
`

// withGlass is withLedger, where ana is on call and carl reviews.
func withGlass(t *testing.T) (*world, http.Handler) {
	w, h := withLedger(t)
	w.GroupsOf[ana] = []string{"oncall@example.com"}
	w.Ruled(emergencyRule)
	w.Broker = w.World.World.Broker()
	return w, h
}

// asForm sends a form of a page as somebody.
func asForm(h http.Handler, who access.Principal, target string, fields url.Values) *httptest.ResponseRecorder {
	r := httptest.NewRequest("POST", target, strings.NewReader(fields.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	r.Header.Set(personHeader, string(who))
	return do(h, r)
}

func readPage(h http.Handler, who access.Principal, target string) (int, string) {
	w := asPage(h, who, target, nil)
	return w.Code, html.UnescapeString(w.Body.String())
}

var glassNumber = regexp.MustCompile(`name="id" value="(brk-[^"]+)"`)

// The glass is broken from the page of the role by whom the rule names, and from nowhere else.
func TestTheGlassIsBrokenFromThePage(t *testing.T) {
	w, h := withGlass(t)
	form := "/access/" + string(orders) + "?entitlement=" + url.QueryEscape(security.String())
	if code, page := readPage(h, ben, form); code != 200 || glassNumber.MatchString(page) {
		t.Errorf("ben is offered it: %d", code)
	}
	code, page := readPage(h, ana, form)
	number := glassNumber.FindStringSubmatch(page)
	if code != 200 || number == nil {
		t.Fatal(code, page)
	}
	fields := url.Values{"id": {number[1]}, "glass": {"1"}, "entitlement": {security.String()}, "justification": {""}, "minutes": {"30"}}
	wrong := asForm(h, ana, "/access/"+string(orders), fields)
	if again := glassNumber.FindStringSubmatch(wrong.Body.String()); wrong.Code != 400 || again == nil || again[1] != number[1] ||
		strings.Count(wrong.Body.String(), "brk-") != 1 {
		t.Errorf("without a reason: %d %s", wrong.Code, wrong.Body)
	}
	fields.Set("justification", "everything is down")
	if somebody := asForm(h, ben, "/access/"+string(orders), fields); somebody.Code == 303 {
		t.Errorf("with ana's number: %d", somebody.Code)
	}
	for range 2 { // pressed twice
		done := asForm(h, ana, "/access/"+string(orders), fields)
		if done.Code != 303 || !strings.Contains(done.Header().Get("Location"), "/requests/brk-") || len(w.Activations) != 1 || !w.Activations[0].BreakGlass {
			t.Fatalf("%d %s %s; granted %+v", done.Code, done.Header(), done.Body, w.Activations)
		}
	}
	where := "/requests/" + w.Activations[0].RequestID
	for who, want := range map[access.Principal]int{ana: 200, carl: 200, eve: 200, ben: 403, dora: 403} {
		if code, _ := readPage(h, who, where); code != want {
			t.Errorf("%s sees it: %d, want %d", who, code, want)
		}
	}
	for who, want := range map[access.Principal]bool{ana: false, carl: true, eve: false} {
		if _, page := readPage(h, who, where); strings.Contains(page, where+"/review") != want {
			t.Errorf("%s may review it: %v, want %v", who, !want, want)
		}
	}
	if code, page := readPage(h, carl, "/reviews"); code != 200 || !strings.Contains(page, where) {
		t.Errorf("it waits for carl: %d", code)
	}
	if done := asForm(h, carl, where+"/review", url.Values{"comment": {"It was needed."}}); done.Code != 303 {
		t.Errorf("%d %s", done.Code, done.Body)
	}
	if code, page := readPage(h, ana, where); code != 200 || !strings.Contains(page, "It was needed.") {
		t.Errorf("ana reads the review: %d", code)
	}
}

// What was typed for a broken glass is never sent as one by the button of another form.
func TestAnotherFormDoesNotBreakTheGlass(t *testing.T) {
	w, h := withGlass(t)
	code, page := readPage(h, ana, "/access/"+string(orders)+"?entitlement="+url.QueryEscape(security.String()))
	number := glassNumber.FindStringSubmatch(page)
	if code != 200 || number == nil {
		t.Fatal(code)
	}
	fields := url.Values{"id": {number[1]}, "glass": {"1"}, "entitlement": {security.String()}, "justification": {"down"}, "minutes": {"30"}}
	for what, fail := range map[string]func(){
		"no longer on call":   func() { w.GroupsOf[ana] = nil },
		"Google does not say": func() { w.CatalogErr = &access.Error{Kind: access.Unavailable, Code: access.CodeUpstreamFailed} },
	} {
		fail()
		answer := asForm(h, ana, "/access/"+string(orders), fields)
		if answer.Code < 400 || strings.Contains(answer.Body.String(), `value="brk-`) {
			t.Errorf("%s: %d %s", what, answer.Code, answer.Body)
		}
	}
}

func TestTheGlassOverTheInterface(t *testing.T) {
	w, h := withGlass(t)
	activate := func(who access.Principal, more string) (int, string) {
		return asAPI(h, who, "POST", "/api/projects/acme-orders-prod/roles/self-activate",
			`{"role":"`+string(security.Role)+`","justification":"down","activationTimeout":30`+more+`}`)
	}
	for _, c := range []struct {
		who  access.Principal
		more string
		code int
		want string
	}{
		{ana, ``, 403, `"needs-approval"`},
		{ana, `,"breakGlass":false`, 403, `"needs-approval"`},
		{ben, `,"breakGlass":true`, 403, `"no-break-glass"`},
		{ana, `,"breakGlass":"yes"`, 400, `"bad-input"`},
		{ana, `,"breakGlass":true`, 200, `"status":"ACTIVE"`},
		{ana, `,"breakGlass":true`, 409, `"glass-unreviewed"`},
	} {
		if code, text := activate(c.who, c.more); code != c.code || !strings.Contains(text, c.want) {
			t.Errorf("%s%s: %d %s, want %d %s", c.who, c.more, code, text, c.code, c.want)
		}
	}
	id := w.Activations[0].RequestID
	reads := func(who access.Principal, target string) (int, string) { return asAPI(h, who, "GET", target, "") }
	if code, text := reads(ana, "/api/requests/"+id); code != 200 || !strings.Contains(text, `"review":null`) || !strings.Contains(text, `"kind":"break glass"`) {
		t.Errorf("%d %s", code, text)
	}
	if code, text := reads(carl, "/api/requests?view=reviews"); code != 200 || !strings.Contains(text, id) {
		t.Errorf("%d %s", code, text)
	}
	if code, text := reads(ben, "/api/requests?view=reviews"); code != 200 || strings.Contains(text, id) {
		t.Errorf("%d %s", code, text)
	}
	for _, c := range []struct {
		who  access.Principal
		id   string
		body string
		code int
	}{
		{ana, id, `{"comment":"fine"}`, 403}, {ben, id, `{"comment":"fine"}`, 403}, {eve, id, `{"comment":"fine"}`, 403},
		{carl, id, `{}`, 400}, {carl, id, `{"comment":"a\nb"}`, 400}, {carl, id, `{`, 400}, {carl, "brk-AAAAAAAAAAAAAAAA", `{"comment":"fine"}`, 404},
		{carl, id, `{"comment":"fine"}`, 200}, {carl, id, `{"comment":"again"}`, 200}, {carl, id, `null`, 400},
	} {
		if code, text := asAPI(h, c.who, "POST", "/api/requests/"+c.id+"/review", c.body); code != c.code {
			t.Errorf("%s %s: %d %s, want %d", c.who, c.body, code, text, c.code)
		}
	}
	code, text := reads(ana, "/api/requests/"+id)
	var read struct {
		Review struct{ By, At, Comment string }
	}
	if err := json.Unmarshal([]byte(text), &read); code != 200 || err != nil || read.Review.By != string(carl) || read.Review.Comment != "fine" || read.Review.At == "" {
		t.Errorf("%d %s, %v", code, text, err)
	}
}

// Where nobody can be told, and while the ledger is out of reach.
func TestTheGlassInTrouble(t *testing.T) {
	w, h := withGlass(t)
	const call, body = "/api/projects/acme-orders-prod/roles/self-activate", `{"role":"roles/iam.securityAdmin","justification":"down","activationTimeout":30,"breakGlass":true}`
	w.Silent = true
	w.Broker = w.World.World.Broker()
	if code, text := asAPI(h, ana, "POST", call, body); code != 503 || !strings.Contains(text, `"glass-untold"`) {
		t.Errorf("%d %s", code, text)
	}
	w.Silent = false
	w.Ledger = &brokertest.Unreachable{Memory: w.Ledger.(broker.Memory), Down: true}
	w.Broker = w.World.World.Broker()
	if code, text := asAPI(h, ana, "POST", call, body); code != 200 || !strings.Contains(text, "is taken into the history later") || len(w.Activations) != 1 {
		t.Errorf("%d %s", code, text)
	}
	id := w.Activations[0].RequestID
	for target, body := range map[string]string{"/api/requests/" + id + "/review": `{"comment":"fine"}`, "/api/requests/" + id + "/withdraw": `{}`,
		"/api/projects/acme-orders-prod/roles/request": `{"role":"roles/iam.securityAdmin","justification":"x","activationTimeout":30,"peers":["ben.okafor@example.com"]}`} {
		if code, text := asAPI(h, carl, "POST", target, body); code != 503 || !strings.Contains(text, `"ledger-unavailable"`) {
			t.Errorf("%s: %d %s", target, code, text)
		}
	}
	// The page of an activation alone says so too.
	fields := url.Values{"entitlement": {admin.String()}, "justification": {"x"}, "minutes": {"30"}}
	form, err := w.NewForm(access.Caller{Principal: ana}, access.Self)
	if err != nil {
		t.Fatal(err)
	}
	fields.Set("id", form)
	w.Clock = w.Clock.Add(time.Second)
	if answer := asForm(h, ana, "/access/"+string(orders), fields); answer.Code != 200 || !strings.Contains(answer.Body.String(), "is taken into the history later") {
		t.Errorf("%d %s", answer.Code, answer.Body)
	}
}
