package managed

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/application"
)

// Deed is one thing that was done to an application. Those of one application, in the order of
// their Number from 1, are what it is.
type Deed struct {
	// Of is the name of the application.
	Of     string
	Number int
	At     time.Time
	By     access.Principal
	// Body is what was done. It is empty where nothing was, and only a signature renewed.
	Body []byte
}

// What is done to an application.
const (
	didSet     = "set"     // it is App from then on, and nothing is proposed
	didPropose = "propose" // it would be App if somebody else agrees
	didAgree   = "agree"   // it is what was proposed by deed Of
	didDrop    = "drop"    // what was proposed by deed Of is not to be
	didSeal    = "seal"    // its keys, by their ids, are sealed anew as Sealed; nothing else is changed
)

// deedBody is the Body of a deed, as JSON.
type deedBody struct {
	Do  string      `json:"do"`
	Of  int         `json:"of,omitempty"`
	App *definition `json:"app,omitempty"`

	Sealed map[string][]byte `json:"sealed,omitempty"`
}

// definition is an application as deeds keep it.
type definition struct {
	URI           string     `json:"uri"`
	Keys          []keptKey  `json:"keys"`
	CallbackHosts []string   `json:"callback_hosts,omitempty"`
	Active        bool       `json:"active"`
	Templates     []template `json:"templates,omitempty"`
}

// keptKey is a key, sealed.
type keptKey struct {
	ID     string    `json:"id"`
	Sealed []byte    `json:"sealed"`
	Made   time.Time `json:"made"`
}

type template struct {
	Key         string            `json:"key"`
	Name        string            `json:"name"`
	Title       string            `json:"title"`
	Sign        bool              `json:"sign,omitempty"`
	Data        []field           `json:"data,omitempty"`
	Claims      []string          `json:"claims,omitempty"`
	Approvals   int               `json:"approvals"`
	Approvers   []string          `json:"approvers"`
	Max         time.Duration     `json:"max"`
	Default     time.Duration     `json:"default"`
	RequestLife time.Duration     `json:"request_life"`
	Metadata    map[string]string `json:"metadata,omitempty"`
	Unlinked    bool              `json:"show_unlinked,omitempty"`
	Active      bool              `json:"active"`
}

type field struct {
	Name    string `json:"name"`
	Label   string `json:"label,omitempty"`
	Pattern string `json:"pattern,omitempty"`
}

func fromTemplate(t application.Template) template {
	f := template{Key: t.Key, Name: t.Name, Title: t.Title, Sign: t.Sign, Claims: t.Claims, Approvals: t.Approvals, Approvers: t.Approvers,
		Max: t.MaxDuration, Default: t.DefaultDuration, RequestLife: t.RequestLife, Metadata: t.Metadata, Unlinked: t.ShowUnlinked,
		Active: t.Active}
	for _, d := range t.Data {
		kept := field{Name: d.Name, Label: d.Label}
		if d.Pattern != nil {
			kept.Pattern = d.Pattern.String()
		}
		f.Data = append(f.Data, kept)
	}
	return f
}

func (f template) template() (application.Template, error) {
	t := application.Template{Key: f.Key, Name: f.Name, Title: f.Title, Sign: f.Sign, Claims: f.Claims, Approvals: f.Approvals,
		Approvers:   f.Approvers,
		MaxDuration: f.Max, DefaultDuration: f.Default, RequestLife: f.RequestLife, Metadata: f.Metadata,
		ShowUnlinked: f.Unlinked, Active: f.Active}
	for _, d := range f.Data {
		read := application.Field{Name: d.Name, Label: d.Label}
		if d.Pattern != "" {
			pattern, err := regexp.Compile(d.Pattern)
			if err != nil {
				return t, fmt.Errorf("template %s, field %s: %w", f.Key, d.Name, err)
			}
			read.Pattern = pattern
		}
		t.Data = append(t.Data, read)
	}
	return t, nil
}

// doneBy is what was done by a deed that was applied.
func doneBy(d Deed) string {
	var body deedBody
	_ = json.Unmarshal(d.Body, &body)
	return body.Do
}

// proposed is a change that waits for a second administrator.
type proposed struct {
	number int
	by     access.Principal
	at     time.Time
	app    definition
}

// state is an application as its deeds make it. number is that of the last one.
type state struct {
	name   string
	number int
	app    definition
	// damage is why nothing is known of it; nil for what is whole.
	damage  *access.Error
	pending *proposed
	done    []Deed
}

// apply adds a deed. Whatever may not follow is an error: nothing is made of such a chain. That
// the author of a proposal has not agreed to it is looked at here too, whoever wrote the deed.
func (s *state) apply(d Deed) error {
	if d.Of != s.name && s.number > 0 || d.Number != s.number+1 {
		return fmt.Errorf("deed %d of %s does not follow", d.Number, d.Of)
	}
	s.name, s.number = d.Of, d.Number
	if len(d.Body) == 0 {
		return nil
	}
	s.done = append(s.done, d)
	var body deedBody
	decoder := json.NewDecoder(bytes.NewReader(d.Body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&body); err != nil {
		return err
	}
	waits := s.pending != nil && s.pending.number == body.Of
	switch {
	case body.Do == didSet && body.App != nil:
		s.app, s.pending = *body.App, nil
	case body.Do == didPropose && body.App != nil && s.pending == nil && d.Number > 1:
		s.pending = &proposed{d.Number, d.By, d.At, *body.App}
	case body.Do == didAgree && waits && d.By != s.pending.by && d.By != "":
		s.app, s.pending = s.pending.app, nil
	case body.Do == didDrop && waits:
		s.pending = nil
	case body.Do == didSeal:
		return s.reseal(body.Sealed)
	default:
		return fmt.Errorf("deed %d of %s: %q may not be done then", d.Number, d.Of, body.Do)
	}
	return nil
}

// fold makes applications of all deeds, which are in the order of their numbers.
func fold(deeds []Deed) map[string]*state {
	all := map[string]*state{}
	for _, d := range deeds {
		s := all[d.Of]
		if s == nil {
			s = &state{name: d.Of}
			all[d.Of] = s
		}
		if s.damage != nil {
			continue
		}
		if err := s.apply(d); err != nil {
			s.damage = damaged(d.Of, err)
		}
	}
	return all
}

// takesAway is whether nothing more can be had of the application after a change than before: it
// or templates are switched off, keys are given up. Only that holds without a second
// administrator.
func takesAway(before, after definition) bool {
	same := after
	same.Active, same.Keys, same.Templates = before.Active, before.Keys, before.Templates
	if !equal(same, before) || after.Active && !before.Active || len(after.Templates) != len(before.Templates) {
		return false
	}
	for _, k := range after.Keys {
		if !slices.ContainsFunc(before.Keys, func(old keptKey) bool { return old.ID == k.ID }) {
			return false
		}
	}
	for i, t := range after.Templates {
		if was := before.Templates[i]; t.Active && !was.Active {
			return false
		}
		t.Active = before.Templates[i].Active
		if !equal(t, before.Templates[i]) {
			return false
		}
	}
	return true
}

// equal compares what is kept as it is kept.
func equal[T any](a, b T) bool {
	left, errLeft := json.Marshal(a)
	right, errRight := json.Marshal(b)
	return errors.Join(errLeft, errRight) == nil && bytes.Equal(left, right)
}
