# Alerts by what the service logs (docs/log.md), an alert for a sweep that is late, and a dashboard.

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

variable "platform" {
  description = "Where the service runs: cloud-run or app-engine."
  type        = string
  default     = "cloud-run"

  validation {
    condition     = contains(["cloud-run", "app-engine"], var.platform)
    error_message = "platform must be cloud-run or app-engine."
  }
}

variable "service" {
  description = "The name of the service; on App Engine default, unless it is another service there."
  type        = string
  default     = "jitaccess"
}

variable "notification_channels" {
  description = "Whom alerts tell: projects/PROJECT/notificationChannels/NUMBER. They are made in the console, under Monitoring, Alerting, since most need somebody's consent."
  type        = list(string)
  default     = []
}

variable "remembers" {
  description = "Whether there is a ledger, and so a sweep that can be late."
  type        = bool
  default     = false
}

variable "version_deployed" {
  description = "What jitaccess --version says of the image that is deployed. Whatever else starts is then an alert; empty for none."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^[A-Za-z0-9._+-]*$", var.version_deployed))
    error_message = "version_deployed is a version, such as v1.4.0."
  }
}

locals {
  run = var.platform == "cloud-run"

  # Whatever grants in this project is meant, an earlier version under another name too.
  everything = local.run ? "resource.type=(\"cloud_run_revision\" OR \"cloud_run_job\")" : "resource.type=\"gae_app\""

  alerts = merge(
    {
      glass = {
        name   = "jitaccess: somebody broke the glass"
        filter = "labels.event=\"api.breakGlass\" severity=ALERT"
        text   = "Somebody gave themselves access without approval. labels.user is who, labels.justification why. Somebody else reviews it on the page of the request."
      }
      failed = {
        name   = "jitaccess: access could not be given"
        filter = "labels.event=\"api.activateRole\" severity=ERROR labels.error!=\"AccessDeniedException\""
        text   = "What was approved, or needed no approval, was not written. labels.error_code says why; run the doctor."
      }
      foreign = {
        name   = "jitaccess: a grant that nobody made here"
        filter = "labels.event=\"grant.unknown\" severity>=ERROR"
        text   = "Another version grants with the same service account, or somebody has written a policy by hand. docs/ledger.md, Beside it, says what to do."
      }
      health = {
        name   = "jitaccess: something it needs is failing"
        filter = "labels.event=\"api.checkHealth\" severity=WARNING"
        text   = "labels.dependency says what: SweepIsCurrent and OutboxIsCurrent that something is due for a quarter of an hour."
      }
      ledger = {
        name   = "jitaccess: the ledger needs somebody"
        filter = "labels.event=\"ledger.maintain\" severity=ERROR"
        text   = "The sweep cannot look at the ledger, a message cannot be read, or the ledger may be an older copy. docs/ledger.md has each."
      }
      policy = {
        name   = "jitaccess: the policy file was not taken"
        filter = "labels.event=\"policy.refused\" severity=ERROR"
        text   = "It has faults, or cannot be read. The one before goes on."
      }
      unsent = {
        name   = "jitaccess: somebody could not be told for a day"
        filter = "labels.event=\"api.notify\" severity=ERROR"
        text   = "It is not tried any more; labels.error says why. Tell them otherwise."
      }
    },
    var.version_deployed == "" ? {} : {
      old = {
        name   = "jitaccess: another version started"
        filter = "labels.event=\"runtime.startup\" severity=INFO NOT labels.version=\"${var.version_deployed}\""
        text   = "It grants as long as it serves: take it away (docs/upgrade.md), or correct version_deployed."
      }
    },
  )

  # What is counted for the dashboard.
  counted = {
    requested = "labels.event=\"api.requestRole\" severity=INFO"
    granted   = "labels.event=\"api.activateRole\" severity=INFO"
    failed    = "labels.event=\"api.activateRole\" severity=ERROR"
    denied    = "labels.event=\"api.denyRequest\" severity=INFO"
    ended     = "labels.event=\"api.endActivation\" severity=INFO"
    glass     = "labels.event=\"api.breakGlass\" severity=ALERT"
    lapsed    = "labels.event=\"api.lapse\" severity=INFO"
    unsent    = "labels.event=\"api.notify\" severity>=WARNING"
    refused   = "labels.event=\"http.refuse\" severity=ERROR"
  }

  charts = [
    { title = "Access", lines = ["requested", "granted", "denied", "lapsed", "ended"] },
    { title = "Broken glass, and what went wrong", lines = ["glass", "failed", "unsent", "refused"] },
  ]
}

resource "google_project_service" "used" {
  for_each           = toset(["logging.googleapis.com", "monitoring.googleapis.com"])
  project            = var.project
  service            = each.value
  disable_on_destroy = false
}

resource "google_monitoring_alert_policy" "event" {
  for_each              = local.alerts
  project               = var.project
  display_name          = each.value.name
  combiner              = "OR"
  severity              = each.key == "glass" || each.key == "foreign" ? "CRITICAL" : "ERROR"
  notification_channels = var.notification_channels

  conditions {
    display_name = each.value.name
    condition_matched_log {
      filter = "${local.everything} ${each.value.filter}"
      label_extractors = {
        incident = "EXTRACT(labels.incident)"
        request  = "EXTRACT(labels.activation_id)"
      }
    }
  }
  alert_strategy {
    auto_close = "86400s"
    notification_rate_limit {
      period = "300s"
    }
  }
  documentation {
    content   = each.value.text
    mime_type = "text/markdown"
  }
  depends_on = [google_project_service.used]
}

# No sweep has ended well for a quarter of an hour: nothing lapses, and what was approved for
# later is not written. On App Engine cron asks for it, on Cloud Run it is a job.
resource "google_logging_metric" "swept" {
  count   = var.remembers && !local.run ? 1 : 0
  project = var.project
  name    = "jitaccess/swept"
  filter  = "resource.type=\"gae_app\" protoPayload.resource=\"/internal/sweep\" protoPayload.status=200"
  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"
  }
  depends_on = [google_project_service.used]
}

resource "google_monitoring_alert_policy" "sweep" {
  count                 = var.remembers ? 1 : 0
  project               = var.project
  display_name          = "jitaccess: the sweep is late"
  combiner              = "OR"
  severity              = "ERROR"
  notification_channels = var.notification_channels

  conditions {
    display_name = "no sweep for a quarter of an hour"
    condition_absent {
      duration = "900s"
      filter = local.run ? join(" AND ", [
        "resource.type=\"cloud_run_job\"", "resource.labels.job_name=\"${var.service}-sweep\"",
        "metric.type=\"run.googleapis.com/job/completed_execution_count\"", "metric.labels.result=\"succeeded\"",
      ]) : "resource.type=\"gae_app\" AND metric.type=\"logging.googleapis.com/user/${google_logging_metric.swept[0].name}\""
      aggregations {
        alignment_period     = "300s"
        per_series_aligner   = "ALIGN_DELTA"
        cross_series_reducer = "REDUCE_SUM"
      }
    }
  }
  documentation {
    content   = "Nothing lapses, what was approved for later is not written, and nobody is told what could not be told at once. See the log of the job, or of cron."
    mime_type = "text/markdown"
  }
  depends_on = [google_project_service.used]
}

resource "google_logging_metric" "event" {
  for_each = local.counted
  project  = var.project
  name     = "jitaccess/${each.key}"
  filter   = "${local.everything} ${each.value}"
  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"
  }
  depends_on = [google_project_service.used]
}

resource "google_monitoring_dashboard" "jitaccess" {
  project = var.project
  dashboard_json = jsonencode({
    displayName = "jitaccess"
    gridLayout = {
      columns = 2
      widgets = concat(
        [for chart in local.charts : {
          title = chart.title
          xyChart = {
            dataSets = [for line in chart.lines : {
              legendTemplate = line
              plotType       = "STACKED_BAR"
              timeSeriesQuery = {
                timeSeriesFilter = {
                  filter      = "metric.type=\"logging.googleapis.com/user/${google_logging_metric.event[line].name}\""
                  aggregation = { alignmentPeriod = "3600s", perSeriesAligner = "ALIGN_DELTA", crossSeriesReducer = "REDUCE_SUM" }
                }
              }
            }]
          }
        }],
        local.run ? [{
          title = "Answers, 95 of 100 within (ms)"
          xyChart = {
            dataSets = [{
              legendTemplate = ""
              plotType       = "LINE"
              timeSeriesQuery = {
                timeSeriesFilter = {
                  filter      = "resource.type=\"cloud_run_revision\" AND resource.labels.service_name=\"${var.service}\" AND metric.type=\"run.googleapis.com/request_latencies\""
                  aggregation = { alignmentPeriod = "300s", perSeriesAligner = "ALIGN_PERCENTILE_95", crossSeriesReducer = "REDUCE_MAX" }
                }
              }
            }]
          }
        }] : [],
      )
    }
  })
}

output "alerts" {
  description = "The names of the alert policies."
  value       = concat([for policy in google_monitoring_alert_policy.event : policy.display_name], [for policy in google_monitoring_alert_policy.sweep : policy.display_name])
}

output "by_hand" {
  description = "What Terraform cannot do."
  value       = length(var.notification_channels) > 0 ? [] : ["Make a notification channel in the console, under Monitoring, Alerting, and name it in notification_channels: until then alerts tell nobody."]
}
