package google_test

import (
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/sandbox/google"
)

func TestAllowed(t *testing.T) {
	f := newFixture(t)
	const warehouse = "projects/data-warehouse-prod"
	for _, rule := range []struct {
		member, what, resource string
		at                     time.Duration
		want                   bool
	}{
		{"user:alice@example.com", "roles/owner", "projects/shop-orders-dev", 0, true},
		{"user:alice@example.com", "roles/owner", orders, 0, false},
		{"user:Alice@Example.com", "roles/owner", "projects/shop-orders-dev", 0, true},
		// An owner has every permission; a domain's people are its people.
		{"user:alice@example.com", "resourcemanager.projects.setIamPolicy", "projects/shop-orders-dev", 0, true},
		{"user:frank@example.com", "resourcemanager.projects.get", warehouse, 0, true},
		{"user:gil@partner.example.net", "resourcemanager.projects.get", warehouse, 0, false},
		// Through a group on a folder, two levels up.
		{"user:alice@example.com", "roles/viewer", warehouse, 0, true},
		{"user:carol@example.com", "roles/viewer", warehouse, 0, false},
		// An eligibility grants nothing.
		{"user:alice@example.com", "roles/cloudsql.admin", orders, 0, false},
		{"user:alice@example.com", "roles/compute.instanceAdmin.v1", orders, 0, false},
		// An activation of 1.x, within its window and at both its edges.
		{"user:alice@example.com", "roles/secretmanager.admin", orders, 0, true},
		{"user:alice@example.com", "roles/secretmanager.admin", orders, -10 * time.Minute, true},
		{"user:alice@example.com", "roles/secretmanager.admin", orders, -10*time.Minute - time.Second, false},
		{"user:alice@example.com", "roles/secretmanager.admin", orders, 50*time.Minute - time.Second, true},
		{"user:alice@example.com", "roles/secretmanager.admin", orders, 50 * time.Minute, false},
		{"user:bob@example.com", "roles/cloudsql.admin", orders, 0, false},
		{"user:bob@example.com", "roles/cloudsql.admin", orders, -25 * time.Hour, true},
		// A condition on the resource's name.
		{"user:carol@example.com", "roles/storage.objectViewer", warehouse, 0, false},
		{"user:carol@example.com", "roles/storage.objectViewer", "projects/_/buckets/warehouse-landing", 0, true},
		{"user:carol@example.com", "storage.objects.get", "projects/_/buckets/warehouse-landing/objects/march.csv", 0, true},
		{"user:carol@example.com", "roles/storage.objectViewer", "projects/_/buckets/shop-orders-exports/objects/march.csv", 0, false},
		// A broken condition never holds; one of another tool does, in its hours.
		{"user:dan.o'brien@example.com", "roles/pubsub.editor", "projects/shop-payments-prod", 0, false},
		{"user:dan.o'brien@example.com", "roles/container.developer", "projects/shop-payments-prod", 0, true},
		{"user:dan.o'brien@example.com", "roles/container.developer", "projects/shop-payments-prod", 12 * time.Hour, false},
		// Strangers and nowhere.
		{"user:nobody@example.net", "roles/viewer", orders, 0, false},
		{"user:alice@example.com", "roles/viewer", "projects/nothing", 0, false},
	} {
		if got := f.Allowed(rule.member, rule.what, rule.resource, start.Add(rule.at)); got != rule.want {
			t.Errorf("%s has %s on %s at %v: %v", rule.member, rule.what, rule.resource, rule.at, got)
		}
	}
}

func TestAllowedBelowAKnownResource(t *testing.T) {
	f := newFixture(t)
	err := f.SetPolicy(orders, google.Policy{Bindings: []google.Binding{{Role: "roles/storage.objectViewer", Members: []string{"user:frank@example.com"},
		Condition: &google.Condition{Title: "one bucket", Expression: `resource.name.startsWith("projects/shop-orders-prod/buckets/a/")`}}}})
	if err != nil {
		t.Fatal(err)
	}
	for resource, want := range map[string]bool{orders + "/buckets/a/objects/x": true, orders + "/buckets/b/objects/x": false, orders: false} {
		if got := f.Allowed("user:frank@example.com", "storage.objects.get", resource, start); got != want {
			t.Errorf("%s: %v", resource, got)
		}
	}
}

// What a newcomer finds must be as consistent as what Google would let stand: the
// writer of the story is checked by the rules of the cloud.
func TestBelievableOrganizationIsConsistent(t *testing.T) {
	f := newFixture(t)
	o := google.Believable(start)
	resources := []string{f.OrganizationID()}
	for _, x := range o.Folders {
		resources = append(resources, "folders/"+x.ID)
	}
	for _, x := range o.Projects {
		resources = append(resources, "projects/"+x.ID)
	}
	var refusals []string
	for _, r := range resources {
		text := policyText(t, f, r)
		var p google.Policy
		if err := json.Unmarshal([]byte(text), &p); err != nil {
			t.Fatal(err)
		}
		// As if it were written for the first time, by somebody who may.
		cloud, err := google.New(google.Options{Now: func() time.Time { return start }, WithoutCredentials: true, Organization: administered()})
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range p.Bindings {
			b.Members = slices.DeleteFunc(b.Members, func(m string) bool { return strings.HasPrefix(m, "deleted:") })
			body, err := json.Marshal(map[string]any{"policy": google.Policy{Version: 3, Bindings: []google.Binding{b}}})
			if err != nil {
				t.Fatal(err)
			}
			if err := cloud.SetPolicy(r, administered().Policy); err != nil {
				t.Fatal(err)
			}
			if code := call(cloud, "POST", "/v3/"+r+":setIamPolicy", string(body)); code != 200 {
				refusals = append(refusals, b.Role)
			}
		}
	}
	if !slices.Equal(refusals, []string{"roles/pubsub.editor"}) {
		t.Errorf("one binding is broken on purpose; refused are %v", refusals)
	}
	for _, g := range o.Groups {
		for _, m := range g.Members {
			known := slices.ContainsFunc(o.People, func(p google.Person) bool { return p.Email == m }) ||
				slices.ContainsFunc(o.Groups, func(h google.Group) bool { return h.Email == m })
			if !known && !g.External {
				t.Errorf("%s has a member who does not exist: %s", g.Email, m)
			}
		}
	}
}

// administered is the organization with a service account that may write every
// policy.
func administered() google.Organization {
	o := google.Believable(start)
	o.Policy.Bindings = []google.Binding{{Role: "roles/iam.securityAdmin", Members: []string{"serviceAccount:" + o.ServiceAccount}}}
	return o
}

func TestBelievableOrganizationHasWhatThereIsToTry(t *testing.T) {
	o := google.Believable(start)
	var all []google.Binding
	all = append(all, o.Policy.Bindings...)
	inherited := 0
	for _, x := range o.Folders {
		all = append(all, x.Policy.Bindings...)
		inherited += len(x.Policy.Bindings)
	}
	for _, x := range o.Projects {
		all = append(all, x.Policy.Bindings...)
	}
	count := func(marker string, narrowed bool) (n int) {
		for _, b := range all {
			if b.Condition != nil && strings.HasPrefix(b.Condition.Expression, marker) && (b.Condition.Expression != marker) == narrowed {
				n++
			}
		}
		return n
	}
	for name, got := range map[string]int{
		"self-approval": count("has({}.jitAccessConstraint)", false), "self-approval with a resource condition": count("has({}.jitAccessConstraint)", true),
		"peer approval": count("has({}.multiPartyApprovalConstraint)", false), "peer approval with a resource condition": count("has({}.multiPartyApprovalConstraint)", true),
		"activation of 1.x": count("(request.time", true), "inherited": inherited,
	} {
		if got < 2 {
			t.Errorf("%s: %d", name, got)
		}
	}
	if len(o.People) != 6 || len(o.Projects) < 12 || len(o.Folders) < 3 {
		t.Errorf("%d people, %d projects, %d folders", len(o.People), len(o.Projects), len(o.Folders))
	}
}

func TestNewRefusesContradictions(t *testing.T) {
	for name, change := range map[string]func(*google.Organization){
		"a folder without parent":  func(o *google.Organization) { o.Folders[0].Parent = "folders/1" },
		"a project without parent": func(o *google.Organization) { o.Projects[0].Parent = "" },
		"a bucket without project": func(o *google.Organization) { o.Buckets[0].Project = "x" },
		"no service project":       func(o *google.Organization) { o.ServiceProject = "x" },
		"a person as the service":  func(o *google.Organization) { o.ServiceAccount = "alice@example.com" },
	} {
		o := google.Believable(start)
		change(&o)
		if _, err := google.New(google.Options{Organization: o}); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

// The sandbox checks the product; were it made of the product's packages, it would
// repeat the product's mistakes.
func TestImportsNothingOfTheProduct(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range strings.Fields(string(out)) {
		if strings.HasPrefix(path, "jitaccess/") && path != "jitaccess/internal/sandbox/google" {
			t.Errorf("imports %s", path)
		}
	}
}
