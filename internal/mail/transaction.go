package mail

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"net"
	"net/textproto"

	"jitaccess/internal/outbound"
)

// send hands over the message to whomever the server takes it for. refused are the
// others, and why. err is what ended it for all who had not been refused before; it
// is among theirs. Afterwards the session is good for another message unless it is
// broken.
func (s *session) send(data []byte, sender string, recipients []string) (refused map[string]error, err error) {
	answered := outbound.Begin(s.ctx, observedAs, "send")
	s.conn.left, s.handedOver = maxReceived, false
	refused = map[string]error{}
	err = s.transact(data, sender, recipients, refused)
	if err != nil {
		for _, to := range recipients {
			refused[to] = cmp.Or(refused[to], err)
		}
	}
	// A server that says more than was asked is out of step with what comes next.
	s.broken = s.broken || s.saysMore()
	nobody := err
	if nobody == nil && len(refused) == len(recipients) {
		nobody = refused[recipients[0]]
	}
	answered(statusOf(nobody))
	return refused, err
}

// observedAs is what observers call mail servers.
const observedAs = "smtp"

func (s *session) transact(data []byte, sender string, recipients []string, refused map[string]error) error {
	if taken, err := s.envelope(sender, recipients, refused); !taken {
		return err
	}
	if s.saysMore() {
		return s.breakOff(atMessage, errUnasked)
	}
	// In one write: when that fails, the end of the message has not been sent.
	if err := s.say(wire(data)); err != nil {
		return s.breakOff(atMessage, err)
	}
	s.handedOver = true
	err := s.hear(2)
	switch {
	case err == nil:
		return nil
	case refusal(err):
		return s.fault(atAnswer, err)
	case replyCode(err) != 0:
		err = errSenseless
	}
	return s.breakOff(atAnswer, err)
}

// envelope names sender and recipients. taken is whether the server now waits for
// the message; if not, and if there is no error, everybody is in refused.
func (s *session) envelope(sender string, recipients []string, refused map[string]error) (taken bool, err error) {
	if err := s.ask(atSender, "MAIL FROM:<"+sender+">\r\n", 2); err != nil {
		return false, err
	}
	for _, recipient := range recipients {
		no := s.ask(atRecipient, "RCPT TO:<"+recipient+">\r\n", 2)
		if s.broken {
			return false, no
		}
		if no != nil {
			refused[recipient] = no
		}
	}
	if len(refused) < len(recipients) {
		if err = s.ask(atMessage, "DATA\r\n", 3); err == nil {
			return true, nil
		}
	}
	if !s.broken { // the next envelope begins from nothing
		s.ask(atMessage, "RSET\r\n", 2)
	}
	return false, err
}

// ask says a command, and returns why the server refuses it. The session is broken if
// that is not answered by any answer at all.
func (s *session) ask(at step, command string, class int) error {
	err := s.say([]byte(command))
	if err == nil {
		err = s.hear(class)
	}
	switch {
	case err == nil:
		return nil
	case refusal(err) && !s.broken:
		return s.fault(at, err)
	}
	return s.breakOff(at, err)
}

// say sends in one write what fits one.
func (s *session) say(text []byte) error {
	s.extend()
	// A writer that has failed fails again.
	_, _ = s.client.Text.W.Write(text)
	return s.client.Text.W.Flush()
}

// hear reads one answer, whose code must begin with the digit class. After 421 the
// server closes the connection (RFC 5321, 3.8).
func (s *session) hear(class int) error {
	s.extend()
	_, text, err := s.client.Text.ReadResponse(class)
	if err == nil {
		s.answer = text
	}
	s.broken = s.broken || replyCode(err) == 421
	return err
}

// saysMore is whether something of the server's has come that nobody asked for.
func (s *session) saysMore() bool { return s.client.Text.R.Buffered() > 0 }

// breakOff is for faults after which the two sides may not mean the same any more.
func (s *session) breakOff(at step, err error) error {
	s.broken = true
	return s.fault(at, err)
}

// fault says what went wrong, and whether it may be otherwise in a moment.
func (s *session) fault(at step, err error) error {
	failed := faultWithout(s.ctx, s.secret, at, err)
	failed.Err.(*Fault).passes = s.ctx.Err() == nil && passes(at, err)
	return failed
}

func temporary(err error) bool {
	f, ok := errors.AsType[*Fault](err)
	return ok && f.passes
}

func passes(at step, err error) bool {
	var lookUp *net.DNSError
	var refused *proxyRefusal
	c, _, _ := causeOf(at, err)
	switch code := replyCode(err); {
	case code != 0:
		return 400 <= code && code < 500
	case c == tooMuch, at == atAnswer:
		return false
	case at == atConnect:
		return !(errors.As(err, &lookUp) && lookUp.IsNotFound) && !errors.As(err, &refused)
	}
	return c == brokenOff || isTimeout(err)
}

// refusal is whether the server has answered, and in the negative.
func refusal(err error) bool {
	code := replyCode(err)
	return 400 <= code && code < 600
}

// wire is a message as SMTP transports it: the lines that begin with a dot with
// another one, and the lone dot at the end.
func wire(message []byte) []byte {
	var b bytes.Buffer
	b.Grow(len(message) + len(message)/64 + 16)
	// Writing into memory does not fail.
	dots := textproto.NewWriter(bufio.NewWriter(&b)).DotWriter()
	_, _ = dots.Write(message)
	_ = dots.Close()
	return b.Bytes()
}

var (
	errUnasked   = errors.New("the server says more than it was asked")
	errSenseless = errors.New("the server's answer makes no sense there")
)
