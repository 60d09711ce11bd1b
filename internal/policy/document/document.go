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
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"

	"jitaccess/internal/access"
	"jitaccess/internal/lazyregexp"
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
	// torn: some of it could not be read, so that nobody knows what is missing in it.
	torn bool
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
		root, fault := r.parse(lines)
		if fault == nil {
			if root == nil {
				return nothing, r.faults
			}
			n := r.node(root, 1)
			n.torn = r.torn
			return n, r.faults
		}
		begin, end := blockAround(lines, fault.Line)
		// A tab or a byte that has been told of is the better reason.
		if !slices.ContainsFunc(r.faults, func(f Fault) bool { return begin < f.Line && f.Line <= end }) {
			r.faults.add(fault.Line, fault.Column, "%s", fault.Text)
		}
		if !blank(lines[begin:end]) {
			break
		}
		r.torn = true
	}
	return nothing, r.faults
}

type reader struct {
	faults Faults
	// torn: some lines could not be read, and were left out.
	torn bool
}

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

// parse returns the document, nil when it is empty, or where the text is no YAML.
func (r *reader) parse(lines []string) (*yaml.Node, *Fault) {
	loader, err := yaml.NewLoader(strings.NewReader(strings.Join(lines, "\n")))
	if err != nil {
		return nil, syntax(err)
	}
	var document, second yaml.Node
	if err := loader.Load(&document); err != nil && err != io.EOF {
		return nil, syntax(err)
	}
	switch err := loader.Load(&second); {
	case err == nil:
		r.faults.add(max(second.Line, 1), max(second.Column, 1), "a second document begins here; a file has one")
	case err != io.EOF:
		return nil, syntax(err)
	}
	if document.Kind == yaml.DocumentNode && len(document.Content) > 0 {
		return document.Content[0], nil
	}
	if len(r.faults) == 0 { // or else it is our doing
		r.faults.add(1, 1, "the file is empty")
	}
	return nil, nil
}

// remedies are what to do about what the parser says, by a part of it.
var remedies = []struct{ said, do string }{
	{"mapping values are not allowed", `put the text in quotes if a colon belongs to it, and else begin a new line`},
	{"cannot start any token", "put the text in quotes"},
	{"did not find expected key", "begin in the same column as the lines that it belongs to, and put text with quotes or brackets in quotes"},
	{"did not find expected '-'", "begin in the same column as the entries that it belongs to"},
	{"did not find expected ','", "close the bracket, or put a comma between the entries"},
	{"did not find expected node content", "close the bracket, or write what is missing behind the comma"},
	{"unexpected end of stream", "close the quote"},
	{"could not find expected ':'", "write a colon and a space behind the key, and put text of several lines in quotes"},
}

// syntax tells of what is no YAML.
func syntax(err error) *Fault {
	f := &Fault{Line: 1, Column: 1, Text: err.Error()}
	if e, ok := errors.AsType[*yaml.LoadError](err); ok {
		mark := e.Mark
		if strings.Contains(e.Message, "end of stream") && e.ContextMark.Line > 0 {
			mark = e.ContextMark // where it was opened
		}
		*f = Fault{max(mark.Line, 1), max(mark.Column, 1), e.Message}
	}
	f.Text = "this cannot be read as YAML: " + f.Text
	for _, r := range remedies {
		if strings.Contains(f.Text, r.said) {
			f.Text += "; " + r.do
			break
		}
	}
	return f
}

// blockStart is where what stands before ends for certain: a key at the margin, or an
// entry of the list under it.
var blockStart = lazyregexp.New(`^( {0,4}- |[A-Za-z_]+:)`)

// blockAround is the block of lines around one, from begin to before end. The fault may be
// told one line behind it, where the parser noticed it.
func blockAround(lines []string, line int) (begin, end int) {
	begin = min(line, len(lines)) - 1
	for begin > 0 && (strings.TrimSpace(lines[begin]) == "" || !blockStart().MatchString(lines[begin])) {
		begin--
	}
	end = begin + 1
	for end < len(lines) && !blockStart().MatchString(lines[end]) {
		end++
	}
	return begin, end
}

// blank empties lines, so that what lies behind them is read all the same; false when
// there is nothing to empty.
func blank(lines []string) bool {
	empty := true
	for i, line := range lines {
		empty = empty && strings.TrimSpace(line) == ""
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
		if r.torn && n.Kind == Null && y.Value == "" {
			n.Kind = Broken // what stood there could not be read
		}
	}
	return n
}

// What plain scalars are in the core schema of YAML 1.2 (10.3.2). All others are text:
// "yes", "on" and "07:00" too.
var (
	nulls   = []string{"", "~", "null", "Null", "NULL"}
	flags   = []string{"true", "True", "TRUE", "false", "False", "FALSE"}
	numbers = lazyregexp.New(`^([-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+|[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|` +
		`[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$`)
)

func plain(text string) Kind {
	switch {
	case slices.Contains(nulls, text):
		return Null
	case slices.Contains(flags, text):
		return Flag
	case numbers().MatchString(text):
		return Number
	}
	return Text
}
