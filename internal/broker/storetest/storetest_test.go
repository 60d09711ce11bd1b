package storetest_test

import (
	"testing"
	"time"

	"jitaccess/internal/broker/brokertest"
	"jitaccess/internal/broker/storetest"
)

// The stores in memory show that the suite can be passed by one that remembers and
// by one that does not, and what the contract asks of them.
func TestStoresInMemoryKeepTheContract(t *testing.T) {
	for name, forgets := range map[string]bool{"remembers": false, "forgets": true} {
		t.Run(name, func(t *testing.T) {
			storetest.Run(t, func(t *testing.T) storetest.Fixture {
				now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
				store := brokertest.NewStore(func() time.Time { return now })
				store.Forgets = forgets
				return storetest.Fixture{Store: store, Now: store.Now, Advance: func(d time.Duration) { now = now.Add(d) }}
			})
		})
	}
}
