package mail

import (
	"context"
	"crypto/x509"
	"errors"

	"golang.org/x/sync/semaphore"
)

// Authorities makes a Config.CA of PEM, which is read when it is first needed, and kept.
func Authorities(read func(context.Context) ([]byte, error)) func(context.Context) (*x509.CertPool, error) {
	return parsed(read, func(text []byte) (*x509.CertPool, error) {
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(text) {
			return nil, errors.New("there is no certificate as PEM in it")
		}
		return pool, nil
	})
}

// parsed makes something of what read gives, when it is first needed, and keeps it.
func parsed[T any](read func(context.Context) ([]byte, error), parse func([]byte) (T, error)) func(context.Context) (T, error) {
	k := newKept(func(ctx context.Context) (value T, err error) {
		text, err := read(ctx)
		if err == nil {
			value, err = parse(text)
		}
		return value, err
	})
	return func(ctx context.Context) (T, error) { return k.get(ctx, func(T) bool { return false }) }
}

// kept is what has been read. What failed is tried again by the next call. A caller
// stops waiting when its context ends.
type kept[T any] struct {
	read  func(context.Context) (T, error)
	lock  *semaphore.Weighted
	known bool
	value T
}

func newKept[T any](read func(context.Context) (T, error)) *kept[T] {
	return &kept[T]{read: read, lock: semaphore.NewWeighted(1)}
}

// get reads what is not known, or is due to be read again.
func (k *kept[T]) get(ctx context.Context, due func(known T) bool) (value T, err error) {
	if err := k.lock.Acquire(ctx, 1); err != nil {
		return value, err
	}
	defer k.lock.Release(1)
	if k.known && !due(k.value) {
		return k.value, nil
	}
	if value, err = k.read(ctx); err == nil {
		k.value, k.known = value, true
	}
	return value, err
}
