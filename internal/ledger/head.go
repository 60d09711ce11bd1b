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
	if err == nil {
		err = eachDeeds(ctx, s.c.Home, func(_ string, notes []Note) { h.addDeeds(notes) })
	}
	if err != nil {
		return access.Head{}, unavailable(err)
	}
	return h.sum(), nil
}

// headAt collects what the head of a moment is over: of every request the entries from
// the first on that were made by then, by what the entries themselves say, and so of
// everything of which there are deeds.
type headAt struct {
	asOf   time.Time
	places []place
	// deeds are the places that are not of requests: counts leave them out.
	deeds []place
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

// addDeeds adds the chains that notes of one kind make. No id of a request has a space.
func (h *headAt) addDeeds(notes []Note) {
	for _, chain := range inChains(notes, func(string, error) {}) {
		p := place{}
		for _, d := range chain {
			if d.At.After(h.asOf) {
				break
			}
			p = place{d.note.Kind + " " + d.Of, p.events + 1, d.digest()}
		}
		if p.events > 0 {
			h.deeds = append(h.deeds, p)
		}
	}
}

func (h *headAt) sum() access.Head {
	d, head := sha256.New(), access.Head{At: h.asOf, Requests: len(h.places)}
	for _, p := range h.places {
		head.Events += p.events
	}
	h.places = append(h.places, h.deeds...)
	slices.SortFunc(h.places, func(a, b place) int { return cmp.Compare(a.id, b.id) })
	for _, p := range h.places {
		fmt.Fprintf(d, "%s %d %s\n", p.id, p.events, p.last)
	}
	head.Digest = hex.EncodeToString(d.Sum(nil))
	return head
}
