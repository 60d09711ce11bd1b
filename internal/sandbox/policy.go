package sandbox

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"jitaccess/internal/sandbox/google"
)

// shownBinding is a binding of a policy as the page shows it.
type shownBinding struct {
	// Text is the binding as the API answers it, indented.
	Text        string
	Conditional bool
	// New is whether it came, or got a member, since the sandbox was started.
	New bool

	role, condition string
	members         []string
}

// shownPolicy is an IAM policy taken apart for display.
type shownPolicy struct {
	Version  int
	Etag     string
	Bindings []shownBinding
}

// holder is a person and the roles that they have at the moment.
type holder struct {
	Person google.Person
	Roles  []string
}

func (s *Sandbox) readPolicy(resource string) (shownPolicy, error) {
	text, err := s.cloud.Policy(resource)
	if err != nil {
		return shownPolicy{}, err
	}
	var policy struct {
		Version  int
		Etag     string
		Bindings []json.RawMessage
	}
	if err := json.Unmarshal(text, &policy); err != nil {
		return shownPolicy{}, fmt.Errorf("policy of %s: %w", resource, err)
	}
	shown := shownPolicy{Version: policy.Version, Etag: policy.Etag}
	for _, raw := range policy.Bindings {
		b, err := newShownBinding(raw)
		if err != nil {
			return shownPolicy{}, fmt.Errorf("policy of %s: %w", resource, err)
		}
		b.New = s.baseline != nil && slices.ContainsFunc(b.keys(resource), func(key string) bool { return !s.baseline[key] })
		shown.Bindings = append(shown.Bindings, b)
	}
	// What is new comes first, where it is seen.
	slices.SortStableFunc(shown.Bindings, func(a, b shownBinding) int {
		switch {
		case a.New == b.New:
			return 0
		case a.New:
			return -1
		default:
			return 1
		}
	})
	return shown, nil
}

func newShownBinding(raw json.RawMessage) (shownBinding, error) {
	var parsed struct {
		Role      string
		Members   []string
		Condition json.RawMessage
	}
	if err := json.Unmarshal(raw, &parsed); err != nil {
		return shownBinding{}, err
	}
	var text bytes.Buffer
	if err := json.Indent(&text, raw, "", "  "); err != nil {
		return shownBinding{}, err
	}
	return shownBinding{
		Text:        text.String(),
		Conditional: parsed.Condition != nil,
		role:        parsed.Role,
		condition:   string(parsed.Condition),
		members:     parsed.Members,
	}, nil
}

// keys identifies what the binding gives, one key for each member.
func (b shownBinding) keys(resource string) []string {
	var keys []string
	for _, member := range b.members {
		keys = append(keys, strings.Join([]string{resource, b.role, member, b.condition}, "\x00"))
	}
	return keys
}

// resources returns everything whose policy can be looked at, projects first.
func (s *Sandbox) resources() []string {
	var names []string
	for _, project := range s.organization.Projects {
		names = append(names, "projects/"+project.ID)
	}
	for _, folder := range s.organization.Folders {
		names = append(names, "folders/"+folder.ID)
	}
	return append(names, s.cloud.OrganizationID())
}

// allBindings returns the keys of all bindings as they are now.
func (s *Sandbox) allBindings() (map[string]bool, error) {
	all := map[string]bool{}
	for _, resource := range s.resources() {
		policy, err := s.readPolicy(resource)
		if err != nil {
			return nil, err
		}
		for _, b := range policy.Bindings {
			for _, key := range b.keys(resource) {
				all[key] = true
			}
		}
	}
	return all, nil
}

// holders returns what each person may do on the resource by the roles that its
// policy names, as the sandbox's Google decides it.
func (s *Sandbox) holders(resource string, policy shownPolicy, at time.Time) []holder {
	var roles []string
	for _, b := range policy.Bindings {
		if !slices.Contains(roles, b.role) {
			roles = append(roles, b.role)
		}
	}
	slices.Sort(roles)
	var holders []holder
	for _, person := range s.cloud.People() {
		h := holder{Person: person}
		for _, role := range roles {
			if s.cloud.Allowed("user:"+person.Email, role, resource, at) {
				h.Roles = append(h.Roles, role)
			}
		}
		holders = append(holders, h)
	}
	return holders
}

func (f *front) showPolicy(w http.ResponseWriter, r *http.Request) {
	resources := f.resources()
	resource := r.URL.Query().Get("resource")
	if resource == "" {
		resource = f.mostInteresting(resources)
	}
	if !slices.Contains(resources, resource) {
		http.Error(w, "There is no such resource in the sandbox.", http.StatusNotFound)
		return
	}
	policy, err := f.readPolicy(resource)
	if err != nil {
		f.log.Error("reading the policy", "resource", resource, "error", err)
		http.Error(w, "The sandbox could not read this policy.", http.StatusInternalServerError)
		return
	}
	person, _ := f.person(r)
	now := f.now()
	page := struct {
		frame
		Resource  string
		Resources []string
		Policy    shownPolicy
		// Whole is whether all of the policy is shown.
		Whole   bool
		Holders []holder
		Now     time.Time
		Changes []shownChange
		// Seen is the last change that the visitor had looked at before.
		Seen int
	}{
		frame: frame{"IAM policy of " + resource, f.newBar(person, r), true}, Resource: resource, Resources: resources,
		Policy: policy, Whole: r.URL.Query().Get("whole") != "", Holders: f.holders(resource, policy, now), Now: now, Seen: seenBy(r),
	}
	for _, c := range f.changes(resource) {
		if len(page.Changes) < changesShown {
			page.Changes = append(page.Changes, f.show(c, linesShown))
		}
	}
	page.Bar.Resource, page.Bar.News.Unseen = resource, 0
	f.hasSeen(w)
	f.render(w, "policy.html", page)
}

// mostInteresting returns the resource to show when none was asked for: one whose
// policy has changed last, otherwise the first.
func (f *front) mostInteresting(resources []string) string {
	for _, c := range f.changes("") {
		if slices.Contains(resources, c.Resource) {
			return c.Resource
		}
	}
	return resources[0]
}
