package teams

import (
	"encoding/json"

	"jitaccess/internal/notice"
)

// maxBytes is how large a message is at most; Teams takes about 28 KB.
// https://learn.microsoft.com/microsoftteams/limits-specifications-teams
const maxBytes = 25_000

// message is what the workflow takes, as its template has it.
type message struct {
	Type        string       `json:"type"`
	Summary     string       `json:"summary"`
	Attachments []attachment `json:"attachments"`
}

type attachment struct {
	ContentType string  `json:"contentType"`
	ContentURL  *string `json:"contentUrl"`
	Content     card    `json:"content"`
}

// card is an Adaptive Card. Its texts are runs, in which there is no Markdown.
// https://adaptivecards.io/explorer/TextRun.html
type card struct {
	Schema  string    `json:"$schema"`
	Type    string    `json:"type"`
	Version string    `json:"version"`
	Body    []element `json:"body"`
	Actions []action  `json:"actions,omitempty"`
}

type element struct {
	Type    string `json:"type"`
	Inlines []run  `json:"inlines"`
}

type run struct {
	Type   string `json:"type"`
	Text   string `json:"text"`
	Size   string `json:"size,omitempty"`
	Weight string `json:"weight,omitempty"`
	Subtle bool   `json:"isSubtle,omitempty"`
}

type action struct {
	Type  string `json:"type"`
	Title string `json:"title"`
	URL   string `json:"url"`
}

// compose lays a notice out. The action opens the page, and tells nobody of a click.
func compose(f notice.Facts, _ string) any {
	body := []element{paragraph(run{Text: f.BriefHeading, Size: "Large", Weight: "Bolder"}), paragraph(run{Text: f.Brief})}
	for _, r := range f.Rows {
		body = append(body, paragraph(run{Text: r.Label + ": ", Weight: "Bolder"}, run{Text: r.Value}))
		for _, d := range r.Details {
			body = append(body, paragraph(run{Text: d, Size: "Small", Subtle: true}))
		}
	}
	var actions []action
	if f.URL != "" && f.Button != "" {
		actions = []action{{"Action.OpenUrl", f.Button, f.URL}}
	}
	for {
		m := message{Type: "message", Summary: f.Brief, Attachments: []attachment{{ContentType: "application/vnd.microsoft.card.adaptive",
			Content: card{"http://adaptivecards.io/schemas/adaptive-card.json", "AdaptiveCard", "1.4", body, actions}}}}
		if text, err := json.Marshal(m); err != nil || len(text) <= maxBytes || len(body) == 2 {
			return m
		}
		// What does not fit is on the page.
		body = body[:len(body)-1]
	}
}

func paragraph(runs ...run) element {
	for i := range runs {
		runs[i].Type = "TextRun"
	}
	return element{"RichTextBlock", runs}
}
