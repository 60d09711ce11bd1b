package config

import (
	"cmp"
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"

	"jitaccess/internal/access"
	"jitaccess/internal/addressmap"
	"jitaccess/internal/gcp/quota"
	"jitaccess/internal/gcp/resourcename"
	"jitaccess/internal/lazyregexp"
	"jitaccess/internal/redact"
	"jitaccess/internal/words"
)

// Fault is one thing that is wrong with one variable.
type Fault struct {
	Variable string
	// Read is the value as far as it may be shown; empty when it is not set.
	Read string
	// Accepted completes "must be …".
	Accepted string
}

func (f *Fault) Error() string {
	if f.Read == "" {
		return fmt.Sprintf("%s is not set; it must be %s", f.Variable, f.Accepted)
	}
	return fmt.Sprintf("%s is %s; it must be %s", f.Variable, f.Read, f.Accepted)
}

// Read reads the environment through lookup, which answers "" for what is not set.
// The error joins every Fault; it prints one a line, and no Config comes with it.
func Read(lookup func(string) string) (*Config, error) {
	r := &reader{lookup: lookup, variables: map[string]*variable{}}
	c := &Config{}
	for _, s := range settingsOf(c) {
		r.field(s.tag, s.value)
	}
	r.platform(c)
	r.check(c)
	if len(r.faults) > 0 {
		return nil, errors.Join(r.faults...)
	}
	c.Warnings = r.warnings
	return c, nil
}

// setting is one field of a Config.
type setting struct {
	section string
	tag     reflect.StructTag
	value   reflect.Value
}

// settingsOf are all fields of a Config that are read, in order.
func settingsOf(c *Config) (all []setting) {
	for section, fields := range reflect.ValueOf(c).Elem().Fields() {
		title := section.Tag.Get("title")
		if title == "" {
			continue
		}
		for field, value := range fields.Fields() {
			if field.Tag.Get("env") != "" {
				all = append(all, setting{title, field.Tag, value})
			}
		}
	}
	return all
}

// ReadLedger reads what a Ledger is made of, and nothing else: commands that only look
// at a database need no service around it. Where nothing says which, it is the one that the
// service makes by itself, if it does.
func ReadLedger(lookup func(string) string) (Ledger, error) {
	r := &reader{lookup: lookup, variables: map[string]*variable{}}
	c := &Config{}
	for field, value := range reflect.ValueOf(&c.Ledger).Elem().Fields() {
		r.field(field.Tag, value)
	}
	if c.Ledger.Database.IsZero() {
		if whole, err := Read(lookup); err == nil {
			c.Ledger.Database = whole.Ledger.Database
		}
	}
	r.platform(c)
	r.checkLedger(c)
	r.faultIf(c.Ledger.Database.IsZero(), "DATABASE_URL", "")
	return c.Ledger, errors.Join(r.faults...)
}

// Unknown is a warning for each variable of environ (as of os.Environ) that nobody
// reads and that was probably meant for us: it bears our prefix, or its name is one
// slip away from that of a variable which is read. No value is in it.
func Unknown(environ []string) []string {
	known := append(strings.Split(strings.Join(slices.Sorted(maps.Keys(descriptions())), ","), ","), "GAE_SERVICE", "K_SERVICE")
	known = append(known, "JITACCESS_URL") // which commands read that use a service
	var warnings []string
	for _, entry := range environ {
		name, text, _ := strings.Cut(entry, "=")
		if strings.TrimSpace(text) == "" || slices.Contains(known, name) || linked(name, text) {
			continue
		}
		meant := slices.IndexFunc(known, func(k string) bool { return oneSlip(name, k) || sameWords(name, k) })
		switch {
		case meant >= 0:
			warnings = append(warnings, name+" is set, and no such variable is read; is "+known[meant]+" meant?")
		case strings.HasPrefix(name, "JITACCESS_"):
			warnings = append(warnings, name+" is set, and no such variable is read")
		}
	}
	return warnings
}

// linked is whether Kubernetes made a variable of a service, which may be called jitaccess too
// (https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables).
func linked(name, text string) bool {
	_, port, isPort := strings.Cut(name, "_PORT_")
	return strings.HasSuffix(name, "_SERVICE_HOST") || strings.HasSuffix(name, "_SERVICE_PORT") || strings.Contains(name, "_SERVICE_PORT_") ||
		isPort && port != "" && port[0] >= '0' && port[0] <= '9' || strings.HasSuffix(name, "_PORT") && strings.Contains(text, "://")
}

// sameWords is whether a name has the words of a known one, in the same order, whatever stands
// between them and whether there are several: resourceScopes, RESOURCES_SCOPES, JITACCESS_RESOURCE_SCOPE.
func sameWords(name, known string) bool {
	return len(known) >= 6 && singular(strings.TrimPrefix(strings.ToUpper(name), "JITACCESS_")) == singular(known)
}

var plural = lazyregexp.New(`S?[-_]|S$`)

// singular is a name without what is between its words, and without the S at the end of each.
func singular(name string) string { return plural().ReplaceAllString(strings.ToUpper(name), "") }

// oneSlip is whether a name is a known one but for case, hyphens for underscores, and
// one letter that is missing, too many, another, or swapped with the next. Of a name
// as short as PORT too many others are one letter away (PORT0, HORT).
func oneSlip(name, known string) bool {
	a, b := strings.ToUpper(strings.ReplaceAll(name, "-", "_")), strings.ToUpper(known)
	if a == b || len(b) < 6 {
		return a == b
	}
	for a != "" && b != "" && a[0] == b[0] {
		a, b = a[1:], b[1:]
	}
	for a != "" && b != "" && a[len(a)-1] == b[len(b)-1] {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	swapped := len(a) == 2 && len(b) == 2 && a[0] == b[1] && a[1] == b[0]
	return swapped || len(a) <= 1 && len(b) <= 1
}

// reader collects what is wrong while it reads.
type reader struct {
	lookup    func(string) string
	variables map[string]*variable // by each of their names
	faults    []error
	warnings  []string
}

// variable is what was read for one field.
type variable struct {
	name string // the one that was set, else the last
	text string // trimmed; empty when unset
	bad  bool   // a fault has been found
	// fault is what was found; nil for none.
	fault *Fault
	// elsewhere: it is where in Google Cloud the value is kept.
	elsewhere bool
	accept    string
	secret    bool
}

func (r *reader) field(tag reflect.StructTag, value reflect.Value) {
	v := &variable{accept: acceptOf(descriptions()[tag.Get("env")].accept, strings.TrimSpace(r.lookup("IDENTITY"))),
		secret: tag.Get("secret") != ""}
	for name := range strings.SplitSeq(tag.Get("env"), ",") {
		r.variables[name] = v
		text := strings.TrimSpace(r.lookup(name))
		switch {
		case v.text == "":
			v.name, v.text = name, text
		case text != "":
			r.warn("%s is ignored, because %s is set", name, v.name)
		}
	}
	if text := cmp.Or(v.text, tag.Get("default")); text != "" {
		r.faultIf(!r.set(v, tag, value, text), v.name, "")
	}
}

// patterns are those that are called by a name. A selector of DKIM is one label or more
// of a host name, and hello the name that we give ourselves.
var patterns = sync.OnceValue(func() map[string]string {
	return map[string]string{
		"selector":      label + `(\.` + label + `)*`,
		"mail host":     `[A-Za-z0-9._-]{1,253}|\[?[0-9A-Fa-f:.]+\]?`,
		"load balancer": loadBalancer,
		"visible":       `[!-~]+`,
		"hello":         `[A-Za-z0-9._-]{1,253}|\[[0-9A-Za-z:.]{1,60}\]`,
		"language":      strings.Join(access.Each(words.Choices(), func(c words.Choice) string { return regexp.QuoteMeta(c.Tag) }), "|"),
	}
})

const label = `[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?`

// matches is whether a text matches a pattern, or the one of that name, in full.
func matches(pattern, text string) bool {
	return regexp.MustCompile(`^(?:` + cmp.Or(patterns()[pattern], pattern) + `)$`).MatchString(text)
}

// set stores text in the field, if it can be one of its type.
func (r *reader) set(v *variable, tag reflect.StructTag, value reflect.Value, text string) bool {
	ok := true
	switch field := value.Addr().Interface().(type) {
	case *string:
		*field, ok = text, tag.Get("pattern") == "" || matches(tag.Get("pattern"), text)
	case *SecretPath:
		*field, ok, v.elsewhere = SecretPath(text), resourcename.IsSecretVersion(text), true
	case *Secret:
		*field, ok = NewSecret(text), tag.Get("pattern") == "" || matches(tag.Get("pattern"), text)
	case *int:
		*field, ok = parseInt(text, bound(tag, "min"), bound(tag, "max"))
	case *time.Duration:
		var n int
		n, ok = parseInt(text, bound(tag, "min"), bound(tag, "max"))
		*field = time.Duration(n) * units[tag.Get("unit")]
	case *bool:
		*field = isTrue(text)
		if !*field && !strings.EqualFold(text, "false") {
			r.warn("%s is %s, which counts as false; only true is true", v.name, v.shown())
		}
	case *[]string:
		*field = parseList(text)
	case *StoredText:
		*field, ok = parseStoredText(text, tag.Get("file") != "", tag.Get("parameter") != "")
		v.elsewhere = field.Version != ""
		if !ok && strings.HasPrefix(text, "projects/") {
			r.faultIf(true, v.name, misspelledPath)
		}
	case *MailOptions:
		// Understood only when mail is sent; see mailOptions.
		field.text = NewSecret(text)
	case **addressmap.Mapping:
		mapping, err := addressmap.Compile(text)
		if err != nil {
			r.faultIf(true, v.name, err.Error())
		}
		*field = mapping
	case *quota.Limits:
		ok = field.UnmarshalText([]byte(text)) == nil
	case **time.Location:
		*field, ok = parseZone(text)
	case **regexp.Regexp:
		var why string
		*field, why = parsePattern(text)
		r.faultIf(why != "", v.name, why)
	default:
		panic("config: no reader for " + value.Type().String())
	}
	return ok
}

// misspelledPath is for what begins like where in Google Cloud something is kept.
const misspelledPath = "it begins with projects/, so that it is taken for where that is kept, and is spelled as no such path; " +
	"what is kept there needs Google Cloud, and without it is given itself"

var units = map[string]time.Duration{"days": 24 * time.Hour, "minutes": time.Minute, "seconds": time.Second}

func (r *reader) warn(format string, args ...any) {
	r.warnings = append(r.warnings, fmt.Sprintf(format, args...))
}

func (r *reader) warnIf(so bool, text string) {
	if so {
		r.warn("%s", text)
	}
}

// faultIf says, where something is so, that a variable is not what it may be; why may
// be empty. Only the first fault of a variable is kept.
func (r *reader) faultIf(so bool, name, why string) {
	v := r.variables[name]
	if !so || v.bad {
		return
	}
	v.bad = true
	accepted := v.accept
	if why != "" {
		accepted += " (" + why + ")"
	}
	v.fault = &Fault{Variable: v.name, Read: v.shown(), Accepted: accepted}
	r.faults = append(r.faults, v.fault)
}

// maxShown is how much of a value is shown, in bytes.
const maxShown = 200

// mayHoldPassword is whether a text could be an address with a user and a password before its host. A
// member of ADMINS, user:ADDRESS, is none.
func mayHoldPassword(text string) bool {
	for part := range strings.FieldsFuncSeq(text, func(c rune) bool { return c == ',' || unicode.IsSpace(c) }) {
		before := part[:max(0, strings.LastIndexByte(part, '@'))]
		if kind, _, found := strings.Cut(before, ":"); found && !slices.Contains([]string{"user", "group", "claim"}, kind) {
			return true
		}
	}
	return strings.Contains(text, "@") && strings.Contains(text, "://")
}

// shown is the value for people. Besides secrets it hides what could contain one,
// such as a URL with a password in it.
func (v *variable) shown() string {
	if v.text == "" {
		return ""
	}
	if v.secret || mayHoldPassword(v.text) {
		return redact.Mark
	}
	return strconv.Quote(access.Clip(v.text, maxShown))
}

// variables says of each variable, by its tag env, what it may be and what it does: a
// line each, which lines that begin with a space continue.
//
//go:embed variables.txt
var variables string

// description completes "must be ..." and says what a variable does. set and unset say what
// follows from it in a deployment: where {} stands in set, the value is; unset is for what is
// empty, false or 0, and empty where that cannot be, or has no meaning.
type description struct{ accept, doc, set, unset string }

var descriptions = sync.OnceValue(func() map[string]description {
	all := map[string]description{}
	for entry := range strings.SplitSeq(strings.ReplaceAll(variables, "\n  ", " "), "\n\n") {
		env, about, _ := strings.Cut(entry, "\naccept: ")
		accept, about, _ := strings.Cut(about, "\ndoc: ")
		doc, about, _ := strings.Cut(strings.TrimSuffix(about, "\n"), "\nset: ")
		set, unset, _ := strings.Cut(about, "\nunset: ")
		all[env] = description{accept, doc, set, unset}
	}
	return all
})
