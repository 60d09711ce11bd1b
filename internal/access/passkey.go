package access

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Assertion is what an authenticator has signed for somebody, with all that it takes to
// verify it again later, without the service
// (https://www.w3.org/TR/webauthn-3/#sctn-verifying-assertion). Package passkey does.
type Assertion struct {
	// Credential is the id that the authenticator gave the key; PublicKey is the key as
	// enrolled, a SubjectPublicKeyInfo in DER.
	Credential, PublicKey []byte
	// AuthenticatorData, ClientData and Signature are as the browser handed them over.
	AuthenticatorData, ClientData, Signature []byte
	// Nonce and At are of the text that was signed (passkey.Statement).
	Nonce []byte
	At    time.Time
	// RelyingParty is the host for which the key was made.
	RelyingParty string
}

// Passkey is a key with which somebody signs, as far as what happened to it says.
type Passkey struct {
	Of         Principal
	Credential []byte
	// Name is what its holder calls it.
	Name         string
	PublicKey    []byte
	RelyingParty string
	// Synced: it may be on other devices too.
	Synced bool
	// Enrolled is when; Approved by whom and when its enrolment was, if it was. Removed is
	// when it was taken away, by RemovedBy; zero while it was not.
	Enrolled, Approved, Removed time.Time
	ApprovedBy, RemovedBy       Principal
}

// ID names a key in addresses, in the log and in mails: the beginning of the SHA-256 of its
// credential, in hexadecimal.
func (k Passkey) ID() string { return CredentialID(k.Credential) }

// CredentialID is Passkey.ID of the key of a credential.
func CredentialID(credential []byte) string {
	sum := sha256.Sum256(credential)
	return hex.EncodeToString(sum[:8])
}

// Deed is one thing that happened to something that is no request: to a person's passkeys,
// or to an application. Those of one thing are a chain, which is what the thing is: nothing
// is kept of it but what happened to it.
type Deed struct {
	// Kind is what sort of thing it is (DeedPasskeys, DeedApplication), Of which one.
	Kind, Of string
	// Number counts the deeds of one thing from 1.
	Number int
	// At is in microseconds; By is who did it, nobody where the service itself did.
	At time.Time
	By Principal
	// Body is what happened, in a form of its kind. It is empty where nothing did, and the
	// chain was only signed anew.
	Body []byte
}

// Kinds of things of which there are deeds.
const (
	DeedPasskeys    = "passkeys"    // Of is a person
	DeedApplication = "application" // Of is its name
)

// Damage is that the deeds of one thing are not what was recorded.
type Damage struct {
	// Of is the thing, Err why (CodeDeedsDamaged).
	Of  string
	Err *Error
}

// Damages are those of all things of a kind, and the cause (Err) of an error of reading all.
type Damages []Damage

// Error implements error.
func (d Damages) Error() string {
	return strings.Join(Each(d, func(one Damage) string { return fmt.Sprintf("%s: %v", one.Of, one.Err.Err) }), "; ")
}

// Err is the error of all of them, which names the first; nil for none.
func (d Damages) Err() error {
	if len(d) == 0 {
		return nil
	}
	return &Error{Kind: Unprocessable, Code: CodeDeedsDamaged, Args: Args{"of": d[0].Of}, Err: d}
}

// DamagesOf are those of an error of reading all things of a kind, which comes with all that is
// as it was recorded; nil for every other error.
func DamagesOf(err error) Damages {
	if own, ok := errors.AsType[*Error](err); ok && own.Code == CodeDeedsDamaged {
		damages, _ := errors.AsType[Damages](own.Err)
		return damages
	}
	return nil
}

// KeyUse is that a key has signed, and what the counter of its authenticator was then.
type KeyUse struct {
	Credential []byte
	Counter    uint32
	At         time.Time
}
