package doctor_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"jitaccess/internal/access"
	"jitaccess/internal/doctor"
)

// A key that nothing opens is told by its application and id; without SEAL_KEY all of them are.
func TestKeysOfApplications(t *testing.T) {
	good, older := doctor.SealedKey{Application: "deployer", ID: "k1"}, doctor.SealedKey{Application: "shop", ID: "k2", Older: true}
	lost := doctor.SealedKey{Application: "shop", ID: "k3", Lost: true}
	const sealKey = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
	for name, test := range map[string]struct {
		sealKey string
		memory  doctor.Memory
		want    []string
	}{
		"none":         {sealKey, doctor.Memory{}, nil},
		"none, unset":  {"", doctor.Memory{}, nil},
		"all are good": {sealKey, doctor.Memory{Keys: []doctor.SealedKey{good}}, []string{"ok       applications: every key of applications that are managed at /apps can be opened: 1"}},
		"an older one": {sealKey, doctor.Memory{Keys: []doctor.SealedKey{good, older}},
			[]string{"warning  applications: keys are sealed with an older one", "ok       applications: every key of applications that are managed at /apps can be opened: 2"}},
		"a lost one": {sealKey, doctor.Memory{Keys: []doctor.SealedKey{good, lost}},
			[]string{"broken   applications: no key of SEAL_KEY opens the key k3 of shop"}},
		"unset": {"", doctor.Memory{Keys: []doctor.SealedKey{good, lost}}, []string{"broken   applications: applications that are managed"}},
		"a damaged one": {sealKey, doctor.Memory{Keys: []doctor.SealedKey{good}, Damaged: access.Damages{{Of: "shop",
			Err: &access.Error{Code: access.CodeDeedsDamaged, Err: errors.New("deed 2 of shop does not follow")}}}},
			[]string{"broken   applications: what is kept of shop,", "ok       applications: every key of applications that are managed at /apps can be opened: 1"}},
		"unreadable": {sealKey, doctor.Memory{SealErr: errors.New("refused")}, []string{"broken   applications: SEAL_KEY cannot be read: refused"}},
	} {
		got := world{settings: map[string]string{"SEAL_KEY": test.sealKey}, change: func(c *doctor.Config) {
			c.Ledger = func(context.Context) (doctor.Memory, error) { return test.memory, nil }
		}}.examine(t)
		got = slices.DeleteFunc(got, func(line string) bool { return !strings.Contains(line, " applications: ") })
		if len(got) != len(test.want) {
			t.Errorf("%s: %q", name, got)
			continue
		}
		for i, line := range got {
			if !strings.HasPrefix(line, test.want[i]) {
				t.Errorf("%s: %s, want %s", name, line, test.want[i])
			}
		}
	}
}
