package words_test

import (
	"context"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/broker/brokertest"
	"jitaccess/internal/passkey"
	"jitaccess/internal/passkey/passkeytest"
	"jitaccess/internal/policy"
)

// signedFor is a policy whose terms demand a signature.
type signedFor struct {
	broker.Policy
	keys access.KeyTerms
}

func (s signedFor) Terms(of access.Subject) (access.Terms, access.Explanation, error) {
	terms, why, err := s.Policy.Terms(of)
	terms.Signature, terms.Keys = len(terms.Requirements) > 0, s.keys
	return terms, why, err
}

// keyed is ben with a key that carl has approved, if he has, and who decides REF, which takes
// a signature.
func keyed(approved bool, keys access.KeyTerms, happens func(*testing.T, *broker.Broker, *passkeytest.Authenticator) error) func(*testing.T) error {
	return func(t *testing.T) error {
		w := newWorld(t)
		w.Forgets, w.Origin, w.Signatures, w.Admins = false, "https://jit.example.com", &brokertest.Signatures{}, []string{"user:carl@example.com"}
		w.Policy = signedFor{policy.New(w.Settings), keys}
		b, key := w.Broker(), passkeytest.New(t, "https://jit.example.com", "jit.example.com")
		key.Synced = true
		if err := enrolling(b, ben, "Laptop", key); err != nil {
			t.Fatal(err)
		}
		if approved {
			if _, err := b.ApprovePasskey(t.Context(), access.Caller{Principal: "carl@example.com"}, ben, access.CredentialID(key.Credential)); err != nil {
				t.Fatal(err)
			}
		}
		return happens(t, b, key)
	}
}

func enrolling(b *broker.Broker, p access.Principal, name string, key *passkeytest.Authenticator) error {
	list, err := b.PasskeyList(context.Background(), access.Caller{Principal: p})
	if err == nil {
		_, _, err = b.Enrol(context.Background(), access.Caller{Principal: p, Asserted: noon}, name, key.Create(list.Enrolment.Statement))
	}
	return err
}

func signsNot(t *testing.T, b *broker.Broker, _ *passkeytest.Authenticator) error {
	_, err := b.Decide(t.Context(), access.Caller{Principal: ben}, broker.Decide{Ref: "REF", Verdict: access.Approve})
	return err
}

func passkeySituations() []situation {
	return []situation{
		{access.CodeNoPasskeys, "a service without a database", func(t *testing.T) error {
			_, err := newWorld(t).Broker().PasskeyList(t.Context(), access.Caller{Principal: ben})
			return err
		}, nil},
		{access.CodeUnknownPasskey, "a key that was removed", keyed(true, access.KeyTerms{}, func(t *testing.T, b *broker.Broker, _ *passkeytest.Authenticator) error {
			_, err := b.RemovePasskey(t.Context(), access.Caller{Principal: ben}, ben, "0123456789abcdef")
			return err
		}), nil},
		{access.CodePasskeyKnown, "one key of two people", keyed(true, access.KeyTerms{}, func(_ *testing.T, b *broker.Broker, key *passkeytest.Authenticator) error {
			return enrolling(b, ana, "Laptop", key)
		}), nil},
		{access.CodePasskeyName, "a key without a name", keyed(true, access.KeyTerms{}, func(t *testing.T, b *broker.Broker, _ *passkeytest.Authenticator) error {
			return enrolling(b, ana, "", passkeytest.New(t, "https://jit.example.com", "jit.example.com"))
		}), nil},
		{access.CodeTooManyPasskeys, "one key more than a person may have", keyed(true, access.KeyTerms{}, func(t *testing.T, b *broker.Broker, _ *passkeytest.Authenticator) error {
			for range broker.MaxPasskeys {
				if err := enrolling(b, ana, "Laptop", passkeytest.New(t, "https://jit.example.com", "jit.example.com")); err != nil {
					t.Fatal(err)
				}
			}
			return enrolling(b, ana, "Laptop", passkeytest.New(t, "https://jit.example.com", "jit.example.com"))
		}), []string{"10 passkeys"}},
		{access.CodePasskeyNotMade, "a form that a browser without scripts has sent", keyed(true, access.KeyTerms{}, func(t *testing.T, b *broker.Broker, _ *passkeytest.Authenticator) error {
			_, _, err := b.Enrol(t.Context(), access.Caller{Principal: ana, Asserted: noon}, "Laptop", passkey.Creation{})
			return err
		}), nil},
		{access.CodeOwnPasskey, "an administrator's own key", keyed(true, access.KeyTerms{}, func(t *testing.T, b *broker.Broker, _ *passkeytest.Authenticator) error {
			key := passkeytest.New(t, "https://jit.example.com", "jit.example.com")
			if err := enrolling(b, "carl@example.com", "Laptop", key); err != nil {
				t.Fatal(err)
			}
			_, err := b.ApprovePasskey(t.Context(), access.Caller{Principal: "carl@example.com"}, "carl@example.com", access.CredentialID(key.Credential))
			return err
		}), nil},
		{access.CodeNoPasskey, "an approver whose key was removed", keyed(true, access.KeyTerms{}, func(t *testing.T, b *broker.Broker, key *passkeytest.Authenticator) error {
			if _, err := b.RemovePasskey(t.Context(), access.Caller{Principal: ben}, ben, access.CredentialID(key.Credential)); err != nil {
				t.Fatal(err)
			}
			return signsNot(t, b, key)
		}), nil},
		{access.CodePasskeyUnapproved, "a key that no administrator has approved", keyed(false, access.KeyTerms{}, signsNot), nil},
		{access.CodePasskeyYoung, "a key of today where it takes one of yesterday", keyed(true, access.KeyTerms{Age: 24 * time.Hour}, signsNot), nil},
		{access.CodePasskeySynced, "a key that is synced where it must not be", keyed(true, access.KeyTerms{DeviceBound: true}, signsNot), nil},
		{access.CodeSignatureMissing, "a browser without scripts", keyed(true, access.KeyTerms{}, signsNot), nil},
		{access.CodeSignatureInvalid, "a page of another site", keyed(true, access.KeyTerms{}, func(t *testing.T, b *broker.Broker, _ *passkeytest.Authenticator) error {
			return enrolling(b, ana, "Laptop", passkeytest.New(t, "https://evil.example", "jit.example.com"))
		}), nil},
	}
}
