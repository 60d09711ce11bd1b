package conformance

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"jitaccess/internal/lazyregexp"
)

// Refused is why a project is not taken for scratch. Nothing has been written then.
type Refused struct{ Why, Next string }

func (e Refused) Error() string { return e.Why + "; " + e.Next }

// project is what Resource Manager says of one.
type project struct {
	ProjectID, Name, State string
	Labels                 map[string]string
}

// number is that of projects/NUMBER.
func (p project) number() string { return strings.TrimPrefix(p.Name, "projects/") }

// named is how Resource Manager names a project.
var named = lazyregexp.New(`^projects/[0-9]+$`)

// production are the values of labels, or their names, by which people mark what matters.
var production = []string{"prod", "production", "prd", "live"}

// scratch finds out whether the project is one in which something may be tried: it is
// active, nothing marks it as production, and nobody has anything there but the caller,
// Google's own accounts, and whoever made it.
func (r *run) scratch(ctx context.Context) error {
	a := r.call(ctx, r.c.HTTP, "start", r.resource(r.c.Project, ""), nil)
	if a.ok() {
		if err := json.Unmarshal(a.body, &r.project); err != nil {
			a = answer{err: err}
		}
	}
	switch {
	case a.status == http.StatusForbidden || a.status == http.StatusNotFound:
		return Refused{fmt.Sprintf("the project %s is not there, or %s may not see it", r.c.Project, r.c.Account),
			"give the account roles/browser and roles/resourcemanager.projectIamAdmin on the project"}
	case !a.ok():
		return fmt.Errorf("the project cannot be looked at: %s", a.said())
	case r.project.ProjectID != r.c.Project:
		return fmt.Errorf("asked for the project %s, Google answered of %q", r.c.Project, r.project.ProjectID)
	case !named().MatchString(r.project.Name):
		return fmt.Errorf("the project %s has no number: Google names it %q", r.c.Project, r.project.Name)
	case r.project.State != "ACTIVE":
		return Refused{fmt.Sprintf("the project %s is in the state %q", r.c.Project, r.project.State), "use one that is ACTIVE"}
	}
	for _, name := range slices.Sorted(maps.Keys(r.project.Labels)) {
		value := r.project.Labels[name]
		first := strings.FieldsFunc(strings.ToLower(value), func(c rune) bool { return c == '-' || c == '_' }) // prod-eu, but not non-prod
		if len(first) > 0 && slices.Contains(production, first[0]) || slices.Contains(production, strings.ToLower(name)) && value != "false" {
			return Refused{fmt.Sprintf("the project %s has the label %s=%s", r.c.Project, name, value), "use a project that is not of production"}
		}
	}
	p, a := r.get(ctx, "start")
	if a.status == http.StatusForbidden {
		return Refused{fmt.Sprintf("%s may not read the policy of %s", r.c.Account, r.c.Project),
			"give it roles/resourcemanager.projectIamAdmin there"}
	}
	if !a.ok() {
		return fmt.Errorf("the policy of the project cannot be read: %s", a.said())
	}
	const sets = "resourcemanager.projects.setIamPolicy"
	if held, a := r.holds(ctx, "start", sets); a.ok() && !held[sets] {
		return Refused{fmt.Sprintf("%s may not write the policy of %s (%s)", r.c.Account, r.c.Project, sets),
			"give it roles/resourcemanager.projectIamAdmin there"}
	}
	r.before = p
	return r.judge(p)
}

// agents are Google's own accounts in a project, which come with its APIs
// (https://cloud.google.com/iam/docs/service-account-types).
func agents(number, id string) *regexp.Regexp {
	number, id = regexp.QuoteMeta(number), regexp.QuoteMeta(id)
	return regexp.MustCompile(`^serviceAccount:(?:service-` + number + `@[a-z0-9.-]+\.iam\.gserviceaccount\.com` +
		`|` + number + `@cloudservices\.gserviceaccount\.com|` + number + `-compute@developer\.gserviceaccount\.com` +
		`|` + number + `@cloudbuild\.gserviceaccount\.com|` + id + `@appspot\.gserviceaccount\.com)$`)
}

// judge refuses a policy that gives somebody something who is neither the caller, nor an
// account of Google's, nor whoever made the project: one person or service account, the
// owner without a condition. It keeps what it lets pass, for the report.
func (r *run) judge(p policy) error {
	agent := agents(r.project.number(), r.project.ProjectID)
	var owners, others []string
	passed := map[string]int{}
	for _, b := range p.kept() {
		for _, m := range b.Members {
			switch {
			case strings.EqualFold(m, r.caller()):
				passed["the caller's own bindings"]++
			case agent.MatchString(m):
				passed["bindings of Google's own accounts"]++
			case b.Role == "roles/owner" && b.Condition == nil && (strings.HasPrefix(m, "user:") || strings.HasPrefix(m, "serviceAccount:")):
				owners = append(owners, m)
			default:
				others = append(others, b.Role+" of "+m)
			}
		}
	}
	if len(owners) > 1 {
		for _, m := range owners {
			others = append(others, "roles/owner of "+m)
		}
	} else if len(owners) == 1 {
		passed["the owner who made the project"]++
	}
	if len(others) > 0 {
		slices.Sort(others)
		const shown = 5
		text := strings.Join(others[:min(len(others), shown)], ", ")
		if n := len(others) - shown; n > 0 {
			text += fmt.Sprintf(", and %d more", n)
		}
		return Refused{fmt.Sprintf("the project %s is in use: it has bindings of others (%s)", r.c.Project, text),
			"use an empty project of your own; its one owner, Google's service agents and the caller may stand in its policy"}
	}
	for _, what := range slices.Sorted(maps.Keys(passed)) {
		r.report.LetPass = append(r.report.LetPass, fmt.Sprintf("%s: %d", what, passed[what]))
	}
	return nil
}

// clear takes out of the policy what runs have written, and says what of it, or of what
// stood before, is not as it was.
func (r *run) clear(ctx context.Context) (left []string) {
	p, a := r.get(ctx, "end")
	for range attempts {
		if !a.ok() || !slices.ContainsFunc(p.Bindings, r.wrote) {
			break
		}
		p.Version, p.Bindings = 3, r.kept(p)
		if a = r.set(ctx, "end", p); a.ok() || a.status == http.StatusConflict || a.status == http.StatusPreconditionFailed {
			p, a = r.get(ctx, "end")
		}
	}
	if !a.ok() {
		return []string{fmt.Sprintf("the policy could not be cleaned (%s): run it again, or take out the bindings with the title %q",
			a.said(), mark)}
	}
	now := map[string]bool{}
	for _, b := range p.Bindings {
		if r.wrote(b) {
			left = append(left, fmt.Sprintf("a binding of %s, with the title %q or without a condition", b.Role, mark))
		}
		now[b.key()] = true
	}
	for _, b := range r.before.kept() {
		if !now[b.key()] {
			left = append(left, fmt.Sprintf("a binding of %s stood before and does not now", b.Role))
		}
	}
	return left
}
