variable "project" {
  description = "The project that the service runs in, best one of its own: whoever can act as its service account can grant whatever that can."
  type        = string

  validation {
    condition     = can(regex("^(?:[a-z0-9.-]+:)?[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project))
    error_message = "project must be the id of a project, and not its number."
  }
}

variable "settings" {
  description = "The module settings."
  type = object({
    environment = map(string)
    injected    = map(object({ secret = string, version = string }))
    secrets     = set(string)
    parameters  = set(string)
  })
}

variable "scope" {
  description = "What the service manages, the same as RESOURCE_SCOPE: projects/ID, folders/NUMBER or organizations/NUMBER."
  type        = string

  validation {
    condition     = var.scope == lookup(var.settings.environment, "RESOURCE_SCOPE", "projects/${var.project}")
    error_message = "scope must be what resource_scope of the settings is; where that is unset, it is projects/PROJECT."
  }
}

variable "roles" {
  description = "The roles that the service may grant, at most 200: those that people are eligible for."
  type        = set(string)
}

variable "accepted_roles" {
  description = "Those of the roles that let their holders give access to others, each by a decision. A plan names them."
  type        = set(string)
  default     = []
}

variable "account_id" {
  description = "The service account is ACCOUNT_ID@PROJECT.iam.gserviceaccount.com. To go on after JIT Access 1.x import its account."
  type        = string
  default     = "jitaccess"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,18}[a-z0-9]$", var.account_id))
    error_message = "account_id must have 6 to 20 small letters, digits and hyphens: the scheduler's account is called after it."
  }
}

variable "create_secrets" {
  description = "Whether secrets of this project that the settings name are made, without a version. false where they are there already."
  type        = bool
  default     = true
}

variable "more_secrets" {
  description = "Secrets that the policy file names, projects/PROJECT/secrets/SECRET, such as keys of applications."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for secret in var.more_secrets : can(regex("^projects/[^/]+/secrets/[^/]+$", secret))])
    error_message = "A secret is projects/PROJECT/secrets/SECRET, without a version."
  }
}

variable "forbid_keys" {
  description = "Whether an organization policy on this project forbids keys of service accounts. It needs roles/orgpolicy.policyAdmin."
  type        = bool
  default     = true
}

variable "read_inherited" {
  description = "Whether the service reads the policies of folders and the organization (roles/iam.securityReviewer), so that what people inherit is confirmed by the live policy."
  type        = bool
  default     = false
}

variable "granted_on" {
  description = "The folders and organizations that rules of the policy file give out themselves, folders/NUMBER or organizations/NUMBER. The service may grant the roles there too."
  type        = set(string)
  default     = []
}

variable "doctor_sees_more" {
  description = "Whether jitaccess doctor may look for other versions and for keys in this project."
  type        = bool
  default     = true
}
