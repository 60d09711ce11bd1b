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
	attempt := func(to access.Principal, err error) notice.Attempt {
		return notice.Attempt{At: began, Took: ended.Sub(began), Kind: kind, To: []string{string(to)}, Failure: failure(err)}
	}
	var told, poor []notice.Attempt
	for _, r := range receipts {
		switch i := slices.IndexFunc(poor, func(a notice.Attempt) bool { return a.Failure.Err == r.Err }); {
		case i >= 0:
			poor[i].To = append(poor[i].To, string(r.To))
		case r.Err != nil:
			poor = append(poor, attempt(r.To, r.Err))
		case told != nil:
			told[0].To = append(told[0].To, string(r.To))
		default:
			told = []notice.Attempt{attempt(r.To, nil)}
		}
	}

	h.mutex.Lock()
	defer h.mutex.Unlock()
	h.good = newest(append(h.good, told...))
	h.poor = newest(append(h.poor, poor...))
}

// newest drops the oldest in place: it happens for every mail.
func newest(all []notice.Attempt) []notice.Attempt {
	return slices.Delete(all, 0, max(0, len(all)-remembered))
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
