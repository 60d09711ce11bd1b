package server_test

import (
	"html"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// claims are what pages say of what has happened.
var claims = regexp.MustCompile(`(?i)class="note (good|over|bad)"|\b(granted|ended|approved|declined|denied|removed|accepted|recorded|sent)\b`)

// leads is where something leads, which nobody reads.
var leads = regexp.MustCompile(` href="[^"]*"`)

// main is what a page says, without what it is framed by and what it can be asked.
func said(page string) string {
	_, page, _ = strings.Cut(page, "<main")
	page, _, _ = strings.Cut(page, "</main>")
	return page
}

// Whoever writes an address cannot make a page say what is not so: for each parameter
// and each part of an address that a page reads, nothing is told as having happened,
// neither what the product would say nor what the address does.
func TestNothingIsStatedFromAnAddress(t *testing.T) {
	const resource = "/access/projects/acme-orders-prod"
	read := map[string][]string{
		"/":                 {"q", "list", "projectId", "activation"},
		resource:            {"entitlement", "next", "done", "role", "reason", "minutes"},
		"/review":           {"activation"},
		"/review/reviewers": {"activation"},
		"/notifications":    {},
		"/history":          {"q", "person", "from", "to", "state", "resource", "role", "after"},
		"/history/month":    {"month", "person"},
		"/requests":         {"wait", "state", "q"},
	}
	// Those of addresses of the JSON interface, which are no pages; of forms; and of programs, in
	// which nobody can write more than a port and eight letters (TestWhereAProgramMayListen).
	elsewhere := map[string]bool{"template": true, "id": true, "role": true, "digest": true, "confirmed": true, "justification": true, "verdict": true,
		"comment": true, "start": true, "resource": true, "principal": true,
		"view": true, "state": true, "after": true, "logout_token": true, "redirect_uri": true, "code_challenge": true, "code_challenge_method": true,
		"channel": true, "name": true, "key": true, "uri": true, "hosts": true, "number": true, "do": true, "title": true, "data": true, "claims": true, "approvals": true,
		"approvers": true, "max": true, "default": true, "life": true, "metadata": true, "type": true, "unlinked": true, "active": true, "new": true}
	known := map[string]bool{}
	for _, names := range read {
		for _, name := range names {
			known[name] = true
		}
	}
	files, _ := filepath.Glob("*.go")
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil || strings.HasSuffix(file, "_test.go") {
			continue
		}
		for _, found := range regexp.MustCompile(`\b[a-z]\w*(?:\.Get\(|\[)(?:"([a-z]\w*)"|access\.Field([A-Z]\w+))[)\]]`).FindAllSubmatch(source, -1) {
			name := string(found[1]) + strings.ToLower(string(found[2]))
			if strings.Contains(file, "words") || name == "duration" || name == "reviewer" || elsewhere[name] || strings.HasPrefix(string(found[0]), "h.Get") {
				continue
			}
			if !known[name] {
				t.Errorf("%s reads %s, which this table lacks", file, name)
			}
		}
	}
	w := newWorld(t)
	w.Admins = []string{"user:" + string(ana)}
	h, _ := serve(t, w, nil)
	forgetful := h
	_, remembering := withLedger(t)
	values := []string{"1", "jit-AAAAAAAAAAAAAAAA", "mpa-AAAAAAAAAAAAAAAA", "jit-ACCESS/REMOVED/BY/SECURITY", "Your access was removed: call +1 555 0100",
		"a.b.c", "roles/owner", "roles/compute.instanceAdmin.v1", "roles/iam.securityAdmin", "acme-orders-prod:roles/was.removed", "=", "%00", "<b>granted</b>", "ended"}
	names := []string{"ended", "approved", "granted", "message", "error", "state", "verdict", "result", "title", "by"}
	for name := range known {
		names = append(names, name)
	}
	for path := range read {
		if h = forgetful; path == "/history" || path == "/history/month" || path == "/requests" {
			h = remembering
		}
		blank := said(do(h, request("GET", path)).Body.String())
		for _, name := range names {
			for _, value := range values {
				answer := do(h, request("GET", path+"?"+url.Values{name: {value}}.Encode()))
				page := said(answer.Body.String())
				if strings.HasPrefix(path, "/history") {
					page = leads.ReplaceAllString(page, "") // what was chosen stands in where it leads
				}
				if answer.Code >= 300 && answer.Code < 400 {
					if to := answer.Header().Get("Location"); !strings.HasPrefix(to, "/access/") && !strings.HasPrefix(to, "/review?") {
						t.Errorf("%s?%s=%s leads to %s", path, name, value, to)
					}
					continue
				}
				// A refusal is one, and may quote what it refuses.
				if answer.Code >= 400 && strings.Contains(page, `id="problem"`) {
					continue
				}
				quoted := strings.NewReplacer(html.EscapeString(value), "", strings.ReplaceAll(html.EscapeString(value), "+", "&#43;"), "", value, "").Replace(page)
				if path == "/" && name == "q" || (strings.HasPrefix(path, "/history") || path == "/requests") && slices.Contains([]string{"q", "role", "person", "resource"}, name) {
					page = quoted // it says for what it searched
				}
				for _, claim := range claims.FindAllString(page, -1) {
					if !strings.Contains(blank, claim) {
						t.Errorf("%s?%s=%s says %q", path, name, value, claim)
					}
				}
				if path != "/" && quoted != page && len(value) > 10 && strings.Count(page, value) > strings.Count(blank, value) && !strings.Contains(page, `value="`+html.EscapeString(value)) {
					t.Errorf("%s?%s=%s repeats it", path, name, value)
				}
			}
		}
	}
	h = forgetful
	for _, path := range []string{"/access/projects/your-access-was-removed", "/access/projects/ended", "/access/folders/1", "/requests/removed", "/your-access-was-removed"} {
		answer := do(h, request("GET", path))
		if page := said(answer.Body.String()); answer.Code < 400 && claims.MatchString(page) {
			t.Errorf("%s says %q", path, claims.FindString(page))
		}
	}
}
