package server_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/server"
)

func TestReadinessFailsOnlyWhenNoRequestCouldSucceed(t *testing.T) {
	for name, c := range map[string]struct {
		found   map[string]error
		code    int
		healthy bool
	}{
		"nothing to check": {nil, http.StatusOK, true},
		"all well":         {map[string]error{"keys": nil, "mail": nil}, http.StatusOK, true},
		"mail is down":     {map[string]error{"keys": nil, "mail": errors.New("refused")}, http.StatusOK, true},
		"nobody can be identified": {map[string]error{"keys": fmt.Errorf("%w: no keys", server.ErrNotReady), "mail": nil},
			http.StatusServiceUnavailable, false},
	} {
		t.Run(name, func(t *testing.T) {
			h, _ := serve(t, newWorld(t), func(sc *server.Config) {
				sc.Ready = func(context.Context) map[string]error { return c.found }
			})
			r := request("GET", "/health/ready")
			r.Header.Del(personHeader)
			w := do(h, r)
			var got struct {
				Healthy bool
				Details map[string]bool
			}
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != c.code || got.Healthy != c.healthy || len(got.Details) != len(c.found) {
				t.Fatalf("%d %s %v", w.Code, w.Body, err)
			}
			for name, err := range c.found {
				if got.Details[name] != (err == nil) {
					t.Errorf("%s is %v", name, got.Details[name])
				}
			}
			if strings.Contains(w.Body.String(), "refused") {
				t.Error("shows the cause to anybody")
			}
		})
	}
}

// Anybody may ask, so asking often must not cost calls.
func TestReadinessIsRememberedForAMoment(t *testing.T) {
	now, checks := noon, 0
	h, _ := serve(t, newWorld(t), func(c *server.Config) {
		c.Now = func() time.Time { return now }
		c.Ready = func(context.Context) map[string]error { checks++; return nil }
	})
	for range 100 {
		do(h, request("GET", "/health/ready"))
	}
	now = now.Add(4 * time.Second)
	do(h, request("GET", "/health/ready"))
	if checks != 1 {
		t.Errorf("%d checks within a moment", checks)
	}
	now = now.Add(time.Second)
	do(h, request("GET", "/health/ready"))
	if checks != 2 {
		t.Errorf("%d checks", checks)
	}
}

// Anybody may ask, so that askers must not wait for each other's checks in turn.
func TestReadinessIsCheckedOnceForAllWhoAsk(t *testing.T) {
	var checks atomic.Int32
	asked, answer := make(chan struct{}), make(chan struct{})
	h, _ := serve(t, newWorld(t), func(c *server.Config) {
		c.Random = rand.Reader // the usual one is for one caller at a time
		c.Ready = func(context.Context) map[string]error {
			if checks.Add(1) == 1 {
				close(asked)
			}
			<-answer
			return nil
		}
	})
	var all sync.WaitGroup
	ask := func(ctx context.Context) {
		all.Go(func() { do(h, request("GET", "/health/ready").WithContext(ctx)) })
	}
	ask(t.Context())
	<-asked
	for range 20 {
		ask(t.Context())
	}
	gone, leave := context.WithCancel(t.Context())
	leave()
	do(h, request("GET", "/health/ready").WithContext(gone)) // does not wait
	close(answer)
	all.Wait()
	if n := checks.Load(); n != 1 {
		t.Errorf("%d checks", n)
	}
}

func TestAssetsHaveTheirTypes(t *testing.T) {
	h, _ := serve(t, newWorld(t), nil)
	for name, contentType := range map[string]string{"style.css": "text/css; charset=utf-8", "page.js": "text/javascript; charset=utf-8",
		"form.js": "text/javascript; charset=utf-8", "icon.svg": "image/svg+xml"} {
		w := do(h, request("GET", "/assets/"+name))
		if w.Code != 200 || w.Header().Get("Content-Type") != contentType || w.Body.Len() == 0 {
			t.Fatalf("%s: %d %s", name, w.Code, w.Header().Get("Content-Type"))
		}
		r := request("GET", "/assets/"+name)
		r.Header.Set("If-None-Match", w.Header().Get("ETag"))
		if again := do(h, r); again.Code != http.StatusNotModified {
			t.Errorf("%s again: %d", name, again.Code)
		}
	}
	for _, name := range []string{"nothing.css", "..%2Fembed.go", "%2e%2e/templates/home.html", ""} {
		if w := do(h, request("GET", "/assets/"+name)); w.Code != http.StatusNotFound {
			t.Errorf("%s: %d", name, w.Code)
		}
	}
}

// watcher sees the context of an action.
type watcher struct {
	*world
	deadline time.Time
	asked    broker.Ask
}

func (w *watcher) Ask(ctx context.Context, c access.Caller, a broker.Ask) (broker.Asked, error) {
	w.deadline, _ = ctx.Deadline()
	w.asked = a
	return broker.Asked{}, context.DeadlineExceeded
}

func TestAnActionHas25Seconds(t *testing.T) {
	b := &watcher{world: newWorld(t)}
	h, _ := serve(t, b, nil)
	post := func(body string) int {
		r, _ := http.NewRequest("POST", "/api/projects/acme-orders-prod/roles/self-activate", strings.NewReader(body))
		r.Header = request("GET", "/").Header
		r.Header.Set("Content-Type", "application/json; charset=utf-8")
		return do(h, r).Code
	}
	code := post(`{"entitlementIds":["acme-orders-prod:roles/x"],"justification":" x ","activationTimeout":1}`)
	if left := time.Until(b.deadline); code != http.StatusGatewayTimeout || left <= 0 || left > 25*time.Second {
		t.Errorf("%d with %s left", code, left)
	}
	if b.asked.Justification != "x" || b.asked.Duration != time.Minute || b.asked.Host != "" || b.asked.Origin != "https://access.example.com" {
		t.Errorf("asked %+v", b.asked)
	}
}

// The button of a form is pressed twice: the id that was minted with it goes along
// both times, so the broker can tell.
func TestADoubleClickIsOneRequest(t *testing.T) {
	b := &watcher{world: newWorld(t)}
	h, _ := serve(t, b, nil)
	form := do(h, request("GET", "/access/projects/acme-orders-prod?entitlement=acme-orders-prod:roles/compute.instanceAdmin.v1")).Body.String()
	_, rest, ok := strings.Cut(form, `name="id" value="`)
	id, _, _ := strings.Cut(rest, `"`)
	if !ok {
		t.Fatal("the form has no id")
	}
	for range 2 {
		r, _ := http.NewRequest("POST", "/access/projects/acme-orders-prod",
			strings.NewReader("id="+id+"&entitlement=acme-orders-prod:roles/compute.instanceAdmin.v1&justification=x&minutes=5"))
		r.Header = request("POST", "/").Header
		w := do(h, r)
		if b.asked.Form != id || !strings.Contains(w.Body.String(), `name="id" value="`+id+`"`) {
			t.Errorf("asked with %q, form has %q", b.asked.Form, id)
		}
	}
}

func TestNewRefusesAnAddressThatIsNoOrigin(t *testing.T) {
	for _, url := range []string{"access.example.com", "https://access.example.com/path"} {
		if _, err := server.New(server.Config{PublicURL: url}); err == nil {
			t.Errorf("%s is accepted", url)
		}
	}
}

// Point 14: whoever is refused may be signed in as somebody else than they think.
func TestEveryPageThatRefusesOffersAnotherAccount(t *testing.T) {
	refusal := &access.Error{Kind: access.NotAllowed, Code: access.CodeNotEligible, Args: access.Args{"role": "roles/x", "resource": "p"}}
	const (
		link   = "?activation=ref-mpa-AQEBAQEBAQEBAQEB"
		choose = "entitlement=acme-orders-prod:roles/iam.securityAdmin"
	)
	for _, c := range []struct{ fails, method, path, form string }{
		{"Offer", "GET", "/access/projects/acme-orders-prod", ""},
		{"Reviewers", "GET", "/access/projects/acme-orders-prod?" + choose, ""},
		{"Ask", "POST", "/access/projects/acme-orders-prod", choose + "&justification=x&minutes=5&reviewer=ben.okafor@example.com"},
		{"", "GET", "/access/projects/acme-orders-prod?entitlement=acme-orders-prod:roles/owner", ""},
		{"Show", "GET", "/review" + link, ""},
		{"Decide", "POST", "/review" + link, "verdict=approve&confirmed=1"},
		{"MoreReviewers", "GET", "/review/reviewers" + link, ""},
		{"AddReviewers", "POST", "/review/reviewers" + link, "reviewer=carl.mendes@example.com"},
		{"End", "POST", "/requests/jit-AQEBAQEBAQEBAQEB/end", "resource=projects/acme-orders-prod"},
	} {
		f := newWorld(t)
		q := access.Request{ID: "mpa-AQEBAQEBAQEBAQEB", Kind: access.Peers, State: access.Pending, Principal: ana, Resource: orders, Entitlements: []access.EntitlementID{security},
			Justification: "x", Duration: time.Hour, Reviewers: []access.Principal{ben}, Created: noon, Expires: noon.Add(time.Hour)}
		f.Requests["ref-"+q.ID] = q
		if c.fails != "" {
			f.fails[c.fails] = refusal
		}
		h, _ := serve(t, f, nil)
		r := request(c.method, c.path)
		if c.form != "" {
			headers := r.Header
			r, _ = http.NewRequest(c.method, c.path, strings.NewReader(c.form))
			r.Header = headers
		}
		r.Header.Set(personHeader, string(ana))
		w := do(h, r)
		_, problem, _ := strings.Cut(w.Body.String(), `id="problem"`)
		problem, _, _ = strings.Cut(problem, "</section>")
		if w.Code != http.StatusForbidden || !strings.Contains(problem, `<a href="/?gcp-iap-mode=CLEAR_LOGIN_COOKIE">Switch account</a>`) {
			t.Errorf("%s %s: %d, says %s", c.method, c.path, w.Code, problem)
		}
	}
}

// What is IAP's is said by its identity profile alone: with another one pages switch
// the account elsewhere or not at all, and the log has another event.
func TestPagesAndLogFollowTheIdentityProfile(t *testing.T) {
	for _, to := range []string{"", "/front/logout?to=a&b"} {
		h, log := serve(t, newWorld(t), func(c *server.Config) {
			c.AuthenticateEvent, c.SwitchAccount = "other.authenticate", to
			c.Identify = func(r *http.Request) (access.Caller, error) {
				if r.URL.Path == "/review" {
					return access.Caller{}, errors.New("nobody")
				}
				return access.Caller{Principal: ana}, nil
			}
		})
		for path, links := range map[string]int{"/": 1, "/review": 2} { // in the foot, and where it may help
			page := do(h, request("GET", path)).Body.String()
			if strings.Contains(page, "iap") {
				t.Errorf("%s speaks of IAP: %s", path, page)
			}
			want := strings.Count(page, `<a href="/front/logout?to=a&amp;b">Switch account</a>`)
			if all := strings.Count(page, ">Switch account<"); all != want || to != "" && all != links || to == "" && all != 0 {
				t.Errorf("%s with %q: %d links to switch the account, %d of them right", path, to, all, want)
			}
		}
		if all := log.String(); strings.Contains(all, "iap") || strings.Count(all, "other.authenticate") != 2 {
			t.Errorf("the log: %s", all)
		}
	}
}

// What could not be read is for administrators: the page says that something may
// be missing, once, and the log says what.
func TestAnUnreadableBindingIsNamedInTheLogAlone(t *testing.T) {
	c := newCanned(t)
	for _, role := range []string{"roles/bigquery.admin", "roles/run.admin"} {
		c.State.Offer.Warnings = append(c.State.Offer.Warnings, &access.Error{Kind: access.Upstream, Code: access.CodeUnreadableBinding,
			Args: access.Args{"role": role, "resource": "projects/acme-orders-prod"}, Err: errors.New("bad condition")})
	}
	h, log := serve(t, c, nil)
	page := do(h, request("GET", "/access/projects/acme-orders-prod")).Body.String()
	if n := strings.Count(page, "Some eligibility here could not be read"); n != 1 {
		t.Errorf("said %d times", n)
	}
	for _, role := range []string{"roles/bigquery.admin", "roles/run.admin"} {
		if strings.Contains(page, role) || !strings.Contains(log.String(), role) {
			t.Errorf("%s is on the page, or not in the log: %s", role, log)
		}
	}
}
