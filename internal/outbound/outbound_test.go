package outbound_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
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
		api, method, address string
		transport            http.RoundTripper
		want                 string
	}{
		{outbound.Google, "GET", "https://cloudasset.googleapis.com/v1/projects/canary", answers(200, nil), "cloudasset GET 200"},
		{outbound.Google, "POST", "https://cloudresourcemanager.googleapis.com/v3/projects/canary:getIamPolicy", answers(200, nil), "cloudresourcemanager getIamPolicy 200"},
		{outbound.Google, "POST", "http://127.0.0.1:1/v1/projects/canary", answers(503, nil), "google POST 503"},
		{outbound.Google, "GET", "https://canary.private.googleapis.com/", answers(200, nil), "google GET 200"},
		// What people name is not taken for a method.
		{outbound.Google, "GET", "https://cloudresourcemanager.googleapis.com/v3/projects/example.com:canary", answers(200, nil), "cloudresourcemanager GET 200"},
		{outbound.Google, "GET", "https://x.googleapis.com/v1/a:canary@Example", answers(200, nil), "x GET 200"},
		{outbound.Google, "GET", "https://x.googleapis.com/v1/a:Canary-1", answers(200, nil), "x GET 200"},
		{outbound.Google, "GET", "https://x.googleapis.com/v1/a:" + strings.Repeat("Canary", 10), answers(200, nil), "x GET 200"},
		{outbound.Google, "GET", "https://x.googleapis.com/v1/a:", answers(200, nil), "x GET 200"},
		{outbound.Google, "GET", "https://x.googleapis.com/a:setIamPolicy/canary", answers(200, nil), "x GET 200"},
		{outbound.Google, "GET", "https://x.googleapis.com/a?b=:setIamPolicy", answers(200, nil), "x GET 200"},
		{"callback", "POST", "https://canary.googleapis.com/canary:setCanary", answers(302, nil), "callback POST 302"},
		{"pomerium", "GET", "https://canary.example.com/", answers(0, errors.New("canary")), "pomerium GET 0"},
	} {
		var heard []string
		ctx := outbound.WithObserver(t.Context(), func(_ context.Context, api, what string) func(int) {
			return func(status int) { heard = append(heard, fmt.Sprint(api, " ", what, " ", status)) }
		})
		for _, ctx := range []context.Context{ctx, t.Context(), outbound.WithObserver(ctx, nil)} { // nobody looks with the others
			request, err := http.NewRequestWithContext(ctx, test.method, test.address, nil)
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

// So is it of what is no HTTP.
func TestOtherCallsAreObserved(t *testing.T) {
	type key struct{}
	var heard []string
	ctx := outbound.WithObserver(context.WithValue(t.Context(), key{}, "seen"), func(ctx context.Context, api, what string) func(int) {
		return func(status int) {
			heard = append(heard, fmt.Sprint(api, " ", what, " ", status, " ", ctx.Value(key{})))
		}
	})
	for _, err := range []error{nil, errors.New("canary")} {
		outbound.Begin(ctx, "database", "read")(outbound.Status(err))
		outbound.Begin(t.Context(), "database", "read")(outbound.Status(err))
	}
	if want := []string{"database read 200 seen", "database read 0 seen"}; !slices.Equal(heard, want) {
		t.Errorf("heard %q, want %q", heard, want)
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
