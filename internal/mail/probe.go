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
// notice the password is read, or the token fetched, afresh, so that what is tried is what is configured.
func (m *Mailer) Probe(ctx context.Context, to access.Principal, passed func(step string)) error {
	var secret string
	if m.c.Login != nil {
		var err error
		if secret, err = m.c.Login.Fresh(ctx); err != nil {
			return m.noSecret(ctx, err)
		}
	}
	s, err := m.open(ctx, secret, passed)
	if err != nil {
		if _, reason := m.another(ctx, secret, err); reason != nil {
			return reason
		}
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
	refused, err := s.send(m.message(letter{
		to: []string{address}, subject: "Test mail", date: now, id: fmt.Sprintf("test-%d@%s", now.UnixNano(), m.composer.domain),
		text: testMail, html: "<p>" + testMail + "</p>",
	}), m.c.Sender, []string{address})
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
