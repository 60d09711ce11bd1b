// Package firestore is the ledger's home in Cloud Firestore, in native mode, by its REST
// interface (docs/decisions/23-firestore-by-rest.md).
//
// A request is one document, with its row, its entries and their parts, so that whatever is
// written of it is written at one moment, and is read at one. Who writes says which version
// of a document it follows on (a precondition): no transaction is held open, and nothing is
// done again by itself that may have been done.
package firestore

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"

	"jitaccess/internal/ledger"
)

// Config is what a Database is made of. All of it is required, but Pause.
type Config struct {
	// Client is authorized as the service account.
	Client *http.Client
	// Endpoint is where the service is, without a slash at the end.
	Endpoint string
	// Project and Database are its ids.
	Project, Database string
	// Pause waits before a call is made again, the first time and the next ones, or returns
	// the context's error. nil waits for real.
	Pause func(ctx context.Context, attempt int) error
}

// Database is a ledger.Home.
type Database struct {
	c Config
	// name is that of the database, documents of the collections in it.
	name, documents string
	mu              sync.Mutex
	// reached is where the last look at what is waiting ended, by Waiting's besides; nothing
	// where it saw everything.
	reached map[bool][]value
}

// Collections.
const (
	requests = "requests"
	outbox   = "outbox"
	notes    = "notes"
	leases   = "leases"
	sessions = "sessions"
	states   = "state"
)

// Documents of states.
const (
	sweepDocument  = "sweep"
	layoutDocument = "layout"
)

// layout is how things are kept by this version.
const layout = 1

// New makes a Database, without asking anything of it.
func New(c Config) *Database {
	d := &Database{c: c, name: "projects/" + c.Project + "/databases/" + c.Database, reached: map[bool][]value{}}
	d.documents = d.name + "/documents"
	if d.c.Pause == nil {
		d.c.Pause = pause
	}
	return d
}

// Prepare marks a new database as one that is kept in this version's layout, and returns a
// ledger.NewerError for one that is kept in a way that this version does not know. Layouts
// only add: a version runs on its own and on the next one. One in which somebody else keeps
// documents where ours would lie is left as it is.
func (d *Database) Prepare(ctx context.Context) error {
	found, err := d.get(ctx, states, []string{layoutDocument})
	if err != nil {
		return err
	}
	if at, ok := found[layoutDocument]; ok {
		if has := at.Fields["version"].number(); has > layout+1 {
			return ledger.NewerError{Has: has, Knows: layout}
		}
		return nil
	}
	for _, collection := range []string{requests, outbox, notes, leases, sessions, states} {
		if err := d.run(ctx, d.others(collection), 1, func(one document) error {
			return fmt.Errorf("%s is somebody else's: it has %q; make one for jitaccess alone, and name it in DATABASE_URL", d, one.Name)
		}); err != nil {
			return err
		}
	}
	err = d.follows(ctx, d.create(states, layoutDocument, fields{"version": integer(layout)}))
	if errors.Is(err, ledger.ErrChanged) { // another was quicker
		return nil
	}
	return err
}

// others are documents of a collection that are not ours: they have the name of something else.
func (d *Database) others(collection string) *query {
	return from(collection, up).where(name, atLeast, value{Reference: d.documents + "/" + collection + "/" + behindMarked})
}

// String names the database.
func (d *Database) String() string { return "the Firestore database " + d.name }

// Close implements ledger.Home. Connections are those of Config.Client.
func (d *Database) Close() error { return nil }

// errTooMuch is of a write that one commit cannot hold, which was not sent.
var errTooMuch = errors.New("more is to be written at one moment than Firestore takes: 500 documents, 1 MiB each")
