package words

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"jitaccess/internal/access"
)

// Refusal is what people read of a refusal or a warning. Next says what to do now;
// warnings are shown without it.
type Refusal struct {
	Text, Next string
	// Program is what a program does that was refused, or its author: Next, where that is for both.
	Program string
}

// maxArgument bounds what an error brings into a text, in bytes.
const maxArgument = 300

// Refusal puts an error into words. provider is the name of the system that it is
// about, unless the error has an argument of that name; empty when there is none. What
// it says of Internal errors is always the same.
func (l *Language) Refusal(e *access.Error, provider string) Refusal {
	code := e.Code
	if e.Kind == access.Internal && code != access.CodeJournalUnavailable || !l.has(errorKey(code)) {
		code = access.CodeInternal
	}
	key := errorKey(code)
	if said := strings.Join(slices.Collect(maps.Values(e.Args)), ""); said == "" && l.has(key+".bare") {
		key += ".bare"
	}
	value := func(name string) (string, bool) { return l.errorArgument(e, name, provider), true }
	r := Refusal{Text: l.fill(key, value)}
	if l.has(key + ".next") {
		r.Next = l.fill(key+".next", value)
	}
	if r.Program = r.Next; l.has(key + ".program") {
		r.Program = l.fill(key+".program", value)
	}
	// Google may identify any refusal as one of its VPC Service Controls.
	if e.Args["violation"] != "" && e.Kind != access.Internal {
		r.Text += " " + l.fill("error.violation", value)
	}
	return r
}

func errorKey(c access.Code) string { return "error." + string(c) }

func (l *Language) has(key string) bool {
	_, _, ok := l.find(key)
	return ok
}

// errorArgument is an argument of an error as texts show it.
func (l *Language) errorArgument(e *access.Error, name, provider string) string {
	v := e.Args[name]
	switch {
	case name == "provider":
		v = l.Provider(e, provider)
	case v == "":
		return l.Text("unsaid." + name)
	case name == "people":
		return access.Clip(l.People(strings.Split(v, ", ")), maxArgument)
	case name == "resource":
		v = strings.TrimPrefix(v, "projects/")
	case name == "channel" && l.has("channel."+v):
		v = l.Text("channel." + v)
	}
	return access.Isolated(access.Clip(access.Visible(v), maxArgument))
}

// Refused says in one sentence that a role was not granted, and why.
func (l *Language) Refused(o access.Outcome, provider string) string {
	if o.Err == nil {
		return l.Text("outcome.refused", "role", o.Entitlement.Role)
	}
	return l.Text("outcome.refused-because", "role", o.Entitlement.Role, "why", l.Refusal(o.Err, provider).Text)
}

// Provider is the name of the system that an error is about: its own argument, or else
// the one given.
func (l *Language) Provider(e *access.Error, provider string) string {
	return cmp.Or(e.Args["provider"], provider, l.Text("unsaid.provider"))
}

// People are people as a policy file spells them (access.Requirement.From), in words.
func (l *Language) People(spelled []string) string {
	var people []string
	for _, text := range spelled {
		switch kind, name, _ := strings.Cut(text, ":"); kind {
		case access.FromPeers:
			text = l.Text("terms.peers")
		case access.FromAdminPage:
			text = l.Text("terms.admin-page")
		case "user":
			text = name
		case "group":
			text = l.Text("terms.group", "name", name)
		case "claim":
			text = l.Text("terms.claim", "name", name)
		case "domain":
			text = l.Text("terms.domain", "name", name)
		}
		people = append(people, text)
	}
	return l.Series(people)
}
