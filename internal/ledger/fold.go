package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"jitaccess/internal/access"
)

// folded is what the entries of a request amount to.
type folded struct {
	request access.Request
	events  []access.Event
	head    string
	// erased: personal data is missing, so that request is not whole.
	erased bool
	// foreign: something was signed with a key that is not ours now. It can be read, and
	// nothing can be decided on it.
	foreign bool
	// unknown: of such a key it is not known either that it was ever ours.
	unknown bool
	// foreignEnd: the end that was asked for last was so by such a key.
	foreignEnd bool
	// restsOn is when the last was of the events that a grant rests on; requester and
	// approvers are the stable ids of humans.
	restsOn   time.Time
	requester string
	approvers map[string]bool
}

// fold verifies the entries of a request, from the first to the last, and makes of
// them what they say. Nothing else is asked: not the row, not what one entry says of
// another. The error says which entry is not what was recorded.
func fold(ctx context.Context, id string, entries []Entry, signer Signer) (folded, error) {
	f := folded{approvers: map[string]bool{}}
	for i, entry := range entries {
		if err := f.add(ctx, id, i+1, entry, signer); err != nil {
			return f, fmt.Errorf("entry %d of %s: %w", i+1, id, err)
		}
	}
	return f, nil
}

func (f *folded) add(ctx context.Context, id string, version int, entry Entry, signer Signer) error {
	t, event, by, err := f.check(ctx, id, version, entry, signer)
	if err != nil {
		return err
	}
	foreign := by != nil
	f.foreign, f.unknown = f.foreign || foreign, f.unknown || foreign && !errors.Is(by, errAged)
	if event.Action == access.EndAsked {
		f.foreignEnd = foreign
	}
	f.head = entry.Digest()
	f.events = append(f.events, event)
	if f.erased = f.erased || entry.erased(); f.erased {
		return nil
	}
	if brings(event.Action) {
		if t.Kind != event.Request.Kind {
			return errors.New("it is of another kind")
		}
		f.request = access.Request{}
	}
	return f.apply(event)
}

// check holds one entry against its place in the chain, its signature and its parts. by is the
// errForeignKey of one that is signed with a key that is not ours now.
func (f *folded) check(ctx context.Context, id string, version int, entry Entry, signer Signer) (t text, event access.Event,
	by, err error) {
	if t, err = read(entry.Text); err != nil {
		return t, event, nil, err
	}
	if t.ID != id || t.Version != version || t.Before != f.head {
		return t, event, nil, errors.New("it does not follow on the one before")
	}
	if f.signs(t.Action) {
		err = signer.Verify(ctx, entry.Text, entry.Signature)
		if errors.Is(err, errForeignKey) {
			by, err = err, attested(entry.Text, entry.Signature)
		}
		if err != nil {
			return t, event, by, err
		}
	}
	for len(entry.Parts) < len(t.Parts) {
		entry.Parts = append(entry.Parts, Part{}) // erased
	}
	event, err = entry.open(t)
	return t, event, by, err
}

// signs is whether the next event must be signed if it is of the action: an intent, and the
// record of a grant where an application asked, since that record is the grant.
func (f *folded) signs(a access.Action) bool {
	return signed(a) || a == access.GrantWritten && !f.request.Asking.IsZero()
}

// gives is whether something can still come of the request as it is recorded, or does: a
// decision, a grant, or the access of an application, which nothing but this record gives.
func (f *folded) gives(now time.Time) bool {
	switch state := f.request.StateAt(now); f.request.State {
	case access.Active:
		return !f.request.Asking.IsZero() && state == access.Active
	default:
		return decidable(f.request.State) && state != access.Lapsed
	}
}

// apply adds an event, if it may follow, and keeps to what nobody without a key may
// get around: who acts is who decides, people are different humans, and the window is
// one that the request and its approvals give.
func (f *folded) apply(e access.Event) error {
	next, err := f.request.Apply(e)
	if err != nil {
		return err
	}
	human := e.Caller.Subject
	if human == "" {
		human = string(e.Caller.Principal)
	}
	switch e.Action {
	case access.RequestMade, access.SelfApproved, access.GlassBroken, access.GrantTakenIn:
		f.requester = human
		kind := map[access.Action]access.RequestKind{access.SelfApproved: access.Self, access.GlassBroken: access.BreakGlass}[e.Action]
		if kind != "" && (e.Caller.Principal != next.Principal || next.Kind != kind) {
			return f.refuse(access.NotAllowed, access.CodeNotInvolved, "somebody else activates it")
		}
	case access.RequestApproved, access.RequestDenied, access.GlassReviewed:
		switch {
		case e.Caller.Principal != e.Decision.By:
			return f.refuse(access.NotAllowed, access.CodeNotInvolved, "somebody else decides")
		case human == f.requester:
			return f.refuse(access.NotAllowed, access.CodeOwnRequest, "the requester decides, by another address")
		case e.Action == access.RequestApproved:
			f.approvers[human] = true
		}
	}
	if !next.Asking.IsZero() {
		if err := f.records(e); err != nil {
			return err
		}
	}
	if toGrant(next.State) && !toGrant(f.request.State) {
		if err := f.completes(next, e); err != nil {
			return err
		}
	}
	switch {
	case brings(e.Action):
		f.restsOn = next.Created
	case e.Action == access.RequestApproved:
		f.restsOn = latest(f.restsOn, e.At)
	}
	f.request = next
	return nil
}

// records is whether an event may record the access of an application. Nothing else has that
// access, so that it is never found anywhere, and is for as long as was approved.
func (f *folded) records(e access.Event) error {
	was := f.request.Window
	switch {
	case e.Action == access.GrantTakenIn:
		return f.refuse(access.Conflict, access.CodeConflict, "what an application asked for stands nowhere else")
	case e.Action == access.GrantWritten && !(e.Window.Start.Equal(was.Start) && e.Window.End.Equal(was.End)):
		return f.refuse(access.Conflict, access.CodeConflict, "the window is not the one that was approved")
	}
	return nil
}

// completes is whether an event makes a request approved by right: by as many people
// as it says that it takes, in a window that begins no sooner than what it rests on.
func (f *folded) completes(r access.Request, e access.Event) error {
	needed := 0
	for _, n := range e.Requirements {
		needed += n.Count
	}
	if e.Action == access.RequestApproved && len(f.approvers) < max(needed, 1) {
		return f.refuse(access.Conflict, access.CodeConflict, fmt.Sprintf("it takes %s, and has %d",
			access.Counted(needed, "person", "people"), len(f.approvers)))
	}
	was := func(p access.Principal, need access.Requirement) bool {
		d := r.DecisionOf(p)
		return d != nil && d.Was(need)
	}
	if e.Action == access.RequestApproved && !access.Quorum(r.Principal, r.Decisions, e.Requirements, was).Complete {
		return f.refuse(access.Conflict, access.CodeConflict, "those who approved were not those who had to")
	}
	w := e.Window
	switch {
	case !r.Fixed.IsZero():
		if w.Before(r.Fixed.End) != w || !w.Start.Equal(r.Fixed.Start) {
			return f.refuse(access.Conflict, access.CodeConflict, "the window is not that of the request")
		}
	case w.Length() > r.Approved() || w.Length() < 0 || w.Start.Before(r.Start) || w.Start.Before(f.restsOn.Truncate(time.Second)):
		return f.refuse(access.Conflict, access.CodeConflict, "the window is not one that the request gives")
	}
	return nil
}

func (f *folded) refuse(kind access.Kind, code access.Code, why string) error {
	return &access.Error{Kind: kind, Code: code, Args: access.Args{"resource": string(f.request.Resource)}, Err: errors.New(why)}
}

// decidable is whether something can still come of the request as it is recorded.
func decidable(s access.State) bool { return s == access.Pending || toGrant(s) }

// settled is whether nothing comes of the request any more at that time, so that people may be
// erased of it, which changes no version.
func (f *folded) settled(now time.Time) bool {
	state := f.request.StateAt(now)
	return !decidable(state) && state != access.Active && (state == access.Failed || !f.request.Unreviewed())
}

// toGrant is whether it is to be written.
func toGrant(s access.State) bool { return s == access.Approved || s == access.Scheduled }

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
