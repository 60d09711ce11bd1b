package server

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"jitaccess/internal/access"
	"jitaccess/internal/bearer"
	"jitaccess/internal/server/openapitest"
)

// bodies are the types of all that is answered and read in JSON, by how docs/openapi.yaml calls it.
var bodies = map[string]any{
	"User": apiUser{}, "Policy": apiPolicy{}, "Projects": apiProjects{}, "Roles": apiRoles{}, "Entitlement": Entitlement{}, "Terms": apiTerms{},
	"Approvals": apiApproval{}, "JustificationRule": apiJustification{}, "Rule": apiRule{}, "RefusedRole": apiRefused{}, "Peers": apiPeers{},
	"Activation": apiActivation{}, "ActivationItem": apiActivationItem{}, "Signing": apiSigning{}, "Ended": apiEnded{}, "Request": apiRequest{},
	"Review": apiReview{}, "Asking": apiAsking{}, "Datum": apiDatum{}, "Requests": apiRequests{}, "Timeline": apiTimeline{}, "Happened": apiEvent{},
	"Bounce": apiBounce{}, "Changed": apiChanged{}, "Exported": exportedRequest{}, "Health": health{}, "Error": apiError{},
	"Approval": approval{}, "Approval/properties/decisions/items": approvalVerdict{}, "Approval/properties/window/oneOf/1": approvalWindow{},
	"Approval/properties/warnings/items": approvalWarning{}, "Problem": problemDetails{}, "Delivered": delivered{}, "Metadata": serverMetadata{},
	"ProgramToken": programToken{}, "ProgramEnded": programEnded{},
	"Access": bearer.Access{}, "Access/properties/approval": bearer.Approval{}, "Introspection/oneOf/0": inactive{}, "Introspection/oneOf/1": introspection{},
}

// readBodies are the types of what is read. What has to be in them is for who reads them to say.
var readBodies = map[string]any{"Wanted": rolesBody{}, "Activate": activateBody{}, "Ask": askBody{}, "Reviewers": reviewersBody{}, "Approve": approveBody{},
	"Signature": apiSignature{}, "Comment": commentBody{}, "End": endBody{}, "Extend": extendBody{}, "ProgramCode": programRedeems{}}

// untyped are the schemas that no type of ours is: those of what is no object, what is written and read by
// itself, and what others take.
var untyped = []string{"Email", "EntitlementID", "Day", "State", "Minutes", "Code", "History", "NewApproval", "Introspection", "KeySet", "Callback", "Event"}

// member is a part of an object: its types, whether it may be null, and whether it must be there.
type member struct {
	kind           string
	null, required bool
}

// membersOf are those of a type, as encoding/json has them.
func membersOf(t reflect.Type, in map[string]member) map[string]member {
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, tagged := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous && name == "" {
			membersOf(f.Type, in)
			continue
		}
		if name == "" {
			panic(t.String() + "." + f.Name + " has no name in JSON")
		}
		kind, null := kindOf(f.Type)
		in[name] = member{kind, null && !tagged, !(tagged && strings.Contains(options, "omitempty"))}
	}
	return in
}

func kindOf(t reflect.Type) (kind string, null bool) {
	switch {
	case t == reflect.TypeFor[lenient]():
		return "minutes", false
	case t.Kind() == reflect.Pointer:
		kind, _ = kindOf(t.Elem())
		return kind, true
	}
	switch t.Kind() {
	case reflect.String:
		return "string", false
	case reflect.Bool:
		return "boolean", false
	case reflect.Int, reflect.Int64:
		return "integer", false
	case reflect.Slice:
		element, _ := kindOf(t.Elem())
		return "array of " + element, false
	case reflect.Map:
		element, _ := kindOf(t.Elem())
		return "map of " + element, false
	case reflect.Struct:
		return "object", false
	}
	return t.String(), false
}

// reader reads schemas.
type reader struct {
	*testing.T
	*openapitest.Document
}

// described are the members of an object of a schema.
func (r reader) described(schema map[string]any, in map[string]member) map[string]member {
	for _, whole := range listOf(schema["allOf"]) {
		r.described(r.followed(whole), in)
	}
	properties, _ := schema["properties"].(map[string]any)
	required := listOf(schema["required"])
	for name, property := range properties {
		if property == false { // is never there
			continue
		}
		kind, null := r.kind(property)
		in[name] = member{kind, null, slices.Contains(required, any(name))}
	}
	for _, name := range required {
		if _, ok := in[name.(string)]; !ok {
			r.Errorf("%s must be there, and is not described", name)
		}
	}
	return in
}

func listOf(v any) []any { all, _ := v.([]any); return all }

func (r reader) followed(schema any) map[string]any {
	m := schema.(map[string]any)
	if ref, ok := m["$ref"].(string); ok {
		at, _ := r.At(strings.TrimPrefix(ref, "#"))
		return at.(map[string]any)
	}
	return m
}

func (r reader) kind(property any) (kind string, null bool) {
	schema := property.(map[string]any)
	if schema["$ref"] == "#/components/schemas/Minutes" {
		return "minutes", false
	}
	schema = r.followed(schema)
	for _, either := range slices.Concat(listOf(schema["oneOf"]), listOf(schema["anyOf"])) {
		if k, _ := r.kind(either); k != "null" {
			kind = k
		} else {
			null = true
		}
	}
	if kind != "" {
		return kind, null
	}
	switch t := schema["type"].(type) {
	case string:
		kind = t
	case []any:
		for _, each := range t {
			if each == "null" {
				null = true
			} else {
				kind = each.(string)
			}
		}
	case nil:
		values := listOf(schema["enum"])
		if value, ok := schema["const"]; ok {
			values = append(values, value)
		}
		for _, value := range values {
			switch value.(type) {
			case string:
				kind = "string"
			case bool:
				kind = "boolean"
			}
		}
	}
	switch {
	case kind == "array":
		element, _ := r.kind(schema["items"])
		return "array of " + element, null
	case kind == "object" && schema["additionalProperties"] != nil && schema["additionalProperties"] != false:
		element, _ := r.kind(schema["additionalProperties"])
		return "map of " + element, null
	}
	return kind, null
}

// docs/openapi.yaml has every member of every body, of its type, and no other; and of what is
// answered, whether it is always there and whether it may be null.
func TestEveryBodyIsDescribed(t *testing.T) {
	d, err := openapitest.Read()
	if err != nil {
		t.Fatal(err)
	}
	r := reader{t, d}
	for name, body := range bodies {
		schema, _ := d.At("/components/schemas/" + name)
		if schema == nil {
			t.Errorf("%s is not described", name)
			continue
		}
		r.compare(name, r.described(schema.(map[string]any), map[string]member{}), membersOf(reflect.TypeOf(body), map[string]member{}))
	}
	for name, body := range readBodies {
		schema, _ := d.At("/components/schemas/" + name)
		want := membersOf(reflect.TypeOf(body), map[string]member{})
		got := r.described(schema.(map[string]any), map[string]member{})
		for of, m := range want { // missing and null are the same
			in := got[of]
			m.null, m.required = in.null, in.required
			if !m.null && !m.required && m.kind != "minutes" {
				t.Errorf("%s: %s may be null", name, of)
			}
			want[of] = m
		}
		r.compare(name, got, want)
	}
	all, _ := d.At("/components/schemas")
	for name := range all.(map[string]any) {
		if n := count(bodies[name] != nil, readBodies[name] != nil, slices.Contains(untyped, name)); n != 1 {
			t.Errorf("%s is of %d types", name, n)
		}
	}
}

func count(all ...bool) (n int) {
	for _, is := range all {
		if is {
			n++
		}
	}
	return n
}

func (r reader) compare(name string, got, want map[string]member) {
	for _, of := range slices.Sorted(maps.Keys(want)) {
		if got[of] != want[of] {
			r.Errorf("%s: %s is %+v, described as %+v", name, of, want[of], got[of])
		}
	}
	for of := range got {
		if _, ok := want[of]; !ok {
			r.Errorf("%s: %s is described, and is not there", name, of)
		}
	}
}

// What has names in JSON in this package is one of those bodies, or a part of one.
func TestEveryTypeOfABodyIsCompared(t *testing.T) {
	known := map[string]bool{}
	for _, all := range []map[string]any{bodies, readBodies} {
		for _, body := range all {
			known[reflect.TypeOf(body).Name()] = true
		}
	}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	inspect := func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok {
			return true
		}
		body, ok := spec.Type.(*ast.StructType)
		if ok && slices.ContainsFunc(body.Fields.List, func(f *ast.Field) bool { return f.Tag != nil && strings.Contains(f.Tag.Value, `json:"`) }) {
			if seen++; !known[spec.Name.Name] {
				t.Errorf("%s is compared with nothing", spec.Name.Name)
			}
		}
		return true
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, inspect)
	}
	if seen < 40 {
		t.Errorf("only %d types were seen", seen)
	}
}

// The words that are described are those that there are.
func TestEveryWordIsDescribed(t *testing.T) {
	d, err := openapitest.Read()
	if err != nil {
		t.Fatal(err)
	}
	words := func(pointer string) (all []string) {
		at, _ := d.At("/components/schemas/" + pointer + "/enum")
		for _, word := range listOf(at) {
			all = append(all, word.(string))
		}
		slices.Sort(all)
		return all
	}
	states := access.Each(access.States, func(s access.State) string { return string(s) })
	statuses := []string{statusActive, statusInactive, "DECLINED"}
	for _, status := range apiStates {
		statuses = append(statuses, status)
	}
	for pointer, want := range map[string][]string{
		"Request/properties/state":         states,
		"State":                            append(slices.Clone(states), ""),
		"ActivationItem/properties/status": statuses,
		"Request/properties/attestation": access.Each([]access.Attestation{access.Signed, access.SignedElsewhere, access.Altered, access.PartlyErased, access.Unlooked},
			func(a access.Attestation) string { return string(a) }),
		"Request/properties/kind": {string(access.Self), string(access.Peers), string(access.BreakGlass)},
	} {
		slices.Sort(want)
		if got := words(pointer); !slices.Equal(got, slices.Compact(want)) {
			t.Errorf("%s is %q, described as %q", pointer, want, got)
		}
	}
	refused, _ := d.At("/components/responses/Error/description")
	for _, statuses := range []any{statusOfCode, statusOfKind} {
		for _, status := range reflect.ValueOf(statuses).Seq2() {
			if text, _ := json.Marshal(status.Interface()); !strings.Contains(refused.(string), string(text)) {
				t.Errorf("the status %s is not described", text)
			}
		}
	}
}
