package client

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"jitaccess/internal/outbound"
)

// loginTimeout is how long somebody may take to log in by browser.
const loginTimeout = 5 * time.Minute

// unguessable is 256 bits.
func (s SignIn) unguessable() (string, error) {
	b := make([]byte, 32)
	if _, err := io.ReadFull(s.Random, b); err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(b), nil
}

// arrivals is a server on this machine to which a browser is sent at the end of a log-in, at a path
// that nobody else knows: a page that guesses the port could send it there with a token of its own.
type arrivals struct {
	listeners []net.Listener
	port      string
	path      string
	got       chan url.Values
	server    *http.Server
}

// listenHere listens on both loopback addresses, where this machine has both: a browser may try
// either for the name localhost, and nobody else must be at the other.
func (s SignIn) listenHere() (*arrivals, error) {
	path, err := s.unguessable()
	if err != nil {
		return nil, err
	}
	for range 10 {
		four, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		a := &arrivals{listeners: []net.Listener{four}, port: strconv.Itoa(four.Addr().(*net.TCPAddr).Port), path: "/" + path,
			got: make(chan url.Values, 1)}
		six, err := net.Listen("tcp6", net.JoinHostPort("::1", a.port))
		if errors.Is(err, syscall.EADDRINUSE) {
			four.Close()
			continue
		}
		if err == nil {
			a.listeners = append(a.listeners, six)
		}
		a.server = &http.Server{Handler: a, ReadHeaderTimeout: 10 * time.Second}
		for _, l := range a.listeners {
			go a.server.Serve(l)
		}
		return a, nil
	}
	return nil, errors.New("no port of this machine is free on both 127.0.0.1 and [::1]")
}

func (a *arrivals) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if a.server.Shutdown(ctx) != nil { // the answer to the browser gets out first
		a.server.Close()
	}
}

// ServeHTTP takes the first browser that comes to the path.
func (a *arrivals) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer")
	if r.Method != http.MethodGet || subtle.ConstantTimeCompare([]byte(r.URL.Path), []byte(a.path)) != 1 {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	select {
	case a.got <- r.URL.Query():
		io.WriteString(w, "You can close this page, and go on where you typed the command.\n")
	default:
		w.WriteHeader(http.StatusGone)
	}
}

// wait returns what the browser has brought.
func (a *arrivals) wait(ctx context.Context) (url.Values, error) {
	ctx, cancel := context.WithTimeout(ctx, loginTimeout)
	defer cancel()
	select {
	case q := <-a.got:
		return q, nil
	case <-ctx.Done():
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return nil, fmt.Errorf("nobody has logged in within %s", loginTimeout)
		}
		return nil, ctx.Err()
	}
}

// byPomerium is Pomerium's programmatic access
// (https://www.pomerium.com/docs/internals/programmatic-access). It sends browsers to localhost by that name.
func (s SignIn) byPomerium(ctx context.Context) (string, error) {
	a, err := s.listenHere()
	if err != nil {
		return "", err
	}
	defer a.close()
	service := Service{Origin: s.Origin, Transport: s.Transport}
	response, err := service.send(ctx, request{path: "/.pomerium/api/v1/login",
		query: url.Values{"pomerium_redirect_uri": {"http://localhost:" + a.port + a.path}}})
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(outbound.Bound(response.Body, maxToken))
	address := strings.TrimSpace(string(text))
	u, bad := url.Parse(address)
	if err != nil || response.StatusCode != http.StatusOK || bad != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return "", fmt.Errorf("Pomerium does not say where to log in (it answered %d); its programmatic access may be switched off",
			response.StatusCode)
	}
	if err := s.Browse(ctx, address); err != nil {
		return "", err
	}
	q, err := a.wait(ctx)
	if err != nil {
		return "", err
	}
	return clean([]byte(q.Get("pomerium_jwt")))
}

// Addresses of a log-in of the service's own (docs/login.md).
const (
	pathProgram      = "/oidc/program"
	pathProgramToken = "/oidc/program/token"
)

// byOwnLogin has the user confirm, in the service, that this program may act for them, and takes the code of
// that for a token: by PKCE (RFC 7636), so that the code is of no use to anybody else.
func (s SignIn) byOwnLogin(ctx context.Context) (Signed, error) {
	a, err := s.listenHere()
	if err != nil {
		return Signed{}, err
	}
	defer a.close()
	verifier, err := s.unguessable()
	if err != nil {
		return Signed{}, err
	}
	state, err := s.unguessable()
	if err != nil {
		return Signed{}, err
	}
	sum := sha256.Sum256([]byte(verifier))
	ask := url.Values{"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"},
		"redirect_uri": {"http://127.0.0.1:" + a.port + a.path}, "state": {state}}
	if err := s.Browse(ctx, string(s.Origin)+pathProgram+"?"+ask.Encode()); err != nil {
		return Signed{}, err
	}
	q, err := a.wait(ctx)
	if err != nil {
		return Signed{}, err
	}
	if subtle.ConstantTimeCompare([]byte(q.Get("state")), []byte(state)) != 1 {
		return Signed{}, errors.New("the browser came back from another log-in; try again")
	}
	t, err := s.redeem(ctx, q.Get("code"), verifier)
	if err != nil {
		return Signed{}, err
	}
	return s.verified(ctx, t)
}

// redeem takes a code for a token.
func (s SignIn) redeem(ctx context.Context, code, verifier string) (Token, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	form := url.Values{"code": {code}, "code_verifier": {verifier}}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, string(s.Origin)+pathProgramToken, strings.NewReader(form.Encode()))
	if err != nil {
		return Token{}, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	response, err := outbound.Client(s.Transport).Do(r)
	if err != nil {
		return Token{}, &Unreachable{s.Origin, outbound.WithoutAddress(err)}
	}
	defer response.Body.Close()
	text, err := io.ReadAll(outbound.Bound(response.Body, maxToken))
	if err != nil {
		return Token{}, &Unreachable{s.Origin, err}
	}
	media, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type"))
	var said struct {
		Token   string `json:"access_token"`
		Seconds int    `json:"expires_in"`
	}
	if response.StatusCode != http.StatusOK || json.Unmarshal(text, &said) != nil || said.Token == "" {
		return Token{}, refusalOf(response, text, media == "application/json")
	}
	value, err := clean([]byte(said.Token))
	return Token{Origin: s.Origin, Front: OwnLogin, Value: value,
		Expires: s.Now().Add(time.Duration(said.Seconds) * time.Second).UTC().Truncate(time.Second)}, err
}
