// Package document reads a text in YAML 1.2, strictly, into a tree that knows where in
// the text everything stands. It finds every fault and goes on behind it.
//
// The YAML is what can be read in one way only: one document of mappings with text as
// keys, lists and scalars. Aliases, anchors, tags, merge keys, duplicate keys, tabs
// and characters that nobody sees are faults; so are more than 1 MB, and nesting
// deeper than 20.
package document

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"

	"jitaccess/internal/access"
)

const (
	// MaxSize is the longest text, in bytes.
	MaxSize = 1 << 20
	// MaxDepth is how deep lists and objects may be nested, the outermost counted.
	MaxDepth = 20
	// maxFaults is how many faults are told. Nobody mends more at a time.
	maxFaults = 200
	// maxBlanked is how many blocks that are no YAML are looked behind.
	maxBlanked = 20
)

// Kind is what sort of value a node is.
type Kind int

const (
	// Broken is what a fault has been told of. Readers must pass over it in silence.
	Broken Kind = iota
	Null
	Flag
	Number
	Text
	List
	Object
)

// Node is a value in the text. Line and Column count from 1, columns in characters.
type Node struct {
	Kind         Kind
	Line, Column int
	// Text is the scalar: of Text what it means, of all others as it is written.
	Text string
	// Items are the values of a List, Pairs those of an Object, in their order. No key
	// is there twice.
	Items []*Node
	Pairs []Pair
}

// Pair is an entry of an object. Key is of kind Text.
type Pair struct{ Key, Value *Node }

// Get is the value of a key; nil when the object does not have it, when the node is
// no object, and when it is nil.
func (n *Node) Get(key string) *Node {
	if n != nil {
		for _, p := range n.Pairs {
			if p.Key.Text == key {
				return p.Value
			}
		}
	}
	return nil
}

// Fault is what is wrong at a place of the text, and what would be right.
type Fault struct {
	Line, Column int
	Text         string
}

// Faults are all that is wrong with a text.
type Faults []Fault

// Add tells of a fault where the node stands.
func (f *Faults) Add(at *Node, format string, args ...any) {
	f.add(at.Line, at.Column, format, args...)
}

func (f *Faults) add(line, column int, format string, args ...any) {
	if len(*f) <= maxFaults {
		*f = append(*f, Fault{line, column, fmt.Sprintf(format, args...)})
	}
}

// Sorted are the faults in the order of the text, each once. Of very many only the
// first that were found are told, and that there are more.
func (f Faults) Sorted() Faults {
	cut := len(f) > maxFaults
	f = slices.Clone(f[:min(len(f), maxFaults)])
	slices.SortStableFunc(f, func(a, b Fault) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	f = slices.Compact(f)
	if cut {
		last := f[len(f)-1]
		f = append(f, Fault{last.Line, last.Column, fmt.Sprintf("there are more faults than the %d that are told here", maxFaults)})
	}
	return f
}

// Read reads the text. The node is the whole document, of kind Broken when there is
// nothing to be read.
func Read(text []byte) (*Node, Faults) {
	r := reader{}
	nothing := &Node{Kind: Broken, Line: 1, Column: 1}
	if len(text) > MaxSize {
		r.faults.add(1, 1, "the file has %d bytes, and may have %d", len(text), MaxSize)
		return nothing, r.faults
	}
	lines := r.clean(text)
	for range maxBlanked {
		root, at := r.parse(lines)
		if at == 0 {
			if root == nil {
				return nothing, r.faults
			}
			return r.node(root, 1), r.faults
		}
		if !blank(lines, at) {
			break
		}
	}
	return nothing, r.faults
}

type reader struct{ faults Faults }

// clean is the text in lines, with what no line may have told and replaced.
func (r *reader) clean(text []byte) []string {
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	lines := strings.Split(string(text), "\n")
	for i, line := range lines {
		line = strings.TrimSuffix(line, "\r")
		var b strings.Builder
		column := 0
		for at := 0; at < len(line); {
			c, size := utf8.DecodeRuneInString(line[at:])
			column++
			switch {
			case c == utf8.RuneError && size == 1:
				r.faults.add(i+1, column, "this byte is not UTF-8; save the file as UTF-8")
				c = '?'
			case c == '\t':
				r.faults.add(i+1, column, "a tab; write spaces")
				c = ' '
			case access.Unseen(c) || unicode.IsControl(c):
				r.faults.add(i+1, column, "the character U+%04X, which nobody sees; take it out", c)
				c = '?'
			}
			b.WriteRune(c)
			at += size
		}
		lines[i] = b.String()
	}
	return lines
}

// parse returns the document, nil when it is empty, or the line at which the text is no
// YAML.
func (r *reader) parse(lines []string) (root *yaml.Node, at int) {
	loader, err := yaml.NewLoader(strings.NewReader(strings.Join(lines, "\n")))
	if err != nil {
		return nil, r.syntax(err)
	}
	var document, second yaml.Node
	if err := loader.Load(&document); err == io.EOF {
		return nil, r.nothing()
	} else if err != nil {
		return nil, r.syntax(err)
	}
	switch err := loader.Load(&second); {
	case err == nil:
		r.faults.add(max(second.Line, 1), max(second.Column, 1), "a second document begins here; a file has one")
	case err != io.EOF:
		return nil, r.syntax(err)
	}
	if document.Kind == yaml.DocumentNode {
		if len(document.Content) == 0 {
			return nil, r.nothing()
		}
		return document.Content[0], 0
	}
	return &document, 0
}

// nothing tells that there is nothing, unless that is our doing.
func (r *reader) nothing() int {
	if len(r.faults) == 0 {
		r.faults.add(1, 1, "the file is empty")
	}
	return 0
}

// syntax tells of what is no YAML, and returns its line.
func (r *reader) syntax(err error) int {
	line, column, text := 1, 1, err.Error()
	if e, ok := errors.AsType[*yaml.LoadError](err); ok {
		line, column, text = max(e.Mark.Line, 1), max(e.Mark.Column, 1), e.Message
	}
	r.faults.add(line, column, "this cannot be read as YAML: %s", text)
	return line
}

// blockStart is where what stands before ends for certain: a key at the margin, or an
// entry of the list under it.
var blockStart = regexp.MustCompile(`^( {0,4}- |[A-Za-z_]+:)`)

// blank empties the block around a line, so that what lies behind it is read all the
// same; false when there is nothing left to empty. The fault may be told one line behind
// the block, where the parser noticed it.
func blank(lines []string, line int) bool {
	begin := min(line, len(lines)) - 1
	for begin > 0 && (strings.TrimSpace(lines[begin]) == "" || !blockStart.MatchString(lines[begin])) {
		begin--
	}
	empty := true
	for i := begin; i < len(lines) && (i == begin || !blockStart.MatchString(lines[i])); i++ {
		empty = empty && strings.TrimSpace(lines[i]) == ""
		lines[i] = ""
	}
	return !empty
}

// node is a node of the library in ours.
func (r *reader) node(y *yaml.Node, depth int) *Node {
	n := &Node{Line: y.Line, Column: y.Column, Text: y.Value}
	broken := func(format string, args ...any) *Node {
		r.faults.Add(n, format, args...)
		return &Node{Kind: Broken, Line: n.Line, Column: n.Column}
	}
	switch {
	case y.Kind == yaml.AliasNode:
		return broken("*%s is an alias; write out what it stands for", y.Value)
	case y.Anchor != "":
		return broken("&%s is an anchor; write out its value wherever it is meant", y.Anchor)
	case y.Style&yaml.TaggedStyle != 0 && strings.HasPrefix(y.Tag, "!") && !strings.HasPrefix(y.Tag, "!!"):
		return broken("what begins with ! must stand in quotes: %q", y.Tag+y.Value)
	case y.Style&yaml.TaggedStyle != 0:
		return broken("%s is a tag; leave it out", y.Tag)
	case depth > MaxDepth && y.Kind != yaml.ScalarNode:
		return broken("this is nested deeper than %d levels", MaxDepth)
	}
	switch y.Kind {
	case yaml.SequenceNode:
		n.Kind = List
		for _, item := range y.Content {
			n.Items = append(n.Items, r.node(item, depth+1))
		}
	case yaml.MappingNode:
		n.Kind = Object
		lines := map[string]int{}
		for i := 0; i+1 < len(y.Content); i += 2 {
			key := r.node(y.Content[i], depth+1)
			value := r.node(y.Content[i+1], depth+1)
			switch first := lines[key.Text]; {
			case key.Kind == Broken:
			case key.Text == "<<":
				r.faults.Add(key, "<< merges another object; write out what it has")
			case key.Kind != Text:
				r.faults.Add(key, "a key must be a word")
			case first != 0:
				r.faults.Add(key, "%q is there twice, first in line %d", key.Text, first)
			default:
				lines[key.Text] = key.Line
				n.Pairs = append(n.Pairs, Pair{key, value})
			}
		}
	case yaml.ScalarNode:
		n.Kind = Text
		if y.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) == 0 {
			n.Kind = plain(y.Value)
		}
	}
	return n
}

// What plain scalars are in the core schema of YAML 1.2 (10.3.2). All others are text:
// "yes", "on" and "07:00" too.
var (
	nulls   = []string{"", "~", "null", "Null", "NULL"}
	flags   = []string{"true", "True", "TRUE", "false", "False", "FALSE"}
	numbers = regexp.MustCompile(`^([-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+|[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|` +
		`[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$`)
)

func plain(text string) Kind {
	switch {
	case slices.Contains(nulls, text):
		return Null
	case slices.Contains(flags, text):
		return Flag
	case numbers.MatchString(text):
		return Number
	}
	return Text
}
