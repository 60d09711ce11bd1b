package main_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "jitaccess"

// rule says what the code of some packages may import; their tests are free.
type rule struct {
	// of and mayImport are paths in the module; "x/..." is x and all under it.
	of        []string
	mayImport []string
	// pure keeps I/O, logging and Google's libraries away.
	pure bool
}

// Imports point down:
//
//	cmd → server → broker → {policy, token} → access
//	token, bearer, identity, ledger → jose
//	adapters → access, never one another, never broker or server
//
// A new package needs a line here.
var layering = []rule{
	{of: []string{"docs"}, mayImport: nil, pure: true},
	{of: []string{"internal/lazyregexp"}, mayImport: nil, pure: true},
	{of: []string{"internal/access"}, mayImport: nil, pure: true},
	{of: []string{"internal/eligibility"}, mayImport: []string{"internal/access"}, pure: true},
	{of: []string{"internal/gcp/condition"}, mayImport: []string{"internal/access", "internal/eligibility"}, pure: true},
	{of: []string{"internal/gcp/resourcename"}, mayImport: []string{"internal/access"}, pure: true},
	{of: []string{"internal/events"}, mayImport: []string{"internal/access"}, pure: true},
	{of: []string{"internal/lookup"}, mayImport: []string{"internal/access"}, pure: true},
	{of: []string{"internal/gcp/quota"}, mayImport: []string{"internal/access"}, pure: true},
	{of: []string{"internal/application"}, mayImport: []string{"internal/access", "internal/loopback"}, pure: true},
	{of: []string{"internal/policy"}, mayImport: []string{"internal/access", "internal/application", "internal/loopback", "internal/policy/document"}, pure: true},
	{of: []string{"internal/policy/cases"}, mayImport: []string{"internal/access", "internal/policy", "internal/policy/document"}, pure: true},
	{of: []string{"internal/policy/document"}, mayImport: []string{"internal/access"}, pure: true},
	{of: []string{"internal/addressmap"}, mayImport: []string{"internal/access"}, pure: true},
	{of: []string{"internal/jose"}, mayImport: nil},
	{of: []string{"internal/passkey"}, mayImport: []string{"internal/access"}, pure: true},
	{of: []string{"internal/bearer"}, mayImport: []string{"internal/access", "internal/application", "internal/jose"}, pure: true},
	{of: []string{"internal/token"}, mayImport: []string{"internal/access", "internal/jose"}, pure: true},
	{of: []string{"internal/token/tokentest"}, mayImport: []string{"internal/access", "internal/jose"}},
	{of: []string{"internal/broker"}, mayImport: []string{"internal/access", "internal/passkey"}, pure: true},
	{of: []string{"internal/words"}, mayImport: []string{"internal/access"}, pure: true},
	{of: []string{"internal/words/wordstest"}, mayImport: []string{"internal/words"}},
	{of: []string{"internal/notice"}, mayImport: []string{"internal/access", "internal/loopback", "internal/words"}, pure: true},
	{of: []string{"internal/server/..."}, mayImport: []string{"internal/access", "internal/application", "internal/application/managed",
		"internal/bearer", "internal/broker", "internal/events", "internal/jose", "internal/lookup", "internal/notice", "internal/passkey",
		"internal/words", "docs", "web"}},
	{of: []string{"internal/server/openapitest"}, mayImport: []string{"docs"}},
	// It tells pages over what tests are made of, and is in the product for the sandbox alone.
	{of: []string{"internal/server/storybook"}, mayImport: []string{"internal/access", "internal/application", "internal/application/managed", "internal/broker",
		"internal/broker/brokertest", "internal/notice", "internal/passkey", "internal/policy", "internal/seal", "internal/server", "internal/words"}},
	// It tries what the adapters and the sandbox assume of Google, and only cmd knows it.
	{of: []string{"internal/conformance"}, mayImport: []string{"internal/access", "internal/gcp/condition", "internal/gcp/iampolicy", "internal/jose",
		"internal/outbound"}},
	// It looks at two services from outside, and only cmd knows it.
	{of: []string{"internal/shadow"}, mayImport: []string{"internal/access", "internal/gcp/condition", "internal/loopback", "internal/outbound"}},
	// It looks at a deployment from above, and only cmd knows it.
	{of: []string{"internal/doctor"}, mayImport: []string{"internal/access", "internal/config", "internal/gcp", "internal/gcp/iampolicy",
		"internal/identity", "internal/jose", "internal/notice", "internal/outbound", "internal/tracing"}},
	{of: []string{"internal/client"}, mayImport: []string{"internal/loopback", "internal/outbound"}},
	{of: []string{"internal/config"}, mayImport: []string{"internal/access", "internal/addressmap", "internal/gcp/quota", "internal/gcp/resourcename",
		"internal/loopback", "internal/redact", "internal/words"}},

	// Adapters.
	{of: []string{"internal/gcp/..."},
		mayImport: []string{"internal/access", "internal/eligibility", "internal/lookup", "internal/loopback", "internal/outbound", "internal/gcp/..."}},
	{of: []string{"internal/pomerium"}, mayImport: []string{"internal/access", "internal/eligibility", "internal/lookup", "internal/outbound"}},
	{of: []string{"internal/ledger/relational"}, mayImport: []string{"internal/access", "internal/ledger", "internal/outbound"}},
	{of: []string{"internal/ledger/firestore"}, mayImport: []string{"internal/access", "internal/ledger", "internal/outbound"}},
	{of: []string{"internal/ledger/firestoretest"}, mayImport: []string{"internal/porttest"}},
	{of: []string{"internal/ledger/..."}, mayImport: []string{"internal/access", "internal/jose", "internal/passkey", "internal/ledger/..."}},
	{of: []string{"internal/journal"}, mayImport: []string{"internal/access", "internal/events", "internal/redact"}},
	{of: []string{"internal/metrics"}, mayImport: []string{"internal/access"}},
	{of: []string{"internal/redact"}, mayImport: nil, pure: true},
	{of: []string{"internal/loopback"}, mayImport: nil, pure: true},
	{of: []string{"internal/mount"}, mayImport: nil, pure: true},
	{of: []string{"internal/outbound"}, mayImport: nil},
	{of: []string{"internal/tracing"}, mayImport: []string{"internal/access", "internal/outbound", "internal/redact"}},
	{of: []string{"internal/mail"}, mayImport: []string{"internal/access", "internal/loopback", "internal/notice", "internal/outbound", "internal/redact", "internal/words"}},
	{of: []string{"internal/mailbox"}, mayImport: []string{"internal/access", "internal/outbound", "internal/redact"}},
	{of: []string{"internal/channel"}, mayImport: []string{"internal/access", "internal/notice", "internal/outbound", "internal/redact"}},
	{of: []string{"internal/channel/..."}, mayImport: []string{"internal/access", "internal/channel", "internal/loopback", "internal/notice",
		"internal/redact", "internal/standardwebhook"}},
	{of: []string{"internal/standardwebhook"}, mayImport: nil},
	{of: []string{"internal/oauth"}, mayImport: []string{"internal/access", "internal/loopback", "internal/outbound", "internal/redact"}},
	{of: []string{"internal/identity"}, mayImport: []string{"internal/access", "internal/jose", "internal/loopback", "internal/outbound"}},
	{of: []string{"internal/login"}, mayImport: []string{"internal/access", "internal/identity", "internal/jose", "internal/loopback", "internal/lookup",
		"internal/outbound", "internal/seal"}},
	{of: []string{"internal/application"}, mayImport: []string{"internal/access", "internal/loopback"}, pure: true},
	{of: []string{"internal/application/managed"}, mayImport: []string{"internal/access", "internal/application", "internal/lookup", "internal/seal"}, pure: true},
	{of: []string{"internal/callback"}, mayImport: []string{"internal/access", "internal/application", "internal/outbound", "internal/standardwebhook"}},
	{of: []string{"internal/github"}, mayImport: []string{"internal/access", "internal/outbound", "internal/words"}},
	{of: []string{"internal/seal"}, mayImport: nil, pure: true},

	// The sandbox knows nothing of the product, so that it can judge it.
	{of: []string{"internal/sandbox"}, mayImport: []string{"internal/sandbox/..."}},
	{of: []string{"internal/sandbox/clock"}, mayImport: nil},
	{of: []string{"internal/sandbox/diff"}, mayImport: nil, pure: true},
	{of: []string{"internal/sandbox/google"}, mayImport: nil},
	{of: []string{"internal/sandbox/chat", "internal/sandbox/pomerium"}, mayImport: nil},

	// Support of tests, which no product package may import.
	{of: []string{"internal/broker/brokertest"}, mayImport: []string{"internal/access", "internal/broker", "internal/gcp/condition", "internal/gcp/iampolicy",
		"internal/gcp/resourcemanager", "internal/gcp/resourcename", "internal/passkey", "internal/policy"}},
	{of: []string{"internal/passkey/passkeytest"}, mayImport: []string{"internal/access", "internal/passkey"}},
	{of: []string{"internal/sandbox/sandboxtest"}, mayImport: []string{"internal/mail/smtptest", "internal/sandbox/google"}},
	{of: []string{"internal/broker/storetest"}, mayImport: []string{"internal/access", "internal/broker"}},
	{of: []string{"internal/mail/smtptest"}, mayImport: nil},
	{of: []string{"internal/mail/postfixtest"}, mayImport: []string{"internal/mail/smtptest", "internal/porttest"}},
	{of: []string{"internal/oauth/oauthtest"}, mayImport: nil},
	{of: []string{"internal/github/githubtest"}, mayImport: nil},
	{of: []string{"internal/callback/callbacktest", "internal/chromiumtest", "internal/porttest"}, mayImport: nil},

	{of: []string{"web"}, mayImport: nil},
	{of: []string{"cmd/..."}, mayImport: []string{"internal/...", "web"}},
}

// everywhere is what everything may import but the sandbox: it knows nothing of what this is about.
const everywhere = "internal/lazyregexp"

// impure is what pure packages must not import themselves. What a library of theirs
// does inside is its own matter.
var impure = []string{
	"net/http", "net/smtp", "os/...", "database/sql/...", "log/...", "syscall",
	"cloud.google.com/...", "google.golang.org/...", "golang.org/x/oauth2/...",
}

// vague are package names that say nothing about what is inside.
var vague = []string{"util", "utils", "common", "models", "core", "types", "helpers", "helper", "manager", "misc", "shared", "lib"}

// source is the code of one package, without its tests.
type source struct {
	name       string
	imports    []string
	documented bool
}

func TestLayeringImportsPointDown(t *testing.T) {
	for dir, s := range sources(t) {
		r := ruleOf(dir)
		if r == nil {
			t.Errorf("%s is in no rule: say what it may import", dir)
			continue
		}
		for _, imported := range s.imports {
			if inside, ok := strings.CutPrefix(imported, module+"/"); ok {
				if !matches(r.mayImport, inside) && (inside != everywhere || matches([]string{"internal/sandbox/..."}, dir)) {
					t.Errorf("%s imports %s", dir, inside)
				}
			} else if r.pure && matches(impure, imported) {
				t.Errorf("%s imports %s, and is to be pure", dir, imported)
			}
		}
	}
}

func TestLayeringSandboxIsForCmdOnly(t *testing.T) {
	for dir, s := range sources(t) {
		for _, imported := range s.imports {
			if matches([]string{module + "/internal/sandbox/..."}, imported) && !matches([]string{"cmd/...", "internal/sandbox", "internal/sandbox/sandboxtest"}, dir) {
				t.Errorf("%s imports %s", dir, imported)
			}
		}
	}
}

// The storybook has the world of the tests in it, which so needs no testing itself; and only the
// sandbox shows it.
func TestLayeringTestSupportStaysInTests(t *testing.T) {
	const storybook, itsWorld = "internal/server/storybook", module + "/internal/broker/brokertest"
	for dir, s := range sources(t) {
		for _, imported := range s.imports {
			if imported == module+"/"+storybook && !matches([]string{"cmd/..."}, dir) {
				t.Errorf("%s imports %s", dir, imported)
			}
			if dir == storybook && imported == itsWorld {
				continue
			}
			if (!strings.HasSuffix(dir, "test") || module+"/"+dir == itsWorld) && (imported == "testing" || imported == "net/http/httptest" ||
				strings.HasPrefix(imported, module+"/") && strings.HasSuffix(imported, "test")) {
				t.Errorf("%s imports %s outside its tests", dir, imported)
			}
		}
	}
}

func TestLayeringPackagesAreNamedAndDocumented(t *testing.T) {
	for dir, s := range sources(t) {
		if slices.Contains(vague, s.name) || slices.Contains(vague, path.Base(dir)) {
			t.Errorf("%s: the name %s says nothing", dir, s.name)
		}
		if !s.documented {
			t.Errorf("%s: package %s has no comment", dir, s.name)
		}
	}
}

// TestLayeringRulesMatchWhatTheySay keeps the matcher honest.
func TestLayeringRulesMatchWhatTheySay(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"internal/gcp", "internal/gcp", true},
		{"internal/gcp", "internal/gcp/directory", false},
		{"internal/gcp/...", "internal/gcp", true},
		{"internal/gcp/...", "internal/gcp/directory", true},
		{"internal/gcp/...", "internal/gcpx", false},
		{"log/...", "log", true},
		{"log/...", "log/slog", true},
		{"net/http", "net", false},
	} {
		if got := matches([]string{c.pattern}, c.name); got != c.want {
			t.Errorf("%s on %s: %v, want %v", c.pattern, c.name, got, c.want)
		}
	}
}

// ruleOf returns the closest rule: one that names the package, or else the longest
// that names what it lies under.
func ruleOf(dir string) *rule {
	var found *rule
	best := -1
	for i := range layering {
		for _, pattern := range layering[i].of {
			length := len(pattern)
			if pattern == dir {
				length += len(dir) // an exact name wins
			}
			if matches([]string{pattern}, dir) && length > best {
				found, best = &layering[i], length
			}
		}
	}
	return found
}

func matches(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		tree, isTree := strings.CutSuffix(pattern, "/...")
		return name == tree || isTree && strings.HasPrefix(name, tree+"/")
	})
}

// sources reads the imports of every package of the module, keyed by its path.
func sources(t *testing.T) map[string]*source {
	t.Helper()
	const root = "../.."
	found := map[string]*source{}
	err := filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && (entry.Name() == "testdata" || file != root && strings.HasPrefix(entry.Name(), ".")) {
			return filepath.SkipDir
		}
		if entry.IsDir() || !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			return nil
		}
		return read(file, root, found)
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(found) == 0 {
		t.Fatal("no packages were found")
	}
	return found
}

func read(file, root string, into map[string]*source) error {
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly|parser.ParseComments)
	if err != nil {
		return err
	}
	dir, err := filepath.Rel(root, filepath.Dir(file))
	if err != nil {
		return err
	}
	dir = filepath.ToSlash(dir)
	s := into[dir]
	if s == nil {
		s = &source{name: parsed.Name.Name}
		into[dir] = s
	}
	s.documented = s.documented || parsed.Doc != nil
	for _, spec := range parsed.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return err
		}
		s.imports = append(s.imports, imported)
	}
	return nil
}
