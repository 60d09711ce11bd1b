// Package teams tells a channel or a chat in Microsoft Teams, by a workflow that is started by a
// webhook: a card for each notice. Nothing is decided there. What the workflow does with
// what it took, nobody here learns.
//
// Facts of Microsoft's: https://support.microsoft.com/office/create-incoming-webhooks-with-workflows-for-microsoft-teams,
// https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using.
package teams

import (
	"errors"
	"net/url"
	"strings"

	"jitaccess/internal/access"
	"jitaccess/internal/channel"
	"jitaccess/internal/loopback"
	"jitaccess/internal/notice"
)

// Channel is the name of this channel in an access.Receipt.
const Channel = "teams"

// New makes what hands cards to the workflow whose address is kept, without making a call. What
// the workflow took has no name, so Ref is empty in its receipts.
func New(c channel.Config) *channel.Webhook {
	return channel.NewWebhook(c, channel.Vendor{
		Channel: access.Channel{Name: Channel, People: true, Everything: true, Unseen: true}, Service: "Microsoft Teams",
		Targets: func(kept string) ([]channel.Target, error) { return target(kept, c.Endpoint) },
		Compose: channel.Chat(c.Writer, compose), Refusal: refusal, Table: explanations,
		Ref: func(channel.Answer, string) (string, bool) { return "", true },
		Taken: func(channel.Target, channel.Answer) notice.Step {
			return notice.Step{Name: "accepted", Text: "the workflow took it, which is not yet that Teams shows it: look there, " +
				"and into the workflow's run history if it does not"}
		},
	})
}

// target is the workflow at an address; on this machine one that stands in for it.
func target(webhook, endpoint string) ([]channel.Target, error) {
	u, err := url.Parse(strings.TrimSpace(webhook))
	local := err == nil && u.Scheme == "http" && loopback.Is(u.Hostname())
	if err != nil || u.Scheme != "https" && !local || u.Host == "" || u.User != nil {
		return nil, errors.New("what is kept is no https address of a workflow")
	}
	return []channel.Target{{URL: channel.At(u, endpoint), Secrets: []string{webhook, u.Query().Get("sig")}}}, nil
}
