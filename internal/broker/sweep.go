package broker

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"jitaccess/internal/access"
)

// SweepCount is what one sweep sends of people's mail at most, and to each application;
// StepCount is what one does of each kind that is a step of something else, for which somebody
// waits. What it takes to send is its own for sweepLease. callCount bounds what a sweep takes
// of what is told besides people's mail.
const (
	SweepCount = 20
	StepCount  = 2
	sweepLease = 5 * time.Minute
	callCount  = 15 * SweepCount
)

// sweepTime is after what time a sweep leaves the rest of what is due to the next one, which
// begins a minute after it; outboxTime is after what time it leaves the rest of what is to be
// told, once to people and once besides.
const (
	sweepTime  = 45 * time.Second
	outboxTime = 20 * time.Second
	// tellers is how many messages are told at the same time.
	tellers = 10
)

// WriteCount is how much one sweep does at most that gives access: each takes some calls of the
// provider, whose quota is spent sooner than this where it is small.
const WriteCount = 3 * SweepCount

// kinds of what is due, in the order in which it is done: what gives access or takes it away
// comes before what only records, and tells again, what time has done. Each has a budget and a
// place to go on of its own, so that no number of requests that wait delays what was approved.
var kinds = [...]struct {
	states []access.State
	most   int
}{
	{[]access.State{access.Approved, access.Scheduled}, WriteCount},
	{[]access.State{access.Active}, 500},
	{[]access.State{access.Pending}, 1000},
	{[]access.State{access.Failed, access.Ended, access.Expired, access.Denied, access.Withdrawn, access.Lapsed},
		SweepCount}, // by its row alone
}

// passCount is how much of which nothing can be made one sweep passes over at most.
const passCount = 1000

// spoiled are why nothing comes of a request, now or later: damaged, full, unknown, erased.
var spoiled = []access.Code{access.CodeLedgerDamaged, access.CodeRequestFull, access.CodeBadLink, access.CodeLinkExpired}

// sweeping is where this instance goes on that could not do all that is due, so that what
// cannot be done keeps nothing else waiting.
type sweeping struct {
	mu    sync.Mutex
	after [len(kinds)]access.Due
}

// writeTime is how long after the start of its window what was approved is still
// written: later, whoever waited for it has given up.
const writeTime = 10 * time.Minute

// Swept counts what a sweep did.
type Swept struct {
	// Finished were granted, Over were recorded as lapsed, expired or failed, Told are
	// reminders, and what was sent from the outbox. Left is what
	// could not be done now.
	Finished, Over, Told, Left int
	// More is whether there was more, with which the next one goes on.
	More bool
}

// system is who sweeps.
var system = access.Caller{Method: access.MethodSystem}

// Sweep does what is due, at most so much of each kind: it writes what was approved and not written, records what is
// over, tells people again of what waits for them or ends soon, and sends what they were
// not told. Several may run at the same time. Where
// nothing is remembered there is nothing to do.
func (b *Broker) Sweep(ctx context.Context, most int) (Swept, error) {
	var done Swept
	m := b.memory()
	if m == nil {
		return done, nil
	}
	if most >= SweepCount {
		if err := m.Swept(ctx, b.c.Now()); err != nil {
			return done, err
		}
	}
	ends := b.c.Now().Add(sweepTime)
	for kind := range kinds {
		if err := b.sweepDue(ctx, m, kind, most, ends, &done); err != nil {
			return done, err
		}
	}
	err := b.sweepOutbox(ctx, m, most, &done)
	return done, err
}

// sweepOutbox sends people what they were not told, and then the others, until outboxTime is
// over for each. One application has no more of a sweep than people. What is told of one request is told
// in its order, and all else at the same time, as much as there are tellers: neither an application
// that does not answer nor a channel that hangs keeps others waiting.
func (b *Broker) sweepOutbox(ctx context.Context, m Memory, most int, done *Swept) error {
	var (
		rests = rests{until: map[string]time.Time{}}
		of    = map[string]chan struct{}{} // by what has an order: when what came before is told
		to    = map[string]int{}
		turns = make(chan struct{}, tellers)
		calls sync.WaitGroup
		mu    sync.Mutex // of done
	)
	defer calls.Wait()
	tell := func(key string, message access.Message) {
		before, after := of[key], make(chan struct{})
		of[key] = after
		calls.Go(func() {
			defer func() { <-turns; close(after) }()
			if before != nil {
				<-before
			}
			told, left := b.send(ctx, message, &rests)
			mu.Lock()
			defer mu.Unlock()
			done.Told, done.Left = done.Told+told, done.Left+left
		})
	}
	for _, besides := range []bool{false, true} {
		taken, ends := most, b.c.Now().Add(outboxTime)
		if besides && most >= SweepCount {
			taken = callCount
		}
		turns <- struct{}{} // a message is leased when it has one
		for message, err := range m.Take(ctx, b.c.Now(), sweepLease, taken, besides) {
			if err != nil {
				return err
			}
			key, application := cmp.Or(message.Notice.Request.ID, message.ID), ""
			if message.Notice.Kind == access.NoticeChanged { // hints have no order
				key, application = message.ID, message.Notice.Request.Asking.Application
			}
			if to[application]++; besides && to[application] > most && application != "" {
				if m.Unsent(ctx, message, b.c.Now().Add(firstRetry)) != nil { // the lease ends
					mu.Lock()
					done.Left++
					mu.Unlock()
				}
				continue
			}
			tell(key, message)
			turns <- struct{}{}
			if ctx.Err() != nil || !b.c.Now().Before(ends) {
				break
			}
		}
		<-turns
	}
	return nil
}

// rests are the channels that a sweep passes over, and until when: they have asked for a rest,
// or taken all the time that there was for one message.
type rests struct {
	mu    sync.Mutex
	until map[string]time.Time
}

// add keeps the channels that rest of those by which somebody could not be told. spent is
// whether the telling took all its time.
func (r *rests) add(failed access.Receipts, spent bool, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, each := range failed {
		if until := restsUntil(each); until.After(now) {
			r.until[each.Channel] = until
		} else if spent {
			r.until[each.Channel] = now.Add(firstRetry)
		}
	}
}

// all is the earliest end of those rests, where every channel rests by which a notice is left
// to be told; otherwise zero.
func (r *rests) all(n access.Notice) (first time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, t := range n.Left {
		until := r.until[t.Channel]
		if until.IsZero() {
			return until
		}
		if first.IsZero() || until.Before(first) {
			first = until
		}
	}
	return first
}

// send tells what is in the outbox, unless it has nothing to say any more, and counts what was
// told and what is left. It takes tellTime at most, and does not wait for a channel that rests.
func (b *Broker) send(ctx context.Context, message access.Message, rests *rests) (told, left int) {
	settling := context.WithoutCancel(ctx) // what was told must not be told again
	if until := rests.all(message.Notice); !until.IsZero() {
		_, _ = timed(b, settling, func(ctx context.Context) (struct{}, error) {
			return struct{}{}, b.memory().Unsent(ctx, message, until)
		}) // or the lease ends
		return 0, 1
	}
	notice, any, err := b.still(ctx, message.Notice)
	if err != nil {
		return 0, 1 // the lease ends
	}
	if !any {
		b.settle(settling, message, nil)
		return 0, 0
	}
	began := time.Now() // deadlines go by the real clock
	failed := b.through(ctx, tellTime, b.homeward(notice)).Failed()
	rests.add(failed, time.Since(began) >= tellTime, b.c.Now())
	// Nobody sees that it was not told: how that began, unless an action has recorded it, and ended
	// is recorded.
	did := access.NoticeFailed
	if message.Notice.Kind != access.NoticeChanged && givenUp(message, failed, b.c.Now()) {
		did = access.NoticeGivenUp
	}
	if message.Attempts == 0 || givenUp(message, failed, b.c.Now()) {
		for _, u := range failed {
			b.recordUntold(settling, system, did, message.Notice, notTold(message.Notice, u))
		}
	}
	if len(b.settle(settling, message, failed)) > 0 || len(failed) > 0 {
		return 0, 1
	}
	return 1, 0
}

// sweepDue does what is due about requests of a kind, as much as its budget lets it, until a
// time. What cannot be opened, or is not due as it is recorded, is passed over.
func (b *Broker) sweepDue(ctx context.Context, m Memory, kind, most int, until time.Time, done *Swept) error {
	b.sweeping.mu.Lock()
	after := b.sweeping.after[kind]
	b.sweeping.mu.Unlock()
	page := max(most, SweepCount)
	if most >= SweepCount {
		most = kinds[kind].most
	}
	left, more := 0, false
	for acted, passed := 0, 0; ; {
		due, err := m.Due(ctx, b.c.Now(), after, page, kinds[kind].states...)
		if err != nil {
			return err
		}
		for _, d := range due {
			if more = acted >= most || passed >= passCount || !b.c.Now().Before(until) || ctx.Err() != nil; more {
				break
			}
			did, err := b.sweep(ctx, d.ID)
			switch {
			case err != nil:
				left++ // it stays due, and what kept it is in the journal
			case did != nil: // else another instance did
				*did(done)++
			}
			if after = d; slices.Contains(spoiled, codeOf(err)) {
				passed++
			} else {
				acted++
			}
		}
		if more || len(due) < page {
			break
		}
	}
	if left == 0 || !more {
		after = access.Due{} // the longest due first
	}
	done.Left, done.More = done.Left+left, done.More || more
	b.sweeping.mu.Lock()
	defer b.sweeping.mu.Unlock()
	b.sweeping.after[kind] = after
	return nil
}

// sweep does what is due about one request, as it is when it is opened. One that is not due
// is damaged: its row says something else. It takes actionTime at most.
func (b *Broker) sweep(ctx context.Context, id string) (func(*Swept) *int, error) {
	ctx, cancel := context.WithTimeout(ctx, actionTime)
	defer cancel()
	over := func(s *Swept) *int { return &s.Over }
	r, err := b.open(ctx, id)
	if err != nil {
		return nil, err
	}
	now := b.c.Now()
	record := func(action access.Action, cause error) (func(*Swept) *int, error) {
		event := b.event(system, action, r)
		event.Err = cause
		_, warnings, err := b.commit(ctx, event)
		return over, cmp.Or(err, first(warnings))
	}
	switch did := r.DueBy(now); did {
	case access.RequestLapsed, access.GrantExpired:
		return record(did, nil)
	case access.GrantEnded:
		return over, b.finishEnd(ctx, r)
	case access.Reminded, access.Escalated:
		err := b.remind(ctx, did, r)
		if e := access.AsError(err); e != nil && e.Kind == access.Conflict {
			return nil, nil
		}
		return func(s *Swept) *int { return &s.Told }, err
	case access.GrantWritten:
		stands, err := b.stood(ctx, r)
		late := !now.Before(r.Window.Start.Add(writeTime))
		switch {
		case late && !stands && (err == nil || !access.AsError(err).MayPass()):
			return record(access.GrantFailed, &access.Error{Kind: access.Gone, Code: access.CodeWindowOver})
		case err == nil && !stands:
			err = b.finish(ctx, r)
		}
		return func(s *Swept) *int { return &s.Finished }, err
	}
	return nil, &access.Error{Kind: access.Unprocessable, Code: access.CodeLedgerDamaged, Args: access.Args{"id": id},
		Err: errors.New("its row says that it is due")}
}

// first is what could not be recorded, or told, as the error of what nobody waits for; nil
// for none.
func first(warnings []*access.Error) error {
	if len(warnings) == 0 {
		return nil
	}
	return warnings[0]
}

// stood is whether the grant stands that was approved, as that of somebody whose process
// ended before it was recorded; it is recorded then, whatever the terms are now, and
// people are told.
func (b *Broker) stood(ctx context.Context, r access.Request) (bool, error) {
	ctx, cancel := detach(ctx)
	defer cancel()
	standing, err := b.standing(ctx, system, access.StandingQuery{Resource: r.Resource, Since: b.c.Now()})
	if err != nil {
		return false, err
	}
	event := b.event(system, access.GrantWritten, r)
	event.Outcomes = stand(r, standing.OfRequest(r))
	if slices.ContainsFunc(event.Outcomes, func(o access.Outcome) bool { return o.Result == access.Refused }) {
		return false, nil // what is missing may still be written
	}
	event.Window = granted(event.Outcomes, r.Window)
	var notices []access.Notice
	switch r.Kind {
	case access.Peers:
		notices = append(notices, b.outcomeNotice(ctx, access.RequestApproved, r, r.Decisions[len(r.Decisions)-1], event.Window, b.c.Origin))
		notices[0].Outcomes = event.Outcomes
	case access.Self:
		notices = append(notices, b.notice(access.SelfApproved, r, nil))
		notices[0].Window = event.Window
	}
	_, warnings, err := b.commit(ctx, event, notices...)
	err = cmp.Or(err, first(warnings))
	for _, notice := range notices {
		if err == nil {
			b.tell(ctx, system, notice) // what fails is in the journal, and in the outbox
		}
	}
	return true, err
}

// finish has written what was approved, by somebody whose process ended, if it would be
// approved today, in the window that the approval gave.
func (b *Broker) finish(ctx context.Context, r access.Request) error {
	ctx, cancel := detach(ctx)
	defer cancel()
	callOff := func(by access.Principal) error {
		_, warnings, err := b.end(ctx, system, by, ending{kept: r,
			of: access.Ending{RequestID: r.ID, Principal: r.Principal, Resource: r.Resource, At: b.c.Now().UTC().Truncate(time.Second),
				Since: b.c.Now()}})
		return cmp.Or(err, first(warnings))
	}
	if by, ended, err := b.endedWith(ctx, r); err != nil {
		return err
	} else if ended { // the process that was to end it as well has died
		return callOff(by)
	}
	if err := b.renew(ctx); err != nil {
		return b.refuse(ctx, system, access.GrantWritten, r, err)
	}
	q := access.StandingQuery{Resource: r.Resource, Principals: people(r, r.Principal), Of: r.Entitlements, Since: b.c.Now()}
	standing, err := b.standing(ctx, system, q)
	if err != nil {
		return err
	}
	if endedThere(r, standing) {
		return callOff("")
	}
	terms, err := b.keeps(ctx, system, r, &standing)
	if err != nil {
		return b.refuse(ctx, system, access.GrantWritten, r, err)
	}
	if r.Kind == access.Self {
		notice := b.notice(access.SelfApproved, r, nil)
		outcomes, _, err := b.grant(ctx, system, r, nil, q, func(s access.Standing) error {
			return cmp.Or(idIsFree(r, s), b.notOver(r, s), b.selfHeld(ctx, system, r, s), b.stillKeeps(ctx, system, r, nil, s), s.Lasts(r, r.Window))
		}, notice)
		if err == nil {
			notice.Window = granted(outcomes, r.Window)
			b.tell(ctx, system, notice) // what fails is in the journal, and in the outbox
		}
		return err
	}
	if r.Kind == access.BreakGlass {
		who := access.Caller{Principal: r.Principal, Claims: r.Claims, ClaimsUnknown: !r.ClaimsKnown}
		if err := b.mayBreak(ctx, who, terms, r.Entitlements[0].Role, q.Since); err != nil {
			return b.refuse(ctx, system, access.GrantWritten, r, err)
		}
		check := b.glassCheck(ctx, system, r, q.Since)
		_, _, err = b.grant(ctx, system, r, nil, q, func(s access.Standing) error { return cmp.Or(check(s), s.Lasts(r, r.Window)) })
		return err
	}
	tally, err := b.count(ctx, system, r, r.Decisions, terms, standing)
	if err != nil {
		return b.refuse(ctx, system, access.GrantWritten, r, err)
	}
	if !tally.Complete {
		return b.refuse(ctx, system, access.GrantWritten, r, &access.Error{Kind: access.Gone, Code: access.CodeGrantRefused})
	}
	last := r.Decisions[len(r.Decisions)-1]
	notice := b.outcomeNotice(ctx, access.RequestApproved, r, last, r.Window, b.c.Origin)
	_, err = b.carryOut(ctx, system, Decided{Request: r}, q, tally.Approvers, notice)
	return err
}
