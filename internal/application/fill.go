package application

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"jitaccess/internal/access"
	"jitaccess/internal/lazyregexp"
)

// MaxValue is the longest value of data, and as much as is shown of one of a claim, in
// characters.
const MaxValue = 500

// Names of what is wrong in what an application sends, as access.Error.Field.
const (
	FieldTemplate = "template"
	FieldData     = "data"
	FieldCallback = "callback"
	FieldSubject  = "sub"
)

// PathOf is the path of a value of data, as access.Error.Field.
func PathOf(name string) string { return FieldData + "." + access.Clip(access.Visible(name), 100) }

// Asking is what an application asks for by what it sends, as it is shown to approvers, and
// the template by which it does. Whether anybody knows who its Subject is, is not known here.
// The error names what is wrong: of kind NotFound for an application that there is none of or
// that may not ask, of kind Invalid for all that it sends, of kind Unavailable while the
// applications are not known.
func (p *Provider) Asking(ctx context.Context, s access.Sent) (access.Asking, bool, error) {
	a, err := p.named(ctx, s.Application)
	if err != nil {
		return access.Asking{}, false, err
	}
	if a == nil || !a.Active {
		return access.Asking{}, false, &access.Error{Kind: access.NotFound, Code: access.CodeUnknownApplication,
			Args: access.Args{"application": s.Application}}
	}
	t := a.template(s.Template)
	if t == nil || !t.Active {
		return access.Asking{}, false, invalid(FieldTemplate, access.CodeUnknownTemplate,
			access.Args{"application": a.Name, "template": access.Clip(access.Visible(s.Template), 100)})
	}
	asking, err := t.fill(s)
	if err == nil {
		err = a.mayCall(s.Callback)
	}
	return asking, t.ShowUnlinked, err
}

// fill is what is asked for by a template.
func (t *Template) fill(s access.Sent) (access.Asking, error) {
	a := access.Asking{Application: s.Application, Subject: s.Subject, Template: t.Key, Metadata: t.Metadata, Callback: s.Callback,
		Sent: s.Digest()}
	if !CanBeSubject(s.Subject) {
		return a, invalid(FieldSubject, access.CodeBadSubject, nil)
	}
	for _, f := range t.Data {
		value, ok := s.Data[f.Name]
		switch {
		case !ok || value == "":
			return a, invalid(PathOf(f.Name), access.CodeMissingDatum, access.Args{"name": f.Name})
		case utf8.RuneCountInString(value) > MaxValue || !visible(value):
			return a, invalid(PathOf(f.Name), access.CodeUnsafeDatum, access.Args{"name": f.Name, "max": strconv.Itoa(MaxValue)})
		case f.Pattern != nil && !f.matches(value):
			return a, invalid(PathOf(f.Name), access.CodeBadDatum, access.Args{"name": f.Name, "pattern": f.Pattern.String()})
		}
		a.Data = append(a.Data, access.Datum{Name: f.Name, Label: f.label(), Value: value})
	}
	for name := range s.Data {
		if !slices.ContainsFunc(t.Data, func(f Field) bool { return f.Name == name }) {
			return a, invalid(PathOf(name), access.CodeUnknownDatum, access.Args{"name": access.Clip(access.Visible(name), 100)})
		}
	}
	for _, name := range t.Claims {
		a.Claims = append(a.Claims, access.Datum{Name: name, Label: name, Value: claimText(s.Claims[name])})
	}
	a.Title = t.titled(s.Data)
	if access.CheckJustification(a.Title) != nil {
		return a, invalid(FieldData, access.CodeLongTitle, access.Args{"max": strconv.Itoa(access.MaxJustification)})
	}
	return a, nil
}

// CanBeSubject is whether an application can ask for somebody whom it calls so.
func CanBeSubject(subject string) bool {
	return subject != "" && utf8.RuneCountInString(subject) <= MaxValue && visible(subject)
}

// visible is whether a value can be shown to an approver as it is, on one line.
func visible(text string) bool {
	return utf8.ValidString(text) && !strings.ContainsFunc(text, access.Unseen)
}

func (f Field) label() string {
	if f.Label == "" {
		return f.Name
	}
	return f.Label
}

// Fits is whether data has a value for each field of the template, and one that it takes. It may
// have more.
func (t *Template) Fits(data map[string]string) bool {
	return !slices.ContainsFunc(t.Data, func(f Field) bool {
		value := data[f.Name]
		return value == "" || f.Pattern != nil && !f.matches(value)
	})
}

// matches is whether the pattern matches the whole value, whether or not its author anchored
// it: a match of the whole value is the longest of those that begin first. Nothing is put around
// the pattern, which could end in the middle of something (\Q).
func (f Field) matches(value string) bool {
	longest := *f.Pattern
	longest.Longest()
	at := longest.FindStringIndex(value)
	return at != nil && at[0] == 0 && at[1] == len(value)
}

// placeholder is where the value of a field stands in a title.
var placeholder = lazyregexp.New(`\{[^{}]*\}`)

// titled is the title with the data. What stands in the data is not looked through again.
func (t *Template) titled(data map[string]string) string {
	return placeholder().ReplaceAllStringFunc(t.Title, func(at string) string { return data[strings.Trim(at, "{}")] })
}

// claimText is a claim as it is shown: a text as it is, a list of texts with commas, all else
// as JSON; empty for none.
func claimText(value any) string {
	text := ""
	switch v := value.(type) {
	case nil:
		return ""
	case string:
		text = v
	default:
		encoded, err := json.Marshal(v)
		if err != nil {
			return ""
		}
		text = string(encoded)
		var list []string
		if json.Unmarshal(encoded, &list) == nil && v != nil {
			text = strings.Join(list, ", ")
		}
	}
	return clip(access.Visible(text))
}

// clip is as much of a text as is shown.
func clip(text string) string {
	if runes := []rune(text); len(runes) > MaxValue {
		return string(runes[:MaxValue]) + "…"
	}
	return text
}

// mayCall is nil for where the application may be called back. Whether the service is on
// loopback, so that it may be there too, is looked at when it is called.
func (a *Application) mayCall(callback string) error {
	if callback == "" {
		return nil
	}
	if _, err := ParseCallback(callback, a.CallbackHosts, true); err != nil {
		refused := invalid(FieldCallback, access.CodeBadCallback, nil)
		refused.Err = err
		return refused
	}
	return nil
}

func (a *Application) template(key string) *Template {
	for i := range a.Templates {
		if a.Templates[i].Key == key {
			return &a.Templates[i]
		}
	}
	return nil
}

func invalid(field string, code access.Code, args access.Args) *access.Error {
	return &access.Error{Kind: access.Invalid, Code: code, Field: field, Args: args}
}
