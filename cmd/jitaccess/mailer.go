package main

import (
	"context"
	"crypto/x509"
	"time"

	"jitaccess/internal/config"
	"jitaccess/internal/gcp"
	"jitaccess/internal/gcp/iamcredentials"
	"jitaccess/internal/gcp/secretmanager"
	"jitaccess/internal/mail"
	"jitaccess/internal/oauth"
)

// newMailer makes the mailer. warn is told what an operator should know though mail
// works.
func newMailer(ctx context.Context, all *config.Config, platform *gcp.Platform, signer *iamcredentials.Signer, roots *x509.CertPool, now func() time.Time, warn func(string)) (*mail.Mailer, error) {
	c := all.Mail
	secrets, err := secretmanager.New(ctx, platform)
	if err != nil {
		return nil, err
	}
	mc := mail.Config{
		Sender:      c.SenderAddress,
		SenderName:  c.SenderName,
		Host:        c.Host,
		Port:        c.Port,
		ImplicitTLS: c.ImplicitTLS(),
		AllowPlain:  c.AllowPlain(),
		MinTLS:      c.Options.MinTLS,
		MaxTLS:      c.Options.MaxTLS,
		Roots:       roots,
		Hello:       c.Options.Hello,
		ReturnPath:  c.Options.ReturnPath,
		Mechanisms:  c.Options.Mechanisms,
		Location:    c.TimeZone,

		ConnectTimeout: c.Options.ConnectTimeout,
		ReadTimeout:    c.Options.ReadTimeout,
		WriteTimeout:   c.Options.WriteTimeout,
		Now:            now,
	}
	if c.AddressMapping != nil {
		mc.Address = c.AddressMapping.Address
	}
	switch login := all.MailLogin(); login {
	case config.NoLogin:
	case config.PasswordLogin:
		stored := config.StoredText{Value: c.Password}
		if c.PasswordPath != "" {
			stored = config.StoredText{Version: c.PasswordPath}
		}
		mc.Username, mc.Login = c.Username, mail.Password(readText(secrets, stored), now)
	default:
		oc := oauthConfig(all, login, platform, signer, secrets)
		oc.Now, oc.Warn = now, warn
		mc.Username, mc.Token = c.Username, true
		if mc.Login, err = oauth.New(oc); err != nil {
			return nil, err
		}
	}
	return mail.New(mc)
}

// oauthConfig says where the tokens for a log-in come from.
func oauthConfig(all *config.Config, login config.MailLogin, platform *gcp.Platform, signer *iamcredentials.Signer, secrets *secretmanager.Secrets) oauth.Config {
	c := all.MailOAuth
	oc := oauth.Config{TokenURL: c.TokenURL, Scope: c.Scope, Mailbox: all.Mail.Username}
	if oc.TokenURL == "" {
		// Google's, wherever Google is.
		oc.TokenURL = platform.Endpoint("oauth2") + "/token"
	}
	if login == config.Delegation {
		oc.Assertion = &oauth.Assertion{Account: platform.ServiceAccount, Sign: signer.SignJWT}
		return oc
	}
	oc.ClientID, oc.ClientSecret = c.ClientID, readText(secrets, c.ClientSecret)
	if login == config.RefreshToken {
		oc.RefreshToken = readText(secrets, c.RefreshToken)
	}
	return oc
}

// readText reads a text that is given, or kept in Secret Manager.
func readText(secrets *secretmanager.Secrets, from config.StoredText) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		if from.Version == "" {
			return from.Value.Reveal(), nil
		}
		value, err := secrets.Access(ctx, from.Version)
		return string(value), err
	}
}
