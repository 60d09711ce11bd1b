package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/config"
	"jitaccess/internal/ledger"
	"jitaccess/internal/ledger/relational"
)

// sweeps counts what is asked of it.
type sweeps struct {
	most []int
	err  error
	left []broker.Swept
	// surveys counts those.
	surveys int
	// steps counts those of the weekly reconciliation.
	steps int
}

func (s *sweeps) ReconcileStep(context.Context, int) (*access.Round, error) {
	s.steps++
	return nil, s.err
}

func (s *sweeps) Sweep(_ context.Context, most int) (broker.Swept, error) {
	s.most = append(s.most, most)
	var done broker.Swept
	if len(s.left) > 0 {
		done, s.left = s.left[0], s.left[1:]
	}
	return done, s.err
}

func (s *sweeps) Survey(context.Context, int) (broker.Surveyed, error) {
	s.surveys++
	if s.surveys < 3 {
		return broker.Surveyed{TakenIn: 1, Left: 1}, s.err
	}
	return broker.Surveyed{}, s.err
}

func newSweeper(s *sweeps, platform config.Platform, now *time.Time) *sweeper {
	return &sweeper{broker: s, ledger: &ledger.Store{}, log: slog.New(slog.DiscardHandler), platform: platform,
		clock: clock{now: func() time.Time { return *now }}, swept: *now}
}

func TestOnlyAppEnginesCronSweeps(t *testing.T) {
	now := time.Now()
	cron := http.Header{"X-Appengine-Cron": {"true"}}
	for what, c := range map[string]struct {
		platform config.Platform
		method   string
		path     string
		header   http.Header
		swept    bool
	}{
		"cron":            {config.AppEngine, "GET", cronPath, cron, true},
		"on Cloud Run":    {config.CloudRun, "GET", cronPath, cron, false},
		"elsewhere":       {config.Host, "GET", cronPath, cron, false},
		"nobody":          {config.AppEngine, "GET", cronPath, nil, false},
		"another value":   {config.AppEngine, "GET", cronPath, http.Header{"X-Appengine-Cron": {"false"}}, false},
		"two values":      {config.AppEngine, "GET", cronPath, http.Header{"X-Appengine-Cron": {"true", "true"}}, false},
		"another method":  {config.AppEngine, "POST", cronPath, cron, false},
		"another address": {config.AppEngine, "GET", "/internal/sweep/", cron, false},
	} {
		var s sweeps
		next := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) })
		r := httptest.NewRequest(c.method, c.path, nil)
		r.Header = c.header
		w := httptest.NewRecorder()
		newSweeper(&s, c.platform, &now).beside(next).ServeHTTP(w, r)
		if (len(s.most) == 1) != c.swept || (w.Code == 200) != c.swept {
			t.Errorf("%s: swept %v, status %d", what, s.most, w.Code)
		}
		s = sweeps{err: errors.New("down")}
		w = httptest.NewRecorder()
		if newSweeper(&s, c.platform, &now).beside(next).ServeHTTP(w, r); c.swept && w.Code != http.StatusServiceUnavailable {
			t.Errorf("%s, and it fails: status %d", what, w.Code)
		}
	}
}

func TestWhatChangesSomethingDoesAStepWhereNobodySweeps(t *testing.T) {
	now := time.Now()
	var s sweeps
	sweeper := newSweeper(&s, config.CloudRun, &now)
	h := sweeper.beside(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if len(s.most) > 1 {
			t.Error("the answer waited for the sweep")
		}
		_, _ = io.WriteString(w, "done")
	}))
	send := func(method string) {
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, httptest.NewRequest(method, "/", nil)); w.Body.String() != "done" {
			t.Errorf("answered %q", w.Body)
		}
	}
	if send("POST"); len(s.most) != 0 {
		t.Errorf("though the process sweeps: %v", s.most)
	}
	now = now.Add(2 * sweepEvery)
	if send("GET"); len(s.most) != 0 {
		t.Errorf("a page that was looked at: %v", s.most)
	}
	send("POST")
	if send("POST"); len(s.most) != 1 || s.most[0] != broker.StepCount {
		t.Errorf("swept %v", s.most)
	}
}

// holding is a sweep that goes on until it is let go.
type holding struct {
	*sweeps
	let chan struct{}
}

func (h holding) Sweep(ctx context.Context, most int) (broker.Swept, error) {
	<-h.let
	return h.sweeps.Sweep(ctx, most)
}

// Over a network the whole answer is there before the step begins, whoever reads it to its end; and so is that of the page to
// which it leads, which a browser would fetch over the same connection.
func TestNobodyWaitsForTheStepAfterTheirChange(t *testing.T) {
	now := time.Now()
	var s sweeps
	sweeper := newSweeper(&s, config.CloudRun, &now)
	h := holding{&s, make(chan struct{})}
	sweeper.broker = h
	now = now.Add(2 * sweepEvery)
	network := httptest.NewServer(sweeper.beside(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			return
		}
		w.Header().Set("Location", "/done")
		w.WriteHeader(http.StatusSeeOther)
		_, _ = io.WriteString(w, "do")
		_, _ = io.WriteString(w, "ne")
	})))
	defer network.Close() // waits for the step
	let := sync.OnceFunc(func() { close(h.let) })
	defer let()
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, Timeout: time.Minute}
	response, err := client.Post(network.URL, "text/plain", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || string(body) != "done" || response.StatusCode != http.StatusSeeOther || response.Header.Get("Location") != "/done" {
		t.Errorf("%d %v %q %v", response.StatusCode, response.Header, body, err)
	}
	led, err := client.Get(network.URL + "/done")
	if err != nil {
		t.Fatal(err)
	}
	led.Body.Close()
	let()
	network.Close()
	if len(s.most) != 1 {
		t.Errorf("swept %v", s.most)
	}
}

// What a handler does to an answer that is kept until it is whole comes to the same as without.
func TestAnAnswerBeforeTheStepIsTheHandlers(t *testing.T) {
	for name, handle := range map[string]http.HandlerFunc{
		"nothing":   func(http.ResponseWriter, *http.Request) {},
		"no body":   func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) },
		"unchanged": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotModified) },
		"a body":    func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<p>done") },
		"a length": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "4")
			_, _ = io.WriteString(w, "done")
		},
		"what informs": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusEarlyHints)
			_, _ = io.WriteString(w, "done")
		},
		"a second status": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusConflict)
			w.WriteHeader(http.StatusOK)
		},
		"a status after the body": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "done")
			w.WriteHeader(http.StatusInternalServerError)
		},
		"flushed between": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "do")
			_ = http.NewResponseController(w).Flush()
			w.WriteHeader(http.StatusInternalServerError)
			_, _ = io.WriteString(w, "ne")
		},
		"a panic": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"a panic in the midst": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "do")
			panic(http.ErrAbortHandler)
		},
	} {
		t.Run(name, func(t *testing.T) {
			answer := func(h http.Handler) string {
				network := httptest.NewUnstartedServer(h)
				network.Config.ErrorLog = log.New(io.Discard, "", 0) // net/http says what handlers should not do
				network.Start()
				defer network.Close()
				response, err := http.Post(network.URL, "text/plain", nil)
				if err != nil {
					return "none"
				}
				defer response.Body.Close()
				body, err := io.ReadAll(response.Body)
				return fmt.Sprintf("%d %s %q %v", response.StatusCode, response.Header.Get("Content-Type"), body, err)
			}
			now := time.Now()
			var s sweeps
			sweeper := newSweeper(&s, config.CloudRun, &now)
			now = now.Add(2 * sweepEvery)
			want := answer(handle)
			if got := answer(sweeper.beside(handle)); got != want {
				t.Errorf("%s, without the step %s", got, want)
			}
			if panics := strings.Contains(name, "panic"); len(s.most) != 1 && !panics {
				t.Errorf("swept %v", s.most)
			}
		})
	}
}

func TestHealthSaysWhatIsOverdue(t *testing.T) {
	path := filepath.Join(t.TempDir(), "jitaccess.db")
	home, err := relational.SQLite(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := home.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	keys, err := ledger.NewKeys(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().UTC().Truncate(time.Second)
	var s sweeps
	sweeper := newSweeper(&s, config.Host, &now)
	sweeper.ledger = ledger.New(ledger.Config{Home: home, Signer: keys, Now: sweeper.clock.now, Random: rand.Reader})
	r := access.Request{ID: "mpa-0000000000000001", Kind: access.Peers, Principal: "ana@example.com", Resource: "projects/shop",
		Entitlements: []access.EntitlementID{{Resource: "projects/shop", Role: "roles/viewer"}}, Justification: "case 1", Duration: time.Hour,
		Reviewers: []access.Principal{"ben@example.com"}, Created: now, Expires: now.Add(time.Hour)}
	if _, err := sweeper.ledger.Commit(t.Context(), access.Event{Action: access.RequestMade, At: now, Request: r,
		Caller: access.Caller{Principal: r.Principal}}, []access.Notice{{ID: "n", Kind: access.NoticeReview, Request: r}}); err != nil {
		t.Fatal(err)
	}
	want := func(what, want string) {
		t.Helper()
		checks := map[string]error{}
		sweeper.check(t.Context(), checks)
		var bad []string
		for _, name := range []string{"LedgerIsCurrent", "LedgerIsReachable", "OutboxIsCurrent", "SweepIsCurrent"} {
			if err, ok := checks[name]; err != nil || !ok {
				bad = append(bad, name)
			}
		}
		if got := strings.Join(bad, " "); got != want {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
	}
	want("at once", "")
	now = now.Add(overdueAfter)
	want("a message lies there", "OutboxIsCurrent")
	now = now.Add(time.Hour)
	want("it has lapsed, and nobody has recorded it", "OutboxIsCurrent SweepIsCurrent")
	if err := sweeper.ledger.Doubt(t.Context(), "a grant is newer"); err != nil {
		t.Fatal(err)
	}
	want("it may be an older copy", "LedgerIsCurrent OutboxIsCurrent SweepIsCurrent")
	now = now.Add(time.Second)
	if err := sweeper.ledger.Doubt(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	want("somebody has looked", "OutboxIsCurrent SweepIsCurrent")
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("UPDATE outbox SET notice = 'spoilt', lease = ''"); err != nil {
		t.Fatal(err)
	}
	for taken, err := range sweeper.ledger.Take(t.Context(), now, time.Minute, 1, false) {
		t.Fatal(taken, err)
	}
	checks := map[string]error{}
	if sweeper.check(t.Context(), checks); checks["OutboxIsCurrent"] == nil ||
		!strings.Contains(checks["OutboxIsCurrent"].Error(), "messages that cannot be read were put aside: run jitaccess ledger outbox") {
		t.Errorf("it is put aside: %v", checks["OutboxIsCurrent"])
	}
	home.Close()
	want("it is out of reach", "LedgerIsCurrent LedgerIsReachable OutboxIsCurrent SweepIsCurrent")
}

func TestTheJobSweepsUntilNothingMoreCanBeDone(t *testing.T) {
	now := time.Now()
	s := sweeps{left: []broker.Swept{{Finished: 20, Left: 1}, {Told: 3, Left: 1}, {Left: 1}}}
	var out bytes.Buffer
	if err := newSweeper(&s, config.Host, &now).all(t.Context(), &out); err != nil || len(s.most) != 3 ||
		out.String() != "finished 20, over 0, told 3; left 1\ngrants that were taken in: 2\n" {
		t.Errorf("%v, %v, %q", err, s.most, out.String())
	}
	s = sweeps{err: errors.New("down")}
	if err := newSweeper(&s, config.Host, &now).all(t.Context(), &out); err == nil {
		t.Error("that it failed is not told")
	}
	var stderr bytes.Buffer
	if code := runSweep(t.Context(), []string{"now"}, func(string) string { return "" }, io.Discard, &stderr); code != exitUsage {
		t.Errorf("an argument: %d", code)
	}
	if code := runSweep(t.Context(), nil, func(string) string { return "" }, io.Discard, &stderr); code != exitUsage {
		t.Errorf("no settings: %d", code)
	}
}

// Wherever what is due is done periodically, so is a step of the weekly reconciliation, unless it is
// turned off; never beside a request, for which there is no time.
func TestWhatSweepsReconcilesToo(t *testing.T) {
	for _, weekly := range []bool{true, false} {
		now := time.Now()
		want := 0
		for what, sweep := range map[string]func(*sweeper){
			"a process that goes on": func(s *sweeper) {
				s.clock.sleep = func(context.Context, time.Duration) error { return context.Canceled }
				s.run(t.Context())
			},
			"a job": func(s *sweeper) { _ = s.all(t.Context(), io.Discard) },
			"cron": func(s *sweeper) {
				r := httptest.NewRequest("GET", cronPath, nil)
				r.Header.Set("X-Appengine-Cron", "true")
				s.beside(http.NotFoundHandler()).ServeHTTP(httptest.NewRecorder(), r)
			},
			"a request": func(s *sweeper) {
				now = now.Add(time.Hour)
				s.beside(http.NotFoundHandler()).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("POST", "/", nil))
			},
		} {
			var s sweeps
			sweeper := newSweeper(&s, config.AppEngine, &now)
			sweeper.weekly = weekly
			if want = 0; weekly && what != "a request" {
				want = 1
			}
			if sweep(sweeper); s.steps != want || len(s.most) == 0 {
				t.Errorf("%s, weekly %t: %d steps, %d sweeps", what, weekly, s.steps, len(s.most))
			}
		}
	}
}

func TestHealthSaysWhenAllWasReconciledLast(t *testing.T) {
	begin := time.Now().UTC().Truncate(time.Second)
	day := func(n int) time.Time { return begin.Add(time.Duration(n) * 24 * time.Hour) }
	ended := func(began int, r access.Round) access.Reconciliation {
		r.Began, r.Ended = day(began), day(began).Add(time.Minute)
		return access.Reconciliation{Round: r, Last: r}
	}
	first := access.Reconciliation{Round: access.Round{Began: begin, Ended: begin}}
	goesOn := ended(7, access.Round{Differences: 2})
	goesOn.Round = access.Round{Began: day(14)}
	for what, c := range map[string]struct {
		kept access.Reconciliation
		day  int
		bad  string
	}{
		"there was none":                          {access.Reconciliation{}, 30, ""},
		"the first is to come":                    {first, 8, ""},
		"the first never came":                    {first, 10, "ReconcileIsCurrent"},
		"all is well":                             {ended(7, access.Round{Looked: 2}), 14, ""},
		"the next never came":                     {ended(7, access.Round{Looked: 2}), 17, "ReconcileIsCurrent"},
		"some differ":                             {ended(7, access.Round{Differences: 2}), 8, "GrantsAreAsRecorded"},
		"some differed, and the next goes on":     {goesOn, 14, "GrantsAreAsRecorded"},
		"it was cut short":                        {ended(7, access.Round{Short: true}), 8, "ReconcileIsCurrent"},
		"some could not be read":                  {ended(7, access.Round{Unread: 1}), 8, "ReconcileIsCurrent"},
		"some could not be read, and some differ": {ended(7, access.Round{Unread: 1, Differences: 1}), 8, "GrantsAreAsRecorded ReconcileIsCurrent"},
	} {
		home, err := relational.SQLite(filepath.Join(t.TempDir(), "jitaccess.db"))
		if err == nil {
			t.Cleanup(func() { home.Close() })
			err = home.Migrate(t.Context())
		}
		keys, failed := ledger.NewKeys(make([]byte, 32))
		if err = errors.Join(err, failed); err != nil {
			t.Fatal(err)
		}
		now := c.kept.Round.Began
		sweeper := newSweeper(&sweeps{}, config.Host, &now)
		sweeper.weekly = true
		sweeper.ledger = ledger.New(ledger.Config{Home: home, Signer: keys, Now: sweeper.clock.now, Random: rand.Reader})
		if c.kept.At = now; !now.IsZero() {
			err = sweeper.ledger.KeepReconciliation(t.Context(), c.kept)
		}
		if err != nil {
			t.Fatal(err)
		}
		now = day(c.day)
		checks := map[string]error{}
		sweeper.check(t.Context(), checks)
		var bad []string
		for _, name := range []string{"GrantsAreAsRecorded", "ReconcileIsCurrent"} {
			if err, ok := checks[name]; err != nil || !ok {
				bad = append(bad, name)
			}
		}
		if got := strings.Join(bad, " "); got != c.bad {
			t.Errorf("%s: %q, want %q: %v", what, got, c.bad, checks)
		}
	}
}

// breaking is a broker that breaks, as by a row that somebody has written by hand.
type breaking struct{ sweeps }

func (b *breaking) Sweep(ctx context.Context, most int) (broker.Swept, error) {
	_, _ = b.sweeps.Sweep(ctx, most)
	panic("negative shift amount")
}

func (b *breaking) Survey(ctx context.Context, most int) (broker.Surveyed, error) {
	_, _ = b.sweeps.Survey(ctx, most)
	panic("index out of range")
}

func TestWhatBreaksASweepEndsNoProcess(t *testing.T) {
	now := time.Now()
	var b breaking
	var log bytes.Buffer
	sweeper := newSweeper(&b.sweeps, config.Host, &now)
	sweeper.weekly = true
	sweeper.broker, sweeper.log = &b, slog.New(slog.NewJSONHandler(&log, nil))
	sweeper.clock.sleep = func(context.Context, time.Duration) error {
		if len(b.most) == 2 {
			return context.Canceled
		}
		return nil
	}
	sweeper.run(t.Context())
	if len(b.most) != 2 || b.surveys != 2 || b.steps != 2 || strings.Count(log.String(), `"level":"ERROR"`) != 4 || !strings.Contains(log.String(), "negative shift amount") {
		t.Errorf("swept %v, surveyed %d times: %s", b.most, b.surveys, &log)
	}
}
