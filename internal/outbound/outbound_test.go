package outbound_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"jitaccess/internal/outbound"
)

func TestRedirectsAreAnswers(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a redirect was followed") }))
	t.Cleanup(elsewhere.Close)
	for _, status := range []int{301, 302, 303, 307, 308} {
		server := httptest.NewServer(http.RedirectHandler(elsewhere.URL, status))
		t.Cleanup(server.Close)
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			request, err := http.NewRequestWithContext(t.Context(), method, server.URL, strings.NewReader("secret"))
			if err != nil {
				t.Fatal(err)
			}
			response, err := outbound.Client("test", nil).Do(request)
			if err != nil || response.StatusCode != status {
				t.Errorf("%s, %d: %v, %v", method, status, response, err)
				continue
			}
			response.Body.Close()
		}
	}
}

func TestAnswersEnd(t *testing.T) {
	cut := errors.New("the connection broke")
	for _, test := range []struct {
		name, body string
		then, want error
	}{
		{"nothing", "", io.EOF, nil},
		{"less than may be", "1234", io.EOF, nil},
		{"as much as may be", "12345", io.EOF, nil},
		{"one byte more", "123456", io.EOF, outbound.TooLong{Max: 5}},
		{"without end", strings.Repeat("12345", 1<<20), io.EOF, outbound.TooLong{Max: 5}},
		{"what broke", "123", cut, cut},
		{"what broke at the bound", "12345", cut, cut},
	} {
		body := &source{Reader: strings.NewReader(test.body), then: test.then}
		bounded := outbound.Bound(body, 5)
		text, err := io.ReadAll(bounded)
		if string(text) != test.body[:min(len(test.body), 5)] || !errors.Is(err, test.want) || err != nil && test.want == nil {
			t.Errorf("%s: %q, %v", test.name, text, err)
		}
		if bounded.Close(); !body.closed {
			t.Errorf("%s: left open", test.name)
		}
	}
}

// source is a body that ends with an error.
type source struct {
	io.Reader
	then   error
	closed bool
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	if err == io.EOF {
		err = s.then
	}
	return n, err
}

func (s *source) Close() error { s.closed = true; return nil }
