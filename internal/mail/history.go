package mail

import (
	"slices"
	"sync"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/notice"
)

// remembered is how many attempts are kept that went well, and that did not.
const remembered = 20

// history is what this instance has lately tried to send. The zero value is empty. It
// may be used concurrently.
type history struct {
	mutex      sync.Mutex
	good, poor []notice.Attempt
}

// add remembers what became of a notice: one attempt for those who were told, and one
// for each reason why somebody was not.
func (h *history) add(kind access.NoticeKind, receipts access.Receipts, began, ended time.Time) {
	var reasons []error
	var attempts []notice.Attempt
	for _, r := range receipts {
		at := slices.Index(reasons, r.Err)
		if at < 0 {
			at = len(reasons)
			reasons = append(reasons, r.Err)
			attempts = append(attempts, notice.Attempt{At: began, Took: ended.Sub(began), Kind: kind, Failure: failure(r.Err)})
		}
		attempts[at].To = append(attempts[at].To, string(r.To))
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

// Recent returns what this instance has lately tried to send, the newest first: at
// most 20 attempts that went well and 20 that did not.
func (m *Mailer) Recent() []notice.Attempt {
	m.history.mutex.Lock()
	defer m.history.mutex.Unlock()
	all := slices.Concat(m.history.good, m.history.poor)
	slices.SortStableFunc(all, func(a, b notice.Attempt) int { return b.At.Compare(a.At) })
	return all
}
