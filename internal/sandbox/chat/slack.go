package chat

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

const slackName = "Slack"

// What Slack takes. https://docs.slack.dev/apis/web-api/rate-limits,
// https://docs.slack.dev/reference/block-kit/blocks
const (
	slackBody      = 1 << 20
	slackBlocks    = 50
	slackHeader    = 150
	slackSection   = 3000
	slackAllBlocks = 13_200 // as people have found
	slackText      = 40_000
	slackBurst     = 5 // in as many seconds, which is one a second
)

type object = map[string]any

// slack answers a method as its documentation says: with 200, whether it did it or not.
func (c *Chats) slack(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, slackBody))
	if err != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	refuse := func(code string) { answer(w, http.StatusOK, object{"ok": false, "error": code}) }
	token, isBearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	switch {
	case r.Method != http.MethodPost:
		refuse("invalid_post_type")
		return
	case !isBearer || token == "":
		refuse("not_authed")
		return
	case token != c.o.SlackToken:
		refuse("invalid_auth")
		return
	}
	switch r.PathValue("method") {
	case "auth.test":
		answer(w, http.StatusOK, object{"ok": true, "team": "Sandbox", "user": "jitaccess", "bot_id": "B0JITACCESS"})
	case "users.lookupByEmail":
		// Its arguments are those of a form.
		form, err := url.ParseQuery(string(body))
		if err != nil || isJSON(r) || form.Get("email") == "" {
			refuse("invalid_arguments")
			return
		}
		at := slices.Index(c.o.People, strings.ToLower(form.Get("email")))
		if at < 0 {
			refuse("users_not_found")
			return
		}
		answer(w, http.StatusOK, object{"ok": true, "user": object{"id": userID(at), "profile": object{"email": c.o.People[at]}}})
	case "chat.postMessage", "chat.update":
		m, code := c.readSlack(r, body)
		if code != "" {
			refuse(code)
			return
		}
		if wait, ok := c.allow("slack "+m.Channel, slackBurst, slackBurst*time.Second); !ok {
			w.Header().Set("Retry-After", strconv.Itoa(int(wait/time.Second)+1))
			answer(w, http.StatusTooManyRequests, object{"ok": false, "error": "ratelimited"})
			return
		}
		if r.PathValue("method") == "chat.update" {
			c.slackUpdate(m, body, refuse, w)
			return
		}
		c.slackPost(m, body, refuse, w)
	default:
		refuse("unknown_method")
	}
}

func userID(at int) string { return fmt.Sprintf("U%08d", at+1) }

type slackMessage struct {
	Channel, Text, TS string
	ThreadTS          string `json:"thread_ts"`
	Blocks            []slackBlock
}

type slackBlock struct {
	Type     string
	Text     *slackTextObject
	Elements json.RawMessage
}

type slackTextObject struct{ Type, Text string }

// readSlack reads the arguments of a message, or says with which code they are refused.
func (c *Chats) readSlack(r *http.Request, body []byte) (m slackMessage, code string) {
	if !isJSON(r) {
		return m, "invalid_post_type"
	}
	if json.Unmarshal(body, &m) != nil {
		return m, "invalid_json"
	}
	if m.Text == "" && len(m.Blocks) == 0 {
		return m, "no_text"
	}
	if utf8.RuneCountInString(m.Text) > slackText {
		return m, "msg_too_long"
	}
	if len(m.Blocks) > slackBlocks {
		return m, "invalid_blocks"
	}
	all := 0
	for _, b := range m.Blocks {
		most := map[string]int{"header": slackHeader, "section": slackSection}[b.Type]
		if most == 0 || b.Text == nil || b.Text.Text == "" || utf8.RuneCountInString(b.Text.Text) > most ||
			b.Text.Type != "plain_text" && (b.Text.Type != "mrkdwn" || b.Type == "header") {
			return m, "invalid_blocks"
		}
		all += utf8.RuneCountInString(b.Text.Text)
	}
	if all > slackAllBlocks {
		return m, "msg_blocks_too_long"
	}
	return m, ""
}

func (c *Chats) slackPost(m slackMessage, body []byte, refuse func(string), w http.ResponseWriter) {
	conversation, place := c.conversation(m.Channel)
	if conversation == "" {
		refuse("channel_not_found")
		return
	}
	c.last++
	ts := fmt.Sprintf("%d.%06d", c.o.Now().Unix(), c.last)
	said := rendered(m, body)
	said.Place, said.Name, said.Thread = place, conversation+"/"+ts, m.ThreadTS
	c.add(&said)
	answer(w, http.StatusOK, object{"ok": true, "channel": conversation, "ts": ts})
}

func (c *Chats) slackUpdate(m slackMessage, body []byte, refuse func(string), w http.ResponseWriter) {
	// Where a message was posted by a name, it is changed by an id alone.
	if m.Channel == "" || !strings.ContainsAny(m.Channel[:1], "CDG") {
		refuse("channel_not_found")
		return
	}
	earlier := c.find(slackName, m.Channel+"/"+m.TS)
	if earlier == nil {
		refuse("message_not_found")
		return
	}
	said := rendered(m, body)
	earlier.Title, earlier.Lines, earlier.Links, earlier.Notification, earlier.Raw = said.Title, said.Lines, said.Links, said.Notification, said.Raw
	earlier.Changed = c.o.Now()
	answer(w, http.StatusOK, object{"ok": true, "channel": m.Channel, "ts": m.TS, "text": m.Text})
}

// conversation is the id of a conversation, and what people call it.
func (c *Chats) conversation(channel string) (id, place string) {
	for i, email := range c.o.People {
		if channel == userID(i) || channel == "D"+userID(i)[1:] {
			return "D" + userID(i)[1:], email
		}
	}
	for i, name := range c.o.Channels {
		if id := fmt.Sprintf("C%08d", i+1); channel == "#"+name || channel == name || channel == id {
			return id, "#" + name
		}
	}
	return "", ""
}

var slackLink = regexp.MustCompile(`<(https?://[^|>]+)\|([^>]*)>`)

// rendered is a message as Slack shows it.
func rendered(m slackMessage, body []byte) Message {
	said := Message{Service: slackName, Notification: unescaped(m.Text), Raw: body}
	for _, b := range m.Blocks {
		switch {
		case b.Type == "header":
			said.Title = b.Text.Text
		case b.Text.Type == "plain_text":
			said.Lines = append(said.Lines, strings.Split(b.Text.Text, "\n")...)
		default:
			for _, link := range slackLink.FindAllStringSubmatch(b.Text.Text, -1) {
				said.Links = append(said.Links, Link{unescaped(link[2]), unescaped(link[1])})
			}
			if rest := strings.TrimSpace(slackLink.ReplaceAllString(b.Text.Text, "")); rest != "" {
				said.Lines = append(said.Lines, unescaped(rest))
			}
		}
	}
	return said
}

func unescaped(s string) string {
	return strings.NewReplacer("&lt;", "<", "&gt;", ">", "&amp;", "&").Replace(s)
}
