package doctor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"jitaccess/internal/access"
)

// secrets is whether what channels need can be read from Secret Manager. A
// conversation with the mail server would not tell of all: it only signs what it sends.
func (d *doctor) secrets(ctx context.Context) {
	t, w := d.Settings.Chats, d.Settings.Messages
	d.secret(ctx, "SLACK_TOKEN", t.SlackToken.Version)
	d.secret(ctx, "GOOGLE_CHAT_WEBHOOK", t.GoogleWebhook.Version)
	d.secret(ctx, "TEAMS_WEBHOOK", t.TeamsWebhook.Version)
	d.secret(ctx, "WEBHOOK_URL", w.Webhooks.Version)
	d.secret(ctx, "WEBHOOK_SECRET", w.WebhookKeys.Version)
	d.secret(ctx, "METRICS_TOKEN", d.Settings.Metrics.Token.Version)
	d.secret(ctx, "OTEL_EXPORTER_OTLP_HEADERS", d.Settings.Traces.Headers.Version)
	if !d.Mailer.Enabled() {
		return
	}
	m, o := d.Settings.Mail, d.Settings.MailOAuth
	d.secret(ctx, "SMTP_SECRET", m.StoredPassword().Version)
	d.secret(ctx, "SMTP_OAUTH_CLIENT_SECRET", o.ClientSecret.Version)
	d.secret(ctx, "SMTP_OAUTH_REFRESH_TOKEN", o.RefreshToken.Version)
	d.secret(ctx, "SMTP_CA", m.CA.Version)
	d.secret(ctx, "SMTP_DKIM_KEY", m.DKIMKey.Version)
	d.secret(ctx, "IMAP_PASSWORD", d.Settings.Mailbox.Password.Version)
}

func (d *doctor) secret(ctx context.Context, variable, version string) {
	if version == "" {
		return
	}
	project, name := secretOf(version)
	_, err := d.Secret(ctx, version)
	if err == nil {
		d.ok("secret", "what %s names can be read: secret %s of project %s", variable, name, project)
		return
	}
	d.broken("secret", "what "+variable+" names cannot be read: "+why(err), d.readable(err, variable, version))
}

// readable is what makes a version of a secret readable.
func (d *doctor) readable(err error, variable, version string) string {
	project, name := secretOf(version)
	remedy := d.remedy(err, "secretmanager.googleapis.com", "if "+variable+" names the right secret, "+
		gcloud("secrets", "add-iam-policy-binding", name, "--project", project,
			"--member", d.member(), "--role", "roles/secretmanager.secretAccessor"))
	switch access.AsError(err).Code {
	case access.CodeUnknownResource:
		remedy = gcloud("secrets", "versions", "list", name, "--project", project)
	case access.CodeSecretUnusable:
		remedy = "add a version, or enable one, and let " + variable + " name it; run: " + storing("THE SECRET", name, project) +
			", or " + command("secrets", "versions", "enable", "VERSION", "--secret", name, "--project", project)
	}
	return remedy
}

// policyFile is whether the policy file can be read, and has nothing that the service
// would not take.
func (d *doctor) policyFile(ctx context.Context) {
	if d.PolicyFile == nil {
		return
	}
	const check = "policy file"
	version := d.Settings.Requests.Policy.Version
	err := d.PolicyFile(ctx)
	var refused *access.Error
	switch {
	case err == nil:
		d.ok(check, "what POLICY names is taken by the service")
	case !errors.As(err, &refused):
		d.broken(check, why(err), "correct it; jitaccess policy lint --env FILE finds the same without a service")
	case strings.Contains(version, "/parameters/"):
		parts := strings.Split(version, "/") // projects/P/locations/L/parameters/N/versions/V
		project, location, name := parts[1], parts[3], parts[5]
		list := command("parametermanager", "parameters", "versions", "list", "--parameter", name,
			"--location", location, "--project", project)
		remedy := d.remedy(err, "parametermanager.googleapis.com", "if POLICY names the right parameter, "+
			gcloud("projects", "add-iam-policy-binding", project, "--member", d.member(),
				"--role", "roles/parametermanager.parameterViewer", "--condition", "None"))
		if refused.Code == access.CodeUnknownResource || refused.Code == access.CodeSecretUnusable {
			remedy = "let POLICY name a version that is there and enabled; run: " + list
		}
		d.broken(check, "what POLICY names cannot be read: "+why(err), remedy)
	default:
		d.broken(check, "what POLICY names cannot be read: "+why(err), d.readable(err, "POLICY", version))
	}
	for _, project := range slices.Sorted(maps.Keys(d.above)) {
		err := d.above[project]
		d.warn(check, "what lies above "+string(project)+" cannot be read, so that rules about folders or the organization "+
			"refuse what they may be about: "+why(err), d.remedy(err, resourceManager, d.grant(d.Scope, "roles/browser")))
		break // the others are the same to mend
	}
}

func storing(text, secret, project string) string {
	return "printf %s '" + text + "' | " + command("secrets", "versions", "add", secret, "--project", project, "--data-file", "-")
}

// secretOf takes the path of a version apart, whose form config has checked:
// projects/P/secrets/S/versions/V.
func secretOf(path string) (project, name string) {
	parts := strings.Split(path, "/")
	return parts[1], parts[3]
}

// topic is whether messages can be published, asked without publishing any. The
// question needs no permission, and "may fail open"; about a topic that does not
// exist the answer is that nothing is allowed
// (https://cloud.google.com/pubsub/docs/reference/rest/v1/projects.topics/testIamPermissions).
func (d *doctor) topic(ctx context.Context) {
	const check, api, permission = "topic", "pubsub.googleapis.com", "pubsub.topics.publish"
	project, name, full := strings.Cut(strings.TrimPrefix(d.Settings.Messages.Topic, "projects/"), "/topics/")
	if !full {
		project, name = d.Platform.Project, project
	}
	if name == "" {
		return
	}
	topic := "projects/" + project + "/topics/" + name
	missing, err := d.missing(ctx, api, "/v1/"+topic, permission)
	switch {
	case err != nil:
		d.failed(check, "whether messages can be published to "+topic+" cannot be told", err, api, "")
	case missing != "":
		d.broken(check, "the service account lacks "+permission+" on "+topic+", or there is no such topic",
			gcloud("pubsub", "topics", "add-iam-policy-binding", name, "--project", project,
				"--member", d.member(), "--role", "roles/pubsub.publisher")+
				", if need be after: "+command("pubsub", "topics", "create", name, "--project", project))
	default:
		d.ok(check, "messages can be published to %s", topic)
	}
}

// mail goes through a conversation with the mail server, and sends a mail to SendTo.
func (d *doctor) mail(ctx context.Context) {
	if !d.Mailer.Enabled() {
		if d.SendTo != "" {
			d.broken("mail", "no mail can be sent: there is no sender", d.set("SMTP_SENDER_ADDRESS=ADDRESS"))
		}
		return
	}
	s := d.Settings.Mail
	server := fmt.Sprintf("%s:%d", s.Host, s.Port)
	err := d.Mailer.Probe(ctx, d.SendTo, func(step, found string) { d.ok("mail", "%s: %s: %s", server, step, found) })
	if err == nil {
		return
	}
	what, meaning, remedy := explained(err)
	if s.PasswordPath != "" && strings.Contains(remedy, "password") {
		project, name := secretOf(string(s.PasswordPath))
		remedy += " To store one: " + storing("THE PASSWORD", name, project)
	}
	d.broken("mail", server+": "+strings.TrimSuffix(what+": "+meaning, ": "), remedy)
}

// mailbox logs in to where mails come back to, and says what may be done there.
func (d *doctor) mailbox(ctx context.Context) {
	m := d.Settings.Mailbox
	if m.Host == "" {
		return
	}
	server := fmt.Sprintf("%s:%d", m.Host, m.Port)
	if err := d.Mailbox.Probe(ctx, func(step, found string) { d.ok("mailbox", "%s: %s: %s", server, step, found) }); err != nil {
		what, meaning, remedy := explained(err)
		d.broken("mailbox", server+": "+strings.TrimSuffix(what+": "+meaning, ": "), remedy)
	}
}

// explained is what an error of packages mail, mailbox and channel says it means.
func explained(err error) (what, meaning, remedy string) {
	var fault interface {
		Explain() (what, meaning, remedy string)
	}
	if errors.As(err, &fault) {
		return fault.Explain()
	}
	return why(err), "", ""
}

// channels is whether what is used for each channel can be read and, where it can be asked without
// sending anything, is good. A test message is sent where MessageTo is set.
func (d *doctor) channels(ctx context.Context) {
	for _, c := range d.Channels {
		if !c.Enabled() {
			continue
		}
		passed := func(step, found string) { d.ok(c.Name(), "%s: %s", step, found) }
		if d.MessageTo == "" {
			if err := c.Probe(ctx, passed); err != nil {
				what, meaning, remedy := explained(err)
				d.broken(c.Name(), strings.TrimSuffix(what+": "+meaning, ": "), remedy)
			}
			continue
		}
		for _, s := range c.Test(ctx, d.MessageTo) {
			if f := s.Failure; f != nil {
				d.broken(c.Name(), s.Name+": "+strings.TrimPrefix(f.What+": "+f.Meaning, ": "), f.Remedy)
			} else {
				passed(s.Name, s.Text)
			}
		}
	}
}
