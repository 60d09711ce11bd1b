package condition

import (
	"fmt"
	"regexp"
	"strings"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"

	"jitaccess/internal/eligibility"
)

// markers are the fields whose presence on an empty map marks an eligibility, in
// lower case: their case does not matter. They are never there, so the binding
// gives nothing by itself.
var markers = map[string]struct {
	name string // as it is usually written
	kind eligibility.Kind
}{
	"jitaccessconstraint":          {"jitAccessConstraint", eligibility.SelfApproval},
	"multipartyapprovalconstraint": {"multiPartyApprovalConstraint", eligibility.PeerApproval},
	"externalapprovalconstraint":   {"externalApprovalConstraint", eligibility.ExternalApproval},
	"reviewerprivilege":            {"reviewerPrivilege", eligibility.Reviewer},
}

// topicPattern is what a topic may be, once folded to lower case.
var topicPattern = regexp.MustCompile(`^[a-z][a-z0-9_-]*$`)

// mayBearMarker is whether the expression has the name of a marker anywhere, so
// that all other conditions need not be parsed.
func mayBearMarker(expression string) bool {
	for word := range wordsOf(expression) {
		if len(word) < len("reviewerprivilege") {
			continue
		}
		folded := strings.ToLower(word)
		for name := range markers {
			if strings.Contains(folded, name) {
				return true
			}
		}
	}
	return false
}

// plain is whether the marker is one of the two of JIT Access 1.x, as it stood
// there. They may stand together.
func plain(m Eligibility) bool {
	return m.Topic == "" && (m.Kind == eligibility.SelfApproval || m.Kind == eligibility.PeerApproval || m.Kind == eligibility.Both)
}

// marker is what a clause marks; Kind is None when it is no marker. The error is
// for a marker with a topic that is none.
func marker(c clause) (Eligibility, error) {
	if c.parenthesised() || c.tree.Expr().Kind() != ast.CallKind {
		return Eligibility{}, nil
	}
	call := c.tree.Expr().AsCall()
	if call.IsMemberFunction() || !strings.EqualFold(call.FunctionName(), "has") || len(call.Args()) != 1 {
		return Eligibility{}, nil
	}
	// {}.MARKER, {}.MARKER.TOPIC, or a subtraction, which is what a topic with
	// hyphens is to CEL.
	field, hyphenated := c.unhyphenate(call.Args()[0])
	path := selection(field)
	if len(path) == 0 {
		return Eligibility{}, nil
	}
	kind := markers[strings.ToLower(path[0])].kind
	if len(path) == 1 && hyphenated == "" {
		return Eligibility{Kind: kind}, nil
	}
	if kind == eligibility.None || kind == eligibility.SelfApproval {
		return Eligibility{}, nil // nothing that could have a topic
	}
	topic := strings.ToLower(strings.Join(path[1:], ".") + hyphenated)
	if !topicPattern.MatchString(topic) {
		return Eligibility{}, fmt.Errorf("the marker's topic %.100q is not a letter followed by letters, digits, hyphens and underscores", topic)
	}
	return Eligibility{Kind: kind, Topic: topic}, nil
}

// selection are the names in {}.NAME.NAME…; nil for anything else.
func selection(e ast.Expr) []string {
	var path []string
	for e.Kind() == ast.SelectKind {
		path = append([]string{e.AsSelect().FieldName()}, path...)
		e = e.AsSelect().Operand()
	}
	if e.Kind() != ast.MapKind || e.AsMap().Size() != 0 {
		return nil
	}
	return path
}

// unhyphenate takes "-oncall" off an expression like {}.reviewerPrivilege.dba-oncall.
func (c clause) unhyphenate(e ast.Expr) (rest ast.Expr, hyphenated string) {
	for e.Kind() == ast.CallKind && e.AsCall().FunctionName() == operators.Subtract {
		args := e.AsCall().Args()
		e, hyphenated = args[0], "-"+c.word(args[1])+hyphenated
	}
	return e, hyphenated
}

// word is the source text of a name or number; a minus before it is a second
// hyphen. Of anything else it is something that stands in no topic.
func (c clause) word(e ast.Expr) string {
	switch e.Kind() {
	case ast.IdentKind:
		return e.AsIdent()
	case ast.LiteralKind:
		if at, ok := c.tree.SourceInfo().GetOffsetRange(e.ID()); ok {
			return string([]rune(c.text)[at.Start:at.Stop])
		}
	case ast.CallKind:
		if call := e.AsCall(); call.FunctionName() == operators.Negate {
			return "-" + c.word(call.Args()[0])
		}
	}
	return "?"
}
