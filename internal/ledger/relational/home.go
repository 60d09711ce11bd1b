package relational

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"jitaccess/internal/access"
	"jitaccess/internal/ledger"
	"jitaccess/internal/outbound"
)

// rebind writes a statement in the dialect's parameters. No statement has a ? in a
// text.
func (d *Database) rebind(statement string) string {
	if !d.numbered {
		return statement
	}
	var b strings.Builder
	n := 0
	for _, part := range strings.SplitAfter(statement, "?") {
		if text, ok := strings.CutSuffix(part, "?"); ok {
			n++
			fmt.Fprintf(&b, "%s$%d", text, n)
		} else {
			b.WriteString(part)
		}
	}
	return b.String()
}

// queryer is a pool of connections, or a transaction.
type queryer interface {
	QueryContext(ctx context.Context, statement string, args ...any) (*sql.Rows, error)
}

// observed tells the observer of the context of what is read or written, and of its end.
func observed(ctx context.Context, what string) (answered func(*error)) {
	tell := outbound.Begin(ctx, "database", what)
	return func(err *error) {
		if errors.Is(*err, ledger.ErrChanged) { // that is an answer
			tell(outbound.OK)
			return
		}
		tell(outbound.Status(*err))
	}
}

// query calls each for every row of the answer.
func (d *Database) query(ctx context.Context, q queryer, statement string, args []any, each func(scan func(...any) error) error) (
	err error) {
	defer observed(ctx, "read")(&err)
	rows, err := q.QueryContext(ctx, d.rebind(statement), args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := each(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

// all are the rows of the answer.
func all[T any](ctx context.Context, d *Database, q queryer, statement string, args []any, read func(scan func(...any) error) (T, error)) (
	rows []T, err error) {
	err = d.query(ctx, q, statement, args, func(scan func(...any) error) error {
		row, err := read(scan)
		rows = append(rows, row)
		return err
	})
	return rows, err
}

// change runs a statement by itself, and says whether it has changed a row.
func (d *Database) change(ctx context.Context, statement string, args ...any) (changed bool, err error) {
	defer observed(ctx, "write")(&err)
	result, err := d.write.ExecContext(ctx, d.rebind(statement), args...)
	if err != nil {
		return false, err
	}
	n, err := result.RowsAffected()
	return n > 0, err
}

var entryColumns = `e.request_id, e.version, ` + bounded("e.body", maxText) + `, e.algorithm, e.key_id, e.public_key, e.signature,
	p.place, p.person, p.salt, ` + bounded("p.content", maxText) + `
	FROM events e LEFT JOIN parts p ON p.request_id = e.request_id AND p.version = e.version`

// Load implements ledger.Home.
func (d *Database) Load(ctx context.Context, id string) ([]ledger.Entry, error) {
	var c chain
	err := d.query(ctx, d.read, `SELECT `+entryColumns+` WHERE e.request_id = ? ORDER BY e.version, p.place`, []any{id},
		func(scan func(...any) error) error {
			row, err := scanEntry(scan)
			c.add(row)
			return err
		})
	return c.entries, err
}

// entryRow is an entry with one of its parts.
type entryRow struct {
	id      string
	version int64
	entry   ledger.Entry
	place   any // an int64, or nothing
	part    ledger.Part
}

func scanEntry(scan func(...any) error) (entryRow, error) {
	var r entryRow
	var public, signature string
	var person, salt, content sql.NullString
	s := &r.entry.Signature
	err := scan(&r.id, (*number)(&r.version), &r.entry.Text, &s.Algorithm, &s.Key, &public, &signature, &r.place, &person, &salt, &content)
	s.Public, s.Bytes = unbase64(public), unbase64(signature)
	r.part = ledger.Part{Person: access.Principal(person.String), Salt: unbase64(salt.String), Data: []byte(content.String)}
	return r, err
}

// chain collects the entries of one request.
type chain struct {
	entries []ledger.Entry
	version int64 // of the last one
}

func (c *chain) add(r entryRow) {
	if len(c.entries) == 0 || r.version != c.version {
		c.entries, c.version = append(c.entries, r.entry), r.version
	}
	if at, ok := r.place.(int64); ok && at >= 0 && at < maxPlace {
		entry := &c.entries[len(c.entries)-1]
		for int64(len(entry.Parts)) <= at {
			entry.Parts = append(entry.Parts, ledger.Part{})
		}
		entry.Parts[at] = r.part
	}
}

// maxPlace bounds what a row by hand can make of an entry.
const maxPlace = 1000

// statement is one of a transaction.
type statement struct {
	text string
	args []any
}

// Put implements ledger.Home.
func (d *Database) Put(ctx context.Context, w ledger.Write) error {
	return d.together(ctx, d.writing(w))
}

// together runs statements in one transaction, of which the first one must change one row:
// ErrChanged otherwise, and where something is there already that one of them adds.
func (d *Database) together(ctx context.Context, all []statement) (err error) {
	defer observed(ctx, "write")(&err)
	if d.numbered {
		return d.pipelined(ctx, all)
	}
	tx, err := d.write.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	for i, s := range all {
		result, err := tx.ExecContext(ctx, s.text, s.args...)
		if isDuplicate(err) {
			return ledger.ErrChanged
		}
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); i == 0 && (err != nil || n != 1) {
			return cmp.Or(err, ledger.ErrChanged)
		}
	}
	return tx.Commit()
}

// isDuplicate is whether an entry is there already: somebody else was quicker.
func isDuplicate(err error) bool {
	own, ok := errors.AsType[*sqlite.Error](err)
	return ok && (own.Code() == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY || own.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE)
}

// writing are the statements that write w. The first one changes one row if the request
// is at the version that it must have, and none otherwise.
func (d *Database) writing(w ledger.Write) (all []statement) {
	exec := func(text string, args ...any) { all = append(all, statement{d.rebind(text), args}) }
	r := w.Row
	if w.Before == 0 {
		exec(`INSERT INTO requests (id, version, head, state, principal, resource, made, due, summary)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
			r.ID, r.Version, r.Head, string(r.State), string(r.Principal), string(r.Resource), micros(r.Made), micros(r.Due), string(r.Summary))
	} else {
		exec(`UPDATE requests SET version = ?, head = ?, state = ?, due = ?, summary = ? WHERE id = ? AND version = ? AND summary <> ''`,
			r.Version, r.Head, string(r.State), micros(r.Due), string(r.Summary), r.ID, w.Before)
	}
	if d.numbered {
		// Where the first one has changed nothing, all of it fails here.
		exec(guard, r.ID, r.Version, r.Head)
	}
	exec(`INSERT INTO events (request_id, version, body, algorithm, key_id, public_key, signature) VALUES (?, ?, ?, ?, ?, ?, ?)`,
		r.ID, r.Version, string(w.Entry.Text), w.Entry.Signature.Algorithm, w.Entry.Signature.Key, ledger.Base64(w.Entry.Signature.Public),
		ledger.Base64(w.Entry.Signature.Bytes))
	var values []any
	for i, p := range w.Entry.Parts {
		values = append(values, r.ID, r.Version, i, string(p.Person), ledger.Base64(p.Salt), string(p.Data))
	}
	exec(`INSERT INTO parts (request_id, version, place, person, salt, content) VALUES `+tuples(len(values), 6), values...)
	switch {
	case w.Before > 0 && w.Relisted:
		exec(`DELETE FROM reviewers WHERE request_id = ?`, r.ID)
	case w.Before > 0:
		exec(`UPDATE reviewers SET state = ? WHERE request_id = ? AND state <> ?`, string(r.State), r.ID, string(r.State))
	}
	if w.Relisted && len(r.Reviewers) > 0 {
		values = nil
		for _, p := range r.Reviewers {
			values = append(values, r.ID, string(p), string(r.State), micros(r.Made))
		}
		exec(`INSERT INTO reviewers (request_id, principal, state, made) VALUES `+tuples(len(values), 4)+` ON CONFLICT DO NOTHING`, values...)
	}
	return append(all, access.Each(w.Kept, d.message)...)
}

// message is the statement that puts a message into the outbox.
func (d *Database) message(k ledger.Kept) statement {
	return statement{d.rebind(`INSERT INTO outbox (id, request_id, notice, made, due, attempts, lease, person, channels)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`),
		[]any{k.ID, k.Request, string(k.Notice), micros(k.Made), micros(k.Due), k.Attempts, k.Lease, k.Person, k.Channels}}
}

// guard divides by zero, unless the row of a request is as it was just written.
const guard = `SELECT 1 / COUNT(*) FROM requests WHERE id = ? AND version = ? AND head = ?`

// Errors of PostgreSQL (https://www.postgresql.org/docs/current/errcodes-appendix.html):
// what guard says, and that an entry is there already.
const (
	divisionByZero  = "22012"
	uniqueViolation = "23505"
)

// pipelined runs a transaction in one round trip: statements that are sent together are
// one (https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-PIPELINING),
// of which all or nothing is written.
func (d *Database) pipelined(ctx context.Context, all []statement) error {
	connection, err := d.write.Conn(ctx)
	if err != nil {
		return err
	}
	defer connection.Close()
	err = connection.Raw(func(driver any) error {
		var batch pgx.Batch
		for _, s := range all {
			batch.Queue(s.text, s.args...)
		}
		return driver.(*stdlib.Conn).Conn().SendBatch(ctx, &batch).Close()
	})
	if own, ok := errors.AsType[*pgconn.PgError](err); ok && (own.Code == divisionByZero || own.Code == uniqueViolation) {
		return ledger.ErrChanged
	}
	return err
}

// tuples are the placeholders of so many values, in rows of so many columns.
func tuples(values, columns int) string {
	row := "(?" + strings.Repeat(", ?", columns-1) + ")"
	return row + strings.Repeat(", "+row, values/columns-1)
}

// number and text are columns as they are read: SQLite lets a row have anything in any of
// them, and null in a primary key. What is no number is 0, and null is nothing, so that one
// row keeps no other from being read.
type (
	number int64
	text   string
)

// Scan implements sql.Scanner.
func (n *number) Scan(value any) error {
	i, _ := value.(int64)
	*n = number(i)
	return nil
}

// Scan implements sql.Scanner.
func (t *text) Scan(value any) error {
	s, _ := value.(string)
	*t = text(s)
	return nil
}

// The longest texts that are read, in bytes: of a row or a message, and of a part or a
// policy. What is longer reads as nothing, which is what nobody can read.
const (
	maxRow  = 256 << 10
	maxText = 2 << 20
)

// bounded is a column that is not fetched where it is longer.
func bounded(column string, bytes int) string {
	return fmt.Sprintf("CASE WHEN octet_length(%s) <= %d THEN %s ELSE '' END", column, bytes, column)
}

var rowColumns = `r.id, r.version, r.head, r.state, r.principal, r.resource, r.made, r.due, ` + bounded("r.summary", maxRow)

func scanRow(scan func(...any) error) (ledger.Row, error) {
	var r ledger.Row
	var version, made, due number
	err := scan((*text)(&r.ID), &version, &r.Head, &r.State, &r.Principal, &r.Resource, &made, &due, &r.Summary)
	r.Version, r.Made, r.Due = int(version), moment(int64(made)), moment(int64(due))
	return r, err
}

// List implements ledger.Home.
func (d *Database) List(ctx context.Context, q ledger.Query) ([]ledger.Row, error) {
	from, of, args := chosen(q)
	return all(ctx, d, d.read, "SELECT "+rowColumns+from+" ORDER BY "+of.made+" DESC, "+of.id+" DESC LIMIT ?", append(args, q.Max), scanRow)
}

// aDay is in microseconds, as times are.
const aDay = int64(24 * time.Hour / time.Microsecond)

// Count implements ledger.Home.
func (d *Database) Count(ctx context.Context, q ledger.Query) (counts []access.Count, whole bool, err error) {
	q.AfterID = ""
	states := q.States
	if len(states) == 0 {
		states = access.States
	}
	var each []string
	var args []any
	for _, state := range states { // one by one, there is an index that has all that is wanted, whatever else is chosen
		q.States = []access.State{state}
		from, of, values := chosen(q)
		each = append(each, fmt.Sprintf("SELECT %s / %d, '%s', COUNT(*)%s GROUP BY 1", of.made, aDay, state, from))
		args = append(args, values...)
	}
	counts, err = all(ctx, d, d.read, strings.Join(each, " UNION ALL "), args, func(scan func(...any) error) (c access.Count, err error) {
		var day number
		err = scan(&day, &c.State, &c.Requests)
		c.Day = moment(int64(day) * aDay)
		return c, err
	})
	return counts, true, err
}

// columns are where it stands what lists go by.
type columns struct{ state, made, id string }

// chosen is the part of a statement that chooses, from FROM on, with its arguments.
func chosen(q ledger.Query) (from string, of columns, args []any) {
	from, of = " FROM requests r", columns{"r.state", "r.made", "r.id"}
	var where []string
	choose := func(condition string, values ...any) {
		where, args = append(where, condition), append(args, values...)
	}
	if q.Reviewer != "" {
		from, of = " FROM reviewers v JOIN requests r ON r.id = v.request_id", columns{"v.state", "v.made", "v.request_id"}
		choose("v.principal = ?", q.Reviewer)
	}
	if q.Principal != "" {
		choose("r.principal = ?", q.Principal)
	}
	if q.Resource != "" {
		choose("r.resource = ?", q.Resource)
	}
	if len(q.States) > 0 {
		var values []any
		for _, s := range q.States {
			values = append(values, s)
		}
		choose(of.state+" IN "+tuples(len(values), len(values)), values...)
	}
	if !q.From.IsZero() {
		choose(of.made+" >= ?", micros(q.From))
	}
	switch { // what comes after is before To; with both, SQLite goes through all that is
	case q.AfterID != "":
		choose("("+of.made+", "+of.id+") < (?, ?)", micros(q.AfterMade), q.AfterID)
	case !q.To.IsZero():
		choose(of.made+" < ?", micros(q.To))
	}
	if len(where) > 0 {
		from += " WHERE " + strings.Join(where, " AND ")
	}
	return from, of, args
}

// Due implements ledger.Home.
func (d *Database) Due(ctx context.Context, by, after time.Time, afterID string, max int, states ...access.State) ([]ledger.Row, error) {
	where, args := "", []any{micros(by), micros(after), afterID}
	if len(states) > 0 {
		where = " AND r.state IN (?" + strings.Repeat(", ?", len(states)-1) + ")"
		for _, s := range states {
			args = append(args, string(s))
		}
	}
	return all(ctx, d, d.read, "SELECT "+rowColumns+" FROM requests r WHERE r.due > 0 AND r.due <= ? AND (r.due, r.id) > (?, ?)"+where+
		" ORDER BY r.due, r.id LIMIT ?", append(args, max), scanRow)
}

// Waiting implements ledger.Home.
func (d *Database) Waiting(ctx context.Context, by time.Time, max int, besides bool) ([]ledger.Kept, error) {
	is := "<>"
	if besides {
		is = "="
	}
	return d.kept(ctx, ` JOIN (
		SELECT waiting, ROW_NUMBER() OVER (PARTITION BY left_to ORDER BY place, since, waiting) AS turn FROM (
			SELECT id AS waiting, channels AS left_to, due AS since, ROW_NUMBER() OVER (PARTITION BY channels, person ORDER BY due, id) AS place
			FROM outbox WHERE due > 0 AND due <= ? AND substr(id, 1, ?) `+is+` ?) AS places) AS turns ON id = waiting
		ORDER BY turn, due, id LIMIT ?`, micros(by), len(access.Besides), access.Besides, max)
}

// Aside implements ledger.Home.
func (d *Database) Aside(ctx context.Context, max int) ([]ledger.Kept, error) {
	return d.kept(ctx, " WHERE due = 0 ORDER BY made, id LIMIT ?", max)
}

func (d *Database) kept(ctx context.Context, which string, args ...any) ([]ledger.Kept, error) {
	return all(ctx, d, d.read,
		"SELECT id, request_id, "+bounded("notice", maxRow)+", made, due, attempts, lease FROM outbox"+which, args,
		func(scan func(...any) error) (k ledger.Kept, err error) {
			var made, due, attempts number
			err = scan((*text)(&k.ID), &k.Request, &k.Notice, &made, &due, &attempts, &k.Lease)
			k.Made, k.Due, k.Attempts = moment(int64(made)), moment(int64(due)), int(attempts)
			return k, err
		})
}

// Lease implements ledger.Home.
func (d *Database) Lease(ctx context.Context, was ledger.Kept, to string) (bool, error) {
	return d.change(ctx, "UPDATE outbox SET lease = ? WHERE id = ? AND lease = ? AND CAST(attempts AS BIGINT) = ?",
		to, was.ID, was.Lease, was.Attempts)
}

// Drop implements ledger.Home.
func (d *Database) Drop(ctx context.Context, id, lease string) error {
	_, err := d.change(ctx, "DELETE FROM outbox WHERE id = ? AND lease = ?", id, lease)
	return err
}

// Delay implements ledger.Home.
func (d *Database) Delay(ctx context.Context, k ledger.Kept, due time.Time) error {
	told, args := "", []any{micros(due)}
	if len(k.Notice) > 0 {
		told, args = ", notice = ?, channels = ?", append(args, string(k.Notice), k.Channels)
	}
	_, err := d.change(ctx, "UPDATE outbox SET lease = '', due = ?, attempts = attempts + 1"+told+" WHERE id = ? AND lease = ?",
		append(args, k.ID, k.Lease)...)
	return err
}

// Swept implements ledger.Home.
func (d *Database) Swept(ctx context.Context, at time.Time) error {
	_, err := d.change(ctx, `INSERT INTO sweeps (id, began) VALUES (1, ?)
		ON CONFLICT (id) DO UPDATE SET began = excluded.began`, micros(at))
	return err
}

// Versions implements ledger.Home.
func (d *Database) Versions(ctx context.Context, ids []string) (map[string]int, error) {
	versions := map[string]int{}
	if len(ids) == 0 {
		return versions, nil
	}
	args := access.Each(ids, func(id string) any { return id })
	err := d.query(ctx, d.read, "SELECT id, version FROM requests WHERE id IN "+tuples(len(ids), len(ids)), args,
		func(scan func(...any) error) error {
			var id string
			var version number
			err := scan(&id, &version)
			versions[id] = int(version)
			return err
		})
	return versions, err
}

// Outbox implements ledger.Home.
func (d *Database) Outbox(ctx context.Context) (int, time.Time, error) {
	var count, oldest number
	err := d.query(ctx, d.read, "SELECT COUNT(*), COALESCE(MIN(made), 0) FROM outbox WHERE due > 0", nil,
		func(scan func(...any) error) error { return scan(&count, &oldest) })
	return int(count), moment(int64(oldest)), err
}

// LastSweep implements ledger.Home.
func (d *Database) LastSweep(ctx context.Context) (time.Time, error) {
	var began number
	err := d.query(ctx, d.read, "SELECT began FROM sweeps WHERE id = 1", nil, func(scan func(...any) error) error { return scan(&began) })
	return moment(int64(began)), err
}

// Hold implements ledger.Home.
func (d *Database) Hold(ctx context.Context, name, holder string, life time.Duration) (bool, error) {
	now := "CAST(unixepoch('subsec') * 1000000 AS BIGINT)"
	if d.numbered {
		now = "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)"
	}
	return d.change(ctx, "INSERT INTO leases (name, holder, until) VALUES (?, ?, "+now+` + ?)
		ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until
		WHERE leases.holder = excluded.holder OR leases.until <= `+now, name, holder, life.Microseconds())
}

// Release implements ledger.Home.
func (d *Database) Release(ctx context.Context, name, holder string) error {
	_, err := d.change(ctx, "DELETE FROM leases WHERE name = ? AND holder = ?", name, holder)
	return err
}

// EndSession implements ledger.Home.
func (d *Database) EndSession(ctx context.Context, id string, until, now time.Time) (first bool, err error) {
	if _, err = d.change(ctx, "DELETE FROM ended_sessions WHERE until < ?", micros(now)); err != nil {
		return false, err
	}
	return d.change(ctx, "INSERT INTO ended_sessions (id, until) VALUES (?, ?) ON CONFLICT DO NOTHING", id, micros(until))
}

// SessionEnded implements ledger.Home.
func (d *Database) SessionEnded(ctx context.Context, id string) (ended bool, err error) {
	err = d.query(ctx, d.read, "SELECT id FROM ended_sessions WHERE id = ?", []any{id}, func(scan func(...any) error) error {
		ended = true
		return scan(&id)
	})
	return ended, err
}

// Keep implements ledger.Home.
func (d *Database) Keep(ctx context.Context, n ledger.Note, kept ...ledger.Kept) error {
	note := statement{d.rebind(`INSERT INTO notes (kind, id, made, body, algorithm, key_id, public_key, signature)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?)`), []any{n.Kind, n.ID, micros(n.Made), ledger.Base64(n.Body), n.Signature.Algorithm,
		n.Signature.Key, ledger.Base64(n.Signature.Public), ledger.Base64(n.Signature.Bytes)}}
	err := d.together(ctx, append([]statement{note}, access.Each(kept, d.message)...))
	if errors.Is(err, ledger.ErrChanged) { // it is there already
		return nil
	}
	return err
}

// Notes implements ledger.Home.
func (d *Database) Notes(ctx context.Context, kind string, max int) ([]ledger.Note, error) {
	return d.NotesUnder(ctx, kind, "", max)
}

// NotesUnder implements ledger.Home. How texts are ordered differs between databases, so that
// the prefix is compared as a text.
func (d *Database) NotesUnder(ctx context.Context, kind, prefix string, max int) ([]ledger.Note, error) {
	which, args := "kind = ?", []any{kind}
	if prefix != "" {
		which, args = "kind = ? AND substr(id, 1, ?) = ?", []any{kind, utf8.RuneCountInString(prefix), prefix}
	}
	return all(ctx, d, d.read, `SELECT id, made, `+bounded("body", maxText)+`, algorithm, key_id, public_key, signature FROM notes
		WHERE `+which+` ORDER BY made DESC, id DESC LIMIT ?`, append(args, max), func(scan func(...any) error) (ledger.Note, error) {
		n := ledger.Note{Kind: kind}
		var made number
		var body, public, signature string
		err := scan(&n.ID, &made, &body, &n.Signature.Algorithm, &n.Signature.Key, &public, &signature)
		n.Made, n.Body, n.Signature.Public, n.Signature.Bytes = moment(int64(made)), unbase64(body), unbase64(public), unbase64(signature)
		return n, err
	})
}

// stride is how many requests Walk reads at a time; nothing is held open in between.
const stride = 500

// Walk implements ledger.Home.
func (d *Database) Walk(ctx context.Context, each func(ledger.Record) error) error {
	for after := ""; ; {
		records, err := d.stretch(ctx, after)
		if err != nil || len(records) == 0 {
			return err
		}
		for _, r := range records {
			if err := each(r); err != nil {
				return err
			}
		}
		after = records[len(records)-1].ID
	}
}

// stretch are the records of the requests after one, as they were at one moment.
func (d *Database) stretch(ctx context.Context, after string) ([]ledger.Record, error) {
	options := &sql.TxOptions{ReadOnly: true}
	if d.numbered { // in SQLite every transaction sees one moment
		options.Isolation = sql.LevelRepeatableRead
	}
	tx, err := d.read.BeginTx(ctx, options)
	if err != nil {
		return nil, err
	}
	defer tx.Rollback()
	ids, err := all(ctx, d, tx, `SELECT id FROM (SELECT id FROM requests WHERE id > ? ORDER BY id LIMIT ?) a
		UNION SELECT id FROM (SELECT DISTINCT request_id AS id FROM events WHERE request_id > ? ORDER BY request_id LIMIT ?) b
		ORDER BY id LIMIT ?`, []any{after, stride, after, stride, stride}, func(scan func(...any) error) (string, error) {
		var id text
		err := scan(&id)
		return string(id), err
	})
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	between := []any{after, ids[len(ids)-1]}
	rows, err := all(ctx, d, tx, "SELECT "+rowColumns+" FROM requests r WHERE r.id > ? AND r.id <= ?", between, scanRow)
	if err != nil {
		return nil, err
	}
	of, chains := map[string]*ledger.Row{}, map[string]*chain{}
	for _, row := range rows {
		of[row.ID] = &row
	}
	for _, id := range ids {
		chains[id] = &chain{}
	}
	// A list is of its row where it says the same of it.
	err = d.query(ctx, tx, `SELECT v.request_id, v.principal FROM reviewers v JOIN requests r ON r.id = v.request_id
		AND r.state = v.state AND r.made = v.made WHERE v.request_id > ? AND v.request_id <= ?`, between, func(scan func(...any) error) error {
		var id string
		var p access.Principal
		err := scan(&id, &p)
		if row := of[id]; row != nil {
			row.Reviewers = append(row.Reviewers, p)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	err = d.query(ctx, tx, `SELECT `+entryColumns+` WHERE e.request_id > ? AND e.request_id <= ? ORDER BY e.request_id, e.version, p.place`,
		between, func(scan func(...any) error) error {
			row, err := scanEntry(scan)
			if c := chains[row.id]; c != nil {
				c.add(row)
			}
			return err
		})
	var records []ledger.Record
	for _, id := range ids {
		records = append(records, ledger.Record{ID: id, Row: of[id], Entries: chains[id].entries})
	}
	return records, err
}

// Erase implements ledger.Home.
func (d *Database) Erase(ctx context.Context, person access.Principal, r ledger.Row) (err error) {
	defer observed(ctx, "write")(&err)
	tx, err := d.write.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	result, err := tx.ExecContext(ctx, d.rebind("UPDATE requests SET principal = ?, resource = ?, summary = ? WHERE id = ? AND version = ?"),
		r.Principal, r.Resource, string(r.Summary), r.ID, r.Version)
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); err != nil || n != 1 {
		return ledger.ErrChanged
	}
	for table, column := range map[string]string{"parts": "person", "reviewers": "principal"} {
		if _, err := tx.ExecContext(ctx, d.rebind("DELETE FROM "+table+" WHERE request_id = ? AND (? = '' OR "+column+" = ?)"),
			r.ID, string(person), string(person)); err != nil {
			return err
		}
	}
	for table, of := range map[string]string{"outbox WHERE request_id": r.ID, "notes WHERE kind": ledger.NotesOf(r.ID)} {
		if _, err := tx.ExecContext(ctx, d.rebind("DELETE FROM "+table+" = ?"), of); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// unbase64 is what was encoded; of what is none, nothing, which verifies as nothing.
func unbase64(text string) []byte {
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil
	}
	return b
}

func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func moment(micros int64) time.Time {
	if micros == 0 {
		return time.Time{}
	}
	return time.UnixMicro(micros).UTC()
}
