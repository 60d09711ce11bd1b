// Package ledgertest has what tests of the ledger need: a real PostgreSQL.
package ledgertest

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Cluster is a PostgreSQL of its own, listening on a socket in a temporary folder and
// nowhere else. All tests of a process share one, unless they Start their own.
type Cluster struct {
	dir        string
	process    *os.Process
	ended      chan struct{}
	programs   string
	attributes *syscall.SysProcAttr
	database   atomic.Int64
}

// Superuser may do everything in a Cluster.
const Superuser = "jitaccess"

var (
	start  sync.Once
	shared *Cluster
	failed error
)

// Main runs the tests of a package, as *testing.M does, and ends the Cluster after them.
func Main(m interface{ Run() int }) {
	code := m.Run()
	if shared != nil {
		shared.stop()
	}
	os.Exit(code)
}

// PostgreSQL is the Cluster, started when it is first asked for. Without Debian's
// package postgresql the test fails. The package's tests must be run by Main.
func PostgreSQL(t testing.TB) *Cluster {
	t.Helper()
	start.Do(func() { shared, failed = begin() })
	if failed != nil {
		t.Fatalf("no PostgreSQL (Debian package postgresql): %v", failed)
	}
	return shared
}

func begin(settings ...string) (*Cluster, error) {
	c, err := folder()
	if err != nil {
		return nil, err
	}
	out, err := c.command("initdb", "-D", c.data(), "-A", "trust", "-U", Superuser, "--no-sync", "-E", "UTF8").CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("initdb: %w\n%s", err, out)
	}
	return c, c.serve(append([]string{"fsync=off"}, settings...)...)
}

// folder is where there is nothing yet.
func folder() (*Cluster, error) {
	programs, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if len(programs) == 0 {
		return nil, fmt.Errorf("no /usr/lib/postgresql/*/bin/postgres")
	}
	dir, err := os.MkdirTemp("", "jitaccess-postgres-")
	if err != nil {
		return nil, err
	}
	c := &Cluster{dir: dir, programs: filepath.Dir(programs[len(programs)-1]), ended: make(chan struct{})}
	// It refuses to run as root; the package has made a user.
	c.attributes = &syscall.SysProcAttr{Pdeathsig: syscall.SIGQUIT}
	if os.Getuid() == 0 {
		who, err := user.Lookup("postgres")
		if err != nil {
			return nil, err
		}
		uid, _ := strconv.Atoi(who.Uid)
		gid, _ := strconv.Atoi(who.Gid)
		if err := os.Chown(dir, uid, gid); err != nil {
			return nil, err
		}
		c.attributes.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	return c, nil
}

func (c *Cluster) data() string { return filepath.Join(c.dir, "data") }

func (c *Cluster) command(program string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(c.programs, program), args...)
	cmd.Dir, cmd.SysProcAttr, cmd.Env = c.dir, c.attributes, append(os.Environ(), "LC_ALL=C.UTF-8")
	return cmd
}

// serve starts the server, and returns when it answers.
func (c *Cluster) serve(settings ...string) error {
	args := []string{"-D", c.data(), "-k", c.dir}
	for _, s := range append([]string{"listen_addresses=", "max_connections=200"}, settings...) {
		args = append(args, "-c", s)
	}
	server := c.command("postgres", args...)
	log, err := os.Create(filepath.Join(c.dir, "log"))
	if err != nil {
		return err
	}
	server.Stdout, server.Stderr = log, log
	// Pdeathsig is about the thread that starts it: it is kept.
	begun := make(chan error)
	go func() {
		runtime.LockOSThread()
		begun <- server.Start()
		_ = server.Wait()
		close(c.ended)
	}()
	if err := <-begun; err != nil {
		return err
	}
	c.process = server.Process
	for range 600 {
		var conn *pgx.Conn
		if conn, err = pgx.Connect(context.Background(), c.URL(Superuser, "postgres")); err == nil {
			return conn.Close(context.Background())
		}
		select {
		case <-c.ended:
			return fmt.Errorf("PostgreSQL has ended; see %s", log.Name())
		case <-time.After(100 * time.Millisecond):
		}
	}
	return err
}

func (c *Cluster) stop() {
	_ = c.process.Signal(syscall.SIGQUIT)
	select {
	case <-c.ended:
	case <-time.After(2 * time.Second):
	}
	_ = os.RemoveAll(c.dir)
}

// Folder is where its socket is.
func (c *Cluster) Folder() string { return c.dir }

// URL is that of a database, for somebody.
func (c *Cluster) URL(who, database string) string {
	return (&url.URL{Scheme: "postgres", User: url.User(who), Path: "/" + database, RawQuery: "host=" + url.QueryEscape(c.dir)}).String()
}

// Database makes one, a copy of template if that is given, and returns its name.
func (c *Cluster) Database(t testing.TB, template string) string {
	t.Helper()
	name := fmt.Sprintf("test%d", c.database.Add(1))
	// Nobody is ever connected to template0, not even to vacuum it, for which a copy would wait.
	c.Exec(t, "postgres", "CREATE DATABASE "+name+" TEMPLATE "+cmp.Or(template, "template0"))
	return name
}

// Exec runs statements in a database, as its superuser.
func (c *Cluster) Exec(t testing.TB, database, statements string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), c.URL(Superuser, database))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.PgConn().Exec(t.Context(), statements).ReadAll(); err != nil {
		t.Fatalf("%s: %v", statements, err)
	}
}
