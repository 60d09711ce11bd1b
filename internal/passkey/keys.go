package passkey

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"jitaccess/internal/access"
)

// Creation is what a browser hands over of a key that was made
// (https://www.w3.org/TR/webauthn-3/#iface-authenticatorattestationresponse). No attestation
// is asked for: whoever enrols says which key is theirs, and an administrator who knows them
// says whether that is so.
type Creation struct {
	// PublicKey is what getPublicKey returns, AuthenticatorData what getAuthenticatorData
	// does.
	Credential, PublicKey, AuthenticatorData, ClientData []byte
	Nonce                                                []byte
	At                                                   time.Time
}

// MaxName is the longest name of a key, in characters.
const MaxName = 60

// Created is the key that was made for the statement, an Enrolment: on a page of the relying
// party, with the user verified.
func Created(c Creation, s Statement, relyingParty string) (access.Passkey, error) {
	k := access.Passkey{Of: s.Person, Credential: c.Credential, PublicKey: c.PublicKey, RelyingParty: relyingParty}
	if max(len(c.AuthenticatorData), len(c.ClientData), len(c.PublicKey)) > maxPart {
		return k, errors.New("there is more in it than in any key")
	}
	if err := clientData(c.ClientData, "webauthn.create", s.Challenge(), relyingParty); err != nil {
		return k, err
	}
	if err := authenticator(c.AuthenticatorData, relyingParty); err != nil {
		return k, err
	}
	if _, err := parseKey(c.PublicKey); err != nil {
		return k, err
	}
	k.Synced = c.AuthenticatorData[sha256.Size]&mayBeSynced != 0
	return k, names(c.AuthenticatorData, c.Credential)
}

// aaguidLength is of the model of an authenticator, before the length of the credential's id
// (https://www.w3.org/TR/webauthn-3/#sctn-attested-credential-data).
const aaguidLength = 16

// maxCredential is the longest id of a credential, in bytes
// (https://www.w3.org/TR/webauthn-3/#credential-id).
const maxCredential = 1023

// names is nil where the authenticator data is of a new key with that id.
func names(data, credential []byte) error {
	rest := data[authenticatorHead:]
	if data[sha256.Size]&hasKey == 0 || len(rest) < aaguidLength+2 {
		return errors.New("there is no key in it")
	}
	rest = rest[aaguidLength:]
	length := int(binary.BigEndian.Uint16(rest))
	if length == 0 || length > maxCredential || len(rest) < 2+length || !bytes.Equal(rest[2:2+length], credential) {
		return errors.New("it is of another credential")
	}
	return nil
}

// What happens to a key, as a deed says it.
const (
	enrolled = "enrolled"
	approved = "approved"
	removed  = "removed"
)

// body is the body of a deed. They are a contract with what was recorded: members are
// added, never renamed. Only what is enrolled has more than Did and Credential.
type body struct {
	Did          string `json:"did"`
	Credential   []byte `json:"credential"`
	Name         string `json:"name,omitempty"`
	PublicKey    []byte `json:"public_key,omitempty"`
	RelyingParty string `json:"relying_party,omitempty"`
	Synced       bool   `json:"synced,omitempty"`
}

// Enrolled, ApprovedOf and RemovedOf are the bodies of deeds.
func Enrolled(k access.Passkey) []byte {
	return encoded(body{enrolled, k.Credential, k.Name, k.PublicKey, k.RelyingParty, k.Synced})
}

func ApprovedOf(k access.Passkey) []byte {
	return encoded(body{Did: approved, Credential: k.Credential})
}

func RemovedOf(k access.Passkey) []byte { return encoded(body{Did: removed, Credential: k.Credential}) }

func encoded(b body) []byte {
	text, _ := json.Marshal(b) // bytes and valid texts can be
	return text
}

// Keys are the keys of everybody that the deeds are of, those that were removed too, in the
// order in which they were enrolled. Deeds are verified already: the error is of what no
// version of the service records, and then there are no keys.
func Keys(deeds []access.Deed) ([]access.Passkey, error) {
	var keys []access.Passkey
	for _, d := range deeds {
		if len(d.Body) == 0 {
			continue
		}
		var b body
		if err := json.Unmarshal(d.Body, &b); err != nil {
			return nil, fmt.Errorf("deed %d of %s: %w", d.Number, d.Of, err)
		}
		at := slices.IndexFunc(keys, func(k access.Passkey) bool {
			return string(k.Of) == d.Of && bytes.Equal(k.Credential, b.Credential)
		})
		switch {
		case b.Did == enrolled && at < 0:
			keys = append(keys, access.Passkey{Of: access.Principal(d.Of), Credential: b.Credential, Name: b.Name, PublicKey: b.PublicKey,
				RelyingParty: b.RelyingParty, Synced: b.Synced, Enrolled: d.At})
		case b.Did == approved && at >= 0 && keys[at].Removed.IsZero() && keys[at].Approved.IsZero() && string(d.By) != d.Of:
			keys[at].Approved, keys[at].ApprovedBy = d.At, d.By
		case b.Did == removed && at >= 0 && keys[at].Removed.IsZero():
			keys[at].Removed, keys[at].RemovedBy = d.At, d.By
		default:
			return nil, fmt.Errorf("deed %d of %s cannot follow: %q", d.Number, d.Of, b.Did)
		}
	}
	return keys, nil
}

// Everybodys are the keys of people, as Keys has them, in the order of their deeds. Of whom
// something is recorded that no version of the service records, there are none, and a damage.
func Everybodys(deeds []access.Deed) (keys []access.Passkey, damages access.Damages) {
	of := map[string][]access.Deed{}
	var people []string
	for _, d := range deeds {
		if of[d.Of] == nil {
			people = append(people, d.Of)
		}
		of[d.Of] = append(of[d.Of], d)
	}
	for _, one := range people {
		theirs, err := Keys(of[one])
		if err != nil {
			damages = append(damages, access.Damage{Of: one, Err: &access.Error{Kind: access.Unprocessable, Code: access.CodeDeedsDamaged,
				Args: access.Args{"of": one}, Err: err}})
		}
		keys = append(keys, theirs...)
	}
	return keys, damages
}

// CleanName is a name as it can be shown; the error says why it can be none.
func CleanName(name string) (string, error) {
	name = strings.TrimSpace(name)
	switch {
	case name == "":
		return "", errors.New("a name is missing")
	case utf8.RuneCountInString(name) > MaxName:
		return "", fmt.Errorf("a name has at most %d characters", MaxName)
	case !utf8.ValidString(name) || strings.ContainsFunc(name, access.Unseen):
		return "", errors.New("the name has invisible characters")
	}
	return name, nil
}

// Counting are those of some keys with which a person signs for the relying party at a time, as
// the terms demand. The error is an *access.Error of kind NotAllowed, which says why there are
// none.
func Counting(keys []access.Passkey, p access.Principal, relyingParty string, terms access.KeyTerms, at time.Time) (
	[]access.Passkey, error) {
	why := error(&access.Error{Kind: access.NotAllowed, Code: access.CodeNoPasskey})
	var good []access.Passkey
	for _, k := range keys {
		if k.Of != p || k.RelyingParty != relyingParty || !k.Removed.IsZero() {
			continue
		}
		if err := Fit(k, terms, at); err != nil {
			why = err
			continue
		}
		good = append(good, k)
	}
	if len(good) == 0 {
		return nil, why
	}
	return good, nil
}

// Fit is nil for a key that is as the terms demand at a time, and was not removed. The error is
// as that of Counting.
func Fit(k access.Passkey, terms access.KeyTerms, at time.Time) error {
	switch {
	case !k.Removed.IsZero():
		return &access.Error{Kind: access.NotAllowed, Code: access.CodeNoPasskey}
	case k.Approved.IsZero() && !terms.SelfEnrolled:
		return &access.Error{Kind: access.NotAllowed, Code: access.CodePasskeyUnapproved}
	case at.Sub(k.Enrolled) < terms.Age:
		return &access.Error{Kind: access.NotAllowed, Code: access.CodePasskeyYoung,
			Args: access.Args{"until": k.Enrolled.Add(terms.Age).UTC().Format(time.RFC3339)}}
	case k.Synced && terms.DeviceBound:
		return &access.Error{Kind: access.NotAllowed, Code: access.CodePasskeySynced}
	}
	return nil
}
