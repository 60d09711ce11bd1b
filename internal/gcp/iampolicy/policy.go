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
	"strings"
)

// Policy is an allow policy as read from Google, perhaps edited since.
type Policy struct {
	etag string
	// fields are those of the policy, in order; the value of "bindings" is stale
	// and written from elements.
	fields []field
	// elements and bindings are the bindings, raw and for reading, side by side.
	elements []element
	bindings []Binding
}

// element is one binding.
type element struct {
	raw []byte
	// own is nil when the binding is not ours.
	own *own
	// err is why a binding that seems to be ours cannot be understood; it is then
	// treated as somebody else's.
	err error
}

// Binding is one binding of a policy, for reading.
type Binding struct {
	Role    string
	Members []string
	// Condition is nil when there is none.
	Condition *Condition
}

// Condition is the condition of a binding.
type Condition struct {
	Title       string `json:"title"`
	Description string `json:"description"`
	Expression  string `json:"expression"`
}

// Parse reads the body of a getIamPolicy answer, or one policy of a
// batchGet answer. A policy in which a field stands twice, or in two spellings that
// differ in case alone, is refused: readers could disagree on what it says.
func Parse(raw []byte) (*Policy, error) {
	p, err := parse(raw)
	if err != nil {
		return nil, fmt.Errorf("reading an IAM policy: %w", err)
	}
	return p, nil
}

// New makes a policy of bindings that come from elsewhere, for reading: it has no
// etag and so cannot be written.
func New(bindings []Binding) *Policy {
	p := &Policy{}
	for _, b := range bindings {
		p.append(nil, b)
	}
	return p
}

func parse(raw []byte) (*Policy, error) {
	if !json.Valid(raw) {
		return nil, errors.New("not JSON")
	}
	fields, err := splitObject(raw)
	if err != nil {
		return nil, err
	}
	p := &Policy{fields: fields}
	var bindings [][]byte
	if err := errors.Join(decode(fields, "etag", text(&p.etag)), decode(fields, "bindings", func(raw []byte) (err error) {
		bindings, err = splitArray(raw)
		return err
	})); err != nil {
		return nil, err
	}
	for _, raw := range bindings {
		b, err := parseBinding(raw)
		if err != nil {
			return nil, err
		}
		p.append(raw, b)
	}
	return p, nil
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
			return parseCondition(raw, b.Condition)
		}))
	return b, err
}

func parseCondition(raw []byte, c *Condition) error {
	fields, err := splitObject(raw)
	if err != nil {
		return err
	}
	return errors.Join(
		decode(fields, "title", text(&c.Title)),
		decode(fields, "description", text(&c.Description)),
		decode(fields, "expression", text(&c.Expression)))
}

// append adds a binding. It is for policies that nobody else has seen yet.
func (p *Policy) append(raw []byte, b Binding) {
	o, err := recognise(b)
	p.elements = append(p.elements, element{raw: raw, own: o, err: err})
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
	bindings := []byte{'['}
	for i, e := range p.elements {
		if strings.Contains(p.bindings[i].Role, "_withcond_") {
			return nil, ErrOldVersion
		}
		if i > 0 {
			bindings = append(bindings, ',')
		}
		bindings = append(bindings, e.raw...)
	}
	bindings = append(bindings, ']')
	fields := set(set(p.fields, "bindings", bindings), "version", []byte("3"))
	return bytes.Join([][]byte{[]byte(`{"policy":`), []byte("}")}, joinObject(fields)), nil
}
