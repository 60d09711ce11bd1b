package broker

import (
	"context"
	"slices"
	"strings"

	"jitaccess/internal/access"
)

// Admin is nil for one of the admins, and says otherwise why the caller is not let
// in: not one of them, or groups that cannot be read.
func (b *Broker) Admin(ctx context.Context, caller access.Caller) error {
	admin, failure := b.isAdmin(ctx, caller)
	switch {
	case admin:
		return nil
	case failure != nil:
		return failure
	}
	return &access.Error{Kind: access.NotAllowed, Code: access.CodeNotAdmin}
}

// NamedAdmin is whether the admins name the caller in person, which takes no call to
// find out. Who is one through a group is not.
func (b *Broker) NamedAdmin(caller access.Caller) bool {
	return slices.Contains(b.c.Admins, "user:"+string(caller.Principal))
}

// isAdmin is whether the caller is one of the admins. When groups cannot be read
// the answer is no, with a warning.
func (b *Broker) isAdmin(ctx context.Context, caller access.Caller) (bool, *access.Error) {
	if b.NamedAdmin(caller) {
		return true, nil
	}
	if !slices.ContainsFunc(b.c.Admins, func(m string) bool { return strings.HasPrefix(m, "group:") }) {
		return false, nil
	}
	groups, err := b.c.Directory.Groups(ctx, caller.Principal)
	if err != nil {
		return false, access.AsError(err)
	}
	return slices.ContainsFunc(groups, func(g string) bool { return slices.Contains(b.c.Admins, "group:"+g) }), nil
}
