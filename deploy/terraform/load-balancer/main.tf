# A load balancer with Identity-Aware Proxy in front of the service in one region or several. It
# knows services by their names alone, so that it can be made before them, and they can be told
# the number of its backend service.

terraform {
  required_version = ">= 1.9"
  required_providers {
    google = { source = "hashicorp/google", version = ">= 6.50, < 9.0" }
  }
}

variable "project" {
  description = "The project of the services."
  type        = string
}

variable "name" {
  description = "What everything here is called."
  type        = string
  default     = "jitaccess"
}

variable "service" {
  description = "The name of the service, the same in each region: name of the module cloud-run."
  type        = string
  default     = "jitaccess"
}

variable "regions" {
  description = "The regions that have the service."
  type        = set(string)

  validation {
    condition     = length(var.regions) > 0 && alltrue([for region in var.regions : can(regex("^[a-z]+-[a-z]+[0-9]+$", region))])
    error_message = "regions must be names of regions, such as europe-west1."
  }
}

variable "domain" {
  description = "The host under which people open it, such as access.example.com. public_url of the settings is https://DOMAIN."
  type        = string

  validation {
    condition     = can(regex("^([a-z0-9]([a-z0-9-]*[a-z0-9])?\\.)+[a-z]{2,}$", var.domain))
    error_message = "domain must be a host name, without https://."
  }
}

variable "openers" {
  description = "Who may open it, such as domain:example.com."
  type        = set(string)
}

resource "google_project_service" "compute" {
  project            = var.project
  service            = "compute.googleapis.com"
  disable_on_destroy = false
}

resource "google_compute_region_network_endpoint_group" "service" {
  for_each              = var.regions
  project               = var.project
  region                = each.value
  name                  = "${var.name}-${each.value}"
  network_endpoint_type = "SERVERLESS"
  cloud_run {
    service = var.service
  }
  depends_on = [google_project_service.compute]
}

# Without a client of one's own Identity-Aware Proxy has one that Google manages, which lets
# people of the organization in.
resource "google_compute_backend_service" "service" {
  project               = var.project
  name                  = var.name
  load_balancing_scheme = "EXTERNAL_MANAGED"
  protocol              = "HTTPS"

  dynamic "backend" {
    for_each = google_compute_region_network_endpoint_group.service
    content {
      group = backend.value.id
    }
  }
  iap {
    enabled = true
  }
  log_config {
    enable = true
  }
}

resource "google_iap_web_backend_service_iam_member" "opener" {
  for_each            = var.openers
  project             = var.project
  web_backend_service = google_compute_backend_service.service.name
  role                = "roles/iap.httpsResourceAccessor"
  member              = each.value
}

resource "google_compute_global_address" "service" {
  project    = var.project
  name       = var.name
  depends_on = [google_project_service.compute]
}

resource "google_compute_managed_ssl_certificate" "service" {
  project = var.project
  name    = var.name
  managed {
    domains = [var.domain]
  }
  depends_on = [google_project_service.compute]
}

resource "google_compute_url_map" "service" {
  project         = var.project
  name            = var.name
  default_service = google_compute_backend_service.service.id
}

resource "google_compute_target_https_proxy" "service" {
  project          = var.project
  name             = var.name
  url_map          = google_compute_url_map.service.id
  ssl_certificates = [google_compute_managed_ssl_certificate.service.id]
}

resource "google_compute_global_forwarding_rule" "service" {
  project               = var.project
  name                  = var.name
  load_balancing_scheme = "EXTERNAL_MANAGED"
  ip_address            = google_compute_global_address.service.id
  port_range            = "443"
  target                = google_compute_target_https_proxy.service.id
}

output "backend_service_id" {
  description = "The number of the backend service, for which Identity-Aware Proxy makes its assertions."
  value       = tostring(google_compute_backend_service.service.generated_id)
}

output "by_hand" {
  description = "What Terraform cannot do."
  value       = ["Let the DNS record A of ${var.domain} be ${google_compute_global_address.service.address}; the certificate comes within an hour of that."]
}
