package login

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"jitaccess/internal/seal"
)

// maxCookie is how long name and value of a cookie may be together: browsers keep no
// longer one (RFC 6265bis, 5.6), and say nothing of that.
const maxCookie = 4096

// cookies keeps values in the browser, sealed: it can neither read nor change
// them, nor use one in place of another.
type cookies struct {
	// prefix begins every name. With __Host- browsers take a cookie from this very host
	// alone, by https, for all its paths.
	prefix string
	secure bool
	// context is sealed in: whose cookies they are.
	context string
	sealer  *seal.Sealer
}

// sealedCookies is what cookies are sealed for.
const sealedCookies = "jitaccess session 1"

func newCookies(secrets [][]byte, secure bool, context string) (cookies, error) {
	c := cookies{secure: secure, context: context}
	if secure {
		c.prefix = "__Host-"
	}
	var err error
	if c.sealer, err = seal.New(secrets, sealedCookies); err != nil {
		return cookies{}, fmt.Errorf("SESSION_KEY: %w", err)
	}
	return c, nil
}

// bound is what a value is sealed with beside itself: it opens under no other name.
func (c cookies) bound(name string) string { return c.context + "\x00" + c.prefix + name }

// sealed is a value as a text that opens under this name alone.
func (c cookies) sealed(name string, value any) (string, error) {
	encoded, err := json.Marshal(value)
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(c.sealer.Seal(encoded, c.bound(name))), nil
}

// set seals a value into a cookie. The error is that it would be too long to be kept.
func (c cookies) set(h http.Header, name string, value any, life time.Duration) error {
	text, err := c.sealed(name, value)
	if err != nil {
		return err
	}
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
	return c.open(name, c.text(r, name), into)
}

// open opens what was sealed under this name, and says whether with an older key than the newest.
func (c cookies) open(name, text string, into any) (older bool, err error) {
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return false, errors.New("what was sent is nothing that was sealed here")
	}
	opened, older, err := c.sealer.Open(sealed, c.bound(name))
	if err != nil {
		return false, fmt.Errorf("what was sent was not sealed here for this, or with a key that is not in SESSION_KEY: %w", err)
	}
	return older, json.Unmarshal(opened, into)
}
