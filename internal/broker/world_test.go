package broker_test

import (
	"crypto/rand"
	"errors"
	"regexp"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/broker/brokertest"
)

type world = brokertest.World

var (
	ana, ben, cho, dan = access.Principal("ana@example.com"), access.Principal("ben@example.com"), access.Principal("cho@example.com"), access.Principal("dan@example.com")
	shop               = access.Resource("projects/shop")
	viewer             = access.EntitlementID{Resource: shop, Role: "roles/viewer.logs"}
	admin              = access.EntitlementID{Resource: shop, Role: "roles/compute.admin"}
	narrow             = access.EntitlementID{Resource: shop, Role: "roles/compute.admin", Condition: `resource.name == "a"`}
)

func newWorld(t *testing.T) *world {
	w := brokertest.New(t, dawn)
	w.Lasting = true
	w.Listed = []access.ResourceInfo{{Resource: shop, Title: "Shop"}}
	w.Holdings = map[access.Principal][]access.Entitlement{
		ana: {brokertest.Peer(admin), brokertest.Self(viewer)}, ben: {brokertest.Peer(admin)}, cho: {brokertest.Peer(admin)},
	}
	w.Admins = []string{"user:dan@example.com", "group:ops@example.com"}
	w.Settings.Justification = regexp.MustCompile(`[A-Za-z0-9_ <>\[\]-]*`)
	return w
}

func caller(p access.Principal) access.Caller {
	return access.Caller{Principal: p, Subject: "s-" + string(p), Method: "iap"}
}

// is checks an error's kind and code.
func is(t *testing.T, err error, kind access.Kind, code access.Code) {
	t.Helper()
	var e *access.Error
	if !errors.As(err, &e) || e.Kind != kind || e.Code != code {
		t.Fatalf("got %v, want %s: %s", err, kind, code)
	}
}

// ask is a request that is in order; tests change what they are about.
func ask() broker.Ask {
	return broker.Ask{Resource: shop, Entitlements: []access.EntitlementID{admin}, Justification: "case 42", Duration: time.Hour,
		Reviewers: []string{"ben@example.com", "Cho@Example.com"}, Origin: "https://jit.example.com", Host: "jit.example.com"}
}

// formOf is a form that somebody opened when the clock of a new world began.
func formOf(p access.Principal, kind access.RequestKind) string {
	number, err := access.NewForm(rand.Reader, kind, p, dawn)
	if err != nil {
		panic(err)
	}
	return number
}

var dawn = time.Date(2026, 3, 1, 10, 0, 0, 500e6, time.UTC)

func selfAsk() broker.Ask {
	a := ask()
	a.Entitlements, a.Reviewers = []access.EntitlementID{viewer}, nil
	return a
}
