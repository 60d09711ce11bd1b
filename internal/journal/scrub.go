package journal

import "regexp"

// What must not be read in a log, whoever put it into an error's text. The first
// group stays.
var secrets = []*regexp.Regexp{
	// The query and fragment of an address: links carry tokens there. Also the
	// user part.
	regexp.MustCompile(`([A-Za-z][A-Za-z0-9+.-]*://)[^\s/"'<>@]*@`),
	regexp.MustCompile(`([A-Za-z][A-Za-z0-9+.-]*://[^\s"'<>?#]*[?#])[^\s"'<>]+`),
	regexp.MustCompile(`([?&](?:activation|token|code|key)=)[^\s"'<>&]+`),
	// Header values and settings that are secrets by their name.
	regexp.MustCompile(`(?i)((?:bearer|basic|AUTH PLAIN|AUTH LOGIN|AUTH XOAUTH2)\s+)[A-Za-z0-9._~+/=-]{4,}`),
	regexp.MustCompile(`(?i)((?:password|passwd|secret|access_token|refresh_token|id_token|assertion|private_key|signedjwt)["']?\s*[=:]\s*)("[^"]*"|'[^']*'|[^\s,;&}]+)`),
	// Signed tokens, as they are and in the form of links.
	regexp.MustCompile(`()\bey[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]*)?`),
	regexp.MustCompile(`()[A-Za-z0-9_-]{8,}~~?[A-Za-z0-9_-]{8,}(?:~[A-Za-z0-9_-]*)?`),
	// Access tokens of Google and private keys.
	regexp.MustCompile(`()\bya29\.[A-Za-z0-9._-]+`),
	regexp.MustCompile(`()-----BEGIN [A-Z ]*PRIVATE KEY-----[^-]*(?:-----END [A-Z ]*PRIVATE KEY-----)?`),
}

// scrub takes tokens, passwords and query strings out of a text that the product
// did not write itself. It is the second line of defence: secrets are types that do
// not print. A justification is evidence and is never scrubbed.
func scrub(text string) string {
	// What is cut off later need not be looked through.
	text = capped(text, maxMessage)
	for _, secret := range secrets {
		text = secret.ReplaceAllString(text, "${1}[redacted]")
	}
	return text
}
