package server_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"jitaccess/internal/access"
	"jitaccess/internal/server"
	"jitaccess/internal/server/openapitest"
)

func described(t testing.TB) *openapitest.Document {
	t.Helper()
	d, err := openapitest.Read()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// strayed are answers of all these tests that are not as they are described.
var strayed struct {
	sync.Mutex
	answers []string
	seen    map[string]bool
}

// checked notes an answer that is not as it is described.
func checked(r *http.Request, w *httptest.ResponseRecorder) {
	d, err := openapitest.Read()
	if err != nil {
		return // of which a test tells
	}
	body := w.Body.Bytes()
	stray := d.Check(r.Method, r.URL, w.Code, w.Header(), body)
	strayed.Lock()
	defer strayed.Unlock()
	if o := d.Operation(r.Method, r.URL.EscapedPath()); o != nil && w.Code < 400 {
		if strayed.seen == nil {
			strayed.seen = map[string]bool{}
		}
		strayed.seen[o.String()] = true
	}
	if stray != nil {
		strayed.answers = append(strayed.answers, stray.Error())
	}
}

// asDescribed has every answer of every test be as docs/openapi.yaml says.
type asDescribed struct{ *testing.M }

func (m asDescribed) Run() int {
	code := m.M.Run()
	for i, stray := range strayed.answers {
		if code = 1; i < 10 {
			os.Stderr.WriteString("not as docs/openapi.yaml says: " + stray + "\n")
		}
	}
	return code
}

// everything is a service with all that there can be.
func everything(t testing.TB) http.Handler {
	t.Helper()
	h, _ := applications(t, newAsked(), func(c *server.Config) {
		withLogin(&login{})(c)
		c.AdminPage, c.Apps = true, &server.Apps{}
	})
	return h
}

// docs/openapi.yaml has every route, and no other.
func TestEveryRouteIsDescribed(t *testing.T) {
	d := described(t)
	left := map[string]bool{}
	for _, o := range d.Operations {
		left[strings.Replace(o.String(), "{resource}", "*", 1)] = true
	}
	if len(left) < 80 {
		t.Errorf("only %d are described", len(left))
	}
	routes(t, everything(t), func(method, route, _ string) {
		if name := method + " " + route; !left[name] {
			t.Errorf("docs/openapi.yaml lacks %s", name)
		} else {
			delete(left, name)
		}
	})
	for name := range left {
		t.Errorf("docs/openapi.yaml has %s, which is no route", name)
	}
}

// Who reads the description, signed in or not, gets it whole, and again only when it has changed.
func TestTheDescriptionIsServed(t *testing.T) {
	machines, _ := applications(t, newAsked(), func(c *server.Config) { c.Machines = true })
	for name, h := range map[string]http.Handler{"people": everything(t), "machines": machines} {
		r := httptest.NewRequest("GET", "/api/openapi.json", nil)
		r.Host = "access.example.com"
		w := do(h, r)
		var got map[string]any
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != 200 || got["openapi"] != "3.1.0" || len(got["paths"].(map[string]any)) < 50 {
			t.Errorf("%s: %d, %v, %.100s", name, w.Code, err, w.Body)
		}
		r.Header.Set("If-None-Match", w.Header().Get("ETag"))
		if again := do(h, r); again.Code != http.StatusNotModified || again.Body.Len() > 0 {
			t.Errorf("%s: again it is %d", name, again.Code)
		}
	}
}

// What is in one place of the document is said of all it holds: each operation has a summary and a
// group that there is, each name stands once, and each reference leads somewhere.
func TestTheDescriptionIsWhole(t *testing.T) {
	d := described(t)
	groups, names := map[any]bool{}, map[any]string{}
	for _, tag := range d.Root["tags"].([]any) {
		groups[tag.(map[string]any)["name"]] = true
	}
	for path, item := range d.Root["paths"].(map[string]any) {
		for _, method := range []string{"get", "post"} {
			o, ok := item.(map[string]any)[method].(map[string]any)
			if !ok {
				continue
			}
			tags, _ := o["tags"].([]any)
			if text, _ := o["summary"].(string); text == "" || len(tags) != 1 || !groups[tags[0]] {
				t.Errorf("%s %s has the summary %q and the groups %v", method, path, text, tags)
			}
			if name := o["operationId"]; name != nil && names[name] != "" {
				t.Errorf("%s and %s are both called %s", names[name], path, name)
			} else if name != nil {
				names[name] = path
			}
			if o["responses"].(map[string]any)["default"] == nil {
				t.Errorf("%s %s says nothing of how it refuses", method, path)
			}
		}
	}
	used := map[string]bool{}
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if ref, ok := v["$ref"].(string); ok {
				used[ref] = true
				if at, _ := d.At(strings.TrimPrefix(ref, "#")); at == nil {
					t.Errorf("%s leads nowhere", ref)
				}
			}
			for _, each := range v {
				walk(each)
			}
		case []any:
			for _, each := range v {
				walk(each)
			}
		}
	}
	walk(d.Root)
	for kind, all := range d.Root["components"].(map[string]any) {
		for name := range all.(map[string]any) {
			if ref := "#/components/" + kind + "/" + name; kind != "securitySchemes" && !used[ref] {
				t.Errorf("%s is of no use", ref)
			}
		}
	}
	// A misspelled keyword of a schema would say nothing.
	for name := range d.Root["components"].(map[string]any)["schemas"].(map[string]any) {
		if err := d.Fits(name, []byte(`0`)); err == nil && !slices.Contains([]string{"Minutes"}, name) {
			t.Errorf("%s is anything", name)
		}
	}
}

// What programs are answered is as it is described.
func TestTheInterfaceIsAsItIsDescribed(t *testing.T) {
	d := described(t)
	fits := func(schema string, w *httptest.ResponseRecorder) {
		t.Helper()
		if err := d.Fits(schema, w.Body.Bytes()); err != nil {
			t.Errorf("%s: %v\n%s", schema, err, w.Body)
		}
	}
	a := newAsked()
	h, _ := applications(t, a, nil)
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

func source(t testing.TB, file string) string {
	t.Helper()
	text, err := os.ReadFile("../" + file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// codesIn are the codes that a text declares, by the names of their constants.
func codesIn(text string) map[string]string {
	known := map[string]string{}
	for _, m := range regexp.MustCompile(`(Code[A-Za-z0-9]+) +Code += "([a-z0-9-]+)"`).FindAllStringSubmatch(text, -1) {
		known[m[1]] = m[2]
	}
	return known
}

// examples are those of a schema.
func examples(t testing.TB, pointer string) (all []string) {
	t.Helper()
	at, _ := described(t).At("/components/schemas/" + pointer + "/examples")
	for _, code := range at.([]any) {
		all = append(all, code.(string))
	}
	return all
}

// docs/openapi.yaml names every code by which anybody can be refused, in the order of their
// declaration, and no other word. What says why nobody is eligible refuses nothing.
func TestEveryCodeIsDescribed(t *testing.T) {
	text, _, found := strings.Cut(source(t, "access/error.go"), "// What makes nobody eligible (Ineffective).")
	want := slices.Sorted(maps.Values(codesIn(text)))
	got := examples(t, "Code")
	slices.Sort(got)
	if !found || len(want) < 100 || !slices.Equal(got, want) {
		for _, code := range want {
			if !slices.Contains(got, code) {
				t.Errorf("%s is not described", code)
			}
		}
		for _, code := range got {
			if !slices.Contains(want, code) {
				t.Errorf("%s is no code, or twice there", code)
			}
		}
	}
}

// docs/openapi.yaml names every code by which programs are refused or warned, and no other word.
func TestEveryCodeForProgramsIsDescribed(t *testing.T) {
	described := slices.Concat(examples(t, "Problem/properties/code"), examples(t, "Approval/properties/warnings/items/properties/code"),
		[]string{"few-reviewers", "nobody-for"}) // which are told as no-approvers
	known := codesIn(source(t, "access/error.go"))
	named := regexp.MustCompile(`access\.(Code[A-Za-z0-9]+)`)
	for _, file := range []string{"server/v1.go", "server/v1approvals.go", "server/v1oauth.go", "server/v1wait.go", "server/v1github.go", "bearer/bearer.go",
		"application/application.go", "application/fill.go", "application/provider.go", "broker/application.go", "broker/room.go"} {
		for _, m := range named.FindAllStringSubmatch(source(t, file), -1) {
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
