package gcptest

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/gcp/iampolicy"
	"jitaccess/internal/gcp/resourcemanager"
)

// Shop is a project in Folder, which is in Org. Ana and Ben work there.
const (
	Shop   = "projects/shop"
	Folder = "folders/7"
	Org    = "organizations/1"
	Ana    = access.Principal("ana@example.com")
	Ben    = access.Principal("ben@example.com")
)

// Self and Peers are conditions that make people eligible.
const (
	Self  = "has({}.jitAccessConstraint)"
	Peers = "has({}.multiPartyApprovalConstraint)"
)

// Binding is a binding of a policy as JSON; an empty expression is no condition.
func Binding(role, expression string, members ...string) map[string]any {
	b := map[string]any{"role": role, "members": members}
	if expression != "" {
		b["condition"] = map[string]string{"title": "any", "expression": expression}
	}
	return b
}

// ServePolicy answers getIamPolicy from policies by resource; one that is not there may
// not be read. It returns false for any other call.
func ServePolicy(w http.ResponseWriter, r *http.Request, policies map[string][]map[string]any) bool {
	resource, ok := strings.CutSuffix(strings.TrimPrefix(r.URL.Path, "/v3/"), ":getIamPolicy")
	if !ok {
		return false
	}
	if bindings, ok := policies[resource]; ok {
		Answer(w, policyOf(bindings))
	} else {
		Refuse(http.StatusForbidden, "forbidden")(w, r)
	}
	return true
}

func policyOf(bindings []map[string]any) map[string]any {
	return map[string]any{"version": 3, "etag": "e", "bindings": bindings}
}

// Parse is the policy of the bindings.
func Parse(t testing.TB, bindings ...map[string]any) *iampolicy.Policy {
	t.Helper()
	raw, err := json.Marshal(policyOf(bindings))
	if err != nil {
		t.Fatal(err)
	}
	p, err := new(iampolicy.Policy).Reparse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Policies reads policies from g, each time once.
func (g *Google) Policies(now func() time.Time) *resourcemanager.Client {
	return resourcemanager.New(resourcemanager.Config{HTTP: g.Platform.Client, Endpoint: g.Platform.Endpoint("cloudresourcemanager"), Now: now,
		Sleep: func(context.Context, time.Duration) error { return context.DeadlineExceeded }})
}

// Codes are the codes of warnings on one line.
func Codes(warnings []*access.Error) string {
	var found []string
	for _, w := range warnings {
		found = append(found, string(w.Code))
	}
	return strings.Join(found, " ")
}
