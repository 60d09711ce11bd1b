package config

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/lazyregexp"
)

// Database is where a ledger is: one of its fields is set.
type Database struct {
	// SQLite is the path of a file; PostgreSQL is a URL, which may have a password in it.
	SQLite     string
	PostgreSQL Secret
	Firestore  Firestore
}

// Firestore is a database of it, by its id. Project is empty for that of the service.
type Firestore struct{ Project, Database string }

const (
	// sqliteFile is what "sqlite:" alone means.
	sqliteFile = "jitaccess.db"
	// leastKey is how long a key is at least, in bytes.
	leastKey = 32
)

var errDatabase = errors.New("is none of sqlite:PATH, postgres://USER@HOST/DATABASE and firestore:[PROJECT/]DATABASE")

// inFirestore is what names a database of Firestore: (default), or 4 to 63 signs
// (https://cloud.google.com/firestore/docs/manage-databases), behind the id of a project.
var inFirestore = lazyregexp.New(`^(?:((?:[a-z0-9.-]+:)?[a-z][a-z0-9-]{4,28}[a-z0-9])/)?(\(default\)|[a-z][a-z0-9-]{2,61}[a-z0-9])$`)

// ParseDatabase reads DATABASE_URL, as it is given or kept. The error has nothing of it.
func ParseDatabase(text string) (Database, error) {
	if path, ok := strings.CutPrefix(text, "sqlite:"); ok {
		if path = strings.TrimSpace(path); path == "" {
			path = sqliteFile
		}
		if strings.HasPrefix(path, "//") || strings.Contains(path, "://") || strings.ContainsRune(path, 0) {
			return Database{}, errDatabase
		}
		return Database{SQLite: path}, nil
	}
	if strings.HasPrefix(text, "postgres://") || strings.HasPrefix(text, "postgresql://") {
		return Database{PostgreSQL: NewSecret(text)}, nil
	}
	if name, ok := strings.CutPrefix(text, "firestore:"); ok {
		if parts := inFirestore().FindStringSubmatch(name); parts != nil {
			return Database{Firestore: Firestore{parts[1], parts[2]}}, nil
		}
	}
	return Database{}, errDatabase
}

// ParseKeys reads SIGNING_KEY, SESSION_KEY or SEAL_KEY, the newest first. The error has nothing of it.
func ParseKeys(text string) ([][]byte, error) {
	var keys [][]byte
	for i, each := range parseList(text) {
		key, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(each, "="))
		if err != nil || len(key) < leastKey {
			return nil, fmt.Errorf("number %d is not %d bytes or more in Base64", i+1, leastKey)
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, errors.New("there is none")
	}
	return keys, nil
}

// ByAccount is whether there is no key of one's own, so that the service account signs
// what is remembered. Beside a database in SQLite a key is made.
func (l Ledger) ByAccount() bool {
	d, err := ParseDatabase(l.Database.Value.Reveal())
	return !l.Database.IsZero() && l.SigningKey.IsZero() && (err != nil || d.SQLite == "")
}

// checkLedger checks what is given as it is; what is kept elsewhere is read later.
func (r *reader) checkLedger(c *Config) {
	l := c.Ledger
	if _, err := ParseKeys(l.SigningKey.Value.Reveal()); err != nil {
		r.faultIf(!l.SigningKey.Value.IsZero(), "SIGNING_KEY", err.Error())
	}
	if !l.Database.Value.IsZero() {
		d, err := ParseDatabase(l.Database.Value.Reveal())
		r.faultIf(err != nil, "DATABASE_URL", "")
		r.faultIf(d.SQLite != "" && c.Platform != Host, "DATABASE_URL", "the disk of "+c.Platform.String()+" is memory, and not shared: "+
			"use firestore:DATABASE, or PostgreSQL, such as postgres://USER@/DATABASE?host=/cloudsql/PROJECT:REGION:INSTANCE")
	}
	if _, err := ParseKeys(c.Apps.SealKey.Value.Reveal()); err != nil {
		r.faultIf(!c.Apps.SealKey.Value.IsZero(), "SEAL_KEY", err.Error())
	}
	r.warnIf(!c.Apps.SealKey.IsZero() && l.Database.IsZero(), "SEAL_KEY has no effect without DATABASE_URL")
	r.warnIf(!c.Apps.SealKey.IsZero() && l.ByAccount(), "SEAL_KEY has no effect without SIGNING_KEY: no application can ask, "+
		"and there is no /v1, until SIGNING_KEY is set (docs/applications.md)")
	if l.ByAccount() && c.Requests.Timeout > access.LinkLife {
		r.warn("ACTIVATION_REQUEST_TIMEOUT is %d minutes and counts as %d, because without SIGNING_KEY a signature can be verified for %d hours",
			c.Requests.Timeout/time.Minute, access.LinkLife/time.Minute, access.LinkLife/time.Hour)
		c.Requests.Timeout = access.LinkLife
	}
	r.warnIf(!l.Database.IsZero() && l.Retention == 0, "LEDGER_RETENTION is not set: nothing is ever erased from the database")
	r.warnIf(l.Database.IsZero() && l.Retention != 0, "LEDGER_RETENTION has no effect without DATABASE_URL")
}
