// Package secretmanager reads secrets.
package secretmanager

import (
	"context"
	"encoding/base64"
	"hash/crc32"
	"strings"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/gcp"
	"jitaccess/internal/gcp/resourcename"
	"jitaccess/internal/lazyregexp"
)

// timeout bounds one look-up with its repetition. A secret is read on the way to
// something else, which has 25 seconds in all.
const timeout = 8 * time.Second

// maxAnswer bounds an answer: a secret has at most 64 KiB
// (https://cloud.google.com/secret-manager/quotas).
const maxAnswer = 256 << 10

// service is the name of the API, for people.
const service = "Secret Manager"

// Secrets reads secrets. Make one with New.
type Secrets struct {
	api      gcp.API
	platform *gcp.Platform
}

// New makes a Secrets. It makes no call.
func New(p *gcp.Platform) *Secrets {
	return &Secrets{api: p.API("secretmanager", p.Client, maxAnswer), platform: p}
}

// unusable recognises a version that is there and cannot be read. Google's text is
// no contract (its status, FAILED_PRECONDITION, has other causes too), so whatever
// does not match is shown as it is.
var unusable = lazyregexp.New(`is in (DESTROYED|DISABLED) state`)

// Access returns the secret's value, byte for byte. An error never holds any of
// it; it is CodeSecretUnusable when the version is destroyed or disabled.
func (s *Secrets) Access(ctx context.Context, versionPath string) ([]byte, error) {
	if !resourcename.IsSecretVersion(versionPath) {
		return nil, &access.Error{Kind: access.Invalid, Code: access.CodeBadInput,
			Args: access.Args{"reason": "a secret is named projects/PROJECT/secrets/SECRET/versions/VERSION"}}
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	// https://cloud.google.com/secret-manager/docs/reference/rest/v1/projects.secrets.versions/access
	answer, err := gcp.Ask[struct {
		Payload *struct {
			Data       string `json:"data"`
			DataCrc32c int64  `json:"dataCrc32c,string"`
		} `json:"payload"`
	}](ctx, s.api, "/v1/"+versionPath+":access", nil, nil)
	if err != nil {
		failure := gcp.Failure(err, gcp.Call{Service: service, Permission: "secretmanager.versions.access",
			Resource: versionPath, Account: s.platform.ServiceAccount})
		_, text := gcp.Answer(err)
		if state := unusable().FindStringSubmatch(text); state != nil && failure.Code == access.CodeCallRefused {
			secret, _, _ := strings.Cut(versionPath, "/versions/")
			failure.Code, failure.Args = access.CodeSecretUnusable, access.Args{"secret": secret, "state": strings.ToLower(state[1])}
		}
		return nil, failure
	}
	if answer.Payload == nil {
		return nil, gcp.Nonsense(service, "the answer holds no secret")
	}
	data, err := base64.StdEncoding.DecodeString(answer.Payload.Data)
	if err != nil {
		return nil, gcp.Nonsense(service, "the secret is not Base64")
	}
	if sum := answer.Payload.DataCrc32c; sum != 0 && sum != int64(crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli))) {
		return nil, gcp.Nonsense(service, "the secret was damaged on its way (CRC32C)")
	}
	return data, nil
}
