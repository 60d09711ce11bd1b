package identity_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/identity"
	"jitaccess/internal/jose"
)

// A front that has nothing in common with IAP: it says more in the JOSE header, pads
// its base64, signs with RS256 or ES256, names its audience in an array and its user
// in a claim of its own, does not say when the assertion was made, and is valid for
// hours. (AWS load balancers, Cloudflare and Teleport each do some of this.)
const (
	balancer = "arn:example:balancer/1"
	frontURL = "https://login.example.com"
)

func otherProfile() identity.Profile {
	return identity.Profile{
		Method: "other",
		Header: "X-Front-Data",
		Form:   jose.Form{Algorithms: []jose.Algorithm{jose.RS256, jose.ES256}, Header: []string{"signer"}, Padded: true},
		Issuer: identity.IssuedBy("login.example.com", frontURL),
		Audience: func(t jose.Token) error {
			if signer, err := t.Header.String("signer"); err != nil || signer != balancer {
				return errors.New("another balancer signed")
			}
			audiences, err := t.Claims.Strings("aud")
			if err != nil || !slices.Contains(audiences, "jitaccess") {
				return errors.New("for another audience")
			}
			return nil
		},
		Ours:     func(name string) bool { return name == "jitaccess" },
		Expected: "jitaccess behind " + balancer,
		MaxLife:  12 * time.Hour,
		Undated:  true,
		Caller: func(t jose.Token) (access.Caller, error) {
			return identity.Person(t.Claims, "user_id", "login")
		},
		Event: "other.authenticate", Check: "OtherKeysAreAvailable", Service: "the front", SwitchAccount: "/front/logout",
	}
}

var frontKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

func frontJWK() claims {
	return claims{"kty": "RSA", "kid": "front-1", "n": encode(frontKey().N.Bytes()), "e": "AQAB"}
}

func frontClaims() claims {
	return claims{"iss": frontURL, "aud": []string{"a", "jitaccess"}, "exp": now.Add(11 * time.Hour).Unix(), "user_id": "u-7", "login": "Ana@example.com"}
}

func withFront(name string, value any) claims {
	c := frontClaims()
	if c[name] = value; value == nil {
		delete(c, name)
	}
	return c
}

const frontHeader = `{"alg":"RS256","kid":"front-1","signer":"` + balancer + `","typ":"JWT"}`

func frontAssertion(header string, c claims) string {
	signed := base64.URLEncoding.EncodeToString([]byte(header)) + "." + base64.URLEncoding.EncodeToString([]byte(text(c)))
	sum := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(nil, frontKey(), crypto.SHA256, sum[:])
	if err != nil {
		panic(err)
	}
	return signed + "." + base64.URLEncoding.EncodeToString(signature)
}

func TestAnotherProfileIsCarriedToo(t *testing.T) {
	keys := keySet(frontJWK(), jwk("iap-1", iapKey()))
	v, err := identity.New(identity.Config{Profile: otherProfile(), Keys: keys, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	ask := func(name, assertion string) (access.Caller, error) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set(name, assertion)
		return v.Identify(r)
	}
	good := map[string]string{
		"as the front sends it": frontAssertion(frontHeader, frontClaims()),
		"without typ":           frontAssertion(strings.Replace(frontHeader, `,"typ":"JWT"`, "", 1), frontClaims()),
		"the other issuer":      frontAssertion(frontHeader, withFront("iss", "login.example.com")),
		"a date all the same":   frontAssertion(frontHeader, withFront("iat", now.Unix()-60)),
		"expired a moment ago":  frontAssertion(frontHeader, withFront("exp", now.Unix()-29)),
	}
	for what, a := range good {
		got, err := ask("X-Front-Data", a)
		if err != nil || got.Principal != "ana@example.com" || got.Subject != "u-7" || got.Method != "other" {
			t.Errorf("%s: %+v, %v", what, got, err)
		}
	}
	sent := good["as the front sends it"]
	if !strings.Contains(sent, "=.") {
		t.Fatal("nothing in this assertion is padded, so padding is not tested")
	}
	bad := map[string]string{
		"no signer":                frontAssertion(`{"alg":"RS256","kid":"front-1","typ":"JWT"}`, frontClaims()),
		"the signer of a stranger": frontAssertion(strings.Replace(frontHeader, "balancer/1", "balancer/2", 1), frontClaims()),
		"a signer that is no text": frontAssertion(strings.Replace(frontHeader, `"`+balancer+`"`, "1", 1), frontClaims()),
		"two signers":              frontAssertion(strings.Replace(frontHeader, `{`, `{"signer":"x",`, 1), frontClaims()),
		"a key of its own choice":  frontAssertion(strings.Replace(frontHeader, `{`, `{"jku":"https://evil.example",`, 1), frontClaims()),
		"another algorithm":        frontAssertion(strings.Replace(frontHeader, "RS256", "RS384", 1), frontClaims()),
		"no algorithm":             frontAssertion(strings.Replace(frontHeader, "RS256", "none", 1), frontClaims()),
		"the other algorithm":      frontAssertion(strings.Replace(frontHeader, "RS256", "ES256", 1), frontClaims()),
		"another key":              frontAssertion(strings.Replace(frontHeader, "front-1", "iap-1", 1), frontClaims()),
		"padding taken away":       strings.ReplaceAll(sent, "=", ""),
		"padding added":            strings.Replace(sent, ".", "=.", 1),
		"another issuer":           frontAssertion(frontHeader, withFront("iss", "https://cloud.google.com/iap")),
		"another audience":         frontAssertion(frontHeader, withFront("aud", []string{"a"})),
		"an audience as a text":    frontAssertion(frontHeader, withFront("aud", "jitaccess")),
		"expired":                  frontAssertion(frontHeader, withFront("exp", now.Unix()-30)),
		"expired at the least":     frontAssertion(frontHeader, withFront("exp", int64(-1<<63))),
		"no end":                   frontAssertion(frontHeader, withFront("exp", nil)),
		"valid for too long":       frontAssertion(frontHeader, withFront("exp", now.Add(13*time.Hour).Unix())),
		"made long ago":            frontAssertion(frontHeader, withFront("iat", now.Add(-2*time.Hour).Unix())),
		"made in the future":       frontAssertion(frontHeader, withFront("iat", now.Unix()+31)),
		"a date that is none":      frontAssertion(frontHeader, withFront("iat", "x")),
		"no subject":               frontAssertion(frontHeader, withFront("user_id", nil)),
		"no person":                frontAssertion(frontHeader, withFront("login", "robot")),
		"IAP's claims":             frontAssertion(frontHeader, goodClaims()),
		"IAP's assertion":          assertion(goodClaims()),
		"IAP's form":               signedBy(iapKey(), `{"alg":"ES256","kid":"iap-1","signer":"`+balancer+`"}`, frontClaims()),
	}
	for what, a := range bad {
		caller, err := ask("X-Front-Data", a)
		wantError(t, what, caller, err, access.Unauthenticated, access.CodeBadIdentity)
		if err != nil && strings.Contains(strings.ToLower(err.Error()), "iap") && what != "another issuer" {
			t.Errorf("%s: IAP has nothing to do with it: %v", what, err)
		}
	}
	caller, err := ask("X-Goog-Iap-Jwt-Assertion", sent)
	wantError(t, "IAP's header", caller, err, access.Unauthenticated, access.CodeNoIdentity)
	for _, twin := range []string{"X_Front_Data", "x-front-data", "X-Front_data"} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("X-Front-Data", sent)
		r.Header[twin] = []string{sent}
		caller, err := v.Identify(r)
		wantError(t, twin, caller, err, access.Unauthenticated, access.CodeBadIdentity)
	}
	// And IAP's verifier takes nothing of it, with the same keys.
	iap := verifier(t, func(p *parts) { p.keys = keys })
	for what, a := range good {
		wantBad(t, what+" for IAP", iap, request(a))
	}
}

// An incomplete profile would let in what it does not look at.
func TestAProfileIsComplete(t *testing.T) {
	for what, change := range map[string]func(*identity.Profile){
		"no audience":          func(p *identity.Profile) { p.Audience = nil },
		"no name of ours":      func(p *identity.Profile) { p.Ours = nil },
		"no word on it":        func(p *identity.Profile) { p.Expected = "" },
		"no issuer":            func(p *identity.Profile) { p.Issuer = nil },
		"nobody":               func(p *identity.Profile) { p.Caller = nil },
		"no age":               func(p *identity.Profile) { p.MaxLife = 0 },
		"a negative age":       func(p *identity.Profile) { p.MaxLife = -1 },
		"no algorithm":         func(p *identity.Profile) { p.Form.Algorithms = nil },
		"the service itself":   func(p *identity.Profile) { p.Method = access.MethodSystem },
		"no header":            func(p *identity.Profile) { p.Header = "" },
		"a header as spelled":  func(p *identity.Profile) { p.Header = "x-front-data" },
		"a header of no value": func(p *identity.Profile) { *p = identity.Profile{} },
	} {
		profile := otherProfile()
		change(&profile)
		if _, err := identity.New(identity.Config{Profile: profile, Keys: keySet(), Now: time.Now}); err == nil {
			t.Errorf("%s: a verifier was made", what)
		}
	}
}
