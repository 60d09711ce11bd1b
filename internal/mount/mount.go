// Package mount says whether what is written at a path is gone with the container that writes it, by
// what Linux says of its mounts. Pure.
package mount

import (
	"path"
	"regexp"
	"strconv"
	"strings"

	"jitaccess/internal/lazyregexp"
)

// mount is a line of /proc/PID/mountinfo: root is the folder of its file system that is seen at
// point (https://man7.org/linux/man-pages/man5/proc_pid_mountinfo.5.html).
type mount struct{ root, point, kind string }

// Fleeting says what a path is on, where that ends with the container or the machine; empty where
// it does not, and where nobody can tell. mountinfo is the text of /proc/self/mountinfo, and at an
// absolute path without links.
func Fleeting(mountinfo, at string) string {
	m, found := of(mountinfo, at)
	if !found {
		return ""
	}
	switch m.kind {
	case "tmpfs", "ramfs":
		return "a disk in memory"
	case "overlay", "fuse.fuse-overlayfs", "aufs":
		// At another point it is somebody's own, who knows what is below.
		if m.point == "/" {
			return "the container's own disk"
		}
	}
	for _, f := range fleeting {
		if f.root().MatchString(m.root) {
			return f.is
		}
	}
	return ""
}

// fleeting are folders of the host that are mounted into one container, by how those who make them
// call them.
var fleeting = []struct {
	root func() *regexp.Regexp
	is   string
}{
	// Where nobody mounts anything at a VOLUME of an image, Docker and Podman name what they make by
	// 64 random digits, and the next container gets another
	// (https://docs.docker.com/engine/storage/volumes/#named-and-anonymous-volumes).
	{lazyregexp.New(`/volumes/[0-9a-f]{64}/_data(/|$)`), "a volume without a name, which no other container gets"},
	// containerd makes them for Kubernetes among its own files of the container (getContainerRootDir in
	// https://github.com/containerd/containerd/blob/main/internal/cri/server/helpers.go).
	{lazyregexp.New(`/io\.containerd\.grpc\.v1\.cri/containers/`), "a volume that this container has for itself"},
	// https://kubernetes.io/docs/concepts/storage/volumes/#emptydir
	{lazyregexp.New(`/volumes/kubernetes\.io~empty-dir/`), "an emptyDir, which ends with its pod"},
}

// of is the mount that a path is on: the nearest above it, and of several at one point the last.
func of(mountinfo, at string) (found mount, ok bool) {
	for line := range strings.Lines(mountinfo) {
		m, good := read(line)
		if good && len(m.point) >= len(found.point) && within(at, m.point) {
			found, ok = m, true
		}
	}
	return found, ok
}

func within(at, point string) bool {
	return path.Clean(at) == point || strings.HasPrefix(path.Clean(at), strings.TrimSuffix(point, "/")+"/")
}

// read reads a line: number, parent, device, root, point, options, any number of optional fields, a
// hyphen, and the kind of file system first of three more.
func read(line string) (m mount, ok bool) {
	fields := strings.Fields(line)
	for i := 6; i+1 < len(fields); i++ {
		if fields[i] == "-" {
			return mount{unescaped(fields[3]), unescaped(fields[4]), fields[i+1]}, true
		}
	}
	return mount{}, false
}

var escaped = lazyregexp.New(`\\[0-3][0-7]{2}`)

// unescaped has the blanks, line ends and backslashes back that the kernel writes in octal.
func unescaped(field string) string {
	return escaped().ReplaceAllStringFunc(field, func(octal string) string {
		n, _ := strconv.ParseUint(octal[1:], 8, 8)
		return string([]byte{byte(n)})
	})
}
