// Package docs has what the service itself hands out of its documentation.
package docs

import (
	_ "embed"
	"encoding/json"

	"go.yaml.in/yaml/v4"
)

//go:embed openapi.yaml
var openAPI []byte

// OpenAPI is the description of everything that the service answers, openapi.yaml, as JSON. A test
// keeps it readable.
func OpenAPI() ([]byte, error) {
	var description map[string]any
	if err := yaml.Unmarshal(openAPI, &description); err != nil {
		return nil, err
	}
	return json.Marshal(description)
}
