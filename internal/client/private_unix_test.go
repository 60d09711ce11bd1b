//go:build unix

package client

import (
	"io/fs"
	"strings"
	"syscall"
	"testing"
	"time"
)

// aboutFile is a file of somebody's.
type aboutFile struct {
	owner uint32
	mode  fs.FileMode
}

func (a aboutFile) Name() string       { return "file" }
func (a aboutFile) Size() int64        { return 1 }
func (a aboutFile) Mode() fs.FileMode  { return a.mode }
func (a aboutFile) ModTime() time.Time { return time.Time{} }
func (a aboutFile) IsDir() bool        { return false }
func (a aboutFile) Sys() any           { return &syscall.Stat_t{Uid: a.owner} }

// A secret is in a file of one's own that nobody else may read, or in one of root's, which a group may.
func TestAPrivateFileOfWhom(t *testing.T) {
	const root, me, other = 0, 65532, 1000
	for name, c := range map[string]struct {
		owner  uint32
		mode   fs.FileMode
		reader int
		why    string
	}{
		"one's own":                         {me, 0o600, me, ""},
		"one's own, for the group":          {me, 0o640, me, "may be read by others"},
		"a Secret in a Pod with fsGroup":    {root, 0o440, me, ""},
		"root's, as /etc/shadow":            {root, 0o640, me, ""},
		"root's, which the group may write": {root, 0o460, me, "may be read by others"},
		"root's, for everybody":             {root, 0o444, me, "may be read by others"},
		"a Secret, read by root":            {root, 0o400, root, ""},
		"root's own, for the group":         {root, 0o440, root, "may be read by others"},
		"somebody else's":                   {other, 0o600, me, "belongs to somebody else"},
		"somebody else's, for the group":    {other, 0o440, me, "belongs to somebody else"},
		"somebody else's, read by root":     {other, 0o600, root, "belongs to somebody else"},
	} {
		if err := private(aboutFile{c.owner, c.mode}, c.reader); c.why == "" && err != nil || c.why != "" && (err == nil || !strings.Contains(err.Error(), c.why)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
