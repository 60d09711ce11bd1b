package access

import (
	"slices"
	"time"
)

// EndingNotice is how long before the end of a grant its holder is told of it. Grants of
// at most twice that are not told of: who had one for so short a time knows.
const EndingNotice = 10 * time.Minute

// endingTime is after what time an end that was asked for is carried out by somebody else:
// whoever did has given up, or is gone.
const endingTime = time.Minute

// errand is something that time alone brings about.
type errand struct {
	do Action
	at time.Time
}

// errands are what is to be done about the request as it is; the first is what ends the
// state in which it is, and the others come before that or not at all.
func (r Request) errands() []errand {
	var all []errand
	if !r.Ending.IsZero() && slices.Contains([]State{Approved, Scheduled, Active}, r.State) {
		return []errand{{GrantEnded, r.Ending.Add(endingTime)}}
	}
	switch r.State {
	case Pending:
		over := r.Expires
		if !r.Fixed.IsZero() && r.Fixed.End.Before(over) {
			over = r.Fixed.End
		}
		all = []errand{{RequestLapsed, over}}
		if r.Reminded.IsZero() {
			after := r.Terms.RemindAfter
			if after == 0 {
				after = over.Sub(r.Created) / 2
			}
			all = append(all, errand{Reminded, r.Created.Add(after)})
		}
		if r.Escalated < len(r.Terms.Escalations) {
			all = append(all, errand{Escalated, r.Created.Add(r.Terms.Escalations[r.Escalated].After)})
		}
	case Approved:
		all = []errand{{GrantWritten, r.Window.Start}}
	case Scheduled:
		all = []errand{{GrantWritten, r.Window.Start.Add(-LeadTime)}}
	case Active:
		all = []errand{{GrantExpired, r.Window.End}}
		// A reminder from before it was decided lies before that, too.
		if at := r.Window.End.Add(-EndingNotice); r.Window.Length() > 2*EndingNotice && r.Reminded.Before(at) {
			all = append(all, errand{Reminded, at})
		}
	}
	return all
}

// Reminding is when those are reminded who were asked and have not decided; zero where that is
// over, or nobody has to decide any more.
func (r Request) Reminding() time.Time {
	for _, e := range r.errands() {
		if e.do == Reminded && r.State == Pending {
			return e.at
		}
	}
	return time.Time{}
}

// Escalating are those of the terms' escalations that are still to come.
func (r Request) Escalating() []Escalation {
	if r.State != Pending || r.Escalated >= len(r.Terms.Escalations) {
		return nil
	}
	return r.Terms.Escalations[r.Escalated:]
}

// DueAt is when something is to be done about the request as it is; zero is never.
// What nobody decided, or has run out, is to be recorded as such; what was approved is to
// be written from the start of its window on, or LeadTime before it; an end that was asked
// for and of which nothing was heard is to be carried out; and people are to be told again
// of what waits for them, or ends soon.
func (r Request) DueAt() time.Time {
	var first time.Time
	for i, e := range r.errands() {
		if i == 0 || e.at.Before(first) {
			first = e.at
		}
	}
	return first
}

// DueBy is what is to be done about the request as it is, by a time: what ends its state if
// that is due, so that nobody is told again of what is over, and else what has been due
// longest; empty is nothing.
func (r Request) DueBy(now time.Time) Action {
	var due errand
	for i, e := range r.errands() {
		switch {
		case now.Before(e.at):
		case i == 0:
			return e.do
		case due.do == "" || e.at.Before(due.at):
			due = e
		}
	}
	return due.do
}
