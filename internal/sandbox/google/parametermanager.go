package google

import (
	"encoding/base64"
	"hash/crc32"
	"net/http"
	"strconv"
	"strings"
)

// Parameter Manager,
// https://cloud.google.com/secret-manager/parameter-manager/docs/reference/rest/v1/projects.locations.parameters.versions/get.
var parameterRoutes = []route{
	{method: "GET", template: "/v1/projects/{project}/locations/{location}/parameters/{parameter}/versions/{version}",
		scopes: scopesWrite, serve: (*Cloud).getParameter},
}

// getParameter answers as for the view FULL, which is the default.
func (c *Cloud) getParameter(k *call) (any, error) {
	asked := "projects/" + k.vars["project"] + "/locations/" + k.vars["location"] + "/parameters/" + k.vars["parameter"]
	path, err := c.mayRead(k, asked, k.vars["version"], "parametermanager.parameterVersions.get")
	if err != nil {
		return nil, err
	}
	path += "/versions/" + k.vars["version"]
	value, ok := c.parameters[path]
	if !ok {
		return nil, failure(http.StatusNotFound, "Resource '%s/versions/%s' was not found", asked, k.vars["version"])
	}
	project, rest, _ := strings.Cut(strings.TrimPrefix(path, "projects/"), "/")
	crc := crc32.Checksum(value, crc32.MakeTable(crc32.Castagnoli))
	return map[string]any{
		"name": "projects/" + c.nodes["projects/"+project].project.Number + "/" + rest,
		// A 64-bit integer is a string in JSON.
		"payload": map[string]any{"data": base64.StdEncoding.EncodeToString(value), "dataCrc32c": strconv.FormatUint(uint64(crc), 10)},
	}, nil
}
