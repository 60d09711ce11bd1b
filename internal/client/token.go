package client

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Front is what stands before a service, and signs people in.
type Front string

// Fronts that are known. OwnLogin is none, but the service itself; Bearer is one of which nothing is
// known but that it takes a bearer token.
const (
	Sandbox     Front = "sandbox"
	IAP         Front = "iap"
	Pomerium    Front = "pomerium"
	OwnLogin    Front = "oidc"
	BearerFront Front = "bearer"
)

// Token says who calls, to the front that it is for, at the origin that it is for.
type Token struct {
	Origin Origin `json:"origin"`
	Front  Front  `json:"front"`
	Value  string `json:"token"`
	// Expires is when the front no longer takes it; zero where that is not known.
	Expires time.Time `json:"expires,omitzero"`
}

// schemes are the words before the token, as each front wants it: those of Pomerium at
// https://www.pomerium.com/docs/internals/programmatic-access, those of IAP at
// https://cloud.google.com/iap/docs/authentication-howto.
var schemes = map[Front]string{Sandbox: "Sandbox", IAP: "Bearer", Pomerium: "Pomerium", OwnLogin: "Bearer", BearerFront: "Bearer"}

func (t Token) authorize(h http.Header) {
	if t.Value != "" {
		h.Set("Authorization", schemes[t.Front]+" "+t.Value)
	}
}

// ByProxy is whether the front reads Authorization before the service does, so that nobody else's
// token can stand there.
func (t Token) ByProxy() bool { return t.Value != "" && t.Front != Sandbox && t.Front != OwnLogin }

// Store is the file in which the token is kept, and nothing else. There is one: to log in at another
// service, or as somebody else, replaces it.
type Store struct{ Path string }

// ErrNoToken is that nobody has logged in.
var ErrNoToken = errors.New("nobody is logged in here")

// maxToken bounds the file.
const maxToken = 64 << 10

// Save keeps a token for its owner's eyes alone. What stood there before is replaced as a whole or not at all.
func (s Store) Save(t Token) error {
	text, err := json.Marshal(t)
	if err != nil {
		return err
	}
	dir := filepath.Dir(s.Path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	file, err := os.CreateTemp(dir, ".token-") // mode 0600
	if err != nil {
		return err
	}
	_, err = file.Write(append(text, '\n'))
	err = errors.Join(err, file.Close())
	if err == nil {
		err = os.Rename(file.Name(), s.Path)
	}
	if err != nil {
		err = errors.Join(err, os.Remove(file.Name()))
	}
	return err
}

// Load reads the token. One that others may read, or could have written, is not used: it may be
// known, or somebody else's, to whom the caller would then be taken.
func (s Store) Load() (Token, error) {
	text, err := ReadPrivate(s.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return Token{}, ErrNoToken
	}
	if err != nil {
		return Token{}, err
	}
	var t Token
	if err := json.Unmarshal(text, &t); err != nil || t.Value == "" || schemes[t.Front] == "" {
		return Token{}, fmt.Errorf("%s holds no token of this program; log in again", s.Path)
	}
	if _, err := ParseOrigin(string(t.Origin)); err != nil {
		return Token{}, fmt.Errorf("%s: %w", s.Path, err)
	}
	return t, nil
}

// Forget removes the token.
func (s Store) Forget() error {
	if err := os.Remove(s.Path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// ReadPrivate reads a file that holds a secret: an ordinary one, of whom this process is of, that nobody
// else may read or write.
func ReadPrivate(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	about, err := file.Stat()
	switch {
	case err != nil:
		return nil, err
	case !about.Mode().IsRegular():
		return nil, fmt.Errorf("%s is no ordinary file", path)
	case about.Size() > maxToken:
		return nil, fmt.Errorf("%s has more than %d bytes, longer than a secret is", path, maxToken)
	}
	if err := private(about, os.Getuid()); err != nil {
		return nil, fmt.Errorf("%s %w", path, err)
	}
	return io.ReadAll(io.LimitReader(file, maxToken))
}

// ReadToken is ReadPrivate of a file that holds a token, which is returned without the line break at its end.
func ReadToken(path string) (string, error) {
	text, err := ReadPrivate(path)
	if err != nil {
		return "", err
	}
	if len(bytes.TrimSpace(text)) == 0 {
		return "", fmt.Errorf("%s is empty", path)
	}
	token, err := clean(text)
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return token, nil
}

// clean is a token as it was printed: without the line break, and with nothing that does not
// belong into a header.
func clean(text []byte) (string, error) {
	token := strings.TrimSpace(string(text))
	if token == "" || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", errors.New("there is no token, or more than one: it has spaces or line breaks")
	}
	return token, nil
}
