package google

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Options is what a Cloud is made of. The zero value is a believable organization
// at the time of the wall clock.
type Options struct {
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// Random is the source of keys and tokens; nil is crypto/rand.
	Random io.Reader
	// Organization is what exists at the start; zero is Believable.
	Organization Organization
	// PageSize is the most items in a page of any list, whatever the caller asks
	// for, so that paging is exercised; 0 is 5.
	PageSize int
	// MetadataScopes are the scopes that the metadata server can give; nil is
	// cloud-platform alone, as on App Engine and on most virtual machines.
	MetadataScopes []string
	// WithoutCredentials lets a call without an Authorization header act as the
	// service account, with every scope. A wrong token is refused all the same.
	WithoutCredentials bool
	// Quotas are enforced from the start; see Documented. Nil is none.
	Quotas []Quota
	// Latency is how long every call of an API takes at least; the metadata server
	// answers at once.
	Latency time.Duration
}

// Cloud is a running Google Cloud. Make one with New. All its methods may be
// called concurrently.
type Cloud struct {
	now                func() time.Time
	random             io.Reader
	pageSize           int
	metadataScopes     []string
	withoutCredentials bool
	conditions         *conditions
	faults             *Faults
	calls              *Calls
	quotas             *Quotas
	latency            time.Duration
	routes             []route
	projectNumber      string

	mu           sync.Mutex
	organization Organization
	nodes        map[string]*node
	roles        map[string]*Role
	order        []*node
	lastEtag     int64
	tokens       map[string]identity
	accountKeys  []signingKey
	iapKeys      []signingKey
	secrets      map[string][][]byte
	parameters   map[string][]byte // by the paths of their versions
	published    map[string][]Message
	revoked      map[string]bool
	reorder      bool
	wholePolicy  bool
	frozen       bool
	firstGroups  []Group
	firstPeople  []Person
	changes      []PolicyChange // oldest first
	lastChange   int
}

// New builds the organization. It fails when the organization contradicts itself.
func New(o Options) (*Cloud, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Random == nil {
		o.Random = rand.Reader
	}
	if o.PageSize == 0 {
		o.PageSize = 5
	}
	if o.MetadataScopes == nil {
		o.MetadataScopes = []string{ScopeCloudPlatform}
	}
	if o.Organization.ID == "" {
		o.Organization = Believable(o.Now())
	}
	conditions, err := newConditions()
	if err != nil {
		return nil, err
	}
	c := &Cloud{
		now: o.Now, random: o.Random, pageSize: o.PageSize, metadataScopes: o.MetadataScopes,
		withoutCredentials: o.WithoutCredentials,
		conditions:         conditions, calls: &Calls{}, organization: o.Organization,
		tokens: map[string]identity{}, secrets: map[string][][]byte{}, parameters: map[string][]byte{}, published: map[string][]Message{}, revoked: map[string]bool{},
	}
	c.faults, c.quotas, c.latency = &Faults{cloud: c}, &Quotas{cloud: c, first: o.Quotas}, o.Latency
	c.quotas.Set(o.Quotas...)
	c.routes = routes()
	if err := c.build(); err != nil {
		return nil, err
	}
	return c, nil
}

// Handler serves the paths of all Google's hosts, the control API under /control/,
// and the metadata server, so that one listener is a whole Google Cloud.
func (c *Cloud) Handler() http.Handler {
	control := http.NewCrossOriginProtection().Handler(c.control())
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/control/") {
			control.ServeHTTP(w, r)
			return
		}
		c.serve(w, r, c.routes)
	})
}

// MetadataHandler serves the metadata server alone.
func (c *Cloud) MetadataHandler() http.Handler {
	only := slices.DeleteFunc(slices.Clone(c.routes), func(r route) bool { return !r.metadata })
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { c.serve(w, r, only) })
}

// Faults makes the cloud misbehave.
func (c *Cloud) Faults() *Faults { return c.faults }

// Quotas refuses what is too much.
func (c *Cloud) Quotas() *Quotas { return c.quotas }

// Calls counts what was called.
func (c *Cloud) Calls() *Calls { return c.calls }

// ServiceAccount is the address of the account that the metadata server gives
// tokens for.
func (c *Cloud) ServiceAccount() string { return c.organization.ServiceAccount }

// ProjectID is the project that the service runs in.
func (c *Cloud) ProjectID() string { return c.organization.ServiceProject }

// ProjectNumber is the number of the project that the service runs in.
func (c *Cloud) ProjectNumber() string {
	return c.projectNumber
}

// OrganizationID is the organization as a path, organizations/NUMBER.
func (c *Cloud) OrganizationID() string { return "organizations/" + c.organization.ID }

// CustomerID is the Cloud Identity customer.
func (c *Cloud) CustomerID() string { return c.organization.CustomerID }

// Region is the region that the metadata server names.
func (c *Cloud) Region() string { return c.organization.Region }

// People are those who can sign in, in the organization's order.
func (c *Cloud) People() []Person {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.organization.People)
}

// Policy is the allow policy of a resource (projects/ID, folders/NUMBER,
// organizations/NUMBER) as indented JSON, with its conditions.
func (c *Cloud) Policy(resource string) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.node(resource)
	if n == nil {
		return nil, fmt.Errorf("there is no %q", resource)
	}
	return encode(n.policy.shown(3), true), nil
}

// SetPolicy replaces the policy of a resource without any check, for setting up.
// The etag is made anew.
func (c *Cloud) SetPolicy(resource string, p Policy) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.node(resource)
	if n == nil {
		return fmt.Errorf("there is no %q", resource)
	}
	c.replace(n, p, "", "")
	return nil
}

// AddSecret adds a version to a secret of the service's project, making the secret
// if there is none, and lets the service account read it. It returns the version's
// path, projects/ID/secrets/NAME/versions/N.
func (c *Cloud) AddSecret(name string, value []byte) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	path := c.readable("/secrets/"+name, "secretmanager.googleapis.com", "Secret", "roles/secretmanager.secretAccessor")
	c.secrets[path] = append(c.secrets[path], bytes.Clone(value))
	return fmt.Sprintf("%s/versions/%d", path, len(c.secrets[path]))
}

// AddParameter adds a version to a parameter of the service's project in the location
// "global", making the parameter if there is none, and lets the service account read it.
// It returns the version's path, projects/ID/locations/global/parameters/NAME/versions/VERSION.
func (c *Cloud) AddParameter(name, version string, value []byte) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	path := c.readable("/locations/global/parameters/"+name, "parametermanager.googleapis.com", "Parameter",
		"roles/parametermanager.parameterViewer") + "/versions/" + version
	c.parameters[path] = bytes.Clone(value)
	return path
}

// readable is the path of something in the service's project, which is made if there is
// none so that the service account has a role on it.
func (c *Cloud) readable(under, service, kind, role string) string {
	project := "projects/" + c.organization.ServiceProject
	path := project + under
	if c.nodes[path] == nil {
		n := c.add(&node{name: path, parent: c.nodes[project], service: service, kind: kind,
			attribute: "projects/" + c.projectNumber + under})
		c.store(n, Policy{Bindings: []Binding{{Role: role, Members: []string{"serviceAccount:" + c.organization.ServiceAccount}}}})
		n.original = n.policy
	}
	return path
}

// encode writes JSON as Google does: without HTML escapes, indented on demand.
func encode(v any, indent bool) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if indent {
		e.SetIndent("", "  ")
	}
	if err := e.Encode(v); err != nil {
		panic(fmt.Sprintf("an answer that JSON cannot carry: %v", err))
	}
	return b.Bytes()
}
