package main

import (
	"context"
	"maps"
	"sync"
	"time"
)

// What was found out about the ledger is kept for wellFor where all was well, and for badFor where
// something was not, if each read is paid for: a look at all of it is a dozen, and anybody may ask
// every few seconds.
const (
	wellFor = 5 * time.Minute
	badFor  = time.Minute
)

// ledgerHealth is what health says of the ledger. Where reads are paid for, each time one read looks
// whether it can be reached, and all else is looked at seldom.
type ledgerHealth struct {
	paid      bool
	reachable func(context.Context) error
	// look finds out everything; where the ledger is out of reach, all of it has that error.
	look func(context.Context) map[string]error
	now  func() time.Time

	mu    sync.Mutex
	until time.Time
	found map[string]error
}

const ledgerIsReachable = "LedgerIsReachable"

// checks are what is known now. Of a ledger that is out of reach nothing is.
func (h *ledgerHealth) checks(ctx context.Context) map[string]error {
	if !h.paid {
		return h.look(ctx)
	}
	err := h.reachable(ctx)
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.now()
	if err == nil && now.Before(h.until) {
		return h.found
	}
	found := h.look(ctx)
	h.until = time.Time{}
	if err != nil {
		found[ledgerIsReachable] = err
	}
	if found[ledgerIsReachable] == nil {
		keep := wellFor
		for err := range maps.Values(found) {
			if err != nil {
				keep = badFor
			}
		}
		h.until, h.found = now.Add(keep), found
	}
	return found
}
