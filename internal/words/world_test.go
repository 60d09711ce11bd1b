package words_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/bearer"
	"jitaccess/internal/broker"
	"jitaccess/internal/broker/brokertest"
	"jitaccess/internal/gcp/assetinventory"
	"jitaccess/internal/gcp/directory"
	"jitaccess/internal/gcp/gcptest"
	"jitaccess/internal/gcp/iampolicy"
	"jitaccess/internal/gcp/provider"
	"jitaccess/internal/gcp/resourcemanager"
	"jitaccess/internal/server"
)

const (
	ana  = access.Principal("ana@example.com")
	ben  = access.Principal("ben@example.com")
	shop = access.Resource("projects/shop")
)

var (
	noon  = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	admin = access.EntitlementID{Resource: shop, Role: "roles/compute.admin"}
	logs  = access.EntitlementID{Resource: shop, Role: "roles/logging.viewer"}
)

// newWorld is an organization in which ana asks ben to approve admin, and activates logs
// alone. What ben is asked is opened by REF.
func newWorld(t testing.TB) *brokertest.World {
	w := brokertest.New(t, noon)
	w.Settings.Justification = regexp.MustCompile(`case [0-9]+.*`)
	w.Holdings[ana] = []access.Entitlement{brokertest.Peer(admin), brokertest.Self(logs)}
	w.Holdings[ben] = []access.Entitlement{brokertest.Peer(admin)}
	w.Lasting = true
	w.Requests["REF"] = access.Request{ID: "mpa-AAAAAAAAAAAAAAAA", Kind: access.Peers, State: access.Pending, Principal: ana, Resource: shop,
		Entitlements: []access.EntitlementID{admin}, Justification: "case 4711", Duration: time.Hour, Reviewers: []access.Principal{ben},
		Created: noon, Expires: noon.Add(time.Hour)}
	return w
}

// asked changes what REF opens.
func asked(w *brokertest.World, change func(*access.Request)) {
	r := w.Requests["REF"]
	change(&r)
	w.Requests["REF"] = r
}

// the is a warning of the code, or the error itself where there is one.
func the(code access.Code, err error, warnings []*access.Error) error {
	for _, w := range warnings {
		if err == nil && w.Code == code {
			return w
		}
	}
	return err
}

// asking asks ben to approve, changed by what is wrong.
func asking(code access.Code, change func(*brokertest.World, *broker.Ask)) func(*testing.T) error {
	return func(t *testing.T) error {
		w := newWorld(t)
		a := broker.Ask{Resource: shop, Entitlements: []access.EntitlementID{admin}, Reviewers: []string{string(ben)}, Justification: "case 4711",
			Duration: time.Hour, Origin: "https://jit.example.com", Host: "jit.example.com"}
		change(w, &a)
		asked, err := w.Broker().Ask(t.Context(), access.Caller{Principal: ana}, a)
		return the(code, err, asked.Warnings)
	}
}

// deciding has ben approve, changed by what is wrong.
func deciding(code access.Code, change func(*brokertest.World, *broker.Decide, *access.Caller)) func(*testing.T) error {
	return func(t *testing.T) error {
		w, c := newWorld(t), access.Caller{Principal: ben}
		d := broker.Decide{Ref: "REF", Verdict: access.Approve}
		change(w, &d, &c)
		decided, err := w.Broker().Decide(t.Context(), c, d)
		for _, o := range decided.Outcomes {
			if o.Err != nil {
				decided.Warnings = append(decided.Warnings, o.Err)
			}
		}
		return the(code, err, decided.Warnings)
	}
}

// refusals catch the errors that the server refuses with, from its log.
type refusals struct{ errors []error }

func (r *refusals) Enabled(context.Context, slog.Level) bool { return true }
func (r *refusals) WithAttrs([]slog.Attr) slog.Handler       { return r }
func (r *refusals) WithGroup(string) slog.Handler            { return r }
func (r *refusals) Handle(_ context.Context, record slog.Record) error {
	record.Attrs(func(a slog.Attr) bool {
		if err, ok := a.Value.Any().(error); ok {
			r.errors = append(r.errors, err)
		}
		return true
	})
	return nil
}

// visiting sends a request to the server, with headers as lines, again and again until
// it is refused.
func visiting(request, body string, headers ...string) func(*testing.T) error {
	return visitingAs(as(ana), nil, request, body, headers...)
}

func visitingAs(identify func(*http.Request) (access.Caller, error), change func(*brokertest.World), request, body string,
	headers ...string) func(*testing.T) error {
	return func(t *testing.T) error {
		log, w := &refusals{}, newWorld(t)
		if change != nil {
			change(w)
		}
		tokens, err := bearer.NewSigner(make([]byte, 32))
		if err != nil {
			t.Fatal(err)
		}
		h, err := server.New(server.Config{Broker: w.Broker(), Identify: identify, PublicURL: "https://jit.example.com", Log: slog.New(log),
			Applications: &server.Applications{Now: time.Now, Registry: &registry{}, GitHub: gitHub{}, Tokens: tokens}, Now: func() time.Time { return noon }, Random: rand.Reader})
		if err != nil {
			t.Fatal(err)
		}
		method, path, _ := strings.Cut(request, " ")
		for range 200 {
			r := httptest.NewRequest(method, path, strings.NewReader(body))
			r.Header.Set("Sec-Fetch-Site", "same-origin")
			r.Header.Set("X-JITACCESS", "1")
			if body != "" {
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			}
			for _, header := range headers {
				name, value, _ := strings.Cut(header, ": ")
				if r.Header.Set(name, value); value == "" {
					r.Header.Del(name)
				}
			}
			h.ServeHTTP(httptest.NewRecorder(), r)
			if log.errors != nil {
				return log.errors[0]
			}
		}
		return nil
	}
}

// google answers calls whose path ends so; what is not there is refused with 404.
type google map[string]func(http.ResponseWriter, *http.Request)

func (g google) start(t *testing.T) *gcptest.Google {
	return gcptest.Start(t, func(w http.ResponseWriter, r *http.Request) {
		for end, answer := range g {
			if strings.HasSuffix(r.URL.Path, end) {
				answer(w, r)
				return
			}
		}
		http.Error(w, "{}", http.StatusNotFound)
	})
}

func answer(body string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, body)
	}
}

// refusing is how Google refuses.
func refusing(status int, message string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"error":{"code":%d,"message":%q}}`, status, message)
	}
}

// hanging breaks the connection without an answer.
func hanging(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

// fine is a standing in which everything is allowed.
type fine struct{}

func (fine) Prepare(context.Context, access.StandingQuery) (func(*iampolicy.Policy) access.Standing, error) {
	return func(*iampolicy.Policy) access.Standing { return access.Standing{} }, nil
}

func policiesOf(g *gcptest.Google) *resourcemanager.Client {
	return resourcemanager.New(resourcemanager.Config{HTTP: g.Platform.Client, Endpoint: g.Platform.Endpoint("cloudresourcemanager"),
		ServiceAccount: g.Platform.ServiceAccount, Now: func() time.Time { return noon },
		Sleep: func(context.Context, time.Duration) error { return context.DeadlineExceeded }})
}

func grant(role access.Role, condition string) access.Grant {
	return access.Grant{RequestID: "mpa-AAAAAAAAAAAAAAAA", Principal: ana, Resource: shop, Justification: "case 4711",
		Entitlements: []access.EntitlementID{{Resource: shop, Role: role, Condition: condition}},
		Window:       access.Window{Start: noon, End: noon.Add(time.Hour)}, Approvers: []access.Principal{ben}}
}

// writing grants a role where Google has this policy and answers the write so.
func writing(policy string, write func(http.ResponseWriter, *http.Request), role access.Role, condition string) func(*testing.T) error {
	return func(t *testing.T) error {
		return writingTo(t, google{":getIamPolicy": answer(policy), ":setIamPolicy": write}, grant(role, condition))
	}
}

func writingTo(t *testing.T, g google, grant access.Grant) error {
	outcomes, err := resourcemanager.NewGranter(policiesOf(g.start(t)), fine{}).Grant(t.Context(), grant,
		access.StandingQuery{Resource: shop, Principals: []access.Principal{ana}, Since: noon}, func(access.Standing) error { return nil })
	for _, o := range outcomes {
		if o.Err != nil {
			return o.Err
		}
	}
	return err
}

// policyOf is a policy with bindings of a role.
func policyOf(bindings ...string) string {
	return `{"version":3,"etag":"e","bindings":[` + strings.Join(bindings, ",") + `]}`
}

func binding(role string, members int, member, condition string) string {
	all := strings.TrimSuffix(strings.Repeat(`"`+member+`",`, members), ",")
	if condition != "" {
		condition = `,"condition":{"title":"JIT access activation","expression":` + condition + `}`
	}
	return `{"role":"` + role + `","members":[` + all + `]` + condition + `}`
}

// looking looks up what everybody holds in Asset Inventory, where the project has this policy
// and every group these members.
func looking(code access.Code, policy, members string) func(*testing.T) error {
	return func(t *testing.T) error {
		return inventory(t, code, google{":getIamPolicy": answer(policy), ":batchGet": answer(inventoried), "/groups": answer(`{}`), "/members": answer(members)})
	}
}

// inventoried is what Asset Inventory says of a project without policies.
const inventoried = `{"policyResults":[{"fullResourceName":"//cloudresourcemanager.googleapis.com/projects/shop","policies":[]}]}`

func inventory(t *testing.T, code access.Code, google google, people ...access.Principal) error {
	g := google.start(t)
	groups := directory.New(g.Platform, "C1", time.Now)
	policies := policiesOf(g)
	c := assetinventory.New(assetinventory.Config{Platform: g.Platform, Scope: "organizations/1", Policies: policies,
		Directory: groups, SearchProjects: policies.SearchProjects, Now: func() time.Time { return noon }})
	s, err := c.Standing(t.Context(), access.StandingQuery{Resource: shop, Everybody: people == nil, Principals: people, Since: noon})
	for _, i := range s.Ineffective {
		s.Warnings = append(s.Warnings, i.Why)
	}
	return the(code, err, s.Warnings)
}

// named lists what there is, where a policy names a folder and a search finds these.
func named(code access.Code, folder access.Resource, folders string) func(*testing.T) error {
	return func(t *testing.T) error {
		g := google{"/projects:search": answer(`{}`), "/folders:search": answer(folders)}.start(t)
		p, err := provider.New(provider.Config{Platform: g.Platform, Scope: "organizations/1", CustomerID: "C1",
			Now: time.Now, Sleep: func(context.Context, time.Duration) error { return nil }})
		if err != nil {
			return err
		}
		_, warnings, err := p.Naming(func() []access.Resource { return []access.Resource{folder} }).Resources(t.Context(), ana)
		return the(code, err, warnings)
	}
}

// marked is a policy that makes a member eligible for a role.
func marked(role access.Role, member, condition string) string {
	text, _ := json.Marshal(condition)
	return policyOf(fmt.Sprintf(`{"role":%q,"members":[%q],"condition":{"title":"eligible","expression":%s}}`, role, member, text))
}

// signing is a policy whose every term demands a signature.
type signing struct{ broker.Policy }

func (s signing) Terms(of access.Subject) (access.Terms, access.Explanation, error) {
	t, why, err := s.Policy.Terms(of)
	t.Signature, t.Rule = true, "Rule “production”"
	return t, why, err
}
