// Package jose verifies JSON Web Tokens, strictly. What the standards leave open
// is closed here: one algorithm that the caller names, a header that can say
// nothing but algorithm, key and type, one way to write each byte, no JSON member
// twice, and a size that is capped before anything is looked at.
//
// A verified token is only a signed set of claims. Whose it is, for whom, until
// when and what for is the caller's to check: Claims are handed back exactly as
// they were signed, so that a caller can demand an exact set.
package jose

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"

	"github.com/golang-jwt/jwt/v5"
)

// Algorithm is a signature algorithm by its name in the token's header.
type Algorithm string

// The algorithms that Google signs with: RS256 for service accounts, ES256 for
// Identity-Aware Proxy.
const (
	RS256 Algorithm = "RS256"
	ES256 Algorithm = "ES256"
)

// MaxToken is the longest token that is looked at, in bytes.
const MaxToken = 8 << 10

// maxKeyID is the longest key id. Google's have 40 characters or fewer.
const maxKeyID = 128

// Why a token is refused. The texts carry nothing of the token.
var (
	errTooLong   = errors.New("token is longer than 8 KiB")
	errSegments  = errors.New("token does not have three segments")
	errEncoding  = errors.New("a segment of the token is not strict base64url")
	errHeader    = errors.New("header has members other than alg, kid and typ")
	errAlgorithm = errors.New("algorithm is not the expected one")
	errType      = errors.New("typ is not JWT")
	errKeyID     = errors.New("kid is missing or malformed")
	errKeyType   = errors.New("the key named is not one for this algorithm")
	errSignature = errors.New("signature does not verify")
)

// Verify checks that the token was signed with the algorithm by one of the keys,
// and returns its claims. It checks no claim.
//
// An error that wraps ErrKeysUnavailable says nothing about the token: the key
// could not be had. Every other error means that the token is not valid.
func Verify(ctx context.Context, token string, algorithm Algorithm, keys *KeySet) (Claims, error) {
	// Nothing is split or decoded before the size and the number of segments are
	// known, so that hostile input costs nothing (CVE-2025-30204).
	if len(token) > MaxToken {
		return nil, errTooLong
	}
	if strings.Count(token, ".") != 2 {
		return nil, errSegments
	}
	end := strings.LastIndexByte(token, '.')
	signed, signatureText := token[:end], token[end+1:]
	header, payload, _ := strings.Cut(signed, ".")

	keyID, err := parseHeader(header, algorithm)
	if err != nil {
		return nil, err
	}
	signature, err := decodeSegment(signatureText)
	if err != nil {
		return nil, err
	}
	key, err := keys.key(ctx, keyID)
	if err != nil {
		return nil, err
	}
	if key.algorithm != algorithm {
		return nil, errKeyType
	}
	if err := method(algorithm).Verify(signed, signature, key.public); err != nil {
		return nil, errSignature
	}
	claims, err := decodeSegment(payload)
	if err != nil {
		return nil, err
	}
	return ParseClaims(claims)
}

// parseHeader returns the key id of a header that says exactly what it may.
// Everything else that a header can hold changes how the rest is to be read (crit,
// b64, zip) or names a key of the sender's choice (jku, jwk, x5u, x5c).
func parseHeader(segment string, algorithm Algorithm) (keyID string, err error) {
	text, err := decodeSegment(segment)
	if err != nil {
		return "", err
	}
	header, err := ParseClaims(text)
	if err != nil {
		return "", err
	}
	if !header.Exactly("alg", "kid") && !header.Exactly("alg", "kid", "typ") {
		return "", errHeader
	}
	if alg, err := header.String("alg"); err != nil || alg != string(algorithm) {
		return "", errAlgorithm
	}
	if typ, err := header.String("typ"); header["typ"] != nil && (err != nil || typ != "JWT") {
		return "", errType
	}
	keyID, err = header.String("kid")
	if err != nil || keyID == "" || len(keyID) > maxKeyID {
		return "", errKeyID
	}
	return keyID, nil
}

// decodeSegment is strict: the decoder of the standard library skips line breaks,
// and unless told otherwise ignores the bits after the last byte, so that several
// texts would be one token.
func decodeSegment(segment string) ([]byte, error) {
	if strings.ContainsAny(segment, "\r\n") {
		return nil, errEncoding
	}
	decoded, err := base64.RawURLEncoding.Strict().DecodeString(segment)
	if err != nil {
		return nil, errEncoding
	}
	return decoded, nil
}

func method(a Algorithm) jwt.SigningMethod {
	if a == ES256 {
		return jwt.SigningMethodES256
	}
	return jwt.SigningMethodRS256
}
