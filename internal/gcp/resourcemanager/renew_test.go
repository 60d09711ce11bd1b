package resourcemanager_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/gcp/iampolicy"
	"jitaccess/internal/gcp/resourcemanager"
)

// revoked are standings that change from one look to the next.
type revoked struct {
	after  int // looks
	looks  []time.Time
	failed error
}

func (r *revoked) Prepare(_ context.Context, q access.StandingQuery) (func(*iampolicy.Policy) access.Standing, error) {
	r.looks = append(r.looks, q.Since)
	held := len(r.looks) <= r.after
	if !held && r.failed != nil {
		return nil, r.failed
	}
	return func(*iampolicy.Policy) access.Standing {
		s := access.Standing{Holdings: map[access.Principal][]access.Entitlement{}}
		if held {
			s.Holdings["alice@example.com"] = []access.Entitlement{{}}
		}
		return s
	}, nil
}

// What a grant rests on besides the project's policy, folders and groups, is found out
// again for every attempt after the first, and for a first one that had to wait; whoever
// has lost it meanwhile is granted nothing. One look serves a first attempt that is made
// at once.
func TestEligibilityIsReadAgainForEveryAttempt(t *testing.T) {
	lost := &access.Error{Kind: access.NotAllowed, Code: access.CodeRequesterLost}
	away := &access.Error{Kind: access.Unavailable, Code: access.CodeUpstreamFailed}
	for rule, c := range map[string]struct {
		first  *fault
		waited time.Duration
		after  int
		failed error
		want   error
		looks  int
	}{
		"at once":                                    {nil, 0, 9, nil, nil, 1},
		"a conflict, and revoked":                    {&fault{status: 409, body: problem(409, "ABORTED", "again")}, 0, 1, nil, lost, 2},
		"a conflict, and nothing is revoked":         {&fault{status: 409, body: problem(409, "ABORTED", "again")}, 0, 9, nil, nil, 2},
		"a failure of Google, and revoked":           {&fault{status: 503, body: "busy"}, 0, 1, nil, lost, 2},
		"a conflict, and nobody says what they hold": {&fault{status: 409, body: problem(409, "ABORTED", "again")}, 0, 1, away, away, 2},
		"seven seconds after the action began":       {nil, 7 * time.Second, 1, nil, lost, 2},
	} {
		t.Run(rule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGoogle(t, foreign)
				g.onWrite = func(n int, _ string) *fault {
					if n == 1 {
						return c.first
					}
					return nil
				}
				looks := &revoked{after: c.after, failed: c.failed}
				grant := grantTo("alice@example.com", idA, "roles/run.admin")
				q := query(grant)
				q.Since = time.Now().Add(-c.waited)
				_, err := resourcemanager.NewGranter(clientOf(g), looks).Grant(t.Context(), grant, q, func(s access.Standing) error {
					if len(s.Holdings["alice@example.com"]) == 0 {
						return lost
					}
					return nil
				})
				if !errors.Is(err, c.want) || c.want == nil && err != nil || len(looks.looks) != c.looks || g.ofRequest(idA) > 0 != (c.want == nil) {
					t.Errorf("%v, %d looks, %d granted", err, len(looks.looks), g.ofRequest(idA))
				}
				for _, since := range looks.looks[1:] {
					if !since.After(q.Since) {
						t.Errorf("again as of %v, the action began at %v", since, q.Since)
					}
				}
			})
		})
	}
}
