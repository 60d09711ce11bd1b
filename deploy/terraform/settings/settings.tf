# The settings of docs/configuration.md, one variable each. This file is made from the source:
# go test ./internal/config -update. What is not set here is not set in the service.

# What access is to

variable "resource_scope" {
  description = "RESOURCE_SCOPE: projects/ID, folders/NUMBER or organizations/NUMBER. The part of the organization whose projects people can get access to. Unset, it is the project in which the service runs: $GOOGLE_CLOUD_PROJECT, or where that is unset, as it usually is on Cloud Run, the project that the metadata server names. A folder or organization itself is given out where a rule of POLICY names it, and it is or lies in this."
  type        = string
  default     = null

  validation {
    condition     = var.resource_scope == null ? true : can(regex("^(?:projects/(?:[a-z0-9.-]+:)?[a-z0-9-]{1,63}|(folders|organizations)/[0-9]{1,32})?$", var.resource_scope))
    error_message = "RESOURCE_SCOPE must be projects/ID, folders/NUMBER or organizations/NUMBER."
  }
}

variable "resource_catalog" {
  description = "RESOURCE_CATALOG: PolicyAnalyzer or AssetInventory. How entitlements are found. PolicyAnalyzer resolves nested groups and needs Security Command Center Premium for more than 20 look-ups a day; AssetInventory needs RESOURCE_CUSTOMER_ID. Both need the Groups Reader role. When unset: PolicyAnalyzer."
  type        = string
  default     = null

  validation {
    condition     = var.resource_catalog == null ? true : can(regex("^(?:(?i:PolicyAnalyzer|AssetInventory))?$", var.resource_catalog))
    error_message = "RESOURCE_CATALOG must be PolicyAnalyzer or AssetInventory."
  }
}

variable "resource_customer_id" {
  description = "RESOURCE_CUSTOMER_ID: the customer id of Cloud Identity or Workspace: C and letters or digits, such as C0123abcd. Whose groups are looked up. Required for AssetInventory, and where ADMINS names a group."
  type        = string
  default     = null

  validation {
    condition     = var.resource_customer_id == null ? true : can(regex("^(?:C[0-9A-Za-z]+)?$", var.resource_customer_id))
    error_message = "RESOURCE_CUSTOMER_ID must be the customer id of Cloud Identity or Workspace: C and letters or digits, such as C0123abcd."
  }
}

variable "available_projects_query" {
  description = "AVAILABLE_PROJECTS_QUERY: a query of Resource Manager's projects.search. Which projects people may choose from, everybody from the same. Unset, it is state:ACTIVE for AssetInventory; with PolicyAnalyzer everybody is offered the projects that they may see or be eligible on, at the cost of an analysis of the whole scope."
  type        = string
  default     = null
}

# What access is to: Pomerium Zero

variable "api_user_token" {
  description = "API_USER_TOKEN: the version of a secret, projects/PROJECT/secrets/SECRET/versions/VERSION. Setting it, with the next two, gives access through policies of that cluster (docs/pomerium.md). It is renewed by itself."
  type        = string
  default     = null

  validation {
    condition     = var.api_user_token == null ? true : can(regex("^(?:projects/(?:[a-z0-9.-]+:)?[a-z0-9-]{1,63}/secrets/[A-Za-z0-9_-]{1,255}/versions/[A-Za-z0-9_-]{1,63})?$", var.api_user_token))
    error_message = "API_USER_TOKEN must be the version of a secret, projects/PROJECT/secrets/SECRET/versions/VERSION."
  }
}

variable "organization_id" {
  description = "ORGANIZATION_ID: the id of the organization in Pomerium Zero: letters, digits, - and _. Whose cluster it is."
  type        = string
  default     = null

  validation {
    condition     = var.organization_id == null ? true : can(regex("^(?:[A-Za-z0-9_-]{1,100})?$", var.organization_id))
    error_message = "ORGANIZATION_ID must be the id of the organization in Pomerium Zero: letters, digits, - and _."
  }
}

variable "cluster_id" {
  description = "CLUSTER_ID: the id of the cluster in Pomerium Zero: letters, digits, - and _. The cluster that has the policies."
  type        = string
  default     = null

  validation {
    condition     = var.cluster_id == null ? true : can(regex("^(?:[A-Za-z0-9_-]{1,100})?$", var.cluster_id))
    error_message = "CLUSTER_ID must be the id of the cluster in Pomerium Zero: letters, digits, - and _."
  }
}

variable "pomerium_apply_changesets" {
  description = "POMERIUM_APPLY_CHANGESETS: true or false. Where the cluster does not apply changes by itself, whether a grant applies what waits to be applied, which may also be somebody else's change. false says that the grant waits. When unset: false."
  type        = bool
  default     = null
}

variable "pomerium_policy_ids" {
  description = "POMERIUM_POLICY_IDS: a comma-separated list of NAME=ID. The ids of policies, by the names of their resources (pomerium/NAME). Needed only where several policies of the cluster have one name, or where a policy is called otherwise in Pomerium."
  type        = list(string)
  default     = null

  validation {
    condition     = var.pomerium_policy_ids == null ? true : length([for each in var.pomerium_policy_ids : each if !can(regex("^(?:[a-z0-9-][a-z0-9._-]{0,62}=[A-Za-z0-9_-]{1,128})?$", each))]) == 0
    error_message = "POMERIUM_POLICY_IDS must be a comma-separated list of NAME=ID."
  }
}

# Requests

variable "elevation_duration" {
  description = "ELEVATION_DURATION: a whole number of minutes from 1 to 525600. The longest access. When unset: 120."
  type        = number
  default     = null

  validation {
    condition     = var.elevation_duration == null ? true : var.elevation_duration >= 1 && var.elevation_duration <= 525600 && floor(var.elevation_duration) == var.elevation_duration
    error_message = "ELEVATION_DURATION must be a whole number of minutes from 1 to 525600."
  }
}

variable "activation_request_timeout" {
  description = "ACTIVATION_REQUEST_TIMEOUT: a whole number of minutes from 1 to 525600; without DATABASE_URL more than 360 count as 360, because Google publishes the key of a signature for 6 hours. How long a request can be approved. When unset: 60."
  type        = number
  default     = null

  validation {
    condition     = var.activation_request_timeout == null ? true : var.activation_request_timeout >= 1 && var.activation_request_timeout <= 525600 && floor(var.activation_request_timeout) == var.activation_request_timeout
    error_message = "ACTIVATION_REQUEST_TIMEOUT must be a whole number of minutes from 1 to 525600; without DATABASE_URL more than 360 count as 360, because Google publishes the key of a signature for 6 hours."
  }
}

variable "activation_request_min_reviewers" {
  description = "ACTIVATION_REQUEST_MIN_REVIEWERS: a whole number from 1 to ACTIVATION_REQUEST_MAX_REVIEWERS. How many people must be asked, at least. One approval is enough. When unset: 1."
  type        = number
  default     = null

  validation {
    condition     = var.activation_request_min_reviewers == null ? true : var.activation_request_min_reviewers >= 1 && var.activation_request_min_reviewers <= 1000 && floor(var.activation_request_min_reviewers) == var.activation_request_min_reviewers
    error_message = "ACTIVATION_REQUEST_MIN_REVIEWERS must be a whole number from 1 to ACTIVATION_REQUEST_MAX_REVIEWERS."
  }
}

variable "activation_request_max_reviewers" {
  description = "ACTIVATION_REQUEST_MAX_REVIEWERS: a whole number from ACTIVATION_REQUEST_MIN_REVIEWERS to 1000. How many people can be asked, at most. When unset: 10."
  type        = number
  default     = null

  validation {
    condition     = var.activation_request_max_reviewers == null ? true : var.activation_request_max_reviewers >= 1 && var.activation_request_max_reviewers <= 1000 && floor(var.activation_request_max_reviewers) == var.activation_request_max_reviewers
    error_message = "ACTIVATION_REQUEST_MAX_REVIEWERS must be a whole number from ACTIVATION_REQUEST_MIN_REVIEWERS to 1000."
  }
}

variable "activation_request_max_roles" {
  description = "ACTIVATION_REQUEST_MAX_ROLES: a whole number from 1 to 1000. How many roles can be activated together. When unset: 10."
  type        = number
  default     = null

  validation {
    condition     = var.activation_request_max_roles == null ? true : var.activation_request_max_roles >= 1 && var.activation_request_max_roles <= 1000 && floor(var.activation_request_max_roles) == var.activation_request_max_roles
    error_message = "ACTIVATION_REQUEST_MAX_ROLES must be a whole number from 1 to 1000."
  }
}

variable "justification_pattern" {
  description = "JUSTIFICATION_PATTERN: an RE2 regular expression (https://github.com/google/re2/wiki/Syntax) of at most 1000 characters. What a justification must match, as a whole. When unset: .*."
  type        = string
  default     = null

  validation {
    condition     = var.justification_pattern == null ? true : length(var.justification_pattern) <= 1000
    error_message = "JUSTIFICATION_PATTERN must be an RE2 regular expression (https://github.com/google/re2/wiki/Syntax) of at most 1000 characters."
  }
}

variable "justification_hint" {
  description = "JUSTIFICATION_HINT: text. Tells people what to give as the justification. When unset: Bug or case number."
  type        = string
  default     = null
}

variable "admins" {
  description = "ADMINS: a comma-separated list of claim:NAME, user:ADDRESS and group:ADDRESS. Who may end anyone's access, and open the page /notifications, which shows how people are told and sends test messages. They approve nothing by it, except on Pomerium's resources where no policy file has entitlements for those."
  type        = list(string)
  default     = null

  validation {
    condition     = var.admins == null ? true : length([for each in var.admins : each if !can(regex("^(?:(user|group):\\s*[^@\\s]+@[^@\\s]+\\s*|claim:\\S.*)?$", each))]) == 0
    error_message = "ADMINS must be a comma-separated list of claim:NAME, user:ADDRESS and group:ADDRESS."
  }
}

variable "auditors" {
  description = "AUDITORS: a comma-separated list of claim:NAME, user:ADDRESS and group:ADDRESS. Who may read everyone's history, which there is with DATABASE_URL."
  type        = list(string)
  default     = null

  validation {
    condition     = var.auditors == null ? true : length([for each in var.auditors : each if !can(regex("^(?:(user|group):\\s*[^@\\s]+@[^@\\s]+\\s*|claim:\\S.*)?$", each))]) == 0
    error_message = "AUDITORS must be a comma-separated list of claim:NAME, user:ADDRESS and group:ADDRESS."
  }
}

variable "policy" {
  description = "POLICY: projects/PROJECT/secrets/SECRET/versions/VERSION, projects/PROJECT/locations/LOCATION/parameters/PARAMETER/versions/VERSION, or the path of a file. A file that refines what activating a role takes (policy.md). It is read again every minute; name a version, not \"latest\"."
  type        = string
  default     = null

  validation {
    condition     = var.policy == null ? true : can(regex("^(?:projects/(?:[a-z0-9.-]+:)?[a-z0-9-]{1,63}/secrets/[A-Za-z0-9_-]{1,255}/versions/[A-Za-z0-9_-]{1,63}|projects/(?:[a-z0-9.-]+:)?[a-z0-9-]{1,63}/locations/[a-z0-9-]{1,63}/parameters/[A-Za-z0-9_-]{1,63}/versions/[A-Za-z0-9_-]{1,63})$", var.policy)) || !can(regex("^projects/|://", var.policy))
    error_message = "POLICY must be projects/PROJECT/secrets/SECRET/versions/VERSION, projects/PROJECT/locations/LOCATION/parameters/PARAMETER/versions/VERSION, or the path of a file."
  }
}

# Memory

variable "database_url" {
  description = "DATABASE_URL: the version of a secret, projects/PROJECT/secrets/SECRET/versions/VERSION. A database that remembers requests; without one a request is its link, which is possible with Google Cloud alone. Without Google Cloud it is sqlite: when unset. sqlite: alone is jitaccess.db in the working directory, which must be one that outlives the container (ledger.md); App Engine and Cloud Run have no disk for it. To a socket of Cloud SQL, postgres://ACCOUNT@/DATABASE?host=/cloudsql/PROJECT:REGION:INSTANCE, the service account logs in with its token; Firestore it uses as itself, in the service's own project unless another is named, and (default) is a database too. Links do not open in JIT Access 1.x any more once it is on."
  type        = string
  default     = null

  validation {
    condition     = var.database_url == null ? true : can(regex("^(?:projects/(?:[a-z0-9.-]+:)?[a-z0-9-]{1,63}/secrets/[A-Za-z0-9_-]{1,255}/versions/[A-Za-z0-9_-]{1,63})?$", var.database_url))
    error_message = "DATABASE_URL must be the version of a secret, projects/PROJECT/secrets/SECRET/versions/VERSION."
  }
}

variable "signing_key" {
  description = "SIGNING_KEY: the version of a secret, projects/PROJECT/secrets/SECRET/versions/VERSION. What approvals in the database are signed with, so that whoever can only write the database can approve nothing. Unset, the service account signs at Google, a call for each (without Google Cloud and with PostgreSQL it must be set), and a request, with its start, can lie at most 6 hours ahead. For sqlite it is made when unset, in the file PATH.key beside the database, and whoever can write that folder can approve."
  type        = string
  default     = null

  validation {
    condition     = var.signing_key == null ? true : can(regex("^(?:projects/(?:[a-z0-9.-]+:)?[a-z0-9-]{1,63}/secrets/[A-Za-z0-9_-]{1,255}/versions/[A-Za-z0-9_-]{1,63})?$", var.signing_key))
    error_message = "SIGNING_KEY must be the version of a secret, projects/PROJECT/secrets/SECRET/versions/VERSION."
  }
}

variable "ledger_retention" {
  description = "LEDGER_RETENTION: a whole number of days from 1 to 36500. After how long personal data of requests that are over is erased from the database. Unset, nothing is."
  type        = number
  default     = null

  validation {
    condition     = var.ledger_retention == null ? true : var.ledger_retention >= 1 && var.ledger_retention <= 36500 && floor(var.ledger_retention) == var.ledger_retention
    error_message = "LEDGER_RETENTION must be a whole number of days from 1 to 36500."
  }
}

variable "weekly_reconcile" {
  description = "WEEKLY_RECONCILE: true or false. Whether all access that stands is held once a week against what the database remembers, as jitaccess reconcile does it (docs/ledger.md). ADMINS are told what differs, and what could not be looked at; nothing where all is as it is remembered. It needs DATABASE_URL. When unset: true."
  type        = bool
  default     = null
}

# Who is who

variable "identity" {
  description = "IDENTITY: one of iap, pomerium, cloudflare, alb, jwt and oidc. Who says who somebody is: Identity-Aware Proxy, Pomerium, Cloudflare Access, an Application Load Balancer of AWS, any proxy that passes a signed token on, or a login of the service's own with an OpenID Connect provider. identity.md has each of them. Unset, it is iap on App Engine and Cloud Run and where IAP_AUDIENCE is set, and pomerium where JWKS_ENDPOINT is. A header that is not signed is never read, whatever its name: whoever reaches the port can write it."
  type        = string
  default     = null

  validation {
    condition     = var.identity == null ? true : can(regex("^(?:iap|pomerium|cloudflare|alb|jwt|oidc)?$", var.identity))
    error_message = "IDENTITY must be one of iap, pomerium, cloudflare, alb, jwt and oidc."
  }
}

variable "identity_audience" {
  description = "IDENTITY_AUDIENCE: pomerium: the host of the route; cloudflare: the application's Audience Tag; alb: the client id that the load balancer has at its provider; jwt: the aud claim. For whom an assertion has to be made, exactly; one for another application is refused. Unset, with pomerium, it is the host of PUBLIC_URL."
  type        = string
  default     = null

  validation {
    condition     = var.identity_audience == null ? true : can(regex("^(?:[!-~]{1,500})?$", var.identity_audience))
    error_message = "IDENTITY_AUDIENCE must be pomerium: the host of the route; cloudflare: the application's Audience Tag; alb: the client id that the load balancer has at its provider; jwt: the aud claim."
  }
}

variable "identity_max_age" {
  description = "IDENTITY_MAX_AGE: a whole number of minutes from 1 to 43200. How old an assertion may be, whatever it says itself. Unset, it is 10 minutes with iap, pomerium and alb, 60 with jwt, and 1440 with cloudflare, whose assertions live as long as the session. Groups of an assertion are as old as it is."
  type        = number
  default     = null

  validation {
    condition     = var.identity_max_age == null ? true : var.identity_max_age >= 1 && var.identity_max_age <= 43200 && floor(var.identity_max_age) == var.identity_max_age
    error_message = "IDENTITY_MAX_AGE must be a whole number of minutes from 1 to 43200."
  }
}

variable "identity_groups_claim" {
  description = "IDENTITY_GROUPS_CLAIM: the name of a claim. The claim of an assertion that has somebody's groups, such as groups. Each is spelled claim:NAME in the policy file, in ADMINS and in AUDITORS. Unset, assertions have no groups."
  type        = string
  default     = null

  validation {
    condition     = var.identity_groups_claim == null ? true : can(regex("^(?:[!-~]{1,200})?$", var.identity_groups_claim))
    error_message = "IDENTITY_GROUPS_CLAIM must be the name of a claim."
  }
}

variable "iap_audience" {
  description = "IAP_AUDIENCE: a comma-separated list of audiences that begin with /projects/. Exactly which audiences an IAP assertion may have. Unset, it is derived from the platform; required where the service runs on neither App Engine nor Cloud Run."
  type        = list(string)
  default     = null

  validation {
    condition     = var.iap_audience == null ? true : length([for each in var.iap_audience : each if !can(regex("^(?:/projects/\\S*)?$", each))]) == 0
    error_message = "IAP_AUDIENCE must be a comma-separated list of audiences that begin with /projects/."
  }
}

variable "iap_verify_audience" {
  description = "IAP_VERIFY_AUDIENCE: true or false. false accepts any audience of this project instead of exactly the one. Better set IAP_AUDIENCE, which makes this variable ineffective. When unset: true."
  type        = bool
  default     = null
}

variable "jwks_endpoint" {
  description = "JWKS_ENDPOINT: an https URL (http only for a loopback host; of any other host it is fetched by https). Pomerium: where the route's public keys are, https://HOST/.well-known/pomerium/jwks.json. Of such an address HOST is also the origin of links where PUBLIC_URL is unset."
  type        = string
  default     = null

  validation {
    condition     = var.jwks_endpoint == null ? true : can(regex("^(?:https?://[^@\\s]+)?$", var.jwks_endpoint))
    error_message = "JWKS_ENDPOINT must be an https URL (http only for a loopback host; of any other host it is fetched by https)."
  }
}

variable "cloudflare_team" {
  description = "CLOUDFLARE_TEAM: the team name, which is what stands before .cloudflareaccess.com. Cloudflare Access: whose assertions, and whose keys."
  type        = string
  default     = null

  validation {
    condition     = var.cloudflare_team == null ? true : can(regex("^(?:[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)?$", var.cloudflare_team))
    error_message = "CLOUDFLARE_TEAM must be the team name, which is what stands before .cloudflareaccess.com."
  }
}

variable "alb_arn" {
  description = "ALB_ARN: the ARN of an Application Load Balancer, arn:aws:elasticloadbalancing:REGION:ACCOUNT:loadbalancer/app/NAME/ID. Load balancer of AWS: the only one that is believed. All of a region share a key server, so that nothing else tells yours from a stranger's."
  type        = string
  default     = null

  validation {
    condition     = var.alb_arn == null ? true : can(regex("^(?:arn:aws(-us-gov)?:elasticloadbalancing:[a-z]{2}(-[a-z]+)+-[0-9]:[0-9]{12}:loadbalancer/app/[A-Za-z0-9-]{1,32}/[0-9a-f]{16})?$", var.alb_arn))
    error_message = "ALB_ARN must be the ARN of an Application Load Balancer, arn:aws:elasticloadbalancing:REGION:ACCOUNT:loadbalancer/app/NAME/ID."
  }
}

variable "identity_header" {
  description = "IDENTITY_HEADER: the name of a header. Signed token of any proxy: the header that has it. In Authorization it is expected behind the word Bearer."
  type        = string
  default     = null

  validation {
    condition     = var.identity_header == null ? true : can(regex("^(?:[A-Za-z0-9]+(-[A-Za-z0-9]+)*)?$", var.identity_header))
    error_message = "IDENTITY_HEADER must be the name of a header."
  }
}

variable "identity_issuer" {
  description = "IDENTITY_ISSUER: text; an https URL where IDENTITY_JWKS is unset (http only for a loopback host). Its iss claim, to the letter."
  type        = string
  default     = null

  validation {
    condition     = var.identity_issuer == null ? true : can(regex("^(?:[!-~]{1,500})?$", var.identity_issuer))
    error_message = "IDENTITY_ISSUER must be text; an https URL where IDENTITY_JWKS is unset (http only for a loopback host)."
  }
}

variable "identity_jwks" {
  description = "IDENTITY_JWKS: an https URL (http only for a loopback host; of any other host it is fetched by https). Where the issuer's public keys are. Unset, it is what IDENTITY_ISSUER/.well-known/openid-configuration names."
  type        = string
  default     = null

  validation {
    condition     = var.identity_jwks == null ? true : can(regex("^(?:https?://[^@\\s]+)?$", var.identity_jwks))
    error_message = "IDENTITY_JWKS must be an https URL (http only for a loopback host; of any other host it is fetched by https)."
  }
}

variable "identity_algorithms" {
  description = "IDENTITY_ALGORITHMS: RS256, ES256, or both, separated by a comma. How it may be signed. Others, those with a shared secret among them, are never accepted. When unset: RS256."
  type        = list(string)
  default     = null

  validation {
    condition     = var.identity_algorithms == null ? true : length([for each in var.identity_algorithms : each if !can(regex("^(?:RS256|ES256)?$", each))]) == 0
    error_message = "IDENTITY_ALGORITHMS must be RS256, ES256, or both, separated by a comma."
  }
}

variable "identity_email_claim" {
  description = "IDENTITY_EMAIL_CLAIM: the name of a claim. The claim that has the e-mail address by which people are known. When unset: email."
  type        = string
  default     = null

  validation {
    condition     = var.identity_email_claim == null ? true : can(regex("^(?:[!-~]{1,200})?$", var.identity_email_claim))
    error_message = "IDENTITY_EMAIL_CLAIM must be the name of a claim."
  }
}

variable "identity_subject_claim" {
  description = "IDENTITY_SUBJECT_CLAIM: the name of a claim. The claim that stays the same when that address changes. When unset: sub."
  type        = string
  default     = null

  validation {
    condition     = var.identity_subject_claim == null ? true : can(regex("^(?:[!-~]{1,200})?$", var.identity_subject_claim))
    error_message = "IDENTITY_SUBJECT_CLAIM must be the name of a claim."
  }
}

variable "oidc_issuer" {
  description = "OIDC_ISSUER: an https URL, without a query (http only for a loopback host). Login of the service's own: the provider, to the letter as it calls itself."
  type        = string
  default     = null

  validation {
    condition     = var.oidc_issuer == null ? true : can(regex("^(?:https://[^/?#@\\s]+(/[^?#\\s]*)?)?$", var.oidc_issuer))
    error_message = "OIDC_ISSUER must be an https URL, without a query (http only for a loopback host)."
  }
}

variable "oidc_client_id" {
  description = "OIDC_CLIENT_ID: text. What the service is called there. Its redirect URI is PUBLIC_URL/oidc/callback."
  type        = string
  default     = null

  validation {
    condition     = var.oidc_client_id == null ? true : can(regex("^(?:[ -~]{1,500})?$", var.oidc_client_id))
    error_message = "OIDC_CLIENT_ID must be text."
  }
}

variable "oidc_client_secret" {
  description = "OIDC_CLIENT_SECRET: the version of a secret, projects/PROJECT/secrets/SECRET/versions/VERSION. The secret that goes with it."
  type        = string
  default     = null

  validation {
    condition     = var.oidc_client_secret == null ? true : can(regex("^(?:projects/(?:[a-z0-9.-]+:)?[a-z0-9-]{1,63}/secrets/[A-Za-z0-9_-]{1,255}/versions/[A-Za-z0-9_-]{1,63})?$", var.oidc_client_secret))
    error_message = "OIDC_CLIENT_SECRET must be the version of a secret, projects/PROJECT/secrets/SECRET/versions/VERSION."
  }
}

variable "oidc_max_age" {
  description = "OIDC_MAX_AGE: a whole number of minutes from 1 to 480. After how long people log in again. When unset: 480."
  type        = number
  default     = null

  validation {
    condition     = var.oidc_max_age == null ? true : var.oidc_max_age >= 1 && var.oidc_max_age <= 480 && floor(var.oidc_max_age) == var.oidc_max_age
    error_message = "OIDC_MAX_AGE must be a whole number of minutes from 1 to 480."
  }
}

variable "oidc_email_verified" {
  description = "OIDC_EMAIL_VERIFIED: claim or assumed. assumed is for a provider that does not say email_verified, because nobody can choose the address that it reports. Otherwise only those come in of whom the claim is true. Where it is false nobody does, either way. When unset: claim."
  type        = string
  default     = null

  validation {
    condition     = var.oidc_email_verified == null ? true : can(regex("^(?:claim|assumed)?$", var.oidc_email_verified))
    error_message = "OIDC_EMAIL_VERIFIED must be claim or assumed."
  }
}

variable "oidc_acr_values" {
  description = "OIDC_ACR_VALUES: a comma-separated list of values of acr, without spaces. How people are to be authenticated, best first; asked of the provider at every log-in as acr_values. What they were authenticated with, the claims acr and amr say, and approver_access_level in the policy file can demand it (docs/login.md)."
  type        = list(string)
  default     = null

  validation {
    condition     = var.oidc_acr_values == null ? true : length([for each in var.oidc_acr_values : each if can(regex(",", each))]) == 0
    error_message = "OIDC_ACR_VALUES must be a comma-separated list of values of acr, without spaces."
  }
}

variable "session_key" {
  description = "SESSION_KEY: the version of a secret, projects/PROJECT/secrets/SECRET/versions/VERSION. What sessions are sealed with. All instances have the same; to replace it put a new one in front, and take the old one away a day later."
  type        = string
  default     = null

  validation {
    condition     = var.session_key == null ? true : can(regex("^(?:projects/(?:[a-z0-9.-]+:)?[a-z0-9-]{1,63}/secrets/[A-Za-z0-9_-]{1,255}/versions/[A-Za-z0-9_-]{1,63})?$", var.session_key))
    error_message = "SESSION_KEY must be the version of a secret, projects/PROJECT/secrets/SECRET/versions/VERSION."
  }
}

# Applications

variable "seal_key" {
  description = "SEAL_KEY: the version of a secret, projects/PROJECT/secrets/SECRET/versions/VERSION. What the keys of applications are sealed with that are managed at /apps, which needs it. All instances have the same; to replace it put the new one behind the old one, and in front of it once all instances have both. Keys are then sealed anew, at start and once a day, and jitaccess doctor says when none needs the old one any more. With applications in the policy file it has no effect."
  type        = string
  default     = null

  validation {
    condition     = var.seal_key == null ? true : can(regex("^(?:projects/(?:[a-z0-9.-]+:)?[a-z0-9-]{1,63}/secrets/[A-Za-z0-9_-]{1,255}/versions/[A-Za-z0-9_-]{1,63})?$", var.seal_key))
    error_message = "SEAL_KEY must be the version of a secret, projects/PROJECT/secrets/SECRET/versions/VERSION."
  }
}

# Server

variable "public_url" {
  description = "PUBLIC_URL: https://HOST, without a path (http only for a loopback host). The origin of links in mails. Unset, it is the host that a request came to, if that is certainly the platform's own name for the service; under any other host what must write a link is refused."
  type        = string
  default     = null

  validation {
    condition     = var.public_url == null ? true : can(regex("^(?:https://[^/?#@\\s]+/?)?$", var.public_url))
    error_message = "PUBLIC_URL must be https://HOST, without a path (http only for a loopback host)."
  }
}

variable "machines_url" {
  description = "MACHINES_URL: https://HOST, without a path (http only for a loopback host). The origin of that second service, the same in both: the tokens of applications may be for it, and what they are handed bears its name."
  type        = string
  default     = null

  validation {
    condition     = var.machines_url == null ? true : can(regex("^(?:https://[^/?#@\\s]+/?)?$", var.machines_url))
    error_message = "MACHINES_URL must be https://HOST, without a path (http only for a loopback host)."
  }
}

variable "waiters" {
  description = "WAITERS: a whole number from 1 to 100000. How many requests of applications may wait for a decision at a time, in each instance; the next is answered at once. Half of what the platform gives an instance at a time leaves room for people. When unset: 40."
  type        = number
  default     = null

  validation {
    condition     = var.waiters == null ? true : var.waiters >= 1 && var.waiters <= 100000 && floor(var.waiters) == var.waiters
    error_message = "WAITERS must be a whole number from 1 to 100000."
  }
}

# Mail

variable "smtp_sender_address" {
  description = "SMTP_SENDER_ADDRESS: an address of the form local@domain. Who mails are from. Setting it turns mail on; without it the rest of this section has no effect."
  type        = string
  default     = null

  validation {
    condition     = var.smtp_sender_address == null ? true : can(regex("^(?:[^@\\s]+@[^@\\s]+)?$", var.smtp_sender_address))
    error_message = "SMTP_SENDER_ADDRESS must be an address of the form local@domain."
  }
}

variable "smtp_sender_name" {
  description = "SMTP_SENDER_NAME: text. The name beside that address. When unset: JIT Access."
  type        = string
  default     = null
}

variable "smtp_host" {
  description = "SMTP_HOST: a host name or address, without a port. The mail server. Unset, with SMTP_OAUTH_TENANT, it is smtp.office365.com. When unset: smtp.gmail.com."
  type        = string
  default     = null

  validation {
    condition     = var.smtp_host == null ? true : can(regex("^(?:[A-Za-z0-9._-]{1,253}|\\[?[0-9A-Fa-f:.]+\\]?)?$", var.smtp_host))
    error_message = "SMTP_HOST must be a host name or address, without a port."
  }
}

variable "smtp_port" {
  description = "SMTP_PORT: a port from 1 to 65535 other than 25, which Google Cloud blocks (25 only on a loopback host). Its port. At 465 TLS begins with the first byte; at any other the connection begins in clear text, and STARTTLS is demanded. When unset: 587."
  type        = number
  default     = null

  validation {
    condition     = var.smtp_port == null ? true : var.smtp_port >= 1 && var.smtp_port <= 65535 && floor(var.smtp_port) == var.smtp_port && var.smtp_port != 25
    error_message = "SMTP_PORT must be a port from 1 to 65535 other than 25, which Google Cloud blocks (25 only on a loopback host)."
  }
}

variable "smtp_enable_starttls" {
  description = "SMTP_ENABLE_STARTTLS: true, unless SMTP_HOST is a loopback host: mail and password would be sent in clear text. Whether to demand STARTTLS. When unset: true."
  type        = bool
  default     = null
}

variable "smtp_username" {
  description = "SMTP_USERNAME: text. Who logs in. Without it, or without a password, nobody does. With SMTP_AUTH=oauth2 it is the mailbox that the token is for; unset, the sender's address."
  type        = string
  default     = null
}

variable "smtp_secret" {
  description = "SMTP_SECRET: the version of a secret, projects/PROJECT/secrets/SECRET/versions/VERSION. The version of a secret in Secret Manager that holds the password. It takes precedence over SMTP_PASSWORD."
  type        = string
  default     = null

  validation {
    condition     = var.smtp_secret == null ? true : can(regex("^(?:projects/(?:[a-z0-9.-]+:)?[a-z0-9-]{1,63}/secrets/[A-Za-z0-9_-]{1,255}/versions/[A-Za-z0-9_-]{1,63})?$", var.smtp_secret))
    error_message = "SMTP_SECRET must be the version of a secret, projects/PROJECT/secrets/SECRET/versions/VERSION."
  }
}

variable "smtp_options" {
  description = "SMTP_OPTIONS: the version of a secret, projects/PROJECT/secrets/SECRET/versions/VERSION. Properties of JavaMail, which take precedence over the variables above: mail.smtp.host, .port, .connectiontimeout, .timeout and .writetimeout (in milliseconds), .ssl.enable (TLS from the first byte, as on port 465), .ssl.protocols, .starttls.enable, .starttls.required, .auth, .auth.mechanisms (PLAIN and LOGIN; for XOAUTH2 set SMTP_AUTH), .localhost (the name in EHLO) and .from (the return path). .ssl.trust and .ssl.checkserveridentity turn nothing off: the server's certificate is always verified. What is unknown has no effect and is named by a warning at start."
  type        = string
  default     = null

  validation {
    condition     = var.smtp_options == null ? true : can(regex("^(?:projects/(?:[a-z0-9.-]+:)?[a-z0-9-]{1,63}/secrets/[A-Za-z0-9_-]{1,255}/versions/[A-Za-z0-9_-]{1,63})?$", var.smtp_options))
    error_message = "SMTP_OPTIONS must be the version of a secret, projects/PROJECT/secrets/SECRET/versions/VERSION."
  }
}

variable "smtp_address_mapping" {
  description = "SMTP_ADDRESS_MAPPING: an expression of CEL over user.email that gives a text; besides the standard functions it may use TEXT.extract(TEMPLATE). Where a person's mail goes, when not to the address with which they sign in. Example: user.email.extract('{name}@example.com') + '@mail.example.com'. When it gives no address for a person, that person gets no mail, and the requester is told."
  type        = string
  default     = null
}

variable "smtp_auth" {
  description = "SMTP_AUTH: password or oauth2. How to log in to the mail server: with the password, or with an access token (XOAUTH2), for which the next section says where it comes from. When unset: password."
  type        = string
  default     = null

  validation {
    condition     = var.smtp_auth == null ? true : can(regex("^(?:(?i)password|oauth2)?$", var.smtp_auth))
    error_message = "SMTP_AUTH must be password or oauth2."
  }
}

variable "smtp_reply_to" {
  description = "SMTP_REPLY_TO: an address of the form local@domain. Where replies go, when not to the sender."
  type        = string
  default     = null

  validation {
    condition     = var.smtp_reply_to == null ? true : can(regex("^(?:[^@\\s]+@[^@\\s]+)?$", var.smtp_reply_to))
    error_message = "SMTP_REPLY_TO must be an address of the form local@domain."
  }
}

variable "smtp_return_path" {
  description = "SMTP_RETURN_PATH: an address of the form local@domain. Where mail servers report what they could not deliver, when not to the sender. mail.smtp.from in SMTP_OPTIONS takes precedence."
  type        = string
  default     = null

  validation {
    condition     = var.smtp_return_path == null ? true : can(regex("^(?:[^@\\s]+@[^@\\s]+)?$", var.smtp_return_path))
    error_message = "SMTP_RETURN_PATH must be an address of the form local@domain."
  }
}

variable "smtp_confirmation_to" {
  description = "SMTP_CONFIRMATION_TO: an address of the form local@domain. Asks mail programs to confirm to this address that a mail was read. Most ask their user first, or ignore it."
  type        = string
  default     = null

  validation {
    condition     = var.smtp_confirmation_to == null ? true : can(regex("^(?:[^@\\s]+@[^@\\s]+)?$", var.smtp_confirmation_to))
    error_message = "SMTP_CONFIRMATION_TO must be an address of the form local@domain."
  }
}

variable "smtp_ca" {
  description = "SMTP_CA: the path of a file with certificates as PEM, or projects/PROJECT/secrets/SECRET/versions/VERSION. The certificates, as PEM, of those who may sign the mail server's certificate, instead of those whom the system trusts. A file is looked at when the service starts, a secret when the first mail is sent."
  type        = string
  default     = null

  validation {
    condition     = var.smtp_ca == null ? true : can(regex("^(?:projects/(?:[a-z0-9.-]+:)?[a-z0-9-]{1,63}/secrets/[A-Za-z0-9_-]{1,255}/versions/[A-Za-z0-9_-]{1,63}|projects/(?:[a-z0-9.-]+:)?[a-z0-9-]{1,63}/locations/[a-z0-9-]{1,63}/parameters/[A-Za-z0-9_-]{1,63}/versions/[A-Za-z0-9_-]{1,63})$", var.smtp_ca)) || !can(regex("^projects/|://", var.smtp_ca))
    error_message = "SMTP_CA must be the path of a file with certificates as PEM, or projects/PROJECT/secrets/SECRET/versions/VERSION."
  }
}

variable "smtp_max_connections" {
  description = "SMTP_MAX_CONNECTIONS: a whole number from 1 to 20. How many connections to the mail server an instance of the service has at once, at most. Exchange Online takes 3 of a mailbox. A connection is used for as many mails as there are, and kept for 10 seconds. When unset: 3."
  type        = number
  default     = null

  validation {
    condition     = var.smtp_max_connections == null ? true : var.smtp_max_connections >= 1 && var.smtp_max_connections <= 20 && floor(var.smtp_max_connections) == var.smtp_max_connections
    error_message = "SMTP_MAX_CONNECTIONS must be a whole number from 1 to 20."
  }
}

variable "smtp_messages_per_minute" {
  description = "SMTP_MESSAGES_PER_MINUTE: a whole number from 1 to 10000. How many mails an instance of the service sends within a minute, at most. Exchange Online takes 30 of a mailbox. Two thirds of them are for one person's requests and decisions, at most. What does not fit waits while the action that it belongs to has time, and is then reported as not sent. When unset: 30."
  type        = number
  default     = null

  validation {
    condition     = var.smtp_messages_per_minute == null ? true : var.smtp_messages_per_minute >= 1 && var.smtp_messages_per_minute <= 10000 && floor(var.smtp_messages_per_minute) == var.smtp_messages_per_minute
    error_message = "SMTP_MESSAGES_PER_MINUTE must be a whole number from 1 to 10000."
  }
}

variable "smtp_dkim_selector" {
  description = "SMTP_DKIM_SELECTOR: a selector, such as jitaccess. Has mails signed with DKIM for the sender's domain; the public key is at SELECTOR._domainkey.DOMAIN. It needs SMTP_DKIM_KEY. Mail servers of Google and Microsoft sign by themselves."
  type        = string
  default     = null

  validation {
    condition     = var.smtp_dkim_selector == null ? true : can(regex("^(?:[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*)?$", var.smtp_dkim_selector))
    error_message = "SMTP_DKIM_SELECTOR must be a selector, such as jitaccess."
  }
}

variable "smtp_dkim_key" {
  description = "SMTP_DKIM_KEY: the version of a secret, projects/PROJECT/secrets/SECRET/versions/VERSION. The private key of that signature as PEM: RSA of 2048 bits or more, or Ed25519. Without it no mail is sent. It is read once by each instance of the service."
  type        = string
  default     = null

  validation {
    condition     = var.smtp_dkim_key == null ? true : can(regex("^(?:projects/(?:[a-z0-9.-]+:)?[a-z0-9-]{1,63}/secrets/[A-Za-z0-9_-]{1,255}/versions/[A-Za-z0-9_-]{1,63})?$", var.smtp_dkim_key))
    error_message = "SMTP_DKIM_KEY must be the version of a secret, projects/PROJECT/secrets/SECRET/versions/VERSION."
  }
}

variable "all_proxy" {
  description = "ALL_PROXY: the version of a secret, projects/PROJECT/secrets/SECRET/versions/VERSION. The proxy through which the mail server is reached; one of http or https must permit CONNECT to the mail server's port. It sees no more of a mail than the network does. Google's APIs and token endpoints are reached through HTTPS_PROXY instead. A server on loopback is reached directly."
  type        = string
  default     = null

  validation {
    condition     = var.all_proxy == null ? true : can(regex("^(?:projects/(?:[a-z0-9.-]+:)?[a-z0-9-]{1,63}/secrets/[A-Za-z0-9_-]{1,255}/versions/[A-Za-z0-9_-]{1,63})?$", var.all_proxy))
    error_message = "ALL_PROXY must be the version of a secret, projects/PROJECT/secrets/SECRET/versions/VERSION."
  }
}

variable "no_proxy" {
  description = "NO_PROXY: a comma-separated list of hosts (with all below them), .DOMAINS, addresses, networks such as 10.0.0.0/8, or *. What is reached without a proxy."
  type        = string
  default     = null
}

variable "notification_timezone" {
  description = "NOTIFICATION_TIMEZONE: a region such as Europe/Berlin, an offset such as +10:00 or UTC+2, UTC, GMT or Z; upper and lower case matter. The time zone of times in mails. When unset: UTC."
  type        = string
  default     = null

  validation {
    condition     = var.notification_timezone == null ? true : can(regex("^(?:[A-Za-z0-9~/._+:-]+)?$", var.notification_timezone))
    error_message = "NOTIFICATION_TIMEZONE must be a region such as Europe/Berlin, an offset such as +10:00 or UTC+2, UTC, GMT or Z; upper and lower case matter."
  }
}

variable "locale" {
  description = "LOCALE: the tag of a language that there is: en, de or ja. The language of mails and of what is told in chats. Pages are in the language of whoever reads them. When unset: en."
  type        = string
  default     = null

  validation {
    condition     = var.locale == null ? true : can(regex("^(?:en|de|ja)?$", var.locale))
    error_message = "LOCALE must be the tag of a language that there is: en, de or ja."
  }
}

# Mail: logging in with OAuth 2

variable "smtp_oauth_tenant" {
  description = "SMTP_OAUTH_TENANT: the id of a tenant of Microsoft Entra, or one of its domains. Microsoft 365: the tenant. It sets the token URL, the scope, and SMTP_HOST, where those are unset."
  type        = string
  default     = null

  validation {
    condition     = var.smtp_oauth_tenant == null ? true : can(regex("^(?:[A-Za-z0-9][A-Za-z0-9.-]{0,252})?$", var.smtp_oauth_tenant))
    error_message = "SMTP_OAUTH_TENANT must be the id of a tenant of Microsoft Entra, or one of its domains."
  }
}

variable "smtp_oauth_client_id" {
  description = "SMTP_OAUTH_CLIENT_ID: text. The id of the application that is registered with the mail provider; it needs SMTP_OAUTH_CLIENT_SECRET. Unset, the server is Google's, and SMTP_USERNAME is a mailbox for which the service account has domain-wide delegation: no key and no password exists then."
  type        = string
  default     = null
}

variable "smtp_oauth_client_secret" {
  description = "SMTP_OAUTH_CLIENT_SECRET: the version of a secret, projects/PROJECT/secrets/SECRET/versions/VERSION. The secret of that application."
  type        = string
  default     = null

  validation {
    condition     = var.smtp_oauth_client_secret == null ? true : can(regex("^(?:projects/(?:[a-z0-9.-]+:)?[a-z0-9-]{1,63}/secrets/[A-Za-z0-9_-]{1,255}/versions/[A-Za-z0-9_-]{1,63})?$", var.smtp_oauth_client_secret))
    error_message = "SMTP_OAUTH_CLIENT_SECRET must be the version of a secret, projects/PROJECT/secrets/SECRET/versions/VERSION."
  }
}

variable "smtp_oauth_refresh_token" {
  description = "SMTP_OAUTH_REFRESH_TOKEN: the version of a secret, projects/PROJECT/secrets/SECRET/versions/VERSION. The refresh token of the mailbox, where the application acts for it by consent, as with Google. Unset, the application logs in as itself (client credentials), as with Microsoft 365."
  type        = string
  default     = null

  validation {
    condition     = var.smtp_oauth_refresh_token == null ? true : can(regex("^(?:projects/(?:[a-z0-9.-]+:)?[a-z0-9-]{1,63}/secrets/[A-Za-z0-9_-]{1,255}/versions/[A-Za-z0-9_-]{1,63})?$", var.smtp_oauth_refresh_token))
    error_message = "SMTP_OAUTH_REFRESH_TOKEN must be the version of a secret, projects/PROJECT/secrets/SECRET/versions/VERSION."
  }
}

variable "smtp_oauth_token_url" {
  description = "SMTP_OAUTH_TOKEN_URL: an https URL (http only for a loopback host). Where the provider issues tokens. Unset, it is Microsoft's with a tenant, and Google's else."
  type        = string
  default     = null

  validation {
    condition     = var.smtp_oauth_token_url == null ? true : can(regex("^(?:https://[^/?#@\\s]+([/?][^#\\s]*)?)?$", var.smtp_oauth_token_url))
    error_message = "SMTP_OAUTH_TOKEN_URL must be an https URL (http only for a loopback host)."
  }
}

variable "smtp_oauth_scope" {
  description = "SMTP_OAUTH_SCOPE: scopes, separated by spaces. What the token is for. Unset, it is https://outlook.office365.com/.default with a tenant, https://mail.google.com/ with the service account, and with a refresh token what was consented to. Another provider's has to be said."
  type        = string
  default     = null
}

# Mail that comes back

variable "imap_host" {
  description = "IMAP_HOST: a host name or address, without a port. The IMAP server of the mailbox to which mails come back (SMTP_RETURN_PATH, else the sender's). Setting it has that mailbox read, and what it says of a mail that came back shown and told (docs/mailbox.md). It needs SIGNING_KEY, or a database in SQLite. ALL_PROXY and SMTP_CA count for it too."
  type        = string
  default     = null

  validation {
    condition     = var.imap_host == null ? true : can(regex("^(?:[A-Za-z0-9._-]{1,253}|\\[?[0-9A-Fa-f:.]+\\]?)?$", var.imap_host))
    error_message = "IMAP_HOST must be a host name or address, without a port."
  }
}

variable "imap_port" {
  description = "IMAP_PORT: a port from 1 to 65535. Its port. At 993 TLS begins with the first byte; at any other the connection begins in clear text, and STARTTLS is demanded. When unset: 993."
  type        = number
  default     = null

  validation {
    condition     = var.imap_port == null ? true : var.imap_port >= 1 && var.imap_port <= 65535 && floor(var.imap_port) == var.imap_port
    error_message = "IMAP_PORT must be a port from 1 to 65535."
  }
}

variable "imap_username" {
  description = "IMAP_USERNAME: text. Who logs in. Unset, who logs in to the mail server (SMTP_USERNAME)."
  type        = string
  default     = null
}

variable "imap_password" {
  description = "IMAP_PASSWORD: the version of a secret, projects/PROJECT/secrets/SECRET/versions/VERSION. The password. Unset, it is that of the mail server or, with SMTP_AUTH=oauth2, an access token for IMAP_USERNAME from where SMTP_OAUTH_… says."
  type        = string
  default     = null

  validation {
    condition     = var.imap_password == null ? true : can(regex("^(?:projects/(?:[a-z0-9.-]+:)?[a-z0-9-]{1,63}/secrets/[A-Za-z0-9_-]{1,255}/versions/[A-Za-z0-9_-]{1,63})?$", var.imap_password))
    error_message = "IMAP_PASSWORD must be the version of a secret, projects/PROJECT/secrets/SECRET/versions/VERSION."
  }
}

variable "imap_folder" {
  description = "IMAP_FOLDER: the name of a folder, with those above it as the server spells them. Where mails that come back are. Rules of the mailbox may put them elsewhere than into the inbox. When unset: INBOX."
  type        = string
  default     = null
}

variable "imap_keep_copies" {
  description = "IMAP_KEEP_COPIES: true or false. Whether a mail that was taken in stays in the folder, as read, or is deleted. All others are left as they are. When unset: true."
  type        = bool
  default     = null
}

# Chats

variable "slack_token" {
  description = "SLACK_TOKEN: the version of a secret, projects/PROJECT/secrets/SECRET/versions/VERSION. The bot token of an app in Slack, xoxb-…, by which reviewers are told by direct message, and SLACK_CHANNEL. docs/channels.md says which permissions it needs."
  type        = string
  default     = null

  validation {
    condition     = var.slack_token == null ? true : can(regex("^(?:projects/(?:[a-z0-9.-]+:)?[a-z0-9-]{1,63}/secrets/[A-Za-z0-9_-]{1,255}/versions/[A-Za-z0-9_-]{1,63})?$", var.slack_token))
    error_message = "SLACK_TOKEN must be the version of a secret, projects/PROJECT/secrets/SECRET/versions/VERSION."
  }
}

variable "slack_channel" {
  description = "SLACK_CHANNEL: #NAME, or the id of a channel, such as C0123ABCD. The channel in Slack that is told of every request, and of whoever is to be told and is not in Slack. Unset, there are direct messages alone."
  type        = string
  default     = null

  validation {
    condition     = var.slack_channel == null ? true : can(regex("^(?:#[^\\s/#@<>&]{1,80}|[CG][A-Z0-9]{7,20})?$", var.slack_channel))
    error_message = "SLACK_CHANNEL must be #NAME, or the id of a channel, such as C0123ABCD."
  }
}

variable "google_chat_webhook" {
  description = "GOOGLE_CHAT_WEBHOOK: the version of a secret, projects/PROJECT/secrets/SECRET/versions/VERSION. The webhook of a space in Google Chat that is told of every request. Its address is a secret."
  type        = string
  default     = null

  validation {
    condition     = var.google_chat_webhook == null ? true : can(regex("^(?:projects/(?:[a-z0-9.-]+:)?[a-z0-9-]{1,63}/secrets/[A-Za-z0-9_-]{1,255}/versions/[A-Za-z0-9_-]{1,63})?$", var.google_chat_webhook))
    error_message = "GOOGLE_CHAT_WEBHOOK must be the version of a secret, projects/PROJECT/secrets/SECRET/versions/VERSION."
  }
}

variable "teams_webhook" {
  description = "TEAMS_WEBHOOK: the version of a secret, projects/PROJECT/secrets/SECRET/versions/VERSION. The address of a workflow in Microsoft Teams that posts what it gets, of every request. It is a secret."
  type        = string
  default     = null

  validation {
    condition     = var.teams_webhook == null ? true : can(regex("^(?:projects/(?:[a-z0-9.-]+:)?[a-z0-9-]{1,63}/secrets/[A-Za-z0-9_-]{1,255}/versions/[A-Za-z0-9_-]{1,63})?$", var.teams_webhook))
    error_message = "TEAMS_WEBHOOK must be the version of a secret, projects/PROJECT/secrets/SECRET/versions/VERSION."
  }
}

variable "channels_show_reason" {
  description = "CHANNELS_SHOW_REASON: true or false. Whether chats carry what people wrote (reasons, comments) and what applications sent. false leaves it to mail, and to the page. When unset: true."
  type        = bool
  default     = null
}

# Messages to machines

variable "notification_topic" {
  description = "NOTIFICATION_TOPIC: the id of a Pub/Sub topic in the service's own project, or projects/PROJECT/topics/TOPIC. Where to publish what happens; docs/notifications.md lists the messages. The service account needs the Pub/Sub Publisher role on it."
  type        = string
  default     = null

  validation {
    condition     = var.notification_topic == null ? true : can(regex("^(?:(projects/([a-z0-9.-]+:)?[a-z0-9-]{1,63}/topics/)?[A-Za-z][A-Za-z0-9._~+-]{2,254})?$", var.notification_topic))
    error_message = "NOTIFICATION_TOPIC must be the id of a Pub/Sub topic in the service's own project, or projects/PROJECT/topics/TOPIC."
  }
}

variable "webhook_url" {
  description = "WEBHOOK_URL: the version of a secret, projects/PROJECT/secrets/SECRET/versions/VERSION. Where programs hear of everything that happens to requests, by signed webhooks (docs/webhooks.md). Needs WEBHOOK_SECRET."
  type        = string
  default     = null

  validation {
    condition     = var.webhook_url == null ? true : can(regex("^(?:projects/(?:[a-z0-9.-]+:)?[a-z0-9-]{1,63}/secrets/[A-Za-z0-9_-]{1,255}/versions/[A-Za-z0-9_-]{1,63})?$", var.webhook_url))
    error_message = "WEBHOOK_URL must be the version of a secret, projects/PROJECT/secrets/SECRET/versions/VERSION."
  }
}

variable "webhook_secret" {
  description = "WEBHOOK_SECRET: the version of a secret, projects/PROJECT/secrets/SECRET/versions/VERSION. What signs webhooks. While a key is replaced, both sign."
  type        = string
  default     = null

  validation {
    condition     = var.webhook_secret == null ? true : can(regex("^(?:projects/(?:[a-z0-9.-]+:)?[a-z0-9-]{1,63}/secrets/[A-Za-z0-9_-]{1,255}/versions/[A-Za-z0-9_-]{1,63})?$", var.webhook_secret))
    error_message = "WEBHOOK_SECRET must be the version of a secret, projects/PROJECT/secrets/SECRET/versions/VERSION."
  }
}

variable "webhook_allow_private" {
  description = "WEBHOOK_ALLOW_PRIVATE: true or false. Whether webhooks may go to private addresses, such as 10.0.0.0/8; never to link-local addresses and metadata servers. When unset: false."
  type        = bool
  default     = null
}

# Google Cloud

variable "backend_connect_timeout" {
  description = "BACKEND_CONNECT_TIMEOUT: a whole number of seconds from 0 to 3600. How long to wait for a connection to a Google API; 0 is no limit of its own. When unset: 5."
  type        = number
  default     = null

  validation {
    condition     = var.backend_connect_timeout == null ? true : var.backend_connect_timeout >= 0 && var.backend_connect_timeout <= 3600 && floor(var.backend_connect_timeout) == var.backend_connect_timeout
    error_message = "BACKEND_CONNECT_TIMEOUT must be a whole number of seconds from 0 to 3600."
  }
}

variable "backend_read_timeout" {
  description = "BACKEND_READ_TIMEOUT: a whole number of seconds from 0 to 3600. How long to wait for its answer; 0 is no limit of its own. When unset: 20."
  type        = number
  default     = null

  validation {
    condition     = var.backend_read_timeout == null ? true : var.backend_read_timeout >= 0 && var.backend_read_timeout <= 3600 && floor(var.backend_read_timeout) == var.backend_read_timeout
    error_message = "BACKEND_READ_TIMEOUT must be a whole number of seconds from 0 to 3600."
  }
}

variable "backend_write_timeout" {
  description = "BACKEND_WRITE_TIMEOUT: a whole number of seconds from 0 to 3600. How long sending a request to it may take; 0 is no limit of its own. When unset: 5."
  type        = number
  default     = null

  validation {
    condition     = var.backend_write_timeout == null ? true : var.backend_write_timeout >= 0 && var.backend_write_timeout <= 3600 && floor(var.backend_write_timeout) == var.backend_write_timeout
    error_message = "BACKEND_WRITE_TIMEOUT must be a whole number of seconds from 0 to 3600."
  }
}

variable "google_quotas" {
  description = "GOOGLE_QUOTAS: NAME=NUMBER, several separated by commas, with the names of docs/reliability.md and calls a minute. Quotas of Google's that are not as Google documents them, because yours were raised or lowered. The service keeps what is nearly spent for those who act, and so must know them."
  type        = string
  default     = null
}

# Traces

variable "otel_exporter_otlp_traces_endpoint" {
  description = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: http://HOST:PORT or https://HOST:PORT, with a path if there is one, without a user and a query. Where spans go by OTLP over HTTP (docs/traces.md). OTEL_EXPORTER_OTLP_ENDPOINT is where all signals of a program go, and /v1/traces is added to it; OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is taken as it is."
  type        = string
  default     = null
}

variable "otel_exporter_otlp_traces_headers" {
  description = "OTEL_EXPORTER_OTLP_TRACES_HEADERS: the version of a secret, projects/PROJECT/secrets/SECRET/versions/VERSION. Headers that go with spans, such as what says who sends them. Only https:// takes them, but for a loopback host."
  type        = string
  default     = null

  validation {
    condition     = var.otel_exporter_otlp_traces_headers == null ? true : can(regex("^(?:projects/(?:[a-z0-9.-]+:)?[a-z0-9-]{1,63}/secrets/[A-Za-z0-9_-]{1,255}/versions/[A-Za-z0-9_-]{1,63})?$", var.otel_exporter_otlp_traces_headers))
    error_message = "OTEL_EXPORTER_OTLP_TRACES_HEADERS must be the version of a secret, projects/PROJECT/secrets/SECRET/versions/VERSION."
  }
}

variable "otel_exporter_otlp_traces_protocol" {
  description = "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: http/protobuf or http/json. The form in which spans go. gRPC is not built in. When unset: http/protobuf."
  type        = string
  default     = null
}

variable "otel_exporter_otlp_traces_compression" {
  description = "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION: none or gzip. How what goes is compressed. When unset: none."
  type        = string
  default     = null
}

variable "otel_exporter_otlp_traces_timeout" {
  description = "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT: a whole number of milliseconds from 1 to 600000. For how long one call may take that hands on spans. Nobody waits for it. When unset: 10000."
  type        = number
  default     = null

  validation {
    condition     = var.otel_exporter_otlp_traces_timeout == null ? true : var.otel_exporter_otlp_traces_timeout >= 1 && var.otel_exporter_otlp_traces_timeout <= 600000 && floor(var.otel_exporter_otlp_traces_timeout) == var.otel_exporter_otlp_traces_timeout
    error_message = "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT must be a whole number of milliseconds from 1 to 600000."
  }
}

variable "otel_traces_exporter" {
  description = "OTEL_TRACES_EXPORTER: otlp or none. none turns traces off. When unset: otlp."
  type        = string
  default     = null
}

variable "otel_traces_sampler" {
  description = "OTEL_TRACES_SAMPLER: always_on, always_off or traceidratio, or one of them with parentbased_ before it. Which traces are recorded. What a request says of its own trace counts for parentbased_ alone, and only where OTEL_PROPAGATORS has tracecontext. When unset: parentbased_always_on."
  type        = string
  default     = null
}

variable "otel_traces_sampler_arg" {
  description = "OTEL_TRACES_SAMPLER_ARG: a number from 0 to 1. The share of traces that traceidratio records. Unset, it is 1."
  type        = string
  default     = null
}

variable "otel_propagators" {
  description = "OTEL_PROPAGATORS: a comma-separated list, in which tracecontext counts and all else does nothing. tracecontext, where it is set, has the span of a request be part of the trace that its header traceparent names. Set it where a proxy in front writes that header. Otherwise anybody could say of which trace they are part and that it is recorded: the request begins a trace of its own, with a link to the one that is named. The header is never sent on."
  type        = list(string)
  default     = null

  validation {
    condition     = var.otel_propagators == null ? true : length([for each in var.otel_propagators : each if can(regex(",", each))]) == 0
    error_message = "OTEL_PROPAGATORS must be a comma-separated list, in which tracecontext counts and all else does nothing."
  }
}

variable "otel_service_name" {
  description = "OTEL_SERVICE_NAME: a name. What the service is called in traces. Unset, it is service.name of OTEL_RESOURCE_ATTRIBUTES, or jitaccess."
  type        = string
  default     = null
}

variable "otel_resource_attributes" {
  description = "OTEL_RESOURCE_ATTRIBUTES: NAME=VALUE, several separated by commas, with what is special in a value as %XX. What traces say of the service besides, such as deployment.environment.name=production."
  type        = string
  default     = null
}

variable "otel_sdk_disabled" {
  description = "OTEL_SDK_DISABLED: true or false. true turns traces off. When unset: false."
  type        = bool
  default     = null
}

locals {
  # What the service reads from its environment, or from where that says.
  given = {
    RESOURCE_SCOPE                        = var.resource_scope
    RESOURCE_CATALOG                      = var.resource_catalog
    RESOURCE_CUSTOMER_ID                  = var.resource_customer_id
    AVAILABLE_PROJECTS_QUERY              = var.available_projects_query
    ORGANIZATION_ID                       = var.organization_id
    CLUSTER_ID                            = var.cluster_id
    POMERIUM_APPLY_CHANGESETS             = var.pomerium_apply_changesets
    POMERIUM_POLICY_IDS                   = var.pomerium_policy_ids == null ? null : join(",", var.pomerium_policy_ids)
    ELEVATION_DURATION                    = var.elevation_duration
    ACTIVATION_REQUEST_TIMEOUT            = var.activation_request_timeout
    ACTIVATION_REQUEST_MIN_REVIEWERS      = var.activation_request_min_reviewers
    ACTIVATION_REQUEST_MAX_REVIEWERS      = var.activation_request_max_reviewers
    ACTIVATION_REQUEST_MAX_ROLES          = var.activation_request_max_roles
    JUSTIFICATION_PATTERN                 = var.justification_pattern
    JUSTIFICATION_HINT                    = var.justification_hint
    ADMINS                                = var.admins == null ? null : join(",", var.admins)
    AUDITORS                              = var.auditors == null ? null : join(",", var.auditors)
    POLICY                                = var.policy
    DATABASE_URL                          = var.database_url
    SIGNING_KEY                           = var.signing_key
    LEDGER_RETENTION                      = var.ledger_retention
    WEEKLY_RECONCILE                      = var.weekly_reconcile
    IDENTITY                              = var.identity
    IDENTITY_AUDIENCE                     = var.identity_audience
    IDENTITY_MAX_AGE                      = var.identity_max_age
    IDENTITY_GROUPS_CLAIM                 = var.identity_groups_claim
    IAP_AUDIENCE                          = var.iap_audience == null ? null : join(",", var.iap_audience)
    IAP_VERIFY_AUDIENCE                   = var.iap_verify_audience
    JWKS_ENDPOINT                         = var.jwks_endpoint
    CLOUDFLARE_TEAM                       = var.cloudflare_team
    ALB_ARN                               = var.alb_arn
    IDENTITY_HEADER                       = var.identity_header
    IDENTITY_ISSUER                       = var.identity_issuer
    IDENTITY_JWKS                         = var.identity_jwks
    IDENTITY_ALGORITHMS                   = var.identity_algorithms == null ? null : join(",", var.identity_algorithms)
    IDENTITY_EMAIL_CLAIM                  = var.identity_email_claim
    IDENTITY_SUBJECT_CLAIM                = var.identity_subject_claim
    OIDC_ISSUER                           = var.oidc_issuer
    OIDC_CLIENT_ID                        = var.oidc_client_id
    OIDC_CLIENT_SECRET                    = var.oidc_client_secret
    OIDC_MAX_AGE                          = var.oidc_max_age
    OIDC_EMAIL_VERIFIED                   = var.oidc_email_verified
    OIDC_ACR_VALUES                       = var.oidc_acr_values == null ? null : join(",", var.oidc_acr_values)
    SESSION_KEY                           = var.session_key
    SEAL_KEY                              = var.seal_key
    PUBLIC_URL                            = var.public_url
    MACHINES_URL                          = var.machines_url
    WAITERS                               = var.waiters
    SMTP_SENDER_ADDRESS                   = var.smtp_sender_address
    SMTP_SENDER_NAME                      = var.smtp_sender_name
    SMTP_HOST                             = var.smtp_host
    SMTP_PORT                             = var.smtp_port
    SMTP_ENABLE_STARTTLS                  = var.smtp_enable_starttls
    SMTP_USERNAME                         = var.smtp_username
    SMTP_SECRET                           = var.smtp_secret
    SMTP_ADDRESS_MAPPING                  = var.smtp_address_mapping
    SMTP_AUTH                             = var.smtp_auth
    SMTP_REPLY_TO                         = var.smtp_reply_to
    SMTP_RETURN_PATH                      = var.smtp_return_path
    SMTP_CONFIRMATION_TO                  = var.smtp_confirmation_to
    SMTP_CA                               = var.smtp_ca
    SMTP_MAX_CONNECTIONS                  = var.smtp_max_connections
    SMTP_MESSAGES_PER_MINUTE              = var.smtp_messages_per_minute
    SMTP_DKIM_SELECTOR                    = var.smtp_dkim_selector
    SMTP_DKIM_KEY                         = var.smtp_dkim_key
    NO_PROXY                              = var.no_proxy
    NOTIFICATION_TIMEZONE                 = var.notification_timezone
    LOCALE                                = var.locale
    SMTP_OAUTH_TENANT                     = var.smtp_oauth_tenant
    SMTP_OAUTH_CLIENT_ID                  = var.smtp_oauth_client_id
    SMTP_OAUTH_CLIENT_SECRET              = var.smtp_oauth_client_secret
    SMTP_OAUTH_REFRESH_TOKEN              = var.smtp_oauth_refresh_token
    SMTP_OAUTH_TOKEN_URL                  = var.smtp_oauth_token_url
    SMTP_OAUTH_SCOPE                      = var.smtp_oauth_scope
    IMAP_HOST                             = var.imap_host
    IMAP_PORT                             = var.imap_port
    IMAP_USERNAME                         = var.imap_username
    IMAP_PASSWORD                         = var.imap_password
    IMAP_FOLDER                           = var.imap_folder
    IMAP_KEEP_COPIES                      = var.imap_keep_copies
    SLACK_TOKEN                           = var.slack_token
    SLACK_CHANNEL                         = var.slack_channel
    GOOGLE_CHAT_WEBHOOK                   = var.google_chat_webhook
    TEAMS_WEBHOOK                         = var.teams_webhook
    CHANNELS_SHOW_REASON                  = var.channels_show_reason
    NOTIFICATION_TOPIC                    = var.notification_topic
    WEBHOOK_URL                           = var.webhook_url
    WEBHOOK_SECRET                        = var.webhook_secret
    WEBHOOK_ALLOW_PRIVATE                 = var.webhook_allow_private
    BACKEND_CONNECT_TIMEOUT               = var.backend_connect_timeout
    BACKEND_READ_TIMEOUT                  = var.backend_read_timeout
    BACKEND_WRITE_TIMEOUT                 = var.backend_write_timeout
    GOOGLE_QUOTAS                         = var.google_quotas
    OTEL_EXPORTER_OTLP_TRACES_ENDPOINT    = var.otel_exporter_otlp_traces_endpoint
    OTEL_EXPORTER_OTLP_TRACES_HEADERS     = var.otel_exporter_otlp_traces_headers
    OTEL_EXPORTER_OTLP_TRACES_PROTOCOL    = var.otel_exporter_otlp_traces_protocol
    OTEL_EXPORTER_OTLP_TRACES_COMPRESSION = var.otel_exporter_otlp_traces_compression
    OTEL_EXPORTER_OTLP_TRACES_TIMEOUT     = var.otel_exporter_otlp_traces_timeout
    OTEL_TRACES_EXPORTER                  = var.otel_traces_exporter
    OTEL_TRACES_SAMPLER                   = var.otel_traces_sampler
    OTEL_TRACES_SAMPLER_ARG               = var.otel_traces_sampler_arg
    OTEL_PROPAGATORS                      = var.otel_propagators == null ? null : join(",", var.otel_propagators)
    OTEL_SERVICE_NAME                     = var.otel_service_name
    OTEL_RESOURCE_ATTRIBUTES              = var.otel_resource_attributes
    OTEL_SDK_DISABLED                     = var.otel_sdk_disabled
  }

  # Versions of secrets that the platform has to put into the environment.
  injected = {
    API_USER_TOKEN = var.api_user_token
    SMTP_OPTIONS   = var.smtp_options
    ALL_PROXY      = var.all_proxy
  }
}
