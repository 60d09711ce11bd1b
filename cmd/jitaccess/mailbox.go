package main

import (
	"context"
	"fmt"

	"jitaccess/internal/access"
	"jitaccess/internal/config"
	"jitaccess/internal/events"
	"jitaccess/internal/mail"
	"jitaccess/internal/mailbox"
)

// newMarks makes the Message-IDs by which mails that come back are known; nil where none are read.
// secrets are the service's own keys, the newest first; without a ledger there are none, and
// SIGNING_KEY is read for this alone.
func newMarks(ctx context.Context, c *config.Config, google *cloud, secrets [][]byte) (*mailbox.Marks, error) {
	if c.Mailbox.Host == "" {
		return nil, nil
	}
	if len(secrets) == 0 {
		text, err := keptText(ctx, "SIGNING_KEY", c.Ledger.SigningKey, google.here)
		if err == nil {
			secrets, err = config.ParseKeys(text)
		}
		if err != nil {
			return nil, fmt.Errorf("SIGNING_KEY: %w", err)
		}
	}
	return mailbox.NewMarks(secrets...)
}

// newMailbox makes what reads the mailbox to which mails come back; nil where there is none. It is
// reached as the mail server is (sends), and what it says is taken in by bounced.
func newMailbox(all *config.Config, sends mail.Config, marks *mailbox.Marks, google *cloud, k clock, warn func(string),
	bounced func(context.Context, string, access.Bounce) (bool, error)) (*mailbox.Mailbox, error) {
	c := all.Mailbox
	if c.Host == "" {
		return nil, nil
	}
	mc := mailbox.Config{
		Host: c.Host, Port: c.Port, ImplicitTLS: implicitIMAP(c), Roots: sends.Roots, CA: sends.CA, Dial: sends.Dial,
		Username: c.Username, Login: sends.Login, Token: sends.Token, Folder: c.Folder, Keep: c.Keep,
		RequestOf: marks.RequestOf, Now: k.now,
		Heard: func(ctx context.Context, request string, f mailbox.Failure) (known bool, err error) {
			came := access.Bounce{To: f.To, Status: f.Status, Text: f.Text}
			came.Meaning, came.Remedy = mail.ExplainBounce(f.Status, f.Text)
			return bounced(ctx, request, came)
		},
	}
	switch {
	case !c.Password.IsZero():
		mc.Token = false
		mc.Login = mail.Password(oneLine("IMAP password", stored(google.secret, c.Password)), k.now)
	case sends.Token && c.Username != sends.Username:
		tokens, err := newTokens(all, c.Username, google, k, warn)
		if err != nil {
			return nil, err
		}
		mc.Login = tokens
	}
	return mailbox.New(mc)
}

// implicitIMAP is whether TLS begins with the first byte (RFC 8314, 3.2).
func implicitIMAP(c config.Mailbox) bool { return c.Port == 993 }

// hear reads the mailbox until ctx ends: as soon as there is news where the process lives long, and
// otherwise once a minute, when it runs. It has nothing to do with the sweep, and keeps nothing of
// that waiting.
func (s *sweeper) hear(ctx context.Context) {
	if s.mailbox == nil {
		return
	}
	read := s.mailbox.Look
	if s.platform == config.Host {
		read = s.mailbox.Listen
	}
	every(ctx, s.clock, sweepEvery, func() { s.surviving(func() { s.heard(ctx, read) }) })
}

// heard reads the mailbox, and says in the log why it could not.
func (s *sweeper) heard(ctx context.Context, read func(context.Context) error) {
	if err := read(s.observing.calls(ctx)); err != nil && ctx.Err() == nil {
		s.log.Warn("the mailbox to which mails come back could not be read", "event", events.MailWarning, "error", err)
	}
}

// looking reads the mailbox once beside something else; wait returns when it is done.
func (s *sweeper) looking(ctx context.Context) (wait func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		if s.mailbox != nil {
			s.surviving(func() { s.heard(ctx, s.mailbox.Look) })
		}
	}()
	return func() { <-done }
}
