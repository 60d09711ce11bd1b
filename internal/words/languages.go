package words

import (
	"cmp"
	"embed"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
)

//go:embed languages/*.json
var files embed.FS

const english = "en"

// English is the language in which the texts were written.
func English() *Language { return Tagged(english) }

// Choice is a language that there is, and what it calls itself.
type Choice struct{ Tag, Name string }

// choices are the files, English first and the others by tag. A file begins with the name of
// its language, so that none is read whole for it.
var choices = sync.OnceValue(func() []Choice {
	entries, err := files.ReadDir("languages")
	if err != nil {
		panic(err) // they are compiled in
	}
	var all []Choice
	for _, e := range entries {
		tag := strings.TrimSuffix(e.Name(), path.Ext(e.Name()))
		all = append(all, Choice{tag, nameOf(file(tag))})
	}
	slices.SortStableFunc(all, func(a, b Choice) int {
		return cmp.Or(strings.Compare(strconv.FormatBool(b.Tag == english), strconv.FormatBool(a.Tag == english)), strings.Compare(a.Tag, b.Tag))
	})
	return all
})

// Choices are the languages that there are, English first. Callers must not change them.
func Choices() []Choice { return choices() }

func file(tag string) []byte {
	text, err := files.ReadFile("languages/" + tag + ".json")
	if err != nil {
		panic(err) // callers know that it is there
	}
	return text
}

const nameKey = "language.name"

// nameOf is the first text of a language's file, or empty where that is not its name.
func nameOf(file []byte) string {
	d := json.NewDecoder(strings.NewReader(string(file[:min(len(file), 512)])))
	var said [3]string
	for i := range said {
		token, err := d.Token()
		if err != nil {
			return ""
		}
		said[i] = fmt.Sprint(token)
	}
	if said[1] != nameKey {
		return ""
	}
	return said[2]
}

// languages are all of them, by tag. Each is read when it is first used: reading one takes
// milliseconds and memory that a start should not.
var languages = sync.OnceValue(func() map[string]func() *Language {
	all := map[string]func() *Language{}
	for _, c := range choices() {
		all[c.Tag] = sync.OnceValue(func() *Language {
			l, err := Parse(c.Tag, file(c.Tag))
			if err != nil {
				panic(err) // it is compiled in, and the tests read each
			}
			if c.Tag != english {
				l.otherwise = all[english]()
			}
			return l
		})
	}
	return all
})

// Tagged is the language of a tag, exactly as Choices spells it; nil where there is none. What
// is not translated yet is English in it.
func Tagged(tag string) *Language {
	if read, ok := languages()[tag]; ok {
		return read()
	}
	return nil
}

// Bounds of Accept-Language, which anybody can send.
const (
	maxAccepted = 1000 // bytes; what comes after them is not looked at
	maxRanges   = 50
)

// Accepted is the language that an Accept-Language header prefers (RFC 9110, 12.5.4), by the
// look-up of RFC 4647, 3.4: de-CH is content with de. nil where it names none that there is, or
// any (*). A header that is no such thing names none.
func Accepted(header string) *Language {
	if len(header) > maxAccepted {
		header = header[:maxAccepted]
		header = header[:strings.LastIndexByte(header, ',')+1] // the last one may be cut
	}
	best, most := "", 0
	for i, each := range strings.Split(header, ",") {
		if i == maxRanges {
			break
		}
		wanted, parameter, _ := strings.Cut(each, ";")
		if q := quality(strings.TrimSpace(parameter)); q > most { // of equals the first
			if tag := lookUp(strings.TrimSpace(wanted)); tag != "" {
				best, most = tag, q
			}
		}
	}
	return Tagged(best)
}

// lookUp is the tag of the language that a range is content with, or empty.
func lookUp(wanted string) string {
	for wanted != "" {
		for _, c := range choices() {
			if strings.EqualFold(c.Tag, wanted) {
				return c.Tag
			}
		}
		wanted = wanted[:max(0, strings.LastIndexByte(wanted, '-'))]
	}
	return ""
}

// quality is the weight of a range in thousandths. What is no weight is 0: not wanted.
func quality(parameter string) int {
	if parameter == "" {
		return 1000
	}
	text, ok := strings.CutPrefix(strings.ToLower(parameter), "q=")
	whole, fraction, _ := strings.Cut(text, ".")
	if !ok || whole != "0" && whole != "1" || len(fraction) > 3 {
		return 0
	}
	thousandths, err := strconv.ParseUint(whole+(fraction + "000")[:3], 10, 16)
	if err != nil || thousandths > 1000 {
		return 0
	}
	return int(thousandths)
}
