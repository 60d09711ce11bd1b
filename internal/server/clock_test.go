package server_test

import (
	"strings"
	"testing"
	"time"

	"jitaccess/internal/server"
)

// Scripts judge times by the service's clock, not by that of the machine on which the page is
// read: every page says how late it is.
func TestEveryPageSaysHowLateItIs(t *testing.T) {
	w := newWorld(t)
	now := noon
	h, _ := serve(t, w, func(c *server.Config) { c.Now = func() time.Time { return now } })
	for _, path := range []string{"/", "/access/" + string(orders), "/nowhere"} {
		r := request("GET", path)
		r.Header.Set(personHeader, string(ana))
		want := `<meta name="clock" content="` + now.UTC().Format(time.RFC3339) + `">`
		if page := do(h, r).Body.String(); !strings.Contains(page, want) {
			t.Errorf("%s lacks %s", path, want)
		}
		now = now.Add(3 * time.Hour)
	}
}
