package mailbox

import (
	"context"
	"crypto/x509"
	"errors"
	"strconv"
	"strings"

	"github.com/emersion/go-imap/v2"

	"jitaccess/internal/access"
	"jitaccess/internal/redact"
)

// step is where in a conversation something went wrong.
type step string

const (
	atSecret      step = "getting what to log in with"
	atAuthorities step = "reading who may sign the server's certificate"
	atConnect     step = "connecting"
	atTLS         step = "TLS"
	atGreeting    step = "the greeting"
	atLogin       step = "the log-in"
	atFolder      step = "the folder"
	atReading     step = "reading"
	atListening   step = "waiting for mail"
)

// meanings are what it means that a step failed, and what to look at.
var meanings = map[step][2]string{
	atSecret: {"The password cannot be read, or no access token can be had.", "See where IMAP_PASSWORD, or with SMTP_AUTH=oauth2 the " +
		"variables SMTP_OAUTH_…, say that it is."},
	atAuthorities: {"The certificates in SMTP_CA cannot be read.", "See what SMTP_CA says."},
	atConnect:     {"Nothing answers there.", "See IMAP_HOST and IMAP_PORT, and whether IMAP is on and the network lets the service out."},
	atTLS: {"The conversation could not be protected.", "TLS begins with the first byte at port 993, and by STARTTLS, which is demanded, at " +
		"any other. The certificate must be for IMAP_HOST, by an authority that the system or SMTP_CA trusts."},
	atGreeting: {"The server does not take the conversation.", "See whether IMAP_HOST and IMAP_PORT are those of an IMAP server."},
	atLogin: {"The mailbox does not let the service in.", "See IMAP_USERNAME and IMAP_PASSWORD, and that IMAP is on for the " +
		"mailbox. Exchange Online and Gmail take no plain password: set SMTP_AUTH=oauth2; the application needs IMAP.AccessAsApp " +
		"and the mailbox, or the scope https://mail.google.com/ (docs/mailbox.md)."},
	atFolder:    {"The folder cannot be used.", "See IMAP_FOLDER, and that the mailbox may change it."},
	atReading:   {"The conversation broke off.", "Nothing, unless it stays so: it is tried again within a minute."},
	atListening: {"The conversation broke off.", "Nothing, unless it stays so: it is tried again within a minute."},
}

// Fault is what went wrong with the mailbox, in parts. It holds no secret.
type Fault struct {
	// Step is where, Said what the server or the system said there, cleaned; it may be empty.
	Step, Said string
	// Meaning is a sentence for an operator, Remedy what to look at.
	Meaning, Remedy string

	cause error
	// refused is whether the server has answered, and in the negative.
	refused bool
}

// Error is for the log.
func (f *Fault) Error() string { return "mailbox: " + f.What() + ": " + f.Meaning + " " + f.Remedy }

// What says where it went wrong and what was said there.
func (f *Fault) What() string {
	if f.Said == "" {
		return f.Step
	}
	return f.Step + ": " + f.Said
}

// Explain is what an operator wants to know, in parts.
func (f *Fault) Explain() (what, meaning, remedy string) { return f.What(), f.Meaning, f.Remedy }

// Unwrap is the cause where one of our own packages has said it, or time was over.
func (f *Fault) Unwrap() error { return f.cause }

// fault says what went wrong at a step. What servers say is repeated without the secret and
// whatever else may be one.
func fault(ctx context.Context, at step, secret string, err error) *Fault {
	f := &Fault{Step: string(at), Meaning: meanings[at][0], Remedy: meanings[at][1]}
	var (
		own     *access.Error
		answer  *imap.Error
		unnamed x509.HostnameError
	)
	switch {
	case ctx.Err() != nil:
		f.cause, f.Said, f.Meaning = ctx.Err(), "", "It took too long."
	case errors.As(err, &answer):
		f.refused = answer.Type == imap.StatusResponseTypeNo
		f.Said = strconv.QuoteToASCII(cleaned(string(answer.Type)+" "+string(answer.Code)+" "+answer.Text, secret))
	case at == atSecret || at == atAuthorities:
		f.cause, f.Said = err, cleaned(err.Error(), secret)
		if errors.As(err, &own) && own.Err != nil {
			f.Said = cleaned(own.Err.Error(), secret)
		}
	case errors.As(err, &unnamed):
		f.Said = "the certificate is not for " + unnamed.Host
	default:
		f.Said = cleaned(err.Error(), secret)
	}
	return f
}

// fault is that of a session: the client does not wrap what ended it.
func (s *session) fault(ctx context.Context, at step, err error) *Fault {
	if s.conn != nil && s.conn.over.Load() {
		err = errTooMuch
	}
	return fault(ctx, at, s.secret, err)
}

// cleaned makes what others said fit to be shown and logged.
func cleaned(text, secret string) string {
	return access.Clip(redact.Words(redact.Answer(strings.Join(strings.Fields(access.Visible(text)), " "), secret)), maxSaid)
}
