package access

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"time"

	"jitaccess/internal/lazyregexp"
)

// idPrefixes begin the ids of requests of each kind, and the numbers of their forms.
// Nothing outside this file asks an id for its kind.
var idPrefixes = map[RequestKind]string{Self: "jit-", Peers: "mpa-", BreakGlass: "brk-"}

// requestIDPattern accepts our ids and those of JIT Access 1.x, which are standard
// Base64.
var requestIDPattern = lazyregexp.New(`^(jit|mpa|brk)-[A-Za-z0-9_+/-]{16}$`)

// RequestIDOf is the id that has the given bytes in it.
func RequestIDOf(kind RequestKind, b [12]byte) string {
	return idPrefixes[kind] + base64.RawURLEncoding.EncodeToString(b[:])
}

// ParseRequestID checks the form of an id that came from outside.
func ParseRequestID(id string) (string, error) {
	if !requestIDPattern().MatchString(id) {
		return "", errors.New("not a request id")
	}
	return id, nil
}

// KindOfID is the kind of request that bears the id; empty if it is none.
func KindOfID(id string) RequestKind {
	for kind, prefix := range idPrefixes {
		if strings.HasPrefix(id, prefix) {
			return kind
		}
	}
	return ""
}

// NewRequestID is the id of what was sent with a form. It is derived from everything that
// was sent, and by whom, so that the same form sent twice is one request to every
// instance, nobody chooses an id, and no two people have the same one (SHA-256, of which
// it has 96 bits).
func NewRequestID(form string, sent Request) string {
	sent.ID = form
	sum := sha256.Sum256([]byte("jitaccess request id " + sent.FullDigest()))
	return RequestIDOf(sent.Kind, [12]byte(sum[:12]))
}

// FormLife is how long a form can be sent after it was opened.
const FormLife = time.Hour

// Form is what the number of a form says. The number tells one form from another and
// gives nothing: the id of a request is derived from it and from who sends it.
type Form struct {
	Kind RequestKind
	// Opened is when, in whole seconds.
	Opened time.Time
}

// NewForm numbers a form that somebody opens now. Random is a source of randomness of
// cryptographic quality; its failure is returned.
func NewForm(random io.Reader, kind RequestKind, p Principal, now time.Time) (number string, err error) {
	var b [12]byte // the second, something random, the check
	binary.BigEndian.PutUint32(b[:4], uint32(now.Unix()))
	if _, err := io.ReadFull(random, b[4:8]); err != nil {
		return "", err
	}
	check := checkForm(kind, p, b[:8])
	copy(b[8:], check[:])
	return RequestIDOf(kind, b), nil
}

// ParseForm reads the number of a form that a person sends. It refuses what was not made
// as NewForm makes the numbers of this person's forms. Whether it is still good is
// Opened's to say.
func ParseForm(number string, p Principal) (Form, error) {
	kind := KindOfID(number)
	b, err := base64.RawURLEncoding.Strict().DecodeString(strings.TrimPrefix(number, idPrefixes[kind]))
	if kind == "" || err != nil || len(b) != 12 || checkForm(kind, p, b[:8]) != [4]byte(b[8:]) {
		return Form{}, errors.New("not the number of a form of this person's")
	}
	return Form{kind, time.Unix(int64(binary.BigEndian.Uint32(b)), 0).UTC()}, nil
}

// checkForm keeps the numbers of other people's forms, and what is none, from being taken
// for one. It is no secret: who makes up a number of their own has opened another form.
func checkForm(kind RequestKind, p Principal, b []byte) [4]byte {
	sum := sha256.Sum256([]byte(digest("jitaccess form", string(kind), string(p), string(b))))
	return [4]byte(sum[:4])
}
