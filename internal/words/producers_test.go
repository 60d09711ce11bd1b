package words_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/broker/brokertest"
	"jitaccess/internal/gcp"
	"jitaccess/internal/gcp/directory"
	"jitaccess/internal/gcp/iamcredentials"
	"jitaccess/internal/gcp/iampolicy"
	"jitaccess/internal/gcp/policyanalyzer"
	"jitaccess/internal/gcp/secretmanager"
	"jitaccess/internal/gcp/standing"
	"jitaccess/internal/identity"
	"jitaccess/internal/jose"
	"jitaccess/internal/ledger"
	"jitaccess/internal/ledger/firestore"
	"jitaccess/internal/ledger/relational"
	"jitaccess/internal/lookup"
	"jitaccess/internal/policy"
	"jitaccess/internal/words"
)

var update = flag.Bool("update", false, "write the golden file")

// situation is one in which the product refuses or warns.
type situation struct {
	code access.Code
	// what goes wrong, as the golden file tells it.
	what string
	// happens makes it happen, and returns the error that the product made.
	happens func(*testing.T) error
	// counted is how the text counts what the error's numbers count; required where it
	// has such numbers.
	counted []string
}

func situations() []situation {
	return []situation{
		{access.CodeInternal, "a provider fails with what it must not",
			visitingAs(as(ana), func(w *brokertest.World) { w.CatalogErr = errors.New("10.0.0.1 refuses") }, "GET /access/projects/shop", ""), nil},
		{access.CodeDeadline, "the browser goes away", failed(context.Canceled), nil},
		{access.CodeNoIdentity, "no assertion", visitingAs(verifier, nil, "GET /", ""), nil},
		{access.CodeBadIdentity, "an assertion that is none",
			visitingAs(verifier, nil, "GET /", "", "X-Goog-Iap-Jwt-Assertion: a.b.c"), nil},
		{access.CodeLoginLapsed, "a log-in that another browser has begun", loggingIn(true, func(q url.Values) { q.Set("state", "x") }), nil},
		{access.CodeLoginRefused, "a provider that lets nobody in", loggingIn(true, func(q url.Values) { q.Set("error", "access_denied") }), nil},
		{access.CodeUnverifiedAddress, "an address that is not verified", loggingIn(false, nil), nil},
		{access.CodeCopiesLast, "a log-out while nothing can be remembered", loggingIn(true, nil), nil},
		{access.CodeCrossSite, "a form of another site",
			visiting("POST /access/projects/shop", "a=b", "Sec-Fetch-Site: cross-site"), nil},
		{access.CodeMissingHeader, "a call without the header", visiting("GET /api/policy", "", "X-JITACCESS: "), nil},
		{access.CodeTooFast, "many pages at once", visiting("GET /", ""), nil},

		{access.CodeBadInput, "a query that cannot be read", visiting("GET /?%zz", ""), nil},
		{access.CodeBadResource, "an address that is no project", visiting("GET /access/projects/Shop", ""), nil},
		{access.CodeBadResource, "an address without a project", visiting("GET /access/projects/", ""), nil},
		{access.CodeBadEntitlement, "a role that is none", visiting("GET /access/projects/shop?entitlement=x", ""), nil},
		{access.CodeOtherResource, "peers of a role elsewhere",
			visiting("GET /api/projects/shop/peers?id=other:roles/viewer", ""), nil},
		{access.CodeOtherResource, "a role elsewhere",
			asking(access.CodeOtherResource, func(_ *brokertest.World, a *broker.Ask) { a.Entitlements[0].Resource = "projects/other" }), nil},
		{access.CodeNoEntitlement, "nothing is chosen",
			asking(access.CodeNoEntitlement, func(_ *brokertest.World, a *broker.Ask) { a.Entitlements = nil }), nil},
		{access.CodeTooManyRoles, "three roles", asking(access.CodeTooManyRoles, func(_ *brokertest.World, a *broker.Ask) {
			a.Entitlements = append(a.Entitlements, logs, access.EntitlementID{Resource: shop, Role: "roles/viewer.x"})
		}), []string{"3 roles", "at most 2"}},
		{access.CodeBadRequestID, "a form with another id",
			asking(access.CodeBadRequestID, func(_ *brokertest.World, a *broker.Ask) { a.Form = "x" }), nil},
		{access.CodeOldForm, "a form of yesterday",
			asking(access.CodeOldForm, func(w *brokertest.World, a *broker.Ask) {
				a.Form, _ = access.NewForm(w.Random, access.Peers, ana, w.Clock.Add(-24*time.Hour))
			}), nil},
		{access.CodeNoJustification, "no reason",
			asking(access.CodeNoJustification, func(_ *brokertest.World, a *broker.Ask) { a.Justification = "" }), nil},
		{access.CodeLongJustification, "a reason of 300 letters",
			asking(access.CodeLongJustification, func(_ *brokertest.World, a *broker.Ask) {
				a.Justification = strings.Repeat("a", 300)
			}), []string{"250 characters"}},
		{access.CodeUnsafeJustification, "a reason of two lines",
			asking(access.CodeUnsafeJustification, func(_ *brokertest.World, a *broker.Ask) { a.Justification = "a\nb" }), nil},
		{access.CodeJustificationRule, "a reason without a case",
			asking(access.CodeJustificationRule, func(_ *brokertest.World, a *broker.Ask) { a.Justification = "because" }), nil},
		{access.CodeNoComment, "a denial without a reason",
			deciding(access.CodeNoComment, func(_ *brokertest.World, d *broker.Decide, _ *access.Caller) { d.Verdict = access.Deny }), nil},
		{access.CodeUnsafeComment, "a denial of two lines",
			deciding(access.CodeUnsafeComment, func(_ *brokertest.World, d *broker.Decide, _ *access.Caller) {
				d.Verdict, d.Comment = access.Deny, "a\nb"
			}), []string{"250 characters"}},
		{access.CodeBadDuration, "three hours of at most two",
			asking(access.CodeBadDuration, func(_ *brokertest.World, a *broker.Ask) { a.Duration = 3 * time.Hour }), []string{"whole minutes, from 1 to 120"}},
		{access.CodeBadStart, "a start in a year",
			asking(access.CodeBadStart, func(_ *brokertest.World, a *broker.Ask) { a.Start = noon.AddDate(1, 0, 0) }), []string{"hours ahead"}},
		{access.CodeBadStart, "a start that is no time",
			visiting("POST /access/projects/shop", "entitlement=shop:roles/compute.admin&minutes=5&start=tomorrow"), nil},
		{access.CodeStartsAtOnce, "an activation for later", asking(access.CodeStartsAtOnce, func(_ *brokertest.World, a *broker.Ask) {
			a.Entitlements, a.Reviewers, a.Start = []access.EntitlementID{logs}, nil, noon.Add(time.Hour)
		}), nil},
		{access.CodeBadReviewer, "a reviewer without an address",
			asking(access.CodeBadReviewer, func(_ *brokertest.World, a *broker.Ask) { a.Reviewers = []string{"ben"} }), nil},
		{access.CodeSelfReviewer, "oneself as a reviewer",
			asking(access.CodeSelfReviewer, func(_ *brokertest.World, a *broker.Ask) { a.Reviewers = []string{string(ana)} }), nil},
		{access.CodeFewReviewers, "one reviewer of at least two",
			asking(access.CodeFewReviewers, func(w *brokertest.World, _ *broker.Ask) { w.Settings.MinReviewers = 2 }), []string{"at least 2"}},
		{access.CodeManyReviewers, "three reviewers of at most two",
			asking(access.CodeManyReviewers, func(_ *brokertest.World, a *broker.Ask) {
				a.Reviewers = []string{"a@example.com", "b@example.com", "c@example.com"}
			}), []string{"at most 2"}},
		{access.CodeNobodyAdded, "nobody new is asked", func(t *testing.T) error {
			_, err := newWorld(t).Broker().AddReviewers(t.Context(), access.Caller{Principal: ana},
				broker.AddReviewers{Ref: "REF", Reviewers: []string{string(ben)}, Origin: "https://jit.example.com"})
			return err
		}, nil},
		{access.CodeReviewerNotEligible, "a reviewer who holds nothing",
			asking(access.CodeReviewerNotEligible, func(_ *brokertest.World, a *broker.Ask) {
				a.Reviewers = []string{"cho@example.com"}
			}), nil},
		{access.CodeNotEligible, "a role that is not held",
			asking(access.CodeNotEligible, func(w *brokertest.World, _ *broker.Ask) { w.Holdings[ana] = nil }), nil},
		{access.CodeNeedsApproval, "activating what others approve",
			asking(access.CodeNeedsApproval, func(_ *brokertest.World, a *broker.Ask) { a.Reviewers = nil }), nil},
		{access.CodeNobodyFor, "nobody of the group that has to approve", asking(access.CodeNobodyFor, func(w *brokertest.World, a *broker.Ask) {
			w.Policy = refined(w, `rules: [{name: r, terms: {approvals: [{count: 1, from: [peers]}, {count: 1, from: ["group:leads@example.com"]}]}}]`)
			w.Forgets, w.Holdings["cho@example.com"] = false, w.Holdings[ben]
			a.Reviewers = []string{string(ben), "cho@example.com"}
		}), []string{"1 approval of members of leads@example.com"}},
		{access.CodeNobodyInGroup, "a group that there is not", asking(access.CodeNobodyInGroup, func(w *brokertest.World, a *broker.Ask) {
			w.Policy = refined(w, `rules: [{name: r, terms: {approvals: 1}}]`)
			a.Reviewers = []string{"group:nobody@example.com"}
		}), nil},
		{access.CodeNoApprovalNeeded, "asking for what a rule gives without", asking(access.CodeNoApprovalNeeded,
			func(w *brokertest.World, _ *broker.Ask) {
				w.Policy = refined(w, `rules: [{name: r, terms: {approvals: 0}, loosen: [approvals]}]`)
			}), nil},
		{access.CodeTooContinuous, "more time than a rule lets anybody have without a break", remembering(func(t *testing.T, w *brokertest.World) error {
			w.Policy = refined(w, twoHours)
			id := active(t, w)
			_, err := w.Broker().Ask(t.Context(), person(ana), broker.Ask{Extends: id, Kind: access.Self, Justification: "case 4711", Duration: 90 * time.Minute})
			return err
		}), []string{"120 minutes", "60 minutes"}},
		{access.CodeNotExtendable, "more time after the end", remembering(func(t *testing.T, w *brokertest.World) error {
			id := active(t, w)
			w.Clock = w.Clock.Add(2 * time.Hour)
			_, err := w.Broker().Extension(t.Context(), person(ana), id)
			return err
		}), nil},
		{access.CodeAlreadyExtended, "more time for the second time", remembering(func(t *testing.T, w *brokertest.World) error {
			id := active(t, w)
			more := broker.Ask{Extends: id, Kind: access.Self, Justification: "case 4711", Duration: time.Hour}
			if _, err := w.Broker().Ask(t.Context(), person(ana), more); err != nil {
				return err
			}
			_, err := w.Broker().Ask(t.Context(), person(ana), more)
			return err
		}), nil},
		{access.CodeFixedWindow, "approving for less what 1.x made",
			deciding(access.CodeFixedWindow, func(w *brokertest.World, d *broker.Decide, _ *access.Caller) {
				w.Forgets, d.Duration = false, time.Minute
				asked(w, func(r *access.Request) { r.Fixed = access.Window{Start: noon, End: noon.Add(time.Hour)} })
			}), nil},
		{access.CodeManyWaiting, "more requests than may wait", remembering(func(t *testing.T, w *brokertest.World) (err error) {
			for i := 0; err == nil && i <= broker.MostOfPerson; i++ {
				_, err = w.Broker().Ask(t.Context(), person(ana), broker.Ask{Resource: shop, Entitlements: []access.EntitlementID{admin},
					Reviewers: []string{string(ben)}, Justification: "case " + strconv.Itoa(i), Duration: time.Hour, Origin: "https://jit.example.com"})
			}
			return err
		}), []string{"200"}},
		{access.CodeNoSweep, "what begins in two days, where nobody sweeps", remembering(func(t *testing.T, w *brokertest.World) error {
			w.Policy = refined(w, threeDays)
			r, err := w.Broker().Ask(t.Context(), person(ana), broker.Ask{Resource: shop, Entitlements: []access.EntitlementID{admin}, Reviewers: []string{string(ben)},
				Justification: "case 4711", Duration: time.Hour, Start: noon.Add(48 * time.Hour), Origin: "https://jit.example.com"})
			if err != nil {
				return err
			}
			_, err = w.Broker().Decide(t.Context(), person(ben), broker.Decide{Ref: r.Ref, Verdict: access.Approve})
			return err
		}), nil},
		{access.CodeNotYetGranted, "activating while Google is down", remembering(func(t *testing.T, w *brokertest.World) error {
			w.GrantErr = &access.Error{Kind: access.Unavailable, Code: access.CodeUpstreamFailed}
			done, err := w.Broker().Ask(t.Context(), person(ana), broker.Ask{Resource: shop, Entitlements: []access.EntitlementID{logs}, Justification: "case 4711",
				Duration: time.Hour})
			return the(access.CodeNotYetGranted, err, done.Warnings)
		}), nil},
		{access.CodeNeedsLedger, "history", visiting("GET /history", ""), nil},
		{access.CodeNoPublicURL, "asking without an address of our own",
			asking(access.CodeNoPublicURL, func(_ *brokertest.World, a *broker.Ask) { a.Origin = "" }), nil},
		{access.CodeUnknownResource, "a project that Google does not know", failed(&gcp.StatusError{Code: 404}), nil},
		{access.CodeNotFound, "an address where there is nothing", visiting("GET /nowhere", ""), nil},
		{access.CodeMethod, "a form to a page without one", visiting("DELETE /review", ""), nil},
		{access.CodeTooLarge, "an address of 100 kB", visiting("GET /?"+strings.Repeat("a", 100_000), ""), nil},
		{access.CodeMediaType, "a form as text",
			visiting("POST /access/projects/shop", "a", "Content-Type: text/plain"), nil},
		{access.CodeMediaType, "a call with a form",
			visiting("POST /api/projects/shop/roles/self-activate", "a", "Content-Type: text/plain"), nil},
		{access.CodeOutdatedPage, "a script of an earlier version", visiting("GET /api/", ""), nil},

		{access.CodeBadLink, "a link without its token", visiting("GET /review", ""), nil},
		{access.CodeLinkExpired, "a link of yesterday",
			deciding(access.CodeLinkExpired, func(w *brokertest.World, _ *broker.Decide, _ *access.Caller) {
				asked(w, func(r *access.Request) { r.Expires = noon })
			}), nil},
		{access.CodeWindowOver, "a window of 1.x that is over",
			deciding(access.CodeWindowOver, func(w *brokertest.World, _ *broker.Decide, _ *access.Caller) {
				asked(w, func(r *access.Request) { r.Fixed = access.Window{Start: noon.Add(-time.Hour), End: noon} })
			}), nil},
		{access.CodeNotInvolved, "somebody who was not asked",
			deciding(access.CodeNotInvolved, func(_ *brokertest.World, _ *broker.Decide, c *access.Caller) { c.Principal = "eve@example.com" }), nil},
		{access.CodeOwnRequest, "deciding one's own request",
			deciding(access.CodeOwnRequest, func(_ *brokertest.World, _ *broker.Decide, c *access.Caller) { c.Principal = ana }), nil},
		{access.CodeReviewerLost, "who was asked and lost the role",
			deciding(access.CodeReviewerLost, func(w *brokertest.World, _ *broker.Decide, _ *access.Caller) { w.Holdings[ben] = nil }), nil},
		{access.CodeNotInherited, "who holds it of the project alone", deciding(access.CodeNotInherited,
			func(w *brokertest.World, _ *broker.Decide, _ *access.Caller) {
				w.Policy = refined(w, `rules: [{name: r, terms: {inherited_only: true}}]`)
			}), nil},
		{access.CodeNotYourTurn, "who is asked second decides first", deciding(access.CodeNotYourTurn,
			func(w *brokertest.World, _ *broker.Decide, _ *access.Caller) {
				w.Policy = refined(w, `rules: [{name: r, terms: {in_order: true, approvals: [{count: 1, from: ["group:leads@example.com"]}, {count: 1, from: [peers]}]}}]`)
				asked(w, func(r *access.Request) { r.Reviewers = append(r.Reviewers, "cho@example.com") })
				w.Forgets = false
			}), nil},
		{access.CodeSignInAgain, "an assertion of an hour ago", deciding(access.CodeSignInAgain,
			func(w *brokertest.World, _ *broker.Decide, c *access.Caller) {
				w.Policy, c.Asserted = refined(w, `rules: [{name: r, terms: {approver_access_level: [accessPolicies/1/accessLevels/corp]}}]`), noon.Add(-time.Hour)
			}), nil},
		{access.CodeClaimsUnknown, "a sign-in that does not name groups", deciding(access.CodeClaimsUnknown,
			func(w *brokertest.World, _ *broker.Decide, c *access.Caller) {
				w.Policy, w.Claims, c.ClaimsUnknown = refined(w, `rules: [{name: r, terms: {approvals: [{count: 1, from: ["claim:leads"]}]}}]`), true, true
			}), nil},
		{access.CodeAccessLevel, "a device that is not managed", deciding(access.CodeAccessLevel,
			func(w *brokertest.World, _ *broker.Decide, c *access.Caller) {
				w.Policy, c.Asserted = refined(w, `rules: [{name: r, terms: {approver_access_level: [accessPolicies/1/accessLevels/corp]}}]`), noon
			}), nil},
		{access.CodeAlreadyApproved, "what another has approved",
			deciding(access.CodeAlreadyApproved, func(w *brokertest.World, _ *broker.Decide, _ *access.Caller) {
				w.Activations = []access.Activation{activation(admin, "cho@example.com", time.Hour)}
			}), nil},
		{access.CodeWithdrawn, "what was withdrawn",
			deciding(access.CodeWithdrawn, func(w *brokertest.World, _ *broker.Decide, _ *access.Caller) {
				asked(w, func(r *access.Request) { r.State = access.Withdrawn })
			}), nil},
		{access.CodeAlreadyDenied, "what another has denied",
			deciding(access.CodeAlreadyDenied, func(w *brokertest.World, _ *broker.Decide, _ *access.Caller) {
				asked(w, func(r *access.Request) {
					r.State, r.Decisions = access.Denied, []access.Decision{{Verdict: access.Deny, By: "cho@example.com"}}
				})
			}), nil},
		{access.CodeAlreadyEnded, "what was ended early",
			deciding(access.CodeAlreadyEnded, func(w *brokertest.World, _ *broker.Decide, _ *access.Caller) {
				w.Activations = []access.Activation{activation(admin, ben, 0)}
			}), nil},
		{access.CodeOtherAccount, "the form of somebody who was signed in before",
			visiting("POST /review?activation=x", "verdict=deny&comment=no&by=ben@example.com"), nil},
		{access.CodeDigestMismatch, "a page of another request",
			deciding(access.CodeDigestMismatch, func(_ *brokertest.World, d *broker.Decide, _ *access.Caller) { d.Digest = "x" }), nil},
		{access.CodeNoGrant, "ending what is not there", func(t *testing.T) error {
			_, err := newWorld(t).Broker().End(t.Context(), access.Caller{Principal: ana}, shop, "jit-AAAAAAAAAAAAAAAA", "")
			return err
		}, nil},
		{access.CodeNoBreakGlass, "an emergency of somebody whom no rule lets", breaking(access.CodeNoBreakGlass, func(w *brokertest.World) {
			w.Policy = policy.New(w.Settings)
		}, nil), nil},
		{access.CodeGlassUnreviewed, "a second emergency before the first was reviewed", breaking(access.CodeGlassUnreviewed, nil,
			func(t *testing.T, w *brokertest.World, _ broker.Asked) error {
				_, err := w.Broker().Ask(t.Context(), access.Caller{Principal: ana}, emergency())
				return err
			}), nil},
		{access.CodeGlassUntold, "an emergency of which nobody can be told", breaking(access.CodeGlassUntold, func(w *brokertest.World) {
			w.Silent = true
		}, nil), nil},
		{access.CodeGlassUnseen, "an emergency that was told where nobody knows whether it is shown", breaking(access.CodeGlassUnseen, func(w *brokertest.World) {
			w.Also = []access.Channel{{Name: "teams", Unseen: true}}
			w.Undelivered = access.Receipts{{To: ben, Channel: "mail", Err: errors.New("550")}, {Channel: "teams"}}
		}, nil), nil},
		{access.CodeNoReview, "a review by somebody whom no rule names", breaking(access.CodeNoReview, nil,
			func(t *testing.T, w *brokertest.World, asked broker.Asked) error {
				return reviewing(t, w, asked, "eve@example.com")
			}), nil},
		{access.CodeNoComment, "a review of a broken glass without a word", breaking(access.CodeNoComment, nil,
			func(t *testing.T, w *brokertest.World, asked broker.Asked) error {
				_, _, err := w.Broker().ReviewGlass(t.Context(), access.Caller{Principal: ben}, asked.Request.ID, " ", "")
				return err
			}), nil},
		{access.CodeReviewed, "a second review", breaking(access.CodeReviewed, nil,
			func(t *testing.T, w *brokertest.World, asked broker.Asked) error {
				if err := reviewing(t, w, asked, ben); err != nil {
					t.Fatal(err)
				}
				return reviewing(t, w, asked, "cho@example.com")
			}), nil},
		{access.CodeDecideAtAdmin, "access that is ended elsewhere than on the administration page", func(t *testing.T) error {
			w := brokertest.New(t, noon)
			b := w.BrokerOf(broker.Registration{Provider: &brokertest.Rooms{}, Kinds: brokertest.RoomKinds, Unnamed: func() bool { return true }})
			_, err := b.End(t.Context(), access.Caller{Principal: ana}, brokertest.Lab.Resource, "mpa-x", ben)
			return err
		}, nil},
		{access.CodeNotAdmin, "the mail account for others", visiting("GET /notifications", ""), nil},

		{access.CodeRequesterLost, "a requester who lost the role",
			deciding(access.CodeRequesterLost, func(w *brokertest.World, _ *broker.Decide, _ *access.Caller) { w.Holdings[ana] = nil }), nil},
		{access.CodeServiceNotAllowed, "a write that the service may not make",
			writing(policyOf(), refusing(403, "no"), admin.Role, ""), nil},
		{access.CodeServiceNotAllowed, "a write that VPC Service Controls stop",
			writing(policyOf(), refusing(403, "vpcServiceControlsUniqueIdentifier: aB-3_x"), admin.Role, ""), nil},
		{access.CodeRoleNotGrantable, "a role that Google does not take",
			writing(policyOf(), refusing(400, "Role roles/compute.admin is not supported for this resource."), admin.Role, ""), nil},
		{access.CodeBasicRoleRefused, "a basic role", writing(policyOf(), refusing(500, ""), "roles/owner", ""), nil},
		{access.CodeMemberUnknown, "a person whom Google does not know",
			writing(policyOf(), refusing(400, "User ana@example.com does not exist."), admin.Role, ""), nil},
		{access.CodePlatformRefused, "a write that Google refuses",
			writing(policyOf(), refusing(400, "Lint says no."), admin.Role, ""), nil},
		{access.CodePolicyFull, "1,500 members",
			writing(policyOf(binding("roles/x", 1500, "user:a@example.com", "")), refusing(500, ""), admin.Role, ""),
			[]string{"1500 members of at most 1500"}},
		{access.CodePolicyFull, "more members than Google takes",
			writing(policyOf(), refusing(400, "The number of members in the policy (1,501) is larger than the maximum allowed size 1,500."),
				admin.Role, ""), []string{"1,501 members of at most 1,500"}},
		{access.CodeTooManyGrants, "20 grants of one role",
			writing(policyOf(slices.Repeat([]string{binding("roles/compute.admin", 1, "user:ana@example.com", "")}, 20)...),
				refusing(500, ""), admin.Role, ""), []string{"20 grants of", "at most 20"}},
		{access.CodeTooManyRecords, "20 records of one role", func(t *testing.T) error {
			record := strings.Replace(binding("roles/compute.admin", 1, "user:ana@example.com",
				strconv.Quote(`(request.time >= timestamp("2026-03-01T11:00:00Z") && request.time < timestamp("2026-03-01T11:01:00Z"))`)),
				`"title"`, `"description":"Approved by ben@example.com, justification: x [mpa-BBBBBBBBBBBBBBBB]","title"`, 1)
			return writing(policyOf(slices.Repeat([]string{record}, 20)...), refusing(500, ""), admin.Role, "")(t)
		}, []string{"20 entries of", "at most 20"}},
		{access.CodeApproversTooLong, "twenty approvers", func(t *testing.T) error {
			g := grant(admin.Role, "")
			g.RequestID, g.Approvers = "mpa-AAAAAAAAAAAAAAAA", slices.Repeat([]access.Principal{"ben@example.com"}, 20)
			return writingTo(t, google{":getIamPolicy": answer(policyOf()), ":setIamPolicy": refusing(500, "")}, g)
		}, []string{"the 20 people", "256 characters"}},
		{access.CodeConditionTooLong, "13 operators",
			writing(policyOf(), refusing(500, ""), admin.Role, strings.Repeat(`resource.name == "a" || `, 11)+`resource.name == "b"`),
			[]string{"13 of at most 12 operators"}},
		{access.CodeConflict, "a policy that keeps changing", failed(&gcp.StatusError{Code: 409}), nil},
		{access.CodeQuota, "too many calls", failed(&gcp.StatusError{Code: 429}), nil},
		{access.CodeAnalysisQuota, "no analysis left", analyzing(refusing(429, "quota")), nil},
		{access.CodeScopeRefused, "a scope that is none", analyzing(refusing(400, "The scope is invalid.")), nil},
		{access.CodeUpstreamFailed, "Google answers with 500", failed(&gcp.StatusError{Code: 500}), nil},
		{access.CodeUpstreamTimeout, "Google does not answer", failed(context.DeadlineExceeded), nil},
		{access.CodePolicyAmbiguous, "two policies of Pomerium have one name", byPomerium(twoPolicies), nil},
		{access.CodePolicyForm, "a policy of Pomerium is a text", byPomerium(aPolicyInYAML), nil},
		{access.CodeChangesetPending, "a change of Pomerium's waits", byPomerium(byHand), nil},
		{access.CodeChangesetUnknown, "Pomerium does not say what waits", byPomerium(changesetsUnseen), nil},
		{access.CodeUnknownOutcome, "a write whose answer is lost, and a policy that cannot be read",
			func(t *testing.T) error {
				var lost atomic.Bool
				read := func(w http.ResponseWriter, r *http.Request) {
					if lost.Load() {
						hanging(w, r)
					}
					answer(policyOf())(w, r)
				}
				g := google{":getIamPolicy": read, ":setIamPolicy": func(w http.ResponseWriter, r *http.Request) { lost.Store(true); hanging(w, r) }}
				return writingTo(t, g, grant(admin.Role, ""))
			}, nil},
		{access.CodeDirectoryNotSet, "groups without a directory", func(t *testing.T) error {
			d := directory.New(google{}.start(t).Platform, "", time.Now)
			_, _, err := d.Groups(t.Context(), ana, time.Time{})
			return err
		}, nil},
		{access.CodeSigningNotAllowed, "an account that may not sign", func(t *testing.T) error {
			s := iamcredentials.New(google{":signJwt": refusing(403, "no")}.start(t).Platform)
			_, err := s.SignJWT(t.Context(), []byte("{}"))
			return err
		}, nil},
		{access.CodeLedgerUnavailable, "a database that is down", recalling(home{err: errors.New("connection refused")}), nil},
		{access.CodeLeaseHeld, "somebody else's change that takes longer", func(t *testing.T) error {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			_, err := ledger.New(ledger.Config{Home: home{}}).Lease(ctx, "changes", time.Minute)
			return err
		}, nil},
		{access.CodeRequestFull, "it has 1 MiB in Firestore", func(t *testing.T) error {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(http.StatusBadRequest)
				fmt.Fprint(w, `{"error":{"status":"INVALID_ARGUMENT","message":"its size exceeds the maximum allowed size"}}`)
			}))
			defer server.Close()
			return firestore.New(firestore.Config{Client: server.Client(), Endpoint: server.URL}).Put(t.Context(),
				ledger.Write{Row: ledger.Row{ID: "mpa-AAAAAAAAAAAAAAAA"}})
		}, nil},
		{access.CodeLedgerDamaged, "entries that nobody signed", recalling(home{entries: []ledger.Entry{{}}}), nil},
		{access.CodeUnattested, "what was signed with a key from before", unattested, nil},
		{access.CodeOwnChange, "the author of a change who agrees to it", func(t *testing.T) error {
			return broker.New(broker.Config{Admins: []string{"user:" + string(ana)}}).SecondAdmin(t.Context(), access.Caller{Principal: ana}, ana)
		}, nil},
		{access.CodeChangeWaits, "a change while another waits", func(t *testing.T) error { return changingTwice(t) }, nil},
		{access.CodeDeedsDamaged, "passkeys that somebody has put into the database", func(t *testing.T) error {
			_, err := ledger.New(ledger.Config{Home: home{notes: []ledger.Note{{Kind: "deed passkeys", ID: string(ben) + "/1", Body: []byte("{}")}}},
				Signer: ledger.Fingerprints{}}).Deeds(t.Context(), ledger.DeedPasskeys, string(ben))
			return err
		}, nil},
		{access.CodeChangedMeanwhile, "two passkeys of one person that are enrolled at once", func(t *testing.T) error {
			return ledger.New(ledger.Config{Home: home{}}).Append(t.Context(),
				ledger.Deed{Kind: ledger.DeedPasskeys, Of: string(ben), Number: 2, Body: []byte("{}")})
		}, nil},
		{access.CodeLedgerOld, "a database that was put back from an older copy", cautioned(0), nil},
		{access.CodeGrantUnknown, "a grant by a service that keeps no database", cautioned(1), nil},
		{access.CodeJournalUnavailable, "a log that cannot be written",
			asking(access.CodeJournalUnavailable, func(w *brokertest.World, _ *broker.Ask) { w.JournalErr[access.RequestMade] = errors.New("closed") }), nil},

		{access.CodeUnreadableBinding, "a binding of ours that cannot be read", func(t *testing.T) error {
			p, err := new(iampolicy.Policy).Reparse([]byte(policyOf(binding("roles/compute.admin", 1, "user:ana@example.com",
				`"(request.time >= timestamp(\"yesterday\") && request.time < timestamp(\"tomorrow\"))"`))))
			if err != nil {
				t.Fatal(err)
			}
			_, warnings := p.Activations(shop)
			return the(access.CodeUnreadableBinding, nil, warnings)
		}, nil},
		{access.CodeGroupUnreadable, "a group that may not be read", func(t *testing.T) error {
			d := directory.New(google{"/members": refusing(403, "no")}.start(t).Platform, "C1", time.Now)
			_, _, err := d.Members(t.Context(), "ops@example.com", time.Time{})
			return err
		}, nil},
		{access.CodeStaleInventory, "a minute without quota", func(t *testing.T) error {
			now, fails := noon, error(nil)
			clock := func() time.Time { return now }
			cache := lookup.New(clock, 10, time.Minute, func(context.Context, string) (string, error) { return "", fails })
			q := access.StandingQuery{Resource: shop}
			if _, _, err := standing.Recall(t.Context(), cache, "k", q, "Asset Inventory", clock); err != nil {
				t.Fatal(err)
			}
			now, fails = now.Add(time.Minute), &gcp.StatusError{Code: 429}
			_, warning, err := standing.Recall(t.Context(), cache, "k", q, "Asset Inventory", clock)
			return the(access.CodeStaleInventory, err, []*access.Error{warning})
		}, []string{"60 seconds ago"}},
		{access.CodeStaleGroups, "a minute without quota of the directory", func(t *testing.T) error {
			now, spent := noon, false
			directoryOf := func(w http.ResponseWriter, r *http.Request) {
				if spent {
					refusing(429, "no")(w, r)
				} else {
					answer("{}")(w, r)
				}
			}
			d := directory.New(google{"/groups": directoryOf}.start(t).Platform, "C1", func() time.Time { return now })
			if _, _, err := d.Groups(t.Context(), ana, time.Time{}); err != nil {
				t.Fatal(err)
			}
			now, spent = now.Add(time.Minute), true
			_, warning, err := d.Groups(t.Context(), ana, time.Time{})
			return the(access.CodeStaleGroups, err, []*access.Error{warning})
		}, []string{"60 seconds ago"}},
		{access.CodeAnalysisPartial, "an analysis that was not finished",
			analyzing(answer(`{"fullyExplored":false,"mainAnalysis":{"fullyExplored":false}}`)), nil},
		{access.CodeInventoryOnly, "a folder that may not be read", func(t *testing.T) error {
			const inherited = `{"policyResults":[{"fullResourceName":"//cloudresourcemanager.googleapis.com/projects/shop",
				"policies":[{"attachedResource":"//cloudresourcemanager.googleapis.com/folders/7","policy":{"bindings":[
				{"role":"roles/compute.admin","members":["user:ana@example.com"],"condition":{"expression":"has({}.jitAccessConstraint)"}}]}}]}]}`
			return inventory(t, access.CodeInventoryOnly, google{"/projects/shop:getIamPolicy": answer(policyOf()),
				"/folders/7:getIamPolicy": refusing(403, "no"), ":batchGet": answer(inherited), "/groups": answer(`{}`)}, ana)
		}, nil},
		{access.CodeNamedUnseen, "a folder that is nowhere", named(access.CodeNamedUnseen, "folders/7", `{}`), nil},
		{access.CodeNamedOutside, "a folder of another organization", named(access.CodeNamedOutside, "folders/7",
			`{"folders":[{"name":"folders/7","parent":"organizations/2","state":"ACTIVE"}]}`), nil},
		{access.CodeNamedLeaving, "a folder whose deletion was requested", named(access.CodeNamedLeaving, "folders/7",
			`{"folders":[{"name":"folders/7","parent":"organizations/1","state":"DELETE_REQUESTED"}]}`), nil},
		{access.CodeMoved, "a project that has left the folder", func(t *testing.T) error {
			const inherited = `{"policyResults":[{"fullResourceName":"//cloudresourcemanager.googleapis.com/projects/shop",
				"policies":[{"attachedResource":"//cloudresourcemanager.googleapis.com/folders/7","policy":{"bindings":[
				{"role":"roles/compute.admin","members":["user:ana@example.com"],"condition":{"expression":"has({}.jitAccessConstraint)"}}]}}]}]}`
			return inventory(t, access.CodeMoved, google{"/projects/shop:getIamPolicy": answer(policyOf()),
				"/folders/7:getIamPolicy": answer(policyOf()), "/projects/shop": answer(`{"parent":"organizations/1"}`), ":batchGet": answer(inherited), "/groups": answer(`{}`)}, ana)
		}, nil},
		{access.CodeTreeUnconfirmed, "a project that may not be seen", func(t *testing.T) error {
			const inherited = `{"policyResults":[{"fullResourceName":"//cloudresourcemanager.googleapis.com/projects/shop",
				"policies":[{"attachedResource":"//cloudresourcemanager.googleapis.com/folders/7","policy":{"bindings":[
				{"role":"roles/compute.admin","members":["user:ana@example.com"],"condition":{"expression":"has({}.jitAccessConstraint)"}}]}}]}]}`
			return inventory(t, access.CodeTreeUnconfirmed, google{"/projects/shop:getIamPolicy": answer(policyOf()),
				"/folders/7:getIamPolicy": answer(policyOf()), "/projects/shop": refusing(403, "no"), ":batchGet": answer(inherited), "/groups": answer(`{}`)}, ana)
		}, nil},
		{access.CodePersonUnreadable, "a person whom the directory does not know", func(t *testing.T) error {
			d := directory.New(google{"/groups": refusing(404, "no")}.start(t).Platform, "C1", time.Now)
			_, _, err := d.Groups(t.Context(), ana, time.Time{})
			return err
		}, nil},
		{access.CodeTimeUnclear, "an eligibility by day only", looking(access.CodeTimeUnclear,
			marked(admin.Role, "user:ana@example.com", jit+` && request.time.getHours("UTC") < 18`), `{}`), nil},
		{access.CodePolicyNearlyFull, "1,200 members", func(t *testing.T) error {
			p, err := new(iampolicy.Policy).Reparse([]byte(policyOf(binding("roles/x", 1200, "user:a@example.com", ""))))
			if err != nil {
				t.Fatal(err)
			}
			return p.NearlyFull(shop)
		}, []string{"1200 members of at most 1500"}},
		{access.CodeNotDelivered, "a mail that bounces", asking(access.CodeNotDelivered, func(w *brokertest.World, _ *broker.Ask) {
			w.Undelivered = access.Receipts{{To: ben, Channel: "mail", Err: errors.New("550")}}
		}), nil},
		{access.CodeNotPublished, "a topic that refuses", asking(access.CodeNotPublished, func(w *brokertest.World, _ *broker.Ask) {
			w.Undelivered = access.Receipts{{Channel: "pubsub", Err: errors.New("403")}}
		}), nil},
		{access.CodeNoChannel, "asking where nobody is told",
			asking(access.CodeNoChannel, func(w *brokertest.World, _ *broker.Ask) { w.Silent = true }), nil},
		{access.CodeNotGranted, "approving again what was granted in part",
			deciding(access.CodeNotGranted, func(w *brokertest.World, _ *broker.Decide, _ *access.Caller) {
				asked(w, func(r *access.Request) { r.Entitlements = []access.EntitlementID{admin, logs} })
				w.Activations = []access.Activation{activation(admin, ben, time.Hour)}
			}), nil},
		{access.CodeOutcomeUnrecorded, "a log that fails after the grant",
			deciding(access.CodeOutcomeUnrecorded, func(w *brokertest.World, _ *broker.Decide, _ *access.Caller) {
				w.JournalErr[access.GrantWritten] = errors.New("closed")
			}), nil},
		{access.CodeRecordedLater, "an emergency while the database is down", breaking(access.CodeRecordedLater, func(w *brokertest.World) {
			w.Ledger = &brokertest.Unreachable{Memory: w.Ledger.(broker.Memory), Down: true}
		}, nil), nil},
		{access.CodeLongLink, "a link of 3,000 characters",
			asking(access.CodeLongLink, func(_ *brokertest.World, a *broker.Ask) {
				a.Origin = "https://" + strings.Repeat("a", 3000) + ".example.com"
			}),
			[]string{"characters", "longer than 2000"}},

		{access.CodeTermUnsupported, "a policy that demands a signature", asking(access.CodeTermUnsupported, func(w *brokertest.World, _ *broker.Ask) {
			w.Policy = signing{policy.New(w.Settings)}
		}), nil},
		{access.CodeRuleRefuses, "a rule that refuses", asking(access.CodeRuleRefuses, func(w *brokertest.World, _ *broker.Ask) {
			w.Policy = refined(w, `rules: [{name: freeze, refuse: "Production is frozen. Ask who is on call."}]`)
		}), nil},
		{access.CodePolicyUnreadable, "a policy that cannot be read", asking(access.CodePolicyUnreadable, func(w *brokertest.World, _ *broker.Ask) {
			w.Policy = unread{}
		}), nil},
		{access.CodeRuleUndecided, "a rule about groups that nobody knows", asking(access.CodeRuleUndecided, func(w *brokertest.World, _ *broker.Ask) {
			w.Policy = refined(w, `rules: [{name: staff, match: {requester: ["claim:staff"]}, refuse: no}]`)
		}), nil},
		{access.CodeNoRule, "what no rule gives out", asking(access.CodeNoRule, func(w *brokertest.World, _ *broker.Ask) {
			w.Policy = refined(w, `unmatched: refuse`)
		}), nil},
		{access.CodeNotNamed, "a folder itself that no rule names", func(*testing.T) error {
			_, _, err := policy.New(policy.Settings{Justification: regexp.MustCompile("")}).Terms(access.Subject{
				Entitlement: access.EntitlementID{Resource: "folders/4711", Role: "roles/viewer"}})
			return err
		}, nil},
		{access.CodeEligibilityEnds, "access after the eligibility", asking(access.CodeEligibilityEnds, func(w *brokertest.World, a *broker.Ask) {
			w.Holdings[ana][0].Until, a.Start = noon.Add(time.Hour), noon.Add(2*time.Hour)
		}), nil},
		{access.CodeGrantRefused, "what Google has refused", deciding(access.CodeGrantRefused,
			func(w *brokertest.World, _ *broker.Decide, _ *access.Caller) {
				asked(w, func(r *access.Request) { r.State = access.Failed })
			}), nil},
		{access.CodeCallRefused, "a look that Google refuses", failed(&gcp.StatusError{Code: 400, Message: "Bad filter."}), nil},
		{access.CodeQueryRefused, "a query of projects that Google refuses", func(t *testing.T) error {
			_, err := policiesOf(google{"/projects:search": refusing(400, "Bad query.")}.start(t)).SearchProjects(t.Context(), "name:[")
			return err
		}, nil},
		{access.CodeSecretUnusable, "a secret that was destroyed", func(t *testing.T) error {
			const refusal = "Secret Version [projects/1/secrets/mail/versions/1] is in DESTROYED state."
			s := secretmanager.New(google{":access": refusing(400, refusal)}.start(t).Platform)
			_, err := s.Access(t.Context(), "projects/acme/secrets/mail/versions/1")
			return err
		}, nil},

		{access.CodeNotUnderstood, "half a condition", looking(access.CodeNotUnderstood, marked(admin.Role, "user:ana@example.com", jit+" &&"), `{}`), nil},
		{access.CodeMarkerMisspelled, "a marker with a slip", looking(access.CodeMarkerMisspelled,
			marked(admin.Role, "user:ana@example.com", "has({}.jitAccessConstrain)"), `{}`), nil},
		{access.CodeMarkerMisplaced, "a marker negated", looking(access.CodeMarkerMisplaced,
			marked(admin.Role, "user:ana@example.com", "!"+jit), `{}`), nil},
		{access.CodeMarkerGrants, "a marker or always", looking(access.CodeMarkerGrants,
			marked(admin.Role, "user:ana@example.com", jit+" || true"), `{}`), nil},
		{access.CodeMarkerGrantsParts, "a marker or a part", looking(access.CodeMarkerGrantsParts,
			marked(admin.Role, "user:ana@example.com", jit+` || resource.name == "x"`), `{}`), nil},
		{access.CodeBasicRole, "eligible for Editor", looking(access.CodeBasicRole, marked("roles/editor", "user:ana@example.com", jit), `{}`), nil},
		{access.CodeEligibilityOver, "eligible until last year", looking(access.CodeEligibilityOver,
			marked(admin.Role, "user:ana@example.com", jit+` && request.time < timestamp("2025-01-01T00:00:00Z")`), `{}`), nil},
		{access.CodeEligibilityAhead, "eligible from next year", looking(access.CodeEligibilityAhead,
			marked(admin.Role, "user:ana@example.com", jit+` && request.time >= timestamp("2027-01-01T00:00:00Z")`), `{}`), nil},
		{access.CodeMemberNobody, "an eligible service account", looking(access.CodeMemberNobody,
			marked(admin.Role, "serviceAccount:x@shop.iam.gserviceaccount.com", jit), `{}`), nil},
		{access.CodeMemberEverybody, "everybody eligible", looking(access.CodeMemberEverybody, marked(admin.Role, "allUsers", jit), `{}`), nil},
		{access.CodeMemberDomain, "an eligible domain", looking(access.CodeMemberDomain, marked(admin.Role, "domain:example.com", jit), `{}`), nil},
		{access.CodeMemberDeleted, "an account that was deleted", looking(access.CodeMemberDeleted,
			marked(admin.Role, "deleted:user:ana@example.com?uid=1", jit), `{}`), nil},
		{access.CodeMemberMisspelled, "a member that is none", looking(access.CodeMemberMisspelled, marked(admin.Role, "usr:ana@example.com", jit), `{}`), nil},
		{access.CodeGroupsInGroup, "a group of two groups", looking(access.CodeGroupsInGroup, marked(admin.Role, "group:ops@example.com", mpa),
			`{"members":[{"email":"a@example.com","type":"GROUP"},{"email":"b@example.com","type":"GROUP"}]}`), []string{"the groups do not count: 2"}},
		{access.CodeEverybodyInGroup, "a group of everybody", looking(access.CodeEverybodyInGroup, marked(admin.Role, "group:ops@example.com", mpa),
			`{"members":[{"type":"CUSTOMER","id":"C1"}]}`), nil},
	}
}

const (
	jit = "has({}.jitAccessConstraint)"
	mpa = "has({}.multiPartyApprovalConstraint)"
)

func as(p access.Principal) func(*http.Request) (access.Caller, error) {
	return func(*http.Request) (access.Caller, error) { return access.Caller{Principal: p}, nil }
}

// verifier is the product's, with a key that signs nothing here.
func verifier(r *http.Request) (access.Caller, error) {
	keys := func(context.Context) ([]byte, error) { return []byte(`{"keys":[]}`), nil }
	profile, err := identity.IAP(identity.Front{Audiences: []string{"/projects/1/apps/a"}})
	if err != nil {
		return access.Caller{}, err
	}
	now := func() time.Time { return noon }
	v, err := identity.New(identity.Config{Profile: profile, Keys: jose.NewKeySet(keys, now), Now: now})
	if err != nil {
		return access.Caller{}, err
	}
	return v.Identify(r)
}

// failed is a call to Google that failed.
func failed(err error) func(*testing.T) error {
	return func(*testing.T) error {
		return gcp.Failure(err, gcp.Call{Service: "Resource Manager", Permission: "resourcemanager.projects.get", Resource: string(shop),
			Account: "jit@example.iam.gserviceaccount.com"})
	}
}

func activation(id access.EntitlementID, approver access.Principal, length time.Duration) access.Activation {
	return access.Activation{RequestID: "mpa-AAAAAAAAAAAAAAAA", Principal: ana, Entitlement: id,
		Window: access.Window{Start: noon, End: noon.Add(length)}, Approvers: []access.Principal{approver}}
}

// analyzing looks up what ana holds by Policy Analyzer.
func analyzing(analysis func(http.ResponseWriter, *http.Request)) func(*testing.T) error {
	return func(t *testing.T) error {
		g := google{":getIamPolicy": answer(policyOf()), ":analyzeIamPolicy": analysis}.start(t)
		policies := policiesOf(g)
		c := policyanalyzer.New(policyanalyzer.Config{Platform: g.Platform, Scope: "organizations/1", Policies: policies,
			SearchProjects: policies.SearchProjects, Now: func() time.Time { return noon }})
		s, err := c.Standing(t.Context(), access.StandingQuery{Resource: shop, Principals: []access.Principal{ana}})
		return the(access.CodeAnalysisPartial, err, s.Warnings)
	}
}

// TestTextsFitTheErrorsThatTheProductMakes renders every code from an error that its
// producer has made: nothing is left to be filled in, and numbers are told as what they
// count. The golden file has all of them, for reading.
func TestTextsFitTheErrorsThatTheProductMakes(t *testing.T) {
	codes := words.Codes(t)
	produced := map[access.Code]bool{}
	var said strings.Builder
	for _, s := range slices.Concat(situations(), applicationSituations(), passkeySituations()) {
		produced[s.code] = true
		t.Run(strings.ReplaceAll(string(s.code)+" "+s.what, " ", "-"), func(t *testing.T) {
			err := s.happens(t)
			e := access.AsError(err)
			if e == nil || e.Code != s.code {
				t.Fatalf("made %v", err)
			}
			r := words.English().Refusal(e, "Google")
			fmt.Fprintf(&said, "%s, when %s:\n  %s\n  %s\n", s.code, s.what, r.Text, r.Next)
			if regexp.MustCompile(`\{[a-z]`).MatchString(r.Text + r.Next) {
				t.Errorf("something is not filled in: %s %s", r.Text, r.Next)
			}
			if r.Text == words.English().Message("error."+string(s.code)+".bare") {
				return
			}
			key := "error." + string(s.code)
			texts := words.English().Message(key) + words.English().Message(key+".next")
			for _, name := range regexp.MustCompile(`\{([a-z]+)`).FindAllStringSubmatch(texts, -1) {
				if e.Args[name[1]] == "" && name[1] != "provider" {
					t.Errorf("the text has {%s}, and the error no such argument: %v", name[1], e)
				}
			}
			for name := range e.Args {
				if !slices.Contains(append(codes[s.code], "violation", "channel"), name) {
					t.Errorf("the error has the argument %q, of which package access says nothing", name)
				}
			}
			if counts(e.Args) != (s.counted != nil) {
				t.Errorf("says of %v: %q", e.Args, s.counted)
			}
			for _, want := range s.counted {
				if !strings.Contains(r.Text+" "+r.Next, want) {
					t.Errorf("does not say %q: %s %s", want, r.Text, r.Next)
				}
			}
		})
	}
	for _, code := range slices.Sorted(maps.Keys(codes)) {
		if !produced[code] {
			t.Errorf("nothing makes %s", code)
		}
	}
	golden := filepath.Join("testdata", "refusals.txt")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(golden, []byte(said.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(said.String(), "\n")); diff != "" {
		t.Errorf("reads otherwise (run with -update if that is meant):\n%s", diff)
	}
}

// counts is whether an error has numbers of something.
func counts(args access.Args) bool {
	for _, name := range []string{"count", "max", "min", "seconds"} {
		if args[name] != "" {
			return true
		}
	}
	return false
}

// home keeps what somebody else has put there, or nothing that can be read.
type home struct {
	ledger.Home
	entries []ledger.Entry
	notes   []ledger.Note
	err     error
}

func (h home) Notes(context.Context, string, int) ([]ledger.Note, error) { return h.notes, h.err }

func (h home) NotesUnder(context.Context, string, string, int) ([]ledger.Note, error) {
	return h.notes, h.err
}

func (h home) Load(context.Context, string) ([]ledger.Entry, error) { return h.entries, h.err }

func (h home) Hold(context.Context, string, string, time.Duration) (bool, error) { return false, h.err }

// recalling opens a request that is in the ledger.
func recalling(h home) func(*testing.T) error {
	return func(t *testing.T) error {
		_, err := ledger.New(ledger.Config{Home: h, Now: func() time.Time { return noon }}).Open(t.Context(), "mpa-AAAAAAAAAAAAAAAA")
		return err
	}
}

// unattested is what is shown of a request that was denied before the key was another.
func unattested(t *testing.T) error {
	home, err := relational.SQLite(filepath.Join(t.TempDir(), "jitaccess.db"))
	if err == nil {
		err = home.Migrate(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { home.Close() })
	w := newWorld(t)
	at := func(secret byte) *broker.Broker {
		keys, err := ledger.NewKeys(bytes.Repeat([]byte{secret}, 32))
		if err != nil {
			t.Fatal(err)
		}
		w.Ledger = ledger.New(ledger.Config{Home: home, Signer: keys, Now: func() time.Time { return w.Clock }, Random: rand.Reader})
		return w.Broker()
	}
	asked, err := at(1).Ask(t.Context(), access.Caller{Principal: ana}, broker.Ask{Form: "", Resource: shop, Entitlements: []access.EntitlementID{admin},
		Reviewers: []string{string(ben)}, Justification: "case 4711", Duration: time.Hour, Origin: "https://jit.example.com"})
	if err == nil {
		_, _, err = at(1).Withdraw(t.Context(), access.Caller{Principal: ana}, asked.Request.ID, "")
	}
	if err != nil {
		t.Fatal(err)
	}
	v, err := at(2).Show(t.Context(), access.Caller{Principal: ana}, asked.Request.ID, "")
	return the(access.CodeUnattested, err, v.Warnings)
}

// cautioned is what an administrator is told of a grant that is newer than all that is
// remembered.
func cautioned(which int) func(*testing.T) error {
	return func(t *testing.T) error {
		home, err := relational.SQLite(filepath.Join(t.TempDir(), "jitaccess.db"))
		if err == nil {
			err = home.Migrate(t.Context())
		}
		keys, failed := ledger.NewKeys(make([]byte, 32))
		if err = errors.Join(err, failed); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { home.Close() })
		w := newWorld(t)
		w.Ledger = ledger.New(ledger.Config{Home: home, Signer: keys, Now: func() time.Time { return w.Clock }, Random: rand.Reader})
		w.Listed, w.Admins = []access.ResourceInfo{{Resource: shop}}, []string{"user:" + string(ben)}
		b := w.Broker()
		if _, err := b.Ask(t.Context(), access.Caller{Principal: ana}, broker.Ask{Resource: shop, Entitlements: []access.EntitlementID{admin},
			Reviewers: []string{string(ben)}, Justification: "case 4711", Duration: time.Hour, Origin: "https://jit.example.com"}); err != nil {
			t.Fatal(err)
		}
		w.Clock = noon.Add(time.Hour)
		w.Activations = []access.Activation{{RequestID: "mpa-BBBBBBBBBBBBBBBB", Principal: ana, Entitlement: admin,
			Window: access.Window{Start: w.Clock, End: w.Clock.Add(time.Hour)}}}
		if _, err := b.Survey(t.Context(), broker.SurveyCount); err != nil {
			t.Fatal(err)
		}
		return b.Cautions(t.Context(), access.Caller{Principal: ben})[which]
	}
}

// unread is a policy of which no text has been read yet.
type unread struct{}

func (unread) Terms(access.Subject) (access.Terms, access.Explanation, error) {
	return access.Terms{}, access.Explanation{}, &access.Error{Kind: access.Unavailable, Code: access.CodePolicyUnreadable}
}

// refined is the policy of a file.
func refined(w *brokertest.World, text string) broker.Policy {
	file, faults := policy.ReadFile([]byte("version: 1\n" + text + "\n"))
	if len(faults) > 0 {
		panic(fmt.Sprint(faults))
	}
	return policy.Refine(policy.New(w.Settings), file)
}
