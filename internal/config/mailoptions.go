package config

import (
	"crypto/tls"
	"slices"
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
	keys                             []string
	implicitTLS, requireTLS, noLogin bool
}

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

type option struct{ key, value string }

// splitOptions takes the list apart by the rules of JIT Access 1.x: at commas, and
// entries at the equals sign; both parts trimmed, and of equal keys the last counts.
// A value may hold further equals signs, with which 1.x dropped the entry. strange
// counts the entries that are none.
func splitOptions(text string) (options []option, strange int) {
	for _, entry := range parseList(text) {
		key, value, ok := strings.Cut(entry, "=")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
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
		r.warn("SMTP_OPTIONS: %s no effect", access.Counted(strange, "entry is not of the form KEY=VALUE and has",
			"entries are not of the form KEY=VALUE and have"))
	}
	var wrong []string
	for _, o := range options {
		key, ours := strings.CutPrefix(o.key, optionPrefix)
		accepted, known := "", false
		if ours {
			accepted, known = c.set(key, o.value, func(text string) { r.warn("SMTP_OPTIONS: %s%s %s", optionPrefix, key, text) })
		}
		switch {
		case !known:
			// Its value is never shown: people put passwords there.
			r.warn("SMTP_OPTIONS: %q is not known and has no effect", access.Clip(o.key, 60))
			continue
		case accepted != "":
			wrong = append(wrong, o.key+" must be "+accepted)
		}
		c.Options.keys = append(c.Options.keys, key)
	}
	r.faultIf(wrong != nil, "SMTP_OPTIONS", strings.Join(wrong, "; "))
}

// set applies one option, by its key without the prefix. It returns what the value must
// be when it is not that, and whether the key is known.
func (c *Mail) set(key, value string, warn func(string)) (accepted string, known bool) {
	o, yes := &c.Options, isTrue(value)
	switch key {
	case "host":
		if !matches("mail host", value) {
			return "a host name or address, without a port", true
		}
		c.Host = value
	case "port":
		port, ok := parseInt(value, 1, 65535)
		if !ok {
			return "a port from 1 to 65535", true
		}
		c.Port = port
	case "connectiontimeout", "timeout", "writetimeout":
		into := map[string]*time.Duration{"connectiontimeout": &o.ConnectTimeout, "timeout": &o.ReadTimeout, "writetimeout": &o.WriteTimeout}
		n, ok := parseInt(value, 1, 3600000)
		if !ok {
			return "a whole number of milliseconds from 1 to 3600000", true
		}
		*into[key] = time.Duration(n) * time.Millisecond
	case "ssl.enable":
		o.implicitTLS = yes
	case "starttls.enable":
		c.StartTLS = yes
	case "starttls.required":
		if o.requireTLS = yes; !yes {
			warn("is not true and has no effect: TLS is always demanded, except of a server on loopback")
		}
	case "ssl.trust":
		warn("has no effect: the server's certificate is always verified, by the authorities that this system trusts, or those of SMTP_CA")
	case "ssl.checkserveridentity":
		if !yes {
			warn("is not true and has no effect: that the server's certificate is for SMTP_HOST is always verified")
		}
	case "ssl.protocols":
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
			o.MinTLS, o.MaxTLS = slices.Min(versions), slices.Max(versions)
		}
	case "auth":
		o.noLogin = !yes
	case "auth.mechanisms":
		for _, name := range strings.Fields(strings.ToUpper(value)) {
			switch {
			case c.Auth == oauth2 && name != "XOAUTH2":
				warn("names mechanisms other than XOAUTH2, which have no effect with SMTP_AUTH=oauth2")
			case name == "XOAUTH2" && c.Auth != oauth2:
				warn("names XOAUTH2, which has no effect; set SMTP_AUTH=oauth2 instead")
			case name == "PLAIN", name == "LOGIN":
				o.Mechanisms = append(o.Mechanisms, name)
			case name != "XOAUTH2":
				warn("names mechanisms other than PLAIN and LOGIN, which are not known")
			}
		}
	case "localhost":
		if !matches("hello", value) {
			return "a host name or address", true
		}
		o.Hello = value
	case "from":
		p, err := access.ParsePrincipal(value)
		if err != nil {
			return "an address of the form local@domain", true
		}
		c.ReturnPath = p.String()
	default:
		return "", false
	}
	return "", true
}
