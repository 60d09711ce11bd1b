// Package redact takes secrets out of texts that others wrote, such as errors and what
// servers say, before they are logged or shown. It is the second line of defence:
// secrets of ours are types that do not print.
package redact

import (
	"encoding/base64"
	"regexp"
	"slices"
	"strings"
)

// Mark stands where something was that nobody may read.
const Mark = "[redacted]"

// credentials are what is a credential by its form or by what precedes it, whoever's
// it is. The first group stays.
var credentials = []*regexp.Regexp{
	regexp.MustCompile(`([?&](?:activation|token|code|key)=)[^\s"'<>&]+`),
	regexp.MustCompile(`(?i)((?:bearer|auth[ =]+(?:plain|login|xoauth2|oauthbearer))[\s:]+)\S+`),
	// And not "Basic authentication", which Exchange Online speaks of.
	regexp.MustCompile(`((?i:basic)[\s:]+)[A-Za-z+/=_-]*(?:[0-9+/=_]|[a-z][A-Z])\S*`),
	regexp.MustCompile(`(?i)((?:password|passwd|secret|access_token|refresh_token|id_token|assertion|signature|private_key|signedjwt)` +
		`["']?\s*[=:]\s*)("[^"]*"?|'[^']*'?|[^\s,;&}]+)`),
}

// tokens are credentials by their own form, whole or cut off. The first group stays.
var tokens = regexp.MustCompile(strings.Join([]string{
	`((?i:\bbearer)[\s:]+)[A-Za-z0-9._~+/=-]{12,}`,
	// Signed tokens, as they are and in the form of links; {"alg":, {"kid": and {"typ":
	// begin them.
	`\bey[A-Za-z0-9_-]{6,}\.[A-Za-z0-9._-]*`,
	`eyJ[A-Za-z0-9_-]{8,}`,
	`J(?:hbGciOi|raWQiOi|0eXAiOi)[A-Za-z0-9._~-]*`,
	`[A-Za-z0-9_-]{8,}~~?[A-Za-z0-9_-]{8,}(?:~[A-Za-z0-9_-]*)?`,
	// Google's access and refresh tokens, API keys and client secrets.
	`\bya29\.[A-Za-z0-9._-]+`,
	`\b1//[A-Za-z0-9_-]{8,}`,
	`\bAIza[A-Za-z0-9_-]{10,}`,
	`\bGOCSPX-[A-Za-z0-9_-]+`,
	// Those of GitHub, GitLab, Slack, npm, AWS and Stripe, as their documentation has them.
	`\bgh[pousr]_[A-Za-z0-9]{10,}`,
	`\bgithub_pat_[A-Za-z0-9_]+`,
	`\bgl[a-z]{2,4}-[A-Za-z0-9_-]{10,}`,
	`\b(?:xox[a-z]|xapp)-[A-Za-z0-9-]+`,
	`\bnpm_[A-Za-z0-9]{10,}`,
	`\bA[KS]IA[A-Z0-9]{12,}`,
	`\b[sr]k_(?:live|test)_[A-Za-z0-9]+`,
	// A sentence may end in how one begins.
	`-----BEGIN [A-Z0-9 ]+-----\s*[^\s.-][^-]*(?:-----END [A-Z0-9 ]+-----)?`,
}, "|"))

var (
	// user is who logs in, as addresses have it before their host.
	user = regexp.MustCompile(`([A-Za-z][A-Za-z0-9+.-]*://)[^\s/"'<>@]*@`)
	// query is what follows the path of an address: links carry tokens there, and
	// Gmail's answers both tokens and the names of help pages.
	query    = regexp.MustCompile(`([A-Za-z][A-Za-z0-9+.-]*://[^\s"'<>?#]*)([?#][^\s"'<>]+)`)
	helpPage = regexp.MustCompile(`^\?p=[A-Za-z]{1,40}$`)
	// run is what base64, hexadecimal numbers and the like look like.
	run  = regexp.MustCompile(`[A-Za-z0-9+/_~=-]{8,}`)
	guid = regexp.MustCompile(`^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$`)
	// logIn is the form of what logs in by PLAIN, XOAUTH2 and OAUTHBEARER.
	logIn = regexp.MustCompile(`^[ -~]*\x00[ -~]+\x00|^user=|auth=Bearer `)
)

// Tokens returns the text with a Mark in place of what is a credential by its own form,
// wherever it stands. It is for what people write: of a sentence about a password nothing
// is taken.
func Tokens(text string) string { return tokens.ReplaceAllString(text, "${1}"+Mark) }

// Credentials returns the text with a Mark in place of tokens, passwords, keys and the
// queries of addresses. It is for what programs write.
func Credentials(text string) string {
	text = Tokens(text)
	if !strings.ContainsAny(text, " \t\n\f\r:=") {
		return text // every expression below needs one of them; most of what is logged has none
	}
	// Before the query, since a password may have a question mark.
	text = user.ReplaceAllString(text, "${1}"+Mark)
	text = query.ReplaceAllStringFunc(text, func(address string) string {
		parts := query.FindStringSubmatch(address)
		if helpPage.MatchString(parts[2]) {
			return address
		}
		return parts[1] + parts[2][:1] + Mark
	})
	for _, credential := range credentials {
		text = credential.ReplaceAllString(text, "${1}"+Mark)
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
	text = run.ReplaceAllStringFunc(text, func(word string) string {
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
	return run.ReplaceAllStringFunc(text, func(word string) string {
		if len(word) > longestWord && strings.ContainsAny(word, "0123456789") && !guid.MatchString(word) {
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
		if logIn.Match(decoded) || slices.ContainsFunc(secrets, func(secret string) bool { return strings.Contains(string(decoded), secret) }) {
			return true
		}
	}
	return false
}
