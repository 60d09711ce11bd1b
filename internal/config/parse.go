package config

import (
	"errors"
	"fmt"
	"math"
	"net/url"
	"reflect"
	"regexp"
	"regexp/syntax"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // zones must not depend on what the machine has installed
	"unicode/utf8"

	"jitaccess/internal/access"
	"jitaccess/internal/gcp/resourcename"
	"jitaccess/internal/lazyregexp"
	"jitaccess/internal/loopback"
)

// parseInt reads what Java's parseInt reads, within bounds.
func parseInt(text string, least, most int) (int, bool) {
	n, err := strconv.Atoi(text)
	return n, err == nil && n >= least && n <= most
}

// bound is a bound in the tag of a number, which each has.
func bound(tag reflect.StructTag, name string) int {
	n, _ := strconv.Atoi(tag.Get(name))
	return n
}

func isTrue(text string) bool { return strings.EqualFold(text, "true") }

// parseList splits at commas; empty entries are dropped.
func parseList(text string) []string {
	var list []string
	for entry := range strings.SplitSeq(text, ",") {
		if entry = strings.TrimSpace(entry); entry != "" {
			list = append(list, entry)
		}
	}
	return list
}

func parsePeople(list []string) ([]string, bool) {
	var people []string
	for _, entry := range list {
		kind, address, _ := strings.Cut(entry, ":")
		if kind == "claim" && address != "" && strings.TrimSpace(address) == address {
			people = append(people, entry)
			continue
		}
		principal, err := access.ParsePrincipal(address)
		if err != nil || kind != "user" && kind != "group" {
			return nil, false
		}
		people = append(people, kind+":"+principal.String())
	}
	return people, true
}

// The forms of Java's ZoneId: an offset, one behind UTC, GMT or UT, or a region.
var (
	offsetPattern = lazyregexp.New(`^(?:UTC|GMT|UT)?([+-].*)$`)
	regionPattern = lazyregexp.New(`^[A-Za-z][A-Za-z0-9~/._+-]+$`)
)

// notRegions are names that Go or the zone database know and Java does not.
var notRegions = map[string]bool{"EST": true, "MST": true, "HST": true, "ROC": true, "Local": true, "Factory": true,
	"localtime": true, "posixrules": true}

func parseZone(text string) (*time.Location, bool) {
	if text == "Z" || text == "UT" {
		return time.UTC, true
	}
	if match := offsetPattern().FindStringSubmatch(text); match != nil {
		return parseOffset(text, match[1])
	}
	if notRegions[text] || !regionPattern().MatchString(text) || strings.HasPrefix(text, "posix/") || strings.HasPrefix(text, "right/") {
		return nil, false
	}
	zone, err := time.LoadLocation(text)
	return zone, err == nil
}

// parseOffset reads +h, +hh, +hh:mm, +hhmm, +hh:mm:ss and +hhmmss, up to 18 hours.
func parseOffset(name, text string) (*time.Location, bool) {
	east := "+" + text[1:]
	if len(east) == 2 {
		east = "+0" + text[1:]
	}
	for _, layout := range []string{"-07", "-07:00", "-0700", "-07:00:00", "-070000"} {
		t, err := time.Parse(layout, east)
		// It takes 60 for minutes and seconds.
		if err != nil || t.Format(layout) != east {
			continue
		}
		_, seconds := t.Zone()
		if text[0] == '-' {
			return time.FixedZone(name, -seconds), seconds <= 18*3600
		}
		return time.FixedZone(name, seconds), seconds <= 18*3600
	}
	return nil, false
}

// maxPattern bounds the program that a pattern becomes; RE2 keeps matching linear.
const maxPattern = 1000

// misread is what of Java's regular expressions RE2 takes for something else.
var misread = []struct {
	construct func() *regexp.Regexp
	name      string
}{
	{lazyregexp.New(`\[[^\]]*&&`), "an intersection of character classes"},
	{lazyregexp.New(`\[\^?[^\]\[]*\[[^:\]]`), "a character class within another"},
	{lazyregexp.New(`\(\?[a-zA-Z-]*U`), "the flag U"},
}

// escapedPair is a backslash with what it escapes; these are no construct.
var escapedPair = lazyregexp.New(`\\.`)

// parsePattern compiles a pattern that is to match in full, or says why not.
func parsePattern(text string) (pattern *regexp.Regexp, why string) {
	if utf8.RuneCountInString(text) > maxPattern {
		return nil, "it is longer"
	}
	// By itself first: "a)|(b" must not become valid by what is put around it.
	if _, err := regexp.Compile(text); err != nil {
		var fault *syntax.Error
		if !errors.As(err, &fault) {
			return nil, err.Error()
		}
		switch fault.Code {
		case syntax.ErrInvalidPerlOp, syntax.ErrInvalidRepeatOp, syntax.ErrInvalidEscape, syntax.ErrInvalidCharRange:
			return nil, fmt.Sprintf("it has %q, which Java may understand and RE2 does not", fault.Expr)
		}
		return nil, fault.Code.String()
	}
	plain := escapedPair().ReplaceAllString(text, "_")
	for _, m := range misread {
		if m.construct().MatchString(plain) {
			return nil, "it has " + m.name + ", which Java understands and RE2 takes for something else"
		}
	}
	pattern, err := regexp.Compile(`^(?:` + text + `)$`)
	if err != nil {
		return nil, `\Q must be closed by \E`
	}
	return pattern, ""
}

// parseStoredText reads where a text is kept, or the text itself. What begins like
// the version of a secret and is none is a slip, not a secret.
func parseStoredText(text string, file, parameter bool) (s StoredText, ok bool) {
	switch {
	case resourcename.IsSecretVersion(text), parameter && resourcename.IsParameterVersion(text):
		s.Version = text
	case strings.HasPrefix(text, "projects/"):
		return s, false
	case file:
		s.File = text
	default:
		s.Value = NewSecret(text)
	}
	return s, true
}

// parseURL reads where secrets may be sent: by HTTPS, or by plain HTTP to loopback.
func parseURL(text string) (u *url.URL, host string, ok bool) {
	u, err := url.Parse(text)
	if err != nil || u.User != nil || u.Opaque != "" || u.Fragment != "" || strings.HasSuffix(text, "#") ||
		strings.HasSuffix(u.Host, ":") { // so is https://https://host
		return nil, "", false
	}
	host = strings.ToLower(u.Hostname())
	return u, host, hostPattern().MatchString(host) && (u.Scheme == "https" || u.Scheme == "http" && loopback.Is(host))
}

// parseOrigin reads scheme and host, and port if it is not the usual one.
func parseOrigin(text string) (origin, host string, ok bool) {
	u, host, ok := parseURL(text)
	if !ok || u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.ForceQuery {
		return "", "", false
	}
	authority := strings.ToLower(u.Host)
	if port := u.Port(); port != "" {
		if _, ok := parseInt(port, 1, math.MaxUint16); !ok {
			return "", "", false
		}
		if port == map[string]string{"https": "443", "http": "80"}[u.Scheme] {
			authority = strings.TrimSuffix(authority, ":"+port)
		}
	}
	return u.Scheme + "://" + authority, host, true
}

var hostPattern = lazyregexp.New(`^([a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*|[0-9a-f:.]+)$`)
