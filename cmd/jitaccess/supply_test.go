package main

import (
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// direct are the modules that our own code and its tests import, each by a decision.
var direct = []string{
	"cel.dev/cel-go", "cloud.google.com/go/compute/metadata", "github.com/emersion/go-msgauth", "github.com/go-chi/chi/v5",
	"github.com/coreos/go-oidc/v3", "github.com/golang-jwt/jwt/v5", "github.com/wneessen/go-mail", "golang.org/x/net",
	"golang.org/x/oauth2", "golang.org/x/sync", "golang.org/x/time",
	"github.com/jackc/pgx/v5", "github.com/pressly/goose/v3", "go.yaml.in/yaml/v4", "modernc.org/sqlite",
	// Of tests alone: the official definition of OTLP reads there what the product sends.
	"go.opentelemetry.io/proto/otlp", "google.golang.org/protobuf",
	// Of tests alone. Google's clients judge there what the product asks for and how the sandbox answers.
	"cloud.google.com/go/firestore", "cloud.google.com/go/secretmanager", "google.golang.org/api", "google.golang.org/genproto", "google.golang.org/grpc",
	// Of cmd/release alone, for the image.
	"golang.org/x/crypto/x509roots/fallback",
	// Of tests alone.
	"github.com/anishathalye/porcupine", "github.com/standard-webhooks/standard-webhooks/libraries",
	"github.com/chromedp/cdproto", "github.com/chromedp/chromedp", "github.com/emersion/go-imap/v2", "github.com/emersion/go-message", "github.com/emersion/go-sasl",
	"github.com/emersion/go-smtp", "github.com/google/go-cmp", "github.com/hashicorp/hcl/v2", "github.com/santhosh-tekuri/jsonschema/v6", "github.com/zclconf/go-cty",
}

// What is not in the program, which is small so that it starts soon and little of it lies in
// memory: see docs/decisions/22-googles-apis-by-hand.md.
func TestTheProgramHasNoneOfGooglesClients(t *testing.T) {
	clients := regexp.MustCompile(`^(google\.golang\.org/(api|grpc)|github\.com/googleapis|go\.opentelemetry\.io|cloud\.google\.com/go)/`)
	for _, p := range linked(t) {
		if clients.MatchString(p+"/") && p != "cloud.google.com/go/compute/metadata" {
			t.Errorf("%s is in the program", p)
		}
	}
}

// Profilers add handlers to every default server, and where the program has one the runtime notes
// what allocates, in two megabytes that nobody looks at.
func TestTheProgramHasNoProfiler(t *testing.T) {
	for _, p := range linked(t) {
		if slices.Contains([]string{"net/http/pprof", "runtime/pprof", "expvar"}, p) {
			t.Errorf("%s is in the program", p)
		}
	}
}

// linked are the packages that the program is made of.
func linked(t *testing.T) []string {
	t.Helper()
	listed, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	packages := strings.Fields(string(listed))
	if !slices.Contains(packages, "jitaccess/internal/gcp") || !slices.Contains(packages, "jitaccess/internal/sandbox/google") {
		t.Fatalf("these are not the program's packages: %q", packages)
	}
	return packages
}

// Threat 37, the supply chain: a new module is a decision, all of them are those whose
// sums are in go.sum, and the image holds nothing but the program.
func TestThreat37_WhatIsBuiltInIsWhatWasDecided(t *testing.T) {
	read := func(file string) string {
		text, err := os.ReadFile("../../" + file)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	modules := read("go.mod")
	if found := regexp.MustCompile(`(?m)^(replace|exclude|retract|toolchain|\s+.* => ).*`).FindAllString(modules, -1); found != nil {
		t.Errorf("go.mod has %q", found)
	}
	var required []string
	for line := range strings.Lines(modules) {
		if name, rest, ok := strings.Cut(strings.TrimSpace(line), " v"); ok && !strings.Contains(rest, "// indirect") {
			required = append(required, strings.TrimPrefix(name, "require "))
		}
	}
	slices.Sort(required)
	want := slices.Sorted(slices.Values(direct))
	if !slices.Equal(required, want) {
		t.Errorf("go.mod requires\n%q, decided are\n%q", required, want)
	}
	around := regexp.MustCompile(`GONOSUMDB|GONOSUMCHECK|GOINSECURE|GOPRIVATE|GOFLAGS|GOSUMDB|-mod=mod|-insecure|(curl|wget)\s`)
	for _, file := range []string{"Makefile", "Dockerfile", "app.yaml", ".ci/run", ".ci/packages"} {
		if found := around.FindAllString(read(file), -1); found != nil {
			t.Errorf("%s has %q", file, found)
		}
	}
	named := regexp.MustCompile(`(?m)^PACKAGES := ((?:.*\\\n)*.*)$`).FindAllStringSubmatch(read("Makefile"), -1)
	if len(named) != 1 {
		t.Fatalf("the Makefile has %d lists of packages", len(named))
	}
	packages, _, _ := strings.Cut(strings.ReplaceAll(named[0][1], "\\\n", ""), "$(")
	if all := strings.Fields(packages); !slices.IsSorted(all) || regexp.MustCompile(`[^a-z0-9+. \t-]`).MatchString(packages) {
		t.Errorf("the packages that the tests need are %q", all)
	}
	_, image, found := strings.Cut(read("Dockerfile"), "\nFROM scratch\n")
	if !found || strings.Contains(image, "\nFROM ") || strings.Contains(image, "\nRUN ") || strings.Contains(image, "\nADD ") || !strings.Contains(image, "\nUSER 65532") {
		t.Errorf("the image is made by:\n%s", image)
	}
	if copied := strings.Count("\n"+image, "\nCOPY "); copied != 3 {
		t.Errorf("%d things are copied into the image, not the program, whom to trust, and an empty folder", copied)
	}
}
