package iampolicy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// field is one field of a JSON object, with its name and value as they were
// written.
type field struct {
	name string
	// key is the name in its quotes, perhaps with escapes.
	key, value []byte
}

// splitObject takes a JSON object apart, in order. The text is valid JSON already
// (see Parse), so finding where a value ends takes no more than counting brackets
// outside of strings; a decoder that checks every byte again takes ten times as
// long, for each binding of a policy.
func splitObject(raw []byte) ([]field, error) {
	s := scanner{raw: raw}
	if s.next() != '{' {
		return nil, errors.New("not a JSON object")
	}
	s.at++
	fields := make([]field, 0, 4) // as many as most objects here have
	for s.next() != '}' {
		if raw[s.at] == ',' {
			s.at++
			s.next()
		}
		key := s.value()
		var name string
		if err := unquote(key, &name); err != nil {
			return nil, err
		}
		if stands(fields, name) {
			return nil, fmt.Errorf("the field %.40q stands twice", name)
		}
		s.next()
		s.at++ // the colon
		s.next()
		fields = append(fields, field{name, key, s.value()})
	}
	return fields, nil
}

// maxFields bounds the fields of one object; Google's have less than ten.
const maxFields = 100

// stands is whether there is a field of the name already, in any case. With too
// many fields every further one counts as standing twice.
func stands(fields []field, name string) bool {
	return len(fields) >= maxFields || slices.ContainsFunc(fields, func(f field) bool { return strings.EqualFold(f.name, name) })
}

// splitArray takes a JSON array apart; null is an empty one.
func splitArray(raw []byte) ([][]byte, error) {
	s := scanner{raw: raw}
	if string(raw) == "null" {
		return nil, nil
	}
	if s.next() != '[' {
		return nil, errors.New("not a JSON array")
	}
	s.at++
	elements := make([][]byte, 0, 8)
	for s.next() != ']' {
		if raw[s.at] == ',' {
			s.at++
			s.next()
		}
		elements = append(elements, s.value())
	}
	return elements, nil
}

// scanner walks over valid JSON.
type scanner struct {
	raw []byte
	at  int
}

// next skips white space and returns the byte that follows.
func (s *scanner) next() byte {
	for {
		switch c := s.raw[s.at]; c {
		case ' ', '\t', '\r', '\n':
			s.at++
		default:
			return c
		}
	}
}

// value returns the value that begins here and goes past it.
func (s *scanner) value() []byte {
	start := s.at
	for depth := 0; s.at < len(s.raw); {
		switch s.raw[s.at] {
		case '"':
			s.skipString()
			if depth == 0 {
				return s.raw[start:s.at]
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth < 0 { // the end of what a number or a word stands in
				return s.raw[start:s.at]
			}
			if depth == 0 {
				s.at++
				return s.raw[start:s.at]
			}
		case ',', ' ', '\t', '\r', '\n':
			if depth == 0 {
				return s.raw[start:s.at]
			}
		}
		s.at++
	}
	return s.raw[start:s.at]
}

// skipString goes past the string that begins here.
func (s *scanner) skipString() {
	for s.at++; ; s.at++ {
		end := s.at + bytes.IndexByte(s.raw[s.at:], '"')
		escape := bytes.IndexByte(s.raw[s.at:end], '\\')
		if escape < 0 {
			s.at = end + 1
			return
		}
		s.at += escape + 1 // the escaped byte, which may be a quote
	}
}

// unquote reads a JSON string. Most have no escapes, and are read without package
// json.
func unquote(raw []byte, v *string) error {
	if n := len(raw) - 2; n >= 0 && raw[0] == '"' && bytes.IndexByte(raw, '\\') < 0 && utf8.Valid(raw) {
		*v = string(raw[1 : n+1])
		return nil
	}
	return json.Unmarshal(raw, v)
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

// decode gives the value of one field to v, if there is one. One
// that is there in another case is refused: package json would take it for the
// field, and Google does not.
func decode(fields []field, name string, v func(raw []byte) error) error {
	for _, f := range fields {
		if f.name != name && strings.EqualFold(f.name, name) {
			return fmt.Errorf("the field %q is written %.40q", name, f.name)
		}
		if f.name == name {
			if err := v(f.value); err != nil {
				return fmt.Errorf("the field %q: %w", name, err)
			}
		}
	}
	return nil
}

// text and texts read a string and a list of strings.
func text(v *string) func([]byte) error {
	return func(raw []byte) error {
		if string(raw) == "null" {
			return nil
		}
		return unquote(raw, v)
	}
}

func texts(v *[]string) func([]byte) error {
	return func(raw []byte) error {
		elements, err := splitArray(raw)
		if err != nil {
			return err
		}
		*v = make([]string, len(elements))
		for i, e := range elements {
			if err := unquote(e, &(*v)[i]); err != nil {
				return err
			}
		}
		return nil
	}
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
