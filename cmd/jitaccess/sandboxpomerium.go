package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"jitaccess/internal/config"
	"jitaccess/internal/sandbox"
)

// tryPomerium runs the service with the variables of Pomerium's JIT example, behind a
// Pomerium in this process.
func tryPomerium(ctx context.Context, address, policyFile string, env func(string) string, stdout, stderr, log io.Writer) error {
	s, err := sandbox.StartPomerium(ctx, sandbox.Options{Address: address, Log: slog.New(slog.NewTextHandler(stderr, nil))})
	if err != nil {
		return err
	}
	defer s.Close()
	memory, err := os.MkdirTemp("", "jitaccess-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(memory)
	environment := s.Environment()
	listen(environment, env)
	environment["JITACCESS_POMERIUM_ENDPOINT"] = s.Endpoint()
	if policyFile != "" {
		environment["POLICY"] = policyFile
	}
	c, err := config.Read(func(name string) string { return environment[name] })
	if err != nil {
		return err
	}
	c.Ledger.Database = config.StoredText{Value: config.NewSecret("sqlite:" + filepath.Join(memory, "jitaccess.db"))}
	handler, err := start(ctx, c, nil, clock{now: s.Clock().Now, sleep: s.Clock().Sleep, outside: wallClock.now}, log)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, `jitaccess sandbox, behind Pomerium

  Open        %[1]s/
  Administer  %[1]s/admin
  The door    %[1]s/demo/ opens for whom the policy lets in
  People      %[1]s/.pomerium/ says who you are, and shows the policy
  Changes     %[1]s/sandbox/ shows what changed in it, and moves the clock

It has a Pomerium Zero and people of its own. Nothing leaves this machine,
and everything is forgotten when it stops (Ctrl-C).
`, s.URL())
	return s.Serve(handler)
}
