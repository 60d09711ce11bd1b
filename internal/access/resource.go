package access

import (
	"errors"
	"regexp"
	"strings"
	"time"

	"jitaccess/internal/lazyregexp"
)

// Resource is what access is to, as a path of two segments, its kind and its name:
// projects/p, folders/1, organizations/1. The zero value is no resource. Make one with
// ParseResource or Project: both admit only what may stand in a URL path without
// escaping.
type Resource string

// ProjectExpression matches the id of a project of Google Cloud, which JIT Access 1.x
// writes without its kind and which may be domain-scoped ("example.com:app").
const ProjectExpression = `(?:[a-z0-9.-]+:)?[a-z0-9-]{1,63}`

// The patterns guard URL paths and give every resource one spelling; what a name of a
// kind looks like is its provider's to say (ResourceKind).
var (
	projectPattern  = lazyregexp.New(`^` + ProjectExpression + `$`)
	resourcePattern = lazyregexp.New(`^[a-z]{1,20}/([a-z0-9.-]+:)?[a-z0-9-][a-z0-9._-]{0,62}$`)
)

// maxResource bounds what the patterns leave open (the domain of a project id).
const maxResource = 300

// ParseResource reads a resource path of any kind. Whether there is such a kind in this
// service, the broker says.
func ParseResource(path string) (Resource, error) {
	if len(path) > maxResource || !resourcePattern().MatchString(path) || strings.Contains(path, "..") {
		return "", errors.New("not a resource of the form KIND/NAME")
	}
	return Resource(path), nil
}

// ResourceKind is a kind of resource as its provider registers it.
type ResourceKind struct {
	// Segment is the first segment of the paths: "projects".
	Segment string
	// Name matches the whole second segment. It must be anchored at both ends.
	Name func() *regexp.Regexp
	// Word is one resource of the kind in words: "project".
	Word string
	// Title is what a resource of the kind is called, as far as that is known without asking anybody;
	// empty otherwise. nil where there is no such thing.
	Title func(Resource) string
	// AppliedWithin is how long it takes at most, as a rule, until what was written holds; 0 is
	// at once. ReasonShown is whether it bears the reason, for whoever can read it there.
	AppliedWithin time.Duration
	ReasonShown   bool
	// Console is the https address where people go on with a resource of the kind, and Command
	// what shows in a shell what somebody has there, quoted for it. nil where there is no such
	// thing.
	Console func(Resource) string
	Command func(Resource, Principal) string
}

// Has is whether a resource, as ParseResource or Project made it, is of the kind.
func (k ResourceKind) Has(r Resource) bool {
	return r.Kind() == k.Segment && k.Name().MatchString(r.Name())
}

// Project is the resource of a project id.
func Project(id string) (Resource, error) {
	if len(id) > maxResource || !projectPattern().MatchString(id) || strings.Contains(id, "..") {
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

// Kind is the first segment of the path: "projects", "folders".
func (r Resource) Kind() string {
	kind, _, _ := strings.Cut(string(r), "/")
	return kind
}

// Name is the path without its kind.
func (r Resource) Name() string {
	_, name, _ := strings.Cut(string(r), "/")
	return name
}

// HoldsOthers is whether other resources lie in it, as in folders and organizations of Google
// Cloud: what is granted there holds for all of them.
func (r Resource) HoldsOthers() bool {
	kind := r.Kind()
	return kind == "folders" || kind == "organizations"
}

// Role is what is granted: roles/NAME, or a custom role projects/ID/roles/NAME or
// organizations/ID/roles/NAME.
type Role string

// The hyphen is in no role of Google's, but in ids that JIT Access 1.x accepts.
const roleExpression = `(?:projects/` + ProjectExpression + `/|organizations/[0-9]{1,32}/)?roles/[A-Za-z0-9_.-]{1,128}`

var rolePattern = lazyregexp.New(`^` + roleExpression + `$`)

// ParseRole reads the name of a role.
func ParseRole(name string) (Role, error) {
	if len(name) > maxResource || !rolePattern().MatchString(name) || strings.Contains(name, "..") {
		return "", errors.New("not a role of the form roles/NAME, projects/ID/roles/NAME or organizations/NUMBER/roles/NAME")
	}
	return Role(name), nil
}

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
