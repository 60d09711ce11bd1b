package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"jitaccess/internal/access"
	cli "jitaccess/internal/client"
	"jitaccess/internal/config"
	"jitaccess/internal/conformance"
	"jitaccess/internal/gcp"
)

// runConformance tries in a project that is scratch what is assumed of Google Cloud. It exits
// with 0 when nothing differs, with 1 when something does or was left behind, and with 2 when
// it did not begin.
func runConformance(ctx context.Context, args []string, env func(string) string, k clock, stdout, stderr io.Writer) int {
	flags := newFlags("conformance", stderr)
	project := flags.String("project", "", "the id of an empty project that holds nothing of value; its policy is written, and put back")
	scratch := flags.String("scratch", "", "the same id once more: that this project is scratch")
	assertion := flags.String("assertion-file", "", "a file with one x-goog-iap-jwt-assertion, of any age")
	group := flags.String("group", "", "the address of a group whose members the account may read")
	customer := flags.String("customer", "my_customer", "the Cloud Identity customer whose the group is")
	database := flags.String("firestore", "", "an empty database of Firestore in the project; documents are written there, and removed")
	patience := flags.Duration("patience", 8*time.Minute, "how long a change of a policy may take to have an effect")
	asJSON := flags.Bool("json", false, "print the report as one JSON object")
	if code, ok := parsed(flags, args, stdout, stderr); !ok {
		return code
	}
	c := conformance.Config{Project: *project, Database: *database, Group: *group, Customer: *customer, Patience: *patience, Version: version,
		Now: k.now, Sleep: k.sleep}
	if err := twice(*project, *scratch); err != nil {
		return failed(stderr, exitUsage, err)
	}
	if *patience < time.Minute || *patience > 30*time.Minute {
		return failed(stderr, exitUsage, errors.New("--patience is from 1m to 30m: tokens are good for an hour"))
	}
	if *database != "" {
		if named, err := config.ParseDatabase("firestore:" + *database); err != nil || named.Firestore.Project != "" {
			return failed(stderr, exitUsage, fmt.Errorf("--firestore: %q is not the id of a database", *database))
		}
	}
	if *group != "" {
		if _, err := access.ParsePrincipal(*group); err != nil {
			return failed(stderr, exitUsage, fmt.Errorf("--group: %w", err))
		}
	}
	if *assertion != "" {
		text, err := cli.ReadToken(*assertion)
		if err != nil {
			return failed(stderr, exitUsage, fmt.Errorf("--assertion-file: %w", err))
		}
		c.Assertion = text
	}
	endpoint := env("JITACCESS_GOOGLE_ENDPOINT")
	platform, err := gcp.Connect(ctx, gcp.Options{Version: version, Endpoint: endpoint, ConnectTimeout: 10 * time.Second,
		ReadTimeout: time.Minute, WriteTimeout: 30 * time.Second, Now: k.now})
	if err != nil {
		return failed(stderr, exitUsage, fmt.Errorf("%s (%w)\nit runs as a service account: set GOOGLE_CLOUD_PROJECT, and "+
			"gcloud auth application-default login --impersonate-service-account ACCOUNT", told(err), errors.Unwrap(err)))
	}
	c.Account, c.HTTP, c.Directory, c.Endpoint = platform.ServiceAccount, platform.Client, platform.DirectoryClient, platform.Endpoint
	c.Keys, c.Skew, c.Real = platform.IAPKeys, platform.Skew, endpoint == ""
	fmt.Fprintf(stderr, "as %s in %s; this takes about %s\n", c.Account, c.Project, (c.Patience + 5*time.Minute).Round(time.Minute))
	c.Said = func(done conformance.Checked) { fmt.Fprintf(stderr, "%s: %s\n", done.ID, done.Result) }
	report, err := conformance.Run(ctx, c)
	if err != nil {
		return failed(stderr, exitUsage, err)
	}
	if *asJSON {
		err = printJSON(stdout, "  ", report)
	} else {
		err = report.Text(stdout)
	}
	switch {
	case err != nil:
		return failed(stderr, exitFailure, err)
	case len(report.Left) > 0 || report.Count(conformance.Differs) > 0 || ctx.Err() != nil:
		return exitFailure
	}
	return exitOK
}

// twice is whether a project was named as scratch: its policy is about to be written.
func twice(project, scratch string) error {
	switch {
	case project == "" || scratch == "":
		return errors.New("name the project twice, --project ID --scratch ID: it must be empty, and its policy is written")
	case project != scratch:
		return fmt.Errorf("--project is %q and --scratch is %q: nothing is done in either", project, scratch)
	}
	if _, err := access.Project(project); err != nil || strings.Contains(project, ":") {
		return fmt.Errorf("%q is not the id of a project", project)
	}
	return nil
}
