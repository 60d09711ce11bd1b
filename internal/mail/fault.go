package mail

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/outbound"
)

// step is where in a conversation something went wrong.
type step string

const (
	atTurn        step = "waiting for its turn"
	atSigning     step = "signing"
	atPassword    step = "reading the password"
	atToken       step = "getting an access token"
	atAuthorities step = "reading who may sign the server's certificate"
	atResolve     step = "looking up the name"
	atConnect     step = "connecting"
	atGreeting    step = "the greeting"
	atHello       step = "EHLO"
	atTLS         step = "starting TLS"
	atLogin       step = "the log-in"
	atTokenLogin  step = "the log-in with an access token"
	atSender      step = "the sender"
	atRecipient   step = "a recipient"
	atMessage     step = "the message"
	atAnswer      step = "the answer to the message, which may arrive nevertheless"
)

// Fault is what went wrong between us and the mail server, or the endpoint that
// issues tokens for it. Nothing in it is a secret.
type Fault struct {
	// Step is where it went wrong.
	Step string
	// Code and Enhanced are of the server's answer, as 535 and "5.7.8"; zero for none.
	Code     int
	Enhanced string
	// Reply is what the server, the token endpoint or the system said, cleaned; or empty.
	Reply string
	// Meaning is one sentence for an operator, Remedy which setting or page of which
	// console puts it right.
	Meaning, Remedy string

	// own is what one of our own packages said; it is fit for the log.
	own error
	// passes is whether it may be over in a moment, and it is certain that the server
	// has not taken the message.
	passes bool
}

// Error is for the log.
func (f *Fault) Error() string { return "mail: " + f.What() + ": " + f.Meaning + " " + f.Remedy }

// What says where it went wrong and what was said there.
func (f *Fault) What() string {
	if said := f.Said(); said != "" {
		return f.Step + ": " + said
	}
	return f.Step
}

// Said is what was said there; it may be empty.
func (f *Fault) Said() string {
	var parts []string
	if f.Code != 0 {
		parts = append(parts, strings.TrimSpace(strconv.Itoa(f.Code)+" "+f.Enhanced))
	}
	if f.Reply != "" {
		parts = append(parts, strconv.QuoteToASCII(f.Reply))
	}
	if f.own != nil {
		parts = append(parts, because(f.own).Error())
	}
	return strings.Join(parts, ": ")
}

// because is the cause of an error of ours: the sentences say the rest in words.
func because(err error) error {
	for {
		e, ok := err.(*access.Error)
		if !ok || e.Err == nil {
			return err
		}
		err = e.Err
	}
}

// Explain is what an operator wants to know, in parts.
func (f *Fault) Explain() (what, meaning, remedy string) { return f.What(), f.Meaning, f.Remedy }

func (f *Fault) Unwrap() error { return f.own }

// refusedToken is implemented by errors of the token endpoint's client.
type refusedToken interface {
	// OAuthError is the error code and its description (RFC 6749, 5.2).
	OAuthError() (code, description string)
}

// fault says what went wrong at a step. go-mail classifies only part of what can
// happen, and its texts hold what the server said as it said it, so only errors of
// our own are wrapped. Its Err is a *Fault.
func fault(ctx context.Context, at step, err error) error { return faultWithout(ctx, "", at, err) }

// faultWithout does not tell the secret, should the server repeat it.
func faultWithout(ctx context.Context, secret string, at step, err error) *access.Error {
	s, f := symptomsOf(ctx, secret, at, err)
	x := explain(s)
	f.Meaning, f.Remedy = x.meaning, x.remedy
	e := &access.Error{Kind: access.Unavailable, Code: access.CodeUpstreamFailed, Args: access.Args{"service": "mail server"}, Err: f}
	var own *access.Error
	switch {
	case errors.As(f.own, &own):
		e.Kind, e.Code, e.Field, e.Args = own.Kind, own.Code, own.Field, own.Args
	case s.cause == timedOut, s.cause != answered && ctx.Err() != nil:
		e.Kind, e.Code = access.TimedOut, access.CodeUpstreamTimeout
	case s.cause == answered && s.code < 500, slices.Contains(outOfReach, s.cause):
	default:
		e.Kind = access.Upstream
	}
	return e
}

// outOfReach are the causes by which a mail server cannot be had now.
var outOfReach = []cause{noSuchHost, noResolver, portClosed, noRoute, proxyFailed, brokenOff, otherwise, overPace}

// noAddress says that there is nowhere to send a person's mail.
func noAddress(err error) *access.Error {
	x := explain(symptom{at: atRecipient, cause: badAddress})
	return &access.Error{Kind: access.Invalid, Code: access.CodeBadInput, Args: access.Args{"reason": "address"},
		Err: &Fault{Step: string(atRecipient), Meaning: x.meaning, Remedy: x.remedy, own: err}}
}

// symptomsOf finds out what can be known.
func symptomsOf(ctx context.Context, secret string, at step, err error) (symptom, *Fault) {
	var (
		own   *access.Error
		reply *textproto.Error
		token refusedToken
	)
	s, f := symptom{at: at}, &Fault{}
	said, names := "", ""
	switch {
	case errors.As(err, &token):
		s.at, s.cause = atToken, noToken
		s.oauth, said = token.OAuthError()
		f.own = err
	case readsSettings(at) && errors.As(err, &own):
		s.cause, f.own = noSecret, err
		if own.Kind == access.TimedOut {
			s.cause = timedOut
		}
		s.text = strings.ToLower(err.Error())
	case errors.As(err, &reply):
		s.cause, s.code, said = answered, reply.Code, reply.Msg
		s.enhanced = enhancedCode(reply.Msg)
		if at == atAnswer {
			s.at = atMessage
		}
	case at == atResolve && isTimeout(err):
		s.cause = noResolver
	case (ctx.Err() != nil || isTimeout(err)) && !onTheWay(err):
		s.cause = timedOut
	case at == atTurn:
		s.cause, f.own = overPace, err
	case readsSettings(at):
		s.cause, f.own = badSecret, err
	default:
		s.cause, names, said = causeOf(at, err)
	}
	f.Step, f.Code, f.Enhanced = string(s.at), s.code, s.enhanced
	if s.at == atTokenLogin {
		f.Step = string(atLogin)
	}
	switch {
	case f.own != nil:
		// It has been cleaned, and is in own.
	case secret == "" && (at == atLogin || at == atTokenLogin) && s.cause != noMechanism:
		// It may hold what we have just sent, which is not known here.
	default:
		f.Reply = names + cleaned(said, secret)
	}
	if s.text == "" {
		s.text = strings.ToLower(oneLine(said))
	}
	return s, f
}

// readsSettings is whether a step reads what an operator has stored.
func readsSettings(at step) bool {
	return at == atPassword || at == atToken || at == atAuthorities || at == atSigning
}

// causeOf is why there is no answer; what is known of the certificate, if that is why;
// and what else the error says, where that is more than the explanation.
func causeOf(at step, err error) (c cause, certificate, said string) {
	var (
		operation *net.OpError
		name      *net.DNSError
		hostname  x509.HostnameError
		authority x509.UnknownAuthorityError
		invalid   x509.CertificateInvalidError
		record    tls.RecordHeaderError
	)
	switch {
	case errors.Is(err, errNoTLS):
		return noTLS, "", ""
	case errors.Is(err, errNoMechanism):
		return noMechanism, "", err.Error()
	case errors.Is(err, errTooMuch):
		return tooMuch, "", err.Error()
	case errors.As(err, &hostname):
		return wrongName, "the certificate is for " + some(namesOf(hostname.Certificate)) + ", not for " + hostname.Host, ""
	case errors.As(err, &authority) && authority.Cert != nil:
		return unknownRoots, "the certificate is signed by " + some([]string{issuer(authority.Cert)}), ""
	case errors.As(err, &authority):
		return unknownRoots, "", ""
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired && invalid.Cert == nil:
		return wrongTime, "", ""
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		day := func(t time.Time) string { return t.UTC().Format(time.DateOnly) }
		return wrongTime, "the certificate is valid from " + day(invalid.Cert.NotBefore) + " until " + day(invalid.Cert.NotAfter), ""
	case errors.As(err, &record):
		return clearText, "", ""
	// As net/http and golang.org/x/net name what they do with a proxy.
	case errors.As(err, &operation) && (operation.Op == "proxyconnect" || strings.HasPrefix(operation.Op, "socks")):
		return proxyFailed, "", err.Error()
	case errors.As(err, &name) && name.IsNotFound:
		return noSuchHost, "", err.Error()
	case errors.As(err, &name):
		return noResolver, "", err.Error()
	case errors.Is(err, syscall.ECONNREFUSED):
		return portClosed, "", ""
	case isAny(err, syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.EACCES, syscall.EPERM):
		return noRoute, "", ""
	case isAny(err, io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, syscall.ECONNRESET, syscall.EPIPE, syscall.ECONNABORTED):
		return brokenOff, "", ""
	case at == atTLS:
		return failedTLS, "", err.Error()
	}
	return otherwise, "", err.Error()
}

func isAny(err error, these ...error) bool {
	return slices.ContainsFunc(these, func(one error) bool { return errors.Is(err, one) })
}

// onTheWay is whether it was not the mail server that took too long.
func onTheWay(err error) bool {
	c, _, _ := causeOf(atConnect, err)
	return c == noResolver || c == noSuchHost || c == proxyFailed
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()
}

// enhancedCode is the status at the beginning of an answer, like 5.7.8 (RFC 3463), or "".
func enhancedCode(text string) string {
	if at := status().FindStringIndex(text); at != nil && at[0] == 0 {
		return strings.TrimSpace(text[:at[1]])
	}
	return ""
}

// replyCode is the code of the server's answer in err; 0 when it did not answer.
func replyCode(err error) int {
	if reply, ok := errors.AsType[*textproto.Error](err); ok {
		return reply.Code
	}
	return 0
}

// statusOf is the code of what came of a step, for observers: 0 where no answer came.
func statusOf(err error) int {
	if err == nil {
		return outbound.OK
	}
	f, _ := errors.AsType[*Fault](err)
	if f == nil {
		return outbound.NoAnswer
	}
	return f.Code
}
