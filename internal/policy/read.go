package policy

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/application"
	"jitaccess/internal/policy/document"
)

// Schema is the JSON Schema of policy files, by which editors complete them.
//
//go:embed schema.json
var Schema []byte

// shape is read when it is first needed: it takes longer than the rest of a start, and a
// megabyte, and not everybody has a policy file.
var shape = sync.OnceValue(func() *document.Schema {
	s, err := document.ParseSchema(Schema)
	if err != nil {
		panic(err) // it is part of the program
	}
	return s
})

// ReadFile reads a policy file. Every fault is found at once; a file with any must not be
// used, and is returned so that it can be looked at as far as it was understood.
func ReadFile(text []byte) (*File, document.Faults) {
	root, faults := document.Read(text)
	shape().Check(root, &faults)
	r := reader{faults: faults, zones: map[string]*time.Location{}}
	digest := sha256.Sum256(text)
	f := &File{Digest: hex.EncodeToString(digest[:]), people: map[access.Principal][]access.Principal{}}
	r.people(root.Get("people"), f.people)
	for _, item := range items(root.Get("entitlements")) {
		e := r.entitlement(item)
		if first := f.Gives(e.ID); first != nil && e.ID.Resource != "" && e.ID.Role != "" {
			r.faults.Add(item, "%s on %s is there twice, first in line %d; write one entry with all requesters", e.ID.Role, e.ID.Resource,
				first.Line)
		}
		f.Entitlements = append(f.Entitlements, e)
	}
	f.Applications = r.applications(root.Get("applications"))
	f.defaults = r.terms(root.Get("defaults"))
	r.mayBeLess(f.defaults, loosened{})
	f.refuses = textOf(root.Get("unmatched")) == "refuse"
	lines := map[string]int{}
	for _, item := range items(root.Get("rules")) {
		if item.Kind != document.Object {
			continue
		}
		rule := r.rule(item)
		name := item.Get("name")
		switch first := lines[rule.Name]; {
		case rule.Name == "":
		case first != 0:
			r.faults.Add(name, "there is another rule %q in line %d; a name is used once", rule.Name, first)
		default:
			lines[rule.Name] = name.Line
		}
		f.Rules = append(f.Rules, rule)
	}
	f.looks = f.looksAt()
	return f, r.faults.Sorted()
}

// looksAt is what the rules look at.
func (f *File) looksAt() access.Looks {
	looks := access.Looks{}
	for i := range f.Rules {
		m := &f.Rules[i].match
		below := func(p pattern) bool { return p.below }
		looks.Ancestors = looks.Ancestors || slices.ContainsFunc(m.resources.in, below) || slices.ContainsFunc(m.resources.out, below)
		looks.ChangesPermissions = looks.ChangesPermissions || m.changes != nil
		for _, w := range slices.Concat(m.requesters.in, m.requesters.out) {
			if w.kind == "group" && !slices.Contains(looks.Groups, w.value) {
				looks.Groups = append(looks.Groups, w.value)
			}
		}
	}
	for i := range f.Rules {
		said := f.Rules[i].terms.over(f.defaults)
		if said.approvals == nil {
			continue
		}
		looks.Approvals = true
		for _, need := range *said.approvals {
			for _, spelled := range need.From {
				if group, ok := strings.CutPrefix(spelled, access.GroupPrefix); ok && !slices.Contains(looks.Approvers, group) {
					looks.Approvers = append(looks.Approvers, group)
				}
			}
		}
	}
	return looks
}

// reader reads what the schema has checked. What is Broken is read as if it were not
// there: a fault has been told of it.
type reader struct {
	faults document.Faults
	// zones are those that were found, by name: one is one, for every rule.
	zones map[string]*time.Location
}

func items(n *document.Node) []*document.Node {
	if n == nil {
		return nil
	}
	return n.Items
}

// textOf is the text of a scalar; empty for none.
func textOf(n *document.Node) string {
	if n == nil {
		return ""
	}
	return n.Text
}

func texts(n *document.Node) []string {
	var all []string
	for _, item := range items(n) {
		if item.Kind == document.Text {
			all = append(all, item.Text)
		}
	}
	return all
}

func (r *reader) people(n *document.Node, humans map[access.Principal][]access.Principal) {
	for _, entry := range items(n) {
		var accounts []access.Principal
		for _, item := range items(entry) {
			p, ok := r.principal(item)
			if !ok {
				continue
			}
			if _, twice := humans[p]; twice || slices.Contains(accounts, p) {
				r.faults.Add(item, "%s is in people already; an address belongs to one human", p)
				continue
			}
			accounts = append(accounts, p)
		}
		for _, p := range accounts {
			humans[p] = accounts
		}
	}
}

func (r *reader) principal(n *document.Node) (access.Principal, bool) {
	if n.Kind != document.Text {
		return "", false
	}
	if named, ok := strings.CutPrefix(n.Text, "app:"); ok {
		name, subject, ok := strings.Cut(named, "/")
		if !ok || application.CheckName(name) != nil || !application.CanBeSubject(subject) {
			r.faults.Add(n, "%q: somebody of an application is app:NAME/SUB, SUB as its tokens have it", n.Text)
			return "", false
		}
		return access.Spelled(name, subject), true
	}
	p, err := access.ParsePrincipal(n.Text)
	if err == nil && p.IsSpelled() {
		err = errors.New("nobody has an address there; write app:NAME/SUB")
	}
	if err != nil {
		r.faults.Add(n, "%q: %v", n.Text, err)
	}
	return p, err == nil
}

// googleKinds are whose eligibility stands in IAM.
var googleKinds = []string{"projects", "folders", "organizations"}

func (r *reader) entitlement(n *document.Node) Entitlement {
	e := Entitlement{Title: textOf(n.Get("title")), Line: n.Line, Column: n.Column}
	if at := n.Get("resource"); textOf(at) != "" {
		resource, err := access.ParseResource(at.Text)
		if err != nil {
			r.faults.Add(at, "%q: %v", at.Text, err)
		} else if slices.Contains(googleKinds, resource.Kind()) {
			r.faults.Add(at, "%s is of Google Cloud, where IAM says who is eligible", resource)
		}
		e.ID.Resource = resource
	}
	e.ID.Role = access.Role(textOf(n.Get("role")))
	e.Requesters = r.spelled(n.Get("requesters"))
	return e
}

// who reads people as a list names them.
func (r *reader) who(n *document.Node) list[who] {
	var all list[who]
	for _, item := range items(n) {
		if item.Kind != document.Text {
			continue
		}
		text, out := strings.CutPrefix(item.Text, "!")
		w, err := parseWho(text)
		if err != nil {
			r.faults.Add(item, "%q: %v", item.Text, err)
			continue
		}
		all.add(w, out)
	}
	return all
}

func (r *reader) spelled(n *document.Node) []string {
	var all []string
	for _, w := range r.who(n).in {
		if !slices.Contains(all, w.spelled()) {
			all = append(all, w.spelled())
		}
	}
	return all
}

func (r *reader) rule(n *document.Node) Rule {
	rule := Rule{Name: textOf(n.Get("name")), Line: n.Line, Column: n.Column, terms: r.terms(n.Get("terms")), match: r.match(n.Get("match"))}
	rule.Refusal = strings.TrimSpace(access.Visible(textOf(n.Get("refuse"))))
	if at := n.Get("loosen"); at != nil {
		listed := texts(at)
		rule.loosen = loosened{at.True() || slices.Contains(listed, "approvals"), at.True() || slices.Contains(listed, "max_duration")}
	}
	r.mayBeLess(rule.terms, rule.loosen)
	return rule
}

// mayBeLess tells of terms that demand less than any marker of peers, unless they may.
func (r *reader) mayBeLess(p partial, may loosened) {
	if p.approvals != nil && len(*p.approvals) == 0 && !may.approvals {
		at := p.at["approvals"]
		r.faults = append(r.faults, document.Fault{Line: at.Line, Column: at.Column,
			Text: "no approval is less than a marker in IAM may demand; write loosen: [approvals] beside the terms of the rule if that is meant"})
	}
}

func (r *reader) match(n *document.Node) match {
	m := match{}
	if n == nil {
		return m
	}
	for key, patterns := range map[string]*list[pattern]{"resource": &m.resources, "role": &m.roles} {
		for _, item := range items(n.Get(key)) {
			if item.Kind != document.Text {
				continue
			}
			text, out := strings.CutPrefix(item.Text, "!")
			p := parsePattern(text)
			if on := access.Resource(p.literal); on.HoldsOthers() && strings.Trim(on.Name(), "0123456789") != "" {
				r.faults.Add(item, "%s is not found by its name; write its number, as in %s/123456789012, which "+
					"gcloud projects get-ancestors says of a project that lies in it", on, on.Kind())
			}
			patterns.add(p, out)
		}
	}
	m.requesters = r.who(n.Get("requester"))
	m.changes = flag(n.Get("changes_permissions"))
	at := n.Get("hours")
	all := items(at)
	if at != nil && at.Kind == document.Object {
		all = []*document.Node{at}
	}
	for _, item := range all {
		if item.Kind == document.Object {
			m.hours = append(m.hours, r.hours(item))
		}
	}
	if at := n.Get("dates"); at != nil && at.Kind == document.Object {
		m.dates = r.dates(at)
	}
	return m
}

func (r *reader) zone(n *document.Node) *time.Location {
	if textOf(n) == "" {
		return time.UTC
	}
	zone, ok := r.zones[n.Text]
	if !ok {
		if zone, ok = zoneOf(n.Text); !ok {
			r.faults.Add(n, "there is no time zone %q; it is named as in Europe/Berlin, or UTC", n.Text)
			return time.UTC
		}
		r.zones[n.Text] = zone
	}
	return zone
}

func (r *reader) hours(n *document.Node) hours {
	h := hours{to: day, zone: r.zone(n.Get("zone"))}
	for _, text := range texts(n.Get("days")) {
		h.days = append(h.days, parseDays(text)...)
	}
	from, to := n.Get("from"), n.Get("to")
	if textOf(from) == "" || textOf(to) == "" {
		return h
	}
	if h.from, h.to = parseClock(from.Text), parseClock(to.Text); h.from == h.to {
		r.faults.Add(n, "from and to are the same; leave both out for the whole day")
	}
	return h
}

func (r *reader) dates(n *document.Node) *dates {
	d := &dates{from: textOf(n.Get("from")), to: textOf(n.Get("to")), zone: r.zone(n.Get("zone"))}
	for _, at := range []*document.Node{n.Get("from"), n.Get("to")} {
		if _, err := time.Parse(dayFormat, textOf(at)); err != nil && textOf(at) != "" {
			r.faults.Add(at, "there is no day %s", at.Text)
		}
	}
	if d.to != "" && d.to < d.from {
		r.faults.Add(n, "to is before from; there is no such day")
	}
	return d
}

func flag(n *document.Node) *bool {
	if n == nil || n.Kind != document.Flag {
		return nil
	}
	b := n.True()
	return &b
}

// length reads 90m, 4h or 3d. A day is 24 hours.
func length(n *document.Node) *time.Duration {
	if textOf(n) == "" {
		return nil
	}
	units := map[byte]time.Duration{'m': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour}
	number, err := strconv.Atoi(n.Text[:len(n.Text)-1])
	if err != nil {
		return nil
	}
	d := time.Duration(number) * units[n.Text[len(n.Text)-1]]
	return &d
}

func (r *reader) terms(n *document.Node) partial {
	p := partial{at: map[string]document.Fault{}}
	if n == nil || n.Kind != document.Object {
		return p
	}
	for _, pair := range n.Pairs {
		p.at[pair.Key.Text] = document.Fault{Line: pair.Key.Line, Column: pair.Key.Column}
	}
	p.approvals = r.approvals(n.Get("approvals"))
	p.inOrder, p.inheritedOnly = flag(n.Get("in_order")), flag(n.Get("inherited_only"))
	p.maxDuration, p.defaultLength = length(n.Get("max_duration")), length(n.Get("default_duration"))
	p.requestLife, p.startWithin = length(n.Get("request_life")), length(n.Get("start_within"))
	p.maxContinuous, p.remindAfter = length(n.Get("max_continuous")), length(n.Get("remind_after"))
	if p.maxDuration != nil && p.defaultLength != nil && *p.defaultLength > *p.maxDuration {
		r.faults.Add(n.Get("default_duration"), "default_duration is longer than max_duration")
	}
	for _, item := range items(n.Get("justification")) {
		r.justification(item, &p)
	}
	p.accessLevels = texts(n.Get("approver_access_level"))
	r.signature(n.Get("signature"), &p)
	if at := n.Get("escalate"); at != nil && at.Kind == document.Object {
		if after, to := length(at.Get("after")), r.spelled(at.Get("to")); after != nil {
			p.escalation = &access.Escalation{After: *after, To: to}
		}
	}
	if at := n.Get("notify"); at != nil {
		p.notify, p.notifyOnly = texts(at), at.Kind == document.Object
		if p.notifyOnly {
			p.notify = texts(at.Get("only"))
		}
	}
	if at := n.Get("break_glass"); at != nil && at.Kind == document.Object {
		if most := length(at.Get("max_duration")); most != nil {
			p.glass = &access.GlassTerms{Who: r.spelled(at.Get("who")), MaxDuration: *most, ReviewBy: r.spelled(at.Get("review_by"))}
		}
	}
	return p
}

func (r *reader) approvals(n *document.Node) *[]access.Requirement {
	all := []access.Requirement{}
	switch {
	case n == nil || n.Kind == document.Broken:
		return nil
	case n.Kind == document.Number:
		if count, _ := strconv.Atoi(n.Text); count > 0 {
			all = append(all, access.Requirement{Count: count, From: []string{access.FromPeers}})
		}
	}
	for _, item := range n.Items {
		count, _ := strconv.Atoi(textOf(item.Get("count")))
		from := r.spelled(item.Get("from"))
		if count == 0 || len(from) == 0 {
			continue
		}
		if slices.ContainsFunc(all, func(a access.Requirement) bool { return a.Same(access.Requirement{From: from}) }) {
			r.faults.Add(item, "approvals from the same people stand above; write one entry with a larger count")
		}
		all = append(all, access.Requirement{Count: count, From: from})
	}
	if n.Kind == document.List && len(all) == 0 {
		return nil
	}
	return &all
}

func (r *reader) justification(n *document.Node, p *partial) {
	at := n.Get("pattern")
	if textOf(at) == "" {
		return
	}
	compiled, err := regexp.Compile(at.Text)
	if err != nil {
		r.faults.Add(at, "the pattern cannot be read: %v", err)
		return
	}
	p.justification = append(p.justification,
		access.JustificationRule{Pattern: compiled, Message: strings.TrimSpace(access.Visible(textOf(n.Get("message"))))})
}

func (r *reader) signature(n *document.Node, p *partial) {
	if n == nil || n.Kind == document.Broken {
		return
	}
	demanded := n.Kind == document.Object || n.True()
	p.signature = &demanded
	if age := length(n.Get("key_age")); age != nil {
		p.keys.Age = *age
	}
	bound := flag(n.Get("device_bound"))
	p.keys.DeviceBound = bound != nil && *bound
	p.keys.SelfEnrolled = textOf(n.Get("enrolment")) == "self"
}
