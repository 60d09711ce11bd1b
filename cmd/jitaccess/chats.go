package main

import (
	"context"
	"net/http"
	"net/url"

	"jitaccess/internal/access"
	"jitaccess/internal/callback"
	"jitaccess/internal/channel/googlechat"
	"jitaccess/internal/channel/slack"
	"jitaccess/internal/channel/teams"
	"jitaccess/internal/config"
	"jitaccess/internal/loopback"
	"jitaccess/internal/notice"
	"jitaccess/internal/server"
	"jitaccess/internal/words"
)

// chatting is what tells people in one, whether it is set up or not.
type chatting interface {
	notice.Notifier
	Name() string
	Enabled() bool
	Recent() []notice.Attempt
	Test(ctx context.Context, to access.Principal) []notice.Step
	Probe(ctx context.Context, passed func(name, text string)) error
}

// newChats makes the chats. They are called at public addresses alone, and on this machine
// where something there stands in for them.
func newChats(c *config.Config, google *cloud, k clock) []chatting {
	t := c.Chats
	writer := notice.Writer{Language: words.Tagged(c.Mail.Locale), Location: c.Mail.TimeZone, Provider: providersOf(c), Immediate: immediate,
		Reasonless: !t.ShowReason}
	secret := func(name string, text config.StoredText) func(context.Context) (string, error) {
		if text.IsZero() {
			return nil
		}
		return oneLine(name, stored(google.secret, text))
	}
	client := func(local bool) *http.Client { return callback.NewClient(nil, callback.Reach{Loopback: local}) }
	workflow, _ := url.Parse(t.TeamsWebhook.Value.Reveal())
	return []chatting{
		slack.New(slack.Config{Token: secret("token of Slack", t.SlackToken), Place: t.SlackChannel, Writer: writer, Endpoint: t.Endpoint,
			Client: client(t.Endpoint != ""), Now: k.now, Sleep: k.sleep}),
		googlechat.New(googlechat.Config{Webhook: secret("webhook of Google Chat", t.GoogleWebhook), Writer: writer, Endpoint: c.ChatOrigin(),
			Client: client(c.ChatOrigin() != ""), Now: k.now, Sleep: k.sleep}),
		teams.New(teams.Config{Webhook: secret("webhook of Teams", t.TeamsWebhook), Writer: writer, Endpoint: t.Endpoint,
			Client: client(t.Endpoint != "" || workflow != nil && loopback.Is(workflow.Hostname())), Now: k.now, Sleep: k.sleep}),
	}
}

// chatAccount shows administrators a chat. It implements server.Account.
type chatAccount struct {
	chatting
	config *config.Config
}

func (a chatAccount) Settings() []notice.Setting {
	if !a.Enabled() {
		return nil
	}
	t := a.config.Chats
	var s accountSettings
	switch a.Name() {
	case slack.Channel:
		s.add("Token", keptIn(t.SlackToken, hidden), "SLACK_TOKEN")
		s.add("Channel", t.SlackChannel, "SLACK_CHANNEL")
	case googlechat.Channel:
		s.add("Webhook", keptIn(t.GoogleWebhook, hidden), "GOOGLE_CHAT_WEBHOOK")
	case teams.Channel:
		s.add("Workflow", keptIn(t.TeamsWebhook, hidden), "TEAMS_WEBHOOK")
	}
	reason := "shown"
	if !t.ShowReason {
		reason = "left out"
	}
	s.add("What people wrote", reason, "CHANNELS_SHOW_REASON")
	return s
}

// accounts are what people are told with, as administrators see it.
func accounts(mail mailAccount, chats []chatting) []server.Account {
	all := []server.Account{mail}
	for _, each := range chats {
		all = append(all, chatAccount{each, mail.config})
	}
	return all
}

// chatNames are the chats as rules name them; of Slack, channels can be named too.
func chatNames(t config.Chats) (names []string) {
	if !t.SlackToken.IsZero() {
		names = append(names, slack.Channel, slack.Channel+":")
	}
	if !t.GoogleWebhook.IsZero() {
		names = append(names, googlechat.Channel)
	}
	if !t.TeamsWebhook.IsZero() {
		names = append(names, teams.Channel)
	}
	return names
}
