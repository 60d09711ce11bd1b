package pomerium

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"jitaccess/internal/access"
)

// How long one action takes at most; how long the lease lasts with which it writes, so that
// nobody writes who has lost it; how long what ends access waits for the lease; and how
// often a policy is written before it is given up.
const (
	actionTimeout = 25 * time.Second
	leaseLife     = 40 * time.Second
	leasePatience = 10 * time.Second
	maxWrites     = 4
)

// Preview returns the rule that Grant would add. There is one, however many names there are
// for what it gives.
func (p *Provider) Preview(g access.Grant) ([]access.Effect, error) {
	var effects []access.Effect
	for _, id := range g.Entitlements {
		effects = append(effects, access.Effect{Title: string(id.Role), Text: preview(p.ruleOf(g))})
	}
	return effects, nil
}

// ruleOf is the rule of a grant, with its beginning where that is still to come.
func (p *Provider) ruleOf(g access.Grant) own {
	o := own{principal: g.Principal, before: g.Window.End.UTC()}
	if g.Window.Start.After(p.c.Now()) {
		o.after = g.Window.Start.UTC()
	}
	return o
}

// Grant writes the grant; see broker.Granter for the contract. It takes 25 s at most. No rule
// of anybody else is changed, and none of the person is taken away that is not over.
func (p *Provider) Grant(ctx context.Context, g access.Grant, q access.StandingQuery, check func(access.Standing) error) (
	[]access.Outcome, error) {
	other := func(id access.EntitlementID) bool { return id.Resource != g.Resource }
	if len(g.Entitlements) == 0 || slices.ContainsFunc(g.Entitlements, other) || q.Resource != g.Resource || !Kinds[0].Has(g.Resource) {
		return nil, access.AsError(errors.New("a grant must be of entitlements of its own resource"))
	}
	if who, err := access.ParsePrincipal(string(g.Principal)); err != nil || who != g.Principal || !g.Window.Start.Before(g.Window.End) {
		return nil, access.AsError(errors.New("a grant must be of a person, for some time"))
	}
	ctx, cancel := context.WithTimeout(ctx, actionTimeout)
	defer cancel()
	result := access.AlreadyGranted
	waits, err := p.change(ctx, g.Resource, true, func(ctx context.Context, d *document) (*document, error) {
		stands := func(r rule) bool { return r.own != nil && r.own.gives(g.Principal, g.Window, p.c.Now()) }
		if slices.ContainsFunc(d.rules, stands) {
			return d, nil
		}
		if !p.c.Now().Before(g.Window.End) {
			return nil, &access.Error{Kind: access.Gone, Code: access.CodeWindowOver}
		}
		s := p.eligible(ctx, q)
		remembered, err := p.remembered(ctx, g.Resource)
		if err != nil {
			s.Warnings = append(s.Warnings, access.AsError(err))
		}
		s.Activations = p.activations(g.Resource, d, remembered)
		if err := check(s); err != nil {
			return nil, err
		}
		result = access.Granted
		return d.granted(p.ruleOf(g), p.c.Now()), nil
	})
	if err != nil {
		return nil, err
	}
	var outcomes []access.Outcome
	for _, id := range g.Entitlements {
		outcomes = append(outcomes, access.Outcome{Entitlement: id, Result: result, Window: g.Window, Waits: waits})
	}
	return outcomes, nil
}

// End ends a grant; see broker.Granter for the contract. It takes 25 s at most. Its rule is
// taken out: that it was ended is remembered by the ledger alone. A rule on which another
// request rests as well stays for that one.
func (p *Provider) End(ctx context.Context, e access.Ending) ([]access.Outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, actionTimeout)
	defer cancel()
	var outcomes []access.Outcome
	waits, err := p.change(ctx, e.Resource, false, func(ctx context.Context, d *document) (*document, error) {
		remembered, unknown := p.remembered(ctx, e.Resource)
		ended, gone := p.ending(d, e, remembered)
		if outcomes == nil {
			outcomes = ended
		}
		if outcomes == nil && unknown != nil {
			return nil, unknown // one that stands may be it
		}
		return d.without(gone, p.c.Now()), nil
	})
	if err != nil {
		return nil, err
	}
	for i := range outcomes {
		outcomes[i].Waits = waits
	}
	return outcomes, nil
}

// ending is what ends of a policy, and which rules are to go for it.
func (p *Provider) ending(d *document, e access.Ending, remembered []access.Request) (ended []access.Outcome, gone []own) {
	for _, r := range d.rules {
		if r.own == nil || r.own.waits() || r.own.principal != e.Principal {
			continue
		}
		requests := holders(d, *r.own, remembered, p.c.Now())
		at := slices.IndexFunc(requests, func(r access.Request) bool { return r.ID == e.RequestID })
		if at < 0 && (len(requests) > 0 || idOf(e.Resource, *r.own) != e.RequestID) {
			continue
		}
		w, ids := p.windowOf(d, *r.own), []access.EntitlementID{p.entitlementOf(e.Resource)}
		if at >= 0 {
			w, ids = requests[at].Window, requests[at].Entitlements
		}
		for _, id := range ids {
			ended = append(ended, access.Outcome{Entitlement: id, Result: access.Removed, Window: w.Before(e.At.UTC().Truncate(time.Second))})
		}
		others := func(r access.Request) bool { return r.ID != e.RequestID && !over(r) }
		if !slices.ContainsFunc(requests, others) {
			gone = append(gone, *r.own)
		}
	}
	return ended, gone
}

// change brings about in a policy what edit makes of it, and makes sure: it reads the policy
// right before it writes, and again afterwards, until there is nothing left to write. edit
// returns the policy that it got when all stands as it should. What was lost to somebody
// else's write is written again; when it is lost each time, or nobody said what became of a
// write and that cannot be found out, the error is CodeUnknownOutcome. create is whether a
// policy that is not there is made; else there is nothing to change. waits says that what
// stands does not hold yet.
func (p *Provider) change(ctx context.Context, on access.Resource, create bool,
	edit func(context.Context, *document) (*document, error)) (waits *access.Error, err error) {
	release, err := p.hold(ctx, on, create)
	if err != nil {
		return nil, err
	}
	defer release()
	defer p.policies.Clear()
	var unsure error // nobody said what became of a write
	wrote := false   // one was answered
	for attempt := 0; ; attempt++ {
		d, err := p.read(ctx, on.Name(), create)
		if err != nil || d == nil {
			if wrote && err != nil {
				unsure = errors.Join(unsure, errUnread)
			}
			return nil, inDoubt(on, unsure, failure(formed(on, err), on, false))
		}
		next, err := edit(ctx, d)
		switch {
		case err != nil:
			return nil, inDoubt(on, unsure, access.AsError(err))
		case next == d && attempt == 0 && !create:
			return nil, nil
		case next == d:
			return p.settle(ctx, on), nil
		case attempt == maxWrites:
			return nil, unknownOutcome(on, errors.Join(errLost, unsure))
		}
		if err = p.client.put(ctx, next); err == nil {
			wrote = true
			continue
		}
		if !unmade(err) {
			unsure = err
		} else if !passing(err) {
			return nil, inDoubt(on, unsure, failure(err, on, true))
		}
		// After a write of which nobody knows, one more look tells what stands.
		if (attempt+1 == maxWrites || !p.client.wait(ctx, attempt, err)) && unsure == nil {
			return nil, failure(err, on, true)
		}
	}
}

var (
	errLost   = errors.New("what was written is not there afterwards")
	errUnread = errors.New("what was written could not be read")
)

// inDoubt is the error of giving up.
func inDoubt(on access.Resource, unsure error, err *access.Error) error {
	switch {
	case err == nil:
		return nil // there is no policy, so that nothing stands
	case unsure != nil:
		return unknownOutcome(on, errors.Join(unsure, err))
	}
	return err
}

// formed makes the error of a policy that is not understood one for people.
func formed(on access.Resource, err error) error {
	if errors.Is(err, errForm) {
		return formFault(on, err)
	}
	return err
}

// settle looks for changesets that wait after a write, and applies them where that is wanted.
// The warning says that what was written does not hold yet, or that nobody knows.
func (p *Provider) settle(ctx context.Context, on access.Resource) *access.Error {
	pending, err := p.client.pending(ctx)
	if err == nil && p.c.ApplyChangesets && len(pending) > 0 {
		var failed error
		for _, c := range pending {
			failed = errors.Join(failed, p.client.apply(ctx, c))
		}
		// What still waits tells, whatever the answers were.
		if pending, err = p.client.pending(ctx); len(pending) > 0 {
			err = failed
		}
	}
	switch {
	case len(pending) > 0:
		var ids []string
		for _, c := range pending {
			ids = append(ids, c.ID)
		}
		return &access.Error{Kind: access.Conflict, Code: access.CodeChangesetPending,
			Args: access.Args{"resource": string(on), "changesets": strings.Join(ids, ", ")}, Err: err}
	case err != nil:
		return &access.Error{Kind: access.Upstream, Code: access.CodeChangesetUnknown, Args: access.Args{"resource": string(on)}, Err: err}
	}
	return nil
}

// read is the policy of a name as it is now. One that is not there is made, if it is to be;
// else it is nil.
func (p *Provider) read(ctx context.Context, name string, create bool) (*document, error) {
	d, err := p.find(ctx, name)
	if err != nil || d != nil || !create {
		return d, err
	}
	if err := p.client.create(ctx, name); err != nil && unmade(err) && !passing(err) {
		return nil, failure(err, resourceOf(name), true)
	}
	// Whatever became of that, it is found by its name or it is not there.
	if d, err = p.find(ctx, name); d == nil && err == nil {
		err = nonsense(errors.New("the policy that was made is not there"))
	}
	return d, err
}

// find is the policy of a name as it is now, nil where there is none. It is looked for by name
// once, and by its id from then on. The policy may come with errForm.
func (p *Provider) find(ctx context.Context, name string) (*document, error) {
	p.mu.Lock()
	id := p.ids[name]
	p.mu.Unlock()
	if id != "" {
		d, err := p.client.get(ctx, id)
		refused, ok := errors.AsType[*refusal](err)
		if !ok || refused.status != http.StatusNotFound {
			return d, err
		}
		if p.c.PolicyIDs[name] == id {
			return nil, &access.Error{Kind: access.NotFound, Code: access.CodeUnknownResource,
				Args: access.Args{"resource": string(resourceOf(name))}, Err: err}
		}
		p.keep(name, "")
	}
	found, err := p.called(ctx, name)
	switch {
	case err != nil || len(found) == 0:
		return nil, err
	case len(found) > 1:
		var ids []string
		for _, d := range found {
			ids = append(ids, d.id)
		}
		return nil, &access.Error{Kind: access.Unprocessable, Code: access.CodePolicyAmbiguous,
			Args: access.Args{"resource": string(resourceOf(name)), "ids": strings.Join(ids, ", ")}}
	}
	p.keep(name, found[0].id)
	return p.client.get(ctx, found[0].id)
}

// called are the policies that may be meant by a name: the one whose id is set, or those that
// bear it and are not another resource's.
func (p *Provider) called(ctx context.Context, name string) ([]*document, error) {
	id := p.c.PolicyIDs[name]
	if id == "" {
		all, err := p.client.list(ctx, name)
		return slices.DeleteFunc(all, func(d *document) bool { return p.pinned[d.id] }), err
	}
	d, err := p.client.get(ctx, id)
	refused, ok := errors.AsType[*refusal](err)
	switch {
	case ok && refused.status == http.StatusNotFound:
		return nil, nil
	case err != nil && !errors.Is(err, errForm):
		return nil, err
	}
	return []*document{d}, nil
}

func (p *Provider) keep(name, id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ids[name] = id
}

// hold waits until nobody else writes the policy, in this process and, where there is a
// lease, in any. Where it cannot be asked for a lease, what grants is not written, and what
// ends is: what is lost to it is written again by whoever has the lease. So it is where
// somebody else holds the lease for long: a row by hand keeps nobody's access from ending.
func (p *Provider) hold(ctx context.Context, on access.Resource, grants bool) (release func(), err error) {
	unlock, err := p.writing.lock(ctx, string(on))
	if err != nil {
		return nil, access.AsError(err)
	}
	if p.c.Lease == nil {
		return unlock, nil
	}
	patient := ctx
	if !grants {
		var cancel context.CancelFunc
		patient, cancel = context.WithTimeout(ctx, leasePatience)
		defer cancel()
	}
	end, err := p.c.Lease(patient, string(on), leaseLife)
	switch e := access.AsError(err); {
	case e != nil && !grants && ctx.Err() == nil && (e.Code == access.CodeLedgerUnavailable || e.Code == access.CodeLeaseHeld):
		return unlock, nil
	case e != nil:
		unlock()
		return nil, e
	}
	return func() {
		defer unlock()
		// Whether it can be given back or not, it ends by itself.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
		defer cancel()
		_ = end(ctx)
	}, nil
}

// locks lets one at a time have what bears a name.
type locks struct {
	mu   sync.Mutex
	held map[string]chan struct{}
}

func (l *locks) lock(ctx context.Context, name string) (unlock func(), err error) {
	l.mu.Lock()
	if l.held == nil {
		l.held = map[string]chan struct{}{}
	}
	one := l.held[name]
	if one == nil {
		one = make(chan struct{}, 1)
		l.held[name] = one
	}
	l.mu.Unlock()
	select {
	case one <- struct{}{}:
		return func() { <-one }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
