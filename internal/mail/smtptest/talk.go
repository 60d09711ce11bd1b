package smtptest

import (
	"bufio"
	"net"
	"strings"
	"sync"
	"testing"
)

// Talk is a server in clear text that takes mails like any other, but for what its
// answer says otherwise. It is for servers that keep to the protocol in odd ways.
type Talk struct {
	Host string
	Port int
	// answer returns the lines of the answer to a command, with CR LF each, and true to
	// replace the usual one. "" is the greeting, and "." the end of a message. Which
	// connection it is counts from 1. An empty answer is none, and Goodbye ends the
	// connection.
	answer func(connection int, command string) (string, bool)

	mutex    sync.Mutex
	heard    []string
	messages []Message
}

// Goodbye is an answer, or the end of one, after which the connection is closed.
const Goodbye = "goodbye"

// StartTalk starts a server that ends with the test.
func StartTalk(t testing.TB, answer func(connection int, command string) (string, bool)) *Talk {
	t.Helper()
	s := &Talk{answer: answer}
	s.Host, s.Port = Listen(t, s.serve)
	return s
}

// StartScript starts a server that answers each command with fixed bytes. Replies
// are keyed by the first word of a command, in capitals; "" is the greeting. Lines
// end in CR LF. A command without a reply ends the connection. It is for servers, and
// people on the way, that do not keep to the protocol.
func StartScript(t testing.TB, replies map[string]string) *Talk {
	t.Helper()
	return StartTalk(t, func(_ int, command string) (string, bool) {
		word, _, _ := strings.Cut(command, " ")
		reply, ok := replies[strings.ToUpper(word)]
		if !ok {
			reply = Goodbye
		}
		return reply, true
	})
}

// Heard are the commands, lone dots and what was broken off included, and not what
// messages consist of.
func (s *Talk) Heard() []string {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return append([]string(nil), s.heard...)
}

// Messages are the mails taken so far.
func (s *Talk) Messages() []Message {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return append([]Message(nil), s.messages...)
}

func (s *Talk) serve(n int, conn net.Conn) {
	var (
		lines   = bufio.NewReader(conn)
		message Message
		reading bool // a message
	)
	for command := ""; ; {
		verb, argument, _ := strings.Cut(command, ":")
		reply, odd := s.answer(n, command)
		if !odd {
			reply = usual[verb]
		}
		if taken := strings.HasPrefix(reply, "2"); taken {
			switch verb {
			case "MAIL FROM":
				message = Message{From: strings.Trim(argument, "<>")}
			case "RCPT TO":
				if message.From != "" {
					message.To = append(message.To, strings.Trim(argument, "<>"))
				}
			case ".":
				s.mutex.Lock()
				s.messages = append(s.messages, message)
				s.mutex.Unlock()
				message = Message{}
			}
		}
		if _, err := conn.Write([]byte(strings.TrimSuffix(reply, Goodbye))); err != nil || strings.HasSuffix(reply, Goodbye) {
			return
		}
		reading = verb == "DATA" && strings.HasPrefix(reply, "3")
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				if line != "" && !reading {
					s.hear(line)
				}
				return
			}
			command = strings.TrimSuffix(line, "\r\n")
			if !reading || command == "." {
				break
			}
			message.Data += strings.TrimPrefix(command, ".") + "\r\n"
		}
		s.hear(command)
	}
}

func (s *Talk) hear(line string) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.heard = append(s.heard, line)
}

// usual are the answers of a server that takes everything.
var usual = map[string]string{
	"":          "220 mail.example.com\r\n",
	"MAIL FROM": "250 2.1.0 ok\r\n",
	"RCPT TO":   "250 2.1.5 ok\r\n",
	"DATA":      "354 go\r\n",
	".":         "250 2.0.0 taken\r\n",
	"RSET":      "250 2.0.0 forgotten\r\n",
	"QUIT":      "221 2.0.0 bye\r\n" + Goodbye,
	// What EHLO is followed by is the name of the client.
	"EHLO example.com": "250-mail.example.com\r\n250 PIPELINING\r\n",
}
