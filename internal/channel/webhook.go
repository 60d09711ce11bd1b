package channel

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"jitaccess/internal/access"
	"jitaccess/internal/notice"
)

// Config is what a Webhook is made of.
type Config struct {
	// Read reads what is kept: addresses, and what else the vendor's Targets takes, which are
	// secrets. Nil is that there is none. Its errors hold nothing of it.
	Read func(context.Context) (string, error)
	// Writer writes notices, for chats.
	Writer notice.Writer
	// Endpoint replaces scheme and host of the address; empty does not.
	Endpoint string
	// Client follows no redirects.
	Client *http.Client
	Now    func() time.Time
	Sleep  func(context.Context, time.Duration) error
}

// Vendor is what differs from one Webhook to another: how a notice looks, where it is posted, and
// what answers mean.
type Vendor struct {
	// Channel is what it is to the broker.
	Channel access.Channel
	// Service is what people call it.
	Service string
	// Targets are those to whom is posted, by what is kept (Config.Read). Its errors hold nothing
	// of that.
	Targets func(kept string) ([]Target, error)
	// Compose lays a notice, or one of the kind notice.TestMessage, out for JSON; nil is that it is
	// not told there.
	Compose func(n access.Notice) (any, error)
	// Refusal and Table are as in Caller.
	Refusal func(Answer) string
	Table   []Explanation
	// Ref is the name of what was taken, which was posted by an id; false where the answer lacks
	// what it must have.
	Ref func(a Answer, id string) (string, bool)
	// Taken is the step of a test in which a message was taken.
	Taken func(t Target, a Answer) notice.Step
	// PerMinute and AtOnce are how many messages are posted to a target at most; 0 is any number.
	PerMinute, AtOnce int
	// Patience bounds one call; 0 is 5 seconds.
	Patience time.Duration
	// Final is the code of a refusal after which a target gets nothing more until it takes a test
	// message, or the process ends; empty is none.
	Final string
}

// Target is one to whom is posted.
type Target struct {
	URL *url.URL
	// Name is what people call it; empty is Vendor.Service.
	Name string
	// Secrets are what of it is told nowhere.
	Secrets []string
	// Complete adds what it wants of the request in which a body is posted by an id, which is the
	// same each time that it is posted again; at is the time of this attempt. May be nil.
	Complete func(r *http.Request, id string, at time.Time, body []byte)
}

// Webhook tells by posting to addresses that an operator was given. It implements broker.Notifier.
// Make one with NewWebhook; it may be used concurrently.
type Webhook struct {
	c       Config
	v       Vendor
	targets Kept[[]Target]
	history notice.History

	mutex sync.Mutex
	// ends are those to whom was posted, by address.
	ends map[string]*end
}

// end is what this instance knows of a target.
type end struct {
	caller Caller
	pace   *rate.Limiter
	over   bool // see Vendor.Final
}

// NewWebhook makes a Webhook, without making a call.
func NewWebhook(c Config, v Vendor) *Webhook {
	read := func(ctx context.Context) ([]Target, error) {
		kept, err := c.Read(ctx)
		if err != nil {
			return nil, err
		}
		return v.Targets(kept)
	}
	return &Webhook{c: c, v: v, ends: map[string]*end{}, targets: Kept[[]Target]{Now: c.Now, Read: read}}
}

// Enabled is whether there is one.
func (w *Webhook) Enabled() bool { return w.c.Read != nil }

// Channels is it, if there is one.
func (w *Webhook) Channels() []access.Channel {
	if !w.Enabled() {
		return nil
	}
	return []access.Channel{w.v.Channel}
}

// Name is that of the channel.
func (w *Webhook) Name() string { return w.v.Channel.Name }

// Recent is what this instance has lately tried to send; see notice.History.
func (w *Webhook) Recent() []notice.Attempt { return w.history.Recent() }

// Notify posts one message to each target, to all at the same time. It is for nobody in particular,
// so To is empty in the receipt. What one of them did not take is posted to all again by the same
// id. There is no receipt where nobody is told: of what is not told there, and where all have said
// that they want no more.
func (w *Webhook) Notify(ctx context.Context, n access.Notice) access.Receipts {
	began := w.c.Now()
	n.ID = cmp.Or(n.ID, rand.Text()) // where nothing keeps it, nobody sends it again
	body, err := w.v.Compose(n)
	if body == nil && err == nil {
		return nil
	}
	var all []posted
	if err == nil {
		all, err = w.post(ctx, n.ID, body, w.over)
	}
	if len(all) == 0 && err == nil {
		return nil
	}
	receipts := access.Receipts{{Channel: w.Name(), Err: err}}
	for _, p := range all {
		receipts[0].Ref, receipts[0].Err = cmp.Or(receipts[0].Ref, p.ref), errors.Join(receipts[0].Err, p.err)
	}
	w.record(n.Kind, all, err, began)
	return receipts
}

// record keeps for administrators what became of a message; err is that it could be posted to nobody.
func (w *Webhook) record(kind access.NoticeKind, all []posted, err error, began time.Time) {
	attempts := access.Each(all, func(p posted) access.Receipt { return access.Receipt{Channel: w.Name(), Err: p.err} })
	if err != nil {
		attempts = access.Receipts{{Channel: w.Name(), Err: err}}
	}
	w.history.Add(kind, attempts, began, w.c.Now(), Failure)
}

// posted is what became of posting to a target.
type posted struct {
	to     Target
	answer Answer
	ref    string
	err    error
}

// post posts to all targets but those left out. The error is that there are none that could be read.
func (w *Webhook) post(ctx context.Context, id string, body any, out func(Target) bool) ([]posted, error) {
	targets, err := w.targets.Get(ctx)
	if err != nil {
		return nil, w.noSecret(err)
	}
	text, err := encoded(body)
	if err != nil {
		return nil, err
	}
	targets = slices.DeleteFunc(slices.Clone(targets), out)
	all := make([]posted, len(targets))
	var calls sync.WaitGroup
	for i, t := range targets {
		calls.Go(func() {
			all[i] = posted{to: t}
			all[i].answer, all[i].ref, all[i].err = w.postTo(ctx, t, id, text)
		})
	}
	calls.Wait()
	return all, nil
}

func (w *Webhook) postTo(ctx context.Context, t Target, id string, body []byte) (Answer, string, error) {
	e := w.end(t)
	if e.pace != nil {
		if err := e.caller.Turn(ctx, e.pace); err != nil {
			return Answer{}, "", err
		}
	}
	answer, err := e.caller.Call(ctx, func(ctx context.Context) (*http.Request, error) {
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, t.URL.String(), bytes.NewReader(body))
		if err != nil {
			return nil, errors.New("the address is none")
		}
		request.Header.Set("Content-Type", jsonType)
		if t.Complete != nil {
			t.Complete(request, id, w.c.Now(), body)
		}
		return request, nil
	}, t.Secrets...)
	w.mutex.Lock()
	e.over = err != nil && (e.over || CodeOf(err) != "" && CodeOf(err) == w.v.Final)
	w.mutex.Unlock()
	if err != nil {
		return answer, "", err
	}
	ref, ok := w.v.Ref(answer, id)
	if !ok {
		return answer, "", e.caller.Broken(answer, t.Secrets...)
	}
	return answer, ref, nil
}

// end is what is known of a target.
func (w *Webhook) end(t Target) *end {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	address := t.URL.String()
	e := w.ends[address]
	if e == nil {
		e = &end{caller: Caller{Service: cmp.Or(t.Name, w.v.Service), Client: w.c.Client, Refusal: w.v.Refusal, Table: w.v.Table,
			Patience: w.v.Patience, Now: w.c.Now, Sleep: w.c.Sleep}}
		if w.v.PerMinute > 0 {
			e.pace = rate.NewLimiter(rate.Limit(w.v.PerMinute)/60, w.v.AtOnce)
		}
		w.ends[address] = e
	}
	return e
}

func (w *Webhook) over(t Target) bool {
	e := w.end(t)
	w.mutex.Lock()
	defer w.mutex.Unlock()
	return e.over
}

func (w *Webhook) noSecret(err error) error {
	return (&Caller{Service: w.v.Service, Table: w.v.Table}).NoSecret(err)
}

// Probe reads anew where it posts, and signs by. It sends nothing: whether messages are taken is only seen
// when one is sent.
func (w *Webhook) Probe(ctx context.Context, passed func(name, text string)) error {
	targets, err := w.targets.Fresh(ctx)
	if err != nil {
		return w.noSecret(err)
	}
	passed("secret", fmt.Sprintf("where to could be read: %s; whether messages are taken there is seen by a test message",
		strings.Join(w.names(targets), ", ")))
	return nil
}

// Listening are the hosts to which it posts, as far as that was read already, and which of them want
// no more.
func (w *Webhook) Listening() []string { return w.names(w.targets.Known()) }

func (w *Webhook) names(targets []Target) []string {
	return access.Each(targets, func(t Target) string {
		if w.over(t) {
			return t.URL.Host + " (answered " + w.v.Final + " and gets no more)"
		}
		return t.URL.Host
	})
}

// Test sends a test message to each target, also to those that wanted no more, and returns its steps;
// those that failed are the last.
func (w *Webhook) Test(ctx context.Context, _ access.Principal) (steps []notice.Step) {
	began, id := w.c.Now(), "test-"+strings.ToLower(rand.Text())
	name, err := "secret", w.Probe(ctx, func(name, text string) { steps = append(steps, notice.Step{Name: name, Text: text}) })
	var body any
	var all []posted
	if err == nil {
		name = "message"
		if body, err = w.v.Compose(access.Notice{ID: id, Kind: notice.TestMessage, At: began}); err == nil {
			all, err = w.post(ctx, id, body, func(Target) bool { return false })
		}
	}
	var failed []notice.Step
	for _, p := range all {
		if p.err != nil {
			failed = Steps(failed, name, p.err)
		} else {
			steps = append(steps, w.v.Taken(p.to, p.answer))
		}
	}
	w.record(notice.TestMessage, all, err, began)
	return append(Steps(steps, name, err), failed...)
}

// At is an address with scheme and host of an endpoint, if there is one (Config.Endpoint).
func At(u *url.URL, endpoint string) *url.URL {
	if in, err := url.Parse(endpoint); err == nil && in.Host != "" {
		u.Scheme, u.Host = in.Scheme, in.Host
	}
	return u
}

// jsonType is the type of all that is posted, unless a target wants another.
const jsonType = "application/json; charset=utf-8"

// encoded is a body as it is sent: marks of HTML stand in it as they are.
func encoded(body any) ([]byte, error) {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	if err := e.Encode(body); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(text.Bytes(), []byte("\n")), nil
}

// Chat composes messages for a chat in which others read along: nothing personal, and what lay makes of
// the facts, with the id by which what is told of one request belongs together.
func Chat(w notice.Writer, lay func(f notice.Facts, thread string) any) func(access.Notice) (any, error) {
	return func(n access.Notice) (any, error) {
		if Personal(n) {
			return nil, nil
		}
		facts, err := w.Write(n)
		if err != nil {
			return nil, err
		}
		return lay(facts, cmp.Or(n.Request.ID, n.ID)), nil
	}
}
