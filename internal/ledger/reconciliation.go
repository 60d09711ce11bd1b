package ledger

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"jitaccess/internal/access"
)

// kindReconciliation is of notes that say how far the weekly reconciliation is. They are signed,
// since they say of what people need not be told any more.
const kindReconciliation = "reconciliation"

// aheadMost is how far the clocks of two instances may differ; what was kept later than that is
// nobody's.
const aheadMost = time.Hour

// signTime is how long a note waits for its signature: who is told of what is in it waits too.
const signTime = 5 * time.Second

// reconciliationForm is the body of such a note. It names nobody.
type reconciliationForm struct {
	Step   int               `json:"step"`
	Round  roundForm         `json:"round"`
	After  access.Resource   `json:"after,omitempty"`
	All    bool              `json:"all,omitempty"`
	Found  []differenceForm  `json:"found,omitempty"`
	Unread []access.Resource `json:"unread,omitempty"`
	Last   roundForm         `json:"last"`
	Told   string            `json:"told,omitempty"`
}

type roundForm struct {
	Began       time.Time `json:"began,omitzero"`
	Ended       time.Time `json:"ended,omitzero"`
	Looked      int       `json:"looked,omitempty"`
	Unread      int       `json:"unread,omitempty"`
	Partial     bool      `json:"partial,omitempty"`
	Short       bool      `json:"short,omitempty"`
	Differences int       `json:"differences,omitempty"`
}

// differenceForm is a difference, in a notice with whose it is.
type differenceForm struct {
	Kind      access.DifferenceKind `json:"kind"`
	ID        string                `json:"id,omitempty"`
	Resource  access.Resource       `json:"resource"`
	Principal access.Principal      `json:"principal,omitempty"`
	Roles     []string              `json:"roles,omitempty"`
	Why       string                `json:"why,omitempty"`
}

func roundTo(r access.Round) roundForm {
	r.Began, r.Ended = access.AsKept(r.Began), access.AsKept(r.Ended)
	return roundForm(r)
}

func differenceTo(d access.Difference) differenceForm   { return differenceForm(d) }
func differenceFrom(f differenceForm) access.Difference { return access.Difference(f) }

// KeepReconciliation implements broker.Memory.
func (s *Store) KeepReconciliation(ctx context.Context, r access.Reconciliation, notices ...access.Notice) error {
	body, err := json.Marshal(reconciliationForm{r.Step, roundTo(r.Round), r.After, r.All, access.Each(r.Found, differenceTo), r.Unread,
		roundTo(r.Last), r.Told})
	if err != nil {
		return access.AsError(err)
	}
	messages, err := keptOf(notices, "", r.At)
	if err != nil {
		return err
	}
	n := Note{Kind: kindReconciliation, ID: fmt.Sprintf("%d/%d", r.Round.Began.UnixMicro(), r.Step), Made: access.AsKept(r.At), Body: body}
	signing, cancel := context.WithTimeout(ctx, signTime)
	defer cancel()
	if n.Signature, err = s.c.Signer.Sign(signing, n.text()); err != nil {
		return fmt.Errorf("%w: %w", access.ErrNotSigned, err)
	}
	if err = s.c.Home.Keep(ctx, n, messages...); err != nil {
		return unavailable(err)
	}
	// Of two instances that have done the same step one has kept it. In its place may as well be what
	// somebody has put there, who knows how the next notes are called.
	stands, err := s.Reconciliation(ctx)
	if e := access.AsError(err); e != nil && e.Code != access.CodeLedgerDamaged {
		return nil // it is not known, and the next step shows it
	}
	if err == nil && stands.Round.Began.Equal(access.AsKept(r.Round.Began)) && stands.Step >= r.Step {
		return nil
	}
	n.ID += "/" + rand.Text()
	if n.Signature, err = s.c.Signer.Sign(signing, n.text()); err != nil {
		return fmt.Errorf("%w: %w", access.ErrNotSigned, err)
	}
	return unavailable(s.c.Home.Keep(ctx, n, messages...))
}

// overlooked is how many notes that are nobody's may lie before one that counts.
const overlooked = 10

// Reconciliation implements broker.Memory. What cannot be read, was not made yet, or is signed by no
// key of ours, is as if it were not there. What was signed longer than AccountLife ago counts as long
// as the account publishes the key: a round is a week.
func (s *Store) Reconciliation(ctx context.Context) (access.Reconciliation, error) {
	if err := s.unready(); err != nil {
		return access.Reconciliation{}, err
	}
	notes, err := s.c.Home.Notes(ctx, kindReconciliation, overlooked)
	latest := s.c.Now().Add(aheadMost)
	for _, n := range notes {
		var f reconciliationForm
		if json.Unmarshal(n.Body, &f) != nil || max(len(f.Found), len(f.Unread)) > maxItems ||
			n.Made.After(latest) || f.Round.Began.After(latest) {
			continue
		}
		signed := s.c.Signer.Verify(ctx, n.text(), n.Signature)
		if unknown, ok := errors.AsType[*access.Error](signed); ok {
			return access.Reconciliation{}, unknown
		}
		if signed != nil && !errors.Is(signed, errAged) {
			continue
		}
		return access.Reconciliation{Step: f.Step, At: n.Made, Round: access.Round(f.Round), After: f.After, All: f.All,
			Found: access.Each(f.Found, differenceFrom), Unread: f.Unread, Last: access.Round(f.Last), Told: f.Told}, nil
	}
	if err == nil && len(notes) > 0 {
		err = damaged(kindReconciliation, fmt.Errorf("the newest notes of the weekly reconciliation (%d) are not ours, or of a time that "+
			"has not come: somebody writes the database, a clock was wrong, or SIGNING_KEY was changed; run jitaccess reconcile, and where "+
			"this stays delete them there", len(notes)))
	}
	return access.Reconciliation{}, unavailable(err)
}
