// Package broker decides. It is the only package that changes anything: it says
// who may do what, records that, has it done, and records what became of it. It
// declares the ports through which it does so, and every method takes the caller
// as an argument.
package broker

import (
	"context"
	"io"
	"time"

	"jitaccess/internal/access"
)

// Config is what a Broker is made of. Everything is required unless it says
// otherwise.
type Config struct {
	Catalog  Catalog
	Granter  Granter
	Store    Store
	Journal  Journal
	Notifier Notifier
	Terms    Terms
	// Directory may be nil when Admins names no group.
	Directory Directory
	// Admins may end anyone's grants: "user:ADDRESS" and "group:ADDRESS". They may
	// not approve by it. May be empty.
	Admins []string
	// Now is the clock.
	Now func() time.Time
	// Random is a source of cryptographic quality.
	Random io.Reader
}

// Broker carries out what callers ask. Make one with New.
type Broker struct{ c Config }

// New makes a Broker.
func New(c Config) *Broker { return &Broker{c} }

// Instance is what holds for every entitlement.
func (b *Broker) Instance() Instance { return b.c.Terms.Instance() }

// Channel is whether people can be told of requests by the service itself. If not,
// links are passed on by hand.
func (b *Broker) Channel() bool { return b.c.Notifier.Enabled() }

// Offer is what a caller finds on a resource.
type Offer struct {
	Resource access.Resource
	// Roles are what the caller may request, sorted by id.
	Roles    []OfferedRole
	Warnings []*access.Error
}

// OfferedRole is one entitlement of an offer.
type OfferedRole struct {
	Entitlement access.Entitlement
	Terms       access.Terms
	Role        access.RoleInfo
	// Activation is the caller's grant of exactly this entitlement that is active
	// now and ends last; nil when there is none.
	Activation *access.Activation
}

// Ask is a request as a person states it.
type Ask struct {
	// ID was minted with the form, so that sending it twice is one request; empty
	// mints one. It must begin with jit- for activation without others and with
	// mpa- for a request to reviewers.
	ID            string
	Resource      access.Resource
	Entitlements  []access.EntitlementID
	Justification string
	Duration      time.Duration
	// Start is when access is wanted from; zero is at once.
	Start time.Time
	// Reviewers are addresses as typed. They must be empty for activation without
	// others.
	Reviewers []string
	// Origin is the scheme and host for links; empty when none can be trusted, in
	// which case only what writes no link works. Host is the host that the request
	// came to, for the refusal's text.
	Origin, Host string
}

// Asked is what became of an Ask.
type Asked struct {
	Request access.Request
	// Ref opens the request of a peer approval; empty for self-approval.
	Ref string
	// ReviewURL is the link for reviewers; empty for self-approval.
	ReviewURL string
	// Outcomes and Window are set for self-approval.
	Outcomes []access.Outcome
	Window   access.Window
	// Warnings are troubles that came after what was recorded or granted.
	Warnings []*access.Error
}

// View is a request as shown to one of the people it concerns.
type View struct {
	Request access.Request
	State   access.State
	// Activations are what the provider holds of it.
	Activations []access.Activation
	// Roles describes the roles in the order of Request.Entitlements.
	Roles []access.RoleInfo
	// Bindings is the text that approving now would write, or that was written.
	Bindings []access.Binding
	// Window is what was granted, or what approving now would grant.
	Window access.Window
	// Digest is to be sent back with the decision.
	Digest string
	// CanDecide is whether the caller may decide it now; if they may not though
	// they are a reviewer, WhyNot says why.
	CanDecide bool
	WhyNot    *access.Error
	// CanEnd is whether the caller may end the grant.
	CanEnd bool
	// IsPrincipal and IsReviewer are what the caller is to the request.
	IsPrincipal, IsReviewer bool
	// ReviewURL is the link, for the principal to pass on; empty when no origin can
	// be trusted.
	ReviewURL string
	// Forgets is whether a denial is only a declining (see access.Limits).
	Forgets  bool
	Warnings []*access.Error
}

// Decide is a decision as a person states it.
type Decide struct {
	Ref     string
	Verdict access.Verdict
	// Comment is required when denying.
	Comment string
	// Digest is that of the View decided on; empty when the caller saw none (the
	// JSON interface of JIT Access 1.x).
	Digest string
	// Origin is as in Ask. Without one a decision still works; mails carry no link.
	Origin string
}

// Decided is what became of a decision.
type Decided struct {
	Request  access.Request
	State    access.State
	Decision access.Decision
	// Window and Outcomes are set when it led to a grant, now or earlier.
	Window   access.Window
	Outcomes []access.Outcome
	// Forgets is as in View.
	Forgets  bool
	Warnings []*access.Error
}

// Ended is what became of ending a grant.
type Ended struct {
	Activations []access.Activation
	Outcomes    []access.Outcome
	Warnings    []*access.Error
}

var _ = context.Background
