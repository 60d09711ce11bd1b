package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"jitaccess/internal/outbound"
)

// maxAnswer bounds what is read of an answer. A full policy is some 300 KB.
const maxAnswer = 8 << 20

// reason says in Google's audit log which check made a call.
const reason = "jitaccess conformance "

// answer is what Google said. A status of 0 is no answer, and err says why.
type answer struct {
	status int
	body   []byte
	err    error
}

func (a answer) ok() bool { return a.status == http.StatusOK }

// text is Google's own text of a refusal.
func (a answer) text() string {
	var envelope struct {
		Error struct{ Message, Status string }
	}
	switch err := json.Unmarshal(a.body, &envelope); {
	case a.err != nil:
		return a.err.Error()
	case err != nil || envelope.Error.Message == "":
		return fmt.Sprintf("%.200s", strings.Join(strings.Fields(string(a.body)), " "))
	case envelope.Error.Status == "":
		return envelope.Error.Message
	}
	return envelope.Error.Status + ": " + envelope.Error.Message
}

// said is the answer in one line.
func (a answer) said() string {
	switch {
	case a.status == 0:
		return "no answer: " + a.text()
	case a.ok():
		return "200"
	}
	return fmt.Sprintf("%d %s", a.status, a.text())
}

// saysNothing is an answer that says nothing of what was asked: the call did not get so far.
func (a answer) saysNothing() bool {
	switch a.status {
	case 0, http.StatusUnauthorized, http.StatusForbidden, http.StatusRequestTimeout, http.StatusTooManyRequests:
		return true
	}
	return a.status >= http.StatusInternalServerError || a.organizationPolicy()
}

// organizationPolicy is whether a policy of the organization refuses, and not IAM
// (https://cloud.google.com/resource-manager/docs/organization-policy/restricting-domains).
func (a answer) organizationPolicy() bool {
	return !a.ok() && (a.status == http.StatusPreconditionFailed || a.status == http.StatusBadRequest) &&
		(bytes.Contains(a.body, []byte("constraints/")) || bytes.Contains(a.body, []byte("permitted customer")))
}

// call makes one call for a check. body is nil for a GET. routing says what the call is of, where the
// service is to know before it reads the body.
func (r *run) call(ctx context.Context, client *http.Client, check, at string, body any, routing ...string) answer {
	method, content := http.MethodGet, io.Reader(nil)
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return answer{err: err}
		}
		method, content = http.MethodPost, bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, method, at, content)
	if err != nil {
		return answer{err: err}
	}
	request.Header.Set("X-Goog-Request-Reason", reason+check)
	for _, of := range routing {
		request.Header.Set("X-Goog-Request-Params", of)
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := client.Do(request)
	if err != nil {
		return answer{err: outbound.WithoutAddress(err)}
	}
	defer response.Body.Close()
	text, err := io.ReadAll(outbound.Bound(response.Body, maxAnswer))
	if err != nil {
		return answer{err: err}
	}
	return answer{status: response.StatusCode, body: text}
}

// resource is the address of a project, with a method of Resource Manager's after it.
func (r *run) resource(project, method string) string {
	return r.c.Endpoint("cloudresourcemanager") + "/v3/projects/" + url.PathEscape(project) + method
}

// policy is an allow policy. What is not known of it stays as it was read.
type policy struct {
	rest     map[string]json.RawMessage
	Version  int
	Etag     string
	Bindings []binding
}

type binding struct {
	Role      string   `json:"role"`
	Members   []string `json:"members"`
	Condition *terms   `json:"condition,omitempty"`
	// raw is as it was read; nil of one that is ours.
	raw json.RawMessage
}

// terms are the condition of a binding.
type terms struct {
	Title       string `json:"title,omitempty"`
	Description string `json:"description,omitempty"`
	Expression  string `json:"expression,omitempty"`
}

func (b *binding) UnmarshalJSON(text []byte) error {
	type plain binding
	b.raw = slices.Clone(text)
	return json.Unmarshal(text, (*plain)(b))
}

func (b binding) MarshalJSON() ([]byte, error) {
	type plain binding
	if b.raw != nil {
		return b.raw, nil
	}
	return json.Marshal(plain(b))
}

func (p *policy) UnmarshalJSON(text []byte) error {
	type known policy
	if err := json.Unmarshal(text, (*known)(p)); err != nil {
		return err
	}
	if err := json.Unmarshal(text, &p.rest); err != nil {
		return err
	}
	for _, name := range []string{"version", "etag", "bindings"} {
		delete(p.rest, name)
	}
	return nil
}

func (p policy) MarshalJSON() ([]byte, error) {
	all := map[string]any{"bindings": append([]binding{}, p.Bindings...)}
	for name, value := range p.rest {
		all[name] = value
	}
	if p.Etag != "" {
		all["etag"] = p.Etag
	}
	if p.Version != 0 {
		all["version"] = p.Version
	}
	return json.Marshal(all)
}

// marked is whether a binding was written by a run, this one or an earlier: by its title, if it is for
// nobody for whom no run writes, or because it is for nobody who exists. Where it is tried whether a
// condition is refused, it may have been lost.
func (b binding) marked() bool {
	ofNobody := func(member string) bool { return strings.Contains(member, "/workloadIdentityPools/"+pool+"/subject/") }
	ofPeople := func(member string) bool {
		kind, _, _ := strings.Cut(strings.TrimPrefix(member, "deleted:"), ":")
		return slices.Contains([]string{"user", "group", "domain"}, kind)
	}
	return b.Condition != nil && strings.HasPrefix(b.Condition.Title, mark) && !slices.ContainsFunc(b.Members, ofPeople) ||
		len(b.Members) > 0 && !slices.ContainsFunc(b.Members, func(m string) bool { return !ofNobody(m) })
}

// has is whether a binding gives a role on terms.
func (b binding) has(role string, t *terms) bool {
	return b.Role == role && b.Condition != nil && *b.Condition == *t
}

// key tells bindings apart by what they give to whom, whatever the order of the members.
func (b binding) key() string {
	plain := b
	plain.raw, plain.Members = nil, slices.Compact(slices.Sorted(slices.Values(b.Members)))
	text, _ := json.Marshal(plain)
	return string(text)
}

// kept are the bindings that are of no run.
func (p policy) kept() []binding {
	return slices.DeleteFunc(slices.Clone(p.Bindings), binding.marked)
}

// kept are the bindings of a policy that are not of a run, this one included.
func (r *run) kept(p policy) []binding {
	return slices.DeleteFunc(slices.Clone(p.Bindings), r.wrote)
}

// wrote is whether a binding is one of a run, also one of this run's that lost its condition and did
// not stand before.
func (r *run) wrote(b binding) bool {
	return b.marked() || b.Condition == nil && r.written[b.key()] &&
		!slices.ContainsFunc(r.before.Bindings, func(stood binding) bool { return stood.key() == b.key() })
}

func (p policy) conditional() bool {
	return slices.ContainsFunc(p.kept(), func(b binding) bool { return b.Condition != nil })
}

// members counts every appearance of a member, as IAM does.
func (p policy) members() (n int) {
	for _, b := range p.kept() {
		n += len(b.Members)
	}
	var audited []struct {
		AuditLogConfigs []struct{ ExemptedMembers []string }
	}
	if json.Unmarshal(p.rest["auditConfigs"], &audited) == nil {
		for _, a := range audited {
			for _, l := range a.AuditLogConfigs {
				n += len(l.ExemptedMembers)
			}
		}
	}
	return n
}

// get reads the policy with its conditions.
func (r *run) get(ctx context.Context, check string) (policy, answer) {
	return r.getAs(ctx, check, 3)
}

func (r *run) getAs(ctx context.Context, check string, version int) (p policy, a answer) {
	a = r.call(ctx, r.c.HTTP, check, r.resource(r.c.Project, ":getIamPolicy"),
		map[string]any{"options": map[string]any{"requestedPolicyVersion": version}})
	if a.ok() {
		if err := json.Unmarshal(a.body, &p); err != nil {
			return p, answer{err: fmt.Errorf("the policy cannot be read: %w", err)}
		}
	}
	return p, a
}

// writing is how long a write is waited for.
const writing = 30 * time.Second

// set writes the policy. What has begun is waited for when the run is interrupted: a write that is
// done after the end has looked would be left behind.
func (r *run) set(ctx context.Context, check string, p policy) answer {
	if err := ctx.Err(); err != nil {
		return answer{err: err}
	}
	for _, b := range p.Bindings {
		if bare := b; b.raw == nil {
			bare.Condition = nil
			r.written[bare.key()] = true
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writing)
	defer cancel()
	return r.call(ctx, r.c.HTTP, check, r.resource(r.c.Project, ":setIamPolicy"), map[string]any{"policy": p})
}

// attempts is how often a write is made again that somebody else was faster than.
const attempts = 4

// write replaces what is ours in the policy by some bindings.
func (r *run) write(ctx context.Context, check string, ours ...binding) (a answer) {
	for range attempts {
		var p policy
		if p, a = r.get(ctx, check); !a.ok() {
			return a
		}
		if p.Etag == "" {
			return answer{err: fmt.Errorf("the policy was read without an etag, so that nothing is written")}
		}
		p.Version, p.Bindings = 3, append(r.kept(p), ours...)
		if a = r.set(ctx, check, p); a.status != http.StatusConflict && a.status != http.StatusPreconditionFailed {
			return a
		}
	}
	return a
}

// holds is whether the caller has permissions in the project.
func (r *run) holds(ctx context.Context, check string, permissions ...string) (map[string]bool, answer) {
	a := r.call(ctx, r.c.HTTP, check, r.resource(r.c.Project, ":testIamPermissions"), map[string]any{"permissions": permissions})
	var held struct{ Permissions []string }
	if a.ok() {
		if err := json.Unmarshal(a.body, &held); err != nil {
			return nil, answer{err: err}
		}
	}
	all := map[string]bool{}
	for _, p := range held.Permissions {
		all[p] = true
	}
	return all, a
}
