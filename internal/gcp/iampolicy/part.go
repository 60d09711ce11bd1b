package iampolicy

import (
	"fmt"
	"slices"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/gcp/condition"
)

// part is a binding that was made from another one; raw is nil when it would have
// no members.
type part struct {
	raw     []byte
	binding Binding
}

// only is a binding with those members alone of whom keep is true. It keeps everything
// else of the binding, fields that we do not know too.
func only(source []byte, b Binding, keep func(text string) bool) part {
	fields := parsed(source)
	raw, _ := split(valueOf(fields, "members"), '[')
	var kept [][]byte
	members := b.Members
	b.Members = nil
	for i, text := range members {
		if keep(text) {
			kept, b.Members = append(kept, raw[i]), append(b.Members, text)
		}
	}
	if len(kept) == 0 {
		return part{binding: b}
	}
	return part{joinObject(set(fields, "members", joinArray(kept))), b}
}

// until returns the binding with another window.
func (p part) until(w access.Window, resource string) (part, error) {
	expression, err := condition.Activation(w, resource)
	if err != nil {
		return part{}, err
	}
	c := *p.binding.Condition
	c.Expression = expression
	p.binding.Condition, p.binding.meaning = &c, nil
	if o, err := recognise(p.binding); err != nil || o == nil ||
		!o.window.End.Equal(w.End.Truncate(time.Second)) || !condition.Equal(o.resource, resource) {
		return part{}, fmt.Errorf("the shortened binding would not be read as meant: %w", err)
	}
	fields := parsed(p.raw)
	written := set(parsed(valueOf(fields, "condition")), "expression", encode(expression))
	p.raw = joinObject(set(fields, "condition", joinObject(written)))
	return p, nil
}

// valueOf is the value of a field that Parse has read before.
func valueOf(fields []field, name string) []byte {
	return fields[slices.IndexFunc(fields, func(f field) bool { return f.name == name })].value
}

// parsed takes apart what Parse has read before, or what was made from it.
func parsed(raw []byte) []field {
	fields, err := splitObject(raw)
	if err != nil {
		panic(err)
	}
	return fields
}
