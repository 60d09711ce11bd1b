# The settings of the service, checked, in the form in which the other modules take them. There is
# no provider here, so that all of it can be tried anywhere: terraform test.

terraform {
  required_version = ">= 1.9"
}

locals {
  # What is blank is unset, as in the service.
  environment = { for name, value in local.given : name => tostring(value) if try(trimspace(tostring(value)), "") != "" }
  versions    = { for name, value in local.injected : name => value if try(trimspace(value), "") != "" }

  secret    = "^(projects/[^/]+/secrets/[^/]+)/versions/([^/]+)$"
  parameter = "^(projects/[^/]+/locations/[^/]+/parameters/[^/]+)/versions/[^/]+$"

  # Everything that begins like where something is kept.
  kept = [for value in concat(values(local.environment), values(local.versions)) : value if startswith(value, "projects/")]
}

output "environment" {
  description = "What the service has in its environment, by name: settings, and where secrets are kept."
  value       = local.environment

  precondition {
    condition     = lower(coalesce(var.resource_catalog, "PolicyAnalyzer")) != "assetinventory" || contains(keys(local.environment), "RESOURCE_CUSTOMER_ID")
    error_message = "RESOURCE_CATALOG=AssetInventory needs resource_customer_id."
  }
  precondition {
    condition     = coalesce(var.activation_request_min_reviewers, 1) <= coalesce(var.activation_request_max_reviewers, 10)
    error_message = "activation_request_min_reviewers is more than activation_request_max_reviewers, which is 10 when unset."
  }
  precondition {
    condition     = contains(keys(local.environment), "WEBHOOK_URL") == contains(keys(local.environment), "WEBHOOK_SECRET")
    error_message = "webhook_url and webhook_secret go together."
  }
  precondition {
    condition     = contains(keys(local.environment), "SMTP_DKIM_SELECTOR") == contains(keys(local.environment), "SMTP_DKIM_KEY")
    error_message = "smtp_dkim_selector and smtp_dkim_key go together."
  }
}

output "injected" {
  description = "Secrets that the platform puts into the environment, by name: where each is kept."
  value       = { for name, version in local.versions : name => { secret = regex(local.secret, version)[0], version = regex(local.secret, version)[1] } }
}

output "secrets" {
  description = "The secrets that the settings name, projects/PROJECT/secrets/SECRET, each once."
  value       = toset([for value in local.kept : regex(local.secret, value)[0] if can(regex(local.secret, value))])
}

output "parameters" {
  description = "The parameters of Parameter Manager that the settings name."
  value       = toset([for value in local.kept : regex(local.parameter, value)[0] if can(regex(local.parameter, value))])
}
