package roles_test

import (
	"strings"
	"testing"

	"jitaccess/internal/access"
	"jitaccess/internal/gcp/roles"
)

// known are permissions that change permissions, each with how.
var known = map[string]string{
	"iam.denypolicies.update":                                                "takes a denial away",
	"iam.denypolicies.create":                                                "denies it to others",
	"iam.denypolicies.delete":                                                "takes a denial away",
	"iam.accesspolicies.update":                                              "widens what a principal access boundary lets through",
	"iam.principalaccessboundarypolicies.bind":                               "decides for whom a boundary holds",
	"iam.roles.create":                                                       "makes a role of any permission",
	"iam.roles.update":                                                       "adds a permission to what people hold already",
	"iam.roles.undelete":                                                     "gives back what a role gave",
	"iam.serviceAccounts.actAs":                                              "runs code as the account",
	"iam.serviceAccounts.getAccessToken":                                     "is the account",
	"iam.serviceAccounts.getOpenIdToken":                                     "is the account, for others",
	"iam.serviceAccounts.signJwt":                                            "is the account",
	"iam.serviceAccounts.signBlob":                                           "is the account",
	"iam.serviceAccounts.implicitDelegation":                                 "is the account, by way of another",
	"iam.serviceAccounts.setIamPolicy":                                       "says who may be the account",
	"iam.serviceAccounts.enable":                                             "gives an account back what it had",
	"iam.serviceAccountKeys.create":                                          "is the account for years",
	"iam.serviceAccountKeys.upload":                                          "is the account for years",
	"iam.serviceAccountKeys.enable":                                          "gives a key back",
	"iam.googleapis.com/workloadIdentityPoolProviders.create":                "lets an issuer of one's own sign people in",
	"iam.googleapis.com/workloadIdentityPoolProviders.update":                "maps whom one likes",
	"iam.googleapis.com/workloadIdentityPoolProviderKeys.create":             "adds a key that signs people in",
	"iam.googleapis.com/workforcePoolProviders.create":                       "lets an issuer of one's own sign people in",
	"iam.googleapis.com/workforcePoolProviders.update":                       "maps whom one likes",
	"iam.googleapis.com/workforcePools.update":                               "changes how people sign in",
	"iam.googleapis.com/oauthClientCredentials.create":                       "adds a secret of an application",
	"privilegedaccessmanager.entitlements.create":                            "says who may get what",
	"privilegedaccessmanager.entitlements.update":                            "says who may get what",
	"privilegedaccessmanager.entitlements.setIamPolicy":                      "says who may say so",
	"privilegedaccessmanager.grants.approve":                                 "grants",
	"privilegedaccessmanager.grants.revoke":                                  "takes away",
	"deploymentmanager.deployments.create":                                   "runs templates as the APIs' service account, an editor",
	"deploymentmanager.deployments.update":                                   "likewise",
	"deploymentmanager.typeProviders.create":                                 "likewise, with calls of one's own",
	"config.deployments.create":                                              "runs Terraform under a service account",
	"krmapihosting.krmApiHosts.create":                                       "makes resources, policies too, under a service account",
	"cloudbuild.builds.create":                                               "runs code as Cloud Build's service account",
	"cloudbuild.builds.update":                                               "changes triggers, which do",
	"run.jobs.runWithOverrides":                                              "runs other arguments under the job's account",
	"cloudfunctions.functions.sourceCodeSet":                                 "runs code under the function's account",
	"dataproc.jobs.create":                                                   "runs code under the cluster's account",
	"osconfig.osPolicyAssignments.create":                                    "runs scripts as root on machines, and so as their accounts",
	"osconfig.osPolicyAssignments.update":                                    "likewise",
	"osconfig.guestPolicies.create":                                          "likewise",
	"osconfig.guestPolicies.update":                                          "likewise",
	"osconfig.policyOrchestrators.create":                                    "likewise, in a whole organization",
	"osconfig.policyOrchestrators.update":                                    "likewise",
	"osconfig.patchDeployments.create":                                       "runs scripts before and after patching",
	"osconfig.patchDeployments.update":                                       "likewise",
	"osconfig.patchJobs.exec":                                                "likewise",
	"aiplatform.hyperparameterTuningJobs.create":                             "runs code as a service agent",
	"composer.environments.executeAirflowCommand":                            "runs commands under the environment's account",
	"compute.instances.setMetadata":                                          "adds an SSH key",
	"compute.projects.setCommonInstanceMetadata":                             "adds an SSH key to all machines",
	"compute.instances.setServiceAccount":                                    "changes under whom a machine runs",
	"compute.instances.setIamPolicy":                                         "grants",
	"compute.instances.createTagBinding":                                     "fulfils conditions on tags",
	"storage.buckets.setIamPolicy":                                           "grants",
	"storage.objects.setIamPolicy":                                           "grants",
	"storage.hmacKeys.create":                                                "is the account for years",
	"resourcemanager.projects.setIamPolicy":                                  "grants",
	"resourcemanager.folders.setIamPolicy":                                   "grants",
	"resourcemanager.organizations.setIamPolicy":                             "grants",
	"resourcemanager.projects.move":                                          "inherits from another folder",
	"resourcemanager.folders.move":                                           "inherits from another folder",
	"resourcemanager.projects.create":                                        "owns what it creates",
	"resourcemanager.hierarchyNodes.createTagBinding":                        "fulfils conditions on tags",
	"resourcemanager.hierarchyNodes.deleteTagBinding":                        "escapes conditions on tags",
	"resourcemanager.tagValueBindings.create":                                "fulfils conditions on tags",
	"resourcemanager.tagValues.create":                                       "changes what conditions on tags mean",
	"resourcemanager.projects.createPolicyBinding":                           "decides for whom a boundary holds",
	"orgpolicy.policy.set":                                                   "lifts what is forbidden, such as members of other domains",
	"orgpolicy.policies.create":                                              "likewise",
	"orgpolicy.customConstraints.delete":                                     "likewise",
	"accesscontextmanager.policies.setIamPolicy":                             "grants",
	"accesscontextmanager.accessLevels.update":                               "says from where people may come",
	"accesscontextmanager.servicePerimeters.update":                          "opens a perimeter",
	"accesscontextmanager.gcpUserAccessBindings.delete":                      "says from where people may come",
	"accessapproval.requests.approve":                                        "lets Google's staff in",
	"container.clusterRoleBindings.create":                                   "grants in the cluster",
	"container.clusterRoleBindings.update":                                   "grants in the cluster",
	"container.roleBindings.create":                                          "grants in a namespace",
	"container.clusterRoles.bind":                                            "grants more than it has",
	"container.clusterRoles.escalate":                                        "makes a role of more than it has",
	"container.roles.escalate":                                               "likewise",
	"container.clusters.impersonate":                                         "is somebody else",
	"container.serviceAccounts.createToken":                                  "is a workload",
	"container.secrets.list":                                                 "reads tokens of workloads",
	"container.pods.exec":                                                    "is a workload",
	"container.deployments.create":                                           "runs as any workload of the namespace",
	"container.certificateSigningRequests.approve":                           "makes a certificate for whom one likes",
	"container.mutatingWebhookConfigurations.update":                         "changes what others apply",
	"gkehub.rbacrolebindings.create":                                         "grants in clusters of the fleet",
	"gkemulticloud.awsClusters.getAdminKubeconfig":                           "is the cluster's administrator",
	"iap.web.setIamPolicy":                                                   "grants",
	"iap.webServices.updateSettings":                                         "changes how people sign in, to this service too",
	"apikeys.keys.create":                                                    "makes a credential",
	"apikeys.keys.getKeyString":                                              "reads a credential",
	"serviceusage.apiKeys.create":                                            "makes a credential",
	"clientauthconfig.clients.createSecret":                                  "makes a credential",
	"clientauthconfig.clients.getWithSecret":                                 "reads a credential",
	"cloudsql.users.update":                                                  "sets somebody's password",
	"cloudsql.sslCerts.create":                                               "makes a credential",
	"alloydb.users.create":                                                   "makes somebody who may log in",
	"spanner.databases.updateDdl":                                            "grants roles of the database",
	"bigquery.datasets.update":                                               "changes the dataset's access list",
	"bigquery.rowAccessPolicies.update":                                      "says who sees which rows",
	"bigquery.connections.delegate":                                          "uses the connection's account",
	"firebaserules.releases.update":                                          "says who reads what",
	"firebaseauth.users.update":                                              "sets somebody's password",
	"identitytoolkit.tenants.update":                                         "changes how people sign in",
	"managedidentities.domains.resetpassword":                                "is the domain's administrator",
	"privateca.certificates.create":                                          "makes a certificate for whom one likes",
	"redis.aclPolicies.update":                                               "says who may do what",
	"vmwareengine.privateClouds.showNsxCredentials":                          "reads a credential",
	"securitycentermanagement.securityCommandCenter.generateServiceAccounts": "makes service accounts",
	"newservice.things.create":                                               "nobody knows what a new service is for",
	"newservice.things.frobnicate":                                           "likewise",
	"compute.instances.frobnicate":                                           "nobody knows what a new verb does",
	"nonsense":                                                               "is no permission that anybody knows",
}

// What reads, and what a service is for, changes no permission.
var ordinary = strings.Fields(`compute.instances.get compute.instances.create compute.instances.start compute.disks.delete storage.objects.create
storage.objects.get storage.buckets.getIamPolicy iam.serviceAccounts.get iam.serviceAccounts.list iam.serviceAccountKeys.list iam.roles.get
resourcemanager.projects.get resourcemanager.projects.getIamPolicy resourcemanager.projects.update orgpolicy.policy.get bigquery.jobs.create
bigquery.tables.updateData pubsub.topics.publish logging.logEntries.list monitoring.timeSeries.create run.jobs.run run.services.update
container.pods.list container.clusters.get secretmanager.versions.access cloudsql.instances.connect newservice.things.list
iam.denypolicies.list privilegedaccessmanager.grants.list deploymentmanager.deployments.get`)

func TestThreat20_EveryKindOfPermissionThatChangesPermissionsIsMarked(t *testing.T) {
	if len(known) < 60 {
		t.Errorf("%d known permissions", len(known))
	}
	for p, how := range known {
		if !roles.Changes(p) {
			t.Errorf("%s is not marked; who has it %s", p, how)
		}
		if got := roles.ChangesPermissions([]string{"compute.disks.get", p}); got != access.Yes {
			t.Errorf("a role with %s: %v", p, got)
		}
	}
	for _, p := range ordinary {
		if roles.Changes(p) {
			t.Errorf("%s is marked", p)
		}
	}
	if got := roles.ChangesPermissions(ordinary); got != access.No {
		t.Errorf("a role of ordinary permissions: %v", got)
	}
	if got := roles.ChangesPermissions(nil); got != access.Unknown {
		t.Errorf("a role of no permissions: %v", got)
	}
}

// predefinedRoles are roles of Google's over all kinds of the rule, each with some of the
// permissions by which it is known
// (https://cloud.google.com/iam/docs/roles-permissions); not all that it has.
const predefinedRoles = `
yes owner resourcemanager.projects.setIamPolicy resourcemanager.projects.delete
yes editor iam.serviceAccounts.actAs deploymentmanager.deployments.create
no  viewer resourcemanager.projects.get compute.instances.list
no  browser resourcemanager.projects.get resourcemanager.folders.list
yes accesscontextmanager.policyAdmin accesscontextmanager.policies.update accesscontextmanager.accessLevels.create
no  accesscontextmanager.policyReader accesscontextmanager.policies.get accesscontextmanager.accessLevels.list
yes artifactregistry.admin artifactregistry.repositories.setIamPolicy artifactregistry.repositories.delete
no  artifactregistry.reader artifactregistry.repositories.downloadArtifacts
no  artifactregistry.writer artifactregistry.repositories.uploadArtifacts
yes bigquery.admin bigquery.datasets.setIamPolicy bigquery.jobs.create
yes bigquery.dataOwner bigquery.datasets.setIamPolicy bigquery.tables.delete
no  bigquery.dataViewer bigquery.tables.getData bigquery.datasets.get
no  bigquery.jobUser bigquery.jobs.create
no  bigquery.readSessionUser bigquery.readsessions.create bigquery.readsessions.getData
no  bigtable.reader bigtable.tables.readRows
no  bigtable.user bigtable.tables.readRows bigtable.tables.mutateRows
yes bigtable.admin bigtable.instances.setIamPolicy bigtable.tables.create
no  billing.viewer billing.accounts.get billing.budgets.list
yes billing.admin billing.accounts.setIamPolicy billing.accounts.close
yes binaryauthorization.policyAdmin binaryauthorization.policy.setIamPolicy
yes cloudbuild.builds.editor cloudbuild.builds.create
no  cloudbuild.builds.viewer cloudbuild.builds.get cloudbuild.builds.list
yes cloudfunctions.admin cloudfunctions.functions.setIamPolicy cloudfunctions.functions.create
no  cloudfunctions.invoker cloudfunctions.functions.invoke
no  cloudfunctions.viewer cloudfunctions.functions.get
yes cloudkms.admin cloudkms.cryptoKeys.setIamPolicy cloudkms.cryptoKeyVersions.destroy
no  cloudkms.viewer cloudkms.cryptoKeys.get cloudkms.keyRings.list
yes cloudscheduler.admin iam.serviceAccounts.actAs cloudscheduler.jobs.create
no  cloudscheduler.viewer cloudscheduler.jobs.get
no  cloudsql.client cloudsql.instances.connect cloudsql.instances.get
no  cloudsql.viewer cloudsql.instances.get cloudsql.databases.list
no  cloudtrace.user cloudtrace.traces.list
yes compute.admin compute.instances.setIamPolicy compute.instances.create
yes compute.instanceAdmin.v1 compute.instances.setMetadata compute.instances.start
no  compute.viewer compute.instances.get compute.disks.list
no  compute.networkViewer compute.networks.get compute.subnetworks.list
no  compute.networkUser compute.networks.use compute.subnetworks.use
yes container.admin container.clusterRoleBindings.create container.clusters.delete
yes container.developer container.secrets.get container.pods.create
no  container.clusterViewer container.clusters.get container.clusters.list
no  dataflow.viewer dataflow.jobs.get
yes dataproc.editor dataproc.jobs.create dataproc.clusters.create
no  dataproc.viewer dataproc.jobs.get dataproc.clusters.list
no  datastore.viewer datastore.entities.get
no  datastore.user datastore.entities.create datastore.entities.get
yes deploymentmanager.editor deploymentmanager.deployments.create
no  deploymentmanager.viewer deploymentmanager.deployments.get
no  dns.reader dns.managedZones.get dns.resourceRecordSets.list
no  errorreporting.user errorreporting.groups.list errorreporting.groupMetadata.update
no  errorreporting.writer errorreporting.errorEvents.create
yes iam.denyAdmin iam.denypolicies.create iam.denypolicies.delete
no  iam.denyReviewer iam.denypolicies.get iam.denypolicies.list
yes iam.organizationRoleAdmin iam.roles.create iam.roles.update
yes iam.roleAdmin iam.roles.create iam.roles.delete
no  iam.roleViewer iam.roles.get iam.roles.list
yes iam.securityAdmin resourcemanager.projects.setIamPolicy iam.roles.get
no  iam.securityReviewer resourcemanager.projects.getIamPolicy iam.serviceAccounts.list
yes iam.serviceAccountAdmin iam.serviceAccounts.setIamPolicy iam.serviceAccounts.create
yes iam.serviceAccountKeyAdmin iam.serviceAccountKeys.create
yes iam.serviceAccountOpenIdTokenCreator iam.serviceAccounts.getOpenIdToken
yes iam.serviceAccountTokenCreator iam.serviceAccounts.getAccessToken iam.serviceAccounts.signJwt
yes iam.serviceAccountUser iam.serviceAccounts.actAs iam.serviceAccounts.get
no  iam.serviceAccountViewer iam.serviceAccounts.get iam.serviceAccountKeys.list
yes iam.workforcePoolAdmin iam.workforcePools.create iam.workforcePoolProviders.update
yes iam.workloadIdentityPoolAdmin iam.workloadIdentityPoolProviders.create
no  iam.workloadIdentityPoolViewer iam.workloadIdentityPoolProviders.get
yes iam.workloadIdentityUser iam.serviceAccounts.getAccessToken iam.serviceAccounts.getOpenIdToken
yes iap.admin iap.tunnel.setIamPolicy iap.web.setIamPolicy
no  iap.httpsResourceAccessor iap.webServiceVersions.accessViaIAP
no  iap.tunnelResourceAccessor iap.tunnelInstances.accessViaIAP
yes logging.admin logging.views.setIamPolicy logging.sinks.create
no  logging.logWriter logging.logEntries.create
no  logging.privateLogViewer logging.privateLogEntries.list logging.logEntries.list
no  logging.viewer logging.logEntries.list logging.logs.list
no  monitoring.alertPolicyViewer monitoring.alertPolicies.get
no  monitoring.metricWriter monitoring.timeSeries.create
no  monitoring.viewer monitoring.timeSeries.list monitoring.dashboards.get
yes orgpolicy.policyAdmin orgpolicy.policies.update orgpolicy.policy.set
no  orgpolicy.policyViewer orgpolicy.policies.list orgpolicy.policy.get
yes osconfig.osPolicyAssignmentAdmin osconfig.osPolicyAssignments.create
no  osconfig.osPolicyAssignmentViewer osconfig.osPolicyAssignments.get
yes privilegedaccessmanager.admin privilegedaccessmanager.entitlements.create
no  privilegedaccessmanager.viewer privilegedaccessmanager.entitlements.get
yes pubsub.admin pubsub.topics.setIamPolicy pubsub.topics.create
no  pubsub.publisher pubsub.topics.publish
no  pubsub.subscriber pubsub.subscriptions.consume
no  pubsub.viewer pubsub.topics.get pubsub.subscriptions.list
yes resourcemanager.folderAdmin resourcemanager.folders.setIamPolicy resourcemanager.folders.create
yes resourcemanager.folderIamAdmin resourcemanager.folders.setIamPolicy
yes resourcemanager.folderMover resourcemanager.folders.move resourcemanager.projects.move
no  resourcemanager.folderViewer resourcemanager.folders.get resourcemanager.projects.list
yes resourcemanager.organizationAdmin resourcemanager.organizations.setIamPolicy
no  resourcemanager.organizationViewer resourcemanager.organizations.get
yes resourcemanager.projectCreator resourcemanager.projects.create
yes resourcemanager.projectIamAdmin resourcemanager.projects.setIamPolicy
yes resourcemanager.projectMover resourcemanager.projects.move
yes resourcemanager.tagAdmin resourcemanager.tagKeys.setIamPolicy resourcemanager.tagValues.create
yes resourcemanager.tagUser resourcemanager.tagValueBindings.create
no  resourcemanager.tagViewer resourcemanager.tagKeys.get resourcemanager.tagValues.list
yes run.admin run.services.setIamPolicy run.services.create
no  run.invoker run.routes.invoke run.jobs.run
no  run.viewer run.services.get run.jobs.list
yes secretmanager.admin secretmanager.secrets.setIamPolicy secretmanager.versions.access
no  secretmanager.secretAccessor secretmanager.versions.access
no  secretmanager.secretVersionAdder secretmanager.versions.add
no  secretmanager.viewer secretmanager.secrets.get secretmanager.versions.list
yes serviceusage.apiKeysAdmin apikeys.keys.create
no  serviceusage.serviceUsageConsumer serviceusage.services.use
no  serviceusage.serviceUsageViewer serviceusage.services.list
no  source.reader source.repos.get
yes spanner.admin spanner.databases.setIamPolicy spanner.instances.create
no  spanner.databaseReader spanner.databases.select spanner.sessions.create
no  spanner.databaseUser spanner.databases.write spanner.sessions.create
yes storage.admin storage.buckets.setIamPolicy storage.objects.delete
yes storage.hmacKeyAdmin storage.hmacKeys.create
yes storage.legacyBucketOwner storage.buckets.setIamPolicy storage.objects.list
yes storage.objectAdmin storage.objects.setIamPolicy storage.objects.create
no  storage.objectCreator storage.objects.create
no  storage.objectUser storage.objects.create storage.objects.delete storage.objects.get
no  storage.objectViewer storage.objects.get storage.objects.list
`

// TestPredefinedRolesAreClassified: the answer for each is what a reader of its
// documentation would say.
func TestPredefinedRolesAreClassified(t *testing.T) {
	answers := map[string]access.Answer{"yes": access.Yes, "no": access.No}
	counts := map[string]int{}
	for line := range strings.Lines(strings.TrimSpace(predefinedRoles)) {
		fields := strings.Fields(line)
		want, role, permissions := answers[fields[0]], fields[1], fields[2:]
		if got := roles.ChangesPermissions(permissions); got != want || want == access.Unknown {
			t.Errorf("roles/%s: %v, want %v: %v", role, got, want, permissions)
		}
		counts[fields[0]]++
	}
	if counts["yes"] < 50 || counts["no"] < 50 {
		t.Errorf("too few roles: %v", counts)
	}
}
