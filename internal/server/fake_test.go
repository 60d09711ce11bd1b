package server_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/server"
)

// The organization of the tests.
const (
	ana  = access.Principal("ana.ito@example.com")
	ben  = access.Principal("ben.okafor@example.com")
	carl = access.Principal("carl.mendes@example.com")
	dora = access.Principal("dora.lind@example.com")

	orders = access.Resource("projects/acme-orders-prod")
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

var (
	admin    = access.EntitlementID{Resource: orders, Role: "roles/compute.instanceAdmin.v1"}
	viewer   = access.EntitlementID{Resource: orders, Role: "roles/storage.objectViewer", Condition: `resource.name.startsWith("projects/_/buckets/acme-orders")`}
	security = access.EntitlementID{Resource: orders, Role: "roles/iam.securityAdmin"}
)

var roleInfos = map[access.Role]access.RoleInfo{
	admin.Role:    {Role: admin.Role, Title: "Compute Instance Admin (v1)", Description: "Full control of Compute Engine instances, instance groups, disks, snapshots and images.", ChangesPermissions: access.No},
	viewer.Role:   {Role: viewer.Role, Title: "Storage Object Viewer", Description: "Read access to objects.", ChangesPermissions: access.No},
	security.Role: {Role: security.Role, Title: "Security Admin", Description: "Can get and set any IAM policy.", ChangesPermissions: access.Yes},
}

// fake is a broker that remembers in memory and knows just enough rules to be
// refused by.
type fake struct {
	mu       sync.Mutex
	requests map[string]access.Request
	decided  map[string]access.State
	grants   []access.Activation
	// fails makes a method fail.
	fails map[string]error
	// undelivered makes mails fail; silent says that nobody is told of anything, and
	// machines that only machines are.
	undelivered, silent, machines bool
	ids                           int
	// changes counts calls that could change something.
	changes int
}

func newFake() *fake {
	return &fake{requests: map[string]access.Request{}, decided: map[string]access.State{}, fails: map[string]error{}}
}

func (f *fake) Instance() broker.Instance {
	return broker.Instance{JustificationHint: "Bug or case number", MaxDuration: 2 * time.Hour, DefaultDuration: time.Hour,
		MinReviewers: 1, MaxReviewers: 2, MaxRoles: 10, RequestTimeout: time.Hour}
}

func (f *fake) Channels() []access.Channel {
	switch {
	case f.silent:
		return nil
	case f.machines:
		return []access.Channel{{Name: "pubsub"}}
	}
	return []access.Channel{{Name: "mail", People: true}}
}

func (f *fake) NewID(peer bool) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ids++
	return access.NewRequestID(bytes.NewReader(bytes.Repeat([]byte{byte(f.ids)}, 12)), peer)
}

func (f *fake) Resources(_ context.Context, c access.Caller) ([]access.ResourceInfo, error) {
	if err := f.fails["Resources"]; err != nil {
		return nil, err
	}
	return []access.ResourceInfo{{Resource: orders, Title: "Orders, production"}, {Resource: "projects/acme-orders-test", Title: "Orders, test"},
		{Resource: "projects/example.com:legacy-crm"}}, nil
}

func (f *fake) Offer(_ context.Context, c access.Caller, on access.Resource) (broker.Offer, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.fails["Offer"]; err != nil {
		return broker.Offer{}, err
	}
	if strings.Contains(string(on), "unknown") {
		return broker.Offer{}, &access.Error{Kind: access.NotFound, Code: access.CodeUnknownResource, Args: access.Args{"resource": on.Name()}}
	}
	o := broker.Offer{Resource: on}
	if on != orders || c.Principal == dora {
		return o, nil
	}
	for _, id := range []access.EntitlementID{admin, security, viewer} {
		r := broker.OfferedRole{Entitlement: access.Entitlement{ID: id, SelfApproval: id != security, PeerApproval: id == security},
			Terms: access.Terms{MaxDuration: 2 * time.Hour}, Role: roleInfos[id.Role]}
		if id == security {
			r.Terms.Approvals, r.Terms.MinReviewers, r.Terms.MaxReviewers = 1, 1, 2
		}
		for i, g := range f.grants {
			if g.Principal != c.Principal || g.Entitlement != id {
				continue
			}
			if g.Window.Contains(noon) {
				r.Activation = &f.grants[i]
			} else if g.Window.Start.After(noon) {
				r.Upcoming = append(r.Upcoming, g)
			}
		}
		o.Roles = append(o.Roles, r)
	}
	return o, nil
}

func (f *fake) Reviewers(_ context.Context, c access.Caller, _ ...access.EntitlementID) ([]access.Principal, []*access.Error, error) {
	if err := f.fails["Reviewers"]; err != nil {
		return nil, nil, err
	}
	return slices.DeleteFunc([]access.Principal{ana, ben, carl}, func(p access.Principal) bool { return p == c.Principal }), nil, nil
}

func invalid(code access.Code, field string, args access.Args) error {
	return &access.Error{Kind: access.Invalid, Code: code, Field: field, Args: args}
}

func (f *fake) Ask(_ context.Context, c access.Caller, a broker.Ask) (broker.Asked, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.changes++
	if err := f.fails["Ask"]; err != nil {
		return broker.Asked{}, err
	}
	if _, err := access.ParseRequestID(a.ID); err != nil {
		return broker.Asked{}, invalid(access.CodeBadRequestID, "", nil)
	}
	switch err := access.CheckJustification(a.Justification); {
	case errors.Is(err, access.ErrJustificationEmpty):
		return broker.Asked{}, invalid(access.CodeNoJustification, "justification", access.Args{"hint": "Bug or case number"})
	case err != nil:
		return broker.Asked{}, invalid(access.CodeUnsafeJustification, "justification", nil)
	}
	if a.Duration > 2*time.Hour {
		return broker.Asked{}, invalid(access.CodeBadDuration, "minutes", access.Args{"max": "120"})
	}
	if c.Principal == dora {
		return broker.Asked{}, &access.Error{Kind: access.NotAllowed, Code: access.CodeNotEligible, Args: access.Args{"role": string(a.Entitlements[0].Role), "resource": a.Resource.Name()}}
	}
	q := access.Request{ID: a.ID, Principal: c.Principal, Resource: a.Resource, Entitlements: a.Entitlements, Justification: a.Justification,
		Duration: a.Duration, Start: a.Start, Created: noon, Expires: noon.Add(time.Hour)}
	if strings.HasPrefix(a.ID, "jit-") {
		asked := broker.Asked{Request: q, Window: q.WindowAt(noon)}
		for _, id := range a.Entitlements {
			f.grants = append(f.grants, access.Activation{RequestID: a.ID, Principal: c.Principal, Entitlement: id, Window: asked.Window, Justification: a.Justification})
			asked.Outcomes = append(asked.Outcomes, access.Outcome{Entitlement: id, Result: access.Granted, Window: asked.Window})
		}
		return asked, nil
	}
	if a.Origin == "" {
		return broker.Asked{}, &access.Error{Kind: access.Unprocessable, Code: access.CodeNoPublicURL, Args: access.Args{"host": a.Host}}
	}
	for _, text := range a.Reviewers {
		p, err := access.ParsePrincipal(text)
		switch {
		case err != nil:
			return broker.Asked{}, invalid(access.CodeBadReviewer, "reviewer", access.Args{"reviewer": "?"})
		case p == c.Principal:
			return broker.Asked{}, invalid(access.CodeSelfReviewer, "reviewer", nil)
		case p == dora:
			return broker.Asked{}, &access.Error{Kind: access.NotAllowed, Code: access.CodeReviewerNotEligible, Field: "reviewer",
				Args: access.Args{"reviewer": text, "role": string(security.Role), "resource": orders.Name()}}
		}
		q.Reviewers = append(q.Reviewers, p)
	}
	if len(q.Reviewers) == 0 {
		return broker.Asked{}, invalid(access.CodeFewReviewers, "reviewer", access.Args{"min": "1"})
	}
	ref := "ref-" + a.ID
	f.requests[ref], f.decided[ref] = q, access.Pending
	asked := broker.Asked{Request: q, Ref: ref, ReviewURL: a.Origin + "/?activation=" + ref}
	if f.undelivered {
		asked.Warnings = append(asked.Warnings, &access.Error{Code: access.CodeNotDelivered, Kind: access.Upstream, Args: access.Args{"recipient": string(ben), "channel": "mail"}})
	}
	if f.silent {
		asked.Warnings = append(asked.Warnings, &access.Error{Code: access.CodeNoChannel, Kind: access.Unavailable})
	}
	return asked, nil
}

func (f *fake) open(c access.Caller, ref string) (access.Request, error) {
	q, ok := f.requests[ref]
	if !ok {
		return q, &access.Error{Kind: access.NotFound, Code: access.CodeBadLink}
	}
	if c.Principal != q.Principal && !slices.Contains(q.Reviewers, c.Principal) {
		return q, &access.Error{Kind: access.NotAllowed, Code: access.CodeNotInvolved}
	}
	return q, nil
}

func (f *fake) Show(_ context.Context, c access.Caller, ref, origin string) (broker.View, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.fails["Show"]; err != nil {
		return broker.View{}, err
	}
	q, err := f.open(c, ref)
	if err != nil {
		return broker.View{}, err
	}
	v := broker.View{Request: q, State: f.decided[ref], Window: q.WindowAt(noon), Digest: q.Digest(), IsPrincipal: c.Principal == q.Principal,
		IsReviewer: slices.Contains(q.Reviewers, c.Principal), Forgets: true, ReviewURL: origin + "/?activation=" + ref}
	v.CanDecide = v.IsReviewer && v.State == access.Pending
	v.CanEnd = v.IsPrincipal && v.State == access.Active
	for _, g := range f.grants {
		if g.RequestID == q.ID {
			v.Activations, v.Window = append(v.Activations, g), g.Window
		}
	}
	if v.IsReviewer && v.State == access.Active {
		v.WhyNot = &access.Error{Kind: access.Conflict, Code: access.CodeAlreadyApproved, Args: access.Args{"approvers": string(v.Activations[0].Approvers[0])}}
	}
	for _, id := range q.Entitlements {
		v.Roles = append(v.Roles, roleInfos[id.Role])
		v.Bindings = append(v.Bindings, access.Binding{Entitlement: id, Text: bindingText})
	}
	return v, nil
}

const bindingText = `role: roles/iam.securityAdmin
members:
  - user:ana.ito@example.com
condition:
  title: JIT access activation
  description: "Approved by ben.okafor@example.com, justification: case 4711 [mpa-AQEBAQEBAQEBAQEB]"
  expression: (request.time >= timestamp("2026-11-22T12:00:00Z") && request.time < timestamp("2026-11-22T13:00:00Z"))`

func (f *fake) MoreReviewers(_ context.Context, c access.Caller, ref string) (broker.MoreReviewers, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.fails["MoreReviewers"]; err != nil {
		return broker.MoreReviewers{}, err
	}
	q, err := f.open(c, ref)
	if err == nil && c.Principal != q.Principal {
		err = &access.Error{Kind: access.NotAllowed, Code: access.CodeNotInvolved}
	}
	more := broker.MoreReviewers{Request: q, Room: 2 - len(q.Reviewers)}
	more.Candidates = slices.DeleteFunc([]access.Principal{ana, ben, carl}, func(p access.Principal) bool {
		return p == q.Principal || slices.Contains(q.Reviewers, p)
	})
	return more, err
}

func (f *fake) AddReviewers(_ context.Context, c access.Caller, a broker.AddReviewers) (broker.Asked, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.changes++
	if err := f.fails["AddReviewers"]; err != nil {
		return broker.Asked{}, err
	}
	q, err := f.open(c, a.Ref)
	if err == nil && c.Principal != q.Principal {
		err = &access.Error{Kind: access.NotAllowed, Code: access.CodeNotInvolved}
	}
	if err != nil {
		return broker.Asked{}, err
	}
	if len(a.Reviewers) == 0 {
		return broker.Asked{Request: q}, invalid(access.CodeNobodyAdded, "reviewer", nil)
	}
	for _, text := range a.Reviewers {
		q.Reviewers = append(slices.Clone(q.Reviewers), access.Principal(text))
	}
	ref := a.Ref + "-more"
	f.requests[ref], f.decided[ref] = q, access.Pending
	return broker.Asked{Request: q, Ref: ref, ReviewURL: a.Origin + "/?activation=" + ref}, nil
}

func (f *fake) Decide(_ context.Context, c access.Caller, d broker.Decide) (broker.Decided, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.changes++
	if err := f.fails["Decide"]; err != nil {
		return broker.Decided{}, err
	}
	q, err := f.open(c, d.Ref)
	if err != nil {
		return broker.Decided{}, err
	}
	switch {
	case c.Principal == q.Principal:
		return broker.Decided{}, &access.Error{Kind: access.NotAllowed, Code: access.CodeOwnRequest}
	case d.Digest != "" && d.Digest != q.Digest():
		return broker.Decided{}, &access.Error{Kind: access.Conflict, Code: access.CodeDigestMismatch}
	case d.Verdict == access.Deny && d.Comment == "":
		return broker.Decided{}, invalid(access.CodeNoComment, "comment", nil)
	}
	out := broker.Decided{Request: q, State: f.decided[d.Ref], Forgets: true, Decision: access.Decision{Verdict: d.Verdict, By: c.Principal, At: noon}}
	if d.Verdict == access.Approve {
		f.decided[d.Ref] = access.Active
		out.State, out.Window = access.Active, q.WindowAt(noon)
		for _, id := range q.Entitlements {
			out.Outcomes = append(out.Outcomes, access.Outcome{Entitlement: id, Result: access.Granted, Window: out.Window})
			f.grants = append(f.grants, access.Activation{RequestID: q.ID, Principal: q.Principal, Entitlement: id, Window: out.Window, Approvers: []access.Principal{c.Principal}})
		}
	}
	return out, nil
}

func (f *fake) End(_ context.Context, c access.Caller, on access.Resource, id string) (broker.Ended, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.changes++
	if err := f.fails["End"]; err != nil {
		return broker.Ended{}, err
	}
	var ended broker.Ended
	for i := range f.grants {
		g := &f.grants[i]
		if g.RequestID != id || g.Entitlement.Resource != on {
			continue
		}
		if g.Principal != c.Principal {
			return ended, &access.Error{Kind: access.NotFound, Code: access.CodeNoGrant}
		}
		g.Window.End = noon
		ended.Activations = append(ended.Activations, *g)
		ended.Outcomes = append(ended.Outcomes, access.Outcome{Entitlement: g.Entitlement, Result: access.Removed, Window: g.Window})
	}
	if len(ended.Outcomes) == 0 {
		return ended, &access.Error{Kind: access.NotFound, Code: access.CodeNoGrant}
	}
	for ref, q := range f.requests {
		if q.ID == id {
			f.decided[ref] = access.Ended
		}
	}
	return ended, nil
}

// Admin lets carl in, whom the admins name, and dora, who is one through a group.
func (f *fake) Admin(_ context.Context, c access.Caller) error {
	if err := f.fails["Admin"]; err != nil {
		return err
	}
	if c.Principal == carl || c.Principal == dora {
		return nil
	}
	return &access.Error{Kind: access.NotAllowed, Code: access.CodeNotAdmin}
}

func (f *fake) NamedAdmin(c access.Caller) bool { return c.Principal == carl }

// personHeader stands for the assertion of the proxy.
const personHeader = "X-Test-Person"

func identify(r *http.Request) (access.Caller, error) {
	who := r.Header.Get(personHeader)
	if who == "" {
		return access.Caller{}, &access.Error{Kind: access.Unauthenticated, Code: access.CodeNoIdentity}
	}
	return access.Caller{Principal: access.Principal(who), Subject: "accounts.google.com:" + who, Method: "iap"}, nil
}

// serve makes a server around a broker; change may be nil. What it logs is
// returned too.
func serve(t testing.TB, b server.Broker, change func(*server.Config)) (http.Handler, *logBuffer) {
	t.Helper()
	log := &logBuffer{}
	c := server.Config{Broker: b, Identify: identify, PublicURL: "https://access.example.com", Version: "2.0.0", Provider: func(access.Resource) string { return "Google" },
		Log: slog.New(slog.NewJSONHandler(log, nil)), Now: func() time.Time { return noon }, Random: rand.NewChaCha8([32]byte{1})}
	if change != nil {
		change(&c)
	}
	h, err := server.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return h, log
}

// logBuffer is a log that several goroutines may write.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

var _ io.Writer = (*logBuffer)(nil)
