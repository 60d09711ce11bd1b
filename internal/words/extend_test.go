package words_test

import (
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/broker/brokertest"
)

const (
	twoHours  = `rules: [{name: r, terms: {max_duration: 2h, max_continuous: 2h}}]`
	threeDays = `rules: [{name: r, terms: {start_within: 3d, request_life: 3d}}]`
)

func person(p access.Principal) access.Caller { return access.Caller{Principal: p} }

// remembering is a situation in a world that remembers.
func remembering(happens func(*testing.T, *brokertest.World) error) func(*testing.T) error {
	return func(t *testing.T) error { return happens(t, ledgered(t)) }
}

// active is the number of a grant of ana's, for an hour.
func active(t *testing.T, w *brokertest.World) string {
	asked, err := w.Broker().Ask(t.Context(), person(ana), broker.Ask{Resource: shop, Entitlements: []access.EntitlementID{logs},
		Justification: "case 4711", Duration: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	w.Clock = w.Clock.Add(time.Minute)
	return asked.Request.ID
}
