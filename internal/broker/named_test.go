package broker_test

import (
	"context"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/broker/brokertest"
)

// searching is a provider that can be searched.
type searching struct {
	broker.Provider
	found access.Named
	err   error
	until time.Time
}

func (s *searching) Named(ctx context.Context, _ access.Principal) (access.Named, error) {
	s.until, _ = ctx.Deadline()
	return s.found, s.err
}

// A search shows grants of the caller that give access now or are to, and takes seconds at
// most; what cannot be searched hides nothing else.
func TestNamedShowsTheCallersGrantsAlone(t *testing.T) {
	w := brokertest.New(t, dawn)
	grant := func(of access.Principal, begin, end time.Duration) access.Activation {
		return access.Activation{RequestID: "jit-AAAAAAAAAAAAAAAA", Principal: of, Window: access.Window{Start: dawn.Add(begin), End: dawn.Add(end)}}
	}
	s := &searching{found: access.Named{Activations: []access.Activation{grant(ana, 0, 2*time.Hour), grant(ben, 0, time.Hour), grant(ana, -2*time.Hour, -time.Hour),
		grant(ana, time.Hour, time.Hour), grant(ana, -time.Hour, time.Hour)}}}
	r := w.Registration()
	s.Provider, r.Provider = r.Provider, s
	found, searched, warnings := w.BrokerOf(r).Named(t.Context(), access.Caller{Principal: ana})
	if !searched || len(warnings) != 0 || len(found.Activations) != 2 || found.Activations[0].Window.End != dawn.Add(time.Hour) {
		t.Errorf("%+v, %t, %v", found, searched, warnings)
	}
	if left := time.Until(s.until); s.until.IsZero() || left > 5*time.Second {
		t.Errorf("it may take %v", left)
	}
	s.err = &access.Error{Kind: access.Upstream, Code: access.CodeServiceNotAllowed}
	if found, searched, warnings = w.BrokerOf(r).Named(t.Context(), access.Caller{Principal: ana}); !searched || len(warnings) != 1 || len(found.Activations) != 0 {
		t.Errorf("%+v, %t, %v", found, searched, warnings)
	}
	if _, searched, _ = w.Broker().Named(t.Context(), access.Caller{Principal: ana}); searched {
		t.Error("what cannot be searched was")
	}
}
