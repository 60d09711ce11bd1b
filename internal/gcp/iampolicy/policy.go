// Package iampolicy reads and edits the allow policy of one Google Cloud resource
// as raw JSON. It does no I/O. What it does not touch keeps its bytes: fields that
// we do not know, the order of bindings, other people's conditions.
//
// A Policy never changes. Grant and End return another one, so an edit that turns
// out not to be wanted is dropped by forgetting it, and several edits are made by
// applying one to the result of the other.
package iampolicy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Policy is an allow policy as read from Google, perhaps edited since.
type Policy struct {
	etag string
	// fields are those of the policy, in order; the value of "bindings" is stale
	// and written from elements.
	fields []field
	// raw and bindings are the bindings, as they are written and for reading, side by
	// side.
	raw      [][]byte
	bindings []Binding
	// source is all that was read; nil in a policy that was edited or made here.
	source []byte
}

// Binding is one binding of a policy, for reading.
type Binding struct {
	Role    string   `json:"role"`
	Members []string `json:"members"`
	// Condition is nil when there is none.
	Condition *Condition `json:"condition"`
	// meaning is that of role and condition; nil in a binding that is not of a policy
	// yet.
	meaning *meaning
}

// Condition is the condition of a binding.
type Condition struct {
	Title       string `json:"title"`
	Description string `json:"description"`
	Expression  string `json:"expression"`
}

// Reparse reads the body of a getIamPolicy answer, or one policy of a batchGet answer: a
// later version of p, which may be the zero Policy. It is quicker where most bindings are
// those of before; nothing else of p is kept. The same bytes are the same policy, p itself.
// raw is kept and not to be changed. A policy in which a field stands twice, or in two
// spellings that differ in case alone, is refused: readers could disagree on what it says.
func (p *Policy) Reparse(raw []byte) (parsed *Policy, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("reading an IAM policy: %w", err)
		}
	}()
	if p.source != nil && bytes.Equal(p.source, raw) {
		return p, nil
	}
	if !json.Valid(raw) {
		return nil, errors.New("not JSON")
	}
	fields, err := splitObject(raw)
	if err != nil {
		return nil, err
	}
	next := &Policy{fields: fields, source: raw}
	var bindings [][]byte
	if err := errors.Join(decode(fields, "etag", text(&next.etag)), decode(fields, "bindings", func(raw []byte) (err error) {
		bindings, err = splitArray(raw)
		return err
	})); err != nil {
		return nil, err
	}
	next.raw, next.bindings = make([][]byte, 0, len(bindings)), make([]Binding, 0, len(bindings))
	at := 0 // where the next binding of before is looked for: their order seldom changes
	for _, raw := range bindings {
		if i := slices.IndexFunc(p.raw[at:], func(before []byte) bool { return bytes.Equal(before, raw) }); i >= 0 {
			next.append(raw, p.bindings[at+i])
			at += i + 1
			continue
		}
		b, err := parseBinding(raw)
		if err != nil {
			return nil, err
		}
		next.append(raw, b)
	}
	return next, nil
}

// New makes a policy of bindings that come from elsewhere, perhaps from another policy,
// for reading: it has no etag and so cannot be written.
func New(bindings []Binding) *Policy { return new(Policy).Renew(bindings) }

// Renew is New for a later version of a policy that New made. What has not changed is kept
// once; when nothing has, it returns p itself.
func (p *Policy) Renew(bindings []Binding) *Policy {
	next := &Policy{}
	same := len(p.bindings) == len(bindings)
	for i, b := range bindings {
		if i < len(p.bindings) && p.bindings[i].says(b) {
			b = p.bindings[i]
		} else {
			same = false
		}
		next.append(nil, b)
	}
	if same {
		return p
	}
	return next
}

// says is whether two bindings are the same.
func (b Binding) says(o Binding) bool {
	return b.Role == o.Role && (b.Condition == o.Condition || b.Condition != nil && o.Condition != nil && *b.Condition == *o.Condition) &&
		slices.Equal(b.Members, o.Members)
}

// Size is about how many bytes of memory the policy takes.
func (p *Policy) Size() int {
	n := len(p.source)
	for _, b := range p.bindings {
		n += 250 + len(b.Role)
		for _, m := range b.Members {
			n += 16 + len(m)
		}
		if c := b.Condition; c != nil {
			n += 300 + 2*len(c.Expression) + len(c.Title) + len(c.Description) // what it means, too
		}
	}
	return n
}

// parseBinding reads one binding by the exact names of its fields; package json
// alone would take any case.
func parseBinding(raw []byte) (Binding, error) {
	fields, err := splitObject(raw)
	if err != nil {
		return Binding{}, err
	}
	var b Binding
	err = errors.Join(
		decode(fields, "role", text(&b.Role)),
		decode(fields, "members", texts(&b.Members)),
		decode(fields, "condition", func(raw []byte) error {
			if string(raw) == "null" {
				return nil
			}
			b.Condition = &Condition{}
			fields, err := splitObject(raw)
			return errors.Join(err,
				decode(fields, "title", text(&b.Condition.Title)),
				decode(fields, "description", text(&b.Condition.Description)),
				decode(fields, "expression", text(&b.Condition.Expression)))
		}))
	return b, err
}

// append adds a binding. It is for policies that nobody else has seen yet.
func (p *Policy) append(raw []byte, b Binding) {
	if b.meaning == nil {
		b.meaning = meaningOf(b)
	}
	p.raw = append(p.raw, raw)
	p.bindings = append(p.bindings, b)
}

// Etag is the version of the policy that was read; empty when Google sent none.
func (p *Policy) Etag() string { return p.etag }

// Bindings are all bindings, in order. They are not to be changed.
func (p *Policy) Bindings() []Binding { return p.bindings }

// ErrNoEtag: without an etag Google would let the write overwrite whatever stands
// there, with every condition lost if the version were 1
// (https://cloud.google.com/iam/docs/reference/rest/v1/Policy).
var ErrNoEtag = errors.New("the IAM policy came without an etag and must not be written")

// ErrOldVersion: the policy was read as version 1, in which Google hides the
// conditions and marks the roles instead.
var ErrOldVersion = errors.New("the IAM policy was read without its conditions and must not be written")

// Body is the body of the setIamPolicy call that writes the policy, as version 3
// and with the etag that was read. Everything that was not edited stands in it as
// it was read.
func (p *Policy) Body() ([]byte, error) {
	if p.etag == "" {
		return nil, ErrNoEtag
	}
	if slices.ContainsFunc(p.bindings, func(b Binding) bool { return strings.Contains(b.Role, "_withcond_") }) {
		return nil, ErrOldVersion
	}
	fields := set(set(p.fields, "bindings", joinArray(p.raw)), "version", []byte("3"))
	return joinObject(set(nil, "policy", joinObject(fields))), nil
}
