package redact

import (
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"html"
	"slices"
	"strings"
	"unicode"

	"jitaccess/internal/lazyregexp"
)

// shortest is how many letters and digits a form must have to be recognized by them
// alone: fewer stand in any text.
const shortest = 4

// Tells is whether a text tells a secret: as it is, with anything but letters and digits
// between or instead, in the other case, backwards, or in base64, base32, hexadecimal,
// octal or decimal numbers, percent signs, or escapes of HTML, JSON or C. Servers
// repeat what they were sent, often in the form in which they keep it. A secret that
// somebody hides on purpose is not recognized; whoever can do that has it. No text
// tells an empty secret.
func Tells(text, secret string) bool {
	if secret == "" {
		return false
	}
	// What is repeated by one server to another is escaped twice.
	shown := []string{text, unescaped(text), unescaped(unescaped(text)), html.UnescapeString(text)}
	all := forms(secret)
	return slices.ContainsFunc(shown, func(s string) bool {
		kept := core(s)
		return strings.Contains(s, secret) || slices.ContainsFunc(all, func(form string) bool {
			return len(form) >= shortest && strings.Contains(kept, form)
		})
	})
}

// forms are how a secret may be written, as far as core keeps it.
func forms(secret string) []string {
	plain := core(secret)
	backwards := []rune(plain)
	slices.Reverse(backwards)
	all := []string{plain, string(backwards), core(base32.StdEncoding.EncodeToString([]byte(secret))), hex.EncodeToString([]byte(secret))}
	// With what precedes, as \x68, 0x68, \u0068.
	for _, number := range []string{"x%02x", "0x%02x", "u%04x", "%d", "%03o"} {
		var b strings.Builder
		for _, c := range []byte(secret) {
			fmt.Fprintf(&b, number, c)
		}
		all = append(all, b.String())
	}
	all = append(all, inBase64(secret)...)
	return append(all, inBase64(base64.StdEncoding.EncodeToString([]byte(secret)))...)
}

// inBase64 is what of a text's base64 stays the same whatever stands around it, for
// each of the three places where it may begin.
func inBase64(text string) (all []string) {
	for before := range 3 {
		encoded := base64.RawStdEncoding.EncodeToString(append(make([]byte, before), text...))
		all = append(all, core(encoded[(before*8+5)/6:(before+len(text))*8/6]))
	}
	return all
}

// core is the letters and digits of a text, in lower case.
func core(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			return -1
		}
		return unicode.ToLower(r)
	}, text)
}

var escape = lazyregexp.New(`(?:%|=|\\x|\\u00)[0-9A-Fa-f]{2}`)

// unescaped resolves escapes of URLs, quoted-printable, C and JSON.
func unescaped(text string) string {
	return escape().ReplaceAllStringFunc(text, func(e string) string {
		// The expression lets nothing else through.
		c, _ := hex.DecodeString(e[len(e)-2:])
		return string(c)
	})
}
