// Package iampolicy reads and edits the allow policy of one Google Cloud resource
// as raw JSON. It does no I/O. What it does not touch keeps its bytes: fields that
// we do not know, the order of bindings, other people's conditions.
package iampolicy

import (
	"encoding/json"
	"errors"
	"fmt"
)

// Policy is an allow policy as read from Google.
type Policy struct {
	raw      []byte
	etag     string
	bindings []Binding
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
// batchGet answer.
func Parse(raw []byte) (*Policy, error) {
	var p struct {
		Etag     string
		Bindings []Binding
	}
	if err := json.Unmarshal(raw, &p); err != nil {
		return nil, fmt.Errorf("reading an IAM policy: %w", err)
	}
	if len(raw) == 0 {
		return nil, errors.New("reading an IAM policy: empty")
	}
	return &Policy{raw: raw, etag: p.Etag, bindings: p.Bindings}, nil
}

// Etag is the version of the policy that was read; empty when Google sent none.
func (p *Policy) Etag() string { return p.etag }

// Bindings are all bindings, in order. They are not to be changed.
func (p *Policy) Bindings() []Binding { return p.bindings }
