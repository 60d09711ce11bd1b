//go:build failpoints

package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/gcp/provider"
	"jitaccess/internal/ledger"
)

// The tests' side of this is crash_test.go. In the environment:
//
//	FAILPOINT_TRACE  a file to which each durable step is written before it is done
//	FAILPOINT        the step before which the process ends, as it stands there
//	FAILPOINT_CLOCK  a file with the number of seconds that the clock is ahead; where the
//	                 process does not end, what is waited for comes much sooner
//
// A lease, which is by the clock of the database, ends sooner too: who has ended holds it no longer
// than tests wait.
const sooner = 1200

var (
	steps sync.Mutex
	times = map[string]int{}
)

// step is called before each durable step. Those of one name are numbered.
func step(name string) {
	steps.Lock()
	defer steps.Unlock()
	times[name]++
	if times[name] > 1 {
		name += " #" + strconv.Itoa(times[name])
	}
	if path := os.Getenv("FAILPOINT_TRACE"); path != "" {
		file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err == nil {
			_, err = fmt.Fprintln(file, name)
			err = file.Close()
		}
		if err != nil {
			panic(err)
		}
	}
	if name == os.Getenv("FAILPOINT") {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}

func init() {
	path := os.Getenv("FAILPOINT_CLOCK")
	if path == "" {
		return
	}
	wallClock = clock{
		now: func() time.Time {
			text, _ := os.ReadFile(path)
			ahead, _ := strconv.Atoi(strings.TrimSpace(string(text)))
			return time.Now().Add(time.Duration(ahead) * time.Second)
		},
		sleep: sleep,
	}
	if os.Getenv("FAILPOINT") == "" {
		wallClock.sleep = func(ctx context.Context, d time.Duration) error { return sleep(ctx, d/sooner) }
	}
}

type steppingHome struct{ ledger.Home }

var durableHome = func(home ledger.Home) ledger.Home { return steppingHome{home} }

func (h steppingHome) Put(ctx context.Context, w ledger.Write) error {
	step(fmt.Sprintf("ledger: %s, version %d", w.Row.State, w.Row.Version))
	return h.Home.Put(ctx, w)
}

func (h steppingHome) Lease(ctx context.Context, was ledger.Kept, to string) (bool, error) {
	step("outbox: lease")
	return h.Home.Lease(ctx, was, to)
}

func (h steppingHome) Drop(ctx context.Context, id, lease string) error {
	step("outbox: drop")
	return h.Home.Drop(ctx, id, lease)
}

func (h steppingHome) Delay(ctx context.Context, k ledger.Kept, due time.Time) error {
	step("outbox: delay")
	return h.Home.Delay(ctx, k, due)
}

func (h steppingHome) EndSession(ctx context.Context, id string, until, now time.Time) (bool, error) {
	step("session: end")
	return h.Home.EndSession(ctx, id, until, now)
}

func (h steppingHome) Hold(ctx context.Context, name, holder string, life time.Duration) (bool, error) {
	step("lease: hold")
	return h.Home.Hold(context.WithoutCancel(ctx), name, holder, life/sooner)
}

func (h steppingHome) Release(ctx context.Context, name, holder string) error {
	step("lease: release")
	return h.Home.Release(ctx, name, holder)
}

func (h steppingHome) Keep(ctx context.Context, n ledger.Note, kept ...ledger.Kept) error {
	step("ledger: note")
	return h.Home.Keep(ctx, n, kept...)
}

func (h steppingHome) Erase(ctx context.Context, person access.Principal, row ledger.Row) error {
	step("ledger: erase")
	return h.Home.Erase(ctx, person, row)
}

func durablePorts(c broker.Config) broker.Config {
	for i := range c.Providers {
		if google, ok := c.Providers[i].Provider.(*provider.Google); ok { // applications are given nothing that lasts
			c.Providers[i].Provider = steppingGoogle{google}
		}
	}
	c.Journal, c.Notifier = steppingJournal{c.Journal}, steppingNotifier{c.Notifier}
	return c
}

type steppingGoogle struct{ *provider.Google }

func (g steppingGoogle) Grant(ctx context.Context, grant access.Grant, q access.StandingQuery, check func(access.Standing) error) (
	[]access.Outcome, error) {
	step("provider: grant")
	return g.Google.Grant(ctx, grant, q, check)
}

func (g steppingGoogle) End(ctx context.Context, e access.Ending) ([]access.Outcome, error) {
	step("provider: end")
	return g.Google.End(ctx, e)
}

type steppingJournal struct{ broker.Journal }

func (j steppingJournal) Record(ctx context.Context, e access.Event) error {
	step("journal: " + string(e.Action))
	return j.Journal.Record(ctx, e)
}

type steppingNotifier struct{ broker.Notifier }

func (n steppingNotifier) Notify(ctx context.Context, notice access.Notice) access.Receipts {
	step("notify: " + string(notice.Kind))
	return n.Notifier.Notify(ctx, notice)
}
