package gcp

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"google.golang.org/api/googleapi"

	"jitaccess/internal/access"
)

// maxKeySet is the largest key set that is read. Google's have a few kilobytes.
const maxKeySet = 256 << 10

// ServiceAccountKeys fetches the public keys of the service's own account, as a
// JWK set.
func (p *Platform) ServiceAccountKeys(ctx context.Context) ([]byte, error) {
	return p.keySet(ctx, p.Endpoint("www.googleapis.com")+"/service_accounts/v1/metadata/jwk/"+p.ServiceAccount, "public keys of the service account")
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
		response, err := p.public.Do(request)
		if err != nil {
			return nil, err
		}
		defer response.Body.Close()
		body, err := io.ReadAll(io.LimitReader(response.Body, maxKeySet+1))
		if err != nil {
			return nil, err
		}
		if err := googleapi.CheckResponseWithBody(response, body); err != nil {
			return nil, err
		}
		return body, nil
	})
	if err != nil {
		failure := Failure(err, Call{Service: service})
		if failure.Code != access.CodeUpstreamTimeout {
			failure.Kind, failure.Code, failure.Args = access.Unavailable, access.CodeUpstreamFailed, access.Args{"service": service}
		}
		return nil, failure
	}
	if len(body) > maxKeySet {
		return nil, &access.Error{Kind: access.Upstream, Code: access.CodeUpstreamFailed, Args: access.Args{"service": service},
			Err: fmt.Errorf("a key set of more than %d bytes", maxKeySet)}
	}
	return body, nil
}
