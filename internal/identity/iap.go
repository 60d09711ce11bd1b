package identity

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/jose"
	"jitaccess/internal/lazyregexp"
)

// Front is where Identity-Aware Proxy stands, from which follows for whom its
// assertions are made. What is not known is empty.
// https://cloud.google.com/iap/docs/signed-headers-howto
type Front struct {
	// Audiences are what the operator says; then nothing is derived.
	Audiences []string
	// AnyOfProject accepts any audience of the project. This is weaker: whoever runs
	// another protected service in the project can pass on its visitors' assertions.
	AnyOfProject bool
	// ProjectNumber and Project are the project in which the service runs.
	ProjectNumber, Project string
	// BackendService is the numeric id of the load balancer's backend service.
	BackendService string
	// AppEngine: it stands in front of an App Engine application.
	AppEngine bool
	// Region and CloudRunService are for IAP directly on a Cloud Run service.
	Region, CloudRunService string
}

var projectNumber = lazyregexp.New(`^[0-9]{1,32}$`)

// IAP is Google's Identity-Aware Proxy. The error says what to set when it is not
// known for whom its assertions are made.
func IAP(f Front) (Profile, error) {
	p := Profile{
		Method:        "iap",
		Header:        "X-Goog-Iap-Jwt-Assertion",
		Form:          jose.Form{Algorithms: []jose.Algorithm{jose.ES256}},
		Issuer:        IssuedBy("https://cloud.google.com/iap"),
		MaxLife:       10 * time.Minute,
		Caller:        iapCaller,
		Event:         "iap.authenticate",
		Check:         "IapKeysAreAvailable",
		Service:       "the key server of Identity-Aware Proxy",
		SwitchAccount: "/?gcp-iap-mode=CLEAR_LOGIN_COOKIE",
	}
	var accepted func(audience string) bool
	if f.AnyOfProject {
		if !projectNumber().MatchString(f.ProjectNumber) {
			return Profile{}, fmt.Errorf("set IAP_AUDIENCE: %q is not a project number", f.ProjectNumber)
		}
		prefix := "/projects/" + f.ProjectNumber + "/"
		accepted = func(audience string) bool { return len(audience) > len(prefix) && strings.HasPrefix(audience, prefix) }
		p.Expected = "any of project " + f.ProjectNumber
	} else {
		audiences, err := f.audiences()
		if err != nil {
			return Profile{}, err
		}
		accepted = func(audience string) bool { return slices.Contains(audiences, audience) }
		p.Expected = strings.Join(audiences, " or ")
	}
	// Google signs assertions for whoever is behind the proxy alone, and does not say what azp is
	// (https://docs.cloud.google.com/iap/docs/signed-headers-howto).
	p.Ours = func(string) bool { return true }
	p.Audience = func(t jose.Token) error {
		audience, err := t.Claims.String("aud")
		if err != nil {
			return fmt.Errorf("%w (an array is not accepted)", err)
		}
		if !accepted(audience) {
			return fmt.Errorf("the assertion is for the audience %q", audience)
		}
		return nil
	}
	return p, nil
}

// audiences are what an assertion may be for: what the operator says, or what
// follows from the platform.
func (f Front) audiences() ([]string, error) {
	project := "/projects/" + f.ProjectNumber
	switch {
	case slices.Contains(f.Audiences, ""):
		return nil, errors.New("set IAP_AUDIENCE: an audience is empty")
	case len(f.Audiences) > 0:
		return slices.Clone(f.Audiences), nil
	case f.ProjectNumber == "":
		return nil, errors.New("set IAP_AUDIENCE: the project number, from which it would be derived, is not known here")
	case f.BackendService != "":
		return []string{project + "/global/backendServices/" + f.BackendService}, nil
	case f.AppEngine:
		return []string{project + "/apps/" + f.Project}, nil
	case f.CloudRunService != "" && f.Region != "":
		return []string{project + "/locations/" + f.Region + "/services/" + f.CloudRunService}, nil
	}
	return nil, errors.New("set IAP_AUDIENCE: it cannot be derived on this platform")
}

// iapCaller reads the person. What IAP says of the device is evidence for the
// journal, so that it may be missing or unreadable; who it is may not.
func iapCaller(t jose.Token) (access.Caller, error) {
	caller, err := Person(t.Claims, "sub", "email")
	if err != nil {
		return access.Caller{}, err
	}
	if google, err := t.Claims.Object("google"); err == nil {
		caller.Device, _ = google.String("device_id")
		caller.AccessLevels, _ = google.Strings("access_levels")
	}
	return caller, nil
}
