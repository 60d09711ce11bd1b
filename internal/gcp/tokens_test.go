package gcp_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"jitaccess/internal/gcp"
	"jitaccess/internal/gcp/gcptest"
	sandbox "jitaccess/internal/sandbox/google"
)

// tokenServer gives a new token each time, named by number, unless it is stuck.
type tokenServer struct {
	given atomic.Int64
	stuck atomic.Bool
}

func (s *tokenServer) token() string {
	if s.stuck.Load() {
		return fmt.Sprintf("token-%d", s.given.Load())
	}
	return fmt.Sprintf("token-%d", s.given.Add(1))
}

// takes is a Google that takes tokens from number `from` on.
type takes struct {
	from  atomic.Int64
	mu    sync.Mutex
	calls []string
}

func (g *takes) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	g.mu.Lock()
	g.calls = append(g.calls, fmt.Sprintf("%s %s %s", r.Method, token, body))
	g.mu.Unlock()
	var n int64
	fmt.Sscanf(token, "token-%d", &n)
	if n < g.from.Load() {
		gcptest.Refuse(http.StatusUnauthorized, "authError")(w, r)
		return
	}
	gcptest.Answer(w, map[string]any{"did": string(body)})
}

func (g *takes) log() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return strings.Join(g.calls, "; ")
}

// sources are the ways to a token, each as a client that calls with it.
func sources(t *testing.T, use func(t *testing.T, client *http.Client, url string, s *tokenServer, g *takes)) {
	connected := func(t *testing.T, g *takes, endpoint http.Handler) (*gcp.Platform, string) {
		server := httptest.NewServer(endpoint)
		t.Cleanup(server.Close)
		return connect(t, server.URL), server.URL
	}
	metadata := func(t *testing.T, s *tokenServer) {
		m := gcptest.StartMetadata(t)
		m.Token = func() string {
			return fmt.Sprintf(`{"access_token":%q,"expires_in":3599,"token_type":"Bearer"}`, s.token())
		}
	}
	t.Run("metadata", func(t *testing.T) {
		s, g := &tokenServer{}, &takes{}
		metadata(t, s)
		p, url := connected(t, g, g)
		use(t, p.Client, url, s, g)
	})
	t.Run("metadata for groups", func(t *testing.T) {
		s, g := &tokenServer{}, &takes{}
		metadata(t, s)
		p, url := connected(t, g, g)
		use(t, p.DirectoryClient, url, s, g)
	})
	impersonated := func(choose func(*gcp.Platform) *http.Client) func(*testing.T) {
		return func(t *testing.T) {
			s, g := &tokenServer{}, &takes{}
			gcptest.StartMetadata(t)
			p, url := connected(t, g, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch {
				case strings.HasSuffix(r.URL.Path, ":generateAccessToken"):
					gcptest.Answer(w, map[string]any{"accessToken": s.token(), "expireTime": time.Now().Add(time.Hour).UTC().Format(time.RFC3339)})
				case r.Header.Get("Authorization") == "Bearer "+gcptest.Token:
					gcptest.RefuseBecause(403, "insufficientPermissions", "Request had insufficient authentication scopes.")(w, r)
				default:
					g.ServeHTTP(w, r)
				}
			}))
			client := choose(p)
			if response, err := get(t, client, url+"/first"); err != nil || response.StatusCode != 200 {
				t.Fatal(response, err)
			}
			g.mu.Lock()
			g.calls = nil
			g.mu.Unlock()
			use(t, client, url, s, g)
		}
	}
	t.Run("generateAccessToken for groups", impersonated(func(p *gcp.Platform) *http.Client { return p.DirectoryClient }))
	t.Run("generateAccessToken", impersonated(func(p *gcp.Platform) *http.Client { return p.Impersonating("any") }))
	t.Run("application default credentials", func(t *testing.T) {
		s, g := &tokenServer{}, &takes{}
		tokens := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			gcptest.Answer(w, map[string]any{"access_token": s.token(), "expires_in": 3599, "token_type": "Bearer"})
		}))
		defer tokens.Close()
		server := httptest.NewServer(g)
		defer server.Close()
		t.Setenv("GCE_METADATA_HOST", "")
		t.Setenv("GOOGLE_CLOUD_PROJECT", "")
		file := keyFile(t, "service_account")
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "credentials.json")
		if err := os.WriteFile(path, []byte(strings.ReplaceAll(string(raw), "http://127.0.0.1:1/token", tokens.URL)), 0o600); err != nil {
			t.Fatal(err)
		}
		t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", path)
		p, err := gcp.Connect(t.Context(), gcp.Options{Retry: gcptest.NoWait})
		if err != nil {
			t.Fatal(err)
		}
		use(t, p.Client, server.URL, s, g)
	})
}

func post(t *testing.T, c *http.Client, url, body string) *http.Response {
	t.Helper()
	// A body that only can be read once.
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, io.MultiReader(strings.NewReader(body)))
	if err != nil {
		t.Fatal(err)
	}
	response, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { response.Body.Close() })
	return response
}

// TestTokenThatGoogleStopsTakingIsReplacedOnce: for reads and writes, from every source.
func TestTokenThatGoogleStopsTakingIsReplacedOnce(t *testing.T) {
	sources(t, func(t *testing.T, client *http.Client, url string, s *tokenServer, g *takes) {
		if r := post(t, client, url+"/x", "one"); r.StatusCode != 200 {
			t.Fatalf("%d, %s", r.StatusCode, g.log())
		}
		given := s.given.Load()
		g.from.Store(given + 1)
		r := post(t, client, url+"/x", "two")
		var answer struct{ Did string }
		json.NewDecoder(r.Body).Decode(&answer)
		if r.StatusCode != 200 || answer.Did != "two" {
			t.Errorf("%d, %+v after %s", r.StatusCode, answer, g.log())
		}
		want := fmt.Sprintf("POST token-%d one; POST token-%[1]d two; POST token-%[2]d two", given, given+1)
		if g.log() != want {
			t.Errorf("%s\nwant %s", g.log(), want)
		}
		if r := post(t, client, url+"/x", "three"); r.StatusCode != 200 || s.given.Load() != given+1 {
			t.Errorf("%d, and %d tokens", r.StatusCode, s.given.Load())
		}
	})
}

// TestTokenServerThatKeepsGivingTheDeadOne: one try, then the truth.
func TestTokenServerThatKeepsGivingTheDeadOne(t *testing.T) {
	sources(t, func(t *testing.T, client *http.Client, url string, s *tokenServer, g *takes) {
		post(t, client, url+"/x", "one")
		s.stuck.Store(true)
		g.from.Store(1000)
		r := post(t, client, url+"/x", "two")
		body, err := io.ReadAll(r.Body)
		if r.StatusCode != http.StatusUnauthorized || err != nil || !strings.Contains(string(body), "authError") {
			t.Errorf("%d %s %v", r.StatusCode, body, err)
		}
		if got := strings.Count(g.log(), "two"); got != 1 {
			t.Errorf("the same token was sent %d times: %s", got, g.log())
		}
	})
}

// TestFreshTokenThatIsRefusedToo: the second answer is the truth, and the next call does
// not fetch yet another at once.
func TestFreshTokenThatIsRefusedToo(t *testing.T) {
	sources(t, func(t *testing.T, client *http.Client, url string, s *tokenServer, g *takes) {
		post(t, client, url+"/x", "one")
		given := s.given.Load()
		g.from.Store(1000)
		for range 5 {
			if r := post(t, client, url+"/x", "two"); r.StatusCode != http.StatusUnauthorized {
				t.Errorf("%d", r.StatusCode)
			}
		}
		if n := s.given.Load(); n != given+1 {
			t.Errorf("%d tokens for five calls", n-given)
		}
		if got := strings.Count(g.log(), "two"); got != 6 {
			t.Errorf("%d calls: %s", got, g.log())
		}
	})
}

// TestOneFreshTokenServesAllWhoCameWithTheDeadOne.
func TestOneFreshTokenServesAllWhoCameWithTheDeadOne(t *testing.T) {
	sources(t, func(t *testing.T, client *http.Client, url string, s *tokenServer, g *takes) {
		post(t, client, url+"/x", "one")
		given := s.given.Load()
		g.from.Store(given + 1)
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				if r := post(t, client, url+"/x", "two"); r.StatusCode != 200 {
					t.Errorf("%d", r.StatusCode)
				}
			})
		}
		all.Wait()
		if n := s.given.Load(); n != given+1 {
			t.Errorf("%d tokens for one that died", n-given)
		}
	})
}

// TestTokensOfTheSandbox: a Google that enforces what Google enforces.
func TestTokensOfTheSandbox(t *testing.T) {
	cloud, err := sandbox.New(sandbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(cloud.Handler())
	defer server.Close()
	t.Setenv("GCE_METADATA_HOST", strings.TrimPrefix(server.URL, "http://"))
	p := connect(t, server.URL)
	for round := range 2 {
		for path, client := range map[string]*http.Client{"/v3/projects:search": p.Client, "/admin/directory/v1/groups?customer=my_customer": p.DirectoryClient} {
			if r, err := get(t, client, server.URL+path); err != nil || r.StatusCode != 200 {
				t.Fatalf("round %d, %s: %v, %v", round, path, r, err)
			}
		}
		cloud.Faults().RevokeTokens()
	}
}
