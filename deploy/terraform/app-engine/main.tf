# The service on App Engine. App Engine builds the source that it is given, and Terraform builds
# nothing: this makes what has to be there, and writes app.yaml and cron.yaml for gcloud.

terraform {
  required_version = ">= 1.9"
  required_providers {
    google = { source = "hashicorp/google", version = ">= 6.50, < 9.0" }
  }
}

variable "project" {
  description = "The project that the service runs in."
  type        = string
}

variable "location" {
  description = "Where App Engine is, such as europe-west. It can never be changed."
  type        = string
}

variable "create_application" {
  description = "Whether the application is made. false where the project has one, such as that of JIT Access 1.x."
  type        = bool
  default     = true
}

variable "service" {
  description = "The service of App Engine."
  type        = string
  default     = "default"
}

variable "service_account" {
  description = "The address of the service account: service_account of the module permissions."
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

  validation {
    condition     = length(var.settings.injected) == 0
    error_message = "App Engine puts no secret into the environment: ${join(", ", keys(var.settings.injected))} cannot be set there."
  }
}

variable "openers" {
  description = "Who may open it, such as domain:example.com."
  type        = set(string)
}

variable "ledger" {
  description = "Where requests are remembered: ledger of the module cloud-sql or firestore. null remembers nothing, or what database_url of the settings says."
  type        = object({ database_url = string, cloud_sql_instance = string })
  default     = null
}

locals {
  environment = merge(
    # Below the 768 MB of an F2: the runtime collects garbage before they are reached.
    { GOMEMLIMIT = "600MiB" },
    var.settings.environment,
    var.ledger == null ? {} : { DATABASE_URL = var.ledger.database_url },
  )
}

resource "google_project_service" "used" {
  for_each           = toset(["appengine.googleapis.com", "cloudbuild.googleapis.com"])
  project            = var.project
  service            = each.value
  disable_on_destroy = false
}

# Identity-Aware Proxy is turned on by gcloud, with the client that Google manages: here it would
# take a client of one's own, whose secret would be in the state.
resource "google_app_engine_application" "application" {
  count       = var.create_application ? 1 : 0
  project     = var.project
  location_id = var.location

  lifecycle {
    ignore_changes  = [iap]
    prevent_destroy = true
  }
  depends_on = [google_project_service.used]
}

resource "google_iap_web_type_app_engine_iam_member" "opener" {
  for_each   = var.openers
  project    = var.project
  app_id     = var.project
  role       = "roles/iap.httpsResourceAccessor"
  member     = each.value
  depends_on = [google_app_engine_application.application]
}

output "app_yaml" {
  description = "app.yaml, beside go.mod of the source."
  value = yamlencode({
    runtime          = "go126"
    main             = "./cmd/jitaccess"
    service          = var.service
    instance_class   = "F2"
    service_account  = var.service_account
    inbound_services = ["warmup"]
    env_variables    = local.environment
    handlers         = [{ url = "/.*", secure = "always", script = "auto" }]
  })

  precondition {
    condition     = var.ledger == null || !contains(keys(var.settings.environment), "DATABASE_URL")
    error_message = "database_url of the settings and ledger are two databases: leave one out."
  }
}

output "cron_yaml" {
  description = "cron.yaml. A project has one: deploying it replaces what other services have in theirs."
  value = yamlencode({
    cron = [{
      description = "jitaccess finishes, ends and tells what is due"
      url         = "/internal/sweep"
      schedule    = "every 1 minutes"
      target      = var.service
    }]
  })
}

output "url" {
  description = "The address of the service. Links begin with public_url of the settings, where that is set."
  value       = lookup(var.settings.environment, "PUBLIC_URL", try("https://${google_app_engine_application.application[0].default_hostname}", null))
}

output "next" {
  description = "What deploys it, and says whether it is right."
  value = [
    "terraform output -raw app_yaml > app.yaml && gcloud app deploy app.yaml --project ${var.project}   # in the source, beside go.mod",
    "gcloud iap web enable --resource-type app-engine --project ${var.project}",
    "terraform output -raw cron_yaml > cron.yaml && gcloud app deploy cron.yaml --project ${var.project}   # with a ledger",
    "jitaccess doctor   # as the service account: deploy/setup.md, 8",
  ]
}
