package mail_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"jitaccess/internal/access"
	"jitaccess/internal/mail"
	"jitaccess/internal/mail/smtptest"
)

// mailHost is the name of the mail server, which only the proxies can find.
const mailHost = "mail.example.org"

// tunnel is a proxy on loopback. It remembers what clients send after they have
// been let through.
type tunnel struct {
	listener net.Listener
	port     int // of the mail server
	tls      *tls.Config
	// user is who may use it, as "user:password"; answer replaces that to CONNECT.
	user, answer string
	// together waits for the greeting and sends it in one piece with the answer.
	together bool

	mutex  sync.Mutex
	asked  []string
	passed bytes.Buffer
}

// start serves by a protocol until the test ends.
func (p *tunnel) start(t *testing.T, admit func(p *tunnel, client net.Conn) (target string, answer []byte)) string {
	t.Helper()
	var err error
	if p.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	var mutex sync.Mutex
	var open []net.Conn
	var serving sync.WaitGroup
	keep := func(conn net.Conn) {
		mutex.Lock()
		defer mutex.Unlock()
		open = append(open, conn)
	}
	serving.Go(func() {
		for {
			client, err := p.listener.Accept()
			if err != nil {
				return
			}
			keep(client)
			serving.Go(func() {
				defer client.Close()
				client := client
				if p.tls != nil {
					client = tls.Server(client, p.tls)
				}
				target, answer := admit(p, client)
				p.mutex.Lock()
				p.asked = append(p.asked, target)
				p.mutex.Unlock()
				if target == "" {
					client.Write(answer)
					return
				}
				server, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", p.port))
				if err != nil {
					return
				}
				keep(server)
				defer server.Close()
				if p.together {
					greeting := make([]byte, 512)
					n, _ := server.Read(greeting)
					answer = append(answer, greeting[:n]...)
				}
				client.Write(answer)
				serving.Go(func() {
					defer server.Close()
					io.Copy(io.MultiWriter(server, p), client)
				})
				io.Copy(client, server)
			})
		}
	})
	t.Cleanup(func() {
		p.listener.Close()
		mutex.Lock()
		for _, conn := range open {
			conn.Close()
		}
		mutex.Unlock()
		serving.Wait()
	})
	return p.listener.Addr().String()
}

func (p *tunnel) Write(b []byte) (int, error) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	return p.passed.Write(b)
}

func connectProxy(p *tunnel, client net.Conn) (target string, answer []byte) {
	request, err := http.ReadRequest(bufio.NewReader(client))
	switch {
	case err != nil || request.Method != http.MethodConnect || request.Host != request.RequestURI:
		return "", []byte("HTTP/1.1 400 Bad Request\r\n\r\n")
	case p.answer != "":
		return "", []byte(p.answer)
	case p.user != "" && request.Header.Get("Proxy-Authorization") != "Basic "+base64.StdEncoding.EncodeToString([]byte(p.user)):
		return "", []byte("HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\nCANARY")
	}
	return request.Host, []byte("HTTP/1.1 200 Connection established\r\nVia: proxy\r\n\r\n")
}

// socksProxy speaks SOCKS 5 (RFC 1928, 1929) with names.
func socksProxy(p *tunnel, client net.Conn) (target string, answer []byte) {
	read := func(n int) []byte {
		b := make([]byte, n)
		if _, err := io.ReadFull(client, b); err != nil {
			return make([]byte, n)
		}
		return b
	}
	methods := read(int(read(2)[1]))
	if p.user != "" {
		if !bytes.Contains(methods, []byte{2}) {
			return "", []byte{5, 0xff}
		}
		client.Write([]byte{5, 2})
		user := string(read(int(read(2)[1])))
		password := string(read(int(read(1)[0])))
		if user+":"+password != p.user {
			return "", []byte{1, 1}
		}
		client.Write([]byte{1, 0})
	} else {
		client.Write([]byte{5, 0})
	}
	if head := read(4); head[3] != 3 {
		return "", []byte{5, 8, 0, 1, 0, 0, 0, 0, 0, 0}
	}
	host := string(read(int(read(1)[0])))
	port := read(2)
	if p.answer != "" {
		return "", []byte(p.answer)
	}
	return fmt.Sprintf("%s:%d", host, int(port[0])<<8|int(port[1])), []byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0}
}

// through is the configuration of a Mailer that goes through a proxy to a server.
func through(s *smtptest.Server, p mail.Proxy, implicit bool) mail.Config {
	c := config(mailHost, s.Port, s.Roots)
	c.ImplicitTLS, c.Dial = implicit, p.Dial
	return c
}

func TestMailGoesThroughAProxyThatSeesNothing(t *testing.T) {
	authority := smtptest.NewAuthority(t)
	for _, test := range []struct {
		scheme, user string
		admit        func(*tunnel, net.Conn) (string, []byte)
		together     bool
	}{
		{"http", "", connectProxy, false}, {"http", "jit:p@ss:word", connectProxy, false}, {"http", "", connectProxy, true},
		{"https", "", connectProxy, false}, {"https", "jit:HUSH", connectProxy, true},
		{"socks5", "", socksProxy, false}, {"socks5", "jit:p@ss:word", socksProxy, false}, {"socks5", "", socksProxy, true},
	} {
		for _, implicit := range []bool{false, true} {
			if test.together && implicit {
				continue // there is no greeting before TLS
			}
			t.Run(fmt.Sprintf("%s %s implicit=%v together=%v", test.scheme, test.user, implicit, test.together), func(t *testing.T) {
				s := smtptest.Start(t, withUser(smtptest.Options{ImplicitTLS: implicit, Certificate: smtptest.WrongName}))
				p := &tunnel{port: s.Port, user: test.user, together: test.together}
				if test.scheme == "https" {
					p.tls = &tls.Config{Certificates: []tls.Certificate{authority.Issue(t, smtptest.Good)}}
				}
				u := &url.URL{Scheme: test.scheme, Host: p.start(t, test.admit)}
				if user, password, ok := strings.Cut(test.user, ":"); ok {
					u.User = url.UserPassword(user, password)
				}
				m := mailer(t, through(s, mail.Proxy{URL: u, Roots: authority.Roots}, implicit))
				for i := range 2 {
					if failed := m.Notify(t.Context(), request(i)).Failed(); failed != nil {
						t.Fatal(failed)
					}
				}
				wantOnce(t, s.Messages(), 6)
				p.mutex.Lock()
				defer p.mutex.Unlock()
				if len(p.asked) != 1 || p.asked[0] != fmt.Sprintf("%s:%d", mailHost, s.Port) {
					t.Errorf("the proxy was asked for %q", p.asked)
				}
				clear, _, _ := strings.Cut(p.passed.String(), "\x16\x03\x01")
				if want := map[bool]string{false: "EHLO example.com\r\nSTARTTLS\r\n"}[implicit]; clear != want {
					t.Errorf("in clear text the proxy saw %q, want %q", clear, want)
				}
				for _, hidden := range []string{"MAIL", "AUTH", "boris", "Subject"} {
					if strings.Contains(p.passed.String(), hidden) {
						t.Errorf("the proxy saw %q", hidden)
					}
				}
			})
		}
	}
}

// A proxy that would like to see more ends TLS itself.
func TestThreat29_AProxyCannotBeTheMailServer(t *testing.T) {
	for _, implicit := range []bool{false, true} {
		s := smtptest.Start(t, withUser(smtptest.Options{ImplicitTLS: implicit, Certificate: smtptest.WrongName}))
		forged := smtptest.Start(t, withUser(smtptest.Options{ImplicitTLS: implicit}))
		p := &tunnel{port: forged.Port}
		u := &url.URL{Scheme: "http", Host: p.start(t, connectProxy)}
		wantUndelivered(t, mailer(t, through(s, mail.Proxy{URL: u}, implicit)).Notify(t.Context(), review()).Failed(), access.Upstream)
		// Nor with a certificate that the system would trust for the proxy.
		wantUndelivered(t, mailer(t, through(forged, mail.Proxy{URL: u, Roots: forged.Roots}, implicit)).Notify(t.Context(), review()).Failed(), access.Upstream)
		if forged.LogIns() > 0 {
			t.Error("logged in")
		}
	}
}

func TestAProxyThatFails(t *testing.T) {
	const refused = "\x05\x01\x00\x01\x00\x00\x00\x00\x00\x00"
	for _, test := range []struct {
		name, scheme string
		proxy        *tunnel
		user         *url.Userinfo
		says         string
		tries        int
	}{
		{"no user", "http", &tunnel{user: "jit:HUSH"}, nil, "407", 1},
		{"another password", "http", &tunnel{user: "jit:HUSH"}, url.UserPassword("jit", "CANARY"), "407", 1},
		{"forbidden", "http", &tunnel{answer: "HTTP/1.1 403 \x1b[31mCANARY\r\nContent-Length: 6\r\n\r\nCANARY"}, url.UserPassword("jit", "CANARY"), "refuses (403)", 1},
		{"a redirection", "http", &tunnel{answer: "HTTP/1.1 302 Found\r\nLocation: http://evil.example/\r\n\r\n"}, nil, "refuses (302)", 1},
		{"bad gateway", "http", &tunnel{answer: "HTTP/1.1 502 CANARY\r\n\r\n"}, nil, "cannot reach the mail server (502)", 5},
		{"no HTTP", "http", &tunnel{answer: "220 CANARY ESMTP\r\n"}, nil, "does not answer as one", 1},
		{"an endless answer", "http", &tunnel{answer: "HTTP/1.1 200 ok\r\n" + strings.Repeat("X-More: CANARY\r\n", 10000)}, nil, "does not answer as one", 1},
		{"an answer that breaks off", "http", &tunnel{answer: "HTTP/1.1 200 ok\r\nVia: CANARY"}, nil, "the proxy closed the connection", 5},
		{"nothing", "http", &tunnel{answer: "\r\n"}, nil, "does not answer as one", 1},
		{"an https proxy whose certificate nobody trusts", "https", &tunnel{}, nil, "the TLS of the proxy cannot be trusted: tls: failed to verify", 1},
		{"no SOCKS user", "socks5", &tunnel{user: "jit:HUSH"}, nil, "no acceptable authentication methods", 5},
		{"another SOCKS password", "socks5", &tunnel{user: "jit:HUSH"}, url.UserPassword("jit", "CANARY"), "username/password authentication failed", 5},
		{"SOCKS refuses", "socks5", &tunnel{answer: refused}, url.UserPassword("jit", "CANARY"), "general SOCKS server failure", 5},
		{"no SOCKS", "socks5", &tunnel{answer: "HTTP/1.1 400 Bad Request\r\n\r\n"}, nil, "protocol version", 5},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := smtptest.Start(t, withUser(smtptest.Options{Certificate: smtptest.WrongName}))
			test.proxy.port = s.Port
			admit := connectProxy
			switch test.scheme {
			case "socks5":
				admit = socksProxy
			case "https":
				test.proxy.tls = &tls.Config{Certificates: []tls.Certificate{smtptest.NewAuthority(t).Issue(t, smtptest.Good)}}
			}
			u := &url.URL{Scheme: test.scheme, User: test.user, Host: test.proxy.start(t, admit)}
			var slept pauses
			c := through(s, mail.Proxy{URL: u, Roots: x509.NewCertPool()}, false)
			c.Sleep = slept.sleep
			failed := mailer(t, c).Notify(t.Context(), review()).Failed()
			if len(failed) != 3 || len(slept) != test.tries-1 {
				t.Fatalf("undelivered %v after %v", failed, slept)
			}
			if wantSafe(t, failed[0].Err); !strings.Contains(failed[0].Err.Error(), test.says) || strings.Contains(failed[0].Err.Error(), "HUSH") {
				t.Errorf("error is %q, want it to say %q", failed[0].Err, test.says)
			}
			if s.Connections() > 0 {
				t.Error("the mail server was reached")
			}
		})
	}
}

// A proxy that never answers costs no more than the deadline.
func TestThreat31_AProxyThatHangs(t *testing.T) {
	for _, scheme := range []string{"http", "https", "socks5"} {
		reached, over := make(chan struct{}), make(chan struct{})
		p := &tunnel{}
		u := &url.URL{Scheme: scheme, Host: p.start(t, func(_ *tunnel, client net.Conn) (string, []byte) {
			// What is waited for is its answer, and not the connection.
			_, _ = client.Read(make([]byte, 1))
			close(reached)
			<-over
			return "", nil
		})}
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			<-reached
			cancel()
		}()
		c := config(mailHost, 587, nil)
		c.Dial = mail.Proxy{URL: u}.Dial
		wantUndelivered(t, mailer(t, c).Notify(ctx, review()).Failed(), access.TimedOut)
		close(over)
	}
}

func TestWhatIsReachedWithoutAProxy(t *testing.T) {
	s := smtptest.Start(t, withUser(smtptest.Options{}))
	nowhere := &url.URL{Scheme: "http", Host: "127.0.0.1:1"}
	for _, scheme := range []string{"http", "https", "socks5"} {
		for _, host := range []string{"127.0.0.1", "localhost"} {
			nowhere.Scheme = scheme
			c := config(host, s.Port, s.Roots)
			c.Dial = mail.Proxy{URL: nowhere}.Dial
			if failed := mailer(t, c).Notify(t.Context(), review()).Failed(); failed != nil {
				t.Errorf("%s: %v", host, failed)
			}
		}
	}
	for _, test := range []struct {
		except, address string
		direct          bool
	}{
		{"", "192.0.2.25:587", false}, {"192.0.2.25", "192.0.2.25:587", true}, {"192.0.2.0/24", "192.0.2.25:587", true}, {"192.0.3.0/24", "192.0.2.25:587", false},
		{"example.org, 192.0.2.25:25", "192.0.2.25:587", false}, {"192.0.2.25:587", "192.0.2.25:587", true}, {"*", "192.0.2.25:587", true},
		{"2001:db8::/32", "[2001:db8::25]:465", true}, {"", "[2001:db8::25]:465", false}, {"", "[::1]:465", true}, {"", "127.9.9.9:465", true},
		{".example.org", mailHost + ":587", true}, {"example.org", mailHost + ":587", true}, {"MAIL.example.ORG", mailHost + ":587", true},
		{"le.org", mailHost + ":587", false}, {"example.com,,, ", mailHost + ":587", false}, {"mail.example", mailHost + ":587", false},
		{"127.0.0.1", "127.0.0.1.example.org:587", false}, {"localhost", "localhost.example.org:587", false},
	} {
		// A context that is over: what is dialed stands in the error.
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := mail.Proxy{URL: &url.URL{Scheme: "http", Host: "127.0.0.1:1"}, Except: test.except}.Dial(ctx, "tcp", test.address)
		if err == nil || strings.Contains(err.Error(), "proxyconnect") == test.direct {
			t.Errorf("%s except %q: %v", test.address, test.except, err)
		}
	}
}
