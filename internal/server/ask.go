package server

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
)

// askView is the form for the chosen roles.
type askView struct {
	Frame
	Resource access.Resource
	// Action is where the form is sent.
	Action string
	// Extends is the address of the request whose grant this one goes on with, and
	// ExtendsEnd when that ends; empty for all others.
	Extends    string
	ExtendsEnd *Moment
	// Glass is nil where the glass is not to be broken.
	Glass    *glassView
	Warnings []string
	// Filled says what the address has filled in, and what not; empty where it has nothing.
	Filled []string
	// ID is the number of the form, so that sending it twice is one request.
	ID    string
	Roles []RoleView
	// Peer: others must approve.
	Peer  bool
	Terms access.Terms
	// Needs are the approvals that it takes, in words, where they are others than of some
	// of those who are listed. Least is how few people can be asked.
	Needs []string
	Least int
	// Patterns are what is looked for in the reason.
	Patterns []patternView
	// Ahead is how far ahead it may begin.
	Ahead     string
	Reviewers []choice
	// Typing: there are more people who may approve than a list can show; Typed is what was
	// typed of them.
	Typing bool
	// Unasked: whoever administers decides, and nobody is asked by name.
	Unasked          bool
	Typed            string
	Justification    string
	MaxJustification int
	Presets          []preset
	// Minutes is the number as typed.
	Minutes    string
	MaxMinutes int
	Longest    string
	Start      string
	// Timeout is how long reviewers have.
	Timeout string
}

// choice is somebody who may be asked: Value is what is sent, Address what is read.
type choice struct {
	Value, Address string
	// Initials stand where others would show a picture.
	Initials string
	Group    bool
	Checked  bool
	// Keyless: approvals are signed, and they have no passkey for it yet.
	Keyless bool
}

// choiceOf is somebody who can be asked; keyless are those who could not sign yet.
func choiceOf(p access.Principal, checked bool, keyless []access.Principal) choice {
	_, group := p.Group()
	return choice{string(p), string(p.Address()), initials(p), group, checked, slices.Contains(keyless, p)}
}

// initials are the first letters of the first and the last part of what stands before the @ of
// an address, which is ASCII.
func initials(p access.Principal) string {
	local, _, _ := strings.Cut(string(p.Address()), "@")
	parts := strings.FieldsFunc(local, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '\'' })
	switch len(parts) {
	case 0:
		return "?"
	case 1:
		return strings.ToUpper(parts[0][:1])
	}
	return strings.ToUpper(parts[0][:1] + parts[len(parts)-1][:1])
}

type preset struct {
	Minutes int
	Label   string
	Checked bool
}

// presetMinutes are the usual lengths, offered as far as the terms allow.
var presetMinutes = []int{15, 30, 60, 120, 240, 480}

// askForm makes an empty form for the roles. When it is the choice that is wrong,
// it returns what else can be chosen.
func (s *server) askForm(r *http.Request, on access.Resource, texts []string) (v askView, again *broker.Offer, err error) {
	var c broker.Choice
	ids, err := s.entitlementIDs(r, on, texts)
	if err == nil {
		c, err = s.Broker.Choose(r.Context(), callerOf(r), on, ids...)
	} else if offer, failure := s.Broker.Offer(r.Context(), callerOf(r), on); failure == nil {
		c.Offer = offer
	}
	if err != nil && c.Offer.Resource != "" {
		return askView{}, &c.Offer, err
	}
	if err != nil {
		return askView{}, nil, err
	}
	return s.viewChoice(r, on, c), nil, nil
}

// viewChoice is an empty form for what was chosen.
func (s *server) viewChoice(r *http.Request, on access.Resource, c broker.Choice) askView {
	v := s.blankForm(r, on, c.Kind, c.Terms)
	v.ID, v.Glass = c.Form, s.glassOf(r, c)
	v.Warnings = s.viewWarnings(r, c.Warnings)
	v.Roles = access.Each(c.Roles, func(o broker.OfferedRole) RoleView { return s.viewOffered(r, o) })
	for i, p := range c.Reviewers {
		v.Reviewers = append(v.Reviewers, choiceOf(p, i < c.Terms.MaxReviewers, c.Keyless))
	}
	v.Typing = c.Typed
	return v
}

// blankForm is a form without roles and reviewers.
func (s *server) blankForm(r *http.Request, on access.Resource, kind access.RequestKind, terms access.Terms) askView {
	l := s.languageOf(r)
	v := askView{Frame: s.frame(r, "ask.title"), Resource: on, Action: accessPath(on, nil), Peer: kind == access.Peers, Terms: terms,
		MaxJustification: access.MaxJustification, MaxMinutes: int(terms.MaxDuration / time.Minute),
		Longest: l.Hours(terms.MaxDuration), Timeout: l.Hours(terms.RequestLife),
		Least: max(terms.MinReviewers, terms.Asked()), Patterns: viewPatterns(terms), Ahead: l.Days(terms.StartWithin)}
	v.Needs, v.Unasked = unlikeListed(l, terms), v.Peer && terms.Asked() == 0
	if !v.Peer {
		v.Title = l.Text("ask.title-alone")
	}
	v.Presets = access.Each(presetsOf(terms), func(m int) preset { return preset{m, l.Hours(time.Duration(m) * time.Minute), false} })
	v.setMinutes(minutesText(terms.DefaultDuration))
	return v
}

func minutesText(d time.Duration) string { return strconv.Itoa(int(d / time.Minute)) }

// setMinutes checks the preset that fits, or fills the number.
func (v *askView) setMinutes(text string) {
	v.Minutes = text
	for i, p := range v.Presets {
		if v.Presets[i].Checked = strconv.Itoa(p.Minutes) == text; v.Presets[i].Checked {
			v.Minutes = ""
		}
	}
}

// fill puts back what was typed.
func (v *askView) fill(f url.Values) {
	if v.Glass != nil && f.Has(fieldGlass) {
		v.Glass.Justification, v.Glass.Minutes = f.Get(access.FieldJustification), f.Get(access.FieldDuration)
		return
	}
	v.Justification = f.Get(access.FieldJustification)
	v.Start = f.Get(access.FieldStart)
	for _, m := range f[access.FieldDuration] {
		if m != "" {
			v.setMinutes(m)
		}
	}
	check(v.Reviewers, f)
	v.Typed = f.Get(fieldTyped)
}

// check marks who was chosen in a form that was sent.
func check(choices []choice, f url.Values) {
	for i, c := range choices {
		choices[i].Checked = slices.Contains(f[access.FieldReviewer], c.Value)
	}
}

// fieldTyped has the addresses of reviewers of whom there is no list.
const fieldTyped = "reviewers"

// reviewers are who was chosen, and who was typed.
func reviewers(f url.Values) []string {
	typed := strings.FieldsFunc(f.Get(fieldTyped), func(r rune) bool { return r == ',' || r == ';' || unicode.IsSpace(r) })
	return append(slices.Clone(f[access.FieldReviewer]), typed...)
}

// blame shows what is wrong.
func (v *askView) blame(p *Problem) {
	p.only(access.FieldEntitlement, access.FieldJustification, access.FieldDuration, access.FieldStart, access.FieldReviewer)
	if p.Field == access.FieldReviewer && !v.Peer {
		p.only()
	}
	v.Problem = p
}

// fieldGlass marks the form with which the glass is broken.
const fieldGlass = "glass"

// blameGlass shows what is wrong with the form with which the glass is broken.
func (v *askView) blameGlass(p *Problem) {
	p.only(access.FieldJustification, access.FieldDuration)
	if p.Field != "" {
		p.Field = fieldGlass + "-" + p.Field
	}
	v.Problem = p
}

// ask makes a request. What can be read again is redirected to, so that reloading
// sends nothing twice; what nobody remembers, such as a mail that could not be
// delivered, is the answer itself. The id of the form makes sending it again safe.
func (s *server) ask(r *http.Request, on access.Resource) (page, error) {
	f, err := form(r)
	if err != nil {
		return page{}, err
	}
	asked, err := s.submit(r, on, f)
	if err != nil {
		return s.askAgain(r, on, f, err), nil
	}
	return s.asked(r, on, asked), nil
}

// asked says what became of a request that was made.
func (s *server) asked(r *http.Request, on access.Resource, asked broker.Asked) page {
	roles := s.viewRoles(r, asked.Request.Entitlements)
	well := s.withOutcomes(r, roles, asked.Outcomes)
	peer := asked.Ref != ""
	if well && len(notable(asked.Warnings)) == 0 {
		switch {
		case peer:
			return redirect(reviewPath(asked.Ref))
		case s.remembers && (asked.Request.Kind == access.BreakGlass || asked.Request.Extends != ""):
			return redirect(requestPath(asked.Request.ID))
		}
		return redirect(accessPath(on, url.Values{"done": {asked.Request.ID}}))
	}
	l := s.languageOf(r)
	v := resultView{Frame: s.frame(r, "result.granted"), Tone: "good", Resource: on, Roles: roles,
		Warnings: s.viewWarnings(r, besides(asked.Warnings, asked.Outcomes)), Delay: s.delay(l, "delay", on),
		Link: accessPath(on, nil), LinkText: l.Text("result.your-access", "resource", on.Name())}
	if peer {
		v.Title, v.Delay = l.Text("result.sent"), ""
		v.Text = l.Text("result.sent.timeout", "timeout", l.Hours(asked.Request.Expires.Sub(asked.Request.Created)))
		v.Link, v.LinkText, v.ReviewURL = reviewPath(asked.Ref), l.Text("result.your-request"), asked.ReviewURL
	} else {
		v.Until, v.Works = s.moment(r, asked.Window.End), s.worksBy(r, on, s.worksFrom(on, asked.Window.Start))
		switch {
		case !well:
			v.Title, v.Tone = l.Text("result.granted-in-part"), "wait"
		case len(asked.Outcomes) == 0: // what is recorded, and written later
			v.Title, v.Tone, v.Delay, v.Until, v.Works = l.Text("result.waiting"), "wait", "", nil, ""
			v.Link, v.LinkText = requestPath(asked.Request.ID), l.Text("result.your-request")
		}
	}
	return page{template: "result", status: http.StatusOK, data: v}
}

// submit reads the form and asks the broker.
func (s *server) submit(r *http.Request, on access.Resource, f url.Values) (broker.Asked, error) {
	a := broker.Ask{Form: f.Get(access.FieldID), Resource: on, Justification: strings.TrimSpace(f.Get(access.FieldJustification)),
		Reviewers: reviewers(f), Duration: minutes(f[access.FieldDuration]), Origin: s.origin(r), Host: r.Host}
	var err error
	if a.Entitlements, err = s.entitlementIDs(r, on, f[access.FieldEntitlement]); err != nil {
		return broker.Asked{}, err
	}
	if a.Start, err = start(f.Get(access.FieldStart)); err != nil {
		return broker.Asked{}, err
	}
	return s.Broker.Ask(r.Context(), callerOf(r), a)
}

// askAgain shows the form as it was filled, with what is wrong. It must not fail:
// what was typed would be lost.
func (s *server) askAgain(r *http.Request, on access.Resource, f url.Values, cause error) page {
	v, again, err := s.askForm(r, on, f[access.FieldEntitlement])
	if again != nil {
		return s.chooseAgain(r, *again, f[access.FieldEntitlement], cause)
	}
	if err != nil {
		v = s.formOf(r, on, f)
	}
	v.fill(f)
	problem, status := s.problem(r, cause)
	v.numbered(f, cause)
	if v.Glass != nil && f.Has(fieldGlass) {
		v.blameGlass(problem)
	} else {
		v.blame(problem)
	}
	return page{template: "ask", status: status, data: v}
}

// spent are the refusals after which a form takes another number to be sent again.
var spent = []access.Code{access.CodeBadRequestID, access.CodeOldForm, access.CodeAlreadyEnded}

// formOf rebuilds the form from nothing but what was sent, for when the provider
// cannot be asked.
func (s *server) formOf(r *http.Request, on access.Resource, f url.Values) askView {
	kind := cmp.Or(access.KindOfID(f.Get(access.FieldID)), access.Self)
	if len(f[access.FieldReviewer]) > 0 || kind == access.BreakGlass { // of which nothing is offered now
		kind = access.Peers
	}
	// Without terms the form is still there, with what was typed.
	terms, _ := s.Broker.Defaults(callerOf(r), kind)
	v := s.blankForm(r, on, kind, terms)
	v.ID, _ = s.Broker.NewForm(callerOf(r), kind)
	if ids, err := s.entitlementIDs(r, on, f[access.FieldEntitlement]); err == nil {
		v.Roles = s.viewRoles(r, ids)
	}
	v.Reviewers = access.Each(f[access.FieldReviewer], func(address string) choice { return choiceOf(access.Principal(address), true, nil) })
	return v
}
