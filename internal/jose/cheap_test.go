package jose_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"jitaccess/internal/jose"
)

// A token that cannot be good does not make anybody ask for keys, and says why.
func TestWhatCannotBeGoodAsksForNoKeys(t *testing.T) {
	var fetches atomic.Int32
	keys := jose.NewKeySet(func(context.Context) ([]byte, error) {
		fetches.Add(1)
		return nil, errors.New("down")
	}, time.Now)
	for _, kid := range []string{"", strings.Repeat("k", 129)} {
		_, err := jose.Verify(t.Context(), tokenOf(kid, ecKey()), jose.ES256, keys)
		if err == nil || !strings.Contains(err.Error(), "kid is missing or malformed") {
			t.Errorf("a kid of %d bytes: %v", len(kid), err)
		}
	}
	if n := fetches.Load(); n != 0 {
		t.Errorf("%d fetches", n)
	}
}

// That a key is not for the algorithm is found before anything is computed with it.
func TestAKeyIsUsedForItsAlgorithmAlone(t *testing.T) {
	for header, algorithm := range map[string]jose.Algorithm{`{"alg":"RS256","kid":"ec"}`: jose.RS256, `{"alg":"ES256","kid":"rsa"}`: jose.ES256} {
		_, err := jose.Verify(t.Context(), sign(header, payload, nil), algorithm, bothKeys())
		if err == nil || !strings.Contains(err.Error(), "not one for this algorithm") {
			t.Errorf("%s: %v", header, err)
		}
	}
}

func TestKeySetsAreBounded(t *testing.T) {
	good := document(jwk("a", ecKey(), nil))
	for size, want := range map[int]bool{1 << 20: true, 1<<20 + 1: false} {
		text := append(bytes.Clone(good), bytes.Repeat([]byte(" "), size-len(good))...)
		keys := jose.NewKeySet(func(context.Context) ([]byte, error) { return text, nil }, time.Now)
		if accepted(tokenOf("a", ecKey()), jose.ES256, keys) != want {
			t.Errorf("a key set of %d bytes: accepted is not %v", size, want)
		}
	}
}
