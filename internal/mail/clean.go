package mail

import (
	"strings"
	"unicode"

	"jitaccess/internal/access"
	"jitaccess/internal/lazyregexp"
	"jitaccess/internal/redact"
)

// maxReply is how much of a server's answer is kept, in bytes.
const maxReply = 300

// status is the enhanced code that begins each line of an answer (RFC 2034).
var status = lazyregexp.New(`(?m)^[245]\.[0-9]{1,3}\.[0-9]{1,3}(?:[ \t]+|$)`)

// cleaned makes what others said fit to be shown and logged: on one line, without
// what is invisible, without anything that may be a credential, and short. secret is
// one that must not be there in any form.
func cleaned(text, secret string) string {
	if secret != "" {
		text = strings.ReplaceAll(text, secret, redact.Mark)
	}
	return clipped(redact.Words(redact.Answer(oneLine(text), secret)), maxReply)
}

// oneLine joins the lines of an answer, without their codes and what is invisible.
func oneLine(text string) string {
	text = status().ReplaceAllString(strings.ReplaceAll(text, "\r", "\n"), "")
	return strings.Join(strings.Fields(printable(text)), " ")
}

// clipped cuts a text for places where only ASCII is shown as it is.
func clipped(text string, max int) string {
	return strings.ReplaceAll(access.Clip(text, max), "…", "...")
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
