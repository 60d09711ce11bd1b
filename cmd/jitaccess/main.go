// Jitaccess gives people access for as long as they need it, and no longer. Its commands
// are listed by "jitaccess help".
package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"

	"jitaccess/internal/access"
)

// version is set when a release is built.
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

const usage = `Usage: jitaccess COMMAND [options]
  jitaccess [serve]                 the service; its environment configures it (docs/configuration.md)
  jitaccess sandbox                 try it: the service with a Google Cloud of its own
  jitaccess sandbox --google ADDR   that Google Cloud alone
  jitaccess policy                  look at policy files: lint, test, diff, explain, schema
  jitaccess conformance             try in an empty project whether Google Cloud does what is assumed of it
  jitaccess version
With the settings of a deployment in the environment (docs/configuration.md):
  jitaccess doctor                  see whether a deployment has what its configuration needs
  jitaccess config                  explain the settings of a deployment
  jitaccess eligible                list who may activate what
  jitaccess ledger                  verify, export, migrate or erase what is remembered
  jitaccess sweep                   do what is due in the ledger, once: for a scheduled job
  jitaccess reconcile               hold the grants that stand against what is remembered and what may stand
  jitaccess shadow                  hold what this version would offer against a live JIT Access 1.x

For people and pipelines (docs/command-line.md), at a service that runs somewhere:
  jitaccess login URL               sign in there; logout ends that
  jitaccess roles | request | status | withdraw | end | extend | history
  jitaccess approve | deny          decide what others ask for
  jitaccess ask                     ask as an application, and wait for its access token
  jitaccess completion SHELL        for bash, zsh or fish; COMMAND --help has the options of each
`

// Exit statuses.
const (
	exitOK      = 0
	exitFailure = 1
	// exitUsage is for a wrong command line and a wrong configuration.
	exitUsage = 2
)

// failed tells why, and returns the exit status. Others may have written parts of the text: it does
// not speak to the terminal.
func failed(stderr io.Writer, code int, err error) int {
	lines := strings.Split("jitaccess: "+err.Error(), "\n")
	fmt.Fprintln(stderr, strings.Join(access.Each(lines, access.Visible), "\n"))
	return code
}

// printJSON prints a value, indented by a text unless that is empty. What others wrote in it does not speak to the
// terminal.
func printJSON(w io.Writer, indent string, value any) error {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", indent)
	if err := encoder.Encode(value); err != nil {
		return err
	}
	_, err := w.Write(access.VisibleJSON(text.Bytes()))
	return err
}

// run is the program, without the process around it: it returns when ctx ends.
func run(ctx context.Context, args []string, env func(string) string, stdout, stderr io.Writer) int {
	command := "serve"
	if len(args) > 0 {
		command, args = args[0], args[1:]
	}
	if (command == "serve" || command == "version") && asksForHelp(args) {
		command = "help"
	}
	switch command {
	case "serve":
		return serve(ctx, args, env, stdout, stderr)
	case "sandbox":
		return runSandbox(ctx, args, env, stdout, stderr)
	}
	out := &printed{w: stdout}
	code := runOnce(ctx, command, args, env, out, stderr)
	if code == exitOK && out.err != nil {
		return failed(stderr, exitFailure, fmt.Errorf("what it says of what it did could not be printed: %w", out.err))
	}
	return code
}

// printed is where a command prints. Who reads half of what it says must not be told by the exit status that this is all.
// A command may log there beside what it prints, as sweep does while the mailbox is read.
type printed struct {
	mu  sync.Mutex
	w   io.Writer
	err error
}

func (p *printed) Write(text []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n, err := p.w.Write(text)
	p.err = cmp.Or(p.err, err)
	return n, err
}

// runOnce is a command that does one thing, and ends.
func runOnce(ctx context.Context, command string, args []string, env func(string) string, stdout, stderr io.Writer) int {
	switch command {
	case "doctor":
		return runDoctor(ctx, args, env, stdout, stderr)
	case "config":
		return runConfig(args, env, stdout, stderr)
	case "eligible":
		return runEligible(ctx, args, env, stdout, stderr)
	case "ledger":
		return runLedger(ctx, args, env, os.Stdin, stdout, stderr)
	case "sweep":
		return runSweep(ctx, args, env, stdout, stderr)
	case "reconcile":
		return runReconcile(ctx, args, env, stdout, stderr)
	case "conformance":
		return runConformance(ctx, args, env, wallClock, stdout, stderr)
	case "shadow":
		return runShadow(ctx, args, env, stdout, stderr)
	case "policy":
		return runPolicy(ctx, args, env, stdout, stderr)
	case "version", "--version":
		fmt.Fprintln(stdout, version)
		return exitOK
	case "help", "--help", "-h":
		fmt.Fprint(stdout, usage)
		return exitOK
	default:
		if c, ok := clientNamed(command); ok {
			return runClient(ctx, c, args, env, os.Stdin, stdout, stderr)
		}
		fmt.Fprintf(stderr, "jitaccess: there is no command %q\n\n%s", command, usage)
		return exitUsage
	}
}
