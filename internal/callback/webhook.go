package callback

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/outbound"
)

// Webhooks is the name of the channel of everything, in an access.Receipt and in notify: of a rule.
const Webhooks = "webhook"

// Webhook tells programs of everything that happens to requests, at the addresses that an
// operator names. It implements broker.Notifier, and is a channel that tells of everything.
type Webhook struct {
	// Targets are where to and with which keys, of now; nil is that nobody is told.
	Targets func(ctx context.Context) ([]Target, error)
	Sender  Sender

	mu sync.Mutex
	// gone are the URLs that answered 410: nobody wants to hear there any more.
	gone map[string]bool
}

// Channels is the one that it is.
func (w *Webhook) Channels() []access.Channel {
	if w.Targets == nil {
		return nil
	}
	return []access.Channel{{Name: Webhooks, Everything: true}}
}

// Notify sends one message to each URL, all at the same time. What failed at one of them is sent
// to all again, by the same id: whoever has it ignores it. A kind of notice that no type stands
// for is sent to nobody.
func (w *Webhook) Notify(ctx context.Context, n access.Notice) access.Receipts {
	kind := typeOf(n)
	if kind == "" {
		return nil
	}
	if n.ID == "" { // nothing keeps it, and nobody sends it again
		n.ID = rand.Text()
	}
	body, err := event(kind, n)
	if err == nil {
		err = w.send(ctx, n.ID, body)
	}
	return access.Receipts{{Channel: Webhooks, Ref: n.ID, Err: err}}
}

// Test sends a message of the type "test" to each URL.
func (w *Webhook) Test(ctx context.Context) error {
	body, err := json.Marshal(message{Type: "test", Timestamp: w.Sender.Now().UTC(), Version: bodyVersion, Data: data{}})
	if err != nil {
		return err
	}
	return w.send(ctx, rand.Text(), body)
}

// send sends to each URL. The errors name hosts alone: a path may be a secret.
func (w *Webhook) send(ctx context.Context, id string, body []byte) error {
	targets, err := w.Targets(ctx)
	if err != nil {
		return fmt.Errorf("where webhooks go cannot be read: %w", err)
	}
	failed := make([]error, len(targets))
	var calls sync.WaitGroup
	for i, target := range targets {
		if w.Gone(target.URL) {
			continue
		}
		calls.Go(func() {
			to := target.URL
			err := w.Sender.Send(ctx, Message{ID: id, URL: to, Body: body, Keys: target.Keys})
			if errors.Is(err, ErrGone) {
				w.mu.Lock()
				defer w.mu.Unlock()
				if w.gone == nil {
					w.gone = map[string]bool{}
				}
				w.gone[to] = true
			}
			if err != nil {
				failed[i] = fmt.Errorf("%s: %w", host(to), outbound.WithoutAddress(err))
			}
		})
	}
	calls.Wait()
	return errors.Join(failed...)
}

// Target is one who listens. Keys sign what they get, the newest first; at least one.
type Target struct {
	URL  string
	Keys [][]byte
}

// Gone is whether a URL answered that nobody wants to hear there any more. It is sent nothing
// then for as long as the process lives.
func (w *Webhook) Gone(to string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.gone[to]
}

func host(to string) string {
	u, err := url.Parse(to)
	if err != nil {
		return "an address"
	}
	return u.Host
}

// ParseTargets reads who listens: addresses with commas between them, and their keys, a comma
// between those of two addresses, spaces between those of one, the newest first. An address is
// https; on loopback, where local, http too. A key is whsec_ and base64 of 24 to 64 bytes, as
// Standard Webhooks has it. No error repeats any of it.
func ParseTargets(addresses, keys string, local bool) ([]Target, error) {
	urls, groups := strings.Split(addresses, ","), strings.Split(keys, ",")
	if len(groups) != len(urls) {
		return nil, fmt.Errorf("there are keys for %d addresses, and %d addresses", len(groups), len(urls))
	}
	targets := make([]Target, len(urls))
	for i, text := range urls {
		t := Target{URL: strings.TrimSpace(text)}
		if err := parseURL(t.URL, local); err != nil {
			return nil, fmt.Errorf("address %d %w", i+1, err)
		}
		for _, each := range strings.Fields(groups[i]) {
			encoded, ok := strings.CutPrefix(each, "whsec_")
			key, err := base64.StdEncoding.DecodeString(encoded)
			if !ok || err != nil || len(key) < 24 || len(key) > 64 {
				return nil, fmt.Errorf("key %d of address %d is not whsec_ and base64 of 24 to 64 bytes", len(t.Keys)+1, i+1)
			}
			t.Keys = append(t.Keys, key)
		}
		if len(t.Keys) == 0 {
			return nil, fmt.Errorf("address %d has no key", i+1)
		}
		targets[i] = t
	}
	return targets, nil
}

func parseURL(text string, local bool) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Opaque != "":
		return errors.New("is no URL")
	case u.User != nil || u.Fragment != "":
		return errors.New("has a user or a fragment")
	case u.Scheme == "https" || u.Scheme == "http" && local:
		return nil
	}
	return errors.New("is not https")
}

// bodyVersion is of the bodies that are sent; see docs/openapi.yaml.
const bodyVersion = 1

// message is what is sent. Members may be added, and none changes what it means, within a version.
type message struct {
	Type      string    `json:"type"`
	Timestamp time.Time `json:"timestamp"`
	Version   int       `json:"version"`
	Data      data      `json:"data"`
}

// data says of which request it is, and little else: whoever wants to know more asks, as
// somebody who may.
type data struct {
	ID          string     `json:"id,omitempty"`
	Requester   string     `json:"requester,omitempty"`
	Resource    string     `json:"resource,omitempty"`
	Roles       []string   `json:"roles,omitempty"`
	Application string     `json:"application,omitempty"`
	Reviewers   []string   `json:"reviewers,omitempty"`
	By          string     `json:"by,omitempty"`
	Start       *time.Time `json:"start,omitempty"`
	End         *time.Time `json:"end,omitempty"`
	URL         string     `json:"url,omitempty"`
}

// typeOf names what a notice is of; empty for what is not told.
func typeOf(n access.Notice) string {
	switch n.Kind {
	case access.NoticeReview:
		if n.Did == access.ReviewersAdded {
			return "request.reviewers_added"
		}
		return "request.made"
	case access.NoticeApproved, access.NoticeSelfApproved:
		return "request.granted"
	case access.NoticeDenied:
		return "request.denied"
	case access.NoticeWithdrawn:
		return "request.withdrawn"
	case access.NoticeEnding:
		return "grant.expiring"
	case access.NoticeEnded:
		return "grant.ended"
	case access.NoticeGlass:
		return "glass.broken"
	case access.NoticeGlassReviewed:
		return "glass.reviewed"
	case access.NoticeBounced:
		return "mail.bounced"
	case access.NoticeHappened:
		return happened[n.Did]
	}
	return ""
}

var happened = map[access.Action]string{
	access.RequestApproved: "request.approved", // one of several
	access.RequestLapsed:   "request.lapsed",
	access.GrantFailed:     "request.failed",
	access.GrantEnded:      "grant.ended",
	access.GrantExpired:    "grant.ended",
}

func event(kind string, n access.Notice) ([]byte, error) {
	r := n.Request
	d := data{ID: r.ID, Requester: string(r.Principal), Resource: string(r.Resource), Application: r.Asking.Application,
		By: by(n), URL: n.ReviewURL}
	for _, e := range r.Entitlements {
		d.Roles = append(d.Roles, string(e.Role))
	}
	for _, p := range r.Reviewers {
		d.Reviewers = append(d.Reviewers, string(p))
	}
	if !n.Window.IsZero() {
		d.Start, d.End = new(n.Window.Start.UTC()), new(n.Window.End.UTC())
	}
	return json.Marshal(message{kind, n.At.UTC(), bodyVersion, d})
}

// by is who did it; nobody for what happens by itself.
func by(n access.Notice) string {
	switch {
	case n.By != "":
		return string(n.By)
	case n.Decision.By != "":
		return string(n.Decision.By)
	case n.Kind == access.NoticeReview || n.Kind == access.NoticeSelfApproved || n.Kind == access.NoticeGlass:
		return string(n.Request.Principal)
	}
	return ""
}
