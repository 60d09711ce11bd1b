// Package client is the service as people and pipelines see it from outside: its JSON interface
// (docs/api.md), signing in as what stands before it demands, and the token that is kept
// meanwhile. It knows nothing of the service's insides, so that an older or a newer one is
// answered too: what it does not know of an answer it passes on as it came.
package client

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"jitaccess/internal/loopback"
	"jitaccess/internal/outbound"
)

const (
	// maxAnswer bounds an answer; a page of a history has some hundred kilobytes.
	maxAnswer = 8 << 20
	// callTimeout is longer than the service takes for any action, and than it lets anybody wait.
	callTimeout = 45 * time.Second
)

// Service is one deployment. Make it with a parsed Origin.
type Service struct {
	Origin Origin
	// Token is what the front takes; the zero Token says nothing of who calls.
	Token Token
	// Transport reaches it; nil is http.DefaultTransport, with the proxy of the environment.
	Transport http.RoundTripper
}

// Origin is scheme, host and port of a service, and nothing else. The zero value is none.
type Origin string

// ParseOrigin reads where a service is; what is behind its host, as in a link that was copied, is left out.
// Whatever is sent there must not be readable on the way: http is for this machine alone.
func ParseOrigin(text string) (Origin, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return "", fmt.Errorf("%q is not the address of a service, such as https://access.example.com", text)
	case u.User != nil:
		return "", fmt.Errorf("%q has a user in it", u.Redacted())
	case u.Scheme == "http" && !loopback.Is(u.Hostname()):
		return "", fmt.Errorf("%s: tokens are sent by https alone, unless the service is on this machine", u.Host)
	}
	host := strings.ToLower(u.Host)
	if standard := map[string]string{"https": ":443", "http": ":80"}[u.Scheme]; strings.HasSuffix(host, standard) {
		host = strings.TrimSuffix(host, standard)
	}
	return Origin(u.Scheme + "://" + host), nil
}

// Refusal is an answer that is not what was asked for.
type Refusal struct {
	// Status is that of HTTP.
	Status int
	// Message is for people, Code one word for the cause; both empty where something before the
	// service has answered.
	Message, Code string
	// Incident is by what operators find it in the log, Field what is wrong of what was sent.
	Incident, Field string
	header          http.Header
}

func (r *Refusal) Error() string {
	text := r.Message
	if r.ByFront() {
		text = fmt.Sprintf("what stands before the service answered %d %s", r.Status, http.StatusText(r.Status))
	}
	if r.Incident != "" {
		text += " (incident " + r.Incident + ")"
	}
	return text
}

// ByFront is whether something before the service has answered, such as a proxy that signs people in.
func (r *Refusal) ByFront() bool { return r.Code == "" }

// SignedOut is whether the answer is that nobody is signed in: by the service, or by a front that
// leads browsers to its sign-in page. An application's own token has nothing to do with that.
func (r *Refusal) SignedOut() bool {
	unknown := r.Status == http.StatusUnauthorized && r.Code != "bad-token" && r.Code != "no-token"
	return unknown || r.ByFront() && r.Status >= 300 && r.Status < 400
}

// Unreachable is that there was no answer, or none that could be read to its end.
type Unreachable struct {
	Origin Origin
	Err    error
	// MayHaveHappened is that something was sent that changes something: whether it has is not known then.
	MayHaveHappened bool
}

func (u *Unreachable) Error() string { return fmt.Sprintf("%s cannot be reached: %v", u.Origin, u.Err) }
func (u *Unreachable) Unwrap() error { return u.Err }

// Answer is what the service said: JSON, as it came.
type Answer json.RawMessage

// request is one call.
type request struct {
	method, path string
	query        url.Values
	// body is sent as JSON; nil is none.
	body any
	// header is sent beside what each call has.
	header http.Header
}

// changes is whether something happens by a call.
func (q request) changes() bool { return q.method != "" && q.method != http.MethodGet }

// call asks the JSON interface, reads the answer into a value, unless that is nil, and returns it
// as it came. Nothing is sent again by itself: most calls change something.
func (s *Service) call(ctx context.Context, q request, into any) (Answer, error) {
	response, err := s.send(ctx, q)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(outbound.Bound(response.Body, maxAnswer))
	if err != nil {
		return nil, &Unreachable{s.Origin, err, q.changes()}
	}
	media, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type"))
	isJSON := media == "application/json" || media == "application/problem+json"
	if response.StatusCode < 200 || response.StatusCode > 299 || !isJSON {
		return nil, refusalOf(response, text, isJSON)
	}
	if into != nil {
		if err := json.Unmarshal(text, into); err != nil {
			return nil, fmt.Errorf("the answer of %s%s is not as this version knows it: %w", s.Origin, q.path, err)
		}
	}
	return text, nil
}

// send makes the call, and follows no redirect: the token is for this origin alone.
func (s *Service) send(ctx context.Context, q request) (*http.Response, error) {
	var body io.Reader
	if q.body != nil {
		text, err := json.Marshal(q.body)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(text)
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	address := string(s.Origin) + q.path
	if len(q.query) > 0 {
		address += "?" + q.query.Encode()
	}
	r, err := http.NewRequestWithContext(ctx, cmp.Or(q.method, http.MethodGet), address, body)
	if err != nil {
		cancel()
		return nil, err
	}
	r.Header.Set("Accept", "application/json")
	r.Header.Set("X-JITACCESS", "1")
	if q.body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	s.Token.authorize(r.Header)
	for name, values := range q.header {
		r.Header[name] = values
	}
	var connected atomic.Bool // without which nothing was sent
	r = r.WithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected.Store(true) }}))
	response, err := outbound.Client("jitaccess", s.Transport).Do(r)
	if err != nil {
		cancel()
		return nil, &Unreachable{s.Origin, outbound.WithoutAddress(err), connected.Load() && q.changes()}
	}
	response.Body = ending{response.Body, cancel}
	return response, nil
}

// ending ends the context of a call once its answer was read.
type ending struct {
	io.ReadCloser
	cancel context.CancelFunc
}

func (e ending) Close() error {
	defer e.cancel()
	return e.ReadCloser.Close()
}

func refusalOf(response *http.Response, text []byte, isJSON bool) *Refusal {
	var said struct{ Message, Detail, Code, Incident, Field string }
	if isJSON && json.Unmarshal(text, &said) != nil {
		said.Code = ""
	}
	return &Refusal{Status: response.StatusCode, Message: oneLine(cmp.Or(said.Message, said.Detail)), Code: said.Code,
		Incident: oneLine(said.Incident), Field: said.Field, header: response.Header}
}

// oneLine is a text of the service's without line breaks, behind which it could speak as this program does.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
