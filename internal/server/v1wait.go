package server

import (
	"bytes"
	"context"
	"io"
	"maps"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-chi/chi/v5"

	"jitaccess/internal/access"
)

// getApproval answers at once, or with wait when it is decided, and after so many seconds in
// any case. Where too many wait already, of whom no application has more than this one, it
// answers at once, and says when to come again.
func (s *server) getApproval(w http.ResponseWriter, r *http.Request) {
	wait, err := waitOf(r)
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	id, err := requestID(r)
	if err == nil && wait > 0 {
		v := &waiter{server: s, r: r, id: id, end: time.Now().Add(wait)}
		if v.give = s.waiters.take(access.Principal(callerOf(r).Application), v.displace); v.give != nil {
			v.awaitDecision(w, r)
			return
		}
	}
	var q access.Request
	if err == nil {
		q, err = s.theirs(r, id)
	}
	if err == nil && wait > 0 && s.undecided(q) {
		w.Header().Set("Retry-After", strconv.Itoa(approvalInterval))
	}
	s.answerLook(w, r, q, err)
}

func (s *server) answerLook(w http.ResponseWriter, r *http.Request, q access.Request, err error) {
	s.v1(http.StatusOK, func(*http.Request) (any, error) {
		if err != nil {
			return nil, err
		}
		return s.approvalOf(r, q, nil)
	})(w, r)
}

// undecided is whether a request is waited for.
func (s *server) undecided(q access.Request) bool {
	return approvalStatus(q.StateAt(s.Now())) == waitOn
}

// waiter is an application that waits for a decision. There are thousands, and as many may come
// at once: no goroutine is theirs, nor what the HTTP server keeps for a connection. They look in
// turn, and between looks what wakes them is all that there is.
type waiter struct {
	*server
	r    *http.Request
	id   string
	done func(*answer)
	// end is when it was waited long enough; at expires, by the service's clock, nobody decides any more.
	end, expires time.Time
	// version is that of the request as it was last read, and said what is answered then; 0 is
	// that it was not read yet.
	version int
	said    *answer
	// stop lets go of what wakes it in any case: its time, the process that ends, r that is over.
	stop []func() bool

	// give gives its place back; displaced: it is somebody else's.
	give      func()
	displaced atomic.Bool

	mu sync.Mutex
	// leave ends its waiting for a change; it is nil while it is awake.
	leave func()
}

// lookRoute is the route of who waits. What the router itself knows of a request is given to
// others once it is handled.
var lookRoute = &chi.Context{RoutePatterns: []string{pathV1 + "/approvals/{id}"}}

// asideTime is how long it may take to look again, and to write the answer to who has waited.
const asideTime = 10 * time.Second

// awaitDecision answers when there is nothing to wait for, or when it was waited long enough, or
// the process is about to end. It does so on the connection, and closes it; that who waits has
// gone away is not noticed until then. Where there is no such connection, as with HTTP/2, it
// returns when it has answered.
func (v *waiter) awaitDecision(w http.ResponseWriter, r *http.Request) {
	if connection, _, err := http.NewResponseController(w).Hijack(); err == nil {
		ctx := context.WithValue(context.WithoutCancel(r.Context()), chi.RouteCtxKey, lookRoute)
		v.r = (&http.Request{Method: r.Method, URL: r.URL, Host: r.Host}).WithContext(ctx)
		v.done = func(a *answer) { v.answerOn(connection, v.r, a) }
		v.lookers.add(v)
		return
	}
	answered := make(chan *answer)
	v.done = func(a *answer) { answered <- a }
	v.lookers.add(v)
	(<-answered).ServeHTTP(w, r)
}

// answerOn answers on a connection, and closes it.
func (s *server) answerOn(connection net.Conn, r *http.Request, a *answer) {
	defer connection.Close()
	whole := answer{header: http.Header{}}
	s.headers(a).ServeHTTP(&whole, r)
	response := &http.Response{StatusCode: whole.status, ProtoMajor: 1, ProtoMinor: 1, Header: whole.header, Request: r, Close: true,
		ContentLength: int64(len(whole.body)), Body: io.NopCloser(bytes.NewReader(whole.body))}
	if connection.SetWriteDeadline(time.Now().Add(asideTime)) == nil {
		response.Write(connection) // who waited may be gone, and nobody is to be told
	}
}

// wake has it look, unless it does.
func (v *waiter) wake() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.leave != nil {
		v.leave()
		v.leave = nil
		v.lookers.add(v)
	}
}

// look waits on, or is done.
func (v *waiter) look() {
	if v.version == 0 || !v.over() || !v.Now().Before(v.expires) {
		if v.lookAgain() && v.waitOn() {
			return
		}
	}
	for _, stop := range v.stop {
		stop()
	}
	v.give()
	if v.displaced.Load() {
		v.said.header.Set("Retry-After", strconv.Itoa(approvalInterval))
	}
	go v.done(v.said) // who does not read it keeps nobody else from looking
}

// displace has it answered as it is: another application waits in its place.
func (v *waiter) displace() {
	v.displaced.Store(true)
	v.wake()
}

func (v *waiter) over() bool {
	return v.displaced.Load() || !time.Now().Before(v.end) || v.stopping.Err() != nil || v.r.Context().Err() != nil
}

// lookAgain reads the request, and says whether to wait on: it has changed, and is not decided.
func (v *waiter) lookAgain() (changed bool) {
	ctx, cancel := context.WithTimeout(v.r.Context(), asideTime)
	defer cancel()
	v.said = &answer{header: http.Header{}}
	v.recovered(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q, err := v.theirs(r, v.id)
		changed = err == nil && q.Version != v.version && v.undecided(q)
		v.version, v.expires = q.Version, q.Expires
		v.answerLook(w, r, q, err)
	})).ServeHTTP(v.said, v.r.WithContext(ctx))
	return changed && v.said.status == http.StatusOK
}

// waitOn has it woken by what comes first. It is false where there is no time to wait.
func (v *waiter) waitOn() bool {
	if v.over() {
		return false
	}
	v.mu.Lock()
	if v.stop == nil {
		timer := time.AfterFunc(min(time.Until(v.end), v.expires.Sub(v.Now())), v.wake)
		v.stop = []func() bool{timer.Stop, context.AfterFunc(v.stopping, v.wake)}
		if v.r.Context().Done() != nil {
			v.stop = append(v.stop, context.AfterFunc(v.r.Context(), v.wake))
		}
	}
	v.leave = v.Applications.Broker.WhenChanged(v.id, v.version, v.wake)
	v.mu.Unlock()
	if v.over() { // which has woken nobody while it looked
		v.wake()
	}
	return true
}

// lookers are those whose turn it is to look: a few look, and the others are in a queue.
type lookers struct {
	mu      sync.Mutex
	queue   []*waiter
	looking int
}

// lookersAtOnce is how many look at a time.
const lookersAtOnce = 8

func (l *lookers) add(v *waiter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queue = append(l.queue, v)
	if l.looking < lookersAtOnce {
		l.looking++
		go l.work()
	}
}

func (l *lookers) work() {
	for v := l.next(); v != nil; v = l.next() {
		v.look()
	}
}

// next is whose turn it is; nil ends who looks.
func (l *lookers) next() *waiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) == 0 {
		l.looking--
		l.queue = nil
		return nil
	}
	v := l.queue[0]
	l.queue[0], l.queue = nil, l.queue[1:]
	return v
}

// answer keeps an answer until it is written.
type answer struct {
	header http.Header
	status int
	body   []byte
}

func (a *answer) Header() http.Header         { return a.header }
func (a *answer) WriteHeader(status int)      { a.status = status }
func (a *answer) Write(b []byte) (int, error) { a.body = append(a.body, b...); return len(b), nil }

func (a *answer) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	maps.Copy(w.Header(), a.header)
	w.WriteHeader(a.status)
	w.Write(a.body)
}

// waitOf is for how long to wait.
func waitOf(r *http.Request) (time.Duration, error) {
	q, err := query(r, "wait")
	if err != nil {
		return 0, err
	}
	for name, values := range q {
		if name != "wait" || len(values) > 1 {
			return 0, misplaced(name, "wait, once, is all that there is to say")
		}
	}
	if !q.Has("wait") {
		return 0, nil
	}
	seconds, err := strconv.Atoi(q.Get("wait"))
	if err != nil || seconds < 0 || seconds > maxWait {
		return 0, misplaced("wait", "wait is a whole number of seconds from 0 to "+strconv.Itoa(maxWait))
	}
	return time.Duration(seconds) * time.Second, nil
}
