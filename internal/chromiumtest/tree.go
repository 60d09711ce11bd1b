package chromiumtest

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/dom"
	"github.com/chromedp/cdproto/runtime"
)

// states are what a screen reader says of an element besides its role, name and value, in this
// order. What is false or none is left out, and so is what every element of its role has.
var states = []accessibility.PropertyName{"level", "checked", "selected", "pressed", "expanded", "disabled", "readonly", "required",
	"invalid", "busy", "modal", "roledescription", "focused"}

// silent are roles of which nothing is said: only what is inside.
var silent = []string{"none", "generic", "InlineTextBox", "RootWebArea", "paragraph", "LabelText", "Legend", "strong", "emphasis", "time",
	"ListMarker", "DescriptionList", "LineBreak", "Ruby", "code", "superscript", "mark", "SvgRoot"}

// unnamed are roles of which something is said only if they have a name.
var unnamed = []string{"form", "group", "section", "figure"}

// Tree is what a screen reader is told of an element of the page and of what is inside, as text in
// the order of reading: a line each with role, name, states, value and description, further in by
// what it is inside of. What is hidden from a screen reader is left out.
func Tree(t testing.TB, tab context.Context, selector string) string {
	t.Helper()
	// Numbers of nodes end whenever anybody asks for the document anew, as the library does when a page
	// is loaded; objects do not.
	found := call(t, tab, runtime.Evaluate, runtime.EvaluateParams{Expression: fmt.Sprintf("document.querySelector(%q)", selector)})
	if found.Result == nil || found.Result.ObjectID == "" {
		t.Fatalf("the page has no %s", selector)
	}
	element := call(t, tab, dom.DescribeNode, dom.DescribeNodeParams{ObjectID: found.Result.ObjectID})
	nodes := map[accessibility.NodeID]*accessibility.Node{}
	var top *accessibility.Node
	for _, n := range call(t, tab, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{}).Nodes {
		nodes[n.NodeID] = n
		if n.BackendDOMNodeID == element.Node.BackendNodeID {
			top = n
		}
	}
	if top == nil {
		t.Fatalf("a screen reader is told nothing of %s", selector)
	}
	// Screen readers say the text of a label with the field that it is of.
	labels := ""
	for _, n := range nodes {
		if slices.Contains(fields, text(n.Role)) {
			labels += text(n.Name) + "\n"
		}
	}
	var b strings.Builder
	write(&b, nodes, top, 0, "", labels)
	return b.String()
}

// fields are roles of what has a label, and of which the value is said, not what is inside.
var fields = []string{"textbox", "searchbox", "spinbutton", "combobox", "checkbox", "radio", "Date", "DateTime"}

// write writes what is said of n and of what is inside. What within has was just said as the name of
// what n is inside of, and labels are those of all fields.
func write(b *strings.Builder, nodes map[accessibility.NodeID]*accessibility.Node, n *accessibility.Node, depth int,
	within, labels string) {
	role, name := text(n.Role), text(n.Name)
	if role == "LabelText" {
		within += "\n" + labels
	}
	switch {
	case role == "StaticText":
		// What names an element is said once.
		if said := strings.TrimSpace(name); said != "" && !strings.Contains(within, said) {
			fmt.Fprintf(b, "%s%s\n", strings.Repeat("  ", depth), said)
		}
		return
	case !n.Ignored && !slices.Contains(silent, role) && (name != "" || !slices.Contains(unnamed, role)):
		fmt.Fprintf(b, "%s[%s]", strings.Repeat("  ", depth), role)
		if name != "" {
			fmt.Fprintf(b, " %s", name)
		}
		for _, p := range states {
			for _, has := range n.Properties {
				if has.Name != p || p == "level" && role != "heading" {
					continue
				}
				switch v := text(has.Value); v {
				case "", "false":
					if p == "expanded" {
						b.WriteString(" (collapsed)")
					}
				case "true":
					fmt.Fprintf(b, " (%s)", p)
				default:
					fmt.Fprintf(b, " (%s %s)", p, v)
				}
			}
		}
		if v := text(n.Value); v != "" {
			fmt.Fprintf(b, " = %s", v)
		}
		if d := text(n.Description); d != "" {
			fmt.Fprintf(b, " · %s", d)
		}
		b.WriteString("\n")
		depth, within = depth+1, name
		if slices.Contains(fields, role) {
			return
		}
	}
	for _, id := range n.ChildIDs {
		if child := nodes[id]; child != nil {
			write(b, nodes, child, depth, within, labels)
		}
	}
}

// text is a value as one line.
func text(v *accessibility.Value) string {
	if v == nil {
		return ""
	}
	var value any
	if err := json.Unmarshal(v.Value, &value); err != nil || value == nil {
		return ""
	}
	return strings.Join(strings.Fields(fmt.Sprint(value)), " ")
}
