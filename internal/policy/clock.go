package policy

import (
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // a rule means the same on every host
)

// weekdays are the days as a file names them, by time.Weekday.
var weekdays = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

const (
	clockFormat = "15:04"
	dayFormat   = time.DateOnly
	day         = 24 * 60 // minutes
)

// hours are times of day in a zone, as the clock on the wall there shows them: an hour
// that comes twice in autumn counts both times.
type hours struct {
	// days are when it begins; none is every day.
	days []time.Weekday
	// from is the first minute of the day, to the first that is over. Where from is
	// later it lasts into the next day.
	from, to int
	zone     *time.Location
}

// parseDays reads mon, or mon-fri; fri-mon is four days.
func parseDays(text string) []time.Weekday {
	first, last, _ := strings.Cut(text, "-")
	at := slices.Index(weekdays, first)
	days := []time.Weekday{time.Weekday(at)}
	for last != "" && weekdays[at] != last {
		at = (at + 1) % len(weekdays)
		days = append(days, time.Weekday(at))
	}
	return days
}

// parseClock reads a time of day in minutes; 24:00 is allowed.
func parseClock(text string) int {
	if text == "24:00" {
		return day
	}
	t, _ := time.Parse(clockFormat, text) // the schema has checked it
	return t.Hour()*60 + t.Minute()
}

// moment is a point in time, and what the clock and the calendar on the wall of each zone show
// then. That takes time to work out, and many rules ask for it of few zones.
type moment struct {
	at    time.Time
	walls []wall
}

type wall struct {
	zone    *time.Location
	minute  int // of the day
	weekday time.Weekday
	day     string // as dayFormat
}

func (m *moment) in(zone *time.Location) *wall {
	at := slices.IndexFunc(m.walls, func(w wall) bool { return w.zone == zone })
	if at < 0 {
		t := m.at.In(zone)
		at, m.walls = len(m.walls), append(m.walls, wall{zone, t.Hour()*60 + t.Minute(), t.Weekday(), t.Format(dayFormat)})
	}
	return &m.walls[at]
}

func (h hours) contain(m *moment) bool {
	w := m.in(h.zone)
	on := func(d time.Weekday) bool { return len(h.days) == 0 || slices.Contains(h.days, d) }
	if h.from < h.to {
		return on(w.weekday) && h.from <= w.minute && w.minute < h.to
	}
	yesterday := (w.weekday + 6) % 7
	return on(w.weekday) && w.minute >= h.from || on(yesterday) && w.minute < h.to
}

// dates are whole days in a zone, both of them included. An empty one is no limit.
type dates struct {
	from, to string
	zone     *time.Location
}

func (d dates) contain(m *moment) bool {
	today := m.in(d.zone).day
	return d.from <= today && (d.to == "" || today <= d.to)
}

// zoneOf finds a zone by its name in the IANA database. "Local" would be another on every
// host, and is none.
func zoneOf(name string) (*time.Location, bool) {
	zone, err := time.LoadLocation(name)
	return zone, err == nil && name != "Local"
}
