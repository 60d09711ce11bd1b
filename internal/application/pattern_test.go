package application_test

import (
	"regexp"
	"testing"

	"jitaccess/internal/application"
)

// A pattern that compiles takes the values that it matches as a whole, whatever it is, and is
// never read as something else for what stands around it.
func TestAPatternMatchesTheWholeValue(t *testing.T) {
	patterns := []string{`v1`, `v`, `v1|v1\.2`, `v1\.2|v1`, `v[0-9]`, `v[0-9]+?`, `(v1|v1\.2)?`, `^v1`, `v1$`, `^v1$`, `\Av1\z`, `(?i)V1`, `(?s).`,
		`(?m)^v1$`, `(?U)v.*`, ``, `.*`, `\bv1\b`, `\Qv1\E`, `\Q(\E`, `\Q\\E`, `[|]|v1`, `v1|`, `|v1`, `(?:v)(?P<n>1)`}
	values := []string{"v1", "v1.2", "av1", "v1a", "V1", "v", "1", "é", "(", `\`, "|", "v1)$", "v1|v1.2", "^v1", `\Qv1`, "vv1", "v1\n"}
	for _, text := range patterns {
		whole := regexp.MustCompile(`^(?:` + text + `)$`)
		template := application.Template{Data: []application.Field{{Name: "version", Pattern: regexp.MustCompile(text)}}}
		for _, value := range values {
			if got, want := template.Fits(map[string]string{"version": value}), whole.MatchString(value); got != want {
				t.Errorf("%q fits %q: %t", value, text, got)
			}
		}
	}
	for text, only := range map[string]string{`\Qv1`: "v1", `\Qv1)$`: "v1)$", `v1|\Q(`: "(", `\Qv1\`: `v1\`, `(?i)\QV1`: "v1"} {
		template := application.Template{Data: []application.Field{{Name: "version", Pattern: regexp.MustCompile(text)}}}
		for value, want := range map[string]bool{only: true, "a" + only: false, only + "a": false} {
			if got := template.Fits(map[string]string{"version": value}); got != want {
				t.Errorf("%q fits %q: %t", value, text, got)
			}
		}
	}
}
