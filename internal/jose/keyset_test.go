package jose_test

import (
	"context"
	"crypto"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"jitaccess/internal/jose"
)

// keyServer is a key server that tests break.
type keyServer struct {
	mu       sync.Mutex
	document []byte
	err      error
	hangs    bool
	fetches  atomic.Int32
}

func (s *keyServer) set(document []byte, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.document, s.err = document, err
}

func (s *keyServer) hang(hangs bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hangs = hangs
}

func (s *keyServer) fetch(ctx context.Context) ([]byte, error) {
	s.fetches.Add(1)
	s.mu.Lock()
	document, err, hangs := s.document, s.err, s.hangs
	s.mu.Unlock()
	if hangs {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return document, err
}

func (s *keyServer) wantFetches(t *testing.T, want int32, when string) {
	t.Helper()
	if got := s.fetches.Load(); got != want {
		t.Errorf("%s: %d fetches, want %d", when, got, want)
	}
}

func tokenOf(kid string, key crypto.PrivateKey) string {
	return sign(`{"alg":"ES256","kid":"`+kid+`"}`, payload, key)
}

// inBubble runs a test with a clock that stands still until it is advanced by
// sleeping, and with a key server that publishes ecKey as "a".
func inBubble(t *testing.T, test func(*testing.T, *keyServer, *jose.KeySet)) {
	ecKey() // made outside, since it is kept
	otherEC()
	synctest.Test(t, func(t *testing.T) {
		server := &keyServer{document: document(jwk("a", ecKey(), nil))}
		test(t, server, jose.NewKeySet(server.fetch, time.Now))
	})
}

// Readiness is what verification would meet, and costs no calls that verification
// would not make.
func TestReadyFollowsWhatTokensWouldMeet(t *testing.T) {
	inBubble(t, func(t *testing.T, server *keyServer, keys *jose.KeySet) {
		good := server.document
		server.set(nil, errors.New("refused"))
		for range 2 {
			if err := keys.Ready(t.Context()); !errors.Is(err, jose.ErrKeysUnavailable) {
				t.Errorf("without keys: %v", err)
			}
		}
		server.wantFetches(t, 2, "while there are none")
		server.set(good, nil)
		for range 5 {
			if err := keys.Ready(t.Context()); err != nil {
				t.Errorf("with keys: %v", err)
			}
		}
		server.wantFetches(t, 3, "once there are some")
		server.set(nil, errors.New("refused"))
		time.Sleep(16 * time.Minute)
		for range 5 {
			if err := keys.Ready(t.Context()); err == nil || errors.Is(err, jose.ErrKeysUnavailable) {
				t.Errorf("with the last good keys: %v", err)
			}
		}
		server.wantFetches(t, 4, "while they cannot be renewed")
		if !accepted(tokenOf("a", ecKey()), jose.ES256, keys) {
			t.Error("the last good keys verify nothing")
		}
		server.set(good, nil)
		time.Sleep(61 * time.Second)
		if err := keys.Ready(t.Context()); err != nil {
			t.Errorf("renewed: %v", err)
		}
		// Asking has not used up what an unknown key may cost.
		server.set(document(jwk("b", otherEC(), nil)), nil)
		if !accepted(tokenOf("b", otherEC()), jose.ES256, keys) {
			t.Error("a new key is not found")
		}
		gone, leave := context.WithCancel(t.Context())
		leave()
		if err := jose.NewKeySet(server.fetch, time.Now).Ready(gone); !errors.Is(err, jose.ErrKeysUnavailable) {
			t.Errorf("nobody waits: %v", err)
		}
	})
}

func TestKeysAreFetchedOnDemandAndKept(t *testing.T) {
	inBubble(t, func(t *testing.T, server *keyServer, keys *jose.KeySet) {
		server.wantFetches(t, 0, "before the first token")
		for range 5 {
			if !accepted(tokenOf("a", ecKey()), jose.ES256, keys) {
				t.Fatal("refused")
			}
		}
		server.wantFetches(t, 1, "after five tokens")
		time.Sleep(15*time.Minute - time.Second)
		accepted(tokenOf("a", ecKey()), jose.ES256, keys)
		server.wantFetches(t, 1, "just before 15 minutes")
		time.Sleep(time.Second)
		accepted(tokenOf("a", ecKey()), jose.ES256, keys)
		server.wantFetches(t, 2, "after 15 minutes")
	})
}

func TestRotatedKeyIsFoundAndWithdrawnKeyIsDropped(t *testing.T) {
	inBubble(t, func(t *testing.T, server *keyServer, keys *jose.KeySet) {
		accepted(tokenOf("a", ecKey()), jose.ES256, keys)
		server.set(document(jwk("b", otherEC(), nil)), nil)
		if !accepted(tokenOf("b", otherEC()), jose.ES256, keys) {
			t.Error("the new key was not looked for")
		}
		server.wantFetches(t, 2, "after rotation")
		refuse(t, "a token of the withdrawn key", tokenOf("a", ecKey()), jose.ES256, keys)
	})
}

func TestUnknownKeyIsLookedForOnceAMinute(t *testing.T) {
	inBubble(t, func(t *testing.T, server *keyServer, keys *jose.KeySet) {
		accepted(tokenOf("a", ecKey()), jose.ES256, keys)
		for range 100 {
			refuse(t, "an unknown kid", tokenOf("x", ecKey()), jose.ES256, keys)
		}
		server.wantFetches(t, 2, "after a hundred forgeries")
		time.Sleep(time.Minute - time.Second)
		refuse(t, "an unknown kid", tokenOf("x", ecKey()), jose.ES256, keys)
		server.wantFetches(t, 2, "within a minute")
		time.Sleep(time.Second)
		refuse(t, "an unknown kid", tokenOf("x", ecKey()), jose.ES256, keys)
		server.wantFetches(t, 3, "after a minute")
		if !accepted(tokenOf("a", ecKey()), jose.ES256, keys) {
			t.Error("the known key was forgotten")
		}
	})
}

func TestLastGoodKeysOutliveAnOutage(t *testing.T) {
	broken := map[string]func(*keyServer){
		"refuses":              func(s *keyServer) { s.set(nil, errors.New("503")) },
		"hangs":                func(s *keyServer) { s.hang(true) },
		"answers no JSON":      func(s *keyServer) { s.set([]byte("<html>"), nil) },
		"publishes no key":     func(s *keyServer) { s.set([]byte(`{"keys":[]}`), nil) },
		"publishes one id two": func(s *keyServer) { s.set(document(jwk("a", ecKey(), nil), jwk("a", otherEC(), nil)), nil) },
	}
	for name, breakIt := range broken {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, server *keyServer, keys *jose.KeySet) {
				accepted(tokenOf("a", ecKey()), jose.ES256, keys)
				breakIt(server)
				time.Sleep(20 * time.Minute)
				for range 10 {
					if !accepted(tokenOf("a", ecKey()), jose.ES256, keys) {
						t.Fatal("the last good key was not used")
					}
				}
				server.wantFetches(t, 2, "during the outage")
				// A key that nobody can ask about is not called a forgery.
				_, err := jose.Verify(t.Context(), tokenOf("b", otherEC()), jose.ES256, keys)
				if !errors.Is(err, jose.ErrKeysUnavailable) {
					t.Errorf("unknown key during an outage: %v", err)
				}
				server.hang(false)
				server.set(document(jwk("b", otherEC(), nil)), nil)
				time.Sleep(time.Minute)
				if !accepted(tokenOf("b", otherEC()), jose.ES256, keys) {
					t.Error("the key server is back, and was not asked")
				}
			})
		})
	}
}

// Keys that nobody could withdraw are good for a day, and not for ever.
func TestLastGoodKeysAreGoodForADay(t *testing.T) {
	inBubble(t, func(t *testing.T, server *keyServer, keys *jose.KeySet) {
		good, down := server.document, errors.New("key server is down")
		accepted(tokenOf("a", ecKey()), jose.ES256, keys)
		server.set(nil, down)
		time.Sleep(24*time.Hour - time.Second)
		if !accepted(tokenOf("a", ecKey()), jose.ES256, keys) {
			t.Error("refused within a day")
		}
		if err := keys.Ready(t.Context()); errors.Is(err, jose.ErrKeysUnavailable) || !errors.Is(err, down) ||
			!strings.Contains(err.Error(), "are used until 2000-01-02T00:00:00Z") {
			t.Errorf("before the day is over: %v", err)
		}
		time.Sleep(time.Second)
		for range 2 {
			_, err := jose.Verify(t.Context(), tokenOf("a", ecKey()), jose.ES256, keys)
			if !errors.Is(err, jose.ErrKeysUnavailable) || !errors.Is(err, down) || !strings.Contains(err.Error(), "those of 2000-01-01T00:00:00Z are too old") {
				t.Errorf("after a day: %v", err)
			}
			if err := keys.Ready(t.Context()); !errors.Is(err, jose.ErrKeysUnavailable) {
				t.Errorf("ready after a day: %v", err)
			}
		}
		server.set(good, nil)
		if !accepted(tokenOf("a", ecKey()), jose.ES256, keys) || keys.Ready(t.Context()) != nil {
			t.Error("the key server is back, and was not asked at once")
		}
		// Nobody came for days, and the key server answers.
		time.Sleep(72 * time.Hour)
		if !accepted(tokenOf("a", ecKey()), jose.ES256, keys) {
			t.Error("after days without a visitor")
		}
	})
}

func TestNoKeysAtAllIsUnavailable(t *testing.T) {
	inBubble(t, func(t *testing.T, server *keyServer, keys *jose.KeySet) {
		down := errors.New("key server is down")
		server.set(nil, down)
		_, err := jose.Verify(t.Context(), tokenOf("a", ecKey()), jose.ES256, keys)
		if !errors.Is(err, jose.ErrKeysUnavailable) || !errors.Is(err, down) {
			t.Errorf("error %v", err)
		}
		server.set(document(jwk("a", ecKey(), nil)), nil)
		if !accepted(tokenOf("a", ecKey()), jose.ES256, keys) {
			t.Error("the key server is back, and was not asked at once")
		}
	})
}

func TestHangingKeyServerIsGivenUp(t *testing.T) {
	inBubble(t, func(t *testing.T, server *keyServer, keys *jose.KeySet) {
		server.hang(true)
		began := time.Now()
		_, err := jose.Verify(t.Context(), tokenOf("a", ecKey()), jose.ES256, keys)
		if !errors.Is(err, jose.ErrKeysUnavailable) {
			t.Errorf("error %v", err)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("gave up after %s", took)
		}
	})
}

func TestConcurrentCallersShareOneFetchThatOutlivesItsCaller(t *testing.T) {
	ecKey()
	synctest.Test(t, func(t *testing.T) {
		var fetches atomic.Int32
		release := make(chan struct{})
		keys := jose.NewKeySet(func(ctx context.Context) ([]byte, error) {
			fetches.Add(1)
			select {
			case <-release:
				return document(jwk("a", ecKey(), nil)), nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}, time.Now)
		token := tokenOf("a", ecKey())

		first, cancel := context.WithCancel(t.Context())
		gaveUp := make(chan error, 1)
		go func() {
			_, err := jose.Verify(first, token, jose.ES256, keys)
			gaveUp <- err
		}()
		synctest.Wait()
		var others sync.WaitGroup
		for range 20 {
			others.Go(func() {
				if _, err := jose.Verify(t.Context(), token, jose.ES256, keys); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		cancel()
		if err := <-gaveUp; !errors.Is(err, jose.ErrKeysUnavailable) || !errors.Is(err, context.Canceled) {
			t.Errorf("who gave up got %v", err)
		}
		close(release)
		others.Wait()
		if n := fetches.Load(); n != 1 {
			t.Errorf("%d fetches", n)
		}
	})
}

// Incident 10: keys cached by key id alone let one issuer speak for another.
func TestThreat10_KeysBelongToOneIssuer(t *testing.T) {
	ours, theirs := fixed(jwk("a", ecKey(), nil)), fixed(jwk("a", otherEC(), nil))
	for range 2 {
		if !accepted(tokenOf("a", ecKey()), jose.ES256, ours) || !accepted(tokenOf("a", otherEC()), jose.ES256, theirs) {
			t.Error("an issuer's own token was refused")
		}
		refuse(t, "their token", tokenOf("a", otherEC()), jose.ES256, ours)
		refuse(t, "our token", tokenOf("a", ecKey()), jose.ES256, theirs)
	}
}

func TestUnusableKeysAreLeftOut(t *testing.T) {
	weak := weakRSA(t)
	wide := newEC(elliptic.P384())
	x := jwk("x", ecKey(), nil)["x"].(string)
	point, err := ecKey().PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string]map[string]any{
		"RSA of 1024 bits":      jwk("x", weak, nil),
		"RSA with exponent 3":   jwk("x", rsaKey(), map[string]any{"e": "Aw"}),
		"RSA with an even e":    jwk("x", rsaKey(), map[string]any{"e": "AQAC"}),
		"RSA with a huge e":     jwk("x", rsaKey(), map[string]any{"e": "AQAAAAAB"}),
		"RSA without e":         jwk("x", rsaKey(), map[string]any{"e": nil}),
		"RSA with padded n":     jwk("x", rsaKey(), map[string]any{"n": jwk("x", rsaKey(), nil)["n"].(string) + "=="}),
		"RSA for PS256":         jwk("x", rsaKey(), map[string]any{"alg": "PS256"}),
		"RSA for encryption":    jwk("x", rsaKey(), map[string]any{"use": "enc"}),
		"P-384":                 jwk("x", wide, map[string]any{"alg": nil}),
		"P-384 called P-256":    jwk("x", wide, map[string]any{"crv": "P-256"}),
		"a point off the curve": jwk("x", ecKey(), map[string]any{"y": x}),
		"EC without y":          jwk("x", ecKey(), map[string]any{"y": nil}),
		"EC with both in y":     jwk("x", ecKey(), map[string]any{"x": nil, "y": encode(point[1:])}),
		"EC with empty x":       jwk("x", ecKey(), map[string]any{"x": "", "y": encode(point[1:])}),
		"EC called RSA":         jwk("x", ecKey(), map[string]any{"kty": "RSA"}),
		"a shared secret":       {"kid": "x", "kty": "oct", "k": "AAAA", "alg": "HS256"},
		"no id":                 jwk("x", ecKey(), map[string]any{"kid": nil}),
		"an id of a wrong type": jwk("x", ecKey(), map[string]any{"kid": 1}),
	} {
		keys := fixed(jwk("a", ecKey(), nil), key)
		if !accepted(tokenOf("a", ecKey()), jose.ES256, keys) {
			t.Errorf("%s: it hid the good key", name)
		}
		for _, private := range []crypto.PrivateKey{rsaKey(), weak} {
			refuse(t, name, sign(`{"alg":"RS256","kid":"x"}`, payload, private), jose.RS256, keys)
		}
		for _, private := range []crypto.PrivateKey{ecKey(), wide} {
			refuse(t, name, tokenOf("x", private), jose.ES256, keys)
		}
		alone := fixed(key)
		if _, err := jose.Verify(t.Context(), tokenOf("x", ecKey()), jose.ES256, alone); !errors.Is(err, jose.ErrKeysUnavailable) {
			t.Errorf("%s alone: %v", name, err)
		}
	}
	if keys := fixed(jwk("x", rsaKey(), map[string]any{"use": nil, "alg": nil})); !accepted(sign(`{"alg":"RS256","kid":"x"}`, payload, rsaKey()), jose.RS256, keys) {
		t.Error("a key without use and alg was left out")
	}
}

// weakRSA is a key that the standard library no longer makes, and still uses when
// GODEBUG says so.
func weakRSA(t *testing.T) *rsa.PrivateKey {
	t.Setenv("GODEBUG", "rsa1024min=0")
	return newRSA(1024)
}

func FuzzKeySet(f *testing.F) {
	f.Add(document(jwk("a", ecKey(), nil), jwk("b", rsaKey(), nil)))
	f.Add([]byte(`{"keys":[{"kty":"EC","crv":"P-256","kid":"a","x":"","y":""}]}`))
	f.Add([]byte(`{"keys":[{"kty":"RSA","kid":"a","n":"AA","e":"AQAB"}]}`))
	f.Add([]byte(`{"keys":null}`))
	f.Add([]byte(`{"keys":[null,1,"x",[],{}]}`))
	token := tokenOf("a", otherEC())
	f.Fuzz(func(t *testing.T, text []byte) {
		keys := jose.NewKeySet(func(context.Context) ([]byte, error) { return text, nil }, time.Now)
		if accepted(token, jose.ES256, keys) {
			t.Errorf("accepted by %q", text)
		}
	})
}
