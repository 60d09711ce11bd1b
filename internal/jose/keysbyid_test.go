package jose_test

import (
	"context"
	"crypto"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"jitaccess/internal/jose"
)

func pemOf(t testing.TB, key interface{ Public() crypto.PublicKey }) []byte {
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

// byID runs a test with the clock of inBubble and a key server that has "a" alone.
func byID(t *testing.T, test func(*testing.T, map[string]*keyServer, *jose.KeysByID)) {
	ecKey()
	otherEC()
	rsaKey()
	synctest.Test(t, func(t *testing.T) {
		servers := map[string]*keyServer{"a": {document: pemOf(t, ecKey())}}
		test(t, servers, jose.NewKeysByID(func(ctx context.Context, id string) ([]byte, error) {
			if servers[id] == nil {
				servers[id] = &keyServer{err: jose.ErrUnknownKey}
			}
			return servers[id].fetch(ctx)
		}, `[a-z0-9]+`, time.Now))
	})
}

func verify(keys jose.Keys, token string) error {
	_, err := jose.Form{Algorithms: []jose.Algorithm{jose.ES256, jose.RS256}}.Verify(context.Background(), token, keys)
	return err
}

func TestKeysByIDAreKept(t *testing.T) {
	byID(t, func(t *testing.T, servers map[string]*keyServer, keys *jose.KeysByID) {
		if err := keys.Ready(t.Context()); err != nil {
			t.Errorf("before any token: %v", err)
		}
		for range 3 {
			if err := verify(keys, tokenOf("a", ecKey())); err != nil {
				t.Error(err)
			}
		}
		servers["a"].wantFetches(t, 1, "three tokens")
		if err := verify(keys, tokenOf("a", otherEC())); err == nil {
			t.Error("another key under this id was accepted")
		}
		// Through an outage the last good one serves, for a day.
		servers["a"].set(nil, errors.New("refused"))
		time.Sleep(16 * time.Minute)
		if err := verify(keys, tokenOf("a", ecKey())); err != nil {
			t.Errorf("in an outage: %v", err)
		}
		if err := keys.Ready(t.Context()); err == nil || errors.Is(err, jose.ErrKeysUnavailable) {
			t.Errorf("readiness in an outage: %v", err)
		}
		time.Sleep(24 * time.Hour)
		if err := verify(keys, tokenOf("a", ecKey())); !errors.Is(err, jose.ErrKeysUnavailable) {
			t.Errorf("after a day: %v", err)
		}
		// One that is withdrawn is gone at once.
		servers["a"].set(pemOf(t, ecKey()), nil)
		if err := verify(keys, tokenOf("a", ecKey())); err != nil {
			t.Error(err)
		}
		servers["a"].set(nil, jose.ErrUnknownKey)
		time.Sleep(16 * time.Minute)
		if err := verify(keys, tokenOf("a", ecKey())); !errors.Is(err, jose.ErrUnknownKey) {
			t.Errorf("withdrawn: %v", err)
		}
	})
}

func TestKeysByIDThatAreNone(t *testing.T) {
	byID(t, func(t *testing.T, servers map[string]*keyServer, keys *jose.KeysByID) {
		for id, document := range map[string][]byte{"rsa": pemOf(t, rsaKey()), "p384": pemOf(t, newEC(elliptic.P384())), "empty": nil, "text": []byte("no"),
			"private": []byte(strings.ReplaceAll(string(pemOf(t, ecKey())), "PUBLIC", "PRIVATE"))} {
			servers[id] = &keyServer{document: document}
			if err := verify(keys, tokenOf(id, ecKey())); !errors.Is(err, jose.ErrKeysUnavailable) {
				t.Errorf("%s: %v", id, err)
			}
			time.Sleep(time.Minute)
		}
		for _, id := range []string{"../a", "a/", "A", "a b", "a\n"} {
			if err := verify(keys, tokenOf(strings.ReplaceAll(id, "\n", `\n`), ecKey())); !errors.Is(err, jose.ErrUnknownKey) || servers[id] != nil {
				t.Errorf("%q was asked for: %v", id, err)
			}
		}
	})
}

// Forged ids do not become as many calls, and do not drive out the key that is used.
func TestThreat40_ForgedKeyIDsAreNotAskedFor(t *testing.T) {
	byID(t, func(t *testing.T, servers map[string]*keyServer, keys *jose.KeysByID) {
		good := tokenOf("a", ecKey())
		calls := func() (n int32) {
			for _, s := range servers {
				n += s.fetches.Load()
			}
			return n
		}
		for minute := range int32(3) {
			for i := range 100 {
				err := verify(keys, tokenOf(fmt.Sprintf("f%d", i), ecKey()))
				if err == nil || i < 7 && !errors.Is(err, jose.ErrUnknownKey) || i > 8 && !errors.Is(err, jose.ErrKeysUnavailable) {
					t.Fatalf("forged id %d: %v", i, err)
				}
				if minute > 0 {
					if err := verify(keys, good); err != nil {
						t.Fatalf("beside %d forged ones: %v", i, err)
					}
				}
			}
			if calls() > 8*(minute+1) {
				t.Errorf("minute %d: %d calls", minute, calls())
			}
			time.Sleep(time.Minute)
			if minute == 0 {
				if err := verify(keys, good); err != nil {
					t.Fatalf("a minute later: %v", err)
				}
			}
		}
		// Nor do they while the key server is down, so that nobody knows that they are none.
		for minute := range 5 {
			for i := range 8 {
				id := fmt.Sprintf("d%dx%d", minute, i)
				servers[id] = &keyServer{err: errors.New("refused")}
				verify(keys, tokenOf(id, ecKey()))
				if err := verify(keys, good); err != nil {
					t.Fatalf("beside forged ones in an outage: %v", err)
				}
			}
			servers["a"].set(nil, errors.New("refused"))
			time.Sleep(time.Minute)
		}
		// The same one again is no cheaper way.
		before := calls()
		for range 100 {
			verify(keys, tokenOf("same", ecKey()))
		}
		if calls() > before+8 {
			t.Errorf("%d calls for one id", calls()-before)
		}
	})
}
