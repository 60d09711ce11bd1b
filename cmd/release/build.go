package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// fetching are the settings of Go by which modules come, and where they are kept: they say nothing
// of what is built of them.
var fetching = []string{"GOAUTH", "GOCACHE", "GOINSECURE", "GOMODCACHE",
	"GONOPROXY", "GONOSUMDB", "GOPRIVATE", "GOPROXY", "GOSUMDB", "GOTMPDIR", "GOVCS"}

// goBuild builds the program in a folder of source, and returns it. What a person's environment, and
// what "go env -w" keeps, would add to the build is left out; the Dockerfile builds with the same flags.
func goBuild(ctx context.Context, source string, e edition, p platform) ([]byte, error) {
	folder, err := os.MkdirTemp("", "jitaccess-release-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder)
	program := filepath.Join(folder, "jitaccess")
	kept, err := exec.CommandContext(ctx, "go", append([]string{"env"}, fetching...)...).Output()
	if err != nil {
		return nil, fmt.Errorf("go env: %w", err)
	}
	// With several workers the compiler (1.26.8) orders some functions of a package by who was done
	// first: internal/sandbox/google for arm64 came out in two forms. -c=1 is one worker to a package.
	command := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-gcflags=all=-c=1",
		"-ldflags", "-s -w -X main.version="+e.version, "-o", program, "./cmd/jitaccess")
	command.Dir = source
	command.Env = append(os.Environ(), "GOENV=off", "GO111MODULE=on", "CGO_ENABLED=0", "GOOS="+p.system, "GOARCH="+p.architecture,
		"GOAMD64=v1", "GOARM64=v8.0", "GOFLAGS=", "GOEXPERIMENT=", "GOFIPS140=off", "GOWORK=off", "GOTOOLCHAIN=local")
	for i, value := range strings.Split(strings.TrimSuffix(string(kept), "\n"), "\n") {
		command.Env = append(command.Env, fetching[i]+"="+value)
	}
	if said, err := command.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building for %s: %w\n%s", p, err, said)
	}
	return os.ReadFile(program)
}

// releaser makes the files of one edition.
type releaser struct {
	edition
	source, out string
	build       func(ctx context.Context, source string, e edition, p platform) ([]byte, error)
	stdout      io.Writer
}

// release writes an archive for each platform, unless the image alone is wanted, and the image
// with its digest. It writes no file of a release that it cannot complete.
func (r releaser) release(ctx context.Context, platforms []platform, imageOnly bool) error {
	files := map[string][]byte{}
	made := image{edition: r.edition, programs: map[platform][]byte{}}
	for _, p := range platforms {
		if imageOnly && p.system != "linux" {
			continue
		}
		program, err := r.build(ctx, r.source, r.edition, p)
		if err != nil {
			return err
		}
		if p.system == "linux" {
			made.programs[p] = program
		}
		if imageOnly {
			continue
		}
		name := fmt.Sprintf("jitaccess-%s-%s-%s.tar.gz", r.version, p.system, p.architecture)
		if files[name], err = packed(tarOf(r.at, entry{name: "jitaccess", mode: 0o755, content: program})); err != nil {
			return err
		}
	}
	digest := ""
	if len(made.programs) > 0 {
		layout, d, err := made.layout()
		if err != nil {
			return err
		}
		digest = d
		name := "jitaccess-" + r.version + "-image"
		files[name+".tar"], files[name+".digest"] = layout, []byte(digest+"\n")
	}
	if err := os.MkdirAll(r.out, 0o755); err != nil {
		return err
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(r.out, name), content, 0o644); err != nil {
			return err
		}
	}
	for p, size := range made.sizes {
		fmt.Fprintf(r.stdout, "image for %s: %.1f MB compressed\n", p, float64(size)/1e6)
	}
	if digest != "" {
		fmt.Fprintln(r.stdout, strings.TrimSpace(digest))
	}
	return nil
}

// epoch is the time of the files in an image: no time, so that a layer is the same in every
// version that has the same files.
var epoch = time.Unix(0, 0)
