package ledger

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"jitaccess/internal/access"
	"jitaccess/internal/passkey"
)

// Deed is access.Deed.
type Deed = access.Deed

// Kinds of things of which there are deeds.
const (
	DeedPasskeys    = access.DeedPasskeys
	DeedApplication = access.DeedApplication
)

var deedKinds = []string{DeedPasskeys, DeedApplication}

// maxDeed bounds a Body, in bytes; a home keeps no more of a row.
const maxDeed = 64 << 10

// deedBody is the Body of the note that a deed is kept as. Its Kind is deedKind, its ID that
// of the thing, a slash and the number, so that a home keeps one deed of a number.
type deedBody struct {
	By   access.Principal `json:"by,omitempty"`
	Body []byte           `json:"body,omitempty"`
	// Before is the digest of what is signed of the deed before.
	Before string `json:"before,omitempty"`
}

func deedKind(kind string) string { return "deed " + kind }

// keptDeed is a deed with what stands beside it.
type keptDeed struct {
	Deed
	before string
	note   Note
}

// cutLast is what stands before the last slash and behind it; all is before where there is none.
func cutLast(id string) (of, number string) {
	slash := strings.LastIndexByte(id, '/')
	if slash < 0 {
		return id, ""
	}
	return id[:slash], id[slash+1:]
}

// readDeed reads a note as a deed. Nothing is verified.
func readDeed(n Note) (keptDeed, error) {
	d := keptDeed{note: n}
	of, text := cutLast(n.ID)
	number, err := strconv.Atoi(text)
	if err != nil || of == "" || strconv.Itoa(number) != text {
		return d, fmt.Errorf("%q is no number of a deed", n.ID)
	}
	var body deedBody
	decoder := json.NewDecoder(bytes.NewReader(n.Body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&body); err != nil {
		return d, fmt.Errorf("deed %s: %w", n.ID, err)
	}
	d.Deed = Deed{Kind: strings.TrimPrefix(n.Kind, deedKind("")), Of: of, Number: number, At: n.Made.UTC(),
		By: body.By, Body: body.Body}
	d.before = body.Before
	return d, nil
}

// Deeds returns the deeds of one thing in their order, or those of all things of the kind,
// by Of, where of is empty; none of what nobody knows. Each chain is whole from its first
// deed on, and a key of ours has signed its last one, and with it all before. The error is
// an *access.Error: CodeDeedsDamaged (Unprocessable) where anything of that is not so; of the
// thing itself it is never a shorter answer. Of all, the error names the things whose deeds are
// damaged (access.DamagesOf), and those of all others come with it. What is missing at the end
// of a chain cannot be seen here (Verify, with a head).
func (s *Store) Deeds(ctx context.Context, kind, of string) ([]Deed, error) {
	kept, err := s.deeds(ctx, kind, of)
	return access.Each(kept, func(d keptDeed) Deed { return d.Deed }), err
}

func (s *Store) deeds(ctx context.Context, kind, of string) (all []keptDeed, err error) {
	prefix := "" // so that how many there are of others is nothing to one thing
	if of != "" {
		prefix = of + "/"
	}
	notes, err := s.c.Home.NotesUnder(ctx, deedKind(kind), prefix, maxNotes)
	if err != nil {
		return nil, unavailable(err)
	}
	if len(notes) == maxNotes {
		return nil, deedsDamaged(of, errors.New("there are more of them than were ever recorded"))
	}
	if of != "" {
		notes = slices.DeleteFunc(notes, func(n Note) bool { before, _ := cutLast(n.ID); return before != of })
	}
	broken := map[string]error{}
	chains := inChains(notes, func(of string, fault error) { broken[of] = fault })
	for _, chain := range chains {
		thing := chain[0].Of
		if broken[thing] != nil {
			continue
		}
		if err := cmp.Or(follows(chain), s.verified(ctx, chain)); err != nil {
			if own, ok := errors.AsType[*access.Error](err); ok { // it cannot be found out now
				return nil, own
			}
			broken[thing] = err
			continue
		}
		all = append(all, chain...)
	}
	var damages access.Damages
	for _, thing := range slices.Sorted(maps.Keys(broken)) {
		damages = append(damages, access.Damage{Of: thing, Err: deedsDamaged(thing, broken[thing])})
	}
	return all, damages.Err()
}

// inChains are the chains that notes of one kind make, by Of, each in its order. Nothing is
// verified; fault is told of each note that is no deed, and of what it would be one.
func inChains(notes []Note, fault func(of string, why error)) (chains [][]keptDeed) {
	var all []keptDeed
	for _, n := range notes {
		d, err := readDeed(n)
		if err != nil {
			of, _ := cutLast(n.ID)
			fault(of, err)
			continue
		}
		all = append(all, d)
	}
	slices.SortFunc(all, func(a, b keptDeed) int { return cmp.Or(strings.Compare(a.Of, b.Of), a.Number-b.Number) })
	for i, d := range all {
		if i == 0 || d.Of != all[i-1].Of {
			chains = append(chains, nil)
		}
		chains[len(chains)-1] = append(chains[len(chains)-1], d)
	}
	return chains
}

// follows is nil where each deed of a chain follows on the one before it, and the first on
// none.
func follows(chain []keptDeed) error {
	var last keptDeed
	for _, d := range chain {
		if d.Number != last.Number+1 || d.before != last.digest() {
			return fmt.Errorf("deed %d of %s does not follow on what is before it", d.Number, d.Of)
		}
		last = d
	}
	return nil
}

// digest stands for a deed in the next one; empty for none.
func (d keptDeed) digest() string {
	if d.Number == 0 {
		return ""
	}
	return textDigest(d.note.text())
}

// verified holds the signatures of a whole chain against our keys. Whoever signs a deed has
// verified those before it and signs their digests: what a key has signed that is not in use
// any more is good behind one that is.
func (s *Store) verified(ctx context.Context, chain []keptDeed) error {
	for i, d := range slices.Backward(chain) {
		err := s.c.Signer.Verify(ctx, d.note.text(), d.note.Signature)
		if err != nil && (i == len(chain)-1 || !errors.Is(err, errForeignKey)) {
			return fmt.Errorf("deed %d of %s: %w", d.Number, d.Of, err)
		}
	}
	return nil
}

// deedsDamaged is for a chain that is not as it was recorded; of is empty where it is not
// known which.
func deedsDamaged(of string, why error) *access.Error {
	e := &access.Error{Kind: access.Unprocessable, Code: access.CodeDeedsDamaged, Err: why}
	if of != "" {
		e.Args = access.Args{"of": of}
	}
	return e
}

// Append adds a deed behind those of the same thing, signed. Its Number must be the next
// one, so that nobody acts on what was otherwise when they looked: the error is of kind
// Conflict then (CodeChangedMeanwhile), and what Deeds says where the chain is damaged. At
// is now where it is zero. What signs must be good for ever, so that an Account, which is
// good for AccountLife, adds nothing: callers must not ask it to. With the deed, or not at all,
// the notices are kept in the outbox, as by Commit.
func (s *Store) Append(ctx context.Context, d Deed, notices ...access.Notice) error {
	if len(d.Body) == 0 {
		return access.AsError(errors.New("a deed without a body"))
	}
	return s.appendDeed(ctx, d, notices)
}

func (s *Store) appendDeed(ctx context.Context, d Deed, notices []access.Notice) error {
	switch _, brief := s.c.Signer.(*Account); {
	case brief:
		return access.AsError(errors.New("deeds need a key of the service's own"))
	case !slices.Contains(deedKinds, d.Kind) || d.Of == "" || len(d.Body) > maxDeed:
		return access.AsError(fmt.Errorf("no deed: %s of %q, %d bytes", d.Kind, d.Of, len(d.Body)))
	}
	before, err := s.deeds(ctx, d.Kind, d.Of)
	if err != nil {
		return err
	}
	conflict := &access.Error{Kind: access.Conflict, Code: access.CodeChangedMeanwhile, Args: access.Args{"of": d.Of},
		Err: fmt.Errorf("deed %d of %s %s, and there are %d", d.Number, d.Kind, d.Of, len(before))}
	if d.Number != len(before)+1 {
		return conflict
	}
	var last keptDeed
	if len(before) > 0 {
		last = before[len(before)-1]
	}
	if d.At.IsZero() {
		d.At = s.c.Now()
	}
	body, err := json.Marshal(deedBody{d.By, d.Body, last.digest()})
	if err != nil {
		return access.AsError(err)
	}
	n := Note{Kind: deedKind(d.Kind), ID: d.Of + "/" + strconv.Itoa(d.Number), Made: access.AsKept(d.At), Body: body}
	if n.Signature, err = s.c.Signer.Sign(ctx, n.text()); err != nil {
		return unavailable(err)
	}
	messages, err := keptOf(notices, "", d.At)
	if err != nil {
		return err
	}
	kept := s.c.Home.Keep(ctx, n, messages...)
	if kept != nil { // the answer may have been lost after it was written
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookTime)
		defer cancel()
		ctx = late
	}
	after, err := s.deeds(ctx, d.Kind, d.Of) // Keep leaves alone what is there already
	switch {
	case err != nil && kept != nil, err == nil && kept != nil && len(after) < d.Number:
		return unavailable(kept)
	case err != nil:
		return err
	case len(after) < d.Number || after[d.Number-1].digest() != textDigest(n.text()):
		return conflict
	}
	return nil
}

// RenewDeeds adds to each chain whose last deed another key has signed than the one that
// signs now a deed without a body, so that the other key may be given up. It returns to how
// many; those that are damaged are left as they are, and in the error.
func (s *Store) RenewDeeds(ctx context.Context) (renewed int, err error) {
	signature, err := s.c.Signer.Sign(ctx, []byte("jitaccess ledger which key 1"))
	if err != nil {
		return 0, unavailable(err)
	}
	for _, kind := range deedKinds {
		notes, failed := s.c.Home.Notes(ctx, deedKind(kind), maxNotes)
		err = errors.Join(err, unavailable(failed))
		for _, chain := range inChains(notes, func(of string, fault error) { err = errors.Join(err, deedsDamaged(of, fault)) }) {
			d := chain[len(chain)-1]
			if d.note.Signature.Key == signature.Key {
				continue
			}
			failed := s.appendDeed(ctx, Deed{Kind: kind, Of: d.Of, Number: d.Number + 1}, nil)
			switch own := access.AsError(failed); {
			case failed == nil:
				renewed++
			case own.Kind != access.Conflict: // otherwise another instance has done it, or a deed was added
				err = errors.Join(err, failed)
			}
		}
	}
	return renewed, err
}

// eachDeeds calls each with all that is kept of deeds, kind by kind.
func eachDeeds(ctx context.Context, home Home, each func(kind string, notes []Note)) error {
	for _, kind := range deedKinds {
		notes, err := home.Notes(ctx, deedKind(kind), maxNotes)
		if err != nil {
			return err
		}
		each(kind, notes)
	}
	return nil
}

// addDeeds verifies what is kept of deeds.
func (report *Report) addDeeds(ctx context.Context, kind string, notes []Note, signer Signer) {
	report.Deeds += len(notes)
	find := func(what string) { report.Findings = append(report.Findings, Finding{kind, what}) }
	for _, n := range notes {
		if err := report.verifies(ctx, n, signer); err != nil {
			find(fmt.Sprintf("deed %s is not what was recorded: %v", n.ID, err))
		}
	}
	for _, chain := range inChains(notes, func(_ string, fault error) { find(fault.Error()) }) {
		err := follows(chain)
		if err == nil && kind == DeedPasskeys {
			var keys []access.Passkey
			keys, err = passkey.Keys(access.Each(chain, func(d keptDeed) Deed { return d.Deed }))
			report.keys = append(report.keys, keys...)
		}
		if err != nil {
			find(err.Error())
		}
	}
}

// kindUse comes before the id of a key in the kind of the notes of what it has signed. They
// are not signed: nobody gets access by one.
const kindUse = "passkey use "

// useBody is the body of such a note.
type useBody struct {
	Counter uint32 `json:"counter"`
}

// KeyUsed implements broker.Signatures.
func (s *Store) KeyUsed(ctx context.Context, use access.KeyUse) error {
	body, err := json.Marshal(useBody{use.Counter})
	if err != nil {
		return access.AsError(err)
	}
	return unavailable(s.c.Home.Keep(ctx, Note{Kind: kindUse + access.CredentialID(use.Credential), ID: rand.Text(),
		Made: use.At, Body: body}))
}

// LastUse implements broker.Signatures. What cannot be read is as if it were not there.
func (s *Store) LastUse(ctx context.Context, credential []byte) (access.KeyUse, error) {
	notes, err := s.c.Home.Notes(ctx, kindUse+access.CredentialID(credential), 1)
	if err != nil || len(notes) == 0 {
		return access.KeyUse{}, unavailable(err)
	}
	var body useBody
	_ = json.Unmarshal(notes[0].Body, &body)
	return access.KeyUse{Credential: credential, Counter: body.Counter, At: notes[0].Made}, nil
}
