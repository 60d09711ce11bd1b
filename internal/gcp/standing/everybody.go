package standing

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"jitaccess/internal/access"
	"jitaccess/internal/gcp"
)

// everybody answers what everybody who is named in an eligible binding of a
// resource holds, in person or as a direct member of a group. Groups are expanded,
// which costs one look-up for each group and none for each person; a group that
// cannot be read is a warning, and its people may be missing. The source must be one
// that reads whole policies, and so expands groups (Found.Members).
func (k *Catalog) everybody(ctx context.Context, q access.StandingQuery) (access.Standing, error) {
	resource := q.Resource
	own, err := k.c.Policies.GetIamPolicy(ctx, resource, cmp.Or(q.Since, q.Arrived))
	failure := gcp.Failure(err, k.policyCall(resource))
	l := &look{k: k, q: q}
	l.found, err = k.c.Source.Look(ctx, l.q)
	if failure != nil && (err == nil || access.AsError(err).Code != access.CodeUnknownResource) {
		err = failure
	}
	if err != nil {
		return access.Standing{}, err
	}
	var groups []string
	people := map[access.Principal]bool{}
	table, _ := l.table(own)
	for _, member := range table.Members() {
		kind, address, _ := strings.Cut(member, ":")
		switch p, err := access.ParsePrincipal(address); {
		case kind == "group":
			groups = append(groups, address)
		case kind == "user" && err == nil:
			people[p] = true
		}
	}
	l.warnings = append(l.found.Warnings, l.expand(ctx, table, groups)...)
	l.found.Groups = map[access.Principal][]string{}
	for group, members := range l.members {
		for _, p := range members {
			people[p] = true
			l.found.Groups[p] = append(l.found.Groups[p], group)
		}
	}
	for p := range people {
		l.q.Principals = append(l.q.Principals, p)
	}
	slices.Sort(l.q.Principals)
	return l.standing(own), nil
}
