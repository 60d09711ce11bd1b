package mail

import (
	"fmt"
	"strings"
	"time"

	"jitaccess/internal/access"
)

// The longest texts of others that a mail shows, in characters. They leave room for
// everything that the product itself lets through, so that nothing pushes the rest
// off the screen.
const (
	maxTitle     = 200
	maxUserText  = 500
	maxCondition = 2000
)

// plain makes the text of others harmless to look at: on one line, every invisible
// or direction-changing character spelled out, at most max characters.
func plain(s string, max int) string {
	characters := []rune(strings.ToValidUTF8(s, "\uFFFD"))
	if len(characters) > max {
		return strings.TrimSpace(access.Visible(string(characters[:max])) + "…")
	}
	return strings.TrimSpace(access.Visible(string(characters)))
}

// instant prints a time as mails of JIT Access 1.x did.
func (c composer) instant(t time.Time) string {
	t = t.In(c.location)
	if _, offset := t.Zone(); offset == 0 {
		return t.Format("Mon, 2 Jan 2006 15:04:05 ") + "GMT"
	}
	return t.Format("Mon, 2 Jan 2006 15:04:05 -0700")
}

// length prints a span in words: "1 hour 30 minutes".
func length(d time.Duration) string {
	minutes := int(d.Round(time.Minute) / time.Minute)
	var parts []string
	for _, unit := range []struct {
		minutes int
		name    string
	}{{24 * 60, "day"}, {60, "hour"}, {1, "minute"}} {
		n := minutes / unit.minutes
		minutes %= unit.minutes
		switch {
		case n == 1:
			parts = append(parts, "1 "+unit.name)
		case n > 1:
			parts = append(parts, fmt.Sprintf("%d %ss", n, unit.name))
		}
	}
	if parts == nil {
		return "0 minutes"
	}
	return strings.Join(parts, " ")
}

func people(principals []access.Principal) string {
	var names []string
	for _, p := range principals {
		names = append(names, string(p))
	}
	return strings.Join(names, ", ")
}

// resource is a resource in words: "project shop-prod".
func resource(r access.Resource) string { return resourceKind(r) + " " + r.Name() }

func resourceKind(r access.Resource) string { return strings.TrimSuffix(r.Kind(), "s") }

func capital(s string) string { return strings.ToUpper(s[:1]) + s[1:] }
