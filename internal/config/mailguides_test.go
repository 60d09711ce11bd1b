package config_test

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"jitaccess/internal/config"
)

// guides are the pages about mail accounts, by their paths.
func guides(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob("../../docs/mail/*.md")
	if err != nil || len(files) < 4 {
		t.Fatal(files, err)
	}
	found := map[string]string{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		found[file] = string(text)
	}
	return found
}

// What a guide tells to set is what the service takes, without a fault and without
// a warning.
func TestEnvironmentsOfTheMailGuidesAreTaken(t *testing.T) {
	block := regexp.MustCompile("(?ms)^```env\n(.*?)^```$")
	seen := 0
	for file, text := range guides(t) {
		for _, found := range block.FindAllStringSubmatch(text, -1) {
			seen++
			env := enough()
			for line := range strings.Lines(found[1]) {
				name, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
				if _, twice := env[name]; !ok || twice {
					t.Errorf("%s: %q", file, line)
				}
				env[name] = value
			}
			c, err := read(env)
			if err != nil {
				t.Errorf("%s:\n%s%v", file, found[1], err)
				continue
			}
			if c.Mail.SenderAddress == "" || len(c.Warnings) > 0 {
				t.Errorf("%s:\n%ssends as %q, warns %q", file, found[1], c.Mail.SenderAddress, c.Warnings)
			}
		}
	}
	if seen < 12 {
		t.Errorf("%d environments", seen)
	}
}

func TestMailGuidesNameVariablesThatExist(t *testing.T) {
	var known []string
	for section := range reflect.TypeFor[config.Config]().Fields() {
		if section.Tag.Get("title") == "" {
			continue
		}
		for field := range section.Type.Fields() {
			known = append(known, strings.Split(field.Tag.Get("env"), ",")...)
		}
	}
	for file, text := range guides(t) {
		for _, name := range regexp.MustCompile(`\b(SMTP_[A-Z_]+|[A-Z]+_PROXY)\b`).FindAllString(text, -1) {
			if !slices.Contains(known, name) && name != "HTTPS_PROXY" {
				t.Errorf("%s: there is no %s", file, name)
			}
		}
	}
}

// Each guide ends with the test message, and its links lead somewhere.
func TestMailGuidesLeadToTheTestMessage(t *testing.T) {
	all := guides(t)
	for file, text := range all {
		for _, says := range []string{"*Notifications*", "Send test message", "jitaccess doctor --send-test-mail "} {
			if !strings.Contains(text, says) {
				t.Errorf("%s does not say %q", file, says)
			}
		}
		for _, link := range regexp.MustCompile(`\]\(([^)]+)\)`).FindAllStringSubmatch(text, -1) {
			path, anchor, _ := strings.Cut(link[1], "#")
			if strings.Contains(path, "://") {
				continue
			}
			target := file
			if path != "" {
				target = filepath.Join(filepath.Dir(file), path)
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: %s leads nowhere", file, link[1])
			} else if anchor != "" && !slices.Contains(anchors(all[target]), anchor) {
				t.Errorf("%s: there is no heading for %s", file, link[1])
			}
		}
	}
}

// anchors are what the headings of a page are reached by.
func anchors(text string) (found []string) {
	for _, heading := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(text, -1) {
		plain := regexp.MustCompile(`[^a-z0-9 -]`).ReplaceAllString(strings.ToLower(heading[1]), "")
		found = append(found, strings.ReplaceAll(plain, " ", "-"))
	}
	return found
}
