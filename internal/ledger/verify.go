package ledger

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/passkey"
)

// Fingerprints are of keys whose signatures are believed, as the service's journal has
// them. It verifies where the secrets are not at hand.
type Fingerprints []string

// Sign implements Signer: nobody signs by a fingerprint.
func (Fingerprints) Sign(context.Context, []byte) (Signature, error) {
	return Signature{}, errors.New("nothing is signed here")
}

// Verify implements Signer.
func (f Fingerprints) Verify(_ context.Context, text []byte, s Signature) error {
	if !slices.Contains(f, s.Key) {
		return errForeignKey
	}
	return attested(text, s)
}

// Finding is something in the ledger that is not as it was recorded.
type Finding struct {
	// ID is of the request; empty where it is about the whole.
	ID   string
	What string
}

// Report is what Verify found.
type Report struct {
	// Requests and Events count what was looked at; Erased counts requests of which
	// personal data is missing, which no longer say who it was.
	Requests, Events, Erased int
	// Policies counts the texts of policies that are kept, Deeds what happened to what is no
	// request.
	Policies, Deeds int
	// Signed counts approvals that people have signed with their passkeys.
	Signed int
	// SelfAttested counts signed events whose keys nobody vouches for: they are whole, and
	// may be somebody else's.
	SelfAttested int
	Findings     []Finding
	// keys are those that the deeds are of.
	keys []access.Passkey
}

// Verify walks all chains and signatures, holds the rows against them, and computes the
// heads again, as of their times. What it finds is in the report; the error is of not
// being able to look.
//
// Of an untouched ledger it finds nothing.
func Verify(ctx context.Context, home Home, signer Signer, heads ...access.Head) (Report, error) {
	var report Report
	again := make([]headAt, len(heads))
	for i, h := range heads {
		again[i].asOf = h.At
	}
	err := eachDeeds(ctx, home, func(kind string, notes []Note) {
		report.addDeeds(ctx, kind, notes, signer)
		for i := range again {
			again[i].addDeeds(notes)
		}
	})
	if err != nil {
		return report, err
	}
	_, rowless := home.(interface{ rowless() })
	err = home.Walk(ctx, func(r Record) error {
		for i := range again {
			again[i].add(r)
		}
		report.add(ctx, r, signer, rowless)
		return nil
	})
	if err == nil {
		err = report.addNotes(ctx, home, signer)
	}
	for i, want := range heads {
		if got := again[i].sum(); got.Digest != want.Digest || got.Events != want.Events || got.Requests != want.Requests {
			report.Findings = append(report.Findings, Finding{What: fmt.Sprintf("as of %s there were %s and %s, and now %d and %d, "+
				"or others: something was taken away, replaced or put in", want.At, access.Counted(want.Requests, "request", "requests"),
				access.Counted(want.Events, "event", "events"), got.Requests, got.Events)})
		}
	}
	return report, err
}

func (report *Report) add(ctx context.Context, r Record, signer Signer, rowless bool) {
	report.Requests++
	report.Events += len(r.Entries)
	find := func(what string) { report.Findings = append(report.Findings, Finding{r.ID, what}) }
	if len(r.Entries) == 0 {
		find("it has a row and no entries")
		return
	}
	f, err := fold(ctx, r.ID, r.Entries, signer)
	if err != nil {
		find(err.Error())
		return
	}
	for _, entry := range r.Entries {
		if t, err := read(entry.Text); err == nil && f.signs(t.Action) && errors.Is(signer.Verify(ctx, entry.Text, entry.Signature),
			errForeignKey) {
			report.SelfAttested++
		}
	}
	if f.erased {
		report.Erased++
	}
	report.addSigned(f, find)
	switch want, err := rowOf(f.request, f.head); {
	case rowless:
	case r.Row == nil:
		find("it has entries and no row")
	case r.Row.Version != len(r.Entries) || r.Row.Head != f.head:
		find("its row does not follow its entries")
	case f.erased || len(r.Row.Summary) == 0:
	case err != nil || !r.Row.says(want) || !r.Row.Due.Equal(want.Due):
		find("its row says something else than its entries")
	case !slices.Equal(slices.Sorted(slices.Values(r.Row.Reviewers)), slices.Compact(slices.Sorted(slices.Values(want.Reviewers)))):
		find("it is in other lists of reviewers than its entries say")
	}
}

// addSigned verifies what people have signed: that each approval is whose terms demand it, and by
// a key that was the approver's then, and as the terms demand. That it is over this request is
// what each approval is held against when entries are folded (access.Request.Apply).
func (report *Report) addSigned(f folded, find func(string)) {
	for i, e := range f.events {
		d := e.Decision
		if d.Evidence == nil {
			if d.Verdict == access.Approve && f.request.Terms.Signature {
				find(fmt.Sprintf("the approval of %s in entry %d is not signed, and its terms demand that", d.By, i+1))
			}
			continue
		}
		report.Signed++
		if err := cmp.Or(passkey.Verify(*d.Evidence, passkey.Of(d)), report.keyThen(d, f.request.Terms)); err != nil {
			find(fmt.Sprintf("the signature of %s in entry %d is not a good one: %v", d.By, i+1, err))
		}
	}
}

// keyThen is nil where the key that signed a decision was one of the approver's when it was made,
// and as the terms demand.
func (report *Report) keyThen(d access.Decision, terms access.Terms) error {
	for _, k := range report.keys {
		if k.Of != d.By || !bytes.Equal(k.PublicKey, d.Evidence.PublicKey) || !bytes.Equal(k.Credential, d.Evidence.Credential) ||
			k.RelyingParty != d.Evidence.RelyingParty || d.At.Before(k.Enrolled) || !k.Removed.IsZero() && k.Removed.Before(d.At) {
			continue
		}
		if k.Removed = (time.Time{}); k.Approved.After(d.At) {
			k.Approved = time.Time{}
		}
		if terms.Signature && passkey.Fit(k, terms.Keys, d.At) != nil {
			return errors.New("its key was not one that the terms demand: not approved, too young, or on several devices")
		}
		return nil
	}
	return errors.New("its key was not one of the approver's")
}
