package resourcemanager

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/gcp"
	"jitaccess/internal/gcp/iampolicy"
)

// maxWait is how long after the beginning of an action its first write may rest on what
// was found out then. Who waits for the writes of others may wait longer.
const maxWait = 2 * time.Second

// maxBatch is how many edits share a write.
const maxBatch = 10

// answerReserve is what is left of the askers' time when a write gives up, so that
// they hear what became of it.
const answerReserve = 500 * time.Millisecond

// submit has an edit made and waits for what becomes of it, as long as ctx, which has a
// deadline. The first edit of a
// policy is written at once; those that come meanwhile wait and then share a write.
func (g *Granter) submit(ctx context.Context, e *edit) ([]access.Outcome, error) {
	deadline, _ := ctx.Deadline()
	e.asker = &asker{deadline: deadline, done: make(chan struct{})}
	e.asker.purpose, e.asker.by = access.PurposeOf(ctx)
	e.settle = e.asker.settle
	g.mu.Lock()
	_, busy := g.waiting[e.resource]
	g.waiting[e.resource] = append(g.waiting[e.resource], e)
	g.mu.Unlock()
	if !busy {
		// On its own, and not in the life of ctx: others will depend on it.
		go g.drain(context.WithoutCancel(ctx), e.resource)
	}
	return e.asker.wait(ctx, e.resource)
}

// drain writes batch after batch until nobody waits.
func (g *Granter) drain(ctx context.Context, r access.Resource) {
	for batch := g.next(r); batch != nil; batch = g.next(r) {
		last := slices.MaxFunc(batch, func(a, b *edit) int { return a.asker.deadline.Compare(b.asker.deadline) })
		ctx, cancel := context.WithDeadline(forAll(ctx, batch), last.asker.deadline.Add(-answerReserve))
		g.write(ctx, r, batch, doubt{}, false)
		cancel()
	}
}

// forAll says what a batch is written for, and for whom: not for whoever came first. What
// one of them may do for its purpose is done for all; what is for several people is on
// nobody's account.
func forAll(ctx context.Context, batch []*edit) context.Context {
	purpose, by := batch[0].asker.purpose, batch[0].asker.by
	for _, e := range batch[1:] {
		purpose = max(purpose, e.asker.purpose)
		if e.asker.by != by {
			by = ""
		}
	}
	return access.WithPerson(access.WithPurpose(ctx, purpose), by)
}

// next takes the edits of the next write of a policy; nil when nobody waits.
func (g *Granter) next(r access.Resource) []*edit {
	g.mu.Lock()
	defer g.mu.Unlock()
	all := g.waiting[r]
	if len(all) == 0 {
		delete(g.waiting, r)
		return nil
	}
	n := min(len(all), maxBatch)
	g.waiting[r] = slices.Clone(all[n:])
	return all[:n:n]
}

// youngest is when the last of the actions began that the edits are of: no policy that
// was read before is good for all of them. One that does not say when it began takes
// none that was read before.
func youngest(edits []*edit) time.Time {
	order := func(a, b *edit) int { return a.since.Compare(b.since) }
	if slices.MinFunc(edits, order).since.IsZero() {
		return time.Time{}
	}
	return slices.MaxFunc(edits, order).since
}

// renew has the look-ups made again that the edits rest on, all at once.
func renew(ctx context.Context, all *sync.WaitGroup, edits []*edit, since time.Time) {
	for _, e := range edits {
		if e.prepare != nil {
			all.Go(func() { e.prepare(ctx, since) })
		}
	}
}

// write makes the edits in one read-modify-write, again from the reading on when
// somebody else was faster or Google was not able to. It returns when all edits
// have been settled, or belong to askers who have left. d is about an earlier write
// with these edits in it; again says that there was one.
//
// What is known of who may what is as of when an action began, for its first attempt that
// is soon made. For all others it is found out again, beside the reading.
func (g *Granter) write(ctx context.Context, r access.Resource, edits []*edit, d doubt, again bool) {
	for attempt := 0; ; attempt++ {
		since := youngest(edits)
		now := g.client.c.Now()
		again = again || attempt > 0
		if again {
			since = now // something has changed, or may have
		}
		var renewed sync.WaitGroup
		if again || !since.IsZero() && now.Sub(since) > maxWait {
			renew(ctx, &renewed, edits, now)
		}
		read, err := g.client.GetIamPolicy(ctx, r, since)
		renewed.Wait()
		if err != nil {
			settle(edits, d.explain(r, err))
			return
		}
		if d.settled(read) {
			d = doubt{}
		}
		next := read
		edits = slices.DeleteFunc(edits, func(e *edit) (done bool) {
			next, done = e.try(read, next, g.client.c.Now(), d != (doubt{}))
			return done
		})
		if len(edits) == 0 {
			return
		}
		how, err := g.client.setIamPolicy(ctx, r, next, requestReason(edits))
		switch how {
		case stands:
			for _, e := range edits {
				e.settle(e.last, nil)
			}
			return
		case not:
			for _, e := range edits {
				if d == (doubt{}) {
					e.landed()
				}
			}
		default:
			d = doubt{etag: read.Etag(), answered: how == unsureAnswered}
			for _, e := range edits {
				e.unsure = true
			}
		}
		// What is spent may be meanwhile had again; once, as all who act share the tries.
		spent := statusOf(err) == http.StatusTooManyRequests && attempt == 0
		if how == not && !conflict(err) && !passing(err) && !spent {
			g.refused(ctx, r, edits, read, d, err)
			return
		}
		if !g.client.pause(ctx, attempt, writeReserve) {
			g.giveUp(ctx, r, edits, d, err)
			return
		}
	}
}

// refused deals with a write that Google will not make. If it was for several
// requests, each is tried alone; if it was for several roles and the service
// account may not change them all, each role is.
func (g *Granter) refused(ctx context.Context, r access.Resource, edits []*edit, read *iampolicy.Policy, d doubt, err error) {
	status := statusOf(err)
	answered := status == http.StatusBadRequest || status == http.StatusForbidden
	switch {
	case answered && len(edits) > 1:
		for _, e := range edits {
			g.write(ctx, r, []*edit{e}, d, true)
		}
	case status == http.StatusForbidden && len(edits[0].roles()) > 1:
		g.roleByRole(ctx, r, edits[0], d)
	default:
		for _, e := range edits {
			op := operation{method: "setIamPolicy", resource: r}
			if e.grants {
				op.roles, op.principal = e.roles(), e.principal
			}
			if read.Deleted(e.principal) {
				op.deleted = e.principal
			}
			e.settle(nil, d.explain(r, failure(op, g.client.c.ServiceAccount, err)))
		}
	}
}

// roleByRole writes an edit in one write for each role: a service account may be
// limited to some roles (the attribute iam.googleapis.com/modifiedGrantsByRole). What
// could be written stands, whatever becomes of the rest.
func (g *Granter) roleByRole(ctx context.Context, r access.Resource, e *edit, d doubt) {
	wanted := e.last
	became := map[access.EntitlementID]access.Outcome{}
	var made []access.EntitlementID
	for _, role := range e.roles() {
		part := *e
		part.made, part.last = made, nil
		var ids []access.EntitlementID
		for _, o := range wanted {
			if o.Entitlement.Role == role {
				ids, part.last = append(ids, o.Entitlement), append(part.last, o)
			}
		}
		part.entitlements = func(*iampolicy.Policy) []access.EntitlementID { return ids }
		part.settle = func(outcomes []access.Outcome, err error) {
			for _, id := range ids {
				became[id] = access.Outcome{Entitlement: id, Result: access.Refused, Err: access.AsError(err)}
			}
			for _, o := range outcomes {
				became[o.Entitlement] = o
				if o.Result != access.Refused {
					made = append(made, o.Entitlement)
				}
			}
		}
		g.write(ctx, r, []*edit{&part}, d, true)
	}
	var outcomes []access.Outcome
	for _, o := range wanted {
		outcomes = append(outcomes, became[o.Entitlement])
	}
	e.settle(outcomes, nil)
}

// giveUp ends a write for which there is no time left. What may have been written
// is looked for once more.
func (g *Granter) giveUp(ctx context.Context, r access.Resource, edits []*edit, d doubt, err error) {
	if d != (doubt{}) {
		if read, again := g.client.GetIamPolicy(ctx, r, g.client.c.Now()); again == nil {
			edits = slices.DeleteFunc(edits, func(e *edit) bool { return e.settledBy(read, g.client.c.Now()) })
			if d.settled(read) {
				d = doubt{}
			}
		}
	}
	if len(edits) == 0 {
		return
	}
	op := operation{method: "setIamPolicy", resource: r}
	settle(edits, d.explain(r, failure(op, g.client.c.ServiceAccount, err)))
}

func settle(edits []*edit, err error) {
	for _, e := range edits {
		e.settle(nil, err)
	}
}

// conflict is whether somebody else has changed the policy meanwhile. Google says
// 409 ABORTED; 412 has been seen too.
func conflict(err error) bool {
	if status := statusOf(err); status == http.StatusConflict || status == http.StatusPreconditionFailed {
		return true
	}
	rest, answered := errors.AsType[*gcp.StatusError](err)
	return answered && rest.Status == "ABORTED"
}
