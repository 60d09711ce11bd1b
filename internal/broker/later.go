package broker

import (
	"slices"
	"sync"
	"time"

	"jitaccess/internal/access"
)

// later remembers who was added to a request's reviewers after its first link was
// given out: where the link is the record, that link does not know of them, and they
// too are to hear how it was decided. It is of this instance only. It is not the
// store's: a link that was opened is shown as what it says, which is what is signed.
type later struct {
	mu    sync.Mutex
	added map[string]addition
}

type addition struct {
	people []access.Principal
	until  time.Time
}

// add remembers people until the request cannot be decided any more.
func (l *later) add(r access.Request, people []access.Principal, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, a := range l.added {
		if now.After(a.until) {
			delete(l.added, key)
		}
	}
	key := r.Digest()
	if l.added == nil {
		l.added = map[string]addition{}
	}
	if before, ok := l.added[key]; ok || len(l.added) < recentCount {
		all := slices.Concat(before.people, people)
		slices.Sort(all)
		l.added[key] = addition{slices.Compact(all), r.Expires}
	}
}

// withAdded is who was asked according to the link, and who was added since.
func (l *later) withAdded(r access.Request, now time.Time) []access.Principal {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := slices.Clone(r.Reviewers)
	if a, ok := l.added[r.Digest()]; ok && !now.After(a.until) {
		for _, p := range a.people {
			if !slices.Contains(all, p) {
				all = append(all, p)
			}
		}
	}
	return all
}
