package login

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// maxCookie is how long name and value of a cookie may be together: browsers keep no
// longer one (RFC 6265bis, 5.6), and say nothing of that.
const maxCookie = 4096

// cookies keeps values in the browser, sealed by AES-256-GCM: it can neither read nor change
// them, nor use one in place of another.
type cookies struct {
	// prefix begins every name. With __Host- browsers take a cookie from this very host
	// alone, by https, for all its paths.
	prefix string
	secure bool
	// context is sealed in: whose cookies they are.
	context string
	keys    []key // the newest first
}

// key has an id, by which a cookie says what it was sealed with.
type key struct {
	id   string
	aead cipher.AEAD
}

// idLength is how many bytes the id of a key has.
const idLength = 4

func newCookies(secrets [][]byte, secure bool, context string) (cookies, error) {
	c := cookies{secure: secure, context: context}
	if secure {
		c.prefix = "__Host-"
	}
	for _, secret := range secrets {
		if len(secret) < 32 {
			return cookies{}, errors.New("a key of SESSION_KEY has less than 32 bytes")
		}
		derived, err := hkdf.Key(sha256.New, secret, nil, "jitaccess session 1", 32+idLength)
		if err != nil {
			return cookies{}, err
		}
		block, err := aes.NewCipher(derived[:32])
		if err != nil {
			return cookies{}, err
		}
		aead, err := cipher.NewGCMWithRandomNonce(block)
		if err != nil {
			return cookies{}, err
		}
		c.keys = append(c.keys, key{string(derived[32:]), aead})
	}
	if len(c.keys) == 0 {
		return cookies{}, errors.New("there is no SESSION_KEY")
	}
	return c, nil
}

// bound is what a value is sealed with beside itself: it opens under no other name.
func (c cookies) bound(name string) []byte { return []byte(c.context + "\x00" + c.prefix + name) }

// set seals a value into a cookie. The error is that it would be too long to be kept.
func (c cookies) set(h http.Header, name string, value any, life time.Duration) error {
	encoded, err := json.Marshal(value)
	if err != nil {
		return err
	}
	newest := c.keys[0]
	sealed := newest.aead.Seal([]byte(newest.id), nil, encoded, c.bound(name))
	text := base64.RawURLEncoding.EncodeToString(sealed)
	if n := len(c.prefix) + len(name) + len(text); n > maxCookie {
		return fmt.Errorf("a cookie of %d bytes", n)
	}
	c.write(h, name, text, life)
	return nil
}

func (c cookies) write(h http.Header, name, text string, life time.Duration) {
	cookie := http.Cookie{Name: c.prefix + name, Value: text, Path: "/", MaxAge: int(life / time.Second), Secure: c.secure,
		// Not Strict: the provider's redirect to the callback is by another site.
		HttpOnly: true, SameSite: http.SameSiteLaxMode}
	h.Add("Set-Cookie", cookie.String())
}

func (c cookies) drop(h http.Header, name string) { c.write(h, name, "", -time.Second) }

// text is the value of a cookie as it is; empty if there is none.
func (c cookies) text(r *http.Request, name string) string {
	found, err := r.Cookie(c.prefix + name)
	if err != nil {
		return ""
	}
	return found.Value
}

var errNoCookie = errors.New("there is no such cookie")

// get opens a cookie, and says whether it was sealed with an older key than the newest.
// The error is errNoCookie where there is none.
func (c cookies) get(r *http.Request, name string, into any) (older bool, err error) {
	switch found := r.CookiesNamed(c.prefix + name); {
	case len(found) == 0:
		return false, errNoCookie
	case len(found) > 1:
		return false, errors.New("a cookie is there twice")
	}
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(c.text(r, name))
	if err != nil || len(sealed) < idLength {
		return false, errors.New("a cookie is none of ours")
	}
	for i, k := range c.keys {
		if k.id != string(sealed[:idLength]) {
			continue
		}
		opened, err := k.aead.Open(nil, nil, sealed[idLength:], c.bound(name))
		if err != nil {
			return false, errors.New("a cookie was changed, or is another's")
		}
		return i > 0, json.Unmarshal(opened, into)
	}
	return false, errors.New("a cookie is sealed with a key that is not in SESSION_KEY")
}
