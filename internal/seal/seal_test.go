package seal_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"slices"
	"testing"

	"jitaccess/internal/seal"
)

func key(fill byte) []byte { return bytes.Repeat([]byte{fill}, 32) }

func sealer(t *testing.T, purpose string, keys ...[]byte) *seal.Sealer {
	t.Helper()
	s, err := seal.New(keys, purpose)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestWhatIsSealedIsOpened(t *testing.T) {
	s := sealer(t, "keys 1", key(1))
	for _, secret := range [][]byte{{}, []byte("secret"), bytes.Repeat([]byte("x"), 1<<16)} {
		sealed := s.Seal(secret, "app")
		if len(secret) > 0 && bytes.Contains(sealed, secret) {
			t.Error("a secret can be read in what is sealed")
		}
		opened, older, err := s.Open(sealed, "app")
		if err != nil || older || !bytes.Equal(opened, secret) {
			t.Errorf("%q, older %v: %v", opened, older, err)
		}
	}
}

// What is sealed twice looks different each time, so that equal secrets are not seen to be.
func TestEqualSecretsLookDifferent(t *testing.T) {
	s := sealer(t, "keys 1", key(1))
	if bytes.Equal(s.Seal([]byte("secret"), "app"), s.Seal([]byte("secret"), "app")) {
		t.Error("they look the same")
	}
}

func TestWhatIsSealedIsBound(t *testing.T) {
	s := sealer(t, "keys 1", key(1), key(2))
	sealed := s.Seal([]byte("secret"), "shop\x00key-1")
	for name, open := range map[string]func() ([]byte, bool, error){
		"to the application":     func() ([]byte, bool, error) { return s.Open(sealed, "bank\x00key-1") },
		"to the id of the key":   func() ([]byte, bool, error) { return s.Open(sealed, "shop\x00key-2") },
		"to both, however split": func() ([]byte, bool, error) { return s.Open(sealed, "shop\x00k\x00ey-1") },
		"to anything at all":     func() ([]byte, bool, error) { return s.Open(sealed, "") },
		"to its purpose":         func() ([]byte, bool, error) { return sealer(t, "keys 2", key(1), key(2)).Open(sealed, "shop\x00key-1") },
		"to its key":             func() ([]byte, bool, error) { return sealer(t, "keys 1", key(2)).Open(sealed, "shop\x00key-1") },
	} {
		if opened, _, err := open(); err == nil || opened != nil {
			t.Errorf("it is not bound %s: %q", name, opened)
		}
	}
	if _, _, err := sealer(t, "keys 1", key(3)).Open(sealed, "shop\x00key-1"); !errors.Is(err, seal.ErrOtherKey) {
		t.Errorf("of a key that is not there: %v", err)
	}
}

func TestEveryChangedBitIsNoticed(t *testing.T) {
	s := sealer(t, "keys 1", key(1))
	sealed := s.Seal([]byte("secret"), "app")
	for at := range sealed {
		changed := slices.Clone(sealed)
		changed[at] ^= 1
		if opened, _, err := s.Open(changed, "app"); err == nil {
			t.Errorf("byte %d was changed, and it opens as %q", at, opened)
		}
	}
	for n := range sealed {
		if _, _, err := s.Open(sealed[:n], "app"); err == nil {
			t.Errorf("the first %d bytes open", n)
		}
	}
	if _, _, err := s.Open(append(slices.Clone(sealed), 0), "app"); err == nil {
		t.Error("with a byte more it opens")
	}
}

func TestAnOlderKeyOpensAndIsSaid(t *testing.T) {
	sealed := sealer(t, "keys 1", key(1)).Seal([]byte("secret"), "app")
	opened, older, err := sealer(t, "keys 1", key(2), key(1)).Open(sealed, "app")
	if string(opened) != "secret" || !older || err != nil {
		t.Errorf("%q, older %v: %v", opened, older, err)
	}
}

func TestKeysThatAreNone(t *testing.T) {
	for name, keys := range map[string][][]byte{"none": nil, "a short one": {make([]byte, 31)}, "a short one behind": {key(1), nil}} {
		if s, err := seal.New(keys, "keys 1"); err == nil || s != nil {
			t.Errorf("%s: made", name)
		}
	}
}

func FuzzOpen(f *testing.F) {
	s, err := seal.New([][]byte{key(1)}, "keys 1")
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte{}, "")
	f.Add([]byte("1234"), "app")
	f.Add(s.Seal([]byte(rand.Text()), "another"), "app")
	f.Fuzz(func(t *testing.T, sealed []byte, context string) {
		if opened, _, err := s.Open(sealed, context); err == nil && context != "another" {
			t.Errorf("%q opens as %q", sealed, opened)
		}
	})
}
