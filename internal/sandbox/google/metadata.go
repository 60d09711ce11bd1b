package google

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
)

const accountsPath = "/computeMetadata/v1/instance/service-accounts/"

// The metadata server, https://cloud.google.com/compute/docs/metadata.
var metadataRoutes = []route{
	{method: "GET", template: "/", serve: metadata(func(*Cloud, *call) (any, error) { return text("computeMetadata/\n"), nil })},
	{method: "GET", template: "/computeMetadata/v1/", serve: metadata(func(*Cloud, *call) (any, error) {
		return text("instance/\nproject/\n"), nil
	})},
	{method: "GET", template: "/computeMetadata/v1/project/", serve: metadata((*Cloud).metadataProject)},
	{method: "GET", template: "/computeMetadata/v1/project/project-id", serve: metadata(func(c *Cloud, _ *call) (any, error) {
		return text(c.ProjectID()), nil
	})},
	{method: "GET", template: "/computeMetadata/v1/project/numeric-project-id", serve: metadata(func(c *Cloud, _ *call) (any, error) {
		return text(c.ProjectNumber()), nil
	})},
	{method: "GET", template: "/computeMetadata/v1/universe/universe-domain", serve: metadata(func(*Cloud, *call) (any, error) {
		return text("googleapis.com"), nil
	})},
	{method: "GET", template: "/computeMetadata/v1/instance/region", serve: metadata(func(c *Cloud, _ *call) (any, error) {
		return text("projects/" + c.ProjectNumber() + "/regions/" + c.organization.Region), nil
	})},
	{method: "GET", template: accountsPath, serve: metadata((*Cloud).metadataAccounts)},
	{method: "GET", template: accountsPath + "{account}/", serve: metadata(ofAccount((*Cloud).metadataAccount))},
	{method: "GET", template: accountsPath + "{account}/email", serve: metadata(ofAccount(func(c *Cloud, _ *call) (any, error) {
		return text(c.organization.ServiceAccount), nil
	}))},
	{method: "GET", template: accountsPath + "{account}/scopes", serve: metadata(ofAccount(func(c *Cloud, _ *call) (any, error) {
		return text(strings.Join(c.metadataScopes, "\n") + "\n"), nil
	}))},
	{method: "GET", template: accountsPath + "{account}/token", serve: metadata(ofAccount((*Cloud).metadataToken))},
}

func init() {
	for i := range metadataRoutes {
		metadataRoutes[i].metadata = true
	}
}

// metadata demands the header without which the metadata server answers nobody, so
// that a forged link cannot fetch a token. The probe of "/" goes without.
func metadata(serve func(*Cloud, *call) (any, error)) func(*Cloud, *call) (any, error) {
	return func(c *Cloud, k *call) (any, error) {
		if k.URL.Path != "/" && (k.Header.Get("Metadata-Flavor") != "Google" || k.Header.Get("X-Forwarded-For") != "") {
			return nil, failure(http.StatusForbidden, "Missing Metadata-Flavor:Google header.")
		}
		return serve(c, k)
	}
}

func ofAccount(serve func(*Cloud, *call) (any, error)) func(*Cloud, *call) (any, error) {
	return func(c *Cloud, k *call) (any, error) {
		if a := k.vars["account"]; a != "default" && a != c.organization.ServiceAccount {
			return nil, failure(http.StatusNotFound, "Service account not found.")
		}
		return serve(c, k)
	}
}

func (c *Cloud) metadataProject(k *call) (any, error) {
	if k.URL.Query().Get("recursive") != "true" {
		return text("attributes/\nnumeric-project-id\nproject-id\n"), nil
	}
	return map[string]any{"attributes": map[string]any{}, "numericProjectId": json.Number(c.projectNumber), "projectId": c.ProjectID()}, nil
}

// metadataAccounts and metadataAccount are what Google's libraries for Java begin
// with. A recursive answer holds no token.
func (c *Cloud) metadataAccounts(k *call) (any, error) {
	account := c.organization.ServiceAccount
	if k.URL.Query().Get("recursive") != "true" {
		return text("default/\n" + account + "/\n"), nil
	}
	return map[string]any{"default": c.aboutAccount(), account: c.aboutAccount()}, nil
}

func (c *Cloud) metadataAccount(k *call) (any, error) {
	if k.URL.Query().Get("recursive") != "true" {
		return text("aliases\nemail\nscopes\ntoken\n"), nil
	}
	return c.aboutAccount(), nil
}

func (c *Cloud) aboutAccount() map[string]any {
	return map[string]any{"aliases": []string{"default"}, "email": c.organization.ServiceAccount, "scopes": c.metadataScopes}
}

// metadataToken gives a token with the scopes asked for, as far as the metadata
// server has them: the instance's scopes are the most there is.
func (c *Cloud) metadataToken(k *call) (any, error) {
	scopes := c.metadataScopes
	if wanted := k.URL.Query().Get("scopes"); wanted != "" {
		scopes = slices.DeleteFunc(strings.Split(wanted, ","), func(s string) bool { return !slices.Contains(c.metadataScopes, s) })
		if len(scopes) == 0 {
			scopes = c.metadataScopes
		}
	}
	token, err := c.issue(c.organization.ServiceAccount, scopes, tokenLife)
	if err != nil {
		return nil, err
	}
	return map[string]any{"access_token": token, "expires_in": int(tokenLife.Seconds()), "token_type": "Bearer"}, nil
}
