package identity_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/identity"
	"jitaccess/internal/jose"
)

const (
	audience = "/projects/123456/global/backendServices/789"
	header   = "X-Goog-IAP-JWT-Assertion"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

type claims = map[string]any

var iapKey = sync.OnceValue(newKey)

func newKey() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return key
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// goodClaims are what IAP says of Ana.
func goodClaims() claims {
	return claims{
		"iss": "https://cloud.google.com/iap", "aud": audience, "iat": now.Unix(), "exp": now.Unix() + 600,
		"sub": "accounts.google.com:1108", "email": "ana@example.com", "hd": "example.com",
		"google": claims{"device_id": "device-1", "access_levels": []string{"accessPolicies/1/accessLevels/corp"}},
	}
}

// with returns the good claims with one changed; nil drops it.
func with(name string, value any) claims {
	c := goodClaims()
	if c[name] = value; value == nil {
		delete(c, name)
	}
	return c
}

func assertion(c any) string {
	return signedBy(iapKey(), `{"alg":"ES256","kid":"iap-1","typ":"JWT"}`, c)
}

func signedBy(key *ecdsa.PrivateKey, head string, c any) string {
	text, ok := c.(string)
	if !ok {
		b, err := json.Marshal(c)
		if err != nil {
			panic(err)
		}
		text = string(b)
	}
	signed := encode([]byte(head)) + "." + encode([]byte(text))
	sum := sha256.Sum256([]byte(signed))
	r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
	if err != nil {
		panic(err)
	}
	return signed + "." + encode(append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...))
}

func jwk(kid string, key *ecdsa.PrivateKey) claims {
	point, err := key.PublicKey.Bytes()
	if err != nil {
		panic(err)
	}
	return claims{"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": kid, "x": encode(point[1:33]), "y": encode(point[33:])}
}

func keySet(keys ...claims) *jose.KeySet {
	return jose.NewKeySet(func(context.Context) ([]byte, error) { return json.Marshal(claims{"keys": keys}) }, func() time.Time { return now })
}

// parts are what a verifier of IAP's assertions is made of.
type parts struct {
	front identity.Front
	keys  *jose.KeySet
}

func verifier(t testing.TB, change ...func(*parts)) *identity.Verifier {
	t.Helper()
	p := parts{identity.Front{Audiences: []string{audience}}, keySet(jwk("iap-1", iapKey()))}
	for _, f := range change {
		f(&p)
	}
	profile, err := identity.IAP(p.front)
	if err != nil {
		t.Fatal(err)
	}
	v, err := identity.New(identity.Config{Profile: profile, Keys: p.keys, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func request(assertions ...string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	for _, a := range assertions {
		r.Header.Add(header, a)
	}
	return r
}

func wantError(t *testing.T, what string, caller access.Caller, err error, kind access.Kind, code access.Code) {
	t.Helper()
	var e *access.Error
	if !errors.As(err, &e) || e.Kind != kind || e.Code != code {
		t.Errorf("%s: caller %v, error %v; want %v: %v", what, caller, err, kind, code)
	}
	if !reflect.DeepEqual(caller, access.Caller{}) {
		t.Errorf("%s: refused, yet the caller is %v", what, caller)
	}
}

func wantBad(t *testing.T, what string, v *identity.Verifier, r *http.Request) {
	t.Helper()
	caller, err := v.Identify(r)
	wantError(t, what, caller, err, access.Unauthenticated, access.CodeBadIdentity)
}

func TestAssertionNamesTheCaller(t *testing.T) {
	asserted := time.Unix(goodClaims()["iat"].(int64), 0).UTC()
	ana := access.Caller{Principal: "ana@example.com", Subject: "accounts.google.com:1108", Device: "device-1",
		AccessLevels: []string{"accessPolicies/1/accessLevels/corp"}, Method: "iap", Asserted: asserted}
	plain := access.Caller{Principal: "ana@example.com", Subject: "accounts.google.com:1108", Method: "iap", Asserted: asserted}
	for what, test := range map[string]struct {
		claims claims
		want   access.Caller
	}{
		"as IAP sends it":          {goodClaims(), ana},
		"capitals in the address":  {with("email", "Ana@Example.COM"), ana},
		"nothing of the device":    {with("google", nil), plain},
		"an unreadable device":     {with("google", claims{"device_id": 7, "access_levels": "x"}), plain},
		"an unreadable google":     {with("google", "x"), plain},
		"claims that we don't use": {with("gcip", claims{"auth_time": 1.5}), ana},
	} {
		got, err := verifier(t).Identify(request(assertion(test.claims)))
		if len(got.AccessLevels) == 0 {
			got.AccessLevels = nil
		}
		if err != nil || !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: %+v, %v; want %+v", what, got, err, test.want)
		}
	}
}

func TestThreat26_OnlyTheSignedAssertionCounts(t *testing.T) {
	for name, value := range map[string]string{
		"X-Goog-Authenticated-User-Email": "accounts.google.com:ana@example.com",
		"X-Goog-Authenticated-User-Id":    "accounts.google.com:1108",
		"X-Debug-Principal":               "ana@example.com",
		"X-Forwarded-User":                "ana@example.com",
		"X-Forwarded-Email":               "ana@example.com",
		"Remote-User":                     "ana@example.com",
		"Authorization":                   "Bearer " + assertion(goodClaims()),
		"Cookie":                          "GCP_IAAP_AUTH_TOKEN=" + assertion(goodClaims()),
		"Proxy-Authorization":             "Bearer " + assertion(goodClaims()),
	} {
		r := request()
		r.Header.Set(name, value)
		caller, err := verifier(t).Identify(r)
		wantError(t, name, caller, err, access.Unauthenticated, access.CodeNoIdentity)
	}
	caller, err := verifier(t).Identify(request(""))
	wantError(t, "an empty assertion", caller, err, access.Unauthenticated, access.CodeNoIdentity)
}

// Incident 8: a twin of the header with an underscore was taken for the header.
func TestThreat26_HeaderStandsOnceAndInOneSpelling(t *testing.T) {
	good := assertion(goodClaims())
	wantBad(t, "two values", verifier(t), request(good, good))
	wantBad(t, "an empty one in front", verifier(t), request("", good))
	wantBad(t, "an empty one behind", verifier(t), request(good, ""))
	wantBad(t, "two values in one", verifier(t), request(good+","+good))
	wantBad(t, "two values with a space", verifier(t), request(good+", "+good))
	for _, twin := range []string{"X_Goog_IAP_JWT_Assertion", "X_goog_iap_jwt_assertion", "x-goog-iap-jwt_assertion", "X-Goog-Iap-Jwt_Assertion", "x-goog-iap-jwt-assertion"} {
		r := request()
		r.Header[twin] = []string{good}
		wantBad(t, twin+" alone", verifier(t), r)
		r = request(good)
		r.Header[twin] = []string{good}
		wantBad(t, twin+" beside the header", verifier(t), r)
	}
}

// Incident 8: a proxy drops headers that the Connection header lists.
func TestThreat39_StrippedHeaderIsNobody(t *testing.T) {
	r := request()
	r.Header.Set("Connection", "close, X-Goog-IAP-JWT-Assertion")
	r.Header.Set("X-Goog-Authenticated-User-Email", "accounts.google.com:ana@example.com")
	caller, err := verifier(t).Identify(r)
	wantError(t, "stripped", caller, err, access.Unauthenticated, access.CodeNoIdentity)
}

func TestThreat09_AlgorithmIsPinned(t *testing.T) {
	for _, head := range []string{`{"alg":"none","kid":"iap-1"}`, `{"alg":"HS256","kid":"iap-1"}`, `{"alg":"RS256","kid":"iap-1"}`, `{"alg":"ES384","kid":"iap-1"}`,
		`{"alg":"ES256"}`, `{"alg":"ES256","kid":"iap-1","jku":"https://example.com"}`, `{"alg":"ES256","kid":"iap-1","alg":"ES256"}`, `{"alg":"ES256","kid":"iap-2"}`} {
		wantBad(t, head, verifier(t), request(signedBy(iapKey(), head, goodClaims())))
	}
	good := assertion(goodClaims())
	wantBad(t, "no signature", verifier(t), request(good[:strings.LastIndexByte(good, '.')+1]))
	wantBad(t, "another key", verifier(t), request(signedBy(newKey(), `{"alg":"ES256","kid":"iap-1"}`, goodClaims())))
	wantBad(t, "a short signature", verifier(t), request(good[:len(good)-8]))
}

func TestThreat08_EveryChangedByteIsRefused(t *testing.T) {
	v, good := verifier(t), assertion(goodClaims())
	if _, err := v.Identify(request(good)); err != nil {
		t.Fatal(err)
	}
	for i := range len(good) {
		for _, mask := range []byte{1, 4, 0x20, 0x80} {
			changed := []byte(good)
			changed[i] ^= mask
			wantBad(t, fmt.Sprintf("byte %d ^ %#x", i, mask), v, request(string(changed)))
		}
	}
}

func TestClaimsOfTheAssertion(t *testing.T) {
	for what, c := range map[string]any{
		"no issuer":               with("iss", nil),
		"another issuer":          with("iss", "https://accounts.google.com"),
		"an issuer with a slash":  with("iss", "https://cloud.google.com/iap/"),
		"no audience":             with("aud", nil),
		"an empty audience":       with("aud", ""),
		"no subject":              with("sub", nil),
		"an empty subject":        with("sub", ""),
		"a subject of a number":   with("sub", 1108),
		"no e-mail":               with("email", nil),
		"an empty e-mail":         with("email", ""),
		"e-mails":                 with("email", []string{"ana@example.com"}),
		"a service account":       with("email", "robot@ops-prod.iam.gserviceaccount.com"),
		"an issuer in the e-mail": with("email", "accounts.google.com:ana@example.com"),
		"two ats":                 with("email", "ana@example.com@example.org"), // incident 9
		"a quoted local part":     with("email", `"ana@example.com> x"@example.org`),
		"a look-alike letter":     with("email", "\u212Aim@example.com"),
		"a space behind":          with("email", "ana@example.com "),
		"two e-mails":             `{"email":"ben@example.com",` + text(goodClaims())[1:],
		"two in one spelling":     `{"em\u0061il":"ben@example.com",` + text(goodClaims())[1:],
		"no object":               "[]",
		"nothing":                 "",
	} {
		wantBad(t, what, verifier(t), request(assertion(c)))
	}
	// Another case is another claim.
	caller, err := verifier(t).Identify(request(assertion(with("EMAIL", "ben@example.com"))))
	if err != nil || caller.Principal != "ana@example.com" {
		t.Errorf("EMAIL beside email: %v, %v", caller, err)
	}
}

func text(c claims) string {
	b, err := json.Marshal(c)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func TestThreat11_ClockSkew(t *testing.T) {
	for _, test := range []struct {
		what     string
		iat, exp any // seconds from now, or a value as it is
		ok       bool
	}{
		{"just issued", 0, 600, true},
		{"about to expire", -599, 1, true},
		{"expired 29 s ago", -600, -29, true},
		{"expired 30 s ago", -600, -30, false},
		{"expired long ago", -86400, -86400 + 600, false},
		{"issued in 30 s", 30, 600, true},
		{"issued in 31 s", 31, 600, false},
		{"issued tomorrow", 86400, 86400 + 600, false},
		{"ten minutes and twice the skew", -30, 630, true},
		{"a second more", -30, 631, false},
		{"a day", 0, 86400, false},
		{"exp at iat", 0, 0, false},
		{"exp before iat", 10, 5, false},
		{"no iat", nil, 600, false},
		{"no exp", 0, nil, false},
		{"a fraction", 0.5, 600, false},
		{"iat as text", "0", 600, false},
		{"exp as text", 0, "600", false},
		{"exp without end", 0, json.Number("1e300"), false},
		{"exp that overflows", 0, json.Number("9223372036854775807"), false},
		{"iat that underflows", json.Number("-9223372036854775808"), 600, false},
	} {
		c := goodClaims()
		for name, value := range map[string]any{"iat": test.iat, "exp": test.exp} {
			switch value := value.(type) {
			case nil:
				delete(c, name)
			case int:
				c[name] = now.Unix() + int64(value)
			case float64:
				c[name] = json.Number(fmt.Sprintf("%d.5", now.Unix()))
			case string:
				c[name] = fmt.Sprint(now.Unix() + 600)
			default:
				c[name] = value
			}
		}
		_, err := verifier(t).Identify(request(assertion(c)))
		if (err == nil) != test.ok {
			t.Errorf("%s: error %v", test.what, err)
		}
	}
}

// Incident 16: a token for another service was accepted.
func TestThreat10_AudienceIsExact(t *testing.T) {
	for _, aud := range []any{audience + "0", audience[:len(audience)-1], audience + "/", audience + " ", strings.ToUpper(audience), "/projects/123456",
		"/projects/1234567/global/backendServices/789", "/projects/123456/apps/ops-prod", []string{audience}, []string{}, claims{"a": audience}, 7} {
		wantBad(t, fmt.Sprint(aud), verifier(t), request(assertion(with("aud", aud))))
	}
	several := verifier(t, func(p *parts) { p.front.Audiences = []string{"/projects/1/apps/a", audience} })
	if _, err := several.Identify(request(assertion(goodClaims()))); err != nil {
		t.Errorf("the second of two audiences: %v", err)
	}
	wantBad(t, "two audiences at once", several, request(assertion(with("aud", []string{"/projects/1/apps/a", audience}))))
}

func TestThreat10_AudienceWithoutVerificationIsStillOfThisProject(t *testing.T) {
	v := verifier(t, func(p *parts) { p.front = identity.Front{AnyOfProject: true, ProjectNumber: "123456"} })
	for _, aud := range []string{audience, "/projects/123456/apps/ops-prod", "/projects/123456/locations/europe-west1/services/jit"} {
		if _, err := v.Identify(request(assertion(with("aud", aud)))); err != nil {
			t.Errorf("%s: %v", aud, err)
		}
	}
	for _, aud := range []any{"/projects/1234567/apps/a", "/projects/12345/apps/a", "/projects/123456", "/projects/123456/", "projects/123456/apps/a",
		"x/projects/123456/apps/a", "", "/projects/0123456/apps/a", []string{audience}} {
		wantBad(t, fmt.Sprint(aud), v, request(assertion(with("aud", aud))))
	}
}

func TestVerifierNeedsAnAudience(t *testing.T) {
	for what, f := range map[string]identity.Front{
		"none":               {},
		"an empty one":       {Audiences: []string{audience, ""}},
		"no number":          {AnyOfProject: true, ProjectNumber: "ops-prod"},
		"a number and more":  {AnyOfProject: true, ProjectNumber: "123456/apps"},
		"a space for number": {AnyOfProject: true, ProjectNumber: " "},
		"an unknown number":  {AnyOfProject: true},
	} {
		profile, err := identity.IAP(f)
		if err == nil {
			t.Errorf("%s: a profile was made", what)
		}
		if _, err := identity.New(identity.Config{Profile: profile, Keys: keySet(), Now: time.Now}); err == nil {
			t.Errorf("%s: a verifier was made", what)
		}
	}
}

// The audience is that of the front which the service stands behind, exactly, and
// never none.
func TestThreat10_TheAudienceIsThatOfTheFront(t *testing.T) {
	known := func(f identity.Front) identity.Front {
		f.Project, f.ProjectNumber, f.Region = "ops-prod", "123456", "europe-west1"
		return f
	}
	tests := []struct {
		what  string
		front identity.Front
		want  string
	}{
		{"App Engine", known(identity.Front{AppEngine: true}), "/projects/123456/apps/ops-prod"},
		{"Cloud Run", known(identity.Front{CloudRunService: "jit"}), "/projects/123456/locations/europe-west1/services/jit"},
		{"Cloud Run behind a load balancer", known(identity.Front{CloudRunService: "jit", BackendService: "789"}), "/projects/123456/global/backendServices/789"},
		{"as the operator says", known(identity.Front{CloudRunService: "jit", Audiences: []string{"/projects/9/x"}}), "/projects/9/x"},
		{"any other host", known(identity.Front{}), ""},
		{"a project number that nobody knows", identity.Front{AppEngine: true, Project: "ops-prod"}, ""},
		{"a region that nobody knows", identity.Front{CloudRunService: "jit", Project: "ops-prod", ProjectNumber: "123456"}, ""},
	}
	for _, test := range tests {
		profile, err := identity.IAP(test.front)
		if profile.Expected != test.want || (err == nil) != (test.want != "") {
			t.Errorf("%s: %q, %v; want %q", test.what, profile.Expected, err, test.want)
			continue
		}
		if err != nil {
			if !strings.Contains(err.Error(), "set IAP_AUDIENCE") {
				t.Errorf("%s: %v", test.what, err)
			}
			continue
		}
		v := verifier(t, func(p *parts) { p.front = test.front })
		if _, err := v.Identify(request(assertion(with("aud", test.want)))); err != nil {
			t.Errorf("%s: %v", test.what, err)
		}
		wantBad(t, test.what+", another service", v, request(assertion(with("aud", test.want+"x"))))
	}
}

func TestKeyServerOutage(t *testing.T) {
	clock, up, key := now, false, jwk("iap-1", iapKey())
	keys := jose.NewKeySet(func(context.Context) ([]byte, error) {
		if !up {
			return nil, errors.New("connection refused")
		}
		return json.Marshal(claims{"keys": []claims{key}})
	}, func() time.Time { return clock })
	v := verifier(t, func(p *parts) { p.keys = keys })
	good := request(assertion(goodClaims()))
	caller, err := v.Identify(good)
	wantError(t, "no keys", caller, err, access.Unavailable, access.CodeUpstreamFailed)
	up = true
	if _, err := v.Identify(good); err != nil {
		t.Errorf("with keys: %v", err)
	}
	up, clock = false, now.Add(24*time.Hour-time.Second)
	if _, err := v.Identify(good); err != nil {
		t.Errorf("with the last good keys: %v", err)
	}
	if err := v.Ready(t.Context()); err == nil || errors.Is(err, jose.ErrKeysUnavailable) {
		t.Errorf("with the last good keys, the check says %v", err)
	}
	// Nobody is a stranger because the key server is down: it is not the assertion that is bad.
	clock = now.Add(24 * time.Hour)
	caller, err = v.Identify(good)
	wantError(t, "with keys of yesterday", caller, err, access.Unavailable, access.CodeUpstreamFailed)
	if err := v.Ready(t.Context()); !errors.Is(err, jose.ErrKeysUnavailable) {
		t.Errorf("with keys of yesterday, the check says %v", err)
	}
}

func TestRotatedKeyIsFound(t *testing.T) {
	next := newKey()
	current := jwk("iap-1", iapKey())
	v := verifier(t, func(p *parts) {
		p.keys = jose.NewKeySet(func(context.Context) ([]byte, error) { return json.Marshal(claims{"keys": []claims{current}}) }, func() time.Time { return now })
	})
	if _, err := v.Identify(request(assertion(goodClaims()))); err != nil {
		t.Fatal(err)
	}
	current = jwk("iap-2", next)
	if _, err := v.Identify(request(signedBy(next, `{"alg":"ES256","kid":"iap-2"}`, goodClaims()))); err != nil {
		t.Error(err)
	}
}

func TestErrorSaysWhyAndNeverTheToken(t *testing.T) {
	for _, c := range []claims{with("aud", "/projects/9/apps/x"), with("iss", "x"), with("exp", now.Unix()-100), with("email", "x")} {
		a := assertion(c)
		_, err := verifier(t).Identify(request(a))
		if err == nil || !strings.Contains(err.Error(), audience) {
			t.Errorf("error without the expected audience: %v", err)
		}
		for _, part := range strings.Split(a, ".") {
			if strings.Contains(err.Error(), part[:16]) {
				t.Errorf("error with the token: %v", err)
			}
		}
	}
}

func TestThreat40_HugeAssertions(t *testing.T) {
	v := verifier(t)
	for _, a := range []string{strings.Repeat(".", 1<<20), strings.Repeat("A", 1<<20), strings.Repeat(".", 8<<10)} {
		r := request(a)
		wantBad(t, "huge", v, r)
		// What is allocated is the error, whatever the size of the input.
		if n := testing.AllocsPerRun(10, func() { v.Identify(r) }); n > 30 {
			t.Errorf("%v allocations", n)
		}
	}
}

func FuzzIdentify(f *testing.F) {
	v, good := verifier(f), assertion(goodClaims())
	for _, a := range []string{good, "", ".", "..", "a.b.c", assertion(with("aud", "x")), signedBy(iapKey(), `{"alg":"none"}`, goodClaims())} {
		f.Add(a)
	}
	f.Fuzz(func(t *testing.T, a string) {
		if caller, err := v.Identify(request(a)); err == nil && a != good {
			t.Errorf("%q identifies %v", a, caller)
		}
	})
}
