// Package load_test proves what holds under load: several instances of the service, each
// with a pool of connections of its own, over one database; see docs/reliability.md.
package load_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/gcp/resourcename"
	"jitaccess/internal/ledger"
	"jitaccess/internal/ledger/ledgertest"
	"jitaccess/internal/ledger/relational"
	"jitaccess/internal/policy"
)

// Ana asks, and the others may approve.
var (
	ana, ben, cho, dan = access.Principal("ana@example.com"), access.Principal("ben@example.com"),
		access.Principal("cho@example.com"), access.Principal("dan@example.com")
	approvers = []access.Principal{ben, cho, dan}
)

// A request for the one role takes one approval, for the other two.
const (
	ofOne access.Role = "roles/one.approval"
	ofTwo access.Role = "roles/two.approvals"
)

func caller(p access.Principal) access.Caller {
	return access.Caller{Principal: p, Subject: "s-" + string(p), Method: "iap"}
}

// platform is where the grants are written. It counts what was written of each request,
// and writes whatever it is told to, also twice: that is to be prevented before it. With
// once it is as the port's contract says, and writes nothing that stands. at is where it
// answers where it is in another process.
type platform struct {
	at     string
	once   bool
	mu     sync.Mutex
	stands map[access.Resource][]access.Activation
	writes map[string]int
}

func newPlatform() *platform {
	return &platform{stands: map[access.Resource][]access.Activation{}, writes: map[string]int{}}
}

// written is how often the grant of a request was.
func (p *platform) written(id string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.writes[id]
}

// Resources implements broker.Catalog.
func (p *platform) Resources(context.Context, access.Principal) (all []access.ResourceInfo, _ []*access.Error, _ error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for on := range p.stands {
		all = append(all, access.ResourceInfo{Resource: on})
	}
	return all, nil, nil
}

// Canonical implements broker.Catalog.
func (p *platform) Canonical(id access.EntitlementID) (access.EntitlementID, error) { return id, nil }

// Role implements broker.Catalog.
func (p *platform) Role(_ context.Context, _ access.Resource, role access.Role) access.RoleInfo {
	return access.RoleInfo{Role: role}
}

// Standing implements broker.Catalog: everybody is eligible for both roles everywhere.
func (p *platform) Standing(_ context.Context, q access.StandingQuery) (access.Standing, error) {
	s := access.Standing{Resource: q.Resource, Holdings: map[access.Principal][]access.Entitlement{}}
	for _, who := range q.Principals {
		for _, role := range []access.Role{ofOne, ofTwo} {
			s.Holdings[who] = append(s.Holdings[who], access.Entitlement{ID: access.EntitlementID{Resource: q.Resource, Role: role},
				PeerApproval: true, MayReview: true})
		}
	}
	var err error
	s.Activations, err = p.standing(q.Resource)
	return s, err
}

// Preview implements broker.Granter.
func (p *platform) Preview(access.Grant) ([]access.Effect, error) { return nil, nil }

// Grant implements broker.Granter.
func (p *platform) Grant(ctx context.Context, g access.Grant, q access.StandingQuery,
	check func(access.Standing) error) ([]access.Outcome, error) {
	s, err := p.Standing(ctx, q)
	if err == nil {
		err = check(s)
	}
	if err == nil && p.at != "" {
		err = p.far(http.MethodPost, g.Resource, g, nil)
	}
	if err != nil || p.at != "" {
		return []access.Outcome{{Entitlement: g.Entitlements[0], Result: access.Granted, Window: g.Window}}, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if at := slices.IndexFunc(p.stands[g.Resource], func(a access.Activation) bool { return a.RequestID == g.RequestID }); p.once && at >= 0 {
		return []access.Outcome{{Entitlement: g.Entitlements[0], Result: access.AlreadyGranted, Window: p.stands[g.Resource][at].Window}}, nil
	}
	p.write(g)
	return []access.Outcome{{Entitlement: g.Entitlements[0], Result: access.Granted, Window: g.Window}}, nil
}

func (p *platform) write(g access.Grant) {
	p.writes[g.RequestID]++
	p.stands[g.Resource] = append(p.stands[g.Resource], access.Activation{RequestID: g.RequestID, Principal: g.Principal,
		Entitlement: g.Entitlements[0], Window: g.Window, Justification: g.Justification, Approvers: g.Approvers})
}

// End implements broker.Granter: nobody ends anything here.
func (p *platform) End(context.Context, access.Ending) ([]access.Outcome, error) { return nil, nil }

// Record implements broker.Journal.
func (p *platform) Record(context.Context, access.Event) error { return nil }

// Channels implements broker.Notifier.
func (p *platform) Channels() []access.Channel { return []access.Channel{{Name: "mail", People: true}} }

// Notify implements broker.Notifier.
func (p *platform) Notify(_ context.Context, n access.Notice) (delivered access.Receipts) {
	for _, to := range slices.Concat(n.To, n.CC) {
		delivered = append(delivered, access.Receipt{To: to, Channel: "mail", Ref: "delivered"})
	}
	return delivered
}

// Terms implements broker.Policy.
func (p *platform) Terms(s access.Subject) (access.Terms, access.Explanation, error) {
	terms, why, err := policy.New(policy.Settings{Justification: regexp.MustCompile(`.*`), MaxDuration: 2 * time.Hour, DefaultDuration: time.Hour,
		MinReviewers: 1, MaxReviewers: len(approvers), MaxRoles: 1, RequestTimeout: time.Hour}).Terms(s)
	if s.Entitlement.Role == ofTwo {
		terms.Requirements = []access.Requirement{{Count: 2, From: []string{access.FromPeers}}}
	}
	return terms, why, err
}

// instance is one of the service.
type instance struct {
	*broker.Broker
	store broker.Memory
}

func (p *platform) instance(store broker.Memory) instance {
	return instance{store: store, Broker: broker.New(broker.Config{
		Providers: []broker.Registration{{Provider: p, Name: "Google Cloud", Kinds: resourcename.Kinds}},
		Store:     store, Journal: p, Policy: p, Notifier: p, Origin: origin, Now: time.Now, Random: rand.Reader})}
}

const origin = "https://jit.example.com"

func keys(t testing.TB) *ledger.Keys {
	k, err := newKeys()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func newKeys() (*ledger.Keys, error) { return ledger.NewKeys(bytes.Repeat([]byte{7}, 32)) }

func storeOf(home ledger.Home) (*ledger.Store, error) {
	k, err := newKeys()
	return ledger.New(ledger.Config{Home: home, Signer: k, Now: time.Now, Random: rand.Reader}), err
}

func store(t testing.TB, home ledger.Home) *ledger.Store {
	s, err := storeOf(home)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// homes open one new database several times, as so many instances do. The function that
// comes back closes them and drops it.
var homes = map[string]func(t testing.TB, instances int) ([]*relational.Database, func()){
	"SQLite":     sqlite,
	"PostgreSQL": postgreSQL,
}

func sqlite(t testing.TB, instances int) ([]*relational.Database, func()) {
	path := filepath.Join(t.TempDir(), "jitaccess.db")
	return open(t, instances, func() (*relational.Database, error) { return relational.SQLite(path) }), func() {}
}

func postgreSQL(t testing.TB, instances int) ([]*relational.Database, func()) {
	return on(t, ledgertest.PostgreSQL(t), instances)
}

// on is a new database in a cluster.
func on(t testing.TB, cluster *ledgertest.Cluster, instances int) ([]*relational.Database, func()) {
	name := cluster.Database(t, "")
	all := open(t, instances, func() (*relational.Database, error) {
		return relational.PostgreSQL(cluster.URL(ledgertest.Superuser, name), nil)
	})
	return all, func() {
		for _, d := range all {
			d.Close()
		}
		cluster.Exec(t, "postgres", "DROP DATABASE "+name)
	}
}

func open(t testing.TB, instances int, one func() (*relational.Database, error)) (all []*relational.Database) {
	t.Helper()
	for range instances {
		d, err := one()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { d.Close() })
		if all = append(all, d); len(all) == 1 {
			err = d.Migrate(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// instances are so many over one new database.
func (p *platform) instances(t testing.TB, home string, n int) (all []instance, first *relational.Database, drop func()) {
	databases, drop := homes[home](t, n)
	for _, d := range databases {
		all = append(all, p.instance(store(t, d)))
	}
	return all, databases[0], drop
}

// ask is what Ana asks of everybody, by a form; n keeps it apart from others.
func ask(form string, n int, role access.Role) broker.Ask {
	on := access.Resource(fmt.Sprintf("projects/project-%d", n))
	var reviewers []string
	for _, p := range approvers {
		reviewers = append(reviewers, string(p))
	}
	return broker.Ask{Form: form, Resource: on, Entitlements: []access.EntitlementID{{Resource: on, Role: role}}, Justification: "case 42",
		Duration: time.Hour, Reviewers: reviewers, Origin: origin, Host: "jit.example.com"}
}

// asked is the id of a new request of Ana's.
func asked(ctx context.Context, i instance, n int, role access.Role) (string, error) {
	return askedBy(ctx, i, ana, n, role)
}

func askedBy(ctx context.Context, i instance, who access.Principal, n int, role access.Role) (string, error) {
	form, err := i.NewForm(caller(who), access.Peers)
	if err != nil {
		return "", err
	}
	a, err := i.Ask(ctx, caller(who), ask(form, n, role))
	return a.Request.ID, err
}

// verified fails the test if anything in the ledger is not as it was recorded.
func verified(t testing.TB, home ledger.Home, requests int) {
	t.Helper()
	report, err := ledger.Verify(context.Background(), home, keys(t))
	if err != nil || len(report.Findings) > 0 || report.Requests != requests {
		t.Errorf("verify: %d requests of %d, %v, %v", report.Requests, requests, report.Findings, err)
	}
}

// inParallel does n things, so many at a time, and fails with the first error.
func inParallel(n, atATime int, do func(i int) error) error {
	var all sync.WaitGroup
	var once sync.Once
	var first error
	next := make(chan int)
	for range atATime {
		all.Go(func() {
			for i := range next {
				if err := do(i); err != nil {
					once.Do(func() { first = fmt.Errorf("%d: %w", i, err) })
				}
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	all.Wait()
	return first
}
