// Package cases holds a policy against what its authors expect of it: who asks for what,
// when, and the terms or the refusal that they should meet.
package cases

import (
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/policy"
	"jitaccess/internal/policy/document"
)

//go:embed schema.json
var schema []byte

var shape = sync.OnceValue(func() *document.Schema {
	s, err := document.ParseSchema(schema)
	if err != nil {
		panic(err) // it is part of the program
	}
	return s
})

// noon is when cases are that say nothing of it: a Monday, so that what they find does
// not depend on the day.
var noon = time.Date(2026, 1, 5, 12, 0, 0, 0, time.UTC)

// File is a file of cases.
type File struct {
	// Policy is the path of the policy, as it is written.
	Policy string
	Cases  []Case
}

// Case is who asks for what, and what is expected.
type Case struct {
	Name    string
	Subject access.Subject
	// Expect are what is expected, by the names that the file has for them.
	Expect []Expectation
}

// Expectation is one thing that is expected, and where it is written.
type Expectation struct {
	Line, Column int
	Key, Value   string
}

// Read reads a file of cases. With any fault it must not be used.
func Read(text []byte) (File, document.Faults) {
	root, faults := document.Read(text)
	shape().Check(root, &faults)
	f := File{}
	if at := root.Get("policy"); at != nil {
		f.Policy = at.Text
	}
	if list := root.Get("cases"); list != nil {
		for _, item := range list.Items {
			f.Cases = append(f.Cases, readCase(item, &faults))
		}
	}
	return f, faults.Sorted()
}

func readCase(n *document.Node, faults *document.Faults) Case {
	text := func(n *document.Node, keys ...string) string {
		for _, key := range keys {
			n = n.Get(key)
		}
		if n == nil {
			return ""
		}
		return n.Text
	}
	c := Case{Name: text(n, "name")}
	var err error
	tell := func(keys ...string) {
		at := n
		for _, key := range keys {
			at = at.Get(key)
		}
		if err != nil && at != nil && at.Kind != document.Broken {
			faults.Add(at, "%q: %v", at.Text, err)
		}
		err = nil
	}
	s := access.Subject{Kind: access.Peers, At: noon, AncestorsKnown: true, GroupsKnown: true, ClaimsKnown: true,
		ChangesPermissions: access.No}
	s.Principal, err = access.ParsePrincipal(text(n, "who"))
	tell("who")
	s.Entitlement.Resource, err = access.ParseResource(text(n, "what", "resource"))
	tell("what", "resource")
	s.Entitlement.Role, err = access.ParseRole(text(n, "what", "role"))
	tell("what", "role")
	if text(n, "what", "marker") == "jit" {
		s.Kind = access.Self
	}
	if changes := n.Get("what").Get("changes_permissions"); changes != nil && changes.True() {
		s.ChangesPermissions = access.Yes
	}
	for _, above := range texts(n.Get("what").Get("ancestors")) {
		s.Ancestors = append(s.Ancestors, access.Resource(above))
	}
	s.Groups, s.Claims = texts(n.Get("groups")), texts(n.Get("claims"))
	unknown := texts(n.Get("unknown"))
	known := func(what string) bool { return !slices.Contains(unknown, what) }
	s.AncestorsKnown, s.GroupsKnown, s.ClaimsKnown = known("ancestors"), known("groups"), known("claims")
	if when := text(n, "when"); when != "" {
		s.At, err = moment(when)
		tell("when")
	}
	if begins := text(n, "begins"); begins != "" {
		s.Begins, err = moment(begins)
		tell("begins")
	}
	c.Subject = s
	if expect := n.Get("expect"); expect != nil {
		for _, p := range expect.Pairs {
			value := p.Value.Text
			if p.Value.Kind == document.List {
				value = strings.Join(texts(p.Value), ", ")
			}
			c.Expect = append(c.Expect, Expectation{p.Value.Line, p.Value.Column, p.Key.Text, value})
		}
	}
	return c
}

func moment(text string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		err = errors.New("not a moment such as 2026-03-04T12:00:00+01:00")
	}
	return t, err
}

func texts(n *document.Node) []string {
	var all []string
	if n != nil {
		for _, item := range n.Items {
			all = append(all, item.Text)
		}
	}
	return all
}

// Run tells of everything that is not as it is expected, where it is written.
func (f File) Run(p policy.Refined) document.Faults {
	var faults document.Faults
	for _, c := range f.Cases {
		found := findings(p, c.Subject)
		for _, e := range c.Expect {
			if got, ok := found[e.Key]; !ok {
				faults.Add(&document.Node{Line: e.Line, Column: e.Column}, "%s: expected %s %s, and there is none: %s",
					c.Name, e.Key, e.Value, said(found))
			} else if got != e.Value {
				faults.Add(&document.Node{Line: e.Line, Column: e.Column}, "%s: %s\n  - expected: %s\n  + is:       %s", c.Name, e.Key, e.Value, got)
			}
		}
	}
	return faults
}

// said is what was found instead, in short.
func said(found map[string]string) string {
	for _, key := range []string{"refuse", "undecided", "unmatched"} {
		if found[key] != "" {
			return key + " " + found[key]
		}
	}
	return "rule " + found["rule"]
}

// findings are what the policy says of a subject, by the names that cases have for it.
func findings(p policy.Refined, s access.Subject) map[string]string {
	e := p.Explain(s)
	found := map[string]string{}
	if e.Rule != "" {
		found["rule"] = e.Rule
	}
	switch {
	case e.Err != nil && e.Err.Code == access.CodeRuleUndecided:
		found["undecided"] = e.Err.Args["unknown"]
		return found
	case e.Err != nil && e.Err.Code == access.CodeNoRule:
		found["unmatched"] = "refuse"
		return found
	case e.Err != nil:
		found["refuse"] = e.Err.Args["message"]
		return found
	case e.Rule == "":
		found["unmatched"] = "true"
	}
	t := e.Terms
	if t.Rule != "" {
		found["rule"] = t.Rule
	}
	var from, patterns []string
	for _, r := range t.Requirements {
		from = append(from, r.From...)
	}
	environment := p.Explain(access.Subject{Kind: s.Kind}).Terms.Justification
	for _, rule := range t.Justification {
		if !slices.ContainsFunc(environment, func(other access.JustificationRule) bool { return other.Pattern == rule.Pattern }) {
			patterns = append(patterns, rule.Pattern.String())
		}
	}
	found["approvals"], found["from"] = strconv.Itoa(t.Approvals()), strings.Join(from, ", ")
	for key, length := range map[string]time.Duration{"max_duration": t.MaxDuration, "default_duration": t.DefaultDuration,
		"request_life": t.RequestLife, "start_within": t.StartWithin, "max_continuous": t.MaxContinuous, "remind_after": t.RemindAfter} {
		found[key] = policy.Length(length)
	}
	if len(t.Escalations) > 0 {
		found["escalate_after"] = policy.Length(t.Escalations[0].After)
	}
	for key, is := range map[string]bool{"in_order": t.InOrder, "signature": t.Signature,
		"inherited_only": t.InheritedOnly, "break_glass": t.BreakGlass} {
		found[key] = fmt.Sprint(is)
	}
	found["justification"], found["notify"] = strings.Join(patterns, ", "), strings.Join(t.Notify, ", ")
	found["approver_access_level"] = strings.Join(t.ApproverAccessLevels, ", ")
	return found
}
