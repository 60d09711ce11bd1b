package firestore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/ledger"
)

// A request is a document with the fields of its row, and two maps by versions (v1, v2, …):
// entries and parts. Times are microseconds since 1970; one that is none is left out, so that
// no index has it.
const (
	version   = "version"
	head      = "head"
	state     = "state"
	principal = "principal"
	reviewers = "reviewers"
	resource  = "resource"
	made      = "made"
	due       = "due"
	summary   = "summary"
	entries   = "entries"
	parts     = "parts"
)

// rowFields are those of a row that is read for a list.
var rowFields = []string{version, head, state, principal, resource, made, due, summary}

// maxRow and maxPlace bound what is read of a row, or a message, that somebody has written by
// hand, and how many parts of an entry; what is longer reads as nothing.
const (
	maxRow   = 256 << 10
	maxPlace = 1000
)

// prefix begins the name of a version in a map: names of fields are identifiers.
const prefix = "v"

func of(version int) string { return prefix + strconv.Itoa(version) }

// Load implements ledger.Home.
func (d *Database) Load(ctx context.Context, id string) (all []ledger.Entry, err error) {
	found, err := d.get(ctx, requests, []string{id}, entries, parts)
	if one, ok := found[id]; ok {
		all, _ = one.entries()
	}
	return all, err
}

// LoadAll implements ledger.Home.
func (d *Database) LoadAll(ctx context.Context, ids []string, bytes int) (all map[string][]ledger.Entry, whole bool, err error) {
	all, whole = map[string][]ledger.Entry{}, true
	err = d.getEach(ctx, requests, ids, []string{entries, parts}, func(one document) error {
		kept, size := one.entries()
		if bytes -= size; bytes < 0 {
			whole = false
			return errEnough
		}
		if len(kept) > 0 {
			all[one.id()] = kept
		}
		return nil
	})
	if !whole {
		err = nil
	}
	return all, whole, err
}

// errEnough ends reading of which enough was read.
var errEnough = fmt.Errorf("enough was read")

// entries are those of a request in their order, and the bytes of their texts.
func (one document) entries() (all []ledger.Entry, size int) {
	beside := one.Fields[parts].fields()
	kept := one.Fields[entries].fields()
	var versions []int
	for key := range kept {
		if n, err := strconv.Atoi(strings.TrimPrefix(key, prefix)); err == nil && key == of(n) {
			versions = append(versions, n)
		}
	}
	slices.Sort(versions)
	for _, n := range versions {
		f := kept[of(n)].fields()
		e := ledger.Entry{Text: f["text"].bytes(), Signature: signature(f)}
		size += len(e.Text)
		for i, part := range beside[of(n)].values() {
			p := part.fields()
			if p == nil || i >= maxPlace { // it was erased
				continue
			}
			for len(e.Parts) <= i {
				e.Parts = append(e.Parts, ledger.Part{})
			}
			e.Parts[i] = ledger.Part{Person: access.Principal(p["person"].text()), Salt: p["salt"].bytes(), Data: p["content"].bytes()}
			size += len(e.Parts[i].Data)
		}
		all = append(all, e)
	}
	return all, size
}

func signature(f fields) ledger.Signature {
	return ledger.Signature{Algorithm: f["algorithm"].text(), Key: f["key"].text(), Public: f["public"].bytes(), Bytes: f["signature"].bytes()}
}

func signed(s ledger.Signature, f fields) fields {
	f["algorithm"], f["key"], f["public"], f["signature"] = text(s.Algorithm), text(s.Key), binary(s.Public), binary(s.Bytes)
	return f
}

// Put implements ledger.Home.
func (d *Database) Put(ctx context.Context, w ledger.Write) error {
	r, at := w.Row, of(w.Row.Version)
	var kept []value
	for _, p := range w.Entry.Parts {
		kept = append(kept, object(fields{"person": text(p.Person), "salt": binary(p.Salt), "content": binary(p.Data)}))
	}
	f := fields{
		version: integer(r.Version), head: text(r.Head), state: text(r.State), summary: binary(r.Summary),
		entries: object(fields{at: object(signed(w.Entry.Signature, fields{"text": binary(w.Entry.Text)}))}),
		parts:   object(fields{at: list(kept)}),
	}
	f.setTime(due, r.Due)
	if w.Relisted {
		f[reviewers] = list(access.Each(r.Reviewers, text[access.Principal]))
	}
	if err := indexable(slices.Concat(r.Reviewers, []access.Principal{r.Principal, access.Principal(r.Resource)})...); err != nil {
		return full(r.ID, err)
	}
	if w.Before == 0 {
		f[principal], f[resource] = text(r.Principal), text(r.Resource)
		f.setTime(made, r.Made)
		return full(r.ID, d.together(ctx, []write{d.create(requests, r.ID, f)}, w.Kept))
	}
	found, err := d.get(ctx, requests, []string{r.ID}, version, summary, entries+"."+at)
	if err != nil {
		return err
	}
	before, ok := found[r.ID]
	_, taken := before.Fields[entries].fields()[at] // by hand: nothing is written over
	if !ok || before.Fields[version].number() != int64(w.Before) || len(before.Fields[summary].bytes()) == 0 || taken {
		return ledger.ErrChanged
	}
	change := write{Update: &document{Name: before.Name, Fields: f}, Only: precondition{UpdateTime: before.UpdateTime},
		Mask: &mask{[]string{version, head, state, summary, due, entries + "." + at, parts + "." + at}}}
	if w.Relisted {
		change.Mask.Paths = append(change.Mask.Paths, reviewers)
	}
	return full(r.ID, d.together(ctx, []write{change}, w.Kept))
}

// full is what the error of a Put says where it is that no more can be recorded of a request.
func full(id string, err error) error {
	if f, ok := errors.AsType[*failure](err); ok && f.tooLarge() || errors.Is(err, errTooMuch) {
		return &access.Error{Kind: access.Unprocessable, Code: access.CodeRequestFull, Args: access.Args{"id": id}, Err: err}
	}
	return err
}

// setTime sets a time, unless it is none.
func (f fields) setTime(path string, t time.Time) {
	if !t.IsZero() {
		f[path] = integer(t.UnixMicro())
	}
}

func (v value) time() time.Time {
	if n := v.number(); n != 0 {
		return time.UnixMicro(n).UTC()
	}
	return time.Time{}
}

// indexable refuses what would be found by its beginning alone.
func indexable(all ...access.Principal) error {
	for _, p := range all {
		if len(p) > longestIndexed {
			return fmt.Errorf("%w: %.60q… has %d bytes, of which an index knows %d", errTooMuch, p, len(p), longestIndexed)
		}
	}
	return nil
}

// together is a commit of some writes with messages for the outbox, or nothing; ErrChanged
// where a document is not as the writes say. Messages that are there already stay as they are.
func (d *Database) together(ctx context.Context, writes []write, kept []ledger.Kept) error {
	err := d.follows(ctx, slices.Concat(writes, access.Each(kept, d.message))...)
	if !errors.Is(err, ledger.ErrChanged) || len(kept) == 0 {
		return err
	}
	there, failed := d.get(ctx, outbox, access.Each(kept, func(k ledger.Kept) string { return k.ID }), made)
	if failed != nil || len(there) == 0 {
		return cmp.Or(failed, err)
	}
	left := slices.DeleteFunc(slices.Clone(kept), func(k ledger.Kept) bool { _, ok := there[k.ID]; return ok })
	return d.follows(ctx, slices.Concat(writes, access.Each(left, d.message))...)
}

func (one document) row() ledger.Row {
	f := one.Fields
	r := ledger.Row{ID: one.id(), Version: int(f[version].number()), Head: f[head].text(), State: access.State(f[state].text()),
		Principal: access.Principal(f[principal].text()), Resource: access.Resource(f[resource].text()), Made: f[made].time(), Due: f[due].time(),
		Summary: f[summary].bytes()}
	if len(r.Summary) > maxRow {
		r.Summary = nil
	}
	return r
}

// listing is a query of what is asked for, the newest first.
func listing(q ledger.Query) *query {
	by := from(requests, down, made)
	if q.Principal != "" {
		by.where(principal, equal, text(q.Principal))
	}
	if q.Reviewer != "" {
		by.where(reviewers, contains, text(q.Reviewer))
	}
	if q.Resource != "" {
		by.where(resource, equal, text(q.Resource))
	}
	by.anyOf(q.States)
	since := int64(0) // so that it is a number, and nothing else that somebody has written
	if !q.From.IsZero() {
		since = q.From.UnixMicro()
	}
	by.where(made, atLeast, integer(since))
	if !q.To.IsZero() {
		by.where(made, less, integer(q.To.UnixMicro()))
	}
	return by
}

// List implements ledger.Home.
func (d *Database) List(ctx context.Context, q ledger.Query) (rows []ledger.Row, err error) {
	by := listing(q).only(rowFields...)
	if q.Entries > 0 {
		by.only(slices.Concat(rowFields, []string{entries, parts})...)
	}
	if q.AfterID != "" {
		by.after(integer(q.AfterMade.UnixMicro()), value{Reference: d.path(requests, q.AfterID)})
	}
	left := q.Entries
	err = d.run(ctx, by, q.Max, func(one document) error {
		row := one.row()
		if kept, size := one.entries(); len(kept) > 0 && size <= left {
			row.Entries, left = kept, left-size
		}
		rows = append(rows, row)
		return nil
	})
	return rows, err
}

// Count implements ledger.Home. The service counts, and not by groups: it is asked for the
// two fields of each that are counted here.
func (d *Database) Count(ctx context.Context, q ledger.Query) (counts []access.Count, whole bool, err error) {
	of, read := map[access.Count]int{}, 0
	err = d.all(ctx, listing(q).only(state, made), mostCounted+1, func(one document) error {
		if read++; read > mostCounted {
			return nil
		}
		r := one.row()
		of[access.Count{Day: r.Made.Truncate(24 * time.Hour), State: r.State}]++
		return nil
	})
	for c, n := range of {
		c.Requests = n
		counts = append(counts, c)
	}
	return counts, read <= mostCounted, err
}

// mostCounted bounds what one look counts: each request is a read.
var mostCounted = 10_000

// Versions implements ledger.Home.
func (d *Database) Versions(ctx context.Context, ids []string) (map[string]int, error) {
	versions := map[string]int{}
	err := d.getEach(ctx, requests, ids, []string{version}, func(one document) error {
		versions[one.id()] = int(one.Fields[version].number())
		return nil
	})
	return versions, err
}

// dueBy is a query of what is due, the earliest first.
func dueBy(by time.Time, states ...access.State) *query {
	return from(requests, up, due).anyOf(states).
		where(due, more, integer(0)).where(due, atMost, integer(by.UnixMicro()))
}

// Due implements ledger.Home.
func (d *Database) Due(ctx context.Context, by, after time.Time, afterID string, max int, states ...access.State) (
	rows []ledger.Row, err error) {
	q := dueBy(by, states...).only(rowFields...)
	if afterID != "" {
		q.after(integer(after.UnixMicro()), value{Reference: d.path(requests, afterID)})
	} else if !after.IsZero() {
		q.StartAt = &cursor{Values: []value{integer(after.UnixMicro())}, Before: true}
	}
	err = d.run(ctx, q, max, func(one document) error {
		rows = append(rows, one.row())
		return nil
	})
	return rows, err
}

// Walk implements ledger.Home.
func (d *Database) Walk(ctx context.Context, each func(ledger.Record) error) error {
	return d.all(ctx, from(requests, up), everything, func(one document) error {
		r := ledger.Record{ID: one.id()}
		r.Entries, _ = one.entries()
		if _, ok := one.Fields[version]; ok {
			row := one.row()
			row.Reviewers = access.Each(one.Fields[reviewers].values(), func(v value) access.Principal { return access.Principal(v.text()) })
			r.Row = &row
		}
		return each(r)
	})
}

// everything is more than there can be.
const everything = 1 << 40

// Erase implements ledger.Home.
func (d *Database) Erase(ctx context.Context, person access.Principal, r ledger.Row) error {
	found, err := d.get(ctx, requests, []string{r.ID})
	if err != nil {
		return err
	}
	one, ok := found[r.ID]
	if !ok || one.Fields[version].number() != int64(r.Version) {
		return ledger.ErrChanged
	}
	f := fields{principal: text(r.Principal), resource: text(r.Resource), summary: binary(r.Summary)}
	isTheirs := func(p string) bool { return person == "" || p == string(person) }
	f[reviewers] = list(slices.DeleteFunc(slices.Clone(one.Fields[reviewers].values()), func(v value) bool { return isTheirs(v.text()) }))
	left := fields{}
	for at, of := range one.Fields[parts].fields() {
		left[at] = list(access.Each(of.values(), func(p value) value {
			if isTheirs(p.fields()["person"].text()) {
				return null
			}
			return p
		}))
	}
	f[parts] = object(left)
	// What is beside it goes with it. Where that is more than one commit holds it goes before: what
	// is cut off is not erased yet, and is begun again.
	var gone []write
	drop := func(one document) error {
		gone = append(gone, write{Delete: one.Name})
		return nil
	}
	if err := d.all(ctx, from(outbox, up).where("request", equal, text(r.ID)).only("request"), everything, drop); err != nil {
		return err
	}
	if err := d.all(ctx, d.under(ledger.NotesOf(r.ID), "").only("kind"), everything, drop); err != nil {
		return err
	}
	for len(gone) >= mostWrites {
		if err := d.commit(ctx, gone[:mostWrites]...); err != nil {
			return err
		}
		gone = gone[mostWrites:]
	}
	return d.follows(ctx, append(gone, d.follow(one, f))...)
}
