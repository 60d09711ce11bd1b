# The service account, and what it may do: the same as in deploy/setup.md. Every binding is an
# _iam_member, which adds one member and leaves all others as they are.

terraform {
  required_version = ">= 1.9"
  required_providers {
    google      = { source = "hashicorp/google", version = ">= 6.50, < 9.0" }
    google-beta = { source = "hashicorp/google-beta", version = ">= 6.50, < 9.0" }
  }
}

locals {
  services = toset([
    "admin.googleapis.com", "cloudasset.googleapis.com", "cloudresourcemanager.googleapis.com",
    "iam.googleapis.com", "iamcredentials.googleapis.com", "iap.googleapis.com", "secretmanager.googleapis.com",
    "pubsub.googleapis.com", "orgpolicy.googleapis.com", "parametermanager.googleapis.com",
  ])

  # Secrets of this project are made here, without a version, so that none is in the state.
  own_secrets = var.create_secrets ? toset([
    for secret in concat(tolist(var.settings.secrets), tolist(var.more_secrets)) : split("/", secret)[3] if split("/", secret)[1] == var.project
  ]) : toset([])

  topic     = lookup(var.settings.environment, "NOTIFICATION_TOPIC", "")
  own_topic = local.topic != "" && !startswith(local.topic, "projects/")
}

resource "google_project_service" "used" {
  for_each           = local.services
  project            = var.project
  service            = each.value
  disable_on_destroy = false
}

resource "google_service_account" "jitaccess" {
  project      = var.project
  account_id   = var.account_id
  display_name = "jitaccess"
  depends_on   = [google_project_service.used]
}

# It signs activation tokens as itself, and gives itself the scope of the Directory API.
resource "google_service_account_iam_member" "itself" {
  service_account_id = google_service_account.jitaccess.name
  role               = "roles/iam.serviceAccountTokenCreator"
  member             = google_service_account.jitaccess.member
}

# It starts the sweep, and may do nothing else.
resource "google_service_account" "scheduler" {
  project      = var.project
  account_id   = "${var.account_id}-scheduler"
  display_name = "jitaccess: starts the sweep"
  depends_on   = [google_project_service.used]
}

# Whoever has a key of the account signs as the service does.
resource "google_org_policy_policy" "no_keys" {
  for_each = var.forbid_keys ? toset(["iam.disableServiceAccountKeyCreation", "iam.disableServiceAccountKeyUpload"]) : toset([])
  name     = "projects/${var.project}/policies/${each.value}"
  parent   = "projects/${var.project}"
  spec {
    rules {
      enforce = "TRUE"
    }
  }
  depends_on = [google_project_service.used]
}

# What it manages.

data "google_iam_role" "granted" {
  for_each = var.roles
  name     = each.value
}

module "limits" {
  source         = "./limits"
  scope          = var.scope
  roles          = var.roles
  accepted_roles = var.accepted_roles
  permissions    = { for role, granted in data.google_iam_role.granted : role => granted.included_permissions }
  read_inherited = var.read_inherited
  granted_on     = var.granted_on
}

resource "google_organization_iam_member" "scope" {
  for_each = { for key, binding in module.limits.bindings : key => binding if module.limits.kind == "organizations" }
  org_id   = module.limits.name
  role     = each.value.role
  member   = google_service_account.jitaccess.member

  dynamic "condition" {
    for_each = each.value.expression == "" ? [] : [each.value]
    content {
      title       = condition.value.title
      description = condition.value.description
      expression  = condition.value.expression
    }
  }
}

resource "google_folder_iam_member" "scope" {
  for_each = { for key, binding in module.limits.bindings : key => binding if module.limits.kind == "folders" }
  folder   = "folders/${module.limits.name}"
  role     = each.value.role
  member   = google_service_account.jitaccess.member

  dynamic "condition" {
    for_each = each.value.expression == "" ? [] : [each.value]
    content {
      title       = condition.value.title
      description = condition.value.description
      expression  = condition.value.expression
    }
  }
}

resource "google_project_iam_member" "scope" {
  for_each = { for key, binding in module.limits.bindings : key => binding if module.limits.kind == "projects" }
  project  = module.limits.name
  role     = each.value.role
  member   = google_service_account.jitaccess.member

  dynamic "condition" {
    for_each = each.value.expression == "" ? [] : [each.value]
    content {
      title       = condition.value.title
      description = condition.value.description
      expression  = condition.value.expression
    }
  }
}

# Folders and organizations that are given out themselves.

resource "google_organization_iam_member" "granted_on" {
  for_each = { for key, binding in module.limits.bindings_on : key => binding if binding.kind == "organizations" }
  org_id   = each.value.name
  role     = each.value.role
  member   = google_service_account.jitaccess.member
  condition {
    title       = each.value.title
    description = each.value.description
    expression  = each.value.expression
  }
}

resource "google_folder_iam_member" "granted_on" {
  for_each = { for key, binding in module.limits.bindings_on : key => binding if binding.kind == "folders" }
  folder   = "folders/${each.value.name}"
  role     = each.value.role
  member   = google_service_account.jitaccess.member
  condition {
    title       = each.value.title
    description = each.value.description
    expression  = each.value.expression
  }
}

# What it reads and tells in projects of its own.

resource "google_secret_manager_secret" "setting" {
  for_each  = local.own_secrets
  project   = var.project
  secret_id = each.value
  replication {
    auto {}
  }
  depends_on = [google_project_service.used]
}

resource "google_secret_manager_secret_iam_member" "setting" {
  for_each   = setunion(var.settings.secrets, var.more_secrets)
  secret_id  = each.value
  role       = "roles/secretmanager.secretAccessor"
  member     = google_service_account.jitaccess.member
  depends_on = [google_secret_manager_secret.setting]
}

# A parameter has no policy of its own in Terraform.
resource "google_project_iam_member" "parameters" {
  for_each = toset([for parameter in var.settings.parameters : split("/", parameter)[1]])
  project  = each.value
  role     = "roles/parametermanager.parameterViewer"
  member   = google_service_account.jitaccess.member
}

resource "google_pubsub_topic" "messages" {
  count      = local.own_topic ? 1 : 0
  project    = var.project
  name       = local.topic
  depends_on = [google_project_service.used]
}

resource "google_pubsub_topic_iam_member" "messages" {
  count      = local.topic == "" ? 0 : 1
  project    = local.own_topic ? var.project : split("/", local.topic)[1]
  topic      = local.own_topic ? local.topic : split("/", local.topic)[3]
  role       = "roles/pubsub.publisher"
  member     = google_service_account.jitaccess.member
  depends_on = [google_pubsub_topic.messages]
}

# It lets doctor warn of an earlier version that still serves, and of keys.
resource "google_project_iam_member" "doctor" {
  for_each = var.doctor_sees_more ? toset(["roles/run.viewer", "roles/appengine.appViewer", "roles/iam.serviceAccountViewer"]) : toset([])
  project  = var.project
  role     = each.value
  member   = google_service_account.jitaccess.member
}

# Identity-Aware Proxy calls the service as this account. Only google-beta knows the resource.
resource "google_project_service_identity" "iap" {
  provider   = google-beta
  project    = var.project
  service    = "iap.googleapis.com"
  depends_on = [google_project_service.used]
}
