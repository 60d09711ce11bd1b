package iampolicy_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"jitaccess/internal/gcp/iampolicy"
)

func mustParse(t testing.TB, raw string) *iampolicy.Policy {
	t.Helper()
	p, err := new(iampolicy.Policy).Reparse([]byte(raw))
	if err != nil {
		t.Fatalf("Parse(%s): %v", raw, err)
	}
	return p
}

func mustBody(t testing.TB, p *iampolicy.Policy) string {
	t.Helper()
	body, err := p.Body()
	if err != nil {
		t.Fatalf("Body: %v", err)
	}
	return string(body)
}

func TestBodyKeepsWhatItDoesNotKnow(t *testing.T) {
	const audit = `"auditConfigs": [ {"service":"allServices", "auditLogConfigs":[{"logType":"DATA_READ"}]} ]`
	const binding = `{"role" : "roles/\u0076iewer", "members":[ "group:a@example.com" ],"future":{"b":1e400,"a":[null]}}`
	p := mustParse(t,
		`{ "version": 1, "etag":"BwX=", `+audit+`, "bindings":[ `+binding+` ], "new\u0046ield": 1.0e0}`)
	want := `{"policy":{"version":3,"etag":"BwX=","auditConfigs":[ {"service":"allServices", "auditLogConfigs":[{"logType":"DATA_READ"}]} ],` +
		`"bindings":[` + binding + `],"new\u0046ield":1.0e0}}`
	if diff := cmp.Diff(want, mustBody(t, p)); diff != "" {
		t.Error(diff)
	}
	if got := p.Bindings()[0]; got.Role != "roles/viewer" || got.Condition != nil {
		t.Errorf("read %+v", got)
	}
}

func TestBodyIsVersion3WithTheEtag(t *testing.T) {
	for name, raw := range map[string]string{
		"version 1":                 `{"version":1,"etag":"e"}`,
		"no version":                `{"etag":"e"}`,
		"bindings that are null":    `{"etag":"e","bindings":null}`,
		"an empty list of bindings": `{"etag":"e","bindings":[],"version":3}`,
	} {
		t.Run(name, func(t *testing.T) {
			var body struct {
				Policy struct {
					Version  int
					Etag     string
					Bindings []any
				}
			}
			if err := json.Unmarshal([]byte(mustBody(t, mustParse(t, raw))), &body); err != nil {
				t.Fatal(err)
			}
			if body.Policy.Version != 3 || body.Policy.Etag != "e" || body.Policy.Bindings == nil {
				t.Errorf("got %+v", body)
			}
		})
	}
}

func TestBodyRefusesWhatWouldLoseConditions(t *testing.T) {
	tests := map[string]struct {
		raw  string
		want error
	}{
		"no etag":       {`{"version":3,"bindings":[]}`, iampolicy.ErrNoEtag},
		"an empty etag": {`{"version":3,"etag":""}`, iampolicy.ErrNoEtag},
		"a role as version 1 shows one with a condition": {
			`{"etag":"e","bindings":[{"role":"roles/viewer_withcond_9f53ffb0","members":["user:a@example.com"]}]}`, iampolicy.ErrOldVersion},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := mustParse(t, tt.raw).Body(); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}

func TestParseRefusesWhatIsNoPolicy(t *testing.T) {
	for name, raw := range map[string]string{
		"nothing":                         ``,
		"null":                            `null`,
		"a list":                          `[]`,
		"cut off":                         `{"etag":"e","bindings":[`,
		"more than one value":             `{"etag":"e"}{}`,
		"a field twice":                   `{"etag":"e","etag":"f"}`,
		"a field in two spellings":        `{"etag":"e","bindings":[],"Bindings":[]}`,
		"a field in the wrong case":       `{"etag":"e","Bindings":[]}`,
		"a binding that is a number":      `{"bindings":[1]}`,
		"a binding with its role twice":   `{"bindings":[{"role":"a","role":"b"}]}`,
		"a condition that is text":        `{"bindings":[{"role":"a","condition":"true"}]}`,
		"a condition with two texts":      `{"bindings":[{"role":"a","condition":{"expression":"a","EXPRESSION":"b"}}]}`,
		"members that are text":           `{"bindings":[{"role":"a","members":"user:a@example.com"}]}`,
		"an etag that is a number":        `{"etag":1}`,
		"ten thousand brackets too many":  `{"x":` + strings.Repeat("[", 20000) + `}`,
		"a bare word":                     `policy`,
		"a field that is no text":         `{1:2}`,
		"a trailing comma":                `{"etag":"e",}`,
		"an unfinished name":              `{"etag`,
		"a name that has no value":        `{"etag"}`,
		"an answer that is a web page":    `<html>`,
		"a binding that is a binding set": `{"bindings":{"role":"a"}}`,
	} {
		t.Run(name, func(t *testing.T) {
			if p, err := new(iampolicy.Policy).Reparse([]byte(raw)); err == nil {
				t.Errorf("read %+v", p.Bindings())
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add(`{"version":3,"etag":"e","bindings":[{"role":"roles/a","members":["user:a@example.com"],"condition":{"title":"t","expression":"true"}}]}`)
	f.Add(`{"etag":"e","bindings":null,"auditConfigs":[{}]}`)
	f.Add(`{"etag":"e","bindings":[{"role":"r","members":["deleted:user:a@b.c?uid=1","user:\ud800"]}]}`)
	f.Fuzz(func(t *testing.T, raw string) {
		p, err := new(iampolicy.Policy).Reparse([]byte(raw))
		if err != nil {
			return
		}
		body, err := p.Body()
		if err != nil {
			return
		}
		var envelope struct{ Policy json.RawMessage }
		if err := json.Unmarshal(body, &envelope); err != nil {
			t.Fatalf("the body is not JSON: %v\n%s", err, body)
		}
		again := mustParse(t, string(envelope.Policy))
		if diff := cmp.Diff(p.Bindings(), again.Bindings(), cmpopts.IgnoreUnexported(iampolicy.Binding{})); diff != "" {
			t.Errorf("writing changed the bindings: %s", diff)
		}
		if second := mustBody(t, again); second != string(body) {
			t.Errorf("writing twice differs:\n%s\n%s", body, second)
		}
	})
}
