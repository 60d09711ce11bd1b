package config_test

import (
	"crypto/tls"
	"fmt"
	"strings"
	"testing"

	"jitaccess/internal/access"
	"jitaccess/internal/config"
)

// The keys of JavaMail that mean something here.
func TestMailOptions(t *testing.T) {
	for _, c := range []struct {
		options string
		got     func(config.Mail) any
		want    any
	}{
		{"mail.smtp.connectiontimeout=5000", func(m config.Mail) any { return m.Options.ConnectTimeout.String() }, "5s"},
		{"mail.smtp.timeout = 1500 ", func(m config.Mail) any { return m.Options.ReadTimeout.String() }, "1.5s"},
		{"mail.smtp.writetimeout=+7", func(m config.Mail) any { return m.Options.WriteTimeout.String() }, "7ms"},
		{"mail.smtp.ssl.enable=TRUE", implicit, true},
		{"mail.smtp.ssl.enable=yes", implicit, false},
		{"mail.smtp.port=465", implicit, true},
		{"mail.smtp.port=465,mail.smtp.ssl.enable=false", implicit, false},
		{"mail.smtp.ssl.enable=false,mail.smtp.port=465", implicit, false},
		{"mail.smtp.starttls.enable=true", plain, false},
		{"mail.smtp.starttls.enable=false,mail.smtp.host=localhost", plain, true},
		{"mail.smtp.starttls.enable=false,mail.smtp.host=::1", plain, true},
		{"mail.smtp.starttls.enable=false,mail.smtp.host=localhost,mail.smtp.starttls.required=true", plain, false},
		{"mail.smtp.starttls.enable=false,mail.smtp.starttls.required=true", plain, false},
		{"mail.smtp.starttls.enable=false,mail.smtp.ssl.enable=true", plain, false},
		{"mail.smtp.ssl.checkserveridentity=true", plain, false},
		{"mail.smtp.ssl.protocols=TLSv1.2", versions, fmt.Sprint(tls.VersionTLS12, tls.VersionTLS12)},
		{"mail.smtp.ssl.protocols=TLSv1.3", versions, fmt.Sprint(tls.VersionTLS13, tls.VersionTLS13)},
		{"mail.smtp.ssl.protocols=TLSv1.3 TLSv1.2", versions, fmt.Sprint(tls.VersionTLS12, tls.VersionTLS13)},
		{"mail.smtp.auth.mechanisms=login PLAIN", mechanisms, "LOGIN PLAIN"},
		{"mail.smtp.auth=true", func(m config.Mail) any { return m.Username }, "jit"},
		{"mail.smtp.localhost=jit.example.com", func(m config.Mail) any { return m.Options.Hello }, "jit.example.com"},
		{"mail.smtp.localhost=[192.0.2.1]", func(m config.Mail) any { return m.Options.Hello }, "[192.0.2.1]"},
		{"mail.smtp.from=Bounces@example.com", func(m config.Mail) any { return m.ReturnPath }, "bounces@example.com"},
		{"mail.smtp.host=relay.example.com", func(m config.Mail) any { return m.Host }, "relay.example.com"},
		{"mail.smtp.port=2525", func(m config.Mail) any { return m.Port }, 2525},
		{"mail.smtp.port=25,mail.smtp.host=127.0.0.1", func(m config.Mail) any { return m.Port }, 25},

		// The list: trimmed, the last of equal keys counts, empty values are none.
		{" mail.smtp.port = 1 ,, mail.smtp.port=2 , ", func(m config.Mail) any { return m.Port }, 2},
		{"mail.smtp.port=,mail.smtp.host=", func(m config.Mail) any { return fmt.Sprint(m.Host, m.Port) }, "smtp.gmail.com587"},
		{"mail.smtp.port=2,mail.smtp.port=", func(m config.Mail) any { return m.Port }, 587},
		// With 1.x an entry was lost whose value holds an equals sign.
		{"mail.smtp.from=prvs=1=jit@example.com", func(m config.Mail) any { return m.ReturnPath }, "prvs=1=jit@example.com"},
	} {
		t.Run(c.options, func(t *testing.T) {
			read := mustRead(t, "SMTP_SENDER_ADDRESS=jit@example.com", "SMTP_USERNAME=jit", "SMTP_PASSWORD=x", "SMTP_OPTIONS="+c.options)
			if got := c.got(read.Mail); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
			if len(read.Warnings) > 0 {
				t.Errorf("warned of %q", read.Warnings)
			}
		})
	}
}

func implicit(m config.Mail) any   { return m.ImplicitTLS() }
func plain(m config.Mail) any      { return m.AllowPlain() }
func versions(m config.Mail) any   { return fmt.Sprint(m.Options.MinTLS, m.Options.MaxTLS) }
func mechanisms(m config.Mail) any { return strings.Join(m.Options.Mechanisms, " ") }

// What is unknown or would weaken the connection has no effect, and is named.
func TestMailOptions_Warnings(t *testing.T) {
	for options, want := range map[string]string{
		"mail.smtp.sendpartial=true":              `SMTP_OPTIONS: "mail.smtp.sendpartial" is not known and has no effect`,
		"mail.smtps.port=465":                     `SMTP_OPTIONS: "mail.smtps.port" is not known`,
		"MAIL.SMTP.PORT=465":                      `SMTP_OPTIONS: "MAIL.SMTP.PORT" is not known`,
		"port=465":                                `SMTP_OPTIONS: "port" is not known`,
		"mail.smtp.=x":                            `SMTP_OPTIONS: "mail.smtp." is not known`,
		strings.Repeat("x", 500) + "=y":           `SMTP_OPTIONS: "` + strings.Repeat("x", 60) + `…" is not known`,
		"a\nb=c":                                  `SMTP_OPTIONS: "a\nb" is not known`,
		"mail.smtp.port, =x":                      `SMTP_OPTIONS: 2 entries are not of the form KEY=VALUE`,
		"mail.smtp.ssl.trust=*":                   `SMTP_OPTIONS: mail.smtp.ssl.trust has no effect: the server's certificate is always verified`,
		"mail.smtp.ssl.trust=smtp.example.com":    `SMTP_OPTIONS: mail.smtp.ssl.trust has no effect`,
		"mail.smtp.ssl.checkserveridentity=false": `SMTP_OPTIONS: mail.smtp.ssl.checkserveridentity is not true and has no effect`,
		"mail.smtp.starttls.required=false":       `SMTP_OPTIONS: mail.smtp.starttls.required is not true and has no effect`,
		"mail.smtp.ssl.protocols=TLSv1.1 TLSv1.2": `SMTP_OPTIONS: mail.smtp.ssl.protocols names versions other than`,
		"mail.smtp.auth.mechanisms=CRAM-MD5":      `SMTP_OPTIONS: mail.smtp.auth.mechanisms names mechanisms other than`,
		"mail.smtp.auth=false":                    `SMTP_OPTIONS: mail.smtp.auth is not true: nobody logs in`,
	} {
		read := mustRead(t, "SMTP_SENDER_ADDRESS=jit@example.com", "SMTP_USERNAME=jit", "SMTP_PASSWORD=x", "SMTP_OPTIONS="+options)
		if len(read.Warnings) != 1 || !strings.HasPrefix(read.Warnings[0], want) {
			t.Errorf("%s: got %q, want one that begins with %q", options, read.Warnings, want)
		}
		if read.Mail.AllowPlain() || read.Mail.Options.MinTLS != 0 && read.Mail.Options.MinTLS < tls.VersionTLS12 {
			t.Errorf("%s weakens the connection", options)
		}
	}
	if read := mustRead(t, "SMTP_SENDER_ADDRESS=jit@example.com", "SMTP_USERNAME=jit", "SMTP_PASSWORD=x", "SMTP_OPTIONS=mail.smtp.auth=false"); read.Mail.Username != "" {
		t.Error("somebody logs in although mail.smtp.auth is false")
	}
}

func TestMailOptions_Faults(t *testing.T) {
	for options, says := range map[string]string{
		"mail.smtp.starttls.enable=false":                            "mail.smtp.starttls.enable must be true",
		"mail.smtp.starttls.enable=no,mail.smtp.host=relay.internal": "clear text",
		"mail.smtp.port=25":                                          "mail.smtp.port must be other than 25",
		"mail.smtp.port=0":                                           "a port from 1 to 65535",
		"mail.smtp.port=smtp":                                        "a port from 1 to 65535",
		"mail.smtp.host=smtp.example.com:587":                        "mail.smtp.host must be a host name",
		"mail.smtp.host=a b":                                         "",
		"mail.smtp.timeout=5s":                                       "milliseconds",
		"mail.smtp.timeout=0":                                        "from 1 to 3600000",
		"mail.smtp.connectiontimeout=-1":                             "",
		"mail.smtp.writetimeout=99999999999999999999":                "",
		"mail.smtp.localhost=a b":                                    "mail.smtp.localhost must be a host name",
		"mail.smtp.localhost=a\r\nMAIL FROM:<x@y>":                   "",
		"mail.smtp.from=jit@example.com> SIZE=1":                     "mail.smtp.from must be an address",
		"mail.smtp.from=<>":                                          "",
		"mail.smtp.port=x,mail.smtp.timeout=y":                       "mail.smtp.port must be a port from 1 to 65535; mail.smtp.timeout must be",
	} {
		found := faults(t, with("SMTP_SENDER_ADDRESS=jit@example.com", "SMTP_OPTIONS="+options))
		if len(found) != 1 || found[0].Variable != "SMTP_OPTIONS" || !strings.Contains(found[0].Error(), says) || !strings.Contains(found[0].Error(), "[redacted]") {
			t.Errorf("%q: got %v, want one fault with %q", options, found, says)
		}
	}
	// The variable is to blame where it was the variable.
	found := faults(t, with("SMTP_SENDER_ADDRESS=jit@example.com", "SMTP_ENABLE_STARTTLS=false", "SMTP_OPTIONS=mail.smtp.timeout=5"))
	if len(found) != 1 || found[0].Variable != "SMTP_ENABLE_STARTTLS" {
		t.Errorf("got %v", found)
	}
	// Without mail it does not matter what its options are.
	mustRead(t, "SMTP_OPTIONS=mail.smtp.port=x")
}

// Whatever stands there, mail beyond loopback is encrypted, and what would go into
// a command of SMTP has its grammar.
func FuzzMailOptions(f *testing.F) {
	f.Add("mail.smtp.starttls.enable=false,mail.smtp.host=localhost")
	f.Add("mail.smtp.ssl.protocols=TLSv1 TLSv1.3,mail.smtp.from=a=b@c,,=,x")
	f.Add("mail.smtp.localhost=[::1],mail.smtp.port=465,mail.smtp.ssl.enable=false")
	f.Fuzz(func(t *testing.T, options string) {
		c, err := read(with("SMTP_SENDER_ADDRESS=jit@example.com", "SMTP_OPTIONS="+options))
		if err != nil {
			return
		}
		m := c.Mail
		if m.AllowPlain() && m.Host != "localhost" && !strings.HasPrefix(m.Host, "127.") && !strings.Contains(m.Host, ":") && !strings.EqualFold(m.Host, "localhost") {
			t.Errorf("%q sends mail to %q in clear text", options, m.Host)
		}
		if strings.ContainsAny(m.Options.Hello, " \r\n<>") || m.Port < 1 || m.Port > 65535 {
			t.Errorf("%q: %+v", options, m)
		}
		if _, err := access.ParsePrincipal(m.ReturnPath); m.ReturnPath != "" && err != nil {
			t.Errorf("%q returns to %q", options, m.ReturnPath)
		}
		for _, w := range c.Warnings {
			if strings.ContainsAny(w, "\r\n") {
				t.Errorf("a warning of %q has two lines", options)
			}
		}
	})
}
