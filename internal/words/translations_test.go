package words

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// translations are the languages that there are but English.
func translations(t testing.TB) []*Language {
	t.Helper()
	var all []*Language
	for _, c := range Choices()[1:] {
		l, err := Parse(c.Tag, file(c.Tag)) // without English behind it
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, l)
	}
	return all
}

// TestTranslationsAreWhole names, for each language, what is missing, what nobody asks for, and
// what differs from English in arguments, markup and the forms of numbers.
//
//	go test ./internal/words -run TestTranslationsAreWhole
func TestTranslationsAreWhole(t *testing.T) {
	for _, l := range translations(t) {
		t.Run(l.tag, func(t *testing.T) {
			faults := differences(l, English())
			slices.Sort(faults)
			for _, fault := range faults {
				t.Error(fault)
			}
		})
	}
}

// longer may have more than half of the English letters more, with the reason.
var longer = map[string]map[string]string{}

// Buttons, cards and lines of a phone have room for half as much again.
func TestTranslationsGrowByHalfAtMost(t *testing.T) {
	for _, l := range translations(t) {
		for key, m := range English().messages {
			before, after := utf8.RuneCountInString(m.source), utf8.RuneCountInString(l.messages[key].source)
			grown := before > 20 && after > before+before/2
			if why := longer[l.tag][key]; grown != (why != "") {
				t.Errorf("%s: %s grows from %d letters to %d (exception: %q): %s", l.tag, key, before, after, why, l.messages[key].source)
			}
		}
	}
}

// What is not translated yet is English, with the plurals of English, and without a fault.
func TestWhatIsNotTranslatedIsEnglish(t *testing.T) {
	l := parsed(t, "ja", map[string]string{"a": "日本語"})
	l.otherwise = parsed(t, "en", map[string]string{"a": "English", "b": "{count, plural, one {# day} other {# days}}", "c": "<code>x</code>"})
	for key, want := range map[string]string{"a": "日本語", "b": "1 day", "d": "d"} {
		if got := l.Text(key, "count", 1); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	if got := l.HTML("c"); got != "<code>x</code>" || l.Message("c") != "<code>x</code>" || !l.has("c") || l.has("d") {
		t.Errorf("%s", got)
	}
	if Tagged("de").otherwise != English() {
		t.Error("German has nothing behind it")
	}
}

// A file is all that a language takes, and the rule of its plurals.
func TestEveryFileIsALanguage(t *testing.T) {
	files, err := filepath.Glob("languages/*.json")
	if err != nil || len(files) != len(Choices()) {
		t.Fatalf("%d files, %d languages: %v", len(files), len(Choices()), err)
	}
	for i, c := range Choices() {
		if i == 0 && c.Tag != "en" || i > 1 && c.Tag < Choices()[i-1].Tag {
			t.Errorf("%s is not in its place", c.Tag)
		}
		if l := Tagged(c.Tag); l == nil || l.Tag() != c.Tag || c.Name == "" || c.Name != l.Text(nameKey) {
			t.Errorf("%v is not what its file says", c)
		}
	}
	for _, unknown := range []string{"", "xx", "DE", "de ", "../de", "de-CH", "english"} {
		if Tagged(unknown) != nil {
			t.Errorf("there is %q", unknown)
		}
	}
	if nameOf([]byte(`{"frame.title": "x", "language.name": "y"}`)) != "" || nameOf([]byte(`{`)) != "" {
		t.Error("a name is taken from elsewhere than the head of a file")
	}
}

func TestAccepted(t *testing.T) {
	for header, want := range map[string]string{
		"":                                     "",
		"de":                                   "de",
		"de-CH":                                "de",
		"DE-ch":                                "de",
		"de-CH-1996,fr;q=0.9":                  "de",
		"ja-JP":                                "ja",
		"ja-JP,ja;q=0.9,en-US;q=0.8,en;q=0.7":  "ja",
		"en-GB":                                "en",
		"en-GB,en;q=0.9,de;q=0.8":              "en",
		"fr-FR,fr;q=0.9,de;q=0.5":              "de",
		"de;q=0.5, ja;q=0.7":                   "ja",
		"de;q=0.5, ja;q=0.5":                   "de",
		"de;q=0":                               "",
		"de;q=0.0, ja;q=0.001":                 "ja",
		"*":                                    "",
		"*;q=0":                                "",
		"*;q=0.5, de;q=0.1":                    "de",
		"fr":                                   "",
		"deu":                                  "",
		"d":                                    "",
		" de ; q=1 ":                           "de",
		"de;Q=0.8":                             "de",
		"de;q=1.001":                           "",
		"de;q=0.1234":                          "",
		"de;q=-1":                              "",
		"de;q=NaN":                             "",
		"de;q=":                                "",
		"de;q=1;q=0":                           "",
		"de;level=1":                           "",
		"-de":                                  "",
		"de-":                                  "de",
		"de--CH":                               "de",
		";,;,,":                                "",
		"\x00\xff":                             "",
		"../../languages/de":                   "",
		strings.Repeat("x", 4096):              "",
		strings.Repeat("fr,", 1400) + "de":     "",
		"de," + strings.Repeat("x", 4096):      "de",
		strings.Repeat("x", 1000) + ",de":      "",
		strings.Repeat("x-", 2000) + "x":       "",
		strings.Repeat("f,", maxRanges) + "de": "",
		strings.Repeat(" ", 997) + "de":        "de",
		strings.Repeat(" ", 996) + "de-CH":     "", // cut: what is left may say something else
	} {
		got := ""
		if l := Accepted(header); l != nil {
			got = l.Tag()
		}
		if got != want {
			t.Errorf("%.60q is %q, want %q", header, got, want)
		}
	}
}

func FuzzAccepted(f *testing.F) {
	f.Add("ja-JP,ja;q=0.9,en-US;q=0.8")
	f.Add("*;q=0.000,de;q=1.000")
	f.Fuzz(func(t *testing.T, header string) { Accepted(header) })
}

// Dates, lengths, numbers and lists as people of the language write them.
func TestTranslationsSpeakAsTheirPeopleDo(t *testing.T) {
	at := time.Date(2026, 11, 2, 15, 4, 5, 0, time.UTC)
	for tag, want := range map[string][]string{
		"en": {"Mon 2 Nov 2026, 15:04 UTC", "Mon, 2 Nov 2026 15:04:05 GMT", "a, b and c", "2 days 1 hour 5 minutes", "in 2 days", "1 day ago",
			"9999", "10,000", "-1,234,567", "One of them has to approve."},
		"de": {"Mo., 2. Nov. 2026, 15:04 UTC", "Mo., 2. Nov. 2026, 15:04:05 GMT", "a, b und c", "2 Tage 1 Stunde 5 Minuten", "in 2 Tagen",
			"vor 1 Tag", "9999", "10.000", "-1.234.567", "Eine dieser Personen muss genehmigen."},
		"ja": {"2026年11月2日（月）15:04 UTC", "2026年11月2日（月）15:04:05 GMT", "a、b、c", "2日1時間5分", "2日後", "1日前",
			"9999", "10,000", "-1,234,567", "このうち1人の承認が必要です。"},
	} {
		l := Tagged(tag)
		got := []string{l.Moment(at), l.Instant(at), l.List([]string{"a", "b", "c"}), l.Days(49*time.Hour + 5*time.Minute), l.Relative(49 * time.Hour), l.Relative(-25 * time.Hour),
			l.Number(9999), l.Number(10000), l.Number(-1234567), l.Text("ask.approvals", "count", 1)}
		if !slices.Equal(got, want) {
			t.Errorf("%s:\n%q\n%q", tag, got, want)
		}
	}
	if got := Tagged("de").Text("home.total", "total", 12345); got != "12.345 zur Auswahl." {
		t.Error(got)
	}
	if got := Tagged("de").Text("apps.templates.count", "count", 12345); got != "12.345 Vorlagen" {
		t.Error(got)
	}
}

// signs are those that a language does not write, and what it writes instead.
var signs = map[string]*regexp.Regexp{
	// “…” and "…" are „…“; and a blank comes before neither ! nor ?.
	"de": regexp.MustCompile(`”|"| [!?;:]`),
	// Punctuation is full-width but within names and code, there are no half-width kana, and no
	// blanks between its letters.
	"ja": regexp.MustCompile(`[\x{ff61}-\x{ff9f}]|[\p{Han}\p{Hiragana}\p{Katakana}][,!?;:]|[\p{Han}\p{Hiragana}\p{Katakana}]\.(?:$|[^a-z])|[\p{Han}\p{Hiragana}\p{Katakana}、。] [\p{Han}\p{Hiragana}\p{Katakana}]|[“”„"]`),
}

func TestTranslationsHaveTheSignsOfTheirLanguage(t *testing.T) {
	for _, l := range translations(t) {
		for key, m := range l.messages {
			if key == "date.weekdays" || key == "date.months" {
				continue
			}
			if found := signs[l.tag].FindString(m.source); found != "" {
				t.Errorf("%s: %s has %q: %s", l.tag, key, found, m.source)
			}
			if l.tag == "de" && strings.Count(m.source, "„") != strings.Count(m.source, "“") {
				t.Errorf("%s: quotes of %s do not close: %s", l.tag, key, m.source)
			}
			if l.tag == "ja" && strings.Count(m.source, "「") != strings.Count(m.source, "」") {
				t.Errorf("%s: quotes of %s do not close: %s", l.tag, key, m.source)
			}
		}
	}
}

// disagrees is a verb of German that has a number, beside what may be put in for one or for several:
// a list of people, a length of time, or what was counted without a form of its own.
var disagrees = regexp.MustCompile(`\{(people|after|length|asked|offered|longest|found|granted|refused|other)\} ` +
	`(kann|können|erfährt|erfahren|ist|sind|gab|gaben|passt|passen|wurden?|wartet|warten)\b|` +
	`\b(ist|sind|wird|werden) \{(length|offered|asked|longest)\}|\{after\} vergangen`)

// “1 Stunde”, “2 Tage”, one address and a series of them fit into the same German sentence.
func TestGermanFitsOneAndSeveral(t *testing.T) {
	for key, m := range Tagged("de").messages {
		if found := disagrees.FindString(m.source); found != "" {
			t.Errorf("%s has %q, which is wrong for one or for several: %s", key, found, m.source)
		}
	}
}

// glossary are the texts of controls that are the same everywhere (docs/translating.md).
var glossary = map[string][]string{ // English, German, Japanese
	"find-access": {"Find access", "Zugriff finden", "アクセス権を探す"}, "ask.request": {"Request access", "Zugriff anfordern", "アクセスを申請"},
	"ask.activate": {"Activate now", "Jetzt aktivieren", "今すぐ有効化"}, "review.approve": {"Approve", "Genehmigen", "承認"},
	"review.deny": {"Deny", "Ablehnen", "却下"}, "review.withdraw": {"Withdraw", "Zurückziehen", "取り下げ"},
	"review.end-now": {"End now", "Jetzt beenden", "今すぐ終了"}, "choose.end": {"End now", "Jetzt beenden", "今すぐ終了"},
	"extend.button": {"Extend", "Verlängern", "延長"}, "link.copy": {"Copy link", "Link kopieren", "リンクをコピー"},
}

func TestControlsHaveTheirFixedTranslations(t *testing.T) {
	guide, err := os.ReadFile("../../docs/translating.md")
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range glossary {
		for i, tag := range []string{"en", "de", "ja"} {
			if got := Tagged(tag).Text(key); got != want[i] {
				t.Errorf("%s: %s is %q, want %q", tag, key, got, want[i])
			}
		}
		if row := "| " + strings.Join(want, " | ") + " |"; !strings.Contains(string(guide), row) {
			t.Errorf("docs/translating.md lacks %s", row)
		}
	}
}

// The same English is the same in a translation, but where it means two things.
func TestTheSameIsSaidTheSame(t *testing.T) {
	for _, l := range translations(t) {
		said := map[string]string{}
		for key, m := range English().messages {
			is := l.messages[key].source
			if before, ok := said[m.source]; ok && before != is && !twofold[m.source] {
				t.Errorf("%s: “%s” is %s and %s", l.tag, m.source, before, is)
			}
			said[m.source] = is
		}
	}
}

// twofold are English texts that mean more than one thing: a word that stands alone and one in a
// sentence, what was done to somebody and what they did, approving access and confirming a key,
// a day after "in" and one by itself.
var twofold = map[string]bool{"somebody": true, "some": true, "What": true, "Approved": true, "Denied": true, "Declined": true, "Approve": true,
	"Nobody decided in time": true, "Request withdrawn": true, "Cancel": true, "{count, plural, one {# day} other {# days}}": true}
