# A database of Firestore for the ledger, which the service account uses as itself. It is a kind
# beside the module cloud-sql, with the same output.

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

variable "location" {
  description = "Where the database is, for good: a region, or a multi-region such as eur3."
  type        = string
}

variable "name" {
  description = "What the database is called. Nothing else is to be in it."
  type        = string
  default     = "jitaccess"
}

variable "service_account" {
  description = "The address of the service account: service_account of the module permissions."
  type        = string
}

locals {
  # What the queries need, as a test has it.
  needed  = jsondecode(file("${path.module}/../../firestore.indexes.json"))
  indexes = { for index in local.needed.indexes : join(" ", concat([index.collectionGroup], [for f in index.fields : "${f.fieldPath} ${try(f.order, f.arrayConfig)}"])) => index }
  exempt  = { for field in local.needed.fieldOverrides : "${field.collectionGroup} ${field.fieldPath}" => field }
}

resource "google_project_service" "used" {
  for_each           = toset(["firestore.googleapis.com"])
  project            = var.project
  service            = each.value
  disable_on_destroy = false
}

resource "google_firestore_database" "ledger" {
  project                           = var.project
  name                              = var.name
  location_id                       = var.location
  type                              = "FIRESTORE_NATIVE"
  point_in_time_recovery_enablement = "POINT_IN_TIME_RECOVERY_ENABLED"
  delete_protection_state           = "DELETE_PROTECTION_ENABLED"
  deletion_policy                   = "ABANDON"

  lifecycle {
    prevent_destroy = true
  }
  depends_on = [google_project_service.used]
}

resource "google_firestore_index" "needed" {
  for_each    = local.indexes
  project     = var.project
  database    = google_firestore_database.ledger.name
  collection  = each.value.collectionGroup
  query_scope = each.value.queryScope

  dynamic "fields" {
    for_each = each.value.fields
    content {
      field_path   = fields.value.fieldPath
      order        = try(fields.value.order, null)
      array_config = try(fields.value.arrayConfig, null)
    }
  }
}

# What is only ever read whole needs no index, and could not have one: it is too long.
resource "google_firestore_field" "exempt" {
  for_each   = local.exempt
  project    = var.project
  database   = google_firestore_database.ledger.name
  collection = each.value.collectionGroup
  field      = each.value.fieldPath
  index_config {}
}

# In this database alone: there are no rights on parts of it.
resource "google_project_iam_member" "service" {
  project = var.project
  role    = "roles/datastore.user"
  member  = "serviceAccount:${var.service_account}"
  condition {
    title      = "The ledger of jitaccess"
    expression = "resource.name == \"projects/${var.project}/databases/${var.name}\""
  }
}

output "ledger" {
  description = "Where requests are remembered, for the module cloud-run or app-engine."
  value = {
    database_url       = "firestore:${var.project}/${google_firestore_database.ledger.name}"
    cloud_sql_instance = ""
  }
  # It is of use once the account may use it, and lists can be read.
  depends_on = [google_project_iam_member.service, google_firestore_index.needed]
}
