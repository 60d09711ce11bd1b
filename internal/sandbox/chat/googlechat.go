package chat

import (
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"
)

const chatName = "Google Chat"

// What Google Chat takes. https://developers.google.com/workspace/chat/limits,
// https://developers.google.com/workspace/chat/api/reference/rest/v1/spaces.messages
const (
	chatBytes     = 32_000
	chatPerMinute = 60
	chatThreadKey = 4_000
)

type chatMessage struct {
	Text         string
	FallbackText string
	Thread       struct{ ThreadKey string }
	CardsV2      []struct {
		CardID string
		Card   struct {
			Header   struct{ Title, Subtitle string }
			Sections []struct {
				Widgets []struct {
					TextParagraph *struct{ Text string }
					DecoratedText *struct{ TopLabel, Text string }
					ButtonList    *struct {
						Buttons []struct {
							Text    string
							OnClick struct {
								OpenLink *struct{ URL string }
							}
						}
					}
				}
			}
		}
	}
}

// googleChat answers spaces.messages.create for a webhook.
func (c *Chats) googleChat(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	refuse := func(code int, status, text string) {
		answer(w, code, object{"error": object{"code": code, "message": text, "status": status}})
	}
	query, space := r.URL.Query(), r.PathValue("space")
	var m chatMessage
	switch {
	case r.Method != http.MethodPost:
		refuse(http.StatusNotFound, "NOT_FOUND", "Not found.")
		return
	case query.Get("key") == "" || query.Get("token") != c.o.SpaceKey:
		refuse(http.StatusUnauthorized, "UNAUTHENTICATED", "The request is missing a valid API key or token: "+r.URL.String())
		return
	case !isJSON(r) || json.Unmarshal(body, &m) != nil:
		refuse(http.StatusBadRequest, "INVALID_ARGUMENT", "Invalid JSON payload received.")
		return
	case m.Text == "" && len(m.CardsV2) == 0:
		refuse(http.StatusBadRequest, "INVALID_ARGUMENT", "Message cannot be empty.")
		return
	case len(body) > chatBytes:
		refuse(http.StatusBadRequest, "INVALID_ARGUMENT", "Message is too large.")
		return
	case len(m.Thread.ThreadKey) > chatThreadKey:
		refuse(http.StatusBadRequest, "INVALID_ARGUMENT", "The thread key is too long.")
		return
	}
	// A repeated id is answered with the first message.
	id := query.Get("requestId")
	if first := c.requests[id]; id != "" && first != nil {
		answer(w, http.StatusOK, object{"name": first.Name, "thread": object{"name": first.Thread}})
		return
	}
	if _, ok := c.allow("chat "+space, chatPerMinute, time.Minute); !ok {
		refuse(http.StatusTooManyRequests, "RESOURCE_EXHAUSTED", "Quota exceeded for quota metric 'Message writes'.")
		return
	}
	c.last++
	said := Message{Service: chatName, Place: space, Name: fmt.Sprintf("spaces/%s/messages/%d.%d", space, c.last, c.last),
		Notification: m.FallbackText, Raw: body}
	// Without the option, the key of the thread is ignored.
	said.Thread = fmt.Sprintf("spaces/%s/threads/new-%d", space, c.last)
	if m.Thread.ThreadKey != "" && strings.HasPrefix(query.Get("messageReplyOption"), "REPLY_MESSAGE_") {
		said.Thread = "spaces/" + space + "/threads/" + m.Thread.ThreadKey
	}
	for _, card := range m.CardsV2 {
		said.Title = card.Card.Header.Title
		for _, section := range card.Card.Sections {
			for _, widget := range section.Widgets {
				switch {
				case widget.TextParagraph != nil:
					said.Lines = append(said.Lines, htmlText(widget.TextParagraph.Text))
				case widget.DecoratedText != nil:
					said.Lines = append(said.Lines, widget.DecoratedText.TopLabel+": "+htmlText(widget.DecoratedText.Text))
				case widget.ButtonList != nil:
					for _, b := range widget.ButtonList.Buttons {
						u, err := url.Parse(openLink(b.OnClick.OpenLink))
						if err != nil || u.Host == "" || b.Text == "" {
							refuse(http.StatusBadRequest, "INVALID_ARGUMENT", "A button has no text or no link.")
							return
						}
						said.Links = append(said.Links, Link{b.Text, u.String()})
					}
				}
			}
		}
	}
	c.add(&said)
	if id != "" {
		c.requests[id] = &said
	}
	answer(w, http.StatusOK, object{"name": said.Name, "thread": object{"name": said.Thread}})
}

func openLink(link *struct{ URL string }) string {
	if link == nil {
		return ""
	}
	return link.URL
}

var (
	htmlTag = regexp.MustCompile(`<[^>]*>`)
	mention = regexp.MustCompile(`<users/[^>]*>`)
)

// htmlText is a text of a card as it is shown: with its tags taken for what they are.
func htmlText(s string) string {
	s = mention.ReplaceAllString(s, "@MENTION ")
	return html.UnescapeString(htmlTag.ReplaceAllString(s, ""))
}
