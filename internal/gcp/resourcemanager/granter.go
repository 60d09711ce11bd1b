package resourcemanager

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/gcp/iampolicy"
)

// Standings answers a query from the policy that is about to be written.
type Standings interface {
	// Prepare makes every look-up that the query takes, except for the resource's
	// own policy. The function that it returns completes the answer from that
	// policy; it makes no calls and may be called several times.
	Prepare(ctx context.Context, q access.StandingQuery) (func(*iampolicy.Policy) access.Standing, error)
}

// Granter makes and ends grants as bindings of IAM policies. It implements the
// broker's port of that name and is safe for concurrent use.
type Granter struct {
	client    *Client
	standings Standings

	mu sync.Mutex
	// waiting has an entry for every policy that is being written: the edits that wait
	// for the write before theirs.
	waiting map[access.Resource][]*edit
}

// NewGranter makes a Granter. It makes no calls.
func NewGranter(client *Client, standings Standings) *Granter {
	return &Granter{client: client, standings: standings, waiting: map[access.Resource][]*edit{}}
}

// Preview returns the bindings that Grant would add. The error is why the first of
// those is missing that cannot be written.
func (g *Granter) Preview(grant access.Grant) ([]access.Effect, error) {
	var effects []access.Effect
	var failure error
	for _, id := range grant.Entitlements {
		text, err := iampolicy.Preview(grant, id)
		if err == nil {
			effects = append(effects, access.Effect{Title: string(id.Role), Text: text})
		} else if failure == nil {
			failure = access.AsError(err)
		}
	}
	return effects, failure
}

// Grant writes the grant; see broker.Granter for the contract. It takes 25 s at
// most. The standing that check gets shows nothing that this very call has written
// already, and warns when the policy is nearly full.
func (g *Granter) Grant(ctx context.Context, grant access.Grant, q access.StandingQuery,
	check func(access.Standing) error) ([]access.Outcome, error) {
	other := func(id access.EntitlementID) bool { return id.Resource != grant.Resource }
	if len(grant.Entitlements) == 0 || slices.ContainsFunc(grant.Entitlements, other) || q.Resource != grant.Resource {
		return nil, access.AsError(errors.New("a grant must be of entitlements of its own resource"))
	}
	ctx, cancel := context.WithTimeout(access.WithPurpose(ctx, access.ForAction), actionTimeout)
	defer cancel()
	var standing func(*iampolicy.Policy) access.Standing
	var unknown error
	prepare := func(ctx context.Context, since time.Time) {
		q.Since = since
		standing, unknown = g.standings.Prepare(ctx, q)
	}
	since := q.Since
	if prepare(ctx, since); unknown != nil {
		return nil, access.AsError(unknown)
	}
	return finish(g.submit(ctx, &edit{
		resource:  grant.Resource,
		principal: grant.Principal,
		grants:    true,
		since:     since,
		prepare:   prepare,
		describe: func(max int) string {
			text, err := iampolicy.Describe(grant, max)
			if err != nil { // the share is too small for the approvers' addresses
				text = fmt.Sprintf("For %s [%s]", grant.Principal, grant.RequestID)
			}
			return text
		},
		check: func(read *iampolicy.Policy, made []access.EntitlementID) error {
			if unknown != nil {
				return unknown
			}
			s := standing(read)
			s.Activations = slices.DeleteFunc(slices.Clone(s.Activations), func(a access.Activation) bool {
				return a.RequestID == grant.RequestID && a.Principal == grant.Principal && slices.Contains(made, a.Entitlement)
			})
			if w := read.NearlyFull(grant.Resource); w != nil {
				s.Warnings = append(slices.Clone(s.Warnings), w)
			}
			return check(s)
		},
		entitlements: func(*iampolicy.Policy) []access.EntitlementID { return grant.Entitlements },
		apply: func(p *iampolicy.Policy, id access.EntitlementID, now time.Time) (*iampolicy.Policy, access.Outcome) {
			return p.Grant(grant, id, now)
		},
	}))
}

// End ends a grant; see broker.Granter for the contract. It takes 25 s at most.
func (g *Granter) End(ctx context.Context, ending access.Ending) ([]access.Outcome, error) {
	ctx, cancel := context.WithTimeout(access.WithPurpose(ctx, access.ForEnd), actionTimeout)
	defer cancel()
	return finish(g.submit(ctx, &edit{
		resource:     ending.Resource,
		principal:    ending.Principal,
		since:        ending.Since,
		describe:     func(int) string { return iampolicy.DescribeEnding(ending) },
		entitlements: func(p *iampolicy.Policy) []access.EntitlementID { return p.Found(ending) },
		apply: func(p *iampolicy.Policy, id access.EntitlementID, now time.Time) (*iampolicy.Policy, access.Outcome) {
			return p.End(ending, id, now)
		},
	}))
}

// finish makes an error of it when nothing was done, and every error an
// *access.Error.
func finish(outcomes []access.Outcome, err error) ([]access.Outcome, error) {
	if err != nil {
		return nil, access.AsError(err)
	}
	if len(outcomes) == 0 || slices.ContainsFunc(outcomes, func(o access.Outcome) bool { return o.Result != access.Refused }) {
		return outcomes, nil
	}
	return outcomes, outcomes[0].Err
}
