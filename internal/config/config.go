// Package config reads the environment. Everything that can be wrong with the text
// is found at once, so that an operator corrects it in one go; nobody else is asked.
//
// The variables are those of JIT Access 1.x, read by its rules: values are trimmed,
// blank is unset, "true" in any case is true and all else is false. Each is a field
// of Config with tags:
//
//	env      its names; of several the first that is set counts
//	default  what it is when unset, in the same notation
//	min, max bounds of a number, in its unit
//	unit     of a duration: "minutes" or "seconds"
//	pattern  what a text must match in full, or the name of such a pattern
//	secret   "true" keeps what was read out of faults
//	file     "true": what is not the version of a secret is the path of a file
//	parameter "true": it may also be the version of a parameter in Parameter Manager
package config

import (
	"regexp"
	"time"

	"jitaccess/internal/addressmap"
	"jitaccess/internal/gcp/quota"
)

// Config is the configuration of the service. It is plain data; Read makes it. Tags
// name the variable of a field; variables.txt says what it may be, and what it does.
type Config struct {
	// Platform is where the service runs, and Service its name there.
	Platform Platform
	Service  string
	// Warnings are for the log at start: one sentence each, without secrets.
	Warnings []string

	Catalog   Catalog      `title:"What access is to"`
	Pomerium  PomeriumZero `title:"What access is to: Pomerium Zero"`
	Requests  Requests     `title:"Requests"`
	Ledger    Ledger       `title:"Memory"`
	Identity  Identity     `title:"Who is who"`
	Apps      Applications `title:"Applications"`
	Server    Server       `title:"Server"`
	Mail      Mail         `title:"Mail"`
	MailOAuth MailOAuth    `title:"Mail: logging in with OAuth 2"`
	Mailbox   Mailbox      `title:"Mail that comes back"`
	Chats     Chats        `title:"Chats"`
	Messages  Messages     `title:"Messages to machines"`
	Google    Google       `title:"Google Cloud"`
	Metrics   Metrics      `title:"Metrics"`
	Traces    Traces       `title:"Traces"`
}

// Platform is where the service runs.
type Platform int

const (
	Host      Platform = iota // any machine that is not one of the others
	AppEngine                 // told by GAE_SERVICE
	CloudRun                  // told by K_SERVICE
)

func (p Platform) String() string { return [...]string{"host", "App Engine", "Cloud Run"}[p] }

// What Catalog.Kind can be.
const (
	PolicyAnalyzer = "PolicyAnalyzer"
	AssetInventory = "AssetInventory"
)

// Catalog is where entitlements are looked up.
type Catalog struct {
	// Scope is empty when it is the service's own project and no variable names that.
	Scope         string `env:"RESOURCE_SCOPE"`
	Kind          string `env:"RESOURCE_CATALOG" default:"PolicyAnalyzer"`
	CustomerID    string `env:"RESOURCE_CUSTOMER_ID" pattern:"C[0-9A-Za-z]+"`
	ProjectsQuery string `env:"AVAILABLE_PROJECTS_QUERY"`
}

// Requests is what holds for every request.
type Requests struct {
	MaxDuration          time.Duration  `env:"ELEVATION_DURATION,ACTIVATION_TIMEOUT" default:"120" unit:"minutes" min:"1" max:"525600"`
	Timeout              time.Duration  `env:"ACTIVATION_REQUEST_TIMEOUT" default:"60" unit:"minutes" min:"1" max:"525600"`
	MinReviewers         int            `env:"ACTIVATION_REQUEST_MIN_REVIEWERS" default:"1" min:"1" max:"1000"`
	MaxReviewers         int            `env:"ACTIVATION_REQUEST_MAX_REVIEWERS" default:"10" min:"1" max:"1000"`
	MaxRoles             int            `env:"ACTIVATION_REQUEST_MAX_ROLES" default:"10" min:"1" max:"1000"`
	JustificationPattern *regexp.Regexp `env:"JUSTIFICATION_PATTERN" default:".*"`
	JustificationHint    string         `env:"JUSTIFICATION_HINT" default:"Bug or case number"`
	// Admins and Auditors are canonical: "user:ADDRESS", "group:ADDRESS", "claim:NAME".
	Admins   []string `env:"ADMINS"`
	Auditors []string `env:"AUDITORS"`
	// Policy is where the policy file is kept; zero is none.
	Policy StoredText `env:"POLICY" file:"true" parameter:"true"`
}

// Ledger is where requests are remembered. There is none when Database is zero.
type Ledger struct {
	Database   StoredText `env:"DATABASE_URL" secret:"true"`
	SigningKey StoredText `env:"SIGNING_KEY" secret:"true"`
	// Retention is 0 where nothing is ever erased.
	Retention time.Duration `env:"LEDGER_RETENTION" unit:"days" min:"1" max:"36500"`
	// Reconciled once a week, and told to Requests.Admins.
	Reconciled bool `env:"WEEKLY_RECONCILE" default:"true"`
}

// Applications are programs that ask for access of people.
type Applications struct {
	SealKey StoredText `env:"SEAL_KEY" secret:"true"`
}

// Server is the HTTP interface.
type Server struct {
	Port int `env:"PORT" default:"8080" min:"1" max:"65535"`
	// PublicURL is scheme and host, and port if it is not the usual one.
	PublicURL string `env:"PUBLIC_URL"`
	// Serve is what is served: all of it where it is empty, or Machines.
	Serve string `env:"SERVE" pattern:"machines"`
	// MachinesURL is as PublicURL, of the service that serves Machines.
	MachinesURL string `env:"MACHINES_URL"`
	// Waiters is how many requests of applications may wait for a decision, per instance.
	Waiters int `env:"WAITERS" default:"40" min:"1" max:"100000"`
}

// Machines serves applications alone, and nobody in person.
const Machines = "machines"

// Mail is how people are told. There is none when SenderAddress is empty.
type Mail struct {
	SenderAddress string      `env:"SMTP_SENDER_ADDRESS"`
	SenderName    string      `env:"SMTP_SENDER_NAME" default:"JIT Access"`
	Host          string      `env:"SMTP_HOST" default:"smtp.gmail.com" pattern:"mail host"`
	Port          int         `env:"SMTP_PORT" default:"587" min:"1" max:"65535"`
	StartTLS      bool        `env:"SMTP_ENABLE_STARTTLS" default:"true"`
	Username      string      `env:"SMTP_USERNAME"`
	Password      Secret      `env:"SMTP_PASSWORD" secret:"true"`
	PasswordPath  SecretPath  `env:"SMTP_SECRET" secret:"true"`
	Options       MailOptions `env:"SMTP_OPTIONS" secret:"true"`
	// AddressMapping is nil for none.
	AddressMapping *addressmap.Mapping `env:"SMTP_ADDRESS_MAPPING"`
	Auth           string              `env:"SMTP_AUTH" default:"password" pattern:"(?i)password|oauth2"`
	ReplyTo        string              `env:"SMTP_REPLY_TO"`
	ReturnPath     string              `env:"SMTP_RETURN_PATH"`
	ConfirmationTo string              `env:"SMTP_CONFIRMATION_TO"`
	CA             StoredText          `env:"SMTP_CA" file:"true"`
	MaxConnections int                 `env:"SMTP_MAX_CONNECTIONS" default:"3" min:"1" max:"20"`
	PerMinute      int                 `env:"SMTP_MESSAGES_PER_MINUTE" default:"30" min:"1" max:"10000"`
	DKIMSelector   string              `env:"SMTP_DKIM_SELECTOR" pattern:"selector"`
	DKIMKey        StoredText          `env:"SMTP_DKIM_KEY" file:"true" secret:"true"`
	Proxy          Secret              `env:"ALL_PROXY,all_proxy" secret:"true"`
	NoProxy        string              `env:"NO_PROXY,no_proxy"`
	TimeZone       *time.Location      `env:"NOTIFICATION_TIMEZONE" default:"UTC"`
	// Locale is the tag of a language that there is, of mails and of what is told in chats.
	Locale string `env:"LOCALE" default:"en" pattern:"language"`
}

// MailOAuth is where the access token comes from with SMTP_AUTH=oauth2.
type MailOAuth struct {
	Tenant       string     `env:"SMTP_OAUTH_TENANT" pattern:"[A-Za-z0-9][A-Za-z0-9.-]{0,252}"`
	ClientID     string     `env:"SMTP_OAUTH_CLIENT_ID"`
	ClientSecret StoredText `env:"SMTP_OAUTH_CLIENT_SECRET" secret:"true"`
	RefreshToken StoredText `env:"SMTP_OAUTH_REFRESH_TOKEN" secret:"true"`
	TokenURL     string     `env:"SMTP_OAUTH_TOKEN_URL"`
	Scope        string     `env:"SMTP_OAUTH_SCOPE"`
}

// Mailbox is where reports of mails that came back are read. There is none when Host is empty.
// Its server is reached, and its certificate trusted, as the mail server's.
type Mailbox struct {
	Host     string     `env:"IMAP_HOST" pattern:"mail host"`
	Port     int        `env:"IMAP_PORT" default:"993" min:"1" max:"65535"`
	Username string     `env:"IMAP_USERNAME"`
	Password StoredText `env:"IMAP_PASSWORD" secret:"true"`
	Folder   string     `env:"IMAP_FOLDER" default:"INBOX"`
	Keep     bool       `env:"IMAP_KEEP_COPIES" default:"true"`
}

// Chats are where people are told besides mail. There is none of those whose secret is zero.
type Chats struct {
	SlackToken    StoredText `env:"SLACK_TOKEN" secret:"true"`
	SlackChannel  string     `env:"SLACK_CHANNEL" pattern:"#[^\\s/#@<>&]{1,80}|[CG][A-Z0-9]{7,20}"`
	GoogleWebhook StoredText `env:"GOOGLE_CHAT_WEBHOOK" secret:"true"`
	TeamsWebhook  StoredText `env:"TEAMS_WEBHOOK" secret:"true"`
	// ShowReason is whether they carry what people wrote.
	ShowReason bool `env:"CHANNELS_SHOW_REASON" default:"true"`
	// Endpoint is scheme, host and port.
	Endpoint string `env:"JITACCESS_CHAT_ENDPOINT"`
}

// Messages are how machines are told.
type Messages struct {
	Topic string `env:"NOTIFICATION_TOPIC" pattern:"(projects/([a-z0-9.-]+:)?[a-z0-9-]{1,63}/topics/)?[A-Za-z][A-Za-z0-9._~+-]{2,254}"`
	// Webhooks are where webhooks go, and WebhookKeys sign them.
	Webhooks        StoredText `env:"WEBHOOK_URL" secret:"true"`
	WebhookKeys     StoredText `env:"WEBHOOK_SECRET" secret:"true"`
	WebhooksPrivate bool       `env:"WEBHOOK_ALLOW_PRIVATE" default:"false"`
}

// Google is how Google Cloud is reached.
type Google struct {
	// Used is whether it is used at all; see checkProviders.
	Used bool
	// Project is empty when only the metadata server knows.
	Project string `env:"GOOGLE_CLOUD_PROJECT"`
	// ConnectTimeout, ReadTimeout and WriteTimeout are 0 for none of our own.
	ConnectTimeout time.Duration `env:"BACKEND_CONNECT_TIMEOUT" default:"5" unit:"seconds" min:"0" max:"3600"`
	ReadTimeout    time.Duration `env:"BACKEND_READ_TIMEOUT" default:"20" unit:"seconds" min:"0" max:"3600"`
	WriteTimeout   time.Duration `env:"BACKEND_WRITE_TIMEOUT" default:"5" unit:"seconds" min:"0" max:"3600"`
	// Quotas are Google's where it allows something else than it documents.
	Quotas quota.Limits `env:"GOOGLE_QUOTAS"`
	// Endpoint is scheme, host and port.
	Endpoint     string `env:"JITACCESS_GOOGLE_ENDPOINT"`
	MetadataHost string `env:"GCE_METADATA_HOST"`
}

// Metrics are what scrapers read. There are none when Address is empty.
type Metrics struct {
	// Address is where they are served, as net.Listen takes it.
	Address string     `env:"METRICS_ADDRESS"`
	Token   StoredText `env:"METRICS_TOKEN" secret:"true"`
}

// Traces are what the standard variables of OpenTelemetry say of them; see Used.
type Traces struct {
	// Endpoint is where they go, in full.
	Endpoint        string     `env:"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT,OTEL_EXPORTER_OTLP_ENDPOINT"`
	Headers         StoredText `env:"OTEL_EXPORTER_OTLP_TRACES_HEADERS,OTEL_EXPORTER_OTLP_HEADERS" secret:"true"`
	Protocol        string     `env:"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL,OTEL_EXPORTER_OTLP_PROTOCOL" default:"http/protobuf"`
	Compression     string     `env:"OTEL_EXPORTER_OTLP_TRACES_COMPRESSION,OTEL_EXPORTER_OTLP_COMPRESSION" default:"none"`
	Milliseconds    int        `env:"OTEL_EXPORTER_OTLP_TRACES_TIMEOUT,OTEL_EXPORTER_OTLP_TIMEOUT" default:"10000" min:"1" max:"600000"`
	Exporter        string     `env:"OTEL_TRACES_EXPORTER" default:"otlp"`
	Sampler         string     `env:"OTEL_TRACES_SAMPLER" default:"parentbased_always_on"`
	SamplerArgument string     `env:"OTEL_TRACES_SAMPLER_ARG"`
	Propagators     []string   `env:"OTEL_PROPAGATORS"`
	ServiceName     string     `env:"OTEL_SERVICE_NAME"`
	Resource        string     `env:"OTEL_RESOURCE_ATTRIBUTES"`
	Disabled        bool       `env:"OTEL_SDK_DISABLED" default:"false"`
}
