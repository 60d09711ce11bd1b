package ledger

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"jitaccess/internal/access"
)

// maxLine bounds a line of an export.
const maxLine = 16 << 20

// exported is a Home that can be walked, and nothing else.
type exported struct {
	Home
	order   []string
	notes   []Note
	records map[string]*Record
}

// ReadExport reads what ExportLines wrote, for Verify. It has no rows, so that nothing is
// said of them.
func ReadExport(r io.Reader) (Home, error) {
	e := &exported{records: map[string]*Record{}}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	for n := 1; lines.Scan(); n++ {
		var l line
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		signature := Signature{Algorithm: l.Algorithm, Key: l.Key, Public: l.PublicKey, Bytes: l.Signature}
		if l.Policy != "" && l.At != nil {
			e.notes = append(e.notes, Note{Kind: kindPolicy, ID: l.Policy, Made: *l.At, Body: l.Body, Signature: signature})
			continue
		}
		if kind, id, ok := strings.Cut(l.Deed, " "); ok && l.At != nil {
			e.notes = append(e.notes, Note{Kind: deedKind(kind), ID: id, Made: *l.At, Body: l.Body, Signature: signature})
			continue
		}
		record := e.records[l.Request]
		if record == nil {
			record = &Record{ID: l.Request}
			e.order, e.records[l.Request] = append(e.order, l.Request), record
		}
		record.Entries = append(record.Entries, Entry{Text: slices.Clone(l.Text), Signature: signature,
			Parts: access.Each(l.Parts, func(p linePart) Part { return Part{Person: p.Person, Salt: p.Salt, Data: p.Content} })})
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if len(e.order)+len(e.notes) == 0 {
		return nil, errors.New("there is nothing in it")
	}
	return e, nil
}

// Walk implements Home.
func (e *exported) Walk(ctx context.Context, each func(Record) error) error {
	for _, id := range e.order {
		if err := each(*e.records[id]); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// Notes implements Home.
func (e *exported) Notes(_ context.Context, kind string, _ int) (notes []Note, err error) {
	for _, n := range e.notes {
		if n.Kind == kind {
			notes = append(notes, n)
		}
	}
	return notes, nil
}

// Close implements Home.
func (*exported) Close() error { return nil }

// rowless is for Verify: what was exported has no rows.
func (*exported) rowless() {}
