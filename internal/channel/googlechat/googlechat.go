// Package googlechat tells a space in Google Chat, by the webhook of that space: a card for
// each notice, and all of one request in a thread. Nothing is decided there.
//
// Facts of Google's: https://developers.google.com/workspace/chat/quickstart/webhooks,
// …/api/reference/rest/v1/spaces.messages/create, …/chat/limits.
package googlechat

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/channel"
	"jitaccess/internal/lazyregexp"
	"jitaccess/internal/notice"
)

// Channel is the name of this channel in an access.Receipt.
const Channel = "googlechat"

// Google takes 60 messages a minute in a space, of all its apps together: these are as many
// within any minute.
// https://developers.google.com/workspace/chat/limits
const (
	perMinute = 50
	atOnce    = 10
)

// New makes what tells the space whose webhook is kept, without making a call. Ref in its
// receipts is the message's name.
func New(c channel.Config) *channel.Webhook {
	return channel.NewWebhook(c, channel.Vendor{
		Channel: access.Channel{Name: Channel, People: true, Everything: true}, Service: "Google Chat",
		Targets: func(kept string) ([]channel.Target, error) { return target(kept, c.Endpoint) },
		Compose: channel.Chat(c.Writer, compose), Refusal: refusal, Table: explanations,
		Ref: func(a channel.Answer, _ string) (string, bool) {
			name := nameOf(a)
			return name, name != ""
		},
		Taken: func(_ channel.Target, a channel.Answer) notice.Step {
			return notice.Step{Name: "message", Text: "Google Chat took it, as " + access.Visible(access.Clip(nameOf(a), 200))}
		},
		PerMinute: perMinute, AtOnce: atOnce,
	})
}

func nameOf(a channel.Answer) string {
	var created struct{ Name string }
	a.JSON(&created)
	return created.Name
}

// path is that of a webhook of a space.
var path = lazyregexp.New(`^/v1/spaces/[A-Za-z0-9_-]+/messages$`)

// target is the space of a webhook. Google answers what is posted by an id that it knows with the
// first message of that id.
func target(webhook, endpoint string) ([]channel.Target, error) {
	u, err := url.Parse(strings.TrimSpace(webhook))
	if err != nil || u.Scheme != "https" || u.User != nil || !path().MatchString(u.Path) {
		return nil, errors.New("what is kept is no address of a webhook of a space")
	}
	query := u.Query()
	// Without it the thread would be another each time.
	query.Set("messageReplyOption", "REPLY_MESSAGE_FALLBACK_TO_NEW_THREAD")
	u.RawQuery = query.Encode()
	return []channel.Target{{URL: channel.At(u, endpoint), Secrets: []string{webhook, query.Get("key"), query.Get("token")},
		Complete: func(r *http.Request, id string, _ time.Time, _ []byte) {
			r.URL.RawQuery += "&requestId=" + url.QueryEscape(id)
		}}}, nil
}
