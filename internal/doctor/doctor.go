// Package doctor finds out whether a deployment has what its configuration needs,
// with the deployed settings and as the deployed service account. It changes
// nothing. Each thing that it finds is one line: what is good, or what is wrong and
// the command that mends it.
//
// Looks that the service itself does not need are made by calls that may be
// refused: that costs the line, and breaks nothing.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"
	"unicode"

	"jitaccess/internal/access"
	"jitaccess/internal/config"
	"jitaccess/internal/gcp"
	"jitaccess/internal/gcp/iampolicy"
	"jitaccess/internal/identity"
)

// Status is how bad a finding is.
type Status int

const (
	OK Status = iota
	// Unseen: nobody lets us look, and the service does not need it.
	Unseen
	// Warning: it works, and an operator should know.
	Warning
	// Broken: something that people will ask for cannot work.
	Broken
)

var statusNames = [...]string{"ok", "unseen", "warning", "broken"}

// Finding is one line.
type Finding struct {
	Status Status
	// Check is what was looked at, Text what was found.
	Check, Text string
	// Remedy is what to do: "run: COMMAND", "set VARIABLE=…", or a sentence.
	Remedy string
}

// String is the finding on one line, whatever Google or a mail server said.
func (f Finding) String() string {
	line := fmt.Sprintf("%-8s %s: %s", statusNames[f.Status], f.Check, f.Text)
	if f.Remedy != "" {
		if !strings.HasSuffix(line, ".") {
			line += ";"
		}
		line += " " + f.Remedy
	}
	return strings.Map(func(r rune) rune {
		if unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) {
			return ' '
		}
		return r
	}, line)
}

// Policies reads live policies and finds projects; see package resourcemanager.
type Policies interface {
	GetIamPolicy(ctx context.Context, r access.Resource, since time.Time) (*iampolicy.Policy, error)
	SearchProjects(ctx context.Context, query string) ([]access.ResourceInfo, error)
}

// Provider lists everybody, whichever catalog the service uses.
type Provider interface {
	Standing(ctx context.Context, q access.StandingQuery) (access.Standing, error)
}

// Signer signs as the service account.
type Signer interface {
	SignJWT(ctx context.Context, payload []byte) (string, error)
}

// Secrets reads secrets.
type Secrets interface {
	Access(ctx context.Context, version string) ([]byte, error)
}

// Mailer talks to the mail server; see package mail.
type Mailer interface {
	Enabled() bool
	Probe(ctx context.Context, to access.Principal, passed func(name, text string)) error
}

// Config is what is looked at. Everything is required unless it says otherwise.
type Config struct {
	Settings *config.Config
	Platform *gcp.Platform
	// Scope is the one that the service uses.
	Scope access.Resource
	// Identity is how people are identified; IdentityFault is why nobody can be.
	Identity      identity.Profile
	IdentityFault error
	// Origin is the origin of links under a host, or "" when none can be written.
	Origin func(host string) string

	// Words are what people read of an error, and what they can do.
	Words func(e *access.Error) (text, next string)

	Policies Policies
	Provider Provider
	Signer   Signer
	Secrets  Secrets
	Mailer   Mailer

	// SendTo gets a test mail; empty sends none.
	SendTo access.Principal
	Now    func() time.Time
}

// checkTimeout bounds one check.
const checkTimeout = 2 * time.Minute

// Run makes every check, one after the other, and reports what it finds.
func Run(ctx context.Context, c Config, report func(Finding)) {
	d := &doctor{Config: c, report: report, said: map[ineffective]bool{}}
	for _, check := range []func(context.Context){
		d.settings, d.identity, d.audience, d.publicOrigin, d.keys, d.signing,
		d.projects, d.permissions, d.analysis, d.policies, d.inventory, d.ancestors, d.groups, d.eligibleGroups,
		d.secrets, d.mail, d.topic,
		d.runServices, d.appVersions, d.accountKeys,
	} {
		if ctx.Err() != nil {
			return
		}
		once, cancel := context.WithTimeout(ctx, checkTimeout)
		check(once)
		cancel()
	}
}

// doctor carries from check to check what was found.
type doctor struct {
	Config
	report func(Finding)

	sample    []access.Resource
	read      []policyOf
	standings []access.Standing
	said      map[ineffective]bool
}

type policyOf struct {
	resource access.Resource
	policy   *iampolicy.Policy
}

func (d *doctor) ok(check, format string, args ...any) {
	d.report(Finding{OK, check, fmt.Sprintf(format, args...), ""})
}

func (d *doctor) unseen(check, text, remedy string) { d.report(Finding{Unseen, check, text, remedy}) }

func (d *doctor) warn(check, text, remedy string) { d.report(Finding{Warning, check, text, remedy}) }

func (d *doctor) broken(check, text, remedy string) { d.report(Finding{Broken, check, text, remedy}) }

func (d *doctor) settings(context.Context) {
	for _, w := range d.Settings.Warnings {
		d.warn("settings", w, "")
	}
	if len(d.Settings.Warnings) == 0 {
		d.ok("settings", "nothing to remark")
	}
}

// why is the innermost cause of an error.
func why(err error) string {
	for {
		var e *access.Error
		if !errors.As(err, &e) || e.Err == nil {
			return err.Error()
		}
		err = e.Err
	}
}

// refused is whether Google said that the service account may not, or that there is
// no such thing, which it says for the same reason.
func refused(err error) bool {
	switch access.AsError(err).Code {
	case access.CodeServiceNotAllowed, access.CodeSigningNotAllowed, access.CodeUnknownResource:
		return true
	}
	return false
}

// remedy is what to do about a failed call of an API: what was given if the service
// account was refused, otherwise what the failure itself asks for.
func (d *doctor) remedy(err error, api, ifRefused string) string {
	text := err.Error()
	var e *access.Error
	for cause := err; errors.As(cause, &e); cause = e.Err {
		if id := e.Args["violation"]; id != "" {
			return "admit the service account to the VPC Service Controls perimeter; its log has the violation under " + id
		}
		if e.Err == nil {
			break
		}
	}
	status, _ := gcp.Answer(err)
	switch {
	// The one message that every API has while it is switched off.
	case strings.Contains(text, "has not been used in project") || strings.Contains(text, "SERVICE_DISABLED"):
		return gcloud("services", "enable", api, "--project", d.Platform.Project)
	case strings.Contains(text, "generateAccessToken") || strings.Contains(text, "iam.serviceAccounts.getAccessToken"):
		return d.tokenCreator()
	case refused(err):
		return ifRefused
	case access.AsError(err).Code == access.CodeQueryRefused:
		return d.set("AVAILABLE_PROJECTS_QUERY=QUERY") +
			"; https://cloud.google.com/resource-manager/reference/rest/v3/projects/search says what a query is"
	case status == http.StatusBadRequest:
		return d.correction(api)
	case access.AsError(err).Code == access.CodeQuota:
		return "try again in a minute"
	}
	return "try again; if it stays so, see https://status.cloud.google.com and what the network lets out"
}

// correction is what to do when Google refuses the content of a call for good: to
// change the setting from which it comes.
func (d *doctor) correction(api string) string {
	switch api {
	case "cloudasset.googleapis.com":
		return "set RESOURCE_SCOPE to an organization, folder or project that exists"
	case "admin.googleapis.com":
		return "set RESOURCE_CUSTOMER_ID to what this says: gcloud organizations list --format 'value(owner.directoryCustomerId)'"
	case "pubsub.googleapis.com":
		return "correct NOTIFICATION_TOPIC"
	}
	return "trying again does not help: correct what this says is wrong"
}

// grant is the command that gives the service account a role.
func (d *doctor) grant(on access.Resource, role string) string {
	command := []string{string(on.Kind())}
	if on.Kind() == "folders" {
		command = []string{"resource-manager", "folders"}
	}
	return gcloud(append(command, "add-iam-policy-binding", on.Name(),
		"--member", "serviceAccount:"+d.Platform.ServiceAccount, "--role", role, "--condition", "None")...)
}

// tokenCreator lets the account sign, and take on further scopes, as itself.
func (d *doctor) tokenCreator() string {
	return gcloud("iam", "service-accounts", "add-iam-policy-binding", d.Platform.ServiceAccount,
		"--member", "serviceAccount:"+d.Platform.ServiceAccount, "--role", "roles/iam.serviceAccountTokenCreator",
		"--project", d.Platform.Project)
}

// gcloud is a command to run. Arguments may come from Google's answers, and a
// command is copied into a shell.
func gcloud(args ...string) string {
	var b strings.Builder
	b.WriteString("run: gcloud")
	for _, a := range args {
		b.WriteByte(' ')
		if !plainArgument.MatchString(a) {
			a = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
		b.WriteString(a)
	}
	return b.String()
}

var plainArgument = regexp.MustCompile(`^[A-Za-z0-9_./:=@,+-]+$`)
