package ledger

import (
	"bytes"
	"context"
	"fmt"

	"jitaccess/internal/access"
)

// attestedBytes is how much is read at most to hold one page of a list against its entries. A
// page takes less than a hundredth of it, unless somebody has written texts without end.
const attestedBytes = 8 << 20

// attestedCount is of how many rows it is kept that they are as they were recorded.
const attestedCount = 20_000

// attest says of each request of a list how far its row is what was recorded (access.Attestation).
// What was found of a row once is not looked at again, for good or until there are too many: a
// row that our entries once said is what was recorded, whatever happens to them later.
func (s *Store) attest(ctx context.Context, rows []Row, requests []access.Request) {
	var ids, marks []string
	for i, row := range rows {
		mark := row.mark()
		s.mu.Lock()
		known := s.attested[mark]
		s.mu.Unlock()
		if marks = append(marks, mark); known {
			requests[i].Attestation = access.Signed
		} else if row.Entries == nil {
			ids = append(ids, row.ID)
		}
	}
	var entries map[string][]Entry
	whole, err := true, error(nil)
	if len(ids) > 0 {
		entries, whole, err = s.c.Home.LoadAll(ctx, ids, attestedBytes)
	}
	for i, row := range rows {
		if requests[i].Attestation != "" {
			continue
		}
		kept, read := row.Entries, row.Entries != nil
		if !read {
			kept, read = entries[row.ID]
		}
		switch {
		case !read && (err != nil || !whole):
			requests[i].Attestation = access.Unlooked
			continue
		default:
			requests[i].Attestation = s.attestation(ctx, row, kept)
		}
		if requests[i].Attestation == access.Signed {
			s.mu.Lock()
			if len(s.attested) >= attestedCount {
				clear(s.attested)
			}
			s.attested[marks[i]] = true
			s.mu.Unlock()
		}
	}
}

// attestation holds a row against the entries that it is of. Those behind them may be of another
// moment than the row.
func (s *Store) attestation(ctx context.Context, row Row, entries []Entry) access.Attestation {
	if row.Version < 1 || row.Version > len(entries) {
		return access.Altered
	}
	f, err := fold(ctx, row.ID, entries[:row.Version], s.c.Signer)
	found := f.attestation(err)
	if found == access.Signed || found == access.SignedElsewhere {
		if want, err := rowOf(f.request, f.head); err != nil || !row.says(want) {
			return access.Altered
		}
	}
	return found
}

// attestation is of entries that were folded, with the error of that.
func (f *folded) attestation(err error) access.Attestation {
	switch {
	case err == nil && f.erased:
		return access.PartlyErased
	case err == nil && f.foreign:
		return access.SignedElsewhere
	case err == nil:
		return access.Signed
	}
	switch access.AsError(err).Kind {
	case access.TimedOut, access.Unavailable, access.Upstream: // of what verifies
		return access.Unlooked
	}
	return access.Altered
}

// says is whether a row says of its request what another does, to who reads a list.
func (row Row) says(want Row) bool {
	return row.Head == want.Head && row.State == want.State && row.Principal == want.Principal && row.Resource == want.Resource &&
		row.Made.Equal(want.Made) && bytes.Equal(row.Summary, want.Summary)
}

// mark stands for all that a row says to who reads a list.
func (row Row) mark() string {
	return digest("jitaccess ledger row 1", []byte(row.ID), fmt.Append(nil, row.Version), []byte(row.Head), []byte(row.State),
		[]byte(row.Principal), []byte(row.Resource), fmt.Append(nil, row.Made.UnixMicro()), row.Summary)
}
