package eligibility

import (
	"sync"

	"jitaccess/internal/gcp/condition"
)

// Limits of a Reader. IAM takes conditions of some kilobytes; an organization has
// a few dozen different eligibility conditions and many bindings for each.
const (
	maxExpression = 16 << 10
	maxParsed     = 4096
)

// Reader reads policies and remembers the conditions that it has parsed, since
// parsing them is most of the work and pages show the same ones again and again.
// The zero value is ready; it is safe for concurrent use.
type Reader struct {
	mu     sync.Mutex
	parsed map[string]parsed
}

type parsed struct {
	eligibility condition.Eligibility
	err         error
}

func (r *Reader) parse(expression string) (condition.Eligibility, error) {
	if len(expression) > maxExpression {
		return condition.Eligibility{}, errLongCondition
	}
	r.mu.Lock()
	p, known := r.parsed[expression]
	r.mu.Unlock()
	if known {
		return p.eligibility, p.err
	}
	p.eligibility, p.err = condition.ParseEligibility(expression)
	r.mu.Lock()
	defer r.mu.Unlock()
	// Activations that come and go fill it with text that is never seen again. A
	// full one starts afresh: to parse them all again takes milliseconds.
	if r.parsed == nil || len(r.parsed) >= maxParsed {
		r.parsed = make(map[string]parsed)
	}
	r.parsed[expression] = p
	return p.eligibility, p.err
}

// Eligible is whether a condition makes people eligible for something.
func (r *Reader) Eligible(expression string) bool {
	eligible, err := r.parse(expression)
	return err == nil && eligible.Kind != condition.None
}
