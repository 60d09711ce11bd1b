package broker

import (
	"maps"
	"slices"
	"sync"
	"time"

	"jitaccess/internal/access"
)

// later remembers what happened to a request after its first link was given out, where
// the link is the record and does not know of it: who was asked since, and who declined.
// It is of this instance only. It is not the store's: a link that was opened is shown as
// what it says, which is what is signed.
type later struct {
	mu    sync.Mutex
	since map[string]*development // by the request's digest
}

// development is what became of one request.
type development struct {
	of     access.Principal
	added  []access.Principal
	denied []access.Decision
	until  time.Time
}

// laterOfOne and laterCount bound of how many requests of one person, and of all, this is
// remembered. Nothing is forgotten before its request can be decided no more, so that no
// request asks more people than it may because of others.
const (
	laterOfOne = 50
	laterCount = 2000
)

// asked is who was asked according to the link, and since.
func (l *later) asked(r access.Request, now time.Time) []access.Principal {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := slices.Clone(r.Reviewers)
	if d := l.known(r, now); d != nil {
		all = append(all, d.added...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// denied is who has declined, in the order in which they did.
func (l *later) denied(r access.Request, now time.Time) []access.Decision {
	l.mu.Lock()
	defer l.mu.Unlock()
	if d := l.known(r, now); d != nil {
		return slices.Clone(d.denied)
	}
	return nil
}

// add counts people in who are about to be asked, unless keeps, which gets everybody who
// then is, says that those are too many. The function that it returns takes them back.
func (l *later) add(r access.Request, more []access.Principal, now time.Time,
	keeps func([]access.Principal) error) (undo func(), err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	d := l.known(r, now)
	all := slices.Concat(r.Reviewers, more)
	if d != nil {
		all = append(all, d.added...)
	}
	slices.Sort(all)
	if err := keeps(slices.Compact(all)); err != nil {
		return nil, err
	}
	if d = l.remember(r, d); d == nil {
		return nil, &access.Error{Kind: access.TooMany, Code: access.CodeTooFast}
	}
	fresh := slices.DeleteFunc(slices.Clone(more), func(p access.Principal) bool { return slices.Contains(d.added, p) })
	d.added = append(d.added, fresh...)
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		d.added = slices.DeleteFunc(d.added, func(p access.Principal) bool { return slices.Contains(fresh, p) })
	}, nil
}

// deny remembers that somebody declined, if there is room.
func (l *later) deny(r access.Request, by access.Decision, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if d := l.remember(r, l.known(r, now)); d != nil {
		d.denied = slices.DeleteFunc(d.denied, func(before access.Decision) bool { return before.By == by.By })
		d.denied = append(d.denied, by)
	}
}

func (l *later) known(r access.Request, now time.Time) *development {
	maps.DeleteFunc(l.since, func(_ string, d *development) bool { return now.After(d.until) })
	return l.since[r.Digest()]
}

// remember is the development of a request, a new one if none is known and there is room.
func (l *later) remember(r access.Request, known *development) *development {
	of := 0
	for _, d := range l.since {
		if d.of == r.Principal {
			of++
		}
	}
	if known != nil || of >= laterOfOne || len(l.since) >= laterCount {
		return known
	}
	d := &development{of: r.Principal, until: r.Expires}
	l.since[r.Digest()] = d
	return d
}
