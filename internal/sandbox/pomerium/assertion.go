package pomerium

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"time"
)

// assertionLife is how long an assertion lives.
const assertionLife = 5 * time.Minute

// AssertionHeader carries who is signed in.
// https://www.pomerium.com/docs/capabilities/getting-users-identity
const AssertionHeader = "X-Pomerium-Jwt-Assertion"

// KeysPath is where each route has the public keys.
const KeysPath = "/.well-known/pomerium/jwks.json"

type signingKey struct {
	id  string
	key *ecdsa.PrivateKey
}

var base64URL = base64.RawURLEncoding

// Assertion says who a person is to the host of a route, signed with ES256. The edits may
// change any claim before, to make assertions that Pomerium would not.
func (z *Zero) Assertion(who Person, host string, edits ...func(claims map[string]any)) (string, error) {
	id, err := z.id()
	if err != nil {
		return "", err
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	now := z.now()
	claims := map[string]any{"iss": host, "aud": host, "sub": who.Subject, "user": who.Subject, "email": who.Email, "name": who.Name,
		"groups": who.Groups, "iat": now.Unix(), "exp": now.Add(assertionLife).Unix(), "jti": id}
	for _, edit := range edits {
		edit(claims)
	}
	last := z.keys[len(z.keys)-1]
	var parts []byte
	for i, part := range []any{map[string]string{"alg": "ES256", "kid": last.id, "typ": "JWT"}, claims} {
		text, err := json.Marshal(part)
		if err != nil {
			return "", err
		}
		if i > 0 {
			parts = append(parts, '.')
		}
		parts = base64URL.AppendEncode(parts, text)
	}
	digest := sha256.Sum256(parts)
	r, s, err := ecdsa.Sign(rand.Reader, last.key, digest[:])
	if err != nil {
		return "", err
	}
	signature := make([]byte, 64)
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return string(base64URL.AppendEncode(append(parts, '.'), signature)), nil
}

// serveKeys publishes the keys.
func (z *Zero) serveKeys(w http.ResponseWriter, _ *http.Request) {
	z.mu.Lock()
	var keys []map[string]string
	for _, k := range z.keys {
		public, err := k.key.PublicKey.Bytes() // 4, x, y
		if err != nil {
			z.mu.Unlock()
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		keys = append(keys, map[string]string{"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": k.id,
			"x": base64URL.EncodeToString(public[1:33]), "y": base64URL.EncodeToString(public[33:])})
	}
	z.mu.Unlock()
	text, err := encode(map[string]any{"keys": keys})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(text)
}
