package assetinventory

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"google.golang.org/api/googleapi"
	"google.golang.org/api/iam/v1"

	"jitaccess/internal/access"
)

// Descriptions of roles are a nicety: a short time-out, and while IAM does not
// answer nobody asks for a minute.
const (
	roleAge      = 10 * time.Minute
	roleTimeout  = 3 * time.Second
	roleQuietFor = time.Minute
	maxRoles     = 1000
)

// Role describes a role as IAM does. What cannot be had is zero.
func (k *Catalog) Role(ctx context.Context, role access.Role) access.RoleInfo {
	if _, err := access.ParseRole(string(role)); err != nil {
		return access.RoleInfo{}
	}
	if info, _, ok := k.roles.last(string(role), roleAge); ok {
		return info
	}
	if k.quiet.now(k.c.Now()) {
		return access.RoleInfo{}
	}
	info, _, err := k.roles.get(ctx, string(role), k.c.Now().Add(-roleAge))
	if err != nil {
		if ctx.Err() == nil {
			k.quiet.until(k.c.Now().Add(roleQuietFor))
		}
		return access.RoleInfo{}
	}
	return info
}

// quiet is a time until which a service that failed is left alone.
type quiet struct {
	mu  sync.Mutex
	end time.Time
}

func (q *quiet) until(t time.Time) { q.mu.Lock(); defer q.mu.Unlock(); q.end = t }

func (q *quiet) now(t time.Time) bool { q.mu.Lock(); defer q.mu.Unlock(); return t.Before(q.end) }

func (k *Catalog) getRole(ctx context.Context, name string) (access.RoleInfo, error) {
	var role *iam.Role
	var err error
	switch {
	case strings.HasPrefix(name, "projects/"):
		role, err = k.iam.Projects.Roles.Get(name).Context(ctx).Do()
	case strings.HasPrefix(name, "organizations/"):
		role, err = k.iam.Organizations.Roles.Get(name).Context(ctx).Do()
	default:
		role, err = k.iam.Roles.Get(name).Context(ctx).Do()
	}
	var refused *googleapi.Error
	if errors.As(err, &refused) && (refused.Code == http.StatusForbidden || refused.Code == http.StatusNotFound) {
		// Somebody else's custom role, or one that was deleted. That is known now.
		return access.RoleInfo{}, nil
	}
	if err != nil {
		return access.RoleInfo{}, err
	}
	return access.RoleInfo{Role: access.Role(name), Title: role.Title, Description: role.Description,
		ChangesPermissions: changesPermissions(role.IncludedPermissions)}, nil
}

// changesPermissions is whether a role with these permissions lets its holder give
// access away or take on another identity
// (https://cloud.google.com/iam/docs/setting-limits-on-granting-roles).
func changesPermissions(permissions []string) access.Answer {
	if len(permissions) == 0 {
		return access.Unknown
	}
	for _, p := range permissions {
		if strings.HasSuffix(p, ".setIamPolicy") || strings.HasPrefix(p, "orgpolicy.") && !reads(p) || escalates[p] {
			return access.Yes
		}
	}
	return access.No
}

func reads(permission string) bool {
	return strings.HasSuffix(permission, ".get") || strings.HasSuffix(permission, ".list")
}

var escalates = map[string]bool{
	"iam.serviceAccounts.actAs":              true,
	"iam.serviceAccounts.getAccessToken":     true,
	"iam.serviceAccounts.getOpenIdToken":     true,
	"iam.serviceAccounts.signJwt":            true,
	"iam.serviceAccounts.signBlob":           true,
	"iam.serviceAccounts.implicitDelegation": true,
	"iam.serviceAccountKeys.create":          true,
	"iam.roles.update":                       true,
}
