package main

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/ledger"
	"jitaccess/internal/ledger/firestoretest"
	"jitaccess/internal/ledger/ledgertest"
	"jitaccess/internal/ledger/relational"
)

const erin = "erin@example.com"

// crashRules are those under which the errands are run.
const crashRules = `version: 1
rules:
  - name: machines
    match: {role: [roles/compute.instanceAdmin.v1]}
    terms:
      approvals: 1
      break_glass: {who: ["user:alice@example.com"], max_duration: 30m, review_by: ["user:erin@example.com"]}
`

// The errands: extension goes on with the request, onward with the self-activation, and later
// begins in an hour.
const (
	selfActivation = "self-activation"
	request        = "request"
	glass          = "broken glass"
	extension      = "extension"
	later          = "later start"
	onward         = "extension alone"
)

// errands are what people do, each of which may be done again, by the same forms.
type errands struct {
	number int
	forms  map[string]url.Values
	id     map[string]string
}

// why is the reason of one of them, which is in no other.
func (s errands) why(of string) string { return fmt.Sprintf("case %d, %s.", s.number, of) }

func (c *crashes) errands() errands {
	c.sent++
	s := errands{c.sent, map[string]url.Values{}, map[string]string{}}
	form := func(of string, kind access.RequestKind, role string, with url.Values) {
		f := url.Values{"id": {c.formID(kind)}, "entitlement": {role}, "minutes": {"30"}, "justification": {s.why(of)}}
		for name := range with {
			f[name] = with[name]
		}
		s.forms[of], s.id[of] = f, number(c.t, f)
		f.Del("extends")
	}
	form(selfActivation, access.Self, selfID, nil)
	form(request, access.Peers, peerID, url.Values{"reviewer": {bob}})
	form(glass, access.BreakGlass, peerID, nil)
	s.forms[glass].Set("glass", "1")
	form(extension, access.Peers, peerID, url.Values{"reviewer": {bob}, "extends": {s.id[request]}})
	form(later, access.Peers, peerID, url.Values{"reviewer": {bob}, "start": {c.now().UTC().Add(time.Hour).Format("2006-01-02T15:04")}})
	form(onward, access.Self, selfID, url.Values{"extends": {s.id[selfActivation]}})
	return s
}

// deeds are the names of what is done in the story that the other matrices play.
var deeds = []string{"activate", "ask", "approve", "end"}

const (
	// beginning is what a sweep does: what was approved for later begins.
	beginning = "begin"
	// endingAll takes access from somebody, with what would give it again.
	endingAll = "end as an admin"
)

// crashStories are what people do, one after the other; during the deeds the process is
// ended, and before them not.
var crashStories = []struct{ before, deeds []string }{
	{nil, deeds},
	{nil, []string{"break the glass", "review"}},
	{[]string{"ask"}, []string{"withdraw"}},
	{[]string{"ask", "approve"}, []string{"extend", "approve the extension"}},
	{[]string{"ask for later"}, []string{"approve for later", beginning}},
	{[]string{"activate"}, []string{"extend alone", endingAll}},
}

// leads is what a deed makes of one of the errands.
type leads struct {
	deed string
	then access.State
}

// paths are how each of the errands goes.
var paths = map[string][]leads{
	selfActivation: {{"activate", access.Active}, {endingAll, access.Ended}},
	request:        {{"ask", access.Pending}, {"approve", access.Active}, {"end", access.Ended}, {"withdraw", access.Withdrawn}},
	glass:          {{"break the glass", access.Active}},
	extension:      {{"extend", access.Pending}, {"approve the extension", access.Scheduled}},
	later:          {{"ask for later", access.Pending}, {"approve for later", access.Scheduled}, {beginning, access.Active}},
	onward:         {{"extend alone", access.Scheduled}, {endingAll, access.Ended}},
}

// allErrands are they in their order.
var allErrands = []string{selfActivation, request, glass, extension, later, onward}

func (c *crashes) do(s errands, deed string) answer {
	ask := func(of, path string) answer { return c.form(alice, path, s.forms[of]) }
	about := func(of, what string) string { return "/requests/" + s.id[of] + "/" + what }
	end := func(who, of string) answer {
		return c.form(who, about(of, "end"), url.Values{"resource": {"projects/" + project}})
	}
	approve := func(of string) answer { return c.form(bob, reviewPath(s.id[of]), url.Values{"verdict": {"approve"}}) }
	switch deed {
	case "activate":
		return ask(selfActivation, "/access/projects/"+project)
	case "ask":
		return ask(request, "/access/projects/"+project)
	case "approve":
		return approve(request)
	case "end":
		return end(alice, request)
	case "break the glass":
		return ask(glass, "/access/projects/"+project)
	case "review":
		return c.form(erin, about(glass, "review"), url.Values{"comment": {"The nodes did hang"}})
	case "withdraw":
		return c.form(alice, about(request, "withdraw"), url.Values{})
	case "extend":
		return ask(extension, about(request, "extend"))
	case "approve the extension":
		return approve(extension)
	case "ask for later":
		return ask(later, "/access/projects/"+project)
	case "approve for later":
		return approve(later)
	case "extend alone":
		return ask(onward, about(selfActivation, "extend"))
	case endingAll:
		return end(erin, selfActivation)
	case beginning:
		return c.begin(s)
	}
	c.t.Fatalf("nobody knows how to %s", deed)
	return answer{}
}

// untilLater is when what begins later is due.
const untilLater = 46 * time.Minute

// begin has the process begin again when what begins later is due; it sweeps at once.
func (c *crashes) begin(s errands) answer {
	c.kill()
	c.pass(untilLater)
	c.start(c.at)
	c.eventually("it begins", func() bool { return c.died() || c.state(s.id[later]) == access.Active })
	if c.died() {
		return answer{}
	}
	return answer{status: 200}
}

// play plays a story up to a deed at which the process ends, and says which that is; empty
// is none. each is called after each deed.
func (c *crashes) play(s errands, all []string, each func(deed string)) (during string) {
	c.t.Helper()
	for _, deed := range all {
		if a := c.do(s, deed); a.status == 0 {
			return deed
		} else if a.status >= 400 {
			c.t.Errorf("%s: %d %.3000s", deed, a.status, a.body)
		}
		each(deed)
	}
	return ""
}

// fresh is a process that begins with nothing left from before. It ends before a step.
func (c *crashes) fresh(at string) {
	c.t.Helper()
	c.cloud.Faults().Reset()
	c.tidy(project)
	c.ahead.Store(0)
	c.pass(0)
	// What begins later is left to the sweep from the first deed on.
	if err := c.store.Swept(context.Background(), c.now()); err != nil {
		c.t.Fatal(err)
	}
	c.start(at)
}

// crash ends the process before a step of a deed of a story, starts it again, and holds what
// then is against what was acknowledged. It returns during what it ended, and how the
// errands stand before anybody does anything again.
func (c *crashes) crash(at, in string, all []string) (during, then string) {
	c.t.Helper()
	if in == beginning { // the process that does it is one of its own
		c.fresh("none")
		c.at = at
	} else {
		c.fresh(at)
	}
	s, acknowledged := c.errands(), map[string]bool{}
	if during = c.play(s, all, func(deed string) { acknowledged[deed] = true }); during == "" {
		c.t.Fatalf("%s: the process did not end\n%s", at, c.log)
	}
	if <-c.ended; !strings.Contains(c.ending.Error(), "killed") {
		c.t.Fatalf("%v\n%s", c.ending, c.log)
	}
	c.start("")
	defer c.kill()
	// What the ended process held is taken by who has seen it for five minutes.
	c.eventually("what was approved is finished", func() bool {
		rows, err := c.home.List(context.Background(), ledger.Query{States: []access.State{access.Approved}, Max: 1})
		return err == nil && len(rows) == 0
	})
	c.settle()
	states := map[string]access.State{}
	for _, of := range allErrands {
		states[of] = c.state(s.id[of])
		if why := c.wrong(s, of, states[of], acknowledged, during); why != "" {
			c.t.Errorf("%s, during %s: %s: %s is %q, granted %d, live %d\n%s", at, during, why, of, states[of], c.granted(s.id[of]), c.live(s.id[of]), c.log)
		}
	}
	if states[selfActivation] == access.Ended && states[onward] != access.Ended {
		c.t.Errorf("%s, during %s: what somebody had is ended, and is theirs again later: %q", at, during, states[onward])
	}
	if acknowledged["review"] && !c.reviewed(s) {
		c.t.Errorf("%s: the review is lost", at)
	}
	for _, of := range allErrands {
		if states[of] != access.Unmade {
			then += ", " + of + " " + string(states[of])
		}
	}
	// People press again.
	again := all[slices.Index(all, during):]
	for _, deed := range again {
		if deed == beginning { // by the sweep
			if c.state(s.id[later]) != access.Active {
				c.pass(untilLater)
				c.eventually("a sweep", c.swept)
			}
			continue
		}
		a := c.do(s, deed)
		if a.status == http.StatusConflict && strings.Contains(a.body, "so nothing was written") { // a sweep was quicker, and nothing was done
			a = c.do(s, deed)
		}
		if a.status >= 400 || a.status == 0 {
			c.t.Errorf("%s: %s again: %d %.300s", at, deed, a.status, a.body)
		}
	}
	c.over(at, s, all)
	return during, strings.TrimPrefix(then, ", ")
}

// wrong is what must not be of one of the errands after a restart; empty is nothing. It is
// as the last deed that was acknowledged left it, or as the one does that was cut off.
func (c *crashes) wrong(s errands, of string, state access.State, acknowledged map[string]bool, during string) string {
	may := []access.State{access.Unmade}
	for _, step := range paths[of] {
		if acknowledged[step.deed] {
			may = []access.State{step.then}
		}
	}
	for _, step := range paths[of] {
		if step.deed == during {
			may = append(may, step.then)
		}
	}
	told := func(kind string) bool {
		n := c.told(s, of, kind)
		return n == 1 || n == 2 // the second where it was not known that the first was sent
	}
	asked := of == request || of == extension || of == later
	switch {
	case !slices.Contains(may, state):
		return fmt.Sprintf("it may be one of %q", may)
	case c.granted(s.id[of]) > 1:
		return "it was granted twice"
	case (c.live(s.id[of]) == 1) != (state == access.Active), c.granted(s.id[of]) == 1 && state != access.Active && state != access.Ended:
		return "what is recorded is not what stands"
	case asked && state != access.Unmade && !told("RequestActivation"),
		asked && (state == access.Scheduled || state == access.Active) && !told("ActivationApproved"),
		of == selfActivation && state == access.Active && !told("ActivationSelfApproved"),
		of == glass && state == access.Active && !told("ActivationGlassBroken"):
		return "somebody was not told, or too often"
	}
	return c.twice(s.id[of])
}

// twice is what is recorded more than once of a request; empty is nothing.
func (c *crashes) twice(id string) string {
	events, err := c.store.History(context.Background(), id)
	if err != nil {
		return err.Error()
	}
	times := map[access.Action]int{}
	for _, e := range events {
		if once := e.Action.IsIntent() && e.Action != access.EndAsked || slices.ContainsFunc(e.Outcomes, func(o access.Outcome) bool {
			return o.Result == access.Granted
		}); once {
			if times[e.Action]++; times[e.Action] > 1 {
				return string(e.Action) + " is recorded twice"
			}
		}
	}
	return ""
}

func (c *crashes) reviewed(s errands) bool {
	r, err := c.store.Open(context.Background(), s.id[glass])
	return err == nil && !r.Review.At.IsZero()
}

// swept is whether a sweep has begun now, and nothing is left.
func (c *crashes) swept() bool {
	last, err := c.store.LastSweep(context.Background())
	return err == nil && last.After(c.now().Add(-time.Minute)) && c.quiet()
}

// over holds what all deeds have led to against what it should be, lets it run its time, and
// then nothing gives access, and nothing that was called off has ever.
func (c *crashes) over(at string, s errands, all []string) {
	c.t.Helper()
	c.settle()
	want := map[string]access.State{}
	for of, path := range paths {
		for _, step := range path {
			if slices.Contains(all, step.deed) {
				want[of] = step.then
			}
		}
		if got := c.state(s.id[of]); got != want[of] || c.granted(s.id[of]) > 1 || (c.live(s.id[of]) == 1) != (want[of] == access.Active) {
			c.t.Errorf("%s: and again: %s is %q, want %q, granted %d, live %d", at, of, got, want[of], c.granted(s.id[of]), c.live(s.id[of]))
		}
	}
	if slices.Contains(all, "review") && !c.reviewed(s) {
		c.t.Errorf("%s: and again: it is not reviewed", at)
	}
	c.pass(3 * time.Hour)
	c.eventually("a sweep", c.swept)
	for of := range paths {
		if c.live(s.id[of]) > 0 || of == onward && want[of] == access.Ended && c.granted(s.id[of]) > 0 {
			c.t.Errorf("%s: at last: %s is %q, granted %d, live %d", at, of, c.state(s.id[of]), c.granted(s.id[of]), c.live(s.id[of]))
		}
	}
}

// steps are the durable steps of the deeds of a story, with the deed, when nothing goes wrong.
func (c *crashes) steps(before, deeds []string) (all [][2]string) {
	c.t.Helper()
	c.fresh("none")
	traced := func() []string {
		text, err := os.ReadFile(c.trace)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			c.t.Fatal(err)
		}
		return slices.Collect(strings.Lines(string(text)))
	}
	seen, s := len(traced()), c.errands()
	if during := c.play(s, slices.Concat(before, deeds), func(deed string) {
		lines := traced()
		for _, step := range lines[seen:] {
			if slices.Contains(deeds, deed) {
				all = append(all, [2]string{strings.TrimSpace(step), deed})
			}
		}
		seen = len(lines)
	}); during != "" {
		c.t.Fatalf("it ended during %s\n%s", during, c.log)
	}
	c.kill()
	c.start("")
	defer c.kill()
	c.over("none", s, slices.Concat(before, deeds))
	return all
}

// TestTheProcessMayEndAtAnyTime is the crash matrix: in each home the process is ended by
// SIGKILL before every durable step of some stories and started again. The steps are those
// that were taken when nothing went wrong.
func TestTheProcessMayEndAtAnyTime(t *testing.T) {
	binary := failpoints(t)
	const head = "| ended before | during | then |\n|---|---|---|\n"
	cluster := ledgertest.PostgreSQL(t)
	homes := []string{"SQLite", "PostgreSQL", "Firestore"}
	rows := make([]string, len(homes))
	var all sync.WaitGroup
	for i, name := range homes {
		dir := t.TempDir()
		var around surroundings
		var documents *documents
		if name == "Firestore" {
			if !firestoretest.Installed(t) {
				continue
			}
			documents = newDocuments(t)
			around.wrap = documents.among
		}
		c := &crashes{world: newWorld(t, around), binary: binary, trace: filepath.Join(dir, "trace"), clock: filepath.Join(dir, "clock"),
			rules: filepath.Join(dir, "policy.yaml")}
		if err := os.WriteFile(c.rules, []byte(crashRules), 0o600); err != nil {
			t.Fatal(err)
		}
		switch address := "sqlite:" + filepath.Join(dir, "jitaccess.db"); name {
		case "SQLite":
			home, err := relational.SQLite(filepath.Join(dir, "jitaccess.db"))
			if err != nil {
				t.Fatal(err)
			}
			c.open(address, home, home.Migrate)
		case "PostgreSQL":
			address = cluster.URL(ledgertest.Superuser, cluster.Database(t, ""))
			home, err := relational.PostgreSQL(address, nil)
			if err != nil {
				t.Fatal(err)
			}
			c.open(address, home, home.Migrate)
		case "Firestore":
			home := documents.open()
			c.open(documents.address, home, home.Prepare)
		}
		all.Go(func() {
			t.Run(name, func(t *testing.T) {
				c.world.t = t
				rows[i] = c.crashEverywhere()
			})
		})
	}
	all.Wait()
	rows = slices.Compact(slices.DeleteFunc(rows, func(of string) bool { return of == "" })) // without those that were not run
	if len(rows) > 1 {
		t.Errorf("the homes differ:\n%s", strings.Join(rows, "\n"))
	}
	documented(t, "crash matrix", head+rows[0])
}

// crashEverywhere ends the process at each step of each deed, and returns the rows of the table.
func (c *crashes) crashEverywhere() (rows string) {
	for _, story := range crashStories {
		for _, step := range c.steps(story.before, story.deeds) {
			during, then := c.crash(step[0], step[1], slices.Concat(story.before, story.deeds))
			if during != step[1] {
				c.t.Errorf("%s ends it during %s, and was of %s", step[0], during, step[1])
			}
			rows += fmt.Sprintf("| %s | %s | %s |\n", step[0], during, cmp.Or(then, "–"))
		}
	}
	secret, _ := base64.StdEncoding.DecodeString(crashKey)
	keys, _ := ledger.NewKeys(secret)
	if report, err := ledger.Verify(context.Background(), c.home, keys); err != nil || len(report.Findings) > 0 {
		c.t.Errorf("%+v, %v", report, err)
	}
	return rows
}
