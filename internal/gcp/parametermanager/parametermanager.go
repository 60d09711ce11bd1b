// Package parametermanager reads parameters.
package parametermanager

import (
	"context"
	"encoding/base64"
	"hash/crc32"
	"strings"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/gcp"
	"jitaccess/internal/gcp/resourcename"
)

// timeout bounds one look-up with its repetition.
const timeout = 8 * time.Second

// maxAnswer bounds an answer: a parameter has at most 1 MiB, and in Base64 a third more
// (https://cloud.google.com/secret-manager/parameter-manager/docs/quotas).
const maxAnswer = 2 << 20

// service is the name of the API, for people.
const service = "Parameter Manager"

// Get returns what a version of a parameter holds, byte for byte: references to secrets
// are not rendered, so that what was reviewed is what is read. A version that is
// disabled is CodeSecretUnusable; Google answers for it without its payload
// (https://cloud.google.com/secret-manager/parameter-manager/docs/reference/rest/v1/projects.locations.parameters.versions/get).
func Get(ctx context.Context, p *gcp.Platform, versionPath string) ([]byte, error) {
	if !resourcename.IsParameterVersion(versionPath) {
		return nil, &access.Error{Kind: access.Invalid, Code: access.CodeBadInput,
			Args: access.Args{"reason": "a parameter is named projects/PROJECT/locations/LOCATION/parameters/PARAMETER/versions/VERSION"}}
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	answer, err := gcp.Ask[struct {
		Disabled bool `json:"disabled"`
		Payload  *struct {
			Data       string `json:"data"`
			DataCrc32c int64  `json:"dataCrc32c,string"`
		} `json:"payload"`
	}](ctx, p.API(host(versionPath), p.Client, maxAnswer), "/v1/"+versionPath, nil, nil)
	if err != nil {
		return nil, gcp.Failure(err, gcp.Call{Service: service, Permission: "parametermanager.parameterVersions.get",
			Resource: versionPath, Account: p.ServiceAccount})
	}
	switch {
	case answer.Disabled:
		parameter, _, _ := strings.Cut(versionPath, "/versions/")
		return nil, &access.Error{Kind: access.Unprocessable, Code: access.CodeSecretUnusable,
			Args: access.Args{"secret": parameter, "state": "disabled"}}
	case answer.Payload == nil:
		return nil, gcp.Nonsense(service, "the answer holds no payload")
	}
	data, err := base64.StdEncoding.DecodeString(answer.Payload.Data)
	if err != nil {
		return nil, gcp.Nonsense(service, "the payload is not Base64")
	}
	if sum := answer.Payload.DataCrc32c; sum != 0 && sum != int64(crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli))) {
		return nil, gcp.Nonsense(service, "the parameter was damaged on its way (CRC32C)")
	}
	return data, nil
}

// host is what serves a location: "global" has the API's own, a region one of its own
// (https://cloud.google.com/secret-manager/parameter-manager/docs/reference/rest).
func host(versionPath string) string {
	if location := strings.Split(versionPath, "/")[3]; location != "global" {
		return "parametermanager." + location + ".rep.googleapis.com"
	}
	return "parametermanager"
}
