package policyanalyzer

import "testing"

// WithMaxBytes bounds the memories of catalogs that the test makes.
func WithMaxBytes(t testing.TB, n int) {
	was := maxBytes
	maxBytes = n
	t.Cleanup(func() { maxBytes = was })
}
