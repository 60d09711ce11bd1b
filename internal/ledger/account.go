package ledger

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/jose"
)

// AccountLife is for how long something is decided and written by what an Account has
// signed: Google publishes a key for at least six hours after its last use
// (https://cloud.google.com/iam/docs/reference/rest/v1/projects.serviceAccounts.keys).
const AccountLife = 6 * time.Hour

// tokenAlgorithm is of a signature whose Bytes are a JWT in its compact form, of claims
// with the digest of the text.
const tokenAlgorithm = "RS256 JWT"

// tokenPurpose keeps such a JWT from being taken for an activation token, and the other
// way round. It has no audience and no subject, so that nobody accepts it as a credential.
const tokenPurpose = "ledger"

// JWTSigner signs with the key of the service's own account, which never leaves Google.
type JWTSigner interface {
	// SignJWT signs a JSON object with RS256 and returns the compact form. Errors are
	// *access.Error.
	SignJWT(ctx context.Context, claims []byte) (string, error)
}

// AccountConfig is what an Account is made of. Everything is required unless it says
// otherwise.
type AccountConfig struct {
	// ServiceAccount is the address of the account that signs.
	ServiceAccount string
	Signer         JWTSigner
	// Keys are the public keys of that account, and of nobody else.
	Keys *jose.KeySet
	Now  func() time.Time
	// FirstUsed is told the fingerprint of each key that signs, once in a process; it may be
	// nil.
	FirstUsed func(fingerprint string)
}

// Account is a Signer that has no secret of its own: the service's account at Google
// signs, a call for each text. Google changes the key as it likes, and forgets the old
// one, so that what is older than AccountLife is only read. Make one with NewAccount.
type Account struct {
	c    AccountConfig
	mu   sync.Mutex
	used map[string]bool
}

// NewAccount makes an Account. It makes no call.
func NewAccount(c AccountConfig) *Account { return &Account{c: c, used: map[string]bool{}} }

var accountForm = jose.Form{Algorithms: []jose.Algorithm{jose.RS256}}

// tokenClaims are exactly those of a signature. Issued and Expires are in seconds since
// 1970, AccountLife apart: where a payload says nothing of its end, the signing service adds
// one (https://cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts/signJwt).
type tokenClaims struct {
	Issuer  string `json:"iss"`
	Issued  int64  `json:"iat"`
	Expires int64  `json:"exp"`
	Purpose string `json:"purpose"`
	Digest  string `json:"digest"`
}

// Sign implements Signer. The signature was verified by the account's published keys: the
// signing service may have signed something else, or with another key. The error is of
// kind Unavailable when those keys cannot be had.
func (a *Account) Sign(ctx context.Context, text []byte) (Signature, error) {
	now := a.c.Now()
	claims, err := json.Marshal(tokenClaims{a.c.ServiceAccount, now.Unix(), now.Add(AccountLife).Unix(), tokenPurpose, textDigest(text)})
	if err != nil {
		return Signature{}, err
	}
	jwt, err := a.c.Signer.SignJWT(ctx, claims)
	if err != nil {
		return Signature{}, err
	}
	token, err := a.published(ctx, jwt)
	if err == nil {
		_, err = a.says(token, text)
	}
	if err != nil {
		return Signature{}, &access.Error{Kind: access.Unavailable, Code: access.CodeUpstreamFailed,
			Args: access.Args{"service": "the signing service"}, Err: fmt.Errorf("what was signed does not verify: %w", err)}
	}
	public, err := x509.MarshalPKIXPublicKey(token.Key)
	if err != nil {
		return Signature{}, err
	}
	s := Signature{Algorithm: tokenAlgorithm, Key: fingerprint(public), Public: public, Bytes: []byte(jwt)}
	a.first(s.Key)
	return s, nil
}

func (a *Account) first(key string) {
	a.mu.Lock()
	known := a.used[key]
	a.used[key] = true
	a.mu.Unlock()
	if !known && a.c.FirstUsed != nil {
		a.c.FirstUsed(key)
	}
}

// Verify implements Signer. A key that the account does not publish any more, and what
// was signed AccountLife ago, are errForeignKey: it is read, and nothing comes of it. An
// error of kind Unavailable says nothing about the signature.
func (a *Account) Verify(ctx context.Context, text []byte, s Signature) error {
	if s.Algorithm != tokenAlgorithm {
		return errForeignKey
	}
	token, err := a.published(ctx, string(s.Bytes))
	switch {
	case errors.Is(err, jose.ErrUnknownKey):
		return errForeignKey
	case err != nil:
		return err
	}
	public, err := x509.MarshalPKIXPublicKey(token.Key)
	if err != nil || !bytes.Equal(public, s.Public) || fingerprint(public) != s.Key {
		return errors.Join(errors.New("the key is not the one that the signature names"), err)
	}
	issued, err := a.says(token, text)
	if err == nil && a.c.Now().Sub(issued) >= AccountLife {
		return errAged
	}
	return err
}

// published verifies a JWT by the keys that the account publishes.
func (a *Account) published(ctx context.Context, jwt string) (jose.Token, error) {
	token, err := accountForm.Verify(ctx, jwt, a.c.Keys)
	if errors.Is(err, jose.ErrKeysUnavailable) {
		err = &access.Error{Kind: access.Unavailable, Code: access.CodeUpstreamFailed,
			Args: access.Args{"service": "the key server of the service account"}, Err: err}
	}
	return token, err
}

// says is whether the claims are of this text and of this account, and when they were
// signed.
func (a *Account) says(token jose.Token, text []byte) (time.Time, error) {
	issuer, issued, err := readToken(token.Claims, text)
	if err == nil && issuer != a.c.ServiceAccount {
		err = errors.New("signed by another account")
	}
	return issued, err
}

func readToken(c jose.Claims, text []byte) (issuer string, issued time.Time, err error) {
	issuer, _ = c.String("iss")
	purpose, _ := c.String("purpose")
	digest, _ := c.String("digest")
	seconds, err := c.Int64("iat")
	end, endless := c.Int64("exp")
	switch {
	case err != nil || endless != nil || !c.Exactly("iss", "iat", "exp", "purpose", "digest") || purpose != tokenPurpose ||
		end-seconds != int64(AccountLife/time.Second):
		return "", time.Time{}, errors.New("signed for another purpose")
	case digest != textDigest(text):
		return "", time.Time{}, errors.New("the signature is not of this text")
	}
	return issuer, time.Unix(seconds, 0), nil
}

// tokenVerified holds a signature by an account against a key, and says nothing about whose
// that is.
func tokenVerified(text []byte, s Signature, public []byte) error {
	key, err := x509.ParsePKIXPublicKey(public)
	if err != nil {
		return errors.New("the key that stands beside is none")
	}
	token, err := accountForm.VerifyWith(string(s.Bytes), key)
	if err == nil {
		_, _, err = readToken(token.Claims, text)
	}
	return err
}

func textDigest(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}
