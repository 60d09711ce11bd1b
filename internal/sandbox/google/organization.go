package google

import (
	"fmt"
	"strings"
)

// Organization is what exists when a Cloud starts.
type Organization struct {
	// ID is the number, without organizations/.
	ID string
	// Domain is the primary domain; it is the display name too.
	Domain     string
	CustomerID string
	Policy     Policy
	Folders    []Folder
	Projects   []Project
	People     []Person
	Groups     []Group
	// Administrator is the address of who administers the service that grants access;
	// may be empty.
	Administrator string
	// CustomRoles have full names, projects/ID/roles/NAME or
	// organizations/NUMBER/roles/NAME.
	CustomRoles []Role

	// ServiceProject is the id of the project that the service runs in, Region
	// where, ServiceAccount as whom. ServiceAccountPolicy is the account's own
	// policy.
	ServiceProject, Region, ServiceAccount string
	ServiceAccountPolicy                   Policy
	// ServiceAccounts are other accounts that exist.
	ServiceAccounts []string
	// GroupsReaders are the accounts with the Workspace role Groups Reader.
	GroupsReaders []string
	// Delegations let service accounts act for everybody in the domain.
	Delegations []Delegation
	// Buckets are of Cloud Storage; Allowed knows by them whose objects are whose.
	Buckets []Bucket
	// Topics are Pub/Sub topics of the service's project to which the service
	// account may publish.
	Topics []string
	// AccountKeys are the ids of the service account's user-managed keys.
	AccountKeys []string
	// RunServices are Cloud Run services, AppVersions are versions of an App Engine
	// application, both of the service's project.
	RunServices []RunService
	AppVersions []AppVersion
	// AppDomains are the domains that are mapped to the App Engine application.
	AppDomains []string
	// GroupsEditors are the accounts that may read the settings of groups.
	GroupsEditors []string
}

// Folder is a folder; Parent is folders/NUMBER or organizations/NUMBER.
type Folder struct {
	ID, DisplayName, Parent string
	// Deleted is a folder whose deletion has been requested.
	Deleted bool
	Policy  Policy
}

// Project is a project; Parent is as for a Folder.
type Project struct {
	ID, Number, DisplayName, Parent string
	Labels                          map[string]string
	// Deleted is a project whose deletion has been requested.
	Deleted bool
	Policy  Policy
}

// Bucket is a bucket of the project with that id.
type Bucket struct{ Name, Project string }

// Person is an account of the organization's domain.
type Person struct {
	Name  string `json:"name"`
	Email string `json:"email"`
	// Subject is the stable id as IAP states it, accounts.google.com:….
	Subject string `json:"subject"`
	// Can says in a sentence what they can do.
	Can string `json:"can"`
}

// Group is a Google group. Members are addresses of people and of groups.
type Group struct {
	Email, Name string
	Members     []string
	// External is a group of another customer, which the Directory API hides.
	External bool
	// WhoCanJoin and AllowExternalMembers are settings of the group; empty is
	// INVITED_CAN_JOIN.
	WhoCanJoin           string
	AllowExternalMembers bool
}

// node is a resource that has an allow policy.
type node struct {
	// name is the path that people and APIs use, projects/ID.
	name   string
	parent *node
	// listed is the parent that the inventory shows, and first the one at the start.
	listed, first *node
	service, kind string
	// attribute is resource.name in conditions; empty is the full resource name.
	attribute string
	project   *Project
	folder    *Folder
	// leaving is of a folder: its deletion has been requested.
	leaving   bool
	policy    Policy
	original  Policy
	inventory Policy
}

// full is the full resource name.
func (n *node) full() string { return "//" + n.service + "/" + n.name }

const resourceManager = "cloudresourcemanager.googleapis.com"

// build makes the nodes of the organization.
func (c *Cloud) build() error {
	o := &c.organization
	c.nodes = map[string]*node{}
	c.indexRoles()
	root := c.add(&node{name: "organizations/" + o.ID, service: resourceManager, kind: "Organization"})
	c.store(root, o.Policy)
	for i := range o.Folders {
		f := &o.Folders[i]
		parent := c.nodes[f.Parent]
		if parent == nil {
			return fmt.Errorf("folder %s: there is no parent %q (parents come first)", f.ID, f.Parent)
		}
		c.store(c.add(&node{name: "folders/" + f.ID, parent: parent, service: resourceManager, kind: "Folder", folder: f, leaving: f.Deleted}), f.Policy)
	}
	for i := range o.Projects {
		p := &o.Projects[i]
		parent := c.nodes[p.Parent]
		if parent == nil {
			return fmt.Errorf("project %s: there is no parent %q", p.ID, p.Parent)
		}
		c.store(c.add(&node{name: "projects/" + p.ID, parent: parent, service: resourceManager, kind: "Project", project: p}), p.Policy)
	}
	home := c.nodes["projects/"+o.ServiceProject]
	if home == nil {
		return fmt.Errorf("there is no service project %q", o.ServiceProject)
	}
	c.projectNumber = home.project.Number
	if !isServiceAccount(o.ServiceAccount) {
		return fmt.Errorf("%q is not a service account", o.ServiceAccount)
	}
	account := c.add(&node{name: home.name + "/serviceAccounts/" + o.ServiceAccount, parent: home, service: "iam.googleapis.com", kind: "ServiceAccount"})
	c.store(account, o.ServiceAccountPolicy)
	for _, b := range o.Buckets {
		project := c.nodes["projects/"+b.Project]
		if project == nil {
			return fmt.Errorf("bucket %s: there is no project %q", b.Name, b.Project)
		}
		path := "projects/_/buckets/" + b.Name
		c.add(&node{name: path, parent: project, service: "storage.googleapis.com", kind: "Bucket", attribute: path})
	}
	for _, t := range o.Topics {
		topic := c.add(&node{name: home.name + "/topics/" + t, parent: home, service: "pubsub.googleapis.com", kind: "Topic"})
		c.store(topic, Policy{Bindings: []Binding{{Role: "roles/pubsub.publisher", Members: []string{"serviceAccount:" + o.ServiceAccount}}}})
	}
	for _, n := range c.order {
		n.original = n.policy
		n.first, n.listed = n.parent, n.parent
	}
	c.firstGroups, c.firstPeople = o.Groups, o.People
	return nil
}

// listedWithin is within as the inventory shows it.
func (n *node) listedWithin(other *node) bool {
	for n != nil && n != other {
		n = n.listed
	}
	return n != nil
}

func (c *Cloud) add(n *node) *node {
	c.nodes[n.name] = n
	c.order = append(c.order, n)
	return n
}

// node finds a resource by path or full resource name; a project by id or number.
func (c *Cloud) node(name string) *node {
	if rest, ok := strings.CutPrefix(name, "//"); ok {
		_, name, _ = strings.Cut(rest, "/")
	}
	if n := c.nodes[name]; n != nil {
		return n
	}
	if id, ok := strings.CutPrefix(name, "projects/"); ok {
		for _, n := range c.order {
			if n.project != nil && n.project.Number == id {
				return n
			}
		}
	}
	return nil
}

// within is whether n is the scope or lies under it.
func (n *node) within(scope *node) bool {
	for ; n != nil; n = n.parent {
		if n == scope {
			return true
		}
	}
	return false
}

// person finds an account of the organization's domain.
func (c *Cloud) person(email string) *Person {
	for i := range c.organization.People {
		if strings.EqualFold(c.organization.People[i].Email, email) {
			return &c.organization.People[i]
		}
	}
	return nil
}

func (c *Cloud) group(email string) *Group {
	for i := range c.organization.Groups {
		if strings.EqualFold(c.organization.Groups[i].Email, email) {
			return &c.organization.Groups[i]
		}
	}
	return nil
}
