package chat

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"
)

const teamsName = "Microsoft Teams"

// teamsBytes is what a message may have, about.
// https://learn.microsoft.com/microsoftteams/limits-specifications-teams
const teamsBytes = 28 << 10

type teamsMessage struct {
	Type        string
	Attachments []struct {
		ContentType string
		Content     struct {
			Type, Version string
			Body          []struct {
				Type, Text string
				Inlines    []struct{ Type, Text string }
			}
			Actions []struct{ Type, Title, URL string }
		}
	}
}

// workflow is started by a webhook: it answers 202 before it has looked at the message, and
// posts it then, or fails, which nobody who called it learns.
func (c *Chats) workflow(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	refuse := func(status int, code, text string) {
		answer(w, status, object{"error": object{"code": code, "message": text}})
	}
	switch {
	case r.Method != http.MethodPost:
		refuse(http.StatusNotFound, "NotFound", "The requested resource does not exist.")
		return
	case r.URL.Query().Get("sig") != c.o.WorkflowSignature:
		refuse(http.StatusUnauthorized, "DirectApiAuthorizationRequired",
			"The request must be authenticated only by Shared Access scheme. It was "+r.URL.Query().Get("sig"))
		return
	case !isJSON(r) || !json.Valid(body):
		refuse(http.StatusBadRequest, "InvalidRequestContent", "The request content is not valid and could not be deserialized.")
		return
	}
	w.WriteHeader(http.StatusAccepted)
	said, fault := readCard(body)
	c.runs = append(c.runs, Run{c.o.Now(), fault})
	if fault == "" {
		c.add(&said)
	}
}

func readCard(body []byte) (said Message, fault string) {
	var m teamsMessage
	switch {
	case len(body) > teamsBytes:
		return said, "RequestEntityTooLarge"
	case json.Unmarshal(body, &m) != nil || m.Type != "message" || len(m.Attachments) == 0:
		return said, "the message has no attachments"
	}
	said = Message{Service: teamsName, Place: "Access requests", Raw: body}
	for _, a := range m.Attachments {
		card := a.Content
		if a.ContentType != "application/vnd.microsoft.card.adaptive" || card.Type != "AdaptiveCard" || card.Version < "1.0" || len(card.Body) == 0 {
			return said, "the attachment is no adaptive card"
		}
		for _, e := range card.Body {
			line := e.Text
			for _, run := range e.Inlines {
				if run.Type != "TextRun" {
					return said, "an inline is no TextRun"
				}
				line += run.Text
			}
			if e.Type != "TextBlock" && e.Type != "RichTextBlock" || line == "" || !utf8.ValidString(line) {
				return said, "an element cannot be shown"
			}
			if e.Type == "TextBlock" && strings.Contains(line, "](") {
				line = "LINK " + line // Markdown
			}
			if said.Title == "" {
				said.Title = line
				continue
			}
			said.Lines = append(said.Lines, line)
		}
		for _, action := range card.Actions {
			u, err := url.Parse(action.URL)
			if err != nil || u.Host == "" || action.Type != "Action.OpenUrl" || action.Title == "" {
				return said, "an action cannot be carried out"
			}
			said.Links = append(said.Links, Link{action.Title, action.URL})
		}
	}
	said.Notification = said.Title
	return said, ""
}
