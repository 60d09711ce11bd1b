package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
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
		mc.Password = func(ctx context.Context) (string, error) {
			if c.PasswordPath == "" {
				return c.Password.Reveal(), nil
			}
			value, err := secrets.Access(ctx, c.PasswordPath)
			return string(value), err
		}
	}
	if c.DKIMSelector != "" {
		_, domain, _ := strings.Cut(c.SenderAddress, "@")
		mc.Sign = mail.NewDKIM(c.DKIMSelector, domain, stored(secrets, c.DKIMKey))
	}
	return mail.New(mc)
}

// stored reads a text from where it is kept. Errors name no file: who pastes a key
// where its path belongs must not find it in the log.
func stored(secrets *secretmanager.Secrets, text config.StoredText) func(context.Context) ([]byte, error) {
	return func(ctx context.Context) ([]byte, error) {
		switch {
		case text.Version != "":
			return secrets.Access(ctx, text.Version)
		case text.File != "":
			content, err := os.ReadFile(text.File)
			var inPath *fs.PathError
			if errors.As(err, &inPath) {
				err = fmt.Errorf("the file cannot be read: %w", inPath.Err)
			}
			return content, err
		}
		return []byte(text.Value.Reveal()), nil
	}
}
