package google_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"google.golang.org/api/iamcredentials/v1"
)

// keys fetches a published key set.
func (f *fixture) keys(path string) map[string]any {
	f.t.Helper()
	_, body := f.get(path)
	var set struct {
		Keys []struct{ Kid, Kty, N, E, X, Y string }
	}
	if err := json.Unmarshal([]byte(body), &set); err != nil {
		f.t.Fatalf("%v in %s", err, body)
	}
	number := func(s string) *big.Int {
		b, err := base64.RawURLEncoding.DecodeString(s)
		if err != nil {
			f.t.Fatal(err)
		}
		return new(big.Int).SetBytes(b)
	}
	all := map[string]any{}
	for _, k := range set.Keys {
		if k.Kty == "RSA" {
			all[k.Kid] = &rsa.PublicKey{N: number(k.N), E: int(number(k.E).Int64())}
		} else {
			point := append(number(k.X).FillBytes(make([]byte, 32)), number(k.Y).FillBytes(make([]byte, 32))...)
			key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append([]byte{4}, point...))
			if err != nil {
				f.t.Fatal(err)
			}
			all[k.Kid] = key
		}
	}
	return all
}

// verify checks a token with the published keys of its kid.
func (f *fixture) verify(token, path, algorithm string) (jwt.MapClaims, error) {
	keys := f.keys(path)
	parsed, err := jwt.Parse(token, func(t *jwt.Token) (any, error) {
		if k := keys[t.Header["kid"].(string)]; k != nil {
			return k, nil
		}
		return nil, fmt.Errorf("kid %v is not published", t.Header["kid"])
	}, jwt.WithValidMethods([]string{algorithm}), jwt.WithTimeFunc(func() time.Time { return start }), jwt.WithExpirationRequired())
	if err != nil {
		return nil, err
	}
	return parsed.Claims.(jwt.MapClaims), nil
}

func TestSignJwt(t *testing.T) {
	f := newFixture(t)
	s, err := iamcredentials.NewService(t.Context(), f.service()...)
	if err != nil {
		t.Fatal(err)
	}
	name := "projects/-/serviceAccounts/" + f.ServiceAccount()
	published := "/service_accounts/v1/metadata/jwk/" + f.ServiceAccount()
	sign := func(payload string) (*iamcredentials.SignJwtResponse, error) {
		return s.Projects.ServiceAccounts.SignJwt(name, &iamcredentials.SignJwtRequest{Payload: payload}).Do()
	}
	at := func(d time.Duration) string {
		return fmt.Sprintf(`{"iss":"me","exp":%d}`, start.Add(d).Unix())
	}

	first, err := sign(at(12 * time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if claims, err := f.verify(first.SignedJwt, published, "RS256"); err != nil || claims["iss"] != "me" {
		t.Errorf("%v, %v", claims, err)
	}
	if answer, err := sign(`{"iss":"me"}`); err != nil {
		t.Error(err)
	} else if claims, err := f.verify(answer.SignedJwt, published, "RS256"); err != nil || claims["exp"] != float64(start.Add(time.Hour).Unix()) {
		t.Errorf("without exp: %v, %v", claims, err)
	}

	for rule, payload := range map[string]string{
		"at most 12 hours": at(12*time.Hour + time.Second), "in the past": at(-time.Second), "integer": `{"exp":"soon"}`, "JSON object": `[]`, "Claims Set": `null`,
	} {
		_, err := sign(payload)
		refused(t, err, 400, rule)
	}
	_, err = s.Projects.ServiceAccounts.SignJwt("projects/-/serviceAccounts/deployer@shop-build.iam.gserviceaccount.com", &iamcredentials.SignJwtRequest{Payload: "{}"}).Do()
	refused(t, err, 403, "Permission 'iam.serviceAccounts.signJwt' denied on resource (or it may not exist).")

	// Rotated keys stay published until they are dropped.
	if err := f.Faults().RotateKeys(); err != nil {
		t.Fatal(err)
	}
	second, err := sign(at(time.Hour))
	if err != nil || second.KeyId == first.KeyId {
		t.Fatalf("still %s, %v", second.KeyId, err)
	}
	for _, token := range []string{first.SignedJwt, second.SignedJwt} {
		if _, err := f.verify(token, published, "RS256"); err != nil {
			t.Error(err)
		}
	}
	f.Faults().DropOldKeys()
	if _, err := f.verify(first.SignedJwt, published, "RS256"); err == nil {
		t.Error("verifies with a key that was dropped")
	}
	if code, _ := f.get("/service_accounts/v1/metadata/jwk/other@x.iam.gserviceaccount.com"); code != 404 {
		t.Errorf("keys of another account: %d", code)
	}

	f.Faults().RevokePermission("iam.serviceAccounts.signJwt")
	_, err = sign(at(time.Hour))
	refused(t, err, 403, "iam.serviceAccounts.signJwt")
}

func TestIAPAssertion(t *testing.T) {
	f := newFixture(t)
	const published, audience = "/iap/verify/public_key-jwk", "/projects/264853019977/apps/example-jitaccess"
	alice := f.People()[0]
	for range 50 { // Signatures with leading zeros, too.
		token, err := f.SignIAPAssertion(alice.Email, alice.Subject, audience)
		if err != nil {
			t.Fatal(err)
		}
		claims, err := f.verify(token, published, "ES256")
		if err != nil {
			t.Fatal(err)
		}
		device, _ := claims["google"].(map[string]any)
		if claims["iss"] != "https://cloud.google.com/iap" || claims["aud"] != audience || claims["email"] != alice.Email || claims["sub"] != alice.Subject ||
			claims["hd"] != "example.com" || claims["exp"].(float64)-claims["iat"].(float64) != 600 || device["device_id"] == "" || device["access_levels"] == nil {
			t.Fatalf("claims %v", claims)
		}
	}
	forged, err := f.SignIAPAssertion(alice.Email, alice.Subject, audience, func(c map[string]any) { c["exp"] = start.Add(-time.Hour).Unix() })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.verify(forged, published, "ES256"); err == nil {
		t.Error("the edit had no effect")
	}
	if err := f.Faults().RotateKeys(); err != nil {
		t.Fatal(err)
	}
	token, err := f.SignIAPAssertion(alice.Email, alice.Subject, audience)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.verify(token, published, "ES256"); err != nil || len(f.keys(published)) != 2 {
		t.Errorf("%v with %d keys", err, len(f.keys(published)))
	}
}
