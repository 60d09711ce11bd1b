// Package tokentest signs activation tokens with a key that is held in memory, as
// Google's signing service would.
package tokentest

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"math/big"

	"github.com/golang-jwt/jwt/v5"
)

// Signer signs with one RSA key, as Google's signing service does: RS256, and a
// header of alg, kid and typ. Its methods may be called concurrently.
type Signer struct {
	key *rsa.PrivateKey
	id  string
}

// New makes a Signer with a new key of 2048 bits.
func New() (*Signer, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(key.N.Bytes())
	return &Signer{key: key, id: hex.EncodeToString(sum[:20])}, nil
}

// SignJWT signs the claims, a JSON object, and returns the token.
func (s *Signer) SignJWT(_ context.Context, claims []byte) (string, error) {
	header, err := json.Marshal(map[string]string{"alg": "RS256", "kid": s.id, "typ": "JWT"})
	if err != nil {
		return "", err
	}
	signed := encode(header) + "." + encode(claims)
	signature, err := jwt.SigningMethodRS256.Sign(signed, s.key)
	if err != nil {
		return "", err
	}
	return signed + "." + encode(signature), nil
}

// KeySet returns the public key as a JWKS document, for jose.NewKeySet.
func (s *Signer) KeySet(context.Context) ([]byte, error) {
	type jwk struct {
		Kty string `json:"kty"`
		Alg string `json:"alg"`
		Use string `json:"use"`
		Kid string `json:"kid"`
		N   string `json:"n"`
		E   string `json:"e"`
	}
	exponent := big.NewInt(int64(s.key.E)).Bytes()
	return json.Marshal(map[string][]jwk{"keys": {{
		Kty: "RSA", Alg: "RS256", Use: "sig", Kid: s.id, N: encode(s.key.N.Bytes()), E: encode(exponent),
	}}})
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
