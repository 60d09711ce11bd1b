// Package shadow holds what two services offer to the same people against each other: JIT Access
// 1.x, which is live, and this one beside it. It reads, and writes nothing (docs/upgrade.md).
package shadow

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"jitaccess/internal/access"
	"jitaccess/internal/gcp/condition"
)

// Side is one of the two services, as one person sees it.
type Side interface {
	// Is returns why the service does not take who asks for this person; nil when it does.
	Is(ctx context.Context, person access.Principal) error
	Projects(ctx context.Context, person access.Principal) ([]string, error)
	Roles(ctx context.Context, person access.Principal, project string) (Roles, error)
	// Reviewers are who may be asked to approve a role, by its id on this side.
	Reviewers(ctx context.Context, person access.Principal, project, id string) ([]string, error)
}

// Roles are what somebody may activate on a project.
type Roles struct {
	Roles []Role
	// Warnings say what the service could not look at.
	Warnings []string
}

// Role is one of them.
type Role struct {
	// ID is that of the service.
	ID, Role, Condition string
	// Kind is JIT or MPA.
	Kind string
}

// Kinds of activation, as JIT Access 1.x names them.
const (
	Alone    = "JIT"
	Approved = "MPA"
)

// DifferenceKind is in what the two differ.
type DifferenceKind string

const (
	// OnlyThere and OnlyHere are roles that one side alone offers.
	OnlyThere DifferenceKind = "only in 1.x"
	OnlyHere  DifferenceKind = "only here"
	// Otherwise is a role that needs approval on one side alone.
	Otherwise DifferenceKind = "activated otherwise"
	// Others are reviewers that one side alone has.
	Others DifferenceKind = "other reviewers"
)

// Difference is one.
type Difference struct {
	Person    access.Principal `json:"person"`
	Project   string           `json:"project"`
	Role      string           `json:"role"`
	Condition string           `json:"condition,omitempty"`
	Kind      DifferenceKind   `json:"kind"`
	// There and Here are what each side says; empty where it says nothing.
	There string `json:"there,omitempty"`
	Here  string `json:"here,omitempty"`
}

// Report is what was found.
type Report struct {
	// Compared counts pairs of a person and a project that both sides list, Roles what was
	// offered there by either.
	Compared    int          `json:"compared"`
	Roles       int          `json:"roles"`
	Differences []Difference `json:"differences"`
	// Lists are projects that one side alone lists for somebody: not compared.
	Lists []string `json:"lists"`
	// Notes are warnings of either side.
	Notes []string `json:"notes"`
	// Unread is what could not be read, and so is not compared.
	Unread []string `json:"unread"`
}

// Run compares, for each person, the projects that both sides list; all of them, or one. What cannot
// be read is not compared, and never hides the rest.
func Run(ctx context.Context, people []access.Principal, project string, there, here Side) Report {
	r := Report{Differences: []Difference{}, Lists: []string{}, Notes: []string{}, Unread: []string{}}
	for _, person := range people {
		c := comparison{Report: &r, person: person, there: there, here: here}
		c.run(ctx, project)
	}
	return r
}

// comparison is that of one person.
type comparison struct {
	*Report
	person      access.Principal
	there, here Side
}

// on says of which side something is.
const (
	onOld = "1.x"
	onNew = "this version"
)

func (c *comparison) unread(side, what string, err error) {
	c.Unread = append(c.Unread, fmt.Sprintf("%s, %s, %s: %v", side, c.person, what, err))
}

func (c *comparison) note(side, project string, warnings []string) {
	for _, w := range warnings {
		if text := fmt.Sprintf("%s, %s: %s", side, project, w); !slices.Contains(c.Notes, text) {
			c.Notes = append(c.Notes, text)
		}
	}
}

func (c *comparison) run(ctx context.Context, only string) {
	for _, side := range []struct {
		name string
		is   Side
	}{{onOld, c.there}, {onNew, c.here}} {
		if err := side.is.Is(ctx, c.person); err != nil {
			c.unread(side.name, "who they are", err)
			return
		}
	}
	old, err := c.there.Projects(ctx, c.person)
	if err != nil {
		c.unread(onOld, "the list of projects", err)
		return
	}
	ours, err := c.here.Projects(ctx, c.person)
	if err != nil {
		c.unread(onNew, "the list of projects", err)
		return
	}
	if only != "" {
		isOther := func(p string) bool { return p != only }
		old, ours = slices.DeleteFunc(slices.Clone(old), isOther), slices.DeleteFunc(slices.Clone(ours), isOther)
		if len(old)+len(ours) == 0 {
			c.Lists = append(c.Lists, fmt.Sprintf("%s: neither side lists %s", c.person, only))
		}
	}
	alone := func(side string, mine, others []string) {
		if more := slices.DeleteFunc(slices.Clone(mine), func(p string) bool { return slices.Contains(others, p) }); len(more) > 0 {
			c.Lists = append(c.Lists, fmt.Sprintf("%s: %s alone lists %s", c.person, side, strings.Join(more, ", ")))
		}
	}
	alone(onOld, old, ours)
	alone(onNew, ours, old)
	for _, project := range slices.Compact(slices.Sorted(slices.Values(old))) {
		if slices.Contains(ours, project) && ctx.Err() == nil {
			c.on(ctx, project)
		}
	}
	if ctx.Err() != nil {
		c.unread("both", "the rest", errors.New("interrupted"))
	}
}

// on compares what both offer on one project.
func (c *comparison) on(ctx context.Context, project string) {
	old, err := c.there.Roles(ctx, c.person, project)
	if err != nil {
		c.unread(onOld, project, err)
		return
	}
	ours, err := c.here.Roles(ctx, c.person, project)
	if err != nil {
		c.unread(onNew, project, err)
		return
	}
	c.Compared++
	c.note(onOld, project, old.Warnings)
	c.note(onNew, project, ours.Warnings)
	differs := func(r Role, kind DifferenceKind, there, here string) {
		c.Differences = append(c.Differences, Difference{c.person, project, r.Role, r.Condition, kind, there, here})
	}
	left := slices.Clone(ours.Roles)
	for _, o := range old.Roles {
		c.Report.Roles++
		at := slices.IndexFunc(left, func(n Role) bool { return n.Role == o.Role && condition.Equal(n.Condition, o.Condition) })
		if at < 0 {
			differs(o, OnlyThere, o.Kind, "")
			continue
		}
		n := left[at]
		left = slices.Delete(left, at, at+1)
		switch {
		case n.Kind != o.Kind:
			differs(o, Otherwise, o.Kind, n.Kind)
		case n.Kind == Approved:
			c.reviewers(ctx, project, o, n, differs)
		}
	}
	for _, n := range left {
		c.Report.Roles++
		differs(n, OnlyHere, "", n.Kind)
	}
}

// reviewers compares who may approve a role.
func (c *comparison) reviewers(ctx context.Context, project string, o, n Role, differs func(Role, DifferenceKind, string, string)) {
	old, err := c.there.Reviewers(ctx, c.person, project, o.ID)
	if err != nil {
		c.unread(onOld, "the reviewers of "+o.Role+" on "+project, err)
		return
	}
	ours, err := c.here.Reviewers(ctx, c.person, project, n.ID)
	if err != nil {
		c.unread(onNew, "the reviewers of "+n.Role+" on "+project, err)
		return
	}
	more := func(all, than []string) string {
		var rest []string
		for _, p := range all {
			if !slices.ContainsFunc(than, func(q string) bool { return access.FoldASCII(p) == access.FoldASCII(q) }) {
				rest = append(rest, p)
			}
		}
		slices.Sort(rest)
		return strings.Join(rest, ", ")
	}
	if there, here := more(old, ours), more(ours, old); cmp.Or(there, here) != "" {
		differs(o, Others, there, here)
	}
}
