package login_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"jitaccess/internal/access"
	"jitaccess/internal/login"
)

const (
	client = "jitaccess"
	secret = "s3cret"
	origin = "https://access.example.com"
	ana    = "ana@example.com"
)

// provider is an OpenID provider that says what a test wants it to.
type provider struct {
	*httptest.Server
	key *rsa.PrivateKey
	now func() time.Time

	mu sync.Mutex
	// claims are those of the next ID token, signed with method and signer.
	claims jwt.MapClaims
	method jwt.SigningMethod
	signer any
	// userinfo is what that endpoint says.
	userinfo map[string]any
	// down is the status of each path that fails, and calls how often each was asked.
	down  map[string]int
	calls map[string]int
	// document edits what discovery says.
	document func(map[string]any)
	codes    map[string]string // the challenge that each code goes with
	raw      string            // in place of the ID token
	inForm   bool              // how clients say their secret
}

var rsaKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

func newProvider(t testing.TB, now func() time.Time) *provider {
	p := &provider{key: rsaKey(), now: now, down: map[string]int{}, calls: map[string]int{}, codes: map[string]string{},
		method: jwt.SigningMethodRS256, signer: rsaKey()}
	p.Server = httptest.NewServer(http.HandlerFunc(p.serve))
	t.Cleanup(p.Close)
	return p
}

func (p *provider) serve(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls[r.URL.Path]++
	if status := p.down[r.URL.Path]; status != 0 {
		w.Header().Set("Location", p.URL+"/moved"+r.URL.Path)
		w.WriteHeader(status)
		return
	}
	r.URL.Path = strings.TrimPrefix(r.URL.Path, "/moved")
	answer := map[string]any{}
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		answer = map[string]any{"issuer": p.URL, "authorization_endpoint": p.URL + "/auth", "token_endpoint": p.URL + "/token", "jwks_uri": p.URL + "/jwks",
			"userinfo_endpoint": p.URL + "/userinfo", "end_session_endpoint": p.URL + "/end?x=1", "id_token_signing_alg_values_supported": []string{"RS256", "HS256", "none"}}
		if p.document != nil {
			p.document(answer)
		}
	case "/jwks":
		answer["keys"] = []any{map[string]any{"kty": "RSA", "kid": "first", "use": "sig", "alg": "RS256",
			"n": base64.RawURLEncoding.EncodeToString(p.key.N.Bytes()), "e": base64.RawURLEncoding.EncodeToString(big.NewInt(int64(p.key.E)).Bytes())},
			// A key that both sides have is none, though it be published.
			map[string]any{"kty": "oct", "kid": "first", "k": base64.RawURLEncoding.EncodeToString(key("shared"))}}
	case "/token":
		id, password, _ := r.BasicAuth()
		if p.inForm {
			id, password = r.FormValue("client_id"), r.FormValue("client_secret")
		}
		code := r.FormValue("code")
		sum := sha256.Sum256([]byte(r.FormValue("code_verifier")))
		challenge := base64.RawURLEncoding.EncodeToString(sum[:])
		wrong := ""
		switch {
		case id != client || password != secret:
			wrong = "invalid_client"
		case p.codes[code] != challenge:
			wrong = "invalid_grant"
		}
		if wrong != "" {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusBadRequest)
			_ = json.NewEncoder(w).Encode(map[string]string{"error": wrong})
			return
		}
		delete(p.codes, code)
		answer = map[string]any{"access_token": "access", "token_type": "Bearer", "expires_in": 60, "id_token": p.sign()}
	case "/userinfo":
		answer = p.userinfo
	default:
		w.WriteHeader(http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer)
}

func (p *provider) sign() string {
	if p.raw != "" {
		return p.raw
	}
	token := jwt.NewWithClaims(p.method, p.claims)
	token.Header["kid"] = "first"
	signed, err := token.SignedString(p.signer)
	if err != nil {
		panic(err)
	}
	return signed
}

// strangersKey is one that the provider does not publish.
var strangersKey = sync.OnceValue(func() crypto.Signer {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return key
})

// world is a login before a provider, at a clock that a test moves.
type world struct {
	t        testing.TB
	provider *provider
	config   login.Config
	login    *login.Login
	mu       sync.Mutex
	at       time.Time
	warnings []error
}

func key(letter string) []byte { return []byte(strings.Repeat(letter, 32)) }

func newWorld(t testing.TB, change func(*login.Config)) *world {
	w := &world{t: t, at: time.Now().Truncate(time.Second)}
	w.provider = newProvider(t, w.now)
	w.config = login.Config{Issuer: w.provider.URL, ClientID: client, ClientSecret: func(context.Context) (string, error) { return secret, nil },
		Origin: origin, Keys: [][]byte{key("a")}, Now: w.now, Warn: func(err error) { w.warnings = append(w.warnings, err) }}
	w.again(change)
	return w
}

// again makes the login anew: another instance, or the same with other settings.
func (w *world) again(change func(*login.Config)) {
	w.t.Helper()
	if change != nil {
		change(&w.config)
	}
	var err error
	if w.login, err = login.New(w.config); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.at
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.at = w.at.Add(d)
}

// browser keeps cookies, as far as a browser would.
type browser struct {
	w       *world
	cookies map[string]string
}

func (w *world) browser() *browser { return &browser{w, map[string]string{}} }

func (b *browser) request(target string) *http.Request {
	r := httptest.NewRequest("GET", target, nil)
	for name, value := range b.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	return r
}

// take keeps the cookies of an answer. Each must be as the rules of __Host- want it.
func (b *browser) take(h http.Header) {
	b.w.t.Helper()
	for _, c := range (&http.Response{Header: h}).Cookies() {
		secure := strings.HasPrefix(b.w.config.Origin, "https:")
		if strings.HasPrefix(c.Name, "__Host-") != secure || c.Secure != secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" {
			b.w.t.Errorf("cookie %+v", c)
		}
		if len(c.Name)+len(c.Value) > 4096 {
			b.w.t.Errorf("a cookie of %d bytes is not kept", len(c.Name)+len(c.Value))
			continue
		}
		if c.MaxAge < 0 {
			delete(b.cookies, c.Name)
		} else {
			b.cookies[c.Name] = c.Value
		}
	}
}

// visit is a login under way at the provider.
type visit struct {
	address, state, nonce, code string
}

// start begins a login and lets the provider have what it needs to finish it.
func (b *browser) start(target string) visit {
	b.w.t.Helper()
	h := http.Header{}
	address, err := b.w.login.Start(h, b.request(target))
	if err != nil {
		b.w.t.Fatal(err)
	}
	b.take(h)
	u, err := url.Parse(address)
	if err != nil {
		b.w.t.Fatal(err)
	}
	q := u.Query()
	v := visit{address, q.Get("state"), q.Get("nonce"), rand.Text()}
	p := b.w.provider
	p.mu.Lock()
	defer p.mu.Unlock()
	p.codes[v.code] = q.Get("code_challenge")
	p.claims = jwt.MapClaims{"iss": p.URL, "aud": client, "sub": "1234", "email": ana, "email_verified": true, "nonce": v.nonce,
		"iat": b.w.now().Unix(), "exp": b.w.now().Add(5 * time.Minute).Unix(), "auth_time": b.w.now().Unix()}
	return v
}

func (v visit) query(edit func(url.Values)) string {
	q := url.Values{"state": {v.state}, "code": {v.code}}
	if edit != nil {
		edit(q)
	}
	return "/oidc/callback?" + q.Encode()
}

// finish comes back from the provider.
func (b *browser) finish(v visit, edit func(url.Values)) (string, access.Caller, error) {
	h := http.Header{}
	to, c, err := b.w.login.Finish(h, b.request(v.query(edit)))
	b.take(h)
	return to, c, err
}

// logIn logs Ana in.
func (b *browser) logIn() {
	b.w.t.Helper()
	if _, _, err := b.finish(b.start("/"), nil); err != nil {
		b.w.t.Fatal(err)
	}
}

func (b *browser) who() (access.Caller, error) { return b.w.login.Identify(b.request("/")) }

func (b *browser) is(want access.Principal, code access.Code) {
	b.w.t.Helper()
	c, err := b.who()
	if c.Principal != want || code == "" && err != nil || code != "" && (err == nil || access.AsError(err).Code != code) {
		b.w.t.Errorf("it is %q, %v; want %q, %s", c.Principal, err, want, code)
	}
}
