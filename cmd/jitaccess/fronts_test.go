package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

const albKey = "12345678-1234-1234-1234-123456789012"

// keyHolder signs for a front, and publishes its keys wherever fronts do.
type keyHolder struct {
	*httptest.Server
	key *ecdsa.PrivateKey
	rsa *rsa.PrivateKey
}

func newKeyHolder(t *testing.T) *keyHolder {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	point, err := key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	b64 := base64.RawURLEncoding.EncodeToString
	set := encoded(t, dict{"keys": []dict{{"kty": "EC", "crv": "P-256", "kid": "front-1", "x": b64(point[1:33]), "y": b64(point[33:])}}})
	certs := encoded(t, dict{"keys": []dict{{"kty": "RSA", "alg": "RS256", "use": "sig", "kid": "front-2", "e": "AQAB", "n": b64(other.N.Bytes())}},
		"public_cert": dict{"kid": "front-2", "cert": "unused"}, "public_certs": []dict{}})
	mux := http.NewServeMux()
	h := &keyHolder{httptest.NewServer(mux), key, other}
	t.Cleanup(h.Close)
	for path, body := range map[string]string{
		"/.well-known/pomerium/jwks.json": set, "/cdn-cgi/access/certs": certs, "/jwks": set,
		"/" + albKey:                        string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})),
		"/.well-known/openid-configuration": encoded(t, dict{"issuer": h.URL, "jwks_uri": h.URL + "/jwks"}),
	} {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(body)) })
	}
	return h
}

// sign signs what a front says, by ES256 unless the header names another.
func (h *keyHolder) sign(t *testing.T, header, claims dict, encoding *base64.Encoding) string {
	if header["alg"] == nil {
		header["alg"] = "ES256"
	}
	text := func(d dict) string {
		b, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		return encoding.EncodeToString(b)
	}
	signed := text(header) + "." + text(claims)
	sum := sha256.Sum256([]byte(signed))
	if header["alg"] == "RS256" {
		signature, err := rsa.SignPKCS1v15(rand.Reader, h.rsa, crypto.SHA256, sum[:])
		if err != nil {
			t.Fatal(err)
		}
		return signed + "." + encoding.EncodeToString(signature)
	}
	r, s, err := ecdsa.Sign(rand.Reader, h.key, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return signed + "." + encoding.EncodeToString(append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...))
}

// TestTheServiceBehindOtherFronts: each front lets its people in, with the groups that it
// names, and no other does; what the pages, the log, /health/ready and doctor say is of this
// front.
func TestTheServiceBehindOtherFronts(t *testing.T) {
	const arn = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:loadbalancer/app/jit/50dc6c495c0c9188"
	tag := strings.Repeat("4714c1358e65fe4b", 4)
	keys := newKeyHolder(t)
	now := time.Now()
	person := func(more dict) dict {
		claims := dict{"sub": "s-1", "email": alice, "iat": now.Unix(), "exp": now.Add(5 * time.Minute).Unix(), "groups": []string{"platform"}}
		maps.Copy(claims, more)
		return claims
	}
	for name, test := range map[string]struct {
		environment   map[string]string
		header        string
		assertion     func() string
		method, check string
		switchAccount string
		audience      string
	}{
		"pomerium": {map[string]string{"IDENTITY": "pomerium", "JWKS_ENDPOINT": keys.URL + "/.well-known/pomerium/jwks.json", "IDENTITY_AUDIENCE": "jit.example.com"},
			"X-Pomerium-Jwt-Assertion", func() string {
				return keys.sign(t, dict{"kid": "front-1", "typ": "JWT"}, person(dict{"iss": "jit.example.com", "aud": "jit.example.com"}), base64.RawURLEncoding)
			}, "pomerium", "PomeriumKeysAreAvailable", "/.pomerium/sign_out", "jit.example.com"},
		"alb": {map[string]string{"IDENTITY": "alb", "ALB_ARN": arn, "IDENTITY_AUDIENCE": "client-1", "JITACCESS_ALB_ENDPOINT": keys.URL},
			"X-Amzn-Oidc-Data", func() string {
				end := now.Add(2 * time.Minute).Unix()
				return keys.sign(t, dict{"kid": albKey, "signer": arn, "client": "client-1", "iss": "https://login.example.com", "exp": end},
					dict{"sub": "s-1", "email": alice, "iss": "https://login.example.com", "exp": end, "groups": []string{"platform"}}, base64.URLEncoding)
			}, "alb", "LoadBalancerKeysAreAvailable", "", "the client client-1 of " + arn},
		"cloudflare": {map[string]string{"IDENTITY": "cloudflare", "CLOUDFLARE_TEAM": "acme", "IDENTITY_AUDIENCE": tag, "JITACCESS_CLOUDFLARE_ENDPOINT": keys.URL},
			"Cf-Access-Jwt-Assertion", func() string {
				return keys.sign(t, dict{"kid": "front-2", "alg": "RS256"}, person(dict{"iss": "https://acme.cloudflareaccess.com", "aud": []string{tag},
					"type": "app", "identity_nonce": "6ei69kawdKzMIAPF", "country": "PT"}), base64.RawURLEncoding)
			}, "cloudflare", "CloudflareKeysAreAvailable", "/cdn-cgi/access/logout", tag},
		"jwt": {map[string]string{"IDENTITY": "jwt", "IDENTITY_HEADER": "Authorization", "IDENTITY_ISSUER": keys.URL, "IDENTITY_AUDIENCE": "jit",
			"IDENTITY_ALGORITHMS": "ES256"},
			"Authorization", func() string {
				return "Bearer " + keys.sign(t, dict{"kid": "front-1"}, person(dict{"iss": keys.URL, "aud": []string{"jit"}}), base64.RawURLEncoding)
			}, "jwt", "IssuerKeysAreAvailable", "", "jit"},
	} {
		t.Run(name, func(t *testing.T) {
			test.environment["IDENTITY_GROUPS_CLAIM"], test.environment["ADMINS"] = "groups", "claim:platform"
			w := newWorld(t, surroundings{environment: test.environment})
			with := func(path, assertion string) answer {
				r := w.request("GET", path, nil)
				if assertion != "" {
					r.Header.Set(test.header, assertion)
				}
				return w.send("", r)
			}
			with("/", test.assertion()).expect(t, 200, alice)
			// ADMINS names the group that the assertion does.
			with("/notifications", test.assertion()).expect(t, 200)
			// What somebody does is done and recorded as theirs.
			w.call("", "POST", selfURL, encoded(t, selfBody(nil)), "X-JITACCESS", "1", "Content-Type", "application/json",
				test.header, test.assertion()).expect(t, 200, `"ACTIVE"`)
			w.call("", "POST", selfURL, encoded(t, selfBody(nil)), "X-JITACCESS", "1", "Content-Type", "application/json").expect(t, 401)
			if !w.logged(`"api.activateRole"`, alice) {
				t.Errorf("it is not recorded as theirs: %s", w.log)
			}
			if test.switchAccount != "" {
				with("/", test.assertion()).expect(t, 200, test.switchAccount)
			}
			if !w.logged(`"`+test.method+`.authenticate"`) || w.logged("iap.authenticate") {
				t.Error("the log does not say how somebody was identified")
			}
			for what, a := range map[string]answer{
				"nobody": with("/", ""), "a stranger": with("/", test.assertion()+"x"), "Identity-Aware Proxy": w.page(alice, "/"),
			} {
				if a.status != 401 || strings.Contains(strings.ToLower(a.body), "iap") || !strings.Contains(a.body, `<a href="">Open this page again</a>`) {
					t.Errorf("%s: %d %s", what, a.status, a.body)
				}
			}
			w.call("", "GET", "/health/ready", "").expect(t, 200, `"`+test.check+`":true`)
			var out bytes.Buffer
			examine(context.Background(), w.env(nil), recipients{}, w.mail.Roots, &out)
			for _, line := range []string{"ok       audience: people are identified by " + test.method + "; assertions are accepted for " + test.audience,
				"ok       keys: the keys of " + test.method + " can be had", "answers whoever asks, without a sign-in: links may lead around the proxy"} {
				if !strings.Contains(out.String(), line) {
					t.Errorf("doctor does not say %q:\n%s", line, out.String())
				}
			}
			if strings.Contains(out.String(), "IAP") {
				t.Errorf("doctor speaks of IAP:\n%s", out.String())
			}
		})
	}
}
