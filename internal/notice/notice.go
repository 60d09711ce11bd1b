// Package notice says what people are told: words and facts, without layout. Channels
// lay them out and deliver. It also has what channels have in common: all of them as
// one, and what administrators see of the account of one.
package notice

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/loopback"
	"jitaccess/internal/words"
)

// Facts is what people are told. Texts of others in it are harmless to look at, on one
// line, and of bounded length; channels still escape them for their own notation.
type Facts struct {
	// By is who did what it tells of, be it an application (access.OfApplication); empty where that
	// is not known.
	By access.Principal
	// Subject is the same for all that is told of one request, but for its end, and of one
	// passkey.
	Subject, Heading, Intro string
	// Brief says it in a line for whomever, where Intro speaks to those whom it is for, and
	// BriefHeading stands in place of Heading then. They have nothing that people wrote.
	Brief, BriefHeading string
	Rows                []Row
	// URL opens the request and Button says so; without a URL there is no button.
	Button, URL string
	Notes       []string
	// Home is the address of the start page; may be empty.
	Home string
}

// Row is one fact. Details stand under it, in smaller print.
type Row struct {
	Label, Value string
	Details      []string
}

// Writer puts notices into words. It does no I/O and has no clock.
type Writer struct {
	// Language is required.
	Language *words.Language
	// Location is the time zone of times; nil means UTC.
	Location *time.Location
	// Provider names the system of a resource; nil or an empty name is "the provider".
	Provider func(access.Resource) string
	// Immediate is whether what is written for a resource holds at once; nil is: of none.
	Immediate func(access.Resource) bool
	// Reasonless leaves out what people wrote, what an application sent, and what a mail says:
	// reasons, comments, titles, names of passkeys, who a subject is.
	Reasonless bool
}

// Write puts a notice into words. It refuses what must reach neither a header nor a
// link, and a kind of notice that is for an application alone.
func (w Writer) Write(n access.Notice) (Facts, error) {
	switch {
	case n.Kind == TestMessage:
		return Facts{BriefHeading: w.text("notice.chat.test"), Brief: w.text("notice.chat.test.text")}, nil
	case n.Kind.OfPasskey():
		return w.passkey(n)
	case n.Kind.OfApplication():
		return w.change(n)
	case n.Kind == access.NoticeReconciled:
		return w.reconciled(n)
	}
	if err := check(n); err != nil {
		return Facts{}, err
	}
	r := n.Request
	facts := Facts{By: r.Principal, URL: n.ReviewURL, Home: n.BaseURL,
		Subject: w.text("notice.subject", "principal", r.Principal, "kind", w.kind(r.Resource), "name", r.Resource.Name())}
	switch a := r.Asking; { // of which nothing that was sent gets into a header
	case a.Unlinked:
		facts.By = access.OfApplication(a.Application)
		facts.Subject = w.text("notice.asking.subject-unlinked", "application", a.Application, "template", a.Template)
	case !a.IsZero():
		facts.By = access.OfApplication(a.Application)
		facts.Subject = w.text("notice.asking.subject-line", "application", a.Application, "template", a.Template, "principal", r.Principal)
	}
	switch n.Kind {
	case access.NoticeReview:
		w.review(&facts, n)
	case access.NoticeApproved, access.NoticeDenied:
		facts.By = n.Decision.By
		w.outcome(&facts, n)
	case access.NoticeWithdrawn:
		facts.Heading, facts.Button = w.text("notice.withdrawn"), w.text("notice.button")
		facts.Intro = w.said(r, "notice.withdrawn.intro", "notice.asking.withdrawn.intro")
		facts.Rows = slices.Concat(w.who(n), w.why(r))
	case access.NoticeEnded:
		facts.By = cmp.Or(n.By, facts.By)
		w.ended(&facts, n)
	case access.NoticeBounced:
		w.bounced(&facts, n)
	case access.NoticeGlass, access.NoticeGlassReviewed:
		facts.Subject = w.text("notice.glass.subject", "principal", r.Principal, "kind", w.kind(r.Resource), "name", r.Resource.Name())
		w.glass(&facts, n)
	case access.NoticeReminder:
		w.review(&facts, n)
		facts.Heading = w.text("notice.reminder")
		facts.Intro = w.said(r, "notice.reminder.intro", "notice.asking.reminder.intro", "made", w.instant(r.Created))
	case access.NoticeEscalated:
		w.review(&facts, n)
		facts.Heading, facts.Button = w.text("notice.escalated"), ""
		facts.Intro = w.said(r, "notice.escalated.intro", "notice.asking.escalated.intro", "made", w.instant(r.Created))
		facts.Notes = []string{w.text("notice.escalated.note")}
	case access.NoticeEnding:
		facts.Heading, facts.Button = w.text("notice.ending"), w.text("notice.ending.button")
		facts.Subject = w.text("notice.ending.subject", "kind", w.kind(r.Resource), "name", r.Resource.Name())
		facts.Intro = w.text("notice.ending.intro", "resource", w.resource(r.Resource), "end", w.instant(n.Window.End))
		facts.Notes = []string{w.text("notice.ending.note")}
		facts.Rows = slices.Concat(w.who(n), w.stands(n.Window, w.text("notice.length", "length", w.length(n.Window.Length()))), w.why(r))
	case access.NoticeSelfApproved:
		facts.Heading, facts.Button = w.text("notice.self-approved"), w.text("notice.button")
		facts.Intro = w.text("notice.self-approved.intro", "principal", w.person(r), "resource", w.resource(r.Resource))
		facts.Rows = slices.Concat(w.who(n), w.stands(n.Window, w.text("notice.length", "length", w.length(n.Window.Length()))), w.reason(r))
	case access.NoticeHappened:
		w.happened(&facts, n)
	default:
		return Facts{}, fmt.Errorf("nobody is told a notice of kind %q", n.Kind)
	}
	facts.Brief, facts.BriefHeading = w.brief(facts, n), facts.Heading
	if n.Kind == access.NoticeReminder {
		facts.BriefHeading = w.text("notice.escalated")
	}
	return facts, nil
}

// check refuses what must reach neither a header nor a link.
func check(n access.Notice) error {
	if _, err := access.ParseRequestID(n.Request.ID); err != nil {
		return err
	}
	if p, err := access.ParsePrincipal(string(n.Request.Principal)); err != nil || p != n.Request.Principal {
		return errors.New("the principal is not canonical")
	}
	if _, err := access.ParseResource(string(n.Request.Resource)); err != nil {
		return err
	}
	return errors.Join(checkLink(n.ReviewURL), checkLink(n.BaseURL))
}

// checkLink admits https, and http on loopback for the sandbox.
func checkLink(link string) error {
	if link == "" {
		return nil
	}
	u, err := url.Parse(link)
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && (u.Scheme != "http" || !loopback.Is(u.Hostname())) {
		return errors.New("a link is not an https address")
	}
	return nil
}

func (w Writer) text(key string, args ...any) string { return w.Language.Text(key, args...) }

func (w Writer) provider(on access.Resource) string {
	if w.Provider == nil {
		return ""
	}
	return w.Provider(on)
}

func (w Writer) instant(t time.Time) string {
	return w.Language.Instant(t.In(cmp.Or(w.Location, time.UTC)))
}

func (w Writer) kind(r access.Resource) string { return w.Language.TextOr("kind."+r.Kind(), r.Kind()) }

func (w Writer) resource(r access.Resource) string {
	return w.text("notice.resource", "kind", w.kind(r), "name", r.Name())
}

func (w Writer) review(facts *Facts, n access.Notice) {
	r := n.Request
	facts.Heading = w.text("notice.review")
	facts.Intro = w.said(r, "notice.review.intro", "notice.asking.review.intro")
	facts.Button = w.text("notice.review.button")
	facts.Notes = []string{w.text("notice.review.note")}
	for _, p := range r.ApprovedBy() {
		facts.Rows = append(facts.Rows, w.row("notice.approved-by", string(p)))
	}
	for _, d := range n.Declined {
		facts.Rows = slices.Concat(facts.Rows, []Row{w.row("notice.declined-by", string(d.By))}, w.wrote("notice.because", d.Comment))
	}
	facts.Rows = slices.Concat(facts.Rows, w.who(n), w.duration(n))
	if !r.Expires.IsZero() {
		until := "notice.link-until"
		if n.Kind == access.NoticeEscalated { // it has no link
			until = "notice.decidable-until"
		}
		facts.Rows = append(facts.Rows, w.row(until, w.instant(r.Expires)))
	}
	facts.Rows = slices.Concat(facts.Rows, w.why(r), w.rule(r))
}

// glass tells of a broken glass, and of what was said of it afterwards.
func (w Writer) glass(facts *Facts, n access.Notice) {
	r, d := n.Request, n.Decision
	on := w.resource(r.Resource)
	if n.Kind == access.NoticeGlass {
		facts.Heading, facts.Button = w.text("notice.glass"), w.text("notice.glass.button")
		facts.Intro = w.text("notice.glass.intro", "principal", r.Principal, "resource", on)
		facts.Notes = []string{w.text("notice.glass.note")}
	} else {
		facts.By, facts.Heading, facts.Button = d.By, w.text("notice.glass-reviewed"), w.text("notice.button")
		facts.Intro = w.text("notice.glass-reviewed.intro", "by", d.By, "principal", r.Principal, "resource", on)
		facts.Rows = append([]Row{w.row("notice.reviewed-by", string(d.By))}, w.wrote("notice.comment", d.Comment)...)
	}
	facts.Rows = slices.Concat(facts.Rows, w.who(n), []Row{w.row("notice.from", w.instant(n.Window.Start)),
		w.row("notice.until", w.instant(n.Window.End), w.text("notice.length", "length", w.length(n.Window.Length())))},
		w.reason(r), w.rule(r))
}

// duration says for how long access would last, before anybody has approved it.
func (w Writer) duration(n access.Notice) []Row {
	r := n.Request
	if !r.Fixed.IsZero() {
		return []Row{w.row("notice.for", w.length(r.Fixed.Length()), w.text("notice.fixed")),
			w.row("notice.from", w.instant(r.Fixed.Start)), w.row("notice.until", w.instant(r.Fixed.End))}
	}
	label, begins := "notice.if-at-once", w.text("notice.begins")
	if !r.Start.IsZero() {
		label, begins = "notice.if-before", w.text("notice.begins-later", "begin", w.instant(r.Start))
	}
	rows := []Row{w.row("notice.for", w.length(r.Duration), begins)}
	if !n.Window.IsZero() {
		window := w.text("notice.window", "begin", w.instant(n.Window.Start), "end", w.instant(n.Window.End))
		rows = append(rows, w.row(label, window))
	}
	return rows
}

// row is a fact whose label is a message.
func (w Writer) row(label, value string, details ...string) Row {
	return Row{Label: w.text(label), Value: value, Details: details}
}

// length rounds to minutes: windows of others may have seconds.
func (w Writer) length(d time.Duration) string { return w.Language.Days(d.Round(time.Minute)) }

func (w Writer) outcome(facts *Facts, n access.Notice) {
	r, d := n.Request, n.Decision
	approved := n.Kind == access.NoticeApproved
	facts.Button = w.text("notice.button")
	var decided string
	switch {
	case approved:
		facts.Heading, decided = w.text("notice.approved"), "notice.approved-by"
		facts.Intro = w.said(r, "notice.approved.intro", "notice.asking.approved.intro", "by", d.By)
		provider := w.Language.Provider(&access.Error{}, w.provider(r.Resource))
		if refused := w.notGranted(n); refused != nil {
			facts.Heading = w.text("notice.approved-in-part")
			facts.Rows = append(facts.Rows, w.row("notice.not-granted", w.text("notice.not-granted.value", "provider", provider), refused...))
		}
		facts.Notes = []string{strings.TrimSpace(w.delay(r.Resource) + " " + w.text("notice.approved.note"))}
	case n.Final:
		facts.Heading, decided = w.text("notice.denied"), "notice.denied-by"
		facts.Intro = w.said(r, "notice.denied.intro", "notice.asking.denied.intro", "by", d.By)
	default:
		facts.Heading, decided = w.text("notice.declined"), "notice.declined-by"
		facts.Intro = w.said(r, "notice.declined.intro", "notice.asking.denied.intro", "by", d.By)
		if len(r.Reviewers) > 1 {
			facts.Intro += " " + w.text("notice.declined.others")
		}
	}
	facts.Rows = append(facts.Rows, w.row(decided, string(d.By)))
	if d.Comment != "" {
		// The reason is the requester's; of a denial the comment is why.
		label := "notice.because"
		if approved {
			label = "notice.comment"
		}
		facts.Rows = append(facts.Rows, w.wrote(label, d.Comment)...)
	}
	facts.Rows = append(facts.Rows, w.who(n)...)
	if approved {
		length := w.text("notice.length", "length", w.length(n.Window.Length()))
		if less := r.Approved(d); less < r.Duration {
			length = w.text("notice.shortened", "length", w.length(less), "asked", w.length(r.Duration))
		}
		facts.Rows = append(facts.Rows, w.stands(n.Window, length)...)
	} else {
		facts.Rows = append(facts.Rows, w.row("notice.for", w.length(r.Duration)))
	}
	facts.Rows = slices.Concat(facts.Rows, w.why(r), w.rule(r))
}

// stands is the window of a grant, and how long it is.
func (w Writer) stands(granted access.Window, length string) []Row {
	return []Row{w.row("notice.from", w.instant(granted.Start)), w.row("notice.until", w.instant(granted.End), length)}
}

// bounced tells what a mail says of another one. Of what was sent nothing else is in it.
func (w Writer) bounced(facts *Facts, n access.Notice) {
	r, b := n.Request, n.Bounce
	if w.Reasonless { // anybody may have written it
		b = access.Bounce{}
	}
	to := cmp.Or(plain(string(b.To), maxUserText), w.text("notice.bounced.somebody"))
	facts.By = "" // who wrote it is not known, and it is on nobody's account
	facts.Heading, facts.Button = w.text("notice.bounced"), w.text("notice.button")
	if r.Asking.IsZero() {
		facts.Intro = w.text("notice.bounced.intro", "principal", r.Principal, "resource", w.resource(r.Resource), "to", to)
	} else {
		facts.Intro = w.text("notice.bounced.asking.intro", "application", r.Asking.Application, "to", to)
	}
	facts.Rows = []Row{w.row("notice.bounced.to", to)}
	if said := strings.TrimSpace(b.Status + " " + b.Text); said != "" {
		facts.Rows = append(facts.Rows, w.row("notice.bounced.said", plain(said, maxUserText)))
	}
	if b.Meaning != "" {
		facts.Rows = append(facts.Rows, w.row("notice.bounced.means", b.Meaning), w.row("notice.bounced.remedy", b.Remedy))
	}
	facts.Rows = slices.Concat(facts.Rows, w.who(n), w.why(r))
	facts.Notes = []string{w.text("notice.bounced.note")}
}

// ended tells of an end by somebody else than the holder.
func (w Writer) ended(facts *Facts, n access.Notice) {
	r := n.Request
	facts.Heading, facts.Button = w.text("notice.ended"), w.text("notice.button")
	facts.Intro = w.said(r, "notice.ended.intro", "notice.asking.ended.intro", "by", n.By)
	facts.Rows = append([]Row{w.row("notice.ended-by", cmp.Or(string(n.By), r.Asking.Application))}, w.who(n)...)
	if n.By == "" && r.Asking.IsZero() {
		facts.Intro, facts.Rows = w.said(r, "notice.ended.unknown", "notice.asking.ended.intro"), w.who(n)
	}
	if !n.Window.IsZero() {
		facts.Rows = append(facts.Rows, w.row("notice.was-until", w.instant(n.Window.End)))
	}
	facts.Rows = append(facts.Rows, w.reason(r)...)
	if delay := w.delay(r.Resource); delay != "" {
		facts.Notes = []string{delay}
	}
}

// delay is how long what was written takes to hold; empty where it holds at once.
func (w Writer) delay(on access.Resource) string {
	if w.Immediate != nil && w.Immediate(on) {
		return ""
	}
	return w.text("notice.delay", "provider", w.Language.Provider(&access.Error{}, w.provider(on)))
}

// rule is which rule of which policy the terms come from; nothing where none decided, or
// the request does not say.
func (w Writer) rule(r access.Request) []Row {
	if r.Terms.Rule == "" {
		return nil
	}
	digests := strings.Split(r.Terms.Policy, ", ")
	for i, d := range digests {
		digests[i] = d[:min(len(d), 12)]
	}
	return []Row{w.row("notice.rule", plain(r.Terms.Rule, maxUserText), w.text("notice.policy", "digest", strings.Join(digests, ", ")))}
}

func (w Writer) notGranted(n access.Notice) []string {
	var lines []string
	for _, o := range n.Outcomes {
		if o.Result == access.Refused {
			lines = append(lines, w.Language.Refused(o, w.provider(n.Request.Resource)))
		}
	}
	return lines
}

// who is what a request is for: whom, where, what.
func (w Writer) who(n access.Notice) []Row {
	if !n.Request.Asking.IsZero() {
		return w.asking(n)
	}
	rows := []Row{w.row("notice.who", string(n.Request.Principal)),
		{Label: w.Language.TextOr("notice.kind."+n.Request.Resource.Kind(), n.Request.Resource.Kind()), Value: n.Request.Resource.Name()}}
	for i, e := range n.Request.Entitlements {
		var info access.RoleInfo
		if i < len(n.Roles) {
			info = n.Roles[i]
		}
		rows = append(rows, w.role(e, info))
	}
	return rows
}

func (w Writer) role(e access.EntitlementID, info access.RoleInfo) Row {
	r := w.row("notice.role", string(e.Role))
	if info.Title != "" {
		r.Value = plain(info.Title, maxTitle)
		r.Details = append(r.Details, string(e.Role))
	}
	if info.Description != "" {
		r.Details = append(r.Details, plain(info.Description, maxUserText))
	}
	r.Details = append(r.Details, w.alike(info.Title, info.Description)...)
	switch info.ChangesPermissions {
	case access.Yes:
		r.Details = append(r.Details, w.text("notice.role.changes-permissions"))
	case access.Unknown:
		r.Details = append(r.Details, w.text("notice.role.may-change-permissions"))
	}
	if e.Condition != "" {
		r.Details = append(r.Details, w.text("notice.role.only-where", "condition", plain(e.Condition, maxCondition)))
	}
	return r
}

// why is who was asked, if anybody was, and the reason that they were given.
func (w Writer) why(r access.Request) []Row {
	var rows []Row
	if len(r.Reviewers) > 0 {
		var asked []string
		for _, p := range r.Reviewers {
			asked = append(asked, string(p.Address()))
		}
		rows = append(rows, w.row("notice.asked", w.Language.Series(asked)))
	}
	return append(rows, w.reason(r)...)
}

// person is whom a request is for.
func (w Writer) person(r access.Request) string {
	if w.Reasonless && r.Asking.Unlinked {
		return w.text("notice.asking.somebody", "application", r.Asking.Application)
	}
	return w.Language.Person(r)
}

// reason is left out where it is the title, which stands above it.
func (w Writer) reason(r access.Request) []Row {
	if r.Justification == r.Asking.Title {
		return nil
	}
	return w.wrote("notice.reason", r.Justification)
}

// wrote is what somebody wrote, in a row.
func (w Writer) wrote(label, text string) []Row {
	if w.Reasonless {
		return nil
	}
	return []Row{w.row(label, plain(text, maxUserText), w.alike(text)...)}
}

// alike warns of words that are not what they look like; nothing where there are none.
func (w Writer) alike(texts ...string) []string {
	var warnings []string
	for _, text := range texts {
		if warning := w.Language.LookAlike(text); warning != "" {
			warnings = append(warnings, warning)
		}
	}
	return warnings
}

// The longest texts of others that a notice shows, in characters. They leave room for
// everything that the product itself lets through, so that nothing pushes the rest
// off the screen.
const (
	maxTitle     = 200
	maxUserText  = 500
	maxCondition = 2000
)

// plain makes the text of others harmless to look at: on one line, every invisible
// or direction-changing character spelled out, at most max characters, and isolated from what
// stands around it.
func plain(s string, max int) string {
	characters := []rune(strings.ToValidUTF8(s, "\uFFFD"))
	if len(characters) > max {
		characters = append(characters[:max], '…')
	}
	return access.Isolated(strings.TrimSpace(access.Visible(string(characters))))
}
