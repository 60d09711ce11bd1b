// Package jose verifies JSON Web Tokens, strictly. What the standards leave open
// is closed here: algorithms that the caller names, a header that can say nothing
// but algorithm, key, type and what the caller expects, one way to write each byte,
// no JSON member twice, and a size that is capped before anything is looked at.
//
// A verified token is only a signed set of claims. Whose it is, for whom, until
// when and what for is the caller's to check: Claims are handed back exactly as
// they were signed, so that a caller can demand an exact set.
package jose

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"math/big"
	"slices"
	"strings"

	"github.com/golang-jwt/jwt/v5"
)

// Algorithm is a signature algorithm by its name in the token's header.
type Algorithm string

// Google signs with RS256 for service accounts, with ES256 for Identity-Aware Proxy. HS256
// is no signature, since whoever can verify one can make one: VerifyShared alone takes it.
const (
	RS256 Algorithm = "RS256"
	ES256 Algorithm = "ES256"
	HS256 Algorithm = "HS256"
)

// methods are how each verifies. Keys have no other algorithm; see parseKey.
var methods = map[Algorithm]jwt.SigningMethod{RS256: jwt.SigningMethodRS256, ES256: jwt.SigningMethodES256}

// MaxToken is the longest token that is looked at, in bytes.
const MaxToken = 8 << 10

// maxKeyID is the longest key id. Google's have 40 characters or fewer.
const maxKeyID = 128

// Why a token is refused. The texts carry nothing of the token.
var (
	errTooLong   = errors.New("token is longer than 8 KiB")
	errSegments  = errors.New("token does not have three segments")
	errEncoding  = errors.New("a segment of the token is not strict base64url")
	errHeader    = errors.New("header has members other than alg, kid and typ, or lacks one that is expected")
	errAlgorithm = errors.New("algorithm is not an expected one")
	errType      = errors.New("typ is not the expected one")
	errKeyID     = errors.New("kid is missing or malformed")
	errKeyType   = errors.New("the key named is not one for this algorithm")
	errSignature = errors.New("signature does not verify")
)

// Form is what tokens of one issuer look like. Algorithms are required.
type Form struct {
	// Algorithms are the only ones accepted.
	Algorithms []Algorithm
	// Header are the members that the header must have besides alg, kid and,
	// optionally, typ. What they say is for the caller to check. Members that change
	// how a token is to be read (crit, b64, zip) or name a key of the sender's choice
	// (jku, jwk, x5u, x5c) do not belong here.
	Header []string
	// Type is the typ that the header must have. Empty: it may have JWT, or none.
	Type string
	// Ours returns why a header does not say that the token is for the caller; nil is that
	// none has to. It is asked before a key is looked for, so that a token that does not even
	// claim to be theirs costs no call to the key server.
	Ours func(header Claims) error
	// Padded is for an issuer that ends segments with "=", and signs it with the rest.
	Padded bool
}

// Token is what was signed.
type Token struct {
	Header, Claims Claims
	// Key is what it was verified with: an *rsa.PublicKey or an *ecdsa.PublicKey.
	Key crypto.PublicKey
}

// Verify checks that the token was signed with the algorithm by one of the keys,
// and returns its claims. See Form.Verify.
func Verify(ctx context.Context, token string, algorithm Algorithm, keys Keys) (Claims, error) {
	t, err := Form{Algorithms: []Algorithm{algorithm}}.Verify(ctx, token, keys)
	return t.Claims, err
}

// Verify checks that the token has the form and a signature by one of the keys, no claim.
//
// An error that wraps ErrKeysUnavailable says nothing about the token: the key
// could not be had. Every other error means that the token is not valid; ErrUnknownKey
// that it may have been, while the issuer published its key.
func (f Form) Verify(ctx context.Context, token string, keys Keys) (Token, error) {
	return f.verify(token, func(id string) (publicKey, error) { return keys.key(ctx, id) })
}

// VerifyWith is Verify by one key, whatever its id: an *rsa.PublicKey of a size that is
// used (RS256), or an *ecdsa.PublicKey on P-256 (ES256). Whose it is, is for the caller
// to know.
func (f Form) VerifyWith(token string, public crypto.PublicKey) (Token, error) {
	key := publicKey{public: public}
	switch k := public.(type) {
	case *rsa.PublicKey:
		if !usableRSA(k.N, big.NewInt(int64(k.E))) {
			return Token{}, errKeyType
		}
		key.algorithm = RS256
	case *ecdsa.PublicKey:
		if k.Curve != elliptic.P256() {
			return Token{}, errKeyType
		}
		key.algorithm = ES256
	}
	return f.verify(token, func(string) (publicKey, error) { return key, nil })
}

func (f Form) verify(token string, keyOf func(id string) (publicKey, error)) (Token, error) {
	s, err := split(token)
	if err != nil {
		return Token{}, err
	}
	header, err := f.parse(s.header)
	if err != nil {
		return Token{}, err
	}
	algorithm, keyID, err := f.checkHeader(header)
	if err != nil {
		return Token{}, err
	}
	signature, err := f.decode(s.signature)
	if err != nil {
		return Token{}, err
	}
	key, err := keyOf(keyID)
	switch {
	case err != nil:
		return Token{}, err
	case key.algorithm != algorithm:
		return Token{}, errKeyType
	case methods[algorithm].Verify(s.signed, signature, key.public) != nil:
		return Token{}, errSignature
	}
	claims, err := f.parse(s.payload)
	if err != nil {
		return Token{}, err
	}
	return Token{header, claims, key.public}, nil
}

// read is a token that verify has taken, by its key.
func (f Form) read(token string, key publicKey) (Token, error) {
	s, err := split(token)
	if err != nil {
		return Token{}, err
	}
	header, err := f.parse(s.header)
	if err != nil {
		return Token{}, err
	}
	claims, err := f.parse(s.payload)
	return Token{header, claims, key.public}, err
}

// segments are those of a token, as they stand there; signed is the first two.
type segments struct{ header, payload, signature, signed string }

// split decodes nothing before the size and the number of segments are known, so that
// hostile input costs nothing (CVE-2025-30204).
func split(token string) (s segments, err error) {
	if len(token) > MaxToken {
		return s, errTooLong
	}
	if strings.Count(token, ".") != 2 {
		return s, errSegments
	}
	end := strings.LastIndexByte(token, '.')
	s.signed, s.signature = token[:end], token[end+1:]
	s.header, s.payload, _ = strings.Cut(s.signed, ".")
	return s, nil
}

// checkHeader takes a header that says exactly what it may.
func (f Form) checkHeader(header Claims) (algorithm Algorithm, keyID string, err error) {
	members := append([]string{"alg", "kid"}, f.Header...)
	name, _ := header.String("alg")
	keyID, _ = header.String("kid")
	switch algorithm = Algorithm(name); {
	case !header.Exactly(members...) && !header.Exactly(append(members, "typ")...):
		err = errHeader
	case !slices.Contains(f.Algorithms, algorithm):
		err = errAlgorithm
	case !f.typed(header):
		err = errType
	case keyID == "" || len(keyID) > maxKeyID:
		err = errKeyID
	case f.Ours != nil:
		err = f.Ours(header)
	}
	return algorithm, keyID, err
}

// typed is whether the header says the type that it must.
func (f Form) typed(header Claims) bool {
	if f.Type == "" {
		return header.absentOr("typ", "JWT")
	}
	t, _ := header.String("typ")
	return t == f.Type
}

func (f Form) parse(segment string) (Claims, error) {
	text, err := f.decode(segment)
	if err != nil {
		return nil, err
	}
	return ParseClaims(text)
}

// decode accepts one text for each value: the decoder of the standard library skips
// line breaks, and unless told otherwise ignores the bits after the last byte, so
// that several texts would be one token.
func (f Form) decode(segment string) ([]byte, error) {
	encoding := base64.RawURLEncoding
	if f.Padded {
		encoding = base64.URLEncoding
	}
	decoded, err := encoding.Strict().DecodeString(segment)
	if err != nil || strings.ContainsAny(segment, "\r\n") {
		return nil, errEncoding
	}
	return decoded, nil
}
