package ledger

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"jitaccess/internal/access"
)

// What is kept beside requests: texts of policies, which are signed, since people get
// access by them; and doubts, which are not: neither a doubt nor its end gives anybody
// anything.
const (
	kindPolicy = "policy"
	kindDoubt  = "doubt"
)

// NotesOf is the kind of notes that go with a request.
func NotesOf(requestID string) string { return "of " + requestID }

// KeptPolicy is the text of a policy that an instance has taken.
type KeptPolicy struct {
	// ID is of its being taken: a text that is taken again has another.
	ID   string
	Text []byte
	// Made is when it was taken.
	Made time.Time
}

// Digest is by what requests and pages name it: the SHA-256 of its text, in hexadecimal.
func (p KeptPolicy) Digest() string { return textDigest(p.Text) }

// Policies are the texts that were taken, the newest first, as far as the signer verifies them.
func Policies(ctx context.Context, home Home, signer Signer) (all []KeptPolicy, err error) {
	notes, err := home.Notes(ctx, kindPolicy, maxNotes)
	for _, n := range notes {
		if signer.Verify(ctx, n.text(), n.Signature) == nil {
			all = append(all, KeptPolicy{n.ID, n.Body, n.Made})
		}
	}
	return all, err
}

// renewAfter is how old a policy's signature is when it is made anew, where signatures
// are good for AccountLife.
const renewAfter = AccountLife / 2

// noteText is what is signed of a note: JSON of these members in this order. Digest is the
// SHA-256 of the body, in hexadecimal.
type noteText struct {
	Purpose string `json:"purpose"`
	Kind    string `json:"kind"`
	ID      string `json:"id"`
	At      int64  `json:"at"`
	Digest  string `json:"digest"`
}

// notePurpose keeps the signature of a note from being taken for that of an event.
const notePurpose = "jitaccess ledger note 1"

func (n Note) text() []byte {
	encoded, _ := json.Marshal(noteText{notePurpose, n.Kind, n.ID, n.Made.UnixMicro(), textDigest(n.Body)})
	return encoded
}

// KeepPolicy keeps the text of a policy that is taken now, unless it is the newest one
// that is kept. It returns the one that is the newest then.
func (s *Store) KeepPolicy(ctx context.Context, policy []byte) (KeptPolicy, error) {
	newest, found, err := s.NewestPolicy(ctx)
	_, brief := s.c.Signer.(*Account)
	if err != nil || found && bytes.Equal(newest.Text, policy) && !(brief && s.c.Now().Sub(newest.Made) >= renewAfter) {
		return newest, err
	}
	n := Note{Kind: kindPolicy, ID: rand.Text(), Made: access.AsKept(s.c.Now()), Body: policy}
	if found && !n.Made.After(newest.Made) { // by an instance whose clock is ahead
		n.Made = newest.Made.Add(time.Microsecond)
	}
	if n.Signature, err = s.c.Signer.Sign(ctx, n.text()); err != nil {
		return KeptPolicy{}, unavailable(err)
	}
	return KeptPolicy{n.ID, n.Body, n.Made}, unavailable(s.c.Home.Keep(ctx, n))
}

// NewestPolicy is the policy that was taken last by any instance, of those that one of our
// keys has signed; not found where there is none.
func (s *Store) NewestPolicy(ctx context.Context) (newest KeptPolicy, found bool, err error) {
	notes, err := s.c.Home.Notes(ctx, kindPolicy, batch)
	if err != nil {
		return KeptPolicy{}, false, unavailable(err)
	}
	for _, n := range notes {
		if s.c.Signer.Verify(ctx, n.text(), n.Signature) == nil {
			return KeptPolicy{n.ID, n.Body, n.Made}, true, nil
		}
	}
	return KeptPolicy{}, false, nil
}

// Doubt implements broker.Memory.
func (s *Store) Doubt(ctx context.Context, why string) error {
	return unavailable(s.c.Home.Keep(ctx, Note{Kind: kindDoubt, ID: rand.Text(), Made: s.c.Now(), Body: []byte(why)}))
}

// Doubted implements broker.Memory.
func (s *Store) Doubted(ctx context.Context) (string, error) {
	notes, err := s.c.Home.Notes(ctx, kindDoubt, 1)
	if err != nil || len(notes) == 0 {
		return "", unavailable(err)
	}
	return string(notes[0].Body), nil
}

// maxNotes bounds how many notes of a kind are verified and exported.
const maxNotes = 100_000

// verifies is nil where a note is signed by a key of ours, or by one that it brings along, which is counted.
func (report *Report) verifies(ctx context.Context, n Note, signer Signer) error {
	err := signer.Verify(ctx, n.text(), n.Signature)
	if !errors.Is(err, errForeignKey) {
		return err
	}
	if err = attested(n.text(), n.Signature); err == nil {
		report.SelfAttested++
	}
	return err
}

// addNotes verifies what is signed beside the requests.
func (report *Report) addNotes(ctx context.Context, home Home, signer Signer) error {
	notes, err := home.Notes(ctx, kindPolicy, maxNotes)
	for _, n := range notes {
		report.Policies++
		if err := report.verifies(ctx, n, signer); err != nil {
			report.Findings = append(report.Findings, Finding{n.ID, fmt.Sprintf("the policy of %s is not what was recorded: %v",
				n.Made.UTC().Format(time.RFC3339), err)})
		}
	}
	return err
}
