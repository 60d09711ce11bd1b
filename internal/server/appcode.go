package server

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"slices"
	"strings"

	"jitaccess/internal/access"
	"jitaccess/internal/application"
	"jitaccess/internal/words"
)

// appCode is a program that asks as an application does. Title says what it needs.
type appCode struct{ Title, Text string }

// programs are those of howToCall, with <…> for what differs between applications.
var (
	//go:embed programs/ask.mjs
	inJavaScript string
	//go:embed programs/ask.py
	inPython string
	//go:embed programs/ask.sh
	inShell string
)

// howToCall is code that works with the key of an application as it stands, but for the values
// of its data: it asks for the access of a person by one of its templates, and waits. All texts
// are spelled as their language has them, whatever is in them.
func howToCall(l *words.Language, a application.Application, origin string, subject access.Principal) []appCode {
	template, data := "TEMPLATE", map[string]string{}
	active := func(t application.Template) bool { return t.Active }
	if at := max(0, slices.IndexFunc(a.Templates, active)); len(a.Templates) > 0 {
		template = a.Templates[at].Key
		for _, d := range a.Templates[at].Data {
			data[d.Name] = "…"
		}
	}
	body := map[string]any{"template": template, "data": data}
	literals := strings.NewReplacer("<uri>", literal(a.URI), "<api>", literal(origin), "<sub>", literal(subject), "<body>", literal(body))
	quoted := strings.NewReplacer("<uri>", shellQuoted(literal(a.URI)), "<api>", shellQuoted(origin), "<aud>", shellQuoted(literal(origin)),
		"<sub>", shellQuoted(literal(subject)), "<body>", shellQuoted(literal(body)))
	return []appCode{
		{l.Text("apps.call.script"), literals.Replace(inJavaScript)},
		{l.Text("apps.call.python"), literals.Replace(inPython)},
		{l.Text("apps.call.shell"), quoted.Replace(inShell)},
	}
}

// literal is a value as JSON, which JavaScript and Python read as it is.
func literal(value any) string {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(value) // texts can be
	return strings.TrimSuffix(text.String(), "\n")
}

// shellQuoted is a text as one word of a shell.
func shellQuoted(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }
