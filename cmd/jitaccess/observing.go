package main

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/metrics"
	"jitaccess/internal/outbound"
	"jitaccess/internal/passkey"
	"jitaccess/internal/tracing"
)

// observing counts and traces what the service does. What it tells has no name of a person, a
// project or a role: see docs/metrics.md and docs/traces.md.
type observing struct {
	metrics *metrics.Service // nil where nobody reads them
	traces  *tracing.Tracer  // nil where nothing is traced
	now     func() time.Time
}

// idle is whether nobody wants to know.
func (o *observing) idle() bool { return o == nil || o.metrics == nil && o.traces == nil }

// calls has calls to others observed that are made with the context.
func (o *observing) calls(ctx context.Context) context.Context {
	if o.idle() {
		return ctx
	}
	return outbound.WithObserver(ctx, func(ctx context.Context, api, what string) func(int) {
		began := o.now()
		_, span := o.traces.Begin(ctx, tracing.Client, api+" "+what, tracing.Attribute{Key: attributeAPI, Value: api},
			tracing.Attribute{Key: attributeCall, Value: what})
		return func(status int) {
			if o.metrics != nil {
				o.metrics.Call(api, status, o.now().Sub(began))
			}
			span.Set(tracing.Attribute{Key: attributeStatus, Value: status})
			if status == outbound.NoAnswer || status >= http.StatusBadRequest {
				span.Fail()
			}
			span.End()
		}
	})
}

// The attributes of spans; docs/traces.md says what they are.
const (
	attributeAPI      = "jitaccess.api"
	attributeCall     = "jitaccess.call"
	attributeStatus   = "jitaccess.status"
	attributeError    = "error.type"
	attributeKind     = "jitaccess.kind"
	attributeIncident = "jitaccess.incident"
	attributeMethod   = "http.request.method"
	attributeRoute    = "http.route"
	attributeAnswer   = "http.response.status_code"
)

// request is for server.Config.Observe; nil where nobody wants to know.
func (o *observing) request() func(*http.Request) (context.Context, func(route string, status int)) {
	if o.idle() {
		return nil
	}
	return func(r *http.Request) (context.Context, func(string, int)) {
		began := o.now()
		method := metrics.Method(r.Method)
		ctx, span := o.traces.BeginRequest(r.Context(), r.Header, method, tracing.Attribute{Key: attributeMethod, Value: method})
		return o.calls(ctx), func(route string, status int) {
			if o.metrics != nil {
				o.metrics.HTTP(method, route, status, o.now().Sub(began))
			}
			if route != "" {
				span.Name(method + " " + route)
				span.Set(tracing.Attribute{Key: attributeRoute, Value: route})
			}
			span.Set(tracing.Attribute{Key: attributeAnswer, Value: status})
			if status >= http.StatusInternalServerError {
				span.Set(tracing.Attribute{Key: attributeError, Value: strconv.Itoa(status)})
				span.Fail()
			}
			span.End()
		}
	}
}

// incident marks the span of a request with the id that a refusal shows to the person.
func (o *observing) incident(then func(context.Context, string) context.Context) func(context.Context, string) context.Context {
	return func(ctx context.Context, id string) context.Context {
		tracing.Of(ctx).Set(tracing.Attribute{Key: attributeIncident, Value: id})
		return then(ctx, id)
	}
}

// doing begins something that the service does, and returns what is told when it has been done.
func (o *observing) doing(ctx context.Context, name string) (context.Context, func(*error)) {
	if o.idle() {
		return ctx, func(*error) {}
	}
	ctx, span := o.traces.Begin(ctx, tracing.Internal, name)
	return o.calls(ctx), func(err *error) {
		if own := access.AsError(*err); own != nil {
			span.Set(tracing.Attribute{Key: attributeError, Value: string(own.Code)})
			if slices.Contains(broken, own.Kind) {
				span.Fail()
			}
		}
		span.End()
	}
}

// broken are the kinds of errors for which nobody is at fault who asks.
var broken = []access.Kind{access.Upstream, access.Unavailable, access.TimedOut, access.Internal}

// journal has events observed once they are recorded.
func (o *observing) journal(j broker.Journal) broker.Journal {
	if o.idle() {
		return j
	}
	return observedJournal{j, o}
}

type observedJournal struct {
	broker.Journal
	*observing
}

func (j observedJournal) Record(ctx context.Context, e access.Event) error {
	err := j.Journal.Record(ctx, e)
	if err != nil {
		return err
	}
	if j.metrics != nil {
		j.metrics.Event(e)
	}
	var about []tracing.Attribute
	if e.Request.Kind != "" {
		about = append(about, tracing.Attribute{Key: attributeKind, Value: string(e.Request.Kind)})
	}
	if own := access.AsError(e.Err); own != nil {
		about = append(about, tracing.Attribute{Key: attributeError, Value: string(own.Code)})
	}
	tracing.Of(ctx).Happened(string(e.Action), about...)
	return nil
}

// observedBroker is a Broker of which each action that changes something is observed.
type observedBroker struct {
	*broker.Broker
	o *observing
}

func (b observedBroker) Ask(ctx context.Context, caller access.Caller, a broker.Ask) (asked broker.Asked, err error) {
	ctx, done := b.o.doing(ctx, "ask")
	defer done(&err)
	return b.Broker.Ask(ctx, caller, a)
}

func (b observedBroker) AskFor(ctx context.Context, caller access.Caller, a broker.AskFor) (asked broker.Asked, err error) {
	ctx, done := b.o.doing(ctx, "ask for")
	defer done(&err)
	return b.Broker.AskFor(ctx, caller, a)
}

func (b observedBroker) AddReviewers(ctx context.Context, caller access.Caller, a broker.AddReviewers) (asked broker.Asked, err error) {
	ctx, done := b.o.doing(ctx, "add reviewers")
	defer done(&err)
	return b.Broker.AddReviewers(ctx, caller, a)
}

func (b observedBroker) Decide(ctx context.Context, caller access.Caller, d broker.Decide) (decided broker.Decided, err error) {
	ctx, done := b.o.doing(ctx, "decide")
	defer done(&err)
	return b.Broker.Decide(ctx, caller, d)
}

func (b observedBroker) End(ctx context.Context, caller access.Caller, on access.Resource, id string, of access.Principal) (
	ended broker.Ended, err error) {
	ctx, done := b.o.doing(ctx, "end")
	defer done(&err)
	return b.Broker.End(ctx, caller, on, id, of)
}

func (b observedBroker) Withdraw(ctx context.Context, caller access.Caller, id, origin string) (
	r access.Request, warnings []*access.Error, err error) {
	ctx, done := b.o.doing(ctx, "withdraw")
	defer done(&err)
	return b.Broker.Withdraw(ctx, caller, id, origin)
}

func (b observedBroker) ReviewGlass(ctx context.Context, caller access.Caller, id, comment, origin string) (
	r access.Request, warnings []*access.Error, err error) {
	ctx, done := b.o.doing(ctx, "review glass")
	defer done(&err)
	return b.Broker.ReviewGlass(ctx, caller, id, comment, origin)
}

func (b observedBroker) Enrol(ctx context.Context, caller access.Caller, name string, made passkey.Creation) (
	key access.Passkey, warnings []*access.Error, err error) {
	ctx, done := b.o.doing(ctx, "enrol passkey")
	defer done(&err)
	return b.Broker.Enrol(ctx, caller, name, made)
}

func (b observedBroker) ApprovePasskey(ctx context.Context, caller access.Caller, of access.Principal, id string) (
	warnings []*access.Error, err error) {
	ctx, done := b.o.doing(ctx, "approve passkey")
	defer done(&err)
	return b.Broker.ApprovePasskey(ctx, caller, of, id)
}

func (b observedBroker) RemovePasskey(ctx context.Context, caller access.Caller, of access.Principal, id string) (
	warnings []*access.Error, err error) {
	ctx, done := b.o.doing(ctx, "remove passkey")
	defer done(&err)
	return b.Broker.RemovePasskey(ctx, caller, of, id)
}

func (b observedBroker) ChangeApplication(ctx context.Context, caller access.Caller, did access.Action, c access.ApplicationChange,
	keep func(context.Context, ...access.Notice) error) (warnings []*access.Error, err error) {
	ctx, done := b.o.doing(ctx, "change application")
	defer done(&err)
	return b.Broker.ChangeApplication(ctx, caller, did, c, keep)
}

func (b observedBroker) Bounced(ctx context.Context, id string, came access.Bounce) (known bool, err error) {
	ctx, done := b.o.doing(ctx, "take in a bounce")
	defer done(&err)
	return b.Broker.Bounced(ctx, id, came)
}

func (b observedBroker) Sweep(ctx context.Context, most int) (swept broker.Swept, err error) {
	ctx, done := b.o.doing(ctx, "sweep")
	defer done(&err)
	return b.Broker.Sweep(ctx, most)
}

func (b observedBroker) Survey(ctx context.Context, most int) (surveyed broker.Surveyed, err error) {
	ctx, done := b.o.doing(ctx, "survey")
	defer done(&err)
	return b.Broker.Survey(ctx, most)
}

func (b observedBroker) ReconcileStep(ctx context.Context, most int) (ended *access.Round, err error) {
	ctx, done := b.o.doing(ctx, "reconcile")
	defer done(&err)
	return b.Broker.ReconcileStep(ctx, most)
}
