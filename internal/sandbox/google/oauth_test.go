package google_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/api/iamcredentials/v1"
	"google.golang.org/api/impersonate"
	"google.golang.org/api/option"

	"jitaccess/internal/sandbox/google"
)

const scopeMail = "https://mail.google.com/"

// delegated lets the service account act for everybody.
func delegated(o *google.Options) {
	o.Organization = google.Believable(start)
	o.Organization.Delegations = []google.Delegation{{ServiceAccount: o.Organization.ServiceAccount, Scopes: []string{scopeMail, google.ScopePubSub}}}
}

// sign has Google sign a payload as the service account.
func (f *fixture) sign(claims map[string]any) string {
	f.t.Helper()
	s, err := iamcredentials.NewService(f.t.Context(), f.service()...)
	if err != nil {
		f.t.Fatal(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		f.t.Fatal(err)
	}
	answer, err := s.Projects.ServiceAccounts.SignJwt("projects/-/serviceAccounts/"+f.ServiceAccount(), &iamcredentials.SignJwtRequest{Payload: string(payload)}).Do()
	if err != nil {
		f.t.Fatal(err)
	}
	return answer.SignedJwt
}

// exchange asks for a token; the answer's fields are of the one or the other kind.
func (f *fixture) exchange(form url.Values) (code int, answer struct {
	AccessToken      string `json:"access_token"`
	TokenType        string `json:"token_type"`
	Scope            string
	ExpiresIn        int `json:"expires_in"`
	Error            string
	ErrorDescription string `json:"error_description"`
}) {
	f.t.Helper()
	code, body := f.do("POST", "/token", form.Encode(), "Content-Type", "application/x-www-form-urlencoded")
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		f.t.Fatalf("%d %s", code, body)
	}
	return code, answer
}

func assertionForm(jwt string) url.Values {
	return url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {jwt}}
}

// good are claims that are taken.
func (f *fixture) good() map[string]any {
	return map[string]any{"iss": f.ServiceAccount(), "sub": "alice@example.com", "scope": scopeMail, "aud": "https://oauth2.googleapis.com/token",
		"iat": start.Unix(), "exp": start.Add(time.Hour).Unix()}
}

func TestTokenEndpoint(t *testing.T) {
	f := newFixture(t, delegated)
	code, answer := f.exchange(assertionForm(f.sign(f.good())))
	if code != 200 || answer.TokenType != "Bearer" || answer.ExpiresIn != 3600 || answer.Scope != scopeMail || answer.AccessToken == "" {
		t.Fatalf("%d %+v", code, answer)
	}
	email, scopes, ok := f.Holder(answer.AccessToken)
	if email != "alice@example.com" || !slices.Equal(scopes, []string{scopeMail}) || !ok {
		t.Errorf("the token is %s's, for %q, %v", email, scopes, ok)
	}
	f.offset.Store(int64(time.Hour))
	if _, _, ok := f.Holder(answer.AccessToken); ok {
		t.Error("the token has not ended after an hour")
	}
	if _, _, ok := f.Holder("ya29.forged"); ok {
		t.Error("a forged token is known")
	}
}

func TestTokenEndpoint_Refusals(t *testing.T) {
	f := newFixture(t, delegated)
	for _, c := range []struct {
		name   string
		change func(map[string]any)
		code   int
		error  string
		says   string
	}{
		{"not delegated for the scope", func(c map[string]any) { c["scope"] = "https://www.googleapis.com/auth/drive" }, 401, "unauthorized_client", "not authorized for any of the scopes requested"},
		{"one of two scopes", func(c map[string]any) { c["scope"] = scopeMail + " https://www.googleapis.com/auth/drive" }, 401, "unauthorized_client", ""},
		{"nobody of that name", func(c map[string]any) { c["sub"] = "nobody@example.com" }, 400, "invalid_grant", "Not a valid email."},
		{"no scope", func(c map[string]any) { c["scope"] = " " }, 400, "invalid_scope", ""},
		{"another account's", func(c map[string]any) { c["iss"] = "other@example-jitaccess.iam.gserviceaccount.com" }, 400, "invalid_grant", "account not found"},
		{"another audience", func(c map[string]any) { c["aud"] = "https://example.com/token" }, 400, "invalid_grant", "audience"},
		{"for more than an hour", func(c map[string]any) { c["exp"] = start.Add(time.Hour + time.Second).Unix() }, 400, "invalid_grant", "short-lived token (60 minutes)"},
		{"of tomorrow", func(c map[string]any) {
			c["iat"], c["exp"] = start.Add(9*time.Hour).Unix(), start.Add(10*time.Hour).Unix()
		}, 400, "invalid_grant", "reasonable timeframe"},
		{"ends before it begins", func(c map[string]any) {
			c["iat"] = start.Add(4 * time.Minute).Unix()
			c["exp"] = start.Add(3 * time.Minute).Unix()
		}, 400, "invalid_grant", ""},
		{"without a beginning", func(c map[string]any) { delete(c, "iat") }, 400, "invalid_grant", ""},
	} {
		claims := f.good()
		c.change(claims)
		if code, answer := f.exchange(assertionForm(f.sign(claims))); code != c.code || answer.Error != c.error || !strings.Contains(answer.ErrorDescription, c.says) {
			t.Errorf("%s: %d %+v", c.name, code, answer)
		}
	}
	signed := f.sign(f.good())
	parts := strings.Split(signed, ".")
	for name, c := range map[string]struct {
		form  url.Values
		error string
	}{
		"signed by nobody":     {assertionForm(parts[0] + "." + parts[1] + "."), "invalid_grant"},
		"claims of another":    {assertionForm(parts[0] + "." + strings.Split(f.sign(map[string]any{"iss": f.ServiceAccount()}), ".")[1] + "." + parts[2]), "invalid_grant"},
		"alg none":             {assertionForm("eyJhbGciOiJub25lIn0." + parts[1] + "."), "invalid_grant"},
		"no JWT":               {assertionForm("x"), "invalid_grant"},
		"no base64":            {assertionForm("!.!.!"), "invalid_grant"},
		"nothing":              {url.Values{}, "invalid_request"},
		"no assertion":         {assertionForm(""), "invalid_request"},
		"a refresh token":      {url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"x"}}, "unsupported_grant_type"},
		"the assertion as JWT": {url.Values{"grant_type": {"jwt-bearer"}, "assertion": {signed}}, "unsupported_grant_type"},
	} {
		if code, answer := f.exchange(c.form); code != 400 || answer.Error != c.error || answer.AccessToken != "" {
			t.Errorf("%s: %d %+v", name, code, answer)
		}
	}
	f.offset.Store(int64(time.Hour))
	if code, answer := f.exchange(assertionForm(signed)); code != 400 || answer.Error != "invalid_grant" {
		t.Errorf("an assertion that has ended: %d %+v", code, answer)
	}
}

func TestTokenEndpoint_WithoutDelegation(t *testing.T) {
	f := newFixture(t)
	if code, answer := f.exchange(assertionForm(f.sign(f.good()))); code != 401 || answer.Error != "unauthorized_client" {
		t.Errorf("%d %+v", code, answer)
	}
	// It can always act for itself.
	claims := f.good()
	delete(claims, "sub")
	_, answer := f.exchange(assertionForm(f.sign(claims)))
	if email, _, ok := f.Holder(answer.AccessToken); email != f.ServiceAccount() || !ok {
		t.Errorf("%+v is %s's", answer, email)
	}
}

// Google's own client exchanges an assertion of its own making.
func TestTokenEndpoint_WithGooglesClient(t *testing.T) {
	f := newFixture(t, delegated, func(o *google.Options) { o.Now = time.Now })
	source, err := impersonate.CredentialsTokenSource(t.Context(), impersonate.CredentialsConfig{
		TargetPrincipal: f.ServiceAccount(), Subject: "alice@example.com", Scopes: []string{scopeMail},
	}, option.WithHTTPClient(&http.Client{Transport: redirected{bearer(f.metadataToken()), f.url}}))
	if err != nil {
		t.Fatal(err)
	}
	token, err := source.Token()
	if err != nil {
		t.Fatal(err)
	}
	if email, _, ok := f.Holder(token.AccessToken); email != "alice@example.com" || !ok {
		t.Errorf("the token is %s's", email)
	}
}

// redirected sends what is for Google's hosts to the cloud.
type redirected struct {
	http.RoundTripper
	url string
}

func (r redirected) RoundTrip(request *http.Request) (*http.Response, error) {
	u, err := url.Parse(r.url)
	if err != nil || !strings.HasSuffix(request.URL.Host, ".googleapis.com") {
		return nil, fmt.Errorf("%v for %s", err, request.URL.Host)
	}
	request = request.Clone(request.Context())
	request.URL.Scheme, request.URL.Host = u.Scheme, u.Host
	return r.RoundTripper.RoundTrip(request)
}
