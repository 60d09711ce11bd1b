package condition_test

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/gcp/condition"
)

func TestLimits(t *testing.T) {
	const noon = `timestamp("2026-03-02T12:00:00Z")`
	for _, c := range []struct {
		name, resource, start, end string
		unclear                    bool
	}{
		{"no condition", "", "", "", false},
		{"nothing of the time", `resource.name == "request.time"`, "", "", false},
		{"another fact of the request", `request.path == "/x"`, "", "", false},
		{"before", "request.time < " + noon, "", "12:00:00", false},
		{"until", "request.time <= " + noon, "", "12:00:00", false},
		{"from", "request.time >= " + noon, "12:00:00", "", false},
		{"after", "request.time > " + noon, "12:00:01", "", false},
		{"the other way round", noon + " > request.time", "", "12:00:00", false},
		{"the other way round, from", noon + " <= request.time", "12:00:00", "", false},
		{"negated", "!(request.time >= " + noon + ")", "", "12:00:00", false},
		{"negated twice", "!!(request.time >= " + noon + ")", "12:00:00", "", false},
		{"a fraction is rounded down", `request.time < timestamp("2026-03-02T12:00:00.9Z")`, "", "12:00:00", false},
		{"a fraction is rounded up", `request.time >= timestamp("2026-03-02T12:00:00.1Z")`, "12:00:01", "", false},
		{"an offset", `request.time < timestamp("2026-03-02T12:00:00+02:00")`, "", "10:00:00", false},
		{"in CEL's other spelling", ".request.time < " + noon, "", "12:00:00", false},
		{"before CEL's first time", `request.time > timestamp("0000-01-01T00:00:00Z")`, "", "", true},
		{"over since time began", `request.time < timestamp("0001-01-01T00:00:00Z")`, "", "00:00:01", false},
		{"both sides", "request.time >= " + noon + ` && request.time < timestamp("2026-03-02T13:00:00Z")`, "12:00:00", "13:00:00", false},
		{"the narrower of two", "request.time < " + noon + ` && request.time < timestamp("2026-03-02T13:00:00Z") && request.time > timestamp("2026-03-02T09:00:00Z") && request.time >= timestamp("2026-03-02T10:00:00Z")`,
			"10:00:00", "12:00:00", false},
		{"beside a resource", `resource.name == "x" && request.time < ` + noon, "", "12:00:00", false},
		{"seconds since 1970", `request.time < timestamp(1772452800)`, "", "12:00:00", false},
		{"a duration added", `request.time < timestamp("2026-03-02T10:00:00Z") + duration("2h")`, "", "12:00:00", false},
		{"a duration first", `request.time < duration("7200s") + timestamp("2026-03-02T10:00:00Z")`, "", "12:00:00", false},
		{"durations together", `request.time < ` + noon + ` - (duration("2h") - duration("1h"))`, "", "11:00:00", false},
		// Not understood.
		{"hours of the day", `request.time.getHours("Europe/Berlin") < 18`, "", "", true},
		{"hours beside an end", `request.time.getHours() < 18 && request.time < ` + noon, "", "12:00:00", true},
		{"an alternative", `request.time < ` + noon + ` || resource.name == "x"`, "", "", true},
		{"a choice", `resource.name == "x" ? request.time < ` + noon + " : true", "", "", true},
		{"equal", "request.time == " + noon, "", "", true},
		{"no time", `request.time < timestamp("noon")`, "", "", true},
		{"an hour of one digit", `request.time < timestamp("2026-03-02T9:00:00Z")`, "", "", true},
		{"a date", `request.time < date("2026-03-02")`, "", "", true},
		{"a duration of the request", `request.time - duration("1h") < ` + noon, "", "", true},
		{"a distance", "request.time - " + noon + ` < duration("1h")`, "", "", true},
		{"what is none added", `request.time < ` + noon + ` + duration("soon")`, "", "", true},
		{"times added", `request.time < ` + noon + " + " + noon, "", "", true},
		{"a method of its name", `request.time < a.timestamp("2026-03-02T12:00:00Z")`, "", "", true},
		{"another fact", `request.time < resource.end`, "", "", true},
		{"a time and a duration", `request.time < duration("1h")`, "", "", true},
		{"two times", `request.time + ` + noon + ` < ` + noon, "", "", true},
		{"itself", `request.time < request.time`, "", "", true},
		{"by index", `request["time"] < ` + noon, "", "", true},
		{"all of the request", `f(request)`, "", "", true},
		{"beyond what CEL computes", `request.time < timestamp("9999-12-31T23:00:00Z") + duration("2h")`, "", "", true},
		{"so long a duration", `request.time - timestamp("0001-01-02T00:00:00Z") < duration("1h")`, "", "", true},
		{"not CEL", `request.time < (`, "", "", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, unclear := condition.Limits(c.resource)
			if clock(got.Start) != c.start || clock(got.End) != c.end || unclear != c.unclear {
				t.Errorf("Limits(%q) = %v, %t", c.resource, got, unclear)
			}
		})
	}
}

func clock(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format("15:04:05")
}

// Whenever we say that an eligibility holds, IAM finds its condition true as far as the
// time goes; and what is understood in full is never told shorter by a second.
func FuzzLimits(f *testing.F) {
	for _, seed := range []string{
		`request.time < timestamp("2026-03-02T12:00:00Z")`,
		`request.time >= timestamp("2026-03-02T12:00:00.5Z") && !(timestamp("2026-03-02T13:00:00+01:00") <= request.time)`,
		`request.time - timestamp("2026-03-02T12:00:00Z") < duration("90m")`,
		`duration("90m") <= timestamp("2027-03-02T12:00:00Z") - request.time && a`,
		`timestamp("2026-03-02T12:00:00Z") - (duration("1h") - duration("1m")) > request.time + duration("-1s")`,
		`request.time < timestamp("9999-12-31T23:59:59Z") + duration("1h")`,
		`request.time - timestamp("0001-01-01T00:00:00Z") > duration("1h")`,
		`request.time.getFullYear() < 2027 && request.time < timestamp("2026-03-02T12:00:00Z")`,
		`(a || request.time < timestamp("2026-03-02T12:00:00Z")) && b`,
	} {
		f.Add(seed, int64(1_772_452_800))
	}
	env := environment(f)
	f.Fuzz(func(t *testing.T, text string, at int64) {
		resource, err := condition.Canonical(text)
		if err != nil {
			return
		}
		w, unclear := condition.Limits(resource)
		program, err := tryCompile(env, resource)
		if err != nil {
			return
		}
		moments := []time.Time{time.Unix(1_700_000_000+at%1_000_000_000, 0).UTC()}
		for _, edge := range []time.Time{w.Start, w.End} {
			if !edge.IsZero() && edge.Year() > 1970 && edge.Year() < 2100 {
				moments = append(moments, edge.Add(-time.Second), edge, edge.Add(time.Second))
			}
		}
		for _, m := range moments {
			holds := !m.Before(w.Start) && (w.End.IsZero() || m.Before(w.End))
			facts := map[string]any{"a": true, "b": true, "c": true, "request": map[string]any{"time": m}}
			// "<=" ends within the second that a bound, which is exclusive, cannot name.
			if !holds && evaluate(program, facts) && !m.Equal(w.End) {
				t.Errorf("%q is true at %s, which is not within %v", resource, m, w)
			}
			if holds && !unclear && onlyTime(resource) && !evaluate(program, facts) {
				t.Errorf("%q is not true at %s, which is within %v", resource, m, w)
			}
		}
	})
}

// onlyTime is whether a condition is made of nothing but comparisons with the time, so
// that nothing else makes it false.
func onlyTime(resource string) bool {
	for _, clause := range strings.Split(resource, " && ") {
		rest := ofTime.ReplaceAllString(clause, "")
		if rest == clause || !strings.Contains(clause, "request.time") || strings.ContainsAny(rest, letters) {
			return false
		}
	}
	return true
}

const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_?"

var ofTime = regexp.MustCompile(`\brequest\.time\b|\b(timestamp|duration)\("[^"]*"\)`)
