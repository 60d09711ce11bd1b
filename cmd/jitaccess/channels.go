package main

import (
	"context"
	"net/url"
	"slices"
	"strings"

	"jitaccess/internal/access"
	"jitaccess/internal/callback"
	"jitaccess/internal/channel"
	"jitaccess/internal/channel/googlechat"
	"jitaccess/internal/channel/slack"
	"jitaccess/internal/channel/teams"
	"jitaccess/internal/channel/webhook"
	"jitaccess/internal/config"
	"jitaccess/internal/loopback"
	"jitaccess/internal/notice"
	"jitaccess/internal/server"
	"jitaccess/internal/words"
)

// telling is a chat, or webhooks, whether it is set up or not.
type telling interface {
	notice.Notifier
	Name() string
	Enabled() bool
	Recent() []notice.Attempt
	Test(ctx context.Context, to access.Principal) []notice.Step
	Probe(ctx context.Context, passed func(name, text string)) error
}

// newChannels makes the chats and webhooks. They are called at public addresses alone, at those of this
// machine where something there stands in for them, and webhooks where the operator lets them. What
// is no secret's version is checked at once.
func newChannels(c *config.Config, google *cloud, k clock) ([]telling, error) {
	t, m, local := c.Chats, c.Messages, servesLocally(c)
	kept := func(name string, text config.StoredText) func(context.Context) (string, error) {
		if text.IsZero() {
			return nil
		}
		return oneLine(name, stored(google.secret, text))
	}
	with := func(read func(context.Context) (string, error), endpoint string, reach callback.Reach) channel.Config {
		return channel.Config{Read: read, Endpoint: endpoint, Client: callback.NewClient(nil, reach), Now: k.now, Sleep: k.sleep,
			Writer: notice.Writer{Language: words.Tagged(c.Mail.Locale), Location: c.Mail.TimeZone, Provider: providersOf(c), Immediate: immediate,
				Reasonless: !t.ShowReason}}
	}
	workflow, _ := url.Parse(t.TeamsWebhook.Value.Reveal())
	addresses, keys := kept("WEBHOOK_URL", m.Webhooks), kept("WEBHOOK_SECRET", m.WebhookKeys)
	var programs func(context.Context) (string, error)
	if addresses != nil && keys != nil {
		programs = func(ctx context.Context) (string, error) {
			to, err := addresses(ctx)
			if err != nil {
				return "", err
			}
			by, err := keys(ctx)
			return webhook.Kept(to, by), err
		}
	}
	all := []telling{
		slack.New(with(kept("token of Slack", t.SlackToken), t.Endpoint, callback.Reach{Loopback: t.Endpoint != ""}), t.SlackChannel),
		googlechat.New(with(kept("webhook of Google Chat", t.GoogleWebhook), c.ChatOrigin(), callback.Reach{Loopback: c.ChatOrigin() != ""})),
		teams.New(with(kept("webhook of Teams", t.TeamsWebhook), t.Endpoint,
			callback.Reach{Loopback: t.Endpoint != "" || workflow != nil && loopback.Is(workflow.Hostname())})),
		webhook.New(with(programs, "", callback.Reach{Loopback: local, Private: m.WebhooksPrivate}), local),
	}
	for _, each := range all {
		_, calls := each.(*slack.Slack) // the others look at what is kept, and at nothing else
		elsewhere := func(s secretSetting) bool { return s.text.Version != "" }
		if calls || !each.Enabled() || slices.ContainsFunc(secretsOf(c)[each.Name()], elsewhere) {
			continue
		}
		if err := each.Probe(context.Background(), func(string, string) {}); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// secretSetting is one of a channel: what people call it, where it comes from, and it.
type secretSetting struct {
	name, variable string
	text           config.StoredText
}

// secretsOf are the secrets of the channels by their names.
func secretsOf(c *config.Config) map[string][]secretSetting {
	t, m := c.Chats, c.Messages
	return map[string][]secretSetting{
		slack.Channel:      {{"Token", "SLACK_TOKEN", t.SlackToken}},
		googlechat.Channel: {{"Webhook", "GOOGLE_CHAT_WEBHOOK", t.GoogleWebhook}},
		teams.Channel:      {{"Workflow", "TEAMS_WEBHOOK", t.TeamsWebhook}},
		webhook.Channel:    {{"Addresses", "WEBHOOK_URL", m.Webhooks}, {"Keys", "WEBHOOK_SECRET", m.WebhookKeys}},
	}
}

// tellingAccount shows administrators a chat, or webhooks. It implements server.Account.
type tellingAccount struct {
	telling
	config *config.Config
}

func (a tellingAccount) Settings() []notice.Setting {
	if !a.Enabled() {
		return nil
	}
	var s accountSettings
	for _, each := range secretsOf(a.config)[a.Name()] {
		s.add(each.name, keptIn(each.text, hidden), each.variable)
	}
	t := a.config.Chats
	switch a.Name() {
	case slack.Channel:
		s.add("Channel", t.SlackChannel, "SLACK_CHANNEL")
	case webhook.Channel:
		if all, ok := a.telling.(*channel.Webhook); ok {
			s.add("Programs", strings.Join(all.Listening(), ", "), "")
		}
		if a.config.Messages.WebhooksPrivate {
			s.add("Private networks", "allowed", "WEBHOOK_ALLOW_PRIVATE")
		}
		return s
	}
	reason := "shown"
	if !t.ShowReason {
		reason = "left out"
	}
	s.add("What people wrote", reason, "CHANNELS_SHOW_REASON")
	return s
}

// accounts are what people and programs are told with, as administrators see it.
func accounts(mail mailAccount, others []telling) []server.Account {
	all := []server.Account{mail}
	for _, each := range others {
		all = append(all, tellingAccount{each, mail.config})
	}
	return all
}

// channelsOf are the channels that are set up, as rules name them; of Slack, channels can be named too.
func channelsOf(c *config.Config) (names []string) {
	if c.Mail.SenderAddress != "" {
		names = append(names, "mail")
	}
	if c.Messages.Topic != "" {
		names = append(names, "pubsub")
	}
	for name, secrets := range secretsOf(c) {
		if !secrets[0].text.IsZero() {
			names = append(names, name)
		}
	}
	if !c.Chats.SlackToken.IsZero() {
		names = append(names, slack.Channel+":")
	}
	slices.Sort(names)
	return names
}

// servesLocally is whether the service is reached on loopback alone, as the sandbox is.
func servesLocally(c *config.Config) bool {
	own, err := url.Parse(c.Server.PublicURL)
	return err == nil && loopback.Is(own.Hostname())
}
