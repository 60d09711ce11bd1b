// Package config reads the environment. Everything that can be wrong with the text
// is found at once, so that an operator corrects it in one go; nothing is asked of
// anybody else.
//
// The variables are those of JIT Access 1.x, read by its rules: values are trimmed,
// blank is unset, "true" in any case is true and all else is false. Each is a field
// of Config with tags:
//
//	env      its names; of several the first that is set counts
//	accept   what it may be, for the documentation and for a fault: "must be …"
//	default  what it is when unset, in the same notation
//	doc      what it does, in one line
//	min, max bounds of a number, in its unit
//	unit     of a duration: "minutes" or "seconds"
//	pattern  what a text must match in full
//	secret   "true" keeps what was read out of faults
//	file     "true": what is not the version of a secret is the path of a file
package config

import (
	"regexp"
	"time"

	"jitaccess/internal/addressmap"
)

// Config is the configuration of the service. It is plain data; Read makes it.
type Config struct {
	// Platform is where the service runs, and Service its name there.
	Platform Platform
	Service  string
	// Warnings are for the log at start: one sentence each, without secrets.
	Warnings []string

	Catalog     Catalog     `title:"What access is to"`
	Requests    Requests    `title:"Requests"`
	Identity    Identity    `title:"Who is who"`
	Server      Server      `title:"Server"`
	Mail        Mail        `title:"Mail"`
	MailOAuth   MailOAuth   `title:"Mail: logging in with OAuth 2"`
	Messages    Messages    `title:"Messages to machines"`
	Google      Google      `title:"Google Cloud"`
	Unavailable Unavailable `title:"Not available in this version"`
}

// Platform is where the service runs.
type Platform int

const (
	// Host is any machine that is not one of the others.
	Host Platform = iota
	// AppEngine is told by GAE_SERVICE.
	AppEngine
	// CloudRun is told by K_SERVICE.
	CloudRun
)

func (p Platform) String() string { return [...]string{"host", "App Engine", "Cloud Run"}[p] }

// What Catalog.Kind can be.
const (
	PolicyAnalyzer = "PolicyAnalyzer"
	AssetInventory = "AssetInventory"
)

// Catalog is where entitlements are looked up.
type Catalog struct {
	// Scope is empty when it is the project in which the service runs and no
	// variable names that.
	Scope         string `env:"RESOURCE_SCOPE" accept:"projects/ID, folders/NUMBER or organizations/NUMBER" doc:"The part of the organization whose projects people can get access to. Unset, it is the project in which the service runs: $GOOGLE_CLOUD_PROJECT, or where that is unset, as it usually is on Cloud Run, the project that the metadata server names."`
	Kind          string `env:"RESOURCE_CATALOG" default:"PolicyAnalyzer" accept:"PolicyAnalyzer or AssetInventory" doc:"How entitlements are found. PolicyAnalyzer resolves nested groups and needs Security Command Center Premium for more than 20 look-ups a day; AssetInventory needs RESOURCE_CUSTOMER_ID. Both need the Groups Reader role."`
	CustomerID    string `env:"RESOURCE_CUSTOMER_ID" pattern:"C[0-9A-Za-z]+" accept:"the customer id of Cloud Identity or Workspace: C and letters or digits, such as C0123abcd" doc:"Whose groups are looked up. Required for AssetInventory, and where ADMINS names a group."`
	ProjectsQuery string `env:"AVAILABLE_PROJECTS_QUERY" accept:"a query of Resource Manager's projects.search" doc:"Which projects people may choose from, everybody from the same. Unset, it is state:ACTIVE for AssetInventory; with PolicyAnalyzer everybody is offered the projects that they may see or be eligible on, at the cost of an analysis of the whole scope."`
}

// Requests is what holds for every request.
type Requests struct {
	MaxDuration          time.Duration  `env:"ELEVATION_DURATION,ACTIVATION_TIMEOUT" default:"120" unit:"minutes" min:"1" max:"525600" accept:"a whole number of minutes from 1 to 525600" doc:"The longest access."`
	Timeout              time.Duration  `env:"ACTIVATION_REQUEST_TIMEOUT" default:"60" unit:"minutes" min:"1" max:"525600" accept:"a whole number of minutes from 1 to 525600; more than 360 count as 360, because Google publishes the key of a signature for 6 hours" doc:"How long a request can be approved."`
	MinReviewers         int            `env:"ACTIVATION_REQUEST_MIN_REVIEWERS" default:"1" min:"1" max:"1000" accept:"a whole number from 1 to ACTIVATION_REQUEST_MAX_REVIEWERS" doc:"How many people must be asked, at least. One approval is enough."`
	MaxReviewers         int            `env:"ACTIVATION_REQUEST_MAX_REVIEWERS" default:"10" min:"1" max:"1000" accept:"a whole number from ACTIVATION_REQUEST_MIN_REVIEWERS to 1000" doc:"How many people can be asked, at most."`
	MaxRoles             int            `env:"ACTIVATION_REQUEST_MAX_ROLES" default:"10" min:"1" max:"1000" accept:"a whole number from 1 to 1000" doc:"How many roles can be activated together."`
	JustificationPattern *regexp.Regexp `env:"JUSTIFICATION_PATTERN" default:".*" accept:"an RE2 regular expression (https://github.com/google/re2/wiki/Syntax) of at most 1000 characters" doc:"What a justification must match, as a whole."`
	JustificationHint    string         `env:"JUSTIFICATION_HINT" default:"Bug or case number" accept:"text" doc:"Tells people what to give as the justification."`
	// Admins and Auditors are canonical: "user:ADDRESS", "group:ADDRESS".
	Admins   []string `env:"ADMINS" accept:"a comma-separated list of user:ADDRESS and group:ADDRESS" doc:"Who may end anyone's access, and open the page /mail, which shows the mail account and sends test messages. They approve nothing by it."`
	Auditors []string `env:"AUDITORS" accept:"a comma-separated list of user:ADDRESS and group:ADDRESS" doc:"Who may read everyone's history. Read, and not used in this version."`
}

// Identity is how callers are identified.
type Identity struct {
	BackendServiceID string   `env:"IAP_BACKEND_SERVICE_ID" pattern:"[0-9]{1,32}" accept:"the number of the load balancer's backend service" doc:"Cloud Run behind a load balancer: the backend service for which IAP makes its assertions. Leave it unset for IAP directly on Cloud Run."`
	Audiences        []string `env:"IAP_AUDIENCE" accept:"a comma-separated list of audiences that begin with /projects/" doc:"Exactly which audiences an IAP assertion may have. Unset, it is derived from the platform; required where the service runs on neither App Engine nor Cloud Run."`
	VerifyAudience   bool     `env:"IAP_VERIFY_AUDIENCE" default:"true" accept:"true or false" doc:"false accepts any audience of this project instead of exactly the one. Better set IAP_AUDIENCE, which makes this variable ineffective."`
}

// Server is the HTTP interface.
type Server struct {
	Port int `env:"PORT" default:"8080" min:"1" max:"65535" accept:"a port from 1 to 65535" doc:"Where to listen. The platform sets it."`
	// PublicURL is scheme and host, and port if it is not the usual one.
	PublicURL string `env:"PUBLIC_URL" accept:"https://HOST, without a path (http only for a loopback host)" doc:"The origin of links in mails. Unset, it is the host that a request came to, if that is certainly the platform's own name for the service; under any other host what must write a link is refused."`
}

// Mail is how people are told. There is none when SenderAddress is empty.
type Mail struct {
	SenderAddress string      `env:"SMTP_SENDER_ADDRESS" accept:"an address of the form local@domain" doc:"Who mails are from. Setting it turns mail on; without it the rest of this section has no effect."`
	SenderName    string      `env:"SMTP_SENDER_NAME" default:"JIT Access" accept:"text" doc:"The name beside that address."`
	Host          string      `env:"SMTP_HOST" default:"smtp.gmail.com" pattern:"[A-Za-z0-9._-]{1,253}|\\[?[0-9A-Fa-f:.]+\\]?" accept:"a host name or address, without a port" doc:"The mail server. Unset, with SMTP_OAUTH_TENANT, it is smtp.office365.com."`
	Port          int         `env:"SMTP_PORT" default:"587" min:"1" max:"65535" accept:"a port from 1 to 65535 other than 25, which Google Cloud blocks (25 only on a loopback host)" doc:"Its port. At 465 TLS begins with the first byte; at any other the connection begins in clear text, and STARTTLS is demanded."`
	StartTLS      bool        `env:"SMTP_ENABLE_STARTTLS" default:"true" accept:"true, unless SMTP_HOST is a loopback host: mail and password would be sent in clear text" doc:"Whether to demand STARTTLS."`
	Username      string      `env:"SMTP_USERNAME" accept:"text" doc:"Who logs in. Without it, or without a password, nobody does. With SMTP_AUTH=oauth2 it is the mailbox that the token is for; unset, the sender's address."`
	Password      Secret      `env:"SMTP_PASSWORD" accept:"text" secret:"true" doc:"The password. Better use SMTP_SECRET."`
	PasswordPath  SecretPath  `env:"SMTP_SECRET" accept:"projects/PROJECT/secrets/SECRET/versions/VERSION" secret:"true" doc:"The version of a secret in Secret Manager that holds the password. It takes precedence over SMTP_PASSWORD."`
	Options       MailOptions `env:"SMTP_OPTIONS" secret:"true" accept:"a comma-separated list of KEY=VALUE" doc:"Properties of JavaMail, which take precedence over the variables above: mail.smtp.host, .port, .connectiontimeout, .timeout and .writetimeout (in milliseconds), .ssl.enable (TLS from the first byte, as on port 465), .ssl.protocols, .starttls.enable, .starttls.required, .auth, .auth.mechanisms (PLAIN and LOGIN; for XOAUTH2 set SMTP_AUTH), .localhost (the name in EHLO) and .from (the return path). .ssl.trust and .ssl.checkserveridentity turn nothing off: the server's certificate is always verified. What is unknown has no effect and is named by a warning at start."`
	// AddressMapping is nil for none.
	AddressMapping *addressmap.Mapping `env:"SMTP_ADDRESS_MAPPING" accept:"an expression of CEL over user.email that gives a text; besides the standard functions it may use TEXT.extract(TEMPLATE)" doc:"Where a person's mail goes, when not to the address with which they sign in. Example: user.email.extract('{name}@example.com') + '@mail.example.com'. When it gives no address for a person, that person gets no mail, and the requester is told."`
	Auth           string              `env:"SMTP_AUTH" default:"password" pattern:"(?i)password|oauth2" accept:"password or oauth2" doc:"How to log in to the mail server: with the password, or with an access token (XOAUTH2), for which the next section says where it comes from."`
	ReplyTo        string              `env:"SMTP_REPLY_TO" accept:"an address of the form local@domain" doc:"Where replies go, when not to the sender."`
	ReturnPath     string              `env:"SMTP_RETURN_PATH" accept:"an address of the form local@domain" doc:"Where mail servers report what they could not deliver, when not to the sender. mail.smtp.from in SMTP_OPTIONS takes precedence."`
	ConfirmationTo string              `env:"SMTP_CONFIRMATION_TO" accept:"an address of the form local@domain" doc:"Asks mail programs to confirm to this address that a mail was read. Most ask their user first, or ignore it."`
	CA             StoredText          `env:"SMTP_CA" file:"true" accept:"the path of a file with certificates as PEM, or projects/PROJECT/secrets/SECRET/versions/VERSION" doc:"The certificates, as PEM, of those who may sign the mail server's certificate, instead of those whom the system trusts. A file is looked at when the service starts, a secret when the first mail is sent."`
	MaxConnections int                 `env:"SMTP_MAX_CONNECTIONS" default:"3" min:"1" max:"20" accept:"a whole number from 1 to 20" doc:"How many connections to the mail server an instance of the service has at once, at most. Exchange Online takes 3 of a mailbox. A connection is used for as many mails as there are, and kept for 10 seconds."`
	PerMinute      int                 `env:"SMTP_MESSAGES_PER_MINUTE" default:"30" min:"1" max:"10000" accept:"a whole number from 1 to 10000" doc:"How many mails an instance of the service sends within a minute, at most. Exchange Online takes 30 of a mailbox. Two thirds of them are for one person's requests and decisions, at most. What does not fit waits while the action that it belongs to has time, and is then reported as not sent."`
	DKIMSelector   string              `env:"SMTP_DKIM_SELECTOR" pattern:"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*" accept:"a selector, such as jitaccess" doc:"Has mails signed with DKIM for the sender's domain; the public key is at SELECTOR._domainkey.DOMAIN. It needs SMTP_DKIM_KEY. Mail servers of Google and Microsoft sign by themselves."`
	DKIMKey        StoredText          `env:"SMTP_DKIM_KEY" file:"true" secret:"true" accept:"projects/PROJECT/secrets/SECRET/versions/VERSION, or the path of a file, and not the key itself" doc:"The private key of that signature as PEM: RSA of 2048 bits or more, or Ed25519. Without it no mail is sent. It is read once by each instance of the service."`
	Proxy          Secret              `env:"ALL_PROXY,all_proxy" secret:"true" accept:"http://HOST:PORT, https://HOST:PORT or socks5://HOST:PORT, with USER:PASSWORD@ before the host if the proxy wants it (and what is special there as %XX)" doc:"The proxy through which the mail server is reached; one of http or https must permit CONNECT to the mail server's port. It sees no more of a mail than the network does. Google's APIs and token endpoints are reached through HTTPS_PROXY instead. A server on loopback is reached directly."`
	NoProxy        string              `env:"NO_PROXY,no_proxy" accept:"a comma-separated list of hosts (with all below them), .DOMAINS, addresses, networks such as 10.0.0.0/8, or *" doc:"What is reached without a proxy."`
	TimeZone       *time.Location      `env:"NOTIFICATION_TIMEZONE" default:"UTC" accept:"a region such as Europe/Berlin, an offset such as +10:00 or UTC+2, UTC, GMT or Z; upper and lower case matter" doc:"The time zone of times in mails."`
}

// MailOAuth is where the access token comes from with SMTP_AUTH=oauth2.
type MailOAuth struct {
	Tenant       string     `env:"SMTP_OAUTH_TENANT" pattern:"[A-Za-z0-9][A-Za-z0-9.-]{0,252}" accept:"the id of a tenant of Microsoft Entra, or one of its domains" doc:"Microsoft 365: the tenant. It sets the token URL, the scope, and SMTP_HOST, where those are unset."`
	ClientID     string     `env:"SMTP_OAUTH_CLIENT_ID" accept:"text" doc:"The id of the application that is registered with the mail provider; it needs SMTP_OAUTH_CLIENT_SECRET. Unset, the server is Google's, and SMTP_USERNAME is a mailbox for which the service account has domain-wide delegation: no key and no password exists then."`
	ClientSecret StoredText `env:"SMTP_OAUTH_CLIENT_SECRET" secret:"true" accept:"text, or projects/PROJECT/secrets/SECRET/versions/VERSION" doc:"The secret of that application."`
	RefreshToken StoredText `env:"SMTP_OAUTH_REFRESH_TOKEN" secret:"true" accept:"text, or projects/PROJECT/secrets/SECRET/versions/VERSION" doc:"The refresh token of the mailbox, where the application acts for it by consent, as with Google. Unset, the application logs in as itself (client credentials), as with Microsoft 365."`
	TokenURL     string     `env:"SMTP_OAUTH_TOKEN_URL" accept:"an https URL (http only for a loopback host)" doc:"Where the provider issues tokens. Unset, it is Microsoft's with a tenant, and Google's else."`
	Scope        string     `env:"SMTP_OAUTH_SCOPE" accept:"scopes, separated by spaces" doc:"What the token is for. Unset, it is https://outlook.office365.com/.default with a tenant, https://mail.google.com/ with the service account, and with a refresh token what was consented to. Another provider's has to be said."`
}

// Messages are how machines are told.
type Messages struct {
	Topic string `env:"NOTIFICATION_TOPIC" pattern:"(projects/([a-z0-9.-]+:)?[a-z0-9-]{1,63}/topics/)?[A-Za-z][A-Za-z0-9._~+-]{2,254}" accept:"the id of a Pub/Sub topic in the service's own project, or projects/PROJECT/topics/TOPIC" doc:"Where to publish what happens; docs/notifications.md lists the messages. The service account needs the Pub/Sub Publisher role on it."`
}

// Google is how Google Cloud is reached.
type Google struct {
	// Project is empty when only the metadata server knows.
	Project string `env:"GOOGLE_CLOUD_PROJECT" accept:"a project id" doc:"The project in which the service runs. App Engine sets it; unset, the metadata server is asked."`
	// ConnectTimeout, ReadTimeout and WriteTimeout are 0 for none of our own.
	ConnectTimeout time.Duration `env:"BACKEND_CONNECT_TIMEOUT" default:"5" unit:"seconds" min:"0" max:"3600" accept:"a whole number of seconds from 0 to 3600" doc:"How long to wait for a connection to a Google API; 0 is no limit of its own."`
	ReadTimeout    time.Duration `env:"BACKEND_READ_TIMEOUT" default:"20" unit:"seconds" min:"0" max:"3600" accept:"a whole number of seconds from 0 to 3600" doc:"How long to wait for its answer; 0 is no limit of its own."`
	WriteTimeout   time.Duration `env:"BACKEND_WRITE_TIMEOUT" default:"5" unit:"seconds" min:"0" max:"3600" accept:"a whole number of seconds from 0 to 3600" doc:"How long sending a request to it may take; 0 is no limit of its own."`
	// Endpoint is scheme, host and port.
	Endpoint     string `env:"JITACCESS_GOOGLE_ENDPOINT" accept:"http://HOST:PORT or https://HOST:PORT on a loopback host, without a path" doc:"Replaces the host of every Google API, for the sandbox and for tests. No credentials are sent to it unless GCE_METADATA_HOST is set."`
	MetadataHost string `env:"GCE_METADATA_HOST" accept:"HOST or HOST:PORT" doc:"Replaces the host of the metadata server."`
}

// Unavailable are variables of JIT Access 1.x, and of this service's plan, that
// have no effect yet. Whoever sets one expects something, so it is a fault.
type Unavailable struct {
	Database absent `env:"DATABASE_URL" secret:"true" accept:"unset: this version has no ledger" doc:"A database that remembers requests."`
	Policy   absent `env:"POLICY" accept:"unset: this version reads no policy file" doc:"A file that refines what activating a role takes."`
}

// absent is the type of a variable that must be unset.
type absent struct{}
