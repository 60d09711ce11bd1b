// Package tracing records spans and hands them to whoever takes traces by OTLP over HTTP
// (https://opentelemetry.io/docs/specs/otlp/). It is as much of OpenTelemetry as the service
// needs: what the official modules bring is larger than the service itself
// (docs/decisions/24-traces-by-hand.md).
//
// A span has what the product itself knows and there is little of: no name of a person, a
// project or a role, no text that somebody wrote, no address. What is recorded never waits for
// who takes it: what is too much is dropped, and counted.
package tracing

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Config is what a Tracer is made of. Everything is required unless it says otherwise.
type Config struct {
	// Endpoint is where spans go, in full, with these headers, which may hold secrets, and so may
	// not their error.
	Endpoint string
	Headers  func(context.Context) (http.Header, error)
	// JSON sends them so, and as protobuf otherwise; Gzip compresses them.
	JSON, Gzip bool
	// Timeout bounds one call.
	Timeout time.Duration
	Client  *http.Client
	// Resource says what it is that is traced.
	Resource []Attribute
	Sampler  Sampler
	// Followed: what a request says of the trace that it is part of holds. Otherwise its span
	// begins a trace of its own, with a link to that one.
	Followed bool

	Now    func() time.Time
	Sleep  func(context.Context, time.Duration) error
	Random io.Reader
	// Counted hears what became of so many spans: Exported, Dropped or Refused. May be nil.
	Counted func(outcome string, spans int)
	// Failing hears that spans are not taken any more, and why: once, and again when they were
	// taken in between, at most every ten minutes. The error is without the address and the
	// headers. May be nil.
	Failing func(error)
}

// What becomes of spans: they were taken; there was no room for them, or nobody took them in
// time; they were taken by somebody who says that they are wrong.
const (
	Exported = "exported"
	Dropped  = "dropped"
	Refused  = "refused"
)

// Attribute is one thing that is known; Value is a string or an int.
type Attribute struct {
	Key   string
	Value any
}

// Kind is what a span is seen from outside, by OTLP's numbers.
type Kind int

// The kinds.
const (
	Internal Kind = 1
	Server   Kind = 2
	Client   Kind = 3
)

// maxEvents is how many things that happened a span keeps.
const maxEvents = 128

// Tracer records spans. Make one with New. The nil Tracer records nothing; all methods may be
// called concurrently.
type Tracer struct {
	c     Config
	queue queue
}

// New makes a Tracer, which hands nothing on before Run.
func New(c Config) *Tracer {
	t := &Tracer{c: c}
	t.queue.room = make(chan struct{}, 1)
	t.queue.wake = func() {}
	return t
}

// identity is which trace and which span in it.
type identity struct {
	trace [16]byte
	span  [8]byte
}

// Span is something that takes time. The nil Span is of what nobody records; all methods may be
// called concurrently, and do nothing once it has ended.
type Span struct {
	tracer *Tracer
	kind   Kind
	identity
	parent [8]byte
	// remote: the parent is of another process; link is of a span that is none's parent.
	remote bool
	link   identity

	mu         sync.Mutex
	name       string
	began      time.Time
	end        time.Time
	attributes []Attribute
	events     []event
	lost       int
	failed     bool
}

type event struct {
	name       string
	at         time.Time
	attributes []Attribute
}

// spanKey is of the span of a context; a *Span that is nil there is of a trace that is not
// recorded.
type spanKey struct{}

// Of is the span of a context, or nil.
func Of(ctx context.Context) *Span {
	s, _ := ctx.Value(spanKey{}).(*Span)
	return s
}

// Begin begins a span: part of the one of the context, or where there is none the first of a
// trace.
func (t *Tracer) Begin(ctx context.Context, kind Kind, name string, attributes ...Attribute) (context.Context, *Span) {
	if t == nil {
		return ctx, nil
	}
	above, inside := ctx.Value(spanKey{}).(*Span)
	if inside && above == nil {
		return ctx, nil
	}
	s := &Span{tracer: t, kind: kind, name: name, attributes: attributes}
	if inside {
		s.trace, s.parent = above.trace, above.span
		return t.begin(ctx, s)
	}
	t.random(s.trace[:])
	if !t.c.Sampler.takes(s.trace) {
		s = nil
	}
	return t.begin(ctx, s)
}

// BeginRequest begins the span of a request that came in, with what it says of the trace that it
// is part of.
func (t *Tracer) BeginRequest(ctx context.Context, said http.Header, name string, attributes ...Attribute) (context.Context, *Span) {
	from, sampled, ok := parseParent(said)
	if t == nil || !ok {
		return t.Begin(ctx, Server, name, attributes...)
	}
	s := &Span{tracer: t, kind: Server, name: name, attributes: attributes}
	taken := false
	if t.c.Followed {
		s.trace, s.parent, s.remote = from.trace, from.span, true
		taken = t.c.Sampler.follows(from.trace, sampled)
	} else {
		t.random(s.trace[:])
		s.link = from
		taken = t.c.Sampler.takes(s.trace)
	}
	if !taken {
		s = nil
	}
	return t.begin(ctx, s)
}

func (t *Tracer) begin(ctx context.Context, s *Span) (context.Context, *Span) {
	if s != nil {
		t.random(s.span[:])
		s.began = t.c.Now()
	}
	return context.WithValue(ctx, spanKey{}, s), s
}

// random fills an id, which must not be zero.
func (t *Tracer) random(id []byte) {
	for {
		if _, err := io.ReadFull(t.c.Random, id); err != nil {
			id[0] = 1
		}
		if some(id) {
			return
		}
	}
}

// Set adds what is known by now.
func (s *Span) Set(more ...Attribute) {
	s.change(func() { s.attributes = append(s.attributes, more...) })
}

// Happened adds that something did.
func (s *Span) Happened(name string, attributes ...Attribute) {
	s.change(func() {
		if len(s.events) == maxEvents {
			s.lost++
			return
		}
		s.events = append(s.events, event{name, s.tracer.c.Now(), attributes})
	})
}

// Name gives it another name.
func (s *Span) Name(name string) { s.change(func() { s.name = name }) }

// Fail says that what it is of has failed.
func (s *Span) Fail() { s.change(func() { s.failed = true }) }

// End ends it. Only the first end counts.
func (s *Span) End() {
	ended := false
	s.change(func() { s.end, ended = s.tracer.c.Now(), true })
	if ended {
		s.tracer.add(s)
	}
}

func (s *Span) change(do func()) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.end.IsZero() {
		do()
	}
}

// Sampler says which traces are recorded, as the standard's samplers do
// (https://opentelemetry.io/docs/specs/otel/trace/sdk/#sampling).
type Sampler struct {
	// Share of those that begin here, from 0 to 1.
	Share float64
	// Parent: of a trace that is followed, what it says of itself counts in place of the share.
	Parent bool
}

// takes goes by the id alone, so that services with the same share take the same traces.
func (s Sampler) takes(trace [16]byte) bool {
	return s.Share >= 1 || float64(binary.BigEndian.Uint64(trace[8:])>>1) < s.Share*(1<<63)
}

func (s Sampler) follows(trace [16]byte, sampled bool) bool {
	if s.Parent {
		return sampled
	}
	return s.takes(trace)
}

// parseParent reads what a request says of the span above it: VERSION-TRACE-PARENT-FLAGS, to which
// later versions may add (https://www.w3.org/TR/trace-context/#versioning-of-traceparent). It counts
// where it is there once.
func parseParent(said http.Header) (from identity, sampled, ok bool) {
	values := said.Values("Traceparent")
	if len(values) != 1 || values[0] != strings.ToLower(values[0]) {
		return from, false, false
	}
	part := strings.SplitN(values[0], "-", 5)
	if len(part) < 4 || len(part) == 5 && part[0] == "00" || part[0] == "ff" {
		return from, false, false
	}
	var version, flags [1]byte
	for i, into := range [][]byte{version[:], from.trace[:], from.span[:], flags[:]} {
		if b, err := hex.DecodeString(part[i]); err != nil || len(b) != len(into) || copy(into, b) != len(into) {
			return identity{}, false, false
		}
	}
	if !some(from.trace[:]) || !some(from.span[:]) {
		return identity{}, false, false
	}
	return from, flags[0]&1 == 1, true
}

// some is whether an id is one: zero is none.
func some(id []byte) bool { return slices.ContainsFunc(id, func(b byte) bool { return b != 0 }) }
