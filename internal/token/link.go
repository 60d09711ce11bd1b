package token

import (
	"errors"
	"strings"

	"jitaccess/internal/jose"
)

var (
	errNotJWT  = errors.New("not a signed token of three segments")
	errNotLink = errors.New("not the link form of a token")
)

// EncodeLink returns the form in which a token stands in a link, which is that of
// JIT Access 1.x: without the leading "ey", with ".ey" written "~~" and any other
// "." written "~". It keeps mail filters from taking the link for a stolen
// credential; it hides nothing.
func EncodeLink(token string) (string, error) {
	rest, ok := strings.CutPrefix(token, "ey")
	if !ok || len(token) > jose.MaxToken || strings.Count(token, ".") != 2 ||
		strings.Contains(token, "..") || strings.HasSuffix(token, ".") || !onlyLinkBytes(strings.ReplaceAll(token, ".", "")) {
		return "", errNotJWT
	}
	return strings.ReplaceAll(strings.ReplaceAll(rest, ".ey", "~~"), ".", "~"), nil
}

// DecodeLink returns the token of a link. A token that is not in the link form is
// refused, and so is any spelling that EncodeLink does not produce.
func DecodeLink(ref string) (string, error) {
	// The longest token loses four bytes at least: "ey" in front, "ey" within.
	if len(ref) > jose.MaxToken || strings.Count(ref, "~") > 4 || !onlyLinkBytes(strings.ReplaceAll(ref, "~", "")) {
		return "", errNotLink
	}
	token := "ey" + strings.ReplaceAll(strings.ReplaceAll(ref, "~~", ".ey"), "~", ".")
	if again, err := EncodeLink(token); err != nil || again != ref {
		return "", errNotLink
	}
	return token, nil
}

// onlyLinkBytes is whether s is of the base64url alphabet.
func onlyLinkBytes(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_':
		default:
			return false
		}
	}
	return true
}
