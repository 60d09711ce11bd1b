output "service_account" {
  description = "The address of the service account."
  value       = google_service_account.jitaccess.email
  # It is of use once it may do what the service does.
  depends_on = [
    google_service_account_iam_member.itself, google_secret_manager_secret_iam_member.setting,
    google_project_iam_member.parameters, google_pubsub_topic_iam_member.messages,
  ]
}

output "scheduler_account" {
  description = "The address of the account that starts the sweep."
  value       = google_service_account.scheduler.email
}

output "iap_member" {
  description = "As what Identity-Aware Proxy calls the service."
  value       = google_project_service_identity.iap.member
}

output "by_hand" {
  description = "What Terraform cannot do."
  value = concat(
    ["In the Google Admin console, under Account, Admin roles, Groups Reader, assign the role to ${google_service_account.jitaccess.email}."],
    [for secret in sort(local.own_secrets) : "gcloud secrets versions add ${secret} --project ${var.project} --data-file=-   # unless it has a version"],
  )
}
