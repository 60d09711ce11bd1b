package storybook

import (
	"bytes"
	"context"
	"slices"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/passkey"
	"jitaccess/internal/server"
)

// State is what a broker answers in a story, over the world. Stories change it.
type State struct {
	*World
	// Resources are those to choose from; Unlisted is what may be missing.
	Resources []access.ResourceInfo
	Unlisted  []*access.Error
	Offer     broker.Offer
	Reviewers []access.Principal
	// Named is what a search shows; nil: there is nothing to search. Unsearched is why not.
	Named      *access.Named
	Unsearched []*access.Error
	Asked      broker.Asked
	View       broker.View
	Decided    broker.Decided
	Ended      broker.Ended
	More       broker.MoreReviewers
	// Remembers is whether there is a ledger; what follows is of it.
	Remembers, Auditor bool
	Listed             map[string][]access.Request
	Next               string
	Extension          broker.Choice
	Glass              string
	// Passkeys are what there is of them; nil: nobody can sign.
	Passkeys *broker.PasskeyList
	// Keyless are those of the reviewers who have none.
	Keyless []access.Principal
	// Needed are terms with approval.
	Needed access.Terms
	// Err fails everything, Refused asking alone.
	Err, Refused error
	// Account is nil where the page does not matter.
	Account *Account
	// Login is nil where a proxy signs people in.
	Login server.Login
	// Apps are the applications that there are; nil: there can be none.
	Apps func(*State) *server.Apps
}

// Canned is a broker that answers what its state says, so that a page can be had in any state.
type Canned struct{ *State }

func (c Canned) Resources(context.Context, access.Caller) ([]access.ResourceInfo, []*access.Error, error) {
	return c.State.Resources, c.State.Unlisted, c.State.Err
}
func (c Canned) Named(context.Context, access.Caller) (access.Named, bool, []*access.Error) {
	if c.State.Named == nil {
		return access.Named{}, false, nil
	}
	return *c.State.Named, true, c.State.Unsearched
}
func (c Canned) Offer(context.Context, access.Caller, access.Resource) (broker.Offer, error) {
	return c.State.Offer, c.State.Err
}
func (c Canned) Choose(_ context.Context, caller access.Caller, _ access.Resource, ids ...access.EntitlementID) (broker.Choice, error) {
	if c.State.Err != nil {
		return broker.Choice{}, c.State.Err
	}
	chosen, err := c.State.Offer.Choose(ids...)
	if err == nil {
		chosen.Form, err = c.NewForm(caller, chosen.Kind)
	}
	if err == nil && chosen.Kind == access.Peers {
		chosen.Reviewers, chosen.Keyless, chosen.GlassForm = c.State.Reviewers, c.State.Keyless, c.State.Glass
	}
	return chosen, err
}
func (c Canned) Reviewers(context.Context, access.Caller, ...access.EntitlementID) (broker.Reviewers, error) {
	return broker.Reviewers{People: c.State.Reviewers, Keyless: c.State.Keyless}, nil
}
func (c Canned) Keyless(context.Context, access.Request) []access.Principal { return c.State.Keyless }
func (c Canned) Ask(context.Context, access.Caller, broker.Ask) (broker.Asked, error) {
	if c.State.Refused != nil {
		return broker.Asked{}, c.State.Refused
	}
	return c.State.Asked, c.State.Err
}
func (c Canned) Show(context.Context, access.Caller, string, string) (broker.View, error) {
	return c.State.View, c.State.Err
}
func (c Canned) MoreReviewers(context.Context, access.Caller, string) (broker.MoreReviewers, error) {
	return c.State.More, nil
}
func (c Canned) AddReviewers(context.Context, access.Caller, broker.AddReviewers) (broker.Asked, error) {
	return c.State.Asked, c.State.Err
}
func (c Canned) Decide(context.Context, access.Caller, broker.Decide) (broker.Decided, error) {
	return c.State.Decided, c.State.Err
}
func (c Canned) End(context.Context, access.Caller, access.Resource, string, access.Principal) (broker.Ended, error) {
	return c.State.Ended, c.State.Err
}

func (c Canned) Remembers() bool { return c.State.Remembers }
func (c Canned) Passkeys() bool  { return c.State.Passkeys != nil }
func (c Canned) PasskeyList(context.Context, access.Caller) (broker.PasskeyList, error) {
	return *c.State.Passkeys, c.State.Err
}
func (c Canned) Enrol(context.Context, access.Caller, string, passkey.Creation) (access.Passkey, []*access.Error, error) {
	return access.Passkey{}, nil, c.State.Refused
}
func (c Canned) RemovePasskey(context.Context, access.Caller, access.Principal, string) ([]*access.Error, error) {
	return c.State.Asked.Warnings, c.State.Refused
}
func (c Canned) Signing(_ context.Context, _ access.Caller, v broker.View, atMost time.Duration) (broker.Ceremony, error) {
	return broker.Ceremony{RelyingParty: "access.example.com", Credentials: [][]byte{[]byte("laptop")}, Statement: passkey.Statement{
		Purpose: passkey.Approval, Person: Ben, Request: v.Digest, Duration: atMost, Nonce: bytes.Repeat([]byte{7}, 32), At: Noon}}, c.State.Err
}
func (c Canned) Auditor(context.Context, access.Caller) bool { return c.State.Auditor }
func (c Canned) History(_ context.Context, _ access.Caller, view string, l access.Listing) (access.Listed, []*access.Error, error) {
	listed := access.Listed{Next: c.State.Next}
	for _, q := range c.State.Listed[view] {
		if len(l.States) == 0 || slices.Contains(l.States, q.State) {
			listed.Requests = append(listed.Requests, q)
		}
	}
	if l.Max > 0 && len(listed.Requests) > l.Max {
		listed.Requests, listed.Next = listed.Requests[:l.Max], "NEXT"
	}
	return listed, nil, c.State.Err
}
func (c Canned) Counts(ctx context.Context, p access.Caller, l access.Listing) ([]access.Count, bool, []*access.Error, error) {
	listed, warnings, err := c.History(ctx, p, broker.ViewAll, l)
	var counts []access.Count
	for _, q := range listed.Requests {
		counts = append(counts, access.Count{Day: q.Created.UTC().Truncate(24 * time.Hour), State: q.State, Requests: 1})
	}
	return counts, listed.Next == "", warnings, err
}
func (c Canned) Extension(context.Context, access.Caller, string) (broker.Choice, error) {
	return c.State.Extension, c.State.Err
}

// New is a believable state that stories change.
func New() *State {
	c := &State{World: NewWorld(nil), Reviewers: []access.Principal{Ben, Carl, Dora}}
	caller := access.Caller{Principal: Ana}
	c.Resources, _, _ = c.World.Resources(context.Background(), caller)
	c.Offer, _ = c.World.Offer(context.Background(), caller, Orders)
	c.Needed, _ = c.Defaults(caller, access.Peers)
	q := access.Request{ID: "mpa-AQEBAQEBAQEBAQEB", Kind: access.Peers, Principal: Ana, Resource: Orders, Entitlements: []access.EntitlementID{Security},
		Justification: "case 4711: the checkout’s service account lost a role", Duration: time.Hour, Reviewers: []access.Principal{Ben, Carl},
		Created: Noon.Add(-4 * time.Minute), Expires: Noon.Add(56 * time.Minute)}
	c.View = broker.View{Request: q, State: access.Pending, Roles: []access.RoleInfo{RoleInfos[Security.Role]}, Window: q.WindowAt(Noon), Digest: q.Digest(),
		Effects: []access.Effect{{Text: BindingText}}, IsReviewer: true, ReviewURL: "https://access.example.com/?activation=REF", Forgets: true}
	c.More = broker.MoreReviewers{Request: q, Candidates: []access.Principal{Dora, "eva.sand@example.com"}, Room: 1}
	return c
}

// Configure makes a server tell the story: what pages need beside the broker.
func (c *State) Configure(to *server.Config) {
	if c.Account != nil {
		to.Accounts = []server.Account{c.Account}
		for _, each := range c.Account.Besides {
			to.Accounts = append(to.Accounts, each)
		}
	}
	if c.Login != nil {
		to.Login, to.SwitchAccount, to.AuthenticateEvent = c.Login, "", "oidc.authenticate"
	}
	if c.Apps != nil {
		to.Apps = c.Apps(c)
	}
}
