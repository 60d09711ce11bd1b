package config

import (
	"strings"
)

// checkChats looks at what is given itself; what is kept elsewhere is looked at when it is read.
func (r *reader) checkChats(c *Config) {
	t := &c.Chats
	r.standIn("JITACCESS_CHAT_ENDPOINT", &t.Endpoint)
	if token := t.SlackToken.Value.Reveal(); token != "" {
		r.faultIf(!strings.HasPrefix(token, "xoxb-") || strings.ContainsAny(token, " \t\r\n"), "SLACK_TOKEN", "a bot token begins with xoxb-")
	}
	if address := t.GoogleWebhook.Value.Reveal(); address != "" {
		u, host, ok := parseURL(address)
		r.faultIf(!ok || u.Scheme != "https" || !strings.HasPrefix(u.Path, "/v1/spaces/") || u.Query().Get("token") == "" ||
			host != "chat.googleapis.com" && t.Endpoint == "", "GOOGLE_CHAT_WEBHOOK", "")
	}
	if address := t.TeamsWebhook.Value.Reveal(); address != "" {
		_, _, ok := parseURL(address)
		r.faultIf(!ok, "TEAMS_WEBHOOK", "")
	}
	r.warnIf(t.SlackChannel != "" && t.SlackToken.IsZero(), "SLACK_CHANNEL is set without SLACK_TOKEN: Slack is not told")
	r.warnIf(t.Used() && c.Ledger.Database.IsZero(),
		"without DATABASE_URL nothing is told again that a chat did not take, and no message in Slack changes")
}

// Used is whether there is a chat.
func (c Chats) Used() bool {
	return !c.SlackToken.IsZero() || !c.GoogleWebhook.IsZero() || !c.TeamsWebhook.IsZero()
}

// ChatOrigin is what replaces Google Chat's scheme and host; empty for nothing.
func (c *Config) ChatOrigin() string {
	if c.Chats.Endpoint != "" {
		return c.Chats.Endpoint
	}
	return c.Google.Endpoint
}
