package identity_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"testing"
	"time"

	"jitaccess/internal/identity"
	"jitaccess/internal/jose"
	"jitaccess/internal/token"
	"jitaccess/internal/token/tokentest"
)

// Incidents 4, 5 and 16: a token that is good for one thing was taken for another.
// Here every kind of token is shown to every verifier, signed with either
// algorithm, and as if all of them shared their keys; only the two right pairs
// hold.
func TestThreat10_NoTokenServesForAnother(t *testing.T) {
	const account = "jitaccess@ops-prod.iam.gserviceaccount.com"
	iat, exp := now.Unix(), now.Unix()+600
	activation := claims{
		"iss": account, "aud": account, "iat": iat, "exp": exp, "jti": "mpa-0123456789abcdef", "beneficiary": "ana@example.com",
		"reviewers": []string{"ben@example.com"}, "entitlement": "shop-prod:roles/viewer", "justification": "b/42",
		"start": iat, "end": iat + 1800, "purpose": "activation", "duration": 1800,
	}
	change := func(c claims, changes claims) claims {
		c = maps.Clone(c)
		maps.Copy(c, changes)
		return c
	}
	kinds := map[string]claims{
		"IAP assertion":                       goodClaims(),
		"IAP assertion of another service":    with("aud", "/projects/9/apps/other"),
		"activation token":                    activation,
		"activation token of a test instance": change(activation, claims{"iss": "test@ops-test.iam.gserviceaccount.com", "aud": "test@ops-test.iam.gserviceaccount.com"}),
		"approval record":                     change(activation, claims{"purpose": "approval"}),
		"approval without a request":          {"iss": account, "aud": account, "iat": iat, "exp": exp, "jti": "mpa-0123456789abcdef", "purpose": "approval", "digest": "00"},
		"self-signed credential":              {"iss": account, "sub": account, "aud": "https://cloudresourcemanager.googleapis.com/", "iat": iat, "exp": exp},
		"credential for an access token":      {"iss": account, "scope": "https://www.googleapis.com/auth/cloud-platform", "aud": "https://oauth2.googleapis.com/token", "iat": iat, "exp": exp},
		"ID token of a person":                change(goodClaims(), claims{"iss": "https://accounts.google.com", "aud": "1234.apps.googleusercontent.com", "email_verified": true}),
		"ID token of the account":             {"iss": "https://accounts.google.com", "aud": audience, "azp": "1", "sub": "1", "email": account, "iat": iat, "exp": exp},
		"activation token with a person in":   change(goodClaims(), activation),
		"nothing but times":                   {"iat": iat, "exp": exp},
		"nothing":                             {},
	}
	signer, err := tokentest.New()
	if err != nil {
		t.Fatal(err)
	}
	document, err := signer.KeySet(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	var set struct{ Keys []claims }
	if err := json.Unmarshal(document, &set); err != nil {
		t.Fatal(err)
	}
	keys := keySet(append(set.Keys, jwk("iap-1", iapKey()))...)
	clock := func() time.Time { return now }
	store := token.NewStore(token.Config{ServiceAccount: account, Signer: signer, Keys: keys, Now: clock})
	exact := verifier(t, func(p *parts) { p.keys = keys })
	anyOfProject := verifier(t, func(p *parts) { p.keys, p.front = keys, identity.Front{AnyOfProject: true, ProjectNumber: "123456"} })

	accepted := map[string]bool{}
	for kind, c := range kinds {
		byRSA, err := signer.SignJWT(context.Background(), []byte(text(c)))
		if err != nil {
			t.Fatal(err)
		}
		for algorithm, jwt := range map[jose.Algorithm]string{jose.RS256: byRSA, jose.ES256: assertion(c)} {
			link, err := token.EncodeLink(jwt)
			if err != nil {
				t.Fatal(err)
			}
			for _, form := range []string{jwt, link} {
				if _, err := store.Open(context.Background(), form); err == nil {
					accepted[fmt.Sprintf("%s %s opens", algorithm, kind)] = true
				}
				for name, v := range map[string]*identity.Verifier{"exact": exact, "any of project": anyOfProject} {
					if _, err := v.Identify(request(form)); err == nil {
						accepted[fmt.Sprintf("%s %s identifies, %s", algorithm, kind, name)] = true
					}
				}
			}
		}
	}
	want := map[string]bool{
		"RS256 activation token opens":                   true,
		"ES256 IAP assertion identifies, exact":          true,
		"ES256 IAP assertion identifies, any of project": true,
	}
	if !maps.Equal(accepted, want) {
		t.Errorf("accepted %v, want %v", accepted, want)
	}
}
