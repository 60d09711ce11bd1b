package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// policyRun runs "jitaccess policy" in a directory with the files.
func policyRun(t *testing.T, files map[string]string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	var out, errors strings.Builder
	code = run(t.Context(), append([]string{"policy"}, args...), func(string) string { return "" }, &out, &errors)
	return code, out.String(), errors.String()
}

const twoRules = `version: 1
rules:
  - {name: freeze, match: {resource: [projects/*-prod]}, refuse: Frozen. Ask who is on call.}
  - {name: rest, terms: {max_duration: 8h, approvals: 2}}
`

func TestPolicyLintTellsEveryFault(t *testing.T) {
	files := map[string]string{"good.yaml": twoRules, "env": "# settings\nexport ACTIVATION_TIMEOUT='60'\nPOLICY=good.yaml\n",
		"faulty.yaml": "version: 1\nrules:\n  - {name: a, terms: {max_duration: 0m}, loose: true}\n  - {name: a, refuse: no}\n",
		"signed.yaml": "version: 1\nrules:\n  - {name: a, terms: {signature: true}}\n",
		"late.yaml":   "version: 1\nrules:\n  - {name: a, terms: {max_duration: 1h}}\n  - {name: b, refuse: no}\n"}
	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"lint good.yaml", exitOK, "good.yaml: no fault; rules 2, warnings 0\n"},
		{"lint --without-ledger good.yaml", exitFailure, "good.yaml:4:44: rule \"rest\": more than one approval needs a ledger, and there is none\n"},
		{"lint signed.yaml", exitOK, "signed.yaml: no fault; rules 1, warnings 0\n"},
		{"lint --without-ledger signed.yaml", exitFailure, "signed.yaml:3:23: rule \"a\": signature needs a ledger, and there is none\n"},
		{"lint --env env good.yaml", exitFailure, "good.yaml:4:26: rule \"rest\": max_duration of 8h is longer than ACTIVATION_TIMEOUT (1h); " +
			"write loosen: [max_duration] beside terms if that is meant\n"},
		{"lint faulty.yaml", exitFailure, "faulty.yaml:3:37: max_duration must be a length of time such as 90m, 4h or 3d, not \"0m\"\n" +
			"faulty.yaml:3:42: a rule has no key \"loose\"; \"loosen\" is probably meant\n" +
			"faulty.yaml:4:12: there is another rule \"a\" in line 3; a name is used once\n"},
		{"lint late.yaml", exitFailure, "late.yaml:4:5: rule \"b\" refuses nothing: rule \"a\" stands before it and takes all that it is about; move it up\n"},
		{"lint none.yaml", exitUsage, ""},
		{"lint --env none good.yaml", exitUsage, ""},
		{"lint", exitUsage, ""},
		{"lint good.yaml late.yaml", exitUsage, ""},
		{"lint good.yaml --without-ledger", exitFailure, "good.yaml:4:44: rule \"rest\": more than one approval needs a ledger, and there is none\n"},
		{"lint good.yaml --nothing", exitUsage, ""},
		{"lint --directory good.yaml", exitUsage, ""}, // no settings of a deployment
		{"", exitUsage, ""},
		{"tidy", exitUsage, ""},
	} {
		code, stdout, stderr := policyRun(t, files, strings.Fields(c.args)...)
		if code != c.code || stdout != c.want || (code == exitUsage) != (stderr != "") {
			t.Errorf("%s: %d\n%s%s\nwant %d\n%s", c.args, code, stdout, stderr, c.code, c.want)
		}
	}
}

func TestPolicyTestComparesCases(t *testing.T) {
	one := func(expect string) string {
		return "policy: policy.yaml\ncases:\n  - {name: one, who: ana@example.com, what: {resource: projects/shop-dev, role: roles/viewer, marker: jit}, expect: {" + expect + "}}\n"
	}
	for _, c := range []struct {
		cases string
		code  int
		want  string
	}{
		{one("rule: rest, approvals: 2"), exitOK, "1 case is as expected\n"},
		{one("rule: rest, approvals: 1"), exitFailure, "cases.yaml:3:141: one: approvals\n  - expected: 1\n  + is:       2\n"},
		{one("role: rest"), exitUsage, ""},
		{strings.Replace(one("rule: rest"), "policy.yaml", "none.yaml", 1), exitUsage, ""},
	} {
		code, stdout, stderr := policyRun(t, map[string]string{"policy.yaml": twoRules, "cases.yaml": c.cases}, "test", "cases.yaml")
		if code != c.code || c.want != "" && stdout != c.want {
			t.Errorf("%s: %d\n%s%s", c.cases, code, stdout, stderr)
		}
	}
}

func TestPolicyDiffCountsWhatChanges(t *testing.T) {
	listing := `{"person":"ana@example.com","project":"shop-prod","entitlements":[{"id":"shop-prod:roles/viewer","activationType":"JIT","through":[{"node":"folders/1","member":"group:staff@example.com"}]},
{"id":"shop-prod:roles/editor","activationType":"MPA","through":[]}]}
{"person":"ben@example.com","project":"shop-dev","entitlements":[{"id":"shop-dev:roles/viewer","activationType":"MPA","through":[]},{"id":"shop-dev:roles/run.admin","activationType":"MPA","through":[]}]}
{"forNobody":[{"project":"x","node":"projects/x","role":"roles/y","reason":"basic-role","why":"…"}]}
`
	code, stdout, stderr := policyRun(t, map[string]string{"eligible.json": listing,
		"old.yaml": "version: 1\nrules:\n  - {name: old, match: {role: [roles/run.admin]}, refuse: no}\n",
		"new.yaml": "version: 1\nrules:\n  - {name: staff, match: {requester: [\"group:staff@example.com\"], role: [roles/viewer]}, terms: {approvals: 1}}\n" +
			"  - {name: editors, match: {role: [roles/editor]}, refuse: no}\n  - {name: viewers, match: {role: [roles/viewer]}, terms: {approvals: 0, max_duration: 5m}, loosen: true}\n"},
		"diff", "--eligible", "eligible.json", "old.yaml", "new.yaml")
	for _, want := range []string{
		"tighter: ana@example.com, roles/viewer on projects/shop-prod: approvals: none → 1 from peers",
		"refused: ana@example.com, roles/editor on projects/shop-prod: by rule \"editors\"\n",
		"tighter and looser: ben@example.com, roles/viewer on projects/shop-dev: approvals: 1 from peers → none; max_duration: 2h → 5m",
		"no longer refused: ben@example.com, roles/run.admin on projects/shop-dev: was refused by rule \"old\"",
		"refused: roles 1, people 1\n", "no longer refused: roles 1, people 1\n", "looser: roles 0, people 0\n", "tighter: roles 1, people 1\n", "as before: roles 0, people 0\n",
	} {
		if !strings.Contains(stdout, want) {
			t.Errorf("does not say %q", want)
		}
	}
	if code != exitOK || t.Failed() {
		t.Errorf("%d\n%s%s", code, stdout, stderr)
	}
	// Patterns are told as they are spelled.
	_, stdout, _ = policyRun(t, map[string]string{"eligible.json": listing, "old.yaml": "version: 1\nrules: [{name: a, terms: {approvals: 1}}]\n",
		"new.yaml": "version: 1\nrules: [{name: a, terms: {approvals: 1, justification: [{pattern: '^INC-', message: Name it.}]}}]\n"},
		"diff", "--eligible", "eligible.json", "old.yaml", "new.yaml")
	if !strings.Contains(stdout, "justification: .* → .*, ^INC-\n") {
		t.Errorf("patterns: %s", stdout)
	}
	for _, empty := range []string{"", "{\"forNobody\":[]}\n"} {
		code, stdout, stderr := policyRun(t, map[string]string{"eligible.json": empty, "p.yaml": twoRules}, "diff", "p.yaml", "p.yaml", "--eligible", "eligible.json")
		if code != exitUsage || stdout != "" || !strings.Contains(stderr, "the listing names nobody") {
			t.Errorf("an empty listing: %d\n%s%s", code, stdout, stderr)
		}
	}
	if code, _, _ := policyRun(t, map[string]string{"eligible.json": "person,project\n", "p.yaml": twoRules}, "diff", "--eligible", "eligible.json", "p.yaml", "p.yaml"); code != exitUsage {
		t.Errorf("a listing of another form: %d", code)
	}
}

func TestPolicyExplainSaysWhichRuleDecides(t *testing.T) {
	ask := func(more ...string) (int, string) {
		code, stdout, stderr := policyRun(t, map[string]string{"p.yaml": twoRules}, append(append([]string{"explain", "--person", "ana@example.com", "--role", "roles/viewer"}, more...), "p.yaml")...)
		return code, stdout + stderr
	}
	code, out := ask("--resource", "projects/shop")
	for _, want := range []string{"“freeze” is about other resources.\n", "Rule “rest” decides.\n", "2 approvals of: others who hold the same access.\n", "For 2 hours at most",
		"jitaccess eligible --project shop lists who holds roles/viewer"} {
		if code != exitOK || !strings.Contains(out, want) {
			t.Errorf("%d, does not say %q:\n%s", code, want, out)
		}
	}
	if code, out = ask("--resource", "projects/shop-prod"); code != exitOK || !strings.Contains(out, "Frozen. Ask who is on call.") {
		t.Errorf("%d\n%s", code, out)
	}
	// What IAM demands is not known here, and no guess of it passes for known.
	if code, out = ask("--resource", "projects/shop"); code != exitOK || !strings.Contains(out, "--marker jit") {
		t.Errorf("%d\n%s", code, out)
	}
	if code, out = ask("--resource", "projects/shop", "--marker", "mpa"); code != exitOK || strings.Contains(out, "--marker") {
		t.Errorf("%d\n%s", code, out)
	}
	// What a rule looks at and nobody has said is asked for.
	code, stdout, stderr := policyRun(t, map[string]string{"p.yaml": "version: 1\nentitlements: [{resource: pomerium/x, role: roles/access, requesters: [\"domain:example.com\"]}]\n" +
		"rules: [{name: below, match: {resource: [folders/1/**]}, refuse: no}]\n"}, "explain", "p.yaml", "--person", "ana@example.com", "--role", "roles/access", "--resource", "pomerium/x")
	for _, want := range []string{"The file itself gives it, in line 2, to domain:example.com.\n", "--ancestors A,B"} {
		if code != exitOK || !strings.Contains(stdout, want) || strings.Contains(stdout, "decides.") {
			t.Errorf("%d, does not say %q:\n%s%s", code, want, stdout, stderr)
		}
	}
	for _, wrong := range [][]string{{}, {"--resource", "shop"}, {"--resource", "projects/p", "--marker", "x"}, {"--resource", "projects/p", "--at", "noon"},
		{"--resource", "projects/p", "--changes-permissions", "yes"}, {"--resource", "projects/p", "--ancestors", "shop"}} {
		if code, out := ask(wrong...); code != exitUsage {
			t.Errorf("%q: %d\n%s", wrong, code, out)
		}
	}
}

func TestPolicySchemaIsJSON(t *testing.T) {
	code, stdout, _ := policyRun(t, nil, "schema")
	var schema map[string]any
	if err := json.Unmarshal([]byte(stdout), &schema); err != nil || code != exitOK || schema["$schema"] == nil {
		t.Errorf("%d %v", code, err)
	}
}

// The examples are without a fault and do what their cases say.
func TestPolicyExamples(t *testing.T) {
	files, err := filepath.Glob("../../examples/policy/*.cases.yaml")
	if err != nil || len(files) < 5 {
		t.Fatalf("%d examples, %v", len(files), err)
	}
	var stdout, stderr strings.Builder
	none := func(string) string { return "" }
	if code := run(t.Context(), append([]string{"policy", "test"}, files...), none, &stdout, &stderr); code != exitOK {
		t.Errorf("%d\n%s%s", code, stdout.String(), stderr.String())
	}
	for _, file := range files {
		if code := run(t.Context(), []string{"policy", "lint", strings.Replace(file, ".cases", "", 1)}, none, &stdout, &stderr); code != exitOK {
			t.Errorf("%s: %d\n%s%s", file, code, stdout.String(), stderr.String())
		}
	}
}

// The policies of the guide are without a fault.
func TestPolicyGuide(t *testing.T) {
	blocks := strings.Split(document(t, "policy.md"), "```yaml\n")[1:]
	if len(blocks) < 2 {
		t.Fatalf("%d policies in the guide", len(blocks))
	}
	for _, block := range blocks {
		text, _, _ := strings.Cut(block, "```")
		args := []string{"lint", "--env", "env", "policy.yaml"}
		if strings.HasPrefix(text, "applications:") { // a part of a file, and for a ledger
			text = "version: 1\n" + text
		} else {
			args = slices.Insert(args, 1, "--without-ledger")
		}
		if code, stdout, stderr := policyRun(t, map[string]string{"policy.yaml": text, "env": "ACTIVATION_TIMEOUT=120\n"}, args...); code != exitOK {
			t.Errorf("%s\n%d %s%s", text, code, stdout, stderr)
		}
	}
}

func TestPolicyHelp(t *testing.T) {
	for args, want := range map[string]string{"--help": "jitaccess policy lint", "-h": "jitaccess policy lint", "help": "jitaccess policy lint", "lint --help": "-without-ledger",
		"diff OLD --help": "-eligible", "explain -h": "-changes-permissions", "test --help": "-env", "schema --help": "jitaccess policy schema"} {
		code, stdout, stderr := policyRun(t, nil, strings.Fields(args)...)
		if code != exitOK || stderr != "" || !strings.Contains(stdout, want) {
			t.Errorf("%s: %d\n%s%s", args, code, stdout, stderr)
		}
	}
}

// guideCommand is a command of the guide, in a block or within a sentence.
var guideCommand = regexp.MustCompile("(?m)(?:^ *|`)jitaccess policy ((?:lint|test|diff|explain|schema)[^`\n]*)")

// The commands of the guide do what it says, each of them, with the first of its policies, a
// case for it, and a change of it.
func TestPolicyGuideCommands(t *testing.T) {
	guide := document(t, "policy.md")
	_, rest, _ := strings.Cut(guide, "```yaml\n")
	text, _, _ := strings.Cut(rest, "```")
	files := map[string]string{"policy.yaml": text, "old.yaml": text, "new.yaml": strings.Replace(text, "max_duration: 1h", "max_duration: 30m", 1),
		"FILE": "ACTIVATION_TIMEOUT=120\n",
		"cases.yaml": "policy: policy.yaml\ncases:\n  - {name: production, who: ana@example.com, what: {resource: projects/shop-prod, role: roles/run.admin, marker: mpa}," +
			" expect: {rule: production, approvals: 1, max_duration: 1h}}\n",
		"eligible.json": `{"person":"ana@example.com","project":"shop-prod","entitlements":[{"id":"shop-prod:roles/run.admin","activationType":"MPA","through":[]}]}` + "\n"}
	prints := map[string]string{"lint": "policy.yaml: no fault; rules 2, warnings 0\n", "test": "1 case is as expected\n", "explain": "“production” decides.", "schema": `"$schema"`,
		"diff": "tighter: ana@example.com, roles/run.admin on projects/shop-prod: max_duration: 1h → 30m\n"}
	ran := map[string]bool{}
	for _, found := range guideCommand.FindAllStringSubmatch(guide, -1) {
		args := strings.Fields(found[1])
		ran[args[0]] = true
		code, stdout, stderr := policyRun(t, files, args...)
		if code != exitOK || stderr != "" || !strings.Contains(stdout, prints[args[0]]) {
			t.Errorf("%s: %d\n%s%s", found[1], code, stdout, stderr)
		}
	}
	if len(ran) != len(prints) {
		t.Errorf("the guide has only %v", ran)
	}
}
