package main

import (
	"bufio"
	"flag"
	"fmt"
	"strings"

	"jitaccess/internal/lazyregexp"
)

// completion prints what a shell needs to complete commands and their options, which is to ask this
// program each time; "words" is that question.
func (c *caller) completion(args []string) error {
	text, known := completionScripts[args[0]]
	if args[0] == "words" {
		var words []string
		for lines := bufio.NewScanner(c.stdin); lines.Scan(); {
			words = append(words, lines.Text())
		}
		for _, one := range completed(words) {
			text += one.word + "\t" + plain(one.about) + "\n"
		}
	} else if !known {
		return wrong("there is completion for bash, zsh and fish, and none for %q", args[0])
	}
	_, err := fmt.Fprint(c.stdout, text)
	return err
}

// completionScripts ask by the name by which the program was called, a word a line, the last being the
// one that is typed. Where it knows nothing, files are offered.
var completionScripts = map[string]string{
	"bash": `# Completion of jitaccess for bash: source <(jitaccess completion bash)
_jitaccess() {
  local word about
  COMPREPLY=()
  while IFS=$'\t' read -r word about; do
    COMPREPLY+=("$word")
  done < <(printf '%s\n' "${COMP_WORDS[@]:1:COMP_CWORD}" | "$1" completion words 2>/dev/null)
}
complete -o default -F _jitaccess jitaccess
`,
	"zsh": `#compdef jitaccess
# Completion of jitaccess for zsh: source <(jitaccess completion zsh)
_jitaccess() {
  local word about
  local -a found lines
  while IFS=$'\t' read -r word about; do
    found+=("$word") lines+=("$word  $about")
  done < <(printf '%s\n' "${(@Q)words[2,CURRENT]}" | "${(Q)words[1]}" completion words 2>/dev/null)
  if (( $#found )); then compadd -l -d lines -- $found; else _files; fi
}
compdef _jitaccess jitaccess
`,
	"fish": `# Completion of jitaccess for fish: jitaccess completion fish | source
function __jitaccess_complete
    set -l before (commandline -opc)
    set -l word (commandline -ct)
    set -l found (printf '%s\n' $before[2..-1] "$word" | command $before[1] completion words 2>/dev/null)
    if test (count $found) -gt 0
        printf '%s\n' $found
    else
        __fish_complete_path "$word"
    end
end
complete -c jitaccess -f -a '(__jitaccess_complete)'
`,
}

// completion is a word that may stand where one is typed, and what it is.
type completion struct{ word, about string }

// optionWords are what options take that take few words, and commandWords what commands do.
var (
	optionWords  = map[string]string{"front": "iap pomerium", "view": "mine reviews all"}
	commandWords = map[string]string{"completion": "bash zsh fish"}
)

// completed are the words that may stand in place of the last of these. It is made of the commands
// themselves, and asks no service for anything.
func completed(words []string) (all []completion) {
	if len(words) == 0 {
		return nil
	}
	before, typed := words[:len(words)-1], words[len(words)-1]
	add := func(word, about string) {
		if strings.HasPrefix(word, typed) {
			all = append(all, completion{word, about})
		}
	}
	if len(before) == 0 {
		for _, name := range operatorCommands() {
			add(name, "")
		}
		for _, command := range clientCommands() {
			add(command.name, command.summary)
		}
		return all
	}
	command, known := clientNamed(before[0])
	if !known {
		return nil
	}
	flags := command.flags(&caller{env: func(string) string { return "" }})
	name, isOption := strings.CutPrefix(strings.TrimPrefix(before[len(before)-1], "-"), "-")
	if option := flags.Lookup(name); isOption && option != nil && !isSwitch(option) {
		for word := range strings.FieldsSeq(optionWords[option.Name]) {
			add(word, "")
		}
		return all
	}
	for word := range strings.FieldsSeq(commandWords[command.name]) {
		add(word, "")
	}
	flags.VisitAll(func(f *flag.Flag) {
		_, usage := flag.UnquoteUsage(f)
		add("--"+f.Name, usage)
	})
	add("--help", "")
	return all
}

var operatorCommand = lazyregexp.New(`(?m)^  jitaccess \[?([a-z]+)`)

// operatorCommands are those that run or look at a service, as the usage begins with them.
func operatorCommands() []string {
	text, _, _ := strings.Cut(usage, "\n\n")
	var all []string
	for _, found := range operatorCommand().FindAllStringSubmatch(text, -1) {
		if len(all) == 0 || found[1] != all[len(all)-1] {
			all = append(all, found[1])
		}
	}
	return append(all, "help")
}

// isSwitch is whether an option has no value.
func isSwitch(f *flag.Flag) bool {
	b, ok := f.Value.(interface{ IsBoolFlag() bool })
	return ok && b.IsBoolFlag()
}
