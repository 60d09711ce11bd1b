package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"jitaccess/internal/config"
	"jitaccess/internal/mail"
	"jitaccess/internal/oauth"
	"jitaccess/internal/words"
)

// mailConfig is how mails are sent. warn is told what an operator should know though it works.
func mailConfig(all *config.Config, google *cloud, roots *x509.CertPool, k clock, warn func(string)) (mail.Config, error) {
	c, secrets := all.Mail, google.secret
	mc := mail.Config{
		Sender: c.SenderAddress, SenderName: c.SenderName,
		ReturnPath: c.ReturnPath, ReplyTo: c.ReplyTo, ConfirmationTo: c.ConfirmationTo,
		Language: words.Tagged(c.Locale), Location: c.TimeZone, Provider: providersOf(all), Immediate: immediate,

		Host: c.Host, Port: c.Port, Hello: c.Options.Hello, Mechanisms: c.Options.Mechanisms,
		ImplicitTLS: c.ImplicitTLS(), AllowPlain: c.AllowPlain(), Roots: roots,
		MinTLS: c.Options.MinTLS, MaxTLS: c.Options.MaxTLS,
		MaxConnections: c.MaxConnections, PerMinute: c.PerMinute,
		ConnectTimeout: c.Options.ConnectTimeout, ReadTimeout: c.Options.ReadTimeout, WriteTimeout: c.Options.WriteTimeout,
		Now: k.now, Sleep: k.sleep,
	}
	if !c.CA.IsZero() {
		mc.CA = mail.Authorities(stored(secrets, c.CA))
	}
	if proxy := c.ProxyURL(); proxy != nil {
		mc.Dial = mail.Proxy{URL: proxy, Except: c.NoProxy}.Dial
	}
	if c.AddressMapping != nil {
		mc.Address = c.AddressMapping.Address
	}
	switch login := all.MailLogin(); login {
	case config.NoLogin:
	case config.PasswordLogin:
		mc.Username, mc.Login = c.Username, mail.Password(oneLine("SMTP password", stored(secrets, c.StoredPassword())), k.now)
	default:
		source, err := newTokens(all, c.Username, google, k, warn)
		if err != nil {
			return mc, err
		}
		mc.Username, mc.Token, mc.Login = c.Username, true, source
	}
	if c.DKIMSelector != "" {
		_, domain, _ := strings.Cut(c.SenderAddress, "@")
		mc.Sign = mail.NewDKIM(c.DKIMSelector, domain, stored(secrets, c.DKIMKey))
	}
	return mc, nil
}

// newTokens makes the access tokens for a mailbox.
func newTokens(all *config.Config, mailbox string, google *cloud, k clock, warn func(string)) (*oauth.Source, error) {
	oc := oauthConfig(all, all.MailLogin(), google)
	oc.Mailbox, oc.Now, oc.Warn = mailbox, k.now, warn
	return oauth.New(oc)
}

// googleTokens is where Google issues tokens for mailboxes.
// https://developers.google.com/identity/protocols/oauth2/web-server
const googleTokens = "https://oauth2.googleapis.com/token"

func oauthConfig(all *config.Config, login config.MailLogin, google *cloud) oauth.Config {
	c, secrets := all.MailOAuth, google.secret
	oc := oauth.Config{TokenURL: c.TokenURL, Scope: c.Scope}
	if oc.TokenURL == "" {
		oc.TokenURL = googleTokens
		if google != nil { // wherever Google is
			oc.TokenURL = google.Endpoint("oauth2") + "/token"
		}
	}
	if login == config.Delegation {
		oc.Assertion = &oauth.Assertion{Account: google.ServiceAccount, Sign: google.signer.SignJWT}
		return oc
	}
	oc.ClientID, oc.ClientSecret = c.ClientID, oneLine("client secret", stored(secrets, c.ClientSecret))
	if login == config.RefreshToken {
		oc.RefreshToken = oneLine("refresh token", stored(secrets, c.RefreshToken))
	}
	return oc
}

// stored reads a text from where it is kept. Errors name no file: a key that was
// pasted where its path belongs must not get into the log.
func stored(secret func(ctx context.Context, version string) ([]byte, error),
	text config.StoredText) func(context.Context) ([]byte, error) {
	return func(ctx context.Context) ([]byte, error) {
		switch {
		case text.Version != "":
			return secret(ctx, text.Version)
		case text.File != "":
			content, err := os.ReadFile(text.File)
			if inPath, ok := errors.AsType[*fs.PathError](err); ok {
				err = fmt.Errorf("the file cannot be read: %w", inPath.Err)
			}
			return content, err
		}
		return []byte(text.Value.Reveal()), nil
	}
}

// oneLine reads a secret, which errors call by its name.
func oneLine(name string, read func(context.Context) ([]byte, error)) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		kept, err := read(ctx)
		if err != nil {
			return "", err
		}
		text, err := config.OneLine(kept)
		if err != nil {
			return "", fmt.Errorf("the %s %w", name, err)
		}
		return text, nil
	}
}
