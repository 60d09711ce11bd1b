package gcp_test

import (
	"net/http"
	"testing"
	"time"

	"jitaccess/internal/gcp/gcptest"
)

// Our clock is held against the Date of what Google answers.
func TestTheClockIsHeldAgainstGoogles(t *testing.T) {
	date := ""
	g := gcptest.Start(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Date"] = nil
		if date != "" {
			w.Header().Set("Date", date)
		}
		gcptest.Answer(w, map[string]any{})
	})
	call := func() {
		answer, err := g.Platform.Client.Get(g.Platform.Endpoint("x") + "/")
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
	}
	for _, c := range []struct {
		what   string
		date   string
		skewed bool
	}{
		{"none yet", "", false},
		{"the same", time.Now().UTC().Format(http.TimeFormat), false},
		{"ours is ahead", time.Now().Add(-time.Minute).UTC().Format(http.TimeFormat), true},
		{"no date says nothing", "", true},
		{"no time says nothing", "yesterday", true},
		{"ours is behind", time.Now().Add(time.Minute).UTC().Format(http.TimeFormat), true},
		{"right again", time.Now().UTC().Format(http.TimeFormat), false},
	} {
		date = c.date
		call()
		if ahead, skewed := g.Platform.Skew(); skewed != c.skewed || ahead.Abs() > 3*time.Minute {
			t.Errorf("%s: %v, %v", c.what, ahead, skewed)
		}
	}
}
