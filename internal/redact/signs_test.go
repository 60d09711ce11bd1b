package redact

import (
	"strings"
	"testing"
)

// signed are texts with every form, whole words and not, and letters that are others in
// small.
var signed = []string{
	"Bearer abcdefghijkl", "xBearer: abcdefghijkl", "eyabcdef.", "they eyabcdef.x", "xeyJabcdefgh", "xJhbGciOix", "xJraWQiOix", "xJ0eXAiOix", "abcdefgh~abcdefgh", "abcdefgh~~abcdefgh~",
	"xya29.a ya29.a", "K1//abcdefgh", "1//abcdefgh", "AIza0123456789", "GOCSPX-a", "ghp_0123456789", "gho_0123456789", "ghu_0123456789", "ghs_0123456789", "ghr_0123456789",
	"github_pat_a", "single glpat-0123456789", "google gl-ab", "xoxb-1", "xapp-1", "npm_0123456789", "AKIA012345678901", "ASIA012345678901", "rk_live_a", "sk_test_a",
	"-----BEGIN A-----\nb", "?activation=a&token=b", "&code=a&key=b", "auth plain x", "AUTH==LOGIN: x", "ba\u017fic Zm9v", "Basic Zm9v", "BASIC:Zm9v",
	"pa\u017f\u017fword = x", "acce\u017f\u017f_to\u212aen:'x", `"private_key": "x`, `{"idToken":"x`, "ſecret=x", "\u212aya29.a", "\xffya29.a", "I\u0307 ya29.a", "", "plain words",
}

// A text that is not looked through has nothing that is taken out.
func FuzzWhatHasNoSignHasNoForm(f *testing.F) {
	for _, text := range signed {
		f.Add(text, "")
		f.Add("x", text)
		f.Add("http://a@b?c", " "+strings.ToUpper(text))
	}
	f.Fuzz(func(t *testing.T, before, text string) {
		text = before + text
		if got, want := Tokens(text), token().ReplaceAllString(text, "${1}"+Mark); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
		want := user().ReplaceAllString(token().ReplaceAllString(text, "${1}"+Mark), "${1}"+Mark)
		want = query().ReplaceAllStringFunc(want, func(address string) string {
			parts := query().FindStringSubmatch(address)
			if helpPage().MatchString(parts[2]) {
				return address
			}
			return parts[1] + parts[2][:1] + Mark
		})
		for _, c := range credentials {
			want = c.compiled().ReplaceAllString(want, "${1}"+Mark)
		}
		if got := Credentials(text); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	})
}

// Each form has its own: none is found by the sign of another.
func TestEveryFormHasASign(t *testing.T) {
	all := append([]form{}, tokens...)
	for _, c := range credentials {
		all = append(all, c.form)
	}
	for i, f := range all {
		expression, found := anyOf([]form{f}), 0
		for _, text := range signed {
			if expression().MatchString(text) {
				found++
				if !f.in(inSmall(text)) {
					t.Errorf("%d: %q has no sign of %s", i, text, f.expression)
				}
			}
		}
		if found == 0 {
			t.Errorf("%d: no text has the form %s", i, f.expression)
		}
	}
}

// What the log has of every request is not looked through.
func TestOrdinaryWordsHaveNoSign(t *testing.T) {
	for _, text := range []string{"api.listEligibleRoles", "http.refuse", "GET /access/*", "ana@example.com", "accounts.google.com:1234", "projects/shop-prod",
		"accessPolicies/1/accessLevels/office", "AB12-CD34", "429", "too-fast", "identified", "a key, and they pay for it", "gh"} {
		for _, f := range tokens {
			if f.in(inSmall(text)) {
				t.Errorf("%q has a sign of %s", text, f.expression)
			}
		}
	}
}
