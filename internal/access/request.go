package access

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// RequestKind is how a request comes to a grant.
type RequestKind string

const (
	Self       RequestKind = "self"        // its principal activates it alone
	Peers      RequestKind = "peers"       // others who were asked must approve
	BreakGlass RequestKind = "break glass" // its principal has it at once, and others look at it afterwards
)

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

// VisibleJSON is JSON in which what a terminal or a log viewer would not show, or would obey, is escaped: it means what
// it meant.
func VisibleJSON(text []byte) []byte {
	shown := make([]byte, 0, len(text))
	for _, r := range string(text) {
		switch {
		case ' ' <= r && r <= '~', r == '\n', r == '\t':
			shown = append(shown, byte(r))
		case r == '\r': // between two values; within one it is escaped already
			shown = append(shown, ' ')
		case !Unseen(r):
			shown = utf8.AppendRune(shown, r)
		case r > 0xFFFF:
			high, low := utf16.EncodeRune(r)
			shown = fmt.Appendf(shown, `\u%04x\u%04x`, high, low)
		default:
			shown = fmt.Appendf(shown, `\u%04x`, r)
		}
	}
	return shown
}

// Isolated is a text of others for the middle of another: one that has letters written from
// right to left is put between U+2068 and U+2069, so that what stands around it keeps its order
// (https://www.unicode.org/reports/tr9/#Explicit_Directional_Isolates). What would end that
// early, Visible spells out.
func Isolated(text string) string {
	if !RightToLeft(text) {
		return text
	}
	return "\u2068" + text + "\u2069"
}

// RightToLeft is whether a text has letters that are written from right to left
// (https://www.unicode.org/Public/UCD/latest/ucd/extracted/DerivedBidiClass.txt).
func RightToLeft(text string) bool {
	return strings.ContainsFunc(text, func(r rune) bool { return r >= 0x590 && unicode.Is(rightToLeft, r) })
}

// rightToLeft are the blocks of which a character is R or AL, even one that is not assigned yet.
var rightToLeft = &unicode.RangeTable{
	R16: []unicode.Range16{{Lo: 0x590, Hi: 0x8ff, Stride: 1}, {Lo: 0xfb1d, Hi: 0xfdff, Stride: 1}, {Lo: 0xfe70, Hi: 0xfefe, Stride: 1}},
	R32: []unicode.Range32{{Lo: 0x10800, Hi: 0x10fff, Stride: 1}, {Lo: 0x1e800, Hi: 0x1efff, Stride: 1}},
}

// Cell is a text of others as a field of CSV that no spreadsheet takes for a formula
// (https://owasp.org/www-community/attacks/CSV_Injection): one that would begin like one has
// an apostrophe before it. So has what comes after a semicolon, a tab or a line break, where
// fields end for the spreadsheets of half of Europe, whatever quotes are around them. What is
// unseen in it is spelled out, as by Visible.
func Cell(text string) string {
	var b strings.Builder
	begins := true
	for i, r := range text {
		next, _ := utf8.DecodeRuneInString(strings.TrimLeft(text[i:], `"`))
		formula := begins && strings.ContainsRune("=+-@\t\r＝＋－＠", next)
		if formula {
			b.WriteByte('\'')
		}
		if Unseen(r) && !strings.ContainsRune("\t\r\n", r) {
			fmt.Fprintf(&b, "[U+%04X]", r)
		} else {
			b.WriteRune(r)
		}
		begins = !formula && strings.ContainsRune(";\t\r\n", r)
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

// LinkLife is how long a link to a request is good for at most, counted from when
// the request was made: Google publishes the key of a signature for six hours after
// its last use
// (https://cloud.google.com/iam/docs/reference/rest/v1/projects.serviceAccounts.keys).
// LinkSkew is how far the clock of whoever made the link may be ahead of ours.
const (
	LinkLife = 6 * time.Hour
	LinkSkew = time.Minute
)

// Request is one principal asking for entitlements of one resource.
type Request struct {
	// ID is jit-…, mpa-… or brk-…, by its Kind; see NewRequestID.
	ID   string
	Kind RequestKind
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
	// Reviewers are who was asked, people and groups (Principal.Group), sorted, each
	// once, never the principal. Empty for self-approval.
	Reviewers []Principal
	// Created is when the request was made; Expires is when it can no longer be
	// decided.
	Created, Expires time.Time
	// Fixed is the window of a request that JIT Access 1.x made: there the clock
	// started when the request was made, and what was approved is what is granted.
	// Zero for all others.
	Fixed Window
	// Extends is the id of the request whose grant this one goes on with, from its end
	// on; empty for all others.
	Extends string
	// Asking is what an application asks for; zero for what people ask.
	Asking Asking
	// Terms are those under which it was made, where the store keeps them. Zero where the
	// link is the record: then those of now alone hold.
	Terms Terms
	// Claims are the groups that the principal's assertion named when it was made, where
	// ClaimsKnown: it named them, and the store keeps them.
	Claims      []string
	ClaimsKnown bool
	// State, Decisions and Window are what has become of it as far as the store
	// remembers; see Apply. Window is what the last approval gave.
	State     State
	Decisions []Decision
	Window    Window
	// Review is what was said of a broken glass afterwards: By, At and Comment; zero
	// until then.
	Review Decision
	// Reminded is when people were last told of it again; Escalated is how many of the
	// Escalations of its Terms were told.
	Reminded  time.Time
	Escalated int
	// TakenIn is when its grant was found, where nobody had made the request here: who
	// approved it, if anybody did, is not known. Zero for all others.
	TakenIn time.Time
	// Ending is since when somebody has been ending its grant, and nothing was recorded of
	// what became of that; zero otherwise.
	Ending time.Time
	// Bounced are those of whom a mail says that one to them came back (Bounce.To), at most
	// MaxBounced.
	Bounced []Principal
	// Version counts what the store has recorded; 0 is a request not yet recorded.
	Version int
	// Unattested: something of it is signed with a key that is not the store's now, so that
	// it is not known whose words it is. Nothing can come of it any more.
	Unattested bool
	// UnknownKey: of such a key it is not known either that it was the store's once.
	UnknownKey bool
	// Attestation is what a list has found out of it (Listing.Attest); empty where nobody asked,
	// and for what was opened, which is verified or is an error.
	Attestation Attestation
}

// Digest binds a decision to what was shown: everything that decides what is
// granted, to whom and why. Who was asked is not in it, so that asking more people
// leaves what others have been shown, and said, as good as it was.
func (r Request) Digest() string {
	fields := []string{"jitaccess request 2", r.ID, string(r.Kind), string(r.Principal), string(r.Resource),
		list(r.Entitlements), strconv.FormatInt(int64(r.Duration/time.Second), 10), instant(r.Start), r.Justification,
		instant(r.Fixed.Start), instant(r.Fixed.End)}
	if r.Extends != "" || !r.Asking.IsZero() {
		fields = append(fields, r.Extends)
	}
	if !r.Asking.IsZero() {
		fields = append(fields, r.Asking.digest())
	}
	return digest(fields...)
}

// FullDigest stands for everything that was sent: what is shown, and who was asked.
// By it the same form sent twice is known to be one.
func (r Request) FullDigest() string {
	return digest("jitaccess request 2 in full", r.Digest(), list(r.Reviewers))
}

// digest hashes length-prefixed fields, so that no two lists of them share one.
func digest(fields ...string) string {
	h := sha256.New()
	for _, s := range fields {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(s)))
		h.Write(n[:])
		io.WriteString(h, s)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// list stands for a set of items in a digest.
func list[T fmt.Stringer](items []T) string {
	texts := Each(items, T.String)
	slices.Sort(texts)
	return digest(texts...)
}

func instant(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return strconv.FormatInt(t.Unix(), 10)
}

// Approved is for how long the request was approved at most: what was asked, and the
// shortest that one of those who approved allows.
func (r Request) Approved(more ...Decision) time.Duration {
	length := r.Duration
	for _, d := range slices.Concat(r.Decisions, more) {
		if d.Verdict == Approve && d.Duration > 0 {
			length = min(length, d.Duration)
		}
	}
	return length
}

// Unreviewed is whether the glass was broken, and nobody has said yet what they think of
// that. What came to nothing needs no review.
func (r Request) Unreviewed() bool {
	return r.Kind == BreakGlass && r.Review.At.IsZero() && r.State != Unmade && r.State != Failed
}

// WindowAt is the window that an approval accepted now gives: it starts at the
// later of now and the requested start, never before what it rests on, in whole
// seconds, and lasts as long as Approved says, also by more decisions. A request of JIT
// Access 1.x keeps its own.
func (r Request) WindowAt(now time.Time, more ...Decision) Window {
	if !r.Fixed.IsZero() {
		return r.Fixed
	}
	for _, d := range r.Decisions { // by other instances, whose clocks may be ahead
		now = latest(now, d.At)
	}
	now = latest(latest(now, r.Created), r.Start)
	start := now.UTC().Truncate(time.Second)
	return Window{Start: start, End: start.Add(r.Approved(more...))}
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// Window is a half-open span of time [Start, End), in UTC and whole seconds. The
// zero value is no window.
type Window struct{ Start, End time.Time }

// Contains is whether t lies in the window.
func (w Window) Contains(t time.Time) bool { return !t.Before(w.Start) && t.Before(w.End) }

// Before is the part of the window before a time, all of it when that is zero. It has
// no length, and the same start, when there is no such part.
func (w Window) Before(t time.Time) Window {
	if t.IsZero() || !t.Before(w.End) {
		return w
	}
	if t.Before(w.Start) {
		t = w.Start
	}
	return Window{w.Start, t}
}

// exceeds is whether the window ends later, or lasts longer, than another.
func (w Window) exceeds(other Window) bool {
	return w.End.After(other.End) || w.Length() > other.Length()
}

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

// AssertionLife is how old an assertion may be for its access levels to count in a decision.
const AssertionLife = 15 * time.Minute

// Decision is one reviewer's verdict on a request.
type Decision struct {
	Verdict Verdict
	By      Principal
	At      time.Time
	// Comment is the reason given; it may be empty when approving.
	Comment string
	// Digest is Request.Digest of what was decided on.
	Digest string
	// As is what the person was when they decided, of all that the requirements name and
	// of the groups that were asked, spelled as Requirement.From. Empty is FromPeers: so
	// it was before others could approve.
	As []string
	// AccessLevels are those of a fresh assertion (AssertionLife) with which they decided.
	AccessLevels []string
	// Duration, in whole minutes, is for how long it was approved at most; zero is for as
	// long as was asked.
	Duration time.Duration
	// Evidence is what the person has signed, where they have; nil otherwise.
	Evidence *Assertion
}

// Was is whether the person was among those who may fill the requirement.
func (d Decision) Was(r Requirement) bool {
	if len(d.As) == 0 {
		return slices.Contains(r.From, FromPeers)
	}
	return slices.ContainsFunc(d.As, func(as string) bool { return slices.Contains(r.From, as) })
}
