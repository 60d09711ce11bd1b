package application_test

import (
	"regexp"
	"testing"

	"jitaccess/internal/application"
)

// A template fits what there is all of, and matches as a whole.
func TestWhichTemplateFits(t *testing.T) {
	template := application.Template{Data: []application.Field{{Name: "environment", Pattern: regexp.MustCompile("prod|production")}, {Name: "ref"}}}
	for environment, fits := range map[string]bool{"prod": true, "production": true, "preprod": false, "production-eu": false, "": false} {
		if got := template.Fits(map[string]string{"environment": environment, "ref": "main", "more": "x"}); got != fits {
			t.Errorf("%q: %v", environment, got)
		}
	}
	if template.Fits(map[string]string{"environment": "prod"}) || template.Fits(map[string]string{"environment": "prod", "ref": ""}) || template.Fits(nil) {
		t.Error("it fits what is not there")
	}
}
