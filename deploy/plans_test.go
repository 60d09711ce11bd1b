package deploy_test

import (
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// plans is make plans: it builds the stand-in for the provider, which takes a while, and needs Terraform.
var plans = flag.Bool("plans", false, "apply the examples of Terraform against a stand-in for the provider")

const variables = `project     = "access-prod"
scope       = "organizations/123456789012"
customer_id = "C0123abcd"
roles       = ["roles/compute.viewer", "roles/run.developer"]
openers     = ["domain:example.com"]
`

const image = `image = "europe-west1-docker.pkg.dev/access-prod/jitaccess/jitaccess` + digest + "\"\n"

// everything uses what no example does.
const everything = `module "settings" {
  source             = "../../settings"
  resource_scope     = "folders/12"
  public_url         = "https://access.example.com"
  machines_url       = "https://jitaccess-machines-1.europe-west1.run.app"
  signing_key        = "projects/access-prod/secrets/signing-key/versions/1"
  api_user_token     = "projects/access-prod/secrets/pomerium/versions/1"
  organization_id    = "x"
  cluster_id         = "y"
  policy             = "projects/other-1/locations/global/parameters/policy/versions/v7"
  notification_topic = "events"
}

module "permissions" {
  source         = "../../permissions"
  project        = "access-prod"
  scope          = "folders/12"
  roles          = concat([for i in range(199) : "roles/service${i}.user"], ["roles/compute.admin"])
  accepted_roles = ["roles/compute.admin"]
  settings       = module.settings
  more_secrets   = ["projects/access-prod/secrets/app", "projects/other-1/secrets/app"]
  read_inherited = true
  granted_on     = ["folders/12", "folders/13"]
}

module "cloud_sql" {
  source          = "../../cloud-sql"
  project         = "access-prod"
  region          = "europe-west1"
  service_account = module.permissions.service_account
}

module "cloud_run" {
  source            = "../../cloud-run"
  project           = "access-prod"
  region            = "europe-west1"
  settings          = module.settings
  image             = "registry.example.com/jitaccess` + digest + `"
  service_account   = module.permissions.service_account
  scheduler_account = module.permissions.scheduler_account
  iap_member        = module.permissions.iap_member
  openers           = ["user:a@example.com"]
  machines          = true
  ledger            = module.cloud_sql.ledger
}

module "monitoring" {
  source           = "../../monitoring"
  project          = "access-prod"
  version_deployed = "v1"
  platform         = "app-engine"
  service          = "default"
  remembers        = true
}

output "by_hand" { value = module.permissions.by_hand }
output "next" { value = module.cloud_run.next }
output "url" { value = module.cloud_run.url }
output "service_account" { value = module.permissions.service_account }
`

// terraform runs Terraform in folders of its own copy of the modules.
type terraform struct {
	t           *testing.T
	folder      string
	environment []string
}

func (f terraform) run(in string, args ...string) (string, error) {
	command := exec.CommandContext(f.t.Context(), "terraform", args...)
	command.Dir, command.Env = filepath.Join(f.folder, "terraform", in), f.environment
	out, err := command.CombinedOutput()
	return string(out), err
}

func (f terraform) write(name, text string) {
	f.t.Helper()
	name = filepath.Join(f.folder, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		f.t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		f.t.Fatal(err)
	}
}

// withProvider builds the stand-in, and has Terraform find it and nothing else.
func withProvider(t *testing.T) terraform {
	f := terraform{t: t, folder: t.TempDir()}
	if err := copyModules(filepath.Join(f.folder, "terraform")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"google", "google-beta"} {
		file := filepath.Join(f.folder, "mirror/registry.terraform.io/hashicorp", name, "7.0.0", runtime.GOOS+"_"+runtime.GOARCH, "terraform-provider-"+name+"_v7.0.0")
		build := exec.CommandContext(t.Context(), "go", "build", "-o", file, ".")
		build.Dir = "testdata/provider"
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	schema, err := filepath.Abs("testdata/schema.json")
	if err != nil {
		t.Fatal(err)
	}
	f.write("terraformrc", "provider_installation {\n  filesystem_mirror { path = \""+filepath.Join(f.folder, "mirror")+"\" }\n}\n")
	f.environment = append(os.Environ(), "TF_CLI_CONFIG_FILE="+filepath.Join(f.folder, "terraformrc"), "CHECKPOINT_DISABLE=1", "TF_IN_AUTOMATION=1", "SCHEMA="+schema)
	return f
}

// Terraform applies each example, has then nothing more to do, and says what is next.
func TestPlans(t *testing.T) {
	if !*plans {
		t.Log("NOT RUN: make plans")
		return
	}
	f := withProvider(t)
	f.write("terraform/examples/everything/main.tf", everything)
	for example, given := range map[string]string{"cloud-run": variables + image, "two-regions": variables + image + "domain = \"access.example.com\"\n", "app-engine": variables, "everything": ""} {
		in := "examples/" + example
		f.write("terraform/"+in+"/terraform.tfvars", given)
		for _, args := range [][]string{{"init"}, {"validate"}, {"apply", "-auto-approve", "-input=false"}, {"plan", "-input=false", "-detailed-exitcode"}} {
			if out, err := f.run(in, append(args, "-no-color")...); err != nil {
				t.Fatalf("%s: terraform %s: %v\n%s", example, args[0], err, out)
			}
		}
		out, err := f.run(in, "output", "-json")
		var outputs map[string]struct{ Value json.RawMessage }
		if err != nil || json.Unmarshal([]byte(out), &outputs) != nil {
			t.Fatalf("%s: %v\n%s", example, err, out)
		}
		for name, has := range map[string]string{"url": "", "service_account": "google_service_account.email", "next": "doctor", "by_hand": "Groups Reader"} {
			if value := string(outputs[name].Value); value == "" || !strings.Contains(value, has) {
				t.Errorf("%s: %s is %s", example, name, value)
			}
		}
	}
	f.deployed(t)
	for _, c := range []struct{ in, change, says string }{
		{"cloud-run", `image=europe-west1-docker.pkg.dev/p-1/jitaccess/jitaccess:1`, "image must end with @sha256:"},
		{"cloud-run", `roles=["roles/compute.admin"]`, "roles/compute.admin. Take a narrower role"},
		{"cloud-run", `roles=["roles/owner"]`, "Nobody can be eligible for a basic role"},
		{"cloud-run", `scope=organization/1`, "RESOURCE_SCOPE must be projects/ID"},
		{"cloud-run", `customer_id=`, "RESOURCE_CATALOG=AssetInventory needs resource_customer_id"},
		{"two-regions", `domain=https://access.example.com`, "domain must be a host name"},
		{"app-engine", `project=Access`, "project must be the id of a project"},
	} {
		out, err := f.run("examples/"+c.in, "plan", "-no-color", "-input=false", "-var", c.change)
		if err == nil || !strings.Contains(strings.Join(strings.Fields(out), " "), c.says) {
			t.Errorf("%s with %s: %v\n%s", c.in, c.change, err, out)
		}
	}
}

// deployed looks at what was made of everything.
func (f terraform) deployed(t *testing.T) {
	out, err := f.run("examples/everything", "show", "-json")
	type resource struct {
		Type, Name string
		Index      any
		Values     struct {
			IAPEnabled bool `json:"iap_enabled"`
			Member     string
			Template   []struct {
				Containers []struct {
					Env []struct{ Name, Value string }
				}
			}
		}
	}
	var state struct {
		Values struct {
			RootModule struct {
				ChildModules []struct{ Resources []resource } `json:"child_modules"`
			} `json:"root_module"`
		}
	}
	if err == nil {
		err = json.Unmarshal([]byte(out), &state)
	}
	if err != nil {
		t.Fatal(err)
	}
	services, limited, on, open := 0, 0, 0, 0
	for _, m := range state.Values.RootModule.ChildModules {
		for _, r := range m.Resources {
			machines := r.Index == "jitaccess-machines"
			switch {
			case r.Type == "google_cloud_run_v2_service":
				services++
				environment := map[string]string{}
				for _, e := range r.Values.Template[0].Containers[0].Env {
					environment[e.Name] = e.Value
				}
				if r.Values.IAPEnabled == machines || (environment["SERVE"] == "machines") != machines || !strings.HasPrefix(environment["DATABASE_URL"], "postgres://") {
					t.Errorf("%v: Identity-Aware Proxy is %v, the environment %v", r.Index, r.Values.IAPEnabled, environment)
				}
			case r.Type == "google_folder_iam_member" && strings.HasPrefix(r.Index.(string), "roles/resourcemanager.projectIamAdmin"):
				limited++
			case r.Type == "google_folder_iam_member" && r.Name == "granted_on":
				on++
			case r.Values.Member == "allUsers":
				if open++; r.Name != "machines" {
					t.Errorf("%s.%s is open to everybody", r.Type, r.Name)
				}
			}
		}
	}
	if services != 2 || limited != 20 || on != 2*20 || open != 1 {
		t.Errorf("%d services, %d limited bindings, %d on folders themselves, %d open", services, limited, on, open)
	}
}
