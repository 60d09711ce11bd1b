package slack

import (
	"cmp"
	"strings"
	"unicode/utf16"

	"jitaccess/internal/access"
	"jitaccess/internal/notice"
)

// Most characters of a header block, and of a text; all of a message together is kept far
// below what Slack takes, about 13,000.
// https://docs.slack.dev/reference/block-kit/blocks/header-block, …/section-block
const (
	maxHeader = 150
	maxText   = 3000
	maxURL    = 3000
)

// message are the arguments of chat.postMessage and chat.update.
type message struct {
	Conversation string `json:"channel"`
	// Text is what notifications show; blocks stand in its place elsewhere.
	Text   string  `json:"text"`
	Blocks []block `json:"blocks"`
	TS     string  `json:"ts,omitempty"`
	Thread string  `json:"thread_ts,omitempty"`
	// Nothing in texts is made into links or mentions.
	Parse     string `json:"parse"`
	LinkNames bool   `json:"link_names"`
	*previews
}

// previews are what only a new message is asked for: none.
type previews struct {
	Markdown bool `json:"mrkdwn"`
	Links    bool `json:"unfurl_links"`
	Media    bool `json:"unfurl_media"`
}

type block struct {
	Type string `json:"type"`
	Text *text  `json:"text,omitempty"`
}

type text struct {
	Type  string `json:"type"`
	Text  string `json:"text"`
	Emoji *bool  `json:"emoji,omitempty"`
}

// message is the notice for somebody, or for a channel. missing are people who are not in
// Slack. All but the link, which is ours, is plain text to Slack.
func (t *telling) message(place bool, missing []access.Principal) message {
	f := t.facts
	heading, lead := f.Heading, f.Intro
	if place {
		heading, lead = f.BriefHeading, f.Brief
	}
	blocks := []block{plain("header", heading, maxHeader), plain("section", lead, maxText)}
	if rows := lines(f.Rows); rows != "" {
		blocks = append(blocks, plain("section", rows, maxText))
	}
	if len(missing) > 0 {
		var names []string
		for _, p := range missing {
			names = append(names, string(p.Address()))
		}
		l := t.c.Writer.Language
		blocks = append(blocks, plain("section", l.Text("notice.chat.missing", "service", "Slack", "people", l.Series(names)), maxText))
	}
	if f.URL != "" && f.Button != "" && len(f.URL) <= maxURL {
		link := text{Type: "mrkdwn", Text: "<" + linked(f.URL) + "|" + escaped(f.Button) + ">"}
		blocks = append(blocks, block{"section", &link})
	}
	return composed(cmp.Or(f.Brief, f.Intro), blocks)
}

func composed(brief string, blocks []block) message {
	return message{Text: clipped(escaped(brief), maxText), Blocks: blocks, Parse: "none"}
}

func plain(kind, s string, most int) block {
	emoji := false
	return block{kind, &text{"plain_text", clipped(s, most), &emoji}}
}

// escaped is a text in Slack's notation.
// https://docs.slack.dev/messaging/formatting-message-text#escaping
func escaped(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(s)
}

// linked is an address in Slack's notation for links.
func linked(address string) string {
	return strings.NewReplacer("&", "&amp;", "<", "%3C", ">", "%3E", "|", "%7C").Replace(address)
}

// lines are rows, as many as a text has room for.
func lines(rows []notice.Row) string {
	var b strings.Builder
	for i, r := range rows {
		line := r.Label + ": " + r.Value
		for _, d := range r.Details {
			line += "\n    " + d
		}
		if i > 0 {
			line = "\n" + line
		}
		if length(b.String())+length(line) > maxText-3 {
			b.WriteString("\n…")
			break
		}
		b.WriteString(line)
	}
	return b.String()
}

// length counts as Slack's clients do at most, in units of UTF-16.
func length(s string) int { return len(utf16.Encode([]rune(s))) }

func clipped(s string, most int) string {
	if length(s) <= most {
		return s
	}
	runes := []rune(s)
	for length(string(runes)) > most-1 {
		runes = runes[:len(runes)-1]
	}
	return string(runes) + "…"
}
