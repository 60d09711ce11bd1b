package identity_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/identity"
	"jitaccess/internal/jose"
)

const (
	host   = "jit.example.com"
	tag    = "4714c1358e65fe4b408ad6d432a5f878f08194bdb4752441fd56faefa9b2b6f2"
	arn    = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:loadbalancer/app/jit/50dc6c495c0c9188"
	albKey = "12345678-1234-1234-1234-123456789012"
	issuer = "https://login.example.com"
)

// front is a front as its documentation describes it, with a key server, and a signer
// that can say anything.
type front struct {
	name      string
	profile   identity.Profile
	keys      jose.Keys
	header    string // where it stands
	prefix    string // before it
	algorithm jose.Algorithm
	kid       string
	padded    bool
	above     claims // what the JOSE header has besides alg, kid and typ
	claims    claims
	want      access.Caller
	life      time.Duration // the longest that is accepted
	undated   bool
}

var (
	rsaFront = sync.OnceValue(func() *rsa.PrivateKey {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			panic(err)
		}
		return key
	})
	ecFront = sync.OnceValue(newKey)
)

// keyServer publishes both keys under every address that a front may look at.
func keyServer(t testing.TB) *httptest.Server {
	rsaKey := claims{"kty": "RSA", "kid": "rsa-1", "alg": "RS256", "use": "sig", "n": encode(rsaFront().N.Bytes()), "e": "AQAB"}
	set := claims{"keys": []claims{rsaKey, jwk("ec-1", ecFront()), {"kty": "OKP", "crv": "X25519", "kid": "hpke", "x": "AAAA"}},
		"public_cert": claims{"kid": "rsa-2", "cert": "-----BEGIN"}, "public_certs": []claims{}} // as Cloudflare's
	der, err := x509.MarshalPKIXPublicKey(ecFront().Public())
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	write := func(body []byte) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.Write(body) }
	}
	mux.HandleFunc("/keys", write([]byte(text(set))))
	mux.HandleFunc(identity.CloudflareCerts, write([]byte(text(set))))
	mux.HandleFunc("/"+albKey, write(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server
}

func clock() time.Time { return now }

func fronts(t testing.TB) []front {
	server := keyServer(t)
	set := func(path string) jose.Keys { return jose.NewKeySet(identity.FetchKeys(server.URL+path), clock) }
	asserted := now.UTC()
	ana := func(method, subject string) access.Caller {
		return access.Caller{Principal: "ana@example.com", Subject: subject, Method: method, Asserted: asserted}
	}
	times := func(c claims, life time.Duration) claims {
		c["iat"], c["exp"] = now.Unix(), now.Add(life).Unix()
		return c
	}
	undated := ana("alb", "a1b2")
	undated.Asserted = now.Add(2*time.Minute - 10*time.Minute - 2*identity.Skew).UTC() // when it was made, at the earliest
	return []front{
		{"pomerium", identity.Pomerium(host), set("/keys"), "X-Pomerium-Jwt-Assertion", "", jose.ES256, "ec-1", false, nil,
			times(claims{"iss": host, "aud": host, "jti": "f8e1", "sub": "user-7", "user": "user-7", "email": "ana@example.com",
				"groups": []string{"0abc", "dba"}, "sid": "s-1", "name": "Ana"}, 5*time.Minute), ana("pomerium", "user-7"), 10 * time.Minute, false},
		{"cloudflare", identity.Cloudflare("acme", tag), set(identity.CloudflareCerts), "Cf-Access-Jwt-Assertion", "", jose.RS256, "rsa-1", false, nil,
			times(claims{"aud": []string{tag}, "email": "ana@example.com", "nbf": now.Unix(), "iss": "https://acme.cloudflareaccess.com", "type": "app",
				"identity_nonce": "6ei69kawdKzMIAPF", "sub": "7335d417", "country": "DE"}, 24*time.Hour), ana("cloudflare", "7335d417"), 31 * 24 * time.Hour, false},
		{"alb", identity.ALB(arn, "client-1"), identity.ALBKeys(server.URL, clock), "X-Amzn-Oidc-Data", "", jose.ES256, albKey, true,
			claims{"signer": arn, "iss": issuer, "client": "client-1", "exp": now.Add(2 * time.Minute).Unix()},
			claims{"sub": "a1b2", "name": "Ana", "email": "ana@example.com", "email_verified": "true", "exp": now.Add(2 * time.Minute).Unix(), "iss": issuer},
			undated, 10 * time.Minute, true},
		{"jwt", identity.JWT(identity.Signed{Header: "x-token", Issuer: issuer, Audience: "jit", Algorithms: []jose.Algorithm{jose.RS256},
			EmailClaim: "upn", SubjectClaim: "oid"}), set("/keys"), "X-Token", "", jose.RS256, "rsa-1", false, nil,
			times(claims{"iss": issuer, "aud": "jit", "sub": "pairwise", "oid": "o-1", "upn": "Ana@example.com", "nonce": "n", "email_verified": true}, time.Hour),
			ana("jwt", "o-1"), 31 * 24 * time.Hour, false},
		{"jwt as a bearer token", identity.JWT(identity.Signed{Header: "authorization", Issuer: issuer, Audience: "jit", Algorithms: []jose.Algorithm{jose.ES256},
			EmailClaim: "email", SubjectClaim: "sub"}), set("/keys"), "Authorization", "Bearer ", jose.ES256, "ec-1", false, nil,
			times(claims{"iss": issuer, "aud": []string{"other", "jit"}, "azp": "jit", "sub": "u-1", "email": "ana@example.com"}, time.Hour),
			ana("jwt", "u-1"), 31 * 24 * time.Hour, false},
	}
}

// head is the JOSE header with changes; nil drops a member.
func (f front) head(changes claims) string {
	h := claims{"alg": f.algorithm, "kid": f.kid, "typ": "JWT"}
	maps.Copy(h, f.above)
	return text(changed(h, changes))
}

func changed(c, changes claims) claims {
	c = maps.Clone(c)
	maps.Copy(c, changes)
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	return c
}

// edit is an assertion with changed claims.
func (f front) edit(changes claims) string {
	return f.sign(f.head(nil), text(changed(f.claims, changes)))
}

// other is the e-mail and subject claim's names of the front.
func (f front) names() (email, subject string) {
	for _, name := range []string{"upn", "email"} {
		if f.claims[name] != nil {
			email = name
			break
		}
	}
	if subject = "sub"; f.claims["oid"] != nil {
		subject = "oid"
	}
	return email, subject
}

func (f front) encode(b []byte) string {
	if f.padded {
		return base64.URLEncoding.EncodeToString(b)
	}
	return encode(b)
}

func (f front) sign(head, payload string) string {
	return f.signBy(f.algorithm, rsaFront(), ecFront(), head, payload)
}

func (f front) signBy(algorithm jose.Algorithm, byRSA *rsa.PrivateKey, byEC *ecdsa.PrivateKey, head, payload string) string {
	signed := f.encode([]byte(head)) + "." + f.encode([]byte(payload))
	sum := sha256.Sum256([]byte(signed))
	if algorithm == jose.RS256 {
		signature, err := rsa.SignPKCS1v15(nil, byRSA, crypto.SHA256, sum[:])
		if err != nil {
			panic(err)
		}
		return signed + "." + f.encode(signature)
	}
	r, s, err := ecdsa.Sign(rand.Reader, byEC, sum[:])
	if err != nil {
		panic(err)
	}
	return signed + "." + f.encode(append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...))
}

func (f front) verifier(t testing.TB, change ...func(*identity.Config)) *identity.Verifier {
	c := identity.Config{Profile: f.profile, Keys: f.keys, Now: clock}
	for _, f := range change {
		f(&c)
	}
	v, err := identity.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func (f front) request(assertions ...string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	for _, a := range assertions {
		r.Header.Add(f.header, f.prefix+a)
	}
	return r
}

// Threat 40: what does not even say that it is ours costs no call to the key server, and so
// keeps nobody out whose key is new.
func TestThreat40_StrangersOfAFrontKeepNobodyOut(t *testing.T) {
	alb := fronts(t)[2]
	server := httptest.NewServer(alb.asked(t))
	t.Cleanup(server.Close)
	alb.keys = identity.ALBKeys(server.URL, clock)
	v := alb.verifier(t)
	for i := range 100 {
		kid := fmt.Sprintf("%08d-1234-1234-1234-123456789013", i)
		for _, as := range []claims{{"kid": kid, "signer": strings.Replace(arn, "123456789012", "210987654321", 1)}, {"kid": kid, "client": "client-2"}} {
			caller, err := v.Identify(alb.request(alb.sign(alb.head(as), text(alb.claims))))
			wantError(t, text(as), caller, err, access.Unauthenticated, access.CodeBadIdentity)
		}
	}
	if _, err := v.Identify(alb.request(alb.edit(nil))); err != nil {
		t.Errorf("who comes after them: %v", err)
	}
	if err := v.Reach(t.Context()); err != nil {
		t.Error(err)
	}
	server.Close()
	if err := v.Reach(t.Context()); !errors.Is(err, jose.ErrKeysUnavailable) {
		t.Errorf("a key server that is gone: %v", err)
	}
}

// asked has the key of a load balancer, and wants to be asked for no other.
func (f front) asked(t *testing.T) http.Handler {
	public, err := x509.MarshalPKIXPublicKey(ecFront().Public())
	if err != nil {
		t.Fatal(err)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if kid := r.URL.Path[1:]; kid == f.kid {
			w.Write(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}))
		} else if w.WriteHeader(http.StatusNotFound); strings.HasSuffix(kid, "13") {
			t.Errorf("asked for %s", kid)
		}
	})
}

// Every front: its assertion names the person, and each of these names nobody.
func TestThreat26_ForgedAndBrokenAssertionsOfEveryFront(t *testing.T) {
	strangeRSA, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range fronts(t) {
		t.Run(f.name, func(t *testing.T) {
			v := f.verifier(t)
			good := f.edit(nil)
			got, err := v.Identify(f.request(good))
			if err != nil || !reflect.DeepEqual(got, f.want) {
				t.Fatalf("%+v, %v; want %+v", got, err, f.want)
			}
			email, subject := f.names()
			payload := text(f.claims)
			at := func(d time.Duration) int64 { return now.Add(d).Unix() }
			otherAlgorithm := map[jose.Algorithm]jose.Algorithm{jose.RS256: jose.ES256, jose.ES256: jose.RS256}[f.algorithm]
			otherKey := map[jose.Algorithm]string{jose.RS256: "rsa-1", jose.ES256: "ec-1"}[otherAlgorithm]
			cut := strings.Split(good, ".")
			both := func(exp int64) string { // where the header has it too
				above := claims{}
				if f.above != nil {
					above["exp"] = exp
				}
				return f.sign(f.head(above), text(changed(f.claims, claims{"exp": exp})))
			}
			publicKey, _ := x509.MarshalPKIXPublicKey(ecFront().Public())
			signed := f.encode([]byte(f.head(claims{"alg": "HS256"}))) + "." + f.encode([]byte(payload))
			mac := hmac.New(sha256.New, publicKey)
			mac.Write([]byte(signed))
			rows := map[string]string{
				"no token at all":                         "ana@example.com",
				"dots":                                    strings.Repeat(".", 9<<10),
				"longer than may be":                      f.edit(claims{"x": strings.Repeat("x", 9<<10)}),
				"alg none":                                f.encode([]byte(f.head(claims{"alg": "none"}))) + "." + f.encode([]byte(payload)) + ".",
				"alg none, signed":                        f.sign(f.head(claims{"alg": "none"}), payload),
				"HS256, the public key for a secret":      signed + "." + f.encode(mac.Sum(nil)),
				"the other algorithm, and a key of it":    f.signBy(otherAlgorithm, rsaFront(), ecFront(), f.head(claims{"alg": otherAlgorithm, "kid": otherKey}), payload),
				"the other algorithm by name":             f.sign(f.head(claims{"alg": otherAlgorithm}), payload),
				"this algorithm, a key of the other":      f.signBy(otherAlgorithm, rsaFront(), ecFront(), f.head(claims{"kid": otherKey}), payload),
				"a stranger's key under a known id":       f.signBy(f.algorithm, strangeRSA, newKey(), f.head(nil), payload),
				"an unknown key":                          f.sign(f.head(claims{"kid": "87654321-1234-1234-1234-123456789012"}), payload),
				"no key":                                  f.sign(f.head(claims{"kid": nil}), payload),
				"a key of the sender's choice":            f.sign(f.head(claims{"jku": "https://evil.example/keys"}), payload),
				"a key in the header":                     f.sign(f.head(claims{"jwk": jwk("ec-1", ecFront())}), payload),
				"critical extensions":                     f.sign(f.head(claims{"crit": []string{"b64"}, "b64": false}), payload),
				"another type":                            f.sign(f.head(claims{"typ": "at+jwt"}), payload),
				"no signature":                            cut[0] + "." + cut[1] + ".",
				"a signature of nothing":                  cut[0] + "." + cut[1] + "." + f.encode(make([]byte, 64)),
				"claims of another under this signature":  cut[0] + "." + f.encode([]byte(strings.ReplaceAll(strings.ReplaceAll(payload, "ana@", "ben@"), "Ana@", "ben@"))) + "." + cut[2],
				"another padding":                         map[bool]string{true: strings.ReplaceAll(good, "=", ""), false: good + "="}[f.padded],
				"no object":                               f.sign(f.head(nil), "[]"),
				"an e-mail twice":                         f.sign(f.head(nil), `{"`+email+`":"ben@example.com",`+payload[1:]),
				"no issuer":                               f.edit(claims{"iss": nil}),
				"another issuer":                          f.edit(claims{"iss": "https://evil.example"}),
				"the issuer of another tenant":            f.edit(claims{"iss": strings.Replace(f.claims["iss"].(string), "example", "example2", 1) + ".evil.example"}),
				"an issuer with more behind":              f.edit(claims{"iss": f.claims["iss"].(string) + "/x"}),
				"issuers":                                 f.edit(claims{"iss": []any{f.claims["iss"]}}),
				"expired":                                 both(at(-31 * time.Second)),
				"no end":                                  f.edit(claims{"exp": nil}),
				"an end as text":                          f.edit(claims{"exp": "9999999999"}),
				"an end without end":                      f.edit(claims{"exp": json.Number("1e300")}),
				"not valid yet":                           f.edit(claims{"nbf": at(31 * time.Second)}),
				"a beginning as text":                     f.edit(claims{"nbf": "0"}),
				"issued in the future":                    f.edit(claims{"iat": at(31 * time.Second)}),
				"a date as text":                          f.edit(claims{"iat": "1"}),
				"no subject":                              f.edit(claims{subject: nil}),
				"an empty subject":                        f.edit(claims{subject: ""}),
				"no e-mail":                               f.edit(claims{email: nil}),
				"an empty e-mail":                         f.edit(claims{email: ""}),
				"e-mails":                                 f.edit(claims{email: []string{"ana@example.com"}}),
				"a service account":                       f.edit(claims{email: "robot@ops-prod.iam.gserviceaccount.com"}),
				"two ats":                                 f.edit(claims{email: "ana@example.com@evil.example"}),
				"a look-alike letter":                     f.edit(claims{email: "\u212Aim@example.com"}),
				"an e-mail that is not verified":          f.edit(claims{"email_verified": false}),
				"an e-mail that is not verified, as text": f.edit(claims{"email_verified": "false"}),
				"an e-mail of which it is not said":       f.edit(claims{"email_verified": 1}),
				"valid for too long":                      both(at(f.life + 61*time.Second)),
			}
			if !f.undated {
				rows["no date"] = f.edit(claims{"iat": nil})
			}
			for what, a := range rows {
				caller, err := v.Identify(f.request(a))
				code := access.CodeBadIdentity
				if strings.HasPrefix(what, "an e-mail that is not verified") || what == "an e-mail of which it is not said" {
					code = access.CodeUnverifiedAddress
				}
				wantError(t, what, caller, err, access.Unauthenticated, code)
				if err != nil && (f.profile.Method != "iap" && strings.Contains(strings.ToLower(err.Error()), "iap") || strings.Contains(err.Error(), "\n")) {
					t.Errorf("%s: %v", what, err)
				}
			}
			for what, a := range map[string]string{
				"a moment after its end": both(at(-29 * time.Second)),
				"without a type":         f.sign(f.head(claims{"typ": nil}), payload),
				"a verified e-mail":      f.edit(claims{"email_verified": true}),
				"claims that are new":    f.edit(claims{"newer": claims{"a": []int{1}}}),
			} {
				if f.undated == false && what == "a moment after its end" {
					a = f.edit(claims{"iat": at(-time.Minute), "exp": at(-29 * time.Second)})
					if f.claims["nbf"] != nil {
						a = f.edit(claims{"iat": at(-time.Minute), "nbf": at(-time.Minute), "exp": at(-29 * time.Second)})
					}
				}
				if _, err := v.Identify(f.request(a)); err != nil {
					t.Errorf("%s: %v", what, err)
				}
			}
			// Only in its header, once, in one spelling.
			for _, r := range []*http.Request{f.request(good, good), f.request("", good), f.request(good + "," + good)} {
				caller, err := v.Identify(r)
				wantError(t, "twice", caller, err, access.Unauthenticated, access.CodeBadIdentity)
			}
			twins := []string{strings.ToLower(f.header)}
			if strings.Contains(f.header, "-") {
				twins = append(twins, strings.ReplaceAll(f.header, "-", "_"))
			}
			for _, twin := range twins {
				r := f.request(good)
				r.Header[twin] = []string{f.prefix + good}
				caller, err := v.Identify(r)
				wantError(t, twin, caller, err, access.Unauthenticated, access.CodeBadIdentity)
			}
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			for _, name := range []string{"X-Forwarded-User", "X-Forwarded-Email", "X-Ms-Client-Principal", "X-Ms-Client-Principal-Name", "Remote-User", "Tailscale-User-Login",
				"X-Goog-Authenticated-User-Email", "X-Amzn-Oidc-Identity", "X-Auth-Request-Email", "Cf-Access-Authenticated-User-Email", "X-Pomerium-Claim-Email"} {
				r.Header.Set(name, "ana@example.com")
			}
			r.AddCookie(&http.Cookie{Name: "CF_Authorization", Value: good})
			caller, err := v.Identify(r)
			wantError(t, "unsigned headers", caller, err, access.Unauthenticated, access.CodeNoIdentity)
			// And what another front says of the same person is nobody's.
			for _, other := range fronts(t) {
				if other.name != f.name {
					caller, err := v.Identify(f.request(other.edit(nil)))
					wantError(t, other.name, caller, err, access.Unauthenticated, access.CodeBadIdentity)
				}
			}
		})
	}
}

// What is special about each front, forged.
func TestThreat10_AssertionsThatAreNotForUs(t *testing.T) {
	all := map[string]front{}
	for _, f := range fronts(t) {
		all[f.name] = f
	}
	pomerium, cloudflare, alb, token := all["pomerium"], all["cloudflare"], all["alb"], all["jwt"]
	header := func(f front, changes claims) string { return f.sign(f.head(changes), text(f.claims)) }
	for _, test := range []struct {
		front    front
		what, as string
		ok       bool
	}{
		{pomerium, "the issuer as an address", pomerium.edit(claims{"iss": "https://" + host + "/"}), true},
		{pomerium, "the same without a slash", pomerium.edit(claims{"iss": "https://" + host}), true},
		{pomerium, "several audiences", pomerium.edit(claims{"aud": []string{"other.example.com", host}}), true},
		{pomerium, "another route's host", pomerium.edit(claims{"iss": "other.example.com", "aud": "other.example.com"}), false},
		{pomerium, "another route's audience", pomerium.edit(claims{"aud": "other.example.com"}), false},
		{pomerium, "the issuer by http", pomerium.edit(claims{"iss": "http://" + host}), false},
		{pomerium, "a host below ours", pomerium.edit(claims{"aud": "x." + host}), false},
		{pomerium, "a service account of Pomerium", pomerium.edit(claims{"email": ""}), false},
		{pomerium, "a claim of it that is a list", pomerium.edit(claims{"aud": []any{host, 7}}), false},

		{cloudflare, "one application of several", cloudflare.edit(claims{"aud": []string{"0", tag}}), true},
		{cloudflare, "the token of the global session", cloudflare.edit(claims{"type": "org"}), false},
		{cloudflare, "a token of no type", cloudflare.edit(claims{"type": nil}), false},
		{cloudflare, "another application", cloudflare.edit(claims{"aud": []string{strings.Repeat("0", 64)}}), false},
		{cloudflare, "another team", cloudflare.edit(claims{"iss": "https://evil.cloudflareaccess.com"}), false},
		{cloudflare, "a service token", cloudflare.edit(claims{"email": nil, "sub": "", "common_name": "abc.access"}), false},
		{cloudflare, "of yesterday's session", cloudflare.edit(claims{"iat": now.Add(-24*time.Hour - 31*time.Second).Unix(), "nbf": now.Unix(), "exp": now.Add(time.Hour).Unix()}), false},
		{cloudflare, "of a session of a day", cloudflare.edit(claims{"iat": now.Add(-24 * time.Hour).Unix(), "exp": now.Add(time.Hour).Unix()}), true},

		{alb, "another tenant's load balancer", header(alb, claims{"signer": strings.Replace(arn, "123456789012", "210987654321", 1)}), false},
		{alb, "no signer", header(alb, claims{"signer": nil}), false},
		{alb, "a signer that is no text", header(alb, claims{"signer": []string{arn}}), false},
		{alb, "another client", header(alb, claims{"client": "client-2"}), false},
		{alb, "no client", header(alb, claims{"client": nil}), false},
		{alb, "another issuer above", header(alb, claims{"iss": "https://evil.example"}), false},
		{alb, "expired above", header(alb, claims{"exp": now.Unix() - 31}), false},
		{alb, "no end above", header(alb, claims{"exp": nil}), false},
		{alb, "a path for a key", header(alb, claims{"kid": "../../evil/" + albKey}), false},
		{alb, "a query for a key", header(alb, claims{"kid": albKey + "?x=y"}), false},
		{alb, "an address for a key", header(alb, claims{"kid": "@evil.example/" + albKey}), false},
		{alb, "a date all the same", alb.edit(claims{"iat": now.Unix() - 5}), true},
		{alb, "an old date", alb.edit(claims{"iat": now.Unix() - 700}), false},

		{token, "our client among several", token.edit(claims{"aud": []string{"a", "jit"}}), true},
		{token, "another client", token.edit(claims{"aud": "jit2"}), false},
		{token, "made for us, and us among several", token.edit(claims{"aud": []string{"a", "jit"}, "azp": "jit"}), true},
		{token, "made for another, and us among several", token.edit(claims{"aud": []string{"a", "jit"}, "azp": "a"}), false},
		{token, "made for another, and for us alone", token.edit(claims{"azp": "evil-spa"}), false},
		{token, "made for nobody knows whom", token.edit(claims{"aud": []string{"a", "jit"}, "azp": []string{"jit"}}), false},
		{token, "the other e-mail claim", token.edit(claims{"upn": nil, "email": "ana@example.com"}), false},
		{token, "of an hour ago", token.edit(claims{"iat": now.Add(-time.Hour).Unix(), "exp": now.Add(time.Hour).Unix()}), true},
		{token, "of longer ago", token.edit(claims{"iat": now.Add(-time.Hour - 31*time.Second).Unix(), "exp": now.Add(time.Hour).Unix()}), false},
	} {
		caller, err := test.front.verifier(t).Identify(test.front.request(test.as))
		if test.ok {
			if err != nil || caller.Principal != "ana@example.com" {
				t.Errorf("%s, %s: %v", test.front.name, test.what, err)
			}
			continue
		}
		wantError(t, test.front.name+", "+test.what, caller, err, access.Unauthenticated, access.CodeBadIdentity)
	}
	// A bearer token is one, and nothing else.
	bearer := all["jwt as a bearer token"]
	good := bearer.edit(nil)
	for value, ok := range map[string]bool{"Bearer " + good: true, "bearer " + good: true, good: false, "Basic " + good: false, "Bearer  " + good: false,
		"Bearer" + good: false, "Bearer " + good + " ": false, "Bearer " + good + ", Bearer " + good: false} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Authorization", value)
		if caller, err := bearer.verifier(t).Identify(r); (err == nil) != ok {
			t.Errorf("%.12s…: %v, %v", value, caller, err)
		}
	}
}

// How old an assertion may be is what the operator says, whatever is usual.
func TestMaxAgeOfAnAssertion(t *testing.T) {
	for _, f := range fronts(t) {
		v := f.verifier(t, func(c *identity.Config) { c.Profile.MaxAge = 90 * time.Second })
		for age, ok := range map[time.Duration]bool{0: true, 90 * time.Second: true, 120 * time.Second: true, 121 * time.Second: false} {
			changes := claims{"iat": now.Add(-age).Unix(), "nbf": nil}
			if f.undated { // what is left of it, at the most
				changes = claims{"exp": now.Add(age + 30*time.Second).Unix()}
			}
			if _, err := v.Identify(f.request(f.edit(changes))); (err == nil) != ok {
				t.Errorf("%s, %s: %v", f.name, age, err)
			}
		}
	}
}

// What an assertion leaves open of groups is unknown, and never none.
func TestGroupsOfAnAssertion(t *testing.T) {
	for _, f := range fronts(t) {
		v := f.verifier(t, func(c *identity.Config) { c.GroupsClaim = "https://acme.example/roles" })
		for what, test := range map[string]struct {
			changes claims
			want    []string // nil is unknown
		}{
			"some":                   {claims{"https://acme.example/roles": []string{"dba", "/a b", ""}}, []string{"dba", "/a b", ""}},
			"none":                   {claims{"https://acme.example/roles": []string{}}, []string{}},
			"no claim":               {nil, nil},
			"another claim":          {claims{"groups": []string{"dba"}, "roles": []string{"dba"}}, nil},
			"a text":                 {claims{"https://acme.example/roles": "dba,ops"}, nil},
			"one that is no text":    {claims{"https://acme.example/roles": []any{"dba", 7}}, nil},
			"null":                   {claims{"https://acme.example/roles": json.RawMessage("null")}, nil},
			"too many, says Entra":   {claims{"_claim_names": claims{"https://acme.example/roles": "src1"}, "_claim_sources": claims{"src1": claims{}}}, nil},
			"too many beside some":   {claims{"https://acme.example/roles": []string{"dba"}, "_claim_names": claims{"https://acme.example/roles": "src1"}}, nil},
			"too many, in one word":  {claims{"https://acme.example/roles": []string{"dba"}, "hasgroups": true}, nil},
			"too many, as a text":    {claims{"https://acme.example/roles": []string{"dba"}, "hasgroups": "true"}, nil},
			"too many of other ones": {claims{"https://acme.example/roles": []string{"dba"}, "_claim_names": claims{"groups": "src1"}}, []string{"dba"}},
		} {
			caller, err := v.Identify(f.request(f.edit(test.changes)))
			if err != nil || caller.ClaimsUnknown != (test.want == nil) || !slices.Equal(caller.Claims, test.want) {
				t.Errorf("%s, %s: %q, unknown %t, %v", f.name, what, caller.Claims, caller.ClaimsUnknown, err)
			}
		}
		// Where no claim is named none counts.
		caller, err := f.verifier(t).Identify(f.request(f.edit(claims{"groups": []string{"dba"}})))
		if err != nil || caller.Claims != nil || caller.ClaimsUnknown {
			t.Errorf("%s: %+v, %v", f.name, caller, err)
		}
	}
}

// Whether keys can be had is known without anybody's assertion.
func TestReach(t *testing.T) {
	for _, f := range fronts(t) {
		if err := f.verifier(t).Reach(t.Context()); err != nil {
			t.Errorf("%s: %v", f.name, err)
		}
		v := f.verifier(t, func(c *identity.Config) {
			c.Keys = jose.NewKeySet(identity.FetchKeys("http://127.0.0.1:1"), clock)
			if f.name == "alb" {
				c.Keys = identity.ALBKeys("http://127.0.0.1:1", clock)
			}
		})
		if err := v.Reach(t.Context()); !errors.Is(err, jose.ErrKeysUnavailable) {
			t.Errorf("%s, out of reach: %v", f.name, err)
		}
	}
}

// Of every front: an assertion that was made for another, who may pass it on, names nobody, and
// nor does a token by which the same keys say that somebody has logged out.
func TestAnAssertionIsMadeForUsAndToSignIn(t *testing.T) {
	const loggedOut = "http://schemas.openid.net/event/backchannel-logout"
	type verified struct {
		name     string
		verifier *identity.Verifier
		request  func(claims) *http.Request
		party    string
	}
	iap := func(change claims) *http.Request { return request(assertion(changed(goodClaims(), change))) }
	all := []verified{{"iap", verifier(t), iap, audience}, {"iap, any of the project", verifier(t, func(p *parts) {
		p.front = identity.Front{AnyOfProject: true, ProjectNumber: "123456"}
	}), iap, "/projects/123456/apps/other"}}
	for _, f := range fronts(t) {
		party := map[string]string{"pomerium": host, "cloudflare": tag, "alb": "client-1"}[f.name]
		if party == "" {
			party = "jit"
		}
		all = append(all, verified{f.name, f.verifier(t), func(change claims) *http.Request { return f.request(f.edit(change)) }, party})
	}
	for _, v := range all {
		for what, c := range map[string]struct {
			change claims
			ok     bool
		}{
			"made for us":                     {claims{"azp": v.party}, true},
			"made for another":                {claims{"azp": "evil-spa"}, false},
			"made for nobody":                 {claims{"azp": ""}, false},
			"made for several":                {claims{"azp": []string{v.party}}, false},
			"made for a number":               {claims{"azp": 7}, false},
			"a logout token":                  {claims{"events": claims{loggedOut: claims{}}, "sid": "1", "jti": "2"}, false},
			"another event":                   {claims{"events": claims{"https://example.com/moved": claims{}}}, false},
			"events that are none":            {claims{"events": claims{}}, false},
			"events that are no object":       {claims{"events": loggedOut}, false},
			"a logout token, and made for us": {claims{"events": claims{loggedOut: claims{}}, "azp": v.party}, false},
		} {
			caller, err := v.verifier.Identify(v.request(c.change))
			if strings.HasPrefix(v.name, "iap") && strings.HasPrefix(what, "made for") && c.change["azp"] != nil {
				if _, said := c.change["azp"].(string); said && err != nil {
					t.Errorf("%s, %s: Google signs for nobody else: %v", v.name, what, err)
				}
				continue
			}
			if c.ok && (err != nil || caller.Principal != "ana@example.com") {
				t.Errorf("%s, %s: %v", v.name, what, err)
			} else if !c.ok {
				wantError(t, v.name+", "+what, caller, err, access.Unauthenticated, access.CodeBadIdentity)
			}
		}
	}
}
