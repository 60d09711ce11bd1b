package sandbox

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"jitaccess/internal/sandbox/diff"
	"jitaccess/internal/sandbox/google"
)

// seenCookie holds the id of the last change of a policy that the visitor has looked at.
const seenCookie = "sandbox_seen"

// What is shown of changes at most.
const (
	changesShown    = 20
	linesShown      = 120
	linesShownInBar = 40
	linesAround     = 4
)

// shownChange is a change of a policy as pages show it, which is last change first.
type shownChange struct {
	ID             int
	At             time.Time
	Resource       string
	By, Reason     string
	Added, Removed int
	Lines          []diff.Line
}

// changes are the last changes, of a resource or of all where it is empty.
func (s *Sandbox) changes(resource string) []google.PolicyChange {
	all := s.cloud.Changes()
	if resource == "" {
		return all
	}
	return slices.DeleteFunc(all, func(c google.PolicyChange) bool { return c.Resource != resource })
}

// show works out what a change did.
func (s *Sandbox) show(c google.PolicyChange, most int) shownChange {
	shown := shownChange{ID: c.ID, At: c.At, Resource: c.Resource, By: c.By, Reason: c.Reason}
	switch c.By {
	case "":
		shown.By = "somebody past the service"
	case "serviceAccount:" + s.cloud.ServiceAccount():
		shown.By = "the service"
	}
	lines := compare(c.Before.Bindings, c.After.Bindings)
	shown.Added, shown.Removed = diff.Count(lines)
	shown.Lines = diff.Short(lines, linesAround, most)
	return shown
}

// compare says what became of bindings, as lines of those that came, went or changed.
func compare(before, after []google.Binding) []diff.Line {
	was, is := linesOf(before), linesOf(after)
	// Of what both have nothing is said, in whatever order they have it.
	left := map[string]int{}
	for _, b := range was {
		left[b.text]++
	}
	var came []boundLines
	for _, b := range is {
		if left[b.text] > 0 {
			left[b.text]--
		} else {
			came = append(came, b)
		}
	}
	var gone []boundLines
	for _, b := range slices.Backward(was) {
		if left[b.text] > 0 {
			left[b.text]--
			gone = append(gone, b)
		}
	}
	slices.Reverse(gone)
	// One of the same role and either the same condition or the same members is the same one,
	// changed.
	earlier := map[string][]int{}
	for i, b := range gone {
		earlier[b.condition] = append(earlier[b.condition], i)
		earlier[b.members] = append(earlier[b.members], i)
	}
	used := make([]bool, len(gone))
	take := func(key string) (boundLines, bool) {
		for len(earlier[key]) > 0 {
			i := earlier[key][0]
			earlier[key] = earlier[key][1:]
			if !used[i] {
				used[i] = true
				return gone[i], true
			}
		}
		return boundLines{}, false
	}
	var lines []diff.Line
	for _, b := range came {
		old, changed := take(b.condition)
		if !changed {
			old, changed = take(b.members)
		}
		lines = append(lines, diff.Lines(old.lines(), b.lines())...)
	}
	for i, b := range gone {
		if !used[i] {
			lines = append(lines, diff.Lines(b.lines(), nil)...)
		}
	}
	return lines
}

// boundLines is a binding as text. By condition and members it is known again when it has
// changed.
type boundLines struct{ text, condition, members string }

func (b boundLines) lines() []string {
	if b.text == "" {
		return nil
	}
	return strings.Split(b.text, "\n")
}

func linesOf(bindings []google.Binding) []boundLines {
	all := make([]boundLines, 0, len(bindings))
	for _, b := range bindings {
		all = append(all, boundLines{
			text: indented(b), condition: "condition " + b.Role + indented(b.Condition), members: "members " + b.Role + indented(b.Members),
		})
	}
	return all
}

// indented is JSON as Google answers it.
func indented(v any) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil { // of texts alone
		return err.Error()
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// news is what the bar says of changes.
type news struct {
	// Last is the last change; nil where there was none.
	Last *shownChange
	// Unseen is how many there were since the visitor last looked.
	Unseen int
}

func (f *front) news(r *http.Request) news {
	all := f.changes("")
	if len(all) == 0 {
		return news{}
	}
	last := f.show(all[0], linesShownInBar)
	n := news{Last: &last}
	seen := seenBy(r)
	for n.Unseen < len(all) && all[n.Unseen].ID > seen {
		n.Unseen++
	}
	return n
}

// seenBy is the last change that the visitor has looked at; zero is none.
func seenBy(r *http.Request) int {
	cookie, err := r.Cookie(seenCookie)
	if err != nil {
		return 0
	}
	n, err := strconv.Atoi(cookie.Value)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// hasSeen remembers that the visitor has looked at all changes until the last.
func (f *front) hasSeen(w http.ResponseWriter) {
	if all := f.changes(""); len(all) > 0 {
		http.SetCookie(w, &http.Cookie{Name: seenCookie, Value: strconv.Itoa(all[0].ID), Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode})
	}
}
