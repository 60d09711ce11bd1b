package tracing

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/outbound"
	"jitaccess/internal/redact"
)

const (
	// maxWaiting spans wait at most, maxBatch go in one call, and batchTime after it began
	// to be waited for them; the numbers are OpenTelemetry's own for batches
	// (https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/#batch-span-processor).
	maxWaiting = 2048
	maxBatch   = 512
	batchTime  = 5 * time.Second
	// maxTries is how often a batch is sent that is not taken for now; between the tries is
	// firstPause, and then twice as much each time, or what the answer asks for, up to maxPause.
	maxTries   = 5
	firstPause = time.Second
	maxPause   = 30 * time.Second
	// sayEvery is how often it is said that nobody takes them, at most.
	sayEvery = 10 * time.Minute
)

// queue are the spans that have ended.
type queue struct {
	mu      sync.Mutex
	waiting []*Span
	closed  bool
	// wake ends the wait for more of them.
	wake func()
	// room is held by whoever sends.
	room chan struct{}
	// failing: that they are not taken was said, and holds; said is when. last is why the last batch
	// was not taken, or not all of it.
	failing bool
	said    time.Time
	last    error
}

// add takes a span in that has ended, where there is room.
func (t *Tracer) add(s *Span) {
	q := &t.queue
	q.mu.Lock()
	full := q.closed || len(q.waiting) >= maxWaiting
	if !full {
		q.waiting = append(q.waiting, s)
	}
	if len(q.waiting) >= maxBatch {
		q.wake()
	}
	q.mu.Unlock()
	if full {
		t.counted(Dropped, 1)
	}
}

func (t *Tracer) counted(outcome string, spans int) {
	if t.c.Counted != nil && spans > 0 {
		t.c.Counted(outcome, spans)
	}
}

// Run hands on what has ended until ctx does, every five seconds, or as soon as there is enough.
func (t *Tracer) Run(ctx context.Context) {
	for ctx.Err() == nil {
		waiting, wake := context.WithCancel(ctx)
		t.queue.mu.Lock()
		t.queue.wake = wake
		enough := len(t.queue.waiting) >= maxBatch
		t.queue.mu.Unlock()
		if !enough {
			_ = t.c.Sleep(waiting, batchTime)
		}
		wake()
		t.flush(ctx, maxTries)
	}
}

// Flush hands on what has ended by now, within ctx, and tries once.
func (t *Tracer) Flush(ctx context.Context) {
	if t != nil {
		t.flush(ctx, 1)
	}
}

// Close hands on what has ended by now, within ctx, and takes in nothing more. What is left then
// is dropped. Run must have ended, or its ctx.
func (t *Tracer) Close(ctx context.Context) {
	if t == nil {
		return
	}
	t.queue.mu.Lock()
	t.queue.closed = true
	t.queue.mu.Unlock()
	t.flush(ctx, 1)
	t.queue.mu.Lock()
	left := len(t.queue.waiting)
	t.queue.waiting = nil
	t.queue.mu.Unlock()
	t.counted(Dropped, left)
}

// flush sends batch after batch, one at a time. One that ctx breaks off waits for the next.
func (t *Tracer) flush(ctx context.Context, tries int) {
	select {
	case t.queue.room <- struct{}{}:
		defer func() { <-t.queue.room }()
	case <-ctx.Done():
		return
	}
	for ctx.Err() == nil {
		batch := t.take()
		if len(batch) == 0 {
			return
		}
		err := t.deliver(ctx, batch, tries)
		switch {
		case err == nil:
		case ctx.Err() != nil:
			t.putBack(batch)
			return
		default:
			t.counted(Dropped, len(batch))
			t.failed(err)
			if tries == 1 {
				return // the others would be no better off
			}
		}
	}
}

func (t *Tracer) take() []*Span {
	t.queue.mu.Lock()
	defer t.queue.mu.Unlock()
	n := min(maxBatch, len(t.queue.waiting))
	batch := t.queue.waiting[:n:n]
	t.queue.waiting = append([]*Span(nil), t.queue.waiting[n:]...)
	return batch
}

func (t *Tracer) putBack(batch []*Span) {
	t.queue.mu.Lock()
	defer t.queue.mu.Unlock()
	t.queue.waiting = append(batch, t.queue.waiting...)
}

func (t *Tracer) worked() {
	t.queue.mu.Lock()
	defer t.queue.mu.Unlock()
	t.queue.failing, t.queue.last = false, nil
}

// Untaken is why the batch that was handed on last was not taken, or not all of it, without address
// and headers: nil where it was, and before the first.
func (t *Tracer) Untaken() error {
	t.queue.mu.Lock()
	defer t.queue.mu.Unlock()
	return t.queue.last
}

func (t *Tracer) failed(err error) {
	now := t.c.Now()
	t.queue.mu.Lock()
	t.queue.last = err
	say := !t.queue.failing && (t.queue.said.IsZero() || now.Sub(t.queue.said) >= sayEvery)
	if say {
		t.queue.failing, t.queue.said = true, now
	}
	t.queue.mu.Unlock()
	if say && t.c.Failing != nil {
		t.c.Failing(err)
	}
}

// deliver sends a batch, and again where that may help.
func (t *Tracer) deliver(ctx context.Context, batch []*Span, tries int) error {
	pause := firstPause
	for try := 1; ; try++ {
		wrong, err := t.send(ctx, batch)
		if err == nil {
			t.counted(Exported, len(batch)-wrong)
			t.counted(Refused, wrong)
			if wrong == 0 {
				t.worked()
			}
			return nil
		}
		later, ok := errors.AsType[*notNow](err)
		if !ok || try == tries || t.c.Sleep(ctx, min(maxPause, max(pause, later.after))) != nil {
			return err
		}
		pause *= 2
	}
}

// notNow is the error of a call that may work a moment later.
type notNow struct {
	err   error
	after time.Duration
}

func (n *notNow) Error() string { return n.err.Error() }
func (n *notNow) Unwrap() error { return n.err }

// send makes one call, and returns how many of the spans were taken for wrong.
func (t *Tracer) send(ctx context.Context, batch []*Span) (wrong int, err error) {
	answer, headers, err := t.call(ctx, request(t.c.Resource, batch))
	if err != nil {
		return 0, err
	}
	wrong, why := refused(answer, t.c.JSON)
	wrong = max(0, min(wrong, len(batch)))
	if wrong > 0 {
		t.failed(fmt.Errorf("%s refused: %q", access.Counted(wrong, "span was", "spans were"), told(why, headers)))
	}
	return wrong, nil
}

// maxTold is how much is told of what others say, in bytes.
const maxTold = 300

// told is what whoever takes spans says, without what they were sent in headers: who they know
// their senders by is told in their own words, too.
func told(said string, headers http.Header) string {
	var secrets []string
	for _, values := range headers {
		for _, value := range values {
			secrets = append(secrets, append(strings.Fields(value), value)...)
		}
	}
	slices.SortFunc(secrets, func(a, b string) int { return len(b) - len(a) }) // the whole before its parts
	return access.Clip(redact.Answer(access.Visible(strings.Join(strings.Fields(said), " ")), secrets...), maxTold)
}

// Probe sends no span, and returns why none would be taken.
func (t *Tracer) Probe(ctx context.Context) error {
	_, _, err := t.call(ctx, message{{1, "resourceSpans", []message{}}})
	return err
}

// call sends a message, and returns the answer, and with which headers it was sent. Its errors have
// neither the address nor a header.
func (t *Tracer) call(ctx context.Context, m message) (answer []byte, headers http.Header, err error) {
	body, form := m.proto(nil), "application/x-protobuf"
	if t.c.JSON {
		body, form = m.json(nil), "application/json"
	}
	if t.c.Gzip {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		_, _ = w.Write(body)
		_ = w.Close()
		body = b.Bytes()
	}
	ctx, cancel := context.WithTimeout(outbound.WithObserver(ctx, nil), t.c.Timeout) // of spans there are no spans
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, t.c.Endpoint, bytes.NewReader(body))
	if err != nil {
		return nil, nil, errors.New("the endpoint is no address")
	}
	if headers, err = t.c.Headers(ctx); err != nil {
		return nil, nil, &notNow{err: err}
	}
	maps.Copy(r.Header, headers)
	r.Header.Set("Content-Type", form)
	if t.c.Gzip {
		r.Header.Set("Content-Encoding", "gzip")
	}
	response, err := t.c.Client.Do(r)
	if err != nil {
		return nil, nil, &notNow{err: outbound.WithoutAddress(err)}
	}
	defer response.Body.Close()
	answer, _ = io.ReadAll(outbound.Bound(response.Body, maxAnswer))
	switch status := response.StatusCode; {
	case status >= 200 && status < 300:
		return answer, headers, nil // an answer that breaks off says nothing of spans that are wrong
	case status == http.StatusTooManyRequests, status == http.StatusBadGateway, status == http.StatusServiceUnavailable,
		status == http.StatusGatewayTimeout: // https://opentelemetry.io/docs/specs/otlp/#retryable-response-codes
		seconds, _ := strconv.Atoi(strings.TrimSpace(response.Header.Get("Retry-After")))
		return nil, nil, &notNow{StatusError(status), time.Duration(max(0, min(seconds, 3600))) * time.Second}
	default:
		return nil, nil, StatusError(status)
	}
}

// StatusError is the error of an answer with another status than 200.
type StatusError int

func (e StatusError) Error() string {
	return fmt.Sprintf("it answered %d %s", int(e), http.StatusText(int(e)))
}
