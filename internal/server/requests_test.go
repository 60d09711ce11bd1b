package server_test

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/server"
	"jitaccess/internal/server/storybook"
)

// asPage opens a page as somebody; fields are sent as a form, where there are any.
func asPage(h http.Handler, who access.Principal, target string, fields url.Values) *httptest.ResponseRecorder {
	r := httptest.NewRequest("GET", target, nil)
	if fields != nil {
		r = httptest.NewRequest("POST", target, strings.NewReader(fields.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	r.Header.Set(personHeader, string(who))
	return do(h, r)
}

func approve(t *testing.T, h http.Handler, who access.Principal, id string) {
	t.Helper()
	if code, text := asAPI(h, who, "POST", "/api/activation-request?activation="+id, "{}"); code != 200 {
		t.Fatal(code, text)
	}
}

// A request is one page for its requester, its reviewers and auditors; the last only read.
func TestARequestIsOnePageForWhomItConcerns(t *testing.T) {
	_, h := withLedger(t)
	id := someRequest(t, h, "case 1")
	for _, path := range []string{"/requests/" + id, "/review?activation=" + id} {
		for _, c := range []struct {
			who              access.Principal
			code             int
			decide, withdraw bool
		}{{ana, 200, false, true}, {ben, 200, true, false}, {eve, 200, false, false}, {carl, 403, false, false}, {dora, 403, false, false}} {
			answer := asPage(h, c.who, path, nil)
			page := answer.Body.String()
			if answer.Code != c.code || strings.Contains(page, "case 1") != (c.code == 200) ||
				strings.Contains(page, `value="approve"`) != c.decide || strings.Contains(page, "/withdraw") != c.withdraw {
				t.Errorf("%s, %s: %d, decides %v, withdraws %v\n%s", path, c.who, answer.Code, strings.Contains(page, `value="approve"`),
					strings.Contains(page, "/withdraw"), said(page))
			}
			if c.code == 200 && !strings.Contains(page, `<span class="address">`+string(ana)+`</span> asked`) {
				t.Errorf("%s, %s: the timeline lacks who asked", path, c.who)
			}
		}
	}
	if answer := asPage(h, eve, "/review?activation="+id, url.Values{"verdict": {"approve"}, "confirmed": {"1"}}); answer.Code != 403 {
		t.Errorf("an auditor decides: %d", answer.Code)
	}
	// An administrator who was asked may take it back as well.
	code, text := asAPI(h, ana, "POST", "/api/projects/acme-orders-prod/roles/request",
		`{"role":"`+string(security.Role)+`","peers":["`+string(carl)+`"],"justification":"case 2","activationTimeout":30}`)
	if code != 200 {
		t.Fatal(code, text)
	}
	other := regexp.MustCompile(`"activationId":"([^"]+)"`).FindStringSubmatch(text)[1]
	if page := asPage(h, carl, "/requests/"+other, nil).Body.String(); !strings.Contains(page, "/requests/"+other+"/withdraw") {
		t.Error("an administrator is not offered to withdraw")
	}
	if answer := asPage(h, carl, "/requests/"+other+"/withdraw", url.Values{}); answer.Code != 303 || answer.Header().Get("Location") != "/requests/"+other {
		t.Errorf("withdraw: %d to %q", answer.Code, answer.Header().Get("Location"))
	}
	if page := asPage(h, ana, "/requests/"+other, nil).Body.String(); !strings.Contains(page, "withdrew it") || strings.Contains(page, "/withdraw") {
		t.Error("the page does not tell that it was withdrawn")
	}
}

// Who could not be told of a withdrawal is told to whoever withdrew.
func TestAWithdrawalTellsWhoWasNotTold(t *testing.T) {
	w, h := withLedger(t)
	id := someRequest(t, h, "case 1")
	w.Undelivered = access.Receipts{{To: ben, Channel: "mail", Err: errors.New("550")}}
	answer := asPage(h, ana, "/requests/"+id+"/withdraw", url.Values{})
	if answer.Code != 200 || !strings.Contains(answer.Body.String(), string(ben)) {
		t.Errorf("%d %s", answer.Code, said(answer.Body.String()))
	}
}

// clockwork gives what waits a tick at a time.
type clockwork struct {
	ticks chan time.Time
	asked chan time.Duration
}

func (c clockwork) after(d time.Duration) <-chan time.Time {
	c.asked <- d
	return c.ticks
}

func clocked(stop chan struct{}) (clockwork, func(*server.Config)) {
	c := clockwork{make(chan time.Time), make(chan time.Duration, 100)}
	return c, func(s *server.Config) { s.After, s.Stopping = c.after, stop }
}

// A page that waits is told when somebody decides, from the ledger alone.
func TestAPageThatWaitsIsToldOfADecision(t *testing.T) {
	clock, change := clocked(nil)
	w, h := withLedger(t, change)
	id := someRequest(t, h, "case 1")
	page := asPage(h, ana, "/requests/"+id, nil).Body.String()
	wait := regexp.MustCompile(`data-wait="(/[^"]+)"`).FindStringSubmatch(page)
	if wait == nil || wait[1] != "/requests/"+id+"?wait=1" || !strings.Contains(page, "/assets/live.js") {
		t.Fatalf("the page waits at %v", wait)
	}
	looked := w.Calls["standing"]
	answers := make(chan *httptest.ResponseRecorder, 1)
	go func() { answers <- asPage(h, ana, wait[1], nil) }()
	<-clock.asked
	clock.ticks <- time.Time{} // it looks, and there is nothing
	<-clock.asked
	if n := w.Calls["standing"]; n != looked {
		t.Errorf("waiting asked the provider %d times", n-looked)
	}
	approve(t, h, ben, id)
	looked = w.Calls["standing"]
	clock.ticks <- time.Time{}
	answer := <-answers
	body := answer.Body.String()
	if answer.Code != 200 || w.Calls["standing"] != looked || strings.Contains(body, "<html") || strings.Contains(body, "<main") {
		t.Fatalf("%d, asked the provider %d times\n%s", answer.Code, w.Calls["standing"]-looked, body)
	}
	for _, want := range []string{`id="state">Active<`, `id="asked"`, `id="timeline"`, `data-state="active"`, string(ben) + `</span> approved`, "The access was granted until"} {
		if !strings.Contains(body, want) {
			t.Errorf("the answer lacks %s:\n%s", want, body)
		}
	}
	// It is an answer at once to whoever has seen less, and to the interface too.
	if answer := asPage(h, ben, "/requests/"+id+"?wait=1", nil); answer.Code != 200 {
		t.Errorf("of an earlier version: %d", answer.Code)
	}
	if code, text := asAPI(h, ana, "GET", "/api/requests/"+id+"?wait=1", ""); code != 200 || !strings.Contains(text, `"version":3`) {
		t.Errorf("the interface: %d %s", code, text)
	}
}

// Waiting ends: by itself, when the process does, and when too many wait. It is not for
// everybody, and takes nobody's place.
func TestWaitingIsBounded(t *testing.T) {
	stop := make(chan struct{})
	clock, change := clocked(stop)
	_, h := withLedger(t, change)
	id := someRequest(t, h, "case 1")
	answers := make(chan *httptest.ResponseRecorder, 1000)
	wait := func(who access.Principal) { answers <- asPage(h, who, "/requests/"+id+"?wait=1", nil) }
	go wait(ana)
	for range 19 {
		<-clock.asked
		clock.ticks <- time.Time{}
	}
	select {
	case answer := <-answers:
		if answer.Code != http.StatusNoContent || answer.Body.Len() != 0 {
			t.Errorf("after a while: %d %s", answer.Code, answer.Body)
		}
	case <-clock.asked:
		t.Fatal("it waits on")
	}
	for _, c := range []struct {
		who   access.Principal
		query string
		code  int
	}{{carl, "1", 403}, {"", "1", 401}, {ana, "x", 400}, {ana, "-1", 400}, {ana, "", 400}, {ana, "1&wait=1", 400}, {ana, "99999999999999999999", 400}} {
		if answer := asPage(h, c.who, "/requests/"+id+"?wait="+c.query, nil); answer.Code != c.code {
			t.Errorf("%s, %s: %d, want %d", c.who, c.query, answer.Code, c.code)
		}
	}
	for range 9 {
		go wait(ana)
	}
	for range 6 {
		<-clock.asked
	}
	// All of ana's places to wait are taken, by more than there are others, and none of those,
	// also once the last of them has come.
	for range 10 {
		if answer := asPage(h, ana, "/requests", nil); answer.Code != 200 {
			t.Fatalf("another page: %d", answer.Code)
		}
	}
	close(stop)
	for range 9 {
		if answer := <-answers; answer.Code != http.StatusNoContent {
			t.Errorf("when the process ends: %d", answer.Code)
		}
	}
}

// Requests, reviews and history are pages, of what is somebody's to see.
func TestPagesOfListsShowWhatIsSomebodys(t *testing.T) {
	_, h := withLedger(t)
	id := someRequest(t, h, "case 1")
	for _, c := range []struct {
		who    access.Principal
		target string
		code   int
		want   bool
	}{
		{ana, "/requests", 200, true}, {ben, "/requests", 200, false}, {ana, "/reviews", 200, false}, {ben, "/reviews", 200, true},
		{ana, "/history", 200, true}, {ben, "/history", 200, false}, {dora, "/history", 200, false}, {eve, "/history", 200, true},
		{ana, "/", 200, true}, {ben, "/", 200, true}, {eve, "/", 200, false},
		{ana, "/requests?state=pending", 200, true}, {ana, "/requests?state=denied", 200, false},
		{eve, "/history?person=ana.ito@example.com", 200, true}, {eve, "/history?person=ben.okafor@example.com", 200, false},
		{ben, "/history?person=ana.ito@example.com", 200, false}, // nobody looks up a colleague
		{eve, "/history?resource=acme-orders-prod", 200, true}, {eve, "/history?resource=projects/acme-orders-test", 200, false},
		{eve, "/history?role=roles/iam.securityAdmin&q=CASE", 200, true}, {eve, "/history?from=2026-11-22&to=2026-11-22", 200, true},
		{eve, "/history?from=2026-11-23", 200, false}, {eve, "/history?to=2026-11-21", 200, false},
		{eve, "/history.csv?from=2026-11-22", 200, true}, {eve, "/history.json?q=case", 200, true}, {ben, "/history.csv", 200, false},
		{ben, "/history.json?person=ana.ito@example.com", 200, false},
		// Bad input.
		{eve, "/history?state=great", 400, false}, {eve, "/history?person=nobody", 400, false}, {eve, "/history?from=yesterday", 400, false},
		{eve, "/history?to=2026-13-01", 400, false}, {eve, "/history?from=0001-01-01", 400, false}, {eve, "/history?resource=..", 400, false},
		{eve, "/history?after=AAAA", 400, false}, {eve, "/history?%zz", 400, false}, {eve, "/history.csv?state=great", 400, false},
		{eve, "/history.json?person=%00", 400, false}, {eve, "/history/month?month=2026-00", 400, false}, {eve, "/history/month?month=x", 400, false},
		{eve, "/history/month?month=0000-01", 400, false}, {eve, "/history/month?month=9999-12", 200, false}, {"", "/history.csv", 401, false},
	} {
		answer := asPage(h, c.who, c.target, nil)
		if answer.Code != c.code || strings.Contains(answer.Body.String(), id) != c.want {
			t.Errorf("%s %s: %d, listed %v\n%s", c.who, c.target, answer.Code, !c.want, said(answer.Body.String()))
		}
	}
}

// What came to nothing wrote nothing and gives no access at any time, and no page says that
// it did; nor does a list give what was ended early until when it was to last.
func TestNoPageTellsOfAccessThatNobodyHad(t *testing.T) {
	_, h := withLedger(t)
	denied, withdrawn, ended := someRequest(t, h, "case 1"), someRequest(t, h, "case 2"), approvedRequest(t, h, "case 3", "{}")
	for _, c := range []struct {
		who            access.Principal
		target, fields string
	}{
		{ben, "/review?activation=" + denied, "verdict=deny&comment=no"}, {ana, "/requests/" + withdrawn + "/withdraw", ""},
		{ana, "/requests/" + ended + "/end", "resource=projects/acme-orders-prod&activation=" + ended},
	} {
		fields, _ := url.ParseQuery(c.fields)
		if answer := asPage(h, c.who, c.target, fields); answer.Code >= 400 {
			t.Fatalf("%s: %d\n%s", c.target, answer.Code, said(answer.Body.String()))
		}
	}
	for _, id := range []string{denied, withdrawn} {
		for _, who := range []access.Principal{ana, ben} {
			page := asPage(h, who, "/requests/"+id, nil).Body.String()
			if !strings.Contains(page, id) || strings.Contains(page, "JIT access activation") || strings.Contains(page, "What was written") || strings.Contains(page, "<br>until") {
				t.Errorf("%s for %s:\n%s", id, who, page)
			}
		}
	}
	if list := asPage(h, ana, "/requests?state=ended", nil).Body.String(); !strings.Contains(list, ended) || strings.Contains(list, ">Until ") {
		t.Errorf("%s", list)
	}
}

// Lists go on where they ended, for the person and the choice that they are of.
func TestPagesOfListsGoOn(t *testing.T) {
	_, h := withLedger(t)
	for i := range access.MaxPage + 3 {
		someRequest(t, h, fmt.Sprintf("case %d.", i))
	}
	first := asPage(h, ana, "/requests?q=case", nil).Body.String()
	next := regexp.MustCompile(`href="([^"]*after=[^"]*)"`).FindStringSubmatch(first)
	if n := strings.Count(first, `<li class="card">`); n != access.MaxPage || next == nil {
		t.Fatalf("%d rows, next %v", n, next)
	}
	target := strings.ReplaceAll(next[1], "&amp;", "&")
	second := asPage(h, ana, target, nil).Body.String()
	if n := strings.Count(second, `<li class="card">`); n != 3 || !strings.Contains(second, "case 0.") || !strings.Contains(second, `href="/requests?q=case"`) {
		t.Errorf("%d rows\n%s", n, said(second))
	}
	for who, foreign := range map[access.Principal]string{ben: target, ana: strings.Replace(target, "/requests", "/history", 1),
		eve: strings.Replace(target, "/requests", "/history", 1)} {
		if answer := asPage(h, who, foreign, nil); answer.Code != 400 {
			t.Errorf("%s %s: %d", who, foreign, answer.Code)
		}
	}
	// What is exported is all of it, whatever a page holds.
	lines, err := csv.NewReader(asPage(h, eve, "/history.csv", nil).Body).ReadAll()
	if err != nil || len(lines) != access.MaxPage+4 {
		t.Errorf("%d lines, %v", len(lines), err)
	}
}

// What somebody wrote is no formula, no markup and no other field.
func TestExportsNeutraliseWhatPeopleWrote(t *testing.T) {
	_, h := withLedger(t)
	hostile := []string{`=cmd|'/c calc'!A1`, "+1+1", "-2", "@SUM(A1)", `a,"b"`, "<script>alert(1)</script>",
		"x;=1+1", "x; -2;+3", `x;"=1+1"`, "＝1+1", "x;＠SUM(A1)", "fine"}
	for _, text := range hostile {
		fields, _ := json.Marshal(text)
		someRequest(t, h, string(fields[1:len(fields)-1]))
	}
	answer := asPage(h, eve, "/history.csv", nil)
	lines, err := csv.NewReader(answer.Body).ReadAll()
	if err != nil || len(lines) != len(hostile)+1 || answer.Header().Get("Content-Type") != "text/csv; charset=utf-8" ||
		!strings.HasPrefix(answer.Header().Get("Content-Disposition"), "attachment") {
		t.Fatal(len(lines), err, answer.Header())
	}
	at := slices.Index(lines[0], "justification")
	for i, text := range hostile {
		want := text
		if strings.ContainsAny(text[:1], "=+-@") || strings.HasPrefix(text, "\uff1d") {
			want = "'" + text
		}
		// Where a comma is for decimals, spreadsheets take semicolons for the ends of fields.
		for _, cell := range regexp.MustCompile(`;"?[=+@\x{ff20}-]`).FindAllString(text, -1) {
			want = strings.Replace(want, cell, ";'"+cell[1:], 1)
		}
		if got := lines[len(hostile)-i][at]; got != want {
			t.Errorf("%q is %q", text, got)
		}
	}
	var file struct {
		Requests []struct{ Justification, ActivationID, Created string }
	}
	answer = asPage(h, eve, "/history.json", nil)
	if err := json.Unmarshal(answer.Body.Bytes(), &file); err != nil || len(file.Requests) != len(hostile) || file.Requests[0].Justification != "fine" {
		t.Errorf("%v: %+v", err, file)
	}
	if err := json.Unmarshal(asPage(h, carl, "/history.json", nil).Body.Bytes(), &file); err != nil || len(file.Requests) != 0 {
		t.Errorf("of nothing: %v: %+v", err, file)
	}
	page := asPage(h, eve, "/history", nil).Body.String()
	if strings.Contains(page, "<script>alert") || !strings.Contains(page, "<bdi>&lt;script&gt;alert(1)&lt;/script&gt;</bdi>") {
		t.Error("the page has markup of a reason")
	}
}

// A file that cannot be finished is broken off, not ended: nobody takes a part for the
// whole.
func TestAnExportThatFailsIsBrokenOff(t *testing.T) {
	c := newCanned(t)
	storybook.Ledgered(c.State)
	c.State.Auditor = true
	h, _ := serve(t, &failingLater{canned: c}, nil)
	service := httptest.NewServer(h)
	defer service.Close()
	for _, path := range []string{"/history.csv", "/history.json"} {
		r, _ := http.NewRequest("GET", service.URL+path, nil)
		r.Header.Set(personHeader, string(eve))
		answer, err := http.DefaultClient.Do(r)
		if err == nil {
			_, err = io.ReadAll(answer.Body)
			answer.Body.Close()
		}
		if err == nil {
			t.Errorf("%s ended as if it were whole", path)
		}
	}
	// What fails at once is a refusal.
	c.Err = &access.Error{Kind: access.Unavailable, Code: access.CodeLedgerUnavailable}
	if answer := asPage(h, eve, "/history.csv", nil); answer.Code != 503 || answer.Header().Get("Content-Disposition") != "" {
		t.Errorf("%d %v", answer.Code, answer.Header())
	}
}

// failingLater fails when the second page of a list is asked for.
type failingLater struct{ *canned }

func (f *failingLater) History(ctx context.Context, c access.Caller, view string, l access.Listing) (access.Listed, []*access.Error, error) {
	if l.After != "" {
		return access.Listed{}, nil, errors.New("the connection is lost")
	}
	listed, warnings, err := f.canned.History(ctx, c, view, l)
	listed.Next = "NEXT"
	return listed, warnings, err
}

// The month counts what was made on each day, and what became of it.
func TestTheMonthCountsEachDay(t *testing.T) {
	w, h := withLedger(t)
	w.Clock = time.Date(2026, 11, 1, 0, 0, 30, 0, time.UTC)
	id := someRequest(t, h, "the first")
	approve(t, h, ben, id)
	w.Clock = time.Date(2026, 11, 30, 23, 0, 0, 0, time.UTC)
	for _, why := range []string{"the last", "the very last"} {
		id = someRequest(t, h, why)
	}
	asAPI(h, ben, "POST", "/api/activation-request/deny?activation="+id, `{"comment":"no"}`)
	w.Clock = time.Date(2026, 12, 1, 0, 0, 1, 0, time.UTC)
	someRequest(t, h, "of another month")
	page := asPage(h, eve, "/history/month?month=2026-11", nil).Body.String()
	for _, want := range []string{`<th scope="row"><a href="/history?from=2026-11-01&amp;to=2026-11-01">2026-11-01</a></th><td>1</td><td>0</td><td>0</td>`,
		`>2026-11-30</a></th><td>0</td><td>1</td><td>1</td>`, `<rect class="granted"`, `<rect class="refused"`, "1 gave access, 1 were refused, 1 wait"} {
		if !strings.Contains(page, want) {
			t.Errorf("lacks %s", want)
		}
	}
	if strings.Contains(page, "2026-11-31") || strings.Contains(page, "style=") || !strings.Contains(page, `month=2026-12`) {
		t.Error("days, style, or the month after")
	}
	if page := asPage(h, carl, "/history/month?month=2026-11", nil).Body.String(); strings.Contains(page, "<rect") {
		t.Error("somebody sees others' month")
	}
	if page := asPage(h, eve, "/history/month", nil).Body.String(); !strings.Contains(page, "Dec 2026") || strings.Contains(page, "2027-01") {
		t.Error("the month that is, or one that is to come")
	}
}

// For how long something is approved at most is a number, and nothing else is taken for
// "as long as was asked".
func TestAShorterApprovalIsANumber(t *testing.T) {
	w, h := withLedger(t)
	id := someRequest(t, h, "case 1")
	w.changes = 0
	for _, text := range []string{"x", "0", "-5", "1e3", " 15", "15m"} {
		answer := asPage(h, ben, "/review?activation="+id, url.Values{"verdict": {"approve"}, "confirmed": {"1"}, "minutes": {text}})
		if answer.Code != 400 || w.changes != 0 {
			t.Errorf("%q: %d", text, answer.Code)
		}
	}
	page := asPage(h, ben, "/review?activation="+id, url.Values{"verdict": {"approve"}, "minutes": {"15"}}).Body.String()
	if !strings.Contains(page, `<input type="hidden" name="minutes" value="15">`) || !strings.Contains(page, "15 minutes at most") {
		t.Errorf("the second step forgets it:\n%s", said(page))
	}
}
