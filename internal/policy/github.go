package policy

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	"jitaccess/internal/access"
	"jitaccess/internal/application"
	"jitaccess/internal/loopback"
	"jitaccess/internal/policy/document"
)

// GitHub is a GitHub App that asks, without its secrets.
type GitHub struct {
	// AppID is its client id or its number. API is where GitHub's interface begins, without a slash
	// at its end. Installations are those from which it may ask.
	AppID, API    string
	Installations []int64
	// PrivateKey and WebhookSecrets are where those are kept.
	PrivateKey     string
	WebhookSecrets []string
}

// InstallationsText is the installations in one text, the least first; empty where there are none.
func (g GitHub) InstallationsText() string {
	return strings.Join(access.Each(slices.Sorted(slices.Values(g.Installations)),
		func(id int64) string { return strconv.FormatInt(id, 10) }), ", ")
}

// gitHubAPI is where GitHub's interface begins where the file does not say.
const gitHubAPI = "https://api.github.com"

// What is known of a deployment at GitHub, and what of that each template must name, so that
// approvers see it.
var (
	GitHubData   = []string{"environment", "repository", "ref", "sha", "event", "creator", "run", "deployment"}
	gitHubNeeded = GitHubData[:4]
	gitHubChosen = GitHubData[:2]
)

// gitHub reads what an application is that GitHub is.
func (r *reader) gitHub(n *document.Node, a *Application) {
	at := n.Get("github")
	switch {
	case at == nil && n.Get("signing_key") == nil:
		r.faults.Add(n, "an application needs the key \"signing_key\", or \"github\"")
	case at != nil && n.Get("signing_key") != nil:
		r.faults.Add(n.Get("signing_key"), "an application with github has no signing_key: it asks by its webhook alone")
	}
	if at == nil || at.Kind != document.Object {
		return
	}
	g := &GitHub{AppID: textOf(at.Get("app_id")), API: gitHubAPI, PrivateKey: textOf(at.Get("private_key")),
		WebhookSecrets: texts(at.Get("webhook_secret"))}
	a.GitHub = g
	if text := textOf(at.Get("webhook_secret")); text != "" {
		g.WebhookSecrets = []string{text}
	}
	for _, item := range items(at.Get("installations")) {
		if id, err := strconv.ParseInt(textOf(item), 10, 64); err == nil {
			g.Installations = append(g.Installations, id)
		}
	}
	if text := textOf(at.Get("api")); text != "" {
		g.API = strings.TrimSuffix(text, "/")
	}
	u, err := url.Parse(g.API)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && !(u.Scheme == "http" && loopback.Is(u.Hostname())):
		r.faults.Add(at.Get("api"), "api must begin with https:// and a host")
	case len(a.CallbackHosts) > 0:
		r.faults.Add(n.Get("callback_hosts"), "an application with github is called back at the host of its api alone; take callback_hosts out")
	default:
		a.CallbackHosts = []string{application.CallbackHost(u)}
	}
	for _, item := range items(n.Get("templates")) {
		var names []string
		for _, field := range items(item.Get("data")) {
			name := field.Get("name")
			if names = append(names, textOf(name)); textOf(name) != "" && !slices.Contains(GitHubData, textOf(name)) {
				r.faults.Add(name, "GitHub says nothing of %q; data can be %s", textOf(name), strings.Join(GitHubData, ", "))
			}
		}
		for _, needed := range gitHubNeeded {
			if item.Kind == document.Object && !slices.Contains(names, needed) {
				r.faults.Add(item, "a template for GitHub must have the data %s, so that approvers see what is deployed", needed)
			}
		}
		if at := item.Get("claims"); at != nil {
			r.faults.Add(at, "GitHub sends no token, so that there are no claims")
		}
	}
}
