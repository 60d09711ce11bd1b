package main

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"jitaccess/internal/config"
	"jitaccess/internal/doctor"
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
	i, server := c.Identity, keyServer(c)
	switch i.Profile {
	case config.IAP:
		profile, err := identity.IAP(front(c, platform))
		return profile, jose.NewKeySet(platform.IAPKeys, now), err
	case config.Pomerium:
		return identity.Pomerium(i.Audience), jose.NewKeySet(identity.FetchKeys(server), now), nil
	case config.Cloudflare:
		return identity.Cloudflare(i.CloudflareTeam, i.Audience), jose.NewKeySet(identity.FetchKeys(server), now), nil
	case config.ALB:
		return identity.ALB(i.ALB, i.Audience), identity.ALBKeys(server, now), nil
	case config.JWT:
		fetch := identity.FetchKeysOf(i.Issuer)
		if i.JWKS != "" {
			fetch = identity.FetchKeys(server)
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

// keyServer is the address at which the keys are, or at which it says where; empty for those
// of Identity-Aware Proxy.
func keyServer(c *config.Config) string {
	switch i := c.Identity; i.Profile {
	case config.Pomerium:
		return i.JWKSEndpoint
	case config.Cloudflare:
		return cmp.Or(i.CloudflareEndpoint, identity.CloudflareOrigin(i.CloudflareTeam)) + identity.CloudflareCerts
	case config.ALB:
		return cmp.Or(i.ALBEndpoint, identity.ALBKeyServer(i.ALB))
	case config.JWT:
		return cmp.Or(i.JWKS, identity.Discovery(i.Issuer))
	case config.OIDC:
		return identity.Discovery(i.OIDCIssuer)
	}
	return ""
}

// examineIdentity has doctor look at how people are identified.
func examineIdentity(d *doctor.Config, c *config.Config, platform *gcp.Platform) {
	if c.Identity.Profile == config.OIDC {
		fetch := identity.FetchKeysOf(c.Identity.OIDCIssuer)
		d.Identity = identity.Profile{Method: config.OIDC, Expected: c.Identity.OIDCClientID}
		d.IdentityKeys = func(ctx context.Context) error { _, err := fetch(ctx); return err }
	} else if verifier, err := newVerifier(c, platform, d.Now); err != nil {
		d.IdentityFault = err
	} else {
		d.Identity, d.IdentityKeys = verifier.Profile(), verifier.Reach
	}
	d.IdentityClock = func(ctx context.Context) (time.Duration, bool) { return identity.Ahead(ctx, keyServer(c), d.Now) }
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
