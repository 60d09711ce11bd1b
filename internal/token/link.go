package token

import (
	"errors"
	"strings"

	"jitaccess/internal/jose"
	"jitaccess/internal/lazyregexp"
)

var (
	errNotJWT  = errors.New("not a signed token of three segments")
	errNotLink = errors.New("not the link form of a token")

	jwtPattern = lazyregexp.New(`^ey[A-Za-z0-9_-]*\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$`)
	toLink     = strings.NewReplacer(".ey", "~~", ".", "~")
	fromLink   = strings.NewReplacer("~~", ".ey", "~", ".")
)

// EncodeLink returns the form in which a token stands in a link, which is that of
// JIT Access 1.x: without the leading "ey", with ".ey" written "~~" and any other
// "." written "~". It keeps mail filters from taking the link for a stolen
// credential; it hides nothing.
func EncodeLink(token string) (string, error) {
	if len(token) > jose.MaxToken || !jwtPattern().MatchString(token) {
		return "", errNotJWT
	}
	return toLink.Replace(strings.TrimPrefix(token, "ey")), nil
}

// DecodeLink returns the token of a link. A token that is not in the link form is
// refused, and so is any spelling that EncodeLink does not produce.
func DecodeLink(ref string) (string, error) {
	// The longest token loses four bytes at least: "ey" in front, "ey" within.
	if len(ref) > jose.MaxToken || strings.Count(ref, "~") > 4 || strings.Contains(ref, ".") {
		return "", errNotLink
	}
	token := "ey" + fromLink.Replace(ref)
	if again, err := EncodeLink(token); err != nil || again != ref {
		return "", errNotLink
	}
	return token, nil
}
