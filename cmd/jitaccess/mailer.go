package main

import (
	"context"
	"crypto/x509"
	"os"

	"jitaccess/internal/config"
	"jitaccess/internal/gcp"
	"jitaccess/internal/gcp/secretmanager"
	"jitaccess/internal/mail"
)

func newMailer(ctx context.Context, c config.Mail, platform *gcp.Platform, roots *x509.CertPool, k clock) (*mail.Mailer, error) {
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
		ReturnPath:  c.ReturnPath,
		ReplyTo:     c.ReplyTo,
		Mechanisms:  c.Options.Mechanisms,
		Location:    c.TimeZone,

		ConfirmationTo: c.ConfirmationTo,
		MaxConnections: c.MaxConnections,
		PerMinute:      c.PerMinute,
		ConnectTimeout: c.Options.ConnectTimeout,
		ReadTimeout:    c.Options.ReadTimeout,
		WriteTimeout:   c.Options.WriteTimeout,
		Now:            k.now,
		Sleep:          k.sleep,
	}
	if !c.CA.IsZero() {
		mc.CA = mail.Authorities(func(ctx context.Context) ([]byte, error) {
			if c.CA.File != "" {
				return os.ReadFile(c.CA.File)
			}
			return secrets.Access(ctx, c.CA.Version)
		})
	}
	if proxy := c.ProxyURL(); proxy != nil {
		mc.Dial = mail.Proxy{URL: proxy, Except: c.NoProxy}.Dial
	}
	if c.AddressMapping != nil {
		mc.Address = c.AddressMapping.Address
	}
	if c.Username != "" && (c.PasswordPath != "" || !c.Password.IsZero()) {
		mc.Username = c.Username
		mc.Password = func(ctx context.Context) (string, error) {
			if c.PasswordPath == "" {
				return c.Password.Reveal(), nil
			}
			value, err := secrets.Access(ctx, c.PasswordPath)
			return string(value), err
		}
	}
	return mail.New(mc)
}
