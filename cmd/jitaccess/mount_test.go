package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"jitaccess/internal/config"
)

// Start and doctor warn of a ledger that is gone with the container.
func TestALedgerThatIsLostWithTheContainer(t *testing.T) {
	folder, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	mounts := filepath.Join(folder, "mountinfo")
	volume, link := filepath.Join(folder, "volume"), filepath.Join(folder, "link")
	const overlay = "1 0 0:1 / / rw - overlay overlay rw\n"
	for _, err := range []error{
		os.WriteFile(mounts, []byte(overlay+"2 1 8:1 /srv/jitaccess "+volume+" rw - ext4 /dev/sda1 rw\n"), 0o600),
		os.Mkdir(volume, 0o700),
		os.Symlink(volume, link),
		os.WriteFile(filepath.Join(volume, "made.db"), nil, 0o600),
		os.Symlink(filepath.Join(volume, "made.db"), filepath.Join(folder, "made.db")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(folder)
	for name, c := range map[string]struct {
		address, mounts, said string
	}{
		"on the container's disk":       {"sqlite:" + folder + "/jitaccess.db", mounts, folder + "/jitaccess.db is on the container's own disk"},
		"in the working directory":      {"sqlite:", mounts, folder + "/jitaccess.db is on the container's own disk"},
		"where to mount one":            {"sqlite:" + folder + "/a/b.db", mounts, "a folder of the host at " + folder + "/a (docs/ledger.md)"},
		"on a volume":                   {"sqlite:" + volume + "/jitaccess.db", mounts, ""},
		"in a volume, named from here":  {"sqlite:volume/jitaccess.db", mounts, ""},
		"a link leads to a volume":      {"sqlite:" + link + "/jitaccess.db", mounts, ""},
		"the file itself is a link":     {"sqlite:" + folder + "/made.db", mounts, ""},
		"PostgreSQL":                    {"postgres://a@h/d", mounts, ""},
		"none":                          {"", mounts, ""},
		"a text that is no address":     {"sqlite://x", mounts, ""},
		"a system without such a file":  {"sqlite:" + folder + "/jitaccess.db", folder + "/none", ""},
		"a file that cannot be read":    {"sqlite:" + folder + "/jitaccess.db", folder, ""},
		"a version that is read later":  {"projects/p/secrets/s/versions/1", mounts, ""},
		"a file that says nothing good": {"sqlite:" + folder + "/jitaccess.db", filepath.Join(volume, "made.db"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			l := config.Ledger{Database: config.StoredText{Value: config.NewSecret(c.address)}}
			got := unkept(l, c.mounts)
			if said := strings.Join(got, "\n"); (c.said == "") != (said == "") || !strings.Contains(said, c.said) {
				t.Errorf("%q, want %q", said, c.said)
			}
		})
	}
	if !slices.Equal(aroundSettings(config.Ledger{}), config.Unknown(os.Environ())) {
		t.Error("without a ledger something is said of it")
	}
}
