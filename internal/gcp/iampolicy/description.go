package iampolicy

import (
	"errors"
	"fmt"
	"strings"

	"jitaccess/internal/access"
)

// Texts of the description, as in JIT Access 1.x; the id at the end is new, and so is that
// of a broken glass.
const (
	selfApproved    = "Self-approved"
	brokenGlass     = "Break glass"
	approvedBy      = "Approved by "
	justificationIs = ", justification: "
)

// MaxDescription is the longest description of a binding, in characters.
const MaxDescription = 256

// Describe is the description of a grant, in printable ASCII and of at most max
// characters. The justification is shortened where needed, the approvers and the
// id never. Square brackets of the justification become round ones, so that it
// cannot pass for an id.
func Describe(g access.Grant, max int) (string, error) {
	head := selfApproved + justificationIs
	switch {
	case g.BreakGlass:
		head = brokenGlass + justificationIs
	case len(g.Approvers) > 0:
		var names []string
		for _, a := range g.Approvers {
			names = append(names, string(a))
		}
		head = approvedBy + strings.Join(names, ", ") + justificationIs
	}
	tail := " [" + g.RequestID + "]"
	room := max - len(head) - len(tail)
	if room < 0 {
		return "", errors.New("the addresses of the approvers are too long for the description of a grant")
	}
	return head + shorten(plain(g.Justification), room) + tail, nil
}

// plain makes user text fit for a description: printable ASCII without square
// brackets. What cannot be written becomes a question mark.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '[':
			return '('
		case r == ']':
			return ')'
		case r < ' ' || r > '~':
			return '?'
		}
		return r
	}, text)
}

// shorten cuts ASCII text to at most n characters and shows that it did.
func shorten(text string, n int) string {
	const more = "..."
	switch {
	case len(text) <= n:
		return text
	case n <= len(more):
		return more[:n]
	}
	return text[:n-len(more)] + more
}

// description is what a description says. JIT Access 1.x wrote no id.
type description struct {
	// self is whether it says that the grant was self-approved, glass that the glass was
	// broken for it. A text that is not in our words is neither, nor approved by anybody.
	self, glass   bool
	approvers     []access.Principal
	justification string
	// id is empty when there is none.
	id string
}

// parseDescription reads any text. What is not in our words is taken for a
// justification, because people see it as such.
func parseDescription(text string) description {
	var d description
	if at := strings.LastIndex(text, " ["); at >= 0 && strings.HasSuffix(text, "]") {
		if id, err := access.ParseRequestID(text[at+2 : len(text)-1]); err == nil {
			d.id, text = id, text[:at]
		}
	}
	d.justification = text
	// In 1.x what looks like an id may be all of the justification.
	head, justification, found := strings.Cut(text+" ", justificationIs)
	justification = strings.TrimSuffix(justification, " ")
	if head == selfApproved || head == brokenGlass {
		d.self, d.glass, d.justification = head == selfApproved, head == brokenGlass, justification
		return d
	}
	names, approved := strings.CutPrefix(head, approvedBy)
	if !found || !approved {
		return d
	}
	var approvers []access.Principal
	for name := range strings.SplitSeq(names, ", ") {
		a, err := access.ParsePrincipal(name)
		if err != nil {
			return d
		}
		approvers = append(approvers, a)
	}
	d.approvers, d.justification = approvers, justification
	return d
}

// DescribeEnding says for Google's audit log what an ending is.
func DescribeEnding(e access.Ending) string {
	return fmt.Sprintf("Ended early, of %s [%s]", e.Principal, e.RequestID)
}
