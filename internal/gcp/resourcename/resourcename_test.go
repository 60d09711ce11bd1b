package resourcename_test

import (
	"strings"
	"testing"

	"jitaccess/internal/gcp/resourcename"
)

func TestParse(t *testing.T) {
	for path, ok := range map[string]bool{
		"projects/shop-1":                     true,
		"projects/example.com:shop":           true,
		"folders/123":                         true,
		"organizations/456":                   true,
		"":                                    false,
		"shop":                                false,
		"projects/":                           false,
		"projects/../../evil":                 false,
		"projects/a/b":                        false,
		"projects/..:a":                       false,
		"projects/a?x":                        false,
		"projects/a%2fb":                      false,
		"projects/A":                          false,
		"projects/a.b":                        false,
		"projects/a_b":                        false,
		"folders/x":                           false,
		"folders/a.com:1":                     false,
		"folders/" + strings.Repeat("1", 33):  false,
		"organizations/1/2":                   false,
		"apps/x":                              false,
		"projects/" + strings.Repeat("a", 64): false,
		"projects/" + strings.Repeat("a", 300) + ":b": false,
	} {
		if got, err := resourcename.Parse(path); (err == nil) != ok || ok && string(got) != path {
			t.Errorf("%q: got %q, %v; want ok %v", path, got, err, ok)
		}
	}
}

// One pattern for what the configuration takes and what is asked for.
func TestIsSecretVersion(t *testing.T) {
	for path, want := range map[string]bool{
		"projects/p/secrets/s/versions/latest":                           true,
		"projects/p/secrets/s/versions/" + strings.Repeat("9", 20):       true,
		"projects/p/secrets/s/versions/" + strings.Repeat("9", 21):       false,
		"projects/..:p/secrets/s/versions/1":                             false,
		"projects/p/secrets/s/versions/1\n":                              false,
		"projects/p/secrets/" + strings.Repeat("s", 256) + "/versions/1": false,
	} {
		if got := resourcename.IsSecretVersion(path); got != want {
			t.Errorf("%q: %v", path, got)
		}
	}
}

func TestIsParameterVersion(t *testing.T) {
	for path, want := range map[string]bool{
		"projects/p/locations/global/parameters/policy/versions/v7":                         true,
		"projects/123/locations/europe-west3/parameters/Policy_1/versions/7":                true,
		"projects/example.com:p/locations/global/parameters/p/versions/v":                   true,
		"projects/p/locations/global/parameters/p/versions/":                                false,
		"projects/p/locations/global/parameters/p":                                          false,
		"projects/p/locations/evil.example#/parameters/p/versions/v":                        false,
		"projects/p/locations/a.b/parameters/p/versions/v":                                  false,
		"projects/..:p/locations/global/parameters/p/versions/v":                            false,
		"projects/p/locations/global/parameters/p/versions/v\n":                             false,
		"projects/p/locations/global/parameters/p/versions/v:render":                        false,
		"projects/p/locations/global/parameters/" + strings.Repeat("p", 64) + "/versions/v": false,
		"projects/p/secrets/s/versions/1":                                                   false,
	} {
		if got := resourcename.IsParameterVersion(path); got != want {
			t.Errorf("%q: %v", path, got)
		}
	}
}
