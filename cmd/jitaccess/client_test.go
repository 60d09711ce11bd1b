package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// operatorOfShell is somebody at a command line, with a folder of their own.
type operatorOfShell struct {
	t    *testing.T
	home string
	env  map[string]string
	// terminal is whether they look on; typed is what they type.
	terminal bool
	typed    string
	run      func(ctx context.Context, name string, args ...string) ([]byte, error)
	browse   func(ctx context.Context, address string) error
	ahead    time.Duration
}

// shell is somebody at a command line, with a folder of their own.
func shell(t *testing.T) *operatorOfShell {
	return &operatorOfShell{t: t, home: t.TempDir(), env: map[string]string{}}
}

func (o *operatorOfShell) tokenFile() string { return filepath.Join(o.home, "jitaccess", "token.json") }

// types runs a command line.
func (o *operatorOfShell) types(line ...string) (code int, stdout, stderr string) {
	return o.typesUntil(o.t.Context(), line...)
}

func (o *operatorOfShell) typesUntil(ctx context.Context, line ...string) (code int, stdout, stderr string) {
	o.t.Helper()
	command, ok := clientNamed(line[0])
	if !ok {
		o.t.Fatalf("there is no command %s", line[0])
	}
	var out, said lockedBuffer
	env := func(name string) string {
		if name == "XDG_CONFIG_HOME" {
			return o.home
		}
		return o.env[name]
	}
	c := &caller{ctx: ctx, env: env, stdin: strings.NewReader(o.typed), stdout: &out, stderr: &said, terminal: func(any) bool { return o.terminal },
		run: o.run, browse: o.browse, sleep: func(ctx context.Context, _ time.Duration) error { return ctx.Err() },
		now: func() time.Time { return time.Now().Add(o.ahead) }, random: rand.Reader}
	code = c.do(command, line[1:])
	return code, out.String(), said.String()
}

// must runs one that has to end well, and returns what it printed.
func (o *operatorOfShell) must(line ...string) string {
	o.t.Helper()
	code, out, said := o.types(line...)
	if code != exitOK {
		o.t.Fatalf("%s: %d\n%s%s", line, code, out, said)
	}
	return out
}

// fails runs one that has to end with a status, and say some things.
func (o *operatorOfShell) fails(status int, says string, line ...string) {
	o.t.Helper()
	code, out, said := o.types(line...)
	if code != status || !strings.Contains(said, says) {
		o.t.Errorf("%s: %d, not %d with %q\n%s%s", line, code, status, says, out, said)
	}
}

var requestNumber = regexp.MustCompile(`(?m)^request +(\S+)$`)

func numberIn(t *testing.T, out string) string {
	t.Helper()
	found := requestNumber.FindStringSubmatch(out)
	if found == nil {
		t.Fatalf("no request in:\n%s", out)
	}
	return found[1]
}

// The tour by command line: Alice asks and waits, Bob approves what he is shown, she sees it, gets more, ends it, and
// both find it in the history.
func TestTheTourByCommandLine(t *testing.T) {
	origin := startSandboxWith(t, "", nil)
	alice, bob := shell(t), shell(t)
	if out := alice.must("login", origin); !strings.Contains(out, "You are alice@example.com at "+origin) || !strings.Contains(out, "--as") {
		t.Errorf("%s", out)
	}
	bob.must("login", origin+"/requests?view=mine", "--as", "bob@example.com")

	if out := alice.must("roles", "shop-orders-prod"); !regexp.MustCompile(`shop-orders-prod +roles/cloudsql\.admin +at once +inactive`).MatchString(out) {
		t.Errorf("%s", out)
	}
	var all struct{ Projects []struct{ Project string } }
	if err := json.Unmarshal([]byte(alice.must("roles", "--json")), &all); err != nil || len(all.Projects) < 3 {
		t.Errorf("%v, %v", err, all)
	}

	// Alone.
	id := numberIn(t, alice.must("request", "shop-orders-prod", "cloudsql.admin", "--reason", "INC-77", "--for", "20m"))
	if out := alice.must("status", id); !strings.Contains(out, "state     active") {
		t.Errorf("%s", out)
	}
	alice.must("end", id)
	if out := alice.must("status", id); !strings.Contains(out, "state     ended") {
		t.Errorf("%s", out)
	}
	alice.fails(exitUsage, "no such access", "end", strings.Replace(id, id[len(id)-4:], "0000", 1)+"x", "--project", "shop-orders-prod")

	// With somebody who agrees, while she waits.
	out := alice.must("request", "shop-orders-prod", "compute.instanceAdmin.v1", "--reason", "INC-78", "--from", "bob@example.com")
	id = numberIn(t, out)
	if !strings.Contains(out, "pending") || !strings.Contains(out, "link      "+origin) {
		t.Errorf("%s", out)
	}
	alice.fails(exitRefused, "", "approve", id)
	var waited sync.WaitGroup
	waited.Go(func() {
		code, out, said := alice.types("status", "--watch", id)
		if code != exitOK || !strings.Contains(out, "state     active") || strings.Contains(said, "\x1b") {
			t.Errorf("%d: %s%s", code, out, said)
		}
	})
	if out := bob.must("history", "--view", "reviews"); !strings.Contains(out, id) {
		t.Errorf("%s", out)
	}
	bob.terminal, bob.typed = true, "n\n"
	bob.fails(exitFailure, "nothing was decided", "approve", id)
	bob.typed = "y\n"
	if out := bob.must("approve", id, "--for", "30m"); !strings.Contains(out, "active") {
		t.Errorf("%s", out)
	}
	waited.Wait()
	bob.fails(exitChanged, "", "deny", "--reason", "too late", id)
	extended := numberIn(t, alice.must("extend", id, "--for", "20m"))
	bob.must("deny", extended, "--reason", "enough")
	alice.fails(exitRefused, "denied", "status", "--watch", extended)
	alice.must("end", id)

	var page struct {
		Requests []struct{ ActivationID, State string }
	}
	if err := json.Unmarshal([]byte(alice.must("history", "--json")), &page); err != nil || len(page.Requests) != 4 {
		t.Errorf("%v, %v", err, page)
	}
	// When it was to end is not told as when it did.
	if out := alice.must("history", "--state", "ended"); !regexp.MustCompile(id + ` +ended .* \d\d:\d\d  +[A-Z]`).MatchString(out) {
		t.Errorf("%s", out)
	}
	if out := alice.must("history", "--state", "denied"); !strings.Contains(out, extended) || strings.Contains(out, id) {
		t.Errorf("%s", out)
	}

	// Nobody in time.
	id = numberIn(t, alice.must("request", "shop-orders-prod", "compute.instanceAdmin.v1", "--reason", "INC-79", "--from", "bob@example.com"))
	alice.fails(exitNobody, "nobody has decided within", "status", "--watch", "--timeout", "50ms", id)
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if code, _, _ := alice.typesUntil(ctx, "status", "--watch", id); code != exitInterrupted {
		t.Errorf("interrupted: %d", code)
	}

	// Taken back, by its link, and what is not hers, not there, or not to be taken back any more.
	bob.fails(exitRefused, "", "withdraw", id)
	if out := alice.must("withdraw", origin+"/requests/"+id); numberIn(t, out) != id || !strings.Contains(out, "state     withdrawn") || strings.Contains(out, "asked") {
		t.Errorf("%s", out)
	}
	var again struct{ ActivationID, State string }
	if err := json.Unmarshal([]byte(alice.must("withdraw", id, "--json")), &again); err != nil || again.ActivationID != id || again.State != "withdrawn" {
		t.Errorf("once more: %v, %v", err, again)
	}
	alice.fails(exitRefused, "withdrawn", "status", "--watch", id)
	bob.fails(exitChanged, "", "approve", id)
	alice.fails(exitChanged, "", "withdraw", extended)

	alice.must("logout")
	alice.fails(exitSignedOut, "jitaccess login URL", "status")
	alice.fails(exitSignedOut, "jitaccess login URL", "withdraw", id)
}

// A pipeline gets the access token alone on standard output, and is told by the status who stopped it.
func TestAPipelineAsksByCommandLine(t *testing.T) {
	w := programWorld(t)
	key := filepath.Join(t.TempDir(), "app.key")
	if err := os.WriteFile(key, []byte(deployKey+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := shell(t)
	ask := func(more ...string) []string {
		return append([]string{"ask", "--url", w.public, "--template", "production-deploy", "--key-file", key, "--uri", deployURI, "--subject", alice,
			"--data", "version=v1.2", "--data", "cluster=eu"}, more...)
	}
	decide := func(path string, body any) func(id string) {
		return func(id string) { w.api(bob, path+id, body).expect(t, 200) }
	}
	for _, test := range []struct {
		name   string
		decide func(id string)
		status int
		says   string
	}{
		{"approved", decide("/api/activation-request?activation=", dict{}), exitOK, ""},
		{"denied", decide("/api/activation-request/deny?activation=", dict{"comment": "not on Fridays"}), exitRefused, "not on Fridays"},
		{"nobody came", func(string) { w.pass(25 * time.Hour) }, exitNobody, "nobody has decided in time"},
	} {
		id := strings.TrimSpace(p.must(ask("--idempotency-key", test.name)...))
		test.decide(id)
		p.ahead = time.Duration(w.ahead.Load())
		code, out, said := p.types(ask("--idempotency-key", test.name, "--wait")...)
		if code != test.status || !strings.Contains(said, test.says) {
			t.Errorf("%s: %d %s%s", test.name, code, out, said)
		}
		if isToken := regexp.MustCompile(`^[\w-]+\.[\w-]+\.[\w-]+\n$`).MatchString(out); isToken != (code == exitOK) || code != exitOK && out != "" {
			t.Errorf("%s: it printed %q", test.name, out)
		}
	}
	p.fails(exitNobody, "it goes on waiting", ask("--wait", "--timeout", "50ms")...)
	p.fails(exitSignedOut, "", "ask", "--template", "x", "--key-file", key, "--uri", deployURI, "--subject", alice)
	p.fails(exitUsage, "template", ask("--template", "other")...)
	p.fails(exitUsage, "ask needs --subject", "ask", "--template", "x", "--key-file", key, "--uri", deployURI)
	p.fails(exitUsage, "NAME=VALUE", "ask", "--data", "version")
	if err := os.WriteFile(key, []byte(strings.Repeat("A", 44)), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, said := p.types(ask()...); code != exitUsage || !strings.Contains(said, "Make a new one with the key") || strings.Contains(said, "log in") {
		t.Errorf("another key: %d %s", code, said)
	}
	if err := os.WriteFile(key, []byte("secret!"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, said := p.types(ask()...); code != exitUsage || strings.Contains(said, "secret!") {
		t.Errorf("%d %s", code, said)
	}
	if err := os.Chmod(key, 0o644); err != nil {
		t.Fatal(err)
	}
	p.fails(exitUsage, "chmod 600", ask()...)
}

// A pipeline passes Identity-Aware Proxy as a service account without a log-in before, and again before what lets it
// pass is over; it asks with its own key beside, and nothing is kept.
func TestAPipelinePassesIdentityAwareProxy(t *testing.T) {
	const account, audience = "ci@shop.iam.gserviceaccount.com", "123.apps.googleusercontent.com"
	for _, test := range []struct {
		name   string
		life   time.Duration
		tokens int32
		asks   []string
		status int
		says   string
	}{
		{"for an hour", time.Hour, 1, nil, exitOK, ""},
		{"for less than it waits", time.Minute, 4, nil, exitOK, ""},
		{"not on the allow-list", 0, 1, nil, exitSignedOut, "programmatic_clients"},
		{"no service account", time.Hour, 0, []string{"--impersonate", "alice@example.com"}, exitFailure, "not the address of a service account"},
		{"without an address", time.Hour, 0, []string{"--url", ""}, exitUsage, "needs --url"},
	} {
		var made, looked atomic.Int32
		ends := time.Now().Add(test.life)
		front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			answer := func(status int, text string) {
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(status)
				_, _ = w.Write([]byte(text))
			}
			switch last := "Bearer " + identityToken(audience, account, int(made.Load()), ends); {
			case test.life == 0 || r.Header.Get("Authorization") != last:
				w.Header().Set("X-Goog-IAP-Generated-Response", "true")
				http.Error(w, "Invalid IAP credentials", http.StatusUnauthorized)
			case r.URL.Path == "/api/policy":
				answer(401, `{"message":"a service account is not a person","code":"bad-identity"}`)
			case strings.Count(r.Header.Get("X-Nl3-Authorization-Token"), ".") != 2:
				answer(401, `{"title":"Unauthorized","status":401,"detail":"no token","code":"no-token"}`)
			case r.Method == "POST", looked.Add(1) < 3:
				answer(200, `{"id":"app-1","status":"pending","url":"https://access.example.com/requests/app-1"}`)
			default:
				answer(200, `{"id":"app-1","status":"approved","access_token":"a.b.c"}`)
			}
		}))
		p := shell(t)
		key := filepath.Join(p.home, "app.key")
		if err := os.WriteFile(key, []byte(deployKey), 0o600); err != nil {
			t.Fatal(err)
		}
		p.run = func(_ context.Context, name string, args ...string) ([]byte, error) {
			if line := strings.Join(args, " "); name != "gcloud" || !strings.Contains(line, "--impersonate-service-account="+account+" --audiences="+audience) {
				t.Errorf("%s: %s %s", test.name, name, line)
			}
			return []byte(identityToken(audience, account, int(made.Add(1)), ends)), nil
		}
		code, out, said := p.types(append([]string{"ask", "--url", front.URL, "--impersonate", account, "--audience", audience, "--template", "production-deploy",
			"--key-file", key, "--uri", deployURI, "--subject", alice, "--wait"}, test.asks...)...)
		if code != test.status || !strings.Contains(said, test.says) || (out == "a.b.c\n") != (test.status == exitOK) || made.Load() != test.tokens {
			t.Errorf("%s: %d, %d tokens: %s%s", test.name, code, made.Load(), out, said)
		}
		if _, err := os.Stat(p.tokenFile()); err == nil {
			t.Errorf("%s: a token is kept", test.name)
		}
		front.Close()
	}
}

// identityToken is the n-th that gcloud prints.
func identityToken(audience, account string, n int, ends time.Time) string {
	text, _ := json.Marshal(map[string]any{"aud": audience, "email": account, "n": n, "exp": ends.Unix()})
	return "e30." + base64.RawURLEncoding.EncodeToString(text) + ".c2ln"
}

// What a service that remembers nothing knows of a request is in its link.
func TestTheCommandLineWithoutALedger(t *testing.T) {
	w := newLoginWorld(t, false, map[string]string{"DATABASE_URL": "", "SIGNING_KEY": ""})
	alices, bobs := shell(t), shell(t)
	alices.browse, bobs.browse = w.visitor().lets(alice, nil), w.visitor().lets(bob, nil)
	alices.must("login", w.public)
	bobs.must("login", w.public)
	link := regexp.MustCompile(`(?m)^link +(\S+)$`)
	ask := func() (id, at string) {
		t.Helper()
		out := alices.must("request", project, "compute.instanceAdmin.v1", "--reason", "INC-81", "--from", bob, "--for", "20m")
		found := link.FindStringSubmatch(out)
		if found == nil {
			t.Fatalf("no link in:\n%s", out)
		}
		return numberIn(t, out), found[1]
	}
	_, at := ask()
	if out := alices.must("status", at); !strings.Contains(out, "pending") {
		t.Errorf("%s", out)
	}
	alices.fails(exitNobody, "nobody has decided within", "status", "--watch", "--timeout", "50ms", at)
	alices.fails(exitRefused, "", "approve", at)
	if out := bobs.must("approve", at); !strings.Contains(out, "active") {
		t.Errorf("%s", out)
	}
	if out := alices.must("status", "--watch", at); !strings.Contains(out, "active") {
		t.Errorf("%s", out)
	}
	alices.must("end", at)
	if out := alices.must("status", at); strings.Contains(out, ": active") {
		t.Errorf("%s", out)
	}

	// By its number, where it is known on which project it is.
	id, at := ask()
	bobs.must("approve", at)
	alices.fails(exitUsage, "--project PROJECT", "end", id)
	alices.fails(exitUsage, "by its number, not by its link", "end", at, "--project", project)
	alices.must("end", id, "--project", project)
	for _, line := range [][]string{{"status", id}, {"status"}, {"history"}, {"status", "--watch", id}, {"extend", id}, {"withdraw", id}, {"withdraw", at}} {
		if code, out, said := alices.types(line...); code != exitUsage || out != "" {
			t.Errorf("%s: %d %s%s", line, code, out, said)
		}
	}
	_, at = ask()
	bobs.must("deny", at, "--reason", "not now")
	if code, out, said := alices.types("status", "--watch", "--timeout", "50ms", at); code != exitNobody && code != exitRefused {
		t.Errorf("%d %s%s", code, out, said)
	}
}

// What is wrong is said, with a status, and nothing is sent where it does not belong.
func TestBadCommandLines(t *testing.T) {
	origin := startSandboxWith(t, "", nil)
	p := shell(t)
	p.fails(exitSignedOut, "begin with: jitaccess login URL", "roles")
	p.fails(exitUsage, "https alone", "login", "http://access.example.com")
	p.fails(exitUsage, "login takes URL", "login")
	p.fails(exitUsage, "not defined", "login", "--secret", origin)
	p.fails(exitFailure, "nobody in the sandbox is mallory@example.com", "login", origin, "--as", "mallory@example.com")
	p.fails(exitFailure, "cannot be reached", "login", "http://127.0.0.1:1")
	if _, _, said := p.types("login", "http://127.0.0.1:1"); strings.Contains(said, "not known whether") {
		t.Errorf("nothing can have happened: %s", said)
	}
	if _, err := os.Stat(p.tokenFile()); err == nil {
		t.Error("a token is kept of a log-in that failed")
	}
	p.must("login", origin)
	p.fails(exitSignedOut, "sent nowhere else", "roles", "--url", "https://other.example.com")
	p.fails(exitUsage, "you are logged in to "+origin, "status", "https://other.example.com/review?activation=x")
	p.fails(exitUsage, "neither the number", "approve", origin+"/history")
	p.fails(exitUsage, "REQUEST to wait for", "status", "--watch")
	p.fails(exitUsage, "whole minutes", "request", "shop-orders-prod", "cloudsql.admin", "--for", "90s")
	p.fails(exitUsage, "", "request", "shop-orders-prod", "cloudsql.admin", "--for", "20m")
	p.fails(exitRefused, "jitaccess roles shop-orders-prod", "request", "shop-orders-prod", "owner", "--reason", "INC-1")
	p.fails(exitUsage, "", "status", "jit-nothing")
	p.fails(exitUsage, "withdraw takes REQUEST", "withdraw")
	p.fails(exitUsage, "not defined", "withdraw", "jit-nothing", "--reason", "x")
	p.fails(exitUsage, "", "withdraw", "jit-nothing")
	p.fails(exitUsage, "neither the number", "withdraw", origin+"/history")
	home := p.home
	p.home = "relative"
	p.fails(exitUsage, "XDG_CONFIG_HOME", "roles")
	p.fails(exitUsage, "XDG_CONFIG_HOME", "login", origin)
	p.home = home
	p.ahead = 1000 * time.Hour
	if err := os.Chmod(p.tokenFile(), 0o644); err != nil {
		t.Fatal(err)
	}
	p.fails(exitFailure, "may be read by others", "roles")
}

// A script that waited goes on where there is access, and nowhere else.
func TestHowAWaitEnds(t *testing.T) {
	for state, want := range map[string]int{"active": exitOK, "ACTIVE": exitOK, "ended": exitChanged, "expired": exitChanged, "lapsed": exitNobody,
		"denied": exitRefused, "withdrawn": exitRefused, "failed": exitRefused, "": exitRefused, "something new": exitRefused} {
		got := exitOK
		if o, ok := errors.AsType[*outcome](verdict(state)); ok {
			got = o.status
		}
		if got != want {
			t.Errorf("%q: %d, want %d", state, got, want)
		}
	}
}

// What others wrote cannot speak to the terminal.
func TestWhatOthersWroteIsPlain(t *testing.T) {
	if got := plain("a\x1b[31mb\nc\u202ed\u200be"); strings.ContainsAny(got, "\x1b\n\u202e\u200b") {
		t.Errorf("%q", got)
	}
}

// BenchmarkHelp is how long the built binary takes to say what there is.
func BenchmarkHelp(b *testing.B) {
	for b.Loop() {
		if out, err := exec.Command(binary, "--help").Output(); err != nil || !strings.Contains(string(out), "login URL") {
			b.Fatalf("%v: make build comes first", err)
		}
	}
}

// Where a scheduler starts it, nobody looks on: the null device is no terminal, whatever it stands in for.
func TestTheNullDeviceIsNoTerminal(t *testing.T) {
	fd, err := syscall.Open(os.DevNull, syscall.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	asInput := os.NewFile(uintptr(fd), "/dev/stdin")
	defer asInput.Close()
	file, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for name, file := range map[string]any{"the null device": asInput, "a file": file, "no file": strings.NewReader("")} {
		if isTerminal(file) {
			t.Errorf("%s is taken for a terminal", name)
		}
	}
}
