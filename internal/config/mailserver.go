package config

import (
	"crypto/x509"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"strconv"
	"strings"

	"jitaccess/internal/access"
)

// checkMailServer looks at how the mail server is reached, and at the addresses
// besides the sender's. Options have not replaced anything yet.
func (r *reader) checkMailServer(c *Mail) {
	for _, other := range []struct {
		variable string
		address  *string
	}{{"SMTP_REPLY_TO", &c.ReplyTo}, {"SMTP_RETURN_PATH", &c.ReturnPath}, {"SMTP_CONFIRMATION_TO", &c.ConfirmationTo}} {
		if *other.address == "" {
			continue
		}
		p, err := access.ParsePrincipal(*other.address)
		if err != nil {
			r.fault(other.variable)
		}
		*other.address = p.String()
	}
	if c.CA.File != "" {
		text, err := os.ReadFile(c.CA.File)
		var cause *fs.PathError
		switch {
		case errors.As(err, &cause):
			r.faultBecause("SMTP_CA", "the file cannot be read: "+cause.Err.Error())
		case err != nil:
			r.fault("SMTP_CA")
		case !x509.NewCertPool().AppendCertsFromPEM(text):
			r.faultBecause("SMTP_CA", "there is no certificate in the file")
		}
	}
	if !c.Proxy.IsZero() && c.ProxyURL() == nil {
		r.fault("ALL_PROXY")
	}
}

// ProxyURL is ALL_PROXY; nil for none. It holds the password.
func (m Mail) ProxyURL() *url.URL {
	u, err := url.Parse(m.Proxy.Reveal())
	if err != nil || u.Opaque != "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		return nil
	}
	if u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "socks5" {
		return nil
	}
	if port, err := strconv.Atoi(u.Port()); err != nil || port < 1 || port > 65535 || !hostPattern.MatchString(strings.ToLower(u.Hostname())) {
		return nil
	}
	// RFC 1929 has one byte for how long each is.
	if password, _ := u.User.Password(); u.User != nil && (u.User.Username() == "" || len(u.User.Username()) > 255 || len(password) > 255) {
		return nil
	}
	return &url.URL{Scheme: u.Scheme, User: u.User, Host: u.Host}
}
