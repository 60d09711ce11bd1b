package access

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Prefixes of request ids: the way in which the request was made.
const (
	selfPrefix = "jit-"
	peerPrefix = "mpa-"
)

// requestIDPattern accepts our ids and those of JIT Access 1.x, which are standard
// Base64.
var requestIDPattern = regexp.MustCompile(`^(jit|mpa)-[A-Za-z0-9_+/-]{16}$`)

// NewRequestID mints an id. peer says whether others must approve. Random is a
// source of randomness of cryptographic quality; its failure is returned.
func NewRequestID(random io.Reader, peer bool) (string, error) {
	var b [12]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return "", err
	}
	if peer {
		return peerPrefix + base64.RawURLEncoding.EncodeToString(b[:]), nil
	}
	return selfPrefix + base64.RawURLEncoding.EncodeToString(b[:]), nil
}

// ParseRequestID checks the form of an id that came from outside.
func ParseRequestID(id string) (string, error) {
	if !requestIDPattern.MatchString(id) {
		return "", errors.New("not a request id")
	}
	return id, nil
}

// MaxJustification is the longest justification, in characters. It keeps links
// short enough for every mail program.
const MaxJustification = 250

// ErrJustification* are the ways in which a justification cannot be one, whatever
// the operator's pattern says.
var (
	ErrJustificationEmpty   = errors.New("empty")
	ErrJustificationLong    = errors.New("too long")
	ErrJustificationControl = errors.New("has line breaks or invisible characters")
)

// CheckJustification refuses what could not be shown to an approver as it is:
// nothing at all, too much, control characters, line breaks, and the format
// characters with which text can be made to look like other text. Surrounding
// space is the caller's to trim.
func CheckJustification(text string) error {
	if strings.TrimSpace(text) == "" {
		return ErrJustificationEmpty
	}
	if utf8.RuneCountInString(text) > MaxJustification {
		return ErrJustificationLong
	}
	if !utf8.ValidString(text) || strings.ContainsFunc(text, Unseen) {
		return ErrJustificationControl
	}
	return nil
}

// Unseen is whether a character shows nothing, or changes how others show. The
// variation selectors for emoji are harmless and come from every phone.
func Unseen(r rune) bool {
	if r == '\ufe0e' || r == '\ufe0f' {
		return false
	}
	return r == '\u2800' || unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Co,
		unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

// Visible is a text of others with what is unseen in it spelled out, as [U+202E],
// and on one line.
func Visible(text string) string {
	var b strings.Builder
	for _, r := range strings.ToValidUTF8(text, "\uFFFD") {
		switch {
		case r == '\n' || r == '\r' || r == '\t':
			b.WriteByte(' ')
		case Unseen(r):
			fmt.Fprintf(&b, "[U+%04X]", r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// Clip returns text if it has at most max bytes, and otherwise as much of it as fits
// in max bytes without cutting a character in two, with an ellipsis behind that says
// so. Text that is not valid UTF-8 is cut as well; max is not negative.
func Clip(text string, max int) string {
	if len(text) <= max {
		return text
	}
	for max > 0 && !utf8.RuneStart(text[max]) {
		max--
	}
	return text[:max] + "…"
}

// Request is one principal asking for entitlements of one resource.
type Request struct {
	// ID is jit-… or mpa-…; see NewRequestID.
	ID string
	// Principal is who asks and who gets the access.
	Principal Principal
	Resource  Resource
	// Entitlements are all of Resource, sorted by CompareEntitlementIDs, each once,
	// at least one.
	Entitlements  []EntitlementID
	Justification string
	// Duration is how long the access lasts, in whole minutes.
	Duration time.Duration
	// Start is when the access begins at the earliest; zero is "as soon as it is
	// approved".
	Start time.Time
	// Reviewers are who was asked, sorted, each once, never the principal. Empty
	// for self-approval.
	Reviewers []Principal
	// Created is when the request was made; Expires is when it can no longer be
	// decided.
	Created, Expires time.Time
	// Fixed is the window of a request that JIT Access 1.x made: there the clock
	// started when the request was made, and what was approved is what is granted.
	// Zero for all others.
	Fixed Window
	// Decisions are what reviewers said, as far as the store remembers.
	Decisions []Decision
	// Version counts what the store has recorded; 0 is a request not yet recorded.
	Version int
}

// Digest binds a decision to what was shown. It covers everything that decides
// what is granted, to whom, why and by whose leave, as length-prefixed fields, so
// that no two requests share one.
func (r Request) Digest() string {
	h := sha256.New()
	field := func(s string) {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(s)))
		h.Write(n[:])
		io.WriteString(h, s)
	}
	list := func(items []string) {
		field(strconv.Itoa(len(items)))
		for _, s := range items {
			field(s)
		}
	}
	instant := func(t time.Time) {
		if t.IsZero() {
			field("")
			return
		}
		field(strconv.FormatInt(t.Unix(), 10))
	}
	field("jitaccess request 1")
	field(r.ID)
	field(string(r.Principal))
	field(string(r.Resource))
	var ids []string
	for _, e := range r.Entitlements {
		ids = append(ids, e.String())
	}
	slices.Sort(ids)
	list(ids)
	field(strconv.FormatInt(int64(r.Duration/time.Second), 10))
	instant(r.Start)
	field(r.Justification)
	var reviewers []string
	for _, p := range r.Reviewers {
		reviewers = append(reviewers, string(p))
	}
	slices.Sort(reviewers)
	list(reviewers)
	instant(r.Fixed.Start)
	instant(r.Fixed.End)
	return hex.EncodeToString(h.Sum(nil))
}

// WindowAt is the window that an approval accepted now gives: it starts at the
// later of now and the requested start, in whole seconds, and lasts Duration. A
// request of JIT Access 1.x keeps its own.
func (r Request) WindowAt(now time.Time) Window {
	if !r.Fixed.IsZero() {
		return r.Fixed
	}
	start := now
	if r.Start.After(now) {
		start = r.Start
	}
	start = start.UTC().Truncate(time.Second)
	return Window{Start: start, End: start.Add(r.Duration)}
}

// Window is a half-open span of time [Start, End), in UTC and whole seconds. The
// zero value is no window.
type Window struct{ Start, End time.Time }

// Contains is whether t lies in the window.
func (w Window) Contains(t time.Time) bool { return !t.Before(w.Start) && t.Before(w.End) }

// IsZero is whether there is no window.
func (w Window) IsZero() bool { return w.Start.IsZero() && w.End.IsZero() }

// Length is how long the window is; 0 for a window that was ended before it began.
func (w Window) Length() time.Duration { return w.End.Sub(w.Start) }

// Verdict is what a reviewer says.
type Verdict string

const (
	Approve Verdict = "approve"
	Deny    Verdict = "deny"
)

// Decision is one reviewer's verdict on a request.
type Decision struct {
	Verdict Verdict
	By      Principal
	At      time.Time
	// Comment is the reason given; it may be empty when approving.
	Comment string
	// Digest is Request.Digest of what was decided on.
	Digest string
}

// State is where a request stands.
type State string

const (
	// Pending: not decided, or not by enough people.
	Pending State = "pending"
	// Active: granted; the window may still lie ahead.
	Active State = "active"
	// Ended: granted and ended early.
	Ended State = "ended"
	// Expired: granted, and the window is over.
	Expired State = "expired"
	// Denied: refused by a reviewer, for good.
	Denied State = "denied"
	// Lapsed: nobody decided in time.
	Lapsed State = "lapsed"
)
