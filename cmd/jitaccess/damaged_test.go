package main

import (
	"crypto/rand"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/application/managed"
	"jitaccess/internal/ledger"
	"jitaccess/internal/ledger/relational"
	"jitaccess/internal/seal"
)

// Health names the application that is damaged, and no other; what is kept of others is read.
func TestHealthNamesWhatIsDamaged(t *testing.T) {
	home, err := relational.SQLite(filepath.Join(t.TempDir(), "jitaccess.db"))
	if err == nil {
		err = home.Migrate(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { home.Close() })
	keys, err := ledger.NewKeys(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	sealer, err := seal.New([][]byte{make([]byte, 32)}, managed.Purpose)
	if err != nil {
		t.Fatal(err)
	}
	store := ledger.New(ledger.Config{Home: home, Signer: keys, Now: time.Now, Random: rand.Reader})
	health := func() error {
		return damagedApplications(t.Context(), managed.New(managed.Config{Deeds: applicationDeeds{store}, Sealer: sealer, Now: time.Now, Random: rand.Reader}))
	}
	deed := func(of, body string) {
		t.Helper()
		if err := (applicationDeeds{store}).Append(t.Context(), managed.Deed{Of: of, Number: 1, By: "ana@example.com", Body: []byte(body)}); err != nil {
			t.Fatal(err)
		}
	}
	deed("shop", `{"do":"set","app":{"uri":"https://shop.example.com","active":true}}`)
	if err := health(); err != nil {
		t.Fatal(err)
	}
	deed("deployer", `{"do":"nothing that is known"}`)
	err = health()
	damages := access.DamagesOf(err)
	if len(damages) != 1 || damages[0].Of != "deployer" || !strings.Contains(err.Error(), "deployer") {
		t.Errorf("%v", err)
	}
}
