package relational

import (
	"cmp"
	"context"
	"errors"

	"jitaccess/internal/access"
	"jitaccess/internal/ledger"
)

// errEnough ends a query of which enough was read.
var errEnough = errors.New("enough was read")

// LoadAll implements ledger.Home.
func (d *Database) LoadAll(ctx context.Context, ids []string, bytes int) (entries map[string][]ledger.Entry, whole bool, err error) {
	entries = map[string][]ledger.Entry{}
	if len(ids) == 0 {
		return entries, true, nil
	}
	var c chain
	of := "" // whose entries c has
	err = d.query(ctx, d.read, `SELECT `+entryColumns+` WHERE e.request_id IN `+tuples(len(ids), len(ids))+
		` ORDER BY e.request_id, e.version, p.place`, access.Each(ids, func(id string) any { return id }),
		func(scan func(...any) error) error {
			row, err := scanEntry(scan)
			if row.id != of {
				c, of = chain{}, row.id
			}
			c.add(row)
			entries[of] = c.entries
			if bytes -= len(row.entry.Text) + len(row.part.Data); bytes < 0 {
				return cmp.Or(err, errEnough)
			}
			return err
		})
	if errors.Is(err, errEnough) {
		delete(entries, of)
		return entries, false, nil
	}
	return entries, true, err
}
