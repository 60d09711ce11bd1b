package policy_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"jitaccess/internal/policy"
	"jitaccess/internal/policy/document"
)

var update = flag.Bool("update", false, "write testdata/faults.txt anew")

// unseen are faults that a JSON Schema cannot describe; every other one it must see too.
var unseen = []string{
	"a name is used once", "belongs to one human", "is not an address", "not an address of the form", "a service account is not a person",
	"there is no time zone", "there is no day", "is before from", "are the same", "the pattern cannot be read", "is longer than max_duration",
	"is less than a marker", "is not found by its name", "from the same people stand above", "where IAM says who is eligible",
	"nobody has an address there", "is not a URI", "both keys are the same", "there is no such data", "who are named can give", "a key is used once",
	"stands there once", "from a minute to", "it is used once", "the URI must begin", "characters that can be seen", "write one entry with all requesters",
}

// TestFaults reads every text of testdata/faults.txt and compares what is told. The
// schema judges each too: it refuses what the reader refuses, but for what no schema can
// see, and nothing else.
func TestFaults(t *testing.T) {
	data, err := os.ReadFile("testdata/faults.txt")
	if err != nil {
		t.Fatal(err)
	}
	schema := compiled(t)
	var all strings.Builder
	for _, part := range strings.Split(string(data), "== ")[1:] {
		name, rest, _ := strings.Cut(part, "\n")
		text, want, _ := strings.Cut(rest, "--\n")
		_, faults := policy.ReadFile([]byte(text))
		var got strings.Builder
		visible := false
		for _, f := range faults {
			fmt.Fprintf(&got, "%d:%d: %s\n", f.Line, f.Column, f.Text)
			visible = visible || !slices.ContainsFunc(unseen, func(part string) bool { return strings.Contains(f.Text, part) })
		}
		fmt.Fprintf(&all, "== %s\n%s--\n%s", name, text, got.String())
		if got.String() != want && !*update {
			t.Errorf("%s:\n%s\nwant\n%s", name, got.String(), want)
		}
		root, _ := document.Read([]byte(text))
		if strings.Contains(got.String(), "cannot be read as YAML") {
			continue // nobody can judge what is missing
		}
		if err := schema.Validate(plain(root)); (err != nil) != visible {
			t.Errorf("%s: the schema says %v, the reader\n%s", name, err, got.String())
		}
	}
	if *update {
		if err := os.WriteFile("testdata/faults.txt", []byte(all.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func compiled(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(policy.Schema))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("policy.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("policy.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// plain is a document as JSON has it.
func plain(n *document.Node) any {
	switch n.Kind {
	case document.Object:
		all := map[string]any{}
		for _, p := range n.Pairs {
			all[p.Key.Text] = plain(p.Value)
		}
		return all
	case document.List:
		all := []any{}
		for _, item := range n.Items {
			all = append(all, plain(item))
		}
		return all
	case document.Number:
		return json.Number(n.Text)
	case document.Flag:
		return n.True()
	case document.Null:
		return nil
	}
	return n.Text
}
