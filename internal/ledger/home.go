package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"jitaccess/internal/access"
)

// Home is where entries are kept. It knows nothing of what they mean, and decides
// nothing. All its methods may be called concurrently. Errors need not be
// *access.Error; the two below are part of the contract.
//
// It asks no more than a store of documents can do: one transaction on one request,
// with what hangs on it; equality on few fields, in the order of time; no joins.
type Home interface {
	// Load returns the entries of a request in their order; none when it is unknown.
	Load(ctx context.Context, id string) ([]Entry, error)

	// LoadAll is Load of several requests, by their ids, until texts of so many bytes were read:
	// whole is false then, and those that were not read to their end are left out. What is
	// unknown is left out too.
	LoadAll(ctx context.Context, ids []string, bytes int) (entries map[string][]Entry, whole bool, err error)

	// Put adds an entry, with all that is in w, or nothing. ErrChanged when the request
	// is at another version than w.Before, or its personal data was erased. Any other error leaves open whether it was
	// written: the caller looks.
	Put(ctx context.Context, w Write) error

	// List returns rows, the newest first, those of one time in an order of their own
	// that does not change.
	List(ctx context.Context, q Query) ([]Row, error)

	// Versions returns the versions of the rows of requests, by their IDs; nothing for what is
	// unknown.
	Versions(ctx context.Context, ids []string) (map[string]int, error)

	// Count counts the rows, whatever the AfterID and Max of the query: all of them where it is
	// whole, and otherwise the newest.
	Count(ctx context.Context, q Query) (counts []access.Count, whole bool, err error)

	// Due returns rows in one of the states, or in any where none is given, whose Due is set
	// and not after by, the earliest first, those of one
	// time by their IDs; of those only what comes after a time and an ID, which are zero for
	// the beginning.
	Due(ctx context.Context, by, after time.Time, afterID string, max int, states ...access.State) ([]Row, error)

	// Waiting returns what of the outbox is due by then, where its ID begins
	// with access.Besides, or where it does not; nothing that is put aside, which Aside returns,
	// the oldest first. It goes in turns: of each Channels one at a time, and of those one of each
	// Person at a time, the earliest first.
	Waiting(ctx context.Context, by time.Time, max int, besides bool) ([]Kept, error)
	Aside(ctx context.Context, max int) ([]Kept, error)
	// Lease makes a message that of to, if it is still whose it was and was not tried since, and
	// says whether.
	Lease(ctx context.Context, was Kept, to string) (bool, error)
	// Drop removes a message, and Delay keeps it for later and counts an attempt, nobody's
	// then; both only where it is still that of lease. Without a time it is put aside; a
	// Notice that is not empty takes the place of what it was, with Channels.
	Drop(ctx context.Context, id, lease string) error
	Delay(ctx context.Context, k Kept, due time.Time) error

	// Outbox returns how many messages are in the outbox, but for those put aside, and since when
	// the oldest; zero for none.
	Outbox(ctx context.Context) (count int, oldest time.Time, err error)

	// Swept keeps when the last periodic sweep began, LastSweep is what was kept last; zero
	// for nothing.
	Swept(ctx context.Context, at time.Time) error
	LastSweep(ctx context.Context) (time.Time, error)

	// Hold gives the name to the holder for a life that begins now, by the home's own
	// clock, unless it is another's whose life is not over, and says whether. Who holds it
	// already begins a new life.
	Hold(ctx context.Context, name, holder string, life time.Duration) (bool, error)
	// Release gives the name up, if it is still the holder's.
	Release(ctx context.Context, name, holder string) error

	// EndSession keeps that a session was ended, and forgets those of which the until that
	// was kept is before now. Of several who keep the same, one is the first. SessionEnded is
	// whether that is kept.
	EndSession(ctx context.Context, id string, until, now time.Time) (first bool, err error)
	SessionEnded(ctx context.Context, id string) (bool, error)

	// Keep keeps a note, with messages for the outbox, or nothing. One of the same kind and ID
	// stays as it is, and then nothing is kept.
	Keep(ctx context.Context, n Note, kept ...Kept) error
	// Notes returns those of a kind, the newest first, at most max; NotesUnder only those
	// whose IDs begin with the prefix.
	Notes(ctx context.Context, kind string, max int) ([]Note, error)
	NotesUnder(ctx context.Context, kind, prefix string, max int) ([]Note, error)

	// Walk calls each with everything that is kept, request by request in no particular
	// order, and stops at its error. What is written meanwhile may be in it or not; of one
	// request all is of one moment.
	Walk(ctx context.Context, each func(Record) error) error

	// Erase empties the personal data of the parts of a request that are of the person,
	// or all of them where that is empty, and replaces its row, if the row still has its
	// version: ErrChanged otherwise. What is to be told of it goes, and its notes (NotesOf);
	// entries stay.
	Erase(ctx context.Context, person access.Principal, row Row) error

	// Close gives everything back.
	Close() error
}

// ErrChanged: somebody else has changed the request meanwhile.
var ErrChanged = errors.New("the request was changed meanwhile")

// NewerError is the error of a home that is kept in a way that this version does not know.
type NewerError struct{ Has, Knows int64 }

func (e NewerError) Error() string {
	return fmt.Sprintf("the database has schema %d, and this version of jitaccess knows up to %d: "+
		"it was used by a newer version; run that one",
		e.Has, e.Knows)
}

// Write is one entry with everything that is to be written with it.
type Write struct {
	// Before is the version that the request must have; 0 means that there must be none.
	Before int
	Entry  Entry
	Row    Row
	// Relisted: Row.Reviewers are others than those of the row before.
	Relisted bool
	Kept     []Kept
}

// Row is what a request is found by. It is made anew with every entry, decides
// nothing, and nobody gets access by what is in it.
type Row struct {
	ID      string
	Version int
	// Head is the Digest of the last entry.
	Head  string
	State access.State
	// Principal, Reviewers and Resource are what it is listed by; empty when erased. A
	// broken glass that nobody has reviewed has one Reviewer, who is nobody (unreviewed).
	// Reviewers are read by Walk alone: those in whose lists it is, in any order.
	Principal access.Principal
	Reviewers []access.Principal
	Resource  access.Resource
	// Made is when the request was made; Due when something is to be done about it, or
	// zero.
	Made, Due time.Time
	// Summary is the request as of the last entry, for lists; JSON.
	Summary []byte
	// Entries may come with a row where a Query asks for them; nil is that they did not.
	Entries []Entry
}

// Record is all that is kept of a request. Either may be missing where somebody has
// taken it away.
type Record struct {
	ID      string
	Row     *Row
	Entries []Entry
}

// Note is something that is kept beside requests, and never changed: see notes.go.
type Note struct {
	Kind, ID  string
	Made      time.Time
	Body      []byte
	Signature Signature
}

// Query chooses rows. Empty fields choose nothing. At most one of Principal, Reviewer
// and Resource need be quick together with States.
type Query struct {
	Principal, Reviewer access.Principal
	Resource            access.Resource
	States              []access.State
	From, To            time.Time
	// AfterMade and AfterID are of the row after which the answer begins; AfterID is
	// empty for the beginning.
	AfterMade time.Time
	AfterID   string
	Max       int
	// Entries: a home that has them with a row at no further price returns them with it, of the
	// first rows until texts of so many bytes were read.
	Entries int
}

// Kept is a message in the outbox. One that is put aside has no Due.
type Kept struct {
	ID, Request string
	Notice      []byte
	Made, Due   time.Time
	Attempts    int
	Lease       string
	// Person is whose it is, and Channels are those that are left to tell it; empty are all.
	// They are written alone.
	Person, Channels string
}
