package main

import (
	"testing"

	"jitaccess/internal/config"
	"jitaccess/internal/gcp"
)

// The audience is that of the front which the service stands behind, exactly, and
// never none.
func TestThreat10_TheAudienceIsThatOfTheFront(t *testing.T) {
	known := gcp.Platform{Project: "p", ProjectNumber: "123", Region: "europe-west1"}
	tests := []struct {
		front    string
		config   config.Config
		platform gcp.Platform
		want     string
	}{
		{"App Engine", config.Config{Platform: config.AppEngine}, known, "/projects/123/apps/p"},
		{"Cloud Run", config.Config{Platform: config.CloudRun, Service: "jit"}, known, "/projects/123/locations/europe-west1/services/jit"},
		{"Cloud Run behind a load balancer", config.Config{Platform: config.CloudRun, Service: "jit", Identity: config.Identity{BackendServiceID: "77"}}, known,
			"/projects/123/global/backendServices/77"},
		{"as the operator says", config.Config{Platform: config.CloudRun, Identity: config.Identity{Audiences: []string{"/projects/9/x"}}}, known, "/projects/9/x"},
		{"any other host", config.Config{Platform: config.Host}, known, ""},
		{"a project number that nobody knows", config.Config{Platform: config.AppEngine}, gcp.Platform{Project: "p"}, ""},
		{"a region that nobody knows", config.Config{Platform: config.CloudRun, Service: "jit"}, gcp.Platform{Project: "p", ProjectNumber: "123"}, ""},
	}
	for _, test := range tests {
		test.config.Identity.VerifyAudience, test.config.Identity.Profile = true, config.IAP
		v, err := newVerifier(&test.config, &test.platform, wallClock.now)
		if (err == nil) != (test.want != "") || err == nil && v.Profile().Expected != test.want {
			t.Errorf("%s: %v, %v; want %q", test.front, v, err, test.want)
		}
	}
	// Without verification it is still an audience of this project, and without a
	// project number nobody gets in.
	if _, err := newVerifier(&config.Config{Platform: config.AppEngine, Identity: config.Identity{Profile: config.IAP}}, &gcp.Platform{Project: "p"}, wallClock.now); err == nil {
		t.Error("any audience is accepted where the project is not known")
	}
}
