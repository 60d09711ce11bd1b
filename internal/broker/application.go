package broker

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"jitaccess/internal/access"
)

// AskFor is what an application asks for, as it sends it.
type AskFor struct {
	// Key is the application's own name of what it asks for: the same key is the same request,
	// for as long as it is remembered.
	Key string
	access.Sent
	// Origin and Host are as in Ask.
	Origin, Host string
}

// applications are those that ask for a resource; nil where people do.
func (b *Broker) applications(on access.Resource) Applications {
	apps, _ := b.kinds[on.Kind()].provider.(Applications)
	return apps
}

// byHand refuses a resource for which applications ask: to everybody else there is none.
func (b *Broker) byHand(on access.Resource) error {
	if b.applications(on) == nil {
		return nil
	}
	return &access.Error{Kind: access.NotFound, Code: access.CodeUnknownResource, Args: access.Args{"resource": string(on)}}
}

// askedBy is whether the caller is the application that made the request.
func askedBy(caller access.Caller, r access.Request) bool {
	return caller.Method == access.MethodApplication && caller.Application != "" && caller.Application == r.Asking.Application
}

// AskFor makes a request of an application for somebody: an ordinary one, which those are asked
// to decide whom its template names. The same key again has the same result and no further
// effect; with something else it is of kind Conflict. What is wrong in what was sent is of kind
// Invalid, and its Field says where.
func (b *Broker) AskFor(ctx context.Context, caller access.Caller, a AskFor) (Asked, error) {
	r := access.Request{ID: access.AskedID(a.Application, a.Key), Kind: access.Peers, Resource: access.Resource("apps/" + a.Application)}
	refused := func(err error) (Asked, error) {
		return Asked{Request: r}, b.refuse(ctx, caller, access.RequestMade, r, err)
	}
	if _, err := b.needsMemory(); err != nil {
		return refused(err)
	}
	apps := b.applications(r.Resource)
	if apps == nil || !askedBy(caller, access.Request{Asking: access.Asking{Application: a.Application}}) || a.Key == "" {
		return refused(&access.Error{Kind: access.NotFound, Code: access.CodeUnknownApplication, Args: access.Args{"application": a.Application}})
	}
	if made, err := b.askedBefore(ctx, a, r.ID); err != nil || made.ID != "" {
		if err != nil {
			return refused(err)
		}
		return b.asAsked(made, a.Origin), nil
	}
	err := b.renew(ctx)
	var terms access.Terms
	if err == nil {
		terms, err = b.completes(ctx, caller, apps, a, &r)
	}
	if err != nil {
		return refused(err)
	}
	asked, err := b.askReviewers(ctx, caller, r, terms, Ask{Origin: a.Origin, Host: a.Host})
	if e := access.AsError(err); e != nil && e.Kind == access.Conflict {
		if made, again := b.askedBefore(ctx, a, r.ID); again == nil && made.ID != "" { // at the same time
			return b.asAsked(made, a.Origin), nil
		}
	}
	if slices.Contains([]access.Code{access.CodeFewReviewers, access.CodeNobodyFor, access.CodeNobodyInGroup}, codeOf(err)) {
		err = noApprovers(a, err) // the application has chosen none of them
	}
	return asked, err
}

func noApprovers(a AskFor, cause error) error {
	return &access.Error{Kind: access.Unprocessable, Code: access.CodeNoApprovers, Err: cause,
		Args: access.Args{"application": a.Application, "template": a.Template}}
}

// askedBefore is the request that an application has made under the same key; zero where there
// is none.
func (b *Broker) askedBefore(ctx context.Context, a AskFor, id string) (access.Request, error) {
	made, err := b.open(ctx, id)
	switch {
	case codeOf(err) == access.CodeBadLink:
		return access.Request{}, nil
	case err != nil:
		return access.Request{}, err
	case made.Asking.Sent != a.Digest():
		return access.Request{}, &access.Error{Kind: access.Conflict, Code: access.CodeKeyReused}
	}
	made.State = made.StateAt(b.c.Now())
	return made, nil
}

func (b *Broker) asAsked(made access.Request, origin string) Asked {
	asked := Asked{Request: made, Ref: made.ID, Window: made.Window}
	if origin != "" {
		asked.ReviewURL = reviewURL(origin, made.ID, made)
	}
	return asked
}

// completes makes a request of what an application sends, with those who are asked, and returns
// its terms.
func (b *Broker) completes(ctx context.Context, caller access.Caller, apps Applications, a AskFor, r *access.Request) (
	access.Terms, error) {
	asking, unlinked, err := apps.Asking(ctx, a.Sent)
	if err != nil {
		return access.Terms{}, err
	}
	id := access.EntitlementID{Resource: r.Resource, Role: access.Role("roles/" + asking.Template)}
	r.Entitlements, r.Created = []access.EntitlementID{id}, b.c.Now().UTC().Truncate(time.Second)
	r.Justification = cmp.Or(strings.TrimSpace(a.Reason), asking.Title)
	template, err := apps.Terms(ctx, id)
	if err != nil {
		return access.Terms{}, err
	}
	if r.Principal, asking.Unlinked, err = b.linked(caller, asking, template, unlinked); err != nil {
		return access.Terms{}, err
	}
	r.Asking = asking
	terms, err := b.read(ctx, caller, r, Ask{Resource: r.Resource})
	if err != nil {
		return terms, err
	}
	switch {
	case a.Minutes == 0:
		r.Duration = terms.DefaultDuration
	case a.Minutes > 0 && a.Minutes <= int(terms.MaxDuration/time.Minute): // else it stays none, which is refused
		r.Duration = time.Duration(a.Minutes) * time.Minute
	}
	r.Terms = b.kept(terms)
	// Whoever its name in the application is, or becomes, is the person it is for.
	named := []access.Principal{r.Principal, access.Spelled(asking.Application, asking.Subject)}
	if p, err := access.ParsePrincipal(asking.Subject); err == nil {
		named = append(named, p)
	}
	slices.Sort(named)
	if named = slices.Compact(named); len(named) > 1 {
		r.Terms.People = append(b.peopleOf(named), named)
	} else {
		r.Terms.People = b.peopleOf(named)
	}
	if r.Reviewers = b.everybodyNamed(*r, terms); len(r.Reviewers) == 0 {
		return terms, noApprovers(a, nil)
	}
	r.Terms.People = append(r.Terms.People, b.peopleOf(r.Reviewers)...)
	return terms, nil
}

// linked is the person for whom an application asks: whoever the policy says bears that name
// there, or whose address it is. Of whom nobody knows who they are, it is a name that is
// nobody's, where the template allows that.
func (b *Broker) linked(caller access.Caller, a access.Asking, template access.Terms, unlinked bool) (access.Principal, bool, error) {
	spelled := access.Spelled(a.Application, a.Subject)
	for _, account := range b.accounts(spelled) {
		if !account.IsSpelled() {
			return account, false, nil
		}
	}
	if p, err := access.ParsePrincipal(a.Subject); err == nil && (p == caller.Principal || b.isOurs(p, template)) {
		return p, false, nil
	}
	if !unlinked {
		return "", false, &access.Error{Kind: access.NotAllowed, Code: access.CodeUnlinkedSubject,
			Args: access.Args{"application": a.Application, "subject": access.Clip(a.Subject, 100)}}
	}
	return spelled, true, nil
}

// isOurs is whether an address that an application sends is of somebody whom this deployment
// knows: one of several of a person, or of the domain of whoever is named that approves by the
// template, or administers or audits here. To every other one nothing is sent: an application must
// not be able to have strangers written to.
func (b *Broker) isOurs(p access.Principal, template access.Terms) bool {
	if p.IsSpelled() || len(b.accounts(p)) > 1 {
		return !p.IsSpelled()
	}
	named := slices.Concat(b.c.Admins, b.c.Auditors)
	for _, q := range template.Requirements {
		named = append(named, q.From...)
	}
	return slices.ContainsFunc(named, func(spelled string) bool {
		kind, address, _ := strings.Cut(spelled, ":")
		return (kind == "user" || kind == "group") && access.Principal(address).Domain() == p.Domain()
	})
}

// ForApplication returns a request to the application that made it, with its state of now. To
// every other one there is none of that id.
func (b *Broker) ForApplication(ctx context.Context, caller access.Caller, id string) (access.Request, error) {
	if _, err := b.needsMemory(); err != nil {
		return access.Request{}, err
	}
	none := &access.Error{Kind: access.NotFound, Code: access.CodeBadLink}
	if _, err := access.ParseRequestID(id); err != nil {
		return access.Request{}, none
	}
	r, err := b.openInTurn(ctx, id)
	if err == nil && !askedBy(caller, r) {
		err = none
	}
	if err != nil {
		return access.Request{}, err
	}
	r.State = r.StateAt(b.c.Now())
	return r, nil
}
