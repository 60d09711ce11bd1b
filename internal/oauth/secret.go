package oauth

import (
	"context"
	"errors"
	"strings"
)

// secret is one that is kept elsewhere. Its errors never hold it.
type secret struct {
	name string
	// read is nil for a secret that is not needed.
	read func(context.Context) (string, error)

	// stored is what was read, empty if nothing was yet. value is what to use: that,
	// or what the provider has replaced it with.
	stored, value string
}

// get returns the secret, reading it if that has not been done yet.
func (s *secret) get(ctx context.Context) (string, error) {
	if s.stored == "" {
		if _, err := s.again(ctx); err != nil {
			return "", err
		}
	}
	return s.value, nil
}

// again reads the secret again, and reports whether it has been changed there.
func (s *secret) again(ctx context.Context) (changed bool, err error) {
	if s.read == nil {
		return false, nil
	}
	raw, err := s.read(ctx)
	if err != nil {
		return false, err
	}
	stored, err := s.clean(raw)
	if err != nil || stored == s.stored {
		return false, err
	}
	s.stored, s.value = stored, stored
	return true, nil
}

// clean strips the one line break that "echo SECRET | gcloud secrets …" stores, and
// refuses any other: the endpoint would merely say that the secret is wrong.
func (s *secret) clean(raw string) (string, error) {
	value, found := strings.CutSuffix(raw, "\n")
	if found {
		value = strings.TrimSuffix(value, "\r")
	}
	if value == "" {
		return "", failed(errors.New("oauth: the " + s.name + " is empty"))
	}
	if strings.ContainsAny(value, "\r\n\x00") {
		return "", failed(errors.New("oauth: the " + s.name + " has a line break or NUL within"))
	}
	return value, nil
}
