# terraform -chdir=deploy/terraform/permissions/limits test

variables {
  scope       = "organizations/123456789012"
  roles       = ["roles/compute.viewer"]
  permissions = { "roles/compute.viewer" = ["compute.instances.get"] }
}

run "one_role" {
  command = plan
  assert {
    condition = output.bindings["roles/resourcemanager.projectIamAdmin 01"] == {
      role        = "roles/resourcemanager.projectIamAdmin"
      title       = "jitaccess grants 1 of 1"
      description = "Which roles it may grant and take back."
      expression  = "api.getAttribute('iam.googleapis.com/modifiedGrantsByRole', []).hasOnly(['roles/compute.viewer'])"
    }
    error_message = "The condition is another."
  }
  assert {
    condition     = output.kind == "organizations" && output.name == "123456789012"
    error_message = "The scope is another."
  }
  assert {
    condition     = [for b in output.bindings : b.role if b.expression == ""] == ["roles/browser", "roles/cloudasset.viewer", "roles/iam.roleViewer"]
    error_message = "What is bound without a condition is something else."
  }
}

run "two_hundred_roles" {
  command = plan
  variables {
    roles       = [for i in range(200) : format("roles/service%03d.user", i)]
    permissions = { for i in range(200) : format("roles/service%03d.user", i) => ["service.things.use"] }
  }
  assert {
    condition     = length([for b in output.bindings : b if b.expression != ""]) == 20
    error_message = "Two hundred roles take twenty bindings."
  }
  assert {
    condition     = alltrue([for b in output.bindings : length(regexall("'roles/", b.expression)) == 10 && !strcontains(b.expression, "||") && !strcontains(b.expression, "&&") if b.expression != ""])
    error_message = "Each binding has ten roles, in one list."
  }
  assert {
    condition     = length(distinct(flatten([for b in output.bindings : regexall("roles/service[0-9]+[.]user", b.expression)]))) == 200
    error_message = "Each role is in one of them."
  }
}

run "two_hundred_and_one_roles" {
  command = plan
  variables {
    roles       = [for i in range(201) : format("roles/service%03d.user", i)]
    permissions = { for i in range(201) : format("roles/service%03d.user", i) => ["service.things.use"] }
  }
  expect_failures = [var.roles]
}

run "no_role" {
  command = plan
  variables {
    roles = []
  }
  expect_failures = [var.roles]
}

run "a_basic_role" {
  command = plan
  variables {
    roles       = ["roles/editor"]
    permissions = { "roles/editor" = ["compute.instances.get"] }
  }
  expect_failures = [var.roles]
}

run "what_is_no_role" {
  command = plan
  variables {
    roles       = ["roles/compute.viewer'])||true||([].hasOnly(['"]
    permissions = { "roles/compute.viewer'])||true||([].hasOnly(['" = ["compute.instances.get"] }
  }
  expect_failures = [var.roles]
}

run "a_scope_that_is_none" {
  command = plan
  variables {
    scope = "organizations/example.com"
  }
  expect_failures = [var.scope]
}

run "a_role_that_sets_policies" {
  command = plan
  variables {
    roles       = ["roles/compute.admin"]
    permissions = { "roles/compute.admin" = ["compute.instances.get", "compute.instances.setIamPolicy"] }
  }
  expect_failures = [var.roles]
}

run "a_role_that_sets_policies_by_a_decision" {
  command = plan
  variables {
    roles          = ["roles/compute.admin"]
    accepted_roles = ["roles/compute.admin"]
    permissions    = { "roles/compute.admin" = ["compute.instances.get", "compute.instances.setIamPolicy"] }
  }
}

run "a_role_that_lifts_the_limit" {
  command = plan
  variables {
    roles          = ["roles/resourcemanager.projectIamAdmin"]
    accepted_roles = ["roles/resourcemanager.projectIamAdmin"]
    permissions    = { "roles/resourcemanager.projectIamAdmin" = ["resourcemanager.projects.setIamPolicy"] }
  }
  expect_failures = [var.roles]
}

run "a_role_of_which_nothing_is_known" {
  command = plan
  variables {
    roles = ["roles/compute.viewer", "roles/compute.admin"]
  }
  expect_failures = [var.roles]
}

run "accepted_and_not_granted" {
  command = plan
  variables {
    accepted_roles = ["roles/compute.admin"]
  }
  expect_failures = [output.bindings]
}

run "a_custom_role_of_a_project" {
  command = plan
  variables {
    roles       = ["projects/shop-1/roles/deployer"]
    permissions = { "projects/shop-1/roles/deployer" = ["compute.instances.get"] }
  }
  expect_failures = [var.roles]
}

run "a_custom_role_of_the_organization" {
  command = plan
  variables {
    roles       = ["organizations/123456789012/roles/deployer"]
    permissions = { "organizations/123456789012/roles/deployer" = ["compute.instances.get"] }
  }
}

run "folders_and_organizations_themselves" {
  command = plan
  variables {
    roles       = [for i in range(11) : format("roles/service%03d.user", i)]
    permissions = { for i in range(11) : format("roles/service%03d.user", i) => ["service.things.use"] }
    granted_on  = ["folders/4711", "organizations/123456789012"]
  }
  assert {
    condition     = keys(output.bindings_on) == ["folders/4711 01", "folders/4711 02", "organizations/123456789012 01", "organizations/123456789012 02"]
    error_message = "Each has the bindings of eleven roles."
  }
  assert {
    condition     = join(", ", distinct([for b in output.bindings_on : "${b.kind} ${b.role}"])) == "folders roles/resourcemanager.folderIamAdmin, organizations roles/resourcemanager.organizationAdmin"
    error_message = "The roles are others."
  }
  assert {
    condition     = alltrue([for key, b in output.bindings_on : b.expression == output.bindings["roles/resourcemanager.projectIamAdmin ${split(" ", key)[1]}"].expression])
    error_message = "They are limited otherwise than on projects."
  }
}

run "a_project_is_not_given_out_by_itself" {
  command = plan
  variables {
    granted_on = ["projects/access-prod"]
  }
  expect_failures = [var.granted_on]
}

run "no_folder_lies_in_a_project" {
  command = plan
  variables {
    scope      = "projects/access-prod"
    granted_on = ["folders/4711"]
  }
  expect_failures = [var.granted_on]
}
