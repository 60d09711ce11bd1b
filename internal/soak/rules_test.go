package soak_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
)

// kind is a kind of wrong answer.
type kind string

const (
	// On the way of ordinary people.
	unexpected    kind = "a status that the contract does not have there"
	failed        kind = "a failure (5xx) without a cause at Google"
	pageRefused   kind = "a page refused while a quota is spent"
	actionRefused kind = "an action refused while a quota is spent"
	unfinished    kind = "no answer in time"
	cut           kind = "no answer from a process that ended, or begins"
	slow          kind = "the median of the others doubles"
	starved       kind = "the others get fewer than half as many answers"
	// What must never be.
	unapproved kind = "a grant that nobody approved"
	otherGrant kind = "a grant of something else than was approved"
	missing    kind = "an approved request without a grant"
	stillThere kind = "access that was ended and lives on"
	foreign    kind = "a binding of others changed"
	stranger   kind = "a link that opens for a stranger"
	panicked   kind = "a panic, or an end that nobody asked for"
	// The process.
	memory  kind = "more memory than there is"
	hungry  kind = "more than twice the processor time of a page for input that is refused"
	offsite kind = "an image of another site that costs calls"
	// Promises.
	groupsAgain  kind = "a group looked up again within 30 seconds"
	chosenNumber kind = "a request's number that the form did not give"
	tooManyAsked kind = "more people asked than may be"
	revived      kind = "access again by a form sent before it was ended"
	claimed      kind = "a statement from a parameter alone"
)

// fault is a kind of wrong answer that is known, in the phase in which it shows, and
// the number of the finding of the review of availability that it is a part of.
type fault struct {
	finding int
	kind    kind
	phase   string
	// certain ones show in every run.
	certain bool
	what    string
}

// known are the faults that are known. What is not here fails the test, and so does a
// certain one that does not show any more: who mends a fault takes it out.
var known = []fault{}

// phases of a run.
const (
	controlPhase = "without the hostile one"
	hostilePhase = "with the hostile one"
	probePhase   = "probes"
)

// wrongs collects what was wrong.
type wrongs struct {
	mu   sync.Mutex
	seen map[wrong]*wrongsOfAKind
}

type wrong struct {
	kind  kind
	phase string
}

type wrongsOfAKind struct {
	count    int
	examples []string
}

// maxExamples is how many of a kind are told.
const maxExamples = 5

func (w *wrongs) add(phase string, k kind, format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.seen == nil {
		w.seen = map[wrong]*wrongsOfAKind{}
	}
	at := w.seen[wrong{k, phase}]
	if at == nil {
		at = &wrongsOfAKind{}
		w.seen[wrong{k, phase}] = at
	}
	if at.count++; len(at.examples) < maxExamples {
		at.examples = append(at.examples, fmt.Sprintf(format, args...))
	}
}

// judge fails the test for what is not known, and for what is known and certain and
// was not seen. It returns what was seen of the known faults, for the report.
func (w *wrongs) judge(t *testing.T) string {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	var report strings.Builder
	for key, of := range w.seen {
		at := slices.IndexFunc(known, func(f fault) bool { return f.kind == key.kind && f.phase == key.phase })
		text := fmt.Sprintf("%s, %s: %d\n\t%s", key.kind, key.phase, of.count, strings.Join(of.examples, "\n\t"))
		if at < 0 {
			t.Error(text)
			continue
		}
		fmt.Fprintf(&report, "known, finding %d: %s\n", known[at].finding, text)
	}
	for _, k := range known {
		if w.seen[wrong{k.kind, k.phase}] != nil {
			continue
		}
		if k.certain {
			t.Errorf("finding %d is mended, it seems (%s): take it out of the table of known faults", k.finding, k.kind)
		} else {
			fmt.Fprintf(&report, "known, finding %d, not seen this time: %s, %s\n", k.finding, k.kind, k.phase)
		}
	}
	return report.String()
}
