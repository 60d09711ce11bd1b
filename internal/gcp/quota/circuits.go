package quota

import (
	"maps"
	"sync"
	"time"

	"jitaccess/internal/access"
)

// shares are how much of a quota may be spent in a minute, in parts of a hundred, by
// what it is for: all together, and one person or application. What pages leave is for
// actions, and what those leave for ending access.
var shares = map[access.Purpose]struct{ all, person int }{
	access.ForPage:   {80, 20},
	access.ForAction: {95, 40},
	access.ForEnd:    {100, 50},
}

// How long nobody asks after Google has called a quota spent: shortest first, and twice
// as long each time that it still is. Up to half as much is added at random, so that
// instances do not come back together.
const (
	shortest = 5 * time.Second
	longest  = time.Minute
	// longestAsked bounds what Google may ask for (Retry-After).
	longestAsked = 10 * time.Minute
)

// tries are how many calls go to Google while a quota is spent, each time that this is
// found: those that end access may make all of them, other actions fewer, pages none. One
// person may make half of them.
var tries = map[access.Purpose]int{access.ForAction: 6, access.ForEnd: 10}

// Circuits keeps to the quotas: one circuit for each. It is safe for concurrent use.
type Circuits struct {
	limits Limits
	now    func() time.Time
	random func() float64

	mu       sync.Mutex
	circuits map[*Quota]*circuit
}

// circuit is what is known of one quota.
type circuit struct {
	used minute
	// people are what each person has spent in the last minute; who has spent nothing since
	// is forgotten, looked for at an instant.
	people map[access.Principal]*minute
	looked time.Time

	// refused is when Google last called it spent; zero is not at all, or it has
	// answered since. refusals are those one after the other.
	refused  time.Time
	refusals int
	// until is when one call may find out how it is, and trying that one is under way.
	until  time.Time
	trying bool
	// tried are the calls of actions since it was refused, triedBy those of each person.
	tried   int
	triedBy map[access.Principal]int
}

// New makes Circuits. limits are those that differ from what Google documents; random
// returns a number in [0, 1).
func New(limits Limits, now func() time.Time, random func() float64) *Circuits {
	return &Circuits{limits: limits, now: now, random: random, circuits: map[*Quota]*circuit{}}
}

// Refusal is why a call is not to be made.
type Refusal struct {
	Quota *Quota
	// Since is how long ago Google called the quota spent; Kept is set instead where
	// what is left of it is kept for others.
	Since time.Duration
	Kept  bool
	// Own: others may still call. It is one person's part that is spent, by nobody else.
	Own bool
	// Wait is when to come back, at the earliest.
	Wait time.Duration
}

// Enter asks to make a call. Either it may be made, and leave must be called with what
// Google said, and when Google asks to come back (0 when it does not say); or it may
// not.
func (c *Circuits) Enter(q *Quota, p access.Purpose, by access.Principal) (leave func(o Outcome, after time.Duration), refusal *Refusal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	k := c.circuits[q]
	if k == nil {
		k = &circuit{people: map[access.Principal]*minute{}, triedBy: map[access.Principal]int{}}
		c.circuits[q] = k
	}
	if r := k.spent(q, p, by, now); r != nil {
		return nil, r
	}
	mine := k.of(by, now)
	if limit := c.limit(q); limit > 0 {
		share := shares[p]
		all, own := 100*k.used.sum(now) >= share.all*limit, by != "" && 100*mine.sum(now) >= share.person*limit
		if own {
			return nil, &Refusal{Quota: q, Kept: true, Own: true, Wait: mine.wait(now)}
		}
		if all {
			return nil, &Refusal{Quota: q, Kept: true, Wait: k.used.wait(now)}
		}
	}
	k.used.add(now)
	mine.add(now)
	switch {
	case k.refused.IsZero():
	case !now.Before(k.until):
		k.trying = true
	default:
		k.tried++
		k.triedBy[by]++
	}
	refused := k.refused
	return func(o Outcome, after time.Duration) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.leave(k, o, after, refused)
	}, nil
}

// of is what one person has spent; of nobody in particular it is not kept.
func (k *circuit) of(by access.Principal, now time.Time) *minute {
	if now.Sub(k.looked) >= time.Minute {
		k.looked = now
		maps.DeleteFunc(k.people, func(_ access.Principal, m *minute) bool { return m.sum(now) == 0 })
	}
	mine := k.people[by]
	if mine == nil {
		mine = new(minute)
		if by != "" {
			k.people[by] = mine
		}
	}
	return mine
}

// spent is the refusal while Google calls the quota spent.
func (k *circuit) spent(q *Quota, p access.Purpose, by access.Principal, now time.Time) *Refusal {
	most := tries[p]
	if k.refused.IsZero() || !now.Before(k.until) && !k.trying || k.tried < most && (by == "" || k.triedBy[by] < most/2) {
		return nil
	}
	return &Refusal{Quota: q, Since: now.Sub(k.refused), Wait: max(k.until.Sub(now), time.Second)}
}

func (c *Circuits) limit(q *Quota) int {
	if n, ok := c.limits[q.Name]; ok {
		return n
	}
	return q.PerMinute
}

// Outcome is what Google said to a call that Enter let pass.
type Outcome int

const (
	// Answered: it said something else than that the quota is spent.
	Answered Outcome = iota
	// Spent: it said that.
	Spent
	// Silent: it said nothing.
	Silent
)

// leave is for a call that began when the quota had last been refused at an instant.
func (c *Circuits) leave(k *circuit, o Outcome, after time.Duration, refused time.Time) {
	now := c.now()
	switch {
	case o == Spent:
		if k.refused.IsZero() || !now.Before(k.until) { // others of the same moment are refused with it
			wait := max(min(shortest<<min(k.refusals, 10), longest), min(after, longestAsked))
			k.until = now.Add(wait + time.Duration(c.random()*float64(wait)/2))
			k.refusals++
			k.tried = 0
			clear(k.triedBy)
		}
		k.refused, k.trying = now, false
	case !k.refused.Equal(refused):
		// It began before, and tells nothing of now.
	case o == Answered:
		k.refused, k.refusals, k.trying, k.tried = time.Time{}, 0, false, 0
		clear(k.triedBy)
	default:
		k.trying = false
	}
}

// minute counts what happened in the last minute, by seconds; one more than sixty, so
// that no minute has more than is counted.
type minute struct {
	seconds [61]int32
	last    int64
}

func (m *minute) advance(now time.Time) int64 {
	second := now.Unix()
	for s := max(m.last+1, second-int64(len(m.seconds))+1); s <= second; s++ {
		m.seconds[s%int64(len(m.seconds))] = 0
	}
	m.last = max(m.last, second)
	return m.last % int64(len(m.seconds))
}

func (m *minute) add(now time.Time) { m.seconds[m.advance(now)]++ }

func (m *minute) sum(now time.Time) (n int) {
	m.advance(now)
	for _, count := range m.seconds {
		n += int(count)
	}
	return n
}

// wait is how long it takes until less is counted, at least a second.
func (m *minute) wait(now time.Time) time.Duration {
	m.advance(now)
	size := int64(len(m.seconds))
	for ago := size - 1; ago > 0; ago-- {
		if at := m.last - ago; at >= 0 && m.seconds[at%size] > 0 {
			return time.Duration(size-ago) * time.Second
		}
	}
	return time.Minute
}
