package main

import (
	"bytes"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var afresh = flag.Bool("afresh", false, "compile everything anew for each of two builds, for both architectures: some ten minutes")

// copySource copies what the image is built of, as .dockerignore has it.
func copySource(t *testing.T, to string) {
	t.Helper()
	const from = "../.."
	if err := os.MkdirAll(to, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"go.mod", "go.sum", "cmd", "internal", "web"} {
		err := filepath.WalkDir(filepath.Join(from, part), func(name string, f fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			target := filepath.Join(to, strings.TrimPrefix(name, from))
			switch {
			case f.IsDir() && (f.Name() == "testdata" || f.Name() == "node_modules"):
				return filepath.SkipDir
			case f.IsDir():
				return os.MkdirAll(target, 0o755)
			case strings.HasSuffix(name, "_test.go"):
				return nil
			}
			text, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			return os.WriteFile(target, text, 0o644)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// Two builds, in folders of different names, under different settings of the person who builds:
// one digest. It is below the size that is promised.
func TestTwoBuildsHaveOneDigest(t *testing.T) {
	platforms := []platform{amd64}
	if *afresh {
		platforms = append(platforms, arm64)
	}
	one, two := filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "a folder with a longer name")
	made := map[string]image{}
	for _, folder := range []string{one, two} {
		copySource(t, folder)
		if folder == two {
			t.Setenv("GOFLAGS", "-tags=failpoints")
			t.Setenv("GOAMD64", "v3")
			t.Setenv("CGO_ENABLED", "1")
			t.Setenv("TZ", "Asia/Tokyo")
		}
		if *afresh {
			t.Setenv("GOCACHE", t.TempDir())
		}
		i := image{edition: edition{version: "1.2.3", at: time.Unix(1_700_000_000, 0).UTC()}, programs: map[platform][]byte{}}
		for _, p := range platforms {
			var err error
			if i.programs[p], err = goBuild(t.Context(), folder, i.edition, p); err != nil {
				t.Fatal(err)
			}
		}
		made[folder] = i
	}
	var digests []string
	for folder, i := range made {
		_, digest, err := i.layout()
		if err != nil {
			t.Fatal(err)
		}
		digests = append(digests, digest)
		for _, p := range platforms {
			if !bytes.Equal(i.programs[p], made[one].programs[p]) {
				t.Errorf("%s: the program that was built in %q is another", p, folder)
			}
			if bytes.Contains(i.programs[p], []byte(folder)) {
				t.Errorf("%s: the program says where it was built", p)
			}
			if !bytes.Contains(i.programs[p], []byte("1.2.3")) {
				t.Errorf("%s: the program does not know its version", p)
			}
			t.Logf("%s: %.1f MB compressed", p, float64(i.sizes[p])/1e6)
		}
	}
	if digests = slices.Compact(digests); len(digests) != 1 {
		t.Errorf("digests %q", digests)
	}
}
