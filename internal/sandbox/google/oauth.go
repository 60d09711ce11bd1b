package google

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// The token endpoint, oauth2.googleapis.com, for service accounts that prove
// themselves by a JWT,
// https://developers.google.com/identity/protocols/oauth2/service-account.
var tokenRoutes = []route{
	{method: "POST", template: "/token", serve: (*Cloud).exchangeAssertion},
}

// Delegation lets a service account act for everybody in the domain, within scopes:
// an entry under "Domain-wide delegation" in the Admin console.
type Delegation struct {
	ServiceAccount string
	Scopes         []string
}

const (
	grantAssertion = "urn:ietf:params:oauth:grant-type:jwt-bearer"
	// draftAssertion is the form of an early draft, which Google's client libraries use.
	draftAssertion = "http://oauth.net/grant_type/jwt/1.0/bearer"
	tokenAudience  = "https://oauth2.googleapis.com/token"

	// maxAssertion is how long an assertion may live, and assertionSkew how far ahead it
	// may have been issued.
	maxAssertion  = time.Hour
	assertionSkew = 5 * time.Minute
)

// The words of Google's documentation, "JWT error codes".
const (
	unauthorizedAccount = "Client is unauthorized to retrieve access tokens using this method, or client not authorized for any of the scopes requested."
	badTimes            = "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. " +
		"Check your 'iat' and 'exp' values and use a clock with skew to account for clock differences between systems."
)

// refused is an error of the token endpoint, which has a shape of its own (RFC 6749,
// 5.2).
func refused(code int, name, description string) *apiError {
	return &apiError{code: code, reason: name, message: description, oauth: true}
}

func invalidGrant(description string) *apiError {
	return refused(http.StatusBadRequest, "invalid_grant", description)
}

// assertion are the claims of the JWT.
type assertion struct {
	Issuer   string `json:"iss"`
	Subject  string `json:"sub"`
	Audience string `json:"aud"`
	Scope    string `json:"scope"`
	Issued   *int64 `json:"iat"`
	Expires  *int64 `json:"exp"`
}

func (c *Cloud) exchangeAssertion(k *call) (any, error) {
	form, err := url.ParseQuery(string(k.body))
	if kind, _, _ := strings.Cut(k.Header.Get("Content-Type"), ";"); err != nil || kind != "application/x-www-form-urlencoded" {
		return nil, refused(http.StatusBadRequest, "invalid_request", "Bad Request")
	}
	switch grant := form.Get("grant_type"); {
	case grant == "":
		return nil, refused(http.StatusBadRequest, "invalid_request", "Missing required parameter: grant_type")
	case grant != grantAssertion && !(grant == "assertion" && form.Get("assertion_type") == draftAssertion):
		return nil, refused(http.StatusBadRequest, "unsupported_grant_type", "Invalid grant_type: "+grant)
	case form.Get("assertion") == "":
		return nil, refused(http.StatusBadRequest, "invalid_request", "Missing required parameter: assertion")
	}
	claims, err := c.verifyAssertion(form.Get("assertion"))
	if err != nil {
		return nil, err
	}
	scopes := strings.Fields(claims.Scope)
	if len(scopes) == 0 {
		return nil, refused(http.StatusBadRequest, "invalid_scope", "Invalid OAuth scope or ID token audience provided.")
	}
	holder := claims.Issuer
	if claims.Subject != "" && claims.Subject != claims.Issuer {
		if !c.delegated(claims.Issuer, scopes) {
			return nil, refused(http.StatusUnauthorized, "unauthorized_client", unauthorizedAccount)
		}
		person := c.person(claims.Subject)
		if person == nil {
			return nil, invalidGrant("Not a valid email.")
		}
		holder = person.Email
	}
	token, err := c.issue(holder, scopes, tokenLife)
	if err != nil {
		return nil, err
	}
	return map[string]any{"access_token": token, "scope": strings.Join(scopes, " "), "token_type": "Bearer", "expires_in": int(tokenLife.Seconds())}, nil
}

// delegated is whether an account may act for everybody with all of the scopes.
func (c *Cloud) delegated(account string, scopes []string) bool {
	for _, d := range c.organization.Delegations {
		missing := slices.ContainsFunc(scopes, func(s string) bool { return !slices.Contains(d.Scopes, s) })
		if d.ServiceAccount == account && !missing {
			return true
		}
	}
	return false
}

// verifyAssertion takes only what one of the service account's keys has signed,
// about itself, for this endpoint, and for an hour at most.
func (c *Cloud) verifyAssertion(jwt string) (claims assertion, err error) {
	parts := strings.Split(jwt, ".")
	if len(parts) != 3 {
		return claims, invalidGrant("Bad Request")
	}
	var header struct{ Alg, Kid string }
	if decodePart(parts[0], &header) != nil || decodePart(parts[1], &claims) != nil {
		return claims, invalidGrant("Bad Request")
	}
	if claims.Issuer != c.organization.ServiceAccount {
		return claims, invalidGrant("Invalid grant: account not found")
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil || header.Alg != "RS256" || !c.signedBy(header.Kid, parts[0]+"."+parts[1], signature) {
		return claims, invalidGrant("Invalid JWT Signature.")
	}
	if claims.Audience != tokenAudience {
		return claims, invalidGrant("Invalid JWT: Failed audience check. The right audience is " + tokenAudience)
	}
	if claims.Issued == nil || claims.Expires == nil {
		return claims, invalidGrant(badTimes)
	}
	issued, expires, now := time.Unix(*claims.Issued, 0), time.Unix(*claims.Expires, 0), c.now()
	if issued.After(now.Add(assertionSkew)) || !expires.After(now) || expires.Sub(issued) > maxAssertion || expires.Before(issued) {
		return claims, invalidGrant(badTimes)
	}
	return claims, nil
}

func decodePart(part string, into any) error {
	raw, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, into)
}

// signedBy is whether the account's key of that id, or without one any of them, has
// signed.
func (c *Cloud) signedBy(id, signed string, signature []byte) bool {
	digest := sha256.Sum256([]byte(signed))
	return slices.ContainsFunc(c.accountKeys, func(k signingKey) bool {
		public, ok := k.key.Public().(*rsa.PublicKey)
		return ok && (id == "" || id == k.id) && rsa.VerifyPKCS1v15(public, crypto.SHA256, digest[:], signature) == nil
	})
}

// Holder is whose access token it is and what it is for, as Google's own servers
// know it; false for one that Google has not issued, or that has ended.
func (c *Cloud) Holder(token string) (email string, scopes []string, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i, known := c.tokens[token]
	if !known || !c.now().Before(i.expires) {
		return "", nil, false
	}
	return i.email(), slices.Clone(i.scopes), true
}
