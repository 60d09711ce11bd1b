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

// maxFields bounds the fields of one object; Google's have less than ten.
const maxFields = 100

// splitObject takes a JSON object apart, in order. A field that stands twice, in any
// case, is refused, and so is one that is too many.
func splitObject(raw []byte) ([]field, error) {
	values, ok := split(raw, '{')
	if !ok {
		return nil, errors.New("not a JSON object")
	}
	fields := make([]field, 0, len(values)/2)
	for ; len(values) > 0; values = values[2:] {
		var name string
		if err := unquote(values[0], &name); err != nil {
			return nil, err
		}
		if len(fields) >= maxFields || slices.ContainsFunc(fields, func(f field) bool { return strings.EqualFold(f.name, name) }) {
			return nil, fmt.Errorf("the field %.40q stands twice", name)
		}
		fields = append(fields, field{name, values[0], values[1]})
	}
	return fields, nil
}

// splitArray takes a JSON array apart; null is an empty one.
func splitArray(raw []byte) ([][]byte, error) {
	elements, ok := split(raw, '[')
	if !ok && string(raw) != "null" {
		return nil, errors.New("not a JSON array")
	}
	return elements, nil
}

// split returns the values in an object or array, names and values of an object in turn;
// ok is false when the bracket does not open it. The text is valid JSON already (see
// Reparse), so finding where a value ends takes no more than counting brackets outside of
// strings; a decoder that checks every byte again takes ten times as long, for each
// binding of a policy.
func split(raw []byte, bracket byte) (values [][]byte, ok bool) {
	s := scanner{raw: raw}
	if s.next() != bracket {
		return nil, false
	}
	s.at++
	values = make([][]byte, 0, 8) // as many as most have here
	for {
		switch s.next() {
		case '}', ']':
			return values, true
		case ',', ':':
			s.at++
		default:
			values = append(values, s.value())
		}
	}
}

// scanner walks over valid JSON.
type scanner struct {
	raw []byte
	at  int
}

// next skips white space and returns the byte that follows.
func (s *scanner) next() byte {
	for s.raw[s.at] <= ' ' { // outside of strings only white space is
		s.at++
	}
	return s.raw[s.at]
}

// value returns the value that begins here and goes past it, to what separates it from
// the next or closes what it stands in.
func (s *scanner) value() []byte {
	start := s.at
	for depth := 0; s.at < len(s.raw); s.at++ {
		switch s.raw[s.at] {
		case '"':
			s.string()
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return s.raw[start:s.at]
			}
			depth--
		case ',', ':', ' ', '\t', '\r', '\n':
			if depth == 0 {
				return s.raw[start:s.at]
			}
		}
	}
	return s.raw[start:]
}

// string goes from the quote that opens a string to the one that closes it: the first
// before which an even number of backslashes stands, since none of those escapes it.
func (s *scanner) string() {
	for escapes := 1; escapes%2 == 1; {
		s.at += 1 + bytes.IndexByte(s.raw[s.at+1:], '"')
		for escapes = 0; s.raw[s.at-1-escapes] == '\\'; {
			escapes++
		}
	}
}

// unquote reads a JSON string; null is none. Most have no escapes, and are read without
// package json.
func unquote(raw []byte, v *string) error {
	if n := len(raw) - 2; n >= 0 && raw[0] == '"' && bytes.IndexByte(raw, '\\') < 0 && utf8.Valid(raw) {
		*v = string(raw[1 : n+1])
		return nil
	}
	return json.Unmarshal(raw, v)
}

// joinObject is the reverse of splitObject, without the space between.
func joinObject(fields []field) []byte {
	texts := make([][]byte, len(fields))
	for i, f := range fields {
		texts[i] = slices.Concat(f.key, []byte(":"), f.value)
	}
	return slices.Concat([]byte("{"), bytes.Join(texts, []byte(",")), []byte("}"))
}

// joinArray is the reverse of splitArray.
func joinArray(elements [][]byte) []byte {
	return slices.Concat([]byte("["), bytes.Join(elements, []byte(",")), []byte("]"))
}

// decode gives the value of one field to read, if there is one. One that is there in
// another case is refused: package json would take it for the field, and Google does not.
func decode(fields []field, name string, read func(raw []byte) error) error {
	for _, f := range fields {
		if f.name != name && strings.EqualFold(f.name, name) {
			return fmt.Errorf("the field %q is written %.40q", name, f.name)
		}
		if f.name == name {
			if err := read(f.value); err != nil {
				return fmt.Errorf("the field %q: %w", name, err)
			}
		}
	}
	return nil
}

// text and texts read a string and a list of strings.
func text(v *string) func([]byte) error {
	return func(raw []byte) error { return unquote(raw, v) }
}

func texts(v *[]string) func([]byte) error {
	return func(raw []byte) error {
		elements, err := splitArray(raw)
		*v = make([]string, len(elements))
		for i, e := range elements {
			err = errors.Join(err, unquote(e, &(*v)[i]))
		}
		return err
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
