package policy

import (
	"slices"
	"strings"

	"jitaccess/internal/access"
)

// answer is whether something matches; it may not be known.
type answer int

const (
	no answer = iota
	unknown
	yes
)

func answerOf(b bool) answer {
	if b {
		return yes
	}
	return no
}

// found is whether something is among what was found; known is whether that is all.
func found(in, known bool) answer {
	if !in && !known {
		return unknown
	}
	return answerOf(in)
}

// list is what a rule lists: what is meant, and with a leading ! what is not. An empty
// list means everything, and one that only takes out all but that.
type list[T any] struct{ in, out []T }

func (l *list[T]) add(item T, out bool) {
	if out {
		l.out = append(l.out, item)
	} else {
		l.in = append(l.in, item)
	}
}

// judge is whether something is meant. What takes it out always wins.
func (l *list[T]) judge(q *question, matches func(*T, *question) answer) answer {
	in := answerOf(len(l.in) == 0)
	for i := range l.in {
		if in = max(in, matches(&l.in[i], q)); in == yes {
			break
		}
	}
	for i := 0; in != no && i < len(l.out); i++ {
		in = min(in, yes-matches(&l.out[i], q))
	}
	return in
}

// pattern is a glob over paths. A star stands for any text within a segment.
type pattern struct {
	// below: with /** at the end, which is everything below. text is without it.
	below bool
	text  string
	// literal is the path itself, for a pattern without a star.
	literal  string
	segments []glob
}

// path is a path and its segments.
type path struct {
	text     string
	segments []string
}

func split(text string) path { return path{text, strings.Split(text, "/")} }

// parsePattern reads a glob without a leading !, whose form the schema has checked.
func parsePattern(text string) pattern {
	p := pattern{}
	text, p.below = strings.CutSuffix(text, "/**")
	p.text = text
	if !strings.Contains(text, "*") {
		p.literal = text
	}
	for segment := range strings.SplitSeq(text, "/") {
		p.segments = append(p.segments, parseGlob(segment))
	}
	return p
}

// names is the one resource that the pattern means; empty for a pattern that can mean several.
func (p *pattern) names() access.Resource {
	if p.below {
		return ""
	}
	return access.Resource(p.literal)
}

// matches is whether the whole path is meant.
func (p *pattern) matches(of *path) bool {
	if p.literal != "" {
		return p.literal == of.text
	}
	if len(of.segments) != len(p.segments) {
		return false
	}
	for i := len(of.segments) - 1; i >= 0; i-- { // names differ more often than kinds
		if !p.segments[i].matches(of.segments[i]) {
			return false
		}
	}
	return true
}

// glob is a segment: the text before its first star, between its stars, and behind the
// last. Without a star it is the text before.
type glob struct {
	before, behind string
	between        []string
	star           bool
}

func parseGlob(segment string) glob {
	parts := strings.Split(segment, "*")
	if len(parts) == 1 {
		return glob{before: segment}
	}
	last := len(parts) - 1
	return glob{before: parts[0], between: parts[1:last], behind: parts[last], star: true}
}

// matches takes time in proportion to the text: each part is searched for once, behind
// the one before, and never given up again.
func (g *glob) matches(text string) bool {
	if !g.star {
		return text == g.before
	}
	if len(text) < len(g.before)+len(g.behind) || !strings.HasSuffix(text, g.behind) || !strings.HasPrefix(text, g.before) {
		return false
	}
	text = text[len(g.before) : len(text)-len(g.behind)]
	for _, part := range g.between {
		at := strings.Index(text, part)
		if at < 0 {
			return false
		}
		text = text[at+len(part):]
	}
	return true
}

func (p *pattern) matchesRole(q *question) answer { return answerOf(p.matches(&q.role)) }

// matchesResource is whether a resource is meant: itself, or because of what lies above.
func (p *pattern) matchesResource(q *question) answer {
	if !p.below {
		return answerOf(p.matches(&q.resource))
	}
	for i := range q.ancestors {
		if p.matches(&q.ancestors[i]) {
			return yes
		}
	}
	return found(false, q.known)
}

// question is a subject, taken apart once for all rules.
type question struct {
	*access.Subject
	*place
	role   path
	groups []string
	domain string
}

func ask(s *access.Subject, at *place) *question {
	q := &question{Subject: s, place: at, role: split(string(s.Entitlement.Role)), domain: s.Principal.Domain()}
	for _, g := range s.Groups {
		q.groups = append(q.groups, access.FoldASCII(g))
	}
	return q
}

// place is where what is asked for lies.
type place struct {
	resource  path
	ancestors []path
	// known is whether those are all ancestors.
	known bool
	// about is which rules of a file are about the resource, in its order.
	about []answer
}

func placeOf(s *access.Subject) *place {
	p := &place{resource: split(string(s.Entitlement.Resource)), known: s.AncestorsKnown}
	for _, r := range s.Ancestors {
		p.ancestors = append(p.ancestors, split(string(r)))
	}
	return p
}

func (p *place) is(s *access.Subject) bool {
	return p.resource.text == string(s.Entitlement.Resource) && p.known == s.AncestorsKnown &&
		slices.EqualFunc(p.ancestors, s.Ancestors, func(a path, b access.Resource) bool { return a.text == string(b) })
}

// judge is whether what a list names is where the question is about.
func (q *question) judge(resources *list[pattern]) answer {
	return resources.judge(q, (*pattern).matchesResource)
}

// ask takes a subject apart for the rules of the file. What they say of its place is
// remembered: a page asks of many roles of one.
func (f *File) ask(s *access.Subject) *question {
	at := f.place.Load()
	if at == nil || !at.is(s) {
		at = placeOf(s)
		at.about = make([]answer, len(f.Rules))
		q := &question{place: at}
		for i := range f.Rules {
			at.about[i] = q.judge(&f.Rules[i].match.resources)
		}
		f.place.Store(at)
	}
	return ask(s, at)
}

// who is people as a rule names them.
type who struct{ kind, value string } // "group", "ops@example.com"

// parseWho reads user:, group:, domain: and claim:. Its form the schema has checked; the
// error says what it could not see.
func parseWho(text string) (who, error) {
	w := who{}
	w.kind, w.value, _ = strings.Cut(text, ":")
	switch w.kind {
	case "user", "group":
		p, err := access.ParsePrincipal(w.value)
		if err != nil {
			return w, err
		}
		w.value = string(p)
	case "domain":
		if _, err := access.ParsePrincipal("x@" + w.value); err != nil {
			return w, err
		}
		w.value = access.FoldASCII(w.value)
	}
	return w, nil
}

// spelled is how requirements and terms name them.
func (w who) spelled() string {
	if w.kind == access.FromPeers {
		return w.kind
	}
	return w.kind + ":" + w.value
}

func (w *who) matches(s *question) answer {
	switch w.kind {
	case "user":
		return answerOf(string(s.Principal) == w.value)
	case "domain":
		return answerOf(s.domain == w.value)
	case "group":
		return found(slices.Contains(s.groups, w.value), s.GroupsKnown)
	case "claim":
		return found(slices.Contains(s.Claims, w.value), s.ClaimsKnown)
	}
	return no
}
