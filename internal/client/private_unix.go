//go:build unix

package client

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
)

// private returns why a file is not its reader's alone. One of root's may be for a group to read: so Kubernetes mounts
// a Secret for a Pod with fsGroup, and PostgreSQL's clients take a key
// (https://www.postgresql.org/docs/current/libpq-ssl.html).
func private(about fs.FileInfo, reader int) error {
	others := fs.FileMode(0o077)
	if owner, ok := about.Sys().(*syscall.Stat_t); ok && int(owner.Uid) != reader {
		if owner.Uid != 0 {
			return errors.New("belongs to somebody else, and is not read; remove it, or name another")
		}
		others = 0o037
	}
	if mode := about.Mode().Perm(); mode&others != 0 {
		return fmt.Errorf("may be read by others (mode %04o), and what others may read is no secret; "+
			"replace what is in it, and keep the file to yourself: chmod 600", mode)
	}
	return nil
}
