package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"

	cli "jitaccess/internal/client"
)

func (c *caller) loginOptions() {
	c.flags.StringVar(&c.as, "as", "", "in the sandbox: the `address` of whom to be; else whom it proposes")
	c.impersonateOptions()
	c.flags.StringVar(&c.token, "token-file", "", "a `file` with a token that the front takes behind Bearer; - is standard input")
	c.flags.StringVar(&c.front, "front", "", "what signs people in, where that is not found out: iap or pomerium")
	c.flags.BoolVar(&c.noBrowser, "no-browser", false, "open no browser; say the address alone")
}

func (c *caller) impersonateOptions() {
	c.flags.StringVar(&c.impersonate, "impersonate", "",
		"behind Identity-Aware Proxy: pass it as this `service account`, to ask as an application")
	c.flags.StringVar(&c.audience, "audience", "",
		"with --impersonate: the OAuth `client` that it takes tokens for; else the one that it shows browsers")
}

// login signs in and keeps the token.
func (c *caller) login(args []string) error {
	origin, err := cli.ParseOrigin(args[0])
	if err != nil {
		return wrong("%v", err)
	}
	s := cli.SignIn{Origin: origin, Front: cli.Front(c.front), As: c.as, Impersonate: c.impersonate, Audience: c.audience,
		Run: c.run, Browse: c.browseTo, Random: c.random}
	switch s.Front {
	case "", cli.IAP, cli.Pomerium:
	default:
		return wrong("--front is iap or pomerium")
	}
	if c.token != "" {
		if s.Token, err = c.readSecret(c.token); err != nil {
			return wrong("%v", err)
		}
	}
	store, err := c.store()
	if err != nil {
		return err
	}
	signed, err := s.Do(c.ctx)
	if err != nil {
		return err
	}
	if err := store.Save(signed.Token); err != nil {
		return fmt.Errorf("the token could not be kept: %w", err)
	}
	until := ""
	if at := c.moment(signed.Token.Expires); at != "" {
		until = ", until " + at
	}
	if signed.Person == "" {
		fmt.Fprintf(c.stdout, "%s lets %s pass%s. The service takes it for nobody, since it is no person: only jitaccess ask works with it.\n",
			origin, c.impersonate, until)
		return nil
	}
	fmt.Fprintf(c.stdout, "You are %s at %s%s.\n", plain(signed.Person), origin, until)
	if signed.Token.Front == cli.Sandbox && c.as == "" {
		fmt.Fprintf(c.stdout, "In the sandbox you may be anyone: jitaccess login %s --as bob@example.com\n", origin)
	}
	return nil
}

// logout forgets the token, whatever else comes of it, and ends its session where the service has one of its own.
func (c *caller) logout([]string) error {
	store, err := c.store()
	if err != nil {
		return err
	}
	t, unread := store.Load()
	if errors.Is(unread, cli.ErrNoToken) {
		fmt.Fprintln(c.stdout, "Nobody was logged in here.")
		return nil
	}
	kept := store.Forget()
	switch {
	case unread != nil && kept == nil: // nobody knows whose token it is, so that it is sent nowhere
		return ended(exitFailure, "%w\nThat file is removed now, and no session was ended: log out by browser", unread)
	case unread != nil:
		return errors.Join(unread, kept)
	case kept == nil:
		fmt.Fprintf(c.stdout, "The token for %s is forgotten.\n", t.Origin)
	}
	if t.Front != cli.OwnLogin {
		fmt.Fprintln(c.stdout, "What signs people in there was told nothing.")
		return kept
	}
	if err := errors.Join(kept, c.endSession(&cli.Service{Origin: t.Origin, Token: t})); err != nil {
		return ended(exitFailure, "%w", err)
	}
	return nil
}

// endSession ends the session of the token, and says what is known of it then.
func (c *caller) endSession(s *cli.Service) error {
	everywhere, expires, err := s.LogOut(c.ctx)
	switch {
	case errors.Is(err, cli.ErrOver):
		fmt.Fprintln(c.stdout, "The service says that its session was over already.")
	case err != nil:
		return fmt.Errorf("it is not known whether its session is over: %w\nlog out by browser, to be sure: %s", err, s.Origin)
	default:
		fmt.Fprintln(c.stdout, "Its session is over, in the browser too.")
		if !everywhere {
			until := cmp.Or(c.moment(expires), "its time is over")
			c.warnings([]string{"where the service has other instances, they were not told: there the session lasts until " + until})
		}
	}
	return nil
}

// readSecret reads a file that only its owner may read, or standard input.
func (c *caller) readSecret(path string) ([]byte, error) {
	if path == "-" {
		return io.ReadAll(io.LimitReader(c.stdin, 64<<10))
	}
	return cli.ReadPrivate(path)
}

// browseTo has the user open an address, which is said too: a browser may be on another machine, or none.
func (c *caller) browseTo(ctx context.Context, address, letters string) error {
	fmt.Fprintf(c.stderr, "Log in by browser on this machine:\n\n  %s\n\n", plain(address)) // Pomerium says it
	if letters != "" {
		fmt.Fprintf(c.stderr, "Its page shows these letters, if it is this log-in:  %s\n\n", letters)
	}
	if c.noBrowser {
		return nil
	}
	if err := c.browse(ctx, address); err != nil {
		fmt.Fprintln(c.stderr, "No browser could be opened; open the address yourself.")
	}
	return nil
}

// openInBrowser opens an address in the user's browser.
func openInBrowser(ctx context.Context, run func(context.Context, string, ...string) ([]byte, error), address string) error {
	var err error
	switch runtime.GOOS {
	case "darwin":
		_, err = run(ctx, "open", address)
	case "windows":
		_, err = run(ctx, "rundll32", "url.dll,FileProtocolHandler", address)
	default:
		_, err = run(ctx, "xdg-open", address)
	}
	return err
}

// runProgram runs another program, and returns what it printed. What it says of a failure is in the error.
func runProgram(ctx context.Context, name string, args ...string) ([]byte, error) {
	program := exec.CommandContext(ctx, name, args...)
	var out, said bytes.Buffer
	program.Stdout, program.Stderr = &out, &said
	err := program.Run()
	if text := strings.TrimSpace(said.String()); err != nil && text != "" {
		err = fmt.Errorf("%w: %s", err, plain(text))
	}
	return out.Bytes(), err
}

// isTerminal is whether a file is one where somebody looks on. Of those that began the program the null device has the
// name of what it stands in for, such as /dev/stdin.
func isTerminal(file any) bool {
	f, ok := file.(*os.File)
	if !ok {
		return false
	}
	about, err := f.Stat()
	if err != nil || about.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull)
	return err != nil || !os.SameFile(about, null)
}

var errNoRequest = errors.New("it is neither the number of a request nor its link")
