package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/config"
)

// PomeriumPolicy is a policy of Pomerium that access is given through.
type PomeriumPolicy struct {
	Name string
	// Count is how many of the cluster bear the name, Routes to which routes they are attached.
	Count  int
	Routes []string
	// Unread: its text is none that can be written.
	Unread bool
}

func (d *doctor) pomerium(ctx context.Context) {
	if d.Pomerium == nil {
		return
	}
	const check = "pomerium"
	policies, waiting, err := d.Pomerium(ctx)
	if err != nil {
		d.broken(check, "Pomerium Zero does not do what it was asked: "+why(err), pomeriumRemedy(err))
		return
	}
	d.ok(check, "the API answers, and takes API_USER_TOKEN")
	for _, p := range policies {
		switch {
		case p.Count == 0:
			d.ok(check, "the policy %s is not there yet: the first grant makes it", p.Name)
		case p.Count > 1:
			d.broken(check, fmt.Sprintf("%d policies are called %s, and which is meant nobody knows", p.Count, p.Name),
				"rename or delete all but one in the console")
		case p.Unread:
			d.broken(check, "the text of the policy "+p.Name+" is no list of rules, so that nothing can be written to it",
				"correct it in the console")
		case len(p.Routes) == 0:
			d.warn(check, "the policy "+p.Name+" is attached to no route: whom it lets in gets nowhere", "attach it to a route in the console")
		default:
			d.ok(check, "the policy %s is attached to %s", p.Name, strings.Join(p.Routes, ", "))
		}
	}
	switch {
	case len(waiting) == 0:
		d.ok(check, "no change waits to be applied")
	case d.Settings.Pomerium.ApplyChangesets:
		d.warn(check, fmt.Sprintf("changes wait to be applied: %s; the next grant applies them all", strings.Join(waiting, ", ")), "")
	default:
		d.warn(check, fmt.Sprintf("changes wait to be applied: %s; grants among them are not live", strings.Join(waiting, ", ")),
			"apply them in the console, let the cluster apply changes by itself, or "+"set POMERIUM_APPLY_CHANGESETS=true")
	}
}

// administration says who approves where no policy file does.
func (d *doctor) administration(context.Context) {
	if d.Pomerium == nil {
		return
	}
	const check = "administration"
	switch admins := d.Settings.Requests.Admins; {
	case d.Guarded():
		d.warn(check, "nobody is named who approves: whoever the proxy lets reach /admin does. That path must be a route of its own "+
			"with a policy of its own, and nobody may reach the port of this service but through the proxy",
			"or set ADMINS, or a policy file with entitlements of pomerium/…")
	case len(admins) > 0:
		d.ok(check, "ADMINS end access, and approve what no policy file says who approves: %s", strings.Join(admins, ", "))
	default:
		d.ok(check, "the policy file says who approves")
	}
}

// publicAddress is publicOrigin behind another proxy than Google's, where one that lets
// strangers through to the service is none, and with a login of the service's own.
func (d *doctor) publicAddress(ctx context.Context) {
	const check = "public address"
	origin := d.Settings.Server.PublicURL
	if origin == "" {
		d.broken(check, "PUBLIC_URL is not set: no link can be written", "set PUBLIC_URL=https://YOUR-HOST")
		return
	}
	response, text := d.ownAnswer(ctx, check, origin)
	if response == nil {
		return
	}
	var ours struct{ Healthy bool }
	json.Unmarshal(text, &ours) // what is no answer of ours is no JSON
	switch own := d.Settings.Identity.Profile == config.OIDC; {
	case own && !ours.Healthy:
		d.warn(check, fmt.Sprintf("links begin with %s, where something else answers, with %d", origin, response.StatusCode),
			"open it in a browser")
	case own:
		d.ok(check, "links begin with %s, where the service answers", origin)
	case ours.Healthy:
		d.warn(check, origin+" answers whoever asks, without a sign-in: links may lead around the proxy",
			"open it in a private window: it has to ask for a sign-in, unless the proxy lets /health through on purpose")
	default:
		d.ok(check, "links begin with %s, where the service does not answer strangers", origin)
	}
}

// Memory is where requests are remembered.
type Memory struct {
	// Where says which database it is, Key what signs; neither is a secret.
	Where, Key string
	// Beside: the key lies beside the database. Unmade: there is no database yet.
	Beside, Unmade bool
	// Keys are those of applications that are managed by page; SealErr is why SEAL_KEY cannot be
	// read.
	Keys    []SealedKey
	SealErr error
	// Looks are calls that were made to see whether the database answers as it must; there may be
	// none.
	Looks []Look
	// Damaged are applications that are managed by page and are not what was recorded.
	Damaged access.Damages
	// Weekly is whether all is reconciled once a week, and Reconciliation how far that is.
	Weekly         bool
	Reconciliation access.Reconciliation
}

// Look is one thing that a database must do, and why it does not.
type Look struct {
	What string
	Err  error
}

func (d *doctor) ledger(ctx context.Context) {
	if d.Ledger == nil {
		return
	}
	const check = "ledger"
	m, err := d.Ledger(ctx)
	for _, look := range m.Looks {
		if look.Err != nil {
			d.broken(check, look.What+": no: "+why(look.Err), "docs/firestore.md")
		} else {
			d.ok(check, "%s", look.What)
		}
	}
	if slices.ContainsFunc(m.Looks, func(l Look) bool { return l.Err != nil }) {
		return
	}
	if err != nil {
		d.broken(check, "requests cannot be remembered: "+why(err), "correct DATABASE_URL and SIGNING_KEY; docs/ledger.md")
		return
	}
	if m.Unmade {
		d.ok(check, "%s is not there yet: the service makes it when it starts", m.Where)
	} else {
		d.ok(check, "%s can be read; the key that signs what is remembered: %s", m.Where, m.Key)
	}
	if m.Beside {
		d.warn(check, "SIGNING_KEY is not set: the key lies beside the database, and whoever can write that folder can approve",
			"set SIGNING_KEY, or let nobody else write there")
	}
	if !m.Unmade {
		d.weekly(m)
	}
	d.sealed(m)
}

// weekly says when all was last reconciled, and what was found.
func (d *doctor) weekly(m Memory) {
	const check, remedy = "weekly reconcile", "run: jitaccess reconcile"
	last := m.Reconciliation.Last
	began, ended := m.Reconciliation.Round.Began.UTC().Format(time.RFC3339), last.Ended.UTC().Format(time.RFC3339)
	switch {
	case !m.Weekly:
		d.warn(check, "WEEKLY_RECONCILE is false: nobody is told where access that stands and what is remembered differ",
			"set WEEKLY_RECONCILE=true, or have jitaccess reconcile run by something else")
		return
	case m.Reconciliation.Round.Began.IsZero():
		d.ok(check, "the service has not swept with this ledger yet; the first is a week after it does")
	case last.Began.IsZero() && !m.Reconciliation.UnderWay():
		d.ok(check, "there was none yet; the first is a week after %s", began)
	case last.Began.IsZero():
		d.ok(check, "the first is under way since %s", began)
	case last.Differences > 0:
		d.warn(check, fmt.Sprintf("the last ended %s and found %s", ended, access.Counted(last.Differences, "difference", "differences")), remedy)
	case last.Whole():
		d.ok(check, "the last ended %s, looked at %s and found all as it is remembered", ended,
			access.Counted(last.Looked, "resource", "resources"))
	}
	if !last.Whole() {
		d.warn(check, fmt.Sprintf("the last, which ended %s, has not looked at everything: %s looked at, and %d could not be read",
			ended, access.Counted(last.Looked, "resource was", "resources were"), last.Unread), remedy)
	}
	if !slices.ContainsFunc(d.Settings.Requests.Admins, func(who string) bool {
		return strings.HasPrefix(who, "user:") || strings.HasPrefix(who, access.GroupPrefix)
	}) {
		d.warn(check, "ADMINS names no person and no group, so that nobody is told what it finds; the log and health/ready have it",
			"name somebody in ADMINS")
	}
}

// pomeriumRemedy goes by what the answer says: only where there was none is the way to it in doubt.
func pomeriumRemedy(err error) string {
	e, _ := errors.AsType[*access.Error](err)
	switch {
	case e == nil:
	case e.Code == access.CodeCallRefused && e.Kind == access.Upstream:
		return "make a new API user token at https://console.pomerium.app/app/management/api-tokens, and set API_USER_TOKEN to it"
	case e.Code == access.CodeServiceNotAllowed:
		return "give the API user the role Admin, and compare ORGANIZATION_ID and CLUSTER_ID with https://console.pomerium.app/app/clusters"
	case e.Code == access.CodeUnknownResource, e.Code == access.CodeCallRefused:
		return "compare ORGANIZATION_ID and CLUSTER_ID with https://console.pomerium.app/app/clusters"
	}
	return "see that this machine reaches https://console.pomerium.app"
}
