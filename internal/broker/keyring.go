package broker

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/passkey"
)

// KeysLife is for how long a page may rest on keys that were read before. What this instance
// did itself is seen at once, what another one did within so much. Nothing is decided, and
// nobody refused, by what is remembered.
const KeysLife = 10 * time.Second

// keyring is everybody's keys as they were read last, for pages.
type keyring struct {
	// turn is whoever's reads them: those who come meanwhile share what is read.
	turn chan struct{}
	mu   sync.Mutex
	keys []access.Passkey
	// damages are of those whose keys could not be read.
	damages access.Damages
	// read is when; zero where nothing is remembered. changes counts what this instance did
	// to keys, so that what was read before it is not kept.
	read    time.Time
	changes int
}

// changed forgets what was read.
func (k *keyring) changed() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.read = time.Time{}
	k.changes++
}

func (k *keyring) remembered(now time.Time) (keys []access.Passkey, damages access.Damages, fresh bool, changes int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	age := now.Sub(k.read)
	return k.keys, k.damages, !k.read.IsZero() && age >= 0 && age < KeysLife, k.changes
}

func (k *keyring) keep(keys []access.Passkey, damages access.Damages, read time.Time, changes int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.changes == changes {
		k.keys, k.damages, k.read = keys, damages, read
	}
}

// keysLately are everybody's keys, as of KeysLife ago at most, and of whom they cannot be read.
// The caller must not change them.
func (b *Broker) keysLately(ctx context.Context) ([]access.Passkey, access.Damages, error) {
	bounded, cancel := context.WithTimeout(ctx, memoryTime) // whoever is before us waits for the store
	defer cancel()
	select {
	case b.keyring.turn <- struct{}{}:
		defer func() { <-b.keyring.turn }()
	case <-bounded.Done():
		return nil, nil, &access.Error{Kind: access.Unavailable, Code: access.CodeLedgerUnavailable, Err: bounded.Err()}
	}
	now := b.c.Now()
	keys, damages, fresh, changes := b.keyring.remembered(now)
	if fresh {
		return keys, damages, nil
	}
	keys, damages, err := b.everybodysKeys(ctx)
	if err == nil {
		b.keyring.keep(keys, damages, now, changes)
	}
	return keys, damages, err
}

// DamagedPasskeys is nil where everybody's passkeys are as they were recorded, and nobody can
// enrol any; the error names whose are not (access.DamagesOf), or says that it is not known.
func (b *Broker) DamagedPasskeys(ctx context.Context) error {
	if !b.Passkeys() {
		return nil
	}
	_, damages, err := b.keysLately(ctx)
	return cmp.Or(err, damages.Err())
}

// shownKeys are signingKeys for a page. That there are none is looked at again.
func (b *Broker) shownKeys(ctx context.Context, p access.Principal, terms access.KeyTerms, at time.Time) ([]access.Passkey, error) {
	if keys, _, err := b.keysLately(ctx); err == nil {
		if good, err := passkey.Counting(keys, p, b.relyingParty(), terms, at); err == nil {
			return good, nil
		}
	}
	return b.signingKeys(ctx, p, terms, at)
}

// keyless are those of some people who have no key yet with which they could sign what the
// terms demand. Groups are not looked into. The warning is that it is not known of anybody.
func (b *Broker) keyless(ctx context.Context, people []access.Principal, terms access.Terms) ([]access.Principal, []*access.Error) {
	people = persons(people)
	if !terms.Signature || len(people) == 0 {
		return nil, nil
	}
	keys, _, err := b.keysLately(ctx)
	if err != nil {
		return nil, warningOf(err)
	}
	now := b.c.Now()
	return slices.DeleteFunc(people, func(p access.Principal) bool {
		_, err := passkey.Counting(keys, p, b.relyingParty(), terms.Keys, now)
		return err == nil
	}), nil
}

// Keyless are those who were asked to approve a request and have no passkey yet with which
// they could; nobody where that takes none, it is decided, or it is not known.
func (b *Broker) Keyless(ctx context.Context, r access.Request) []access.Principal {
	if r.StateAt(b.c.Now()) != access.Pending {
		return nil
	}
	all, _ := b.keyless(ctx, r.Reviewers, r.Terms)
	return all
}
