package mail

import (
	"context"
	"crypto/x509"
	"errors"

	"golang.org/x/sync/semaphore"
)

// Authorities makes a Config.CA of certificates as PEM, which are read when they are
// first needed, and kept.
func Authorities(read func(context.Context) ([]byte, error)) func(context.Context) (*x509.CertPool, error) {
	return kept(read, func(text []byte) (*x509.CertPool, error) {
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(text) {
			return nil, errors.New("there is no certificate as PEM in it")
		}
		return pool, nil
	})
}

// kept makes something of what read gives, when it is first needed, and keeps it.
// What failed is tried again by the next call. A caller stops waiting when its context
// ends.
func kept[T any](read func(context.Context) ([]byte, error), parse func([]byte) (T, error)) func(context.Context) (T, error) {
	lock, known := semaphore.NewWeighted(1), false
	var value T
	return func(ctx context.Context) (T, error) {
		var none T
		if err := lock.Acquire(ctx, 1); err != nil {
			return none, err
		}
		defer lock.Release(1)
		if known {
			return value, nil
		}
		text, err := read(ctx)
		if err != nil {
			return none, err
		}
		value, err = parse(text)
		known = err == nil
		return value, err
	}
}
