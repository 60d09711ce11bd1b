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

// NamedAdmin is whether the admins name the caller in person, which takes no call to
// find out. Who is one through a group is not.
func (b *Broker) NamedAdmin(caller access.Caller) bool {
	return slices.Contains(b.c.Admins, "user:"+string(caller.Principal))
}

// admin is whether the caller is one. When groups cannot be read they are not, with a
// warning; when they are not of now, with one either way.
func (b *Broker) admin(ctx context.Context, caller access.Caller, since time.Time) (bool, []*access.Error) {
	return b.among(ctx, caller, b.c.Admins, since)
}

// among is whether the caller is one of people, in person or through a group, as admin
// says it.
func (b *Broker) among(ctx context.Context, caller access.Caller, people []string, since time.Time) (bool, []*access.Error) {
	if slices.Contains(people, "user:"+string(caller.Principal)) || slices.Contains(people, "domain:"+caller.Principal.Domain()) {
		return true, nil
	}
	var groups []string
	for _, m := range people {
		if group, ok := strings.CutPrefix(m, "group:"); ok {
			groups = append(groups, group)
		}
	}
	if len(groups) == 0 {
		return false, nil
	}
	if b.c.Directory == nil {
		return false, []*access.Error{{Kind: access.Unprocessable, Code: access.CodeDirectoryNotSet}}
	}
	in, stale, err := b.c.Directory.MemberOf(ctx, caller.Principal, groups, since)
	if err != nil {
		return false, []*access.Error{access.AsError(err)}
	}
	if stale != nil {
		return in, []*access.Error{stale}
	}
	return in, nil
}
