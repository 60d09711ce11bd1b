package firestore

import "net/http"

// Through has all calls made by a transport.
func (d *Database) Through(t http.RoundTripper) { d.c.Client = &http.Client{Transport: t} }

// CountAtMost has one look count fewer, until what it returns is called.
func CountAtMost(n int) (restore func()) {
	before := mostCounted
	mostCounted = n
	return func() { mostCounted = before }
}
