package client

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"jitaccess/internal/loopback"
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
	if r.Method != http.MethodGet || !a.meant(r.Host) || subtle.ConstantTimeCompare([]byte(r.URL.Path), []byte(a.path)) != 1 {
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

// meant is whether a host is this machine's own: a page whose name was made to lead here has its
// own there.
func (a *arrivals) meant(host string) bool {
	name, port, err := net.SplitHostPort(host)
	return err == nil && port == a.port && loopback.Is(name)
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
	// By https, and without a user, behind which another host would be hidden.
	if _, bad := ParseOrigin(address); err != nil || response.StatusCode != http.StatusOK || bad != nil {
		return "", fmt.Errorf("the answer of Pomerium (%d) does not say where to log in; its programmatic access may be switched off",
			response.StatusCode)
	}
	if err := s.Browse(ctx, address, ""); err != nil {
		return "", err
	}
	q, err := a.wait(ctx)
	if err != nil {
		return "", err
	}
	token, err := clean([]byte(q.Get("pomerium_jwt")))
	if err != nil {
		return "", err
	}
	return token, s.isForHere(token)
}

// isForHere returns why a token of Pomerium's does not go to the service: it says for which hosts it is, as one does
// where Pomerium keeps the sessions itself, and none of them is the service's. Whoever is at another host can have
// shown Pomerium's own page with the address of this program, and would be sent what opens the other.
// https://github.com/pomerium/pomerium/blob/main/internal/authenticateflow/stateful.go (SignIn)
func (s SignIn) isForHere(token string) error {
	var said struct {
		Aud json.RawMessage `json:"aud"`
	}
	_ = json.Unmarshal(payloadOf(token), &said)
	var hosts []string
	if one := ""; json.Unmarshal(said.Aud, &one) == nil {
		hosts = []string{one}
	} else if len(said.Aud) > 0 && json.Unmarshal(said.Aud, &hosts) != nil {
		return errors.New("the token that the browser has brought does not say for which host it is; begin again")
	}
	here, err := url.Parse(string(s.Origin))
	if err != nil {
		return err
	}
	if len(hosts) > 0 && !slices.ContainsFunc(hosts, func(host string) bool {
		return strings.EqualFold(host, here.Host) || strings.EqualFold(host, here.Hostname())
	}) {
		return fmt.Errorf("the token that the browser has brought is for %q, and not for %s, which may be after it; it was not sent. "+
			"If one of them is the one that you mean, begin again with its address", hosts, s.Origin)
	}
	return nil
}
