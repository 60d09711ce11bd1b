package smtptest

import (
	"bufio"
	"net"
	"strings"
	"sync"
	"testing"
)

// Script is a server that answers each command with fixed bytes and remembers what
// it was told. It is for servers, and people on the way, that do not keep to the
// protocol.
type Script struct {
	Host string
	Port int

	mutex sync.Mutex
	heard []string
}

// StartScript starts a server that ends with the test. Replies are keyed by the
// first word of a command, in capitals; "" is the greeting. Lines end in CR LF. A
// command without a reply ends the connection.
func StartScript(t testing.TB, replies map[string]string) *Script {
	t.Helper()
	s := &Script{}
	s.Host, s.Port = Listen(t, func(_ int, conn net.Conn) { s.serve(conn, replies) })
	return s
}

// Listen serves connections, with their numbers from 1, until the test ends.
func Listen(t testing.TB, serve func(n int, conn net.Conn)) (host string, port int) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var connections sync.WaitGroup
	var mutex sync.Mutex
	var open []net.Conn
	connections.Go(func() {
		for n := 1; ; n++ {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			mutex.Lock()
			open = append(open, conn)
			mutex.Unlock()
			connections.Go(func() {
				defer conn.Close()
				serve(n, conn)
			})
		}
	})
	t.Cleanup(func() {
		listener.Close()
		mutex.Lock()
		for _, conn := range open {
			conn.Close()
		}
		mutex.Unlock()
		connections.Wait()
	})
	return "127.0.0.1", listener.Addr().(*net.TCPAddr).Port
}

// Heard is everything that clients have said, in lines.
func (s *Script) Heard() []string {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return append([]string(nil), s.heard...)
}

func (s *Script) serve(conn net.Conn, replies map[string]string) {
	if _, err := conn.Write([]byte(replies[""])); err != nil {
		return
	}
	lines := bufio.NewReaderSize(conn, 1<<16)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			s.mutex.Lock()
			s.heard = append(s.heard, line)
			s.mutex.Unlock()
		}
		if err != nil {
			return
		}
		verb, _, _ := strings.Cut(strings.TrimRight(line, "\r\n"), " ")
		reply, ok := replies[strings.ToUpper(verb)]
		if !ok {
			return
		}
		if _, err := conn.Write([]byte(reply)); err != nil {
			return
		}
	}
}
