package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"jitaccess/internal/shadow"
)

// older is a JIT Access 1.8 behind Identity-Aware Proxy: the shapes, statuses and order of its JSON
// interface (2.2 and 2.3 of its description), with what it would say of two people of the sandbox.
type older struct {
	mu    sync.Mutex
	calls []string
	// people are by their tokens.
	people   map[string]string
	projects []string
	// roles are by person and project, peers by the id of a role.
	roles map[string][]dict
	peers map[string][]string
	// refuse answers instead.
	refuse func(http.ResponseWriter, *http.Request) bool
}

func entitlement1x(id, kind string) dict {
	return dict{"id": id, "name": id[strings.Index(id, ":")+1:], "resourceCondition": nil, "activationType": kind, "status": "INACTIVE", "validUntil": nil}
}

func newOlder() *older {
	const exports = `resource.name.startsWith("projects/_/buckets/shop-orders-exports/")`
	const instances = `resource.type == "compute.googleapis.com/Instance" && resource.name.extract("instances/{name}") != "vault"`
	with := func(role, condition string) string {
		return project + ":" + role + ":" + base64.StdEncoding.EncodeToString([]byte(condition))
	}
	own := []dict{
		entitlement1x(project+":roles/cloudsql.admin", "JIT"),
		entitlement1x(project+":roles/compute.instanceAdmin.v1", "MPA"),
		entitlement1x(with("roles/compute.osAdminLogin", instances), "MPA"),
		entitlement1x(project+":roles/logging.privateLogViewer", "JIT"),
		entitlement1x(project+":roles/secretmanager.admin", "MPA"),
	}
	o := &older{people: map[string]string{}, projects: []string{project, "shop-frontend-prod"}, roles: map[string][]dict{
		alice + " " + project: append(slices.Clone(own), entitlement1x(with("roles/storage.objectAdmin", exports), "JIT")),
		bob + " " + project:   own,
	}, peers: map[string][]string{}}
	for _, person := range []string{alice, bob} {
		o.roles[person+" shop-frontend-prod"] = []dict{
			entitlement1x("shop-frontend-prod:roles/compute.instanceAdmin.v1", "MPA"), entitlement1x("shop-frontend-prod:roles/logging.privateLogViewer", "JIT"),
			entitlement1x("shop-frontend-prod:roles/run.admin", "MPA"), entitlement1x("shop-frontend-prod:roles/run.developer", "JIT"),
		}
	}
	return o
}

func (o *older) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.calls = append(o.calls, r.Method+" "+r.URL.Path)
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	person, known := o.people[token]
	answer := func(status int, body any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		json.NewEncoder(w).Encode(body)
	}
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	switch {
	case o.refuse != nil && o.refuse(w, r):
	case !known:
		w.Header().Set("X-Goog-IAP-Generated-Response", "true")
		w.WriteHeader(401)
	case r.Header.Get("X-JITACCESS") != "1":
		answer(400, dict{"message": "Missing header X-JITACCESS"})
	case r.URL.Path == "/api/policy":
		answer(200, dict{"justificationHint": "Bug", "signedInUser": dict{"email": person}, "applicationVersion": "1.8.1", "defaultActivationTimeout": 60, "maxActivationTimeout": 120})
	case r.URL.Path == "/api/projects":
		answer(200, dict{"projects": o.projects})
	case len(parts) == 4 && parts[3] == "roles":
		answer(200, dict{"warnings": []string{}, "entitlements": o.roles[person+" "+parts[2]]})
	case len(parts) == 4 && parts[3] == "peers":
		peers, said := o.peers[r.URL.Query().Get("id")]
		if !said {
			peers = []string{map[string]string{alice: bob, bob: alice}[person]}
		}
		users := []dict{}
		for _, p := range peers {
			users = append(users, dict{"email": p})
		}
		answer(200, dict{"peers": users})
	default:
		answer(404, dict{"message": "not found"})
	}
}

// shadowing is a 1.x, and this version beside it.
type shadowing struct {
	*world
	*older
	server *httptest.Server
	args   []string
}

func newShadowing(t *testing.T, edit func(*older)) *shadowing {
	t.Helper()
	s := &shadowing{world: newWorld(t, surroundings{}), older: newOlder()}
	if edit != nil {
		edit(s.older)
	}
	s.server = httptest.NewServer(s.older)
	t.Cleanup(s.server.Close)
	s.args = []string{"shadow", "--there", s.server.URL, "--json", "--token-file", s.token(alice), "--token-file", s.token(bob)}
	s.cloud.Calls().Reset()
	return s
}

// token is a person's token in a file, as the flag takes it.
func (s *shadowing) token(person string) string {
	token := "e30." + base64.RawURLEncoding.EncodeToString([]byte(`{"email":"`+person+`","aud":"client"}`)) + ".c2ln"
	s.people[token] = person
	return person + "=" + s.file(person, token, 0o600)
}

func (s *shadowing) file(name, content string, mode os.FileMode) string {
	s.t.Helper()
	file := filepath.Join(s.t.TempDir(), name)
	if err := os.WriteFile(file, []byte(content+"\n"), mode); err != nil {
		s.t.Fatal(err)
	}
	return file
}

func (s *shadowing) run(args ...string) (code int, report shadow.Report, said string) {
	s.t.Helper()
	var out, faults bytes.Buffer
	code = run(context.Background(), append(slices.Clone(s.args), args...), s.env(nil), &out, &faults)
	if out.Len() > 0 {
		if err := json.Unmarshal(out.Bytes(), &report); err != nil {
			s.t.Fatalf("%v:\n%s", err, out.String())
		}
	}
	s.wroteNothing()
	return code, report, out.String() + faults.String()
}

// wroteNothing: 1.x was asked by GET alone, and Google only what reads.
func (s *shadowing) wroteNothing() {
	s.t.Helper()
	for _, call := range s.calls {
		if !strings.HasPrefix(call, "GET ") {
			s.t.Errorf("1.x was called: %s", call)
		}
	}
	for route, n := range s.cloud.Calls().All() {
		reads := strings.HasPrefix(route, "GET ") || strings.HasSuffix(route, ":getIamPolicy") || strings.HasSuffix(route, ":generateAccessToken")
		if !reads && n > 0 {
			s.t.Errorf("Google was called: %d × %s", n, route)
		}
	}
}

// Where both offer the same, nothing differs; both ways of having this version say so.
func TestShadowWhereNothingDiffers(t *testing.T) {
	s := newShadowing(t, nil)
	code, report, said := s.run()
	if code != exitOK || report.Compared != 4 || report.Roles != 19 || len(report.Differences)+len(report.Unread) > 0 {
		t.Errorf("exit status %d\n%s", code, said)
	}
	if len(report.Lists) != 2 || !strings.Contains(report.Lists[0], "this version alone lists") || strings.Contains(report.Lists[0], project) {
		t.Errorf("lists %q", report.Lists)
	}
	if code, report, said = s.run("--here", s.server.URL); code != exitOK || report.Compared != 4 || len(report.Lists) > 0 {
		t.Errorf("the same twice: exit status %d\n%s", code, said)
	}
	if code, report, said = s.run("--project", project); code != exitOK || report.Compared != 2 {
		t.Errorf("one project: exit status %d\n%s", code, said)
	}
}

// What differs is told by person, project and role.
func TestShadowTellsWhatDiffers(t *testing.T) {
	of := alice + " " + project
	for name, c := range map[string]struct {
		edit func(*older)
		want shadow.Difference
	}{
		"a role that 1.x alone offers": {func(o *older) { o.roles[of] = append(o.roles[of], entitlement1x(project+":roles/owner", "JIT")) },
			shadow.Difference{Role: "roles/owner", Kind: shadow.OnlyThere, There: "JIT"}},
		"a role that only this version offers": {func(o *older) { o.roles[of] = o.roles[of][1:] },
			shadow.Difference{Role: "roles/cloudsql.admin", Kind: shadow.OnlyHere, Here: "JIT"}},
		"one that needs approval on one side": {func(o *older) { o.roles[of] = append(slices.Clone(o.roles[of][1:]), entitlement1x(selfID, "MPA")) },
			shadow.Difference{Role: "roles/cloudsql.admin", Kind: shadow.Otherwise, There: "MPA", Here: "JIT"}},
		"a reviewer more, and one less": {func(o *older) { o.peers[project+":roles/secretmanager.admin"] = []string{"carol@example.com"} },
			shadow.Difference{Role: "roles/secretmanager.admin", Kind: shadow.Others, There: carol, Here: bob}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShadowing(t, c.edit)
			code, report, said := s.run()
			c.want.Person, c.want.Project = alice, project
			mine := slices.DeleteFunc(report.Differences, func(d shadow.Difference) bool { return d.Person != alice })
			if code != exitFailure || !slices.Equal(mine, []shadow.Difference{c.want}) {
				t.Errorf("exit status %d, want %+v\n%s", code, c.want, said)
			}
			s.args = slices.DeleteFunc(s.args, func(a string) bool { return a == "--json" })
			var out bytes.Buffer
			if run(context.Background(), s.args, s.env(nil), &out, &out); !strings.Contains(out.String(), string(c.want.Kind)) || !strings.Contains(out.String(), "Nothing was written.") {
				t.Errorf("the table is\n%s", out.String())
			}
		})
	}
}

// The same condition in the text that each writes is no difference; a role of another project is not
// compared.
func TestShadowReadsWhatIsMeant(t *testing.T) {
	s := newShadowing(t, func(o *older) {
		spaced := base64.StdEncoding.EncodeToString([]byte(`(resource.name.startsWith( 'projects/_/buckets/shop-orders-exports/' ))`))
		roles := o.roles[alice+" "+project]
		roles[len(roles)-1] = entitlement1x(project+":roles/storage.objectAdmin:"+spaced, "JIT")
		o.roles[alice+" "+project] = append(roles, entitlement1x("another-project:roles/owner", "JIT"))
	})
	if code, _, said := s.run(); code != exitOK {
		t.Errorf("exit status %d\n%s", code, said)
	}
}

// What cannot be read is said, with what is missing, and does not hide the rest.
func TestShadowSaysWhatItMayNotRead(t *testing.T) {
	iap := func(status int) func(*older) {
		return func(o *older) {
			o.refuse = func(w http.ResponseWriter, r *http.Request) bool {
				if !strings.HasPrefix(r.URL.Path, "/api/policy") {
					return false
				}
				w.Header().Set("X-Goog-IAP-Generated-Response", "true")
				w.Header().Set("Location", "https://accounts.google.com/")
				w.WriteHeader(status)
				return true
			}
		}
	}
	for name, c := range map[string]struct {
		edit    func(*older)
		revoked string
		want    string
	}{
		"IAP does not let them in": {iap(403), "", "roles/iap.httpsResourceAccessor"},
		"IAP does not take it":     {iap(401), "", "the token is not taken"},
		"IAP asks to sign in":      {iap(302), "", "asks to sign in"},
		"1.x fails": {func(o *older) {
			o.refuse = func(w http.ResponseWriter, r *http.Request) bool {
				w.WriteHeader(403)
				w.Write([]byte(`{"message":"see logs for details"}`))
				return true
			}
		}, "", "403: see logs for details"},
		"1.x answers a page": {func(o *older) {
			o.refuse = func(w http.ResponseWriter, r *http.Request) bool { w.Write([]byte("<html>")); return true }
		}, "", "not JSON"},
		"an id that is none":         {func(o *older) { o.roles[alice+" "+project] = []dict{entitlement1x("nonsense:", "JIT")} }, "", "not the id of a role"},
		"a policy is out of reach":   {nil, "resourcemanager.projects.getIamPolicy", "resourcemanager.projects.getIamPolicy"},
		"the inventory is":           {nil, "cloudasset.assets.analyzeIamPolicy", "cloudasset.assets.analyzeIamPolicy"},
		"the projects are":           {func(o *older) { o.refuse = nil }, "resourcemanager.projects.get", ""},
		"the groups of a person are": {nil, "Groups Reader", "Groups Reader"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShadowing(t, c.edit)
			if c.revoked != "" {
				s.cloud.Faults().RevokePermission(c.revoked)
			}
			code, report, said := s.run()
			if code != exitUsage || !strings.Contains(strings.Join(report.Unread, "\n"), c.want) {
				t.Errorf("exit status %d\n%s", code, said)
			}
		})
	}
}

// A token of another person, one that others may read, and what else is wrong with the command line.
func TestShadowRefuses(t *testing.T) {
	s := newShadowing(t, nil)
	ofBob := strings.TrimPrefix(s.token(bob), bob+"=")
	opaque := s.file("opaque", "opaque-token-of-bob", 0o600)
	s.people["opaque-token-of-bob"] = bob
	there := []string{"shadow", "--there", s.server.URL}
	tokens := []string{"--token-file", s.token(alice)}
	for name, c := range map[string]struct {
		args []string
		why  string
	}{
		"of another person":            {append(there, "--token-file", alice+"="+ofBob), "the token of alice@example.com is one of bob@example.com"},
		"that others may read":         {append(there, "--token-file", alice+"="+s.file("open", "secret-token", 0o644)), "others may read"},
		"that is not there":            {append(there, "--token-file", alice+"=/nonexistent"), "no such file"},
		"of nobody":                    {append(there, "--token-file", "alice="+ofBob), "not PERSON=FILE"},
		"twice":                        {append(append(there, tokens...), tokens...), "has a token already"},
		"with a line break":            {append(there, "--token-file", alice+"="+s.file("two", "a\nb", 0o600)), "spaces or line breaks"},
		"without a person":             {there, "--token-file PERSON=FILE"},
		"without 1.x":                  {append([]string{"shadow"}, tokens...), "set --there"},
		"1.x in clear text":            {append([]string{"shadow", "--there", "http://jit.example.com"}, tokens...), "not the origin"},
		"1.x at a path":                {append([]string{"shadow", "--there", "https://jit.example.com/api"}, tokens...), "not the origin"},
		"this version in clear text":   {append(append(there, tokens...), "--here", "http://jit.example.com"), "not the origin"},
		"a token for what is not used": {append(append(there, tokens...), "--here-token-file", bob+"="+ofBob), "is for --here"},
		"a project that is none":       {append(append(there, tokens...), "--project", "../x"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if code := run(context.Background(), slices.Clone(c.args), s.env(nil), &out, &out); code != exitUsage || !strings.Contains(out.String(), c.why) {
				t.Errorf("exit status %d\n%s", code, out.String())
			}
			if strings.Contains(out.String(), "secret-token") || len(s.calls) > 0 {
				t.Errorf("%s\n%v", out.String(), s.calls)
			}
		})
	}

	// One that does not say whose it is: the service does, and is asked nothing else.
	s.args = append(there, "--json", "--token-file", alice+"="+opaque)
	code, report, said := s.run()
	if code != exitUsage || len(report.Unread) != 1 || !strings.Contains(report.Unread[0], "the token is that of bob@example.com") || !slices.Equal(s.calls, []string{"GET /api/policy"}) {
		t.Errorf("exit status %d, %v\n%s", code, s.calls, said)
	}
}
