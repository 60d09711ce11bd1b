// Package passkey knows what an approver signs and whether an authenticator has signed it,
// by the standard library alone: what it accepts today somebody else can verify years later
// from what the ledger keeps (docs/signatures.md). It also makes a person's keys out of what
// happened to them.
package passkey

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"jitaccess/internal/access"
)

// What a statement is for; it begins the text, so that a signature over one is good for
// nothing else.
const (
	Approval  = "jitaccess approval 1"
	Enrolment = "jitaccess enrolment 1"
)

// Statement is what somebody signs, or begins to enrol a key with. All of it is in its Text.
type Statement struct {
	// Purpose is Approval or Enrolment.
	Purpose string
	Person  access.Principal
	// Request is Request.Digest of what is approved, and Duration for how long at most, as
	// in a Decision; both are zero in an Enrolment.
	Request  string
	Duration time.Duration
	// Nonce is ours, and At when it was given out, in whole seconds.
	Nonce []byte
	At    time.Time
}

// Of is the statement that a decision with Evidence rests on.
func Of(d access.Decision) Statement {
	return Statement{Purpose: Approval, Person: d.By, Request: d.Digest, Duration: d.Duration, Nonce: d.Evidence.Nonce, At: d.Evidence.At}
}

// Text is the statement as it is shown to who signs it: lines of a name, a space and a
// value, each ended by a line feed. It is a contract with what was signed.
func (s Statement) Text() string {
	var b strings.Builder
	b.WriteString(s.Purpose + "\n")
	if s.Purpose == Approval {
		fmt.Fprintf(&b, "request %s\nverdict %s\nminutes %d\n", s.Request, access.Approve, int(s.Duration/time.Minute))
	}
	fmt.Fprintf(&b, "person %s\nnonce %s\ntime %s\n", s.Person, hex.EncodeToString(s.Nonce), s.At.UTC().Format(time.RFC3339))
	return b.String()
}

// Challenge is what an authenticator is given: the SHA-256 of the Text.
func (s Statement) Challenge() []byte {
	sum := sha256.Sum256([]byte(s.Text()))
	return sum[:]
}

// Life is how long a nonce is good.
const Life = 5 * time.Minute

// skew is how far ahead the clock of another instance may be.
const skew = 30 * time.Second

const randomLength = 16

// Nonces are given out for one statement each, and known again by every instance that has
// the secrets. Make them with NewNonces.
type Nonces struct {
	keys   [][]byte
	now    func() time.Time
	random io.Reader
}

// NewNonces makes them out of secrets of the service, the newest first; at least one.
// random is of cryptographic quality.
func NewNonces(now func() time.Time, random io.Reader, secrets ...[]byte) (*Nonces, error) {
	if len(secrets) == 0 {
		return nil, errors.New("no secret for nonces")
	}
	n := &Nonces{now: now, random: random}
	for _, secret := range secrets {
		key, err := hkdf.Key(sha256.New, secret, nil, "jitaccess passkey nonce 1", sha256.Size)
		if err != nil {
			return nil, err
		}
		n.keys = append(n.keys, key)
	}
	return n, nil
}

// Issue gives out a nonce for the statement, from now on.
func (n *Nonces) Issue(s Statement) (Statement, error) {
	s.At = n.now().UTC().Truncate(time.Second)
	s.Nonce = make([]byte, randomLength)
	if _, err := io.ReadFull(n.random, s.Nonce); err != nil {
		return s, err
	}
	s.Nonce = append(s.Nonce, seal(n.keys[0], s)...)
	return s, nil
}

// Check is nil for a statement as it was issued, while that is good: not for another person,
// request or length.
func (n *Nonces) Check(s Statement) error {
	if len(s.Nonce) != 2*randomLength {
		return errors.New("the nonce is none")
	}
	said, sum := s, s.Nonce[randomLength:]
	said.Nonce = s.Nonce[:randomLength]
	for _, key := range n.keys {
		if hmac.Equal(sum, seal(key, said)) {
			if age := n.now().Sub(s.At); age > Life || age < -skew {
				return fmt.Errorf("the nonce is of %s ago", age)
			}
			return nil
		}
	}
	return errors.New("the nonce is not ours, or was given out for something else")
}

// seal is what makes a nonce ours: half an HMAC over all that is signed with it.
func seal(key []byte, s Statement) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(s.Text()))
	return mac.Sum(nil)[:randomLength]
}
