# The service on Cloud Run, with Identity-Aware Proxy on the service itself. ../../README.md has
# the steps. Copy this folder, and let source name the version that you take:
# git::https://HOST/REPOSITORY//deploy/terraform/settings?ref=VERSION

terraform {
  required_version = ">= 1.9"
  required_providers {
    google      = { source = "hashicorp/google", version = ">= 6.50, < 9.0" }
    google-beta = { source = "hashicorp/google-beta", version = ">= 6.50, < 9.0" }
  }
}

variable "project" {
  description = "The project that the service runs in."
  type        = string
}

variable "region" {
  description = "The region that it runs in."
  type        = string
  default     = "europe-west1"
}

variable "scope" {
  description = "What it manages: organizations/NUMBER, folders/NUMBER or projects/ID."
  type        = string
}

variable "customer_id" {
  description = "Whose groups are looked up: gcloud organizations describe NUMBER --format 'value(owner.directoryCustomerId)'"
  type        = string
}

variable "roles" {
  description = "The roles that it may grant."
  type        = set(string)
}

variable "openers" {
  description = "Who may open it, such as domain:example.com."
  type        = set(string)
}

variable "image" {
  description = "The image by its digest. The first step makes the place for it, and needs none."
  type        = string
}

# The quota of some APIs is that of a project: a person who applies this has none of their own.
provider "google" {
  project               = var.project
  billing_project       = var.project
  user_project_override = true
}

provider "google-beta" {
  project               = var.project
  billing_project       = var.project
  user_project_override = true
}

# All settings of docs/configuration.md can stand here, in small letters.
module "settings" {
  source               = "../../settings"
  resource_scope       = var.scope
  resource_catalog     = "AssetInventory"
  resource_customer_id = var.customer_id
  signing_key          = "projects/${var.project}/secrets/jitaccess-signing-key/versions/1"
  ledger_retention     = 730
}

module "permissions" {
  source   = "../../permissions"
  project  = var.project
  scope    = var.scope
  roles    = var.roles
  settings = module.settings
}

resource "google_project_service" "artifact_registry" {
  project            = var.project
  service            = "artifactregistry.googleapis.com"
  disable_on_destroy = false
}

resource "google_artifact_registry_repository" "images" {
  project       = var.project
  location      = var.region
  repository_id = "jitaccess"
  format        = "DOCKER"
  depends_on    = [google_project_service.artifact_registry]
}

# Without it, and without ledger below, signing_key and ledger_retention, a request is its link.
module "cloud_sql" {
  source          = "../../cloud-sql"
  project         = var.project
  region          = var.region
  service_account = module.permissions.service_account
}

module "cloud_run" {
  source            = "../../cloud-run"
  project           = var.project
  region            = var.region
  image             = var.image
  settings          = module.settings
  service_account   = module.permissions.service_account
  scheduler_account = module.permissions.scheduler_account
  iap_member        = module.permissions.iap_member
  openers           = var.openers
  ledger            = module.cloud_sql.ledger
}

module "monitoring" {
  source    = "../../monitoring"
  project   = var.project
  service   = module.cloud_run.service
  remembers = true
}

output "url" {
  description = "Where people open it."
  value       = module.cloud_run.url
}

output "service_account" {
  description = "As what it runs."
  value       = module.permissions.service_account
}

output "by_hand" {
  description = "What Terraform cannot do."
  value       = concat(module.permissions.by_hand, module.cloud_sql.by_hand, module.monitoring.by_hand)
}

output "next" {
  description = "What says whether it is right."
  value       = module.cloud_run.next
}
