package notice

import (
	"strings"

	"jitaccess/internal/access"
)

// The longest texts of others that a notice shows, in characters. They leave room for
// everything that the product itself lets through, so that nothing pushes the rest
// off the screen.
const (
	maxTitle     = 200
	maxUserText  = 500
	maxCondition = 2000
)

// plain makes the text of others harmless to look at: on one line, every invisible
// or direction-changing character spelled out, at most max characters.
func plain(s string, max int) string {
	characters := []rune(strings.ToValidUTF8(s, "\uFFFD"))
	if len(characters) > max {
		return strings.TrimSpace(access.Visible(string(characters[:max])) + "…")
	}
	return strings.TrimSpace(access.Visible(string(characters)))
}
