package broker

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"jitaccess/internal/access"
)

// SurveyCount is of how many resources a survey looks at the grants that stand.
const SurveyCount = 20

// survey is where this instance's surveys have come to. What was made while the ledger was
// out of reach, by a service that keeps no ledger, or before there was one, is found by
// looking at one resource after the other.
type survey struct {
	mu   sync.Mutex
	left []access.Resource
	// known are grants of which the ledger is known to know, until they end.
	known map[grantKey]time.Time
	// newest is when the newest request was made that this process has seen in the ledger.
	newest time.Time
}

// grantKey is whose grant it is, and of which request: the id alone is anybody's to write.
type grantKey struct {
	id    string
	of    access.Principal
	on    access.Resource
	end   time.Time
	roles int
}

// Surveyed counts what a survey did.
type Surveyed struct {
	// Looked are the resources that were looked at, Unread those that could not be, TakenIn
	// the grants that nobody here had made. Left is how many resources are still to come in
	// this round.
	Looked, Unread, TakenIn, Left int
	// Cause is why the first of those could not be looked at that could not.
	Cause error
	// Doubts are why the ledger may be an older copy of itself.
	Doubts []string
}

// Survey looks at the grants that stand on some resources, where the last one ended, and
// takes in those that the ledger does not know: it records each in the journal, and then
// as a request that nobody here has made or approved. It says so too (Cautions) where the
// ledger seems to be an older copy. Where nothing is remembered there is nothing to do.
//
// A round begins at a resource that is chosen at random, so that processes which live for
// a short while come to all of them.
func (b *Broker) Survey(ctx context.Context, most int) (Surveyed, error) {
	var done Surveyed
	m := b.memory()
	if m == nil {
		return done, nil
	}
	b.survey.mu.Lock()
	defer b.survey.mu.Unlock()
	before, err := b.older(ctx, m, &done)
	if err != nil {
		return done, err
	}
	if len(b.survey.left) == 0 {
		if b.survey.left, err = b.everyResource(ctx); err != nil {
			return done, err
		}
	}
	for ends := b.c.Now().Add(sweepTime); len(b.survey.left) > 0 && done.Looked < most && b.c.Now().Before(ends) && ctx.Err() == nil; {
		on := b.survey.left[0]
		err := b.surveyOf(ctx, m, on, before, &done)
		if codeOf(err) == access.CodeLedgerUnavailable {
			return done, err
		}
		b.survey.left = b.survey.left[1:]
		done.Looked++
		if err != nil {
			if done.Unread++; done.Cause == nil {
				done.Cause = err
			}
		}
	}
	done.Left = len(b.survey.left)
	return done, nil
}

// everyResource are all resources, from one that is chosen at random.
func (b *Broker) everyResource(ctx context.Context) ([]access.Resource, error) {
	infos, _, err := b.Resources(ctx, system)
	if err != nil || len(infos) == 0 {
		return nil, err
	}
	var first [2]byte
	if _, err := b.c.Random.Read(first[:]); err != nil {
		return nil, err
	}
	at := (int(first[0])<<8 | int(first[1])) % len(infos)
	return access.Each(slices.Concat(infos[at:], infos[:at]), func(i access.ResourceInfo) access.Resource { return i.Resource }), nil
}

// surveyOf takes in the grants of one resource that the ledger does not know. before is
// when the ledger's newest request was made when the survey began. It takes actionTime at most.
func (b *Broker) surveyOf(ctx context.Context, m Memory, on access.Resource, before time.Time, done *Surveyed) error {
	ctx, cancel := context.WithTimeout(ctx, actionTime)
	defer cancel()
	standing, err := b.standing(ctx, system, access.StandingQuery{Resource: on})
	if err != nil {
		return err
	}
	now := b.c.Now()
	var failed error
	for _, r := range grants(standing, func(a access.Activation) bool {
		// A broken glass that is over waits for its review all the same.
		return now.Before(a.Window.End) || access.KindOfID(a.RequestID) == access.BreakGlass
	}) {
		key := grantKey{r.ID, r.Principal, on, r.Window.End, len(r.Entitlements)}
		if _, known := b.survey.known[key]; known {
			continue
		}
		err := b.surveyGrant(ctx, m, r, standing, before, done)
		if codeOf(err) == access.CodeLedgerUnavailable {
			return err
		}
		if err != nil { // whoever wrote this one hides no other
			failed = cmp.Or(failed, err)
			continue
		}
		if b.survey.known == nil {
			b.survey.known = map[grantKey]time.Time{}
		}
		b.survey.known[key] = r.Window.End
	}
	maps.DeleteFunc(b.survey.known, func(_ grantKey, end time.Time) bool { return now.After(end.Add(access.LinkLife)) })
	return failed
}

// surveyGrant takes in one grant, unless it is of a request that the ledger knows.
func (b *Broker) surveyGrant(ctx context.Context, m Memory, r access.Request, s access.Standing, before time.Time, done *Surveyed) error {
	kind, _, stored, err := b.hold(ctx, m, r, s)
	switch {
	case err != nil:
		return err
	case kind == access.OtherGrant, kind == access.LiveAgain && stored.State == access.Failed:
		// Somebody has written the id of one grant into another, or of what came to nothing.
		r.ID = copyOf(r)
		return b.surveyGrant(ctx, m, r, s, time.Time{}, done)
	case kind == access.NotRemembered:
		if err := b.takeIn(ctx, r); err != nil {
			return err
		}
		if done.TakenIn++; !before.IsZero() && r.Window.Start.After(before) {
			return b.doubt(ctx, m, done, "grant "+r.ID+" is newer than all that is remembered")
		}
	case kind == access.NotDecided:
		return b.doubt(ctx, m, done, "grant "+r.ID+" stands, and its request is "+string(stored.State))
	}
	return nil // it is known, damaged or not
}

// of is whether a grant is one of a request that is remembered.
func of(stored, found access.Request) bool {
	return stored.Principal == found.Principal && stored.Resource == found.Resource &&
		!slices.ContainsFunc(found.Entitlements, func(id access.EntitlementID) bool { return !slices.Contains(stored.Entitlements, id) })
}

// copyOf is the id under which a grant is taken in that carries another's.
func copyOf(r access.Request) string {
	sum := sha256.Sum256([]byte("jitaccess copied grant " + r.FullDigest()))
	return access.RequestIDOf(r.Kind, [12]byte(sum[:12]))
}

func codeOf(err error) access.Code {
	if err == nil {
		return ""
	}
	return access.AsError(err).Code
}

// liveGrants are the grants of a resource that give access now, or are to.
func liveGrants(s access.Standing, now time.Time) []access.Request {
	return grants(s, func(a access.Activation) bool { return now.Before(a.Window.End) })
}

// lastMoment is the last second that JSON can say, and so that can be recorded.
var lastMoment = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)

// grants are those of a resource that give access at some time, as requests: what their
// bindings say, and no more. Nobody is called an approver of them, nor was anybody asked.
// want chooses.
func grants(s access.Standing, want func(access.Activation) bool) []access.Request {
	var all []access.Request
	for _, a := range s.Activations {
		if a.Window.End.After(lastMoment) { // somebody has written it by hand
			a.Window.End = lastMoment
		}
		if a.Window.Length() <= 0 || !want(a) {
			continue
		}
		at := slices.IndexFunc(all, func(r access.Request) bool { return r.ID == a.RequestID && r.Principal == a.Principal })
		if at < 0 {
			at = len(all)
			all = append(all, access.Request{ID: a.RequestID, Kind: access.KindOfID(a.RequestID), Principal: a.Principal, Resource: s.Resource,
				Justification: a.Justification, Created: a.Window.Start, Expires: a.Window.End, Window: a.Window})
		}
		r := &all[at]
		if !slices.Contains(r.Entitlements, a.Entitlement) {
			r.Entitlements = append(r.Entitlements, a.Entitlement)
			slices.SortFunc(r.Entitlements, access.CompareEntitlementIDs)
		}
		if a.Window.Start.Before(r.Window.Start) {
			r.Window.Start, r.Created = a.Window.Start, a.Window.Start
		}
		if a.Window.End.After(r.Window.End) {
			r.Window.End, r.Expires = a.Window.End, a.Window.End
		}
		r.Duration = r.Window.Length()
	}
	return all
}

// takeIn records a grant that nobody here had made. Why a rule would not have let it be
// made stands in the event.
func (b *Broker) takeIn(ctx context.Context, r access.Request) error {
	if now := b.c.Now(); r.Created.After(now) { // what is to begin was not made then
		r.Created = now
	}
	event := b.event(system, access.GrantTakenIn, r)
	event.Window = r.Window
	event.Request.Terms, event.Err = b.unruly(ctx, r)
	_, _, err := b.intend(ctx, event)
	if _, again := errors.AsType[*sentAgain](err); again {
		return nil // by another instance
	}
	return err
}

// unruly is why the request would not have led to this grant: its principal may not have
// it, or not alone. What cannot be found out is no reason. The terms are those of now, by
// which it is known who may review a broken glass; zero where they are not known.
func (b *Broker) unruly(ctx context.Context, r access.Request) (access.Terms, error) {
	q := access.StandingQuery{Resource: r.Resource, Principals: []access.Principal{r.Principal}, Of: r.Entitlements}
	standing, err := b.standing(ctx, system, q)
	if err != nil {
		return access.Terms{}, nil
	}
	terms, err := b.termsOf(ctx, system, r, &standing)
	if err != nil {
		return access.Terms{}, err
	}
	terms = b.kept(terms)
	var approvers []access.Principal
	for _, a := range standing.OfRequest(r) {
		approvers = a.Approvers
	}
	for _, id := range r.Entitlements {
		if !standing.Holding(r.Principal, id).MayRequest() {
			return terms, standing.NotHeld(access.AsError(notEligible(id)))
		}
	}
	if r.Kind == access.Self {
		if err := b.selfHeld(ctx, system, r, standing); err != nil {
			return terms, err
		}
	}
	if r.Kind != access.BreakGlass && terms.Approvals() > len(approvers) {
		return terms, needsApproval(access.NotAllowed, string(r.Entitlements[0].Role))
	}
	if r.Duration > terms.MaxDuration {
		return terms, b.within(terms, r)
	}
	return terms, nil
}

// older is when the ledger's newest request was made, and records a doubt where this
// process has seen a newer one there.
func (b *Broker) older(ctx context.Context, m Memory, done *Surveyed) (time.Time, error) {
	listed, err := m.List(ctx, access.Listing{Max: 1})
	if err != nil {
		return time.Time{}, err
	}
	var newest access.Request
	if len(listed.Requests) > 0 {
		newest = listed.Requests[0]
	}
	seen := b.survey.newest
	switch {
	case newest.Created.Before(seen):
		b.survey.newest = newest.Created
		return newest.Created, b.doubt(ctx, m, done, "the newest request that was remembered is gone")
	case seen.IsZero():
		seen = newest.Created // what came since this process began says nothing
	}
	b.survey.newest = newest.Created
	return seen, nil
}

// doubt records that the ledger seems to be an older copy of itself.
func (b *Broker) doubt(ctx context.Context, m Memory, done *Surveyed, why string) error {
	done.Doubts = append(done.Doubts, why)
	return m.Doubt(ctx, why)
}

// cautionAge is how old what Cautions says may be.
const cautionAge = 30 * time.Second

// cautions are the last ones, and when that was last tried.
type cautions struct {
	mu   sync.Mutex
	at   time.Time
	last []*access.Error
}

// Cautions are what administrators are to know on every page: that the ledger may be an
// older copy, and grants that stand and that nobody here has made. There are none for
// anybody else, and where there are none nobody is asked who is an administrator.
func (b *Broker) Cautions(ctx context.Context, caller access.Caller) []*access.Error {
	m := b.memory()
	if m == nil {
		return nil
	}
	last := b.cautions.current(b.c.Now(), func() ([]*access.Error, error) {
		// Whoever turns away must not keep it from others.
		return timed(b, context.WithoutCancel(ctx), func(ctx context.Context) ([]*access.Error, error) { return b.caution(ctx, m) })
	})
	if len(last) == 0 {
		return nil
	}
	if admin, _ := b.admin(ctx, caller, time.Time{}); !admin {
		return nil
	}
	return last
}

// current are the last ones, looked up if they are too old. One page at a time does that,
// at most every cautionAge whether it can or not: no page waits for another's, and each is
// shown without while a database hangs.
func (c *cautions) current(now time.Time, look func() ([]*access.Error, error)) []*access.Error {
	c.mu.Lock()
	last, due := c.last, c.at.IsZero() || now.Sub(c.at) >= cautionAge
	if due {
		c.at = now
	}
	c.mu.Unlock()
	if !due {
		return last
	}
	found, err := look()
	if err != nil {
		return last
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = found
	return found
}

func (b *Broker) caution(ctx context.Context, m Memory) ([]*access.Error, error) {
	why, err := m.Doubted(ctx)
	if err != nil {
		return nil, err
	}
	var all []*access.Error
	if why != "" {
		all = append(all, &access.Error{Kind: access.Conflict, Code: access.CodeLedgerOld, Err: errors.New(why)})
	}
	listed, err := m.List(ctx, access.Listing{States: []access.State{access.Active}})
	now := b.c.Now()
	for _, r := range listed.Requests {
		if !r.TakenIn.IsZero() && r.StateAt(now) == access.Active {
			all = append(all, &access.Error{Kind: access.Conflict, Code: access.CodeGrantUnknown,
				Args: access.Args{"id": r.ID, "principal": string(r.Principal), "resource": string(r.Resource)}})
		}
	}
	return all, err
}
