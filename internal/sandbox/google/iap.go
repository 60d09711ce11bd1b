package google

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"strings"
	"time"
)

// Identity-Aware Proxy: the keys with which it signs, and its assertions.
var iapRoutes = []route{
	{method: "GET", template: "/iap/verify/public_key-jwk", serve: func(c *Cloud, _ *call) (any, error) {
		if _, err := c.iapKey(); err != nil {
			return nil, err
		}
		return keySet(c.iapKeys), nil
	}},
}

// assertionLife is how long IAP's assertions live.
const assertionLife = 10 * time.Minute

func (c *Cloud) rotateIAPKeys() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), c.random)
	if err != nil {
		return err
	}
	id, err := c.keyID(3)
	if err != nil {
		return err
	}
	c.iapKeys = append(c.iapKeys, signingKey{id, key})
	return nil
}

func (c *Cloud) iapKey() (signingKey, error) {
	if len(c.iapKeys) == 0 {
		if err := c.rotateIAPKeys(); err != nil {
			return signingKey{}, err
		}
	}
	return c.iapKeys[len(c.iapKeys)-1], nil
}

// SignIAPAssertion makes the value of the header x-goog-iap-jwt-assertion, ES256,
// verifiable with the keys at /iap/verify/public_key-jwk. The subject is the
// person's, accounts.google.com:…. The edits may change any claim before it is
// signed, to make assertions that IAP would not.
// https://cloud.google.com/iap/docs/signed-headers-howto
func (c *Cloud) SignIAPAssertion(email, subject, audience string, edits ...func(claims map[string]any)) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	_, domain, _ := strings.Cut(email, "@")
	claims := map[string]any{
		"iss": "https://cloud.google.com/iap", "sub": subject, "email": email, "aud": audience, "azp": audience,
		"iat": now.Unix(), "exp": now.Add(assertionLife).Unix(), "hd": domain,
		"google": map[string]any{"access_levels": []string{"accessPolicies/518551280924/accessLevels/corporate_device"}, "device_id": "d-" + directoryID(email)[:8]},
	}
	for _, edit := range edits {
		edit(claims)
	}
	key, err := c.iapKey()
	if err != nil {
		return "", err
	}
	return c.sign(key, encodeCompact(claims))
}
