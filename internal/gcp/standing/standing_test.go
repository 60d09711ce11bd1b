package standing_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/gcp"
	"jitaccess/internal/gcp/directory"
	"jitaccess/internal/gcp/iampolicy"
	"jitaccess/internal/gcp/standing"
	"jitaccess/internal/lookup"
)

const (
	shop   = access.Resource("projects/shop")
	folder = access.Resource("folders/7")
	org    = access.Resource("organizations/1")
	ana    = access.Principal("ana@example.com")
	ben    = access.Principal("ben@example.com")

	self  = "has({}.jitAccessConstraint)"
	peers = "has({}.multiPartyApprovalConstraint)"
)

// policies are those of several resources.
type policies map[access.Resource][]iampolicy.Binding

// world is a source and live policies, and what was asked of them.
type world struct {
	// live are the policies as they are; one that is missing may not be read, unless
	// it fails otherwise.
	live  policies
	fails map[access.Resource]int
	// source is what the source knows, and sourceFails what it fails with instead.
	own         []iampolicy.Binding
	above       policies
	source      standing.Found
	sourceFails error
	// groups are the people of each group; nil is a source that names everybody in
	// person.
	groups map[string][]access.Principal

	// remembered is what is remembered of any policy, a minute old.
	remembered []iampolicy.Binding

	// tree is what everything is directly in; nil is shop in folder in org. treeFails are
	// what of it may not be read.
	tree      map[access.Resource]access.Resource
	treeFails map[access.Resource]int
	known     []standing.Node
	mu        sync.Mutex
	asked     []string
	now       time.Time
}

func (w *world) Remembered(access.Resource, time.Duration) (*iampolicy.Policy, time.Time) {
	if w.remembered == nil {
		return nil, time.Time{}
	}
	return iampolicy.New(w.remembered), w.now.Add(-time.Minute)
}

func (w *world) note(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked = append(w.asked, what)
}

func (w *world) GetIamPolicy(_ context.Context, r access.Resource, _ time.Time) (*iampolicy.Policy, error) {
	w.note(string(r))
	if status := w.fails[r]; status != 0 {
		return nil, &gcp.StatusError{Code: status}
	}
	bindings, ok := w.live[r]
	if !ok {
		return nil, &gcp.StatusError{Code: 403}
	}
	return iampolicy.New(bindings), nil
}

func (w *world) Known(access.StandingQuery) []standing.Node { return w.known }

func (w *world) Parent(_ context.Context, r access.Resource) (access.Resource, error) {
	w.note(string(r) + "^")
	if status := w.treeFails[r]; status != 0 {
		return "", &gcp.StatusError{Code: status}
	}
	if w.tree != nil {
		return w.tree[r], nil
	}
	return map[access.Resource]access.Resource{shop: folder, folder: org}[r], nil
}

func (w *world) Look(context.Context, access.StandingQuery) (standing.Found, error) {
	w.note("source")
	f := w.source
	f.Own = iampolicy.New(w.own)
	for _, node := range []access.Resource{folder, org} {
		if bindings, ok := w.above[node]; ok {
			f.Above = append(f.Above, standing.Node{Resource: node, Policy: iampolicy.New(bindings)})
		}
	}
	f.Groups = map[access.Principal][]string{}
	for group, people := range w.groups {
		for _, p := range people {
			f.Groups[p] = append(f.Groups[p], group)
		}
	}
	if w.groups != nil {
		f.Members = func(_ context.Context, groups []string) (map[string]directory.Members, []*access.Error) {
			found, unread := map[string]directory.Members{}, []*access.Error(nil)
			for _, g := range groups {
				w.note(g)
				if people, ok := w.groups[g]; ok {
					found[g] = directory.Members{People: people}
				} else {
					found[g] = directory.Members{}
					unread = append(unread, standing.Unreadable(g, nil))
				}
			}
			return found, unread
		}
	}
	return f, w.sourceFails
}

func (w *world) catalog() *standing.Catalog {
	if w.now.IsZero() {
		w.now = time.Date(2026, 3, 2, 9, 30, 0, 0, time.UTC)
	}
	c := standing.New(standing.Config{Source: w, Policies: w, ServiceAccount: "jit@x.iam.gserviceaccount.com", Now: func() time.Time { return w.now }})
	return &c
}

// questions are what was asked, sorted.
func (w *world) questions() string {
	slices.Sort(w.asked)
	return strings.Join(w.asked, " ")
}

func bind(role, expression string, members ...string) iampolicy.Binding {
	return iampolicy.Binding{Role: role, Members: members, Condition: &iampolicy.Condition{Title: "any", Expression: expression}}
}

func policy(bindings ...iampolicy.Binding) []iampolicy.Binding { return bindings }

// held are the roles of somebody, each with its project and "?" if unconfirmed.
func held(s access.Standing, p access.Principal) string {
	var roles []string
	for _, e := range s.Holdings[p] {
		role := string(e.ID.Role)
		if e.Unconfirmed {
			role += "?"
		}
		roles = append(roles, role)
	}
	return strings.Join(roles, " ")
}

func codes(warnings []*access.Error) string {
	var found []string
	for _, w := range warnings {
		found = append(found, string(w.Code))
	}
	return strings.Join(found, " ")
}

var (
	ofAna = access.StandingQuery{Resource: shop, Principals: []access.Principal{ana}}
	roleB = access.EntitlementID{Resource: shop, Role: "roles/b"}
)

// acting is the query of an action that begins now.
func acting(q access.StandingQuery) access.StandingQuery {
	q.Since = time.Date(2026, 3, 2, 9, 30, 0, 0, time.UTC)
	return q
}

// TestWhoseWordCounts: the live policy of the project always does; those above it
// when something is done.
func TestWhoseWordCounts(t *testing.T) {
	anas := func(role string) []iampolicy.Binding { return policy(bind(role, self, "user:ana@example.com")) }
	for _, c := range []struct {
		rule        string
		world       *world
		query       access.StandingQuery
		held, warns string
		asked       string
	}{
		{"the project's live policy wins over the copy", &world{own: anas("roles/a"), live: policies{shop: anas("roles/b")}},
			ofAna, "roles/b", "", "projects/shop source"},
		{"a page takes the source's word above", &world{above: policies{folder: anas("roles/b")}, live: policies{shop: nil}},
			ofAna, "roles/b", "", "projects/shop source"},
		{"an action reads what is above", &world{above: policies{folder: anas("roles/b")}, live: policies{shop: nil, folder: anas("roles/b")}},
			acting(ofAna), "roles/b", "", "folders/7 projects/shop projects/shop^ source"},
		{"what was taken away above is gone", &world{above: policies{folder: anas("roles/b")}, live: policies{shop: nil, folder: nil}},
			acting(ofAna), "", "", "folders/7 projects/shop projects/shop^ source"},
		{"what carries nothing of theirs is not read", &world{above: policies{folder: anas("roles/b"), org: policy(bind("roles/c", self, "user:ben@example.com"))},
			live: policies{shop: nil, folder: anas("roles/b")}}, acting(ofAna), "roles/b", "", "folders/7 projects/shop projects/shop^ source"},
		{"nor what carries nothing that was asked for", &world{above: policies{folder: anas("roles/b"), org: anas("roles/c")},
			live: policies{shop: nil, folder: anas("roles/b")}},
			acting(access.StandingQuery{Resource: shop, Principals: []access.Principal{ana}, Of: []access.EntitlementID{roleB}}), "roles/b roles/c", "", "folders/7 projects/shop projects/shop^ source"},
		{"what may not be read above is marked", &world{above: policies{folder: anas("roles/b")}, live: policies{shop: nil}},
			acting(ofAna), "roles/b?", "inventory-only", "folders/7 projects/shop projects/shop^ source"},
		{"and so is what does not exist", &world{above: policies{folder: anas("roles/b")}, live: policies{shop: nil}, fails: map[access.Resource]int{folder: 404}},
			acting(ofAna), "roles/b?", "inventory-only", "folders/7 projects/shop projects/shop^ source"},
		{"it is sure if one live policy carries it", &world{above: policies{folder: anas("roles/b"), org: anas("roles/b")}, live: policies{shop: nil, org: anas("roles/b")}},
			acting(ofAna), "roles/b", "inventory-only", "folders/7 folders/7^ organizations/1 projects/shop projects/shop^ source"},
		{"a query about nobody needs no source", &world{sourceFails: errors.New("down"), live: policies{shop: nil}},
			access.StandingQuery{Resource: shop}, "", "", "projects/shop"},
		{"what the source could not find out is a warning", &world{source: standing.Found{Warnings: []*access.Error{{Code: access.CodeAnalysisPartial}}}, live: policies{shop: anas("roles/a")}},
			ofAna, "roles/a", "analysis-partial", "projects/shop source"},
		{"what nobody can read is a warning", &world{live: policies{shop: append(anas("roles/a"), bind("roles/b", self+` && "`, "user:ana@example.com"))}},
			ofAna, "roles/a", "unreadable-binding", "projects/shop source"},
	} {
		t.Run(c.rule, func(t *testing.T) {
			s, err := c.world.catalog().Standing(t.Context(), c.query)
			if err != nil {
				t.Fatal(err)
			}
			if got := held(s, ana); got != c.held {
				t.Errorf("holds %q, want %q", got, c.held)
			}
			if got := codes(s.Warnings); got != c.warns {
				t.Errorf("warns %q, want %q", got, c.warns)
			}
			if got := c.world.questions(); got != c.asked {
				t.Errorf("asked %q, want %q", got, c.asked)
			}
		})
	}
}

// TestWhatFailsIsToldAsWhatItIs: of two failures the one that says more, and none
// that reads as "nobody is eligible".
func TestWhatFailsIsToldAsWhatItIs(t *testing.T) {
	unknown := &access.Error{Kind: access.NotFound, Code: access.CodeUnknownResource}
	quota := &access.Error{Kind: access.TooMany, Code: access.CodeQuota}
	eligible := policy(bind("roles/b", self, "user:ana@example.com"))
	for _, c := range []struct {
		rule  string
		world *world
		query access.StandingQuery
		want  access.Code
	}{
		{"the number of a project is no name", &world{}, access.StandingQuery{Resource: "projects/4711"}, access.CodeUnknownResource},
		{"an application is of somebody else", &world{}, access.StandingQuery{Resource: "apps/shop"}, access.CodeUnknownResource},
		{"nothing is nothing", &world{}, access.StandingQuery{}, access.CodeUnknownResource},
		{"the policy may not be read", &world{}, ofAna, access.CodeServiceNotAllowed},
		{"Google says 403 of a project that does not exist; the source knows", &world{sourceFails: unknown}, ofAna, access.CodeUnknownResource},
		{"the policy may not be read, and the source is busy", &world{sourceFails: quota}, ofAna, access.CodeServiceNotAllowed},
		{"the source is busy", &world{sourceFails: quota, live: policies{shop: nil}}, ofAna, access.CodeQuota},
		{"the source knows no such project, whose policy can be read", &world{sourceFails: unknown, live: policies{shop: nil}}, ofAna, access.CodeUnknownResource},
		{"Google is down", &world{fails: map[access.Resource]int{shop: 503}}, ofAna, access.CodeUpstreamFailed},
		{"a folder that matters cannot be read just now", &world{live: policies{shop: nil}, above: policies{folder: eligible}, fails: map[access.Resource]int{folder: 503}},
			acting(ofAna), access.CodeUpstreamFailed},
		{"nor when it is too busy", &world{live: policies{shop: nil}, above: policies{folder: eligible}, fails: map[access.Resource]int{folder: 429}},
			acting(ofAna), access.CodeQuota},
	} {
		t.Run(c.rule, func(t *testing.T) {
			s, err := c.world.catalog().Standing(t.Context(), c.query)
			if e := access.AsError(err); e == nil || e.Code != c.want || s.Holdings != nil {
				t.Errorf("%v and %v, want %s", s, err, c.want)
			}
			if c.query.Resource != shop && c.world.asked != nil {
				t.Errorf("asked %q", c.world.questions())
			}
		})
	}
}

// A refusal names what the service account needs, and where.
func TestAPolicyThatMayNotBeReadNamesThePermission(t *testing.T) {
	_, err := new(world).catalog().Standing(t.Context(), ofAna)
	want := access.Args{"permission": "resourcemanager.projects.getIamPolicy", "resource": "projects/shop", "account": "jit@x.iam.gserviceaccount.com"}
	if got := access.AsError(err).Args; !maps.Equal(got, want) {
		t.Errorf("%v", got)
	}
}

// The queries of one action share what they read above; the next action reads anew.
func TestOneActionReadsEachNodeOnce(t *testing.T) {
	eligible := policy(bind("roles/b", self, "user:ana@example.com"))
	w := &world{above: policies{folder: eligible}, live: policies{shop: nil, folder: eligible}}
	c := w.catalog()
	for action := range 2 {
		w.asked = nil
		q := ofAna
		q.Since = w.now
		for range 3 {
			w.now = w.now.Add(time.Millisecond)
			if _, err := c.Standing(t.Context(), q); err != nil {
				t.Fatal(err)
			}
		}
		if n := strings.Count(w.questions(), "folders/7"); n != 1 {
			t.Errorf("action %d: read %d times", action, n)
		}
		w.now = w.now.Add(time.Minute)
	}
}

// TestWhoMayReview: groups are expanded where the source can, and one that cannot be
// read is a warning.
func TestWhoMayReview(t *testing.T) {
	ops := policy(bind("roles/b", peers, "group:ops@example.com", "user:Eve@example.com"))
	for _, c := range []struct {
		rule         string
		live         []iampolicy.Binding
		groups       map[string][]access.Principal
		want, warns  string
		wasAskedOf   string
		reviewersFor []access.Principal
	}{
		{"people and the people in groups", ops, map[string][]access.Principal{"ops@example.com": {ana, ben}}, "ana@example.com ben@example.com eve@example.com", "", "ops@example.com", nil},
		{"a group that cannot be read", ops, map[string][]access.Principal{}, "eve@example.com", "group-unreadable", "ops@example.com", nil},
		{"a source that names everybody in person", ops, nil, "eve@example.com", "", "", nil},
		{"a group without the right to review is not read", policy(bind("roles/b", self, "group:ops@example.com")), map[string][]access.Principal{"ops@example.com": {ben}}, "", "", "", nil},
		{"nobody reviews for who holds nothing, and no group is read", ops, map[string][]access.Principal{"ops@example.com": {ben}}, "", "", "", []access.Principal{ana}},
		{"who may request another role is told nothing, and no group is read", append(policy(bind("roles/c", peers, "user:ana@example.com")), ops...), map[string][]access.Principal{"ops@example.com": {ben}}, "", "", "", []access.Principal{ana}},
		{"peers review for who may request", ops, map[string][]access.Principal{"ops@example.com": {ana, ben}}, "ana@example.com ben@example.com eve@example.com", "", "ops@example.com", []access.Principal{ana}},
	} {
		t.Run(c.rule, func(t *testing.T) {
			w := &world{groups: c.groups, live: policies{shop: c.live}}
			s, err := w.catalog().Standing(t.Context(), access.StandingQuery{Resource: shop, Principals: c.reviewersFor, ReviewersOf: []access.EntitlementID{roleB}})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, p := range s.Reviewers[roleB] {
				got = append(got, string(p))
			}
			if strings.Join(got, " ") != c.want || codes(s.Warnings) != c.warns {
				t.Errorf("%v may, warns %q; want %q, %q", got, codes(s.Warnings), c.want, c.warns)
			}
			if asked := strings.TrimSpace(strings.TrimSuffix(w.questions(), "projects/shop source")); asked != c.wasAskedOf {
				t.Errorf("asked of %q, want %q", asked, c.wasAskedOf)
			}
		})
	}
}

// What a source knows of people goes into every live policy that takes the place of
// its copy.
func TestLivePoliciesAreReadInPerson(t *testing.T) {
	group := policy(bind("roles/b", self, "group:ops@example.com"))
	above := policy(bind("roles/c", self, "user:ana@example.com"))
	w := &world{live: policies{shop: group, folder: policy(bind("roles/c", self, "group:ops@example.com"))},
		above: policies{folder: above}}
	w.source.InPerson = func(_ access.Resource, live *iampolicy.Policy) *iampolicy.Policy {
		var bindings []iampolicy.Binding
		for _, b := range live.Bindings() {
			b.Members = []string{"user:ana@example.com"}
			bindings = append(bindings, b)
		}
		return iampolicy.New(bindings)
	}
	s, err := w.catalog().Standing(t.Context(), acting(ofAna))
	if err != nil || held(s, ana) != "roles/b roles/c" {
		t.Errorf("holds %q, %v", held(s, ana), err)
	}
}

// TestPrepareJudgesAnyPolicy: everything is asked beforehand but the project's own
// policy, of which the answer is a function.
func TestPrepareJudgesAnyPolicy(t *testing.T) {
	ops := policy(bind("roles/b", peers, "group:ops@example.com"))
	w := &world{own: ops, groups: map[string][]access.Principal{"ops@example.com": {ana, ben}}}
	judge, err := w.catalog().Prepare(t.Context(), acting(access.StandingQuery{Resource: shop, Principals: []access.Principal{ana}, ReviewersOf: []access.EntitlementID{roleB}}))
	if err != nil || w.questions() != "ops@example.com source" {
		t.Fatalf("%v, asked %q", err, w.questions())
	}
	for _, c := range []struct {
		rule      string
		policy    []iampolicy.Binding
		held      string
		reviewers int
		warns     string
	}{
		{"as the source had it", ops, "roles/b", 2, ""},
		{"everything was taken away", nil, "", 0, ""},
		{"a person came", append(ops, bind("roles/b", peers, "user:eve@example.com")), "roles/b", 3, ""},
		{"a group came that nobody asked about", append(ops, bind("roles/b", peers, "group:new@example.com")), "roles/b", 2, "group-unreadable"},
	} {
		s := judge(iampolicy.New(c.policy))
		if held(s, ana) != c.held || len(s.Reviewers[roleB]) != c.reviewers || codes(s.Warnings) != c.warns {
			t.Errorf("%s: holds %q, %v may review, warns %q", c.rule, held(s, ana), s.Reviewers[roleB], codes(s.Warnings))
		}
	}
	if w.questions() != "ops@example.com source" {
		t.Errorf("judging asked %q", w.questions())
	}
	for rule, bad := range map[string]*world{"the source is down": {sourceFails: &access.Error{Kind: access.Unavailable, Code: access.CodeUpstreamFailed}}} {
		if judge, err := bad.catalog().Prepare(t.Context(), ofAna); err == nil || judge != nil {
			t.Errorf("%s: no error", rule)
		}
	}
	if _, err := w.catalog().Prepare(t.Context(), access.StandingQuery{Resource: "projects/4711"}); access.AsError(err).Code != access.CodeUnknownResource {
		t.Errorf("the number of a project: %v", err)
	}
}

// Who has gone away gets no half answer.
func TestAnEndedRequestGetsNoAnswer(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w := &world{live: policies{shop: nil}}
	if _, err := w.catalog().Standing(ctx, ofAna); access.AsError(err).Code != access.CodeDeadline {
		t.Errorf("%v", err)
	}
}

// Warnings come in one order, in whichever the look-ups ended.
func TestWarningsAreSorted(t *testing.T) {
	var bindings []iampolicy.Binding
	for _, g := range []string{"c", "a", "b"} {
		bindings = append(bindings, bind("roles/b", peers, "group:"+g+"@example.com"))
	}
	w := &world{groups: map[string][]access.Principal{}, live: policies{shop: bindings},
		source: standing.Found{Warnings: []*access.Error{standing.Unreadable("z@example.com", nil)}}}
	s, err := w.catalog().Standing(t.Context(), access.StandingQuery{Resource: shop, ReviewersOf: []access.EntitlementID{roleB}})
	if err != nil || !slices.IsSortedFunc(s.Warnings, func(a, b *access.Error) int { return strings.Compare(a.Error(), b.Error()) }) || len(s.Warnings) != 4 {
		t.Errorf("%v, %v", s.Warnings, err)
	}
}

func everybody(ctx context.Context, k *standing.Catalog, on access.Resource) (access.Standing, error) {
	return k.Standing(ctx, access.StandingQuery{Resource: on, Everybody: true})
}

func TestEverybody(t *testing.T) {
	live := policy(
		bind("roles/a", self, "user:Ana@example.com", "serviceAccount:robot@x.iam.gserviceaccount.com", "deleted:user:old@example.com?uid=1", "user:not an address", "domain:example.com"),
		bind("roles/b", peers, "group:ops@example.com", "group:lost@example.net"),
		iampolicy.Binding{Role: "roles/viewer", Members: []string{"user:zoe@example.com"}})
	w := &world{live: policies{shop: live}, groups: map[string][]access.Principal{"ops@example.com": {ana, ben}},
		above: policies{folder: policy(bind("roles/c", self, "user:eve@example.com"))}}
	s, err := everybody(t.Context(), w.catalog(), shop)
	if err != nil {
		t.Fatal(err)
	}
	want := map[access.Principal]string{ana: "roles/a roles/b", ben: "roles/b", "eve@example.com": "roles/c"}
	if len(s.Holdings) != len(want) {
		t.Errorf("%v", s.Holdings)
	}
	for p, roles := range want {
		if got := held(s, p); got != roles {
			t.Errorf("%s holds %q, want %q", p, got, roles)
		}
	}
	if codes(s.Warnings) != "group-unreadable" || s.Warnings[0].Args["group"] != "lost@example.net" {
		t.Errorf("warns %v", s.Warnings)
	}

	unknown := &access.Error{Kind: access.NotFound, Code: access.CodeUnknownResource}
	for rule, c := range map[string]struct {
		world    *world
		resource access.Resource
		want     access.Code
	}{
		"the number of a project":           {&world{}, "projects/4711", access.CodeUnknownResource},
		"a policy that may not be read":     {&world{groups: map[string][]access.Principal{}}, shop, access.CodeServiceNotAllowed},
		"a project that does not exist":     {&world{sourceFails: unknown}, shop, access.CodeUnknownResource},
		"a source that fails, policy alone": {&world{sourceFails: &access.Error{Kind: access.TooMany, Code: access.CodeQuota}, live: w.live}, shop, access.CodeQuota},
	} {
		if _, err := everybody(t.Context(), c.world.catalog(), c.resource); access.AsError(err) == nil || access.AsError(err).Code != c.want {
			t.Errorf("%s: %v, want %s", rule, err, c.want)
		}
	}
}

// A folder and an organization answer like a project: their own policy as it is now, and what lies
// above them.
func TestFoldersAndOrganizationsAnswerLikeProjects(t *testing.T) {
	onOrg, onFolder := policy(bind("roles/a", self, "user:ana@example.com")), policy(bind("roles/b", self, "user:ana@example.com"))
	for _, c := range []struct {
		on    access.Resource
		above policies
		want  string
	}{
		{folder, policies{org: onOrg}, "roles/a roles/b"}, {folder, nil, "roles/b"}, {org, nil, "roles/a"},
	} {
		for _, q := range []access.StandingQuery{
			{Resource: c.on, Principals: []access.Principal{ana}}, acting(access.StandingQuery{Resource: c.on, Principals: []access.Principal{ana}}),
		} {
			w := &world{live: policies{org: onOrg, folder: onFolder}, above: c.above, tree: map[access.Resource]access.Resource{folder: org}}
			s, err := w.catalog().Standing(t.Context(), q)
			var held []string
			for _, e := range s.Holdings[ana] {
				if held = append(held, string(e.ID.Role)); e.ID.Resource != c.on {
					t.Errorf("%s: %s", c.on, e.ID)
				}
			}
			slices.Sort(held)
			if got := strings.Join(held, " "); err != nil || got != c.want || len(s.Warnings) > 0 {
				t.Errorf("%s: %q, %v, warns %q, want %q", c.on, got, err, codes(s.Warnings), c.want)
			}
		}
	}
}

// TestRecall: while Google cannot answer, the last answer serves pages for five
// minutes; when it refuses, none does.
func TestRecall(t *testing.T) {
	for _, c := range []struct {
		rule   string
		fails  error
		age    time.Duration
		action bool
		want   string
		code   access.Code
	}{
		{"a page within half a minute asks nobody", errors.New("unused"), 29 * time.Second, false, "first", ""},
		{"later it asks", nil, 30 * time.Second, false, "second", ""},
		{"an action asks at once", nil, time.Millisecond, true, "second", ""},
		{"the quota is spent", &gcp.StatusError{Code: 429}, time.Minute, false, "first", access.CodeStaleInventory},
		{"an action gets the last answer too, and confirms it", &gcp.StatusError{Code: 429}, time.Minute, true, "first", access.CodeStaleInventory},
		{"Google is down", &gcp.StatusError{Code: 500}, 5*time.Minute - time.Second, false, "first", access.CodeStaleInventory},
		{"for too long", &gcp.StatusError{Code: 500}, 5 * time.Minute, false, "", access.CodeUpstreamFailed},
		{"Google does not answer in time", context.DeadlineExceeded, time.Minute, false, "first", access.CodeStaleInventory},
		{"it refuses", &gcp.StatusError{Code: 403}, time.Minute, false, "", access.CodeServiceNotAllowed},
		{"it knows no such thing", &gcp.StatusError{Code: 404}, time.Minute, false, "", access.CodeUnknownResource},
		{"it refuses what was asked", &gcp.StatusError{Code: 400}, time.Minute, false, "", access.CodeCallRefused},
	} {
		t.Run(c.rule, func(t *testing.T) {
			now := time.Date(2026, 3, 2, 9, 30, 0, 0, time.UTC)
			answer, fails := "first", error(nil)
			cache := lookup.New(func() time.Time { return now }, 10, time.Minute, func(context.Context, string) (string, error) { return answer, fails })
			clock := func() time.Time { return now }
			if _, _, err := standing.Recall(t.Context(), cache, "k", ofAna, "Asset Inventory", clock); err != nil {
				t.Fatal(err)
			}
			answer, fails = "second", c.fails
			if fails != nil {
				answer = ""
			}
			now = now.Add(c.age)
			q := ofAna
			if c.action {
				q.Since = now
			}
			got, warning, err := standing.Recall(t.Context(), cache, "k", q, "Asset Inventory", clock)
			told := warning
			if err != nil {
				told = access.AsError(err)
			}
			if got != c.want || (told == nil) != (c.code == "") || told != nil && told.Code != c.code || warning != nil && err != nil {
				t.Errorf("%q, %v, %v; want %q, %q", got, warning, err, c.want, c.code)
			}
		})
	}
}

// TestPagesRestOnTheRememberedPolicyWhileTheQuotaIsSpent: with a warning that says how
// old it is. Nobody acts on it, nor is anybody refused on it.
func TestPagesRestOnTheRememberedPolicyWhileTheQuotaIsSpent(t *testing.T) {
	mine := []iampolicy.Binding{{Role: "roles/a", Members: []string{"user:ana@example.com"}, Condition: &iampolicy.Condition{Expression: self}}}
	for rule, c := range map[string]struct {
		status     int
		remembered []iampolicy.Binding
		since      bool
		want       access.Code
	}{
		"spent":                     {429, mine, false, access.CodeStaleInventory},
		"spent, for an action":      {429, mine, true, access.CodeQuota},
		"spent, nothing remembered": {429, nil, false, access.CodeQuota},
		"out of reach":              {403, mine, false, access.CodeServiceNotAllowed},
	} {
		t.Run(rule, func(t *testing.T) {
			w := &world{fails: map[access.Resource]int{shop: c.status}, remembered: c.remembered}
			catalog, q := w.catalog(), ofAna
			if c.since {
				q.Since = w.now
			}
			s, err := catalog.Standing(t.Context(), q)
			if c.want != access.CodeStaleInventory {
				if access.AsError(err) == nil || access.AsError(err).Code != c.want {
					t.Errorf("%v, want %s", err, c.want)
				}
				return
			}
			if err != nil || len(s.Holdings[ana]) != 1 || len(s.Warnings) != 1 || s.Warnings[0].Code != c.want || s.Warnings[0].Args["seconds"] != "60" {
				t.Errorf("%+v, %v", s, err)
			}
		})
	}
}

// TestAProjectThatHasMovedGivesNothingByTheOldFolder: where a project is, is read live at
// the moment of effect, beside the policies. Where that may not be read, the source is
// believed, with a warning, unless what can be read contradicts it. What was remembered
// wrongly costs a call, and never a wrong answer.
func TestAProjectThatHasMovedGivesNothingByTheOldFolder(t *testing.T) {
	anas := policy(bind("roles/b", self, "user:ana@example.com"))
	onFolder := policies{folder: anas, org: nil}
	live := policies{shop: nil, folder: anas, org: anas}
	type tree = map[access.Resource]access.Resource
	type fails = map[access.Resource]int
	for rule, c := range map[string]struct {
		world       *world
		held, warns string
		asked       string
	}{
		"it has not moved":         {&world{above: onFolder, live: live}, "roles/b", "", "folders/7 projects/shop projects/shop^ source"},
		"to another folder":        {&world{above: onFolder, live: live, tree: tree{shop: "folders/8", "folders/8": org}}, "", "moved", ""},
		"out of everything":        {&world{above: onFolder, live: live, tree: tree{}}, "", "moved", ""},
		"deeper, below it still":   {&world{above: onFolder, live: live, tree: tree{shop: "folders/9", "folders/9": folder}}, "roles/b", "", ""},
		"the organization's holds": {&world{above: policies{org: anas}, live: live, tree: tree{shop: "folders/8", "folders/8": org}}, "roles/b", "", ""},
		"the project is not seen":  {&world{above: onFolder, live: live, treeFails: fails{shop: 403}}, "roles/b?", "tree-unconfirmed", ""},
		"a folder is not seen": {&world{above: policies{folder: nil, org: anas}, live: live, treeFails: fails{folder: 403}},
			"roles/b?", "tree-unconfirmed", ""},
		"a new folder is not seen": {&world{above: onFolder, live: policies{shop: nil, folder: anas, org: anas, "folders/8": anas},
			source: standing.Found{Whole: true}, tree: tree{shop: "folders/8"}, treeFails: fails{"folders/8": 403}}, "", "moved", ""},
		"a folder without a policy is not seen": {&world{above: onFolder, live: policies{shop: nil, folder: anas, org: anas, "folders/8": nil},
			source: standing.Found{Whole: true}, tree: tree{shop: "folders/8"}, treeFails: fails{"folders/8": 403}}, "roles/b?", "tree-unconfirmed", ""},
		"a folder of which nothing may be read": {&world{above: onFolder, live: live, source: standing.Found{Whole: true}, tree: tree{shop: "folders/8"},
			treeFails: fails{"folders/8": 403}}, "roles/b?", "tree-unconfirmed", ""},
		"what was remembered is right": {&world{above: onFolder, live: live, known: []standing.Node{{Resource: folder, Policy: iampolicy.New(anas)}}},
			"roles/b", "", "folders/7 projects/shop projects/shop^ source"},
		"what was remembered is wrong": {&world{above: onFolder, live: live, known: []standing.Node{{Resource: "folders/8", Policy: iampolicy.New(anas)}}},
			"roles/b", "", "folders/7 folders/8 projects/shop projects/shop^ source"},
	} {
		t.Run(rule, func(t *testing.T) {
			s, err := c.world.catalog().Standing(t.Context(), acting(ofAna))
			if err != nil || held(s, ana) != c.held || codes(s.Warnings) != c.warns {
				t.Errorf("holds %q, warns %q, %v", held(s, ana), codes(s.Warnings), err)
			}
			if c.asked != "" && rule != "what was remembered is wrong" && c.world.questions() != c.asked {
				t.Errorf("asked %q", c.world.questions())
			}
		})
	}
	w := &world{above: onFolder, live: live, treeFails: fails{shop: 503}}
	if _, err := w.catalog().Standing(t.Context(), acting(ofAna)); err == nil {
		t.Error("what cannot be read just now is no reason to wait")
	}
}

// A project has one name: under its number nobody would know it, though Google would.
func TestOnlyProjectsByTheirIdsAreLookedAt(t *testing.T) {
	for _, r := range []access.Resource{"projects/123456789012", "projects/0", "apps/shop", ""} {
		w := &world{}
		_, err := w.catalog().Standing(t.Context(), acting(access.StandingQuery{Resource: r, Principals: []access.Principal{ana}}))
		_, unprepared := w.catalog().Prepare(t.Context(), acting(access.StandingQuery{Resource: r, Principals: []access.Principal{ana}}))
		for _, err := range []error{err, unprepared} {
			if e := access.AsError(err); e == nil || e.Code != access.CodeUnknownResource {
				t.Errorf("%q: %v", r, err)
			}
		}
		if asked := w.questions(); asked != "" {
			t.Errorf("%q: asked %s", r, asked)
		}
	}
}
