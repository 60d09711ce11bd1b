package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/config"
	"jitaccess/internal/events"
	"jitaccess/internal/ledger"
)

// sweepEvery is how often an instance sweeps; overdueAfter is how long something may have
// been due before it is a sign that nobody does.
const (
	sweepEvery   = time.Minute
	overdueAfter = 15 * time.Minute
)

// stepTime bounds the step of a sweep for which somebody waits.
const stepTime = 5 * time.Second

// sweeper has done what is due in the ledger: every minute in a process that may run
// between requests, and otherwise when App Engine's cron or a request comes.
type sweeper struct {
	broker interface {
		Sweep(ctx context.Context, most int) (broker.Swept, error)
		Survey(ctx context.Context, most int) (broker.Surveyed, error)
		ReconcileStep(ctx context.Context, most int) (*access.Round, error)
	}
	// weekly is whether all is reconciled once a week.
	weekly bool
	ledger *ledger.Store // nil where nothing is remembered
	// mailbox is nil where nothing that comes back is read.
	mailbox interface {
		Look(context.Context) error
		Listen(context.Context) error
	}
	log      *slog.Logger
	clock    clock
	platform config.Platform
	// observing may be nil.
	observing *observing

	// skew is how far the clock is ahead of Google's, and whether that is too far; nil is
	// not looked at.
	skew func() (time.Duration, bool)

	mu    sync.Mutex
	swept time.Time // when this instance last began to

	skewed bool // that it was said; of the ticker alone
}

// run sweeps until ctx ends.
func (s *sweeper) run(ctx context.Context) {
	if s.ledger != nil {
		every(ctx, s.clock, sweepEvery, func() {
			s.surviving(func() { _, _ = s.sweep(ctx, broker.SweepCount) })
			s.surviving(func() { _, _ = s.survey(ctx) })
			s.surviving(func() { s.reconcile(ctx) })
			s.watchClock()
		})
	}
}

// surviving does something of which nobody waits for the end. What breaks it, such as a row
// that somebody has written by hand, must not end the process: people need it for what
// works without the ledger.
func (s *sweeper) surviving(do func()) {
	defer func() {
		if cause := recover(); cause != nil {
			s.log.Error("what is done every minute broke off", "event", events.Ledger, "error", fmt.Sprint(cause), "stack", string(debug.Stack()))
		}
	}()
	do()
}

// sweep sweeps once, and says in the log what could not be done.
func (s *sweeper) sweep(ctx context.Context, most int) (broker.Swept, error) {
	s.mu.Lock()
	s.swept = s.clock.now()
	s.mu.Unlock()
	done, err := s.broker.Sweep(ctx, most)
	if err != nil && ctx.Err() == nil {
		s.log.Error("the sweep could not look at the ledger", "event", events.Ledger, "error", err)
	} else if done.Left > 0 {
		s.log.Warn("the sweep left something for later", "event", events.Ledger, "left", done.Left)
	}
	return done, err
}

// watchClock says once when the clock begins to differ from Google's.
func (s *sweeper) watchClock() {
	if s.skew == nil {
		return
	}
	ahead, skewed := s.skew()
	if skewed && !s.skewed {
		s.log.Warn("the clock here differs from Google's: set it by NTP", "event", events.Ledger, "ahead", ahead.String())
	}
	s.skewed = skewed
}

// survey looks at some of the grants that stand, and says in the log what is wrong with
// the ledger as a whole.
func (s *sweeper) survey(ctx context.Context) (broker.Surveyed, error) {
	done, err := s.broker.Survey(ctx, broker.SurveyCount)
	if err != nil && ctx.Err() == nil {
		s.log.Error("the grants that stand could not be held against the ledger", "event", events.Ledger, "error", err)
	}
	if done.Unread > 0 {
		s.log.Warn("the grants on some resources could not be held against the ledger", "event", events.Ledger, "resources", done.Unread,
			"error", done.Cause)
	}
	for _, why := range done.Doubts {
		s.log.Error("the ledger may be an older copy: run jitaccess reconcile", "event", events.Ledger, "error", why)
	}
	return done, err
}

// reconcile does a step of the weekly reconciliation, if one is due.
func (s *sweeper) reconcile(ctx context.Context) {
	if !s.weekly {
		return
	}
	if _, err := s.broker.ReconcileStep(ctx, broker.ReconcileCount); err != nil && ctx.Err() == nil {
		s.log.Warn("the weekly reconciliation could not go on", "event", events.Ledger, "error", err)
	}
}

// cronPath is where App Engine's cron asks for a sweep.
const cronPath = "/internal/sweep"

// beside answers App Engine's cron, and does a step of the sweep after what changes
// something, where this instance has not swept for a minute: on Cloud Run and App Engine
// a process may stand still between requests. A page that is only looked at changes
// nothing.
func (s *sweeper) beside(next http.Handler) http.Handler {
	if s.ledger == nil && s.mailbox == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == cronPath && s.isCron(r) {
			ctx, cancel := context.WithTimeout(r.Context(), sweepEvery)
			defer cancel()
			defer s.looking(ctx)()
			if s.ledger == nil {
				return
			}
			if _, err := s.sweep(ctx, broker.SweepCount); err != nil {
				w.WriteHeader(http.StatusServiceUnavailable) // cron shows it, and tries again
			}
			_, _ = s.survey(ctx)
			s.reconcile(ctx)
			s.observing.flush(ctx) // it may stand still from now on
			return
		}
		if r.Method != http.MethodPost || !s.stands() {
			next.ServeHTTP(w, r)
			return
		}
		whole := &wholeAnswer{ResponseWriter: w}
		next.ServeHTTP(whole, r)
		if r.ProtoMajor == 1 { // what they ask next, such as the page to which it leads, comes on another connection
			w.Header().Set("Connection", "close")
		}
		whole.send() // it does not wait for what follows
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), stepTime)
		defer cancel()
		defer s.looking(ctx)()
		if s.ledger != nil {
			_, _ = s.sweep(ctx, broker.StepCount)
		}
	})
}

// wholeAnswer is an answer that leaves when it is whole, with its length: whoever reads it to its
// end does not wait for what its handler does afterwards.
type wholeAnswer struct {
	http.ResponseWriter
	status int
	body   []byte
}

// WriteHeader keeps the first status, as net/http does; what informs goes before.
func (a *wholeAnswer) WriteHeader(status int) {
	switch {
	case status < http.StatusOK:
		a.ResponseWriter.WriteHeader(status)
	case a.status == 0:
		a.status = status
	}
}

func (a *wholeAnswer) Write(b []byte) (int, error) {
	a.status = cmp.Or(a.status, http.StatusOK)
	a.body = append(a.body, b...)
	return len(b), nil
}

// FlushError sends nothing: half an answer has no length.
func (a *wholeAnswer) FlushError() error { a.status = cmp.Or(a.status, http.StatusOK); return nil }

func (a *wholeAnswer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

func (a *wholeAnswer) send() {
	a.status = cmp.Or(a.status, http.StatusOK)
	if a.status != http.StatusNoContent && a.status != http.StatusNotModified {
		a.Header().Set("Content-Length", strconv.Itoa(len(a.body)))
	}
	a.ResponseWriter.WriteHeader(a.status)
	_, _ = a.ResponseWriter.Write(a.body) // who has gone away is not told
	_ = http.NewResponseController(a.ResponseWriter).Flush()
}

// isCron is whether App Engine's cron asks. App Engine takes the header from requests of
// everybody else (https://cloud.google.com/appengine/docs/standard/scheduling-jobs-with-cron-yaml);
// no other platform does.
func (s *sweeper) isCron(r *http.Request) bool {
	header := r.Header.Values("X-Appengine-Cron")
	return s.platform == config.AppEngine && r.Method == http.MethodGet && len(header) == 1 && header[0] == "true"
}

// stands is whether nothing has swept here for twice as long as it should; if so it is the
// caller's to do.
func (s *sweeper) stands() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock.now()
	if now.Sub(s.swept) < 2*sweepEvery {
		return false
	}
	s.swept = now
	return true
}

// check adds what the ledger says of itself to the details of health: whether it can be
// reached, and whether anybody sweeps it, which shows by what is overdue.
func (s *sweeper) check(ctx context.Context, checks map[string]error) {
	requests, messages, aside, err := s.ledger.Overdue(ctx, s.clock.now().Add(-overdueAfter))
	checks[ledgerIsReachable], checks["SweepIsCurrent"], checks["OutboxIsCurrent"] = err, err, err
	doubt, err := s.ledger.Doubted(ctx)
	if checks["LedgerIsCurrent"] = err; doubt != "" {
		checks["LedgerIsCurrent"] = fmt.Errorf("it may be an older copy (%s): run jitaccess reconcile", doubt)
	}
	if s.weekly {
		checks["ReconcileIsCurrent"], checks["GrantsAreAsRecorded"] = s.reconciled(ctx)
	}
	if requests {
		checks["SweepIsCurrent"] = fmt.Errorf("a request has been due for more than %v", overdueAfter)
	}
	switch {
	case messages:
		checks["OutboxIsCurrent"] = fmt.Errorf("a message has been due for more than %v", overdueAfter)
	case aside:
		checks["OutboxIsCurrent"] = errors.New("messages that cannot be read were put aside: run jitaccess ledger outbox")
	}
}

// reconcileOverdue is after what time a round should have ended since the one before began.
const reconcileOverdue = 9 * 24 * time.Hour

// reconciled is whether the last weekly reconciliation was lately, and of all; and whether it found
// what stands as it is remembered. Before the first nothing is wrong.
func (s *sweeper) reconciled(ctx context.Context) (current, asRecorded error) {
	r, err := s.ledger.Reconciliation(ctx)
	last := r.Last
	what := "the reconciliation of " + last.Ended.UTC().Format(time.RFC3339) + " has "
	switch {
	case err != nil:
		return err, err
	case !r.Round.Began.IsZero() && s.clock.now().Sub(r.Round.Began) > reconcileOverdue:
		current = fmt.Errorf("what stands was not held against what is remembered since %s", r.Round.Began.UTC().Format(time.RFC3339))
	case !last.Began.IsZero() && !last.Whole():
		current = errors.New(what + "not looked at everything: run jitaccess reconcile")
	}
	if last.Differences > 0 {
		asRecorded = fmt.Errorf("%sfound %s: run jitaccess reconcile", what, access.Counted(last.Differences, "difference", "differences"))
	}
	return current, asRecorded
}

// runSweep does what is due, once: a job for where no process runs all the time.
func runSweep(ctx context.Context, args []string, env func(string) string, stdout, stderr io.Writer) int {
	flags := newFlags("sweep", stderr)
	name := serviceFlag(flags)
	if code, ok := parsed(flags, args, stdout, stderr); !ok {
		return code
	}
	c, err := config.Read(asService(env, *name))
	if err == nil && c.Ledger.Database.IsZero() {
		err = errors.New("DATABASE_URL is not set: nothing is remembered that could be due")
	}
	if err != nil {
		return failed(stderr, exitUsage, fmt.Errorf("the configuration is wrong\n%w", err))
	}
	ctx, end := context.WithCancel(ctx)
	defer end()
	s, err := assemble(ctx, c, stdout)
	if err == nil {
		wait := s.sweeper.looking(ctx)
		err = s.sweeper.all(ctx, stdout)
		wait()
		end()
		s.observing.end(context.WithoutCancel(ctx))
	}
	if err != nil {
		return failed(stderr, exitFailure, err)
	}
	return exitOK
}

// all sweeps until nothing more can be done now.
func (s *sweeper) all(ctx context.Context, out io.Writer) error {
	var sum broker.Swept
	for {
		done, err := s.sweep(ctx, broker.SweepCount)
		if err != nil {
			return err
		}
		sum.Finished, sum.Over, sum.Told, sum.Left = sum.Finished+done.Finished, sum.Over+done.Over, sum.Told+done.Told, done.Left
		s.observing.flush(ctx)
		if done.Finished+done.Over+done.Told == 0 && !done.More {
			break
		}
	}
	fmt.Fprintf(out, "finished %d, over %d, told %d; left %d\n", sum.Finished, sum.Over, sum.Told, sum.Left)
	for taken := 0; ; {
		done, err := s.survey(ctx)
		taken += done.TakenIn
		if err != nil || done.Left == 0 || ctx.Err() != nil {
			fmt.Fprintf(out, "grants that were taken in: %d\n", taken)
			s.reconcile(ctx)
			return err
		}
	}
}
