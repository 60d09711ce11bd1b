package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"jitaccess/internal/config"
)

// A ledger that is gone with the container.
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
}

// Start and doctor say so of what this very process sees: /dev/shm is memory everywhere on Linux.
func TestALedgerInMemoryIsWarnedOf(t *testing.T) {
	folder, err := os.MkdirTemp("/dev/shm", "jitaccess-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(folder) })
	w := newWorld(t, surroundings{environment: map[string]string{"K_SERVICE": "", "IAP_AUDIENCE": "/projects/264853019977/locations/europe-west1/services/jitaccess"}})
	var out strings.Builder
	examine(t.Context(), w.env(map[string]string{"DATABASE_URL": "sqlite:" + folder + "/jitaccess.db"}), recipients{}, w.mail.Roots, &out)
	if want := "warning  settings: DATABASE_URL: " + folder + "/jitaccess.db is on a disk in memory: "; !strings.Contains(out.String(), want) {
		t.Errorf("doctor does not say %q\n%s", want, out.String())
	}
}
