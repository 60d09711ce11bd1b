package policy_test

import (
	"slices"
	"strings"
	"testing"

	"jitaccess/internal/policy"
)

const gitHubFile = `version: 1
applications:
  - name: github
    uri: https://github.com/apps/jit
    github: {app_id: 4711, installations: [12345678, 9], private_key: /k.pem, webhook_secret: [/new, projects/p/secrets/s/versions/1]}
    templates:
      - key: production
        type: approve
        name: Production
        title: Deploy {ref}
        data: [{name: environment}, {name: repository}, {name: ref}, {name: sha}]
        approvers: ["user:bob@example.com"]
        max_duration: 1h
`

func TestAGitHubAppOfAFile(t *testing.T) {
	file, faults := policy.ReadFile([]byte(gitHubFile))
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	a := file.Applications[0]
	if g := a.GitHub; g == nil || g.AppID != "4711" || g.API != "https://api.github.com" || !slices.Equal(g.Installations, []int64{12345678, 9}) ||
		g.PrivateKey != "/k.pem" || !slices.Equal(g.WebhookSecrets, []string{"/new", "projects/p/secrets/s/versions/1"}) ||
		len(a.SigningKeys) > 0 || !slices.Equal(a.CallbackHosts, []string{"api.github.com"}) {
		t.Fatalf("%+v, %+v", g, a)
	}
	other, faults := policy.ReadFile([]byte(strings.NewReplacer("4711", "Iv23.abc", "webhook_secret: [/new, projects/p/secrets/s/versions/1]",
		"webhook_secret: /s, api: https://github.acme.example:8443/api/v3/").Replace(gitHubFile)))
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	if g := other.Applications[0].GitHub; g.AppID != "Iv23.abc" || g.API != "https://github.acme.example:8443/api/v3" || !slices.Equal(g.WebhookSecrets, []string{"/s"}) ||
		other.Applications[0].CallbackHosts[0] != "github.acme.example:8443" {
		t.Errorf("%+v", g)
	}
}

func TestWhatIsWrongWithAGitHubApp(t *testing.T) {
	for from, c := range map[string]struct{ to, want string }{
		"app_id: 4711, ":                          {"", `a GitHub App needs the key "app_id"`},
		"app_id: 4711":                            {`app_id: "a b"`, "app_id must be a client id"},
		"installations: [12345678, 9], ":          {"", `a GitHub App needs the key "installations"`},
		"installations: [12345678, 9]":            {"installations: []", "installations must have 1 to 100 entries"},
		"[12345678, 9]":                           {"[acme]", "must be the number of an installation"},
		"private_key: /k.pem, ":                   {"", `a GitHub App needs the key "private_key"`},
		"private_key: /k.pem":                     {"private_key: MIIEpAIBAAKCAQEA", "private_key must be the path of a file"},
		", webhook_secret: [/new, projects":       {", x: [/new, projects", `a GitHub App needs the key "webhook_secret"`},
		"    github:":                             {"    signing_key: /k\n    github:", "has no signing_key: it asks by its webhook alone"},
		"    templates:":                          {"    callback_hosts: [x.example]\n    templates:", "called back at the host of its api alone"},
		"/k.pem, ":                                {"/k.pem, api: http://github.acme.example, ", "api must begin with https://"},
		"{name: sha}":                             {"{name: color}", `GitHub says nothing of "color"`},
		", {name: sha}":                           {"", "must have the data sha"},
		"{name: environment}, ":                   {"", "must have the data environment"},
		"[{name: environment}, {name: repository": {"[{name: repository", "must have the data environment"},
		"        approvers":                       {"        claims: [ticket]\n        approvers", "there are no claims"},
	} {
		text := strings.Replace(gitHubFile, from, c.to, 1)
		_, faults := policy.ReadFile([]byte(text))
		if got := told(faults); c.want != "" && !strings.Contains(got, c.want) || c.want == "" && got != "" {
			t.Errorf("%s → %s: told %q, want %q", from, c.to, got, c.want)
		}
	}
	for _, api := range []string{"https://x@api.github.com", "https://api.github.com?x", "https://api.github.com#x", "ftp://api.github.com", "https:///x"} {
		_, faults := policy.ReadFile([]byte(strings.Replace(gitHubFile, "/k.pem, ", `/k.pem, api: "`+api+`", `, 1)))
		if len(faults) == 0 {
			t.Errorf("%s: no fault", api)
		}
	}
}
