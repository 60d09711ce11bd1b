package mail

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"net"
	"net/textproto"
	"strings"
)

// send hands over the message to whomever the server takes it for. refused are the
// others, and why. err is what ended it for all who had not been refused before; it
// is among theirs. Afterwards the session is good for another message unless it is
// broken.
func (s *session) send(data []byte, sender string, recipients []string) (refused map[string]error, err error) {
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
	return refused, err
}

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
// the message; if not, and if there is no error, everybody is in refused. Where the
// server offers PIPELINING (RFC 2920) all is said ahead, which costs one round trip
// rather than one for each command.
func (s *session) envelope(sender string, recipients []string, refused map[string]error) (taken bool, err error) {
	const data = "DATA\r\n"
	from, to := "MAIL FROM:<"+sender+">\r\n", make([]string, len(recipients))
	for i, recipient := range recipients {
		to[i] = "RCPT TO:<" + recipient + ">\r\n"
	}
	ahead, _ := s.client.Extension("PIPELINING")
	if ahead {
		if err := s.say([]byte(from + strings.Join(to, "") + data)); err != nil {
			return false, s.breakOff(atSender, err)
		}
	}
	// ask returns the server's refusal, and what ends the conversation.
	ask := func(at step, command string, class int) (no, err error) {
		if !ahead {
			err = s.say([]byte(command))
		}
		if err == nil {
			err = s.hear(class)
		}
		if refusal(err) && !s.broken {
			return s.fault(at, err), nil
		}
		if err != nil {
			return nil, s.breakOff(at, err)
		}
		return nil, nil
	}

	notFrom, err := ask(atSender, from, 2)
	if err == nil && !ahead {
		err = notFrom
	}
	if err != nil {
		return false, err
	}
	for i, recipient := range recipients {
		no, err := ask(atRecipient, to[i], 2)
		if err != nil {
			return false, err
		}
		if no != nil {
			refused[recipient] = no
		}
	}
	nobody := notFrom != nil || len(refused) == len(recipients)
	if nobody && !ahead {
		s.conclude(reset)
		return false, nil
	}
	notNow, err := ask(atMessage, data, 3)
	switch {
	case err != nil:
		return false, err
	case notNow != nil:
		s.conclude(reset)
	case !nobody:
		return true, nil
	default:
		// It waits for a message to nobody, and gets an empty one (RFC 2920, 3.1).
		s.conclude(".\r\n")
	}
	switch {
	case notFrom != nil:
		// What it said to the recipients only follows from that.
		clear(refused)
		return false, notFrom
	case nobody:
		return false, nil
	}
	return false, notNow
}

// reset takes back an envelope, so that the next one begins from nothing.
const reset = "RSET\r\n"

// conclude says what ends a transaction. The session is broken if that is not
// answered by any answer at all.
func (s *session) conclude(command string) {
	err := s.say([]byte(command))
	if err == nil {
		err = s.hear(2)
	}
	s.broken = s.broken || err != nil && !refusal(err)
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
