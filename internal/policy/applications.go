package policy

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/application"
	"jitaccess/internal/policy/document"
)

// Application is a program that asks, as the file has it: without its keys.
type Application struct {
	application.Application
	// SigningKeys is where its keys are kept, the newer first: versions of secrets, or paths of
	// files.
	SigningKeys  []string
	Line, Column int
	// templates are where each of its templates stands, in their order.
	templates []document.Fault
}

// Template is what a template of the file gives by that id; nil where there is none.
func (f *File) Template(id access.EntitlementID) *application.Template {
	if id.Resource.Kind() != application.Kinds[0].Segment {
		return nil
	}
	for i := range f.Applications {
		for k, t := range f.Applications[i].Templates {
			if application.EntitlementID(f.Applications[i].Name, t.Key) == id {
				return &f.Applications[i].Templates[k]
			}
		}
	}
	return nil
}

func (r *reader) applications(n *document.Node) []Application {
	var all []Application
	names, uris := map[string]int{}, map[string]int{}
	for _, item := range items(n) {
		if item.Kind != document.Object {
			continue
		}
		a := r.application(item)
		once := func(seen map[string]int, key, value string) {
			if first := seen[value]; value != "" && first != 0 {
				r.faults.Add(item.Get(key), "there is another application with %s %q in line %d; it is used once", key, value, first)
			} else if value != "" {
				seen[value] = item.Get(key).Line
			}
		}
		once(names, "name", a.Name)
		once(uris, "uri", a.URI)
		all = append(all, a)
	}
	slices.SortStableFunc(all, func(a, b Application) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

func (r *reader) application(n *document.Node) Application {
	a := Application{Line: n.Line, Column: n.Column, SigningKeys: texts(n.Get("signing_key"))}
	if at := n.Get("signing_key"); textOf(at) != "" {
		a.SigningKeys = []string{at.Text}
	}
	a.Name, a.URI, a.CallbackHosts, a.Active = textOf(n.Get("name")), textOf(n.Get("uri")), texts(n.Get("callback_hosts")), !off(n.Get("active"))
	if len(a.SigningKeys) == 2 && a.SigningKeys[0] == a.SigningKeys[1] {
		r.faults.Add(n.Get("signing_key"), "both keys are the same; write it once")
	}
	for _, item := range items(n.Get("templates")) {
		if item.Kind == document.Object {
			a.Templates = append(a.Templates, r.template(item))
			a.templates = append(a.templates, document.Fault{Line: item.Line, Column: item.Column})
		}
	}
	for _, fault := range a.Faults() {
		at := n
		for _, step := range fault.At {
			if next := child(at, step); next != nil {
				at = next
			}
		}
		r.faults.Add(at, "%s", fault.Text)
	}
	return a
}

// child is the value of a key, or the item of a number.
func child(n *document.Node, step string) *document.Node {
	if at, err := strconv.Atoi(step); err == nil && at < len(n.Items) {
		return n.Items[at]
	}
	return n.Get(step)
}

// off is whether a flag is there and is false.
func off(n *document.Node) bool { return n != nil && n.Kind == document.Flag && !n.True() }

func (r *reader) template(n *document.Node) application.Template {
	t := application.Template{Key: textOf(n.Get("key")), Name: textOf(n.Get("name")), Title: textOf(n.Get("title")),
		Sign: textOf(n.Get("type")) == "sign_and_approve", Claims: texts(n.Get("claims")), Approvals: 1, Approvers: r.spelled(n.Get("approvers")),
		MaxDuration: value(length(n.Get("max_duration")), 0), RequestLife: value(length(n.Get("request_life")), time.Hour),
		ShowUnlinked: textOf(n.Get("unlinked")) == "show", Active: !off(n.Get("active"))}
	t.DefaultDuration = value(length(n.Get("default_duration")), min(application.DefaultDuration, t.MaxDuration))
	if count, err := strconv.Atoi(textOf(n.Get("approvals"))); err == nil {
		t.Approvals = count
	}
	for _, item := range items(n.Get("data")) {
		f := application.Field{Name: textOf(item.Get("name")), Label: textOf(item.Get("label"))}
		if at := item.Get("pattern"); textOf(at) != "" {
			pattern, err := regexp.Compile(at.Text)
			if err != nil {
				r.faults.Add(at, "the pattern cannot be read: %v", err)
			}
			f.Pattern = pattern
		}
		t.Data = append(t.Data, f)
	}
	if at := n.Get("metadata"); at != nil {
		t.Metadata = map[string]string{}
		for _, pair := range at.Pairs {
			t.Metadata[pair.Key.Text] = textOf(pair.Value)
		}
	}
	return t
}
