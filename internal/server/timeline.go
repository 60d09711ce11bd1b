package server

import (
	"cmp"
	"context"
	"html/template"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/words"
)

// timelineView is what happened to a request, in order.
type timelineView struct {
	Events []eventView
	// Earlier is how many of them come before the newest, which are shown at once.
	Earlier int
	// Wait is where to ask for what happens next; empty where nothing will.
	Wait string
	// State is where the request stands: pages compare it with where it stood.
	State access.State
}

// eventView is something that happened.
type eventView struct {
	// Text is it in words.
	Text    template.HTML
	Comment string
	At      *Moment
	Tone    string
	// Because are why something of it was not done.
	Because []string
	// Signed: a passkey has signed it, and the service has verified that.
	Signed bool
}

// eventWords are what happened, in words.
var eventWords = map[access.Action]struct{ key, tone string }{
	access.RequestMade:      {"event.made", "wait"},
	access.ReviewersAdded:   {"event.added", ""},
	access.SelfApproved:     {"event.self", "good"},
	access.RequestApproved:  {"event.approved", "good"},
	access.RequestDenied:    {"event.denied", "bad"},
	access.RequestWithdrawn: {"event.withdrawn", "over"},
	access.RequestLapsed:    {"event.lapsed", "over"},
	access.GrantWritten:     {"event.granted", "good"},
	access.GrantFailed:      {"event.failed", "bad"},
	access.GrantTakenIn:     {"event.taken-in", "wait"},
	access.GrantExpired:     {"event.expired", "over"},
	access.EndAsked:         {"event.end-asked", ""},
	access.GrantEnded:       {"event.ended", "over"},
	access.EndFailed:        {"event.end-failed", "bad"},
	access.GlassBroken:      {"event.glass", "bad"},
	access.GlassReviewed:    {"event.reviewed", ""},
	access.Reminded:         {"event.reminded", ""},
	access.Escalated:        {"event.escalated", ""},
	access.MailBounced:      {"event.bounced", "bad"},
	access.NoticeGivenUp:    {"event.not-told", "bad"},
}

// mostShown is how many of many events are shown at once; the others are asked for.
const mostShown = 20

// lively are the states in which something may happen that whoever looks waits for.
var lively = []access.State{access.Pending, access.Approved, access.Scheduled, access.Active}

func (s *server) timeline(r *http.Request, q access.Request, state access.State, events []access.Event) timelineView {
	v := timelineView{State: state, Events: access.Each(events, func(e access.Event) eventView { return s.viewEvent(r, q, e) })}
	if len(v.Events) > mostShown+1 {
		v.Earlier = len(v.Events) - mostShown
	}
	if slices.Contains(lively, state) && len(events) > 0 {
		v.Wait = doorOf(r) + requestPath(q.ID) + "?wait=" + strconv.Itoa(q.Version)
	}
	return v
}

func (s *server) viewEvent(r *http.Request, q access.Request, e access.Event) eventView {
	l, how := s.languageOf(r), eventWords[e.Action]
	v := eventView{At: s.moment(r, e.At), Comment: e.Decision.Comment, Tone: how.tone, Signed: signed(q, e.Decision)}
	until := s.moment(r, e.Window.End)
	switch who := whoDid(l, e.Caller); {
	case e.Action == access.RequestApproved && e.Decision.Duration > 0:
		v.Text = l.HTML("event.approved-less", "who", who, "length", l.Days(e.Decision.Duration))
	case e.Action == access.GrantWritten && until != nil:
		v.Text = l.HTML("event.granted-until", "end", until.HTML())
	case e.Action == access.MailBounced:
		v.Text = l.HTML(how.key, "to", cmp.Or(access.Visible(string(e.Bounce.To)), l.Text("notice.bounced.somebody")))
		v.Because = slices.DeleteFunc([]string{strings.TrimSpace(e.Bounce.Status + " " + access.Visible(e.Bounce.Text)), e.Bounce.Meaning},
			func(line string) bool { return line == "" })
	default:
		v.Text = l.HTML(how.key, "who", who)
	}
	if failure := access.AsError(e.Err); failure != nil {
		v.Because = append(v.Because, inFull(s.refusal(r, failure, q.Resource)))
	}
	for _, o := range e.Outcomes {
		if o.Result == access.Refused && o.Err != nil {
			v.Because = append(v.Because, l.Text("outcome.refused-because", "role", o.Entitlement.Role, "why",
				inFull(s.refusal(r, o.Err, q.Resource))))
		}
	}
	return v
}

// whoDid is who did something: somebody, the service itself, or somebody whose data were
// erased.
func whoDid(l *words.Language, c access.Caller) string {
	switch {
	case c.Principal != "":
		return string(c.Principal)
	case c.Application != "":
		return l.Text("event.application", "application", c.Application)
	case c.Method == access.MethodSystem:
		return l.Text("event.service")
	}
	return l.Text("event.erased")
}

// liveView is what of a request's page follows it without the page being loaded again.
type liveView struct {
	State, Tone string
	Asked       []askedView
	Timeline    timelineView
}

// showRequest shows a request to whom it concerns. With ?wait=VERSION it answers when the
// request is at another version, with what of the page has changed, or after a while with
// nothing. Waiting reads the ledger alone.
func (s *server) showRequest(r *http.Request, id string) (page, error) {
	if _, waits := r.URL.Query()["wait"]; !waits {
		return s.review(r, id)
	}
	version, err := waited(r)
	if err != nil {
		return page{}, err
	}
	q, events, changed, err := s.await(r, id, version)
	switch {
	case err != nil:
		return page{}, aboutRequest{id, err}
	case !changed:
		return page{status: http.StatusNoContent}, nil
	}
	l := s.languageOf(r)
	view := broker.View{Request: q, State: q.State, Keyless: s.Broker.Keyless(r.Context(), q)}
	return page{template: "review", block: "live", status: http.StatusOK, data: liveView{State: l.Text("state." + string(q.State)),
		Tone: tones[q.State], Asked: whatTheySaid(l, view, callerOf(r).Principal), Timeline: s.timeline(r, q, q.State, events)}}, nil
}

// waited reads for which version to wait; 0 is for none.
func waited(r *http.Request) (int, error) {
	q, err := query(r)
	if err != nil {
		return 0, err
	}
	return wholeNumber(q, "wait", 0, "wait is the number of a version")
}

// A page that waits asks the ledger every lookEvery, looks times; then it is told that
// nothing has changed, and asks again. So long a request may take before proxies break it
// off. maxWaiting may wait at a time; see places.
const (
	lookEvery  = time.Second
	looks      = 20
	maxWaiting = 200
)

// await returns a request and its events when it is at another version than that, or
// after a while as it is. Where too many wait already, each of whom holds no more places, it
// does not wait.
func (s *server) await(r *http.Request, id string, version int) (q access.Request, events []access.Event, changed bool, err error) {
	gone := make(chan struct{})
	leave := s.places.take(callerOf(r).Principal, func() { close(gone) })
	if leave == nil {
		return q, nil, false, &access.Error{Kind: access.TooMany, Code: access.CodeTooFast}
	}
	defer leave()
	for look := 1; ; look++ {
		q, events, err = s.Broker.Timeline(r.Context(), callerOf(r), id)
		if changed = q.Version != version; err != nil || changed || look == looks {
			break
		}
		if !s.pause(r.Context(), gone) {
			break
		}
	}
	return q, events, changed, err
}

// pause waits for lookEvery, and says whether to go on.
func (s *server) pause(ctx context.Context, gone <-chan struct{}) bool {
	select {
	case <-s.After(lookEvery):
		return true
	case <-gone:
	case <-ctx.Done():
	case <-s.Stopping:
	}
	return false
}

// waits is whether a request asks to wait, where that can be asked for: nobody has places
// for other pages by saying so.
func waits(r *http.Request) bool {
	route := chi.RouteContext(r.Context())
	return route != nil && strings.HasSuffix(route.RoutePattern(), "/requests/{id}") && safe(r) && r.URL.Query().Has("wait")
}
