// Package roles describes roles as IAM does. Descriptions are a nicety: where they
// cannot be had, nothing else suffers.
package roles

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/api/iam/v1"

	"jitaccess/internal/access"
	"jitaccess/internal/gcp"
	"jitaccess/internal/lookup"
)

// A short time-out, and while IAM does not answer nobody asks for a minute.
const (
	maxAge   = 10 * time.Minute
	timeout  = 3 * time.Second
	quietFor = time.Minute
	maxRoles = 1000
	// maxBytes bounds all descriptions together.
	maxBytes = 1 << 20
	// entryBytes is what an entry takes beside its texts.
	entryBytes = 200
)

// Roles describes roles. Make one with New; it is safe for concurrent use.
type Roles struct {
	now     func() time.Time
	service *iam.Service
	known   *lookup.Cache[access.RoleInfo]
	// quiet is until when nobody asks, in nanoseconds since 1970.
	quiet atomic.Int64
}

// New makes a Roles. It makes no call.
func New(ctx context.Context, p *gcp.Platform, now func() time.Time) (*Roles, error) {
	service, err := iam.NewService(ctx, p.ClientOptions("iam", p.Client)...)
	if err != nil {
		return nil, &access.Error{Kind: access.Internal, Code: access.CodeInternal, Err: err}
	}
	r := &Roles{now: now, service: service}
	r.known = lookup.New(now, maxRoles, timeout, r.get).Within(maxBytes, func(i access.RoleInfo) int {
		return entryBytes + len(i.Role) + len(i.Title) + len(i.Description)
	})
	return r, nil
}

// Role describes a role as IAM does, which is the same on every resource. What cannot be
// had is zero.
func (r *Roles) Role(ctx context.Context, _ access.Resource, role access.Role) access.RoleInfo {
	if _, err := access.ParseRole(string(role)); err != nil {
		return access.RoleInfo{}
	}
	if info, _, ok := r.known.Last(string(role), maxAge); ok {
		return info
	}
	if r.now().UnixNano() < r.quiet.Load() {
		return access.RoleInfo{}
	}
	info, err := r.known.Get(ctx, string(role), r.now().Add(-maxAge))
	if err != nil {
		if ctx.Err() == nil {
			r.quiet.Store(r.now().Add(quietFor).UnixNano())
		}
		return access.RoleInfo{}
	}
	return info
}

func (r *Roles) get(ctx context.Context, name string) (access.RoleInfo, error) {
	var role *iam.Role
	var err error
	switch {
	case strings.HasPrefix(name, "projects/"):
		role, err = r.service.Projects.Roles.Get(name).Context(ctx).Do()
	case strings.HasPrefix(name, "organizations/"):
		role, err = r.service.Organizations.Roles.Get(name).Context(ctx).Do()
	default:
		role, err = r.service.Roles.Get(name).Context(ctx).Do()
	}
	if status, _ := gcp.Answer(err); status == http.StatusForbidden || status == http.StatusNotFound {
		// Somebody else's custom role, or one that was deleted. That is known now.
		return access.RoleInfo{}, nil
	}
	if err == nil && role == nil {
		err = errors.New("the answer is null")
	}
	if err != nil {
		return access.RoleInfo{}, err
	}
	return access.RoleInfo{Role: access.Role(name), Title: access.Visible(role.Title), Description: access.Visible(role.Description),
		ChangesPermissions: changesPermissions(role.IncludedPermissions)}, nil
}
