package notice

import (
	"slices"
	"sync"
	"time"

	"jitaccess/internal/access"
)

// remembered is how many attempts are kept that went well, and that did not.
const remembered = 20

// History is what a channel of this instance has lately tried to send. The zero value is
// empty. It may be used concurrently.
type History struct {
	mutex      sync.Mutex
	good, poor []Attempt
}

// Add remembers what became of a notice: one attempt for those who were told, and one
// for each reason why somebody was not, which explain puts into words. Receipts of nobody
// in particular name nobody.
func (h *History) Add(kind access.NoticeKind, receipts access.Receipts, began, ended time.Time, explain func(error) *Failure) {
	var reasons []error
	var attempts []Attempt
	for _, r := range receipts {
		at := slices.Index(reasons, r.Err)
		if at < 0 {
			at = len(reasons)
			reasons = append(reasons, r.Err)
			attempt := Attempt{At: began, Took: ended.Sub(began), Kind: kind}
			if r.Err != nil {
				attempt.Failure = explain(r.Err)
			}
			attempts = append(attempts, attempt)
		}
		if r.To != "" {
			attempts[at].To = append(attempts[at].To, string(r.To))
		}
	}

	h.mutex.Lock()
	defer h.mutex.Unlock()
	for _, a := range attempts {
		all := &h.good
		if a.Failure != nil {
			all = &h.poor
		}
		*all = append(*all, a)
		*all = slices.Delete(*all, 0, max(0, len(*all)-remembered))
	}
}

// Recent returns what was lately tried, the newest first: at most 20 attempts that went
// well and 20 that did not.
func (h *History) Recent() []Attempt {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	all := slices.Concat(h.good, h.poor)
	slices.SortStableFunc(all, func(a, b Attempt) int { return b.At.Compare(a.At) })
	return all
}
