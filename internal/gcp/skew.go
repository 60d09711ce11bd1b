package gcp

import (
	"net/http"
	"time"
)

// MaxSkew is how far our clock may differ from Google's before it is worth a word: windows
// begin and end by Google's, and are made by ours.
const MaxSkew = 30 * time.Second

// hear compares our clock with the Date of an answer, which is in whole seconds
// (https://www.rfc-editor.org/rfc/rfc9110#name-date).
func (p *Platform) hear(h http.Header) {
	if theirs, err := http.ParseTime(h.Get("Date")); err == nil {
		p.skew.Store(int64(p.now().Sub(theirs)))
	}
}

// Skew is how far our clock was ahead of Google's at the last answer, which was on its way
// meanwhile; less than zero is behind. Skewed is whether that is more than MaxSkew.
func (p *Platform) Skew() (ahead time.Duration, skewed bool) {
	if p.skew == nil {
		return 0, false
	}
	ahead = time.Duration(p.skew.Load())
	return ahead.Round(time.Second), ahead.Abs() > MaxSkew
}
