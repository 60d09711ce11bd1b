package jose

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"math/big"
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

var errUnusableKey = errors.New("not a key for RS256 or ES256 signatures")

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
		jwk, err := ParseClaims(item)
		if err != nil {
			continue
		}
		id, err := jwk.String("kid")
		if err != nil || id == "" {
			continue
		}
		key, err := parseKey(jwk)
		if err != nil {
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

func parseKey(jwk Claims) (publicKey, error) {
	if use, err := jwk.String("use"); jwk["use"] != nil && (err != nil || use != "sig") {
		return publicKey{}, errUnusableKey
	}
	var key publicKey
	var err error
	switch kind, _ := jwk.String("kty"); kind {
	case "RSA":
		key.algorithm = RS256
		key.public, err = parseRSA(jwk)
	case "EC":
		key.algorithm = ES256
		key.public, err = parseEC(jwk)
	default:
		return publicKey{}, errUnusableKey
	}
	if err != nil {
		return publicKey{}, err
	}
	if alg, err := jwk.String("alg"); jwk["alg"] != nil && (err != nil || alg != string(key.algorithm)) {
		return publicKey{}, errUnusableKey
	}
	return key, nil
}

func parseRSA(jwk Claims) (*rsa.PublicKey, error) {
	n, err := keyBytes(jwk, "n")
	if err != nil {
		return nil, err
	}
	e, err := keyBytes(jwk, "e")
	if err != nil {
		return nil, err
	}
	modulus, exponent := new(big.Int).SetBytes(n), new(big.Int).SetBytes(e)
	if bits := modulus.BitLen(); bits < minRSA || bits > maxRSA {
		return nil, errUnusableKey
	}
	// The exponent is 65537 wherever Google makes the key; small and even ones
	// are unsafe, and the standard library takes none above 31 bits.
	if exponent.BitLen() < 17 || exponent.BitLen() > 31 || exponent.Bit(0) == 0 {
		return nil, errUnusableKey
	}
	return &rsa.PublicKey{N: modulus, E: int(exponent.Int64())}, nil
}

func parseEC(jwk Claims) (*ecdsa.PublicKey, error) {
	if curve, err := jwk.String("crv"); err != nil || curve != "P-256" {
		return nil, errUnusableKey
	}
	x, err := keyBytes(jwk, "x")
	if err != nil {
		return nil, err
	}
	y, err := keyBytes(jwk, "y")
	if err != nil {
		return nil, err
	}
	// SEC 1, 2.3.3: an uncompressed point. Its length, and that it is on the curve,
	// are checked by the standard library.
	point := append(append([]byte{4}, x...), y...)
	return ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
}

func keyBytes(jwk Claims, name string) ([]byte, error) {
	text, err := jwk.String(name)
	if err != nil {
		return nil, err
	}
	return decodeSegment(text)
}
