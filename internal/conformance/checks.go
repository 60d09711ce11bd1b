package conformance

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/gcp/condition"
	"jitaccess/internal/gcp/iampolicy"
)

// check is one assumption, and how it is tried.
type check struct {
	id, assumption, source string
	try                    func(*run, context.Context) outcome
}

// Where what is assumed is said.
const (
	iamPolicy     = "https://cloud.google.com/iam/docs/reference/rest/v1/Policy"
	iamQuotas     = "https://cloud.google.com/iam/quotas"
	iamConditions = "https://cloud.google.com/iam/docs/conditions-overview"
	iamAttributes = "https://cloud.google.com/iam/docs/conditions-attribute-reference"
	propagation   = "https://cloud.google.com/iam/docs/access-change-propagation"
	setIamPolicy  = "https://cloud.google.com/resource-manager/reference/rest/v3/projects/setIamPolicy"
	testIam       = "https://cloud.google.com/resource-manager/reference/rest/v3/projects/testIamPermissions"
	coreErrors    = "https://cloud.google.com/resource-manager/docs/core_errors"
	search        = "https://cloud.google.com/resource-manager/reference/rest/v3/projects/search"
	signedHeaders = "https://cloud.google.com/iap/docs/signed-headers-howto"
	groupMembers  = "https://developers.google.com/workspace/admin/directory/reference/rest/v1/members"
	groupSearch   = "https://developers.google.com/workspace/admin/directory/v1/guides/search-groups"
	sawPublicly   = "reported in public (%s)"
	unpublished   = "not published; chosen in the sandbox"
)

// checks are all of them, in the order in which they are made.
var checks = slices.Concat(
	[]check{
		{"clock", "this machine's clock is within 30 seconds of Google's", "internal/gcp/skew.go", (*run).clock},
		{"project.absent", "of a project that is not there Google says that it may not be seen (403)", coreErrors, (*run).absent},
		{"project.search", "a project is found by its id and state", search, (*run).search},
		{"etag.changes", "the answer to a write is the policy as written, under another etag, which is then read", setIamPolicy,
			(*run).etagChanges},
		{"etag.stale", "a write over a policy that was replaced meanwhile is refused (409 ABORTED), and nothing is written",
			fmt.Sprintf(sawPublicly, "python-docs-samples#3292"), (*run).etagStale},
		{"etag.base64", "an etag that is not Base64 is refused (400)", unpublished, (*run).etagBase64},
		{"version.hidden", "who asks for version 1 sees no condition, and a role whose name says that there is one", iamPolicy,
			(*run).versionHidden},
		{"version.needed", "a policy with conditions is not written as version 1 (400)", iamPolicy, (*run).versionNeeded},
		{"version.unknown", "there is no version 2 (400)", iamPolicy, (*run).versionUnknown},
		{"version.lost", "a write of version 1 without an etag takes all conditions away", iamPolicy, (*run).versionLost},
	},
	conditionChecks, memberChecks,
	[]check{
		{"permission.wildcard", "permissions with a wildcard cannot be tested (400)", testIam, (*run).wildcard},
	},
	grantChecks, assertionChecks, groupChecks, firestoreChecks,
)

// never is a condition that never holds, told apart from others by n.
func never(n int) string {
	return fmt.Sprintf(`request.time < timestamp("%s")`, time.Unix(int64(n), 0).UTC().Format(time.RFC3339))
}

// viewer is a role that every project has, and that changes nothing.
const viewer = "roles/logging.viewer"

// ours is a binding for the caller that never holds.
func (r *run) ours(role, expression string) binding {
	return r.forMembers(role, expression, r.caller())
}

func (r *run) forMembers(role, expression string, members ...string) binding {
	return binding{Role: role, Members: members, Condition: &terms{Title: mark, Expression: expression}}
}

func untried(format string, args ...any) outcome {
	return outcome{Untried, fmt.Sprintf(format, args...), nil}
}

func differs(format string, args ...any) outcome {
	return outcome{Differs, fmt.Sprintf(format, args...), nil}
}

func passes(format string, args ...any) outcome {
	return outcome{Passes, fmt.Sprintf(format, args...), nil}
}

// silence is an answer from which nothing follows.
func silence(a answer) outcome { return untried("%s", a.said()) }

// refusedWith judges the answer to what is to be refused with a status, in words that have
// all of some parts.
func refusedWith(a answer, status int, words ...string) outcome {
	if a.status != status {
		switch {
		case a.ok():
			return differs("it is accepted")
		case a.saysNothing():
			return silence(a)
		}
		return differs("%s", a.said())
	}
	if a.organizationPolicy() {
		return silence(a)
	}
	for _, w := range words {
		if !strings.Contains(a.text(), w) {
			return differs("refused in words without %q: %s", w, a.said())
		}
	}
	return passes("%s", a.said())
}

// refuses is a check that bindings are refused. words are what the service knows a refusal by.
func refuses(id, assumption, source string, bindings func(*run) []binding, words ...string) check {
	return check{id, assumption, source, func(r *run, ctx context.Context) outcome {
		return refusedWith(r.write(ctx, id, bindings(r)...), http.StatusBadRequest, words...)
	}}
}

// accepts is a check that bindings are accepted, and read as they were written.
func accepts(id, assumption, source string, bindings func(*run) ([]binding, error)) check {
	return check{id, assumption, source, func(r *run, ctx context.Context) outcome {
		wanted, err := bindings(r)
		if err != nil {
			return untried("%v", err)
		}
		a := r.write(ctx, id, wanted...)
		if !a.ok() {
			if a.saysNothing() {
				return silence(a)
			}
			return differs("refused: %s", a.said())
		}
		p, a := r.get(ctx, id)
		if !a.ok() {
			return silence(a)
		}
		for _, w := range wanted {
			if !slices.ContainsFunc(p.Bindings, func(b binding) bool { return b.has(w.Role, w.Condition) }) {
				return differs("the binding of %s with %q is not read as it was written", w.Role, w.Condition.Expression)
			}
		}
		return passes("accepted, and read as it was written")
	}}
}

// one is a binding for the caller whose condition is changed.
func one(change func(*terms)) func(*run) []binding {
	return func(r *run) []binding {
		b := r.ours(viewer, never(0))
		change(b.Condition)
		return []binding{b}
	}
}

// fine is for what cannot fail to be made.
func fine(bindings func(*run) []binding) func(*run) ([]binding, error) {
	return func(r *run) ([]binding, error) { return bindings(r), nil }
}

func expressions(texts ...string) func(*run) ([]binding, error) {
	return func(r *run) (all []binding, err error) {
		for _, text := range texts {
			all = append(all, r.ours(viewer, text))
		}
		return all, nil
	}
}

// activation is the condition of a grant that was over long ago.
func activation(resource string) (string, error) {
	from := time.Unix(0, 0).UTC()
	return condition.Activation(access.Window{Start: from, End: from.Add(time.Hour)}, resource)
}

// markers make a binding an eligibility (docs/eligibility.md).
var markers = []string{"jitAccessConstraint", "multiPartyApprovalConstraint", "externalApprovalConstraint", "reviewerPrivilege",
	"multiPartyApprovalConstraint.dba"}

var conditionChecks = []check{
	accepts("condition.marker", "the markers of eligibilities are conditions", "docs/eligibility.md", func(r *run) (all []binding, err error) {
		for _, m := range markers {
			all = append(all, r.ours(viewer, "has({}."+m+")"))
		}
		return all, nil
	}),
	accepts("condition.resource", "a marker stands beside a condition on the resource", "docs/eligibility.md",
		expressions(`has({}.jitAccessConstraint) && resource.name.startsWith("projects/_/buckets/none/") && resource.type != "none"`,
			`has({}.jitAccessConstraint) && resource.name.extract("instances/{name}") == "none"`)),
	accepts("condition.activation", "the condition of a grant is stored as it is written, with and without a resource",
		"internal/gcp/condition/activation.go", func(r *run) (all []binding, err error) {
			for _, resource := range []string{"", `resource.name.startsWith("projects/_/buckets/none/")`} {
				text, err := activation(resource)
				if err != nil {
					return nil, err
				}
				all = append(all, r.ours(viewer, text))
			}
			return all, nil
		}),
	refuses("condition.capitals", "a marker in capitals is no condition (400)", unpublished,
		one(func(c *terms) { c.Expression = "HAS({}.jitAccessConstraint)" })),
	refuses("condition.broken", "a condition that is not CEL is refused (400)", iamConditions,
		one(func(c *terms) { c.Expression = never(0) + ` && resource.name.startsWith("projects/` })),
	refuses("condition.type", "a condition that is not true or false is refused (400)", iamConditions,
		one(func(c *terms) { c.Expression = `"yes"` })),
	refuses("condition.attribute", "an attribute that does not exist is refused (400)", iamAttributes,
		one(func(c *terms) { c.Expression = never(0) + ` && request.colour == "red"` })),
	refuses("condition.empty", "a condition has an expression (400)", iamPolicy, func(r *run) []binding {
		return []binding{r.forMembers(viewer, "", r.subject(0))} // of nobody, should it be taken for none
	}),
	accepts("condition.operators.most", "a condition may have 12 logic operators", iamQuotas,
		expressions(never(0)+strings.Repeat(" && true", condition.MaxOperators))),
	refuses("condition.operators.more", "and no 13 (400)", iamQuotas,
		one(func(c *terms) { c.Expression = never(0) + strings.Repeat(" && true", condition.MaxOperators+1) })),
	accepts("condition.description.most", "a description may have 256 characters", iamPolicy,
		fine(one(func(c *terms) { c.Description = strings.Repeat("d", iampolicy.MaxDescription) }))),
	refuses("condition.description.more", "and no 257 (400)", iamPolicy,
		one(func(c *terms) { c.Description = strings.Repeat("d", iampolicy.MaxDescription+1) })),
	refuses("condition.title.more", "a title has at most 100 characters (400)", iamPolicy,
		one(func(c *terms) { c.Title = mark + strings.Repeat("t", 101-len(mark)) })),
	refuses("condition.basic", "a basic role has no condition (400)", iamConditions, func(r *run) []binding {
		return []binding{r.ours("roles/viewer", never(0))}
	}),
	accepts("condition.same.most", "20 conditions for one role and member stand beside each other", iamQuotas,
		fine(func(r *run) []binding { return r.same(iampolicy.MaxSameRole) })),
	refuses("condition.same.more", "and no 21 (400)", iamQuotas, func(r *run) []binding { return r.same(iampolicy.MaxSameRole + 1) }),
}

// same are n bindings of one role for the caller. The role is none that the caller holds.
func (r *run) same(n int) (all []binding) {
	role := viewer
	for n -= r.standing(role); n > 0; n-- {
		all = append(all, r.ours(role, never(n)))
	}
	return all
}

// standing are the caller's own conditional bindings of a role.
func (r *run) standing(role string) (n int) {
	for _, b := range r.before.kept() {
		if b.Role == role && b.Condition != nil && slices.Contains(b.Members, r.caller()) {
			n++
		}
	}
	return n
}

var memberChecks = []check{
	refuses("member.form", "a member has a type (400)", "terraform-provider-google#7278", func(r *run) []binding {
		return []binding{r.forMembers(viewer, never(0), r.c.Account)}
	}, `must be of the form "<type>:<value>"`),
	refuses("member.unknown", "a service account that does not exist is refused by name (400)", unpublished, func(r *run) []binding {
		return []binding{r.forMembers(viewer, never(0), "serviceAccount:"+r.nobody())}
	}, "does not exist"),
	refuses("member.deleted", "a deleted member that was not there cannot be added (400)", "terraform-provider-google#5151",
		func(r *run) []binding {
			return []binding{r.forMembers(viewer, never(0), "deleted:serviceAccount:"+r.nobody()+"?uid=100000000000000000001")}
		}),
	refuses("member.everybody", "nobody gives everybody a role in a project (400)", setIamPolicy, func(r *run) []binding {
		return []binding{r.forMembers(viewer, never(0), "allAuthenticatedUsers")}
	}),
	refuses("role.unknown", "a role that does not exist is refused by name (400)", unpublished, func(r *run) []binding {
		return []binding{r.ours("roles/jitaccess.none", never(0))}
	}, "roles/jitaccess.none", "is not supported for this resource"),
	refuses("role.organization", "a role for organizations is refused by name in a project (400)", unpublished, func(r *run) []binding {
		return []binding{r.ours("roles/resourcemanager.organizationAdmin", never(0))}
	}, "roles/resourcemanager.organizationAdmin", "is not supported for this resource"),
	accepts("limit.members.most", "1,500 members fit into a policy; those of a workload identity pool are not looked up", iamQuotas,
		func(r *run) ([]binding, error) { return r.many(iampolicy.MaxMembers) }),
	{"limit.members.more", "and no 1,501; the refusal has the figures (400)", fmt.Sprintf(sawPublicly, "terraform-provider-google#25093"),
		func(r *run, ctx context.Context) outcome {
			all, err := r.many(iampolicy.MaxMembers + 1)
			if err != nil {
				return untried("%v", err)
			}
			return refusedWith(r.write(ctx, "limit.members.more", all...), http.StatusBadRequest,
				"The number of members in the policy (1,501) is larger than the maximum allowed size 1,500")
		}},
	refuses("limit.repeated", "a member counts as often as it appears, also in one binding (400)", iamQuotas, func(r *run) []binding {
		often := max(1, iampolicy.MaxMembers+1-r.before.members())
		return []binding{r.forMembers(viewer, never(0), slices.Repeat([]string{r.caller()}, often)...)}
	}),
}

// nobody is the address of a service account that the project does not have.
func (r *run) nobody() string {
	return "jitaccess-none@" + r.project.ProjectID + ".iam.gserviceaccount.com"
}

// pool is a workload identity pool that the project does not have.
const pool = "jitaccess-none"

// subject is somebody of that pool.
func (r *run) subject(n int) string {
	return fmt.Sprintf("principal://iam.googleapis.com/projects/%s/locations/global/workloadIdentityPools/%s/subject/%d",
		r.project.number(), pool, n)
}

// many fills the policy up to n members, with subjects of a pool that does not exist.
func (r *run) many(n int) ([]binding, error) {
	room := n - r.before.members()
	if room <= 0 {
		return nil, fmt.Errorf("the policy has %d members already", r.before.members())
	}
	members := make([]string, room)
	for i := range members {
		members[i] = r.subject(i)
	}
	return []binding{r.forMembers(viewer, never(0), members...)}, nil
}

func (r *run) clock(context.Context) outcome {
	ahead, skewed := r.c.Skew()
	if skewed {
		return differs("it is %s ahead; no grant is timed", ahead)
	}
	return passes("it is %s ahead", ahead)
}

func (r *run) absent(ctx context.Context) outcome {
	a := r.call(ctx, r.c.HTTP, "project.absent", r.resource("jitaccess-none-"+r.project.number(), ":getIamPolicy"), map[string]any{})
	if a.status == http.StatusForbidden {
		return passes("403")
	}
	return refusedWith(a, http.StatusForbidden)
}

func (r *run) search(ctx context.Context) outcome {
	a := r.call(ctx, r.c.HTTP, "project.search", r.c.Endpoint("cloudresourcemanager")+"/v3/projects:search?"+
		url.Values{"query": {"state:ACTIVE projectId:" + r.c.Project}, "pageSize": {"1000"}}.Encode(), nil)
	var found struct{ Projects []project }
	switch {
	case a.saysNothing():
		return silence(a)
	case !a.ok():
		return differs("%s", a.said())
	case json.Unmarshal(a.body, &found) != nil ||
		!slices.ContainsFunc(found.Projects, func(p project) bool { return p.ProjectID == r.c.Project && p.State == "ACTIVE" }):
		return differs("it is not among the %d that are found", len(found.Projects))
	}
	return passes("found")
}

// marked has a binding of ours in the policy, and returns it as it is then read.
func (r *run) marked(ctx context.Context) (policy, *outcome) {
	a := r.write(ctx, "start", r.ours(viewer, never(0)))
	var p policy
	if a.ok() {
		p, a = r.get(ctx, "start")
	}
	if !a.ok() {
		o := silence(a)
		return p, &o
	}
	return p, nil
}

func (r *run) etagChanges(ctx context.Context) outcome {
	const id = "etag.changes"
	p, failed := r.marked(ctx)
	if failed != nil {
		return *failed
	}
	before := p.Etag
	p.Version, p.Bindings = 3, append(r.kept(p), r.ours(viewer, never(1)))
	a := r.set(ctx, id, p)
	var answered policy
	if !a.ok() {
		return silence(a)
	}
	if err := json.Unmarshal(a.body, &answered); err != nil || answered.Etag == "" {
		return differs("the answer is no policy with an etag")
	}
	p, a = r.get(ctx, id)
	switch {
	case !a.ok():
		return silence(a)
	case answered.Etag == before:
		return differs("the etag is the same after a write")
	case p.Etag != answered.Etag:
		return differs("the answer has another etag than what is then read")
	case len(answered.Bindings) != len(p.Bindings):
		return differs("the answer has %s, what is then read %d", access.Counted(len(answered.Bindings), "binding", "bindings"), len(p.Bindings))
	}
	return passes("another etag, as in the answer")
}

func (r *run) etagStale(ctx context.Context) outcome {
	const id = "etag.stale"
	stale, failed := r.marked(ctx)
	if failed != nil {
		return *failed
	}
	if a := r.write(ctx, "start", r.ours(viewer, never(1))); !a.ok() {
		return silence(a)
	}
	stale.Version, stale.Bindings = 3, append(r.kept(stale), r.ours(viewer, never(2)))
	o := refusedWith(r.set(ctx, id, stale), http.StatusConflict, "ABORTED")
	if o.result != Passes {
		return o
	}
	p, a := r.get(ctx, id)
	if !a.ok() {
		return silence(a)
	}
	if slices.ContainsFunc(p.Bindings, func(b binding) bool { return b.has(viewer, r.ours(viewer, never(2)).Condition) }) {
		return differs("it is refused, and written all the same")
	}
	return o
}

// edited tries a write of the policy as it is read, with an edit and a binding that gives nobody
// anything, also without its condition.
func (r *run) edited(ctx context.Context, check string, edit func(*policy)) answer {
	p, a := r.get(ctx, check)
	if !a.ok() {
		return a
	}
	p.Version, p.Bindings = 3, append(r.kept(p), r.forMembers(viewer, never(3), r.subject(0)))
	edit(&p)
	return r.set(ctx, check, p)
}

func (r *run) etagBase64(ctx context.Context) outcome {
	return refusedWith(r.edited(ctx, "etag.base64", func(p *policy) { p.Etag = "no etag!" }), http.StatusBadRequest)
}

func (r *run) versionNeeded(ctx context.Context) outcome {
	return refusedWith(r.edited(ctx, "version.needed", func(p *policy) { p.Version = 1 }), http.StatusBadRequest)
}

func (r *run) versionUnknown(ctx context.Context) outcome {
	return refusedWith(r.edited(ctx, "version.unknown", func(p *policy) { p.Version = 2 }), http.StatusBadRequest)
}

func (r *run) versionHidden(ctx context.Context) outcome {
	const id = "version.hidden"
	if _, failed := r.marked(ctx); failed != nil {
		return *failed
	}
	p, a := r.getAs(ctx, id, 1)
	switch at := slices.IndexFunc(p.Bindings, func(b binding) bool { return strings.HasPrefix(b.Role, viewer+"_withcond_") }); {
	case !a.ok():
		return silence(a)
	case p.Version != 1:
		return differs("version %d", p.Version)
	case at < 0 || p.Bindings[at].Condition != nil:
		return differs("there is no binding of %s_withcond_… without a condition", viewer)
	}
	return passes("version 1, %s_withcond_…", viewer)
}

// versionLost is tried only where no condition but ours could be lost.
func (r *run) versionLost(ctx context.Context) outcome {
	const id = "version.lost"
	if r.before.conditional() {
		return untried("the caller has bindings with conditions of its own, which would be lost")
	}
	p, failed := r.marked(ctx)
	if failed != nil {
		return *failed
	}
	p.Version, p.Etag, p.Bindings = 1, "", r.kept(p)
	a := r.set(ctx, id, p)
	if !a.ok() {
		if a.saysNothing() {
			return silence(a)
		}
		return differs("refused: %s", a.said())
	}
	p, a = r.get(ctx, id)
	if !a.ok() {
		return silence(a)
	}
	if slices.ContainsFunc(p.Bindings, binding.marked) {
		return differs("accepted, and the binding with a condition is still there")
	}
	return passes("accepted, and the condition is gone")
}

func (r *run) wildcard(ctx context.Context) outcome {
	_, a := r.holds(ctx, "permission.wildcard", "logging.*")
	return refusedWith(a, http.StatusBadRequest)
}
