variable "project" {
  description = "The project that the service runs in."
  type        = string
}

variable "region" {
  description = "The region that it runs in, such as europe-west1."
  type        = string
}

variable "name" {
  description = "The name of the service. The service for machines is NAME-machines, the jobs are NAME-sweep and NAME-doctor."
  type        = string
  default     = "jitaccess"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,38}[a-z0-9]$", var.name))
    error_message = "name must have at most 40 small letters, digits and hyphens."
  }
}

variable "image" {
  description = "The image by its digest: REGION-docker.pkg.dev/PROJECT/jitaccess/jitaccess@sha256:…"
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9.-]+(:[0-9]+)?(/[a-z0-9._-]+)+@sha256:[0-9a-f]{64}$", var.image))
    error_message = "image must end with @sha256: and 64 digits. A tag can be moved: then what runs is not what was planned."
  }
}

variable "service_account" {
  description = "The address of the service account: service_account of the module permissions."
  type        = string
}

variable "scheduler_account" {
  description = "The address of the account that starts the sweep: scheduler_account of the module permissions."
  type        = string
}

variable "iap_member" {
  description = "As what Identity-Aware Proxy calls the service: iap_member of the module permissions."
  type        = string
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

variable "iap" {
  description = "Where Identity-Aware Proxy stands: at the service itself, or at the load-balancer in front of it."
  type        = string
  default     = "service"

  validation {
    condition     = contains(["service", "load-balancer"], var.iap)
    error_message = "iap must be service or load-balancer."
  }
}

variable "backend_service_id" {
  description = "The number of the load balancer's backend service: backend_service_id of the module load-balancer."
  type        = string
  default     = ""
}

variable "openers" {
  description = "Who may open it where Identity-Aware Proxy stands at the service, such as domain:example.com. Behind a load balancer the module load-balancer has them."
  type        = set(string)
  default     = []
}

variable "ledger" {
  description = "Where requests are remembered: ledger of the module cloud-sql or firestore. null remembers nothing, or what database_url of the settings says."
  type        = object({ database_url = string, cloud_sql_instance = string })
  default     = null
}

variable "machines" {
  description = "Whether there is a second service for applications alone (docs/managing-applications.md). The address of it, machines_url, is https://NAME-machines-PROJECTNUMBER.REGION.run.app."
  type        = bool
  default     = false
}

variable "machine_callers" {
  description = "Who may call the second service. allUsers, since it asks each program for its own token."
  type        = set(string)
  default     = ["allUsers"]
}

variable "min_instances" {
  description = "How many instances are kept ready."
  type        = number
  default     = 0
}

variable "max_instances" {
  description = "How many instances there are at most."
  type        = number
  default     = 4
}

variable "scheduler_region" {
  description = "Where Cloud Scheduler is, if not in the region of the service."
  type        = string
  default     = null
}
