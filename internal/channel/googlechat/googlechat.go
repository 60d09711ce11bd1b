// Package googlechat tells a space in Google Chat, by the webhook of that space: a card for
// each notice, and all of one request in a thread. Nothing is decided there.
//
// Facts of Google's: https://developers.google.com/workspace/chat/quickstart/webhooks,
// …/api/reference/rest/v1/spaces.messages/create, …/chat/limits.
package googlechat

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"jitaccess/internal/access"
	"jitaccess/internal/channel"
	"jitaccess/internal/notice"
)

// Channel is the name of this channel in an access.Receipt.
const Channel = "googlechat"

// Config is what a Space is made of.
type Config struct {
	// Webhook reads the address of the space's webhook, which is a secret; nil is that there
	// is none.
	Webhook func(context.Context) (string, error)
	// Writer writes notices, for chats.
	Writer notice.Writer
	// Endpoint replaces the address's scheme and host; empty does not.
	Endpoint string
	// Client follows no redirects.
	Client *http.Client
	Now    func() time.Time
	Sleep  func(context.Context, time.Duration) error
}

// Space implements broker.Notifier. Make one with New; it may be used concurrently.
type Space struct {
	c       Config
	webhook channel.Kept
	caller  channel.Caller
	history notice.History

	pace *rate.Limiter
}

// Google takes 60 messages a minute in a space, of all its apps together: these are as many
// within any minute.
// https://developers.google.com/workspace/chat/limits
const (
	perMinute = 50
	atOnce    = 10
)

// New makes a Space, without making a call.
func New(c Config) *Space {
	return &Space{c: c, webhook: channel.Kept{Read: c.Webhook, Now: c.Now}, pace: rate.NewLimiter(rate.Limit(perMinute)/60, atOnce),
		caller: channel.Caller{Service: "Google Chat", Client: c.Client, Refusal: refusal, Table: explanations, Now: c.Now, Sleep: c.Sleep}}
}

// Enabled is whether there is one.
func (s *Space) Enabled() bool { return s.c.Webhook != nil }

// Channels is the space, if there is one.
func (s *Space) Channels() []access.Channel {
	if !s.Enabled() {
		return nil
	}
	return []access.Channel{{Name: Channel, People: true, Everything: true}}
}

// Name is that of the channel.
func (s *Space) Name() string { return Channel }

// Recent is what this instance has lately tried to send; see notice.History.
func (s *Space) Recent() []notice.Attempt { return s.history.Recent() }

// Notify posts one card, in the thread of its request. It is for nobody in particular, so To
// is empty in the receipt; Ref is the message's name. What is personal is not told
// (channel.Personal).
func (s *Space) Notify(ctx context.Context, n access.Notice) access.Receipts {
	if channel.Personal(n) {
		return nil
	}
	began := s.c.Now()
	receipt := access.Receipt{Channel: Channel}
	facts, err := s.c.Writer.Write(n)
	if err == nil {
		receipt.Ref, err = s.post(ctx, compose(facts, n.Request.ID), n.ID)
	}
	receipt.Err = err
	s.history.Add(n.Kind, access.Receipts{receipt}, began, s.c.Now(), channel.Failure)
	return access.Receipts{receipt}
}

// post posts a message; id is the same each time that it is posted again, and Google then
// answers with the first.
func (s *Space) post(ctx context.Context, m message, id string) (name string, err error) {
	kept, err := s.webhook.Get(ctx)
	if err != nil {
		return "", s.caller.NoSecret(err)
	}
	if err := s.caller.Turn(ctx, s.pace); err != nil {
		return "", err
	}
	address, secrets, err := s.address(kept, id)
	if err != nil {
		return "", s.caller.NoSecret(err)
	}
	answer, err := s.caller.Call(ctx, channel.Post(address, m), secrets...)
	if err != nil {
		return "", err
	}
	var created struct{ Name string }
	if !answer.JSON(&created) || created.Name == "" {
		return "", s.caller.Broken(answer, secrets...)
	}
	return created.Name, nil
}

// path is that of a webhook of a space.
var path = regexp.MustCompile(`^/v1/spaces/[A-Za-z0-9_-]+/messages$`)

// address is where to post, and what of it is secret.
func (s *Space) address(webhook, id string) (address string, secrets []string, err error) {
	u, err := url.Parse(strings.TrimSpace(webhook))
	if err != nil || u.Scheme != "https" || u.User != nil || !path.MatchString(u.Path) {
		return "", nil, errors.New("what is kept is no address of a webhook of a space")
	}
	query := u.Query()
	secrets = []string{webhook, query.Get("key"), query.Get("token")}
	// Without it the thread would be another each time.
	query.Set("messageReplyOption", "REPLY_MESSAGE_FALLBACK_TO_NEW_THREAD")
	if id != "" {
		query.Set("requestId", id)
	}
	origin := "https://" + u.Host
	if s.c.Endpoint != "" {
		origin = s.c.Endpoint
	}
	return origin + u.Path + "?" + query.Encode(), secrets, nil
}

// Probe reads the address of the webhook anew. It sends nothing: whether a webhook is good is
// only seen when something is sent.
func (s *Space) Probe(ctx context.Context, passed func(name, text string)) error {
	kept, err := s.webhook.Fresh(ctx)
	if err == nil {
		_, _, err = s.address(kept, "")
	}
	if err != nil {
		return s.caller.NoSecret(err)
	}
	passed("secret", "the address of the webhook could be read; whether Google takes messages there is seen by a test message")
	return nil
}

// Test sends a test message, and returns its steps; only the last may have failed.
func (s *Space) Test(ctx context.Context, _ access.Principal) (steps []notice.Step) {
	began := s.c.Now()
	name, err := "secret", s.Probe(ctx, func(name, text string) { steps = append(steps, notice.Step{Name: name, Text: text}) })
	if err == nil {
		l, id := s.c.Writer.Language, "test-"+strings.ToLower(rand.Text())
		facts := notice.Facts{BriefHeading: l.Text("notice.chat.test"), Brief: l.Text("notice.chat.test.text")}
		var sent string
		if name = "message"; err == nil {
			sent, err = s.post(ctx, compose(facts, id), id)
		}
		if err == nil {
			steps = append(steps, notice.Step{Name: name, Text: "Google Chat took it, as " + access.Visible(access.Clip(sent, 200))})
		}
	}
	s.history.Add(notice.TestMessage, access.Receipts{{Channel: Channel, Err: err}}, began, s.c.Now(), channel.Failure)
	return channel.Steps(steps, name, err)
}
