package words

import (
	"html/template"
	"strings"
	"unicode"

	"jitaccess/internal/access"
)

// InLine is a text of others for a page. It changes nothing around it: letters written from right
// to left are isolated, and words with marks stacked upon a letter, which would cover the lines
// around, are marked for the style sheet, which keeps them within theirs.
func InLine(text string) template.HTML {
	if !strays(text) {
		return template.HTML(template.HTMLEscapeString(text))
	}
	if !strings.Contains(text, isolate) { // of a message, each argument is isolated already
		text = access.Isolated(strings.ReplaceAll(text, isolated, ""))
	}
	var b strings.Builder
	open := 0
	for text != "" {
		word, stop := text, ""
		switch at := strings.IndexAny(text, " "+isolate+isolated); {
		case at < 0:
		case text[at] == ' ':
			word = text[:at+1]
		default:
			word, stop = text[:at], text[at:at+len(isolate)]
		}
		text = text[len(word)+len(stop):]
		if escaped := template.HTMLEscapeString(word); stacked(word) {
			b.WriteString(`<span class="stacked">` + escaped + "</span>")
		} else {
			b.WriteString(escaped)
		}
		switch {
		case stop == isolate:
			open++
			b.WriteString("<bdi>")
		case stop == isolated && open > 0:
			open--
			b.WriteString("</bdi>")
		}
	}
	b.WriteString(strings.Repeat("</bdi>", open))
	return template.HTML(b.String())
}

// What access.Isolated begins and ends with.
const isolate, isolated = "\u2068", "\u2069"

// Placed is an argument of a message as a template puts it there: a text as InLine has it,
// and everything else as it is.
func Placed(argument any) any {
	if text, ok := argument.(string); ok && strays(text) {
		return InLine(text)
	}
	return argument
}

// strays is whether a text would change what stands around it.
func strays(text string) bool { return access.RightToLeft(text) || stacked(text) }

// mostMarks is how many marks stand upon one letter in what people write, as in Vietnamese and in
// Hebrew with all its points.
const mostMarks = 3

// stacked is whether more marks stand upon a letter than people write.
func stacked(text string) bool {
	marks := 0
	for _, r := range text {
		if r < 0x300 || !unicode.Is(unicode.Mn, r) && !unicode.Is(unicode.Me, r) {
			marks = 0
		} else if marks++; marks > mostMarks {
			return true
		}
	}
	return false
}
