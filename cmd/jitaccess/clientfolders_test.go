package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// What can be done on a project by command line can be done on a folder that a rule gives out.
func TestAFolderByCommandLine(t *testing.T) {
	origin := startSandboxWith(t, "", nil)
	alices, carols := shell(t), shell(t)
	alices.must("login", origin)
	carols.must("login", origin, "--as", "carol@example.com")
	row := regexp.MustCompile(`(?m)^` + folderData + ` +(roles/\S+) +(at once|others approve) +inactive$`)
	all := alices.must("roles")
	found := row.FindStringSubmatch(all)
	if found == nil || !strings.Contains(all, "\nshop-orders-prod ") || !strings.HasPrefix(all, "ON ") {
		t.Fatalf("the folder is not listed beside projects:\n%s", all)
	}
	if out := alices.must("roles", folderData); !row.MatchString(out) {
		t.Errorf("%s", out)
	}
	if out := alices.must("roles", folderProduction); !strings.Contains(out, "not now") || !strings.Contains(out, "itself is not given out") {
		t.Errorf("%s", out)
	}
	alices.fails(exitRefused, "itself is not given out", "request", folderProduction, "compute.instanceAdmin.v1", "--reason", "INC-82", "--for", "20m")
	alices.fails(exitUsage, "", "roles", "folders/Data")
	alices.fails(exitUsage, "", "roles", "folders/../"+project)

	role := strings.TrimPrefix(found[1], "roles/")
	link := regexp.MustCompile(`(?m)^link +(\S+)$`)
	for _, by := range []string{"number", "link"} {
		out := alices.must("request", folderData, role, "--reason", "INC-82", "--for", "20m", "--from", "carol@example.com")
		id, at := numberIn(t, out), link.FindStringSubmatch(out)
		if at == nil || !strings.Contains(out, found[1]+" on "+folderData+": pending") {
			t.Fatalf("%s", out)
		}
		carols.terminal, carols.typed = true, "y\n"
		if out := carols.must("approve", id); !strings.Contains(out, " on "+folderData+": active") {
			t.Errorf("%s", out)
		}
		if out := alices.must("status", id); !strings.Contains(out, " on "+folderData) {
			t.Errorf("%s", out)
		}
		if out := alices.must("history"); !regexp.MustCompile(id + ` .* ` + folderData + ` `).MatchString(out) {
			t.Errorf("%s", out)
		}
		if by == "link" {
			id = at[1]
		}
		if out := alices.must("end", id); !strings.Contains(out, " on "+folderData+": ended") {
			t.Errorf("by its %s: %s", by, out)
		}
	}
}

// Without a memory the folder is said, or stands in the link.
func TestAFolderByCommandLineWithoutALedger(t *testing.T) {
	policy := filepath.Join(t.TempDir(), "policy.yaml")
	if err := os.WriteFile(policy, []byte("version: 1\nrules: [{name: data, match: {resource: ["+folderData+"]}, terms: {approvals: 1}}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w := newLoginWorld(t, false, map[string]string{"DATABASE_URL": "", "SIGNING_KEY": "", "POLICY": policy})
	alices, carols := shell(t), shell(t)
	alices.browse, carols.browse = w.visitor().lets(alice, nil), w.visitor().lets(carol, nil)
	alices.must("login", w.public)
	carols.must("login", w.public)
	for _, by := range []string{"number", "link"} {
		out := alices.must("request", folderData, dataRole(t, alices.must("roles", folderData)), "--reason", "INC-83", "--from", carol, "--for", "20m")
		id, at := numberIn(t, out), regexp.MustCompile(`(?m)^link +(\S+)$`).FindStringSubmatch(out)[1]
		carols.must("approve", at)
		end := []string{"end", at}
		if by == "number" {
			end = []string{"end", id, "--project", folderData}
			alices.fails(exitUsage, "--project PROJECT", "end", id)
			alices.fails(exitUsage, "", "end", id, "--project", project)
			alices.fails(exitUsage, "", "end", id, "--project", "folders/")
		}
		if out := alices.must(end...); !strings.Contains(out, " on "+folderData+": ended") {
			t.Errorf("by its %s: %s", by, out)
		}
	}
}

func dataRole(t *testing.T, out string) string {
	t.Helper()
	found := regexp.MustCompile(`roles/\S+`).FindString(out)
	if found == "" {
		t.Fatalf("no role in:\n%s", out)
	}
	return found
}

// Somebody is asked about what they were shown: what an application asks for is shown with its data, and where a
// service does not say what it is about nobody is asked, and nothing is sent.
func TestWhatIsApprovedIsShown(t *testing.T) {
	const role = `{"activationId":"mpa-1","projectId":"shop","id":"shop:roles/viewer","name":"roles/viewer","status":"ACTIVATION_PENDING"}`
	for name, c := range map[string]struct {
		shown, remembered string
		status            int
		says              string
	}{
		"roles": {`{"beneficiary":{"email":"alice@example.com"},"entitlements":[` + role + `]}`, `{}`, exitOK, "roles/viewer on shop: pending"},
		"what an application asks for": {`{"beneficiary":{"email":"alice@example.com"},"entitlements":[]}`,
			`{"activationId":"mpa-1","beneficiary":{"email":"alice@example.com"},"state":"pending","asking":{"title":"Deploy v1","data":[{"label":"Cluster","value":"eu"}]}}`,
			exitOK, "data      Cluster: eu"},
		"nothing":               {`{}`, `{}`, exitFailure, "does not say what would be approved"},
		"of nobody":             {`{"entitlements":[` + role + `]}`, `{}`, exitFailure, "does not say what would be approved"},
		"a role of no name":     {`{"beneficiary":{"email":"alice@example.com"},"entitlements":[` + role + `,{}]}`, `{}`, exitFailure, "does not say what would be approved"},
		"remembered by nobody":  {`{}`, `{"activationId":"mpa-1","roles":["roles/viewer"],"resource":"projects/shop"}`, exitFailure, "does not say what"},
		"remembered as nothing": {`{}`, `{"activationId":"mpa-1","beneficiary":{"email":"alice@example.com"}}`, exitFailure, "does not say what"},
	} {
		approved := 0
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			text := c.shown
			switch {
			case r.Method != http.MethodGet:
				approved++
			case r.URL.Path == "/api/policy" && r.Header.Get("Authorization") == "":
				w.Header().Set("WWW-Authenticate", `Sandbox person="bob@example.com"`)
				w.WriteHeader(http.StatusUnauthorized)
			case r.URL.Path == "/api/policy":
				text = `{"signedInUser":{"email":"bob@example.com"}}`
			case r.URL.Path == "/api/requests/mpa-1":
				text = c.remembered
			}
			_, _ = w.Write([]byte(text))
		}))
		p := shell(t)
		p.must("login", s.URL)
		p.terminal, p.typed = true, "y\n"
		code, out, said := p.types("approve", "mpa-1")
		if code != c.status || !strings.Contains(out+said, c.says) || (approved == 1) != (code == exitOK) || strings.Contains(said, "Approve it?") != (code == exitOK) {
			t.Errorf("%s: %d, approved %d: %s%s", name, code, approved, out, said)
		}
		s.Close()
	}
}
