package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/channel/googlechat"
	"jitaccess/internal/channel/slack"
	"jitaccess/internal/channel/teams"
	"jitaccess/internal/channel/webhook"
	"jitaccess/internal/config"
	"jitaccess/internal/policy"
	"jitaccess/internal/policy/cases"
	"jitaccess/internal/server"
	"jitaccess/internal/words"
)

const policyUsage = "Usage: jitaccess policy COMMAND [options]\n" + policyCommands

const policyCommands = `  jitaccess policy lint [--env FILE] [--without-ledger] [--directory] [FILE]
                                                                 every fault of a policy file at once, and what its author may not mean
  jitaccess policy test [--env FILE] FILE...                     hold policies against cases
  jitaccess policy diff [--env FILE] [--eligible FILE] OLD NEW   what a new policy changes for those whom "jitaccess eligible" lists
  jitaccess policy explain [--env FILE] --person P --role R --resource X [FILE]
                                                                 which rule decides, why, and what it takes
  jitaccess policy schema                                        the JSON Schema of policy files, for editors
FILE may be left out where POLICY in the environment is a path. --env names a file of NAME=VALUE
lines, the settings of a deployment. It ends with 0, with 1 for faults or what is not as expected,
and with 2 for what cannot be read. "jitaccess policy COMMAND --help" says more.
`

// runPolicy looks at policy files; it asks nobody anything, except the Directory with
// --directory. It exits with 0 if there is no fault, with 1 if there is one, and with 2 if
// something cannot be read.
func runPolicy(ctx context.Context, args []string, env func(string) string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		fmt.Fprint(stderr, policyUsage)
		return exitUsage
	}
	if args[0] == "help" || asksForHelp(args[:1]) {
		fmt.Fprint(stdout, policyUsage)
		return exitOK
	}
	flags := newFlags("policy "+args[0], stderr)
	p := policyCommand{env: env, stdout: stdout, now: time.Now()}
	flags.StringVar(&p.envFile, "env", "", "a file of NAME=VALUE lines, the settings of a deployment")
	var act func(files []string) (int, error)
	flags.Usage = func() {
		printUsage(flags, "[FILE]...", strings.TrimSuffix(policyCommands, "\n"))
	}
	switch args[0] {
	case "lint":
		act = func(files []string) (int, error) { return p.lint(ctx, files) }
		flags.BoolVar(&p.directory, "directory", false, "ask the Directory for the groups and people that are named, with the settings of --env "+
			"or of the environment and the credentials that gcloud has made for the service account")
		flags.BoolVar(&p.withoutLedger, "without-ledger", false, "tell what needs a ledger")
	case "test":
		act = p.test
	case "diff":
		act = p.diff
		flags.StringVar(&p.listing, "eligible", "", "what \"jitaccess eligible\" printed as JSON; standard input when left out")
	case "explain":
		act = p.explain
		p.question.flags(flags)
	case "schema":
		act = p.schema
	default:
		fmt.Fprintf(stderr, "jitaccess: there is no command \"policy %s\"\n\n%s", args[0], policyUsage)
		return exitUsage
	}
	if asksForHelp(args[1:]) {
		flags.SetOutput(stdout)
		flags.Usage()
		return exitOK
	}
	files, err := parsedAnywhere(flags, args[1:])
	if err != nil {
		return exitUsage
	}
	code, err := act(files)
	if err != nil {
		return failed(stderr, exitUsage, err)
	}
	return code
}

func asksForHelp(args []string) bool {
	return slices.ContainsFunc(args, func(a string) bool { return slices.Contains([]string{"--help", "-help", "-h"}, a) })
}

// parsedAnywhere reads options before, between and behind the other arguments, which it
// returns.
func parsedAnywhere(flags *flag.FlagSet, args []string) (others []string, err error) {
	for {
		if err := flags.Parse(args); err != nil {
			return nil, err
		}
		if args = flags.Args(); len(args) == 0 {
			return others, nil
		}
		others, args = append(others, args[0]), args[1:]
	}
}

type policyCommand struct {
	env              func(string) string
	envFile, listing string
	withoutLedger    bool
	directory        bool
	question         question
	stdout           io.Writer
	now              time.Time
}

func (p *policyCommand) schema(args []string) (int, error) {
	if len(args) > 0 || p.envFile != "" {
		return 0, errors.New("policy schema takes no arguments")
	}
	_, err := p.stdout.Write(policy.Schema)
	return exitOK, err
}

func (p *policyCommand) lint(ctx context.Context, files []string) (int, error) {
	path, err := p.path(files)
	if err != nil {
		return exitUsage, err
	}
	text, err := readText(path)
	if err != nil {
		return exitUsage, err
	}
	file, faults := policy.ReadFile(text)
	deployment := policy.Deployment{Ledger: !p.withoutLedger, Passkeys: true, AccessLevels: policy.AnyLevels, Claims: true, Groups: true,
		Channels: channelNames}
	if p.envFile != "" {
		c, err := p.config()
		if err != nil {
			return exitUsage, err
		}
		deployment = enforced(c)
		deployment.Ledger = !p.withoutLedger
	}
	more, warnings := file.Lint(p.now)
	unable := file.Faults(deployment)
	if len(faults) > 0 {
		more, warnings = nil, nil // they would be about what was not read
	}
	if p.directory {
		unknown, err := p.unknown(ctx, file)
		if err != nil {
			return exitUsage, err
		}
		warnings = append(warnings, unknown...).Sorted()
	}
	faults = slices.Concat(faults, more, unable).Sorted()
	p.tell(path, "", faults)
	p.tell(path, "warning: ", warnings)
	if len(faults) > 0 {
		return exitFailure, nil
	}
	fmt.Fprintf(p.stdout, "%s: no fault; rules %d, warnings %d\n", path, len(file.Rules), len(warnings))
	return exitOK, nil
}

// unknown are warnings of groups and people whom the Directory does not know.
func (p *policyCommand) unknown(ctx context.Context, file *policy.File) (policy.Faults, error) {
	read := p.env
	if p.envFile != "" {
		values, err := settingsIn(p.envFile)
		if err != nil {
			return nil, err
		}
		read = func(name string) string { return values[name] }
	}
	c, err := config.Read(read)
	if err != nil {
		return nil, fmt.Errorf("--directory needs the settings of a deployment\n%w", err)
	}
	platform, err := locate(ctx, c)
	if err != nil {
		return nil, err
	}
	if platform == nil {
		return nil, fmt.Errorf("--directory: %w", errNeedsGoogle)
	}
	google, err := newGoogle(c, platform, wallClock)
	if err != nil {
		return nil, err
	}
	return file.Unknown(func(kind string, address access.Principal) (bool, error) {
		if kind == "group" {
			_, _, err = google.Groups.Members(ctx, string(address), time.Time{})
		} else {
			_, _, err = google.Groups.Groups(ctx, address, time.Time{})
		}
		if e := access.AsError(err); e != nil && e.Kind == access.NotFound {
			return false, nil
		}
		if err != nil {
			err = fmt.Errorf("the Directory does not say who %s is: %w", address, err)
		}
		return err == nil, err
	})
}

// channelNames are those that there are in this version.
var channelNames = []string{"mail", "pubsub", webhook.Channel, slack.Channel, slack.Channel + ":", googlechat.Channel, teams.Channel}

func (p *policyCommand) tell(path, prefix string, faults policy.Faults) {
	for _, f := range faults {
		fmt.Fprintf(p.stdout, "%s:%d:%d: %s%s\n", path, f.Line, f.Column, prefix, f.Text)
	}
}

// path is the file that is meant: the argument, or else POLICY.
func (p *policyCommand) path(args []string) (string, error) {
	switch {
	case len(args) == 1:
		return args[0], nil
	case len(args) > 1:
		return "", fmt.Errorf("one file is expected, not %q", args)
	case p.env("POLICY") == "":
		return "", errors.New("name a policy file, or set POLICY to its path")
	}
	return p.env("POLICY"), nil
}

// readText reads a file, and of one that is too long so much that this is seen.
func readText(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, policy.MaxSize+1))
}

// config is that of a deployment, or without a file that of one that sets nothing.
func (p *policyCommand) config() (*config.Config, error) {
	// What nothing can be read without, and no policy depends on.
	values := map[string]string{"K_SERVICE": "jitaccess", "RESOURCE_SCOPE": "organizations/1", "RESOURCE_CUSTOMER_ID": "C0123abcd"}
	if p.envFile != "" {
		read, err := settingsIn(p.envFile)
		if err != nil {
			return nil, err
		}
		maps.Copy(values, read)
	}
	c, err := config.Read(func(name string) string {
		if name == "POLICY" || name == "DATABASE_URL" {
			return "" // they say nothing of what a policy may demand
		}
		return values[name]
	})
	if err != nil {
		return nil, fmt.Errorf("the settings are wrong\n%w", err)
	}
	return c, nil
}

// settingsIn reads NAME=VALUE lines.
func settingsIn(path string) (map[string]string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	values := map[string]string{}
	for number, line := range strings.Split(string(text), "\n") {
		line = strings.TrimPrefix(strings.TrimSpace(line), "export ")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if !ok {
			return nil, fmt.Errorf("%s:%d: not of the form NAME=VALUE", path, number+1)
		}
		values[strings.TrimSpace(name)] = unquote(value)
	}
	return values, nil
}

// unquote takes quotes off that a shell would.
func unquote(value string) string {
	value = strings.TrimSpace(value)
	if n := len(value); n > 1 && (value[0] == '\'' || value[0] == '"') && value[n-1] == value[0] {
		return value[1 : n-1]
	}
	return value
}

// valid reads a policy for a command that needs one without faults; ok is false if it
// has some, which are told.
func (p *policyCommand) valid(path string) (refined policy.Refined, ok bool, err error) {
	c, err := p.config()
	if err != nil {
		return refined, false, err
	}
	text, err := readText(path)
	if err != nil {
		return refined, false, err
	}
	file, faults := policy.ReadFile(text)
	p.tell(path, "", faults)
	return policy.Refine(policyOf(c), file), len(faults) == 0, nil
}

func (p *policyCommand) test(files []string) (int, error) {
	if len(files) == 0 {
		return exitUsage, errors.New("name at least one file of cases")
	}
	code, count := exitOK, 0
	for _, path := range files {
		text, err := readText(path)
		if err != nil {
			return exitUsage, err
		}
		file, faults := cases.Read(text)
		if len(faults) > 0 {
			p.tell(path, "", faults)
			return exitUsage, nil
		}
		refined, ok, err := p.valid(filepath.Join(filepath.Dir(path), file.Policy))
		if err != nil || !ok {
			return exitUsage, err
		}
		count += len(file.Cases)
		if failures := file.Run(refined); len(failures) > 0 {
			p.tell(path, "", failures)
			code = exitFailure
		}
	}
	if code == exitOK {
		fmt.Fprintf(p.stdout, "%s as expected\n", access.Counted(count, "case is", "cases are"))
	}
	return code, nil
}

// question is what is explained, as it was typed.
type question struct{ person, role, resource, marker, when, groups, claims, ancestors, changes string }

func (q *question) flags(flags *flag.FlagSet) {
	flags.StringVar(&q.person, "person", "", "the address of who asks")
	flags.StringVar(&q.role, "role", "", "the role")
	flags.StringVar(&q.resource, "resource", "", "the resource, such as projects/shop")
	flags.StringVar(&q.marker, "marker", "", "how IAM makes them eligible: jit (alone) or mpa (with an approval); mpa when left out")
	flags.StringVar(&q.when, "at", "", "the moment, such as 2026-03-04T12:00:00+01:00; now when left out")
	flags.StringVar(&q.groups, "groups", "?", "the groups of the person, separated by commas; unknown when left out")
	flags.StringVar(&q.claims, "claims", "?", "the claims of the person, separated by commas; unknown when left out")
	flags.StringVar(&q.ancestors, "ancestors", "?", "what is above the resource, nearest first, separated by commas; unknown when left out")
	flags.StringVar(&q.changes, "changes-permissions", "", "whether the role can change permissions: true or false; unknown when left out")
}

func (p *policyCommand) explain(files []string) (int, error) {
	q := p.question
	path, err := p.path(files)
	if err != nil {
		return exitUsage, err
	}
	s := access.Subject{At: p.now, Kind: access.Peers, GroupsKnown: q.groups != "?",
		ClaimsKnown: q.claims != "?", AncestorsKnown: q.ancestors != "?"}
	if s.Principal, err = access.ParsePrincipal(q.person); err != nil {
		return exitUsage, fmt.Errorf("--person: %w", err)
	}
	if s.Entitlement.Resource, err = access.ParseResource(q.resource); err != nil {
		return exitUsage, fmt.Errorf("--resource: %w", err)
	}
	if s.Entitlement.Role, err = access.ParseRole(q.role); err != nil {
		return exitUsage, fmt.Errorf("--role: %w", err)
	}
	if q.when != "" {
		if s.At, err = time.Parse(time.RFC3339, q.when); err != nil {
			return exitUsage, fmt.Errorf("--at %q is not a moment such as 2026-03-04T12:00:00+01:00", q.when)
		}
	}
	switch q.marker {
	case "", "mpa":
	case "jit":
		s.Kind = access.Self
	default:
		return exitUsage, fmt.Errorf("--marker %q is neither jit nor mpa", q.marker)
	}
	if s.ChangesPermissions, err = answered(q.changes); err != nil {
		return exitUsage, err
	}
	s.Groups, s.Claims = listed(q.groups), listed(q.claims)
	for _, above := range listed(q.ancestors) {
		node, err := access.ParseResource(above)
		if err != nil {
			return exitUsage, fmt.Errorf("--ancestors %q: %w", above, err)
		}
		s.Ancestors = append(s.Ancestors, node)
	}
	refined, ok, err := p.valid(path)
	if err != nil || !ok {
		return exitFailure, err
	}
	if e := refined.File().Gives(s.Entitlement); e != nil {
		fmt.Fprintf(p.stdout, "The file itself gives it, in line %d, to %s.\n", e.Line, strings.Join(e.Requesters, ", "))
	}
	switch a := refined.File().Asks(s.Entitlement); {
	case a != nil && a.GitHub != nil:
		fmt.Fprintf(p.stdout, "GitHub asks for it, by a template of %s in line %d: deployments of the installations %s.\n",
			a.Name, a.At(s.Entitlement).Line, a.GitHub.InstallationsText())
	case a != nil:
		fmt.Fprintf(p.stdout, "The application %s asks for it, by a template in line %d.\n", a.Name, a.At(s.Entitlement).Line)
	case q.marker == "":
		fmt.Fprintln(p.stdout, "This is as if IAM lets them have the role with an approval; "+
			"--marker jit tells of a role that it lets them activate alone.")
	}
	p.explained(s, refined.Explain(s))
	return exitOK, nil
}

// answered reads true, false, or nothing, which is unknown.
func answered(text string) (access.Answer, error) {
	switch text {
	case "true":
		return access.Yes, nil
	case "false":
		return access.No, nil
	case "":
		return access.Unknown, nil
	}
	return access.Unknown, fmt.Errorf("--changes-permissions %q is neither true nor false", text)
}

func listed(text string) []string {
	if text == "?" || text == "" {
		return nil
	}
	return strings.Split(text, ",")
}

// explained prints why which terms hold, what they are, and who would be asked.
func (p *policyCommand) explained(s access.Subject, e policy.Explanation) {
	tell := func(lines ...string) {
		for _, line := range lines {
			fmt.Fprintln(p.stdout, line)
		}
	}
	if e.Err != nil {
		lines := server.InWords(words.English(), e.Explanation, nil)
		text, next := inWords(e.Err)
		if unknown := e.Err.Args["unknown"]; e.Err.Code == access.CodeRuleUndecided {
			lines = lines[:len(lines)-1] // nothing decides
			next = "Say what they are with --" + unknown + " A,B, or that there are none with --" + unknown + " ''."
		}
		tell(append(lines, text, next)...)
		return
	}
	tell(server.InWords(words.English(), e.Explanation, &e.Terms)...)
	if slices.ContainsFunc(e.Terms.Requirements, func(r access.Requirement) bool { return slices.Contains(r.From, access.FromPeers) }) {
		tell(fmt.Sprintf("Who that is: jitaccess eligible --project %s lists who holds %s.",
			s.Entitlement.Resource.Name(), s.Entitlement.Role))
	}
}

// diff compares two policies over the JSON lines of "jitaccess eligible".
func (p *policyCommand) diff(files []string) (int, error) {
	if len(files) != 2 {
		return exitUsage, errors.New("name the old and the new policy")
	}
	var policies [2]policy.Refined // the old and the new one
	for i, path := range files {
		refined, ok, err := p.valid(path)
		if err != nil || !ok {
			return exitFailure, err
		}
		policies[i] = refined
	}
	var in io.Reader = os.Stdin
	if p.listing != "" {
		f, err := os.Open(p.listing)
		if err != nil {
			return exitUsage, err
		}
		defer f.Close()
		in = f
	}
	subjects, err := readEligible(in, p.now)
	if err != nil {
		return exitUsage, err
	}
	changed := policy.CompareApplications(policies[0], policies[1], func(of policy.Refined, id access.EntitlementID) policy.Explanation {
		return of.Explain(access.Subject{Entitlement: id, Kind: access.Peers, At: p.now})
	})
	for _, c := range changed {
		fmt.Fprintf(p.stdout, "%s: %s: %s\n", c.Change, c.Of, strings.Join(c.Differs, "; "))
	}
	asking := len(policies[0].File().Applications) > 0 || len(policies[1].File().Applications) > 0
	if asking {
		fmt.Fprintf(p.stdout, "applications and templates that are not as before: %d\n", len(changed))
	}
	if len(subjects) == 0 && asking {
		return exitOK, nil
	}
	if len(subjects) == 0 {
		return exitUsage, errors.New("the listing names nobody, so that nothing is compared; " +
			"give what \"jitaccess eligible\" prints to --eligible or to standard input")
	}
	people := map[policy.Change][]access.Principal{} // once for each role
	for _, s := range subjects {
		change, differs := policy.Compare(policies[0].Explain(s), policies[1].Explain(s))
		people[change] = append(people[change], s.Principal)
		if change != policy.Same {
			fmt.Fprintf(p.stdout, "%s: %s, %s on %s: %s\n",
				change, s.Principal, s.Entitlement.Role, s.Entitlement.Resource, strings.Join(differs, "; "))
		}
	}
	for _, change := range []policy.Change{policy.Refused, policy.Allowed, policy.Looser, policy.Tighter,
		policy.Different, policy.Undecided, policy.Same} {
		all := slices.Sorted(slices.Values(people[change]))
		fmt.Fprintf(p.stdout, "%s: roles %d, people %d\n", change, len(all), len(slices.Compact(all)))
	}
	return exitOK, nil
}

// readEligible reads who may activate what. Of groups and of what is above a project it
// knows those through which people are eligible.
func readEligible(in io.Reader, now time.Time) ([]access.Subject, error) {
	decoder := json.NewDecoder(in)
	var all []access.Subject
	groups, above := map[access.Principal][]string{}, map[access.Resource][]access.Resource{}
	for line := 1; ; line++ {
		var r personRoles
		if err := decoder.Decode(&r); err == io.EOF {
			break
		} else if err != nil {
			return nil, fmt.Errorf("entry %d of the listing is not what \"jitaccess eligible\" prints: %w", line, err)
		}
		for _, e := range r.Entitlements {
			id, err := access.ParseEntitlementID(e.ID)
			if err != nil {
				return nil, fmt.Errorf("entry %d of the listing: %w", line, err)
			}
			s := access.Subject{Principal: r.Person, Entitlement: id, Kind: access.Peers, At: now, AncestorsKnown: true, GroupsKnown: true}
			if e.ActivationType == "JIT" {
				s.Kind = access.Self
			}
			for _, way := range e.Through {
				if group, ok := strings.CutPrefix(way.Member, "group:"); ok {
					groups[r.Person] = append(groups[r.Person], group)
				}
				if node := access.Resource(way.Node); node != id.Resource {
					above[id.Resource] = append(above[id.Resource], node)
				}
			}
			all = append(all, s)
		}
	}
	for i := range all {
		all[i].Groups, all[i].Ancestors = groups[all[i].Principal], above[all[i].Entitlement.Resource]
	}
	return all, nil
}
