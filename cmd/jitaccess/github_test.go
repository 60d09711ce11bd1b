package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/github"
	"jitaccess/internal/github/githubtest"
	"jitaccess/internal/policy"
)

// gitHubPolicy is a policy file with a GitHub App.
func gitHubPolicy(t testing.TB, g *githubtest.GitHub) string {
	t.Helper()
	dir := t.TempDir()
	key, secret, file := filepath.Join(dir, "key.pem"), filepath.Join(dir, "secret"), filepath.Join(dir, "policy.yaml")
	text := fmt.Sprintf(`version: 1
unmatched: marker
people: [["%s", "app:github/mona"], ["%s", "app:github/hubot"]]
applications:
  - name: github
    uri: https://github.com/apps/jit-approvals
    github: {app_id: %s, installations: [%d], private_key: %s, webhook_secret: %s, api: "%s"}
    templates:
      - key: production
        type: approve
        name: Deployment to production
        title: Deploy {ref} of {repository} to {environment}
        data: [{name: environment, label: Environment, pattern: production}, {name: repository, label: Repository, pattern: acme/.*},
          {name: ref, label: Ref}, {name: sha, label: Commit}, {name: run, label: Run}]
        approvers: ["user:%s"]
        max_duration: 2h
        request_life: 4h
`, alice, bob, githubtest.ClientID, githubtest.Installation, key, secret, g.URL, bob)
	for path, content := range map[string]string{key: string(githubtest.Key()), secret: githubtest.Secret + "\n", file: text} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return file
}

func gitHubWorld(t testing.TB) (*world, *githubtest.GitHub) {
	t.Helper()
	g := githubtest.New(t)
	w := newWorld(t, surroundings{environment: map[string]string{"POLICY": gitHubPolicy(t, g), "DATABASE_URL": "sqlite:" + filepath.Join(t.TempDir(), "jitaccess.db"),
		"SIGNING_KEY": crashKey, "K_SERVICE": "", "IAP_AUDIENCE": "/projects/264853019977/locations/europe-west1/services/jitaccess"}})
	g.Now = w.now
	return w, g
}

// delivered is what GitHub is answered. Status is a word, or the number of a refusal.
type delivered struct {
	ID, URL, Code, Detail string
	Status                any
}

// delivers sends a delivery as GitHub does.
func (w *world) delivers(event string, body []byte) (status int, said delivered) {
	w.t.Helper()
	r := w.request("POST", "/v1/github/github", strings.NewReader(string(body)))
	r.Header = githubtest.Header(event, body)
	response, err := client.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusNoContent {
		if err := json.NewDecoder(response.Body).Decode(&said); err != nil {
			w.t.Fatal(err)
		}
	}
	return response.StatusCode, said
}

// A deployment at GitHub waits while people decide, and goes on, or does not.
func TestADeploymentAtGitHub(t *testing.T) {
	w, g := gitHubWorld(t)
	if status, _ := w.delivers("ping", []byte(`{"zen":"Speak like a human."}`)); status != http.StatusNoContent {
		t.Error("ping:", status)
	}
	for run, verdict := range map[string]url.Values{"1": {"verdict": {"approve"}}, "2": {"verdict": {"deny"}, "comment": {"not on a Friday"}}} {
		status, made := w.delivers("deployment_protection_rule", g.Payload(run))
		if status != http.StatusAccepted || made.Status != "pending" || !strings.HasPrefix(made.URL, w.public) {
			t.Fatal(status, made)
		}
		if status, again := w.delivers("deployment_protection_rule", g.Payload(run)); status != http.StatusAccepted || again.ID != made.ID || len(g.Reviews(run)) != 0 {
			t.Error("delivered again:", status, again)
		}
		page := w.page(bob, "/review?activation="+made.ID)
		for _, shown := range []string{"Deploy main of acme/shop to production", "0f3c9e5d1c6bd9e0b1a2c3d4e5f60718293a4b5c", "https://github.com/acme/shop/actions/runs/" + run, "mona", alice} {
			if !strings.Contains(page.body, shown) {
				t.Errorf("the page does not show %q", shown)
			}
		}
		if a := w.form(bob, "/review?activation="+made.ID, verdict); a.status >= 400 {
			t.Fatal(a.status, a.body)
		}
		want := map[string]string{"1": "approved", "2": "rejected"}[run]
		got := g.Reviews(run)
		if len(got) != 1 || got[0].State != want || got[0].Environment != "production" || !strings.Contains(got[0].Comment, w.public+"/requests/"+made.ID) ||
			strings.Contains(got[0].Comment, bob) || strings.Contains(got[0].Comment, "Friday") {
			t.Errorf("run %s: %+v\n%s", run, got, w.log)
		}
	}
	_, made := w.delivers("deployment_protection_rule", g.Payload("3"))
	if a := w.form(alice, "/requests/"+made.ID+"/withdraw", url.Values{}); a.status >= 400 {
		t.Fatal(a.status, a.body)
	}
	if got := g.Reviews("3"); len(got) != 1 || got[0].State != "rejected" || !strings.Contains(got[0].Comment, "Withdrawn") {
		t.Errorf("withdrawn: %+v", got)
	}
}

// Whoever caused a deployment does not approve it, also where they are called otherwise at GitHub.
func TestNobodyApprovesTheirOwnDeployment(t *testing.T) {
	w, g := gitHubWorld(t)
	body := g.Payload("1", func(p map[string]any) { p["sender"] = map[string]any{"login": "hubot"} })
	status, said := w.delivers("deployment_protection_rule", body)
	if status != http.StatusUnprocessableEntity || said.Code != "no-approvers" || len(g.Reviews("1")) != 1 || g.Reviews("1")[0].State != "rejected" {
		t.Error(status, said, g.Reviews("1"))
	}
}

// What cannot be asked for is rejected at once: who waits at GitHub sees nothing else.
func TestADeploymentThatCannotBeAskedFor(t *testing.T) {
	w, g := gitHubWorld(t)
	for run, c := range map[string]struct {
		edit func(map[string]any)
		code string
	}{
		"1": {func(p map[string]any) { p["environment"] = "staging" }, "unknown-template"},
		"2": {func(p map[string]any) { p["sender"] = map[string]any{"login": "stranger"} }, "unlinked-subject"},
		"3": {func(p map[string]any) { p["sender"] = map[string]any{"login": "dependabot[bot]"} }, "unlinked-subject"},
		"4": {func(p map[string]any) { p["deployment"].(map[string]any)["ref"] = "main\nApproved by everybody" }, "unsafe-datum"},
		"5": {func(p map[string]any) { p["deployment"].(map[string]any)["ref"] = "" }, "unknown-template"},
	} {
		environment := "production"
		if run == "1" {
			environment = "staging"
		}
		status, said := w.delivers("deployment_protection_rule", g.Payload(run, c.edit))
		if status < 400 || status >= 500 || said.Code != c.code || said.Detail == "" {
			t.Errorf("%s: %d %+v", c.code, status, said)
		}
		if got := g.Reviews(run); len(got) != 1 || got[0].State != "rejected" || got[0].Environment != environment || !strings.Contains(got[0].Comment, strings.TrimSuffix(said.Detail, ".")[:20]) {
			t.Errorf("%s: %+v, %q", c.code, got, said.Detail)
		}
	}
	calls := g.Calls()
	for name, edit := range map[string]func(map[string]any){
		"another installation": func(p map[string]any) { p["installation"] = map[string]any{"id": 5} },
		"another host":         func(p map[string]any) { p["deployment_callback_url"] = "http://169.254.169.254/" },
	} {
		if status, said := w.delivers("deployment_protection_rule", g.Payload("6", edit)); status != http.StatusBadRequest || said.Code != "bad-input" {
			t.Errorf("%s: %d %+v", name, status, said)
		}
	}
	if more := g.Calls(); len(more) > 0 || len(calls) == 0 {
		t.Errorf("GitHub was called: %v", more)
	}
}

// Nobody but GitHub asks, and a secret of the webhook is no key for tokens.
func TestWhoIsNotGitHub(t *testing.T) {
	w, g := gitHubWorld(t)
	body := g.Payload("1")
	signed := githubtest.Header("deployment_protection_rule", body)
	for name, c := range map[string]struct {
		path   string
		header http.Header
	}{
		"nobody signed":          {"/v1/github/github", http.Header{"X-Github-Event": {"ping"}}},
		"of another body":        {"/v1/github/github", githubtest.Header("deployment_protection_rule", []byte("x"))},
		"no such application":    {"/v1/github/other", signed},
		"a name that nobody has": {"/v1/github/UPPER", signed},
	} {
		r := w.request("POST", c.path, strings.NewReader(string(body)))
		r.Header = c.header
		a := w.send("", r)
		if a.status != http.StatusUnauthorized {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
		if strings.Contains(a.body, githubtest.Secret) || a.header.Get("WWW-Authenticate") != "" {
			t.Errorf("%s: it is told more than it should: %v %s", name, a.header, a.body)
		}
	}
	d := deployer{t, w, w.url}
	if status, _ := d.call("POST", "/v1/approvals", "a", dict{"template": "production"}); status != http.StatusUnauthorized {
		t.Error("a token asks as GitHub:", status)
	}
	if calls := g.Calls(); len(calls) > 0 {
		t.Errorf("GitHub was called: %v", calls)
	}
	large := g.Payload("1", func(p map[string]any) { p["x"] = strings.Repeat("x", 1<<20) })
	if status, said := w.delivers("deployment_protection_rule", large); status != http.StatusRequestEntityTooLarge && status != http.StatusBadRequest {
		t.Error("a mebibyte:", status, said)
	}
	some := g.Payload("9", func(p map[string]any) { p["pull_requests"] = strings.Repeat("x", 200<<10) })
	if status, said := w.delivers("deployment_protection_rule", some); status != http.StatusAccepted {
		t.Error("200 KiB:", status, said)
	}
}

// What GitHub could not be told is told later, by the outbox, and what it never takes is in the
// log with what to do; sent again by hand it is told again.
func TestWhatGitHubCouldNotBeTold(t *testing.T) {
	w, g := gitHubWorld(t)
	_, made := w.delivers("deployment_protection_rule", g.Payload("1"))
	g.Fail(githubtest.Answer{Status: 503}, githubtest.Answer{Status: 503})
	if a := w.form(bob, "/review?activation="+made.ID, url.Values{"verdict": {"approve"}}); a.status >= 400 {
		t.Fatal(a.status, a.body)
	}
	if got := g.Reviews("1"); len(got) != 0 || !strings.Contains(w.log.String(), "not-called-back") || strings.Contains(w.log.String(), "not-published") {
		t.Errorf("%+v\n%s", got, w.log)
	}
	g.Fail()
	w.pass(3 * time.Minute)
	w.delivers("ping", []byte("{}")) // after what changes something a step of the sweep is done, where it is due
	if run := <-g.Taken; run != "1" {
		t.Error("another run:", run)
	}
	if got := g.Reviews("1"); got[0].State != "approved" {
		t.Errorf("%+v", got)
	}

	_, made = w.delivers("deployment_protection_rule", g.Payload("2"))
	g.Fail(githubtest.Answer{Status: 404})
	if a := w.form(bob, "/review?activation="+made.ID, url.Values{"verdict": {"deny"}, "comment": {"no"}}); a.status >= 400 {
		t.Fatal(a.status, a.body)
	}
	if !strings.Contains(w.log.String(), "knows of no run 2 of acme/shop") {
		t.Errorf("it is not in the log:\n%s", w.log)
	}
	if status, again := w.delivers("deployment_protection_rule", g.Payload("2")); status != http.StatusAccepted || again.Status != "denied" || len(g.Reviews("2")) != 1 {
		t.Error("delivered again:", status, again, g.Reviews("2"))
	}
}

// A service for machines alone takes what GitHub sends.
func TestGitHubAtAServiceForMachines(t *testing.T) {
	w, g := gitHubWorld(t)
	w.restart(map[string]string{"SERVE": "machines", "MACHINES_URL": w.url, "PUBLIC_URL": "https://access.example.com"})
	if status, made := w.delivers("deployment_protection_rule", g.Payload("1")); status != http.StatusAccepted || !strings.HasPrefix(made.URL, "https://access.example.com/") {
		t.Error(status, made)
	}
}

// The doctor asks GitHub whether it takes the app for itself, and what the app may do.
func TestDoctorLooksAtGitHub(t *testing.T) {
	w, g := gitHubWorld(t)
	for want, change := range map[string]func(){
		"ok       github: application github, installation 4711: GitHub takes": func() {},
		"installation 4711 of acme lets the app decide nothing":                func() { g.Permit(nil) },
		"installation 4711: GitHub does not take the app for itself":           func() { g.Fail(githubtest.Answer{Status: 401}) },
	} {
		change()
		var out bytes.Buffer
		examine(t.Context(), w.env(nil), recipients{}, w.mail.Roots, &out)
		if !strings.Contains(out.String(), want) {
			t.Errorf("does not say %q:\n%s", want, out.String())
		}
		g.Permit(map[string]string{"deployments": "write"})
	}
}

func TestTheDataOfAPolicyAreWhatGitHubSays(t *testing.T) {
	g := githubtest.New(t)
	body := g.Payload("1")
	d, _, err := github.App{API: g.URL, Installations: []int64{githubtest.Installation}, Secrets: [][]byte{[]byte(githubtest.Secret)}}.Read(
		githubtest.Header("deployment_protection_rule", body), body)
	if err != nil || len(d.Data) != len(policy.GitHubData) {
		t.Fatal(err, d.Data)
	}
	for _, name := range policy.GitHubData {
		if d.Data[name] == "" {
			t.Errorf("GitHub says nothing of %s", name)
		}
	}
}
