package ledger

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"jitaccess/internal/access"
)

// sighting is a lease as it was seen, and since when.
type sighting struct {
	lease string
	at    time.Time
}

// longestLease is after what time nobody holds a message any more by what a lease says of
// itself: processes that live for moments never see one for as long as others do. So much
// may two clocks differ without a message being sent twice.
const longestLease = time.Hour

// newLease says when it was taken.
func newLease(now time.Time) string { return fmt.Sprintf("%d %s", now.UnixMicro(), rand.Text()) }

// leased is when a message was taken; what whoever committed it holds, since it was made.
func leased(k Kept) time.Time {
	text, _, _ := strings.Cut(k.Lease, " ")
	if at, err := strconv.ParseInt(text, 10, 64); err == nil {
		return time.UnixMicro(at)
	}
	return k.Made
}

// Take implements broker.Memory.
func (s *Store) Take(ctx context.Context, by time.Time, lease time.Duration, max int, besides bool) iter.Seq2[access.Message, error] {
	return func(yield func(access.Message, error) bool) {
		// What others hold is passed over, so more is looked at than is wanted.
		waiting, err := s.c.Home.Waiting(ctx, by, max+batch, besides)
		if err != nil {
			yield(access.Message{}, unavailable(err))
			return
		}
		taken := 0
		for _, kept := range s.free(waiting, lease, besides) {
			if taken == max {
				return
			}
			mine := newLease(s.c.Now())
			ok, err := s.c.Home.Lease(ctx, kept, mine)
			if err != nil {
				yield(access.Message{}, unavailable(err))
				return
			}
			if !ok {
				continue // somebody else has it, or has had it since
			}
			notice, err := decodeNotice(kept.Notice)
			if err != nil { // nobody can send it, and it must keep no other waiting
				if s.c.Home.Delay(ctx, Kept{ID: kept.ID, Lease: mine}, time.Time{}) == nil && s.c.PutAside != nil {
					s.c.PutAside(Unreadable{kept.ID, kept.Request, kept.Made, err})
				}
				continue
			}
			taken++
			if !yield(access.Message{ID: kept.ID, Notice: notice, Made: kept.Made, Attempts: kept.Attempts, Lease: mine}, nil) {
				return
			}
		}
	}
}

// Unreadable is a message that was put aside, since it says nothing to this version: somebody
// has changed it, or a newer version has made it. Err is nil where it can be read now.
type Unreadable struct {
	ID, Request string
	Made        time.Time
	Err         error
}

// asideCount bounds how many messages that were put aside are looked at.
const asideCount = 1000

// Aside are the messages that were put aside, the oldest first, at most a thousand. Who has
// seen to one drops it, or has it tried again (Home.Drop and Home.Delay, without a lease).
func Aside(ctx context.Context, home Home) ([]Unreadable, error) {
	kept, err := home.Aside(ctx, asideCount)
	var all []Unreadable
	for _, k := range kept {
		_, unread := decodeNotice(k.Notice)
		all = append(all, Unreadable{k.ID, k.Request, k.Made, unread})
	}
	return all, err
}

// free are those that nobody holds, or that somebody has held, as we have seen
// ourselves, for as long as anybody may.
func (s *Store) free(waiting []Kept, lease time.Duration, besides bool) []Kept {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.c.Now()
	seen := maps.Clone(s.seen)
	maps.DeleteFunc(s.seen, func(id string, _ sighting) bool { return strings.HasPrefix(id, access.Besides) == besides })
	var free []Kept
	for _, kept := range waiting {
		before, known := seen[kept.ID]
		if !known || before.lease != kept.Lease {
			before = sighting{kept.Lease, now}
		}
		if kept.Lease == "" || now.Sub(before.at) >= lease || now.Sub(leased(kept)) >= longestLease {
			free = append(free, kept)
		} else {
			s.seen[kept.ID] = before
		}
	}
	return free
}

// Overdue is whether a request, or a message, was due by then and is still: nobody sweeps,
// or what is swept cannot be done; and whether messages were put aside.
func (s *Store) Overdue(ctx context.Context, by time.Time) (requests, messages, aside bool, err error) {
	if err := s.unready(); err != nil {
		return false, false, false, err
	}
	rows, err := s.c.Home.Due(ctx, by, time.Time{}, "", 1)
	var waiting, unread []Kept
	if err == nil {
		waiting, err = s.c.Home.Waiting(ctx, by, 1, false) // an application that does not answer is no fault here
	}
	if err == nil {
		unread, err = s.c.Home.Aside(ctx, 1)
	}
	return len(rows) > 0, len(waiting) > 0, len(unread) > 0, unavailable(err)
}

// Paid is whether each read of it is paid for, so that nobody looks for health's sake alone.
func (s *Store) Paid() bool { return s.c.Paid }

// Reachable is why nothing can be read now, by one read; nil where something can.
func (s *Store) Reachable(ctx context.Context) error {
	err := s.unready()
	if err == nil {
		_, err = s.LastSweep(ctx)
	}
	return err
}

// unready is why the home cannot be used yet.
func (s *Store) unready() error {
	if s.c.Unready != nil {
		if why := s.c.Unready(); why != nil {
			return why
		}
	}
	return nil
}

// Outbox is how many messages wait, since when the oldest does, and when was last swept; zero
// for nothing, and for never.
func (s *Store) Outbox(ctx context.Context) (count int, oldest, swept time.Time, err error) {
	if err := s.unready(); err != nil {
		return 0, oldest, swept, err
	}
	if count, oldest, err = s.c.Home.Outbox(ctx); err == nil {
		swept, err = s.c.Home.LastSweep(ctx)
	}
	return count, oldest, swept, unavailable(err)
}

// receiptCount bounds how many times something was told of a request that is remembered.
const receiptCount = 100

type receiptForm struct {
	Channel string `json:"channel"`
	Ref     string `json:"ref"`
}

// Told implements broker.Memory. Nothing is signed: a receipt gives nobody anything.
func (s *Store) Told(ctx context.Context, requestID string, receipts access.Receipts) error {
	body, err := json.Marshal(access.Each(receipts, func(r access.Receipt) receiptForm { return receiptForm{r.Channel, r.Ref} }))
	if err != nil {
		return access.AsError(err)
	}
	return unavailable(s.c.Home.Keep(ctx, Note{Kind: NotesOf(requestID), ID: rand.Text(), Made: s.c.Now(), Body: body}))
}

// Receipts implements broker.Memory.
func (s *Store) Receipts(ctx context.Context, requestID string) (receipts access.Receipts, err error) {
	notes, err := s.c.Home.Notes(ctx, NotesOf(requestID), receiptCount)
	for _, n := range slices.Backward(notes) {
		var told []receiptForm
		if json.Unmarshal(n.Body, &told) == nil { // what somebody has changed names nothing
			for _, f := range told {
				receipts = append(receipts, access.Receipt{Channel: f.Channel, Ref: f.Ref})
			}
		}
	}
	return receipts, unavailable(err)
}

// Swept implements broker.Memory.
func (s *Store) Swept(ctx context.Context, at time.Time) error {
	return unavailable(s.c.Home.Swept(ctx, at))
}

// LastSweep implements broker.Memory.
func (s *Store) LastSweep(ctx context.Context) (time.Time, error) {
	at, err := s.c.Home.LastSweep(ctx)
	return at, unavailable(err)
}

// Sent implements broker.Memory.
func (s *Store) Sent(ctx context.Context, m access.Message) error {
	return unavailable(s.c.Home.Drop(ctx, m.ID, m.Lease))
}

// Unsent implements broker.Memory.
func (s *Store) Unsent(ctx context.Context, m access.Message, again time.Time) error {
	k := Kept{ID: m.ID, Lease: m.Lease}
	if m.Notice.Left != nil {
		var err error
		if k.Notice, err = encodeNotice(m.Notice); err != nil {
			return access.AsError(err)
		}
		k.Channels = channelsOf(m.Notice)
	}
	return unavailable(s.c.Home.Delay(ctx, k, again))
}

// whose is on whose account a notice is told: of who asked, or did it.
func whose(n access.Notice) string {
	if a := n.Request.Asking.Application; a != "" {
		return string(access.OfApplication(a))
	}
	return string(cmp.Or(n.Request.Principal, n.Change.By))
}

// channelsOf are the channels that are left to tell a notice.
func channelsOf(n access.Notice) string {
	names := access.Each(n.Left, func(t access.Target) string { return t.Channel })
	slices.Sort(names)
	return strings.Join(slices.Compact(names), " ")
}
