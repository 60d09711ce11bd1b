package document

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Schema says what shape documents have. It is as much of JSON Schema (draft 2020-12)
// as Check needs; ParseSchema refuses all that it would not check. Title is what a fault
// calls the value, as in "a length of time such as 90m"; in an object, "a rule". Of
// alternatives (OneOf) one fits by its kind, or has the keys that are required.
type Schema struct {
	Dialect              string              `json:"$schema"`
	Ref                  string              `json:"$ref"`
	Defs                 map[string]*Schema  `json:"$defs"`
	Title                string              `json:"title"`
	Description          string              `json:"description"`
	Type                 string              `json:"type"`
	Properties           map[string]*Schema  `json:"properties"`
	AdditionalProperties *Others             `json:"additionalProperties"`
	Required             []string            `json:"required"`
	DependentRequired    map[string][]string `json:"dependentRequired"`
	MinProperties        int                 `json:"minProperties"`
	Items                *Schema             `json:"items"`
	MinItems             int                 `json:"minItems"`
	MaxItems             int                 `json:"maxItems"`
	OneOf                []*Schema           `json:"oneOf"`
	Const                any                 `json:"const"`
	Enum                 []string            `json:"enum"`
	Pattern              *regexp.Regexp      `json:"pattern"`
	MinLength            int                 `json:"minLength"`
	MaxLength            int                 `json:"maxLength"`
	Minimum              *int                `json:"minimum"`
	Maximum              *int                `json:"maximum"`
}

// Others is what an object may have under keys that are none of its Properties: nothing, or
// values as a schema says.
type Others struct{ Each *Schema }

// UnmarshalJSON reads false, or a schema.
func (o *Others) UnmarshalJSON(text []byte) error {
	if string(text) == "false" {
		return nil
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	return decoder.Decode(&o.Each)
}

// ParseSchema reads a schema. References are resolved; they may not go in circles.
func ParseSchema(text []byte) (*Schema, error) {
	decoder := json.NewDecoder(strings.NewReader(string(text)))
	decoder.DisallowUnknownFields()
	s := &Schema{}
	if err := decoder.Decode(s); err != nil {
		return nil, err
	}
	return s.resolved(s, 0)
}

// resolved puts what is referred to in the place of the reference.
func (s *Schema) resolved(root *Schema, depth int) (*Schema, error) {
	if depth > MaxDepth {
		return nil, fmt.Errorf("%q refers to itself", s.Title)
	}
	if s.Ref != "" {
		to := root.Defs[strings.TrimPrefix(s.Ref, "#/$defs/")]
		if to == nil {
			return nil, fmt.Errorf("there is no %s", s.Ref)
		}
		return to.resolved(root, depth+1)
	}
	var err error
	resolve := func(of **Schema) {
		if *of != nil && err == nil {
			*of, err = (*of).resolved(root, depth+1)
		}
	}
	resolve(&s.Items)
	for i := range s.OneOf {
		resolve(&s.OneOf[i])
	}
	if s.AdditionalProperties != nil {
		resolve(&s.AdditionalProperties.Each)
	}
	for _, key := range slices.Sorted(maps.Keys(s.Properties)) {
		property := s.Properties[key]
		resolve(&property)
		s.Properties[key] = property
	}
	return s, err
}

// Check tells of everything in which the node differs from the schema, and makes Broken
// what cannot be read: values of the wrong kind or form, and keys that do not exist.
func (s *Schema) Check(n *Node, faults *Faults) { s.check(n, s.Title, faults) }

// check is about the value that stands under a name.
func (s *Schema) check(n *Node, name string, faults *Faults) {
	if n.Kind == Broken {
		return
	}
	fits := s.fits(n)
	if len(s.OneOf) > 0 && s.Type == "" {
		fits = false
		for _, one := range s.OneOf {
			if one.kind() == n.Kind {
				one.check(n, name, faults)
				return
			}
		}
	}
	if !fits {
		faults.Add(n, "%s must be %s, not %s", name, s.Title, n.described())
		*n = Node{Kind: Broken, Line: n.Line, Column: n.Column}
		return
	}
	switch n.Kind {
	case List:
		if len(n.Items) < s.MinItems || s.MaxItems > 0 && len(n.Items) > s.MaxItems {
			faults.Add(n, "%s must have %d to %d entries, and has %d", name, s.MinItems, s.MaxItems, len(n.Items))
		}
		for _, item := range n.Items {
			s.Items.check(item, "an entry of "+name, faults)
		}
	case Object:
		s.checkObject(n, name, faults)
	}
}

func (s *Schema) checkObject(n *Node, name string, faults *Faults) {
	keys := slices.Sorted(maps.Keys(s.Properties))
	meant := map[string]bool{} // that were misspelt
	known := slices.DeleteFunc(slices.Clone(n.Pairs), func(p Pair) bool {
		key := p.Key.Text
		if property := s.Properties[key]; property != nil {
			property.check(p.Value, key, faults)
			return false
		}
		if others := s.AdditionalProperties; others != nil && others.Each != nil {
			others.Each.check(p.Value, key, faults)
			return false
		}
		if near := nearest(key, keys); near != "" && n.Get(near) == nil {
			faults.Add(p.Key, "%s has no key %q; %q is probably meant", s.Title, key, near)
			meant[near] = true
		} else {
			faults.Add(p.Key, "%s has no key %q; it may have %s", s.Title, key, strings.Join(keys, ", "))
		}
		return true
	})
	has := func(key string) bool { return n.Get(key) != nil || meant[key] || n.torn }
	for _, key := range s.Required {
		if !has(key) {
			faults.Add(n, "%s needs the key %q", s.Title, key)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(s.DependentRequired)) {
		for _, needed := range s.DependentRequired[key] {
			if has(key) && !has(needed) {
				faults.Add(n, "%s has %q, and needs %q beside it", s.Title, key, needed)
			}
		}
	}
	if len(s.OneOf) > 0 {
		var keys []string
		count := 0
		for _, one := range s.OneOf {
			keys = append(keys, one.Required...)
			if !slices.ContainsFunc(one.Required, func(key string) bool { return !has(key) }) {
				count++
			}
		}
		if count != 1 && !n.torn {
			faults.Add(n, "%s needs one of %s, and has %d", s.Title, strings.Join(keys, " and "), count)
		}
	}
	if len(n.Pairs) < s.MinProperties && !n.torn && len(s.Required) < s.MinProperties {
		faults.Add(n, "%s says nothing; add to it, or leave it out", name)
	}
	n.Pairs = known
}

// nearest is the key that is meant by a misspelt one: two letters or fewer are wrong in it,
// and fewer than in any other. Empty is none.
func nearest(text string, keys []string) string {
	least, found := 3, ""
	for _, key := range keys {
		switch wrong := edits(text, key); {
		case wrong < least && wrong < len(key)-1:
			least, found = wrong, key
		case wrong == least:
			found = ""
		}
	}
	return found
}

// edits is how many letters must be put in, taken out, changed or swapped with the next
// one to make one text of the other.
func edits(a, b string) int {
	if max(len(a), len(b)) > 40 {
		return 40
	}
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		for j := range rows[i] {
			if i == 0 || j == 0 {
				rows[i][j] = i + j
				continue
			}
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}

// kind is the sort of value that the schema is about.
func (s *Schema) kind() Kind {
	switch _, flag := s.Const.(bool); {
	case s.Type == "object":
		return Object
	case s.Type == "array":
		return List
	case s.Type == "boolean" || flag:
		return Flag
	case s.Type == "integer" || s.Const != nil:
		return Number
	}
	return Text
}

// fits is whether the value itself is as it should be; what is in it is not looked at.
func (s *Schema) fits(n *Node) bool {
	if s.kind() != n.Kind {
		return false
	}
	switch n.Kind {
	case Number:
		i, err := strconv.Atoi(n.Text)
		return err == nil && (s.Const == nil || s.Const == float64(i)) &&
			(s.Minimum == nil || i >= *s.Minimum) && (s.Maximum == nil || i <= *s.Maximum)
	case Flag:
		return s.Const == nil || s.Const == n.True()
	case Text:
		length := utf8.RuneCountInString(n.Text)
		return (s.Enum == nil || slices.Contains(s.Enum, n.Text)) && (s.Pattern == nil || s.Pattern.MatchString(n.Text)) &&
			length >= s.MinLength && (s.MaxLength == 0 || length <= s.MaxLength)
	}
	return true
}

// True is whether a Flag is true.
func (n *Node) True() bool { return n.Kind == Flag && strings.EqualFold(n.Text, "true") }

// described is the value as a fault shows it.
func (n *Node) described() string {
	switch {
	case n.Kind == List:
		return "a list"
	case n.Kind == Object:
		return "an object"
	case n.Kind == Null:
		return "nothing"
	case n.Kind == Text && utf8.RuneCountInString(n.Text) > 80:
		return strconv.Quote(string([]rune(n.Text)[:80])) + "…"
	case n.Kind == Text:
		return strconv.Quote(n.Text)
	}
	return n.Text
}
