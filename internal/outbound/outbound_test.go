package outbound_test

import (
	"context"
	"errors"
	"fmt"
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

// Whoever looks is told of each call: what was called, never where, and what came of it.
func TestCallsAreObserved(t *testing.T) {
	answers := func(status int, err error) http.RoundTripper {
		return roundTrip(func(r *http.Request) (*http.Response, error) {
			if err != nil {
				return nil, err
			}
			return &http.Response{StatusCode: status, Body: http.NoBody, Request: r}, nil
		})
	}
	for _, test := range []struct {
		api, address string
		transport    http.RoundTripper
		want         string
	}{
		{outbound.Google, "https://cloudasset.googleapis.com/v1/projects/canary", answers(200, nil), "cloudasset 200"},
		{outbound.Google, "http://127.0.0.1:1/v1/projects/canary", answers(503, nil), "google 503"},
		{outbound.Google, "https://canary.private.googleapis.com/", answers(200, nil), "google 200"},
		{"callback", "https://canary.googleapis.com/canary", answers(302, nil), "callback 302"},
		{"pomerium", "https://canary.example.com/", answers(0, errors.New("canary")), "pomerium 0"},
	} {
		var heard []string
		ctx := outbound.WithObserver(t.Context(), func(api string) func(int) {
			return func(status int) { heard = append(heard, fmt.Sprint(api, " ", status)) }
		})
		for _, ctx := range []context.Context{ctx, t.Context()} { // nobody looks with the second
			request, err := http.NewRequestWithContext(ctx, http.MethodGet, test.address, nil)
			if err != nil {
				t.Fatal(err)
			}
			if response, err := outbound.Client(test.api, test.transport).Do(request); err == nil {
				response.Body.Close()
			}
		}
		if len(heard) != 1 || heard[0] != test.want {
			t.Errorf("%s: heard %q, want %q", test.address, heard, test.want)
		}
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
