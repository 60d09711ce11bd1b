# Which rights the service account gets on what it manages: limited role by role. There is no
# provider here, so that all of it can be tried anywhere: terraform test.
#
# https://cloud.google.com/iam/docs/setting-limits-on-granting-roles says what limits a role that
# may set policies: at most ten roles in a condition, no || between two of them, and none that may
# set policies itself. https://cloud.google.com/iam/quotas has the twenty bindings.

terraform {
  required_version = ">= 1.9"
}

variable "scope" {
  description = "What the service manages: projects/ID, folders/NUMBER or organizations/NUMBER, the same as RESOURCE_SCOPE."
  type        = string

  validation {
    condition     = can(regex("^(?:projects/(?:[a-z0-9.-]+:)?[a-z0-9-]{1,63}|(?:folders|organizations)/[0-9]{1,32})$", var.scope))
    error_message = "scope must be projects/ID, folders/NUMBER or organizations/NUMBER, such as organizations/123456789012."
  }
}

variable "roles" {
  description = "The roles that the service may grant, at most 200: those that people are eligible for, and no others."
  type        = set(string)

  validation {
    condition     = length(var.roles) > 0 && length(var.roles) <= 200
    error_message = "It takes 1 to 200 roles: a policy has at most 20 bindings of one role for one member, with 10 roles in the condition of each."
  }
  validation {
    condition     = alltrue([for role in var.roles : can(regex("^(?:(?:organizations/[0-9]{1,32}|projects/(?:[a-z0-9.-]+:)?[a-z0-9-]{1,63})/)?roles/[A-Za-z0-9_.]{1,128}$", role))])
    error_message = "A role is roles/NAME, organizations/NUMBER/roles/NAME or projects/ID/roles/NAME."
  }
  validation {
    condition     = length(setintersection(var.roles, ["roles/owner", "roles/editor", "roles/viewer"])) == 0
    error_message = "Nobody can be eligible for a basic role: roles/owner, roles/editor and roles/viewer cannot have a condition."
  }
  validation {
    condition     = length(setsubtract(var.roles, keys(var.permissions))) == 0
    error_message = "It is not known what these roles permit: ${join(", ", setsubtract(var.roles, keys(var.permissions)))}."
  }
  validation {
    condition     = alltrue([for role in var.roles : length(setintersection(lookup(var.permissions, role, []), local.unlimited)) == 0])
    error_message = "A role with ${join(", ", local.unlimited)} must not be granted by this service: whoever has it grants themselves whatever is not in the list."
  }
  validation {
    condition = alltrue([for role in var.roles : contains(var.accepted_roles, role) || length([
      for permission in lookup(var.permissions, role, []) : permission if can(regex(local.gives_access, permission))
    ]) == 0])
    error_message = "These roles let their holders give access to others, act as service accounts or edit roles: ${join(", ", [
      for role in var.roles : role if length([for permission in lookup(var.permissions, role, []) : permission if can(regex(local.gives_access, permission))]) > 0
    ])}. Take a narrower role, or name them in accepted_roles too."
  }
  validation {
    condition     = alltrue([for role in var.roles : contains(var.accepted_roles, role) || !startswith(role, "projects/")])
    error_message = "Who may edit a custom role of a project decides what it gives. Take one of the organization, or name it in accepted_roles too."
  }
}

variable "accepted_roles" {
  description = "Those of the roles that may give access to others all the same, each by a decision."
  type        = set(string)
  default     = []
}

variable "permissions" {
  description = "What each of the roles permits, by its name."
  type        = map(set(string))
}

variable "read_inherited" {
  description = "Whether it reads the policies of folders and the organization, so that what is inherited is confirmed by them."
  type        = bool
  default     = false
}

variable "granted_on" {
  description = "The folders and organizations that rules of the policy file give out themselves, which are the scope or lie in it."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for on in var.granted_on : can(regex("^(?:folders|organizations)/[0-9]{1,32}$", on))])
    error_message = "granted_on are folders/NUMBER or organizations/NUMBER, and no projects: those lie in the scope."
  }
  validation {
    condition     = length(var.granted_on) == 0 || !startswith(var.scope, "projects/")
    error_message = "No folder or organization lies in a project: scope must be one of them."
  }
}

locals {
  per_binding = 10

  # What lifts the limit itself, and what comes near.
  unlimited    = ["resourcemanager.projects.setIamPolicy", "resourcemanager.folders.setIamPolicy", "resourcemanager.organizations.setIamPolicy"]
  gives_access = "\\.setIamPolicy$|^iam\\.serviceAccounts\\.(actAs|getAccessToken|getOpenIdToken|implicitDelegation|signBlob|signJwt)$|^iam\\.serviceAccountKeys\\.create$|^iam\\.roles\\.(create|update)$|^orgpolicy\\..*\\.(create|update|set)"

  kind = split("/", var.scope)[0]
  name = split("/", var.scope)[1]

  chunks = chunklist(sort(var.roles), local.per_binding)

  reading = concat(
    ["roles/cloudasset.viewer", "roles/browser", "roles/iam.roleViewer"],
    var.read_inherited ? ["roles/iam.securityReviewer"] : [],
  )

  # With which role the policies of a kind are written.
  writing = {
    projects      = "roles/resourcemanager.projectIamAdmin"
    folders       = "roles/resourcemanager.folderIamAdmin"
    organizations = "roles/resourcemanager.organizationAdmin"
  }

  conditions = {
    for number, roles in local.chunks : format("%02d", number + 1) => {
      title       = format("jitaccess grants %d of %d", number + 1, length(local.chunks))
      description = "Which roles it may grant and take back."
      expression  = format("api.getAttribute('iam.googleapis.com/modifiedGrantsByRole', []).hasOnly([%s])", join(", ", [for role in roles : format("'%s'", role)]))
    }
  }

  limited = { for number, condition in local.conditions : "${local.writing.projects} ${number}" => merge(condition, { role = local.writing.projects }) }

  limited_on = merge([
    for on in var.granted_on : {
      for number, condition in local.conditions : "${on} ${number}" => merge(condition, {
        kind = split("/", on)[0]
        name = split("/", on)[1]
        role = local.writing[split("/", on)[0]]
      })
    }
  ]...)
  unconditional = { for role in local.reading : role => { role = role, title = "", description = "", expression = "" } }
}

output "kind" {
  description = "projects, folders or organizations."
  value       = local.kind
}

output "name" {
  description = "The id of the project, or the number of the folder or organization."
  value       = local.name
}

output "bindings" {
  description = "The bindings of the service account on the scope. One whose expression is empty has no condition."
  value       = merge(local.unconditional, local.limited)

  precondition {
    condition     = length(setsubtract(var.accepted_roles, var.roles)) == 0
    error_message = "accepted_roles are some of roles."
  }
}

output "bindings_on" {
  description = "The bindings of the service account on the folders and organizations in granted_on; each has a condition."
  value       = local.limited_on
}
