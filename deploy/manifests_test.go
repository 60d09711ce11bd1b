package deploy_test

import (
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"jitaccess/internal/config"
)

// What Compose and Kubernetes hand to the service are settings of it, and the example of Compose's
// values has each that is read from there.
func TestManifestsHandOverSettings(t *testing.T) {
	known := map[string]bool{}
	for section := range reflect.TypeFor[config.Config]().Fields() {
		if section.Type.Kind() == reflect.Struct {
			for field := range section.Type.Fields() {
				env, _, _ := strings.Cut(field.Tag.Get("env"), ",")
				known[env] = env != ""
			}
		}
	}
	compose := struct {
		Services map[string]struct {
			Environment map[string]string
			Ports       []string
			Volumes     []string
		}
	}{}
	if err := yaml.Unmarshal([]byte(read(t, "compose.yaml")), &compose); err != nil {
		t.Fatal(err)
	}
	service := compose.Services["jitaccess"]
	if len(service.Environment) == 0 || len(service.Ports) > 0 || !slices.Contains(service.Volumes, "memory:/data") {
		t.Errorf("the service of Compose has settings, no port and a volume for its database: %+v", service)
	}
	for name := range service.Environment {
		if !known[name] {
			t.Errorf("compose.yaml: %s is no setting", name)
		}
	}
	values := read(t, "compose.env")
	for _, used := range regexp.MustCompile(`\$\{(\w+)`).FindAllStringSubmatch(read(t, "compose.yaml"), -1) {
		if !strings.Contains(values, "\n"+used[1]+"=") {
			t.Errorf("compose.env lacks %s", used[1])
		}
	}
	names := regexp.MustCompile(`(?m)^ +- name: ([A-Z_]+)$`).FindAllStringSubmatch(read(t, "kubernetes.yaml"), -1)
	for _, name := range names {
		if !known[name[1]] {
			t.Errorf("kubernetes.yaml: %s is no setting", name[1])
		}
	}
	if len(names) != len(service.Environment) {
		t.Errorf("Kubernetes hands over %d settings, Compose %d", len(names), len(service.Environment))
	}
	for _, one := range strings.Split(read(t, "kubernetes.yaml"), "\n---\n") {
		var object map[string]any
		if err := yaml.Unmarshal([]byte(one), &object); err != nil || object["kind"] == nil {
			t.Errorf("kubernetes.yaml: %v\n%.80s", err, one)
		}
	}
}

// The service does not start with a database or a key that others may read. Kubernetes lets the group
// of a claim read all that is in it, on each start unless it is told otherwise
// (https://kubernetes.io/docs/tasks/configure-pod-container/security-context/).
func TestKubernetesLeavesTheDatabaseToItsOwner(t *testing.T) {
	found := 0
	for _, one := range strings.Split(read(t, "kubernetes.yaml"), "\n---\n") {
		var object struct {
			Spec struct {
				Template struct {
					Spec struct {
						EnableServiceLinks *bool `yaml:"enableServiceLinks"`
						SecurityContext    *struct {
							RunAsUser           int    `yaml:"runAsUser"`
							FSGroup             int    `yaml:"fsGroup"`
							FSGroupChangePolicy string `yaml:"fsGroupChangePolicy"`
						} `yaml:"securityContext"`
					}
				}
			}
		}
		if err := yaml.Unmarshal([]byte(one), &object); err != nil {
			t.Fatal(err)
		}
		spec := object.Spec.Template.Spec
		if spec.SecurityContext == nil {
			continue
		}
		found++
		if c := spec.SecurityContext; c.RunAsUser != 65532 || c.FSGroup != 65532 || c.FSGroupChangePolicy != "OnRootMismatch" {
			t.Errorf("%+v", *c)
		}
		// A service of the name smtp would set SMTP_PORT to tcp://….
		if links := spec.EnableServiceLinks; links == nil || *links {
			t.Error("the services of the namespace become settings")
		}
	}
	if found != 1 {
		t.Errorf("%d pods", found)
	}
}
