package resourcename_test

import (
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
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

// TestWhereAndHowAccessIsSeen: an address of the console, and a command that a shell and gcloud
// read as it is meant, for every kind.
func TestWhereAndHowAccessIsSeen(t *testing.T) {
	for path, want := range map[string][2]string{
		"projects/acme-prod":       {"home/dashboard?project=acme-prod", "projects get-iam-policy acme-prod"},
		"projects/example.com:old": {"home/dashboard?project=example.com%3Aold", "projects get-iam-policy example.com:old"},
		"folders/12":               {"iam-admin/iam?folder=12", "resource-manager folders get-iam-policy 12"},
		"organizations/3":          {"iam-admin/iam?organizationId=3", "organizations get-iam-policy 3"},
	} {
		on := access.Resource(path)
		for _, k := range resourcename.Kinds {
			if !k.Has(on) {
				continue
			}
			if got := k.Console(on); got != "https://console.cloud.google.com/"+want[0] {
				t.Errorf("%s: %s", path, got)
			}
			const rest = ` --flatten='bindings[].members' --filter='bindings.members="user:dan.o'\''brien$x@example.com"'` +
				` --format='table(bindings.role, bindings.condition.title, bindings.condition.expression)'`
			if got := k.Command(on, "dan.o'brien$x@example.com"); got != "gcloud "+want[1]+rest {
				t.Errorf("%s: %s", path, got)
			}
			if k.AppliedWithin != 7*time.Minute {
				t.Errorf("%s: %v", path, k.AppliedWithin)
			}
		}
	}
}
