package doctor

import (
	"fmt"
	"slices"

	"jitaccess/internal/access"
)

// SealedKey is a key of an application that is managed by page: Lost where no key of SEAL_KEY
// opens it, Older where another one than the newest does.
type SealedKey struct {
	Application, ID string
	Lost, Older     bool
}

// damagedRemedy is what to do where deeds are not what was recorded.
const damagedRemedy = "run: jitaccess ledger verify; docs/ledger.md; " +
	"put back the rows that were changed or removed, or the key that has signed them"

// sealed looks whether keys of applications can be opened that are managed by page.
func (d *doctor) sealed(m Memory) {
	const check = "applications"
	for _, one := range m.Damaged {
		d.broken(check, fmt.Sprintf("what is kept of %s, which is managed at /apps, is not what was recorded, so that it can do nothing; "+
			"others can: %s", one.Of, why(one.Err)), damagedRemedy)
	}
	switch older := slices.ContainsFunc(m.Keys, func(k SealedKey) bool { return k.Older }); {
	case m.SealErr != nil:
		d.broken(check, "SEAL_KEY cannot be read: "+why(m.SealErr), "correct SEAL_KEY")
	case len(m.Keys) > 0 && d.Settings.Apps.SealKey.IsZero():
		d.broken(check, fmt.Sprintf("applications that are managed at /apps cannot ask: SEAL_KEY is not set, which opens their %s",
			access.Counted(len(m.Keys), "key", "keys")),
			"set SEAL_KEY to what it was")
		return
	case older:
		d.warn(check, "keys are sealed with an older one of SEAL_KEY",
			"leave it there: the service seals them anew when it starts, and once a day")
	}
	for _, k := range m.Keys {
		if k.Lost {
			d.broken(check, fmt.Sprintf("no key of SEAL_KEY opens the key %s of %s, so that it cannot ask", k.ID, k.Application),
				"put the key that was SEAL_KEY then behind the newest one, or give it up at /apps/"+k.Application+" and add another")
		}
	}
	if lost := slices.ContainsFunc(m.Keys, func(k SealedKey) bool { return k.Lost }); len(m.Keys) > 0 && !lost {
		d.ok(check, "every key of applications that are managed at /apps can be opened: %d", len(m.Keys))
	}
}
