package main

import (
	"fmt"
	"os"
	"path/filepath"

	"jitaccess/internal/config"
	"jitaccess/internal/mount"
)

// mountinfo is what Linux says of the mounts that this process sees. Other systems have no such
// file, and nothing is said of a ledger there.
const mountinfo = "/proc/self/mountinfo"

// readSettings reads them where the service runs, and warns of what nobody sees in themselves.
func readSettings(env func(string) string) (*config.Config, error) {
	c, err := config.Read(env)
	if err != nil {
		return nil, err
	}
	c.Warnings = append(c.Warnings, config.Unknown(os.Environ())...)
	c.Warnings = append(c.Warnings, unkept(c.Ledger, mountinfo)...)
	return c, nil
}

// unkept warns of a ledger in a file that is gone with the container; mounts is a file like mountinfo.
func unkept(l config.Ledger, mounts string) []string {
	where, err := config.ParseDatabase(l.Database.Value.Reveal())
	if err != nil || where.SQLite == "" {
		return nil
	}
	text, unreadable := os.ReadFile(mounts)
	file, err := filepath.Abs(where.SQLite)
	if err != nil || unreadable != nil {
		return nil
	}
	file = followed(file)
	on := mount.Fleeting(string(text), file)
	if on == "" {
		return nil
	}
	return []string{fmt.Sprintf("DATABASE_URL: %s is on %s: all that is remembered, and the key beside it, is lost with that; "+
		"mount a volume with a name, a claim or a folder of the host at %s (docs/ledger.md)", file, on, filepath.Dir(file))}
}

// followed is where a file is or would be, without links; what is not there yet is where it is said
// to be.
func followed(file string) string {
	if real, err := filepath.EvalSymlinks(file); err == nil {
		return real
	}
	if folder, err := filepath.EvalSymlinks(filepath.Dir(file)); err == nil {
		return filepath.Join(folder, filepath.Base(file))
	}
	return file
}
