package broker

import (
	"context"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"jitaccess/internal/access"
)

// maxAhead is how far ahead access may be asked for: approvers decide on what they
// can foresee.
const maxAhead = 24 * time.Hour

// startGrace is how far in the past a requested start may lie and still mean "now":
// people read a form before they send it.
const startGrace = 5 * time.Minute

// Ask makes a request: an activation without others where the id begins with jit-
// (or there is neither id nor reviewer), a request to reviewers otherwise. Sending
// the same ask again with the same id has the same result and no further effect.
func (b *Broker) Ask(ctx context.Context, caller access.Caller, a Ask) (Asked, error) {
	r, err := b.read(caller, a)
	if err != nil {
		return Asked{}, b.refuse(ctx, caller, access.RequestMade, r, err)
	}
	return b.asked.do(ctx, r.Digest(), func() (Asked, error) {
		if strings.HasPrefix(r.ID, "jit-") {
			return b.selfApprove(ctx, caller, r)
		}
		return b.askReviewers(ctx, caller, r, a)
	})
}

// read turns what was typed into a request, or names the field that is wrong. What
// it returns with an error is as much of the request as was understood.
func (b *Broker) read(caller access.Caller, a Ask) (access.Request, error) {
	now := b.c.Now()
	r := access.Request{
		Principal:     caller.Principal,
		Resource:      a.Resource,
		Justification: strings.TrimSpace(a.Justification),
		Duration:      a.Duration,
		Created:       now.UTC().Truncate(time.Second),
	}
	r.Expires = r.Created.Add(b.Instance().RequestTimeout)

	r.Entitlements = slices.Clone(a.Entitlements)
	slices.SortFunc(r.Entitlements, access.CompareEntitlementIDs)
	r.Entitlements = slices.Compact(r.Entitlements)
	if len(r.Entitlements) == 0 {
		return r, invalid(FieldEntitlement, access.CodeNoEntitlement, nil)
	}
	for _, id := range r.Entitlements {
		if id.Resource != a.Resource {
			return r, invalid(FieldEntitlement, access.CodeOtherResource, access.Args{"entitlement": id.String(), "resource": string(a.Resource)})
		}
	}

	peer := len(a.Reviewers) > 0
	var err error
	if a.ID == "" {
		if r.ID, err = b.NewID(peer); err != nil {
			return r, &access.Error{Kind: access.Internal, Code: access.CodeInternal, Err: err}
		}
	} else if r.ID, err = access.ParseRequestID(a.ID); err != nil {
		return r, invalid(FieldID, access.CodeBadRequestID, nil)
	}
	if strings.HasPrefix(r.ID, "jit-") && peer {
		return r, invalid(FieldID, access.CodeBadRequestID, nil)
	}

	if r.Reviewers, err = readReviewers(caller, a.Reviewers); err != nil {
		return r, err
	}

	if err := b.checkJustification(r.Justification); err != nil {
		return r, err
	}

	// What nobody approves begins at once: it is there for who needs it now, and a
	// booked one would run without anybody looking at eligibility again.
	if strings.HasPrefix(r.ID, "jit-") && !a.Start.IsZero() {
		return r, invalid(FieldStart, access.CodeStartsAtOnce, nil)
	}
	// A start that has passed means "as soon as possible", like none.
	if a.Start.After(now) {
		r.Start = a.Start.UTC().Truncate(time.Second)
	}
	if !a.Start.IsZero() && a.Start.Before(now.Add(-startGrace)) {
		return r, badStart()
	}
	return r, nil
}

// fewEnough is whether one request may have so many entitlements.
func (b *Broker) fewEnough(ids []access.EntitlementID) error {
	if n, most := len(ids), b.Instance().MaxRoles; n > most {
		return invalid(FieldEntitlement, access.CodeTooManyRoles, access.Args{"count": strconv.Itoa(n), "max": strconv.Itoa(most)})
	}
	return nil
}

func badStart() *access.Error {
	return invalid(FieldStart, access.CodeBadStart, access.Args{"max": strconv.Itoa(int(maxAhead / time.Hour))})
}

func (b *Broker) checkJustification(text string) error {
	switch err := access.CheckJustification(text); err {
	case nil:
	case access.ErrJustificationEmpty:
		return invalid(FieldJustification, access.CodeNoJustification, access.Args{"hint": b.Instance().JustificationHint})
	case access.ErrJustificationLong:
		return invalid(FieldJustification, access.CodeLongJustification, access.Args{"max": strconv.Itoa(access.MaxJustification)})
	default:
		return invalid(FieldJustification, access.CodeUnsafeJustification, nil)
	}
	return b.c.Policy.CheckJustification(text)
}

// terms are the strictest of the request's entitlements. The error says how the
// request does not keep to them.
func (b *Broker) terms(r access.Request, self bool) (access.Terms, error) {
	t := b.termsOf(r, self)
	if err := b.fewEnough(r.Entitlements); err != nil {
		return t, err
	}
	if now := b.c.Now(); r.WindowAt(now).Start.After(now.Add(maxAhead)) {
		return t, badStart()
	}
	if r.Duration < time.Minute || r.Duration > t.MaxDuration || r.Duration%time.Minute != 0 {
		return t, invalid(FieldDuration, access.CodeBadDuration, access.Args{"max": strconv.Itoa(int(t.MaxDuration / time.Minute))})
	}
	if self {
		return t, nil
	}
	if least := max(t.MinReviewers, t.Approvals); len(r.Reviewers) < least {
		return t, invalid(FieldReviewer, access.CodeFewReviewers, access.Args{"min": strconv.Itoa(least)})
	}
	if len(r.Reviewers) > t.MaxReviewers {
		return t, invalid(FieldReviewer, access.CodeManyReviewers, access.Args{"max": strconv.Itoa(t.MaxReviewers)})
	}
	return t, nil
}

func (b *Broker) termsOf(r access.Request, self bool) access.Terms {
	var each []access.Terms
	for _, id := range r.Entitlements {
		each = append(each, b.c.Policy.Of(id, self))
	}
	return access.Strictest(each[0], each[1:]...)
}

// selfApprove activates at once.
func (b *Broker) selfApprove(ctx context.Context, caller access.Caller, r access.Request) (Asked, error) {
	refused := func(err error) (Asked, error) {
		return Asked{Request: r}, b.refuse(ctx, caller, access.SelfApproved, r, err)
	}
	begun := b.c.Now()
	terms, err := b.terms(r, true)
	if err != nil {
		return refused(err)
	}
	if terms.Approvals > 0 {
		return refused(&access.Error{Kind: access.NotAllowed, Code: access.CodeNeedsApproval, Field: FieldEntitlement,
			Args: access.Args{"role": string(r.Entitlements[0].Role)}})
	}
	q := access.StandingQuery{Resource: r.Resource, Principals: []access.Principal{caller.Principal}, Of: r.Entitlements}
	standing, err := b.standing(ctx, caller, q)
	if err != nil {
		return refused(err)
	}
	check := func(s access.Standing) error {
		if err := idIsFree(r, s); err != nil {
			return err
		}
		if state := stateOf(r, s.OfRequest(r), b.c.Now()); state == access.Ended || state == access.Expired {
			return &access.Error{Kind: access.Gone, Code: access.CodeAlreadyEnded}
		}
		for _, id := range r.Entitlements {
			held, _ := s.Holding(r.Principal, id)
			switch {
			case held.SelfApproval:
			case held.PeerApproval:
				return &access.Error{Kind: access.NotAllowed, Code: access.CodeNeedsApproval, Field: FieldEntitlement,
					Args: access.Args{"role": string(id.Role)}}
			default:
				return s.NotHeld(notEligible(id))
			}
		}
		return nil
	}
	if err := check(standing); err != nil {
		return refused(err)
	}

	ctx, cancel := detach(ctx)
	defer cancel()
	window := r.WindowAt(b.c.Now())
	event := b.event(caller, access.SelfApproved, r)
	event.Window = window
	if err := b.record(ctx, event); err != nil {
		return Asked{Request: r}, err
	}
	q.Since = begun
	outcomes, warnings, err := b.grant(ctx, caller, r, window, nil, q, check)
	asked := Asked{Request: r, Outcomes: outcomes, Window: granted(outcomes, window), Warnings: withNew(standing.Warnings, warnings)}
	if err != nil {
		return asked, err
	}
	if anyGranted(outcomes) {
		notice := b.notice(access.SelfApproved, r, nil)
		notice.Window = asked.Window
		asked.Warnings = append(asked.Warnings, b.tell(ctx, caller, notice)...)
	}
	return asked, nil
}

// askReviewers records the request and tells the reviewers.
func (b *Broker) askReviewers(ctx context.Context, caller access.Caller, r access.Request, a Ask) (Asked, error) {
	refused := func(err error) (Asked, error) {
		return Asked{Request: r}, b.refuse(ctx, caller, access.RequestMade, r, err)
	}
	if _, err := b.terms(r, false); err != nil {
		return refused(err)
	}
	if a.Origin == "" {
		return refused(&access.Error{Kind: access.Unprocessable, Code: access.CodeNoPublicURL, Args: access.Args{"host": a.Host}})
	}
	standing, err := b.standing(ctx, caller, access.StandingQuery{
		Resource: r.Resource, Principals: append([]access.Principal{r.Principal}, r.Reviewers...), Of: r.Entitlements,
	})
	if err != nil {
		return refused(err)
	}
	if err := idIsFree(r, standing); err != nil {
		return refused(err)
	}
	if err := mayAsk(r, r.Reviewers, standing); err != nil {
		return refused(err)
	}

	ctx, cancel := detach(ctx)
	defer cancel()
	asked, err := b.invite(ctx, caller, access.RequestMade, r, r.Reviewers, a.Origin)
	asked.Warnings = append(standing.Warnings, asked.Warnings...)
	return asked, err
}

// idIsFree refuses an id, which comes with the form, that stands for something else
// already: another person's grant, or one of other roles.
func idIsFree(r access.Request, standing access.Standing) error {
	for _, a := range standing.Activations {
		if a.RequestID == r.ID && (a.Principal != r.Principal || !slices.Contains(r.Entitlements, a.Entitlement)) {
			return &access.Error{Kind: access.Conflict, Code: access.CodeBadRequestID, Field: FieldID}
		}
	}
	return nil
}

// mayAsk is whether the requester may request every entitlement and all of
// reviewers may review it.
func mayAsk(r access.Request, reviewers []access.Principal, standing access.Standing) error {
	for _, id := range r.Entitlements {
		if held, _ := standing.Holding(r.Principal, id); !held.PeerApproval {
			return standing.NotHeld(notEligible(id))
		}
		for _, reviewer := range reviewers {
			if !standing.MayReview(reviewer, r.Principal, id) {
				return standing.NotHeld(&access.Error{Kind: access.NotAllowed, Code: access.CodeReviewerNotEligible, Field: FieldReviewer,
					Args: access.Args{"reviewer": string(reviewer), "role": string(id.Role), "resource": string(id.Resource)}})
			}
		}
	}
	return nil
}

// invite records what was done to the request, which makes the link that opens it
// as it is now, and sends that to whom it concerns. added are the reviewers who are
// new to it.
func (b *Broker) invite(ctx context.Context, caller access.Caller, did access.Action, r access.Request, added []access.Principal, origin string) (Asked, error) {
	event := b.event(caller, did, r)
	event.Window = r.WindowAt(b.c.Now())
	notice := b.notice(did, r, added)
	notice.Window, notice.Roles, notice.BaseURL = event.Window, b.describe(ctx, r.Entitlements), origin+"/"
	ref, err := b.c.Store.Append(ctx, r, []access.Event{event}, []access.Notice{notice})
	if err != nil {
		return Asked{Request: r}, b.refuse(ctx, caller, did, r, err)
	}
	if err := b.record(ctx, event); err != nil {
		return Asked{Request: r}, err
	}
	notice.ReviewURL = reviewURL(origin, ref, r.Resource)
	asked := Asked{Request: r, Ref: ref, ReviewURL: notice.ReviewURL}
	if n := len(asked.ReviewURL); n > maxLink {
		asked.Warnings = append(asked.Warnings, &access.Error{Kind: access.Invalid, Code: access.CodeLongLink,
			Args: access.Args{"count": strconv.Itoa(n), "max": strconv.Itoa(maxLink)}})
	}
	asked.Warnings = append(asked.Warnings, b.tell(ctx, caller, notice)...)
	return asked, nil
}

// maxLink is how long a link may be without a warning: some mail programs and chats
// cut longer ones. It still works in browsers, so the request is made all the same.
const maxLink = 2000

// reviewURL is the link form of JIT Access 1.x.
func reviewURL(origin, ref string, resource access.Resource) string {
	link := origin + "/?activation=" + url.QueryEscape(ref)
	if id, ok := resource.ProjectID(); ok {
		link += "&projectId=" + url.QueryEscape(id)
	}
	return link
}

func invalid(field string, code access.Code, args access.Args) *access.Error {
	return &access.Error{Kind: access.Invalid, Code: code, Field: field, Args: args}
}
