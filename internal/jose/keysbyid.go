package jose

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"sync"
	"time"
)

const (
	// maxKeysByID is how many keys are kept. An issuer signs with one at a time.
	maxKeysByID = 16
	// maxNewIDs is for how many ids that were not seen before the key server is asked in a
	// pause, so that forged tokens do not become as many calls to it.
	maxNewIDs = 8
)

// FetchByID gets one key as PEM (RFC 7468). It returns ErrUnknownKey when the key server says
// that there is none of this id, and must return when ctx is done.
type FetchByID func(ctx context.Context, id string) ([]byte, error)

// KeysByID holds the public keys of an issuer that publishes each at an address of its own,
// as load balancers of AWS do. Each is kept, renewed and given up as those of a KeySet.
// Only ECDSA keys on P-256 are of use. Its methods may be called concurrently.
type KeysByID struct {
	fetch FetchByID
	ids   *regexp.Regexp
	now   func() time.Time

	mu    sync.Mutex
	sets  []*keyByID // the one that was used last is last
	asked []time.Time
}

type keyByID struct {
	id string
	*KeySet
}

// NewKeysByID makes KeysByID. Nothing is fetched for an id that does not match ids as a
// whole. now is the clock.
func NewKeysByID(fetch FetchByID, ids string, now func() time.Time) *KeysByID {
	return &KeysByID{fetch: fetch, ids: regexp.MustCompile(`^(?:` + ids + `)$`), now: now}
}

// Ready is that of the key that was used last. It is nil while none was: which one an issuer
// uses is only known from a token.
func (s *KeysByID) Ready(ctx context.Context) error {
	s.mu.Lock()
	used := slices.Clone(s.sets)
	s.mu.Unlock()
	if len(used) == 0 {
		return nil
	}
	return used[len(used)-1].Ready(ctx)
}

func (s *KeysByID) key(ctx context.Context, id string) (publicKey, error) {
	if !s.ids.MatchString(id) {
		return publicKey{}, ErrUnknownKey
	}
	set, err := s.set(id)
	if err != nil {
		return publicKey{}, err
	}
	key, err := set.key(ctx, id)
	if errors.Is(err, ErrUnknownKey) {
		// Asking for it again counts as asking for a new one.
		s.mu.Lock()
		defer s.mu.Unlock()
		s.sets = slices.DeleteFunc(s.sets, func(k *keyByID) bool { return k.KeySet == set })
		return publicKey{}, ErrUnknownKey
	}
	return key, err
}

// set returns that of an id, which is then the one that was used last.
func (s *KeysByID) set(id string) (*KeySet, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at := slices.IndexFunc(s.sets, func(k *keyByID) bool { return k.id == id }); at >= 0 {
		known := s.sets[at]
		s.sets = append(slices.Delete(s.sets, at, at+1), known)
		return known.KeySet, nil
	}
	now := s.now()
	s.asked = slices.DeleteFunc(s.asked, func(t time.Time) bool { return !within(now, t, pause) })
	if len(s.asked) == maxNewIDs {
		return nil, fmt.Errorf("%w: too many unknown ones were asked for within a minute", ErrKeysUnavailable)
	}
	s.asked = append(s.asked, now)
	if len(s.sets) == maxKeysByID {
		s.sets = slices.Delete(s.sets, 0, 1)
	}
	set := &KeySet{now: s.now,
		fetch: func(ctx context.Context) ([]byte, error) { return s.fetch(ctx, id) },
		parse: func(document []byte) (map[string]publicKey, error) { return parsePEM(id, document) }}
	s.sets = append(s.sets, &keyByID{id, set})
	return set, nil
}

// parsePEM reads a document that is one public key.
func parsePEM(id string, document []byte) (map[string]publicKey, error) {
	block, _ := pem.Decode(document)
	if block == nil || block.Type != "PUBLIC KEY" {
		return nil, errors.New("the document is not a public key as PEM")
	}
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	key, ok := parsed.(*ecdsa.PublicKey)
	if err != nil || !ok || key.Curve != elliptic.P256() {
		return nil, errors.New("the public key is not one on P-256")
	}
	return map[string]publicKey{id: {ES256, key}}, nil
}
