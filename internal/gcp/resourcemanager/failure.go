package resourcemanager

import (
	"cmp"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"jitaccess/internal/access"
	"jitaccess/internal/gcp"
	"jitaccess/internal/lazyregexp"
)

// service is the name of the API in messages.
const service = "Resource Manager"

// operation says what was tried, for the text of its failure.
type operation struct {
	// method is the last part of the permission that it needs: "setIamPolicy".
	method string
	// resource is empty for a search, which is of a kind.
	resource access.Resource
	kind     string
	// roles are what was to be granted, and principal is to whom; empty otherwise.
	roles     []access.Role
	principal access.Principal
	// deleted is whose deleted account the policy still names; empty is nobody's.
	deleted access.Principal
}

func (op operation) permission() string {
	return "resourcemanager." + cmp.Or(op.kind, op.resource.Kind()) + "." + op.method
}

// failure says what a failed call means to people: as everywhere, except that a
// refusal of the content says which part of it Google refuses.
func failure(op operation, account string, err error) *access.Error {
	e := gcp.Failure(err, gcp.Call{Service: service, Permission: op.permission(), Resource: string(op.resource), Account: account,
		Change: op.method == "setIamPolicy"})
	if e.Code == access.CodePlatformRefused {
		refusal(op, e)
	}
	return e
}

// Google's texts for content that it refuses, as quoted in public reports. They
// are no contract, so whatever matches none is shown as it is.
var (
	roleRefused   = lazyregexp.New(`(?i)\brole\b.*(not supported for this resource|does not exist|is invalid|cannot be granted)`)
	memberRefused = lazyregexp.New(`(?i)\b(user|principal|member|account|identity|e-?mail)\b.*` +
		`(does not exist|not found|is of an unknown type|is not associated with)`)
	policyFull = lazyregexp.New(`(?i)number of members in the policy \(([0-9,]+)\) is larger than the maximum allowed size ([0-9,]+)`)
)

// refusal says in e why Google takes the content of a call for wrong. Google judges the
// whole policy, so that its text may be about a role or member of somebody else's. It is
// told of what was to be granted only if it names that; otherwise it speaks for itself.
func refusal(op operation, e *access.Error) {
	_, text := gcp.Answer(e)
	if m := policyFull().FindStringSubmatch(text); m != nil {
		e.Code, e.Args = access.CodePolicyFull, access.Args{"count": strings.Trim(m[1], ","),
			"max": strings.Trim(m[2], ","), "resource": string(op.resource)}
		return
	}
	named := slices.DeleteFunc(slices.Clone(op.roles), func(r access.Role) bool { return !containsName(text, string(r)) })
	ofRole, ofMember := roleRefused().MatchString(text), memberRefused().MatchString(text)
	switch {
	case ofRole && len(named) > 0:
		e.Code, e.Args = access.CodeRoleNotGrantable, access.Args{"role": joined(named), "resource": string(op.resource)}
		return
	case ofMember && op.principal != "" && containsName(foreignMember().ReplaceAllString(text, ""), string(op.principal)):
		e.Code, e.Args = access.CodeMemberUnknown, access.Args{"principal": string(op.principal)}
		return
	case !ofRole && !ofMember && len(op.roles) > 0:
		if len(named) == 0 {
			named = op.roles
		}
		e.Args["reason"] += " (" + joined(named) + ")"
	}
	if op.deleted != "" {
		e.Args["reason"] += fmt.Sprintf("; the policy still names deleted:user:%s, which may have to be removed first", op.deleted)
	}
}

// foreignMember is a member with its kind, of a kind that is never granted anything here.
var foreignMember = lazyregexp.New(`(?i)\b(deleted:[a-z]+|group|serviceAccount|domain|principal(Set)?):\S+`)

func joined(roles []access.Role) string {
	var names []string
	for _, r := range roles {
		names = append(names, string(r))
	}
	return strings.Join(names, ", ")
}

// containsName is whether text has the whole name, not a longer one that it is
// part of: roles/run.admin is not in roles/run.administrator.
func containsName(text, name string) bool {
	whole := `(?i)(^|[^a-z0-9_./+-])` + regexp.QuoteMeta(name) + `(\.?$|\.?[^a-z0-9_.-])`
	return regexp.MustCompile(whole).MatchString(text)
}

// passing is whether the same call may succeed in a moment. A quota that is spent is not
// passing: repeating keeps it so.
func passing(err error) bool {
	if status := statusOf(err); status != 0 {
		return status == http.StatusRequestTimeout || status >= 500
	}
	return gcp.TimedOut(err) || gcp.Broken(err)
}

// statusOf is the HTTP status of Google's answer; 0 when there was none.
func statusOf(err error) int {
	status, _ := gcp.Answer(err)
	return status
}
