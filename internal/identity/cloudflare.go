package identity

import (
	"errors"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/jose"
)

// CloudflareOrigin is whose assertions those of a team are.
func CloudflareOrigin(team string) string { return "https://" + team + ".cloudflareaccess.com" }

// CloudflareCerts is the path of the team's keys.
const CloudflareCerts = "/cdn-cgi/access/certs"

// Cloudflare is Cloudflare Access in front of the application with the audience tag. Its
// assertions live as long as the session that the administrator allows, a month at most. A
// service token has no e-mail address and is nobody.
// https://developers.cloudflare.com/cloudflare-one/identity/authorization-cookie/application-token/
func Cloudflare(team, tag string) Profile {
	ours := madeFor(tag)
	return Profile{
		Method: "cloudflare",
		Header: "Cf-Access-Jwt-Assertion",
		Form:   jose.Form{Algorithms: []jose.Algorithm{jose.RS256}},
		Issuer: IssuedBy(CloudflareOrigin(team)),
		Audience: func(t jose.Token) error {
			// The token of the global session is signed by the same keys, and is for no application.
			if kind, _ := t.Claims.String("type"); kind != "app" {
				return errors.New("it is not the token of an application")
			}
			return ours(t)
		},
		Ours:          only(tag),
		Expected:      tag,
		MaxLife:       31 * 24 * time.Hour,
		MaxAge:        24 * time.Hour,
		Caller:        func(t jose.Token) (access.Caller, error) { return Person(t.Claims, "sub", "email") },
		Event:         "cloudflare.authenticate",
		Check:         "CloudflareKeysAreAvailable",
		Service:       "the key server of Cloudflare Access",
		SwitchAccount: "/cdn-cgi/access/logout",
	}
}
