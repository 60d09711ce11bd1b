// Package iamcredentials signs tokens with the key of the service's own account,
// which never leaves Google.
package iamcredentials

import (
	"context"

	"jitaccess/internal/access"
	"jitaccess/internal/gcp"
)

// Signer signs as the service account. Make one with New.
type Signer struct {
	api      gcp.API
	platform *gcp.Platform
}

// New makes a Signer. It makes no call.
func New(p *gcp.Platform) *Signer {
	return &Signer{api: p.API("iamcredentials", p.Client, maxAnswer), platform: p}
}

// SignJWT signs the claims in payload, a JSON object, and returns the token in its
// compact form. Google writes the header: RS256 and the key's id. It refuses an
// "exp" more than 12 hours ahead. CodeSigningNotAllowed when the account may not
// sign as itself.
func (s *Signer) SignJWT(ctx context.Context, payload []byte) (jwt string, err error) {
	// https://cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts/signJwt
	type request struct {
		Payload string `json:"payload"`
	}
	answer, err := gcp.Ask[struct {
		SignedJwt string `json:"signedJwt"`
	}](ctx, s.api, "/v1/projects/-/serviceAccounts/"+s.platform.ServiceAccount+":signJwt", nil, request{string(payload)})
	if err != nil {
		failure := gcp.Failure(err, gcp.Call{Service: service, Permission: "iam.serviceAccounts.signJwt",
			Resource: s.platform.ServiceAccount, Account: s.platform.ServiceAccount})
		switch failure.Code {
		case access.CodeServiceNotAllowed:
			failure.Code, failure.Args = access.CodeSigningNotAllowed, access.Args{"account": s.platform.ServiceAccount}
		case access.CodeUnknownResource, access.CodeCallRefused:
			// The account is gone, or our claims are wrong: nothing that the person
			// who asked has named or can mend.
			failure.Kind, failure.Code, failure.Args = access.Upstream, access.CodeUpstreamFailed, access.Args{"service": service}
		}
		return "", failure
	}
	if answer.SignedJwt == "" {
		return "", gcp.Nonsense(service, "the answer of signJwt holds no token")
	}
	return answer.SignedJwt, nil
}

const service = "IAM Credentials"

// maxAnswer bounds the answer: a token is a little longer than what is signed, a link at most.
const maxAnswer = 1 << 20
