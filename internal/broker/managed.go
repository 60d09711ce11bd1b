package broker

import (
	"context"
	"slices"

	"jitaccess/internal/access"
)

// Managed are the applications that are managed by page.
type Managed interface {
	// Happened is how a change of an application was made as it says: ApplicationProposed,
	// ApplicationAlone, or empty for neither. waits is whether it still waits for a second
	// administrator. That it is not known now is the error.
	Happened(ctx context.Context, c access.ApplicationChange) (did access.Action, waits bool, err error)
}

// ChangeApplication is the one door of what administrators do to applications that are managed by
// page: into the journal, then into the ledger, by keep, with what people are told of it, and
// then they are told. Who could not be told is a warning. Callers have asked whether the caller
// may (Admin, SecondAdmin).
func (b *Broker) ChangeApplication(ctx context.Context, caller access.Caller, did access.Action, c access.ApplicationChange,
	keep func(context.Context, ...access.Notice) error) ([]*access.Error, error) {
	ctx, cancel := detach(ctx)
	defer cancel()
	event := b.event(caller, did, access.Request{})
	event.Change = c
	if err := b.c.Journal.Record(ctx, event); err != nil {
		return nil, &access.Error{Kind: access.Unavailable, Code: access.CodeJournalUnavailable, Err: err}
	}
	notices := b.changeNotices(did, c)
	_, err := timed(b, ctx, func(ctx context.Context) (struct{}, error) { return struct{}{}, keep(ctx, notices...) })
	if err != nil {
		event.Action, event.Trying, event.Err = access.ActionRefused, did, err
		_ = b.c.Journal.Record(ctx, event)
		return nil, err
	}
	var warnings []*access.Error
	for _, n := range notices {
		warnings = append(warnings, b.tell(ctx, caller, n)...)
	}
	return warnings, nil
}

// changeNotices are what people are told of a change of an application: one, or nothing where
// nobody hears of it. An administrator may agree who is another human than its author.
func (b *Broker) changeNotices(did access.Action, c access.ApplicationChange) []access.Notice {
	if did != access.ApplicationProposed && did != access.ApplicationAlone {
		return nil
	}
	admins, _ := spelledOut(b.c.Admins)
	admins = slices.DeleteFunc(admins, func(p access.Principal) bool { return b.human(p) == b.human(c.By) })
	auditors, _ := spelledOut(b.c.Auditors)
	n := b.to(hearingOf(did), map[audience][]access.Principal{agreeing: admins, auditing: auditors})
	if len(n.To) == 0 {
		return nil
	}
	n.Change = c
	if b.c.Origin != "" {
		n.BaseURL = b.c.Origin + "/"
		if did == access.ApplicationProposed { // auditors may not open it
			n.ReviewURL = appURL(b.c.Origin, c.Application)
		}
	}
	return []access.Notice{n}
}

// appURL is the page of an application.
func appURL(origin, application string) string { return origin + "/apps/" + application }

// staleChange is whether a notice tells of a change of an application that nobody made as it
// says, or asks to agree to what does not wait any more.
func (b *Broker) staleChange(ctx context.Context, n access.Notice) (bool, error) {
	if b.c.Managed == nil {
		return true, nil
	}
	did, waits, err := b.c.Managed.Happened(ctx, n.Change)
	if codeOf(err) == access.CodeDeedsDamaged {
		return true, nil
	}
	return err == nil && (did == "" || hearingOf(did).kind != n.Kind || n.Kind == access.NoticeChangeWaits && !waits), err
}
