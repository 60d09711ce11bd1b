package mail

import (
	"slices"
	"sync"
	"time"

	"jitaccess/internal/access"
)

// Attempt is what became of one mail for some of those to whom it was sent.
type Attempt struct {
	// At is when it began, and Took how long it took for all.
	At   time.Time
	Took time.Duration
	// Kind is what they were told, or TestMessage.
	Kind access.NoticeKind
	To   []string
	// Err is why they could not be told; nil means that the mail server took it.
	Err error
}

// TestMessage is the kind of a mail that Probe sent.
const TestMessage access.NoticeKind = "test"

// remembered is how many attempts are kept that went well, and that did not.
const remembered = 20

// history is what this instance has lately tried to send. The zero value is empty. It
// may be used concurrently.
type history struct {
	mutex      sync.Mutex
	good, poor []Attempt
}

// add remembers what became of a mail to people: one attempt for those who were told,
// and one for each reason why somebody was not.
func (h *history) add(kind access.NoticeKind, people []access.Principal, failed []access.Undelivered, began, ended time.Time) {
	var told []string
	for _, p := range people {
		if !slices.ContainsFunc(failed, func(u access.Undelivered) bool { return u.To == p }) {
			told = append(told, string(p))
		}
	}
	attempt := func(to []string, err error) Attempt {
		return Attempt{At: began, Took: ended.Sub(began), Kind: kind, To: to, Err: err}
	}
	var poor []Attempt
	for _, u := range failed {
		if i := slices.IndexFunc(poor, func(a Attempt) bool { return a.Err == u.Err }); i >= 0 {
			poor[i].To = append(poor[i].To, string(u.To))
			continue
		}
		poor = append(poor, attempt([]string{string(u.To)}, u.Err))
	}

	h.mutex.Lock()
	defer h.mutex.Unlock()
	if told != nil {
		h.good = newest(append(h.good, attempt(told, nil)))
	}
	h.poor = newest(append(h.poor, poor...))
}

// newest drops the oldest in place: it happens for every mail.
func newest(all []Attempt) []Attempt { return slices.Delete(all, 0, max(0, len(all)-remembered)) }

// Recent returns what this instance has lately tried to send, the newest first: at
// most 20 attempts that went well and 20 that did not.
func (m *Mailer) Recent() []Attempt {
	m.history.mutex.Lock()
	defer m.history.mutex.Unlock()
	all := slices.Concat(m.history.good, m.history.poor)
	slices.SortStableFunc(all, func(a, b Attempt) int { return b.At.Compare(a.At) })
	return all
}
