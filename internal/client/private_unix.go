//go:build unix

package client

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// private returns why a file is not its reader's alone.
func private(about fs.FileInfo) error {
	if owner, ok := about.Sys().(*syscall.Stat_t); ok && int(owner.Uid) != os.Getuid() {
		return errors.New("belongs to somebody else, and is not read; remove it, or name another")
	}
	if mode := about.Mode().Perm(); mode&0o077 != 0 {
		return fmt.Errorf("may be read by others (mode %04o), and what others may read is no secret; "+
			"replace what is in it, and keep the file to yourself: chmod 600", mode)
	}
	return nil
}
