package config

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/addressmap"
	"jitaccess/internal/gcp/resourcename"
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
	r.fields(reflect.ValueOf(c).Elem())
	r.platform(c)
	r.check(c)
	if len(r.faults) > 0 {
		return nil, errors.Join(r.faults...)
	}
	c.Warnings = r.warnings
	return c, nil
}

// Unknown is a warning for each variable of environ (as of os.Environ) that nobody
// reads and that was probably meant for us: it bears our prefix, or its name is one
// slip away from that of a variable which is read. No value is in it.
func Unknown(environ []string) []string {
	known := append(names(reflect.TypeFor[Config]()), "GAE_SERVICE", "K_SERVICE")
	var warnings []string
	for _, entry := range environ {
		name, text, _ := strings.Cut(entry, "=")
		if strings.TrimSpace(text) == "" || slices.Contains(known, name) {
			continue
		}
		meant := slices.IndexFunc(known, func(k string) bool { return oneSlip(name, k) })
		switch {
		case meant >= 0:
			warnings = append(warnings, name+" is set, and no such variable is read; is "+known[meant]+" meant?")
		case strings.HasPrefix(name, "JITACCESS_"):
			warnings = append(warnings, name+" is set, and no such variable is read")
		}
	}
	return warnings
}

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
	switch {
	case len(a) == 2 && len(b) == 2:
		return a[0] == b[1] && a[1] == b[0]
	case len(a) <= 1 && len(b) <= 1:
		return true
	}
	return false
}

// names are all variables of a struct.
func names(t reflect.Type) []string {
	var all []string
	for field := range t.Fields() {
		if env, ok := field.Tag.Lookup("env"); ok {
			all = append(all, strings.Split(env, ",")...)
		} else if _, ok := field.Tag.Lookup("title"); ok {
			all = append(all, names(field.Type)...)
		}
	}
	return all
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
	name   string // the one that was set, else the last
	text   string // trimmed; empty when unset
	bad    bool   // a fault has been found
	accept string
	secret bool
}

func (r *reader) fields(v reflect.Value) {
	for field, value := range v.Fields() {
		if _, ok := field.Tag.Lookup("env"); ok {
			r.field(field.Tag, value)
		} else if _, ok := field.Tag.Lookup("title"); ok {
			r.fields(value)
		}
	}
}

func (r *reader) field(tag reflect.StructTag, value reflect.Value) {
	v := &variable{accept: descriptions[tag.Get("env")].accept, secret: tag.Get("secret") != ""}
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
	text := v.text
	if text == "" {
		if text = tag.Get("default"); text == "" {
			return
		}
	}
	if !r.set(v, tag, value, text) {
		r.fault(v.name)
	}
}

// patterns are those that tags call by a name: a selector of DKIM is one label or more
// of a host name.
var patterns = map[string]string{"selector": label + `(\.` + label + `)*`}

const label = `[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?`

// set stores text in the field, if it can be one of its type.
func (r *reader) set(v *variable, tag reflect.StructTag, value reflect.Value, text string) bool {
	var ok bool
	switch field := value.Addr().Interface().(type) {
	case *absent:
		return false
	case *string:
		*field, ok = text, true
		if pattern := tag.Get("pattern"); pattern != "" {
			ok = regexp.MustCompile(`^(?:` + cmp.Or(patterns[pattern], pattern) + `)$`).MatchString(text)
		}
	case *SecretPath:
		*field, ok = SecretPath(text), resourcename.IsSecretVersion(text)
	case *Secret:
		*field, ok = NewSecret(text), true
	case *int:
		*field, ok = parseInt(text, tag)
	case *time.Duration:
		var n int
		n, ok = parseInt(text, tag)
		*field = time.Duration(n) * map[string]time.Duration{"minutes": time.Minute, "seconds": time.Second}[tag.Get("unit")]
	case *bool:
		*field, ok = strings.EqualFold(text, "true"), true
		if !*field && !strings.EqualFold(text, "false") {
			r.warn("%s is %s, which counts as false; only true is true", v.name, v.shown())
		}
	case *[]string:
		*field, ok = parseList(text), true
	case *StoredText:
		*field, ok = parseStoredText(text, tag.Get("file") != "")
	case *MailOptions:
		// Understood only when mail is sent; see mailOptions.
		field.text, ok = NewSecret(text), true
	case **addressmap.Mapping:
		var err error
		if *field, err = addressmap.Compile(text); err != nil {
			r.faultBecause(v.name, err.Error())
		}
		ok = true
	case **time.Location:
		*field, ok = parseZone(text)
	case **regexp.Regexp:
		var why string
		if *field, why = parsePattern(text); why != "" {
			r.faultBecause(v.name, why)
		}
		ok = true
	default:
		panic("config: no reader for " + value.Type().String())
	}
	return ok
}

func (r *reader) warn(format string, args ...any) {
	r.warnings = append(r.warnings, fmt.Sprintf(format, args...))
}

// fault says that a variable is not what it may be. Only the first fault of a
// variable is kept.
func (r *reader) fault(name string) { r.faultBecause(name, "") }

// faultBecause adds what exactly is wrong.
func (r *reader) faultBecause(name, why string) {
	v := r.variables[name]
	if v.bad {
		return
	}
	v.bad = true
	accepted := v.accept
	if why != "" {
		accepted += " (" + why + ")"
	}
	r.faults = append(r.faults, &Fault{Variable: v.name, Read: v.shown(), Accepted: accepted})
}

// maxShown is how much of a value is shown, in bytes.
const maxShown = 200

// shown is the value for people. Besides secrets it hides what could contain one,
// such as a URL with a password in it.
func (v *variable) shown() string {
	if v.text == "" {
		return ""
	}
	if v.secret || strings.Contains(v.text, "@") && strings.Contains(v.text, "://") {
		return redacted
	}
	return strconv.Quote(access.Clip(v.text, maxShown))
}
