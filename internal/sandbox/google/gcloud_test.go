package google_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/sandbox/google"
)

// TestGcloud reads and edits a policy with Google's own command, which uses
// version 1 of the API. Where it is not installed the output says so.
func TestGcloud(t *testing.T) {
	path, err := exec.LookPath("gcloud")
	if err != nil {
		t.Log("NOT RUN: gcloud is not installed, so nothing from outside shows that the wire format is Google's")
		fmt.Fprintln(os.Stderr, "TestGcloud: NOT RUN, gcloud is not installed")
		return
	}
	f := newFixture(t, func(o *google.Options) { o.Now = time.Now })
	configuration := t.TempDir()
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte(f.metadataToken()), 0o600); err != nil {
		t.Fatal(err)
	}
	gcloud := func(arguments ...string) (string, error) {
		c := exec.CommandContext(t.Context(), path, append(arguments, "--format=json")...)
		c.Env = append(os.Environ(),
			"CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDRESOURCEMANAGER="+f.url+"/",
			"CLOUDSDK_AUTH_ACCESS_TOKEN_FILE="+token, "CLOUDSDK_CONFIG="+configuration,
			"CLOUDSDK_CORE_DISABLE_PROMPTS=1", "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING=1")
		var errors strings.Builder
		c.Stderr = &errors
		out, err := c.Output()
		if err != nil {
			err = fmt.Errorf("%w: %s", err, errors.String())
		}
		return string(out), err
	}

	read := func() google.Policy {
		out, err := gcloud("projects", "get-iam-policy", "shop-orders-prod")
		if err != nil {
			t.Fatal(err)
		}
		var p google.Policy
		if err := json.Unmarshal([]byte(out), &p); err != nil {
			t.Fatalf("%v in %s", err, out)
		}
		return p
	}
	before := read()
	if before.Version != 3 || len(before.AuditConfigs) != 1 {
		t.Fatalf("version %d, %d audit configurations", before.Version, len(before.AuditConfigs))
	}

	add := func(member, condition string) error {
		_, err := gcloud("projects", "add-iam-policy-binding", "shop-orders-prod", "--member="+member, "--role=roles/logging.viewer", "--condition="+condition)
		return err
	}
	if err := add("user:frank@example.com", `title=first week,expression=request.time < timestamp("2030-01-01T00:00:00Z")`); err != nil {
		t.Fatal(err)
	}
	after := read()
	if len(after.Bindings) != len(before.Bindings)+1 || len(after.AuditConfigs) != 1 {
		t.Errorf("%d bindings became %d", len(before.Bindings), len(after.Bindings))
	}
	if !f.Allowed("user:frank@example.com", "roles/logging.viewer", orders, start) {
		t.Error("the binding does not count")
	}

	for rule, refusal := range map[string]struct{ member, condition, words string }{
		"who does not exist": {"user:nobody@example.com", "None", "User nobody@example.com does not exist."},
		"what is not CEL":    {"user:frank@example.com", "title=broken,expression=request.time <", "Invalid condition"},
	} {
		if err := add(refusal.member, refusal.condition); err == nil || !strings.Contains(err.Error(), refusal.words) {
			t.Errorf("%s: got %v, want %q", rule, err, refusal.words)
		}
	}

	out, err := gcloud("projects", "list")
	if err != nil || !strings.Contains(out, "shop-payments-prod") || !strings.Contains(out, "example-jitaccess") {
		t.Errorf("projects list: %v %s", err, out)
	}
}
