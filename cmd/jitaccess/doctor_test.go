package main

import (
	"bytes"
	"context"
	"maps"
	"testing"

	"jitaccess/internal/access"
	"jitaccess/internal/sandbox"
)

// surroundings are the sandbox's, and its environment with changes.
func surroundings(t *testing.T, change map[string]string) (*sandbox.Sandbox, func(string) string) {
	t.Helper()
	s, err := sandbox.Start(context.Background(), sandbox.Options{Address: "localhost:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	environment := s.Environment()
	maps.Copy(environment, change)
	t.Setenv("GCE_METADATA_HOST", environment["GCE_METADATA_HOST"])
	return s, func(name string) string { return environment[name] }
}

func TestDoctorOfTheSandbox(t *testing.T) {
	s, env := surroundings(t, nil)
	var out bytes.Buffer
	code := examine(context.Background(), env, access.Principal("alice@example.com"), s.MailRoots(), &out)
	t.Log("\n" + out.String())
	if code != exitOK {
		t.Errorf("exit status %d, want %d", code, exitOK)
	}
}
