package doctor_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"jitaccess/internal/access"
	"jitaccess/internal/doctor"
)

// What of a GitHub App does not work is found, with what mends it.
func TestWhatIsFoundOfAGitHubApp(t *testing.T) {
	good := doctor.GitHubInstallation{ID: 4711, Account: "acme", Permitted: true, Subscribed: true}
	refused := &access.Error{Kind: access.Upstream, Code: access.CodeNotCalledBack, Err: errors.New("GitHub does not take the app for itself")}
	for want, c := range map[string]struct {
		change func(*doctor.GitHubInstallation)
		err    error
	}{
		"ok       github: application hub, installation 4711: GitHub takes the app for itself":           {func(*doctor.GitHubInstallation) {}, nil},
		"broken   github: application hub: the webhook secret at /s: no such file; correct what github":  {func(*doctor.GitHubInstallation) {}, errors.New("the webhook secret at /s: no such file")},
		"broken   github: application hub, installation 4711: GitHub does not take the app for itself":   {func(i *doctor.GitHubInstallation) { i.Err = refused }, nil},
		"broken   github: application hub, installation 4711 of acme is suspended; unsuspend it":         {func(i *doctor.GitHubInstallation) { i.Suspended = true }, nil},
		"broken   github: application hub, installation 4711 of acme lets the app decide nothing; give":  {func(i *doctor.GitHubInstallation) { i.Permitted = false }, nil},
		"broken   github: application hub, installation 4711 of acme does not hear of deployments; subs": {func(i *doctor.GitHubInstallation) { i.Subscribed = false }, nil},
	} {
		i := good
		c.change(&i)
		lines := world{change: func(d *doctor.Config) {
			d.GitHub = func(context.Context) []doctor.GitHubApp {
				return []doctor.GitHubApp{{Name: "hub", Err: c.err, Installations: []doctor.GitHubInstallation{i}}}
			}
		}}.examine(t)
		if last := lines[len(lines)-1]; !strings.HasPrefix(last, want) {
			t.Errorf("found %q, want %q", last, want)
		}
	}
}
