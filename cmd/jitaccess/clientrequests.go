package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"jitaccess/internal/access"
	cli "jitaccess/internal/client"
)

// noLedger is the word with which the service says that it remembers nothing.
const noLedger = "no-ledger"

// unreadRoles is a resource of which it could not be read what the caller may ask for, and why.
type unreadRoles struct {
	Project string `json:"project"`
	Message string `json:"message"`
}

// roles prints what the caller may ask for, on one project or other resource, or all. Of all, what cannot be read does
// not hide the others.
func (c *caller) roles(args []string) error {
	s, err := c.service()
	if err != nil {
		return err
	}
	resources := args
	var warnings []string
	if len(resources) == 0 {
		if resources, warnings, err = s.Resources(c.ctx); err != nil {
			return err
		}
	}
	var rows [][]string
	var all []any
	unread := []unreadRoles{}
	for _, project := range resources {
		said, as, err := s.Roles(c.ctx, project)
		if err != nil && (len(args) > 0 || ofAll(err)) {
			return err
		}
		if err != nil {
			unread = append(unread, unreadRoles{project, err.Error()})
			continue
		}
		all = append(all, map[string]any{"project": project, "roles": json.RawMessage(as)})
		warnings = append(warnings, said.Warnings...)
		for _, r := range said.Entitlements {
			how, until := "others approve", ""
			if r.Alone() {
				how = "at once"
			}
			if r.ValidUntil != nil {
				until = c.moment(cli.At(*r.ValidUntil))
			}
			rows = append(rows, []string{project, shortRole(r, said.Entitlements), how, strings.ToLower(r.Status), until})
		}
		for _, r := range said.Refused {
			rows = append(rows, []string{project, r.Name, "not now", "", r.Message})
		}
	}
	if c.json {
		err = printJSON(c.stdout, "", map[string]any{"projects": append([]any{}, all...), "warnings": append([]string{}, warnings...),
			"unread": unread})
	} else {
		c.warnings(warnings)
		err = c.table([]string{"ON", "ROLE", "HOW", "STATUS", "UNTIL"}, rows)
	}
	for _, u := range unread {
		fmt.Fprintf(c.stderr, "could not be read: %s: %s\n", plain(u.Project), plain(u.Message))
	}
	if err == nil && len(unread) > 0 {
		err = ended(exitFailure, "%d of %d could not be read; the others are listed", len(unread), len(resources))
	}
	return err
}

// ofAll is whether an error has nothing to do with the resource that was asked about: with another it would be the same.
func ofAll(err error) bool {
	if _, lost := errors.AsType[*cli.Unreachable](err); lost {
		return true
	}
	r, refused := errors.AsType[*cli.Refusal](err)
	return refused && (r.ByFront() || r.SignedOut())
}

// shortRole is how a role is called in a command: by its name, unless several differ in a condition alone.
func shortRole(r cli.Role, all []cli.Role) string {
	for _, other := range all {
		if other.Name == r.Name && other.ID != r.ID {
			return r.ID
		}
	}
	return r.Name
}

func (c *caller) requestOptions() {
	c.jsonOption()
	c.flags.StringVar(&c.reason, "reason", "", "why; others read it")
	c.lengthOption("for how `long`, such as 45m or 2h; else what the service proposes")
	c.flags.Var(&c.from, "from", "who is to approve, `addresses`; else everybody who can")
	c.flags.BoolVar(&c.glass, "break-glass", false, "have it at once, where the policy lets you; everybody is told")
	c.flags.BoolVar(&c.watch, "wait", false, "wait until it is decided")
	c.waitOptions()
}

// request asks for access.
func (c *caller) request(args []string) error {
	s, err := c.service()
	if err != nil {
		return err
	}
	a := cli.Ask{Project: args[0], Justification: c.reason, Minutes: c.minutes(), BreakGlass: c.glass, Peers: c.from}
	said, _, err := s.Roles(c.ctx, a.Project)
	if err != nil {
		return err
	}
	alone := 0
	for _, name := range args[1:] {
		r, err := roleNamed(name, a.Project, said)
		if err != nil {
			return err
		}
		if a.IDs = append(a.IDs, r.ID); r.Alone() {
			alone++
		}
		if r.Terms != nil && c.length == 0 && (a.Minutes == 0 || r.Terms.DefaultMinutes < a.Minutes) {
			a.Minutes = r.Terms.DefaultMinutes
		}
	}
	if a.Minutes == 0 {
		if a.Minutes, err = s.DefaultMinutes(c.ctx); err != nil {
			return err
		}
	}
	switch {
	case alone == len(a.IDs):
		a.Alone = true
	case alone > 0:
		return wrong("some of these roles need somebody's approval and some do not; ask for them apart")
	case !a.BreakGlass && len(a.Peers) == 0:
		if a.Peers, err = s.Peers(c.ctx, a.Project, a.IDs); err != nil {
			return err
		}
	}
	made, as, err := s.Ask(c.ctx, a)
	if err != nil {
		return err
	}
	return c.made(s, made, as)
}

// made prints what an ask became, and waits for it if that is wanted.
func (c *caller) made(s *cli.Service, made cli.Activation, as cli.Answer) error {
	if c.watch && made.ID() != "" && slices.ContainsFunc(statesOf(made), cli.Open) {
		c.warnings(made.Warnings)
		if c.terminal(c.stderr) || !c.json {
			fmt.Fprintf(c.stderr, "%s waits at %s\n", plain(made.ID()), plain(made.ReviewURL))
		}
		return c.await(s, target{id: made.ID(), ref: referenceIn(made.ReviewURL)})
	}
	if c.json {
		return c.answered(as)
	}
	c.activation(made)
	return nil
}

// roleNamed is a role as somebody calls it: by its id, its name, or its name without roles/.
func roleNamed(name, project string, said cli.Roles) (cli.Role, error) {
	var found []cli.Role
	for _, r := range said.Entitlements {
		if r.ID == name || r.Name == name || r.Name == "roles/"+name {
			found = append(found, r)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		for _, r := range said.Refused {
			if r.ID == name || r.Name == name || r.Name == "roles/"+name {
				return cli.Role{}, ended(exitRefused, "%s: %s", name, plain(r.Message))
			}
		}
		return cli.Role{}, ended(exitRefused, "you cannot ask for %s on %s; jitaccess roles %s shows what you can",
			plain(name), plain(project), plain(project))
	}
	text := fmt.Sprintf("there is more than one %s on %s; say which:", name, project)
	for _, r := range found {
		text += "\n  " + plain(r.ID)
	}
	return cli.Role{}, wrong("%s", text)
}

func statesOf(a cli.Activation) []string {
	var all []string
	for _, e := range a.Entitlements {
		all = append(all, e.Status)
	}
	return all
}

// activation prints a request as 1.x's routes have it.
func (c *caller) activation(a cli.Activation) {
	c.fact("request", a.ID())
	c.fact("for", a.Beneficiary.Email)
	for _, e := range a.Entitlements {
		window := ""
		if e.StartTime != 0 && e.EndTime != 0 && e.Status == "ACTIVE" {
			window = ", until " + c.moment(cli.At(e.EndTime))
		} else if e.StartTime != 0 && e.EndTime > e.StartTime && cli.Open(e.Status) {
			window = ", for " + (time.Duration(e.EndTime-e.StartTime) * time.Second).String()
		}
		c.fact("access", fmt.Sprintf("%s on %s: %s%s", cmp.Or(e.Name, e.ID), shortResource(resourceOf(e)), stateWord(e.Status), window))
	}
	c.fact("reason", a.Justification)
	if slices.ContainsFunc(statesOf(a), cli.Open) {
		var asked []string
		for _, r := range a.Reviewers {
			asked = append(asked, r.Email)
		}
		c.fact("asked", strings.Join(asked, ", "))
	}
	c.fact("link", a.ReviewURL)
	c.warnings(a.Warnings)
}

// resourceOf is what access is to, as a path. Of what kind it is stands in the id of a role, and not in projectId,
// which is all that some answers of 1.x have.
func resourceOf(e cli.Activated) string {
	if id, err := access.ParseEntitlementID(e.ID); err == nil {
		return string(id.Resource)
	}
	return "projects/" + e.ProjectID
}

// shortResource is how a resource is called in a command: a project by its id, all else by its path.
func shortResource(path string) string { return strings.TrimPrefix(path, "projects/") }

// resourceNamed is the path of a resource as somebody calls it in a command.
func resourceNamed(name string) string {
	if strings.Contains(name, "/") {
		return name
	}
	return "projects/" + name
}

// stateWord is one of a state's two spellings for both.
func stateWord(state string) string {
	if state == "ACTIVATION_PENDING" {
		return "pending"
	}
	return strings.ToLower(state)
}

// target is a request that is meant: by its id, by what its link has, or both.
type target struct{ id, ref string }

// decides is how it is named where it is shown or decided.
func (t target) decides() string { return cmp.Or(t.ref, t.id) }

// targetOf reads how somebody names a request. A link of another service names nothing here.
func targetOf(text string, s *cli.Service) (target, error) {
	if !strings.Contains(text, "/") {
		if text == "" || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return target{}, wrong("%q: %v", text, errNoRequest)
		}
		return target{id: text}, nil
	}
	origin, err := cli.ParseOrigin(text)
	if err != nil {
		return target{}, wrong("%q: %v", text, errNoRequest)
	}
	if origin != s.Origin {
		return target{}, wrong("that link is of %s, and you are logged in to %s", origin, s.Origin)
	}
	u, _ := url.Parse(text) // ParseOrigin has
	if ref := u.Query().Get("activation"); ref != "" {
		return target{ref: ref}, nil
	}
	for _, folder := range []string{"/requests/", "/admin/requests/"} {
		if id, ok := strings.CutPrefix(u.Path, folder); ok && id != "" && !strings.Contains(id, "/") {
			return target{id: id}, nil
		}
	}
	return target{}, wrong("%q: %v", text, errNoRequest)
}

func referenceIn(link string) string {
	u, err := url.Parse(link)
	if err != nil {
		return ""
	}
	return u.Query().Get("activation")
}

// named is the service, and the request that the first argument names.
func (c *caller) named(args []string) (*cli.Service, target, error) {
	s, err := c.service()
	if err != nil {
		return nil, target{}, err
	}
	t, err := targetOf(args[0], s)
	return s, t, err
}

// numbered is likewise, for what takes the number of the request. A link of which it is not known is asked about.
func (c *caller) numbered(args []string) (*cli.Service, string, error) {
	s, t, err := c.named(args)
	if err != nil || t.id != "" {
		return s, t.id, err
	}
	shown, _, err := s.Show(c.ctx, t.ref)
	return s, shown.ID(), err
}

func (c *caller) approveOptions() {
	c.jsonOption()
	c.lengthOption("for at most so `long`, such as 30m; else for as long as was asked")
	c.flags.BoolVar(&c.yes, "yes", false, "do not ask once more")
}

// approve approves what it has shown.
func (c *caller) approve(args []string) error {
	s, t, err := c.named(args)
	if err != nil {
		return err
	}
	shown, _, err := s.Show(c.ctx, t.decides())
	if err != nil {
		return err
	}
	if shown.Signing != nil {
		return ended(exitRefused, "this is approved by a passkey, which takes a browser: %s",
			plain(cmp.Or(shown.ReviewURL, string(s.Origin)+"/requests/"+shown.ID())))
	}
	if c.terminal(c.stdin) && !c.yes {
		if err := c.shownToApprove(s, t, shown); err != nil {
			return err
		}
		if yes, err := c.confirmed("Approve it?"); err != nil || !yes {
			return cmp.Or(err, ended(exitFailure, "nothing was decided"))
		}
	}
	said, as, err := s.Approve(c.ctx, t.decides(), c.minutes())
	return c.decided(said, as, err)
}

// shownToApprove prints what somebody is asked about, or fails where that is not known. What an application asks for has
// no roles, and is told where it is remembered.
func (c *caller) shownToApprove(s *cli.Service, t target, a cli.Activation) error {
	unnamed := func(e cli.Activated) bool { return e.ID == "" && e.Name == "" }
	if a.Beneficiary.Email != "" && len(a.Entitlements) > 0 && !slices.ContainsFunc(a.Entitlements, unnamed) {
		c.activation(a)
		return nil
	}
	q, _, err := s.Request(c.ctx, t.decides())
	if err != nil || q.Beneficiary.Email == "" || whatOf(q) == "" {
		return ended(exitFailure, "the service does not say what would be approved, and nothing was decided; look at its page: %s/requests/%s",
			s.Origin, plain(url.PathEscape(t.decides())))
	}
	c.remembered(q)
	return nil
}

func (c *caller) decided(said cli.Activation, as cli.Answer, err error) error {
	if err != nil {
		return err
	}
	if c.json {
		return c.answered(as)
	}
	c.activation(said)
	return nil
}

func (c *caller) denyOptions() {
	c.jsonOption()
	c.flags.StringVar(&c.reason, "reason", "", "why; the requester reads it")
}

func (c *caller) deny(args []string) error {
	s, t, err := c.named(args)
	if err != nil {
		return err
	}
	said, as, err := s.Deny(c.ctx, t.decides(), c.reason)
	return c.decided(said, as, err)
}

// withdraw takes back what nobody has decided.
func (c *caller) withdraw(args []string) error {
	s, id, err := c.numbered(args)
	if err != nil {
		return err
	}
	q, as, err := s.Withdraw(c.ctx, id)
	if err == nil {
		err = c.shown(q, as)
	}
	if err == nil && !c.json {
		c.warnings(q.Warnings)
	}
	return err
}

func (c *caller) endOptions() {
	c.jsonOption()
	c.flags.StringVar(&c.project, "project", "", "on which `project`, or folders/NUMBER, it is, "+
		"where the service has no memory and cannot say")
	c.flags.StringVar(&c.person, "person", "", "of whom, for administrators: an `address`")
}

// end ends access before its time.
func (c *caller) end(args []string) error {
	s, t, err := c.named(args)
	if err != nil {
		return err
	}
	resource := ""
	switch {
	case c.project != "":
		resource = resourceNamed(c.project)
	case t.ref != "":
		shown, _, err := s.Show(c.ctx, t.ref)
		if err != nil {
			return err
		}
		if t.id = shown.ID(); len(shown.Entitlements) > 0 {
			resource = resourceOf(shown.Entitlements[0])
		}
	default:
		known, _, err := s.Request(c.ctx, t.id)
		if r, ok := errors.AsType[*cli.Refusal](err); ok && r.Code == noLedger {
			return wrong("this service has no memory; say on which project it is: --project PROJECT")
		}
		if err != nil {
			return err
		}
		resource = known.Resource
	}
	if t.id == "" {
		return wrong("with --project it is named by its number, not by its link")
	}
	said, as, err := s.End(c.ctx, t.id, resource, c.person)
	return c.decided(said, as, err)
}

func (c *caller) extendOptions() {
	c.jsonOption()
	c.lengthOption("for how `long`, from the end of what there is; else what the service proposes")
	c.flags.StringVar(&c.reason, "reason", "", "why; else as before")
	c.flags.Var(&c.from, "from", "who is to approve, `addresses`; else those of before, or everybody who can")
	c.flags.BoolVar(&c.watch, "wait", false, "wait until it is decided")
	c.waitOptions()
}

func (c *caller) extend(args []string) error {
	s, id, err := c.numbered(args)
	if err != nil {
		return err
	}
	minutes := c.minutes()
	if minutes == 0 {
		if minutes, err = s.DefaultMinutes(c.ctx); err != nil {
			return err
		}
	}
	said, as, err := s.Extend(c.ctx, id, cli.Ask{Minutes: minutes, Justification: c.reason, Peers: c.from})
	if err != nil {
		return err
	}
	return c.made(s, said, as)
}

func (c *caller) historyOptions() {
	c.jsonOption()
	f := c.flags
	f.StringVar(&c.view, "view", "mine", "mine, reviews (what waits for you) or all (for auditors)")
	f.StringVar(&c.state, "state", "", "in this `state`, such as active or denied")
	f.StringVar(&c.role, "role", "", "for this `role`")
	f.StringVar(&c.resource, "resource", "", "on this `resource`, such as projects/shop")
	f.StringVar(&c.person, "person", "", "of this `address`, with --view all or reviews")
	f.StringVar(&c.words, "words", "", "with these `words`")
	f.StringVar(&c.fromDay, "from", "", "made on this `day` or later, such as 2026-11-22, in UTC")
	f.StringVar(&c.toDay, "to", "", "made on this `day` or before")
	f.StringVar(&c.after, "after", "", "the next page, as the page before it says")
}

// history prints a page of requests.
func (c *caller) history([]string) error {
	if c.person != "" && c.view == "mine" {
		return wrong("--view mine has your own requests alone; --person goes with --view all, for auditors, or --view reviews")
	}
	s, err := c.service()
	if err != nil {
		return err
	}
	choices := url.Values{}
	for name, value := range map[string]string{"view": c.view, "state": c.state, "role": c.role, "resource": c.resource, "person": c.person,
		"q": c.words, "from": c.fromDay, "to": c.toDay, "after": c.after} {
		if value != "" {
			choices.Set(name, value)
		}
	}
	return c.list(s, choices)
}

func (c *caller) list(s *cli.Service, choices url.Values) error {
	said, as, err := s.History(c.ctx, choices)
	if err != nil {
		return err
	}
	// To who is no auditor the service shows their own, whomever they ask for.
	another := func(q cli.Request) bool { return !strings.EqualFold(q.Beneficiary.Email, strings.TrimSpace(c.person)) }
	if c.person != "" && slices.ContainsFunc(said.Requests, another) {
		return ended(exitRefused, "the service shows you other requests than those of %s: everybody's are for auditors", plain(c.person))
	}
	if said.Own && (c.person == "" || len(said.Requests) == 0) {
		fmt.Fprintln(c.stderr, "Only your own requests are shown: everybody's are for auditors.")
	}
	if c.json {
		return c.answered(as)
	}
	c.warnings(said.Warnings)
	var rows [][]string
	for _, q := range said.Requests {
		if q.State == "ended" { // when it was to end, which is not when it did
			q.EndTime = ""
		}
		rows = append(rows, []string{q.ActivationID, q.State, q.Beneficiary.Email, whatOf(q),
			shortResource(q.Resource), c.stamp(q.Created), c.stamp(q.EndTime), q.Justification})
	}
	if err := c.table([]string{"REQUEST", "STATE", "FOR", "WHAT", "ON", "MADE", "UNTIL", "REASON"}, rows); err != nil {
		return err
	}
	if c.person != "" && len(rows) == 0 && !said.Own {
		fmt.Fprintf(c.stderr, "None of %s that you may see.\n", plain(c.person))
	}
	if said.After != "" {
		fmt.Fprintf(c.stderr, "There is more: --after %s\n", plain(said.After))
	}
	return nil
}

func whatOf(q cli.Request) string {
	if q.Asking != nil {
		return q.Asking.Title
	}
	return strings.Join(q.Roles, ", ")
}

func (c *caller) statusOptions() {
	c.jsonOption()
	c.flags.BoolVar(&c.watch, "watch", false, "wait until it is decided, and say by the exit status how")
	c.waitOptions()
}

// status shows a request, or the caller's own.
func (c *caller) status(args []string) error {
	if len(args) == 0 {
		if c.watch {
			return wrong("status --watch takes the REQUEST to wait for")
		}
		s, err := c.service()
		if err != nil {
			return err
		}
		return c.list(s, url.Values{"view": {"mine"}})
	}
	s, t, err := c.named(args)
	if err != nil {
		return err
	}
	if c.watch {
		return c.await(s, t)
	}
	_, show, err := c.look(s, &t, nil)
	if err != nil {
		return err
	}
	return show()
}

// sight is how a request stood at a look.
type sight struct {
	state   string
	version int
}

// look looks at a request, and where last is one waits until it stands otherwise, if the service can. show prints
// what was seen.
func (c *caller) look(s *cli.Service, t *target, last *sight) (seen sight, show func() error, err error) {
	if t.id != "" {
		var q cli.Request
		var as cli.Answer
		if last == nil {
			q, as, err = s.Request(c.ctx, t.id)
		} else {
			q, as, err = s.Changed(c.ctx, t.id, last.version)
		}
		if r, ok := errors.AsType[*cli.Refusal](err); !ok || r.Code != noLedger || t.ref == "" {
			return sight{q.State, q.Version}, func() error { return c.shown(q, as) }, err
		}
	}
	if last != nil { // nobody says when it changes
		if err := c.sleep(c.ctx, 5*time.Second); err != nil {
			return sight{}, nil, err
		}
	}
	a, as, err := s.Show(c.ctx, t.ref)
	if err != nil {
		return sight{}, nil, err
	}
	state := ""
	for _, one := range statesOf(a) {
		if state == "" || cli.Open(one) {
			state = stateWord(one)
		}
	}
	return sight{state: state}, func() error { return c.decided(a, as, nil) }, nil
}

// shown prints a request with what happened to it.
func (c *caller) shown(q cli.Request, as cli.Answer) error {
	if c.json {
		return c.answered(as)
	}
	c.remembered(q)
	return nil
}

// remembered prints a request as it is remembered.
func (c *caller) remembered(q cli.Request) {
	c.fact("request", q.ActivationID)
	c.fact("state", q.State)
	c.fact("for", q.Beneficiary.Email)
	c.fact("access", fmt.Sprintf("%s on %s", whatOf(q), shortResource(q.Resource)))
	if q.Asking != nil {
		for _, d := range q.Asking.Data {
			c.fact("data", d.Label+": "+d.Value)
		}
	}
	c.fact("reason", q.Justification)
	if cli.Open(q.State) {
		c.fact("asked", strings.Join(q.Reviewers, ", "))
	}
	if q.EndTime != "" {
		c.fact("from", c.stamp(q.StartTime))
		c.fact("until", c.stamp(q.EndTime))
	}
	for _, e := range q.Events {
		by := cmp.Or(e.By, e.Application)
		c.fact(c.stamp(e.At), strings.TrimSpace(strings.Join([]string{e.Action, by, e.Comment, e.Error}, " ")))
	}
}

// await waits until a request is decided, and prints it. What passes by itself, such as a service that
// is replaced meanwhile, is waited out.
func (c *caller) await(s *cli.Service, t target) error {
	began := c.now()
	type looked struct {
		sight
		show func() error
	}
	var last *sight
	return c.within(func() error {
		for said := ""; ; {
			seen, _, err := persistently(c, began, func(context.Context) (looked, cli.Answer, error) {
				now, show, err := c.look(s, &t, last)
				return looked{now, show}, nil, err
			})
			if err != nil {
				c.settled()
				return err
			}
			began = c.now() // it has answered
			if last = &seen.sight; !cli.Open(seen.state) {
				c.settled()
				return cmp.Or(seen.show(), verdict(seen.state))
			}
			if text := "waiting; it is " + seen.state; c.terminal(c.stderr) || text != said {
				c.progress(text)
				said = text
			}
		}
	})
}

// passes is whether what went wrong may go right by itself.
func passes(err error) bool {
	if _, ok := errors.AsType[*cli.Unreachable](err); ok {
		return true
	}
	r, ok := errors.AsType[*cli.Refusal](err)
	return ok && (r.Status >= 500 && r.Status != http.StatusNotImplemented || r.Status == http.StatusTooManyRequests)
}

// verdict is what a script is told of how a wait ended.
func verdict(state string) error {
	switch strings.ToLower(state) {
	case "active":
		return nil
	case "ended", "expired": // what follows would run without the access
		return ended(exitChanged, "it was granted, and is over: %s", plain(state))
	case "lapsed":
		return ended(exitNobody, "nobody has decided in time")
	}
	return ended(exitRefused, "it was not granted: %s", plain(state))
}
