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
	if b.NamedAdmin(caller) {
		return nil
	}
	if slices.ContainsFunc(b.c.Admins, func(m string) bool { return strings.HasPrefix(m, "group:") }) {
		groups, err := b.c.Directory.Groups(ctx, caller.Principal)
		if err != nil {
			return access.AsError(err)
		}
		if slices.ContainsFunc(groups, func(g string) bool { return slices.Contains(b.c.Admins, "group:"+g) }) {
			return nil
		}
	}
	return &access.Error{Kind: access.NotAllowed, Code: access.CodeNotAdmin}
}

// NamedAdmin is whether the admins name the caller in person, which takes no call to
// find out. Who is one through a group is not.
func (b *Broker) NamedAdmin(caller access.Caller) bool {
	return slices.Contains(b.c.Admins, "user:"+string(caller.Principal))
}

// admin is whether the caller is one. When groups cannot be read they are not, with a
// warning.
func (b *Broker) admin(ctx context.Context, caller access.Caller) (bool, []*access.Error) {
	err := access.AsError(b.Admin(ctx, caller))
	if err != nil && err.Code != access.CodeNotAdmin {
		return false, []*access.Error{err}
	}
	return err == nil, nil
}
