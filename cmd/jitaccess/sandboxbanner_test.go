package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"jitaccess/internal/sandbox"
)

// The banner has the whole command by which an application waits, and a copy of the sandbox's
// policy works where its key is made, as the copy says.
func TestTheSandboxSaysHowAnApplicationWaits(t *testing.T) {
	t.Chdir(t.TempDir())
	key := filepath.Join(t.TempDir(), "deployer.key")
	text := strings.ReplaceAll(string(sandbox.Terms), "/tmp/deployer.key", key) // each test has a place of its own
	if err := os.WriteFile("copy.yaml", []byte(text), 0o600); err != nil || text == string(sandbox.Terms) {
		t.Fatal(err)
	}
	const origin = "http://localhost:8090"
	if said := howToWait("copy.yaml", origin); !strings.Contains(said, "openssl rand -base64 32 > "+key) {
		t.Errorf("without a key: %s", said)
	}
	if err := os.WriteFile(key, []byte("AAAA"), 0o600); err != nil {
		t.Fatal(err)
	}
	if said := howToWait("copy.yaml", origin); !strings.Contains(said, "  APP_KEY=$(cat "+key+") sh examples/applications/wait.sh "+origin+"\n") {
		t.Errorf("with one: %s", said)
	}
	for what, text := range map[string]string{"none": "version: 1\n", "faulty": "version: 2\n"} {
		if err := os.WriteFile("other.yaml", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if said := howToWait("other.yaml", origin); said != "" {
			t.Errorf("%s: %s", what, said)
		}
	}
	if said := howToWait("nowhere.yaml", origin); said != "" {
		t.Errorf("nowhere: %s", said)
	}
}
