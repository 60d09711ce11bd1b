// Package redact takes secrets out of texts that others wrote, such as errors and what
// servers say, before they are logged or shown. It is the second line of defence:
// secrets of ours are types that do not print.
package redact

import (
	"encoding/base64"
	"regexp"
	"slices"
	"strings"

	"jitaccess/internal/lazyregexp"
)

// Mark stands where something was that nobody may read.
const Mark = "[redacted]"

// form is what credentials look like. Where none of its signs stands, in small letters,
// there is none: the log looks through many short texts, and expressions are costly.
type form struct {
	// signs of a whole word stand at its beginning.
	word       bool
	signs      []string
	expression string
}

// in is whether a text, in small letters, has one of the signs.
func (f form) in(small string) bool {
	return slices.ContainsFunc(f.signs, func(sign string) bool {
		for at := 0; ; at++ {
			next := strings.Index(small[at:], sign)
			if at += next; next < 0 || !f.word || at == 0 || !isWord(small[at-1]) {
				return next >= 0
			}
		}
	})
}

// isWord is what \w stands for, but for capitals.
func isWord(c byte) bool { return c == '_' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' }

// inSmall is the text with small letters in place of A to Z. Nothing else may become one of
// these: what others take for the same letter is none to an expression either, except an
// s and a k, of which no sign has one where case does not count.
func inSmall(text string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}, text)
}

// credentials are what is a credential by its form or by what precedes it, whoever's
// it is. The first group stays.
var credentials = compiled([]form{
	{false, []string{"activation=", "token=", "code=", "key="}, `([?&](?:activation|token|code|key)=)[^\s"'<>&]+`},
	{false, []string{"bearer", "auth=", "auth "}, `(?i)((?:bearer|auth[ =]+(?:plain|login|xoauth2|oauthbearer))[\s:]+)\S+`},
	// And not "Basic authentication", which Exchange Online speaks of.
	{false, []string{"ba"}, `((?i:basic)[\s:]+)[A-Za-z+/=_-]*(?:[0-9+/=_]|[a-z][A-Z])\S*`},
	{false, []string{"pa", "ecret", "_to", "ertion", "ignature", "private_", "ignedjwt"}, `(?i)((?:password|passwd|secret|` +
		`access_token|refresh_token|id_token|assertion|signature|private_key|signedjwt)["']?\s*[=:]\s*)("[^"]*"?|'[^']*'?|[^\s,;&}]+)`},
	// As Pomerium's API has them.
	{false, []string{"token"}, `((?:access|refresh|id)Token["']?\s*[=:]\s*)("[^"]*"?|'[^']*'?|[^\s,;&}]+)`},
})

// tokens are credentials by their own form, whole or cut off. The first group stays.
var tokens = []form{
	{true, []string{"bearer"}, `((?i:bearer)[\s:]+)[A-Za-z0-9._~+/=-]{12,}`},
	// Signed tokens, as they are and in the form of links; {"alg":, {"kid": and {"typ":
	// begin them.
	{true, []string{"ey"}, `ey[A-Za-z0-9_-]{6,}\.[A-Za-z0-9._-]*`},
	{false, []string{"eyj"}, `eyJ[A-Za-z0-9_-]{8,}`},
	{false, []string{"jhbgcioi", "jrawqioi", "j0exaioi"}, `J(?:hbGciOi|raWQiOi|0eXAiOi)[A-Za-z0-9._~-]*`},
	{false, []string{"~"}, `[A-Za-z0-9_-]{8,}~~?[A-Za-z0-9_-]{8,}(?:~[A-Za-z0-9_-]*)?`},
	// Google's access and refresh tokens, API keys and client secrets.
	{true, []string{"ya29."}, `ya29\.[A-Za-z0-9._-]+`},
	{true, []string{"1//"}, `1//[A-Za-z0-9_-]{8,}`},
	{true, []string{"aiza"}, `AIza[A-Za-z0-9_-]{10,}`},
	{true, []string{"gocspx-"}, `GOCSPX-[A-Za-z0-9_-]+`},
	// Those of GitHub, GitLab, Slack, npm, AWS and Stripe, as their documentation has them.
	{true, []string{"ghp_", "gho_", "ghu_", "ghs_", "ghr_"}, `gh[pousr]_[A-Za-z0-9]{10,}`},
	{true, []string{"github_pat_"}, `github_pat_[A-Za-z0-9_]+`},
	{true, []string{"gl"}, `gl[a-z]{2,4}-[A-Za-z0-9_-]{10,}`},
	{true, []string{"xox", "xapp-"}, `(?:xox[a-z]|xapp)-[A-Za-z0-9-]+`},
	{true, []string{"npm_"}, `npm_[A-Za-z0-9]{10,}`},
	{true, []string{"akia", "asia"}, `A[KS]IA[A-Z0-9]{12,}`},
	{true, []string{"sk_", "rk_"}, `[sr]k_(?:live|test)_[A-Za-z0-9]+`},
	// A sentence may end in how one begins.
	{false, []string{"-----begin "}, `-----BEGIN [A-Z0-9 ]+-----\s*[^\s.-][^-]*(?:-----END [A-Z0-9 ]+-----)?`},
}

// token is all of tokens: the first in the text counts.
var token = anyOf(tokens)

func anyOf(forms []form) func() *regexp.Regexp {
	var all []string
	for _, f := range forms {
		if f.word {
			f.expression = `\b(?:` + f.expression + `)`
		}
		all = append(all, f.expression)
	}
	return lazyregexp.New(strings.Join(all, "|"))
}

type compiledForm struct {
	form
	compiled func() *regexp.Regexp
}

func compiled(forms []form) (all []compiledForm) {
	for _, f := range forms {
		all = append(all, compiledForm{f, lazyregexp.New(f.expression)})
	}
	return all
}

var (
	// user is who logs in, as addresses have it before their host.
	user = lazyregexp.New(`([A-Za-z][A-Za-z0-9+.-]*://)[^\s/"'<>@]*@`)
	// query is what follows the path of an address: links carry tokens there, and
	// Gmail's answers both tokens and the names of help pages.
	query    = lazyregexp.New(`([A-Za-z][A-Za-z0-9+.-]*://[^\s"'<>?#]*)([?#][^\s"'<>]+)`)
	helpPage = lazyregexp.New(`^\?p=[A-Za-z]{1,40}$`)
	// run is what base64, hexadecimal numbers and the like look like.
	run  = lazyregexp.New(`[A-Za-z0-9+/_~=-]{8,}`)
	guid = lazyregexp.New(`^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$`)
	// logIn is the form of what logs in by PLAIN, XOAUTH2 and OAUTHBEARER.
	logIn = lazyregexp.New(`^[ -~]*\x00[ -~]+\x00|^user=|auth=Bearer `)
)

// Tokens returns the text with a Mark in place of what is a credential by its own form,
// wherever it stands. It is for what people write: of a sentence about a password nothing
// is taken.
func Tokens(text string) string { return withoutTokens(text, inSmall(text)) }

func withoutTokens(text, small string) string {
	if !slices.ContainsFunc(tokens, func(f form) bool { return f.in(small) }) {
		return text
	}
	return token().ReplaceAllString(text, "${1}"+Mark)
}

// Credentials returns the text with a Mark in place of tokens, passwords, keys and the
// queries of addresses. It is for what programs write.
func Credentials(text string) string {
	// A Mark is no sign, and makes none of what stands beside it.
	small := inSmall(text)
	text = withoutTokens(text, small)
	if strings.Contains(text, "://") {
		// Before the query, since a password may have a question mark.
		text = user().ReplaceAllString(text, "${1}"+Mark)
		text = query().ReplaceAllStringFunc(text, func(address string) string {
			parts := query().FindStringSubmatch(address)
			if helpPage().MatchString(parts[2]) {
				return address
			}
			return parts[1] + parts[2][:1] + Mark
		})
	}
	for _, credential := range credentials {
		if credential.in(small) {
			text = credential.compiled().ReplaceAllString(text, "${1}"+Mark)
		}
	}
	return text
}

// Answer is Credentials for the answer of somebody who was sent these secrets; empty
// ones count for nothing. Where a secret is told in another form than as it is, or in
// a log-in, nothing remains but a Mark.
func Answer(text string, secrets ...string) string {
	secrets = slices.DeleteFunc(slices.Clone(secrets), func(secret string) bool { return secret == "" })
	for _, secret := range secrets {
		text = strings.ReplaceAll(text, secret, Mark)
	}
	text = run().ReplaceAllStringFunc(text, func(word string) string {
		if encodesLogIn(word, secrets) {
			return Mark
		}
		return word
	})
	text = Credentials(text)
	if slices.ContainsFunc(secrets, func(secret string) bool { return Tells(text, secret) }) {
		return Mark
	}
	return text
}

// longestWord is how long a word with digits may be that is no credential.
const longestWord = 20

// Words returns the text with a Mark in place of long words that have digits and are
// no GUID, which may be credentials of a form that nobody knows.
func Words(text string) string {
	return run().ReplaceAllStringFunc(text, func(word string) string {
		if len(word) > longestWord && strings.ContainsAny(word, "0123456789") && !guid().MatchString(word) {
			return Mark
		}
		return word
	})
}

// encodesLogIn is whether a word is base64 of a log-in, or of what has a secret in it.
func encodesLogIn(word string, secrets []string) bool {
	word = strings.NewReplacer("-", "+", "_", "/", "=", "", "~", "").Replace(word)
	for shift := range min(4, len(word)) {
		part := word[shift:]
		if len(part)%4 == 1 {
			part = part[:len(part)-1]
		}
		decoded, err := base64.RawStdEncoding.DecodeString(part)
		if err != nil {
			continue
		}
		if logIn().Match(decoded) || slices.ContainsFunc(secrets, func(secret string) bool { return strings.Contains(string(decoded), secret) }) {
			return true
		}
	}
	return false
}
