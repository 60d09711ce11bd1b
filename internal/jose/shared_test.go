package jose_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"

	"jitaccess/internal/jose"
)

// code makes a token with an HS256 code.
func code(header, payload string, secret []byte) string {
	signed := encode([]byte(header)) + "." + encode([]byte(payload))
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(signed))
	return signed + "." + encode(mac.Sum(nil))
}

func secrets(all ...[]byte) func(jose.Claims) [][]byte {
	return func(jose.Claims) [][]byte { return all }
}

const sharedHeader = `{"typ":"JWT","alg":"HS256"}`

var secret = bytes.Repeat([]byte{7}, 32)

func TestACodeByASharedSecret(t *testing.T) {
	other := bytes.Repeat([]byte{8}, 32)
	for _, header := range []string{sharedHeader, `{"alg":"HS256"}`, `{"alg":"HS256","kid":"a"}`, `{"alg":"HS256","kid":"","typ":"JWT"}`} {
		token := code(header, payload, secret)
		c, by, err := jose.VerifyShared(token, func(said jose.Claims) [][]byte {
			if iss, _ := said.String("iss"); iss != "somebody" {
				t.Errorf("the issuer said is %q", iss)
			}
			return [][]byte{other, secret}
		})
		if err != nil || by != 1 || !c.Exactly("iss", "iat") {
			t.Errorf("%s: %v, %v", header, c, err)
		}
	}
}

// What is refused has no claims, and the error nothing of the token.
func refuseShared(t *testing.T, what, token string, all ...[]byte) {
	t.Helper()
	if c, _, err := jose.VerifyShared(token, secrets(all...)); err == nil || c != nil {
		t.Errorf("%s: %v, %v", what, c, err)
	}
}

func TestThreat09_ASharedSecretIsNoPublicKey(t *testing.T) {
	good := code(sharedHeader, payload, secret)
	refuseShared(t, "no secret", good)
	refuseShared(t, "another secret", good, bytes.Repeat([]byte{8}, 32))
	for _, short := range [][]byte{nil, {}, []byte("secret"), secret[:31]} {
		refuseShared(t, "a short secret", code(sharedHeader, payload, short), short)
	}
	der, err := x509.MarshalPKIXPublicKey(&ecKey().PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	for _, public := range [][]byte{der, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})} {
		refuseShared(t, "a public key as the secret", code(sharedHeader, payload, public), secret)
	}
	for _, alg := range []string{"none", "None", "", "HS384", "HS512", "RS256", "ES256", "hs256", "HS256 "} {
		header := `{"alg":"` + alg + `","typ":"JWT"}`
		refuseShared(t, alg, code(header, payload, secret), secret)
		refuseShared(t, alg+" unsigned", sign(header, payload, nil), secret)
		refuseShared(t, alg+" by a key", sign(header, payload, ecKey()), secret)
	}
	// A token with a code is none with a signature, whatever is taken for the key.
	for _, a := range []jose.Algorithm{jose.HS256, jose.RS256, jose.ES256} {
		for _, key := range []any{secret, &rsaKey().PublicKey, &ecKey().PublicKey} {
			if _, err := (jose.Form{Algorithms: []jose.Algorithm{a, jose.HS256}}).VerifyWith(code(`{"alg":"HS256","kid":"a"}`, payload, secret), key); err == nil {
				t.Errorf("%s with %T: accepted", a, key)
			}
		}
	}
}

func TestWhatASharedTokenMayBe(t *testing.T) {
	for _, header := range []string{
		`{}`, `[]`, `null`, ``, `{"typ":"JWT"}`, `{"alg":null}`, `{"alg":["HS256"]}`, `{"ALG":"HS256"}`, `{"alg":"HS256","alg":"HS256"}`,
		`{"alg":"HS256","typ":"at+jwt"}`, `{"alg":"HS256","typ":null}`, `{"alg":"HS256","kid":1}`, `{"alg":"HS256","kid":null}`,
		`{"alg":"HS256","kid":"` + strings.Repeat("k", 129) + `"}`, `{"alg":"HS256","crit":[]}`, `{"alg":"HS256","b64":false}`, `{"alg":"HS256","zip":"DEF"}`,
		`{"alg":"HS256","jwk":{"kty":"oct","k":"AA"}}`, `{"alg":"HS256","":""}`,
	} {
		refuseShared(t, header, code(header, payload, secret), secret)
	}
	for _, p := range []string{``, `null`, `[]`, `"x"`, `{"iss":"a","iss":"b"}`, `{"a":[[[[[[[[1]]]]]]]]}`, "{\"a\":\"\xff\"}"} {
		refuseShared(t, p, code(sharedHeader, p, secret), secret)
	}
	good := code(sharedHeader, payload, secret)
	end := strings.LastIndex(good, ".")
	for _, token := range []string{"", ".", "..", good + ".", good + "=", good + "\n", good[:end], good[:end+1], good[:len(good)-2], strings.Repeat("a", 9000),
		code(sharedHeader, `{"a":"`+strings.Repeat("x", 8<<10)+`"}`, secret)} {
		refuseShared(t, token, token, secret)
	}
	for i := range len(good) - 1 {
		changed := []byte(good)
		changed[i] ^= 1
		refuseShared(t, "a changed byte", string(changed), secret)
	}
}

// A type that is expected must be there, and is not taken for another.
func TestATypeThatIsExpected(t *testing.T) {
	form := jose.Form{Algorithms: []jose.Algorithm{jose.ES256}, Type: "at+jwt"}
	for header, want := range map[string]bool{`{"alg":"ES256","kid":"ec","typ":"at+jwt"}`: true, ecHeader: false, `{"alg":"ES256","kid":"ec"}`: false,
		`{"alg":"ES256","kid":"ec","typ":"AT+JWT"}`: false, `{"alg":"ES256","kid":"ec","typ":["at+jwt"]}`: false} {
		if _, err := form.VerifyWith(sign(header, payload, ecKey()), &ecKey().PublicKey); (err == nil) != want {
			t.Errorf("%s: %v", header, err)
		}
	}
}

func FuzzVerifyShared(f *testing.F) {
	good := code(sharedHeader, payload, secret)
	for _, token := range []string{good, "", "..", sign(`{"alg":"none"}`, payload, nil), code(`{"alg":"HS256","crit":["b64"]}`, payload, secret)} {
		f.Add(token)
	}
	f.Fuzz(func(t *testing.T, token string) {
		if _, _, err := jose.VerifyShared(token, secrets(secret)); err == nil && token != good {
			t.Errorf("accepted %q", token)
		}
	})
}
