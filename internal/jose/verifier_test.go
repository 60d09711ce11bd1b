package jose

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"
)

// countedKeys are keys of an issuer that may change.
type countedKeys struct {
	of    map[string]publicKey
	err   error
	asked int
}

func (k *countedKeys) Ready(context.Context) error { return nil }

func (k *countedKeys) key(_ context.Context, id string) (publicKey, error) {
	k.asked++
	key, is := k.of[id]
	if !is && k.err == nil {
		return publicKey{}, ErrUnknownKey
	}
	return key, k.err
}

var es256 = Form{Algorithms: []Algorithm{ES256}}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// signedBy is a token of one claim.
func signedBy(t testing.TB, key *ecdsa.PrivateKey, id, claim string) string {
	t.Helper()
	payload, err := json.Marshal(map[string]string{"claim": claim})
	if err != nil {
		t.Fatal(err)
	}
	signed := base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"alg":"ES256","kid":%q}`, id)) + "." + base64.RawURLEncoding.EncodeToString(payload)
	sum := sha256.Sum256([]byte(signed))
	r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	signature := make([]byte, 64)
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// What was verified is not verified again, and is what it was; no other text is taken for it.
func TestATextThatWasVerifiedIsRemembered(t *testing.T) {
	private := newKey(t)
	keys := &countedKeys{of: map[string]publicKey{"a": {ES256, &private.PublicKey}}}
	v := NewVerifier(es256, keys)
	token := signedBy(t, private, "a", "x")
	for range 2 {
		got, err := v.Verify(t.Context(), token)
		if claim, _ := got.Claims.String("claim"); err != nil || claim != "x" || got.Key != &private.PublicKey {
			t.Fatalf("%+v, %v", got, err)
		}
	}
	if len(v.younger) != 1 {
		t.Errorf("%d texts are remembered", len(v.younger))
	}
	for i := range token {
		changed := []byte(token)
		changed[i]++
		if _, err := v.Verify(t.Context(), string(changed)); err == nil {
			t.Errorf("with byte %d changed it is good", i)
		}
	}
	for _, other := range []string{"", token + "A", token[1:], token + " ", token + "\n", token[:len(token)-1]} {
		if _, err := v.Verify(t.Context(), other); err == nil {
			t.Errorf("%q is good", other)
		}
	}
	if len(v.younger) != 1 {
		t.Errorf("%d texts are remembered, of which one was verified", len(v.younger))
	}
}

// What is remembered does not outlive the key, nor hide that keys cannot be had.
func TestWhatIsRememberedIsAsGoodAsTheKey(t *testing.T) {
	private, other := newKey(t), newKey(t)
	token, down := signedBy(t, private, "a", "x"), fmt.Errorf("%w: down", ErrKeysUnavailable)
	again := private.PublicKey
	for name, change := range map[string]struct {
		of   map[string]publicKey
		err  error
		want error
	}{
		"as before":                        {map[string]publicKey{"a": {ES256, &private.PublicKey}}, nil, nil},
		"read again":                       {map[string]publicKey{"a": {ES256, &again}}, nil, nil},
		"withdrawn":                        {map[string]publicKey{"b": {ES256, &private.PublicKey}}, nil, ErrUnknownKey},
		"another key with the same id":     {map[string]publicKey{"a": {ES256, &other.PublicKey}}, nil, errSignature},
		"for another algorithm":            {map[string]publicKey{"a": {RS256, &private.PublicKey}}, nil, errKeyType},
		"the key server cannot be reached": {nil, down, ErrKeysUnavailable},
	} {
		keys := &countedKeys{of: map[string]publicKey{"a": {ES256, &private.PublicKey}}}
		v := NewVerifier(es256, keys)
		if _, err := v.Verify(t.Context(), token); err != nil {
			t.Fatal(err)
		}
		keys.of, keys.err = change.of, change.err
		got, err := v.Verify(t.Context(), token)
		if !errors.Is(err, change.want) || (err == nil) != (got.Claims != nil) {
			t.Errorf("%s: %+v, %v, want %v", name, got, err, change.want)
		}
	}
}

// The memory is bounded, in number and by the length of what is looked at.
func TestVerifiedTextsAreBounded(t *testing.T) {
	private := newKey(t)
	keys := &countedKeys{of: map[string]publicKey{"a": {ES256, &private.PublicKey}}}
	v := NewVerifier(es256, keys)
	first := signedBy(t, private, "a", "first")
	if _, err := v.Verify(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	for i := range 3 * maxVerified {
		v.remember(sha256.Sum256(fmt.Append(nil, i)), verified{})
		if n := len(v.younger) + len(v.elder); n > 2*maxVerified {
			t.Fatalf("%d texts are remembered", n)
		}
	}
	if _, is := v.known(sha256.Sum256([]byte(first))); is {
		t.Error("the first is still remembered")
	}
	if _, err := v.Verify(t.Context(), string(make([]byte, MaxToken+1))); err != errTooLong {
		t.Error(err)
	}
}

// BenchmarkVerifier is a token that was seen before, and one that was not.
func BenchmarkVerifier(b *testing.B) {
	private := newKey(b)
	keys := NewKeySet(nil, time.Now)
	keys.keys, keys.loaded = map[string]publicKey{"a": {ES256, &private.PublicKey}}, time.Now()
	token := signedBy(b, private, "a", "x")
	v := NewVerifier(es256, keys)
	b.Run("known", func(b *testing.B) {
		for b.Loop() {
			if _, err := v.Verify(b.Context(), token); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("new", func(b *testing.B) {
		for b.Loop() {
			clear(v.younger)
			if _, err := v.Verify(b.Context(), token); err != nil {
				b.Fatal(err)
			}
		}
	})
}
