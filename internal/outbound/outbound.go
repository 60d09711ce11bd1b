// Package outbound is what every call to somebody else's server has in common: the answer is that
// of the address that was called, and it ends.
//
// It sets no time limit, which is the matter of each call's context, and does not restrict which
// addresses may be called: that is the matter of the transport.
package outbound

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
)

// Client returns a client of an API that follows no redirects: whoever could send a call on could have the
// credentials that it carries, or name keys of their own. An answer with a redirect is returned as
// any other, so that callers must look at the status. A nil transport is http.DefaultTransport,
// with the proxy of the environment. api is what an Observer is told.
func Client(api string, transport http.RoundTripper) *http.Client {
	return &http.Client{Transport: observed{api, transport},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// WithoutAddress is an error of a client without the address that net/http puts into its text:
// it may hold a secret, and says nothing that is not known.
func WithoutAddress(err error) error {
	if in, ok := errors.AsType[*url.Error](err); ok {
		return in.Err
	}
	return err
}

// TooLong is the error of reading an answer beyond its bound.
type TooLong struct {
	Max int // bytes
}

func (e TooLong) Error() string { return fmt.Sprintf("an answer of more than %d bytes", e.Max) }

// Bound returns a body of which max bytes can be read; a longer one then fails with TooLong, so
// that the beginning of an answer never passes for all of it.
func Bound(body io.ReadCloser, max int) io.ReadCloser {
	return bounded{http.MaxBytesReader(nil, body, int64(max)), max}
}

type bounded struct {
	io.ReadCloser
	max int
}

func (b bounded) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if _, over := errors.AsType[*http.MaxBytesError](err); over {
		err = TooLong{b.max}
	}
	return n, err
}
