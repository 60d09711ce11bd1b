package jose_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"sync"
	"testing"
	"time"

	"jitaccess/internal/jose"
)

// The keys are shared by all tests: making them is what takes time.
var (
	rsaKey   = sync.OnceValue(func() *rsa.PrivateKey { return newRSA(2048) })
	otherRSA = sync.OnceValue(func() *rsa.PrivateKey { return newRSA(2048) })
	ecKey    = sync.OnceValue(func() *ecdsa.PrivateKey { return newEC(elliptic.P256()) })
	otherEC  = sync.OnceValue(func() *ecdsa.PrivateKey { return newEC(elliptic.P256()) })
)

func newRSA(bits int) *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		panic(err)
	}
	return key
}

func newEC(curve elliptic.Curve) *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		panic(err)
	}
	return key
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// sign makes a token of any header and payload. The signature is one for the key,
// whatever the header says; without a key it is empty.
func sign(header, payload string, key crypto.PrivateKey) string {
	signed := encode([]byte(header)) + "." + encode([]byte(payload))
	sum := sha256.Sum256([]byte(signed))
	var signature []byte
	switch key := key.(type) {
	case *rsa.PrivateKey:
		var err error
		if signature, err = rsa.SignPKCS1v15(nil, key, crypto.SHA256, sum[:]); err != nil {
			panic(err)
		}
	case *ecdsa.PrivateKey:
		r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
		if err != nil {
			panic(err)
		}
		size := (key.Curve.Params().BitSize + 7) / 8
		signature = append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...)
	}
	return signed + "." + encode(signature)
}

// jwk describes the public half of a key; change may alter members, nil drops one.
func jwk(kid string, key crypto.PrivateKey, change map[string]any) map[string]any {
	members := map[string]any{"kid": kid, "use": "sig"}
	switch key := key.(type) {
	case *rsa.PrivateKey:
		members["kty"], members["alg"] = "RSA", "RS256"
		members["n"], members["e"] = encode(key.N.Bytes()), encode(big.NewInt(int64(key.E)).Bytes())
	case *ecdsa.PrivateKey:
		point, err := key.PublicKey.Bytes()
		if err != nil {
			panic(err)
		}
		half := len(point) / 2
		members["kty"], members["alg"], members["crv"] = "EC", "ES256", key.Curve.Params().Name
		members["x"], members["y"] = encode(point[1:1+half]), encode(point[1+half:])
	}
	for name, value := range change {
		if members[name] = value; value == nil {
			delete(members, name)
		}
	}
	return members
}

func document(keys ...map[string]any) []byte {
	text, err := json.Marshal(map[string]any{"keys": keys})
	if err != nil {
		panic(err)
	}
	return text
}

// fixed is a key set that never changes.
func fixed(keys ...map[string]any) *jose.KeySet {
	text := document(keys...)
	return jose.NewKeySet(func(context.Context) ([]byte, error) { return text, nil }, time.Now)
}

// bothKeys holds a key of each kind.
func bothKeys() *jose.KeySet {
	return fixed(jwk("rsa", rsaKey(), nil), jwk("ec", ecKey(), nil))
}

const (
	rsaHeader = `{"alg":"RS256","kid":"rsa","typ":"JWT"}`
	ecHeader  = `{"alg":"ES256","kid":"ec","typ":"JWT"}`
	payload   = `{"iss":"somebody","iat":1}`
)

func accepted(token string, a jose.Algorithm, keys *jose.KeySet) bool {
	_, err := jose.Verify(context.Background(), token, a, keys)
	return err == nil
}

func refuse(t *testing.T, what, token string, a jose.Algorithm, keys *jose.KeySet) {
	t.Helper()
	if claims, err := jose.Verify(context.Background(), token, a, keys); err == nil {
		t.Errorf("%s was accepted as %s: %v", what, a, claims)
	} else if claims != nil {
		t.Errorf("%s was refused, yet there are claims: %v", what, claims)
	}
}
