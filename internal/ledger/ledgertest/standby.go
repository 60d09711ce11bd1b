package ledgertest

import (
	"bytes"
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Start is a Cluster of the test's own, which ends with it, with settings as in
// postgresql.conf ("name=value").
func Start(t testing.TB, settings ...string) *Cluster {
	t.Helper()
	c, err := begin(settings...)
	if err != nil {
		t.Fatalf("no PostgreSQL (Debian package postgresql): %v", err)
	}
	t.Cleanup(c.stop)
	return c
}

// Standby is another Cluster that has everything that this one has, and follows it. Where
// synchronous is set, nothing is committed from now on before the standby has it on its disk
// (https://www.postgresql.org/docs/current/warm-standby.html#SYNCHRONOUS-REPLICATION).
func (c *Cluster) Standby(t testing.TB, synchronous bool) *Cluster {
	t.Helper()
	s, err := folder()
	if err != nil {
		t.Fatal(err)
	}
	copied, err := s.command("pg_basebackup", "-D", s.data(), "-R", "-X", "stream", "-c", "fast", "--no-sync",
		"-d", "host="+c.dir+" user="+Superuser).CombinedOutput()
	if err != nil {
		t.Fatalf("pg_basebackup: %v\n%s", err, copied)
	}
	if err := s.serve("fsync=off"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.stop)
	c.Await(t, "SELECT COUNT(*) = 1 FROM pg_stat_replication WHERE state = 'streaming'")
	if synchronous {
		c.set(t, "synchronous_standby_names = '*'")
		c.Await(t, "SELECT COUNT(*) = 1 FROM pg_stat_replication WHERE sync_state = 'sync'")
	}
	return s
}

// Cut has a standby follow nobody any more, as one that cannot reach the other.
func (c *Cluster) Cut(t testing.TB) {
	t.Helper()
	c.set(t, "primary_conninfo = ''")
	c.Await(t, "SELECT COUNT(*) = 0 FROM pg_stat_wal_receiver")
}

func (c *Cluster) set(t testing.TB, setting string) {
	t.Helper()
	c.Exec(t, "postgres", "ALTER SYSTEM SET "+setting)
	c.Exec(t, "postgres", "SELECT pg_reload_conf()")
}

// Kill ends the server at once (SIGKILL), and returns when it has ended.
func (c *Cluster) Kill() {
	_ = c.process.Kill()
	<-c.ended
}

// Promote makes a standby the one that is written to, and returns when it is.
func (c *Cluster) Promote(t testing.TB) {
	t.Helper()
	c.Exec(t, "postgres", "SELECT pg_promote()")
}

// CPU is how much time of processors the server's processes that there are now have used.
func (c *Cluster) CPU(t testing.TB) time.Duration {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	var ticks int64
	for _, file := range all {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		// Behind the name in parentheses; see proc(5).
		fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
		if len(fields) > 12 && (fields[1] == strconv.Itoa(c.process.Pid) || filepath.Dir(file) == fmt.Sprint("/proc/", c.process.Pid)) {
			for _, f := range fields[11:13] {
				n, _ := strconv.ParseInt(f, 10, 64)
				ticks += n
			}
		}
	}
	return time.Duration(ticks) * time.Second / 100
}

// Await waits until a query says true.
func (c *Cluster) Await(t testing.TB, query string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), c.URL(Superuser, "postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	for range 1000 {
		var is bool
		if err := conn.QueryRow(t.Context(), query).Scan(&is); err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		if is {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("not: %s", query)
}

// URLOf is that of a database in whichever of some clusters can be written to.
func URLOf(who, database string, clusters ...*Cluster) string {
	var hosts []string
	for _, c := range clusters {
		hosts = append(hosts, c.dir)
	}
	return (&url.URL{Scheme: "postgres", User: url.User(who), Path: "/" + database,
		RawQuery: fmt.Sprintf("host=%s&target_session_attrs=read-write", url.QueryEscape(strings.Join(hosts, ",")))}).String()
}
