package server

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strconv"
	"time"

	"jitaccess/internal/access"
)

// getApproval answers at once, or with wait when it is decided, and after so many seconds in
// any case. Where too many wait already it answers at once, and says when to come again.
func (s *server) getApproval(w http.ResponseWriter, r *http.Request) {
	q, wait, err := s.lookedAt(r)
	if err != nil || wait == 0 || !s.undecided(q) {
		s.answerLook(w, r, q, err)
		return
	}
	select {
	case s.waiters <- struct{}{}:
		if !s.waitAside(w, r, q, wait) {
			err = s.awaitDecision(r, q, wait)
			<-s.waiters
			s.answerLook(w, r, q, err)
		}
	default:
		w.Header().Set("Retry-After", strconv.Itoa(approvalInterval))
		s.answerLook(w, r, q, nil)
	}
}

// lookedAt reads which request an application looks at, and for how long it would wait.
func (s *server) lookedAt(r *http.Request) (q *access.Request, wait time.Duration, err error) {
	q = &access.Request{}
	id, err := requestID(r)
	if err == nil {
		wait, err = waitOf(r)
	}
	if err == nil {
		*q, err = s.theirs(r, id)
	}
	return q, wait, err
}

func (s *server) answerLook(w http.ResponseWriter, r *http.Request, q *access.Request, err error) {
	s.v1(http.StatusOK, func(*http.Request) (any, error) {
		if err != nil {
			return nil, err
		}
		return s.approvalOf(r, *q, nil)
	})(w, r)
}

// asideTime is how long the answer to who has waited may take.
const asideTime = 10 * time.Second

// waitAside waits without what the HTTP server keeps for a connection: buffers and a deep
// stack, which are several times what waiting takes. It answers on the connection, and closes
// it. That who waits goes away is not noticed until then. It is false, and nothing is done,
// where there is no such connection, as with HTTP/2.
func (s *server) waitAside(w http.ResponseWriter, r *http.Request, q *access.Request, wait time.Duration) bool {
	connection, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return false
	}
	aside := &answer{header: w.Header().Clone()}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), wait+asideTime)
	r = r.WithContext(ctx)
	r.Body = http.NoBody // which holds all that is to be let go of
	go func() {
		defer connection.Close()
		defer cancel()
		s.recovered(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer func() { <-s.waiters }()
			err := s.awaitDecision(r, q, wait)
			s.answerLook(w, r, q, err)
		})).ServeHTTP(aside, r)
		if connection.SetWriteDeadline(time.Now().Add(asideTime)) == nil {
			aside.response(r).Write(connection) // who waited may be gone, and nobody is to be told
		}
	}()
	return true
}

// answer keeps an answer until it is written.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (a *answer) Header() http.Header         { return a.header }
func (a *answer) WriteHeader(status int)      { a.status = status }
func (a *answer) Write(b []byte) (int, error) { return a.body.Write(b) }

func (a *answer) response(r *http.Request) *http.Response {
	return &http.Response{StatusCode: a.status, ProtoMajor: 1, ProtoMinor: 1, Header: a.header, Request: r, Close: true,
		ContentLength: int64(a.body.Len()), Body: io.NopCloser(&a.body)}
}

// awaitDecision returns when there is nothing more to wait for, or when it was waited long
// enough, or when the process is about to end; q is the request as it is then. What it calls
// takes no room on its stack while it waits, of which there are thousands: a request is large.
func (s *server) awaitDecision(r *http.Request, q *access.Request, wait time.Duration) error {
	ctx, cancel := context.WithTimeout(r.Context(), min(wait, max(0, q.Expires.Sub(s.Now()))))
	defer cancel()
	defer context.AfterFunc(s.stopping, cancel)()
	for {
		s.Applications.Broker.Changed(ctx, q.ID, q.Version)
		if ctx.Err() != nil {
			return nil
		}
		if more, err := s.lookAgain(r, q); !more || err != nil {
			return err
		}
	}
}

// lookAgain reads the request again, and says whether there is more to wait for: it has
// changed, and is not decided.
//
//go:noinline
func (s *server) lookAgain(r *http.Request, q *access.Request) (more bool, err error) {
	was := q.Version
	if *q, err = s.theirs(r, q.ID); err != nil {
		return false, err
	}
	return q.Version != was && s.undecided(q), nil
}

// undecided is whether a request is waited for.
//
//go:noinline
func (s *server) undecided(q *access.Request) bool {
	return approvalStatus(q.StateAt(s.Now())) == waitOn
}

// waitOf is for how long to wait.
func waitOf(r *http.Request) (time.Duration, error) {
	q, err := query(r)
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
