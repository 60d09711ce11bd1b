// Package relational is the ledger's home in SQLite and in PostgreSQL: one set of
// statements for both.
package relational

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"jitaccess/internal/ledger"
)

// Database is a ledger.Home. Make one with SQLite or PostgreSQL, and bring its schema up
// with Migrate before its first use.
type Database struct {
	// write and read are two pools where one writer is all that there can be.
	write, read *sql.DB
	dialect     goose.Dialect
	// numbered: parameters are $1, $2, … in place of ?.
	numbered bool
}

// maxConnections is how many connections an instance opens. Cloud SQL's smallest has 25.
const maxConnections = 10

// How much of the file a connection keeps in memory, in KiB, where it reads and where it writes;
// SQLite's own is 2,000, and the system has the file in its cache anyway
// (https://sqlite.org/pragma.html#pragma_cache_size). A page of 4 KiB and what SQLite keeps beside
// it take 8 KiB and more of this driver's memory, which hands out powers of two
// (modernc.org/memory). A transaction that changes more than fits is written to the log early.
const (
	readCache  = 64
	writeCache = 128
)

// SQLite opens the database in a file, which it makes, readable for nobody else. The
// error says what is wrong with the path; whether the file is a database is seen when it
// is used.
//
// Writers wait for one another for as long as the caller's context lets them, and
// what was committed survives the loss of power.
func SQLite(path string) (*Database, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err = errors.Join(err, file.Close()); err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s can be read by others (mode %o): chmod 600 it", path, info.Mode().Perm())
	}
	open := func(options string) (*sql.DB, error) {
		// The text of a DSN can run SQL; this one has nothing of others in it but the path.
		dsn := url.URL{Scheme: "file", Path: path, RawQuery: "_pragma=busy_timeout(25000)&" + options}
		return sql.Open("sqlite", dsn.String())
	}
	// FULL, as a commit must stand before a grant is written; immediate, as a transaction
	// that reads first cannot wait to write (https://sqlite.org/rescode.html#busy).
	write, err := open("_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_txlock=immediate" + cached(writeCache))
	if err != nil {
		return nil, err
	}
	write.SetMaxOpenConns(1)
	read, err := open("mode=ro&_pragma=query_only(1)" + cached(readCache))
	if err != nil {
		return nil, errors.Join(err, write.Close())
	}
	read.SetMaxOpenConns(maxConnections)
	return &Database{write: write, read: read, dialect: goose.DialectSQLite3}, nil
}

func cached(kibibytes int) string { return "&_pragma=cache_size(-" + strconv.Itoa(kibibytes) + ")" }

// Password returns the password of a new connection.
type Password func(context.Context) (string, error)

// cloudSQL is where Cloud Run and App Engine have the sockets of instances of Cloud SQL.
// https://cloud.google.com/sql/docs/postgres/connect-run
const cloudSQL = "/cloudsql/"

// PostgreSQL opens the database that a URL names, of which libpq's manual says what can
// be in it, several hosts with target_session_attrs for one. To a socket of Cloud SQL it
// logs in with password, where the URL has none; that may be nil elsewhere. The error is
// about the URL, and has no password in it.
func PostgreSQL(address string, password Password) (*Database, error) {
	config, err := pgx.ParseConfig(address)
	if err != nil {
		return nil, errors.New("not the URL of a PostgreSQL database: postgres://USER@HOST/DATABASE")
	}
	var options []stdlib.OptionOpenDB
	if strings.HasPrefix(config.Host, cloudSQL) && config.Password == "" && password != nil {
		options = append(options, stdlib.OptionBeforeConnect(func(ctx context.Context, c *pgx.ConnConfig) error {
			var err error
			c.Password, err = password(ctx)
			return err
		}))
	}
	db := stdlib.OpenDB(*config, options...)
	db.SetMaxOpenConns(maxConnections)
	db.SetMaxIdleConns(maxConnections)
	return &Database{write: db, read: db, dialect: goose.DialectPostgres, numbered: true}, nil
}

// Close closes all connections.
func (d *Database) Close() error {
	if d.read == d.write {
		return d.write.Close()
	}
	return errors.Join(d.read.Close(), d.write.Close())
}

//go:embed migrations
var migrations embed.FS

// Migrate brings the schema up to what this binary needs, which can be done by several
// at once. Changes only add, so that a binary runs on its own schema and on the next
// one; on one that is newer it stops, with a ledger.NewerError. Where nothing is to be
// changed, no right to change anything is needed.
func (d *Database) Migrate(ctx context.Context) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	return d.migrate(ctx, files)
}

// busy reports that another has the lock on an SQLite file.
func busy(err error) bool {
	locked, ok := errors.AsType[*sqlite.Error](err)
	return ok && locked.Code()&0xff == sqlite3.SQLITE_BUSY
}

func (d *Database) migrate(ctx context.Context, files fs.FS) error {
	options := []goose.ProviderOption{goose.WithDisableGlobalRegistry(true)}
	if d.dialect == goose.DialectPostgres {
		locker, err := lock.NewPostgresSessionLocker()
		if err != nil {
			return err
		}
		options = append(options, goose.WithSessionLocker(locker))
	}
	provider, err := goose.NewProvider(d.dialect, d.write, files, options...)
	if err != nil {
		return err
	}
	has, knows, err := provider.GetVersions(ctx)
	// A new file becomes one with a write-ahead log under a lock that SQLite does not wait
	// for, whatever its timeout: another is doing it, and is done in milliseconds.
	// https://sqlite.org/c3ref/busy_handler.html
	for busy(err) && ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-time.After(5 * time.Millisecond):
			has, knows, err = provider.GetVersions(ctx)
		}
	}
	switch {
	case err != nil:
		return err
	case has > knows+1:
		return ledger.NewerError{Has: has, Knows: knows}
	case has >= knows:
		return nil
	}
	for {
		if _, err = provider.Up(ctx); err == nil {
			return nil
		}
		// In SQLite nothing locks between looking and changing: another may have been quicker,
		// and then the rest is left to do, or nothing.
		now, _, again := provider.GetVersions(ctx)
		if again == nil && now >= knows {
			return nil
		}
		if again != nil || now == has {
			return err
		}
		has = now
	}
}
