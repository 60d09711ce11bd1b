package mail

import (
	"context"
	"crypto/x509"
	"errors"
)

// Authorities makes a Config.CA of certificates as PEM, which are read when they are
// first needed, and kept.
func Authorities(read func(context.Context) ([]byte, error)) func(context.Context) (*x509.CertPool, error) {
	var (
		known *x509.CertPool
		// lock is a mutex that one need not wait for longer than the deadline.
		lock = make(chan struct{}, 1)
	)
	return func(ctx context.Context) (*x509.CertPool, error) {
		select {
		case lock <- struct{}{}:
			defer func() { <-lock }()
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if known != nil {
			return known, nil
		}
		text, err := read(ctx)
		if err != nil {
			return nil, err
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(text) {
			return nil, errors.New("there is no certificate as PEM in it")
		}
		known = pool
		return known, nil
	}
}

// roots are who may sign the server's certificate.
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
