package pomerium

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"jitaccess/internal/access"
)

// rule is one rule of a policy's text, as it was read. own is nil for a rule of somebody
// else's, of which no byte is changed.
type rule struct {
	raw json.RawMessage
	own *own
}

// own is what a rule of the shape says that this service, and Pomerium's JIT example, write:
// one person, for a time; or waiting, which lets nobody in. A rule of exactly this shape that
// somebody wrote by hand cannot be told from them.
//
//	{"allow":{"and":[{"email":ADDRESS},{"date":{"before":TIME}}]}}
//	{"allow":{"and":[{"email":ADDRESS},{"date":{"after":TIME,"before":TIME}}]}}
//	{"allow":{"and":[{"email":ADDRESS},{"reject":true}]}}
//
// https://www.pomerium.com/docs/internals/ppl
type own struct {
	principal access.Principal
	// after is zero where the rule names none. Both are zero for one that waits.
	after, before time.Time
}

func (o own) waits() bool { return o.before.IsZero() }

// over is whether the rule lets nobody in any more.
func (o own) over(now time.Time) bool { return !o.waits() && !now.Before(o.before) }

// same is whether two rules say the same, to the second.
func (o own) same(p own) bool {
	return o.principal == p.principal && o.before.Unix() == p.before.Unix() && o.after.Unix() == p.after.Unix()
}

// text is the rule as Pomerium's JIT example writes it, with "after" where there is one.
func (o own) text() json.RawMessage {
	type dates struct {
		After  string `json:"after,omitempty"`
		Before string `json:"before"`
	}
	second := any(map[string]bool{"reject": true})
	if !o.waits() {
		d := dates{Before: o.before.UTC().Format(time.RFC3339)}
		if !o.after.IsZero() {
			d.After = o.after.UTC().Format(time.RFC3339)
		}
		second = map[string]dates{"date": d}
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(map[string]any{"allow": map[string]any{"and": []any{map[string]string{"email": string(o.principal)}, second}}})
	if err != nil {
		panic(err) // it is all text
	}
	return bytes.TrimSpace(b.Bytes())
}

// errForm is why a text is no list of rules.
var errForm = errors.New("the ppl of the policy is neither an object nor an array")

// parseRules splits the text of a policy. One rule may stand alone; an empty object, as a new
// policy has it, and nothing at all are no rule.
func parseRules(ppl json.RawMessage) ([]rule, error) {
	text := bytes.TrimSpace(ppl)
	var raws []json.RawMessage
	switch {
	case len(text) == 0 || string(text) == "null":
	case text[0] == '{':
		var object map[string]json.RawMessage
		if err := json.Unmarshal(text, &object); err != nil {
			return nil, err
		}
		if len(object) > 0 {
			raws = []json.RawMessage{text}
		}
	case text[0] == '[':
		if err := json.Unmarshal(text, &raws); err != nil {
			return nil, err
		}
	default:
		return nil, errForm
	}
	rules := make([]rule, 0, len(raws))
	for _, raw := range raws {
		rules = append(rules, rule{raw, parseOwn(raw)})
	}
	return rules, nil
}

// textOf joins rules to the text of a policy, each as it is.
func textOf(rules []rule) json.RawMessage {
	var b bytes.Buffer
	b.WriteByte('[')
	for i, r := range rules {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(r.raw)
	}
	b.WriteByte(']')
	return b.Bytes()
}

// maxOwn bounds in bytes what is looked at: an address and two times fit in many times over.
const maxOwn = 4 << 10

// What stands before the address, and what may follow it, without space between tokens.
const (
	opening  = `{"allow":{"and":[{"email":"`
	rejected = `},{"reject":true}]}}`
	dated    = `},{"date":{`
	closing  = `}}]}}`
)

// parseOwn reads a rule of our shape; nil when it is any other. One more field, one twice or
// another order, and it is somebody else's; space between tokens is of no matter.
func parseOwn(raw json.RawMessage) *own {
	if len(raw) > maxOwn || !bytes.Contains(raw, []byte(`"email"`)) {
		return nil
	}
	var b bytes.Buffer
	if json.Compact(&b, raw) != nil {
		return nil
	}
	rest, ok := strings.CutPrefix(b.String(), opening)
	if !ok {
		return nil
	}
	address, rest, ok := cutText(rest)
	if !ok {
		return nil
	}
	principal, err := access.ParsePrincipal(address)
	if err != nil {
		return nil
	}
	o := own{principal: principal}
	if rest == rejected {
		return &o
	}
	rest, dates := strings.CutPrefix(rest, dated)
	rest, closed := strings.CutSuffix(rest, closing)
	if !dates || !closed {
		return nil
	}
	for more := true; more; rest, more = strings.CutPrefix(rest, ",") {
		bound := &o.before
		if after, ok := strings.CutPrefix(rest, `"after":"`); ok {
			bound, rest = &o.after, after
		} else if rest, ok = strings.CutPrefix(rest, `"before":"`); !ok {
			return nil
		}
		var text string
		if text, rest, ok = cutText(rest); !ok || !bound.IsZero() {
			return nil
		}
		at, err := time.Parse(time.RFC3339, text)
		if err != nil || at.IsZero() {
			return nil
		}
		*bound = at.UTC()
	}
	if rest != "" || o.before.IsZero() {
		return nil
	}
	return &o
}

// cutText is the text whose opening quote was cut off, and what comes behind its closing one.
func cutText(rest string) (text, after string, ok bool) {
	end := 0
	for end < len(rest) && rest[end] != '"' {
		if rest[end] == '\\' {
			end++
		}
		end++
	}
	if end >= len(rest) {
		return "", "", false
	}
	err := json.Unmarshal([]byte(`"`+rest[:end+1]), &text)
	return text, rest[end+1:], err == nil
}

// document is a policy as the API has it.
type document struct {
	id, name string
	// created is when it was made; zero when the API does not say.
	created time.Time
	fields  map[string]json.RawMessage
	rules   []rule
	size    int
}

// written are the fields of a policy that are written, in the order in which Pomerium's JIT
// example writes them, each with what stands for it where the API leaves it out.
var written = []struct{ name, missing string }{
	{"description", `""`}, {"enforced", "false"}, {"explanation", `""`}, {"name", `""`}, {"namespaceId", `""`}, {"ppl", "{}"},
	{"remediation", `""`},
}

// parseDocument reads a policy. The error is errForm, or says that it is none.
func parseDocument(text json.RawMessage) (*document, error) {
	d := &document{size: len(text)}
	if err := json.Unmarshal(text, &d.fields); err != nil {
		return nil, err
	}
	if err := errors.Join(json.Unmarshal(d.fields["id"], &d.id), json.Unmarshal(d.fields["name"], &d.name)); err != nil {
		return nil, err
	}
	if !idPattern().MatchString(d.id) {
		return nil, errors.New("the policy has no id that can stand in an address")
	}
	var created string
	if json.Unmarshal(d.fields["createdAt"], &created) == nil {
		d.created, _ = time.Parse(time.RFC3339, created)
		d.created = d.created.UTC().Truncate(time.Second)
	}
	var err error
	d.rules, err = parseRules(d.fields["ppl"])
	return d, err
}

// with is the policy with other rules.
func (d *document) with(rules []rule) *document {
	next := *d
	next.rules = rules
	return &next
}

// has is whether a rule of ours stands that says the same.
func (d *document) has(o own) bool {
	return slices.ContainsFunc(d.rules, func(r rule) bool { return r.own != nil && r.own.same(o) })
}

// body is what is sent to write the policy: all that was read, and the rules.
func (d *document) body() []byte {
	var b bytes.Buffer
	for i, field := range written {
		b.WriteByte("{,"[min(i, 1)])
		b.WriteString(`"` + field.name + `":`)
		value, ok := d.fields[field.name]
		switch {
		case field.name == "ppl":
			b.Write(textOf(d.rules))
		case ok:
			b.Write(value)
		default:
			b.WriteString(field.missing)
		}
	}
	b.WriteByte('}')
	return b.Bytes()
}

// granted is the policy in which a rule of ours stands; itself where it does already. What
// is over of ours goes, and what still waits of the same person by the example.
func (d *document) granted(o own, now time.Time) *document {
	if d.has(o) {
		return d
	}
	rules := slices.DeleteFunc(slices.Clone(d.rules), func(r rule) bool {
		return r.own != nil && (r.own.over(now) || r.own.waits() && r.own.principal == o.principal)
	})
	return d.with(append(rules, rule{o.text(), &o}))
}

// without is the policy without some rules of ours; itself where it has none of them. What
// is over of ours goes with them.
func (d *document) without(gone []own, now time.Time) *document {
	found := false
	rules := slices.DeleteFunc(slices.Clone(d.rules), func(r rule) bool {
		is := r.own != nil && slices.ContainsFunc(gone, r.own.same)
		found = found || is
		return is || r.own != nil && r.own.over(now)
	})
	if !found {
		return d
	}
	return d.with(rules)
}

// preview is a rule for reading.
func preview(o own) string {
	var b bytes.Buffer
	if err := json.Indent(&b, o.text(), "", "  "); err != nil {
		panic(err) // it is JSON
	}
	return b.String()
}
