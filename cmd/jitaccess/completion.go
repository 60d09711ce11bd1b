package main

import (
	"flag"
	"fmt"
	"strings"
)

// operatorCommands are those that run or look at a service, as the usage has them.
var operatorCommands = []string{"serve", "sandbox", "doctor", "eligible", "ledger", "sweep", "reconcile", "policy", "version", "help"}

// completion prints what a shell needs to complete commands and their options. It is made of the
// commands themselves, and asks no service for anything.
func (c *caller) completion(args []string) error {
	write, ok := map[string]func([]completed) string{"bash": bashCompletion, "zsh": zshCompletion, "fish": fishCompletion}[args[0]]
	if !ok {
		return wrong("there is completion for bash, zsh and fish, and none for %q", args[0])
	}
	_, err := fmt.Fprint(c.stdout, write(completedCommands()))
	return err
}

// completed is a command with its options.
type completed struct {
	name, summary string
	options       []*flag.Flag
}

func completedCommands() []completed {
	var all []completed
	for _, name := range operatorCommands {
		all = append(all, completed{name: name})
	}
	for _, command := range clientCommands() {
		one := completed{name: command.name, summary: command.summary}
		command.flags(&caller{env: func(string) string { return "" }}).VisitAll(func(f *flag.Flag) { one.options = append(one.options, f) })
		all = append(all, one)
	}
	return all
}

func namesOf(commands []completed) string {
	var names []string
	for _, c := range commands {
		names = append(names, c.name)
	}
	return strings.Join(names, " ")
}

func optionsOf(c completed) string {
	var names []string
	for _, f := range c.options {
		names = append(names, "--"+f.Name)
	}
	return strings.Join(append(names, "--help"), " ")
}

// arguments are the words that a command takes, where they are known.
func argumentsOf(c completed) string {
	if c.name == "completion" {
		return "bash zsh fish"
	}
	return ""
}

func bashCompletion(commands []completed) string {
	b := &strings.Builder{}
	fmt.Fprintf(b, `# Completion of jitaccess for bash: source <(jitaccess completion bash)
_jitaccess() {
  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W %q -- "$word"))
    return
  fi
  case $before in --*-file) COMPREPLY=($(compgen -f -- "$word")); return ;; esac
  case ${COMP_WORDS[1]} in
`, namesOf(commands))
	for _, c := range commands {
		if len(c.options) > 0 || argumentsOf(c) != "" {
			fmt.Fprintf(b, "    %s) COMPREPLY=($(compgen -W %q -- \"$word\")) ;;\n", c.name, strings.TrimSpace(argumentsOf(c)+" "+optionsOf(c)))
		}
	}
	b.WriteString("  esac\n}\ncomplete -F _jitaccess jitaccess\n")
	return b.String()
}

func zshCompletion(commands []completed) string {
	b := &strings.Builder{}
	fmt.Fprintf(b, `#compdef jitaccess
# Completion of jitaccess for zsh: source <(jitaccess completion zsh)
_jitaccess() {
  if (( CURRENT == 2 )); then
    compadd -- %s
    return
  fi
  case ${words[CURRENT-1]} in --*-file) _files; return ;; esac
  case ${words[2]} in
`, namesOf(commands))
	for _, c := range commands {
		if len(c.options) > 0 || argumentsOf(c) != "" {
			fmt.Fprintf(b, "    %s) compadd -- %s ;;\n", c.name, strings.TrimSpace(argumentsOf(c)+" "+optionsOf(c)))
		}
	}
	b.WriteString("  esac\n}\ncompdef _jitaccess jitaccess\n")
	return b.String()
}

func fishCompletion(commands []completed) string {
	b := &strings.Builder{}
	b.WriteString("# Completion of jitaccess for fish: jitaccess completion fish | source\ncomplete -c jitaccess -f\n")
	for _, c := range commands {
		fmt.Fprintf(b, "complete -c jitaccess -n __fish_use_subcommand -a %s -d %s\n", c.name, quoted(c.summary))
		for _, word := range strings.Fields(argumentsOf(c)) {
			fmt.Fprintf(b, "complete -c jitaccess -n '__fish_seen_subcommand_from %s' -a %s\n", c.name, word)
		}
		for _, f := range c.options {
			value := " -x"
			if isSwitch(f) {
				value = ""
			} else if strings.HasSuffix(f.Name, "-file") {
				value = " -r -F"
			}
			_, usage := flag.UnquoteUsage(f)
			fmt.Fprintf(b, "complete -c jitaccess -n '__fish_seen_subcommand_from %s' -l %s%s -d %s\n", c.name, f.Name, value, quoted(usage))
		}
	}
	return b.String()
}

// isSwitch is whether an option has no value.
func isSwitch(f *flag.Flag) bool {
	b, ok := f.Value.(interface{ IsBoolFlag() bool })
	return ok && b.IsBoolFlag()
}

// quoted is a text in single quotes, as fish reads it.
func quoted(text string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(text) + "'"
}
