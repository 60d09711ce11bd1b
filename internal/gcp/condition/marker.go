package condition

import (
	"fmt"
	"slices"
	"strings"

	"jitaccess/internal/eligibility"
	"jitaccess/internal/lazyregexp"
)

type markerName struct {
	name string
	kind eligibility.Kind
}

// markers are the fields whose presence on an empty map marks an eligibility, as they
// are usually written: their case does not matter. They are never there, so the
// binding gives nothing by itself. They are in the order of their names.
var markers = []markerName{
	{"externalApprovalConstraint", eligibility.ExternalApproval},
	{"jitAccessConstraint", eligibility.SelfApproval},
	{"multiPartyApprovalConstraint", eligibility.PeerApproval},
	{"reviewerPrivilege", eligibility.Reviewer},
}

var (
	// markerPattern is a clause that is a marker: {}.NAME, {}.NAME.TOPIC, or a
	// subtraction, which is what a topic with hyphens is to CEL. It is matched against a
	// clause that has been parsed, without its comments.
	markerPattern = lazyregexp.New(`(?i)^has\s*\(\s*\{\s*\}\s*\.\s*(\w+)\s*([.-][\w.\-"'\s]*)?\)$`)
	comments      = lazyregexp.New(`//[^\n]*`)
	// topicPattern is what a topic may be, once folded to lower case.
	topicPattern = lazyregexp.New(`^[a-z][a-z0-9_-]*$`)
	topicSpace   = lazyregexp.New(`\s*([.-])\s*`)
)

// mayBearMarker is whether the expression has the name of a marker anywhere, so
// that all other conditions need not be parsed.
func mayBearMarker(expression string) bool {
	folded := strings.ToLower(expression)
	return slices.ContainsFunc(markers, func(m markerName) bool { return strings.Contains(folded, strings.ToLower(m.name)) })
}

// marker is what a clause marks; Kind is None when it is no marker. The error is
// for a marker with a topic that is none.
func marker(clause string) (Eligibility, error) {
	match := markerPattern().FindStringSubmatch(strings.TrimSpace(comments().ReplaceAllString(clause, "")))
	if match == nil {
		return Eligibility{}, nil
	}
	i := slices.IndexFunc(markers, func(m markerName) bool { return strings.EqualFold(m.name, match[1]) })
	if i < 0 {
		return Eligibility{}, nil
	}
	kind, rest := markers[i].kind, strings.ToLower(topicSpace().ReplaceAllString(match[2], "$1"))
	switch topic := strings.TrimSpace(strings.TrimPrefix(rest, ".")); {
	case rest == "":
		return Eligibility{Kind: kind}, nil
	case kind == eligibility.SelfApproval:
		return Eligibility{}, nil // nothing that could have a topic
	case !topicPattern().MatchString(topic):
		return Eligibility{}, fmt.Errorf("the marker's topic %.100q is not a letter followed by letters, digits, hyphens and underscores", topic)
	default:
		return Eligibility{Kind: kind, Topic: topic}, nil
	}
}
