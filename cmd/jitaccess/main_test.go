package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/porttest"
)

// lockedBuffer is a bytes.Buffer that several goroutines may write to.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
	// written is closed once a line with the text comes.
	text    string
	written chan struct{}
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.written != nil && bytes.Contains(p, []byte(l.text)) {
		close(l.written)
		l.written = nil
	}
	return l.b.Write(p)
}

// waits returns what is closed once a line with the text comes.
func (l *lockedBuffer) waits(text string) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text, l.written = text, make(chan struct{})
	return l.written
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// Point 1: what is wrong with the configuration is found at start, all of it at once.
// Every command says how it is called, in one form and on standard output, and asking for that is no fault; a
// command that there is none of stays one.
func TestEveryCommandHelps(t *testing.T) {
	all := append(operatorCommands(), "config explain", "ledger verify", "ledger export", "ledger policies", "ledger migrate", "ledger outbox",
		"ledger erase", "policy lint", "policy test", "policy diff", "policy explain", "policy schema")
	for _, c := range clientCommands() {
		all = append(all, c.name)
	}
	for _, command := range all {
		begins := "Usage: jitaccess " + command
		if slices.Contains([]string{"serve", "version", "help"}, command) { // these have no options: all commands are listed
			begins = "Usage: jitaccess COMMAND [options]\n"
		}
		for _, option := range []string{"--help", "-h"} {
			var out, bad bytes.Buffer
			args := append(strings.Fields(command), option)
			if code := run(context.Background(), args, func(string) string { return "" }, &out, &bad); code != exitOK || bad.Len() > 0 || !strings.HasPrefix(out.String(), begins) {
				t.Errorf("%s %s: %d, %q, %q", command, option, code, out.String(), bad.String())
			}
		}
	}
	for _, command := range []string{"deploy", "config show", "ledger burn", "policy check"} {
		var out, bad bytes.Buffer
		if code := run(context.Background(), append(strings.Fields(command), "--help"), func(string) string { return "" }, &out, &bad); code != exitUsage {
			t.Errorf("%s: %d, %q, %q", command, code, out.String(), bad.String())
		}
	}
}

func TestRun(t *testing.T) {
	tests := []struct {
		name string
		args []string
		env  map[string]string
		code int
		says []string
	}{
		{"version", []string{"version"}, nil, exitOK, []string{"dev"}},
		{"an unknown command", []string{"deploy"}, nil, exitUsage, []string{`"deploy"`, "sandbox"}},
		{"help", []string{"--help"}, nil, exitOK, []string{"serve", "sandbox", "docs/configuration.md"}},
		{"help about the ledger", []string{"ledger", "--help"}, nil, exitOK, []string{"jitaccess ledger verify", "docs/ledger.md"}},
		{"serve takes no arguments", []string{"serve", "--port"}, nil, exitUsage, []string{"environment"}},
		{"an unknown flag", []string{"sandbox", "--nonsense"}, nil, exitUsage, []string{"nonsense"}},
		{"a sandbox with a policy that is not there", []string{"sandbox", "--policy", "testdata/none.yaml"}, nil, exitFailure, []string{"none.yaml", "no such file"}},
		{"a sandbox with a policy that is none", []string{"sandbox", "--policy", "main.go"}, nil, exitFailure, []string{"main.go has", "policy lint main.go"}},
		{"a sandbox that others could reach", []string{"sandbox", "--address", "0.0.0.0:0"}, nil, exitFailure, []string{"127.0.0.1"}},
		{"config without a command", []string{"config"}, nil, exitUsage, []string{"config explain"}},
		{"settings explained", []string{"config", "explain", "--service", "jit"}, map[string]string{"RESOURCE_SCOPE": "folders/1"}, exitOK,
			[]string{"Runs on: Cloud Run", "RESOURCE_SCOPE = folders/1  (environment)", "People can get access to what is in folders/1."}},
		{"settings explained, with a fault", []string{"config", "explain"}, map[string]string{"K_SERVICE": "jit", "SMTP_PASSWORD": "canary-4711", "PORT": "x"}, exitUsage,
			[]string{"FAULT: PORT is \"x\"", "People can get access to the service's own project"}},
		{"settings explained for programs", []string{"config", "explain", "--json"}, map[string]string{"K_SERVICE": "jit", "SMTP_PASSWORD": "canary-4711", "PORT": "80"},
			exitOK, []string{`"platform": "Cloud Run"`, `"name": "PORT",`, `"source": "environment",`, `"faulty": false`}},
		{"every fault of the configuration at once", nil, map[string]string{
			"ACTIVATION_TIMEOUT": "2h", "JUSTIFICATION_PATTERN": "(?<!x)y", "SMTP_SENDER_ADDRESS": "me@example.com", "SMTP_PORT": "25",
			"SMTP_PASSWORD": "canary-4711", "RESOURCE_SCOPE": "everything", "RESOURCE_CATALOG": "AssetInventory", "K_SERVICE": "jitaccess",
		}, exitUsage, []string{"nothing was started", "ACTIVATION_TIMEOUT", "JUSTIFICATION_PATTERN", "SMTP_PORT", "RESOURCE_SCOPE", "RESOURCE_CUSTOMER_ID"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var out bytes.Buffer
			code := run(context.Background(), test.args, func(name string) string { return test.env[name] }, &out, &out)
			if code != test.code {
				t.Errorf("exit status %d, want %d", code, test.code)
			}
			for _, text := range test.says {
				if !strings.Contains(out.String(), text) {
					t.Errorf("does not say %q:\n%s", text, out.String())
				}
			}
			if strings.Contains(out.String(), "canary") {
				t.Errorf("shows a secret:\n%s", out.String())
			}
		})
	}
}

// TestServeAnswersBeforeItKnowsWhoItIs: a metadata server that is away is never a
// start fault. Until it answers the service is alive, and unavailable. Point 14: what
// App Engine asks before it sends people is answered without identity.
func TestServeAnswersBeforeItKnowsWhoItIs(t *testing.T) {
	away := "127.0.0.1:" + porttest.Free(t)
	t.Setenv("GCE_METADATA_HOST", away)
	env := map[string]string{
		"K_SERVICE": "jitaccess", "PORT": porttest.Free(t), "RESOURCE_CATALOG": "AssetInventory", "RESOURCE_CUSTOMER_ID": "C1", "RESOURCE_SCOPE": "organizations/1",
		"GCE_METADATA_HOST": away,
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan int, 1)
	var out lockedBuffer
	go func() { done <- run(ctx, nil, func(name string) string { return env[name] }, &out, &out) }()
	base := "http://127.0.0.1:" + env["PORT"]
	for _, path := range []string{"/health/alive", "/_ah/start", "/_ah/warmup"} {
		if status, body := get(t, base+path, done, &out); status != 200 || !json.Valid([]byte(body)) {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	for _, path := range []string{"/", "/health/ready", "/api/policy"} {
		if status, _ := get(t, base+path, done, &out); status != 503 {
			t.Errorf("%s: %d, want 503", path, status)
		}
	}
	stop()
	if code := <-done; code != exitOK {
		t.Errorf("exit status %d after being told to stop:\n%s", code, out.String())
	}
}

// get asks a service until it listens, or has ended.
func get(t *testing.T, url string, ended <-chan int, said fmt.Stringer) (int, string) {
	t.Helper()
	for net := time.After(time.Minute); ; {
		answer, err := http.Get(url)
		if err == nil {
			defer answer.Body.Close()
			body, err := io.ReadAll(answer.Body)
			if err != nil {
				t.Fatal(err)
			}
			return answer.StatusCode, string(body)
		}
		select {
		case code := <-ended:
			t.Fatalf("exit status %d instead of an answer:\n%s", code, said)
		case <-net:
			t.Fatalf("%v\n%s", err, said)
		case <-time.After(5 * time.Millisecond): // what begins needs the processor
		}
	}
}

// Whoever gets less than all that a command prints is not told by its status that this is all.
func TestWhatCannotBePrintedIsNoSuccess(t *testing.T) {
	for _, line := range []string{"version", "help", "login --help", "policy schema", "completion bash"} {
		env := func(string) string { return "" }
		var out, bad bytes.Buffer
		if code := run(t.Context(), strings.Fields(line), env, &out, &bad); code != exitOK {
			t.Fatalf("%s: %d, %s", line, code, &bad)
		}
		for _, room := range []int{0, out.Len() - 1} {
			bad.Reset()
			if code := run(t.Context(), strings.Fields(line), env, &full{room}, &bad); code == exitOK || !strings.Contains(bad.String(), "no room") {
				t.Errorf("%s, with room for %d bytes: %d, %s", line, room, code, &bad)
			}
		}
	}
}

// What a command logs while it prints is no race, which the race detector would tell, and each failure is kept.
func TestACommandPrintsFromSeveralPlaces(t *testing.T) {
	p := &printed{w: &full{8}}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 4 {
				_, _ = p.Write([]byte("x"))
			}
		})
	}
	all.Wait()
	if p.err == nil {
		t.Error("nobody is told that half was lost")
	}
}

// full has room for so many bytes more.
type full struct{ room int }

func (f *full) Write(text []byte) (int, error) {
	if f.room -= len(text); f.room < 0 {
		return 0, errors.New("no room")
	}
	return len(text), nil
}

// What others wrote does not speak to the terminal by JSON either, and means what it meant.
func TestJSONDoesNotSpeakToTheTerminal(t *testing.T) {
	const evil = "a\u009b2J\u202e\x1b[2Jb <&> \U000e0041"
	var out bytes.Buffer
	if err := printJSON(&out, "", map[string]string{"title": evil}); err != nil || strings.ContainsFunc(strings.TrimSuffix(out.String(), "\n"), access.Unseen) {
		t.Errorf("%v: %q", err, &out)
	}
	var read map[string]string
	if err := json.Unmarshal(out.Bytes(), &read); err != nil || read["title"] != evil {
		t.Errorf("%v: %q", err, read)
	}
	if text := told(&access.Error{Kind: access.Unavailable, Code: access.CodeLedgerUnavailable, Err: errors.New(evil + "\nforged: line")}); strings.ContainsFunc(text, access.Unseen) {
		t.Errorf("%q", text)
	}
}

// What others wrote and stands in an error does not speak to the terminal.
func TestErrorsDoNotSpeakToTheTerminal(t *testing.T) {
	var b strings.Builder
	if failed(&b, 3, errors.New("no \x1b]0;title\a\x1b[31m\u202eX\r\n  next")) != 3 ||
		b.String() != "jitaccess: no [U+001B]]0;title[U+0007][U+001B][31m[U+202E]X \n  next\n" {
		t.Errorf("%q", b.String())
	}
}
