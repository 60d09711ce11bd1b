package broker

import (
	"cmp"
	"context"
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"jitaccess/internal/access"
)

// Ask is a request as a person states it.
type Ask struct {
	// Form is the number of the form (Choice), so that sending it twice is one request
	// to every instance. Without a form Kind says what is asked for, and it is another
	// request each time; empty is an activation without others if there is no reviewer.
	Form          string
	Kind          access.RequestKind
	Resource      access.Resource
	Entitlements  []access.EntitlementID
	Justification string
	Duration      time.Duration
	// Start is when access is wanted from; zero is at once.
	Start time.Time
	// Extends is the id of a request of the caller's, whose grant this one goes on with from
	// its end on; empty for all others. Resource and Entitlements are those of that one
	// then, whatever is here, and Start is the end of its grant.
	Extends string
	// Reviewers are addresses as typed. They must be empty for activation without
	// others, and for what is decided at the administration page. Where the terms name
	// people and groups alone, none means all of those.
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
	// Outcomes and Window are set for self-approval; without Outcomes it is recorded, and
	// written later.
	Outcomes []access.Outcome
	Window   access.Window
	// Warnings are troubles that came after what was recorded or granted.
	Warnings []*access.Error
}

// Ask makes a request: an activation without others, or a request to reviewers. Sending
// the same form again has the same result and no further effect. Its id is derived from
// what was sent (access.NewRequestID).
func (b *Broker) Ask(ctx context.Context, caller access.Caller, a Ask) (Asked, error) {
	var extended access.Request
	if a.Extends != "" {
		var err error
		if extended, err = b.toExtend(ctx, caller, a.Extends); err != nil {
			r := access.Request{Principal: caller.Principal, Extends: a.Extends}
			return Asked{Request: r}, b.refuse(ctx, caller, access.RequestMade, r, err)
		}
		a.Resource, a.Entitlements, a.Start = extended.Resource, extended.Entitlements, time.Time{}
	}
	r, form, err := b.identify(caller, a)
	if err == nil && a.Extends != "" {
		err = b.extend(ctx, caller, &r, extended)
		a.Start = r.Start
	}
	var terms access.Terms
	if err == nil {
		err = cmp.Or(b.byHand(r.Resource), b.renew(ctx))
	}
	if err == nil {
		terms, err = b.read(ctx, caller, &r, a)
	}
	r.Terms = b.kept(terms)
	if err == nil && r.Kind == access.Peers && len(r.Reviewers) == 0 {
		r.Reviewers = b.everybodyNamed(r, terms)
	}
	r.Terms.People = append(r.Terms.People, b.peopleOf(append([]access.Principal{r.Principal}, r.Reviewers...))...)
	if err != nil {
		trying := access.RequestMade
		if r.Kind == access.BreakGlass {
			trying = access.GlassBroken
		}
		return Asked{Request: r}, b.refuse(ctx, caller, trying, r, err)
	}
	// What is over is not answered from memory.
	b.asked.forget(func(a Asked) bool { return !a.Window.IsZero() && !b.c.Now().Before(a.Window.End) })
	return b.asked.do(ctx, caller.Principal, r.ID, func() (Asked, error) {
		switch r.Kind {
		case access.Self:
			return b.selfApprove(ctx, caller, r, terms, form.Opened)
		case access.BreakGlass:
			return b.breakGlass(ctx, caller, r, terms, form.Opened, a.Origin)
		}
		return b.askReviewers(ctx, caller, r, terms, a)
	})
}

// identify reads who asks for what, by which form, and gives the request its id. With an
// error it returns as much as was understood.
func (b *Broker) identify(caller access.Caller, a Ask) (r access.Request, form access.Form, err error) {
	now := b.c.Now()
	r = access.Request{
		Principal:     caller.Principal,
		Resource:      a.Resource,
		Justification: strings.TrimSpace(a.Justification),
		Duration:      a.Duration,
		Extends:       a.Extends,
		Created:       now.UTC().Truncate(time.Second),
	}
	if b.c.Claims && !b.forgets && !caller.ClaimsUnknown {
		r.Claims, r.ClaimsKnown = caller.Claims, true
	}
	r.Entitlements = slices.Clone(a.Entitlements)
	slices.SortFunc(r.Entitlements, access.CompareEntitlementIDs)
	r.Entitlements = slices.Compact(r.Entitlements)
	if a.Form == "" {
		if r.Kind = cmp.Or(a.Kind, access.Self); len(a.Reviewers) > 0 {
			r.Kind = access.Peers
		}
		if a.Form, err = b.NewForm(caller, r.Kind); err != nil {
			return r, form, access.AsError(err)
		}
	}
	form, err = access.ParseForm(a.Form, caller.Principal)
	r.Kind = form.Kind
	if err != nil || r.Kind != access.Peers && len(a.Reviewers) > 0 {
		return r, form, invalid(access.FieldID, access.CodeBadRequestID, nil)
	}
	r.Reviewers, err = b.readReviewers(caller, a.Reviewers)
	sent := r
	if !a.Start.IsZero() {
		sent.Start = a.Start.UTC() // also one that has passed when it is sent again
	}
	r.ID = access.NewRequestID(a.Form, sent)
	if now.Sub(form.Opened) > access.FormLife || form.Opened.Sub(now) > access.LinkSkew {
		return r, form, oldForm()
	}
	return r, form, err
}

func oldForm() error { return &access.Error{Kind: access.Gone, Code: access.CodeOldForm} }

// read checks what was asked for against its terms, which it returns, or names the field
// that is wrong. It completes the request.
func (b *Broker) read(ctx context.Context, caller access.Caller, r *access.Request, a Ask) (terms access.Terms, err error) {
	if len(r.Entitlements) == 0 {
		return terms, invalid(access.FieldEntitlement, access.CodeNoEntitlement, nil)
	}
	for _, id := range r.Entitlements {
		if id.Resource != a.Resource {
			return terms, invalid(access.FieldEntitlement, access.CodeOtherResource,
				access.Args{"entitlement": id.String(), "resource": string(a.Resource)})
		}
	}
	if terms, err = b.terms(b.facts(ctx, caller, r.Principal, nil, r.Entitlements...), r.Kind, a.Start, r.Entitlements...); err != nil {
		return terms, err
	}
	r.Expires = r.Created.Add(terms.RequestLife)
	if err := justified(terms, r.Justification); err != nil {
		return terms, err
	}
	if r.Extends != "" { // it begins where the other ends, and r says so
		return terms, nil
	}
	if !a.Start.IsZero() && terms.StartWithin == 0 {
		return terms, invalid(access.FieldStart, access.CodeStartsAtOnce, nil)
	}
	now := b.c.Now()
	if !a.Start.IsZero() && a.Start.Before(now.Add(-startGrace)) {
		return terms, badStart(terms)
	}
	// A start that has passed means "as soon as possible", like none.
	if a.Start.After(now) {
		r.Start = a.Start.UTC().Truncate(time.Second)
	}
	return terms, nil
}

// selfApprove activates at once.
func (b *Broker) selfApprove(ctx context.Context, caller access.Caller, r access.Request, terms access.Terms,
	opened time.Time) (Asked, error) {
	refused := func(err error) (Asked, error) {
		return Asked{Request: r}, b.refuse(ctx, caller, access.SelfApproved, r, err)
	}
	begun := b.c.Now()
	if err := b.within(terms, r); err != nil {
		return refused(err)
	}
	if terms.Approvals() > 0 {
		return refused(needsApproval(access.NotAllowed, string(r.Entitlements[0].Role)))
	}
	var window access.Window // of the grant, once it is known
	check := func(s access.Standing) error {
		if err := cmp.Or(idIsFree(r, s), b.notOver(r, s), b.notEndedSince(opened, r, s), b.selfHeld(ctx, caller, r, s)); err != nil {
			return err
		}
		w := cmp.Or(window, s.WindowAt(r, b.c.Now()))
		if window.IsZero() {
			return cmp.Or(b.unbroken(ctx, terms, r, w), s.Lasts(r, w))
		}
		// It is about to be written.
		if err := b.stillKeeps(ctx, caller, r, nil, s); err != nil {
			return err
		}
		return s.Lasts(r, cmp.Or(window, s.WindowAt(r, b.c.Now())))
	}
	// As of now at once, so that the write needs no second look.
	q := access.StandingQuery{Resource: r.Resource, Principals: []access.Principal{caller.Principal}, Of: r.Entitlements, Since: begun}
	standing, err := b.standing(ctx, caller, q)
	if err == nil {
		err = check(standing)
	}
	if err != nil {
		return refused(err)
	}

	ctx, cancel := detach(ctx)
	defer cancel()
	event := b.event(caller, access.SelfApproved, r)
	window = standing.WindowAt(r, event.At)
	event.Window = window
	left, err := b.leftToSweep(ctx, event)
	if err == nil && left {
		err = b.room(ctx, r)
	}
	if err != nil {
		return refused(err)
	}
	next, _, unkept, err := b.activate(ctx, event)
	if err != nil {
		return Asked{Request: r}, err
	}
	if window = next.Window; next.StateAt(event.At) == access.Failed {
		return refused(&access.Error{Kind: access.Gone, Code: access.CodeGrantRefused})
	}
	asked := Asked{Request: next, Window: next.Window, Warnings: slices.Concat(standing.Warnings, unkept)}
	if r = next; left && next.State == access.Scheduled {
		return asked, nil
	}
	notice := b.notice(access.SelfApproved, r, nil)
	if len(unkept) > 0 {
		notice.ID = "" // no store keeps it
	}
	outcomes, warnings, err := b.grant(ctx, caller, next, nil, q, check, notice)
	asked.Outcomes, asked.Window, asked.Warnings = outcomes, granted(outcomes, next.Window), withNew(asked.Warnings, warnings)
	if len(unkept) == 0 && b.waits(err) {
		asked.Warnings = append(asked.Warnings, notYetGranted(err)...)
		return asked, nil
	}
	if err != nil {
		return asked, err
	}
	if anyGranted(outcomes) {
		notice.Window = asked.Window
		asked.Warnings = withNew(asked.Warnings, b.tell(ctx, caller, notice))
	}
	return asked, nil
}

// selfHeld is nil when the requester may activate every entitlement without others: by
// its marker, or because a rule demands no approval all the same.
func (b *Broker) selfHeld(ctx context.Context, caller access.Caller, r access.Request, s access.Standing) error {
	for _, id := range r.Entitlements {
		switch held := s.Holding(r.Principal, id); {
		case held.SelfApproval:
		case held.PeerApproval && b.looks().Approvals:
			terms, err := b.terms(b.factsOf(ctx, caller, r, &s, id), r.Kind, r.Start, id)
			if err != nil || terms.Approvals() > 0 {
				return cmp.Or(err, error(needsApproval(access.NotAllowed, string(id.Role))))
			}
		case held.PeerApproval:
			return needsApproval(access.NotAllowed, string(id.Role))
		default:
			return s.NotHeld(notEligible(id))
		}
	}
	return nil
}

func needsApproval(kind access.Kind, role string) *access.Error {
	return &access.Error{Kind: kind, Code: access.CodeNeedsApproval, Field: access.FieldEntitlement, Args: access.Args{"role": role}}
}

// askReviewers records the request and tells the reviewers.
func (b *Broker) askReviewers(ctx context.Context, caller access.Caller, r access.Request, terms access.Terms, a Ask) (Asked, error) {
	refused := func(err error) (Asked, error) {
		return Asked{Request: r}, b.refuse(ctx, caller, access.RequestMade, r, err)
	}
	if err := cmp.Or(b.within(terms, r), linkable(a.Origin, a.Host), b.room(ctx, r)); err != nil {
		return refused(err)
	}
	q := access.StandingQuery{Resource: r.Resource, Principals: append([]access.Principal{r.Principal}, persons(r.Reviewers)...),
		Of: r.Entitlements}
	var asked []invitee
	standing, refusal, err := b.look(ctx, caller, q, func(s access.Standing) error {
		err := cmp.Or(idIsFree(r, s), holds(r.Principal, r, nil, s), s.Lasts(r, s.WindowAt(r, b.c.Now())))
		if err == nil {
			asked, err = b.invitees(ctx, caller, r, r.Reviewers, terms, s)
		}
		return err
	})
	if err = cmp.Or(err, refusal); err == nil {
		err = cmp.Or(b.enough(r, terms, asked), b.unbroken(ctx, terms, r, standing.WindowAt(r, b.c.Now())))
	}
	if err != nil {
		return refused(err)
	}
	r.Reviewers = whoAreAsked(asked)
	return b.invite(ctx, caller, access.RequestMade, r, standing, whoseTurn(terms, access.Tally{}, asked), a.Origin)
}

// notEndedSince refuses a form that was opened before access to the same ended, by which
// form or link it ever was had: what somebody ended stays so until the person looks again.
func (b *Broker) notEndedSince(opened time.Time, r access.Request, s access.Standing) error {
	now := b.c.Now()
	for _, a := range s.Activations {
		if a.Principal == r.Principal && slices.Contains(r.Entitlements, a.Entitlement) &&
			!now.Before(a.Window.End) && a.Window.End.After(opened) {
			return oldForm()
		}
	}
	return nil
}

// idIsFree refuses an id that stands for something else already: another person's grant,
// or one of other roles. Whoever may edit the policy can write any id there.
func idIsFree(r access.Request, standing access.Standing) error {
	for _, a := range standing.Activations {
		if a.RequestID == r.ID && (a.Principal != r.Principal || !slices.Contains(r.Entitlements, a.Entitlement)) {
			return &access.Error{Kind: access.Conflict, Code: access.CodeBadRequestID, Field: access.FieldID}
		}
	}
	return nil
}

// holds is nil when the requester may request every entitlement, and all of reviewers
// may review it in a way of approval that they share. Otherwise it is in words for the
// caller: the requester, who asks people, or a reviewer, who decides.
func holds(caller access.Principal, r access.Request, reviewers []access.Principal, s access.Standing) error {
	for _, id := range r.Entitlements {
		of := access.Args{"role": string(id.Role), "resource": string(id.Resource)}
		if !s.Holding(r.Principal, id).PeerApproval {
			if s.Remembered {
				return &access.Error{Kind: access.NotAllowed, Code: access.CodeTemplateLost, Args: access.Args{
					"application": id.Resource.Name(), "template": strings.TrimPrefix(string(id.Role), "roles/")}}
			}
			if caller == r.Principal {
				return s.NotHeld(notEligible(id))
			}
			of["principal"] = string(r.Principal)
			return s.NotHeld(&access.Error{Kind: access.NotAllowed, Code: access.CodeRequesterLost, Args: of})
		}
		for _, p := range reviewers {
			switch {
			case s.MayReview(p, r.Principal, id):
			case caller == p:
				return s.NotHeld(&access.Error{Kind: access.NotAllowed, Code: access.CodeReviewerLost, Args: of})
			default:
				of["reviewer"] = string(p)
				return s.NotHeld(&access.Error{Kind: access.NotAllowed, Code: access.CodeReviewerNotEligible, Field: access.FieldReviewer, Args: of})
			}
		}
	}
	return nil
}

func notEligible(id access.EntitlementID) *access.Error {
	return &access.Error{Kind: access.NotAllowed, Code: access.CodeNotEligible, Field: access.FieldEntitlement,
		Args: access.Args{"role": string(id.Role), "resource": string(id.Resource)}}
}

// invite records what was done to the request, which makes the link that opens it
// as it is now, and sends that to whom it concerns. tell are the reviewers who are to
// decide now and were not told before.
func (b *Broker) invite(ctx context.Context, caller access.Caller, did access.Action, r access.Request, standing access.Standing,
	tell []access.Principal, origin string) (Asked, error) {
	ctx, cancel := detach(ctx)
	defer cancel()
	event := b.event(caller, did, r)
	event.Window = standing.WindowAt(r, event.At)
	notice := b.reviewNotice(ctx, did, r, tell, event.Window, origin)
	notice.By = caller.By()
	asked := Asked{Request: r, Warnings: slices.Clone(standing.Warnings)}
	next, ref, err := b.intend(ctx, event, notice)
	again, sent := errors.AsType[*sentAgain](err)
	if sent {
		next, err = again.stands, nil
	}
	if err != nil {
		return asked, err
	}
	notice.ReviewURL = reviewURL(origin, ref, r)
	asked.Request, asked.Ref, asked.ReviewURL = next, ref, notice.ReviewURL
	if n := len(asked.ReviewURL); n > maxLink {
		asked.Warnings = append(asked.Warnings, &access.Error{Kind: access.Invalid, Code: access.CodeLongLink,
			Args: access.Args{"count": strconv.Itoa(n), "max": strconv.Itoa(maxLink)}})
	}
	if !sent {
		asked.Warnings = append(asked.Warnings, b.tell(ctx, caller, notice)...)
	}
	return asked, nil
}

// reviewNotice asks people for a decision. Its link is there where none has to be made first.
func (b *Broker) reviewNotice(ctx context.Context, did access.Action, r access.Request, to []access.Principal, w access.Window,
	origin string) access.Notice {
	n := b.notice(did, r, to)
	n.To = addresses(to) // of every reviewer those whose turn it is
	n.Declined = b.later.denied(r, b.c.Now())
	n.Window, n.Roles, n.BaseURL = w, b.describe(ctx, r.Entitlements), origin+"/"
	if !b.forgets {
		n.ReviewURL = reviewURL(origin, r.ID, r)
	}
	return n
}

// maxLink is how long a link may be without a warning: some mail programs and chats
// cut longer ones. It still works in browsers, so the request is made all the same.
const maxLink = 2000

// reviewURL is the link form of JIT Access 1.x, or a short one where the ref is an id; to the
// administration page where the request is decided there.
func reviewURL(origin, ref string, r access.Request) string {
	if r.Terms.AtAdminPage() {
		origin += AdminPath
	}
	if _, err := access.ParseRequestID(ref); err == nil {
		return origin + "/review?activation=" + url.QueryEscape(ref)
	}
	link := origin + "/?activation=" + url.QueryEscape(ref)
	if id, ok := r.Resource.ProjectID(); ok {
		link += "&projectId=" + url.QueryEscape(id)
	}
	return link
}

// linkable is nil when links can be written.
func linkable(origin, host string) error {
	if origin != "" {
		return nil
	}
	return &access.Error{Kind: access.Unprocessable, Code: access.CodeNoPublicURL, Args: access.Args{"host": host}}
}

func invalid(field string, code access.Code, args access.Args) *access.Error {
	return &access.Error{Kind: access.Invalid, Code: code, Field: field, Args: args}
}
