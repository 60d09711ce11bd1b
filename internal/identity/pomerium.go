package identity

import (
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/jose"
)

// Pomerium is Pomerium in front of the route at host, which has to pass identity headers on.
// The issuer is the host, or in the format "uri" the host as an address; an assertion says it
// of the host alone, and nothing of the path. It is made for each request and valid for five
// minutes.
// https://www.pomerium.com/docs/capabilities/getting-users-identity, and pomerium/pomerium,
// authorize/evaluator/headers_evaluator_evaluation.go.
func Pomerium(host string) Profile {
	return Profile{
		Method:        "pomerium",
		Header:        "X-Pomerium-Jwt-Assertion",
		Form:          jose.Form{Algorithms: []jose.Algorithm{jose.ES256}},
		Issuer:        IssuedBy(host, "https://"+host, "https://"+host+"/"),
		Audience:      madeFor(host),
		Ours:          only(host),
		Expected:      host,
		MaxLife:       10 * time.Minute,
		Caller:        func(t jose.Token) (access.Caller, error) { return Person(t.Claims, "sub", "email") },
		Event:         "pomerium.authenticate",
		Check:         "PomeriumKeysAreAvailable",
		Service:       "the key server of Pomerium",
		SwitchAccount: "/.pomerium/sign_out",
	}
}
