package server_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"io"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"testing"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/ledger"
	"jitaccess/internal/server"
	"jitaccess/internal/server/storybook"
)

// The organization of the tests is that of the storybook.
const (
	ana  = storybook.Ana
	ben  = storybook.Ben
	carl = storybook.Carl
	dora = storybook.Dora
	eve  = storybook.Eve

	orders = storybook.Orders
)

var (
	noon      = storybook.Noon
	admin     = storybook.Admin
	viewer    = storybook.Viewer
	security  = storybook.Security
	roleInfos = storybook.RoleInfos
)

// world is the real broker over an organization in memory. Any method can be made to
// fail.
type world struct {
	*storybook.World
	// fails makes a method fail.
	fails map[string]error
	// changes counts calls that could change something.
	changes int
	// numbers are the ids of requests, by what was random in their forms, and their kinds.
	numbers map[string]string
	// home is where a world that remembers does so.
	home ledger.Home
}

func newWorld(t testing.TB) *world {
	return &world{World: storybook.NewWorld(t), fails: map[string]error{}, numbers: map[string]string{}}
}

// examplePolicy is the text of a policy of examples/policy.
func examplePolicy(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile("../../examples/policy/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func (w *world) Resources(ctx context.Context, c access.Caller) ([]access.ResourceInfo, []*access.Error, error) {
	if err := w.fails["Resources"]; err != nil {
		return nil, nil, err
	}
	return w.Broker.Resources(ctx, c)
}

func (w *world) Offer(ctx context.Context, c access.Caller, on access.Resource) (broker.Offer, error) {
	if err := w.fails["Offer"]; err != nil {
		return broker.Offer{}, err
	}
	return w.Broker.Offer(ctx, c, on)
}

func (w *world) Choose(ctx context.Context, c access.Caller, on access.Resource, ids ...access.EntitlementID) (broker.Choice, error) {
	if err := cmp.Or(w.fails["Offer"], w.fails["Reviewers"]); err != nil {
		return broker.Choice{}, err
	}
	return w.Broker.Choose(ctx, c, on, ids...)
}

func (w *world) Reviewers(ctx context.Context, c access.Caller, ids ...access.EntitlementID) (broker.Reviewers, error) {
	if err := w.fails["Reviewers"]; err != nil {
		return broker.Reviewers{}, err
	}
	return w.Broker.Reviewers(ctx, c, ids...)
}

func (w *world) Ask(ctx context.Context, c access.Caller, a broker.Ask) (broker.Asked, error) {
	w.changes++
	if err := w.fails["Ask"]; err != nil {
		return broker.Asked{}, err
	}
	asked, err := w.Broker.Ask(ctx, c, a)
	if b, decoded := base64.RawURLEncoding.DecodeString(a.Form[min(4, len(a.Form)):]); decoded == nil && len(b) == 12 {
		w.numbers[string(b[4:8])+"/"+string(access.KindOfID(a.Form))] = asked.Request.ID
	}
	return asked, err
}

func (w *world) Show(ctx context.Context, c access.Caller, ref, origin string) (broker.View, error) {
	if err := w.fails["Show"]; err != nil {
		return broker.View{}, err
	}
	return w.Broker.Show(ctx, c, ref, origin)
}

func (w *world) MoreReviewers(ctx context.Context, c access.Caller, ref string) (broker.MoreReviewers, error) {
	if err := w.fails["MoreReviewers"]; err != nil {
		return broker.MoreReviewers{}, err
	}
	return w.Broker.MoreReviewers(ctx, c, ref)
}

func (w *world) AddReviewers(ctx context.Context, c access.Caller, a broker.AddReviewers) (broker.Asked, error) {
	w.changes++
	if err := w.fails["AddReviewers"]; err != nil {
		return broker.Asked{}, err
	}
	return w.Broker.AddReviewers(ctx, c, a)
}

func (w *world) Decide(ctx context.Context, c access.Caller, d broker.Decide) (broker.Decided, error) {
	w.changes++
	if err := w.fails["Decide"]; err != nil {
		return broker.Decided{}, err
	}
	return w.Broker.Decide(ctx, c, d)
}

func (w *world) End(ctx context.Context, c access.Caller, on access.Resource, id string, of access.Principal) (broker.Ended, error) {
	w.changes++
	if err := w.fails["End"]; err != nil {
		return broker.Ended{}, err
	}
	return w.Broker.End(ctx, c, on, id, of)
}

func (w *world) Admin(ctx context.Context, c access.Caller) error {
	if err := w.fails["Admin"]; err != nil {
		return err
	}
	return w.Broker.Admin(ctx, c)
}

const personHeader = storybook.PersonHeader

// serve makes a server around a broker; change may be nil. What it logs is
// returned too.
func serve(t testing.TB, b server.Broker, change func(*server.Config)) (http.Handler, *logBuffer) {
	t.Helper()
	log := &logBuffer{}
	c := storybook.Config(b)
	c.Log = slog.New(slog.NewJSONHandler(log, nil))
	if change != nil {
		change(&c)
	}
	h, err := server.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return h, log
}

// logBuffer is a log that several goroutines may write.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

var _ io.Writer = (*logBuffer)(nil)
