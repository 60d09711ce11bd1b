package doctor

import (
	"context"
	"fmt"
)

// GitHubApp is an application that is a GitHub App.
type GitHubApp struct {
	Name string
	// Err is why its private key or the secret of its webhook cannot be had.
	Err           error
	Installations []GitHubInstallation
}

// GitHubInstallation is an installation of an app, as GitHub describes it; Err is why it does not.
type GitHubInstallation struct {
	ID      int64
	Account string
	// Permitted: the app may decide about deployments. Subscribed: it hears of them.
	Suspended, Permitted, Subscribed bool
	Err                              error
}

// gitHub is whether GitHub takes apps for themselves, and lets them decide. What GitHub has as the
// address and the secret of the webhook it tells nobody.
func (d *doctor) gitHub(ctx context.Context) {
	if d.GitHub == nil {
		return
	}
	const check = "github"
	for _, a := range d.GitHub(ctx) {
		if a.Err != nil {
			d.broken(check, "application "+a.Name+": "+a.Err.Error(), "correct what github of the application names (docs/github.md)")
			continue
		}
		for _, i := range a.Installations {
			at := fmt.Sprintf("application %s, installation %d", a.Name, i.ID)
			switch {
			case i.Err != nil:
				d.broken(check, at+": "+why(i.Err), "compare app_id, private_key and installations "+
					"with the settings of the app at GitHub (docs/github.md)")
			case i.Suspended:
				d.broken(check, at+" of "+i.Account+" is suspended", "unsuspend it, in the settings of the installation at GitHub")
			case !i.Permitted:
				d.broken(check, at+" of "+i.Account+" lets the app decide nothing", "give the app the permission Deployments, read and write, "+
					"and have the owner of the installation accept that")
			case !i.Subscribed:
				d.broken(check, at+" of "+i.Account+" does not hear of deployments", "subscribe the app to the event Deployment protection rule")
			default:
				d.ok(check, "%s: GitHub takes the app for itself, and lets it decide about deployments of %s", at, i.Account)
			}
		}
	}
}
