package roles_test

import (
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"

	"jitaccess/internal/access"
	"jitaccess/internal/gcp/roles"
)

var predefined = flag.String("predefined", "", "a JSON array of roles with name and includedPermissions; the answer for each is logged")

// predefinedRoles has a line for some of Google's predefined roles: the name, whether it is
// marked, and what of its permissions that rests on: for "yes" one that decides, for "no"
// some that are typical of it. The permissions are not complete
// (https://cloud.google.com/iam/docs/roles-permissions).
const predefinedRoles = `
owner yes resourcemanager.projects.setIamPolicy
editor yes iam.serviceAccounts.actAs
browser no resourcemanager.projects.get resourcemanager.projects.getIamPolicy
iam.securityAdmin yes resourcemanager.projects.setIamPolicy
iam.securityReviewer no resourcemanager.projects.getIamPolicy iam.roles.list
iam.roleAdmin yes iam.roles.create
iam.organizationRoleAdmin yes iam.roles.update
iam.roleViewer no iam.roles.get iam.roles.list
iam.denyAdmin yes iam.denypolicies.update
iam.denyReviewer no iam.denypolicies.get iam.denypolicies.list
iam.principalAccessBoundaryAdmin yes iam.principalaccessboundarypolicies.update
iam.serviceAccountAdmin yes iam.serviceAccounts.setIamPolicy
iam.serviceAccountCreator yes iam.serviceAccounts.create
iam.serviceAccountDeleter yes iam.serviceAccounts.delete
iam.serviceAccountKeyAdmin yes iam.serviceAccountKeys.create
iam.serviceAccountTokenCreator yes iam.serviceAccounts.getAccessToken
iam.serviceAccountOpenIdTokenCreator yes iam.serviceAccounts.getOpenIdToken
iam.serviceAccountUser yes iam.serviceAccounts.actAs
iam.serviceAccountViewer no iam.serviceAccounts.get iam.serviceAccountKeys.list
iam.workloadIdentityUser yes iam.serviceAccounts.getAccessToken
iam.workloadIdentityPoolAdmin yes iam.googleapis.com/workloadIdentityPoolProviders.create
iam.workloadIdentityPoolViewer no iam.googleapis.com/workloadIdentityPools.list
iam.workforcePoolAdmin yes iam.googleapis.com/workforcePoolProviders.update
iam.workforcePoolViewer no iam.googleapis.com/workforcePools.get
privilegedaccessmanager.admin yes privilegedaccessmanager.entitlements.create
privilegedaccessmanager.viewer no privilegedaccessmanager.entitlements.list
resourcemanager.organizationAdmin yes resourcemanager.organizations.setIamPolicy
resourcemanager.organizationViewer no resourcemanager.organizations.get
resourcemanager.folderAdmin yes resourcemanager.folders.setIamPolicy
resourcemanager.folderIamAdmin yes resourcemanager.folders.setIamPolicy
resourcemanager.folderCreator yes resourcemanager.folders.create
resourcemanager.folderMover yes resourcemanager.folders.move
resourcemanager.folderEditor no resourcemanager.folders.update resourcemanager.folders.delete
resourcemanager.folderViewer no resourcemanager.folders.get resourcemanager.folders.list
resourcemanager.projectCreator yes resourcemanager.projects.create
resourcemanager.projectMover yes resourcemanager.projects.move
resourcemanager.projectIamAdmin yes resourcemanager.projects.setIamPolicy
resourcemanager.projectDeleter no resourcemanager.projects.delete
resourcemanager.tagAdmin yes resourcemanager.tagValues.create
resourcemanager.tagUser yes resourcemanager.tagValueBindings.create
resourcemanager.tagViewer no resourcemanager.tagValues.get resourcemanager.tagKeys.list
orgpolicy.policyAdmin yes orgpolicy.policy.set
orgpolicy.policyViewer no orgpolicy.policy.get orgpolicy.policies.list
accesscontextmanager.policyAdmin yes accesscontextmanager.accessLevels.update
accesscontextmanager.policyReader no accesscontextmanager.accessLevels.list
accesscontextmanager.gcpAccessAdmin yes accesscontextmanager.gcpUserAccessBindings.delete
accessapproval.approver yes accessapproval.requests.approve
accessapproval.viewer no accessapproval.requests.list
compute.admin yes compute.instances.setIamPolicy
compute.instanceAdmin yes compute.instances.setServiceAccount
compute.instanceAdmin.v1 yes compute.instances.setMetadata
compute.osAdminLogin yes compute.instances.osAdminLogin
compute.networkViewer no compute.networks.list
compute.storageAdmin yes compute.disks.setIamPolicy
compute.imageUser no compute.images.useReadOnly
compute.viewer no compute.instances.list
compute.xpnAdmin yes compute.subnetworks.setIamPolicy
storage.admin yes storage.buckets.setIamPolicy
storage.objectAdmin yes storage.objects.setIamPolicy
storage.objectCreator no storage.objects.create
storage.objectUser no storage.objects.create storage.objects.delete storage.objects.update
storage.objectViewer no storage.objects.get storage.objects.list
storage.hmacKeyAdmin yes storage.hmacKeys.create
storage.legacyBucketOwner yes storage.buckets.setIamPolicy
storage.legacyBucketReader no storage.buckets.get storage.objects.list
storage.legacyObjectOwner yes storage.objects.setIamPolicy
bigquery.admin yes bigquery.rowAccessPolicies.update
bigquery.dataOwner yes bigquery.datasets.update
bigquery.dataEditor no bigquery.tables.create bigquery.tables.updateData
bigquery.dataViewer no bigquery.tables.getData
bigquery.jobUser no bigquery.jobs.create
bigquery.connectionAdmin yes bigquery.connections.delegate
bigquery.connectionUser no bigquery.connections.use
container.admin yes container.clusterRoleBindings.create
container.developer yes container.pods.exec
container.clusterViewer no container.clusters.get container.clusters.list
container.clusterAdmin no container.clusters.create container.clusters.delete
gkehub.admin yes gkehub.rbacrolebindings.create
gkehub.viewer no gkehub.memberships.list
gkehub.gatewayReader no gkehub.gateway.generateCredentials gkehub.gateway.get
gkemulticloud.admin yes gkemulticloud.awsClusters.getAdminKubeconfig
run.admin yes run.services.setIamPolicy
run.developer yes run.jobs.runWithOverrides
run.invoker no run.jobs.run run.routes.invoke
run.viewer no run.services.get
cloudfunctions.admin yes cloudfunctions.functions.setIamPolicy
cloudfunctions.developer yes cloudfunctions.functions.sourceCodeSet
cloudfunctions.invoker no cloudfunctions.functions.invoke
cloudfunctions.viewer no cloudfunctions.functions.list
cloudbuild.builds.editor yes cloudbuild.builds.create
cloudbuild.builds.viewer no cloudbuild.builds.list
deploymentmanager.editor yes deploymentmanager.deployments.create
deploymentmanager.viewer no deploymentmanager.deployments.list
config.admin yes config.deployments.create
config.viewer no config.deployments.list
dataproc.editor yes dataproc.jobs.create
dataproc.viewer no dataproc.clusters.list
composer.user no composer.environments.get composer.operations.list
dataflow.viewer no dataflow.jobs.list
aiplatform.user yes aiplatform.customJobs.create
aiplatform.viewer no aiplatform.models.list
osconfig.osPolicyAssignmentAdmin yes osconfig.osPolicyAssignments.create
osconfig.patchDeploymentAdmin yes osconfig.patchDeployments.create
osconfig.patchJobExecutor yes osconfig.patchJobs.exec
osconfig.patchJobViewer no osconfig.patchJobs.list
pubsub.admin yes pubsub.topics.setIamPolicy
pubsub.publisher no pubsub.topics.publish
pubsub.subscriber no pubsub.subscriptions.consume
pubsub.viewer no pubsub.topics.list
secretmanager.admin yes secretmanager.secrets.setIamPolicy
secretmanager.secretAccessor no secretmanager.versions.access
secretmanager.viewer no secretmanager.secrets.list
cloudkms.admin yes cloudkms.cryptoKeys.setIamPolicy
cloudkms.cryptoKeyEncrypterDecrypter no cloudkms.cryptoKeyVersions.useToEncrypt cloudkms.cryptoKeyVersions.useToDecrypt
cloudkms.viewer no cloudkms.keyRings.list
cloudsql.admin yes cloudsql.users.update
cloudsql.client no cloudsql.instances.connect
alloydb.admin yes alloydb.users.create
alloydb.viewer no alloydb.clusters.list
spanner.admin yes spanner.databases.setIamPolicy
spanner.databaseAdmin yes spanner.databases.updateDdl
spanner.databaseReader no spanner.databases.select
bigtable.admin yes bigtable.instances.setIamPolicy
bigtable.reader no bigtable.tables.readRows
datastore.user no datastore.entities.create datastore.entities.update
datastore.viewer no datastore.entities.get
logging.viewer no logging.logEntries.list
logging.logWriter no logging.logEntries.create
monitoring.metricWriter no monitoring.timeSeries.create
monitoring.viewer no monitoring.timeSeries.list
errorreporting.writer no errorreporting.errorEvents.create
iap.admin yes iap.web.setIamPolicy
iap.settingsAdmin yes iap.webServices.updateSettings
serviceusage.apiKeysAdmin yes serviceusage.apiKeys.create
serviceusage.serviceUsageAdmin no serviceusage.services.enable serviceusage.services.disable
serviceusage.serviceUsageConsumer no serviceusage.services.use
firebaseauth.admin yes firebaseauth.users.update
firebaserules.admin yes firebaserules.releases.update
identitytoolkit.admin yes identitytoolkit.tenants.update
managedidentities.admin yes managedidentities.domains.resetpassword
privateca.certificateManager yes privateca.certificates.create
redis.admin yes redis.aclPolicies.update
redis.viewer no redis.instances.list
artifactregistry.writer no artifactregistry.repositories.uploadArtifacts
artifactregistry.reader no artifactregistry.repositories.downloadArtifacts
dns.reader no dns.managedZones.list`

func TestThreat20_PredefinedRolesAreClassified(t *testing.T) {
	for line := range strings.Lines(strings.TrimSpace(predefinedRoles)) {
		fields := strings.Fields(line)
		want, ok := map[string]access.Answer{"yes": access.Yes, "no": access.No}[fields[1]]
		if !ok || len(fields) < 3 {
			t.Fatalf("misshapen: %s", line)
		}
		if got := roles.ChangesPermissions(fields[2:]); got != want {
			t.Errorf("roles/%s with %v: %v", fields[0], fields[2:], got)
		}
	}
}

func TestRolesOfAnOperator(t *testing.T) {
	source := []byte(`[{"name": "roles/browser", "includedPermissions": ["resourcemanager.projects.get"]}]`)
	if *predefined != "" {
		var err error
		if source, err = os.ReadFile(*predefined); err != nil {
			t.Fatal(err)
		}
	}
	var all []struct {
		Name                string
		IncludedPermissions []string
	}
	if err := json.Unmarshal(source, &all); err != nil || len(all) == 0 {
		t.Fatalf("%d roles: %v", len(all), err)
	}
	for _, role := range all {
		t.Logf("%s %v", role.Name, roles.ChangesPermissions(role.IncludedPermissions))
	}
}
