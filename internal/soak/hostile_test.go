package soak_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"jitaccess/internal/sandbox/google"
)

// hostileASecond is how many requests the hostile one sends in a second at the most, as
// often as the service answered one in a second before it refused cheaply. They are sent
// by a client on the machine of the service, whose processor time the others lack too.
const hostileASecond = 500

// hostile is what one colleague does until ctx ends, and what a web page does that
// another one opens.
func (w *town) hostile(ctx context.Context) {
	const burst, images, copies = 110, 60, 10
	pace := rate.NewLimiter(hostileASecond, burst)
	attacker, visitor := google.GeneratedPerson(hostilePerson), google.GeneratedPerson(visitingPerson)
	var opened atomic.Int64
	all := func(n int, each func(i int) (answer, error)) {
		var group sync.WaitGroup
		for i := range n {
			group.Go(func() {
				if pace.Wait(ctx) != nil {
					return
				}
				a, err := each(i)
				if ctx.Err() == nil {
					w.count(*w.phase.Load(), "the hostile one", a, err)
					if err == nil && a.status >= 500 && !starting(a) && !w.quotaSpent(a.began) {
						w.wrong(failed, "the hostile one was answered %d: %s", a.status, said(a.body))
					}
				}
			})
		}
		group.Wait()
	}
	again := func(every time.Duration, do func()) func() {
		return func() {
			for pause(ctx, every) == nil {
				do()
			}
		}
	}
	var group sync.WaitGroup
	// Projects one after the other, many at once, again and again.
	group.Go(again(100*time.Millisecond, func() {
		all(burst, func(int) (answer, error) {
			return w.get(ctx, attacker, projectPath(google.GeneratedProject(int(opened.Add(1))%w.size.Projects)))
		})
	}))
	// Projects that do not exist, and pages with as many ids as a query may hold.
	group.Go(again(200*time.Millisecond, func() {
		all(2, func(i int) (answer, error) {
			if i == 0 {
				return w.get(ctx, attacker, projectPath(fmt.Sprintf("nosuch-%d", opened.Add(1))))
			}
			return w.get(ctx, attacker, manyIDs(google.GeneratedProject(w.size.TeamOf(hostilePerson))))
		})
	}))
	// A page of another site with images of ours.
	group.Go(again(5*time.Second, func() {
		all(images, func(int) (answer, error) {
			return w.image(ctx, visitor, projectPath(fmt.Sprintf("nosuch-%d", opened.Add(1))))
		})
	}))
	// One form, many times.
	group.Go(func() {
		project := google.GeneratedProject(w.size.TeamOf(hostilePerson))
		page, err := w.get(ctx, attacker, projectPath(project)+"?next=1&entitlement="+url.QueryEscape(project+":"+google.TeamSelfRole))
		action, fields, found := form(page.body, "id", "justification")
		if err != nil || !found {
			return
		}
		q := &request{reason: w.reason(), person: attacker, role: google.TeamSelfRole, project: project, minutes: 30, self: true, sent: true}
		w.ask(q)
		fields.Set("justification", q.reason)
		fields.Set("minutes", "30")
		again(3*time.Second, func() {
			all(copies, func(int) (answer, error) { return w.post(ctx, attacker, action, fields) })
			if n := w.made(q); n > 1 {
				w.wrong(unapproved, "one form that was sent many times made %d grants", n)
			}
		})()
	})
	group.Wait()
}

// image is how a browser asks for an image of a page of another site.
func (w *town) image(ctx context.Context, email, path string) (answer, error) {
	return w.send(ctx, email, "GET", path, "", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "image",
		"Referer", "https://news.example.net/")
}

// manyIDs is a page's address with as many entitlement ids as it may have.
func manyIDs(project string) string {
	path := projectPath(project) + "?next=1"
	for i := 0; ; i++ {
		condition := base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "a%d<b||a<b||a<b||a<b||a<b||a<b||a<b||a<b||a<b", i))
		next := "&entitlement=" + url.QueryEscape(project+":roles/a:"+condition)
		if len(path)+len(next) > 16_000 {
			return path
		}
		path += next
	}
}

// probe tries what needs no crowd, on a service that nobody else uses.
func (w *town) probe(ctx context.Context, t *testing.T) {
	p := &prober{town: w, ctx: ctx, t: t}
	p.images()
	p.administrators()
	p.choosing()
	p.askingMore()
	p.sendingAgain()
	p.claims()
	p.processor()
}

type prober struct {
	*town
	ctx context.Context
	t   *testing.T
}

func (p *prober) get(i int, path string) answer {
	a, err := p.town.get(p.ctx, google.GeneratedPerson(i), path)
	if err != nil {
		p.wrong(unfinished, "%s: %v", path, err)
	}
	return a
}

func (p *prober) post(i int, path string, form url.Values) answer {
	a, err := p.town.post(p.ctx, google.GeneratedPerson(i), path, form)
	if err != nil {
		p.wrong(unfinished, "%s: %v", path, err)
	}
	return a
}

// filled opens the form for a role on a project, and fills it for a request of that
// reason.
func (p *prober) filled(i int, q *request, reviewers ...int) (action string, fields url.Values) {
	q.person, q.reason, q.minutes = google.GeneratedPerson(i), p.reason(), 30
	p.ask(q)
	page := p.get(i, projectPath(q.project)+"?next=1&entitlement="+url.QueryEscape(q.project+":"+q.role))
	action, fields, found := form(page.body, "id", "justification")
	if !found {
		p.wrong(unexpected, "the form for %s on %s: %d %s", q.role, q.project, page.status, said(page.body))
		return projectPath(q.project), url.Values{}
	}
	fields.Set("justification", q.reason)
	fields.Set("minutes", "30")
	fields.Del("reviewer")
	for _, r := range reviewers {
		fields.Add("reviewer", google.GeneratedPerson(r))
	}
	return action, fields
}

// lookUps are the calls so far, without tokens and keys.
func (p *prober) lookUps() (n int) {
	for method, count := range p.Calls().All() {
		if !strings.Contains(method, "/computeMetadata/") && !strings.Contains(method, "/jwk/") && !strings.Contains(method, "-jwk") {
			n += count
		}
	}
	return n
}

// images of another site cost nothing.
func (p *prober) images() {
	before := p.lookUps()
	for i := range 5 {
		if _, err := p.image(p.ctx, google.GeneratedPerson(visitingPerson), projectPath(fmt.Sprintf("nosuch-%d", i))); err != nil {
			p.wrong(unfinished, "an image: %v", err)
		}
	}
	if n := p.lookUps() - before; n > 0 {
		p.wrong(offsite, "5 images cost %d calls", n)
	}
}

// administrators are in a group, which is looked up once in 30 seconds.
func (p *prober) administrators() {
	administrator := p.size.People - 1
	lookUps := func() (n int) {
		for method, count := range p.Calls().All() {
			if strings.Contains(method, "/admin/directory/") {
				n += count
			}
		}
		return n
	}
	for _, path := range []string{"/notifications", projectPath(google.GeneratedProject(p.size.TeamOf(administrator)))} {
		before := lookUps()
		for range 50 {
			if a := p.get(administrator, path); a.status != http.StatusOK {
				p.wrong(unexpected, "%s, for an administrator: %d %s", path, a.status, said(a.body))
			}
		}
		// Which groups somebody is in, and who is in the administrators'.
		if n := lookUps() - before; n > 2 {
			p.wrong(groupsAgain, "50 times %s: %d group look-ups", path, n)
		}
	}
}

// choosing a number is for the service.
func (p *prober) choosing() {
	for i, number := range []string{"jit-VANITYVANITY1234", ""} {
		q := &request{role: google.TeamSelfRole, project: google.GeneratedProject(47 + 50*i), self: true, sent: true}
		action, fields := p.filled(470, q)
		if number == "" {
			// Somebody else's.
			_, others := p.filled(471, &request{role: google.TeamSelfRole, project: q.project, self: true})
			number = others.Get("id")
		}
		fields.Set("id", number)
		if a := p.post(470, action, fields); a.status < 400 || p.live(q) {
			p.wrong(chosenNumber, "%s was taken: %d", number, a.status)
		}
	}
}

// askingMore is possible up to the maximum, however the links are used.
func (p *prober) askingMore() {
	q := &request{role: google.TeamPeerRole, project: google.GeneratedProject(47 + 100)}
	action, fields := p.filled(472, q, 473)
	first := p.post(472, action, fields).location
	_, activation, ok := strings.Cut(first, "activation=")
	if !ok {
		p.wrong(unexpected, "no link for a request: %q", first)
		return
	}
	asked := map[string]bool{google.GeneratedPerson(473): true}
	for i := 474; i < 480; i++ {
		a := p.post(472, "/review/reviewers?activation="+activation, url.Values{"reviewer": {google.GeneratedPerson(i)}})
		if a.status < 400 {
			asked[google.GeneratedPerson(i)] = true
		}
	}
	if len(asked) > maxReviewers {
		p.wrong(tooManyAsked, "%d of at most %d", len(asked), maxReviewers)
	}
}

// sendingAgain a form gives nothing back that an administrator has ended.
func (p *prober) sendingAgain() {
	q := &request{role: google.TeamSelfRole, project: google.GeneratedProject(47 + 150), self: true, sent: true}
	action, fields := p.filled(474, q)
	if a := p.post(474, action, fields); a.status >= 400 || !p.live(q) {
		p.wrong(missing, "activated, and has it not: %d %s", a.status, said(a.body))
		return
	}
	page := p.get(p.size.People-1, projectPath(q.project))
	end, resource, found := form(page.body, "resource=projects/"+q.project)
	if !found {
		p.wrong(missing, "an administrator cannot end: %d %s", page.status, said(page.body))
		return
	}
	p.may(func() { q.endSent = true })
	if a := p.post(p.size.People-1, end, resource); a.status >= 400 || p.live(q) {
		p.wrong(stillThere, "ended by an administrator: %d %s", a.status, said(a.body))
	}
	p.post(474, action, fields)
	if p.live(q) {
		p.wrong(revived, "the form was sent again after the end, and granted")
	}
}

// claims of an address are not repeated as facts.
func (p *prober) claims() {
	a := p.get(475, projectPath(google.GeneratedProject(47+200))+"?ended=jit-NOTHINGATALL1234")
	if strings.Contains(string(a.body), "Access ended") {
		p.wrong(claimed, "%s", said(a.body))
	}
}

// processor time for what is refused is to be of the order of a page's, of which it
// has the look-ups. It is not the time that passes, and does not depend on who else
// uses the machine.
func (p *prober) processor() {
	project := google.GeneratedProject(47 + 250)
	const rounds = 50
	cost := func(path string) time.Duration {
		before := p.service.processorTime()
		for range rounds {
			p.get(476, path)
		}
		return (p.service.processorTime() - before) / rounds
	}
	p.get(476, projectPath(project))
	page := cost(projectPath(project))
	// Not faster than a person may be.
	pause(p.ctx, 3*time.Second)
	many := cost(manyIDs(project))
	p.t.Logf("processor time of a page of a project: %v, of one with 16 KB of ids: %v", page, many)
	if many > 2*page+2*time.Millisecond {
		p.wrong(hungry, "%v of processor time, a page %v", many, page)
	}
}
