package main

import (
	"bufio"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"jitaccess/internal/access"
	cli "jitaccess/internal/client"
)

// Exit statuses of the commands that talk to a service (docs/command-line.md), by which scripts tell what to do.
const (
	// exitRefused: it was not allowed, or somebody has said no.
	exitRefused = 3
	// exitNobody: nobody has decided in time.
	exitNobody = 4
	// exitSignedOut: nobody is logged in, or no longer.
	exitSignedOut = 5
	// exitChanged: somebody else was faster.
	exitChanged = 6
	// exitInterrupted is what a shell says of SIGINT.
	exitInterrupted = 130
)

// caller is a command that talks to a service, and the world around it.
type caller struct {
	ctx            context.Context
	env            func(string) string
	stdin          io.Reader
	stdout, stderr io.Writer
	// terminal is whether a file is one, where people look on.
	terminal func(any) bool
	// run, browse, sleep and now are the world's.
	run    func(ctx context.Context, name string, args ...string) ([]byte, error)
	browse func(ctx context.Context, address string) error
	sleep  func(context.Context, time.Duration) error
	now    func() time.Time
	random io.Reader

	// flags are those of the command; options are what they say.
	flags *flag.FlagSet
	// kept is the token of login, once a command uses it.
	kept cli.Token
	options
}

// options are those of all commands; each has some.
type options struct {
	address                                 string
	json, yes, noBrowser, watch, glass      bool
	front, as, impersonate, audience, token string
	reason, person, project                 string
	length, timeout                         time.Duration
	from                                    list
	view, state, role, resource, words      string
	fromDay, toDay, after                   string
	template, key, uri, subject, again      string
	data                                    pairs
}

// clientCommand is one of them. options adds its flags.
type clientCommand struct {
	name, arguments, summary string
	least, most              int
	options                  func(*caller)
	run                      func(*caller, []string) error
}

// clientCommands are in the order in which people meet them.
func clientCommands() []clientCommand {
	return []clientCommand{
		{"login", "URL", "sign in at a service, for the commands below", 1, 1, (*caller).loginOptions, (*caller).login},
		{"logout", "", "end the session of login, where it is the service's own, and forget the token", 0, 0, nil, (*caller).logout},
		{"roles", "[PROJECT]", "what you may ask for, on a project or folders/NUMBER", 0, 1, (*caller).jsonOption, (*caller).roles},
		{"request", "PROJECT ROLE...", "ask for access to a project, or to folders/NUMBER", 2, 100, (*caller).requestOptions, (*caller).request},
		{"approve", "REQUEST", "approve somebody's request, by its number or link", 1, 1, (*caller).approveOptions, (*caller).approve},
		{"deny", "REQUEST", "refuse somebody's request", 1, 1, (*caller).denyOptions, (*caller).deny},
		{"status", "[REQUEST]", "what becomes of a request, or of all of yours", 0, 1, (*caller).statusOptions, (*caller).status},
		{"withdraw", "REQUEST", "take back a request that nobody has decided", 1, 1, (*caller).jsonOption, (*caller).withdraw},
		{"end", "REQUEST", "end access before its time", 1, 1, (*caller).endOptions, (*caller).end},
		{"extend", "REQUEST", "ask for more time", 1, 1, (*caller).extendOptions, (*caller).extend},
		{"history", "", "what was asked for, and what became of it", 0, 0, (*caller).historyOptions, (*caller).history},
		{"ask", "", "ask as an application, and wait for its access token", 0, 0, (*caller).askOptions, (*caller).ask},
		{"completion", "SHELL", "print completion for bash, zsh or fish", 1, 1, nil, (*caller).completion},
	}
}

// clientNamed is the command of a name, if there is one.
func clientNamed(name string) (clientCommand, bool) {
	all := clientCommands()
	at := slices.IndexFunc(all, func(c clientCommand) bool { return c.name == name })
	if at < 0 {
		return clientCommand{}, false
	}
	return all[at], true
}

// runClient runs a command.
func runClient(ctx context.Context, command clientCommand, args []string, env func(string) string,
	stdin io.Reader, stdout, stderr io.Writer) int {
	c := &caller{ctx: ctx, env: env, stdin: stdin, stdout: stdout, stderr: stderr, terminal: isTerminal, run: runProgram,
		sleep: sleep, now: time.Now, random: rand.Reader}
	c.browse = func(ctx context.Context, address string) error { return openInBrowser(ctx, c.run, address) }
	return c.do(command, args)
}

// do reads the command line, runs the command, and says what went wrong in words and by a status.
func (c *caller) do(command clientCommand, args []string) int {
	c.flags = command.flags(c)
	if asksForHelp(args) {
		c.flags.SetOutput(c.stdout)
		c.flags.Usage()
		return exitOK
	}
	others, err := parsedAnywhere(c.flags, args)
	if err != nil {
		return exitUsage
	}
	if len(others) < command.least || len(others) > command.most {
		fmt.Fprintf(c.stderr, "jitaccess: %s takes %s\n\n", command.name, cmp.Or(command.arguments, "no arguments"))
		c.flags.Usage()
		return exitUsage
	}
	err = command.run(c, others)
	if c.ctx.Err() != nil && err != nil {
		return failed(c.stderr, exitInterrupted, errors.New("interrupted; what was asked for until then may have happened: jitaccess status"))
	}
	if err == nil {
		return exitOK
	}
	if o, ok := errors.AsType[*outcome](err); ok {
		return failed(c.stderr, o.status, o.err)
	}
	return failed(c.stderr, statusOf(err), c.withNextStep(err))
}

// flags are the options of a command. Its usage has all of them.
func (command clientCommand) flags(c *caller) *flag.FlagSet {
	flags := newFlags(command.name, c.stderr)
	flags.Usage = func() { printUsage(flags, command.arguments, command.summary) }
	if command.options != nil {
		c.flags = flags
		command.options(c)
	}
	return flags
}

// outcome is an end that is no fault of the call, with its status.
type outcome struct {
	status int
	err    error
}

func (o *outcome) Error() string { return o.err.Error() }

func ended(status int, format string, args ...any) error {
	return &outcome{status, fmt.Errorf(format, args...)}
}

// statusOf is the exit status of an error.
func statusOf(err error) int {
	if errors.Is(err, cli.ErrNoToken) {
		return exitSignedOut
	}
	r, ok := errors.AsType[*cli.Refusal](err)
	switch {
	case !ok:
		return exitFailure
	case r.SignedOut():
		return exitSignedOut
	}
	switch r.Status {
	case http.StatusForbidden, http.StatusUnprocessableEntity:
		return exitRefused
	case http.StatusConflict, http.StatusGone:
		return exitChanged
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusNotFound, http.StatusRequestEntityTooLarge, http.StatusNotImplemented:
		return exitUsage
	}
	return exitFailure
}

// withNextStep says what to do about an error, where that is not the service's to say.
func (c *caller) withNextStep(err error) error {
	switch r, refused := errors.AsType[*cli.Refusal](err); {
	case errors.Is(err, cli.ErrNoToken):
		return fmt.Errorf("%w; begin with: jitaccess login URL", err)
	case refused && r.SignedOut() && c.token != "":
		return fmt.Errorf("%w\n%s", err, c.newToken())
	case refused && r.SignedOut():
		return fmt.Errorf("%w\nlog in again: %s", err, loginAgain(c.kept))
	}
	if u, lost := errors.AsType[*cli.Unreachable](err); lost && u.MayHaveHappened {
		return fmt.Errorf("%w\nit is not known whether it has happened; see with: jitaccess status, or try again later", u)
	}
	return err
}

// loginAgain is the command that replaces a token. One that came from a file is not asked for by login.
func loginAgain(t cli.Token) string {
	text := "jitaccess login " + cmp.Or(string(t.Origin), "URL")
	if t.Front == cli.BearerFront {
		text += " --token-file FILE, with a new token in the file"
	}
	return text
}

// newToken says what to do about a token that was given and is not taken.
func (c *caller) newToken() string {
	where := "in " + c.token
	if c.token == "-" {
		where = "on standard input"
	}
	return "the token " + where + " is not taken: it may be over, or for another service or person. Give a new one, " +
		"of what signs people in there, or leave --token-file out to be signed in"
}

// wrong is a command line that cannot be meant.
func wrong(format string, args ...any) error { return ended(exitUsage, format, args...) }

// store is where the token is kept.
func (c *caller) store() (cli.Store, error) {
	folder := c.env("XDG_CONFIG_HOME")
	switch {
	case folder == "":
		var err error
		if folder, err = os.UserConfigDir(); err != nil {
			return cli.Store{}, err
		}
	case !filepath.IsAbs(folder):
		// Such a path counts for none (https://specifications.freedesktop.org/basedir-spec/latest/). It is said, for a token
		// that is looked for elsewhere in silence is a log-in that seems lost.
		return cli.Store{}, wrong("XDG_CONFIG_HOME is %q, and has to be an absolute path", folder)
	}
	return cli.Store{Path: filepath.Join(folder, "jitaccess", "token.json")}, nil
}

// service is the one that somebody is logged in to. Its token goes nowhere else: where another is named, nobody
// is logged in.
func (c *caller) service() (*cli.Service, error) {
	store, err := c.store()
	if err != nil {
		return nil, err
	}
	t, err := store.Load()
	if err != nil {
		return nil, err
	}
	if c.address != "" {
		origin, err := cli.ParseOrigin(c.address)
		if err != nil {
			return nil, wrong("%v", err)
		}
		if origin != t.Origin {
			return nil, ended(exitSignedOut, "you are logged in to %s, and its token is sent nowhere else; jitaccess login %s", t.Origin, origin)
		}
	}
	if !t.Expires.IsZero() && !t.Expires.After(c.now()) {
		return nil, ended(exitSignedOut, "the log-in ended at %s; log in again: %s", c.moment(t.Expires), loginAgain(t))
	}
	c.kept = t
	return &cli.Service{Origin: t.Origin, Token: t}, nil
}

// Options of several commands.

func (c *caller) urlOption() {
	c.flags.StringVar(&c.address, "url", c.env("JITACCESS_URL"), "the `address` of the service that is meant, to be sure "+
		"(or JITACCESS_URL); else that of login")
}

func (c *caller) jsonOption() {
	c.urlOption()
	c.flags.BoolVar(&c.json, "json", false, "print what the service answers, for scripts (docs/api.md)")
}

func (c *caller) waitOptions() {
	c.flags.DurationVar(&c.timeout, "timeout", 0, "wait for at most so long, such as 30m; else until it is over by itself")
}

func (c *caller) lengthOption(usage string) {
	c.flags.Func("for", usage, func(text string) (err error) {
		if c.length, err = time.ParseDuration(text); err == nil && (c.length < time.Minute || c.length%time.Minute != 0) {
			err = errors.New("whole minutes, such as 45m or 1h30m")
		}
		return err
	})
}

func (c *caller) minutes() int { return int(c.length / time.Minute) }

// list is an option that may be there several times.
type list []string

func (l *list) String() string { return strings.Join(*l, ", ") }

func (l *list) Set(text string) error {
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part != "" {
			*l = append(*l, part)
		}
	}
	return nil
}

// pairs is an option NAME=VALUE that may be there several times.
type pairs map[string]string

func (p *pairs) String() string { return "" }

func (p *pairs) Set(text string) error {
	name, value, ok := strings.Cut(text, "=")
	if _, twice := (*p)[name]; !ok || name == "" || twice {
		return errors.New("NAME=VALUE, each name once")
	}
	if *p == nil {
		*p = pairs{}
	}
	(*p)[name] = value
	return nil
}

// What is printed.

// answered prints an answer as it came, but that what others wrote in it does not speak to the terminal.
func (c *caller) answered(a cli.Answer) error {
	_, err := fmt.Fprintf(c.stdout, "%s\n", access.VisibleJSON(a))
	return err
}

// table prints rows below one another. What others wrote cannot break out of its cell, nor speak to the terminal.
func (c *caller) table(head []string, rows [][]string) error {
	w := tabwriter.NewWriter(c.stdout, 0, 0, 2, ' ', 0)
	for _, row := range append([][]string{head}, rows...) {
		cells := make([]string, len(row))
		for i, cell := range row {
			cells[i] = plain(cell)
		}
		fmt.Fprintln(w, strings.TrimRight(strings.Join(cells, "\t"), "\t"))
	}
	return w.Flush()
}

// plain is text of others in one line, without what a terminal would obey or that is not seen.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		if r == ' ' || unicode.IsGraphic(r) && !unicode.IsSpace(r) {
			return r
		}
		if unicode.IsSpace(r) {
			return ' '
		}
		return '�'
	}, text)
}

// fact prints a line NAME  TEXT, unless there is no text.
func (c *caller) fact(name, text string) {
	if text != "" {
		fmt.Fprintf(c.stdout, "%-9s %s\n", name, plain(text))
	}
}

func (c *caller) warnings(all []string) {
	for _, w := range all {
		fmt.Fprintf(c.stderr, "warning: %s\n", plain(w))
	}
}

// progress says to people what is going on; to a file it says a line for each change.
func (c *caller) progress(text string) {
	if c.terminal(c.stderr) {
		fmt.Fprintf(c.stderr, "\r\x1b[K%s", plain(text))
		return
	}
	fmt.Fprintln(c.stderr, plain(text))
}

// settled ends the line of what was going on.
func (c *caller) settled() {
	if c.terminal(c.stderr) {
		fmt.Fprint(c.stderr, "\r\x1b[K")
	}
}

// moment is when something is, here.
func (c *caller) moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	if t = t.Local(); t.Format(time.DateOnly) == c.now().Local().Format(time.DateOnly) {
		return t.Format("15:04")
	}
	return t.Format("2006-01-02 15:04")
}

func (c *caller) stamp(text string) string {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return ""
	}
	return c.moment(t)
}

// confirmed asks a person who looks on; a script has decided already.
func (c *caller) confirmed(question string) (bool, error) {
	if c.yes || !c.terminal(c.stdin) {
		return true, nil
	}
	fmt.Fprintf(c.stderr, "%s [y/N] ", question)
	line, err := bufio.NewReader(c.stdin).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	return slices.Contains([]string{"y", "yes"}, strings.ToLower(strings.TrimSpace(line))), nil
}
