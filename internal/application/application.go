// Package application is what applications may ask for: which there are, the templates by
// which they ask, and the checks of what they send.
package application

import (
	"context"
	"regexp"
	"time"

	"jitaccess/internal/access"
)

// Application is a program that asks for access of people.
type Application struct {
	// Name is unique (Name). URI is the issuer of its tokens, and the audience of what it
	// gets.
	Name, URI string
	// Keys returns those that its tokens are signed with, the newest first, at most two. An error
	// is that they are not known now, or not before the context is over; nobody can be taken for
	// the application until they are. What a Registry returns has it always.
	Keys func(context.Context) ([]Key, error)
	// CallbackHosts are the hosts to which it may be called back.
	CallbackHosts []string
	// Templates are in the order of their author.
	Templates []Template
	// Active: it may ask. What was asked by one that is not is not approved.
	Active bool
	// Damaged is why nothing but its name is known, and nothing is done with it; nil otherwise.
	Damaged *access.Error
}

// Damaged is an application of which nothing but its name is known.
func Damaged(name string, why *access.Error) Application {
	return Application{Name: name, Damaged: why, Keys: func(context.Context) ([]Key, error) { return nil, why }}
}

// Key is what an application signs its tokens with.
type Key struct {
	// ID tells the keys of one application apart.
	ID     string
	Secret []byte
}

// Known are keys that need not be read.
func Known(keys ...Key) func(context.Context) ([]Key, error) {
	return func(context.Context) ([]Key, error) { return keys, nil }
}

// Template is what an application can ask for. The zero value lets nobody have anything.
type Template struct {
	// Key is what the application calls it by (Key), Name what people do. Title is what
	// approvers read first; {NAME} in it is the value of a field of Data.
	Key, Name, Title string
	// Sign: approvers sign.
	Sign bool
	// Data are what the application must send; it may send nothing else.
	Data []Field
	// Claims are the names of those claims of its token that approvers are shown.
	Claims []string
	// Approvals is how many it takes, of Approvers, which are spelled user:ADDRESS and
	// group:ADDRESS.
	Approvals int
	Approvers []string
	// MaxDuration is the longest access, DefaultDuration what holds where the application
	// says nothing; RequestLife is how long a request can be decided.
	MaxDuration, DefaultDuration, RequestLife time.Duration
	// Metadata is handed back with each request, unchanged.
	Metadata map[string]string
	// ShowUnlinked: it may be asked for somebody of whom nobody knows who they are.
	ShowUnlinked bool
	// Active: it may be asked for. What was asked by one that is not is not approved.
	Active bool
}

// Field is a value that an application sends.
type Field struct {
	// Name is what it is called in what is sent, Label on the page; without one it is Name.
	Name, Label string
	// Pattern matches a whole value; nil matches every one.
	Pattern *regexp.Regexp
}

// Registry knows the applications.
type Registry interface {
	// Applications are those of now, sorted by name, active and not. That they are not known
	// now is an error, an *access.Error, and never none. The caller must change nothing in
	// them.
	Applications(ctx context.Context) ([]Application, error)
}
