package relational_test

import (
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/ledger"
)

// A clock tells nanoseconds, and a home keeps microseconds: the row of a request says what
// its entries say, whatever the moment.
func TestARowSaysWhatItsEntriesSayAtAnyMoment(t *testing.T) {
	for name, open := range homes {
		t.Run(name, func(t *testing.T) {
			c, home := newClock(), open(t)
			c.Advance(123_456_789 * time.Nanosecond)
			s := store(t, home, c)
			asked, found := made(c, pending), made(c, "mpa-TTTTTTTTTTTTTTTT")
			for _, r := range []*access.Request{&asked.Request, &found.Request} { // as the broker makes them
				r.Created, r.Expires = r.Created.Truncate(time.Second), r.Expires.Truncate(time.Second)
			}
			if _, err := s.Commit(t.Context(), asked, nil); err != nil {
				t.Fatal(err)
			}
			found.Action, found.Caller = access.GrantTakenIn, access.Caller{Method: access.MethodSystem}
			found.Window = access.Window{Start: c.Now().Truncate(time.Second), End: c.Now().Truncate(time.Second).Add(30 * time.Minute)}
			if _, err := s.Commit(t.Context(), found, nil); err != nil {
				t.Fatal(err)
			}
			c.Advance(time.Minute + 321*time.Nanosecond)
			r, err := s.Open(t.Context(), pending)
			if err != nil {
				t.Fatal(err)
			}
			reminded := access.Event{Action: access.Reminded, At: c.Now(), Caller: access.Caller{Method: access.MethodSystem}, Request: r}
			if _, err := s.Commit(t.Context(), reminded, nil); err != nil {
				t.Fatal(err)
			}
			report, err := ledger.Verify(t.Context(), home, keys(t, secret))
			if err != nil || len(report.Findings) > 0 || report.Requests != 2 {
				t.Errorf("%+v, %v", report, err)
			}
		})
	}
}
