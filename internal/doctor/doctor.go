// Package doctor finds out whether a deployment has what its configuration needs,
// with the deployed settings and as the deployed service account. It changes
// nothing. Each thing that it finds is one line: what is good, or what is wrong and
// the command that mends it.
//
// Looks that the service itself does not need are made by calls that may be
// refused: that costs the line, and breaks nothing.
package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode"

	"jitaccess/internal/access"
	"jitaccess/internal/config"
	"jitaccess/internal/gcp"
	"jitaccess/internal/gcp/iampolicy"
	"jitaccess/internal/identity"
	"jitaccess/internal/lazyregexp"
	"jitaccess/internal/notice"
)

// Status is how bad a finding is.
type Status int

const (
	OK      Status = iota
	Unseen         // nobody lets us look, and the service does not need it
	Warning        // it works, and an operator should know
	Broken         // something that people will ask for cannot work
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

// Mailer talks to the mail server; see package mail.
type Mailer interface {
	Enabled() bool
	Probe(ctx context.Context, to access.Principal, passed func(name, text string)) error
}

// Channel is a chat, or webhooks; see package channel. Probe sends nothing, Test a message; the
// steps that failed are its last.
type Channel interface {
	Name() string
	Enabled() bool
	Probe(ctx context.Context, passed func(name, text string)) error
	Test(ctx context.Context, to access.Principal) []notice.Step
}

// Config is what is looked at. Everything is required unless it says otherwise.
type Config struct {
	Settings *config.Config
	// Platform is nil where Google Cloud is not used, and then what is of Google's is not
	// looked at.
	Platform *gcp.Platform
	// Scope is the one that the service uses.
	Scope access.Resource
	// Identity is how people are identified; IdentityFault is why nobody can be. IdentityKeys
	// returns why the keys cannot be had. It is not needed behind Identity-Aware Proxy.
	Identity      identity.Profile
	IdentityFault error
	IdentityKeys  func(ctx context.Context) error
	// IdentityClock is by how much the clock here is ahead of that of the key server, where
	// that says; not needed either.
	IdentityClock func(ctx context.Context) (ahead time.Duration, known bool)
	// Origin is the origin of links under a host, or "" when none can be written.
	Origin func(host string) string

	// Words are what people read of an error, and what they can do.
	Words func(e *access.Error) (text, next string)

	// Policy reads a live policy, and Projects finds projects; see package resourcemanager.
	Policy   func(ctx context.Context, r access.Resource, since time.Time) (*iampolicy.Policy, error)
	Projects func(ctx context.Context, query string) ([]access.ResourceInfo, error)
	// Standing lists everybody, whichever catalog the service uses.
	Standing func(ctx context.Context, q access.StandingQuery) (access.Standing, error)
	// Sign signs as the service account.
	Sign func(ctx context.Context, payload []byte) (string, error)
	// Secret reads a version of a secret.
	Secret func(ctx context.Context, version string) ([]byte, error)
	Mailer Mailer
	// Mailbox logs in to where mails come back to; see package mailbox. It is nil, or not asked,
	// where none is configured.
	Mailbox interface {
		Probe(ctx context.Context, passed func(name, text string)) error
	}
	// Channels are all but mail; it may be empty.
	Channels []Channel
	// PolicyFile reads the policy file, and is an error that says what is wrong with it; nil
	// where there is none.
	PolicyFile func(ctx context.Context) error
	// Named are the folders and organizations that the policy file, once it was read, gives out
	// themselves, and why some of them are not offered; nil where there is none.
	Named func(ctx context.Context) (named []access.Resource, inVain []*access.Error)

	// Pomerium looks at the policies of Pomerium Zero, and at the changes that wait to be
	// applied there; nil where it is not used.
	Pomerium func(ctx context.Context) (policies []PomeriumPolicy, waiting []string, err error)
	// Guarded: nobody is named who approves on its resources, by the policy file as it is.
	Guarded func() bool
	// Ledger looks at the database in which requests are remembered; nil where there is none.
	Ledger func(ctx context.Context) (Memory, error)

	// GitHub looks at the applications of the policy file that are GitHub Apps; nil where there can
	// be none.
	GitHub func(ctx context.Context) []GitHubApp
	// Passkeys looks at who could sign approvals; nil where nobody can.
	Passkeys func(ctx context.Context) (Passkeys, error)

	// Traces says why no span would be taken; nil where nothing is traced.
	Traces func(ctx context.Context) error

	// SendTo gets a test mail; empty sends none.
	SendTo access.Principal
	// MessageTo gets a test message where a channel addresses somebody; empty sends none by any.
	MessageTo access.Principal
	Now       func() time.Time
}

const checkTimeout = 2 * time.Minute

// Run makes every check, one after the other, and reports what it finds.
func Run(ctx context.Context, c Config, report func(Finding)) {
	d := &doctor{Config: c, report: report, nodes: map[access.Resource]bool{}, eligible: map[string]bool{},
		unreadable: map[string]*access.Error{}, said: map[[4]string]bool{}, above: map[access.Resource]*access.Error{}}
	checks := []func(context.Context){d.settings, d.publicAddress, d.audience, d.identityKeys, d.policyFile, d.mail, d.mailbox, d.channels}
	if c.Platform != nil {
		checks = []func(context.Context){
			d.settings, d.identity, d.audience, d.publicOrigin, d.identityKeys, d.keys, d.signing,
			d.projects, d.permissions, d.analysis, d.policies, d.inventory, d.ancestors, d.groups, d.joinable, d.outsiders,
			d.policyFile, d.named, d.secrets, d.mail, d.mailbox, d.channels, d.topic,
			d.runServices, d.appVersions, d.accountKeys, d.clock,
		}
	}
	for _, check := range append(checks, d.ledger, d.passkeys, d.pomerium, d.administration, d.gitHub, d.traces) {
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

	// sample are the projects to look at, and read those whose policies could be read.
	sample, read []access.Resource
	// nodes are where bindings make people eligible, eligible the groups among those.
	nodes    map[access.Resource]bool
	eligible map[string]bool
	// unreadable is why a group's members cannot be read, said what is ineffective.
	unreadable map[string]*access.Error
	said       map[[4]string]bool
	// above is why it is not known what lies above a project.
	above map[access.Resource]*access.Error
}

func (d *doctor) ok(check, format string, args ...any) {
	d.report(Finding{OK, check, fmt.Sprintf(format, args...), ""})
}

func (d *doctor) unseen(check, text, remedy string) { d.report(Finding{Unseen, check, text, remedy}) }
func (d *doctor) warn(check, text, remedy string)   { d.report(Finding{Warning, check, text, remedy}) }
func (d *doctor) broken(check, text, remedy string) { d.report(Finding{Broken, check, text, remedy}) }

func (d *doctor) settings(context.Context) {
	for _, w := range d.Settings.Warnings {
		d.warn("settings", w, "")
	}
	if len(d.Settings.Warnings) == 0 {
		d.ok("settings", "nothing to remark")
	}
}

// failed is about a call of an API without which the service does not work.
func (d *doctor) failed(check, text string, err error, api, ifRefused string) {
	d.broken(check, text+": "+why(err), d.remedy(err, api, ifRefused))
}

// why is the innermost cause of an error.
func why(err error) string {
	var e *access.Error
	for errors.As(err, &e) && e.Err != nil {
		err = e.Err
	}
	return err.Error()
}

// corrections are what to do when Google refuses the content of a call for good: to
// change the setting from which it comes.
var corrections = map[string]string{
	"cloudasset.googleapis.com": "set RESOURCE_SCOPE to an organization, folder or project that exists",
	"admin.googleapis.com": "set RESOURCE_CUSTOMER_ID to what this says: " +
		"gcloud organizations list --format 'value(owner.directoryCustomerId)'",
	"pubsub.googleapis.com": "correct NOTIFICATION_TOPIC",
}

// remedy is what to do about a failed call of an API: what was given if the service
// account was refused, otherwise what the failure itself asks for.
func (d *doctor) remedy(err error, api, ifRefused string) string {
	var e *access.Error
	for cause := err; errors.As(cause, &e); cause = e.Err {
		if id := e.Args["violation"]; id != "" {
			return "admit the service account to the VPC Service Controls perimeter; its log has the violation under " + id
		}
	}
	text, code := err.Error(), access.AsError(err).Code
	status, _ := gcp.Answer(err)
	switch {
	// The one message that every API has while it is switched off.
	case strings.Contains(text, "has not been used in project") || strings.Contains(text, "SERVICE_DISABLED"):
		return gcloud("services", "enable", api, "--project", d.Platform.Project)
	case strings.Contains(text, "generateAccessToken") || strings.Contains(text, "iam.serviceAccounts.getAccessToken"):
		return d.tokenCreator()
	// That there is no such thing Google says for the same reason.
	case code == access.CodeServiceNotAllowed, code == access.CodeSigningNotAllowed, code == access.CodeUnknownResource:
		return ifRefused
	case code == access.CodeQueryRefused:
		return d.set("AVAILABLE_PROJECTS_QUERY=QUERY") +
			"; https://cloud.google.com/resource-manager/reference/rest/v3/projects/search says what a query is"
	case status == http.StatusBadRequest:
		return cmp.Or(corrections[api], "trying again does not help: correct what this says is wrong")
	case code == access.CodeQuota:
		return "try again in a minute"
	}
	return "try again; if it stays so, see https://status.cloud.google.com and what the network lets out"
}

func (d *doctor) grant(on access.Resource, role string) string {
	command := []string{string(on.Kind()), "add-iam-policy-binding", on.Name(), "--member", d.member(), "--role", role, "--condition", "None"}
	if on.Kind() == "folders" {
		command = append([]string{"resource-manager"}, command...)
	}
	return gcloud(command...)
}

// tokenCreator lets the account sign, and take on further scopes, as itself.
func (d *doctor) tokenCreator() string {
	return gcloud("iam", "service-accounts", "add-iam-policy-binding", d.Platform.ServiceAccount,
		"--member", d.member(), "--role", "roles/iam.serviceAccountTokenCreator", "--project", d.Platform.Project)
}

// member is the service account as a binding has it.
func (d *doctor) member() string { return "serviceAccount:" + d.Platform.ServiceAccount }

func gcloud(args ...string) string { return "run: " + command(args...) }

// command is one of gcloud's, to be copied into a shell. Arguments may be Google's text.
func command(args ...string) string {
	line := "gcloud"
	for _, a := range args {
		if !plainArgument().MatchString(a) {
			a = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
		line += " " + a
	}
	return line
}

var plainArgument = lazyregexp.New(`^[A-Za-z0-9_./:=@,+-]+$`)
