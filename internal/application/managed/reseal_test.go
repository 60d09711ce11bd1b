package managed_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"jitaccess/internal/access"
	"jitaccess/internal/application/managed"
	"jitaccess/internal/seal"
)

// sealer is one with keys of these bytes, the newest first.
func sealer(t *testing.T, keys ...byte) *seal.Sealer {
	t.Helper()
	s, err := seal.New(access.Each(keys, func(k byte) []byte { return bytes.Repeat([]byte{k}, 32) }), managed.Purpose)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (w *world) examined(t *testing.T, with *seal.Sealer) string {
	t.Helper()
	keys, err := managed.Examine(t.Context(), w, with)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, k := range keys {
		all = append(all, fmt.Sprintf("%s lost %v older %v", k.Application, k.Lost, k.Older))
	}
	return strings.Join(all, ", ")
}

// After the newest key of the sealer has sealed all keys, those that wait for a second
// administrator too, the older one is needed no more. The keys are the same, and nothing else
// has changed.
func TestKeysAreSealedAnew(t *testing.T) {
	w := made(t, ana, bob)
	_, err := w.Rotate(t.Context(), by(ana), "deployer", w.show().Number)
	w.must(err)
	before, keys := w.show(), w.current().Keys
	newer := w.instance(sealer(t, 8, 7))
	if got := w.examined(t, sealer(t, 8, 7)); got != "deployer lost false older true, deployer lost false older true" {
		t.Error(got)
	}
	// Of two instances one does it.
	w.before = func() {
		if n, err := w.instance(sealer(t, 8, 7)).Reseal(t.Context()); n != 1 || err != nil {
			t.Error(n, err)
		}
	}
	if n, err := newer.Reseal(t.Context()); n != 0 || err != nil {
		t.Errorf("another instance was quicker, and there were %d, %v", n, err)
	}
	if n, err := newer.Reseal(t.Context()); n != 0 || err != nil {
		t.Errorf("once more there were %d, %v", n, err)
	}
	if got := w.examined(t, sealer(t, 8)); got != "deployer lost false older false, deployer lost false older false" {
		t.Error(got)
	}
	w.Registry = w.instance(sealer(t, 8))
	w.told = nil
	if got := w.current().Keys; fmt.Sprint(got) != fmt.Sprint(keys) || len(got) != 1 {
		t.Errorf("%d keys, and they are others", len(got))
	}
	after := w.show()
	if after.Done[0].What != "seal" || after.Done[0].By != "" || after.Number != before.Number+1 {
		t.Errorf("%+v", after.Done)
	}
	after.Done, after.Number = after.Done[1:], before.Number
	if !reflect.DeepEqual(after, before) {
		t.Errorf("%+v\nis not\n%+v", after, before)
	}
	w.must(w.Agree(t.Context(), by(bob), "deployer", w.show().Waiting.Of))
	if app := w.current(); len(app.Keys) != 2 || app.KeysErr != nil {
		t.Errorf("what was agreed to has the keys %v, %v", app.Keys, app.KeysErr)
	}
}

// What no key opens stays as it is, and is named by its application and its id alone.
func TestKeysThatNoKeyOpens(t *testing.T) {
	w := made(t, ana)
	n := len(w.deeds)
	if n, err := w.instance(sealer(t, 9)).Reseal(t.Context()); n != 0 || err != nil {
		t.Error(n, err)
	}
	for _, with := range []*seal.Sealer{nil, sealer(t, 9)} {
		if got := w.examined(t, with); got != "deployer lost true older false" {
			t.Error(got)
		}
	}
	if len(w.deeds) != n {
		t.Error("something was recorded")
	}
}

// Sealing anew brings no key that was not there.
func TestSealingAnewAddsNoKey(t *testing.T) {
	w := made(t, ana)
	body, _ := json.Marshal(map[string]any{"do": "seal", "sealed": map[string][]byte{"another": []byte("x")}})
	w.deeds = append(w.deeds, managed.Deed{Of: "deployer", Number: len(w.deeds) + 1, Body: body})
	if _, err := managed.Examine(t.Context(), w, nil); kindOf(err) != access.Unprocessable {
		t.Error(err)
	}
	w = made(t, ana)
	w.deeds[0] = managed.Deed{Of: "deployer", Number: 1, Body: body}
	if _, err := managed.Examine(t.Context(), w, nil); kindOf(err) != access.Unprocessable {
		t.Error(err)
	}
}
