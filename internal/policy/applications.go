package policy

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
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
	SigningKeys []string
	// GitHub is what it is where GitHub asks; it has no SigningKeys then.
	GitHub       *GitHub
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

// Asks is the application that asks for an entitlement; nil where none of the file does.
func (f *File) Asks(id access.EntitlementID) *Application {
	if f.Template(id) == nil {
		return nil
	}
	return &f.Applications[slices.IndexFunc(f.Applications, func(a Application) bool { return a.Name == id.Resource.Name() })]
}

// At is where the template of that id stands.
func (a *Application) At(id access.EntitlementID) document.Fault {
	return a.templates[slices.IndexFunc(a.Templates, func(t application.Template) bool {
		return application.EntitlementID(a.Name,
			t.Key) == id
	})]
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
	a.Name, a.URI, a.CallbackHosts, a.Active = textOf(n.Get("name")), textOf(n.Get("uri")), texts(n.Get("callback_hosts")),
		!off(n.Get("active"))
	r.gitHub(n, &a)
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
			if at != nil {
				at = child(at, step)
			}
		}
		if at != nil && !broken(at) { // else it has been told of
			r.faults.Add(at, "%s", fault.Text)
		}
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

// broken is whether something in a value could not be read.
func broken(n *document.Node) bool {
	return n.Kind == document.Broken || slices.ContainsFunc(n.Items, broken)
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

func calledTemplate(application, key string) string {
	return fmt.Sprintf("template %q of %s", key, application)
}

// applicationFaults are what the deployment cannot do of what the file has applications for.
func (f *File) applicationFaults(d Deployment, tell func(of string, at document.Fault, format string, args ...any)) {
	for _, a := range f.Applications {
		of, at := "application "+a.Name, document.Fault{Line: a.Line, Column: a.Column}
		switch {
		case !d.Ledger:
			tell(of, at, "applications need a ledger, and there is none")
		case d.SignaturesLast > 0:
			tell(of, at, "applications need SIGNING_KEY: what they get is signed with it")
		}
		for i, t := range a.Templates {
			of, at := calledTemplate(a.Name, t.Key), a.templates[i]
			if t.Sign && !d.Passkeys {
				tell(of, at, "no passkeys can be used here, so that nobody could sign")
			}
			for _, spelled := range t.Approvers {
				kind, _, _ := strings.Cut(spelled, ":")
				if why := d.cannotKnow(kind); why != "" {
					tell(of, at, "approvers name %s, and %s", spelled, why)
				}
			}
		}
	}
}

// lintApplications tells of templates that let more be asked for than their author may mean.
func (f *File) lintApplications(warnings *document.Faults) {
	for _, a := range f.Applications {
		for i, t := range a.Templates {
			at := &document.Node{Line: a.templates[i].Line, Column: a.templates[i].Column}
			of := calledTemplate(a.Name, t.Key)
			if t.ShowUnlinked {
				warnings.Add(at, "%s may be asked for people of whom nobody knows who they are, who could approve it themselves (unlinked: show)", of)
			}
			humans, groups := map[access.Principal]bool{}, false
			for _, spelled := range t.Approvers {
				kind, address, _ := strings.Cut(spelled, ":")
				groups = groups || kind == "group"
				humans[f.Human(access.Principal(address))] = true
			}
			if !groups && len(humans) < t.Approvals {
				warnings.Add(at, "%s can be satisfied by nobody: it takes %d approvals, and names %d who can give them", of, t.Approvals, len(humans))
			} else if !groups && len(humans) == t.Approvals {
				warnings.Add(at, "%s cannot be approved for any of its approvers: whom it is for never approves, and the others are too few", of)
			}
			if any := anyText(a, t); len(any) > 0 {
				warnings.Add(at, "%s takes any text as %s; a pattern says what it may be", of, strings.Join(any, ", "))
			}
			for _, rule := range f.deciding(application.EntitlementID(a.Name, t.Key)) {
				switch {
				case rule.Refusal != "" && rule.match.isAlways():
					warnings.Add(at, "%s can be asked for by nobody: %s refuses it", of, rule.called())
				case value(rule.terms.over(f.defaults).inheritedOnly, false) && rule.Refusal == "":
					warnings.Add(at, "%s can be approved by nobody where %s decides: it lets only those approve who are eligible "+
						"because of a folder or the organization (inherited_only)", of, rule.called())
				}
			}
			if !a.Active || !t.Active {
				warnings.Add(at, "%s is not active", of)
			}
		}
	}
}

// anyText are the data of a template that may be any text. Of what GitHub says, an environment and
// a repository are chosen by their patterns, and the rest is as it is.
func anyText(a Application, t application.Template) (names []string) {
	for _, field := range t.Data {
		chosen := a.GitHub == nil || slices.Contains(gitHubChosen, field.Name)
		if chosen && (field.Pattern == nil || slices.Contains([]string{".*", ".+"}, field.Pattern.String())) {
			names = append(names, field.Name)
		}
	}
	return names
}

// deciding are the rules of which each decides about an entitlement for somebody, at some time:
// those that are about it, up to one that is so always.
func (f *File) deciding(id access.EntitlementID) []*Rule {
	s := access.Subject{Entitlement: id, AncestorsKnown: true}
	rules := f.about(ask(&s, placeOf(&s)))
	if at := slices.IndexFunc(rules, func(r *Rule) bool { return r.match.isAlways() }); at >= 0 {
		rules = rules[:at+1]
	}
	return rules
}

// isAlways is whether it depends on nobody and on no time.
func (m *match) isAlways() bool {
	return len(m.requesters.in)+len(m.requesters.out)+len(m.hours) == 0 && m.dates == nil
}
