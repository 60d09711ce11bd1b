package oauth

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"golang.org/x/oauth2"

	"jitaccess/internal/access"
	"jitaccess/internal/lazyregexp"
	"jitaccess/internal/outbound"
	"jitaccess/internal/redact"
)

// Fault is why there is no access token, or none that is good for anything. It
// holds no secret, and no byte of the endpoint that could disturb a log.
type Fault struct {
	// Code is the endpoint's, of RFC 6749, 5.2 and those that providers add; or one of
	// ours; or empty when the endpoint gave none.
	Code string
	// Description is the endpoint's, cut and quoted, or what we have to say.
	Description string
	// Status is of HTTP; 0 when there was no answer, or when it is not the point.
	Status int
	// Host is the endpoint's.
	Host string
}

// Codes of ours, for tokens that are not what was asked for.
const (
	// CodeOtherApplication: the token was issued to another application.
	CodeOtherApplication = "token-for-another-application"
	// The mail server has refused a token that is somebody else's, one for another service
	// of Microsoft's, or one of Microsoft's without the role by which an application sends.
	CodeOtherMailbox = "token-for-another-mailbox"
	CodeOtherService = "token-for-another-service"
	CodeMissingRole  = "token-without-role"
)

// Error is for the log.
func (f *Fault) Error() string {
	text := "oauth: " + f.Host
	if f.Status != 0 {
		text += " answered " + strconv.Itoa(f.Status)
	}
	if f.Code != "" {
		text += ": " + f.Code
	}
	return text + ": " + f.Description
}

// OAuthError is what an explanation goes by.
func (f *Fault) OAuthError() (code, description string) { return f.Code, f.Description }

// fault is about what the endpoint did or said.
func (s *Source) fault(kind access.Kind, status int, code, description string) *access.Error {
	return &access.Error{Kind: kind, Code: access.CodeUpstreamFailed, Args: access.Args{"service": "mail provider's log-in"},
		Err: &Fault{Code: code, Description: description, Status: status, Host: s.host}}
}

// late is that the time is over.
func (s *Source) late() *access.Error {
	e := s.fault(access.TimedOut, 0, "", "no answer in time")
	e.Code = access.CodeUpstreamTimeout
	return e
}

// refusesSecrets is whether an error is one that other secrets may mend.
func refusesSecrets(err error) bool {
	var f *Fault
	return errors.As(err, &f) && (f.Code == "invalid_client" || f.Code == "invalid_grant" || f.Status == http.StatusUnauthorized)
}

// explain puts into our own words why there was no token. The library's texts hold
// what the endpoint said as it said it, so they are not used.
func (s *Source) explain(ctx context.Context, said *exchange, err error) *access.Error {
	var refusal *oauth2.RetrieveError
	kind := access.Upstream
	if said.status >= 500 || said.status == http.StatusTooManyRequests {
		kind = access.Unavailable
	}
	switch {
	case ctx.Err() != nil:
		return s.late()
	case errors.Is(said.failure, outbound.TooLong{Max: maxAnswer}):
		return s.fault(kind, said.status, "", fmt.Sprintf("the answer has %d bytes or more; is the token URL right?", maxAnswer))
	case errors.As(err, &refusal) && refusal.ErrorCode != "":
		return s.fault(kind, said.status, s.code(refusal.ErrorCode), s.quoted(refusal.ErrorDescription))
	case errors.As(err, &refusal) && said.status < 400:
		return s.fault(kind, said.status, "", "the answer sends elsewhere, which is not followed; is the token URL right?")
	case errors.As(err, &refusal):
		return s.fault(kind, said.status, "", "the answer gives no reason in the way of OAuth; is the token URL right?")
	case said.failure != nil && said.status == 0:
		return s.fault(access.Unavailable, 0, "", s.unreachable(said.failure))
	case said.failure != nil:
		return s.fault(access.Unavailable, said.status, "", "the connection broke")
	}
	return s.fault(kind, said.status, "", "the answer is no token; is the token URL right?")
}

// unreachable says why there was no answer, as far as that can be known to hold no
// secret: of others, such as a proxy's, only that it was so.
func (s *Source) unreachable(err error) string {
	var (
		dns         *net.DNSError
		dial        *net.OpError
		certificate *tls.CertificateVerificationError
		record      tls.RecordHeaderError
	)
	why := "the connection broke"
	switch {
	case errors.As(err, &dns), errors.As(err, &dial), errors.As(err, &certificate):
		why = s.quoted(err.Error())
	case errors.As(err, &record):
		why = "it does not speak TLS"
	}
	return "it cannot be reached: " + why
}

var codePattern = lazyregexp.New(`^[A-Za-z0-9_.-]{1,64}$`)

func (s *Source) code(text string) string {
	if codePattern().MatchString(text) && redact.Answer(text, s.sent()...) == text {
		return text
	}
	return s.quoted(text)
}

// maxDescription is how much of a description is kept, in bytes. Microsoft's begin
// with a code and end with identifiers for its support.
const maxDescription = 400

// quoted makes what the endpoint said safe for a log: short, ASCII, on one line, and
// without what it was sent.
func (s *Source) quoted(text string) string {
	text = access.Clip(redact.Answer(text, s.sent()...), maxDescription)
	return strconv.QuoteToASCII(strings.ReplaceAll(text, "…", "..."))
}

// sent are the secrets that the endpoint was sent, also as they are sent.
func (s *Source) sent() (all []string) {
	for _, secret := range []string{s.flow.ClientSecret, s.flow.EndpointParams.Get("refresh_token"), s.flow.EndpointParams.Get("assertion")} {
		all = append(all, secret, url.QueryEscape(secret))
	}
	return all
}

// maxAnswer bounds what the endpoint may say. A token has a few kilobytes.
const maxAnswer = 64 << 10

// exchange bounds an answer, and remembers of it what the library does not tell.
type exchange struct {
	base http.RoundTripper

	// status is of the answer, 0 if there was none, and failure why it ended early.
	status  int
	failure error
}

func (e *exchange) RoundTrip(r *http.Request) (*http.Response, error) {
	e.status = 0
	var response *http.Response
	if response, e.failure = e.base.RoundTrip(r); e.failure != nil {
		return nil, e.failure
	}
	e.status = response.StatusCode
	defer response.Body.Close()
	var text []byte
	if text, e.failure = io.ReadAll(outbound.Bound(response.Body, maxAnswer)); e.failure != nil {
		return nil, e.failure
	}
	response.Body = io.NopCloser(bytes.NewReader(text))
	return response, nil
}
