package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	cli "jitaccess/internal/client"
	"jitaccess/internal/config"
	"jitaccess/internal/outbound"
	"jitaccess/internal/shadow"
)

// runShadow holds what JIT Access 1.x offers against what this version would, and writes nothing. It
// exits with 0 when nothing differs, with 1 when something does, and with 2 when something cannot be
// read.
func runShadow(ctx context.Context, args []string, env func(string) string, stdout, stderr io.Writer) int {
	flags := newFlags("shadow", stderr)
	service := serviceFlag(flags)
	there := flags.String("there", "", "the address of JIT Access 1.x, https://HOST")
	here := flags.String("here", "", "the address of this version; when left out it is worked out with the settings of the environment")
	project := flags.String("project", "", "the id of a project; all that both list when left out")
	asJSON := flags.Bool("json", false, "print one JSON object in place of a table")
	tokens, hereTokens := tokenFiles{}, tokenFiles{}
	flags.Func("token-file", "`PERSON=FILE`: an identity token of that person for the proxy before 1.x, in a file of mode 0600; "+
		"once for each", tokens.add)
	flags.Func("here-token-file", "`PERSON=FILE`: likewise for --here, where the token for 1.x does not count", hereTokens.add)
	if code, ok := parsed(flags, args, stdout, stderr); !ok {
		return code
	}
	var problem error
	switch {
	case *there == "":
		problem = errors.New("set --there to the address of JIT Access 1.x")
	case len(tokens) == 0:
		problem = errors.New("name each person with --token-file PERSON=FILE: JIT Access 1.x tells people what is theirs, and nobody else")
	case *here == "" && len(hereTokens) > 0:
		problem = errors.New("--here-token-file is for --here")
	case *project != "":
		_, problem = access.Project(*project)
	}
	client := outbound.Client("jit-access-1", shadow.ReadOnly(http.DefaultTransport))
	client.Timeout = time.Minute // JIT Access 1.x waits as long for Google
	var old, ours shadow.Side
	if problem == nil {
		old, problem = shadow.NewService(client, *there, tokens)
	}
	if problem == nil && *here != "" {
		all := tokenFiles{}
		for person, token := range tokens {
			all[person] = token
		}
		for person, token := range hereTokens {
			all[person] = token
		}
		ours, problem = shadow.NewService(client, *here, all)
	} else if problem == nil {
		ours, problem = newShadowed(ctx, asService(env, *service))
	}
	if problem != nil {
		return failed(stderr, exitUsage, problem)
	}
	people := tokens.people()
	report := shadow.Run(ctx, people, *project, old, ours)
	err := printShadow(stdout, report, len(people), *asJSON)
	switch {
	case err != nil:
		return failed(stderr, exitUsage, err)
	case len(report.Unread) > 0 || report.Compared == 0:
		return exitUsage
	case len(report.Differences) > 0:
		return exitFailure
	}
	return exitOK
}

// tokenFiles are tokens by whose they are.
type tokenFiles map[access.Principal]string

// add reads PERSON=FILE. The text of an error has nothing of the file.
func (t tokenFiles) add(text string) error {
	name, file, ok := strings.Cut(text, "=")
	person, err := access.ParsePrincipal(name)
	switch {
	case !ok || err != nil:
		return errors.New("this is not PERSON=FILE, with the address of a person")
	case t[person] != "":
		return fmt.Errorf("%s has a token already", person)
	}
	t[person], err = cli.ReadToken(file)
	return err
}

func (t tokenFiles) people() (all []access.Principal) {
	for person := range t {
		all = append(all, person)
	}
	slices.Sort(all)
	return all
}

// shadowed is this version in the process, as each person sees it. It has no memory and no channels,
// and no call of its that could change something leaves the process.
type shadowed struct {
	broker *broker.Broker
	sleep  func(context.Context, time.Duration) error
}

// newShadowed makes it from the settings that 1.x has.
func newShadowed(ctx context.Context, env func(string) string) (*shadowed, error) {
	c, err := config.Read(env)
	if err != nil {
		return nil, fmt.Errorf("the configuration is wrong\n%w", err)
	}
	platform, err := locate(ctx, c)
	if err == nil && platform == nil {
		err = errNeedsGoogle
	}
	if err != nil {
		return nil, err
	}
	platform.Client.Transport = shadow.ReadOnly(platform.Client.Transport)
	platform.DirectoryClient.Transport = shadow.ReadOnly(platform.DirectoryClient.Transport)
	google, err := newCloud(c, platform, wallClock)
	if err != nil {
		return nil, err
	}
	terms := broker.Policy(policyOf(c))
	if kept := c.Requests.Policy; !kept.IsZero() {
		live := &livePolicy{base: policyOf(c), deployment: enforced(c), read: policyText(google, kept), log: slog.New(slog.DiscardHandler),
			now: time.Now}
		if err := live.take(ctx); err != nil {
			return nil, err
		}
		terms = live
	}
	return &shadowed{broker.New(broker.Config{Providers: registered(google.provider), Policy: terms, Directory: google.directory(),
		Claims: c.Identity.GroupsClaim != "", Now: time.Now}), sleep}, nil
}

// as is a person of whom nobody but the operator says who they are.
func (s *shadowed) as(person access.Principal) access.Caller {
	return access.Caller{Principal: person, Method: "shadow"}
}

func (s *shadowed) Is(context.Context, access.Principal) error { return nil }

func (s *shadowed) Projects(ctx context.Context, person access.Principal) (ids []string, err error) {
	all, err := patiently(ctx, s.sleep, func() ([]access.ResourceInfo, error) {
		all, _, err := s.broker.Resources(ctx, s.as(person))
		return all, err
	})
	for _, r := range all {
		if id, ok := r.Resource.ProjectID(); ok {
			ids = append(ids, id)
		}
	}
	return ids, inFullWords(err)
}

func (s *shadowed) Roles(ctx context.Context, person access.Principal, project string) (shadow.Roles, error) {
	on, err := access.Project(project)
	if err != nil {
		return shadow.Roles{}, err
	}
	offer, err := patiently(ctx, s.sleep, func() (broker.Offer, error) { return s.broker.Offer(ctx, s.as(person), on) })
	var roles shadow.Roles
	for _, w := range offer.Warnings {
		// What was not looked at is no difference.
		if w.Args["permission"] != "" {
			return roles, inFullWords(w)
		}
		roles.Warnings = append(roles.Warnings, told(w))
	}
	for _, o := range offer.Refused {
		roles.Warnings = append(roles.Warnings, string(o.ID.Role)+": "+told(o.Err))
	}
	for _, o := range offer.Roles {
		id := o.Entitlement.ID
		r := shadow.Role{ID: id.String(), Role: string(id.Role), Condition: id.Condition, Kind: shadow.Alone}
		if o.Terms.Approvals() > 0 {
			r.Kind = shadow.Approved
		}
		roles.Roles = append(roles.Roles, r)
	}
	return roles, inFullWords(err)
}

func (s *shadowed) Reviewers(ctx context.Context, person access.Principal, _, id string) ([]string, error) {
	parsed, err := access.ParseEntitlementID(id)
	if err != nil {
		return nil, err
	}
	all, err := patiently(ctx, s.sleep, func() (broker.Reviewers, error) { return s.broker.Reviewers(ctx, s.as(person), parsed) })
	return access.Each(all.People, func(p access.Principal) string { return string(p) }), inFullWords(err)
}

// inFullWords is an error as operators read it: with the permission that is missing.
func inFullWords(err error) error {
	if err == nil {
		return nil
	}
	text := told(err)
	if missing := access.AsError(err).Args["permission"]; missing != "" && !strings.Contains(text, missing) {
		text += " It lacks " + missing + "."
	}
	return errors.New(text)
}

func printShadow(w io.Writer, r shadow.Report, people int, asJSON bool) error {
	if asJSON {
		return printJSON(w, "  ", r)
	}
	if len(r.Differences) > 0 {
		table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "PERSON\tPROJECT\tROLE\tDIFFERENCE\t1.X\tHERE\tCONDITION")
		for _, d := range r.Differences {
			cells := []string{string(d.Person), d.Project, d.Role, string(d.Kind), d.There, d.Here, d.Condition}
			fmt.Fprintln(table, strings.Join(access.Each(cells, orDash), "\t"))
		}
		if err := table.Flush(); err != nil {
			return err
		}
		fmt.Fprintln(w)
	}
	for _, part := range []struct {
		title string
		lines []string
	}{{"Could not be read:", r.Unread}, {"Listed by one side alone, and not compared:", r.Lists}, {"Said meanwhile:", r.Notes}} {
		if len(part.lines) > 0 {
			fmt.Fprintf(w, "%s\n  %s\n\n", part.title, strings.Join(access.Each(part.lines, access.Visible), "\n  "))
		}
	}
	_, err := fmt.Fprintf(w, "%s, %d of their projects, %s compared: %s. Nothing was written.\n",
		access.Counted(people, "person", "people"), r.Compared, access.Counted(r.Roles, "role", "roles"),
		access.Counted(len(r.Differences), "difference", "differences"))
	return err
}

// orDash is a cell of a table, of which others may have written the text.
func orDash(text string) string {
	if text = access.Visible(text); text == "" {
		return "-"
	}
	return text
}
