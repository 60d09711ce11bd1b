package gcp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/gcp"
	"jitaccess/internal/gcp/gcptest"
)

var call = gcp.Call{Service: "Resource Manager", Permission: "resourcemanager.projects.getIamPolicy", Resource: "projects/shop", Account: "sa@x.iam.gserviceaccount.com"}

func answered(status int, reason, message string) error {
	return fmt.Errorf("wrapped: %w", &gcp.StatusError{Code: status, Message: message, Reasons: []string{reason}})
}

// "Google refused the change" is true of changes only.
func TestOnlyARefusedChangeIsOne(t *testing.T) {
	change := call
	change.Change = true
	for want, c := range map[access.Code]gcp.Call{access.CodePlatformRefused: change, access.CodeCallRefused: call} {
		e := gcp.Failure(answered(400, "badRequest", "Invalid query string."), c)
		if e.Code != want || e.Kind != access.Unprocessable || e.Args["reason"] != `"Invalid query string."` {
			t.Errorf("%s: %v", want, e)
		}
	}
}

// Many may wait for one token, and get one error; each then says what it means for them.
func TestAKnownErrorIsTheCallersOwn(t *testing.T) {
	known := &access.Error{Kind: access.Upstream, Code: access.CodeServiceNotAllowed, Args: access.Args{"account": "sa"}}
	e := gcp.Failure(fmt.Errorf("wrapped: %w", known), call)
	if !reflect.DeepEqual(e, known) {
		t.Fatalf("%v became %v", known, e)
	}
	e.Code, e.Args = access.CodeGroupUnreadable, nil
	if known.Code != access.CodeServiceNotAllowed || known.Args == nil {
		t.Errorf("the error of all became %v", known)
	}
}

func TestWhatAFailedCallMeans(t *testing.T) {
	for _, c := range []struct {
		err  error
		kind access.Kind
		code access.Code
	}{
		{answered(400, "badRequest", "x"), access.Unprocessable, access.CodeCallRefused},
		{answered(401, "authError", "x"), access.Upstream, access.CodeUpstreamFailed},
		{answered(403, "forbidden", "x"), access.Upstream, access.CodeServiceNotAllowed},
		{answered(403, "rateLimitExceeded", "x"), access.TooMany, access.CodeQuota},
		{answered(403, "userRateLimitExceeded", "x"), access.TooMany, access.CodeQuota},
		{answered(403, "quotaExceeded", "x"), access.TooMany, access.CodeQuota},
		{answered(404, "notFound", "x"), access.NotFound, access.CodeUnknownResource},
		{answered(408, "", "x"), access.TimedOut, access.CodeUpstreamTimeout},
		{answered(409, "aborted", "x"), access.Conflict, access.CodeConflict},
		{answered(412, "conditionNotMet", "x"), access.Conflict, access.CodeConflict},
		{answered(418, "", "x"), access.Upstream, access.CodeUpstreamFailed},
		{answered(429, "", "x"), access.TooMany, access.CodeQuota},
		{answered(500, "", "x"), access.Upstream, access.CodeUpstreamFailed},
		{answered(502, "", "x"), access.Upstream, access.CodeUpstreamFailed},
		{answered(503, "", "x"), access.Unavailable, access.CodeUpstreamFailed},
		{answered(504, "", "x"), access.TimedOut, access.CodeUpstreamTimeout},
		{context.DeadlineExceeded, access.TimedOut, access.CodeUpstreamTimeout},
		{context.Canceled, access.TimedOut, access.CodeDeadline},
		{syscall.ECONNRESET, access.Unavailable, access.CodeUpstreamFailed},
		{io.ErrUnexpectedEOF, access.Unavailable, access.CodeUpstreamFailed},
		{errors.New("invalid character '<' looking for beginning of value"), access.Upstream, access.CodeUpstreamFailed},
	} {
		e := gcp.Failure(c.err, call)
		if e.Kind != c.kind || e.Code != c.code {
			t.Errorf("%v: %s, %s, want %s, %s", c.err, e.Kind, e.Code, c.kind, c.code)
		}
		if !errors.Is(e, c.err) {
			t.Errorf("%v: the cause is lost", c.err)
		}
	}
	if gcp.Failure(nil, call) != nil {
		t.Error("nil is a failure")
	}
}

func TestRefusalNamesWhatTheOperatorMustGrant(t *testing.T) {
	e := gcp.Failure(answered(403, "forbidden", "x"), call)
	if e.Args["permission"] != call.Permission || e.Args["resource"] != call.Resource || e.Args["account"] != call.Account {
		t.Errorf("got %v", e.Args)
	}
}

func TestGooglesTextIsQuotedAndCutShort(t *testing.T) {
	hostile := "first\nsecond \x1b[31m" + strings.Repeat("ü", 5000)
	for _, e := range []*access.Error{gcp.Failure(answered(400, "", hostile), call), gcp.Failure(answered(500, "", hostile), call), gcp.Failure(errors.New(hostile), call)} {
		text := e.Error() + e.Args["reason"]
		if strings.ContainsAny(text, "\n\x1b") || len(text) > 2000 || !strings.Contains(text, "first") {
			t.Errorf("got %d bytes: %.100q", len(text), text)
		}
	}
}

func TestVPCServiceControlsIdIsKept(t *testing.T) {
	for _, err := range []error{
		&gcp.StatusError{Code: 403, Message: strings.Repeat("Request is prohibited. ", 40) + "vpcServiceControlsUniqueIdentifier: AbC-1_x"},
		&gcp.StatusError{Code: 403, Message: "no", Body: `{"error":{"details":[{"metadata":{"vpcServiceControlsUniqueIdentifier": "AbC-1_x"}}]}}`},
	} {
		if e := gcp.Failure(err, call); !strings.Contains(e.Error(), "AbC-1_x)") || e.Args["violation"] != "AbC-1_x" {
			t.Errorf("lost: %v", e)
		}
	}
}

func TestReadsAreMadeTwiceWhenTheFailurePasses(t *testing.T) {
	for _, c := range []struct {
		err   error
		calls int
	}{
		{nil, 1},
		{answered(429, "", ""), 1}, {answered(500, "", ""), 2}, {answered(503, "", ""), 2}, {answered(403, "rateLimitExceeded", ""), 1},
		{syscall.ECONNRESET, 2}, {io.ErrUnexpectedEOF, 2}, {syscall.ECONNREFUSED, 2},
		{answered(400, "", ""), 1}, {answered(401, "", ""), 1}, {answered(403, "forbidden", ""), 1}, {answered(404, "", ""), 1},
		{answered(409, "", ""), 1}, {context.DeadlineExceeded, 1}, {context.Canceled, 1}, {&access.Error{}, 1},
	} {
		calls := 0
		_, err := gcp.Read(t.Context(), gcptest.NoWait, func(context.Context) (int, error) { calls++; return calls, c.err })
		if calls != c.calls || !errors.Is(err, c.err) {
			t.Errorf("%v: %d calls, %v; want %d", c.err, calls, err, c.calls)
		}
	}
}

func TestReadWaitsAtRandomAndNotBeyondTheDeadline(t *testing.T) {
	busy := answered(503, "", "")
	for _, random := range []float64{0, 0.5, 0.999} {
		var waited time.Duration
		r := gcp.Retry{Random: func() float64 { return random }, Sleep: func(_ context.Context, d time.Duration) error { waited = d; return nil }}
		gcp.Read(t.Context(), r, func(context.Context) (int, error) { return 0, busy })
		if want := 250*time.Millisecond + time.Duration(random*float64(250*time.Millisecond)); waited != want {
			t.Errorf("waited %s, want %s", waited, want)
		}
	}
	near, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	calls := 0
	_, err := gcp.Read(near, gcptest.NoWait, func(context.Context) (int, error) { calls++; return 0, busy })
	if calls != 1 || !errors.Is(err, busy) {
		t.Errorf("%d calls, %v: the first failure says more than a time-out", calls, err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = gcp.Read(ended, gcptest.NoWait, func(context.Context) (int, error) { return 0, busy })
	if !errors.Is(err, busy) {
		t.Errorf("got %v", err)
	}
}

func TestTheZeroRetryRepeatsNothing(t *testing.T) {
	calls := 0
	if _, err := gcp.Read(t.Context(), gcp.Retry{}, func(context.Context) (int, error) { calls++; return 0, answered(503, "", "") }); err == nil || calls != 1 {
		t.Errorf("%d calls, %v", calls, err)
	}
}

func TestReadSurvivesAResetConnection(t *testing.T) {
	gcptest.StartMetadata(t)
	var calls atomic.Int32
	g := startGoogle(t, func(w http.ResponseWriter, r *http.Request) {
		if calls.Add(1) == 1 {
			panic(http.ErrAbortHandler)
		}
		gcptest.Answer(w, map[string]any{"keys": []any{}})
	})
	if _, err := connect(t, g.URL).IAPKeys(t.Context()); err != nil {
		t.Error(err)
	}
}

func FuzzFailure(f *testing.F) {
	f.Add(403, "forbidden", "no\r\nSet-Cookie: x", `{"vpcServiceControlsUniqueIdentifier":"x"}`)
	f.Add(400, "", "\xff\xfe"+strings.Repeat("\u202e", 200), "")
	f.Add(0, "", "", "")
	f.Fuzz(func(t *testing.T, status int, reason, message, body string) {
		e := gcp.Failure(&gcp.StatusError{Code: status, Message: message, Body: body, Reasons: []string{reason}}, call)
		for _, text := range []string{e.Error(), e.Args["reason"], e.Args["violation"]} {
			if strings.ContainsAny(text, "\r\n\x1b\x00\u202e") || len(text) > 4000 {
				t.Errorf("unfit to be shown: %q", text)
			}
		}
	})
}
