// Package broker decides. It is the only package that changes anything: it says
// who may do what, records that, has it done, and records what became of it. It
// declares the ports through which it does so, and every method takes the caller
// as an argument.
package broker

import (
	"io"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/passkey"
)

// Config is what a Broker is made of. Everything is required unless it says
// otherwise.
type Config struct {
	// Providers are the systems in which there is access.
	Providers []Registration
	Store     Store
	Journal   Journal
	Policy    Policy
	Notifier  Notifier
	// Directory may be nil when Admins names no group.
	Directory Directory
	// Claims is whether assertions name groups (Caller.Claims). Without it nobody is
	// "claim:NAME", and terms that name it are refused.
	Claims bool
	// Admins may end anyone's grants: "user:ADDRESS", "group:ADDRESS" and "claim:NAME". They
	// may not approve by it. May be empty.
	Admins []string
	// Auditors read everybody's history, where there is one, named as Admins are. May be
	// empty.
	Auditors []string
	// Origin is the scheme and host of links in what is told without anybody asking; may
	// be empty, and then there are none.
	Origin string
	// Mailed is where somebody's mail goes, by which whose mail came back is known; nil is to
	// their address.
	Mailed func(access.Principal) (string, error)
	// Signatures and Nonces are nil where nobody can sign; nor can anybody without Origin.
	Signatures Signatures
	Nonces     *passkey.Nonces
	// Managed are the applications that are managed by page; nil where none are.
	Managed Managed
	// Now is the clock.
	Now func() time.Time
	// Random is a source of cryptographic quality.
	Random io.Reader
}

// Broker carries out what callers ask. Make one with New; all its methods may be
// called concurrently.
//
// Errors are *access.Error. Once something has been recorded or granted, later
// trouble is a warning in the answer, not an error.
type Broker struct {
	c Config
	// kinds are by the first segment of the paths.
	kinds map[string]owned
	// forgets is whether the store does; nothing else asks.
	forgets  bool
	asked    recent[Asked]
	denied   recent[Decided]
	later    later
	told     told
	survey   survey
	cautions cautions
	sweeping sweeping
	ownStep  ownStep
	waiting  waiting
	opening  chan struct{}
	keyring  keyring
}

// New makes a Broker.
func New(c Config) *Broker {
	b := &Broker{c: c, kinds: register(c.Providers), later: later{since: map[string]*development{}},
		waiting: waiting{all: map[string]map[*waiter]struct{}{}},
		asked:   newRecent[Asked](c.Now), denied: newRecent[Decided](c.Now), opening: make(chan struct{}, opensAtOnce),
		keyring: keyring{turn: make(chan struct{}, 1)}}
	if c.Store != nil { // it is left out where nothing is asked or decided
		b.forgets = c.Store.Limits().Forgets
	}
	return b
}

// Channels are how requests are told, be it to machines alone. Without any, links are
// passed on by hand.
func (b *Broker) Channels() []access.Channel { return b.c.Notifier.Channels() }

// NewForm numbers a form that the caller opens.
func (b *Broker) NewForm(caller access.Caller, kind access.RequestKind) (string, error) {
	return access.NewForm(b.c.Random, kind, caller.Principal, b.c.Now())
}
