package broker

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"net/url"
	"slices"
	"strconv"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/passkey"
)

// Deeds keeps what happens to what is no request. Errors are *access.Error.
type Deeds interface {
	// Deeds are those of one thing in their order, or of all of the kind where of is empty;
	// each chain verified, or an error of kind Unprocessable. Of all, that error names whose they
	// are (access.DamagesOf), and those of all others come with it.
	Deeds(ctx context.Context, kind, of string) ([]access.Deed, error)
	// Append adds a deed that must be the next one of its thing: kind Conflict otherwise. With
	// it, or not at all, are kept the notices, as with Store.Commit.
	Append(ctx context.Context, d access.Deed, notices ...access.Notice) error
}

// Signatures keeps, beside deeds, what keys have signed last.
type Signatures interface {
	Deeds
	// KeyUsed keeps that a key has signed, and what its counter was then. LastUse is the
	// last time that it has; zero where it never did. Nobody gets access by it.
	KeyUsed(ctx context.Context, use access.KeyUse) error
	LastUse(ctx context.Context, credential []byte) (access.KeyUse, error)
}

// Passkeys is whether people can enrol keys and sign with them.
func (b *Broker) Passkeys() bool {
	return b.c.Signatures != nil && b.c.Nonces != nil && b.relyingParty() != ""
}

// relyingParty is the host for which keys are made: that of our own address.
func (b *Broker) relyingParty() string {
	u, err := url.Parse(b.c.Origin)
	if err != nil {
		return ""
	}
	return u.Hostname()
}

func noPasskeys() error {
	return &access.Error{Kind: access.NotFound, Code: access.CodeNoPasskeys}
}

// Ceremony is what a browser needs to have something signed, or a key made.
type Ceremony struct {
	passkey.Statement
	// RelyingParty is the host of the keys; Credentials are those that may sign, or that
	// there are already.
	RelyingParty string
	Credentials  [][]byte
}

// KeyOf is a key as a page shows it. Used is when it has signed last, of the viewer's own.
type KeyOf struct {
	access.Passkey
	Used time.Time
}

// PasskeyList is what somebody is shown of keys.
type PasskeyList struct {
	// Own are the caller's; Others everybody else's, for admins alone, those that wait for
	// approval first. Removed ones are left out.
	Own, Others []KeyOf
	Admin       bool
	// Damaged are people whose keys are not as they were recorded, so that they cannot sign: the
	// viewer, and for admins everybody. The keys of others are shown as of KeysLife ago at most.
	Damaged access.Damages
	// Enrolment is what another key of the caller's is made with.
	Enrolment Ceremony
}

// PasskeyList returns the caller's keys and, to one of the admins, everybody's.
func (b *Broker) PasskeyList(ctx context.Context, caller access.Caller) (PasskeyList, error) {
	list := PasskeyList{Admin: b.Admin(ctx, caller) == nil}
	keys, err := b.keys(ctx, string(caller.Principal))
	if codeOf(err) == access.CodeDeedsDamaged {
		list.Damaged, err = access.Damages{{Of: string(caller.Principal), Err: access.AsError(err)}}, nil
	}
	if err != nil {
		return list, err
	}
	if list.Admin {
		all, damages, err := b.keysLately(ctx)
		if err != nil {
			return list, err
		}
		others := slices.DeleteFunc(slices.Clone(all), func(k access.Passkey) bool { return k.Of == caller.Principal })
		keys = append(keys, others...)
		for _, d := range damages {
			if d.Of != string(caller.Principal) {
				list.Damaged = append(list.Damaged, d)
			}
		}
	}
	list.Enrolment = Ceremony{Statement: passkey.Statement{Purpose: passkey.Enrolment, Person: caller.Principal},
		RelyingParty: b.relyingParty()}
	if list.Enrolment.Statement, err = b.c.Nonces.Issue(list.Enrolment.Statement); err != nil {
		return list, err
	}
	for _, k := range keys {
		if !k.Removed.IsZero() {
			continue
		}
		if k.Of != caller.Principal {
			list.Others = append(list.Others, KeyOf{Passkey: k})
			continue
		}
		use, err := b.c.Signatures.LastUse(ctx, k.Credential)
		if err != nil {
			return list, err
		}
		list.Own = append(list.Own, KeyOf{k, use.At})
		list.Enrolment.Credentials = append(list.Enrolment.Credentials, k.Credential)
	}
	slices.SortStableFunc(list.Others, func(a, b KeyOf) int {
		return cmp.Or(cmp.Compare(order(a.Approved.IsZero()), order(b.Approved.IsZero())), cmp.Compare(a.Of, b.Of))
	})
	return list, nil
}

// order puts what is so first.
func order(is bool) int {
	if is {
		return 0
	}
	return 1
}

// everybodysKeys are the keys of everybody whose deeds are as they were recorded, those that were
// removed too, and of whom they are not.
func (b *Broker) everybodysKeys(ctx context.Context) ([]access.Passkey, access.Damages, error) {
	if !b.Passkeys() {
		return nil, nil, noPasskeys()
	}
	deeds, err := timed(b, ctx, func(ctx context.Context) ([]access.Deed, error) {
		return b.c.Signatures.Deeds(ctx, access.DeedPasskeys, "")
	})
	damages := access.DamagesOf(err)
	if err != nil && damages == nil {
		return nil, nil, err
	}
	keys, more := passkey.Everybodys(deeds)
	return keys, append(damages, more...), nil
}

// keys are the keys of somebody, those that were removed too.
func (b *Broker) keys(ctx context.Context, of string) ([]access.Passkey, error) {
	if !b.Passkeys() {
		return nil, noPasskeys()
	}
	deeds, err := timed(b, ctx, func(ctx context.Context) ([]access.Deed, error) {
		return b.c.Signatures.Deeds(ctx, access.DeedPasskeys, of)
	})
	if err != nil {
		return nil, err
	}
	keys, err := passkey.Keys(deeds)
	if err != nil {
		return nil, &access.Error{Kind: access.Unprocessable, Code: access.CodeDeedsDamaged, Err: err}
	}
	return keys, nil
}

// Enrol adds a key of the caller's, who must have signed in a moment ago. It signs nothing
// that counts until one of the admins has approved it, unless a policy says otherwise.
func (b *Broker) Enrol(ctx context.Context, caller access.Caller, name string, c passkey.Creation) (
	access.Passkey, []*access.Error, error) {
	refused := func(err error) (access.Passkey, []*access.Error, error) {
		return access.Passkey{}, nil, b.refuseKey(ctx, caller, access.PasskeyEnrolled, access.Passkey{Of: caller.Principal}, err)
	}
	keys, err := b.keys(ctx, string(caller.Principal))
	if err != nil {
		return refused(err)
	}
	if !b.fresh(caller) {
		return refused(&access.Error{Kind: access.NotAllowed, Code: access.CodeSignInAgain})
	}
	if len(c.PublicKey) == 0 { // a form that no script has filled in
		return refused(&access.Error{Kind: access.NotAllowed, Code: access.CodePasskeyNotMade})
	}
	clean, err := passkey.CleanName(name)
	if err != nil {
		return refused(&access.Error{Kind: access.Invalid, Code: access.CodePasskeyName, Field: access.FieldName, Err: err})
	}
	s := passkey.Statement{Purpose: passkey.Enrolment, Person: caller.Principal, Nonce: c.Nonce, At: c.At}
	k, err := passkey.Created(c, s, b.relyingParty())
	if err = cmp.Or(b.c.Nonces.Check(s), err); err != nil {
		return refused(&access.Error{Kind: access.Invalid, Code: access.CodeSignatureInvalid, Err: err})
	}
	k.Name = clean
	all, _, err := b.keysLately(ctx) // no authenticator makes a credential twice: it is somebody who says so
	if err != nil {
		return refused(err)
	}
	known := func(other access.Passkey) bool { return bytes.Equal(other.Credential, k.Credential) }
	if slices.ContainsFunc(keys, known) || slices.ContainsFunc(all, known) {
		return refused(&access.Error{Kind: access.Conflict, Code: access.CodePasskeyKnown})
	}
	if err := b.roomForKey(append(keys, k)); err != nil {
		return refused(err)
	}
	warnings, err := b.deed(ctx, caller, access.PasskeyEnrolled, k, passkey.Enrolled(k))
	return k, warnings, err
}

// MaxPasskeys is how many keys of one person are live, or were enrolled within a day, at most:
// each deed is read whenever a key is looked at.
const MaxPasskeys = 10

// roomForKey is nil where whoever holds the last of some keys may have that one too. The error is of
// kind Conflict.
func (b *Broker) roomForKey(keys []access.Passkey) error {
	of, since, count := keys[len(keys)-1].Of, b.c.Now().Add(-24*time.Hour), 0
	for _, k := range keys {
		if k.Of == of && (k.Removed.IsZero() || k.Enrolled.After(since)) {
			count++
		}
	}
	if count <= MaxPasskeys {
		return nil
	}
	return &access.Error{Kind: access.Conflict, Code: access.CodeTooManyPasskeys, Args: access.Args{"max": strconv.Itoa(MaxPasskeys)}}
}

// fresh is whether the caller has signed in a moment ago (access.AssertionLife).
func (b *Broker) fresh(caller access.Caller) bool {
	return !caller.Asserted.IsZero() && b.c.Now().Sub(caller.Asserted) <= access.AssertionLife
}

// ApprovePasskey says that a key is its holder's: by one of the admins, who is another human.
func (b *Broker) ApprovePasskey(ctx context.Context, caller access.Caller, of access.Principal, id string) ([]*access.Error, error) {
	k, err := b.keyOf(ctx, of, id)
	if err == nil {
		err = b.Admin(ctx, caller)
	}
	switch {
	case err != nil:
	case b.human(caller.Principal) == b.human(of):
		err = &access.Error{Kind: access.NotAllowed, Code: access.CodeOwnPasskey}
	case !k.Approved.IsZero():
		return nil, nil
	}
	if err != nil {
		return nil, b.refuseKey(ctx, caller, access.PasskeyApproved, access.Passkey{Of: of, Credential: k.Credential}, err)
	}
	return b.deed(ctx, caller, access.PasskeyApproved, k, passkey.ApprovedOf(k))
}

// RemovePasskey takes a key away, for good: by its holder, or one of the admins.
func (b *Broker) RemovePasskey(ctx context.Context, caller access.Caller, of access.Principal, id string) ([]*access.Error, error) {
	k, err := b.keyOf(ctx, of, id)
	if err == nil && of != caller.Principal {
		err = b.Admin(ctx, caller)
	}
	if err != nil {
		return nil, b.refuseKey(ctx, caller, access.PasskeyRemoved, access.Passkey{Of: of, Credential: k.Credential}, err)
	}
	return b.deed(ctx, caller, access.PasskeyRemoved, k, passkey.RemovedOf(k))
}

// keyOf is somebody's key that was not removed.
func (b *Broker) keyOf(ctx context.Context, of access.Principal, id string) (access.Passkey, error) {
	keys, err := b.keys(ctx, string(of))
	if err != nil {
		return access.Passkey{}, err
	}
	at := slices.IndexFunc(keys, func(k access.Passkey) bool { return k.Of == of && k.ID() == id && k.Removed.IsZero() })
	if of == "" || at < 0 {
		return access.Passkey{}, &access.Error{Kind: access.NotFound, Code: access.CodeUnknownPasskey}
	}
	return keys[at], nil
}

// deed is the one door of what happens to keys: into the journal, then into the ledger with
// what people are told of it, and then they are told. What cannot follow on what has happened
// meanwhile is of kind Conflict.
func (b *Broker) deed(ctx context.Context, caller access.Caller, did access.Action, k access.Passkey, body []byte) (
	[]*access.Error, error) {
	ctx, cancel := detach(ctx)
	defer cancel()
	event := b.keyEvent(caller, did, k)
	if err := b.c.Journal.Record(ctx, event); err != nil {
		return nil, &access.Error{Kind: access.Unavailable, Code: access.CodeJournalUnavailable, Err: err}
	}
	d := access.Deed{Kind: access.DeedPasskeys, Of: string(k.Of), At: event.At, By: caller.Principal, Body: body}
	notice, err := timed(b, ctx, func(ctx context.Context) (access.Notice, error) {
		deeds, err := b.c.Signatures.Deeds(ctx, d.Kind, d.Of)
		if err != nil {
			return access.Notice{}, err
		}
		d.Number = len(deeds) + 1
		keys, err := passkey.Keys(append(deeds, d))
		if err != nil {
			return access.Notice{}, &access.Error{Kind: access.Conflict, Code: access.CodeChangedMeanwhile, Args: access.Args{"of": d.Of}, Err: err}
		}
		if did == access.PasskeyEnrolled { // others may have been enrolled meanwhile
			if err := b.roomForKey(keys); err != nil {
				return access.Notice{}, err
			}
		}
		n := b.keyNotice(did, keys[keyAt(keys, k.Of, k.Credential)])
		return n, b.c.Signatures.Append(ctx, d, n)
	})
	b.keyring.changed() // also where it is not known whether it was written
	if err != nil {
		return nil, b.refuseKey(ctx, caller, did, k, err)
	}
	return b.tell(ctx, caller, notice), nil
}

// keyAt is where somebody's key of that credential is among keys; negative where it is not.
func keyAt(keys []access.Passkey, of access.Principal, credential []byte) int {
	return slices.IndexFunc(keys, func(k access.Passkey) bool { return k.Of == of && bytes.Equal(k.Credential, credential) })
}

// staleKey is whether a notice of a passkey tells what has not happened to it. Whoever may write
// the outbox tells nobody in our name of a key that there is not.
func (b *Broker) staleKey(ctx context.Context, n access.Notice) (bool, error) {
	keys, err := b.keys(ctx, string(n.Passkey.Of))
	if codeOf(err) == access.CodeDeedsDamaged || codeOf(err) == access.CodeNoPasskeys {
		return true, nil
	}
	at := keyAt(keys, n.Passkey.Of, n.Passkey.Credential)
	if err != nil || at < 0 {
		return err == nil, err
	}
	k, said := keys[at], n.Passkey
	happened := n.Request.Principal == said.Of && said.Name == k.Name && said.Enrolled.Equal(k.Enrolled)
	switch n.Kind {
	case access.NoticePasskeyApproved:
		happened = happened && said.ApprovedBy == k.ApprovedBy && said.Approved.Equal(k.Approved)
	case access.NoticePasskeyRemoved:
		happened = happened && said.RemovedBy == k.RemovedBy && said.Removed.Equal(k.Removed)
	}
	return !happened, nil
}

func (b *Broker) keyEvent(caller access.Caller, did access.Action, k access.Passkey) access.Event {
	e := b.event(caller, did, access.Request{Principal: k.Of})
	if e.At = access.AsKept(e.At); len(k.Credential) > 0 {
		e.Passkey = k.ID()
	}
	return e
}

// refuseKey records that somebody was refused what they tried with a key, and returns why.
func (b *Broker) refuseKey(ctx context.Context, caller access.Caller, trying access.Action, k access.Passkey, err error) error {
	e := b.keyEvent(caller, access.ActionRefused, k)
	e.Trying, e.Err = trying, err
	_ = b.c.Journal.Record(ctx, e)
	return err
}

// Signing is what the caller signs to approve a request that they were shown, for a length at
// most as in Decide. The error says that none of their keys counts here.
func (b *Broker) Signing(ctx context.Context, caller access.Caller, v View, atMost time.Duration) (Ceremony, error) {
	c := Ceremony{RelyingParty: b.relyingParty()}
	keys, err := b.shownKeys(ctx, caller.Principal, v.Keys, b.c.Now())
	if err != nil {
		return c, err
	}
	c.Credentials = access.Each(keys, func(k access.Passkey) []byte { return k.Credential })
	c.Statement, err = b.c.Nonces.Issue(passkey.Statement{Purpose: passkey.Approval, Person: caller.Principal, Request: v.Digest,
		Duration: atMost})
	return c, err
}

// signingKeys are the keys of a person that count at a time; the error says why there are
// none.
func (b *Broker) signingKeys(ctx context.Context, p access.Principal, terms access.KeyTerms, at time.Time) ([]access.Passkey, error) {
	keys, err := b.keys(ctx, string(p))
	if err != nil {
		return nil, err
	}
	return passkey.Counting(keys, p, b.relyingParty(), terms, at)
}

// sign is the evidence of a decision whose terms demand a signature: made just now, by a key
// of the caller's that counts, over this decision. It is kept that the key has signed.
func (b *Broker) sign(ctx context.Context, d access.Decision, terms access.Terms, a *access.Assertion) (*access.Assertion, error) {
	keys, err := b.signingKeys(ctx, d.By, terms.Keys, d.At)
	if err != nil {
		return nil, err
	}
	if a == nil {
		return nil, &access.Error{Kind: access.NotAllowed, Code: access.CodeSignatureMissing}
	}
	evidence := *a
	invalid := func(why error) error {
		return &access.Error{Kind: access.NotAllowed, Code: access.CodeSignatureInvalid, Err: why}
	}
	at := slices.IndexFunc(keys, func(k access.Passkey) bool { return bytes.Equal(k.Credential, a.Credential) })
	if at < 0 {
		return nil, invalid(errors.New("it is of a key that does not count here, or of somebody else's"))
	}
	evidence.PublicKey, evidence.RelyingParty = keys[at].PublicKey, keys[at].RelyingParty
	d.Evidence = &evidence
	if err := cmp.Or(b.c.Nonces.Check(passkey.Of(d)), signed(d, keys[at], terms.Keys)); err != nil {
		return nil, invalid(err)
	}
	last, err := b.c.Signatures.LastUse(ctx, a.Credential)
	if err != nil {
		return nil, err
	}
	counter := passkey.Counter(evidence)
	if (counter > 0 || last.Counter > 0) && counter <= last.Counter {
		return nil, invalid(errors.New("the counter of the authenticator has gone back: somebody may have copied it"))
	}
	return &evidence, b.c.Signatures.KeyUsed(ctx, access.KeyUse{Credential: a.Credential, Counter: counter, At: d.At})
}

// signed is nil where the evidence of a decision is a signature over it by that key, as the
// terms demand.
func signed(d access.Decision, k access.Passkey, terms access.KeyTerms) error {
	switch a := d.Evidence; {
	case a == nil:
		return errors.New("there is no signature")
	case !bytes.Equal(a.Credential, k.Credential) || !bytes.Equal(a.PublicKey, k.PublicKey) || a.RelyingParty != k.RelyingParty:
		return errors.New("it is of another key")
	case terms.DeviceBound && passkey.Synced(*a):
		return errors.New("the key says itself that it may be on other devices")
	}
	return passkey.Verify(*d.Evidence, passkey.Of(d))
}

// countsSigned is whether an approval is signed as the terms demand, by a key that is still
// its maker's. The error is that it is not known.
func (b *Broker) countsSigned(ctx context.Context, d access.Decision, r access.Request, terms access.Terms) (bool, error) {
	if !terms.Signature {
		return true, nil
	}
	if d.Evidence == nil || d.Digest != r.Digest() {
		return false, nil
	}
	keys, err := b.keys(ctx, string(d.By))
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(keys, func(k access.Passkey) bool {
		return k.Of == d.By && passkey.Fit(k, terms.Keys, d.At) == nil && signed(d, k, terms.Keys) == nil
	}), nil
}
