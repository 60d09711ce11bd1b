package assetinventory_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/gcp/gcptest"
)

// A search tells what policies say of one person by name, in one call for 30 seconds, and
// nothing of others whom Google finds along with them.
func TestOneSearchFindsWhatAPersonHasByName(t *testing.T) {
	w := newWorld(t)
	grant := func(who string, end time.Time) map[string]any {
		b := binding("roles/run.admin", fmt.Sprintf(`(request.time >= timestamp("2026-03-01T11:30:00Z") && request.time < timestamp(%q))`, end.Format(time.RFC3339)), who)
		b["condition"].(map[string]string)["title"] = "JIT access activation"
		b["condition"].(map[string]string)["description"] = "Self-approved, justification: x [jit-AAAAAAAAAAAAAAAA]"
		return b
	}
	var asked string
	answer := map[string]any{"nextPageToken": "more", "results": []any{
		map[string]any{"resource": "//cloudresourcemanager.googleapis.com/projects/shop", "policy": map[string]any{"bindings": []any{
			grant("user:"+string(ana), w.now.Add(time.Hour)), grant("user:"+string(ben), w.now.Add(time.Hour)),
			binding("roles/bigquery.admin", self, "user:"+string(ana)), binding("roles/storage.admin", peers, "user:"+string(ben)), nil}}},
		map[string]any{"resource": "//cloudresourcemanager.googleapis.com/folders/1", "policy": map[string]any{"bindings": []any{
			binding("roles/bigquery.admin", self, "user:"+string(ana))}}},
		map[string]any{"resource": "//storage.googleapis.com/projects/../x", "policy": map[string]any{"bindings": []any{}}}, nil}}
	w.instead[":searchAllIamPolicies"] = func(rw http.ResponseWriter, r *http.Request) {
		asked = r.URL.Path + " " + r.URL.Query().Get("query") + " " + strings.Join(r.URL.Query()["assetTypes"], " ")
		gcptest.Answer(rw, answer)
	}
	for range 3 {
		found, err := w.catalog.Named(t.Context(), ana)
		if err != nil || len(found.Activations) != 1 || found.Activations[0].Principal != ana || found.Activations[0].RequestID != "jit-AAAAAAAAAAAAAAAA" ||
			len(found.Eligible) != 2 || found.Eligible[0] != (access.EntitlementID{Resource: "folders/1", Role: "roles/bigquery.admin"}) ||
			found.Eligible[1] != (access.EntitlementID{Resource: shop, Role: "roles/bigquery.admin"}) || !found.Part {
			t.Fatalf("%+v, %v", found, err)
		}
	}
	if want := "/v1/" + org + `:searchAllIamPolicies policy:"` + string(ana) + `" cloudresourcemanager.googleapis.com/Project cloudresourcemanager.googleapis.com/Folder ` +
		`cloudresourcemanager.googleapis.com/Organization`; asked != want {
		t.Errorf("asked for %s, want %s", asked, want)
	}
	if n := w.Calls(":searchAllIamPolicies"); n != 1 {
		t.Errorf("%d searches", n)
	}
	w.pass(31 * time.Second)
	w.instead[":searchAllIamPolicies"] = gcptest.Refuse(http.StatusForbidden, "forbidden")
	if _, err := w.catalog.Named(t.Context(), ana); access.AsError(err).Code != access.CodeServiceNotAllowed {
		t.Errorf("refused: %v", err)
	}
}
