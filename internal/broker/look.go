package broker

import (
	"context"
	"slices"
	"time"

	"jitaccess/internal/access"
)

// look asks what people hold and has the answer judged. A refusal never rests on what
// is remembered: before anybody is told that they may not, the same is asked once
// more, as of begun, when this look began. What cannot be asked is the error, and no
// refusal.
func (b *Broker) look(ctx context.Context, caller access.Caller, q access.StandingQuery, begun time.Time,
	judge func(access.Standing) error) (standing access.Standing, refusal, err error) {
	standing, err = b.standing(ctx, caller, q)
	if err != nil {
		return standing, nil, err
	}
	if refusal = judge(standing); !q.Since.IsZero() || !notAllowed(refusal) {
		return standing, refusal, nil
	}
	q.Since = begun
	if standing, err = b.standing(ctx, caller, q); err != nil {
		return standing, nil, err
	}
	return standing, judge(standing), nil
}

func notAllowed(err error) bool { return err != nil && access.AsError(err).Kind == access.NotAllowed }

// candidates may review all of the entitlements, of the same standing, for a request
// of the requester: sorted, without them.
func candidates(s access.Standing, requester access.Principal, ids []access.EntitlementID) []access.Principal {
	return slices.DeleteFunc(slices.Clone(s.Reviewers[ids[0]]), func(p access.Principal) bool {
		return p == requester || slices.ContainsFunc(ids, func(id access.EntitlementID) bool { return !slices.Contains(s.Reviewers[id], p) })
	})
}
