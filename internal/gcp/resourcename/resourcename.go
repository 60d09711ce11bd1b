// Package resourcename knows how Google Cloud names what this service names in a URL
// path. The patterns guard those paths; they do not police Google's naming.
package resourcename

import (
	"errors"
	"net/url"
	"slices"
	"strings"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/lazyregexp"
)

var number = lazyregexp.New(`^[0-9]{1,32}$`)

// Kinds are the kinds of resources of Google Cloud that have IAM policies which this
// service reads. A binding's condition is described by the reason.
var Kinds = []access.ResourceKind{
	{Segment: "projects", Name: lazyregexp.New(`^` + access.ProjectExpression + `$`), Word: "project",
		AppliedWithin: appliedWithin, ReasonShown: true, Console: console("home/dashboard?project="), Command: command("projects")},
	{Segment: "folders", Name: number, Word: "folder", AppliedWithin: appliedWithin, ReasonShown: true,
		Console: console("iam-admin/iam?folder="), Command: command("resource-manager folders")},
	{Segment: "organizations", Name: number, Word: "organization", AppliedWithin: appliedWithin, ReasonShown: true,
		Console: console("iam-admin/iam?organizationId="), Command: command("organizations")},
}

// A change of a policy takes about two minutes to hold, and seven or more at times
// (https://cloud.google.com/iam/docs/access-change-propagation).
const appliedWithin = 7 * time.Minute

// console is the page of Google Cloud's console that an address with the resource's name at its
// end opens.
func console(page string) func(access.Resource) string {
	return func(on access.Resource) string {
		return "https://console.cloud.google.com/" + page + url.QueryEscape(on.Name())
	}
}

// command lists what a policy has for one person, with the time at which it ends
// (https://cloud.google.com/sdk/gcloud/reference/topic/filters). What people have through groups
// is not in it. An address may have an apostrophe, which ends the quotes of a shell, and no
// quotation mark, which would end those of the filter.
func command(of string) func(access.Resource, access.Principal) string {
	return func(on access.Resource, who access.Principal) string {
		member := strings.ReplaceAll(string(who), "'", `'\''`)
		return "gcloud " + of + " get-iam-policy " + on.Name() + " --flatten='bindings[].members'" +
			` --filter='bindings.members="user:` + member + `"'` +
			" --format='table(bindings.role, bindings.condition.title, bindings.condition.expression)'"
	}
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
var secretVersion = lazyregexp.New(`^projects/` + access.ProjectExpression +
	`/secrets/[A-Za-z0-9_-]{1,255}/versions/([0-9]{1,20}|[A-Za-z][A-Za-z0-9_-]{0,62})$`)

// IsSecretVersion is whether a path names a version of a secret:
// projects/PROJECT/secrets/SECRET/versions/VERSION.
func IsSecretVersion(path string) bool {
	return secretVersion().MatchString(path) && !strings.Contains(path, "..")
}

// The parts that people choose have letters, digits, "_" and "-", and at most 63 of them
// (https://cloud.google.com/secret-manager/parameter-manager/docs/reference/rest/v1/projects.locations.parameters/create).
var parameterVersion = lazyregexp.New(`^projects/` + access.ProjectExpression +
	`/locations/[a-z0-9-]{1,63}/parameters/[A-Za-z0-9_-]{1,63}/versions/[A-Za-z0-9_-]{1,63}$`)

// IsParameterVersion is whether a path names a version of a parameter:
// projects/PROJECT/locations/LOCATION/parameters/PARAMETER/versions/VERSION.
func IsParameterVersion(path string) bool {
	return parameterVersion().MatchString(path) && !strings.Contains(path, "..")
}
