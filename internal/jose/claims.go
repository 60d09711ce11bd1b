package jose

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"unicode/utf8"
)

// Claims are the members of a JSON object, by exact name, each as it was written.
type Claims map[string]json.RawMessage

// maxDepth is how deep objects and arrays may nest, the outermost included.
const maxDepth = 8

var (
	errNotObject = errors.New("not a JSON object")
	errDuplicate = errors.New("a JSON member stands twice")
	errTooDeep   = errors.New("JSON nests too deeply")
)

// ParseClaims reads a JSON object. Unlike encoding/json it tells names apart by
// case, and refuses a name that stands twice at any level (there, the last would
// win, and another reader might take the first), what is not UTF-8, and deep
// nesting.
func ParseClaims(text []byte) (Claims, error) {
	if !utf8.Valid(text) || !json.Valid(text) {
		return nil, errNotObject
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := checkValue(d, 0); err != nil {
		return nil, err
	}
	var c Claims
	// The text null would be a nil map.
	if err := json.Unmarshal(text, &c); err != nil || c == nil {
		return nil, errNotObject
	}
	return c, nil
}

// checkValue reads one value, which is known to be valid JSON.
func checkValue(d *json.Decoder, depth int) error {
	token, err := d.Token()
	open, nested := token.(json.Delim)
	if err != nil || !nested {
		return err
	}
	if depth == maxDepth {
		return errTooDeep
	}
	seen := map[json.Token]bool{}
	for d.More() {
		if open == '{' {
			name, err := d.Token()
			if err != nil {
				return err
			}
			if seen[name] {
				return errDuplicate
			}
			seen[name] = true
		}
		if err := checkValue(d, depth+1); err != nil {
			return err
		}
	}
	_, err = d.Token() // the closing delimiter
	return err
}

// Exactly is whether these are the names of all members: none missing, none more.
func (c Claims) Exactly(names ...string) bool {
	return len(c) == len(names) && !slices.ContainsFunc(names, func(name string) bool { return c[name] == nil })
}

// absentOr is whether a member is not there or is a string with this value.
func (c Claims) absentOr(name, value string) bool {
	s, _ := c.String(name)
	return c[name] == nil || s == value
}

// String returns a member that must be a string.
func (c Claims) String(name string) (string, error) {
	s, ok := text(c[name])
	if !ok {
		return "", fmt.Errorf("claim %s is missing or not a string", name)
	}
	return s, nil
}

// Strings returns a member that must be an array of strings.
func (c Claims) Strings(name string) ([]string, error) {
	var items []json.RawMessage
	if err := json.Unmarshal(c[name], &items); err != nil || items == nil {
		return nil, fmt.Errorf("claim %s is missing or not an array", name)
	}
	list := make([]string, 0, len(items))
	for _, item := range items {
		s, ok := text(item)
		if !ok {
			return nil, fmt.Errorf("claim %s has an item that is not a string", name)
		}
		list = append(list, s)
	}
	return list, nil
}

// Int64 returns a member that must be a whole number, without a fraction or an exponent.
func (c Claims) Int64(name string) (int64, error) {
	n, err := strconv.ParseInt(string(c[name]), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("claim %s is missing or not a whole number", name)
	}
	return n, nil
}

// Object returns a member that must be an object.
func (c Claims) Object(name string) (Claims, error) {
	var o Claims
	if err := json.Unmarshal(c[name], &o); err != nil || o == nil {
		return nil, fmt.Errorf("claim %s is missing or not an object", name)
	}
	return o, nil
}

// text reads a JSON string and nothing that would become one, such as null.
func text(raw json.RawMessage) (s string, ok bool) {
	if len(raw) == 0 || raw[0] != '"' {
		return "", false
	}
	err := json.Unmarshal(raw, &s)
	return s, err == nil
}
