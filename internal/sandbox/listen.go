package sandbox

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"syscall"
	"time"
)

// shutdownTimeout is how long Close waits for answers that are under way.
const shutdownTimeout = 3 * time.Second

// listeningServer is an HTTP server whose port is known before it has a handler.
type listeningServer struct {
	listeners []net.Listener
	server    *http.Server
}

func newListeningServer(listeners ...net.Listener) *listeningServer {
	return &listeningServer{listeners, &http.Server{ReadHeaderTimeout: 10 * time.Second}}
}

// listen opens the address, which must be loopback.
func listen(address string) (*listeningServer, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("address %q: want HOST:PORT: %w", address, err)
	}
	if host != "localhost" {
		if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
			return nil, fmt.Errorf("address %q: the sandbox listens on localhost, 127.0.0.1 or [::1] only", address)
		}
		listener, err := net.Listen("tcp", address)
		if err != nil {
			return nil, err
		}
		return newListeningServer(listener), nil
	}
	return listenLocalhost(port)
}

// listenLocalhost takes the port on both loopback addresses, since browsers may try
// either first. A machine may be without IPv6; but if the port is someone else's
// there, people would meet a stranger, so that is an error.
func listenLocalhost(port string) (*listeningServer, error) {
	var err error
	for range 10 { // a free port of IPv4 need not be free in IPv6
		var four, six net.Listener
		if four, err = net.Listen("tcp4", net.JoinHostPort("127.0.0.1", port)); err != nil {
			return nil, err
		}
		chosen := strconv.Itoa(four.Addr().(*net.TCPAddr).Port)
		six, err = net.Listen("tcp6", net.JoinHostPort("::1", chosen))
		if err == nil {
			return newListeningServer(four, six), nil
		}
		if !errors.Is(err, syscall.EADDRINUSE) {
			return newListeningServer(four), nil
		}
		four.Close()
		if port != "0" {
			break
		}
	}
	return nil, err
}

func (l *listeningServer) port() string {
	return strconv.Itoa(l.listeners[0].Addr().(*net.TCPAddr).Port)
}

// serve answers on all listeners. The channel gets one value when they end: nil
// after close.
func (l *listeningServer) serve(handler http.Handler) <-chan error {
	l.server.Handler = handler
	ended := make(chan error, len(l.listeners))
	for _, listener := range l.listeners {
		go func() { ended <- ignoreClosed(l.server.Serve(listener)) }()
	}
	return ended
}

func (l *listeningServer) close() error {
	var errs []error
	ctx, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
	defer cancel()
	if l.server.Shutdown(ctx) != nil {
		errs = append(errs, l.server.Close())
	}
	// The listeners as well: a server that never served does not know them.
	for _, listener := range l.listeners {
		errs = append(errs, ignoreClosed(listener.Close()))
	}
	return errors.Join(errs...)
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) || errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}
