package bearer_test

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"jitaccess/internal/bearer"
	"jitaccess/internal/jose"
)

var granted = bearer.Access{Issuer: "https://access.example.com", Audience: "https://deploy.example.com", Subject: "ana", Client: "deployer",
	Scope: "production-deploy", ID: "mpa-1", IssuedAt: noon.Unix(), NotBefore: noon.Unix() - 60, Expires: noon.Unix() + 1800,
	Approval: bearer.Approval{Approvers: []string{"bob@example.com"}, Signed: true, DataDigest: "d"}}

func signer(t testing.TB, secrets ...[]byte) *bearer.Signer {
	t.Helper()
	s, err := bearer.NewSigner(secrets...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Whoever has the key set alone verifies an access token, and reads what RFC 9068 demands.
func TestAnAccessTokenByTheKeySetAlone(t *testing.T) {
	s := signer(t, key)
	text, err := s.Sign(granted)
	if err != nil {
		t.Fatal(err)
	}
	keys := jose.NewKeySet(func(context.Context) ([]byte, error) { return s.KeySet(), nil }, time.Now)
	token, err := jose.Form{Algorithms: []jose.Algorithm{jose.ES256}, Type: "at+jwt"}.Verify(t.Context(), text, keys)
	if err != nil {
		t.Fatal(err)
	}
	if !token.Claims.Exactly("iss", "aud", "sub", "client_id", "scope", "jti", "iat", "nbf", "exp", "approval") || string(token.Header["typ"]) != `"at+jwt"` {
		t.Errorf("%s %s", token.Header, token.Claims)
	}
	if got, err := s.Verify(text); err != nil || got.ID != granted.ID || got.Expires != granted.Expires || !got.Approval.Signed || got.Approval.Approvers[0] != "bob@example.com" {
		t.Errorf("%+v, %v", got, err)
	}
}

// The newest key signs; what the one before it has signed verifies, what an older one has does not.
func TestKeysThatFollowOneAnother(t *testing.T) {
	third := bytes.Repeat([]byte{5}, 32)
	old, _ := signer(t, key).Sign(granted)
	all := signer(t, third, next, key)
	if _, err := all.Verify(old); err == nil {
		t.Error("the third key verifies")
	}
	now := signer(t, next, key)
	if _, err := now.Verify(old); err != nil {
		t.Error(err)
	}
	later, _ := now.Sign(granted)
	if _, err := signer(t, key).Verify(later); err == nil {
		t.Error("the old key verifies what the new one has signed")
	}
	for i, s := range []*bearer.Signer{all, now} {
		var set struct {
			Keys []map[string]string `json:"keys"`
		}
		if err := json.Unmarshal(s.KeySet(), &set); err != nil || len(set.Keys) != 2 || set.Keys[0]["kid"] == set.Keys[1]["kid"] {
			t.Errorf("%d: %s", i, s.KeySet())
		}
		for _, k := range set.Keys {
			if len(k) != 7 || k["d"] != "" || k["use"] != "sig" || k["alg"] != "ES256" {
				t.Errorf("a key is published as %v", k)
			}
		}
	}
	if a, b := signer(t, key).KeySet(), signer(t, key).KeySet(); !bytes.Equal(a, b) {
		t.Error("a secret gives one key, always")
	}
}

func TestWhatIsNoSigner(t *testing.T) {
	for _, secrets := range [][][]byte{nil, {short}, {key, nil}} {
		if s, err := bearer.NewSigner(secrets...); err == nil {
			t.Errorf("%x: %v", secrets, s)
		}
	}
}

func TestWhatIsNoAccessTokenOfOurs(t *testing.T) {
	s := signer(t, key)
	good, _ := s.Sign(granted)
	other, _ := signer(t, next).Sign(granted)
	none, err := jwt.NewWithClaims(jwt.SigningMethodNone, jwt.MapClaims{"jti": "mpa-1"}).SignedString(jwt.UnsafeAllowNoneSignatureType)
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(good, ".")
	for what, token := range map[string]string{"nothing": "", "another's": other, "unsigned": none, "cut off": strings.Join(parts[:2], ".") + ".",
		"another's claims": parts[0] + "." + strings.Split(none, ".")[1] + "." + parts[2]} {
		if a, err := s.Verify(token); err == nil {
			t.Errorf("%s: %+v", what, a)
		}
	}
}

func TestDataDigestIsOfCanonicalJSON(t *testing.T) {
	// printf '%s' '{"a":"<&>","version":"v1"}' | sha256sum
	if got := bearer.DataDigest(map[string]string{"version": "v1", "a": "<&>"}); got != "de16e49abf542d0f5b512a4aec5c358efb25375127358ac9f8423ca43fc2cf78" {
		t.Error(got)
	}
	if bearer.DataDigest(nil) != bearer.DataDigest(map[string]string{}) {
		t.Error("no data are no data, however they are written")
	}
}

func BenchmarkAuthenticate(b *testing.B) {
	token := signed(b, good(nil), key)
	for b.Loop() {
		if _, err := bearer.Authenticate(b.Context(), token, origins, issuers, noon); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSign(b *testing.B) {
	s := signer(b, key)
	for b.Loop() {
		if _, err := s.Sign(granted); err != nil {
			b.Fatal(err)
		}
	}
}
