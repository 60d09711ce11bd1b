package google

import (
	"encoding/base64"
	"hash/crc32"
	"net/http"
	"strconv"
	"strings"
)

// Secret Manager,
// https://cloud.google.com/secret-manager/docs/reference/rest/v1/projects.secrets.versions/access.
var secretRoutes = []route{
	{method: "GET", template: "/v1/projects/{project}/secrets/{secret}/versions/{version}:access", scopes: scopesWrite, serve: (*Cloud).accessSecret},
}

func (c *Cloud) accessSecret(k *call) (any, error) {
	asked := "projects/" + k.vars["project"] + "/secrets/" + k.vars["secret"]
	version := k.vars["version"]
	path, err := c.mayRead(k, asked, version, "secretmanager.versions.access")
	if err != nil {
		return nil, err
	}
	values := c.secrets[path]
	if len(values) == 0 {
		return nil, failure(http.StatusNotFound, "Secret [%s] not found or has no versions.", asked)
	}
	at := len(values)
	if version != "latest" {
		n, err := strconv.Atoi(version)
		if err != nil {
			return nil, invalid("The provided version id [%s] does not match the expected format [[0-9]+ or latest].", version)
		}
		if n < 1 || n > len(values) {
			return nil, failure(http.StatusNotFound, "Secret Version [%s/versions/%s] not found.", asked, version)
		}
		at = n
	}
	value := values[at-1]
	project, rest, _ := strings.Cut(strings.TrimPrefix(path, "projects/"), "/")
	crc := crc32.Checksum(value, crc32.MakeTable(crc32.Castagnoli))
	return map[string]any{
		"name": "projects/" + c.nodes["projects/"+project].project.Number + "/" + rest + "/versions/" + strconv.Itoa(at),
		// A 64-bit integer is a string in JSON.
		"payload": map[string]any{"data": base64.StdEncoding.EncodeToString(value), "dataCrc32c": strconv.FormatUint(uint64(crc), 10)},
	}, nil
}

// mayRead is the path of what was asked for as projects/ID/…, if the caller has the
// permission on it.
func (c *Cloud) mayRead(k *call, asked, version, permission string) (string, error) {
	path := asked
	if project := c.node("projects/" + k.vars["project"]); project != nil {
		path = project.name + strings.TrimPrefix(asked, "projects/"+k.vars["project"])
	}
	if !c.allowed(k.caller.member, permission, path, c.now(), nil) {
		e := failure(http.StatusForbidden, "Permission '%s' denied for resource '%s/versions/%s' (or it may not exist).", permission, asked, version)
		e.info = errorInfo("IAM_PERMISSION_DENIED", "iam.googleapis.com", map[string]any{"permission": permission, "resource": asked + "/versions/" + version})
		return "", e
	}
	return path, nil
}
