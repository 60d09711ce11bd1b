package main

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"jitaccess/internal/config"
	"jitaccess/internal/gcp"
	"jitaccess/internal/identity"
	"jitaccess/internal/jose"
)

// newVerifier verifies what the front that is configured says of people. platform may be nil
// for any but Identity-Aware Proxy.
func newVerifier(c *config.Config, platform *gcp.Platform, now func() time.Time) (*identity.Verifier, error) {
	profile, keys, err := profileOf(c, platform, now)
	if err != nil {
		return nil, err
	}
	profile.MaxAge = cmp.Or(c.Identity.MaxAge, profile.MaxAge)
	return identity.New(identity.Config{Profile: profile, Keys: keys, GroupsClaim: c.Identity.GroupsClaim, Now: now})
}

func profileOf(c *config.Config, platform *gcp.Platform, now func() time.Time) (identity.Profile, jose.Keys, error) {
	i := c.Identity
	switch i.Profile {
	case config.IAP:
		profile, err := identity.IAP(front(c, platform))
		return profile, jose.NewKeySet(platform.IAPKeys, now), err
	case config.Pomerium:
		return identity.Pomerium(i.Audience), jose.NewKeySet(identity.FetchKeys(i.JWKSEndpoint), now), nil
	case config.Cloudflare:
		server := cmp.Or(i.CloudflareEndpoint, identity.CloudflareOrigin(i.CloudflareTeam))
		return identity.Cloudflare(i.CloudflareTeam, i.Audience),
			jose.NewKeySet(identity.FetchKeys(server+identity.CloudflareCerts), now), nil
	case config.ALB:
		return identity.ALB(i.ALB, i.Audience), identity.ALBKeys(i.ALB, i.ALBEndpoint, now), nil
	case config.JWT:
		fetch := identity.FetchKeysOf(i.Issuer)
		if i.JWKS != "" {
			fetch = identity.FetchKeys(i.JWKS)
		}
		var algorithms []jose.Algorithm
		for _, name := range i.Algorithms {
			algorithms = append(algorithms, jose.Algorithm(name))
		}
		return identity.JWT(identity.Signed{Header: i.Header, Issuer: i.Issuer, Audience: i.Audience, Algorithms: algorithms,
			EmailClaim: i.EmailClaim, SubjectClaim: i.SubjectClaim}), jose.NewKeySet(fetch, now), nil
	}
	return identity.Profile{}, nil, fmt.Errorf("there is no identity profile %q", i.Profile)
}

// examinedIdentity is how people are identified, and whether the keys for it can be had.
func examinedIdentity(c *config.Config, platform *gcp.Platform, now func() time.Time) (
	identity.Profile, func(context.Context) error, error) {
	if i := c.Identity; i.Profile == config.OIDC {
		fetch := identity.FetchKeysOf(i.OIDCIssuer)
		return identity.Profile{Method: config.OIDC, Expected: i.OIDCClientID}, func(ctx context.Context) error {
			_, err := fetch(ctx)
			return err
		}, nil
	}
	verifier, err := newVerifier(c, platform, now)
	if err != nil {
		return identity.Profile{}, nil, err
	}
	return verifier.Profile(), verifier.Reach, nil
}

func front(c *config.Config, platform *gcp.Platform) identity.Front {
	return identity.Front{
		Audiences: c.Identity.Audiences, AnyOfProject: !c.Identity.VerifyAudience, BackendService: c.Identity.BackendServiceID,
		ProjectNumber: platform.ProjectNumber, Project: platform.Project, Region: platform.Region,
		AppEngine: c.Platform == config.AppEngine, CloudRunService: cloudRunService(c),
	}
}

// cloudRunService is empty elsewhere than on Cloud Run.
func cloudRunService(c *config.Config) string {
	if c.Platform != config.CloudRun {
		return ""
	}
	return c.Service
}
