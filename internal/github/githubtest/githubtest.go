// Package githubtest is a GitHub for tests, as far as custom deployment protection rules go. It is
// written from GitHub's documentation, and refuses what GitHub refuses.
package githubtest

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// What there is at GitHub.
const (
	ClientID     = "Iv23liJitAccess"
	Installation = 4711
	Repository   = "acme/shop"
	Secret       = "a secret of the webhook, of thirty characters and more"
)

var key = sync.OnceValue(func() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
})

// Key is the private key of the app, as GitHub gives it.
func Key() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key())})
}

// Review is a decision that was taken.
type Review struct {
	Environment string `json:"environment_name"`
	State       string `json:"state"`
	Comment     string `json:"comment"`
}

// Answer is what a call gets instead of what it would get.
type Answer struct {
	Status int
	Header map[string]string
	// Lost: the call has its effect, and no answer.
	Lost bool
}

// GitHub is a GitHub with one app, which is installed once.
type GitHub struct {
	t   testing.TB
	URL string
	Now func() time.Time
	// Taken has the run of each decision that is taken, of the last hundred at least.
	Taken chan string

	mu      sync.Mutex
	reviews map[string][]Review // by run and environment
	tokens  map[string]string   // the repository of each
	calls   []string
	next    []Answer
	// permissions are those that the installation has.
	permissions map[string]string
}

// New starts one.
func New(t testing.TB) *GitHub {
	g := &GitHub{t: t, Now: time.Now, Taken: make(chan string, 100), reviews: map[string][]Review{},
		tokens: map[string]string{}, permissions: map[string]string{"deployments": "write"}}
	server := httptest.NewServer(g)
	t.Cleanup(server.Close)
	g.URL = server.URL
	return g
}

// Fail has the next calls, whatever they are of, answered so.
func (g *GitHub) Fail(next ...Answer) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.next = next
}

// Forget takes all tokens back.
func (g *GitHub) Forget() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.tokens = map[string]string{}
}

// Permit sets what the installation may do.
func (g *GitHub) Permit(permissions map[string]string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.permissions = permissions
}

// Reviews are the decisions about a run, in their order.
func (g *GitHub) Reviews(run string) []Review {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.reviews[run])
}

// Calls are the calls since this was last asked for.
func (g *GitHub) Calls() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	calls := g.calls
	g.calls = nil
	return calls
}

// Callback is where decisions about a run are taken.
func (g *GitHub) Callback(run string) string {
	return g.URL + "/repos/" + Repository + "/actions/runs/" + run + "/deployment_protection_rule"
}

// Payload is a delivery of a deployment that waits. Edits change it.
func (g *GitHub) Payload(run string, edits ...func(map[string]any)) []byte {
	number, _ := strconv.Atoi(run)
	repository := map[string]any{"id": 99, "full_name": Repository, "html_url": "https://github.com/" + Repository, "private": true}
	p := map[string]any{
		"action": "requested", "environment": "production", "event": "push", "ref": "refs/heads/main",
		"sha": "0f3c", "deployment_callback_url": g.Callback(run),
		"deployment": map[string]any{"id": 1000 + number, "ref": "main", "sha": "0f3c9e5d1c6bd9e0b1a2c3d4e5f60718293a4b5c",
			"environment": "production", "creator": map[string]any{"login": "mona"}, "url": g.URL + "/repos/" + Repository + "/deployments/1"},
		"pull_requests": []any{map[string]any{"head": map[string]any{"repo": map[string]any{"owner": map[string]any{"login": "acme"}}}}},
		"repository":    repository, "organization": map[string]any{"login": "acme"},
		"installation": map[string]any{"id": Installation}, "sender": map[string]any{"login": "mona", "type": "User"},
	}
	for _, edit := range edits {
		edit(p)
	}
	body, err := json.Marshal(p)
	if err != nil {
		g.t.Fatal(err)
	}
	return body
}

// Header is that of a delivery.
func Header(event string, body []byte) http.Header {
	mac := hmac.New(sha256.New, []byte(Secret))
	mac.Write(body)
	return http.Header{"Content-Type": {"application/json"}, "User-Agent": {"GitHub-Hookshot/044aadd"}, "X-Github-Event": {event},
		"X-Github-Delivery": {"72d3162e-cc78-11e3-81ab-4c9367dc0958"}, "X-Hub-Signature-256": {"sha256=" + hex.EncodeToString(mac.Sum(nil))}}
}

var (
	installationPath = regexp.MustCompile(`^/repos/([^/]+/[^/]+)/installation$`)
	describedPath    = regexp.MustCompile(`^/app/installations/([0-9]+)$`)
	tokenPath        = regexp.MustCompile(`^/app/installations/([0-9]+)/access_tokens$`)
	reviewPath       = regexp.MustCompile(`^/repos/([^/]+/[^/]+)/actions/runs/([0-9]+)/deployment_protection_rule$`)
)

func (g *GitHub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.calls = append(g.calls, r.Method+" "+r.URL.Path)
	lost := false
	if len(g.next) > 0 {
		answer := g.next[0]
		g.next = g.next[1:]
		for name, value := range answer.Header {
			w.Header().Set(name, value)
		}
		if lost = answer.Lost; answer.Status != 0 {
			w.WriteHeader(answer.Status)
			return
		}
	}
	// https://docs.github.com/en/rest/using-the-rest-api/getting-started-with-the-rest-api#user-agent
	if r.UserAgent() == "" || r.Header.Get("Accept") != "application/vnd.github+json" || r.Header.Get("X-GitHub-Api-Version") != "2022-11-28" {
		http.Error(w, "Request forbidden by administrative rules", http.StatusForbidden)
		return
	}
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	installation := map[string]any{"id": Installation, "account": map[string]any{"login": "acme"}, "permissions": g.permissions,
		"events": []string{"deployment_protection_rule"}, "suspended_at": nil}
	switch path := r.URL.Path; {
	case r.Method == http.MethodGet && installationPath.MatchString(path) && g.asApp(w, token):
		if installationPath.FindStringSubmatch(path)[1] != Repository {
			http.NotFound(w, r)
			return
		}
		write(w, http.StatusOK, installation)
	case r.Method == http.MethodGet && describedPath.MatchString(path) && g.asApp(w, token):
		if path != fmt.Sprintf("/app/installations/%d", Installation) {
			http.NotFound(w, r)
			return
		}
		write(w, http.StatusOK, installation)
	case r.Method == http.MethodPost && tokenPath.MatchString(path) && g.asApp(w, token):
		g.makeToken(w, r)
	case r.Method == http.MethodPost && reviewPath.MatchString(path):
		m := reviewPath.FindStringSubmatch(path)
		g.review(w, r, token, m[1], m[2], lost)
	case w.Header().Get("X-Refused") == "":
		http.NotFound(w, r)
	}
}

// asApp is whether a token is a JWT of the app; else it has answered.
func (g *GitHub) asApp(w http.ResponseWriter, token string) bool {
	var claims jwt.RegisteredClaims
	_, err := jwt.ParseWithClaims(token, &claims, func(*jwt.Token) (any, error) { return &key().PublicKey, nil },
		jwt.WithValidMethods([]string{"RS256"}), jwt.WithTimeFunc(g.Now), jwt.WithIssuedAt(), jwt.WithExpirationRequired())
	if err != nil || claims.Issuer != ClientID || claims.IssuedAt == nil || claims.ExpiresAt.Sub(g.Now()) > 10*time.Minute {
		w.Header().Set("X-Refused", "1")
		w.WriteHeader(http.StatusUnauthorized)
		return false
	}
	return true
}

func (g *GitHub) makeToken(w http.ResponseWriter, r *http.Request) {
	var asked struct {
		Repositories []string          `json:"repositories"`
		Permissions  map[string]string `json:"permissions"`
	}
	if json.NewDecoder(r.Body).Decode(&asked) != nil || len(asked.Repositories) != 1 || "acme/"+asked.Repositories[0] != Repository ||
		len(asked.Permissions) != 1 || asked.Permissions["deployments"] != "write" || g.permissions["deployments"] != "write" {
		w.WriteHeader(http.StatusUnprocessableEntity)
		return
	}
	token := "ghs_" + rand.Text()
	g.tokens[token] = Repository
	write(w, http.StatusCreated, map[string]any{"token": token, "expires_at": g.Now().Add(time.Hour).UTC().Format(time.RFC3339),
		"permissions": asked.Permissions})
}

func (g *GitHub) review(w http.ResponseWriter, r *http.Request, token, repository, run string, lost bool) {
	var said Review
	switch {
	case g.tokens[token] != repository:
		w.WriteHeader(http.StatusUnauthorized)
		return
	case json.NewDecoder(r.Body).Decode(&said) != nil || said.Environment == "" || said.State != "approved" && said.State != "rejected":
		w.WriteHeader(http.StatusUnprocessableEntity)
		return
	case slices.ContainsFunc(g.reviews[run], func(r Review) bool { return r.Environment == said.Environment }):
		w.WriteHeader(http.StatusUnprocessableEntity)
		return
	}
	g.reviews[run] = append(g.reviews[run], said)
	select {
	case g.Taken <- run:
	default:
	}
	if lost {
		panic(http.ErrAbortHandler)
	}
	w.WriteHeader(http.StatusNoContent)
}

func write(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}
