// Package oauthtest runs a real OAuth server for tests, npm's oidc-provider, and judges
// its tokens as a mail server would.
package oauthtest

import (
	"bufio"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"
)

// Mailbox is whose refresh tokens there are, and Secret is that of all applications:
// it needs encoding wherever it is sent.
const (
	Mailbox = "jitaccess@example.com"
	Secret  = "s3cret: 100 %+/="
)

// The applications, by how they prove themselves and what they may do.
const (
	Basic     = "basic"     // in a header
	Post      = "post"      // among the parameters
	Opaque    = "opaque"    // its tokens are no JWTs
	Consented = "consented" // by a refresh token
	Rotating  = "rotating"  // by refresh tokens that serve once
)

// audience begins that of every token: the mail server.
const audience = "urn:example:mail"

// Server is a running one.
type Server struct {
	Issuer        string
	RefreshToken  string // of Consented
	RotatingToken string // of Rotating, the first one
}

// Start starts a server that ends with the test. The tools that it needs must be
// there.
func Start(t testing.TB) *Server {
	t.Helper()
	s := &Server{}
	run(t, s, "server.mjs", Mailbox, Secret)
	return s
}

// Client is the one application of an OpenID provider; its secret is Secret.
const Client = "jitaccess"

// StartOpenID starts an OpenID provider that ends with the test, and returns its issuer. There
// anybody logs in under the address that they type; that of nobody whose address begins with
// "unverified" is verified. With thin ID tokens other claims are at the UserInfo endpoint only.
func StartOpenID(t testing.TB, thin bool, redirectURIs ...string) (issuer string) {
	t.Helper()
	tokens := "whole"
	if thin {
		tokens = "thin"
	}
	s := &Server{}
	run(t, s, "openid.mjs", append([]string{Secret, tokens}, redirectURIs...)...)
	return s.Issuer
}

// run runs a program of testdata until the test ends, and reads the line that it says first.
func run(t testing.TB, into any, program string, arguments ...string) {
	t.Helper()
	_, file, _, _ := runtime.Caller(0)
	directory := filepath.Join(filepath.Dir(file), "..", "testdata")
	if _, err := os.Stat(filepath.Join(directory, "node_modules", "oidc-provider")); err != nil {
		t.Fatalf("the OAuth server is not installed; make test does that: %v", err)
	}
	command := exec.Command("node", append([]string{program}, arguments...)...)
	command.Dir = directory
	var said strings.Builder
	command.Stderr = &said
	input, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	output, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatalf("node: %v", err)
	}
	lines := bufio.NewReader(output)
	t.Cleanup(func() {
		input.Close()
		if err := command.Wait(); err != nil {
			t.Errorf("%s: %v\n%s", program, err, said.String())
		}
	})
	line, err := lines.ReadBytes('\n')
	if err != nil || json.Unmarshal(line, into) != nil {
		t.Fatalf("%s did not start: %q, %v", program, line, err)
	}
	go io.Copy(io.Discard, lines) // it may say more
}

// TokenURL is where it issues tokens.
func (s *Server) TokenURL() string { return s.Issuer + "/token" }

// Verify is what a mail server does with a token: it is the provider's, for this
// server, not over, and for the mailbox or of an application that may use it.
func (s *Server) Verify(mailbox, token string, applications ...string) error {
	claims := jwt.MapClaims{}
	if strings.Count(token, ".") == 2 {
		_, err := jwt.ParseWithClaims(token, claims, s.key,
			jwt.WithValidMethods([]string{"RS256"}), jwt.WithIssuer(s.Issuer), jwt.WithExpirationRequired())
		if err != nil {
			return err
		}
	} else if err := s.introspect(token, claims); err != nil {
		return err
	}
	if to, _ := claims["aud"].(string); !strings.HasPrefix(to, audience) || claims["scope"] != "mail" {
		return fmt.Errorf("for %v, scope %v", claims["aud"], claims["scope"])
	}
	if claims["upn"] == mailbox {
		return nil
	}
	for _, application := range applications {
		if claims["client_id"] == application && claims["upn"] == nil {
			return nil
		}
	}
	return fmt.Errorf("%v of %v is not %s", claims["upn"], claims["client_id"], mailbox)
}

// key is the published key that a token names.
func (s *Server) key(token *jwt.Token) (any, error) {
	var set struct{ Keys []struct{ Kid, N, E string } }
	if err := read(http.Get(s.Issuer + "/jwks"))(&set); err != nil {
		return nil, err
	}
	for _, k := range set.Keys {
		if k.Kid != token.Header["kid"] {
			continue
		}
		n, err := base64.RawURLEncoding.DecodeString(k.N)
		e, worse := base64.RawURLEncoding.DecodeString(k.E)
		return &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(new(big.Int).SetBytes(e).Int64())}, errors.Join(err, worse)
	}
	return nil, errors.New("no such key")
}

// introspect asks the provider about a token that says nothing itself.
func (s *Server) introspect(token string, claims jwt.MapClaims) error {
	if err := read(s.post("/token/introspection", "mailserver", token))(&claims); err != nil {
		return err
	}
	if claims["active"] != true {
		return errors.New("not active")
	}
	return nil
}

// Revoke ends a token of an application.
func (s *Server) Revoke(t testing.TB, application, token string) {
	t.Helper()
	response, err := s.post("/token/revocation", application, token)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("revocation: %v", err)
	}
	response.Body.Close()
}

func (s *Server) post(path, application, token string) (*http.Response, error) {
	r, err := http.NewRequest("POST", s.Issuer+path, strings.NewReader(url.Values{"token": {token}}.Encode()))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(url.QueryEscape(application), url.QueryEscape(Secret))
	return http.DefaultClient.Do(r)
}

// read decodes an answer.
func read(response *http.Response, err error) func(into any) error {
	return func(into any) error {
		if err != nil {
			return err
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		if err != nil {
			return err
		}
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("%s: %s", response.Status, text)
		}
		return json.Unmarshal(text, into)
	}
}
