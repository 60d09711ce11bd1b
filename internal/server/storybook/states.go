package storybook

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/broker/brokertest"
	"jitaccess/internal/passkey"
)

// startUpPolicy is the one of examples/policy.
//
//go:embed start-up.yaml
var startUpPolicy string

// startUp makes the policy of a start-up hold, of examples/policy.
func startUp(c *State) {
	c.Holdings[Ana] = append(c.Holdings[Ana], brokertest.Peer(Owner))
	c.Ruled(startUpPolicy)
	c.Offer, _ = c.World.Offer(context.Background(), access.Caller{Principal: Ana}, Orders)
}

// Happened is something that somebody did, so long after the request was made.
func Happened(what access.Action, who access.Principal, after time.Duration) access.Event {
	return access.Event{Action: what, At: Noon.Add(after - 4*time.Minute), Caller: access.Caller{Principal: who}}
}

// everythingThatHappens is one event of each action, as nothing has it.
func everythingThatHappens() []access.Event {
	var actions []access.Action
	for _, t := range access.Transitions {
		actions = append(actions, t.On)
	}
	slices.Sort(actions)
	var events []access.Event
	for i, action := range slices.Compact(actions) {
		events = append(events, Happened(action, Ben, time.Duration(i)*time.Second))
	}
	bounced := Happened(access.MailBounced, "", time.Duration(len(events))*time.Second)
	bounced.Caller.Method = access.MethodSystem
	bounced.Bounce = access.Bounce{To: Carl, Status: "5.1.1", Text: "550 <b>no such user</b>\u202e", Meaning: "There is no mailbox at the recipient's address."}
	unnamed := bounced
	unnamed.At, unnamed.Bounce = bounced.At.Add(time.Second), access.Bounce{}
	events = append(events, bounced, unnamed)
	refused := Warn(access.CodeRoleNotGrantable, access.Args{"role": "roles/owner", "resource": "acme-orders-prod"})
	for i := range events {
		switch events[i].Action {
		case access.RequestDenied:
			events[i].Decision.Comment = "Use the read-only role for this."
		case access.RequestApproved:
			events[i].Decision.Duration = 15 * time.Minute
		case access.GrantFailed:
			events[i].Err = refused
		case access.GrantWritten:
			events[i].Window = access.Window{Start: Noon, End: Noon.Add(time.Hour)}
			events[i].Outcomes = []access.Outcome{{Entitlement: Admin, Result: access.Refused, Err: refused}}
		case access.RequestLapsed, access.GrantExpired, access.Reminded:
			events[i].Caller = access.Caller{Method: access.MethodSystem}
		case access.RequestMade:
			events[i].Caller = access.Caller{}
		}
	}
	return events
}

// Ledgered is a service that remembers, and a request that takes two approvals and has one.
func Ledgered(c *State) {
	c.Remembers, c.View.Forgets, c.View.CanDecide, c.View.CanWithdraw = true, false, true, true
	q := &c.View.Request
	q.State, q.Version = access.Pending, 2
	q.Terms = access.Terms{Rule: "what changes permissions", Policy: strings.Repeat("3fa9c1d2e8b0", 5),
		Requirements: []access.Requirement{{Count: 2, From: []string{access.FromPeers}}}}
	q.Decisions = []access.Decision{{Verdict: access.Approve, By: Carl, At: Noon.Add(-time.Minute), Digest: q.Digest(), Duration: 30 * time.Minute}}
	c.View.Terms, c.View.Tally = q.Terms, access.Tally{Filled: []int{1}, Approvers: []access.Principal{Carl}}
	c.View.Events = []access.Event{Happened(access.RequestMade, Ana, 0), Happened(access.RequestApproved, Carl, 3*time.Minute)}
	c.View.Events[1].Decision = q.Decisions[0]
	at := func(id string, state access.State, begin, length time.Duration) access.Request {
		r := *q
		r.ID, r.State, r.Window = id, state, access.Window{Start: Noon.Add(begin), End: Noon.Add(begin + length)}
		return r
	}
	pending, erased := *q, access.Request{ID: "mpa-BQUFBQUFBQUFBQUF", Kind: access.Peers, State: access.Expired, Created: Noon.AddDate(0, 0, -9)}
	later := at("mpa-AwMDAwMDAwMDAwMD", access.Scheduled, 3*time.Hour, time.Hour)
	glass := at("mpa-BgYGBgYGBgYGBgYG", access.Expired, -3*time.Hour, time.Hour)
	glass.Kind, glass.Created = access.BreakGlass, Noon.AddDate(0, 0, -1)
	denied := at("mpa-BAQEBAQEBAQEBAQE", access.Denied, 0, 0)
	denied.Window, denied.Created = access.Window{}, Noon.AddDate(0, 0, -1)
	active := at("mpa-AgICAgICAgICAgIC", access.Active, -15*time.Minute, time.Hour)
	mine := []access.Request{pending, active, later, glass, denied, erased}
	c.Listed = map[string][]access.Request{broker.ViewMine: mine, broker.ViewReviews: {pending}, broker.ViewAll: mine}
	c.Extension = broker.Choice{Roles: []broker.OfferedRole{c.Offer.Roles[1]}, Kind: access.Peers, Terms: c.Needed, Form: "mpa-FORM", Extends: active,
		Reviewers: c.Reviewers}
}

// glazed is a service where Ana may break the glass.
func glazed(c *State) {
	Ledgered(c)
	c.Glass = "brk-GLASS"
	for i := range c.Offer.Roles {
		t := &c.Offer.Roles[i].Terms
		t.BreakGlass, t.Glass = true, access.GlassTerms{MaxDuration: 30 * time.Minute, ReviewBy: []string{"group:security@example.com"}}
	}
}

// Searched is what a search shows of somebody who has something, and may have more.
func Searched(c *State) {
	begins := Later(3)
	begins.Entitlement = Viewer
	c.Named = &access.Named{Activations: []access.Activation{*ActiveNow(), begins}, Eligible: []access.EntitlementID{Admin, Security}, Part: true}
}

// Extreme is a reason of the longest length: right to left, an emoji, marks stacked high, and
// no space to break at.
var Extreme = "سبب עִבְרִית 👩🏽‍🚒 Z" + strings.Repeat("\u0301\u0323", 40) + " " + strings.Repeat("W", 130)

var badInputs = &access.Error{Kind: access.Invalid, Code: access.CodeBadDuration, Field: "minutes", Args: access.Args{"max": "120"}}

// hundred is a project of a hundred roles, with names of the longest length, and fifty who may
// approve.
func hundred(c *State) {
	for i := range 98 {
		o := c.Offer.Roles[i%2]
		o.Entitlement.ID = access.EntitlementID{Resource: Orders, Role: access.Role(fmt.Sprintf("roles/%s.role%02d", strings.Repeat("long", 12), i))}
		o.Role = access.RoleInfo{Role: o.Entitlement.ID.Role, Title: Extreme[:100] + fmt.Sprint(i), Description: Extreme, ChangesPermissions: access.No}
		c.Offer.Roles = append(c.Offer.Roles, o)
	}
	c.Reviewers = nil
	for i := range 50 {
		c.Reviewers = append(c.Reviewers, access.Principal(fmt.Sprintf("%s.n%02d@%s.example.com", strings.Repeat("name", 14), i, strings.Repeat("d", 60))))
	}
}

// fifty are people with names of the usual length.
func fifty() (people []access.Principal) {
	for i := range 50 {
		people = append(people, access.Principal(fmt.Sprintf("reviewer.of.many.%c%c@example.com", 'a'+i/10, 'a'+i%10)))
	}
	return people
}

// many is a project of a hundred roles as there are, fifty people who can be asked, fifty who have
// been, and a dozen of each kind of request.
func many(c *State) {
	Ledgered(c)
	c.Offer.Roles[0].Terms.MaxReviewers, c.Needed.MaxReviewers = 50, 50
	for i := range 98 {
		o := c.Offer.Roles[i%2]
		o.Entitlement.ID = access.EntitlementID{Resource: Orders, Role: access.Role(fmt.Sprintf("roles/bigquery.dataViewer%02d", i))}
		o.Role.Role = o.Entitlement.ID.Role
		c.Offer.Roles = append(c.Offer.Roles, o)
	}
	for i := range c.Offer.Roles {
		c.Offer.Roles[i].Terms.MaxReviewers = 50
	}
	c.Reviewers, c.View.Request.Reviewers, c.More.Request.Reviewers = fifty(), fifty(), fifty()
	mine, waiting := c.Listed[broker.ViewMine], c.Listed[broker.ViewReviews]
	for i := range 12 {
		for _, q := range mine[:2] { // one that waits, and one that is active
			q.ID = fmt.Sprintf("mpa-%sAAAAAAAAAAAA%02d", q.ID[4:6], i)
			mine = append(mine, q)
			if q.State == access.Pending {
				waiting = append(waiting, q)
			}
		}
	}
	c.Listed = map[string][]access.Request{broker.ViewMine: mine, broker.ViewReviews: waiting}
}

func ActiveNow() *access.Activation {
	return &access.Activation{RequestID: "jit-AQEBAQEBAQEBAQEB", Principal: Ana, Entitlement: Admin, Approvers: []access.Principal{Ben},
		Window: access.Window{Start: Noon.Add(-15 * time.Minute), End: Noon.Add(45 * time.Minute)}}
}

// later is a grant of an hour that begins in some hours.
func Later(hours time.Duration) access.Activation {
	a := *ActiveNow()
	a.RequestID = "mpa-AwMDAwMDAwMDAwMD"
	a.Window = access.Window{Start: Noon.Add(hours * time.Hour), End: Noon.Add((hours + 1) * time.Hour)}
	return a
}

// keyed is that approvals are signed here. Ben has two keys, of which one waits; whoever is an
// administrator sees that of Dora, too.
func keyed(admin bool) func(*State) {
	return func(c *State) {
		key := func(of access.Principal, name string, approved bool) broker.KeyOf {
			k := broker.KeyOf{Passkey: access.Passkey{Of: of, Name: name, Credential: []byte(name), RelyingParty: "access.example.com", Enrolled: Noon.Add(-48 * time.Hour)}}
			if approved {
				k.Approved, k.ApprovedBy, k.Used = Noon.Add(-47*time.Hour), Carl, Noon.Add(-time.Hour)
			}
			return k
		}
		synced := key(Ben, "Phone <b>&", false)
		synced.Synced = true
		own := []broker.KeyOf{key(Ben, "Laptop", true), synced}
		c.Passkeys = &broker.PasskeyList{Own: own, Admin: admin, Enrolment: broker.Ceremony{RelyingParty: "access.example.com", Credentials: [][]byte{[]byte("Laptop")},
			Statement: passkey.Statement{Purpose: passkey.Enrolment, Person: Ben, Nonce: bytes.Repeat([]byte{7}, 32), At: Noon}}}
		if admin {
			c.Passkeys.Own, c.Passkeys.Enrolment.Person = []broker.KeyOf{key(Carl, "Desk", false)}, Carl
			c.Passkeys.Others = []broker.KeyOf{key(Dora, "Phone", false), {Passkey: own[0].Passkey}}
		}
	}
}

// Applied makes a request one that an application has made.
func Applied(v *broker.View) {
	id := access.EntitlementID{Resource: "apps/deployer", Role: "roles/production-deploy"}
	v.Request.Resource, v.Request.Entitlements = id.Resource, []access.EntitlementID{id}
	v.Roles = []access.RoleInfo{{Role: id.Role, Title: "Production deploy", ChangesPermissions: access.No}}
	v.Request.Asking = access.Asking{Application: "deployer", Subject: "ana1", Template: "production-deploy", Title: "Deploy v1.2 to <eu-1>",
		Data:   []access.Datum{{Name: "version", Label: "Version", Value: "v1.2"}, {Name: "cluster", Label: "Cluster", Value: "<eu-1>"}},
		Claims: []access.Datum{{Name: "ticket", Label: "ticket", Value: "OPS-1"}, {Name: "branch", Label: "branch"}}}
	v.Request.Justification = v.Request.Asking.Title
	v.Effects = []access.Effect{{Title: "roles/production-deploy", Text: "an access token for deployer\nscope: production-deploy"}}
}
