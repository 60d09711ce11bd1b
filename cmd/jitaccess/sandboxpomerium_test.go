package main

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

// startPomerium runs `jitaccess sandbox --pomerium` on a free port until the test ends, and
// returns the addresses that it says.
func startPomerium(t *testing.T) (said []string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	read, write := io.Pipe()
	done := make(chan int, 1)
	go func() {
		code := runSandbox(ctx, []string{"--pomerium", "--address", "localhost:0"}, func(string) string { return "" }, write, write)
		write.Close()
		done <- code
	}()
	t.Cleanup(func() { cancel(); <-done })
	address := regexp.MustCompile(`http://localhost:\d+/\S*`)
	for lines := bufio.NewScanner(read); len(said) < 4 && lines.Scan(); {
		said = append(said, address.FindAllString(lines.Text(), 1)...)
	}
	go io.Copy(io.Discard, read)
	if len(said) != 4 {
		t.Fatalf("it says %q", said)
	}
	return said
}

// The sandbox behind Pomerium starts with the example's variables alone, says where its parts
// are, and each of them answers.
func TestSandboxBehindPomerium(t *testing.T) {
	origin := strings.TrimSuffix(startPomerium(t)[0], "/")
	for path, want := range map[string]string{
		"/": "jit-example", "/admin": "Administration", "/demo/": "403 Forbidden", "/.pomerium/": "Deniz Kaya", "/.well-known/pomerium/jwks.json": "P-256"} {
		r, err := http.NewRequestWithContext(t.Context(), "GET", origin+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Accept", "text/html")
		r.AddCookie(&http.Cookie{Name: "sandbox_person", Value: "deniz.kaya@example.com"})
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s: %v, %d %.300s", path, err, response.StatusCode, text)
		}
	}
}
