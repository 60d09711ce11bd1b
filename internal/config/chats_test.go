package config_test

import (
	"strings"
	"testing"

	"jitaccess/internal/config"
)

// chats reads settings beside those that a service cannot do without.
func chats(settings ...string) (*config.Config, error) {
	env := map[string]string{"K_SERVICE": "jitaccess", "RESOURCE_CATALOG": "AssetInventory", "RESOURCE_CUSTOMER_ID": "C1"}
	for _, s := range settings {
		name, value, _ := strings.Cut(s, "=")
		env[name] = value
	}
	return config.Read(func(name string) string { return env[name] })
}

const webhook = "https://chat.googleapis.com/v1/spaces/AAAA/messages?key=CANARY&token=CANARY"

// What is given itself is looked at when the service starts, and a fault tells nothing of it.
func TestChats(t *testing.T) {
	for _, c := range []struct {
		setting, fault string
	}{
		{"SLACK_TOKEN=xoxb-1-CANARY", ""},
		{"SLACK_TOKEN=projects/p/secrets/s/versions/latest", ""},
		{"SLACK_TOKEN=xoxp-CANARY", "SLACK_TOKEN is [redacted]"},
		{"SLACK_TOKEN=xoxb CANARY", "SLACK_TOKEN is [redacted]"},
		{"SLACK_TOKEN=projects/CANARY/secret/s", "SLACK_TOKEN is [redacted]"},
		{"SLACK_CHANNEL=#access", ""},
		{"SLACK_CHANNEL=C0123ABCD", ""},
		{"SLACK_CHANNEL=access", "SLACK_CHANNEL is"},
		{"SLACK_CHANNEL=#a/b", "SLACK_CHANNEL is"},
		{"SLACK_CHANNEL=<!channel>", "SLACK_CHANNEL is"},
		{"GOOGLE_CHAT_WEBHOOK=" + webhook, ""},
		{"GOOGLE_CHAT_WEBHOOK=" + strings.Replace(webhook, "https", "http", 1), "GOOGLE_CHAT_WEBHOOK is [redacted]"},
		{"GOOGLE_CHAT_WEBHOOK=" + strings.Replace(webhook, "chat.googleapis.com", "evil.example", 1), "GOOGLE_CHAT_WEBHOOK is [redacted]"},
		{"GOOGLE_CHAT_WEBHOOK=" + strings.Replace(webhook, "https://", "https://CANARY@", 1), "GOOGLE_CHAT_WEBHOOK is [redacted]"},
		{"GOOGLE_CHAT_WEBHOOK=" + strings.Replace(webhook, "&token=CANARY", "", 1), "GOOGLE_CHAT_WEBHOOK is [redacted]"},
		{"TEAMS_WEBHOOK=https://prod-1.logic.azure.com/workflows/w/triggers/manual/paths/invoke?sig=CANARY", ""},
		{"TEAMS_WEBHOOK=http://127.0.0.1:8080/workflows/w?sig=CANARY", ""},
		{"TEAMS_WEBHOOK=http://logic.azure.com/?sig=CANARY", "TEAMS_WEBHOOK is [redacted]"},
		{"TEAMS_WEBHOOK=CANARY", "TEAMS_WEBHOOK is [redacted]"},
		{"JITACCESS_CHAT_ENDPOINT=http://127.0.0.1:9000", ""},
		{"JITACCESS_CHAT_ENDPOINT=http://10.0.0.1:9000", "JITACCESS_CHAT_ENDPOINT is"},
		{"JITACCESS_CHAT_ENDPOINT=https://evil.example", "JITACCESS_CHAT_ENDPOINT is"},
	} {
		_, err := chats(c.setting)
		switch {
		case c.fault == "" && err != nil:
			t.Errorf("%s: %v", c.setting, err)
		case c.fault != "" && (err == nil || !strings.Contains(err.Error(), c.fault) || strings.Contains(err.Error(), "CANARY")):
			t.Errorf("%s: %v, want %s", c.setting, err, c.fault)
		}
	}
}

// JITACCESS_CHAT_ENDPOINT takes precedence over JITACCESS_GOOGLE_ENDPOINT for Google Chat, and the
// reason is shown unless it is left out.
func TestChatsAreReachedWhereTheyAreSaidToBe(t *testing.T) {
	for want, settings := range map[string][]string{
		"":                      nil,
		"http://127.0.0.1:9001": {"JITACCESS_GOOGLE_ENDPOINT=http://127.0.0.1:9001"},
		"http://127.0.0.1:9002": {"JITACCESS_GOOGLE_ENDPOINT=http://127.0.0.1:9001", "JITACCESS_CHAT_ENDPOINT=http://127.0.0.1:9002"},
	} {
		c, err := chats(settings...)
		if err != nil || c.ChatOrigin() != want || !c.Chats.ShowReason || c.Chats.Used() {
			t.Errorf("%v: %v", settings, err)
		}
	}
	if c, err := chats("CHANNELS_SHOW_REASON=false", "SLACK_TOKEN=xoxb-1", "SLACK_CHANNEL=#a"); err != nil || c.Chats.ShowReason || !c.Chats.Used() {
		t.Errorf("%v", err)
	}
}

// What has no effect, or less than may be thought, is said at start.
func TestChatsWarn(t *testing.T) {
	for warning, settings := range map[string][]string{
		"SLACK_CHANNEL is set without SLACK_TOKEN":   {"SLACK_CHANNEL=#access"},
		"without DATABASE_URL nothing is told again": {"SLACK_TOKEN=xoxb-1"},
	} {
		c, err := chats(settings...)
		if err != nil || !strings.Contains(strings.Join(c.Warnings, "\n"), warning) {
			t.Errorf("%v: %q, %v", settings, c.Warnings, err)
		}
	}
}
