output "url" {
  description = "The address of the service. Links begin with public_url of the settings, where that is set."
  value       = lookup(var.settings.environment, "PUBLIC_URL", google_cloud_run_v2_service.service[var.name].uri)
}

output "machines_url" {
  description = "The address of the service for machines; null where there is none."
  value       = try(google_cloud_run_v2_service.service["${var.name}-machines"].uri, null)
}

output "service" {
  description = "The name of the service in its region, for the modules load-balancer and monitoring."
  value       = google_cloud_run_v2_service.service[var.name].name
}

output "next" {
  description = "What says whether it is right, and what it found."
  value = [
    "gcloud run jobs execute ${google_cloud_run_v2_job.job["doctor"].name} --region ${var.region} --project ${var.project} --wait",
    "gcloud logging read 'resource.type=\"cloud_run_job\" AND resource.labels.job_name=\"${google_cloud_run_v2_job.job["doctor"].name}\"' --project ${var.project} --freshness 1h --order asc --format 'value(textPayload)'",
  ]
}
