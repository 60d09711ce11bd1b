package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"net/url"
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
	"jitaccess/internal/ledger/ledgertest"
	"jitaccess/internal/ledger/relational"
	"jitaccess/internal/porttest"
)

var writeReliability = flag.Bool("write-reliability", false, "write the tables of docs/reliability.md")

// durable are the methods of the ports that do something which lasts; the others only
// read, or say no more than that a sweep has run. A new method of a port must be put into one of the two.
var durable = map[reflect.Type]struct{ lasts, reads []string }{
	reflect.TypeFor[ledger.Home](): {[]string{"Delay", "Drop", "EndSession", "Erase", "Hold", "Keep", "Lease", "Put", "Release"},
		[]string{"Aside", "Close", "Count", "Due", "LastSweep", "List", "Load", "Notes", "SessionEnded", "Swept", "Waiting", "Walk"}},
	reflect.TypeFor[broker.Provider](): {[]string{"End", "Grant"}, []string{"Canonical", "Preview", "Resources", "Role", "Standing"}},
	reflect.TypeFor[broker.Journal]():  {[]string{"Record"}, nil},
	reflect.TypeFor[broker.Notifier](): {[]string{"Notify"}, []string{"Channels"}},
}

func TestMain(m *testing.M) { ledgertest.Main(m) }

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
	home                           *relational.Database
	store                          *ledger.Store
	running                        *exec.Cmd
	log                            *lockedBuffer
	// sent counts the errands, so that what is told of them can be told apart.
	sent int
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

func (c *crashes) open(address string, home *relational.Database, err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
	c.database, c.home = address, home
	c.t.Cleanup(func() { home.Close() })
	secret, _ := base64.StdEncoding.DecodeString(crashKey)
	keys, err := ledger.NewKeys(secret)
	if err == nil {
		err = home.Migrate(context.Background())
	}
	if err != nil {
		c.t.Fatal(err)
	}
	c.store = ledger.New(ledger.Config{Home: home, Signer: keys, Now: time.Now, Random: rand.Reader})
}

// start starts the process, which ends before a step if that is given, and otherwise
// sweeps at once and goes by the clock's file.
func (c *crashes) start(at string) {
	c.t.Helper()
	port := porttest.Free(c.t)
	c.url = "http://127.0.0.1:" + port
	c.log = &lockedBuffer{}
	c.running = exec.Command(c.binary)
	c.running.Stdout, c.running.Stderr = c.log, c.log
	c.running.Env = []string{"PORT=" + port, "PATH=" + os.Getenv("PATH"), "FAILPOINT=" + at}
	if at == "" {
		c.running.Env = append(c.running.Env, "FAILPOINT_CLOCK="+c.clock)
	} else {
		c.running.Env = append(c.running.Env, "FAILPOINT_TRACE="+c.trace)
	}
	environment := onDisk(c.world, "")
	environment["DATABASE_URL"], environment["SIGNING_KEY"] = c.database, crashKey
	environment["PUBLIC_URL"] = strings.Replace(c.url, "127.0.0.1", "localhost", 1)
	environment["SMTP_SENDER_ADDRESS"], environment["NOTIFICATION_TOPIC"] = "", topicName
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
	c.eventually("the service is ready", func() bool { return c.page("", "/health/ready").status == 200 })
}

// eventually waits until something is so.
func (c *crashes) eventually(what string, is func() bool) {
	c.t.Helper()
	for range 5000 {
		if is() {
			return
		}
		time.Sleep(2 * time.Millisecond)
	}
	c.t.Fatalf("not: %s\n%s", what, c.log)
}

func (c *crashes) kill() {
	_ = c.running.Process.Kill()
	_ = c.running.Wait()
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

// errands are what people do, one after the other; each may be done again.
type errands struct {
	self, peers     url.Values
	selfID, id, why string
}

func (c *crashes) errands() errands {
	c.sent++
	s := errands{why: fmt.Sprintf("case %d.", c.sent), self: activateForm(c.formID(access.Self)), peers: url.Values{"id": {c.formID(access.Peers)},
		"entitlement": {peerID}, "minutes": {"30"}, "reviewer": {bob}}}
	s.self.Set("justification", s.why)
	s.peers.Set("justification", s.why)
	s.selfID, s.id = number(c.t, s.self), number(c.t, s.peers)
	return s
}

// deeds are the names of what is done in them.
var deeds = []string{"activate", "ask", "approve", "end"}

func (c *crashes) do(s errands, deed string) answer {
	switch deed {
	case "activate":
		return c.form(alice, "/access/projects/"+project, s.self)
	case "ask":
		return c.form(alice, "/access/projects/"+project, s.peers)
	case "approve":
		return c.form(bob, reviewPath(s.id), url.Values{"verdict": {"approve"}})
	default:
		return c.form(alice, "/requests/"+s.id+"/end", url.Values{"resource": {"projects/" + project}})
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

// told is how often what is told of errands was published.
func (c *crashes) told(s errands, kind string) (n int) {
	for _, m := range c.cloud.Published("projects/" + c.cloud.ProjectID() + "/topics/" + topicName) {
		if bytes.Contains(m.Data, []byte(s.why)) && bytes.Contains(m.Data, []byte(`"`+kind+`"`)) {
			n++
		}
	}
	return n
}

// quiet is whether nothing is left to be finished or told.
func (c *crashes) quiet() bool {
	rows, err := c.home.List(context.Background(), ledger.Query{States: []access.State{access.Approved, access.Scheduled}, Max: 1})
	waiting, failed := c.home.Waiting(context.Background(), time.Now().Add(1000*time.Hour), 1)
	active, unread := c.store.List(context.Background(), access.Listing{States: []access.State{access.Active}})
	if err = errors.Join(err, failed, unread); err != nil {
		c.t.Fatal(err)
	}
	ending := slices.ContainsFunc(active.Requests, func(r access.Request) bool { return !r.Ending.IsZero() })
	return len(rows)+len(waiting) == 0 && !ending
}

// crash ends the process before a step of a story, starts it again, and holds what
// then is against what was acknowledged. It returns during what it ended, and how the
// two requests stand before anybody does anything again.
func (c *crashes) crash(at string) (during string, self, peers access.State) {
	c.t.Helper()
	c.cloud.Faults().Reset()
	c.tidy(project)
	c.ahead.Store(0)
	c.pass(0)
	s := c.errands()
	c.start(at)
	acknowledged := map[string]bool{}
	for _, deed := range deeds {
		if a := c.do(s, deed); a.status == 0 {
			during = deed
			break
		} else if a.status >= 400 {
			c.t.Errorf("%s: %d %.300s", deed, a.status, a.body)
		}
		acknowledged[deed] = true
	}
	if during == "" {
		c.t.Fatalf("%s: the process did not end\n%s", at, c.log)
	}
	if err := c.running.Wait(); !strings.Contains(err.Error(), "killed") {
		c.t.Fatalf("%v\n%s", err, c.log)
	}
	c.start("")
	defer c.kill()
	// What the ended process held is taken by who has seen it for five minutes.
	c.eventually("what was approved is finished", func() bool {
		rows, err := c.home.List(context.Background(), ledger.Query{States: []access.State{access.Approved}, Max: 1})
		return err == nil && len(rows) == 0
	})
	for tries := 0; !c.quiet(); tries++ {
		c.pass(time.Minute)
		time.Sleep(60 * time.Millisecond)
		if tries > 60 {
			c.t.Fatalf("something is left\n%s", c.log)
		}
	}
	self, peers = c.state(s.selfID), c.state(s.id)
	known := map[access.State]bool{access.Unmade: true, access.Pending: true, access.Active: true, access.Ended: true}
	wrong := ""
	switch {
	case !known[self] || self == access.Pending || !known[peers]:
		wrong = "it is neither granted nor failed, or failed without a reason"
	case acknowledged["activate"] && self != access.Active,
		acknowledged["ask"] && peers == access.Unmade,
		acknowledged["approve"] && peers != access.Active && peers != access.Ended,
		acknowledged["end"] && peers != access.Ended:
		wrong = "what was acknowledged is lost"
	case c.granted(s.selfID) > 1 || c.granted(s.id) > 1:
		wrong = "it was granted twice"
	case (self == access.Active) != (c.live(s.selfID) == 1) || peers == access.Active && c.live(s.id) != 1 && during != "end":
		wrong = "what is recorded is not what stands"
	case self == access.Active && c.told(s, "ActivationSelfApproved") == 0,
		peers != access.Unmade && c.told(s, "RequestActivation") == 0,
		peers == access.Active && c.told(s, "ActivationApproved") == 0:
		wrong = "somebody was not told"
	}
	if wrong != "" {
		c.t.Errorf("%s, during %s: %s: self %q, peers %q; granted %d and %d; told %d, %d and %d\n%s", at, during, wrong, self, peers,
			c.granted(s.selfID), c.granted(s.id), c.told(s, "ActivationSelfApproved"), c.told(s, "RequestActivation"), c.told(s, "ActivationApproved"), c.log)
	}
	// People press again.
	for _, deed := range deeds[slices.Index(deeds, during):] {
		if a := c.do(s, deed); a.status >= 400 && !(deed == "end" && a.status == 404) || a.status == 0 {
			c.t.Errorf("%s: %s again: %d %.300s", at, deed, a.status, a.body)
		}
	}
	if c.live(s.selfID) != 1 || c.granted(s.id) != 1 || c.live(s.id) != 0 || c.state(s.selfID) != access.Active || c.state(s.id) != access.Ended {
		c.t.Errorf("%s: and again: self %q, live %d; peers %q, granted %d, live %d", at, c.state(s.selfID), c.live(s.selfID), c.state(s.id), c.granted(s.id), c.live(s.id))
	}
	return during, self, peers
}

// TestTheProcessMayEndAtAnyTime is the crash matrix: in each home the process is ended by
// SIGKILL before every durable step of a story and started again. The steps are those
// that were taken when nothing went wrong.
func TestTheProcessMayEndAtAnyTime(t *testing.T) {
	binary := failpoints(t)
	var table strings.Builder
	table.WriteString("| ended before | during | self-activation then | request then |\n|---|---|---|---|\n")
	cluster := ledgertest.PostgreSQL(t)
	var rows [2]string
	for i, name := range []string{"SQLite", "PostgreSQL"} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			c := &crashes{world: newWorld(t, surroundings{}), binary: binary, trace: filepath.Join(dir, "trace"), clock: filepath.Join(dir, "clock")}
			if name == "SQLite" {
				path := filepath.Join(dir, "jitaccess.db")
				home, err := relational.SQLite(path)
				c.open("sqlite:"+path, home, err)
			} else {
				address := cluster.URL(ledgertest.Superuser, cluster.Database(t, ""))
				home, err := relational.PostgreSQL(address, nil)
				c.open(address, home, err)
			}
			c.tidy(project)
			c.start("none")
			for s, i := c.errands(), 0; i < len(deeds); i++ {
				if a := c.do(s, deeds[i]); a.status >= 400 || a.status == 0 {
					t.Fatalf("%s: %d %s", deeds[i], a.status, a.body)
				}
			}
			c.kill()
			text, err := os.ReadFile(c.trace)
			if err != nil {
				t.Fatal(err)
			}
			for step := range strings.Lines(string(text)) {
				step = strings.TrimSpace(step)
				during, self, peers := c.crash(step)
				rows[i] += fmt.Sprintf("| %s | %s | %s | %s |\n", step, during, stateOf(self), stateOf(peers))
			}
			secret, _ := base64.StdEncoding.DecodeString(crashKey)
			keys, _ := ledger.NewKeys(secret)
			if report, err := ledger.Verify(context.Background(), c.home, keys); err != nil || len(report.Findings) > 0 {
				t.Errorf("%+v, %v", report, err)
			}
		})
	}
	if rows[0] != rows[1] {
		t.Errorf("the homes differ:\n%s\n%s", rows[0], rows[1])
	}
	documented(t, "crash matrix", table.String()+rows[0])
}

func stateOf(s access.State) string {
	if s == access.Unmade {
		return "–"
	}
	return string(s)
}

// documented holds a table against the one in docs/reliability.md, or writes it there.
func documented(t *testing.T, name, table string) {
	t.Helper()
	const path = "../../docs/reliability.md"
	document, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	begins, ends := "<!-- The "+name+" begins. -->\n", "<!-- The "+name+" ends. -->\n"
	before, rest, begun := strings.Cut(string(document), begins)
	old, after, ended := strings.Cut(rest, ends)
	switch {
	case !begun || !ended:
		t.Errorf("docs/reliability.md has no place for the %s", name)
	case *writeReliability:
		if err := os.WriteFile(path, []byte(before+begins+table+ends+after), 0o644); err != nil {
			t.Fatal(err)
		}
	case old != table:
		t.Errorf("the %s of docs/reliability.md is another (-write-reliability):\n%s", name, table)
	}
}
