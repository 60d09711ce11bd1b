package googlechat

import (
	"encoding/json"
	"strings"

	"jitaccess/internal/notice"
)

// maxBytes is how large a message is at most, far below what Google takes: 32,000 bytes of
// text and cards together.
// https://developers.google.com/workspace/chat/api/reference/rest/v1/spaces.messages
const maxBytes = 30_000

// message is what is posted.
type message struct {
	// FallbackText is what notifications show.
	FallbackText string   `json:"fallbackText"`
	Thread       thread   `json:"thread"`
	Cards        []cardV2 `json:"cardsV2"`
}

type thread struct {
	Key string `json:"threadKey"`
}

type cardV2 struct {
	ID   string `json:"cardId"`
	Card card   `json:"card"`
}

type card struct {
	Header   header    `json:"header"`
	Sections []section `json:"sections"`
}

type header struct {
	Title    string `json:"title"`
	Subtitle string `json:"subtitle,omitempty"`
}

type section struct {
	Widgets []widget `json:"widgets"`
}

type widget struct {
	Text      *paragraph `json:"textParagraph,omitempty"`
	Decorated *decorated `json:"decoratedText,omitempty"`
	Buttons   *buttons   `json:"buttonList,omitempty"`
}

type paragraph struct {
	Text string `json:"text"`
}

type decorated struct {
	TopLabel string `json:"topLabel"`
	Text     string `json:"text"`
	Wrap     bool   `json:"wrapText"`
}

type buttons struct {
	Buttons []button `json:"buttons"`
}

type button struct {
	Text    string `json:"text"`
	OnClick struct {
		OpenLink struct {
			URL string `json:"url"`
		} `json:"openLink"`
	} `json:"onClick"`
}

// compose lays a notice out. The button opens the page, and tells nobody of a click.
func compose(f notice.Facts, request string) any {
	widgets := []widget{{Text: &paragraph{escaped(f.Brief)}}}
	for _, r := range f.Rows {
		text := escaped(r.Value)
		for _, d := range r.Details {
			text += "\n" + escaped(d)
		}
		widgets = append(widgets, widget{Decorated: &decorated{r.Label, text, true}})
	}
	var link []widget
	if f.URL != "" && f.Button != "" {
		b := button{Text: f.Button}
		b.OnClick.OpenLink.URL = f.URL
		link = []widget{{Buttons: &buttons{[]button{b}}}}
	}
	for {
		m := message{FallbackText: f.Brief, Thread: thread{request}, Cards: []cardV2{{"notice", card{header{Title: f.BriefHeading},
			[]section{{append(widgets[:len(widgets):len(widgets)], link...)}}}}}}
		if text, err := json.Marshal(m); err != nil || len(text) <= maxBytes || len(widgets) == 1 {
			return m
		}
		// What does not fit is on the page.
		widgets = widgets[:len(widgets)-1]
	}
}

// escaped is a text in the notation of cards, which have a little HTML.
// https://developers.google.com/workspace/chat/format-messages#card-formatting
func escaped(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(s)
}
