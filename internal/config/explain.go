package config

import (
	"cmp"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"jitaccess/internal/redact"
)

// Explanation is what a deployment's settings come to.
type Explanation struct {
	Platform string    `json:"platform"`
	Settings []Setting `json:"settings"`
	Warnings []string  `json:"warnings"`
	// Faulty is whether a setting has a fault: then the service does not start.
	Faulty bool `json:"faulty"`
}

// Setting is one setting as it holds.
type Setting struct {
	Section string `json:"section"`
	Name    string `json:"name"`
	// Value is what holds, as far as it may be shown; empty for what is not set.
	Value  string `json:"value"`
	Source Source `json:"source"`
	// Follows is a sentence; empty where there is a fault, or nothing follows.
	Follows string `json:"follows,omitempty"`
	// Fault is why the service does not start with it; empty for none.
	Fault string `json:"fault,omitempty"`
}

// Source is where a value comes from.
type Source string

const (
	// Environment is the variable itself, Default what holds when it is unset, and Derived what
	// follows from other settings and the platform.
	Environment Source = "environment"
	Default     Source = "default"
	Derived     Source = "derived"
	// AtStart is what the platform says when the service starts; nobody is asked before.
	AtStart Source = "asked of the platform at start"
	Unset   Source = "unset"
)

// Explain reads as Read does, and says of every setting what holds, why, and what follows. It
// has no value that is a secret, nor what could contain one.
func Explain(lookup func(string) string) Explanation {
	r := &reader{lookup: lookup, variables: map[string]*variable{}}
	c := &Config{}
	all := settingsOf(c)
	given := make([]string, len(all))
	for i, s := range all {
		r.field(s.tag, s.value)
		given[i] = r.inWords(s)
	}
	r.platform(c)
	r.check(c)
	e := Explanation{Platform: c.Platform.String(), Warnings: r.warnings, Faulty: len(r.faults) > 0}
	for i, s := range all {
		e.Settings = append(e.Settings, r.explain(c, s, given[i]))
	}
	return e
}

// explain says it of one; given is its value as it was read, before others were looked at.
func (r *reader) explain(c *Config, s setting, given string) Setting {
	env := s.tag.Get("env")
	first, _, _ := strings.Cut(env, ",")
	v, about := r.variables[first], descriptions()[env]
	e := Setting{Section: s.section, Name: v.name, Value: r.inWords(s), Source: Unset}
	if v.text == "" {
		e.Name = first
	}
	switch {
	case v.text != "":
		e.Source = Environment
	case e.Value != given:
		e.Source = Derived
	case s.tag.Get("default") != "":
		e.Source = Default
	case c.Google.Used && (env == "GOOGLE_CLOUD_PROJECT" || env == "RESOURCE_SCOPE" ||
		env == "IAP_AUDIENCE" && c.Identity.Profile == IAP):
		e.Source = AtStart
	}
	if v.fault != nil {
		e.Fault = v.fault.Error()
		e.Value = v.shown()
		return e
	}
	if why := c.idle(s.section, first); why != "" {
		e.Follows = "It has no effect: " + why + "."
	} else if !s.value.IsZero() {
		e.Follows = strings.ReplaceAll(about.set, "{}", e.Value)
	} else {
		e.Follows = about.unset
	}
	return e
}

// idle is why a setting has no effect, whatever it is; empty where it has one.
func (c *Config) idle(section, name string) string {
	const mail, login = "without SMTP_SENDER_ADDRESS no mail is sent", "SMTP_AUTH is not " + oauth2
	own := profileOf(name)
	for _, each := range []struct {
		so  bool
		why string
	}{
		{own != "" && own != c.Identity.Profile, "people are not identified by IDENTITY=" + own},
		{slices.Contains([]string{"SEAL_KEY", "LEDGER_RETENTION", "WEEKLY_RECONCILE", "AUDITORS"}, name) && c.Ledger.Database.IsZero(),
			"DATABASE_URL is not set"},
		// Chats have the language and the times of mails, too.
		{section == titleOf[Mail]() && name != "SMTP_SENDER_ADDRESS" && name != "LOCALE" && name != "NOTIFICATION_TIMEZONE" &&
			c.Mail.SenderAddress == "", mail},
		{section == titleOf[MailOAuth]() && (c.Mail.SenderAddress == "" || c.Mail.Auth != oauth2), login},
		{section == titleOf[Mailbox]() && name != "IMAP_HOST" && c.Mailbox.Host == "", "without IMAP_HOST no mailbox is read"},
		{(section == titleOf[Google]() || section == titleOf[Catalog]()) && !c.Google.Used, "Google Cloud is not used"},
		{strings.HasPrefix(name, "POMERIUM_") && !c.Pomerium.Used(), "Pomerium Zero is not used"},
		{section == titleOf[Traces]() && name != "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT" && c.Traces.Endpoint == "",
			"without OTEL_EXPORTER_OTLP_ENDPOINT nothing is traced"},
		{section == titleOf[Traces]() && c.Traces.Endpoint != "" && !c.Traces.Used() && name != "OTEL_SDK_DISABLED" &&
			name != "OTEL_TRACES_EXPORTER", "OTEL_SDK_DISABLED or OTEL_TRACES_EXPORTER says that nothing is traced"},
		{name == "SLACK_CHANNEL" && c.Chats.SlackToken.IsZero(), "SLACK_TOKEN is not set"},
	} {
		if each.so {
			return each.why
		}
	}
	return ""
}

// profileOf is the profile whose own variable it is; empty for a variable of all.
func profileOf(name string) string {
	for profile, names := range ofProfile {
		if slices.Contains(names, name) {
			return profile
		}
	}
	if name == "IAP_VERIFY_AUDIENCE" {
		return IAP
	}
	return ""
}

// titleOf is the title of a section.
func titleOf[Section any]() string {
	for field := range reflect.TypeFor[Config]().Fields() {
		if field.Type == reflect.TypeFor[Section]() {
			return field.Tag.Get("title")
		}
	}
	return ""
}

// inWords is what a field holds, as far as it may be shown; empty for nothing.
func (r *reader) inWords(s setting) string {
	first, _, _ := strings.Cut(s.tag.Get("env"), ",")
	v := r.variables[first]
	if s.value.IsZero() && v.text == "" && s.tag.Get("default") == "" {
		return ""
	}
	text := cmp.Or(v.text, s.tag.Get("default"))
	switch value := s.value.Interface().(type) {
	case string:
		text = value
	case SecretPath:
		return string(value)
	case Secret, MailOptions:
		return redact.Mark
	case StoredText:
		switch {
		case value.Version != "":
			return value.Version
		case first == "DATABASE_URL" && strings.HasPrefix(value.Value.Reveal(), "sqlite:"):
			return value.Value.Reveal()
		case !value.Value.IsZero() || s.tag.Get("secret") != "":
			return redact.Mark
		}
		text = value.File
	case int:
		text = strconv.Itoa(value)
	case bool:
		text = strconv.FormatBool(value)
	case time.Duration:
		unit := s.tag.Get("unit")
		n := int(value / units[unit])
		if n == 1 {
			unit = strings.TrimSuffix(unit, "s")
		}
		text = strconv.Itoa(n) + " " + unit
	case []string:
		text = strings.Join(value, ", ")
	}
	if v.secret || mayHoldPassword(text) {
		return redact.Mark
	}
	return text
}
