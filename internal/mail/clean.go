package mail

import (
	"encoding/base64"
	"regexp"
	"strings"
	"unicode"

	"jitaccess/internal/leak"
)

// maxReply is how much of a server's answer is kept, in bytes.
const maxReply = 300

// maxRead is how much of it is looked at: what is taken out makes room.
const maxRead = 8 * maxReply

// redacted stands where something was that nobody may read.
const redacted = "[redacted]"

// What servers and token endpoints say that is a credential, whoever's it is. The
// first group stays.
var credentials = []*regexp.Regexp{
	regexp.MustCompile(`(?i)((?:bearer|auth[ =]+(?:plain|login|xoauth2|oauthbearer))[\s:]+)\S+`),
	// And not "Basic authentication", which Exchange Online speaks of.
	regexp.MustCompile(`((?i:basic)[\s:]+)[A-Za-z+/=_-]*(?:[0-9+/=_]|[a-z][A-Z])\S*`),
	regexp.MustCompile(`(?i)((?:password|passwd|secret|access_token|refresh_token|id_token|assertion|client_assertion|signature|private_key)["']?\s*[=:]\s*)("[^"]*"?|'[^']*'?|[^\s,;&}]+)`),
	// Signed tokens, tokens of Google, private keys.
	regexp.MustCompile(`()\bey[A-Za-z0-9_-]{6,}\.[A-Za-z0-9._-]+`),
	regexp.MustCompile(`()\bya29\.[A-Za-z0-9._-]+`),
	regexp.MustCompile(`()\b1//[A-Za-z0-9_-]{8,}`),
	regexp.MustCompile(`()-----BEGIN [A-Z ]*PRIVATE KEY-----[^-]*(?:-----END [A-Z ]*PRIVATE KEY-----)?`),
}

var (
	// query is what follows the path of an address: Gmail's answers carry tokens
	// there, and names of help pages.
	query    = regexp.MustCompile(`(https?://[^\s?#<>"]*)([?#][^\s<>"]*)`)
	helpPage = regexp.MustCompile(`^\?(p=[A-Za-z]{1,40}|code=[0-9]{1,12})$`)
	// run is what base64, hexadecimal numbers and the like look like.
	run  = regexp.MustCompile(`[A-Za-z0-9+/_~=-]{8,}`)
	guid = regexp.MustCompile(`^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$`)
	// status is the enhanced code that begins each line of an answer (RFC 2034).
	status = regexp.MustCompile(`(?m)^[245]\.[0-9]{1,3}\.[0-9]{1,3}(?:[ \t]+|$)`)
)

// longestWord is how long a word with digits may be that is no credential.
const longestWord = 20

// cleaned makes what others said fit to be shown and logged: on one line, without
// what is invisible, without anything that may be a credential, and short. secret is
// one that must not be there in any form.
func cleaned(text, secret string) string {
	if secret != "" {
		text = strings.ReplaceAll(text, secret, redacted)
	}
	if len(text) > maxRead {
		// Half of a word may be half of a credential.
		text = text[:strings.LastIndexAny(text[:maxRead], " \r\n\t")+1]
	}
	text = printable(status.ReplaceAllString(strings.ReplaceAll(text, "\r", "\n"), ""))
	text = run.ReplaceAllStringFunc(text, func(word string) string {
		if encodes(word, secret) {
			return redacted
		}
		return word
	})
	for _, credential := range credentials {
		text = credential.ReplaceAllString(text, "${1}"+redacted)
	}
	text = query.ReplaceAllStringFunc(text, func(address string) string {
		parts := query.FindStringSubmatch(address)
		if helpPage.MatchString(parts[2]) {
			return address
		}
		return parts[1]
	})
	text = run.ReplaceAllStringFunc(text, func(word string) string {
		if len(word) > longestWord && strings.ContainsAny(word, "0123456789") && !guid.MatchString(word) {
			return redacted
		}
		return word
	})
	// A server may have taken the secret apart, and taking something out may have put
	// it together.
	if leak.Of(text, secret) {
		return redacted
	}
	return clipped(strings.Join(strings.Fields(text), " "), maxReply)
}

// printable makes what others said one line that can be seen.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r), r == 0:
			return ' '
		case r == unicode.ReplacementChar, !unicode.IsPrint(r):
			return -1
		}
		return r
	}, text)
}

// logIn is the form of what logs in by PLAIN, XOAUTH2 and OAUTHBEARER.
var logIn = regexp.MustCompile(`^[ -~]*\x00[ -~]+\x00|^user=|auth=Bearer `)

// encodes is whether a word is base64 of a log-in, or of the secret in any company.
func encodes(word, secret string) bool {
	word = strings.NewReplacer("-", "+", "_", "/", "=", "", "~", "").Replace(word)
	for shift := range min(4, len(word)) {
		part := word[shift:]
		if len(part)%4 == 1 {
			part = part[:len(part)-1]
		}
		decoded, err := base64.RawStdEncoding.DecodeString(part)
		if err == nil && (logIn.Match(decoded) || secret != "" && strings.Contains(string(decoded), secret)) {
			return true
		}
	}
	return false
}

// clipped cuts at a character.
func clipped(text string, max int) string {
	if len(text) <= max {
		return text
	}
	for max > 0 && text[max]&0xC0 == 0x80 {
		max--
	}
	return text[:max] + "..."
}
