// Package resourcename knows how Google Cloud names what this service names in a URL
// path. The patterns guard those paths; they do not police Google's naming.
package resourcename

import (
	"errors"
	"regexp"
	"slices"
	"strings"

	"jitaccess/internal/access"
)

var number = regexp.MustCompile(`^[0-9]{1,32}$`)

// Kinds are the kinds of resources of Google Cloud that have IAM policies which this
// service reads. A change of a policy takes minutes to hold
// (https://cloud.google.com/iam/docs/access-change-propagation), and a binding's condition
// is described by the reason.
var Kinds = []access.ResourceKind{
	{Segment: "projects", Name: regexp.MustCompile(`^` + access.ProjectExpression + `$`), Word: "project",
		AppliedLater: true, ReasonShown: true},
	{Segment: "folders", Name: number, Word: "folder", AppliedLater: true, ReasonShown: true},
	{Segment: "organizations", Name: number, Word: "organization", AppliedLater: true, ReasonShown: true},
}

// Parse reads the path of a project, folder or organization.
func Parse(path string) (access.Resource, error) {
	r, err := access.ParseResource(path)
	if err != nil || !slices.ContainsFunc(Kinds, func(k access.ResourceKind) bool { return k.Has(r) }) {
		return "", errors.New("not a resource of the form projects/ID, folders/NUMBER or organizations/NUMBER")
	}
	return r, nil
}

// A version of a secret is a number, "latest", or an alias.
var secretVersion = regexp.MustCompile(`^projects/` + access.ProjectExpression +
	`/secrets/[A-Za-z0-9_-]{1,255}/versions/([0-9]{1,20}|[A-Za-z][A-Za-z0-9_-]{0,62})$`)

// IsSecretVersion is whether a path names a version of a secret:
// projects/PROJECT/secrets/SECRET/versions/VERSION.
func IsSecretVersion(path string) bool {
	return secretVersion.MatchString(path) && !strings.Contains(path, "..")
}

// The parts that people choose have letters, digits, "_" and "-", and at most 63 of them
// (https://cloud.google.com/secret-manager/parameter-manager/docs/reference/rest/v1/projects.locations.parameters/create).
var parameterVersion = regexp.MustCompile(`^projects/` + access.ProjectExpression +
	`/locations/[a-z0-9-]{1,63}/parameters/[A-Za-z0-9_-]{1,63}/versions/[A-Za-z0-9_-]{1,63}$`)

// IsParameterVersion is whether a path names a version of a parameter:
// projects/PROJECT/locations/LOCATION/parameters/PARAMETER/versions/VERSION.
func IsParameterVersion(path string) bool {
	return parameterVersion.MatchString(path) && !strings.Contains(path, "..")
}
