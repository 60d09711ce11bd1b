package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// What may stand next is known of the commands themselves.
func TestWhatIsCompleted(t *testing.T) {
	operators := []string{"serve", "sandbox", "policy", "conformance", "version", "doctor", "config", "eligible", "ledger", "sweep", "reconcile", "shadow", "help"}
	if got := operatorCommands(); !slices.Equal(got, operators) {
		t.Errorf("%q", got)
	}
	for _, test := range []struct{ typed, want string }{
		{"lo", "login logout"},
		{"con", "conformance config"},
		{"wi", "withdraw"},
		{"withdraw --j", "--json"},
		{"x", ""},
		{"completion ", "bash zsh fish --help"},
		{"completion z", "zsh"},
		{"history --st", "--state"},
		{"history --view ", "mine reviews all"},
		{"login --front p", "pomerium"},
		{"login --no-browser --fr", "--front"},
		{"request shop role --rea", "--reason"},
		{"request --reason --wa", ""},
		{"ask --key-file ", ""},
		{"doctor --", ""},
		{"unknown --", ""},
	} {
		var got []string
		for _, one := range completed(strings.Split(test.typed, " ")) {
			got = append(got, one.word)
		}
		if strings.Join(got, " ") != test.want {
			t.Errorf("%q: %q", test.typed, got)
		}
	}
	if got := completed([]string{""}); len(got) != len(operators)+len(clientCommands()) {
		t.Errorf("%v", got)
	}
	if completed(nil) != nil {
		t.Error("words where none are typed")
	}
	p := shell(t)
	p.fails(exitUsage, "bash, zsh and fish", "completion", "powershell")
	p.typed = "history\n--vi"
	if out := p.must("completion", "words"); out != "--view\tmine, reviews (what waits for you) or all (for auditors)\n" {
		t.Errorf("%q", out)
	}
}

// called is set where this test is the program that a shell asks.
const called = "JITACCESS_TEST_COMPLETES"

// Each shell completes with what the program says, and offers files where that knows nothing.
func TestShellsComplete(t *testing.T) {
	if os.Getenv(called) != "" {
		os.Exit(run(context.Background(), []string{"completion", "words"}, os.Getenv, os.Stdout, os.Stderr))
	}
	folder := t.TempDir()
	program := "#!/bin/sh\n" + called + "=1 exec " + os.Args[0] + " -test.run '^TestShellsComplete$'\n"
	for name, text := range map[string]string{"jitaccess": program, "a-file.key": ""} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	p := shell(t)
	for name, sh := range map[string]struct {
		args []string
		// typed has what somebody types in place of TYPED, and prints what is offered, a line each.
		typed string
	}{
		"bash": {[]string{"--norc", "-c"}, `set -- jitaccess; line="TYPED"; IFS=' ' read -ra COMP_WORDS <<<"$line"; [ "${line: -1}" = " " ] && COMP_WORDS+=("")
COMP_CWORD=$((${#COMP_WORDS[@]}-1)); _jitaccess jitaccess
if [ ${#COMPREPLY[@]} -gt 0 ]; then printf '%s\n' "${COMPREPLY[@]}"; else complete -p jitaccess | grep -q -- '-o default' && compgen -f -- "${COMP_WORDS[COMP_CWORD]}"; fi`},
		"zsh": {[]string{"-f", "-c"}, `compdef() { :; }
compadd() { print -rl -- "${@[5,-1]}"; }
_files() { print -rl -- *(.); }
SCRIPT
words=("${(@s: :)${:-TYPED}}"); CURRENT=$#words; _jitaccess`},
		"fish": {[]string{"--no-config", "-c"}, `complete -C "TYPED" | string replace -r '\t.*' ''`},
	} {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Errorf("%v; .ci/packages installs it", err)
			continue
		}
		script := p.must("completion", name)
		for typed, want := range map[string]string{"jitaccess lo": "login logout", "jitaccess completion ": "bash zsh fish --help",
			"jitaccess history --view ": "mine reviews all", "jitaccess request shop role --rea": "--reason", "./jitaccess log": "login logout",
			"jitaccess ask --key-file a-": "a-file.key"} {
			text := script + sh.typed
			if before, after, ok := strings.Cut(sh.typed, "SCRIPT"); ok {
				text = before + script + after
			}
			shell := exec.Command(path, append(sh.args, strings.ReplaceAll(text, "TYPED", typed))...)
			shell.Dir, shell.Env = folder, []string{"PATH=" + folder + ":" + os.Getenv("PATH"), "HOME=" + folder}
			out, err := shell.CombinedOutput()
			got := strings.Fields(string(out))
			slices.Sort(got)
			if name == "zsh" && strings.Contains(want, "file") {
				got = slices.DeleteFunc(got, func(f string) bool { return f == "jitaccess" })
			}
			if all := strings.Fields(want); err != nil && len(got) == 0 || !slices.Equal(got, slices.Sorted(slices.Values(all))) {
				t.Errorf("%s: %q: %v, %s", name, typed, err, out)
			}
		}
	}
}
