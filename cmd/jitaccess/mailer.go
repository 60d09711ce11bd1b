package main

import (
	"context"
	"crypto/x509"
	"time"

	"jitaccess/internal/config"
	"jitaccess/internal/gcp"
	"jitaccess/internal/gcp/secretmanager"
	"jitaccess/internal/mail"
)

func newMailer(ctx context.Context, c config.Mail, platform *gcp.Platform, roots *x509.CertPool, now func() time.Time) (*mail.Mailer, error) {
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
	if c.Username != "" && (c.PasswordPath != "" || !c.Password.IsZero()) {
		mc.Username = c.Username
		mc.Login = mail.Password(func(ctx context.Context) (string, error) {
			if c.PasswordPath == "" {
				return c.Password.Reveal(), nil
			}
			value, err := secrets.Access(ctx, c.PasswordPath)
			return string(value), err
		}, now)
	}
	return mail.New(mc)
}
