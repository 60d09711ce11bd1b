package server_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"

	"jitaccess/internal/access"
)

// docs/openapi.yaml has every route for applications and no other, and what is answered there
// is as it says.
func TestTheInterfaceIsAsItIsDescribed(t *testing.T) {
	text, err := os.ReadFile("../../docs/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var document map[string]any
	if err := yaml.Unmarshal(text, &document); err != nil {
		t.Fatal(err)
	}
	asJSON, err := json.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	resource, err := jsonschema.UnmarshalJSON(bytes.NewReader(asJSON))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	if err := compiler.AddResource("mem:///openapi.json", resource); err != nil {
		t.Fatal(err)
	}
	fits := func(schema string, w *httptest.ResponseRecorder) {
		t.Helper()
		s, err := compiler.Compile("mem:///openapi.json#/components/schemas/" + schema)
		if err != nil {
			t.Fatal(err)
		}
		body, err := jsonschema.UnmarshalJSON(bytes.NewReader(w.Body.Bytes()))
		if err == nil {
			err = s.Validate(body)
		}
		if err != nil {
			t.Errorf("%s: %v\n%s", schema, err, w.Body)
		}
	}
	a := newAsked()
	h, _ := applications(t, a, nil)
	described := map[string]bool{}
	for path, methods := range document["paths"].(map[string]any) {
		for method := range methods.(map[string]any) {
			described[strings.ToUpper(method)+" "+path] = true
		}
	}
	routes(t, h, func(method, route, _ string) {
		if name := method + " " + route; strings.HasPrefix(route, "/v1/") || strings.HasPrefix(route, "/.well-known/") {
			if !described[name] {
				t.Errorf("it lacks %s", name)
			}
			delete(described, name)
		}
	})
	for name := range described {
		t.Errorf("it has %s, which is no route", name)
	}
	p := programOf(t, h)
	made := p.ask(deploy)
	fits("Approval", made)
	id := p.reads(made, 202)["id"].(string)
	fits("Approval", p.send("GET", "/v1/approvals/"+id, "", ""))
	a.becomes(id, access.Active, ben)
	collected := p.send("GET", "/v1/approvals/"+id, "", "")
	fits("Approval", collected)
	form := func(path, token string) *httptest.ResponseRecorder {
		return p.send("POST", path, "application/x-www-form-urlencoded", url.Values{"token": {token}}.Encode())
	}
	fits("Introspection", form("/v1/introspect", p.reads(collected, 200)["access_token"].(string)))
	fits("Introspection", form("/v1/introspect", "x"))
	fits("Problem", p.send("POST", "/v1/introspect", "application/x-www-form-urlencoded", ""))
	fits("Problem", p.ask(`{"x":1}`))
	fits("Metadata", do(h, request("GET", "/.well-known/oauth-authorization-server")))
	fits("KeySet", do(h, request("GET", "/.well-known/jwks.json")))
	a.becomes(id, access.Denied, ben)
	fits("Approval", p.send("POST", "/v1/approvals/"+id+"/withdraw", "", ""))
	p.token = "x"
	fits("Problem", p.ask(deploy))
}

// docs/openapi.yaml names every code by which programs are refused or warned, and no other word.
func TestEveryCodeForProgramsIsDescribed(t *testing.T) {
	text, err := os.ReadFile("../../docs/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var document map[string]any
	if err := yaml.Unmarshal(text, &document); err != nil {
		t.Fatal(err)
	}
	examples := func(schema string, path ...string) (all []string) {
		at := any(document)
		for _, name := range append([]string{"components", "schemas", schema, "properties"}, path...) {
			at = at.(map[string]any)[name]
		}
		for _, code := range at.(map[string]any)["examples"].([]any) {
			all = append(all, code.(string))
		}
		return all
	}
	described := slices.Concat(examples("Problem", "code"), examples("Approval", "warnings", "items", "properties", "code"),
		[]string{"few-reviewers", "nobody-for"}) // which are told as no-approvers
	source := func(file string) string {
		text, err := os.ReadFile("../" + file)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	known := map[string]string{}
	for _, m := range regexp.MustCompile(`(Code[A-Za-z0-9]+) +Code += "([a-z0-9-]+)"`).FindAllStringSubmatch(source("access/error.go"), -1) {
		known[m[1]] = m[2]
	}
	named := regexp.MustCompile(`access\.(Code[A-Za-z0-9]+)`)
	for _, file := range []string{"server/v1.go", "server/v1approvals.go", "server/v1oauth.go", "server/v1wait.go", "server/v1github.go", "bearer/bearer.go",
		"application/application.go", "application/fill.go", "application/provider.go", "broker/application.go", "broker/room.go"} {
		for _, m := range named.FindAllStringSubmatch(source(file), -1) {
			if !slices.Contains(described, known[m[1]]) {
				t.Errorf("%s refuses by %s, which is not described", file, known[m[1]])
			}
		}
	}
	if len(described) < 40 || !slices.Contains(described, "many-waiting") {
		t.Errorf("%q", described)
	}
	for _, code := range described {
		if !slices.Contains(slices.Collect(maps.Values(known)), code) {
			t.Errorf("%s is no code", code)
		}
	}
}
