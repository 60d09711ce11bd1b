package application

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"
)

// minKey is the shortest key, in bytes: a shorter one can be guessed from a token
// (RFC 7518, section 3.2).
const minKey = 32

// ReadKey reads a key as its application is given it: base64 text, with or without padding, in
// either alphabet. Its ID is made of it, and gives nothing of it away. The error repeats nothing
// of the text.
func ReadKey(text string) (Key, error) {
	text = strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(strings.TrimSpace(text), "="))
	secret, err := base64.RawStdEncoding.Strict().DecodeString(text)
	switch {
	case err != nil || text == "":
		return Key{}, errors.New("not base64 text")
	case len(secret) < minKey:
		return Key{}, errors.New("shorter than 32 bytes")
	}
	return Key{KeyID(secret), secret}, nil
}

// KeyID tells a key from others.
func KeyID(secret []byte) string {
	sum := sha256.Sum256(append([]byte("jitaccess application key id 1\x00"), secret...))
	return hex.EncodeToString(sum[:6])
}
