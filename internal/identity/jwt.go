package identity

import (
	"net/http"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/jose"
)

// Signed is a header in which some proxy passes a signed token on, such as the ID token with
// which somebody has signed in. Everything is required.
type Signed struct {
	// Header has it, in any spelling. In Authorization it is a bearer token.
	Header string
	// Issuer and Audience are the exact iss, and aud or one of its list; it must be the azp, if
	// there is one.
	Issuer, Audience string
	Algorithms       []jose.Algorithm
	// EmailClaim and SubjectClaim say who it is.
	EmailClaim, SubjectClaim string
}

// JWT is any proxy that passes a signed token on. An ID token that a proxy keeps beyond its
// end is refused, even though the proxy's own session goes on.
func JWT(s Signed) Profile {
	p := Profile{
		Method:   "jwt",
		Header:   http.CanonicalHeaderKey(s.Header),
		Form:     jose.Form{Algorithms: s.Algorithms},
		Issuer:   IssuedBy(s.Issuer),
		Audience: madeFor(s.Audience),
		Ours:     only(s.Audience),
		Expected: s.Audience,
		MaxLife:  31 * 24 * time.Hour,
		MaxAge:   time.Hour,
		Caller: func(t jose.Token) (access.Caller, error) {
			return Person(t.Claims, s.SubjectClaim, s.EmailClaim)
		},
		Event:   "jwt.authenticate",
		Check:   "IssuerKeysAreAvailable",
		Service: "the key server of " + s.Issuer,
	}
	if p.Header == "Authorization" {
		p.Scheme = "Bearer"
	}
	return p
}
