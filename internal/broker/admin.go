package broker

import (
	"context"
	"slices"
	"strings"
	"time"

	"jitaccess/internal/access"
)

// Admin is nil for one of the admins, and says otherwise why the caller is not let
// in: not one of them, or groups that cannot be read. For a page (access.Purpose) groups
// may be some seconds old; for what admins do they are of after the caller arrived.
func (b *Broker) Admin(ctx context.Context, caller access.Caller) error {
	var since time.Time
	if purpose, _ := access.PurposeOf(ctx); purpose != access.ForPage {
		since = caller.Arrived
	}
	admin, warnings := b.admin(ctx, caller, since)
	if !admin && len(warnings) > 0 {
		return warnings[0]
	}
	if !admin {
		return &access.Error{Kind: access.NotAllowed, Code: access.CodeNotAdmin}
	}
	return nil
}

// NamedAdmin is whether the admins name the caller in person or by a claim, which takes no
// call to find out. Who is one through a group of the Directory is not.
func (b *Broker) NamedAdmin(caller access.Caller) bool {
	return named(caller, b.c.Admins)
}

// SecondAdmin is nil for one of the admins who may agree to what another has changed: the author
// is somebody else, under every address of theirs. It looks up groups anew.
func (b *Broker) SecondAdmin(ctx context.Context, caller access.Caller, author access.Principal) error {
	if err := b.Admin(ctx, caller); err != nil {
		return err
	}
	if b.human(caller.Principal) == b.human(author) {
		return &access.Error{Kind: access.NotAllowed, Code: access.CodeOwnChange}
	}
	return nil
}

// SoleAdmin is whether the admins are one human, whom no group or claim can have company in.
func (b *Broker) SoleAdmin() bool {
	var humans []access.Principal
	for _, who := range b.c.Admins {
		address, found := strings.CutPrefix(who, "user:")
		if !found {
			return false
		}
		humans = append(humans, b.human(access.Principal(address)))
	}
	return len(humans) > 0 && len(slices.Compact(slices.Sorted(slices.Values(humans)))) == 1
}

// admin is whether the caller is one. When groups cannot be read they are not, with a
// warning; when they are not of now, with one either way.
func (b *Broker) admin(ctx context.Context, caller access.Caller, since time.Time) (bool, []*access.Error) {
	return b.among(ctx, caller, b.c.Admins, since)
}

// among is whether the caller is one of people, in person or through a group, as admin
// says it.
func (b *Broker) among(ctx context.Context, caller access.Caller, people []string, since time.Time) (bool, []*access.Error) {
	if caller.Application != "" { // nobody in person
		return false, nil
	}
	if named(caller, people) {
		return true, nil
	}
	var warnings []*access.Error
	if caller.ClaimsUnknown && slices.ContainsFunc(people, isClaim) {
		warnings = append(warnings, claimsUnknown())
	}
	var groups []string
	for _, m := range people {
		if group, ok := strings.CutPrefix(m, "group:"); ok {
			groups = append(groups, group)
		}
	}
	if len(groups) == 0 {
		return false, warnings
	}
	if b.c.Directory == nil {
		return false, append(warnings, &access.Error{Kind: access.Unprocessable, Code: access.CodeDirectoryNotSet})
	}
	in, stale, err := b.c.Directory.MemberOf(ctx, caller.Principal, groups, since)
	if err != nil {
		return false, append(warnings, access.AsError(err))
	}
	if stale != nil {
		warnings = append(warnings, stale)
	}
	if in && stale == nil {
		return true, nil
	}
	return in, warnings
}

// named is whether people name the caller in a way that takes no call to find out.
func named(caller access.Caller, people []string) bool {
	return slices.ContainsFunc(people, func(who string) bool {
		switch kind, name, _ := strings.Cut(who, ":"); kind {
		case "user":
			return name == string(caller.Principal)
		case "domain":
			return name == caller.Principal.Domain()
		case "claim":
			return slices.Contains(caller.Claims, name)
		}
		return false
	})
}
