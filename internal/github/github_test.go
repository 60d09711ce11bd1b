package github_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/github"
	"jitaccess/internal/github/githubtest"
	"jitaccess/internal/outbound"
)

func appOf(t testing.TB, g *githubtest.GitHub) github.App {
	t.Helper()
	key, err := github.ParseKey(githubtest.Key())
	if err != nil {
		t.Fatal(err)
	}
	return github.App{ID: githubtest.ClientID, API: g.URL, Installations: []int64{githubtest.Installation}, Secrets: [][]byte{[]byte(githubtest.Secret)}, Key: key}
}

func TestADeploymentThatWaits(t *testing.T) {
	g := githubtest.New(t)
	app := appOf(t, g)
	body := g.Payload("7")
	d, asks, err := app.Read(githubtest.Header("deployment_protection_rule", body), body)
	if err != nil || !asks || d.Actor != "mona" || d.Callback != g.Callback("7") || d.Key == "" {
		t.Fatalf("%+v, %v, %v", d, asks, err)
	}
	for name, want := range map[string]string{github.Environment: "production", github.Repository: "acme/shop", github.Ref: "main",
		github.SHA: "0f3c9e5d1c6bd9e0b1a2c3d4e5f60718293a4b5c", github.Event: "push", github.Creator: "mona", github.DeploymentID: "1007",
		github.RunURL: "https://github.com/acme/shop/actions/runs/7"} {
		if d.Data[name] != want {
			t.Errorf("%s is %q, want %q", name, d.Data[name], want)
		}
	}
	// The id of a delivery is not signed, so that a replay could have another.
	header := githubtest.Header("deployment_protection_rule", body)
	header.Set("X-GitHub-Delivery", "another")
	if again, asks, err := app.Read(header, body); err != nil || !asks || again.Key != d.Key {
		t.Errorf("delivered again it is %q, and was %q", again.Key, d.Key)
	}
	for name, edit := range map[string]func(map[string]any){
		"deployment":  func(p map[string]any) { p["deployment"].(map[string]any)["id"] = 5 },
		"environment": func(p map[string]any) { p["environment"] = "staging" },
	} {
		body := g.Payload("7", edit)
		if other, _, err := app.Read(githubtest.Header("deployment_protection_rule", body), body); err != nil || other.Key == d.Key {
			t.Errorf("another %s has the same key, %v", name, err)
		}
	}
	app.Secrets = [][]byte{[]byte("a newer secret of the webhook"), []byte(githubtest.Secret)}
	if _, asks, err := app.Read(githubtest.Header("deployment_protection_rule", body), body); err != nil || !asks {
		t.Errorf("while the secret changes: %v", err)
	}
}

// What GitHub has not signed is nobody's, whatever it says.
func TestWhatIsNotSigned(t *testing.T) {
	g := githubtest.New(t)
	app := appOf(t, g)
	body := g.Payload("7")
	good := githubtest.Header("deployment_protection_rule", body).Get("X-Hub-Signature-256")
	sign := func(secret string) string {
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write(body)
		return "sha256=" + hex.EncodeToString(mac.Sum(nil))
	}
	old := hmac.New(sha1.New, []byte(githubtest.Secret))
	old.Write(body)
	sha1only := "sha1=" + hex.EncodeToString(old.Sum(nil))
	for name, header := range map[string]http.Header{
		"no signature":          {},
		"sha1 alone":            {"X-Hub-Signature": {sha1only}},
		"sha1 in its place":     {"X-Hub-Signature-256": {sha1only}},
		"another secret":        {"X-Hub-Signature-256": {sign("another secret of the webhook")}},
		"no secret":             {"X-Hub-Signature-256": {sign("")}},
		"two signatures":        {"X-Hub-Signature-256": {good, good}},
		"no algorithm":          {"X-Hub-Signature-256": {strings.TrimPrefix(good, "sha256=")}},
		"cut short":             {"X-Hub-Signature-256": {good[:len(good)-2]}},
		"empty":                 {"X-Hub-Signature-256": {"sha256="}},
		"of a body with a byte": {"X-Hub-Signature-256": githubtest.Header("x", append(slices.Clone(body), ' '))["X-Hub-Signature-256"]},
	} {
		for _, event := range []string{"deployment_protection_rule", "ping"} {
			header.Set("X-GitHub-Event", event)
			_, asks, err := app.Read(header, body)
			if e := access.AsError(err); e == nil || e.Kind != access.Unauthenticated || e.Code != access.CodeBadDelivery || asks {
				t.Errorf("%s, %s: %v, %v", name, event, asks, err)
			}
		}
	}
	app.Secrets = nil
	if _, _, err := app.Read(githubtest.Header("ping", body), body); err == nil {
		t.Error("without a secret everything is signed")
	}
}

// What is signed and asks for nothing is taken, and no deployment.
func TestWhatAsksForNothing(t *testing.T) {
	g := githubtest.New(t)
	app := appOf(t, g)
	for name, c := range map[string]struct{ event, body string }{
		"a ping":         {"ping", `{"zen":"Keep it logically awesome."}`},
		"another event":  {"deployment", string(g.Payload("7"))},
		"no event":       {"", string(g.Payload("7"))},
		"another action": {"deployment_protection_rule", string(g.Payload("7", func(p map[string]any) { p["action"] = "completed" }))},
		"no JSON at all": {"push", "x"},
	} {
		if _, asks, err := app.Read(githubtest.Header(c.event, []byte(c.body)), []byte(c.body)); asks || err != nil {
			t.Errorf("%s: %v, %v", name, asks, err)
		}
	}
}

// What GitHub would not send is refused, though it is signed: the address for the decision gets a
// token.
func TestWhatIsRefusedOfWhatIsSigned(t *testing.T) {
	g := githubtest.New(t)
	app := appOf(t, g)
	host := strings.TrimPrefix(g.URL, "http://")
	set := func(name string, value any) func(map[string]any) { return func(p map[string]any) { p[name] = value } }
	callback := func(to string) func(map[string]any) { return set("deployment_callback_url", to) }
	for name, edit := range map[string]func(map[string]any){
		"an unknown installation": set("installation", map[string]any{"id": 5}),
		"no installation":         set("installation", nil),
		"another host":            callback("https://evil.example/repos/acme/shop/actions/runs/7/deployment_protection_rule"),
		"a host that begins so":   callback(g.URL + ".evil.example/repos/acme/shop/actions/runs/7/deployment_protection_rule"),
		"a user before the host":  callback("http://" + host + "@evil.example/repos/acme/shop/actions/runs/7/deployment_protection_rule"),
		"a user at the host":      callback("http://x@" + host + "/repos/acme/shop/actions/runs/7/deployment_protection_rule"),
		"another port":            callback("http://127.0.0.1:1/repos/acme/shop/actions/runs/7/deployment_protection_rule"),
		"the usual port, spelled": callback("https://api.github.com:443/repos/acme/shop/actions/runs/7/deployment_protection_rule"),
		"no TLS":                  callback("http://api.github.com/repos/acme/shop/actions/runs/7/deployment_protection_rule"),
		"a query":                 callback(g.Callback("7") + "?x=1"),
		"a fragment":              callback(g.Callback("7") + "#x"),
		"another path":            callback(g.URL + "/repos/acme/shop/actions/runs/7/cancel"),
		"a path that goes up":     callback(g.URL + "/repos/acme/../actions/runs/7/deployment_protection_rule"),
		"no host":                 callback("/repos/acme/shop/actions/runs/7/deployment_protection_rule"),
		"a repository that goes up": func(p map[string]any) {
			p["repository"].(map[string]any)["full_name"] = "acme/.."
			p["deployment_callback_url"] = g.URL + "/repos/acme/../actions/runs/7/deployment_protection_rule"
		},
		"an encoded path":           callback(g.URL + "/repos/acme/shop%2f../actions/runs/7/deployment_protection_rule"),
		"another repository":        callback(g.URL + "/repos/acme/bank/actions/runs/7/deployment_protection_rule"),
		"no run":                    callback(g.URL + "/repos/acme/shop/actions/runs/x/deployment_protection_rule"),
		"no address":                callback(""),
		"the metadata of a machine": callback("http://169.254.169.254/repos/acme/shop/actions/runs/7/deployment_protection_rule"),
		"no deployment":             set("deployment", nil),
		"no environment":            set("environment", ""),
		"nobody":                    set("sender", map[string]any{}),
	} {
		body := g.Payload("7", edit)
		_, asks, err := app.Read(githubtest.Header("deployment_protection_rule", body), body)
		if e := access.AsError(err); e == nil || e.Kind != access.Invalid || asks {
			t.Errorf("%s: %v, %v", name, asks, err)
		}
	}
	for name, text := range map[string]string{"deep": strings.Repeat(`{"action":`, 20000) + "1" + strings.Repeat("}", 20000), "none": "x", "a list": "[]", "cut off": `{"action":"requested"`} {
		if _, asks, err := app.Read(githubtest.Header("deployment_protection_rule", []byte(text)), []byte(text)); err == nil || asks {
			t.Errorf("JSON that is %s: %v", name, asks)
		}
	}
	if calls := g.Calls(); calls != nil {
		t.Errorf("GitHub was called: %v", calls)
	}
}

// server is GitHub's, of a GitHub Enterprise Server too.
func TestTheAddressOfAnEnterpriseServer(t *testing.T) {
	g := githubtest.New(t)
	app := appOf(t, g)
	app.API = "https://github.acme.example/api/v3"
	for to, good := range map[string]bool{
		"https://github.acme.example/api/v3/repos/acme/shop/actions/runs/7/deployment_protection_rule": true,
		"https://github.acme.example/repos/acme/shop/actions/runs/7/deployment_protection_rule":        false,
		"https://api.github.com/repos/acme/shop/actions/runs/7/deployment_protection_rule":             false,
	} {
		body := g.Payload("7", func(p map[string]any) { p["deployment_callback_url"] = to })
		if _, asks, _ := app.Read(githubtest.Header("deployment_protection_rule", body), body); asks != good {
			t.Errorf("%s: %v", to, asks)
		}
	}
}

func TestSecretsOfAnApp(t *testing.T) {
	short, _ := rsa.GenerateKey(rand.Reader, 1024)
	pkcs8 := func() []byte {
		key, _ := github.ParseKey(githubtest.Key())
		encoded, _ := x509.MarshalPKCS8PrivateKey(key)
		return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded})
	}
	for name, c := range map[string]struct {
		text []byte
		good bool
	}{"as GitHub gives it": {githubtest.Key(), true}, "PKCS #8": {pkcs8(), true}, "none": {nil, false}, "a text": {[]byte("key"), false},
		"short":  {pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(short)}), false},
		"broken": {bytes.Replace(githubtest.Key(), []byte("MII"), []byte("MIJ"), 1), false}} {
		if _, err := github.ParseKey(c.text); (err == nil) != c.good {
			t.Errorf("%s: %v", name, err)
		}
	}
	for text, good := range map[string]bool{"": false, "short": false, "   fifteen chars.   ": false, "sixteen letters.\n": true} {
		if _, err := github.ParseSecret([]byte(text)); (err == nil) != good {
			t.Errorf("%q: %v", text, err)
		}
	}
}

var noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// teller tells a GitHub, and clock is the time of both.
func teller(t testing.TB, g *githubtest.GitHub) (github.Teller, *time.Time) {
	clock := noon
	now := func() time.Time { return clock }
	g.Now = now
	return github.Teller{Client: &github.Client{HTTP: outbound.Client("test", nil), Now: now}, Link: func(id string) string { return "https://access.example.com/requests/" + id }}, &clock
}

func decided(g *githubtest.GitHub, run string, state access.State) access.Request {
	return access.Request{ID: "mpa-1", State: state, Window: access.Window{Start: noon, End: noon.Add(time.Hour)},
		Decisions: []access.Decision{{By: "bob@example.com", Verdict: access.Deny, Comment: "not on a Friday"}},
		Asking: access.Asking{Application: "github", Subject: "mona", Callback: g.Callback(run),
			Data: []access.Datum{{Name: "environment", Value: "production"}, {Name: "repository", Value: "acme/shop"}}}}
}

// What is active is approved, and all that never will be is rejected; who, and why, is not for
// everybody who reads the repository.
func TestWhatGitHubIsTold(t *testing.T) {
	g := githubtest.New(t)
	app := appOf(t, g)
	tell, clock := teller(t, g)
	for state, want := range map[access.State]string{access.Active: "approved", access.Denied: "rejected", access.Withdrawn: "rejected", access.Lapsed: "rejected",
		access.Failed: "rejected", access.Ended: "rejected", access.Pending: "", access.Approved: "", access.Scheduled: "", access.Expired: ""} {
		run := map[access.State]string{access.Active: "1", access.Denied: "2", access.Withdrawn: "3", access.Lapsed: "4", access.Failed: "5", access.Ended: "6"}[state]
		if run == "" {
			run = "9"
		}
		if err := tell.Tell(t.Context(), app, decided(g, run, state)); err != nil {
			t.Errorf("%s: %v", state, err)
		}
		got := g.Reviews(run)
		switch {
		case want == "" && got != nil, want != "" && (len(got) != 1 || got[0].State != want || got[0].Environment != "production"):
			t.Errorf("%s: %+v", state, got)
		case want != "" && (!strings.Contains(got[0].Comment, "https://access.example.com/requests/mpa-1") || strings.Contains(got[0].Comment, "bob") ||
			strings.Contains(got[0].Comment, "Friday")):
			t.Errorf("%s: %q", state, got[0].Comment)
		}
	}
	*clock = noon.Add(time.Hour)
	if err := tell.Tell(t.Context(), app, decided(g, "7", access.Active)); err != nil || g.Reviews("7")[0].State != "rejected" {
		t.Errorf("once it is over it is %v, %v", g.Reviews("7"), err)
	}
	if err := tell.Reject(t.Context(), app, g.Callback("8"), "production", "There is no template."); err != nil || g.Reviews("8")[0].State != "rejected" ||
		!strings.Contains(g.Reviews("8")[0].Comment, "There is no template.") {
		t.Errorf("%v, %v", g.Reviews("8"), err)
	}
}

// A token is for one repository and one purpose, is used until shortly before its end, and is
// asked for once more where it is not taken.
func TestTokensOfAnInstallation(t *testing.T) {
	g := githubtest.New(t)
	app := appOf(t, g)
	tell, clock := teller(t, g)
	told := func(run string) []string {
		t.Helper()
		if err := tell.Tell(t.Context(), app, decided(g, run, access.Denied)); err != nil {
			t.Fatal(err)
		}
		return g.Calls()
	}
	if got := told("1"); !slices.Equal(got, []string{"GET /repos/acme/shop/installation", "POST /app/installations/4711/access_tokens",
		"POST /repos/acme/shop/actions/runs/1/deployment_protection_rule"}) {
		t.Errorf("%q", got)
	}
	if got := told("2"); len(got) != 1 {
		t.Errorf("with a token: %q", got)
	}
	*clock = noon.Add(54 * time.Minute)
	if got := told("3"); len(got) != 1 {
		t.Errorf("before its end: %q", got)
	}
	*clock = noon.Add(56 * time.Minute)
	if got := told("4"); len(got) != 3 {
		t.Errorf("shortly before its end: %q", got)
	}
	g.Forget()
	if got := told("5"); len(got) != 4 {
		t.Errorf("taken back: %q", got)
	}
	g.Fail(githubtest.Answer{Status: 401}, githubtest.Answer{}, githubtest.Answer{}, githubtest.Answer{Status: 401})
	if err := tell.Tell(t.Context(), app, decided(g, "6", access.Denied)); !access.AsError(err).MayPass() || len(g.Calls()) != 4 {
		t.Errorf("refused twice: %v", err)
	}
}

// What passes may pass, and what never will says so; each says what to do.
func TestWhatGitHubAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		fail   []githubtest.Answer
		change func(*github.App, *githubtest.GitHub)
		passes bool
		says   string
		told   int
	}{
		"another key": {nil, func(a *github.App, _ *githubtest.GitHub) { a.Key, _ = rsa.GenerateKey(rand.Reader, 2048) }, true, "app_id and private_key", 0},
		"another app": {nil, func(a *github.App, _ *githubtest.GitHub) { a.ID = "1" }, true, "app_id and private_key", 0},
		"no permission": {nil, func(_ *github.App, g *githubtest.GitHub) { g.Permit(map[string]string{"deployments": "read"}) }, true,
			"Deployments, read and write", 0},
		"another installation now": {nil, func(a *github.App, _ *githubtest.GitHub) { a.Installations = []int64{5} }, false, "not among installations", 0},
		"another API now":          {nil, func(a *github.App, _ *githubtest.GitHub) { a.API = "https://api.github.com" }, false, "is not one of api.github.com", 0},
		"403":                      {[]githubtest.Answer{{}, {}, {Status: 403}}, nil, true, "Deployments, read and write", 0},
		"404":                      {[]githubtest.Answer{{}, {}, {Status: 404}}, nil, false, "knows of no run 7 of acme/shop", 0},
		"422":                      {[]githubtest.Answer{{}, {}, {Status: 422}}, nil, false, "decided already", 0},
		"400":                      {[]githubtest.Answer{{}, {}, {Status: 400}}, nil, false, "400", 0},
		"a redirect":               {[]githubtest.Answer{{}, {}, {Status: 307, Header: map[string]string{"Location": "http://169.254.169.254/"}}}, nil, false, "307", 0},
		"500":                      {[]githubtest.Answer{{}, {}, {Status: 500}}, nil, true, "500", 0},
		"502 at once":              {[]githubtest.Answer{{Status: 502}}, nil, true, "502", 0},
		"not installed":            {[]githubtest.Answer{{Status: 404}}, nil, true, "not installed there", 0},
		"an answer that is lost":   {[]githubtest.Answer{{}, {}, {Lost: true}}, nil, true, "cannot be reached", 1},
	} {
		t.Run(name, func(t *testing.T) {
			g := githubtest.New(t)
			app := appOf(t, g)
			tell, _ := teller(t, g)
			if c.change != nil {
				c.change(&app, g)
			}
			g.Fail(c.fail...)
			err := tell.Tell(t.Context(), app, decided(g, "7", access.Denied))
			e := access.AsError(err)
			if e == nil || e.MayPass() != c.passes || e.Code != access.CodeNotCalledBack || !strings.Contains(err.Error(), c.says) || len(g.Reviews("7")) != c.told {
				t.Errorf("%v, told %d", err, len(g.Reviews("7")))
			}
			if c.told == 1 { // and it is told again, as the outbox does
				if err := tell.Tell(t.Context(), app, decided(g, "7", access.Denied)); access.AsError(err).MayPass() || len(g.Reviews("7")) != 1 {
					t.Errorf("told again: %v, %d", err, len(g.Reviews("7")))
				}
			}
		})
	}
}

// GitHub is left alone for as long as it says, and not for ever.
func TestGitHubIsLeftAlone(t *testing.T) {
	for name, c := range map[string]struct {
		answer githubtest.Answer
		pause  time.Duration
	}{
		"429":                   {githubtest.Answer{Status: 429}, time.Minute},
		"429 with Retry-After":  {githubtest.Answer{Status: 429, Header: map[string]string{"Retry-After": "90"}}, 90 * time.Second},
		"403 with Retry-After":  {githubtest.Answer{Status: 403, Header: map[string]string{"Retry-After": "30"}}, 30 * time.Second},
		"for a year":            {githubtest.Answer{Status: 429, Header: map[string]string{"Retry-After": "31536000"}}, time.Hour},
		"until a year from now": {githubtest.Answer{Status: 429, Header: map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1811808000"}}, time.Hour},
		"for less than nothing": {githubtest.Answer{Status: 429, Header: map[string]string{"Retry-After": "-5"}}, time.Second},
		"all of an hour is spent": {githubtest.Answer{Status: 403, Header: map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1780316400"}},
			time.Unix(1780316400, 0).Sub(noon)},
	} {
		t.Run(name, func(t *testing.T) {
			g := githubtest.New(t)
			app := appOf(t, g)
			tell, clock := teller(t, g)
			g.Fail(githubtest.Answer{}, githubtest.Answer{}, c.answer)
			for range 2 {
				if err := tell.Tell(t.Context(), app, decided(g, "7", access.Denied)); !access.AsError(err).MayPass() {
					t.Error(err)
				}
			}
			*clock = noon.Add(c.pause - time.Second)
			err := tell.Tell(t.Context(), app, decided(g, "7", access.Denied))
			if calls := g.Calls(); len(calls) != 3 || c.pause > time.Second && err == nil {
				t.Errorf("called before it may be: %q, %v", calls, err)
			}
			*clock = noon.Add(c.pause)
			if err := tell.Tell(t.Context(), app, decided(g, "7", access.Denied)); err != nil || len(g.Reviews("7")) != 1 {
				t.Errorf("after %v: %v", c.pause, err)
			}
		})
	}
}

// What GitHub answers is bounded, and a redirect takes no token along.
func TestAnAnswerOfGitHubIsBounded(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Write([]byte(`{"id":4711,"x":"` + strings.Repeat("x", 2<<20) + `"}`))
	}))
	t.Cleanup(server.Close)
	g := githubtest.New(t)
	app := appOf(t, g)
	tell, _ := teller(t, g)
	app.API = server.URL
	r := decided(g, "7", access.Denied)
	r.Asking.Callback = server.URL + "/repos/acme/shop/actions/runs/7/deployment_protection_rule"
	if err := tell.Tell(t.Context(), app, r); err == nil || !strings.Contains(err.Error(), "bytes") {
		t.Error(err)
	}
}
