package jose

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	// keyLifetime is how long fetched keys are used. Google advises to look again
	// every 15 minutes.
	// https://cloud.google.com/iam/docs/reference/rest/v1/projects.serviceAccounts.keys
	keyLifetime = 15 * time.Minute
	// pause is the least time between two attempts for the same reason: because an
	// unknown key was named, or because the last attempt to renew failed. It keeps
	// forged tokens from becoming calls to the key server.
	pause = time.Minute
	// keysOutlive is how long keys are used when they cannot be renewed: a day is time to
	// notice, and what was withdrawn since must not sign for ever.
	keysOutlive = 24 * time.Hour
	// fetchTimeout bounds one attempt, whoever waits for it.
	fetchTimeout = 5 * time.Second
)

// ErrKeysUnavailable: a key could not be had, so that nothing is known about the token.
var ErrKeysUnavailable = errors.New("the verification keys cannot be had")

// ErrUnknownKey means that the issuer does not publish the key named, now.
var ErrUnknownKey = errors.New("no key of the issuer has this kid")

// Fetch gets the key set of one issuer as a JWKS document (RFC 7517). It must
// return when ctx is done.
type Fetch func(ctx context.Context) ([]byte, error)

// Keys are the public keys of one issuer: a KeySet, or KeysByID.
type Keys interface {
	// Ready returns nil while keys can be had; else see KeySet.Ready.
	Ready(ctx context.Context) error
	// key returns the key with the id. The error wraps ErrKeysUnavailable when it could not
	// be had, and is ErrUnknownKey when there is none.
	key(ctx context.Context, id string) (publicKey, error)
}

// KeySet holds the public keys of one issuer. Every issuer needs a KeySet of its
// own: key ids are unique within an issuer only (CVE-2026-49998). Its methods may
// be called concurrently.
//
// Keys are fetched on first use and again after 15 minutes; for an unknown key id
// at most once a minute. When that fails the last good keys stay in use, and the
// next attempt is a minute later, for 24 hours since they were fetched; after that there
// are none. Those who need keys at the same time share one
// fetch, which goes on when one of them gives up.
type KeySet struct {
	fetch Fetch
	parse func(document []byte) (map[string]publicKey, error)
	now   func() time.Time

	mu      sync.Mutex
	keys    map[string]publicKey // the last good ones; nil until there are any
	loaded  time.Time            // when keys was fetched
	renewed time.Time            // when it was last tried to renew them
	missed  time.Time            // when an unknown key id last caused a fetch
	failure error                // of the last attempt
	running chan struct{}        // closed when the fetch that is under way ends; nil when none is
}

// NewKeySet makes a KeySet. Nothing is fetched yet. now is the clock.
func NewKeySet(fetch Fetch, now func() time.Time) *KeySet {
	return &KeySet{fetch: fetch, parse: parseKeys, now: now}
}

// Ready returns nil when there are keys and the last attempt to fetch them
// succeeded. It fetches where that is due. The error wraps ErrKeysUnavailable when
// there are no keys, so that nothing can be verified; any other error means that the
// last good keys are in use, and says until when.
func (s *KeySet) Ready(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dropOld()
	s.await(ctx, s.keys != nil)
	switch {
	case s.keys == nil:
		return s.unavailable(ctx)
	case s.failure != nil:
		return fmt.Errorf("the keys cannot be renewed, and those of %s are used until %s: %w", s.loaded.UTC().Format(time.RFC3339),
			s.loaded.Add(keysOutlive).UTC().Format(time.RFC3339), s.failure)
	}
	return nil
}

// key returns the key with the id. The error wraps ErrKeysUnavailable when the
// key server could not be asked.
func (s *KeySet) key(ctx context.Context, id string) (publicKey, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dropOld()
	_, known := s.keys[id]
	s.await(ctx, known)
	if key, ok := s.keys[id]; ok {
		return key, nil
	}
	// Whether an unknown id is a forgery or a new key only the key server knows.
	if err := s.unavailable(ctx); err != nil {
		return publicKey{}, err
	}
	return publicKey{}, ErrUnknownKey
}

// dropOld forgets keys that may no longer be used. s.mu is held.
func (s *KeySet) dropOld() {
	if s.now().Sub(s.loaded) >= keysOutlive {
		s.keys = nil
	}
}

// unavailable is why the key server could not be asked, or nil. s.mu is held.
func (s *KeySet) unavailable(ctx context.Context) error {
	err := cmp.Or(ctx.Err(), s.failure)
	switch {
	case err == nil:
		return nil
	case s.keys == nil && !s.loaded.IsZero():
		return fmt.Errorf("%w, and those of %s are too old: %w", ErrKeysUnavailable, s.loaded.UTC().Format(time.RFC3339), err)
	}
	return fmt.Errorf("%w: %w", ErrKeysUnavailable, err)
}

// await starts a fetch where one is due, and waits for the one that is under way. known
// is whether what is looked for is there. It returns with s.mu held, as it was called.
func (s *KeySet) await(ctx context.Context, known bool) {
	now := s.now()
	fresh := s.keys != nil && within(now, s.loaded, keyLifetime)
	switch {
	case known && fresh:
		return
	case s.running != nil:
	case s.keys == nil:
	case !fresh && !within(now, s.renewed, pause):
		s.renewed = now
	case !known && !within(now, s.missed, pause):
		s.missed = now
	default:
		return
	}
	if s.running == nil {
		s.running = make(chan struct{})
		// The caller that happens to come first must not fail the others.
		go s.load(context.WithoutCancel(ctx))
	}
	if ctx.Err() != nil { // who is gone does not wait
		return
	}
	done := s.running
	s.mu.Unlock()
	defer s.mu.Lock()
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// load fetches the keys once, and keeps the old ones when that fails.
func (s *KeySet) load(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	document, err := s.fetch(ctx)
	var keys map[string]publicKey
	if err == nil {
		keys, err = s.parse(document)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		s.keys, s.loaded = keys, s.now()
	}
	if errors.Is(err, ErrUnknownKey) {
		s.keys = nil // it was withdrawn
	}
	s.failure = err
	close(s.running)
	s.running = nil
}

// within is whether less than d has passed since t, and no clock was set back.
func within(now, t time.Time, d time.Duration) bool {
	age := now.Sub(t)
	return age >= 0 && age < d
}
