package ledger

import (
	"context"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
)

// Signature is over the Text of an entry.
type Signature struct {
	// Algorithm says how Bytes came to be: "Ed25519", over Text itself, or "RS256 JWT", a
	// token with a digest of Text.
	Algorithm string
	// Key is the fingerprint of the public key: SHA-256 of Public, in hexadecimal.
	Key string
	// Public is the key, for those who only read. It is never trusted to grant. Of RS256 it
	// is in the form PKIX.
	Public []byte
	Bytes  []byte
}

// Signer signs entries, and says whose signatures are ours. It may be called
// concurrently.
type Signer interface {
	// Sign signs a text. Errors may be *access.Error: what signs may be out of reach.
	Sign(ctx context.Context, text []byte) (Signature, error)
	// Verify is nil for a signature that one of our own keys made. The error is
	// errForeignKey where another key is named, or the key is not ours any more; it is an
	// *access.Error where that cannot be found out now.
	Verify(ctx context.Context, text []byte, s Signature) error
}

// errForeignKey means that a signature is not by a key of ours, now.
var errForeignKey = errors.New("signed with a key that this service does not have")

// errAged is the errForeignKey of what a key of ours has signed longer than AccountLife ago.
var errAged = fmt.Errorf("%w any more: it is older than %v", errForeignKey, AccountLife)

const algorithm = "Ed25519"

// Keys sign with keys derived from secrets that only the service has.
type Keys struct {
	private []ed25519.PrivateKey
}

// secretLength is how long a secret is at least, in bytes.
const secretLength = 32

// NewKeys derives keys from secrets of 32 bytes or more, the newest first: that one
// signs, all of them verify. At least one is needed.
func NewKeys(secrets ...[]byte) (*Keys, error) {
	if len(secrets) == 0 {
		return nil, errors.New("no key to sign with")
	}
	k := &Keys{}
	for _, secret := range secrets {
		if len(secret) < secretLength {
			return nil, fmt.Errorf("a key to sign with has %d bytes, and needs %d", len(secret), secretLength)
		}
		seed, err := hkdf.Key(sha256.New, secret, nil, "jitaccess approval Ed25519 1", ed25519.SeedSize)
		if err != nil {
			return nil, err
		}
		k.private = append(k.private, ed25519.NewKeyFromSeed(seed))
	}
	return k, nil
}

// Sign implements Signer.
func (k *Keys) Sign(_ context.Context, text []byte) (Signature, error) {
	public := k.public(0)
	return Signature{Algorithm: algorithm, Key: fingerprint(public), Public: public, Bytes: ed25519.Sign(k.private[0], text)}, nil
}

// Verify implements Signer.
func (k *Keys) Verify(_ context.Context, text []byte, s Signature) error {
	at := slices.IndexFunc(k.private, func(key ed25519.PrivateKey) bool { return fingerprint(key.Public().(ed25519.PublicKey)) == s.Key })
	if at < 0 {
		return errForeignKey
	}
	return verify(text, s, k.public(at))
}

// Fingerprints are those of the keys, the newest first. The service writes them into
// its journal, where nobody who may only write the database can change them.
func (k *Keys) Fingerprints() []string {
	var all []string
	for i := range k.private {
		all = append(all, fingerprint(k.public(i)))
	}
	return all
}

func (k *Keys) public(i int) ed25519.PublicKey { return k.private[i].Public().(ed25519.PublicKey) }

func fingerprint(public []byte) string { return fmt.Sprintf("%x", sha256.Sum256(public)) }

// verify holds a signature against a key.
func verify(text []byte, s Signature, public []byte) error {
	switch {
	case s.Algorithm == tokenAlgorithm:
		return tokenVerified(text, s, public)
	case s.Algorithm != algorithm || len(public) != ed25519.PublicKeySize:
		return fmt.Errorf("signed with %q, which is not known", s.Algorithm)
	case !ed25519.Verify(public, text, s.Bytes):
		return errors.New("the signature is not of this text")
	}
	return nil
}

// attested holds a signature against the key that stands beside it, and says nothing
// about whose that is.
func attested(text []byte, s Signature) error {
	if fingerprint(s.Public) != s.Key {
		return errors.New("the key is not the one that the signature names")
	}
	return verify(text, s, s.Public)
}
