// Package wordstest has a language in which it is seen what does not come from the
// table of words.
package wordstest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"jitaccess/internal/words"
)

// Bracketed is a second language: English within ⟦brackets⟧.
func Bracketed(tb testing.TB) *words.Language {
	tb.Helper()
	_, here, _, _ := runtime.Caller(0)
	file, err := os.ReadFile(filepath.Join(filepath.Dir(here), "../languages/en.json"))
	if err != nil {
		tb.Fatal(err)
	}
	texts := map[string]string{}
	if err := json.Unmarshal(file, &texts); err != nil {
		tb.Fatal(err)
	}
	for key, text := range texts {
		// Names of months and days are told apart by blanks.
		if key != "date.months" && key != "date.weekdays" {
			texts[key] = "⟦" + text + "⟧"
		}
	}
	if file, err = json.Marshal(texts); err != nil {
		tb.Fatal(err)
	}
	l, err := words.Parse("de", file)
	if err != nil {
		tb.Fatal(err)
	}
	return l
}

var (
	inBrackets = regexp.MustCompile(`⟦[^⟦⟧]*⟧`)
	word       = regexp.MustCompile(`[A-Za-z]{2,}`)
)

// Own are the words of a text that are neither of the bracketed language nor data nor
// names. Data is taken out in its order, so the longer of two goes first, and then what
// names match.
func Own(text string, data []string, names *regexp.Regexp) []string {
	for before := ""; before != text; {
		before, text = text, inBrackets.ReplaceAllString(text, " ")
	}
	for _, each := range data {
		if each != "" {
			text = strings.ReplaceAll(text, each, " ")
		}
	}
	return word.FindAllString(names.ReplaceAllString(text, " "), -1)
}
