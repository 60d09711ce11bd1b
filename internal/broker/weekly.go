package broker

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"jitaccess/internal/access"
)

// ReconcileCount is how many resources a step of the weekly reconciliation looks at.
const ReconcileCount = 20

// How often a round begins; for how long one may go on before what is left of it is given up,
// which people are told; how long after a step the next may follow, on whichever instance; and
// for how long one may go on, which is less than its lease.
const (
	roundEvery = 7 * 24 * time.Hour
	roundMost  = 24 * time.Hour
	stepEvery  = 50 * time.Second
	stepMost   = 15 * time.Second
	stepLease  = 2 * time.Minute
	leaseWait  = time.Second
	// leaseMost is how long what is due waits for whoever holds the lease: nobody needs it for so
	// long, and whoever may write the database can hold it for ever.
	leaseMost = time.Hour
)

// foundMost is how many differences are kept to be looked at a second time, and toldMost how many
// of them people are told.
const (
	foundMost = 100
	toldMost  = 20
)

// ownStep is the step that this instance did last. unkept is whether it is known here alone, since
// no key could sign it.
type ownStep struct {
	mu sync.Mutex
	access.Reconciliation
	unkept bool
}

// ReconcileStep does a step of holding all that stands against what is remembered, as Reconcile
// does it, where one is due: once a week, resource by resource, over several sweeps. What was found
// is looked at a second time, since something may have been changed while it was looked at; what
// differs then, and what could not be looked at, administrators are told. One instance does it at a
// time, and where it has come to is remembered, so that another goes on and nobody is told twice.
//
// It returns the round that ended with this step; nil where none did. Where nothing is remembered
// there is nothing to do. Where no key can sign how far it has come, this instance alone goes on and
// tells people itself; the error says so. Who is eligible for what they hold all the time, and what is over and not
// cleared, is not looked for: nobody has access by it that they should not have.
func (b *Broker) ReconcileStep(ctx context.Context, most int) (*access.Round, error) {
	m := b.memory()
	if m == nil {
		return nil, nil
	}
	r, err := b.reconciliation(ctx, m)
	if err != nil || b.c.Now().Before(stepDue(r)) {
		return nil, err
	}
	waiting, cancel := context.WithTimeout(ctx, leaseWait)
	defer cancel()
	release, err := m.Lease(waiting, "reconcile", stepLease)
	switch {
	case err == nil:
		defer func() { _ = release(context.WithoutCancel(ctx)) }() // otherwise it ends by itself
	case codeOf(err) != access.CodeLeaseHeld:
		return nil, err
	case b.c.Now().Before(stepDue(r).Add(leaseMost)):
		return nil, nil
	}
	if r, err = b.reconciliation(ctx, m); err != nil || b.c.Now().Before(stepDue(r)) {
		return nil, err
	}
	return b.reconcileStep(ctx, m, r, most)
}

// reconciliation is how far it is, as our keys have signed it. Notes of which nothing can be made
// are as none. What this instance did itself counts where nothing is kept any more, where it was
// put back to an earlier step of a round, and where it could not be signed: so a round ends,
// whatever becomes of its notes. That the last one has ended is not held against an older copy:
// everything is looked at again.
func (b *Broker) reconciliation(ctx context.Context, m Memory) (access.Reconciliation, error) {
	r, err := timed(b, ctx, m.Reconciliation)
	if codeOf(err) == access.CodeLedgerDamaged {
		err = nil
	}
	b.ownStep.mu.Lock()
	defer b.ownStep.mu.Unlock()
	if own := b.ownStep.Reconciliation; own.Step > r.Step && (r.Step == 0 || own.UnderWay() || b.ownStep.unkept) {
		r = own
	}
	return r, err
}

// stepDue is from when on a step may follow: of a round that is under way, or the first of the next.
func stepDue(r access.Reconciliation) time.Time {
	due := r.At.Add(stepEvery)
	if next := r.Round.Began.Add(roundEvery); !r.UnderWay() && next.After(due) {
		return next
	}
	return due
}

func (b *Broker) reconcileStep(ctx context.Context, m Memory, r access.Reconciliation, most int) (*access.Round, error) {
	now := access.AsKept(b.c.Now())
	if r.Round.Began.IsZero() {
		older, err := m.List(ctx, access.Listing{To: now.Add(-roundEvery), Max: 1})
		if err != nil {
			return nil, err
		}
		if len(older.Requests) == 0 { // a ledger that is new has its first round in a week; of another somebody has taken the notes
			r.Round = access.Round{Began: now, Ended: now}
			return nil, b.keepStep(ctx, m, r)
		}
	}
	begins := !r.UnderWay()
	if begins {
		r = access.Reconciliation{Step: r.Step, At: r.At, Last: r.Last, Told: r.Told, Round: access.Round{Began: now}}
	}
	infos, warnings, err := b.Resources(ctx, system)
	late := !now.Before(r.Round.Began.Add(roundMost))
	switch {
	case err != nil && begins: // so that it is known since when it cannot go on
		return nil, cmp.Or(b.keepStep(ctx, m, r), err)
	case err != nil && !late:
		return nil, err
	}
	r.Round.Partial = r.Round.Partial || err != nil || len(warnings) > 0
	all := access.Each(infos, func(i access.ResourceInfo) access.Resource { return i.Resource })
	slices.Sort(all)
	if r.All || late {
		r.Round.Short = !r.All
		return b.endRound(ctx, m, r, all, late)
	}
	at, found := slices.BinarySearch(all, r.After)
	if found {
		at++
	}
	for first, ends := at, now.Add(stepMost); at < len(all) && at < first+most && b.c.Now().Before(ends); at++ {
		differences, err := b.differencesOn(ctx, m, all[at])
		if stops(ctx, err) {
			if at == first {
				return nil, err
			}
			break
		}
		if r.After = all[at]; err != nil {
			r.Round.Unread++
			if len(r.Unread) < foundMost {
				r.Unread = append(r.Unread, all[at])
			}
			continue
		}
		r.Round.Looked++
		addFound(&r, differences)
	}
	if r.All = at >= len(all); r.All && !r.Round.Partial {
		differences, err := b.outOfSight(ctx, m, all)
		if err != nil {
			return nil, err
		}
		addFound(&r, differences)
	}
	if r.All && len(r.Found)+len(r.Unread) == 0 {
		return b.endRound(ctx, m, r, all, late)
	}
	return nil, b.keepStep(ctx, m, r)
}

// stops is whether a step ends with an error that says nothing of the resource: the quota of those
// who are nobody in particular is spent, the ledger is out of reach, or there is no time.
func stops(ctx context.Context, err error) bool {
	code := codeOf(err)
	return ctx.Err() != nil || code == access.CodeQuota || code == access.CodeLedgerUnavailable
}

// addFound keeps what is to be looked at a second time: nothing that names a person.
func addFound(r *access.Reconciliation, all []access.Difference) {
	r.Round.Differences += len(all)
	for _, d := range all {
		if len(r.Found) < foundMost {
			r.Found = append(r.Found, access.Difference{Kind: d.Kind, ID: d.ID, Resource: d.Resource})
		}
	}
}

// endRound looks a second time at where something was found or could not be read, and ends the
// round by what is there then. Of what cannot be read the second time nothing is told but that.
// late is whether it ends whatever cannot be looked at.
func (b *Broker) endRound(ctx context.Context, m Memory, r access.Reconciliation, all []access.Resource, late bool) (*access.Round, error) {
	again := access.Each(r.Found, func(d access.Difference) access.Resource { return d.Resource })
	again = append(again, r.Unread...)
	slices.Sort(again)
	again = slices.Compact(again)
	hidden := sync.OnceValues(func() ([]access.Difference, error) { return b.outOfSight(ctx, m, all) })
	var told []access.Difference
	for _, on := range again[:min(len(again), ReconcileCount)] {
		before := slices.DeleteFunc(slices.Clone(r.Found), func(d access.Difference) bool { return d.Resource != on })
		_, listed := slices.BinarySearch(all, on)
		var differences []access.Difference
		var err error
		if listed || r.Round.Partial {
			differences, err = b.differencesOn(ctx, m, on)
		} else {
			differences, err = hidden()
			differences = slices.DeleteFunc(slices.Clone(differences), func(d access.Difference) bool { return d.Resource != on })
		}
		unread := slices.Contains(r.Unread, on)
		switch {
		case err != nil && stops(ctx, err) && !late:
			return nil, err
		case err != nil && !unread:
			r.Round.Unread, r.Round.Looked = r.Round.Unread+1, r.Round.Looked-1
		case err == nil && unread:
			r.Round.Unread, r.Round.Looked = r.Round.Unread-1, r.Round.Looked+1
		case err == nil:
			differences = slices.DeleteFunc(differences, func(d access.Difference) bool {
				return !slices.ContainsFunc(before, func(was access.Difference) bool {
					return was.ID == d.ID && (was.Kind == d.Kind || d.Kind == access.FoundStanding) // the survey has been there
				})
			})
		}
		r.Round.Differences += len(differences) - len(before)
		told = append(told, differences...)
	}
	now := access.AsKept(b.c.Now())
	r.Round.Ended, r.Found, r.Unread, r.After, r.All = now, nil, nil, "", false
	r.Last = r.Round
	notices := b.roundNotices(r.Round, told)
	r.Told = ""
	for _, n := range notices {
		r.Told = digestOf(n)
	}
	err := b.keepStep(ctx, m, r, notices...)
	if err != nil && !errors.Is(err, access.ErrNotSigned) {
		return nil, err
	}
	if err != nil { // they are not in the outbox
		for _, n := range notices {
			b.tell(ctx, system, n) // what fails is in the journal
		}
	}
	event := b.event(system, access.Reconciled, access.Request{})
	event.Round = r.Round
	_ = b.c.Journal.Record(ctx, event) // it is in the ledger, where health finds it
	return &r.Round, err
}

// keepStep keeps where the reconciliation has come to, with what people are to be told. Where no key
// can sign it (access.ErrNotSigned) it is known here, and nothing is in the outbox.
func (b *Broker) keepStep(ctx context.Context, m Memory, r access.Reconciliation, notices ...access.Notice) error {
	at := b.c.Now()
	if !at.After(r.At) { // by an instance whose clock is ahead
		at = r.At.Add(time.Microsecond)
	}
	own := &b.ownStep
	own.mu.Lock()
	defer own.mu.Unlock()
	r.Step, r.At = r.Step+1, at
	err := m.KeepReconciliation(ctx, r, notices...)
	if unkept := errors.Is(err, access.ErrNotSigned); err == nil || unkept {
		own.Reconciliation, own.unkept = r, unkept
	}
	return err
}

// roundNotices are what administrators are told of a round: nothing where all is as it is
// remembered, and everything was looked at.
func (b *Broker) roundNotices(r access.Round, told []access.Difference) []access.Notice {
	administrators, _ := spelledOut(b.c.Admins)
	n := b.to(hearingOf(access.Reconciled), map[audience][]access.Principal{admins: administrators})
	if r.Whole() && r.Differences == 0 || len(n.To) == 0 {
		return nil
	}
	// The outbox tells: by whichever instance, and again where it cannot be told.
	n.Round, n.Differences, n.Later = r, told[:min(len(told), toldMost)], true
	if b.c.Origin != "" {
		n.BaseURL = b.c.Origin + "/"
	}
	return []access.Notice{n}
}

// errNothingSigned: of a notice from the outbox nothing says now whether it is ours. Everything is
// looked at again then, after which something does.
var errNothingSigned = errors.New("nothing signed says what was found")

// ofLastRound is a notice from the outbox as it is told: what was signed of it, to those who are
// administrators now. any is false where it is not that of the last round that ended.
func (b *Broker) ofLastRound(ctx context.Context, n access.Notice) (told access.Notice, any bool, err error) {
	r, err := b.reconciliation(ctx, b.memory())
	if err == nil && r.Step == 0 {
		err = errNothingSigned
	}
	if err != nil || r.Last != n.Round || r.Told != digestOf(n) {
		return n, false, err
	}
	administrators, _ := spelledOut(b.c.Admins)
	return access.Notice{ID: n.ID, Kind: n.Kind, Did: access.Reconciled, At: n.At, Left: n.Left, To: addresses(administrators),
		Round: n.Round, Differences: n.Differences, BaseURL: n.BaseURL}, true, nil
}

// digestOf is the SHA-256, in hexadecimal, of what a notice of a round says, but for the round.
func digestOf(n access.Notice) string {
	h := sha256.New()
	fmt.Fprintf(h, "%q %d\n", n.ID, n.At.UnixNano())
	for _, d := range n.Differences {
		said := append([]string{string(d.Kind), d.ID, string(d.Resource), string(d.Principal), d.Why}, d.Roles...)
		fmt.Fprintf(h, "%q\n", access.Each(said, func(text string) string { return string([]rune(text)) })) // as JSON keeps it
	}
	return hex.EncodeToString(h.Sum(nil))
}

// differencesOn is in what a resource differs: what stands there and what is remembered. It takes
// actionTime at most: a resource on which calls hang is one that cannot be looked at.
func (b *Broker) differencesOn(ctx context.Context, m Memory, on access.Resource) ([]access.Difference, error) {
	ctx, cancel := context.WithTimeout(ctx, actionTime)
	defer cancel()
	remembered, err := b.active(ctx, m, on)
	if err != nil {
		return nil, err
	}
	standing, err := b.standing(ctx, system, access.StandingQuery{Resource: on})
	if err != nil {
		return nil, err
	}
	found, err := b.heldAgainst(ctx, system, standing, Reconciled{})
	if err != nil {
		return nil, err
	}
	for _, r := range remembered {
		if !found.has(r) {
			found.add(access.NotStanding, r, "until "+stamp(r.Window.End))
		}
	}
	for _, r := range found.taken { // by their entries: rows are anybody's to change who may write the database
		found.add(access.FoundStanding, r, "until "+stamp(r.Window.End))
	}
	return slices.DeleteFunc(found.Differences, func(d access.Difference) bool {
		return d.Kind == access.Uncleared.Difference()
	}), nil
}

// outOfSight is what is remembered as active on resources that are not among all that there are.
func (b *Broker) outOfSight(ctx context.Context, m Memory, all []access.Resource) ([]access.Difference, error) {
	remembered, err := b.active(ctx, m, "")
	var found Reconciled
	for _, r := range remembered {
		if _, seen := slices.BinarySearch(all, r.Resource); !seen {
			found.add(access.NotStanding, r, cannotBeSeen)
		}
	}
	return found.Differences, err
}

// active are the requests that the ledger has as active now, on a resource or on all, but for what
// is nowhere else (Applications).
func (b *Broker) active(ctx context.Context, m Memory, on access.Resource) (active []access.Request, err error) {
	l := access.Listing{States: []access.State{access.Active}, Resource: on}
	for {
		page, err := m.List(ctx, l)
		if err != nil {
			return nil, err
		}
		for _, r := range page.Requests {
			if r.StateAt(b.c.Now()) == access.Active && len(r.Entitlements) > 0 && b.applications(r.Resource) == nil {
				active = append(active, r)
			}
		}
		if l.After = page.Next; l.After == "" {
			return active, nil
		}
	}
}
