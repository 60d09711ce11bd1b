package mail

import (
	"context"
	"crypto/tls"
	"fmt"

	"jitaccess/internal/access"
)

// Probe goes through a conversation with the server as far as the log-in, and if
// there is somebody to send to, sends them a mail that says so. passed is told of
// each step that was taken; the error is of the one that failed. Other than for a
// notice the password is read afresh, so that what is tried is what is configured.
func (m *Mailer) Probe(ctx context.Context, to access.Principal, passed func(step string)) error {
	var password string
	if m.c.Username != "" {
		raw, err := m.c.Password(ctx)
		if err == nil {
			password, err = cleanPassword(raw)
		}
		if err != nil {
			return fault(ctx, atPassword, err)
		}
	}
	s, err := m.open(ctx, password, passed)
	if err != nil {
		return err
	}
	defer s.close()
	if to == "" {
		_ = s.client.Quit()
		return nil
	}
	address, err := m.address(to)
	if err != nil {
		return err
	}
	now := m.c.Now()
	message, err := m.encode(ctx, letter{
		to: []string{address}, subject: "Test mail", date: now, id: fmt.Sprintf("test-%d@%s", now.UnixNano(), m.composer.domain),
		text: testMail, html: "<p>" + testMail + "</p>",
	})
	if err != nil {
		return err
	}
	if m.c.Sign != nil {
		passed("signed with DKIM")
	}
	refused, err := s.send(message, m.c.Sender, []string{address})
	if err == nil {
		err = refused[address]
	}
	if err == nil {
		passed(fmt.Sprintf("the server accepted a mail to %s; whether it arrives, look there", address))
	}
	return err
}

const testMail = "An operator of the access service sent this to see that mail works. There is nothing to do."

// protection says how the conversation is protected.
func (s *session) protection() string {
	state, ok := s.client.TLSConnectionState()
	if !ok {
		return "without TLS, on this machine"
	}
	return tls.VersionName(state.Version) + " with a certificate for this host"
}
