package managed

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"

	"jitaccess/internal/access"
	"jitaccess/internal/seal"
)

// SealedKey says how a key is sealed that is in use, or would be once a change is agreed to.
type SealedKey struct {
	Application, ID string
	// Lost: no key of the sealer opens it. Older: another one than the newest does.
	Lost, Older bool
}

// Examine says of all keys how they are sealed, by application and id. A nil sealer opens none.
// With the error come those of all applications that are not damaged (access.DamagesOf).
func Examine(ctx context.Context, deeds Deeds, sealer *seal.Sealer) ([]SealedKey, error) {
	all, err := readAll(ctx, deeds)
	if err != nil {
		return nil, err
	}
	var keys []SealedKey
	var damages access.Damages
	for _, name := range slices.Sorted(maps.Keys(all)) {
		s := all[name]
		if s.damage != nil {
			damages = append(damages, access.Damage{Of: name, Err: s.damage})
			continue
		}
		for id, k := range s.keys() {
			one := SealedKey{Application: name, ID: id, Lost: true}
			if sealer != nil {
				_, older, err := sealer.Open(k.Sealed, keyContext(name, id))
				one.Lost, one.Older = err != nil, older
			}
			keys = append(keys, one)
		}
	}
	slices.SortFunc(keys, func(a, b SealedKey) int {
		return cmp.Or(cmp.Compare(a.Application, b.Application), cmp.Compare(a.ID, b.ID))
	})
	return keys, damages.Err()
}

// keys are those of the application, and of what is proposed, by their ids.
func (s *state) keys() map[string]keptKey {
	all := map[string]keptKey{}
	for _, k := range s.app.Keys {
		all[k.ID] = k
	}
	if s.pending != nil {
		for _, k := range s.pending.app.Keys {
			all[k.ID] = k
		}
	}
	return all
}

// reseal replaces what is sealed of keys, wherever they stand. It adds none.
func (s *state) reseal(anew map[string][]byte) error {
	known := s.keys()
	for id := range anew {
		if _, ok := known[id]; !ok {
			return errors.New("there is no key " + id + " to seal anew")
		}
	}
	replaced := func(keys []keptKey) []keptKey {
		return access.Each(keys, func(k keptKey) keptKey {
			if sealed := anew[k.ID]; sealed != nil {
				k.Sealed = sealed
			}
			return k
		})
	}
	s.app.Keys = replaced(s.app.Keys)
	if s.pending != nil {
		s.pending.app.Keys = replaced(s.pending.app.Keys)
	}
	return nil
}

// Reseal seals with the newest key of the sealer what an older one has sealed, and returns of how
// many applications: the older one is not needed for them any more. What no key opens stays as
// it is. Several instances may do it at the same time; one does it, and the others find it done.
func (r *Registry) Reseal(ctx context.Context) (resealed int, err error) {
	all, err := readAll(ctx, r.c.Deeds)
	if err != nil {
		return 0, err
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		s, anew := all[name], map[string][]byte{}
		if s.damage != nil {
			err = errors.Join(err, s.damage)
			continue
		}
		for id, k := range s.keys() {
			if secret, older, failed := r.c.Sealer.Open(k.Sealed, keyContext(name, id)); failed == nil && older {
				anew[id] = r.c.Sealer.Seal(secret, keyContext(name, id))
			}
		}
		if len(anew) == 0 {
			continue
		}
		body, failed := json.Marshal(deedBody{Do: didSeal, Sealed: anew})
		if failed == nil {
			failed = r.record(ctx, Deed{Of: name, Number: s.number + 1, At: r.c.Now(), Body: body})
		}
		switch own := access.AsError(failed); {
		case failed == nil:
			resealed++
		case own.Kind != access.Conflict: // else another instance has done it, or somebody a deed
			err = errors.Join(err, failed)
		}
	}
	return resealed, err
}
