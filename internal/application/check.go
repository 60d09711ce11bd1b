package application

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"jitaccess/internal/access"
	"jitaccess/internal/lazyregexp"
	"jitaccess/internal/loopback"
)

// DefaultDuration is for how long access is where neither the template nor the application says.
const DefaultDuration = 30 * time.Minute

// What there may be at most of each.
const (
	maxTemplates = 100
	maxFields    = 20
	maxClaims    = 20
	maxMetadata  = 20
	maxApprovers = 100
	maxApprovals = 20
	maxLength    = 365 * 24 * time.Hour
)

// Fault is what is wrong with an application. At is where: keys, as policy files have them, and
// numbers of entries, from the outside in.
type Fault struct {
	At   []string
	Text string
}

var (
	keyPattern   = lazyregexp.New(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	fieldPattern = lazyregexp.New(`^[A-Za-z][A-Za-z0-9_]{0,39}$`)
)

// Faults are all that is wrong with the application as its author wrote it; its keys are not
// looked at. What has any must not be used.
func (a Application) Faults() []Fault {
	var faults []Fault
	tell := func(text string, at ...string) { faults = append(faults, Fault{at, text}) }
	if err := CheckName(a.Name); err != nil {
		tell(err.Error(), "name")
	}
	if text := checkURI(a.URI); text != "" {
		tell(text, "uri")
	}
	for i, host := range a.CallbackHosts {
		if !callbackHost().MatchString(host) || len(host) > 260 {
			tell(fmt.Sprintf("%q is not a host, or a host with a port", host), "callback_hosts", strconv.Itoa(i))
		}
	}
	if len(a.Templates) > maxTemplates {
		tell(fmt.Sprintf("there are %d templates, and may be %d", len(a.Templates), maxTemplates), "templates")
	}
	for i, t := range a.Templates {
		at := []string{"templates", strconv.Itoa(i)}
		if first := slices.IndexFunc(a.Templates, func(o Template) bool { return o.Key == t.Key }); first < i && t.Key != "" {
			tell(fmt.Sprintf("there is another template %q; a key is used once", t.Key), append(at, "key")...)
		}
		for _, fault := range t.faults() {
			tell(fault.Text, slices.Concat(at, fault.At)...)
		}
	}
	return faults
}

// checkURI says what is wrong with the issuer of tokens; empty is nothing.
func checkURI(text string) string {
	u, err := url.Parse(text)
	switch {
	case err != nil || len(text) > 300 || !visible(text),
		u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Opaque != "":
		return fmt.Sprintf("%q is not a URI such as https://deploy.example.com", access.Clip(access.Visible(text), 100))
	case u.Scheme != "https" && !(u.Scheme == "http" && loopback.Is(u.Hostname())):
		return "the URI must begin with https://"
	}
	return ""
}

// faults are all that is wrong with the template, in it.
func (t Template) faults() []Fault {
	var faults []Fault
	tell := func(text string, at ...string) { faults = append(faults, Fault{at, text}) }
	if !keyPattern().MatchString(t.Key) {
		tell("a key has lower-case letters, digits and hyphens between them, at most 63", "key")
	}
	if strings.TrimSpace(t.Name) != t.Name || t.Name == "" || utf8.RuneCountInString(t.Name) > 100 || !visible(t.Name) {
		tell("a name has 1 to 100 characters that can be seen, without space around it", "name")
	}
	if access.CheckJustification(t.Title) != nil {
		tell(fmt.Sprintf("a title has 1 to %d characters that can be seen, on one line", access.MaxJustification), "title")
	}
	for _, at := range placeholder().FindAllString(t.Title, -1) {
		if name := strings.Trim(at, "{}"); !slices.ContainsFunc(t.Data, func(f Field) bool { return f.Name == name }) {
			tell(fmt.Sprintf("the title names %s, and there is no such data", at), "title")
		}
	}
	t.fieldFaults(tell)
	for i, claim := range t.Claims {
		if strings.TrimSpace(claim) != claim || claim == "" || len(claim) > 100 || !visible(claim) || slices.Index(t.Claims, claim) < i {
			tell("a claim has 1 to 100 characters, and stands there once", "claims", strconv.Itoa(i))
		}
	}
	t.approverFaults(tell)
	switch {
	case t.MaxDuration < time.Minute || t.MaxDuration > maxLength || t.MaxDuration%time.Minute != 0:
		tell("max_duration is from a minute to a year, in whole minutes", "max_duration")
	case t.DefaultDuration < time.Minute || t.DefaultDuration > t.MaxDuration || t.DefaultDuration%time.Minute != 0:
		tell("default_duration is from a minute to max_duration, in whole minutes", "default_duration")
	}
	if t.RequestLife < time.Minute || t.RequestLife > maxLength {
		tell("request_life is from a minute to a year", "request_life")
	}
	size := 0
	for key, text := range t.Metadata {
		if size++; size > maxMetadata || key == "" || len(key) > 100 || utf8.RuneCountInString(text) > 200 || !utf8.ValidString(key+text) {
			tell(fmt.Sprintf("metadata is at most %d texts of 200 characters", maxMetadata), "metadata")
			break
		}
	}
	return faults
}

func (t Template) fieldFaults(tell func(text string, at ...string)) {
	if len(t.Data) > maxFields || len(t.Claims) > maxClaims {
		tell(fmt.Sprintf("there are at most %d data and %d claims", maxFields, maxClaims), "data")
	}
	for i, f := range t.Data {
		at := strconv.Itoa(i)
		switch {
		case !fieldPattern().MatchString(f.Name):
			tell("a name of data has letters, digits and underscores, at most 40", "data", at, "name")
		case slices.ContainsFunc(t.Data[:i], func(o Field) bool { return o.Name == f.Name }):
			tell(fmt.Sprintf("there is other data %q; a name is used once", f.Name), "data", at, "name")
		}
		if utf8.RuneCountInString(f.Label) > 60 || !visible(f.Label) {
			tell("a label has at most 60 characters that can be seen", "data", at, "label")
		}
	}
}

func (t Template) approverFaults(tell func(text string, at ...string)) {
	if t.Approvals < 1 || t.Approvals > maxApprovals {
		tell(fmt.Sprintf("approvals is a number from 1 to %d", maxApprovals), "approvals")
	}
	if len(t.Approvers) == 0 || len(t.Approvers) > maxApprovers {
		tell(fmt.Sprintf("there are 1 to %d approvers", maxApprovers), "approvers")
	}
	groups := false
	for i, spelled := range t.Approvers {
		kind, address, _ := strings.Cut(spelled, ":")
		p, err := access.ParsePrincipal(address)
		switch {
		case kind != "user" && kind != "group" || err != nil || string(p) != address || p.IsSpelled():
			tell(fmt.Sprintf("%q is not user:ADDRESS or group:ADDRESS", access.Clip(access.Visible(spelled), 100)), "approvers", strconv.Itoa(i))
		case slices.Index(t.Approvers, spelled) < i:
			tell(fmt.Sprintf("%s stands there twice", spelled), "approvers", strconv.Itoa(i))
		}
		groups = groups || kind == "group"
	}
	if !groups && len(t.Approvers) > 0 && t.Approvals > len(t.Approvers) {
		tell(fmt.Sprintf("it takes %d approvals, and the people who are named can give %d", t.Approvals, len(t.Approvers)), "approvals")
	}
}
