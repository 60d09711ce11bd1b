package server_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/broker/brokertest"
	"jitaccess/internal/ledger"
	"jitaccess/internal/policy"
	"jitaccess/internal/server"
)

// The organization of the tests.
const (
	ana  = access.Principal("ana.ito@example.com")
	ben  = access.Principal("ben.okafor@example.com")
	carl = access.Principal("carl.mendes@example.com")
	dora = access.Principal("dora.lind@example.com")

	orders = access.Resource("projects/acme-orders-prod")
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

var (
	admin    = access.EntitlementID{Resource: orders, Role: "roles/compute.instanceAdmin.v1"}
	viewer   = access.EntitlementID{Resource: orders, Role: "roles/storage.objectViewer", Condition: `resource.name.startsWith("projects/_/buckets/acme-orders")`}
	security = access.EntitlementID{Resource: orders, Role: "roles/iam.securityAdmin"}
)

var roleInfos = map[access.Role]access.RoleInfo{
	admin.Role:    {Role: admin.Role, Title: "Compute Instance Admin (v1)", Description: "Full control of Compute Engine instances, instance groups, disks, snapshots and images.", ChangesPermissions: access.No},
	viewer.Role:   {Role: viewer.Role, Title: "Storage Object Viewer", Description: "Read access to objects.", ChangesPermissions: access.No},
	security.Role: {Role: security.Role, Title: "Security Admin", Description: "Can get and set any IAM policy.", ChangesPermissions: access.Yes},
}

// world is the real broker over an organization in memory. Any method can be made to
// fail.
type world struct {
	*broker.Broker
	*brokertest.World
	// fails makes a method fail.
	fails map[string]error
	// machines says that only machines are told.
	machines bool
	// changes counts calls that could change something.
	changes int
	// numbers are the ids of requests, by what was random in their forms, and their kinds.
	numbers map[string]string
	// home is where a world that remembers does so.
	home ledger.Home
}

func newWorld(t testing.TB) *world {
	w := &world{World: brokertest.New(t, noon), fails: map[string]error{}, numbers: map[string]string{}}
	w.Random = &counter{}
	w.Listed = []access.ResourceInfo{{Resource: orders, Title: "Orders, production"}, {Resource: "projects/acme-orders-test", Title: "Orders, test"},
		{Resource: "projects/example.com:legacy-crm"}}
	w.Unknown = func(r access.Resource) bool { return strings.Contains(string(r), "unknown") }
	w.Titles = roleInfos
	for _, p := range []access.Principal{ana, ben, carl} {
		w.Holdings[p] = []access.Entitlement{brokertest.Self(admin), brokertest.Peer(security), brokertest.Self(viewer)}
	}
	w.Admins = []string{"user:" + string(carl), "group:access-admins@example.com"}
	w.GroupsOf = map[access.Principal][]string{dora: {"access-admins@example.com"}}
	w.Settings.JustificationHint, w.Settings.MaxRoles = "Bug or case number", 10
	w.Broker = w.World.Broker()
	return w
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

// ruled makes a policy file hold.
func (w *world) ruled(t testing.TB, text string) {
	t.Helper()
	file, faults := policy.ReadFile([]byte(text))
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	w.Policy = policy.Refine(policy.New(w.Settings), file)
	w.Broker = w.World.Broker()
}

// owner is a role that the start-up of examples/policy refuses to everybody.
var owner = access.EntitlementID{Resource: orders, Role: "roles/owner"}

// counter is a source of request ids that can be told: 1, 1, 1, …, then 2, 2, 2, …
type counter struct{ n byte }

func (c *counter) Read(b []byte) (int, error) {
	c.n++
	return copy(b, bytes.Repeat([]byte{c.n}, len(b))), nil
}

func (w *world) Channels() []access.Channel {
	if w.machines {
		return []access.Channel{{Name: "pubsub"}}
	}
	return w.World.Channels()
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

const bindingText = `role: roles/iam.securityAdmin
members:
  - user:ana.ito@example.com
condition:
  title: JIT access activation
  description: "Approved by ben.okafor@example.com, justification: case 4711 [mpa-AQEBAQEBAQEBAQEB]"
  expression: (request.time >= timestamp("2026-11-22T12:00:00Z") && request.time < timestamp("2026-11-22T13:00:00Z"))`

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

// personHeader stands for the assertion of the proxy.
const personHeader = "X-Test-Person"

func identify(r *http.Request) (access.Caller, error) {
	who := r.Header.Get(personHeader)
	if who == "" {
		return access.Caller{}, &access.Error{Kind: access.Unauthenticated, Code: access.CodeNoIdentity}
	}
	return access.Caller{Principal: access.Principal(who), Subject: "accounts.google.com:" + who, Method: "iap"}, nil
}

// serve makes a server around a broker; change may be nil. What it logs is
// returned too.
func serve(t testing.TB, b server.Broker, change func(*server.Config)) (http.Handler, *logBuffer) {
	t.Helper()
	log := &logBuffer{}
	c := server.Config{Broker: b, Identify: identify, AuthenticateEvent: "iap.authenticate", SwitchAccount: "/?gcp-iap-mode=CLEAR_LOGIN_COOKIE",
		PublicURL: "https://access.example.com", Version: "2.0.0", AdminPage: true, Provider: func(access.Resource) string { return "Google" },
		Log: slog.New(slog.NewJSONHandler(log, nil)), Now: func() time.Time { return noon }, Random: &shared{source: rand.NewChaCha8([32]byte{1})}}
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

// shared is a source of randomness that several requests may read at once.
type shared struct {
	mu     sync.Mutex
	source io.Reader
}

func (s *shared) Read(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.source.Read(b)
}
