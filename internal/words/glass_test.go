package words_test

import (
	"crypto/rand"
	mathrand "math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/broker/brokertest"
	"jitaccess/internal/ledger"
	"jitaccess/internal/ledger/relational"
)

// ledgered is a world that remembers in a database.
func ledgered(t *testing.T) *brokertest.World {
	store, err := relational.SQLite(filepath.Join(t.TempDir(), "jitaccess.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	keys, err := ledger.NewKeys(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	w.Random = mathrand.NewChaCha8([32]byte{}) // the golden file has a number
	now := func() time.Time { return w.Clock }
	w.Ledger = ledger.New(ledger.Config{Home: store, Signer: keys, Now: now, Random: rand.Reader})
	return w
}

// breaking has ana break the glass under a rule that lets her, where requests are
// remembered, changed by what is wrong; then happens what is to happen.
func breaking(code access.Code, change func(*brokertest.World), then func(*testing.T, *brokertest.World, broker.Asked) error) func(*testing.T) error {
	return func(t *testing.T) error {
		w := ledgered(t)
		w.Policy = refined(w, `rules: [{name: production, terms: {break_glass:
  {who: ["user:ana@example.com"], max_duration: 1h, review_by: ["user:ben@example.com", "user:cho@example.com"]}}}]`)
		if change != nil {
			change(w)
		}
		asked, err := w.Broker().Ask(t.Context(), access.Caller{Principal: ana}, emergency())
		if then != nil && err == nil {
			err = then(t, w, asked)
		}
		return the(code, err, asked.Warnings)
	}
}

func emergency() broker.Ask {
	return broker.Ask{Kind: access.BreakGlass, Resource: shop, Entitlements: []access.EntitlementID{admin}, Justification: "everything is down",
		Duration: time.Hour, Origin: "https://jit.example.com", Host: "jit.example.com"}
}

// reviewing is a review of the broken glass by somebody.
func reviewing(t *testing.T, w *brokertest.World, asked broker.Asked, by access.Principal) error {
	_, _, err := w.Broker().ReviewGlass(t.Context(), access.Caller{Principal: by}, asked.Request.ID, "fine", "")
	return err
}
