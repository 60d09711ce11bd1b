// Package soak_test runs the service as it is deployed, with its memory limited,
// before a Google that enforces its quotas, under the traffic of an organization in
// which one person is hostile; see docs/testing.md.
package soak_test

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"jitaccess/internal/porttest"
	"jitaccess/internal/sandbox/google"
)

// soakFor is how long both phases last together. In the short form, which runs with
// all other tests, nothing depends on how fast the machine is.
var soakFor = flag.Duration("soak", 0, "run for this long, and judge latency too; 0 is the short form")

const (
	shortForm = 24 * time.Second
	// visits are how many begin in a second: in five minutes as many as in an hour of
	// an organization of 500.
	visitsASecond      = 0.5
	visitsASecondShort = 1.5
	// maxVisits is how many go on at once.
	maxVisits = 64
	// googleTakes is the time of each call.
	googleTakes = 20 * time.Millisecond
	// maxReviewers is ACTIVATION_REQUEST_MAX_REVIEWERS.
	maxReviewers = 2
)

// Who is no ordinary person: the last team administers, the one before it is hostile
// and visits hostile pages, and the one before that is kept for probes.
const (
	ordinaryPeople = 470
	hostilePerson  = 485
	visitingPerson = 486
)

func TestSoak(t *testing.T) {
	long := *soakFor > 0
	half := cmp.Or(*soakFor, shortForm) / 2
	rate := visitsASecondShort
	if long {
		rate = visitsASecond
	}
	w := newTown(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*half+5*time.Minute)
	defer cancel()
	if err := w.service.start(ctx); err != nil {
		t.Fatal(err)
	}
	plan := newPlan(w.size)
	uses := map[string][]google.QuotaUse{}
	spent := map[string]spending{}
	for i, phase := range []string{controlPhase, hostilePhase} {
		w.begin(phase)
		before := w.spending()
		w.run(ctx, half, rate, plan, rand.New(rand.NewPCG(20260302, uint64(i))), phase == hostilePhase)
		uses[phase] = w.Quotas().Uses()
		spent[phase] = w.spending().since(before)
		w.restarts(phase)
	}
	ends, most := w.service.died()
	w.service.stop()

	w.begin(probePhase)
	if err := w.service.start(ctx); err != nil {
		t.Fatal(err)
	}
	w.probe(ctx, t)
	w.service.stop()

	w.foreignKept()
	for _, line := range w.service.panics(t) {
		w.wrong(panicked, "%.300s", line)
	}
	if long {
		w.compareMedians()
	}
	judged := w.wrongs.judge(t)
	t.Logf("\n%s\n%s", w.report(uses, spent, ends, most), judged)
}

func newTown(t *testing.T) *town {
	size := google.Size{People: 500, Projects: 2000, PolicyMembers: 1500}
	w := &town{began: time.Now(), latencies: map[string]map[step][]time.Duration{}, answers: map[string]map[string]int{}}
	w.phase.Store(new(string))
	w.watched = startGoogle(t, size, googleTakes, &w.phase, &w.wrongs)
	w.client = &http.Client{
		Timeout:       patience,
		Transport:     &http.Transport{MaxIdleConnsPerHost: 256},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	t.Cleanup(w.client.CloseIdleConnections)
	port := porttest.Free(t)
	w.public = "http://localhost:" + port
	w.service = newService(t, build(t), map[string]string{
		"PORT": port, "K_SERVICE": "jitaccess", "GCE_METADATA_HOST": w.address, "JITACCESS_GOOGLE_ENDPOINT": "http://" + w.address,
		"PUBLIC_URL": w.public, "RESOURCE_CATALOG": "AssetInventory", "RESOURCE_SCOPE": w.OrganizationID(),
		"RESOURCE_CUSTOMER_ID": w.CustomerID(), "ADMINS": "group:administrators@example.com",
		"NOTIFICATION_TOPIC": "jitaccess-notifications", "ACTIVATION_REQUEST_MAX_REVIEWERS": fmt.Sprint(maxReviewers),
		"GOOGLE_QUOTAS": fmt.Sprintf("assetinventory.policies=%d", inventoryLookUps()),
	})
	return w
}

// inventoryLookUps is how often Asset Inventory may be asked in a minute: as Google documents
// it, and in the short form, which has three times the visits, three times as often.
func inventoryLookUps() int {
	if *soakFor > 0 {
		return 100
	}
	return 300
}

// quotas are those that Google documents, but for inventoryLookUps.
func quotas() []google.Quota {
	all := google.Documented()
	for i := range all {
		if all[i].Name == "batchGetEffectiveIamPoliciesQpmPerProject" {
			all[i].Value = inventoryLookUps()
		}
	}
	return all
}

// begin begins a phase with its quotas unused.
func (w *town) begin(phase string) {
	w.phase.Store(&phase)
	w.Quotas().Set(quotas()...)
	w.refusedAt.Store(0)
}

// run lets people visit for a while.
func (w *town) run(ctx context.Context, d time.Duration, rate float64, plan *plan, random *rand.Rand, hostile bool) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	var all sync.WaitGroup
	if hostile {
		// When there are people in the middle of something.
		all.Go(func() {
			if pause(ctx, d/6) == nil {
				w.hostile(ctx)
			}
		})
	}
	places := make(chan struct{}, maxVisits)
	for pause(ctx, time.Duration(float64(time.Second)/rate*(0.5+random.Float64()))) == nil {
		v, of := plan.next(random), rand.New(rand.NewPCG(random.Uint64(), 0))
		select {
		case places <- struct{}{}:
			all.Go(func() {
				defer func() { <-places }()
				w.play(ctx, v, of)
			})
		case <-ctx.Done():
		}
	}
	all.Wait()
}

// plan says who comes for what. Nobody comes twice to the same project, so that each
// request is the only one of its kind.
type plan struct {
	size google.Size
	used map[[2]int]bool
}

func newPlan(size google.Size) *plan { return &plan{size, map[[2]int]bool{}} }

func (p *plan) next(random *rand.Rand) visit {
	for {
		v := p.draw(random)
		if key := [2]int{v.person, v.project}; !p.used[key] {
			p.used[key] = true
			return v
		}
	}
}

func (p *plan) draw(random *rand.Rand) visit {
	const teamSize, teams = 10, ordinaryPeople / 10
	team := random.IntN(teams)
	v := visit{person: team*teamSize + random.IntN(teamSize), project: team + 50*random.IntN(p.size.Projects/50),
		stranger: (team+1)%teams*teamSize + 1 + random.IntN(teamSize-1), script: random.IntN(4) == 0}
	switch n := random.IntN(10); {
	case n < 3:
		v.what = lookAround
	case n < 6:
		v.what, v.role = activate, google.TeamSelfRole
	case n < 9:
		v.what, v.role = askOthers, google.TeamPeerRole
		for len(v.reviewers) < maxReviewers {
			if r := team*teamSize + random.IntN(teamSize); r != v.person && !slices.Contains(v.reviewers, r) {
				v.reviewers = append(v.reviewers, r)
			}
		}
	default:
		// Who is on call, somewhere.
		v.what, v.role, v.person, v.project = askOthers, google.OnCallPeerRole, team*teamSize, random.IntN(p.size.Projects)
		for i := 1; len(v.reviewers) < maxReviewers; i++ {
			v.reviewers = append(v.reviewers, (team+i)%teams*teamSize)
		}
	}
	return v
}

// restarts are wrong, and so is more memory than there is.
func (w *town) restarts(phase string) {
	ends, most := w.service.died()
	for i, end := range ends[w.told:] {
		k := panicked
		if w.service.confined != nil && strings.Contains(end, "signal: killed") {
			k = memory
		}
		w.wrongs.add(phase, k, "end %d of the process that nobody asked for: %s", w.told+i+1, end)
	}
	w.told = len(ends)
	// In a cgroup the kernel judges; what is resident may be charged to others.
	if w.service.confined == nil && most > memoryLimit {
		w.wrongs.add(phase, memory, "%d MiB resident", most>>20)
	}
}

// spending is the processor time of the service and of this process, which is everybody
// else and Google, until a moment.
type spending struct{ service, load, at time.Duration }

func (w *town) spending() spending {
	var own syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &own); err != nil {
		panic(err) // it cannot fail for oneself
	}
	return spending{w.service.processorTime(), time.Duration(own.Utime.Nano() + own.Stime.Nano()), time.Since(w.began)}
}

func (s spending) since(before spending) spending {
	return spending{s.service - before.service, s.load - before.load, s.at - before.at}
}

// fewest is how many answers a median is taken of.
const fewest = 20

// compareMedians is what one hostile person may do to the others: no more than double
// the median, of all answers and of those to each step.
func (w *town) compareMedians() {
	// Who gets no answer has no latency.
	if a, b := len(w.pooled(controlPhase)), len(w.pooled(hostilePhase)); a < fewest || b < a/2 {
		w.wrongs.add(hostilePhase, starved, "%d answers that were right, without the hostile one %d", b, a)
	}
	compare := func(what string, without, with time.Duration) {
		if with > 2*without {
			w.wrongs.add(hostilePhase, slow, "%s: %v, without the hostile one %v",
				what, with.Round(time.Millisecond/10), without.Round(time.Millisecond/10))
		}
	}
	without, with := w.latencies[controlPhase], w.latencies[hostilePhase]
	if len(w.pooled(controlPhase)) >= fewest && len(w.pooled(hostilePhase)) >= fewest {
		compare("all", median(w.pooled(controlPhase)), medianInMix(without, with))
	}
	for s := range without {
		if len(without[s]) >= fewest && len(with[s]) >= fewest {
			compare(string(s), median(without[s]), median(with[s]))
		}
	}
}

// never is the latency of a step that nobody was answered.
const never = time.Hour

// medianInMix is the median of what happened with the hostile one, had each step been as
// frequent as without: which steps people come to is a matter of chance, and steps are of
// different length. Each answer counts as often as that takes.
func medianInMix(without, with map[step][]time.Duration) time.Duration {
	type weighted struct {
		took   time.Duration
		weight float64
	}
	var all []weighted
	half := 0.0
	for s, of := range without {
		half += float64(len(of)) / 2
		took := with[s]
		if len(took) == 0 {
			took = []time.Duration{never}
		}
		for _, d := range took {
			all = append(all, weighted{d, float64(len(of)) / float64(len(took))})
		}
	}
	slices.SortFunc(all, func(a, b weighted) int { return cmp.Compare(a.took, b.took) })
	for _, one := range all {
		// As median does it, of an even number the later one.
		if half -= one.weight; half < 0 {
			return one.took
		}
	}
	return never
}

func (w *town) pooled(phase string) (all []time.Duration) {
	for _, of := range w.latencies[phase] {
		all = append(all, of...)
	}
	return all
}

func median(all []time.Duration) time.Duration { return quantile(all, 0.5) }

func quantile(all []time.Duration, q float64) time.Duration {
	if len(all) == 0 {
		return 0
	}
	all = slices.Sorted(slices.Values(all))
	return all[min(len(all)-1, int(q*float64(len(all))))]
}

// report tells what was measured.
func (w *town) report(uses map[string][]google.QuotaUse, spent map[string]spending, ends []string, most int) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	ms := func(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000) }
	line("the most resident memory of the service: %d MiB; %s", most>>20, w.service.limit())
	for _, end := range ends {
		line("  it ended by itself: %s", end)
	}
	for _, phase := range []string{controlPhase, hostilePhase} {
		line("processor time, %s: the service %v, people and Google %v, in %v", phase, spent[phase].service.Round(10*time.Millisecond),
			spent[phase].load.Round(10*time.Millisecond), spent[phase].at.Round(time.Second))
	}
	line("| answers to the others | number | median | p95 |")
	for _, phase := range []string{controlPhase, hostilePhase} {
		all := w.pooled(phase)
		line("| all, %s | %d | %s | %s |", phase, len(all), ms(median(all)), ms(quantile(all, 0.95)))
		if phase == hostilePhase {
			line("| … as frequent as without | | %s | |", ms(medianInMix(w.latencies[controlPhase], w.latencies[hostilePhase])))
		}
		for _, s := range slices.Sorted(maps.Keys(w.latencies[phase])) {
			of := w.latencies[phase][s]
			line("| … %s | %d | %s | %s |", s, len(of), ms(median(of)), ms(quantile(of, 0.95)))
		}
	}
	line("| answers, by status | %s | %s |", controlPhase, hostilePhase)
	keys := maps.Clone(w.answers[controlPhase])
	maps.Copy(keys, w.answers[hostilePhase])
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		line("| %s | %d | %d |", key, w.answers[controlPhase][key], w.answers[hostilePhase][key])
	}
	line("| quota | value | most used %s | refused | most used %s | refused |", controlPhase, hostilePhase)
	for i, of := range uses[controlPhase] {
		with := uses[hostilePhase][i]
		line("| %s %s | %d in %v | %d | %d | %d | %d |", of.Service, of.Title, of.Value, of.Per, of.Most, of.Refused, with.Most, with.Refused)
	}
	line("| calls, in all | number |")
	calls := w.Calls().All()
	for _, method := range slices.Sorted(maps.Keys(calls)) {
		line("| %s | %d |", method, calls[method])
	}
	return b.String()
}
