package conformance

import (
	"context"
	"fmt"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/gcp/condition"
)

// How a grant is watched.
const (
	// pollEvery is between two looks at what the caller holds.
	pollEvery = 5 * time.Second
	// lateAtMost is how long after its window a grant may still work: the difference of
	// clocks, and one look.
	lateAtMost = time.Minute
)

// probe is a role that reads, with a permission that shows whether it is held.
type probe struct{ role, permission string }

// The probes have no permission in common.
var (
	timed     = probe{"roles/logging.viewer", "logging.logEntries.list"}
	removed   = probe{"roles/appengine.appViewer", "appengine.versions.list"}
	eligible  = probe{"roles/run.viewer", "run.services.list"}
	over      = probe{"roles/storage.objectViewer", "storage.objects.list"}
	here      = probe{"roles/bigquery.dataViewer", "bigquery.tables.getData"}
	elsewhere = probe{"roles/iam.serviceAccountViewer", "iam.serviceAccounts.list"}
)

var allProbes = []probe{timed, removed, eligible, over, here, elsewhere}

// grantChecks watch grants of the caller's own: all in one policy, and in one look at a time.
var grantChecks = []check{
	{"grant.begins", "a grant works within the time that Google names, typically 2 minutes and at most 7 or longer", propagation,
		granted("grant.begins")},
	{"grant.eligible", "an eligibility gives nothing by itself", "docs/eligibility.md", granted("grant.eligible")},
	{"grant.over", "a grant whose window is over gives nothing", iamConditions, granted("grant.over")},
	{"grant.here", "a grant with a condition on the resource works there", iamAttributes, granted("grant.here")},
	{"grant.elsewhere", "and nowhere else", iamAttributes, granted("grant.elsewhere")},
	{"grant.ends", "a grant stops working by itself within a minute of the end of its window", iamConditions, granted("grant.ends")},
	{"grant.removed", "a grant that is taken out stops working within that time too", propagation, granted("grant.removed")},
}

// granted is what became of one of the grants. The first check that asks has all of them tried.
func granted(id string) func(*run, context.Context) outcome {
	return func(r *run, ctx context.Context) outcome {
		if r.grants == nil {
			r.grants = map[string]outcome{}
			r.ungranted = r.tryGrants(ctx)
		}
		if o, known := r.grants[id]; known {
			return o
		}
		return *r.ungranted
	}
}

// held asks for all permissions at once; id is the check that is waited for.
func (r *run) held(ctx context.Context, id string) (map[string]bool, *outcome) {
	var permissions []string
	for _, p := range allProbes {
		permissions = append(permissions, p.permission)
	}
	held, a := r.holds(ctx, id, permissions...)
	if !a.ok() {
		o := silence(a)
		return nil, &o
	}
	return held, nil
}

// await looks until done, for at most so long, and returns how long that took. What cannot be
// looked at is looked at again.
func (r *run) await(ctx context.Context, id string, atMost time.Duration, done func(map[string]bool) bool) (
	took time.Duration, ok bool, failed *outcome) {
	for begun := r.c.Now(); ; {
		held, unseen := r.held(ctx, id)
		took = r.c.Now().Sub(begun)
		switch {
		case unseen == nil && done(held):
			return took, true, nil
		case took >= atMost:
			return took, false, unseen
		}
		if err := r.c.Sleep(ctx, pollEvery); err != nil {
			o := untried("the run was interrupted")
			return took, false, &o
		}
	}
}

func timedOutcome(result Result, took time.Duration, format string, args ...any) outcome {
	seconds := int(took.Round(time.Second) / time.Second)
	return outcome{result, fmt.Sprintf(format, args...), &seconds}
}

// tryGrants writes grants of each kind, and watches them. It returns why no more was learned.
func (r *run) tryGrants(ctx context.Context) *outcome {
	if ahead, skewed := r.c.Skew(); skewed {
		o := untried("this machine's clock is %s ahead of Google's", ahead)
		return &o
	}
	held, failed := r.held(ctx, "start")
	if failed != nil {
		return failed
	}
	for _, p := range allProbes {
		if held[p.permission] {
			o := untried("the caller has %s already: run it as an account that has no other role there", p.permission)
			return &o
		}
	}
	now := r.c.Now()
	// Longer than a change takes, so that the end is seen.
	end := now.Add(r.c.Patience + 2*time.Minute)
	standing, failed := r.grantBindings(ctx, now, end)
	if failed != nil {
		return failed
	}

	// Those that are to work. The one with a resource may not, and is waited for no longer.
	took, begun, failed := r.await(ctx, "grant.begins", r.c.Patience, func(held map[string]bool) bool {
		return held[timed.permission] && held[removed.permission]
	})
	if !begun {
		if failed == nil {
			o := timedOutcome(Differs, took, "after %s it does not work", took.Round(time.Second))
			r.grants["grant.begins"] = o
			o = untried("no grant began to work")
			failed = &o
		}
		return failed
	}
	r.grants["grant.begins"] = timedOutcome(Passes, took, "after %s", took.Round(time.Second))
	r.compare(ctx)

	// The one goes by a change of the policy, the other by the clock.
	if a := r.write(ctx, "start", standing...); !a.ok() {
		r.grants["grant.removed"] = silence(a)
	} else {
		took, gone, failed := r.await(ctx, "grant.removed", r.c.Patience, func(held map[string]bool) bool { return !held[removed.permission] })
		switch {
		case gone:
			r.grants["grant.removed"] = timedOutcome(Passes, took, "after %s", took.Round(time.Second))
		case failed != nil:
			r.grants["grant.removed"] = *failed
		default:
			r.grants["grant.removed"] = timedOutcome(Differs, took, "after %s it still works", took.Round(time.Second))
		}
	}
	r.grants["grant.ends"] = r.ending(ctx, end)
	return nil
}

// grantBindings writes the grants, and returns those that stay when one is taken out.
func (r *run) grantBindings(ctx context.Context, now, end time.Time) ([]binding, *outcome) {
	var all []binding
	for _, g := range []struct {
		probe    probe
		from, to time.Time
		resource string
	}{
		{removed, now.Add(-time.Minute), end.Add(r.c.Patience), ""},
		{timed, now.Add(-time.Minute), end, ""},
		{over, now.Add(-2 * time.Hour), now.Add(-time.Hour), ""},
		{here, now.Add(-time.Minute), end, `resource.type == "cloudresourcemanager.googleapis.com/Project"`},
		{elsewhere, now.Add(-time.Minute), end, `resource.type == "cloudresourcemanager.googleapis.com/Folder"`},
	} {
		text, err := condition.Activation(access.Window{Start: g.from, End: g.to}, g.resource)
		if err != nil {
			o := untried("%v", err)
			return nil, &o
		}
		all = append(all, r.ours(g.probe.role, text))
	}
	all = append(all, r.ours(eligible.role, "has({}.jitAccessConstraint)"))
	if a := r.write(ctx, "start", all...); !a.ok() {
		o := silence(a)
		return nil, &o
	}
	return all[1:], nil
}

// compare looks once at what was written together with a grant that works.
func (r *run) compare(ctx context.Context) {
	for id, want := range map[string]struct {
		probe probe
		holds bool
	}{
		"grant.eligible": {eligible, false}, "grant.over": {over, false}, "grant.here": {here, true}, "grant.elsewhere": {elsewhere, false},
	} {
		held, failed := r.held(ctx, id)
		o := passes("as it is assumed, when another grant of the same write worked")
		switch {
		case failed != nil:
			o = *failed
		case held[want.probe.permission] && !want.holds:
			o = differs("it gives %s", want.probe.permission)
		case !held[want.probe.permission] && want.holds:
			o = differs("it does not give %s when another grant of the same write worked", want.probe.permission)
		}
		r.grants[id] = o
	}
}

// ending waits for the end of a window, which may be over by now.
func (r *run) ending(ctx context.Context, end time.Time) outcome {
	held, failed := r.held(ctx, "grant.ends")
	now := r.c.Now()
	switch {
	case failed != nil:
		return *failed
	case now.Before(end) && !held[timed.permission]:
		return differs("it stopped working %s before its end", end.Sub(now).Round(time.Second))
	case now.Before(end):
		if err := r.c.Sleep(ctx, end.Sub(now)); err != nil {
			return untried("the run was interrupted")
		}
	}
	_, gone, failed := r.await(ctx, "grant.ends", lateAtMost, func(held map[string]bool) bool { return !held[timed.permission] })
	late := max(0, r.c.Now().Sub(end))
	switch {
	case gone:
		return timedOutcome(Passes, late, "%s after the end", late.Round(time.Second))
	case failed != nil:
		return *failed
	}
	return timedOutcome(Differs, late, "%s after the end it still works", late.Round(time.Second))
}
