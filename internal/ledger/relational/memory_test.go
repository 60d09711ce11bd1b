package relational_test

import (
	"path/filepath"
	"testing"

	"jitaccess/internal/ledger/relational"
)

// Each of ten connections that read keeps little of the file in memory: what is asked for again
// the system has.
func TestConnectionsThatReadKeepLittle(t *testing.T) {
	d, err := relational.SQLite(filepath.Join(t.TempDir(), "jitaccess.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := d.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if kept, err := relational.Pragma(t.Context(), d, "cache_size"); err != nil || kept >= 0 || kept < -256 {
		t.Errorf("%d KiB, %v", -kept, err)
	}
}
