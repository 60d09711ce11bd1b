package words_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"jitaccess/internal/login"
)

// forgetful is a memory that cannot be written.
type forgetful struct{}

func (forgetful) EndSession(context.Context, string, time.Time) (bool, error) {
	return false, errors.New("no database")
}
func (forgetful) SessionEnded(context.Context, string) (bool, error) { return false, nil }
func clientSecret(context.Context) (string, error)                   { return "s3cret", nil }
func carried(r *http.Request, h http.Header) (with *http.Request) {
	for _, c := range (&http.Response{Header: h}).Cookies() {
		r.AddCookie(c)
	}
	return r
}

// loggingIn comes back from a provider that says whether the address is verified, with an
// answer that is edited, and logs out again.
func loggingIn(verified bool, edit func(url.Values)) func(*testing.T) error {
	return func(t *testing.T) error {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			t.Fatal(err)
		}
		claims := jwt.MapClaims{"aud": "jitaccess", "sub": "1", "email": string(ana), "email_verified": verified,
			"iat": time.Now().Unix(), "exp": time.Now().Add(time.Minute).Unix()}
		var provider *httptest.Server
		provider = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			said := map[string]any{"issuer": provider.URL, "authorization_endpoint": provider.URL, "token_endpoint": provider.URL + "/token", "jwks_uri": provider.URL + "/keys"}
			switch r.URL.Path {
			case "/keys":
				said = map[string]any{"keys": []any{map[string]any{"kty": "RSA", "n": base64.RawURLEncoding.EncodeToString(key.N.Bytes()),
					"e": base64.RawURLEncoding.EncodeToString(big.NewInt(int64(key.E)).Bytes())}}}
			case "/token":
				id, _ := jwt.NewWithClaims(jwt.SigningMethodRS256, claims).SignedString(key)
				said = map[string]any{"access_token": "a", "token_type": "Bearer", "id_token": id}
			}
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(said)
		}))
		t.Cleanup(provider.Close)
		l, err := login.New(login.Config{Issuer: provider.URL, ClientID: "jitaccess", ClientSecret: clientSecret, Origin: "https://access.example.com",
			Keys: [][]byte{make([]byte, 32)}, Sessions: forgetful{}, Now: time.Now})
		if err != nil {
			t.Fatal(err)
		}
		h := http.Header{}
		address, err := l.Start(h, httptest.NewRequest("GET", "/", nil))
		if err != nil {
			t.Fatal(err)
		}
		there, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		claims["iss"], claims["nonce"] = provider.URL, there.Query().Get("nonce")
		back := url.Values{"state": {there.Query().Get("state")}, "code": {"1"}}
		if edit != nil {
			edit(back)
		}
		in := http.Header{}
		if _, _, err := l.Finish(in, carried(httptest.NewRequest("GET", "/oidc/callback?"+back.Encode(), nil), h)); err != nil {
			return err
		}
		_, err = l.End(http.Header{}, carried(httptest.NewRequest("POST", "/oidc/logout", nil), in))
		return err
	}
}
