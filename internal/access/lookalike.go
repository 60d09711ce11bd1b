package access

import (
	"strings"
	"unicode"
)

// LookAlike is a word in which letters of two scripts are mixed that look the same, such as a
// name in Latin letters with a Cyrillic "а" among them, and the script of those that are not
// Latin: "Cyrillic" or "Greek". Both are empty where a text has no such word. A word is what
// stands between white space, so that an address or the id of a project is one.
//
// A word counts whose run of letters has Latin ones and such as look like them, or that has a
// run of two letters or more which all look Latin beside one that is. In an address every letter
// counts. So "GKE-кластер" and "10 μs" are no such words.
func LookAlike(text string) (word, script string) {
	for word := range strings.FieldsSeq(text) {
		if script := mixed(word); script != "" {
			return strings.TrimFunc(word, unicode.IsPunct), script
		}
	}
	return "", ""
}

// Letters that look like Latin ones in most typefaces
// (https://www.unicode.org/Public/security/latest/confusables.txt).
const (
	cyrillicAlike = "абеһіјкорсухѕԁԛԝԍӏүАВЕЅІЈКМНОРСТУХԌԚԜҮӀ"
	greekAlike    = "ικνορυχΑΒΕΖΗΙΚΜΝΟΡΤΥΧ"
)

// run is what a run of letters has of each.
type run struct{ latin, alike, other int }

func mixed(word string) (script string) {
	address := strings.Contains(word, "@")
	var now, all run
	hasLatin, alone := false, ""
	end := func() {
		hasLatin = hasLatin || now.latin > 0
		if now.alike > 1 && now.latin+now.other == 0 {
			alone = script
		}
		now = run{}
	}
	found := ""
	for _, r := range word {
		switch {
		case unicode.Is(unicode.Latin, r):
			now.latin++
			all.latin++
		case strings.ContainsRune(cyrillicAlike, r):
			now.alike, script = now.alike+1, "Cyrillic"
			all.alike++
		case strings.ContainsRune(greekAlike, r):
			now.alike, script = now.alike+1, "Greek"
			all.alike++
		case unicode.IsLetter(r):
			now.other++
		case unicode.IsMark(r): // is part of the letter before
		default:
			end()
		}
		if now.latin > 0 && now.alike > 0 || address && all.latin > 0 && all.alike > 0 {
			found = script
		}
	}
	if end(); found == "" && hasLatin {
		found = alone
	}
	return found
}
