# The service in two regions behind one load balancer, which has Identity-Aware Proxy. Both use one
# database; while its region is down, ../../../../docs/ledger.md says what still works.

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

variable "regions" {
  description = "The regions that it runs in. The database is in the first by name."
  type        = set(string)
  default     = ["europe-west1", "europe-west3"]
}

variable "domain" {
  description = "The host under which people open it."
  type        = string
}

variable "scope" {
  description = "What it manages: organizations/NUMBER, folders/NUMBER or projects/ID."
  type        = string
}

variable "customer_id" {
  description = "Whose groups are looked up."
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
  description = "The image by its digest."
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

module "settings" {
  source               = "../../settings"
  resource_scope       = var.scope
  resource_catalog     = "AssetInventory"
  resource_customer_id = var.customer_id
  public_url           = "https://${var.domain}"
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

module "cloud_sql" {
  source          = "../../cloud-sql"
  project         = var.project
  region          = sort(var.regions)[0]
  service_account = module.permissions.service_account
}

module "load_balancer" {
  source  = "../../load-balancer"
  project = var.project
  regions = var.regions
  domain  = var.domain
  openers = var.openers
}

module "cloud_run" {
  source             = "../../cloud-run"
  for_each           = var.regions
  project            = var.project
  region             = each.value
  image              = var.image
  settings           = module.settings
  service_account    = module.permissions.service_account
  scheduler_account  = module.permissions.scheduler_account
  iap_member         = module.permissions.iap_member
  iap                = "load-balancer"
  backend_service_id = module.load_balancer.backend_service_id
  min_instances      = 1
  ledger             = module.cloud_sql.ledger
}

module "monitoring" {
  source    = "../../monitoring"
  project   = var.project
  remembers = true
}

output "url" {
  description = "Where people open it."
  value       = "https://${var.domain}"
}

output "service_account" {
  description = "As what it runs."
  value       = module.permissions.service_account
}

output "by_hand" {
  description = "What Terraform cannot do."
  value       = concat(module.permissions.by_hand, module.cloud_sql.by_hand, module.load_balancer.by_hand, module.monitoring.by_hand)
}

output "next" {
  description = "What says whether it is right, in each region."
  value       = { for region, service in module.cloud_run : region => service.next }
}
