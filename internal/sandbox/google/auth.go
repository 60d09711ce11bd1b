package google

import (
	"encoding/base64"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

// The OAuth scopes that matter here.
const (
	ScopeCloudPlatform         = "https://www.googleapis.com/auth/cloud-platform"
	ScopeCloudPlatformReadOnly = "https://www.googleapis.com/auth/cloud-platform.read-only"
	ScopeIAM                   = "https://www.googleapis.com/auth/iam"
	ScopePubSub                = "https://www.googleapis.com/auth/pubsub"
	ScopeGroups                = "https://www.googleapis.com/auth/admin.directory.group"
	ScopeGroupsReadOnly        = "https://www.googleapis.com/auth/admin.directory.group.readonly"
	ScopeMembers               = "https://www.googleapis.com/auth/admin.directory.group.member"
	ScopeMembersReadOnly       = "https://www.googleapis.com/auth/admin.directory.group.member.readonly"
	ScopeGroupSettings         = "https://www.googleapis.com/auth/apps.groups.settings"
)

// Scopes that a method accepts, by what it does.
var (
	scopesWrite    = []string{ScopeCloudPlatform}
	scopesRead     = []string{ScopeCloudPlatform, ScopeCloudPlatformReadOnly}
	scopesIAM      = []string{ScopeCloudPlatform, ScopeIAM}
	scopesPubSub   = []string{ScopeCloudPlatform, ScopePubSub}
	scopesGroups   = []string{ScopeGroups, ScopeGroupsReadOnly}
	scopesSettings = []string{ScopeGroupSettings}
	scopesMembers  = []string{ScopeGroups, ScopeGroupsReadOnly, ScopeMembers, ScopeMembersReadOnly}
)

// tokenLife is how long an access token lives.
const tokenLife = time.Hour

// identity is who calls.
type identity struct {
	// member is the caller as IAM names it, user:… or serviceAccount:….
	member  string
	scopes  []string
	expires time.Time
}

func (i identity) email() string {
	_, email, _ := strings.Cut(i.member, ":")
	return email
}

// IssueToken makes an access token for a person or a service account, for playing
// the part of somebody else than the service (an administrator with gcloud, say).
// Without scopes it has cloud-platform.
func (c *Cloud) IssueToken(email string, scopes ...string) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(scopes) == 0 {
		scopes = []string{ScopeCloudPlatform}
	}
	return c.issue(email, scopes, tokenLife)
}

func (c *Cloud) issue(email string, scopes []string, life time.Duration) (string, error) {
	var b [24]byte
	if _, err := io.ReadFull(c.random, b[:]); err != nil {
		return "", err
	}
	member := "user:" + email
	if isServiceAccount(email) {
		member = "serviceAccount:" + email
	}
	token := "ya29.sandbox-" + base64.RawURLEncoding.EncodeToString(b[:])
	c.tokens[token] = identity{member: member, scopes: slices.Clone(scopes), expires: c.now().Add(life)}
	return token, nil
}

func isServiceAccount(email string) bool { return strings.HasSuffix(email, ".gserviceaccount.com") }

// authenticate finds who calls and whether the token carries one of the scopes.
func (c *Cloud) authenticate(r *http.Request, scopes []string) (identity, error) {
	const see = " Expected OAuth 2 access token, login cookie or other valid authentication credential. See https://developers.google.com/identity/sign-in/web/devconsole-project."
	header := r.Header.Get("Authorization")
	if header == "" {
		if c.withoutCredentials {
			return identity{member: "serviceAccount:" + c.organization.ServiceAccount}, nil
		}
		e := failure(http.StatusUnauthorized, "Request is missing required authentication credential."+see)
		e.reason = "required"
		return identity{}, e
	}
	token, ok := strings.CutPrefix(header, "Bearer ")
	caller, known := c.tokens[token]
	if !ok || !known || !c.now().Before(caller.expires) {
		return identity{}, failure(http.StatusUnauthorized, "Request had invalid authentication credentials."+see)
	}
	if !slices.ContainsFunc(scopes, func(s string) bool { return slices.Contains(caller.scopes, s) }) {
		e := failure(http.StatusForbidden, "Request had insufficient authentication scopes.")
		e.reason = "insufficientPermissions"
		e.info = errorInfo("ACCESS_TOKEN_SCOPE_INSUFFICIENT", "googleapis.com", map[string]any{"method": r.URL.Path})
		return identity{}, e
	}
	return caller, nil
}
