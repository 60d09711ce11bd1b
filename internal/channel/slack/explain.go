package slack

import (
	"cmp"
	"strconv"

	"jitaccess/internal/channel"
)

// notFound is Slack's code of an address that nobody in the workspace has.
const notFound = "users_not_found"

// badToken are the codes of a token that is none any more.
var badToken = []string{"invalid_auth", "token_revoked", "token_expired", "account_inactive", "not_authed"}

// refusal is the code of an answer with ok:false, which comes with status 200.
func refusal(a channel.Answer) string {
	var answer struct {
		OK    *bool
		Error string
	}
	switch {
	case !a.JSON(&answer) || answer.OK == nil:
		if a.Status/100 == 4 {
			return strconv.Itoa(a.Status)
		}
		return channel.Unreadable
	case *answer.OK:
		return ""
	case answer.Error == "ratelimited" || answer.Error == "rate_limited":
		return channel.TooMany
	}
	return cmp.Or(answer.Error, channel.Unreadable)
}

// gone is whether a message cannot be changed any more.
func gone(err error) bool {
	switch channel.CodeOf(err) {
	case "message_not_found", "cant_update_message", "edit_window_closed", "channel_not_found", "is_archived":
		return true
	}
	return false
}

const appPage = "https://api.slack.com/apps, your app"

// explanations are of codes as Slack documents them with its methods.
var explanations = []channel.Explanation{
	{Codes: []string{"invalid_auth", "not_authed"}, Meaning: "The token in SLACK_TOKEN is none of Slack's.",
		Remedy: "Take the Bot User OAuth Token, which begins with xoxb-, from " + appPage + ", OAuth & Permissions."},
	{Codes: []string{"token_revoked", "token_expired", "account_inactive"},
		Meaning: "The token was revoked, or the app was removed from the workspace.",
		Remedy:  "Install the app again at " + appPage + ", Install App, and store the new token. Tokens that rotate are not for this."},
	{Codes: []string{"missing_scope", "not_allowed_token_type", "no_permission", "ekm_access_denied"},
		Meaning: "The app lacks a permission.",
		Remedy: "Give the bot the scopes chat:write, chat:write.public, users:read and users:read.email at " + appPage +
			", OAuth & Permissions, and install it again."},
	{Codes: []string{"channel_not_found", "not_in_channel", "is_archived"},
		Meaning: "The app does not see the channel, is not in it, or it is archived.",
		Remedy: "See that the name or id in SLACK_CHANNEL, or in the rule's notify, is right, and invite the app: " +
			"/invite @its-name in the channel."},
	{Codes: []string{notFound}, Meaning: "Nobody in the Slack workspace has this address.",
		Remedy: "Let them set it as their address in Slack, or set SLACK_CHANNEL, where they are named then."},
	{Codes: []string{"user_disabled", "cannot_dm_bot", "messages_tab_disabled"}, Meaning: "This person takes no messages from the app.",
		Remedy: "See to their account, and at " + appPage + ", App Home, turn on the Messages Tab."},
	{Codes: []string{"restricted_action", "restricted_action_read_only_channel", "restricted_action_non_threadable_channel",
		"team_access_not_granted",
		"access_denied"}, Meaning: "The workspace does not let the app write there.",
		Remedy: "Ask the workspace's administrators, or take another channel."},
	{Codes: []string{"message_not_found", "cant_update_message", "edit_window_closed"},
		Meaning: "The message was deleted, or cannot be changed any more.",
		Remedy:  "Nothing: what is to be known is told in a new one."},
	{Codes: []string{"msg_too_long", "msg_blocks_too_long", "invalid_blocks", "invalid_blocks_format", "no_text", "too_many_attachments"},
		Meaning: "Slack does not take a message of this form.", Remedy: "This is a fault of this service; tell those who make it."},
	{Codes: []string{"internal_error", "fatal_error", "service_unavailable", "request_timeout", "team_added_to_org"},
		Meaning: "Slack has a fault of its own.",
		Remedy:  "With a ledger it is sent again by itself. See https://slack-status.com if it goes on."},
}
