// Package seal encrypts small texts that the service must read again: AES-256-GCM with a key
// that is derived for one purpose. What was sealed opens for that purpose, in the context that
// it was sealed in, and nowhere else.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
)

const (
	// leastSecret is how many bytes a secret has at least.
	leastSecret = 32
	// idLength is how many bytes the id of a key has, which begins whatever it has sealed.
	idLength = 4
)

// Sealer seals with the newest of its keys and opens with any. It may be used concurrently.
type Sealer struct{ keys []key }

type key struct {
	id   string
	aead cipher.AEAD
}

// ErrOtherKey: it was sealed with a key, or for a purpose, that the Sealer does not have.
var ErrOtherKey = errors.New("it is sealed with a key that is not there")

var errChanged = errors.New("it was changed, or sealed in another context")

// New makes a Sealer. secrets are 32 bytes or more each, the newest first; purpose is what is
// sealed, with a version. The error has nothing of the secrets.
func New(secrets [][]byte, purpose string) (*Sealer, error) {
	var s Sealer
	for i, secret := range secrets {
		if len(secret) < leastSecret {
			return nil, fmt.Errorf("key number %d has less than %d bytes", i+1, leastSecret)
		}
		derived, err := hkdf.Key(sha256.New, secret, nil, purpose, 32+idLength)
		if err != nil {
			return nil, err
		}
		block, err := aes.NewCipher(derived[:32])
		if err != nil {
			return nil, err
		}
		aead, err := cipher.NewGCMWithRandomNonce(block)
		if err != nil {
			return nil, err
		}
		s.keys = append(s.keys, key{string(derived[32:]), aead})
	}
	if len(s.keys) == 0 {
		return nil, errors.New("there is no key")
	}
	return &s, nil
}

// Seal encrypts plain with the newest key. It opens only in the same context. Callers that
// bind several names must join them so that no two lists of names are the same text.
func (s *Sealer) Seal(plain []byte, context string) []byte {
	newest := s.keys[0]
	return newest.aead.Seal([]byte(newest.id), nil, plain, []byte(context))
}

// Open decrypts what was sealed in this context; older is whether another key than the newest
// had sealed it. The error is ErrOtherKey where that key is not there.
func (s *Sealer) Open(sealed []byte, context string) (plain []byte, older bool, err error) {
	if len(sealed) < idLength {
		return nil, false, errChanged
	}
	for i, k := range s.keys {
		if k.id != string(sealed[:idLength]) {
			continue
		}
		plain, err := k.aead.Open(nil, nil, sealed[idLength:], []byte(context))
		if err != nil {
			return nil, false, errChanged
		}
		return plain, i > 0, nil
	}
	return nil, false, ErrOtherKey
}
