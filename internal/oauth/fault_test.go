package oauth_test

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/oauth"
	"jitaccess/internal/porttest"
)

// Whatever an endpoint answers that is not a token becomes a sentence.
func TestBadEndpoints(t *testing.T) {
	raw := func(status int, kind, body string) func(http.ResponseWriter, question) {
		return func(w http.ResponseWriter, _ question) {
			w.Header().Set("Content-Type", kind)
			w.WriteHeader(status)
			io.WriteString(w, body)
		}
	}
	const json, form = "application/json", "application/x-www-form-urlencoded"
	token := func(fields string) func(http.ResponseWriter, question) {
		return raw(200, json, `{"expires_in":3600,`+fields+`}`)
	}
	for _, test := range []struct {
		name       string
		answer     func(http.ResponseWriter, question)
		kind       access.Kind
		code, says string
	}{
		{"HTML", raw(200, "text/html", "<html>CANARY sign in</html>"), access.Upstream, "", "answered 200: the answer is no token; is the token URL right?"},
		{"HTML as text", raw(200, "text/plain", "<html>CANARY</html>"), access.Upstream, "", "is no token"},
		{"HTML as JSON", raw(200, json, "<html>"), access.Upstream, "", "is no token"},
		{"nothing", raw(200, json, ""), access.Upstream, "", "is no token"},
		{"no content", func(w http.ResponseWriter, _ question) { w.WriteHeader(204) }, access.Upstream, "", "answered 204: the answer is no token"},
		{"null", raw(200, json, "null"), access.Upstream, "", "is no token"},
		{"a list", raw(200, json, "[]"), access.Upstream, "", "is no token"},
		{"no token", token(`"token_type":"Bearer"`), access.Upstream, "", "is no token"},
		{"an empty token", token(`"token_type":"Bearer","access_token":""`), access.Upstream, "", "is no token"},
		{"a token that is no text", token(`"access_token":{"a":1}`), access.Upstream, "", "is no token"},
		{"an ID token alone", token(`"id_token":"CANARY"`), access.Upstream, "", "is no token"},
		{"another type", token(`"token_type":"mac","access_token":"CANARY"`), access.Upstream, "", `tokens of the type "mac"`},
		{"a hostile type", token(`"token_type":"\u001b[2J","access_token":"CANARY"`), access.Upstream, "", `"\x1b[2J"`},
		{"a token with a separator of XOAUTH2", token(`"access_token":"CANARY\u0001\u0001"`), access.Upstream, "", "cannot have"},
		{"a token of two lines", token(`"access_token":"CANARY\r\nRSET"`), access.Upstream, "", "cannot have"},
		{"a token beyond ASCII", token(`"access_token":"CANARY\u00fc"`), access.Upstream, "", "cannot have"},
		{"a token longer than a log-in", token(`"access_token":"` + strings.Repeat("CANARY", 1500) + `"`), access.Upstream, "", "longer than what mail servers take"},
		{"a huge answer", raw(200, json, `{"access_token":"`+strings.Repeat("CANARY", 11000)+`"}`), access.Upstream, "", "65536 bytes or more"},
		{"an endless refusal", raw(500, "text/html", strings.Repeat("CANARY", 200000)), access.Unavailable, "", "65536 bytes or more"},
		{"a redirect", func(w http.ResponseWriter, _ question) {
			w.Header().Set("Location", "https://127.0.0.1:1/CANARY")
			w.WriteHeader(307)
		}, access.Upstream, "", "answered 307: the answer sends elsewhere"},
		{"500", raw(500, "text/html", "<h1>CANARY</h1>"), access.Unavailable, "", "answered 500: the answer gives no reason"},
		{"404", raw(404, "text/html", "<h1>CANARY</h1>"), access.Upstream, "", "answered 404: the answer gives no reason in the way of OAuth; is the token URL right?"},
		{"an error of another API", raw(400, json, `{"error":{"code":400,"message":"CANARY"}}`), access.Upstream, "", "answered 400: the answer gives no reason"},
		{"429", raw(429, json, `{"error":"temporarily_unavailable"}`), access.Unavailable, "temporarily_unavailable", "answered 429"},
		{"a refusal", raw(401, json, `{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret provided.\r\nTrace ID: 1"}`), access.Upstream,
			"invalid_client", `answered 401: invalid_client: "AADSTS7000215: Invalid client secret provided.\r\nTrace ID: 1"`},
		{"a refusal that is a success", raw(200, json, `{"error":"bad_verification_code"}`), access.Upstream, "bad_verification_code", "answered 200"},
		{"a refusal as a form", raw(400, form, "error=invalid_scope&error_description=no"), access.Upstream, "invalid_scope", "no"},
		{"a refusal that repeats the secret", func(w http.ResponseWriter, q question) {
			refuse(w, 400, "unauthorized_client", "you said CANARYsecret and "+basic("app:CANARYsecret"))
		}, access.Upstream, "unauthorized_client", "you said [redacted] and [redacted]"},
		{"a hostile code", raw(400, json, `{"error":"a\u001b[2J\nb CANARYsecret"}`), access.Upstream, `"a\x1b[2J\nb [redacted]"`, ""},
		{"a long description", raw(400, json, `{"error":"x","error_description":"`+strings.Repeat("y", 60000)+`"}`), access.Upstream, "x", "yyy..."},
		{"a broken answer", func(w http.ResponseWriter, _ question) {
			w.Header().Set("Content-Length", "1000")
			io.WriteString(w, `{"access_token":"CANARY`)
		}, access.Unavailable, "", "the connection broke"},
		{"a connection that ends", func(w http.ResponseWriter, _ question) { panic(http.ErrAbortHandler) }, access.Unavailable, "", "cannot be reached"},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := newEndpoint(t, test.answer)
			_, err := newSource(t, e.config()).Secret(t.Context(), "")
			f := wantFault(t, err, test.code, test.says)
			if got := access.AsError(err).Kind; got != test.kind || !strings.HasPrefix(f.Host, "127.0.0.1:") {
				t.Errorf("%v is of the kind %v, of %s", err, got, f.Host)
			}
		})
	}
}

func basic(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

func TestEndpointsThatCannotBeReached(t *testing.T) {
	e := newEndpoint(t, nil)
	closed := "127.0.0.1:" + porttest.Free(t)
	clear := httptest.NewServer(http.NotFoundHandler())
	defer clear.Close()
	for _, test := range []struct {
		name   string
		change func(*oauth.Config)
		says   string
	}{
		{"nobody listens", func(c *oauth.Config) { c.TokenURL = "https://" + closed }, "connection refused"},
		{"no such host", func(c *oauth.Config) { c.TokenURL = "https://login.invalid/" }, "cannot be reached"},
		{"a certificate that nobody trusts", func(c *oauth.Config) { c.Transport = nil }, "certificate"},
		{"no TLS", func(c *oauth.Config) { c.TokenURL = strings.Replace(clear.URL, "http:", "https:", 1) }, "cannot be reached"},
		{"a proxy that cannot be read", func(c *oauth.Config) {
			c.Transport = failingTransport{fmt.Errorf("invalid proxy address %q", "http://u:CANARY@proxy")}
		}, "the connection broke"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := e.config()
			test.change(&c)
			_, err := newSource(t, c).Secret(t.Context(), "")
			wantFault(t, err, "", test.says)
			if got := access.AsError(err).Kind; got != access.Unavailable {
				t.Errorf("kind %v", got)
			}
		})
	}
	if e.count() != 0 {
		t.Errorf("the endpoint was asked %d times", e.count())
	}
}

type failingTransport struct{ error }

func (f failingTransport) RoundTrip(*http.Request) (*http.Response, error) { return nil, f.error }

// An endpoint that never answers costs no more than the deadline.
func TestAnEndpointThatHangs(t *testing.T) {
	reached, proceed := make(chan struct{}, 2), make(chan struct{})
	e := newEndpoint(t, func(http.ResponseWriter, question) { reached <- struct{}{}; <-proceed })
	defer close(proceed)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-reached; cancel() }()
	_, err := newSource(t, e.config()).Secret(ctx, "")
	wantFault(t, err, "", "no answer in time")
	if got := access.AsError(err); got.Kind != access.TimedOut || got.Code != access.CodeUpstreamTimeout {
		t.Errorf("%v", got)
	}
}

// A token for somebody else: at once when it is another application's, and else when
// the mail server has refused it, with what the token itself tells.
func TestATokenForSomebodyElse(t *testing.T) {
	for _, test := range []struct {
		name, claims string
		early, late  string // codes
		says         string
	}{
		{"ours", `{"appid":"app","tid":"t","roles":["SMTP.SendAsApp"],"aud":"https://outlook.office365.com"}`, "", "", ""},
		{"another application's (appid)", `{"appid":"other"}`, oauth.CodeOtherApplication, "", `"other"`},
		{"another application's (azp)", `{"azp":"other"}`, oauth.CodeOtherApplication, "", ""},
		{"another application's (client_id)", `{"client_id":"other"}`, oauth.CodeOtherApplication, "", ""},
		{"ours among several", `{"azp":"other","client_id":"app"}`, "", "", ""},
		{"our mailbox", `{"upn":"JIT@example.com"}`, "", "", ""},
		{"another mailbox (upn)", `{"upn":"eve@example.com"}`, "", oauth.CodeOtherMailbox, `its token is for "eve@example.com", and the log-in for "jit@example.com"`},
		{"another mailbox (email)", `{"email":"eve@example.com"}`, "", oauth.CodeOtherMailbox, ""},
		{"another mailbox (sub)", `{"sub":"eve@example.com"}`, "", oauth.CodeOtherMailbox, ""},
		{"a sub that is no address", `{"sub":"CANARY7f3a"}`, "", "", ""},
		{"our mailbox among several", `{"upn":"eve@example.com","email":"jit@example.com"}`, "", "", ""},
		{"Microsoft Graph", `{"aud":"https://graph.microsoft.com/","tid":"t","scp":"Mail.Send"}`, "", oauth.CodeOtherService, "Microsoft Graph"},
		{"Microsoft Graph by its id", `{"aud":["00000003-0000-0000-c000-000000000000"],"tid":"t"}`, "", oauth.CodeOtherService, ""},
		{"without the role", `{"appid":"app","tid":"t"}`, "", oauth.CodeMissingRole, "lacks the role SMTP.SendAsApp"},
		{"with another role", `{"appid":"app","tid":"t","roles":["IMAP.AccessAsApp"]}`, "", oauth.CodeMissingRole, ""},
		{"a person's", `{"appid":"app","tid":"t","scp":"SMTP.Send"}`, "", "", ""},
		{"claims of other types", `{"appid":5,"upn":{"a":"eve@example.com"},"sub":[1,null],"tid":true}`, "", "", ""},
		{"no claims", `[]`, "", "", ""},
		{"no JSON", `CANARY`, "", "", ""},
		{"hostile", `{"upn":"eve@\u001b[2J\r\nexample.com"}`, "", oauth.CodeOtherMailbox, `\x1b[2J\r\n`},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := newEndpoint(t, func(w http.ResponseWriter, _ question) {
				issue(w, map[string]any{"access_token": jwt(test.claims), "token_type": "Bearer", "expires_in": 3600})
			})
			s := newSource(t, e.config())
			token, err := s.Secret(t.Context(), "")
			if test.early != "" {
				wantFault(t, err, test.early, test.says)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			// After a while another one is tried; what the operator has mended shows then.
			e.pass(time.Minute)
			if _, err = s.Secret(t.Context(), token); err != nil || e.count() != 2 {
				t.Errorf("no other: %v after %d questions", err, e.count())
			}
			_, err = s.Secret(t.Context(), token)
			if test.late != "" {
				wantFault(t, err, test.late, test.says)
			} else if err != nil {
				t.Errorf("refused: %v", err)
			}
		})
	}
}

// It arrives as it is, whatever is in it.
func TestSecrets(t *testing.T) {
	for _, secret := range []string{"CANARYsecret", "CANARY~+/=:%&\u00fc ", strings.Repeat("CANARY", 10923)[:65536]} {
		e := newEndpoint(t, nil)
		c := e.config()
		c.ClientSecret = constant(secret)
		if _, err := newSource(t, c).Secret(t.Context(), ""); err != nil || e.asked[0].secret != secret {
			t.Errorf("%v, sent %.100q", err, e.asked[0].secret)
		}
	}
}

// Threat 17.
func TestALongSecretStaysOutOfErrors(t *testing.T) {
	e := newEndpoint(t, nil)
	c := e.config()
	c.ClientSecret = constant(strings.Repeat("CANARY", 10000))
	e.answers(func(w http.ResponseWriter, q question) {
		refuse(w, 401, "invalid_client", "is "+q.secret+q.Get("client_secret"))
	})
	_, err := newSource(t, c).Secret(t.Context(), "")
	wantFault(t, err, "invalid_client", "is [redacted]")
}

// Threat 17: an endpoint repeats what it was sent as it keeps it, or inside an answer
// of another's.
func TestThreat17_TheSecretIsToldInNoForm(t *testing.T) {
	const secret = "CANARY~8Q & <x>.+1"
	for _, told := range []string{
		secret, url.QueryEscape(secret), url.PathEscape(secret), html.EscapeString(secret), hex.EncodeToString([]byte(secret)), strings.ToLower(secret),
		base64.StdEncoding.EncodeToString([]byte(secret)), base64.RawURLEncoding.EncodeToString([]byte("secret: " + secret)), strconv.QuoteToASCII(secret),
		url.QueryEscape(url.QueryEscape(secret)),
	} {
		for _, code := range []string{"invalid_client", told} {
			e := newEndpoint(t, func(w http.ResponseWriter, _ question) { refuse(w, 401, code, "no: "+told+"\x1b[2J") })
			c := e.config()
			c.ClientSecret = constant(secret)
			_, err := newSource(t, c).Secret(t.Context(), "")
			if text := err.Error(); strings.Contains(text, told) || strings.Contains(strings.ToLower(text), "canary") || !strings.Contains(text, "[redacted]") {
				t.Errorf("%q: says %q", told, text)
			}
			wantSafe(t, err)
		}
	}
}

// Threat 17: nor is it when somebody prints what holds it.
func TestThreat17_ASourceShowsNoSecret(t *testing.T) {
	e := newEndpoint(t, func(w http.ResponseWriter, _ question) {
		issue(w, map[string]any{"access_token": "CANARYtoken", "token_type": "Bearer", "expires_in": 60})
	})
	s := newSource(t, e.config())
	wantToken(t, s, "", "CANARYtoken")
	for _, form := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
		for _, what := range []any{s, struct{ Login any }{s}, []any{s}, map[string]any{"a": s}} {
			if text := fmt.Sprintf(form, what); strings.Contains(text, "CANARY") || strings.Contains(text, hex.EncodeToString([]byte("CANARY"))) {
				t.Errorf("%s of a %T is %q", form, what, text)
			}
		}
	}
}

// What the endpoint refuses is read again, in case it was rotated; every 5 minutes
// at most.
func TestSecretsAreReadAgainWhenTheyAreRefused(t *testing.T) {
	good := "CANARY1"
	e := newEndpoint(t, nil)
	e.answers(func(w http.ResponseWriter, q question) {
		if q.secret != good && q.Get("client_secret") != good {
			refuse(w, 401, "invalid_client", "wrong")
			return
		}
		issue(w, map[string]any{"access_token": "token", "token_type": "Bearer", "expires_in": 60})
	})
	stored, reads := "CANARY1", 0
	c := e.config()
	c.ClientSecret = func(context.Context) (string, error) { reads++; return stored, nil }
	s := newSource(t, c)
	step := func(what string, pass time.Duration, wantReads int, fails bool) {
		t.Helper()
		e.pass(pass)
		if _, err := s.Secret(t.Context(), ""); (err != nil) != fails || reads != wantReads {
			t.Errorf("%s: %v after %d reads, want %d", what, err, reads, wantReads)
		}
	}
	step("first", 0, 1, false)
	step("again", time.Minute, 1, false)
	good, stored = "CANARY2", "CANARY2"
	step("rotated", time.Minute, 2, false)
	good = "CANARY3"
	step("rotated, not stored yet", time.Minute, 2, true)
	stored = "CANARY3"
	step("too soon", 3*time.Minute, 2, true)
	step("5 minutes later", time.Minute, 3, false)
}

func TestAReadThatFailsIsReportedWithItsCause(t *testing.T) {
	cause := &access.Error{Kind: access.Upstream, Code: access.CodeServiceNotAllowed, Args: access.Args{"permission": "secretmanager.versions.access"}}
	for name, change := range map[string]func(*oauth.Config){
		"client secret": func(c *oauth.Config) { c.ClientSecret = func(context.Context) (string, error) { return "", cause } },
		"refresh token": func(c *oauth.Config) { c.RefreshToken = func(context.Context) (string, error) { return "", cause } },
		"signature": func(c *oauth.Config) {
			c.ClientID, c.ClientSecret = "", nil
			c.Assertion = &oauth.Assertion{Account: "a", Sign: func(context.Context, []byte) (string, error) { return "", cause }}
		},
	} {
		e := newEndpoint(t, nil)
		c := e.config()
		change(&c)
		if _, err := newSource(t, c).Secret(t.Context(), ""); !errors.Is(err, cause) || e.count() != 0 {
			t.Errorf("%s: %v, asked %d times", name, err, e.count())
		}
	}
}

// A refresh token that the provider replaces is used from then on, and the operator
// hears of it. One that is stored anew replaces it.
func TestAReplacedRefreshTokenIsUsed(t *testing.T) {
	e := newEndpoint(t, nil)
	next := 1
	valid := "CANARY0"
	e.answers(func(w http.ResponseWriter, q question) {
		if q.Get("refresh_token") != valid {
			refuse(w, 400, "invalid_grant", "not "+q.Get("refresh_token"))
			return
		}
		valid = fmt.Sprint("CANARY", next)
		next++
		issue(w, map[string]any{"access_token": "token", "token_type": "Bearer", "expires_in": 60, "refresh_token": valid})
	})
	c := e.config()
	stored := "CANARY0"
	var warned []string
	c.RefreshToken = func(context.Context) (string, error) { return stored, nil }
	c.Warn = func(text string) { warned = append(warned, text) }
	s := newSource(t, c)
	for range 3 {
		wantToken(t, s, "", "token")
		e.pass(time.Minute)
	}
	if len(warned) != 3 || strings.Contains(warned[0], "CANARY") || !strings.Contains(warned[0], "cannot be stored") {
		t.Errorf("warned %q", warned)
	}
	valid = "CANARYconsented again"
	_, err := s.Secret(t.Context(), "")
	wantFault(t, err, "invalid_grant", "not [redacted]")
	stored = "CANARYconsented again"
	e.pass(5 * time.Minute)
	wantToken(t, s, "", "token")
}

// Whatever an endpoint answers, there is a token that fits into a log-in, or a fault
// that fits into a log.
func FuzzAnswer(f *testing.F) {
	f.Add(200, "application/json", `{"access_token":"t","token_type":"Bearer","expires_in":"60","refresh_token":"r"}`)
	f.Add(200, "text/plain", "access_token=t&expires_in=60")
	f.Add(400, "application/json", `{"error":"invalid_grant","error_description":"\u0000\u202e"}`)
	f.Add(200, "application/json", `{"access_token":"`+jwt(`{"upn":["a@b"],"aud":{},"tid":1}`)+`"}`)
	f.Add(302, "text/html", "<html>")
	f.Add(99, "", "")
	f.Fuzz(func(t *testing.T, status int, kind, answer string) {
		if status < 200 || status > 999 {
			return
		}
		c := oauth.Config{TokenURL: "https://login.example.com/token", Scope: "mail", Mailbox: "jit@example.com", ClientID: "app",
			ClientSecret: constant("CANARYsecret"), RefreshToken: constant("CANARYrefresh"), Now: time.Now,
			Transport: answering(func(*http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {kind}}, Body: io.NopCloser(strings.NewReader(answer))}, nil
			})}
		s, err := oauth.New(c)
		if err != nil {
			t.Fatal(err)
		}
		token, err := s.Secret(t.Context(), "")
		if err == nil {
			if token == "" || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
				t.Errorf("token %q", token)
			}
			_, err = s.Secret(t.Context(), token)
		}
		if err != nil {
			var f *oauth.Fault
			if !errors.As(err, &f) {
				t.Errorf("%v is no fault", err)
			}
			wantSafe(t, err)
		}
	})
}

type answering func(*http.Request) (*http.Response, error)

func (a answering) RoundTrip(r *http.Request) (*http.Response, error) { return a(r) }
