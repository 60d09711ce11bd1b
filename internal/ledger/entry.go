package ledger

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"time"

	"jitaccess/internal/access"
)

// Entry is an event as it is kept. Entries are never changed. What is in the Text stays
// for ever and names nobody; what names people is in Parts, which may be emptied.
type Entry struct {
	// Text is the canonical encoding: what is signed, and what the next entry's Before
	// and the head are digests of.
	Text []byte
	// Parts are the personal data, each with the Digest that Text has of it: first the
	// content, then one for each reviewer. One that was erased is the zero Part.
	Parts []Part
	// Signature is over Text; zero where the action is a fact (see folded.signs).
	Signature Signature
}

// Part is personal data of one person in an entry.
type Part struct {
	// Person is whose it is, so that it can be erased; nothing else rests on it.
	Person access.Principal
	// Salt keeps the digest from being reversed by trying everybody.
	Salt, Data []byte
}

const saltLength = 16

func (p Part) erased() bool { return p.Salt == nil && p.Data == nil }

// purpose begins every Text, so that a signature over one is good for nothing else.
const purpose = "jitaccess ledger event 1"

// text is Entry.Text: JSON of exactly these members in this order, without space. The
// digests are SHA-256 in hexadecimal; all but Before have the salt of a part in them.
type text struct {
	Purpose string             `json:"purpose"`
	ID      string             `json:"id"`
	Kind    access.RequestKind `json:"kind,omitempty"`
	Version int                `json:"version"`
	Action  access.Action      `json:"action"`
	// At is in microseconds since 1970, as all times here.
	At int64 `json:"at"`
	// Request is of Request.Digest, Actor of the caller's address, Human of the stable id
	// that the identity provider has of them; each with the salt of the first part.
	Request string `json:"request,omitempty"`
	Actor   string `json:"actor,omitempty"`
	Human   string `json:"human,omitempty"`
	// Verdict and Fills are of a decision: what it says, and the requirements against
	// which approvals were counted. People whom those name are digests with the salt of the
	// first part, which has their names. Start and End are the window.
	Verdict access.Verdict `json:"verdict,omitempty"`
	Fills   []need         `json:"fills,omitempty"`
	Start   int64          `json:"start,omitempty"`
	End     int64          `json:"end,omitempty"`
	// Parts are the digests of Entry.Parts, Before that of the entry before.
	Parts  []string `json:"parts"`
	Before string   `json:"before,omitempty"`
}

type need struct {
	Count int      `json:"count"`
	From  []string `json:"from"`
}

// signed is whether an event of the action is signed: every intent, as each of them
// leads to a grant or keeps one from being made. Facts give nobody anything, but for what
// an application asked for (see folded.signs).
// Who is told again is left out: it comes of the time alone.
func signed(a access.Action) bool {
	return a.IsIntent() && a != access.Reminded && a != access.Escalated
}

// seal makes the entry that follows the one with the digest before, without signature.
func seal(e access.Event, kind access.RequestKind, version int, before string, random io.Reader) (Entry, error) {
	parts, err := encodeParts(e)
	if err != nil {
		return Entry{}, err
	}
	t := text{Purpose: purpose, ID: e.Request.ID, Kind: kind, Version: version, Action: e.Action, At: e.At.UnixMicro(),
		Verdict: e.Decision.Verdict, Before: before}
	if !e.Window.IsZero() {
		t.Start, t.End = e.Window.Start.UnixMicro(), e.Window.End.UnixMicro()
	}
	for i := range parts {
		parts[i].Salt = make([]byte, saltLength)
		if _, err := io.ReadFull(random, parts[i].Salt); err != nil {
			return Entry{}, err
		}
		t.Parts = append(t.Parts, parts[i].digest())
	}
	salted(&t, parts[0].Salt, e)
	encoded, err := json.Marshal(t)
	return Entry{Text: encoded, Parts: parts}, err
}

// nameless are requirements without the names of people.
func nameless(needs []need, salt []byte) (without []need) {
	for _, n := range needs {
		n.From = slices.Clone(n.From)
		for i, from := range n.From {
			if name, ok := strings.CutPrefix(from, "user:"); ok {
				n.From[i] = "user:" + digest("jitaccess ledger user 1", salt, []byte(name))
			}
		}
		without = append(without, n)
	}
	return without
}

// salted sets the members by which the text can be held against a name.
func salted(t *text, salt []byte, e access.Event) {
	t.Request, t.Actor, t.Human = "", "", ""
	t.Fills = nameless(access.Each(e.Requirements, needTo), salt)
	if signed(e.Action) && e.Action != access.EndAsked {
		t.Request = digest("jitaccess ledger request 1", salt, []byte(e.Request.Digest()))
	}
	if e.Caller.Principal != "" {
		t.Actor = digest("jitaccess ledger actor 1", salt, []byte(e.Caller.Principal))
	}
	if e.Caller.Subject != "" {
		t.Human = digest("jitaccess ledger human 1", salt, []byte(e.Caller.Subject))
	}
}

func (p Part) digest() string { return digest("jitaccess ledger part 1", p.Salt, p.Data) }

// Digest stands for an entry in the chain.
func (e Entry) Digest() string { return digest("jitaccess ledger entry 1", e.Text) }

// digest is over length-prefixed fields, so that no two lists of them share one.
func digest(purpose string, fields ...[]byte) string {
	h := sha256.New()
	for _, field := range append([][]byte{[]byte(purpose)}, fields...) {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(field)))
		h.Write(n[:])
		h.Write(field)
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

// read parses a Text, which must be in the canonical form: what does not encode to the
// same bytes again was not written by us.
func read(encoded []byte) (text, error) {
	var t text
	decoder := json.NewDecoder(bytes.NewReader(encoded))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&t); err != nil {
		return t, fmt.Errorf("not an event: %w", err)
	}
	again, err := json.Marshal(t)
	if err != nil || !bytes.Equal(again, encoded) {
		return t, errors.New("not in the canonical form")
	}
	if t.Purpose != purpose {
		return t, fmt.Errorf("made for another purpose, %q", t.Purpose)
	}
	return t, nil
}

// open is the event that an entry holds, with as much of it as was not erased.
func (e Entry) open(t text) (access.Event, error) {
	event := access.Event{Action: t.Action, At: time.UnixMicro(t.At).UTC(), Request: access.Request{ID: t.ID, Kind: t.Kind}}
	event.Requirements = access.Each(t.Fills, needFrom)
	if t.Start != 0 || t.End != 0 {
		event.Window = access.Window{Start: time.UnixMicro(t.Start).UTC(), End: time.UnixMicro(t.End).UTC()}
	}
	event.Decision.Verdict = t.Verdict
	if len(e.Parts) != len(t.Parts) || len(e.Parts) == 0 {
		return event, errors.New("parts are missing")
	}
	for i, p := range e.Parts {
		if !p.erased() && p.digest() != t.Parts[i] {
			return event, errors.New("personal data is not what was recorded")
		}
	}
	if err := decodeParts(&event, e.Parts); err != nil {
		return event, err
	}
	if fills := nameless(access.Each(event.Requirements, needTo), e.Parts[0].Salt); !e.erased() && !reflect.DeepEqual(fills, t.Fills) {
		return event, errors.New("the content is of other requirements")
	}
	return event, nil
}

// erased is whether the content of the entry was.
func (e Entry) erased() bool { return len(e.Parts) == 0 || e.Parts[0].erased() }

// Base64 is how a home that keeps texts keeps bytes.
func Base64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }
