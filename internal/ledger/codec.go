package ledger

import (
	"cmp"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"jitaccess/internal/access"
)

// The forms in which values of package access are kept. They are a contract with what
// was recorded: members are added, never renamed.

type requestForm struct {
	ID            string             `json:"id"`
	Kind          access.RequestKind `json:"kind"`
	Principal     access.Principal   `json:"principal"`
	Resource      access.Resource    `json:"resource"`
	Entitlements  []entitlementForm  `json:"entitlements"`
	Justification string             `json:"justification"`
	Seconds       int64              `json:"seconds"`
	Start         time.Time          `json:"start,omitzero"`
	Reviewers     []access.Principal `json:"reviewers,omitempty"`
	Created       time.Time          `json:"created"`
	Expires       time.Time          `json:"expires"`
	Fixed         *windowForm        `json:"fixed,omitempty"`
	Extends       string             `json:"extends,omitempty"`
	Asking        *askingForm        `json:"asking,omitempty"`
	Claims        []string           `json:"claims,omitempty"`
	ClaimsKnown   bool               `json:"claims_known,omitempty"`
	Terms         termsForm          `json:"terms,omitzero"`
	State         access.State       `json:"state,omitempty"`
	Decisions     []decisionForm     `json:"decisions,omitempty"`
	Window        *windowForm        `json:"window,omitempty"`
	Review        *decisionForm      `json:"review,omitempty"`
	Reminded      time.Time          `json:"reminded,omitzero"`
	Escalated     int                `json:"escalated,omitempty"`
	TakenIn       time.Time          `json:"taken_in,omitzero"`
	Ending        time.Time          `json:"ending,omitzero"`
	Bounced       []access.Principal `json:"bounced,omitempty"`
	Version       int                `json:"version,omitempty"`
}

type askingForm struct {
	Application string            `json:"application"`
	Subject     string            `json:"subject"`
	Unlinked    bool              `json:"unlinked,omitempty"`
	Template    string            `json:"template"`
	Title       string            `json:"title"`
	Data        []datumForm       `json:"data,omitempty"`
	Claims      []datumForm       `json:"claims,omitempty"`
	Metadata    map[string]string `json:"metadata,omitempty"`
	Callback    string            `json:"callback,omitempty"`
	Sent        string            `json:"sent"`
}

type datumForm struct {
	Name  string `json:"name"`
	Label string `json:"label"`
	Value string `json:"value,omitempty"`
}

type entitlementForm struct {
	Resource  access.Resource `json:"resource"`
	Role      access.Role     `json:"role"`
	Condition string          `json:"condition,omitempty"`
}

type windowForm struct {
	Start time.Time `json:"start"`
	End   time.Time `json:"end"`
}

type decisionForm struct {
	Verdict access.Verdict   `json:"verdict"`
	By      access.Principal `json:"by"`
	At      time.Time        `json:"at"`
	Comment string           `json:"comment,omitempty"`
	Digest  string           `json:"digest"`
	Seconds int64            `json:"seconds,omitempty"`
	As      []string         `json:"as,omitempty"`
	Levels  []string         `json:"access_levels,omitempty"`
	// Evidence is what was signed; bytes are in Base64.
	Evidence *assertionForm `json:"evidence,omitempty"`
}

type assertionForm struct {
	Credential        []byte    `json:"credential"`
	PublicKey         []byte    `json:"public_key"`
	AuthenticatorData []byte    `json:"authenticator_data"`
	ClientData        []byte    `json:"client_data"`
	Signature         []byte    `json:"signature"`
	Nonce             []byte    `json:"nonce"`
	At                time.Time `json:"at"`
	RelyingParty      string    `json:"relying_party"`
}

type bounceForm struct {
	To      access.Principal `json:"to,omitempty"`
	Status  string           `json:"status,omitempty"`
	Text    string           `json:"text,omitempty"`
	Meaning string           `json:"meaning,omitempty"`
	Remedy  string           `json:"remedy,omitempty"`
	At      time.Time        `json:"at"`
}

func bounceTo(b access.Bounce) *bounceForm {
	if b == (access.Bounce{}) {
		return nil
	}
	b.At = b.At.UTC()
	return new(bounceForm(b))
}

func bounceFrom(f *bounceForm) access.Bounce {
	if f == nil {
		return access.Bounce{}
	}
	return access.Bounce(*f)
}

type callerForm struct {
	Principal    access.Principal `json:"principal,omitempty"`
	Subject      string           `json:"subject,omitempty"`
	Device       string           `json:"device,omitempty"`
	AccessLevels []string         `json:"access_levels,omitempty"`
	Method       string           `json:"method,omitempty"`
	Application  string           `json:"application,omitempty"`
}

type outcomeForm struct {
	Entitlement entitlementForm `json:"entitlement"`
	Result      access.Result   `json:"result"`
	Window      *windowForm     `json:"window,omitempty"`
	Err         *errorForm      `json:"error,omitempty"`
	Waits       *errorForm      `json:"waits,omitempty"`
}

type errorForm struct {
	Kind  string      `json:"kind"`
	Code  access.Code `json:"code"`
	Field string      `json:"field,omitempty"`
	Args  access.Args `json:"args,omitempty"`
	Cause string      `json:"cause,omitempty"`
}

type roleForm struct {
	Role               access.Role   `json:"role"`
	Title              string        `json:"title,omitempty"`
	Description        string        `json:"description,omitempty"`
	ChangesPermissions access.Answer `json:"changes_permissions,omitempty"`
}

type noticeForm struct {
	ID        string             `json:"id"`
	Kind      access.NoticeKind  `json:"kind"`
	Did       access.Action      `json:"did,omitempty"`
	At        time.Time          `json:"at,omitzero"`
	Left      []access.Target    `json:"left,omitempty"`
	Request   requestForm        `json:"request"`
	To        []access.Principal `json:"to,omitempty"`
	CC        []access.Principal `json:"cc,omitempty"`
	By        access.Principal   `json:"by,omitempty"`
	Decision  *decisionForm      `json:"decision,omitempty"`
	Declined  []decisionForm     `json:"declined,omitempty"`
	Bounce    *bounceForm        `json:"bounce,omitempty"`
	Window    *windowForm        `json:"window,omitempty"`
	Outcomes  []outcomeForm      `json:"outcomes,omitempty"`
	Final     bool               `json:"final,omitempty"`
	Roles     []roleForm         `json:"roles,omitempty"`
	ReviewURL string             `json:"review_url,omitempty"`
	BaseURL   string             `json:"base_url,omitempty"`
	Passkey   *passkeyForm       `json:"passkey,omitempty"`
	Change    *changeForm        `json:"change,omitempty"`
	// Round and Differences are of a reconciliation.
	Round       *roundForm       `json:"round,omitempty"`
	Differences []differenceForm `json:"differences,omitempty"`
}

// changeForm is a change of an application as a notice has it.
type changeForm struct {
	Application string           `json:"application"`
	Number      int              `json:"number"`
	By          access.Principal `json:"by"`
	At          time.Time        `json:"at"`
	What        []string         `json:"what"`
}

// passkeyForm is a key as a notice has it.
type passkeyForm struct {
	Of           access.Principal `json:"of"`
	Credential   []byte           `json:"credential"`
	Name         string           `json:"name"`
	PublicKey    []byte           `json:"public_key"`
	RelyingParty string           `json:"relying_party"`
	Synced       bool             `json:"synced,omitempty"`
	Enrolled     time.Time        `json:"enrolled"`
	Approved     time.Time        `json:"approved,omitzero"`
	Removed      time.Time        `json:"removed,omitzero"`
	ApprovedBy   access.Principal `json:"approved_by,omitempty"`
	RemovedBy    access.Principal `json:"removed_by,omitempty"`
}

// content is the first part of an entry.
type content struct {
	Caller   callerForm    `json:"caller"`
	Request  *requestForm  `json:"request,omitempty"`
	Decision *decisionForm `json:"decision,omitempty"`
	// People are those of Terms that came with who was asked later.
	People [][]access.Principal `json:"people,omitempty"`
	// Fills are there where they name people.
	Fills    []need        `json:"fills,omitempty"`
	Outcomes []outcomeForm `json:"outcomes,omitempty"`
	Warnings []errorForm   `json:"warnings,omitempty"`
	Err      *errorForm    `json:"error,omitempty"`
	Bounce   *bounceForm   `json:"bounce,omitempty"`
}

// brings is whether an event of the action brings the whole request: the first one.
func brings(a access.Action) bool {
	return a == access.RequestMade || a == access.SelfApproved || a == access.GlassBroken || a == access.GrantTakenIn
}

// encodeParts takes what names people out of an event. What was asked is kept with the
// request's first event, who was asked with the event that asked them, a part each.
func encodeParts(e access.Event) ([]Part, error) {
	c := content{Caller: callerForm{e.Caller.Principal, e.Caller.Subject, e.Caller.Device, e.Caller.AccessLevels, e.Caller.Method,
		e.Caller.Application},
		Outcomes: access.Each(e.Outcomes, outcomeTo), Err: errorTo(access.AsError(e.Err))}
	c.Warnings = access.Each(e.Warnings, func(w *access.Error) errorForm { return *errorTo(w) })
	if e.Decision.By != "" || e.Decision.Verdict != "" {
		c.Decision = new(decisionTo(e.Decision))
	}
	if slices.ContainsFunc(e.Requirements, namesPeople) {
		c.Fills = access.Each(e.Requirements, needTo)
	}
	c.Bounce = bounceTo(e.Bounce)
	person := cmp.Or(e.Caller.Principal, e.Bounce.To)
	var reviewers []access.Principal
	if brings(e.Action) {
		asked := e.Request
		asked.State, asked.Decisions, asked.Window, asked.Version = "", nil, access.Window{}, 0
		asked.Review, asked.Reminded, asked.Escalated = access.Decision{}, time.Time{}, 0
		asked.TakenIn, asked.Ending, asked.Bounced = time.Time{}, time.Time{}, nil
		asked.Reviewers, reviewers, person = nil, e.Request.Reviewers, e.Request.Principal
		c.Request = new(requestTo(asked))
	} else if e.Action == access.ReviewersAdded {
		reviewers, c.People = e.Request.Reviewers, e.Request.Terms.People
	}
	data, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	parts := []Part{{Person: person, Data: data}}
	for _, r := range reviewers {
		parts = append(parts, Part{Person: r, Data: []byte(r)})
	}
	return parts, nil
}

// namesPeople is whether a requirement does.
func namesPeople(r access.Requirement) bool {
	return slices.ContainsFunc(r.From, func(from string) bool { return strings.HasPrefix(from, "user:") })
}

func decodeParts(e *access.Event, parts []Part) error {
	for _, p := range parts[1:] {
		if !p.erased() {
			e.Request.Reviewers = append(e.Request.Reviewers, access.Principal(p.Data))
		}
	}
	if parts[0].erased() {
		return nil
	}
	var c content
	if err := json.Unmarshal(parts[0].Data, &c); err != nil {
		return err
	}
	e.Caller = access.Caller{Principal: c.Caller.Principal, Subject: c.Caller.Subject, Device: c.Caller.Device,
		AccessLevels: c.Caller.AccessLevels, Method: c.Caller.Method, Application: c.Caller.Application}
	if c.Request != nil {
		id, reviewers := e.Request.ID, e.Request.Reviewers
		var err error
		if e.Request, err = requestFrom(*c.Request); err != nil {
			return err
		}
		if e.Request.ID != id {
			return errors.New("the content is of another request")
		}
		e.Request.Reviewers = reviewers
	}
	if c.Decision != nil {
		if c.Decision.Verdict != e.Decision.Verdict {
			return errors.New("the content is of another verdict")
		}
		e.Decision = decisionFrom(*c.Decision)
	}
	if e.Action == access.ReviewersAdded {
		e.Request.Terms.People = c.People
	}
	if c.Fills != nil {
		e.Requirements = access.Each(c.Fills, needFrom)
	}
	e.Outcomes = access.Each(c.Outcomes, outcomeFrom)
	e.Warnings = access.Each(c.Warnings, func(w errorForm) *access.Error { return errorFrom(&w) })
	if c.Err != nil {
		e.Err = errorFrom(c.Err)
	}
	e.Bounce = bounceFrom(c.Bounce)
	return nil
}

func requestTo(r access.Request) requestForm {
	f := requestForm{ID: r.ID, Kind: r.Kind, Principal: r.Principal, Resource: r.Resource,
		Entitlements: access.Each(r.Entitlements, entitlementTo), Justification: r.Justification,
		Seconds: seconds(r.Duration), Start: r.Start.UTC(), Reviewers: r.Reviewers, Created: r.Created.UTC(), Expires: r.Expires.UTC(),
		Fixed: windowTo(r.Fixed), Extends: r.Extends, Claims: r.Claims, ClaimsKnown: r.ClaimsKnown, Terms: termsTo(r.Terms), State: r.State,
		Decisions: access.Each(r.Decisions, decisionTo), Window: windowTo(r.Window), Reminded: r.Reminded.UTC(), Escalated: r.Escalated,
		TakenIn: r.TakenIn.UTC(), Ending: r.Ending.UTC(), Bounced: r.Bounced, Version: r.Version}
	if !r.Asking.IsZero() {
		f.Asking = new(askingTo(r.Asking))
	}
	if r.Review.By != "" || !r.Review.At.IsZero() {
		f.Review = new(decisionTo(r.Review))
	}
	return f
}

// maxItems bounds each list in what is read. A short text of an empty one for each item
// would be much memory; a request that was asked for has some tens.
const maxItems = 1000

var errTooMany = errors.New("there is more in it than in anything that was recorded")

func requestFrom(f requestForm) (access.Request, error) {
	if max(len(f.Entitlements), len(f.Reviewers), len(f.Decisions), len(f.Claims), len(f.Bounced)) > maxItems {
		return access.Request{}, errTooMany
	}
	r := access.Request{ID: f.ID, Kind: f.Kind, Principal: f.Principal, Resource: f.Resource,
		Entitlements: access.Each(f.Entitlements, entitlementFrom), Justification: f.Justification,
		Duration: duration(f.Seconds), Start: f.Start, Reviewers: slices.Clone(f.Reviewers), Created: f.Created, Expires: f.Expires,
		Fixed: windowFrom(f.Fixed), Extends: f.Extends, Claims: f.Claims, ClaimsKnown: f.ClaimsKnown,
		State: f.State, Decisions: access.Each(f.Decisions, decisionFrom), Window: windowFrom(f.Window),
		Reminded: f.Reminded, Escalated: f.Escalated, TakenIn: f.TakenIn, Ending: f.Ending, Bounced: slices.Clone(f.Bounced), Version: f.Version}
	var err error
	if r.Terms, err = termsFrom(f.Terms); err != nil {
		return r, err
	}
	if f.Asking != nil {
		if max(len(f.Asking.Data), len(f.Asking.Claims)) > maxItems {
			return r, errTooMany
		}
		r.Asking = askingFrom(*f.Asking)
	}
	if f.Review != nil {
		r.Review = decisionFrom(*f.Review)
	}
	return r, nil
}

func askingTo(a access.Asking) askingForm {
	data := func(d access.Datum) datumForm { return datumForm(d) }
	return askingForm{a.Application, a.Subject, a.Unlinked, a.Template, a.Title, access.Each(a.Data, data), access.Each(a.Claims, data),
		a.Metadata, a.Callback, a.Sent}
}

func askingFrom(f askingForm) access.Asking {
	data := func(f datumForm) access.Datum { return access.Datum(f) }
	return access.Asking{Application: f.Application, Subject: f.Subject, Unlinked: f.Unlinked, Template: f.Template, Title: f.Title,
		Data: access.Each(f.Data, data), Claims: access.Each(f.Claims, data), Metadata: f.Metadata, Callback: f.Callback, Sent: f.Sent}
}

func entitlementTo(id access.EntitlementID) entitlementForm  { return entitlementForm(id) }
func entitlementFrom(f entitlementForm) access.EntitlementID { return access.EntitlementID(f) }

func windowTo(w access.Window) *windowForm {
	if w.IsZero() {
		return nil
	}
	return &windowForm{w.Start.UTC(), w.End.UTC()}
}

func windowFrom(f *windowForm) access.Window {
	if f == nil {
		return access.Window{}
	}
	return access.Window{Start: f.Start, End: f.End}
}

func decisionTo(d access.Decision) decisionForm {
	f := decisionForm{d.Verdict, d.By, d.At.UTC(), d.Comment, d.Digest, seconds(d.Duration), d.As, d.AccessLevels, nil}
	if d.Evidence != nil {
		f.Evidence = new(assertionForm(*d.Evidence))
	}
	return f
}

func decisionFrom(f decisionForm) access.Decision {
	d := access.Decision{Verdict: f.Verdict, By: f.By, At: f.At, Comment: f.Comment, Digest: f.Digest, Duration: duration(f.Seconds),
		As: f.As, AccessLevels: f.Levels}
	if f.Evidence != nil {
		d.Evidence = new(access.Assertion(*f.Evidence))
	}
	return d
}

func outcomeTo(o access.Outcome) outcomeForm {
	return outcomeForm{entitlementForm(o.Entitlement), o.Result, windowTo(o.Window), errorTo(o.Err), errorTo(o.Waits)}
}

func outcomeFrom(f outcomeForm) access.Outcome {
	return access.Outcome{Entitlement: access.EntitlementID(f.Entitlement), Result: f.Result, Window: windowFrom(f.Window),
		Err: errorFrom(f.Err), Waits: errorFrom(f.Waits)}
}

func errorTo(e *access.Error) *errorForm {
	if e == nil {
		return nil
	}
	f := &errorForm{Kind: e.Kind.String(), Code: e.Code, Field: e.Field, Args: e.Args}
	if e.Err != nil {
		f.Cause = e.Err.Error()
	}
	return f
}

func errorFrom(f *errorForm) *access.Error {
	if f == nil {
		return nil
	}
	e := &access.Error{Code: f.Code, Field: f.Field, Args: f.Args}
	for k := access.Internal; k <= access.TimedOut; k++ {
		if k.String() == f.Kind {
			e.Kind = k
		}
	}
	if f.Cause != "" {
		e.Err = errors.New(f.Cause)
	}
	return e
}

func encodeNotice(n access.Notice) ([]byte, error) {
	f := noticeForm{ID: n.ID, Kind: n.Kind, Did: n.Did, At: n.At, Left: n.Left, Request: requestTo(n.Request), To: n.To, CC: n.CC,
		By: n.By, Window: windowTo(n.Window),
		Declined: access.Each(n.Declined, decisionTo), Bounce: bounceTo(n.Bounce),
		Outcomes: access.Each(n.Outcomes, outcomeTo), Final: n.Final,
		Roles: access.Each(n.Roles, func(r access.RoleInfo) roleForm { return roleForm(r) }), ReviewURL: n.ReviewURL, BaseURL: n.BaseURL}
	if n.Decision.Verdict != "" {
		f.Decision = new(decisionTo(n.Decision))
	}
	if n.Passkey.Of != "" {
		f.Passkey = new(passkeyForm(n.Passkey))
	}
	if n.Change.Application != "" {
		f.Change = new(changeForm(n.Change))
	}
	if !n.Round.Began.IsZero() {
		f.Round, f.Differences = new(roundTo(n.Round)), access.Each(n.Differences, differenceTo)
	}
	return json.Marshal(f)
}

func decodeNotice(data []byte) (access.Notice, error) {
	var f noticeForm
	if err := json.Unmarshal(data, &f); err != nil {
		return access.Notice{}, err
	}
	if max(len(f.To), len(f.CC), len(f.Left)/4, len(f.Declined), len(f.Outcomes), len(f.Roles), len(f.Differences)) > maxItems ||
		f.Change != nil && len(f.Change.What) > maxItems {
		return access.Notice{}, errTooMany
	}
	r, err := requestFrom(f.Request)
	if err != nil {
		return access.Notice{}, err
	}
	n := access.Notice{ID: f.ID, Kind: f.Kind, Did: f.Did, At: f.At, Left: f.Left, Request: r, To: f.To, CC: f.CC,
		By: f.By, Window: windowFrom(f.Window),
		Declined: access.Each(f.Declined, decisionFrom), Bounce: bounceFrom(f.Bounce),
		Outcomes: access.Each(f.Outcomes, outcomeFrom), Final: f.Final,
		Roles: access.Each(f.Roles, func(r roleForm) access.RoleInfo { return access.RoleInfo(r) }), ReviewURL: f.ReviewURL, BaseURL: f.BaseURL}
	if f.Decision != nil {
		n.Decision = decisionFrom(*f.Decision)
	}
	if f.Passkey != nil {
		n.Passkey = access.Passkey(*f.Passkey)
	}
	if f.Change != nil {
		n.Change = access.ApplicationChange(*f.Change)
	}
	if f.Round != nil {
		n.Round, n.Differences = access.Round(*f.Round), access.Each(f.Differences, differenceFrom)
	}
	return n, nil
}
