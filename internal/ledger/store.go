// Package ledger remembers requests: as chains of signed events, of which a request is
// the fold. It is the store that has memory, over a Home, which only keeps what it is
// given. What lies in the home is not believed: whoever may write the database, and
// has no key, gets nobody access by it. docs/ledger.md explains it.
package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"jitaccess/internal/access"
)

// Links opens requests that were kept in their links before there was a ledger.
type Links interface {
	Open(ctx context.Context, ref string) (access.Request, error)
}

// Config is what a Store is made of. Everything is required unless it says otherwise.
type Config struct {
	Home   Home
	Signer Signer
	// Links may be nil: refs are ids then, and nothing else.
	Links Links
	// Now is the clock.
	Now func() time.Time
	// Random is a source of cryptographic quality.
	Random io.Reader
	// Unready is why the home cannot be used yet, for health; nil once it can. May be nil.
	Unready func() *access.Error
	// Paid: each read of the home is paid for.
	Paid bool
	// PutAside is called once for each message that is put aside; it may be nil.
	PutAside func(Unreadable)
}

// Store implements broker.Memory. Make one with New.
type Store struct {
	c Config
	// seen is when each lease was first seen, by our own clock.
	mu     sync.Mutex
	seen   map[string]sighting
	recent map[string]recent
	// attested are marks of rows that were found to be as they were recorded.
	attested map[string]bool
}

// New makes a Store.
func New(c Config) *Store {
	return &Store{c: c, seen: map[string]sighting{}, recent: map[string]recent{}, attested: map[string]bool{}}
}

// Limits implements broker.Store: it can do everything.
func (s *Store) Limits() access.Limits { return access.Limits{} }

// Open implements broker.Store. Every signature is verified, and nothing is read but
// the entries.
func (s *Store) Open(ctx context.Context, ref string) (access.Request, error) {
	id, err := access.ParseRequestID(ref)
	if err != nil {
		return s.openLink(ctx, ref)
	}
	f, err := s.load(ctx, id)
	switch {
	case err != nil:
		return access.Request{}, err
	case len(f.events) == 0:
		return access.Request{}, badLink(errors.New("no such request"))
	case f.erased:
		return access.Request{}, &access.Error{Kind: access.Gone, Code: access.CodeLinkExpired, Err: errors.New("its personal data was erased")}
	case f.foreign && f.gives(s.c.Now()):
		return access.Request{}, damaged(id, errForeignKey)
	}
	s.remember(id, f)
	f.request.Unattested = f.foreign
	f.request.UnknownKey = f.unknown
	if f.foreignEnd { // nothing is ended because somebody without a key says so
		f.request.Ending = time.Time{}
	}
	return f.request, nil
}

// openLink opens what may be a link from before. It is shown as it is in the ledger,
// once it is there; Import brings it there.
func (s *Store) openLink(ctx context.Context, ref string) (access.Request, error) {
	if s.c.Links == nil {
		return access.Request{}, badLink(errors.New("not a request id"))
	}
	r, err := s.c.Links.Open(ctx, ref)
	if err != nil {
		return r, err
	}
	stored, err := s.Open(ctx, r.ID)
	if access.AsError(err) != nil && access.AsError(err).Code == access.CodeBadLink {
		return r, nil
	}
	if err != nil {
		return stored, err
	}
	if plain(stored).Digest() != plain(r).Digest() {
		return access.Request{}, &access.Error{Kind: access.Conflict, Code: access.CodeDigestMismatch}
	}
	if stored.State == access.Pending { // the second link of one request has more of them
		stored.Reviewers = union(stored.Reviewers, r.Reviewers)
	}
	return stored, nil
}

// plain is the request without its resource conditions, which JIT Access 1.x spells in
// other ways than what was imported.
func plain(r access.Request) access.Request {
	r.Entitlements = slices.Clone(r.Entitlements)
	for i := range r.Entitlements {
		r.Entitlements[i].Condition = ""
	}
	return r
}

func badLink(why error) error {
	return &access.Error{Kind: access.NotFound, Code: access.CodeBadLink, Err: why}
}

func damaged(id string, why error) error {
	return &access.Error{Kind: access.Unprocessable, Code: access.CodeLedgerDamaged, Args: access.Args{"id": id}, Err: why}
}

// unavailable is for what the home says, which is about the home; what signs says itself
// what is wrong with it. nil stays nil.
func unavailable(err error) error {
	if err == nil {
		return nil
	}
	if own, ok := errors.AsType[*access.Error](err); ok {
		return own
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return access.AsError(err)
	}
	return &access.Error{Kind: access.Unavailable, Code: access.CodeLedgerUnavailable, Err: err}
}

// load folds what is kept of a request; no events when nothing is.
func (s *Store) load(ctx context.Context, id string) (folded, error) {
	entries, err := s.c.Home.Load(ctx, id)
	if err != nil {
		return folded{}, unavailable(err)
	}
	f, err := fold(ctx, id, entries, s.c.Signer)
	if err != nil {
		if e := access.AsError(err); e.Kind == access.TimedOut || e.Kind == access.Unavailable || e.Kind == access.Upstream {
			return f, e
		}
		return f, damaged(id, err)
	}
	return f, nil
}

// Commit implements broker.Store. The returned ref is the id.
func (s *Store) Commit(ctx context.Context, e access.Event, notices []access.Notice) (string, error) {
	if e.Action == access.ActionRefused || e.Action == access.NoticeFailed {
		return "", nil // the journal has them; of a request they change nothing
	}
	free := e.Action.IsIntent() && e.Action != access.EndAsked // something is done only if it can follow on what was opened
	stuck := 0
	for attempt, version := 0, -1; attempt < attempts; attempt++ {
		// What was opened a moment ago need not be read again: Put sees whether it has changed.
		// Somebody else may have opened it before, and been slower: that is not what was opened.
		f, known := s.recall(e.Request, free)
		var err error
		if known = known && attempt == 0 && (!free || f.request.Version == e.Request.Version); !known {
			f, err = s.load(ctx, e.Request.ID)
		}
		if stuck++; f.request.Version != version {
			stuck, version = 0, f.request.Version
		}
		switch {
		case err != nil:
			return "", err
		case stuck == stuckAttempts: // nobody was quicker
			return "", damaged(e.Request.ID, errBehind)
		case !free && (len(f.events) == 0 || f.erased):
			return "", nil
		case e.Action == access.MailBounced && !f.request.Bounces(e.Bounce):
			return e.Request.ID, nil // another instance has read the same mail
		case free && (f.erased || moved(f.events, e.Request.Version) || f.foreign && decidable(f.request.State)):
			return e.Request.ID, &access.Error{Kind: access.Conflict, Code: access.CodeConflict,
				Args: access.Args{"resource": string(e.Request.Resource)},
				Err:  fmt.Errorf("the request is at version %d, not %d", f.request.Version, e.Request.Version)}
		}
		if err = s.append(ctx, f, e, notices); err == nil && e.Follows != nil {
			*e.Follows = f.request.Version == e.Request.Version
		}
		switch {
		case known && (errors.Is(err, ErrChanged) || errors.Is(err, errCannotFollow)): // perhaps it has been changed since
		case errors.Is(err, errCannotFollow):
			if free {
				return "", errors.Unwrap(err)
			}
			return e.Request.ID, nil // a fact that nothing can be made of
		case err == nil:
			return e.Request.ID, nil
		case !errors.Is(err, ErrChanged):
			return "", unavailable(err)
		}
	}
	return "", damaged(e.Request.ID, errBehind)
}

// moved is whether anything happened after a version that changes the request: whoever can write
// that a mail came back is not to keep anybody from deciding by it.
func moved(events []access.Event, version int) bool {
	return version < 0 || version > len(events) ||
		slices.ContainsFunc(events[version:], func(e access.Event) bool { return !e.Action.IsRemark() })
}

// attempts is how often somebody else may be quicker with the same request, before it is
// no coincidence. A row that is at another version than its entries is never at the right
// one: nobody was quicker, and then it is tried a few times.
const (
	attempts      = 200
	stuckAttempts = 3
)

var errBehind = errors.New("its row does not follow its entries")

// cannotFollow is an error of an event that may not follow.
type cannotFollow struct{ error }

var errCannotFollow = errors.New("it may not follow")

func (c cannotFollow) Is(target error) bool { return target == errCannotFollow }
func (c cannotFollow) Unwrap() error        { return c.error }

// recent is a request as it was opened, or written, a moment ago.
type recent struct {
	f  folded
	at time.Time
}

// How long and of how many requests it is known how they were: for the action that opened
// one.
const (
	recentTime  = 30 * time.Second
	recentCount = 64
)

// remember keeps what an action may go on from.
func (s *Store) remember(id string, f folded) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if delete(s.recent, id); f.foreign || f.erased {
		return
	}
	if len(s.recent) >= recentCount {
		clear(s.recent)
	}
	s.recent[id] = recent{f, s.c.Now()}
}

// recall is what an event of the request follows on, as far as that is known: nothing at
// all, where the request is to be made, or what was opened, unless it may have been erased since. It
// belongs to the caller.
func (s *Store) recall(r access.Request, free bool) (folded, bool) {
	if free && r.Version == 0 {
		return folded{approvers: map[string]bool{}}, true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	known, ok := s.recent[r.ID]
	now := s.c.Now()
	if age := now.Sub(known.at); !ok || age < 0 || age >= recentTime || known.f.settled(now) {
		return folded{}, false
	}
	f := known.f
	f.events, f.approvers = slices.Clip(f.events), maps.Clone(f.approvers)
	return f, true
}

// append writes one event behind those of f. What was written though the home could
// not say so counts as written.
func (s *Store) append(ctx context.Context, f folded, e access.Event, notices []access.Notice) error {
	before, head, listed := f.request.Version, f.head, listedFor(f.request)
	e.At = access.AsKept(e.At)
	if err := f.apply(e); err != nil {
		return cannotFollow{err}
	}
	entry, err := seal(e, f.request.Kind, f.request.Version, head, s.c.Random)
	if err != nil {
		return access.AsError(err) // it is not the home's fault
	}
	if f.signs(e.Action) {
		if entry.Signature, err = s.c.Signer.Sign(ctx, entry.Text); err != nil {
			return err
		}
	}
	w := Write{Before: before, Entry: entry, Relisted: !slices.Equal(listed, listedFor(f.request))}
	if w.Row, err = rowOf(f.request, entry.Digest()); err != nil {
		return access.AsError(err)
	}
	if w.Kept, err = keptOf(notices, e.Request.ID, e.At); err != nil {
		return err
	}
	err = s.c.Home.Put(ctx, w)
	if err != nil && !errors.Is(err, ErrChanged) && s.written(ctx, w) {
		err = nil
	}
	if err == nil {
		e.Follows = nil // it is the caller's
		f.head, f.events = entry.Digest(), append(f.events, e)
		s.remember(e.Request.ID, f)
	} else {
		s.remember(e.Request.ID, folded{erased: true})
	}
	return err
}

// keptOf is what is kept in the outbox of notices of a request, or of none, that are made at a
// time.
func keptOf(notices []access.Notice, request string, at time.Time) (kept []Kept, err error) {
	for _, n := range notices {
		if n.ID == "" {
			continue
		}
		notice, err := encodeNotice(n)
		if err != nil {
			return nil, access.AsError(err)
		}
		lease := n.ID // of whoever commits it, and tells it next
		if n.Later {
			lease = ""
		}
		kept = append(kept, Kept{ID: n.ID, Request: request, Notice: notice, Made: at, Due: at, Lease: lease, Person: whose(n),
			Channels: channelsOf(n)})
	}
	return kept, nil
}

// lookTime bounds looking whether something was written after all.
const lookTime = 3 * time.Second

// written is whether an entry stands that the home did not acknowledge: the answer to a
// commit may be lost.
func (s *Store) written(ctx context.Context, w Write) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookTime)
	defer cancel()
	entries, err := s.c.Home.Load(ctx, w.Row.ID)
	return err == nil && len(entries) > w.Before && entries[w.Before].Digest() == w.Entry.Digest()
}

// unreviewed stands among reviewers, as whom nobody can sign in, for broken glasses that
// nobody has reviewed: a list of them needs no index of its own.
const unreviewed access.Principal = "unreviewed"

// listedFor is in whose lists of what was asked of them the request is.
func listedFor(r access.Request) []access.Principal {
	if r.Unreviewed() {
		return []access.Principal{unreviewed}
	}
	return r.Reviewers
}

// rowOf is what the request is found by.
func rowOf(r access.Request, head string) (Row, error) {
	summary, err := json.Marshal(requestTo(r))
	return Row{ID: r.ID, Version: r.Version, Head: head, State: r.State, Principal: r.Principal, Reviewers: listedFor(r), Resource: r.Resource,
		Made: r.Created, Due: r.DueAt(), Summary: summary}, err
}

// Import implements broker.Memory.
func (s *Store) Import(ctx context.Context, r access.Request) (access.Request, error) {
	for range attempts {
		f, err := s.load(ctx, r.ID)
		if err != nil {
			return r, err
		}
		e := access.Event{Action: access.RequestMade, At: s.c.Now(), Caller: access.Caller{Method: access.MethodSystem}, Request: r}
		switch {
		case len(f.events) == 0:
			e.Request.Version, e.Request.State = 0, access.Unmade
		case f.erased || f.request.Digest() != r.Digest():
			return f.request, &access.Error{Kind: access.Conflict, Code: access.CodeDigestMismatch}
		default:
			e.Action, e.Request = access.ReviewersAdded, f.request
			if e.Request.Reviewers = union(f.request.Reviewers, r.Reviewers); len(e.Request.Reviewers) == len(f.request.Reviewers) ||
				f.request.State != access.Pending {
				return f.request, nil
			}
		}
		if err = s.append(ctx, f, e, nil); err == nil {
			return s.Open(ctx, r.ID)
		}
		if !errors.Is(err, ErrChanged) {
			return r, unavailable(err)
		}
	}
	return r, damaged(r.ID, errBehind)
}

// History implements broker.Memory.
func (s *Store) History(ctx context.Context, id string) ([]access.Event, error) {
	f, err := s.load(ctx, id)
	return f.events, err
}
