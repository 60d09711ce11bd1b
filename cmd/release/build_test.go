package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
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
	for _, part := range []string{"go.mod", "go.sum", "cmd", "docs", "internal", "web"} {
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
			kept := filepath.Join(t.TempDir(), "env") // what go env -w writes
			if err := os.WriteFile(kept, []byte("GOFLAGS=-tags=failpoints\nGOEXPERIMENT=jsonv2\nGO111MODULE=off\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			t.Setenv("GOENV", kept)
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

// verified says whether what is in a folder is what was signed with one of the keys in signers, as
// docs/releases.md has people find out.
func verified(t *testing.T, folder, signers string) error {
	t.Helper()
	command := exec.Command("sh", "-c", `ssh-keygen -Y verify -f "$1" -I releases -n file -s SHA256SUMS.sig <SHA256SUMS && sha256sum --check --quiet SHA256SUMS`, "sh", signers)
	command.Dir = folder
	if said, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, said)
	}
	return nil
}

// What was changed on the way, was signed by somebody else, or was put in, does not verify.
func TestWhatIsPublishedIsSigned(t *testing.T) {
	keys := t.TempDir()
	signers := filepath.Join(keys, "signers")
	for _, name := range []string{"ours", "theirs"} {
		if said, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", filepath.Join(keys, name)).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, said)
		}
	}
	public, err := os.ReadFile(filepath.Join(keys, "ours.pub"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(signers, []byte("releases "+string(public)), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		key    string
		change func(folder string) error
		good   bool
	}{
		"as it was made":          {"ours", func(string) error { return nil }, true},
		"with another's key":      {"theirs", func(string) error { return nil }, false},
		"with a file changed":     {"ours", func(f string) error { return os.WriteFile(f+"/jitaccess-1.2.3-image.tar", []byte("x"), 0o600) }, false},
		"with a file missing":     {"ours", func(f string) error { return os.Remove(f + "/jitaccess-1.2.3-linux-arm64.tar.gz") }, false},
		"with a sum put in":       {"ours", func(f string) error { return os.WriteFile(f+"/SHA256SUMS", nil, 0o600) }, false},
		"without any signature":   {"ours", func(f string) error { return os.Remove(f + "/SHA256SUMS.sig") }, false},
		"signed a second time":    {"ours", func(f string) error { return signed(f, filepath.Join(keys, "ours")) }, true},
		"signed again by another": {"ours", func(f string) error { return signed(f, filepath.Join(keys, "theirs")) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			folder, _, err := releasing(t, platform{}, false)
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(signed(folder, filepath.Join(keys, c.key)), c.change(folder)); err != nil {
				t.Fatal(err)
			}
			if err := verified(t, folder, signers); (err == nil) != c.good {
				t.Errorf("verified: %v", err)
			}
		})
	}
}

func signed(folder, key string) error {
	command := exec.Command("make", "-s", "-C", "../..", "sign", "DIST="+folder, "RELEASE_KEY="+key, "VERSION=1.2.3")
	if said, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, said)
	}
	return nil
}

// make release refuses before it builds anything.
func TestAReleaseIsOfACommitAndSigned(t *testing.T) {
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	// A tree with work that is not committed, as git tells of it.
	changed, folder := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(changed, "git"), []byte("#!/bin/sh\necho ' M main.go'\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ version, key, to, says string }{
		"not committed":      {"v1-3-gabc-dirty", key, folder, "commit"},
		"no version":         {"dev", key, folder, "commit"},
		"no key":             {"v1", "", folder, "RELEASE_KEY"},
		"key not there":      {"v1", key + "x", folder, "RELEASE_KEY"},
		"done before":        {"v1", key, folder, "already"},
		"named all the same": {"v1", key, filepath.Join(folder, "new"), "not committed"},
	} {
		command := exec.Command("make", "-C", "../..", "release", "VERSION="+c.version, "RELEASE_KEY="+c.key, "DIST="+c.to)
		command.Env = append(os.Environ(), "PATH="+changed+":"+os.Getenv("PATH"))
		said, err := command.CombinedOutput()
		if err == nil || !strings.Contains(string(said), c.says) || strings.Contains(string(said), "go run") {
			t.Errorf("%s: %v, %s", name, err, said)
		}
	}
}

// What is not committed, or not under the tag, is no version: make release begins with a clean copy of it.
func TestAReleaseIsOfATag(t *testing.T) {
	makefile, err := filepath.Abs("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change string
		says   string // empty where it begins
	}{
		"as it was tagged":      {"true", ""},
		"an ignored file":       {"echo canary >notes", ""},
		"a file kept from git":  {"echo more >.git/info/exclude && echo canary >more", ""},
		"an overlooked change":  {"git update-index --assume-unchanged go.mod && echo canary >>go.mod", ""},
		"an annotated tag":      {"git tag -d v1 && git tag -a -m v1 v1", ""},
		"a changed file":        {"echo x >>go.mod", "not committed"},
		"a staged file":         {"echo x >>go.mod && git add .", "not committed"},
		"a new file":            {"echo x >more.go", "not committed"},
		"a removed file":        {"rm go.mod", "not committed"},
		"no tag":                {"git tag -d v1", "no tag v1"},
		"a branch of that name": {"git tag -d v1 && git branch v1", "no tag v1"},
		"a later commit":        {"git commit -q --allow-empty -m later", "another commit"},
		"another commit named":  {"export REVISION=0123456789", "another commit"},
		"no git":                {"rm -rf .git", "no tag v1"},
	} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			for file, text := range map[string]string{"key": "", "bin/go": "#!/bin/sh\necho begun; echo GOWORK=$GOWORK; cat *; exit 1\n", "source/go.mod": "module x\n", "source/.gitignore": "notes\n"} {
				if err := errors.Join(os.MkdirAll(filepath.Dir(filepath.Join(folder, file)), 0o755), os.WriteFile(filepath.Join(folder, file), []byte(text), 0o755)); err != nil {
					t.Fatal(err)
				}
			}
			command := exec.Command("sh", "-c", `cd source && git init -q && git add . && git commit -q -m x && git tag v1 && `+c.change+
				` && make -f "$1" release VERSION=v1 RELEASE_KEY=../key DIST=../dist`, "sh", makefile)
			command.Dir = folder
			command.Env = append(os.Environ(), "PATH="+filepath.Join(folder, "bin")+":"+os.Getenv("PATH"), "GIT_CONFIG_GLOBAL=/dev/null",
				"GIT_CONFIG_SYSTEM=/dev/null", "GIT_CEILING_DIRECTORIES="+folder, "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.com",
				"GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.com")
			said, err := command.CombinedOutput()
			if err == nil || c.says != "" && !strings.Contains(string(said), c.says) || strings.Contains(string(said), "begun\n") != (c.says == "") ||
				c.says == "" && !strings.Contains(string(said), "GOWORK=off\nmodule x\n") || strings.Contains(string(said), "canary") {
				t.Errorf("%v: %s", err, said)
			}
		})
	}
}
