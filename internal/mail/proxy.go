package mail

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"

	"golang.org/x/net/http/httpproxy"
	"golang.org/x/net/proxy"
)

// Proxy is the way to the mail server through a proxy, which is trusted for passing
// bytes on and for nothing else: the TLS of the conversation ends at the mail
// server. Its Dial is a Config.Dial.
type Proxy struct {
	// URL is http or https, for CONNECT, or socks5. Errors never show its password.
	URL *url.URL
	// Except is what is reached directly, as in NO_PROXY. Loopback always is.
	Except string
	// Roots may sign the certificate of a proxy by https; nil means the system's.
	Roots *x509.CertPool
}

// Format keeps user and password out of printed values.
func (p Proxy) Format(f fmt.State, _ rune) { fmt.Fprint(f, "proxy "+p.URL.Host) }

// Dial connects to an address.
func (p Proxy) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	var direct net.Dialer
	// That package knows the grammar of NO_PROXY; only whether it wants a proxy counts.
	choose := (&httpproxy.Config{HTTPSProxy: "http://proxy", NoProxy: p.Except}).ProxyFunc()
	if through, err := choose(&url.URL{Scheme: "https", Host: address}); err == nil && through == nil {
		return direct.DialContext(ctx, network, address)
	}
	if p.URL.Scheme == "socks5" {
		dialer, err := proxy.FromURL(p.URL, proxy.Direct)
		if err != nil {
			return nil, err
		}
		conn, err := dialer.(proxy.ContextDialer).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return proxied{conn}, nil
	}
	conn, err := direct.DialContext(ctx, network, p.URL.Host)
	if err != nil {
		return nil, proxyFault(err)
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	tunnel, err := p.connect(ctx, conn, address)
	if !stop() {
		err = ctx.Err()
	}
	if err != nil {
		conn.Close()
		return nil, proxyFault(err)
	}
	return proxied{tunnel}, nil
}

type proxied struct{ net.Conn }

// proxyFault marks an error as the proxy's, as net/http does.
func proxyFault(err error) error { return &net.OpError{Op: "proxyconnect", Net: "tcp", Err: err} }

// connect asks for a tunnel to the address.
func (p Proxy) connect(ctx context.Context, conn net.Conn, address string) (net.Conn, error) {
	if p.URL.Scheme == "https" {
		encrypted := tls.Client(conn, &tls.Config{ServerName: p.URL.Hostname(), RootCAs: p.Roots})
		if err := encrypted.HandshakeContext(ctx); err != nil {
			if isTimeout(err) {
				return nil, err
			}
			return nil, &proxyRefusal{"the TLS of the proxy cannot be trusted: " + err.Error()}
		}
		conn = encrypted
	}
	request := "CONNECT " + address + " HTTP/1.1\r\nHost: " + address + "\r\n"
	if user := p.URL.User; user != nil {
		password, _ := user.Password()
		request += "Proxy-Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(user.Username()+":"+password)) + "\r\n"
	}
	if _, err := io.WriteString(conn, request+"\r\n"); err != nil {
		return nil, err
	}
	answer, err := http.ReadResponse(bufio.NewReader(io.LimitReader(single{conn}, maxAnswer)), &http.Request{Method: http.MethodConnect})
	switch {
	case isTimeout(err):
		return nil, err
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return nil, errors.New("the proxy closed the connection")
	case err != nil:
		// Its text is that of the proxy.
		return nil, &proxyRefusal{"the proxy does not answer as one"}
	case answer.StatusCode == http.StatusProxyAuthRequired:
		return nil, &proxyRefusal{"the proxy demands a user and a password, or others (407)"}
	case answer.StatusCode/100 == 5:
		return nil, errors.New("the proxy cannot reach the mail server (" + strconv.Itoa(answer.StatusCode) + ")")
	case answer.StatusCode/100 != 2:
		return nil, &proxyRefusal{"the proxy refuses (" + strconv.Itoa(answer.StatusCode) + ")"}
	}
	return conn, nil
}

// maxAnswer bounds what a proxy may say before it passes bytes on.
const maxAnswer = 16 << 10

// single reads one byte at a time: what follows the proxy's answer is the mail
// server's, and must stay where it is.
type single struct{ io.Reader }

func (s single) Read(b []byte) (int, error) { return s.Reader.Read(b[:min(1, len(b))]) }

// proxyRefusal is an answer of a proxy that stays the same.
type proxyRefusal struct{ text string }

func (e *proxyRefusal) Error() string { return e.text }
