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

// among is whether something is in a list of which those with a leading ! take out: one
// that takes out always wins, and a list of them alone means all but those.
func among[T any](list []T, out func(T) bool, matches func(T) answer) answer {
	in, any := no, false
	excluded := no
	for _, item := range list {
		if out(item) {
			excluded = max(excluded, matches(item))
			continue
		}
		any = true
		in = max(in, matches(item))
	}
	if !any {
		in = yes
	}
	return min(in, yes-excluded)
}

// pattern is a glob over paths. A star stands for any text within a segment.
type pattern struct {
	text string
	// out: with a leading !. below: with /** at the end, which is everything below.
	out, below bool
	segments   []glob
}

// parsePattern reads a glob, whose form the schema has checked.
func parsePattern(text string) pattern {
	p := pattern{text: text}
	text, p.out = strings.CutPrefix(text, "!")
	text, p.below = strings.CutSuffix(text, "/**")
	for segment := range strings.SplitSeq(text, "/") {
		p.segments = append(p.segments, parseGlob(segment))
	}
	return p
}

// matches is whether the whole path is meant.
func (p pattern) matches(path string) bool {
	for i, segment := range p.segments {
		part, rest, more := strings.Cut(path, "/")
		if more == (i == len(p.segments)-1) || !segment.matches(part) {
			return false
		}
		path = rest
	}
	return true
}

// glob is a segment: the texts between its stars.
type glob []string

func parseGlob(segment string) glob { return strings.Split(segment, "*") }

// matches takes time in proportion to the text: each part is searched for once, behind
// the one before, and never given up again.
func (g glob) matches(text string) bool {
	if len(g) == 1 {
		return text == g[0]
	}
	text, ok := strings.CutPrefix(text, g[0])
	last := g[len(g)-1]
	if !ok || !strings.HasSuffix(text, last) {
		return false
	}
	text = text[:len(text)-len(last)]
	for _, part := range g[1 : len(g)-1] {
		at := strings.Index(text, part)
		if at < 0 {
			return false
		}
		text = text[at+len(part):]
	}
	return true
}

// matchesResource is whether a resource is meant: itself, or because of what lies above.
func (p pattern) matchesResource(s *access.Subject) answer {
	if !p.below {
		return answerOf(p.matches(string(s.Entitlement.Resource)))
	}
	if !s.AncestorsKnown {
		return unknown
	}
	return answerOf(slices.ContainsFunc(s.Ancestors, func(r access.Resource) bool { return p.matches(string(r)) }))
}

// who is people as a rule names them.
type who struct {
	text        string
	out         bool
	kind, value string // "group", "ops@example.com"
}

// parseWho reads user:, group:, domain: and claim:, perhaps with a leading !. Its form the
// schema has checked; the error says what it could not see.
func parseWho(text string) (who, error) {
	w := who{text: text}
	text, w.out = strings.CutPrefix(text, "!")
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

func (w who) matches(s *access.Subject) answer {
	switch w.kind {
	case "user":
		return answerOf(string(s.Principal) == w.value)
	case "domain":
		return answerOf(s.Principal.Domain() == w.value)
	case "group":
		if !s.GroupsKnown {
			return unknown
		}
		return answerOf(slices.ContainsFunc(s.Groups, func(g string) bool { return access.FoldASCII(g) == w.value }))
	case "claim":
		if !s.ClaimsKnown {
			return unknown
		}
		return answerOf(slices.Contains(s.Claims, w.value))
	}
	return no
}

func (p pattern) takesOut() bool { return p.out }
func (w who) takesOut() bool     { return w.out }
