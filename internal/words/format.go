package words

import (
	"strconv"
	"strings"
	"time"

	"jitaccess/internal/access"
)

// List is names as a sentence has them: “a, b and c”.
func (l *Language) List(names []string) string {
	last := len(names) - 1
	if last < 1 {
		return l.Series(names)
	}
	return l.Text("list.and", "first", l.Series(names[:last]), "last", names[last])
}

// How many names Some takes for many, and how many of those it names.
const (
	manyNames  = 8
	namesFirst = 5
)

// Some is List, which of many names has the first, and how many others there are: “a, b and 48
// others”. It is for where all of them are told elsewhere.
func (l *Language) Some(names []string) string {
	if len(names) < manyNames {
		return l.List(names)
	}
	return l.List(append(names[:namesFirst:namesFirst], l.Text("list.others", "count", len(names)-namesFirst)))
}

// Series is names one after the other: “a, b, c”.
func (l *Language) Series(names []string) string {
	if len(names) == 0 {
		return ""
	}
	all := names[0]
	for _, name := range names[1:] {
		all = l.Text("list.comma", "first", all, "next", name)
	}
	return all
}

// groupKey is the text between the thousands of a number.
const groupKey = "number.group"

// Number is a whole number with its thousands apart, from five digits on: years and what is
// read at a glance stay as they are.
func (l *Language) Number(n int) string {
	digits := strconv.Itoa(n)
	if n < 10000 && n > -10000 {
		return digits
	}
	for at := len(digits) - 3; at > 0 && digits[at-1] != '-'; at -= 3 {
		digits = digits[:at] + l.group + digits[at:]
	}
	return digits
}

// Person is for whom a request is: an address or, where nobody knows one, what an application
// calls them.
func (l *Language) Person(r access.Request) string {
	if r.Asking.Unlinked {
		return l.Text("person.unlinked", "subject", access.Clip(access.Visible(r.Asking.Subject), 200), "application", r.Asking.Application)
	}
	return string(r.Principal)
}

// Hours is a length of time in hours and minutes, and Days in days too. Seconds are
// cut off.
func (l *Language) Hours(d time.Duration) string { return l.length(d, units[1:]) }

// Days is as Hours.
func (l *Language) Days(d time.Duration) string { return l.length(d, units) }

type unit struct {
	key  string
	long time.Duration
}

var units = []unit{{"duration.day", 24 * time.Hour}, {"duration.hour", time.Hour}, {"duration.minute", time.Minute}}

func (l *Language) length(d time.Duration, units []unit) string {
	text := ""
	for i, u := range units {
		n := int(d / u.long)
		d -= time.Duration(n) * u.long
		switch last := i == len(units)-1; {
		case n == 0 && (text != "" || !last):
		case text == "":
			text = l.Text(u.key, "count", n)
		default:
			text = l.Text("duration.and", "more", text, "less", l.Text(u.key, "count", n))
		}
	}
	return text
}

// Relative says how far away something is; d is negative for the past.
func (l *Language) Relative(d time.Duration) string {
	if d <= 0 && d > -time.Minute {
		return l.Text("relative.now")
	}
	form := "relative.in"
	if d < 0 {
		form, d = "relative.ago", -d
	}
	length := l.Hours(d)
	switch {
	case d < time.Minute:
		length = l.Text("duration.moment")
	case d >= units[0].long:
		length = l.Text("relative.day", "count", int(d/units[0].long)) // some languages decline it after "in" and "ago"
	}
	return l.Text(form, "length", length)
}

// Moment is an instant as pages show it, in UTC and to the minute.
func (l *Language) Moment(t time.Time) string { return l.date("date.page", t.UTC()) }

// Day is a day, in the zone of t.
func (l *Language) Day(t time.Time) string { return l.date("date.day", t) }

// Clock is the time of day, in UTC and to the minute.
func (l *Language) Clock(t time.Time) string { return l.date("date.clock", t.UTC()) }

// lookAlikes are the messages about the scripts of access.LookAlike.
var lookAlikes = map[string]string{"Cyrillic": "lookalike.cyrillic", "Greek": "lookalike.greek"}

// LookAlike warns of a word in a text of others that is not what it looks like
// (access.LookAlike); empty where there is none.
func (l *Language) LookAlike(text string) string {
	word, script := access.LookAlike(text)
	if word == "" {
		return ""
	}
	return l.Text(lookAlikes[script], "word", access.Clip(access.Visible(word), 100))
}

// Instant is a time as notices print it, in its own zone.
func (l *Language) Instant(t time.Time) string { return l.date("date.notice", t) }

func (l *Language) date(form string, t time.Time) string {
	zone := t.Format("-0700")
	if zone == "+0000" {
		zone = "GMT"
	}
	return l.Text(form, "weekday", nth(l.Text("date.weekdays"), int(t.Weekday())), "day", t.Day(),
		"month", nth(l.Text("date.months"), int(t.Month()-1)), "year", strconv.Itoa(t.Year()),
		"hour", t.Format("15"), "minute", t.Format("04"), "second", t.Format("05"), "zone", zone)
}

// nth is a word of a list, of which the first one is 0.
func nth(list string, n int) string {
	for word := range strings.FieldsSeq(list) {
		if n--; n < 0 {
			return word
		}
	}
	return ""
}
