package main

import (
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
	switch c.Identity.Profile {
	case config.IAP, "":
		profile, err := identity.IAP(front(c, platform))
		if err != nil {
			return nil, err
		}
		return identity.New(identity.Config{Profile: profile, Keys: jose.NewKeySet(platform.IAPKeys, now), Now: now})
	}
	return nil, fmt.Errorf("there is no identity profile %q", c.Identity.Profile)
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
