package jose

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"math/big"
	"slices"
)

// maxKeySet is the longest key set that is read, in bytes.
const maxKeySet = 1 << 20

// The sizes of RSA keys that are used, in bits: shorter ones can be factored,
// longer ones make verification a burden.
const minRSA, maxRSA = 2048, 8192

// publicKey is a key with the one algorithm that it may be used for.
type publicKey struct {
	algorithm Algorithm
	public    any // *rsa.PublicKey or *ecdsa.PublicKey
}

// parseKeys reads a JWKS document (RFC 7517). Keys that are of no use here are
// left out, as the standard demands; a document without a single usable one, or
// with two of one id, is refused.
func parseKeys(document []byte) (map[string]publicKey, error) {
	if len(document) > maxKeySet {
		return nil, errors.New("key set is longer than 1 MiB")
	}
	set, err := ParseClaims(document)
	if err != nil {
		return nil, err
	}
	var list []json.RawMessage
	if err := json.Unmarshal(set["keys"], &list); err != nil {
		return nil, errors.New("key set has no keys member")
	}
	keys := map[string]publicKey{}
	for _, item := range list {
		jwk, _ := ParseClaims(item)
		id, _ := jwk.String("kid")
		key, usable := parseKey(jwk)
		if id == "" || !usable {
			continue
		}
		if _, twice := keys[id]; twice {
			return nil, errors.New("key set has two keys of one kid")
		}
		keys[id] = key
	}
	if len(keys) == 0 {
		return nil, errors.New("key set has no usable key")
	}
	return keys, nil
}

// parseKey returns a key for RS256 or ES256 signatures.
func parseKey(jwk Claims) (key publicKey, usable bool) {
	switch kind, _ := jwk.String("kty"); kind {
	case "RSA":
		key.algorithm = RS256
		key.public, usable = parseRSA(jwk)
	case "EC":
		key.algorithm = ES256
		key.public, usable = parseEC(jwk)
	}
	return key, usable && jwk.absentOr("use", "sig") && jwk.absentOr("alg", string(key.algorithm))
}

func parseRSA(jwk Claims) (*rsa.PublicKey, bool) {
	modulus, exponent := new(big.Int).SetBytes(keyBytes(jwk, "n")), new(big.Int).SetBytes(keyBytes(jwk, "e"))
	if !usableRSA(modulus, exponent) {
		return nil, false
	}
	return &rsa.PublicKey{N: modulus, E: int(exponent.Int64())}, true
}

// usableRSA is whether a key is of a size that is used. The exponent is 65537 wherever
// Google makes the key; small and even ones are unsafe, and the standard library takes
// none above 31 bits.
func usableRSA(modulus, exponent *big.Int) bool {
	bits := modulus.BitLen()
	return bits >= minRSA && bits <= maxRSA && exponent.BitLen() >= 17 && exponent.BitLen() <= 31 && exponent.Bit(0) == 1
}

func parseEC(jwk Claims) (*ecdsa.PublicKey, bool) {
	// SEC 1, 2.3.3: an uncompressed point. Its length, and that it is on the curve,
	// are checked by the standard library.
	x, y := keyBytes(jwk, "x"), keyBytes(jwk, "y")
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), slices.Concat([]byte{4}, x, y))
	curve, _ := jwk.String("crv")
	return key, err == nil && curve == "P-256" && len(x) == len(y)
}

// keyBytes are nil when they are missing or malformed; no key has none.
func keyBytes(jwk Claims, name string) []byte {
	text, _ := jwk.String(name)
	decoded, _ := Form{}.decode(text)
	return decoded
}
