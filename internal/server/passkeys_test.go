package server_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/broker/brokertest"
	"jitaccess/internal/passkey"
	"jitaccess/internal/passkey/passkeytest"
	"jitaccess/internal/server"
)

const signedPolicy = `version: 1
rules:
  - name: signed
    match: {role: [roles/iam.securityAdmin]}
    terms: {approvals: 1, signature: true}
`

const passkeyOrigin, passkeyParty = "https://access.example.com", "access.example.com"

// withPasskeys is a world in which the approvals of security are signed.
func withPasskeys(t *testing.T) (*world, http.Handler) {
	var w *world
	w, h := withLedger(t, func(c *server.Config) {
		w = c.Broker.(*world)
		w.Origin, w.Signatures = passkeyOrigin, &brokertest.Signatures{}
		w.Ruled(signedPolicy)
	})
	return w, h
}

// enrolled is a new key of somebody's, which carl has approved.
func enrolled(t *testing.T, w *world, of access.Principal) *passkeytest.Authenticator {
	t.Helper()
	key, who := passkeytest.New(t, passkeyOrigin, passkeyParty), access.Caller{Principal: of, Asserted: w.Clock}
	key.Counter = 1
	list, err := w.PasskeyList(t.Context(), who)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := w.Enrol(t.Context(), who, "Laptop", key.Create(list.Enrolment.Statement)); err != nil {
		t.Fatal(err)
	}
	if _, err := w.ApprovePasskey(t.Context(), access.Caller{Principal: carl}, of, access.CredentialID(key.Credential)); err != nil {
		t.Fatal(err)
	}
	return key
}

// toSign is what the JSON interface gives somebody to sign.
type toSign struct {
	WithoutPasskey []struct{ Email access.Principal }
	Signing        *struct {
		Challenge, RelyingParty, Nonce, Time, Text string
		Credentials                                []string
	}
	Warnings []string
}

func askedToSign(t *testing.T, h http.Handler, who access.Principal, id, more string) (a toSign) {
	t.Helper()
	code, text := asAPI(h, who, "GET", "/api/activation-request?activation="+id+more, "")
	if err := json.Unmarshal([]byte(text), &a); code != 200 || err != nil {
		t.Fatal(code, text, err)
	}
	return a
}

// signed is what a program sends that has had a challenge signed: it reads what it was given,
// and nothing of ours.
func signed(t *testing.T, key *passkeytest.Authenticator, by access.Principal, a toSign, minutes int) string {
	t.Helper()
	raw := base64.RawURLEncoding
	nonce, err := raw.DecodeString(a.Signing.Nonce)
	at, failed := time.Parse(time.RFC3339, a.Signing.Time)
	if err != nil || failed != nil {
		t.Fatal(err, failed)
	}
	_, rest, _ := strings.Cut(a.Signing.Text, "\nrequest ")
	digest, _, _ := strings.Cut(rest, "\n")
	s := passkey.Statement{Purpose: passkey.Approval, Person: by, Request: digest, Duration: time.Duration(minutes) * time.Minute, Nonce: nonce, At: at}
	if s.Text() != a.Signing.Text || raw.EncodeToString(s.Challenge()) != a.Signing.Challenge {
		t.Fatalf("the challenge is not of the text %q", a.Signing.Text)
	}
	made := key.Sign(s)
	part := raw.EncodeToString
	return fmt.Sprintf(`{"minutes":%s,"signature":{"credential":%q,"authenticatorData":%q,"clientData":%q,"signature":%q,"nonce":%q,"time":%q}}`,
		map[bool]string{true: "null", false: fmt.Sprint(minutes)}[minutes == 0], part(made.Credential), part(made.AuthenticatorData), part(made.ClientData),
		part(made.Signature), a.Signing.Nonce, a.Signing.Time)
}

// A program approves by the JSON interface with a key: what was signed once is good for nothing
// else, and nothing is good without.
func TestASignedApprovalByTheJSONInterface(t *testing.T) {
	w, h := withPasskeys(t)
	id := someRequest(t, h, "case 1")
	approveAt := "/api/activation-request?activation="
	if a := askedToSign(t, h, ben, id, ""); a.Signing != nil || len(a.Warnings) != 1 || !strings.Contains(a.Warnings[0], "no passkey") {
		t.Errorf("without a key: %+v", a)
	}
	code, text := asAPI(h, ana, "GET", "/api/projects/acme-orders-prod/peers?id=acme-orders-prod:"+string(security.Role), "")
	if code != 200 || !strings.Contains(text, `"withoutPasskey":[{"email":"ben.okafor@example.com"},{"email":"carl.mendes@example.com"}]`) {
		t.Errorf("who could sign: %d, %s", code, text)
	}
	if a := askedToSign(t, h, ana, id, ""); len(a.WithoutPasskey) != 1 || a.WithoutPasskey[0].Email != ben {
		t.Errorf("who was asked and could not sign: %+v", a.WithoutPasskey)
	}
	key := enrolled(t, w, ben)
	if a := askedToSign(t, h, ana, id, ""); a.WithoutPasskey != nil || a.Signing != nil {
		t.Errorf("%+v", a)
	}
	a := askedToSign(t, h, ben, id, "")
	if a.Signing == nil || a.Signing.RelyingParty != passkeyParty || !slices.Equal(a.Signing.Credentials, []string{base64.RawURLEncoding.EncodeToString(key.Credential)}) {
		t.Fatalf("%+v", a.Signing)
	}
	good := signed(t, key, ben, a, 0)
	for what, body := range map[string]string{
		"nothing":              "{}",
		"no body":              "",
		"what is no signature": `{"signature":{}}`,
		"no Base64":            strings.Replace(good, `"signature":"`, `"signature":"!`, 1),
		"no time":              strings.Replace(good, `"time":"`, `"time":"x`, 1),
		"another nonce":        strings.Replace(good, `"nonce":"`, `"nonce":"AAAA`, 1),
		"another length":       strings.Replace(good, `"minutes":null`, `"minutes":5`, 1),
		"no client data":       strings.Replace(good, `"clientData":"`, `"clientData":"","x":"`, 1),
	} {
		if code, text := asAPI(h, ben, "POST", approveAt+id, body); code < 400 || code >= 500 || len(w.Activations) != 0 {
			t.Errorf("%s: %d, %s", what, code, text)
		}
	}
	if code, text := asAPI(h, carl, "POST", approveAt+id, good); code != 403 { // who was not asked
		t.Errorf("sent by somebody else: %d, %s", code, text)
	}
	if code, text := asAPI(h, ben, "POST", approveAt+id, good); code != 200 || !strings.Contains(text, `"status":"ACTIVE"`) || len(w.Activations) != 1 {
		t.Fatalf("%d, %s", code, text)
	}
	// The captured message again changes nothing, and approves nothing else.
	if code, text := asAPI(h, ben, "POST", approveAt+id, good); code != 200 || len(w.Activations) != 1 {
		t.Errorf("sent again: %d, %s", code, text)
	}
	second := someRequest(t, h, "case 2")
	if code, text := asAPI(h, ben, "POST", approveAt+second, good); code != 403 || !strings.Contains(text, string(access.CodeSignatureInvalid)) || len(w.Activations) != 1 {
		t.Errorf("sent to another request: %d, %s", code, text)
	}
	for _, minutes := range []string{"", "0", "-1", "1.5", "x", "10&minutes=10", "99999999999999999999"} {
		if code, text := asAPI(h, ben, "GET", approveAt+second+"&minutes="+minutes, ""); code != 400 || !strings.Contains(text, `"code":"bad-input"`) {
			t.Errorf("for %q minutes: %d, %s", minutes, code, text)
		}
	}
	shorter := askedToSign(t, h, ben, second, "&minutes=10")
	if code, text := asAPI(h, ben, "POST", approveAt+second, signed(t, key, ben, shorter, 10)); code != 200 || len(w.Activations) != 2 ||
		w.Activations[1].Window.Length() != 10*time.Minute {
		t.Errorf("for less: %d, %s", code, text)
	}
	// That it was signed is said where it is told.
	for path, says := range map[string]string{"/requests/" + id: "(signed with a passkey)", "/history.csv": "," + string(ben) + ",signed\n",
		"/history.json": `"signedBy":["` + string(ben) + `"]`} {
		if code, page := readPage(h, ana, path); code != 200 || !strings.Contains(page, says) {
			t.Errorf("%s: %d %s", path, code, page)
		}
	}
	if code, text := asAPI(h, ana, "GET", "/api/requests/"+id, ""); code != 200 || strings.Count(text, `"signed":true`) != 1 {
		t.Errorf("%d %s", code, text)
	}
}

// What was done on the page of passkeys leads back to it, and says so where nobody could be told.
func TestThePageOfPasskeysSaysThatNobodyWasTold(t *testing.T) {
	w, h := withPasskeys(t)
	key := enrolled(t, w, ben)
	other := enrolled(t, w, ben)
	remove := func(key *passkeytest.Authenticator) (int, string) {
		answer := asPage(h, ben, "/passkeys/"+access.CredentialID(key.Credential)+"/remove", url.Values{"principal": {string(ben)}, "confirmed": {"1"}})
		return answer.Code, answer.Body.String()
	}
	if code, text := remove(key); code != http.StatusSeeOther {
		t.Errorf("%d, %s", code, text)
	}
	w.Undelivered = access.Receipts{{To: ben, Channel: "mail", Err: errNoMail}}
	if code, text := remove(other); code != http.StatusOK || !strings.Contains(said(text), "ben.okafor@example.com could not be told by mail") ||
		!strings.Contains(text, "You have none.") {
		t.Errorf("%d, %s", code, said(text))
	}
}

var errNoMail = fmt.Errorf("550 no such user")

// keyDeeds is how much has happened to keys.
func keyDeeds(t *testing.T, w *world) int {
	t.Helper()
	all, err := w.Ledger.(broker.Deeds).Deeds(t.Context(), access.DeedPasskeys, "")
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

// A press of a button alone approves and removes no key: it is asked once more, of that key.
func TestWhatIsDoneToAKeyIsAskedOnceMore(t *testing.T) {
	w, h := withPasskeys(t)
	key := passkeytest.New(t, passkeyOrigin, passkeyParty)
	list, err := w.PasskeyList(t.Context(), access.Caller{Principal: ben})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := w.Enrol(t.Context(), access.Caller{Principal: ben, Asserted: w.Clock}, "Laptop", key.Create(list.Enrolment.Statement)); err != nil {
		t.Fatal(err)
	}
	id := access.CredentialID(key.Credential)
	page := asPage(h, carl, "/passkeys", nil).Body.String()
	if strings.Count(page, `data-guard="confirmed" aria-describedby="guard-`+id+`"`) != 2 || !strings.Contains(page, "/assets/guard.js") {
		t.Errorf("the buttons are not guarded: %s", page)
	}
	for _, do := range []string{"approve", "remove"} {
		deeds := keyDeeds(t, w)
		press := func(who access.Principal, id, confirmed string) (int, string) {
			answer := asPage(h, who, "/passkeys/"+id+"/"+do, url.Values{"principal": {string(ben)}, "confirmed": {confirmed}})
			return answer.Code, answer.Body.String()
		}
		code, page := press(carl, id, "")
		if code != 200 || !strings.Contains(page, `action="/passkeys/`+id+"/"+do+`"`) || strings.Count(page, `method="post" action="/passkeys`) != 1 ||
			!strings.Contains(page, `name="confirmed" value="1" required`) || !strings.Contains(page, `data-guard aria-describedby="guard"`) || !strings.Contains(page, "Laptop") {
			t.Errorf("%s: %d, %s", do, code, page)
		}
		if code, _ := press(ana, id, ""); code != http.StatusNotFound {
			t.Errorf("%s by nobody: %d", do, code)
		}
		if code, _ := press(carl, "0123456789abcdef", ""); code != http.StatusNotFound {
			t.Errorf("%s of a key that there is not: %d", do, code)
		}
		if keyDeeds(t, w) != deeds {
			t.Fatalf("%s: a press alone has done it", do)
		}
		if code, page := press(carl, id, "1"); code != http.StatusSeeOther || keyDeeds(t, w) != deeds+1 {
			t.Errorf("%s: %d, %s", do, code, page)
		}
	}
}

// However many keys others have, a page has so many, and says how many more there are.
func TestKeysOfOthersArePaged(t *testing.T) {
	w, h := withPasskeys(t)
	for i := range 130 {
		of := fmt.Sprintf("p%03d@example.com", i)
		if err := w.Ledger.(broker.Deeds).Append(t.Context(), access.Deed{Kind: access.DeedPasskeys, Of: of, Number: 1, By: access.Principal(of),
			Body: passkey.Enrolled(access.Passkey{Of: access.Principal(of), Credential: []byte(of), Name: "Phone"})}); err != nil {
			t.Fatal(err)
		}
	}
	cards := func(path string) (int, string) {
		page := asPage(h, carl, path, nil).Body.String()
		return strings.Count(page, `<li class="card">`), page
	}
	if n, page := cards("/passkeys"); n != 100 || !strings.Contains(page, `href="/passkeys?from=100">30 more<`) || strings.Contains(page, "Never used") {
		t.Errorf("%d: %s", n, page)
	}
	if n, page := cards("/passkeys?from=100"); n != 30 || strings.Contains(page, "more<") || !strings.Contains(page, "p129@example.com") {
		t.Errorf("%d: %s", n, page)
	}
	if n, _ := cards("/passkeys?from=1000"); n != 0 {
		t.Errorf("%d", n)
	}
	for _, from := range []string{"x", "-1", "", "1.0", "0&from=0", "99999999999999999999"} {
		if code := asPage(h, carl, "/passkeys?from="+from, nil).Code; code != http.StatusBadRequest {
			t.Errorf("from %s: %d", from, code)
		}
	}
	// A key behind the first page is approved as others are.
	answer := asPage(h, carl, "/passkeys/"+access.CredentialID([]byte("p129@example.com"))+"/approve", url.Values{"principal": {"p129@example.com"}})
	if answer.Code != 200 || !strings.Contains(answer.Body.String(), "Approve this passkey?") {
		t.Errorf("%d", answer.Code)
	}
}
