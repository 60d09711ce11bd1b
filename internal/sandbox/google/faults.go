package google

import (
	"cmp"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Fault is something that goes wrong with some calls.
type Fault struct {
	// Method is the HTTP method; empty is any.
	Method string `json:"method,omitempty"`
	// Path is the beginning of the request's path, or the whole template of a route
	// as in Calls, such as /v3/projects/{id}:setIamPolicy; empty is every path.
	Path string `json:"path,omitempty"`
	// Times is how many calls are hit; 0 is all until the fault is removed.
	Times int `json:"times,omitempty"`

	// Latency delays the call.
	Latency time.Duration `json:"latency,omitempty"`
	// Hang never answers and applies nothing: it waits until the client goes away.
	Hang bool `json:"hang,omitempty"`
	// Status is answered instead of applying the call, in Google's envelope, with
	// Message or a usual one. If Body is set it is answered as it is, as HTML.
	Status  int    `json:"status,omitempty"`
	Message string `json:"message,omitempty"`
	Body    string `json:"body,omitempty"`
	// Lose applies the call and loses the answer.
	Lose Loss `json:"lose,omitempty"`
}

// Loss is how an answer is lost.
type Loss string

const (
	// LoseByReset closes the connection.
	LoseByReset Loss = "reset"
	// LoseByHang keeps the connection open until the client goes away.
	LoseByHang Loss = "hang"
)

// Faults makes a Cloud misbehave. Its methods may be called at any time.
type Faults struct {
	cloud *Cloud

	mu     sync.Mutex
	active []*armed
	nextID int
}

type armed struct {
	ID int `json:"id"`
	Fault
	hits int
}

// Add arms a fault and returns its id. Of several that fit, the oldest hits.
func (f *Faults) Add(fault Fault) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.nextID++
	f.active = append(f.active, &armed{ID: f.nextID, Fault: fault})
	return f.nextID
}

// Remove disarms one fault.
func (f *Faults) Remove(id int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.active = slices.DeleteFunc(f.active, func(a *armed) bool { return a.ID == id })
}

// Clear disarms all faults.
func (f *Faults) Clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.active = nil
}

// Conflict lets the next writes of a resource's policy (projects/ID, …; empty for
// any project) fail as if somebody else had been faster.
func (f *Faults) Conflict(resource string, times int) int {
	path := "/v3/projects/{id}:setIamPolicy"
	if resource != "" {
		path = "/v3/" + resource + ":setIamPolicy"
	}
	return f.Add(Fault{Method: "POST", Path: path, Times: times, Status: http.StatusConflict, Message: conflict().message})
}

// list copies what is armed.
func (f *Faults) list() []armed {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := []armed{}
	for _, a := range f.active {
		all = append(all, *a)
	}
	return all
}

// take finds the fault that hits a call; zero for none.
func (f *Faults) take(method, path, template string) Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, a := range f.active {
		if (a.Method != "" && a.Method != method) || (!strings.HasPrefix(path, a.Path) && a.Path != template) {
			continue
		}
		if a.hits++; a.hits == a.Times {
			f.active = slices.Delete(f.active, i, i+1)
		}
		return a.Fault
	}
	return Fault{}
}

// before does what happens ahead of the call; false when that was all. It panics
// with http.ErrAbortHandler to close a connection without an answer.
func (f Fault) before(w http.ResponseWriter, r *http.Request, c *Cloud) bool {
	if f.Latency > 0 {
		timer := time.NewTimer(f.Latency)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-r.Context().Done():
			panic(http.ErrAbortHandler)
		}
	}
	if f.Hang {
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	}
	if f.Status == 0 {
		return true
	}
	if f.Body != "" {
		w.Header().Set("Content-Type", "text/html; charset=UTF-8")
		w.WriteHeader(f.Status)
		io.WriteString(w, f.Body)
		return false
	}
	e := failure(f.Status, "%s", cmp.Or(f.Message, usual(f.Status, c.ProjectNumber())))
	if f.Status == http.StatusTooManyRequests {
		e.info = errorInfo("RATE_LIMIT_EXCEEDED", "googleapis.com", map[string]any{"consumer": "projects/" + c.ProjectNumber()})
	}
	respond(w, r, nil, e)
	return false
}

// after does what happens between the call and its answer.
func (f Fault) after(r *http.Request) {
	switch f.Lose {
	case LoseByHang:
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	case LoseByReset:
		panic(http.ErrAbortHandler)
	}
}

// usual is the message that Google most often sends with a status.
func usual(status int, project string) string {
	switch status {
	case http.StatusTooManyRequests:
		return "Quota exceeded for quota metric 'Requests' and limit 'Requests per minute' of service 'googleapis.com' for consumer 'project_number:" + project + "'."
	case http.StatusInternalServerError:
		return "Internal error encountered."
	case http.StatusServiceUnavailable:
		return "The service is currently unavailable."
	case http.StatusGatewayTimeout:
		return "Deadline expired before operation could complete."
	case http.StatusForbidden:
		return "The caller does not have permission"
	case http.StatusConflict:
		return "The operation was aborted."
	}
	return http.StatusText(status)
}

// RotateKeys gives the service account and IAP new keys. The old ones stay
// published, so what they signed still verifies.
func (f *Faults) RotateKeys() error {
	f.cloud.mu.Lock()
	defer f.cloud.mu.Unlock()
	if err := f.cloud.rotateAccountKeys(); err != nil {
		return err
	}
	return f.cloud.rotateIAPKeys()
}

// DropOldKeys withdraws all keys but those that sign now.
func (f *Faults) DropOldKeys() {
	f.cloud.mu.Lock()
	defer f.cloud.mu.Unlock()
	last := func(keys []signingKey) []signingKey { return keys[max(0, len(keys)-1):] }
	f.cloud.accountKeys, f.cloud.iapKeys = last(f.cloud.accountKeys), last(f.cloud.iapKeys)
}

// FreezeInventory keeps Asset Inventory at what it shows now; unfrozen it catches
// up at once.
func (f *Faults) FreezeInventory(frozen bool) {
	c := f.cloud
	c.mu.Lock()
	defer c.mu.Unlock()
	c.frozen = frozen
	if !frozen {
		for _, n := range c.order {
			n.inventory, n.listed = n.policy, n.parent
		}
	}
}

// RevokeTokens has no access token taken any more that was given until now.
func (f *Faults) RevokeTokens() {
	f.cloud.mu.Lock()
	defer f.cloud.mu.Unlock()
	clear(f.cloud.tokens)
}

// MoveProject moves a project, by its id, to a folder or organization. A frozen inventory
// still shows it where it was.
func (f *Faults) MoveProject(id, parent string) error { return f.move("projects/"+id, parent) }

// MoveFolder moves a folder, by its number, as MoveProject does.
func (f *Faults) MoveFolder(number, parent string) error { return f.move("folders/"+number, parent) }

func (f *Faults) move(name, parent string) error {
	c := f.cloud
	c.mu.Lock()
	defer c.mu.Unlock()
	moved, to := c.nodes[name], c.nodes[parent]
	if moved == nil || to == nil || to.project != nil || to.within(moved) {
		return fmt.Errorf("there is no %q, or no folder or organization %q that it can lie in", name, parent)
	}
	if moved.parent = to; !c.frozen {
		moved.listed = to
	}
	return nil
}

// DeleteFolder requests the deletion of a folder, by its number.
func (f *Faults) DeleteFolder(number string) error {
	c := f.cloud
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.nodes["folders/"+number]
	if n == nil {
		return fmt.Errorf("there is no folder %q", number)
	}
	n.leaving = true
	return nil
}

// RevokePermission takes a permission from the service account wherever it has it;
// "Groups Reader" is its Workspace role.
func (f *Faults) RevokePermission(permission string) {
	f.cloud.mu.Lock()
	defer f.cloud.mu.Unlock()
	f.cloud.revoked[permission] = true
}

// RestorePermissions undoes RevokePermission.
func (f *Faults) RestorePermissions() {
	f.cloud.mu.Lock()
	defer f.cloud.mu.Unlock()
	clear(f.cloud.revoked)
}

// RemoveEligibility takes a person out of every conditional binding that grants
// nothing by itself (an eligibility) and out of every group.
func (f *Faults) RemoveEligibility(email string) {
	c := f.cloud
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range c.order {
		c.editMembers(n, func(b Binding, m string) (string, bool) {
			return m, !(b.Condition != nil && strings.Contains(b.Condition.Expression, "has({}.") && strings.EqualFold(m, "user:"+email))
		})
	}
	// The groups of the Organization that was passed in are the caller's.
	c.organization.Groups = slices.Clone(c.organization.Groups)
	for i := range c.organization.Groups {
		g := &c.organization.Groups[i]
		g.Members = slices.DeleteFunc(slices.Clone(g.Members), func(m string) bool { return strings.EqualFold(m, email) })
	}
}

// DeletePerson removes an account. Policies then name it as Google does,
// deleted:user:EMAIL?uid=NUMBER.
func (f *Faults) DeletePerson(email string) {
	c := f.cloud
	c.mu.Lock()
	defer c.mu.Unlock()
	c.organization.People = slices.DeleteFunc(slices.Clone(c.organization.People), func(p Person) bool { return strings.EqualFold(p.Email, email) })
	for _, n := range c.order {
		c.editMembers(n, func(_ Binding, m string) (string, bool) {
			if strings.EqualFold(m, "user:"+email) {
				return "deleted:" + m + "?uid=" + directoryID(email), true
			}
			return m, true
		})
	}
}

// editMembers rewrites or drops members; a policy that stays the same keeps its
// etag, a binding without members is dropped.
func (c *Cloud) editMembers(n *node, edit func(Binding, string) (string, bool)) {
	changed := false
	next := n.policy
	next.Bindings = nil
	for _, b := range n.policy.Bindings {
		var members []string
		for _, m := range b.Members {
			to, keep := edit(b, m)
			changed = changed || !keep || to != m
			if keep {
				members = append(members, to)
			}
		}
		if len(members) > 0 {
			b.Members = members
			next.Bindings = append(next.Bindings, b)
		}
	}
	if changed {
		c.replace(n, next, "", "")
	}
}

// ReorderBindings lets every write join and sort bindings and members, as Google
// may.
func (f *Faults) ReorderBindings(on bool) {
	f.cloud.mu.Lock()
	defer f.cloud.mu.Unlock()
	f.cloud.reorder = on
}

// ReplaceWholePolicy lets a write without updateMask replace the audit
// configuration too, though Google documents that it does not. A careful client
// sends it back and is not hurt.
func (f *Faults) ReplaceWholePolicy(on bool) {
	f.cloud.mu.Lock()
	defer f.cloud.mu.Unlock()
	f.cloud.wholePolicy = on
}

// Reset undoes everything: faults, switches, revoked permissions, counters, what was
// set and used of quotas, and every change of a policy.
func (f *Faults) Reset() {
	f.Clear()
	c := f.cloud
	c.calls.Reset()
	c.quotas.Set(c.quotas.first...)
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.revoked)
	c.reorder, c.wholePolicy, c.frozen = false, false, false
	c.changes = nil
	c.organization.Groups, c.organization.People = c.firstGroups, c.firstPeople
	for _, n := range c.order {
		c.store(n, n.original)
		n.parent, n.listed = n.first, n.first
		n.leaving = n.folder != nil && n.folder.Deleted
	}
}
