# The service on App Engine, without a ledger: a request is its link.

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

variable "location" {
  description = "Where App Engine is. It can never be changed."
  type        = string
  default     = "europe-west"
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
}

module "permissions" {
  source   = "../../permissions"
  project  = var.project
  scope    = var.scope
  roles    = var.roles
  settings = module.settings
}

module "app_engine" {
  source          = "../../app-engine"
  project         = var.project
  location        = var.location
  settings        = module.settings
  service_account = module.permissions.service_account
  openers         = var.openers
}

module "monitoring" {
  source   = "../../monitoring"
  project  = var.project
  platform = "app-engine"
  service  = "default"
}

output "url" {
  description = "Where people open it."
  value       = module.app_engine.url
}

output "service_account" {
  description = "As what it runs."
  value       = module.permissions.service_account
}

output "app_yaml" {
  description = "app.yaml, beside go.mod of the source."
  value       = module.app_engine.app_yaml
}

output "by_hand" {
  description = "What Terraform cannot do."
  value       = concat(module.permissions.by_hand, module.monitoring.by_hand)
}

output "next" {
  description = "What deploys it, and says whether it is right."
  value       = module.app_engine.next
}
