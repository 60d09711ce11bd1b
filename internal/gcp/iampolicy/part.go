package iampolicy

import (
	"fmt"
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

// split parts the members of a binding: those of whom out is false, and those of
// whom it is true. Both parts keep everything else of the binding, fields that we
// do not know too.
func split(source []byte, b Binding, out func(text string) bool) (rest, taken part) {
	fields := parsed(source)
	var raw [][]byte
	if err := decode(fields, "members", func(value []byte) (err error) { raw, err = splitArray(value); return err }); err != nil {
		panic(err) // was read by Parse
	}
	rest.binding, taken.binding = b, b
	rest.binding.Members, taken.binding.Members = nil, nil
	var kept, gone [][]byte
	for i, text := range b.Members {
		if out(text) {
			gone, taken.binding.Members = append(gone, raw[i]), append(taken.binding.Members, text)
		} else {
			kept, rest.binding.Members = append(kept, raw[i]), append(rest.binding.Members, text)
		}
	}
	if len(kept) > 0 {
		rest.raw = joinObject(set(fields, "members", joinArray(kept)))
	}
	if len(gone) > 0 {
		taken.raw = joinObject(set(fields, "members", joinArray(gone)))
	}
	return rest, taken
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
	if o, err := recognise(p.binding); err != nil || o == nil || !o.window.End.Equal(w.End.Truncate(time.Second)) || !condition.Equal(o.resource, resource) {
		return part{}, fmt.Errorf("the shortened binding would not be read as meant: %w", err)
	}
	fields := parsed(p.raw)
	var raw []byte
	if err := decode(fields, "condition", func(value []byte) error { raw = value; return nil }); err != nil {
		panic(err) // was read by Parse
	}
	p.raw = joinObject(set(fields, "condition", joinObject(set(parsed(raw), "expression", encode(expression)))))
	return p, nil
}

// parsed takes apart what Parse has read before, or what was made from it.
func parsed(raw []byte) []field {
	fields, err := splitObject(raw)
	if err != nil {
		panic(err)
	}
	return fields
}

func joinArray(items [][]byte) []byte {
	out := []byte{'['}
	for i, item := range items {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, item...)
	}
	return append(out, ']')
}
