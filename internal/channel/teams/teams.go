// Package teams tells a channel or a chat in Microsoft Teams, by a workflow that is started by a
// webhook: a card for each notice. Nothing is decided there. What the workflow does with
// what it took, nobody here learns.
//
// Facts of Microsoft's: https://support.microsoft.com/office/create-incoming-webhooks-with-workflows-for-microsoft-teams,
// https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using.
package teams

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/channel"
	"jitaccess/internal/loopback"
	"jitaccess/internal/notice"
)

// Channel is the name of this channel in an access.Receipt.
const Channel = "teams"

// Config is what a Workflow is made of.
type Config struct {
	// Webhook reads the address that starts the workflow, which is a secret; nil is that there
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

// Workflow implements broker.Notifier. Make one with New; it may be used concurrently.
type Workflow struct {
	c       Config
	webhook channel.Kept
	caller  channel.Caller
	history notice.History
}

// New makes a Workflow, without making a call.
func New(c Config) *Workflow {
	return &Workflow{c: c, webhook: channel.Kept{Read: c.Webhook, Now: c.Now},
		caller: channel.Caller{Service: "Microsoft Teams", Client: c.Client, Refusal: refusal, Table: explanations, Now: c.Now, Sleep: c.Sleep}}
}

// Enabled is whether there is one.
func (w *Workflow) Enabled() bool { return w.c.Webhook != nil }

// Channels is the workflow, if there is one.
func (w *Workflow) Channels() []access.Channel {
	if !w.Enabled() {
		return nil
	}
	return []access.Channel{{Name: Channel, People: true, Everything: true}}
}

// Name is that of the channel.
func (w *Workflow) Name() string { return Channel }

// Recent is what this instance has lately tried to send; see notice.History.
func (w *Workflow) Recent() []notice.Attempt { return w.history.Recent() }

// Notify hands one card to the workflow. It is for nobody in particular, so To is empty in the
// receipt, and it has no name. What is personal is not told
// (channel.Personal).
func (w *Workflow) Notify(ctx context.Context, n access.Notice) access.Receipts {
	if channel.Personal(n) {
		return nil
	}
	began := w.c.Now()
	facts, err := w.c.Writer.Write(n)
	if err == nil {
		err = w.post(ctx, compose(facts))
	}
	receipts := access.Receipts{{Channel: Channel, Err: err}}
	w.history.Add(n.Kind, receipts, began, w.c.Now(), channel.Failure)
	return receipts
}

func (w *Workflow) post(ctx context.Context, m message) error {
	kept, err := w.webhook.Get(ctx)
	if err != nil {
		return w.caller.NoSecret(err)
	}
	address, secrets, err := w.address(kept)
	if err != nil {
		return w.caller.NoSecret(err)
	}
	_, err = w.caller.Call(ctx, channel.Post(address, m), secrets...)
	return err
}

// address is where to post, and what of it is secret.
func (w *Workflow) address(webhook string) (address string, secrets []string, err error) {
	u, err := url.Parse(strings.TrimSpace(webhook))
	local := err == nil && u.Scheme == "http" && loopback.Is(u.Hostname())
	if err != nil || u.Scheme != "https" && !local || u.Host == "" || u.User != nil {
		return "", nil, errors.New("what is kept is no https address of a workflow")
	}
	secrets = []string{webhook, u.Query().Get("sig")}
	if w.c.Endpoint != "" {
		return w.c.Endpoint + u.EscapedPath() + "?" + u.RawQuery, secrets, nil
	}
	return u.String(), secrets, nil
}

// Probe reads the address anew. It sends nothing: whether a workflow takes messages is only
// seen when something is sent.
func (w *Workflow) Probe(ctx context.Context, passed func(name, text string)) error {
	kept, err := w.webhook.Fresh(ctx)
	if err == nil {
		_, _, err = w.address(kept)
	}
	if err != nil {
		return w.caller.NoSecret(err)
	}
	passed("secret", "the address of the workflow could be read; whether Teams takes messages there is seen by a test message")
	return nil
}

// Test sends a test message, and returns its steps; only the last may have failed.
func (w *Workflow) Test(ctx context.Context, _ access.Principal) (steps []notice.Step) {
	began := w.c.Now()
	name, err := "secret", w.Probe(ctx, func(name, text string) { steps = append(steps, notice.Step{Name: name, Text: text}) })
	if err == nil {
		l := w.c.Writer.Language
		facts := notice.Facts{BriefHeading: l.Text("notice.chat.test"), Brief: l.Text("notice.chat.test.text")}
		name, err = "message", w.post(ctx, compose(facts))
		if err == nil {
			steps = append(steps, notice.Step{Name: "accepted", Text: "the workflow took it, which is not yet that Teams shows it: look there, " +
				"and into the workflow's run history if it does not"})
		}
	}
	w.history.Add(notice.TestMessage, access.Receipts{{Channel: Channel, Err: err}}, began, w.c.Now(), channel.Failure)
	return channel.Steps(steps, name, err)
}
