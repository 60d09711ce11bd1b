// Package resourcemanager reads and writes the IAM policies of projects, folders
// and organizations, and finds projects and folders, through the Resource Manager API (v3).
//
// A policy is read and written as the JSON that it is: of what is read into types the
// fields are gone that they do not know, and a policy that is written back without them has
// lost them.
//
// Nothing is granted twice and nothing is called granted that was not written: a
// write whose answer is lost is looked for in the policy before anything else is
// done.
package resourcemanager

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/gcp"
	"jitaccess/internal/gcp/iampolicy"
	"jitaccess/internal/gcp/resourcename"
)

// Time limits. An action has 25 s in all, so one call that hangs must leave time
// for finding out what became of it.
const (
	actionTimeout = 25 * time.Second
	readTimeout   = 5 * time.Second
	writeTimeout  = 8 * time.Second
	// writeReserve is what must be left after a write for reading the policy again.
	writeReserve = 3 * time.Second
)

// maxAnswer bounds what is read of an answer. A full policy is some 300 KB.
const maxAnswer = 8 << 20

// Config is what a Client is made of. HTTP, Endpoint, Now and Sleep are required.
type Config struct {
	// HTTP authenticates the calls. It must not retry them.
	HTTP *http.Client
	// Endpoint is the scheme and host, with or without a slash at the end.
	Endpoint string
	// ServiceAccount is who the calls are made as, for messages.
	ServiceAccount string
	Now            func() time.Time
	// Random returns a number in [0, 1) that spreads retries; nil does not spread.
	Random func() float64
	// Sleep waits, or returns the context's error when that ends first.
	Sleep func(ctx context.Context, d time.Duration) error
}

// Client calls Resource Manager. It is safe for concurrent use.
type Client struct {
	c        Config
	policies readings
}

// New makes a Client. It makes no calls.
func New(c Config) *Client {
	c.Endpoint = strings.TrimRight(c.Endpoint, "/")
	return &Client{c: c}
}

// GetIamPolicy reads the policy of a project, folder or organization with its
// conditions. It retries what may pass. CodeUnknownResource means that there is no
// such resource, or that the service account may not see it; where only the policy
// is out of its reach it is CodeServiceNotAllowed.
//
// A policy that was asked for at the instant since or later, for the same page or
// action, serves again unless we have written to it; to write what was read a moment
// ago is safe, as the etag sees to it. Zero reads it, and for nobody else.
func (c *Client) GetIamPolicy(ctx context.Context, r access.Resource, since time.Time) (*iampolicy.Policy, error) {
	if p := c.policies.since(r, since); p != nil && !since.IsZero() {
		return p, nil
	}
	at, writes := c.c.Now(), c.policies.writes()
	var p *iampolicy.Policy
	err := c.read(ctx, operation{method: "getIamPolicy", resource: r}, func(ctx context.Context) error {
		// Without version 3 the conditions would be hidden
		// (https://cloud.google.com/iam/docs/reference/rest/v1/Policy).
		body := []byte(`{"options":{"requestedPolicyVersion":3}}`)
		// Google indents what it answers unless told otherwise, which doubles a policy
		// (https://cloud.google.com/apis/docs/system-parameters).
		answer, err := c.on(ctx, http.MethodPost, r, ":getIamPolicy?prettyPrint=false", body, nil)
		if err != nil {
			return err
		}
		p, err = c.policies.parse(r, answer)
		return err
	})
	if err != nil {
		return nil, c.explain(ctx, r, err)
	}
	if since.IsZero() {
		at = since
	}
	c.policies.keep(r, p, at, writes)
	return p, nil
}

// Parent is what a project or folder is directly in, as it is now: a folder or an
// organization; empty when it is in none. An organization has none. The error is
// CodeServiceNotAllowed or CodeUnknownResource when the service account may not see it.
func (c *Client) Parent(ctx context.Context, r access.Resource) (access.Resource, error) {
	var found struct {
		Parent string `json:"parent"`
	}
	if r.Kind() == "organizations" {
		return "", nil
	}
	op := operation{method: "get", resource: r}
	err := c.read(ctx, op, func(ctx context.Context) error {
		answer, err := c.on(ctx, http.MethodGet, r, "?fields=parent", nil, http.Header{})
		if err != nil {
			return err
		}
		return json.Unmarshal(answer, &found)
	})
	if err != nil || found.Parent == "" {
		return "", err
	}
	parent, err := resourcename.Parse(found.Parent)
	if err != nil {
		return "", gcp.Nonsense(service, fmt.Sprintf("the parent of %s is %.60q", r, found.Parent))
	}
	return parent, nil
}

// Remembered is the last policy that was read of a resource, by GetIamPolicy with an
// instant, and when it was asked for; nil when that is longer ago than maxAge, when we
// have written to it since, or when it had to make room.
func (c *Client) Remembered(r access.Resource, maxAge time.Duration) (*iampolicy.Policy, time.Time) {
	if p, at := c.policies.last(r); p != nil && c.c.Now().Sub(at) <= maxAge {
		return p, at
	}
	return nil, time.Time{}
}

// explain tells a project that is not there from one whose policy is out of reach,
// as far as anyone can: Google answers 403 for both
// (https://cloud.google.com/resource-manager/docs/core_errors).
func (c *Client) explain(ctx context.Context, r access.Resource, err error) error {
	if e := access.AsError(err); e.Code != access.CodeServiceNotAllowed || r.Kind() != "projects" {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	_, failed := c.on(ctx, http.MethodGet, r, "", nil, nil)
	if status := statusOf(failed); status == http.StatusForbidden || status == http.StatusNotFound {
		return &access.Error{Kind: access.NotFound, Code: access.CodeUnknownResource,
			Args: access.Args{"resource": string(r)}, Err: err}
	}
	return err
}

// SearchProjects finds the active projects that match a query of Resource
// Manager's, all pages, sorted. Empty finds all that the service account may see. The
// error is CodeQueryRefused when Google does not understand the query.
func (c *Client) SearchProjects(ctx context.Context, query string) ([]access.ResourceInfo, error) {
	var found []access.ResourceInfo
	err := c.search(ctx, "projects", query, func(p searched) {
		r, err := access.Project(p.ProjectID)
		if err == nil && (p.State == "" || p.State == active) {
			found = append(found, access.ResourceInfo{Resource: r, Title: access.Visible(p.DisplayName)})
		}
	})
	if e := access.AsError(err); e != nil {
		if e.Code == access.CodeCallRefused && query != "" {
			e.Code, e.Args = access.CodeQueryRefused, access.Args{"query": query, "reason": e.Args["reason"]}
		}
		return nil, e
	}
	slices.SortFunc(found, func(a, b access.ResourceInfo) int { return cmp.Compare(a.Resource, b.Resource) })
	return slices.CompactFunc(found, func(a, b access.ResourceInfo) bool { return a.Resource == b.Resource }), nil
}

// Node is a folder or an organization as Resource Manager describes it.
type Node struct {
	access.ResourceInfo
	// Parent is what it is directly in; empty of an organization.
	Parent access.Resource
	// Leaving: its deletion has been requested.
	Leaving bool
}

// SearchFolders finds all folders that the service account may see, all pages, those too whose
// deletion has been requested. A search may be minutes behind
// (https://cloud.google.com/resource-manager/reference/rest/v3/folders/search).
func (c *Client) SearchFolders(ctx context.Context) (found []Node, err error) {
	err = c.search(ctx, "folders", "", func(f searched) {
		if n, err := f.node(); err == nil {
			found = append(found, n)
		}
	})
	return found, err
}

// Organization reads how an organization is called. The error is as that of Parent.
func (c *Client) Organization(ctx context.Context, r access.Resource) (n Node, err error) {
	var found searched
	err = c.read(ctx, operation{method: "get", resource: r}, func(ctx context.Context) error {
		answer, err := c.on(ctx, http.MethodGet, r, "?fields=name,displayName,state", nil, http.Header{})
		if err != nil {
			return err
		}
		return json.Unmarshal(answer, &found)
	})
	if err != nil {
		return Node{}, err
	}
	if n, err = found.node(); err != nil || n.Resource != r {
		return Node{}, gcp.Nonsense(service, fmt.Sprintf("asked about %s it tells of %.60q", r, found.Name))
	}
	return n, nil
}

// active is the state of what nobody has asked to delete.
const active = "ACTIVE"

// searched is what is read of a project, folder or organization.
type searched struct {
	Name        string `json:"name"`
	ProjectID   string `json:"projectId"`
	DisplayName string `json:"displayName"`
	Parent      string `json:"parent"`
	State       string `json:"state"`
}

// node is a folder or organization.
func (s searched) node() (Node, error) {
	r, err := resourcename.Parse(s.Name)
	if err != nil {
		return Node{}, err
	}
	parent, _ := resourcename.Parse(s.Parent) // one that makes no sense is not known
	return Node{access.ResourceInfo{Resource: r, Title: access.Visible(s.DisplayName)}, parent, s.State != "" && s.State != active}, nil
}

// search reads all pages of what of a kind matches a query.
func (c *Client) search(ctx context.Context, kind, query string, found func(searched)) error {
	op, values := operation{method: "get", kind: kind}, url.Values{"query": {query}, "pageSize": {"1000"}}
	for seen := map[string]bool{}; ; {
		var page struct {
			Projects      []searched `json:"projects"`
			Folders       []searched `json:"folders"`
			NextPageToken string     `json:"nextPageToken"`
		}
		err := c.read(ctx, op, func(ctx context.Context) error {
			answer, err := c.call(ctx, http.MethodGet, "/v3/"+kind+":search?"+values.Encode(), nil, nil)
			if err != nil {
				return err
			}
			return json.Unmarshal(answer, &page)
		})
		if err != nil {
			return err
		}
		for _, s := range append(page.Projects, page.Folders...) {
			found(s)
		}
		token := page.NextPageToken
		if token == "" {
			return nil
		}
		if seen[token] { // a server that goes in circles must not hold us
			return failure(op, c.c.ServiceAccount, errors.New("the same page came twice"))
		}
		seen[token] = true
		values.Set("pageToken", token)
	}
}

// read makes a call that changes nothing, again and again while it fails in a way
// that may pass and there is time; when a quota is spent, as gcp.AskedBack says. The
// error is an *access.Error.
func (c *Client) read(ctx context.Context, op operation, call func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, actionTimeout)
	defer cancel()
	for attempt := 0; ; attempt++ {
		once, cancel := context.WithTimeout(ctx, readTimeout)
		err := call(once)
		cancel()
		if err == nil {
			return nil
		}
		wait, asked := gcp.AskedBack(ctx, err)
		if asked && attempt == 0 && c.c.Sleep(ctx, wait) == nil {
			continue
		}
		if !passing(err) || !c.pause(ctx, attempt, 0) {
			return failure(op, c.c.ServiceAccount, err)
		}
	}
}

// pause waits before the next attempt: 100 ms, doubling up to 2 s, each up to half
// shorter or longer. It returns false at once when less than reserve would then be
// left of ctx, and when ctx ends meanwhile.
func (c *Client) pause(ctx context.Context, attempt int, reserve time.Duration) bool {
	d := min(100*time.Millisecond<<min(attempt, 10), 2*time.Second)
	if c.c.Random != nil {
		d = time.Duration(float64(d) * (0.5 + c.c.Random()))
	}
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= d+reserve {
		return false
	}
	return c.c.Sleep(ctx, d) == nil
}

// on makes one call on a resource, which is checked again here, where it becomes part
// of an address.
func (c *Client) on(ctx context.Context, method string, r access.Resource, custom string, body []byte, header http.Header) ([]byte, error) {
	checked, err := resourcename.Parse(string(r))
	if err != nil {
		return nil, &access.Error{Kind: access.Invalid, Code: access.CodeBadResource,
			Args: access.Args{"resource": fmt.Sprintf("%.60q", string(r))}, Err: err}
	}
	return c.call(ctx, method, "/v3/"+string(checked)+custom, body, header)
}

// call makes one call. An answer that is not 200 is a *gcp.StatusError.
func (c *Client) call(ctx context.Context, method, path string, body []byte, header http.Header) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.c.Endpoint+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if header != nil {
		req.Header = header
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return gcp.Exchange(c.c.HTTP, req, maxAnswer)
}
