package gcp

import (
	"context"
	"net/http"

	"jitaccess/internal/access"
)

// maxKeySet is the largest key set that is read. Google's have a few kilobytes.
const maxKeySet = 256 << 10

// ServiceAccountKeys fetches the public keys of the service's own account, as a
// JWK set.
func (p *Platform) ServiceAccountKeys(ctx context.Context) ([]byte, error) {
	return p.keySet(ctx, p.Endpoint("www.googleapis.com")+"/service_accounts/v1/metadata/jwk/"+p.ServiceAccount,
		"public keys of the service account")
}

// IAPKeys fetches the public keys of Identity-Aware Proxy, as a JWK set.
func (p *Platform) IAPKeys(ctx context.Context) ([]byte, error) {
	return p.keySet(ctx, p.Endpoint("www.gstatic.com")+"/iap/verify/public_key-jwk", "public keys of IAP")
}

// keySet fetches a public document, without credentials. What it says is for
// package jose to judge.
func (p *Platform) keySet(ctx context.Context, url, service string) ([]byte, error) {
	body, err := Read(ctx, p.Retry, func(ctx context.Context) ([]byte, error) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return nil, err
		}
		return Exchange(p.public, request, maxKeySet)
	})
	if err != nil {
		failure := Failure(err, Call{Service: service})
		if failure.Code != access.CodeUpstreamTimeout {
			failure.Kind, failure.Code, failure.Args = access.Unavailable, access.CodeUpstreamFailed, access.Args{"service": service}
		}
		return nil, failure
	}
	return body, nil
}
