package parametermanager

import "testing"

// A region has a host of its own; so has what is in no region.
func TestHost(t *testing.T) {
	for location, want := range map[string]string{"global": "parametermanager", "europe-west3": "parametermanager.europe-west3.rep.googleapis.com"} {
		if got := host("projects/p/locations/" + location + "/parameters/n/versions/v"); got != want {
			t.Errorf("%s: %s", location, got)
		}
	}
}
