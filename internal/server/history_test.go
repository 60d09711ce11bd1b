package server_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/ledger"
	"jitaccess/internal/ledger/relational"
	"jitaccess/internal/server"
)

// withLedger is a world that remembers in a real database. Dora is an administrator, and
// eve an auditor.
func withLedger(t testing.TB, changes ...func(*server.Config)) (*world, http.Handler) {
	t.Helper()
	home, err := relational.SQLite(filepath.Join(t.TempDir(), "jitaccess.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { home.Close() })
	if err := home.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	keys, err := ledger.NewKeys(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	w.Random = rand.Reader
	w.Holdings[dora] = nil
	w.Auditors = []string{"user:" + string(eve)}
	w.home = home
	w.Ledger = ledger.New(ledger.Config{Home: home, Signer: keys, Now: func() time.Time {
		w.Mu.Lock()
		defer w.Mu.Unlock()
		return w.Clock
	}, Random: rand.Reader})
	w.Broker = w.World.World.Broker()
	h, _ := serve(t, w, func(c *server.Config) {
		c.Now = func() time.Time {
			w.Mu.Lock()
			defer w.Mu.Unlock()
			return w.Clock
		}
		for _, change := range changes {
			change(c)
		}
	})
	return w, http.HandlerFunc(func(answer http.ResponseWriter, r *http.Request) {
		w.Mu.Lock()
		w.Clock = w.Clock.Add(2 * time.Second) // so that nobody is too fast
		w.Mu.Unlock()
		h.ServeHTTP(answer, r)
	})
}

// asAPI sends a request of the JSON interface as somebody, and returns its status and body.
func asAPI(h http.Handler, who access.Principal, method, target, body string) (int, string) {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set(personHeader, string(who))
	r.Header.Set("X-JITACCESS", "1")
	w := do(h, r)
	return w.Code, w.Body.String()
}

// someRequest has ana ask ben, for a reason.
func someRequest(t testing.TB, h http.Handler, why string) string {
	t.Helper()
	code, text := asAPI(h, ana, "POST", "/api/projects/acme-orders-prod/roles/request",
		`{"role":"`+string(security.Role)+`","peers":["`+string(ben)+`"],"justification":"`+why+`","activationTimeout":30}`)
	var answer struct {
		Entitlements []struct{ ActivationID string }
	}
	if err := json.Unmarshal([]byte(text), &answer); code != 200 || err != nil {
		t.Fatal(code, text, err)
	}
	return answer.Entitlements[0].ActivationID
}

func TestRequestsAreListedToWhomTheyConcern(t *testing.T) {
	_, h := withLedger(t)
	id := someRequest(t, h, "case 1")
	list := func(who access.Principal, query string) (int, string) {
		return asAPI(h, who, "GET", "/api/requests?"+query, "")
	}
	for _, c := range []struct {
		who   access.Principal
		query string
		code  int
		want  bool
	}{
		{ana, "", 200, true}, {ana, "view=mine", 200, true}, {ana, "view=reviews", 200, false}, {ana, "view=all", 200, true},
		{ben, "", 200, false}, {ben, "view=reviews", 200, true}, {ben, "view=all", 200, false},
		{carl, "view=all", 200, false}, {carl, "view=reviews", 200, false},
		{dora, "view=all", 200, false}, // who administers does not read everybody's
		{eve, "view=all", 200, true}, {eve, "view=mine", 200, false},
		{ana, "state=pending", 200, true}, {ana, "state=denied", 200, false},
		{ana, "role=roles/iam.securityAdmin", 200, true}, {ana, "role=roles/viewer", 200, false},
		{ana, "resource=projects/acme-orders-prod", 200, true}, {ana, "resource=projects/acme-orders-test", 200, false},
		{ana, "q=CASE", 200, true}, {ana, "q=nothing", 200, false},
		// Bad input.
		{ana, "view=everything", 400, false}, {ana, "state=great", 400, false}, {ana, "state=", 200, true},
		{ana, "resource=acme", 400, false}, {ana, "resource=projects/..", 400, false},
		{ana, "after=%00", 400, false}, {ana, "after=AAAA", 400, false}, {ana, "%zz", 400, false},
	} {
		code, text := list(c.who, c.query)
		if code != c.code || strings.Contains(text, id) != c.want || code == 200 && !strings.Contains(text, `"requests":[`) {
			t.Errorf("%s ?%s: %d %s; want %d, listed %v", c.who, c.query, code, text, c.code, c.want)
		}
	}
}

func TestACursorIsOfOnePersonsList(t *testing.T) {
	_, h := withLedger(t)
	for i := range access.MaxPage + 1 {
		someRequest(t, h, "case "+strings.Repeat("i", i+1))
	}
	var page struct {
		Requests []struct{ ActivationID string }
		After    string
	}
	read := func(who access.Principal, query string) int {
		page.Requests, page.After = nil, ""
		code, text := asAPI(h, who, "GET", "/api/requests?"+query, "")
		if err := json.Unmarshal([]byte(text), &page); err != nil {
			t.Fatal(code, text)
		}
		return code
	}
	if code := read(ana, "q=case"); code != 200 || len(page.Requests) != access.MaxPage || page.After == "" {
		t.Fatalf("%d, %d requests, after %q", code, len(page.Requests), page.After)
	}
	after := url.QueryEscape(page.After)
	for what, c := range map[string]struct {
		who   access.Principal
		query string
		code  int
	}{
		"her own":          {ana, "q=case", 200},
		"somebody else's":  {ben, "q=case", 400},
		"an auditor's":     {eve, "q=case&view=all", 400},
		"of another view":  {ana, "q=case&view=all", 400},
		"of another word":  {ana, "q=cas", 400},
		"of another state": {ana, "q=case&state=pending", 400},
	} {
		if code := read(c.who, c.query+"&after="+after); code != c.code || code == 200 && (len(page.Requests) != 1 || page.After != "") {
			t.Errorf("%s: %d, %d requests", what, code, len(page.Requests))
		}
	}
}

func TestARequestIsToldToWhomItConcerns(t *testing.T) {
	_, h := withLedger(t)
	id := someRequest(t, h, "case 1")
	for _, c := range []struct {
		who  access.Principal
		id   string
		code int
	}{
		{ana, id, 200}, {ben, id, 200}, {eve, id, 200}, {carl, id, 403}, {dora, id, 403},
		{ana, "mpa-AAAAAAAAAAAAAAAA", 404}, {ana, "x", 404}, {ana, "mpa-%2e%2e", 404}, {ana, strings.ToUpper(id), 404}, {ana, "a%20b", 400},
	} {
		code, text := asAPI(h, c.who, "GET", "/api/requests/"+c.id, "")
		if code != c.code || (code == 200) != strings.Contains(text, `"justification":"case 1"`) {
			t.Errorf("%s, %s: %d %s; want %d", c.who, c.id, code, text, c.code)
		}
		if code == 200 && (!strings.Contains(text, `"events":[{"action":"request made"`) || !strings.Contains(text, `"by":"`+string(ana)+`"`)) {
			t.Errorf("%s: %s", c.who, text)
		}
	}
}

func TestARequestIsWithdrawnByItsRequesterAndAdministrators(t *testing.T) {
	w, h := withLedger(t)
	for _, c := range []struct {
		who  access.Principal
		code int
	}{{ben, 403}, {eve, 403}, {ana, 200}, {carl, 200}, {dora, 200}} { // carl and dora administer
		id := someRequest(t, h, "case of "+string(c.who))
		w.Told = nil
		code, text := asAPI(h, c.who, "POST", "/api/requests/"+id+"/withdraw", "{}")
		if code != c.code || (code == 200) != strings.Contains(text, `"state":"withdrawn"`) {
			t.Errorf("%s: %d %s", c.who, code, text)
		}
		if code != 200 {
			if len(w.Told) != 0 {
				t.Errorf("%s: told %+v", c.who, w.Told)
			}
			continue
		}
		if len(w.Told) != 1 || w.Told[0].Kind != access.NoticeWithdrawn || len(w.Told[0].To) != 1 || w.Told[0].To[0] != ben ||
			w.Told[0].CC[0] != ana || w.Told[0].BaseURL != "https://access.example.com/" {
			t.Errorf("%s: told %+v", c.who, w.Told)
		}
		if code, text = asAPI(h, c.who, "POST", "/api/requests/"+id+"/withdraw", "{}"); code != 200 || len(w.Told) != 1 {
			t.Errorf("%s, again: %d %s, told %d times", c.who, code, text, len(w.Told))
		}
		if code, text = asAPI(h, ben, "POST", "/api/activation-request?activation="+id, "{}"); code != 410 {
			t.Errorf("approved after all: %d %s", code, text)
		}
	}
	for what, c := range map[string]struct {
		prepare func(id string)
		code    int
	}{
		"approved": {func(id string) { asAPI(h, ben, "POST", "/api/activation-request?activation="+id, "{}") }, 409},
		"denied": {func(id string) {
			asAPI(h, ben, "POST", "/api/activation-request/deny?activation="+id, `{"comment":"no"}`)
		}, 409},
		"over": {func(string) { w.Clock = w.Clock.Add(2 * time.Hour) }, 410},
	} {
		id := someRequest(t, h, "what is "+what)
		c.prepare(id)
		if code, text := asAPI(h, ana, "POST", "/api/requests/"+id+"/withdraw", "{}"); code != c.code {
			t.Errorf("%s: %d %s", what, code, text)
		}
	}
	id := someRequest(t, h, "nobody can be told")
	w.Undelivered = access.Receipts{{To: ben, Channel: "mail", Err: errors.New("550")}}
	if code, text := asAPI(h, ana, "POST", "/api/requests/"+id+"/withdraw", "{}"); code != 200 || strings.Contains(text, `"warnings":[]`) {
		t.Errorf("nobody told: %d %s", code, text)
	}
	for target, want := range map[string]int{"mpa-AAAAAAAAAAAAAAAA": 404, "a%20b": 400} {
		if code, text := asAPI(h, ana, "POST", "/api/requests/"+target+"/withdraw", "{}"); code != want {
			t.Errorf("%s: %d %s", target, code, text)
		}
	}
}

func TestWithoutALedgerTheInterfaceSaysSo(t *testing.T) {
	h, _ := serve(t, newWorld(t), nil)
	for _, c := range []struct{ method, target string }{{"GET", "/api/requests"}, {"GET", "/api/requests/mpa-AAAAAAAAAAAAAAAA"},
		{"POST", "/api/requests/mpa-AAAAAAAAAAAAAAAA/withdraw"}} {
		if code, text := asAPI(h, ana, c.method, c.target, "{}"); code != http.StatusNotImplemented || !strings.Contains(text, `"code":"no-ledger"`) {
			t.Errorf("%s %s: %d %s", c.method, c.target, code, text)
		}
	}
}

// Whoever may write the database, and has no key, can put in a whole request of which nothing
// comes any more, signed with a key of their own. What is shown of it says that it is not
// known to have happened; lists, which are read from rows, say that they are not looked at.
func TestWhatIsSignedBySomebodyElseIsMarked(t *testing.T) {
	const sign = "signed with a key that this service does not use now"
	w, h := withLedger(t)
	ours := w.Ledger
	for _, by := range []byte{0, 66} { // as the service's, and another
		keys, err := ledger.NewKeys(bytes.Repeat([]byte{by}, 32))
		if err != nil {
			t.Fatal(err)
		}
		w.Ledger = ledger.New(ledger.Config{Home: w.home, Signer: keys, Now: func() time.Time { return w.Clock }, Random: rand.Reader})
		b, asks := w.World.World.Broker(), access.Caller{Principal: ana}
		asked, err := b.Ask(t.Context(), asks, broker.Ask{Kind: access.Peers, Resource: orders, Entitlements: []access.EntitlementID{security},
			Reviewers: []string{string(ben)}, Justification: "case 4711", Duration: time.Hour, Origin: "https://jit.example.com"})
		if err == nil {
			_, _, err = b.Withdraw(t.Context(), asks, asked.Request.ID, "")
		}
		if err != nil {
			t.Fatal(err)
		}
		w.Ledger = ours
		w.Broker = w.World.World.Broker()
		id := asked.Request.ID
		for _, path := range []string{"/requests/" + id, "/review?activation=" + id} {
			if code, page := readPage(h, ben, path); code != 200 || strings.Contains(page, sign) != (by != 0) {
				t.Errorf("%d: %s: %d %s", by, path, code, page)
			}
		}
		for _, path := range []string{"/api/activation-request?activation=" + id, "/api/requests/" + id} {
			code, answer := asAPI(h, ben, "GET", path, "")
			if marked := strings.Contains(answer, sign) || strings.Contains(answer, `"unattested":true`); code != 200 || marked != (by != 0) {
				t.Errorf("%d: %s: %d %s", by, path, code, answer)
			}
		}
	}
	for who, path := range map[access.Principal]string{ana: "/requests", eve: "/history"} {
		if code, page := readPage(h, who, path); code != 200 || !strings.Contains(page, "looked at when a request is opened") {
			t.Errorf("%s: %d %s", path, code, page)
		}
	}
	// Of the two that lists have, one is marked in each form of them.
	for path, marks := range map[string][2]string{
		"/requests":     {`<span class="pill bad">Signed with another key`, "mpa-"},
		"/history.json": {`"attestation":"unattested"`, `"attestation":"signed"`},
		"/history.csv":  {",unattested\n", ",signed\n"},
	} {
		code, page := readPage(h, ana, path)
		if code != 200 || strings.Count(page, marks[0]) != 1 || !strings.Contains(page, marks[1]) {
			t.Errorf("%s: %d %s", path, code, page)
		}
	}
	if code, answer := asAPI(h, ana, "GET", "/api/requests", ""); code != 200 || strings.Count(answer, `"attestation":"unattested"`) != 1 ||
		strings.Count(answer, `"attestation":"signed"`) != 1 {
		t.Errorf("%d %s", code, answer)
	}
	if code, page := readPage(h, eve, "/history/month"); code != 200 || !strings.Contains(page, "the list of a day says it of each request") {
		t.Errorf("%d %s", code, page)
	}
}

// A row by hand says on the start page, and to whom it asks, that it is not what was recorded,
// whatever it says; what is as it was recorded is not marked.
func TestRowsByHandAreMarkedOnTheStartPage(t *testing.T) {
	w, h := withLedger(t)
	some, other := someRequest(t, h, "case 1"), someRequest(t, h, "case 2")
	keys, _ := ledger.NewKeys(make([]byte, 32))
	w.Ledger = ledger.New(ledger.Config{Home: byHand{w.home, other}, Signer: keys, Now: func() time.Time { return w.Clock }, Random: rand.Reader})
	w.Broker = w.World.World.Broker()
	for who, path := range map[access.Principal]string{ana: "/", ben: "/", eve: "/history"} {
		code, page := readPage(h, who, path)
		if code != 200 || strings.Count(page, `<span class="pill bad">Not as it was recorded`) != 1 || !strings.Contains(page, some) || !strings.Contains(page, other) {
			t.Errorf("%s of %s: %d %s", path, who, code, page)
		}
	}
	if code, page := readPage(h, ben, "/reviews"); code != 200 || strings.Count(page, `<span class="pill bad">Not as it was recorded`) != 1 {
		t.Errorf("%d %s", code, page)
	}
}

// byHand is a home in which somebody has written another reason into the row of a request.
type byHand struct {
	ledger.Home
	id string
}

func (b byHand) List(ctx context.Context, q ledger.Query) ([]ledger.Row, error) {
	rows, err := b.Home.List(ctx, q)
	for i := range rows {
		if rows[i].ID == b.id {
			rows[i].Summary = bytes.Replace(rows[i].Summary, []byte("case 2"), []byte("case 3"), 1)
		}
	}
	return rows, err
}

// What is there twice in an address, and may not be, is refused: a list of one person's requests must not pass for that
// of two.
func TestWhatIsThereTwiceInAnAddress(t *testing.T) {
	_, h := withLedger(t)
	for _, test := range []struct {
		who    access.Principal
		target string
		status int
	}{
		{eve, "/api/requests?view=all&person=ana@example.com&person=ben@example.com", 400},
		{eve, "/api/requests?view=mine&view=all", 400},
		{eve, "/api/requests?view=all&role=roles/a&role=roles/b", 400},
		{eve, "/history?state=active&state=denied", 400},
		{eve, "/history.csv?person=ana@example.com&person=ben@example.com", 400},
		{eve, "/history.json?from=2026-11-01&from=2026-11-02", 400},
		{eve, "/history/month?month=2026-11&month=2026-10", 400},
		{ana, "/review?activation=a&activation=b", 400},
		{ana, "/?q=a&q=b", 400},
		{ana, "/access/projects/shop?reason=a&reason=b", 400},
		{ana, "/api/requests?person=%zz", 400},
		{eve, "/api/requests?view=all&person=ana@example.com", 200},
		{eve, "/api/requests?view=all&person=&state=", 200},
	} {
		w := visit(h, "GET", test.target, "", personHeader+": "+string(test.who), "X-JITACCESS: 1")
		if w.Code != test.status || test.status == 400 && strings.Contains(w.Body.String(), "ben@example.com") {
			t.Errorf("%s: %d %.300s", test.target, w.Code, w.Body)
		}
	}
}
