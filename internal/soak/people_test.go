package soak_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/html"

	"jitaccess/internal/sandbox/google"
)

// town is the service, its Google, and everybody who uses it.
type town struct {
	*watched
	service *service
	public  string
	client  *http.Client
	phase   atomic.Pointer[string]
	wrongs  wrongs
	began   time.Time

	assertions sync.Map
	reasons    atomic.Int64

	// told is how many ends of the service's process have been judged.
	told int

	mu sync.Mutex
	// latencies are those of ordinary people, by phase and step.
	latencies map[string]map[step][]time.Duration
	// answers counts, by phase, what the others and the hostile one were answered.
	answers map[string]map[string]int
}

// patience is how long people, and Google's front ends, wait for an answer.
const patience = 30 * time.Second

// step is what a person does.
type step string

const (
	openHome    step = "open the start page"
	openProject step = "open a project"
	openForm    step = "open the form"
	sendSelf    step = "activate"
	sendAsk     step = "ask"
	openRequest step = "open a request"
	sendApprove step = "approve"
	sendDeny    step = "deny"
	sendEnd     step = "end"
)

func (s step) action() bool { return !strings.HasPrefix(string(s), "open ") }

// answer is what the service said.
type answer struct {
	status   int
	location string
	body     []byte
	took     time.Duration
	began    time.Time
}

// assertion is what Identity-Aware Proxy says of a person, renewed in time.
func (w *town) assertion(email string) string {
	type signed struct {
		text string
		at   time.Time
	}
	if known, ok := w.assertions.Load(email); ok && time.Since(known.(signed).at) < 5*time.Minute {
		return known.(signed).text
	}
	audience := "/projects/" + w.ProjectNumber() + "/locations/" + w.Region() + "/services/jitaccess"
	text, err := w.SignIAPAssertion(email, "accounts.google.com:"+email, audience)
	if err != nil {
		panic(err)
	}
	w.assertions.Store(email, signed{text, time.Now()})
	return text
}

// send sends a request as a person. The error is that no answer came.
func (w *town) send(ctx context.Context, email, method, path, body string, headers ...string) (answer, error) {
	r, err := http.NewRequestWithContext(ctx, method, w.service.origin+path, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	r.Header.Set("X-Goog-Iap-Jwt-Assertion", w.assertion(email))
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	a := answer{began: time.Now()}
	response, err := w.client.Do(r)
	if err == nil {
		defer response.Body.Close()
		a.body, err = io.ReadAll(response.Body)
		a.status, a.location = response.StatusCode, response.Header.Get("Location")
	}
	a.took = time.Since(a.began)
	return a, err
}

func (w *town) get(ctx context.Context, email, path string) (answer, error) {
	return w.send(ctx, email, "GET", path, "", "Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document")
}

func (w *town) post(ctx context.Context, email, path string, form url.Values) (answer, error) {
	return w.send(ctx, email, "POST", path, form.Encode(), "Content-Type", "application/x-www-form-urlencoded", "Origin", w.public,
		"Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document")
}

// person is somebody at work. Its methods return false when they cannot go on.
type person struct {
	*town
	ctx    context.Context
	email  string
	random *rand.Rand
}

// did judges an answer of a step for which these statuses are right.
func (p *person) did(s step, a answer, err error, right ...int) bool {
	phase := *p.phase.Load()
	if p.ctx.Err() != nil {
		return false
	}
	p.count(phase, "the others", a, err)
	if err != nil {
		p.wrongs.add(phase, lost(err), "%s, %s, after %v: %v", p.email, s, a.took.Round(time.Millisecond), err)
		return false
	}
	if slices.Contains(right, a.status) {
		p.answered(phase, s, a.took)
		return true
	}
	spent := p.quotaSpent(a.began)
	text := fmt.Sprintf("%s, %s: %d after %v, %s", p.email, s, a.status, a.took.Round(time.Millisecond), said(a.body))
	switch refused := a.status == http.StatusTooManyRequests || a.status >= 500; {
	case starting(a):
		p.wrongs.add(phase, cut, "%s", text)
	case refused && spent && s.action():
		p.wrongs.add(phase, actionRefused, "%s", text)
	case refused && spent:
		p.wrongs.add(phase, pageRefused, "%s", text)
	case a.status >= 500:
		p.wrongs.add(phase, failed, "%s", text)
	default:
		p.wrongs.add(phase, unexpected, "%s", text)
	}
	return false
}

// answered notes a right answer. How fast somebody is refused is no latency.
func (w *town) answered(phase string, s step, took time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.latencies[phase] == nil {
		w.latencies[phase] = map[step][]time.Duration{}
	}
	w.latencies[phase][s] = append(w.latencies[phase][s], took)
}

// lost is what it is that no answer came.
func lost(err error) kind {
	var timeout interface{ Timeout() bool }
	if errors.As(err, &timeout) && timeout.Timeout() {
		return unfinished
	}
	return cut
}

// starting is what a process answers that does not know yet who it is.
func starting(a answer) bool {
	return a.status == http.StatusServiceUnavailable && bytes.Contains(a.body, []byte(`"code":"starting"`))
}

func (w *town) count(phase, who string, a answer, err error) {
	key := fmt.Sprint(who, ": ", a.status)
	if err != nil {
		key = who + ": none"
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.answers[phase] == nil {
		w.answers[phase] = map[string]int{}
	}
	w.answers[phase][key]++
}

// said is the text of a page, shortened.
func said(body []byte) string {
	var b strings.Builder
	tokens := html.NewTokenizer(bytes.NewReader(body))
	for {
		switch tokens.Next() {
		case html.ErrorToken:
			words := strings.Fields(b.String())
			return fmt.Sprintf("%.220s", strings.Join(words[:min(len(words), 60)], " "))
		case html.TextToken:
			b.Write(tokens.Text())
			b.WriteByte(' ')
		}
	}
}

// form finds the form with the fields, and what it would send as it stands. A field
// is NAME or NAME=VALUE.
func form(body []byte, fields ...string) (action string, values url.Values, found bool) {
	root, err := html.Parse(bytes.NewReader(body))
	if err != nil {
		return "", nil, false
	}
	for n := range root.Descendants() {
		if n.Type != html.ElementNode || n.Data != "form" {
			continue
		}
		values, all := url.Values{}, url.Values{}
		for i := range n.Descendants() {
			name, value, kind := attribute(i, "name"), attribute(i, "value"), attribute(i, "type")
			if i.Type != html.ElementNode || name == "" {
				continue
			}
			all.Add(name, value)
			if choice := kind == "radio" || kind == "checkbox"; !choice || attribute(i, "checked") == "checked" {
				values.Add(name, value)
			}
		}
		if !slices.ContainsFunc(fields, func(f string) bool {
			name, value, exact := strings.Cut(f, "=")
			return !all.Has(name) || exact && !slices.Contains(all[name], value)
		}) {
			return attribute(n, "action"), values, true
		}
	}
	return "", nil, false
}

func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			if a.Val == "" && name == "checked" {
				return name
			}
			return a.Val
		}
	}
	return ""
}

// think is the time that people take between two pages.
func (p *person) think() { pause(p.ctx, time.Duration(100+p.random.IntN(500))*time.Millisecond) }

func (p *person) open(s step, path string) (answer, bool) {
	p.think()
	a, err := p.get(p.ctx, p.email, path)
	return a, p.did(s, a, err, http.StatusOK)
}

func projectPath(project string) string { return "/access/projects/" + project }

// reason is one that nobody else has.
func (w *town) reason() string {
	return fmt.Sprintf("soak-%s-%06d", strings.ReplaceAll(*w.phase.Load(), " ", "-"), w.reasons.Add(1))
}

// visit is what somebody comes for.
type visit struct {
	person  int
	project int
	role    string
	// reviewers and stranger are people, for a request.
	reviewers []int
	stranger  int
	script    bool
	what      string
}

// What people come for.
const (
	lookAround = "look"
	activate   = "activate"
	askOthers  = "ask others"
)

// play is a visit from the first page to the last.
func (w *town) play(ctx context.Context, v visit, random *rand.Rand) {
	p := &person{town: w, ctx: ctx, email: google.GeneratedPerson(v.person), random: random}
	project := google.GeneratedProject(v.project)
	if v.script {
		p.playScript(v, project)
		return
	}
	if _, ok := p.open(openHome, "/"); !ok && ctx.Err() != nil {
		return
	}
	page, ok := p.open(openProject, projectPath(project))
	if !ok || v.what == lookAround {
		return
	}
	id := project + ":" + v.role
	if _, _, offered := form(page.body, "entitlement="+id); !offered {
		w.wrong(missing, "%s is not offered %s: %s", p.email, id, said(page.body))
		return
	}
	page, ok = p.open(openForm, projectPath(project)+"?next=1&entitlement="+url.QueryEscape(id))
	if !ok {
		return
	}
	action, fields, found := form(page.body, "id", "justification")
	if !found {
		w.wrong(unexpected, "%s: the form for %s has no fields: %s", p.email, id, said(page.body))
		return
	}
	q := &request{reason: w.reason(), person: p.email, role: v.role, project: project, minutes: 15 + 15*random.IntN(3),
		self: v.what == activate}
	fields.Set("justification", q.reason)
	fields.Set("minutes", fmt.Sprint(q.minutes))
	fields.Del("reviewer")
	for _, r := range v.reviewers {
		fields.Add("reviewer", google.GeneratedPerson(r))
	}
	w.ask(q)
	p.think()
	if q.self {
		p.activate(q, action, fields)
	} else {
		p.request(q, v, action, fields)
	}
}

// activate sends the form of a role that needs no approval, and may end it again.
func (p *person) activate(q *request, action string, fields url.Values) {
	p.may(func() { q.sent = true })
	a, err := p.post(p.ctx, p.email, action, fields)
	if !p.did(sendSelf, a, err, http.StatusSeeOther, http.StatusOK) {
		return
	}
	if !p.live(q) {
		p.wrong(missing, "%s activated %s on %s and has it not: %s", p.email, q.role, q.project, said(a.body))
	}
	page, ok := p.open(openProject, projectPath(q.project))
	if ok && p.random.IntN(2) == 0 {
		p.end(q, page)
	}
}

// end ends access by the form of a page.
func (p *person) end(q *request, page answer) {
	action, fields, found := form(page.body, "resource=projects/"+q.project)
	if !found {
		p.wrong(missing, "%s cannot end %s on %s: %s", p.email, q.role, q.project, said(page.body))
		return
	}
	p.think()
	p.may(func() { q.endSent = true })
	a, err := p.post(p.ctx, p.email, action, fields)
	if p.did(sendEnd, a, err, http.StatusSeeOther, http.StatusOK) && p.live(q) {
		p.wrong(stillThere, "%s ended %s on %s: %s", p.email, q.role, q.project, said(a.body))
	}
}

// request asks others, who approve, decline or do nothing; a stranger tries the link.
func (p *person) request(q *request, v visit, action string, fields url.Values) {
	a, err := p.post(p.ctx, p.email, action, fields)
	if !p.did(sendAsk, a, err, http.StatusSeeOther, http.StatusOK) {
		return
	}
	link := a.location
	if a.status == http.StatusOK {
		link = linkIn(a.body)
	}
	if !strings.HasPrefix(link, "/review?activation=") {
		p.wrong(missing, "%s asked for %s and has no link: %s", p.email, q.role, said(a.body))
		return
	}
	p.open(openRequest, link)
	if p.random.IntN(4) == 0 {
		p.as(v.stranger).tryLink(q, link)
	}
	reviewer := p.as(v.reviewers[p.random.IntN(len(v.reviewers))])
	page, ok := reviewer.open(openRequest, link)
	if !ok {
		return
	}
	switch n := p.random.IntN(10); {
	case n < 7:
		reviewer.approve(q, page)
	case n < 9:
		reviewer.deny(q, page)
		return
	default:
		return
	}
	page, ok = p.open(openRequest, link)
	if ok && p.random.IntN(2) == 0 && p.live(q) {
		p.end(q, page)
	}
}

// linkIn is the link of a page that tells what came of a form.
func linkIn(body []byte) string {
	_, rest, _ := bytes.Cut(body, []byte(`href="/review?`))
	link, _, _ := bytes.Cut(rest, []byte(`"`))
	return "/review?" + html.UnescapeString(string(link))
}

func (p *person) as(i int) *person {
	other := *p
	other.email = google.GeneratedPerson(i)
	return &other
}

func (p *person) approve(q *request, page answer) {
	p.may(func() { q.approvers[p.email] = true })
	// Without scripts a second page may ask once more.
	for step := range 2 {
		action, fields, found := form(page.body, "verdict=approve")
		if !found {
			p.wrong(missing, "%s was asked by %s and cannot approve: %s", p.email, q.person, said(page.body))
			return
		}
		if step == 1 {
			fields.Set("confirmed", "1")
		}
		p.think()
		a, err := p.post(p.ctx, p.email, action, fields)
		if !p.did(sendApprove, a, err, http.StatusSeeOther, http.StatusOK) {
			return
		}
		if _, _, again := form(a.body, "verdict=approve"); !again || a.status != http.StatusOK {
			break
		}
		page = a
	}
	if !p.live(q) {
		p.wrong(missing, "%s approved %s of %s on %s", p.email, q.role, q.person, q.project)
	}
}

func (p *person) deny(q *request, page answer) {
	action, fields, found := form(page.body, "verdict=deny")
	if !found {
		p.wrong(missing, "%s was asked by %s and cannot decline: %s", p.email, q.person, said(page.body))
		return
	}
	fields.Set("comment", "Not now")
	p.think()
	a, err := p.post(p.ctx, p.email, action, fields)
	p.did(sendDeny, a, err, http.StatusSeeOther, http.StatusOK)
}

// tryLink opens a link of others, and sends what would approve it.
func (p *person) tryLink(q *request, link string) {
	a, err := p.get(p.ctx, p.email, link)
	if err == nil && a.status == http.StatusOK {
		p.wrong(stranger, "%s opens the request of %s: %s", p.email, q.person, said(a.body))
	}
	p.did(openRequest, a, err, http.StatusForbidden)
	a, err = p.post(p.ctx, p.email, link, url.Values{"verdict": {"approve"}, "digest": {"x"}})
	if err == nil && a.status < 400 {
		p.wrong(stranger, "%s approves the request of %s: %d %s", p.email, q.person, a.status, said(a.body))
	}
	p.did(sendApprove, a, err, http.StatusForbidden)
}

// playScript is the same through the JSON interface.
func (p *person) playScript(v visit, project string) {
	q := &request{reason: p.reason(), person: p.email, role: v.role, project: project, minutes: 30, self: v.what == activate}
	type object = map[string]any
	call := func(who *person, s step, method, path string, body any) (object, bool) {
		text := ""
		if body != nil {
			encoded, err := json.Marshal(body)
			if err != nil {
				panic(err)
			}
			text = string(encoded)
		}
		who.think()
		a, err := who.send(who.ctx, who.email, method, path, text, "X-JITACCESS", "1", "Content-Type", "application/json")
		if !who.did(s, a, err, http.StatusOK) {
			return nil, false
		}
		var o object
		if err := json.Unmarshal(a.body, &o); err != nil {
			who.wrong(unexpected, "%s: no JSON: %s", path, a.body)
			return nil, false
		}
		return o, true
	}
	roles := "/api/projects/" + project + "/roles"
	// Some scripts know what they want.
	if v.what == lookAround || p.random.IntN(2) == 0 {
		if _, ok := call(p, openProject, "GET", roles, nil); !ok || v.what == lookAround {
			return
		}
	}
	p.ask(q)
	id := project + ":" + v.role
	if q.self {
		p.may(func() { q.sent = true })
		_, ok := call(p, sendSelf, "POST", roles+"/self-activate",
			object{"entitlementIds": []string{id}, "justification": q.reason, "activationTimeout": q.minutes})
		if ok && !p.live(q) {
			p.wrong(missing, "%s activated %s on %s and has it not", p.email, q.role, q.project)
		}
		return
	}
	var peers []string
	for _, r := range v.reviewers {
		peers = append(peers, google.GeneratedPerson(r))
	}
	asked, ok := call(p, sendAsk, "POST", roles+"/request",
		object{"entitlementId": id, "peers": peers, "justification": q.reason, "activationTimeout": q.minutes})
	if !ok {
		return
	}
	link, _ := asked["reviewUrl"].(string)
	_, activation, _ := strings.Cut(link, "?")
	reviewer := p.as(v.reviewers[0])
	if _, ok := call(reviewer, openRequest, "GET", "/api/activation-request?"+activation, nil); !ok {
		return
	}
	p.may(func() { q.approvers[reviewer.email] = true })
	if _, ok := call(reviewer, sendApprove, "POST", "/api/activation-request?"+activation, nil); ok && !p.live(q) {
		p.wrong(missing, "%s approved %s of %s on %s", reviewer.email, q.role, q.person, q.project)
	}
}
