package config_test

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/tryfunc"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"

	"jitaccess/internal/access"
	"jitaccess/internal/config"
	"jitaccess/internal/gcp/resourcename"
)

// terraform is the file that has a variable for each setting.
const terraform = "../../deploy/terraform/settings/settings.tf"

// notInTerraform are the settings that have no variable there, and why.
var notInTerraform = map[string]string{
	"PORT":                          "the platform sets it",
	"GOOGLE_CLOUD_PROJECT":          "the platform says it",
	"SERVE":                         "the module cloud-run sets it in the service for machines",
	"IAP_BACKEND_SERVICE_ID":        "the module cloud-run sets it behind a load balancer",
	"SMTP_PASSWORD":                 "it would be in the state; smtp_secret says where it is kept",
	"GCE_METADATA_HOST":             "it is for tests",
	"METRICS_ADDRESS":               "App Engine and Cloud Run let nobody from outside reach a second port",
	"METRICS_TOKEN":                 "App Engine and Cloud Run let nobody from outside reach a second port",
	"JITACCESS_GOOGLE_ENDPOINT":     "it is for the sandbox and tests",
	"JITACCESS_CHAT_ENDPOINT":       "it is for the sandbox and tests",
	"JITACCESS_POMERIUM_ENDPOINT":   "it is for the sandbox and tests",
	"JITACCESS_CLOUDFLARE_ENDPOINT": "it is for tests",
	"JITACCESS_ALB_ENDPOINT":        "it is for tests",
}

const (
	secretVersion    = `projects/` + access.ProjectExpression + `/secrets/[A-Za-z0-9_-]{1,255}/versions/[A-Za-z0-9_-]{1,63}`
	parameterVersion = `projects/` + access.ProjectExpression + `/locations/[a-z0-9-]{1,63}/parameters/[A-Za-z0-9_-]{1,63}/versions/[A-Za-z0-9_-]{1,63}`
	address          = `[^@\s]+@[^@\s]+`
	secureAddress    = `https://[^/?#@\s]+`
)

// checked is what Read looks at beyond the tags, as far as an expression over one text, or over
// each of a list, can say it. It may be wider than that, and must not be narrower: then people
// could not set in Terraform what the service takes.
var checked = map[string]string{
	"RESOURCE_SCOPE":        `projects/` + access.ProjectExpression + `|(folders|organizations)/[0-9]{1,32}`,
	"RESOURCE_CATALOG":      `(?i:PolicyAnalyzer|AssetInventory)`,
	"ADMINS":                `(user|group):\s*` + address + `\s*|claim:\S.*`,
	"AUDITORS":              `(user|group):\s*` + address + `\s*|claim:\S.*`,
	"IAP_AUDIENCE":          `/projects/\S*`,
	"IDENTITY_ALGORITHMS":   `RS256|ES256`,
	"POMERIUM_POLICY_IDS":   `[a-z0-9-][a-z0-9._-]{0,62}=[A-Za-z0-9_-]{1,128}`,
	"PUBLIC_URL":            secureAddress + `/?`,
	"MACHINES_URL":          secureAddress + `/?`,
	"OIDC_ISSUER":           secureAddress + `(/[^?#\s]*)?`,
	"SMTP_OAUTH_TOKEN_URL":  secureAddress + `([/?][^#\s]*)?`,
	"JWKS_ENDPOINT":         `https?://[^@\s]+`,
	"IDENTITY_JWKS":         `https?://[^@\s]+`,
	"SMTP_SENDER_ADDRESS":   address,
	"SMTP_REPLY_TO":         address,
	"SMTP_RETURN_PATH":      address,
	"SMTP_CONFIRMATION_TO":  address,
	"NOTIFICATION_TIMEZONE": `[A-Za-z0-9~/._+:-]+`,
}

// setting is one of the struct's, as Terraform has it.
type setting struct {
	env, variable string
	tag           reflect.StructTag
	// kind is a type of Terraform's; "reference" is where a secret is kept, which the service
	// reads itself, and "injected" one that the platform has to hand over.
	kind string
}

// settings are all that have a variable, in the order of the struct, with the titles of sections.
func settings(t *testing.T) (all []setting, titles map[string]string) {
	t.Helper()
	titles = map[string]string{}
	left := map[string]bool{}
	for section := range reflect.TypeFor[config.Config]().Fields() {
		title := section.Tag.Get("title")
		if title == "" {
			continue
		}
		for field := range section.Type.Fields() {
			if field.Tag.Get("env") == "" {
				continue
			}
			env, _, _ := strings.Cut(field.Tag.Get("env"), ",")
			if notInTerraform[env] != "" {
				left[env] = true
				continue
			}
			if title != "" {
				titles[env], title = title, ""
			}
			all = append(all, setting{env, strings.ToLower(env), field.Tag, kind(field)})
		}
	}
	for env := range notInTerraform {
		if !left[env] {
			t.Errorf("%s is left out, and is no setting", env)
		}
	}
	return all, titles
}

func kind(field reflect.StructField) string {
	stored := field.Type == reflect.TypeFor[config.StoredText]() || field.Type == reflect.TypeFor[config.SecretPath]()
	switch {
	case field.Tag.Get("secret") != "" && stored:
		return "reference"
	case field.Tag.Get("secret") != "":
		return "injected"
	case field.Type == reflect.TypeFor[int](), field.Type == reflect.TypeFor[time.Duration]():
		return "number"
	case field.Type == reflect.TypeFor[bool]():
		return "bool"
	case field.Type == reflect.TypeFor[[]string]():
		return "list(string)"
	}
	return "string"
}

// pattern is what a text, or each of a list, must match in full; empty for anything.
func (s setting) pattern() string {
	if s.kind == "reference" || s.kind == "injected" {
		return secretVersion
	}
	name := s.tag.Get("pattern")
	return cmp.Or(checked[s.env], config.Pattern(name), name)
}

func quoted(text string) string {
	return string(hclwrite.TokensForValue(cty.StringVal(text)).Bytes())
}

// condition is of a validation; empty for none. What is null or blank is unset.
func (s setting) condition() string {
	v := "var." + s.variable
	switch {
	case s.kind == "number":
		also := ""
		if s.env == "SMTP_PORT" {
			also = fmt.Sprintf(" && %s != 25", v)
		}
		return fmt.Sprintf("%s == null ? true : %s >= %s && %s <= %s && floor(%s) == %s%s", v, v, s.tag.Get("min"), v, s.tag.Get("max"), v, v, also)
	case s.kind == "list(string)" && s.pattern() != "":
		return fmt.Sprintf("%s == null ? true : length([for each in %s : each if !can(regex(%s, each))]) == 0", v, v, quoted("^(?:"+s.pattern()+")?$"))
	case s.kind == "list(string)":
		return fmt.Sprintf("%s == null ? true : length([for each in %s : each if can(regex(\",\", each))]) == 0", v, v)
	case s.tag.Get("file") != "" && s.kind == "string":
		// What begins like where something is kept is that, and all else the path of a file.
		return fmt.Sprintf(`%s == null ? true : can(regex(%s, %s)) || !can(regex("^projects/|://", %s))`, v,
			quoted("^(?:"+secretVersion+"|"+parameterVersion+")$"), v, v)
	case s.env == "JUSTIFICATION_PATTERN":
		return fmt.Sprintf("%s == null ? true : length(%s) <= 1000", v, v)
	case s.kind != "bool" && s.pattern() != "":
		return fmt.Sprintf("%s == null ? true : can(regex(%s, %s))", v, quoted("^(?:"+s.pattern()+")?$"), v)
	}
	return ""
}

func (s setting) accept() string {
	accept, _ := config.About(s.tag.Get("env"))
	if s.kind == "reference" || s.kind == "injected" {
		accept = "the version of a secret, projects/PROJECT/secrets/SECRET/versions/VERSION"
	}
	return accept
}

func (s setting) description() string {
	_, doc := config.About(s.tag.Get("env"))
	text := fmt.Sprintf("%s: %s. %s", s.env, s.accept(), doc)
	if unset := s.tag.Get("default"); unset != "" {
		text += " When unset: " + unset + "."
	}
	return text
}

func terraformFile(t *testing.T) string {
	t.Helper()
	all, titles := settings(t)
	var b strings.Builder
	b.WriteString("# The settings of docs/configuration.md, one variable each. This file is made from the source:\n" +
		"# go test ./internal/config -update. What is not set here is not set in the service.\n")
	lists := map[string][]string{}
	for _, s := range all {
		if title := titles[s.env]; title != "" {
			fmt.Fprintf(&b, "\n# %s\n", title)
		}
		kind, value := s.kind, "var."+s.variable
		switch kind {
		case "reference", "injected":
			kind = "string"
		case "list(string)":
			value = fmt.Sprintf(`%s == null ? null : join(",", %s)`, value, value)
		}
		fmt.Fprintf(&b, "\nvariable %q {\ndescription = %s\ntype = %s\ndefault = null\n", s.variable, quoted(s.description()), kind)
		if c := s.condition(); c != "" {
			fmt.Fprintf(&b, "\nvalidation {\ncondition = %s\nerror_message = %s\n}\n", c, quoted(s.env+" must be "+s.accept()+"."))
		}
		b.WriteString("}\n")
		where := "given"
		if s.kind == "injected" {
			where = "injected"
		}
		lists[where] = append(lists[where], s.env+" = "+value)
	}
	fmt.Fprintf(&b, "\nlocals {\n# What the service reads from its environment, or from where that says.\ngiven = {\n%s\n}\n\n", strings.Join(lists["given"], "\n"))
	fmt.Fprintf(&b, "# Versions of secrets that the platform has to put into the environment.\ninjected = {\n%s\n}\n}\n", strings.Join(lists["injected"], "\n"))
	return string(hclwrite.Format([]byte(b.String())))
}

// A setting that is new has a variable from its first day, and none is left of one that is gone:
// go test ./internal/config -update writes the file.
func TestDocumentationOfTerraformIsThatOfTheStruct(t *testing.T) {
	want := terraformFile(t)
	if *update {
		if err := os.WriteFile(terraform, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(terraform)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Error("deploy/terraform/settings/settings.tf differs from the struct: go test ./internal/config -update")
	}
	for _, s := range mustSettings(t) {
		for name := range strings.SplitSeq(s.tag.Get("env"), ",") {
			if len(config.Unknown([]string{name + "=x"})) > 0 {
				t.Errorf("%s is written, and is not read", name)
			}
		}
	}
}

func mustSettings(t *testing.T) []setting {
	all, _ := settings(t)
	return all
}

// surrounding is what has to be set so that Read looks at a setting.
var surrounding = map[string]map[string]string{
	"JWKS_ENDPOINT":        {"IDENTITY": "pomerium"},
	"IDENTITY_JWKS":        {"IDENTITY": "jwt", "IDENTITY_ISSUER": "x"},
	"IDENTITY_ALGORITHMS":  {"IDENTITY": "jwt"},
	"OIDC_ISSUER":          {"IDENTITY": "oidc"},
	"SMTP_OAUTH_TOKEN_URL": {"SMTP_AUTH": "oauth2"},
	"SMTP_PORT":            {"SMTP_HOST": "mail.example.com"},
}

// texts are tried for each setting: those that some take, and those that nobody should.
var texts = []string{"a", "0", "1", "25", "480", "65535", "65536", "525601", "-1", "1.5", "é", "x y", ":", "://", ",", "@", "a@b.example",
	"user:a@b.example", "group:a@b.example", "user: a@b.example", "claim:x", "claim:", "people:a@b.example", "projects/a-project-1", "projects/A", "folders/1", "folders/x",
	"organizations/12", "projects/example.com:shop", "PolicyAnalyzer", "assetinventory", "C0123abcd", "true", "iap", "oidc", "machines", "claim", "assumed",
	"projects/a-1/secrets/s/versions/1", "projects/a-1/secrets/s/versions/latest", "projects/a-1/secrets/s", "projects/a-1/secrets/../versions/1", "projects/a-1/locations/global/parameters/p/versions/v7",
	"policy.yaml", "C:", "file://x", "https://access.example.com", "https://access.example.com/", "https://access.example.com/path", "https://u@access.example.com",
	"http://access.example.com", "https://a.example.com/x?y=z", "https://a.example.com/x#y", "/projects/1/apps/x", "/projects/", "RS256", "ES256", "HS256",
	"name=id", "name=", "password", "OAuth2", "Europe/Berlin", "+10:00", "Nowhere/Land", "de", "xx", "smtp.example.com", "[::1]", "#ops", "topic", "projects/p-1/topics/topic", "-topic",
	"arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/app/x/0123456789abcdef", "(", strings.Repeat("a", 1001)}

var references = []string{"projects/a-1/secrets/s/versions/1", "projects/example.com:a-1/secrets/s_S-2/versions/latest", "", "a secret itself", "projects/a-1/secrets/s",
	"projects/A/secrets/s/versions/1", "projects/a-1/locations/global/parameters/p/versions/v7", "projects/a-1/secrets/s/versions/1\n"}

// What Terraform refuses the service refuses too, or people could not set it there; and each
// validation refuses something. Secrets are the exception: they are where they are kept.
func TestTerraformRefusesWhatTheServiceRefuses(t *testing.T) {
	file, problems := hclsyntax.ParseConfig([]byte(terraformFile(t)), "settings.tf", hcl.InitialPos)
	if problems.HasErrors() {
		t.Fatal(problems)
	}
	conditions := map[string]hclsyntax.Expression{}
	for _, block := range file.Body.(*hclsyntax.Body).Blocks {
		for _, inner := range block.Body.Blocks {
			conditions[block.Labels[0]] = inner.Body.Attributes["condition"].Expr
		}
	}
	for _, s := range mustSettings(t) {
		condition, refused := conditions[s.variable], 0
		if condition == nil {
			if s.pattern() != "" || s.kind == "number" || s.kind == "list(string)" {
				t.Errorf("%s is not validated", s.env)
			}
			continue
		}
		tried := append(texts, "", " ")
		if s.kind == "reference" || s.kind == "injected" {
			tried = references // they all have one pattern
		}
		for _, text := range tried {
			good, ok := s.passes(t, condition, text)
			if !ok || good {
				continue
			}
			refused++
			if s.kind == "list(string)" && strings.Contains(text, ",") {
				continue // Read would take it for several
			}
			if s.kind == "reference" || s.kind == "injected" {
				if resourcename.IsSecretVersion(text) || text == "" {
					t.Errorf("%s=%q is refused", s.env, text)
				}
				continue
			}
			if strings.TrimSpace(text) != "" && !s.faulty(text) {
				t.Errorf("%s=%q is refused by Terraform, and the service takes it", s.env, text)
			}
		}
		if refused == 0 {
			t.Errorf("%s: the validation refuses none of the texts", s.env)
		}
		if good, _ := s.passes(t, condition, "null"); !good {
			t.Errorf("%s: that it is unset is refused", s.env)
		}
	}
}

// passes is whether a validation lets a text through; ok is false where it is none of its type.
func (s setting) passes(t *testing.T, condition hclsyntax.Expression, text string) (good, ok bool) {
	t.Helper()
	value, err := cty.StringVal(text), error(nil)
	switch {
	case text == "null":
		value = cty.NullVal(cty.DynamicPseudoType)
	case s.kind == "number":
		if value, err = cty.ParseNumberVal(text); err != nil {
			return false, false
		}
	case s.kind == "list(string)":
		value = cty.ListVal([]cty.Value{cty.StringVal(text)})
	}
	result, problems := condition.Value(&hcl.EvalContext{
		Variables: map[string]cty.Value{"var": cty.ObjectVal(map[string]cty.Value{s.variable: value})},
		Functions: map[string]function.Function{"can": tryfunc.CanFunc, "regex": stdlib.RegexFunc, "floor": stdlib.FloorFunc, "length": length},
	})
	if problems.HasErrors() {
		t.Fatalf("%s=%q: %v", s.env, text, problems)
	}
	return result.True(), true
}

// length is Terraform's, which is that of a text too.
var length = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "value", Type: cty.DynamicPseudoType}},
	Type:   function.StaticReturnType(cty.Number),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		if args[0].Type() == cty.String {
			return stdlib.Strlen(args[0])
		}
		return stdlib.Length(args[0])
	},
})

// faulty is whether Read finds a fault in a setting that is this text.
func (s setting) faulty(text string) bool {
	environment := map[string]string{"K_SERVICE": "jitaccess", "RESOURCE_SCOPE": "organizations/1", "SMTP_SENDER_ADDRESS": "a@example.com", "IDENTITY_GROUPS_CLAIM": "groups",
		"RESOURCE_CUSTOMER_ID": "C1"}
	maps.Copy(environment, surrounding[s.env])
	environment[s.env] = text
	_, err := config.Read(func(name string) string { return environment[name] })
	joined, ok := err.(interface{ Unwrap() []error })
	return ok && slices.ContainsFunc(joined.Unwrap(), func(err error) bool {
		fault, is := errors.AsType[*config.Fault](err)
		return is && fault.Variable == s.env
	})
}
