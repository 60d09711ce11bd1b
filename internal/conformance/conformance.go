// Package conformance tries in a project that is scratch what the sandbox's Google Cloud and
// the service assume of the real one: how writes of policies are refused, which limits there
// are, what conditions may say, when a grant begins and ends to work, what assertions and groups
// look like, and what Firestore refuses (docs/conformance.md).
//
// All that it writes are bindings of the caller's own, or of nobody who exists, whose condition
// has one title, and documents of one collection in a database that is scratch; they are taken out
// at the end, and by the next run if this one does not come to it.
package conformance

import (
	"context"
	"net/http"
	"time"
)

// mark is the title of every condition that is written.
const mark = "jitaccess conformance"

// Config is what a run needs. Database, Assertion, Group and Said may be empty.
type Config struct {
	// Project is the id of the project that is scratch, Account the service account that calls.
	Project, Account string
	// HTTP and Directory are authenticated for Google Cloud and for groups; they must not
	// repeat writes. Endpoint is the base of a service's addresses.
	HTTP, Directory *http.Client
	Endpoint        func(service string) string
	// Keys fetches the public keys of Identity-Aware Proxy, as a JWK set.
	Keys func(context.Context) ([]byte, error)
	// Skew is how far our clock is ahead of Google's, and whether that is too much.
	Skew func() (time.Duration, bool)
	// Database is the id of a database of Firestore in the project that is scratch too; empty where
	// nothing is to be tried of it.
	Database string
	// Assertion is one of Identity-Aware Proxy's, of any age.
	Assertion string
	// Group is the address of a group, and Customer whose it is.
	Group, Customer string
	// Patience is how long a change of a policy may take to have an effect.
	Patience time.Duration
	Version  string
	// Real is whether this is Google, and no stand-in.
	Real  bool
	Now   func() time.Time
	Sleep func(context.Context, time.Duration) error
	// Said hears of each check as it ends.
	Said func(Checked)
}

// Result is what became of a check.
type Result string

const (
	// Passes: Google does what is assumed.
	Passes Result = "passes"
	// Differs: it does something else.
	Differs Result = "differs"
	// Untried: nothing was learned.
	Untried Result = "could not be tried"
)

// Checked is a check that was made. It names nobody.
type Checked struct {
	ID         string `json:"id"`
	Assumption string `json:"assumption"`
	// Source is who says so.
	Source string `json:"source"`
	Result Result `json:"result"`
	// Observed is what happened, or why nothing was learned.
	Observed string `json:"observed"`
	// Seconds is how long an effect took; nil where that is not what was asked.
	Seconds *int `json:"seconds,omitempty"`
}

// Report is what can be sent to whoever makes jitaccess.
type Report struct {
	Version string    `json:"jitaccess"`
	Real    bool      `json:"realGoogle"`
	Began   time.Time `json:"began"`
	Ended   time.Time `json:"ended"`
	// Database is the one of Firestore in which something was tried.
	Database string `json:"firestore,omitempty"`
	// LetPass is what stood in the policy and may.
	LetPass []string  `json:"letPass"`
	Checks  []Checked `json:"checks"`
	// Left is what the run could not undo; empty is as it should be.
	Left []string `json:"left"`
}

// Count is how many checks had a result.
func (r Report) Count(result Result) (n int) {
	for _, c := range r.Checks {
		if c.Result == result {
			n++
		}
	}
	return n
}

// run is one run.
type run struct {
	c       Config
	project project
	before  policy
	report  Report
	redact  func(string) string
	// written are the keys of the bindings that were written, without their conditions.
	written map[string]bool
	// grants are what was learned of grants, by check, once they were tried; ungranted is of
	// those of which nothing was.
	grants    map[string]outcome
	ungranted *outcome
}

// outcome is what a check found.
type outcome struct {
	result   Result
	observed string
	seconds  *int
}

// caller is the service account as policies name it.
func (r *run) caller() string { return "serviceAccount:" + r.c.Account }

// cleaning is how long the end may take, also when a run was interrupted.
const cleaning = 45 * time.Second

// Run makes all checks. The error is for a run that could not begin: Refused, if the project
// is not scratch. What an earlier run left is taken out first. When ctx ends, the checks that
// are still to be made could not be tried, and what was written is taken out all the same.
func Run(ctx context.Context, c Config) (Report, error) {
	r := &run{c: c, written: map[string]bool{}}
	r.report = Report{Version: c.Version, Real: c.Real, Began: c.Now().UTC(), LetPass: []string{}, Left: []string{}}
	if err := r.scratch(ctx); err != nil {
		return r.report, err
	}
	if err := r.scratchDatabase(ctx); err != nil {
		return r.report, err
	}
	r.redact = redaction(c, r.project)
	r.report.Database = r.redact(c.Database)
	if left := r.clean(ctx); ctx.Err() != nil {
		return r.report, ctx.Err()
	} else if len(left) > 0 {
		return r.report, Refused{"what an earlier run left could not be taken out: " + left[0], "take it out by hand"}
	}
	r.try(ctx)
	r.report.Ended = c.Now().UTC()
	return r.report, nil
}

// clean removes what runs have written, and says what of it is left.
func (r *run) clean(ctx context.Context) []string {
	return append(r.clear(ctx), r.clearDatabase(ctx)...)
}

// try makes all checks, and takes out what they wrote, whatever becomes of them.
func (r *run) try(ctx context.Context) {
	defer func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleaning)
		defer cancel()
		for _, left := range r.clean(end) {
			r.report.Left = append(r.report.Left, r.redact(left))
		}
	}()
	for _, k := range checks {
		o := outcome{Untried, "the run was interrupted", nil}
		if ctx.Err() == nil {
			o = k.try(r, ctx)
		}
		if ctx.Err() != nil && o.result != Passes {
			o = outcome{Untried, "the run was interrupted", nil}
		}
		done := Checked{k.id, k.assumption, k.source, o.result, r.redact(o.observed), o.seconds}
		r.report.Checks = append(r.report.Checks, done)
		if r.c.Said != nil {
			r.c.Said(done)
		}
	}
}
