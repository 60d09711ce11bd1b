package gcp_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/gcp"
	"jitaccess/internal/gcp/gcptest"
)

const groupsScope = "https://www.googleapis.com/auth/admin.directory.group.readonly"

// scopeCheckingGoogle refuses the metadata server's token for the Directory and
// exchanges it for one that has the scope.
func scopeCheckingGoogle(t *testing.T, impersonate http.HandlerFunc) *google {
	return startGoogle(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, ":generateAccessToken"):
			impersonate(w, r)
		case r.Header.Get("Authorization") == "Bearer directory-token":
			gcptest.Answer(w, map[string]any{})
		default:
			gcptest.RefuseBecause(403, "insufficientPermissions", "Request had insufficient authentication scopes.",
				map[string]any{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "ACCESS_TOKEN_SCOPE_INSUFFICIENT"})(w, r)
		}
	})
}

func TestDirectoryScopeIsHadByImpersonationWhereTheTokenLacksIt(t *testing.T) {
	gcptest.StartMetadata(t)
	g := scopeCheckingGoogle(t, func(w http.ResponseWriter, r *http.Request) {
		var asked struct{ Scope []string }
		if json.NewDecoder(r.Body).Decode(&asked); !slices.Equal(asked.Scope, []string{groupsScope}) {
			t.Errorf("asked for %q", asked.Scope)
		}
		gcptest.Answer(w, map[string]any{"accessToken": "directory-token", "expireTime": time.Now().Add(time.Hour).UTC().Format(time.RFC3339)})
	})
	p := connect(t, g.URL)
	for range 3 {
		response, err := get(t, p.DirectoryClient, g.URL+"/admin/directory/v1/groups")
		if err != nil || response.StatusCode != 200 {
			t.Fatalf("got %v, %v", response, err)
		}
	}
	if n := g.at("/v1/projects/-/serviceAccounts/jitaccess@jit-access.iam.gserviceaccount.com:generateAccessToken"); n != 1 {
		t.Errorf("%d tokens for three calls, want 1", n)
	}
	if n := g.at("/groups"); n != 4 {
		t.Errorf("%d calls, want 4: only the first is made twice", n)
	}
}

func TestOtherRefusalsAreNotAboutTheScope(t *testing.T) {
	gcptest.StartMetadata(t)
	g := startGoogle(t, func(w http.ResponseWriter, r *http.Request) {
		gcptest.RefuseBecause(403, "forbidden", "Not Authorized to access this resource/api")(w, r)
	})
	p := connect(t, g.URL)
	response, err := get(t, p.DirectoryClient, g.URL+"/admin/directory/v1/groups")
	if err != nil || response.StatusCode != 403 || len(g.requests()) != 1 {
		t.Errorf("got %v, %v after %d calls", response, err, len(g.requests()))
	}
}

func TestImpersonationThatIsRefusedNamesThePermission(t *testing.T) {
	gcptest.StartMetadata(t)
	for name, answer := range map[string]http.HandlerFunc{
		"refused": gcptest.RefuseBecause(403, "forbidden", "denied"),
		"empty":   func(w http.ResponseWriter, r *http.Request) { gcptest.Answer(w, map[string]any{}) },
	} {
		g := scopeCheckingGoogle(t, answer)
		p := connect(t, g.URL)
		_, err := get(t, p.DirectoryClient, g.URL+"/admin/directory/v1/groups")
		e := gcp.Failure(err, gcp.Call{Service: "Directory API"})
		if e == nil {
			t.Fatalf("%s: no error", name)
		}
		if name == "refused" && (e.Code != access.CodeServiceNotAllowed || e.Args["permission"] != "iam.serviceAccounts.getAccessToken") {
			t.Errorf("%s: %v", name, e)
		}
	}
}

func TestMetadataServerWithoutTokens(t *testing.T) {
	for name, answer := range map[string]string{"nothing": "{}", "no JSON": "<html>", "already over": `{"access_token":"x","expires_in":0}`} {
		gcptest.StartMetadata(t).Values["instance/service-accounts/default/token"] = answer
		g := startGoogle(t, func(w http.ResponseWriter, r *http.Request) { t.Error("called without a token") })
		p := connect(t, g.URL)
		_, err := get(t, p.Client, g.URL+"/x")
		if e := gcp.Failure(err, gcp.Call{}); e == nil || e.Kind != access.Unavailable || e.Args["service"] != "metadata server" {
			t.Errorf("%s: %v", name, err)
		}
	}
}
