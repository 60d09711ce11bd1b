package mail

import (
	"context"
	"crypto/x509"
	"errors"
)

// Authorities makes a Config.CA of certificates as PEM, which are read when they are
// first needed, and kept.
func Authorities(read func(context.Context) ([]byte, error)) func(context.Context) (*x509.CertPool, error) {
	return kept(read, parseAuthorities)
}

func parseAuthorities(text []byte) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, errors.New("there is no certificate as PEM in it")
	}
	return pool, nil
}

// roots are the authorities that may sign the server's certificate.
func (m *Mailer) roots(ctx context.Context) (*x509.CertPool, error) {
	if m.c.CA == nil {
		return m.c.Roots, nil
	}
	roots, err := m.c.CA(ctx)
	if err != nil {
		return nil, fault(ctx, atAuthorities, err)
	}
	return roots, nil
}
