package storybook

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
)

// Story is one page in one state.
type Story struct {
	Name string
	// Set changes what the broker answers; may be nil.
	Set func(*State)
	// Request is GET PATH or POST PATH BODY.
	Request string
	Person  access.Principal
	Code    int
}

func Warn(code access.Code, args access.Args) *access.Error {
	return &access.Error{Kind: access.Upstream, Code: code, Args: args}
}

func failing(kind access.Kind, code access.Code, args access.Args) func(*State) {
	return func(c *State) { c.Err = &access.Error{Kind: kind, Code: code, Args: args, Err: errors.New("cause")} }
}

// in changes the view of the request.
func in(state access.State, change func(*broker.View)) func(*State) {
	return func(c *State) {
		c.View.State = state
		c.View.CanDecide = state == access.Pending
		if change != nil {
			change(&c.View)
		}
	}
}

func Own(v *broker.View) { v.IsPrincipal, v.CanDecide = true, false }

func NeedApproval(c *State) {
	for i := range c.Offer.Roles {
		c.Offer.Roles[i].Entitlement.SelfApproval, c.Offer.Roles[i].Entitlement.PeerApproval = false, true
		c.Offer.Roles[i].Terms = c.Needed
	}
}

// programAsks is where a program leads a browser.
const programAsks = "/oidc/program?redirect_uri=http://127.0.0.1:49152/XJvbC9tZXRob2Q&state=bZ2Hn8tQpWm4cR7yKd1sLg&" +
	"code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256"

// Stories are all pages in all states, those of one page beside one another. Nothing is made before one is told.
func Stories() []Story {
	const (
		p        = "/access/projects/acme-orders-prod"
		jit      = "?entitlement=acme-orders-prod:roles/compute.instanceAdmin.v1"
		mpa      = "?entitlement=acme-orders-prod:roles/iam.securityAdmin"
		rev      = "/review?activation=REF"
		ask      = "entitlement=acme-orders-prod:roles/iam.securityAdmin&reviewer=ben.okafor@example.com&justification=case+4711&minutes=60&id=mpa-AQEBAQEBAQEBAQEB"
		activate = "entitlement=acme-orders-prod:roles/compute.instanceAdmin.v1&justification=case+4711&minutes=60&id=jit-AQEBAQEBAQEBAQEB"
	)
	refused := &access.Error{Kind: access.NotAllowed, Code: access.CodeServiceNotAllowed, Args: access.Args{"resource": "acme-orders-prod", "account": "jitaccess@acme-access.iam.gserviceaccount.com", "permission": "resourcemanager.projects.setIamPolicy"}}
	return []Story{
		{"home", nil, "GET /", Ana, 200},
		{"home-empty", func(c *State) { c.Resources = nil }, "GET /", Ana, 200},
		{"home-filtered", nil, "GET /?q=orders", Ana, 200},
		{"home-no-such-project", nil, "GET /?q=No+such+project", Ana, 200},
		{"home-incomplete", func(c *State) {
			c.Unlisted = []*access.Error{Warn(access.CodeUpstreamTimeout, access.Args{"service": "Rooms"})}
		}, "GET /", Ana, 200},
		{"home-unlisted", failing(access.TooMany, access.CodeQuota, access.Args{"service": "Resource Manager"}), "GET /", Ana, 200},

		{"home-standing", Searched, "GET /", Ana, 200},
		{"home-by-role", Searched, "GET /?q=securityadmin&list=1", Ana, 200},
		{"home-none-found", func(c *State) { c.Named = &access.Named{} }, "GET /", Ana, 200},
		{"home-unsearched", func(c *State) {
			c.Named = &access.Named{}
			c.Unsearched = []*access.Error{Warn(access.CodeUpstreamTimeout, access.Args{"service": "Cloud Asset Inventory"})}
		}, "GET /", Ana, 200},
		{"home-nothing", func(c *State) { Ledgered(c); c.Listed = nil }, "GET /", Ana, 200},
		{"ask-filled", nil, "GET " + p + "?role=roles/iam.securityAdmin&reason=RB-7:+a+node+hangs&minutes=30", Ana, 200},
		{"ask-filled-alone", nil, "GET " + p + "?role=roles/compute.instanceAdmin.v1&reason=RB-7:+a+node+hangs&minutes=9999", Ana, 200},
		{"choose-filled-unknown", nil, "GET " + p + "?role=roles/unknown&reason=RB-7:+a+node+hangs&minutes=30", Ana, 403},
		{"choose-hundred", hundred, "GET " + p, Ana, 200},
		{"ask-fifty", hundred, "GET " + p + mpa, Ana, 200},
		{"ask-extreme", func(c *State) { hundred(c); c.Refused = badInputs }, "POST " + p + " " + strings.Replace(ask, "case+4711", url.QueryEscape(Extreme), 1), Ana, 400},
		{"home-many", many, "GET /", Ana, 200},
		{"choose-many", many, "GET " + p, Ana, 200},
		{"choose-many-chosen", many, "GET " + p + "?entitlement=acme-orders-prod:roles/bigquery.dataViewer96&entitlement=acme-orders-prod:roles/bigquery.dataViewer97", Ana, 400},
		{"ask-many", many, "GET " + p + mpa, Ana, 200},
		{"more-many", many, "GET /review/reviewers?activation=REF", Ana, 200},
		{"request-many", many, "GET /requests/mpa-AQEBAQEBAQEBAQEB", Ben, 200},
		{"request-own-many", func(c *State) { many(c); Own(&c.View) }, "GET /requests/mpa-AQEBAQEBAQEBAQEB", Ana, 200},

		{"choose", nil, "GET " + p, Ana, 200},
		{"choose-active", func(c *State) { c.Offer.Roles[0].Activation = ActiveNow() }, "GET " + p, Ana, 200},
		{"choose-later", func(c *State) {
			c.Offer.Roles[0].Activation = ActiveNow()
			c.Offer.Roles[0].Upcoming, c.Offer.Roles[1].Upcoming = []access.Activation{Later(3)}, []access.Activation{Later(1), Later(27)}
		}, "GET " + p, Ana, 200},
		{"choose-done-later", func(c *State) { c.Offer.Roles[1].Upcoming = []access.Activation{Later(3)} }, "GET " + p + "?done=mpa-AwMDAwMDAwMDAwMD", Ana, 200},
		{"choose-further", func(c *State) {
			begins := *ActiveNow()
			begins.RequestID, begins.Principal, begins.Entitlement = "mpa-Ab+/0123456789xA", Ana, Viewer
			begins.Window = access.Window{Start: Noon.Add(3 * time.Hour), End: Noon.Add(4 * time.Hour)}
			c.Offer.Further = []access.Activation{*ActiveNow(), begins}
		}, "GET " + p, Ben, 200},
		{"choose-done", func(c *State) { c.Offer.Roles[0].Activation = ActiveNow() }, "GET " + p + "?done=jit-AQEBAQEBAQEBAQEB", Ana, 200},
		{"choose-not-yet", nil, "GET " + p + "?done=jit-AQEBAQEBAQEBAQEB", Ana, 200},
		{"choose-empty", func(c *State) { c.Offer.Roles = nil }, "GET " + p, Ana, 200},
		{"choose-warnings", func(c *State) {
			c.Offer.Roles[1].Entitlement.Unconfirmed = true
			c.Offer.Warnings = []*access.Error{Warn(access.CodeUnreadableBinding, access.Args{"role": "roles/bigquery.admin", "resource": "acme-orders-prod"}),
				Warn(access.CodeInventoryOnly, access.Args{"resource": "folders/123456789"})}
		}, "GET " + p, Ana, 200},
		{"choose-until", func(c *State) {
			c.Offer.Roles[0].Entitlement.Until = Noon.Add(10 * time.Minute)
			c.Offer.Warnings = []*access.Error{Warn(access.CodeTimeUnclear, access.Args{"role": "roles/iam.securityAdmin", "resource": "acme-orders-prod"})}
		}, "GET " + p, Ana, 200},
		{"choose-for-nobody", func(c *State) {
			c.Offer.Ineffective = []access.Ineffective{
				{Node: "projects/acme-orders-prod", Role: "roles/bigquery.admin", Expression: "!has({}.jitAccessContraint) && a < 1",
					Why: Warn(access.CodeMarkerMisspelled, access.Args{"found": "jitAccessContraint", "meant": "has({}.jitAccessConstraint)"})},
				{Node: "folders/123456789", Role: "roles/run.admin", Member: "group:ops@example.com",
					Why: Warn(access.CodeGroupsInGroup, access.Args{"group": "ops@example.com", "count": "2", "catalog": "PolicyAnalyzer"})},
			}
		}, "GET " + p, Ana, 200},
		{"choose-topics", func(c *State) {
			c.Offer.Roles[1].Entitlement.Requests = []access.Approval{{Topic: "dba"}, {Topic: "dba", External: true}, {Topic: "network", External: true}}
		}, "GET " + p, Ana, 200},
		{"choose-ruled", startUp, "GET " + p, Ana, 200},
		{"choose-all-refused", func(c *State) {
			c.Ruled("version: 1\nrules: [{name: freeze, refuse: Production is frozen until 7 January. Ask who is on call.}]\n")
			c.Offer, _ = c.World.Offer(context.Background(), access.Caller{Principal: Ana}, Orders)
		}, "GET " + p, Ana, 200},
		{"ask-ruled", startUp, "GET " + p + mpa, Ana, 200},
		{"ask-refused", startUp, "GET " + p + "?entitlement=acme-orders-prod:roles/owner", Ana, 403},
		{"ask-in-order", func(c *State) {
			startUp(c)
			t := &c.Offer.Roles[1].Terms
			t.Requirements = append(t.Requirements, access.Requirement{Count: 2, From: []string{"group:dba-leads@example.com", "claim:admins", "user:eva.sand@example.com"}})
			t.InOrder, t.Signature, t.InheritedOnly, t.BreakGlass, t.ApproverAccessLevels = true, true, true, true, []string{"accessPolicies/1/accessLevels/corp"}
			t.Glass = access.GlassTerms{Who: []string{"group:oncall@example.com"}, MaxDuration: time.Hour}
			t.RemindAfter, t.Escalations = 30*time.Minute, []access.Escalation{{After: time.Hour, To: []string{"group:leads@example.com"}}}
			t.MaxContinuous, t.Notify = 12*time.Hour, []string{"slack:#oncall"}
			c.Offer.Roles[1].Why.Further = 3
		}, "GET " + p + mpa, Ana, 200},
		{"review-ruled", in(access.Pending, func(v *broker.View) {
			v.Terms = access.Terms{Rule: "what changes permissions", Policy: strings.Repeat("3fa9c1d2e8b0", 5), Requirements: []access.Requirement{{Count: 1, From: []string{access.FromPeers}}}}
		}), "GET " + rev, Ben, 200},
		{"passkeys", keyed(false), "GET /passkeys", Ben, 200},
		{"passkeys-none", func(c *State) { keyed(false)(c); c.Passkeys.Own = nil }, "GET /passkeys", Ben, 200},
		{"passkeys-admin", keyed(true), "GET /passkeys", Carl, 200},
		{"passkeys-admin-alone", func(c *State) { keyed(true)(c); c.Passkeys.Others = nil }, "GET /passkeys", Carl, 200},
		{"passkeys-not-made", func(c *State) {
			keyed(false)(c)
			c.Refused = &access.Error{Kind: access.NotAllowed, Code: access.CodePasskeyNotMade}
		}, "POST /passkeys name=Blue+security+key", Ben, 403},
		{"passkeys-sign-in-again", func(c *State) {
			keyed(false)(c)
			c.Refused = &access.Error{Kind: access.NotAllowed, Code: access.CodeSignInAgain}
		}, "POST /passkeys name=Blue+security+key&public-key=AA&time=2026-11-22T12:00:00Z", Ben, 403},
		{"passkeys-untold", func(c *State) {
			keyed(false)(c)
			c.Asked.Warnings = []*access.Error{Warn(access.CodeNotDelivered, access.Args{"recipient": string(Ben), "channel": "mail"})}
		}, "POST /passkeys/0123456789abcdef/remove confirmed=1&principal=" + string(Ben), Ben, 200},
		{"passkeys-confirm", keyed(true), "POST /passkeys/" + access.CredentialID([]byte("Phone")) + "/approve principal=" + string(Dora), Carl, 200},
		{"ask-signed", func(c *State) { keyed(false)(c); c.Keyless = []access.Principal{Carl, Dora} }, "GET " + p + mpa, Ana, 200},
		{"review-keyless", func(c *State) {
			keyed(false)(c)
			in(access.Pending, func(v *broker.View) { Own(v); v.Keyless = []access.Principal{Carl} })(c)
		}, "GET " + rev, Ana, 200},
		{"review-no-key", func(c *State) {
			keyed(false)(c)
			in(access.Pending, func(v *broker.View) {
				v.Signature, v.NoKey = true, &access.Error{Kind: access.NotAllowed, Code: access.CodePasskeyUnapproved}
			})(c)
		}, "GET " + rev, Ben, 200},
		{"review-sign", func(c *State) { keyed(false)(c); in(access.Pending, func(v *broker.View) { v.Signature = true })(c) }, "POST " + rev + " verdict=approve", Ben, 200},
		{"more-keyless", func(c *State) {
			keyed(false)(c)
			c.More.Keyless, c.More.AskedKeyless = []access.Principal{Dora}, []access.Principal{Ben}
		}, "GET /review/reviewers?activation=REF", Ana, 200},
		{"choose-nothing-chosen", nil, "GET " + p + "?next=1", Ana, 400},
		{"choose-mixed", nil, "GET " + p + mpa + "&" + jit[1:], Ana, 400},

		{"ask-self", nil, "GET " + p + jit, Ana, 200},
		{"ask-several", nil, "GET " + p + jit + "&entitlement=acme-orders-prod:roles/storage.objectViewer:cmVzb3VyY2UubmFtZS5zdGFydHNXaXRoKCJwcm9qZWN0cy9fL2J1Y2tldHMvYWNtZS1vcmRlcnMiKQ==", Ana, 200},
		{"ask-peer", nil, "GET " + p + mpa, Ana, 200},
		{"ask-peer-several", NeedApproval, "GET " + p + mpa + "&" + jit[1:], Ana, 200},
		{"ask-peer-several-nobody", func(c *State) {
			NeedApproval(c)
			c.Reviewers = nil
		}, "GET " + p + mpa + "&" + jit[1:], Ana, 200},
		{"ask-peer-nobody", func(c *State) { c.Reviewers = nil }, "GET " + p + mpa, Ana, 200},
		{"ask-peer-no-mail", func(c *State) { c.Silent = true }, "GET " + p + mpa, Ana, 200},
		{"ask-peer-pubsub-alone", func(c *State) { c.Machines = true }, "GET " + p + mpa, Ana, 200},
		{"ask-wrong", func(c *State) {
			c.Refused = &access.Error{Kind: access.Invalid, Code: access.CodeBadDuration, Field: "minutes", Args: access.Args{"max": "120"}}
		}, "POST " + p + " " + strings.Replace(ask, "minutes=60", "minutes=tomorrow", 1), Ana, 400},
		{"ask-upstream", failing(access.TimedOut, access.CodeUpstreamTimeout, access.Args{"service": "Resource Manager"}), "POST " + p + " " + ask, Ana, 504},

		{"result-undelivered", func(c *State) {
			c.Asked = broker.Asked{Request: c.View.Request, Ref: "REF", ReviewURL: "https://access.example.com/?activation=REF",
				Warnings: []*access.Error{Warn(access.CodeNotDelivered, access.Args{"recipient": string(Ben), "channel": "mail"})}}
		}, "POST " + p + " " + ask, Ana, 200},
		{"result-in-part", func(c *State) {
			q := c.View.Request
			q.Entitlements = []access.EntitlementID{Admin, Viewer}
			c.Asked = broker.Asked{Request: q, Window: q.WindowAt(Noon), Outcomes: []access.Outcome{
				{Entitlement: Admin, Result: access.Granted, Window: q.WindowAt(Noon)}, {Entitlement: Viewer, Result: access.Refused, Err: refused}}}
		}, "POST " + p + " " + activate, Ana, 200},
		{"result-declined", func(c *State) {
			c.Decided = broker.Decided{Request: c.View.Request, State: access.Pending, Forgets: true}
		}, "POST " + rev + " verdict=deny&comment=not+today", Ben, 200},
		{"result-declined-undelivered", func(c *State) {
			c.Decided = broker.Decided{Request: c.View.Request, State: access.Pending, Forgets: true,
				Warnings: []*access.Error{Warn(access.CodeNotDelivered, access.Args{"recipient": string(Ana), "channel": "mail"})}}
		}, "POST " + rev + " verdict=deny&comment=not+today", Ben, 200},
		{"result-approved-unrecorded", func(c *State) {
			q := c.View.Request
			c.Decided = broker.Decided{Request: q, State: access.Active, Window: q.WindowAt(Noon), Outcomes: []access.Outcome{{Entitlement: Security, Result: access.Granted, Window: q.WindowAt(Noon)}},
				Warnings: []*access.Error{Warn(access.CodeOutcomeUnrecorded, nil)}}
		}, "POST " + rev + " verdict=approve&confirmed=1", Ben, 200},

		{"review-confirm", func(c *State) {
			c.View.CanDecide = true
			c.View.Roles = []access.RoleInfo{RoleInfos[Admin.Role]}
			c.View.Request.Entitlements = []access.EntitlementID{Admin}
		}, "POST " + rev + " verdict=approve", Ben, 200},
		{"review-confirm-powerful", in(access.Pending, nil), "POST " + rev + " verdict=approve", Ben, 200},
		{"review-confirm-unknown-role", in(access.Pending, func(v *broker.View) { v.Roles = nil }), "POST " + rev + " verdict=approve", Ben, 200},
		{"review-not-powerful", func(c *State) {
			c.View.CanDecide = true
			c.View.Roles = []access.RoleInfo{RoleInfos[Admin.Role]}
			c.View.Request.Entitlements = []access.EntitlementID{Admin}
		}, "GET " + rev, Ben, 200},

		{"notifications", func(c *State) { c.Account = NewAccount() }, "GET /notifications", Carl, 200},
		{"notifications-all", func(c *State) { c.Account = EveryAccount() }, "GET /notifications", Carl, 200},
		{"notifications-webhook-failed", func(c *State) { c.Account = EveryAccount() }, "POST /notifications channel=webhook", Carl, 200},
		{"notifications-none-sent", func(c *State) { c.Account = NewAccount(); c.Account.Attempts = nil }, "GET /notifications", Carl, 200},
		{"notifications-not-set-up", func(c *State) { c.Account = &Account{} }, "GET /notifications", Carl, 200},
		{"notifications-tested", func(c *State) { c.Account = NewAccount() }, "POST /notifications channel=mail", Carl, 200},
		{"notifications-failed", func(c *State) { c.Account = FailingAccount() }, "POST /notifications channel=mail", Carl, 200},

		{"review-unwritable", in(access.Pending, func(v *broker.View) {
			v.Unwritable = Warn(access.CodeRoleNotGrantable, access.Args{"role": "roles/owner", "resource": "acme-orders-prod"})
		}), "GET " + rev, Ben, 200},
		{"review-pending", in(access.Pending, nil), "GET " + rev, Ben, 200},
		{"review-pending-unknown-role", in(access.Pending, func(v *broker.View) { v.Roles = nil }), "GET " + rev, Ben, 200},
		{"review-made-by-1x", in(access.Pending, func(v *broker.View) {
			v.Request.Fixed = access.Window{Start: v.Request.Created, End: v.Request.Created.Add(30 * time.Minute)}
			v.Request.Duration, v.Window = 30*time.Minute, v.Request.Fixed
		}), "GET " + rev, Ben, 200},
		{"review-application", in(access.Pending, Applied), "GET " + rev, Ben, 200},
		{"review-application-unlinked", in(access.Pending, func(v *broker.View) {
			Applied(v)
			v.Request.Asking.Subject, v.Request.Asking.Unlinked, v.Request.Principal = "CORP\\<b>ana", true, access.Spelled("deployer", "CORP\\<b>ana")
			v.Request.Justification = "the ticket says so"
		}), "GET " + rev, Ben, 200},
		{"review-application-own", in(access.Pending, func(v *broker.View) { Applied(v); Own(v); v.CanWithdraw = true }), "GET " + rev, Ana, 200},
		{"review-application-active", in(access.Active, func(v *broker.View) { Applied(v); v.CanEnd = true }), "GET " + rev, Ben, 200},
		{"review-own", in(access.Pending, Own), "GET " + rev, Ana, 200},
		{"review-own-no-mail-no-address", func(c *State) {
			in(access.Pending, Own)(c)
			c.Silent, c.View.ReviewURL = true, ""
		}, "GET " + rev, Ana, 200},
		{"review-own-pubsub-alone", func(c *State) { in(access.Pending, Own)(c); c.Machines = true }, "GET " + rev, Ana, 200},
		{"review-cannot", in(access.Pending, func(v *broker.View) {
			v.CanDecide = false
			v.WhyNot = &access.Error{Kind: access.NotAllowed, Code: access.CodeNotEligible, Args: access.Args{"role": "roles/iam.securityAdmin", "resource": "acme-orders-prod"}}
		}), "GET " + rev, Ben, 200},
		{"review-upstream", in(access.Pending, func(v *broker.View) {
			v.CanDecide = false
			v.WhyNot = &access.Error{Kind: access.TimedOut, Code: access.CodeUpstreamTimeout, Args: access.Args{"service": "Asset Inventory"}}
			v.Warnings = []*access.Error{v.WhyNot}
		}), "GET " + rev, Ben, 200},
		{"review-own-active", in(access.Active, func(v *broker.View) {
			Own(v)
			v.CanEnd, v.Activations = true, []access.Activation{*ActiveNow()}
		}), "GET " + rev, Ana, 200},
		{"review-active", in(access.Active, func(v *broker.View) {
			v.Activations = []access.Activation{*ActiveNow()}
			v.Window = ActiveNow().Window
			v.WhyNot = &access.Error{Kind: access.Conflict, Code: access.CodeAlreadyApproved, Args: access.Args{"approvers": string(Ben)}}
		}), "GET " + rev, Ben, 200},
		{"review-approved-by-another", in(access.Active, func(v *broker.View) {
			v.Activations = []access.Activation{*ActiveNow()}
			v.WhyNot = &access.Error{Kind: access.Conflict, Code: access.CodeAlreadyApproved, Args: access.Args{"approvers": string(Ben)}}
		}), "GET " + rev, Carl, 200},
		{"review-own-later", in(access.Active, func(v *broker.View) {
			Own(v)
			v.CanEnd, v.Activations = true, []access.Activation{*ActiveNow()}
			v.Activations[0].Window = access.Window{Start: Noon.Add(3 * time.Hour), End: Noon.Add(4 * time.Hour)}
			v.Window = v.Activations[0].Window
		}), "GET " + rev, Ana, 200},
		{"review-ended", in(access.Ended, Own), "GET " + rev, Ana, 200},
		{"review-expired", in(access.Expired, nil), "GET " + rev, Ben, 200},
		{"review-denied", in(access.Denied, func(v *broker.View) {
			v.Forgets, v.Effects, v.Window = false, nil, access.Window{}
			v.Request.Decisions = []access.Decision{{Verdict: access.Deny, By: Ben, At: Noon, Comment: "Use the read-only role for this."}}
		}), "GET " + rev, Ana, 200},
		{"review-lapsed", in(access.Lapsed, Own), "GET " + rev, Ana, 200},

		{"more", nil, "GET /review/reviewers?activation=REF", Ana, 200},
		{"more-nobody", func(c *State) { c.More.Candidates = nil }, "GET /review/reviewers?activation=REF", Ana, 200},
		{"more-full", func(c *State) { c.More.Room = 0 }, "GET /review/reviewers?activation=REF", Ana, 200},
		{"more-wrong", func(c *State) {
			c.Err = &access.Error{Kind: access.Invalid, Code: access.CodeNobodyAdded, Field: access.FieldReviewer}
		}, "POST /review/reviewers?activation=REF reviewer=carl.mendes@example.com", Ana, 400},
		{"more-long-link", func(c *State) {
			c.Asked = broker.Asked{Request: c.View.Request, Ref: "REF2", ReviewURL: "https://access.example.com/?activation=REF2",
				Warnings: []*access.Error{Warn(access.CodeLongLink, access.Args{"count": "2417", "max": "2000"})}}
		}, "POST /review/reviewers?activation=REF reviewer=carl.mendes@example.com", Ana, 200},

		{"home-lists", Ledgered, "GET /", Ana, 200},
		{"home-lists-unread", func(c *State) {
			Ledgered(c)
			c.Err = &access.Error{Kind: access.Unavailable, Code: access.CodeLedgerUnavailable}
		}, "GET /", Ana, 200},
		{"list-mine", Ledgered, "GET /requests", Ana, 200},
		{"list-mine-none", func(c *State) { c.Remembers = true }, "GET /requests", Ana, 200},
		{"list-reviews", Ledgered, "GET /reviews", Ben, 200},
		{"list-reviews-none", func(c *State) { c.Remembers = true }, "GET /reviews", Ben, 200},
		{"list-history", func(c *State) { Ledgered(c); c.Auditor, c.Next = true, "NEXT" }, "GET /history", Eve, 200},
		{"list-history-own", Ledgered, "GET /history?after=NEXT", Ana, 200},
		{"list-history-search", func(c *State) { c.Remembers, c.Auditor, c.Next = true, true, "NEXT" },
			"GET /history?q=nothing&state=denied&person=ana.ito@example.com&from=2026-11-01&to=2026-11-30&role=roles/viewer&resource=acme-orders-prod", Eve, 200},
		{"month", func(c *State) { Ledgered(c); c.Auditor = true }, "GET /history/month?month=2026-11", Eve, 200},
		{"month-own-cut", func(c *State) { Ledgered(c); c.Next = "NEXT" }, "GET /history/month?month=2026-10&state=denied", Ana, 200},
		{"request-own", func(c *State) { Ledgered(c); Own(&c.View) }, "GET /requests/mpa-AQEBAQEBAQEBAQEB", Ana, 200},
		{"request-review", Ledgered, "GET /requests/mpa-AQEBAQEBAQEBAQEB", Ben, 200},
		{"request-confirm-less", Ledgered, "POST /review?activation=mpa-AQEBAQEBAQEBAQEB verdict=approve&minutes=15", Ben, 200},
		{"request-review-longest", func(c *State) {
			Ledgered(c)
			c.View.Past = &access.Past{Had: 12, Denied: 1, Last: Noon.AddDate(0, 0, -10)}
			q := &c.View.Request
			q.Principal, q.Resource = "maximiliane.oberhuber-schmidt@operations.example.com", "projects/acme-customer-analytics-prod-1"
			q.Entitlements = []access.EntitlementID{{Resource: q.Resource, Role: "roles/spanner.databaseReaderWithDataBoost"}}
			c.View.Roles = []access.RoleInfo{{Title: "Cloud Spanner Database Reader with DataBoost", ChangesPermissions: access.Yes,
				Description: "Includes all permissions of the Database Reader role, and runs queries with Data Boost."}}
			q.Justification = "INC-204711: replication lags by an hour, and the runbook wants a look at the sessions"
		}, "GET /requests/mpa-AQEBAQEBAQEBAQEB", Ben, 200},
		{"request-review-hostile", func(c *State) {
			Ledgered(c)
			q := &c.View.Request
			marks := strings.Repeat("\u0301\u0316\u034c", 5)
			q.Justification = access.Clip("\u0430cme-orders-prod \u05e9\u05dc\u05d5\u05dd \U0001f525\U0001f468\u200d\U0001f692 Z"+marks+"a"+marks+"l"+marks+" "+
				strings.Repeat("0", 200), access.MaxJustification)
			q.Reviewers = append(q.Reviewers, fifty()...)
			c.View.Past = &access.Past{Denied: 2}
		}, "GET /requests/mpa-AQEBAQEBAQEBAQEB", Ben, 200},
		{"request-own-waits", func(c *State) {
			Ledgered(c)
			Own(&c.View)
			c.View.CanBreak, c.View.Request.Reminded = true, Noon.Add(-time.Minute)
			c.View.Request.Terms.Escalations = []access.Escalation{{After: 20 * time.Minute, To: []string{"group:leads@example.com", "user:eva.sand@example.com"}}}
		}, "GET /requests/mpa-AQEBAQEBAQEBAQEB", Ana, 200},
		{"request-long", func(c *State) {
			Ledgered(c)
			for i := range 200 {
				c.View.Events = append(c.View.Events, Happened(access.ReviewersAdded, Ana, time.Duration(i)*time.Second))
			}
		}, "GET /requests/mpa-AQEBAQEBAQEBAQEB", Ben, 200},
		{"request-voted", func(c *State) {
			Ledgered(c)
			c.View.Request.Decisions[0].By = Ben
		}, "GET /requests/mpa-AQEBAQEBAQEBAQEB", Ben, 200},
		{"request-auditor", func(c *State) { Ledgered(c); c.View.IsReviewer, c.View.CanDecide = false, false }, "GET /requests/mpa-AQEBAQEBAQEBAQEB", Eve, 200},
		{"request-active", func(c *State) {
			Ledgered(c)
			Own(&c.View)
			c.View.State, c.View.CanWithdraw, c.View.CanEnd, c.View.CanExtend = access.Active, false, true, true
			c.View.Request.Extends, c.View.Activations = "mpa-AgICAgICAgICAgIC", []access.Activation{*ActiveNow()}
		}, "GET /requests/mpa-AQEBAQEBAQEBAQEB", Ana, 200},
		{"request-ended-by-approver", func(c *State) {
			Ledgered(c)
			c.View.State, c.View.CanDecide, c.View.CanEnd = access.Active, false, true
		}, "GET /requests/mpa-AQEBAQEBAQEBAQEB", Ben, 200},
		{"request-glass", func(c *State) {
			Ledgered(c)
			c.View.Request.Kind, c.View.State, c.View.CanDecide, c.View.CanReview = access.BreakGlass, access.Active, false, true
			c.View.Events = []access.Event{Happened(access.GlassBroken, Ana, 0), Happened(access.GrantWritten, Ana, time.Minute)}
		}, "GET /requests/mpa-AQEBAQEBAQEBAQEB", Carl, 200},
		{"request-glass-reviewed", func(c *State) {
			Ledgered(c)
			c.View.Request.Kind, c.View.State, c.View.CanDecide = access.BreakGlass, access.Expired, false
			c.View.Request.Review = access.Decision{By: Carl, At: Noon.Add(-time.Minute), Comment: "Use the read-only role for this."}
		}, "GET /requests/mpa-AQEBAQEBAQEBAQEB", Ana, 200},
		{"request-everything", func(c *State) {
			Ledgered(c)
			c.View.State, c.View.CanDecide, c.View.Events = access.Failed, false, everythingThatHappens()
		}, "GET /requests/mpa-AQEBAQEBAQEBAQEB", Eve, 200},
		{"extend", Ledgered, "GET /requests/mpa-AQEBAQEBAQEBAQEB/extend", Ana, 200},
		{"extend-wrong", func(c *State) {
			Ledgered(c)
			c.Refused = &access.Error{Kind: access.Invalid, Code: access.CodeBadDuration, Field: "minutes", Args: access.Args{"max": "120"}}
		}, "POST /requests/mpa-AQEBAQEBAQEBAQEB/extend justification=case+4712&minutes=999&reviewer=ben.okafor@example.com", Ana, 400},
		{"ask-glass", glazed, "GET " + p + mpa, Ana, 200},
		{"ask-glass-wrong", func(c *State) {
			glazed(c)
			c.Refused = &access.Error{Kind: access.Invalid, Code: access.CodeNoJustification, Field: "justification", Args: access.Args{"hint": "Bug or case number"}}
		}, "POST " + p + " glass=1&minutes=20&justification=&entitlement=acme-orders-prod:roles/iam.securityAdmin&id=brk-AQEBAQEBAQEBAQEB", Ana, 400},
		{"error-401", nil, "GET /", "", 401},
		{"error-403", failing(access.NotAllowed, access.CodeNotInvolved, nil), "GET " + rev, Dora, 403},
		{"error-vpc", failing(access.Upstream, access.CodeServiceNotAllowed, access.Args{"resource": "acme-orders-prod", "account": "jitaccess@acme-access.iam.gserviceaccount.com",
			"permission": "resourcemanager.projects.getIamPolicy", "violation": "AAbbCC11-ddEE"}), "GET " + p, Ana, 502},
		{"login-kept", func(c *State) { c.Login = &login{} }, "POST /access/projects/acme-orders-prod entitlement=x&justification=Node+7%3A+%3Cb%3E+%26+%22hangs%22%0D%0Ateam+B&minutes=&minutes=30", "", 401},
		{"login-lapsed", func(c *State) {
			c.Login = &login{finish: &access.Error{Kind: access.Unauthenticated, Code: access.CodeLoginLapsed}}
		}, "GET /oidc/callback?state=x", "", 401},
		{"login-out", func(c *State) { c.Login = &login{} }, "POST /oidc/logout x=y", "", 200},
		{"login-copies", func(c *State) {
			c.Login = &login{end: &access.Error{Kind: access.Unavailable, Code: access.CodeCopiesLast}}
		}, "POST /oidc/logout x=y", "", 200},
		{"program", func(c *State) { c.Login = &login{} }, "GET " + programAsks, Ana, 200},
		{"program-let", func(c *State) { c.Login = &login{} }, "POST " + programAsks + " confirmed=1&principal=" + string(Ana), Ana, 200},
		{"error-404", nil, "GET /nowhere", Ana, 404},
		{"error-not-admin", nil, "GET /notifications", Ana, 403},
		{"error-410", failing(access.Gone, access.CodeLinkExpired, nil), "GET " + rev, Ben, 410},
		{"error-500", func(c *State) { c.Err = errors.New("a cause that stays in the log") }, "GET " + rev, Ben, 500},
		{"error-503", failing(access.Unavailable, access.CodeServiceNotAllowed, access.Args{"resource": "acme-orders-prod", "account": "jitaccess@acme-access.iam.gserviceaccount.com", "permission": "cloudasset.assets.analyzeIamPolicy"}), "GET " + p, Ana, 503},
		{"apps-none", managing(nil), "GET /apps", Carl, 200},
		{"apps", managing(func(s *appStory) { s.deploy(); s.waits(Dora); s.console() }), "GET /apps", Carl, 200},
		{"apps-wrong", managing(nil), "POST /apps name=Deployer&uri=deploy.example.com&hosts=deploy.example.com", Carl, 400},
		{"apps-as-code", managing(func(s *appStory) { s.deploy(); s.asCode = true }), "GET /apps", Carl, 200},
		{"apps-unsealed", managing(func(s *appStory) { s.unsealed = true }), "GET /apps", Carl, 200},
		{"app-created", managing(nil), "POST /apps name=deployer&uri=https://deploy.example.com&hosts=", Carl, 200},
		{"app-new", managing(func(s *appStory) { s.console() }), "GET /apps/console", Carl, 200},
		{"app", managing(func(s *appStory) { s.deploy() }), "GET /apps/deployer", Carl, 200},
		{"app-waits", managing(func(s *appStory) { s.deploy(); s.waits(Dora) }), "GET /apps/deployer", Carl, 200},
		{"app-waits-own", managing(func(s *appStory) { s.deploy(); s.waits(Carl) }), "GET /apps/deployer", Carl, 200},
		{"app-confirm", managing(func(s *appStory) { s.deploy(); s.waits(Dora) }), "POST /apps/deployer number=4&do=agree", Carl, 200},
		{"app-github", managing(func(s *appStory) { s.deploy(); s.asCode, s.atGitHub = true, true }), "GET /apps/deployer", Carl, 200},
		{"app-held", managing(func(s *appStory) { s.deploy() }), "POST /apps/deployer number=3&do=rotate", Carl, 200},
		{"app-off", managing(func(s *appStory) { s.deploy() }), "POST /apps/deployer number=3&do=off", Carl, 200},
		{"app-stale", managing(func(s *appStory) { s.deploy() }), "POST /apps/deployer number=1&do=off", Carl, 409},
		{"app-settings-wrong", managing(func(s *appStory) { s.deploy() }), "POST /apps/deployer number=3&do=settings&uri=http://deploy.example.com&hosts=x", Carl, 400},
		{"app-trial-wrong", managing(func(s *appStory) { s.deploy() }), "POST /apps/deployer/trial id=000000000000000000000000&template=production-deploy&data.version=1.2&data.cluster=eu", Carl, 400},
		{"app-as-code", managing(func(s *appStory) { s.deploy(); s.asCode = true }), "GET /apps/deployer", Carl, 200},
		{"app-template-new", managing(func(s *appStory) { s.console() }), "GET /apps/console/template", Carl, 200},
		{"app-template", managing(func(s *appStory) { s.deploy() }), "GET /apps/deployer/template?key=production-deploy", Carl, 200},
		{"app-template-wrong", managing(func(s *appStory) { s.deploy() }), "POST /apps/deployer/template number=3&new=1&key=production-deploy&name=Again&title=Again&type=sign_and_approve&approvers=group:leads@example.com&approvals=1&max=60&default=30&life=60&active=1", Carl, 400},
		{"error-needs-ledger", nil, "GET /history", Ana, 501},
	}
}
