package deploy_test

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/zclconf/go-cty/cty"

	"jitaccess/internal/config"
	"jitaccess/internal/gcp/resourcename"
)

const limits = "permissions/limits"

// permitting is a map of what each role permits.
func permitting(permissions string, roles ...string) cty.Value {
	all := map[string]cty.Value{}
	for _, role := range roles {
		all[role] = texts(strings.Fields(permissions)...)
	}
	return cty.MapVal(all)
}

func numbered(count int) (roles []string) {
	for i := range count {
		roles = append(roles, fmt.Sprintf("roles/service%d.user", i))
	}
	return roles
}

// The service account may grant what is listed and nothing else: ten roles to a binding, no more
// than twenty of them, each role in one, and no condition that could be read otherwise.
func TestRolesAreLimitedTenToABinding(t *testing.T) {
	list := regexp.MustCompile(`^api\.getAttribute\('iam\.googleapis\.com/modifiedGrantsByRole', \[\]\)\.hasOnly\(\[('[A-Za-z0-9/._]+'(?:, '[A-Za-z0-9/._]+')*)\]\)$`)
	for _, count := range []int{1, 10, 11, 199, 200} {
		roles := numbered(count)
		outputs, refused := evaluate(t, limits, map[string]cty.Value{"scope": cty.StringVal("folders/1"), "roles": texts(roles...),
			"permissions": permitting("a.b.get", roles...)}, nil)
		if refused != nil {
			t.Fatalf("%d roles: %v", count, refused)
		}
		var limited, granted []string
		for key, b := range outputs["bindings"].AsValueMap() {
			role, expression := b.GetAttr("role").AsString(), b.GetAttr("expression").AsString()
			if (role == "roles/resourcemanager.projectIamAdmin") != (expression != "") || !strings.HasPrefix(key, role) {
				t.Errorf("%d roles: %s is bound with %q", count, role, expression)
			}
			if expression == "" {
				continue
			}
			match := list.FindStringSubmatch(expression)
			if match == nil {
				t.Fatalf("no limit: %s", expression)
			}
			chunk := strings.Split(strings.ReplaceAll(match[1], "'", ""), ", ")
			if len(chunk) > 10 {
				t.Errorf("%d roles in a condition", len(chunk))
			}
			limited, granted = append(limited, key), append(granted, chunk...)
		}
		slices.Sort(granted)
		slices.Sort(roles)
		if want := (count + 9) / 10; len(limited) != want || !slices.Equal(granted, roles) {
			t.Errorf("%d roles: %d bindings, want %d; they grant %d", count, len(limited), want, len(granted))
		}
	}
}

func TestWhatCannotBeLimitedIsRefused(t *testing.T) {
	harmless := permitting("compute.instances.get", "roles/compute.viewer")
	for _, c := range []struct {
		name, refused string
		given         map[string]cty.Value
	}{
		{"201 roles", "roles: It takes 1 to 200 roles", map[string]cty.Value{"roles": texts(numbered(201)...), "permissions": permitting("a.b.get", numbered(201)...)}},
		{"no role", "roles: It takes 1 to 200 roles", map[string]cty.Value{"roles": texts()}},
		{"a role that sets policies", "roles: These roles let their holders give access to others, act as service accounts or edit roles: roles/compute.admin.",
			map[string]cty.Value{"roles": texts("roles/compute.admin"), "permissions": permitting("compute.instances.get compute.instances.setIamPolicy", "roles/compute.admin")}},
		{"a role that acts as service accounts", "edit roles: roles/a.b.", map[string]cty.Value{"roles": texts("roles/a.b"), "permissions": permitting("iam.serviceAccounts.actAs", "roles/a.b")}},
		{"a role that makes keys", "edit roles: roles/a.b.", map[string]cty.Value{"roles": texts("roles/a.b"), "permissions": permitting("iam.serviceAccountKeys.create", "roles/a.b")}},
		{"a role that edits roles", "edit roles: roles/a.b.", map[string]cty.Value{"roles": texts("roles/a.b"), "permissions": permitting("iam.roles.update", "roles/a.b")}},
		{"a role that lifts the limit, also when it is accepted", "roles: A role with resourcemanager.projects.setIamPolicy",
			map[string]cty.Value{"roles": texts("roles/a.b"), "accepted_roles": texts("roles/a.b"), "permissions": permitting("resourcemanager.projects.setIamPolicy", "roles/a.b")}},
		{"a role of which nothing is known", "roles: It is not known what these roles permit: roles/a.b.", map[string]cty.Value{"roles": texts("roles/a.b")}},
		{"a basic role", "roles: Nobody can be eligible for a basic role", map[string]cty.Value{"roles": texts("roles/owner"), "permissions": permitting("a.b.get", "roles/owner")}},
		{"a custom role of a project", "roles: Who may edit a custom role", map[string]cty.Value{"roles": texts("projects/a-1/roles/x"), "permissions": permitting("a.b.get", "projects/a-1/roles/x")}},
		{"an apostrophe", "roles: A role is roles/NAME", map[string]cty.Value{"roles": texts("roles/a'])||true||[].hasOnly(['"), "permissions": permitting("a.b.get", "roles/a'])||true||[].hasOnly(['")}},
		{"accepted and not granted", "bindings: accepted_roles are some of roles.", map[string]cty.Value{"accepted_roles": texts("roles/a.b")}},
		{"a scope that is none", "scope: scope must be", map[string]cty.Value{"scope": cty.StringVal("organization/1")}},
		{"a scope with a domain", "scope: scope must be", map[string]cty.Value{"scope": cty.StringVal("organizations/example.com")}},
		{"a scope with more behind it", "scope: scope must be", map[string]cty.Value{"scope": cty.StringVal("folders/1/x")}},
	} {
		given := map[string]cty.Value{"scope": cty.StringVal("organizations/1"), "roles": texts("roles/compute.viewer"), "permissions": harmless}
		if _, refused := evaluate(t, limits, given, nil); refused != nil {
			t.Fatal(refused)
		}
		maps.Copy(given, c.given)
		if _, refused := evaluate(t, limits, given, nil); !slices.ContainsFunc(refused, func(r string) bool { return strings.Contains(r, c.refused) }) {
			t.Errorf("%s: refused is %q, want %q", c.name, refused, c.refused)
		}
	}
}

func TestARoleThatGivesAccessIsGrantedByADecision(t *testing.T) {
	given := map[string]cty.Value{"scope": cty.StringVal("projects/example.com:shop"), "roles": texts("roles/compute.admin"), "accepted_roles": texts("roles/compute.admin"),
		"permissions": permitting("compute.instances.setIamPolicy", "roles/compute.admin")}
	outputs, refused := evaluate(t, limits, given, nil)
	if refused != nil || outputs["kind"].AsString() != "projects" || outputs["name"].AsString() != "example.com:shop" {
		t.Errorf("%v, refused %v", outputs, refused)
	}
}

// A scope that Terraform takes is one that the service takes, and the other way round.
func TestTheScopeIsTheServices(t *testing.T) {
	for _, scope := range []string{"projects/shop-1", "projects/example.com:shop", "folders/12", "organizations/12", "", "shop-1", "projects/", "projects/A", "projects/a/b", "folders/x",
		"organizations/", "organizations/1/", "apps/x", "projects/" + strings.Repeat("a", 64), "folders/" + strings.Repeat("1", 33), "projects/a\n"} {
		_, err := resourcename.Parse(scope)
		_, refused := evaluate(t, limits, map[string]cty.Value{"scope": cty.StringVal(scope), "roles": texts("roles/a.b"), "permissions": permitting("a.b.get", "roles/a.b")}, nil)
		if (err == nil) != (refused == nil) {
			t.Errorf("%q: the service says %v, Terraform %v", scope, err, refused)
		}
	}
}

const digest = "@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// settingsOf is what the module settings gives, with an environment.
func settingsOf(environment map[string]cty.Value, injected ...string) cty.Value {
	where := cty.ObjectVal(map[string]cty.Value{"secret": cty.StringVal("projects/p-1/secrets/s"), "version": cty.StringVal("1")})
	all := cty.MapValEmpty(where.Type())
	for _, name := range injected {
		all = cty.MapVal(map[string]cty.Value{name: where})
	}
	plain := cty.MapValEmpty(cty.String)
	if len(environment) > 0 {
		plain = cty.MapVal(environment)
	}
	return cty.ObjectVal(map[string]cty.Value{"environment": plain, "injected": all, "secrets": texts(), "parameters": texts()})
}

// What a module is given is checked where it is given.
func TestInputsAreChecked(t *testing.T) {
	account := map[string]cty.Value{"project": cty.StringVal("access-prod"), "scope": cty.StringVal("folders/1"), "roles": texts("roles/a.b"),
		"settings": settingsOf(map[string]cty.Value{"RESOURCE_SCOPE": cty.StringVal("folders/1")})}
	balancer := map[string]cty.Value{"project": cty.StringVal("access-prod"), "regions": texts("europe-west1"), "domain": cty.StringVal("access.example.com"), "openers": texts()}
	engine := map[string]cty.Value{"project": cty.StringVal("access-prod"), "location": cty.StringVal("europe-west"), "service_account": cty.StringVal("a"), "openers": texts(),
		"settings": settingsOf(nil)}
	for _, c := range []struct {
		module  string
		given   map[string]cty.Value
		change  string
		to      cty.Value
		refused string
	}{
		{"permissions", account, "", cty.NilVal, ""},
		{"permissions", account, "project", cty.StringVal("123456789012"), "project: project must be the id"},
		{"permissions", account, "scope", cty.StringVal("folders/2"), "scope: scope must be what resource_scope"},
		{"permissions", account, "settings", settingsOf(nil), "scope: scope must be what resource_scope"},
		{"permissions", account, "account_id", cty.StringVal("jit"), "account_id: account_id must have"},
		{"permissions", account, "more_secrets", texts("projects/p-1/secrets/s/versions/1"), "more_secrets: A secret is"},
		{"load-balancer", balancer, "", cty.NilVal, ""},
		{"load-balancer", balancer, "regions", texts(), "regions: regions must be"},
		{"load-balancer", balancer, "regions", texts("europe"), "regions: regions must be"},
		{"load-balancer", balancer, "domain", cty.StringVal("https://access.example.com"), "domain: domain must be"},
		{"app-engine", engine, "", cty.NilVal, ""},
		{"app-engine", engine, "settings", settingsOf(nil, "API_USER_TOKEN"), "settings: App Engine puts no secret into the environment: API_USER_TOKEN"},
		{"monitoring", map[string]cty.Value{"project": cty.StringVal("p-1")}, "platform", cty.StringVal("kubernetes"), "platform: platform must be"},
		{"monitoring", map[string]cty.Value{"project": cty.StringVal("p-1")}, "version_deployed", cty.StringVal(`v1" OR "`), "version_deployed: version_deployed is"},
	} {
		given := maps.Clone(c.given)
		if c.change != "" {
			given[c.change] = c.to
		}
		_, refused := evaluate(t, c.module, given, nil)
		if c.refused == "" && refused != nil || c.refused != "" && (len(refused) != 1 || !strings.HasPrefix(refused[0], c.refused)) {
			t.Errorf("%s, %s: refused is %q, want %q", c.module, c.change, refused, c.refused)
		}
	}
}

// service is what the module cloud-run is given at least.
func service(changes map[string]cty.Value) map[string]cty.Value {
	given := map[string]cty.Value{"project": cty.StringVal("p-1"), "region": cty.StringVal("europe-west1"), "service_account": cty.StringVal("a"), "scheduler_account": cty.StringVal("b"),
		"iap_member": cty.StringVal("serviceAccount:c"), "image": cty.StringVal("europe-west1-docker.pkg.dev/p-1/jitaccess/jitaccess" + digest),
		"settings": settingsOf(nil)}
	maps.Copy(given, changes)
	return given
}

func TestAnImageIsGivenByItsDigest(t *testing.T) {
	for image, good := range map[string]bool{
		"europe-west1-docker.pkg.dev/p-1/jitaccess/jitaccess" + digest:                 true,
		"registry.example.com:5000/jitaccess" + digest:                                 true,
		"europe-west1-docker.pkg.dev/p-1/jitaccess/jitaccess:1":                        false,
		"europe-west1-docker.pkg.dev/p-1/jitaccess/jitaccess:latest":                   false,
		"europe-west1-docker.pkg.dev/p-1/jitaccess/jitaccess":                          false,
		"europe-west1-docker.pkg.dev/p-1/jitaccess/jitaccess:1" + digest:               false,
		"europe-west1-docker.pkg.dev/p-1/jitaccess/jitaccess" + digest[:len(digest)-1]: false,
		"":                   false,
		"jitaccess" + digest: false,
	} {
		if _, refused := evaluate(t, "cloud-run", service(map[string]cty.Value{"image": cty.StringVal(image)}), nil); (refused == nil) != good {
			t.Errorf("%q: %v", image, refused)
		}
	}
	for name, bad := range map[string]string{"iap": "none", "name": "Jitaccess"} {
		if _, refused := evaluate(t, "cloud-run", service(map[string]cty.Value{name: cty.StringVal(bad)}), nil); len(refused) != 1 {
			t.Errorf("%s=%q: %v", name, bad, refused)
		}
	}
}

// A setting that there is not is no argument of the module, and what is set is checked.
func TestSettingsAreChecked(t *testing.T) {
	outputs, refused := evaluate(t, "settings", map[string]cty.Value{"resource_scope": cty.StringVal("organizations/1"), "elevation_duration": cty.NumberIntVal(60), "iap_verify_audience": cty.False,
		"admins": cty.ListVal([]cty.Value{cty.StringVal("group:a@example.com"), cty.StringVal("user:b@example.com")}), "smtp_username": cty.StringVal(""),
		"smtp_secret": cty.StringVal("projects/p-1/secrets/smtp/versions/latest"), "all_proxy": cty.StringVal("projects/p-1/secrets/proxy/versions/3"),
		"policy": cty.StringVal("projects/p-1/locations/global/parameters/policy/versions/v7")}, nil)
	if refused != nil {
		t.Fatal(refused)
	}
	environment := map[string]string{"K_SERVICE": "jitaccess"}
	for name, value := range outputs["environment"].AsValueMap() {
		environment[name] = value.AsString()
	}
	want := map[string]string{"K_SERVICE": "jitaccess", "RESOURCE_SCOPE": "organizations/1", "ELEVATION_DURATION": "60", "IAP_VERIFY_AUDIENCE": "false", "ADMINS": "group:a@example.com,user:b@example.com",
		"SMTP_SECRET": "projects/p-1/secrets/smtp/versions/latest", "POLICY": "projects/p-1/locations/global/parameters/policy/versions/v7"}
	if !maps.Equal(environment, want) {
		t.Errorf("the environment is %v", environment)
	}
	environment["RESOURCE_CUSTOMER_ID"] = "C1" // ADMINS names a group
	if c, err := config.Read(func(name string) string { return environment[name] }); err != nil || c.Requests.MaxDuration.Minutes() != 60 {
		t.Errorf("the service reads it as %v, %v", c, err)
	}
	if proxy := outputs["injected"].AsValueMap()["ALL_PROXY"]; proxy.GetAttr("secret").AsString() != "projects/p-1/secrets/proxy" || proxy.GetAttr("version").AsString() != "3" {
		t.Errorf("%v is injected", outputs["injected"])
	}
	if !outputs["secrets"].RawEquals(texts("projects/p-1/secrets/proxy", "projects/p-1/secrets/smtp")) ||
		!outputs["parameters"].RawEquals(texts("projects/p-1/locations/global/parameters/policy")) {
		t.Errorf("%v, %v", outputs["secrets"], outputs["parameters"])
	}
	for name, given := range map[string]map[string]cty.Value{
		"AssetInventory needs resource_customer_id":   {"resource_catalog": cty.StringVal("assetinventory")},
		"more than activation_request_max_reviewers":  {"activation_request_min_reviewers": cty.NumberIntVal(11)},
		"webhook_url and webhook_secret go together":  {"webhook_url": cty.StringVal("projects/p-1/secrets/w/versions/1")},
		"smtp_dkim_selector and smtp_dkim_key":        {"smtp_dkim_selector": cty.StringVal("jitaccess")},
		"SIGNING_KEY must be the version of a secret": {"signing_key": cty.StringVal("c2VjcmV0")},
		"SMTP_PORT must be":                           {"smtp_port": cty.NumberIntVal(25)},
	} {
		if _, refused := evaluate(t, "settings", given, nil); len(refused) != 1 || !strings.Contains(refused[0], name) {
			t.Errorf("%v: refused is %q, want %q", given, refused, name)
		}
	}
}

// The address of the database is one that the service takes, and leads to the socket.
func TestTheDatabaseIsReachedByItsSocket(t *testing.T) {
	outputs, refused := evaluate(t, "cloud-sql", map[string]cty.Value{"project": cty.StringVal("p-1"), "region": cty.StringVal("europe-west1"),
		"service_account": cty.StringVal("jitaccess@p-1.iam.gserviceaccount.com")},
		map[string]cty.Value{"google_sql_database_instance": cty.ObjectVal(map[string]cty.Value{"ledger": cty.ObjectVal(map[string]cty.Value{
			"name": cty.StringVal("jitaccess"), "connection_name": cty.StringVal("p-1:europe-west1:jitaccess")})})})
	if refused != nil {
		t.Fatal(refused)
	}
	address := outputs["ledger"].GetAttr("database_url").AsString()
	if database, err := config.ParseDatabase(address); err != nil || database.PostgreSQL.Reveal() != address {
		t.Errorf("%s: %v", address, err)
	}
	c, err := pgx.ParseConfig(address)
	if err != nil || c.Host != "/cloudsql/p-1:europe-west1:jitaccess" || c.User != "jitaccess@p-1.iam" || c.Database != "jitaccess" || c.Password != "" {
		t.Errorf("%s is %+v, %v", address, c, err)
	}
}

// The database in Firestore is one that the service takes, and has the indexes that it needs.
func TestTheDatabaseInFirestoreIsOneOfTheService(t *testing.T) {
	outputs, refused := evaluate(t, "firestore", map[string]cty.Value{"project": cty.StringVal("access-prod"), "location": cty.StringVal("eur3"),
		"service_account": cty.StringVal("jitaccess@access-prod.iam.gserviceaccount.com")},
		map[string]cty.Value{"google_firestore_database": cty.ObjectVal(map[string]cty.Value{"ledger": cty.ObjectVal(map[string]cty.Value{
			"name": cty.StringVal("jitaccess")})})})
	if refused != nil {
		t.Fatal(refused)
	}
	address := outputs["ledger"].GetAttr("database_url").AsString()
	want := config.Firestore{Project: "access-prod", Database: "jitaccess"}
	if database, err := config.ParseDatabase(address); err != nil || database.Firestore != want {
		t.Errorf("%s: %+v, %v", address, database, err)
	}
	text, err := os.ReadFile("terraform/firestore/main.tf")
	if err != nil {
		t.Fatal(err)
	}
	where := regexp.MustCompile(`file\("\$\{path\.module\}/([^"]+)"\)`).FindSubmatch(text)
	if where == nil {
		t.Fatal("it reads no indexes")
	}
	if _, err := os.Stat(filepath.Join("terraform/firestore", string(where[1]))); err != nil {
		t.Error(err)
	}
}

// What Terraform itself says, where it is installed: of modules without a provider everything.
func TestTerraformItself(t *testing.T) {
	terraform, err := exec.LookPath("terraform")
	if err != nil {
		t.Log("NOT RUN: terraform is not installed, so that fmt, validate and test were not run")
		return
	}
	folder := t.TempDir()
	if err := copyModules(folder); err != nil {
		t.Fatal(err)
	}
	run := func(in string, args ...string) (string, error) {
		command := exec.CommandContext(t.Context(), terraform, args...)
		command.Dir = filepath.Join(folder, in)
		command.Env = append(os.Environ(), "TF_CLI_CONFIG_FILE="+os.DevNull, "CHECKPOINT_DISABLE=1", "TF_IN_AUTOMATION=1")
		out, err := command.CombinedOutput()
		return string(out), err
	}
	expect := func(in string, args ...string) {
		t.Helper()
		if out, err := run(in, args...); err != nil {
			t.Errorf("%s: terraform %s: %v\n%s", in, strings.Join(args, " "), err, out)
		}
	}
	expect(".", "fmt", "-check", "-diff", "-recursive")
	for _, module := range []string{"settings", limits} {
		expect(module, "init", "-no-color", "-input=false")
		expect(module, "validate", "-no-color")
		expect(module, "test", "-no-color")
	}
	// Of a setting that there is not, and of one that is wrong, it says which.
	for setting, says := range map[string]string{`resource_scopes = "organizations/1"`: `An argument named "resource_scopes" is not expected here`,
		`resource_scope = "organization/1"`: "RESOURCE_SCOPE must be projects/ID"} {
		if err := os.WriteFile(filepath.Join(folder, "main.tf"), []byte("module \"settings\" {\n  source = \"./settings\"\n  "+setting+"\n}\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		_, _ = run(".", "init", "-no-color", "-input=false")
		if out, err := run(".", "plan", "-no-color", "-input=false"); err == nil || !strings.Contains(out, says) {
			t.Errorf("%s: %v\n%s", setting, err, out)
		}
	}
}
