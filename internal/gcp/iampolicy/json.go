package iampolicy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// field is one field of a JSON object, with its name and value as they were
// written.
type field struct {
	name string
	// key is the name in its quotes, perhaps with escapes.
	key, value []byte
}

// splitObject takes a JSON object apart, in order.
func splitObject(raw []byte) ([]field, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	if t, err := d.Token(); err != nil {
		return nil, unexpectedEnd(err)
	} else if t != json.Delim('{') {
		return nil, errors.New("not a JSON object")
	}
	var fields []field
	seen := map[string]bool{}
	for d.More() {
		start := d.InputOffset()
		t, err := d.Token()
		if err != nil {
			return nil, unexpectedEnd(err)
		}
		name, ok := t.(string)
		if !ok {
			return nil, errors.New("a field without a name")
		}
		if folded := strings.ToLower(name); seen[folded] {
			return nil, fmt.Errorf("the field %.40q stands twice", name)
		} else {
			seen[folded] = true
		}
		key := bytes.TrimLeft(raw[start:d.InputOffset()], ", \t\r\n")
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, unexpectedEnd(err)
		}
		fields = append(fields, field{name, key, value})
	}
	if _, err := d.Token(); err != nil {
		return nil, unexpectedEnd(err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("more than one JSON value")
	}
	return fields, nil
}

// unexpectedEnd keeps a text that was cut off from looking like a proper end.
func unexpectedEnd(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// joinObject is the reverse of splitObject, without the space between.
func joinObject(fields []field) []byte {
	out := []byte{'{'}
	for i, f := range fields {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(append(append(out, f.key...), ':'), f.value...)
	}
	return append(out, '}')
}

// decode reads the value of one field; one that is not there leaves v alone. One
// that is there in another case is refused: package json would take it for the
// field, and Google does not.
func decode(fields []field, name string, v any) error {
	for _, f := range fields {
		if f.name != name && strings.EqualFold(f.name, name) {
			return fmt.Errorf("the field %q is written %.40q", name, f.name)
		}
		if f.name == name {
			if err := json.Unmarshal(f.value, v); err != nil {
				return fmt.Errorf("the field %q: %w", name, err)
			}
		}
	}
	return nil
}

// set returns the fields with the value of one replaced, or added at the end.
func set(fields []field, name string, value []byte) []field {
	fields = slices.Clone(fields)
	for i := range fields {
		if fields[i].name == name {
			fields[i].value = value
			return fields
		}
	}
	return append(fields, field{name, encode(name), value})
}

// encode writes JSON as Google does, with < and & as they are: the text of a
// condition should be readable wherever the policy is shown.
func encode(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(err) // strings and lists of strings always encode
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
