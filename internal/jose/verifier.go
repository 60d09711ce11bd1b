package jose

import (
	"context"
	"crypto/sha256"
	"sync"
)

// maxVerified is how many tokens a generation of a Verifier's memory holds.
const maxVerified = 500

// Verifier verifies tokens of one form by the keys of one issuer. To verify a signature
// costs more than all else that is done to refuse a request; so it remembers which texts
// it has verified, and by which key; a text is read again each time, which costs little. What it remembers holds as long as the issuer has
// that very key: it is asked for the key each time. Times are for the caller to check, each time. The
// memory is bounded: the texts are kept in two generations, and when the younger is full
// the elder is forgotten. Its methods may be called concurrently.
type Verifier struct {
	form Form
	keys Keys

	mu             sync.Mutex
	younger, elder map[[sha256.Size]byte]verified
}

// verified is by which key a token was verified.
type verified struct {
	id  string
	key publicKey
}

// NewVerifier makes a Verifier.
func NewVerifier(form Form, keys Keys) *Verifier {
	return &Verifier{form: form, keys: keys, younger: map[[sha256.Size]byte]verified{}}
}

// Verify is Form.Verify.
func (v *Verifier) Verify(ctx context.Context, token string) (Token, error) {
	if len(token) > MaxToken {
		return Token{}, errTooLong
	}
	text := sha256.Sum256([]byte(token))
	if known, is := v.known(text); is {
		// A key that was read again, be it the same, is another: then all is verified again.
		key, err := v.keys.key(ctx, known.id)
		if err != nil {
			return Token{}, err
		}
		if key == known.key {
			return v.form.read(token, known.key)
		}
	}
	var now verified
	t, err := v.form.verify(token, func(id string) (publicKey, error) {
		var err error
		now.id = id
		now.key, err = v.keys.key(ctx, id)
		return now.key, err
	})
	if err != nil {
		return Token{}, err
	}
	v.remember(text, now)
	return t, nil
}

func (v *Verifier) known(text [sha256.Size]byte) (verified, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if known, is := v.younger[text]; is {
		return known, true
	}
	known, is := v.elder[text]
	return known, is
}

func (v *Verifier) remember(text [sha256.Size]byte, now verified) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.younger) >= maxVerified {
		v.elder, v.younger = v.younger, map[[sha256.Size]byte]verified{}
	}
	v.younger[text] = now
}
