// Package passkeytest is an authenticator for tests, together with the browser that it is in.
package passkeytest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"testing"

	"jitaccess/internal/access"
	"jitaccess/internal/passkey"
)

// Authenticator holds one key. What its fields say goes into all that it signs, be it true or
// not.
type Authenticator struct {
	t          testing.TB
	key        crypto.Signer
	Credential []byte
	// Origin is where the page is, RelyingParty for which host it signs.
	Origin, RelyingParty string
	// Counter is raised with each signature, unless it is 0.
	Counter uint32
	// Unverified: the user was not verified; Absent: nobody was there; Synced: the key may be
	// on other devices.
	Unverified, Absent, Synced bool
	// Client changes what the browser says.
	Client func(map[string]any)
}

// New makes one with a key for ES256, at a page of the host.
func New(t testing.TB, origin, relyingParty string) *Authenticator {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return With(t, key, origin, relyingParty)
}

// With makes one with a key of another kind.
func With(t testing.TB, key crypto.Signer, origin, relyingParty string) *Authenticator {
	return &Authenticator{t: t, key: key, Credential: []byte(rand.Text()), Origin: origin, RelyingParty: relyingParty}
}

// PublicKey is the key as the browser hands it over.
func (a *Authenticator) PublicKey() []byte {
	public, err := x509.MarshalPKIXPublicKey(a.key.Public())
	if err != nil {
		a.t.Fatal(err)
	}
	return public
}

func (a *Authenticator) client(kind string, s passkey.Statement) []byte {
	said := map[string]any{"type": kind, "challenge": base64.RawURLEncoding.EncodeToString(s.Challenge()),
		"origin": a.Origin, "crossOrigin": false,
		"other_keys_can_be_added_here": "do not compare clientDataJSON against a template"}
	if a.Client != nil {
		a.Client(said)
	}
	text, err := json.Marshal(said)
	if err != nil {
		a.t.Fatal(err)
	}
	return text
}

func (a *Authenticator) data(flags byte) []byte {
	if !a.Absent {
		flags |= 1
	}
	if !a.Unverified {
		flags |= 1 << 2
	}
	if a.Synced {
		flags |= 1 << 3
	}
	party := sha256.Sum256([]byte(a.RelyingParty))
	return binary.BigEndian.AppendUint32(append(party[:], flags), a.Counter)
}

// Create makes the key for an enrolment.
func (a *Authenticator) Create(s passkey.Statement) passkey.Creation {
	data := append(a.data(1<<6), make([]byte, 16)...)
	data = binary.BigEndian.AppendUint16(data, uint16(len(a.Credential)))
	data = append(append(data, a.Credential...), "the key as COSE has it"...)
	return passkey.Creation{Credential: a.Credential, PublicKey: a.PublicKey(), AuthenticatorData: data,
		ClientData: a.client("webauthn.create", s), Nonce: s.Nonce, At: s.At}
}

// Sign signs a statement, and returns what the browser hands over.
func (a *Authenticator) Sign(s passkey.Statement) *access.Assertion {
	if a.Counter > 0 {
		a.Counter++
	}
	made := &access.Assertion{Credential: a.Credential, AuthenticatorData: a.data(0), ClientData: a.client("webauthn.get", s),
		Nonce: s.Nonce, At: s.At}
	client := sha256.Sum256(made.ClientData)
	text := append(append([]byte{}, made.AuthenticatorData...), client[:]...)
	digest, options := sha256.Sum256(text), crypto.SignerOpts(crypto.SHA256)
	signed := digest[:]
	switch a.key.(type) {
	case ed25519.PrivateKey:
		signed, options = text, crypto.Hash(0)
	case *rsa.PrivateKey, *ecdsa.PrivateKey:
	}
	var err error
	if made.Signature, err = a.key.Sign(rand.Reader, signed, options); err != nil {
		a.t.Fatal(err)
	}
	return made
}
