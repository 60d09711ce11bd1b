package access_test

import (
	"testing"
	"time"

	"jitaccess/internal/access"
)

func TestWhatIsDueAndWhen(t *testing.T) {
	r := request() // an hour's life
	made := r.Created
	life := r.Expires.Sub(made)
	w := func(length time.Duration) access.Window { return access.Window{Start: made, End: made.Add(length)} }
	in := func(s access.State, change func(*access.Request)) access.Request {
		r := request()
		r.State = s
		if change != nil {
			change(&r)
		}
		return r
	}
	escalated := func(n int, after ...time.Duration) func(*access.Request) {
		return func(r *access.Request) {
			r.Reminded, r.Escalated = made, n
			for _, d := range after {
				r.Terms.Escalations = append(r.Terms.Escalations, access.Escalation{After: d})
			}
		}
	}
	for _, c := range []struct {
		rule    string
		request access.Request
		// at is DueAt after it was made, do DueBy then; over is DueBy when its state is over.
		at   time.Duration
		do   access.Action
		over access.Action
	}{
		{"half of its life", in(access.Pending, nil), life / 2, access.Reminded, access.RequestLapsed},
		{"as its rule says", in(access.Pending, func(r *access.Request) { r.Terms.RemindAfter = 7 * time.Minute }), 7 * time.Minute, access.Reminded,
			access.RequestLapsed},
		{"half of what is left of its window", in(access.Pending, func(r *access.Request) { r.Fixed = w(20 * time.Minute) }), 10 * time.Minute,
			access.Reminded, access.RequestLapsed},
		{"reminded once", in(access.Pending, func(r *access.Request) { r.Reminded = made }), life, access.RequestLapsed, access.RequestLapsed},
		{"the reminder after the end", in(access.Pending, func(r *access.Request) { r.Terms.RemindAfter = 9 * life }), life, access.RequestLapsed,
			access.RequestLapsed},
		{"an escalation", in(access.Pending, escalated(0, time.Minute, 2*time.Minute)), time.Minute, access.Escalated, access.RequestLapsed},
		{"the next", in(access.Pending, escalated(1, time.Minute, 2*time.Minute)), 2 * time.Minute, access.Escalated, access.RequestLapsed},
		{"no more", in(access.Pending, escalated(2, time.Minute, 2*time.Minute)), life, access.RequestLapsed, access.RequestLapsed},
		{"more than there are", in(access.Pending, escalated(3, time.Minute)), life, access.RequestLapsed, access.RequestLapsed},
		{"approved", in(access.Approved, func(r *access.Request) { r.Window = w(time.Hour) }), 0, access.GrantWritten, access.GrantWritten},
		{"scheduled", in(access.Scheduled, func(r *access.Request) {
			r.Window = access.Window{Start: made.Add(time.Hour), End: made.Add(2 * time.Hour)}
		}), time.Hour - access.LeadTime, access.GrantWritten, access.GrantWritten},
		{"ten minutes before the end", in(access.Active, func(r *access.Request) { r.Window = w(21 * time.Minute) }), 11 * time.Minute, access.Reminded,
			access.GrantExpired},
		{"a short grant", in(access.Active, func(r *access.Request) { r.Window = w(20 * time.Minute) }), 20 * time.Minute, access.GrantExpired,
			access.GrantExpired},
		{"reminded before it was decided", in(access.Active, func(r *access.Request) { r.Window, r.Reminded = w(time.Hour), made }), 50 * time.Minute,
			access.Reminded, access.GrantExpired},
		{"told of the end", in(access.Active, func(r *access.Request) { r.Window, r.Reminded = w(time.Hour), made.Add(50*time.Minute) }), time.Hour,
			access.GrantExpired, access.GrantExpired},
	} {
		if got := c.request.DueAt().Sub(made); got != c.at {
			t.Errorf("%s: due after %v, want %v", c.rule, got, c.at)
		}
		if got := c.request.DueBy(made.Add(c.at)); got != c.do {
			t.Errorf("%s: %q is due, want %q", c.rule, got, c.do)
		}
		if got := c.request.DueBy(made.Add(c.at - time.Microsecond)); got != "" {
			t.Errorf("%s: %q is due too early", c.rule, got)
		}
		if got := c.request.DueBy(made.Add(30 * 24 * time.Hour)); got != c.over {
			t.Errorf("%s: %q is due when it is over, want %q", c.rule, got, c.over)
		}
	}
	for _, s := range []access.State{access.Unmade, access.Failed, access.Ended, access.Expired, access.Denied, access.Withdrawn, access.Lapsed} {
		if r := in(s, escalated(0, time.Minute)); !r.DueAt().IsZero() || r.DueBy(made.Add(life)) != "" {
			t.Errorf("%s: due at %v", s, r.DueAt())
		}
	}
}
