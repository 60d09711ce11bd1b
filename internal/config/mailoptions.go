package config

import (
	"crypto/tls"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"jitaccess/internal/access"
)

// MailOptions are SMTP_OPTIONS: JavaMail's properties of a connection, as far as
// they mean something here. What other variables say too stands in Mail itself,
// where the option has replaced it.
type MailOptions struct {
	// ConnectTimeout, ReadTimeout and WriteTimeout are 0 where nothing is said.
	ConnectTimeout, ReadTimeout, WriteTimeout time.Duration
	// MinTLS and MaxTLS are versions of crypto/tls, or 0.
	MinTLS, MaxTLS uint16
	// Mechanisms are how to log in, the best first; nil leaves the choice.
	Mechanisms []string
	// Hello is the name in EHLO; it may be empty.
	Hello string

	text Secret
	// keys are those that were said and known, without their prefix.
	keys                          []string
	implicitTLS, requireTLS, auth bool
}

// has is whether an option was said.
func (o MailOptions) has(key string) bool { return slices.Contains(o.keys, key) }

// ImplicitTLS is whether TLS begins with the first byte rather than by STARTTLS.
func (m Mail) ImplicitTLS() bool {
	if m.Options.has("ssl.enable") {
		return m.Options.implicitTLS
	}
	return m.Port == 465
}

// AllowPlain is whether a server that offers no TLS is taken at that. It is only
// where the server is on loopback.
func (m Mail) AllowPlain() bool {
	return !m.StartTLS && !m.Options.requireTLS && !m.ImplicitTLS()
}

// option is one entry of the list.
type option struct{ key, value string }

// splitOptions takes the list apart by the rules of JIT Access 1.x: at commas, and
// entries at the equals sign; both parts trimmed, and of equal keys the last counts.
// A value may hold further equals signs, with which 1.x dropped the entry. strange
// counts the entries that are none.
func splitOptions(text string) (options []option, strange int) {
	for entry := range strings.SplitSeq(text, ",") {
		key, value, ok := strings.Cut(entry, "=")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		if strings.TrimSpace(entry) == "" {
			continue
		}
		if !ok || key == "" {
			strange++
			continue
		}
		options = slices.DeleteFunc(options, func(o option) bool { return o.key == key })
		// An empty value is none, as in 1.x.
		if value != "" {
			options = append(options, option{key, value})
		}
	}
	return options, strange
}

const optionPrefix = "mail.smtp."

// mailOptions applies SMTP_OPTIONS over what the other variables say, as JIT Access
// 1.x did. What would weaken the connection has no effect, with a warning; only
// what would send it in clear text is a fault, which checkMail finds.
func (r *reader) mailOptions(c *Mail) {
	options, strange := splitOptions(c.Options.text.Reveal())
	if strange > 0 {
		r.warn("SMTP_OPTIONS: %d entries are not of the form KEY=VALUE and have no effect", strange)
	}
	var wrong []string
	for _, o := range options {
		key, ours := strings.CutPrefix(o.key, optionPrefix)
		set, known := mailOptionSetters[key]
		if !ours || !known {
			r.warn("SMTP_OPTIONS: %s is not known and has no effect", printableKey(o.key))
			continue
		}
		c.Options.keys = append(c.Options.keys, key)
		if accepted := set(c, o.value, func(text string) { r.warn("SMTP_OPTIONS: %s%s %s", optionPrefix, key, text) }); accepted != "" {
			wrong = append(wrong, o.key+" must be "+accepted)
		}
	}
	if wrong != nil {
		r.faultBecause("SMTP_OPTIONS", strings.Join(wrong, "; "))
	}
}

// printableKey is a key as a warning may show it. Its value is never shown: people
// put passwords there.
func printableKey(key string) string {
	if text := []rune(key); len(text) > 60 {
		key = string(text[:60]) + "…"
	}
	return strconv.Quote(key)
}

// mailOptionSetters apply one option each, by its key without the prefix. They
// return what the value must be when it is not that.
var mailOptionSetters = map[string]func(c *Mail, value string, warn func(string)) (accepted string){
	"host": func(c *Mail, value string, _ func(string)) string {
		if !mailHostPattern.MatchString(value) {
			return "a host name or address, without a port"
		}
		c.Host = value
		return ""
	},
	"port": func(c *Mail, value string, _ func(string)) string {
		n, ok := parseInt(value, `min:"1" max:"65535"`)
		if !ok {
			return "a port from 1 to 65535"
		}
		c.Port = n
		return ""
	},
	"connectiontimeout": func(c *Mail, value string, _ func(string)) string {
		return milliseconds(&c.Options.ConnectTimeout, value)
	},
	"timeout": func(c *Mail, value string, _ func(string)) string { return milliseconds(&c.Options.ReadTimeout, value) },
	"writetimeout": func(c *Mail, value string, _ func(string)) string {
		return milliseconds(&c.Options.WriteTimeout, value)
	},
	"ssl.enable": func(c *Mail, value string, _ func(string)) string {
		c.Options.implicitTLS = isTrue(value)
		return ""
	},
	"starttls.enable": func(c *Mail, value string, _ func(string)) string {
		c.StartTLS = isTrue(value)
		return ""
	},
	"starttls.required": func(c *Mail, value string, warn func(string)) string {
		if c.Options.requireTLS = isTrue(value); !c.Options.requireTLS {
			warn("is not true and has no effect: TLS is always demanded, except of a server on loopback")
		}
		return ""
	},
	"ssl.trust": func(_ *Mail, _ string, warn func(string)) string {
		warn("has no effect: the server's certificate is always verified, by the authorities that this system trusts, or those of SMTP_CA")
		return ""
	},
	"ssl.checkserveridentity": func(_ *Mail, value string, warn func(string)) string {
		if !isTrue(value) {
			warn("is not true and has no effect: that the server's certificate is for SMTP_HOST is always verified")
		}
		return ""
	},
	"ssl.protocols": func(c *Mail, value string, warn func(string)) string {
		var versions []uint16
		for _, name := range strings.Fields(value) {
			version, known := map[string]uint16{"TLSv1.2": tls.VersionTLS12, "TLSv1.3": tls.VersionTLS13}[name]
			if !known {
				warn("names versions other than TLSv1.2 and TLSv1.3, which are never spoken")
				continue
			}
			versions = append(versions, version)
		}
		if versions != nil {
			c.Options.MinTLS, c.Options.MaxTLS = slices.Min(versions), slices.Max(versions)
		}
		return ""
	},
	"auth": func(c *Mail, value string, _ func(string)) string {
		c.Options.auth = isTrue(value)
		return ""
	},
	"auth.mechanisms": func(c *Mail, value string, warn func(string)) string {
		c.Options.Mechanisms = nil
		for _, name := range strings.Fields(strings.ToUpper(value)) {
			switch {
			case c.Auth == oauth2 && name != "XOAUTH2":
				warn("names mechanisms other than XOAUTH2, which have no effect with SMTP_AUTH=oauth2")
			case name == "XOAUTH2" && c.Auth != oauth2:
				warn("names XOAUTH2, which has no effect; set SMTP_AUTH=oauth2 instead")
			case name == "PLAIN", name == "LOGIN":
				c.Options.Mechanisms = append(c.Options.Mechanisms, name)
			case name != "XOAUTH2":
				warn("names mechanisms other than PLAIN and LOGIN, which are not known")
			}
		}
		return ""
	},
	"localhost": func(c *Mail, value string, _ func(string)) string {
		if !helloPattern.MatchString(value) {
			return "a host name or address"
		}
		c.Options.Hello = value
		return ""
	},
	"from": func(c *Mail, value string, _ func(string)) string {
		p, err := access.ParsePrincipal(value)
		if err != nil {
			return "an address of the form local@domain"
		}
		c.ReturnPath = p.String()
		return ""
	},
}

// Forms of a mail server's name and of the name that we give ourselves.
var (
	mailHostPattern = regexp.MustCompile(`^(?:[A-Za-z0-9._-]{1,253}|\[?[0-9A-Fa-f:.]+\]?)$`)
	helloPattern    = regexp.MustCompile(`^(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Za-z:.]{1,60}\])$`)
)

func milliseconds(into *time.Duration, value string) (accepted string) {
	n, ok := parseInt(value, `min:"1" max:"3600000"`)
	if !ok {
		return "a whole number of milliseconds from 1 to 3600000"
	}
	*into = time.Duration(n) * time.Millisecond
	return ""
}

func isTrue(text string) bool { return strings.EqualFold(text, "true") }
