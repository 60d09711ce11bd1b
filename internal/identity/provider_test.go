package identity_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/identity"
	"jitaccess/internal/jose"
	"jitaccess/internal/oauth/oauthtest"
)

// tokens are what the provider gives an application of its own for a refresh token.
func tokens(t *testing.T, s *oauthtest.Server, application, refresh string) (id, forMail string) {
	t.Helper()
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh}}
	r, err := http.NewRequest(http.MethodPost, s.TokenURL(), strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(url.QueryEscape(application), url.QueryEscape(oauthtest.Secret))
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var said struct {
		ID     string `json:"id_token"`
		Access string `json:"access_token"`
	}
	if err := json.NewDecoder(response.Body).Decode(&said); err != nil || said.ID == "" || said.Access == "" {
		t.Fatalf("%s: %v, %+v", response.Status, err, said)
	}
	return said.ID, said.Access
}

// A real OpenID provider: its keys are found by its name, its ID token for the client names
// the person, and nothing else that it has signed does.
func TestJWT_TokensOfARealProvider(t *testing.T) {
	s := oauthtest.Start(t)
	id, forMail := tokens(t, s, oauthtest.Consented, s.RefreshToken)
	forAnother, _ := tokens(t, s, oauthtest.Rotating, s.RotatingToken)
	at := func(later time.Duration, change func(*identity.Signed)) func(string) (access.Caller, error) {
		signed := identity.Signed{Header: "Authorization", Issuer: s.Issuer, Audience: oauthtest.Consented, Algorithms: []jose.Algorithm{jose.RS256},
			EmailClaim: "sub", SubjectClaim: "sub"}
		if change != nil {
			change(&signed)
		}
		clock := func() time.Time { return time.Now().Add(later) }
		v, err := identity.New(identity.Config{Profile: identity.JWT(signed), Keys: jose.NewKeySet(identity.FetchKeysOf(s.Issuer), clock), Now: clock})
		if err != nil {
			t.Fatal(err)
		}
		return func(token string) (access.Caller, error) {
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.Header.Set("Authorization", "Bearer "+token)
			return v.Identify(r)
		}
	}
	caller, err := at(0, nil)(id)
	if err != nil || caller.Principal != oauthtest.Mailbox || caller.Subject != oauthtest.Mailbox || caller.Method != "jwt" {
		t.Errorf("the ID token: %+v, %v", caller, err)
	}
	for what, try := range map[string]func() (access.Caller, error){
		"the ID token for another client": func() (access.Caller, error) { return at(0, nil)(forAnother) },
		"an access token":                 func() (access.Caller, error) { return at(0, nil)(forMail) },
		"the same two hours later":        func() (access.Caller, error) { return at(2*time.Hour, nil)(id) },
		"for whom other algorithms hold": func() (access.Caller, error) {
			return at(0, func(s *identity.Signed) { s.Algorithms = []jose.Algorithm{jose.ES256} })(id)
		},
		"for whom the issuer ends in a slash": func() (access.Caller, error) { return at(0, func(s *identity.Signed) { s.Issuer += "/" })(id) },
		"without the claim":                   func() (access.Caller, error) { return at(0, func(s *identity.Signed) { s.EmailClaim = "email" })(id) },
	} {
		caller, err := try()
		wantError(t, what, caller, err, access.Unauthenticated, access.CodeBadIdentity)
	}
}
