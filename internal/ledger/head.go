package ledger

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"jitaccess/internal/access"
)

// Head implements broker.Memory.
func (s *Store) Head(ctx context.Context, asOf time.Time) (access.Head, error) {
	h := headAt{asOf: asOf}
	err := s.c.Home.Walk(ctx, func(r Record) error {
		h.add(r)
		return nil
	})
	if err != nil {
		return access.Head{}, unavailable(err)
	}
	return h.sum(), nil
}

// headAt collects what the head of a moment is over: of every request the entries from
// the first on that were made by then, by what the entries themselves say.
type headAt struct {
	asOf   time.Time
	places []place
}

type place struct {
	id     string
	events int
	last   string
}

func (h *headAt) add(r Record) {
	p := place{id: r.ID}
	for _, entry := range r.Entries {
		t, err := read(entry.Text)
		if err != nil || t.At > h.asOf.UnixMicro() {
			break
		}
		p.events, p.last = p.events+1, entry.Digest()
	}
	if p.events > 0 {
		h.places = append(h.places, p)
	}
}

func (h *headAt) sum() access.Head {
	slices.SortFunc(h.places, func(a, b place) int { return cmp.Compare(a.id, b.id) })
	d, head := sha256.New(), access.Head{At: h.asOf, Requests: len(h.places)}
	for _, p := range h.places {
		head.Events += p.events
		fmt.Fprintf(d, "%s %d %s\n", p.id, p.events, p.last)
	}
	head.Digest = hex.EncodeToString(d.Sum(nil))
	return head
}
