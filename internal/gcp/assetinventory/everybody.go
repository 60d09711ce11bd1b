package assetinventory

import (
	"context"
	"slices"
	"strings"

	"jitaccess/internal/access"
	"jitaccess/internal/gcp"
	"jitaccess/internal/gcp/eligibility"
)

// Everybody answers what everybody who is named in an eligible binding of a
// resource holds, in person or as a direct member of a group. Groups are expanded,
// which costs one look-up for each group and none for each person; a group that
// cannot be read is a warning, and its people may be missing.
func (k *Catalog) Everybody(ctx context.Context, resource access.Resource) (access.Standing, error) {
	if err := onlyProjects(resource); err != nil {
		return access.Standing{}, err
	}
	own, err := k.c.Policies.GetIamPolicy(ctx, resource)
	failure := gcp.Failure(err, k.policyCall(resource))
	l, err := k.look(ctx, access.StandingQuery{Resource: resource})
	if failure != nil && (err == nil || access.AsError(err).Code != access.CodeUnknownResource) {
		err = failure
	}
	if err != nil {
		return access.Standing{}, err
	}
	var groups []string
	people := map[access.Principal]bool{}
	nodes := append([]eligibility.Node{{Resource: resource, Policy: own}}, l.above...)
	for _, member := range k.reader.Read(resource, nodes).Members() {
		kind, address, _ := strings.Cut(member, ":")
		switch p, err := access.ParsePrincipal(address); {
		case kind == "group":
			groups = append(groups, address)
		case kind == "user" && err == nil:
			people[p] = true
		}
	}
	l.findMembers(ctx, groups)
	for group, members := range l.members {
		for _, p := range members {
			people[p] = true
			l.groups[p] = append(l.groups[p], group)
		}
	}
	for p := range people {
		l.q.Principals = append(l.q.Principals, p)
	}
	slices.Sort(l.q.Principals)
	return l.standing(own), nil
}
