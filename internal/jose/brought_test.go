package jose_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"math/big"
	"testing"

	"jitaccess/internal/jose"
)

// A key that is brought along verifies as one that is fetched does, and is as good.
func TestAKeyThatIsBroughtAlong(t *testing.T) {
	form := jose.Form{Algorithms: []jose.Algorithm{jose.RS256, jose.ES256}}
	rs, es := sign(rsaHeader, payload, rsaKey()), sign(ecHeader, payload, ecKey())
	for token, key := range map[string]any{rs: &rsaKey().PublicKey, es: &ecKey().PublicKey} {
		got, err := form.VerifyWith(token, key)
		if err != nil || got.Key != key || got.Claims == nil {
			t.Errorf("%+v, %v", got, err)
		}
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	short := &rsa.PublicKey{N: new(big.Int).Rsh(rsaKey().N, 1), E: rsaKey().E}
	even := &rsa.PublicKey{N: rsaKey().N, E: 3}
	for what, c := range map[string]struct {
		token string
		key   any
	}{
		"another's": {rs, &otherRSA().PublicKey}, "for the other algorithm": {rs, &ecKey().PublicKey}, "short": {rs, short}, "a small exponent": {rs, even},
		"on another curve": {es, &p384.PublicKey}, "none": {rs, nil}, "no key": {rs, "key"}, "nothing signed": {"", &rsaKey().PublicKey},
	} {
		if _, err := form.VerifyWith(c.token, c.key); err == nil {
			t.Errorf("%s: accepted", what)
		}
	}
}
