# The service on Cloud Run, as deploy/cloudrun.yaml has it, with the jobs around it. One of these
# for each region.

terraform {
  required_version = ">= 1.9"
  required_providers {
    google      = { source = "hashicorp/google", version = ">= 6.50, < 9.0" }
    google-beta = { source = "hashicorp/google-beta", version = ">= 6.50, < 9.0" }
  }
}

locals {
  direct = var.iap == "service"

  environment = merge(
    # Below the limit of the container: the runtime collects garbage before it is reached.
    { GOMEMLIMIT = "200MiB" },
    var.settings.environment,
    var.ledger == null ? {} : { DATABASE_URL = var.ledger.database_url },
    local.direct ? {} : { IAP_BACKEND_SERVICE_ID = var.backend_service_id },
  )
  # Sockets of Cloud SQL that the containers have.
  sockets = compact([try(var.ledger.cloud_sql_instance, "")])

  # By their names: who stands in front, and what is different in the environment.
  services = merge(
    { (var.name) = { iap = local.direct, ingress = local.direct ? "INGRESS_TRAFFIC_ALL" : "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER", environment = {} } },
    var.machines ? { "${var.name}-machines" = { iap = false, ingress = "INGRESS_TRAFFIC_ALL", environment = { SERVE = "machines" } } } : {},
  )

  remembers = contains(keys(local.environment), "DATABASE_URL")

  # A job is not told the name of the service, so it is given.
  jobs = merge(
    { doctor = { arguments = ["doctor", "--service", var.name], retries = 0, timeout = "900s" } },
    local.remembers ? { sweep = { arguments = ["sweep", "--service", var.name], retries = 0, timeout = "240s" } } : {},
  )
}

resource "google_project_service" "used" {
  for_each           = toset(["run.googleapis.com", "cloudscheduler.googleapis.com"])
  project            = var.project
  service            = each.value
  disable_on_destroy = false
}

# Only google-beta is sure to know iap_enabled.
resource "google_cloud_run_v2_service" "service" {
  for_each            = local.services
  provider            = google-beta
  project             = var.project
  location            = var.region
  name                = each.key
  ingress             = each.value.ingress
  iap_enabled         = each.value.iap
  launch_stage        = "BETA"
  deletion_protection = false # it holds nothing; the database is protected

  template {
    service_account                  = var.service_account
    timeout                          = "60s" # an action ends by itself within 25 seconds
    max_instance_request_concurrency = 80

    scaling {
      min_instance_count = var.min_instances
      max_instance_count = var.max_instances
    }

    containers {
      image = var.image

      ports {
        container_port = 8080
      }
      resources {
        limits = { cpu = "1", memory = "256Mi" }
      }
      startup_probe {
        period_seconds    = 1
        failure_threshold = 10
        http_get {
          path = "/health/alive"
        }
      }
      liveness_probe {
        period_seconds = 30
        http_get {
          path = "/health/alive"
        }
      }

      dynamic "env" {
        for_each = merge(local.environment, each.value.environment)
        content {
          name  = env.key
          value = env.value
        }
      }
      dynamic "env" {
        for_each = var.settings.injected
        content {
          name = env.key
          value_source {
            secret_key_ref {
              secret  = env.value.secret
              version = env.value.version
            }
          }
        }
      }
      dynamic "volume_mounts" {
        for_each = local.sockets
        content {
          name       = "cloudsql"
          mount_path = "/cloudsql"
        }
      }
    }

    dynamic "volumes" {
      for_each = local.sockets
      content {
        name = "cloudsql"
        cloud_sql_instance {
          instances = [volumes.value]
        }
      }
    }
  }

  lifecycle {
    # Cloud Run sets another one than it was given.
    ignore_changes = [launch_stage]

    precondition {
      condition     = var.ledger == null || !contains(keys(var.settings.environment), "DATABASE_URL")
      error_message = "database_url of the settings and ledger are two databases: leave one out."
    }
    precondition {
      condition     = local.direct || var.backend_service_id != "" && contains(keys(local.environment), "PUBLIC_URL")
      error_message = "Behind a load balancer it takes backend_service_id, and public_url in the settings: no link can be written without it."
    }
    precondition {
      condition     = !var.machines || length(setsubtract(["DATABASE_URL", "SIGNING_KEY", "PUBLIC_URL", "MACHINES_URL"], keys(local.environment))) == 0
      error_message = "A service for machines takes a ledger, and signing_key, public_url and machines_url in the settings."
    }
  }

  depends_on = [google_project_service.used]
}

# Identity-Aware Proxy calls the service, and nobody else may.
resource "google_cloud_run_v2_service_iam_member" "iap" {
  project  = var.project
  location = var.region
  name     = google_cloud_run_v2_service.service[var.name].name
  role     = "roles/run.invoker"
  member   = var.iap_member
}

# Programs call the other one: it has no page and no identity, and asks each for its own token.
resource "google_cloud_run_v2_service_iam_member" "machines" {
  for_each = var.machines ? var.machine_callers : []
  project  = var.project
  location = var.region
  name     = google_cloud_run_v2_service.service["${var.name}-machines"].name
  role     = "roles/run.invoker"
  member   = each.value
}

# Who may open it. What they may activate is in the IAM policies.
resource "google_iap_web_cloud_run_service_iam_member" "opener" {
  for_each               = local.direct ? var.openers : []
  provider               = google-beta
  project                = var.project
  location               = var.region
  cloud_run_service_name = google_cloud_run_v2_service.service[var.name].name
  role                   = "roles/iap.httpsResourceAccessor"
  member                 = each.value
}

resource "google_cloud_run_v2_job" "job" {
  for_each            = local.jobs
  project             = var.project
  location            = var.region
  name                = "${var.name}-${each.key}"
  deletion_protection = false

  template {
    template {
      service_account = var.service_account
      max_retries     = each.value.retries
      timeout         = each.value.timeout

      containers {
        image = var.image
        args  = each.value.arguments

        resources {
          limits = { cpu = "1", memory = "512Mi" }
        }

        dynamic "env" {
          for_each = local.environment
          content {
            name  = env.key
            value = env.value
          }
        }
        dynamic "env" {
          for_each = var.settings.injected
          content {
            name = env.key
            value_source {
              secret_key_ref {
                secret  = env.value.secret
                version = env.value.version
              }
            }
          }
        }
        dynamic "volume_mounts" {
          for_each = local.sockets
          content {
            name       = "cloudsql"
            mount_path = "/cloudsql"
          }
        }
      }

      dynamic "volumes" {
        for_each = local.sockets
        content {
          name = "cloudsql"
          cloud_sql_instance {
            instances = [volumes.value]
          }
        }
      }
    }
  }

  depends_on = [google_project_service.used]
}

# The sweep is a job, so that nothing has to pass Identity-Aware Proxy.
resource "google_cloud_run_v2_job_iam_member" "sweep" {
  for_each = { for key, job in google_cloud_run_v2_job.job : key => job if key == "sweep" }
  project  = var.project
  location = var.region
  name     = each.value.name
  role     = "roles/run.invoker"
  member   = "serviceAccount:${var.scheduler_account}"
}

resource "google_cloud_scheduler_job" "sweep" {
  for_each         = { for key, job in google_cloud_run_v2_job.job : key => job if key == "sweep" }
  project          = var.project
  region           = coalesce(var.scheduler_region, var.region)
  name             = "${var.name}-sweep-${var.region}"
  description      = "jitaccess finishes, ends and tells what is due"
  schedule         = "*/5 * * * *"
  attempt_deadline = "60s"

  http_target {
    http_method = "POST"
    uri         = "https://run.googleapis.com/v2/projects/${var.project}/locations/${var.region}/jobs/${each.value.name}:run"
    oauth_token {
      service_account_email = var.scheduler_account
    }
  }

  depends_on = [google_cloud_run_v2_job_iam_member.sweep]
}
