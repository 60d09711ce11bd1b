package config_test

import (
	"flag"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"jitaccess/internal/config"
)

var update = flag.Bool("update", false, "write docs/configuration.md and the settings of Terraform")

const documentation = "../../docs/configuration.md"

// The page is made from the struct; go test ./internal/config -update writes it.
func TestDocumentationIsThatOfTheStruct(t *testing.T) {
	want := document()
	if *update {
		if err := os.WriteFile(documentation, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(documentation)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Error("docs/configuration.md differs from the struct: go test ./internal/config -update")
	}
}

func TestEveryVariableIsDocumentedOnce(t *testing.T) {
	seen, described := map[string]bool{}, 0
	for section := range reflect.TypeFor[config.Config]().Fields() {
		if section.Tag.Get("title") == "" {
			if section.Tag.Get("env") != "" {
				t.Errorf("%s stands outside of a section", section.Name)
			}
			continue
		}
		for field := range section.Type.Fields() {
			if field.Name == "Used" {
				continue // found out, and not read
			}
			for name := range strings.SplitSeq(field.Tag.Get("env"), ",") {
				if name == "" || seen[name] {
					t.Errorf("%s: no variable, or one that is read twice: %q", field.Name, name)
				}
				seen[name] = true
			}
			described++
			if accept, doc := config.About(field.Tag.Get("env")); !strings.HasSuffix(doc, ".") || accept == "" {
				t.Errorf("%s lacks doc or accept", field.Name)
			}
		}
	}
	if got := config.Descriptions(); got != described {
		t.Errorf("%d variables are described, and %d are read", got, described)
	}
	for _, name := range strings.Fields(`RESOURCE_SCOPE RESOURCE_CATALOG RESOURCE_CUSTOMER_ID ELEVATION_DURATION ACTIVATION_TIMEOUT
		ACTIVATION_REQUEST_TIMEOUT JUSTIFICATION_PATTERN JUSTIFICATION_HINT ACTIVATION_REQUEST_MIN_REVIEWERS
		ACTIVATION_REQUEST_MAX_REVIEWERS ACTIVATION_REQUEST_MAX_ROLES AVAILABLE_PROJECTS_QUERY IAP_BACKEND_SERVICE_ID
		IAP_VERIFY_AUDIENCE NOTIFICATION_TIMEZONE NOTIFICATION_TOPIC SMTP_HOST SMTP_PORT SMTP_ENABLE_STARTTLS SMTP_SENDER_NAME
		SMTP_SENDER_ADDRESS SMTP_USERNAME SMTP_PASSWORD SMTP_SECRET SMTP_OPTIONS SMTP_ADDRESS_MAPPING BACKEND_CONNECT_TIMEOUT
		BACKEND_READ_TIMEOUT BACKEND_WRITE_TIMEOUT PORT PUBLIC_URL DATABASE_URL POLICY IAP_AUDIENCE AUDITORS ADMINS
		JITACCESS_GOOGLE_ENDPOINT`) {
		if !seen[name] {
			t.Errorf("%s is not read", name)
		}
	}
}

func document() string {
	var b strings.Builder
	b.WriteString(`# Configuration

Environment variables, and nothing else. This page is made from the source.

They are the variables of JIT Access 1.x with its reading rules: values are trimmed, and a blank one counts as unset. Of yes-or-no variables ` + "`true`" + ` alone,
in any case, is yes. Everything that is wrong with them is reported when the service starts, all at once, one line a variable; it then exits with status 2.

` + "`GAE_SERVICE`" + ` says that the service runs on App Engine, ` + "`K_SERVICE`" + ` that it runs on Cloud Run; those platforms set them.

Google Cloud is used on its platforms. On any other machine it is used when a variable asks for it: RESOURCE_SCOPE, any other of the sections
*What access is to* and *Google Cloud* but GOOGLE_CLOUD_PROJECT and GCE_METADATA_HOST, one of IAP_…, or IDENTITY=iap. It is used too when none of
Pomerium's does: API_USER_TOKEN, ORGANIZATION_ID, CLUSTER_ID, JWKS_ENDPOINT. Without it nothing of Google's is called, there is always a database
(DATABASE_URL=sqlite: when unset), and what needs Google is reported when the service starts: secrets and parameters that are kept there, Pub/Sub,
groups of its directory.

A variable whose name is one letter away from one of these, or has its words spelled together, in other case or in the plural, is named by a warning at
start and by ` + "`jitaccess doctor`" + `.

` + "`jitaccess config explain`" + `, run with the environment of the service, prints every setting: what holds, whether that comes from the environment, is the
default, follows from other settings and the platform, or is asked of the platform at start, and what follows from it, in a sentence. Secrets are not shown, nor is
what could contain one. A fault stands at its setting, and the exit status is then 2. It asks nobody anything. ` + "`--json`" + ` prints the same for programs.

The Go runtime reads ` + "`GOMEMLIMIT`" + `, which must be below the memory that the service has: 200MiB of the 256 MiB for which the image is made, 600MiB on App Engine.
`)
	for section := range reflect.TypeFor[config.Config]().Fields() {
		title := section.Tag.Get("title")
		if title == "" {
			continue
		}
		fmt.Fprintf(&b, "\n## %s\n\n| variable | must be | when unset | what it does |\n|---|---|---|---|\n", title)
		for field := range section.Type.Fields() {
			tag := field.Tag
			if tag.Get("env") == "" {
				continue
			}
			name := "`" + strings.ReplaceAll(tag.Get("env"), ",", "`, else `") + "`"
			unset := tag.Get("default")
			if unset != "" {
				unset = "`" + unset + "`"
			}
			accept, doc := config.About(tag.Get("env"))
			cells := []string{name, accept, unset, doc}
			for i, cell := range cells {
				cells[i] = strings.ReplaceAll(cell, "|", `\|`)
			}
			fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | "))
		}
	}
	return b.String()
}
