package server_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"html/template"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/broker/brokertest"
	"jitaccess/internal/passkey"
	"jitaccess/internal/server"
	"jitaccess/web"
)

var (
	update    = flag.Bool("update", false, "write the golden pages anew")
	storybook = flag.String("storybook", "", "write every page in every state to this `folder`, to be opened in a browser")
	// storybookLanguage is empty for English.
	storybookLanguage = flag.String("language", "", "the `tag` of the language in which to write them")
)

// canned is a broker that answers what it is told, so that a page can be had in any
// state.
type canned struct {
	*world
	t         testing.TB
	unlisted  []*access.Error
	resources []access.ResourceInfo
	offer     broker.Offer
	reviewers []access.Principal
	// named is what a search shows; nil: there is nothing to search. unsearched is why not.
	named      *access.Named
	unsearched []*access.Error
	asked      broker.Asked
	view       broker.View
	decided    broker.Decided
	ended      broker.Ended
	more       broker.MoreReviewers
	// apps are the applications that there are; nil: there can be none.
	apps func(testing.TB, *canned) *server.Apps
	// remembers is whether there is a ledger; what follows is of it.
	remembers, auditor bool
	listed             map[string][]access.Request
	next               string
	extension          broker.Choice
	glass              string
	// passkeys are what there is of them; nil: nobody can sign.
	passkeys *broker.PasskeyList
	// keyless are those of the reviewers who have none.
	keyless []access.Principal
	// needed are terms with approval.
	needed access.Terms
	err    error
	// refused is what asking alone gives.
	refused error
	// account is nil where the page does not matter.
	account *account
	// login is nil where a proxy signs people in.
	login *login
}

func (c *canned) Resources(context.Context, access.Caller) ([]access.ResourceInfo, []*access.Error, error) {
	return c.resources, c.unlisted, c.err
}
func (c *canned) Named(context.Context, access.Caller) (access.Named, bool, []*access.Error) {
	if c.named == nil {
		return access.Named{}, false, nil
	}
	return *c.named, true, c.unsearched
}
func (c *canned) Offer(context.Context, access.Caller, access.Resource) (broker.Offer, error) {
	return c.offer, c.err
}
func (c *canned) Choose(_ context.Context, caller access.Caller, _ access.Resource, ids ...access.EntitlementID) (broker.Choice, error) {
	if c.err != nil {
		return broker.Choice{}, c.err
	}
	chosen, err := c.offer.Choose(ids...)
	if err == nil {
		chosen.Form, err = c.NewForm(caller, chosen.Kind)
	}
	if err == nil && chosen.Kind == access.Peers {
		chosen.Reviewers, chosen.Keyless, chosen.GlassForm = c.reviewers, c.keyless, c.glass
	}
	return chosen, err
}
func (c *canned) Reviewers(context.Context, access.Caller, ...access.EntitlementID) (broker.Reviewers, error) {
	return broker.Reviewers{People: c.reviewers, Keyless: c.keyless}, nil
}
func (c *canned) Keyless(context.Context, access.Request) []access.Principal { return c.keyless }
func (c *canned) Ask(context.Context, access.Caller, broker.Ask) (broker.Asked, error) {
	if c.refused != nil {
		return broker.Asked{}, c.refused
	}
	return c.asked, c.err
}
func (c *canned) Show(context.Context, access.Caller, string, string) (broker.View, error) {
	return c.view, c.err
}
func (c *canned) MoreReviewers(context.Context, access.Caller, string) (broker.MoreReviewers, error) {
	return c.more, nil
}
func (c *canned) AddReviewers(context.Context, access.Caller, broker.AddReviewers) (broker.Asked, error) {
	return c.asked, c.err
}
func (c *canned) Decide(context.Context, access.Caller, broker.Decide) (broker.Decided, error) {
	return c.decided, c.err
}
func (c *canned) End(context.Context, access.Caller, access.Resource, string, access.Principal) (broker.Ended, error) {
	return c.ended, c.err
}

func (c *canned) Remembers() bool { return c.remembers }
func (c *canned) Passkeys() bool  { return c.passkeys != nil }
func (c *canned) PasskeyList(context.Context, access.Caller) (broker.PasskeyList, error) {
	return *c.passkeys, c.err
}
func (c *canned) Enrol(context.Context, access.Caller, string, passkey.Creation) (access.Passkey, []*access.Error, error) {
	return access.Passkey{}, nil, c.refused
}
func (c *canned) RemovePasskey(context.Context, access.Caller, access.Principal, string) ([]*access.Error, error) {
	return c.asked.Warnings, c.refused
}
func (c *canned) Signing(_ context.Context, _ access.Caller, v broker.View, atMost time.Duration) (broker.Ceremony, error) {
	return broker.Ceremony{RelyingParty: "access.example.com", Credentials: [][]byte{[]byte("laptop")}, Statement: passkey.Statement{
		Purpose: passkey.Approval, Person: ben, Request: v.Digest, Duration: atMost, Nonce: bytes.Repeat([]byte{7}, 32), At: noon}}, c.err
}
func (c *canned) Auditor(context.Context, access.Caller) bool { return c.auditor }
func (c *canned) History(_ context.Context, _ access.Caller, view string, l access.Listing) (access.Listed, []*access.Error, error) {
	listed := access.Listed{Next: c.next}
	for _, q := range c.listed[view] {
		if len(l.States) == 0 || slices.Contains(l.States, q.State) {
			listed.Requests = append(listed.Requests, q)
		}
	}
	return listed, nil, c.err
}
func (c *canned) Counts(ctx context.Context, p access.Caller, l access.Listing) ([]access.Count, bool, []*access.Error, error) {
	listed, warnings, err := c.History(ctx, p, broker.ViewAll, l)
	var counts []access.Count
	for _, q := range listed.Requests {
		counts = append(counts, access.Count{Day: q.Created.UTC().Truncate(24 * time.Hour), State: q.State, Requests: 1})
	}
	return counts, listed.Next == "", warnings, err
}
func (c *canned) Extension(context.Context, access.Caller, string) (broker.Choice, error) {
	return c.extension, c.err
}

// story is one page in one state.
type story struct {
	name string
	// set changes what the broker answers; may be nil.
	set func(*canned)
	// request is GET PATH or POST PATH BODY.
	request string
	person  access.Principal
	code    int
}

func warn(code access.Code, args access.Args) *access.Error {
	return &access.Error{Kind: access.Upstream, Code: code, Args: args}
}

func failing(kind access.Kind, code access.Code, args access.Args) func(*canned) {
	return func(c *canned) { c.err = &access.Error{Kind: kind, Code: code, Args: args, Err: errors.New("cause")} }
}

// in changes the view of the request.
func in(state access.State, change func(*broker.View)) func(*canned) {
	return func(c *canned) {
		c.view.State = state
		c.view.CanDecide = state == access.Pending
		if change != nil {
			change(&c.view)
		}
	}
}

func own(v *broker.View) { v.IsPrincipal, v.CanDecide = true, false }

func needApproval(c *canned) {
	for i := range c.offer.Roles {
		c.offer.Roles[i].Entitlement.SelfApproval, c.offer.Roles[i].Entitlement.PeerApproval = false, true
		c.offer.Roles[i].Terms = c.needed
	}
}

func stories() []story {
	const (
		p        = "/access/projects/acme-orders-prod"
		jit      = "?entitlement=acme-orders-prod:roles/compute.instanceAdmin.v1"
		mpa      = "?entitlement=acme-orders-prod:roles/iam.securityAdmin"
		rev      = "/review?activation=REF"
		ask      = "entitlement=acme-orders-prod:roles/iam.securityAdmin&reviewer=ben.okafor@example.com&justification=case+4711&minutes=60&id=mpa-AQEBAQEBAQEBAQEB"
		activate = "entitlement=acme-orders-prod:roles/compute.instanceAdmin.v1&justification=case+4711&minutes=60&id=jit-AQEBAQEBAQEBAQEB"
	)
	refused := &access.Error{Kind: access.NotAllowed, Code: access.CodeServiceNotAllowed, Args: access.Args{"resource": "acme-orders-prod", "account": "jitaccess@acme-access.iam.gserviceaccount.com", "permission": "resourcemanager.projects.setIamPolicy"}}
	return []story{
		{"home", nil, "GET /", ana, 200},
		{"home-empty", func(c *canned) { c.resources = nil }, "GET /", ana, 200},
		{"home-filtered", nil, "GET /?q=orders", ana, 200},
		{"home-no-such-project", nil, "GET /?q=No+such+project", ana, 200},
		{"home-incomplete", func(c *canned) {
			c.unlisted = []*access.Error{warn(access.CodeUpstreamTimeout, access.Args{"service": "Rooms"})}
		}, "GET /", ana, 200},
		{"home-unlisted", failing(access.TooMany, access.CodeQuota, access.Args{"service": "Resource Manager"}), "GET /", ana, 200},

		{"home-standing", searched, "GET /", ana, 200},
		{"home-by-role", searched, "GET /?q=securityadmin&list=1", ana, 200},
		{"home-none-found", func(c *canned) { c.named = &access.Named{} }, "GET /", ana, 200},
		{"home-unsearched", func(c *canned) {
			c.named = &access.Named{}
			c.unsearched = []*access.Error{warn(access.CodeUpstreamTimeout, access.Args{"service": "Cloud Asset Inventory"})}
		}, "GET /", ana, 200},
		{"home-nothing", func(c *canned) { ledgered(c); c.listed = nil }, "GET /", ana, 200},
		{"ask-filled", nil, "GET " + p + "?role=roles/iam.securityAdmin&reason=RB-7:+a+node+hangs&minutes=30", ana, 200},
		{"ask-filled-alone", nil, "GET " + p + "?role=roles/compute.instanceAdmin.v1&reason=RB-7:+a+node+hangs&minutes=9999", ana, 200},
		{"choose-filled-unknown", nil, "GET " + p + "?role=roles/unknown&reason=RB-7:+a+node+hangs&minutes=30", ana, 403},
		{"choose-hundred", hundred, "GET " + p, ana, 200},
		{"ask-fifty", hundred, "GET " + p + mpa, ana, 200},
		{"ask-extreme", func(c *canned) { hundred(c); c.refused = badInputs }, "POST " + p + " " + strings.Replace(ask, "case+4711", url.QueryEscape(extreme), 1), ana, 400},

		{"choose", nil, "GET " + p, ana, 200},
		{"choose-active", func(c *canned) { c.offer.Roles[0].Activation = activeNow() }, "GET " + p, ana, 200},
		{"choose-later", func(c *canned) {
			c.offer.Roles[0].Activation = activeNow()
			c.offer.Roles[0].Upcoming, c.offer.Roles[1].Upcoming = []access.Activation{later(3)}, []access.Activation{later(1), later(27)}
		}, "GET " + p, ana, 200},
		{"choose-done-later", func(c *canned) { c.offer.Roles[1].Upcoming = []access.Activation{later(3)} }, "GET " + p + "?done=mpa-AwMDAwMDAwMDAwMD", ana, 200},
		{"choose-further", func(c *canned) {
			begins := *activeNow()
			begins.RequestID, begins.Principal, begins.Entitlement = "mpa-Ab+/0123456789xA", ana, viewer
			begins.Window = access.Window{Start: noon.Add(3 * time.Hour), End: noon.Add(4 * time.Hour)}
			c.offer.Further = []access.Activation{*activeNow(), begins}
		}, "GET " + p, ben, 200},
		{"choose-done", func(c *canned) { c.offer.Roles[0].Activation = activeNow() }, "GET " + p + "?done=jit-AQEBAQEBAQEBAQEB", ana, 200},
		{"choose-not-yet", nil, "GET " + p + "?done=jit-AQEBAQEBAQEBAQEB", ana, 200},
		{"choose-empty", func(c *canned) { c.offer.Roles = nil }, "GET " + p, ana, 200},
		{"choose-warnings", func(c *canned) {
			c.offer.Roles[1].Entitlement.Unconfirmed = true
			c.offer.Warnings = []*access.Error{warn(access.CodeUnreadableBinding, access.Args{"role": "roles/bigquery.admin", "resource": "acme-orders-prod"}),
				warn(access.CodeInventoryOnly, access.Args{"resource": "folders/123456789"})}
		}, "GET " + p, ana, 200},
		{"choose-until", func(c *canned) {
			c.offer.Roles[0].Entitlement.Until = noon.Add(10 * time.Minute)
			c.offer.Warnings = []*access.Error{warn(access.CodeTimeUnclear, access.Args{"role": "roles/iam.securityAdmin", "resource": "acme-orders-prod"})}
		}, "GET " + p, ana, 200},
		{"choose-for-nobody", func(c *canned) {
			c.offer.Ineffective = []access.Ineffective{
				{Node: "projects/acme-orders-prod", Role: "roles/bigquery.admin", Expression: "!has({}.jitAccessContraint) && a < 1",
					Why: warn(access.CodeMarkerMisspelled, access.Args{"found": "jitAccessContraint", "meant": "has({}.jitAccessConstraint)"})},
				{Node: "folders/123456789", Role: "roles/run.admin", Member: "group:ops@example.com",
					Why: warn(access.CodeGroupsInGroup, access.Args{"group": "ops@example.com", "count": "2", "catalog": "PolicyAnalyzer"})},
			}
		}, "GET " + p, ana, 200},
		{"choose-topics", func(c *canned) {
			c.offer.Roles[1].Entitlement.Requests = []access.Approval{{Topic: "dba"}, {Topic: "dba", External: true}, {Topic: "network", External: true}}
		}, "GET " + p, ana, 200},
		{"choose-ruled", startUp, "GET " + p, ana, 200},
		{"choose-all-refused", func(c *canned) {
			c.ruled(c.t, "version: 1\nrules: [{name: freeze, refuse: Production is frozen until 7 January. Ask who is on call.}]\n")
			c.offer, _ = c.world.Offer(context.Background(), access.Caller{Principal: ana}, orders)
		}, "GET " + p, ana, 200},
		{"ask-ruled", startUp, "GET " + p + mpa, ana, 200},
		{"ask-refused", startUp, "GET " + p + "?entitlement=acme-orders-prod:roles/owner", ana, 403},
		{"ask-in-order", func(c *canned) {
			startUp(c)
			t := &c.offer.Roles[1].Terms
			t.Requirements = append(t.Requirements, access.Requirement{Count: 2, From: []string{"group:dba-leads@example.com", "claim:admins", "user:eva.sand@example.com"}})
			t.InOrder, t.Signature, t.InheritedOnly, t.BreakGlass, t.ApproverAccessLevels = true, true, true, true, []string{"accessPolicies/1/accessLevels/corp"}
			t.Glass = access.GlassTerms{Who: []string{"group:oncall@example.com"}, MaxDuration: time.Hour}
			t.RemindAfter, t.Escalations = 30*time.Minute, []access.Escalation{{After: time.Hour, To: []string{"group:leads@example.com"}}}
			t.MaxContinuous, t.Notify = 12*time.Hour, []string{"slack:#oncall"}
			c.offer.Roles[1].Why.Further = 3
		}, "GET " + p + mpa, ana, 200},
		{"review-ruled", in(access.Pending, func(v *broker.View) {
			v.Terms = access.Terms{Rule: "what changes permissions", Policy: strings.Repeat("3fa9c1d2e8b0", 5), Requirements: []access.Requirement{{Count: 1, From: []string{access.FromPeers}}}}
		}), "GET " + rev, ben, 200},
		{"passkeys", keyed(false), "GET /passkeys", ben, 200},
		{"passkeys-none", func(c *canned) { keyed(false)(c); c.passkeys.Own = nil }, "GET /passkeys", ben, 200},
		{"passkeys-admin", keyed(true), "GET /passkeys", carl, 200},
		{"passkeys-admin-alone", func(c *canned) { keyed(true)(c); c.passkeys.Others = nil }, "GET /passkeys", carl, 200},
		{"passkeys-not-made", func(c *canned) {
			keyed(false)(c)
			c.refused = &access.Error{Kind: access.NotAllowed, Code: access.CodePasskeyNotMade}
		}, "POST /passkeys name=Blue+security+key", ben, 403},
		{"passkeys-sign-in-again", func(c *canned) {
			keyed(false)(c)
			c.refused = &access.Error{Kind: access.NotAllowed, Code: access.CodeSignInAgain}
		}, "POST /passkeys name=Blue+security+key&public-key=AA&time=2026-11-22T12:00:00Z", ben, 403},
		{"passkeys-untold", func(c *canned) {
			keyed(false)(c)
			c.asked.Warnings = []*access.Error{warn(access.CodeNotDelivered, access.Args{"recipient": string(ben), "channel": "mail"})}
		}, "POST /passkeys/0123456789abcdef/remove confirmed=1&principal=" + string(ben), ben, 200},
		{"passkeys-confirm", keyed(true), "POST /passkeys/" + access.CredentialID([]byte("Phone")) + "/approve principal=" + string(dora), carl, 200},
		{"ask-signed", func(c *canned) { keyed(false)(c); c.keyless = []access.Principal{carl, dora} }, "GET " + p + mpa, ana, 200},
		{"review-keyless", func(c *canned) {
			keyed(false)(c)
			in(access.Pending, func(v *broker.View) { own(v); v.Keyless = []access.Principal{carl} })(c)
		}, "GET " + rev, ana, 200},
		{"review-no-key", func(c *canned) {
			keyed(false)(c)
			in(access.Pending, func(v *broker.View) {
				v.Signature, v.NoKey = true, &access.Error{Kind: access.NotAllowed, Code: access.CodePasskeyUnapproved}
			})(c)
		}, "GET " + rev, ben, 200},
		{"review-sign", func(c *canned) { keyed(false)(c); in(access.Pending, func(v *broker.View) { v.Signature = true })(c) }, "POST " + rev + " verdict=approve", ben, 200},
		{"more-keyless", func(c *canned) {
			keyed(false)(c)
			c.more.Keyless, c.more.AskedKeyless = []access.Principal{dora}, []access.Principal{ben}
		}, "GET /review/reviewers?activation=REF", ana, 200},
		{"choose-nothing-chosen", nil, "GET " + p + "?next=1", ana, 400},
		{"choose-mixed", nil, "GET " + p + mpa + "&" + jit[1:], ana, 400},

		{"ask-self", nil, "GET " + p + jit, ana, 200},
		{"ask-several", nil, "GET " + p + jit + "&entitlement=acme-orders-prod:roles/storage.objectViewer:cmVzb3VyY2UubmFtZS5zdGFydHNXaXRoKCJwcm9qZWN0cy9fL2J1Y2tldHMvYWNtZS1vcmRlcnMiKQ==", ana, 200},
		{"ask-peer", nil, "GET " + p + mpa, ana, 200},
		{"ask-peer-several", needApproval, "GET " + p + mpa + "&" + jit[1:], ana, 200},
		{"ask-peer-several-nobody", func(c *canned) {
			needApproval(c)
			c.reviewers = nil
		}, "GET " + p + mpa + "&" + jit[1:], ana, 200},
		{"ask-peer-nobody", func(c *canned) { c.reviewers = nil }, "GET " + p + mpa, ana, 200},
		{"ask-peer-no-mail", func(c *canned) { c.Silent = true }, "GET " + p + mpa, ana, 200},
		{"ask-peer-pubsub-alone", func(c *canned) { c.machines = true }, "GET " + p + mpa, ana, 200},
		{"ask-wrong", func(c *canned) {
			c.refused = &access.Error{Kind: access.Invalid, Code: access.CodeBadDuration, Field: "minutes", Args: access.Args{"max": "120"}}
		}, "POST " + p + " " + strings.Replace(ask, "minutes=60", "minutes=tomorrow", 1), ana, 400},
		{"ask-upstream", failing(access.TimedOut, access.CodeUpstreamTimeout, access.Args{"service": "Resource Manager"}), "POST " + p + " " + ask, ana, 504},

		{"result-undelivered", func(c *canned) {
			c.asked = broker.Asked{Request: c.view.Request, Ref: "REF", ReviewURL: "https://access.example.com/?activation=REF",
				Warnings: []*access.Error{warn(access.CodeNotDelivered, access.Args{"recipient": string(ben), "channel": "mail"})}}
		}, "POST " + p + " " + ask, ana, 200},
		{"result-in-part", func(c *canned) {
			q := c.view.Request
			q.Entitlements = []access.EntitlementID{admin, viewer}
			c.asked = broker.Asked{Request: q, Window: q.WindowAt(noon), Outcomes: []access.Outcome{
				{Entitlement: admin, Result: access.Granted, Window: q.WindowAt(noon)}, {Entitlement: viewer, Result: access.Refused, Err: refused}}}
		}, "POST " + p + " " + activate, ana, 200},
		{"result-declined", func(c *canned) {
			c.decided = broker.Decided{Request: c.view.Request, State: access.Pending, Forgets: true}
		}, "POST " + rev + " verdict=deny&comment=not+today", ben, 200},
		{"result-declined-undelivered", func(c *canned) {
			c.decided = broker.Decided{Request: c.view.Request, State: access.Pending, Forgets: true,
				Warnings: []*access.Error{warn(access.CodeNotDelivered, access.Args{"recipient": string(ana), "channel": "mail"})}}
		}, "POST " + rev + " verdict=deny&comment=not+today", ben, 200},
		{"result-approved-unrecorded", func(c *canned) {
			q := c.view.Request
			c.decided = broker.Decided{Request: q, State: access.Active, Window: q.WindowAt(noon), Outcomes: []access.Outcome{{Entitlement: security, Result: access.Granted, Window: q.WindowAt(noon)}},
				Warnings: []*access.Error{warn(access.CodeOutcomeUnrecorded, nil)}}
		}, "POST " + rev + " verdict=approve&confirmed=1", ben, 200},

		{"review-confirm", func(c *canned) {
			c.view.Roles = []access.RoleInfo{roleInfos[admin.Role]}
			c.view.Request.Entitlements = []access.EntitlementID{admin}
		}, "POST " + rev + " verdict=approve", ben, 200},
		{"review-confirm-powerful", nil, "POST " + rev + " verdict=approve", ben, 200},
		{"review-not-powerful", func(c *canned) {
			c.view.Roles = []access.RoleInfo{roleInfos[admin.Role]}
			c.view.Request.Entitlements = []access.EntitlementID{admin}
		}, "GET " + rev, ben, 200},

		{"notifications", func(c *canned) { c.account = newAccount() }, "GET /notifications", carl, 200},
		{"notifications-all", func(c *canned) { c.account = everyAccount() }, "GET /notifications", carl, 200},
		{"notifications-webhook-failed", func(c *canned) { c.account = everyAccount() }, "POST /notifications channel=webhook", carl, 200},
		{"notifications-none-sent", func(c *canned) { c.account = newAccount(); c.account.recent = nil }, "GET /notifications", carl, 200},
		{"notifications-not-set-up", func(c *canned) { c.account = &account{} }, "GET /notifications", carl, 200},
		{"notifications-tested", func(c *canned) { c.account = newAccount() }, "POST /notifications channel=mail", carl, 200},
		{"notifications-failed", func(c *canned) { c.account = failingAccount() }, "POST /notifications channel=mail", carl, 200},

		{"review-unwritable", in(access.Pending, func(v *broker.View) {
			v.Unwritable = warn(access.CodeRoleNotGrantable, access.Args{"role": "roles/owner", "resource": "acme-orders-prod"})
		}), "GET " + rev, ben, 200},
		{"review-pending", in(access.Pending, nil), "GET " + rev, ben, 200},
		{"review-pending-unknown-role", in(access.Pending, func(v *broker.View) { v.Roles = nil }), "GET " + rev, ben, 200},
		{"review-made-by-1x", in(access.Pending, func(v *broker.View) {
			v.Request.Fixed = access.Window{Start: v.Request.Created, End: v.Request.Created.Add(30 * time.Minute)}
			v.Request.Duration, v.Window = 30*time.Minute, v.Request.Fixed
		}), "GET " + rev, ben, 200},
		{"review-application", in(access.Pending, applied), "GET " + rev, ben, 200},
		{"review-application-unlinked", in(access.Pending, func(v *broker.View) {
			applied(v)
			v.Request.Asking.Subject, v.Request.Asking.Unlinked, v.Request.Principal = "CORP\\<b>ana", true, access.Spelled("deployer", "CORP\\<b>ana")
			v.Request.Justification = "the ticket says so"
		}), "GET " + rev, ben, 200},
		{"review-application-own", in(access.Pending, func(v *broker.View) { applied(v); own(v); v.CanWithdraw = true }), "GET " + rev, ana, 200},
		{"review-application-active", in(access.Active, func(v *broker.View) { applied(v); v.CanEnd = true }), "GET " + rev, ben, 200},
		{"review-own", in(access.Pending, own), "GET " + rev, ana, 200},
		{"review-own-no-mail-no-address", func(c *canned) {
			in(access.Pending, own)(c)
			c.Silent, c.view.ReviewURL = true, ""
		}, "GET " + rev, ana, 200},
		{"review-own-pubsub-alone", func(c *canned) { in(access.Pending, own)(c); c.machines = true }, "GET " + rev, ana, 200},
		{"review-cannot", in(access.Pending, func(v *broker.View) {
			v.CanDecide = false
			v.WhyNot = &access.Error{Kind: access.NotAllowed, Code: access.CodeNotEligible, Args: access.Args{"role": "roles/iam.securityAdmin", "resource": "acme-orders-prod"}}
		}), "GET " + rev, ben, 200},
		{"review-upstream", in(access.Pending, func(v *broker.View) {
			v.CanDecide = false
			v.WhyNot = &access.Error{Kind: access.TimedOut, Code: access.CodeUpstreamTimeout, Args: access.Args{"service": "Asset Inventory"}}
			v.Warnings = []*access.Error{v.WhyNot}
		}), "GET " + rev, ben, 200},
		{"review-own-active", in(access.Active, func(v *broker.View) {
			own(v)
			v.CanEnd, v.Activations = true, []access.Activation{*activeNow()}
		}), "GET " + rev, ana, 200},
		{"review-active", in(access.Active, func(v *broker.View) {
			v.Activations = []access.Activation{*activeNow()}
			v.Window = activeNow().Window
			v.WhyNot = &access.Error{Kind: access.Conflict, Code: access.CodeAlreadyApproved, Args: access.Args{"approvers": string(ben)}}
		}), "GET " + rev, ben, 200},
		{"review-approved-by-another", in(access.Active, func(v *broker.View) {
			v.Activations = []access.Activation{*activeNow()}
			v.WhyNot = &access.Error{Kind: access.Conflict, Code: access.CodeAlreadyApproved, Args: access.Args{"approvers": string(ben)}}
		}), "GET " + rev, carl, 200},
		{"review-own-later", in(access.Active, func(v *broker.View) {
			own(v)
			v.CanEnd, v.Activations = true, []access.Activation{*activeNow()}
			v.Activations[0].Window = access.Window{Start: noon.Add(3 * time.Hour), End: noon.Add(4 * time.Hour)}
			v.Window = v.Activations[0].Window
		}), "GET " + rev, ana, 200},
		{"review-ended", in(access.Ended, own), "GET " + rev, ana, 200},
		{"review-expired", in(access.Expired, nil), "GET " + rev, ben, 200},
		{"review-denied", in(access.Denied, func(v *broker.View) {
			v.Forgets, v.Effects, v.Window = false, nil, access.Window{}
			v.Request.Decisions = []access.Decision{{Verdict: access.Deny, By: ben, At: noon, Comment: "Use the read-only role for this."}}
		}), "GET " + rev, ana, 200},
		{"review-lapsed", in(access.Lapsed, own), "GET " + rev, ana, 200},

		{"more", nil, "GET /review/reviewers?activation=REF", ana, 200},
		{"more-nobody", func(c *canned) { c.more.Candidates = nil }, "GET /review/reviewers?activation=REF", ana, 200},
		{"more-full", func(c *canned) { c.more.Room = 0 }, "GET /review/reviewers?activation=REF", ana, 200},
		{"more-wrong", func(c *canned) {
			c.err = &access.Error{Kind: access.Invalid, Code: access.CodeNobodyAdded, Field: access.FieldReviewer}
		}, "POST /review/reviewers?activation=REF reviewer=carl.mendes@example.com", ana, 400},
		{"more-long-link", func(c *canned) {
			c.asked = broker.Asked{Request: c.view.Request, Ref: "REF2", ReviewURL: "https://access.example.com/?activation=REF2",
				Warnings: []*access.Error{warn(access.CodeLongLink, access.Args{"count": "2417", "max": "2000"})}}
		}, "POST /review/reviewers?activation=REF reviewer=carl.mendes@example.com", ana, 200},

		{"home-lists", ledgered, "GET /", ana, 200},
		{"home-lists-unread", func(c *canned) {
			ledgered(c)
			c.err = &access.Error{Kind: access.Unavailable, Code: access.CodeLedgerUnavailable}
		}, "GET /", ana, 200},
		{"list-mine", ledgered, "GET /requests", ana, 200},
		{"list-mine-none", func(c *canned) { c.remembers = true }, "GET /requests", ana, 200},
		{"list-reviews", ledgered, "GET /reviews", ben, 200},
		{"list-reviews-none", func(c *canned) { c.remembers = true }, "GET /reviews", ben, 200},
		{"list-history", func(c *canned) { ledgered(c); c.auditor, c.next = true, "NEXT" }, "GET /history", eve, 200},
		{"list-history-own", ledgered, "GET /history?after=NEXT", ana, 200},
		{"list-history-search", func(c *canned) { c.remembers, c.auditor, c.next = true, true, "NEXT" },
			"GET /history?q=nothing&state=denied&person=ana.ito@example.com&from=2026-11-01&to=2026-11-30&role=roles/viewer&resource=acme-orders-prod", eve, 200},
		{"month", func(c *canned) { ledgered(c); c.auditor = true }, "GET /history/month?month=2026-11", eve, 200},
		{"month-own-cut", func(c *canned) { ledgered(c); c.next = "NEXT" }, "GET /history/month?month=2026-10&state=denied", ana, 200},
		{"request-own", func(c *canned) { ledgered(c); own(&c.view) }, "GET /requests/mpa-AQEBAQEBAQEBAQEB", ana, 200},
		{"request-review", ledgered, "GET /requests/mpa-AQEBAQEBAQEBAQEB", ben, 200},
		{"request-confirm-less", ledgered, "POST /review?activation=mpa-AQEBAQEBAQEBAQEB verdict=approve&minutes=15", ben, 200},
		{"request-review-longest", func(c *canned) {
			ledgered(c)
			c.view.Past = &access.Past{Had: 12, Denied: 1, Last: noon.AddDate(0, 0, -10)}
			q := &c.view.Request
			q.Principal, q.Resource = "maximiliane.oberhuber-schmidt@operations.example.com", "projects/acme-customer-analytics-prod-1"
			q.Entitlements = []access.EntitlementID{{Resource: q.Resource, Role: "roles/spanner.databaseReaderWithDataBoost"}}
			c.view.Roles = []access.RoleInfo{{Title: "Cloud Spanner Database Reader with DataBoost", ChangesPermissions: access.Yes,
				Description: "Includes all permissions of the Database Reader role, and runs queries with Data Boost."}}
			q.Justification = "INC-204711: replication lags by an hour, and the runbook wants a look at the sessions"
		}, "GET /requests/mpa-AQEBAQEBAQEBAQEB", ben, 200},
		{"request-review-hostile", func(c *canned) {
			ledgered(c)
			q := &c.view.Request
			marks := strings.Repeat("\u0301\u0316\u034c", 5)
			q.Justification = access.Clip("\u0430cme-orders-prod \u05e9\u05dc\u05d5\u05dd \U0001f525\U0001f468\u200d\U0001f692 Z"+marks+"a"+marks+"l"+marks+" "+
				strings.Repeat("0", 200), access.MaxJustification)
			for i := range 50 {
				q.Reviewers = append(q.Reviewers, access.Principal(fmt.Sprintf("reviewer.of.many.%c%c@example.com", 'a'+i/10, 'a'+i%10)))
			}
			c.view.Past = &access.Past{Denied: 2}
		}, "GET /requests/mpa-AQEBAQEBAQEBAQEB", ben, 200},
		{"request-own-waits", func(c *canned) {
			ledgered(c)
			own(&c.view)
			c.view.CanBreak, c.view.Request.Reminded = true, noon.Add(-time.Minute)
			c.view.Request.Terms.Escalations = []access.Escalation{{After: 20 * time.Minute, To: []string{"group:leads@example.com", "user:eva.sand@example.com"}}}
		}, "GET /requests/mpa-AQEBAQEBAQEBAQEB", ana, 200},
		{"request-long", func(c *canned) {
			ledgered(c)
			for i := range 200 {
				c.view.Events = append(c.view.Events, happened(access.ReviewersAdded, ana, time.Duration(i)*time.Second))
			}
		}, "GET /requests/mpa-AQEBAQEBAQEBAQEB", ben, 200},
		{"request-voted", func(c *canned) {
			ledgered(c)
			c.view.Request.Decisions[0].By = ben
		}, "GET /requests/mpa-AQEBAQEBAQEBAQEB", ben, 200},
		{"request-auditor", func(c *canned) { ledgered(c); c.view.IsReviewer, c.view.CanDecide = false, false }, "GET /requests/mpa-AQEBAQEBAQEBAQEB", eve, 200},
		{"request-active", func(c *canned) {
			ledgered(c)
			own(&c.view)
			c.view.State, c.view.CanWithdraw, c.view.CanEnd, c.view.CanExtend = access.Active, false, true, true
			c.view.Request.Extends, c.view.Activations = "mpa-AgICAgICAgICAgIC", []access.Activation{*activeNow()}
		}, "GET /requests/mpa-AQEBAQEBAQEBAQEB", ana, 200},
		{"request-ended-by-approver", func(c *canned) {
			ledgered(c)
			c.view.State, c.view.CanDecide, c.view.CanEnd = access.Active, false, true
		}, "GET /requests/mpa-AQEBAQEBAQEBAQEB", ben, 200},
		{"request-glass", func(c *canned) {
			ledgered(c)
			c.view.Request.Kind, c.view.State, c.view.CanDecide, c.view.CanReview = access.BreakGlass, access.Active, false, true
			c.view.Events = []access.Event{happened(access.GlassBroken, ana, 0), happened(access.GrantWritten, ana, time.Minute)}
		}, "GET /requests/mpa-AQEBAQEBAQEBAQEB", carl, 200},
		{"request-glass-reviewed", func(c *canned) {
			ledgered(c)
			c.view.Request.Kind, c.view.State, c.view.CanDecide = access.BreakGlass, access.Expired, false
			c.view.Request.Review = access.Decision{By: carl, At: noon.Add(-time.Minute), Comment: "Use the read-only role for this."}
		}, "GET /requests/mpa-AQEBAQEBAQEBAQEB", ana, 200},
		{"request-everything", func(c *canned) {
			ledgered(c)
			c.view.State, c.view.CanDecide, c.view.Events = access.Failed, false, everythingThatHappens()
		}, "GET /requests/mpa-AQEBAQEBAQEBAQEB", eve, 200},
		{"extend", ledgered, "GET /requests/mpa-AQEBAQEBAQEBAQEB/extend", ana, 200},
		{"extend-wrong", func(c *canned) {
			ledgered(c)
			c.refused = &access.Error{Kind: access.Invalid, Code: access.CodeBadDuration, Field: "minutes", Args: access.Args{"max": "120"}}
		}, "POST /requests/mpa-AQEBAQEBAQEBAQEB/extend justification=case+4712&minutes=999&reviewer=ben.okafor@example.com", ana, 400},
		{"ask-glass", glazed, "GET " + p + mpa, ana, 200},
		{"ask-glass-wrong", func(c *canned) {
			glazed(c)
			c.refused = &access.Error{Kind: access.Invalid, Code: access.CodeNoJustification, Field: "justification", Args: access.Args{"hint": "Bug or case number"}}
		}, "POST " + p + " glass=1&minutes=20&justification=&entitlement=acme-orders-prod:roles/iam.securityAdmin&id=brk-AQEBAQEBAQEBAQEB", ana, 400},
		{"error-401", nil, "GET /", "", 401},
		{"error-403", failing(access.NotAllowed, access.CodeNotInvolved, nil), "GET " + rev, dora, 403},
		{"error-vpc", failing(access.Upstream, access.CodeServiceNotAllowed, access.Args{"resource": "acme-orders-prod", "account": "jitaccess@acme-access.iam.gserviceaccount.com",
			"permission": "resourcemanager.projects.getIamPolicy", "violation": "AAbbCC11-ddEE"}), "GET " + p, ana, 502},
		{"login-kept", func(c *canned) { c.login = &login{} }, "POST /access/projects/acme-orders-prod entitlement=x&justification=Node+7%3A+%3Cb%3E+%26+%22hangs%22%0D%0Ateam+B&minutes=&minutes=30", "", 401},
		{"login-lapsed", func(c *canned) {
			c.login = &login{finish: &access.Error{Kind: access.Unauthenticated, Code: access.CodeLoginLapsed}}
		}, "GET /oidc/callback?state=x", "", 401},
		{"login-out", func(c *canned) { c.login = &login{} }, "POST /oidc/logout x=y", "", 200},
		{"login-copies", func(c *canned) {
			c.login = &login{end: &access.Error{Kind: access.Unavailable, Code: access.CodeCopiesLast}}
		}, "POST /oidc/logout x=y", "", 200},
		{"error-404", nil, "GET /nowhere", ana, 404},
		{"error-not-admin", nil, "GET /notifications", ana, 403},
		{"error-410", failing(access.Gone, access.CodeLinkExpired, nil), "GET " + rev, ben, 410},
		{"error-500", func(c *canned) { c.err = errors.New("a cause that stays in the log") }, "GET " + rev, ben, 500},
		{"error-503", failing(access.Unavailable, access.CodeServiceNotAllowed, access.Args{"resource": "acme-orders-prod", "account": "jitaccess@acme-access.iam.gserviceaccount.com", "permission": "cloudasset.assets.analyzeIamPolicy"}), "GET " + p, ana, 503},
		{"apps-none", managing(nil), "GET /apps", carl, 200},
		{"apps", managing(func(s *appStory) { s.deploy(); s.waits(dora); s.console() }), "GET /apps", carl, 200},
		{"apps-wrong", managing(nil), "POST /apps name=Deployer&uri=deploy.example.com&hosts=deploy.example.com", carl, 400},
		{"apps-as-code", managing(func(s *appStory) { s.deploy(); s.asCode = true }), "GET /apps", carl, 200},
		{"apps-unsealed", managing(func(s *appStory) { s.unsealed = true }), "GET /apps", carl, 200},
		{"app-created", managing(nil), "POST /apps name=deployer&uri=https://deploy.example.com&hosts=", carl, 200},
		{"app-new", managing(func(s *appStory) { s.console() }), "GET /apps/console", carl, 200},
		{"app", managing(func(s *appStory) { s.deploy() }), "GET /apps/deployer", carl, 200},
		{"app-waits", managing(func(s *appStory) { s.deploy(); s.waits(dora) }), "GET /apps/deployer", carl, 200},
		{"app-waits-own", managing(func(s *appStory) { s.deploy(); s.waits(carl) }), "GET /apps/deployer", carl, 200},
		{"app-confirm", managing(func(s *appStory) { s.deploy(); s.waits(dora) }), "POST /apps/deployer number=4&do=agree", carl, 200},
		{"app-github", managing(func(s *appStory) { s.deploy(); s.asCode, s.atGitHub = true, true }), "GET /apps/deployer", carl, 200},
		{"app-held", managing(func(s *appStory) { s.deploy() }), "POST /apps/deployer number=3&do=rotate", carl, 200},
		{"app-off", managing(func(s *appStory) { s.deploy() }), "POST /apps/deployer number=3&do=off", carl, 200},
		{"app-stale", managing(func(s *appStory) { s.deploy() }), "POST /apps/deployer number=1&do=off", carl, 409},
		{"app-settings-wrong", managing(func(s *appStory) { s.deploy() }), "POST /apps/deployer number=3&do=settings&uri=http://deploy.example.com&hosts=x", carl, 400},
		{"app-trial-wrong", managing(func(s *appStory) { s.deploy() }), "POST /apps/deployer/trial id=000000000000000000000000&template=production-deploy&data.version=1.2&data.cluster=eu", carl, 400},
		{"app-as-code", managing(func(s *appStory) { s.deploy(); s.asCode = true }), "GET /apps/deployer", carl, 200},
		{"app-template-new", managing(func(s *appStory) { s.console() }), "GET /apps/console/template", carl, 200},
		{"app-template", managing(func(s *appStory) { s.deploy() }), "GET /apps/deployer/template?key=production-deploy", carl, 200},
		{"app-template-wrong", managing(func(s *appStory) { s.deploy() }), "POST /apps/deployer/template number=3&new=1&key=production-deploy&name=Again&title=Again&type=sign_and_approve&approvers=group:leads@example.com&approvals=1&max=60&default=30&life=60&active=1", carl, 400},
		{"error-needs-ledger", nil, "GET /history", ana, 501},
	}
}

// startUp makes the policy of a start-up hold, of examples/policy.
func startUp(c *canned) {
	c.Holdings[ana] = append(c.Holdings[ana], brokertest.Peer(owner))
	c.ruled(c.t, examplePolicy(c.t, "start-up.yaml"))
	c.offer, _ = c.world.Offer(context.Background(), access.Caller{Principal: ana}, orders)
}

// happened is something that somebody did, so long after the request was made.
func happened(what access.Action, who access.Principal, after time.Duration) access.Event {
	return access.Event{Action: what, At: noon.Add(after - 4*time.Minute), Caller: access.Caller{Principal: who}}
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
		events = append(events, happened(action, ben, time.Duration(i)*time.Second))
	}
	bounced := happened(access.MailBounced, "", time.Duration(len(events))*time.Second)
	bounced.Caller.Method = access.MethodSystem
	bounced.Bounce = access.Bounce{To: carl, Status: "5.1.1", Text: "550 <b>no such user</b>\u202e", Meaning: "There is no mailbox at the recipient's address."}
	unnamed := bounced
	unnamed.At, unnamed.Bounce = bounced.At.Add(time.Second), access.Bounce{}
	events = append(events, bounced, unnamed)
	refused := warn(access.CodeRoleNotGrantable, access.Args{"role": "roles/owner", "resource": "acme-orders-prod"})
	for i := range events {
		switch events[i].Action {
		case access.RequestDenied:
			events[i].Decision.Comment = "Use the read-only role for this."
		case access.RequestApproved:
			events[i].Decision.Duration = 15 * time.Minute
		case access.GrantFailed:
			events[i].Err = refused
		case access.GrantWritten:
			events[i].Window = access.Window{Start: noon, End: noon.Add(time.Hour)}
			events[i].Outcomes = []access.Outcome{{Entitlement: admin, Result: access.Refused, Err: refused}}
		case access.RequestLapsed, access.GrantExpired, access.Reminded:
			events[i].Caller = access.Caller{Method: access.MethodSystem}
		case access.RequestMade:
			events[i].Caller = access.Caller{}
		}
	}
	return events
}

// ledgered is a service that remembers, and a request that takes two approvals and has one.
func ledgered(c *canned) {
	c.remembers, c.view.Forgets, c.view.CanDecide, c.view.CanWithdraw = true, false, true, true
	q := &c.view.Request
	q.State, q.Version = access.Pending, 2
	q.Terms = access.Terms{Rule: "what changes permissions", Policy: strings.Repeat("3fa9c1d2e8b0", 5),
		Requirements: []access.Requirement{{Count: 2, From: []string{access.FromPeers}}}}
	q.Decisions = []access.Decision{{Verdict: access.Approve, By: carl, At: noon.Add(-time.Minute), Digest: q.Digest(), Duration: 30 * time.Minute}}
	c.view.Terms, c.view.Tally = q.Terms, access.Tally{Filled: []int{1}, Approvers: []access.Principal{carl}}
	c.view.Events = []access.Event{happened(access.RequestMade, ana, 0), happened(access.RequestApproved, carl, 3*time.Minute)}
	c.view.Events[1].Decision = q.Decisions[0]
	at := func(id string, state access.State, begin, length time.Duration) access.Request {
		r := *q
		r.ID, r.State, r.Window = id, state, access.Window{Start: noon.Add(begin), End: noon.Add(begin + length)}
		return r
	}
	pending, erased := *q, access.Request{ID: "mpa-BQUFBQUFBQUFBQUF", Kind: access.Peers, State: access.Expired, Created: noon.AddDate(0, 0, -9)}
	later := at("mpa-AwMDAwMDAwMDAwMD", access.Scheduled, 3*time.Hour, time.Hour)
	glass := at("mpa-BgYGBgYGBgYGBgYG", access.Expired, -3*time.Hour, time.Hour)
	glass.Kind, glass.Created = access.BreakGlass, noon.AddDate(0, 0, -1)
	denied := at("mpa-BAQEBAQEBAQEBAQE", access.Denied, 0, 0)
	denied.Window, denied.Created = access.Window{}, noon.AddDate(0, 0, -1)
	active := at("mpa-AgICAgICAgICAgIC", access.Active, -15*time.Minute, time.Hour)
	mine := []access.Request{pending, active, later, glass, denied, erased}
	c.listed = map[string][]access.Request{broker.ViewMine: mine, broker.ViewReviews: {pending}, broker.ViewAll: mine}
	c.extension = broker.Choice{Roles: []broker.OfferedRole{c.offer.Roles[1]}, Kind: access.Peers, Terms: c.needed, Form: "mpa-FORM", Extends: active,
		Reviewers: c.reviewers}
}

// glazed is a service where ana may break the glass.
func glazed(c *canned) {
	ledgered(c)
	c.glass = "brk-GLASS"
	for i := range c.offer.Roles {
		t := &c.offer.Roles[i].Terms
		t.BreakGlass, t.Glass = true, access.GlassTerms{MaxDuration: 30 * time.Minute, ReviewBy: []string{"group:security@example.com"}}
	}
}

// searched is what a search shows of somebody who has something, and may have more.
func searched(c *canned) {
	begins := later(3)
	begins.Entitlement = viewer
	c.named = &access.Named{Activations: []access.Activation{*activeNow(), begins}, Eligible: []access.EntitlementID{admin, security}, Part: true}
}

// extreme is a reason of the longest length: right to left, an emoji, marks stacked high, and
// no space to break at.
var extreme = "سبب עִבְרִית 👩🏽‍🚒 Z" + strings.Repeat("\u0301\u0323", 40) + " " + strings.Repeat("W", 130)

var badInputs = &access.Error{Kind: access.Invalid, Code: access.CodeBadDuration, Field: "minutes", Args: access.Args{"max": "120"}}

// hundred is a project of a hundred roles, with names of the longest length, and fifty who may
// approve.
func hundred(c *canned) {
	for i := range 98 {
		o := c.offer.Roles[i%2]
		o.Entitlement.ID = access.EntitlementID{Resource: orders, Role: access.Role(fmt.Sprintf("roles/%s.role%02d", strings.Repeat("long", 12), i))}
		o.Role = access.RoleInfo{Role: o.Entitlement.ID.Role, Title: extreme[:100] + fmt.Sprint(i), Description: extreme, ChangesPermissions: access.No}
		c.offer.Roles = append(c.offer.Roles, o)
	}
	c.reviewers = nil
	for i := range 50 {
		c.reviewers = append(c.reviewers, access.Principal(fmt.Sprintf("%s.n%02d@%s.example.com", strings.Repeat("name", 14), i, strings.Repeat("d", 60))))
	}
}

func activeNow() *access.Activation {
	return &access.Activation{RequestID: "jit-AQEBAQEBAQEBAQEB", Principal: ana, Entitlement: admin, Approvers: []access.Principal{ben},
		Window: access.Window{Start: noon.Add(-15 * time.Minute), End: noon.Add(45 * time.Minute)}}
}

// later is a grant of an hour that begins in some hours.
func later(hours time.Duration) access.Activation {
	a := *activeNow()
	a.RequestID = "mpa-AwMDAwMDAwMDAwMD"
	a.Window = access.Window{Start: noon.Add(hours * time.Hour), End: noon.Add((hours + 1) * time.Hour)}
	return a
}

// keyed is that approvals are signed here. Ben has two keys, of which one waits; whoever is an
// administrator sees that of dora, too.
func keyed(admin bool) func(*canned) {
	return func(c *canned) {
		key := func(of access.Principal, name string, approved bool) broker.KeyOf {
			k := broker.KeyOf{Passkey: access.Passkey{Of: of, Name: name, Credential: []byte(name), RelyingParty: "access.example.com", Enrolled: noon.Add(-48 * time.Hour)}}
			if approved {
				k.Approved, k.ApprovedBy, k.Used = noon.Add(-47*time.Hour), carl, noon.Add(-time.Hour)
			}
			return k
		}
		synced := key(ben, "Phone <b>&", false)
		synced.Synced = true
		own := []broker.KeyOf{key(ben, "Laptop", true), synced}
		c.passkeys = &broker.PasskeyList{Own: own, Admin: admin, Enrolment: broker.Ceremony{RelyingParty: "access.example.com", Credentials: [][]byte{[]byte("Laptop")},
			Statement: passkey.Statement{Purpose: passkey.Enrolment, Person: ben, Nonce: bytes.Repeat([]byte{7}, 32), At: noon}}}
		if admin {
			c.passkeys.Own, c.passkeys.Enrolment.Person = []broker.KeyOf{key(carl, "Desk", false)}, carl
			c.passkeys.Others = []broker.KeyOf{key(dora, "Phone", false), {Passkey: own[0].Passkey}}
		}
	}
}

// newCanned is a believable state that stories change.
func newCanned(t testing.TB) *canned {
	c := &canned{world: newWorld(t), t: t, reviewers: []access.Principal{ben, carl, dora}}
	caller := access.Caller{Principal: ana}
	c.resources, _, _ = c.world.Resources(context.Background(), caller)
	c.offer, _ = c.world.Offer(context.Background(), caller, orders)
	c.needed, _ = c.Defaults(caller, access.Peers)
	q := access.Request{ID: "mpa-AQEBAQEBAQEBAQEB", Kind: access.Peers, Principal: ana, Resource: orders, Entitlements: []access.EntitlementID{security},
		Justification: "case 4711: the checkout’s service account lost a role", Duration: time.Hour, Reviewers: []access.Principal{ben, carl},
		Created: noon.Add(-4 * time.Minute), Expires: noon.Add(56 * time.Minute)}
	c.view = broker.View{Request: q, State: access.Pending, Roles: []access.RoleInfo{roleInfos[security.Role]}, Window: q.WindowAt(noon), Digest: q.Digest(),
		Effects: []access.Effect{{Text: bindingText}}, IsReviewer: true, ReviewURL: "https://access.example.com/?activation=REF", Forgets: true}
	c.more = broker.MoreReviewers{Request: q, Candidates: []access.Principal{dora, "eva.sand@example.com"}, Room: 1}
	return c
}

// TestStorybook renders every page in every state and compares what is the page's own
// with testdata/story, where frame.html is one whole page. Run with -update after a
// change, and look at what changed; with -storybook FOLDER to see it.
// configure is the configuration of a story.
func (c *canned) configure(t testing.TB) func(*server.Config) {
	return func(sc *server.Config) {
		if c.account != nil {
			sc.Accounts = []server.Account{c.account}
			for _, each := range c.account.besides {
				sc.Accounts = append(sc.Accounts, each)
			}
		}
		if c.login != nil {
			withLogin(c.login)(sc)
		}
		if c.apps != nil {
			sc.Apps = c.apps(t, c)
		}
	}
}

func TestStorybook(t *testing.T) {
	var names []string
	for _, s := range stories() {
		names = append(names, s.name)
		t.Run(s.name, func(t *testing.T) {
			c := newCanned(t)
			if s.set != nil {
				s.set(c)
			}
			h, _ := serve(t, c, c.configure(t))
			if *storybookLanguage != "" { // to be looked at; TestPagesSpeakEveryLanguage compares
				r := storyRequest(s)
				r.Header.Set("Accept-Language", *storybookLanguage)
				writeStory(t, s.name, do(h, r).Body.String())
				return
			}
			w := do(h, storyRequest(s))
			if w.Code != s.code {
				t.Fatalf("%d, want %d: %s", w.Code, s.code, w.Body)
			}
			checkMarkup(t, w.Body.String())
			checkLoads(t, h, w.Body.String())
			checkFrame(t, w.Body.String(), s.person, c.account != nil, c.remembers)
			compare(t, filepath.Join("testdata", "story", s.name+".html"), ownPart(t, w.Body.String()))
			if s.name == "home" {
				compare(t, filepath.Join("testdata", "story", "frame.html"), w.Body.Bytes())
			}
			writeStory(t, s.name, w.Body.String())
		})
	}
	if *storybook != "" {
		writeStorybook(t, names)
	}
}

// writeStory writes a page into the folder that is to be opened in a browser, if there is one.
func writeStory(t *testing.T, name, page string) {
	t.Helper()
	if *storybook != "" {
		writeFile(t, filepath.Join(*storybook, name+".html"), []byte(strings.ReplaceAll(page, `"/assets/`, `"assets/`)))
	}
}

// ownPart is what a page puts into the frame: its title, its scripts and <main>.
func ownPart(t *testing.T, page string) []byte {
	t.Helper()
	title, afterTitle := between(t, page, "<title>", "</title>")
	main, _ := between(t, afterTitle, "<main", "</main>")
	_, afterFrame := between(t, afterTitle, `<script src="/assets/page.js`, "</script>")
	scripts, _, _ := strings.Cut(afterFrame, "</head>")
	return []byte(title + scripts + main + "\n")
}

// between returns the text from the first begin to the first end, both included, and
// what follows.
func between(t *testing.T, text, begin, end string) (found, rest string) {
	t.Helper()
	_, rest, begins := strings.Cut(text, begin)
	found, rest, ends := strings.Cut(rest, end)
	if !begins || !ends {
		t.Fatalf("lacks %s…%s", begin, end)
	}
	return begin + found + end, rest
}

// checkFrame checks what of the frame differs between people: who is signed in, and
// the way to the notifications, where there is one for them.
func checkFrame(t *testing.T, page string, person access.Principal, account, remembers bool) {
	t.Helper()
	who := `<p class="who quiet">Not signed in</p>`
	if person != "" {
		who = `<p class="who"><span class="quiet">Signed in as</span> <span class="address">` + string(person) + `</span></p>`
	}
	if !strings.Contains(page, who) {
		t.Errorf("lacks %s", who)
	}
	if leads := strings.Contains(page, `<a href="/history">History</a></nav>`); leads != remembers {
		t.Errorf("leads to the history: %t", leads)
	}
	if leads := strings.Contains(page, ` · <a href="/notifications">Notifications</a>`); leads != account {
		t.Errorf("leads to the notifications: %t", leads)
	}
}

func compare(t *testing.T, golden string, got []byte) {
	t.Helper()
	got = ofNoVersion(got)
	if *update {
		writeFile(t, golden, got)
		return
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(string(got), "\n")); diff != "" {
		t.Errorf("the page has changed (run with -update if that is meant):\n%s", diff)
	}
}

// checkMarkup keeps what accessibility needs and a template can lose.
func checkMarkup(t *testing.T, page string) {
	t.Helper()
	for _, want := range []string{`<html lang="en">`, `<main id="main"`, `<header`, `<footer>`, `class="skip" href="#main"`, `name="viewport"`} {
		if !strings.Contains(page, want) {
			t.Errorf("lacks %s", want)
		}
	}
	if n := strings.Count(page, "<h1"); n != 1 {
		t.Errorf("%d main headings", n)
	}
	if strings.Count(page, " autofocus") > 1 {
		t.Error("two things want the focus")
	}
	if strings.Contains(page, "ZgotmplZ") || strings.Contains(page, "<no value>") {
		t.Error("a template could not fill something in")
	}
	ids := map[string]bool{}
	for _, part := range strings.Split(page, ` id="`)[1:] {
		id, _, _ := strings.Cut(part, `"`)
		if ids[id] {
			t.Errorf("id %s is there twice", id)
		}
		ids[id] = true
	}
	for _, attribute := range []string{` for="`, ` aria-labelledby="`, ` aria-describedby="`, ` href="#`} {
		for _, part := range strings.Split(page, attribute)[1:] {
			targets, _, _ := strings.Cut(part, `"`)
			for _, target := range strings.Fields(targets) {
				if !ids[target] {
					t.Errorf("%s%s leads nowhere", attribute, target)
				}
			}
		}
	}
}

func writeFile(t *testing.T, name string, content []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, content, 0o644); err != nil {
		t.Fatal(err)
	}
}

// writeStorybook adds the assets and a list of the pages.
func writeStorybook(t *testing.T, names []string) {
	entries, err := fs.ReadDir(web.Files, "assets")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		b, err := fs.ReadFile(web.Files, "assets/"+e.Name())
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, filepath.Join(*storybook, "assets", e.Name()), b)
	}
	var list strings.Builder
	index := template.Must(template.New("").Parse(`<!doctype html><html lang="en"><title>Storybook</title><ul>{{range .}}<li><a href="{{.}}.html">{{.}}</a></li>{{end}}</ul>`))
	if err := index.Execute(&list, names); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(*storybook, "index.html"), []byte(list.String()))
}

// The list of projects has the shape of JIT Access 1.x, and says what it may lack only
// when there is something.
func TestListOfProjectsSaysWhatItMayLack(t *testing.T) {
	c := newCanned(t)
	h, _ := serve(t, c, nil)
	list := func() string { return strings.TrimSpace(do(h, request("GET", "/api/projects")).Body.String()) }
	const projects = `"projects":["acme-orders-prod","acme-orders-test","example.com:legacy-crm"]`
	if got := list(); got != "{"+projects+"}" {
		t.Errorf("got %s", got)
	}
	c.resources = append(c.resources, access.ResourceInfo{Resource: "rooms/lab"})
	c.unlisted = []*access.Error{warn(access.CodeUpstreamTimeout, access.Args{"service": "Rooms"})}
	if got := list(); got != "{"+projects+`,"warnings":["Rooms did not answer in time."]}` {
		t.Errorf("got %s", got)
	}
}

// applied makes a request one that an application has made.
func applied(v *broker.View) {
	id := access.EntitlementID{Resource: "apps/deployer", Role: "roles/production-deploy"}
	v.Request.Resource, v.Request.Entitlements = id.Resource, []access.EntitlementID{id}
	v.Roles = []access.RoleInfo{{Role: id.Role, Title: "Production deploy", ChangesPermissions: access.No}}
	v.Request.Asking = access.Asking{Application: "deployer", Subject: "ana1", Template: "production-deploy", Title: "Deploy v1.2 to <eu-1>",
		Data:   []access.Datum{{Name: "version", Label: "Version", Value: "v1.2"}, {Name: "cluster", Label: "Cluster", Value: "<eu-1>"}},
		Claims: []access.Datum{{Name: "ticket", Label: "ticket", Value: "OPS-1"}, {Name: "branch", Label: "branch"}}}
	v.Request.Justification = v.Request.Asking.Title
	v.Effects = []access.Effect{{Title: "roles/production-deploy", Text: "an access token for deployer\nscope: production-deploy"}}
}
