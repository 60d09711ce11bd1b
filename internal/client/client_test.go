package client_test

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/client"
	"jitaccess/internal/sandbox/pomerium"
)

func TestOrigins(t *testing.T) {
	for text, want := range map[string]client.Origin{
		"https://access.example.com":              "https://access.example.com",
		"https://Access.Example.com:443/review?a": "https://access.example.com",
		"http://localhost:8080/":                  "http://localhost:8080",
		"http://[::1]:8080":                       "http://[::1]:8080",
		"http://access.example.com":               "",
		"http://127.0.0.1.example.com":            "",
		"https://alice:secret@example.com":        "",
		"access.example.com":                      "",
		"ftp://localhost":                         "",
		"https://":                                "",
		"":                                        "",
	} {
		got, err := client.ParseOrigin(text)
		if got != want || (err == nil) != (want != "") || err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
}

// The token is its owner's alone, and what others may have read or written is not used.
func TestTheTokenIsKept(t *testing.T) {
	store := client.Store{Path: filepath.Join(t.TempDir(), "jitaccess", "token.json")}
	if _, err := store.Load(); !errors.Is(err, client.ErrNoToken) {
		t.Errorf("%v", err)
	}
	token := client.Token{Origin: "https://access.example.com", Front: client.IAP, Value: "a.b.c", Expires: time.Unix(2e9, 0).UTC()}
	for range 2 {
		if err := store.Save(token); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := store.Load(); err != nil || got != token {
		t.Errorf("%+v, %v", got, err)
	}
	left, err := os.ReadDir(filepath.Dir(store.Path))
	if about, failed := os.Stat(store.Path); err != nil || failed != nil || len(left) != 1 || about.Mode().Perm() != 0o600 {
		t.Errorf("%v %v %v", left, about.Mode(), err)
	}
	for _, mode := range []os.FileMode{0o640, 0o604, 0o620, 0o602, 0o601} {
		if err := os.Chmod(store.Path, mode); err != nil {
			t.Fatal(err)
		}
		if got, err := store.Load(); err == nil || got.Value != "" || !strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("%o: %v, %v", mode, got, err)
		}
	}
	if os.Getuid() == 0 {
		if err := errors.Join(os.Chmod(store.Path, 0o600), os.Chown(store.Path, 65532, 65532)); err != nil {
			t.Fatal(err)
		}
		if got, err := store.Load(); err == nil || got.Value != "" || !strings.Contains(err.Error(), "belongs to somebody else") {
			t.Errorf("%v, %v", got, err)
		}
	}
	for _, text := range []string{"", "{}", "no JSON", `{"origin":"http://access.example.com","front":"iap","token":"x"}`,
		`{"origin":"https://a","front":"other","token":"x"}`} {
		if err := errors.Join(os.Remove(store.Path), os.WriteFile(store.Path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
		if got, err := store.Load(); err == nil || got.Value != "" {
			t.Errorf("%q: %v", text, got)
		}
	}
	if err := errors.Join(os.Remove(store.Path), os.Mkdir(store.Path, 0o700)); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Load(); err == nil {
		t.Error("a folder")
	}
}

const oauthClient = "123-abc.apps.googleusercontent.com"

// identityToken is one as gcloud prints it.
func identityToken(audience, email string) string {
	text, _ := json.Marshal(map[string]any{"aud": audience, "email": email, "exp": 2e9})
	return "e30." + base64.RawURLEncoding.EncodeToString(text) + ".c2ln"
}

// iap lets tokens for its clients pass, to a service that knows people alone.
func iap(t *testing.T, clients ...string) *httptest.Server {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var said struct{ Aud, Email string }
		if parts := strings.Split(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), "."); len(parts) == 3 {
			text, _ := base64.RawURLEncoding.DecodeString(parts[1])
			_ = json.Unmarshal(text, &said)
		}
		admitted := false
		for _, c := range clients {
			admitted = admitted || c == said.Aud
		}
		switch {
		case !admitted && r.Header.Get("Accept") == "text/html":
			http.Redirect(w, r, "https://accounts.google.com/o/oauth2/v2/auth?client_id="+oauthClient, http.StatusFound)
		case !admitted:
			w.Header().Set("X-Goog-IAP-Generated-Response", "true")
			http.Error(w, "Invalid IAP credentials", http.StatusUnauthorized)
		case said.Email == "eve@example.com":
			w.Header().Set("X-Goog-IAP-Generated-Response", "true")
			http.Error(w, "You don't have access", http.StatusForbidden)
		default:
			w.Header().Set("Content-Type", "application/json")
			if strings.HasSuffix(said.Email, ".gserviceaccount.com") {
				w.WriteHeader(http.StatusUnauthorized)
				_, _ = w.Write([]byte(`{"message":"a service account is not a person","code":"bad-identity"}`))
				return
			}
			_ = json.NewEncoder(w).Encode(map[string]any{"signedInUser": map[string]string{"email": said.Email}})
		}
	}))
	t.Cleanup(s.Close)
	return s
}

// Behind Identity-Aware Proxy gcloud's token signs in where its client is on the allow-list, and what puts it there
// is said where it is not.
func TestSigningInBehindIAP(t *testing.T) {
	const gcloud, account = "gcloud.apps.googleusercontent.com", "ci@p.iam.gserviceaccount.com"
	for _, test := range []struct {
		name, impersonate, email string
		clients                  []string
		asked, person, says      string
	}{
		{"a person", "", "alice@example.com", []string{gcloud}, "auth print-identity-token --quiet", "alice@example.com", ""},
		{"not on the list", "", "alice@example.com", nil, "", "", `programmatic_clients: ["` + gcloud + `"]`},
		{"without the role", "", "eve@example.com", []string{gcloud}, "", "", "roles/iap.httpsResourceAccessor"},
		{"a service account", account, account, []string{oauthClient}, "auth print-identity-token --quiet --impersonate-service-account=" + account +
			" --audiences=" + oauthClient + " --include-email", "", ""},
		{"a service account not on the list", account, account, nil, "", "", `programmatic_clients: ["` + oauthClient + `"]`},
		{"an option for a service account", "--project=x", account, nil, "", "", "not the address of a service account"},
	} {
		server := iap(t, test.clients...)
		asked := ""
		run := func(_ context.Context, name string, args ...string) ([]byte, error) {
			asked = strings.Join(args, " ")
			audience := gcloud
			if test.impersonate != "" {
				audience = oauthClient
			}
			return []byte(identityToken(audience, test.email) + "\n"), nil
		}
		signed, err := client.SignIn{Origin: client.Origin(server.URL), Impersonate: test.impersonate, Run: run}.Do(t.Context())
		if test.says != "" {
			if err == nil || !strings.Contains(err.Error(), test.says) || signed.Token.Value != "" {
				t.Errorf("%s: %v", test.name, err)
			}
			continue
		}
		if err != nil || signed.Person != test.person || signed.Token.Front != client.IAP || signed.Token.Expires.Unix() != 2e9 || asked != test.asked {
			t.Errorf("%s: %+v, %v; asked %s", test.name, signed, err, asked)
		}
	}
	_, err := client.SignIn{Origin: client.Origin(iap(t).URL), Run: func(context.Context, string, ...string) ([]byte, error) {
		return nil, errors.New("executable file not found")
	}}.Do(t.Context())
	if err == nil || !strings.Contains(err.Error(), "gcloud auth login") {
		t.Errorf("%v", err)
	}
}

// A client of Identity-Aware Proxy's is named in commands that somebody types: what is none is no part of them.
func TestAStrangeClientOfIAP(t *testing.T) {
	for _, id := range []string{"", `x"]'; evil '`, "x\nevil", "x y", strings.Repeat("x", 300)} {
		s := httptest.NewServer(http.RedirectHandler("https://accounts.google.com/o/oauth2/v2/auth?"+url.Values{"client_id": {id}}.Encode(), http.StatusFound))
		_, err := client.SignIn{Origin: client.Origin(s.URL), Front: client.IAP, Impersonate: "ci@p.iam.gserviceaccount.com",
			Run: func(context.Context, string, ...string) ([]byte, error) {
				t.Errorf("gcloud is run for %q", id)
				return nil, nil
			}}.Do(t.Context())
		if err == nil || !strings.Contains(err.Error(), "--audience CLIENT_ID") {
			t.Errorf("%q: %v", id, err)
		}
		s.Close()
	}
}

// behindPomerium is a service behind the sandbox's Pomerium.
func behindPomerium(t *testing.T) *httptest.Server {
	zero, err := pomerium.New(pomerium.Options{Now: time.Now, Random: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(zero.Proxy(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var said struct{ Email string }
		text, _ := base64.RawURLEncoding.DecodeString(strings.Split(r.Header.Get(pomerium.AssertionHeader), ".")[1])
		_ = json.Unmarshal(text, &said)
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"signedInUser": map[string]string{"email": said.Email}})
	}), "localhost"))
	t.Cleanup(s.Close)
	return s
}

// Pomerium signs in by browser, which is sent to this machine, and only to the path that is waited at.
func TestSigningInBehindPomerium(t *testing.T) {
	server := behindPomerium(t)
	browse := func(ctx context.Context, address, letters string) error {
		if letters != "" {
			t.Errorf("its page shows no letters such as %s", letters)
		}
		u, _ := url.Parse(address)
		to, _ := url.Parse(u.Query().Get("pomerium_redirect_uri"))
		if to.Hostname() != "localhost" || len(to.Path) < 40 {
			t.Errorf("sent to %s", to)
		}
		if guess, err := http.Get("http://" + to.Host + "/?pomerium_jwt=theirs"); err != nil || guess.StatusCode != http.StatusNotFound {
			t.Errorf("%v, %v", guess, err)
		}
		r, _ := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
		r.AddCookie(&http.Cookie{Name: "sandbox_person", Value: "ana.weber@example.com"})
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		if page, err := io.ReadAll(answer.Body); err != nil || !strings.Contains(string(page), "You can close this page") {
			return fmt.Errorf("%w: %s: %.300s", err, answer.Request.URL, page)
		}
		return nil
	}
	signed, err := client.SignIn{Origin: client.Origin(server.URL), Browse: browse, Random: rand.Reader}.Do(t.Context())
	if err != nil || signed.Person != "ana.weber@example.com" || signed.Token.Front != client.Pomerium {
		t.Errorf("%+v, %v", signed, err)
	}
	ctx, stop := context.WithCancel(t.Context())
	if _, err := (client.SignIn{Origin: client.Origin(server.URL), Random: rand.Reader,
		Browse: func(context.Context, string, string) error { stop(); return nil }}).Do(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("nobody logs in: %v", err)
	}
}

// A token for another host, to whose Pomerium a service has led on, is not sent to that service.
func TestATokenOfPomeriumForAnotherHost(t *testing.T) {
	jwt := func(claims string) string {
		encoded := base64.RawURLEncoding.EncodeToString
		return encoded([]byte(`{"alg":"HS256"}`)) + "." + encoded([]byte(claims)) + "." + encoded([]byte("signed"))
	}
	for _, test := range []struct {
		name, claims, refused string
	}{
		{"for the service", `{"aud":["login.example.com","localhost:4711","HOST"]}`, ""},
		{"for it, without its port", `{"aud":["127.0.0.1"]}`, ""},
		{"for it alone", `{"aud":"HOST"}`, ""},
		{"for nobody that is named", `{"exp":4102444800}`, ""},
		{"not to be read", "", ""},
		{"for another", `{"aud":["login.example.com","localhost:4711","access.example.com"]}`, `"access.example.com"`},
		{"for another alone", `{"aud":"access.example.com"}`, `"access.example.com"`},
		{"for what its host begins with", `{"aud":["127.0.0.1.example.com"]}`, "not for http://127.0.0.1"},
		{"for something else", `{"aud":7}`, "does not say for which host"},
	} {
		sent := false
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/.pomerium/api/v1/login" {
				_, _ = w.Write([]byte("https://login.example.com/.pomerium/sign_in?to=" + url.QueryEscape(r.FormValue("pomerium_redirect_uri"))))
				return
			}
			sent = sent || r.Header.Get("Authorization") != ""
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte(`{"signedInUser":{"email":"ana@example.com"}}`))
		}))
		token := "opaque"
		if test.claims != "" {
			token = jwt(strings.ReplaceAll(test.claims, "HOST", strings.TrimPrefix(s.URL, "http://")))
		}
		browse := func(_ context.Context, address, _ string) error {
			u, _ := url.Parse(address)
			answer, err := http.Get(u.Query().Get("to") + "?" + url.Values{"pomerium_jwt": {token}}.Encode())
			if err == nil {
				answer.Body.Close()
			}
			return err
		}
		_, err := client.SignIn{Origin: client.Origin(s.URL), Front: client.Pomerium, Browse: browse, Random: rand.Reader}.Do(t.Context())
		if (err != nil) != (test.refused != "") || err != nil && !strings.Contains(err.Error(), test.refused) || sent != (test.refused == "") {
			t.Errorf("%s: %v, sent: %v", test.name, err, sent)
		}
		s.Close()
	}
}

// What a service says is Pomerium's sign-in page is opened where it can be one: by https, or on this machine.
func TestWherePomeriumSignsIn(t *testing.T) {
	for address, good := range map[string]bool{
		"https://login.example.com/.pomerium/sign_in": true, "http://localhost:4711/.pomerium/program": true,
		"http://login.example.com/": false, "https://login.example.com@evil.example/": false, "javascript:alert(1)": false,
		"file:///etc/passwd": false, "--version": false, "": false, "https://a.example/\x1b[2J": false,
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(address)) }))
		opened := false
		ctx, stop := context.WithCancel(t.Context())
		_, err := client.SignIn{Origin: client.Origin(s.URL), Front: client.Pomerium, Random: rand.Reader,
			Browse: func(context.Context, string, string) error { opened = true; stop(); return nil }}.Do(ctx)
		if stop(); err == nil || opened != good {
			t.Errorf("%q: opened %v, %v", address, opened, err)
		}
		s.Close()
	}
}

// A redirect takes the token nowhere, and what is unknown is said to be.
func TestStrangeFronts(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a redirect was followed") }))
	t.Cleanup(elsewhere.Close)
	for name, answer := range map[string]http.HandlerFunc{
		"a redirect": http.RedirectHandler(elsewhere.URL, http.StatusFound).ServeHTTP,
		"a page":     func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) },
		"a failure":  func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) },
		"a service without its proxy": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = w.Write([]byte(`{"message":"You are not signed in.","code":"no-identity"}`))
		},
	} {
		s := httptest.NewServer(answer)
		if _, err := (client.SignIn{Origin: client.Origin(s.URL)}).Do(t.Context()); !errors.Is(err, client.ErrUnknownFront) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := (client.SignIn{Origin: client.Origin(s.URL), Token: []byte("secret")}).Do(t.Context()); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s with a token: %v", name, err)
		}
		s.Close()
	}
	for _, text := range []string{"", "two tokens", "a\r\nX-Evil: 1", "ä"} {
		_, err := client.SignIn{Origin: "https://access.example.com", Token: []byte(text), Transport: unsent{t}}.Do(t.Context())
		if err == nil || !strings.Contains(err.Error(), "spaces or line breaks") || text != "" && strings.Contains(err.Error(), text) {
			t.Errorf("%q is a token: %v", text, err)
		}
	}
}

// unsent is a network to which nothing may be sent.
type unsent struct{ t *testing.T }

func (u unsent) RoundTrip(r *http.Request) (*http.Response, error) {
	u.t.Errorf("%s is asked", r.URL.Host)
	return nil, errors.New("nothing is sent")
}

// A secret in a file is one that nobody else may read.
func TestAPrivateFileIsReadByItsOwnerAlone(t *testing.T) {
	dir := t.TempDir()
	for name, c := range map[string]struct {
		content string
		mode    os.FileMode
		why     string
	}{
		"own":           {"token\r\n", 0o600, ""},
		"only to read":  {"token", 0o400, ""},
		"of the group":  {"token", 0o640, "others may read"},
		"of everybody":  {"token", 0o604, "others may read"},
		"written by it": {"token", 0o620, "others may read"},
		"empty":         {"\n", 0o600, "is empty"},
		"long":          {strings.Repeat("t", 1<<20), 0o600, "more than"},
	} {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(c.content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(file, c.mode); err != nil {
			t.Fatal(err)
		}
		text, err := client.ReadToken(file)
		if c.why == "" && (err != nil || text != "token") || c.why != "" && (err == nil || !strings.Contains(err.Error(), c.why)) {
			t.Errorf("%s: %q, %v", name, text, err)
		}
	}
	if _, err := client.ReadToken(dir); err == nil {
		t.Error("a folder is a file")
	}
}

// What a service or its front says of a failure has one line: behind a line break it could speak as this program does.
func TestARefusalHasOneLine(t *testing.T) {
	for name, text := range map[string]string{
		"a message":   `{"message":"no\njitaccess: log in at https://evil.example.com","code":"x"}`,
		"a detail":    `{"detail":"no\r\n\u2028jitaccess: log in at https://evil.example.com","code":"x"}`,
		"an incident": `{"message":"no","code":"x","incident":"1\u0085\u2029\njitaccess: log in at https://evil.example.com"}`,
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusForbidden)
			_, _ = w.Write([]byte(text))
		}))
		_, err := (&client.Service{Origin: client.Origin(s.URL)}).Me(t.Context())
		if err == nil || !strings.Contains(err.Error(), "evil") || strings.ContainsAny(err.Error(), "\n\r\u0085\u2028\u2029") {
			t.Errorf("%s: %q", name, err)
		}
		s.Close()
	}
}

// Whether something has happened is unknown only where something was sent that changes something.
func TestWhatMayHaveHappened(t *testing.T) {
	breaks := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/api/activation-request/deny" { // in the middle of its answer
			w.Header().Set("Content-Length", "100")
			w.WriteHeader(http.StatusOK)
		}
		panic(http.ErrAbortHandler)
	}))
	t.Cleanup(breaks.Close)
	const nobody = "http://127.0.0.1:1"
	for name, c := range map[string]struct {
		origin string
		call   func(*client.Service) error
		may    bool
	}{
		"a read":                    {breaks.URL, func(s *client.Service) error { _, err := s.Me(t.Context()); return err }, false},
		"a read of nobody":          {nobody, func(s *client.Service) error { _, err := s.Me(t.Context()); return err }, false},
		"an approval":               {breaks.URL, func(s *client.Service) error { _, _, err := s.Approve(t.Context(), "x", 0); return err }, true},
		"an answer that breaks off": {breaks.URL, func(s *client.Service) error { _, _, err := s.Deny(t.Context(), "x", ""); return err }, true},
		"an approval that left not": {nobody, func(s *client.Service) error { _, _, err := s.Approve(t.Context(), "x", 0); return err }, false},
		"an ask that left not":      {nobody, func(s *client.Service) error { _, _, err := s.Ask(t.Context(), client.Ask{}); return err }, false},
	} {
		transport := &http.Transport{} // no proxy of the environment
		err := c.call(&client.Service{Origin: client.Origin(c.origin), Transport: transport})
		if u, lost := errors.AsType[*client.Unreachable](err); !lost || u.MayHaveHappened != c.may {
			t.Errorf("%s: %v", name, err)
		}
		transport.CloseIdleConnections()
	}
}
