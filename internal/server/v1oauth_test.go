package server_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/server"
)

func TestIntrospectionIsOfNow(t *testing.T) {
	a := newAsked()
	h, _ := applications(t, a, nil)
	p := programOf(t, h)
	form := func(path, token string) answer {
		t.Helper()
		return p.reads(p.send("POST", path, "application/x-www-form-urlencoded", url.Values{"token": {token}, "token_type_hint": {"access_token"}}.Encode()), 200)
	}
	collect := func() (id, token string) {
		a.mu.Lock()
		n := strconv.Itoa(len(a.requests))
		a.mu.Unlock()
		p.token = tokenOf(t, deployKey, claimsOf(a.now(), "t"+n))
		id = p.reads(p.ask(deploy), http.StatusAccepted)["id"].(string)
		a.becomes(id, access.Active, ben)
		return id, p.reads(p.send("GET", "/v1/approvals/"+id, "", ""), 200)["access_token"].(string)
	}
	id, token := collect()
	got := form("/v1/introspect", token)
	for name, want := range map[string]any{"active": true, "iss": "https://access.example.com", "sub": "ana", "aud": "https://deploy.example.com", "client_id": "deployer",
		"scope": "production-deploy", "jti": id, "token_type": "Bearer", "exp": float64(noon.Add(30 * time.Minute).Unix()), "iat": float64(noon.Unix())} {
		if got[name] != want {
			t.Errorf("%s is %v, want %v", name, got[name], want)
		}
	}
	// Ended early it is over at once, whoever ends it; revoked again it is the same.
	for range 2 {
		if got := form("/v1/revoke", token); len(got) != 0 || a.requests[id].State != access.Ended {
			t.Error(got)
		}
	}
	for _, state := range []access.State{access.Ended, access.Expired, access.Failed, access.Pending, access.Approved} {
		a.becomes(id, state, "")
		if got := form("/v1/introspect", token); len(got) != 1 || got["active"] != false {
			t.Error(state, got)
		}
	}
	for _, other := range []string{"", "x", p.token, token + "x", strings.Repeat("a", 9000)} {
		if got := form("/v1/introspect", other); len(got) != 1 || got["active"] != false {
			t.Error(other, got)
		}
		form("/v1/revoke", other)
	}
	_, token = collect()
	a.passes(30 * time.Minute)
	p.token = tokenOf(t, deployKey, claimsOf(a.now(), "9"))
	if got := form("/v1/introspect", token); got["active"] != false {
		t.Error(got)
	}
	// Bad input is told in the words of OAuth as well.
	for _, body := range []string{"", "token=a&token=b", "tokens=a"} {
		for _, path := range []string{"/v1/introspect", "/v1/revoke"} {
			if got := p.refused(p.send("POST", path, "application/x-www-form-urlencoded", body), 400, "bad-input"); got["error"] != "invalid_request" {
				t.Error(got)
			}
		}
	}
	p.refused(p.send("POST", "/v1/introspect", "application/json", `{"token":"a"}`), 415, "media-type")
	p.token = "x"
	if got := p.refused(p.send("POST", "/v1/introspect", "application/x-www-form-urlencoded", "token=a"), 401, "bad-token"); got["error"] != "invalid_client" {
		t.Error(got)
	}
}

// A service for programs alone has no page, and knows nobody.
func TestAServiceForMachines(t *testing.T) {
	a := newAsked()
	h, _ := applications(t, a, func(c *server.Config) {
		c.Machines, c.Identify, c.Applications.MachinesURL = true, nil, "https://machines.example.com"
	})
	p := programOf(t, h)
	made := p.reads(p.ask(deploy), http.StatusAccepted)
	claims := claimsOf(noon, "2")
	claims["aud"] = "machines.example.com"
	p.token = tokenOf(t, deployKey, claims)
	if again := p.reads(p.ask(deploy), http.StatusAccepted); !strings.HasPrefix(again["url"].(string), "https://access.example.com/") {
		t.Error(again)
	}
	a.becomes(made["id"].(string), access.Active, ben)
	got := p.reads(p.send("GET", "/v1/approvals/"+made["id"].(string), "", ""), 200)
	if claims := p.verifies(got["access_token"].(string)); claims["iss"] != "https://machines.example.com" {
		t.Error(claims)
	}
	if w := do(h, httptest.NewRequest("GET", "/health/alive", nil)); w.Code != 200 {
		t.Error(w.Code)
	}
	for _, path := range []string{"/", "/requests", "/access/projects/acme-orders-prod", "/api/policy", "/admin", "/review?activation=x", "/v1/", "/v1/nowhere", "/notifications", "/apps"} {
		r := request("GET", path)
		p.refused(do(h, r), http.StatusNotFound, "not-found")
	}
	p.refused(do(h, request("DELETE", "/v1/approvals")), http.StatusMethodNotAllowed, "method")
}

func TestWhereThingsAre(t *testing.T) {
	h, _ := applications(t, newAsked(), nil)
	p := programOf(t, h)
	got := p.reads(do(h, request("GET", "/.well-known/oauth-authorization-server")), 200)
	for name, want := range map[string]string{"issuer": "https://access.example.com", "jwks_uri": "https://access.example.com/.well-known/jwks.json",
		"introspection_endpoint": "https://access.example.com/v1/introspect", "revocation_endpoint": "https://access.example.com/v1/revoke"} {
		if got[name] != want {
			t.Errorf("%s is %v", name, got[name])
		}
	}
	// Bearer may stand for introspecting and not for revoking: RFC 8414, section 2.
	if methods, _ := got["introspection_endpoint_auth_methods_supported"].([]any); len(methods) != 1 || methods[0] != "Bearer" ||
		got["revocation_endpoint_auth_methods_supported"] != nil {
		t.Errorf("programs authenticate by %v", got)
	}
	for _, path := range []string{"/v1/nowhere", "/v1/approvals/a/b", "/.well-known/nothing"} {
		r := request("GET", path)
		r.Header.Del(personHeader)
		p.refused(do(h, r), 404, "not-found")
	}
	// Without an origin nobody can say for whom a token is.
	h, _ = applications(t, newAsked(), func(c *server.Config) { c.PublicURL = "" })
	p.h = h
	p.refused(p.ask(deploy), http.StatusUnprocessableEntity, "no-public-url")
	p.refused(do(h, request("GET", "/.well-known/oauth-authorization-server")), http.StatusUnprocessableEntity, "no-public-url")
	// Where there are no applications there is none of it.
	h, _ = serve(t, newWorld(t), nil)
	for _, path := range []string{"/v1/approvals/x", "/.well-known/jwks.json"} {
		r := request("GET", path)
		r.Header.Del(personHeader)
		if w := do(h, r); w.Code != http.StatusUnauthorized || w.Header().Get("Content-Type") == "application/problem+json" {
			t.Errorf("%s: %d %s", path, w.Code, w.Header())
		}
	}
}
