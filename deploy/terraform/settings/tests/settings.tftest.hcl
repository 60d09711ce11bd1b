# terraform -chdir=deploy/terraform/settings test

run "nothing_is_set" {
  command = plan
  assert {
    condition     = length(output.environment) == 0 && length(output.injected) == 0 && length(output.secrets) == 0
    error_message = "What is not set must not be set in the service."
  }
}

run "what_is_set_is_set" {
  command = plan
  variables {
    resource_scope        = "organizations/123456789012"
    resource_catalog      = "AssetInventory"
    resource_customer_id  = "C0123abcd"
    elevation_duration    = 60
    smtp_enable_starttls  = true
    iap_verify_audience   = false
    admins                = ["group:admins@example.com", "user:alice@example.com"]
    signing_key           = "projects/access-prod/secrets/signing-key/versions/1"
    smtp_secret           = "projects/mail-prod/secrets/smtp/versions/latest"
    policy                = "projects/access-prod/locations/global/parameters/policy/versions/v7"
    smtp_ca               = "/etc/mail-ca.pem"
    all_proxy             = "projects/access-prod/secrets/proxy/versions/3"
    jwks_endpoint         = ""
    justification_pattern = "BUG-[0-9]+"
  }
  assert {
    condition = output.environment == {
      RESOURCE_SCOPE        = "organizations/123456789012"
      RESOURCE_CATALOG      = "AssetInventory"
      RESOURCE_CUSTOMER_ID  = "C0123abcd"
      ELEVATION_DURATION    = "60"
      SMTP_ENABLE_STARTTLS  = "true"
      IAP_VERIFY_AUDIENCE   = "false"
      ADMINS                = "group:admins@example.com,user:alice@example.com"
      SIGNING_KEY           = "projects/access-prod/secrets/signing-key/versions/1"
      SMTP_SECRET           = "projects/mail-prod/secrets/smtp/versions/latest"
      POLICY                = "projects/access-prod/locations/global/parameters/policy/versions/v7"
      SMTP_CA               = "/etc/mail-ca.pem"
      JUSTIFICATION_PATTERN = "BUG-[0-9]+"
    }
    error_message = "The environment is another."
  }
  assert {
    condition     = output.injected == { ALL_PROXY = { secret = "projects/access-prod/secrets/proxy", version = "3" } }
    error_message = "The platform has to hand over the proxy's address, and nothing else."
  }
  assert {
    condition     = output.secrets == toset(["projects/access-prod/secrets/signing-key", "projects/mail-prod/secrets/smtp", "projects/access-prod/secrets/proxy"])
    error_message = "The secrets are others."
  }
  assert {
    condition     = output.parameters == toset(["projects/access-prod/locations/global/parameters/policy"])
    error_message = "The parameters are others."
  }
}

run "a_scope_that_is_none" {
  command = plan
  variables {
    resource_scope = "organization/123"
  }
  expect_failures = [var.resource_scope]
}

run "a_secret_itself" {
  command = plan
  variables {
    signing_key = "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2U="
    smtp_secret = "projects/mail-prod/secrets/smtp"
  }
  expect_failures = [var.signing_key, var.smtp_secret]
}

run "numbers_out_of_bounds" {
  command = plan
  variables {
    elevation_duration           = 0
    activation_request_max_roles = 1.5
    smtp_port                    = 25
  }
  expect_failures = [var.elevation_duration, var.activation_request_max_roles, var.smtp_port]
}

run "what_does_not_go_together" {
  command = plan
  variables {
    resource_catalog                 = "assetinventory"
    activation_request_min_reviewers = 11
    webhook_url                      = "projects/access-prod/secrets/webhook/versions/1"
    smtp_dkim_selector               = "jitaccess"
  }
  expect_failures = [output.environment]
}
