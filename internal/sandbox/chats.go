package sandbox

import (
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"strings"

	"jitaccess/internal/sandbox/chat"
	"jitaccess/internal/sandbox/google"
)

// chats are the chats of the organization, and where the secrets for them are kept: paths
// of versions in Secret Manager.
type chats struct {
	*chat.Chats
	server                       *listeningServer
	slackToken, webhook, trigger string
	program                      string // its key
}

// slackChannels are those of the workspace; the first hears of every request.
var slackChannels = []string{"access", "ops", "oncall"}

func (s *Sandbox) startChats(random io.Reader) (err error) {
	secrets := make([]string, 4)
	for i := range secrets {
		bytes := make([]byte, 24)
		if _, err := io.ReadFull(random, bytes); err != nil {
			return err
		}
		secrets[i] = base64.RawURLEncoding.EncodeToString(bytes)
	}
	token := "xoxb-" + secrets[0]
	s.chats.program = "whsec_" + base64.StdEncoding.EncodeToString([]byte(secrets[3]))
	var people []string
	for _, p := range s.organization.People {
		people = append(people, strings.ToLower(p.Email))
	}
	s.chats.Chats = chat.New(chat.Options{Now: s.now, People: people, Channels: slackChannels,
		SlackToken: token, SpaceKey: secrets[1], WorkflowSignature: secrets[2], WebhookKey: []byte(secrets[3])})
	s.chats.slackToken = s.cloud.AddSecret("slack-token", []byte(token+"\n"))
	s.chats.webhook = s.cloud.AddSecret("google-chat-webhook",
		[]byte("https://chat.googleapis.com/v1/spaces/AAAASANDBOX/messages?key=sandbox&token="+secrets[1]+"\n"))
	s.chats.trigger = s.cloud.AddSecret("teams-webhook", []byte("https://prod-00.westeurope.logic.azure.com/workflows/sandbox/triggers/manual/paths/invoke"+
		"?api-version=2016-06-01&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig="+secrets[2]+"\n"))
	if s.chats.server, err = listen("127.0.0.1:0"); err != nil {
		return err
	}
	s.chats.server.serve(s.chats.Handler())
	return nil
}

// environment are the settings of the service for the chats.
func (c *chats) environment() map[string]string {
	origin := "http://" + net.JoinHostPort("127.0.0.1", c.server.port())
	return map[string]string{
		"WEBHOOK_URL":             origin + "/program",
		"WEBHOOK_SECRET":          c.program,
		"SLACK_TOKEN":             c.slackToken,
		"SLACK_CHANNEL":           "#" + slackChannels[0],
		"GOOGLE_CHAT_WEBHOOK":     c.webhook,
		"TEAMS_WEBHOOK":           c.trigger,
		"JITACCESS_CHAT_ENDPOINT": origin,
	}
}

// showChats shows what the visitor sees in chats: all but direct messages to others.
func (f *front) showChats(w http.ResponseWriter, r *http.Request) {
	person, known := f.person(r)
	if !known {
		f.askWhoVisits(w, r)
		return
	}
	page := struct {
		frame
		Person   google.Person
		Messages []chat.Message
	}{frame{"Chats of " + person.Name, f.newBar(person, r), true}, person, nil}
	for _, m := range f.chats.Messages() {
		if !strings.Contains(m.Place, "@") || m.Place == strings.ToLower(person.Email) {
			page.Messages = append(page.Messages, m)
		}
	}
	f.render(w, "chats.html", page)
}
