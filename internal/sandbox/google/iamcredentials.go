package google

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// IAM Credentials, and the public keys of service accounts.
var credentialRoutes = []route{
	{method: "POST", template: "/v1/projects/-/serviceAccounts/{account}:signJwt", scopes: scopesIAM, serve: (*Cloud).signJwt},
	{method: "POST", template: "/v1/projects/-/serviceAccounts/{account}:generateAccessToken", scopes: scopesIAM, serve: (*Cloud).generateAccessToken},
	{method: "GET", template: "/service_accounts/v1/metadata/jwk/{account}", serve: (*Cloud).accountKeySet},
}

// maxSigned is how far ahead signJwt lets a token expire.
const maxSigned = 12 * time.Hour

// signingKey is one key of a rotating set; the last of a set signs.
type signingKey struct {
	id  string
	key crypto.Signer
}

// firstKey is what every Cloud of a process signs with until it rotates its keys:
// making one takes longer than all else that a Cloud is made of.
var firstKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

// rotateAccountKeys adds a key that signs from now on. The old ones stay published.
func (c *Cloud) rotateAccountKeys() error {
	key, err := rsa.GenerateKey(c.random, 2048)
	if err != nil {
		return err
	}
	return c.addAccountKey(key)
}

func (c *Cloud) addAccountKey(key *rsa.PrivateKey) error {
	id, err := c.keyID(20)
	if err != nil {
		return err
	}
	c.accountKeys = append(c.accountKeys, signingKey{id, key})
	return nil
}

func (c *Cloud) keyID(bytes int) (string, error) {
	b := make([]byte, bytes)
	_, err := io.ReadFull(c.random, b)
	return hex.EncodeToString(b), err
}

// accountKey is the key that signs; it is made when it is first needed.
func (c *Cloud) accountKey() (signingKey, error) {
	if len(c.accountKeys) == 0 {
		key, err := firstKey()
		if err == nil {
			err = c.addAccountKey(key)
		}
		if err != nil {
			return signingKey{}, err
		}
	}
	return c.accountKeys[len(c.accountKeys)-1], nil
}

// ownAccount refuses what the caller may not do as the account of the path.
func (c *Cloud) ownAccount(k *call, permission string) error {
	n := c.nodes["projects/"+c.organization.ServiceProject+"/serviceAccounts/"+k.vars["account"]]
	if n == nil || !c.allowed(k.caller.member, permission, n.name, c.now(), nil) {
		e := failure(http.StatusForbidden, "Permission '%s' denied on resource (or it may not exist).", permission)
		e.info = errorInfo("IAM_PERMISSION_DENIED", "iam.googleapis.com", map[string]any{"permission": permission})
		return e
	}
	return nil
}

// signJwt signs a payload with the account's current key,
// https://cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts/signJwt.
func (c *Cloud) signJwt(k *call) (any, error) {
	var body struct {
		Payload   string   `json:"payload"`
		Delegates []string `json:"delegates"`
	}
	if err := k.read(&body); err != nil {
		return nil, err
	}
	if err := c.ownAccount(k, "iam.serviceAccounts.signJwt"); err != nil {
		return nil, err
	}
	payload, err := c.signable(body.Payload)
	if err != nil {
		return nil, err
	}
	key, err := c.accountKey()
	if err != nil {
		return nil, err
	}
	signed, err := c.sign(key, payload)
	if err != nil {
		return nil, err
	}
	return map[string]any{"keyId": key.id, "signedJwt": signed}, nil
}

// signable checks the expiry of a payload, and adds one where there is none.
func (c *Cloud) signable(payload string) ([]byte, error) {
	var claims map[string]json.RawMessage
	if err := json.Unmarshal([]byte(payload), &claims); err != nil || claims == nil {
		return nil, invalid("The payload must be a JSON object that contains a JWT Claims Set.")
	}
	now := c.now()
	raw, ok := claims["exp"]
	if !ok {
		claims["exp"] = encode(now.Add(time.Hour).Unix(), false)
		return encode(claims, false), nil
	}
	var exp int64
	if err := json.Unmarshal(raw, &exp); err != nil {
		return nil, invalid("The expiry (exp) must be an integer: seconds since the epoch.")
	}
	switch at := time.Unix(exp, 0); {
	case at.Before(now):
		return nil, invalid("The expiry (exp) must not be in the past.")
	case at.After(now.Add(maxSigned)):
		return nil, invalid("The expiry (exp) must be at most 12 hours in the future.")
	}
	return []byte(payload), nil
}

// sign makes a compact JWS, RS256 or ES256 by the key's kind.
func (c *Cloud) sign(key signingKey, payload []byte) (string, error) {
	header := map[string]string{"alg": "RS256", "kid": key.id, "typ": "JWT"}
	elliptic, isElliptic := key.key.(*ecdsa.PrivateKey)
	if isElliptic {
		header["alg"] = "ES256"
	}
	encoding := base64.RawURLEncoding
	signed := encoding.EncodeToString(encodeCompact(header)) + "." + encoding.EncodeToString(payload)
	digest := sha256.Sum256([]byte(signed))
	var signature []byte
	if isElliptic {
		r, s, err := ecdsa.Sign(c.random, elliptic, digest[:])
		if err != nil {
			return "", err
		}
		signature = append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	} else {
		var err error
		if signature, err = key.key.Sign(c.random, digest[:], crypto.SHA256); err != nil {
			return "", err
		}
	}
	return signed + "." + encoding.EncodeToString(signature), nil
}

func encodeCompact(v any) []byte { return []byte(strings.TrimSuffix(string(encode(v, false)), "\n")) }

// jwk is the public half of a key.
func jwk(key signingKey) any {
	number := func(n *big.Int) string { return base64.RawURLEncoding.EncodeToString(n.Bytes()) }
	switch public := key.key.Public().(type) {
	case *rsa.PublicKey:
		return map[string]any{"kty": "RSA", "alg": "RS256", "use": "sig", "kid": key.id, "n": number(public.N), "e": number(big.NewInt(int64(public.E)))}
	case *ecdsa.PublicKey:
		point, err := public.Bytes()
		if err != nil || public.Curve != elliptic.P256() {
			panic("a key that is not on P-256")
		}
		coordinate := base64.RawURLEncoding.EncodeToString
		return map[string]any{"kty": "EC", "alg": "ES256", "use": "sig", "crv": "P-256", "kid": key.id, "x": coordinate(point[1:33]), "y": coordinate(point[33:])}
	}
	panic("a key of another kind")
}

func keySet(keys []signingKey) any {
	all := []any{}
	for _, k := range slices.Backward(keys) {
		all = append(all, jwk(k))
	}
	return map[string]any{"keys": all}
}

func (c *Cloud) accountKeySet(k *call) (any, error) {
	if k.vars["account"] != c.organization.ServiceAccount {
		return nil, failure(http.StatusNotFound, "Requested entity was not found.")
	}
	if _, err := c.accountKey(); err != nil {
		return nil, err
	}
	return keySet(c.accountKeys), nil
}

// generateAccessToken makes a token for the account,
// https://cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts/generateAccessToken.
func (c *Cloud) generateAccessToken(k *call) (any, error) {
	var body struct {
		Scope     []string `json:"scope"`
		Lifetime  string   `json:"lifetime"`
		Delegates []string `json:"delegates"`
	}
	if err := k.read(&body); err != nil {
		return nil, err
	}
	if err := c.ownAccount(k, "iam.serviceAccounts.getAccessToken"); err != nil {
		return nil, err
	}
	if len(body.Scope) == 0 {
		return nil, invalid("Scope is required.")
	}
	life := tokenLife
	if body.Lifetime != "" {
		var err error
		if life, err = time.ParseDuration(body.Lifetime); err != nil || !strings.HasSuffix(body.Lifetime, "s") || life <= 0 || life > tokenLife {
			return nil, invalid("The lifetime must be a duration of at most 3600s.")
		}
	}
	token, err := c.issue(k.vars["account"], body.Scope, life)
	if err != nil {
		return nil, err
	}
	return map[string]any{"accessToken": token, "expireTime": timestamp(c.now().Add(life))}, nil
}
