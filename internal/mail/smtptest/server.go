// Package smtptest has mail servers for tests: a complete one that can be made to
// fail at every step of a conversation, and one of few words that answers oddly where
// a test wants it.
package smtptest

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// Step is a step of a conversation at which a server can be made to fail.
type Step string

// The steps, in order. AtData is when the message should be read, AtAnswer is after
// it has been read.
const (
	AtGreeting  Step = "greeting"
	AtHello     Step = "EHLO"
	AtStartTLS  Step = "STARTTLS"
	AtHandshake Step = "TLS handshake"
	AtAuth      Step = "AUTH"
	AtMail      Step = "MAIL"
	AtRecipient Step = "RCPT"
	AtData      Step = "DATA"
	AtAnswer    Step = "answer"
	// AtTaken is when the server has the message and only its answer is lost.
	AtTaken Step = "taken"
)

// Steps are all at which the server does not have the message yet.
var Steps = []Step{AtGreeting, AtHello, AtStartTLS, AtHandshake, AtAuth, AtMail, AtRecipient, AtData, AtAnswer}

// Options say what a server is like. The zero value offers STARTTLS with a good
// certificate, and knows no users.
type Options struct {
	// NoTLS offers no STARTTLS. ImplicitTLS speaks TLS from the first byte.
	NoTLS, ImplicitTLS bool
	// Certificate says what is wrong with the server's certificate.
	Certificate Certificate
	// Username and Password must log in before anything is sent; empty means that
	// everybody may send. Mechanisms are "PLAIN" and "LOGIN" unless given.
	Username, Password string
	Mechanisms         []string
	// VerifyToken judges access tokens; with it the server takes nothing but XOAUTH2,
	// whoever logs in.
	VerifyToken func(username, token string) error
	// Refuse answers at a step, if it is one of AtAuth, AtMail, AtData and AtAnswer.
	Refuse map[Step]*smtp.SMTPError
	// RefuseRecipient answers for single recipients.
	RefuseRecipient map[string]*smtp.SMTPError
	// Hang never answers from that step on; Cut closes the connection at it.
	Hang, Cut Step
	// Forget counts mails and does not keep them.
	Forget bool
	// After is how many mails the server takes before any of these faults, and Times how
	// many of them there are; 0 means no end.
	After, Times int
}

// Message is a mail as the server took it.
type Message struct {
	From string
	To   []string
	// Data is the message as sent, dots unstuffed.
	Data string
	// Hello is the name that the client gave, and TLS whether it came encrypted.
	Hello string
	TLS   bool
}

// Server is a running mail server on 127.0.0.1.
type Server struct {
	// Host and Port are where it listens; its certificate is for Host.
	Host string
	Port int
	// Roots has the authority that signed its certificate, and Authority is that as PEM.
	Roots     *x509.CertPool
	Authority []byte
	// Reached is closed when the client has come to the step at which it hangs.
	Reached chan struct{}

	options Options
	done    chan struct{}
	reach   sync.Once

	mutex       sync.Mutex
	password    string
	messages    []Message
	taken       int
	connections int
	open        []net.Conn
	most        int
	roundTrips  int
	logIns      int
	faults      int
}

// Start starts a server that ends with the test.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	authority := NewAuthority(t)
	s := &Server{
		Host:      "127.0.0.1",
		Port:      listener.Addr().(*net.TCPAddr).Port,
		Roots:     authority.Roots,
		Authority: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: authority.certificate.Raw}),
		Reached:   make(chan struct{}),
		options:   o,
		password:  o.Password,
		done:      make(chan struct{}),
	}
	switch {
	case o.VerifyToken != nil:
		s.options.Mechanisms = []string{xoauth2}
	case o.Mechanisms == nil:
		s.options.Mechanisms = []string{sasl.Plain, sasl.Login}
	}
	if o.Certificate == UnknownAuthority {
		s.Roots = NewAuthority(t).Roots
	}
	config := &tls.Config{Certificates: []tls.Certificate{authority.Issue(t, o.Certificate)}}
	config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if s.fails(AtHandshake, hello.Conn) {
			return nil, errors.New("cut")
		}
		return nil, nil
	}
	server := smtp.NewServer(smtp.BackendFunc(s.session))
	server.Domain = "mail.example.com"
	server.AllowInsecureAuth = true
	// A response may have 12288 bytes (RFC 4954, 4).
	server.MaxLineLength = 12288
	server.ErrorLog = log.New(io.Discard, "", 0)
	var served net.Listener = &faultyListener{listener, s}
	if o.ImplicitTLS {
		served = tls.NewListener(served, config)
	} else if !o.NoTLS {
		server.TLSConfig = config
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.Serve(served)
	}()
	t.Cleanup(func() {
		close(s.done)
		server.Close()
		// The server does not know the listener yet if it has only just started.
		listener.Close()
		<-ended
	})
	return s
}

// Messages are the mails taken so far.
func (s *Server) Messages() []Message {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return append([]Message(nil), s.messages...)
}

// Taken is how many mails have been taken so far.
func (s *Server) Taken() int { return s.count(&s.taken, 0) }

// Connections is how many connections there have been.
func (s *Server) Connections() int { return s.count(&s.connections, 0) }

// MostConnections is how many there have been at once.
func (s *Server) MostConnections() int { return s.count(&s.most, 0) }

// CloseConnections closes those that are open, as servers do that have waited for
// long enough.
func (s *Server) CloseConnections() {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	for _, open := range s.open {
		open.Close()
	}
}

// RoundTrips is how often clients have spoken after the server had.
func (s *Server) RoundTrips() int { return s.count(&s.roundTrips, 0) }

// LogIns is how many attempts to log in there have been.
func (s *Server) LogIns() int { return s.count(&s.logIns, 0) }

func (s *Server) count(n *int, more int) int {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	*n += more
	return *n
}

// SetPassword rotates the password.
func (s *Server) SetPassword(password string) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.password = password
}

// fails hangs or cuts where the options say so, and reports whether it did.
func (s *Server) fails(at Step, conn net.Conn) bool {
	if at != s.options.Hang && at != s.options.Cut || !s.due() {
		return false
	}
	if at == s.options.Hang {
		s.reach.Do(func() { close(s.Reached) })
		<-s.done
	}
	conn.Close()
	return true
}

// due is whether a fault is to happen now, and counts it.
func (s *Server) due() bool {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.taken < s.options.After || s.options.Times > 0 && s.faults == s.options.Times {
		return false
	}
	s.faults++
	return true
}

// faultyListener makes connections that fail at the steps before the first command
// that the SMTP library tells of.
type faultyListener struct {
	net.Listener
	server *Server
}

func (l *faultyListener) Accept() (net.Conn, error) {
	raw, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	s := l.server
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.connections++
	s.open = append(s.open, raw)
	s.most = max(s.most, len(s.open))
	return &faultyConn{Conn: raw, server: s}, nil
}

type faultyConn struct {
	net.Conn
	server  *Server
	greeted bool
	spoke   atomic.Bool
}

func (c *faultyConn) Close() error {
	s := c.server
	s.mutex.Lock()
	s.open = slices.DeleteFunc(s.open, func(open net.Conn) bool { return open == c.Conn })
	s.mutex.Unlock()
	return c.Conn.Close()
}

func (c *faultyConn) Write(p []byte) (int, error) {
	c.spoke.Store(true)
	if !c.greeted {
		c.greeted = true
		c.server.fails(AtGreeting, c.Conn)
	}
	return c.Conn.Write(p)
}

func (c *faultyConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 && c.spoke.CompareAndSwap(true, false) {
		c.server.count(&c.server.roundTrips, 1)
	}
	switch command := strings.ToUpper(string(p[:min(n, len("STARTTLS"))])); {
	case strings.HasPrefix(command, "EHLO"):
		c.server.fails(AtHello, c.Conn)
	case strings.HasPrefix(command, "STARTTLS"):
		c.server.fails(AtStartTLS, c.Conn)
	}
	return n, err
}

func (s *Server) session(c *smtp.Conn) (smtp.Session, error) {
	if !s.knowsUsers() {
		return &session{server: s, conn: c}, nil
	}
	return &authSession{session{server: s, conn: c}}, nil
}

func (s *Server) knowsUsers() bool { return s.options.Username != "" || s.options.VerifyToken != nil }

// session is one conversation.
type session struct {
	server   *Server
	conn     *smtp.Conn
	loggedIn bool
	message  Message
}

// authSession is one with a server that knows users.
type authSession struct{ session }

func (s *authSession) AuthMechanisms() []string { return s.server.options.Mechanisms }

func (s *authSession) Auth(mechanism string) (sasl.Server, error) {
	if err := s.at(AtAuth); err != nil {
		return nil, err
	}
	check := func(username, password string) error {
		s.server.count(&s.server.logIns, 1)
		s.server.mutex.Lock()
		defer s.server.mutex.Unlock()
		if username != s.server.options.Username || password != s.server.password {
			return &smtp.SMTPError{Code: 535, EnhancedCode: smtp.EnhancedCode{5, 7, 8}, Message: "no: " + username + " " + password}
		}
		s.loggedIn = true
		return nil
	}
	switch mechanism {
	case xoauth2:
		return &tokenServer{session: &s.session}, nil
	case sasl.Login:
		return &loginServer{check: check}, nil
	}
	return sasl.NewPlainServer(func(_, username, password string) error { return check(username, password) }), nil
}

// loginServer is the server's half of AUTH LOGIN, which go-sasl lacks.
type loginServer struct {
	check    func(username, password string) error
	step     int
	username string
}

func (l *loginServer) Next(response []byte) (challenge []byte, done bool, err error) {
	switch l.step++; l.step {
	case 1:
		return []byte("Username:"), false, nil
	case 2:
		l.username = string(response)
		return []byte("Password:"), false, nil
	default:
		return nil, true, l.check(l.username, string(response))
	}
}

func (s *session) Reset()        { s.message = Message{} }
func (s *session) Logout() error { return nil }

func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	if err := s.at(AtMail); err != nil {
		return err
	}
	if s.server.knowsUsers() && !s.loggedIn {
		return smtp.ErrAuthRequired
	}
	_, encrypted := s.conn.TLSConnectionState()
	s.message = Message{From: from, Hello: s.conn.Hostname(), TLS: encrypted}
	return nil
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	if err := s.at(AtRecipient); err != nil {
		return err
	}
	if refusal := s.server.options.RefuseRecipient[to]; refusal != nil && s.server.due() {
		return refusal
	}
	s.message.To = append(s.message.To, to)
	return nil
}

func (s *session) Data(r io.Reader) error {
	if err := s.at(AtData); err != nil {
		return err
	}
	var data strings.Builder
	var into io.Writer = &data
	if s.server.options.Forget {
		into = io.Discard
	}
	if _, err := io.Copy(into, r); err != nil {
		return err
	}
	if err := s.at(AtAnswer); err != nil {
		return err
	}
	s.message.Data = data.String()
	s.server.take(s.message)
	return s.at(AtTaken)
}

func (s *Server) take(m Message) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.taken++
	if !s.options.Forget {
		s.messages = append(s.messages, m)
	}
}

// at fails if the options say so. The error is an untyped nil otherwise.
func (s *session) at(step Step) error {
	if s.server.fails(step, s.conn.Conn()) {
		return errors.New("cut")
	}
	if refusal := s.server.options.Refuse[step]; refusal != nil && s.server.due() {
		return refusal
	}
	return nil
}
