// Package words has what people read, in one table for each language: refusals and
// warnings, pages, notices, dates and lengths of time. It decides nothing.
//
// languages/TAG.json is a language: an object of keys and messages, in the part of
// ICU's notation that message.go describes.
package words

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html/template"

	"jitaccess/internal/access"
)

// Language is the texts of one language. Make one with Parse. It does not change, so
// it may be used concurrently.
type Language struct {
	tag      string
	messages map[string]message
	plural   plural
	// group is what stands between the thousands of a number.
	group string
	// otherwise has the texts that this one lacks; nil for none.
	otherwise *Language
}

// plural names the form that a number takes, by the categories of CLDR.
type plural func(n int) (category string)

// plurals are CLDR's rules for whole numbers of the languages that there may be
// (https://www.unicode.org/cldr/charts/latest/supplemental/language_plural_rules.html).
var plurals = map[string]plural{"en": oneAndOther, "de": oneAndOther, "ja": onlyOther}

func oneAndOther(n int) string {
	if n == 1 {
		return "one"
	}
	return "other"
}

func onlyOther(int) string { return "other" }

// Parse reads the file of a language. tag is its BCP 47 tag. A key that stands there
// twice and a text that is no message are errors.
func Parse(tag string, file []byte) (*Language, error) {
	l := &Language{tag: tag, messages: map[string]message{}, plural: plurals[tag]}
	if l.plural == nil {
		return nil, fmt.Errorf("words: the plurals of language %q are not known", tag)
	}
	d := json.NewDecoder(bytes.NewReader(file))
	if begin, err := d.Token(); begin != json.Delim('{') {
		return nil, fmt.Errorf("words: %s: no object: %w", tag, err)
	}
	for d.More() {
		name, err := d.Token()
		var text string
		if err == nil {
			err = d.Decode(&text)
		}
		if err != nil {
			return nil, fmt.Errorf("words: %s: %w", tag, err)
		}
		key, _ := name.(string)
		if _, twice := l.messages[key]; twice {
			return nil, fmt.Errorf("words: %s: %s is there twice", tag, key)
		}
		if l.messages[key], err = parseMessage(text); err != nil {
			return nil, fmt.Errorf("words: %s: %s: %w", tag, key, err)
		}
	}
	if _, err := d.Token(); err != nil {
		return nil, fmt.Errorf("words: %s: %w", tag, err)
	}
	l.group = l.messages[groupKey].source
	return l, nil
}

// find is a message with the language that it is of: this one, or that of the texts that it
// lacks.
func (l *Language) find(key string) (message, *Language, bool) {
	m, ok := l.messages[key]
	if !ok && l.otherwise != nil {
		return l.otherwise.find(key)
	}
	return m, l, ok
}

// Tag is the language's BCP 47 tag.
func (l *Language) Tag() string { return l.tag }

// Text is a message with its arguments, names and values in turn, each isolated from the text
// around it. A key that does not exist is its own text, and an argument that is left out stays
// in braces; the tests keep both from happening.
func (l *Language) Text(key string, args ...any) string {
	return l.fill(key, func(name string) (string, bool) {
		v, ok := argument(name, args)
		return l.text(v), ok
	})
}

// TextOr is a message without arguments, or otherwise where the language has none.
func (l *Language) TextOr(key, otherwise string) string {
	if !l.has(key) {
		return otherwise
	}
	return l.Text(key)
}

// HTML is Text for a page: what is not template.HTML is escaped, and the markup of the
// message is kept.
func (l *Language) HTML(key string, args ...any) template.HTML {
	m, of, ok := l.find(key)
	if !ok {
		return template.HTML(template.HTMLEscapeString(key))
	}
	return template.HTML(m.fill(of, func(p part) string { return p.html }, func(name string) (string, bool) {
		v, ok := argument(name, args)
		if html, safe := v.(template.HTML); safe {
			return string(html), ok
		}
		if text, plain := v.(string); plain {
			return string(InLine(text)), ok
		}
		return template.HTMLEscapeString(l.text(v)), ok
	}))
}

// Message is the message itself, for scripts that fill it in.
func (l *Language) Message(key string) string {
	m, _, _ := l.find(key)
	return m.source
}

func (l *Language) fill(key string, value func(name string) (string, bool)) string {
	m, of, ok := l.find(key)
	if !ok {
		return key
	}
	return m.fill(of, func(p part) string { return p.text }, value)
}

func (l *Language) text(argument any) string {
	switch argument := argument.(type) {
	case string: // most are; this takes no memory
		return access.Isolated(argument)
	case int:
		return l.Number(argument)
	}
	return fmt.Sprint(argument)
}

func argument(name string, args []any) (any, bool) {
	for i := 0; i+1 < len(args); i += 2 {
		if args[i] == name {
			return args[i+1], true
		}
	}
	return nil, false
}
