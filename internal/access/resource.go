package access

import (
	"errors"
	"regexp"
	"strings"
)

// Resource is what access is to, as a path: projects/p, folders/1,
// organizations/1. The zero value is no resource. Make one with ParseResource or
// Project: both admit only what may stand in a URL path without escaping.
type Resource string

// The patterns guard URL paths; they do not police Google's naming. A project id
// may be domain-scoped ("example.com:app").
var (
	projectPattern  = regexp.MustCompile(`^([a-z0-9.-]+:)?[a-z0-9-]{1,63}$`)
	resourcePattern = regexp.MustCompile(`^(folders|organizations)/[0-9]{1,32}$`)
)

// maxResource bounds what the patterns leave open (the domain of a project id).
const maxResource = 300

// ParseResource reads a resource path.
func ParseResource(path string) (Resource, error) {
	if id, ok := strings.CutPrefix(path, "projects/"); ok {
		return Project(id)
	}
	if len(path) > maxResource || !resourcePattern.MatchString(path) {
		return "", errors.New("not a resource of the form projects/ID, folders/NUMBER or organizations/NUMBER")
	}
	return Resource(path), nil
}

// Project is the resource of a project id.
func Project(id string) (Resource, error) {
	if len(id) > maxResource || !projectPattern.MatchString(id) || strings.Contains(id, "..") {
		return "", errors.New("not a project id")
	}
	return Resource("projects/" + id), nil
}

// FullNamePrefix begins the full names of projects, folders and organizations of Google
// Cloud, as its inventory, the log and the tokens of JIT Access 1.x have them.
const FullNamePrefix = "//cloudresourcemanager.googleapis.com/"

// FullName is the full name of a resource of Google Cloud.
func (r Resource) FullName() string { return FullNamePrefix + string(r) }

// ProjectID is the bare id when the resource is a project.
func (r Resource) ProjectID() (id string, ok bool) {
	return strings.CutPrefix(string(r), "projects/")
}

// Kind is the first segment of the path: "projects", "folders", "organizations".
func (r Resource) Kind() string {
	kind, _, _ := strings.Cut(string(r), "/")
	return kind
}

// Name is the path without its kind.
func (r Resource) Name() string {
	_, name, _ := strings.Cut(string(r), "/")
	return name
}

func (r Resource) String() string { return string(r) }

// Role is what is granted: roles/NAME, or a custom role projects/ID/roles/NAME or
// organizations/ID/roles/NAME.
type Role string

// The hyphen is in no role of Google's, but in ids that JIT Access 1.x accepts.
const roleExpression = `(?:projects/(?:[a-z0-9.-]+:)?[a-z0-9-]{1,63}/|organizations/[0-9]{1,32}/)?roles/[A-Za-z0-9_.-]{1,128}`

var rolePattern = regexp.MustCompile(`^` + roleExpression + `$`)

// ParseRole reads the name of a role.
func ParseRole(name string) (Role, error) {
	if len(name) > maxResource || !rolePattern.MatchString(name) || strings.Contains(name, "..") {
		return "", errors.New("not a role of the form roles/NAME, projects/ID/roles/NAME or organizations/NUMBER/roles/NAME")
	}
	return Role(name), nil
}

func (r Role) String() string { return string(r) }

// ResourceInfo describes a resource that a principal may choose.
type ResourceInfo struct {
	Resource Resource
	// Title is the display name; empty when the provider knows none.
	Title string
}

// RoleInfo describes a role for people. The zero value means that nothing is
// known of it.
type RoleInfo struct {
	Role        Role
	Title       string
	Description string
	// ChangesPermissions is whether a holder can change permissions, and so give
	// more access than the role itself. Unknown counts as yes.
	ChangesPermissions Answer
}

// Answer is yes, no or unknown. The zero value is Unknown.
type Answer int

const (
	Unknown Answer = iota
	Yes
	No
)
