// Package iamcredentials signs tokens with the key of the service's own account,
// which never leaves Google.
package iamcredentials

import (
	"context"

	"google.golang.org/api/iamcredentials/v1"

	"jitaccess/internal/access"
	"jitaccess/internal/gcp"
)

// Signer signs as the service account. Make one with New.
type Signer struct {
	service  *iamcredentials.Service
	platform *gcp.Platform
}

// New makes a Signer. It makes no call.
func New(ctx context.Context, p *gcp.Platform) (*Signer, error) {
	service, err := iamcredentials.NewService(ctx, p.ClientOptions("iamcredentials", p.Client)...)
	if err != nil {
		return nil, &access.Error{Kind: access.Internal, Code: access.CodeInternal, Err: err}
	}
	return &Signer{service: service, platform: p}, nil
}

// SignJWT signs the claims in payload, a JSON object, and returns the token in its
// compact form. Google writes the header: RS256 and the key's id. It refuses an
// "exp" more than 12 hours ahead. CodeSigningNotAllowed when the account may not
// sign as itself.
func (s *Signer) SignJWT(ctx context.Context, payload []byte) (jwt string, err error) {
	answer, err := gcp.Read(ctx, s.platform.Retry, func(ctx context.Context) (*iamcredentials.SignJwtResponse, error) {
		return s.service.Projects.ServiceAccounts.SignJwt("projects/-/serviceAccounts/"+s.platform.ServiceAccount,
			&iamcredentials.SignJwtRequest{Payload: string(payload)}).Context(ctx).Do()
	})
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
