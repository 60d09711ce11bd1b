package jose

import (
	"crypto/hmac"
	"crypto/sha256"
)

// MinSecret is the shortest secret that verifies, in bytes: that of the hash, as RFC 7518,
// section 3.2, demands. A shorter one can be found by trying.
const MinSecret = sha256.Size

// VerifyShared checks that a token has an HS256 code by one of the secrets that its maker
// shares with the caller, and returns its claims and the index of the secret. secretsOf returns those that it may be by,
// from what the token says of itself, which nobody has verified then; secrets shorter than
// MinSecret count for nothing. The header says alg and at most typ, which is JWT, and kid, on
// which nothing depends.
//
// Only what was made for this is a secret here: no public key ever gets here.
func VerifyShared(token string, secretsOf func(Claims) [][]byte) (claims Claims, by int, err error) {
	s, err := split(token)
	if err != nil {
		return nil, 0, err
	}
	var f Form
	header, err := f.parse(s.header)
	if err != nil {
		return nil, 0, err
	}
	if err := checkSharedHeader(header); err != nil {
		return nil, 0, err
	}
	code, err := f.decode(s.signature)
	if err != nil {
		return nil, 0, err
	}
	if claims, err = f.parse(s.payload); err != nil {
		return nil, 0, err
	}
	for i, secret := range secretsOf(claims) {
		if len(secret) < MinSecret {
			continue
		}
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte(s.signed))
		if hmac.Equal(mac.Sum(nil), code) {
			return claims, i, nil
		}
	}
	return nil, 0, errSignature
}

// checkSharedHeader takes a header that says exactly what it may.
func checkSharedHeader(header Claims) error {
	known := 1
	for _, name := range []string{"typ", "kid"} {
		if header[name] != nil {
			known++
		}
	}
	algorithm, _ := header.String("alg")
	keyID, err := header.String("kid")
	switch {
	case header["alg"] == nil || len(header) != known:
		return errHeader
	case algorithm != string(HS256):
		return errAlgorithm
	case !header.absentOr("typ", "JWT"):
		return errType
	case header["kid"] != nil && (err != nil || len(keyID) > maxKeyID):
		return errKeyID
	}
	return nil
}
