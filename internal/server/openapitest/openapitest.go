// Package openapitest holds what a service answers against docs/openapi.yaml.
package openapitest

import (
	"bytes"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"jitaccess/docs"
)

// Document is the description as what parses JSON sees it.
type Document struct {
	Root       map[string]any
	Operations []*Operation
	compiler   *jsonschema.Compiler
	mu         sync.Mutex
	schemas    map[string]*jsonschema.Schema
}

// Operation is one method of one route, below one of the servers that its path has.
type Operation struct {
	// Route is as the router has it, but for what is called by its name instead of *.
	Method, Route string
	// at is where the operation stands in the document, as a JSON pointer.
	at      string
	pattern *regexp.Regexp
}

func (o *Operation) String() string { return o.Method + " " + o.Route }

// address is where the document is for what compiles its schemas.
const address = "mem:///openapi.json"

var methods = map[string]string{"get": http.MethodGet, "post": http.MethodPost, "put": http.MethodPut, "patch": http.MethodPatch,
	"delete": http.MethodDelete}

// variable is a part of a route that an address fills in. A resource has slashes in it.
var variable = regexp.MustCompile(`\\\{([a-z]+)\\\}`)

// Read reads the description that is built in.
var Read = sync.OnceValues(func() (*Document, error) {
	text, err := docs.OpenAPI()
	if err != nil {
		return nil, err
	}
	root, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	d := &Document{Root: root.(map[string]any), compiler: jsonschema.NewCompiler(), schemas: map[string]*jsonschema.Schema{}}
	d.compiler.AssertFormat()
	if err := d.compiler.AddResource(address, root); err != nil {
		return nil, err
	}
	paths := d.Root["paths"].(map[string]any)
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		item := paths[path].(map[string]any)
		servers, ok := item["servers"].([]any)
		if !ok {
			servers = d.Root["servers"].([]any)
		}
		for member := range item {
			if methods[member] == "" {
				continue
			}
			for _, server := range servers {
				route := strings.TrimSuffix(server.(map[string]any)["url"].(string), "/") + path
				pattern := variable.ReplaceAllStringFunc(regexp.QuoteMeta(route), func(name string) string {
					if name == `\{resource\}` {
						return ".*"
					}
					return "[^/]+"
				})
				d.Operations = append(d.Operations, &Operation{methods[member], route, "/paths/" + escaped(path) + "/" + member,
					regexp.MustCompile("^" + pattern + "$")})
			}
		}
	}
	return d, nil
})

func escaped(token string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(token)
}

// At is what stands at a JSON pointer, with references followed; nil where nothing does. The
// pointer is that of what is there.
func (d *Document) At(pointer string) (any, string) {
	var at any = d.Root
	real := ""
	for token := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		key := strings.NewReplacer("~1", "/", "~0", "~").Replace(token)
		switch container := at.(type) {
		case map[string]any:
			at = container[key]
		case []any:
			i, err := strconv.Atoi(key)
			if err != nil || i >= len(container) {
				return nil, ""
			}
			at = container[i]
		default:
			return nil, ""
		}
		real += "/" + token
		if m, ok := at.(map[string]any); ok {
			if ref, ok := m["$ref"].(string); ok && len(m) == 1 {
				at, real = d.At(strings.TrimPrefix(ref, "#"))
			}
		}
	}
	return at, real
}

// Operation is the one that an address is of; nil for none. Names go before what they fill in.
func (d *Document) Operation(method, path string) *Operation {
	var found *Operation
	for _, o := range d.Operations {
		if o.Method == method && o.pattern.MatchString(path) && (found == nil || strings.Count(o.Route, "{") < strings.Count(found.Route, "{")) {
			found = o
		}
	}
	return found
}

// Check is what is not as it is described in an answer; nil where all is, and where an address is of no
// operation. A HEAD is as its GET without a body.
func (d *Document) Check(method string, address *url.URL, status int, header http.Header, body []byte) error {
	head := method == http.MethodHead
	if head {
		method = http.MethodGet
	}
	o := d.Operation(method, address.EscapedPath())
	if o == nil {
		return nil
	}
	responses := o.at + "/responses/"
	response, at := d.At(responses + strconv.Itoa(status))
	if response == nil {
		if status < 400 {
			return fmt.Errorf("%s: the status %d is not described", o, status)
		}
		response, at = d.At(responses + "default")
	}
	if response == nil {
		return fmt.Errorf("%s: nothing is described for %d", o, status)
	}
	content, _ := response.(map[string]any)["content"].(map[string]any)
	given := header.Get("Content-Type")
	if given == "" && len(body) == 0 {
		return nil
	}
	kind, _, err := mime.ParseMediaType(given)
	if err != nil {
		return fmt.Errorf("%s: %d is of type %q: %w", o, status, given, err)
	}
	described, ok := content[kind].(map[string]any)
	if !ok {
		return fmt.Errorf("%s: %d is of type %s, described are %q", o, status, kind, slices.Sorted(maps.Keys(content)))
	}
	if described["schema"] == nil || head || len(body) == 0 && status == http.StatusNotModified {
		return nil
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err == nil {
		err = d.fits(at+"/content/"+escaped(kind)+"/schema", value)
	}
	if err != nil {
		return fmt.Errorf("%s: %d: %w\n%.2000s", o, status, err, body)
	}
	return nil
}

func (d *Document) fits(pointer string, value any) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	schema := d.schemas[pointer]
	if schema == nil {
		var err error
		if schema, err = d.compiler.Compile(address + "#" + pointer); err != nil {
			return err
		}
		d.schemas[pointer] = schema
	}
	return schema.Validate(value)
}

// Fits is what is not as it is described in a value of one of the schemas.
func (d *Document) Fits(schema string, body []byte) error {
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		return err
	}
	return d.fits("/components/schemas/"+schema, value)
}
