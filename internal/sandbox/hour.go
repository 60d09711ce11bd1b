package sandbox

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"jitaccess/internal/sandbox/clock"
)

// steps are how far the clock may be moved at once. Others are to where a condition of a policy
// ends next, and until a time that the form has.
var steps = map[string]time.Duration{"15m": 15 * time.Minute, "1h": time.Hour, "1d": 24 * time.Hour}

const (
	stepToEnd = "end"
	stepUntil = "until"
)

// hour is what the bar says of the clock.
type hour struct {
	Now time.Time
	// Ahead is how far the clock is ahead of the real one, in words; empty is not at all.
	Ahead string
	// End is when a condition of a policy ends next, and of what; zero is never.
	End                       time.Time
	EndRole, EndMember, Where string
	// Return is where the form leads.
	Return string
}

func hourOf(c *clock.Clock) hour {
	h := hour{Now: c.Now()}
	if ahead := c.Ahead(); ahead > 0 {
		h.Ahead = inWords(ahead)
	}
	return h
}

// inWords is a length in its two largest units, to the minute.
func inWords(d time.Duration) string {
	minutes := int(d.Round(time.Minute) / time.Minute)
	days, hours, minutes := minutes/(24*60), minutes/60%24, minutes%60
	switch {
	case days > 0 && hours > 0:
		return fmt.Sprintf("%d d %d h", days, hours)
	case days > 0:
		return fmt.Sprintf("%d d", days)
	case hours > 0 && minutes > 0:
		return fmt.Sprintf("%d h %d min", hours, minutes)
	case hours > 0:
		return fmt.Sprintf("%d h", hours)
	}
	return fmt.Sprintf("%d min", minutes)
}

// hour is what the bar says of the time, on a page that leads back to a path.
func (f *front) hour(back string) hour {
	h := hourOf(f.clock)
	h.Return = back
	if end, resource, of, found := f.cloud.NextEnd(h.Now); found {
		h.End, h.Where, h.EndRole = end, resource, of.Role
		if len(of.Members) > 0 {
			h.EndMember = of.Members[0]
		}
	}
	return h
}

// moveClock moves the clock of the sandbox.
func (f *front) moveClock(w http.ResponseWriter, r *http.Request) {
	if !fromHere(w, r) {
		return
	}
	move(w, r, f.clock, func(now time.Time) (time.Time, bool) {
		end, _, _, found := f.cloud.NextEnd(now)
		return end, found
	})
}

// move moves a clock by the step that a form has chosen, and leads back. next is where something
// ends next.
func move(w http.ResponseWriter, r *http.Request, c *clock.Clock, next func(now time.Time) (time.Time, bool)) {
	step, now := r.PostFormValue("step"), c.Now()
	by, known := steps[step]
	switch step {
	case stepToEnd:
		end, found := next(now)
		if !found {
			http.Error(w, "Nothing in the policies ends, so there is no end to go to.", http.StatusConflict)
			return
		}
		by, known = beyond(end, now), true
	case stepUntil:
		until, err := time.Parse(time.RFC3339Nano, r.PostFormValue("until"))
		by, known = beyond(until, now), err == nil
	}
	if !known {
		http.Error(w, "The clock goes forward by 15 minutes, an hour, a day, or to where access ends.", http.StatusBadRequest)
		return
	}
	if err := c.Forward(r.Context(), by, stops(now, now.Add(by), next)...); err != nil {
		http.Error(w, "The clock was not moved: "+err.Error()+". Start the sandbox again to begin at the real time.", http.StatusConflict)
		return
	}
	http.Redirect(w, r, localPath(r.PostFormValue("return")), http.StatusSeeOther)
}

// What happens before an end, and how many ends are stopped at on the way: people are told some
// minutes before, which would be past if the clock went there at once.
const (
	beforeEnd = 9 * time.Minute
	maxEnds   = 20
)

// stops are where the clock stops on the way: shortly before each end, and right after.
func stops(now, to time.Time, next func(time.Time) (time.Time, bool)) []time.Time {
	var all []time.Time
	for end, found := next(now); found && end.Before(to) && len(all) < 2*maxEnds; end, found = next(end) {
		all = append(all, end.Add(-beforeEnd), end.Add(time.Second))
	}
	slices.SortFunc(all, time.Time.Compare)
	return all
}

// beyond is how far it is to where what ends at a time is over for everybody, also for who
// counts in whole seconds.
func beyond(end, now time.Time) time.Duration { return min(end.Sub(now), clock.MaxAhead) + time.Second }

// fromHere bounds a form, and refuses one that does not say that it was sent from this origin.
// That it is not from another one is looked at before.
func fromHere(w http.ResponseWriter, r *http.Request) bool {
	r.Body = http.MaxBytesReader(w, r.Body, 16<<10)
	if r.Header.Get("Origin") == "" && r.Header.Get("Sec-Fetch-Site") == "" {
		http.Error(w, "This form must be sent by a browser that says where it comes from.", http.StatusForbidden)
		return false
	}
	return true
}
