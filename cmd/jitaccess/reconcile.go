package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/config"
)

// meanings say in words what each difference is, and what there is to do.
var meanings = map[access.DifferenceKind]struct{ what, next string }{
	access.NotRemembered: {"a grant stands that the ledger does not know",
		"find out who made it (Google's audit log has SetIamPolicy); end it, or let the sweep take it in"},
	access.NotDecided: {"a grant stands of a request that was not approved",
		"end it; if the ledger was put back from an older copy, its approval is missing"},
	access.LiveAgain: {"a grant stands that was ended, or was over", "end it, and find out who wrote it again"},
	access.NotStanding: {"the ledger has a grant as active that does not stand",
		"somebody took it out by hand: ask for it again if it is needed"},
	access.OtherWindow: {"a grant stands for another time than was approved", "end it, and find out who edited it"},
	access.OtherGrant: {"a grant stands for somebody, or a role, whom its request was not for",
		"take the binding out: its id was copied"},
	access.Damaged: {"what is kept of the request of a grant is not what was recorded, or signed with a key that is not of now",
		"run jitaccess ledger verify; if a key was taken from SIGNING_KEY, put it back behind the first"},
	access.TooLong:             {"a grant is longer than anybody may have it", "end it, and find out who edited it"},
	access.Pointless:           {"somebody is eligible for what they hold all the time", "take the binding without a condition out"},
	access.Edited.Difference(): {"a grant was edited by hand", "end it, and ask again if it is needed"},
	access.Imitated.Difference(): {"a binding has the title of a grant and is none",
		"take it out, or give it another title: people take it for a grant that ends"},
	access.Untitled.Difference(): {"a binding has the text of a grant and another title", "take it out: nobody ends or clears it"},
	access.Uncleared.Difference(): {"a grant is over, and nobody has cleared it",
		"the next grant of the role clears it; take it out if there is none"},
}

// runReconcile holds what stands against what is remembered and what may stand. It exits
// with 0 when all is fine, with 1 when something is not, and with 2 when something cannot
// be read.
func runReconcile(ctx context.Context, args []string, env func(string) string, stdout, stderr io.Writer) int {
	flags := newFlags("reconcile", stderr)
	name := serviceFlag(flags)
	on := onFlags(flags, "all that the service account may see")
	asJSON := flags.Bool("json", false, "print one JSON object in place of a table")
	if code, ok := parsed(flags, args, stdout, stderr); !ok {
		return code
	}
	c, err := config.Read(asService(env, *name))
	if err != nil {
		return failed(stderr, exitUsage, fmt.Errorf("the configuration is wrong\n%w", err))
	}
	r := reconciliation{stderr: stderr, sleep: sleep}
	if r.on, err = on(); err != nil {
		return failed(stderr, exitUsage, err)
	}
	ctx, end := context.WithCancel(ctx)
	defer end()
	s, err := assemble(ctx, c, logTo(stderr, isTerminal(stderr)))
	if err != nil {
		return failed(stderr, exitUsage, err)
	}
	r.broker = s.broker
	report := r.run(ctx)
	if *asJSON {
		err = report.json(stdout)
	} else {
		err = report.table(stdout)
	}
	switch {
	case err != nil:
		return failed(stderr, exitUsage, err)
	case len(report.Unread) > 0:
		return exitUsage
	case len(report.Differences) > 0:
		return exitFailure
	}
	return exitOK
}

// logTo is where the log of a command goes that people read themselves or that a job runs: a terminal gets what it
// warns of, in text, and all else the lines as they are.
func logTo(w io.Writer, terminal bool) io.Writer {
	if terminal {
		return plainLog{w}
	}
	return w
}

// plainLog makes text of the lines of the log, of which each is one write (package journal).
type plainLog struct{ w io.Writer }

func (p plainLog) Write(line []byte) (int, error) {
	var said struct {
		Severity, Message string
		Labels            map[string]string `json:"logging.googleapis.com/labels"`
	}
	switch err := json.Unmarshal(line, &said); {
	case err != nil:
		return p.w.Write(line)
	case said.Severity == "INFO" || said.Severity == "DEBUG":
		return len(line), nil
	}
	text := said.Message
	if said.Labels["error_code"] == "" && said.Labels["error"] != "" { // an error of our own ends the message already
		text += ": " + said.Labels["error"]
	}
	if _, err := fmt.Fprintf(p.w, "%s: %s\n", strings.ToLower(said.Severity), access.Visible(text)); err != nil {
		return 0, err
	}
	return len(line), nil
}

// reconciliation is one run. The zero resource is all.
type reconciliation struct {
	broker interface {
		Resources(context.Context, access.Caller) ([]access.ResourceInfo, []*access.Error, error)
		Reconcile(context.Context, access.Caller, access.Resource) (broker.Reconciled, error)
		NotStanding(context.Context, access.Caller, map[access.Resource]broker.Reconciled) ([]access.Difference, error)
		HasReconciled(context.Context, access.Caller) error
	}
	on     access.Resource
	stderr io.Writer
	sleep  func(context.Context, time.Duration) error
}

// reconciled is what a run found.
type reconciled struct {
	Projects    int          `json:"projects"`
	Differences []difference `json:"differences"`
	// Unread are what could not be read, and why.
	Unread []string `json:"unread"`
}

type difference struct {
	Kind    access.DifferenceKind `json:"kind"`
	ID      string                `json:"id,omitempty"`
	Project string                `json:"project"`
	Person  access.Principal      `json:"person,omitempty"`
	Roles   []string              `json:"roles,omitempty"`
	What    string                `json:"what"`
	Why     string                `json:"why,omitempty"`
	Next    string                `json:"next"`
}

// run looks at all resources. What cannot be read never hides the rest. Only what was
// looked at whole takes a doubt back.
func (r *reconciliation) run(ctx context.Context) reconciled {
	report := reconciled{Differences: []difference{}, Unread: []string{}}
	unread := func(what string, err error) { report.Unread = append(report.Unread, what+": "+told(err)) }
	resources := []access.ResourceInfo{{Resource: r.on}}
	if r.on == "" {
		var warnings []*access.Error
		var err error
		if resources, warnings, err = r.broker.Resources(ctx, operator); err != nil {
			unread("the list of resources", err)
		}
		for _, w := range warnings {
			unread("the list of resources", w)
		}
	}
	looked := map[access.Resource]broker.Reconciled{}
	look := func(on access.Resource) error {
		found, err := r.look(ctx, on)
		for _, w := range found.Warnings {
			fmt.Fprintf(r.stderr, "%s: %s\n", on, told(w))
		}
		if report.add(found.Differences); err != nil {
			return err
		}
		report.Projects++
		looked[on] = found
		return nil
	}
	for _, p := range resources {
		if err := look(p.Resource); err != nil {
			unread(string(p.Resource), err)
		}
	}
	if r.on != "" {
		return report
	}
	missing, err := r.broker.NotStanding(ctx, operator, looked)
	// A grant outlives that its folder is named by the policy, or its project listed.
	again := false
	for _, on := range unlisted(missing, resources) {
		again = look(on) == nil || again // what cannot be looked at is a difference
	}
	if again && err == nil {
		missing, err = r.broker.NotStanding(ctx, operator, looked)
	}
	if report.add(missing); err != nil {
		unread("the ledger", err)
	}
	if len(report.Unread) == 0 {
		if err := r.broker.HasReconciled(ctx, operator); err != nil {
			unread("the ledger", err)
		}
	}
	return report
}

// unlisted are the resources of differences that are in no list.
func unlisted(all []access.Difference, listed []access.ResourceInfo) (found []access.Resource) {
	for _, d := range all {
		in := func(i access.ResourceInfo) bool { return i.Resource == d.Resource }
		if !slices.ContainsFunc(listed, in) && !slices.Contains(found, d.Resource) {
			found = append(found, d.Resource)
		}
	}
	return found
}

// look waits where the quota is spent, as a listing of everything does.
func (r *reconciliation) look(ctx context.Context, on access.Resource) (broker.Reconciled, error) {
	return patiently(ctx, r.sleep, func() (broker.Reconciled, error) { return r.broker.Reconcile(ctx, operator, on) })
}

func (r *reconciled) add(all []access.Difference) {
	for _, d := range all {
		m := meanings[d.Kind]
		r.Differences = append(r.Differences, difference{d.Kind, d.ID, listedAs(d.Resource), d.Principal, d.Roles, m.what, d.Why, m.next})
	}
}

func (r reconciled) json(w io.Writer) error { return printJSON(w, "", r) }

// table is for reading: a line for each difference, and under each what there is to do.
// Others wrote some of what is in it.
func (r reconciled) table(w io.Writer) error {
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, d := range r.Differences {
		fmt.Fprintf(out, "%s\t%s\t%s\t%s\t%s\n", d.Kind, orNone(d.ID), d.Project, orNone(access.Visible(string(d.Person))),
			access.Visible(strings.Join(d.Roles, ", ")))
		fmt.Fprintf(out, "\t%s; next: %s\n", access.Visible(strings.TrimSuffix(d.What+" ("+d.Why+")", " ()")), d.Next)
	}
	if err := out.Flush(); err != nil {
		return err
	}
	for _, text := range r.Unread {
		fmt.Fprintf(w, "could not be read: %s\n", access.Visible(text))
	}
	_, err := fmt.Fprintf(w, "%s; %s; %d could not be read\n", access.Counted(r.Projects, "resource", "resources"),
		access.Counted(len(r.Differences), "difference", "differences"), len(r.Unread))
	return err
}

func orNone(text string) string { return cmp.Or(text, "-") }
