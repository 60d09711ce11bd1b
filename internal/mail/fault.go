package mail

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"strconv"

	"jitaccess/internal/access"
)

// step is where in a conversation something went wrong.
type step string

const (
	atPassword  step = "reading the password"
	atToken     step = "getting an access token"
	atConnect   step = "connecting"
	atGreeting  step = "the greeting"
	atHello     step = "EHLO"
	atTLS       step = "starting TLS"
	atLogin     step = "the log-in"
	atSender    step = "the sender"
	atRecipient step = "a recipient"
	atMessage   step = "the message"
	atAnswer    step = "the answer to the message, which may arrive nevertheless"
)

// maxReply is how much of a server's answer is kept, in bytes.
const maxReply = 160

// fault says what went wrong at a step. go-mail classifies only part of what can
// happen, and its texts hold what the server said as it said it, so the cause is put
// in our own words and is not wrapped.
func fault(ctx context.Context, at step, err error) error {
	var (
		own   *access.Error
		reply *textproto.Error
		e     = access.Error{Kind: access.Unavailable, Code: access.CodeUpstreamFailed, Args: access.Args{"service": "mail server"}}
		say   = func(text string) { e.Err = fmt.Errorf("mail: %s: %s", at, text) }
	)
	switch {
	case (at == atPassword || at == atToken) && errors.As(err, &own):
		return err
	case ctx.Err() != nil || isTimeout(err):
		e.Kind, e.Code = access.TimedOut, access.CodeUpstreamTimeout
		say("no answer in time")
	case at == atPassword || at == atToken:
		e.Kind = access.Upstream
		e.Err = fmt.Errorf("mail: %s: %w", at, err)
	case errors.As(err, &reply):
		if reply.Code >= 500 {
			e.Kind = access.Upstream
		}
		if at == atAnswer {
			at = atMessage
		}
		text := quoted(reply.Msg)
		if at == atLogin {
			// It may hold what we have just sent.
			text = enhancedCode(reply.Msg)
		}
		say(strconv.Itoa(reply.Code) + " " + text + hint(reply))
	case errors.Is(err, errNoTLS), errors.Is(err, errNoMechanism):
		e.Kind = access.Upstream
		say(err.Error())
	case errors.Is(err, errTooMuch):
		e.Kind = access.Upstream
		say(errTooMuch.Error())
	case at == atTLS:
		e.Kind = access.Upstream
		say(certificateFault(err))
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		say("the server closed the connection")
	case at == atLogin:
		say("the connection broke, or the answer made no sense")
	default:
		say(quoted(err.Error()))
	}
	return &e
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()
}

// certificateFault names what an operator can act on. The names in a certificate
// are the server's to choose and are left out.
func certificateFault(err error) string {
	var (
		hostname  x509.HostnameError
		authority x509.UnknownAuthorityError
		invalid   x509.CertificateInvalidError
		record    tls.RecordHeaderError
	)
	switch {
	case errors.As(err, &hostname):
		return "the server's certificate is not for " + quoted(hostname.Host)
	case errors.As(err, &authority):
		return "the server's certificate is signed by nobody whom this system trusts"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "the server's certificate has expired or is not valid yet"
	case errors.As(err, &record):
		return "the server, or somebody on the way, answered in clear text"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the server closed the connection"
	}
	return quoted(err.Error())
}

// hint adds the diagnosis to answers that operators meet often.
func hint(reply *textproto.Error) string {
	switch enhanced := enhancedCode(reply.Msg); {
	case enhanced == "5.7.30":
		return " (this Exchange Online tenant does not take passwords for sending)"
	case reply.Code == 534 && enhanced == "5.7.9":
		return " (Gmail wants an app password for this account)"
	case reply.Code == 535:
		return " (user name or password is wrong)"
	}
	return ""
}

// enhancedCode is the status at the beginning of an answer, like 5.7.8 (RFC 3463).
func enhancedCode(text string) string {
	end := 0
	for end < len(text) && (text[end] == '.' || '0' <= text[end] && text[end] <= '9') {
		end++
	}
	return text[:end]
}

// quoted makes what a server said safe for a log: short, ASCII, on one line.
func quoted(text string) string {
	if len(text) > maxReply {
		text = text[:maxReply] + "..."
	}
	return strconv.QuoteToASCII(text)
}

// replyCode is the code of the server's answer in err; 0 when it did not answer.
func replyCode(err error) int {
	var reply *textproto.Error
	if errors.As(err, &reply) {
		return reply.Code
	}
	return 0
}
