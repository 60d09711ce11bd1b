package main

import (
	"cmp"
	"context"
	"encoding/csv"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/config"
	"jitaccess/internal/gcp/resourcename"
	"jitaccess/internal/server"
)

// runEligible prints what people may activate, and why. It exits with 1 if some of
// it could not be looked up; the rest is printed all the same.
func runEligible(ctx context.Context, args []string, env func(string) string, stdout, stderr io.Writer) int {
	flags := newFlags("eligible", stderr)
	service := serviceFlag(flags)
	person := flags.String("person", "", "the address of a person; everybody when left out")
	on := onFlags(flags, "all that people may choose from")
	format := flags.String("format", "json", "json, as JIT Access 1.x answers, or csv")
	if code, ok := parsed(flags, args, stdout, stderr); !ok {
		return code
	}
	e := eligible{now: time.Now, sleep: sleep, stderr: stderr}
	var err error
	if *person != "" {
		e.person, err = access.ParsePrincipal(*person)
	}
	if err == nil {
		e.on, err = on()
	}
	switch *format {
	case "json":
		e.out = rolesJSON{stdout}
	case "csv":
		e.out = newRolesCSV(stdout)
	default:
		err = fmt.Errorf("the format %q is neither json nor csv", *format)
	}
	if err != nil {
		return failed(stderr, exitUsage, err)
	}
	c, err := config.Read(asService(env, *service))
	if err != nil {
		return failed(stderr, exitUsage, fmt.Errorf("the configuration is wrong\n%w", err))
	}
	if c.Catalog.Kind == config.PolicyAnalyzer {
		if e.person != "" && c.Catalog.CustomerID == "" {
			return failed(stderr, exitUsage, errors.New("set RESOURCE_CUSTOMER_ID: a listing reads the groups of a person "+
				"from the directory, with RESOURCE_CATALOG=PolicyAnalyzer too"))
		}
		fmt.Fprintf(stderr, "PolicyAnalyzer also finds people in groups of groups; "+
			"this listing is by direct membership, as with AssetInventory.\n")
	}
	e.catalog = c.Catalog.Kind
	c.Catalog.Kind = config.AssetInventory // which can say through which members people are eligible
	platform, err := locate(ctx, c)
	if err == nil && platform == nil {
		err = errNeedsGoogle
	}
	var google *cloud
	if err == nil {
		google, err = newCloud(c, platform, wallClock)
	}
	if err != nil {
		return failed(stderr, exitFailure, err)
	}
	named, unread := namedNow(ctx, c, google)
	if unread != nil {
		fmt.Fprintf(stderr, "folders and organizations are left out: %s\n", told(unread))
	}
	e.broker = broker.New(broker.Config{Providers: registered(google.provider.Naming(func() []access.Resource { return named })),
		Policy: policyOf(c).Naming(named), Now: e.now})
	if err := cmp.Or(e.run(ctx), unread); err != nil {
		return failed(stderr, exitFailure, err)
	}
	return exitOK
}

// namedNow are the folders and organizations that the policy file gives out themselves.
func namedNow(ctx context.Context, c *config.Config, google *cloud) ([]access.Resource, error) {
	kept := c.Requests.Policy
	if kept.IsZero() {
		return nil, nil
	}
	live := &livePolicy{base: policyOf(c), deployment: enforced(c), read: policyText(google, kept), log: slog.New(slog.DiscardHandler),
		now: wallClock.now}
	err := live.take(ctx)
	return live.named(), err
}

// eligible is one listing. The zero person is everybody, the zero resource is all.
type eligible struct {
	broker *broker.Broker
	person access.Principal
	on     access.Resource
	// catalog is the one that the service uses.
	catalog string
	out     rolesWriter
	stderr  io.Writer
	now     func() time.Time
	sleep   func(context.Context, time.Duration) error
}

// operator is who asks: whoever runs the command as the service's own account.
var operator = access.Caller{Method: access.MethodSystem}

func (e *eligible) run(ctx context.Context) error {
	resources := []access.ResourceInfo{{Resource: e.on}}
	if e.on == "" {
		var err error
		var warnings []*access.Error
		if resources, warnings, err = e.broker.Resources(ctx, operator); err != nil {
			return err
		}
		for _, w := range warnings {
			fmt.Fprintf(e.stderr, "the list of resources: %s\n", told(w))
		}
	}
	failed := 0
	var ineffective []forNobody
	for _, p := range resources {
		found, err := e.eligibleOn(ctx, p.Resource)
		switch {
		case err != nil && e.on == "" && access.AsError(err).Code == access.CodeUnknownResource:
			// The search also finds what lies outside the scope.
			fmt.Fprintf(e.stderr, "%s is left out: %s\n", p.Resource, told(err))
			continue
		case err != nil:
			failed++
			fmt.Fprintf(e.stderr, "%s cannot be looked up: %s\n", p.Resource, told(err))
			continue
		}
		for _, w := range found.Warnings {
			fmt.Fprintf(e.stderr, "%s: %s\n", p.Resource, told(w))
		}
		for _, person := range found.People {
			roles := rolesOf(p.Resource, person, found.Warnings)
			if len(roles.Entitlements) == 0 && (e.on == "" || e.person == "") {
				continue
			}
			if err := e.out.write(roles); err != nil {
				return err
			}
		}
		for _, i := range found.Ineffective {
			if e.person == "" && i.Why.Args["catalog"] != e.catalog {
				why, _ := inWords(i.Why)
				ineffective = append(ineffective, forNobody{
					listedAs(p.Resource), string(i.Node), i.Role, i.Member, i.Expression, string(i.Why.Code), why,
				})
			}
		}
	}
	if err := e.out.finish(ineffective); err != nil {
		return err
	}
	if failed > 0 {
		return fmt.Errorf("%d of %s could not be looked up", failed, access.Counted(len(resources), "resource", "resources"))
	}
	return nil
}

// told is an error in words, with what there is to do, and its cause. Who reads it is the
// administrator whom people are sent to; others may have written parts of it.
func told(err error) string {
	e := access.AsError(err)
	text, next := inWords(e)
	for sentence := range strings.SplitSeq(strings.TrimSuffix(next, "."), ". ") {
		if sentence != "" && !strings.Contains(sentence, "ell your administrator") {
			text += " " + sentence + "."
		}
	}
	cause := e.Err
	for inner, ours := cause.(*access.Error); ours && inner.Err != nil; inner, ours = cause.(*access.Error) {
		cause = inner.Err // which is what the log has of an error of ours, behind its code
	}
	if cause != nil {
		text += " (" + cause.Error() + ")"
	}
	return access.Visible(text)
}

// Asset Inventory allows 100 look-ups a minute, which a listing of everything uses
// up; it then waits, a few minutes in all, instead of leaving things out.
const (
	quotaWait     = 20 * time.Second
	quotaAttempts = 12
)

func (e *eligible) eligibleOn(ctx context.Context, on access.Resource) (broker.Eligible, error) {
	return patiently(ctx, e.sleep, func() (broker.Eligible, error) { return e.broker.Eligible(ctx, operator, on, e.person) })
}

// patiently looks up again what the quota kept from being looked up.
func patiently[T any](ctx context.Context, sleep func(context.Context, time.Duration) error, look func() (T, error)) (found T, err error) {
	for range quotaAttempts {
		found, err = look()
		if err == nil || access.AsError(err).Code != access.CodeQuota || sleep(ctx, quotaWait) != nil {
			break
		}
	}
	return found, err
}

// listedAs is a resource in a listing: the id of a project, as in JIT Access 1.x, and the path of
// anything else.
func listedAs(on access.Resource) string {
	id, ok := on.ProjectID()
	if !ok {
		return string(on)
	}
	return id
}

// onFlags are the flags by which a command is about one resource, and read which that is; empty
// is what it is about without them.
func onFlags(flags *flag.FlagSet, without string) func() (access.Resource, error) {
	project := flags.String("project", "", "the id of a project; "+without+" when left out")
	path := flags.String("resource", "", "in place of a project, the path of any resource, such as folders/123456789012")
	return func() (access.Resource, error) {
		switch {
		case *project != "" && *path != "":
			return "", errors.New("--project and --resource name two resources; give one of them")
		case *project != "":
			return access.Project(*project)
		case strings.HasPrefix(*path, "folders/"), strings.HasPrefix(*path, "organizations/"), strings.HasPrefix(*path, "projects/"):
			return resourcename.Parse(*path) // which says how one is named
		case *path != "":
			return access.ParseResource(*path)
		}
		return "", nil
	}
}

// personRoles is the answer of JIT Access 1.x to GET /api/projects/{project}/roles,
// with whose it is and, for each role, why.
type personRoles struct {
	Person       access.Principal `json:"person"`
	Project      string           `json:"project"`
	Warnings     []string         `json:"warnings"`
	Entitlements []personRole     `json:"entitlements"`
}

type personRole struct {
	server.Entitlement
	Through []through `json:"through"`
}

// through is a binding: where it stands, and which member of it means the person.
type through struct {
	Node   string `json:"node"`
	Member string `json:"member"`
}

func rolesOf(on access.Resource, p broker.EligiblePerson, warnings []*access.Error) personRoles {
	r := personRoles{Person: p.Person, Project: listedAs(on), Warnings: []string{}, Entitlements: []personRole{}}
	for _, w := range warnings {
		text, _ := inWords(w)
		r.Warnings = append(r.Warnings, text)
	}
	for _, o := range p.Roles {
		ways := access.Each(o.Entitlement.Ways, func(w access.Way) through { return through{string(w.Node), w.Member} })
		r.Entitlements = append(r.Entitlements, personRole{server.EntitlementOf(o), append([]through{}, ways...)})
	}
	return r
}

type forNobody struct {
	Project    string `json:"project"`
	Node       string `json:"node"`
	Role       string `json:"role"`
	Member     string `json:"member,omitempty"`
	Expression string `json:"expression,omitempty"`
	Reason     string `json:"reason"`
	Why        string `json:"why"`
}

// rolesWriter prints the roles of one person on one project after the other, and then
// what makes nobody eligible.
type rolesWriter interface {
	write(personRoles) error
	finish([]forNobody) error
}

// rolesJSON writes one object a line.
type rolesJSON struct{ w io.Writer }

func (w rolesJSON) write(r personRoles) error { return printJSON(w.w, "", r) }

func (w rolesJSON) finish(all []forNobody) error {
	if len(all) == 0 {
		return nil
	}
	return printJSON(w.w, "", map[string][]forNobody{"forNobody": all})
}

// rolesCSV writes one line for each binding through which a person has a role, and one,
// of the same columns, for each entry of what makes nobody eligible.
type rolesCSV struct{ w *csv.Writer }

func newRolesCSV(w io.Writer) rolesCSV {
	c := csv.NewWriter(w)
	c.Write([]string{"person", "project", "role", "resource condition", "activation", "status", "active until",
		"through node", "through member"})
	return rolesCSV{c}
}

func (w rolesCSV) write(r personRoles) error {
	for _, role := range r.Entitlements {
		condition, until := "", ""
		if role.ResourceCondition != nil {
			condition = *role.ResourceCondition
		}
		if role.ValidUntil != nil {
			until = time.Unix(*role.ValidUntil, 0).UTC().Format(time.RFC3339)
		}
		ways := role.Through
		if len(ways) == 0 {
			ways = []through{{}}
		}
		for _, way := range ways {
			w.line(string(r.Person), r.Project, role.Name, condition, role.ActivationType, role.Status, until, way.Node, way.Member)
		}
	}
	return w.w.Error()
}

// finish has the reason where the others have how a role is activated, and no person.
func (w rolesCSV) finish(all []forNobody) error {
	for _, i := range all {
		w.line("", i.Project, i.Role, i.Expression, i.Reason, "FOR NOBODY", "", i.Node, i.Member)
	}
	w.w.Flush()
	return w.w.Error()
}

// line writes one, of conditions and addresses that are other people's to write; its error
// is the writer's.
func (w rolesCSV) line(cells ...string) {
	for i := range cells {
		cells[i] = access.Cell(cells[i])
	}
	w.w.Write(cells)
}
