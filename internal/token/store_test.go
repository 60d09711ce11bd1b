package token_test

import (
	"sync"
	"testing"
	"time"

	"jitaccess/internal/broker"
	"jitaccess/internal/broker/storetest"
	"jitaccess/internal/jose"
	"jitaccess/internal/token"
	"jitaccess/internal/token/localkey"
)

var _ broker.Store = (*token.Store)(nil)

const account = "jitaccess@ops-prod.iam.gserviceaccount.com"

// clock is a time that tests set.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// signer is shared: making a key is what takes time in these tests.
var signer = sync.OnceValue(func() *localkey.Signer {
	s, err := localkey.New()
	if err != nil {
		panic(err)
	}
	return s
})

func newStore(c *clock, change ...func(*token.Config)) *token.Store {
	config := token.Config{
		ServiceAccount: account,
		Signer:         signer(),
		Keys:           jose.NewKeySet(signer().KeySet, c.now),
		Now:            c.now,
	}
	for _, f := range change {
		f(&config)
	}
	return token.NewStore(config)
}

func TestStoreKeepsTheContract(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Fixture {
		c := newClock()
		return storetest.Fixture{Store: newStore(c), Now: c.now, Advance: c.advance}
	})
}
