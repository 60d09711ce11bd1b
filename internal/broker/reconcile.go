package broker

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"jitaccess/internal/access"
)

// Reconciled is what was found on one resource.
type Reconciled struct {
	Differences []access.Difference
	Warnings    []*access.Error
	// live are the requests of the grants that stand, and taken those, as they are remembered, of
	// which nothing is known but that they stand.
	live, taken []access.Request
}

// Reconcile holds what stands on a resource against what is remembered of it, as far as
// there is memory, and against what may stand there at all. It changes nothing. Only the
// service itself may ask, for whoever operates it.
func (b *Broker) Reconcile(ctx context.Context, caller access.Caller, on access.Resource) (Reconciled, error) {
	var found Reconciled
	if caller.Method != access.MethodSystem {
		return found, &access.Error{Kind: access.NotAllowed, Code: access.CodeNotAdmin}
	}
	standing, err := b.standing(ctx, caller, access.StandingQuery{Resource: on, Everybody: true})
	if codeOf(err) != "" && codeOf(err) != access.CodeUnknownResource && codeOf(err) != access.CodeQuota {
		// Who is eligible cannot be listed; what stands can be read all the same.
		found.Warnings = append(found.Warnings, access.AsError(err))
		standing, err = b.standing(ctx, caller, access.StandingQuery{Resource: on})
	}
	if err != nil {
		return found, err
	}
	return b.heldAgainst(ctx, caller, standing, found)
}

// heldAgainst adds to what was found in what what stands on a resource differs from what is
// remembered, and from what may stand there.
func (b *Broker) heldAgainst(ctx context.Context, caller access.Caller, standing access.Standing, found Reconciled) (Reconciled, error) {
	found.Warnings = withNew(found.Warnings, standing.Warnings)
	for _, r := range liveGrants(standing, b.c.Now()) {
		found.live = append(found.live, r)
		if why := b.tooLong(ctx, caller, r, standing); why != "" {
			found.add(access.TooLong, r, why)
		}
		if m := b.memory(); m != nil {
			kind, why, stored, err := b.hold(ctx, m, r, standing)
			switch {
			case err != nil:
				return found, err
			case kind != "":
				found.add(kind, r, why)
			case !stored.TakenIn.IsZero():
				found.taken = append(found.taken, stored)
			}
		}
	}
	err := b.inspect(ctx, standing.Resource, standing, &found)
	return found, err
}

func (f *Reconciled) add(kind access.DifferenceKind, r access.Request, why string) {
	f.Differences = append(f.Differences, access.Difference{Kind: kind, ID: r.ID, Resource: r.Resource,
		Principal: r.Principal, Roles: r.RoleNames(), Why: why})
}

// hold says how a grant that stands differs from what is remembered of its request, which it
// returns; nothing where it is as recorded. The error is that the ledger cannot be asked.
func (b *Broker) hold(ctx context.Context, m Memory, r access.Request, s access.Standing) (
	kind access.DifferenceKind, why string, stored access.Request, err error) {
	stored, err = m.Open(ctx, r.ID)
	switch code := codeOf(err); {
	case code == access.CodeLedgerUnavailable:
		return "", "", stored, err
	case code == access.CodeBadLink:
		return access.NotRemembered, "until " + stamp(r.Window.End), stored, nil
	case code == access.CodeLedgerDamaged:
		return access.Damaged, err.Error(), stored, nil
	case err != nil: // its personal data was erased
		return access.LiveAgain, err.Error(), stored, nil
	case !of(stored, r):
		if copied, err := m.Open(ctx, copyOf(r)); err == nil && of(copied, r) && !copied.TakenIn.IsZero() && !copied.UnknownKey {
			return "", "", copied, nil // taken in as what it is
		}
		why := fmt.Sprintf("the ledger has it for %s, %s", stored.Principal, strings.Join(stored.RoleNames(), ", "))
		return access.OtherGrant, why, stored, nil
	case stored.UnknownKey:
		return access.Damaged, "some of it is signed with a key that this service does not have: one that was taken from it, one of its " +
			"account's that is published no more, or somebody else's", stored, nil
	}
	switch state := stored.StateAt(b.c.Now()); state {
	case access.Active, access.Approved, access.Scheduled:
		for _, a := range s.OfRequest(stored) {
			if !stored.Window.IsZero() && a.Window.Length() > 0 && !sameWindow(a.Window, stored.Window.Before(a.Until)) {
				why := fmt.Sprintf("it stands from %s to %s, and the ledger has %s to %s", stamp(a.Window.Start), stamp(a.Window.End),
					stamp(stored.Window.Start), stamp(stored.Window.End))
				return access.OtherWindow, why, stored, nil
			}
		}
		return "", "", stored, nil
	case access.Ended, access.Expired, access.Failed:
		return access.LiveAgain, "it is " + string(state) + " in the ledger, and stands until " + stamp(r.Window.End), stored, nil
	default:
		return access.NotDecided, "it is " + string(state) + " in the ledger", stored, nil
	}
}

func sameWindow(a, b access.Window) bool {
	return a.Start.Truncate(time.Second).Equal(b.Start.Truncate(time.Second)) && a.End.Truncate(time.Second).Equal(b.End.Truncate(time.Second))
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// tooLong is why nobody could have got the grant for as long; empty where they could. By
// its kind alone, where the rules cannot say.
func (b *Broker) tooLong(ctx context.Context, caller access.Caller, r access.Request, s access.Standing) string {
	terms, err := b.termsOf(ctx, caller, r, &s)
	if err != nil {
		if terms, err = b.Defaults(access.Caller{Principal: r.Principal}, r.Kind); err != nil {
			return ""
		}
	}
	if most := max(terms.MaxDuration, terms.MaxContinuous); most > 0 && r.Duration > most {
		return fmt.Sprintf("it lasts %v, and may last %v", r.Duration, most)
	}
	return ""
}

// inspect adds what looks like grants of ours and is not, and who is eligible for what
// they hold all the time.
func (b *Broker) inspect(ctx context.Context, on access.Resource, s access.Standing, found *Reconciled) error {
	provider, err := b.providerOf(on)
	if err != nil {
		return err
	}
	inspecting, ok := provider.(Inspecting)
	if !ok {
		return nil
	}
	inspection, err := inspecting.Inspect(ctx, on)
	if err != nil {
		return err
	}
	for _, o := range inspection.Oddities {
		d := access.Difference{Kind: o.Kind.Difference(), ID: o.ID, Resource: on, Roles: []string{o.Role},
			Why: o.Why + ": " + strings.Join(o.Members, ", ")}
		if len(o.Members) == 1 {
			d.Principal = access.Principal(strings.TrimPrefix(o.Members[0], "user:"))
		}
		found.Differences = append(found.Differences, d)
	}
	for p, holdings := range s.Holdings {
		for _, e := range holdings {
			if member := permanently(inspection.Permanent, p, e); e.MayRequest() && member != "" {
				found.Differences = append(found.Differences, access.Difference{Kind: access.Pointless, Resource: on, Principal: p,
					Roles: []string{string(e.ID.Role)}, Why: member + " has the role without a condition"})
			}
		}
	}
	slices.SortStableFunc(found.Differences, func(a, b access.Difference) int {
		return strings.Compare(string(a.Kind)+" "+string(a.Principal)+" "+a.ID, string(b.Kind)+" "+string(b.Principal)+" "+b.ID)
	})
	return nil
}

// permanently is the member by which somebody holds all the time what they are eligible
// for: they, or a group through which they are; empty for none.
func permanently(all []access.Permanent, p access.Principal, e access.Entitlement) string {
	members := []string{"user:" + string(p)}
	for _, w := range e.Ways {
		members = append(members, w.Member)
	}
	for _, permanent := range all {
		for _, m := range permanent.Members {
			if permanent.Role == e.ID.Role && slices.Contains(members, m) {
				return m
			}
		}
	}
	return ""
}

// access.NotStanding are the requests that the ledger has as active now and that do not stand on
// any of the resources that were looked at; nothing where nothing is remembered. What is on
// other resources is one too: it cannot be seen.
func (b *Broker) NotStanding(ctx context.Context, caller access.Caller, looked map[access.Resource]Reconciled) (
	[]access.Difference, error) {
	m := b.memory()
	if caller.Method != access.MethodSystem {
		return nil, &access.Error{Kind: access.NotAllowed, Code: access.CodeNotAdmin}
	}
	if m == nil {
		return nil, nil
	}
	var missing Reconciled
	remembered, err := b.active(ctx, m, "")
	for _, r := range remembered {
		if on, seen := looked[r.Resource]; !seen {
			missing.add(access.NotStanding, r, cannotBeSeen)
		} else if !on.has(r) {
			missing.add(access.NotStanding, r, "until "+stamp(r.Window.End))
		}
	}
	return missing.Differences, err
}

const cannotBeSeen = "it cannot be seen what stands there"

// has is whether the grant of a request stands.
func (f Reconciled) has(r access.Request) bool {
	return slices.ContainsFunc(f.live, func(live access.Request) bool {
		return live.ID == r.ID && live.Principal == r.Principal || !r.TakenIn.IsZero() && copyOf(live) == r.ID
	})
}

// HasReconciled takes back every doubt that the ledger is an older copy of itself: an
// operator has held it against what stands.
func (b *Broker) HasReconciled(ctx context.Context, caller access.Caller) error {
	m := b.memory()
	if caller.Method != access.MethodSystem || m == nil {
		return nil
	}
	why, err := m.Doubted(ctx)
	if err != nil || why == "" {
		return err
	}
	return m.Doubt(ctx, "")
}
