package words

import (
	"encoding/json"
	"fmt"
	"html/template"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

// parsed makes a language for a test.
func parsed(t testing.TB, tag string, texts map[string]string) *Language {
	t.Helper()
	file, err := json.Marshal(texts)
	if err != nil {
		t.Fatal(err)
	}
	l, err := Parse(tag, file)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestMessagesFollowThePluralsOfTheirLanguage(t *testing.T) {
	const days = "in {count, plural, one {# day at {place}} other {# days}}, {place}"
	for _, test := range []struct {
		tag, message string
		count        any
		want         string
	}{
		{"en", days, 1, "in 1 day at home, home"},
		{"en", days, 2, "in 2 days, home"},
		{"en", days, 0, "in 0 days, home"},
		{"de", days, 1, "in 1 day at home, home"},
		{"ja", days, 1, "in 1 days, home"}, // its one form is "other"
		{"en", days, "1", "in 1 day at home, home"},
		{"en", days, "many", "in many days, home"},
		{"ja", "{count, plural, other {#日}}", 3, "3日"},
		{"en", "{count, plural, other {#}}", 1, "1"},
		{"en", "nothing to fill", 1, "nothing to fill"},
		{"en", "# and ' are text", 1, "# and ' are text"},
		{"en", "{absent}", 1, "{absent}"},
	} {
		l := parsed(t, test.tag, map[string]string{"key": test.message})
		if got := l.Text("key", "count", test.count, "place", "home"); got != test.want {
			t.Errorf("%s: %s with %v is %q, want %q", test.tag, test.message, test.count, got, test.want)
		}
	}
}

func TestWhatIsNoLanguageIsRefused(t *testing.T) {
	for name, file := range map[string]string{
		"nothing":                    ``,
		"no object":                  `["a"]`,
		"a text of numbers":          `{"a": 1}`,
		"nested":                     `{"a": {"b": "c"}}`,
		"a key twice":                `{"a": "x", "a": "y"}`,
		"cut off":                    `{"a": "x"`,
		"an open brace":              `{"a": "x {count"}`,
		"a brace too many":           `{"a": "x }"}`,
		"an argument without name":   `{"a": "{}"}`,
		"a name with blanks":         `{"a": "{the name}"}`,
		"another kind of argument":   `{"a": "{count, number}"}`,
		"a select":                   `{"a": "{who, select, other {x}}"}`,
		"a plural without other":     `{"a": "{count, plural, one {x}}"}`,
		"a plural without forms":     `{"a": "{count, plural, }"}`,
		"a category twice":           `{"a": "{count, plural, one {x} one {y} other {z}}"}`,
		"a form that does not end":   `{"a": "{count, plural, other {x"}`,
		"a plural that does not end": `{"a": "{count, plural, other {x} "}`,
		"an exact number":            `{"a": "{count, plural, =0 {x} other {y}}"}`,
	} {
		if _, err := Parse("en", []byte(file)); err == nil {
			t.Errorf("%s is taken: %s", name, file)
		}
	}
	if _, err := Parse("xx", []byte(`{}`)); err == nil {
		t.Error("a language whose plurals are not known is taken")
	}
}

func FuzzMessage(f *testing.F) {
	for _, m := range English().messages {
		f.Add(m.source)
	}
	f.Add("{a, plural, one {{b, plural, other {#}}} other {#{c}}}")
	f.Fuzz(func(t *testing.T, text string) {
		m, err := parseMessage(text)
		if err != nil {
			return
		}
		got := m.fill(English(), func(p part) string { return p.text }, func(string) (string, bool) { return "1", true })
		if strings.ContainsAny(got, "{}") {
			t.Errorf("%q is %q", text, got)
		}
	})
}

func TestOnPagesArgumentsAreEscapedAndMarkupIsKept(t *testing.T) {
	l := parsed(t, "en", map[string]string{"key": `<code>{a}</code> & <script> {b}`})
	want := template.HTML(`<code>&lt;i&gt;</code> &amp; &lt;script&gt; <i>`)
	if got := l.HTML("key", "a", "<i>", "b", template.HTML("<i>")); got != want {
		t.Errorf("%s", got)
	}
}

// differences are what keeps a language from being used in place of another.
func differences(l, from *Language) []string {
	var faults []string
	categories := map[string]bool{}
	for n := range 200 {
		categories[l.plural(n)] = true
	}
	for key, m := range l.messages {
		if _, known := from.messages[key]; !known {
			faults = append(faults, key+" is in no other language")
		}
		checkForms(m.parts, categories, func(fault string) { faults = append(faults, key+": "+fault) })
	}
	for key, m := range from.messages {
		translated, ok := l.messages[key]
		if !ok {
			faults = append(faults, key+" is missing")
			continue
		}
		if want, got := arguments(m), arguments(translated); !slices.Equal(want, got) {
			faults = append(faults, fmt.Sprintf("%s has the arguments %v, not %v", key, got, want))
		}
		if want, got := marks(m), marks(translated); !slices.Equal(want, got) {
			faults = append(faults, fmt.Sprintf("%s is marked %v, not %v", key, got, want))
		}
		if translated.source == "" && m.source != "" {
			faults = append(faults, key+" is empty")
		}
	}
	for key, want := range map[string]int{"date.weekdays": 7, "date.months": 12} {
		if n := len(strings.Fields(l.messages[key].source)); n != want {
			faults = append(faults, fmt.Sprintf("%s has %d names", key, n))
		}
	}
	return faults
}

func checkForms(parts []part, categories map[string]bool, fault func(string)) {
	for _, p := range parts {
		for category, form := range p.forms {
			if !categories[category] {
				fault("the language has no form “" + category + "”")
			}
			checkForms(form, categories, fault)
		}
		for category := range categories {
			if p.forms != nil && p.forms[category] == nil {
				fault("lacks the form “" + category + "”")
			}
		}
	}
}

func arguments(m message) []string {
	names := map[string]bool{}
	var walk func([]part)
	walk = func(parts []part) {
		for _, p := range parts {
			if p.name != "" {
				names[p.name] = true
			}
			for _, form := range p.forms {
				walk(form)
			}
		}
	}
	walk(m.parts)
	return slices.Sorted(maps.Keys(names))
}

// marks are the tags of a message, sorted, as another language may order them
// otherwise.
func marks(m message) []string {
	var found []string
	for rest := m.source; ; {
		_, after, opens := strings.Cut(rest, "<")
		tag, more, closes := strings.Cut(after, ">")
		if !opens || !closes {
			slices.Sort(found)
			return found
		}
		found, rest = append(found, tag), more
	}
}

func TestEnglishIsWhole(t *testing.T) {
	for _, fault := range differences(English(), English()) {
		t.Error(fault)
	}
	for key, m := range English().messages {
		if strings.Contains(template.HTMLEscapeString(m.source), "&lt;") && strings.Contains(string(English().HTML(key)), "&lt;") {
			t.Errorf("%s is marked with a tag that is not known: %s", key, m.source)
		}
	}
}

// A second language is held against the first: whatever it lacks or has too much is
// told, by key.
func TestASecondLanguageIsHeldAgainstTheFirst(t *testing.T) {
	first := map[string]string{
		"plain": "Nothing to do", "argument": "{a} and {b}", "marked": "<code>{a}</code>",
		"counted":       "{count, plural, one {# day} other {# days}}",
		"date.weekdays": "a b c d e f g", "date.months": "a b c d e f g h i j k l",
	}
	second := map[string]string{
		"plain": "Nichts zu tun", "argument": "{b} und {a}", "marked": "<code>{a}</code>",
		"counted":       "{count, plural, one {# Tag} other {# Tage}}",
		"date.weekdays": "a b c d e f g", "date.months": "a b c d e f g h i j k l",
	}
	english := parsed(t, "en", first)
	if faults := differences(parsed(t, "de", second), english); faults != nil {
		t.Errorf("a whole language has %v", faults)
	}
	for name, c := range map[string]struct{ tag, key, text, fault string }{
		"a key that is missing":      {"de", "plain", "-", "plain is missing"},
		"an empty text":              {"de", "plain", "", "plain is empty"},
		"a key that nobody asks for": {"de", "other", "x", "other is in no other language"},
		"an argument less":           {"de", "argument", "{a}", "argument has the arguments [a]"},
		"another argument":           {"de", "argument", "{a} und {c}", "argument has the arguments [a c]"},
		"markup that is lost":        {"de", "marked", "{a}", "marked is marked []"},
		"a form too few":             {"de", "counted", "{count, plural, other {# Tage}}", "lacks the form “one”"},
		"a form too many":            {"ja", "counted", "{count, plural, one {#日} other {#日}}", "has no form “one”"},
		"a month too few":            {"de", "date.months", "a b", "date.months has 2 names"},
	} {
		changed := maps.Clone(second)
		changed[c.key] = c.text
		if c.text == "-" {
			delete(changed, c.key)
		}
		if c.tag == "ja" {
			changed = maps.Clone(changed)
		}
		faults := differences(parsed(t, c.tag, changed), english)
		if !slices.ContainsFunc(faults, func(f string) bool { return strings.Contains(f, c.fault) }) {
			t.Errorf("%s: %v", name, faults)
		}
	}
}

func TestDatesAndListsAreOfTheLanguage(t *testing.T) {
	at := time.Date(2026, 11, 2, 15, 4, 5, 0, time.UTC)
	berlin := time.FixedZone("", 3600)
	japanese := parsed(t, "ja", map[string]string{
		"date.weekdays": "日 月 火 水 木 金 土", "date.months": "1 2 3 4 5 6 7 8 9 10 11 12",
		"date.page": "{year}年{month}月{day}日 ({weekday}) {hour}:{minute} UTC",
		"list.and":  "{first}、{last}", "list.comma": "{first}、{next}",
		"duration.day": "{count, plural, other {#日}}", "duration.hour": "{count, plural, other {#時間}}",
		"duration.minute": "{count, plural, other {#分}}", "duration.and": "{more}{less}", "relative.in": "あと{length}",
	})
	for _, c := range []struct{ got, want string }{
		{English().Moment(at.In(berlin)), "Mon 2 Nov 2026, 15:04 UTC"},
		{English().Instant(at), "Mon, 2 Nov 2026 15:04:05 GMT"},
		{English().Instant(at.In(berlin)), "Mon, 2 Nov 2026 16:04:05 +0100"},
		{English().List(nil), ""}, {English().List([]string{"a"}), "a"}, {English().List([]string{"a", "b"}), "a and b"},
		{English().List([]string{"a", "b", "c"}), "a, b and c"}, {English().Series([]string{"a", "b", "c"}), "a, b, c"},
		{English().Days(49*time.Hour + 5*time.Minute), "2 days 1 hour 5 minutes"}, {English().Days(0), "0 minutes"},
		{English().Days(48 * time.Hour), "2 days"}, {English().Days(time.Minute), "1 minute"}, {English().Days(time.Hour), "1 hour"},
		{English().Days(61 * time.Minute), "1 hour 1 minute"}, {English().Days(150 * time.Minute), "2 hours 30 minutes"},
		{English().Hours(48 * time.Hour), "48 hours"},
		{japanese.Moment(at), "2026年11月2日 (月) 15:04 UTC"},
		{japanese.List([]string{"a", "b", "c"}), "a、b、c"},
		{japanese.Relative(90 * time.Minute), "あと1時間30分"},
	} {
		if c.got != c.want {
			t.Errorf("%q, want %q", c.got, c.want)
		}
	}
}
