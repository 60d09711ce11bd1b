package words_test

import (
	"context"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/pomerium"
	sandbox "jitaccess/internal/sandbox/pomerium"
)

// byPomerium has somebody granted something by a Pomerium Zero that is in trouble, and
// returns what becomes of it, warnings too.
func byPomerium(trouble func(*sandbox.Zero) error) func(*testing.T) error {
	return func(t *testing.T) error {
		clock := func() time.Time { return noon }
		zero, err := sandbox.New(sandbox.Options{Now: clock, Random: rand.NewChaCha8([32]byte{})})
		if err != nil {
			t.Fatal(err)
		}
		api := httptest.NewServer(zero.API())
		t.Cleanup(api.Close)
		if err := trouble(zero); err != nil {
			t.Fatal(err)
		}
		p, err := pomerium.New(pomerium.Config{Endpoint: api.URL, RefreshToken: zero.RefreshToken(), Organization: zero.Organization(),
			Cluster: zero.Cluster(), Now: clock, Sleep: func(context.Context, time.Duration) error { return nil },
			List: func(context.Context, access.Listing) (access.Listed, error) { return access.Listed{}, nil }})
		if err != nil {
			t.Fatal(err)
		}
		id := access.EntitlementID{Resource: "pomerium/jit-example", Role: pomerium.RoleAccess}
		outcomes, err := p.Grant(t.Context(), access.Grant{RequestID: "mpa-AAAAAAAAAAAAAAAA", Principal: ana, Resource: id.Resource,
			Entitlements: []access.EntitlementID{id}, Window: access.Window{Start: noon, End: noon.Add(time.Hour)}},
			access.StandingQuery{Resource: id.Resource, Principals: []access.Principal{ana}}, func(access.Standing) error { return nil })
		if err == nil {
			return outcomes[0].Waits
		}
		return err
	}
}

func twoPolicies(zero *sandbox.Zero) error {
	for range 2 {
		if _, err := zero.AddPolicy("jit-example", "[]"); err != nil {
			return err
		}
	}
	return nil
}

func aPolicyInYAML(zero *sandbox.Zero) error {
	_, err := zero.AddPolicy("jit-example", `"allow:"`)
	return err
}

func byHand(zero *sandbox.Zero) error {
	zero.ApplyByHand(true)
	return nil
}

func changesetsUnseen(zero *sandbox.Zero) error {
	zero.Fail(sandbox.Fault{Path: "/organizations/" + zero.Organization() + "/changesets", Status: http.StatusForbidden})
	return nil
}
