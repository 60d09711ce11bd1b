package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"jitaccess/internal/access"
	"jitaccess/internal/config"
)

const configUsage = `Usage: jitaccess config COMMAND [options]
  jitaccess config explain [--json] [--service NAME]
    every setting: what holds, where it comes from, and what follows; nobody is asked
`

// runConfig looks at the settings of a deployment, by its environment alone. It exits with 2
// where the service would not start.
func runConfig(args []string, env func(string) string, stdout, stderr io.Writer) int {
	if len(args) > 0 && asksForHelp(args[:1]) {
		fmt.Fprint(stdout, configUsage)
		return exitOK
	}
	if len(args) == 0 || args[0] != "explain" {
		fmt.Fprint(stderr, configUsage)
		return exitUsage
	}
	flags := newFlags("config explain", stderr)
	asJSON := flags.Bool("json", false, "as one JSON object")
	service := serviceFlag(flags)
	if code, ok := parsed(flags, args[1:], stdout, stderr); !ok {
		return code
	}
	e := config.Explain(asService(env, *service))
	e.Warnings = append(e.Warnings, config.Unknown(os.Environ())...)
	var err error
	if *asJSON {
		err = printJSON(stdout, "  ", e)
	} else {
		err = explainInText(stdout, e)
	}
	switch {
	case err != nil:
		return failed(stderr, exitFailure, err)
	case e.Faulty:
		return failed(stderr, exitUsage, errors.New("the service does not start with these settings: mend those that have a FAULT"))
	}
	return exitOK
}

func explainInText(out io.Writer, e config.Explanation) error {
	fmt.Fprintf(out, "Runs on: %s\n", e.Platform)
	section := ""
	for _, s := range e.Settings {
		if s.Section != section {
			section = s.Section
			fmt.Fprintf(out, "\n%s\n", section)
		}
		fmt.Fprintf(out, "  %s", s.Name)
		if s.Value != "" {
			fmt.Fprintf(out, " = %s", access.Visible(s.Value))
		}
		fmt.Fprintf(out, "  (%s)\n", s.Source)
		if s.Fault != "" {
			fmt.Fprintf(out, "      FAULT: %s\n", access.Visible(s.Fault))
		}
		if s.Follows != "" {
			fmt.Fprintf(out, "      %s\n", access.Visible(s.Follows))
		}
	}
	for _, warning := range e.Warnings {
		fmt.Fprintf(out, "\nWarning: %s", access.Visible(warning))
	}
	_, err := fmt.Fprintln(out)
	return err
}
