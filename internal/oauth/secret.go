package oauth

import "context"

// secret is one that is kept elsewhere.
type secret struct {
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
	stored, err := s.read(ctx)
	if err != nil || stored == s.stored {
		return false, err
	}
	s.stored, s.value = stored, stored
	return true, nil
}
