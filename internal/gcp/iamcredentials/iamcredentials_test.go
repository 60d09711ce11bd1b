package iamcredentials_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"jitaccess/internal/access"
	"jitaccess/internal/gcp/gcptest"
	"jitaccess/internal/gcp/iamcredentials"
)

func signer(t *testing.T, handler http.HandlerFunc) (*iamcredentials.Signer, *gcptest.Google) {
	t.Helper()
	g := gcptest.Start(t, handler)
	s := iamcredentials.New(g.Platform)
	return s, g
}

func TestSignsThePayloadAsItIs(t *testing.T) {
	payload := `{"iss":"x","justification":"<ü>\n"}`
	s, g := signer(t, func(w http.ResponseWriter, r *http.Request) {
		var body struct{ Payload string }
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil || body.Payload != payload {
			t.Errorf("got %q, %v", body.Payload, err)
		}
		gcptest.Answer(w, map[string]any{"keyId": "k", "signedJwt": "a.b.c"})
	})
	jwt, err := s.SignJWT(t.Context(), []byte(payload))
	if err != nil || jwt != "a.b.c" {
		t.Errorf("got %q, %v", jwt, err)
	}
	if n := g.Calls("POST /v1/projects/-/serviceAccounts/" + gcptest.Account + ":signJwt"); n != 1 {
		t.Errorf("%d calls", n)
	}
}

func TestSigningThatFails(t *testing.T) {
	for _, c := range []struct {
		status, calls int
		kind          access.Kind
		code          access.Code
	}{
		{400, 1, access.Upstream, access.CodeUpstreamFailed},
		{401, 1, access.Upstream, access.CodeUpstreamFailed},
		{403, 1, access.Upstream, access.CodeSigningNotAllowed},
		{404, 1, access.Upstream, access.CodeUpstreamFailed},
		{429, 1, access.TooMany, access.CodeQuota}, // and all others as in package gcp
	} {
		t.Run(fmt.Sprint(c.status), func(t *testing.T) {
			s, g := signer(t, gcptest.Refuse(c.status, "no"))
			_, err := s.SignJWT(t.Context(), []byte(`{"secret":"hunter2"}`))
			e := access.AsError(err)
			if e == nil || e.Kind != c.kind || e.Code != c.code || strings.Contains(e.Error(), "hunter2") {
				t.Fatalf("got %v", err)
			}
			if c.code == access.CodeSigningNotAllowed && e.Args["account"] != gcptest.Account {
				t.Errorf("names %v", e.Args)
			}
			if n := g.Calls(""); n != c.calls {
				t.Errorf("%d calls, want %d", n, c.calls)
			}
		})
	}
}

func TestAnswerWithoutATokenIsNone(t *testing.T) {
	for _, body := range []string{`{}`, `{"signedJwt":""}`, `<html>`, ``} {
		s, _ := signer(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, body) })
		if jwt, err := s.SignJWT(t.Context(), []byte(`{}`)); err == nil {
			t.Errorf("%q gave %q", body, jwt)
		}
	}
}
