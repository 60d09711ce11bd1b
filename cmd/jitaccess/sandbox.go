package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"jitaccess/internal/access"
	"jitaccess/internal/config"
	"jitaccess/internal/policy"
	"jitaccess/internal/sandbox"
	"jitaccess/internal/server/storybook"
)

// runSandbox runs the service as in production, against a Google Cloud in this
// process. Only the environment that it is given says that it is one.
func runSandbox(ctx context.Context, args []string, env func(string) string, stdout, stderr io.Writer) int {
	flags := newFlags("sandbox", stderr)
	address := flags.String("address", "", "where to listen; localhost:8080, or localhost:8000 with --pomerium; loopback only")
	pomerium := flags.Bool("pomerium", false, "run it behind a Pomerium, with the settings of Pomerium's JIT example and no Google Cloud")
	google := flags.String("google", "", "run the Google Cloud alone, on this loopback address")
	policyFile := flags.String("policy", "", "a policy file that holds in it, instead of its own; it is looked at every minute")
	journal := flags.Bool("log", false, "print the service's log")
	if code, ok := parsed(flags, args, stdout, stderr); !ok {
		return code
	}
	log := io.Discard
	if *journal {
		log = stdout
	}
	err := readable(*policyFile)
	switch {
	case err != nil:
	case *google != "":
		err = sandbox.ServeGoogle(ctx, *google, stdout)
	case *pomerium:
		err = tryPomerium(ctx, *address, *policyFile, env, stdout, stderr, log)
	default:
		err = trySandbox(ctx, sandbox.Options{Address: *address}, *policyFile, env, stdout, stderr, log)
	}
	if errors.Is(err, syscall.EADDRINUSE) {
		err = fmt.Errorf("%w; something else listens there, so take another port: --address localhost:8090 (make run ADDRESS=localhost:8090), "+
			"or for Google alone --google 127.0.0.1:9091", err)
	}
	if err != nil {
		return failed(stderr, exitFailure, err)
	}
	return exitOK
}

// readable is whether a policy file can be read and is one. Without one that holds the service starts all the same, so
// that a deployment serves on, and says so in its log, which nobody sees here.
func readable(policyFile string) error {
	if policyFile == "" {
		return nil
	}
	text, err := os.ReadFile(policyFile)
	if err != nil {
		return fmt.Errorf("the policy file cannot be read: %w", err)
	}
	if _, faults := policy.ReadFile(text); len(faults) > 0 {
		first := faults[0]
		return fmt.Errorf("%s has %s, of which the first is %d:%d: %s; to see them all: jitaccess policy lint %[1]s",
			policyFile, access.Counted(len(faults), "fault", "faults"), first.Line, first.Column, first.Text)
	}
	return nil
}

func trySandbox(ctx context.Context, o sandbox.Options, policyFile string, env func(string) string, stdout, stderr, log io.Writer) error {
	o.Storybook, o.Log = storybook.Handler(), slog.New(slog.NewTextHandler(stderr, nil))
	s, err := sandbox.Start(ctx, o)
	if err != nil {
		return err
	}
	defer s.Close()
	// It is Cloud Run in all else, whose disk would be memory.
	memory, err := os.MkdirTemp("", "jitaccess-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(memory)
	if policyFile == "" {
		policyFile = filepath.Join(memory, "policy.yaml")
		key := filepath.Join(memory, "deployer.key")
		if err := os.WriteFile(key, []byte(base64.StdEncoding.EncodeToString(newSecret())), 0o600); err != nil {
			return err
		}
		terms := bytes.ReplaceAll(sandbox.Terms, []byte("signing_key: /tmp/deployer.key"), []byte("signing_key: "+strconv.Quote(key)))
		if err := os.WriteFile(policyFile, terms, 0o600); err != nil {
			return err
		}
	}
	environment := s.Environment()
	listen(environment, env)
	environment["POLICY"] = policyFile
	// Google's own metadata client reads this one from the process.
	if err := os.Setenv("GCE_METADATA_HOST", environment["GCE_METADATA_HOST"]); err != nil {
		return err
	}
	c, err := config.Read(func(name string) string { return environment[name] })
	if err != nil {
		return err
	}
	c.Apps.SealKey = config.StoredText{Value: config.NewSecret(base64.StdEncoding.EncodeToString(newSecret()))}
	c.Ledger.Database = config.StoredText{Value: config.NewSecret("sqlite:" + filepath.Join(memory, "jitaccess.db"))}
	handler, err := start(ctx, c, s.MailRoots(), clock{now: s.Clock().Now, sleep: s.Clock().Sleep, outside: wallClock.now}, log)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "jitaccess sandbox\n\n  Open  %s\n\nIt has a Google Cloud, people and a mailbox of its own. "+
		"Nothing leaves this machine,\nand everything is forgotten when it stops (Ctrl-C). --log prints the service's log.\n%s", s.URL(),
		howToWait(policyFile, s.URL()))
	return s.Serve(handler)
}

// listen has webhooks go to a program of the visitor's, too.
func listen(environment map[string]string, env func(string) string) {
	for _, name := range []string{"WEBHOOK_URL", "WEBHOOK_SECRET"} {
		environment[name] = strings.Trim(environment[name]+","+env(name), ",")
	}
}

// howToWait says how an application asks and waits, for each application of a policy file that
// wait.sh asks as; empty where there is none.
func howToWait(policyFile, origin string) string {
	text, err := os.ReadFile(policyFile)
	if err != nil {
		return ""
	}
	file, faults := policy.ReadFile(text)
	if len(faults) > 0 {
		return ""
	}
	for _, a := range file.Applications {
		if a.URI != waitingURI || len(a.SigningKeys) == 0 {
			continue
		}
		key := a.SigningKeys[0]
		if _, err := os.Stat(key); err != nil {
			return fmt.Sprintf("\nThe application %s cannot ask: there is no key at %s. To make one\n\n  openssl rand -base64 32 > %s\n", a.Name,
				key, key)
		}
		return fmt.Sprintf("\nThe application %s asks for Alice, and waits until somebody has decided:\n\n"+
			"  APP_KEY=$(cat %s) sh examples/applications/wait.sh %s\n", a.Name, key, origin)
	}
	return ""
}

// waitingURI is the application as which examples/applications/wait.sh asks.
const waitingURI = "https://deploy.example.com"

// newSecret is a key of the sandbox's own.
func newSecret() []byte {
	key := make([]byte, 32)
	rand.Read(key)
	return key
}
