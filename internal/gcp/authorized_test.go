package gcp

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"jitaccess/internal/access"
)

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

type sourceOf func() (*oauth2.Token, error)

func (f sourceOf) Token() (*oauth2.Token, error) { return f() }

// TestATokenThatIsNoLongerTakenIsReplacedOnce: a call is sent again with a fresh token, and
// the token server is not asked for each call when that does not help.
func TestATokenThatIsNoLongerTakenIsReplacedOnce(t *testing.T) {
	now := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	given, sent, good := 0, 0, "token-2"
	tokens := &tokens{now: func() time.Time { return now }, fetch: sourceOf(func() (*oauth2.Token, error) {
		given++
		return &oauth2.Token{AccessToken: "token-" + string(rune('0'+given))}, nil
	})}
	transport := &authorized{tokens: tokens, base: roundTrip(func(r *http.Request) (*http.Response, error) {
		sent++
		body, _ := io.ReadAll(r.Body)
		status := http.StatusUnauthorized
		if r.Header.Get("Authorization") == "Bearer "+good && string(body) == "policy" {
			status = http.StatusOK
		}
		return &http.Response{StatusCode: status, Body: http.NoBody}, nil
	})}
	call := func() int {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), "POST", "https://google.example.com/", strings.NewReader("policy"))
		if err != nil {
			t.Fatal(err)
		}
		response, err := transport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		return response.StatusCode
	}
	if status := call(); status != http.StatusOK || given != 2 || sent != 2 {
		t.Errorf("%d, with %d tokens and %d calls", status, given, sent)
	}
	// None of Google's tokens is taken any more.
	good = "none"
	for range 10 {
		if status := call(); status != http.StatusUnauthorized {
			t.Errorf("got %d", status)
		}
	}
	if given != 2 {
		t.Errorf("%d tokens within a moment", given)
	}
}

// TestOnlyActionsWaitForAQuota: a page has what is remembered, and waiting keeps it from it.
func TestOnlyActionsWaitForAQuota(t *testing.T) {
	spent := &StatusError{Code: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {"2"}}}
	for purpose, want := range map[access.Purpose]bool{access.ForPage: false, access.ForAction: true} {
		ctx := access.WithPurpose(context.Background(), purpose)
		if wait, asked := AskedBack(ctx, spent); asked != want || asked && wait != 2*time.Second {
			t.Errorf("%v: %v, %v", purpose, wait, asked)
		}
	}
}
