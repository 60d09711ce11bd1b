package identity

import "fmt"

// The audiences that Identity-Aware Proxy puts into its assertions, by what it
// stands in front of. number is the project number.
// https://cloud.google.com/iap/docs/signed-headers-howto

// AppEngineAudience is that of an App Engine application.
func AppEngineAudience(number, projectID string) string {
	return fmt.Sprintf("/projects/%s/apps/%s", number, projectID)
}

// BackendServiceAudience is that of a load balancer's backend service, by its
// numeric id.
func BackendServiceAudience(number, id string) string {
	return fmt.Sprintf("/projects/%s/global/backendServices/%s", number, id)
}

// CloudRunAudience is that of a Cloud Run service that has Identity-Aware Proxy
// switched on directly.
func CloudRunAudience(number, region, service string) string {
	return fmt.Sprintf("/projects/%s/locations/%s/services/%s", number, region, service)
}
