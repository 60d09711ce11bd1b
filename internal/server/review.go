package server

import (
	"cmp"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/words"
)

// reviewView is a request, shown to whom it concerns.
type reviewView struct {
	Frame
	// View is the request as the broker shows it; what follows puts it into words.
	View     broker.View
	Warnings []string
	// Ref opens the request again.
	Ref, Heading, State, Tone string
	// Person is for whom it is, in words. Asking is what an application asks for; nil for what
	// people ask.
	Person        string
	Asking        *askingView
	Roles         []RoleView
	Duration      string
	Made, Expires *Moment
	// Begins and Ends are the window; Would is whether it is what approving now
	// would give, and Later that it would not begin at once.
	Begins, Ends *Moment
	Would, Later bool
	// Powerful: a role can change permissions, or may; approving always takes two steps.
	// Changes: one is known to. Confirm: this is the second step.
	Powerful, Changes, Confirm bool
	// Fixed: JIT Access 1.x made the request, whose window stays when it is approved.
	Fixed bool
	Asked []askedView
	// Rule is the rule that the request's terms come from, and Policy the beginning of the
	// digest of its file; empty for none. Needs are the approvals that they demand.
	Rule, Policy string
	Needs        []string
	// Unwritable is why something of it cannot be written.
	Unwritable, Comment string
	Pending, Active     bool
	// Approved: the viewer is among those whose approval stands in the grant.
	Approved bool
	WhyNot   *Problem
	// NoKey is why the viewer cannot sign, and Signing what they sign, to be confirmed; nil
	// otherwise.
	NoKey   *Problem
	Signing *ceremonyView
	// EndID ends it: that of the grant, where it bears another than the request.
	EndID string
	// Others are who was asked besides the viewer; Readers are they and the principal.
	Others, Readers string
	// Timeline is empty where nothing is remembered.
	Timeline timelineView
	// Voted: the viewer has approved it, and others are still needed.
	Voted bool
	// Lesser are the shorter lengths for which it may be approved, and Minutes is the one
	// that was chosen, to be confirmed; LesserText says it.
	Lesser              []preset
	Minutes, LesserText string
	// Extends is the address of the request that it goes on with.
	Extends string
	// Glass: it was taken without approval. Reviewed is who has looked at it since.
	Glass      bool
	Reviewed   access.Decision
	ReviewedAt *Moment
	// Message is what to write to somebody in a chat; empty where there is nothing to pass on.
	// Unanswered is what to know while nobody answers, and Works what there is once it is
	// granted, both for whom it is for; nil otherwise. Before is what the requester had before.
	Message    string
	Unanswered *unansweredView
	Works      *worksView
	Before     string
	// Denying: denying it was chosen. Apart: what one can do stands before what is only told.
	// Choosing: it may be approved for less than was asked.
	Denying, Apart, Choosing bool
	// EndOf is whose grant ends, where it is not the viewer's own.
	EndOf access.Principal
}

// askedView is somebody who was asked, and what they said.
type askedView struct {
	Address, Said, Comment string
	You                    bool
	// Keyless: they have not answered, and have no passkey yet with which they could approve.
	Keyless bool
	// Answered: what they said is not nothing.
	Answered bool
}

// tones are how states look.
var tones = map[access.State]string{access.Pending: "wait", access.Active: "good", access.Ended: "over", access.Expired: "over",
	access.Denied: "bad", access.Lapsed: "over", access.Approved: "wait", access.Failed: "bad",
	access.Withdrawn: "over", access.Scheduled: "wait"}

// review shows a request. It changes nothing, however often a mail scanner opens
// it.
func (s *server) review(r *http.Request, ref string) (page, error) {
	view, err := s.Broker.Show(r.Context(), callerOf(r), ref, s.origin(r))
	if err != nil {
		return page{}, err
	}
	return page{template: "review", status: http.StatusOK, data: s.viewRequest(r, ref, view)}, nil
}

// decide approves or denies. An approval that nobody has confirmed, by the page's script
// or in a second step, is asked for once more: a press of a button may have been meant
// for another page.
func (s *server) decide(r *http.Request, ref string) (page, error) {
	f, err := form(r)
	if err != nil {
		return page{}, err
	}
	if err := filledBy(r, f); err != nil {
		return s.decideAgain(r, ref, nil, err), nil
	}
	d := broker.Decide{Ref: ref, Verdict: access.Verdict(f.Get(access.FieldVerdict)), Digest: f.Get("digest"),
		Comment: strings.TrimSpace(f.Get(access.FieldComment)), Origin: s.origin(r)}
	if d.Duration, err = lesser(f.Get(access.FieldDuration)); err != nil {
		return s.decideAgain(r, ref, f, err), nil
	}
	if d.Signed, err = assertionIn(f.Get); err != nil {
		return s.decideAgain(r, ref, f, err), nil
	}
	if d.Verdict == access.Approve && f.Get("confirmed") == "" {
		return s.confirm(r, ref, d.Digest, d.Duration)
	}
	decided, err := s.Broker.Decide(r.Context(), callerOf(r), d)
	if err != nil {
		return s.decideAgain(r, ref, f, err), nil
	}
	return s.decided(r, ref, d.Verdict, decided), nil
}

// fieldBy is who the form of a decision was shown to. One that was kept over the end of a
// session, and is sent again by whoever is signed in then, decides nothing in their name.
const fieldBy = "by"

// filledBy is nil where the caller has filled the form in, or no page has.
func filledBy(r *http.Request, f url.Values) error {
	if by := f.Get(fieldBy); by != "" && by != string(callerOf(r).Principal) {
		return &access.Error{Kind: access.Conflict, Code: access.CodeOtherAccount}
	}
	return nil
}

const notForLess = "minutes is the number of minutes for which it is approved at most"

// lesser reads for how many minutes something is approved at most; empty is for as long
// as was asked. What is no number must not be taken for that.
func lesser(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return 0, badInput(notForLess, err)
	}
	return duration(n), nil
}

// confirm is the second step of an approval: all that the first showed, and the button.
func (s *server) confirm(r *http.Request, ref, digest string, atMost time.Duration) (page, error) {
	view, err := s.Broker.Show(r.Context(), callerOf(r), ref, s.origin(r))
	if err != nil {
		return page{}, err
	}
	v, err := s.viewRequest(r, ref, view), error(nil)
	switch {
	case view.IsPrincipal:
		err = view.Request.Involves(callerOf(r).Principal)
	case digest != "" && digest != view.Digest:
		err = &access.Error{Kind: access.Conflict, Code: access.CodeDigestMismatch}
	case !view.CanDecide && view.WhyNot != nil:
		err = view.WhyNot
	default:
		v.Confirm = view.CanDecide
		if atMost > 0 {
			v.Minutes, v.LesserText = minutesText(atMost), s.languageOf(r).Days(min(atMost, view.Request.Duration))
		}
		v.Choosing = false
		if v.Signing, err = s.signing(r, view, atMost); err != nil {
			break
		}
		v.Confirm = v.Confirm && v.NoKey == nil
		return page{template: "review", status: http.StatusOK, data: v}, nil
	}
	return s.decideAgain(r, ref, nil, err), nil
}

// decideAgain shows the request as it is now, with what is wrong.
func (s *server) decideAgain(r *http.Request, ref string, f url.Values, cause error) page {
	view, err := s.Broker.Show(r.Context(), callerOf(r), ref, s.origin(r))
	if err != nil {
		return s.errorPage(r, cause)
	}
	v := s.viewRequest(r, ref, view)
	status := s.blame(r, &v.Frame, cause, access.FieldComment)
	if !view.CanDecide {
		v.Problem.only()
	}
	v.Comment, v.Denying = f.Get(access.FieldComment), access.Verdict(f.Get(access.FieldVerdict)) == access.Deny
	return page{template: "review", status: status, data: v}
}

// decided redirects to the request's page, unless there is something to say that
// nobody remembers: a warning, or that it was declined without a ledger.
func (s *server) decided(r *http.Request, ref string, verdict access.Verdict, d broker.Decided) page {
	l := s.languageOf(r)
	roles := s.viewRoles(r, d.Request.Entitlements)
	well := s.withOutcomes(r, roles, d.Outcomes)
	declined := verdict == access.Deny && d.Forgets
	if well && !declined && len(notable(d.Warnings)) == 0 {
		return redirect(doorOf(r) + reviewPath(ref))
	}
	v := resultView{Frame: s.frame(r, "result.approved"), Tone: "good", Resource: d.Request.Resource, Roles: roles,
		For: string(d.Request.Principal), Warnings: s.viewWarnings(r, besides(notable(d.Warnings), d.Outcomes)),
		Link: doorOf(r) + reviewPath(ref), LinkText: l.Text("result.the-request")}
	switch {
	case declined:
		v.Title, v.Tone, v.Roles = l.Text("result.declined"), "over", nil
		v.Text = s.declined(l, d, callerOf(r).Principal)
	case verdict == access.Deny:
		v.Title, v.Tone, v.Roles = l.Text("result.denied"), "over", nil
	case d.State == access.Pending:
		v.Text = l.Text("result.approved-others")
	case len(d.Outcomes) == 0: // what is recorded, and written later
		v.Title, v.Tone = l.Text("result.waiting"), "wait"
	default:
		v.Delay = s.delay(l, "delay", d.Request.Resource)
		v.Until = s.moment(r, d.Window.End)
		if !well {
			v.Title, v.Tone = l.Text("result.approved-in-part"), "wait"
		}
	}
	return page{template: "result", status: http.StatusOK, data: v}
}

// declined says who was told of a declining, and who can still approve.
func (s *server) declined(l *words.Language, d broker.Decided, you access.Principal) string {
	principal, others := string(d.Request.Principal), othersAsked(d.Request, you)
	said := []string{l.Text("declined.you", "principal", principal)}
	switch {
	case s.tellsPeople(d.Request.Terms):
		told := slices.DeleteFunc(append([]string{principal}, others...), func(p string) bool {
			return slices.ContainsFunc(d.Warnings, func(w *access.Error) bool {
				return w.Code == access.CodeNotDelivered && w.Args["recipient"] == p
			})
		})
		if len(told) > 0 {
			said = append(said, l.Text("declined.mailed", "people", l.Some(told)))
		}
	case len(s.Broker.Channels()) == 0:
		said = append(said, l.Text("declined.silent", "principal", principal))
	case !slices.ContainsFunc(d.Warnings, func(w *access.Error) bool { return w.Code == access.CodeNotPublished }):
		said = append(said, l.Text("declined.published"))
	}
	if len(others) == 0 {
		said = append(said, l.Text("declined.alone"))
	} else {
		said = append(said, l.Text("declined.others", "people", l.Some(others)))
	}
	return strings.Join(said, " ")
}

// othersAsked are the reviewers besides the viewer.
func othersAsked(q access.Request, you access.Principal) []string {
	var others []string
	for _, p := range q.Reviewers {
		if p != you {
			others = append(others, string(p.Address()))
		}
	}
	return others
}

// end takes access back early. The form carries the resource, whose access it is where
// that is somebody else's, and where it stood on a request's page also the link to that,
// which shows what became of it. Otherwise the answer says so itself: no address does, as
// anybody could write one. Sending the form again changes nothing.
func (s *server) end(r *http.Request, id string) (page, error) {
	f, err := form(r)
	if err != nil {
		return page{}, err
	}
	on, err := s.parseResource(f.Get(access.FieldResource))
	if err != nil {
		return page{}, err
	}
	of, err := principal(f.Get(access.FieldPrincipal))
	if err != nil {
		return page{}, err
	}
	ended, err := s.Broker.End(r.Context(), callerOf(r), on, id, of)
	if err != nil {
		return page{}, err
	}
	l := s.languageOf(r)
	ids := access.Each(ended.Outcomes, func(o access.Outcome) access.EntitlementID { return o.Entitlement })
	v := resultView{Frame: s.frame(r, "result.ended"), Tone: "over",
		Delay: s.delay(l, "delay.end", on), Resource: on, Roles: s.viewRoles(r, ids),
		Warnings: s.viewWarnings(r, ended.Warnings), Link: accessPath(on, nil), LinkText: l.Text("result.your-access", "resource", on.Name())}
	if of != callerOf(r).Principal {
		v.For = string(of)
	}
	if doorOf(r) != "" {
		v.Link, v.LinkText = broker.AdminPath, l.Text("admin.title")
	}
	well := s.withOutcomes(r, v.Roles, ended.Outcomes)
	if !well {
		v.Title, v.Tone = l.Text("result.ended-in-part"), "wait"
	}
	if ref := f.Get("activation"); ref != "" {
		if v.Link, v.LinkText = doorOf(r)+reviewPath(ref), l.Text("result.the-request"); well && len(notable(ended.Warnings)) == 0 {
			return redirect(v.Link), nil
		}
	}
	return page{template: "result", status: http.StatusOK, data: v}, nil
}

// resultView tells what came of a form, where that cannot be read again.
type resultView struct {
	Frame
	Tone, Text string
	// For is whose access it is, when not the viewer's.
	For       string
	Resource  access.Resource
	Roles     []RoleView
	Until     *Moment
	Warnings  []string
	ReviewURL string
	// Works says by when what was granted works, as a rule; empty where that is not to be said.
	Works template.HTML
	// Delay reminds that the provider takes its time.
	Delay, Link, LinkText string
}

// fruitless are states in which no access came of a request: it has no window to show.
var fruitless = []access.State{access.Denied, access.Withdrawn, access.Lapsed, access.Failed}

func (s *server) viewRequest(r *http.Request, ref string, b broker.View) reviewView {
	q, l := b.Request, s.languageOf(r)
	v := reviewView{Frame: s.frame(r, "review.title"), View: b, Ref: ref,
		Duration: l.Hours(q.Duration), Made: s.moment(r, q.Created), Expires: s.moment(r, q.Expires), Fixed: !q.Fixed.IsZero(),
		Pending: b.State == access.Pending, Active: b.State == access.Active, EndID: q.ID,
		// Why the viewer cannot decide is said on its own.
		Warnings: s.viewWarnings(r, slices.DeleteFunc(slices.Clone(b.Warnings), func(w *access.Error) bool { return w == b.WhyNot }))}
	if v.Rule = b.Terms.Rule; v.Rule != "" {
		v.Policy = shortDigest(b.Terms.Policy)
	}
	v.Needs = needsOf(l, b)
	v.viewRemembered(s, r)
	v.Person, v.Asking = l.Person(q), s.viewAsking(r, q)
	for i, id := range q.Entitlements {
		var info access.RoleInfo
		if i < len(b.Roles) {
			info = b.Roles[i]
		}
		v.Roles = append(v.Roles, s.viewRole(r, id, info))
		v.Powerful = v.Powerful || info.ChangesPermissions != access.No
		v.Changes = v.Changes || info.ChangesPermissions == access.Yes
	}
	if b.Unwritable != nil {
		v.Unwritable = inFull(s.refusal(r, b.Unwritable, q.Resource))
	}
	if len(b.Activations) > 0 { // what 1.x made of the link bears no id, or what its reason ends with
		v.EndID = b.Activations[0].RequestID
	}
	if v.Fixed && q.Fixed.End.Before(q.Expires) {
		v.Expires = s.moment(r, q.Fixed.End)
	}
	v.State, v.Tone = l.Text("state."+string(b.State)), tones[b.State]
	you := callerOf(r).Principal
	v.Approved = v.Active && slices.ContainsFunc(b.Activations, func(a access.Activation) bool { return slices.Contains(a.Approvers, you) })
	if v.Approved {
		v.Title = l.Text("review.title-approved")
	}
	granted := b.State == access.Active || b.State == access.Ended || b.State == access.Expired
	switch {
	case b.IsPrincipal && granted:
		v.Heading = l.Text("review.own-access")
	case b.IsPrincipal && v.Asking == nil:
		v.Heading = l.Text("review.own-request")
	case granted:
		v.Heading = l.Text("review.access-of", "principal", v.Person)
	case v.Asking != nil && v.Pending:
		v.Heading = l.Text("asking.asks", "application", v.Asking.Application, "principal", v.Person)
	case v.Asking != nil:
		v.Heading = l.Text("asking.asked", "application", v.Asking.Application, "principal", v.Person)
	case v.Pending:
		v.Heading = l.Text("review.asks", "principal", v.Person)
	default:
		v.Heading = l.Text("review.request-of", "principal", v.Person)
	}
	if !b.Window.IsZero() && !slices.Contains(fruitless, b.State) {
		v.Begins, v.Ends = s.moment(r, b.Window.Start), s.moment(r, b.Window.End)
		v.Would, v.Later = v.Pending && !v.Fixed, b.Window.Start.After(s.Now())
	}
	if v.Active && v.Later {
		v.State, v.Tone = l.Text("state.later"), "wait"
	}
	// Who approved it is not told that it is already approved.
	if b.WhyNot != nil && (!v.Approved || b.WhyNot.Code != access.CodeAlreadyApproved) {
		v.WhyNot = &Problem{Refusal: s.refusal(r, b.WhyNot, q.Resource)}
		if statusOf(b.WhyNot) >= http.StatusInternalServerError {
			v.WhyNot, _ = s.problem(r, b.WhyNot)
		}
	}
	if b.NoKey != nil {
		v.NoKey = &Problem{Refusal: s.refusal(r, b.NoKey, q.Resource)}
	}
	v.Asked = whatTheySaid(l, b, you)
	others := othersAsked(q, you)
	v.Others, v.Readers = l.Some(others), v.readers(l, others)
	v.Before, v.Works, v.Unanswered = s.before(l, b), s.viewWorks(r, b), s.viewUnanswered(r, ref, b)
	v.Message = s.message(l, v)
	v.Apart = b.CanDecide || v.Unanswered != nil
	v.Choosing = b.CanDecide && len(v.Lesser) > 0 && !v.Voted && v.NoKey == nil
	return v
}

// readers are who can read a comment: who was asked, and whom it is for where that is known.
func (v *reviewView) readers(l *words.Language, others []string) string {
	if v.Asking != nil && v.Asking.Unlinked {
		return l.Some(others)
	}
	return l.Some(append([]string{v.Person}, others...))
}

// needsOf are the approvals that a request takes, and how many of each there are as far
// as that is known; none where there is little to say.
func needsOf(l *words.Language, b broker.View) []string {
	if b.Request.Kind == access.BreakGlass { // it took none of them
		return nil
	}
	said := needsInWords(l, b.Terms)
	if len(b.Tally.Filled) != len(b.Terms.Requirements) || b.Terms.Approvals() == 0 || b.Terms.Approvals() == 1 && b.Terms.Rule == "" {
		if b.Terms.Rule == "" {
			return nil
		}
		return said
	}
	at := 0
	for i, need := range b.Terms.Requirements {
		if need.Count > 0 {
			said[at] = l.Text("review.filled", "need", said[at], "filled", b.Tally.Filled[i], "count", need.Count)
			at++
		}
	}
	return said
}

// viewRemembered adds what is only known where requests are remembered.
func (v *reviewView) viewRemembered(s *server, r *http.Request) {
	b, you := v.View, callerOf(r).Principal
	v.Timeline = s.timeline(r, b.Request, b.State, b.Events)
	said := b.Request.DecisionOf(you)
	v.Voted = b.State == access.Pending && said != nil && said.Verdict == access.Approve
	if !b.Forgets && b.CanDecide && !v.Fixed {
		for _, m := range presetMinutes {
			if length := time.Duration(m) * time.Minute; length < b.Request.Approved() {
				v.Lesser = append(v.Lesser, preset{Minutes: m, Label: s.languageOf(r).Hours(length)})
			}
		}
	}
	if b.Request.Extends != "" {
		v.Extends = requestPath(b.Request.Extends)
	}
	v.Glass = b.Request.Kind == access.BreakGlass
	v.Reviewed, v.ReviewedAt = b.Request.Review, s.moment(r, b.Request.Review.At)
	if !b.IsPrincipal {
		v.EndOf = b.Request.Principal
	}
}

// mostAsked is how many of many people who were asked are shown at once.
const mostAsked = 8

// whatTheySaid pairs the people asked with their decisions, as far as the store or
// the grant itself remembers them.
func whatTheySaid(l *words.Language, b broker.View, you access.Principal) []askedView {
	var asked []askedView
	people := slices.Clone(b.Request.Reviewers)
	for _, d := range b.Declined { // perhaps by a link that asks more people than this one
		if !slices.Contains(people, d.By) {
			people = append(people, d.By)
		}
	}
	for _, p := range people {
		a := askedView{Address: string(p.Address()), Said: l.Text("review.said.nothing"), You: p == you}
		if b.State != access.Pending || b.Forgets {
			a.Said = ""
		}
		if slices.ContainsFunc(b.Activations, func(g access.Activation) bool { return slices.Contains(g.Approvers, p) }) {
			a.Said = l.Text("review.said.approve")
		}
		for _, d := range b.Declined {
			if d.By == p {
				a.Said, a.Comment = l.Text("review.said.decline"), d.Comment
			}
		}
		for _, d := range b.Request.Decisions {
			if d.By == p {
				a.Said, a.Comment = l.Text("review.said."+string(d.Verdict)), d.Comment
				if d.Verdict == access.Approve && d.Duration > 0 {
					a.Said = l.Text("review.said.approve-less", "length", l.Days(d.Duration))
				}
			}
		}
		unanswered := b.State == access.Pending && !slices.ContainsFunc(b.Request.Decisions, func(d access.Decision) bool { return d.By == p })
		a.Answered = a.Said != "" && a.Said != l.Text("review.said.nothing")
		a.Keyless = unanswered && slices.Contains(b.Keyless, p)
		asked = append(asked, a)
	}
	if len(asked) > mostAsked { // those who have answered, and the viewer, are not among the others
		slices.SortStableFunc(asked, func(a, b askedView) int { return cmp.Compare(b.first(), a.first()) })
	}
	return asked
}

// first is 1 for whoever is shown first where there are many.
func (a askedView) first() int {
	if a.You || a.Answered {
		return 1
	}
	return 0
}
