package deploy_test

import (
	"maps"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"jitaccess/internal/config"
)

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// found is what the first group of a pattern matches in texts, each once and sorted.
func found(pattern string, texts ...string) []string {
	all := map[string]bool{}
	for _, text := range texts {
		for _, match := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
			all[match[1]] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// modulesOnly are the sources without examples and tests.
func modulesOnly(t *testing.T) map[string]string {
	files := sources(t)
	maps.DeleteFunc(files, func(name, _ string) bool {
		return strings.HasPrefix(name, "examples/") || !strings.HasSuffix(name, ".tf")
	})
	return files
}

// severities are those of Cloud Logging, from the mildest.
var severities = []string{"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL", "ALERT"}

// An alert for what is never logged is silent for good: each event that a filter names, with that
// severity, and each label, stands in docs/log.md, which is held against what is logged.
func TestAlertsAreAboutWhatIsLogged(t *testing.T) {
	log, events := read(t, "../docs/log.md"), read(t, "../internal/events/events.go")
	filter := regexp.MustCompile(`labels\.event=\\"([^"\\]+)\\" severity(>?=)([A-Z]+)`)
	labels := strings.Join(found("(?m)^\\| (`[a-z_`, ]+`) \\|", log[strings.Index(log, "## Labels"):]), ", ")
	count, all := 0, ""
	for name, text := range modulesOnly(t) {
		all += text
		for _, match := range filter.FindAllStringSubmatch(text, -1) {
			count++
			event, severity := match[1], match[3]
			row := regexp.MustCompile("(?m)^\\| `"+regexp.QuoteMeta(event)+"`[^|]*\\| ([A-Z, ]+) \\|").FindAllStringSubmatch(log, -1)
			logged := slices.ContainsFunc(row, func(r []string) bool {
				return slices.ContainsFunc(strings.Split(r[1], ", "), func(s string) bool {
					return s == severity || match[2] == ">=" && slices.Index(severities, s) >= slices.Index(severities, severity)
				})
			})
			if !logged || !slices.Contains(severities, severity) || !strings.Contains(events, `"`+event+`"`) {
				t.Errorf("%s: %s is not logged with %s", name, event, severity)
			}
		}
		if strings.Count(text, "labels.event=") != len(filter.FindAllString(text, -1)) {
			t.Errorf("%s: an event without its severity", name)
		}
		for _, label := range found(`\blabels\.([a-z_]+)`, text) {
			if !strings.Contains(labels, "`"+label+"`") && label != "service_name" && label != "job_name" && label != "result" {
				t.Errorf("%s: there is no label %s", name, label)
			}
		}
	}
	if count < 12 {
		t.Errorf("only %d filters", count)
	}
	for _, wanted := range []string{"api.breakGlass", "api.activateRole", "grant.unknown", "runtime.startup"} {
		if !strings.Contains(all, wanted) {
			t.Errorf("nothing is about %s", wanted)
		}
	}
	for _, constant := range []string{"SweepIsCurrent", "OutboxIsCurrent"} {
		if !strings.Contains(read(t, "../cmd/jitaccess/sweep.go"), `"`+constant+`"`) {
			t.Errorf("health does not know %s", constant)
		}
	}
	if !strings.Contains(log, "`AccessDeniedException`") {
		t.Error("no error is AccessDeniedException")
	}
}

// Roles that the modules name and do not give, and those of the guide that are somebody else's.
var (
	namedOnly = []string{"roles/owner", "roles/editor", "roles/viewer", "roles/NAME", "roles/orgpolicy.policyAdmin"}
	notOurs   = []string{"roles/compute.admin", "roles/iam.serviceAccountUser"} // what somebody is eligible for, and what a deployer needs
)

const role = `\b(roles/[A-Za-z]+(?:\.[A-Za-z]+)?)`

// Whoever follows deploy/setup.md and whoever uses Terraform have the same permissions, and doctor
// asks for none beyond them.
func TestPermissionsAreThoseOfTheGuideAndOfDoctor(t *testing.T) {
	given := found(role, slices.Collect(maps.Values(modulesOnly(t)))...)
	given = slices.DeleteFunc(given, func(r string) bool { return slices.Contains(namedOnly, r) })
	guide := slices.DeleteFunc(found(role, read(t, "setup.md")), func(r string) bool { return slices.Contains(notOurs, r) })
	if !slices.Equal(given, guide) {
		t.Errorf("Terraform gives\n%q, deploy/setup.md\n%q", given, guide)
	}
	files, err := filepath.Glob("../internal/doctor/*.go")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	asked := 0
	for _, file := range append(files, "../cmd/jitaccess/doctor.go") {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		for _, r := range found(role, read(t, file)) {
			if asked++; !slices.Contains(given, r) {
				t.Errorf("%s asks for %s, which Terraform does not give", file, r)
			}
		}
	}
	if asked < 10 {
		t.Errorf("doctor asks for %d roles", asked)
	}
}

// What the guide turns on the modules turn on.
func TestServicesAreThoseOfTheGuide(t *testing.T) {
	all := strings.Join(slices.Collect(maps.Values(sources(t))), "\n")
	var enabled []string
	for _, command := range regexp.MustCompile(`gcloud services enable (?:\\\n|[^\n\\])*`).FindAllString(read(t, "setup.md"), -1) {
		enabled = append(enabled, found(`([a-z]+\.googleapis\.com)`, command)...)
	}
	if len(enabled) < 10 {
		t.Errorf("the guide turns on %q", enabled)
	}
	for _, service := range enabled {
		if !strings.Contains(all, `"`+service+`"`) {
			t.Errorf("%s is not turned on by Terraform", service)
		}
	}
}

// Both ways to deploy run the same: what the first group of each pattern matches is the same text.
func TestTheServiceIsDeployedAsByHand(t *testing.T) {
	run, app := read(t, "cloudrun.yaml"), read(t, "../app.yaml")
	files := sources(t)
	module, engine := files["cloud-run/main.tf"], files["app-engine/main.tf"]
	for _, same := range []struct{ byHand, pattern, modules, is string }{
		{run, `containerConcurrency: (\d+)`, module, `max_instance_request_concurrency = (\d+)`},
		{run, `timeoutSeconds: (\d+)`, module, `timeout +(?:=) "(\d+)s" # an action`},
		{run, `maxScale: "(\d+)"`, files["cloud-run/variables.tf"], `(?s)"max_instances" .*?default += (\d+)`},
		{run, `containerPort: (\d+)`, module, `container_port = (\d+)`},
		{run, `memory: (\w+)`, module, `memory = "(256Mi)"`},
		{run, `cpu: "(\d)"`, module, `cpu = "(\d)"`},
		{run, `(?s)startupProbe:.*?path: (\S+)`, module, `(?s)startup_probe .*?path = "([^"]+)"`},
		{run, `(?s)startupProbe:.*?periodSeconds: (\d+)`, module, `(?s)startup_probe .*?period_seconds += (\d+)`},
		{run, `failureThreshold: (\d+)`, module, `failure_threshold = (\d+)`},
		{run, `(?s)livenessProbe:.*?path: (\S+)`, module, `(?s)liveness_probe .*?path = "([^"]+)"`},
		{run, `(?s)livenessProbe:.*?periodSeconds: (\d+)`, module, `(?s)liveness_probe .*?period_seconds += (\d+)`},
		{run, `(?s)GOMEMLIMIT\s+value: (\w+)`, module, `GOMEMLIMIT = "(\w+)"`},
		{app, `GOMEMLIMIT: "(\w+)"`, engine, `GOMEMLIMIT = "(\w+)"`},
		{app, `runtime: (\w+)`, engine, `runtime += "(\w+)"`},
		{app, `main: (\S+)`, engine, `main += "([^"]+)"`},
		{app, `instance_class: (\w+)`, engine, `instance_class += "(\w+)"`},
		{app, `inbound_services:\n  - (\w+)`, engine, `inbound_services = \["(\w+)"`},
		{read(t, "cron.yaml"), `url: (\S+)`, engine, `url += "(/internal/[^"]+)"`},
		{read(t, "cron.yaml"), `schedule: (.+)`, engine, `schedule += "([^"]+)"`},
	} {
		byHand, terraform := found(same.pattern, same.byHand), found(same.is, same.modules)
		if len(byHand) != 1 || !slices.Equal(byHand, terraform) {
			t.Errorf("by hand %s is %q, and with Terraform %q", same.pattern, byHand, terraform)
		}
	}
}

// Modules that take the settings take all that the module settings gives.
func TestSettingsArePassedOnWhole(t *testing.T) {
	all, _ := parse(sources(t))
	takers := 0
	for name, m := range all {
		b := m.variables["settings"]
		if b == nil {
			continue
		}
		takers++
		object := b.Body.Attributes["type"].Expr.(*hclsyntax.FunctionCallExpr).Args[0].(*hclsyntax.ObjectConsExpr)
		var taken []string
		for _, item := range object.Items {
			taken = append(taken, hcl.ExprAsKeyword(item.KeyExpr))
		}
		slices.Sort(taken)
		if given := slices.Sorted(maps.Keys(all["settings"].outputs)); !slices.Equal(taken, given) {
			t.Errorf("%s takes %q of the settings, which are %q", name, taken, given)
		}
	}
	if takers != 3 {
		t.Errorf("%d modules take settings", takers)
	}
}

// Where a setting that is unset is compared, it counts as what the service makes of it.
func TestWhatIsUnsetCountsAsInTheService(t *testing.T) {
	defaults := map[string]string{}
	for section := range reflect.TypeFor[config.Config]().Fields() {
		if section.Type.Kind() == reflect.Struct {
			for field := range section.Type.Fields() {
				env, _, _ := strings.Cut(field.Tag.Get("env"), ",")
				defaults[strings.ToLower(env)] = field.Tag.Get("default")
			}
		}
	}
	compared := regexp.MustCompile(`coalesce\(var\.(\w+), "?(\w+)"?\)`).FindAllStringSubmatch(sources(t)["settings/main.tf"], -1)
	for _, c := range compared {
		if defaults[c[1]] != c[2] {
			t.Errorf("%s is %q when unset, and counts as %q", c[1], defaults[c[1]], c[2])
		}
	}
	if len(compared) != 3 {
		t.Errorf("%d are compared", len(compared))
	}
}

// The guide has each module and example, and what it and the modules name is there.
func TestTheGuideOfTerraformIsTrue(t *testing.T) {
	guide := read(t, "terraform/README.md")
	files := sources(t)
	for name := range files {
		if folder := path.Dir(name); path.Base(folder) != "tests" && !strings.Contains(guide, "`"+folder+"`") {
			t.Errorf("README.md does not name the module %s", folder)
		}
	}
	for name, text := range files {
		for _, document := range found(`\b((?:docs|deploy)/[a-z0-9/-]+\.(?:md|yaml|sql))`, text) {
			if _, err := os.Stat("../" + document); err != nil {
				t.Errorf("%s names %s: %v", name, document, err)
			}
		}
	}
	for _, link := range found(`\]\(([^)#:]+)(?:#[^)]*)?\)`, guide) {
		if _, err := os.Stat(filepath.Join("terraform", link)); err != nil {
			t.Errorf("README.md: %v", err)
		}
	}
	if !strings.Contains(read(t, "setup.md"), "(terraform/README.md)") {
		t.Error("setup.md does not lead to it")
	}
}
