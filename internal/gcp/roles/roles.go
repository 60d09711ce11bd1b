// Package roles describes roles as IAM does. Descriptions are a nicety: where they
// cannot be had, nothing else suffers.
package roles

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

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
	// maxTitle is how many bytes of a title are remembered; IAM lets custom ones have 100 characters
	// (https://cloud.google.com/iam/docs/reference/rest/v1/organizations.roles).
	maxTitle = 400
	// entryBytes is what an entry takes beside its texts.
	entryBytes = 200
	// maxAnswer bounds an answer. The permissions of roles/owner have some 500 KB.
	maxAnswer = 4 << 20
)

// Roles describes roles. Make one with New; it is safe for concurrent use.
type Roles struct {
	now   func() time.Time
	api   gcp.API
	known *lookup.Cache[access.RoleInfo]
	// quiet is until when nobody asks, in nanoseconds since 1970.
	quiet atomic.Int64

	mu sync.Mutex
	// titles are what IAM called roles when it last said, for lists, which ask nobody. They do not age, as what known
	// has does: that would take a name from a list while it is read, and the role is named beside it.
	titles map[access.Role]string
}

// New makes a Roles. It makes no call.
func New(p *gcp.Platform, now func() time.Time) *Roles {
	r := &Roles{now: now, api: p.API("iam", p.Client, maxAnswer).Once(), titles: map[access.Role]string{}}
	r.known = lookup.New(now, maxRoles, timeout, r.get).Within(maxBytes, func(i access.RoleInfo) int {
		return entryBytes + len(i.Role) + len(i.Title) + len(i.Description)
	})
	return r
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
	// The same of predefined roles, of those of projects, and of those of organizations
	// (https://cloud.google.com/iam/docs/reference/rest/v1/roles/get).
	role, err := gcp.Ask[struct {
		Title               string   `json:"title"`
		Description         string   `json:"description"`
		IncludedPermissions []string `json:"includedPermissions"`
	}](ctx, r.api, "/v1/"+name, nil, nil)
	if status, _ := gcp.Answer(err); status == http.StatusForbidden || status == http.StatusNotFound {
		// Somebody else's custom role, or one that was deleted. That is known now.
		return access.RoleInfo{}, nil
	}
	if err != nil {
		return access.RoleInfo{}, err
	}
	info := access.RoleInfo{Role: access.Role(name), Title: access.Visible(role.Title), Description: access.Visible(role.Description),
		ChangesPermissions: changesPermissions(role.IncludedPermissions)}
	r.remember(info)
	return info, nil
}

// RoleTitle is what IAM called a role when it last said; empty where it has not. It makes no call.
func (r *Roles) RoleTitle(role access.Role) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.titles[role]
}

func (r *Roles) remember(info access.RoleInfo) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.titles) >= maxRoles { // a few are asked for again soon
		clear(r.titles)
	}
	if len(info.Title) <= maxTitle {
		r.titles[info.Role] = info.Title
	} else {
		delete(r.titles, info.Role)
	}
}
