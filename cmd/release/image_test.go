package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

var (
	amd64 = platform{"linux", "amd64"}
	arm64 = platform{"linux", "arm64"}
)

func trial() *image {
	return &image{edition: edition{version: "1.2.3", revision: "abc", at: time.Unix(1_700_000_000, 0).UTC()},
		programs: map[platform][]byte{arm64: []byte("program for arm64"), amd64: []byte("program for amd64")}}
}

// unpacked are the files of an archive, and their headers.
func unpacked(t *testing.T, archive io.Reader) (map[string][]byte, map[string]*tar.Header) {
	t.Helper()
	files, headers := map[string][]byte{}, map[string]*tar.Header{}
	for r := tar.NewReader(archive); ; {
		header, err := r.Next()
		if err == io.EOF {
			return files, headers
		}
		if err != nil {
			t.Fatal(err)
		}
		if files[header.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
		headers[header.Name] = header
	}
}

func decoded[T any](t *testing.T, text []byte) (v T) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return v
}

// read follows descriptors through a layout as whoever loads it does, and returns what the image
// of one platform consists of.
func read(t *testing.T, files map[string][]byte, p platform) (imageConfig, [][]byte) {
	t.Helper()
	blob := func(d descriptor) []byte {
		content := files[blobPath(d)]
		if digestOf(content) != d.Digest || len(content) != d.Size {
			t.Fatalf("%s is not what its descriptor says", d.Digest)
		}
		return content
	}
	top := decoded[index](t, files["index.json"])
	if len(top.Manifests) != 1 {
		t.Fatalf("%d things in the layout: tools ask which", len(top.Manifests))
	}
	all := decoded[index](t, blob(top.Manifests[0]))
	n := slices.IndexFunc(all.Manifests, func(d descriptor) bool { return *d.Platform == ociPlatform{p.architecture, p.system} })
	if n < 0 {
		t.Fatalf("no image for %s", p)
	}
	m := decoded[manifest](t, blob(all.Manifests[n]))
	config := decoded[imageConfig](t, blob(m.Config))
	var layers [][]byte
	for i, d := range m.Layers {
		plain, err := gzip.NewReader(bytes.NewReader(blob(d)))
		if err != nil {
			t.Fatal(err)
		}
		layer, err := io.ReadAll(plain)
		if err != nil || digestOf(layer) != config.RootFS.DiffIDs[i] {
			t.Fatalf("layer %d is not the one of the configuration: %v", i, err)
		}
		layers = append(layers, layer)
	}
	return config, layers
}

// The image holds the program, whom to trust, and a folder that the program's user owns.
func TestAnImageHoldsTheProgramAndLittleElse(t *testing.T) {
	archive, digest, err := trial().layout()
	if err != nil {
		t.Fatal(err)
	}
	files, _ := unpacked(t, bytes.NewReader(archive))
	for _, p := range []platform{amd64, arm64} {
		config, layers := read(t, files, p)
		if config.Architecture != p.architecture || config.OS != "linux" {
			t.Errorf("%s: it is for %s/%s", p, config.OS, config.Architecture)
		}
		base, owners := unpacked(t, bytes.NewReader(layers[0]))
		if names := slices.Sorted(maps.Keys(base)); !slices.Equal(names, []string{"data/", "etc/", "etc/ssl/", "etc/ssl/certs/", "etc/ssl/certs/ca-certificates.crt"}) {
			t.Errorf("%s: the base has %q", p, names)
		}
		if data := owners["data/"]; data.Uid != user || data.Gid != user || data.Typeflag != tar.TypeDir || data.Mode != 0o755 {
			t.Errorf("%s: /data is %+v", p, data)
		}
		pool := x509.NewCertPool()
		if count := strings.Count(string(base["etc/ssl/certs/ca-certificates.crt"]), "BEGIN CERTIFICATE"); !pool.AppendCertsFromPEM(base["etc/ssl/certs/ca-certificates.crt"]) || count < 100 {
			t.Errorf("%s: %d authorities", p, count)
		}
		program, headers := unpacked(t, bytes.NewReader(layers[1]))
		if len(program) != 1 || string(program["jitaccess"]) != "program for "+p.architecture || headers["jitaccess"].Mode != 0o755 || headers["jitaccess"].Uid != 0 {
			t.Errorf("%s: the program's layer has %q", p, program)
		}
		for name, want := range map[string]string{"version": "1.2.3", "revision": "abc", "created": "2023-11-14T22:13:20Z", "title": "jitaccess"} {
			if got := config.Config.Labels["org.opencontainers.image."+name]; got != want {
				t.Errorf("%s: the label %s is %q", p, name, got)
			}
		}
	}
	top := decoded[index](t, files["index.json"])
	if top.Manifests[0].Digest != digest || string(files["oci-layout"]) != `{"imageLayoutVersion":"1.0.0"}` {
		t.Errorf("digest %s, layout %s", digest, files["oci-layout"])
	}
	for _, f := range decoded[[]file](t, files["manifest.json"]) {
		for _, name := range append(f.Layers, f.Config) {
			if files[name] == nil {
				t.Errorf("docker load finds no %s", name)
			}
		}
	}
}

// Both ways to an image lead to one that runs in the same way, built with the same flags.
func TestTheDockerfileMakesTheSameImage(t *testing.T) {
	text, err := os.ReadFile("../../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	_, last, _ := strings.Cut(string(text), "\nFROM scratch\n")
	says := func(instruction string) string {
		found := regexp.MustCompile(`(?m)^`+instruction+` (.*)$`).FindAllStringSubmatch(last, -1)
		if len(found) != 1 {
			t.Fatalf("%d times %s", len(found), instruction)
		}
		return found[0][1]
	}
	config := trial().config()
	for instruction, want := range map[string]string{
		"USER": config.User, "WORKDIR": config.WorkingDir, "VOLUME": strings.Join(slices.Sorted(maps.Keys(config.Volumes)), " "),
		"ENTRYPOINT": `["` + strings.Join(config.Entrypoint, `", "`) + `"]`, "ENV": strings.Join(config.Env, " "),
	} {
		if got := says(instruction); got != want {
			t.Errorf("%s %s, here it is %s", instruction, got, want)
		}
	}
	for port := range strings.FieldsSeq(says("EXPOSE")) {
		if _, ok := config.ExposedPorts[port+"/tcp"]; !ok {
			t.Errorf("port %s is not exposed", port)
		}
	}
	building, err := os.ReadFile("build.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, flag := range []string{"-trimpath", "-buildvcs=false", "-gcflags=all=-c=1", "-s -w -X main.version=", "CGO_ENABLED=0"} {
		if !strings.Contains(string(text), flag) || !strings.Contains(string(building), flag) {
			t.Errorf("%s is not in both", flag)
		}
	}
}

// The same input is the same image, whenever it is made and in whatever order maps are read.
func TestAnImageDependsOnWhatItIsMadeOfAlone(t *testing.T) {
	first, digest, err := trial().layout()
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		again, d, err := trial().layout()
		if err != nil || d != digest || !bytes.Equal(first, again) {
			t.Fatalf("another image: %s, %s, %v", digest, d, err)
		}
	}
	for name, change := range map[string]func(*image){
		"version": func(i *image) { i.version = "1.2.4" }, "revision": func(i *image) { i.revision = "abd" },
		"time": func(i *image) { i.at = i.at.Add(time.Second) }, "program": func(i *image) { i.programs[amd64] = []byte("other") },
	} {
		other := trial()
		change(other)
		if _, d, err := other.layout(); err != nil || d == digest {
			t.Errorf("another %s is the same image: %v", name, err)
		}
	}
}

func TestAnImageThatGrewTooLargeIsRefused(t *testing.T) {
	large := trial()
	noise := make([]byte, maxImage)
	random := rand.NewChaCha8([32]byte{})
	random.Read(noise)
	large.programs[arm64] = noise
	if _, _, err := large.layout(); err == nil || !strings.Contains(err.Error(), "linux/arm64") {
		t.Errorf("it is made: %v", err)
	}
}

// releasing runs the command with builds of its own, and returns its folder.
func releasing(t *testing.T, failing platform, imageOnly bool) (string, string, error) {
	t.Helper()
	var said bytes.Buffer
	out := t.TempDir() + "/dist"
	r := releaser{edition: trial().edition, out: out, stdout: &said, build: func(_ context.Context, _ string, _ edition, p platform) ([]byte, error) {
		if p == failing {
			return nil, fmt.Errorf("no build for %s", p)
		}
		return []byte("program for " + p.String()), nil
	}}
	err := r.release(t.Context(), published, imageOnly)
	return out, said.String(), err
}

func names(t *testing.T, folder string) []string {
	t.Helper()
	all, err := os.ReadDir(folder)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	var found []string
	for _, f := range all {
		found = append(found, f.Name())
	}
	return found
}

func TestAReleaseHasAnArchiveForEachPlatformAndTheImage(t *testing.T) {
	folder, said, err := releasing(t, platform{}, false)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"jitaccess-1.2.3-darwin-amd64.tar.gz", "jitaccess-1.2.3-darwin-arm64.tar.gz", "jitaccess-1.2.3-image.digest", "jitaccess-1.2.3-image.tar",
		"jitaccess-1.2.3-linux-amd64.tar.gz", "jitaccess-1.2.3-linux-arm64.tar.gz"}
	if got := names(t, folder); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	packed, err := os.Open(folder + "/jitaccess-1.2.3-darwin-arm64.tar.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer packed.Close()
	plain, err := gzip.NewReader(packed)
	if err != nil {
		t.Fatal(err)
	}
	if files, headers := unpacked(t, plain); len(files) != 1 || string(files["jitaccess"]) != "program for darwin/arm64" || headers["jitaccess"].Mode != 0o755 {
		t.Errorf("%q", files)
	}
	if !regexp.MustCompile(`(?m)^sha256:[0-9a-f]{64}$`).MatchString(said) || !strings.Contains(said, "linux/arm64") {
		t.Errorf("it says %q", said)
	}
	only, _, err := releasing(t, platform{"darwin", "arm64"}, true)
	if got := names(t, only); err != nil || !slices.Equal(got, want[2:4]) {
		t.Errorf("the image alone: %q, %v", got, err)
	}
}

// A build that fails leaves nothing that could be taken for a release.
func TestAReleaseIsWholeOrNotThere(t *testing.T) {
	folder, _, err := releasing(t, platform{"darwin", "arm64"}, false)
	if got := names(t, folder); err == nil || got != nil {
		t.Errorf("%q, %v", got, err)
	}
}

func TestWhatCannotBeReleasedIsRefused(t *testing.T) {
	for _, args := range [][]string{
		{}, {"--version", ""}, {"--version", "1 2"}, {"--version", "-x"}, {"--version", "1/2"}, {"--version", strings.Repeat("1", 129)},
		{"--version", "1", "--platforms", "linux"}, {"--version", "1", "--platforms", "linux/amd64,"}, {"--version", "1", "--time", "now"},
		{"--version", "1", "more"}, {"--unknown"},
	} {
		var said bytes.Buffer
		if code := run(t.Context(), args, io.Discard, &said); code != exitUsage || said.Len() == 0 {
			t.Errorf("%q: %d, %q", args, code, said.String())
		}
	}
	var said bytes.Buffer
	if code := run(t.Context(), []string{"--version", "1", "--source", t.TempDir(), "--out", t.TempDir(), "--platforms", "linux/amd64"}, io.Discard, &said); code != exitFailure ||
		!strings.Contains(said.String(), "building for linux/amd64") {
		t.Errorf("a folder without source: %d, %q", code, said.String())
	}
}
