package google_test

import (
	"strings"
	"testing"

	crm "google.golang.org/api/cloudresourcemanager/v3"
)

func TestReadModifyWriteKeepsWhatIsForeign(t *testing.T) {
	f := newFixture(t)
	s := resourceManager(t, f.service())
	p := read(t, s, orders)
	if p.Version != 3 || p.Etag == "" || len(p.AuditConfigs) != 1 {
		t.Fatalf("version %d, etag %q, %d audit configurations", p.Version, p.Etag, len(p.AuditConfigs))
	}
	before := len(p.Bindings)
	p.Bindings = append(p.Bindings, &crm.Binding{Role: "roles/logging.viewer", Members: []string{"user:frank@example.com"}})
	p.AuditConfigs = nil
	written, err := s.Projects.SetIamPolicy(orders, &crm.SetIamPolicyRequest{Policy: p}).Do()
	if err != nil {
		t.Fatal(err)
	}
	after := read(t, s, orders)
	if len(after.Bindings) != before+1 || len(after.AuditConfigs) != 1 || after.Etag != written.Etag || after.Etag == p.Etag {
		t.Errorf("bindings %d → %d, audit configurations %d, etags %s %s %s", before, len(after.Bindings), len(after.AuditConfigs), p.Etag, written.Etag, after.Etag)
	}
}

func TestStaleEtagIsAborted(t *testing.T) {
	f := newFixture(t)
	s := resourceManager(t, f.service())
	p := read(t, s, orders)
	if _, err := s.Projects.SetIamPolicy(orders, &crm.SetIamPolicyRequest{Policy: p}).Do(); err != nil {
		t.Fatal(err)
	}
	_, err := s.Projects.SetIamPolicy(orders, &crm.SetIamPolicyRequest{Policy: p}).Do()
	refused(t, err, 409, "concurrent policy changes")
	if !strings.Contains(err.Error(), "aborted") {
		t.Errorf("no reason in %v", err)
	}
}
