package resourcemanager

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/gcp/iampolicy"
)

// edit is what one call of Grant or End wants changed in one policy.
type edit struct {
	asker    *asker
	resource access.Resource
	// principal is whose grant it is.
	principal access.Principal
	// grants is whether it grants something; otherwise it ends something.
	grants bool
	// since is when the action began that the edit is of.
	since time.Time
	// describe says in about max characters of printable ASCII what the edit is.
	describe func(max int) string
	// prepare makes the look-ups that check rests on, none of which may have been asked
	// before since. It is nil when there are none.
	prepare func(ctx context.Context, since time.Time)
	// check refuses the edit on the policy as read. made are the entitlements that
	// this very call has written already. It is nil when nothing can be refused.
	check func(read *iampolicy.Policy, made []access.EntitlementID) error
	// entitlements are what the edit is about in a policy.
	entitlements func(p *iampolicy.Policy) []access.EntitlementID
	// apply makes the edit for one entitlement.
	apply func(p *iampolicy.Policy, id access.EntitlementID, now time.Time) (*iampolicy.Policy, access.Outcome)
	// settle is called once, with what became of the edit.
	settle func([]access.Outcome, error)

	// made is what earlier writes of the same call have written.
	made []access.EntitlementID
	// last is what the last write that had this edit in it was to bring about.
	last []access.Outcome
	// unsure: of some write that had this edit in it nobody said what became of it.
	unsure bool
}

// try makes the edit on next, which is the policy as read with the edits of others
// on it. It returns done when nothing is to be written for this edit. inDoubt says
// that an earlier write may still come.
func (e *edit) try(read, next *iampolicy.Policy, now time.Time, inDoubt bool) (after *iampolicy.Policy, done bool) {
	e.asker.mu.Lock()
	defer e.asker.mu.Unlock()
	if e.asker.gone {
		return next, true
	}
	defer func() {
		if fault := recover(); fault != nil { // one edit must not take the others down
			e.settle(nil, fmt.Errorf("editing the policy of %s: %v", e.resource, fault))
			after, done = next, true
		}
	}()
	// Before check: what the lost write has done could make check refuse what
	// already stands.
	if e.settledBy(read, now) {
		return next, true
	}
	if e.check != nil {
		if err := e.check(read, e.made); err != nil {
			if inDoubt {
				err = unknown(e.resource, err)
			}
			e.settle(nil, err)
			return next, true
		}
	}
	after, outcomes := e.all(next, now)
	if after == next {
		// Nothing to write, unless that is so only for what others are about to.
		if same, alone := e.all(read, now); same == read {
			e.settle(alone, nil)
			return next, true
		}
	}
	e.last = outcomes
	e.asker.inFlight = true
	return after, false
}

// all makes the edit for all its entitlements, one after the other.
func (e *edit) all(p *iampolicy.Policy, now time.Time) (*iampolicy.Policy, []access.Outcome) {
	var outcomes []access.Outcome
	for _, id := range e.entitlements(p) {
		var o access.Outcome
		p, o = e.apply(p, id, now)
		outcomes = append(outcomes, o)
	}
	return p, outcomes
}

// settledBy settles the edit if it was in a write that nobody answered for and the
// policy shows all that this write was to bring about. Where what stands there is not
// what we wrote, somebody else was first.
func (e *edit) settledBy(read *iampolicy.Policy, now time.Time) bool {
	arrived := false
	outcomes := slices.Clone(e.last)
	for i, o := range outcomes {
		if o.Result != access.Granted && o.Result != access.Removed {
			continue
		}
		after, found := e.apply(read, o.Entitlement, now)
		if after != read || found.Result == access.Refused {
			return false
		}
		arrived = true
		if o.Result == access.Granted && found.Window != o.Window {
			outcomes[i] = found
		}
	}
	if !e.unsure || !arrived {
		return false
	}
	e.settle(outcomes, nil)
	return true
}

// landed says that the last write will not come. An asker may then leave with a
// clear answer, unless an earlier write of the same call stands.
func (e *edit) landed() {
	e.asker.mu.Lock()
	defer e.asker.mu.Unlock()
	e.asker.inFlight = len(e.made) > 0
}

// roles are the roles that the last write was to touch, each once, in order.
func (e *edit) roles() []access.Role {
	var roles []access.Role
	for _, o := range e.last {
		if !slices.Contains(roles, o.Entitlement.Role) {
			roles = append(roles, o.Entitlement.Role)
		}
	}
	return roles
}

// asker is a caller that waits for what becomes of its edit.
type asker struct {
	// deadline is when it stops waiting at the latest.
	deadline time.Time
	// purpose is what it asks for, and by who asks, where quotas are short.
	purpose  access.Purpose
	by       access.Principal
	done     chan struct{}
	outcomes []access.Outcome
	err      error

	mu sync.Mutex
	// gone: the caller has left. Its functions are not to be called any more.
	gone bool
	// inFlight: a write with the edit in it has begun and may succeed.
	inFlight bool
}

func (a *asker) settle(outcomes []access.Outcome, err error) {
	a.outcomes, a.err = outcomes, err
	close(a.done)
}

// wait returns what became of the edit. When ctx ends first, the edit is dropped
// if it is not being written; if it is, nobody here will know.
func (a *asker) wait(ctx context.Context, r access.Resource) ([]access.Outcome, error) {
	select {
	case <-a.done:
	case <-ctx.Done():
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	select {
	case <-a.done:
		return a.outcomes, a.err
	default:
	}
	a.gone = true
	if a.inFlight {
		return nil, unknown(r, ctx.Err())
	}
	return nil, &access.Error{Kind: access.TimedOut, Code: access.CodeDeadline, Err: ctx.Err()}
}
