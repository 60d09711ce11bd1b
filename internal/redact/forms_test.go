package redact_test

import (
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"html"
	"net/url"
	"slices"
	"strings"
	"testing"

	"jitaccess/internal/redact"
)

// each writes every byte of a text by a format.
func each(text, format string) string {
	var b strings.Builder
	for _, c := range []byte(text) {
		fmt.Fprintf(&b, format, c)
	}
	return b.String()
}

func backwards(text string) string {
	runes := []rune(text)
	slices.Reverse(runes)
	return string(runes)
}

// Threat 17: in whatever form a server repeats a secret, it is recognized.
func TestThreat17_ASecretIsRecognizedInEveryForm(t *testing.T) {
	for _, secret := range []string{
		"hunter2!", "korrekt horse/7", "abcd efgh ijkl mnop", "Zx8Q~aaBBccDDeeFFggHHii.jjKKll-mm_nn1122", "schlüssel+ß", "a&b<c>'d\"e",
		strings.Repeat("k7/", 3000),
	} {
		in := base64.StdEncoding.EncodeToString
		forms := map[string]string{
			"as it is": secret, "capitals": strings.ToUpper(secret), "backwards": backwards(secret),
			"dots": each(secret, "%c."), "spaces": strings.Join(strings.Split(secret, ""), " "),
			"hexadecimal": hex.EncodeToString([]byte(secret)), "in capitals": each(secret, "%02X"), "with spaces": each(secret, "%02x "),
			"with colons": each(secret, "%02x:"), "with 0x": each(secret, "0x%02x, "), "C": each(secret, `\x%02x`), "octal": each(secret, `\%03o`), "decimal": each(secret, "%d "),
			"JSON": each(secret, `\u%04x`), "HTML in numbers": each(secret, "&#%d;"), "HTML in hexadecimal": each(secret, "&#x%x;"), "HTML": html.EscapeString(secret),
			"query": url.QueryEscape(secret), "query twice": url.QueryEscape(url.QueryEscape(secret)), "path": url.PathEscape(secret), "percent": each(secret, "%%%02X"), "quoted-printable": each(secret, "=%02X"),
			"base32": base32.StdEncoding.EncodeToString([]byte(secret)), "base64": in([]byte(secret)), "base64 for addresses": base64.RawURLEncoding.EncodeToString([]byte(secret)),
			"base64 twice": in([]byte(in([]byte(secret)))), "base64 in lines": strings.Join(strings.SplitAfter(in([]byte("a"+secret)), ""), "\r\n"),
		}
		if strings.ContainsFunc(secret, func(r rune) bool { return r > '~' }) {
			// %c writes other characters for such bytes.
			delete(forms, "dots")
		}
		for before := range 4 {
			forms[fmt.Sprintf("base64 behind %d", before)] = in([]byte(strings.Repeat("\x00", before) + secret + "\x01\x01"))
		}
		for name, form := range forms {
			for _, text := range []string{form, "no: " + form, "5.7.8 <" + form + "> is wrong"} {
				if !redact.Tells(text, secret) {
					t.Errorf("%s: %.80q does not tell %.40q", name, text, secret)
				}
			}
		}
	}
}

func TestWhatTellsNoSecret(t *testing.T) {
	for _, test := range []struct{ text, secret string }{
		{"", ""},
		{"anything", ""},
		{"", "hunter2!"},
		{"535 5.7.8 Username and Password not accepted", "correct horse"},
		{"2.0.0 Ok: queued as 4F2C31A0B7", "hunter2!"},
		{"hunter3! hunter 2", "hunter2x"},
		// Too little of it is left.
		{"what a day", "a?!*&%$"},
		{"a cab", "a-b-c"},
	} {
		if redact.Tells(test.text, test.secret) {
			t.Errorf("%q tells %q", test.text, test.secret)
		}
	}
}

func FuzzTells(f *testing.F) {
	f.Add("535 5.7.8 no: ", "correct horse", " x")
	f.Add("\xff%", "\xff", "%zz\\u00")
	f.Fuzz(func(t *testing.T, before, secret, after string) {
		if secret != "" && !redact.Tells(before+secret+after, secret) {
			t.Errorf("%q is not recognized in %q", secret, before+secret+after)
		}
	})
}
