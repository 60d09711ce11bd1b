# A database for the ledger, in which the service account logs in with its token: there is no
# password. The module firestore makes one of another kind, with the same output.

terraform {
  required_version = ">= 1.9"
  required_providers {
    google = { source = "hashicorp/google", version = ">= 6.50, < 9.0" }
  }
}

variable "project" {
  description = "The project of the service."
  type        = string
}

variable "region" {
  description = "Where the database is."
  type        = string
}

variable "name" {
  description = "What the instance is called. Google keeps the name of one that was deleted for a week."
  type        = string
  default     = "jitaccess"
}

variable "service_account" {
  description = "The address of the service account: service_account of the module permissions."
  type        = string
}

variable "tier" {
  description = "The machine of the database."
  type        = string
  default     = "db-custom-1-3840"
}

locals {
  database = "jitaccess"
  # As PostgreSQL knows a service account.
  user = trimsuffix(var.service_account, ".gserviceaccount.com")
}

resource "google_project_service" "used" {
  for_each           = toset(["sqladmin.googleapis.com"])
  project            = var.project
  service            = each.value
  disable_on_destroy = false
}

resource "google_sql_database_instance" "ledger" {
  project             = var.project
  region              = var.region
  name                = var.name
  database_version    = "POSTGRES_17"
  deletion_protection = true

  settings {
    edition                     = "ENTERPRISE"
    tier                        = var.tier
    availability_type           = "REGIONAL"
    deletion_protection_enabled = true
    # Nobody connects but through Cloud SQL's own connectors, which ask IAM.
    connector_enforcement = "REQUIRED"

    database_flags {
      name  = "cloudsql.iam_authentication"
      value = "on"
    }
    ip_configuration {
      ipv4_enabled = true # with no authorized network
      ssl_mode     = "ENCRYPTED_ONLY"
    }
    backup_configuration {
      enabled                        = true
      point_in_time_recovery_enabled = true
    }
  }

  lifecycle {
    prevent_destroy = true
  }
  depends_on = [google_project_service.used]
}

resource "google_sql_database" "ledger" {
  project         = var.project
  instance        = google_sql_database_instance.ledger.name
  name            = local.database
  deletion_policy = "ABANDON"
}

resource "google_sql_user" "service" {
  project  = var.project
  instance = google_sql_database_instance.ledger.name
  name     = local.user
  type     = "CLOUD_IAM_SERVICE_ACCOUNT"
}

resource "google_project_iam_member" "service" {
  for_each = toset(["roles/cloudsql.client", "roles/cloudsql.instanceUser"])
  project  = var.project
  role     = each.value
  member   = "serviceAccount:${var.service_account}"
}

output "ledger" {
  description = "Where requests are remembered, for the module cloud-run or app-engine."
  value = {
    database_url       = "postgres://${urlencode(local.user)}@/${local.database}?host=/cloudsql/${google_sql_database_instance.ledger.connection_name}"
    cloud_sql_instance = google_sql_database_instance.ledger.connection_name
  }
  # It is of use once the account may log in.
  depends_on = [google_sql_database.ledger, google_sql_user.service, google_project_iam_member.service]
}

output "by_hand" {
  description = "What Terraform cannot do."
  value = [
    "gcloud sql users set-password postgres --instance ${google_sql_database_instance.ledger.name} --project ${var.project} --prompt-for-password",
    "gcloud beta sql connect ${google_sql_database_instance.ledger.name} --project ${var.project} --user postgres --database ${local.database}, and there: GRANT USAGE, CREATE ON SCHEMA public TO \"${local.user}\";",
  ]
}
