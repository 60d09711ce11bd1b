package application

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"jitaccess/internal/access"
)

// Bounds of what an application is made of.
const (
	maxText      = 200 // characters of a name, title or label
	maxPattern   = 500 // characters
	maxEach      = 50  // of templates, fields, claims, approvers, hosts, metadata
	maxApprovals = 10
	longest      = 7 * 24 * time.Hour
)

var (
	// NamePattern is what applications are called: also a label of a host.
	NamePattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$`)
	// KeyPattern is what templates are called by, which is a role's name after roles/.
	KeyPattern = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9_.-]{0,62}[A-Za-z0-9])?$`)
	// WordPattern is what fields, claims and metadata are called.
	WordPattern = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.:/-]{0,99}$`)
	titleField  = regexp.MustCompile(`\{[^{}]*\}`)
	hostPattern = regexp.MustCompile(`^(\[[0-9a-f:.]+\]|[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*)(:[1-9][0-9]{0,4})?$`)
)

// Check is nil for an application that people may have made: its keys are not looked at. The
// error has words for them.
func (a Application) Check() error {
	if !NamePattern.MatchString(a.Name) {
		return errors.New("the name of an application has small letters, digits and hyphens, at most 40")
	}
	if u, err := url.Parse(a.URI); err != nil || a.URI == "" || len(a.URI) > maxText || strings.ContainsFunc(a.URI, access.Unseen) ||
		strings.ContainsAny(a.URI, " \"\\") || u.User != nil {
		return errors.New("the URI of an application is an address like https://deploy.example.com, or its host")
	}
	if len(a.CallbackHosts) > maxEach {
		return fmt.Errorf("there are more than %d hosts", maxEach)
	}
	for _, host := range a.CallbackHosts {
		if len(host) > 260 || !hostPattern.MatchString(host) {
			return fmt.Errorf("%q is no host, or host and port, in small letters", access.Visible(host))
		}
	}
	if len(a.Templates) > maxEach {
		return fmt.Errorf("there are more than %d templates", maxEach)
	}
	for i, t := range a.Templates {
		if err := t.Check(); err != nil {
			return err
		}
		if slices.ContainsFunc(a.Templates[:i], func(other Template) bool { return strings.EqualFold(other.Key, t.Key) }) {
			return fmt.Errorf("there are two templates with the key %s", t.Key)
		}
	}
	return nil
}

// Check is nil for a template that people may have made. The error has words for them.
func (t Template) Check() error {
	if !KeyPattern.MatchString(t.Key) {
		return errors.New("the key of a template has letters, digits, hyphens, dots and underscores, at most 64")
	}
	fault := func(format string, args ...any) error { return fmt.Errorf("template "+t.Key+": "+format, args...) }
	if !text(t.Name) || !text(t.Title) {
		return fault("it needs a name and a title of at most %d characters, on one line", maxText)
	}
	if max(len(t.Data), len(t.Claims), len(t.Approvers), len(t.Metadata)) > maxEach {
		return fault("there are more than %d of something", maxEach)
	}
	var names []string
	for _, f := range t.Data {
		if !WordPattern.MatchString(f.Name) || slices.Contains(names, f.Name) || f.Label != "" && !text(f.Label) {
			return fault("%q is no name of a field, or is there twice, or its label is too long", access.Visible(f.Name))
		}
		if f.Pattern != nil && len(f.Pattern.String()) > maxPattern {
			return fault("the pattern of %s is longer than %d", f.Name, maxPattern)
		}
		names = append(names, f.Name)
	}
	for _, at := range titleField.FindAllString(t.Title, -1) {
		if !slices.Contains(names, strings.Trim(at, "{}")) {
			return fault("the title has %s, which is no field of its data", access.Visible(at))
		}
	}
	for i, claim := range t.Claims {
		if !WordPattern.MatchString(claim) || slices.Contains(t.Claims[:i], claim) {
			return fault("%q is no name of a claim, or is there twice", access.Visible(claim))
		}
	}
	if len(t.Approvers) == 0 {
		return fault("nobody is named who approves")
	}
	for _, who := range t.Approvers {
		kind, address, _ := strings.Cut(who, ":")
		p, err := access.ParsePrincipal(address)
		if err != nil || p.String() != address || kind != "user" && kind != "group" {
			return fault("%q is neither user:ADDRESS nor group:ADDRESS", access.Visible(who))
		}
	}
	if t.Approvals < 1 || t.Approvals > maxApprovals {
		return fault("it takes 1 to %d approvals", maxApprovals)
	}
	if t.MaxDuration < time.Minute || t.MaxDuration > longest || t.DefaultDuration < time.Minute || t.DefaultDuration > t.MaxDuration ||
		t.RequestLife < time.Minute || t.RequestLife > longest {
		return fault("access and requests last one minute to seven days, and the default is not longer than the longest")
	}
	for name, value := range t.Metadata {
		if !WordPattern.MatchString(name) || utf8.RuneCountInString(value) > maxPattern || !utf8.ValidString(value) {
			return fault("%q is no name of metadata, or its value is too long", access.Visible(name))
		}
	}
	return nil
}

// text is whether a text can be shown to people on one line.
func text(s string) bool {
	return strings.TrimSpace(s) != "" && utf8.ValidString(s) && utf8.RuneCountInString(s) <= maxText && !strings.ContainsFunc(s, access.Unseen)
}
