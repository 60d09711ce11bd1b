package config_test

import (
	"strings"
	"testing"

	"jitaccess/internal/config"
)

// A service for machines needs to know where people are, where it is itself, and what it
// shares with the other one.
func TestAServiceForMachines(t *testing.T) {
	good := map[string]string{"RESOURCE_SCOPE": "organizations/1", "K_SERVICE": "machines", "SERVE": "machines", "DATABASE_URL": "postgres://a@b/c", "SIGNING_KEY": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
		"PUBLIC_URL": "https://access.example.com", "MACHINES_URL": "https://machines.example.com/"}
	read := func(changes ...string) error {
		_, err := config.Read(func(name string) string {
			for i := 0; i < len(changes); i += 2 {
				if changes[i] == name {
					return changes[i+1]
				}
			}
			return good[name]
		})
		return err
	}
	if err := read(); err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string]string{"DATABASE_URL": "", "PUBLIC_URL": "", "MACHINES_URL": "", "SIGNING_KEY": "", "SERVE": "people", "WAITERS": "0"} {
		if err := read(name, bad); err == nil || !strings.Contains(err.Error(), name+" is") {
			t.Errorf("%s=%q: %v", name, bad, err)
		}
	}
	if err := read("MACHINES_URL", "machines.example.com"); err == nil {
		t.Error("MACHINES_URL is no origin")
	}
}
