package passkey

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"

	"jitaccess/internal/access"
)

// Flags of authenticator data (https://www.w3.org/TR/webauthn-3/#authdata-flags).
const (
	userPresent  = 1 << 0
	userVerified = 1 << 2
	mayBeSynced  = 1 << 3
	hasKey       = 1 << 6
)

// authenticatorData begins with the SHA-256 of the relying party, the flags and a counter
// (https://www.w3.org/TR/webauthn-3/#sctn-authenticator-data).
const authenticatorHead = sha256.Size + 1 + 4

// maxPart bounds each part of an assertion, in bytes.
const maxPart = 8 << 10

// Verify is nil where the key of the assertion has signed the statement, for the relying
// party that the assertion names, on a page of it, with the user verified. That the key is
// somebody's is not its matter, nor whether the counter goes forward.
func Verify(a access.Assertion, s Statement) error {
	if max(len(a.AuthenticatorData), len(a.ClientData), len(a.Signature), len(a.PublicKey), len(a.Credential)) > maxPart {
		return errors.New("there is more in it than in any assertion")
	}
	if !bytes.Equal(a.Nonce, s.Nonce) || !a.At.Equal(s.At) {
		return errors.New("it is of another nonce")
	}
	if err := clientData(a.ClientData, "webauthn.get", s.Challenge(), a.RelyingParty); err != nil {
		return err
	}
	if err := authenticator(a.AuthenticatorData, a.RelyingParty); err != nil {
		return err
	}
	clientDigest := sha256.Sum256(a.ClientData)
	return signed(a.PublicKey, append(bytes.Clone(a.AuthenticatorData), clientDigest[:]...), a.Signature)
}

// Counter is that of an assertion: how often the authenticator has signed, or 0 where it
// does not count.
func Counter(a access.Assertion) uint32 {
	if len(a.AuthenticatorData) < authenticatorHead {
		return 0
	}
	return binary.BigEndian.Uint32(a.AuthenticatorData[sha256.Size+1:])
}

// Synced is whether the key of an assertion may be on other devices too, as the key has
// signed it (backup eligibility).
func Synced(a access.Assertion) bool {
	return len(a.AuthenticatorData) < authenticatorHead || a.AuthenticatorData[sha256.Size]&mayBeSynced != 0
}

// clientData reads what the browser says of where and for what it asked
// (https://www.w3.org/TR/webauthn-3/#dictionary-client-data). Browsers add members.
func clientData(text []byte, kind string, challenge []byte, relyingParty string) error {
	var said struct {
		Type, Challenge, Origin, TopOrigin string
		CrossOrigin                        bool
	}
	if err := json.Unmarshal(text, &said); err != nil {
		return fmt.Errorf("the client data cannot be read: %w", err)
	}
	got, err := base64.RawURLEncoding.DecodeString(said.Challenge)
	switch {
	case said.Type != kind:
		return fmt.Errorf("it is %q and not %q", said.Type, kind)
	case err != nil || !bytes.Equal(got, challenge):
		return errors.New("it is of another challenge")
	case said.CrossOrigin || said.TopOrigin != "":
		return errors.New("it was made within a page of another site")
	}
	return Origin(said.Origin, relyingParty)
}

// Origin is nil for an origin whose host is the relying party: with https, or where the
// service tries itself out, http on localhost.
func Origin(origin, relyingParty string) error {
	u, err := url.Parse(origin)
	if err != nil || relyingParty == "" || u.Hostname() != relyingParty || u.Host == "" || origin != u.Scheme+"://"+u.Host ||
		u.Scheme != "https" && !(u.Scheme == "http" && relyingParty == "localhost") {
		return fmt.Errorf("it was made at %q and not at %q", origin, relyingParty)
	}
	return nil
}

func authenticator(data []byte, relyingParty string) error {
	party := sha256.Sum256([]byte(relyingParty))
	switch {
	case len(data) < authenticatorHead:
		return errors.New("the authenticator data is cut off")
	case !bytes.Equal(data[:sha256.Size], party[:]):
		return errors.New("it is for another relying party")
	case data[sha256.Size]&userPresent == 0:
		return errors.New("nobody was there")
	case data[sha256.Size]&userVerified == 0:
		return errors.New("the user was not verified")
	}
	return nil
}

// signed verifies by the algorithms that are offered when a key is enrolled: ES256, EdDSA
// and RS256 (https://www.iana.org/assignments/cose/cose.xhtml#algorithms).
func signed(public, text, signature []byte) error {
	key, err := parseKey(public)
	if err != nil {
		return err
	}
	digest, good := sha256.Sum256(text), false
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		good = ecdsa.VerifyASN1(key, digest[:], signature)
	case ed25519.PublicKey:
		good = ed25519.Verify(key, text, signature)
	case *rsa.PublicKey:
		good = rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], signature) == nil
	}
	if !good {
		return errors.New("the signature is not of this key")
	}
	return nil
}

// RSA keys have so many bits.
const (
	minRSA = 2048
	maxRSA = 8192
)

// parseKey reads a key of those that are accepted.
func parseKey(public []byte) (any, error) {
	key, err := x509.ParsePKIXPublicKey(public)
	if err != nil {
		return nil, fmt.Errorf("the key cannot be read: %w", err)
	}
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		if key.Curve == elliptic.P256() {
			return key, nil
		}
	case ed25519.PublicKey:
		return key, nil
	case *rsa.PublicKey:
		if bits := key.N.BitLen(); bits >= minRSA && bits <= maxRSA {
			return key, nil
		}
	}
	return nil, errors.New("the key is none of those that are accepted")
}
