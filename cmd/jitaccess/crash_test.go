package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/ledger"
	"jitaccess/internal/ledger/firestoretest"
	"jitaccess/internal/ledger/ledgertest"
	"jitaccess/internal/porttest"
)

var writeReliability = flag.Bool("write-reliability", false, "write the tables of docs/reliability.md")

// durable are the methods of the ports that do something which lasts; the others only
// read, or say no more than that a sweep has run. A new method of a port must be put into one of the two.
var durable = map[reflect.Type]struct{ lasts, reads []string }{
	reflect.TypeFor[ledger.Home](): {[]string{"Delay", "Drop", "EndSession", "Erase", "Hold", "Keep", "Lease", "Put", "Release"},
		[]string{"Aside", "Close", "Count", "Due", "LastSweep", "List", "Load", "LoadAll", "Notes", "NotesUnder", "Outbox", "SessionEnded", "Swept", "Versions", "Waiting", "Walk"}},
	reflect.TypeFor[broker.Provider](): {[]string{"End", "Grant"}, []string{"Canonical", "Preview", "Resources", "Role", "Standing"}},
	reflect.TypeFor[broker.Journal]():  {[]string{"Record"}, nil},
	reflect.TypeFor[broker.Notifier](): {[]string{"Notify"}, []string{"Channels"}},
}

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	ledgertest.Main(servers{m})
}

// servers ends what else tests have started.
type servers struct{ *testing.M }

func (s servers) Run() int {
	defer firestoretest.Stop()
	return s.M.Run()
}

func TestEveryMethodOfAPortLastsOrReads(t *testing.T) {
	source, err := os.ReadFile("durable_failpoints.go")
	if err != nil {
		t.Fatal(err)
	}
	for port, of := range durable {
		var all []string
		for i := range port.NumMethod() {
			all = append(all, port.Method(i).Name)
		}
		known := slices.Sorted(slices.Values(slices.Concat(of.lasts, of.reads)))
		if !slices.Equal(all, known) {
			t.Errorf("%v has %v, and known are %v", port, all, known)
		}
		for _, name := range of.lasts {
			if !strings.Contains(string(source), ") "+name+"(") {
				t.Errorf("the process cannot be ended before %v.%s", port, name)
			}
		}
	}
}

// crashes is a service as a process of its own that can be ended before every durable
// step, its ledger, and what people do.
type crashes struct {
	*world
	binary, database, trace, clock string
	rules                          string
	home                           ledger.Home
	store                          *ledger.Store
	running                        *exec.Cmd
	// ended is closed when the process has ended, as ending says.
	ended  chan struct{}
	ending error
	log    *lockedBuffer
	// sent counts the errands, so that what is told of them can be told apart.
	sent int
	// at is the step before which the process is to end.
	at string
	// weekly: the sweep's weekly reconciliation is on. It comes when it comes, between the steps that
	// are counted of other stories.
	weekly bool
}

const crashKey = "d2l0aCBhIGtleSBvZiB0aGlydHktdHdvIGJ5dGVzISE="

// failpoints builds the service so that it can be ended.
func failpoints(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "jitaccess")
	if out, err := exec.Command("go", "build", "-tags", "failpoints", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return binary
}

func (c *crashes) open(address string, home ledger.Home, migrate func(context.Context) error) {
	c.t.Helper()
	c.database, c.home = address, home
	c.t.Cleanup(func() { home.Close() })
	secret, _ := base64.StdEncoding.DecodeString(crashKey)
	keys, err := ledger.NewKeys(secret)
	if err == nil {
		err = migrate(context.Background())
	}
	if err != nil {
		c.t.Fatal(err)
	}
	c.store = ledger.New(ledger.Config{Home: home, Signer: keys, Now: time.Now, Random: rand.Reader})
}

// start starts the process, which sweeps at once. It ends before a step if that is given, and
// otherwise what it waits for comes soon.
func (c *crashes) start(at string) {
	c.t.Helper()
	port := porttest.Free(c.t)
	c.url = "http://127.0.0.1:" + port
	c.log, c.at = &lockedBuffer{}, at
	c.running = exec.Command(c.binary)
	c.running.Stdout, c.running.Stderr = c.log, c.log
	c.running.Env = []string{"PORT=" + port, "PATH=" + os.Getenv("PATH"), "FAILPOINT=" + at, "FAILPOINT_CLOCK=" + c.clock}
	if at != "" || c.weekly {
		c.running.Env = append(c.running.Env, "FAILPOINT_TRACE="+c.trace)
	}
	environment := onDisk(c.world, "")
	environment["DATABASE_URL"], environment["SIGNING_KEY"] = c.database, crashKey
	environment["WEEKLY_RECONCILE"] = strconv.FormatBool(c.weekly)
	environment["PUBLIC_URL"] = strings.Replace(c.url, "127.0.0.1", "localhost", 1)
	environment["SMTP_SENDER_ADDRESS"], environment["NOTIFICATION_TOPIC"] = "", topicName
	environment["POLICY"], environment["ADMINS"] = c.rules, "user:"+erin
	c.public = environment["PUBLIC_URL"]
	for name := range c.Environment {
		if value := c.Env(environment)(name); value != "" {
			c.running.Env = append(c.running.Env, name+"="+value)
		}
	}
	for name, value := range environment {
		if _, there := c.Environment[name]; !there {
			c.running.Env = append(c.running.Env, name+"="+value)
		}
	}
	if err := c.running.Start(); err != nil {
		c.t.Fatal(err)
	}
	running, ended := c.running, make(chan struct{})
	c.ended = ended
	go func() {
		c.ending = running.Wait()
		close(ended)
	}()
	c.eventually("the service is ready", func() bool { return c.died() || c.page("", "/health/ready").status == 200 })
}

func (c *crashes) died() bool {
	select {
	case <-c.ended:
		return true
	default:
		return false
	}
}

// eventually waits until something is so, a minute at least.
func (c *crashes) eventually(what string, is func() bool) {
	c.t.Helper()
	for begun := time.Now(); time.Since(begun) < time.Minute; time.Sleep(2 * time.Millisecond) {
		if is() {
			return
		}
	}
	c.t.Fatalf("not: %s\n%s", what, c.log)
}

func (c *crashes) kill() {
	_ = c.running.Process.Kill()
	<-c.ended
}

func (c *crashes) pass(d time.Duration) {
	c.world.pass(d)
	seconds := strconv.Itoa(int(time.Duration(c.ahead.Load()) / time.Second))
	next := c.clock + ".next"
	if err := os.WriteFile(next, []byte(seconds), 0o600); err != nil {
		c.t.Fatal(err)
	}
	if err := os.Rename(next, c.clock); err != nil {
		c.t.Fatal(err)
	}
}

func (c *crashes) state(id string) access.State {
	c.t.Helper()
	r, err := c.store.Open(context.Background(), id)
	if err != nil && access.AsError(err).Code != access.CodeBadLink {
		c.t.Errorf("%s: %v", id, err)
	}
	return r.State
}

// told is how often what is told of one of the errands was published.
func (c *crashes) told(s errands, of, kind string) (n int) {
	for _, m := range c.cloud.Published("projects/" + c.cloud.ProjectID() + "/topics/" + topicName) {
		if bytes.Contains(m.Data, []byte(s.why(of))) && bytes.Contains(m.Data, []byte(`"`+kind+`"`)) {
			n++
		}
	}
	return n
}

// quiet is whether nothing is left to be finished or told now.
func (c *crashes) quiet() bool {
	rows, err := c.home.List(context.Background(), ledger.Query{States: []access.State{access.Approved}, Max: 1})
	due, undone := c.store.Due(context.Background(), c.now(), access.Due{}, 1)
	waiting, failed := c.home.Waiting(context.Background(), time.Now().Add(1000*time.Hour), 1, false)
	calls, uncalled := c.home.Waiting(context.Background(), time.Now().Add(1000*time.Hour), 1, true)
	given, unread := c.store.List(context.Background(), access.Listing{States: []access.State{access.Active, access.Scheduled}})
	if err = errors.Join(err, undone, failed, uncalled, unread); err != nil {
		c.t.Fatal(err)
	}
	ending := slices.ContainsFunc(given.Requests, func(r access.Request) bool { return !r.Ending.IsZero() })
	return len(rows)+len(due)+len(waiting)+len(calls) == 0 && !ending
}

// settle lets time pass until nothing is left. More passes only when a sweep has begun at the new
// time and could not finish: a machine that is slow does not make what is for later begin.
func (c *crashes) settle() {
	c.t.Helper()
	for passed := 0; !c.soon(c.quiet); passed++ {
		if passed > 30 {
			c.t.Fatalf("something is left\n%s", c.log)
		}
		c.pass(2 * time.Minute)
		at := c.now()
		c.eventually("a sweep", func() bool {
			last, err := c.store.LastSweep(context.Background())
			return err == nil && !last.Before(at.Add(-time.Second))
		})
	}
}

// soon is whether something is so in a moment.
func (c *crashes) soon(is func() bool) bool {
	for range 30 {
		if is() {
			return true
		}
		time.Sleep(2 * time.Millisecond)
	}
	return false
}

// documented holds a table against the one in docs/reliability.md, or writes it there.
func documented(t *testing.T, name, table string) {
	t.Helper()
	tabulated(t, "docs/reliability.md", name, table, *writeReliability)
}

// tabulated holds a table against the one in a document, or writes it there.
func tabulated(t *testing.T, file, name, table string, write bool) {
	t.Helper()
	path := "../../" + file
	document, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	begins, ends := "<!-- The "+name+" begins. -->\n", "<!-- The "+name+" ends. -->\n"
	before, rest, begun := strings.Cut(string(document), begins)
	old, after, ended := strings.Cut(rest, ends)
	switch {
	case !begun || !ended:
		t.Errorf("%s has no place for the %s:\n%s", file, name, table)
	case write:
		if err := os.WriteFile(path, []byte(before+begins+table+ends+after), 0o644); err != nil {
			t.Fatal(err)
		}
	case old != table:
		t.Errorf("the %s of %s is another (-write-%s):\n%s", name, file, strings.TrimSuffix(path[len("../../docs/"):], ".md"), table)
	}
}
