package bearer

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"

	"github.com/golang-jwt/jwt/v5"

	"jitaccess/internal/jose"
)

// Access is what an access token says, as RFC 9068 has it. Instants are whole seconds since
// the epoch.
type Access struct {
	Issuer   string `json:"iss"`
	Audience string `json:"aud"`
	// Subject is the person, as the application calls them.
	Subject string `json:"sub"`
	// Client is the name of the application, and Scope the key of the template.
	Client string `json:"client_id"`
	Scope  string `json:"scope"`
	// ID is that of the request.
	ID        string   `json:"jti"`
	IssuedAt  int64    `json:"iat"`
	NotBefore int64    `json:"nbf"`
	Expires   int64    `json:"exp"`
	Approval  Approval `json:"approval"`
}

// Approval is who approved, and of what.
type Approval struct {
	Approvers []string `json:"approvers"`
	// Signed is whether each of them has signed it.
	Signed bool `json:"signed"`
	// DataDigest is that of what the application asked for; see DataDigest.
	DataDigest string `json:"data_digest"`
}

// DataDigest is SHA-256, in hexadecimal, over data as canonical JSON (RFC 8785), which an
// application can compute of what it sent. Names are ASCII, and texts have no control
// characters and no line breaks of Unicode: there alone the two ways to write JSON differ.
func DataDigest(data map[string]string) string {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	if data == nil {
		data = map[string]string{}
	}
	e.Encode(data) // texts always can be
	sum := sha256.Sum256(bytes.TrimSuffix(text.Bytes(), []byte("\n")))
	return hex.EncodeToString(sum[:])
}

const (
	accessType = "at+jwt"
	// published is how many keys verify, and are published: the one that signs, and the one
	// that signed before it.
	published = 2
)

// Signer signs access tokens with keys that are derived from secrets which only the service
// has. It may be used concurrently.
type Signer struct {
	keys []signingKey
	set  []byte
}

type signingKey struct {
	id      string
	private *ecdsa.PrivateKey
}

// NewSigner derives keys from the newest two of secrets of 32 bytes or more, the newest first:
// that one signs, both verify. At least one is needed.
func NewSigner(secrets ...[]byte) (*Signer, error) {
	if len(secrets) == 0 {
		return nil, errors.New("no key to sign with")
	}
	s := &Signer{}
	var set []any
	for _, secret := range secrets[:min(published, len(secrets))] {
		key, err := derive(secret)
		if err != nil {
			return nil, err
		}
		public, err := key.PublicKey.Bytes()
		if err != nil {
			return nil, err
		}
		half := len(public) / 2
		x, y := base64.RawURLEncoding.EncodeToString(public[1:1+half]), base64.RawURLEncoding.EncodeToString(public[1+half:])
		// RFC 7638: the members that make a key what it is, in this order.
		sum := sha256.Sum256(fmt.Appendf(nil, `{"crv":"P-256","kty":"EC","x":"%s","y":"%s"}`, x, y))
		id := base64.RawURLEncoding.EncodeToString(sum[:])
		s.keys = append(s.keys, signingKey{id, key})
		set = append(set, map[string]string{"kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": id, "use": "sig", "alg": string(jose.ES256)})
	}
	var err error
	s.set, err = json.Marshal(map[string]any{"keys": set})
	return s, err
}

// derive makes a key of a secret, for access tokens alone. As FIPS 186-5, A.2.1, has it: more
// bits than the key has are reduced, so that no key is likelier than another.
func derive(secret []byte) (*ecdsa.PrivateKey, error) {
	if len(secret) < jose.MinSecret {
		return nil, fmt.Errorf("a key to sign with has %d bytes, and needs %d", len(secret), jose.MinSecret)
	}
	seed, err := hkdf.Key(sha256.New, secret, nil, "jitaccess access token ES256 1", 48)
	if err != nil {
		return nil, err
	}
	one := big.NewInt(1)
	n := new(big.Int).Sub(elliptic.P256().Params().N, one)
	d := new(big.Int).SetBytes(seed)
	d.Mod(d, n).Add(d, one)
	return ecdsa.ParseRawPrivateKey(elliptic.P256(), d.FillBytes(make([]byte, 32)))
}

// KeySet is the JWKS document (RFC 7517) of the keys that verify.
func (s *Signer) KeySet() []byte { return s.set }

// Sign makes an access token. It says no more than it is given: that access was approved and
// until when is for the caller to know.
func (s *Signer) Sign(a Access) (string, error) {
	header, err := json.Marshal(map[string]string{"typ": accessType, "alg": string(jose.ES256), "kid": s.keys[0].id})
	if err != nil {
		return "", err
	}
	claims, err := json.Marshal(a)
	if err != nil {
		return "", err
	}
	signed := base64.RawURLEncoding.EncodeToString(header) + "." + base64.RawURLEncoding.EncodeToString(claims)
	signature, err := jwt.SigningMethodES256.Sign(signed, s.keys[0].private)
	if err != nil {
		return "", err
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}

// Verify returns what an access token says that one of the keys has signed. Whether the access
// goes on is for the caller to know. Errors are for the log.
func (s *Signer) Verify(token string) (a Access, err error) {
	form := jose.Form{Algorithms: []jose.Algorithm{jose.ES256}, Type: accessType}
	for _, key := range s.keys {
		var t jose.Token
		if t, err = form.VerifyWith(token, &key.private.PublicKey); err != nil {
			continue
		}
		var claims []byte
		if claims, err = json.Marshal(t.Claims); err == nil {
			err = json.Unmarshal(claims, &a)
		}
		return a, err
	}
	return a, err
}
