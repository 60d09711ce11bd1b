package config_test

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/config"
	"jitaccess/internal/words"
)

// Zones are what Java's ZoneId accepts.
func TestTimeZone(t *testing.T) {
	at := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	for text, seconds := range map[string]int{
		"UTC": 0, "GMT": 0, "UT": 0, "Z": 0, "Etc/UTC": 0, "GMT0": 0, "Europe/Berlin": 7200, "Australia/Melbourne": 36000, "US/Pacific": -25200,
		"CET": 7200, "EST5EDT": -14400, "Etc/GMT+5": -18000, "America/Argentina/Buenos_Aires": -10800,
		"+10:00": 36000, "-08:00": -28800, "+5": 18000, "+05": 18000, "+0530": 19800, "+05:30:15": 19815, "+053015": 19815, "+18:00": 64800,
		"UTC+2": 7200, "GMT-3": -10800, "UT+01:30": 5400, "UTC+0": 0,
	} {
		c := mustRead(t, "NOTIFICATION_TIMEZONE="+text)
		if _, got := at.In(c.Mail.TimeZone).Zone(); got != seconds {
			t.Errorf("%s is %d s east of Greenwich, want %d", text, got, seconds)
		}
	}
	for _, text := range []string{"EST", "MST", "HST", "PST", "ROC", "Local", "europe/berlin", "utc", "z", "Europe/Nowhere", "+", "UTC+", "+1:30", "+130",
		"+19:00", "+18:01", "+10:60", "+10:0000", "10:00", "+10:00Z", "UTC 2", "../UTC", "/etc/localtime", "localtime", "posix/UTC", "right/UTC",
		"+١٠:٠٠"} {
		if found := faults(t, with("NOTIFICATION_TIMEZONE="+text)); len(found) != 1 || found[0].Variable != "NOTIFICATION_TIMEZONE" {
			t.Errorf("%s: %v", text, found)
		}
	}
}

// A language that there is none of is found at start, not in the first mail; and what is said of
// LOCALE names those that there are.
func TestLocale(t *testing.T) {
	accept, _ := config.About("LOCALE")
	for _, c := range words.Choices() {
		if got := mustRead(t, "LOCALE="+c.Tag).Mail.Locale; got != c.Tag || words.Tagged(got) == nil {
			t.Errorf("%s is %q", c.Tag, got)
		}
		if !regexp.MustCompile(`\b` + c.Tag + `\b`).MatchString(accept) {
			t.Errorf("%s is not among %q", c.Tag, accept)
		}
	}
	for _, unset := range []string{"LOCALE=", "LOCALE= "} {
		if got := mustRead(t, unset).Mail.Locale; got != "en" {
			t.Errorf("%q is %q", unset, got)
		}
	}
	for _, text := range []string{"DE", "de-CH", "de_DE.UTF-8", "fr", "english", "en|de", ".*", "../de", "C", "de,ja", "日本語"} {
		if found := faults(t, with("LOCALE="+text)); len(found) != 1 || found[0].Variable != "LOCALE" {
			t.Errorf("%s: %v", text, found)
		}
	}
}

func TestJustificationPattern_MatchesInFull(t *testing.T) {
	for _, c := range []struct {
		pattern, text string
		want          bool
	}{
		{".*", "anything at all", true},
		{".*", "two\nlines", false},
		{"b/[0-9]+", "b/123", true},
		{"b/[0-9]+", "see b/123", false},
		{"b/[0-9]+", "b/123\n", false},
		{"a|bc", "abc", false},
		{"a|bc", "bc", true},
		{"(?i)case-[0-9]+", "CASE-1", true},
		{"(?m)^a$", "a\nb", false},
		{`[A-Z*+?]+|\[&&\]`, "[&&]", true},
		{"[[:alpha:]_]+", "a_b", true},
		{`(?<kind>b|g)/\d{1,9}`, "g/7", true},
	} {
		if got := mustRead(t, "JUSTIFICATION_PATTERN="+c.pattern).Requests.JustificationPattern.MatchString(c.text); got != c.want {
			t.Errorf("%q matches %q: %t", c.pattern, c.text, got)
		}
	}
}

func TestJustificationPattern_Faults(t *testing.T) {
	for pattern, says := range map[string]string{
		"(":                       "missing closing )",
		"a)|(b":                   "unexpected )",
		"[":                       "missing closing ]",
		`\Qa`:                     `\Q must be closed by \E`,
		strings.Repeat("a", 1001): "it is longer",
		"(a{1000}){1000}":         "",
		// Java's own.
		"(?=b).*":           "which Java may understand and RE2 does not",
		"(?!test).*":        "which Java may understand and RE2 does not",
		"(?<=b/)[0-9]+":     "",
		"(?>a|b)":           "which Java may understand and RE2 does not",
		"a++":               "which Java may understand and RE2 does not",
		"[a-z]*+":           "which Java may understand and RE2 does not",
		`(a)\1`:             "which Java may understand and RE2 does not",
		`\p{Alpha}+`:        "which Java may understand and RE2 does not",
		`\p{javaLowerCase}`: "which Java may understand and RE2 does not",
		`\u0041`:            "which Java may understand and RE2 does not",
		"(?x) a":            "which Java may understand and RE2 does not",
		// RE2 would take these for something else.
		"[a-z&&[^b]]+": "an intersection of character classes",
		"[a-z&&b]+":    "an intersection of character classes",
		"[a-c[x-z]]+":  "a character class within another",
		"[[a-c]x]+":    "a character class within another",
		`(?U)\w+`:      "the flag U",
		`x(?iU:\w+)`:   "the flag U",
	} {
		found := faults(t, with("JUSTIFICATION_PATTERN="+pattern))
		if len(found) != 1 || found[0].Variable != "JUSTIFICATION_PATTERN" || !strings.Contains(found[0].Error(), says) {
			t.Errorf("%.40q: %v; want %q", pattern, found, says)
		}
	}
}

// RE2 matches in linear time; what is left to bound is the size of its program.
func TestThreat18_PatternIsBounded(t *testing.T) {
	for _, pattern := range []string{strings.Repeat("a", 1001), "(a{1000}){1000}", "((a{100}){100}){100}", strings.Repeat("(", 500) + strings.Repeat(")*", 500), "a{1001}"} {
		if found := faults(t, with("JUSTIFICATION_PATTERN="+pattern)); len(found) != 1 {
			t.Errorf("%.40q is accepted", pattern)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add("PUBLIC_URL", "https://[::1]:443/")
	f.Add("NOTIFICATION_TIMEZONE", "UTC+2")
	f.Add("JUSTIFICATION_PATTERN", `[a\]&&]`)
	f.Add("SMTP_HOST", "[::1]")
	f.Add("ADMINS", "user:a@b,group:c@d")
	f.Add("ACTIVATION_TIMEOUT", "+0")
	f.Fuzz(func(t *testing.T, name, value string) {
		env := with("SMTP_SENDER_ADDRESS=jit@example.com")
		env[name] = value
		c, err := config.Read(func(name string) string { return env[name] })
		if (c == nil) == (err == nil) {
			t.Fatalf("%v, %v", c, err)
		}
		if err == nil && (c.Requests.MaxDuration < time.Minute || c.Requests.JustificationPattern == nil || c.Mail.TimeZone == nil) {
			t.Fatalf("%+v", c)
		}
	})
}
