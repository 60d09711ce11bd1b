package main

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// maxImage is how large the layers of an image may be together, compressed, in bytes.
const maxImage = 30_000_000

// user is as whom the program runs, and whose folder the database is in.
const user = 65532

// entry is a file or, where it ends with a slash, a folder of an archive.
type entry struct {
	name    string
	mode    int64
	owner   int
	content []byte
}

// tarOf returns an archive that depends on what it is given alone.
func tarOf(at time.Time, entries ...entry) ([]byte, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, e := range entries {
		header := &tar.Header{Typeflag: tar.TypeReg, Name: e.name, Mode: e.mode, Uid: e.owner, Gid: e.owner,
			Size: int64(len(e.content)), ModTime: at, Format: tar.FormatUSTAR}
		if e.name[len(e.name)-1] == '/' {
			header.Typeflag = tar.TypeDir
		}
		if err := w.WriteHeader(header); err != nil {
			return nil, err
		}
		if _, err := w.Write(e.content); err != nil {
			return nil, err
		}
	}
	err := w.Close()
	return out.Bytes(), err
}

// packed compresses an archive. The header of gzip has no name and no time.
func packed(archive []byte, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	_, err = w.Write(archive)
	err = errors.Join(err, w.Close())
	return out.Bytes(), err
}

// authorities are the certificates of those who are trusted, as a file of PEM: Mozilla's, in the
// version that go.mod names, so that they are the same wherever the image is made. A root that
// Mozilla trusts under a condition is left out: such a file cannot say the condition.
func authorities() []byte {
	var out bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint == nil {
			pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate})
		}
	}
	return out.Bytes()
}

// Media types of https://github.com/opencontainers/image-spec.
const (
	typeIndex    = "application/vnd.oci.image.index.v1+json"
	typeManifest = "application/vnd.oci.image.manifest.v1+json"
	typeConfig   = "application/vnd.oci.image.config.v1+json"
	typeLayer    = "application/vnd.oci.image.layer.v1.tar+gzip"
)

type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int               `json:"size"`
	Platform    *ociPlatform      `json:"platform,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

type ociPlatform struct {
	Architecture string `json:"architecture"`
	OS           string `json:"os"`
}

type index struct {
	SchemaVersion int               `json:"schemaVersion"`
	MediaType     string            `json:"mediaType"`
	Manifests     []descriptor      `json:"manifests"`
	Annotations   map[string]string `json:"annotations,omitempty"`
}

type manifest struct {
	SchemaVersion int               `json:"schemaVersion"`
	MediaType     string            `json:"mediaType"`
	Config        descriptor        `json:"config"`
	Layers        []descriptor      `json:"layers"`
	Annotations   map[string]string `json:"annotations,omitempty"`
}

type imageConfig struct {
	Created      time.Time `json:"created"`
	Architecture string    `json:"architecture"`
	OS           string    `json:"os"`
	Config       runConfig `json:"config"`
	RootFS       rootFS    `json:"rootfs"`
}

// runConfig is what the Dockerfile says below FROM scratch.
type runConfig struct {
	User         string
	ExposedPorts map[string]struct{}
	Env          []string
	Entrypoint   []string
	Volumes      map[string]struct{}
	WorkingDir   string
	Labels       map[string]string
}

type rootFS struct {
	Type    string   `json:"type"`
	DiffIDs []string `json:"diff_ids"`
}

// image is one program for several platforms.
type image struct {
	edition
	programs map[platform][]byte
	// blobs are what the image consists of, by digest; layout fills them, and sizes.
	blobs map[string][]byte
	sizes map[platform]int
}

func digestOf(content []byte) string {
	sum := sha256.Sum256(content)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func (i *image) put(mediaType string, content []byte) descriptor {
	d := descriptor{MediaType: mediaType, Digest: digestOf(content), Size: len(content)}
	i.blobs[d.Digest] = content
	return d
}

func (i *image) putJSON(mediaType string, v any) (descriptor, error) {
	text, err := json.Marshal(v)
	return i.put(mediaType, text), err
}

// putLayer returns also the digest of the layer before it was compressed.
func (i *image) putLayer(entries ...entry) (descriptor, string, error) {
	archive, err := tarOf(epoch, entries...)
	if err != nil {
		return descriptor{}, "", err
	}
	compressed, err := packed(archive, nil)
	return i.put(typeLayer, compressed), digestOf(archive), err
}

func (i *image) labels() map[string]string {
	labels := map[string]string{
		"org.opencontainers.image.title":       "jitaccess",
		"org.opencontainers.image.description": "Gives people access for as long as they need it, and no longer",
		"org.opencontainers.image.version":     i.version,
		"org.opencontainers.image.created":     i.at.Format(time.RFC3339),
	}
	if i.revision != "" {
		labels["org.opencontainers.image.revision"] = i.revision
	}
	return labels
}

// file is the archive of docker save, by which docker load knows a layout that it takes for one.
type file struct {
	Config   string
	RepoTags []string
	Layers   []string
}

func blobPath(d descriptor) string { return "blobs/sha256/" + d.Digest[len("sha256:"):] }

// layout returns the image as an archive of the image layout of OCI, and the digest by which a
// registry knows it.
func (i *image) layout() ([]byte, string, error) {
	i.blobs, i.sizes = map[string][]byte{}, map[platform]int{}
	base, baseID, err := i.putLayer(
		entry{name: "data/", mode: 0o755, owner: user},
		entry{name: "etc/", mode: 0o755}, entry{name: "etc/ssl/", mode: 0o755}, entry{name: "etc/ssl/certs/", mode: 0o755},
		entry{name: "etc/ssl/certs/ca-certificates.crt", mode: 0o644, content: authorities()})
	if err != nil {
		return nil, "", err
	}
	all := index{SchemaVersion: 2, MediaType: typeIndex, Annotations: i.labels()}
	var loadable []file
	for _, p := range slices.SortedFunc(maps.Keys(i.programs), func(a, b platform) int { return cmp.Compare(a.String(), b.String()) }) {
		layer, layerID, err := i.putLayer(entry{name: "jitaccess", mode: 0o755, content: i.programs[p]})
		if err != nil {
			return nil, "", err
		}
		if i.sizes[p] = base.Size + layer.Size; i.sizes[p] > maxImage {
			return nil, "", fmt.Errorf("the image for %s has %d bytes, more than %d: see what the program has grown by (go version -m)",
				p, i.sizes[p], maxImage)
		}
		config, err := i.putJSON(typeConfig, imageConfig{Created: i.at, Architecture: p.architecture, OS: p.system, Config: i.config(),
			RootFS: rootFS{Type: "layers", DiffIDs: []string{baseID, layerID}}})
		if err != nil {
			return nil, "", err
		}
		one, err := i.putJSON(typeManifest, manifest{SchemaVersion: 2, MediaType: typeManifest, Config: config,
			Layers: []descriptor{base, layer}, Annotations: i.labels()})
		if err != nil {
			return nil, "", err
		}
		one.Platform = &ociPlatform{Architecture: p.architecture, OS: p.system}
		all.Manifests = append(all.Manifests, one)
		loadable = append(loadable, file{Config: blobPath(config), RepoTags: []string{"jitaccess:" + i.version + "-" + p.architecture},
			Layers: []string{blobPath(base), blobPath(layer)}})
	}
	whole, err := i.putJSON(typeIndex, all)
	if err != nil {
		return nil, "", err
	}
	whole.Annotations = map[string]string{"org.opencontainers.image.ref.name": i.version,
		"io.containerd.image.name": "docker.io/library/jitaccess:" + i.version}
	archive, err := i.archive(index{SchemaVersion: 2, MediaType: typeIndex, Manifests: []descriptor{whole}}, loadable)
	return archive, whole.Digest, err
}

func (i *image) config() runConfig {
	nothing := struct{}{}
	return runConfig{
		User:         fmt.Sprintf("%d:%d", user, user),
		ExposedPorts: map[string]struct{}{"8080/tcp": nothing, "8000/tcp": nothing},
		Env:          []string{"GOMEMLIMIT=200MiB"},
		Entrypoint:   []string{"/jitaccess"},
		Volumes:      map[string]struct{}{"/data": nothing},
		WorkingDir:   "/data",
		Labels:       i.labels(),
	}
}

func (i *image) archive(top index, loadable []file) ([]byte, error) {
	topText, err := json.Marshal(top)
	if err != nil {
		return nil, err
	}
	loadableText, err := json.Marshal(loadable)
	if err != nil {
		return nil, err
	}
	entries := []entry{{name: "oci-layout", content: []byte(`{"imageLayoutVersion":"1.0.0"}`)}, {name: "index.json", content: topText},
		{name: "manifest.json", content: loadableText}, {name: "blobs/", mode: 0o755}, {name: "blobs/sha256/", mode: 0o755}}
	for _, digest := range slices.Sorted(maps.Keys(i.blobs)) {
		entries = append(entries, entry{name: blobPath(descriptor{Digest: digest}), content: i.blobs[digest]})
	}
	for n := range entries {
		entries[n].mode = cmp.Or(entries[n].mode, 0o644)
	}
	return tarOf(epoch, entries...)
}
